// What pages do that were written for the cloud's SDK: how they load it, call it and listen to it.
import { input, hears, isNear, launchStoppable, open, pause, rest, seesFrames, until } from './browsers.mjs';

const SEATS = { RoomType: 'Live', SeatTemplate: 'VideoDynamicGrid9Seats', TakeSeatMode: 'FreeToTake' };

/** The client as a classic script: the global `TRTC`, in a page without modules, beside one with. */
export async function classic(browser) {
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'kiosk', ...SEATS } });
  const ben = await open(browser, 'ben');
  // What encrypts comes from beside the client, to modules and scripts alike.
  await ben.evaluate(async () => {
    await trtc.enableEncryption({ key: 'said among members' });
    watchAll(240);
    await enter('kiosk', 'audience');
  });
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${input.url}/healthz`);
  await page.setContent(`<!doctype html><div id=local style="width:320px;height:240px"></div>
    <script src="${input.url}/sdk/roomful-client.umd.js"></script>
    <script>var trtc = TRTC.create();</script>`);
  await page.evaluate(async ({ app, sig }) => {
    await trtc.enableEncryption({ key: 'said among members' });
    await trtc.enterRoom({ sdkAppId: app, userId: 'ann', userSig: sig, strRoomId: 'kiosk', scene: TRTC.TYPE.SCENE_LIVE });
    await trtc.startLocalVideo({ view: 'local' });
    await trtc.startLocalAudio();
  }, { app: input.app, sig: input.sigs.ann });
  await seesFrames(ben, 'ann');
  await hears(ben, 'ann');
  return page.evaluate(() => [typeof TRTC, TRTC.EVENT.TRACK, typeof TRTC.Room, new TRTC.RtcError({ code: 1, message: 'x' }) instanceof Error,
    performance.getEntriesByType('resource').map(({ name }) => name.split('/sdk/')[1]).filter((name) => name?.startsWith('plugins/'))]);
}

/** What is on goes off and comes back, in the places that the connection has already, and with its layers. */
export async function again(browser) {
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'stairs', ...SEATS } });
  const [ann, ben] = [await open(browser, 'ann'), await open(browser, 'ben')];
  await ben.evaluate(() => { watchAll(240); return enter('stairs', 'audience'); });
  await ann.evaluate(() => enter('stairs', 'anchor'));
  const camera = (small) => ann.evaluate((small) => trtc.startLocalVideo({ option: { videoTrack: paint('rgb(200,40,40)', 640, 480), small, profile: { width: 640, height: 480, frameRate: 15, bitrate: 600 } } }), small);
  const off = () => ann.evaluate(() => trtc.stopLocalVideo());
  const lines = () => ann.evaluate(() => peers.findLast((pc) => pc.connectionState !== 'closed' && pc.localDescription).localDescription.sdp.split('\r\nm=').slice(1).map((section) =>
    [section.split(' ')[0], /a=mid:(\S+)/.exec(section)[1], /a=(sendonly|inactive|recvonly)/.exec(section)[1], section.match(/a=rid:/g)?.length ?? 0].join(' ')));
  const screen = async () => {
    await ann.evaluate(() => trtc.startScreenShare());
    await seesFrames(ben, 'ann', 'sub');
    await ann.evaluate(() => trtc.stopScreenShare());
  };
  const seen = {};
  await camera(false);
  await seesFrames(ben, 'ann');
  await screen();
  await off();
  seen.without = await lines();
  // Sent otherwise it gets a place of its own.
  await camera('120p');
  await seesFrames(ben, 'ann');
  seen.layered = await lines();
  await screen();
  await off();
  seen.off = await lines();
  await camera('120p');
  await seesFrames(ben, 'ann');
  seen.back = await lines();
  await off();
  await camera(false);
  await seesFrames(ben, 'ann');
  seen.last = await lines();
  return { ...seen, connections: await ann.evaluate(() => peers.length) };
}

/** Numbers that are the same in every run. */
function dice(seed) {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

/** What a page and its room are after calls in this order, each of which has been carried out before the next. */
class Model {
  isInside = false;
  role = 'anchor';
  devices = { Audio: undefined, Video: undefined };

  /** Returns the codes it may fail with; none when it does not fail. */
  take([name, value]) {
    const device = ['Audio', 'Video'].find((one) => name.endsWith(one));
    switch (name.replace(/Local(Audio|Video)/, '')) {
      case 'enterRoom':
        if (this.isInside) return [5100, 5998];
        [this.isInside, this.role] = [true, value];
        return [];
      case 'exitRoom':
        [this.isInside, this.role] = [false, 'anchor'];
        return [];
      case 'switchRole':
        if (!this.isInside) return [5100];
        this.role = value;
        return [];
      case 'start':
        if (this.role === 'audience') return [5100];
        if (this.devices[device]) return [5998];
        this.devices[device] = { isMuted: false };
        return [];
      case 'update':
        if (!this.devices[device]) return [5998];
        this.devices[device].isMuted = value;
        return [];
      default:
        this.devices[device] = undefined;
        return [];
    }
  }

  get shown() {
    const { isInside, role, devices: { Audio, Video } } = this;
    const flows = (device) => isInside && role === 'anchor' && device !== undefined;
    return {
      isInside,
      tracks: [Audio, Video].map((device) => (device ? !device.isMuted : null)),
      published: [Audio, Video].map(flows),
      heard: [Audio, Video].map((device) => flows(device) && !device.isMuted),
    };
  }
}

/** Calls that nobody waits for are carried out in order, and the last word holds: any history of them ends as the model does. */
export async function histories(browser) {
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'forum', ...SEATS } });
  const [ann, ben] = [await open(browser, 'ann'), await open(browser, 'ben')];
  await ben.evaluate(() => enter('forum', 'audience'));
  const fixed = [
    [['enterRoom', 'anchor'], ['startLocalAudio'], ['startLocalVideo'], ['stopLocalAudio'], ['stopLocalVideo'], ['switchRole', 'audience']],
    [['switchRole', 'audience'], ['switchRole', 'anchor'], ['startLocalVideo']],
    [['switchRole', 'audience'], ['exitRoom'], ['enterRoom', 'anchor'], ['startLocalAudio']],
    [['enterRoom', 'anchor'], ['exitRoom']],
    [['startLocalVideo'], ['enterRoom', 'audience'], ['exitRoom'], ['enterRoom', 'anchor'], ['stopLocalVideo'], ['startLocalVideo']],
  ];
  const model = new Model();
  let calls = 0;
  for (let seed = 0; seed < fixed.length + (input.seeds ?? 25); seed += 1) {
    const roll = dice(seed + 1);
    const any = () => [['enterRoom', ['anchor', 'audience'][roll(2)]], ['exitRoom'], ['switchRole', ['anchor', 'audience'][roll(2)]],
      ...['Audio', 'Video'].flatMap((one) => [[`startLocal${one}`], [`startLocal${one}`], [`stopLocal${one}`], [`updateLocal${one}`, roll(2) === 1]])][roll(11)];
    const history = fixed[seed] ?? Array.from({ length: 8 }, any);
    const pauses = history.map(() => (fixed[seed] ? 0 : [0, 0, 0, 5, 40, 200][roll(6)]));
    const results = await ann.evaluate(async ({ history, pauses }) => {
      seen.length = 0;
      const settled = [];
      for (const [at, [name, value]] of history.entries()) {
        const work = name === 'enterRoom' ? enter('forum', value) : trtc[name](name.startsWith('update') ? { mute: value } : value);
        const never = new Promise((done) => setTimeout(done, 20_000, 'nothing'));
        settled.push(Promise.race([work.then(() => 0, (error) => error.code ?? String(error)), never]));
        if (pauses[at]) await new Promise((done) => setTimeout(done, pauses[at]));
      }
      return Promise.all(settled);
    }, { history, pauses });
    const said = `${seed}: ${history.map((call, at) => `${call.join(' ')} -> ${results[at]}`).join(', ')}`;
    for (const [at, call] of history.entries()) {
      const codes = model.take(call);
      // Leaving comes before what concerns the room.
      const isCut = ['enterRoom', 'switchRole'].includes(call[0]) && history.slice(at).some(([name]) => name === 'exitRoom');
      const allowed = [...(codes.length > 0 ? codes : [0]), ...(isCut ? [5998] : [])];
      if (!allowed.includes(results[at])) throw new Error(`${call.join(' ')} ended with ${results[at]} instead of ${allowed}: ${said}`);
    }
    const wanted = JSON.stringify(model.shown);
    let shown;
    await until(`${wanted} after ${said}`, async () => {
      const own = await ann.evaluate(() => {
        const state = (kind) => seen.findLast(([name, value]) => name === 'publish-state-changed' && value.mediaType === kind)?.[1].state;
        globalThis.states = { ...globalThis.states, ...Object.fromEntries(['audio', 'video'].map((kind) => [kind, state(kind)]).filter(([, one]) => one)) };
        return {
          tracks: [trtc.getAudioTrack(), trtc.getVideoTrack()].map((track) => (track ? track.enabled : null)),
          published: ['audio', 'video'].map((kind) => states[kind] === 'started'),
        };
      });
      const user = await ben.evaluate(async () => (await trtc.room.getUserList()).userInfoList.find(({ userId }) => userId === 'ann'));
      shown = JSON.stringify({ isInside: user !== undefined, ...own, heard: [user?.hasAudioStream ?? false, user?.hasVideoStream ?? false] });
      return shown === wanted;
    }, 5_000).catch((error) => { throw new Error(`${error.message}; it is ${shown}`); });
    const wrong = await ann.evaluate(() => seen.filter(([name, value]) => name === 'error' || (name === 'publish-state-changed' && value.reason === 'error')).map(([name, value]) => [name, JSON.stringify(value), value.error?.message]));
    if (wrong.length > 0) throw new Error(`the page was told of ${JSON.stringify(wrong)} after ${said}`);
    calls += history.length;
  }
  return { calls };
}

/** Leaving while entering: entering fails by its code, and the member is not on the list. */
export async function hurry(browser) {
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'lobby', ...SEATS } });
  const ann = await open(browser, 'ann');
  const codes = [];
  for (const after of [0, 1, 3, 10, 20, 40]) {
    codes.push(await ann.evaluate(async (after) => {
      const entering = enter('lobby', 'anchor').then(() => 0, ({ code, name, functionName }) => `${code} ${name} ${functionName}`);
      if (after) await new Promise((done) => setTimeout(done, after));
      await trtc.exitRoom();
      return entering;
    }, after));
    const { MemberList } = await rest('live_engine_http_srv/get_member_list', { RoomId: 'lobby', Next: '' });
    if (MemberList.length > 0) throw new Error(`still on the list after ${after} ms`);
  }
  const twice = await ann.evaluate(async () => {
    const again = () => enter('lobby', 'anchor').then(() => 0, ({ code, extraCode }) => extraCode ?? code);
    return [...(await Promise.all([again(), again()])), await again()];
  });
  return { codes, twice };
}

/** Handlers that come after entering hear of those who are there; an instance is kept in a framework's proxy. */
export async function late(browser) {
  const [ann, ben] = [await open(browser, 'ann'), await open(browser, 'ben')];
  await ann.evaluate(() => enter('annex', 'anchor', { scene: 'rtc' }));
  await ann.evaluate(async () => { await trtc.startLocalVideo(); await trtc.startLocalAudio(); });
  const heard = await ben.evaluate(async ({ app, sig }) => {
    const kept = new Proxy(TRTC.create(), {});
    globalThis.heard = [];
    await kept.enterRoom({ sdkAppId: app, userId: 'ben', userSig: sig, strRoomId: 'annex', scene: 'rtc' });
    await new Promise((done) => setTimeout(done, 300));
    for (const name of ['remote-user-enter', 'remote-audio-available', 'remote-video-available']) kept.on(name, (value) => heard.push([name, value]));
    await new Promise((done) => setTimeout(done, 300));
    const once = [...heard];
    await kept.startRemoteVideo({ userId: 'ann', streamType: 'main', view: view('late') });
    globalThis.kept = kept;
    return once;
  }, { app: input.app, sig: input.sigs.ben });
  await until('a picture', () => ben.evaluate(() => document.querySelector('#late video')?.videoWidth > 0));
  await ben.evaluate(async () => { await kept.exitRoom(); kept.destroy(); });
  return { heard };
}

/** What pages are told of their own devices, and of how others' pictures play. */
export async function events(browser) {
  const [ann, ben] = [await open(browser, 'ann'), await open(browser, 'ben')];
  const saw = (page, name, check) => until(`${name} ${check}`, async () => (await page.evaluate((name) => seen.filter(([one]) => one === name).map(([, value]) => value), name)).find(check));
  await ann.evaluate(() => { trtc.on('track', ({ userId, streamType, track, sourceTrack }) => seen.push(['kind', { userId, streamType, kind: track.kind, same: track === sourceTrack }])); });
  await ann.evaluate(() => enter('garden', 'anchor', { scene: 'rtc' }));
  await ben.evaluate(() => { watchAll(240); return enter('garden', 'anchor', { scene: 'rtc' }); });
  await ann.evaluate(async () => { await trtc.startLocalVideo({ view: 'local' }); await trtc.startLocalAudio(); });
  await saw(ann, 'kind', ({ userId, streamType, same }) => userId === '' && streamType === 'main' && same);
  await until('tracks of both kinds', () => ann.evaluate(() => new Set(seen.filter(([name]) => name === 'kind').map(([, { kind }]) => kind)).size === 2));
  const active = await until('all devices', () => ann.evaluate(() => {
    const types = seen.filter(([name, { action }]) => name === 'device-changed' && action === 'active').map(([, { type }]) => type);
    return types.length === 3 && types.sort();
  }));
  await saw(ann, 'audio-play-state-changed', ({ userId, state, reason }) => userId === '' && state === 'PLAYING' && reason === 'playing');
  await saw(ann, 'video-play-state-changed', ({ userId, streamType, state }) => userId === '' && streamType === 'main' && state === 'PLAYING');
  await saw(ann, 'video-size-changed', ({ userId, newWidth, newHeight }) => userId === 'ann' && newWidth === 640 && newHeight === 480);
  // Another's picture plays, and stops when its camera is off for a while, leaving nothing behind.
  const plays = () => ben.evaluate(() => seen.filter(([name, { userId }]) => name === 'video-play-state-changed' && userId === 'ann').map(([, { state, reason }]) => `${state} ${reason}`).join());
  await until('the picture to play', async () => (await plays()).startsWith('PLAYING playing'));
  await ann.evaluate(() => trtc.updateLocalVideo({ mute: true }));
  await until('the picture to stop', async () => (await plays()).endsWith('STOPPED ended'));
  const left = await ben.evaluate(() => document.querySelectorAll('#view-main-ann video').length);
  await ann.evaluate(() => trtc.updateLocalVideo({ mute: false }));
  await until('the picture to play again', async () => (await plays()).endsWith('PLAYING playing'));
  await saw(ben, 'video-size-changed', ({ userId, streamType, newHeight }) => userId === 'ann' && streamType === 'main' && newHeight > 0);
  await ann.evaluate(() => trtc.stopLocalAudio());
  await saw(ann, 'audio-play-state-changed', ({ userId, state, reason }) => userId === '' && state === 'STOPPED' && reason === 'ended');
  await saw(ann, 'publish-state-changed', ({ mediaType, state, reason }) => mediaType === 'audio' && state === 'stopped' && reason === 'api-call');
  // A camera and a microphone that go away are there again, and the others go on seeing and hearing.
  const back = await ann.evaluate(async () => {
    const answers = [];
    await trtc.startLocalAudio();
    for (const [start, get] of [['audio', () => trtc.getAudioTrack()], ['video', () => trtc.getVideoTrack()]]) {
      const lost = get();
      const told = new Promise((resolve) => trtc.on('track', ({ track }) => track !== lost && track.kind === start && resolve(track)));
      lost.stop();
      lost.dispatchEvent(new Event('ended'));
      const track = await told;
      answers.push([track === get(), track.readyState]);
    }
    return answers;
  });
  await seesFrames(ben, 'ann');
  await hears(ben, 'ann');
  await ann.evaluate(() => trtc.stopLocalAudio());
  // Mistakes have their numbers, and are not told as events.
  const failures = await ann.evaluate(async () => {
    const of = (work) => work.then(() => 'nothing', ({ name, code, extraCode, functionName }) => `${name} ${code} ${extraCode} ${functionName}`);
    return [
      await of(trtc.startLocalVideo()), await of(trtc.updateLocalAudio({ mute: true })), await of(trtc.startLocalAudio({ option: { microphoneId: 'none' } })),
      await of(trtc.startRemoteVideo({ userId: 'ben', streamType: 'main' })), await of(trtc.startRemoteVideo({ userId: 'zoe', streamType: 'main' })),
      await of(trtc.updateLocalVideo({ view: 'nowhere' })),
    ];
  });
  const errors = await ann.evaluate(() => seen.filter(([name]) => name === 'error').length);
  const { detail } = await ann.evaluate(() => TRTC.isSupported());
  const permissions = await ann.evaluate(() => TRTC.getPermissions({ request: true, types: ['camera', 'microphone'] }));
  return { active, left, back, failures, errors, detail: Object.keys(detail).length, permissions };
}

/** What is asked for of a camera, a microphone or a screen is what the others get, or is refused. */
export async function options(browser) {
  const [ann, ben] = [await open(browser, 'ann'), await open(browser, 'ben')];
  const looks = (what, kind, check) => until(what, async () => {
    const seen = await ben.evaluate((kind) => {
      const video = document.querySelector(`#view-${kind}-ann video`);
      if (!video?.videoWidth) return null;
      const canvas = Object.assign(document.createElement('canvas'), { width: video.videoWidth, height: video.videoHeight });
      const context = canvas.getContext('2d');
      context.drawImage(video, 0, 0);
      const at = (x, y) => [...context.getImageData(x * (canvas.width - 1), y * (canvas.height - 1), 1, 1).data].slice(0, 3);
      return { width: canvas.width, height: canvas.height, top: at(0.5, 0.1), bottom: at(0.5, 0.9), left: at(0.1, 0.5), right: at(0.9, 0.5) };
    }, kind);
    return seen && check(seen) && seen;
  });
  const [red, blue, green] = [[200, 40, 40], [40, 60, 200], [30, 160, 30]];
  await ann.evaluate(() => enter('studio', 'anchor', { scene: 'rtc' }));
  await ben.evaluate(() => { watchAll(240); return enter('studio', 'anchor', { scene: 'rtc' }); });
  // The left half is red, the right one blue.
  await ann.evaluate(() => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 240 });
    const context = canvas.getContext('2d');
    setInterval(() => {
      context.fillStyle = 'rgb(200,40,40)';
      context.fillRect(0, 0, 160, 240);
      context.fillStyle = 'rgb(40,60,200)';
      context.fillRect(160, 0, 160, 240);
    }, 50);
    return trtc.startLocalVideo({ view: 'local', option: { videoTrack: canvas.captureStream(20).getVideoTracks()[0], profile: '240p', rotation: 90 } });
  });
  await looks('a picture that is turned', 'main', ({ width, height, top, bottom }) => height > width && isNear(top, red) && isNear(bottom, blue));
  const size = await ann.evaluate(() => { const { width, height } = trtc.getVideoTrack({ processed: true }).getSettings(); return [width, height, trtc.getVideoTrack().getSettings().width]; });
  await ann.evaluate(() => trtc.updateLocalVideo({ option: { rotation: 0, mirror: 'publish' } }));
  await looks('a picture that is mirrored', 'main', ({ width, height, left, right }) => width > height && isNear(left, blue) && isNear(right, red));
  await ann.evaluate(() => trtc.updateLocalVideo({ option: { mirror: false } }));
  await looks('the picture as it is', 'main', ({ left, right }) => isNear(left, red) && isNear(right, blue));
  // Another picture in its place, for which the camera is off.
  await ann.evaluate(() => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 40, height: 30 });
    const context = canvas.getContext('2d');
    context.fillStyle = 'rgb(30,160,30)';
    context.fillRect(0, 0, 40, 30);
    return trtc.updateLocalVideo({ mute: canvas.toDataURL() });
  });
  await looks('the picture that was chosen', 'main', ({ left, right }) => isNear(left, green) && isNear(right, green));
  const camera = await ann.evaluate(() => trtc.getVideoTrack().enabled);
  await ann.evaluate(() => trtc.updateLocalVideo({ mute: false }));
  await looks('the camera again', 'main', ({ left, right }) => isNear(left, red) && isNear(right, blue));
  // One element of a page, and nothing around it.
  await ann.evaluate(() => {
    document.body.insertAdjacentHTML('afterbegin', '<div id=box style="width:200px;height:100px;background:rgb(30,160,30)"></div>');
    return trtc.startScreenShare({ option: { captureElement: document.getElementById('box') } });
  });
  const box = await looks('the element', 'sub', ({ width, height }) => Math.abs(width / height - 2) < 0.1);
  await ann.evaluate(() => trtc.stopScreenShare());
  // Muted, and yet told how loud it would be.
  await ann.evaluate(() => { trtc.enableAudioVolumeEvaluation(100); return trtc.startLocalAudio({ mute: true, muteKeepVolumeDetection: true }); });
  const quiet = () => ann.evaluate(() => seen.filter(([name, value]) => name === 'audio-volume' && value.result.some(({ userId, floatVolume }) => userId === '' && floatVolume > 0.001)).length);
  await until('one\'s own volume', async () => (await quiet()) > 3);
  const heard = await ben.evaluate(() => seen.some(([name]) => name === 'remote-audio-available'));
  await ann.evaluate(() => trtc.updateLocalAudio({ mute: false }));
  await hears(ben, 'ann');
  // Louder than it is, and onto the whole screen when the person clicks.
  const louder = await ben.evaluate(() => {
    let made = 0;
    const { createGain } = AudioContext.prototype;
    AudioContext.prototype.createGain = function () { made += 1; return createGain.call(this); };
    trtc.setRemoteAudioVolume('ann', 150);
    return made;
  });
  await ben.evaluate(() => {
    const button = Object.assign(document.createElement('button'), { id: 'full', textContent: 'x' });
    button.onclick = () => trtc.updateRemoteVideo({ userId: 'ann', streamType: 'main', option: { fullScreen: true, poster: 'p.png' } });
    document.body.prepend(button);
  });
  await ben.click('#full');
  await until('the whole screen', () => ben.evaluate(() => seen.some(([name, { userId, isFullScreen }]) => name === 'full-screen-state-changed' && userId === 'ann' && isFullScreen)));
  const refused = await ann.evaluate(async () => {
    const of = (work) => work.then(() => 'nothing', ({ code, extraCode }) => `${code} ${extraCode}`);
    return [
      await of(trtc.startScreenShare({ streamType: 'main' })), await of(trtc.updateLocalVideo({ option: { rotation: 45 } })),
      await of(trtc.updateLocalVideo({ mute: 'nowhere.png' })), await of(trtc.updateLocalVideo({ option: { profile: '8K' } })),
    ];
  });
  return { size, camera, heard, louder, refused, box };
}

