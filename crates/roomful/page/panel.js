// Beside the stage: what is said, and who is there. A column on wide screens, a sheet on narrow ones.

import { $, element, face, icon, iconButton, inForm, nameOf, onPress, onSubmit } from './dom.js';
import { onDraw, state, update } from './state.js';

const SHOWN_MEMBERS = 500;
const sayForm = $('say-form');
const TABS = { chat: ['tab-chat', 'chat', 'open-chat'], members: ['tab-members', 'members-panel', 'open-members'] };

/** Opened to write on a computer; on a phone the keyboard would cover what is to be read. */
const WRITES = matchMedia('(hover: hover)');

// Opening and closing

/** At once, so that the focus can go into it, or back to what opened it. */
export function openPanel(panel) {
  update({ panel, ...(panel === 'chat' ? { unread: 0 } : {}) });
  for (const [name, [tab, part, opener]] of Object.entries(TABS)) {
    const isOpen = panel === name;
    $(tab).ariaSelected = String(isOpen);
    $(tab).tabIndex = isOpen ? 0 : -1;
    $(part).hidden = !isOpen;
    $(opener).ariaExpanded = String(isOpen);
  }
  $('panel').hidden = !panel;
  $('room').dataset.panel = panel ?? '';
}

function close() {
  const [, , opener] = TABS[state.panel] ?? [];
  openPanel(null);
  if (opener) $(opener).focus();
}

for (const [panel, [tab, , opener]] of Object.entries(TABS)) {
  $(tab).addEventListener('click', () => openPanel(panel));
  $(opener).addEventListener('click', () => {
    if (state.panel === panel) return close();
    openPanel(panel);
    return (panel === 'chat' && WRITES.matches ? sayForm.elements.text : $(tab)).focus({ preventScroll: true });
  });
  $(tab).addEventListener('keydown', ({ key }) => {
    if (key !== 'ArrowLeft' && key !== 'ArrowRight') return;
    const other = panel === 'chat' ? 'members' : 'chat';
    openPanel(other);
    $(TABS[other][0]).focus();
  });
}

$('close-panel').addEventListener('click', close);
// Also from the controls, which stand beside it.
for (const part of [$('panel'), document.querySelector('.dock')]) part.addEventListener('keydown', ({ key }) => key === 'Escape' && state.panel && close());

// Chat

onSubmit(sayForm, async (data) => {
  await state.client.room.sendTextMessage({ messageText: data.get('text') });
  sayForm.reset();
});
sayForm.addEventListener('submit', () => {
  // Its buttons are off meanwhile, and the next thing can be written.
  sayForm.elements.text.focus();
});
sayForm.addEventListener('input', () => inForm(sayForm)(''));

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

function timeOf(at) {
  const time = at ? new Date(at < 1e12 ? at * 1000 : at) : new Date();
  return clock.format(time);
}

const drawn = []; // {message, item}

function drawMessages({ messages, me }) {
  const list = $('messages');
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  while (drawn.length > 0 && drawn[0].message !== messages[0]) drawn.shift().item.remove();
  const isNew = drawn.length < messages.length;
  for (const message of messages.slice(drawn.length)) {
    const before = messages[messages.indexOf(message) - 1];
    const item = itemOf(message, before, me);
    drawn.push({ message, item });
    list.append(item);
  }
  $('no-messages').hidden = messages.length > 0;
  if (isNew && atEnd) list.scrollTop = list.scrollHeight;
}

function itemOf({ from, text, note, at }, before, me) {
  if (note) return element('li', 'note', note);
  const item = element('li', from === me.user ? 'said mine' : 'said');
  if (before?.from !== from) item.append(element('span', 'from', from === me.user ? 'You' : from, ' ', element('time', '', timeOf(at))));
  item.append(element('span', 'text', text));
  return item;
}

// Members

let shownMembers = '';

function drawMembers({ client, members, count, me, onAir, seats, isHost, own, requests }) {
  const { ownerId } = client.room.getRoomInfo();
  const hears = (name) => (name === me.user ? own.audio : onAir.get(name)?.has('audio'));
  const isOnStage = (name) => seats.some((seat) => seat.userId === name) || onAir.has(name) || (name === me.user && Object.values(own).some(Boolean));
  const all = [...members].slice(0, SHOWN_MEMBERS);
  const sorted = [...all.filter(isOnStage), ...all.filter((name) => !isOnStage(name))];
  const now = JSON.stringify([sorted.map((name) => [name, isOnStage(name), Boolean(hears(name))]), count, isHost, ownerId, requests.length]);
  if (now === shownMembers) return;
  shownMembers = now;
  $('members').replaceChildren(...sorted.map((name) => {
    const label = element('span', 'name', ...nameOf(name, name === me.user ? ' (you)' : ''));
    label.title = name;
    const item = element('li', '', face(name), label);
    if (name === ownerId) item.append(element('span', 'visually-hidden', 'host'), icon('crown'));
    if (isOnStage(name)) {
      const sign = icon(hears(name) ? 'mic' : 'mic-off');
      item.append(element('span', 'visually-hidden', hears(name) ? 'on stage, microphone on' : 'on stage, microphone off'), sign);
    }
    if (isHost && name !== me.user) {
      const more = iconButton('bare', `Actions for ${name}`, 'more');
      more.addEventListener('click', () => openPerson(name));
      item.append(more);
    }
    return item;
  }));
  $('others').hidden = count <= sorted.length;
  $('others').textContent = `and ${(count - sorted.length).toLocaleString()} more`;
}

