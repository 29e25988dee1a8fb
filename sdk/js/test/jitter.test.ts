import { expect, test } from 'vitest';
import { JitterTargets } from '../src/jitter.js';

const none = { asked: 0, late: 0 };

test('a receiver waits for what is sent again while it asks, and ten seconds longer', () => {
  const targets = new JitterTargets();
  const at = (second: number, asked: number) => targets.target('main:ann', { asked, late: 0 }, 60, 1000 * second);

  expect([at(0, 0), at(1, 0)]).toEqual([null, null]);
  expect([at(2, 3), at(3, 3), at(11, 3)]).toEqual([160, 160, 160]);
  expect(at(12, 3)).toBe(null);
  expect(at(13, 4)).toBe(160);
});

test('what a receiver waits beyond the round trip becomes less while nothing is late, and is the most again once something is', () => {
  const targets = new JitterTargets();
  const at = (second: number, asked: number, late: number) => targets.target('main:ann', { asked, late }, 60, 1000 * second);
  at(0, 0, 2);

  expect([at(1, 1, 2), at(2, 2, 2), at(3, 2, 2), at(4, 3, 2)]).toEqual([160, 150, 150, 141]);
  for (let second = 5; second < 20; second += 1) at(second, second, 2);
  expect(at(20, 20, 2)).toBe(90);
  expect([at(21, 21, 3), at(22, 22, 3)]).toEqual([160, 150]);
});

test('no buffer is longer than a second, and each stream has its own', () => {
  const targets = new JitterTargets();
  targets.target('a', none, 5000, 0);
  targets.target('b', none, 10, 0);

  expect(targets.target('a', { asked: 1, late: 0 }, 5000, 1)).toBe(1000);
  expect(targets.target('b', none, 10, 1)).toBe(null);
});

test('a stream that counts anew is not taken for one that loses', () => {
  const targets = new JitterTargets();
  targets.target('a', { asked: 500, late: 9 }, 50, 0);

  expect(targets.target('a', { asked: 2, late: 0 }, 50, 1000)).toBe(null);
});
