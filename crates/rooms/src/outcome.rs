//! What a command changes: durable [`Delta`]s for the store, and [`Event`]s for whom it concerns.

use serde::{Deserialize, Serialize};

use crate::{
    Ban, Block, Card, Event, GiftTally, Given, LeaveCause, RequestEnd, RoomInfo, Seat, Time, UserId,
};

/// What a planned command is going to do: make the changes durable, apply them in order, tell of the events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What changes, for [`crate::Room::apply`] and for the store.
    pub changes: Vec<Delta>,
    /// What is told when it is done.
    pub events: Vec<Event>,
}

impl Outcome {
    /// One change, told by one event.
    pub(crate) fn of(change: Delta, event: Event) -> Self {
        Self { changes: vec![change], events: vec![event] }
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.changes.extend(other.changes);
        self.events.extend(other.events);
    }
}

/// One change to a room; [`Delta::keeps`] says what of it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// The room's own record is replaced.
    Info(Box<RoomInfo>),
    /// A fact is added or replaced.
    Set(Record),
    /// A fact is no more.
    Unset(RecordKey),
    /// A user is put out with all its sessions.
    PutOut {
        /// Who.
        user: UserId,
        /// Why.
        cause: LeaveCause,
        /// The place of the membership whose end the plan tells of; none when the user was not in.
        told: Option<u64>,
    },
    /// Somebody sits down, or what a seat allows is changed.
    Seat {
        /// Which, from 0.
        index: u32,
        /// How it is to stand.
        seat: Seat,
        /// The place of the membership that sits on it: another one of the same user does not.
        place: Option<u64>,
        /// How often coming and going had ever changed a seat when the plan was made.
        turns: u64,
    },
    /// A robot is placed.
    AddRobot {
        /// Who.
        user: UserId,
        /// Its place in join order.
        place: u64,
        /// How many had ever left when the plan was made: what it tells may have been untold since.
        departures: u64,
    },
    /// Something is given.
    Gift {
        /// What, by whom.
        given: Box<Given>,
        /// What its sender has given then.
        tally: GiftTally,
    },
    /// A request about a seat is over. It lives in memory alone.
    EndRequest {
        /// Which.
        id: u64,
        /// How it ended.
        end: RequestEnd,
        /// By whom.
        by: UserId,
    },
    /// A robot is taken out; it stays a member through sessions, if it has any.
    DropRobot {
        /// Who.
        user: UserId,
        /// The place of the membership whose end the plan tells of.
        told: Option<u64>,
    },
}

/// A fact about a room beside its [`RoomInfo`]; one for each [`RecordKey`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// An entry of the app's own.
    Metadata {
        /// At most 50 bytes.
        key: String,
        /// At most 2 KiB.
        value: String,
    },
    /// A user may not send messages.
    Mute {
        /// Who.
        user: UserId,
        /// Until when.
        until: Time,
    },
    /// A user may not enter.
    Ban(Ban),
    /// A user may do what the owner may.
    Admin(UserId),
    /// A member without a session.
    Robot {
        /// Who.
        user: UserId,
        /// Its place in join order.
        place: u64,
    },
    /// How a seat stands.
    Seat {
        /// From 0.
        index: u32,
        /// What is true of it.
        seat: Seat,
    },
    /// What a member is called in this room.
    Card {
        /// Who.
        user: UserId,
        /// Its card.
        card: Card,
    },
    /// What of a user's may not flow here, by order of the app's own server.
    Block {
        /// Whose.
        user: UserId,
        /// What.
        block: Block,
    },
    /// What a user has given in this room.
    Sender {
        /// Who.
        user: UserId,
        /// How much.
        tally: GiftTally,
    },
}

/// Which fact: its kind, and what tells it from others of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecordKey {
    /// `metadata`, `mute`, ...
    pub kind: &'static str,
    /// A user, a metadata key, or a seat's index.
    pub name: String,
}

impl RecordKey {
    pub(crate) fn new(kind: &'static str, name: impl ToString) -> Self {
        Self { kind, name: name.to_string() }
    }
}

impl Record {
    pub(crate) const METADATA: &str = "metadata";
    pub(crate) const MUTE: &str = "mute";
    pub(crate) const BAN: &str = "ban";
    pub(crate) const ADMIN: &str = "admin";
    pub(crate) const ROBOT: &str = "robot";
    pub(crate) const SEAT: &str = "seat";
    pub(crate) const CARD: &str = "card";
    pub(crate) const BLOCK: &str = "block";
    pub(crate) const SENDER: &str = "sender";

    /// The fact that a user is a robot.
    pub fn robot_key(user: &UserId) -> RecordKey {
        RecordKey::new(Self::ROBOT, user)
    }

    /// Which fact this is.
    pub fn key(&self) -> RecordKey {
        match self {
            Record::Metadata { key, .. } => RecordKey::new(Self::METADATA, key),
            Record::Mute { user, .. } => RecordKey::new(Self::MUTE, user),
            Record::Ban(ban) => RecordKey::new(Self::BAN, &ban.user),
            Record::Admin(user) => RecordKey::new(Self::ADMIN, user),
            Record::Robot { user, .. } => Self::robot_key(user),
            Record::Seat { index, .. } => RecordKey::new(Self::SEAT, index),
            Record::Card { user, .. } => RecordKey::new(Self::CARD, user),
            Record::Block { user, .. } => RecordKey::new(Self::BLOCK, user),
            Record::Sender { user, .. } => RecordKey::new(Self::SENDER, user),
        }
    }
}
