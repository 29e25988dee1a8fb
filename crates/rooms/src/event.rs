//! What happened in a room, for everyone whom it concerns.

use serde::{Deserialize, Serialize};

use crate::{Card, Device, Given, Message, RequestEnd, RequestKind, Room, Seat, SeatRequest, Time, UserId};

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
    /// A member whose connection was lost is back in time; it was a member all along.
    Recovered {
        /// The user.
        user: UserId,
    },
    /// A message for everyone in the room.
    Message(Message),
    /// The room's record was changed.
    InfoChanged,
    /// The room belongs to somebody else.
    OwnerChanged {
        /// Whose it was.
        from: UserId,
        /// Whose it is.
        to: UserId,
    },
    /// Users became administrators, or are none any more.
    AdminsChanged {
        /// Who.
        users: Vec<UserId>,
        /// Which of the two.
        added: bool,
    },
    /// What a member is called.
    CardChanged {
        /// Who.
        user: UserId,
        /// Its card.
        card: Card,
    },
    /// Users are invited to the room, or not any more.
    InviteesChanged {
        /// Who.
        users: Vec<UserId>,
        /// Which of the two.
        added: bool,
    },
    /// Users may not speak until then; `None`: they may again.
    Muted {
        /// Who.
        users: Vec<UserId>,
        /// Until when.
        until: Option<Time>,
    },
    /// Metadata was set.
    MetadataSet {
        /// Keys and values.
        entries: Vec<(String, String)>,
    },
    /// Metadata was deleted.
    MetadataDeleted {
        /// The keys.
        keys: Vec<String>,
    },
    /// How the seats stand.
    SeatsChanged {
        /// All of them.
        seats: Vec<Seat>,
    },
    /// Somebody asks for a seat, or is asked to take one.
    SeatRequested(SeatRequest),
    /// A request about a seat was answered, taken back, or forgotten.
    SeatRequestEnded {
        /// The request.
        request: SeatRequest,
        /// How it ended.
        end: RequestEnd,
        /// By whom.
        by: UserId,
    },
    /// A gift was given.
    Given(Box<Given>),
    /// Something that only the app's own server is told, by its event callbacks.
    Rtc(RtcEvent),
    /// Likes were sent.
    Liked {
        /// By whom.
        from: UserId,
        /// How many.
        count: u64,
        /// How many the room has now.
        total: u64,
    },
}

/// What event callbacks tell of: users as they are in by sessions of their own, which robots are not, and what flows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RtcEvent {
    /// The first session of a user came in.
    Entered {
        /// Who.
        user: UserId,
        /// Whether it has a place to publish from.
        is_anchor: bool,
        /// Whether it was in a moment ago.
        coming: Coming,
        /// The cloud's number for the kind of terminal it comes with; 0 where that is not known.
        terminal: u8,
    },
    /// The last session of a user is out.
    Left {
        /// Who.
        user: UserId,
        /// Whether it had a place to publish from.
        is_anchor: bool,
        /// Why.
        cause: LeaveCause,
    },
    /// The owner of a room that this one is connected with comes in by that, or goes.
    CoHosts {
        /// Who.
        user: UserId,
        /// Which of the two.
        is_in: bool,
    },
    /// A user has a place to publish from, or not any more.
    RoleChanged {
        /// Who.
        user: UserId,
        /// Which of the two.
        is_anchor: bool,
    },
    /// A stream of a user flows, or does not any more.
    Flow {
        /// Whose.
        user: UserId,
        /// What it comes from.
        device: Device,
        /// Which of the two.
        is_on: bool,
    },
}

/// How somebody comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Coming {
    /// As anybody.
    New,
    /// It was in a moment ago, and was lost.
    Again,
    /// The same, and comes from another address now.
    Elsewhere,
}

impl Event {
    /// Whom in the room it concerns; `None` is everyone.
    pub fn audience(&self, room: &Room) -> Option<Vec<UserId>> {
        let receivers = |request: &SeatRequest| match request.kind {
            RequestKind::Application => room.managers().cloned().collect(),
            RequestKind::Invitation => vec![request.guest.clone()],
        };
        match self {
            Event::SeatRequested(request) => Some(receivers(request)),
            Event::SeatRequestEnded { request, .. } => {
                let mut users = receivers(request);
                if !users.contains(&request.from) {
                    users.push(request.from.clone());
                }
                Some(users)
            }
            _ => None,
        }
    }
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
    /// Its account was deleted.
    Deleted,
}

impl LeaveCause {
    /// The word for it on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            LeaveCause::Leave => "leave",
            LeaveCause::Interrupted => "interrupted",
            // To others there is no difference.
            LeaveCause::Kicked | LeaveCause::Deleted => "kicked",
            LeaveCause::Banned => "banned",
            LeaveCause::Destroyed => "destroyed",
            LeaveCause::Expired => "expired",
        }
    }
}
