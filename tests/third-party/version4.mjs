// Pages that were written for version 4 of the cloud's SDK: clients and streams, beside a page of today.
import { input, hears, isNear, open, seesFrames, until } from './browsers.mjs';

/** A page with version 4 as its global, which joins as `user` and takes whatever is there. */
async function page4(browser, user, settings = {}) {
  const page = await (await browser.newContext({ viewport: { width: 800, height: 600 } })).newPage();
  page.on('pageerror', (error) => process.stderr.write(`${user}: ${error}\n`));
  await page.goto(`${input.url}/healthz`);
  await page.setContent(`<!doctype html><div id=local style="width:320px;height:240px"></div><div id=remote style="width:320px;height:240px"></div>
    <script src="${input.url}/sdk/roomful-client-v4.umd.js"></script>`);
  await page.evaluate(({ app, user, sig, settings }) => {
    globalThis.said = [];
    globalThis.client = TRTC.createClient({ mode: 'rtc', sdkAppId: app, userId: user, userSig: sig, ...settings });
    for (const name of ['peer-join', 'peer-leave', 'mute-audio', 'mute-video', 'unmute-audio', 'unmute-video']) client.on(name, ({ userId }) => said.push(`${name} ${userId}`));
    for (const name of ['stream-added', 'stream-updated', 'stream-removed', 'stream-subscribed']) client.on(name, ({ stream }) => said.push(`${name} ${stream.getUserId()} ${stream.getType()} ${stream.hasAudio()} ${stream.hasVideo()}`));
    client.on('error', (error) => said.push(`error ${error.getCode()}`));
    client.on('client-banned', ({ reason, message }) => said.push(`banned ${reason} ${typeof message}`));
    client.on('sei-message', ({ userId, data, seiPayloadType, isFromAuxiliary }) => said.push(`sei ${userId} ${seiPayloadType} ${isFromAuxiliary} ${new Uint8Array(data)}`));
    client.on('stream-added', ({ stream }) => client.subscribe(stream));
    client.on('stream-subscribed', ({ stream }) => {
      stream.on('player-state-changed', ({ type, state }) => said.push(`${type} ${state}`));
      stream.on('connection-state-changed', ({ prevState, state }) => said.push(`${stream.getUserId()} ${stream.getType()} ${prevState} ${state}`));
      stream.play('remote', { objectFit: 'contain' });
      globalThis.theirs = stream;
    });
  }, { app: input.app, user, sig: input.sigs[user], settings });
  const hasSaid = (what, ms) => until(`${user} to be told: ${what}`, () => page.evaluate((what) => said.includes(what), what), ms).catch(async (error) => { throw new Error(`${error.message}; it was told ${await page.evaluate(() => said.join(', '))}`); });
  return { page, hasSaid };
}

const failing = (page, work) => page.evaluate(async (work) => {
  try {
    await Function('client', 'TRTC', `return ${work}`)(client, TRTC);
    return 'nothing';
  } catch (error) {
    return `${error.name} 0x${error.getCode().toString(16)}`;
  }
}, work);

