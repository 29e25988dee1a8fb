import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { recover } from '../src/lost.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

/** A device that is lost, and sought for two minutes while each attempt ends as told. */
async function lose(attempt: (isFirst: boolean) => Promise<void>, isMeant = () => true) {
  const track = new EventTarget();
  const [reopen, fail] = [vi.fn(attempt), vi.fn()];
  recover(track as unknown as MediaStreamTrack, isMeant, reopen, fail);

  track.dispatchEvent(new Event('ended'));
  await vi.advanceTimersByTimeAsync(120_000);

  return { asked: reopen.mock.calls.map(([isFirst]) => isFirst), failed: fail.mock.calls.map(([why]) => why as unknown) };
}

describe('a device that goes away', () => {
  test('is opened again at once', async () => {
    expect(await lose(() => Promise.resolve())).toEqual({ asked: [true], failed: [] });
  });

  test('is sought until there is one, the same only at first', async () => {
    let left = 3;
    const attempt = () => ((left -= 1) > 0 ? Promise.reject(new Error('none')) : Promise.resolve());

    expect(await lose(attempt)).toEqual({ asked: [true, false, false], failed: [] });
  });

  test('is given up after a while, with the reason', async () => {
    const none = new Error('none');
    const { asked, failed } = await lose(() => Promise.reject(none));

    expect([asked.length, failed]).toEqual([11, [none]]);
  });

  test('is not sought where the person does not allow it', async () => {
    const denied = Object.assign(new Error('no'), { extraCode: 5302 });

    expect(await lose(() => Promise.reject(denied))).toEqual({ asked: [true], failed: [denied] });
  });

  test('is let go of when nobody means it any more', async () => {
    const attempt = vi.fn(() => Promise.reject(new Error('none')));

    expect(await lose(attempt, () => attempt.mock.calls.length < 2)).toMatchObject({ failed: [] });
    expect(attempt).toHaveBeenCalledTimes(2);
  });
});
