import { ERROR_CODE, RtcError } from '../errors.js';

/** The numbers that version 4 has for what went wrong. */
export const ErrorCode = {
  INVALID_PARAMETER: 0x1000,
  INVALID_OPERATION: 0x1001,
  NOT_SUPPORTED: 0x1002,
  DEVICE_NOT_FOUND: 0x1003,
  INITIALIZE_FAILED: 0x1004,
  SIGNAL_CHANNEL_SETUP_FAILED: 0x4001,
  SIGNAL_CHANNEL_ERROR: 0x4002,
  ICE_TRANSPORT_ERROR: 0x4003,
  JOIN_ROOM_FAILED: 0x4004,
  CREATE_OFFER_FAILED: 0x4005,
  SIGNAL_CHANNEL_RECONNECTION_FAILED: 0x4006,
  UPLINK_RECONNECTION_FAILED: 0x4007,
  DOWNLINK_RECONNECTION_FAILED: 0x4008,
  REMOTE_STREAM_NOT_EXIST: 0x4010,
  CLIENT_BANNED: 0x4040,
  SERVER_TIMEOUT: 0x4041,
  SUBSCRIPTION_TIMEOUT: 0x4042,
  PLAY_NOT_ALLOWED: 0x4043,
  DEVICE_AUTO_RECOVER_FAILED: 0x4044,
  START_PUBLISH_CDN_FAILED: 0x4045,
  STOP_PUBLISH_CDN_FAILED: 0x4046,
  START_MIX_TRANSCODE_FAILED: 0x4047,
  STOP_MIX_TRANSCODE_FAILED: 0x4048,
  NOT_SUPPORTED_H264: 0x4049,
  SWITCH_ROLE_FAILED: 0x404a,
  API_CALL_TIMEOUT: 0x404b,
  UNKNOWN: 0xffff,
} as const;
export type ErrorCode = typeof ErrorCode;

const NAMES = new Map<number, string>(Object.entries(ErrorCode).map(([name, code]) => [code, name]));

const KINDS = new Map<number, number>([
  [ERROR_CODE.INVALID_PARAMETER, ErrorCode.INVALID_PARAMETER],
  [ERROR_CODE.INVALID_OPERATION, ErrorCode.INVALID_OPERATION],
  [ERROR_CODE.OPERATION_ABORT, ErrorCode.INVALID_OPERATION],
  [ERROR_CODE.ENV_NOT_SUPPORTED, ErrorCode.NOT_SUPPORTED],
  [ERROR_CODE.DEVICE_ERROR, ErrorCode.INITIALIZE_FAILED],
  [ERROR_CODE.SERVER_ERROR, ErrorCode.SIGNAL_CHANNEL_ERROR],
  [ERROR_CODE.OPERATION_FAILED, ErrorCode.SIGNAL_CHANNEL_ERROR],
]);

/** An error of version 4: its number, and what went wrong. */
export class RtcError4 extends Error {
  override readonly name: string;
  readonly code: number;
  /** The server's own number, or the browser's word. */
  readonly extraCode: number | string;

  constructor(code: number, message: string, { name = 'RtcError', extraCode = 0 }: { name?: string; extraCode?: number | string } = {}) {
    super(`${message} <${NAMES.get(code) ?? 'UNKNOWN'} 0x${code.toString(16)}>`);
    this.name = name;
    this.code = code;
    this.extraCode = extraCode;
  }

  /** As pages read it that know the original from inside. */
  get message_(): string {
    return this.message;
  }

  /** Of the numbers in `ErrorCode`, the one that is compared with. */
  getCode<Name extends keyof ErrorCode>(): ErrorCode[Name] {
    return this.code as ErrorCode[Name];
  }

  getExtraCode(): number | string {
    return this.extraCode;
  }
}

/** What a page gave is of another kind than it must be. */
export function wrong(message: string): RtcError4 {
  return new RtcError4(ErrorCode.INVALID_PARAMETER, message);
}

/** What an option is to be: the name of a type, or the values that there are. */
type Kind = 'boolean' | 'number' | 'string' | readonly unknown[];

/** Fails of what is there and of another kind. */
export function requireKinds(functionName: string, given: object, kinds: Record<string, Kind>): void {
  for (const [name, kind] of Object.entries(kinds)) {
    const value = (given as Record<string, unknown>)[name];
    if (value === undefined) continue;
    const isRight = typeof kind === 'string' ? typeof value === kind : kind.includes(value);
    if (!isRight) throw wrong(`${functionName}: ${name} must be ${typeof kind === 'string' ? `a ${kind}` : `one of ${kind.join(', ')}`}`);
  }
}

/** Fails of what is no track; where the browser can tell. */
export function requireTrack(name: string, value: unknown): void {
  const type = globalThis.MediaStreamTrack as (abstract new () => unknown) | undefined;
  if (type ? !(value instanceof type) : !value) throw wrong(`${name} must be a MediaStreamTrack`);
}

/** Whatever was thrown. Pages of version 4 tell the browser's own refusals of devices by their names. */
export function from(thrown: unknown, code?: number): RtcError4 {
  if (thrown instanceof RtcError4) return thrown;
  const error = RtcError.from(thrown, '');
  const { originError } = error;
  const name = error.code === ERROR_CODE.DEVICE_ERROR ? originError?.name : undefined;
  const own = name === 'NotFoundError' ? ErrorCode.DEVICE_NOT_FOUND : (KINDS.get(error.code) ?? ErrorCode.UNKNOWN);
  const kept = [ERROR_CODE.INVALID_PARAMETER, ERROR_CODE.INVALID_OPERATION].includes(error.code as 5000) ? own : (code ?? own);
  return new RtcError4(kept, error.message, { ...(name ? { name } : {}), extraCode: error.extraCode ?? 0 });
}

/** Does something, and fails by the numbers of version 4. */
export async function in4<T>(work: () => Promise<T>, code?: number): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw from(error, code);
  }
}
