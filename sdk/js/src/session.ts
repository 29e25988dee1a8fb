import type { PlayoutDelay } from './api.js';
import { CODE } from './codes.js';
import { Emitter } from './emitter.js';
import { Encryption, type EncryptionKey, sealedBy } from './encryption.js';
import { ERROR_CODE, RtcError, aborted } from './errors.js';
import { type Body, type Credentials, Gateway, gatewayUrl } from './gateway.js';
import { log } from './log.js';
import type { StreamKind } from './peer.js';
import { Publisher } from './publisher.js';
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
  /** Something that the server said of the room, with its name on the wire. */
  event: [string, Body];
  /** With the cause, in the server's words, for which somebody left. */
  members: [{ entered: string[]; left: string[]; causes?: Map<string, string> }];
  streams: [string, Streams];
  seats: [Seat[]];
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
  server?: string | undefined;
  iceServers?: RTCIceServer[] | undefined;
  iceTransportPolicy?: RTCIceTransportPolicy | undefined;
  /** The keys of end-to-end encryption, where that is on. */
  encryption?: { sdkAppId: number; keys: Map<number, EncryptionKey> } | undefined;
  /** Of all who speak, at most so many are heard at once: the loudest. */
  maxSpeakers?: number | undefined;
  playoutDelay?: PlayoutDelay | undefined;
}

/** Makes a room that does not exist yet, as the cloud does for whoever enters first. */
export type MakeRoom = (() => Body) | undefined;

