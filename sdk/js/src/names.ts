/**
 * The names that the cloud's types have for what is here under shorter ones, so that a page with types keeps its imports.
 * What of them is missing on purpose is listed, with the reason, in `test/refused.ts`.
 */
import type {
  EnterRoomConfig,
  LocalAudioConfig,
  RemoteVideoConfig,
  Role,
  ScreenShareConfig,
  StreamType,
  TRTCEventTypes,
  TurnServer,
} from './api.js';
import type { PermissionType, Permissions } from './devices.js';
import type { RtcErrorParams } from './errors.js';
import type { AudioProfile } from './profiles.js';
import type { Statistics } from './statistics.js';

export const Scene = { LIVE: 'live', RTC: 'rtc' } as const;
export type Scene = NonNullable<EnterRoomConfig['scene']>;

export const UserRole = { ANCHOR: 'anchor', AUDIENCE: 'audience' } as const;
export type UserRole = Role;

export const TRTCStreamType = { Main: 'main', Sub: 'sub' } as const;
export type TRTCStreamType = StreamType;

export const TRTCDeviceType = { Camera: 'camera', Microphone: 'microphone', Speaker: 'speaker' } as const;
export type TRTCDeviceType = TRTCEventTypes['device-changed'][0]['type'];

export const TRTCDeviceAction = { Remove: 'remove', Add: 'add', Active: 'active' } as const;
export type TRTCDeviceAction = TRTCEventTypes['device-changed'][0]['action'];

export const TRTCVideoType = { Big: 'big', Small: 'small', Sub: 'sub' } as const;
export type TRTCVideoType = Statistics['localStatistics']['video'][0]['videoType'];

/** Nobody is put out for a silence here, as nobody is there by the cloud's own types. */
export const BannedReason = { BANNED: 'banned', KICK: 'kick', USER_TIME_OUT: 'user_time_out', ROOM_DISBAND: 'room_disband' } as const;
export type BannedReason = (typeof BannedReason)[keyof typeof BannedReason];

export const NetworkQualityValue = { UNKNOWN: 0, EXCELLENT: 1, GOOD: 2, POOR: 3, BAD: 4, VERY_BAD: 5, DISCONNECTED: 6 } as const;
export type NetworkQualityValue = (typeof NetworkQualityValue)[keyof typeof NetworkQualityValue];

export type TurnServerOptions = TurnServer;
export type UpdateScreenShareConfig = ScreenShareConfig;
export type UpdateLocalAudioConfig = LocalAudioConfig;
export type StopRemoteVideoConfig = Pick<RemoteVideoConfig, 'userId' | 'streamType'>;
export type VideoFrameConfig = Partial<StopRemoteVideoConfig>;
export interface PermissionOption {
  request?: boolean;
  types?: PermissionType[];
}
export type PermissionResult = Permissions;
export type RTCErrorParams = RtcErrorParams;
export type RTCErrorInterface = Readonly<Pick<RtcErrorParams, 'code' | 'extraCode' | 'functionName' | 'message' | 'originError'> & { name: string }>;
export type TRTCStatistics = Statistics;
export type LocalStatistic = Statistics['localStatistics'];
export type RemoteStatistic = Statistics['remoteStatistics'][0];
export type PictureInPictureStateChangedEvent = TRTCEventTypes['picture-in-picture-state-changed'][0];
export type FullScreenStateChangedEvent = TRTCEventTypes['full-screen-state-changed'][0];
export type CustomMessage = TRTCEventTypes['custom-message'][0];
export type CustomMessageData = Pick<CustomMessage, 'cmdId' | 'data'>;
export interface RemotePlayerOptions {
  userId: string;
  streamType?: StreamType;
}
export type { AudioProfile };
