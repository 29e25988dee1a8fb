import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Room } from '../src/index.js';
import { Session } from '../src/session.js';
import { Socket } from './socket.js';

const ME = { sdkAppId: 1, userId: 'ann', userSig: 'sig', strRoomId: 'r' };
const turns = () => vi.advanceTimersByTimeAsync(0);

async function entered() {
  const room = new Room({ server: 'ws://server' });
  const entering = room.enterRoom(ME);
  Socket.last.open();
  await turns();
  Socket.last.answer({ ResumeToken: 'first', ServerId: 'a' });
  await turns();
  Socket.last.answer(welcome({ MemberList: [{ Member_Account: 'ann' }], SeatList: seats('ann') }));
  await entering;
  return room;
}

/** What the server says to who enters a room of which nothing else is to be known. */
const welcome = (known: object) => ({
  RoomInfo: {}, Next: '', MemberCount: 1, MemberList: [], Messages: [], SeatList: [], Metadata: [], Admin_Account: [], MutedAccountList: [],
  Statistic: {}, StreamList: [], ...known,
});

const seats = (member?: string) => [{ Index: 0, ...(member ? { Member_Account: member } : {}) }];

describe('the room layer', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    Socket.all = [];
    vi.stubGlobal('WebSocket', Socket);
    vi.stubGlobal('location', { origin: 'http://server', href: 'http://server/' });
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  test('enters the room of a number by its name', async () => {
    const room = new Room({ server: 'ws://server' });
    void room.enterRoom({ ...ME, strRoomId: undefined, roomId: 123 });
    Socket.last.open();
    await turns();
    Socket.last.answer({ ResumeToken: 'first', ServerId: 'a' });
    await turns();

    expect(Socket.last.sent.at(-1)).toMatchObject({ command: 'enter_room', body: { RoomId: '*123' } });
    await expect(new Room().enterRoom({ ...ME, strRoomId: '*123' })).rejects.toMatchObject({ extraCode: 5012 });
  });

  test('asks how media is reached together with entering, and again when that was a while ago', async () => {
    const session = new Session({ server: 'ws://server' });
    void session.login(ME);
    Socket.last.open();
    await turns();
    Socket.last.answer({ ResumeToken: 'first', ServerId: 'a' });
    await turns();
    const entering = session.enter('r', undefined);
    await turns();
    const { sent } = Socket.last;
    expect(sent.map(({ command }) => command)).toEqual(['login', 'get_media_config', 'enter_room']);
    Socket.last.answer(welcome({}));
    Socket.last.say({ id: sent[1]?.id, ErrorCode: 0, ErrorInfo: '', Response: { IceServers: [] } });
    await entering;

    // A connection that can do nothing: watching fails when it has asked for what it has to know.
    vi.stubGlobal('RTCPeerConnection', class {
      close() {}
    });
    const watch = async () => {
      const before = sent.length;
      session.watcher.watch({ userId: 'ben', kind: 'audio', maxHeight: 0, isPaused: false }).catch(() => undefined);
      await vi.advanceTimersByTimeAsync(10);
      return sent.slice(before).map(({ command }) => command);
    };
    expect(await watch()).toEqual([]);
    const later = performance.now() + 40_000;
    const clock = vi.spyOn(performance, 'now').mockReturnValue(later);
    expect(await watch()).toEqual(['get_media_config']);
    clock.mockRestore();
  });

  test('says when a signature has run out that is needed to come back, and can enter again', async () => {
    const room = await entered();
    const expired = vi.fn();
    room.on('onUserSigExpired', expired);

    Socket.last.close(1006);
    await vi.advanceTimersByTimeAsync(1_000);
    Socket.last.open();
    await turns();
    Socket.last.refuse(70_003, 'that session is over');
    await turns();
    Socket.last.refuse(70_001, 'UserSig expired');
    await turns();

    expect(expired).toHaveBeenCalledOnce();
    const again = room.enterRoom(ME);
    Socket.last.open();
    await turns();
    expect(Socket.last.sent[0]).toMatchObject({ command: 'login', body: { UserSig: 'sig' } });
    await Promise.all([expect(again).rejects.toThrow(), room.exitRoom().then(() => Socket.last.close(1006))]);
  });

  test('tells who owns the room now and who helps to, when that changes', async () => {
    const room = await entered();
    const told: string[] = [];
    room.on('onUserRoleChanged', ({ userId, userRole }) => told.push(`${userId} ${userRole}`));

    Socket.last.say({ event: 'admins_changed', body: { RoomId: 'r', OpType: 'add', Admin_Account: ['ann', 'ben'] } });
    Socket.last.say({ event: 'owner_changed', body: { RoomId: 'r', OriginalOwner_Account: 'ann', CurrentOwner_Account: 'cem' } });
    Socket.last.say({ event: 'admins_changed', body: { RoomId: 'r', OpType: 'delete', Admin_Account: ['ann'] } });

    expect(told).toEqual(['ann admin', 'ben admin', 'ann admin', 'cem owner', 'ann general']);
    expect(room.getRoomInfo()).toMatchObject({ ownerId: 'cem', isAdmin: false });
  });

  test('tells when the room is called otherwise, and of no other change of it', async () => {
    const room = await entered();
    const told = vi.fn();
    room.on('onRoomNameChanged', told);
    const say = (RoomName: string, Notice: string) => Socket.last.say({ event: 'room_info_changed', body: { RoomId: 'r', RoomInfo: { ...room.getRoomInfo().info, RoomName, Notice } } });

    say('Choir', 'at ten');
    say('Choir', 'at nine');

    expect(told.mock.calls).toEqual([[{ roomId: 'r', roomName: 'Choir' }]]);
    expect(room.getRoomInfo()).toMatchObject({ name: 'Choir', info: { Notice: 'at nine' } });
  });

  test('tells of a battle also what another room has done, which is what the event names', async () => {
    const room = await entered();
    const changed = vi.fn();
    room.on('onBattleChanged', changed);

    Socket.last.say({ event: 'battle_accepted', body: { RoomId: 'other', BattleId: 'b' } });
    Socket.last.say({ event: 'battle_started', body: { BattleId: 'b' } });

    expect(changed.mock.calls.map(([battle]) => battle.RoomId)).toEqual(['other', undefined]);
  });

  test('tells a kick off a seat from leaving it', async () => {
    const room = await entered();
    const kicked = vi.fn();
    room.on('onKickedOffSeat', kicked);
    const change = (member?: string) => Socket.last.say({ event: 'seats_changed', body: { RoomId: 'r', SeatList: seats(member) } });

    const leaving = room.leaveSeat();
    change();
    Socket.last.answer();
    await leaving;
    expect(kicked).not.toHaveBeenCalled();
    change('ann');
    change();

    expect(kicked.mock.calls).toEqual([[{ index: 0 }]]);
  });

  test.each([
    ['gifts are off', 104_002, 102_001],
    ['no such gift', 102_001, 102_002],
    ['the app refuses', 102_100, 102_004],
    ['the app refuses by its own number', 102_150, 102_150],
    ['not inside', 100_005, 100_005],
  ])('says of a gift what the room layer of the cloud says: %s', async (message, code, extraCode) => {
    const room = await entered();

    const giving = room.sendGift({ giftId: 'rose' });
    Socket.last.refuse(code, message);

    await expect(giving).rejects.toMatchObject({ extraCode, message, functionName: 'send_gift' });
  });

  test('applies for a seat where seats are given on application', async () => {
    const room = await entered();

    const taking = room.takeSeat({ seatIndex: 0 });
    Socket.last.refuse(104_004, 'apply for one');
    await turns();
    Socket.last.answer({ RequestId: '7' });

    expect(await taking).toMatchObject({ requestId: '7', requestAction: 'takeSeat' });
  });
});
