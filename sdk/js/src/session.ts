import type { PlayoutDelay, Role } from './api.js';
import { CODE } from './codes.js';
import { Emitter } from './emitter.js';
import type { Encryption } from './encryption.js';
import { type EncryptionKey, sealedBy } from './keys.js';
import { ERROR_CODE, RtcError, aborted } from './errors.js';
import { type Answered, type Asked, type Command, type Credentials, Gateway, type Told, gatewayUrls } from './gateway.js';
import { log } from './log.js';
import { PASSWORDS_HOLD_MS, type StreamKind } from './peer.js';
import type { Events, RoomInfoView } from './protocol.js';
import { Publisher } from './publisher.js';
import { warmUp } from './receiving.js';
import { Reports } from './reports.js';
import type { Digest } from './statistics.js';
import { Watcher } from './watcher.js';

export const ConnectionState = {
  DISCONNECTED: 'DISCONNECTED',
  CONNECTING: 'CONNECTING',
  CONNECTED: 'CONNECTED',
  /** The cloud's types have these two, and nobody tells them. */
  RECONNECTING: 'RECONNECTING',
  RECONNECTED: 'RECONNECTED',
} as const;
export type ConnectionState = keyof typeof ConnectionState;

/** A seat, as the room layer has it. */
export interface Seat {
  index: number;
  userId: string;
  userName: string;
  nameCard: string;
  avatarUrl: string;
  isLocked: boolean;
  isVideoLocked: boolean;
  isAudioLocked: boolean;
}

/** What a member publishes: each kind, whether it is switched off for the moment, and whether one needs its key. */
export type Streams = Map<StreamKind, { isMuted: boolean; isEncrypted: boolean }>;

export interface SessionEvents {
  /** Before, now, and whether a connection that was lost is sought again. */
  state: [ConnectionState, ConnectionState, boolean];
  /** Something that the server said of the room. */
  event: [Told];
  /** With the cause, in the server's words, for which somebody left. */
  members: [{ entered: string[]; left: string[]; causes?: Map<string, string> }];
  streams: [string, Streams];
  seats: [Seat[]];
  /** The room is called otherwise now. */
  renamed: [string];
  /** What oneself may publish has changed. */
  allowed: [Set<StreamKind>];
  track: [string, StreamKind, MediaStreamTrack];
  /** What a member sends cannot be opened with the keys that there are. */
  sealed: [string, StreamKind];
  /** One is out of the room: `kick`, `banned`, `room_disband`. */
  out: [string];
  ended: [RtcError];
}

export interface SessionOptions {
  server?: string | readonly string[] | undefined;
  iceServers?: RTCIceServer[] | undefined;
  iceTransportPolicy?: RTCIceTransportPolicy | undefined;
  /** End-to-end encryption, where that is on: its keys, and what begins it in a room. */
  encryption?: { keys: Map<number, EncryptionKey>; start(room: string, userId: string): Promise<Encryption> } | undefined;
  /** Of all who speak, at most so many are heard at once: the loudest. */
  maxSpeakers?: number | undefined;
  playoutDelay?: PlayoutDelay | undefined;
}

/** What a room that is made is to be, but for its name. */
export type RoomFields = Omit<Asked<'create_room'>['RoomInfo'], 'RoomId'>;

/** Makes a room that does not exist yet, as the cloud does for whoever enters first. */
export type MakeRoom = (() => RoomFields) | undefined;

/** What a room is entered for: to watch only, to do so and to publish, or for no media at all. */
export type MediaUse = 'watched' | 'any' | 'none';

/** What one of a role enters for. */
export const mediaOf = (role: Role): MediaUse => (role === 'audience' ? 'watched' : 'any');

/** What goes with a command about the room one is in, but for its name. */
export type AskedHere<Name extends Command> = Unnamed<Asked<Name>>;
type Unnamed<Body> = Body extends unknown ? Omit<Body, 'RoomId'> : never;

