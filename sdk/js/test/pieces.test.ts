import { describe, expect, test, vi } from 'vitest';
import { volumeOf } from '../src/capture.js';
import { Emitter } from '../src/emitter.js';
import { HeldNews } from '../src/held.js';
import classic from '../src/classic.js';
import * as all from '../src/index.js';
import TRTC, { RtcError } from '../src/index.js';
import { VIDEO_PROFILES, profileOf } from '../src/profiles.js';
import { inFull, slim, withSoundAgain, withTwoChannels } from '../src/peer.js';
import { withSilenceLeftOut, withStereoTold } from '../src/publisher.js';
import { type Encoding, encodings } from '../src/publisher.js';
import { quality } from '../src/statistics.js';
import { isUsed } from '../src/receiving.js';

const encoding = (width: number, height: number, isSimulcast = true): Encoding => ({
  width, height, frameRate: 15, bitrate: 900, qosPreference: 'smooth', isSimulcast,
});

class Box extends Emitter<{ a: [number]; b: [] }> {
  fire(value: number): void {
    this.emit('a', value);
  }
}

test('the script has all that there is to import', () => {
  const members = classic as unknown as Record<string, unknown>;

  expect(Object.entries(all).filter(([name, value]) => members[name] !== value).map(([name]) => name)).toEqual([]);
});

describe('events', () => {
  test('reach every handler once, also when one of them throws', () => {
    const box = new Box();
    const [first, second] = [vi.fn(() => { throw new Error('mine'); }), vi.fn()];
    vi.spyOn(console, 'error').mockImplementation(() => undefined);
    box.on('a', first).on('a', second);

    box.fire(7);
    box.off('a', first).fire(8);
    box.off('*').fire(9);

    expect(first.mock.calls).toEqual([[7]]);
    expect(second.mock.calls).toEqual([[7], [8]]);
  });
});

test('what no handler could be is not taken for one', () => {
  expect(() => new Box().on('a', undefined as never)).toThrow(TypeError);
});

test('an error is whole in JSON', () => {
  const error = new RtcError({ code: 5000, extraCode: 5001, message: 'userId is missing', functionName: 'enterRoom' });

  expect(JSON.parse(JSON.stringify(error))).toMatchObject({ name: 'INVALID_PARAMETER', code: 5000, extraCode: 5001, message: 'userId is missing' });
});

describe('behind a proxy', () => {
  /** As frameworks make them: whatever is got of it is one too. */
  const wrap = <T extends object>(target: T): T =>
    new Proxy(target, {
      get: (of, name, receiver) => {
        const value: unknown = Reflect.get(of, name, receiver);
        return typeof value === 'object' && value !== null ? wrap(value) : value;
      },
    });

  test('an instance is what it was', async () => {
    const trtc = wrap({ trtc: TRTC.create() }).trtc;
    const heard = vi.fn();

    trtc.on('error', heard).off('error', heard);
    await expect(trtc.enterRoom({ sdkAppId: 0, userId: 'a', userSig: 's', strRoomId: 'r' })).rejects.toMatchObject({ code: 5000 });
    await expect(trtc.room.sendTextMessage({ messageText: 'hi' })).rejects.toMatchObject({ code: 5100 });
    expect([trtc.getAudioTrack(), trtc.room.getRoomInfo === trtc.room.getRoomInfo]).toEqual([null, true]);
    await trtc.exitRoom();
    trtc.destroy();
  });

  test('its methods need no instance in front of them, and Vue leaves it alone', async () => {
    const trtc = TRTC.create();
    const { exitRoom, on } = trtc;

    await exitRoom();
    expect([on('error', () => undefined), Object.keys(trtc), (trtc as { __v_skip?: boolean }).__v_skip]).toEqual([trtc, [], true]);
  });
});

