import type { PlayoutDelay } from './api.js';
import { log } from './log.js';

/** How often what is lost is looked at. */
const INTERVAL_MS = 1_000;
/** How long a player waits for what is sent again after the last loss. */
const HOLD_MS = 10_000;
/** What it waits beyond the round trip in which it is sent again: ever less while nothing comes too late, and the most again once something does. */
const MOST_SPARE_MS = 100;
const LEAST_SPARE_MS = 30;
const LESS_SPARE = 0.9;
const LONGEST_MS = 1_000;

/** What a receiver has counted so far: how often it has asked for what was lost (or what it lost, where it does not ask), and the pictures that came too late. */
export interface Counted {
  asked: number;
  late: number;
}

interface Known extends Counted {
  until: number;
  spare: number;
  target: number | null;
}

/** How long the jitter buffer of a receiver is to be at least: `null` leaves it to the browser. */
export class JitterTargets {
  #known = new Map<string, Known>();
  readonly #wish: PlayoutDelay | undefined;

  /** `wish`: what the page wants it to be between. */
  constructor(wish?: PlayoutDelay) {
    this.#wish = wish;
  }

  target(key: string, { asked, late }: Counted, roundTripMs: number, now: number): number | null {
    const known = this.#known.get(key) ?? { asked, late, until: 0, spare: MOST_SPARE_MS, target: null };
    // A new stream under the same name begins to count anew.
    if (late > known.late) known.spare = MOST_SPARE_MS;
    if (asked > known.asked) {
      known.until = now + HOLD_MS;
      known.target = Math.min(LONGEST_MS, Math.round(roundTripMs + known.spare));
      known.spare = Math.max(LEAST_SPARE_MS, LESS_SPARE * known.spare);
    }
    if (now >= known.until) [known.target, known.spare] = [null, MOST_SPARE_MS];
    [known.asked, known.late] = [asked, late];
    this.#known.set(key, known);
    const wish = this.#wish;
    return wish ? Math.min(wish.max, Math.max(wish.min, known.target ?? wish.min)) : known.target;
  }
}

type Receiver = RTCRtpReceiver & { jitterBufferTarget?: number | null };

/**
 * Gives pictures time for what is sent again: browsers give a picture up before the second copy is there on links that lose
 * packets, and show half of the pictures. Without losses the delay is what the browser makes it.
 */
export class JitterKeeper {
  readonly #receivers: () => Iterable<[string, RTCRtpReceiver]>;
  readonly #targets: JitterTargets;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(receivers: () => Iterable<[string, RTCRtpReceiver]>, wish?: PlayoutDelay) {
    this.#targets = new JitterTargets(wish);
    this.#receivers = receivers;
    this.#timer = setInterval(() => {
      this.#look().catch((error: unknown) => log.info('the jitter buffers stay as they are', error));
    }, INTERVAL_MS);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    for (const [key, receiver] of [...this.#receivers()] as [string, Receiver][]) {
      if (!('jitterBufferTarget' in receiver) || receiver.track.readyState === 'ended') continue;
      const counted = { asked: 0, late: 0 };
      let roundTripMs = 0;
      const report = await receiver.getStats();
      report.forEach((entry: Record<string, unknown>) => {
        if (entry['type'] === 'inbound-rtp') {
          counted.asked = Number(entry['nackCount'] ?? entry['packetsLost'] ?? 0);
          counted.late = Number(entry['framesDropped'] ?? 0) + Number(entry['freezeCount'] ?? 0);
        }
        if (entry['type'] === 'candidate-pair' && entry['nominated'] === true) {
          roundTripMs = 1000 * Number(entry['currentRoundTripTime'] ?? 0);
        }
      });
      const target = this.#targets.target(key, counted, roundTripMs, Date.now());
      if (receiver.jitterBufferTarget !== target) receiver.jitterBufferTarget = target;
    }
  }
}
