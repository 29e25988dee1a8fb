import { Meter, Mixer, type MicrophoneOption, openCamera, openMicrophone, openScreen, volumeOf } from './capture.js';
import { getCameraList, getMicrophoneList, getSpeakerList, isSupported, type Support } from './devices.js';
import { Emitter } from './emitter.js';
import { ERROR_CODE, RtcError, invalid, wrongMoment } from './errors.js';
import type { Body } from './gateway.js';
import { log, setLogLevel } from './log.js';
import type { StreamKind } from './peer.js';
import { AUDIO_PROFILES, SCREEN_PROFILES, VIDEO_PROFILES, type VideoProfile, profileOf } from './profiles.js';
import type { Encoding, Publishing } from './publisher.js';
import { Room } from './room.js';
import { type ConnectionState, Session, type Streams } from './session.js';
import { type NetworkQuality, type Statistics, StatisticsReader } from './statistics.js';
import { Turns } from './turns.js';
import { AudioPlayer, VideoPlayer, type View, type ViewOptions } from './views.js';

export type Role = 'anchor' | 'audience';
export type StreamType = 'main' | 'sub';
export type MediaType = 'audio' | 'video' | 'screen';

export interface TRTCOptions {
  /** Where the server is, `wss://rooms.example.org`; absent for the page's own. */
  server?: string;
  /** Whether entering a room that does not exist creates it, as the cloud does; on unless `false`. */
  createRooms?: boolean;
  plugins?: unknown[];
}

export interface TurnServer {
  url: string;
  username?: string;
  credential?: string;
}

export interface EnterRoomConfig {
  sdkAppId: number;
  userId: string;
  userSig: string;
  roomId?: number;
  strRoomId?: string;
  role?: Role;
  autoReceiveAudio?: boolean;
  autoReceiveVideo?: boolean;
  scene?: 'live' | 'rtc';
  proxy?: string | { turnServer?: TurnServer | TurnServer[]; iceTransportPolicy?: RTCIceTransportPolicy; websocketProxy?: string };
}

export interface SwitchRoomConfig {
  userSig?: string;
  roomId?: number;
  strRoomId?: string;
}

type VideoProfileName = keyof typeof VIDEO_PROFILES;
type ScreenProfileName = keyof typeof SCREEN_PROFILES;

export interface LocalVideoConfig {
  view?: View;
  publish?: boolean;
  /** A picture's address, which others would be shown meanwhile elsewhere, mutes as `true` does. */
  mute?: boolean | string;
  option?: {
    cameraId?: string;
    useFrontCamera?: boolean;
    profile?: VideoProfileName | Partial<VideoProfile>;
    fillMode?: 'contain' | 'cover' | 'fill';
    mirror?: boolean | string;
    /** The low layer; on unless `false`: viewers on slow links get it. */
    small?: VideoProfileName | Partial<VideoProfile> | boolean;
    qosPreference?: 'smooth' | 'clear';
    videoTrack?: MediaStreamTrack;
  };
}

export interface LocalAudioConfig {
  publish?: boolean;
  mute?: boolean | 'microphone';
  option?: MicrophoneOption & { audioTrack?: MediaStreamTrack; captureVolume?: number };
}

export interface ScreenShareConfig {
  view?: View;
  publish?: boolean;
  muteSystemAudio?: boolean;
  option?: {
    profile?: ScreenProfileName | Partial<VideoProfile>;
    fillMode?: 'contain' | 'cover' | 'fill';
    systemAudio?: boolean;
    videoTrack?: MediaStreamTrack;
    audioTrack?: MediaStreamTrack;
    qosPreference?: 'smooth' | 'clear';
    preferDisplaySurface?: string;
  };
}

export interface RemoteVideoConfig {
  userId: string;
  streamType?: StreamType;
  view?: View;
  option?: { fillMode?: 'contain' | 'cover' | 'fill'; mirror?: boolean; small?: boolean; receiveWhenViewVisible?: boolean };
}

export interface TRTCEventTypes {
  error: [RtcError];
  'autoplay-failed': [{ userId: string; mediaType: MediaType; resume: () => Promise<void> }];
  'kicked-out': [{ reason: 'kick' | 'banned' | 'room_disband' }];
  'remote-user-enter': [{ userId: string }];
  'remote-user-exit': [{ userId: string }];
  'remote-audio-available': [{ userId: string }];
  'remote-audio-unavailable': [{ userId: string }];
  'remote-video-available': [{ userId: string; streamType: StreamType }];
  'remote-video-unavailable': [{ userId: string; streamType: StreamType }];
  'audio-volume': [{ result: Volume[] }];
  'network-quality': [NetworkQuality];
  'connection-state-changed': [{ prevState: ConnectionState; state: ConnectionState }];
  'audio-play-state-changed': [{ userId: string; state: string; reason: string }];
  'video-play-state-changed': [{ userId: string; streamType: StreamType; state: string; reason: string }];
  'screen-share-stopped': [];
  'device-changed': [{ type: 'camera' | 'microphone' | 'speaker'; action: 'add' | 'remove' | 'active'; device: MediaDeviceInfo }];
  'publish-state-changed': [{ mediaType: MediaType; state: PublishState; prevState: PublishState; reason?: string; error?: RtcError }];
  track: [{ userId: string; streamType?: StreamType; track: MediaStreamTrack; sourceTrack: MediaStreamTrack }];
  statistics: [Statistics];
  'custom-message': [{ userId: string; cmdId: number; seq: number; data: ArrayBuffer }];
  'sei-message': [{ userId: string; streamType: StreamType; seiPayloadType: number; data: ArrayBuffer }];
  'first-video-frame': [{ userId: string; streamType: StreamType; width: number; height: number }];
}

/** Loudness from 0 to 100; the empty name is oneself. */
export interface Volume {
  userId: string;
  volume: number;
  floatVolume: number;
}

type PublishState = 'starting' | 'started' | 'stopped';

