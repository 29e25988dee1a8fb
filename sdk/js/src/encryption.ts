/**
 * End-to-end encryption in one room. With its worker it is a chunk of its own, loaded when it is switched on: it has nothing in common
 * with the client, which would come with it a second time to pages without modules.
 */
import type { EncryptionKey } from './keys.js';
import type { StreamKind } from './peer.js';
import { type SealedStream, baseKey } from './sealing.js';
import type { FromWorker, Task, ToWorker } from './sealing.worker.js';
import SealingWorker from './sealing.worker.ts?worker&inline';

/** A worker that has not started by then is not allowed to. */
const START_WITHIN_MS = 10_000;

/** Is told whose frames could not be opened: its receiver may have been given another stream meanwhile. */
type OnFailed = (stream: SealedStream) => void;

type WithStreams = (RTCRtpSender | RTCRtpReceiver) & {
  createEncodedStreams?: () => { readable: ReadableStream; writable: WritableStream };
};

/** Frames come to the worker by a transform of each sender and receiver, or else by Chromium's way before that. */
const isByTransform = (): boolean => typeof RTCRtpScriptTransform !== 'undefined';

function isSame(one: string | Uint8Array | undefined, other: string | Uint8Array): boolean {
  if (typeof one !== 'object' || typeof other !== 'object') return one === other;
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

/** What this browser cannot do, as the client says such things. */
type Refuse = (message: string) => Error;

const NO_WORKER = "the worker that encrypts did not start: a Content Security Policy has to allow 'worker-src blob:', and scripts without trusted types";

/** For whom, and where, something is encrypted. */
export interface EncryptionConfig {
  sdkAppId: number;
  room: string;
  userId: string;
  keys: Iterable<EncryptionKey>;
  refuse: Refuse;
}

/** End-to-end encryption of what one sends and gets in one room. */
export class Encryption {
  readonly #config: EncryptionConfig;
  readonly #worker: Worker;
  readonly #onFailed = new Map<number, OnFailed>();
  /** Keys reach the worker in the order they were given, also one that takes long to derive. */
  #lastKey: Promise<unknown> = Promise.resolve();
  /** By their ids, as the page gave them. */
  readonly #keys = new Map<number, string | Uint8Array>();
  #lastId = 0;

  private constructor(config: EncryptionConfig) {
    this.#config = config;
    try {
      this.#worker = new SealingWorker();
    } catch {
      // Where a page's policy wants trusted types, it says no at once.
      throw config.refuse(NO_WORKER);
    }
  }

  #begin(): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = () => reject(this.#config.refuse(NO_WORKER));
      const timer = setTimeout(fail, START_WITHIN_MS);
      this.#worker.onerror = fail;
      this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
        if (data.what === 'failed') this.#onFailed.get(data.id)?.(data.stream);
        else {
          clearTimeout(timer);
          resolve();
        }
      };
    });
  }

  /** Resolves when its keys are ready, before the first frame. */
  static async start(config: EncryptionConfig): Promise<Encryption> {
    const encryption = new Encryption(config);
    try {
      await encryption.#begin();
      for (const key of config.keys) await encryption.addKey(key);
    } catch (error) {
      encryption.close();
      throw error;
    }
    return encryption;
  }

  addKey(key: EncryptionKey): Promise<void> {
    const added = this.#lastKey.then(() => this.#take(key));
    this.#lastKey = added.catch(() => undefined);
    return added;
  }

  async #take({ key, keyId = 0, publish = true }: EncryptionKey): Promise<void> {
    // Whoever is heard by it already goes on to be, also in sounds that do not name their salt.
    if (isSame(this.#keys.get(keyId), key)) {
      if (publish) this.#tell({ what: 'activate', id: keyId });
      return;
    }
    const base = await baseKey(key, this.#config.sdkAppId, this.#config.room);
    this.#tell({ what: 'key', key: { id: keyId, base }, isActive: publish });
    this.#keys.set(keyId, key);
  }

  /** What connections are made with. */
  get configuration(): RTCConfiguration {
    return isByTransform() ? {} : ({ encodedInsertableStreams: true } as RTCConfiguration);
  }

  /** Seals what a sender sends from now on. */
  seal(sender: RTCRtpSender, kind: StreamKind): void {
    this.#attach(sender, { id: (this.#lastId += 1), way: 'seal', stream: this.#streamOf(this.#config.userId, kind) });
  }

  /** Opens what a receiver gets from now on, once it is said whose that is. Returns its number. */
  open(receiver: RTCRtpReceiver, onFailed: OnFailed): number {
    const id = (this.#lastId += 1);
    this.#onFailed.set(id, onFailed);
    this.#attach(receiver, { id, way: 'open' });
    return id;
  }

  /** The receivers of a connection that is over. */
  forget(ids: (number | undefined)[]): void {
    for (const id of ids) if (id !== undefined) this.#onFailed.delete(id);
  }

  /** A receiver gets a member's stream from now on, or none. */
  assign(id: number, stream: { userId: string; kind: StreamKind } | undefined): void {
    this.#tell({ what: 'assign', id, stream: stream && this.#streamOf(stream.userId, stream.kind) });
  }

  /** The codecs of an offer, for browsers that do not tell them with the frames. */
  takeCodecs(offer: string): void {
    const codecs = [...offer.matchAll(/^a=rtpmap:(\d+) ([\w-]+)\//gm)].map(([, type, name]): [number, string] => [Number(type), `x/${name}`]);
    this.#tell({ what: 'codecs', codecs });
  }

  close(): void {
    this.#worker.terminate();
  }

  #streamOf(userId: string, kind: StreamKind): SealedStream {
    return { room: this.#config.room, userId, kind };
  }

  #attach(end: WithStreams, task: Task): void {
    if (isByTransform()) {
      end.transform = new RTCRtpScriptTransform(this.#worker, task);
      return;
    }
    const { readable, writable } = end.createEncodedStreams?.() ?? {};
    if (!readable || !writable) throw this.#config.refuse('this browser does not give frames away');
    this.#worker.postMessage({ what: 'frames', task, readable, writable } satisfies ToWorker, [readable, writable]);
  }

  #tell(message: ToWorker): void {
    this.#worker.postMessage(message);
  }
}
