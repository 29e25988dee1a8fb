// Sound and pictures between real browsers. The first argument names the scenario; each throws when something is not as
// it should be, and returns what it measured.
import { createInterface } from 'node:readline';
import { input, hears, incoming, isNear, keepWatch, open, packetsStop, pause, rest, run, seesFrames, until } from './browsers.mjs';
import { Narrow, join, through } from './narrow.mjs';
import * as pages from './pages.mjs';
import { beside } from './beside.mjs';
import { beside4 } from './beside4.mjs';
import * as plugins from './plugins.mjs';
import { version4 } from './version4.mjs';
import { loudest, shaky, silence, stereo } from './sound.mjs';
import { stalls } from './stalls.mjs';

const COLOURS = { ann: ['rgb(200,40,40)', [200, 40, 40]], ben: ['rgb(40,60,200)', [40, 60, 200]] };
const SEATS = { RoomType: 'Live', SeatTemplate: 'VideoDynamicGrid9Seats', TakeSeatMode: 'FreeToTake' };

const publish = (page, colour) =>
  page.evaluate(async (colour) => {
    await trtc.startLocalVideo({ view: 'local', option: { videoTrack: paint(colour), profile: { width: 320, height: 240, frameRate: 20, bitrate: 300 }, small: false } });
    await trtc.startLocalAudio();
  }, colour);

/** Two publishers and three viewers see and hear each other. */
async function together(browser) {
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'hall', ...SEATS } });
  const pages = {};
  for (const user of ['ann', 'ben', 'cat', 'dan', 'eve']) {
    const page = (pages[user] = await open(browser, user));
    await page.evaluate(() => watchAll(240));
    await page.evaluate((role) => enter('hall', role), COLOURS[user] ? 'anchor' : 'audience');
    if (COLOURS[user]) await publish(page, COLOURS[user][0]);
  }
  const colours = {};
  for (const [viewer, page] of Object.entries(pages)) {
    for (const publisher of ['ann', 'ben'].filter((name) => name !== viewer)) {
      await seesFrames(page, publisher);
      await hears(page, publisher);
      const colour = await until(`the colour of ${publisher} at ${viewer}`, async () => {
        const found = await page.evaluate((name) => colour(name), publisher);
        return isNear(found, COLOURS[publisher][1]) && found;
      });
      colours[`${viewer} sees ${publisher}`] = colour;
    }
  }
  await pages.cat.evaluate(() => {
    trtc.enableAudioVolumeEvaluation(100);
    trtc.on('audio-volume', ({ result }) => { globalThis.volumes = result.some((one) => one.volume > 2) ? result : globalThis.volumes; });
  });
  const volumes = await until('a volume', () => pages.cat.evaluate(() => globalThis.volumes)).catch(async (error) => {
    // By what the client tells them.
    const sources = await pages.cat.evaluate(() => peers.flatMap((pc) => pc.getReceivers()).flatMap((receiver) => receiver.getSynchronizationSources())
      .map(({ timestamp, audioLevel }) => [timestamp - performance.now(), timestamp - Date.now(), audioLevel]).concat([[performance.timeOrigin, document.hidden]]));
    throw new Error(`${error.message}: ${JSON.stringify(sources)}`);
  });
  const members = await rest('live_engine_http_srv/get_member_list', { RoomId: 'hall', Next: '' });
  // Switched off and on again, as the others are told.
  await pages.ann.evaluate(() => trtc.updateLocalVideo({ mute: true }));
  await until('the mute to be told', () => pages.eve.evaluate(() => seen.some(([name, value]) => name === 'remote-video-unavailable' && value.userId === 'ann')));
  await pages.ann.evaluate(() => trtc.updateLocalVideo({ mute: false }));
  await seesFrames(pages.eve, 'ann');
  await pages.ann.evaluate(() => trtc.exitRoom());
  await until('the leave to be told', () => pages.eve.evaluate(() => seen.some(([name, value]) => name === 'remote-user-exit' && value.userId === 'ann')));
  return { colours, volumes, members: members.MemberList.map((one) => one.Member_Account) };
}

/** The room's rules hold for media: seats, locks, mutes, bans. */
async function rules(browser) {
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'court', ...SEATS } });
  const ann = await open(browser, 'ann');
  await ann.evaluate(() => enter('court', 'anchor'));
  await publish(ann, COLOURS.ann[0]);
  const ben = await open(browser, 'ben');
  await ben.evaluate(() => watchAll(240));
  await ben.evaluate(() => enter('court', 'audience'));
  await seesFrames(ben, 'ann');
  // Without a seat nobody publishes, whatever the page tries.
  const refusal = await ben.evaluate(async () => {
    try {
      await trtc.startLocalVideo();
      return null;
    } catch (error) {
      return { code: error.code, name: error.name, message: error.message };
    }
  });
  await ann.evaluate(() => watchAll(240));
  await rest('room_engine_http_mic/pick_user_on_seat', { RoomId: 'court', Member_Account: 'ben', Index: 3 });
  await until('ben to know of its seat', () => ben.evaluate(async () => (await trtc.room.getSeatList())[3].userId === 'ben'));
  await publish(ben, COLOURS.ben[0]);
  await seesFrames(ann, 'ben');
  await hears(ann, 'ben');

  const stops = {};
  const stopped = async (name, user, kind, command, body) => {
    await keepWatch(ann, user, kind);
    await rest(command, { RoomId: 'court', ...body });
    stops[name] = Math.round(await packetsStop(ann));
  };
  await keepWatch(ann, 'ben', 'main');
  const control = Math.round(await packetsStop(ann));
  const seat = { Index: 3 };
  await stopped('audio lock', 'ben', 'audio', 'room_engine_http_mic/lock_seat', { ...seat, IsAudioDisabled: true });
  await seesFrames(ann, 'ben');
  await rest('room_engine_http_mic/lock_seat', { RoomId: 'court', ...seat, IsAudioDisabled: false });
  await hears(ann, 'ben');
  await stopped('video lock', 'ben', 'main', 'room_engine_http_mic/lock_seat', { ...seat, IsVideoDisabled: true });
  await rest('room_engine_http_mic/lock_seat', { RoomId: 'court', ...seat, IsVideoDisabled: false });
  await seesFrames(ann, 'ben');
  await stopped('mute', 'ben', 'audio', 'live_engine_http_srv/mute_member', { MemberList_Account: ['ben'], MuteTime: 3 });
  await hears(ann, 'ben');
  await stopped('off the seat', 'ben', 'main', 'room_engine_http_mic/kick_user_off_seat', { Member_Account: 'ben' });
  await rest('room_engine_http_mic/pick_user_on_seat', { RoomId: 'court', Member_Account: 'ben', Index: 3 });
  await seesFrames(ann, 'ben');
  await stopped('ban', 'ben', 'main', 'live_engine_http_srv/ban_member', { MemberList_Account: ['ben'], Duration: 600 });
  const kicked = await until('the ban to be told', () => ben.evaluate(() => seen.find(([name]) => name === 'kicked-out')?.[1]));
  const again = await ben.evaluate(() => enter('court', 'audience').then(() => null, (error) => error.extraCode));
  const members = await rest('live_engine_http_srv/get_member_list', { RoomId: 'court', Next: '' });
  return { refusal, control, stops, kicked, again, members: members.MemberList.map((one) => one.Member_Account) };
}

