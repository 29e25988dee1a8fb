import type { Body, Gateway } from './gateway.js';
import { Peer, type PeerOptions, type StreamKind } from './peer.js';

/** How a video is sent. */
export interface Encoding {
  width: number;
  height: number;
  frameRate: number;
  /** kbit/s */
  bitrate: number;
  qosPreference: 'smooth' | 'clear';
  /** In up to three sizes at once, of which each viewer gets the one that its link carries. */
  isSimulcast: boolean;
}

interface Outgoing {
  track: MediaStreamTrack;
  encoding: Encoding | undefined;
  /** Of audio, kbit/s. */
  audioBitrate: number | undefined;
  transceiver: RTCRtpTransceiver | undefined;
  /** What the server was told last. */
  isMuted: boolean;
}

const KINDS: StreamKind[] = ['audio', 'main', 'sub'];

/** What is published in one room: up to one microphone, one camera and one screen, on one connection. */
export class Publisher {
  readonly #gateway: Gateway;
  readonly #roomId: string;
  readonly #peer: Peer;
  readonly #outgoing = new Map<StreamKind, Outgoing>();
  /** Connections keep the places of streams that have ended, for the next of their kind. */
  readonly #idle = new Map<StreamKind, RTCRtpTransceiver>();

  constructor(gateway: Gateway, roomId: string, options: Omit<PeerOptions, 'exchange'>) {
    this.#gateway = gateway;
    this.#roomId = roomId;
    this.#peer = new Peer(
      { ...options, exchange: (offer) => this.#exchange(offer) },
      (pc, isNew) => this.#prepare(pc, isNew),
    );
  }

  get pc(): RTCPeerConnection | undefined {
    return this.#peer.pc;
  }

  has(kind: StreamKind): boolean {
    return this.#outgoing.has(kind);
  }

  /** The sender of a kind of stream, for its statistics. */
  sender(kind: StreamKind): RTCRtpSender | undefined {
    return this.#outgoing.get(kind)?.transceiver?.sender;
  }

  /** Publishes a track, or another in the place of the one before. */
  async publish(kind: StreamKind, track: MediaStreamTrack, how: { encoding?: Encoding; audioBitrate?: number }): Promise<void> {
    const before = this.#outgoing.get(kind);
    const outgoing: Outgoing = {
      track,
      encoding: how.encoding,
      audioBitrate: how.audioBitrate,
      transceiver: before?.transceiver,
      isMuted: before?.isMuted ?? false,
    };
    this.#outgoing.set(kind, outgoing);
    if (before?.transceiver && this.#peer.pc) {
      await before.transceiver.sender.replaceTrack(track);
      await this.#tune(outgoing);
      return;
    }
    try {
      await this.#peer.negotiate();
    } catch (error) {
      this.#outgoing.delete(kind);
      throw error;
    }
    await this.#tune(outgoing);
  }

  /** Tells the others that a stream is off for a while, or on again. */
  async setMuted(kind: StreamKind, isMuted: boolean): Promise<void> {
    const outgoing = this.#outgoing.get(kind);
    if (!outgoing || outgoing.isMuted === isMuted) return;
    await this.#tellMuted(kind, isMuted);
    outgoing.isMuted = isMuted;
  }

  async #tellMuted(kind: StreamKind, isMuted: boolean): Promise<void> {
    await this.#gateway.request('mute_stream', { RoomId: this.#roomId, StreamType: kind, Muted: isMuted });
  }

  async unpublish(kind: StreamKind): Promise<void> {
    const outgoing = this.#outgoing.get(kind);
    if (!outgoing) return;
    this.#outgoing.delete(kind);
    const { transceiver } = outgoing;
    if (!transceiver || !this.#peer.pc) return;
    transceiver.direction = 'inactive';
    await transceiver.sender.replaceTrack(null);
    this.#idle.set(kind, transceiver);
    await this.#peer.negotiate();
  }

  /** The media of this connection is gone at the server: all of it is published anew. */
  async rebuild(): Promise<void> {
    if (this.#outgoing.size === 0) return;
    await this.#peer.negotiate({ anew: true });
    for (const [kind, outgoing] of this.#outgoing) {
      await this.#tune(outgoing);
      if (outgoing.isMuted) await this.#tellMuted(kind, true);
    }
  }

  close(): void {
    this.#outgoing.clear();
    this.#peer.close();
  }

  #prepare(pc: RTCPeerConnection, isNew: boolean): void {
    if (isNew) this.#idle.clear();
    for (const [kind, outgoing] of this.#outgoing) {
      if (isNew) outgoing.transceiver = undefined;
      if (outgoing.transceiver) continue;
      const idle = this.#idle.get(kind);
      this.#idle.delete(kind);
      // A place keeps the sizes it was made with, so a camera that comes back with others gets a new one.
      const wanted = encodings(outgoing.encoding);
      if (idle && idle.sender.getParameters().encodings.length === wanted.length) {
        idle.direction = 'sendonly';
        void idle.sender.replaceTrack(outgoing.track);
        outgoing.transceiver = idle;
        continue;
      }
      idle?.stop();
      outgoing.transceiver = pc.addTransceiver(outgoing.track, { direction: 'sendonly', sendEncodings: wanted });
    }
  }

  async #exchange(offer: string): Promise<string> {
    const streams: Body[] = [];
    for (const kind of KINDS) {
      const outgoing = this.#outgoing.get(kind);
      const mid = outgoing?.transceiver?.mid;
      if (mid == null) continue;
      streams.push({ Mid: mid, StreamType: kind, Height: outgoing?.encoding?.height ?? 0 });
    }
    const answer = await this.#gateway.request('publish', { RoomId: this.#roomId, Sdp: offer, Streams: streams });
    return String(answer['Sdp'] ?? '');
  }

  async #tune({ transceiver, encoding, audioBitrate }: Outgoing): Promise<void> {
    const sender = transceiver?.sender;
    if (!sender?.track) return;
    const parameters = sender.getParameters();
    if (!parameters.encodings?.length) return;
    if (encoding) {
      parameters.degradationPreference = encoding.qosPreference === 'clear' ? 'maintain-resolution' : 'maintain-framerate';
      sender.track.contentHint = encoding.qosPreference === 'clear' ? 'detail' : '';
      const sizes = encodings(encoding);
      parameters.encodings.forEach((entry, at) => {
        const size = sizes[at];
        if (size?.maxBitrate) entry.maxBitrate = size.maxBitrate;
        entry.maxFramerate = encoding.frameRate;
      });
    } else if (audioBitrate && parameters.encodings[0]) {
      parameters.encodings[0].maxBitrate = audioBitrate * 1000;
    }
    await sender.setParameters(parameters);
  }
}

/**
 * The sizes of a video: full, and below it half and quarter, as far as that is still a picture. Browsers send three sizes
 * from 960 x 540 on and two from 480 x 270 on, and leave out the *best* of those that are too many.
 */
export function encodings(encoding: Encoding | undefined): RTCRtpEncodingParameters[] {
  if (!encoding) return [{}];
  const bits = encoding.bitrate * 1000;
  const pixels = encoding.width * encoding.height;
  if (!encoding.isSimulcast || pixels < 480 * 270) return [{ maxBitrate: bits }];
  const full = { rid: 'f', maxBitrate: bits, scaleResolutionDownBy: 1 };
  const half = { rid: 'h', maxBitrate: Math.round(bits / 3), scaleResolutionDownBy: 2 };
  const quarter = { rid: 'q', maxBitrate: Math.round(bits / 9), scaleResolutionDownBy: 4 };
  return pixels < 960 * 540 ? [half, full] : [quarter, half, full];
}
