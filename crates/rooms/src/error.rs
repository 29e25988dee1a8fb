//! Why a command was refused. Nothing has changed when one of these is returned.

use crate::info::MAX_TAGS;
use crate::marks::MAX_MARKS;
use crate::metadata::{MAX_KEY_BYTES, MAX_KEYS, MAX_TOTAL_BYTES, MAX_VALUE_BYTES};
use crate::{RoomInfo, RoomType, Time, UserId};

/// A refusal; the server turns it into an API code in one place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A value is missing, too long, of the wrong type or out of its range; the text says which and why.
    #[error("{0}")]
    Invalid(String),
    /// The room was never created, or is destroyed.
    #[error("room {0} does not exist: it was never created or is already destroyed")]
    RoomNotFound(String),
    /// A room of that id exists already, of another owner or type.
    #[error("room {0} exists already")]
    RoomExists(String),
    /// A room of that id exists already, and is what was to be made.
    #[error("room {room_id} exists already, and is a room of {owner}: use it as it is")]
    RoomIsThere {
        /// The room.
        room_id: String,
        /// Whose it is, and was to be.
        owner: String,
    },
    /// The room is of the other type.
    #[error("room {room_id} is a {found} room, this command is for {wanted} rooms")]
    WrongRoomType {
        /// The room.
        room_id: String,
        /// What it is.
        found: RoomType,
        /// What the command is for.
        wanted: RoomType,
    },
    /// A room would have too many tags.
    #[error("Category has {0} entries; at most {MAX_TAGS} are allowed")]
    TooManyTags(usize),
    /// The members of a room would have so many different marks.
    #[error("Marks would make {0} different ones in the room; at most {MAX_MARKS} are allowed")]
    TooManyMarks(usize),
    /// The user is not in the room.
    #[error("{user} is not a member of room {room_id}")]
    NotAMember {
        /// The user.
        user: String,
        /// The room.
        room_id: String,
    },
    /// The room holds as many members as it may.
    #[error("the room is full: MaxMemberCount is {0}")]
    RoomFull(u32),
    /// The user may not enter until then.
    #[error("banned from this room until Unix time {}", .0.unix_seconds())]
    Banned(Time),
    /// Who enters has to give the room's password.
    #[error("room {0} wants a password; give it as Password")]
    PasswordWanted(String),
    /// What was given is not the room's password.
    #[error("this is not the password of room {0}")]
    WrongPassword(String),
    /// Nobody may send messages in this room now.
    #[error("messages are off in this room (IsMessageDisabled)")]
    MessagesDisabled,
    /// The user may not send messages until then.
    #[error("muted in this room until Unix time {}", .0.unix_seconds())]
    Muted(Time),
    /// Nobody may give gifts in this room now.
    #[error("gifts are off in this room (IsGiftEnabled)")]
    GiftsDisabled,
    /// Nobody may send likes in this room now.
    #[error("likes are off in this room (IsLikeEnabled)")]
    LikesDisabled,
    /// Who asks is not in charge of this.
    #[error("not allowed: {0}")]
    NotAllowed(&'static str),
    /// The room would have so many keys of metadata.
    #[error("Metadata would have {0} keys; at most {MAX_KEYS} are allowed")]
    TooManyKeys(usize),
    /// A key of metadata has so many bytes.
    #[error("Key is {0} bytes; at most {MAX_KEY_BYTES} are allowed")]
    KeyTooLong(usize),
    /// A value of metadata has so many bytes.
    #[error("Value is {0} bytes; at most {MAX_VALUE_BYTES} are allowed")]
    ValueTooLong(usize),
    /// The room would have so many bytes of metadata.
    #[error("Metadata would have values of {0} bytes; at most {MAX_TOTAL_BYTES} are allowed")]
    ValuesTooLong(usize),
    /// There is no metadata by any of the keys.
    #[error("Keys names none that the room's metadata has; nothing was deleted")]
    NoSuchKey,
    /// The room has no seats.
    #[error("the room has no seats; set SeatTemplate to give it some")]
    NoSeats,
    /// The seat is locked.
    #[error("seat {0} is locked")]
    SeatLocked(u32),
    /// The seat is taken, or kept for the owner.
    #[error("seat {0} is taken")]
    SeatTaken(u32),
    /// No seat is free.
    #[error("no seat is free")]
    NoSeatFree,
    /// The user sits already.
    #[error("{user} is on seat {index} already")]
    AlreadyOnSeat {
        /// The user.
        user: String,
        /// Where it sits.
        index: u32,
    },
    /// Whoever was to be given a seat sits already.
    #[error("{user} is on seat {index} already")]
    UserOnSeat {
        /// The user.
        user: String,
        /// Where it sits.
        index: u32,
    },
    /// The user does not sit.
    #[error("{0} is on no seat")]
    NotOnSeat(String),
    /// Seats are asked for in this room, not taken.
    #[error("seats of this room are given on application (TakeSeatMode ApplyToTake); apply for one")]
    ApplyFirst,
    /// The user waits for a seat, or was invited to one, already.
    #[error("{0} has a request for a seat open already")]
    AlreadyQueueing(String),
    /// There is no such request, or its time is over.
    #[error("request {0} does not exist: answered, cancelled or expired")]
    RequestNotFound(u64),
    /// There is no such gift.
    #[error("gift {0:?} does not exist; add_gift makes one")]
    GiftNotFound(String),
    /// There is no such battle, or it is over.
    #[error("battle {0:?} does not exist, or is over")]
    BattleNotFound(String),
    /// The battle waits for answers.
    #[error("battle {0:?} has not begun: not all have answered")]
    BattleNotBegun(String),
    /// The battle has ended.
    #[error("battle {0:?} is over")]
    BattleOver(String),
    /// The room takes no part in the battle, or not any more, or has nothing to answer.
    #[error("room {room} has no part in battle {battle:?}, has left it, or has answered already")]
    NotInBattle {
        /// Which room.
        room: String,
        /// In which battle.
        battle: String,
    },
    /// The room has called others to a battle, who have not all answered.
    #[error("room {0} has called others to a battle that has not begun: wait for their answers, or leave it")]
    BattlePending(String),
    /// The room is in a battle already.
    #[error("room {0} is in a battle already")]
    InBattle(String),
    /// Who was called can all not take part.
    #[error("ToRoomIdList: every room is in a battle already")]
    NoRoomForBattle,
    /// No room is named to be asked to co-host.
    #[error("ToRoomId is missing; name the room to co-host with")]
    NobodyToCoHost,
    /// The room is connected with this one already.
    #[error("room {0} is connected with this one already")]
    AlreadyConnected(String),
    /// The room is connected, with others.
    #[error("room {0} is connected with other rooms; it can leave them first")]
    ConnectedElsewhere(String),
    /// The room has a request to connect to answer.
    #[error("room {0} is asked to connect already, and has not answered yet")]
    ConnectionPending(String),
    /// The room is not connected, or was not asked.
    #[error("room {0} is not connected, or was not asked")]
    NoConnection(String),
    /// More rooms than may be together.
    #[error("{field} is too much: {most} rooms may be {together} at most")]
    TooManyRooms {
        /// Which field names the one too many.
        field: &'static str,
        /// How many are allowed.
        most: usize,
        /// In what.
        together: &'static str,
    },
}

impl Error {
    /// What refuses a room of `owner` by the id of one that is there.
    pub fn room_exists(there: &RoomInfo, owner: &UserId, room_type: RoomType) -> Self {
        let room_id = there.room_id.to_string();
        match there.owner == *owner && there.room_type == room_type {
            true => Self::RoomIsThere { room_id, owner: owner.to_string() },
            false => Self::RoomExists(room_id),
        }
    }

    /// An [`Error::Invalid`] for `field`.
    pub fn invalid(field: &str, trouble: impl std::fmt::Display) -> Self {
        Self::Invalid(format!("{field} {trouble}"))
    }

    /// An [`Error::Invalid`] for a `field` of too many bytes.
    pub fn too_long(field: &str, bytes: usize, most: usize) -> Self {
        Self::invalid(field, format_args!("is {bytes} bytes; at most {most} are allowed"))
    }
}
