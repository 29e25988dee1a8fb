// Making elements, and what happens when something that was asked for fails: it is said where it was asked for.

export const $ = (id) => document.getElementById(id);

export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** What is in a person's name where there may be too little room for all: the name gets shorter, and not what is said of it. */
export const nameOf = (user, after = '') => [element('span', 'called', user), after];

const SVG = 'http://www.w3.org/2000/svg';

/** One of the drawings at the top of index.html. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  svg.append(document.createElementNS(SVG, 'use'));
  setIcon(svg, name);
  return svg;
}

export function setIcon(svg, name) {
  const use = svg.querySelector('use');
  if (use.getAttribute('href') !== `#i-${name}`) use.setAttribute('href', `#i-${name}`);
}

/** A button that shows a drawing alone; its name is for everyone who points at it, or hears it. */
export function iconButton(className, name, drawing) {
  const button = element('button', className, icon(drawing));
  button.type = 'button';
  setName(button, name);
  return button;
}

export function setName(button, name) {
  if (button.ariaLabel !== name) button.ariaLabel = name;
  if (button.title !== name) button.title = name;
}

/** A colour of one's own, the same everywhere. */
export function hueOf(name) {
  let hash = 7;
  for (const letter of name) hash = (hash * 31 + letter.codePointAt(0)) >>> 0;
  return hash % 360;
}

export const initial = (name) => ([...name.trim()][0] ?? '?').toUpperCase();

export function face(name) {
  const made = element('span', 'face', initial(name));
  made.style.setProperty('--hue', hueOf(name));
  made.ariaHidden = 'true';
  return made;
}

/** Three bars of a level from 0 to 100. */
export function bars() {
  const made = element('span', 'bars', element('i'), element('i'), element('i'));
  made.ariaHidden = 'true';
  return made;
}

/** Does something that may be refused; the refusal is told to `show`, which is told '' before. */
export async function attempt(work, show) {
  show('');
  try {
    return await work();
  } catch (error) {
    show(words(error));
    return undefined;
  }
}

/** Shows what went wrong in the form's own place for that. */
export const inForm = (form) => (trouble) => {
  const place = form.querySelector('.error');
  place.textContent = trouble;
  place.hidden = trouble === '';
};

/** Runs what a form asks for, with its buttons off meanwhile. */
export function onSubmit(form, work) {
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    // Read first: a button that is off would not count as the one that was pressed.
    const data = new FormData(form, event.submitter);
    const buttons = [...form.querySelectorAll('button')];
    for (const button of buttons) button.disabled = true;
    await attempt(() => work(data), inForm(form));
    for (const button of buttons) button.disabled = false;
  });
}

/** A button does nothing more while what it asked for is under way; it keeps the focus. */
export function onPress(button, work, show = toast) {
  button.addEventListener('click', async () => {
    if (button.ariaBusy === 'true') return;
    button.ariaBusy = 'true';
    await attempt(work, (trouble) => trouble && show(trouble));
    button.ariaBusy = 'false';
  });
}

const TOAST_MS = 7_000;
const SHOWN_TOASTS = 3;

/** Says something over the controls for a moment; with `actions`, buttons of it. Of one topic there is the newest word. */
export function toast(text, { isTrouble = true, actions = [], topic = text, ms = isTrouble ? 2 * TOAST_MS : TOAST_MS } = {}) {
  const place = $('toasts');
  endToasts(topic);
  const close = iconButton('bare', 'Dismiss', 'close');
  const made = element('div', isTrouble ? 'toast trouble' : 'toast', ...(isTrouble ? [icon('alert')] : []), element('span', '', text));
  made.dataset.topic = topic;
  made.role = isTrouble ? 'alert' : 'status';
  const end = () => made.remove();
  for (const [name, work] of actions) {
    const button = element('button', 'small', name);
    button.addEventListener('click', () => {
      end();
      void attempt(work, (trouble) => trouble && toast(trouble));
    });
    made.append(button);
  }
  close.addEventListener('click', end);
  made.append(close);
  place.append(made);
  while (place.children.length > SHOWN_TOASTS) place.firstElementChild.remove();
  setTimeout(end, ms);
}

/** What was said of this is no longer so. */
export function endToasts(topic) {
  for (const one of [...$('toasts').children]) if (one.dataset.topic === topic) one.remove();
}

/** What was said in one place says nothing in the next: to be called where a room is entered or left, before anything is said there. */
export const clearToasts = () => $('toasts').replaceChildren();

const DEVICES = { startLocalAudio: 'microphone', updateLocalAudio: 'microphone', startLocalVideo: 'camera', updateLocalVideo: 'camera' };

/** The server's codes and the client's, where there is something to be done about them. */
const HELP = {
  60007: () => 'That was too much at once. Wait a moment, and try again.',
  70001: () => 'Your UserSig has expired. Sign out, and sign in with a new one.',
  100004: () => 'There is no such room. Check its name, or press Join to make it.',
  100008: () => 'The room is full. Try again later.',
  100016: () => 'You are banned from this room. Its host can let you in again.',
  100017: () => 'You are silenced in this room for now. Its host can let you speak again.',
  100200: () => 'That seat is locked. Take another, or ask the host.',
  100201: () => 'Somebody sits there already. Take another seat.',
  100202: () => 'You have asked for a seat already. The host has yet to answer.',
  100204: () => 'That request is over: it was answered, taken back, or nobody answered in time.',
  100205: () => 'All seats are taken. Watch for now, and try again when somebody leaves one.',
  104001: () => 'Messages are off in this room.',
  104003: () => 'Likes are off in this room.',
  5201: () => 'Browsers give devices to https pages and to localhost only. Open this page at one of them.',
  5205: () => 'This browser cannot share a screen. Use one on a computer.',
  5301: (device) => `No ${device} was found. Connect one, or join without.`,
  5302: (device) => `The browser may not use your ${device}. Allow it beside the page's address, then switch the ${device} on again.`,
  5303: (device) => `Another program uses your ${device}. Close it, then switch the ${device} on again.`,
  5308: () => 'Your camera was disconnected. Connect it again or choose another, then switch the camera on.',
  5309: () => 'Your microphone was disconnected. Connect it again or choose another, then switch the microphone on.',
  5304: (device) => `That ${device} is not there any more. Choose another.`,
};

/** What went wrong and what to do; `device` names what it is about where the call does not. */
export function words(error, device) {
  const { message, extraCode, code, functionName } = error;
  const help = HELP[extraCode] ?? HELP[code];
  if (help) return help(device ?? DEVICES[functionName] ?? 'device');
  return extraCode || code ? `${message} (${extraCode ?? code})` : message;
}
