import type { StreamKind } from './peer.js';
import type { Session } from './session.js';
import { MadeUp, stalledMs } from './stalls.js';
import type { Watched } from './watcher.js';

export interface VideoStatistic {
  width: number;
  height: number;
  frameRate: number;
  /** kbit/s */
  bitrate: number;
  videoType: 'big' | 'small' | 'sub';
}

export interface Statistics {
  /** ms */
  rtt: number;
  /** % */
  upLoss: number;
  downLoss: number;
  bytesSent: number;
  bytesReceived: number;
  localStatistics: { audio: { bitrate: number; audioLevel: number }; video: VideoStatistic[] };
  remoteStatistics: {
    userId: string;
    audio: { bitrate: number; audioLevel: number; jitterBufferDelay: number };
    /** `paused` says why no picture comes: there is no room on the `network`, the `publisher` sends none, or it comes by a `codec` that the browser does not decode. */
    video: (VideoStatistic & { jitterBufferDelay: number; paused?: string })[];
  }[];
  /** What the server thinks of the link to here: kbit/s, ms, and the share that is lost. */
  link?: { bitrate: number; rtt: number; loss: number };
}

export interface NetworkQuality {
  /** 0 unknown, 1 best, 5 very bad, 6 no connection. */
  uplinkNetworkQuality: number;
  downlinkNetworkQuality: number;
  uplinkRTT: number;
  uplinkLoss: number;
  downlinkRTT: number;
  downlinkLoss: number;
}

/** What the server is told for its history (docs/protocol.md, `report`); -1 is not known. */
export interface Digest {
  Up: (string | number)[][];
  Down: (string | number)[][];
}

type Entry = Record<string, unknown> & { id: string; type: string; timestamp: number };

const number = (value: unknown): number => (typeof value === 'number' && Number.isFinite(value) ? value : 0);

/** Reads the browser's statistics, and turns its totals into rates. */
export class StatisticsReader {
  #before = new Map<string, { at: number; bytes: number }>();
  #upBefore = { lost: 0, sent: 0 };
  #downBefore = { lost: 0, received: 0 };
  readonly #madeUp = new MadeUp();