describe('who is there already', () => {
  const news = () => {
    const held = new HeldNews();
    held.take('remote-user-enter', [{ userId: 'ann' }], false);
    held.take('remote-user-enter', [{ userId: 'ben' }], true);
    held.take('remote-video-available', [{ userId: 'ann', streamType: 'main' }], false);
    held.take('remote-video-available', [{ userId: 'ann', streamType: 'sub' }], false);
    held.take('error', [new RtcError({ code: 1, message: '' })], false);
    return held;
  };

  test('is told once to who listens later, if nobody was there to hear it', () => {
    const held = news();

    expect([held.give('remote-user-enter'), held.give('remote-user-enter'), held.give('error')]).toEqual([[[{ userId: 'ann' }]], [], []]);
  });

  test('is not told when it is over', () => {
    const held = news();

    held.take('remote-video-unavailable', [{ userId: 'ann', streamType: 'main' }], false);
    held.take('remote-user-exit', [{ userId: 'ann' }], true);

    expect([held.give('remote-user-enter'), held.give('remote-video-available')]).toEqual([[], [[{ userId: 'ann', streamType: 'sub' }]]]);
    const left = news();
    left.clear();
    expect(left.give('remote-user-enter')).toEqual([]);
  });
});

describe('sizes of a video', () => {
  test.each([
    [1280, 720, ['q', 'h', 'f']],
    [640, 480, ['h', 'f']],
    [320, 240, [undefined]],
  ])('%i x %i', (width, height, rids) => {
    expect(encodings(encoding(width, height)).map((one) => one.rid)).toEqual(rids);
  });

  test('without simulcast there is one, with the bitrate that was asked for', () => {
    expect(encodings(encoding(1280, 720, false))).toEqual([{ maxBitrate: 900_000 }]);
    expect(encodings(undefined)).toEqual([{}]);
  });

  test('are one stream where its layers are in it', () => {
    const layered = { ...encoding(1280, 720), codec: 'vp9' as const, scalabilityMode: 'L3T3_KEY' };
    expect(encodings(layered)).toEqual([{ maxBitrate: 900_000, scalabilityMode: 'L3T3_KEY' }]);
  });
});