/** The server is killed and started again under a call, which goes on by itself. */
async function restart(browser) {
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'phoenix', ...SEATS } });
  const ann = await open(browser, 'ann');
  await ann.evaluate(() => enter('phoenix', 'anchor'));
  await publish(ann, COLOURS.ann[0]);
  const ben = await open(browser, 'ben');
  await ben.evaluate(() => watchAll(240));
  await ben.evaluate(() => enter('phoenix', 'audience'));
  await seesFrames(ben, 'ann');
  process.stdout.write('{"do":"restart"}\n');
  await new Promise((resolve) => createInterface({ input: process.stdin }).once('line', resolve));
  const began = Date.now();
  const states = () => ben.evaluate(() => seen.filter(([name]) => name === 'connection-state-changed').map(([, { state, isReconnecting }]) => `${state} ${isReconnecting}`).join());
  const back = 'CONNECTING false,CONNECTED undefined,DISCONNECTED undefined,CONNECTING true,CONNECTED undefined';
  await until('the connection to come back', async () => (await states()) === back);
  await seesFrames(ben, 'ann');
  await hears(ben, 'ann');
  const healed = Date.now() - began;
  const members = await rest('live_engine_http_srv/get_member_list', { RoomId: 'phoenix', Next: '' });
  return { healed, members: members.MemberList.map((one) => one.Member_Account) };
}

/** A link is cut for a while; ICE starts over, and the pictures go on. */
async function outage(browser) {
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'bridge', ...SEATS } });
  const narrow = await Narrow.start();
  const ann = await open(browser, 'ann');
  await ann.evaluate(() => enter('bridge', 'anchor'));
  await publish(ann, COLOURS.ann[0]);
  const ben = await open(browser, 'ben', through(narrow));
  await ben.evaluate(() => watchAll(240));
  await ben.evaluate(() => enter('bridge', 'audience'));
  await join(narrow, ben);
  await seesFrames(ben, 'ann');
  const ufrags = () => ben.evaluate(() => peers.map((pc) => /a=ice-ufrag:(\S+)/.exec(pc.localDescription.sdp)[1]));
  const before = await ufrags();
  narrow.limit(0);
  await until('ICE to start over', async () => (await ufrags()).join() !== before.join());
  narrow.limit(Infinity);
  await seesFrames(ben, 'ann');
  await hears(ben, 'ann');
  narrow.close();
  return { connections: (await ufrags()).length };
}

/** A viewer's link narrows and widens; what it gets follows. Another viewer's does not. */
async function simulcast(browser) {
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'layers', ...SEATS } });
  const ann = await open(browser, 'ann');
  await ann.evaluate(() => enter('layers', 'anchor'));
  await ann.evaluate(() => trtc.startLocalVideo({ option: { videoTrack: paint('rgb(200,40,40)', 640, 480, 150), profile: { width: 640, height: 480, frameRate: 20, bitrate: 1000 } } }));
  const narrow = await Narrow.start();
  const ben = await open(browser, 'ben', through(narrow));
  const cat = await open(browser, 'cat');
  await ben.evaluate(() => enter('layers', 'audience'));
  await cat.evaluate(() => enter('layers', 'audience'));
  const watch = (page) => page.evaluate(() => trtc.startRemoteVideo({ userId: 'ann', streamType: 'main', view: view('big', 480) }));
  const watching = watch(ben);
  await join(narrow, ben);
  await watching;
  await watch(cat);
  const height = async (page) => (await incoming(page, 'ann', 'main'))?.frameHeight ?? 0;
  const full = (page, name) => until(`${name} to get the full picture`, async () => (await height(page)) === 480, 45_000);
  await full(ben, 'ben');
  await full(cat, 'cat');
  narrow.limit(500_000);
  const began = Date.now();
  const low = await until('ben to get a smaller picture', async () => { const now = await height(ben); return now > 0 && now < 480 && now; }, 90_000);
  const down = Date.now() - began;
  await seesFrames(ben, 'ann');
  const other = await height(cat);
  narrow.limit(Infinity);
  const widened = Date.now();
  await full(ben, 'ben once more');
  const up = Date.now() - widened;
  // Shown small, only a small picture is sent.
  await cat.evaluate(() => trtc.updateRemoteVideo({ userId: 'ann', streamType: 'main', option: { small: true } }));
  await until('cat to get the smallest picture', async () => (await height(cat)) === 240);
  narrow.close();
  return { low, down, up, other };
}

/** A camera in one stream that has layers in it. */
const publishLayered = (page, codec, scalabilityMode) =>
  page.evaluate((layering) => trtc.startLocalVideo({ option: { videoTrack: paint('rgb(200,40,40)', 960, 540, 60), profile: { width: 960, height: 540, frameRate: 15, bitrate: 1200 }, ...layering } }), { codec, scalabilityMode });

/** The browser's own numbers of the video that it sends. */
const outgoing = (page) =>
  page.evaluate(async () => {
    for (const pc of peers) for (const one of (await pc.getStats()).values()) if (one.type === 'outbound-rtp' && one.kind === 'video') return { ...one };
  });

/** One stream with several sizes in it: a viewer gets those that its picture has room for, and another viewer all of them. */
async function scalable(browser) {
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'tiers', ...SEATS } });
  const ann = await open(browser, 'ann');
  await ann.evaluate(() => enter('tiers', 'anchor'));
  const { codec, mode } = input;
  await publishLayered(ann, codec, mode);
  const ben = await open(browser, 'ben');
  const cat = await open(browser, 'cat');
  for (const page of [ben, cat]) {
    await page.evaluate(() => enter('tiers', 'audience'));
    await page.evaluate(() => trtc.startRemoteVideo({ userId: 'ann', streamType: 'main', view: view('big', 540) }));
  }
  const height = async (page) => (await incoming(page, 'ann', 'main'))?.frameHeight ?? 0;
  // A busy computer may make the picture smaller before it encodes it.
  const top = async () => (await outgoing(ann))?.frameHeight ?? 0;
  const full = (page, name) => until(`${name} to get the full picture`, async () => (await height(page)) === (await top()), 60_000)
    .catch(async (error) => { throw new Error(`${error.message}: ${await height(page)} of ${await top()} lines, by ${(await outgoing(ann))?.scalabilityMode}`); });
  await full(ben, 'ben');
  await full(cat, 'cat');
  const { scalabilityMode: sent } = await outgoing(ann);
  if (sent !== mode) throw new Error(`${sent} is sent instead of ${mode}`);
  const small = (isSmall) => ben.evaluate((small) => trtc.updateRemoteVideo({ userId: 'ann', streamType: 'main', option: { small } }), isSmall);
  await small(true);
  const low = await until('ben to get a smaller picture', async () => { const now = await height(ben); return now > 0 && now < 0.4 * (await top()) && now; });
  const before = await incoming(ben, 'ann', 'main');
  await seesFrames(ben, 'ann', 'main', 60);
  const after = await incoming(ben, 'ann', 'main');
  await full(cat, 'cat all the while');
  await small(false);
  await full(ben, 'ben once more');
  await seesFrames(ben, 'ann', 'main', 20);
  const more = (name) => after[name] - before[name];
  return { low, asked: more('pliCount'), missed: more('nackCount'), again: await height(ben) };
}

