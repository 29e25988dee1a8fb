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

test('pictures that come with redundancy are left to the browser until too many are late all the same', () => {
  const targets = new JitterTargets();
  let dropped = 0;
  // Of 15 pictures a second, so many are late.
  const at = (second: number, late: number, trip = 100) => {
    dropped += late;
    return targets.target('a', { ...counted(second, 15 * second, dropped), isProtected: true }, trip, 1000 * second);
  };
  const seconds = (from: number, to: number, late: number) =>
    new Set(Array.from({ length: to - from }, (_, second) => at(from + second, late)));

  expect([...seconds(0, 10, 1)]).toEqual([null]);
  // Once may be before there is any.
  expect([...seconds(10, 13, 6)]).toEqual([null]);
  expect([...seconds(13, 26, 1)]).toEqual([null]);
  expect([...seconds(26, 34, 6)]).toEqual([null, 130]);
  // And left to it again after half a minute.
  expect([...seconds(34, 80, 0)]).toEqual([130, null]);
});

test('on a short path nothing is left to redundancy, which is not sent there', () => {
  const targets = new JitterTargets();
  const at = (second: number) => targets.target('a', { ...counted(second), isProtected: true }, 20, 1000 * second);

  expect([at(0), at(1)]).toEqual([null, 50]);
});

test('a picture that stands still again and again is waited for too', () => {
  const frozen = (perPicture: number, isProtected: boolean) => {
    const targets = new JitterTargets();
    const at = (second: number) =>
      targets.target('a', { ...counted(second, 15 * second), freezes: Math.floor(15 * second * perPicture), isProtected }, 100, 1000 * second);
    return [...new Set(Array.from({ length: 14 }, (_, second) => at(second)))];
  };

  expect(frozen(1 / 60, true)).toEqual([null]);
  expect(frozen(1 / 15, true)).toEqual([null, 130, 160]);
  expect(frozen(1 / 60, false)).toEqual([null, 130]);
  expect(frozen(1 / 15, false)).toEqual([null, 130, 160, 220]);
});
