// The live room: a host and an audience, on the browser client that this server carries. The state is one object, and the
// view is a function of it; only pictures keep their elements.

import TRTC, * as sdk from '/sdk/roomful-client.js';

const $ = (id) => document.getElementById(id);
const SHOWN_MEMBERS = 500;
const KEPT_MESSAGES = 300;
const LEVELS_MS = 150;

const state = {
  me: null, // {app, user, sig}
  room: null, // {id}
  isHost: false,
  members: new Map(), // account -> true, in join order
  count: 0,
  seats: [],
  onAir: new Map(), // account -> Set of audio, main, sub
  own: { audio: false, main: false, sub: false },
  requests: [], // of those who want a seat, or of who invites me
  waiting: null, // my own request for a seat
  likes: 0,
  messages: [], // {from, text} or {note}
  link: 'off', // off, on, wait
  quality: null,
  trouble: '',
};

let trtc = null;
let resumeSound = null;

// Entering and leaving

/** Logs in once to see whether the UserSig is good, before anything is built on it. */
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
      else reject(new Error(`${ErrorInfo} (${ErrorCode})`));
    };
    socket.onclose = () => reject(new Error('The server cannot be reached.'));
  });
}

async function signIn(me) {
  await tryLogin(me);
  sessionStorage.setItem('me', JSON.stringify(me));
  update({ me, link: 'on' });
}

async function enter(id, createRooms) {
  const { app, user, sig } = state.me;
  const fresh = TRTC.create({ createRooms });
  listen(fresh, id);
  Object.assign(state, {
    members: new Map(), onAir: new Map(), seats: [], requests: [], waiting: null, messages: [], likes: 0,
    own: { audio: false, main: false, sub: false },
  });
  trtc = fresh;
  try {
    // Only the host sits down by itself; others ask, or take a seat when they want to.
    await fresh.enterRoom({ sdkAppId: app, userId: user, userSig: sig, strRoomId: id, scene: 'live', role: createRooms ? 'anchor' : 'audience', enableAutoPlayDialog: false });
  } catch (error) {
    trtc = null;
    fresh.destroy();
    throw error;
  }
  const info = fresh.room.getRoomInfo();
  const isHost = info.ownerId === user || info.isAdmin;
  update({ room: { id, name: info.name || id }, isHost, seats: await fresh.room.getSeatList(), link: 'on' });
  await readMembers();
  if (isHost && info.hasSeats) update({ requests: await fresh.room.getSeatApplicationList() });
  fresh.enableAudioVolumeEvaluation(LEVELS_MS);
}

async function leave() {
  const old = trtc;
  trtc = null;
  tiles.clear();
  update({ room: null, quality: null });
  await old?.exitRoom();
  old?.destroy();
}

function out(note) {
  const old = trtc;
  trtc = null;
  tiles.clear();
  old?.destroy();
  update({ room: null, quality: null, trouble: note });
}

