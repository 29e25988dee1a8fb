import { beforeEach, describe, expect, test, vi } from 'vitest';
import { type Codec, KeyRing, Opener, type SealedStream, Sealer, baseKey, codecOf, escapeNal, unescapeNal } from '../src/sealing.js';

const bytes = (hex: string) => Uint8Array.from(hex.replaceAll(' ', '').match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
const hex = (value: unknown) =>
  value instanceof Uint8Array ? Array.from(value, (byte) => byte.toString(16).padStart(2, '0')).join('') : value;

const RAW = Uint8Array.from({ length: 32 }, (_, at) => at);
const SALT = () => Uint8Array.from({ length: 8 }, (_, at) => at);
const AUDIO: SealedStream = { room: 'r1', userId: 'ann', kind: 'audio' };
const MAIN: SealedStream = { room: 'r1', userId: 'ann', kind: 'main' };

/** A frame of each codec, as browsers' encoders make them; the H.264 one has zeros where its clear part ends. */
const FRAMES: [Codec, string][] = [
  ['opus', 'fc0102030405'],
  ['vp8', '5000009d012a800268010102030405'],
  ['vp8', '31020009080706'],
  ['vp9', '824983420013f0'],
  ['av1', '12000a0a00000024c4ffdf3fa80832040102030405'],
  ['h264', '0000000167420001 00000168ce3c80 0000000165888040000003000102030405'],
];

async function ring(key: string | Uint8Array = RAW, id = 0): Promise<KeyRing> {
  const made = new KeyRing();
  made.add({ id, base: await baseKey(key, 1_400_000_001, 'r1') }, true);
  return made;
}

/** Seals as the `counter`th frame since a known salt. */
async function sealedAt(counter: number, codec: Codec, frame: string, keys: KeyRing): Promise<Uint8Array<ArrayBuffer>> {
  const sealer = new Sealer(keys, codec === 'opus' ? AUDIO : MAIN, SALT);
  for (let before = 0; before < counter; before += 1) await sealer.seal(codec, bytes(frame));
  const sealed = await sealer.seal(codec, bytes(frame));
  if (!sealed) throw new Error('it was not sealed');
  return sealed;
}

describe('a sealed frame', () => {
  // Made by another program from the document.
  test.each<[Codec, number, number, string, string]>([
    ['opus', 0, 0, 'fc0102030405', 'ff00b34ccc669d985be1b666306b12147bc5e42d6042113600010203040506070000c1'],
    ['opus', 51, 0, 'fc0102030405', 'ff0017d8db2fb2ce478f9233b66e3b0c2ecce7d256059e58330081'],
    ['vp8', 300, 7, '5000009d012a800268010102030405', 'f0ffff9d012a80026801fa66c8a37b1bd06fad314479ff78c6013ec952fe1753b52b59e4705e06d0b50001020304050607012c07c7'],
    ['vp8', 1, 7, '31020009080706', 'f1ffffccd85caa3be3c9a82e22f98bbbe2326e6e178fc12bd19b00010203040506070107c2'],
    ['vp9', 1, 7, '824983420013f0', '00007f93dfe133f73f7a0022ad6dec8f806cc0f36ac2839d2f00010203040506070107c1'],
    ['av1', 1, 7, '12000a0a00000024c4ffdf3fa80832040102030405', '08efda56a933e4cfdc321202bf1dd41614e3bfffb229a8c9643b13f244eeb76bd46aa04d920d00010203040506070107e0'],
    ['av1', 1, 7, '120032040102030405', '30efda6ea732e6ccfcf36ce833757fb8145850c5d8a30923608200010203040506070107e0'],
    ['h264', 0, 0, '000000016742000100000168ce3c800000000165888040000003000102030405',
      '000000016742000100000168ce3c800000000165888040000005f6b055781259a5994a96fcda5c01472b6860916b45eb872ea6a05a38047282f03776c3d33a27a52ac2aeab38b9c5c800010203040506070000d0'],
  ])('of %s is what the document says, as number %i by key %i', async (codec, counter, id, frame, wanted) => {
    expect(hex(await sealedAt(counter, codec, frame, await ring(RAW, id)))).toBe(wanted);
  });

  test('by a passphrase is what the document says', async () => {
    const sealed = await sealedAt(0, 'opus', 'fc0102030405', await ring('correct horse'));

    expect(hex(sealed)).toBe('ff009d14002ff6e28fd2313dce0e79d350a26f4c5be0099500010203040506070000c1');
  });

  test.each(FRAMES)('of %s (%s) is opened by the same key, and by no other', async (codec, frame) => {
    const stream = codec === 'opus' ? AUDIO : MAIN;
    const sealed = await sealedAt(3, codec, frame, await ring());
    const open = async (keys: KeyRing, of: SealedStream, what = sealed) => hex(await new Opener(keys, of).open(what));

    expect(await open(await ring(), stream)).toBe(frame.replaceAll(' ', ''));
    expect(await open(await ring(Uint8Array.from(RAW, (byte) => byte ^ 1)), stream)).toBe('broken');
    expect(await open(await ring(RAW, 1), stream)).toBe('key');
    // Nor is it another's, or another stream's.
    expect(await open(await ring(), { ...stream, userId: 'ben' })).toBe('broken');
    expect(await open(await ring(), { ...stream, kind: 'sub' })).toBe('broken');
    expect(await open(await ring(), { ...stream, room: 'r2' })).toBe('broken');
  });

  test.each(FRAMES)('of %s (%s) is refused when a bit of it is another, save for the clear ones', async (codec, frame) => {
    const sealed = await sealedAt(3, codec, frame, await ring());
    const clear = { opus: 2, vp8: frame.startsWith('50') ? 10 : 3, vp9: 2, av1: 1, h264: 25 }[codec];

    for (let at = clear; at < sealed.length; at += 1) {
      const damaged = Uint8Array.from(sealed, (byte, place) => (place === at ? byte ^ 0x10 : byte));
      const opened = await new Opener(await ring(), codec === 'opus' ? AUDIO : MAIN).open(damaged);
      expect(typeof opened, `byte ${at}`).toBe('string');
    }
  });

  test('is another each time', async () => {
    const sealer = new Sealer(await ring(), AUDIO);
    const other = new Sealer(await ring(), AUDIO);
    const made = await Promise.all([sealer, other].map((one) => one.seal('opus', bytes('fc0102030405'))));

    expect(new Set([...made, await sealer.seal('opus', bytes('fc0102030405'))].map(hex)).size).toBe(3);
  });

  test('is not made of what is no frame of its codec', async () => {
    const sealer = new Sealer(await ring(), MAIN);

    expect(await sealer.seal('h264', bytes('0000000167420001'))).toBe(undefined);
    expect(await sealer.seal('vp8', new Uint8Array())).toBe(undefined);
    expect(await new Sealer(new KeyRing(), MAIN).seal('vp8', bytes('31020009080706'))).toBe(undefined);
  });
});

describe('H.264 units', () => {
  test('have no start code in them once escaped, and are what they were', () => {
    let state = 7;
    for (let round = 0; round < 2_000; round += 1) {
      const unit = Uint8Array.from({ length: round % 40 }, () => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        return (state >>> 28) % 5;
      });
      const zeros = round % 3;
      const escaped = escapeNal(unit, zeros);

      expect(hex(Uint8Array.of(...Array(zeros).fill(0), ...escaped))).not.toMatch(/^(..)*0000(00|01|02)/);
      expect(hex(unescapeNal(escaped, zeros))).toBe(hex(unit));
    }
  });

  test('come back as they were after receivers have set their start codes and parameter sets anew', async () => {
    const frame = FRAMES[5]?.[1] ?? '';
    const sealed = hex(await sealedAt(0, 'h264', frame, await ring())) as string;
    const received = bytes(sealed.replace('0000000167420001', '0000000167420001ff').replace('00000168', '0000000168'));

    expect(hex(await new Opener(await ring(), MAIN).open(received))).toBe(frame.replaceAll(' ', ''));
  });

  test('may be shorter than what stays clear, and several', async () => {
    for (const frame of ['00000001419a', '00000001419a02 00000001410002', '000001 65b8 000001 65b804000003000001']) {
      const sealed = await sealedAt(0, 'h264', frame, await ring());

      expect(hex(sealed)).toMatch(/^(000000)?01?/);
      expect(hex(await new Opener(await ring(), MAIN).open(sealed)), frame).toBe(frame.replaceAll(' ', ''));
    }
  });
});

