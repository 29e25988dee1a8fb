import { CODE, giftCode } from './codes.js';
import { Emitter } from './emitter.js';
import { roomIdOf } from './entering.js';
import { RtcError, named, wrongMoment } from './errors.js';
import type { Answered, Command, Credentials, Told } from './gateway.js';
import type { StreamKind } from './peer.js';
import type { Events, RoomInfoView } from './protocol.js';
import { type AskedHere, type Seat, Session, type SessionEvents } from './session.js';
import { inRoom } from './stage.js';
import { steady } from './steady.js';
import type { TRTCOptions } from './api.js';

export interface UserInfo {
  userId: string;
  userRole: 'owner' | 'admin' | 'general';
  hasAudioStream: boolean;
  hasVideoStream: boolean;
  hasScreenStream: boolean;
}

export interface Request {
  requestId: string;
  requestAction: 'takeSeat' | 'inviteToSeat';
  userId: string;
  index: number;
}

export type Device = 'microphone' | 'camera' | 'screen';

export interface RoomEvents {
  onRemoteUserEnterRoom: [{ userId: string }];
  onRemoteUserLeaveRoom: [{ userId: string }];
  onRoomUserCountChanged: [{ userCount: number }];
  onSeatListChanged: [{ seatList: Seat[]; seatedList: Seat[]; leftList: Seat[] }];
  onRequestReceived: [{ request: Request }];
  onRequestCancelled: [{ request: Request }];
  onRequestProcessed: [{ request: Request; isAccepted: boolean; operateUser: string }];
  onKickedOffSeat: [{ index: number }];
  onKickedOutOfRoom: [{ reason: 'kick' | 'banned'; message: string }];
  onReceiveTextMessage: [{ userId: string; message: string; messageId: string; timestamp: number }];
  onReceiveCustomMessage: [{ userId: string; businessId: string; data: string; messageId: string }];
  /** Who owns the room or helps to, has changed. */
  onUserRoleChanged: [{ userId: string; userRole: UserInfo['userRole'] }];
  onSendMessageForUserDisableChanged: [{ userId: string; isDisable: boolean }];
  onUserAudioStateChanged: [{ userId: string; hasAudio: boolean }];
  onUserVideoStateChanged: [{ userId: string; hasVideo: boolean; streamType: 'main' | 'sub' }];
  onUserVoiceVolumeChanged: [{ userVolumeList: { userId: string; volume: number }[] }];
  onUserNetworkQualityChanged: [{ userNetworkList: { userId: string; rtt: number }[] }];
  onRoomMetadataChanged: [{ key: string; value: string }];
  onRoomNameChanged: [{ roomId: string; roomName: string }];
  onRoomDismissed: [{ roomId: string }];
  onUserSigExpired: [];
  onDeviceRequested: [{ device: Device; operator: string }];
  onReceiveLikes: [{ totalLikes: number; likes: { userId: string; count: number }[] }];
  onReceiveGift: [Events['gift_received']];
  onConnectionRequest: [Events['connection_requested']];
  onConnectionChanged: [{ roomList: Events['connection_changed']['RoomList'] }];
  onBattleRequest: [Events['battle_requested']];
  onBattleChanged: [Events['battle_ended']];
}

const KINDS: Record<Device, StreamKind> = { microphone: 'audio', camera: 'main', screen: 'sub' };
const DEVICES: Record<StreamKind, Device> = { audio: 'microphone', main: 'camera', sub: 'screen' };
const VOLUME_INTERVAL_MS = 400;

/**
 * The room layer: who is in, who sits, what is said. Beside a `TRTC` it is in the same room; used alone, it logs in and
 * enters by itself.
 */
export class Room extends Emitter<RoomEvents> {
  readonly #options: TRTCOptions;
  #session: Session | undefined;
  #isOwn = false;
  #known = new Map<string, { audio: boolean; main: boolean; sub: boolean }>();
  #seats: Seat[] = [];
  #networkTimer: ReturnType<typeof setInterval> | undefined;
  #volumesAt = 0;

  constructor(options: TRTCOptions = {}) {
    super();
    this.#options = options;
    steady(this);
  }

  // Life

