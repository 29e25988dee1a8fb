import { offerDependencies } from './dependencies.js';
import type { Encryption } from './encryption.js';
import { RtcError } from './errors.js';
import type { Asked, Gateway } from './gateway.js';
import { type VideoCodec, prefer } from './layering.js';
import { log } from './log.js';
import { Peer, type PeerOptions, type StreamKind } from './peer.js';
import type { VideoProfile } from './profiles.js';
import { Turns } from './turns.js';

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
  /** What the smaller of two sizes is to be like, where the page says so. */
  small?: VideoProfile | undefined;
  /** What it is encoded by, where the browser can; absent: what the browser likes best. */
  codec?: VideoCodec | undefined;
  /** In one stream with several layers (as `L3T3_KEY`), of which each viewer gets what its link carries; no simulcast then. */
  scalabilityMode?: string | undefined;
}

/** The DOM's own types do not know it yet. */
type ScalableEncoding = RTCRtpEncodingParameters & { scalabilityMode?: string };

/** How a stream is published. */
export interface Publishing {
  encoding?: Encoding | undefined;
  /** Of audio, kbit/s. */
  audioBitrate?: number | undefined;
  /** Of audio: next to nothing is sent while it is silent. */
  isDiscontinuous?: boolean | undefined;
  isStereo?: boolean | undefined;
  /** The others are told that it is off for a while. */
  isMuted?: boolean;
}

interface Outgoing {
  /** What is wanted; the rest follows when it is its turn. */
  track: MediaStreamTrack;
  how: Publishing;
  /** It may be put on the connection: what was asked for before is done. */
  isDue: boolean;
  transceiver: RTCRtpTransceiver | undefined;
  /** Whether the server holds it for muted; `undefined` while it does not know the stream, `null` while nobody knows. */
  toldMuted: boolean | null | undefined;
  /** Whether it was agreed on that silence is not sent. */
  isDiscontinuous: boolean;
  isStereo: boolean;
  /** What the sender was tuned for last. */
  tunedFor: string;
  /** Layers that nobody watches, by their RID, and the number of the event that said so. */
  unwanted: { seq: number; rids: Set<string> };
  failure: unknown;
}

/** What the server is told of a stream. */
type PublishedStream = NonNullable<Asked<'publish'>['Streams']>[number];

const KINDS: StreamKind[] = ['audio', 'main', 'sub'];

/** How many places a connection has before those that are idle are given to others. */
const MOST_PLACES = 12;

/**
 * What is published in one room: up to one microphone, one camera and one screen, on one connection. Calls say what is
 * wanted from now on; they are carried out one after the other, so that the last word holds, whatever is under way.
 */
export class Publisher {
  readonly #gateway: Gateway;
  readonly #roomId: string;
  readonly #peer: Peer;
  readonly #turns = new Turns();
  readonly #encryption: Encryption | undefined;
  readonly #outgoing = new Map<StreamKind, Outgoing>();
  /** Connections keep the places of streams that have ended, for the next that is sent alike (`placeOf`). */
  readonly #idle = new Map<string, RTCRtpTransceiver>();
  /** Something was taken back of which the server does not know yet. */
  #isOwed = false;
  /** What each kind's newest place was made for, which it stays. */
  readonly #madeFor = new Map<StreamKind, string>();

  constructor(gateway: Gateway, roomId: string, options: Omit<PeerOptions, 'exchange'>) {
    this.#gateway = gateway;
    this.#roomId = roomId;
    this.#encryption = options.encryption;
    this.#peer = new Peer(
      { ...options, exchange: (offer) => this.#exchange(offer) },
      (pc, isNew) => this.#prepare(pc, isNew),
      () => void this.#take(() => this.#tuneAll()),
    );
  }

  /** Does something in its turn, which is over at the latest when all of this is. */
  #take(work: () => Promise<void>): Promise<void> {
    return this.#turns.take(() => Promise.race([work(), this.#peer.closed]));
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