/** One user in one room: what there is to know of it, and the media connections. */
export class Session extends Emitter<SessionEvents> {
  readonly gateway: Gateway;
  readonly options: SessionOptions;
  #state: ConnectionState = 'DISCONNECTED';
  #publisher: Publisher | undefined;
  #watcher: Watcher | undefined;
  #mediaConfig: { askedAt: number; servers: Promise<RTCIceServer[]> } | undefined;
  #encryption: Encryption | undefined;
  userId = '';
  roomId = '';
  isInRoom = false;
  #isClosed = false;
  /** When coming in began, and how long it took; the latter until the server was told. */
  #begunAt: number | undefined;
  #joinMs: number | undefined;
  /** What the streams were like, until the server is told. */
  #reports = new Reports();
  /** What was switched, until the server was told. */
  #switched: number[][] = [];
  isReconnecting = false;
  /** What the server thinks of the link to here: kbit/s, ms, and the share that is lost. */
  link: { bitrate: number; rtt: number; loss: number } | undefined;
  roomInfo: Partial<RoomInfoView> = {};
  readonly members = new Set<string>();
  readonly streams = new Map<string, Streams>();
  seats: Seat[] = [];
  /** One leaves one's seat of one's own accord. */
  isLeavingSeat = false;
  admins = new Set<string>();
  metadata = new Map<string, string>();

  constructor(options: SessionOptions) {
    super();
    this.options = options;
    this.gateway = new Gateway(gatewayUrls(options.server), {
      onReconnecting: () => {
        this.isReconnecting = true;
        this.#setState('DISCONNECTED');
        this.#setState('CONNECTING');
      },
      onReconnected: (how) => void this.#comeBack(how),
      onEnded: (error) => {
        this.#leaveRoom();
        this.#setState('DISCONNECTED');
        this.emit('ended', error);
      },
      onEvent: (told) => this.#take(told),
    });
  }

  get state(): ConnectionState {
    return this.#state;
  }