function listen(client, id) {
  const { EVENT } = TRTC;
  const stays = (handle) => (value) => {
    if (trtc === client) handle(value);
  };
  const on = (event, handle) => client.on(event, stays(handle));
  const onRoom = (event, handle) => client.room.on(event, stays(handle));
  on(EVENT.CONNECTION_STATE_CHANGED, ({ state: link }) =>
    update({ link: link === 'CONNECTED' ? 'on' : 'wait' }));
  on(EVENT.KICKED_OUT, ({ reason }) =>
    out({ kick: `You were put out of ${id}.`, banned: `You are banned from ${id}.`, room_disband: `The room ${id} closed.` }[reason]));
  on(EVENT.ERROR, (error) => update({ trouble: words(error) }));
  on(EVENT.NETWORK_QUALITY, (quality) => update({ quality }));
  on(EVENT.AUTOPLAY_FAILED, ({ resume }) => {
    const before = resumeSound;
    resumeSound = async () => {
      await before?.();
      await resume();
    };
    update({});
  });
  on(EVENT.REMOTE_AUDIO_AVAILABLE, ({ userId }) => setOnAir(userId, 'audio', true));
  on(EVENT.REMOTE_AUDIO_UNAVAILABLE, ({ userId }) => setOnAir(userId, 'audio', false));
  on(EVENT.REMOTE_VIDEO_AVAILABLE, ({ userId, streamType }) => setOnAir(userId, streamType, true));
  on(EVENT.REMOTE_VIDEO_UNAVAILABLE, ({ userId, streamType }) => setOnAir(userId, streamType, false));
  on(EVENT.SCREEN_SHARE_STOPPED, () => setOwn('sub', false));
  on(EVENT.PUBLISH_STATE_CHANGED, ({ mediaType, state: now, reason }) => {
    if (now !== 'stopped' || reason !== 'error') return;
    const device = { audio: 'microphone', video: 'camera', screen: 'screen' }[mediaType];
    say({ note: `Your ${device} is not let through at the moment` });
  });
  on(EVENT.AUDIO_VOLUME, ({ result }) => {
    // What is half as loud to the ear has far less than half of the amplitude.
    for (const { userId, floatVolume } of result) tiles.level(userId || state.me.user, Math.round(100 * Math.sqrt(floatVolume)));
  });
  onRoom('onRemoteUserEnterRoom', ({ userId }) => {
    if (state.members.has(userId)) return;
    state.members.set(userId, true);
    // Those who were here before oneself did not just enter.
    if (state.room) say({ note: `${userId} entered` });
  });
  onRoom('onRemoteUserLeaveRoom', ({ userId }) => {
    if (state.members.delete(userId)) say({ note: `${userId} left` });
  });
  onRoom('onRoomUserCountChanged', ({ userCount }) => update({ count: userCount }));
  onRoom('onSeatListChanged', ({ seatList }) => {
    const sat = state.seats.some((seat) => seat.userId === state.me.user);
    const sits = seatList.some((seat) => seat.userId === state.me.user);
    update({ seats: seatList, waiting: sits ? null : state.waiting });
    if (sat && !sits) void act(() => stopAll());
    if (!sat && sits) void act(() => client.switchRole('anchor'));
  });
  onRoom('onReceiveTextMessage', ({ userId, message }) => say({ from: userId, text: message }));
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
  onRoom('onRequestCancelled', ended);
  onRoom('onRequestProcessed', ({ request, isAccepted }) => {
    if (ended({ request })) say({ note: isAccepted ? 'You were given a seat' : 'You were not given a seat this time' });
  });
  onRoom('onDeviceRequested', ({ device, operator }) => say({ note: `${operator} asks you to turn your ${device} on` }));
}

async function readMembers() {
  const { userInfoList } = await trtc.room.getUserList();
  const members = new Map(userInfoList.map(({ userId }) => [userId, true]));
  update({ members, count: Math.max(state.count, members.size) });
}

function setOnAir(userId, kind, isOn) {
  const kinds = state.onAir.get(userId) ?? new Set();
  if (isOn) kinds.add(kind);
  else kinds.delete(kind);
  if (kinds.size > 0) state.onAir.set(userId, kinds);
  else state.onAir.delete(userId);
  update({});
}

function setOwn(kind, isOn) {
  state.own[kind] = isOn;
  update({});
}

function say(message) {
  state.messages.push(message);
  state.messages.splice(0, state.messages.length - KEPT_MESSAGES);
  update({});
}

function words(error) {
  const { message, extraCode, code } = error;
  return extraCode || code ? `${message} (${extraCode ?? code})` : message;
}

/** Does something that may be refused, and shows the refusal. */
async function act(work) {
  state.trouble = '';
  try {
    return await work();
  } catch (error) {
    state.trouble = words(error);
    return undefined;
  } finally {
    update({});
  }
}

// Forms

/** Runs what a form asks for, with its buttons off meanwhile and any refusal shown. */
function onSubmit(form, work) {
  $(form).addEventListener('submit', async (event) => {
    event.preventDefault();
    // Read first: a button that is off would not count as the one that was pressed.
    const data = new FormData(event.target, event.submitter);
    const buttons = event.target.querySelectorAll('button');
    buttons.forEach((button) => (button.disabled = true));
    await act(() => work(data, event.target));
    buttons.forEach((button) => (button.disabled = false));
  });
}

onSubmit('sign-in-form', (data) =>
  signIn({ app: Number(data.get('app')), user: data.get('user').trim(), sig: data.get('sig').trim() }));
onSubmit('enter-form', (data) => enter(data.get('room').trim(), data.get('how') === 'create'));
onSubmit('say-form', async (data, form) => {
  await trtc.room.sendTextMessage({ messageText: data.get('text') });
  form.reset();
});
$('leave').addEventListener('click', () => act(leave));

// Devices

const chosen = { profile: '480p' };

