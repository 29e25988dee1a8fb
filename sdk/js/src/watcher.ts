import type { PlayoutDelay } from './api.js';
import type { Encryption } from './encryption.js';
import type { Asked, Gateway } from './gateway.js';
import { JitterKeeper } from './jitter.js';
import { log } from './log.js';
import { Peer, type PeerOptions, type StreamKind } from './peer.js';
import { offerPlace } from './receiving.js';
import { Turns } from './turns.js';

/** A stream that is watched. */
export interface Watched {
  userId: string;
  kind: StreamKind;
  /** The height it is shown at, in pixels; 0 for as good as it gets. */
  maxHeight: number;
  isPaused: boolean;
}

/** What the server is told of what is watched. */
type WatchedStream = NonNullable<Asked<'watch'>['Streams']>[number];

interface Slot {
  transceiver: RTCRtpTransceiver;
  isVideo: boolean;
  key: string | undefined;
  /** What the server was last told of it. */
  told: string;
  /** With end-to-end encryption: the number of what opens its frames. */
  opener: number | undefined;
}

/** What cannot be opened is not asked for any more for a while: its picture would be asked for anew all the time. */
const SEALED_OFF_MS = 10_000;

export function keyOf(userId: string, kind: StreamKind): string {
  return `${kind}:${userId}`;
}

/** What is watched in one room. Streams that end leave their place on the connection to others. */
export class Watcher {
  readonly #gateway: Gateway;
  readonly #roomId: string;
  readonly #peer: Peer;
  readonly #onTrack: (userId: string, kind: StreamKind, track: MediaStreamTrack) => void;
  readonly #maxSpeakers: number | undefined;
  readonly #wanted = new Map<string, Watched>();
  #slots: Slot[] = [];
  readonly #turns = new Turns();
  #scheduled: Promise<void> | undefined;
  #isClosed = false;
  readonly #jitter: JitterKeeper;
  /** What the server says of the pictures: by its reason, what has stopped. */
  readonly #paused = new Map<string, string>();
  readonly #encryption: Encryption | undefined;
  readonly #onSealed: (userId: string, kind: StreamKind) => void;
  /** Pictures that cannot be opened, each until it is tried again. */
  readonly #sealed = new Map<string, ReturnType<typeof setTimeout>>();

  constructor(
    gateway: Gateway,
    roomId: string,
    options: Omit<PeerOptions, 'exchange'> & { maxSpeakers?: number | undefined; playoutDelay?: PlayoutDelay | undefined },
    onTrack: (userId: string, kind: StreamKind, track: MediaStreamTrack) => void,
    onSealed: (userId: string, kind: StreamKind) => void = () => undefined,
  ) {
    this.#gateway = gateway;
    this.#roomId = roomId;
    this.#onTrack = onTrack;
    this.#onSealed = onSealed;
    this.#encryption = options.encryption;
    this.#maxSpeakers = options.maxSpeakers;
    this.#peer = new Peer(
      { ...options, exchange: (offer) => this.#exchange(offer) },
      (pc, isNew) => this.#prepare(pc, isNew),
    );
    const { playoutDelay } = options;
    this.#jitter = new JitterKeeper(() => this.#keptReceivers(playoutDelay !== undefined), playoutDelay);
  }