/** The same user comes in by another page: the first one goes out, and the others see the second. */
export async function twice(browser) {
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'gate', ...SEATS } });
  const [first, second, ben] = [await open(browser, 'ann'), await open(browser, 'ann'), await open(browser, 'ben')];
  const publish = (page, colour) => page.evaluate((colour) => trtc.startLocalVideo({ option: { videoTrack: paint(colour), profile: '240p' } }), colour);
  await ben.evaluate(() => { watchAll(240); return enter('gate', 'audience'); });
  await first.evaluate(() => enter('gate', 'anchor'));
  await publish(first, 'rgb(200,40,40)');
  await seesFrames(ben, 'ann');
  await second.evaluate(() => enter('gate', 'anchor'));
  await publish(second, 'rgb(40,60,200)');
  const reason = await until('the first to be told', () => first.evaluate(() => seen.find(([name]) => name === 'kicked-out')?.[1].reason));
  await until('the second to be seen', async () => isNear(await ben.evaluate(() => colour('ann')), [40, 60, 200]));
  const after = await first.evaluate(() => trtc.switchRole('audience').then(() => 0, ({ extraCode }) => extraCode));
  const { MemberList } = await rest('live_engine_http_srv/get_member_list', { RoomId: 'gate', Next: '' });
  const kicked = await second.evaluate(() => seen.some(([name]) => name === 'kicked-out'));
  const told = await ben.evaluate(() => seen.filter(([name]) => name === 'sei-message' || name === 'custom-message').length);
  return { reason, after, kicked, told, members: MemberList.map((one) => one.Member_Account).sort() };
}