describe('offers', () => {
  test('are cut to what the server reads', () => {
    const kept = ['v=0', 'm=video 9 UDP/TLS/RTP/SAVPF 96', 'a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid',
      'a=extmap:4 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01', 'a=mid:0', ''];
    const cut = ['a=rtcp:9 IN IP4 0.0.0.0', 'a=extmap:7 http://www.webrtc.org/experiments/rtp-hdrext/video-timing',
      'a=candidate:1 1 udp 1 x.local 5 typ host'];

    expect(slim([...kept.slice(0, 4), ...cut, ...kept.slice(4)].join('\r\n'))).toBe(kept.join('\r\n'));
  });

  test('are answered by whom browsers do not take for ICE-lite', () => {
    const answer = (...lines: string[]) => ['v=0', ...lines, 'a=group:BUNDLE 0', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', ''].join('\r\n');

    expect(inFull(answer('a=ice-lite'))).toBe(answer());
    expect(inFull(answer('a=ice-options:ice-lite'))).toBe(answer('a=ice-options:ice-lite'));
  });

  test('have one variant of each codec', () => {
    const codec = (mimeType: string, sdpFmtpLine = '') => isUsed({ mimeType, sdpFmtpLine, clockRate: 90_000 });

    expect([codec('video/VP8'), codec('video/rtx'), codec('audio/opus')]).toEqual([true, true, true]);
    expect([codec('video/red'), codec('video/ulpfec'), codec('video/flexfec-03')]).toEqual([true, true, false]);
    expect([codec('video/VP9', 'profile-id=0'), codec('video/VP9', 'profile-id=2')]).toEqual([true, false]);
    expect(codec('video/H264', 'packetization-mode=1;profile-level-id=42e01f')).toBe(true);
    expect(codec('video/H264', 'packetization-mode=0;profile-level-id=42e01f')).toBe(false);
    expect(codec('video/H265', 'level-id=180;profile-id=1;tier-flag=0;tx-mode=SRST')).toBe(true);
    expect([codec('video/H265'), codec('video/H265', 'level-id=180;profile-id=2')]).toEqual([true, false]);
    expect(codec('video/H266')).toBe(false);
  });
});

describe('encryption', () => {
  const trtc = () => TRTC.create();
  const key = new Uint8Array(16);

  test.each<[string, (client: TRTC) => Promise<unknown>, number]>([
    ['no key', (client) => client.enableEncryption({ key: '' }), 5000],
    ['a short key', (client) => client.enableEncryption({ key: new Uint8Array(15) }), 5000],
    ['a wrong id', (client) => client.enableEncryption({ key, keyId: 256 }), 5000],
    ['a browser that cannot', (client) => client.enableEncryption({ key }), 5200],
    ['a plugin of the same kind', (client) => client.startPlugin('CustomEncryption', { builtinOptions: { secretKey: key } }), 5200],
    ['a plugin with functions', (client) => client.startPlugin('CustomEncryption', { customCryptors: { encryptor: (data) => data, decryptor: (data) => data } }), 5000],
    ['another plugin', (client) => client.startPlugin('Beauty'), 5998],
  ])('is refused by name with %s', async (_, enable, code) => {
    await expect(enable(trtc())).rejects.toMatchObject({ code });
  });
});

describe('sound in offers and answers', () => {
  const lines = (...all: string[]) => all.map((line) => `${line}\r\n`).join('');
  const opus = ['m=audio 9 UDP/TLS/RTP/SAVPF 111 63', 'a=rtpmap:111 opus/48000/2', 'a=fmtp:111 minptime=10;useinbandfec=1', 'a=rtpmap:63 red/48000/2', 'a=fmtp:63 111/111'];
  const video = ['m=video 9 UDP/TLS/RTP/SAVPF 96', 'a=rtpmap:96 VP8/90000', 'a=rtcp-fb:96 nack'];
  const again = [opus[0]!, opus[1]!, 'a=rtcp-fb:111 nack', ...opus.slice(2)];

  test('missing sound may be asked for on every line of sound, once', () => {
    const wanted = lines(...again, ...video, ...again);
    expect(withSoundAgain(lines(...opus, ...video, ...again))).toBe(wanted);
    expect(withSoundAgain(wanted)).toBe(wanted);
    expect(withSoundAgain('')).toBe('');
  });

  test('silence is left out of what is Opus only', () => {
    expect(withSilenceLeftOut(lines(...video, ...opus))).toBe(lines(...video, ...opus).replace('fmtp:111 ', 'fmtp:111 usedtx=1;'));
    expect(withSilenceLeftOut(withSilenceLeftOut(lines(...opus)))).toBe(withSilenceLeftOut(lines(...opus)));
    expect(withSilenceLeftOut(lines(...video))).toBe(lines(...video));
  });

  test('two channels are played where sound is received, and told of where they are sent', () => {
    const receives = lines(...opus, 'a=recvonly');
    expect(withTwoChannels(receives)).toBe(receives.replace('fmtp:111 ', 'fmtp:111 stereo=1;'));
    expect(withTwoChannels(withTwoChannels(receives))).toBe(withTwoChannels(receives));
    expect(withTwoChannels(lines(...opus, 'a=sendonly'))).toBe(lines(...opus, 'a=sendonly'));
    expect(withStereoTold(lines(...opus))).toBe(lines(...opus).replace('fmtp:111 ', 'fmtp:111 sprop-stereo=1;'));
    expect(withStereoTold(lines(...video))).toBe(lines(...video));
  });
});

describe('profiles', () => {
  test('are named, given in part, or the usual one', () => {
    expect(profileOf(VIDEO_PROFILES, '720p', '480p').height).toBe(720);
    expect(profileOf(VIDEO_PROFILES, { bitrate: 77 }, '480p')).toMatchObject({ height: 480, bitrate: 77 });
    expect(profileOf(VIDEO_PROFILES, undefined, '480p').height).toBe(480);
  });
});

describe('numbers for people', () => {
  test.each([[20, 0, 1], [150, 0, 2], [20, 10, 2], [400, 0, 3], [20, 40, 4], [2000, 0, 5]])(
    'a round trip of %i ms and a loss of %i %% are grade %i',
    (rtt, loss, grade) => expect(quality(rtt, loss)).toBe(grade),
  );

  test.each([[0, 0], [0.03, 3], [0.999, 99], [1, 100], [2, 100]])('an amplitude of %d is a volume of %d', (level, volume) => {
    expect(volumeOf(level)).toBe(volume);
  });
});

describe('mistakes', () => {
  const trtc = TRTC.create();

  const enter = (more: object) => trtc.enterRoom({ sdkAppId: 1, userId: 'a', userSig: 's', strRoomId: 'r', ...more });

  test.each<[string, () => Promise<void>, number, number?]>([
    ['a room is needed', () => enter({ strRoomId: undefined }), 5000, 5015],
    ['the number of a room is one', () => enter({ roomId: '7' }), 5000, 5016],
    ['the number of a room is an integer', () => enter({ roomId: 1.5 }), 5000, 5013],
    ['the name of a room is at most 64 bytes', () => enter({ strRoomId: '房'.repeat(22) }), 5000, 5012],
    ['the name of a room is not that of a number', () => enter({ strRoomId: '*123' }), 5000, 5012],
    ['the name of a room is a string', () => enter({ strRoomId: 7 }), 5000, 5002],
    ['an app is needed', () => enter({ sdkAppId: undefined }), 5000, 5001],
    ['an app is a number', () => enter({ sdkAppId: '1' }), 5000, 5002],
    ['an app is above 0', () => enter({ sdkAppId: 0 }), 5000, 5003],
    ['a user is needed', () => enter({ userId: undefined }), 5000, 5001],
    ['a UserSig is needed', () => enter({ userSig: '' }), 5000, 5003],
    ['the loudest are some', () => enter({ maxSpeakers: 51 }), 5000, 5005],
    ['first enter', () => trtc.startRemoteVideo({ userId: 'b', streamType: 'main' }), 5100, 5101],
    ['whose video is needed', () => trtc.startRemoteVideo({ userId: '', streamType: 'main' }), 5000, 5001],
    ['a stream is one of two', () => trtc.startRemoteVideo({ userId: 'b', streamType: 'audio' as 'main' }), 5000, 5005],
    ['first start', () => trtc.updateLocalVideo({}), 5998],
    ['a role is one of two', () => trtc.switchRole('guest' as 'audience'), 5000, 5005],
    ['first enter', () => trtc.switchRole('audience'), 5100, 5101],
  ])('%s', async (_, act, code, extraCode) => {
    const error = await act().catch((thrown: unknown) => thrown);

    expect(error).toBeInstanceOf(RtcError);
    expect(error).toMatchObject({ code, extraCode, name: Object.entries(TRTC.ERROR_CODE).find(([, one]) => one === code)?.[0] });
    expect((error as RtcError).message.length).toBeGreaterThan(10);
    expect((error as RtcError).functionName).not.toBe('');
  });

  test('a device that does not open says what to do', () => {
    const denied = new DOMException('Permission denied', 'NotAllowedError');

    expect(RtcError.from(denied, 'startLocalVideo')).toMatchObject({ name: 'DEVICE_ERROR', code: 5300, extraCode: 5302, functionName: 'startLocalVideo' });
    expect(RtcError.from(denied, 'startLocalVideo').message).toContain('allow the page');
  });

  test('data that is too long is refused before it is sent, by what is promised', async () => {
    vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    const send = (bytes: number, cmdId = 1) => trtc.sendCustomMessage({ cmdId, data: new ArrayBuffer(bytes) });

    await expect(send(1025)).rejects.toMatchObject({ code: 5000, extraCode: 5018 });
    await expect(send(0)).rejects.toMatchObject({ extraCode: 5017 });
    await expect(send(5, 11)).rejects.toThrow(/cmdId/);
  });
});

test('the class has the names that pages use', () => {
  const methods = ['enterRoom', 'exitRoom', 'switchRoom', 'switchRole', 'destroy', 'use', 'startLocalAudio', 'updateLocalAudio',
    'stopLocalAudio', 'startLocalVideo', 'updateLocalVideo', 'stopLocalVideo', 'startScreenShare', 'updateScreenShare',
    'stopScreenShare', 'startRemoteVideo', 'updateRemoteVideo', 'stopRemoteVideo', 'muteRemoteAudio', 'setRemoteAudioVolume',
    'getAudioTrack', 'getVideoTrack', 'getVideoSnapshot', 'sendCustomMessage', 'sendSEIMessage',
    'enableAudioVolumeEvaluation', 'on', 'off'];

  expect(methods.filter((name) => typeof (TRTC.prototype as never)[name] !== 'function')).toEqual([]);
  expect(TRTC.EVENT.REMOTE_VIDEO_AVAILABLE).toBe('remote-video-available');
  expect(TRTC.TYPE.STREAM_TYPE_SUB).toBe('sub');
  expect(TRTC.ERROR_CODE.SERVER_ERROR).toBe(5400);
});
