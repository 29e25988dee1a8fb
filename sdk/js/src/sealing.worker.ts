/**
 * Seals what is sent and opens what comes in, away from the page's thread. What cannot be sealed is not sent, and what
 * cannot be opened is not shown: no frame passes as it is.
 */
import { type BaseKey, type Codec, KeyRing, Opener, type SealedStream, Sealer, codecOf } from './sealing.js';

/** What is to be done with the frames of one sender or receiver. */
export type Task = { id: number; way: 'seal'; stream: SealedStream } | { id: number; way: 'open' };

export type ToWorker =
  | { what: 'key'; key: BaseKey; isActive: boolean }
  /** What is sent is sealed by a key that is there already. */
  | { what: 'activate'; id: number }
  /** A receiver gets another stream from now on, or none. */
  | { what: 'assign'; id: number; stream: SealedStream | undefined }
  /** The codecs of payload types, where browsers do not tell them with the frames. */
  | { what: 'codecs'; codecs: [number, string][] }
  /** The frames of a sender or receiver, where there are no `RTCRtpScriptTransform`s. */
  | { what: 'frames'; task: Task; readable: ReadableStream<Frame>; writable: WritableStream<Frame> };

/** It has begun; what a receiver gets of a stream cannot be opened, for a second by now. */
export type FromWorker = { what: 'ready' } | { what: 'failed'; id: number; stream: SealedStream };

interface Frame {
  data: ArrayBuffer;
  /** Of pictures: key, delta or empty. */
  type?: string;
  getMetadata(): { mimeType?: string; payloadType?: number };
}

/** RTCRtpScriptTransformer (WebRTC Encoded Transform 4.4), which the types of pages do not have. */
interface Transformer {
  readable: ReadableStream<Frame>;
  writable: WritableStream<Frame>;
  options: Task;
  generateKeyFrame?(rid?: string): Promise<unknown>;
  sendKeyFrameRequest?(): Promise<unknown>;
}

interface Scope {
  onmessage: ((event: { data: ToWorker }) => void) | null;
  onrtctransform: ((event: { transformer: Transformer }) => void) | null;
  postMessage(message: FromWorker): void;
}

/** What fails for so long is told, and told again. */
const FAILS_FOR_MS = 1_000;
const TELL_EACH_MS = 5_000;
const KEYFRAME_EACH_MS = 500;
/** Of so many streams, those that were watched last, it is kept in mind what came. */
const MAX_OPENERS = 512;

const scope = globalThis as unknown as Scope;
const ring = new KeyRing();
const receivers = new Map<number, Receiver>();
const codecs = new Map<number, Codec>();
/** By their streams, those assigned last at the end: what came once is not shown again on another receiver, or later on the same one. */
const openers = new Map<string, Opener>();

/** What a step makes of a frame; `undefined` when it goes no further. */
type Step = (frame: Frame) => Promise<Uint8Array<ArrayBuffer> | undefined>;

class Receiver {
  readonly #id: number;
  askKeyframe: () => unknown = () => undefined;
  #opener: Opener | undefined;
  #stream: SealedStream | undefined;
  #failsSince: number | undefined;
  #toldAt = -Infinity;
  #askedAt = -Infinity;
  /** Pictures that build on one that was not opened would be shown broken. */
  #needsKeyframe = false;

  constructor(id: number) {
    this.#id = id;
  }

  assign(stream: SealedStream | undefined): void {
    this.#opener = undefined;
    this.#opener = stream && openerOf(stream);
    this.#stream = stream;
    this.#failsSince = undefined;
    this.#toldAt = -Infinity;
  }

  has(opener: Opener): boolean {
    return this.#opener === opener;
  }

