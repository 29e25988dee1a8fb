// What the page knows, in one object. The view is a function of it: whoever draws is called once a frame in which it changed.

export const KEPT_MESSAGES = 300;

export const state = {
  me: null, // {app, user, sig}
  isDev: document.querySelector('meta[name=dev-sign-in]') !== null, // the server signs in by a name
  bySig: false, // with a UserSig nevertheless
  client: null, // the TRTC instance: of the preview, then of the room
  room: null, // {id, name, isOpen}: in an open one everybody may publish
  farewell: '', // how the last room ended
  isHost: false,
  members: new Set(), // in join order
  count: 0,
  seats: [],
  onAir: new Map(), // account -> Set of audio, main, sub
  own: { audio: false, main: false, sub: false }, // what others get of me
  troubles: { audio: null, main: null }, // the errors for which a device is off
  isAsking: false, // the browser asks for a device
  requests: [], // of those who want a seat, or of who invites me
  waiting: null, // my own request for a seat
  likes: 0,
  messages: [], // {from, text, at} or {note}
  unread: 0,
  panel: null, // 'chat', 'members'
  pinned: null, // the key of a tile
  link: 'on', // or 'wait'
  quality: null,
  resumeSound: null, // where the browser wants a click before it plays any
};

/** What is new in every room. */
export const fresh = () => ({
  members: new Set(), count: 0, seats: [], onAir: new Map(), requests: [], waiting: null, likes: 0, messages: [], unread: 0,
  pinned: null, link: 'on', quality: null, resumeSound: null, isHost: false,
});

const drawers = [];
let isDue = false;

export function onDraw(draw) {
  drawers.push(draw);
}

export function update(changes = {}) {
  Object.assign(state, changes);
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    for (const draw of drawers) draw(state);
  });
}

export const mySeat = () => state.seats.find((seat) => seat.userId === state.me?.user);

/** Where there are seats, whoever sits publishes; where there are none, the host, or everyone. */
export const mayPublish = () =>
  state.seats.length > 0 ? Boolean(mySeat()) : state.isHost || Boolean(state.room?.isOpen);

export function say(message) {
  state.messages.push(message);
  state.messages.splice(0, state.messages.length - KEPT_MESSAGES);
  if (message.from && message.from !== state.me?.user && state.panel !== 'chat') state.unread += 1;
  update();
}
