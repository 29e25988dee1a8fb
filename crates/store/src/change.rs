//! What is kept, and how it changes.

use std::sync::Arc;

use rooms::{
    Account, Battle, CatalogueChange, CatalogueRecord, Client, Connection, Content, Counters, Incarnation,
    Message, Record, RecordKey, RoomInfo, SdkAppId, SessionId, Time, UserId,
};
use serde::{Deserialize, Serialize};

use crate::RoomScope;

/// An app (tenant).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Its id.
    pub sdkappid: SdkAppId,
    /// The key its UserSigs are signed with. Never logged.
    pub secret_key: String,
    /// What people call it.
    pub name: String,
    /// The accounts that may call the REST API.
    pub admins: Vec<UserId>,
    /// Who hears of its events; `None` leaves it to the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// Who gets its event callbacks, one for each group; one that is missing is left to the configuration file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callbacks: Vec<Callback>,
}

/// Where an app's event callbacks of one group go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// The cloud's number for the group (`EventGroupId`).
    pub group: u8,
    /// The receiver; empty is none.
    pub url: String,
    /// What they are signed with; empty is nothing. Never logged.
    pub key: String,
}

/// Where an app's events go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Webhook {
    /// The receiver; empty is none.
    pub url: String,
    /// The commands that are sent; empty is all.
    pub events: Vec<String>,
    /// The secret of the signatures; empty is none. Never logged.
    pub token: String,
}

/// A key with which an operator's own server calls the RTC API, for apps of this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its public half.
    pub secret_id: String,
    /// What calls are signed with. Never logged.
    pub secret_key: String,
    /// The apps it acts on; empty is all.
    pub apps: Vec<SdkAppId>,
    /// The actions it may call; empty is all.
    pub actions: Vec<String>,
    /// It opens nothing for now.
    pub is_disabled: bool,
    /// When it was made.
    pub created_at: Time,
}

/// A session as the presence journal keeps it, so that a restart is to it what a lost connection is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSession {
    /// Its id.
    pub id: SessionId,
    /// Its app.
    pub sdkappid: SdkAppId,
    /// Whose it is.
    pub user: UserId,
    /// The SHA-256 of its resume token.
    pub token_hash: [u8; 32],
    /// When the UserSig ends that it logged in with. Those of before this was kept have the longest there is.
    #[serde(default = "never")]
    pub valid_until: Time,
    /// With what it came.
    #[serde(default)]
    pub client: Client,
}

fn never() -> Time {
    Time::from_unix_seconds(u32::MAX.into())
}

/// A session's presence in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// The session.
    pub session: SessionId,
    /// The room.
    pub scope: RoomScope,
    /// Whose session it is.
    pub user: UserId,
    /// The member's place in join order.
    pub place: u64,
    /// The last message the session has.
    pub seen: u64,
    /// Its stay, as history knows it: when it came in, in milliseconds. 0 of before that was kept.
    pub stay: u64,
}

/// What a scope has still to say to another: written in the commit of what it says, and delivered until the other has what
/// it means on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Intent {
    /// To what is between the app's rooms: this one is over.
    RoomOver(Incarnation),
    /// To the app's rooms and sessions: this account is no more.
    AccountOver(UserId),
}

impl Intent {
    /// Which of an app's it is.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::RoomOver(room) => format!("room {}", room.number),
            Self::AccountOver(user) => format!("account {user}"),
        }
    }
}

/// To which of an app's receivers an event goes: nothing in one lane waits for what is in another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lane(pub u8);

impl Lane {
    /// That of webhooks. All others are those of groups of event callbacks.
    pub const WEBHOOKS: Self = Self(0);

    /// Whether what cannot be sent is kept for an operator to send again.
    pub const fn keeps_dead_letters(self) -> bool {
        self.0 == Self::WEBHOOKS.0
    }
}

/// An event on its way to a receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEvent {
    /// Unique over the life of a data folder, growing with time.
    pub id: u64,
    /// Whose receiver gets it.
    pub sdkappid: SdkAppId,
    /// Which of them.
    #[serde(default)]
    pub lane: Lane,
    /// What it is about; events of one subject are sent in order.
    pub subject: String,
    /// `CallbackCommand`; of an event callback `EventType`.
    pub command: String,
    /// The JSON.
    pub body: String,
    /// When it happened.
    pub at: Time,
}

impl OutboxEvent {
    /// Whose it is, and which receiver's.
    pub(crate) fn line(&self) -> (SdkAppId, Lane) {
        (self.sdkappid, self.lane)
    }

    /// How many bytes its texts have.
    pub fn bytes(&self) -> usize {
        self.subject.len() + self.command.len() + self.body.len()
    }
}

