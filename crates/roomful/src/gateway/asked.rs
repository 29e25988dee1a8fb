//! What a member's command is given, how it comes to its room, and what it answers.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

use hall::session::LinkId;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::error::ApiError;
use crate::events::to_json;
use crate::halls::OpenRoom;
use crate::rest::{parse_json, require_room_id};
use crate::server::Server;
use crate::session::Session;

/// What a command is given.
pub(super) struct Asked {
    pub(super) server: Arc<Server>,
    pub(super) session: Arc<Session>,
    /// By which of the session's connections it came.
    pub(super) link: LinkId,
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
    if session.is_in(&cell.incarnation()) {
        return Ok(cell);
    }
    let (user, room_id) = (session.user.to_string(), room_id.to_string());
    Err(rooms::Error::NotAMember { user, room_id }.into())
}

/// A request that names a room, and nothing else.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InRoom {
    #[schemars(required)]
    pub(super) room_id: Option<String>,
}

/// A request that has nothing to say.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Nothing {}

/// Nothing to answer but that it is done.
#[derive(Serialize, JsonSchema)]
pub(super) struct Done {}

/// What a command answers: how it is written, and its shape for the documents.
pub(super) trait IntoAnswer {
    fn json(self) -> String;
    fn schema(generator: &mut SchemaGenerator) -> Value;
}

impl<T: Serialize + JsonSchema> IntoAnswer for T {
    fn json(self) -> String {
        to_json(&self)
    }

    fn schema(generator: &mut SchemaGenerator) -> Value {
        generator.subschema_for::<T>().to_value()
    }
}

/// An answer that is JSON already, of the shape of `T`.
pub(super) struct Rendered<T>(String, PhantomData<fn() -> T>);

impl<T> Rendered<T> {
    pub(super) fn new(json: String) -> Self {
        Self(json, PhantomData)
    }
}

impl<T: JsonSchema> IntoAnswer for Rendered<T> {
    fn json(self) -> String {
        self.0
    }

    fn schema(generator: &mut SchemaGenerator) -> Value {
        generator.subschema_for::<T>().to_value()
    }
}
