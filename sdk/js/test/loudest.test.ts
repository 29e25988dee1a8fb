import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { tellLoudest } from '../src/loudest.js';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

/** What is told of a sound of 20 ms that comes so often, in so long. */
function told(soundEvery: number, every: number, within: number, isWanted = () => true): number[] {
  const all: number[] = [];
  // What is read is one packet's, of 20 ms.
  const levels = () => new Map([['ann', performance.now() % soundEvery >= soundEvery - 20 ? 0.5 : 0]]);
  const timer = tellLoudest(every, isWanted, levels, (loudest) => all.push(loudest.get('ann') ?? -1));
  vi.advanceTimersByTime(within);
  clearInterval(timer);
  return all;
}

test.each([100, 200, 250, 300, 500])('a short sound each %d ms is met sooner or later', (soundEvery) => {
  expect(Math.max(...told(soundEvery, 2_000, 20_000))).toBe(0.5);
});

test('it is told as often as was asked for, also when that is more often than is usual', () => {
  expect(told(500, 1_000, 20_000).length).toBeGreaterThan(17);
  expect(told(500, 16, 1_600).length).toBeGreaterThan(90);
});

test('what was loud before it was told last is not told again, nor anybody who is gone', () => {
  let levels = new Map([['ann', 0.5], ['ben', 0.1]]);
  const all: Record<string, number>[] = [];
  const timer = tellLoudest(100, () => true, () => levels, (loudest) => all.push(Object.fromEntries(loudest)));
  vi.advanceTimersByTime(150);
  levels = new Map([['ann', 0.2]]);
  vi.advanceTimersByTime(250);
  clearInterval(timer);

  expect(all[0]).toEqual({ ann: 0.5, ben: 0.1 });
  expect(all.at(-1)).toEqual({ ann: 0.2 });
});

test('nothing is told to a page that does not want it now', () => {
  expect(told(500, 100, 5_000, () => false)).toEqual([]);
});
