//! A row of the table of what members may ask for (`commands.rs`), and how one is made of a handler.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt as _;
use rooms::Role;
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::asked::{Asked, IntoAnswer};
use crate::error::ApiError;
use crate::server::Server;
use crate::session::Session;

/// A command's answer, by and by.
pub(super) type Later = Pin<Box<dyn Future<Output = Result<String, ApiError>> + Send>>;

/// What is answered without waiting for anything, by the body.
type AtOnce = fn(&Arc<Server>, &Arc<Session>, &str) -> Result<String, ApiError>;

type Schema = fn(&mut SchemaGenerator) -> Value;

/// Who may call a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// A connection that has not logged in.
    Nobody,
    /// Whoever has logged in.
    Anyone,
    /// Who is this at least in the room that is named.
    InRoom(Role),
}

impl Who {
    /// As the documents say it.
    pub(super) const fn about(self) -> &'static str {
        match self {
            Self::Nobody => "who has not logged in",
            Self::Anyone => "everyone",
            Self::InRoom(Role::Member) => "members of the room",
            Self::InRoom(Role::Admin) => "the owner and administrators of the room",
            Self::InRoom(Role::Owner) => "the owner of the room",
        }
    }
}

/// How a command is carried out.
pub(super) enum Run {
    /// It is the first of a connection, and was carried out.
    First,
    Now(AtOnce),
    Begun(Box<dyn Fn(Asked) -> Begun + Send + Sync>),
}

/// What has become of a command that may have to wait for something.
pub(super) enum Begun {
    Done(Result<String, ApiError>),
    Waits(Later),
}

/// A row of the table.
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) who: Who,
    /// What it does, in a line.
    pub(super) about: &'static str,
    pub(super) run: Run,
    pub(super) request: Schema,
    pub(super) answer: Schema,
}

/// Parses, and hands over to the handler, an async function of what was [`Asked`] and its request.
async fn parsed<Q, R, F>(handler: fn(Asked, Q) -> F, asked: Asked) -> Result<String, ApiError>
where
    Q: DeserializeOwned + Send,
    R: IntoAnswer,
    F: Future<Output = Result<R, ApiError>> + Send,
{
    let request = asked.parse()?;
    handler(asked, request).await.map(IntoAnswer::json)
}

/// Makes a row of a command that goes on to its end even when the connection is lost.
pub(super) fn row<Q, R, F>(
    name: &'static str,
    who: Who,
    about: &'static str,
    handler: fn(Asked, Q) -> F,
) -> Command
where
    Q: DeserializeOwned + JsonSchema + Send + 'static,
    R: IntoAnswer + Send + 'static,
    F: Future<Output = Result<R, ApiError>> + Send + 'static,
{
    let run = Run::Begun(Box::new(move |asked| Begun::Waits(later(Box::pin(parsed(handler, asked))))));
    Command { name, who, about, run, request: of::<Q>, answer: R::schema }
}

/// The same of a command that seldom waits: it begins here and now.
pub(super) fn at_once<Q, R, F>(
    name: &'static str,
    who: Who,
    about: &'static str,
    handler: fn(Asked, Q) -> F,
) -> Command
where
    Q: DeserializeOwned + JsonSchema + Send + 'static,
    R: IntoAnswer + Send + 'static,
    F: Future<Output = Result<R, ApiError>> + Send + 'static,
{
    let run = Run::Begun(Box::new(move |asked| {
        let mut work: Later = Box::pin(parsed(handler, asked));
        match (&mut work).now_or_never() {
            Some(result) => Begun::Done(result),
            None => Begun::Waits(later(work)),
        }
    }));
    Command { name, who, about, run, request: of::<Q>, answer: R::schema }
}

/// Begins work that goes on to its end, even when nobody waits for it any more.
pub(super) fn later(work: Later) -> Later {
    let work = tokio::spawn(work);
    Box::pin(async move { work.await.unwrap_or_else(|error| Err(ApiError::internal(error))) })
}

pub(super) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}
