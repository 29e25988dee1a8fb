import type { ProxyServer, StreamType } from '../api.js';
import { Mixer, volumeOf } from '../capture.js';
import { SEI_CMD_ID, bytesOf, framed, isTakeOver, sendData, takeOver } from '../data.js';
import { Emitter } from '../emitter.js';
import { makeRoom, networkOf, roomIdOf } from '../entering.js';
import type { Events } from '../protocol.js';
import { log } from '../log.js';
import { tellLoudest } from '../loudest.js';
import { AUDIO_PROFILES, type VideoProfile } from '../profiles.js';
import { Session, type Streams, mediaOf } from '../session.js';
import { StatisticsReader } from '../statistics.js';
import { steady } from '../steady.js';
import { Turns } from '../turns.js';
import { heardLevel } from '../watcher.js';
import { ErrorCode, RtcError4, from, in4, requireKinds, wrong } from './errors.js';
import { LocalStream } from './local-stream.js';
import { RemoteStream } from './remote-stream.js';
import type {
  ClientConfig,
  ClientEventMap,
  ConnectionState,
  JoinOptions,
  LocalAudioStatsMap,
  LocalVideoStatsMap,
  MixTranscodeConfig,
  PublishCDNStreamOptions,
  RemoteAudioStatsMap,
  RemoteMutedState,
  RemoteStreamType,
  RemoteVideoStatsMap,
  Role,
  SmallStreamProfile,
  Told,
  TransportStats,
  TurnServerConfig,
} from './types.js';

type ClientEvents = Told<ClientEventMap>;

const QUALITY_MS = 2_000;
const LONGEST_SEI = 1_000;

const KINDS = {
  mode: ['rtc', 'live', 'videoCall'], useStringRoomId: [true, false], autoSubscribe: 'boolean', enableAutoPlayDialog: 'boolean', streamId: 'string', userDefineRecordId: 'string', pureAudioPushMode: [1, 2], enableSEI: 'boolean',
} as const;
const RECORD_ID = /^[\w-]{1,64}$/;
const ROLES = ['anchor', 'audience'];
const CAUSES: Record<string, string> = { kick: 'the user came in by another page, or was kicked out', banned: 'the user was banned', 'room-disband': 'the room is over' };

const SIZE = ['width', 'height', 'bitrate', 'frameRate', 'framerate'] as const;
const NO_CLOUD = 'the server does not send streams to other places: players and recorders come by WHEP (docs/protocol.md)';

/** A user in a room, as version 4 of the cloud's Web SDK has it. */
export class Client extends Emitter<ClientEvents> {
  readonly #config: ClientConfig;
  #session: Session | undefined;
  #role: Role = 'anchor';
  readonly #remote = new Map<string, RemoteStream>();
  /** What is published: a camera or a screen as the main stream, a screen beside it. */
  readonly #local = new Map<StreamType, LocalStream>();
  readonly #turns = new Turns();
  readonly #peers = new Set<string>();
  /** Of streams that were told of, those of which the page has said whether it wants them. */
  readonly #decided = new Set<RemoteStream>();
  #mixer: Mixer | undefined;
  #hasSmall = true;
  #small: VideoProfile | undefined;
  #proxy: ProxyServer = {};
  #volumeTimer: ReturnType<typeof setInterval> | undefined;
  #qualityTimer: ReturnType<typeof setInterval> | undefined;
  #reader = new StatisticsReader();
  #seq = 0;
  #isDestroyed = false;

  constructor(config: ClientConfig) {
    super();
    for (const [name, type] of [['sdkAppId', 'number'], ['userId', 'string'], ['userSig', 'string'], ['mode', 'string']] as const) {
      const value = config?.[name];
      if (!value || (type === 'string' && String(value).trim() === '')) throw wrong(`createClient: ${name} is missing`);
      if (typeof value !== type) throw wrong(`createClient: ${name} must be a ${type}`);
    }
    requireKinds('createClient', config, KINDS);
    const { streamId, userDefineRecordId } = config;
    if (streamId === '') throw wrong('createClient: streamId is empty');
    if (userDefineRecordId !== undefined && !RECORD_ID.test(userDefineRecordId)) throw wrong('createClient: userDefineRecordId must be 1 to 64 letters, digits, - or _');
    this.#config = config;
    steady(this);
  }

  // Room

