import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import TRTC, { ErrorCode } from '../src/v4/index.js';

/** An element that plays nothing. */
const element = () => Object.assign(new EventTarget(), { style: {} });

class Track {
  enabled = true;
  constructor(readonly kind: string) {}
  stop(): void {}
}

beforeEach(() => {
  vi.stubGlobal('document', { createElement: element });
  vi.stubGlobal('MediaStreamTrack', Track);
});
afterEach(() => vi.unstubAllGlobals());

const config = { server: 'ws://127.0.0.1:9', mode: 'rtc' as const, sdkAppId: 1, userId: 'ann', userSig: 'sig' };
const code = (work: () => unknown) => Promise.resolve().then(work).then(() => 'nothing', (error: { getCode?(): number }) => error.getCode?.() ?? error);
const { INVALID_OPERATION, INVALID_PARAMETER } = ErrorCode;

describe('what is no room to be in', () => {
  const client = () => TRTC.createClient(config);
  const stream = () => TRTC.createStream({ audio: true });

  test('is left without a word, and says that nothing flows', async () => {
    await client().leave();
    await client().unpublish(stream());

    expect(await client().getTransportStats()).toEqual({ rtt: 0, downlinksRTT: {} });
    expect(await client().getLocalAudioStats()).toEqual({ ann: { bytesSent: 0, packetsSent: 0 } });
    expect(await client().getRemoteVideoStats()).toEqual({});
  });

  test('refuses the rest by the right number', async () => {
    expect(await code(() => client().publish(stream()))).toBe(INVALID_OPERATION);
    expect(await code(() => client().switchRole('anchor'))).toBe(INVALID_PARAMETER);
    expect(await code(() => TRTC.createClient({ ...config, mode: 'live' }).switchRole('anchor'))).toBe(INVALID_OPERATION);
  });
});

test.each<[string, () => unknown]>([
  ['no config', () => TRTC.createClient(undefined as never)],
  ['no mode', () => TRTC.createClient({ ...config, mode: 'party' as never })],
  ['a number for a user', () => TRTC.createClient({ ...config, userId: 5 as never })],
  ['a text for an app', () => TRTC.createClient({ ...config, sdkAppId: '1' as never })],
  ['a stream of nothing', () => TRTC.createStream(undefined as never)],
  ['a number for a camera', () => TRTC.createStream({ video: 5 as never })],
  ['no track', () => TRTC.createStream({ audioSource: 5 as never })],
  ['a camera and a screen', () => TRTC.createStream({ screen: true, video: true })],
  ['a number for a profile', () => TRTC.createStream({ video: true }).setVideoProfile(5 as never)],
  ['no device of that kind', () => TRTC.createStream({ video: true }).switchDevice('screen' as never, 'x')],
  ['no track to put in', () => TRTC.createStream({ video: true }).replaceTrack(5 as never)],
  ['a text for a volume', () => TRTC.createStream({ video: true }).setAudioVolume('loud' as never)],
  ['no room', () => TRTC.createClient(config).join(undefined as never)],
  ['no stream to publish', () => TRTC.createClient(config).publish(5 as never)],
  ['no stream to take', () => TRTC.createClient(config).subscribe(5 as never)],
  ['no stream to let go', () => TRTC.createClient(config).unsubscribe(5 as never)],
  ['no role', () => TRTC.createClient(config).switchRole('guest' as never)],
  ['a text for an interval', () => TRTC.createClient(config).enableAudioVolumeEvaluation('often' as never)],
  ['what is no API', () => TRTC.createClient(config).callExperimentalAPI('fly')],
])('%s is refused', async (_, work) => {
  expect(await code(work)).toBe(INVALID_PARAMETER);
});

test('clients and streams work behind the proxies of frameworks', async () => {
  const wrap = <T extends object>(target: T): T => new Proxy(target, {});
  const heard = vi.fn();
  const client = wrap(TRTC.createClient(config));
  const stream = wrap(TRTC.createStream({ audioSource: new Track('audio') as unknown as MediaStreamTrack }));

  client.on('error', heard).off('error', heard);
  await client.leave();
  await stream.initialize();
  expect([stream.hasAudio(), stream.muteAudio(), stream.sending.captureVolume, stream.getType()]).toEqual([true, true, 100, 'local']);
  expect(await code(() => client.publish(stream))).toBe(INVALID_OPERATION);
  stream.close();
  expect([stream.hasAudio(), Object.keys(client), (client as { __v_skip?: boolean }).__v_skip]).toEqual([false, [], true]);
});

test('tracks come and go, of sound too', async () => {
  const [sound, picture] = [new Track('audio'), new Track('video')] as unknown as MediaStreamTrack[];
  const stream = TRTC.createStream({ audioSource: sound!, videoSource: picture! });
  await stream.initialize();
  await stream.initialize();
  expect([stream.hasAudio(), stream.hasVideo(), stream.getVideoFrame()]).toEqual([true, true, null]);

  await stream.removeTrack(sound!);
  expect([stream.hasAudio(), stream.hasVideo()]).toEqual([false, true]);
  expect(await code(() => stream.removeTrack(sound!))).toBe(INVALID_PARAMETER);
  expect(await code(() => stream.replaceTrack(sound!))).toBe(INVALID_PARAMETER);
  await stream.addTrack(sound!);
  expect(await code(() => stream.addTrack(sound!))).toBe(INVALID_OPERATION);
  expect(stream.getAudioTrack()).toBe(sound);
});
