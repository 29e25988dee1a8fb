import type { PlayoutDelay } from './api.js';
import { log } from './log.js';

/** How often what is lost is looked at. */
const INTERVAL_MS = 1_000;
/** How long a player waits for what is sent again after the last loss. */
const HOLD_MS = 10_000;
/**
 * What it waits beyond the round trip in which it is sent again: what is missing is seen by the next packet, mostly of the same
 * picture. Where more than one of seven pictures is still too late, twice as long, up to a limit.
 */
const SPARE_MS = 30;
const MOST_SPARE_MS = 120;
const TOO_LATE = 1 / 7;
const FEWEST_PICTURES = 60;
const LONGEST_MS = 1_000;

/** What a receiver has counted: how often it asked for what was lost (or what it lost, where it does not ask), and its pictures. */
export interface Counted {
  asked: number;
  pictures: number;
  dropped: number;
}

interface Known {
  asked: number;
  until: number;
  target: number | null;
  spare: number;
  /** From when on pictures are counted. */
  from: Counted;
}

/** How long the jitter buffer of a receiver is to be at least: `null` leaves it to the browser. */
export class JitterTargets {
  #known = new Map<string, Known>();
  readonly #wish: PlayoutDelay | undefined;

  /** `wish`: what the page wants it to be between. */
  constructor(wish?: PlayoutDelay) {
    this.#wish = wish;
  }

  /** `counted` is what the receiver has counted so far. */
  target(key: string, counted: Counted, roundTripMs: number, now: number): number | null {
    const known = this.#known.get(key) ?? { asked: counted.asked, until: 0, target: null, spare: SPARE_MS, from: counted };
    if (known.target === null) {
      known.spare = SPARE_MS;
      known.from = counted;
    }
    const pictures = counted.pictures - known.from.pictures;
    if (pictures >= FEWEST_PICTURES || pictures < 0) {
      const isLate = counted.dropped - known.from.dropped > TOO_LATE * pictures;
      if (isLate && pictures > 0) known.spare = Math.min(MOST_SPARE_MS, 2 * known.spare);
      known.from = counted;
    }
    // A new stream under the same name begins to count anew.
    if (counted.asked > known.asked) {
      known.until = now + HOLD_MS;
      known.target = Math.min(LONGEST_MS, Math.round(roundTripMs) + known.spare);
    }
    if (now >= known.until) known.target = null;
    known.asked = counted.asked;
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
      const counted: Counted = { asked: 0, pictures: 0, dropped: 0 };
      let roundTripMs = 0;
      const report = await receiver.getStats();
      report.forEach((entry: Record<string, unknown>) => {
        if (entry['type'] === 'inbound-rtp') {
          counted.asked = Number(entry['nackCount'] ?? entry['packetsLost'] ?? 0);
          counted.pictures = Number(entry['framesReceived'] ?? 0);
          counted.dropped = Number(entry['framesDropped'] ?? 0);
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