/** One size, of which a viewer's link has no room for all pictures: it gets fewer, and all again when there is room. */
async function fewer(browser) {
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'pace', ...SEATS } });
  const ann = await open(browser, 'ann');
  await ann.evaluate(() => enter('pace', 'anchor'));
  const { codec, mode } = input;
  await publishLayered(ann, codec, mode);
  const narrow = await Narrow.start();
  const ben = await open(browser, 'ben', through(narrow));
  await ben.evaluate(() => enter('pace', 'audience'));
  const watching = ben.evaluate(() => trtc.startRemoteVideo({ userId: 'ann', streamType: 'main', view: view('big', 540) }));
  await join(narrow, ben);
  await watching;
  const rate = async (seconds) => {
    const before = await until('pictures of ann', () => incoming(ben, 'ann', 'main'));
    await pause(1000 * seconds);
    const after = await incoming(ben, 'ann', 'main');
    return { frames: (after.framesDecoded - before.framesDecoded) / seconds, bits: 8 * (after.bytesReceived - before.bytesReceived) / seconds };
  };
  await until('a whole second of pictures', async () => (await rate(1)).frames > 12, 60_000);
  await pause(5_000);
  const wide = await rate(3);
  narrow.limit(0.75 * wide.bits);
  const slow = await until('fewer pictures', async () => { const now = await rate(3); return now.frames < 0.8 * wide.frames && now.frames > 2 && now; }, 60_000);
  narrow.limit(Infinity);
  const again = await until('all pictures', async () => { const now = await rate(2); return now.frames > 0.85 * wide.frames && now; }, 60_000);
  narrow.close();
  return { sent: (await outgoing(ann)).scalabilityMode, wide, slow, again };
}

/** What nobody watches is not sent: no layer without a viewer, no large one for a small picture. */
async function unwatched(browser) {
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'quiet', ...SEATS } });
  const ann = await open(browser, 'ann');
  await ann.evaluate(() => enter('quiet', 'anchor'));
  await ann.evaluate(() => trtc.startLocalVideo({ option: { videoTrack: paint('rgb(200,40,40)', 640, 480, 150), profile: { width: 640, height: 480, frameRate: 20, bitrate: 1000 } } }));
  // The layers that are being sent, by how many frames of each went out in a while.
  const sent = () => ann.evaluate(async () => {
    const count = async () => {
      const found = {};
      for (const pc of peers) {
        for (const one of (await pc.getStats()).values()) {
          if (one.type === 'outbound-rtp' && one.kind === 'video') found[one.rid ?? ''] = one.framesSent ?? 0;
        }
      }
      return found;
    };
    const before = await count();
    await new Promise((resolve) => setTimeout(resolve, 600));
    return Object.entries(await count()).filter(([rid, frames]) => frames > (before[rid] ?? 0) + 2).map(([rid]) => rid).sort();
  });
  const is = (what, wanted) => until(what, async () => JSON.stringify(await sent()) === JSON.stringify(wanted));
  const began = Date.now();
  await is('all layers to be off', []);
  const off = Date.now() - began;

  const ben = await open(browser, 'ben');
  await ben.evaluate(() => enter('quiet', 'audience'));
  const asked = Date.now();
  await ben.evaluate(() => trtc.startRemoteVideo({ userId: 'ann', streamType: 'main', view: view('big', 480) }));
  await seesFrames(ben, 'ann', 'main', 1);
  const on = Date.now() - asked;
  await until('the full picture', async () => (await incoming(ben, 'ann', 'main'))?.frameHeight === 480, 45_000);
  await is('both layers to be sent', ['f', 'h']);
  await ben.evaluate(() => trtc.updateRemoteVideo({ userId: 'ann', streamType: 'main', option: { small: true } }));
  await is('the small layer alone to be sent', ['h']);
  await ben.evaluate(() => trtc.updateRemoteVideo({ userId: 'ann', streamType: 'main', option: { small: false } }));
  await until('the full picture again', async () => (await incoming(ben, 'ann', 'main'))?.frameHeight === 480, 45_000);
  await ben.evaluate(() => trtc.exitRoom());
  await is('all layers to be off again', []);
  return { off, on };
}

/** Every codec that this browser encodes is passed through, one publisher after the other in one viewer's stream; with a key, end to end. */
async function codecs(browser) {
  const without = { code: (name) => { if (name) delete globalThis[name]; }, argument: input.without };
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'babel', ...SEATS } });
  const ben = await open(browser, 'ben', without);
  await ben.evaluate(() => watchAll(240));
  await ben.evaluate(() => enter('babel', 'audience'));
  // What a player makes of it that has no key.
  const eve = input.key && (await open(browser, 'eve'));
  await eve?.evaluate(playSealed, { sig: input.sigs.eve, room: 'babel' });
  const player = () => eve?.evaluate(async () => {
    const { framesReceived = 0, framesDecoded = 0 } = [...(await pc.getStats()).values()].find(({ type, kind }) => type === 'inbound-rtp' && kind === 'video') ?? {};
    return { framesReceived, framesDecoded };
  });
  const unkeyed = {};
  const seen = [];
  for (const codec of ['VP8', 'VP9', 'H264', 'AV1']) {
    const prefer = {
      code: ({ codec, without }) => {
        if (without) delete globalThis[without];
        const native = RTCPeerConnection.prototype.addTransceiver;
        RTCPeerConnection.prototype.addTransceiver = function (track, init) {
          const made = native.call(this, track, init);
          const all = RTCRtpSender.getCapabilities('video').codecs.filter((one) => [`video/${codec}`, 'video/rtx'].includes(one.mimeType));
          globalThis.canEncode = all.some((one) => one.mimeType !== 'video/rtx');
          if (made.sender.track?.kind === 'video' && globalThis.canEncode) made.setCodecPreferences(all);
          return made;
        };
      },
      argument: { codec, without: input.without },
    };
    const ann = await open(browser, 'ann', prefer);
    const before = await player();
    await ann.evaluate(() => enter('babel', 'anchor'));
    await publish(ann, COLOURS.ann[0]);
    if (await ann.evaluate(() => globalThis.canEncode)) {
      await seesFrames(ben, 'ann');
      const shown = await until(`${codec} at ben`, async () => {
        const found = await ben.evaluate(async () => {
          const track = trtc.getVideoTrack({ userId: 'ann' });
          for (const pc of peers) for (const receiver of pc.getReceivers()) {
            if (receiver.track !== track) continue;
            const entries = [...(await receiver.getStats()).values()];
            const inbound = entries.find((entry) => entry.type === 'inbound-rtp');
            return entries.find((entry) => entry.id === inbound?.codecId)?.mimeType;
          }
        });
        return found === `video/${codec}` && found;
      });
      seen.push(shown);
      if (before) {
        await until(`${codec} at the player`, async () => (await player()).framesReceived > before.framesReceived + 20);
        unkeyed[codec] = (await player()).framesDecoded - before.framesDecoded;
      }
    }
    await ann.evaluate(() => trtc.exitRoom());
    await ann.close();
  }
  return { seen, unkeyed };
}

