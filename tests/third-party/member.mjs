// A member over the npm package ws: enters a room, says something, hears itself, leaves by a plain close().
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const require = createRequire(import.meta.url);
const WebSocket = require('ws');
const { url, app, user, sig, room } = JSON.parse(readFileSync(0, 'utf8'));
const socket = new WebSocket(url);
const heard = [];
let id = 0;
const send = (command, body) => socket.send(JSON.stringify({ id: ++id, command, body }));
socket.on('open', () => send('login', { SdkAppId: app, UserId: user, UserSig: sig }));
socket.on('message', (data) => {
  const frame = JSON.parse(data);
  if (frame.ErrorCode) throw new Error(JSON.stringify(frame));
  if (frame.id === 1) send('enter_room', { RoomId: room });
  if (frame.id === 2) send('send_text_msg', { RoomId: room, Text: 'from ws' });
  if (frame.event === 'text_msg') {
    heard.push(frame.body.Text);
    send('get_member_list', { RoomId: room, Next: '' });
  }
  if (frame.id === 4) {
    heard.push(...frame.Response.MemberList.map((member) => member.Member_Account));
    socket.close();
  }
});
socket.on('close', () => process.stdout.write(JSON.stringify(heard)));
