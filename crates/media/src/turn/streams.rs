//! The relay's clients that came over a connection.

use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::RwLock;
use tokio::sync::mpsc;

/// The connections that have an allocation.
#[derive(Default)]
pub(crate) struct Streams {
    last: AtomicU64,
    queues: RwLock<HashMap<u64, mpsc::Sender<Vec<u8>>, foldhash::fast::RandomState>>,
}

impl Streams {
    /// A number for a connection.
    pub(crate) fn next_number(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A connection has an allocation: what is for it goes to `queue`.
    pub(crate) fn begin(&self, stream: u64, queue: mpsc::Sender<Vec<u8>>) {
        self.queues.write().insert(stream, queue);
    }

    /// A connection is over.
    pub(crate) fn end(&self, stream: u64) {
        self.queues.write().remove(&stream);
    }

    /// Hands a message to a connection; whether it was taken. A link that is too slow loses messages, as it would over UDP.
    pub(crate) fn send(&self, stream: u64, message: Vec<u8>) -> bool {
        self.queues.read().get(&stream).is_some_and(|queue| queue.try_send(message).is_ok())
    }
}
