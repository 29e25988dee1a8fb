/**
 * The same client for pages that were written for version 4 of the cloud's Web SDK (`trtc-js-sdk`): `TRTC.createClient`,
 * `TRTC.createStream`. A page moves by its import and by `server` in its `createClient`.
 *
 * ```ts
 * import TRTC from '@roomful/client/v4';
 *
 * const client = TRTC.createClient({ server: 'wss://rooms.example.org', mode: 'rtc', sdkAppId, userId, userSig });
 * await client.join({ roomId: 8888 });
 * const stream = TRTC.createStream({ userId, audio: true, video: true });
 * await stream.initialize();
 * await client.publish(stream);
 * ```
 */
import { getCameraList, getMicrophoneList, getSpeakerList, isSupported } from '../devices.js';
import { setLogLevel } from '../log.js';
import { Client } from './client.js';
import { ErrorCode, RtcError4 as RtcError } from './errors.js';
import { LocalStream } from './local-stream.js';
import { RemoteStream } from './remote-stream.js';
import { Stream } from './stream.js';
import type { CheckResult, ClientConfig, StreamConfig } from './types.js';

export { Client, ErrorCode, LocalStream, RemoteStream, RtcError, Stream };
export type * from './types.js';

export const VERSION = __VERSION__;

/** Logs go to the console alone: there is nowhere to upload them to. */
export const Logger = {
  LogLevel: { TRACE: 0, DEBUG: 1, INFO: 2, WARN: 3, ERROR: 4, NONE: 5 },
  setLogLevel,
  enableUploadLog: (): void => undefined,
  disableUploadLog: (): void => undefined,
} as const;

export const checkSystemRequirements = (): Promise<CheckResult> => isSupported();

export const isScreenShareSupported = (): boolean => 'getDisplayMedia' in (globalThis.navigator?.mediaDevices ?? {});

export const isSmallStreamSupported = (): boolean => typeof RTCPeerConnection !== 'undefined';

export const getDevices = (): Promise<MediaDeviceInfo[]> => navigator.mediaDevices.enumerateDevices();
export const getCameras = (): Promise<MediaDeviceInfo[]> => getCameraList(false);
export const getMicrophones = (): Promise<MediaDeviceInfo[]> => getMicrophoneList(false);
export const getSpeakers = (): Promise<MediaDeviceInfo[]> => getSpeakerList(false);

export const createClient = (config: ClientConfig): Client => new Client(config);
export const createStream = (config: StreamConfig): LocalStream => new LocalStream(config);

const TRTC = {
  VERSION,
  Logger,
  checkSystemRequirements,
  isScreenShareSupported,
  isSmallStreamSupported,
  getDevices,
  getCameras,
  getMicrophones,
  getSpeakers,
  createClient,
  createStream,
  Client,
  Stream,
  LocalStream,
  RemoteStream,
  RtcError,
  ErrorCode,
};
export default TRTC;
