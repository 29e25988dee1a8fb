import { expect, test } from 'vitest';
import type { Session } from '../src/session.js';
import { StatisticsReader } from '../src/statistics.js';

const media = (mid: string, sender: object) => ({ mid, sender });

/** A session that sends on one connection, of which the browser reports `entries` in that order. */
function sending(entries: Record<string, unknown>[]): Session {
  const senders = { audio: {}, main: {}, sub: {} };
  const up = {
    connectionState: 'connected',
    getStats: () => Promise.resolve(new Map(entries.map((entry) => [entry['id'], entry]))),
    getTransceivers: () => [media('0', senders.audio), media('1', senders.main), media('2', senders.sub)],
  };
  return {
    peers: { up, down: undefined },
    isInRoom: true,
    publisher: { sender: (kind: keyof typeof senders) => senders[kind] },
    gateway: { roundTripMs: 7 },
  } as unknown as Session;
}

/** Browsers report what goes out ahead of what it is made from. */
test('what is captured goes with what is sent, in whatever order a browser reports it', async () => {
  const sent = (timestamp: number, bytesSent: number) => [
    { id: 'OTA', type: 'outbound-rtp', kind: 'audio', mid: '0', mediaSourceId: 'SA', timestamp, bytesSent },
    { id: 'OTV', type: 'outbound-rtp', kind: 'video', mid: '1', mediaSourceId: 'SV', timestamp, bytesSent, frameWidth: 640, frameHeight: 360, framesPerSecond: 14.6 },
    { id: 'SA', type: 'media-source', kind: 'audio', timestamp, audioLevel: 0.25 },
    { id: 'SV', type: 'media-source', kind: 'video', timestamp, framesPerSecond: 30 },
  ];
  const reader = new StatisticsReader();
  await reader.read(sending(sent(1_000, 1_000)));

  const { statistics, digest } = await reader.read(sending(sent(2_000, 2_000)));

  expect(statistics.localStatistics).toEqual({
    audio: { bitrate: 8, audioLevel: 0.25 },
    video: [{ width: 640, height: 360, frameRate: 15, bitrate: 8, videoType: 'big' }],
  });
  expect(digest.Up).toEqual([['audio', 25], ['main', 30, 15, 640, 360]]);
});
