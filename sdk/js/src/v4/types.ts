/** What pages of version 4 give and are given, by the names of its types. */
import type { VideoProfile as FullProfile } from '../profiles.js';
import type { NetworkQuality } from '../statistics.js';
import type { RtcError4 } from './errors.js';
import type { LocalStream } from './local-stream.js';
import type { RemoteStream } from './remote-stream.js';

export type { NetworkQuality };
export type Role = 'anchor' | 'audience';
export type RemoteStreamType = 'main' | 'auxiliary';
export type ConnectionState = 'DISCONNECTED' | 'CONNECTING' | 'RECONNECTING' | 'CONNECTED';
export type AudioProfileString = 'standard' | 'high' | 'standard-stereo' | 'high-stereo';
export type VideoProfileString = '120p' | '120p_2' | '180p' | '180p_2' | '240p' | '240p_2' | '360p' | '360p_2' | '480p' | '480p_2' | '720p' | '1080p' | '1440p' | '4K';
export type ScreenProfileString = '480p' | '480p_2' | '720p' | '720p_2' | '1080p' | '1080p_2';
export type VideoProfile = Partial<FullProfile>;
export type ScreenProfile = FullProfile;
export type SmallStreamProfile = FullProfile;

export interface CheckResult {
  result: boolean;
  detail: {
    isBrowserSupported: boolean;
    isWebRTCSupported: boolean;
    isMediaDevicesSupported: boolean;
    isH264EncodeSupported: boolean;
    isH264DecodeSupported: boolean;
    isVp8EncodeSupported: boolean;
    isVp8DecodeSupported: boolean;
  };
}

export interface ClientConfig {
  /** Where the server is, `wss://rooms.example.org`, or where each of its nodes is; absent for the page's own. */
  server?: string | readonly string[];
  /** `videoCall` is what versions before 4.8 called `rtc`. */
  mode: 'rtc' | 'live' | 'videoCall';
  sdkAppId: number;
  userId: string;
  userSig: string;
  useStringRoomId?: boolean;
  /** Whether streams are taken without being asked for; yes unless `false`. */
  autoSubscribe?: boolean;
  /** Whether a person is asked for a click where the browser wants one before it plays; yes unless `false`. */
  enableAutoPlayDialog?: boolean;
  /** These are for services of the cloud, and change nothing here. */
  streamId?: string;
  userDefineRecordId?: string;
  recordId?: string;
  pureAudioPushMode?: 1 | 2;
  /** Messages beside a video are there in any case. */
  enableSEI?: boolean;
  bussinessInfo?: string;
  frameWorkType?: number;
}

export interface JoinOptions {
  roomId: number | string;
  role?: Role;
  /** Who may enter is the app's own to say, by whom it gives a UserSig. */
  privateMapKey?: string;
}

export interface StreamConfig {
  userId?: string;
  audio?: boolean;
  video?: boolean;
  screen?: boolean;
  screenAudio?: boolean;
  audioSource?: MediaStreamTrack;
  videoSource?: MediaStreamTrack;
  cameraId?: string;
  microphoneId?: string;
  facingMode?: 'user' | 'environment';
  mirror?: boolean;
}

export interface PlaybackOptions {
  objectFit?: 'contain' | 'cover' | 'fill' | 'none' | 'scale-down';
  /** One's own sound is not played unless this is `false`, that of others unless it is `true`. */
  muted?: boolean;
  mirror?: boolean;
}

export interface TurnServerConfig {
  url: string;
  username?: string;
  credential?: string;
  credentialType?: 'password';
}

export interface RemoteUserInfo {
  userId: string;
}

export interface RemoteStreamInfo {
  stream: RemoteStream;
}

export type RemoteStreamUpdatedInfo = RemoteStreamInfo;

export interface RemoteMutedState {
  userId: string;
  hasAudio: boolean;
  hasVideo: boolean;
  audioMuted: boolean;
  videoMuted: boolean;
  hasSmall: boolean;
}

export interface UserAudioVolume {
  userId: string;
  audioVolume: number;
  stream: LocalStream | RemoteStream;
}

export interface SEIMessageEvent {
  userId: string;
  data: ArrayBuffer;
  seiPayloadType: 5 | 243;
  isFromAuxiliary: boolean;
}

export interface TransportStats {
  rtt: number;
  downlinksRTT: Record<string, number>;
}

export interface LocalAudioStats {
  bytesSent: number;
  packetsSent: number;
}

export interface LocalVideoStats extends LocalAudioStats {
  framesEncoded: number;
  framesSent: number;
  frameWidth: number;
  frameHeight: number;
}

