import { describe, expect, test } from 'vitest';
import { MadeUp, Stalls } from '../src/stalls.js';

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

test('sound stalls where 200 ms of it are made up in the time between', () => {
  const madeUp = new MadeUp();

  expect([0, 9_000, 9_000, 19_000, 400].map((samples) => madeUp.take('a', samples))).toEqual([-1, 0, 0, 208, -1]);
  expect(madeUp.take('b', 48_000)).toBe(-1);
});