/** In the page: what comes in of `ann` by WHEP, to somebody who has no key and none of our client. */
async function playSealed({ sig, room }) {
  const work = 'onrtctransform = ({ transformer: { readable, writable } }) => readable.pipeThrough(new TransformStream({' +
    'transform(frame, out) { postMessage([frame.type ?? "sound", [...new Uint8Array(frame.data)]]); out.enqueue(frame); } })).pipeTo(writable);';
  const worker = new Worker(URL.createObjectURL(new Blob([work])));
  globalThis.frames = [];
  worker.onmessage = ({ data }) => { if (frames.length < 2_000) frames.push(data); };
  const pc = (globalThis.pc = new RTCPeerConnection());
  for (const kind of ['audio', 'video']) {
    const { receiver } = pc.addTransceiver(kind, { direction: 'recvonly' });
    receiver.transform = new RTCRtpScriptTransform(worker);
  }
  await pc.setLocalDescription();
  const headers = { Authorization: `Bearer ${sig}`, 'Content-Type': 'application/sdp' };
  const answer = await fetch(`/whep/${room}?user=ann`, { method: 'POST', body: pc.localDescription.sdp, headers });
  await pc.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
}

/** Whoever has the key sees and hears; nobody else does, the server among them. */
async function sealed(browser) {
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'vault', ...SEATS } });
  const enable = (page, key, more) => page.evaluate(([key, more]) => trtc.enableEncryption({ key, ...more }), [key, more]);
  const told = (page, userId, mediaType) => until(`${mediaType} of ${userId} to be told of`, () => page.evaluate(([userId, mediaType]) =>
    seen.some(([name, value]) => name === 'decryption-failed' && value.userId === userId && value.mediaType === mediaType), [userId, mediaType]));
  const decoded = async (page, userId) => (await incoming(page, userId, 'main'))?.framesDecoded ?? 0;
  const height = async (page) => (await incoming(page, 'ann', 'main'))?.frameHeight ?? 0;
  const ann = await open(browser, 'ann');
  await enable(ann, 'said among members');
  await ann.evaluate(() => enter('vault', 'anchor'));
  await ann.evaluate(() => trtc.startLocalVideo({ view: 'local', option: { videoTrack: paint('rgb(200,40,40)', 640, 480, 40), profile: { width: 640, height: 480, frameRate: 20, bitrate: 1000 } } }));
  await ann.evaluate(() => trtc.startLocalAudio());
  const pages = {};
  for (const [user, key] of [['ben', 'said among members'], ['cat', 'guessed'], ['dan', undefined]]) {
    const page = (pages[user] = await open(browser, user));
    if (key) await enable(page, key);
    await page.evaluate(() => watchAll(480));
    await page.evaluate(() => enter('vault', 'audience'));
  }
  const { ben, cat, dan } = pages;
  // With the key, in the size that it is shown at.
  await seesFrames(ben, 'ann');
  await hears(ben, 'ann');
  const colour = await until('the colour of ann at ben', async () => {
    const found = await ben.evaluate(() => colour('ann'));
    return found && found;
  });
  await until('the full picture', async () => (await height(ben)) === 480, 45_000);
  await ben.evaluate(() => trtc.updateRemoteVideo({ userId: 'ann', streamType: 'main', option: { small: true } }));
  await until('a small picture', async () => (await height(ben)) === 240);
  await seesFrames(ben, 'ann');
  await ben.evaluate(() => trtc.updateRemoteVideo({ userId: 'ann', streamType: 'main', option: { small: false } }));
  await until('the full picture once more', async () => (await height(ben)) === 480, 45_000);
  // With another key, and with none.
  for (const page of [cat, dan]) {
    await told(page, 'ann', 'video');
    await told(page, 'ann', 'audio');
  }
  const unseen = { cat: await decoded(cat, 'ann'), dan: await decoded(dan, 'ann'), heard: (await incoming(cat, 'ann', 'audio'))?.totalAudioEnergy ?? 0 };
  // Without our client: all that the server has.
  const eve = await open(browser, 'eve');
  await eve.evaluate(playSealed, { sig: input.sigs.eve, room: 'vault' });
  const raw = await until('what the server has', () => eve.evaluate(async () => {
    const keys = frames.filter(([type]) => type === 'key');
    const sounds = frames.filter(([type]) => type === 'sound');
    if (keys.length === 0 || sounds.length < 100) return null;
    const stats = [...(await pc.getStats()).values()].filter(({ type }) => type === 'inbound-rtp');
    const [video, audio] = ['video', 'audio'].map((kind) => stats.find((one) => one.kind === kind));
    const heads = (all, length) => [...new Set(all.map(([, bytes]) => bytes.slice(0, length).join()))];
    return {
      received: video.framesReceived, decoded: video.framesDecoded, energy: audio.totalAudioEnergy,
      keys: heads(keys, 6), sounds: heads(sounds, 2), forms: frames.every(([, bytes]) => bytes.at(-1) >= 0x80),
      same: new Set(sounds.map(([, bytes]) => bytes.slice(2, 12).join())).size / sounds.length,
    };
  }), 30_000);
  // Another key, which ben has before ann uses it; cat hears of it later.
  const { freezeCount = 0 } = await incoming(ben, 'ann', 'main');
  await enable(ben, 'another', { keyId: 1, publish: false });
  await enable(ann, 'another', { keyId: 1 });
  await seesFrames(ben, 'ann', 'main', 40);
  await hears(ben, 'ann');
  const froze = (await incoming(ben, 'ann', 'main')).freezeCount - freezeCount;
  await enable(cat, 'another', { keyId: 1 });
  await seesFrames(cat, 'ann');
  await hears(cat, 'ann');
  // What is not encrypted is not shown to who wants it encrypted.
  await dan.evaluate(() => trtc.switchRole('anchor'));
  await publish(dan, COLOURS.ben[0]);
  await told(ben, 'dan', 'video');
  await told(ben, 'dan', 'audio');
  const plain = await decoded(ben, 'dan');
  if (process.env.SHOTS) for (const [name, page] of Object.entries({ ann, ...pages })) await page.screenshot({ path: `${process.env.SHOTS}/${name}.png` });
  // A page that may not start workers is told so, rather than sending anything in the clear.
  const strict = await (await browser.newContext()).newPage();
  await strict.goto(input.url);
  const refused = await strict.evaluate(async ({ app, sig }) => {
    const { default: TRTC } = await import('/sdk/roomful-client.js');
    const trtc = TRTC.create();
    await trtc.enableEncryption({ key: 'said among members' });
    const config = { sdkAppId: app, userId: 'eve', userSig: sig, strRoomId: 'vault', role: 'audience', scene: 'live' };
    return trtc.enterRoom(config).then(() => null, (error) => [error.code, error.message]);
  }, { app: input.app, sig: input.sigs.eve });
  return { colour, unseen, raw, froze, plain, refused };
}