  /** Publishes a track, or another in the place of the one before, or the same one in another way. */
  publish(kind: StreamKind, track: MediaStreamTrack, how: Publishing): Promise<void> {
    const fresh = {
      isDue: false,
      transceiver: undefined,
      toldMuted: undefined,
      isDiscontinuous: false,
      isStereo: false,
      tunedFor: '',
      failure: undefined,
      unwanted: { seq: 0, rids: new Set<string>() },
    };
    const outgoing: Outgoing = Object.assign(this.#outgoing.get(kind) ?? fresh, { track, how });
    this.#outgoing.set(kind, outgoing);
    return this.#take(() => this.#bring(kind, outgoing));
  }

  async #bring(kind: StreamKind, outgoing: Outgoing): Promise<void> {
    if (outgoing.failure) throw outgoing.failure;
    // It was taken back meanwhile.
    if (this.#outgoing.get(kind) !== outgoing) return;
    if (!this.#isPlaced(kind, outgoing)) {
      const wasOn = outgoing.isDue;
      outgoing.isDue = true;
      try {
        // The connection that has its place cannot send it otherwise: another one takes over all that is on.
        await this.#peer.negotiate({ anew: wasOn && outgoing.transceiver !== undefined && !this.#isFit(kind, outgoing) });
        if (outgoing.failure) throw outgoing.failure;
      } catch (error) {
        // What was on already waits for better times, unless it is refused.
        const isRefused = error === outgoing.failure || (error instanceof RtcError && error.extraCode !== undefined);
        if (wasOn && !isRefused) throw error;
        outgoing.failure = error;
        if (this.#outgoing.get(kind) === outgoing) this.#outgoing.delete(kind);
        await this.#vacate(kind, outgoing);
        // What else was on stays so.
        if (wasOn) await this.#peer.negotiate().catch((failed: unknown) => log.info('not published again yet', failed));
        throw error;
      }
    }
    const { sender } = outgoing.transceiver ?? {};
    if (sender && sender.track !== outgoing.track) await sender.replaceTrack(outgoing.track);
    const isOtherwise = outgoing.isDiscontinuous !== (outgoing.how.isDiscontinuous === true) || outgoing.isStereo !== (outgoing.how.isStereo === true);
    if (sender && isOtherwise) await this.#peer.negotiate();
    await this.#tune(kind, outgoing);
    while (this.#outgoing.get(kind) === outgoing && outgoing.toldMuted !== undefined) {
      const isMuted = outgoing.how.isMuted === true;
      if (outgoing.toldMuted === isMuted) break;
      outgoing.toldMuted = null;
      await this.#gateway.request('mute_stream', { RoomId: this.#roomId, StreamType: kind, Muted: isMuted });
      outgoing.toldMuted = isMuted;
    }
  }

  /** The server says which layers of a stream anybody watches: the others need not be sent. */
  takeWanted(kind: StreamKind, seq: number, layers: { rid: string; isWanted: boolean }[]): void {
    const outgoing = this.#outgoing.get(kind);
    if (!outgoing || seq <= outgoing.unwanted.seq) return;
    outgoing.unwanted = { seq, rids: new Set(layers.filter((layer) => !layer.isWanted).map((layer) => layer.rid)) };
    this.#take(async () => {
      if (this.#outgoing.get(kind) === outgoing) await this.#tune(kind, outgoing);
    }).catch((error: unknown) => log.info('layers could not be switched', error));
  }

  unpublish(kind: StreamKind): Promise<void> {
    const outgoing = this.#outgoing.get(kind);
    if (!outgoing) return Promise.resolve();
    this.#outgoing.delete(kind);
    return this.#take(async () => {
      if (!(await this.#vacate(kind, outgoing))) return;
      this.#isOwed = true;
      await this.#peer.negotiate();
    });
  }

  /** Leaves a stream's place on the connection to the next of its kind, if it has one. */
  async #vacate(kind: StreamKind, { transceiver }: Outgoing): Promise<boolean> {
    if (!transceiver || !this.#peer.pc?.getTransceivers().includes(transceiver)) return false;
    transceiver.direction = 'inactive';
    await transceiver.sender.replaceTrack(null);
    this.#idle.set(placeOf(kind, transceiver.sender.getParameters().encodings.length, this.#madeFor.get(kind)), transceiver);
    return true;
  }

  /** Does what was asked for while the server could not be reached. */
  async catchUp(): Promise<void> {
    const all = [...this.#outgoing].map(([kind, outgoing]) => this.#take(() => this.#bring(kind, outgoing)));
    const taken = this.#take(async () => {
      if (this.#isOwed && this.#peer.pc) await this.#peer.negotiate();
    });
    await Promise.all([...all, taken]);
  }

  /** The media of this connection is gone at the server: all of it is published anew. */
  rebuild(): Promise<void> {
    return this.#take(async () => {
      if (![...this.#outgoing.values()].some(({ isDue }) => isDue)) return;
      await this.#peer.negotiate({ anew: true });
    });
  }

  close(): void {
    this.#outgoing.clear();
    this.#peer.close();
  }

  /** Whether a stream has a place on the connection, one that was made for how it is to be sent. */
  #isPlaced(kind: StreamKind, outgoing: Outgoing): boolean {
    return outgoing.transceiver !== undefined && outgoing.transceiver.mid !== null && this.#peer.pc !== undefined && this.#isFit(kind, outgoing);
  }