/** Where the browser plays no sound without a click, a dialog asks for one, and the sound goes on. Nothing is evaluated in the
 * page before: to the browser that would be a click. */
export async function gesture(browser) {
  const ann = await open(browser, 'ann');
  await ann.evaluate(() => enter('chapel', 'anchor', { scene: 'rtc' }));
  await ann.evaluate(() => trtc.startLocalAudio());
  const page = await (await browser.newContext({ viewport: { width: 800, height: 600 } })).newPage();
  const said = [];
  page.on('console', (line) => said.push(line.text()));
  const config = JSON.stringify({ sdkAppId: input.app, userId: 'ben', userSig: input.sigs.ben, strRoomId: 'chapel', scene: 'rtc' });
  const body = `<!doctype html><script src="/sdk/roomful-client.umd.js"></script><script>
    var trtc = TRTC.create();
    trtc.on('autoplay-failed', function (event) { setTimeout(function () { console.log('failed ' + event.userId + ' ' + document.querySelectorAll('dialog[open]').length); }); });
    trtc.on('audio-play-state-changed', function (event) { console.log(event.state + ' ' + event.userId + ' ' + document.querySelectorAll('dialog').length); });
    trtc.enterRoom(${config});</script>`;
  await page.route('**/chapel.html', (route) => route.fulfill({ contentType: 'text/html', body }));
  await page.goto(`${input.url}/chapel.html`);
  await until('the browser to refuse', () => said.includes('failed ann 1')).catch((error) => { throw new Error(`${error.message}: ${said}`); });
  await page.mouse.click(400, 300);
  await until('the sound', () => said.some((line) => line.startsWith('PLAYING ann')));
  // The same of a page of version 4.
  const older = await (await browser.newContext({ viewport: { width: 800, height: 600 } })).newPage();
  const told = [];
  older.on('console', (line) => told.push(line.text()));
  const config4 = JSON.stringify({ mode: 'rtc', sdkAppId: input.app, userId: 'cat', userSig: input.sigs.cat, useStringRoomId: true });
  const body4 = `<!doctype html><div id=remote></div><script src="/sdk/roomful-client-v4.umd.js"></script><script>
    var client = TRTC.createClient(${config4});
    client.on('stream-subscribed', function (event) {
      event.stream.on('error', function (error) { setTimeout(function () { console.log('refused 0x' + error.getCode().toString(16) + ' ' + document.querySelectorAll('dialog[open]').length); }); });
      event.stream.on('player-state-changed', function (now) { console.log(now.type + ' ' + now.state + ' ' + document.querySelectorAll('dialog').length); });
      event.stream.play('remote');
    });
    client.join({ roomId: 'chapel' });</script>`;
  await older.route('**/chapel4.html', (route) => route.fulfill({ contentType: 'text/html', body: body4 }));
  await older.goto(`${input.url}/chapel4.html`);
  await until('the browser to refuse', () => told.includes('refused 0x4043 1')).catch((error) => { throw new Error(`${error.message}: ${told}`); });
  await older.mouse.click(400, 300);
  await until('the sound', () => told.includes('audio PLAYING 0')).catch((error) => { throw new Error(`${error.message}: ${told}`); });
  return { said };
}