export const EVENT = {
  ERROR: 'error',
  AUTOPLAY_FAILED: 'autoplay-failed',
  KICKED_OUT: 'kicked-out',
  REMOTE_USER_ENTER: 'remote-user-enter',
  REMOTE_USER_EXIT: 'remote-user-exit',
  REMOTE_AUDIO_AVAILABLE: 'remote-audio-available',
  REMOTE_AUDIO_UNAVAILABLE: 'remote-audio-unavailable',
  REMOTE_VIDEO_AVAILABLE: 'remote-video-available',
  REMOTE_VIDEO_UNAVAILABLE: 'remote-video-unavailable',
  AUDIO_VOLUME: 'audio-volume',
  NETWORK_QUALITY: 'network-quality',
  CONNECTION_STATE_CHANGED: 'connection-state-changed',
  AUDIO_PLAY_STATE_CHANGED: 'audio-play-state-changed',
  VIDEO_PLAY_STATE_CHANGED: 'video-play-state-changed',
  SCREEN_SHARE_STOPPED: 'screen-share-stopped',
  DEVICE_CHANGED: 'device-changed',
  PUBLISH_STATE_CHANGED: 'publish-state-changed',
  TRACK: 'track',
  STATISTICS: 'statistics',
  CUSTOM_MESSAGE: 'custom-message',
  SEI_MESSAGE: 'sei-message',
  FIRST_VIDEO_FRAME: 'first-video-frame',
} as const;

export const TYPE = {
  SCENE_LIVE: 'live',
  SCENE_RTC: 'rtc',
  ROLE_ANCHOR: 'anchor',
  ROLE_AUDIENCE: 'audience',
  STREAM_TYPE_MAIN: 'main',
  STREAM_TYPE_SUB: 'sub',
  AUDIO_PROFILE_STANDARD: 'standard',
  AUDIO_PROFILE_STANDARD_STEREO: 'standard-stereo',
  AUDIO_PROFILE_HIGH: 'high',
  AUDIO_PROFILE_HIGH_STEREO: 'high-stereo',
  QOS_PREFERENCE_SMOOTH: 'smooth',
  QOS_PREFERENCE_CLEAR: 'clear',
  SPEAKER: 'Speakerphone',
  HEADSET: 'Headset earpiece',
} as const;

const MEDIA_TYPES: Record<StreamKind, MediaType> = { audio: 'audio', main: 'video', sub: 'screen' };
const STATISTICS_INTERVAL_MS = 2_000;
/** What the server lets one send as SEI-like data has this number; pages use 1 to 10. */
const SEI_CMD_ID = 0;

interface LocalAudio {
  config: LocalAudioConfig;
  source: MediaStreamTrack;
  isOwn: boolean;
}

interface LocalPicture {
  track: MediaStreamTrack;
  player: VideoPlayer;
  isOwn: boolean;
}

interface RemoteVideo {
  player: VideoPlayer;
  config: RemoteVideoConfig;
  observers: { disconnect(): void }[];
  isVisible: boolean;
}

const remoteKey = (userId: string, streamType: StreamType): string => `${streamType}:${userId}`;

let speakerId = '';
const speakers = new Set<AudioPlayer>();

/** A user in a room: publishes, watches, listens. */
export class TRTC extends Emitter<TRTCEventTypes> {
  static readonly EVENT = EVENT;
  static readonly TYPE = TYPE;
  static readonly ERROR_CODE = ERROR_CODE;

  readonly #options: TRTCOptions;
  #session: Session | undefined;
  #room: Room | undefined;
  #entering: EnterRoomConfig | undefined;
  #role: Role = 'anchor';
  #isLeaving = false;
  #isDestroyed = false;
  #localAudio: LocalAudio | undefined;
  #mixer: Mixer | undefined;
  #localVideo: (LocalPicture & { config: LocalVideoConfig }) | undefined;
  #screen: (LocalPicture & { config: ScreenShareConfig; audio: MediaStreamTrack | undefined }) | undefined;
  readonly #audioPlayers = new Map<string, AudioPlayer>();
  /** Who is to be heard, as the page said; `*` is everyone else. */
  readonly #heard = new Map<string, boolean>();
  readonly #volumes = new Map<string, number>();
  readonly #remoteVideos = new Map<string, RemoteVideo>();
  readonly #known = new Map<string, Streams>();
  readonly #anchors = new Set<string>();
  readonly #published = new Map<StreamKind, PublishState>();
  /** A device is opened, changed and closed in the order it was asked for. Publishing follows what is then. */
  readonly #turns: Record<StreamKind, Turns> = { audio: new Turns(), main: new Turns(), sub: new Turns() };
  #statisticsTimer: ReturnType<typeof setInterval> | undefined;
  #volumeTimer: ReturnType<typeof setInterval> | undefined;
  #meter: { meter: Meter; track: MediaStreamTrack } | undefined;
  #reader = new StatisticsReader();
  #seq = 0;
  #devices: MediaDeviceInfo[] = [];
  #onDeviceChange = (): void => void this.#compareDevices();

