// Plugins, as the others see and hear what they do: each is loaded when it is used, and nothing of it comes from elsewhere.
import { input, hears, incoming, isNear, open, rest, until } from './browsers.mjs';

const [red, green] = [[200, 40, 40], [30, 160, 30]];

/** Two in a call, one of whom shows one colour. */
async function call(browser, room) {
  const [ann, ben] = [await open(browser, 'ann'), await open(browser, 'ben')];
  const foreign = [];
  ann.on('request', (request) => { if (!/^(blob|data):/.test(request.url()) && !request.url().startsWith(input.url)) foreign.push(request.url()); });
  await ben.evaluate((room) => { watchAll(240); return enter(room, 'anchor', { scene: 'rtc' }); }, room);
  await ann.evaluate((room) => enter(room, 'anchor', { scene: 'rtc' }), room);
  const looks = (what, check, { user = 'ann', ms } = {}) => until(what, async () => {
    const seen = await ben.evaluate((user) => {
      const video = document.querySelector(`#view-main-${user} video`);
      if (!video?.videoWidth) return null;
      const canvas = Object.assign(document.createElement('canvas'), { width: video.videoWidth, height: video.videoHeight });
      const context = canvas.getContext('2d');
      context.drawImage(video, 0, 0);
      const at = (x, y) => [...context.getImageData(x * (canvas.width - 1), y * (canvas.height - 1), 1, 1).data].slice(0, 3);
      return { width: canvas.width, height: canvas.height, corner: at(0.05, 0.2), middle: at(0.5, 0.5), left: at(0.25, 0.5), right: at(0.75, 0.5) };
    }, user);
    globalThis.last = seen;
    return seen && check(seen) && seen;
  }, ms).catch((error) => { throw new Error(`${error.message}; it is ${JSON.stringify(globalThis.last)}`); });
  const level = async () => (await incoming(ben, 'ann', 'audio'))?.audioLevel ?? 0;
  return { ann, ben, looks, level, foreign };
}

const failing = (page, name, method, options) =>
  page.evaluate(({ name, method, options }) => trtc[method](name, options).then(() => 'nothing', ({ name: kind, code, extraCode, functionName }) => `${kind} ${code} ${extraCode} ${functionName}`), { name, method, options });