/** One user in one room: what there is to know of it, and the media connections. */
export class Session extends Emitter<SessionEvents> {
  readonly gateway: Gateway;
  readonly options: SessionOptions;
  #state: ConnectionState = 'DISCONNECTED';
  #publisher: Publisher | undefined;
  #watcher: Watcher | undefined;
  #mediaConfig: Promise<RTCIceServer[]> | undefined;
  #encryption: Encryption | undefined;
  userId = '';
  roomId = '';
  isInRoom = false;
  #isClosed = false;
  isReconnecting = false;
  /** What the server thinks of the link to here: kbit/s, ms, and the share that is lost. */
  link: { bitrate: number; rtt: number; loss: number } | undefined;
  roomInfo: Body = {};
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
    this.gateway = new Gateway(gatewayUrl(options.server), {
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
      onEvent: (event, body) => this.#take(event, body),
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
    this.#setState('CONNECTING');
    this.userId = credentials.userId;
    try {
      await this.gateway.login(credentials);
    } catch (error) {
      this.#setState('DISCONNECTED');
      throw error;
    }
    this.#setState('CONNECTED');
  }

  async enter(roomId: string, makeRoom: MakeRoom): Promise<void> {
    const { encryption } = this.options;
    // Before entering: what is published in a room is sealed from its first frame on.
    const keys = encryption?.keys.values();
    this.#encryption = encryption && keys && (await Encryption.start(encryption.sdkAppId, roomId, this.userId, keys));
    let answer: Body;
    try {
      answer = await this.#enter(roomId, makeRoom);
      if (this.#isClosed) throw aborted('', 'the room was left');
    } catch (error) {
      this.#encryption?.close();
      this.#encryption = undefined;
      throw error;
    }
    this.roomId = roomId;
    this.isInRoom = true;
    const options = {
      encryption: this.#encryption,
      iceServers: () => this.#iceServers(),
      iceTransportPolicy: () => this.options.iceTransportPolicy,
    };
    this.#publisher = new Publisher(this.gateway, roomId, options);
    const { maxSpeakers, playoutDelay } = this.options;
    const watching = { ...options, maxSpeakers, playoutDelay };
    this.#watcher = new Watcher(
      this.gateway,
      roomId,
      watching,
      (userId, kind, track) => this.emit('track', userId, kind, track),
      (userId, kind) => this.emit('sealed', userId, kind),
    );
    this.#welcome(answer);
  }

  async #enter(roomId: string, makeRoom: MakeRoom): Promise<Body> {
    try {
      return await this.gateway.request('enter_room', { RoomId: roomId });
    } catch (error) {
      if (!(error instanceof RtcError) || error.extraCode !== CODE.RoomNotFound || !makeRoom) throw error;
    }
    try {
      await this.gateway.request('create_room', { RoomInfo: { RoomId: roomId, ...makeRoom() } });
    } catch (error) {
      // Somebody else was a little faster, or this user elsewhere.
      const code = error instanceof RtcError ? error.extraCode : undefined;
      if (code !== CODE.RoomExists && code !== CODE.RoomIsThere) throw error;
    }
    return this.gateway.request('enter_room', { RoomId: roomId });
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
  async request(command: string, body: Body = {}): Promise<Body> {
    if (!this.isInRoom) throw notInside();
    return this.gateway.request(command, { RoomId: this.roomId, ...body });
  }

  /** Sits, where there are seats; who sits already stays there. The list of seats may be a moment behind. */
  async takeSeat(): Promise<void> {
    if (!this.hasSeats) return;
    try {
      await this.request('take_seat');
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
      await this.request('leave_seat');
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
    this.members.clear();
    this.streams.clear();
    this.seats = [];
  }

  /** Takes over what the server says of the room on entering. */
  #welcome(answer: Body): void {
    this.roomInfo = (answer['RoomInfo'] ?? {}) as Body;
    const entered: string[] = [];
    for (const member of list(answer['MemberList'])) {
      const name = String(member['Member_Account']);
      if (!this.members.has(name)) entered.push(name);
      this.members.add(name);
    }
    this.admins = new Set(strings(answer['Admin_Account']));
    this.metadata = new Map(list(answer['Metadata']).map((entry) => [String(entry['Key']), String(entry['Value'])]));
    this.#setSeats(answer['SeatList']);
    this.emit('members', { entered: entered.filter((name) => name !== this.userId), left: [] });
    const now = new Map(list(answer['StreamList']).map((entry) => [String(entry['Member_Account']), entry]));
    for (const name of [...this.streams.keys()]) if (!now.has(name)) this.#setStreams(name, []);
    for (const [name, entry] of now) this.#setStreams(name, entry['Streams']);
  }

  async #comeBack({ isResumed, isSameServer }: { isResumed: boolean; isSameServer: boolean }): Promise<void> {
    try {
      if (this.isInRoom) {
        // Entering again changes nothing, and says what was missed.
        const answer = await this.gateway.request('enter_room', { RoomId: this.roomId });
        const names = new Set(list(answer['MemberList']).map((member) => String(member['Member_Account'])));
        const left = [...this.members].filter((name) => !names.has(name));
        // Of a large room only the first page came, which says nothing about the others.
        if (answer['Next'] === '' && left.length > 0) {
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

  #setSeats(value: unknown): void {
    this.seats = list(value).map((seat) => ({
      index: Number(seat['Index']),
      userId: String(seat['Member_Account'] ?? ''),
      userName: String(seat['Member_Account'] ?? ''),
      nameCard: '',
      avatarUrl: '',
      isLocked: seat['IsTakenDisabled'] === true,
      isVideoLocked: seat['IsVideoDisabled'] === true,
      isAudioLocked: seat['IsAudioDisabled'] === true,
    }));
    this.emit('seats', this.seats);
    if (!this.ownSeat) this.isLeavingSeat = false;
  }

  #setStreams(userId: string, value: unknown): void {
    const streams: Streams = new Map();
    for (const stream of list(value)) {
      streams.set(String(stream['StreamType']) as StreamKind, { isMuted: stream['Muted'] === true, isEncrypted: stream['Encrypted'] === true });
    }
    if (streams.size > 0) this.streams.set(userId, streams);
    else this.streams.delete(userId);
    this.emit('streams', userId, streams);
  }

  #take(event: string, body: Body): void {
    if (body['RoomId'] !== undefined && body['RoomId'] !== this.roomId) return;
    switch (event) {
      case 'members_changed': {
        const names = (key: string) => list(body[key]).map((entry) => String(entry['Member_Account']));
        const entered = names('Entered').filter((name) => !this.members.has(name));
        const left = names('Left').filter((name) => this.members.has(name));
        for (const name of entered) this.members.add(name);
        for (const name of left) this.members.delete(name);
        this.roomInfo['MemberCount'] = body['MemberCount'];
        const causes = new Map(list(body['Left']).map((entry) => [String(entry['Member_Account']), String(entry['Cause'])]));
        if (entered.length + left.length > 0) this.emit('members', { entered, left, causes });
        break;
      }
      case 'streams_changed':
        this.#setStreams(String(body['Member_Account']), body['Streams']);
        break;
      case 'seats_changed':
        this.#setSeats(body['SeatList']);
        break;
      case 'publishing_changed':
        this.emit('allowed', new Set(strings(body['Allowed']) as StreamKind[]));
        break;
      case 'watch_changed':
        for (const stream of list(body['Streams'])) {
          const reason = stream['State'] === 'paused' ? String(stream['Reason'] ?? 'network') : undefined;
          this.#watcher?.takeShown(String(stream['Member_Account']), String(stream['StreamType']) as StreamKind, reason);
        }
        break;
      case 'link_changed':
        this.link = { bitrate: Math.round(Number(body['Bitrate'] ?? 0) / 1000), rtt: Number(body['Rtt'] ?? 0), loss: Number(body['Loss'] ?? 0) };
        break;
      case 'layers_wanted': {
        const layers = list(body['Layers']).map((layer) => ({
          rid: String(layer['Rid'] ?? ''),
          isWanted: layer['Wanted'] !== false,
        }));
        this.#publisher?.takeWanted(String(body['StreamType']) as StreamKind, Number(body['Seq']), layers);
        break;
      }
      case 'media_lost':
        void this.#rebuild();
        break;
      case 'room_info_changed':
        this.roomInfo = (body['RoomInfo'] ?? {}) as Body;
        break;
      case 'owner_changed':
        this.roomInfo['Owner_Account'] = body['CurrentOwner_Account'];
        break;
      case 'admins_changed':
        for (const name of strings(body['Admin_Account'])) {
          if (body['OpType'] === 'add') this.admins.add(name);
          else this.admins.delete(name);
        }
        break;
      case 'metadata_changed':
        for (const entry of list(body['Metadata'])) this.metadata.set(String(entry['Key']), String(entry['Value']));
        for (const key of strings(body['DeletedKeys'])) this.metadata.delete(key);
        break;
      case 'room_closed': {
        const cause = String(body['Cause']);
        this.#goOut(cause === 'banned' ? 'banned' : cause === 'kicked' ? 'kick' : 'room_disband');
        break;
      }
    }
    this.emit('event', event, body);
  }

  #goOut(reason: string): void {
    if (!this.isInRoom) return;
    this.#leaveRoom();
    this.emit('out', reason);
  }

  #iceServers(): Promise<RTCIceServer[]> {
    if (this.options.iceServers) return Promise.resolve(this.options.iceServers);
    this.#mediaConfig ??= this.gateway
      .request('get_media_config', {})
      .then((config) => (config['IceServers'] ?? []) as RTCIceServer[])
      .catch((error: unknown) => {
        this.#mediaConfig = undefined;
        throw error;
      });
    return this.#mediaConfig;
  }
}

export function list(value: unknown): Body[] {
  return Array.isArray(value) ? (value as Body[]) : [];
}

export function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function notInside(): RtcError {
  return new RtcError({ code: ERROR_CODE.INVALID_OPERATION, extraCode: 5101, message: 'not in a room: call enterRoom first' });
}