test('an AV1 unit comes back after receivers have put its size in', async () => {
  const sealed = await sealedAt(0, 'av1', FRAMES[4]?.[1] ?? '', await ring());
  const received = Uint8Array.of(0x0a, 0x80 | (sealed.length - 1), 0, ...sealed.subarray(1));

  expect(hex(await new Opener(await ring(), MAIN).open(received))).toBe(FRAMES[4]?.[1]);
});

describe('what comes again', () => {
  const sealMany = async (sealer: Sealer, count: number) => {
    const all: Uint8Array<ArrayBuffer>[] = [];
    for (let at = 0; at < count; at += 1) all.push((await sealer.seal('opus', bytes('fc01'))) as Uint8Array<ArrayBuffer>);
    return all;
  };

  test('of a sound is opened once, in whatever order', async () => {
    const opener = new Opener(await ring(), AUDIO);
    const frames = await sealMany(new Sealer(await ring(), AUDIO), 700);
    const open = async (at: number) => hex(await opener.open(frames[at] as Uint8Array<ArrayBuffer>));

    expect([await open(0), await open(2), await open(1), await open(1), await open(2)]).toEqual(['fc01', 'fc01', 'fc01', 'replayed', 'replayed']);
    expect([await open(699), await open(3), await open(400)]).toEqual(['fc01', 'replayed', 'fc01']);
  });

  test('of a picture may be opened again while it is new', async () => {
    const opener = new Opener(await ring(), MAIN);
    const sealer = new Sealer(await ring(), MAIN);
    const first = (await sealer.seal('vp9', bytes('82'))) as Uint8Array<ArrayBuffer>;
    let last = first;
    for (let at = 0; at < 600; at += 1) last = (await sealer.seal('vp9', bytes('82'))) as Uint8Array<ArrayBuffer>;

    expect([hex(await opener.open(first)), hex(await opener.open(first))]).toEqual(['82', '82']);
    expect([hex(await opener.open(last)), hex(await opener.open(first))]).toEqual(['82', 'replayed']);
  });

  test('of an earlier sender is refused once there is a later one', async () => {
    const opener = new Opener(await ring(), AUDIO);
    const [before] = await sealMany(new Sealer(await ring(), AUDIO), 1);
    const [after] = await sealMany(new Sealer(await ring(), AUDIO), 1);
    const open = async (frame: unknown) => hex(await opener.open(frame as Uint8Array<ArrayBuffer>));

    expect([await open(before), await open(after), await open(before)]).toEqual(['fc01', 'fc01', 'replayed']);
  });
});

