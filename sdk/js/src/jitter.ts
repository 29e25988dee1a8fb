import type { PlayoutDelay } from './api.js';
import { log } from './log.js';

/** How often what is lost is looked at. */
const INTERVAL_MS = 1_000;
/** How long a player waits for what is sent again after the last loss. */
const HOLD_MS = 10_000;
/** What it waits beyond the round trip in which it is sent again. */
const SPARE_MS = 100;
const LONGEST_MS = 1_000;

interface Known {
  asked: number;
  until: number;
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

  /** `asked` is how often the receiver has asked for what was lost so far (or what it lost, where it does not ask). */
  target(key: string, asked: number, roundTripMs: number, now: number): number | null {
    const known = this.#known.get(key) ?? { asked, until: 0, target: null };
    // A new stream under the same name begins to count anew.
    if (asked > known.asked) {
      known.until = now + HOLD_MS;
      known.target = Math.min(LONGEST_MS, Math.round(roundTripMs) + SPARE_MS);
    }
    if (now >= known.until) known.target = null;
    known.asked = asked;
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
      let asked = 0;
      let roundTripMs = 0;
      const report = await receiver.getStats();
      report.forEach((entry: Record<string, unknown>) => {
        if (entry['type'] === 'inbound-rtp') asked = Number(entry['nackCount'] ?? entry['packetsLost'] ?? 0);
        if (entry['type'] === 'candidate-pair' && entry['nominated'] === true) {
          roundTripMs = 1000 * Number(entry['currentRoundTripTime'] ?? 0);
        }
      });
      const target = this.#targets.target(key, asked, roundTripMs, Date.now());
      if (receiver.jitterBufferTarget !== target) receiver.jitterBufferTarget = target;
    }
  }
}