  #isFit(kind: StreamKind, { how }: Outgoing): boolean {
    return this.#madeFor.get(kind) === placeFor(how.encoding);
  }

  #prepare(pc: RTCPeerConnection, isNew: boolean): void {
    if (isNew) this.#idle.clear();
    for (const [kind, outgoing] of this.#outgoing) {
      if (isNew) outgoing.transceiver = undefined;
      if (outgoing.transceiver || !outgoing.isDue) continue;
      outgoing.toldMuted = undefined;
      outgoing.tunedFor = '';
      outgoing.unwanted.rids.clear();
      try {
        outgoing.transceiver = this.#place(pc, kind, outgoing);
      } catch (error) {
        // What the browser does not send like that does not keep the others from being sent.
        log.warn(`${kind} cannot be sent`, error);
        outgoing.failure = error;
        this.#outgoing.delete(kind);
      }
    }
  }

  /** A place for a stream: that of the one before, or a new one. */
  #place(pc: RTCPeerConnection, kind: StreamKind, { track, how: { encoding } }: Outgoing): RTCRtpTransceiver {
    // A place keeps the sizes it was made with, so a camera that comes back with others gets a new one.
    const wanted = encodings(encoding);
    const madeFor = placeFor(encoding);
    this.#madeFor.set(kind, madeFor);
    const place = placeOf(kind, wanted.length, madeFor);
    const idle = this.#idle.get(place);
    this.#idle.delete(place);
    if (idle) {
      idle.direction = 'sendonly';
      void idle.sender.replaceTrack(track);
      return idle;
    }
    // Others stay: it may come back as it was, and what took the place of a connection's first m-line would begin all of it anew.
    if (pc.getTransceivers().length >= MOST_PLACES) {
      for (const other of this.#idle.values()) other.stop();
      this.#idle.clear();
    }
    const transceiver = pc.addTransceiver(track, { direction: 'sendonly', sendEncodings: wanted });
    this.#seal(transceiver, kind);
    prefer(transceiver, encoding?.codec);
    if (encoding?.codec === 'av1') offerDependencies(transceiver);
    return transceiver;
  }

  #seal(transceiver: RTCRtpTransceiver, kind: StreamKind): void {
    if (!this.#encryption) return;
    this.#encryption.seal(transceiver.sender, kind);
    // Browsers seal what is doubled already, so that the server could not take the second copy off for who has no room for it. And what
    // cannot be sealed (`codecOf`) would not be sent at all.
    const codecs = RTCRtpSender.getCapabilities?.(kind === 'audio' ? 'audio' : 'video')?.codecs;
    const used = codecs?.filter(({ mimeType }) => !/^(audio\/red|video\/h26[56])$/i.test(mimeType));
    if (used?.length && used.length < (codecs?.length ?? 0)) transceiver.setCodecPreferences?.(used);
  }

  async #exchange(offer: string): Promise<string> {
    this.#encryption?.takeCodecs(offer);
    const streams: PublishedStream[] = [];
    const told: [Outgoing, boolean][] = [];
    for (const kind of KINDS) {
      const outgoing = this.#outgoing.get(kind);
      const mid = outgoing?.transceiver?.mid;
      if (!outgoing || mid == null) continue;
      const { encoding, isMuted = false } = outgoing.how;
      const stream: PublishedStream = { Mid: mid, StreamType: kind, Height: encoding?.height ?? 0, Muted: isMuted };
      if (kind !== 'audio') {
        stream.Dynacast = true;
        stream.Layers = layersOf(encoding);
      }
      if (this.#encryption) stream.Encrypted = true;
      streams.push(stream);
      told.push([outgoing, isMuted]);
    }
    const sound = this.#outgoing.get('audio');
    const isStereo = sound?.how.isStereo === true;
    const proposed = isStereo ? withStereoTold(offer) : offer;
    const answer = await this.#gateway.request('publish', { RoomId: this.#roomId, Sdp: proposed, Streams: streams });
    this.#isOwed = false;
    // Of a stream that it knows already the server does not take it from an offer.
    for (const [outgoing, isMuted] of told) if (outgoing.toldMuted === undefined) outgoing.toldMuted = isMuted;
    if (sound) {
      sound.isDiscontinuous = sound.how.isDiscontinuous === true;
      sound.isStereo = isStereo;
    }
    const sdp = answer.Sdp;
    return sound?.isDiscontinuous ? withSilenceLeftOut(sdp) : sdp;
  }

  /** Also a connection that was made anew gets senders as they were. */
  async #tuneAll(): Promise<void> {
    for (const [kind, outgoing] of this.#outgoing) {
      await this.#tune(kind, outgoing).catch((error: unknown) => log.info('a sender could not be tuned', error));
    }
  }

  async #tune(kind: StreamKind, outgoing: Outgoing): Promise<void> {
    // Otherwise another place comes first.
    if (!this.#isPlaced(kind, outgoing)) return;
    const { track, transceiver, how } = outgoing;
    const { encoding, audioBitrate } = how;
    const sender = transceiver?.sender;
    const { rids } = outgoing.unwanted;
    const wanted = JSON.stringify([track.id, encoding, audioBitrate, [...rids]]);
    if (!sender?.track || outgoing.tunedFor === wanted) return;
    const parameters = sender.getParameters();
    if (!parameters.encodings?.length) return;
    if (encoding) {
      parameters.degradationPreference = encoding.qosPreference === 'clear' ? 'maintain-resolution' : 'maintain-framerate';
      sender.track.contentHint = encoding.qosPreference === 'clear' ? 'detail' : '';
      for (const entry of parameters.encodings) {
        const share = entry.rid === 'q' ? 9 : entry.rid === 'h' ? 3 : 1;
        if (encoding.bitrate > 0) entry.maxBitrate = Math.round((encoding.bitrate * 1000) / share);
        entry.maxFramerate = encoding.frameRate;
        if (encoding.small && entry.rid === 'q') Object.assign(entry, smaller(encoding, encoding.small));
      }
    } else if (audioBitrate && parameters.encodings[0]) {
      parameters.encodings[0].maxBitrate = audioBitrate * 1000;
    }
    for (const entry of parameters.encodings) entry.active = !rids.has(entry.rid ?? '');
    await sender.setParameters(parameters);
    outgoing.tunedFor = wanted;
    const { scalabilityMode } = parameters.encodings[0] as ScalableEncoding;
    if (encoding?.scalabilityMode !== undefined && scalabilityMode !== encoding.scalabilityMode) {
      log.warn(`the browser sends ${scalabilityMode ?? 'no layers'} instead of ${encoding.scalabilityMode}`);
    }
  }
}

