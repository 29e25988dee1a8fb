// The demo page: signs in over the gateway, enters a room, shows who is there, and chats. docs/protocol.md has the
// protocol. The state is one object, and the view is a function of it.

const $ = (id) => document.getElementById(id);
const SHOWN_MEMBERS = 500;
const KEPT_MESSAGES = 300;

const state = {
  me: null, // {app, user, sig}
  room: null, // {id, name}
  members: new Map(), // account -> true, in join order
  count: 0,
  messages: [], // {from, text} or {note}
  link: 'off', // off, on, wait
  trouble: '',
};

// The connection

let socket = null;
let token = null;
let lastId = 0;
let waiting = new Map();
let seen = {}; // room -> the last message's Seq, told when resuming
let wanted = false;

/** A refusal of the server, with its code. */
class Refused extends Error {
  constructor(code, message) {
    super(`${message} (${code})`);
    this.code = code;
  }
}

function request(command, body) {
  return new Promise((resolve, reject) => {
    if (socket?.readyState !== WebSocket.OPEN) return reject(new Error('There is no connection; it is being made again.'));
    const id = ++lastId;
    waiting.set(id, { resolve, reject });
    socket.send(JSON.stringify({ id, command, body }));
  });
}

function connect() {
  return new Promise((resolve, reject) => {
    const url = new URL('/v1/connect', location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    const opened = new WebSocket(url);
    socket = opened;
    opened.onopen = async () => {
      try {
        resolve(await logIn());
      } catch (error) {
        opened.onclose = null;
        opened.close();
        reject(error);
      }
    };
    opened.onmessage = ({ data }) => receive(JSON.parse(data));
    opened.onclose = ({ code }) => {
      reject(new Error('The server cannot be reached.'));
      lost(opened, code);
    };
  });
}

async function logIn() {
  if (token) {
    try {
      const answer = await request('login', { ResumeToken: token, Seen: seen });
      token = answer.ResumeToken;
      return 'resumed';
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      token = null; // The session has ended; a new one begins below.
    }
  }
  const { app, user, sig } = state.me;
  const answer = await request('login', { SdkAppId: app, UserId: user, UserSig: sig });
  token = answer.ResumeToken;
  return 'new';
}

function lost(which, code) {
  if (which !== socket) return;
  for (const { reject } of waiting.values()) reject(new Error('The connection was lost.'));
  waiting = new Map();
  if (!wanted) return;
  if (code === 4001 || code === 4005) {
    signOut(code === 4001 ? 'This session goes on in another window.' : 'This account was deleted.');
    return;
  }
  update({ link: 'wait' });
  reconnect(500);
}

async function reconnect(after) {
  await new Promise((done) => setTimeout(done, after * (0.5 + Math.random())));
  if (!wanted) return;
  try {
    const how = await connect();
    // Events were missed in any case, so the list is read anew; a new session has to enter again.
    if (state.room) await enter(state.room.id, how === 'resumed');
    update({ link: 'on', trouble: '' });
  } catch (error) {
    if (error instanceof Refused) return signOut(error.message);
    reconnect(Math.min(after * 2, 10000));
  }
}

function receive(frame) {
  if (frame.event) return events[frame.event]?.(frame.body);
  const answer = waiting.get(frame.id);
  waiting.delete(frame.id);
  if (frame.ErrorCode === 0) answer?.resolve(frame.Response);
  else answer?.reject(new Refused(frame.ErrorCode, frame.ErrorInfo));
}

const events = {
  members_changed({ RoomId, MemberCount, Entered, Left, Partial }) {
    if (RoomId !== state.room?.id) return;
    for (const { Member_Account } of Left) {
      if (state.members.delete(Member_Account)) say({ note: `${Member_Account} left` });
    }
    for (const { Member_Account } of Entered) {
      if (state.members.has(Member_Account)) continue;
      state.members.set(Member_Account, true);
      say({ note: `${Member_Account} entered` });
    }
    if (Partial) readMembers();
    update({ count: MemberCount });
  },
  text_msg({ RoomId, From_Account, Text, Seq }) {
    if (RoomId !== state.room?.id || Seq <= (seen[RoomId] ?? 0)) return;
    seen[RoomId] = Seq;
    say({ from: From_Account, text: Text });
    update({});
  },
  room_closed({ RoomId, Cause }) {
    if (RoomId !== state.room?.id) return;
    delete seen[RoomId];
    update({ room: null, trouble: `The room ${RoomId} closed: ${Cause}.` });
  },
};

function say(message) {
  state.messages.push(message);
  state.messages.splice(0, state.messages.length - KEPT_MESSAGES);
}

let reading = false;
async function readMembers() {
  if (reading || !state.room) return;
  reading = true;
  try {
    await new Promise((done) => setTimeout(done, 1000)); // A busy room changes often; once a second is enough.
    showMembers(await request('get_member_list', { RoomId: state.room.id, Next: '' }));
  } catch {
    // The next event or reconnection reads it again.
  }
  reading = false;
}

function showMembers({ MemberList, MemberCount }) {
  update({ members: new Map(MemberList.map((member) => [member.Member_Account, true])), count: MemberCount });
}

// What a person does

async function enter(id, again = false) {
  const answer = await request('enter_room', { RoomId: id });
  if (!again) state.messages = [];
  state.room = { id, name: answer.RoomInfo.RoomName };
  showMembers(answer);
}

async function create(id) {
  const { app, user, sig } = state.me;
  const query = new URLSearchParams({ sdkappid: app, identifier: user, usersig: sig, random: Date.now() % 4294967296, contenttype: 'json' });
  const response = await fetch(`/v4/live_engine_http_srv/create_room?${query}`, {
    method: 'POST',
    body: JSON.stringify({ RoomInfo: { RoomId: id, RoomType: 'Live', IsPublicVisible: true } }),
  });
  const answer = await response.json();
  if (answer.ErrorCode !== 0) throw new Refused(answer.ErrorCode, answer.ErrorInfo);
}

function signOut(trouble = '') {
  wanted = false;
  token = null;
  seen = {};
  sessionStorage.removeItem('me');
  socket?.close(1000);
  update({ me: null, room: null, link: 'off', trouble });
}

/** Runs what a form asks for, with its buttons off meanwhile and any refusal shown. */
function onSubmit(form, act) {
  $(form).addEventListener('submit', async (event) => {
    event.preventDefault();
    // Read first: a button that is off would not count as the one that was pressed.
    const data = new FormData(event.target, event.submitter);
    const buttons = event.target.querySelectorAll('button');
    buttons.forEach((button) => (button.disabled = true));
    state.trouble = '';
    try {
      await act(data, event.target);
    } catch (error) {
      state.trouble = error.message;
    }
    buttons.forEach((button) => (button.disabled = false));
    update({});
  });
}

async function signIn(me) {
  state.me = me;
  try {
    await connect();
  } catch (error) {
    state.me = null;
    throw error;
  }
  wanted = true;
  sessionStorage.setItem('me', JSON.stringify(me));
  update({ link: 'on' });
}

onSubmit('sign-in-form', (data) =>
  signIn({ app: Number(data.get('app')), user: data.get('user').trim(), sig: data.get('sig').trim() }));

onSubmit('enter-form', async (data) => {
  const id = data.get('room').trim();
  if (data.get('how') === 'create') await create(id);
  await enter(id);
});

onSubmit('say-form', async (data, form) => {
  await request('send_text_msg', { RoomId: state.room.id, Text: data.get('text') });
  form.reset();
});

$('leave').addEventListener('click', async () => {
  try {
    await request('leave_room', { RoomId: state.room.id });
  } catch {
    // Not inside is what was wanted.
  }
  delete seen[state.room?.id];
  update({ room: null });
});

// The view

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

function draw() {
  const { me, room, members, count, messages, link, trouble } = state;
  $('sign-in').hidden = Boolean(me);
  $('choose').hidden = !me || Boolean(room);
  $('room').hidden = !room;
  $('trouble').hidden = !trouble;
  $('trouble').textContent = trouble;
  $('where').textContent = me ? `${me.user} in app ${me.app}` : '';
  $('link').dataset.state = link;
  $('link').textContent = { off: 'signed out', on: 'connected', wait: 'connecting again' }[link];
  document.title = room ? `${room.name} (${count}) - Roomful` : 'Roomful';
  if (!room) return;

  $('room-name').textContent = room.name;
  $('count').textContent = count.toLocaleString();
  const names = [...members.keys()].slice(0, SHOWN_MEMBERS);
  $('members').replaceChildren(...names.map((name) => {
    const label = element('span', '', name === me.user ? `${name} (you)` : name);
    label.title = name;
    const face = element('span', 'face', [...name][0].toUpperCase());
    face.ariaHidden = 'true';
    return element('li', '', face, label);
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

const remembered = JSON.parse(sessionStorage.getItem('me') ?? 'null');
if (remembered) signIn(remembered).catch((error) => update({ trouble: error.message }));
update({});