/** The server has several addresses; it answers from the one that it was asked at. */
async function address(browser) {
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'annex', ...SEATS } });
  const [ann, ben] = [await open(browser, 'ann'), await open(browser, 'ben')];
  await ann.evaluate(() => enter('annex', 'anchor'));
  await publish(ann, COLOURS.ann[0]);
  await ben.evaluate(() => watchAll(240));
  await ben.evaluate(() => enter('annex', 'audience'));
  await seesFrames(ben, 'ann');
  const addresses = await ben.evaluate(async () => {
    const stats = (await Promise.all(peers.map((pc) => pc.getStats()))).flatMap((one) => [...one.values()]);
    const used = stats.filter(({ type, state }) => type === 'candidate-pair' && state === 'succeeded');
    return used.map(({ remoteCandidateId }) => stats.find(({ id }) => id === remoteCandidateId)).map(({ protocol, address }) => `${protocol} ${address}`);
  });
  return { addresses };
}

/** Media goes over TCP where UDP does not get through. */
async function tcp(browser) {
  const roomId = `cable-${input.port ?? 'own'}`;
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: roomId, ...SEATS } });
  const only = {
    code: (port) => {
      const native = RTCPeerConnection.prototype.setRemoteDescription;
      RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
        const lines = sdp.split('\r\n').filter((line) => !/^a=candidate.* udp /i.test(line));
        const moved = lines.map((line) => (port ? line.replace(/^(a=candidate:\S+ \d tcp \d+ \S+) \d+/i, `$1 ${port}`) : line));
        return native.call(this, { type, sdp: moved.join('\r\n') });
      };
    },
    argument: input.port,
  };
  const [ann, ben] = [await open(browser, 'ann', only), await open(browser, 'ben', only)];
  await ann.evaluate((room) => enter(room, 'anchor'), roomId);
  await publish(ann, COLOURS.ann[0]);
  await ben.evaluate(() => watchAll(240));
  await ben.evaluate((room) => enter(room, 'audience'), roomId);
  await seesFrames(ben, 'ann');
  await hears(ben, 'ann');
  const protocols = (page) => page.evaluate(async () => {
    const all = [];
    for (const pc of peers) for (const entry of (await pc.getStats()).values()) if (entry.type === 'local-candidate') all.push(entry.protocol);
    return [...new Set(all)];
  });
  return { protocols: await protocols(ben) };
}

/** The relay in one way after the other, a way being a pattern of what names it; nothing else gets through, but by `policy` all. */
async function relay(browser) {
  const used = [];
  let servers;
  for (const way of input.ways) {
    const only = {
      code: ({ way, policy }) => {
        const Native = RTCPeerConnection;
        globalThis.RTCPeerConnection = function (config) {
          globalThis.servers = config.iceServers;
          const servers = config.iceServers.map((one) => ({ ...one, urls: [one.urls].flat().filter((url) => RegExp(way).test(url)) }));
          const iceServers = servers.filter((one) => one.urls.length > 0);
          return new Native({ ...config, iceServers, iceTransportPolicy: policy });
        };
        globalThis.RTCPeerConnection.prototype = Native.prototype;
      },
      argument: { way, policy: input.policy ?? 'relay' },
    };
    const roomId = `tunnel-${used.length}`;
    await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: roomId, ...SEATS } });
    const [ann, ben] = [await open(browser, 'ann', only), await open(browser, 'ben', only)];
    const began = Date.now();
    await ann.evaluate((room) => enter(room, 'anchor'), roomId);
    await publish(ann, COLOURS.ann[0]);
    await ben.evaluate(() => watchAll(240));
    await ben.evaluate((room) => enter(room, 'audience'), roomId);
    await seesFrames(ben, 'ann');
    await hears(ben, 'ann');
    const took = Date.now() - began;
    for (const page of [ann, ben]) {
      used.push(await page.evaluate(async () => {
        const stats = (await Promise.all(peers.map((pc) => pc.getStats()))).flatMap((one) => [...one.values()]);
        // A pair that is being checked once more is the one in use all the same.
        const selected = stats.find(({ type, selectedCandidatePairId }) => type === 'transport' && selectedCandidatePairId)?.selectedCandidatePairId;
        const pair = stats.find(({ id }) => id === selected);
        const local = stats.find(({ id }) => id === pair?.localCandidateId);
        return `${local?.candidateType} ${local?.relayProtocol ?? local?.protocol}`;
      }));
    }
    process.stderr.write(`${way}: ${took} ms\n`);
    servers = await ben.evaluate(() => globalThis.servers);
    await ann.context().close();
    await ben.context().close();
  }
  return { used, servers };
}

