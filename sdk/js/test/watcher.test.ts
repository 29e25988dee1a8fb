import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { Encryption } from '../src/encryption.js';
import type { Body, Gateway } from '../src/gateway.js';
import { Watcher, heardLevel } from '../src/watcher.js';

/** As much of a connection as a watcher needs. */
class Connection {
  connectionState = 'new';
  signalingState = 'stable';
  localDescription = { sdp: '' };
  transceivers: { mid: string | null; receiver: { track: { readyState: string } } }[] = [];

  addTransceiver() {
    const transceiver = { mid: null, receiver: { track: { readyState: 'live' } } };
    this.transceivers.push(transceiver);
    return transceiver;
  }

  getTransceivers() {
    return this.transceivers;
  }

  createOffer = async () => ({ sdp: '', type: 'offer' });
  setRemoteDescription = async () => undefined;

  async setLocalDescription({ type }: { type: string }) {
    described.push(type);
    this.transceivers.forEach((transceiver, at) => (transceiver.mid = type === 'rollback' ? null : String(at)));
  }

  close(): void {
    this.connectionState = 'closed';
  }
}

/** What connections were told of themselves. */
let described: string[] = [];

/** What happened, in its order: what the server was asked, and whose frames each opener gets. */
let happened: unknown[] = [];
let fail: (userId: string) => void = () => undefined;
let lastOpener = 0;

const encryption = {
  configuration: {},
  open: (_: RTCRtpReceiver, onFailed: (stream: { room: string; userId: string; kind: string }) => void) => {
    fail = (userId) => onFailed({ room: 'r', userId, kind: 'main' });
    return (lastOpener += 1);
  },
  assign: (id: number, stream: { userId: string } | undefined) => happened.push(['assign', id, stream?.userId]),
  forget: (ids: unknown[]) => happened.push(['forget', ids]),
} as unknown as Encryption;

const gateway = {
  request: async (command: string, body: Body) => {
    const [stream] = body['Streams'] as Body[];
    happened.push([command, stream?.['Member_Account'], stream?.['Paused'] ?? false]);
    return { Sdp: '' };
  },
} as unknown as Gateway;

const main = (userId: string) => ({ userId, kind: 'main' as const, maxHeight: 0, isPaused: false });
const settled = () => vi.advanceTimersByTimeAsync(50);

beforeEach(() => {
  happened = [];
  described = [];
  lastOpener = 0;
  vi.useFakeTimers();
  vi.stubGlobal('RTCPeerConnection', Connection);
  vi.stubGlobal('RTCRtpReceiver', class {});
});

function make(onSealed: (userId: string) => void = () => undefined): Watcher {
  const options = { iceServers: () => Promise.resolve([]), iceTransportPolicy: () => undefined, encryption };
  return new Watcher(gateway, 'r', options, () => undefined, onSealed);
}

describe('a connection that was made ready', () => {
  const asked = () => happened.filter((one) => ['watch', 'update_watch'].includes((one as string[])[0] ?? ''));

  test('is what the first picture and its sound are watched on', async () => {
    const watcher = make();
    await watcher.makeReady();
    const { pc } = watcher;
    await settled();
    expect([described, asked()]).toEqual([['offer'], []]);

    void watcher.watch(main('ann'));
    void watcher.watch({ ...main('ann'), kind: 'audio' });
    await settled();
    expect([described, asked()]).toEqual([['offer'], [['watch', 'ann', false]]]);
    expect(watcher.pc).toBe(pc);

    void watcher.watch(main('ben'));
    await settled();
    expect(described).toEqual(['offer', 'offer']);
    expect(watcher.pc).toBe(pc);
    watcher.close();
  });

  test('has more places where more is watched at once', async () => {
    const watcher = make();
    await watcher.makeReady();

    for (const userId of ['ann', 'ben']) void watcher.watch(main(userId));
    await settled();
    expect(described).toEqual(['offer', 'rollback', 'offer']);
    expect(watcher.pc?.getTransceivers().map(({ mid }) => mid)).toEqual(['0', '1', '2']);
    expect(asked()).toHaveLength(1);
    watcher.close();
  });

  test('is not told of while nothing is watched, and not held for long', async () => {
    const watcher = make();
    await watcher.makeReady();
    const { pc } = watcher;

    void watcher.catchUp();
    await settled();
    expect([described, asked(), watcher.pc]).toEqual([['offer'], [], pc]);
    await vi.advanceTimersByTimeAsync(30_000);
    expect([pc?.connectionState, watcher.pc]).toEqual(['closed', undefined]);

    void watcher.watch(main('ann'));
    await settled();
    expect([described, asked()]).toEqual([['offer', 'offer'], [['watch', 'ann', false]]]);
    watcher.close();
  });

  test('is let go of when media is elsewhere', async () => {
    const watcher = make();
    await watcher.makeReady();
    const { pc } = watcher;

    void watcher.rebuild();
    await settled();
    expect([asked(), pc?.connectionState, watcher.pc]).toEqual([[], 'closed', undefined]);
    watcher.close();
  });
});

