/** What members send each other beside their media, and what pages of one user tell each other by the same way. */
import { log } from './log.js';
import type { Events } from './protocol.js';
import type { Session } from './session.js';

/** What the server lets one send as SEI-like data has this number; pages use 1 to 10. */
export const SEI_CMD_ID = 0;
/** In the second byte of such data, where 0 and 1 say which video it goes with: the same user has come in elsewhere. */
const CAME_IN_ELSEWHERE = 2;

export async function sendData(session: Session, cmdId: number, bytes: Uint8Array): Promise<void> {
  await session.request('send_data', { CmdId: cmdId, Data: btoa(String.fromCharCode(...bytes)) });
}

/** As it goes with a video: of which kind it is, and with which of the two. */
export function framed(data: ArrayBuffer, payloadType: number, toSubStream: boolean): Uint8Array {
  const bytes = new Uint8Array(2 + data.byteLength);
  bytes.set([payloadType, toSubStream ? 1 : 0]);
  bytes.set(new Uint8Array(data), 2);
  return bytes;
}

export function bytesOf(data: Events['data_received']): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(data.Data), (char) => char.charCodeAt(0));
}

/** What one sends or sits on when one comes in is another page's of the same user: who came first goes out. */
export function takeOver(session: Session): void {
  if (!session.streams.has(session.userId) && !session.ownSeat) return;
  sendData(session, SEI_CMD_ID, Uint8Array.of(0, CAME_IN_ELSEWHERE)).catch((error: unknown) => log.info('another page of this user stays', error));
}

export function isTakeOver(data: Events['data_received']): boolean {
  return data.CmdId === SEI_CMD_ID && bytesOf(data)[1] === CAME_IN_ELSEWHERE;
}
