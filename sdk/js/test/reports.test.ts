import { afterEach, describe, expect, test, vi } from 'vitest';
import { Reports } from '../src/reports.js';

const digest = (level: number) => ({ Up: [['audio', level]], Down: [] });

describe('reports', () => {
  afterEach(() => vi.restoreAllMocks());

  test('say three digests at once, each with how long ago it was taken', () => {
    vi.spyOn(Math, 'random').mockReturnValue(0.99);
    const reports = new Reports();

    const said = [0, 1, 2].map((level) => reports.add(digest(level), 1000 + 2010 * level));

    expect(said).toEqual([undefined, undefined, { ...digest(2), Earlier: [{ Ago: 4, ...digest(0) }, { Ago: 2, ...digest(1) }] }]);
    expect(reports.take(5_020)).toBeUndefined();
  });

  test('are said at first after any number, so that not all do at once, and later after three', () => {
    vi.spyOn(Math, 'random').mockReturnValue(0.4);
    const reports = new Reports();

    const said = [...Array(5).keys()].map((number) => reports.add(digest(number), 2_000 * number)?.Earlier?.length);

    expect(said).toEqual([undefined, 1, undefined, undefined, 2]);
  });

  test('leave out what is too old, and moments in which nothing flowed', () => {
    vi.spyOn(Math, 'random').mockReturnValue(0.99);
    const reports = new Reports();
    reports.add(digest(1), 0);
    reports.add({ Up: [], Down: [] }, 2_000);
    reports.add(digest(2), 4_000);

    expect(reports.take(12_000)).toEqual({ ...digest(2) });
    expect(reports.take(12_000)).toBeUndefined();
    reports.add(digest(3), 14_000);
    expect(reports.take(40_000)).toBeUndefined();
  });
});
