//! Durable records. A [`Change`] is acknowledged only when it is on disk; changes that arrive together are committed
//! together (group commit), by one writer thread that owns the only connection that writes.
//!
//! Presence is journalled through the same queue, in order with everything else, but nobody waits for it.

mod change;
mod database;
mod error;
mod health;
mod outbox;
mod queue;
mod reader;
mod rows;
mod schema;
mod sqlite;
mod superseded;
mod tables;
mod writer;

pub use change::{
    App, Change, EventPage, EventsWanted, OutboxEvent, Presence, Snapshot, StoredSession, WaitingEvent,
    Webhook,
};
pub use error::Error;
pub use sqlite::{FILE_NAME, Sqlite, backup, failed_event_ids, for_each_failed_event, read_apps};
pub use writer::{Committed, OnCommit};

use rooms::SdkAppId;

/// Where durable records go. SQLite is the one implementation today; a cluster writes through the same trait.
pub trait Store: Send + Sync {
    /// Makes all of `changes` durable, or none. They are applied in the order of the calls.
    ///
    /// Resolves to the error when the disk refused them; nothing has changed then.
    fn commit(&self, changes: Vec<Change>) -> Commit;

    /// Makes `changes` durable by and by, in order with what is committed. Never refused: a disk that fails is tried
    /// again.
    fn journal(&self, changes: Vec<Change>);

    /// Whether so much waits for the disk that no more work of `app` should be let in.
    fn is_behind(&self, app: SdkAppId) -> bool;

    /// Whether what is committed now would reach the disk.
    ///
    /// # Errors
    /// Why not: all writes of the last seconds have failed, one hangs, or there will be no more.
    fn health(&self) -> Result<(), Error>;

    /// Reads events that were committed and not deleted since. Nobody who writes waits for it.
    fn waiting_events(&self, wanted: EventsWanted) -> Reading;
}

/// Resolves when a commit is on disk, or has failed.
pub type Commit = std::pin::Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Resolves when events were read.
pub type Reading = std::pin::Pin<Box<dyn Future<Output = Result<EventPage, Error>> + Send>>;
