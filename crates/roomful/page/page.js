// The live room: a host and an audience, on the browser client that this server carries. Here are the controls; state.js has what is
// known, lobby.js what is before a room, stage.js and panel.js what is in it, call.js and devices.js what is done.

import * as sdk from '/sdk/roomful-client.js';
import { $, attempt, endToasts, inForm, onPress, setIcon, setName, toast } from './dom.js';
import { leave, onLevel, openClient, signInAgain } from './call.js';
import * as devices from './devices.js';
import { readLink } from './lobby.js';
import { openPanel } from './panel.js';
import './stage.js';
import { mayPublish, mySeat, onDraw, state, update } from './state.js';

/** Wide enough for the chat beside the stage from the beginning. */
const WIDE = matchMedia('(min-width: 1100px)');

const TOLD_MUTED_MS = 15_000;

// Devices

for (const [id, kind] of [['microphone', 'audio'], ['camera', 'main'], ['screen', 'sub'], ['menu-screen', 'sub']]) {
  onPress($(id), async () => {
    $('menu').close();
    await devices.toggle(kind);
  });
}

document.addEventListener('keydown', (event) => {
  const id = { d: 'microphone', e: 'camera' }[event.key.toLowerCase()];
  if (!id || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
  const button = $(state.room ? id : `try-${id}`);
  if (button.hidden || button.closest('[hidden]') || document.querySelector('dialog[open]')) return;
  event.preventDefault();
  button.click();
});

let toldMutedAt = -Infinity;
onLevel((_, volume, isOwn) => {
  if (!isOwn || !state.room || !devices.isTalkingMuted(volume) || performance.now() - toldMutedAt < TOLD_MUTED_MS) return;
  toldMutedAt = performance.now();
  toast('You are muted: nobody hears you.', { isTrouble: false, topic: 'muted', actions: [['Unmute', () => devices.toggle('audio')]] });
});

const settings = $('devices').querySelector('form');
for (const id of ['settings', 'menu-settings']) {
  onPress($(id), async () => {
    $('menu').close();
    inForm(settings)('');
    await devices.fill(settings);
    $('devices').showModal();
  });
}
settings.addEventListener('change', ({ target }) => void attempt(() => devices.pick(target.name, target.value), inForm(settings)));

// The room

onPress($('seat'), async () => {
  const { client, waiting } = state;
  if (mySeat()) {
    await devices.closeAll();
    await client.room.leaveSeat();
  } else if (waiting) {
    await client.room.cancelRequest({ requestId: waiting.requestId });
    update({ waiting: null });
  } else {
    const request = await client.room.takeSeat();
    if (request) toast('The host was asked for a seat for you.', { isTrouble: false });
    update({ waiting: request ?? null });
  }
});

for (const id of ['like', 'menu-like']) onPress($(id), () => state.client.room.sendLikes({ count: 1 }));
onPress($('leave'), () => leave());
$('more').addEventListener('click', () => $('menu').showModal());

async function copyLink() {
  $('menu').close();
  const link = new URL('/', location.href);
  link.searchParams.set('room', state.room.id);
  try {
    await navigator.clipboard.writeText(link.href);
    toast('The link is copied. Whoever opens it can join.', { isTrouble: false });
  } catch {
    toast(`The browser does not let this page copy. The link is ${link.href}`, { isTrouble: false });
  }
}
for (const id of ['copy', 'menu-copy']) onPress($(id), copyLink);

const GRADES = ['not measured yet', 'excellent', 'good', 'fair', 'poor', 'very poor', 'down'];

function drawSignal({ quality }) {
  const grade = Math.max(quality?.uplinkNetworkQuality ?? 0, quality?.downlinkNetworkQuality ?? 0);
  const trip = Math.max(quality?.uplinkRTT ?? 0, quality?.downlinkRTT ?? 0);
  const name = `Network: ${GRADES[grade] ?? 'down'}${grade > 0 ? `, ${trip} ms` : ''}`;
  $('signal').dataset.grade = String(grade);
  setName($('signal'), name);
}

function drawControls({ own, waiting, likes, seats }) {
  const seat = mySeat();
  const isOn = mayPublish();
  const kinds = [['microphone', 'audio', 'mic', 'mic-off', 'the microphone', ' (Ctrl+D)'], ['camera', 'main', 'camera', 'camera-off', 'the camera', ' (Ctrl+E)']];
  for (const [id, kind, on, off, thing, keys] of kinds) {
    const button = $(id);
    button.hidden = !isOn;
    button.ariaPressed = String(own[kind]);
    button.title = `Switch ${thing} ${own[kind] ? 'off' : 'on'}${keys}`;
    setIcon(button, own[kind] ? on : off);
  }
  for (const id of ['screen', 'menu-screen']) {
    $(id).hidden = !isOn || !devices.canShareScreen();
    $(id).ariaPressed = String(own.sub);
    $(id).title = own.sub ? 'Stop sharing your screen' : 'Share your screen';
    setIcon($(id), own.sub ? 'screen-stop' : 'screen');
  }
  const button = $('seat');
  button.hidden = seats.length === 0;
  setName(button, seat ? 'Leave the stage' : waiting ? 'Take the request for a seat back' : 'Take a seat');
  button.dataset.waits = String(Boolean(waiting));
  setIcon(button, seat ? 'step-down' : 'hand');
  $('likes').textContent = likes > 0 ? likes.toLocaleString(undefined, { notation: 'compact' }) : '';
  setName($('like'), likes > 0 ? `Like, ${likes.toLocaleString()} so far` : 'Like');
}

function drawBanner({ link, resumeSound }) {
  const text = link === 'wait' ? 'Connection lost. Reconnecting…' : resumeSound ? 'The browser plays sound after a click. Click anywhere.' : '';
  $('banner').hidden = text === '';
  if ($('banner').textContent !== text) $('banner').textContent = text;
}

// The client goes on playing with the first click, wherever it is.
for (const event of ['pointerdown', 'keydown']) {
  document.addEventListener(event, () => state.resumeSound && update({ resumeSound: null }), true);
}

/** Whoever comes first is told how others come, until somebody has. */
function tellAlone(count) {
  if (count > 1) endToasts('alone');
  if (isCounted || count === 0) return;
  isCounted = true;
  if (count === 1) toast('Nobody else is here yet. Send the link to whoever is to come.', { isTrouble: false, topic: 'alone', actions: [['Copy link', copyLink]] });
}

let wasIn = null;
let isCounted = false;
onDraw((now) => {
  const { room, client, isHost } = now;
  $('room').hidden = !room;
  $('of-room').hidden = !room;
  $('copy').hidden = !room;
  document.body.dataset.in = room ? 'room' : 'lobby';
  document.title = room ? `${room.name} - Roomful` : 'Roomful';
  if (room !== wasIn) {
    wasIn = room;
    isCounted = false;
    for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close();
    if (room && WIDE.matches) openPanel('chat');
  }
  if (!room || !client) return;
  $('room-name').textContent = room.name;
  $('room-name').title = room.name;
  $('role').textContent = isHost ? 'Host' : mayPublish() ? 'On stage' : 'Watching';
  drawSignal(now);
  drawControls(now);
  drawBanner(now);
  tellAlone(now.count);
  if (now.own.audio) endToasts('muted');
});

for (const button of document.querySelectorAll('.dock .round')) if (!button.title) button.title = button.ariaLabel;

if (sdk.isStandIn) {
  $('stand-in').hidden = false;
} else {
  readLink();
  signInAgain();
  openClient();
}