  private constructor(options: TRTCOptions) {
    super();
    this.#options = options;
    globalThis.navigator?.mediaDevices?.addEventListener?.('devicechange', this.#onDeviceChange);
    void this.#compareDevices();
  }

  // Life

  static create(options: TRTCOptions = {}): TRTC {
    return new TRTC(options);
  }

  static isSupported(): Promise<Support> {
    return isSupported();
  }

  static setLogLevel(level: number): void {
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
    speakerId = id;
    try {
      await Promise.all([...speakers].map((player) => player.setSpeaker(id)));
    } catch (error) {
      throw RtcError.from(error, 'setCurrentSpeaker');
    }
  }

  destroy(): void {
    if (this.#session?.isInRoom) throw wrongMoment('destroy', 'still in a room: call exitRoom first');
    this.#isDestroyed = true;
    this.#endAll();
    globalThis.navigator?.mediaDevices?.removeEventListener?.('devicechange', this.#onDeviceChange);
    this.off('*');
  }

  /** Plugins of the cloud's SDK need its servers, so they are taken note of and left alone. */
  use(plugin: unknown): void {
    log.info('plugins have no effect here', plugin);
  }

  /** The room layer: members, seats, messages. */
  get room(): Room {
    this.#room ??= new Room(this.#options);
    return this.#room;
  }

  // Room

  async enterRoom(config: EnterRoomConfig): Promise<void> {
    await this.#do('enterRoom', async () => {
      if (this.#isDestroyed) throw wrongMoment('enterRoom', 'this instance was destroyed: create another');
      if (this.#session) throw wrongMoment('enterRoom', 'in a room already: call exitRoom first, or switchRoom');
      const roomId = roomIdOf(config, 'enterRoom');
      if (!Number.isInteger(config.sdkAppId) || config.sdkAppId <= 0) throw invalid('enterRoom', 'sdkAppId must be a positive integer');
      if (!config.userId) throw invalid('enterRoom', 'userId is missing');
      if (!config.userSig) throw invalid('enterRoom', 'userSig is missing: the app server signs one for each user');
      this.#entering = config;
      this.#role = config.role ?? 'anchor';
      const proxy = typeof config.proxy === 'object' ? config.proxy : undefined;
      const turn = proxy?.turnServer === undefined ? undefined : [proxy.turnServer].flat();
      const session = new Session({
        server: (typeof config.proxy === 'string' ? config.proxy : proxy?.websocketProxy) ?? this.#options.server,
        iceServers: turn?.map(iceServer),
        iceTransportPolicy: proxy?.iceTransportPolicy,
      });
      this.#session = session;
      // The room hears of everything first: what puts one out also detaches it.
      this.room.attach(session);
      this.#listen(session);
      try {
        await session.login({ sdkAppId: config.sdkAppId, userId: config.userId, userSig: config.userSig });
        await session.enter(roomId, this.#roomMaker(roomId));
      } catch (error) {
        this.room.detach();
        this.#session = undefined;
        session.close();
        throw error;
      }
      await this.#takeRole();
      this.#statisticsTimer = setInterval(() => void this.#tellStatistics(), STATISTICS_INTERVAL_MS);
      await this.#publishAll();
    });
  }

  async exitRoom(): Promise<void> {
    const session = this.#session;
    if (!session) return;
    this.#isLeaving = true;
    try {
      await session.leave().catch((error: unknown) => log.info('the server could not be told', error));
    } finally {
      this.#isLeaving = false;
      this.#leave();
    }
  }

  async switchRoom(config: SwitchRoomConfig): Promise<void> {
    await this.#do('switchRoom', async () => {
      const session = this.#requireSession('switchRoom');
      const before = this.#entering;
      if (!before) throw wrongMoment('switchRoom', 'not in a room: call enterRoom first');
      const roomId = roomIdOf(config, 'switchRoom');
      this.#forgetRemote();
      if (config.userSig) session.gateway.renew(config.userSig);
      await session.leave();
      this.#entering = { ...before, ...(config.strRoomId === undefined ? { roomId: config.roomId, strRoomId: undefined } : { strRoomId: config.strRoomId, roomId: undefined }) } as EnterRoomConfig;
      try {
        await session.enter(roomId, this.#roomMaker(roomId));
      } catch (error) {
        this.#leave();
        throw error;
      }
      await this.#takeRole();
      await this.#publishAll();
    });
  }

  async switchRole(role: Role): Promise<void> {
    await this.#do('switchRole', async () => {
      if (role !== 'anchor' && role !== 'audience') throw invalid('switchRole', "role must be 'anchor' or 'audience'");
      const session = this.#requireSession('switchRole');
      const before = this.#role;
      this.#role = role;
      try {
        if (role === 'audience') {
          for (const kind of ['audio', 'main', 'sub'] as const) await this.#unpublish(kind, 'api-call');
          if (session.ownSeat) await session.leaveSeat();
        } else {
          if (session.hasSeats && !session.ownSeat) await session.request('take_seat');
          await this.#publishAll();
        }
      } catch (error) {
        this.#role = before;
        throw error;
      }
    });
  }

  /** What a room is made with when it does not exist yet. */
  #roomMaker(roomId: string): (() => Body) | undefined {
    if (this.#options.createRooms === false) return undefined;
    const isLive = (this.#entering?.scene ?? 'rtc') === 'live';
    return () => isLive
      ? { RoomType: 'Live', RoomName: roomId, SeatTemplate: 'VideoDynamicGrid9Seats', TakeSeatMode: 'FreeToTake', LifetimeAfterNoUsers: 60 }
      : { RoomType: 'Conference', RoomName: roomId, LifetimeAfterNoUsers: 60 };
  }

  /** Anchors sit, where there are seats. Whoever may not yet can still watch; publishing says why it does not work. */
  async #takeRole(): Promise<void> {
    const session = this.#session;
    if (!session?.hasSeats || session.ownSeat || this.#role !== 'anchor') return;
    try {
      await session.request('take_seat');
    } catch (error) {
      log.warn('no seat was taken', error);
    }
  }

  #leave(): void {
    this.#forgetRemote();
    clearInterval(this.#statisticsTimer);
    this.room.detach();
    const session = this.#session;
    session?.close();
    this.#session = undefined;
    this.#entering = undefined;
    this.#heard.clear();
    for (const kind of this.#published.keys()) this.#setPublished(kind, 'stopped', 'api-call');
  }

  #endAll(): void {
    this.#leave();
    this.#endAudio();
    this.#endVideo();
    this.#endScreen();
    this.#mixer?.close();
    this.enableAudioVolumeEvaluation(0);
  }

  // Own audio

  async startLocalAudio(config: LocalAudioConfig = {}): Promise<void> {
    await this.#do('startLocalAudio', async () => {
      const started = await this.#turns.audio.take(async () => {
        if (this.#localAudio) throw wrongMoment('startLocalAudio', 'the microphone is on already: call updateLocalAudio');
        const { audioTrack } = config.option ?? {};
        const source = audioTrack ?? (await openMicrophone(config.option ?? {}));
        return (this.#localAudio = { config, source, isOwn: !audioTrack });
      });
      try {
        await this.#publishAudio();
      } catch (error) {
        if (this.#localAudio === started) this.#endAudio();
        throw error;
      }
    });
  }

  async updateLocalAudio(config: LocalAudioConfig): Promise<void> {
    await this.#do('updateLocalAudio', async () => {
      await this.#turns.audio.take(async () => {
        const audio = this.#localAudio;
        if (!audio) throw wrongMoment('updateLocalAudio', 'the microphone is off: call startLocalAudio first');
        const option = { ...audio.config.option, ...config.option };
        const { microphoneId, audioTrack, echoCancellation, autoGainControl, noiseSuppression } = config.option ?? {};
        const isAnother = [microphoneId, echoCancellation, autoGainControl, noiseSuppression].some((value) => value !== undefined);
        if (audioTrack || isAnother) {
          const fresh = audioTrack ?? (await openMicrophone(option));
          if (audio.isOwn) audio.source.stop();
          audio.source = fresh;
          audio.isOwn = !audioTrack;
          if (microphoneId) void this.#tellActive('microphone', microphoneId);
        }
        audio.config = { ...audio.config, ...config, option };
      });
      await this.#publishAudio();
    });
  }

  async stopLocalAudio(): Promise<void> {
    await this.#do('stopLocalAudio', async () => {
      await this.#turns.audio.take(() => this.#endAudio());
      await this.#publishAudio();
    });
  }

  /** The microphone, and the sound that comes with the screen. */
  async #publishAudio(): Promise<void> {
    const { config } = this.#localAudio ?? {};
    if (this.#localAudio) this.#localAudio.source.enabled = !config?.mute;
    const microphone = config?.publish === false ? undefined : this.#localAudio;
    const system = this.#screen?.config.publish === false ? undefined : this.#screen?.audio;
    if (!microphone && !system) {
      this.#mixer?.close();
      this.#mixer = undefined;
      await this.#unpublish('audio', 'api-call');
      return;
    }
    const track = this.#mix(microphone, system);
    const isMuted = (!microphone || Boolean(config?.mute)) && !system?.enabled;
    const audioBitrate = AUDIO_PROFILES[config?.option?.profile ?? 'standard'].bitrate;
    await this.#publish('audio', track, true, { audioBitrate, isMuted });
  }

  #mix(microphone: LocalAudio | undefined, system: MediaStreamTrack | undefined): MediaStreamTrack {
    const volume = microphone?.config.option?.captureVolume ?? 100;
    if (microphone && !system && volume === 100 && !this.#mixer) return microphone.source;
    this.#mixer ??= new Mixer();
    this.#mixer.set('microphone', microphone?.source, volume);
    this.#mixer.set('system', system, 100);
    return this.#mixer.track;
  }

  #endAudio(): void {
    const audio = this.#localAudio;
    this.#localAudio = undefined;
    if (audio?.isOwn) audio.source.stop();
  }

  // Own video

  async startLocalVideo(config: LocalVideoConfig = {}): Promise<void> {
    await this.#do('startLocalVideo', async () => {
      const started = await this.#turns.main.take(async () => {
        if (this.#localVideo) throw wrongMoment('startLocalVideo', 'the camera is on already: call updateLocalVideo');
        const { videoTrack, cameraId, useFrontCamera, profile } = config.option ?? {};
        const track = videoTrack ?? (await openCamera({ cameraId, useFrontCamera, profile: profileOf(VIDEO_PROFILES, profile, '480p') }));
        return (this.#localVideo = { track, player: this.#localPlayer('main'), isOwn: !videoTrack, config });
      });
      if (this.#localVideo !== started) return;
      try {
        started.player.show(config.view, localView(config.option, config.option?.useFrontCamera !== false));
        started.player.play(started.track);
        await this.#publishVideo();
      } catch (error) {
        if (this.#localVideo === started) this.#endVideo();
        throw error;
      }
    });
  }

  async updateLocalVideo(config: LocalVideoConfig): Promise<void> {
    await this.#do('updateLocalVideo', async () => {
      await this.#turns.main.take(async () => {
        const video = this.#localVideo;
        if (!video) throw wrongMoment('updateLocalVideo', 'the camera is off: call startLocalVideo first');
        const option = { ...video.config.option, ...config.option };
        const { cameraId, useFrontCamera, videoTrack, profile } = config.option ?? {};
        if (videoTrack) {
          if (video.isOwn) video.track.stop();
          Object.assign(video, { track: videoTrack, isOwn: false });
        } else if (cameraId !== undefined || useFrontCamera !== undefined) {
          // Many phones open only one camera at a time.
          if (video.isOwn) video.track.stop();
          const wanted = cameraId !== undefined ? { cameraId } : { useFrontCamera };
          const track = await openCamera({ ...wanted, profile: profileOf(VIDEO_PROFILES, option.profile, '480p') });
          Object.assign(video, { track, isOwn: true });
          if (cameraId) void this.#tellActive('camera', cameraId);
        } else if (profile && video.isOwn) {
          const { width, height, frameRate } = profileOf(VIDEO_PROFILES, profile, '480p');
          await video.track.applyConstraints({ width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: frameRate } });
        }
        const { view } = config;
        video.config = { ...video.config, ...config, option };
        video.player.show(view, localView(option, option.useFrontCamera !== false));
        video.player.play(video.track);
      });
      await this.#publishVideo();
    });
  }

  async stopLocalVideo(): Promise<void> {
    await this.#do('stopLocalVideo', async () => {
      await this.#turns.main.take(() => this.#endVideo());
      await this.#unpublish('main', 'api-call');
    });
  }

  async #publishVideo(): Promise<void> {
    const video = this.#localVideo;
    if (!video) return;
    const isMuted = Boolean(video.config.mute);
    video.track.enabled = !isMuted;
    const { profile, small, qosPreference = 'smooth' } = video.config.option ?? {};
    const encoding: Encoding = {
      ...actual(video.track, profileOf(VIDEO_PROFILES, profile, '480p')),
      qosPreference,
      isSimulcast: small !== false,
    };
    await this.#publish('main', video.track, video.config.publish !== false, { encoding, isMuted });
  }

  #endVideo(): void {
    const video = this.#localVideo;
    this.#localVideo = undefined;
    if (video?.isOwn) video.track.stop();
    video?.player.stop();
  }

  // Screen

  async startScreenShare(config: ScreenShareConfig = {}): Promise<void> {
    await this.#do('startScreenShare', async () => {
      const started = await this.#turns.sub.take(async () => {
        if (this.#screen) throw wrongMoment('startScreenShare', 'the screen is shared already: call updateScreenShare');
        const { videoTrack, audioTrack, profile, systemAudio = false, preferDisplaySurface } = config.option ?? {};
        const opened = videoTrack
          ? { video: videoTrack, audio: audioTrack }
          : await openScreen({ profile: profileOf(SCREEN_PROFILES, profile, '1080p'), systemAudio, preferDisplaySurface });
        // The browser's own button ends it too.
        opened.video.addEventListener('ended', () => {
          if (this.#screen?.track !== opened.video) return;
          void this.stopScreenShare().catch((error: unknown) => log.warn('the end of screen sharing', error));
          this.emit('screen-share-stopped');
        });
        if (opened.audio && config.muteSystemAudio) opened.audio.enabled = false;
        return (this.#screen = { track: opened.video, player: this.#localPlayer('sub'), isOwn: !videoTrack, config, audio: opened.audio });
      });
      if (this.#screen !== started) return;
      try {
        started.player.show(config.view, { fillMode: config.option?.fillMode ?? 'contain' });
        started.player.play(started.track);
        await this.#publishScreen();
      } catch (error) {
        if (this.#screen === started) this.#endScreen();
        throw error;
      }
    });
  }

  async updateScreenShare(config: ScreenShareConfig): Promise<void> {
    await this.#do('updateScreenShare', async () => {
      await this.#turns.sub.take(async () => {
        const screen = this.#screen;
        if (!screen) throw wrongMoment('updateScreenShare', 'the screen is not shared: call startScreenShare first');
        const option = { ...screen.config.option, ...config.option };
        if (config.option?.videoTrack) {
          if (screen.isOwn) screen.track.stop();
          Object.assign(screen, { track: config.option.videoTrack, isOwn: false });
        }
        screen.config = { ...screen.config, ...config, option };
        if (screen.audio && config.muteSystemAudio !== undefined) screen.audio.enabled = !config.muteSystemAudio;
        screen.player.show(config.view, { fillMode: option.fillMode ?? 'contain' });
        screen.player.play(screen.track);
      });
      await this.#publishScreen();
    });
  }

  async stopScreenShare(): Promise<void> {
    await this.#do('stopScreenShare', async () => {
      await this.#turns.sub.take(() => this.#endScreen());
      await this.#unpublish('sub', 'api-call');
      await this.#publishAudio();
    });
  }

  async #publishScreen(): Promise<void> {
    const screen = this.#screen;
    if (!screen) return;
    const { profile, qosPreference = 'clear' } = screen.config.option ?? {};
    const encoding: Encoding = { ...profileOf(SCREEN_PROFILES, profile, '1080p'), qosPreference, isSimulcast: false };
    await this.#publish('sub', screen.track, screen.config.publish !== false, { encoding });
    if (screen.audio) await this.#publishAudio();
  }

  #endScreen(): void {
    const screen = this.#screen;
    this.#screen = undefined;
    if (screen?.isOwn) {
      screen.track.stop();
      screen.audio?.stop();
    }
    screen?.player.stop();
  }

  // Publishing

  async #publish(
    kind: StreamKind,
    track: MediaStreamTrack,
    isWanted: boolean,
    how: Publishing,
  ): Promise<void> {
    const session = this.#session;
    if (!session?.isInRoom) return;
    if (!isWanted) {
      await this.#unpublish(kind, 'api-call');
      return;
    }
    if (this.#role !== 'anchor' && (this.#entering?.scene ?? 'rtc') === 'live') {
      throw wrongMoment('', "an audience member does not publish: call switchRole('anchor') first");
    }
    const isNew = !session.publisher.has(kind);
    if (isNew) this.#setPublished(kind, 'starting', 'api-call');
    try {
      await session.publisher.publish(kind, track, how);
    } catch (error) {
      const failure = RtcError.from(error, '');
      this.#setPublished(kind, 'stopped', 'error', failure);
      throw failure;
    }
    if (session.isInRoom && session.publisher.has(kind)) this.#setPublished(kind, 'started', 'api-call');
  }

  async #unpublish(kind: StreamKind, reason: string): Promise<void> {
    const session = this.#session;
    if (!session?.isInRoom || !session.publisher.has(kind)) return;
    await session.publisher.unpublish(kind);
    this.#setPublished(kind, 'stopped', reason);
  }

  /** What was started before entering, or in another role. */
  async #publishAll(): Promise<void> {
    if (this.#role !== 'anchor') return;
    for (const publish of [() => this.#publishAudio(), () => this.#publishVideo(), () => this.#publishScreen()]) {
      try {
        await publish();
      } catch (error) {
        this.emit('error', RtcError.from(error, 'publish'));
      }
    }
  }

  #setPublished(kind: StreamKind, state: PublishState, reason: string, error?: RtcError): void {
    const prevState = this.#published.get(kind) ?? 'stopped';
    if (prevState === state) return;
    this.#published.set(kind, state);
    this.emit('publish-state-changed', { mediaType: MEDIA_TYPES[kind], state, prevState, reason, ...(error ? { error } : {}) });
  }

  // Others

  async startRemoteVideo(config: RemoteVideoConfig): Promise<void> {
    await this.#do('startRemoteVideo', async () => {
      const { userId, streamType } = required(config, 'startRemoteVideo');
      const session = this.#requireSession('startRemoteVideo');
      if (!session.streams.get(userId)?.has(streamType)) {
        throw wrongMoment('startRemoteVideo', `${userId} does not publish a ${streamType} video: wait for remote-video-available`);
      }
      await this.#showRemote({ ...config, streamType });
    });
  }

  async updateRemoteVideo(config: RemoteVideoConfig): Promise<void> {
    await this.#do('updateRemoteVideo', async () => {
      const { userId, streamType } = required(config, 'updateRemoteVideo');
      const known = this.#remoteVideos.get(remoteKey(userId, streamType));
      if (!known) throw wrongMoment('updateRemoteVideo', `the video of ${userId} is not shown: call startRemoteVideo first`);
      const option = { ...known.config.option, ...config.option };
      await this.#showRemote({ ...known.config, ...config, streamType, option });
    });
  }

  async stopRemoteVideo(config: { userId: string; streamType?: StreamType }): Promise<void> {
    await this.#do('stopRemoteVideo', async () => {
      const { userId, streamType } = config;
      const all = [...this.#remoteVideos.values()];
      const meant = all.filter(({ config: shown }) => {
        const isUser = userId === '*' || shown.userId === userId;
        return isUser && (streamType === undefined || shown.streamType === streamType);
      });
      await Promise.all(meant.map(({ config: shown }) => this.#hideRemote(shown.userId, shown.streamType ?? 'main', true)));
    });
  }

  async #showRemote(config: RemoteVideoConfig & { streamType: StreamType }): Promise<void> {
    const { userId, streamType } = config;
    const key = remoteKey(userId, streamType);
    let remote = this.#remoteVideos.get(key);
    if (!remote) {
      const player = new VideoPlayer({
        onState: (state, reason) => this.emit('video-play-state-changed', { userId, streamType, state, reason }),
        onFirstFrame: (width, height) => this.emit('first-video-frame', { userId, streamType, width, height }),
        onAutoplayFailed: (resume) => this.emit('autoplay-failed', { userId, mediaType: streamType === 'main' ? 'video' : 'screen', resume }),
      });
      remote = { player, config, observers: [], isVisible: true };
      this.#remoteVideos.set(key, remote);
    }
    remote.config = config;
    const { fillMode = streamType === 'sub' ? 'contain' : 'cover', mirror } = config.option ?? {};
    remote.player.show(config.view, { fillMode, mirror });
    this.#observe(remote);
    await this.#watchRemote(remote);
    const track = this.#session?.watcher.track(userId, streamType);
    if (track) remote.player.play(track);
  }

  /** Follows the size it is shown at and, if wanted, whether it is in sight. */
  #observe(remote: RemoteVideo): void {
    for (const observer of remote.observers.splice(0)) observer.disconnect();
    remote.isVisible = true;
    const again = () => void this.#watchRemote(remote).catch((error: unknown) => log.info('a video was not adapted', error));
    let timer: ReturnType<typeof setTimeout> | undefined;
    const sizes = new ResizeObserver(() => {
      clearTimeout(timer);
      timer = setTimeout(again, 200);
    });
    remote.player.containers.forEach((container) => sizes.observe(container));
    remote.observers.push(sizes);
    if (!remote.config.option?.receiveWhenViewVisible) return;
    const visible = new Set<Element>();
    const sight = new IntersectionObserver((changes) => {
      for (const change of changes) {
        if (change.isIntersecting) visible.add(change.target);
        else visible.delete(change.target);
      }
      remote.isVisible = visible.size > 0;
      again();
    });
    remote.player.containers.forEach((container) => sight.observe(container));
    remote.observers.push(sight);
  }

  async #watchRemote(remote: RemoteVideo): Promise<void> {
    const { userId, streamType = 'main', option } = remote.config;
    const session = this.#session;
    if (!session?.isInRoom) return;
    await session.watcher.watch({
      userId,
      kind: streamType,
      maxHeight: option?.small ? 1 : remote.player.shownHeight,
      isPaused: !remote.isVisible,
    });
  }

  async #hideRemote(userId: string, streamType: StreamType, isAsked: boolean): Promise<void> {
    const key = remoteKey(userId, streamType);
    const remote = this.#remoteVideos.get(key);
    this.#remoteVideos.delete(key);
    for (const observer of remote?.observers ?? []) observer.disconnect();
    remote?.player.stop();
    const session = this.#session;
    if (!session?.isInRoom) return;
    const work = session.watcher.unwatch(userId, streamType);
    await (isAsked ? work : work.catch((error: unknown) => log.info('a video was not let go of', error)));
  }

  async muteRemoteAudio(userId: string, mute: boolean): Promise<void> {
    await this.#do('muteRemoteAudio', async () => {
      const session = this.#requireSession('muteRemoteAudio');
      if (userId === '*') this.#heard.clear();
      this.#heard.set(userId, !mute);
      const users = userId === '*' ? [...session.streams.keys()].filter((user) => user !== session.userId) : [userId];
      await Promise.all(users.map((user) => this.#listenTo(user)));
    });
  }

  setRemoteAudioVolume(userId: string, volume: number): void {
    if (userId === '*') for (const player of this.#audioPlayers.values()) player.volume = volume;
    else {
      this.#volumes.set(userId, volume);
      const player = this.#audioPlayers.get(userId);
      if (player) player.volume = volume;
    }
    if (userId === '*') this.#volumes.set('*', volume);
  }

  /** Hears a member, if it can be heard and is to be. */
  async #listenTo(userId: string): Promise<void> {
    const session = this.#session;
    if (!session?.isInRoom) return;
    const isThere = session.streams.get(userId)?.has('audio') ?? false;
    // Whoever was unmuted is heard also without autoReceiveAudio.
    const isWanted = this.#heard.get(userId) ?? this.#heard.get('*') ?? this.#entering?.autoReceiveAudio !== false;
    if (isThere && isWanted) {
      await session.watcher.watch({ userId, kind: 'audio', maxHeight: 0, isPaused: false });
      return;
    }
    this.#dropAudio(userId);
    await session.watcher.unwatch(userId, 'audio');
  }

  #dropAudio(userId: string): void {
    const player = this.#audioPlayers.get(userId);
    this.#audioPlayers.delete(userId);
    if (player) speakers.delete(player);
    player?.stop();
  }

  #forgetRemote(): void {
    for (const { config } of [...this.#remoteVideos.values()]) void this.#hideRemote(config.userId, config.streamType ?? 'main', false);
    for (const userId of [...this.#audioPlayers.keys()]) this.#dropAudio(userId);
    this.#known.clear();
    this.#anchors.clear();
  }

  // Tracks and data

  getAudioTrack(config?: { userId?: string; streamType?: StreamType } | string): MediaStreamTrack | null {
    const userId = typeof config === 'string' ? config : config?.userId;
    if (!userId || userId === this.#session?.userId) {
      const isScreen = typeof config === 'object' && config.streamType === 'sub';
      return (isScreen ? this.#screen?.audio : this.#localAudio?.source) ?? null;
    }
    return (this.#session?.isInRoom && this.#session.watcher.track(userId, 'audio')) || null;
  }

  getVideoTrack({ userId, streamType = 'main' }: { userId?: string; streamType?: StreamType } = {}): MediaStreamTrack | null {
    if (!userId || userId === this.#session?.userId) {
      return (streamType === 'main' ? this.#localVideo?.track : this.#screen?.track) ?? null;
    }
    return (this.#session?.isInRoom && this.#session.watcher.track(userId, streamType)) || null;
  }

  /** The picture as it is, as a data URL; empty when nothing is shown. */
  getVideoSnapshot({ userId, streamType = 'main' }: { userId?: string; streamType?: StreamType } = {}): string {
    const isOwn = !userId || userId === this.#session?.userId;
    const own = streamType === 'main' ? this.#localVideo : this.#screen;
    const player = isOwn ? own?.player : this.#remoteVideos.get(remoteKey(userId, streamType))?.player;
    const video = player?.element;
    if (!video || video.videoWidth === 0) return '';
    const canvas = document.createElement('canvas');
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext('2d')?.drawImage(video, 0, 0);
    return canvas.toDataURL('image/png');
  }

  /** Up to 1 KiB, at most 30 a second, to everyone in the room. */
  sendCustomMessage({ cmdId, data }: { cmdId: number; data: ArrayBuffer }): void {
    if (!Number.isInteger(cmdId) || cmdId < 1 || cmdId > 10) throw invalid('sendCustomMessage', 'cmdId must be a number from 1 to 10');
    if (!(data instanceof ArrayBuffer) || data.byteLength === 0 || data.byteLength > 1024) {
      throw invalid('sendCustomMessage', 'data must be an ArrayBuffer of 1 to 1,024 bytes');
    }
    this.#sendData('sendCustomMessage', cmdId, new Uint8Array(data));
  }

  /** Data that goes with a video. It travels beside the video, not within, so that it works whatever the codec. */
  sendSEIMessage(data: ArrayBuffer, options: { seiPayloadType?: number; toSubStream?: boolean } = {}): void {
    const { seiPayloadType = 243, toSubStream = false } = options;
    if (!(data instanceof ArrayBuffer) || data.byteLength === 0 || data.byteLength > 1000) {
      throw invalid('sendSEIMessage', 'data must be an ArrayBuffer of 1 to 1,000 bytes');
    }
    const kind: StreamKind = toSubStream ? 'sub' : 'main';
    if (!this.#session?.isInRoom || !this.#session.publisher.has(kind)) {
      throw wrongMoment('sendSEIMessage', `no ${kind} video is published: start it first`);
    }
    const framed = new Uint8Array(2 + data.byteLength);
    framed.set([seiPayloadType, toSubStream ? 1 : 0]);
    framed.set(new Uint8Array(data), 2);
    this.#sendData('sendSEIMessage', SEI_CMD_ID, framed);
  }

  #sendData(functionName: string, cmdId: number, bytes: Uint8Array): void {
    const session = this.#requireSession(functionName);
    const text = btoa(String.fromCharCode(...bytes));
    session
      .request('send_data', { CmdId: cmdId, Data: text })
      .catch((error: unknown) => this.emit('error', RtcError.from(error, functionName)));
  }

  #takeData(body: Body): void {
    const userId = String(body['From_Account']);
    const bytes = Uint8Array.from(atob(String(body['Data'])), (char) => char.charCodeAt(0));
    if (body['CmdId'] === SEI_CMD_ID) {
      const streamType = bytes[1] === 1 ? 'sub' : 'main';
      this.emit('sei-message', { userId, streamType, seiPayloadType: bytes[0] ?? 0, data: bytes.slice(2).buffer });
      return;
    }
    this.#seq += 1;
    this.emit('custom-message', { userId, cmdId: Number(body['CmdId']), seq: this.#seq, data: bytes.buffer });
  }

  // Levels and statistics

  enableAudioVolumeEvaluation(interval = 2000): void {
    clearInterval(this.#volumeTimer);
    this.#volumeTimer = undefined;
    if (interval <= 0) {
      this.#meter?.meter.close();
      this.#meter = undefined;
      return;
    }
    this.#volumeTimer = setInterval(() => this.#tellVolumes(), Math.max(16, interval));
  }

  #tellVolumes(): void {
    const result: Volume[] = [];
    const add = (userId: string, level: number) => {
      const floatVolume = volumeOf(level);
      result.push({ userId, volume: Math.round(floatVolume), floatVolume });
    };
    const own = this.getAudioTrack();
    if (own !== (this.#meter?.track ?? null)) {
      this.#meter?.meter.close();
      this.#meter = own ? { meter: new Meter(own), track: own } : undefined;
    }
    if (this.#meter) add('', own?.enabled ? this.#meter.meter.level : 0);
    const session = this.#session;
    for (const [watched, receiver] of session?.isInRoom ? session.watcher.receivers() : []) {
      if (watched.kind !== 'audio') continue;
      add(watched.userId, receiver.getSynchronizationSources()[0]?.audioLevel ?? 0);
    }
    this.emit('audio-volume', { result });
  }

  async #tellStatistics(): Promise<void> {
    const session = this.#session;
    if (!session?.isInRoom) return;
    try {
      const { statistics, quality } = await this.#reader.read(session);
      if (this.#session !== session) return;
      this.emit('statistics', statistics);
      this.emit('network-quality', quality);
    } catch (error) {
      log.debug('no statistics this time', error);
    }
  }

  // What happens

  #listen(session: Session): void {
    session.on('state', (prevState, state) => {
      this.emit('connection-state-changed', { prevState, state });
    });
    session.on('members', ({ left }) => {
      for (const userId of left) this.#setAnchor(userId, false);
      if (this.#isOpen) for (const userId of session.members) this.#setAnchor(userId, true);
    });
    session.on('seats', () => {
      // Whoever is put on a seat may publish from it at once.
      if (session.ownSeat) this.#role = 'anchor';
      this.#compareAnchors(session);
    });
    session.on('streams', (userId, streams) => {
      if (userId === session.userId) this.#compareOwn(streams);
      else this.#compareStreams(session, userId, streams);
    });
    session.on('track', (userId, kind, track) => this.#takeTrack(userId, kind, track));
    session.on('event', (event, body) => {
      if (event === 'data_received') this.#takeData(body);
      if (event === 'device_closed') void this.#closeDevice(String(body['StreamType']) as StreamKind);
    });
    session.on('out', (reason) => {
      this.#leave();
      this.emit('kicked-out', { reason: reason as 'kick' });
    });
    session.on('ended', (error) => {
      if (this.#isLeaving) return;
      this.#leave();
      this.emit('error', RtcError.from(error, 'connection'));
    });
  }

  /** In a call everyone is told of everyone; of a live stream's audience nobody is. */
  get #isOpen(): boolean {
    return (this.#entering?.scene ?? 'rtc') === 'rtc';
  }

  #compareAnchors(session: Session): void {
    const seated = new Set(session.seats.map((seat) => seat.userId).filter((user) => user !== ''));
    for (const userId of seated) this.#setAnchor(userId, true);
    if (this.#isOpen) return;
    for (const userId of this.#anchors) {
      if (!seated.has(userId) && !session.streams.has(userId)) this.#setAnchor(userId, false);
    }
  }

  #setAnchor(userId: string, isAnchor: boolean): void {
    if (userId === this.#session?.userId || this.#anchors.has(userId) === isAnchor) return;
    if (isAnchor) {
      this.#anchors.add(userId);
      this.emit('remote-user-enter', { userId });
    } else {
      this.#anchors.delete(userId);
      this.emit('remote-user-exit', { userId });
    }
  }

  #compareStreams(session: Session, userId: string, streams: Streams): void {
    if (streams.size > 0) this.#setAnchor(userId, true);
    const before = this.#known.get(userId);
    // A stream that is switched off for the moment is not available, as if its device were off.
    const shown: Streams = new Map([...streams].filter(([, { isMuted }]) => !isMuted));
    this.#known.set(userId, shown);
    for (const kind of ['audio', 'main', 'sub'] as const) {
      const [was, is] = [before?.has(kind) ?? false, shown.has(kind)];
      if (was === is) continue;
      if (kind === 'audio') {
        if (is) {
          this.emit('remote-audio-available', { userId });
          this.#listenTo(userId).catch((error: unknown) => this.emit('error', RtcError.from(error, 'autoReceiveAudio')));
        } else this.emit('remote-audio-unavailable', { userId });
      } else if (is) {
        this.emit('remote-video-available', { userId, streamType: kind });
        if (this.#entering?.autoReceiveVideo && !this.#remoteVideos.has(remoteKey(userId, kind))) {
          this.#showRemote({ userId, streamType: kind }).catch((error: unknown) => this.emit('error', RtcError.from(error, 'autoReceiveVideo')));
        }
      } else {
        this.emit('remote-video-unavailable', { userId, streamType: kind });
      }
    }
    if (!streams.has('audio')) void this.#listenTo(userId).catch(() => undefined);
    for (const kind of ['main', 'sub'] as const) {
      if (!streams.has(kind) && this.#remoteVideos.has(remoteKey(userId, kind))) void this.#hideRemote(userId, kind, false);
    }
    if (streams.size === 0) {
      this.#known.delete(userId);
      this.#compareAnchors(session);
    }
  }

  /** What the server lets through of what one publishes. */
  #compareOwn(streams: Streams): void {
    const session = this.#session;
    if (!session?.isInRoom) return;
    for (const kind of ['audio', 'main', 'sub'] as const) {
      if (!session.publisher.has(kind)) continue;
      const isStarted = streams.has(kind);
      this.#setPublished(kind, isStarted ? 'started' : 'stopped', isStarted ? 'api-call' : 'error');
    }
  }

  /** One in charge of the room switched a device off: it is off until the page switches it on again. */
  async #closeDevice(kind: StreamKind): Promise<void> {
    try {
      if (kind === 'audio' && this.#localAudio) await this.updateLocalAudio({ mute: true });
      else if (kind === 'main' && this.#localVideo) await this.updateLocalVideo({ mute: true });
      else if (kind === 'sub') await this.stopScreenShare();
    } catch (error) {
      log.info('a device that was to be off', error);
    }
  }

  #takeTrack(userId: string, kind: StreamKind, track: MediaStreamTrack): void {
    if (kind === 'audio') {
      let player = this.#audioPlayers.get(userId);
      if (!player) {
        player = new AudioPlayer({
          onState: (state, reason) => this.emit('audio-play-state-changed', { userId, state, reason }),
          onFirstFrame: () => undefined,
          onAutoplayFailed: (resume) => this.emit('autoplay-failed', { userId, mediaType: 'audio', resume }),
        });
        this.#audioPlayers.set(userId, player);
        speakers.add(player);
        if (speakerId) void player.setSpeaker(speakerId).catch(() => undefined);
        const volume = this.#volumes.get(userId) ?? this.#volumes.get('*');
        if (volume !== undefined) player.volume = volume;
      }
      player.play(track);
      this.emit('track', { userId, track, sourceTrack: track });
      return;
    }
    this.#remoteVideos.get(remoteKey(userId, kind))?.player.play(track);
    this.emit('track', { userId, streamType: kind, track, sourceTrack: track });
  }

  #localPlayer(streamType: StreamType): VideoPlayer {
    return new VideoPlayer({
      onState: (state, reason) => this.emit('video-play-state-changed', { userId: '', streamType, state, reason }),
      onFirstFrame: (width, height) => this.emit('first-video-frame', { userId: '', streamType, width, height }),
      onAutoplayFailed: (resume) => this.emit('autoplay-failed', { userId: '', mediaType: streamType === 'main' ? 'video' : 'screen', resume }),
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

  async #tellActive(type: 'camera' | 'microphone', deviceId: string): Promise<void> {
    const devices = await navigator.mediaDevices.enumerateDevices();
    const device = devices.find((one) => one.deviceId === deviceId);
    if (device) this.emit('device-changed', { type, action: 'active', device });
  }

  #requireSession(functionName: string): Session {
    const session = this.#session;
    if (session?.isInRoom) return session;
    throw wrongMoment(functionName, 'not in a room: call enterRoom first');
  }

  async #do(functionName: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw RtcError.from(error, functionName);
    }
  }
}

function roomIdOf(config: { roomId?: number; strRoomId?: string }, functionName: string): string {
  if (config.strRoomId !== undefined && config.strRoomId !== '') return config.strRoomId;
  if (config.roomId !== undefined && Number.isInteger(config.roomId) && config.roomId > 0) return String(config.roomId);
  throw invalid(functionName, 'roomId (a positive integer) or strRoomId (a string) is missing');
}

function required(config: RemoteVideoConfig, functionName: string): { userId: string; streamType: StreamType } {
  if (!config?.userId) throw invalid(functionName, 'userId is missing');
  const { streamType = 'main' } = config;
  if (streamType !== 'main' && streamType !== 'sub') throw invalid(functionName, "streamType must be 'main' or 'sub'");
  return { userId: config.userId, streamType };
}

function iceServer({ url, username, credential }: TurnServer): RTCIceServer {
  const urls = /^(turns?|stuns?):/.test(url) ? url : `turn:${url}`;
  return { urls, ...(username ? { username } : {}), ...(credential ? { credential } : {}) };
}

/** What the camera really gives, which may be less than was asked for. */
function actual(track: MediaStreamTrack, profile: VideoProfile): VideoProfile {
  const { width, height } = track.getSettings();
  return width && height ? { ...profile, width, height } : profile;
}

function localView(option: LocalVideoConfig['option'], isFront: boolean): ViewOptions {
  const { fillMode, mirror } = option ?? {};
  // 'view' and 'both' mirror what oneself sees, 'publish' what others see, which browsers cannot.
  const isMirrored = mirror === undefined ? isFront : mirror === true || mirror === 'view' || mirror === 'both';
  return { fillMode: fillMode ?? 'cover', mirror: isMirrored };
}
