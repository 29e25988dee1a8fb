import { ERROR_CODE, RtcError } from './errors.js';
import type { StreamKind } from './peer.js';
import { type SealedStream, baseKey } from './sealing.js';
import type { FromWorker, Task, ToWorker } from './sealing.worker.js';
import SealingWorker from './sealing.worker.ts?worker&inline';
import { Turns } from './turns.js';

/** A key of end-to-end encryption, as a page gives it. */
export interface EncryptionKey {
  /** At least 16 random bytes, or a passphrase. All who are to see and hear each other have the same. */
  key: string | Uint8Array;
  /** Tells keys apart that are in use one after the other, 0 to 255; 0 unless given. */
  keyId?: number;
  /** `false`: the key opens what others send, but nothing is sealed by it yet; on unless given. */
  publish?: boolean;
}

export const MIN_KEY_BYTES = 16;

/** The key that is sealed by: of those that are, the one given last. */
export function sealedBy(keys: Iterable<EncryptionKey>): EncryptionKey | undefined {
  return [...keys].filter(({ publish }) => publish !== false).at(-1);
}

/** A worker that has not started by then is not allowed to. */
const START_WITHIN_MS = 10_000;

/** How frames come to the worker: by a transform of each sender and receiver, or by Chromium's way before that. */
type Way = 'transform' | 'streams' | undefined;

/** Is told whose frames could not be opened: its receiver may have been given another stream meanwhile. */
type OnFailed = (stream: SealedStream) => void;

type WithStreams = (RTCRtpSender | RTCRtpReceiver) & {
  createEncodedStreams?: () => { readable: ReadableStream; writable: WritableStream };
};

function way(): Way {
  if (typeof RTCRtpScriptTransform !== 'undefined') return 'transform';
  if (typeof RTCRtpSender !== 'undefined' && 'createEncodedStreams' in RTCRtpSender.prototype) return 'streams';
  return undefined;
}

/** Whether this browser can seal and open frames. */
export function canEncrypt(): boolean {
  return way() !== undefined && typeof Worker !== 'undefined' && globalThis.crypto?.subtle !== undefined;
}

function isSame(one: string | Uint8Array | undefined, other: string | Uint8Array): boolean {
  if (typeof one !== 'object' || typeof other !== 'object') return one === other;
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

function noWorker(): RtcError {
  const message = "the worker that encrypts did not start: a Content Security Policy has to allow 'worker-src blob:', and scripts without trusted types";
  return new RtcError({ code: ERROR_CODE.ENV_NOT_SUPPORTED, message });
}

/** End-to-end encryption of what one sends and gets in one room. */
export class Encryption {
  readonly #sdkAppId: number;
  readonly #room: string;
  readonly #userId: string;
  readonly #worker: Worker;
  readonly #onFailed = new Map<number, OnFailed>();
  /** Keys reach the worker in the order they were given, also one that takes long to derive. */
  readonly #turns = new Turns();
  /** By their ids, as the page gave them. */
  readonly #keys = new Map<number, string | Uint8Array>();
  #lastId = 0;

  private constructor(sdkAppId: number, room: string, userId: string) {
    this.#sdkAppId = sdkAppId;
    this.#room = room;
    this.#userId = userId;
    try {
      this.#worker = new SealingWorker();
    } catch {
      // Where a page's policy wants trusted types, it says no at once.
      throw noWorker();
    }
  }

  #begin(): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = () => reject(noWorker());
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
  static async start(sdkAppId: number, room: string, userId: string, keys: Iterable<EncryptionKey>): Promise<Encryption> {
    const encryption = new Encryption(sdkAppId, room, userId);
    try {
      await encryption.#begin();
      for (const key of keys) await encryption.addKey(key);
    } catch (error) {
      encryption.close();
      throw error;
    }
    return encryption;
  }

  addKey({ key, keyId = 0, publish = true }: EncryptionKey): Promise<void> {
    return this.#turns.take(async () => {
      // Whoever is heard by it already goes on to be, also in sounds that do not name their salt.
      if (isSame(this.#keys.get(keyId), key)) {
        if (publish) this.#tell({ what: 'activate', id: keyId });
        return;
      }
      const base = await baseKey(key, this.#sdkAppId, this.#room);
      this.#tell({ what: 'key', key: { id: keyId, base }, isActive: publish });
      this.#keys.set(keyId, key);
    });
  }

  /** What connections are made with. */
  get configuration(): RTCConfiguration {
    return way() === 'streams' ? ({ encodedInsertableStreams: true } as RTCConfiguration) : {};
  }

  /** Seals what a sender sends from now on. */
  seal(sender: RTCRtpSender, kind: StreamKind): void {
    this.#attach(sender, { id: (this.#lastId += 1), way: 'seal', stream: this.#streamOf(this.#userId, kind) });
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
    return { room: this.#room, userId, kind };
  }

  #attach(end: WithStreams, task: Task): void {
    if (way() === 'transform') {
      end.transform = new RTCRtpScriptTransform(this.#worker, task);
      return;
    }
    const { readable, writable } = end.createEncodedStreams?.() ?? {};
    if (!readable || !writable) throw new RtcError({ code: ERROR_CODE.ENV_NOT_SUPPORTED, message: 'this browser does not give frames away' });
    this.#worker.postMessage({ what: 'frames', task, readable, writable } satisfies ToWorker, [readable, writable]);
  }

  #tell(message: ToWorker): void {
    this.#worker.postMessage(message);
  }
}