async function toggle(kind) {
  const isOn = state.own[kind];
  if (kind === 'audio') {
    await (isOn ? trtc.stopLocalAudio() : trtc.startLocalAudio({ option: { microphoneId: chosen.microphone } }));
  } else if (kind === 'main') {
    await (isOn ? trtc.stopLocalVideo() : trtc.startLocalVideo({ option: { cameraId: chosen.camera, profile: chosen.profile } }));
  } else {
    await (isOn ? trtc.stopScreenShare() : trtc.startScreenShare());
  }
  setOwn(kind, !isOn);
}

async function stopAll() {
  for (const kind of ['audio', 'main', 'sub']) if (state.own[kind]) await toggle(kind);
}

/** A button is off while what it asked for is under way. */
function onClick(id, work) {
  $(id).addEventListener('click', async ({ currentTarget }) => {
    currentTarget.disabled = true;
    await act(work);
    currentTarget.disabled = false;
    update({});
  });
}

for (const [id, kind] of [['microphone', 'audio'], ['camera', 'main'], ['screen', 'sub']]) onClick(id, () => toggle(kind));
onClick('like', () => trtc.room.sendLikes({ count: 1 }));
onClick('seat', async () => {
  if (mySeat()) {
    await stopAll();
    await trtc.room.leaveSeat();
  } else if (state.waiting) {
    await trtc.room.cancelRequest({ requestId: state.waiting.requestId });
    state.waiting = null;
  } else state.waiting = (await trtc.room.takeSeat()) ?? null;
});
onClick('hear', async () => {
  const resume = resumeSound;
  resumeSound = null;
  await resume?.();
});

$('settings').addEventListener('click', () =>
  act(async () => {
    const form = $('devices').querySelector('form');
    const lists = { camera: TRTC.getCameraList, microphone: TRTC.getMicrophoneList, speaker: TRTC.getSpeakerList };
    for (const [name, read] of Object.entries(lists)) {
      const options = (await read()).map((device, at) => {
        const option = element('option', '', device.label || `${name} ${at + 1}`);
        option.value = device.deviceId;
        option.selected = device.deviceId === chosen[name];
        return option;
      });
      form.elements[name].replaceChildren(...(options.length > 0 ? options : [element('option', '', `no ${name} was found`)]));
    }
    $('devices').showModal();
  }));

$('devices').addEventListener('change', ({ target }) =>
  act(async () => {
    chosen[target.name] = target.value;
    const { own } = state;
    if (target.name === 'camera' && own.main) await trtc.updateLocalVideo({ option: { cameraId: target.value } });
    if (target.name === 'profile' && own.main) await trtc.updateLocalVideo({ option: { profile: target.value } });
    if (target.name === 'microphone' && own.audio) await trtc.updateLocalAudio({ option: { microphoneId: target.value } });
    if (target.name === 'speaker') await TRTC.setCurrentSpeaker(target.value);
  }));

// Moderation

function openPerson(userId) {
  const { room } = trtc;
  const seat = state.seats.find((one) => one.userId === userId);
  const lock = (name, isLocked, params) => [name, () => room.lockSeatByAdmin({ seatIndex: seat.index, lockParams: params }), isLocked];
  const actions = [
    ...(seat
      ? [
          lock(seat.isAudioLocked ? 'Allow the microphone' : 'Lock the microphone', false, { lockAudio: !seat.isAudioLocked }),
          lock(seat.isVideoLocked ? 'Allow the camera' : 'Lock the camera', false, { lockVideo: !seat.isVideoLocked }),
          ['Take off the seat', () => room.kickUserOffSeatByAdmin({ userId })],
        ]
      : state.seats.length > 0 ? [['Invite to a seat', () => room.takeUserOnSeatByAdmin({ userId })]] : []),
    ['Silence for 10 minutes', () => room.disableSendingMessageByAdmin({ userId, isDisable: true, seconds: 600 })],
    ['Let speak again', () => room.disableSendingMessageByAdmin({ userId, isDisable: false })],
    ['Put out of the room', () => room.kickRemoteUserOutOfRoom({ userId }), true],
  ];
  $('person-name').textContent = userId;
  $('person-actions').replaceChildren(...actions.map(([name, work, isBad]) => {
    const button = element('button', isBad ? 'bad' : 'quiet', name);
    button.type = 'button';
    button.addEventListener('click', () => {
      $('person').close();
      void act(work);
    });
    return button;
  }));
  $('person').showModal();
}

const answer = (request, agree) =>
  act(async () => {
    await trtc.room.responseRemoteRequest({ requestId: request.requestId, agree });
    state.requests = state.requests.filter((one) => one !== request);
  });

// The view