/** Pictures that are drawn over, changed and put together; sounds beside the microphone's. */
export async function plugins(browser) {
  const { ann, ben, looks, level, foreign } = await call(browser, 'works');
  await ann.evaluate(() => trtc.startLocalVideo({ view: 'local', option: { videoTrack: paint('rgb(200,40,40)'), profile: '240p', small: false } }));
  await looks('the picture as it is', ({ corner, middle }) => isNear(corner, red) && isNear(middle, red));
  // Over the picture, for the others and for oneself.
  await ann.evaluate(() => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 20, height: 20 });
    const context = canvas.getContext('2d');
    context.fillStyle = 'rgb(30,160,30)';
    context.fillRect(0, 0, 20, 20);
    globalThis.picture = canvas.toDataURL();
    context.fillStyle = 'rgb(40,60,200)';
    context.fillRect(0, 0, 20, 20);
    globalThis.blue = canvas.toDataURL();
    return trtc.startPlugin('Watermark', { imageUrl: picture, x: 0, y: 20, size: { width: 80, height: 80 } });
  });
  await looks('a watermark', ({ corner, middle }) => isNear(corner, green) && isNear(middle, red));
  await ann.evaluate(() => trtc.updatePlugin('Watermark', { imageUrl: picture, x: 120, y: 80, size: { width: 80, height: 80 } }));
  await looks('the watermark elsewhere', ({ corner, middle }) => isNear(corner, red) && isNear(middle, green));
  // It stays with another camera.
  await ann.evaluate(() => trtc.updateLocalVideo({ option: { videoTrack: paint('rgb(40,60,200)') } }));
  await looks('the watermark on another picture', ({ corner, middle }) => isNear(corner, [40, 60, 200]) && isNear(middle, green));
  await ann.evaluate(() => trtc.updateLocalVideo({ option: { videoTrack: paint('rgb(200,40,40)') } }));
  const twice = await failing(ann, 'Watermark', 'startPlugin', { imageUrl: 'data:,', x: 0, y: 0 });
  await ann.evaluate(() => trtc.stopPlugin('Watermark'));
  await looks('the picture without it', ({ corner, middle }) => isNear(corner, red) && isNear(middle, red));
  // Skin, with more light.
  await ann.evaluate(() => trtc.updateLocalVideo({ option: { videoTrack: paint('rgb(150,110,90)') } }));
  await looks('skin', ({ middle }) => isNear(middle, [150, 110, 90]));
  await ann.evaluate(() => trtc.startPlugin('BasicBeauty', { beauty: 1, brightness: 1, ruddy: 0 }));
  await looks('brighter skin', ({ middle: [r, g, b] }) => r > 170 && g > 125 && b > 105);
  await ann.evaluate(() => trtc.updatePlugin('BasicBeauty', { brightness: 0 }));
  await looks('skin with as much light as before', ({ middle: [r, g, b] }) => r < 170 && g < 125 && b < 105);
  await ann.evaluate(() => trtc.stopPlugin('BasicBeauty'));
  await looks('skin as it is', ({ middle }) => isNear(middle, [150, 110, 90]));
  // Nobody is in the picture, so all of it is background.
  await ann.evaluate(() => trtc.startPlugin('VirtualBackground', { type: 'color', color: [30, 160, 30] }));
  await looks('another background', ({ corner, middle }) => isNear(corner, green) && isNear(middle, green));
  await ann.evaluate(() => trtc.updatePlugin('VirtualBackground', { type: 'image', src: blue }));
  await looks('a picture behind', ({ corner, middle }) => isNear(corner, [40, 60, 200]) && isNear(middle, [40, 60, 200]));
  await ann.evaluate(() => trtc.updatePlugin('VirtualBackground', { type: 'blur' }));
  await looks('the blurred room', ({ corner, middle }) => isNear(corner, [150, 110, 90]) && isNear(middle, [150, 110, 90]));
  await ann.evaluate(() => trtc.stopPlugin('VirtualBackground'));
  // Several pictures as one.
  const mixed = await ann.evaluate(async () => {
    const place = { y: 0, width: 320, height: 480, zIndex: 1, fillMode: 'cover' };
    const { track, result } = await trtc.startPlugin('VideoMixer', {
      canvasInfo: { width: 640, height: 480, canvasColor: '#123456' },
      camera: [{ id: 'left', videoTrack: paint('rgb(200,40,40)'), layout: { ...place, x: 0 } }, { id: 'right', videoTrack: paint('rgb(40,60,200)'), layout: { ...place, x: 320 } }],
      image: [{ id: 'logo', url: picture, layout: { x: 280, y: 200, width: 80, height: 80, zIndex: 2 } }, { id: 'lost', url: '/nowhere.png', layout: { ...place, x: 0 } }],
    });
    await trtc.updateLocalVideo({ option: { videoTrack: track } });
    return result.failedDetails.map(({ id }) => id);
  });
  await looks('both pictures', ({ left, right, middle }) => isNear(left, red) && isNear(right, [40, 60, 200]) && isNear(middle, green));
  await ann.evaluate(() => trtc.updatePlugin('VideoMixer', { image: [] }));
  await looks('both without the logo', ({ middle }) => !isNear(middle, green));
  await ann.evaluate(() => trtc.stopPlugin('VideoMixer'));
  await ann.evaluate(() => trtc.stopLocalVideo());

  // Music, without a microphone and beside one.
  const heard = {};
  await ann.evaluate(() => {
    const [rate, seconds] = [48_000, 2];
    const view = new DataView(new ArrayBuffer(44 + rate * seconds * 2));
    const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
    text(0, 'RIFF'); view.setUint32(4, 36 + rate * seconds * 2, true); text(8, 'WAVEfmt '); view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
    view.setUint32(24, rate, true); view.setUint32(28, rate * 2, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true); text(36, 'data'); view.setUint32(40, rate * seconds * 2, true);
    for (let i = 0; i < rate * seconds; i += 1) view.setInt16(44 + 2 * i, 12_000 * Math.sin((i * 2 * Math.PI * 440) / rate), true);
    globalThis.tone = URL.createObjectURL(new Blob([view], { type: 'audio/wav' }));
    return trtc.startPlugin('AudioMixer', { id: 'song', url: tone, loop: true, volume: 1 });
  });
  await until('music', async () => (await level()) > 0.1);
  await ann.evaluate(() => trtc.updatePlugin('AudioMixer', { id: 'song', volume: 0.05 }));
  heard.quieter = await until('quieter music', async () => { const now = await level(); return now > 0.001 && now < 0.05 && now; });
  await ann.evaluate(() => trtc.updatePlugin('AudioMixer', { id: 'song', operation: 'pause' }));
  await until('no music', async () => (await level()) < 0.001);
  await ann.evaluate(() => trtc.updatePlugin('AudioMixer', { id: 'song', operation: 'resume', volume: 1 }));
  await until('music again', async () => (await level()) > 0.1);
  await ann.evaluate(() => trtc.stopPlugin('AudioMixer', { id: 'song' }));
  await until('no music any more', () => ben.evaluate(() => seen.some(([name, { userId }]) => name === 'remote-audio-unavailable' && userId === 'ann')));
  // Noise, and far less of it.
  await ann.evaluate(() => {
    const context = new AudioContext({ sampleRate: 48_000 });
    const noise = context.createBuffer(1, 96_000, 48_000);
    // Pink, as of fans and streets: most of what voices are not.
    let level = 0;
    noise.getChannelData(0).forEach((_, at, samples) => (samples[at] = 2 * (level = 0.97 * level + 0.06 * (Math.random() - 0.5))));
    const source = Object.assign(context.createBufferSource(), { buffer: noise, loop: true });
    const out = context.createMediaStreamDestination();
    source.connect(out);
    source.start();
    return trtc.startLocalAudio({ option: { audioTrack: out.stream.getAudioTracks()[0] } });
  });
  heard.noise = await until('noise', async () => { const now = await level(); return now > 0.05 && now; });
  await ann.evaluate(({ app, sig }) => trtc.startPlugin('AIDenoiser', { sdkAppId: app, userId: 'ann', userSig: sig }), { app: input.app, sig: input.sigs.ann });
  heard.denoised = await until('less noise', async () => { const now = await level(); return now < heard.noise / 5 && [now]; });
  await ann.evaluate(() => trtc.updatePlugin('AIDenoiser', { mode: 0 }));
  await until('as little noise', async () => (await level()) < heard.noise / 5);
  await ann.evaluate(() => trtc.stopPlugin('AIDenoiser'));
  await until('noise again', async () => (await level()) > heard.noise / 2);

  const failures = {
    twice,
    unknown: await failing(ann, 'Karaoke', 'startPlugin', {}),
    unstarted: await failing(ann, 'Watermark', 'updatePlugin', { imageUrl: 'x' }),
    stopped: await failing(ann, 'Watermark', 'stopPlugin'),
    incomplete: await failing(ann, 'AudioMixer', 'startPlugin', { id: 'x' }),
    mistyped: await failing(ann, 'AudioMixer', 'startPlugin', { id: 'x', url: 'x.mp3', loop: 'yes' }),
    silent: await failing(ann, 'AudioMixer', 'startPlugin', { id: 'x', url: '/nowhere.mp3' }),
    unseen: await failing(ann, 'Watermark', 'startPlugin', { imageUrl: '/nowhere.png' }),
    cloud: await failing(ann, 'CDNStreaming', 'startPlugin', { target: { publishMode: 'x' } }),
    far: await failing(ann, 'AIDenoiser', 'startPlugin', { mode: 1 }),
  };
  // What the page brings itself.
  const own = await ann.evaluate(async () => {
    class Stamp {
      static Name = 'Stamp';
      constructor(core) { this.core = core; }
      start(options) { return [options, typeof this.core.setEffect]; }
      stop() {}
    }
    const other = TRTC.create({ plugins: [Stamp] });
    trtc.use({ plugin: Stamp });
    return [await trtc.startPlugin('Stamp', 1), await other.startPlugin('Stamp', 2)];
  });
  return { twice, mixed, heard, failures, own, foreign, tracks: await ben.evaluate(() => seen.length > 0) };
}

