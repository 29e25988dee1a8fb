import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Autoplay } from '../src/autoplay.js';
import { openCamera, openMicrophone, openScreen } from '../src/capture.js';
import { OPTIONS, type Shape, check, checkChange } from '../src/options.js';
import { SCREEN_PROFILES, VIDEO_PROFILES } from '../src/profiles.js';
import { encodings } from '../src/publisher.js';

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

describe('an option', () => {
  const { localAudio, localVideo, screen, remoteVideo, enterRoom, create } = OPTIONS;

  test.each<[Shape, object]>([
    [localVideo, { view: null, mute: 'x.png', option: { rotation: 90, mirror: 'both', small: '120p', profile: { width: 1, height: 2, frameRate: 3, bitrate: 4 }, videoTrack: undefined } }],
    [localAudio, { mute: 'microphone', option: { echoCancellation: 'all', captureVolume: 300, earMonitorVolume: 100 } }],
    [screen, { streamType: 'sub', option: { preferDisplaySurface: 'current-tab', selfBrowserSurface: 'exclude' } }],
    [remoteVideo, { userId: 'a', streamType: 'main', view: null, option: { poster: 'p.png', draggable: false } }],
    [enterRoom, { proxy: 'wss://x' }], [enterRoom, { proxy: { iceTransportPolicy: 'relay', turnServer: [] } }], [create, {}],
  ])('is taken as %#', (shape, options) => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);

    expect(() => check('f', options, shape)).not.toThrow();
    expect(warn).not.toHaveBeenCalled();
  });

  test.each<[string, number, Shape, unknown]>([
    ['the options', 5002, localVideo, null],
    ['publish', 5002, localVideo, { publish: 'yes' }],
    ['view', 5002, localVideo, { view: {} }],
    ['view', 5004, localVideo, { view: ['local'] }],
    ['mute', 5005, localAudio, { mute: 'camera' }],
    ['option', 5002, localVideo, { option: 1 }],
    ['option.rotation', 5005, localVideo, { option: { rotation: 45 } }],
    ['option.profile', 5005, localVideo, { option: { profile: '8K' } }],
    ['option.profile', 5006, localVideo, { option: { profile: { width: 0 } } }],
    ['option.profile', 5002, localAudio, { option: { profile: {} } }],
    ['option.captureVolume', 5007, localAudio, { option: { captureVolume: -1 } }],
    ['option.earMonitorVolume', 5008, localAudio, { option: { earMonitorVolume: 101 } }],
    ['streamType', 5005, screen, { streamType: 'main' }],
    ['option.canvasRender', 5005, remoteVideo, { option: { canvasRender: true } }],
    ['proxy.iceTransportPolicy', 5005, enterRoom, { proxy: { iceTransportPolicy: 'none' } }],
    ['volumeType', 5005, create, { volumeType: 2 }],
  ])('%s is refused by name, as %i', (name, extraCode, shape, options) => {
    expect(() => check('f', options, shape)).toThrow(expect.objectContaining({ code: 5000, extraCode, functionName: 'f', message: expect.stringContaining(name) }));
  });

  test('of another type is refused where the browser can tell', () => {
    class Track {
      constructor(readonly kind: string) {}
    }
    vi.stubGlobal('MediaStreamTrack', Track);
    const taking = (videoTrack: object) => () => check('f', { option: { videoTrack } }, localVideo);

    for (const other of [{}, new Track('audio')]) expect(taking(other)).toThrow(expect.objectContaining({ extraCode: 5004 }));
    expect(taking(new Track('video'))).not.toThrow();
  });

  test('is to be said where something is to be otherwise', () => {
    expect(() => checkChange('f', undefined, localVideo)).toThrow(expect.objectContaining({ code: 5000, extraCode: 5001 }));
    expect(() => checkChange('f', {}, localVideo)).not.toThrow();
  });

  test('that has no effect, or is none, is said so once', () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);

    for (let i = 0; i < 2; i += 1) check('enterRoom', { privateMapKey: 'k', enableDtx: true, proxy: { loggerProxy: 'x' } }, enterRoom);

    expect(warn.mock.calls.map(([, text]) => String(text).split(' has ')[0])).toEqual(['enterRoom: privateMapKey', 'enterRoom: enableDtx', 'enterRoom: proxy.loggerProxy']);
  });
});

