import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { Encryption } from '../src/encryption.js';
import { RtcError } from '../src/errors.js';
import type { Body, Gateway } from '../src/gateway.js';
import type { StreamKind } from '../src/peer.js';
import { type Encoding, Publisher } from '../src/publisher.js';

/** Numbers that are the same in every run. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

let roll = dice(1);
/** Everything takes a while, and not always the same one. */
const aWhile = async () => {
  for (let i = roll(6); i > 0; i -= 1) await Promise.resolve();
};

interface Track {
  id: string;
  contentHint: string;
}

type Sent = RTCRtpEncodingParameters & { scalabilityMode?: string };

class Sender {
  isBusy = false;
  constructor(public track: Track | null, public encodings: Sent[] = [{}]) {}

  async replaceTrack(track: Track | null): Promise<void> {
    await aWhile();
    this.track = track;
  }

  getParameters() {
    return { encodings: this.encodings.map((one) => ({ ...one })) };
  }

  /** Browsers refuse a second change while the first is under way. */
  async setParameters({ encodings }: { encodings: Sent[] }): Promise<void> {
    if (this.isBusy) throw new DOMException('one at a time', 'InvalidStateError');
    this.isBusy = true;
    await aWhile();
    this.encodings = encodings;
    this.isBusy = false;
  }
}

class Connection {
  static all: Connection[] = [];
  connectionState = 'new';
  signalingState = 'stable';
  localDescription = { sdp: '' };
  #agreed: (string | null)[] = [];
  transceivers: { mid: string | null; direction: string; sender: Sender; stop(): void }[] = [];

  constructor() {
    Connection.all.push(this);
  }

  addTransceiver(track: Track, { direction, sendEncodings }: { direction: string; sendEncodings?: Sent[] }) {
    if (sendEncodings?.some(({ scalabilityMode }) => scalabilityMode === 'L9T9')) throw new DOMException('no such mode', 'OperationError');
    const transceiver = { mid: null, direction, sender: new Sender(track, sendEncodings), stop: () => void (transceiver.direction = 'stopped') };
    this.transceivers.push(transceiver);
    return transceiver;
  }

  getTransceivers() {
    return this.transceivers;
  }

  async createOffer() {
    await aWhile();
    return { sdp: '' };
  }

