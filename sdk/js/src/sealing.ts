/**
 * Frames that only the members of a room can read: the format, in both directions (`docs/protocol.md`, End-to-end
 * encryption). A sealed frame is
 *
 *     clear bytes | the whole frame, sealed by AES-256-GCM | salt? | counter | key id | form
 *
 * The clear bytes are for those on the way (packetisers, the server). Nothing of them is ever shown: what a member sees
 * comes from the sealed part alone. Save for H.264 they are made so that a decoder without the key refuses the frame.
 */

const LABEL = 'roomful e2ee 1';
const PBKDF2_ROUNDS = 600_000;
const SALT_BYTES = 8;
const TAG_BYTES = 16;
/** Counters of one salt end here; the next frame has another salt. */
const LAST_COUNTER = 0xffff_ffff;

/** Of the form, the last byte. It is never zero, as no NAL unit may end with one. */
const IS_FORM = 0x80;
const HAS_SALT = 0x40;
/** How many clear bytes there are, by the lowest two bits. */
const CLEAR_BYTES = [0, 2, 3, 10] as const;
/** What surrounds the sealed part, in bits 4 and 5. */
const LAYOUT = { bytes: 0, nal: 1, obu: 2 } as const;

/** A slice's header as far as receivers read it: the NAL unit header, and 5 bytes, which have the PPS' number. */
const SLICE_CLEAR_BYTES = 6;

/** A sound names its salt in its first frames and then in each tenth; a picture always. */
const SALTED_AT_FIRST = 50;
const SALTED_EACH = 10;

/** How far back frames may come out of order: layers take turns with counters, and a keyframe may be 1.5 s old. */
const WINDOW = 512;
/** Senders that are over are never heard again; so many of them are kept in mind. */
const MAX_RETIRED = 256;

/** A stream, as those who have the key know it: none of it can be taken for another. */
export interface SealedStream {
  room: string;
  userId: string;
  kind: string;
}

/** A key as it is kept: for deriving others from, and not readable. */
export interface BaseKey {
  id: number;
  base: CryptoKey;
}

/** The keys by which frames are opened, and the one by which they are sealed. */
export class KeyRing {
  readonly #keys = new Map<number, BaseKey>();
  active: BaseKey | undefined;

  add(key: BaseKey, isActive: boolean): void {
    this.#keys.set(key.id, key);
    if (isActive || this.active?.id === key.id) this.active = key;
  }

  /** Seals by a key that is there from now on. */
  activate(id: number): void {
    this.active = this.#keys.get(id) ?? this.active;
  }

  get(id: number): BaseKey | undefined {
    return this.#keys.get(id);
  }
}

const utf8 = (text: string): Uint8Array<ArrayBuffer> => new Uint8Array(new TextEncoder().encode(text));

/** What an app gives, as a key to derive others from: bytes as they are, a passphrase by PBKDF2 for this app and room. */
export async function baseKey(key: string | Uint8Array, sdkAppId: number, room: string): Promise<CryptoKey> {
  const { subtle } = crypto;
  if (typeof key !== 'string') return subtle.importKey('raw', Uint8Array.from(key), 'HKDF', false, ['deriveBits']);
  const phrase = await subtle.importKey('raw', utf8(key), 'PBKDF2', false, ['deriveBits']);
  const salt = utf8([LABEL, sdkAppId, room].join('\0'));
  const bits = await subtle.deriveBits({ name: 'PBKDF2', hash: 'SHA-256', salt, iterations: PBKDF2_ROUNDS }, phrase, 256);
  return subtle.importKey('raw', bits, 'HKDF', false, ['deriveBits']);
}

interface StreamKey {
  key: CryptoKey;
  nonce: Uint8Array;
}

/** The key of one sender's stream from one salt on: so no counter ever comes twice under one key. */
async function streamKey(base: CryptoKey, salt: Uint8Array<ArrayBuffer>, { room, userId, kind }: SealedStream): Promise<StreamKey> {
  const info = utf8([LABEL, room, userId, kind].join('\0'));
  const bits = await crypto.subtle.deriveBits({ name: 'HKDF', hash: 'SHA-256', salt, info }, base, 8 * (32 + 12));
  const key = await crypto.subtle.importKey('raw', bits.slice(0, 32), 'AES-GCM', false, ['encrypt', 'decrypt']);
  return { key, nonce: new Uint8Array(bits.slice(32)) };
}

