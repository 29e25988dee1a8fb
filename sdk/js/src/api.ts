import type { MicrophoneOption, ScreenOption } from './capture.js';
import type { RtcError } from './errors.js';
import type { VideoCodec } from './layering.js';
import { SCREEN_PROFILES, VIDEO_PROFILES, type VideoProfile } from './profiles.js';
import type { ConnectionState } from './session.js';
import type { NetworkQuality, Statistics } from './statistics.js';
import type { Permissions } from './devices.js';
import type { PlayerState } from './playing.js';
import type { PluginClass } from './plugin.js';
import type { PluginWithAssets } from './plugin-options.js';
import type { View } from './views.js';

export type Role = 'anchor' | 'audience';
export type StreamType = 'main' | 'sub';
export type MediaType = 'audio' | 'video' | 'screen';

export interface TRTCOptions {
  /** Where the server is, `wss://rooms.example.org`, or where each of its nodes is; absent for the page's own. */
  server?: string | readonly string[];
  /** Whether entering a room that does not exist creates it, as the cloud does; on unless `false`. */
  createRooms?: boolean;
  /** Plugins of the page's own; those of this client are there without it. */
  plugins?: (PluginClass | PluginWithAssets)[];
  /** Messages beside a video are there in any case. */
  enableSEI?: boolean;
  /** Nothing has to be loaded from anywhere. */
  assetsPath?: string;
  /** Whether a dialog asks for a click where the browser does not play sound without one; on unless `false`. */
  enableAutoPlayDialog?: boolean;
  /** 1: volumes are in decibels above -100 dB. */
  volumeType?: number;
  enableAutoSwitchWhenRecapturing?: boolean;
  enableVolumeControlInIOS?: boolean;
}

export interface TurnServer {
  url: string;
  username?: string;
  credential?: string;
  credentialType?: 'password';
}

export interface ProxyServer {
  turnServer?: TurnServer | TurnServer[];
  iceTransportPolicy?: RTCIceTransportPolicy;
  websocketProxy?: string;
  unifiedProxy?: string;
  loggerProxy?: string;
  scheduleProxy?: string;
  webtransportProxy?: string;
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
  /** Of all who speak, at most so many are heard at once: the loudest, 1 to 50. For large rooms; absent for all. */
  maxSpeakers?: number;
  scene?: 'live' | 'rtc';
  proxy?: string | ProxyServer;
  enableAutoPlayDialog?: boolean;
  privateMapKey?: string;
  latencyLevel?: number;
  businessInfo?: string;
  userDefineRecordId?: string;
  playoutDelay?: PlayoutDelay;
  quickStart?: QuickStartConfig;
}

/** How long sound and pictures are kept before they are played, in ms, where the browser lets a page say so. */
export interface PlayoutDelay {
  min: number;
  max: number;
}

export interface QuickStartConfig {
  remoteUserId: string;
  small?: boolean;
  domain?: string;
}

export interface SwitchRoomConfig {
  userSig?: string;
  roomId?: number;
  strRoomId?: string;
  privateMapKey?: string;
}

type VideoProfileName = keyof typeof VIDEO_PROFILES;
type ScreenProfileName = keyof typeof SCREEN_PROFILES;

export interface LocalVideoConfig {
  view?: View;
  publish?: boolean;
  forcePublish?: boolean;
  /** With a picture's address, others are shown that one meanwhile. */
  mute?: boolean | string;
  option?: {
    cameraId?: string;
    useFrontCamera?: boolean;
    profile?: VideoProfileName | Partial<VideoProfile>;
    fillMode?: 'contain' | 'cover' | 'fill';
    /** Who sees it mirrored: oneself (`'view'`, `true`), the others (`'publish'`), or `'both'`. */
    mirror?: boolean | string;
    /** How far it is turned clockwise for the others. */
    rotation?: 0 | 90 | 180 | 270;
    /** All that the camera sees, rather than cut to the profile's shape. */
    avoidCropping?: boolean;
    /** The low layers, or what the one low layer is like; on unless `false`: viewers on slow links get them. */
    small?: VideoProfileName | Partial<VideoProfile> | boolean;
    qosPreference?: 'smooth' | 'clear';
    videoTrack?: MediaStreamTrack;
  } & Layering;
}