/** The client's other methods and events, as a page uses them. */
async function client(browser) {
  const [ann, ben] = [await open(browser, 'ann'), await open(browser, 'ben')];
  // Nobody made this room: whoever enters first does, as in the cloud.
  await ann.evaluate(() => enter('lounge', 'anchor', { scene: 'rtc' }));
  await ben.evaluate(() => enter('lounge', undefined, { scene: 'rtc', autoReceiveVideo: true }));
  const saw = (page, name, check = () => true) => until(name, async () => (await page.evaluate((name) => seen.filter(([one]) => one === name).map(([, value]) => value), name)).find(check));
  await saw(ann, 'remote-user-enter', ({ userId }) => userId === 'ben');
  await ann.evaluate(() => trtc.startLocalVideo({ view: 'local', option: { profile: '360p' } }));
  // The browser's own capture of a page; what it sounds like is heard without a microphone, and with one.
  await ann.evaluate(() => trtc.startScreenShare({ option: { systemAudio: true } }));
  await seesFrames(ben, 'ann', 'main');
  await seesFrames(ben, 'ann', 'sub');
  await hears(ben, 'ann');
  await ann.evaluate(() => trtc.updateScreenShare({ muteSystemAudio: true }));
  await saw(ben, 'remote-audio-unavailable');
  await ann.evaluate(() => trtc.startLocalAudio({ option: { captureVolume: 60 } }));
  await hears(ben, 'ann');
  await saw(ann, 'first-video-frame', ({ userId }) => userId === '');
  const statistics = await saw(ben, 'statistics', ({ remoteStatistics: [one] }) => one?.video.length === 2 && one.video.every(({ bitrate }) => bitrate > 0) && one.audio.bitrate > 0);
  await saw(ben, 'network-quality', ({ downlinkNetworkQuality }) => downlinkNetworkQuality === 1);
  // Data, whatever the codec.
  await ann.evaluate(() => trtc.sendCustomMessage({ cmdId: 2, data: new TextEncoder().encode('hello').buffer }));
  await ann.evaluate(() => trtc.sendSEIMessage(new TextEncoder().encode('frame').buffer, { seiPayloadType: 5 }));
  const texts = await until('the data', () => ben.evaluate(() => {
    const of = (name) => seen.find(([one]) => one === name)?.[1];
    const [message, sei] = [of('custom-message'), of('sei-message')];
    return message && sei && [message.cmdId, new TextDecoder().decode(message.data), sei.seiPayloadType, new TextDecoder().decode(sei.data)];
  }));
  // Whoever wants to hear nobody by itself hears whom it asks for.
  const cat = await open(browser, 'cat');
  await cat.evaluate(() => enter('lounge', undefined, { scene: 'rtc', autoReceiveAudio: false }));
  await saw(cat, 'remote-audio-available', ({ userId }) => userId === 'ann');
  await new Promise((done) => setTimeout(done, 300));
  if ((await incoming(cat, 'ann', 'audio')) !== null) throw new Error('ann is heard without being asked for');
  await cat.evaluate(() => trtc.muteRemoteAudio('ann', false));
  await hears(cat, 'ann');
  await cat.evaluate(() => trtc.muteRemoteAudio('*', true));
  await until('ann to be unheard', async () => (await incoming(cat, 'ann', 'audio')) === null);
  await cat.evaluate(() => trtc.exitRoom());
  // Changes on the way.
  await ann.evaluate(() => trtc.updateLocalAudio({ mute: true }));
  await saw(ben, 'remote-audio-unavailable');
  await ann.evaluate(() => trtc.updateLocalAudio({ mute: false, option: { captureVolume: 100 } }));
  await hears(ben, 'ann');
  await ben.evaluate(() => trtc.muteRemoteAudio('ann', true));
  await until('ann to be unheard', async () => (await incoming(ben, 'ann', 'audio')) === null);
  await ben.evaluate(() => trtc.muteRemoteAudio('ann', false));
  await hears(ben, 'ann');
  await ben.evaluate(() => { trtc.setRemoteAudioVolume('ann', 40); return trtc.stopRemoteVideo({ userId: 'ann', streamType: 'sub' }); });
  await until('the screen to be let go of', async () => (await incoming(ben, 'ann', 'sub')) === null);
  await ann.evaluate(() => trtc.stopScreenShare());
  await saw(ben, 'remote-video-unavailable', ({ streamType }) => streamType === 'sub');
  await ann.evaluate(() => trtc.updateLocalVideo({ option: { profile: '240p' }, view: null }));
  await ann.evaluate(() => trtc.stopLocalVideo());
  await saw(ben, 'remote-video-unavailable', ({ streamType }) => streamType === 'main');
  await ann.evaluate(() => trtc.startLocalVideo({ option: { videoTrack: paint('rgb(200,40,40)') } }));
  await seesFrames(ben, 'ann', 'main');
  // Another room, with all that is on, and back out.
  await ben.evaluate(() => trtc.exitRoom());
  await saw(ann, 'remote-user-exit', ({ userId, reason }) => userId === 'ben' && reason === 0);
  await ann.evaluate(() => trtc.switchRoom({ strRoomId: 'terrace' }));
  await ben.evaluate(() => enter('terrace', undefined, { scene: 'rtc', autoReceiveVideo: true }));
  await seesFrames(ben, 'ann', 'main');
  const supported = await ann.evaluate(async () => [await TRTC.isSupported(), (await TRTC.getCameraList()).length, (await TRTC.getMicrophoneList()).length]);
  await ann.evaluate(async () => { await trtc.exitRoom(); await trtc.stopLocalVideo(); await trtc.stopLocalAudio(); trtc.destroy(); });
  return { statistics, texts, supported };
}

