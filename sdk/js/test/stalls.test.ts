import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { MadeUp, Stalls, followPictures, stalledMs } from '../src/stalls.js';

describe('pictures', () => {
  test('stall from gaps of 600 ms on, each counted once, also while it goes on', () => {
    const stalls = new Stalls();
    for (const at of [0, 33, 66, 600, 1_199]) stalls.picture(at, 0);
    expect(stalls.take(1_700, 0)).toBe(0);

    expect(stalls.take(1_899, 0)).toBe(700);
    expect(stalls.take(2_899, 0)).toBe(1_000);
    stalls.picture(3_000, 0);
    expect(stalls.take(3_100, 0)).toBe(101);
    stalls.picture(3_599, 0);
    expect(stalls.take(3_600, 0)).toBe(0);
  });

  test('that nobody is to see, or can see, do not stall', () => {
    const stalls = new Stalls();
    expect(stalls.take(9_000, 0)).toBe(0);

    stalls.picture(10_000, 0);
    stalls.pause();
    expect(stalls.take(20_000, 0)).toBe(0);

    stalls.picture(30_000, 0);
    expect(stalls.take(35_000, Infinity)).toBe(0);
    stalls.picture(40_000, 39_900);
    expect(stalls.take(40_100, 39_900)).toBe(0);
  });
});

/** As a video element tells of what it plays. */
class Player extends EventTarget {
  #next: (() => void)[] = [];
  #stream: object | null = null;

  /** Another one, or none, takes away what is there: of that elements say `emptied` and no `pause`. */
  set srcObject(stream: object | null) {
    const was = this.#stream;
    this.#stream = stream;
    if (was) this.dispatchEvent(new Event('emptied'));
  }

  get srcObject(): object | null {
    return this.#stream;
  }

  requestVideoFrameCallback(next: () => void): void {
    this.#next.push(next);
  }

  show(): void {
    for (const next of this.#next.splice(0)) next();
  }

  follow(track: object): void {
    this.srcObject = {};
    followPictures(this as unknown as HTMLVideoElement, track as MediaStreamTrack);
  }
}

describe('a track', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['performance'] });
    vi.stubGlobal('document', Object.assign(new EventTarget(), { hidden: false }));
  });
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });
  const stalled = (track: object) => stalledMs(track as MediaStreamTrack, true);

  test('that nothing plays any more does not stall', () => {
    const [player, track] = [new Player(), {}];
    player.follow(track);
    player.show();
    vi.advanceTimersByTime(2_000);
    expect(stalled(track)).toBe(2_000);

    player.srcObject = null;
    vi.advanceTimersByTime(2_000);
    expect(stalled(track)).toBe(-1);
    player.follow(track);
    player.show();
    vi.advanceTimersByTime(100);
    expect(stalled(track)).toBe(0);
  });

  test('is not paused by who plays another by now', () => {
    const [player, other, track] = [new Player(), new Player(), {}];
    for (const one of [player, other]) {
      one.follow(track);
      one.show();
    }
    player.follow({});
    other.show();

    player.dispatchEvent(new Event('pause'));
    vi.advanceTimersByTime(700);
    expect(stalled(track)).toBe(700);
  });
});

test('sound stalls where 200 ms of it are made up in the time between', () => {
  const madeUp = new MadeUp();

  expect([0, 9_000, 9_000, 19_000, 400].map((samples) => madeUp.take('a', samples))).toEqual([-1, 0, 0, 208, -1]);
  expect(madeUp.take('b', 48_000)).toBe(-1);
});
