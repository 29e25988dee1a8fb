// The cloud's own SDK beside this client, in one browser, without its network: what each answers, call by call. It is fetched from
// npm for the moment; nothing of it is kept here.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { input } from './browsers.mjs';

/** What differs on purpose, with the reason. */
const REFUSED = 'what is not carried out is refused with the reason';
const FINER = 'the same error, with the finer number';
const BESIDE = 'messages travel beside the video, and are there without enableSEI';
const INTENDED = {
  'enterRoom sdkAppId -1': REFUSED,
  'enterRoom autoReceiveAudio "yes"': REFUSED,
  'enterRoom autoReceiveVideo 1': REFUSED,
  'enterRoom a strange strRoomId': 'rooms may be called by any letters',
  'switchRoom outside': 'userSig may be the one of before',
  'switchRoom {}': 'userSig may be the one of before, so it is the room that is missing',
  'muteRemoteAudio nobody': REFUSED,
  'stopRemoteVideo *': 'it returns nothing, as its types say',
  'sendSEIMessage outside': BESIDE,
  'sendSEIMessage empty': BESIDE,
  'sendSEIMessage too long': BESIDE,
  'startLocalVideo profile "8K"': REFUSED,
  'startLocalVideo profile 5': REFUSED,
  'startLocalVideo rotation 45': REFUSED,
  'startLocalVideo small "8K"': REFUSED,
  'startLocalVideo qosPreference "nice"': REFUSED,
  'startLocalAudio profile "loud"': REFUSED,
  'startLocalVideo of a sound': REFUSED,
  'startLocalAudio of a picture': FINER,
  'startScreenShare a profile that is not there': REFUSED,
  'startPlugin AudioMixer without url': FINER,
  'startPlugin AudioMixer of no sound': FINER,
  'callExperimentalAPI pauseRemotePlayer outside': REFUSED,
};
/** What is there on instances and on the class, and in none of the documents. */
const UNDOCUMENTED = ['EventEmitter', 'prefixed', 'addListener', 'create', 'eventNames', 'getCameraList', 'getMicrophoneList', 'getNetworkTime', 'getPermissions', 'getSpeakerList', 'isSupported',
  'listenerCount', 'listeners', 'localScreenAudioTrack', 'localScreenTrack', 'localVideoTrack', 'removeAllListeners', 'removeListener', 'setCurrentSpeaker', 'setLogLevel'];

/** A file of a package, fetched for the moment; nothing where there is no network. */
export function fetchReference(name, file) {
  const folder = mkdtempSync(join(tmpdir(), 'reference-'));
  try {
    const [{ filename }] = JSON.parse(execFileSync('npm', ['pack', name, '--json', '--silent'], { cwd: folder, timeout: 60_000, stdio: ['ignore', 'pipe', 'ignore'] }).toString());
    execFileSync('tar', ['xzf', filename], { cwd: folder });
    return readFileSync(join(folder, 'package', file), 'utf8');
  } catch {
    return undefined;
  }
}