const mySeat = () => state.seats.find((seat) => seat.userId === state.me?.user);

let drawn = false;
function update(changes) {
  Object.assign(state, changes);
  if (drawn) return;
  drawn = true;
  requestAnimationFrame(() => {
    drawn = false;
    draw();
  });
}

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function face(name) {
  const made = element('span', 'face', [...name][0].toUpperCase());
  made.ariaHidden = 'true';
  return made;
}

/** The pictures on stage, one element each for as long as it is shown. */
const tiles = {
  shown: new Map(), // key -> {tile, view, meter, isPlaying}

  draw(wanted) {
    for (const [key, { tile }] of this.shown) {
      if (wanted.some((one) => one.key === key)) continue;
      tile.remove();
      this.shown.delete(key);
    }
    for (const { key, userId, kind, label, hasPicture } of wanted) {
      let shown = this.shown.get(key);
      if (!shown) shown = this.make(key, userId, kind);
      shown.name.textContent = label;
      const isOwn = userId === state.me.user;
      if (hasPicture !== shown.isPlaying) {
        shown.isPlaying = hasPicture;
        if (hasPicture) this.play(shown, userId, kind, isOwn);
        else if (!isOwn) void trtc?.stopRemoteVideo({ userId, streamType: kind }).catch(() => undefined);
      }
      shown.meter.hidden = kind === 'sub';
      $('tiles').append(shown.tile);
    }
  },

  make(key, userId, kind) {
    const view = element('div', 'view');
    const name = element('span', 'name');
    const meter = element('span', 'level');
    const tile = element('div', 'tile', face(userId), view, element('div', 'label', name, meter));
    tile.dataset.kind = kind;
    tile.dataset.user = userId;
    if (state.isHost && userId !== state.me.user) {
      tile.tabIndex = 0;
      tile.role = 'button';
      tile.ariaLabel = `Actions for ${userId}`;
      tile.addEventListener('click', () => openPerson(userId));
      tile.addEventListener('keydown', (event) => event.key === 'Enter' && openPerson(userId));
    }
    const shown = { tile, view, name, meter, isPlaying: false };
    this.shown.set(key, shown);
    return shown;
  },

  play({ view }, userId, kind, isOwn) {
    if (!isOwn) void act(() => trtc.startRemoteVideo({ userId, streamType: kind, view }));
    else if (kind === 'main') void act(() => trtc.updateLocalVideo({ view }));
    else void act(() => trtc.updateScreenShare({ view }));
  },

  level(userId, volume) {
    const shown = this.shown.get(`main:${userId}`);
    shown?.tile.style.setProperty('--level', volume);
    if (shown) shown.tile.dataset.speaks = volume > 25;
  },

  clear() {
    for (const { tile } of this.shown.values()) tile.remove();
    this.shown.clear();
  },
};

/** Who is on stage: those on seats, and whoever publishes. */
function stage() {
  const { me, seats, onAir, own } = state;
  const kindsOf = (userId) =>
    userId === me.user ? new Set(Object.keys(own).filter((kind) => own[kind])) : (onAir.get(userId) ?? new Set());
  const people = [...new Set([...seats.map((seat) => seat.userId).filter(Boolean), ...onAir.keys()])];
  if (kindsOf(me.user).size > 0 && !people.includes(me.user)) people.unshift(me.user);
  return people.flatMap((userId) => {
    const kinds = kindsOf(userId);
    const name = userId === me.user ? `${userId} (you)` : userId;
    const seat = seats.find((one) => one.userId === userId);
    const locks = [seat?.isAudioLocked && 'microphone locked', seat?.isVideoLocked && 'camera locked'].filter(Boolean);
    const silent = kinds.has('audio') ? [] : ['silent'];
    const label = [name, ...(locks.length > 0 ? locks : silent)].join(' · ');
    const main = { key: `main:${userId}`, userId, kind: 'main', label, hasPicture: kinds.has('main') };
    if (!kinds.has('sub')) return [main];
    return [{ key: `sub:${userId}`, userId, kind: 'sub', label: `${name} · screen`, hasPicture: true }, main];
  });
}