/** How a video is encoded, where that matters. */
export interface Layering {
  /** The codec, where the browser has it; the browser's own choice when absent. */
  codec?: VideoCodec;
  /**
   * One stream with layers in it instead of one for each size: `L3T3_KEY` or `L3T3` with VP9, `L1T2` or `L1T3` with any codec
   * but H.264. It comes with `codec`: where the browser has that one, a mode that it cannot encode is refused; where it has
   * not, video is sent in several sizes as without it.
   */
  scalabilityMode?: string;
}

export interface LocalAudioConfig {
  publish?: boolean;
  /** `true` mutes all that is sent as sound, `'microphone'` leaves that of a shared screen. */
  mute?: boolean | 'microphone';
  /** While muted, the page is still told how loud it would be. */
  muteKeepVolumeDetection?: boolean;
  option?: MicrophoneOption & {
    audioTrack?: MediaStreamTrack;
    captureVolume?: number;
    /** How loud one hears oneself, 0 to 100. */
    earMonitorVolume?: number;
  };
}

export interface ScreenShareConfig {
  view?: View;
  publish?: boolean;
  /** A screen is `'sub'`. */
  streamType?: StreamType;
  muteSystemAudio?: boolean;
  option?: {
    profile?: ScreenProfileName | Partial<VideoProfile>;
    fillMode?: 'contain' | 'cover' | 'fill';
    videoTrack?: MediaStreamTrack;
    audioTrack?: MediaStreamTrack;
    qosPreference?: 'smooth' | 'clear';
  } & ScreenOption &
    Layering;
}

export interface RemoteVideoConfig {
  userId: string;
  streamType?: StreamType;
  view?: View;
  option?: {
    fillMode?: 'contain' | 'cover' | 'fill';
    mirror?: boolean;
    small?: boolean;
    receiveWhenViewVisible?: boolean;
    /** What scrolls the views, for `receiveWhenViewVisible`. */
    viewRoot?: HTMLElement;
    /** The address of what is shown until there is a picture. */
    poster?: string;
    pictureInPicture?: boolean;
    fullScreen?: boolean;
    canvasRender?: boolean;
    draggable?: boolean;
  };
}

export interface TRTCEventTypes {
  error: [RtcError];
  'autoplay-failed': [{ userId: string; mediaType: MediaType; resume: () => Promise<void> }];
  'kicked-out': [{ reason: 'kick' | 'banned' | 'room_disband' }];
  'remote-user-enter': [{ userId: string }];
  'remote-user-exit': [{ userId: string; reason?: PEER_LEAVE_REASON }];
  'remote-audio-available': [{ userId: string }];
  'remote-audio-unavailable': [{ userId: string }];
  'remote-video-available': [{ userId: string; streamType: StreamType }];
  'remote-video-unavailable': [{ userId: string; streamType: StreamType }];
  'audio-volume': [{ result: Volume[] }];
  'network-quality': [NetworkQuality];
  /** With `isReconnecting` where the state is `CONNECTING`: a connection that was lost is made again. */
  'connection-state-changed': [{ prevState: ConnectionState; state: ConnectionState; isReconnecting?: boolean }];
  'audio-play-state-changed': [{ userId: string; state: PlayerState; reason: string }];
  'video-play-state-changed': [{ userId: string; streamType: StreamType; state: PlayerState; reason: string }];
  'screen-share-stopped': [];
  'device-changed': [{ type: 'camera' | 'microphone' | 'speaker'; action: 'add' | 'remove' | 'active'; device: MediaDeviceInfo }];
  'publish-state-changed': [{ mediaType: MediaType; state: PublishState; prevState: PublishState; reason?: PublishReason; error?: RtcError }];
  track: [{ userId: string; streamType?: StreamType; track: MediaStreamTrack; sourceTrack: MediaStreamTrack }];
  statistics: [Statistics];
  'custom-message': [{ userId: string; cmdId: number; seq: number; data: ArrayBuffer }];
  'sei-message': [{ userId: string; streamType: StreamType; seiPayloadType: number; data: ArrayBuffer }];
  'first-video-frame': [{ userId: string; streamType: StreamType; width: number; height: number }];
  'video-size-changed': [{ userId: string; streamType: StreamType; newWidth: number; newHeight: number }];
  'permission-state-change': [Permissions];
  'picture-in-picture-state-changed': [{ userId: string; streamType: StreamType; isPictureInPicture: boolean; pictureInPictureWindow?: PictureInPictureWindow }];
  'full-screen-state-changed': [{ userId: string; streamType: StreamType; isFullScreen: boolean }];
  /** What a member sends cannot be shown: it is encrypted with another key, or not at all while one's own is on. */
  'decryption-failed': [{ userId: string; mediaType: MediaType }];
}

