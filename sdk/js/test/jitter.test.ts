import { expect, test } from 'vitest';
import { JitterTargets } from '../src/jitter.js';

test('a receiver waits for what is sent again while it asks, and ten seconds longer', () => {
  const targets = new JitterTargets();
  const at = (second: number, asked: number) => targets.target('main:ann', asked, 60, 1000 * second);

  expect([at(0, 0), at(1, 0)]).toEqual([null, null]);
  expect([at(2, 3), at(3, 3), at(11, 3)]).toEqual([160, 160, 160]);
  expect(at(12, 3)).toBe(null);
  expect(at(13, 4)).toBe(160);
});

test('no buffer is longer than a second, and each stream has its own', () => {
  const targets = new JitterTargets();
  targets.target('a', 0, 5000, 0);
  targets.target('b', 0, 10, 0);

  expect(targets.target('a', 1, 5000, 1)).toBe(1000);
  expect(targets.target('b', 0, 10, 1)).toBe(null);
});

test('a stream that counts anew is not taken for one that loses', () => {
  const targets = new JitterTargets();
  targets.target('a', 500, 50, 0);

  expect(targets.target('a', 2, 50, 1000)).toBe(null);
});
