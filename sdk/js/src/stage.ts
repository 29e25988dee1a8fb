import type { EnterRoomConfig, Role, TRTCEventTypes } from './api.js';
import { wrongMoment } from './errors.js';
import type { Session } from './session.js';

/** A role that the page has chosen; each choice is an object of its own. */
export interface Choice {
  readonly role: Role;
}

/** What the parts of a `TRTC` see of it. */
export interface Stage {
  /** The room that one is in, or about to enter. */
  readonly session: Session | undefined;
  readonly entering: EnterRoomConfig | undefined;
  readonly role: Role;
  /** What the page said last, which may not be carried out yet. */
  readonly choice: Choice;
  /** Does what concerns the room when all is done that was asked for before. */
  inTurn<T>(work: () => Promise<T>): Promise<T>;
  tell<Name extends keyof TRTCEventTypes>(event: Name, ...args: TRTCEventTypes[Name]): void;
}

/** The session of one who is in a room. */
export function inRoom(session: Session | undefined, functionName: string): Session {
  if (session?.isInRoom) return session;
  throw wrongMoment(functionName, 'not in a room: call enterRoom first', 5101);
}