/** Clients of version 4 see and hear each other, and those of today. */
export async function version4(browser) {
  const ben = await open(browser, 'ben');
  await ben.evaluate(() => { watchAll(240); return enter(undefined, 'anchor', { scene: 'rtc', roomId: 77 }); });
  const { page: ann, hasSaid: annHeard } = await page4(browser, 'ann');
  const { page: cat, hasSaid: catHeard } = await page4(browser, 'cat');
  const early = await failing(ann, 'client.publish(TRTC.createStream({ audio: true }))');
  await ann.evaluate(() => client.join({ roomId: 77 }));
  await cat.evaluate(() => client.join({ roomId: 77 }));
  await annHeard('peer-join ben');
  await annHeard('peer-join cat');
  await ann.evaluate(async () => {
    globalThis.stream = TRTC.createStream({ userId: 'ann', audio: true, video: true, mirror: true });
    stream.setVideoProfile('240p');
    stream.setVideoProfile('640p');
    await stream.initialize();
    stream.on('connection-state-changed', ({ prevState, state }) => said.push(`own ${prevState} ${state}`));
    await client.publish(stream);
    await stream.play('local');
  });
  await annHeard('own DISCONNECTED CONNECTING');
  await annHeard('own CONNECTING CONNECTED');
  const again = await failing(ann, 'client.publish(TRTC.createStream({ audio: true }))');
  await seesFrames(ben, 'ann');
  await hears(ben, 'ann');
  await until('both of it', () => cat.evaluate(() => globalThis.theirs?.hasAudio() && theirs.hasVideo()));
  await catHeard('video PLAYING');
  await catHeard('audio PLAYING');
  const shown = await until('a picture', () => cat.evaluate(() => {
    const video = document.querySelector(`#remote #player_${theirs.getId()} video`);
    return video?.videoWidth > 0 && [video.videoWidth, video.videoHeight, video.style.objectFit, theirs.getVideoFrame().startsWith('data:image/png')];
  }));
  await until('a level', () => cat.evaluate(() => theirs.getAudioLevel() > 0.01));
  const volumes = await cat.evaluate(() => new Promise((resolve) => {
    client.on('audio-volume', ({ result }) => result.some(({ userId, audioVolume }) => userId === 'ann' && audioVolume > 1) && resolve(result.length));
    setTimeout(() => resolve('nobody was heard'), 20_000);
    client.enableAudioVolumeEvaluation(100);
  }));
  // Off and on again: the stream stays.
  await ann.evaluate(() => stream.muteVideo());
  await catHeard('mute-video ann');
  const muted = await cat.evaluate(() => client.getRemoteMutedState().map(({ userId, audioMuted, videoMuted }) => [userId, audioMuted, videoMuted]));
  await ann.evaluate(() => stream.unmuteVideo());
  await catHeard('unmute-video ann');
  await ann.evaluate(() => stream.muteAudio());
  await catHeard('mute-audio ann');
  await ann.evaluate(() => stream.unmuteAudio());
  await catHeard('unmute-audio ann');
  // Another camera, and a screen beside it.
  await ann.evaluate(async () => {
    const [camera] = await TRTC.getCameras();
    await stream.switchDevice('video', camera.deviceId);
    const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 240 });
    const context = canvas.getContext('2d');
    setInterval(() => { context.fillStyle = 'rgb(30,160,30)'; context.fillRect(0, 0, 320, 240); }, 50);
    globalThis.board = TRTC.createStream({ userId: 'ann', audio: false, screen: true, videoSource: canvas.captureStream(20).getVideoTracks()[0] });
    await board.initialize();
    await client.publish(board, { isAuxiliary: true });
  });
  await catHeard('stream-subscribed ann auxiliary false true');
  await seesFrames(ben, 'ann', 'sub');
  await seesFrames(ben, 'ann');
  await ann.evaluate(() => client.unpublish(board));
  await catHeard('stream-removed ann auxiliary false false');
  // A device that goes away is there again: its track ends, and the others go on seeing one.
  const recovered = await ann.evaluate(() => new Promise((resolve) => {
    const lost = stream.getVideoTrack();
    stream.on('device-auto-recovered', ({ isCamera, isMicrophone, cameraId }) => resolve([isCamera, isMicrophone, cameraId !== '', stream.getVideoTrack() !== lost, stream.getVideoTrack().readyState]));
    lost.stop();
    lost.dispatchEvent(new Event('ended'));
    setTimeout(() => resolve('it did not come back'), 20_000);
  }));
  await seesFrames(ben, 'ann');
  // Data beside the picture, as both versions have it.
  await ann.evaluate(() => client.sendSEIMessage(new Uint8Array([7, 8]).buffer, { seiPayloadType: 5 }));
  await catHeard('sei ann 5 false 7,8');
  const sei = await until('the data', () => ben.evaluate(() => seen.find(([name]) => name === 'sei-message')?.[1])).then(({ userId, streamType, seiPayloadType }) => [userId, streamType, seiPayloadType]);
  // A track more, and one less.
  await ann.evaluate(() => stream.removeTrack(stream.getVideoTrack()));
  await catHeard('stream-updated ann main true false');
  // What a page of today sends.
  await ben.evaluate(() => trtc.startLocalVideo({ option: { videoTrack: paint('rgb(200,40,40)'), profile: '240p' } }));
  await annHeard('stream-subscribed ben main false true');
  await until('the picture of today', async () => {
    const url = await ann.evaluate(() => theirs.getVideoFrame());
    return isNear(await ben.evaluate(async (url) => {
      if (!url) return null;
      const image = new Image();
      image.src = url;
      await image.decode();
      const canvas = Object.assign(document.createElement('canvas'), { width: image.width, height: image.height });
      const context = canvas.getContext('2d');
      context.drawImage(image, 0, 0);
      return [...context.getImageData(image.width / 2, image.height / 2, 1, 1).data].slice(0, 3);
    }, url), [200, 40, 40]);
  });
  const stats = await ann.evaluate(async () => {
    const [local, remote, transport] = [await client.getLocalAudioStats(), await client.getRemoteVideoStats(), await client.getTransportStats()];
    return [local.ann.packetsSent > 0, remote.ben.framesDecoded > 0, typeof transport.rtt];
  });
  const failures = [early, again, await failing(ann, 'client.join({ roomId: 1 })'), await failing(ann, 'client.startMixTranscode({})'), await failing(ann, "stream.switchDevice('audio', 'none')"), await failing(ann, 'TRTC.createClient({})')];
  await ann.evaluate(async () => { await client.leave(); stream.stop(); stream.close(); client.destroy(); });
  await catHeard('stream-removed ann main false false');
  await catHeard('peer-leave ann');
  const left = await ann.evaluate(() => document.querySelectorAll('#local video, #remote video').length);
  await annHeard('own CONNECTED DISCONNECTED');
  await catHeard('ann main CONNECTED DISCONNECTED');
  // The same user by another page: who sends and came first goes out.
  await cat.evaluate(async () => {
    globalThis.stream = TRTC.createStream({ audio: true, video: false });
    await stream.initialize();
    await client.publish(stream);
  });
  const { page: other } = await page4(browser, 'cat');
  await other.evaluate(() => client.join({ roomId: 77 }));
  await catHeard('banned kick string');
  return { shown, volumes, muted, stats, failures, left, recovered, sei };
}