/** In the page: all calls, each with a client of its own, by the names under which they are compared. */
function calls() {
  const entry = { sdkAppId: 1400000001, userId: 'ann', userSig: 'sig', roomId: 1 };
  const without = (name) => Object.fromEntries(Object.entries(entry).filter(([one]) => one !== name));
  const all = {};
  const call = (name, work) => (all[name] = work);
  const rejects = (method, label, ...args) => call(`${method} ${label}`, (trtc) => trtc[method](...args));

  // Entering
  rejects('enterRoom', 'nothing');
  rejects('enterRoom', 'null', null);
  rejects('enterRoom', '{}', {});
  for (const name of ['sdkAppId', 'userId', 'userSig', 'roomId']) rejects('enterRoom', `without ${name}`, without(name));
  for (const [name, values] of Object.entries({
    sdkAppId: ['1400000001', 0, -1, NaN, null], userId: ['', 1, null, '   '], userSig: ['', 1, null], roomId: [-1, 1.5, 4294967295, NaN, '1'], strRoomId: [5],
    role: ['host', 1], scene: ['call', 1], autoReceiveAudio: ['yes'], autoReceiveVideo: [1], proxy: [5], enableAutoPlayDialog: ['yes'], privateMapKey: [5], userDefineRecordId: [5, '', 'a b', 'r'.repeat(65)],
  })) for (const value of values) rejects('enterRoom', `${name} ${JSON.stringify(value)}`, { ...entry, ...(name === 'strRoomId' ? { roomId: undefined } : {}), [name]: value });
  rejects('enterRoom', 'an empty strRoomId', { ...without('roomId'), strRoomId: '' });
  rejects('enterRoom', 'a long strRoomId', { ...without('roomId'), strRoomId: 'r'.repeat(65) });
  rejects('enterRoom', 'a strRoomId like the name of a number\'s room', { ...without('roomId'), strRoomId: '*123' });
  rejects('enterRoom', 'a strange strRoomId', { ...without('roomId'), strRoomId: '房间' });
  call('enterRoom twice', async (trtc) => { trtc.enterRoom(entry).catch(() => undefined); await trtc.enterRoom(entry); });
  call('enterRoom and exitRoom', async (trtc) => { const entering = trtc.enterRoom(entry); await new Promise((done) => setTimeout(done, 20)); await trtc.exitRoom(); await entering; });
  call('enterRoom after destroy', async (trtc) => { trtc.destroy(); await trtc.enterRoom({}); });

  // Outside of rooms
  rejects('exitRoom', 'outside');
  rejects('switchRole', 'outside', 'anchor');
  rejects('switchRole', 'wrong', 'host');
  rejects('switchRole', 'nothing');
  rejects('switchRoom', 'outside', { roomId: 2 });
  rejects('switchRoom', 'nothing');
  rejects('switchRoom', '{}', {});
  rejects('muteRemoteAudio', 'outside', 'ben', true);
  rejects('muteRemoteAudio', '* outside', '*', true);
  rejects('muteRemoteAudio', 'nobody', '', true);
  rejects('muteRemoteAudio', 'a number', 5, true);
  rejects('muteRemoteAudio', 'no boolean', 'ben', 'yes');
  rejects('startRemoteVideo', 'outside', { userId: 'ben', streamType: 'main', view: null });
  rejects('startRemoteVideo', 'nothing');
  rejects('startRemoteVideo', '{}', {});
  rejects('startRemoteVideo', 'another stream', { userId: 'ben', streamType: 'third' });
  rejects('startRemoteVideo', 'nowhere', { userId: 'ben', streamType: 'main', view: 'nowhere' });
  rejects('updateRemoteVideo', 'outside', { userId: 'ben', streamType: 'main' });
  rejects('stopRemoteVideo', 'outside', { userId: 'ben', streamType: 'main' });
  rejects('stopRemoteVideo', '*', { userId: '*' });
  rejects('stopRemoteVideo', 'nothing');
  rejects('stopRemoteVideo', 'which', { userId: 'ben' });
  rejects('stopRemoteVideo', 'another stream', { userId: 'ben', streamType: 'third' });
  call('setRemoteAudioVolume outside', (trtc) => trtc.setRemoteAudioVolume('ben', 50));
  call('setRemoteAudioVolume a text', (trtc) => trtc.setRemoteAudioVolume('ben', 'loud'));
  call('setRemoteAudioVolume below 0', (trtc) => trtc.setRemoteAudioVolume('ben', -1));
  call('setRemoteAudioVolume above 100', (trtc) => trtc.setRemoteAudioVolume('ben', 150));
  for (const [label, args] of Object.entries({ nobody: [5, 50], 'without a volume': ['ben'], everybody: ['*', 50] })) call(`setRemoteAudioVolume ${label}`, (trtc) => trtc.setRemoteAudioVolume(...args));
  call('sendCustomMessage promises', (trtc) => { const sent = trtc.sendCustomMessage({ cmdId: 'x' }); sent.catch(() => undefined); return typeof sent.then; });
  call('sendCustomMessage outside', (trtc) => trtc.sendCustomMessage({ cmdId: 1, data: new ArrayBuffer(1) }));
  call('sendCustomMessage nothing', (trtc) => trtc.sendCustomMessage());
  call('sendCustomMessage cmdId 0', (trtc) => trtc.sendCustomMessage({ cmdId: 0, data: new ArrayBuffer(1) }));
  call('sendCustomMessage cmdId 11', (trtc) => trtc.sendCustomMessage({ cmdId: 11, data: new ArrayBuffer(1) }));
  call('sendCustomMessage a text', (trtc) => trtc.sendCustomMessage({ cmdId: 1, data: 'x' }));
  call('sendCustomMessage empty', (trtc) => trtc.sendCustomMessage({ cmdId: 1, data: new ArrayBuffer(0) }));
  call('sendCustomMessage too long', (trtc) => trtc.sendCustomMessage({ cmdId: 1, data: new ArrayBuffer(1025) }));
  call('sendSEIMessage outside', (trtc) => trtc.sendSEIMessage(new ArrayBuffer(1)));
  call('sendSEIMessage empty', (trtc) => trtc.sendSEIMessage(new ArrayBuffer(0)));
  call('sendSEIMessage too long', (trtc) => trtc.sendSEIMessage(new ArrayBuffer(1001)));
  call('getAudioTrack', (trtc) => trtc.getAudioTrack());
  call('getAudioTrack of ben', (trtc) => trtc.getAudioTrack('ben'));
  call('getVideoTrack', (trtc) => trtc.getVideoTrack());
  call('getVideoTrack of ben', (trtc) => trtc.getVideoTrack({ userId: 'ben', streamType: 'main' }));
  call('getVideoSnapshot', (trtc) => trtc.getVideoSnapshot());
  call('enableAudioVolumeEvaluation', (trtc) => { trtc.enableAudioVolumeEvaluation(500); trtc.enableAudioVolumeEvaluation(0); });
  call('enableAudioVolumeEvaluation a text', (trtc) => trtc.enableAudioVolumeEvaluation('often'));
  call('enableAudioVolumeEvaluation behind a text', (trtc) => trtc.enableAudioVolumeEvaluation(1000, 'x'));
  call('on nothing', (trtc) => trtc.on('error'));
  call('errors as JSON', (trtc) => trtc.enterRoom({}).then(() => undefined, (error) => [error instanceof Error, Object.keys(error).sort()]));
  call('on returns', (trtc) => trtc.on('error', () => undefined) === trtc);
  call('off returns', (trtc) => trtc.off('*') === trtc);
  call('off of what was never on', (trtc) => trtc.off('error', () => undefined) === trtc);

  // Devices
  rejects('updateLocalAudio', 'off', { mute: true });
  rejects('updateLocalVideo', 'off', { mute: true });
  rejects('updateScreenShare', 'off', { publish: false });
  rejects('stopLocalAudio', 'off');
  rejects('stopLocalVideo', 'off');
  rejects('stopScreenShare', 'off');
  rejects('startLocalVideo', 'nowhere', { view: 'nowhere' });
  for (const [label, view] of Object.entries({ 'an empty id': '', 'a list of ids': ['beside'], 'an empty list': [], 'a list of numbers': [5], 'an object': {}, 'no view': null })) rejects('startLocalVideo', label, { view });
  for (const method of ['updateLocalAudio', 'updateLocalVideo', 'updateScreenShare', 'updateRemoteVideo']) rejects(method, 'nothing');
  call('updateLocalVideo nothing while it is on', async (trtc) => { await trtc.startLocalVideo(); await trtc.updateLocalVideo(); });
  call('updateLocalVideo nowhere', async (trtc) => { await trtc.startLocalVideo({ view: 'beside' }); await trtc.updateLocalVideo({ view: 'nowhere' }); });
  call('updateLocalVideo {}', async (trtc) => { await trtc.startLocalVideo({ view: 'beside' }); await trtc.updateLocalVideo({}); return document.querySelectorAll('#beside video').length; });
  call('startLocalVideo of a sound', async (trtc) => trtc.startLocalVideo({ option: { videoTrack: (await navigator.mediaDevices.getUserMedia({ audio: true })).getAudioTracks()[0] } }));
  call('startLocalAudio of a picture', async (trtc) => trtc.startLocalAudio({ option: { audioTrack: (await navigator.mediaDevices.getUserMedia({ video: true })).getVideoTracks()[0] } }));
  call("a page's own track", async (trtc) => {
    const [track] = (await navigator.mediaDevices.getUserMedia({ video: true })).getVideoTracks();
    await trtc.startLocalVideo({ option: { videoTrack: track } });
    const isGiven = trtc.getVideoTrack() === track;
    await trtc.stopLocalVideo();
    return [isGiven, track.readyState];
  });
  for (const [option, values] of Object.entries({ cameraId: [5], profile: ['8K', 5], fillMode: ['zoom'], mirror: ['left', 5], useFrontCamera: ['yes'], rotation: [45], small: ['8K'], qosPreference: ['nice'], videoTrack: ['x'] })) {
    for (const value of values) rejects('startLocalVideo', `${option} ${JSON.stringify(value)}`, { option: { [option]: value } });
  }
  for (const [option, values] of Object.entries({ publish: ['yes'], mute: [5], view: [5] })) for (const value of values) rejects('startLocalVideo', `${option} ${JSON.stringify(value)}`, { [option]: value });
  for (const [option, values] of Object.entries({ microphoneId: [5], profile: ['loud', 5], captureVolume: ['x', -1], earMonitorVolume: [101, -1, 'x'], echoCancellation: ['yes'], audioTrack: ['x'] })) {
    for (const value of values) rejects('startLocalAudio', `${option} ${JSON.stringify(value)}`, { option: { [option]: value } });
  }
  rejects('startLocalAudio', 'mute 5', { mute: 5 });
  rejects('startLocalAudio', 'a microphone that is not there', { option: { microphoneId: 'none' } });
  rejects('startLocalVideo', 'a camera that is not there', { option: { cameraId: 'none' } });
  rejects('startScreenShare', 'a profile that is not there', { option: { profile: '8K' } });
  call('startLocalVideo', async (trtc) => { await trtc.startLocalVideo({ view: 'beside' }); const track = trtc.getVideoTrack(); await new Promise((done) => setTimeout(done, 1000)); return [track.kind, document.querySelectorAll('#beside video').length, trtc.getVideoSnapshot().startsWith('data:image/png')]; });
  call('startLocalVideo twice', async (trtc) => { await trtc.startLocalVideo(); await trtc.startLocalVideo(); });
  call('startLocalVideo at once twice', async (trtc) => { await Promise.all([trtc.startLocalVideo(), trtc.startLocalVideo()]); });
  call('startLocalVideo and stop', async (trtc) => { await trtc.startLocalVideo({ view: 'beside' }); await trtc.stopLocalVideo(); return [trtc.getVideoTrack(), document.querySelectorAll('#beside video').length]; });
  for (const option of [{ rotation: 90 }, { rotation: 180, mirror: 'publish' }, { rotation: 270, mirror: 'both' }]) {
    call(`startLocalVideo as ${JSON.stringify(option)}`, async (trtc) => {
      await trtc.startLocalVideo({ view: 'beside', option });
      await new Promise((done) => setTimeout(done, 800));
      const video = document.querySelector('#beside video');
      return [video.videoWidth, video.videoHeight, video.style.transform];
    });
  }
  call('startLocalVideo in other sizes', async (trtc) => {
    const sizes = [];
    await trtc.startLocalVideo({ option: { profile: '480p' } });
    for (const profile of ['120p', '360p', '720p']) { await trtc.updateLocalVideo({ option: { profile } }); const { width, height } = trtc.getVideoTrack().getSettings(); sizes.push(`${width}x${height}`); }
    return sizes;
  });
  call('startLocalAudio', async (trtc) => { await trtc.startLocalAudio(); return [trtc.getAudioTrack().kind, trtc.getAudioTrack().enabled]; });
  call('startLocalAudio twice', async (trtc) => { await trtc.startLocalAudio(); await trtc.startLocalAudio(); });
  call('startLocalAudio muted', async (trtc) => { await trtc.startLocalAudio({ mute: true }); return trtc.getAudioTrack().enabled; });
  call('a change of view', async (trtc) => { await trtc.startLocalVideo({ view: 'beside' }); await trtc.updateLocalVideo({ view: null }); return document.querySelectorAll('#beside video').length; });
  call('events of a camera', async (trtc, TRTC) => {
    const told = [];
    for (const name of ['track', 'video-play-state-changed', 'video-size-changed', 'first-video-frame', 'publish-state-changed', 'error']) trtc.on(name, ({ userId, streamType, state, reason, mediaType }) => told.push([name, userId, streamType ?? mediaType, state, reason].map(String).join(' ')));
    await trtc.startLocalVideo({ view: 'beside' });
    await new Promise((done) => setTimeout(done, 1500));
    await trtc.stopLocalVideo();
    await new Promise((done) => setTimeout(done, 300));
    return [...new Set(told)].sort();
  });
  call('events of a microphone', async (trtc) => {
    const told = [];
    for (const name of ['track', 'audio-play-state-changed', 'publish-state-changed', 'error']) trtc.on(name, ({ userId, streamType, state, reason, mediaType }) => told.push([name, userId, streamType ?? mediaType, state, reason].map(String).join(' ')));
    await trtc.startLocalAudio();
    await new Promise((done) => setTimeout(done, 500));
    await trtc.stopLocalAudio();
    await new Promise((done) => setTimeout(done, 300));
    return [...new Set(told)].sort();
  });
  call('destroy with a camera on', async (trtc) => { await trtc.startLocalVideo(); const track = trtc.getVideoTrack(); trtc.destroy(); return track.readyState; });

  // Plugins
  rejects('startPlugin', 'unknown', 'Karaoke', {});
  rejects('updatePlugin', 'unknown', 'Karaoke', {});
  rejects('stopPlugin', 'unknown', 'Karaoke');
  rejects('startPlugin', 'AudioMixer nothing', 'AudioMixer');
  rejects('startPlugin', 'AudioMixer without id', 'AudioMixer', { url: 'x.mp3' });
  rejects('startPlugin', 'AudioMixer without url', 'AudioMixer', { id: 'x' });
  rejects('startPlugin', 'AudioMixer with a wrong loop', 'AudioMixer', { id: 'x', url: 'x.mp3', loop: 'yes' });
  rejects('startPlugin', 'AudioMixer of no sound', 'AudioMixer', { id: 'x', url: 'notes.txt' });
  rejects('updatePlugin', 'AudioMixer that is off', 'AudioMixer', { id: 'x', loop: true });
  rejects('stopPlugin', 'AudioMixer that is off', 'AudioMixer', { id: 'x' });
  rejects('stopPlugin', 'AudioMixer without id', 'AudioMixer', {});
  rejects('callExperimentalAPI', 'unknown', 'fly', {});
  rejects('callExperimentalAPI', 'pauseRemotePlayer outside', 'pauseRemotePlayer', { userId: 'ben', streamType: 'main' });

  // Of the class
  // Ours may have more of these; of what the cloud has, nothing is missing, and nothing is called otherwise, but for what is in none
  // of the documents.
  const among = (all, theirs) => Object.entries(all).filter(([name]) => Object.hasOwn(theirs, name) && !['LAYER_DATA', 'VIDEO_DECODE_DOWNGRADE_STATE_CHANGED'].includes(name)).sort();
  call('isSupported', async (_, TRTC) => { const [{ result, detail }, other] = [await TRTC.isSupported(), await theirs.isSupported()]; return [result, among(detail, other.detail)]; });
  call('getPermissions', (_, TRTC) => TRTC.getPermissions({ request: true, types: ['camera', 'microphone'] }));
  call('getCameraList', async (_, TRTC) => (await TRTC.getCameraList()).map(({ kind, label }) => [kind, label]));
  call('getMicrophoneList', async (_, TRTC) => (await TRTC.getMicrophoneList()).map(({ kind, label }) => [kind, label]));
  call('getSpeakerList', async (_, TRTC) => (await TRTC.getSpeakerList()).length > 0);
  call('setLogLevel', (_, TRTC) => TRTC.setLogLevel(5));
  call('setCurrentSpeaker wrong', (_, TRTC) => TRTC.setCurrentSpeaker(''));
  call('create null', (_, TRTC) => typeof TRTC.create(null).on);
  call('create wrong', (_, TRTC) => typeof TRTC.create({ plugins: [] }).on);
  for (const name of ['EVENT', 'TYPE']) call(name, (_, TRTC) => among(TRTC[name], theirs[name]));
  call('ERROR_CODE', (_, TRTC) => Object.entries(TRTC.ERROR_CODE).sort());
  return all;
}