  async setLocalDescription({ type }: { type?: string } = {}): Promise<void> {
    this.signalingState = type === 'rollback' ? 'stable' : 'have-local-offer';
    await aWhile();
    if (type === 'rollback') this.transceivers.forEach((transceiver, at) => (transceiver.mid = this.#agreed[at] ?? null));
    else this.transceivers.forEach((transceiver, at) => (transceiver.mid ??= String(at)));
    this.localDescription = { sdp: this.transceivers.map(({ mid, direction }) => `${mid} ${direction}`).join('\r\n') };
  }

  async setRemoteDescription(): Promise<void> {
    await aWhile();
    this.#agreed = this.transceivers.map(({ mid }) => mid);
    this.signalingState = 'stable';
  }

  close(): void {
    this.connectionState = 'closed';
  }
}

/** What the server knows: by the rules of `docs/protocol.md`. */
class Server {
  streams = new Map<string, { isMuted: boolean; mid: string }>();
  #connection: Connection | undefined;
  refuses = false;
  isLost = false;

  async request(command: string, body: Body): Promise<Body> {
    await aWhile();
    if (this.isLost) throw new Error('lost');
    if (command === 'mute_stream') {
      const stream = this.streams.get(String(body['StreamType']));
      if (!stream) throw new Error('not published');
      stream.isMuted = body['Muted'] === true;
      return {};
    }
    if (this.refuses) throw new RtcError({ code: 5400, extraCode: 100006, message: 'refused' });
    const isAnother = this.#connection !== Connection.all.at(-1);
    this.#connection = Connection.all.at(-1);
    const known = isAnother ? new Map<string, { isMuted: boolean }>() : this.streams;
    const sent = new Set(String(body['Sdp']).split('\r\n').filter((line) => line.endsWith('sendonly')).map((line) => line.split(' ')[0]));
    const streams = (body['Streams'] as Body[]).filter((stream) => sent.has(String(stream['Mid'])));
    this.streams = new Map(streams.map((stream) => {
      const kind = String(stream['StreamType']);
      return [kind, { isMuted: known.get(kind)?.isMuted ?? stream['Muted'] === true, mid: String(stream['Mid']) }];
    }));
    await aWhile();
    return { Sdp: '' };
  }

  /** Each kind with the track that it carries, and whether it is muted. */
  get state() {
    const senders = this.#connection?.transceivers ?? [];
    return Object.fromEntries([...this.streams].map(([kind, { isMuted, mid }]) =>
      [kind, [senders.find((one) => one.mid === mid)?.sender.track?.id, isMuted]]));
  }
}

const simulcast: Encoding = { width: 1280, height: 720, frameRate: 15, bitrate: 900, qosPreference: 'smooth', isSimulcast: true };
const layered: Encoding = { ...simulcast, codec: 'vp9', scalabilityMode: 'L3T3_KEY' };
const track = (id: string) => ({ id, contentHint: '' }) as unknown as MediaStreamTrack;

function make(): [Publisher, Server] {
  const server = new Server();
  const options = { iceServers: () => Promise.resolve([]), iceTransportPolicy: () => undefined };
  return [new Publisher(server as unknown as Gateway, 'r', options), server];
}

beforeEach(() => {
  roll = dice(1);
  Connection.all = [];
  vi.stubGlobal('RTCPeerConnection', Connection);
});

describe('what is published', () => {
  test('is muted or not as was asked for last, whatever is still under way', async () => {
    const [publisher, server] = make();
    const mic = track('mic');

    await publisher.publish('audio', mic, { audioBitrate: 40 });
    await Promise.all([
      publisher.publish('audio', mic, { audioBitrate: 40, isMuted: true }),
      publisher.publish('audio', mic, { audioBitrate: 40, isMuted: false }),
    ]);

    expect(server.state).toEqual({ audio: ['mic', false] });
  });

  test('is over when the connection is, whatever the browser was doing on it', async () => {
    const [publisher] = make();
    vi.spyOn(Connection.prototype, 'createOffer').mockImplementation(() => new Promise(() => undefined));

    const all = [publisher.publish('audio', track('mic'), {}), publisher.publish('main', track('camera'), {}), publisher.unpublish('audio')];
    await new Promise((done) => setTimeout(done));
    publisher.close();

    expect(await Promise.all(all)).toEqual([undefined, undefined, undefined]);
    vi.restoreAllMocks();
  });

  test('is sealed before the server is told of it, and without RED and what cannot be sealed', async () => {
    const happened: unknown[] = [];
    const encryption = {
      configuration: {}, takeCodecs: () => undefined, seal: (_: RTCRtpSender, kind: StreamKind) => happened.push(['seal', kind]),
    } as unknown as Encryption;
    const gateway = { request: async (command: string, { Streams }: Body) => {
      happened.push([command, ...(Streams as Body[]).map((stream) => stream['Encrypted'])]);
      return { Sdp: '' };
    } } as unknown as Gateway;
    vi.stubGlobal('RTCRtpSender', { getCapabilities: (kind: string) => ({
      codecs: (kind === 'audio' ? ['audio/opus', 'audio/red', 'audio/PCMU'] : ['video/H265', 'video/VP8', 'video/rtx']).map((mimeType) => ({ mimeType })),
    }) });
    const prefer = vi.fn();
    const native = Connection.prototype.addTransceiver;
    vi.spyOn(Connection.prototype, 'addTransceiver').mockImplementation(function (this: Connection, ...how) { return Object.assign(native.apply(this, how), { setCodecPreferences: prefer }); });
    const options = { iceServers: () => Promise.resolve([]), iceTransportPolicy: () => undefined, encryption };
    const publisher = new Publisher(gateway, 'r', options);

    await publisher.publish('audio', track('mic'), {});
    await publisher.publish('main', track('camera'), {});
    await publisher.rebuild();

    expect(happened).toEqual([
      ['seal', 'audio'], ['publish', true], ['seal', 'main'], ['publish', true, true],
      ['seal', 'audio'], ['seal', 'main'], ['publish', true, true],
    ]);
    const [sounds, pictures] = [['audio/opus', 'audio/PCMU'], ['video/VP8', 'video/rtx']];
    expect(prefer.mock.calls.map(([codecs]) => codecs.map(({ mimeType }: RTCRtpCodec) => mimeType))).toEqual([sounds, pictures, sounds, pictures]);
    vi.restoreAllMocks();
  });

  test('begins muted, rather than being heard for a moment', async () => {
    const [publisher, server] = make();
    const request = vi.spyOn(server, 'request');

    await publisher.publish('audio', track('mic'), { isMuted: true });

    expect(request.mock.calls.map(([command]) => command)).toEqual(['publish']);
    expect(server.state).toEqual({ audio: ['mic', true] });
  });

  test('stays muted when the connection is made anew', async () => {
    const [publisher, server] = make();
    await publisher.publish('audio', track('mic'), {});
    await publisher.publish('audio', track('mic'), { isMuted: true });

    await publisher.rebuild();

    expect(Connection.all.length).toBe(2);
    expect(server.state).toEqual({ audio: ['mic', true] });
  });

  test('is refused by name, and can be tried again', async () => {
    const [publisher, server] = make();
    server.refuses = true;

    const results = await Promise.allSettled([publisher.publish('audio', track('a'), {}), publisher.publish('audio', track('b'), {})]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(publisher.has('audio')).toBe(false);
    server.refuses = false;
    await publisher.publish('audio', track('c'), {});

    expect(server.state).toEqual({ audio: ['c', false] });
  });

  test('comes back as it was wanted last after the server was out of reach', async () => {
    const [publisher, server] = make();
    await publisher.publish('audio', track('mic'), {});

    server.isLost = true;
    const lost = await Promise.allSettled([publisher.rebuild(), publisher.publish('audio', track('mic'), { isMuted: true })]);
    expect(lost.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    server.isLost = false;
    await publisher.rebuild();
    await publisher.catchUp();

    expect(server.state).toEqual({ audio: ['mic', true] });
  });

  test('is what the last words said, after any history of calls that nobody waits for', async () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      roll = dice(seed);
      Connection.all = [];
      const [publisher, server] = make();
      const wanted: Record<string, [string, boolean]> = {};
      const layers: Record<string, string | undefined> = {};
      const history: string[] = [];
      const calls: Promise<void>[] = [];
      for (let step = 0; step < 12; step += 1) {
        const kind = (['audio', 'main', 'sub'] as const)[roll(3)] as StreamKind;
        switch (roll(4)) {
          case 0:
            calls.push(publisher.unpublish(kind));
            delete wanted[kind];
            history.push(`stop ${kind}`);
            break;
          case 1:
            calls.push(publisher.rebuild());
            history.push('rebuild');
            break;
          default: {
            const [id, isMuted] = [`${kind}${roll(2)}`, roll(2) === 1];
            const encoding = kind === 'audio' ? undefined : [simulcast, layered][roll(2)];
            calls.push(publisher.publish(kind, track(id), { isMuted, encoding }));
            wanted[kind] = [id, isMuted];
            layers[kind] = encoding === layered ? 'L3T3_KEY' : undefined;
            history.push(`${kind} ${id} ${isMuted} ${layers[kind]}`);
          }
        }
        if (roll(3) === 0) await aWhile();
      }
      const results = await Promise.allSettled(calls);

      expect(results.filter(({ status }) => status === 'rejected'), history.join(', ')).toEqual([]);
      expect(server.state, `${seed}: ${history.join(', ')}`).toEqual(wanted);
      for (const kind of ['audio', 'main', 'sub'] as const) {
        const sent = (publisher.sender(kind) as unknown as Sender | undefined)?.encodings[0]?.scalabilityMode;
        if (wanted[kind]) expect(sent, `${seed}: ${history.join(', ')}`).toBe(layers[kind]);
      }
    }
  });
});

describe('a video that is sent in another way', () => {
  const sent = (publisher: Publisher) =>
    (publisher.sender('main') as unknown as Sender).encodings.map(({ rid, maxBitrate, scalabilityMode }) => [rid ?? scalabilityMode, maxBitrate]);
  const sizes = [['q', 100_000], ['h', 300_000], ['f', 900_000]];

  test('is sent so from then on, muted as it was, and as before when that is wanted again', async () => {
    const [publisher, server] = make();
    const camera = track('camera');
    await publisher.publish('audio', track('mic'), {});
    await publisher.publish('main', camera, { encoding: simulcast, isMuted: true });
    expect(sent(publisher)).toEqual(sizes);

    await publisher.publish('main', camera, { encoding: layered, isMuted: true });
    expect([sent(publisher), server.state]).toEqual([[['L3T3_KEY', 900_000]], { audio: ['mic', false], main: ['camera', true] }]);
    await publisher.publish('main', camera, { encoding: { ...simulcast, isSimulcast: false } });
    expect([sent(publisher), server.state]).toEqual([[[undefined, 900_000]], { audio: ['mic', false], main: ['camera', false] }]);
    await publisher.publish('main', camera, { encoding: simulcast });
    await publisher.publish('main', camera, { encoding: { ...simulcast, codec: 'h264' } });

    expect(sent(publisher)).toEqual(sizes);
    expect(Connection.all.map((one) => one.transceivers.map(({ direction }) => direction)))
      .toEqual(Array(5).fill(['sendonly', 'sendonly']));
    expect(Connection.all.map((one) => one.connectionState)).toEqual([...Array(4).fill('closed'), 'new']);
  });

  test('stays in its place with another bitrate or profile, and each size gets its share', async () => {
    const [publisher] = make();
    await publisher.publish('main', track('camera'), { encoding: simulcast });
    (publisher.sender('main') as unknown as Sender).encodings.reverse();

    await publisher.publish('main', track('camera'), { encoding: { ...simulcast, bitrate: 1800 } });

    expect(sent(publisher)).toEqual([['f', 1_800_000], ['h', 600_000], ['q', 200_000]]);
    await publisher.publish('main', track('camera'), { encoding: { ...simulcast, width: 320, height: 240, bitrate: 180 } });
    expect(sent(publisher)).toEqual([['f', 180_000], ['h', 60_000], ['q', 20_000]]);
    expect(Connection.all[0]?.transceivers.length).toBe(1);
  });

  test('after it was off has a place of each kind, and no more than a dozen', async () => {
    const [publisher] = make();
    const ways = [simulcast, layered, { ...simulcast, codec: 'h264' as const }, simulcast, layered];
    for (const encoding of ways) {
      await publisher.publish('main', track('camera'), { encoding });
      await publisher.unpublish('main');
    }
    const directions = () => Connection.all.map((one) => one.transceivers.map(({ direction }) => direction));

    expect(directions()).toEqual([['inactive', 'inactive', 'inactive']]);
    for (let i = 1; i <= 10; i += 1) {
      await publisher.publish('main', track('camera'), { encoding: { ...layered, scalabilityMode: `L1T1_${i}` } });
      await publisher.unpublish('main');
    }
    expect(directions()).toEqual([[...Array(12).fill('stopped'), 'inactive']]);
  });

  test('that the browser does not know is refused, and all else goes on', async () => {
    const [publisher, server] = make();
    const unknown = { ...layered, scalabilityMode: 'L9T9' };
    await publisher.publish('audio', track('mic'), {});

    for (const before of [undefined, simulcast]) {
      if (before) await publisher.publish('main', track('camera'), { encoding: before });
      await expect(publisher.publish('main', track('camera'), { encoding: unknown })).rejects.toThrow('no such mode');
      expect([publisher.has('main'), server.state]).toEqual([false, { audio: ['mic', false] }]);
      await publisher.rebuild();
      expect(server.state).toEqual({ audio: ['mic', false] });
    }
    await publisher.publish('main', track('camera'), { encoding: layered });

    expect([sent(publisher), server.state]).toEqual([[['L3T3_KEY', 900_000]], { audio: ['mic', false], main: ['camera', false] }]);
  });

  test('comes so, with its newest track, after the server was out of reach', async () => {
    const [publisher, server] = make();
    await publisher.publish('main', track('camera'), { encoding: simulcast });

    server.isLost = true;
    await expect(publisher.publish('main', track('camera'), { encoding: layered })).rejects.toThrow('lost');
    await expect(publisher.publish('main', track('other'), { encoding: layered })).rejects.toThrow('lost');
    server.isLost = false;
    await publisher.catchUp();

    expect([sent(publisher), server.state]).toEqual([[['L3T3_KEY', 900_000]], { main: ['other', false] }]);
  });

  test('is over when the server refuses it, and it alone', async () => {
    const [publisher, server] = make();
    await publisher.publish('audio', track('mic'), {});
    await publisher.publish('main', track('camera'), { encoding: simulcast });
    const request = vi.spyOn(server, 'request').mockRejectedValueOnce(new RtcError({ code: 5400, extraCode: 100006, message: 'refused' }));

    await expect(publisher.publish('main', track('camera'), { encoding: layered })).rejects.toThrow('refused');

    expect([publisher.has('main'), server.state, request.mock.calls.length]).toEqual([false, { audio: ['mic', false] }, 2]);
  });
});
