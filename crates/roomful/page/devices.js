// One's own microphone, camera and screen, before entering a room and in it.

import TRTC from '/sdk/roomful-client.js';
import { mayPublish, state, update } from './state.js';

const KEPT_AS = 'roomful-devices';

/** What was chosen, kept for the next time: devices by their ids, the picture's size, and what was on. */
export const chosen = { profile: '480p', audio: true, main: true, ...read() };

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEPT_AS) ?? '{}');
  } catch {
    // Storage that is off or spoiled is as good as none.
    return {};
  }
}

export function choose(changes) {
  Object.assign(chosen, changes);
  try {
    localStorage.setItem(KEPT_AS, JSON.stringify(chosen));
  } catch {
    // Then it holds for this visit.
  }
}

/** Devices that are open, though nothing may be sent of them. */
const opened = { audio: false, main: false };

/** When each was switched last: what the server says of it meanwhile may be of before. */
const switchedAt = { audio: 0, main: 0, sub: 0 };

const LISTS = { microphone: TRTC?.getMicrophoneList, camera: TRTC?.getCameraList, speaker: TRTC?.getSpeakerList };

export const canShareScreen = () => Boolean(navigator.mediaDevices?.getDisplayMedia);

/** The devices of a kind; without names before the browser has let the page use one. */
export async function list(kind) {
  if (!navigator.mediaDevices?.enumerateDevices) return [];
  return LISTS[kind](false);
}

/** The device that was chosen, if it is still there. */
async function known(kind) {
  const id = chosen[kind];
  return id && (await list(kind)).some((device) => device.deviceId === id) ? id : undefined;
}

async function turnAudio(isOn) {
  const { client } = state;
  if (opened.audio) return client.updateLocalAudio({ mute: !isOn });
  if (!isOn) return undefined;
  // Whoever speaks while muted is told so.
  await client.startLocalAudio({ muteKeepVolumeDetection: true, option: { microphoneId: await known('microphone') } });
  opened.audio = true;
  return undefined;
}

async function turnMain(isOn, view) {
  const { client } = state;
  if (isOn && opened.main) return client.updateLocalVideo({ mute: false, ...(view ? { view } : {}) });
  if (isOn) {
    await client.startLocalVideo({ view, option: { cameraId: await known('camera'), profile: chosen.profile } });
    opened.main = true;
  } else if (opened.main) {
    opened.main = false;
    await client.stopLocalVideo();
  }
  return undefined;
}

async function turnSub(isOn) {
  const { client } = state;
  if (!isOn) return client.stopScreenShare();
  try {
    await client.startScreenShare({ option: { systemAudio: true } });
  } catch (error) {
    // Whoever closes the browser's dialog has changed its mind.
    if (error.extraCode !== 5302) throw error;
    return false;
  }
  return true;
}

/** Switches one on or off. What goes wrong is thrown, and kept as the reason why it is off. */
export async function turn(kind, isOn, view) {
  switchedAt[kind] = performance.now();
  try {
    const done = await { audio: turnAudio, main: turnMain, sub: turnSub }[kind](isOn, view);
    state.own[kind] = isOn && done !== false;
    if (kind !== 'sub') state.troubles[kind] = null;
  } catch (error) {
    state.own[kind] = false;
    if (kind !== 'sub') state.troubles[kind] = error;
    throw error;
  } finally {
    switchedAt[kind] = performance.now();
    update();
  }
}

/** Switches one the other way, and remembers that for the next room. */
export async function toggle(kind, view) {
  const isOn = !state.own[kind];
  if (kind !== 'sub') choose({ [kind]: isOn });
  await turn(kind, isOn, view);
}

const SETTLED_MS = 1_500;

/** Another switched it off: it is off until it is switched on again. */
export function wasSwitchedOff(kind) {
  if (!state.own[kind] || performance.now() - switchedAt[kind] < SETTLED_MS) return false;
  state.own[kind] = false;
  update();
  return true;
}

/** One went away and does not come back: it is off, and opened anew when it is switched on. */
export async function lost(kind, error) {
  const { client } = state;
  state.own[kind] = opened[kind] = false;
  state.troubles[kind] = error;
  update();
  await (kind === 'audio' ? client.stopLocalAudio() : client.stopLocalVideo());
}

/** Closes all of them: nothing is recorded any more. */
export async function closeAll() {
  const { client, own } = state;
  const wasSharing = own.sub;
  state.own = { audio: false, main: false, sub: false };
  const open = { ...opened };
  Object.assign(opened, { audio: false, main: false });
  update();
  if (!client) return;
  if (open.audio) await client.stopLocalAudio();
  if (open.main) await client.stopLocalVideo();
  if (wasSharing) await client.stopScreenShare();
}

/** Another client has none of them open yet. */
export function forget() {
  state.own = { audio: false, main: false, sub: false };
  state.troubles = { audio: null, main: null };
  Object.assign(opened, { audio: false, main: false });
}

/** Puts the devices that there are into the selects of a form. */
export async function fill(form) {
  for (const kind of Object.keys(LISTS)) {
    const select = form.elements[kind];
    const found = await list(kind);
    const options = found.map((device, at) => {
      const option = document.createElement('option');
      option.value = device.deviceId;
      option.textContent = device.label || `${kind[0].toUpperCase()}${kind.slice(1)} ${at + 1}`;
      option.selected = device.deviceId === chosen[kind];
      return option;
    });
    const none = document.createElement('option');
    none.textContent = kind === 'speaker' ? 'The usual speaker' : `No ${kind}`;
    select.replaceChildren(...(options.length > 0 ? options : [none]));
    select.disabled = options.length < 2;
  }
  if (form.elements.profile) form.elements.profile.value = chosen.profile;
}

/** Takes over what was picked in such a select. */
export async function pick(name, value) {
  choose({ [name]: value });
  const { client } = state;
  if (name === 'speaker') return TRTC.setCurrentSpeaker(value);
  if (name === 'microphone' && opened.audio) return client.updateLocalAudio({ option: { microphoneId: value } });
  if (name === 'camera' && opened.main) return client.updateLocalVideo({ option: { cameraId: value } });
  if (name === 'profile' && opened.main) return client.updateLocalVideo({ option: { profile: value } });
  return undefined;
}

/** Whether one speaks while nobody can hear it. */
export const isTalkingMuted = (volume) => opened.audio && !state.own.audio && volume > 30 && mayPublish();
