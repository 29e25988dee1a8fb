//! Durable records. A [`Change`] is acknowledged only when it is on disk; changes that arrive together are committed
//! together (group commit), by one writer thread.
//!
//! Presence is journalled through the same queue, in order with everything else, but nobody waits for it. The queue, the
//! journal and the answers know nothing of what keeps the changes: that is an [`Engine`], [`Sqlite`] or [`Postgres`].

mod change;
mod database;
#[cfg(test)]
#[path = "../../../tests/harness/postgres.rs"]
mod database_server;
mod engine;
mod error;
#[cfg(test)]
mod faults;
mod folder;
mod health;
mod job;
mod ledger;
#[cfg(any(test, feature = "memory"))]
mod memory;
mod migrate;
mod outbox;
mod parts;
mod place;
mod postgres;
#[cfg(test)]
mod properties;
mod queue;
mod queued;
mod reader;
mod rows;
#[cfg(test)]
mod samples;
mod schema;
mod scope;
mod sqlite;
mod superseded;
mod tables;
mod writer;

pub use change::{
    ApiKey, App, Callback, Change, EventPage, EventsWanted, Intent, Lane, OutboxEvent, Presence, Snapshot,
    StoredSession, WaitingEvent, Webhook,
};
pub use database::FILE_NAME;
pub use engine::{Engine, GivenUp, Kept, Read, Refused};
pub use error::Error;
pub use folder::{backup, failed_event_ids, for_each_failed_event, read_api_keys, read_apps};
pub use job::Job;
#[cfg(any(test, feature = "memory"))]
pub use memory::{Disk, Fault, Memory};
pub use migrate::{Amounts, migrate};
pub use place::Place;
pub use postgres::{Cluster, Identity, Known, Membership, Postgres, Said, Standing, Target, forget, nodes};
pub use queued::Queued;
pub use scope::RoomScope;
pub use sqlite::Sqlite;
pub use writer::{Committed, OnCommit};

use rooms::SdkAppId;

/// Where durable records go.
pub trait Store: Send + Sync {
    /// What a room that is about to be made is to the store. No other incarnation ever gets the same.
    ///
    /// # Errors
    /// When there are no more.
    fn room_scope(&self, app: SdkAppId) -> Result<RoomScope, Error>;

    /// Makes all of `changes` durable, or none. They are applied in the order of the calls; those that reach the disk together are
    /// answered at once, in no order.
    ///
    /// Resolves to the error when they were refused; nothing has changed then, and nothing will. While it is not known
    /// whether the disk has them, it does not resolve: only a store that is closed meanwhile says [`Error::Unknown`].
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
    fn waiting_events(&self, wanted: EventsWanted) -> Reading<EventPage>;

    /// The ids of the events that were given up, oldest first. Nobody who writes waits for it.
    fn dead_letters(&self) -> Reading<Vec<u64>>;
}

/// Resolves when a commit is on disk, or has failed.
pub type Commit = std::pin::Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Resolves when something was read.
pub type Reading<T> = std::pin::Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;