function gcm(nonce: Uint8Array, counter: number, trailer: Uint8Array<ArrayBuffer>): AesGcmParams {
  const iv = Uint8Array.from(nonce);
  const view = new DataView(iv.buffer);
  view.setUint32(8, (view.getUint32(8) ^ counter) >>> 0);
  return { name: 'AES-GCM', iv, additionalData: trailer, tagLength: 8 * TAG_BYTES };
}

export type Codec = 'opus' | 'vp8' | 'vp9' | 'h264' | 'av1';

/** The codec of a MIME type; `undefined` for those that cannot be sealed. */
export function codecOf(mimeType: string | undefined): Codec | undefined {
  const name = mimeType?.split('/')[1]?.toLowerCase();
  return name === 'opus' || name === 'vp8' || name === 'vp9' || name === 'h264' || name === 'av1' ? name : undefined;
}

interface Clear {
  bytes: Uint8Array;
  layout: number;
  /** Which of `CLEAR_BYTES`. */
  size: number;
}

/** What stays clear of a frame, and makes it undecodable as it is. `undefined` where it is no frame of that codec. */
function clearPart(codec: Codec, frame: Uint8Array): Clear | undefined {
  const first = frame[0];
  if (first === undefined) return undefined;
  const plain = (bytes: number[]): Clear => ({
    bytes: Uint8Array.from(bytes), layout: LAYOUT.bytes, size: CLEAR_BYTES.findIndex((size) => size === bytes.length),
  });
  switch (codec) {
    // As many frames as a second byte says, which are none (RFC 6716 3.2.5): no decoder makes a noise of it.
    case 'opus':
      return plain([first | 3, 0]);
    // The frame tag with an impossible size, and of a keyframe the start code and the picture's size (RFC 6386 9.1).
    case 'vp8': {
      const isKey = (first & 1) === 0 && frame.length >= 10;
      const tag = [first | 0xe0 | (isKey ? 0 : 1), 0xff, 0xff];
      return plain(isKey ? [...tag, ...frame.subarray(3, 10)] : tag);
    }
    // No frame marker.
    case 'vp9':
      return plain([0, 0]);
    // One OBU to the frame's end. Packetisers say of those that begin with a sequence header that a picture can begin there.
    case 'av1':
      return { bytes: Uint8Array.of(startsSequence(frame) ? OBU_SEQUENCE_HEADER : OBU_FRAME), layout: LAYOUT.obu, size: 0 };
    // Parameter sets, and the beginning of the first slice.
    case 'h264': {
      const at = firstSlice(frame);
      if (at < 0) return undefined;
      const bytes = new Uint8Array(at + SLICE_CLEAR_BYTES).fill(0xff);
      // A slice may be shorter than that.
      const next = startCode(frame, at);
      bytes.set(frame.subarray(0, next < 0 ? bytes.length : Math.min(next, bytes.length)));
      return { bytes, layout: LAYOUT.nal, size: 0 };
    }
  }
}

/** Headers of OBUs without a size (AV1 5.3.2): of a sequence header, and of a frame. */
const OBU_SEQUENCE_HEADER = 0x08;
const OBU_FRAME = 0x30;

/** Whether an AV1 frame begins with a sequence header, but for an empty temporal delimiter. */
function startsSequence(frame: Uint8Array): boolean {
  const isOf = (header: number | undefined, type: number) => header !== undefined && ((header >> 3) & 15) === type;
  const at = isOf(frame[0], 2) ? (((frame[0] ?? 0) & 4) === 0 ? 2 : 3) : 0;
  return isOf(frame[at], 1);
}

/** Where the next start code of three bytes is; -1 for none. */
function startCode(frame: Uint8Array, from: number): number {
  for (let at = from; at + 3 < frame.length; at += 1) {
    if (frame[at] === 0 && frame[at + 1] === 0 && frame[at + 2] === 1) return at;
  }
  return -1;
}

/** Where the first slice's NAL unit begins, after its start code; -1 for none. */
function firstSlice(frame: Uint8Array): number {
  for (let at = startCode(frame, 0); at >= 0; at = startCode(frame, at + 3)) {
    const type = (frame[at + 3] ?? 0) & 0x1f;
    if (type === 1 || type === 5) return at + 3;
  }
  return -1;
}