  /** Logs in and enters, without any media. */
  async enterRoom(config: Credentials & { roomId?: number; strRoomId?: string }): Promise<void> {
    if (this.#session) throw wrongMoment('enterRoom', 'in a room already: call exitRoom first');
    const { sdkAppId, userId, userSig } = config;
    const roomId = roomIdOf(config, 'enterRoom');
    const session = new Session({ server: this.#options.server });
    this.#isOwn = true;
    this.attach(session);
    try {
      await session.login({ sdkAppId, userId, userSig });
      await session.enter(roomId, undefined, 'none');
    } catch (error) {
      this.detach();
      session.close();
      throw RtcError.from(error, 'enterRoom');
    }
  }

  async exitRoom(): Promise<void> {
    const session = this.#session;
    if (!session) return;
    if (!this.#isOwn) throw wrongMoment('exitRoom', 'the room is that of a TRTC instance: call its exitRoom');
    this.detach();
    try {
      await session.leave();
    } finally {
      session.close();
    }
  }

  /** For `TRTC`: the room it is in. */
  attach(session: Session): void {
    if (this.#session === session) return;
    this.#session = session;
    this.#seats = session.seats;
    this.#listen(session);
    this.#networkTimer = setInterval(() => {
      const rtt = Math.round(session.gateway.roundTripMs);
      if (session.isInRoom) this.emit('onUserNetworkQualityChanged', { userNetworkList: [{ userId: session.userId, rtt }] });
    }, 2_000);
  }

  /** For `TRTC`: it is in no room any more. */
  detach(): void {
    this.#session = undefined;
    this.#isOwn = false;
    this.#known.clear();
    this.#seats = [];
    clearInterval(this.#networkTimer);
  }

  /** The room is over for one; a page may enter again at once. */
  #end(session: Session): void {
    if (!this.#isOwn) return;
    this.detach();
    session.close();
  }

  async #ask<Name extends Command>(command: Name, body: AskedHere<Name>): Promise<Answered<Name>> {
    const session = inRoom(this.#session, command);
    return named(command, () => session.request(command, body));
  }

  // Members

  /** Everyone in the room, page by page; `nextSequence` is empty after the last. */
  async getUserList({ nextSequence = '' }: { nextSequence?: string } = {}): Promise<{ userInfoList: UserInfo[]; nextSequence: string }> {
    const page = await this.#ask('get_member_list', { Next: nextSequence });
    const users = page.MemberList.map((member) => this.#describe(member.Member_Account));
    return { userInfoList: users, nextSequence: page.Next };
  }

  #roleOf(userId: string): UserInfo['userRole'] {
    const session = this.#session;
    if (session?.roomInfo.Owner_Account === userId) return 'owner';
    return session?.admins.has(userId) ? 'admin' : 'general';
  }

  #tellRoles(users: string[]): void {
    for (const userId of users) this.emit('onUserRoleChanged', { userId, userRole: this.#roleOf(userId) });
  }

  #describe(userId: string): UserInfo {
    const session = this.#session;
    const has = (kind: StreamKind) => session?.streams.get(userId)?.get(kind)?.isMuted === false;
    return {
      userId,
      userRole: this.#roleOf(userId),
      hasAudioStream: has('audio'),
      hasVideoStream: has('main'),
      hasScreenStream: has('sub'),
    };
  }

  async kickRemoteUserOutOfRoom({ userId }: { userId: string }): Promise<void> {
    await this.#ask('kick_member', { MemberList_Account: [userId] });
  }

  async changeUserRole({ userId, userRole }: { userId: string; userRole: UserInfo['userRole'] }): Promise<void> {
    if (userRole === 'owner') await this.#ask('change_room_owner', { NewOwner_Account: userId });
    else await this.#ask('modify_admin', { Admin_Account: [userId], OpType: userRole === 'admin' ? 'add' : 'delete' });
  }

  async disableSendingMessageByAdmin({ userId, isDisable, seconds = 365 * 86_400 }: { userId: string; isDisable: boolean; seconds?: number }): Promise<void> {
    await this.#ask('mute_member', { MemberList_Account: [userId], MuteTime: isDisable ? seconds : 0 });
  }

  async openRemoteDeviceByAdmin({ userId, device }: { userId: string; device: Device }): Promise<void> {
    await this.#ask('open_device', { Member_Account: userId, StreamType: KINDS[device] });
  }

  async closeRemoteDeviceByAdmin({ userId, device }: { userId: string; device: Device }): Promise<void> {
    await this.#ask('close_device', { Member_Account: userId, StreamType: KINDS[device] });
  }

  // Seats

  getSeatList(): Promise<Seat[]> {
    return Promise.resolve([...(this.#session?.seats ?? [])]);
  }

  /** Sits down; where seats are applied for, resolves with the request that waits for an answer. */
  async takeSeat({ seatIndex = -1, timeout = 30 }: { seatIndex?: number; timeout?: number } = {}): Promise<Request | undefined> {
    try {
      await this.#ask('take_seat', { Index: seatIndex });
      return undefined;
    } catch (error) {
      if (!(error instanceof RtcError) || error.extraCode !== CODE.ApplyFirst) throw error;
    }
    const answer = await this.#ask('apply_for_seat', { Index: seatIndex, Timeout: timeout });
    const userId = this.#session?.userId ?? '';
    return { requestId: answer.RequestId, requestAction: 'takeSeat', userId, index: seatIndex };
  }

  async leaveSeat(): Promise<void> {
    const session = inRoom(this.#session, 'leaveSeat');
    await named('leaveSeat', () => session.leaveSeat());
  }

  async moveToSeat({ targetSeatIndex }: { targetSeatIndex: number }): Promise<void> {
    await this.#ask('move_to_seat', { Index: targetSeatIndex });
  }

  /** Invites a member to a seat; the request waits for its answer. */
  async takeUserOnSeatByAdmin({ userId, seatIndex = -1, timeout = 30 }: { userId: string; seatIndex?: number; timeout?: number }): Promise<Request> {
    const answer = await this.#ask('invite_to_seat', { Member_Account: userId, Index: seatIndex, Timeout: timeout });
    return { requestId: answer.RequestId, requestAction: 'inviteToSeat', userId, index: seatIndex };
  }

  async kickUserOffSeatByAdmin({ userId }: { userId: string; seatIndex?: number }): Promise<void> {
    await this.#ask('kick_user_off_seat', { Member_Account: userId });
  }

  async lockSeatByAdmin({ seatIndex, lockParams }: { seatIndex: number; lockParams: { lockSeat?: boolean; lockVideo?: boolean; lockAudio?: boolean } }): Promise<void> {
    const { lockSeat, lockVideo, lockAudio } = lockParams;
    await this.#ask('lock_seat', {
      Index: seatIndex,
      ...(lockSeat === undefined ? {} : { IsTakenDisabled: lockSeat }),
      ...(lockVideo === undefined ? {} : { IsVideoDisabled: lockVideo }),
      ...(lockAudio === undefined ? {} : { IsAudioDisabled: lockAudio }),
    });
  }

  async getSeatApplicationList(): Promise<Request[]> {
    const answer = await this.#ask('get_seat_applications', {});
    return answer.ApplicationList.map(readRequest);
  }

  async responseRemoteRequest({ requestId, agree }: { requestId: string; agree: boolean }): Promise<void> {
    await this.#ask(agree ? 'accept_seat_request' : 'reject_seat_request', { RequestId: requestId });
  }

  async cancelRequest({ requestId }: { requestId: string }): Promise<void> {
    await this.#ask('cancel_seat_request', { RequestId: requestId });
  }

  // Messages

  async sendTextMessage({ messageText }: { messageText: string }): Promise<void> {
    await this.#ask('send_text_msg', { Text: messageText });
  }

  async sendCustomMessage({ businessId = '', data }: { businessId?: string; data: string }): Promise<void> {
    await this.#ask('send_custom_msg', { BusinessId: businessId, Data: data });
  }

  async sendLikes({ count = 1 }: { count?: number } = {}): Promise<void> {
    await this.#ask('send_like', { Count: count });
  }

  async sendGift({ giftId, count = 1, receivers }: { giftId: string; count?: number; receivers?: string[] }): Promise<void> {
    try {
      await this.#ask('send_gift', { GiftId: giftId, Count: count, ...(receivers ? { ReceiverList_Account: receivers } : {}) });
    } catch (error) {
      if (!(error instanceof RtcError)) throw error;
      const { code, message, functionName, originError } = error;
      throw new RtcError({ code, extraCode: giftCode(error.extraCode), message, functionName, originError });
    }
  }

  // The room

  /** What there is to know of it, and of one's own place in it. */
  getRoomInfo(): { roomId: string; name: string; ownerId: string; isAdmin: boolean; hasSeats: boolean; info: Partial<RoomInfoView> } {
    const session = this.#session;
    const info = session?.roomInfo ?? {};
    return {
      roomId: session?.roomId ?? '',
      name: info.RoomName ?? '',
      ownerId: info.Owner_Account ?? '',
      isAdmin: session?.admins.has(session.userId) ?? false,
      hasSeats: session?.hasSeats ?? false,
      info,
    };
  }

  async getRoomMetadata({ keys = [] }: { keys?: string[] } = {}): Promise<Record<string, string>> {
    const answer = await this.#ask('get_room_metadata', { Keys: keys });
    return Object.fromEntries(answer.Metadata.map(({ Key, Value }) => [Key, Value]));
  }

  async setRoomMetadataByAdmin({ metadata }: { metadata: Record<string, string> }): Promise<void> {
    const entries = Object.entries(metadata).map(([Key, Value]) => ({ Key, Value }));
    await this.#ask('set_room_metadata', { Metadata: entries });
  }

  async requestConnection({ roomId, timeout = 30, extensionInfo = '' }: { roomId: string; timeout?: number; extensionInfo?: string }): Promise<void> {
    await this.#ask('request_connection', { ToRoomId: roomId, Timeout: timeout, ExtensionInfo: extensionInfo });
  }

  async acceptConnection({ roomId }: { roomId: string }): Promise<void> {
    await this.#ask('accept_connection', { FromRoomId: roomId });
  }

  async rejectConnection({ roomId }: { roomId: string }): Promise<void> {
    await this.#ask('reject_connection', { FromRoomId: roomId });
  }

  async cancelConnectionRequest({ roomId }: { roomId: string }): Promise<void> {
    await this.#ask('cancel_connection', { ToRoomId: roomId });
  }

  /** Leaves the rooms that one's own is connected with. */
  async disconnect(): Promise<void> {
    await this.#ask('leave_connection', {});
  }

  async requestBattle({ roomIdList, durationMs, timeout = 30, needResponse = true }: { roomIdList: string[]; durationMs: number; timeout?: number; needResponse?: boolean }): Promise<{ battleId: string }> {
    const answer = await this.#ask('request_battle', { ToRoomIdList: roomIdList, Duration: durationMs, Timeout: timeout * 1000, NeedResponse: needResponse });
    return { battleId: answer.BattleId };
  }

  async acceptBattle({ battleId }: { battleId: string }): Promise<void> {
    await this.#ask('accept_battle', { BattleId: battleId });
  }

  async rejectBattle({ battleId }: { battleId: string }): Promise<void> {
    await this.#ask('reject_battle', { BattleId: battleId });
  }

  async exitBattle({ battleId }: { battleId: string }): Promise<void> {
    await this.#ask('exit_battle', { BattleId: battleId });
  }

  // What happens

  #listen(session: Session): void {
    // A room that was left may still say a word, which is nobody's business any more.
    const on = <Name extends keyof SessionEvents>(event: Name, handle: (...args: SessionEvents[Name]) => void): void => {
      session.on(event, (...args) => {
        if (this.#session === session) handle(...args);
      });
    };
    on('members', ({ entered, left }) => {
      const others = (names: string[]) => names.filter((name) => name !== session.userId);
      for (const userId of others(entered)) this.emit('onRemoteUserEnterRoom', { userId });
      for (const userId of others(left)) this.emit('onRemoteUserLeaveRoom', { userId });
    });
    on('seats', (seats) => this.#compareSeats(session, seats));
    on('renamed', (roomName) => this.emit('onRoomNameChanged', { roomId: session.roomId, roomName }));
    on('streams', (userId, streams) => {
      const is = (kind: StreamKind) => streams.get(kind)?.isMuted === false;
      const now = { audio: is('audio'), main: is('main'), sub: is('sub') };
      const before = this.#known.get(userId) ?? { audio: false, main: false, sub: false };
      this.#known.set(userId, now);
      if (now.audio !== before.audio) this.emit('onUserAudioStateChanged', { userId, hasAudio: now.audio });
      for (const streamType of ['main', 'sub'] as const) {
        if (now[streamType] !== before[streamType]) {
          this.emit('onUserVideoStateChanged', { userId, hasVideo: now[streamType], streamType });
        }
      }
    });
    on('event', (told) => this.#take(told));
    on('out', (reason) => {
      this.#end(session);
      if (reason === 'room_disband') this.emit('onRoomDismissed', { roomId: session.roomId });
      else this.emit('onKickedOutOfRoom', { reason: reason as 'kick', message: reason });
    });
    on('ended', (error) => {
      this.#end(session);
      if (error.extraCode === CODE.SigExpired) this.emit('onUserSigExpired');
    });
  }

  #compareSeats(session: Session, seats: Seat[]): void {
    const before = this.#seats;
    this.#seats = seats;
    const sitsIn = (all: Seat[], userId: string) => all.some((seat) => seat.userId === userId);
    const seatedList = seats.filter((seat) => seat.userId && !sitsIn(before, seat.userId));
    const leftList = before.filter((seat) => seat.userId && !sitsIn(seats, seat.userId));
    this.emit('onSeatListChanged', { seatList: seats, seatedList, leftList });
    const own = leftList.find((seat) => seat.userId === session.userId);
    if (own && !session.isLeavingSeat) this.emit('onKickedOffSeat', { index: own.index });
  }

  #take({ event, body }: Told): void {
    switch (event) {
      case 'members_changed':
        this.emit('onRoomUserCountChanged', { userCount: body.MemberCount });
        break;
      case 'text_msg':
        this.emit('onReceiveTextMessage', { userId: body.From_Account, message: body.Text, messageId: body.MsgId, timestamp: body.Time });
        break;
      case 'custom_msg':
        this.emit('onReceiveCustomMessage', { userId: body.From_Account, businessId: body.BusinessId, data: body.Data, messageId: body.MsgId });
        break;
      case 'owner_changed':
        this.#tellRoles([body.OriginalOwner_Account, body.CurrentOwner_Account]);
        break;
      case 'admins_changed':
        this.#tellRoles(body.Admin_Account);
        break;
      case 'members_muted':
        for (const { Member_Account: userId } of body.MemberList) {
          this.emit('onSendMessageForUserDisableChanged', { userId, isDisable: body.MutedUntil > 0 });
        }
        break;
      case 'metadata_changed':
        for (const { Key, Value } of body.Metadata) this.emit('onRoomMetadataChanged', { key: Key, value: Value });
        for (const key of body.DeletedKeys) this.emit('onRoomMetadataChanged', { key, value: '' });
        break;
      case 'seat_request_received':
        this.emit('onRequestReceived', { request: readRequest(body) });
        break;
      case 'seat_request_ended': {
        const request = readRequest(body);
        if (body.Result === 'accepted' || body.Result === 'rejected') {
          this.emit('onRequestProcessed', { request, isAccepted: body.Result === 'accepted', operateUser: body.Operator_Account });
        } else this.emit('onRequestCancelled', { request });
        break;
      }
      case 'speakers_changed': {
        const now = Date.now();
        if (now - this.#volumesAt < VOLUME_INTERVAL_MS / 2) break;
        this.#volumesAt = now;
        const userVolumeList = body.Speakers.map((speaker) => ({ userId: speaker.Member_Account, volume: speaker.Level }));
        this.emit('onUserVoiceVolumeChanged', { userVolumeList });
        break;
      }
      case 'device_requested':
        this.emit('onDeviceRequested', { device: DEVICES[body.StreamType], operator: body.Operator_Account });
        break;
      case 'likes_changed':
        this.emit('onReceiveLikes', {
          totalLikes: body.TotalLikesReceived,
          likes: body.Likes.map((like) => ({ userId: like.From_Account, count: like.Count })),
        });
        break;
      case 'gift_received':
        this.emit('onReceiveGift', body);
        break;
      case 'connection_requested':
        this.emit('onConnectionRequest', body);
        break;
      case 'connection_changed':
        this.emit('onConnectionChanged', { roomList: body.RoomList });
        break;
      case 'battle_requested':
        this.emit('onBattleRequest', body);
        break;
      case 'battle_accepted':
      case 'battle_rejected':
      case 'battle_started':
      case 'battle_score_changed':
      case 'battle_exited':
      case 'battle_ended':
        this.emit('onBattleChanged', body);
        break;
    }
  }
}

function readRequest(request: Answered<'get_seat_applications'>['ApplicationList'][number]): Request {
  const isInvitation = request.Kind === 'invitation';
  return {
    requestId: request.RequestId,
    requestAction: isInvitation ? 'inviteToSeat' : 'takeSeat',
    userId: isInvitation ? request.Member_Account : request.From_Account,
    index: request.Index,
  };
}
