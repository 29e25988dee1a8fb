//! What the writer begins with, and what it shares with the handle.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::queue::Queue;

/// Tells the time, in milliseconds.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Where history is.
#[derive(Debug, Clone)]
pub enum Place {
    /// In files in this folder, made when there is none.
    Folder(PathBuf),
    /// In a database, beside the records.
    Database {
        /// Which.
        target: Box<store::Target>,
        /// The run of a server that writes: one with a lower number writes no more once this one has begun.
        generation: i64,
    },
}

/// Where history is, and how much of it.
pub struct Options {
    /// Where.
    pub place: Place,
    /// How many days before today are kept.
    pub days: u32,
    /// How many bytes it may take on disk.
    pub most_bytes: u64,
    /// The time.
    pub clock: Clock,
    /// Called when what was written of today is gone, as by a hand that deleted it: what goes on is to be noted again.
    pub on_lost: Box<dyn Fn() + Send>,
}

/// What is shared with the writer.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) written: AtomicU64,
    pub(crate) failures: AtomicU64,
}
