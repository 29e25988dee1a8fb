import type { TRTCEventTypes } from './api.js';

/** What says that somebody or something is there, with what takes it back. */
const TAKEN_BACK_BY = {
  'remote-user-enter': 'remote-user-exit',
  'remote-audio-available': 'remote-audio-unavailable',
  'remote-video-available': 'remote-video-unavailable',
} as const;

type Event = keyof TRTCEventTypes;
type Held = keyof typeof TAKEN_BACK_BY;

/**
 * News that nobody has heard: pages attach their handlers when they have entered, and want to know who is there by then.
 * What is over by the time somebody listens is not told.
 */
export class HeldNews {
  readonly #news = new Map<Event, Map<string, unknown[]>>();

  /** Keeps what nobody listens to, and forgets what something else takes back. */
  take<Name extends Event>(event: Name, args: TRTCEventTypes[Name], isHeard: boolean): void {
    const [about] = args as [{ userId?: string; streamType?: string }?];
    const key = `${about?.userId} ${about?.streamType}`;
    for (const [held, by] of Object.entries(TAKEN_BACK_BY)) {
      if (by === event) this.#news.get(held as Held)?.delete(key);
    }
    if (isHeard || !(event in TAKEN_BACK_BY)) return;
    const kept = this.#news.get(event) ?? new Map<string, unknown[]>();
    this.#news.set(event, kept.set(key, args));
  }

  /** What is kept of an event, to be told once. */
  give<Name extends Event>(event: Name): TRTCEventTypes[Name][] {
    const kept = this.#news.get(event);
    this.#news.delete(event);
    return [...(kept?.values() ?? [])] as TRTCEventTypes[Name][];
  }

  /** Another room, other news. */
  clear(): void {
    this.#news.clear();
  }
}