/** An answer that asks for nothing while there is silence (RFC 7587 6.1): whether that is wanted, only who publishes knows. */
export function withSilenceLeftOut(sdp: string): string {
  const type = /^a=rtpmap:(\d+) opus\//im.exec(sdp)?.[1];
  return type === undefined ? sdp : sdp.replace(new RegExp(`^a=fmtp:${type} (?!.*usedtx)`, 'gm'), `a=fmtp:${type} usedtx=1;`);
}

/** An offer that says that two channels are sent (RFC 7587 7.1): the answer asks for them then, and the browser sends them. */
export function withStereoTold(sdp: string): string {
  const type = /^a=rtpmap:(\d+) opus\//im.exec(sdp)?.[1];
  return type === undefined ? sdp : sdp.replace(new RegExp(`^a=fmtp:${type} (?!.*sprop-stereo)`, 'gm'), `a=fmtp:${type} sprop-stereo=1;`);
}

/** What the server is told of the sizes of a video. */
function layersOf(encoding: Encoding | undefined): PublishedStream['Layers'] {
  if (!encoding) return [];
  const named = encodings(encoding).filter((layer) => layer.rid !== undefined);
  return named.map(({ rid = '', maxBitrate = 0, scaleResolutionDownBy = 1 }) => ({
    Rid: rid,
    MaxBitrate: maxBitrate,
    Height: Math.round(encoding.height / scaleResolutionDownBy),
  }));
}