describe('keys', () => {
  test('are exchanged while frames flow', async () => {
    const [sending, receiving] = [await ring(), await ring()];
    const [sealer, opener] = [new Sealer(sending, AUDIO), new Opener(receiving, AUDIO)];
    const through = async () => hex(await opener.open((await sealer.seal('opus', bytes('fc01'))) as Uint8Array<ArrayBuffer>));
    const next = { id: 1, base: await baseKey('next', 1_400_000_001, 'r1') };

    expect([await through(), sealer.isNewKey]).toEqual(['fc01', false]);
    sending.add(next, true);
    expect([sealer.isNewKey, await through(), sealer.isNewKey]).toEqual([true, 'key', false]);
    receiving.add(next, false);
    expect(await through()).toBe('fc01');
    expect(receiving.active?.id).toBe(0);
  });

  test('that were wrong are put right under the same id', async () => {
    const receiving = await ring('mistyped');
    const opener = new Opener(receiving, AUDIO);
    const sealer = new Sealer(await ring('right'), AUDIO);
    const through = async () => hex(await opener.open((await sealer.seal('opus', bytes('fc01'))) as Uint8Array<ArrayBuffer>));

    expect(await through()).toBe('broken');
    receiving.add({ id: 0, base: await baseKey('right', 1_400_000_001, 'r1') }, true);
    expect(await through()).toBe('fc01');
  });

  test('of a stream are another for each app, room and salt', async () => {
    const sealed = async (key: string | Uint8Array, app: number, room: string) => {
      const keys = new KeyRing();
      keys.add({ id: 0, base: await baseKey(key, app, room) }, true);
      return hex(await new Sealer(keys, { ...AUDIO, room }, SALT).seal('opus', bytes('fc01')));
    };
    const all = [await sealed('a', 1, 'r1'), await sealed('a', 2, 'r1'), await sealed('a', 1, 'r2'), await sealed(RAW, 1, 'r1'), await sealed(RAW, 1, 'r2')];

    expect(new Set(all).size).toBe(5);
  });
});

