import {
  EVENT,
  NEVER_TOLD,
  type EnterRoomConfig,
  type LocalAudioConfig,
  type LocalVideoConfig,
  type RemoteVideoConfig,
  type Role,
  type ScreenShareConfig,
  type StreamType,
  type SwitchRoomConfig,
  type TRTCEventTypes,
  type TRTCOptions,
  TYPE,
  type Volume,
} from './api.js';
import { Autoplay } from './autoplay.js';
import { Meter, decibels, volumeOf } from './capture.js';
import { loadEncryption } from './chunks.js';
import {
  type PermissionType,
  type Permissions,
  type Support,
  getCameraList,
  getMicrophoneList,
  getPermissions,
  getSpeakerList,
  isSupported,
  watchPermissions,
} from './devices.js';
import { SEI_CMD_ID, bytesOf, framed, isTakeOver, sendData, takeOver } from './data.js';
import { Emitter } from './emitter.js';
import type { Encryption } from './encryption.js';
import { ERROR_CODE, RtcError, aborted, destroyed, invalid, named, unsupported, wrongMoment } from './errors.js';
import { fileUrl } from './gateway.js';
import type { Events } from './protocol.js';
import { makeRoom, networkOf, requireEntry, roleOf, roomIdOf } from './entering.js';
import { HeldNews } from './held.js';
import { type EncryptionKey, MIN_KEY_BYTES, canEncrypt, sealedBy } from './keys.js';
import { LocalMedia, MEDIA_TYPES } from './local.js';
import { log, setLogLevel } from './log.js';
import { tellLoudest } from './loudest.js';
import { OPTIONS, check } from './options.js';
import type { PluginClass } from './plugin.js';
import type { PluginOptionsOf, PluginResultOf, PluginStartOptionsMap, PluginStopOptionsMap, PluginUpdateOptionsMap, PluginWithAssets } from './plugin-options.js';
import { Plugins } from './plugins.js';
import type { StreamKind } from './peer.js';
import { RemoteMedia } from './remote.js';
import { Room } from './room.js';
import { type MakeRoom, Session, mediaOf } from './session.js';
import { type Choice, type Stage, inRoom } from './stage.js';
import { setSpeaker } from './speakers.js';
import { StatisticsReader } from './statistics.js';
import { steady } from './steady.js';
import { Turns } from './turns.js';
import { heardLevel } from './watcher.js';

const STATISTICS_INTERVAL_MS = 2_000;
/** How often loudness is told of at most. */
const SHORTEST_TOLD_MS = 100;

/** A user in a room: publishes, watches, listens. */
export class TRTC extends Emitter<TRTCEventTypes> {
  static readonly EVENT = EVENT;
  static readonly TYPE = TYPE;
  static readonly ERROR_CODE = ERROR_CODE;
  /** For the cloud's statistics of frameworks, which nobody keeps here. */
  static frameWorkType = 0;
  static readonly VERSION = __VERSION__;

  readonly #options: TRTCOptions;
  #session: Session | undefined;
  #room: Room | undefined;
  #entering: EnterRoomConfig | undefined;
  /** The keys of end-to-end encryption, by their ids; none while it is off. */
  readonly #keys = new Map<number, EncryptionKey>();
  #role: Role = 'anchor';
  #choice: Choice = { role: 'anchor' };
  #isDestroyed = false;
  /** What concerns the room (entering it, roles, what is published) is carried out in the order it was asked for. */
  readonly #turns = new Turns();
  /** Grows when one leaves: what was asked for before, of the room, is over. */
  #visit = 0;
  /** The visit whose room is being entered. */
  #entry: number | undefined;
  /** The server is still told of the last leave until then. */
  #leaving: Promise<void> = Promise.resolve();
  /** What the parts of it see. */
  readonly #stage: Stage;
  readonly #local: LocalMedia;
  readonly #remote: RemoteMedia;
  readonly #plugins: Plugins;
  #statisticsTimer: ReturnType<typeof setInterval> | undefined;
  #volumeTimer: ReturnType<typeof setInterval> | undefined;
  #meter: { meter: Meter; track: MediaStreamTrack } | undefined;
  #reader = new StatisticsReader();
  #seq = 0;
  readonly #held = new HeldNews();
  readonly #autoplay = new Autoplay();
  #devices: MediaDeviceInfo[] = [];
  #stopWatching: (() => void) | undefined;
  #onDeviceChange = (): void => void this.#compareDevices();

