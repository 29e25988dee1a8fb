/** What `enterRoom` is given: whether it is complete, and what it means. */
import type { EnterRoomConfig, Role, TurnServer } from './api.js';
import { invalid } from './errors.js';
import { OPTIONS, check } from './options.js';
import type { RoomFields, SessionOptions } from './session.js';

/** What browsers let a jitter buffer hold (WebRTC extensions 6.1). */
const LONGEST_DELAY_MS = 4_000;

const LONGEST_ROOM_ID = 64;

/** Returns the room's name; fails where something is missing, or cannot be. */
export function requireEntry(config: EnterRoomConfig): string {
  const { sdkAppId, userId, userSig, maxSpeakers } = config;
  if (sdkAppId === undefined) throw invalid('enterRoom', 'sdkAppId is missing', 5001);
  if (!Number.isInteger(sdkAppId)) throw invalid('enterRoom', 'sdkAppId must be a number', 5002);
  if (sdkAppId <= 0) throw invalid('enterRoom', 'sdkAppId must be above 0', sdkAppId === 0 ? 5003 : 5006);
  requireText('userId', userId);
  requireText('userSig', userSig, ': the app server signs one for each user');
  const roomId = roomIdOf(config, 'enterRoom');
  if (maxSpeakers !== undefined && !(Number.isInteger(maxSpeakers) && maxSpeakers >= 1 && maxSpeakers <= 50)) {
    throw invalid('enterRoom', 'maxSpeakers must be a number from 1 to 50', 5005);
  }
  check('enterRoom', config, OPTIONS.enterRoom);
  requireDelay(config);
  return roomId;
}

function requireDelay({ playoutDelay }: EnterRoomConfig): void {
  if (playoutDelay === undefined) return;
  const { min, max } = playoutDelay;
  const isDelay = [min, max].every((value) => typeof value === 'number' && value >= 0 && value <= LONGEST_DELAY_MS);
  if (!isDelay || min > max) throw invalid('enterRoom', `playoutDelay must have a min and a max from 0 to ${LONGEST_DELAY_MS} ms`, 5005);
}

/** In a call everyone may publish; of a live stream, the anchors. */
export function roleOf({ scene = 'rtc', role = 'anchor' }: EnterRoomConfig): Role {
  return scene === 'live' ? role : 'anchor';
}

/** What the room of a number is called (docs/protocol.md). No text is: the room of a number is another one than that of its digits. */
const NUMBERED = '*';
const IS_NUMBERED = /^\*\d+$/;

/** The name of a room; where both are given, that of its number. */
export function roomIdOf(config: { roomId?: number; strRoomId?: string }, functionName: string): string {
  const { roomId, strRoomId } = config;
  if (roomId) {
    if (typeof roomId === 'string') throw invalid(functionName, 'roomId must be a number: strings are given as strRoomId', 5016);
    if (!Number.isInteger(roomId) || roomId < 0 || roomId >= 2 ** 32 - 1) throw invalid(functionName, 'roomId must be an integer from 1 to 4294967294', 5013);
    return `${NUMBERED}${roomId}`;
  }
  if (!strRoomId) throw invalid(functionName, 'roomId (a positive integer) or strRoomId (a string) is missing', 5015);
  if (typeof strRoomId !== 'string') throw invalid(functionName, 'strRoomId must be a string', 5002);
  const bytes = new TextEncoder().encode(strRoomId).length;
  if (bytes > LONGEST_ROOM_ID) throw invalid(functionName, `strRoomId has ${bytes} bytes; at most ${LONGEST_ROOM_ID} are allowed`, 5012);
  if (IS_NUMBERED.test(strRoomId)) throw invalid(functionName, `strRoomId must not be * and a number: that is the room of roomId ${strRoomId.slice(1)}`, 5012);
  return strRoomId;
}

/** What a room is made with that does not exist when somebody enters it. */
export function makeRoom(scene: 'live' | 'rtc', roomId: string): RoomFields {
  const common = { RoomName: roomId, LifetimeAfterNoUsers: 60 };
  if (scene === 'rtc') return { RoomType: 'Conference', ...common };
  return { RoomType: 'Live', SeatTemplate: 'VideoDynamicGrid9Seats', TakeSeatMode: 'FreeToTake', ...common };
}

/** By which ways the server is reached. */
export function networkOf({ proxy }: Pick<EnterRoomConfig, 'proxy'>, server: SessionOptions['server']): Pick<SessionOptions, 'server' | 'iceServers' | 'iceTransportPolicy'> {
  if (typeof proxy === 'string') return { server: proxy };
  const { turnServer, iceTransportPolicy, websocketProxy, unifiedProxy } = proxy ?? {};
  const turn = turnServer === undefined ? undefined : [turnServer].flat();
  return { server: websocketProxy ?? unifiedProxy ?? server, iceServers: turn?.map(iceServer), iceTransportPolicy };
}

function iceServer({ url, username, credential }: TurnServer): RTCIceServer {
  const urls = /^(turns?|stuns?):/.test(url) ? url : `turn:${url}`;
  return { urls, ...(username ? { username } : {}), ...(credential ? { credential } : {}) };
}

function requireText(name: string, value: unknown, hint = ''): void {
  if (value === undefined) throw invalid('enterRoom', `${name} is missing${hint}`, 5001);
  if (typeof value !== 'string') throw invalid('enterRoom', `${name} must be a string`, 5002);
  if (value.trim() === '') throw invalid('enterRoom', `${name} is empty${hint}`, 5003);
}