describe('one element of a page', () => {
  const share = () => openScreen({ captureElement: {} as HTMLElement }, SCREEN_PROFILES['720p']);
  const cropTo = vi.fn();
  const track = { kind: 'video', stop: vi.fn() };

  beforeEach(() => {
    cropTo.mockReset();
    track.stop.mockReset();
    const stream = { getVideoTracks: () => [track], getAudioTracks: () => [], getTracks: () => [track] };
    vi.stubGlobal('navigator', { mediaDevices: { getDisplayMedia: async () => stream } });
    vi.stubGlobal('CropTarget', { fromElement: async () => 'target' });
    vi.stubGlobal('MediaStreamTrack', class { cropTo(): void {} });
  });

  test('is what is shared, alone', async () => {
    Object.assign(track, { cropTo });

    expect(await share()).toEqual({ video: track, audio: undefined });
    expect(cropTo.mock.calls).toEqual([['target']]);
  });

  test.each([
    ['another tab', () => Object.assign(track, { cropTo: () => Promise.reject(new Error('another')) })],
    ['a window', () => Object.assign(track, { cropTo: undefined })],
  ])('is not replaced by %s that was chosen', async (_, choose) => {
    choose();

    await expect(share()).rejects.toMatchObject({ code: 5000, message: expect.stringContaining('captureElement') });
    expect(track.stop).toHaveBeenCalledOnce();
  });

  test('is refused where nothing can be cut out, before anything is chosen', async () => {
    vi.stubGlobal('CropTarget', undefined);
    const choose = vi.spyOn(navigator.mediaDevices, 'getDisplayMedia');

    await expect(share()).rejects.toMatchObject({ code: 5200, extraCode: 5205 });
    expect(choose).not.toHaveBeenCalled();
  });
});

describe('a device is opened as the page wants it', () => {
  const opened = async (open: () => Promise<unknown>): Promise<Record<string, unknown>> => {
    const getUserMedia = vi.fn(async () => ({ getVideoTracks: () => [{}], getAudioTracks: () => [{}] }));
    vi.stubGlobal('navigator', { mediaDevices: { getUserMedia } });
    await open();
    const [[{ video, audio }]] = getUserMedia.mock.calls as unknown as [[Record<string, Record<string, unknown>>]];
    return video ?? audio ?? {};
  };
  const profile = VIDEO_PROFILES['480p'];

  test('without cutting its picture', async () => {
    expect(await opened(() => openCamera({ profile }))).not.toHaveProperty('resizeMode');
    expect(await opened(() => openCamera({ profile, avoidCropping: true }))).toMatchObject({ resizeMode: 'none' });
  });

  test('with the echo of the others alone taken away', async () => {
    expect(await opened(() => openMicrophone({ echoCancellation: 'remote-only' }))).toMatchObject({ echoCancellation: 'remote-only', autoGainControl: true });
  });
});

test('the smaller size is what the page wants it to be', () => {
  const small = { width: 160, height: 120, frameRate: 10, bitrate: 100 };
  const encoding = { width: 640, height: 480, frameRate: 15, bitrate: 900, qosPreference: 'smooth' as const, isSimulcast: true, small };

  expect(encodings(encoding)).toEqual([
    { rid: 'q', maxBitrate: 100_000, maxFramerate: 10, scaleResolutionDownBy: 4 },
    { rid: 'f', maxBitrate: 900_000, scaleResolutionDownBy: 1 },
  ]);
});

test('sound that waits for a gesture goes on with the next, and the person is asked for one', () => {
  const page = new EventTarget();
  const made: string[] = [];
  const element = (name: string) => {
    made.push(name);
    return Object.assign(new EventTarget(), { append: () => undefined, remove: () => made.push(`no ${name}`) });
  };
  vi.stubGlobal('document', Object.assign(page, { createElement: element, body: { append: () => undefined } }));
  const autoplay = new Autoplay();
  const [one, other] = [vi.fn(async () => undefined), vi.fn(async () => undefined)];

  autoplay.wait(one, true);
  autoplay.wait(other, true);
  page.dispatchEvent(new Event('keydown'));
  page.dispatchEvent(new Event('pointerdown'));
  autoplay.wait(one, false);
  autoplay.close();
  page.dispatchEvent(new Event('pointerdown'));

  expect([one.mock.calls.length, other.mock.calls.length, made]).toEqual([1, 1, ['dialog', 'button', 'no dialog']]);
});
