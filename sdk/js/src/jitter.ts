import type { PlayoutDelay } from './api.js';
import { log } from './log.js';

/** How often what is lost is looked at. */
const INTERVAL_MS = 1_000;
/** How long a player waits for what is sent again after the last loss. */
const HOLD_MS = 10_000;
/**
 * What it waits beyond the round trip in which it is sent again: what is missing is seen by the next packet, mostly of the same
 * picture. Where more than one of seven pictures is still too late, or it stands still at more than one of thirty, twice as long, up to a
 * limit. Where redundancy comes with
 * pictures (ULPFEC), as it does on paths that are not short, they are whole without that: the browser's own delay does until it is seen
 * twice not to, and is tried again after a while, a longer one each time.
 */
const SPARE_MS = 30;
const MOST_SPARE_MS = 120;
const TOO_LATE = 1 / 7;
const TOO_OFTEN_FROZEN = 1 / 30;
const FEWEST_PICTURES = 60;
const LONGEST_MS = 1_000;
const PROTECTED_FROM_MS = 50;
const TRIED_AGAIN_AFTER_MS = 30_000;
const MOST_PATIENCE_MS = 300_000;

/** What a receiver has counted: how often it asked for what was lost (or what it lost, where it does not ask), and its pictures. */
export interface Counted {
  asked: number;
  pictures: number;
  dropped: number;
  /** How often it stood still. */
  freezes?: number;
  /** Redundancy of pictures was agreed on. */
  isProtected?: boolean;
}

interface Known {
  asked: number;
  until: number;
  target: number | null;
  /** `null` leaves it to the browser. */
  spare: number | null;
  /** Whether too many were late when they were last counted; since when the browser is not left alone with it, and for how long. */
  wasLate: boolean;
  raisedAt: number;
  patience: number;
  /** From when on pictures are counted. */
  from: Counted;
}

function fresh(counted: Counted): Known {
  const { asked } = counted;
  return { asked, until: 0, target: null, spare: SPARE_MS, wasLate: false, raisedAt: 0, patience: TRIED_AGAIN_AFTER_MS, from: counted };
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
    const least = counted.isProtected && roundTripMs >= PROTECTED_FROM_MS ? null : SPARE_MS;
    const known = this.#known.get(key) ?? fresh(counted);
    if (now >= known.until || (least === null && known.spare !== null && now - known.raisedAt >= known.patience)) {
      if (known.spare !== null && now < known.until) known.patience = Math.min(MOST_PATIENCE_MS, 2 * known.patience);
      known.spare = least;
      known.wasLate = false;
      known.raisedAt = now;
      known.from = counted;
    }
    const pictures = counted.pictures - known.from.pictures;
    if (pictures >= FEWEST_PICTURES || pictures < 0) {
      const freezes = (counted.freezes ?? 0) - (known.from.freezes ?? 0);
      const isLate = counted.dropped - known.from.dropped > TOO_LATE * pictures || freezes > TOO_OFTEN_FROZEN * pictures;
      if (isLate && pictures > 0 && known.spare !== null) known.spare = Math.min(MOST_SPARE_MS, 2 * known.spare);
      if (isLate && known.wasLate && known.spare === null) [known.spare, known.raisedAt] = [SPARE_MS, now];
      known.wasLate = isLate;
      known.from = counted;
    }
    // A new stream under the same name begins to count anew.
    if (counted.asked > known.asked) {
      known.until = now + HOLD_MS;
      known.target = known.spare === null ? null : Math.min(LONGEST_MS, Math.round(roundTripMs) + known.spare);
    }
    if (now >= known.until) known.target = null;
    known.asked = counted.asked;
    this.#known.set(key, known);
    const wish = this.#wish;
    return wish ? Math.min(wish.max, Math.max(wish.min, known.target ?? wish.min)) : known.target;
  }
}

type Receiver = RTCRtpReceiver & { jitterBufferTarget?: number | null };

/** Whether its m-line may carry redundancy: it is sent where the path is long and loses. */
function isProtected(receiver: RTCRtpReceiver): boolean {
  return receiver.getParameters?.().codecs?.some((codec) => codec.mimeType.toLowerCase() === 'video/ulpfec') ?? false;
}

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
      const counted: Counted = { asked: 0, pictures: 0, dropped: 0, isProtected: isProtected(receiver) };
      let roundTripMs = 0;
      const report = await receiver.getStats();
      report.forEach((entry: Record<string, unknown>) => {
        if (entry['type'] === 'inbound-rtp') {
          counted.asked = Number(entry['nackCount'] ?? entry['packetsLost'] ?? 0);
          counted.pictures = Number(entry['framesReceived'] ?? 0);
          counted.dropped = Number(entry['framesDropped'] ?? 0);
          counted.freezes = Number(entry['freezeCount'] ?? 0);
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