describe('what is encrypted from end to end', () => {
  test('is opened for whom it is, before the server is asked for it', async () => {
    const watcher = make();

    void watcher.watch(main('ann'));
    await settled();
    void watcher.unwatch('ann', 'main');
    void watcher.watch(main('ben'));
    await settled();
    void watcher.rebuild();
    await settled();
    watcher.close();

    expect(happened).toEqual([
      ['forget', []], ['assign', 1, 'ann'], ['watch', 'ann', false],
      ['assign', 1, undefined], ['assign', 1, 'ben'], ['update_watch', 'ben', false],
      ['forget', [1]], ['assign', 2, 'ben'], ['watch', 'ben', false],
    ]);
  });

  test('is each opened by its own', async () => {
    const watcher = make();

    for (const userId of ['ann', 'ben', 'cat']) void watcher.watch(main(userId));
    await settled();
    void watcher.unwatch('ben', 'main');
    void watcher.watch(main('dan'));
    await settled();
    watcher.close();

    expect(happened.filter((one) => (one as unknown[])[0] === 'assign')).toEqual([
      ['assign', 1, 'ann'], ['assign', 2, 'ben'], ['assign', 3, 'cat'], ['assign', 2, undefined], ['assign', 2, 'dan'],
    ]);
  });

  test('is not laid on the stream that came into its place meanwhile', async () => {
    const told: string[] = [];
    const watcher = make((userId) => told.push(userId));
    void watcher.watch(main('ann'));
    await settled();
    void watcher.unwatch('ann', 'main');
    void watcher.watch(main('ben'));
    await settled();
    happened = [];

    fail('ann');
    await settled();
    expect([told, happened]).toEqual([[], []]);
    fail('ben');
    await settled();
    watcher.close();

    expect([told, happened]).toEqual([['ben'], [['update_watch', 'ben', true]]]);
  });

  test('and cannot be opened is told of and let be for a while, or until there is another key', async () => {
    const told: string[] = [];
    const watcher = make((userId) => told.push(userId));
    void watcher.watch(main('ann'));
    await settled();
    happened = [];

    fail('ann');
    fail('ann');
    await settled();
    expect([told, happened.splice(0)]).toEqual([['ann', 'ann'], [['update_watch', 'ann', true]]]);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(happened.splice(0)).toEqual([['update_watch', 'ann', false]]);
    fail('ann');
    await settled();
    void watcher.tryAgain();
    await settled();
    expect(happened.splice(0)).toEqual([['update_watch', 'ann', true], ['update_watch', 'ann', false]]);
    fail('ann');
    void watcher.unwatch('ann', 'main');
    await vi.advanceTimersByTimeAsync(20_000);
    watcher.close();

    expect(happened).toEqual([['assign', 1, undefined], ['update_watch', undefined, false]]);
  });
});

describe('how loud somebody is', () => {
  let source: { timestamp: number; audioLevel: number } | undefined;
  let receiver: RTCRtpReceiver;

  beforeEach(() => {
    vi.useFakeTimers();
    source = { timestamp: 0, audioLevel: 0.5 };
    receiver = { getSynchronizationSources: () => (source ? [source] : []) } as unknown as RTCRtpReceiver;
    return () => vi.useRealTimers();
  });

  /** Each 100 ms, where packets come or do not. */
  const levels = (clock: () => number, comes: boolean[]) => {
    let [timestamp, all] = [clock(), [] as number[]];
    for (const one of comes) {
      vi.advanceTimersByTime(100);
      if (one) timestamp = clock();
      source = { timestamp, audioLevel: 0.5 };
      all.push(heardLevel(receiver));
    }
    return all;
  };
  const [some, none] = [Array.from({ length: 3 }, () => true), Array.from({ length: 12 }, () => false)];

  test.each([
    ['from the page', () => performance.now()],
    ['from 1970', () => performance.timeOrigin + performance.now()],
  ])('is what came in the last second, where the browser counts %s', (_, clock) => {
    const heard = levels(clock, [...some, ...none]);

    expect(heard.slice(0, 12).every((level) => level === 0.5)).toBe(true);
    expect(heard.slice(-2)).toEqual([0, 0]);
  });

  test('is told too where the clock was set since the page began', () => {
    const heard = levels(() => performance.now() - 60_000, [...some, ...none]);

    expect(heard.slice(1, 12).every((level) => level === 0.5)).toBe(true);
    expect(heard.slice(-2)).toEqual([0, 0]);
    source = undefined;
    expect(heardLevel(receiver)).toBe(0);
  });

  test('is nothing of one who was silent before anybody looked', () => {
    expect(levels(() => performance.now() - 60_000, none)).toEqual(none.map(() => 0));
  });
});