/** Where the last NAL unit begins, after its start code; -1 for none. */
function lastNal(frame: Uint8Array): number {
  let last = -1;
  for (let at = startCode(frame, 0); at >= 0; at = startCode(frame, at + 3)) last = at + 3;
  return last;
}

/** How many zeros `bytes` end with, as far as it matters. */
function zerosAtEnd(bytes: Uint8Array): number {
  if (bytes[bytes.length - 1] !== 0) return 0;
  return bytes[bytes.length - 2] === 0 ? 2 : 1;
}

/** Puts in what keeps start codes from appearing (ITU-T H.264 7.4.1), after so many `zeros`. */
export function escapeNal(bytes: Uint8Array, zeros: number): Uint8Array<ArrayBuffer> {
  const escaped = new Uint8Array(bytes.length + (bytes.length >> 1) + 1);
  let length = 0;
  for (const byte of bytes) {
    if (zeros >= 2 && byte <= 3) {
      escaped[length++] = 3;
      zeros = 0;
    }
    escaped[length++] = byte;
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return escaped.slice(0, length);
}

export function unescapeNal(bytes: Uint8Array, zeros: number): Uint8Array<ArrayBuffer> {
  const plain = new Uint8Array(bytes.length);
  let length = 0;
  for (const byte of bytes) {
    if (zeros >= 2 && byte === 3) {
      zeros = 0;
      continue;
    }
    plain[length++] = byte;
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return plain.slice(0, length);
}

function joined(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Seals the frames of one stream, in all its layers. */
export class Sealer {
  readonly #ring: KeyRing;
  readonly #stream: SealedStream;
  readonly #newSalt: () => Uint8Array<ArrayBuffer>;
  #current: (StreamKey & { from: BaseKey; salt: Uint8Array<ArrayBuffer> }) | undefined;
  #counter = 0;

  constructor(ring: KeyRing, stream: SealedStream, newSalt = () => crypto.getRandomValues(new Uint8Array(SALT_BYTES))) {
    this.#ring = ring;
    this.#stream = stream;
    this.#newSalt = newSalt;
  }

  /** Whether the next frame is sealed by another key than the last one: what follows is to begin with a keyframe. */
  get isNewKey(): boolean {
    return this.#ring.active !== undefined && this.#current?.from !== this.#ring.active;
  }

  /** The sealed frame; `undefined` where it cannot be sealed, and so must not leave. One at a time. */
  async seal(codec: Codec, frame: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const from = this.#ring.active;
    const clear = clearPart(codec, frame);
    if (!from || !clear) return undefined;
    if (this.#current?.from !== from || this.#counter > LAST_COUNTER) {
      const salt = this.#newSalt();
      this.#current = { ...(await streamKey(from.base, salt, this.#stream)), from, salt };
      this.#counter = 0;
    }
    const { key, nonce, salt } = this.#current;
    const counter = this.#counter;
    this.#counter += 1;
    const isSalted = codec !== 'opus' || counter < SALTED_AT_FIRST || counter % SALTED_EACH === 0;
    const digits = [24, 16, 8, 0].map((shift) => (counter >>> shift) & 0xff);
    const length = counter > 0xff_ffff ? 4 : counter > 0xffff ? 3 : counter > 0xff ? 2 : 1;
    const form = IS_FORM | (isSalted ? HAS_SALT : 0) | (clear.layout << 4) | ((length - 1) << 2) | clear.size;
    const trailer = joined(isSalted ? salt : new Uint8Array(), Uint8Array.of(...digits.slice(4 - length), from.id, form));
    const sealed = await crypto.subtle.encrypt(gcm(nonce, counter, trailer), key, frame);
    const tail = joined(new Uint8Array(sealed), trailer);
    return joined(clear.bytes, clear.layout === LAYOUT.nal ? escapeNal(tail, zerosAtEnd(clear.bytes)) : tail);
  }
}

/** Why a frame was not opened: `key` is missing, it is not what it says it is or no sealed frame at all, or it was there before. */
export type Refused = 'key' | 'broken' | 'replayed';

interface Sender extends StreamKey {
  from: BaseKey;
  /** The key's id and the salt. */
  name: string;
  highest: number;
  seen: Set<number>;
}

/** Opens the frames of one stream. */
export class Opener {
  readonly #ring: KeyRing;
  readonly #stream: SealedStream;
  readonly #mayRepeat: boolean;
  #current: Sender | undefined;
  readonly #retired = new Set<string>();

  /** Of a picture frames may come again, as far as they are new: a viewer that changes layers may be sent them twice. */
  constructor(ring: KeyRing, stream: SealedStream) {
    this.#ring = ring;
    this.#stream = stream;
    this.#mayRepeat = stream.kind !== 'audio';
  }

  /** The frame as it was, or why there is none. One at a time. */
  async open(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer> | Refused> {
    const form = bytes[bytes.length - 1] ?? 0;
    if ((form & IS_FORM) === 0) return 'broken';
    const tail = tailOf(bytes, form);
    const [counterBytes, saltBytes] = [((form >> 2) & 3) + 1, (form & HAS_SALT) === 0 ? 0 : SALT_BYTES];
    const trailerAt = (tail?.length ?? 0) - saltBytes - counterBytes - 2;
    if (!tail || trailerAt < TAG_BYTES) return 'broken';
    const trailer = tail.slice(trailerAt);
    const id = trailer[trailer.length - 2] ?? 0;
    const digits = trailer.subarray(saltBytes, saltBytes + counterBytes);
    const counter = digits.reduce((value, digit) => value * 256 + digit, 0);
    const from = this.#ring.get(id);
    if (!from) return 'key';
    const sender = await this.#sender(from, trailer.slice(0, saltBytes));
    if (!sender) return 'broken';
    if (this.#retired.has(sender.name) || counter + WINDOW <= sender.highest) return 'replayed';
    if (!this.#mayRepeat && sender.seen.has(counter)) return 'replayed';
    let frame;
    try {
      frame = await crypto.subtle.decrypt(gcm(sender.nonce, counter, trailer), sender.key, tail.slice(0, trailerAt));
    } catch {
      return 'broken';
    }
    this.#note(sender, counter);
    return new Uint8Array(frame);
  }

  /** Who sealed a frame: whom its salt names, or the last one. */
  async #sender(from: BaseKey, salt: Uint8Array<ArrayBuffer>): Promise<Sender | undefined> {
    const current = this.#current?.from === from ? this.#current : undefined;
    if (salt.length === 0) return current;
    const name = [from.id, ...salt].join();
    if (current?.name === name) return current;
    return { ...(await streamKey(from.base, salt, this.#stream)), from, name, highest: 0, seen: new Set() };
  }

  #note(sender: Sender, counter: number): void {
    // Salts are never taken up again, so what comes with an earlier one is a recording.
    if (this.#current && this.#current.name !== sender.name) this.#retired.add(this.#current.name);
    if (this.#retired.size > MAX_RETIRED) for (const oldest of this.#retired) {
      this.#retired.delete(oldest);
      break;
    }
    this.#current = sender;
    sender.highest = Math.max(sender.highest, counter);
    if (this.#mayRepeat) return;
    sender.seen.add(counter);
    if (sender.seen.size <= 2 * WINDOW) return;
    for (const old of sender.seen) if (old + WINDOW <= sender.highest) sender.seen.delete(old);
  }
}

/** What follows the clear bytes, as it was before it was fitted into the codec's units. */
function tailOf(bytes: Uint8Array<ArrayBuffer>, form: number): Uint8Array<ArrayBuffer> | undefined {
  switch ((form >> 4) & 3) {
    case LAYOUT.bytes:
      return bytes.slice(CLEAR_BYTES[form & 3]);
    case LAYOUT.nal: {
      const at = lastNal(bytes);
      if (at < 0) return undefined;
      const clear = bytes.subarray(at, at + SLICE_CLEAR_BYTES);
      return unescapeNal(bytes.subarray(at + SLICE_CLEAR_BYTES), zerosAtEnd(clear));
    }
    case LAYOUT.obu: {
      // Receivers put the OBU's size in (AV1 5.3.2): a header, perhaps an extension, and seven bits a byte.
      const header = bytes[0] ?? 0;
      let at = (header & 4) === 0 ? 1 : 2;
      if ((header & 2) !== 0) {
        while (((bytes[at] ?? 0) & 0x80) !== 0) at += 1;
        at += 1;
      }
      return bytes.slice(at);
    }
    default:
      return undefined;
  }
}