function drawStage() {
  const { isHost, seats, own, requests, waiting, quality, likes } = state;
  const wanted = stage();
  tiles.draw(wanted);
  $('nobody').hidden = wanted.length > 0;
  const seat = mySeat();
  const mayPublish = seats.length === 0 ? isHost : Boolean(seat);
  $('role').textContent = isHost ? 'Host' : seat ? 'On stage' : 'Audience';

  const free = seats.filter((one) => !one.userId && !one.isLocked);
  $('free').hidden = free.length === 0 || Boolean(seat) || Boolean(waiting);
  $('free').replaceChildren(element('span', 'hint', 'Free seats:'), ...free.map(({ index }) => {
    const button = element('button', 'quiet', String(index + 1));
    button.ariaLabel = `Take seat ${index + 1}`;
    button.addEventListener('click', () => act(async () => {
      state.waiting = (await trtc.room.takeSeat({ seatIndex: index })) ?? null;
    }));
    return button;
  }));

  $('requests').hidden = requests.length === 0;
  $('requests').replaceChildren(...requests.map((request) => {
    const isInvitation = request.requestAction === 'inviteToSeat';
    const text = isInvitation ? 'You are invited to take a seat' : `${request.userId} would like a seat`;
    const [yes, no] = [element('button', '', 'Accept'), element('button', 'quiet', 'Decline')];
    yes.addEventListener('click', () => answer(request, true));
    no.addEventListener('click', () => answer(request, false));
    return element('div', '', element('span', '', text), yes, no);
  }));

  $('seat').hidden = seats.length === 0;
  $('seat').textContent = seat ? 'Leave the seat' : waiting ? 'Take the request back' : 'Take a seat';
  for (const [id, kind, on, off] of [
    ['microphone', 'audio', 'Microphone on', 'Microphone off'], ['camera', 'main', 'Camera on', 'Camera off'],
    ['screen', 'sub', 'Sharing screen', 'Share screen'],
  ]) {
    $(id).ariaPressed = String(own[kind]);
    $(id).textContent = own[kind] ? on : off;
    $(id).hidden = !mayPublish;
  }
  $('like').textContent = likes > 0 ? `Like · ${likes.toLocaleString()}` : 'Like';
  $('hear').hidden = !resumeSound;
  const grade = Math.max(quality?.uplinkNetworkQuality ?? 0, quality?.downlinkNetworkQuality ?? 0);
  $('quality').hidden = grade === 0;
  $('quality').dataset.grade = grade > 2 ? 'bad' : 'good';
  const rtt = Math.max(quality?.uplinkRTT ?? 0, quality?.downlinkRTT ?? 0);
  $('quality').textContent = `Network ${['', 'excellent', 'good', 'fair', 'poor', 'very poor', 'down'][grade]} · ${rtt} ms`;
}

function draw() {
  const { me, room, members, count, messages, link, trouble, onAir, isHost } = state;
  $('sign-in').hidden = Boolean(me);
  $('choose').hidden = !me || Boolean(room);
  $('room').hidden = !room;
  $('trouble').hidden = !trouble;
  $('trouble').textContent = trouble;
  $('where').textContent = me ? `${me.user} in app ${me.app}` : '';
  $('link').dataset.state = me ? link : 'off';
  $('link').textContent = me ? { off: 'signed in', on: 'connected', wait: 'connecting again' }[link] : 'signed out';
  document.title = room ? `${room.name} (${count}) - Roomful` : 'Roomful';
  if (!room || !trtc) return;

  $('room-name').textContent = room.name;
  drawStage();
  $('count').textContent = count.toLocaleString();
  const names = [...members.keys()].slice(0, SHOWN_MEMBERS);
  $('members').replaceChildren(...names.map((name) => {
    const label = element('span', onAir.has(name) ? 'on-air' : '', name === me.user ? `${name} (you)` : name);
    label.title = name;
    const item = element('li', '', face(name), label);
    if (isHost && name !== me.user) {
      item.tabIndex = 0;
      item.addEventListener('click', () => openPerson(name));
      item.addEventListener('keydown', (event) => event.key === 'Enter' && openPerson(name));
    }
    return item;
  }));
  $('more').hidden = count <= names.length;
  $('more').textContent = `and ${(count - names.length).toLocaleString()} more`;

  const list = $('messages');
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
  $('no-messages').hidden = messages.length > 0;
  list.replaceChildren(...messages.map(({ from, text, note }) =>
    note ? element('li', 'note', note)
      : element('li', from === me.user ? 'mine' : '', element('span', 'from', from), text)));
  if (atEnd) list.scrollTop = list.scrollHeight;
}

if (sdk.isStandIn) $('stand-in').hidden = false;
const remembered = JSON.parse(sessionStorage.getItem('me') ?? 'null');
if (remembered && !sdk.isStandIn) signIn(remembered).catch((error) => update({ trouble: error.message }));
update({});