test('plain frames of any codec are never taken for sealed ones', async () => {
  const opener = new Opener(await ring(), MAIN);

  for (const [, frame] of FRAMES) expect(typeof (await opener.open(bytes(frame)))).toBe('string');
  for (let round = 0; round < 500; round += 1) {
    const any = crypto.getRandomValues(new Uint8Array(round % 70));
    if (any.length > 0) any[any.length - 1] = (any[any.length - 1] ?? 0) | 0x80;
    expect(typeof (await opener.open(any))).toBe('string');
  }
});

test('codecs are known by their names', () => {
  expect(['audio/opus', 'video/VP8', 'video/H264', 'video/AV1', 'video/VP9', 'audio/red', 'video/H265', undefined].map(codecOf))
    .toEqual(['opus', 'vp8', 'h264', 'av1', 'vp9', undefined, undefined, undefined]);
});

describe('the worker', () => {
  interface Frame { data: ArrayBuffer; type?: string; getMetadata(): { mimeType: string } }
  type Message = Record<string, unknown>;
  let scope: { onmessage: (event: { data: Message }) => void; onrtctransform: (event: { transformer: Message }) => void };
  const told: Message[] = [];
  const asked: string[] = [];

  beforeEach(async () => {
    vi.resetModules();
    told.length = 0;
    asked.length = 0;
    vi.stubGlobal('postMessage', (message: Message) => told.push(message));
    await import('../src/sealing.worker.js');
    expect(told.splice(0)).toEqual([{ what: 'ready' }]);
    scope = globalThis as unknown as typeof scope;
  });

  /** What comes out of a transform when frames go in. */
  function transformer(options: Message, ms = 500): (frame: string, type?: string) => Promise<string | undefined> {
    const [into, out] = [new TransformStream<Frame, Frame>(), new TransformStream<Frame, Frame>()];
    scope.onrtctransform({ transformer: {
      readable: into.readable, writable: out.writable, options,
      sendKeyFrameRequest: async () => asked.push('receiver'), generateKeyFrame: async () => asked.push('sender'),
    } });
    const [writer, reader] = [into.writable.getWriter(), out.readable.getReader()];
    let next = reader.read();
    return async (frame, type) => {
      void writer.write({ data: bytes(frame).buffer, getMetadata: () => ({ mimeType: type ? 'video/VP9' : 'audio/opus' }), ...(type ? { type } : {}) });
      const late = new Promise<undefined>((resolve) => setTimeout(resolve, ms));
      const got = await Promise.race([next, late]);
      if (!got) return undefined;
      next = reader.read();
      return hex(new Uint8Array(got.value?.data ?? new ArrayBuffer())) as string;
    };
  }

  const give = async (key: string | Uint8Array, id = 0, isActive = true) =>
    scope.onmessage({ data: { what: 'key', key: { id, base: await baseKey(key, 1, 'r1') }, isActive } });

  test('lets nothing through as it is: neither without a key nor of what is not sealed', async () => {
    const [seal, open] = [transformer({ id: 1, way: 'seal', stream: MAIN }), transformer({ id: 2, way: 'open' })];

    expect(await seal('82aa', 'key')).toBe(undefined);
    expect(await open('82aa', 'key')).toBe(undefined);
    await give(RAW);
    scope.onmessage({ data: { what: 'assign', id: 2, stream: MAIN } });
    expect(await open('82aa', 'key')).toBe(undefined);
    expect(await open('82aaff', 'delta')).toBe(undefined);
    const sealed = (await seal('82aa', 'key')) ?? '';
    expect(sealed).not.toContain('82aa');
    expect(await open(sealed, 'key')).toBe('82aa');
    scope.onmessage({ data: { what: 'assign', id: 2, stream: { ...MAIN, userId: 'ben' } } });
    expect(await open(sealed, 'key')).toBe(undefined);
  });

  test('begins with a keyframe after what could not be opened, and after another key', async () => {
    scope.onmessage({ data: { what: 'assign', id: 2, stream: MAIN } });
    const [seal, open] = [transformer({ id: 1, way: 'seal', stream: MAIN }), transformer({ id: 2, way: 'open' })];
    await give(RAW);
    expect(await open((await seal('8201', 'key')) ?? '', 'key')).toBe('8201');
    await open('ffff', 'delta');

    expect(await open((await seal('8602', 'delta')) ?? '', 'delta')).toBe(undefined);
    expect(asked).toEqual(['receiver']);
    expect(await open((await seal('8203', 'key')) ?? '', 'key')).toBe('8203');
    expect(await open((await seal('8604', 'delta')) ?? '', 'delta')).toBe('8604');
    await give('another', 1);
    expect(await open((await seal('8605', 'delta')) ?? '', 'delta')).toBe('8605');
    expect(asked).toEqual(['receiver', 'sender']);
  });

  test('goes on with a key that is only sealed by from now on, also in sounds without a salt', async () => {
    scope.onmessage({ data: { what: 'assign', id: 2, stream: AUDIO } });
    const [seal, open] = [transformer({ id: 1, way: 'seal', stream: AUDIO }), transformer({ id: 2, way: 'open' })];
    await give(RAW, 0);
    await give('next', 1, false);
    const others = new KeyRing();
    others.add({ id: 1, base: await baseKey('next', 1, 'r1') }, true);
    const sealer = new Sealer(others, AUDIO);
    const other = async () => hex(await sealer.seal('opus', bytes('fc01'))) as string;
    const id = (sealed: string | undefined) => sealed?.slice(-4, -2);
    for (let at = 0; at < 52; at += 1) expect(await open(await other())).toBe('fc01');
    expect(id(await seal('fc01'))).toBe('00');

    scope.onmessage({ data: { what: 'activate', id: 1 } });
    expect(id(await seal('fc01'))).toBe('01');
    const last = await other();
    expect([(await open(last)), await open(last)]).toEqual(['fc01', undefined]);
    scope.onmessage({ data: { what: 'activate', id: 9 } });
    expect(id(await seal('fc01'))).toBe('01');
  });

  test('shows nothing again when a stream comes on another receiver, or leaves and comes back', async () => {
    const ben = { ...AUDIO, userId: 'ben' };
    const assign = (id: number, stream: SealedStream | undefined) => scope.onmessage({ data: { what: 'assign', id, stream } });
    const [seal, open, other] = [transformer({ id: 1, way: 'seal', stream: AUDIO }), transformer({ id: 2, way: 'open' }, 100), transformer({ id: 3, way: 'open' }, 100)];
    await give(RAW);
    const frames: string[] = [];
    for (let at = 0; at < 4; at += 1) frames.push((await seal('fc0102')) ?? '');
    const [first = '', second = '', third = '', fourth = ''] = frames;

    assign(2, AUDIO);
    expect([await open(first), await open(first)]).toEqual(['fc0102', undefined]);
    for (let at = 0; at < 600; at += 1) assign(4, { ...ben, userId: `u${at}` });
    assign(3, AUDIO);
    expect([await other(first), await other(second), await open(third)]).toEqual([undefined, 'fc0102', undefined]);
    assign(3, ben);
    assign(3, undefined);
    assign(3, AUDIO);
    expect([await other(first), await other(second), await other(fourth)]).toEqual([undefined, undefined, 'fc0102']);
    // Of those that have not been watched for long it is forgotten.
    assign(3, undefined);
    for (let at = 0; at < 600; at += 1) assign(4, { ...ben, userId: `u${at}` });
    assign(3, AUDIO);
    expect(await other(first)).toBe('fc0102');
  });

  test('tells after a second of what cannot be opened, and not each time', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    scope.onmessage({ data: { what: 'assign', id: 2, stream: AUDIO } });
    const open = transformer({ id: 2, way: 'open' }, 20);
    await give(RAW);

    for (let ms = 0; ms < 8_000; ms += 500) {
      await open('fc0102');
      vi.advanceTimersByTime(500);
    }
    vi.useRealTimers();

    expect(told).toEqual(Array(2).fill({ what: 'failed', id: 2, stream: AUDIO }));
  });
});