  get publisher(): Publisher {
    if (!this.#publisher || !this.isInRoom) throw notInside();
    return this.#publisher;
  }

  get watcher(): Watcher {
    if (!this.#watcher || !this.isInRoom) throw notInside();
    return this.#watcher;
  }

  /** The media connections, as far as there are any. */
  get peers(): { up: RTCPeerConnection | undefined; down: RTCPeerConnection | undefined } {
    return { up: this.#publisher?.pc, down: this.#watcher?.pc };
  }

  /** Whether seats decide who publishes here. */
  get hasSeats(): boolean {
    return this.seats.length > 0;
  }

  get ownSeat(): Seat | undefined {
    return this.seats.find((seat) => seat.userId === this.userId);
  }

  async login(credentials: Credentials): Promise<void> {
    this.#begunAt = performance.now();
    this.#setState('CONNECTING');
    this.userId = credentials.userId;
    warmUp();
    try {
      await this.gateway.login(credentials);
    } catch (error) {
      this.#setState('DISCONNECTED');
      throw error;
    }
    this.#setState('CONNECTED');
  }

  async enter(roomId: string, makeRoom: MakeRoom, media: MediaUse = 'any'): Promise<void> {
    const begunAt = this.#begunAt ?? performance.now();
    this.#begunAt = undefined;
    // Before entering: what is published in a room is sealed from its first frame on.
    this.#encryption = await this.options.encryption?.start(roomId, this.userId);
    const later = (error: unknown) => log.info('what media needs is asked for again when it is needed', error);
    // Together with entering: who enters watches or publishes next.
    if (media !== 'none') this.#iceServers().catch(later);
    const options = {
      encryption: this.#encryption,
      iceServers: () => this.#iceServers(),
      iceTransportPolicy: () => this.options.iceTransportPolicy,
    };
    const { maxSpeakers, playoutDelay } = this.options;
    const watching = { ...options, maxSpeakers, playoutDelay };
    const watcher = new Watcher(
      this.gateway,
      roomId,
      watching,
      (userId, kind, track) => this.emit('track', userId, kind, track),
      (userId, kind) => this.emit('sealed', userId, kind),
    );
    if (media === 'watched') watcher.makeReady().catch(later);
    let answer: Answered<'enter_room'>;
    try {
      answer = await this.#enter({ RoomId: roomId, ...(media === 'none' ? {} : { WillWatch: true }) }, makeRoom);
      if (this.#isClosed) throw aborted('', 'the room was left');
    } catch (error) {
      watcher.close();
      this.#encryption?.close();
      this.#encryption = undefined;
      throw error;
    }
    this.roomId = roomId;
    this.isInRoom = true;
    this.#joinMs = Math.round(performance.now() - begunAt);
    this.#publisher = new Publisher(this.gateway, roomId, options);
    this.#watcher = watcher;
    this.#welcome(answer);
  }

  async #enter(entry: Asked<'enter_room'>, makeRoom: MakeRoom): Promise<Answered<'enter_room'>> {
    try {
      return await this.gateway.request('enter_room', entry);
    } catch (error) {
      if (!(error instanceof RtcError) || error.extraCode !== CODE.RoomNotFound || !makeRoom) throw error;
    }
    try {
      await this.gateway.request('create_room', { RoomInfo: { RoomId: entry.RoomId, ...makeRoom() } });
    } catch (error) {
      // Somebody else was a little faster, or this user elsewhere.
      const code = error instanceof RtcError ? error.extraCode : undefined;
      if (code !== CODE.RoomExists && code !== CODE.RoomIsThere) throw error;
    }
    return this.gateway.request('enter_room', entry);
  }

  /** Whether there is a key for what others encrypt end to end. */
  get hasKey(): boolean {
    return this.#encryption !== undefined;
  }

  /** Whether there is a key to seal by what one publishes, where that is to be sealed. */
  get canSeal(): boolean {
    const { encryption } = this.options;
    return !encryption || sealedBy(encryption.keys.values()) !== undefined;
  }

  /** Another key of end-to-end encryption, which is on. */
  async addKey(key: EncryptionKey): Promise<void> {
    await this.#encryption?.addKey(key);
    await this.#watcher?.tryAgain();
  }

  async leave(): Promise<void> {
    if (!this.isInRoom) return;
    const { roomId } = this;
    const rest = this.#reports.take(performance.now());
    if (rest && this.gateway.isReady) this.#say(rest);
    this.#leaveRoom();
    await this.gateway.request('leave_room', { RoomId: roomId });
  }

  close(): void {
    this.#isClosed = true;
    this.#leaveRoom();
    this.gateway.close();
    this.#setState('DISCONNECTED');
  }

  /** A command about the room one is in. */
  async request<Name extends Command>(command: Name, body: AskedHere<Name>): Promise<Answered<Name>> {
    if (!this.isInRoom) throw notInside();
    return this.gateway.request(command, { RoomId: this.roomId, ...body } as unknown as Asked<Name>);
  }

  /** Says what one's streams are like, for the server's history. It is nobody's trouble when that does not want it. */
  report(digest: Digest): void {
    if (!this.isInRoom || !this.gateway.isReady) return;
    const said = this.#reports.add(digest, performance.now());
    if (said || this.#joinMs !== undefined || this.#switched.length > 0) this.#say(said);
  }

  /** Says that, and what else the server is to be told once. */
  #say(said: ReturnType<Reports['take']>): void {
    const body: Asked<'report'> = { RoomId: this.roomId, ...said };
    if (this.#joinMs !== undefined) body.Join = this.#joinMs;
    if (this.#switched.length > 0) body.Ev = this.#switched.splice(0);
    this.#joinMs = undefined;
    this.gateway.request('report', body).catch(() => undefined);
  }

  /** A stream comes from another device now. */
  noteSwitched(device: 'camera' | 'microphone'): void {
    this.#switched = [...this.#switched, [device === 'camera' ? 32_780 : 32_781]].slice(-8);
  }

  /** Sits, where there are seats; who sits already stays there. The list of seats may be a moment behind. */
  async takeSeat(): Promise<void> {
    if (!this.hasSeats) return;
    try {
      await this.request('take_seat', {});
    } catch (error) {
      const isSeated = this.ownSeat !== undefined || (error instanceof RtcError && error.extraCode === 100203);
      if (!isSeated) throw error;
    }
  }

  /** Gets up, where one sits. */
  async getUp(): Promise<void> {
    if (!this.hasSeats) return;
    try {
      await this.leaveSeat();
    } catch (error) {
      if (this.ownSeat || !(error instanceof RtcError) || error.extraCode === undefined) throw error;
    }
  }

  async leaveSeat(): Promise<void> {
    this.isLeavingSeat = true;
    try {
      await this.request('leave_seat', {});
    } catch (error) {
      this.isLeavingSeat = false;
      throw error;
    }
  }

  #leaveRoom(): void {
    this.gateway.forget(this.roomId);
    this.isInRoom = false;
    this.#publisher?.close();
    this.#watcher?.close();
    this.#encryption?.close();
    this.#publisher = undefined;
    this.#watcher = undefined;
    this.#encryption = undefined;
    this.#reports = new Reports();
    this.members.clear();
    this.streams.clear();
    this.seats = [];
  }

  /** Takes over the room's record, which may have changed while one was away. */
  #learn(now: RoomInfoView): void {
    const before = this.roomInfo;
    this.roomInfo = now;
    if (before.RoomId === now.RoomId && before.RoomName !== now.RoomName) this.emit('renamed', now.RoomName);
  }

  /** Takes over what the server says of the room on entering. */
  #welcome(answer: Answered<'enter_room'>): void {
    this.#learn(answer.RoomInfo);
    const entered: string[] = [];
    for (const { Member_Account: name } of answer.MemberList) {
      if (!this.members.has(name)) entered.push(name);
      this.members.add(name);
    }
    this.admins = new Set(answer.Admin_Account);
    this.metadata = new Map(answer.Metadata.map(({ Key, Value }) => [Key, Value]));
    this.#setSeats(answer.SeatList);
    this.emit('members', { entered: entered.filter((name) => name !== this.userId), left: [] });
    const now = new Map(answer.StreamList.map((entry) => [entry.Member_Account, entry.Streams]));
    for (const name of [...this.streams.keys()]) if (!now.has(name)) this.#setStreams(name, []);
    for (const [name, streams] of now) this.#setStreams(name, streams);
  }

  async #comeBack({ isResumed, isSameServer }: { isResumed: boolean; isSameServer: boolean }): Promise<void> {
    try {
      if (this.isInRoom) {
        // Entering again changes nothing, and says what was missed.
        const answer = await this.gateway.request('enter_room', { RoomId: this.roomId });
        const names = new Set(answer.MemberList.map((member) => member.Member_Account));
        const left = [...this.members].filter((name) => !names.has(name));
        // Of a large room only the first page came, which says nothing about the others.
        if (answer.Next === '' && left.length > 0) {
          for (const name of left) this.members.delete(name);
          this.emit('members', { entered: [], left });
        }
        const seat = this.ownSeat?.index;
        this.#welcome(answer);
        if (seat !== undefined && !this.ownSeat) {
          await this.request('take_seat', { Index: seat }).catch((error: unknown) => log.info('the seat is lost', error));
        }
        if (!isSameServer || !isResumed) {
          this.#mediaConfig = undefined;
          await this.#rebuild();
        }
        await this.#settleMedia(this.#publisher?.catchUp(), this.#watcher?.catchUp());
      }
      this.isReconnecting = false;
      this.#setState('CONNECTED');
    } catch (error) {
      log.warn('coming back failed', error);
      const code = error instanceof RtcError ? error.extraCode : undefined;
      if (code === CODE.RoomNotFound || code === CODE.RoomFull || code === CODE.Banned) {
        this.#goOut(code === CODE.Banned ? 'banned' : 'room_disband');
      } else if (error instanceof RtcError && error.extraCode !== undefined) {
        this.emit('ended', error);
      }
    }
  }

  #rebuild(): Promise<void> {
    return this.#settleMedia(this.#publisher?.rebuild(), this.#watcher?.rebuild());
  }