/** Loudness from 0 to 100, and not rounded from 0 to 1; the empty name is oneself. */
export interface Volume {
  userId: string;
  volume: number;
  floatVolume: number;
}

export type PublishState = 'starting' | 'started' | 'stopped';
/** Why a stream is published no more. */
export type PublishReason = 'timeout' | 'error' | 'api-call';

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
  /** These three are never told: see `NEVER_TOLD`. */
  AUDIO_FRAME: 'audio-frame',
  REALTIME_TRANSCRIBER_MESSAGE: 'realtime-transcriber-message',
  REALTIME_TRANSCRIBER_STATE_CHANGED: 'realtime-transcriber-state-changed',
  VIDEO_SIZE_CHANGED: 'video-size-changed',
  PERMISSION_STATE_CHANGE: 'permission-state-change',
  PICTURE_IN_PICTURE_STATE_CHANGED: 'picture-in-picture-state-changed',
  FULL_SCREEN_STATE_CHANGED: 'full-screen-state-changed',
  DECRYPTION_FAILED: 'decryption-failed',
} as const;

export const PEER_LEAVE_REASON = { NORMAL_LEAVE: 0, TIMEOUT_LEAVE: 1, KICK: 2, ROLE_CHANGE: 3 } as const;
export type PEER_LEAVE_REASON = (typeof PEER_LEAVE_REASON)[keyof typeof PEER_LEAVE_REASON];

/** Who listens to these in vain is told so. */
export const NEVER_TOLD: Record<string, string> = {
  'audio-frame': 'read the samples of getAudioTrack() in an AudioWorklet',
  'realtime-transcriber-message': 'nothing is transcribed here',
  'realtime-transcriber-state-changed': 'nothing is transcribed here',
};

export const TYPE = {
  SCENE_LIVE: 'live',
  SCENE_RTC: 'rtc',
  ROLE_ANCHOR: 'anchor',
  ROLE_AUDIENCE: 'audience',
  STREAM_TYPE_MAIN: 'main',
  STREAM_TYPE_SUB: 'sub',
  AUDIO_PROFILE_SPEECH: 'speech',
  AUDIO_PROFILE_STANDARD: 'standard',
  AUDIO_PROFILE_STANDARD_STEREO: 'standard-stereo',
  AUDIO_PROFILE_HIGH: 'high',
  AUDIO_PROFILE_HIGH_STEREO: 'high-stereo',
  QOS_PREFERENCE_SMOOTH: 'smooth',
  QOS_PREFERENCE_CLEAR: 'clear',
  SPEAKER: 'Speakerphone',
  HEADSET: 'Headset earpiece',
} as const;