export interface RemoteAudioStats {
  bytesReceived: number;
  packetsReceived: number;
  packetsLost: number;
}

export interface RemoteVideoStats extends RemoteAudioStats {
  framesDecoded: number;
  frameWidth: number;
  frameHeight: number;
}

/** Sending streams elsewhere, and mixing them, are refused: what is given is not looked at. */
export interface PublishCDNStreamOptions {
  streamId?: string;
  appId?: number;
  bizId?: number;
  url?: string;
}

export interface MixUser {
  userId: string;
  roomId: number | string;
  pureAudio: boolean;
  width?: number;
  height?: number;
  locationX?: number;
  locationY?: number;
  zOrder?: number;
  streamType?: RemoteStreamType;
  renderMode: 0 | 1 | 2;
}

export interface MixTranscodeConfig {
  mode?: 'manual' | 'preset-layout';
  streamId?: string;
  videoWidth?: number;
  videoHeight?: number;
  videoBitrate?: number;
  videoFramerate?: number;
  videoGOP?: number;
  audioSampleRate?: number;
  audioBitrate?: number;
  audioChannels?: 1 | 2;
  backgroundColor?: number;
  backgroundImage?: string;
  mixUsers: MixUser[];
}

export type LocalAudioStatsMap = Record<string, LocalAudioStats>;
export type LocalVideoStatsMap = Record<string, LocalVideoStats>;
export type RemoteAudioStatsMap = Record<string, RemoteAudioStats>;
export type RemoteVideoStatsMap = Record<string, RemoteVideoStats>;

export interface ClientEventMap {
  'stream-added': RemoteStreamInfo;
  'stream-removed': RemoteStreamInfo;
  'stream-updated': RemoteStreamUpdatedInfo;
  'stream-subscribed': RemoteStreamInfo;
  'connection-state-changed': { prevState: ConnectionState; state: ConnectionState };
  'peer-join': RemoteUserInfo;
  'peer-leave': RemoteUserInfo;
  'mute-audio': RemoteUserInfo;
  'mute-video': RemoteUserInfo;
  'unmute-audio': RemoteUserInfo;
  'unmute-video': RemoteUserInfo;
  'client-banned': { reason: 'kick' | 'banned' | 'room-disband'; message: string };
  'network-quality': NetworkQuality;
  'audio-volume': { result: UserAudioVolume[] };
  'custom-message': { userId: string; cmdId: number; seq: number; data: ArrayBuffer };
  'sei-message': SEIMessageEvent;
  error: RtcError4;
}

export interface StreamEventMap {
  'player-state-changed': { type: 'audio' | 'video'; state: 'PLAYING' | 'PAUSED' | 'STOPPED'; reason: 'playing' | 'mute' | 'unmute' | 'ended' | 'pause' };
  'screen-sharing-stopped': undefined;
  /** Of the stream: it is sent, or comes. */
  'connection-state-changed': { prevState: ConnectionState; state: ConnectionState };
  /** A device that went away is there again, or another in its place. */
  'device-auto-recovered': { isCamera: boolean; isMicrophone: boolean; cameraId: string; microphoneId: string };
  error: RtcError4;
}

/** The names that pages of version 4 write out. */
export interface ClientEvent {
  STREAM_ADDED: 'stream-added';
  STREAM_REMOVED: 'stream-removed';
  STREAM_UPDATED: 'stream-updated';
  STREAM_SUBSCRIBED: 'stream-subscribed';
  CONNECTION_STATE_CHANGED: 'connection-state-changed';
  PEER_JOIN: 'peer-join';
  PEER_LEAVE: 'peer-leave';
  MUTE_AUDIO: 'mute-audio';
  MUTE_VIDEO: 'mute-video';
  UNMUTE_AUDIO: 'unmute-audio';
  UNMUTE_VIDEO: 'unmute-video';
  CLIENT_BANNED: 'client-banned';
  NETWORK_QUALITY: 'network-quality';
  AUDIO_VOLUME: 'audio-volume';
  ERROR: 'error';
}

export interface StreamEvent {
  PLAYER_STATE_CHANGED: 'player-state-changed';
  SCREEN_SHARING_STOPPED: 'screen-sharing-stopped';
  CONNECTION_STATE_CHANGED: 'connection-state-changed';
  DEVICE_AUTO_RECOVERED: 'device-auto-recovered';
  ERROR: 'error';
}

/** As an event has one argument. */
export type Told<Events> = { [name in keyof Events]: [Events[name]] };
