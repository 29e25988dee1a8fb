// What is said over the gateway (docs/protocol.md). Made from the server's tables by `make generated`: change those instead.

/** A battle as it is answered (`live_engine_http_pk`, get_battle_info). Durations in milliseconds, times in Unix seconds. */
export interface BattleBody {
  BattleId: string;
  CreateTime: number;
  Duration: number;
  EndTime: number;
  ExtensionInfo: string;
  FromRoomInfo: BattleSide | null;
  /** Why it ended: 0 its time was up, 1 all but one have left, 2 nobody joined. */
  OpType?: number;
  /** The room that has answered, or left. */
  RoomId?: string;
  StartTime: number;
  /** 1 waits for answers, 2 runs, 3 is over. */
  Status: number;
  ToRoomList: BattleSide[];
}

/** A room's part in a battle. */
export interface BattleSide {
  Owner_Account: string;
  RoomId: string;
  Score: number;
  /** Invited, Joined, Rejected or Exited. */
  Status: string;
}

/** Why somebody is out of a room. */
export type Cause = 'leave' | 'interrupted' | 'kicked' | 'banned' | 'destroyed' | 'expired';

/** The rooms that are connected. */
export interface Connected {
  RoomList: ConnectedRoom[];
}

/** A room of a connection. */
export interface ConnectedRoom {
  Owner_Account: string;
  RoomId: string;
}

export interface ConnectionBody {
  ExtensionInfo: string;
  FromRoomId: string;
  ToRoomId: string;
}

export interface CustomMsg {
  BusinessId: string;
  Data: string;
  From_Account: string;
  MsgId: string;
  RoomId: string;
  Sender_Account: string;
  /** Its place in the room's one order. */
  Seq: number;
  Time: number;
  /** The event's name. */
  Type: string;
}

export interface DeviceBody {
  Operator_Account: string;
  RoomId: string;
  StreamType: StreamType;
}

/** Nothing to answer but that it is done. */
export type Done = Record<string, never>;

/** An entry of a room's metadata. */
export interface Entry {
  Key: string;
  Value: string;
}

export interface GroupMsg {
  CloudCustomData: string;
  From_Account: string;
  MsgBody: {
    MsgContent: Record<string, unknown>;
    MsgType: string;
  }[];
  MsgId: string;
  RoomId: string;
  /** Its place in the room's one order. */
  Seq: number;
  Time: number;
  /** The event's name. */
  Type: string;
}

export type Kind = 'application' | 'invitation';

/** A user, by its name. */
export interface Named {
  Member_Account: string;
}

/** A room's record. */
export interface OneRoom {
  RoomInfo: RoomInfoView;
}

export type OpType = 'add' | 'delete';

/** A request that was made. */
export interface Requested {
  RequestId: string;
}

/** A `RoomInfo` as it is answered (`spec/live-rest-api.md`). */
export interface RoomInfoView {
  ActivityStatus: number;
  BackgroundURL: string;
  Category: number[];
  CoverURL: string;
  CreateTime: number;
  CustomInfo: string;
  IsAudioDisabled: boolean;
  /** Nobody is to record what goes on in it. */
  IsCloudRecordingDisabled: boolean;
  IsGiftEnabled: boolean;
  IsLikeEnabled: boolean;
  IsMessageDisabled: boolean;
  IsPasswordEnabled: boolean;
  IsPlayerListed: boolean;
  IsPublicVisible: boolean;
  IsScreenSharingDisabled: boolean;
  IsSeatEnabled: boolean;
  IsUnlimitedRoomEnabled: boolean;
  IsVideoDisabled: boolean;
  KeepOwnerOnSeat: boolean;
  LifetimeAfterNoUsers?: number;
  LifetimeAfterOwnerLeave?: number;
  LifetimeAfterOwnerOffline?: number;
  MaxMemberCount: number;
  MaxSeatCount: number;
  MemberCount: number;
  Notice: string;
  OnlineCount: number;
  OwnerAvatarUrl: string;
  OwnerName: string;
  Owner_Account: string;
  /** For the app's server and those in charge of the room. */
  Password?: string;
  Popularity: number;
  RoomId: string;
  RoomName: string;
  /** Of Conference rooms alone, as the next two: None (it is not booked), NotStarted or Running. */
  RoomStatus?: string;
  RoomType: string;
  ScheduleEndTime?: number;
  /** Unix seconds; 0: it is not booked. */
  ScheduleStartTime?: number;
  SeatLayoutTemplateId: number;
  SeatTemplate: string;
  TakeSeatMode: string;
  VideoQualityList: unknown[];
  ViewCount: number;
}

/** A seat as it is answered (`spec/live-rest-api.md`, get_seat_list). */
export interface SeatView {
  Index: number;
  IsAudioDisabled: boolean;
  IsTakenDisabled: boolean;
  IsVideoDisabled: boolean;
  Member_Account?: string;
}

/** Where whoever was meant sits now. */
export interface Seated {
  /** -1 when it does not. */
  Index: number;
}

/** A message that was sent. */
export interface Sent {
  /** Empty when the app's server has dropped it. */
  MsgId: string;
  /** Its place in the room's one order; 0 when the app's server has dropped it. */
  Seq: number;
}