  async #settleMedia(...work: (Promise<void> | undefined)[]): Promise<void> {
    for (const result of await Promise.allSettled(work)) {
      if (result.status === 'rejected') log.warn('media could not be brought up to date', result.reason);
    }
  }

  #setState(state: ConnectionState): void {
    const before = this.#state;
    if (state === before) return;
    this.#state = state;
    this.emit('state', before, state, this.isReconnecting);
  }

  #setSeats(seats: Events['seats_changed']['SeatList']): void {
    this.seats = seats.map((seat) => ({
      index: seat.Index,
      userId: seat.Member_Account ?? '',
      userName: seat.Member_Account ?? '',
      nameCard: '',
      avatarUrl: '',
      isLocked: seat.IsTakenDisabled,
      isVideoLocked: seat.IsVideoDisabled,
      isAudioLocked: seat.IsAudioDisabled,
    }));
    this.emit('seats', this.seats);
    if (!this.ownSeat) this.isLeavingSeat = false;
  }

  #setStreams(userId: string, all: Events['streams_changed']['Streams']): void {
    const streams: Streams = new Map();
    for (const { StreamType, Muted, Encrypted } of all) {
      streams.set(StreamType, { isMuted: Muted, isEncrypted: Encrypted === true });
    }
    if (streams.size > 0) this.streams.set(userId, streams);
    else this.streams.delete(userId);
    this.emit('streams', userId, streams);
  }

  #take(told: Told): void {
    const { event, body } = told;
    // The room of a battle's event is the one that has answered or left, which may be another.
    const isOfBattle = event.startsWith('battle_');
    if (!isOfBattle && 'RoomId' in body && body.RoomId !== this.roomId) return;
    switch (event) {
      case 'members_changed': {
        const entered = body.Entered.map((member) => member.Member_Account).filter((name) => !this.members.has(name));
        const left = body.Left.map((member) => member.Member_Account).filter((name) => this.members.has(name));
        for (const name of entered) this.members.add(name);
        for (const name of left) this.members.delete(name);
        this.roomInfo.MemberCount = body.MemberCount;
        const causes = new Map<string, string>(body.Left.map(({ Member_Account, Cause }) => [Member_Account, Cause]));
        if (entered.length + left.length > 0) this.emit('members', { entered, left, causes });
        break;
      }
      case 'streams_changed':
        this.#setStreams(body.Member_Account, body.Streams);
        break;
      case 'seats_changed':
        this.#setSeats(body.SeatList);
        break;
      case 'publishing_changed':
        this.emit('allowed', new Set(body.Allowed));
        break;
      case 'watch_changed':
        for (const { Member_Account, StreamType, State, Reason = 'network' } of body.Streams) {
          this.#watcher?.takeShown(Member_Account, StreamType, State === 'paused' ? Reason : undefined);
        }
        break;
      case 'link_changed':
        this.link = { bitrate: Math.round(body.Bitrate / 1000), rtt: body.Rtt, loss: body.Loss };
        break;
      case 'layers_wanted': {
        const layers = body.Layers.map(({ Rid, Wanted }) => ({ rid: Rid, isWanted: Wanted }));
        this.#publisher?.takeWanted(body.StreamType, body.Seq, layers);
        break;
      }
      case 'media_lost':
        void this.#rebuild();
        break;
      case 'room_info_changed':
        this.#learn(body.RoomInfo);
        break;
      case 'owner_changed':
        this.roomInfo.Owner_Account = body.CurrentOwner_Account;
        break;
      case 'admins_changed':
        for (const name of body.Admin_Account) {
          if (body.OpType === 'add') this.admins.add(name);
          else this.admins.delete(name);
        }
        break;
      case 'metadata_changed':
        for (const { Key, Value } of body.Metadata) this.metadata.set(Key, Value);
        for (const key of body.DeletedKeys) this.metadata.delete(key);
        break;
      case 'room_closed': {
        const { Cause: cause } = body;
        this.#goOut(cause === 'banned' ? 'banned' : cause === 'kicked' ? 'kick' : 'room_disband');
        break;
      }
    }
    this.emit('event', told);
  }

  #goOut(reason: string): void {
    if (!this.isInRoom) return;
    this.#leaveRoom();
    this.emit('out', reason);
  }

  /** What was said a moment ago holds still; the passwords in it may not for much longer. */
  #iceServers(): Promise<RTCIceServer[]> {
    if (this.options.iceServers) return Promise.resolve(this.options.iceServers);
    const now = performance.now();
    const known = this.#mediaConfig;
    if (known && now < known.askedAt + PASSWORDS_HOLD_MS) return known.servers;
    const config = { askedAt: now, servers: this.gateway.request('get_media_config', {}).then(({ IceServers }) => IceServers) };
    this.#mediaConfig = config;
    config.servers.catch(() => {
      if (this.#mediaConfig === config) this.#mediaConfig = undefined;
    });
    return config.servers;
  }
}

function notInside(): RtcError {
  return new RtcError({ code: ERROR_CODE.INVALID_OPERATION, extraCode: 5101, message: 'not in a room: call enterRoom first' });
}