/// One change to what is kept.
///
/// What a room's change says of an incarnation that is over is nothing: somebody who waits for it is refused
/// ([`crate::Error::Over`]), and what nobody waits for is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants and their fields say it all")]
pub enum Change {
    PutApp(App),
    PutApiKey(ApiKey),
    /// By its public half.
    DeleteApiKey(String),
    PutAccount(SdkAppId, Account),
    DeleteAccount(SdkAppId, UserId),
    /// The beginning of an incarnation. There must be no other of that name.
    CreateRoom(RoomScope, RoomInfo),
    PutRoom(RoomScope, RoomInfo),
    /// With everything that belongs to it.
    DeleteRoom(RoomScope),
    PutRecord(RoomScope, Record),
    DeleteRecord(RoomScope, RecordKey),
    PutCounters(RoomScope, Counters),
    /// The last [`rooms::RECENT_MESSAGES`] of a room are kept.
    PutMessage(RoomScope, Message),
    Catalogue(SdkAppId, CatalogueChange),
    PutBattle(SdkAppId, Battle),
    DeleteBattle(SdkAppId, String),
    /// One with fewer than two rooms is deleted.
    PutConnection(SdkAppId, Connection),
    /// A session that is not kept yet: if it is over before it is on disk, nothing of it needs to be written.
    AddSession(StoredSession),
    PutSession(StoredSession),
    /// It has left its rooms before. Presence without its session is nobody's, and is left out when a server begins.
    DeleteSession(SessionId),
    /// A presence that is not kept yet: if it is over before it is on disk, nothing of it needs to be written.
    AddPresence(Presence),
    PutPresence(Presence),
    DeletePresence(RoomScope, UserId, SessionId),
    /// All sessions of a user are out of a room.
    DeleteMember(RoomScope, UserId),
    PutIntent(SdkAppId, Intent),
    DeleteIntent(SdkAppId, Intent),
    PutEvent(Arc<OutboxEvent>),
    DeleteEvent(u64),
    /// The event is given up: it goes to the dead letters.
    FailEvent(u64),
    /// A dead letter waits again, as if it had happened now.
    ReviveEvent(u64, Time),
}

/// What a change takes in memory beside what it holds.
const CHANGE_BYTES: usize = 256;

impl Change {
    /// The room it is of, if it is a room's.
    pub fn room(&self) -> Option<RoomScope> {
        match self {
            Self::CreateRoom(scope, _)
            | Self::PutRoom(scope, _)
            | Self::DeleteRoom(scope)
            | Self::PutRecord(scope, _)
            | Self::DeleteRecord(scope, _)
            | Self::PutCounters(scope, _)
            | Self::PutMessage(scope, _)
            | Self::DeletePresence(scope, ..)
            | Self::DeleteMember(scope, _) => Some(*scope),
            Self::AddPresence(presence) | Self::PutPresence(presence) => Some(presence.scope),
            _ => None,
        }
    }

    /// Whose it is, when it says so.
    pub fn app(&self) -> Option<SdkAppId> {
        match self {
            Self::PutApp(app) => Some(app.sdkappid),
            Self::AddSession(session) | Self::PutSession(session) => Some(session.sdkappid),
            Self::PutEvent(event) => Some(event.sdkappid),
            Self::PutIntent(app, _)
            | Self::DeleteIntent(app, _)
            | Self::PutAccount(app, _)
            | Self::DeleteAccount(app, _)
            | Self::Catalogue(app, _)
            | Self::PutBattle(app, _)
            | Self::DeleteBattle(app, _)
            | Self::PutConnection(app, _) => Some(*app),
            _ => self.room().map(|scope| scope.app),
        }
    }

    /// About how much memory it takes while it waits.
    pub(crate) fn bytes(&self) -> usize {
        let held = match self {
            Self::PutEvent(event) => event.bytes(),
            Self::PutMessage(_, message) => match &message.content {
                Content::Text { text, extension } => text.len() + extension.len(),
                Content::Custom { business_id, data } => business_id.len() + data.len(),
                Content::Elements { body, extension } => body.len() + extension.len(),
            },
            Self::PutRecord(_, Record::Metadata { key, value }) => key.len() + value.len(),
            Self::CreateRoom(..)
            | Self::PutRoom(..)
            | Self::PutAccount(..)
            | Self::PutBattle(..)
            | Self::PutConnection(..) => 2048,
            _ => 0,
        };
        held + CHANGE_BYTES
    }
}

/// An event that is on disk until it has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingEvent {
    /// Its turn: grows with every event that is committed, in the order of the commits.
    pub turn: u64,
    /// The event.
    pub event: Arc<OutboxEvent>,
}

/// Which waiting events are to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsWanted {
    /// Whose.
    pub sdkappid: SdkAppId,
    /// To which of its receivers.
    pub lane: Lane,
    /// Of one subject only.
    pub subject: Option<String>,
    /// Those after this turn.
    pub after: u64,
    /// How much is read: up to the event that makes it more than this.
    pub most_bytes: usize,
}

/// Waiting events, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<WaitingEvent>,
    /// Whether there were no more when they were read.
    pub is_last: bool,
}

/// Everything kept, as read at start.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// All apps.
    pub apps: Vec<App>,
    /// All keys of the RTC API.
    pub api_keys: Vec<ApiKey>,
    /// All accounts.
    pub accounts: Vec<(SdkAppId, Account)>,
    /// All rooms, with their counters.
    pub rooms: Vec<(RoomScope, RoomInfo, Counters)>,
    /// All facts about rooms.
    pub records: Vec<(RoomScope, Record)>,
    /// The kept messages of each room, oldest first.
    pub messages: Vec<(RoomScope, Message)>,
    /// All gift catalogues.
    pub catalogues: Vec<(SdkAppId, CatalogueRecord)>,
    /// All battles.
    pub battles: Vec<(SdkAppId, Battle)>,
    /// All connections.
    pub connections: Vec<(SdkAppId, Connection)>,
    /// The sessions that were there when the server last wrote its journal.
    pub sessions: Vec<StoredSession>,
    /// The rooms they were in.
    pub presence: Vec<Presence>,
    /// What has still to be said.
    pub intents: Vec<(SdkAppId, Intent)>,
    /// The lanes of apps with events that have not arrived yet, and the turn of the newest of each.
    pub waiting: Vec<(SdkAppId, Lane, u64)>,
    /// The highest id an event has.
    pub last_event: u64,
}
