/** A picture that stays for so long has stalled, in milliseconds. */
const LEAST_MS = 600;

/** Sound that is made up for so long in two seconds has stalled, in milliseconds; browsers make up sound of 48 kHz. */
const LEAST_SOUND_MS = 200;
const SAMPLES_A_MS = 48;

/** How long pictures stood still while they could be seen: by the gaps between them, since browsers' own counts know of no gap that goes on. */
export class Stalls {
  #last: number | undefined;
  /** How much of the running gap is counted. */
  #counted = 0;
  #stalled = 0;

  /** A picture is shown. Before `since` none could be seen. All in milliseconds. */
  picture(now: number, since: number): void {
    this.#count(now, since);
    this.#last = now;
    this.#counted = 0;
  }

  /** Some was shown that nothing has come behind yet. */
  get isShown(): boolean {
    return this.#last !== undefined;
  }

  /** None is to be shown, until the next comes. */
  pause(): void {
    this.#last = undefined;
    this.#counted = 0;
  }

  /** For how long they have stood still since this was last asked. */
  take(now: number, since: number): number {
    this.#count(now, since);
    const stalled = Math.round(this.#stalled);
    this.#stalled = 0;
    return stalled;
  }

  #count(now: number, since: number): void {
    if (this.#last === undefined) return;
    const gap = now - Math.max(this.#last, since);
    if (gap < LEAST_MS || gap <= this.#counted) return;
    this.#stalled += gap - this.#counted;
    this.#counted = gap;
  }
}

const byTrack = new WeakMap<MediaStreamTrack, Stalls>();

/** Since when the page can be seen. */
let seenSince: number | undefined;

function look(): number {
  if (seenSince === undefined) {
    seenSince = 0;
    document.addEventListener('visibilitychange', () => (seenSince = performance.now()));
  }
  return document.hidden ? Infinity : seenSince;
}

/** Sees when pictures of a track are shown by a player, as long as it plays it. */
export function followPictures(player: HTMLVideoElement, track: MediaStreamTrack): void {
  if (!('requestVideoFrameCallback' in player)) return;
  const stalls = byTrack.get(track) ?? new Stalls();
  byTrack.set(track, stalls);
  const stream = player.srcObject;
  const listening = new AbortController();
  const { signal } = listening;
  player.addEventListener('pause', () => stalls.pause(), { signal });
  // Nothing, or something else, is played from now on: of that there is no `pause`.
  const leave = () => {
    if (player.srcObject === stream) return;
    stalls.pause();
    listening.abort();
  };
  player.addEventListener('emptied', leave, { signal });
  const next = () => {
    if (player.srcObject !== stream) return;
    stalls.picture(performance.now(), look());
    player.requestVideoFrameCallback(next);
  };
  player.requestVideoFrameCallback(next);
}

/** For how long a track's pictures have stood still since this was last asked; -1 where nobody sees them. */
export function stalledMs(track: MediaStreamTrack, isToBeShown: boolean): number {
  const stalls = byTrack.get(track);
  if (!stalls) return -1;
  const stalled = stalls.take(performance.now(), look());
  if (isToBeShown && !document.hidden) return stalls.isShown || stalled > 0 ? stalled : -1;
  stalls.pause();
  return -1;
}

/** The same of sound, by how many samples were made up that are not silence; -1 of the first time. */
export class MadeUp {
  #before = new Map<string, number>();

  take(id: string, samples: number): number {
    const before = this.#before.get(id);
    this.#before.set(id, samples);
    if (before === undefined || samples < before) return -1;
    const stalled = Math.round((samples - before) / SAMPLES_A_MS);
    return stalled < LEAST_SOUND_MS ? 0 : stalled;
  }
}
