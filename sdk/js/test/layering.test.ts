import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Layering } from '../src/api.js';
import TRTC from '../src/index.js';
import { layeringFor, prefer, requireLayering } from '../src/layering.js';

const open = new Set<unknown>();

/** A browser that has all codecs but AV1, and fewer modes than the standard. */
beforeEach(() => {
  const codecs = ['video/VP8', 'video/rtx', 'video/VP9', 'video/H264'].map((mimeType) => ({
    mimeType, clockRate: 90_000, sdpFmtpLine: mimeType.endsWith('H264') ? 'packetization-mode=1;profile-level-id=42e01f' : '',
  }));
  vi.stubGlobal('RTCRtpSender', { getCapabilities: () => ({ codecs }) });
  vi.stubGlobal('RTCPeerConnection', class {
    constructor() {
      open.add(this);
    }
    addTransceiver(_: string, { sendEncodings: [encoding] }: { sendEncodings: { scalabilityMode: string }[] }): void {
      if (!['L1T1', 'L1T2', 'L1T3', 'L3T3_KEY'].includes(encoding?.scalabilityMode ?? '')) throw new DOMException('no', 'OperationError');
    }
    close(): void {
      open.delete(this);
    }
  });
});

afterEach(() => {
  expect(open.size).toBe(0);
  vi.unstubAllGlobals();
});

const layered = (codec: unknown, scalabilityMode?: string) => ({ codec, scalabilityMode }) as Layering;

describe('how a video is encoded', () => {
  test.each([
    [layered(undefined)], [layered('vp8')], [layered('av1')], [layered('vp9', 'L3T3_KEY')], [layered('vp8', 'L1T3')],
    // Without the codec there is nothing to try, and nothing that would be sent so.
    [layered('av1', 'L2T2')],
  ])('is taken as %o', (layering) => expect(() => requireLayering('f', layering)).not.toThrow());

  test.each([
    [layered('VP9')], [layered('h265')], [layered('')], [layered(undefined, 'L3T3_KEY')], [layered('vp9', 'L9T9')], [layered('vp9', '')],
    [layered('vp8', 'L3T3_KEY')], [layered('h264', 'L1T2')], [layered('av1', 'three')],
  ])('is refused as %o', async (layering) => {
    const client = TRTC.create();
    const track = { enabled: true, getSettings: () => ({}) } as unknown as MediaStreamTrack;

    for (const [name, act] of Object.entries({
      startLocalVideo: () => client.startLocalVideo({ option: { videoTrack: track, ...layering } }),
      startScreenShare: () => client.startScreenShare({ option: { videoTrack: track, ...layering } }),
    })) {
      await expect(act()).rejects.toMatchObject({ code: 5000, functionName: name });
    }
    await expect(client.updateLocalVideo({})).rejects.toMatchObject({ code: 5998 });
    await expect(client.updateScreenShare({})).rejects.toMatchObject({ code: 5998 });
  });

  test('has layers where the browser has the codec, and several sizes elsewhere', () => {
    expect(layeringFor(layered('vp9', 'L3T3_KEY'))).toEqual({ codec: 'vp9', scalabilityMode: 'L3T3_KEY' });
    expect(layeringFor(layered('av1', 'L3T3_KEY'))).toEqual({ codec: 'av1', scalabilityMode: undefined });
    expect(layeringFor({})).toEqual({});
  });

  test('is offered in one codec alone, where that is there', () => {
    const setCodecPreferences = vi.fn();
    const transceiver = { setCodecPreferences } as unknown as RTCRtpTransceiver;

    prefer(transceiver, 'vp9');
    prefer(transceiver, 'av1');
    prefer(transceiver, undefined);

    expect(setCodecPreferences.mock.calls.map(([codecs]) => codecs.map(({ mimeType }: RTCRtpCodec) => mimeType))).toEqual([['video/rtx', 'video/VP9']]);
  });
});