/** In the page: what a call of a client comes to, said in a way that both can be held to. */
async function answer({ whose, name }) {
  const TRTC = globalThis[whose];
  const work = globalThis.allCalls[name];
  document.getElementById('beside').replaceChildren();
  const trtc = TRTC.create(whose === 'ours' ? { server: globalThis.nowhere } : {});
  const never = new Promise((done) => setTimeout(done, 8_000, 'no answer in 8 s'));
  const said = await Promise.race([
    Promise.resolve().then(() => work(trtc, TRTC)).then(
      (value) => (value === undefined ? 'nothing' : value),
      (error) => ({ name: error.name, code: error.code, extraCode: error.extraCode, functionName: error.functionName }),
    ),
    never,
  ]);
  try {
    await Promise.race([Promise.allSettled([trtc.stopLocalAudio(), trtc.stopLocalVideo(), trtc.exitRoom()]), new Promise((done) => setTimeout(done, 500))]);
    trtc.destroy();
  } catch {
    // It was destroyed by the call, or is still about to leave.
  }
  return said;
}

/** Members that the reference's class and instances have, and ours have not. */
function membersMissing() {
  const names = (of) => { const all = new Set(); for (let one = of; one && one !== Object.prototype && one !== Function.prototype; one = Object.getPrototypeOf(one)) for (const name of Object.getOwnPropertyNames(one)) all.add(name); return all; };
  const lacks = (theirs, ours) => [...names(theirs)].filter((name) => !name.startsWith('_') && !names(ours).has(name)).sort();
  return { instance: lacks(theirs.prototype, ours.prototype), class: lacks(theirs, ours) };
}