  private constructor(options: TRTCOptions) {
    super();
    this.#options = options;
    const self = this;
    this.#stage = {
      get session() { return self.#session; },
      get entering() { return self.#entering; },
      get role() { return self.#role; },
      get choice() { return self.#choice; },
      inTurn: (work) => self.#turns.take(work),
      tell: (event, ...args) => {
        this.#held.take(event, args, this.hears(event));
        this.emit(event, ...args);
        if (event === 'autoplay-failed') this.#waitForGesture(...(args as TRTCEventTypes['autoplay-failed']));
      },
    };
    this.#local = new LocalMedia(this.#stage);
    this.#remote = new RemoteMedia(this.#stage);
    this.#plugins = new Plugins({
      trtc: this,
      another: () => TRTC.create({ server: options.server }),
      file: (name) => fileUrl(options.server, name),
      setEffect: (name, effect) => this.#local.setEffect(name, effect),
      setFilter: (filter) => this.#local.setFilter(filter),
      setSound: (name, track) => this.#local.setSound(name, track),
      waitForGesture: (resume) => this.#stage.tell('autoplay-failed', { userId: '', mediaType: 'audio', resume }),
    });
    for (const plugin of options.plugins ?? []) this.use(plugin);
    globalThis.navigator?.mediaDevices?.addEventListener?.('devicechange', this.#onDeviceChange);
    void this.#compareDevices();
    void watchPermissions((now) => this.emit('permission-state-change', now)).then((stop) => {
      if (this.#isDestroyed) stop();
      else this.#stopWatching = stop;
    });
    steady(this);
  }

  /** Whoever listens to who is there, and to what they send, hears of those that are there already too, a moment later. */
  override on<Name extends keyof TRTCEventTypes>(event: Name, handler: (...args: TRTCEventTypes[Name]) => void, context?: unknown): this {
    const isKnown = (Object.values(EVENT) as string[]).includes(event);
    if (!isKnown || event in NEVER_TOLD) log.warn(`the event ${event} is never told: ${NEVER_TOLD[event] ?? 'there is none of this name'}`);
    super.on(event, handler, context);
    queueMicrotask(() => {
      if (this.hears(event)) for (const args of this.#held.give(event)) this.emit(event, ...args);
    });
    return this;
  }

  // Life

  static create(options?: TRTCOptions | null): TRTC {
    check('create', options ?? undefined, OPTIONS.create);
    return new TRTC(options ?? {});
  }

  static isSupported(): Promise<Support> {
    return isSupported();
  }

  static getPermissions(option: { request?: boolean; types?: PermissionType[] } = {}): Promise<Permissions> {
    return getPermissions(option);
  }

  /** Logs go to the console alone: there is nowhere to upload them to. */
  static setLogLevel(level: number, _enableUploadLog?: boolean): void {
    setLogLevel(level);
  }

  static getCameraList(requestPermission?: boolean): Promise<MediaDeviceInfo[]> {
    return getCameraList(requestPermission);
  }

  static getMicrophoneList(requestPermission?: boolean): Promise<MediaDeviceInfo[]> {
    return getMicrophoneList(requestPermission);
  }

  static getSpeakerList(requestPermission?: boolean): Promise<MediaDeviceInfo[]> {
    return getSpeakerList(requestPermission);
  }

  /** All that is heard, now and from now on, comes from this speaker. */
  static async setCurrentSpeaker(id: string): Promise<void> {
    await named('setCurrentSpeaker', () => setSpeaker(id));
  }

  destroy(): void {
    if (this.#isBusy) throw wrongMoment('destroy', 'still in a room: call exitRoom first');
    this.#isDestroyed = true;
    this.#plugins.close();
    this.#local.close();
    this.#remote.close();
    this.enableAudioVolumeEvaluation(0);
    globalThis.navigator?.mediaDevices?.removeEventListener?.('devicechange', this.#onDeviceChange);
    this.#stopWatching?.();
    this.#autoplay.close();
    this.off('*');
  }

  /** Takes a plugin of the page's own. Those of this client are there without it, and taken by their names. */
  use(plugin: PluginWithAssets | PluginClass): void {
    this.#plugins.use(plugin);
  }

  startPlugin<Name extends string>(name: Name, options?: PluginOptionsOf<PluginStartOptionsMap, Name>): Promise<PluginResultOf<Name>> {
    return named('startPlugin', () => this.#plugins.start(name, options)) as Promise<PluginResultOf<Name>>;
  }

  updatePlugin<Name extends string>(name: Name, options?: PluginOptionsOf<PluginUpdateOptionsMap, Name>): Promise<PluginResultOf<Name>> {
    return named('updatePlugin', () => this.#plugins.update(name, options)) as Promise<PluginResultOf<Name>>;
  }

  async stopPlugin<Name extends string>(name: Name, options?: PluginOptionsOf<PluginStopOptionsMap, Name>): Promise<void> {
    await named('stopPlugin', () => this.#plugins.stop(name, options));
  }

  /** The room layer: members, seats, messages. */
  get room(): Room {
    this.#room ??= new Room(this.#options);
    return this.#room;
  }

  // Room

  async enterRoom(config: EnterRoomConfig): Promise<void> {
    const visit = this.#visit;
    await named('enterRoom', async () => {
      if (!config) throw invalid('enterRoom', 'the options are missing', config === undefined ? 5001 : 5002);
      const roomId = requireEntry(config);
      if (this.#isDestroyed) throw destroyed('enterRoom');
      if (this.#entry === visit) throw aborted('enterRoom', 'a room is being entered already');
      if (this.#session) throw wrongMoment('enterRoom', 'in a room already: call exitRoom first, or switchRoom', 5104);
      this.#entry = visit;
      this.#choice = { role: roleOf(config) };
      try {
        await this.#turns.take(() => this.#enter(config, roomId, visit));
      } catch (error) {
        if (visit !== this.#visit) throw aborted('enterRoom', 'the room was left before it was entered');
        this.#choice = { role: 'anchor' };
        throw error;
      } finally {
        if (this.#entry === visit) this.#entry = undefined;
      }
    });
  }

  async #enter(config: EnterRoomConfig, roomId: string, visit: number): Promise<void> {
    await this.#leaving;
    this.#require(visit);
    this.#entering = config;
    this.#role = roleOf(config);
    const session = new Session({
      ...networkOf(config, this.#options.server),
      encryption: this.#keys.size > 0 ? { keys: this.#keys, start: (room, userId) => this.#encrypt(config.sdkAppId, room, userId) } : undefined,
      maxSpeakers: config.maxSpeakers,
      playoutDelay: config.playoutDelay,
    });
    this.#session = session;
    // The room hears of everything first: what puts one out also detaches it.
    this.room.attach(session);
    this.#listen(session);
    try {
      await session.login({ sdkAppId: config.sdkAppId, userId: config.userId, userSig: config.userSig });
      await session.enter(roomId, this.#roomMaker(roomId), mediaOf(this.#role));
    } catch (error) {
      if (this.#session === session) this.#leave();
      session.close();
      throw error;
    }
    takeOver(session);
    await this.#takeRole();
    this.#require(visit);
    this.#statisticsTimer = setInterval(() => void this.#tellStatistics(), STATISTICS_INTERVAL_MS);
    await this.#local.followAll();
    this.#require(visit);
  }

  /** In a room, or entering one. */
  get #isBusy(): boolean {
    return this.#session !== undefined || this.#entry === this.#visit;
  }

  /** Fails where there is no room, and none is being entered. */
  #requireRoom(functionName: string): void {
    if (this.#entry !== this.#visit) inRoom(this.#session, functionName);
  }

  /** Fails when the page has left meanwhile. */
  #require(visit: number): void {
    if (visit !== this.#visit) throw aborted('', 'the room was left');
  }

  /** Leaves at once, whatever is under way; it is over when the server was told. */
  async exitRoom(): Promise<void> {
    this.#visit += 1;
    this.#choice = { role: 'anchor' };
    const session = this.#session;
    if (session) {
      const told = session.leave().catch((error: unknown) => log.info('the server could not be told', error));
      this.#leave();
      this.#leaving = told.then(() => session.close());
    }
    await this.#leaving;
  }

  /** Does what concerns the room that one is in, or is entering, in its turn; leaving comes before it. */
  async #inVisit(functionName: string, work: (session: Session) => Promise<void>): Promise<void> {
    const visit = this.#visit;
    this.#requireRoom(functionName);
    try {
      await this.#turns.take(async () => {
        this.#require(visit);
        await work(inRoom(this.#session, functionName));
      });
    } catch (error) {
      throw visit === this.#visit ? error : aborted(functionName, 'the room was left');
    }
  }

  async switchRoom(config: SwitchRoomConfig): Promise<void> {
    await named('switchRoom', async () => {
      if (!config) throw invalid('switchRoom', 'the options are missing', 5001);
      check('switchRoom', config, OPTIONS.switchRoom);
      const roomId = roomIdOf(config, 'switchRoom');
      await this.#inVisit('switchRoom', async (session) => {
        const visit = this.#visit;
        this.#remote.forget();
        this.#held.clear();
        if (config.userSig) session.gateway.renew(config.userSig);
        await session.leave();
        const { roomId: number, strRoomId } = config;
        this.#entering = { ...this.#entering, ...(number ? { roomId: number, strRoomId: undefined } : { strRoomId, roomId: undefined }) } as EnterRoomConfig;
        try {
          await session.enter(roomId, this.#roomMaker(roomId), mediaOf(this.#role));
        } catch (error) {
          if (this.#session === session) {
            this.#leave();
            session.close();
          }
          throw error;
        }
        takeOver(session);
        await this.#takeRole();
        this.#require(visit);
        await this.#local.followAll();
      });
    });
  }

  async switchRole(role: Role, option: { privateMapKey?: string; latencyLevel?: number } = {}): Promise<void> {
    await named('switchRole', async () => {
      check('switchRole', option, OPTIONS.switchRole);
      if (role !== 'anchor' && role !== 'audience') throw invalid('switchRole', "role must be 'anchor' or 'audience'", role === undefined ? 5001 : 5005);
      this.#requireRoom('switchRole');
      const choice = (this.#choice = { role });
      try {
        await this.#inVisit('switchRole', (session) => this.#play(session, role));
      } catch (error) {
        if (this.#choice === choice) this.#choice = { role: this.#role };
        throw error;
      }
    });
  }

  async #play(session: Session, role: Role): Promise<void> {
    const before = this.#role;
    try {
      if (role === 'audience') {
        this.#role = role;
        await this.#local.followAll();
        await session.getUp();
      } else {
        await session.takeSeat();
      }
      if (this.#session !== session) throw aborted('', 'the room was left');
      this.#role = role;
    } catch (error) {
      if (this.#session === session) this.#role = before;
      throw error;
    }
    if (role === 'anchor') await this.#local.followAll();
  }

  /**
   * Encrypts what is sent and received end to end, for those who have the same key. Called before `enterRoom`; in a room it
   * gives another key. With `publish: false` that only opens what others send by it, until it is given once more without.
   */
  async enableEncryption(config: EncryptionKey): Promise<void> {
    await named('enableEncryption', async () => {
      const { key, keyId = 0 } = config;
      const isKey = typeof key === 'string' ? key !== '' : key instanceof Uint8Array && key.length >= MIN_KEY_BYTES;
      if (!isKey) throw invalid('enableEncryption', `key must be a passphrase or a Uint8Array of at least ${MIN_KEY_BYTES} bytes`);
      if (!Number.isInteger(keyId) || keyId < 0 || keyId > 255) throw invalid('enableEncryption', 'keyId must be a number from 0 to 255');
      if (!canEncrypt()) {
        throw unsupported('enableEncryption', 'this browser cannot encrypt end to end, or the page is not served over https');
      }
      if (this.#isBusy && this.#keys.size === 0) {
        throw wrongMoment('enableEncryption', 'in a room without encryption: call it before enterRoom');
      }
      const sealing = sealedBy(this.#keys.values());
      const isSealedBy = sealing !== undefined && (sealing.keyId ?? 0) === keyId;
      // The last one to be published holds, also in the next room.
      this.#keys.delete(keyId);
      // A copy of the bytes: pages wipe theirs, and each room derives its own keys from them.
      const kept = { ...config, key: typeof key === 'string' ? key : Uint8Array.from(key) };
      // What is sent by a key goes on so until another is published, here and in the next room.
      if (isSealedBy) kept.publish = true;
      const couldSeal = this.#session?.canSeal ?? true;
      this.#keys.set(keyId, kept);
      // Where that fails, no room is entered either as long as there are keys: nothing is sent in clear that was to be encrypted.
      await (this.#session ? this.#session.addKey(kept) : this.#loadEncryption());
      // What waited for a key to seal by.
      if (!couldSeal && this.#session?.canSeal) await this.#turns.take(() => this.#local.followAll());
    });
  }

  async #loadEncryption(): Promise<typeof Encryption> {
    try {
      return (await loadEncryption()).Encryption;
    } catch (error) {
      throw aborted('', `what encrypts could not be loaded: ${String(error)}`);
    }
  }

  async #encrypt(sdkAppId: number, room: string, userId: string): Promise<Encryption> {
    const Chunk = await this.#loadEncryption();
    return Chunk.start({ sdkAppId, room, userId, keys: this.#keys.values(), refuse: (message) => unsupported('', message) });
  }

  /** What is sent and received is not encrypted end to end any more. Called between rooms: what goes on in one stays encrypted. */
  async disableEncryption(): Promise<void> {
    if (this.#isBusy) throw wrongMoment('disableEncryption', 'in a room: call exitRoom first');
    this.#keys.clear();
  }

  /** What a room is made with when it does not exist yet. */
  #roomMaker(roomId: string): MakeRoom {
    if (this.#options.createRooms === false) return undefined;
    const scene = this.#entering?.scene ?? 'rtc';
    return () => makeRoom(scene, roomId);
  }

  /** Anchors sit, where there are seats. Whoever may not yet can still watch; publishing says why it does not work. */
  async #takeRole(): Promise<void> {
    const session = this.#session;
    if (!session || session.ownSeat || this.#role !== 'anchor') return;
    try {
      await session.takeSeat();
    } catch (error) {
      log.warn('no seat was taken', error);
    }
  }

  /** One is in no room any more. */
  #leave(): void {
    this.#remote.leave();
    clearInterval(this.#statisticsTimer);
    this.room.detach();
    this.#session = undefined;
    this.#entering = undefined;
    this.#role = 'anchor';
    this.#choice = { role: 'anchor' };
    this.#local.leave();
    this.#held.clear();
    this.#autoplay.close();
  }

  // Own media: `local.ts`

  startLocalAudio(config: LocalAudioConfig = {}): Promise<void> {
    return this.#local.startLocalAudio(config);
  }

  updateLocalAudio(config: LocalAudioConfig): Promise<void> {
    return this.#local.updateLocalAudio(config);
  }

  stopLocalAudio(): Promise<void> {
    return this.#local.stopLocalAudio();
  }

  startLocalVideo(config: LocalVideoConfig = {}): Promise<void> {
    return this.#local.startLocalVideo(config);
  }

  updateLocalVideo(config: LocalVideoConfig): Promise<void> {
    return this.#local.updateLocalVideo(config);
  }

  stopLocalVideo(): Promise<void> {
    return this.#local.stopLocalVideo();
  }

  startScreenShare(config: ScreenShareConfig = {}): Promise<void> {
    return this.#local.startScreenShare(config);
  }

  updateScreenShare(config: ScreenShareConfig): Promise<void> {
    return this.#local.updateScreenShare(config);
  }

  stopScreenShare(): Promise<void> {
    return this.#local.stopScreenShare();
  }

  // Others: `remote.ts`

  startRemoteVideo(config: RemoteVideoConfig): Promise<void> {
    return this.#remote.startRemoteVideo(config);
  }

  updateRemoteVideo(config: RemoteVideoConfig): Promise<void> {
    return this.#remote.updateRemoteVideo(config);
  }

  stopRemoteVideo(config: { userId: string; streamType?: StreamType }): Promise<void> {
    return this.#remote.stopRemoteVideo(config);
  }

  muteRemoteAudio(userId: string, mute: boolean): Promise<void> {
    return this.#remote.muteRemoteAudio(userId, mute);
  }

  setRemoteAudioVolume(userId: string, volume: number): void {
    this.#remote.setRemoteAudioVolume(userId, volume);
  }

  /** What the cloud's client has beside its documented methods: of that, a picture can be stopped and go on. */
  async callExperimentalAPI(name: string, options: { userId?: string; streamType?: StreamType } = {}): Promise<void> {
    await named('callExperimentalAPI', async () => {
      const isPaused = name === 'pauseRemotePlayer';
      if (!isPaused && name !== 'resumeRemotePlayer') {
        throw invalid('callExperimentalAPI', `there is no ${name} here, only pauseRemotePlayer and resumeRemotePlayer`);
      }
      const player = this.#remote.player(options.userId ?? '', options.streamType ?? 'main');
      if (!player) throw wrongMoment('callExperimentalAPI', 'that video is not shown: call startRemoteVideo first', 5103);
      await player.setPaused(isPaused);
    });
  }

  // Tracks and data

  /** With `processed`, of one's own as it is sent. */
  getAudioTrack(config?: { userId?: string; streamType?: StreamType; processed?: boolean } | string): MediaStreamTrack | null {
    const { userId, streamType, processed } = typeof config === 'string' ? { userId: config } : (config ?? {});
    if (!userId || userId === this.#session?.userId) {
      return this.#local.track(streamType === 'sub' ? 'sub' : 'audio', { isSound: true, isProcessed: processed }) ?? null;
    }
    return this.#remote.track(userId, 'audio') ?? null;
  }

  getVideoTrack({ userId, streamType = 'main', processed }: { userId?: string; streamType?: StreamType; processed?: boolean } = {}): MediaStreamTrack | null {
    if (!userId || userId === this.#session?.userId) {
      return this.#local.track(streamType, { isProcessed: processed }) ?? null;
    }
    return this.#remote.track(userId, streamType) ?? null;
  }

  /** The picture as it is, as a data URL; empty when nothing is shown. */
  getVideoSnapshot({ userId, streamType = 'main' }: { userId?: string; streamType?: StreamType } = {}): string {
    const isOwn = !userId || userId === this.#session?.userId;
    const player = isOwn ? this.#local.player(streamType) : this.#remote.player(userId, streamType);
    const video = player?.element;
    if (!video || video.videoWidth === 0) return '';
    const canvas = document.createElement('canvas');
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext('2d')?.drawImage(video, 0, 0);
    return canvas.toDataURL('image/png');
  }

  /** Up to 1 KiB, at most 30 a second, to everyone in the room. Resolves when the server has it. */
  sendCustomMessage(message: { cmdId: number; data: ArrayBuffer }): Promise<void> {
    return this.#sendData('sendCustomMessage', () => {
      if (!message) throw invalid('sendCustomMessage', 'the message is missing', 5001);
      check('sendCustomMessage', message, OPTIONS.message);
      const { cmdId, data } = message;
      if (!Number.isInteger(cmdId)) throw invalid('sendCustomMessage', 'cmdId must be a number from 1 to 10', 5002);
      requireBytes('sendCustomMessage', data, 1024);
      return [cmdId, new Uint8Array(data)];
    });
  }

  /** Data that goes with a video. It travels beside the video, not within, so that it works whatever the codec. */
  sendSEIMessage(data: ArrayBuffer, options: { seiPayloadType?: number; toSubStream?: boolean } = {}): void {
    const { seiPayloadType = 243, toSubStream = false } = options;
    requireBytes('sendSEIMessage', data, 1000);
    const kind: StreamKind = toSubStream ? 'sub' : 'main';
    if (!inRoom(this.#session, 'sendSEIMessage').publisher.has(kind)) {
      throw wrongMoment('sendSEIMessage', `no ${kind} video is published: start it first`, 5109);
    }
    void this.#sendData('sendSEIMessage', () => [SEI_CMD_ID, framed(data, seiPayloadType, toSubStream)]);
  }

  #sendData(functionName: string, message: () => [cmdId: number, bytes: Uint8Array]): Promise<void> {
    const sent = named(functionName, async () => {
      const [cmdId, bytes] = message();
      await sendData(inRoom(this.#stage.session, functionName), cmdId, bytes);
    });
    // Most pages do not wait for it.
    sent.catch((error: unknown) => log.warn(`${functionName} was refused`, error));
    return sent;
  }

  #takeData(body: Events['data_received']): void {
    const userId = body.From_Account;
    const bytes = bytesOf(body);
    if (body.CmdId === SEI_CMD_ID) {
      const streamType = bytes[1] === 1 ? 'sub' : 'main';
      this.emit('sei-message', { userId, streamType, seiPayloadType: bytes[0] ?? 0, data: bytes.slice(2).buffer });
      return;
    }
    this.#seq += 1;
    this.emit('custom-message', { userId, cmdId: body.CmdId, seq: this.#seq, data: bytes.buffer });
  }

  // Levels and statistics

  /** Tells volumes so often; none while the page is in the background, unless that is wanted, and none any more from 0 down. */
  enableAudioVolumeEvaluation(interval = 2000, enableInBackground = false): void {
    if (typeof interval !== 'number') throw invalid('enableAudioVolumeEvaluation', 'interval must be a number', 5002);
    if (typeof enableInBackground !== 'boolean') throw invalid('enableAudioVolumeEvaluation', 'enableInBackground must be a boolean', 5002);
    clearInterval(this.#volumeTimer);
    this.#volumeTimer = undefined;
    if (interval <= 0) {
      this.#meter?.meter.close();
      this.#meter = undefined;
      return;
    }
    const isWanted = (): boolean => enableInBackground || !document.hidden;
    const every = Math.max(SHORTEST_TOLD_MS, interval);
    this.#volumeTimer = tellLoudest(every, isWanted, () => this.#levels(), (loudest) => this.#tellVolumes(loudest));
  }

  #tellVolumes(levels: Map<string, number>): void {
    const result: Volume[] = [...levels].map(([userId, level]) => {
      const volume = this.#options.volumeType === 1 ? decibels(level) : volumeOf(level);
      return { userId, volume, floatVolume: level };
    });
    this.emit('audio-volume', { result: result.sort((one, other) => other.floatVolume - one.floatVolume) });
  }

  /** How loud everybody is right now; oneself by the empty name. */
  #levels(): Map<string, number> {
    const levels = new Map<string, number>();
    const own = this.getAudioTrack();
    if (own !== (this.#meter?.track ?? null)) {
      this.#meter?.meter.close();
      this.#meter = own ? { meter: new Meter(own), track: own } : undefined;
    }
    if (this.#meter) levels.set('', own?.enabled ? this.#meter.meter.level : 0);
    const session = this.#session;
    for (const [watched, receiver] of session?.isInRoom ? session.watcher.receivers() : []) {
      if (watched.kind === 'audio') levels.set(watched.userId, heardLevel(receiver));
    }
    return levels;
  }

  async #tellStatistics(): Promise<void> {
    const session = this.#session;
    if (!session?.isInRoom) return;
    try {
      const { statistics, quality, digest } = await this.#reader.read(session);
      if (this.#session !== session) return;
      session.report(digest);
      this.emit('statistics', statistics);
      this.emit('network-quality', quality);
    } catch (error) {
      log.debug('no statistics this time', error);
    }
  }

  #waitForGesture({ resume }: { resume: () => Promise<void> }): void {
    const isAsked = this.#entering?.enableAutoPlayDialog ?? this.#options.enableAutoPlayDialog;
    this.#autoplay.wait(resume, isAsked !== false);
  }

  // What happens

  #listen(session: Session): void {
    session.on('state', (prevState, state, isReconnecting) => {
      this.emit('connection-state-changed', { prevState, state, ...(state === 'CONNECTING' ? { isReconnecting } : {}) });
    });
    session.on('members', ({ left, causes }) => {
      if (this.#session === session) this.#remote.compareMembers(session, left, causes);
    });
    let wasSeated = false;
    session.on('seats', () => {
      if (this.#session !== session) return;
      // Whoever is put on a seat may publish from it at once.
      const isSeated = session.ownSeat !== undefined;
      if (isSeated && !wasSeated && !session.isLeavingSeat) {
        if (this.#choice.role === this.#role) this.#choice = { role: 'anchor' };
        this.#role = 'anchor';
      }
      wasSeated = isSeated;
      this.#remote.compareAnchors(session);
    });
    session.on('streams', (userId, streams) => {
      if (this.#session !== session) return;
      if (userId === session.userId) this.#local.compare(streams);
      else this.#remote.compareStreams(session, userId, streams);
    });
    session.on('track', (userId, kind, track) => this.#remote.takeTrack(userId, kind, track));
    session.on('sealed', (userId, kind) => this.emit('decryption-failed', { userId, mediaType: MEDIA_TYPES[kind] }));
    const isOver = (): boolean => {
      if (this.#session !== session) return false;
      this.#visit += 1;
      this.#leave();
      session.close();
      return true;
    };
    session.on('event', ({ event, body }) => {
      if (event === 'data_received' && !isTakeOver(body)) this.#takeData(body);
      else if (event === 'data_received' && body.From_Account === session.userId) {
        session.leave().catch((error: unknown) => log.info('the server could not be told', error));
        if (isOver()) this.emit('kicked-out', { reason: 'kick' });
      }
      if (event === 'device_closed') void this.#local.closeDevice(body.StreamType);
    });
    session.on('out', (reason) => {
      if (isOver()) this.emit('kicked-out', { reason: reason as 'kick' });
    });
    session.on('ended', (error) => {
      if (!isOver()) return;
      const { message } = error;
      this.emit('error', new RtcError({ code: ERROR_CODE.OPERATION_FAILED, extraCode: 5502, message, functionName: 'connection', originError: error }));
    });
  }

  async #compareDevices(): Promise<void> {
    const now = await globalThis.navigator?.mediaDevices?.enumerateDevices?.().catch(() => undefined);
    if (!now || this.#isDestroyed) return;
    const before = this.#devices;
    this.#devices = now;
    if (before.length === 0) return;
    const types: Record<string, 'camera' | 'microphone' | 'speaker'> = { videoinput: 'camera', audioinput: 'microphone', audiooutput: 'speaker' };
    const tell = (devices: MediaDeviceInfo[], other: MediaDeviceInfo[], action: 'add' | 'remove') => {
      for (const device of devices) {
        const type = types[device.kind];
        const isThere = other.some((one) => one.deviceId === device.deviceId && one.kind === device.kind);
        if (type && !isThere) this.emit('device-changed', { type, action, device });
      }
    };
    tell(now, before, 'add');
    tell(before, now, 'remove');
  }
}

function requireBytes(functionName: string, data: unknown, most: number): void {
  if (!(data instanceof ArrayBuffer)) throw invalid(functionName, 'data must be an ArrayBuffer', 5004);
  if (data.byteLength === 0) throw invalid(functionName, 'data is empty', 5017);
  if (data.byteLength > most) throw invalid(functionName, `data must be at most ${most} bytes`, 5018);
}
