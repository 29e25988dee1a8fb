// Coming in and going out: the client of the preview, which becomes that of the room, and what it tells.

import TRTC from '/sdk/roomful-client.js';
import { clearToasts, toast, words } from './dom.js';
import * as devices from './devices.js';
import { fresh, mayPublish, mySeat, say, state, update } from './state.js';

const KEPT_AS = 'me';
const LEVELS_MS = 150;

/** In a room of more, nobody is told who comes and goes. */
const TOLD_MEMBERS = 60;

/** How long the list of seats may take to have one's own. */
const SEATED_MS = 1_500;

const levels = [];

/** `handle(account, level)` hears how loud everyone is, oneself included, from 0 to 100. */
export function onLevel(handle) {
  levels.push(handle);
}

// Signing in

/** What a UserSig says of itself: a zlib stream of JSON in a base64 of its own. */
async function read(sig) {
  const trouble = 'That is no UserSig. Paste the whole line that `roomful usersig` prints.';
  try {
    const text = atob(sig.replaceAll('*', '+').replaceAll('-', '/').replaceAll('_', '='));
    const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
    const said = JSON.parse(await new Response(plain).text());
    const me = { app: Number(said['TLS.sdkappid']), user: String(said['TLS.identifier'] ?? ''), sig };
    if (!me.app || !me.user) throw new Error(trouble);
    return me;
  } catch {
    throw new Error(trouble);
  }
}

/** Logs in once to see whether a UserSig is good, before anything is built on it. */
function tryLogin({ app, user, sig }) {
  return new Promise((resolve, reject) => {
    const url = new URL('/v1/connect', location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    const socket = new WebSocket(url);
    socket.onopen = () =>
      socket.send(JSON.stringify({ id: 1, command: 'login', body: { SdkAppId: app, UserId: user, UserSig: sig } }));
    socket.onmessage = ({ data }) => {
      const { ErrorCode, ErrorInfo } = JSON.parse(data);
      socket.close(1000);
      if (ErrorCode === 0) resolve();
      else reject(new Error(`The server does not take it: ${ErrorInfo} (${ErrorCode})`));
    };
    socket.onclose = () => reject(new Error('The server cannot be reached. Is it running?'));
  });
}

export async function signIn(sig) {
  const me = await read(sig);
  await tryLogin(me);
  sessionStorage.setItem(KEPT_AS, JSON.stringify(me));
  update({ me });
}

/** Whoever was signed in on this tab still is. */
export function signInAgain() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEPT_AS) ?? 'null');
    if (kept?.sig) update({ me: kept, bySig: true });
  } catch {
    sessionStorage.removeItem(KEPT_AS);
  }
}

export function signOut() {
  sessionStorage.removeItem(KEPT_AS);
  update({ me: null, bySig: false });
}

/** The server's development sign-in: a name is enough. */
async function signInByName(name) {
  const answer = await fetch('/dev/sign-in', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ UserId: name }),
  }).catch(() => {
    throw new Error('The server cannot be reached. Is it running?');
  });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.detail ?? `The server does not sign in by a name (HTTP ${answer.status}).`);
  return { app: said.SdkAppId, user: said.UserId, sig: said.UserSig };
}

// Coming in

/** A client that is in no room yet, for the preview. */
export function openClient(createRooms = true) {
  const client = TRTC.create({ createRooms, enableAutoPlayDialog: false });
  devices.forget();
  state.client = client;
  listen(client);
  client.enableAudioVolumeEvaluation(LEVELS_MS);
  update();
}

/** A room as the client calls it: those of numbers have names of their own on the server (docs/protocol.md). */
const called = (id) => (/^\*\d+$/.test(id) ? { roomId: Number(id.slice(1)) } : { strRoomId: id });

/** Enters; unless it only watches, on stage with the devices of the preview. */
export async function join({ name, room: id, isWatching }) {
  const before = state.me;
  const me = before ?? (await signInByName(name));
  if (isWatching) {
    await devices.closeAll();
    state.client.destroy();
    openClient(false);
  }
  const { client } = state;
  Object.assign(state, fresh(), { me });
  try {
    await client.enterRoom({
      sdkAppId: me.app, userId: me.user, userSig: me.sig, ...called(id), scene: 'live', role: 'audience', enableAutoPlayDialog: false,
    });
  } catch (error) {
    state.me = before;
    if (isWatching) {
      client.destroy();
      openClient();
    }
    throw error;
  }
  const room = client.room.getRoomInfo();
  state.isHost = isHostOf(client);
  state.seats = await client.room.getSeatList();
  const shown = { id, name: room.name || id, isOpen: room.info['RoomType'] === 'Conference' };
  const refused = isWatching ? undefined : await goOnStage(client, room.hasSeats);
  if (state.client !== client) return;
  const address = new URL('/', location.href);
  address.searchParams.set('room', id);
  if (!before) address.searchParams.set('name', me.user);
  history.replaceState(null, '', address);
  clearToasts();
  update({ room: shown, farewell: '' });
  await readMembers();
  await readRequests(client);
  if (isWatching) return;
  if (!refused && mayPublish()) return;
  await devices.closeAll();
  toast(refused ?? 'In this room its host alone is on stage. You are watching.', { isTrouble: false });
}