/** A phone stops a browser that nobody looks at: who comes back in time was never away, and who comes back later enters again. */
export async function frozen(browser) {
  const phone = await launchStoppable();
  try {
    const [ann, ben] = [await open(phone.browser, 'ann'), await open(browser, 'ben')];
    await ben.evaluate(() => { watchAll(240); return enter('cell', 'anchor', { scene: 'rtc' }); });
    await ann.evaluate(() => enter('cell', 'anchor', { scene: 'rtc' }));
    await ann.evaluate(() => trtc.startLocalVideo({ option: { videoTrack: paint('rgb(200,40,40)'), profile: '240p' } }));
    await seesFrames(ben, 'ann');
    const listed = async () => (await rest('room_engine_http_srv/get_room_member_list', { RoomId: 'cell', Next: '' })).MemberList.map((one) => one.Member_Account).sort().join();
    const left = () => ben.evaluate(() => seen.filter(([name, { userId }]) => name === 'remote-user-exit' && userId === 'ann').length);
    // The server hears nothing for 1.5 s, and keeps her place for 3 s more.
    phone.stop();
    await pause(2_500);
    const whileAway = await listed();
    phone.goOn();
    await until('her to have lost and found the connection', () => ann.evaluate(() => seen.some(([name, { state, isReconnecting }]) => name === 'connection-state-changed' && state === 'CONNECTING' && isReconnecting) && trtc.room !== undefined && seen.findLast(([name]) => name === 'connection-state-changed')[1].state === 'CONNECTED'));
    await seesFrames(ben, 'ann');
    const short = [whileAway, await left()];
    phone.stop();
    await until('her to be off the list', async () => (await listed()) === 'ben', 15_000);
    phone.goOn();
    await until('her to be on the list again', async () => (await listed()) === 'ann,ben', 30_000);
    await seesFrames(ben, 'ann');
    return { short, long: await left(), errors: await ann.evaluate(() => seen.filter(([name]) => name === 'error' || name === 'kicked-out').length) };
  } finally {
    phone.goOn();
    await phone.close();
  }
}

