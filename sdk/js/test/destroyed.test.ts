import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import TRTC from '../src/index.js';

class Track extends EventTarget {
  readyState = 'live';
  enabled = true;
  constructor(readonly kind: string) {
    super();
  }
  getSettings(): object {
    return {};
  }
  stop(): void {
    this.readyState = 'ended';
  }
}

/** Opens what is asked for when the test says so. */
let open: (track: Track) => void;

beforeEach(() => {
  const getUserMedia = () => new Promise((resolve) => (open = (track) => resolve({ getAudioTracks: () => [track], getVideoTracks: () => [track] })));
  vi.stubGlobal('navigator', { mediaDevices: { getUserMedia, enumerateDevices: () => Promise.resolve([]) } });
});
afterEach(() => vi.unstubAllGlobals());

test.each(['startLocalAudio', 'startLocalVideo', 'startScreenShare'] as const)('%s opens nothing on an instance that is no more', async (method) => {
  const trtc = TRTC.create();
  trtc.destroy();

  await expect(trtc[method]()).rejects.toMatchObject({ code: 5100, functionName: method });
});

test.each([['startLocalAudio', 'audio'], ['startLocalVideo', 'video']] as const)('%s lets a device go that opens when the instance is no more', async (method, kind) => {
  const [trtc, track] = [TRTC.create(), new Track(kind)];

  const starting = trtc[method]().catch(() => undefined);
  await vi.waitFor(() => expect(open).toBeDefined());
  await new Promise((done) => setTimeout(done));
  trtc.destroy();
  open(track);
  await starting;

  await vi.waitFor(() => expect(track.readyState).toBe('ended'));
});
