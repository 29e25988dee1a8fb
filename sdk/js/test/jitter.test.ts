import { expect, test } from 'vitest';
import { JitterTargets } from '../src/jitter.js';

/** What a receiver has counted that has asked so often. */
const counted = (asked: number, pictures = 0, dropped = 0) => ({ asked, pictures, dropped });

test('a receiver waits for what is sent again while it asks, and ten seconds longer', () => {
  const targets = new JitterTargets();
  const at = (second: number, asked: number) => targets.target('main:ann', counted(asked), 60, 1000 * second);

  expect([at(0, 0), at(1, 0)]).toEqual([null, null]);
  expect([at(2, 3), at(3, 3), at(11, 3)]).toEqual([90, 90, 90]);
  expect(at(12, 3)).toBe(null);
  expect(at(13, 4)).toBe(90);
});

test('no buffer is longer than a second, and each stream has its own', () => {
  const targets = new JitterTargets();
  targets.target('a', counted(0), 5000, 0);
  targets.target('b', counted(0), 10, 0);

  expect(targets.target('a', counted(1), 5000, 1)).toBe(1000);
  expect(targets.target('b', counted(0), 10, 1)).toBe(null);
});

test('a stream that counts anew is not taken for one that loses', () => {
  const targets = new JitterTargets();
  targets.target('a', counted(500), 50, 0);

  expect(targets.target('a', counted(2), 50, 1000)).toBe(null);
});

test('where pictures are too late all the same it waits longer, up to a limit, until nothing is lost any more', () => {
  const targets = new JitterTargets();
  const late = (second: number) => targets.target('a', counted(second, 15 * second, 3 * second), 100, 1000 * second);
  const few = (second: number) => targets.target('b', counted(second, 15 * second, second), 100, 1000 * second);

  const seconds = Array.from({ length: 20 }, (_, second) => second);
  expect([...new Set(seconds.map(late))]).toEqual([null, 130, 160, 220]);
  expect([...new Set(seconds.map(few))]).toEqual([null, 130]);

  expect(targets.target('a', counted(19, 300, 60), 100, 40_000)).toBe(null);
  targets.target('a', counted(19, 600, 60), 100, 60_000);
  expect(targets.target('a', counted(20, 615, 60), 100, 61_000)).toBe(130);
});
