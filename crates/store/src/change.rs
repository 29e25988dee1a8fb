//! What is kept, and how it changes.

use rooms::{Account, RoomId, RoomInfo, SdkAppId, SessionId, UserId};
use serde::{Deserialize, Serialize};

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
    /// The rooms it is in: the member's place in join order, and the last message it was sent.
    pub rooms: Vec<(RoomId, u64, u64)>,
}

/// Numbers of a room that must not go back in a restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoomCounters {
    /// How often somebody has entered.
    pub views: u64,
    /// The newest message's number.
    pub last_seq: u64,
}

/// One change to what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants and their fields say it all")]
pub enum Change {
    PutApp(App),
    PutAccount(SdkAppId, Account),
    DeleteAccount(SdkAppId, UserId),
    PutRoom(SdkAppId, RoomInfo),
    DeleteRoom(SdkAppId, RoomId),
    PutRoomCounters(SdkAppId, RoomId, RoomCounters),
    PutSession(StoredSession),
    DeleteSession(SessionId),
}

/// Everything kept, as read at start.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// All apps.
    pub apps: Vec<App>,
    /// All accounts.
    pub accounts: Vec<(SdkAppId, Account)>,
    /// All rooms, with their counters.
    pub rooms: Vec<(SdkAppId, RoomInfo, RoomCounters)>,
    /// The sessions that were there when the server last wrote its journal.
    pub sessions: Vec<StoredSession>,
}