/** The room layer: seats on application, messages, metadata, devices, roles. */
async function room(browser) {
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'salon', ...SEATS, TakeSeatMode: 'ApplyToTake', Owner_Account: 'ann' } });
  // A busy machine takes its time with a sender's parameters: what is asked for meanwhile must not get lost.
  const slow = () => {
    const { setParameters } = RTCRtpSender.prototype;
    RTCRtpSender.prototype.setParameters = async function (...arguments_) {
      await new Promise((done) => setTimeout(done, 300));
      return setParameters.apply(this, arguments_);
    };
  };
  const [ann, ben] = [await open(browser, 'ann'), await open(browser, 'ben', { code: slow })];
  const record = () => {
    globalThis.told = [];
    for (const name of ['onRemoteUserEnterRoom', 'onRemoteUserLeaveRoom', 'onRoomUserCountChanged', 'onSeatListChanged',
      'onRequestReceived', 'onRequestProcessed', 'onRequestCancelled', 'onKickedOffSeat', 'onKickedOutOfRoom',
      'onReceiveTextMessage', 'onReceiveCustomMessage', 'onSendMessageForUserDisableChanged', 'onUserAudioStateChanged',
      'onUserVideoStateChanged', 'onUserVoiceVolumeChanged', 'onUserNetworkQualityChanged', 'onRoomMetadataChanged',
      'onDeviceRequested', 'onReceiveLikes', 'onReceiveGift', 'onConnectionChanged', 'onBattleChanged']) trtc.room.on(name, (value) => told.push([name, value]));
  };
  const told = (page, name, check = () => true) => until(`${name} ${check}`, async () => (await page.evaluate((name) => told.filter(([one]) => one === name).map(([, value]) => value), name)).find(check));
  for (const page of [ann, ben]) await page.evaluate(record);
  await ann.evaluate(() => enter('salon', 'anchor'));
  await ben.evaluate(() => enter('salon', 'audience'));
  await told(ann, 'onRemoteUserEnterRoom', ({ userId }) => userId === 'ben');
  // A seat on application: refused once, granted once, by invitation once.
  const ask = () => ben.evaluate(() => trtc.room.takeSeat({ seatIndex: 2 }));
  const answer = async (agree) => {
    const { request } = await told(ann, 'onRequestReceived', () => true);
    await ann.evaluate(({ requestId, agree }) => { told = told.filter(([name]) => name !== 'onRequestReceived'); return trtc.room.responseRemoteRequest({ requestId, agree }); }, { requestId: request.requestId, agree });
    return request;
  };
  await ask();
  await answer(false);
  await told(ben, 'onRequestProcessed', ({ isAccepted }) => !isAccepted);
  await ask();
  const waiting = await ann.evaluate(() => trtc.room.getSeatApplicationList());
  await answer(true);
  await told(ben, 'onSeatListChanged', ({ seatedList }) => seatedList.some((seat) => seat.userId === 'ben' && seat.index === 2));
  await ben.evaluate(() => trtc.switchRole('anchor'));
  await publish(ben, COLOURS.ben[0]);
  await told(ann, 'onUserVideoStateChanged', ({ userId, hasVideo }) => userId === 'ben' && hasVideo);
  await told(ann, 'onUserVoiceVolumeChanged', ({ userVolumeList: [one] }) => one.userId === 'ben' && one.volume > 0);
  await ann.evaluate(() => trtc.room.closeRemoteDeviceByAdmin({ userId: 'ben', device: 'microphone' }));
  await told(ann, 'onUserAudioStateChanged', ({ userId, hasAudio }) => userId === 'ben' && !hasAudio);
  await ann.evaluate(() => trtc.room.openRemoteDeviceByAdmin({ userId: 'ben', device: 'microphone' }));
  await told(ben, 'onDeviceRequested', ({ device }) => device === 'microphone');
  await ben.evaluate(() => trtc.updateLocalAudio({ mute: false }));
  await hears(ann, 'ben');
  await ben.evaluate(() => trtc.room.moveToSeat({ targetSeatIndex: 4 }));
  const seats = await ann.evaluate(async () => { await new Promise((done) => setTimeout(done, 300)); return (await trtc.room.getSeatList()).filter((seat) => seat.userId).map(({ userId, index }) => [userId, index]); });
  await ann.evaluate(() => trtc.room.kickUserOffSeatByAdmin({ userId: 'ben' }));
  await told(ben, 'onKickedOffSeat', ({ index }) => index === 4);
  await ann.evaluate(() => trtc.room.takeUserOnSeatByAdmin({ userId: 'ben', seatIndex: 1 }));
  const invitation = (await told(ben, 'onRequestReceived', ({ request }) => request.requestAction === 'inviteToSeat')).request;
  await ben.evaluate((requestId) => trtc.room.responseRemoteRequest({ requestId, agree: true }), invitation.requestId);
  await told(ann, 'onSeatListChanged', ({ seatList }) => seatList[1].userId === 'ben');
  await ben.evaluate(() => trtc.room.leaveSeat());
  // What is said and known.
  await ben.evaluate(() => trtc.room.sendTextMessage({ messageText: 'hi' }));
  await told(ann, 'onReceiveTextMessage', ({ userId, message }) => userId === 'ben' && message === 'hi');
  await ann.evaluate(() => trtc.room.sendCustomMessage({ businessId: 'b', data: '{}' }));
  await told(ben, 'onReceiveCustomMessage', ({ businessId }) => businessId === 'b');
  await ben.evaluate(() => trtc.room.sendLikes({ count: 3 }));
  await told(ann, 'onReceiveLikes', ({ totalLikes }) => totalLikes === 3);
  await ann.evaluate(() => trtc.room.setRoomMetadataByAdmin({ metadata: { mood: 'calm' } }));
  await told(ben, 'onRoomMetadataChanged', ({ key, value }) => key === 'mood' && value === 'calm');
  const metadata = await ben.evaluate(() => trtc.room.getRoomMetadata());
  await ann.evaluate(() => trtc.room.disableSendingMessageByAdmin({ userId: 'ben', isDisable: true }));
  await told(ben, 'onSendMessageForUserDisableChanged', ({ isDisable }) => isDisable);
  const muted = await ben.evaluate(() => trtc.room.sendTextMessage({ messageText: 'x' }).then(() => 0, (error) => error.extraCode));
  await ann.evaluate(() => trtc.room.changeUserRole({ userId: 'ben', userRole: 'admin' }));
  const users = await until('ben to be an administrator', async () => { const { userInfoList } = await ann.evaluate(() => trtc.room.getUserList()); return userInfoList[1].userRole === 'admin' && userInfoList.map(({ userId, userRole }) => [userId, userRole]); });
  await ann.evaluate(() => trtc.room.lockSeatByAdmin({ seatIndex: 8, lockParams: { lockSeat: true } }));
  await told(ben, 'onSeatListChanged', ({ seatList }) => seatList[8].isLocked);
  // A gift, to the owner; and the owner's place, there and back.
  await rest('live_engine_http_srv/add_gift', { GiftId: 'rose', IconUrl: 'http://x/i.png', ResourceUrl: 'http://x/r', Coins: 5, Level: 1, ExtensionInfo: '', DefaultName: 'Rose', DefaultDesc: '' });
  await ben.evaluate(() => trtc.room.sendGift({ giftId: 'rose', count: 2 }));
  await told(ann, 'onReceiveGift', (gift) => gift.From_Account === 'ben' && gift.GiftInfo.GiftId === 'rose' && gift.Count === 2);
  await ann.evaluate(() => trtc.room.changeUserRole({ userId: 'ben', userRole: 'owner' }));
  await until('ben to own the room', () => ben.evaluate(() => trtc.room.getRoomInfo().ownerId === 'ben'));
  await ben.evaluate(() => trtc.room.changeUserRole({ userId: 'ann', userRole: 'owner' }));
  await until('ann to own it again', () => ann.evaluate(() => trtc.room.getRoomInfo().ownerId === 'ann'));
  // Another room, whose owner uses the room layer alone.
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'loft', ...SEATS, Owner_Account: 'cat' } });
  const cat = await open(browser, 'cat');
  await cat.evaluate(async ({ app, sig }) => {
    const { Room } = await import('/sdk/roomful-client.js');
    globalThis.loft = new Room();
    globalThis.told = [];
    for (const name of ['onConnectionRequest', 'onConnectionChanged', 'onBattleRequest', 'onBattleChanged', 'onRoomDismissed']) loft.on(name, (value) => told.push([name, value]));
    await loft.enterRoom({ sdkAppId: app, userId: 'cat', userSig: sig, strRoomId: 'loft' });
  }, { app: input.app, sig: input.sigs.cat });
  await ann.evaluate(() => trtc.room.requestConnection({ roomId: 'loft', extensionInfo: 'hello' }));
  await told(cat, 'onConnectionRequest', ({ FromRoomId, ExtensionInfo }) => FromRoomId === 'salon' && ExtensionInfo === 'hello');
  await cat.evaluate(() => loft.acceptConnection({ roomId: 'salon' }));
  await told(ben, 'onConnectionChanged', ({ roomList }) => roomList.length === 2);
  const { battleId } = await ann.evaluate(() => trtc.room.requestBattle({ roomIdList: ['loft'], durationMs: 30_000 }));
  await told(cat, 'onBattleRequest', ({ BattleId }) => BattleId === battleId);
  await cat.evaluate((battleId) => loft.acceptBattle({ battleId }), battleId);
  await told(ann, 'onBattleChanged', ({ BattleId }) => BattleId === battleId);
  await cat.evaluate((battleId) => loft.exitBattle({ battleId }), battleId);
  await cat.evaluate(() => loft.disconnect());
  await told(ben, 'onConnectionChanged', ({ roomList }) => roomList.length < 2);
  await rest('live_engine_http_srv/destroy_room', { RoomId: 'loft' });
  await told(cat, 'onRoomDismissed', ({ roomId }) => roomId === 'loft');
  await ann.evaluate(() => trtc.room.kickRemoteUserOutOfRoom({ userId: 'ben' }));
  await told(ben, 'onKickedOutOfRoom', ({ reason }) => reason === 'kick');
  // Leaving one's seat is no kick.
  const kicks = await ben.evaluate(() => told.filter(([name]) => name === 'onKickedOffSeat').length);
  return { kicks, waiting: waiting.map(({ userId, index }) => [userId, index]), seats, metadata, muted, users };
}