/** A room's numbers as they are answered (`spec/live-rest-api.md`, get_room_statistic). */
export interface Statistic {
  TotalGiftCoins: number;
  TotalGiftsSent: number;
  TotalLikesReceived: number;
  TotalMsgCount: number;
  TotalUniqueGiftSenders: number;
  TotalViewers: number;
}

/** The microphone, the camera, or the screen. */
export type StreamType = 'audio' | 'main' | 'sub';

export interface StreamView {
  /** From end to end: members need its key. */
  Encrypted?: boolean;
  Muted: boolean;
  StreamType: StreamType;
}

export interface TextMsg {
  /** The app's own, beside the text. */
  ExtensionInfo?: string;
  From_Account: string;
  MsgId: string;
  RoomId: string;
  /** Its place in the room's one order. */
  Seq: number;
  Text: string;
  Time: number;
  /** The event's name. */
  Type: string;
}

/** What may be asked for: the body of each command, and what is answered. */
export interface Commands {
  /** Take part in a battle. For the owner of the room. */
  accept_battle: {
    body: {
      BattleId: string;
      RoomId: string;
    };
    answer: Done;
  };
  /** Co-host with a room that has asked. For the owner of the room. */
  accept_connection: {
    body: {
      FromRoomId: string;
      RoomId: string;
    };
    answer: Connected;
  };
  /** Say yes to a request for a seat. For members of the room. */
  accept_seat_request: {
    body: {
      RequestId: string;
      RoomId: string;
    };
    answer: Seated;
  };
  /** Invite users to a booked room. For the owner and administrators of the room. */
  add_schedule_invitee: {
    body: {
      RoomId: string;
      /** At most 300 are invited to a room. */
      ScheduleInviteeList_Account: string[];
    };
    answer: Record<string, never>;
  };
  /** Ask those in charge for a seat. For members of the room. */
  apply_for_seat: {
    body: {
      /** From 0; -1 or none is any. */
      Index?: number;
      RoomId: string;
      /** Seconds. */
      Timeout?: number;
    };
    answer: Requested;
  };
  /** Put users out and keep them out. For the owner and administrators of the room. */
  ban_member: {
    body: {
      /** Seconds. */
      Duration?: number;
      MemberList_Account: string[];
      /** Seconds; 0 lets them speak again. */
      MuteTime?: number;
      Reason?: string;
      RoomId: string;
    };
    answer: Record<string, never>;
  };
  /** Take back a request to co-host. For the owner of the room. */
  cancel_connection: {
    body: {
      RoomId: string;
      ToRoomId: string;
    };
    answer: Done;
  };
  /** Take back a request for a seat. For members of the room. */
  cancel_seat_request: {
    body: {
      RequestId: string;
      RoomId: string;
    };
    answer: Done;
  };
  /** Give a room to another account. For the owner of the room. */
  change_room_owner: {
    body: {
      /** The owner it has, for Conference rooms. */
      From_Account?: string;
      NewOwner_Account: string;
      RoomId: string;
    };
    answer: Record<string, never>;
  };
  /** Switch a member's stream off. For the owner and administrators of the room. */
  close_device: {
    body: {
      Member_Account: string;
      RoomId: string;
      /** The microphone, the camera, or the screen. */
      StreamType: 'audio' | 'main' | 'sub';
    };
    answer: Done;
  };
  /** Make a room. For everyone. */
  create_room: {
    body: {
      /** A `RoomInfo` as callers give it (`spec/live-rest-api.md`); what is absent keeps its value, or its default. */
      RoomInfo: {
        ActivityStatus?: number;
        BackgroundURL?: string;
        Category?: number[];
        CoverURL?: string;
        CustomInfo?: string;
        IsAudioDisabled?: boolean;
        IsCloudRecordingDisabled?: boolean;
        IsGiftEnabled?: boolean;
        IsLikeEnabled?: boolean;
        IsMessageDisabled?: boolean;
        /** Who enters has to give the password; true by default when a new room has one. */
        IsPasswordEnabled?: boolean;
        IsPlayerListed?: boolean;
        IsPublicVisible?: boolean;
        IsScreenSharingDisabled?: boolean;
        IsSeatEnabled?: boolean;
        IsUnlimitedRoomEnabled?: boolean;
        IsVideoDisabled?: boolean;
        KeepOwnerOnSeat?: boolean;
        LifetimeAfterNoUsers?: number;
        LifetimeAfterOwnerLeave?: number;
        LifetimeAfterOwnerOffline?: number;
        MaxMemberCount?: number;
        MaxSeatCount?: number;
        Notice?: string;
        Owner_Account?: string;
        Password?: string;
        RoomId: string;
        RoomName?: string;
        RoomType?: string;
        /** 45 minutes later where none is given. */
        ScheduleEndTime?: number;
        /** Unix seconds; 0 is none. A new Conference room that has one is booked for then. */
        ScheduleStartTime?: number;
        SeatLayoutTemplateId?: number;
        SeatTemplate?: string;
        /** A name, or the number older callers send. */
        TakeSeatMode?: unknown;
      };
      /** create_room of a booked Conference room: who is invited to it. */
      ScheduleInviteeList_Account?: string[];
    };
    answer: OneRoom;
  };
  /** Delete entries of a room's metadata. For the owner and administrators of the room. */
  del_room_metadata: {
    body: {
      /** None, or an empty list: all of them. */
      Keys?: string[];
      RoomId: string;
    };
    answer: Record<string, never>;
  };
  /** Invite users no more. For the owner and administrators of the room. */
  del_schedule_invitee: {
    body: {
      RoomId: string;
      /** At most 300 are invited to a room. */
      ScheduleInviteeList_Account: string[];
    };
    answer: Record<string, never>;
  };
  /** End a room; everyone is put out. For the owner of the room. */
  destroy_room: {
    body: {
      RoomId: string;
    };
    answer: {
      Statistic: Statistic;
    };
  };
  /** Enter a room. For everyone. */
  enter_room: {
    body: {
      /** Of a room that has one. */
      Password?: string;
      RoomId: string;
      /** It watches pictures next, so they are made ready. */
      WillWatch?: boolean;
    };
    answer: {
      Admin_Account: string[];
      MemberCount: number;
      MemberList: Named[];
      /** The last of them, the oldest first. */
      Messages: (TextMsg | CustomMsg | GroupMsg)[];
      Metadata: Entry[];
      MutedAccountList: {
        Member_Account: string;
        /** Unix seconds. */
        MutedUntil: number;
      }[];
      /** Where the next page begins; empty on the last. */
      Next: string;
      RoomInfo: RoomInfoView;
      SeatList: SeatView[];
      Statistic: Statistic;
      /** What members publish. */
      StreamList: {
        Member_Account: string;
        Streams: StreamView[];
      }[];
    };
  };
  /** Leave a battle. For the owner of the room. */
  exit_battle: {
    body: {
      BattleId: string;
      RoomId: string;
    };
    answer: Done;
  };
  /** A room's administrators. For members of the room. */
  get_admin_list: {
    body: {
      RoomId: string;
    };
    answer: {
      Admin_Account: string[];
    };
  };
  /** Who is banned, until when. For the owner and administrators of the room. */
  get_banned_member_list: {
    body: {
      Count?: number;
      Limit?: number;
      Next?: unknown;
      Offset?: number;
      RoomId: string;
    };
    answer: {
      BannedAccountList: {
        /** Unix seconds. */
        BannedUntil: number;
        Member_Account: string;
        Reason: string;
      }[];
      Next: string;
      /** The same for callers that page by number; 0 when there is no more. */
      NextOffset: number;
    };
  };
  /** How a battle stands. For members of the room. */
  get_battle_info: {
    body: {
      BattleId?: string;
      /** Instead of the id: the battle this room is in. */
      RoomId?: string;
    };
    answer: {
      BattleId: string;
      CreateTime: number;
      Duration: number;
      EndTime: number;
      ExtensionInfo: string;
      FromRoomInfo: BattleSide | null;
      /** Why it ended: 0 its time was up, 1 all but one have left, 2 nobody joined. */
      OpType?: number;
      StartTime: number;
      /** 1 waits for answers, 2 runs, 3 is over. */
      Status: number;
      ToRoomList: BattleSide[];
    };
  };
  /** Which rooms co-host. For members of the room. */
  get_connected_rooms: {
    body: {
      RoomId: string;
    };
    answer: Connected;
  };
  /** What a user has given in a room. For members of the room. */
  get_gift_count: {
    body: {
      /** Whose gifts; none is everyone's. */
      From_Account?: string;
      RoomId: string;
    };
    answer: {
      GiftSenderCount: number;
      /** How often something was given in the room. */
      Sequence: number;
      TotalCoins: number;
      TotalCount: number;
    };
  };
  /** The whole catalogue. For everyone. */
  get_gift_info_list: {
    body: {
      /** In which language names are wanted. */
      Language?: string;
    };
    answer: {
      CategoryList: {
        CategoryDesc: string;
        /** The same as `ExtensionInfo`. */
        CategoryExtension: string;
        CategoryId: string;
        /** In the language that was asked for; else the default. */
        CategoryName: string;
        DefaultDesc: string;
        DefaultName: string;
        ExtensionInfo: string;
        GiftIdList: string[];
        /** Its names in other languages. */
        LanguageList: {
          CategoryDesc: string;
          CategoryName: string;
          Language: string;
        }[];
      }[];
      GiftList: {
        Coins: number;
        /** Unix seconds; 0 where it is not known. */
        CreateTime: number;
        DefaultDesc: string;
        DefaultName: string;
        Desc: string;
        ExtensionInfo: string;
        GiftId: string;
        IconUrl: string;
        /** Its names in other languages. */
        LanguageList: {
          Desc: string;
          Language: string;
          Name: string;
        }[];
        Level: number;
        /** In the language that was asked for; else the default. */
        Name: string;
        ResourceUrl: string;
      }[];
      TotalCount: number;
    };
  };
  /** What helps a browser through its network. For everyone. */
  get_media_config: {
    body: Record<string, never>;
    answer: {
      IceServers: {
        credential?: string;
        urls: string[];
        username?: string;
      }[];
    };
  };
  /** Who is in a room, in join order. For members of the room. */
  get_member_list: {
    body: {
      Next?: string;
      RoomId: string;
    };
    answer: {
      MemberCount: number;
      MemberList: Named[];
      /** Where the next page begins; empty on the last. */
      Next: string;
    };
  };
  /** Who is silenced, until when. For the owner and administrators of the room. */
  get_muted_member_list: {
    body: {
      Count?: number;
      Limit?: number;
      Next?: unknown;
      Offset?: number;
      RoomId: string;
    };
    answer: {
      MutedAccountList: {
        Member_Account: string;
        /** Unix seconds. */
        MutedUntil: number;
      }[];
      Next: string;
    };
  };
  /** A room's record. For members of the room. */
  get_room_info: {
    body: {
      RoomId: string;
    };
    answer: OneRoom;
  };
  /** Who is in a room, with roles, cards and marks. For members of the room. */
  get_room_member_list: {
    body: {
      /** 50 where it is not given, and 1000 where it is more. */
      Count?: number;
      Next?: string;
      RoomId: string;
    };
    answer: {
      MemberCount: number;
      MemberList: {
        CustomInfo: string;
        /** The app's own numbers for it. */
        Marks: number[];
        Member_Account: string;
        NameCard: string;
        /** Owner, Admin or Member. */
        Role: string;
      }[];
      Next: string;
    };
  };
  /** Entries of a room's metadata. For members of the room. */
  get_room_metadata: {
    body: {
      /** None, or an empty list: all of them. */
      Keys?: string[];
      RoomId: string;
    };
    answer: {
      Metadata: {
        Key: string;
        Value: string;
      }[];
    };
  };
  /** A room's numbers. For members of the room. */
  get_room_statistic: {
    body: {
      RoomId: string;
    };
    answer: Statistic;
  };
  /** Who is invited to a booked room. For members of the room. */
  get_schedule_invitee_list: {
    body: {
      Count?: number;
      Limit?: number;
      Next?: unknown;
      Offset?: number;
      RoomId: string;
    };
    answer: {
      /** "" on the last page. */
      Next: string;
      ScheduleInviteeList_Account: string[];
    };
  };
  /** The booked rooms that a user is invited to or owns. For everyone. */
  get_scheduled_room_list: {
    body: {
      /** 20 where it is not given, or more. */
      Count?: number;
      Next?: string;
      /** Whose; a member's own where a member asks. */
      User_Account?: string;
    };
    answer: {
      Next: string;
      RoomList: RoomInfoView[];
    };
  };
  /** Who asks for a seat. For the owner and administrators of the room. */
  get_seat_applications: {
    body: {
      RoomId: string;
    };
    answer: {
      ApplicationList: {
        ExpiresAt: number;
        /** Who asks. */
        From_Account: string;
        /** -1 is any seat. */
        Index: number;
        Kind: Kind;
        /** Who is to sit. */
        Member_Account: string;
        RequestId: string;
      }[];
    };
  };
  /** A room's seats. For members of the room. */
  get_seat_list: {
    body: {
      RoomId: string;
    };
    answer: {
      SeatList: SeatView[];
    };
  };
  /** Ask a member to sit. For the owner and administrators of the room. */
  invite_to_seat: {
    body: {
      /** From 0; -1 or none is any. */
      Index?: number;
      Member_Account: string;
      RoomId: string;
      /** Seconds. */
      Timeout?: number;
    };
    answer: Requested;
  };
  /** Put members out; they may come again. For the owner and administrators of the room. */
  kick_member: {
    body: {
      /** Seconds. */
      Duration?: number;
      MemberList_Account: string[];
      /** Seconds; 0 lets them speak again. */
      MuteTime?: number;
      Reason?: string;
      RoomId: string;
    };
    answer: Record<string, never>;
  };
  /** Take a member off its seat. For the owner and administrators of the room. */
  kick_user_off_seat: {
    body: {
      /** From 0; -1 is any. */
      Index?: number;
      Member_Account: string;
      /** When the seat is taken: 0 refuse, 1 take the other off, 2 change places. */
      Policy?: number;
      RoomId: string;
    };
    answer: Record<string, never>;
  };
  /** Co-host no more. For the owner of the room. */
  leave_connection: {
    body: {
      RoomId: string;
    };
    answer: Done;
  };
  /** Leave a room. For members of the room. */
  leave_room: {
    body: {
      RoomId: string;
    };
    answer: Done;
  };
  /** Get up. For members of the room. */
  leave_seat: {
    body: {
      RoomId: string;
    };
    answer: Done;
  };
  /** Lock or unlock a seat, its audio, its video. For the owner and administrators of the room. */
  lock_seat: {
    body: {
      ForbidAudio?: boolean;
      ForbidTaken?: boolean;
      ForbidVideo?: boolean;
      Index: number;
      RoomId: string;
    };
    answer: Record<string, never>;
  };
  /** Begin a session, or resume one. For who has not logged in. */
  login: {
    body: {
      /** With what it comes, for history. */
      Client?: {
        /** Cut to 64 bytes; without it what the `User-Agent` says. */
        Device?: string;
        /** The program and its version, cut to 32 bytes. */
        Sdk?: string;
        /** 1 Windows, 2 Android, 3 iOS, 4 Linux, 100 another. */
        Terminal?: number;
      };
      ResumeToken?: string;
      SdkAppId?: number;
      /** On resuming, the last message the client has of each room. */
      Seen?: Record<string, number>;
      UserId?: string;
      UserSig?: string;
    };
    answer: {
      /** Where the nodes of the server are, where it has several: another is to be tried when one does not answer. */
      Addresses?: string[];
      /** Milliseconds. */
      PingInterval: number;
      /** Works once. */
      ResumeToken: string;
      /** The rooms that the session is in. */
      Rooms: string[];
      /** Of where the media of a session is: another after each start of the server, and at each node of several. */
      ServerId: string;
      ServerTime: number;
      SessionId: string;
    };
  };
  /** Set or delete marks of members. For the owner of the room. */
  mark_room_member: {
    body: {
      /** 1 sets marks, 2 deletes them; as a number or a string. */
      CommandType: unknown;
      /** At most 10. */
      MemberList: {
        /** At most 3 at once, from 1000 on. */
        Marks: number[];
        Member_Account: string;
      }[];
      RoomId: string;
    };
    answer: Record<string, never>;
  };
  /** Make users administrators of a room, or not. For the owner of the room. */
  modify_admin: {
    body: {
      Admin_Account: string[];
      /** add or delete */
      OpType: string;
      RoomId: string;
    };
    answer: Record<string, never>;
  };
  /** Sit on another seat. For members of the room. */
  move_to_seat: {
    body: {
      Index: number;
      RoomId: string;
    };
    answer: Seated;
  };
  /** Move a member to another seat. For the owner and administrators of the room. */
  move_user_to_seat: {
    body: {
      /** From 0; -1 is any. */
      Index?: number;
      Member_Account: string;
      /** When the seat is taken: 0 refuse, 1 take the other off, 2 change places. */
      Policy?: number;
      RoomId: string;
    };
    answer: Record<string, never>;
  };
  /** Silence users for a time, or let them speak. For the owner and administrators of the room. */
  mute_member: {
    body: {
      /** Seconds. */
      Duration?: number;
      MemberList_Account: string[];
      /** Seconds; 0 lets them speak again. */
      MuteTime?: number;
      Reason?: string;
      RoomId: string;
    };
    answer: Record<string, never>;
  };
  /** Switch one's own stream off for a while, or on. For members of the room. */
  mute_stream: {
    body: {
      /** On again when it is false. */
      Muted?: boolean;
      RoomId: string;
      /** The microphone, the camera, or the screen. */
      StreamType: 'audio' | 'main' | 'sub';
    };
    answer: Done;
  };
  /** Ask a member to switch a stream on. For the owner and administrators of the room. */
  open_device: {
    body: {
      Member_Account: string;
      RoomId: string;
      /** The microphone, the camera, or the screen. */
      StreamType: 'audio' | 'main' | 'sub';
    };
    answer: Done;
  };
  /** Put a member on a seat. For the owner and administrators of the room. */
  pick_user_on_seat: {
    body: {
      /** From 0; -1 is any. */
      Index?: number;
      Member_Account: string;
      /** When the seat is taken: 0 refuse, 1 take the other off, 2 change places. */
      Policy?: number;
      RoomId: string;
    };
    answer: Record<string, never>;
  };
  /** Publish, or change what is published. For members of the room. */
  publish: {
    body: {
      RoomId: string;
      /** The offer of an RTCPeerConnection. */
      Sdp: string;
      Streams?: {
        /** What is published follows what is watched: the event `layers_wanted` says. */
        Dynacast?: boolean;
        /** From end to end: only members with the publisher's key can see or hear it. */
        Encrypted?: boolean;
        /** Of the full picture, in pixels. */
        Height?: number;
        Layers?: {
          /** Of its picture, in pixels. */
          Height?: number;
          /** Bits a second. */
          MaxBitrate?: number;
          Rid: string;
        }[];
        Mid: string;
        Muted?: boolean;
        /** The microphone, the camera, or the screen. */
        StreamType: 'audio' | 'main' | 'sub';
      }[];
    };
    answer: {
      /** The answer to the offer. */
      Sdp: string;
      Streams: {
        /** Whether it may flow now. */
        Allowed: boolean;
        Mid: string;
        StreamType: StreamType;
      }[];
    };
  };
  /** Take no part in a battle. For the owner of the room. */
  reject_battle: {
    body: {
      BattleId: string;
      RoomId: string;
    };
    answer: Done;
  };
  /** Do not co-host with a room that has asked. For the owner of the room. */
  reject_connection: {
    body: {
      FromRoomId: string;
      RoomId: string;
    };
    answer: Done;
  };
  /** Say no to a request for a seat. For members of the room. */
  reject_seat_request: {
    body: {
      RequestId: string;
      RoomId: string;
    };
    answer: Done;
  };
  /** Stay until the end of a newer UserSig. For everyone. */
  renew_user_sig: {
    body: {
      UserSig: string;
    };
    answer: {
      /** Unix seconds. */
      ExpireTime: number;
    };
  };
  /** Say what one's streams are like, for history. For members of the room. */
  report: {
    body: {
      /** How busy the client and its machine are, in percent; -1 is not known. */
      Cpu?: number[];
      /** `["bob", "audio", level, buffered, stalled]`, `["bob", "main", shown, width, height, buffered, stalled]`. */
      Down?: ((number | string)[])[];
      /** What it was like before, since the last report: the oldest first, at most four. */
      Earlier?: {
        /** How many seconds ago, 10 at most. */
        Ago: number;
        Cpu?: number[];
        Down?: ((number | string)[])[];
        Up?: ((number | string)[])[];
      }[];
      /** `[32780]`: another camera is in use, `[32781]`: another microphone. */
      Ev?: number[][];
      /** How long it took to come in, in milliseconds: once, in the first minute. */
      Join?: number;
      RoomId: string;
      /** `["audio", level]`, `["main", captured, encoded, width, height]`. */
      Up?: ((number | string)[])[];
    };
    answer: Done;
  };
  /** Ask rooms to a battle. For the owner of the room. */
  request_battle: {
    body: {
      /** Milliseconds. */
      Duration: number;
      ExtensionInfo?: string;
      NeedResponse?: boolean;
      RoomId: string;
      /** Milliseconds the called rooms have to answer. */
      Timeout?: number;
      ToRoomIdList: string[];
    };
    answer: {
      BattleId: string;
      Result: {
        ResultCode: number;
        ResultMessage: string;
        RoomId: string;
      }[];
    };
  };
  /** Ask another room to co-host. For the owner of the room. */
  request_connection: {
    body: {
      ExtensionInfo?: string;
      RoomId: string;
      /** Seconds. */
      Timeout?: number;
      ToRoomId: string;
    };
    answer: Done;
  };
  /** Send data of the app's own to a room. For members of the room. */
  send_custom_msg: {
    body: {
      BusinessId?: string;
      Data: string;
      RoomId: string;
    };
    answer: Sent;
  };
  /** Send bytes to the others in a room, not kept. For members of the room. */
  send_data: {
    body: {
      /** 0 to 10. */
      CmdId: number;
      /** Base64. */
      Data: string;
      RoomId: string;
    };
    answer: Done;
  };
  /** Give a gift in a room. For members of the room. */
  send_gift: {
    body: {
      Count?: number;
      GiftId: string;
      /** The owner, when nobody is named. */
      ReceiverList_Account?: string[];
      RoomId: string;
    };
    answer: {
      Sequence: number;
    };
  };
  /** Send elements to a room. For members of the room. */
  send_group_msg: {
    body: {
      CloudCustomData?: string;
      MsgBody: unknown;
      RoomId: string;
    };
    answer: Sent;
  };
  /** Like what happens in a room. For members of the room. */
  send_like: {
    body: {
      /** 1 to 1,000. */
      Count?: number;
      RoomId: string;
    };
    answer: {
      TotalLikesReceived: number;
    };
  };
  /** Say something to everyone in a room. For members of the room. */
  send_text_msg: {
    body: {
      ExtensionInfo?: string;
      RoomId: string;
      Text: string;
    };
    answer: Sent;
  };
  /** Set entries of a room's metadata. For the owner and administrators of the room. */
  set_room_metadata: {
    body: {
      Metadata: {
        Key: string;
        Value: string;
      }[];
      RoomId: string;
    };
    answer: Record<string, never>;
  };
  /** Sit down. For members of the room. */
  take_seat: {
    body: {
      /** From 0; -1 or none is any. */
      Index?: number;
      RoomId: string;
    };
    answer: Seated;
  };
  /** Let banned users in again. For the owner and administrators of the room. */
  unban_member: {
    body: {
      /** Seconds. */
      Duration?: number;
      MemberList_Account: string[];
      /** Seconds; 0 lets them speak again. */
      MuteTime?: number;
      Reason?: string;
      RoomId: string;
    };
    answer: Record<string, never>;
  };
  /** Publish no more. For members of the room. */
  unpublish: {
    body: {
      RoomId: string;
    };
    answer: Done;
  };
  /** Watch no more. For members of the room. */
  unwatch: {
    body: {
      RoomId: string;
    };
    answer: Done;
  };
  /** Change fields of a room's record. For the owner and administrators of the room. */
  update_room_info: {
    body: {
      /** A `RoomInfo` as callers give it (`spec/live-rest-api.md`); what is absent keeps its value, or its default. */
      RoomInfo: {
        ActivityStatus?: number;
        BackgroundURL?: string;
        Category?: number[];
        CoverURL?: string;
        CustomInfo?: string;
        IsAudioDisabled?: boolean;
        IsCloudRecordingDisabled?: boolean;
        IsGiftEnabled?: boolean;
        IsLikeEnabled?: boolean;
        IsMessageDisabled?: boolean;
        /** Who enters has to give the password; true by default when a new room has one. */
        IsPasswordEnabled?: boolean;
        IsPlayerListed?: boolean;
        IsPublicVisible?: boolean;
        IsScreenSharingDisabled?: boolean;
        IsSeatEnabled?: boolean;
        IsUnlimitedRoomEnabled?: boolean;
        IsVideoDisabled?: boolean;
        KeepOwnerOnSeat?: boolean;
        LifetimeAfterNoUsers?: number;
        LifetimeAfterOwnerLeave?: number;
        LifetimeAfterOwnerOffline?: number;
        MaxMemberCount?: number;
        MaxSeatCount?: number;
        Notice?: string;
        Owner_Account?: string;
        Password?: string;
        RoomId: string;
        RoomName?: string;
        RoomType?: string;
        /** 45 minutes later where none is given. */
        ScheduleEndTime?: number;
        /** Unix seconds; 0 is none. A new Conference room that has one is booked for then. */
        ScheduleStartTime?: number;
        SeatLayoutTemplateId?: number;
        SeatTemplate?: string;
        /** A name, or the number older callers send. */
        TakeSeatMode?: unknown;
      };
      /** create_room of a booked Conference room: who is invited to it. */
      ScheduleInviteeList_Account?: string[];
    };
    answer: Record<string, never>;
  };
  /** A member's card and role. For the owner of the room. */
  update_room_member_info: {
    body: {
      MemberInfo: {
        CustomInfo?: string;
        Member_Account: string;
        NameCard?: string;
        /** Admin or Member. */
        Role?: string;
      };
      RoomId: string;
    };
    answer: Record<string, never>;
  };
  /** Change what is watched, without an offer. For members of the room. */
  update_watch: {
    body: {
      /** Of all sounds at most so many are sent to it, the loudest. */
      MaxSpeakers?: number;
      RoomId: string;
      Streams?: {
        /** At which the picture is shown, in pixels. */
        MaxHeight?: number;
        /** None is nobody's: the m-line is empty. */
        Member_Account?: string;
        Mid: string;
        Paused?: boolean;
        /** Where not all that is watched fits, the higher goes first. */
        Priority?: number;
        /** The microphone, the camera, or the screen. */
        StreamType?: 'audio' | 'main' | 'sub';
      }[];
    };
    answer: Done;
  };
  /** Watch, or change what is watched. For members of the room. */
  watch: {
    body: {
      /** Of all sounds at most so many are sent to it, the loudest. */
      MaxSpeakers?: number;
      RoomId: string;
      /** The offer of an RTCPeerConnection. */
      Sdp: string;
      Streams?: {
        /** At which the picture is shown, in pixels. */
        MaxHeight?: number;
        /** None is nobody's: the m-line is empty. */
        Member_Account?: string;
        Mid: string;
        Paused?: boolean;
        /** Where not all that is watched fits, the higher goes first. */
        Priority?: number;
        /** The microphone, the camera, or the screen. */
        StreamType?: 'audio' | 'main' | 'sub';
      }[];
    };
    answer: {
      /** The answer to the offer. */
      Sdp: string;
    };
  };
}

