//! A connection that has logged in.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::session::{Frame, Session};

/// A logged-in connection.
pub(super) struct Member {
    pub(super) session: Arc<Session>,
    pub(super) generation: u64,
    pub(super) outbox: mpsc::Receiver<Frame>,
}
