import { beforeEach, describe, expect, test, vi } from 'vitest';
import { Encryption } from '../src/encryption.js';
import TRTC from '../src/index.js';
import type { EncryptionKey } from '../src/keys.js';
import { LocalMedia } from '../src/local.js';
import type { Session } from '../src/session.js';
import type { FromWorker, ToWorker } from '../src/sealing.worker.js';
import type { Stage } from '../src/stage.js';

/** The keys that the next room is entered with. */
let entered: EncryptionKey[] | undefined;
/** What begins encryption in it. */
let start: Begin | undefined;

type Begin = (room: string, userId: string) => Promise<Encryption>;

vi.mock('../src/session.js', () => ({
  Session: class {
    isInRoom = false;
    constructor({ encryption }: { encryption?: { keys: Map<number, EncryptionKey>; start: Begin } }) {
      entered = encryption && [...encryption.keys.values()];
      start = encryption?.start;
    }
    on(): this {
      return this;
    }
    off(): this {
      return this;
    }
    async login(): Promise<void> {
      throw new Error('no server');
    }
    close(): void {}
  },
}));

/** What the worker was told. */
const told: ToWorker[] = [];

vi.mock('../src/sealing.worker.ts?worker&inline', () => ({
  default: class {
    onmessage: ((event: { data: FromWorker }) => void) | undefined;
    constructor() {
      queueMicrotask(() => this.onmessage?.({ data: { what: 'ready' } }));
    }
    postMessage(message: ToWorker): void {
      told.push(message);
    }
    terminate(): void {}
  },
}));

/** What keeps the chunk with what encrypts from coming. */
let lost: Error | undefined;

vi.mock('../src/chunks.js', async (original) => {
  const chunks = await original<typeof import('../src/chunks.js')>();
  return { ...chunks, loadEncryption: () => (lost ? Promise.reject(lost) : chunks.loadEncryption()) };
});

const key = Uint8Array.from({ length: 16 }, (_, at) => at + 1);

async function enter(client: TRTC): Promise<EncryptionKey[] | undefined> {
  await client.enterRoom({ sdkAppId: 1, userId: 'ann', userSig: 's', strRoomId: 'r' }).catch(() => undefined);
  return entered;
}

beforeEach(() => {
  entered = undefined;
  lost = undefined;
  told.length = 0;
  vi.stubGlobal('RTCRtpScriptTransform', class {});
  vi.stubGlobal('Worker', class {});
});

