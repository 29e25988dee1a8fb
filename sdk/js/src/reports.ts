import type { Asked } from './gateway.js';
import type { Digest } from './statistics.js';

/** So many digests, of two seconds each, are said at once. What is answered to them is all that a quiet room hears (`gateway.ts`). */
const TOGETHER = 3;
/** What is older than this is of no use to the server (docs/protocol.md). */
const OLDEST_MS = 10_000;

type Body = Omit<Asked<'report'>, 'RoomId'>;

/** What one's streams are like, gathered until there is enough of it to be said. */
export class Reports {
  #kept: { at: number; digest: Digest }[] = [];
  /** How many are said at once; at first any number, so that not all who came in at once say it at once. */
  #enough = 1 + Math.floor(Math.random() * TOGETHER);

  /** Adds what they are like now, and returns what is to be said, if that is enough. */
  add(digest: Digest, now: number): Body | undefined {
    if (digest.Up.length + digest.Down.length > 0) this.#kept.push({ at: now, digest });
    return this.#kept.length >= this.#enough ? this.take(now) : undefined;
  }

  /** What is to be said of what there is. */
  take(now: number): Body | undefined {
    const kept = this.#kept.splice(0).filter(({ at }) => now - at <= OLDEST_MS);
    const last = kept.pop();
    if (!last) return undefined;
    this.#enough = TOGETHER;
    const earlier = kept.map(({ at, digest }) => ({ Ago: Math.round((now - at) / 100) / 10, ...digest }));
    return earlier.length > 0 ? { ...last.digest, Earlier: earlier } : { ...last.digest };
  }
}
