// The stage: a tile for each who sits or publishes, and one for each shared screen, where layout.js puts them. Elements stay as long
// as what they show: only then a picture plays on while others come and go.

import { $, bars, element, face, hueOf, icon, iconButton, nameOf, setIcon, setName, toast, attempt } from './dom.js';
import { onLevel } from './call.js';
import { arrange } from './layout.js';
import { openPanel, openPerson } from './panel.js';
import { onDraw, state, update } from './state.js';

const GAP = 10;
const SPEAKS_FROM = 22;
const CAMERA = 16 / 9;

/** How long a tile that was touched shows its buttons. */
const TOUCHED_MS = 4_000;

const shown = new Map(); // key -> {tile, view, ...}
const others = element('button', 'tile others');
others.type = 'button';
others.addEventListener('click', () => openPanel('members'));

function kindsOf(userId) {
  const { me, own, onAir } = state;
  return userId === me.user ? new Set(Object.keys(own).filter((kind) => own[kind])) : (onAir.get(userId) ?? new Set());
}

/** Who is on stage: those on seats, and whoever publishes; those who are seen before those who are not. */
function wanted() {
  const { me, seats, onAir } = state;
  const people = [...new Set([...seats.map((seat) => seat.userId).filter(Boolean), ...onAir.keys()])];
  if (kindsOf(me.user).size > 0 && !people.includes(me.user)) people.unshift(me.user);
  const tiles = people.flatMap((userId) => {
    const kinds = kindsOf(userId);
    const seat = seats.find((one) => one.userId === userId);
    const after = userId === me.user ? ' (you)' : '';
    const main = {
      key: `main:${userId}`, userId, kind: 'main', after, isHeard: kinds.has('audio'), hasPicture: kinds.has('main'),
      isAudioLocked: Boolean(seat?.isAudioLocked), isVideoLocked: Boolean(seat?.isVideoLocked),
    };
    if (!kinds.has('sub')) return [main];
    return [{ key: `sub:${userId}`, userId, kind: 'sub', after: `${after}: screen`, isHeard: true, hasPicture: true }, main];
  });
  const featured = tiles.find((tile) => tile.key === state.pinned) ?? tiles.findLast((tile) => tile.kind === 'sub');
  const rank = (tile) => (tile === featured ? 0 : tile.kind === 'sub' ? 1 : tile.userId === me.user ? 2 : tile.hasPicture ? 3 : 4);
  return { featured, tiles: tiles.map((tile, at) => [rank(tile), at, tile]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(([, , tile]) => tile) };
}

function make({ key, userId, kind }) {
  const view = element('div', 'view');
  const name = element('span', 'name');
  const muted = icon('mic-off');
  const label = element('div', 'label', muted, bars(), name);
  const pin = iconButton('bare', 'Make large', 'pin');
  const full = iconButton('bare', 'Full screen', 'expand');
  const more = iconButton('bare', `Actions for ${userId}`, 'more');
  const tools = element('div', 'tools', pin, full, more);
  const tile = element('div', 'tile', face(userId), view, label, tools);
  tile.role = 'group';
  tile.dataset.kind = kind;
  tile.dataset.user = userId;
  tile.style.setProperty('--hue', hueOf(userId));
  pin.addEventListener('click', () => update({ pinned: state.pinned === key ? null : key }));
  full.hidden = !tile.requestFullscreen;
  full.addEventListener('click', () => {
    const work = () => (document.fullscreenElement === tile ? document.exitFullscreen() : tile.requestFullscreen());
    void attempt(work, (trouble) => trouble && toast(trouble));
  });
  more.addEventListener('click', () => openPerson(userId));
  let timer;
  tile.addEventListener('pointerup', ({ pointerType }) => {
    if (pointerType === 'mouse') return;
    tile.dataset.touched = 'true';
    clearTimeout(timer);
    timer = setTimeout(() => delete tile.dataset.touched, TOUCHED_MS);
  });
  const made = { tile, view, name, muted, pin, more, userId, kind, isPlaying: false };
  // The shape of a screen is known once it plays.
  view.addEventListener('loadeddata', place, true);
  view.addEventListener('resize', place, true);
  shown.set(key, made);
  $('tiles').append(tile);
  return made;
}

function play({ view, userId, kind }, isPlaying) {
  const { client, me } = state;
  const work = userId !== me.user
    ? () => (isPlaying ? client.startRemoteVideo({ userId, streamType: kind, view }) : client.stopRemoteVideo({ userId, streamType: kind }))
    : () => (!isPlaying ? undefined : kind === 'main' ? client.updateLocalVideo({ view }) : client.updateScreenShare({ view }));
  // It may be over before it was asked for: then the tile goes, too.
  void attempt(async () => work(), (trouble) => trouble && isPlaying && state.client === client && kindsOf(userId).has(kind) && toast(`${userId} cannot be shown. ${trouble}`));
}

function remove(key) {
  const { tile, view, userId, kind, isPlaying } = shown.get(key);
  // With the room, its client lets go of everything by itself.
  if (isPlaying && state.room && userId !== state.me.user) play({ view, userId, kind }, false);
  tile.remove();
  shown.delete(key);
}

function describe(one, { after, isHeard, hasPicture, isAudioLocked, isVideoLocked, kind, key }) {
  const name = one.userId + after;
  if (one.name.textContent !== name) one.name.replaceChildren(...nameOf(one.userId, after));
  one.tile.dataset.heard = String(isHeard);
  one.tile.dataset.off = String(!hasPicture);
  one.muted.toggleAttribute('hidden', kind === 'sub' || isHeard);
  const locks = [isAudioLocked && 'microphone locked', isVideoLocked && 'camera locked'].filter(Boolean);
  const sound = isAudioLocked ? [] : [isHeard ? 'microphone on' : 'microphone off'];
  const label = kind === 'sub' ? name : [name, ...sound, ...(isVideoLocked || hasPicture ? [] : ['camera off']), ...locks].join(', ');
  if (one.tile.ariaLabel !== label) one.tile.ariaLabel = label;
  one.tile.dataset.locked = String(locks.length > 0);
  one.tile.title = locks.join(', ');
  one.more.hidden = !state.isHost || one.userId === state.me.user;
  const isPinned = state.pinned === key;
  one.pin.ariaPressed = String(isPinned);
  setName(one.pin, isPinned ? 'Make it small again' : 'Make large');
  setIcon(one.pin, 'pin');
}

let order = [];
let featuredKey;

/** Puts the tiles where they belong at the stage's size. */
function place() {
  const area = $('tiles');
  const { clientWidth: width, clientHeight: height } = area;
  const keys = order.filter((key) => shown.has(key));
  const featured = shown.get(featuredKey);
  const video = featured?.view.querySelector('video');
  const isKnown = featured?.kind === 'sub' && video?.videoWidth > 0;
  const ratio = featured && (isKnown ? video.videoWidth / video.videoHeight : CAMERA);
  const places = arrange({ count: keys.length, ratio, width, height, gap: GAP });
  // Hidden, or not laid out yet: it is called again when there is a stage.
  if (places.length === 0) return;
  const isMore = places.length < keys.length;
  keys.forEach((key, at) => {
    const { tile } = shown.get(key);
    const isOut = isMore && at >= places.length - 1;
    tile.hidden = isOut;
    if (!isOut) put(tile, places[at]);
    tile.dataset.size = sizeOf(places[at]);
  });
  if (isMore) {
    const left = keys.length - places.length + 1;
    others.textContent = `+${left}`;
    others.ariaLabel = `${left} more on stage: show all members`;
    put(others, places.at(-1));
    if (!others.isConnected) area.append(others);
  } else others.remove();
}

const sizeOf = (place) => (!place ? '' : Math.min(place.width, place.height) < 130 ? 'small' : Math.min(place.width, place.height) < 260 ? 'middle' : 'large');

function put(tile, { x, y, width, height }) {
  tile.style.transform = `translate(${x}px, ${y}px)`;
  tile.style.width = `${width}px`;
  tile.style.height = `${height}px`;
}

new ResizeObserver(place).observe($('tiles'));

onLevel((userId, volume, isOwn) => {
  const one = shown.get(`main:${userId}`);
  if (!one) return;
  const level = isOwn && !state.own.audio ? 0 : volume;
  one.tile.style.setProperty('--level', level);
  one.tile.dataset.speaks = String(level > SPEAKS_FROM);
});

onDraw(({ room, client, seats }) => {
  if (!room || !client) {
    for (const key of [...shown.keys()]) remove(key);
    return;
  }
  const { tiles, featured } = wanted();
  order = tiles.map((tile) => tile.key);
  featuredKey = tiles.length > 1 || featured?.kind === 'sub' ? featured?.key : undefined;
  for (const key of [...shown.keys()]) if (!order.includes(key)) remove(key);
  for (const tile of tiles) {
    const one = shown.get(tile.key) ?? make(tile);
    describe(one, tile);
    if (one.isPlaying === tile.hasPicture) continue;
    one.isPlaying = tile.hasPicture;
    play(one, tile.hasPicture);
  }
  place();
  $('nobody').hidden = tiles.length > 0;
  $('nobody-hint').textContent = seats.length > 0 ? 'Take a seat with the hand below, or wait for others.' : 'Wait for the host, who is on stage here.';
});