/** What members are told: the body of each event. */
export interface Events {
  /** To everyone in the room: it has other administrators. */
  admins_changed: {
    Admin_Account: string[];
    OpType: OpType;
    RoomId: string;
  };
  /** To everyone in a battle's rooms: one of them takes part. */
  battle_accepted: BattleBody;
  /** To everyone in a battle's rooms: it is over. */
  battle_ended: BattleBody;
  /** To everyone in a battle's rooms: one of them has left it. */
  battle_exited: BattleBody;
  /** To everyone in a battle's rooms: one of them does not take part. */
  battle_rejected: BattleBody;
  /** To everyone in a battle's rooms: it was created. */
  battle_requested: BattleBody;
  /** To everyone in a battle's rooms: it has other scores. */
  battle_score_changed: BattleBody;
  /** To everyone in a battle's rooms: it has started. */
  battle_started: BattleBody;
  /** To those in charge of the room that asked: the other co-hosts. */
  connection_accepted: ConnectionBody;
  /** To those in charge of the room that was asked: the request was taken back. */
  connection_cancelled: ConnectionBody;
  /** To everyone in the connected rooms: which these are. */
  connection_changed: {
    RoomId: string;
    RoomList: ConnectedRoom[];
  };
  /** To those in charge of both rooms: nobody has answered in time. */
  connection_expired: ConnectionBody;
  /** To those in charge of the room that asked: the other does not want to. */
  connection_rejected: ConnectionBody;
  /** To those in charge of the room that is asked: another wants to co-host. */
  connection_requested: ConnectionBody;
  /** To everyone in the room, the sender included: data of the app's own. */
  custom_msg: CustomMsg;
  /** To the others in the room: bytes of a member. */
  data_received: {
    CmdId: number;
    /** Base64. */
    Data: string;
    From_Account: string;
    RoomId: string;
  };
  /** To the member concerned: its stream was switched off by one in charge. */
  device_closed: DeviceBody;
  /** To the member concerned: one in charge asks it to switch a stream on. */
  device_requested: DeviceBody;
  /** To everyone in the room: a gift was given. */
  gift_received: {
    Count: number;
    From_Account: string;
    GiftInfo: {
      Coins: number;
      /** When it was added to the catalogue. */
      CreatedAt: number | null;
      DefaultDesc: string;
      DefaultName: string;
      ExtensionInfo: string;
      GiftId: string;
      IconUrl: string;
      Level: number;
      ResourceUrl: string;
    };
    ReceiverList_Account: string[];
    RoomId: string;
    Sequence: number;
    Time: number;
  };
  /** To everyone in the room, the sender included: a message of elements; one that is a single text is a text_msg. */
  group_msg: GroupMsg;
  /** To everyone in the room, which is booked: who is invited to it, and who not any more. */
  invitees_changed: {
    OpType: OpType;
    RoomId: string;
    ScheduleInviteeList_Account: string[];
  };
  /** To a publisher with Dynacast: which layers of a stream anybody watches. */
  layers_wanted: {
    Layers: {
      Rid: string;
      Wanted: boolean;
    }[];
    RoomId: string;
    /** Of two the one with the higher number holds. */
    Seq: number;
    StreamType: StreamType;
  };
  /** To everyone in the room, gathered: who liked it. */
  likes_changed: {
    /** At most 20 of them. */
    Likes: {
      Count: number;
      From_Account: string;
    }[];
    RoomId: string;
    TotalLikesReceived: number;
  };
  /** To a viewer: what its link carries. */
  link_changed: {
    /** Bits a second. */
    Bitrate: number;
    /** The share of packets that are lost. */
    Loss: number;
    RoomId: string;
    /** Milliseconds. */
    Rtt: number;
  };
  /** To the member concerned: its connection for media is gone; make it anew. */
  media_lost: {
    Direction: 'publish' | 'watch';
    RoomId: string;
  };
  /** To everyone in the room: a member's card was changed. */
  member_info_changed: {
    CustomInfo: string;
    /** The app's own numbers for it. */
    Marks: number[];
    Member_Account: string;
    NameCard: string;
    RoomId: string;
  };
  /** To everyone in the room: who came and went since the last one. */
  members_changed: {
    Entered: Named[];
    Left: {
      Cause: Cause;
      Member_Account: string;
    }[];
    /** How many there are once this is applied. */
    MemberCount: number;
    /** Names are missing from the lists. */
    Partial: boolean;
    RoomId: string;
  };
  /** To everyone in the room: members were silenced, or may speak again. */
  members_muted: {
    MemberList: Named[];
    /** Unix seconds; 0: they may speak again. */
    MutedUntil: number;
    RoomId: string;
  };
  /** To everyone in the room: entries of its metadata were set or deleted. */
  metadata_changed: {
    DeletedKeys: string[];
    /** What was set. */
    Metadata: Entry[];
    RoomId: string;
  };
  /** To everyone in the room: it has another owner. */
  owner_changed: {
    CurrentOwner_Account: string;
    OriginalOwner_Account: string;
    RoomId: string;
  };
  /** To the member concerned: what it may publish now. */
  publishing_changed: {
    Allowed: StreamType[];
    RoomId: string;
  };
  /** To everyone: the server drains and will close; connect again after so many milliseconds, and resume. */
  reconnect: {
    /** Milliseconds. */
    After: number;
  };
  /** To the member concerned: it is out of the room; the connection stays. */
  room_closed: {
    Cause: Cause;
    RoomId: string;
  };
  /** To everyone in the room: its record was changed. */
  room_info_changed: {
    RoomId: string;
    RoomInfo: RoomInfoView;
  };
  /** To both sides: what became of a request for a seat. */
  seat_request_ended: {
    ExpiresAt: number;
    /** Who asks. */
    From_Account: string;
    /** -1 is any seat. */
    Index: number;
    Kind: Kind;
    /** Who is to sit. */
    Member_Account: string;
    Operator_Account: string;
    RequestId: string;
    Result: 'accepted' | 'rejected' | 'cancelled' | 'expired';
    RoomId: string;
  };
  /** To those who may answer: a request for a seat. */
  seat_request_received: {
    ExpiresAt: number;
    /** Who asks. */
    From_Account: string;
    /** -1 is any seat. */
    Index: number;
    Kind: Kind;
    /** Who is to sit. */
    Member_Account: string;
    RequestId: string;
    RoomId: string;
  };
  /** To everyone in the room: all its seats, when one has changed. */
  seats_changed: {
    RoomId: string;
    SeatList: SeatView[];
  };
  /** To everyone in the room: who speaks, the loudest first. */
  speakers_changed: {
    RoomId: string;
    Speakers: {
      /** 0 to 100. */
      Level: number;
      Member_Account: string;
    }[];
  };
  /** To everyone in the room: all that a member publishes now. */
  streams_changed: {
    Member_Account: string;
    RoomId: string;
    Streams: StreamView[];
  };
  /** To everyone in the room, the sender included: a text. */
  text_msg: TextMsg;
  /** To a viewer: a picture that it watches stops, goes on or has another height. */
  watch_changed: {
    RoomId: string;
    Streams: {
      /** In pixels. */
      Height?: number;
      Member_Account: string;
      Reason?: 'network' | 'publisher' | 'codec';
      State: 'playing' | 'paused';
      StreamType: StreamType;
    }[];
  };
}