describe('the key of a page', () => {
  test('is that of the cloud\'s plugin, with its salt', async () => {
    const client = TRTC.create();

    await client.startPlugin('CustomEncryption', { builtinOptions: { secretKey: key, salt: Uint8Array.of(7, 8) } });
    expect((await enter(client))?.map((one) => one.key)).toEqual([Uint8Array.of(...key, 7, 8)]);
    await client.stopPlugin('CustomEncryption');
    expect(await enter(client)).toBe(undefined);
  });

  test('is given up by name, and between rooms only', async () => {
    const client = TRTC.create();
    await client.enableEncryption({ key });

    await expect(client.stopPlugin('Beauty')).rejects.toMatchObject({ code: 5998, functionName: 'stopPlugin' });
    const entering = client.enterRoom({ sdkAppId: 1, userId: 'ann', userSig: 's', strRoomId: 'r' });
    await expect(client.disableEncryption()).rejects.toMatchObject({ code: 5100, functionName: 'disableEncryption' });
    await expect(entering).rejects.toThrow('no server');
    expect((await enter(client))?.length).toBe(1);
    await client.disableEncryption();
    expect(await enter(client)).toBe(undefined);
  });

  test('is what it was when it was given, also after the page has wiped its own', async () => {
    const client = TRTC.create();
    const given = Uint8Array.from(key);

    const enabled = client.enableEncryption({ key: given });
    given.fill(0);
    await enabled;
    await client.enableEncryption({ key: 'a phrase of the members', keyId: 1, publish: false });

    expect(await enter(client)).toEqual([{ key }, { key: 'a phrase of the members', keyId: 1, publish: false }]);
  });

  test('that is sealed by stays so until another is', async () => {
    const client = TRTC.create();

    await client.enableEncryption({ key });
    await client.enableEncryption({ key, publish: false });

    expect(await enter(client)).toEqual([{ key, publish: true }]);
  });

  test('that only opens is none to publish with', async () => {
    const { Session } = await vi.importActual<typeof import('../src/session.js')>('../src/session.js');
    const keys = new Map<number, EncryptionKey>([[0, { key, publish: false }]]);
    const session = new Session({ server: 'ws://rooms.example.org', encryption: { keys, start: () => Promise.reject(new Error('not here')) } });
    const publish = vi.fn(async () => {});
    Object.defineProperties(session, { isInRoom: { value: true }, publisher: { value: { has: () => false, publish } } });
    const tell = vi.fn();
    const choice = { role: 'anchor' } as const;
    const stage: Stage = { session: session as Session, entering: undefined, role: 'anchor', choice, inTurn: (work) => work(), tell };
    const local = new LocalMedia(stage);
    const start = () => local.startLocalAudio({ option: { audioTrack: { enabled: true } as MediaStreamTrack } });

    await expect(start()).rejects.toMatchObject({ code: 5100, functionName: 'startLocalAudio' });
    expect([publish.mock.calls.length, tell.mock.calls.filter(([event]) => event === 'publish-state-changed')]).toEqual([0, []]);
    keys.set(1, { key, keyId: 1 });
    await start();
    expect(publish.mock.calls.length).toBe(1);
  });

  test('is of no use without what encrypts, which is told; nothing is sent in clear instead', async () => {
    const client = TRTC.create();
    lost = new TypeError('Failed to fetch');

    await expect(client.enableEncryption({ key })).rejects.toMatchObject({ code: 5998, functionName: 'enableEncryption', message: expect.stringContaining('Failed to fetch') });
    expect((await enter(client))?.length).toBe(1);
    await expect(start?.('r', 'ann')).rejects.toMatchObject({ code: 5998 });
    lost = undefined;
    await client.enableEncryption({ key });
    await expect(start?.('r', 'ann')).resolves.toBeInstanceOf(Encryption);
  });

  test.each<[string, unknown, unknown]>([
    ['is a string', 'a2e8c1d4f09b7e6655aa33cc11ee77dd', undefined],
    ['is a list', [...key], undefined],
    ['is shorter than a key, whatever its salt', key.subarray(0, 15), key],
    ['has a string for its salt', key, 'salt'],
  ])('of the plugin is refused where it %s', async (_, secretKey, salt) => {
    const client = TRTC.create();

    const start = client.startPlugin('CustomEncryption', { builtinOptions: { secretKey, salt } as never });
    await expect(start).rejects.toMatchObject({ code: 5000, functionName: 'startPlugin' });
    expect(await enter(client)).toBe(undefined);
  });
});

describe('the keys of a room', () => {
  const start = (keys: EncryptionKey[]) => Encryption.start({ sdkAppId: 1, room: 'r', userId: 'ann', keys, refuse: (message) => new Error(message) });
  const active = () => told.flatMap((message) => (message.what === 'key' ? [[message.key.id, message.isActive]] : []));

  test('are taken in the order they were given, however long each takes', async () => {
    const encryption = await start([]);

    await Promise.all([encryption.addKey({ key: 'a phrase takes long', keyId: 1 }), encryption.addKey({ key, keyId: 2 })]);

    expect(active()).toEqual([[1, true], [2, true]]);
  });

  test('that are there already are only sealed by, without another derivation', async () => {
    const encryption = await start([{ key, keyId: 1, publish: false }]);
    const [before] = active();

    await encryption.addKey({ key: Uint8Array.from(key), keyId: 1, publish: false });
    await encryption.addKey({ key: Uint8Array.from(key), keyId: 1 });
    expect([before, told.slice(1)]).toEqual([[1, false], [{ what: 'activate', id: 1 }]]);
    for (const other of [Uint8Array.of(...key, 0), Uint8Array.from(key).fill(9), 'a phrase']) await encryption.addKey({ key: other, keyId: 1 });

    expect(active()).toEqual([[1, false], ...Array(3).fill([1, true])]);
  });
});
