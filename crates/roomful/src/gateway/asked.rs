//! What a member's command is given, and how it comes to its room.

use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;

use crate::app::App;
use crate::error::ApiError;
use crate::halls::OpenRoom;
use crate::rest::{parse_json, require_room_id};
use crate::server::Server;
use crate::session::Session;

/// What a command is given.
pub(super) struct Asked {
    pub(super) server: Arc<Server>,
    pub(super) session: Arc<Session>,
    pub(super) body: String,
}

impl Asked {
    /// The command changes what is kept, which one user does only so often.
    pub(super) fn spend_change(&self) -> Result<(), ApiError> {
        self.session.quota.spend_change(&self.server.config.limits, Instant::now())
    }

    /// The session's app.
    pub(super) fn app(&self) -> Result<Arc<App>, ApiError> {
        self.server.app_of(&self.session)
    }

    /// The room, which the session must be in.
    pub(super) fn room(&self, room_id: Option<&str>) -> Result<Arc<OpenRoom>, ApiError> {
        require_inside(&self.server, &self.session, room_id)
    }

    pub(super) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ApiError> {
        parse_json(&self.body)
    }
}

/// The room, which this session must be in.
pub(super) fn require_inside(
    server: &Server,
    session: &Session,
    room_id: Option<&str>,
) -> Result<Arc<OpenRoom>, ApiError> {
    let room_id = require_room_id(room_id)?;
    let cell = server.app_of(session)?.room(room_id.as_str())?;
    if session.is_in(room_id.as_str()) == Some(cell.media_key) {
        return Ok(cell);
    }
    let (user, room_id) = (session.user.to_string(), room_id.to_string());
    Err(rooms::Error::NotAMember { user, room_id }.into())
}