/** What frameworks do to instances: made, let go at once and made again; two on a page; called when they are no more. */
export async function mounted(browser) {
  const [ann, ben] = [await open(browser, 'ann'), await open(browser, 'ben')];
  await ben.evaluate(() => { watchAll(240); return enter('mount', 'anchor', { scene: 'rtc' }); });
  const entered = (page) => page.evaluate(() => seen.filter(([name]) => name === 'remote-user-enter').length);
  const listed = async () => (await rest('room_engine_http_srv/get_room_member_list', { RoomId: 'mount', Next: '' })).MemberList.map((one) => one.Member_Account).sort().join();
  // React's StrictMode: an effect runs, is cleaned up while it is under way, and runs again.
  const strict = await ann.evaluate(async ({ app, sig }) => {
    const entry = { sdkAppId: app, userId: 'ann', userSig: sig, strRoomId: 'mount', scene: 'rtc' };
    const effect = () => {
      const one = TRTC.create();
      const done = (async () => { await one.enterRoom(entry); await one.startLocalVideo({ option: { videoTrack: paint('rgb(200,40,40)'), profile: '240p' } }); })().then(() => 'there', ({ code }) => code);
      return { one, done, clean: () => one.exitRoom().catch(() => undefined).then(() => one.destroy()) };
    };
    const first = effect();
    const cleaned = first.clean();
    const second = effect();
    globalThis.second = second;
    return [await first.done, await cleaned.then(() => 'clean', ({ code }) => code), await second.done];
  }, { app: input.app, sig: input.sigs.ann });
  await seesFrames(ben, 'ann');
  const members = await listed();
  // Called when it is no more: each says so, and nothing is thrown at the page.
  const dead = await ann.evaluate(async () => {
    const one = TRTC.create();
    one.destroy();
    one.destroy();
    const answers = {};
    for (const [name, ...args] of [['enterRoom', { sdkAppId: 1, userId: 'x', userSig: 'x', roomId: 1 }], ['startLocalVideo'], ['startLocalAudio'], ['switchRole', 'anchor'], ['exitRoom'], ['stopLocalVideo'], ['startPlugin', 'Watermark', {}]]) {
      answers[name] = await Promise.resolve().then(() => one[name](...args)).then(() => 'nothing', ({ code }) => code);
    }
    const ended = [one.getVideoTrack(), one.getAudioTrack()];
    for (const track of ended) track?.stop();
    return answers;
  });
  // Two on one page, in two rooms: neither hears of the other's.
  const two = await ann.evaluate(async ({ app, sig }) => {
    const other = TRTC.create();
    const heard = [];
    for (const name of ['remote-user-enter', 'remote-video-available']) other.on(name, ({ userId }) => heard.push(userId));
    await other.enterRoom({ sdkAppId: app, userId: 'cat', userSig: sig, strRoomId: 'mount-2', scene: 'rtc' });
    await new Promise((done) => setTimeout(done, 500));
    await other.exitRoom();
    other.destroy();
    await second.clean();
    return heard;
  }, { app: input.app, sig: input.sigs.cat });
  await until('her to be off the list', async () => (await listed()) === 'ben', 5_000);
  return { strict, members, entered: await entered(ben), dead, two };
}