  async read(session: Session): Promise<{ statistics: Statistics; quality: NetworkQuality; digest: Digest }> {
    const { up, down } = session.peers;
    const upEntries = await entries(up);
    const downEntries = await entries(down);
    const byMid = new Map<string, Watched & { track: MediaStreamTrack }>();
    for (const transceiver of down?.getTransceivers() ?? []) {
      for (const [watched, receiver] of session.isInRoom ? session.watcher.receivers() : []) {
        if (receiver === transceiver.receiver && transceiver.mid !== null) byMid.set(transceiver.mid, { ...watched, track: receiver.track });
      }
    }
    const statistics: Statistics = {
      rtt: 0,
      upLoss: 0,
      downLoss: 0,
      bytesSent: 0,
      bytesReceived: 0,
      localStatistics: { audio: { bitrate: 0, audioLevel: 0 }, video: [] },
      remoteStatistics: [],
    };
    const digest: Digest = { Up: [], Down: [] };
    const local = statistics.localStatistics;
    const captured = new Map<string, number>();
    for (const entry of upEntries) {
      if (entry.type !== 'media-source') continue;
      if (entry['kind'] === 'audio') local.audio.audioLevel = number(entry['audioLevel']);
      else captured.set(entry.id, number(entry['framesPerSecond']));
    }
    const subMid = this.#midOf(session, 'sub');
    let upSent = 0;
    let upLost = 0;
    for (const entry of upEntries) {
      if (entry.type === 'remote-inbound-rtp') upLost += number(entry['packetsLost']);
      if (entry.type !== 'outbound-rtp') continue;
      upSent += number(entry['packetsSent']);
      statistics.bytesSent += number(entry['bytesSent']);
      const bitrate = this.#rate(entry, 'bytesSent');
      if (entry['kind'] === 'audio') {
        local.audio.bitrate += bitrate;
        digest.Up.push(['audio', Math.round(100 * local.audio.audioLevel)]);
      } else if (bitrate > 0) {
        const isSub = entry['mid'] === subMid;
        const isSmall = typeof entry['rid'] === 'string' && entry['rid'] !== 'f';
        const sent = picture(entry);
        local.video.push({ ...sent, bitrate, videoType: isSub ? 'sub' : isSmall ? 'small' : 'big' });
        if (!isSmall) {
          const { width, height, frameRate } = sent;
          digest.Up.push([isSub ? 'sub' : 'main', captured.get(String(entry['mediaSourceId'])) ?? -1, frameRate, width, height]);
        }
      }
    }
    let received = 0;
    let downLost = 0;
    for (const entry of downEntries) {
      if (entry.type !== 'inbound-rtp') continue;
      received += number(entry['packetsReceived']);
      downLost += number(entry['packetsLost']);
      statistics.bytesReceived += number(entry['bytesReceived']);
      const source = byMid.get(String(entry['mid']));
      if (!source) continue;
      let remote = statistics.remoteStatistics.find((other) => other.userId === source.userId);
      if (!remote) {
        remote = { userId: source.userId, audio: { bitrate: 0, audioLevel: 0, jitterBufferDelay: 0 }, video: [] };
        statistics.remoteStatistics.push(remote);
      }
      const bitrate = this.#rate(entry, 'bytesReceived');
      const emitted = number(entry['jitterBufferEmittedCount']);
      const jitterBufferDelay = emitted > 0 ? Math.round((1000 * number(entry['jitterBufferDelay'])) / emitted) : 0;
      if (entry['kind'] === 'audio') {
        remote.audio = { bitrate, audioLevel: number(entry['audioLevel']), jitterBufferDelay };
        const stalled = this.#madeUp.take(entry.id, number(entry['concealedSamples']) - number(entry['silentConcealedSamples']));
        digest.Down.push([source.userId, 'audio', Math.round(100 * remote.audio.audioLevel), jitterBufferDelay, stalled]);
      } else {
        const videoType = source.kind === 'sub' ? 'sub' : 'big';
        const paused = session.isInRoom ? session.watcher.pausedBy(source.userId, source.kind) : undefined;
        const shown = picture(entry);
        remote.video.push({ ...shown, bitrate, videoType, jitterBufferDelay, ...(paused && { paused }) });
        const { width, height, frameRate } = shown;
        const isMuted = session.streams.get(source.userId)?.get(source.kind)?.isMuted !== false;
        const isToBeShown = !source.isPaused && !isMuted && (paused === undefined || paused === 'network');
        const stalled = stalledMs(source.track, isToBeShown);
        if (isToBeShown) digest.Down.push([source.userId, source.kind, frameRate, width, height, jitterBufferDelay, stalled]);
      }
    }
    if (session.link) statistics.link = session.link;
    const upRtt = roundTrip(upEntries);
    const downRtt = roundTrip(downEntries);
    statistics.rtt = Math.round(upRtt || downRtt || session.gateway.roundTripMs);
    statistics.upLoss = percent(upLost - this.#upBefore.lost, upSent - this.#upBefore.sent);
    statistics.downLoss = percent(downLost - this.#downBefore.lost, received - this.#downBefore.received);
    this.#upBefore = { lost: upLost, sent: upSent };
    this.#downBefore = { lost: downLost, received };
    const isDown = session.isReconnecting;
    const grade = (pc: RTCPeerConnection | undefined, rtt: number, loss: number): number => {
      if (isDown || (pc && ['disconnected', 'failed'].includes(pc.connectionState))) return 6;
      return pc?.connectionState === 'connected' ? quality(rtt, loss) : 0;
    };
    return {
      statistics,
      digest,
      quality: {
        uplinkNetworkQuality: grade(up, upRtt, statistics.upLoss),
        downlinkNetworkQuality: grade(down, downRtt, statistics.downLoss),
        uplinkRTT: Math.round(upRtt),
        uplinkLoss: statistics.upLoss,
        downlinkRTT: Math.round(downRtt),
        downlinkLoss: statistics.downLoss,
      },
    };
  }

  #midOf(session: Session, kind: StreamKind): string | null | undefined {
    const sender = session.isInRoom ? session.publisher.sender(kind) : undefined;
    return session.peers.up?.getTransceivers().find((transceiver) => transceiver.sender === sender)?.mid;
  }

  #rate(entry: Entry, key: string): number {
    const bytes = number(entry[key]);
    const before = this.#before.get(entry.id);
    this.#before.set(entry.id, { at: entry.timestamp, bytes });
    if (!before || entry.timestamp <= before.at || bytes < before.bytes) return 0;
    return Math.round((8 * (bytes - before.bytes)) / (entry.timestamp - before.at));
  }
}

async function entries(pc: RTCPeerConnection | undefined): Promise<Entry[]> {
  if (!pc || pc.connectionState === 'closed') return [];
  const report = await pc.getStats();
  const found: Entry[] = [];
  report.forEach((entry: Entry) => found.push(entry));
  return found;
}

function picture(entry: Entry): { width: number; height: number; frameRate: number } {
  return {
    width: number(entry['frameWidth']),
    height: number(entry['frameHeight']),
    frameRate: Math.round(number(entry['framesPerSecond'])),
  };
}

/** ms */
function roundTrip(all: Entry[]): number {
  const pair = all.find((entry) => entry.type === 'candidate-pair' && entry['nominated'] === true && entry['state'] === 'succeeded');
  return 1000 * number(pair?.['currentRoundTripTime']);
}

function percent(lost: number, all: number): number {
  return lost <= 0 || all <= 0 ? 0 : Math.round((100 * lost) / (lost + all));
}

/** As a person would grade a call. */
export function quality(rttMs: number, lossPercent: number): number {
  if (lossPercent > 50 || rttMs > 1000) return 5;
  if (lossPercent > 30 || rttMs > 500) return 4;
  if (lossPercent > 15 || rttMs > 300) return 3;
  if (lossPercent > 5 || rttMs > 100) return 2;
  return 1;
}