/** What the app's own server is told of: a camera, a microphone and a screen that start and stop, are muted, cut off and left. */
async function bells(browser) {
  await rest('room_engine_http_srv/create_room', { RoomInfo: { RoomId: 'bell', RoomType: 'Conference' } });
  const ann = await open(browser, 'ann');
  await ann.evaluate(() => enter('bell', 'anchor'));
  const ben = await open(browser, 'ben');
  await ben.evaluate(() => { watchAll(240); return enter('bell', 'audience'); });
  await ann.evaluate((colour) => trtc.startLocalVideo({ option: { videoTrack: paint(colour), small: false } }), COLOURS.ann[0]);
  await seesFrames(ben, 'ann');
  await ann.evaluate(() => trtc.startLocalAudio());
  await hears(ben, 'ann');
  await ann.evaluate(() => trtc.startScreenShare());
  await seesFrames(ben, 'ann', 'sub');
  await ann.evaluate(() => trtc.updateLocalVideo({ mute: true }));
  await ann.evaluate(() => trtc.updateLocalVideo({ mute: false }));
  await seesFrames(ben, 'ann');
  await ann.evaluate(() => trtc.stopScreenShare());
  await ann.evaluate(() => trtc.stopLocalAudio());
  // Its media connection is closed under it, and made anew: nothing of that is told.
  const connections = await ann.evaluate(() => peers.length);
  await ann.evaluate(() => { for (const pc of peers) pc.close(); });
  await until('another connection', () => ann.evaluate((before) => peers.length > before, connections), 60_000);
  await seesFrames(ben, 'ann');
  await ann.evaluate(() => trtc.exitRoom());
  return {};
}

/** A browser publishes by WHIP, without our client, and starts ICE over by what RFC 9725 says. */
async function whip(browser) {
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'stage', ...SEATS } });
  const [ann, ben] = [await open(browser, 'ann'), await open(browser, 'ben')];
  await ben.evaluate(() => { watchAll(); return enter('stage', 'audience'); });
  const statuses = await ann.evaluate(async ({ sig }) => {
    const pc = (globalThis.pc = new RTCPeerConnection());
    pc.addTransceiver(paint('rgb(200,40,40)'), { direction: 'sendonly' });
    // Nobody asked for data; the largest message that a browser sends changes nothing.
    const channel = pc.createDataChannel('unasked');
    channel.onopen = () => { channel.send('x'); channel.send(new Uint8Array(Math.min(pc.sctp.maxMessageSize, 200_000))); };
    await pc.setLocalDescription();
    const send = (method, url, body, headers) => fetch(url, { method, body, headers: { Authorization: `Bearer ${sig}`, ...headers } });
    const begun = await send('POST', '/whip/stage', pc.localDescription.sdp, { 'Content-Type': 'application/sdp' });
    const answer = await begun.text();
    await pc.setRemoteDescription({ type: 'answer', sdp: answer });
    globalThis.restart = async () => {
      pc.restartIce();
      await pc.setLocalDescription();
      const line = (sdp, start) => sdp.split('\r\n').find((one) => one.startsWith(start));
      const fragment = ['a=ice-ufrag:', 'a=ice-pwd:'].map((start) => line(pc.localDescription.sdp, start)).join('\r\n');
      const patched = await send('PATCH', begun.headers.get('Location'), fragment, { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*' });
      const fresh = await patched.text();
      const sdp = ['a=ice-ufrag:', 'a=ice-pwd:'].reduce((sdp, start) => sdp.replaceAll(line(answer, start), line(fresh, start)), answer);
      await pc.setRemoteDescription({ type: 'answer', sdp });
      // The browser's own word that the checks of the new session went through.
      const pair = async () => {
        const stats = [...(await pc.getStats()).values()];
        const transport = stats.find((one) => one.type === 'transport');
        const local = stats.find((one) => one.id === stats.find((other) => other.id === transport.selectedCandidatePairId)?.localCandidateId);
        return { ufrag: transport.iceLocalUsernameFragment, used: local?.usernameFragment, changes: transport.selectedCandidatePairChanges };
      };
      return { status: patched.status, name: line(fragment, 'a=ice-ufrag:').slice(12), pair };
    };
    return [begun.status];
  }, { sig: input.sigs.ann });
  await seesFrames(ben, 'ann');
  statuses.push(await ann.evaluate(async () => {
    const { status, name, pair } = await restart();
    const end = Date.now() + 10_000;
    for (;;) {
      const now = await pair();
      if (now.used === name && pc.iceConnectionState === 'connected') return status;
      if (Date.now() > end) throw new Error(`${name} is not in use: ${JSON.stringify(now)} ${pc.iceConnectionState}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }));
  await seesFrames(ben, 'ann', 'main', 30);
  return { statuses };
}

const scenarios = { ...pages, ...plugins, version4, beside, beside4, sealed, together, rules, restart, outage, simulcast, scalable, fewer, unwatched, codecs, tcp, client, room, whip, bells, address, relay, loudest, shaky, silence, stereo, stalls };
await run(scenarios[process.argv[2]]);
