//! Durable records. A [`Change`] is acknowledged only when it is on disk; changes that arrive together are committed
//! together (group commit), by one writer thread that owns the only connection that writes.
//!
//! Presence is recorded through the same queue, but nobody waits for it (`Change::PutSession` and the like).

mod change;
mod error;
mod schema;
mod sqlite;

pub use change::{App, Change, RoomCounters, Snapshot, StoredSession};
pub use error::Error;
pub use sqlite::{FILE_NAME, OnCommit, Sqlite, backup, read_apps};

/// Where durable records go. SQLite is the one implementation today; a cluster writes through the same trait.
pub trait Store: Send + Sync {
    /// Makes all of `changes` durable, or none. They are applied in the order of the calls.
    ///
    /// Resolves to the error when the disk refused them; nothing has changed then.
    fn commit(&self, changes: Vec<Change>) -> Commit;
}

/// Resolves when a commit is on disk, or has failed.
pub type Commit = std::pin::Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;
