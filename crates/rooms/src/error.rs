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
}

impl Error {
    /// An [`Error::Invalid`] for `field`.
    pub fn invalid(field: &str, trouble: impl std::fmt::Display) -> Self {
        Self::Invalid(format!("{field} {trouble}"))
    }
}
