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
export { EVENT, TYPE } from './api.js';
export type {
  EnterRoomConfig,
  LocalAudioConfig,
  LocalVideoConfig,
  PluginOptions,
  RemoteVideoConfig,
  ScreenShareConfig,
  SwitchRoomConfig,
  TRTCEventTypes,
  TRTCOptions,
} from './api.js';
export { Room } from './room.js';
export type { Device, Request, RoomEvents, UserInfo } from './room.js';
export type { EncryptionKey } from './encryption.js';
export { ERROR_CODE, RtcError } from './errors.js';
export { LOG_LEVEL } from './log.js';
export type { ConnectionState, Seat } from './session.js';
export type { NetworkQuality, Statistics } from './statistics.js';
export type { VideoProfile } from './profiles.js';