  readonly step: Step = async (frame) => {
    const opener = this.#opener;
    const opened = await opener?.open(new Uint8Array(frame.data));
    // It was of the stream before.
    if (!opener || opener !== this.#opener || opened === undefined || opened === 'replayed') return undefined;
    const now = performance.now();
    if (typeof opened === 'string') {
      this.#needsKeyframe = frame.type !== undefined;
      this.#failsSince ??= now;
      if (this.#stream && now - this.#failsSince >= FAILS_FOR_MS && now - this.#toldAt >= TELL_EACH_MS) {
        this.#toldAt = now;
        scope.postMessage({ what: 'failed', id: this.#id, stream: this.#stream });
      }
      return undefined;
    }
    this.#failsSince = undefined;
    if (frame.type === 'key') this.#needsKeyframe = false;
    if (!this.#needsKeyframe) return opened;
    if (now - this.#askedAt >= KEYFRAME_EACH_MS) {
      this.#askedAt = now;
      this.askKeyframe();
    }
    return undefined;
  };
}

/** What opens a stream's frames, taken from the receiver that had it. */
function openerOf(stream: SealedStream): Opener {
  const name = [stream.room, stream.userId, stream.kind].join('\0');
  const opener = openers.get(name) ?? new Opener(ring, stream);
  const all = [...receivers.values()];
  for (const receiver of all) if (receiver.has(opener)) receiver.assign(undefined);
  openers.delete(name);
  openers.set(name, opener);
  for (const [oldest, unused] of openers) {
    if (openers.size <= MAX_OPENERS) break;
    if (unused !== opener && !all.some((receiver) => receiver.has(unused))) openers.delete(oldest);
  }
  return opener;
}

/** Whose stream it gets may be said before its frames come here, and after. */
function receiverOf(id: number): Receiver {
  const receiver = receivers.get(id) ?? new Receiver(id);
  receivers.set(id, receiver);
  return receiver;
}

/** A sender's frames, of all its layers. */
function sealing(stream: SealedStream, makeKeyframe: () => unknown): Step {
  const sealer = new Sealer(ring, stream);
  let isFirst = true;
  return async (frame) => {
    const { mimeType, payloadType = -1 } = frame.getMetadata();
    const codec = codecOf(mimeType) ?? codecs.get(payloadType);
    if (!codec) return undefined;
    // Those who have the new key begin with it.
    if (!isFirst && sealer.isNewKey && frame.type === 'delta') makeKeyframe();
    isFirst = false;
    return sealer.seal(codec, new Uint8Array(frame.data));
  };
}

function start(task: Task, readable: ReadableStream<Frame>, writable: WritableStream<Frame>, transformer?: Transformer): void {
  let step: Step;
  if (task.way === 'seal') {
    step = sealing(task.stream, () => transformer?.generateKeyFrame?.().catch(() => undefined));
  } else {
    const receiver = receiverOf(task.id);
    receiver.askKeyframe = () => transformer?.sendKeyFrameRequest?.().catch(() => undefined);
    step = receiver.step;
  }
  const transform = new TransformStream<Frame, Frame>({
    async transform(frame, controller) {
      const made = await step(frame).catch(() => undefined);
      if (!made) return;
      frame.data = made.buffer;
      controller.enqueue(frame);
    },
  });
  readable
    .pipeThrough(transform)
    .pipeTo(writable)
    .catch(() => undefined)
    .finally(() => receivers.delete(task.id));
}

scope.onrtctransform = ({ transformer }) => start(transformer.options, transformer.readable, transformer.writable, transformer);

scope.onmessage = ({ data }) => {
  switch (data.what) {
    case 'key':
      ring.add(data.key, data.isActive);
      break;
    case 'activate':
      ring.activate(data.id);
      break;
    case 'assign':
      receiverOf(data.id).assign(data.stream);
      break;
    case 'codecs':
      for (const [payloadType, name] of data.codecs) {
        const codec = codecOf(name);
        if (codec) codecs.set(payloadType, codec);
      }
      break;
    case 'frames':
      start(data.task, data.readable, data.writable);
      break;
  }
};

scope.postMessage({ what: 'ready' });