/** Whoever owns the room hosts it, and who helps with that. */
function isHostOf(client) {
  const { ownerId, isAdmin } = client.room.getRoomInfo();
  return isAdmin || ownerId === state.me?.user;
}

/** Who wants a seat, of the host; a host who is none any more has no more to answer. */
async function readRequests(client) {
  const mine = () => state.requests.filter((request) => request.requestAction === 'inviteToSeat');
  if (!state.isHost || !client.room.getRoomInfo().hasSeats) return update({ requests: mine() });
  const applications = await client.room.getSeatApplicationList();
  return update({ requests: [...mine(), ...applications] });
}

/** Who owns the room may have changed, also while one was not there to hear of it. */
async function lookWhoHosts(client) {
  if (!state.room) return;
  const isHost = isHostOf(client);
  if (isHost === state.isHost) return update();
  update({ isHost });
  toast(isHost ? 'You host this room now.' : 'Somebody else hosts this room now.', { isTrouble: false, topic: 'host' });
  await readRequests(client);
}

/** Takes a seat where there are any; why there is none for one. */
async function goOnStage(client, hasSeats) {
  try {
    await client.switchRole('anchor');
  } catch (error) {
    return error.extraCode === 104004 ? 'The host decides who is on stage. Ask for a seat with the hand below.' : words(error);
  }
  const end = performance.now() + SEATED_MS;
  while (hasSeats && !mySeat() && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
  return undefined;
}

async function readMembers() {
  const { userInfoList } = await state.client.room.getUserList();
  const members = new Set(userInfoList.map(({ userId }) => userId));
  update({ members, count: Math.max(state.count, members.size) });
}

// Going out

/** Leaves; the devices are closed until they are wanted again. */
export async function leave(farewell = 'You left the room.') {
  const { client } = state;
  end(farewell);
  await client?.exitRoom().catch(() => undefined);
  client?.destroy();
}

/** The room is over for me. */
function end(farewell) {
  if (!state.bySig) state.me = null;
  clearToasts();
  update({ room: null, panel: null, farewell, ...fresh() });
  openClient();
}

// What happens

function listen(client) {
  const { EVENT } = TRTC;
  const stays = (handle) => (value) => {
    if (state.client === client) handle(value);
  };
  const on = (event, handle) => client.on(event, stays(handle));
  const onRoom = (event, handle) => client.room.on(event, stays(handle));
  const out = (farewell) => {
    end(farewell);
    client.destroy();
  };
  const lookAgain = () => void lookWhoHosts(client).catch((error) => toast(words(error)));
  on(EVENT.CONNECTION_STATE_CHANGED, ({ state: now }) => {
    update({ link: now === 'CONNECTED' ? 'on' : 'wait' });
    if (now === 'CONNECTED') lookAgain();
  });
  onRoom('onRoomNameChanged', ({ roomName }) => state.room && update({ room: { ...state.room, name: roomName || state.room.id } }));
  on(EVENT.KICKED_OUT, ({ reason }) => {
    const name = state.room?.name ?? 'the room';
    const seen = [...state.members].length;
    const words = {
      kick: `You were put out of ${name}, or came in on another page.`,
      banned: `You are banned from ${name}.`,
      room_disband: `${name} was closed${seen > 1 ? ' by its host' : ''}.`,
    };
    out(words[reason] ?? `${name} is over for you.`);
  });
  on(EVENT.ERROR, (error) => {
    const kind = { 5308: 'main', 5309: 'audio' }[error.extraCode];
    if (kind) void devices.lost(kind, error).catch(() => undefined);
    if (state.room) (kind ? toast : out)(words(error));
  });
  on(EVENT.NETWORK_QUALITY, (quality) => update({ quality }));
  on(EVENT.AUTOPLAY_FAILED, ({ resume }) => {
    const before = state.resumeSound;
    update({
      resumeSound: async () => {
        await before?.();
        await resume();
      },
    });
  });
  on(EVENT.REMOTE_AUDIO_AVAILABLE, ({ userId }) => setOnAir(userId, 'audio', true));
  on(EVENT.REMOTE_AUDIO_UNAVAILABLE, ({ userId }) => setOnAir(userId, 'audio', false));
  on(EVENT.REMOTE_VIDEO_AVAILABLE, ({ userId, streamType }) => setOnAir(userId, streamType, true));
  on(EVENT.REMOTE_VIDEO_UNAVAILABLE, ({ userId, streamType }) => setOnAir(userId, streamType, false));
  on(EVENT.SCREEN_SHARE_STOPPED, () => {
    state.own.sub = false;
    update();
  });
  on(EVENT.DEVICE_CHANGED, () => update());
  on(EVENT.PUBLISH_STATE_CHANGED, ({ mediaType, state: now, reason, error }) => {
    if (now !== 'stopped' || reason !== 'error' || !state.room) return;
    const device = { audio: 'microphone', video: 'camera', screen: 'screen' }[mediaType];
    const why = error ? words(error) : 'The room does not let it through. Ask the host.';
    toast(`Nobody gets your ${device} at the moment. ${why}`);
  });
  on(EVENT.AUDIO_VOLUME, ({ result }) => {
    // What is half as loud to the ear has far less than half of the amplitude.
    for (const { userId, floatVolume } of result) {
      const volume = Math.round(100 * Math.sqrt(floatVolume));
      for (const handle of levels) handle(userId || (state.me?.user ?? ''), volume, !userId);
    }
  });
  onRoom('onRemoteUserEnterRoom', ({ userId }) => {
    if (state.members.has(userId)) return;
    state.members.add(userId);
    // Those who were here before oneself did not just enter.
    if (state.room && state.count < TOLD_MEMBERS) say({ note: `${userId} entered` });
    update();
  });
  onRoom('onRemoteUserLeaveRoom', ({ userId }) => {
    if (state.members.delete(userId) && state.count < TOLD_MEMBERS) say({ note: `${userId} left` });
    update();
  });
  onRoom('onRoomUserCountChanged', ({ userCount }) => update({ count: userCount }));
  onRoom('onSeatListChanged', ({ seatList }) => {
    const user = state.me?.user;
    const sat = state.seats.some((seat) => seat.userId === user);
    const sits = seatList.some((seat) => seat.userId === user);
    update({ seats: seatList, waiting: sits ? null : state.waiting });
    if (!state.room || sat === sits) return;
    if (sat) devices.closeAll().catch((error) => toast(words(error)));
    else toast('You are on stage. Your microphone and camera are off until you switch them on.', { isTrouble: false });
  });
  onRoom('onUserRoleChanged', lookAgain);
  onRoom('onReceiveTextMessage', ({ userId, message, timestamp }) => say({ from: userId, text: message, at: timestamp }));
  onRoom('onReceiveLikes', ({ totalLikes }) => update({ likes: totalLikes }));
  onRoom('onRequestReceived', ({ request }) => update({ requests: [...state.requests, request] }));
  const ended = ({ request }) => {
    const isMine = state.waiting?.requestId === request.requestId;
    update({
      requests: state.requests.filter((one) => one.requestId !== request.requestId),
      waiting: isMine ? null : state.waiting,
    });
    return isMine;
  };
  onRoom('onRequestCancelled', (value) => {
    if (ended(value)) toast('Nobody answered your request in time. Ask again.', { isTrouble: false });
  });
  onRoom('onRequestProcessed', (value) => {
    if (ended(value) && !value.isAccepted) toast('You were not given a seat this time.', { isTrouble: false });
  });
  onRoom('onDeviceRequested', ({ device, operator }) => {
    const kind = { microphone: 'audio', camera: 'main', screen: 'sub' }[device];
    const on = [['Switch on', () => devices.turn(kind, true)]];
    toast(`${operator} asks you to switch your ${device} on.`, { isTrouble: false, actions: mayPublish() ? on : [], ms: 30_000 });
  });
  const closed = (kind, device) => {
    if (devices.wasSwitchedOff(kind)) toast(`The host switched your ${device} off.`, { isTrouble: false });
  };
  onRoom('onUserAudioStateChanged', ({ userId, hasAudio }) => userId === state.me?.user && !hasAudio && closed('audio', 'microphone'));
  onRoom('onUserVideoStateChanged', ({ userId, hasVideo, streamType }) => {
    if (userId === state.me?.user && !hasVideo) closed(streamType, streamType === 'main' ? 'camera' : 'screen');
  });
}

function setOnAir(userId, kind, isOn) {
  const kinds = state.onAir.get(userId) ?? new Set();
  if (isOn) kinds.add(kind);
  else kinds.delete(kind);
  if (kinds.size > 0) state.onAir.set(userId, kinds);
  else state.onAir.delete(userId);
  update();
}