/**
 * The sizes of a video: full, and below it half and quarter, as far as that is still a picture. Browsers send three sizes
 * from 960 x 540 on and two from 480 x 270 on, and leave out the *best* of those that are too many.
 */
export function encodings(encoding: Encoding | undefined): ScalableEncoding[] {
  if (!encoding) return [{}];
  const bits = encoding.bitrate * 1000;
  const { scalabilityMode } = encoding;
  if (scalabilityMode !== undefined) return [{ maxBitrate: bits, scalabilityMode }];
  const pixels = encoding.width * encoding.height;
  if (!encoding.isSimulcast || pixels < 480 * 270) return [{ maxBitrate: bits }];
  const { small } = encoding;
  if (small) return [{ rid: 'q', ...smaller(encoding, small) }, { rid: 'f', maxBitrate: bits, scaleResolutionDownBy: 1 }];
  const full = { rid: 'f', maxBitrate: bits, scaleResolutionDownBy: 1 };
  const half = { rid: 'h', maxBitrate: Math.round(bits / 3), scaleResolutionDownBy: 2 };
  const quarter = { rid: 'q', maxBitrate: Math.round(bits / 9), scaleResolutionDownBy: 4 };
  return pixels < 960 * 540 ? [half, full] : [quarter, half, full];
}

/** What a connection's place is made for and cannot change. */
function placeFor({ codec, scalabilityMode, isSimulcast, small }: Partial<Encoding> = {}): string {
  return JSON.stringify([codec, scalabilityMode, isSimulcast, small !== undefined]);
}

/** Which places can take which streams: of a kind, with so many sizes, made for the same. */
function placeOf(kind: StreamKind, sizes: number, madeFor = ''): string {
  return `${kind} ${sizes} ${madeFor}`;
}

/** The smaller of two sizes, as the page wants it. */
function smaller({ height }: Encoding, small: VideoProfile): { maxBitrate: number; maxFramerate: number; scaleResolutionDownBy: number } {
  return { maxBitrate: small.bitrate * 1000, maxFramerate: small.frameRate, scaleResolutionDownBy: Math.max(1, height / small.height) };
}