/** Panels over the page, and a page without modules. */
export async function panels(browser) {
  const { ann } = await call(browser, 'desk');
  await ann.evaluate(() => trtc.updatePlugin('Debug', { visible: true }));
  await until('figures', () => ann.evaluate(() => /rtt \d+ ms/.test(document.querySelector('aside')?.textContent ?? '')));
  await ann.evaluate(() => trtc.updatePlugin('Debug', { visible: false }));
  const gone = await ann.evaluate(() => document.querySelector('aside') === null);
  await ann.evaluate(() => trtc.exitRoom());
  const found = ann.evaluate(({ app, sig }) => trtc.startPlugin('DeviceDetector', { networkDetect: { sdkAppId: app, userId: 'ann', userSig: sig }, language: 'en' }), { app: input.app, sig: input.sigs.ann });
  const titles = [];
  for (const answer of ['Yes', 'Yes', 'No', undefined, 'Done']) {
    const title = ann.locator('dialog h2');
    await until('another step', async () => (await title.count()) > 0 && (await title.textContent()) !== titles.at(-1));
    titles.push(await title.textContent());
    if (input.shots) await ann.screenshot({ path: `${input.shots}/detector-${titles.length}.png` });
    if (answer === 'Yes') await until('devices to choose from', async () => (await ann.locator('dialog option').count()) > 0);
    if (answer) await ann.locator('dialog button', { hasText: answer }).last().click();
    else await until('the network to be tried', async () => (await title.textContent()) !== titles.at(-1));
  }
  const { camera, microphone, speaker, network } = await found;
  const left = await ann.evaluate(() => document.querySelectorAll('dialog').length);

  const page = await (await browser.newContext()).newPage();
  await page.goto(`${input.url}/healthz`);
  await page.setContent(`<!doctype html><div id=local style="width:320px;height:240px"></div><script src="${input.url}/sdk/roomful-client.umd.js"></script>`);
  const classic = await page.evaluate(async () => {
    const trtc = TRTC.create();
    await trtc.startPlugin('Debug');
    return trtc.startPlugin('Karaoke').then(() => 'nothing', (error) => [error instanceof TRTC.RtcError, error.code, document.querySelectorAll('aside').length]);
  });
  return { gone, titles, found: [camera, microphone, speaker, network].map(({ isSuccess }) => isSuccess), left, classic };
}