/** A page of the server's that reaches nothing else, with a place to show pictures in. */
export async function quietPage(browser) {
  const page = await (await browser.newContext()).newPage();
  await page.route(/^(https?|wss?):\/\/(?!127\.0\.0\.1)/, (route) => route.abort());
  await page.goto(`${input.url}/healthz`);
  await page.setContent('<!doctype html><div id=beside style="width:320px;height:240px"></div>');
  // Neither has its server.
  await page.evaluate(() => (globalThis.nowhere = 'ws://127.0.0.1:9'));
  return page;
}

/** Of the members that ours have not, by whose they are, those that are documented. */
export const lacking = (missing, undocumented) => Object.values(missing).flat().filter((name) => !undocumented.includes(name));

/** Asks both, call by call: what differs and is not in the list, and what is in the list and differs no more. */
export async function differences(page, calls, answer, intended, lacking) {
  await page.evaluate((calls) => (globalThis.allCalls = Function(`return (${calls})()`)()), calls.toString());
  const names = await page.evaluate(() => Object.keys(allCalls));
  const unintended = {};
  const met = new Set();
  const ask = async (name) => ({ theirs: await page.evaluate(answer, { whose: 'theirs', name }), ours: await page.evaluate(answer, { whose: 'ours', name }) });
  const isAlike = ({ theirs, ours }) => JSON.stringify(theirs) === JSON.stringify(ours);
  for (const name of names) {
    let both = await ask(name);
    // Devices take their time on a busy machine: a difference is one that is there again.
    if (!isAlike(both) && !Object.hasOwn(intended, name)) both = await ask(name);
    if (isAlike(both)) continue;
    if (Object.hasOwn(intended, name)) met.add(name);
    else unintended[name] = both;
  }
  return { calls: names.length, unintended, over: Object.keys(intended).filter((name) => !met.has(name)), lacking };
}

export async function beside(browser) {
  const reference = fetchReference('trtc-sdk-v5@5', 'trtc.js');
  if (!reference) return { skipped: 'the reference could not be fetched from npm' };
  const page = await quietPage(browser);
  await page.addScriptTag({ content: reference });
  await page.evaluate(async () => {
    globalThis.theirs = globalThis.TRTC;
    globalThis.theirs.setLogLevel(5);
    ({ default: globalThis.ours } = await import('/sdk/roomful-client.js'));
    globalThis.ours.setLogLevel(5);
  });
  return differences(page, calls, answer, INTENDED, lacking(await page.evaluate(membersMissing), UNDOCUMENTED));
}
