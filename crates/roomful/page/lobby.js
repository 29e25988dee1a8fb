// Before a room: who one is, what others will see and hear, and where to.

import { $, attempt, element, hueOf, icon, inForm, initial, onPress, onSubmit, setIcon, words } from './dom.js';
import { join, onLevel, signIn, signOut } from './call.js';
import * as devices from './devices.js';
import { onDraw, state, update } from './state.js';

const joinForm = $('join-form');
const choices = $('choices');

/** Opens what was on the last time; what does not open says why, and the room can be entered without it. */
export async function preview() {
  if (state.isAsking || state.room) return;
  update({ isAsking: true });
  // One after the other: a browser asks for one thing at a time, and a camera that is refused leaves the microphone.
  for (const kind of ['main', 'audio']) {
    if (devices.chosen[kind]) await devices.turn(kind, true, $('preview-view')).catch(() => undefined);
  }
  update({ isAsking: false });
  await devices.fill(choices).catch(() => undefined);
}

/** Fills in what a link says: `/?room=demo&name=ann`. */
export function readLink() {
  const { searchParams } = new URL(location.href);
  joinForm.elements.room.value = searchParams.get('room') ?? '';
  joinForm.elements.name.value = searchParams.get('name') ?? '';
}

/** The first thing that is missing; nothing to write brings up no keyboard of a phone. */
const wanted = () => {
  const { name, room } = joinForm.elements;
  return [name, room].find((field) => !field.disabled && !field.value) ?? joinForm.querySelector('button[value=join]');
};

onSubmit($('sign-in-form'), async (data) => {
  await signIn(data.get('sig').trim());
  $('sign-in-form').reset();
});

onSubmit(joinForm, async (data) => {
  // A name that is not asked for is not there.
  const [name, room] = ['name', 'room'].map((field) => (data.get(field) ?? '').trim());
  await join({ name, room, isWatching: data.get('how') === 'watch' });
  $('room-name').focus();
});

joinForm.addEventListener('input', () => {
  inForm(joinForm)('');
  update();
});

onPress($('sign-out'), async () => signOut());
onPress($('by-sig'), async () => update({ bySig: true }));
onPress($('by-name'), async () => update({ bySig: false }));

const inPreview = (work) => attempt(work, () => undefined);

for (const [id, kind] of [['try-microphone', 'audio'], ['try-camera', 'main']]) {
  onPress($(id), async () => {
    await inPreview(() => devices.toggle(kind, $('preview-view')));
    await devices.fill(choices);
  });
}

choices.addEventListener('change', ({ target }) => {
  const kind = { microphone: 'audio', camera: 'main' }[target.name];
  void devices.pick(target.name, target.value).then(
    () => kind && update({ troubles: { ...state.troubles, [kind]: null } }),
    (error) => kind && update({ troubles: { ...state.troubles, [kind]: error } }),
  );
});

navigator.mediaDevices?.addEventListener?.('devicechange', () => void devices.fill(choices).catch(() => undefined));

onLevel((_, volume, isOwn) => {
  if (isOwn && !state.room) $('preview').style.setProperty('--level', state.own.audio ? volume : 0);
});

/** Why devices are off; once, where it is the same for both. */
function explain({ main, audio }) {
  if (main && audio && main.extraCode === audio.extraCode) return [words(main, 'camera or microphone')];
  return [main, audio].filter(Boolean).map((error) => words(error));
}

let wasShown = '';

onDraw(({ me, room, isDev, bySig, own, troubles, isAsking, farewell }) => {
  const isByName = isDev && !bySig;
  const shown = room ? 'room' : me || isByName ? 'lobby' : 'sign-in';
  $('sign-in').hidden = shown !== 'sign-in';
  $('lobby').hidden = shown !== 'lobby';
  $('by-name').hidden = !isDev;
  $('by-sig').hidden = !isByName;
  $('who').hidden = !me || Boolean(room) || isByName;
  $('me').textContent = me ? me.user : '';
  if (shown !== wasShown) {
    const isFirst = wasShown === '';
    wasShown = shown;
    if (shown === 'lobby') {
      if (isFirst || !farewell) void preview();
      setTimeout(() => wanted().focus({ preventScroll: true }));
    } else if (shown === 'sign-in') $('sign-in-form').elements.sig.focus({ preventScroll: true });
  }
  if (shown !== 'lobby') return;

  const nameField = joinForm.elements.name;
  $('name-field').hidden = !isByName;
  nameField.disabled = !isByName;
  const name = (isByName ? nameField.value.trim() : me.user) || 'You';
  $('preview-name').textContent = name;
  $('preview-face').textContent = initial(name);
  $('preview').style.setProperty('--hue', hueOf(name));
  $('farewell').hidden = !farewell;
  $('farewell').textContent = farewell;
  $('join-title').textContent = farewell ? 'Join again' : 'Join a room';
  $('preview').dataset.off = String(!own.main);
  $('preview-view').hidden = !own.main;
  const troubled = explain(troubles);
  $('preview-note').textContent = own.main || troubled.length > 0 ? ''
    : isAsking ? 'Allow the camera and the microphone where your browser asks for them. You can also join without.' : 'Your camera is off';
  const said = [...$('preview-trouble').children].map((one) => one.textContent).join();
  if (said !== troubled.join()) $('preview-trouble').replaceChildren(...troubled.map((text) => element('p', '', icon('alert'), element('span', '', text))));
  $('preview-level').dataset.off = String(!own.audio);
  for (const [id, kind, drawing, thing] of [['try-microphone', 'audio', 'mic', 'microphone'], ['try-camera', 'main', 'camera', 'camera']]) {
    const button = $(id);
    button.ariaPressed = String(own[kind]);
    button.title = `Switch the ${thing} ${own[kind] ? 'off' : 'on'}`;
    setIcon(button, own[kind] ? drawing : `${drawing}-off`);
  }
});
