//! A connection that has logged in.

use std::sync::Arc;

use hall::session::LinkId;

use crate::link::Outbox;
use crate::session::Session;

/// A logged-in connection.
pub(super) struct Member {
    pub(super) session: Arc<Session>,
    pub(super) link: LinkId,
    pub(super) outbox: Outbox,
}
