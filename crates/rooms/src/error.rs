//! Why a command was refused. Nothing has changed when one of these is returned.

use crate::{RoomType, Time};

/// A refusal; the server turns it into an API code in one place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A value is missing, too long, of the wrong type or out of its range; the text says which and why.
    #[error("{0}")]
    Invalid(String),
    /// The room was never created, or is destroyed.
    #[error("room {0} does not exist: it was never created or is already destroyed")]
    RoomNotFound(String),
    /// A room of that id exists already.
    #[error("room {0} exists already")]
    RoomExists(String),
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
    /// There is no such battle, it is over, or the room has no part in it.
    #[error("battle {0:?} does not exist, is over, or the room has no part in it")]
    BattleNotFound(String),
    /// The room is in a battle already.
    #[error("room {0} is in a battle already")]
    InBattle(String),
    /// The room is connected, or asked to connect, already.
    #[error("room {0} is connected, or asked to connect, already")]
    AlreadyConnected(String),
    /// The room is not connected, or was not asked.
    #[error("room {0} is not connected, or was not asked")]
    NoConnection(String),
}

impl Error {
    /// An [`Error::Invalid`] for `field`.
    pub fn invalid(field: &str, trouble: impl std::fmt::Display) -> Self {
        Self::Invalid(format!("{field} {trouble}"))
    }

    /// An [`Error::Invalid`] for a `field` of too many bytes.
    pub fn too_long(field: &str, bytes: usize, most: usize) -> Self {
        Self::invalid(field, format_args!("is {bytes} bytes; at most {most} are allowed"))
    }
}