  /** Those of pictures; of sound only where it is to be played as late as the pictures. */
  *#keptReceivers(withSound: boolean): Iterable<[string, RTCRtpReceiver]> {
    for (const { key, isVideo, transceiver } of this.#slots) {
      if ((isVideo || withSound) && key !== undefined) yield [key, transceiver.receiver];
    }
  }

  /** The server says whether a picture is being sent. */
  takeShown(userId: string, kind: StreamKind, reason: string | undefined): void {
    if (reason === undefined) this.#paused.delete(keyOf(userId, kind));
    else this.#paused.set(keyOf(userId, kind), reason);
    if (reason === 'codec') log.warn(`${kind} of ${userId} comes by a codec that this browser does not decode`);
  }

  /** Why a picture that is watched has stopped, if it has: `network`, `publisher` or `codec`. */
  pausedBy(userId: string, kind: StreamKind): string | undefined {
    return this.#paused.get(keyOf(userId, kind));
  }

  get pc(): RTCPeerConnection | undefined {
    return this.#peer.pc;
  }

  track(userId: string, kind: StreamKind): MediaStreamTrack | undefined {
    return this.receiver(userId, kind)?.track;
  }

  receiver(userId: string, kind: StreamKind): RTCRtpReceiver | undefined {
    return this.#slotOf(keyOf(userId, kind))?.transceiver.receiver;
  }

  /** All that is watched, each with its receiver where there is one. */
  *receivers(): Iterable<[Watched, RTCRtpReceiver]> {
    for (const [key, watched] of this.#wanted) {
      const slot = this.#slotOf(key);
      if (slot) yield [watched, slot.transceiver.receiver];
    }
  }

  /** Watches a stream, or changes how. Resolves when it is agreed on. */
  watch(watched: Watched): Promise<void> {
    this.#wanted.set(keyOf(watched.userId, watched.kind), watched);
    return this.#schedule();
  }

  unwatch(userId: string, kind: StreamKind): Promise<void> {
    this.#paused.delete(keyOf(userId, kind));
    this.#unseal(keyOf(userId, kind));
    return this.#wanted.delete(keyOf(userId, kind)) ? this.#schedule() : Promise.resolve();
  }

  /** Has the browser make a connection with a place for one sound and one picture, so that the first is not long in coming. */
  makeReady(): Promise<void> {
    return this.#peer.makeReady((pc) => {
      this.#addSlot(pc, false);
      this.#addSlot(pc, true);
    });
  }

  /** Does what was asked for while the server could not be reached. */
  catchUp(): Promise<void> {
    return this.#schedule();
  }

  /** The media of this connection is gone at the server: all of it is watched anew. */
  async rebuild(): Promise<void> {
    // By what was made ready nobody may be reached any more.
    if (this.#wanted.size === 0 && !this.#peer.isAgreed) return this.#peer.letGo();
    await this.#peer.negotiate({ anew: true });
    this.#tellTracks();
  }

  close(): void {
    this.#isClosed = true;
    this.#jitter.close();
    this.#wanted.clear();
    this.#unsealAll();
    this.#peer.close();
  }

  /** There is another key: what could not be opened is tried again. */
  tryAgain(): Promise<void> {
    this.#unsealAll();
    return this.#schedule();
  }

  /** A slot's frames of a stream have not been opened for a while. */
  #takeSealed(slot: Slot, failed: { userId: string; kind: string }): void {
    // Another stream may have taken its place before that was said.
    if (slot.key !== keyOf(failed.userId, failed.kind as StreamKind)) return;
    const { key } = slot;
    const watched = this.#wanted.get(key);
    if (!watched) return;
    if (slot.isVideo && !this.#sealed.has(key)) {
      const again = () => {
        this.#unseal(key);
        this.#schedule().catch((error: unknown) => log.info('a sealed stream was not tried again', error));
      };
      this.#sealed.set(key, setTimeout(again, SEALED_OFF_MS));
      this.#schedule().catch((error: unknown) => log.info('a sealed stream was not let go of', error));
    }
    this.#onSealed(watched.userId, watched.kind);
  }

  #unseal(key: string): void {
    clearTimeout(this.#sealed.get(key));
    this.#sealed.delete(key);
  }

  #unsealAll(): void {
    for (const key of this.#sealed.keys()) this.#unseal(key);
  }

  /** What a slot carries from now on, before the server sends it. */
  #fill(slot: Slot, key: string | undefined): void {
    slot.key = key;
    if (slot.opener !== undefined) this.#encryption?.assign(slot.opener, key === undefined ? undefined : this.#wanted.get(key));
  }

  #slotOf(key: string): Slot | undefined {
    return this.#slots.find((slot) => slot.key === key);
  }

  /** What is asked for within one turn is agreed on at once. */
  #schedule(): Promise<void> {
    this.#scheduled ??= this.#turns.take(async () => {
      await new Promise((resolve) => setTimeout(resolve));
      this.#scheduled = undefined;
      await this.#sync();
    });
    return this.#scheduled;
  }

  async #sync(): Promise<void> {
    if (this.#isClosed || (this.#wanted.size === 0 && !this.#peer.isAgreed)) return;
    await this.#peer.settled();
    const before = new Map(this.#slots.map((slot) => [slot, slot.key]));
    this.#assign();
    const isFull = [...this.#wanted.keys()].some((key) => !this.#slotOf(key));
    if (isFull || !this.#peer.isAgreed) await this.#peer.negotiate();
    else {
      const changed = this.#describe().filter((entry) => entry.isNew);
      if (changed.length > 0) {
        const streams = changed.map((entry) => entry.stream);
        await this.#gateway.request('update_watch', { RoomId: this.#roomId, Streams: streams });
        for (const entry of changed) entry.slot.told = entry.text;
      }
    }
    this.#tellTracks((slot) => before.get(slot) !== slot.key);
  }

  /** Gives free slots to streams that have none. */
  #assign(): void {
    for (const slot of this.#slots) {
      if (slot.key !== undefined && !this.#wanted.has(slot.key)) this.#fill(slot, undefined);
    }
    for (const [key, watched] of this.#wanted) {
      if (this.#slotOf(key)) continue;
      const isVideo = watched.kind !== 'audio';
      const free = this.#slots.find((slot) => slot.key === undefined && slot.isVideo === isVideo);
      if (free) this.#fill(free, key);
    }
  }

  #prepare(pc: RTCPeerConnection, isNew: boolean): void {
    if (isNew) {
      const former = this.#slots;
      this.#slots = [];
      this.#encryption?.forget(former.map((slot) => slot.opener));
    }
    this.#assign();
    for (const [key, watched] of this.#wanted) {
      if (!this.#slotOf(key)) this.#fill(this.#addSlot(pc, watched.kind !== 'audio'), key);
    }
  }

  #addSlot(pc: RTCPeerConnection, isVideo: boolean): Slot {
    const transceiver = offerPlace(pc, isVideo ? 'video' : 'audio');
    const slot: Slot = { transceiver, isVideo, key: undefined, told: '', opener: undefined };
    slot.opener = this.#encryption?.open(transceiver.receiver, (failed) => this.#takeSealed(slot, failed));
    this.#slots.push(slot);
    return slot;
  }

  #describe(): { slot: Slot; stream: WatchedStream; text: string; isNew: boolean }[] {
    return this.#slots.map((slot) => {
      const watched = slot.key === undefined ? undefined : this.#wanted.get(slot.key);
      const stream: WatchedStream = { Mid: slot.transceiver.mid ?? '' };
      if (watched) {
        stream.Member_Account = watched.userId;
        stream.StreamType = watched.kind;
        if (watched.maxHeight > 0) stream.MaxHeight = Math.ceil(watched.maxHeight);
        if (watched.isPaused || this.#sealed.has(keyOf(watched.userId, watched.kind))) stream.Paused = true;
      }
      const text = JSON.stringify(stream);
      return { slot, stream, text, isNew: text !== slot.told };
    });
  }

  async #exchange(offer: string): Promise<string> {
    const entries = this.#describe().filter((entry) => entry.stream.Mid !== '');
    const streams = entries.map((entry) => entry.stream);
    const body: Asked<'watch'> = { RoomId: this.#roomId, Sdp: offer, Streams: streams };
    if (this.#maxSpeakers !== undefined) body.MaxSpeakers = this.#maxSpeakers;
    const answer = await this.#gateway.request('watch', body);
    for (const entry of entries) entry.slot.told = entry.text;
    return answer.Sdp;
  }

  #tellTracks(which: (slot: Slot) => boolean = () => true): void {
    for (const slot of this.#slots.filter(which)) {
      const watched = slot.key === undefined ? undefined : this.#wanted.get(slot.key);
      if (!watched) continue;
      try {
        this.#onTrack(watched.userId, watched.kind, slot.transceiver.receiver.track);
      } catch (error) {
        log.warn('a track could not be shown', error);
      }
    }
  }
}

/** When a receiver's sound was last seen to go on, and by which time of the browser's. */
const heard = new WeakMap<RTCRtpReceiver, { timestamp: number; at: number }>();

/** How long a level counts after its packet. */
const FRESH_MS = 1_000;

/** How loud what a receiver plays is; nothing when nothing has come for a moment, of which browsers keep the level for 10 s. */
export function heardLevel(receiver: RTCRtpReceiver): number {
  const [source] = receiver.getSynchronizationSources();
  if (!source) return 0;
  const { timestamp } = source;
  const now = performance.now();
  // Some browsers count from the page's beginning, some from 1970.
  const age = now - timestamp;
  const isFresh = Math.min(Math.abs(age), Math.abs(age + performance.timeOrigin)) <= FRESH_MS;
  // Neither tells anything where a clock was set or stood still, as while a machine sleeps: then what moves is fresh.
  const last = heard.get(receiver);
  const moved = last?.timestamp === timestamp ? last : { timestamp, at: last ? now : -Infinity };
  heard.set(receiver, moved);
  return isFresh || now - moved.at <= FRESH_MS ? (source.audioLevel ?? 0) : 0;
}
