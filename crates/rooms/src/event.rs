//! What happened in a room, for everyone whom it concerns.

use serde::{Deserialize, Serialize};

use crate::{Message, UserId};

/// Something that happened in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A user became a member.
    Entered {
        /// The user.
        user: UserId,
    },
    /// A user is a member no more.
    Left {
        /// The user.
        user: UserId,
        /// Why.
        cause: LeaveCause,
    },
    /// A message for everyone in the room.
    Text(Message),
}

/// Why a member left, or a room closed for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaveCause {
    /// It said so, or closed its connection cleanly.
    Leave,
    /// Its connection was lost and not resumed within the grace.
    Interrupted,
    /// An administrator put it out.
    Kicked,
    /// It was banned.
    Banned,
    /// The room was destroyed.
    Destroyed,
    /// The room's lifetime ended.
    Expired,
}

impl LeaveCause {
    /// The word for it on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            LeaveCause::Leave => "leave",
            LeaveCause::Interrupted => "interrupted",
            LeaveCause::Kicked => "kicked",
            LeaveCause::Banned => "banned",
            LeaveCause::Destroyed => "destroyed",
            LeaveCause::Expired => "expired",
        }
    }
}
