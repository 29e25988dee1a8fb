/**
 * The browser client of Roomful. Names and shapes are those of the cloud's Web SDK where they mean the same, so that a
 * page moves by changing its import and its `create`.
 *
 * ```ts
 * import TRTC from '@roomful/client';
 *
 * const trtc = TRTC.create({ server: 'wss://rooms.example.org' });
 * await trtc.enterRoom({ sdkAppId, userId, userSig, strRoomId: 'r1', role: 'anchor', scene: 'live' });
 * await trtc.startLocalVideo({ view: 'local' });
 * ```
 */
export { TRTC as default, TRTC } from './trtc.js';
export { EVENT, PEER_LEAVE_REASON, EVENT as TRTCEvent, TYPE, TYPE as TRTCType } from './api.js';
export type {
  EnterRoomConfig,
  LocalAudioConfig,
  LocalVideoConfig,
  PlayoutDelay,
  ProxyServer,
  QuickStartConfig,
  RemoteVideoConfig,
  ScreenShareConfig,
  SwitchRoomConfig,
  TRTCEventTypes,
  TRTCOptions,
} from './api.js';
export { Room } from './room.js';
export type { Device, Request, RoomEvents, UserInfo } from './room.js';
export type { EncryptionKey } from './keys.js';
export { ERROR_CODE, RtcError } from './errors.js';
export { LOG_LEVEL } from './log.js';
export * from './names.js';
export { PlayerState } from './playing.js';
export { AUDIO_PROFILES as audioProfileMap, SCREEN_PROFILES as screenProfileMap, VIDEO_PROFILES as videoProfileMap } from './profiles.js';
export { ConnectionState } from './session.js';
export type { Seat } from './session.js';
export type { NetworkQuality, Statistics } from './statistics.js';
export type { VideoProfile } from './profiles.js';
export type { Core, Effect, Filter, Frame, Plugin, PluginClass } from './plugin.js';
export type * from './plugin-options.js';