  async join(options: JoinOptions): Promise<void> {
    const roomName = this.#roomNamed(options);
    if (this.#isDestroyed) throw new RtcError4(ErrorCode.INVALID_OPERATION, 'join: the client was destroyed, create another');
    if (this.#session) throw new RtcError4(ErrorCode.INVALID_OPERATION, 'the room was joined already: call leave first');
    const { sdkAppId, userId, userSig, server, mode } = this.#config;
    await in4(async () => {
      const session = new Session(networkOf({ proxy: this.#proxy }, server));
      this.#session = session;
      this.#role = mode === 'live' ? (options.role ?? 'anchor') : 'anchor';
      this.#listen(session);
      try {
        await session.login({ sdkAppId, userId, userSig });
        await session.enter(roomName, () => makeRoom(mode === 'live' ? 'live' : 'rtc', roomName), mediaOf(this.#role));
        takeOver(session);
        if (this.#role === 'anchor') await session.takeSeat();
      } catch (error) {
        if (this.#session === session) this.#end();
        session.close();
        throw error;
      }
      this.#qualityTimer = setInterval(() => void this.#tellQuality(session), QUALITY_MS);
    }, ErrorCode.JOIN_ROOM_FAILED);
  }

  /** What the room is called that is meant. */
  #roomNamed(options: JoinOptions): string {
    if (!options) throw wrong('join: roomId is missing');
    const { roomId } = options;
    requireKinds('join', options, { role: ROLES, privateMapKey: 'string' });
    const { useStringRoomId } = this.#config;
    if (useStringRoomId ? typeof roomId !== 'string' : typeof roomId !== 'number') throw wrong(`join: roomId must be a ${useStringRoomId ? 'string' : 'number'}, as useStringRoomId says`);
    try {
      return useStringRoomId ? roomIdOf({ strRoomId: roomId as string }, 'join') : roomIdOf({ roomId: roomId as number }, 'join');
    } catch (error) {
      throw from(error);
    }
  }

  /** Outside of rooms there is nothing to leave, which pages do all the same when they are closed. */
  async leave(): Promise<void> {
    const session = this.#session;
    if (!session) return;
    const told = session.leave().catch((error: unknown) => log.info('the server could not be told', error));
    this.#end();
    await told;
    session.close();
  }

  /** It is of no more use then: joining that is under way comes to nothing. */
  destroy(): void {
    if (this.#session?.isInRoom) throw new RtcError4(ErrorCode.INVALID_OPERATION, 'still in a room: call leave first');
    this.#session?.close();
    this.#isDestroyed = true;
    this.enableAudioVolumeEvaluation(0);
    this.off('*');
  }

  async switchRole(role: Role): Promise<void> {
    if (role !== 'anchor' && role !== 'audience') throw wrong("switchRole: role must be 'anchor' or 'audience'");
    if (this.#config.mode !== 'live') throw wrong('roles are of mode live');
    const session = this.#inRoom();
    await in4(
      () =>
        this.#turns.take(async () => {
          if (role === 'anchor') await session.takeSeat();
          else {
            for (const stream of [...this.#local.values()]) await this.#withdraw(session, stream);
            await session.getUp();
          }
          this.#role = role;
        }),
      ErrorCode.SWITCH_ROLE_FAILED,
    );
  }

  #inRoom(): Session {
    const session = this.#session;
    if (!session?.isInRoom) throw new RtcError4(ErrorCode.INVALID_OPERATION, 'not in a room: call join first');
    return session;
  }

  #end(): void {
    this.#session = undefined;
    clearInterval(this.#qualityTimer);
    for (const stream of this.#local.values()) {
      stream.published = undefined;
      stream.connect('DISCONNECTED');
    }
    for (const stream of this.#remote.values()) {
      stream.end();
      stream.connect('DISCONNECTED');
    }
    this.#local.clear();
    this.#remote.clear();
    this.#peers.clear();
    this.#mixer?.close();
    this.#mixer = undefined;
  }

  // What one sends

  /** Sends a stream; with `isAuxiliary`, beside the main one. */
  async publish(stream: LocalStream, { isAuxiliary = false }: { isAuxiliary?: boolean } = {}): Promise<void> {
    if (!(stream instanceof LocalStream)) throw wrong('publish takes what createStream made');
    const session = this.#inRoom();
    requireKinds('publish', { isAuxiliary }, { isAuxiliary: 'boolean' });
    const kind: StreamType = isAuxiliary ? 'sub' : 'main';
    if (this.#role === 'audience') throw new RtcError4(ErrorCode.INVALID_OPERATION, "an audience member does not publish: call switchRole('anchor') first");
    if (this.#local.has(kind)) throw new RtcError4(ErrorCode.INVALID_OPERATION, 'a stream is published already: call unpublish first');
    if (!stream.hasAudio() && !stream.hasVideo()) throw new RtcError4(ErrorCode.INVALID_OPERATION, 'the stream has no tracks: call initialize first');
    this.#local.set(kind, stream);
    stream.asksForClick = this.#config.enableAutoPlayDialog !== false;
    stream.connect('CONNECTING');
    stream.published = { onTracks: () => this.#turns.take(() => this.#send(session, kind, stream)), onMute: () => this.#turns.take(() => this.#send(session, kind, stream)) };
    await in4(async () => {
      try {
        await this.#turns.take(() => this.#send(session, kind, stream));
        if (this.#local.get(kind) === stream) stream.connect(this.#stateOf(session));
      } catch (error) {
        if (this.#local.get(kind) === stream) this.#local.delete(kind);
        stream.published = undefined;
        stream.connect('DISCONNECTED');
        throw error;
      }
    });
  }

  async unpublish(stream: LocalStream): Promise<void> {
    if (!(stream instanceof LocalStream)) throw wrong('unpublish takes what createStream made');
    // Who publishes nothing has nothing to take back.
    if (this.#local.size === 0) return;
    const session = this.#inRoom();
    if (![...this.#local.values()].includes(stream)) throw wrong('unpublish: another stream is published');
    await in4(() => this.#turns.take(() => this.#withdraw(session, stream)));
  }

  async #withdraw(session: Session, stream: LocalStream): Promise<void> {
    stream.published = undefined;
    stream.connect('DISCONNECTED');
    for (const [kind, published] of this.#local) {
      if (published !== stream) continue;
      this.#local.delete(kind);
      await session.publisher.unpublish(kind);
    }
    await this.#sendSound(session);
  }

  async #send(session: Session, kind: StreamType, stream: LocalStream): Promise<void> {
    if (this.#local.get(kind) !== stream || !session.isInRoom) return;
    // At once, so that the others are told of one stream with both.
    const sound = this.#sendSound(session);
    await Promise.all([sound, this.#sendPicture(session, kind, stream)]);
  }

  async #sendPicture(session: Session, kind: StreamType, stream: LocalStream): Promise<void> {
    const track = stream.getVideoTrack();
    if (!track) {
      await session.publisher.unpublish(kind);
      return;
    }
    const { videoProfile } = stream.sending;
    const { width = videoProfile.width, height = videoProfile.height } = track.getSettings();
    const isScreen = stream.config.screen === true;
    const encoding = { ...videoProfile, width, height, qosPreference: isScreen ? ('clear' as const) : ('smooth' as const), isSimulcast: this.#hasSmall && !isScreen, small: this.#small };
    await session.publisher.publish(kind, track, { encoding, isMuted: stream.muted.video });
  }

  /** The microphone, and the sound of a screen, as one. */
  async #sendSound(session: Session): Promise<void> {
    if (!session.isInRoom) return;
    const heard = [...this.#local].filter(([, stream]) => stream.hasAudio());
    const [first] = heard;
    if (!first) {
      await session.publisher.unpublish('audio');
      return;
    }
    const isPlain = heard.length === 1 && first[1].sending.captureVolume === 100 && !this.#mixer;
    let track = first[1].getAudioTrack();
    if (!isPlain) {
      const mixer = (this.#mixer ??= new Mixer());
      for (const kind of ['main', 'sub'] as const) {
        const stream = this.#local.get(kind);
        mixer.set(kind, stream?.getAudioTrack() ?? undefined, stream?.sending.captureVolume ?? 100);
      }
      ({ track } = mixer);
    }
    const { bitrate, isDiscontinuous } = AUDIO_PROFILES[first[1].sending.audioProfile];
    if (track) await session.publisher.publish('audio', track, { audioBitrate: bitrate, isDiscontinuous, isMuted: heard.every(([, stream]) => stream.muted.audio) });
  }

  // What one gets

  /** Takes a stream, or of it only what is wanted. */
  async subscribe(stream: RemoteStream, { audio = true, video = true }: { audio?: boolean; video?: boolean } = {}): Promise<void> {
    requireRemote('subscribe', stream);
    requireKinds('subscribe', { audio, video }, { audio: 'boolean', video: 'boolean' });
    if (!audio && !video) throw new RtcError4(ErrorCode.INVALID_OPERATION, 'subscribe: nothing is wanted of it: call unsubscribe');
    this.#decided.add(stream);
    Object.assign(stream.subscribed, { audio, video });
    await in4(() => this.#watch(this.#inRoom(), stream), ErrorCode.SUBSCRIPTION_TIMEOUT);
    if (this.#remote.get(keyOf(stream.getUserId(), stream.kind)) !== stream) return;
    if (this.#session) stream.connect(this.#stateOf(this.#session));
    this.emit('stream-subscribed', { stream });
  }

  async unsubscribe(stream: RemoteStream): Promise<void> {
    requireRemote('unsubscribe', stream);
    this.#decided.add(stream);
    Object.assign(stream.subscribed, { audio: false, video: false });
    stream.stop();
    stream.connect('DISCONNECTED');
    await in4(() => this.#watch(this.#inRoom(), stream));
  }

  async #watch(session: Session, stream: RemoteStream): Promise<void> {
    if (!session.isInRoom) return;
    const userId = stream.getUserId();
    const { audio, video } = stream.subscribed;
    const work: Promise<void>[] = [];
    if (stream.kind === 'main') {
      const isHeard = audio && stream.hasAudio();
      work.push(isHeard ? session.watcher.watch({ userId, kind: 'audio', maxHeight: 0, isPaused: false }) : session.watcher.unwatch(userId, 'audio'));
    }
    const maxHeight = stream.isSmall ? 1 : stream.shownHeight;
    work.push(video && stream.hasVideo() ? session.watcher.watch({ userId, kind: stream.kind, maxHeight, isPaused: false }) : session.watcher.unwatch(userId, stream.kind));
    await Promise.all(work);
    stream.refresh();
  }

  #compare(session: Session, userId: string, streams: Streams): void {
    if (userId === session.userId) return;
    this.#setPeer(userId, streams.size > 0 || session.members.has(userId), session);
    for (const kind of ['main', 'sub'] as const) {
      const now = new Map<'audio' | 'video', { isMuted: boolean }>();
      const [sound, picture] = [kind === 'main' ? streams.get('audio') : undefined, streams.get(kind)];
      if (sound) now.set('audio', sound);
      if (picture) now.set('video', picture);
      this.#follow(session, userId, kind, now);
    }
  }

  #follow(session: Session, userId: string, kind: StreamType, now: Map<'audio' | 'video', { isMuted: boolean }>): void {
    const key = keyOf(userId, kind);
    const known = this.#remote.get(key);
    if (now.size === 0) {
      if (!known) return;
      this.#remote.delete(key);
      known.sent.clear();
      this.emit('stream-removed', { stream: known });
      known.end();
      known.connect('DISCONNECTED');
      this.#watch(session, known).catch((error: unknown) => log.info('a stream was not let go of', error));
      return;
    }
    const stream = known ?? new RemoteStream(userId, kind, {
      track: (user, what) => (this.#session?.isInRoom ? this.#session.watcher.track(user, what) : undefined) ?? null,
      level: (user) => levelOf(this.#session, user),
      resize: (shown) => void this.#watch(session, shown).catch((error: unknown) => log.info('a video was not adapted', error)),
    });
    const before = new Map(stream.sent);
    stream.sent.clear();
    for (const [what, state] of now) stream.sent.set(what, state);
    const isOther = before.size !== now.size || [...before.keys()].some((what) => !now.has(what));
    if (!known) {
      stream.asksForClick = this.#config.enableAutoPlayDialog !== false;
      this.#remote.set(key, stream);
      this.emit('stream-added', { stream });
      // Whoever has said nothing of it by then gets it, unless it is wanted otherwise.
      if (this.#config.autoSubscribe !== false && !this.#decided.has(stream)) {
        void this.subscribe(stream).catch((error: unknown) => log.warn(`${userId} is not watched`, error));
      }
    } else if (isOther) {
      this.emit('stream-updated', { stream });
      this.#watch(session, stream).catch((error: unknown) => log.warn(`${userId} is not watched`, error));
    }
    // A screen that is off for a while has no event.
    if (kind === 'sub') return;
    for (const [what, { isMuted }] of now) {
      const wasMuted = before.get(what)?.isMuted ?? false;
      if (isMuted !== wasMuted) this.emit(`${isMuted ? 'mute' : 'unmute'}-${what}`, { userId });
    }
  }

  #setPeer(userId: string, isThere: boolean, session: Session): void {
    if (userId === session.userId || this.#peers.has(userId) === isThere) return;
    if (isThere) this.#peers.add(userId);
    else this.#peers.delete(userId);
    this.emit(isThere ? 'peer-join' : 'peer-leave', { userId });
  }

  getRemoteMutedState(): RemoteMutedState[] {
    const streams = [...this.#remote.values()].filter(({ kind }) => kind === 'main');
    return streams.map((stream) => {
      const [audio, video] = [stream.sent.get('audio'), stream.sent.get('video')];
      const [audioMuted, videoMuted] = [audio?.isMuted !== false, video?.isMuted !== false];
      return { userId: stream.getUserId(), hasAudio: stream.hasAudio(), hasVideo: stream.hasVideo(), audioMuted, videoMuted, hasSmall: stream.hasVideo() };
    });
  }

  async setRemoteVideoStreamType(stream: RemoteStream, type: 'big' | 'small'): Promise<void> {
    requireRemote('setRemoteVideoStreamType', stream);
    if (type !== 'big' && type !== 'small') throw wrong("setRemoteVideoStreamType: type must be 'big' or 'small'");
    stream.isSmall = type === 'small';
    await in4(() => this.#watch(this.#inRoom(), stream));
  }

  /** Small pictures are sent in any case, unless that is taken back. */
  async enableSmallStream(): Promise<void> {
    await this.#setSmall(true);
  }

  async disableSmallStream(): Promise<void> {
    await this.#setSmall(false);
  }

  async #setSmall(hasSmall: boolean): Promise<void> {
    this.#hasSmall = hasSmall;
    for (const stream of this.#local.values()) await stream.published?.onTracks();
  }

  /** As pages of before 4.12 write it, too: `framerate`. */
  setSmallStreamProfile(profile: Partial<SmallStreamProfile> & { framerate?: number }): void {
    if (typeof profile !== 'object' || profile === null) throw wrong('setSmallStreamProfile: the profile is missing');
    for (const name of SIZE) if (profile[name] !== undefined && !(Number(profile[name]) >= 0)) throw wrong(`setSmallStreamProfile: ${name} must be a number`);
    const { framerate = 15 } = profile;
    this.#small = { width: 160, height: 120, bitrate: 100, frameRate: framerate, ...profile };
  }

  // What happens

  #listen(session: Session): void {
    session.on('state', (prevState, state) => {
      if (this.#session !== session) return;
      this.emit('connection-state-changed', { prevState: prevState as ConnectionState, state: state as ConnectionState });
      for (const stream of [...this.#local.values(), ...this.#remote.values()]) if (stream.isConnected) stream.connect(this.#stateOf(session));
    });
    const isOpen = this.#config.mode !== 'live';
    session.on('members', ({ entered, left }) => {
      if (this.#session !== session) return;
      for (const userId of left) this.#setPeer(userId, false, session);
      if (isOpen) for (const userId of entered) this.#setPeer(userId, true, session);
    });
    session.on('streams', (userId, streams) => {
      if (this.#session !== session) return;
      if (!isOpen && streams.size === 0) this.#setPeer(userId, false, session);
      this.#compare(session, userId, streams);
    });
    session.on('track', (userId, kind) => this.#remote.get(keyOf(userId, kind === 'sub' ? 'sub' : 'main'))?.refresh());
    session.on('event', ({ event, body }) => {
      if (event !== 'data_received') return;
      if (!isTakeOver(body)) this.#takeData(body);
      else if (body.From_Account === session.userId) {
        session.leave().catch((error: unknown) => log.info('the server could not be told', error));
        this.#goOut(session, 'kick');
      }
    });
    session.on('out', (reason) => this.#goOut(session, reason === 'room_disband' ? 'room-disband' : (reason as 'kick')));
    session.on('ended', (error) => {
      if (this.#session !== session) return;
      this.#end();
      session.close();
      this.emit('error', from(error, ErrorCode.SIGNAL_CHANNEL_ERROR));
    });
  }

  #goOut(session: Session, reason: 'kick' | 'banned' | 'room-disband'): void {
    if (this.#session !== session) return;
    this.#end();
    session.close();
    this.emit('client-banned', { reason, message: CAUSES[reason] ?? reason });
  }

  /** What streams are told of the connection: to them one that is sought again was there before. */
  #stateOf({ state, isInRoom }: Session): ConnectionState {
    return state === 'CONNECTED' && isInRoom ? 'CONNECTED' : 'RECONNECTING';
  }

  #takeData(body: Events['data_received']): void {
    const userId = body.From_Account;
    const bytes = bytesOf(body);
    if (body.CmdId === SEI_CMD_ID) {
      this.emit('sei-message', { userId, data: bytes.slice(2).buffer, seiPayloadType: bytes[0] === 5 ? 5 : 243, isFromAuxiliary: bytes[1] === 1 });
      return;
    }
    this.#seq += 1;
    this.emit('custom-message', { userId, cmdId: body.CmdId, seq: this.#seq, data: bytes.buffer });
  }

  async sendCustomMessage({ cmdId, data }: { cmdId: number; data: ArrayBuffer }): Promise<void> {
    if (!(cmdId >= 1 && cmdId <= 10)) throw wrong('cmdId must be a number from 1 to 10');
    await in4(() => sendData(this.#inRoom(), cmdId, new Uint8Array(data)));
  }

  /** Data that goes with the camera's picture, and beside it. */
  sendSEIMessage(data: ArrayBuffer, { seiPayloadType = 243 }: { seiPayloadType?: number } = {}): void {
    if (!(data instanceof ArrayBuffer)) throw wrong('sendSEIMessage: the data must be an ArrayBuffer');
    if (data.byteLength === 0 || data.byteLength > LONGEST_SEI) throw wrong(`sendSEIMessage: the data must be 1 to ${LONGEST_SEI} bytes`);
    requireKinds('sendSEIMessage', { seiPayloadType }, { seiPayloadType: [5, 243] });
    const stream = this.#local.get('main');
    if (!stream) throw wrong('sendSEIMessage: no stream is published: call publish first');
    if (!stream.hasVideo()) throw new RtcError4(ErrorCode.INVALID_OPERATION, 'sendSEIMessage: the stream that is published has no video');
    sendData(this.#inRoom(), SEI_CMD_ID, framed(data, seiPayloadType, false)).catch((error: unknown) => log.warn('sendSEIMessage was refused', error));
  }

  // Levels and statistics

  enableAudioVolumeEvaluation(interval = 2_000, enableInBackground = false): void {
    if (typeof interval !== 'number') throw wrong('interval must be a number');
    clearInterval(this.#volumeTimer);
    if (interval <= 0) return;
    const isWanted = (): boolean => enableInBackground || !document.hidden;
    const levels = (): Map<LocalStream | RemoteStream, number> => {
      const mine = this.#local.get('main');
      const heard = [...this.#remote.values()].filter((stream) => stream.subscribed.audio && stream.hasAudio());
      return new Map([...(mine?.hasAudio() ? [mine] : []), ...heard].map((stream) => [stream, stream.getAudioLevel()]));
    };
    this.#volumeTimer = tellLoudest(Math.max(16, interval), isWanted, levels, (loudest) => {
      this.emit('audio-volume', { result: [...loudest].map(([stream, level]) => ({ userId: stream.getUserId(), audioVolume: volumeOf(level), stream })) });
    });
  }

  async #tellQuality(session: Session): Promise<void> {
    if (!session.isInRoom) return;
    try {
      const { quality, digest } = await this.#reader.read(session);
      this.emit('network-quality', quality);
      session.report(digest);
    } catch (error) {
      log.debug('no statistics this time', error);
    }
  }

  async getTransportStats(): Promise<TransportStats> {
    // Pages go on asking after they have left.
    if (!this.#session?.isInRoom) return { rtt: 0, downlinksRTT: {} };
    const { statistics } = await this.#reader.read(this.#session);
    const downlinksRTT = Object.fromEntries(statistics.remoteStatistics.map(({ userId }) => [userId, statistics.rtt]));
    return { rtt: statistics.rtt, downlinksRTT };
  }

  getLocalAudioStats(): Promise<LocalAudioStatsMap> {
    return this.#sent('audio', ['bytesSent', 'packetsSent']);
  }

  getLocalVideoStats(): Promise<LocalVideoStatsMap> {
    return this.#sent('main', ['bytesSent', 'packetsSent', 'framesEncoded', 'framesSent', 'frameWidth', 'frameHeight']);
  }

  getRemoteAudioStats(): Promise<RemoteAudioStatsMap> {
    return this.#received('audio', ['bytesReceived', 'packetsReceived', 'packetsLost']);
  }

  getRemoteVideoStats(type: RemoteStreamType = 'main'): Promise<RemoteVideoStatsMap> {
    return this.#received(type === 'main' ? 'main' : 'sub', ['bytesReceived', 'packetsReceived', 'packetsLost', 'framesDecoded', 'frameWidth', 'frameHeight']);
  }

  async #sent<Field extends string>(kind: 'audio' | 'main', fields: Field[]): Promise<Record<string, Record<Field, number>>> {
    const report = this.#session?.isInRoom ? await this.#session.publisher.sender(kind)?.getStats() : undefined;
    return { [this.#config.userId]: figures(report, 'outbound-rtp', fields) };
  }

  async #received<Field extends string>(kind: 'audio' | StreamType, fields: Field[]): Promise<Record<string, Record<Field, number>>> {
    const all = [...(this.#session?.isInRoom ? this.#session.watcher.receivers() : [])].filter(([watched]) => watched.kind === kind);
    const figured = all.map(async ([{ userId }, receiver]) => [userId, figures(await receiver.getStats(), 'inbound-rtp', fields)] as const);
    return Object.fromEntries(await Promise.all(figured));
  }

  // Network

  /** Before `join`. */
  setProxyServer(proxy: string | ProxyServer): void {
    if (typeof proxy === 'string' && !/^wss?:\/\//.test(proxy)) throw wrong('setProxyServer: the address of a proxy begins with wss://');
    this.#proxy = { ...this.#proxy, ...(typeof proxy === 'string' ? { websocketProxy: proxy } : proxy) };
  }

  /** Before `join`. */
  setTurnServer(servers: TurnServerConfig | TurnServerConfig[]): void {
    this.#proxy = { ...this.#proxy, turnServer: servers };
  }

  // What is a service of the cloud

  /** Who may enter is the app's own to say: there is no key to renew. */
  async callExperimentalAPI(name: string, _options?: object): Promise<void> {
    if (name !== 'updatePrivateMapKey') throw wrong(`there is no ${name} here`);
    log.info('updatePrivateMapKey changes nothing here');
  }

  startPublishCDNStream(_options?: PublishCDNStreamOptions): Promise<void> {
    return Promise.reject(new RtcError4(ErrorCode.START_PUBLISH_CDN_FAILED, NO_CLOUD));
  }

  stopPublishCDNStream(): Promise<void> {
    return Promise.reject(new RtcError4(ErrorCode.INVALID_OPERATION, NO_CLOUD));
  }

  startMixTranscode(_config?: MixTranscodeConfig): Promise<void> {
    return Promise.reject(new RtcError4(ErrorCode.START_MIX_TRANSCODE_FAILED, NO_CLOUD));
  }

  stopMixTranscode(): Promise<void> {
    return Promise.reject(new RtcError4(ErrorCode.INVALID_OPERATION, NO_CLOUD));
  }
}

function requireRemote(name: string, stream: unknown): void {
  if (!(stream instanceof RemoteStream)) throw wrong(`${name} takes what stream-added told of`);
}

const keyOf = (userId: string, kind: StreamType): string => `${kind} ${userId}`;

function levelOf(session: Session | undefined, userId: string): number {
  const receiver = session?.isInRoom ? session.watcher.receiver(userId, 'audio') : undefined;
  return receiver ? heardLevel(receiver) : 0;
}

/** The sums of some numbers over all entries of a kind. */
function figures<Field extends string>(report: RTCStatsReport | undefined, type: string, fields: Field[]): Record<Field, number> {
  const sums = Object.fromEntries(fields.map((field) => [field, 0])) as Record<Field, number>;
  report?.forEach((entry: Record<string, unknown>) => {
    if (entry['type'] !== type) return;
    for (const field of fields) {
      const value = Number(entry[field] ?? 0);
      // Of several sizes of one picture, the largest is the picture's.
      sums[field] = field.startsWith('frame') && !field.startsWith('frames') ? Math.max(sums[field] ?? 0, value) : (sums[field] ?? 0) + value;
    }
  });
  return sums;
}