let shownFree = '';

/** Whoever has no seat may pick one of those that are free. */
function drawFree({ seats, me, waiting }) {
  const free = seats.filter((seat) => !seat.userId && !seat.isLocked);
  const isSeated = seats.some((seat) => seat.userId === me.user);
  $('free').hidden = free.length === 0 || isSeated || Boolean(waiting);
  const now = free.map((seat) => seat.index).join();
  if (now === shownFree) return;
  shownFree = now;
  $('free').replaceChildren(element('span', 'soft', 'Free seats'), ...free.map(({ index }) => {
    const button = element('button', 'quiet small', String(index + 1));
    button.ariaLabel = `Take seat ${index + 1}`;
    onPress(button, async () => {
      const request = await state.client.room.takeSeat({ seatIndex: index });
      update({ waiting: request ?? null });
    });
    return button;
  }));
}

// Those who want something of oneself

let shownRequests = '';

function drawRequests({ requests }) {
  const now = requests.map((request) => request.requestId).join();
  if (now === shownRequests) return;
  shownRequests = now;
  $('requests').replaceChildren(...requests.map((request) => {
    const isInvitation = request.requestAction === 'inviteToSeat';
    const text = isInvitation ? 'You are invited on stage.' : `${request.userId} would like a seat.`;
    const answer = (agree) => async () => {
      await state.client.room.responseRemoteRequest({ requestId: request.requestId, agree });
      update({ requests: state.requests.filter((one) => one !== request) });
    };
    const [yes, no] = [element('button', 'small', 'Accept'), element('button', 'quiet small', 'Decline')];
    onPress(yes, answer(true));
    onPress(no, answer(false));
    return element('div', 'toast', icon('hand'), element('span', '', text), yes, no);
  }));
}

// Moderation

export function openPerson(userId) {
  const { room } = state.client;
  const { seats, onAir } = state;
  const seat = seats.find((one) => one.userId === userId);
  const kinds = onAir.get(userId) ?? new Set();
  const lock = (name, lockParams) => [name, () => room.lockSeatByAdmin({ seatIndex: seat.index, lockParams })];
  const device = (name, kind) => kinds.has(kind)
    ? [[`Switch the ${name} off`, () => room.closeRemoteDeviceByAdmin({ userId, device: name })]]
    : seat && kind !== 'sub' ? [[`Ask to switch the ${name} on`, () => room.openRemoteDeviceByAdmin({ userId, device: name })]] : [];
  const actions = [
    ...device('microphone', 'audio'),
    ...device('camera', 'main'),
    ...device('screen', 'sub'),
    ...(seat
      ? [
          lock(seat.isAudioLocked ? 'Allow the microphone' : 'Lock the microphone', { lockAudio: !seat.isAudioLocked }),
          lock(seat.isVideoLocked ? 'Allow the camera' : 'Lock the camera', { lockVideo: !seat.isVideoLocked }),
          ['Take off the seat', () => room.kickUserOffSeatByAdmin({ userId })],
        ]
      : seats.length > 0 ? [['Invite to a seat', () => room.takeUserOnSeatByAdmin({ userId })]] : []),
    ['Silence for 10 minutes', () => room.disableSendingMessageByAdmin({ userId, isDisable: true, seconds: 600 })],
    ['Let speak again', () => room.disableSendingMessageByAdmin({ userId, isDisable: false })],
    ['Put out of the room', () => room.kickRemoteUserOutOfRoom({ userId }), true],
  ];
  const dialog = $('person');
  const show = inForm(dialog);
  show('');
  $('person-name').textContent = userId;
  $('person-actions').replaceChildren(...actions.map(([name, work, isBad]) => {
    const button = element('button', isBad ? 'bad' : 'quiet', name);
    button.type = 'button';
    onPress(button, async () => {
      await work();
      dialog.close();
    }, show);
    return button;
  }));
  dialog.showModal();
}

onDraw((now) => {
  const { room, client, panel, unread, count } = now;
  if (!room || !client) {
    for (const { item } of drawn.splice(0)) item.remove();
    [shownMembers, shownFree, shownRequests] = ['', '', ''];
    $('requests').replaceChildren();
    if (!$('panel').hidden) openPanel(null);
    return;
  }
  $('unread').textContent = unread > 0 ? (unread > 99 ? '99+' : String(unread)) : '';
  $('open-chat').ariaLabel = unread > 0 ? `Chat, ${unread} unread` : 'Chat';
  $('count').textContent = count > 0 ? count.toLocaleString(undefined, { notation: 'compact' }) : '';
  $('open-members').ariaLabel = `Members: ${count.toLocaleString()}`;
  drawRequests(now);
  if (panel === 'chat') drawMessages(now);
  if (panel === 'members') {
    drawMembers(now);
    drawFree(now);
  }
});