/** What is left of section "rest": devices that are gone, profiles, names of rooms, and who goes away. */
export async function odds(browser) {
  const { ann, ben, looks } = await call(browser, 'odds');
  await ann.evaluate(() => trtc.startLocalVideo({ option: { cameraId: 'gone', profile: '480p', small: false } }));
  // A browser that is short of time sends less at first, and takes its time until it tries again.
  await looks('the camera that is there', ({ width, height }) => width === 640 && height === 480, { ms: 90_000 });
  await ann.evaluate(() => trtc.updateLocalVideo({ option: { profile: '120p_2' } }));
  await looks('the smaller picture', ({ width, height }) => width === 160 && height === 120);
  const sent = await ann.evaluate(() => trtc.sendCustomMessage({ cmdId: 1, data: new ArrayBuffer(3) }) instanceof Promise);
  await ann.evaluate(() => trtc.exitRoom());
  await ben.evaluate(() => trtc.exitRoom());
  // A name as long as those of pages may be.
  const long = await ben.evaluate(async () => { await enter('r'.repeat(64), 'anchor', { scene: 'rtc' }); await trtc.exitRoom(); return enter('r'.repeat(65), 'anchor').then(() => 'nothing', ({ extraCode }) => extraCode); });
  // Muted before entering, in the room of that number; that of its digits is another.
  await ann.evaluate(() => enter(undefined, 'anchor', { scene: 'rtc', roomId: 123 }));
  await ann.evaluate(() => trtc.startLocalAudio());
  await ben.evaluate(() => trtc.muteRemoteAudio('ann', true));
  await ben.evaluate(() => enter('123', 'anchor', { scene: 'rtc', roomId: 123, playoutDelay: { min: 300, max: 800 } }));
  await until('her to be there', () => ben.evaluate(() => seen.some(([name, { userId }]) => name === 'remote-audio-available' && userId === 'ann')));
  await new Promise((done) => setTimeout(done, 500));
  const muted = await ben.evaluate(() => trtc.getAudioTrack('ann') === null);
  await ben.evaluate(() => trtc.muteRemoteAudio('ann', false));
  await hears(ben, 'ann');
  await until('the delay that was asked for', () => ben.evaluate(() => peers.some((pc) => pc.connectionState === 'connected' && pc.getReceivers().some((one) => one.jitterBufferTarget === 300))));
  const other = await open(browser, 'cat', { code: () => {
    const Native = WebSocket;
    globalThis.WebSocket = class extends Native {
      constructor(url) {
        super(globalThis.isCut ? 'ws://127.0.0.1:9/' : url);
        globalThis.socket = this;
      }
    };
  } });
  await other.evaluate(() => enter('123', 'anchor', { scene: 'rtc' }));
  const alone = await other.evaluate(async () => (await trtc.room.getUserList()).userInfoList.map(({ userId }) => userId));
  // A page that goes away while it has no connection, which it could not make again.
  const listed = async () => (await rest('room_engine_http_srv/get_room_member_list', { RoomId: '123', Next: '' })).MemberList.map((one) => one.Member_Account);
  await other.evaluate(() => { globalThis.isCut = true; socket.close(3000); });
  await until('the loss to be noticed', () => other.evaluate(() => seen.some(([name, value]) => name === 'connection-state-changed' && value.isReconnecting)));
  const before = await listed();
  const leftAt = Date.now();
  await other.goto('about:blank');
  await until('her to be off the list', async () => (await listed()).length === 0, 5_000);
  return { sent, long, muted, alone, before, tookMs: Date.now() - leftAt };
}
