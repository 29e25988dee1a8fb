//! The REST API: `POST /v4/<service>/<command>`. One way through for every command: the table, the URL, the UserSig,
//! the administrator, the call frequency, the body, the command, the envelope. HTTP 200 whatever the answer.

mod accounts;
mod answer;
mod battles;
mod body;
mod by;
mod commands;
mod conference;
mod gifts;
mod integers;
mod members;
mod messages;
mod metadata;
mod moderation;
mod openapi;
mod query;
mod robots;
mod rooms;
mod seats;

use std::sync::Arc;
use std::time::Instant;

use ::rooms::{SdkAppId, UserId};
use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};

use answer::Answer;
pub(crate) use answer::{Body, RequestId};
pub(crate) use battles::{CreateRequest as CreateBattle, Created as BattleCreated};
pub(crate) use body::{
    Shares, Trouble as BodyTrouble, Whole as WholeBody, drop_rest, extent, parse as parse_json,
    read as read_body, require_json_object,
};
use commands::COMMANDS;
use commands::Command;
pub(crate) use commands::{MemberCommand, for_members, frequencies, names, of_members};
pub(crate) use integers::integer;
pub(crate) use members::ListRequest;
pub(crate) use messages::Elements;
pub(crate) use openapi::document as openapi;
pub(crate) use rooms::require_room_id;
pub(crate) use seats::read_index;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::metrics::Metrics;
use crate::server::Server;
use crate::session::Session;
use crate::tenant::{Authorised, Credentials};
use hall::By;
use query::Query;

/// What a command's handler is given: everything up to the body has been checked.
///
/// What a caller may do is checked where it is done: by [`Call::read`] and [`Call::change`], on the room that the handler
/// has read from the body, under the same lock.
pub(crate) struct Call {
    pub(crate) server: Arc<Server>,
    pub(crate) app: Arc<App>,
    /// Who calls.
    pub(crate) caller: UserId,
    by: By,
    body: WholeBody,
    /// A change is waited for where what has authorised it is taken away. What only looks is not, nor is a member's call, whose right is
    /// its room's.
    _authorised: Option<Authorised>,
}

/// Answers one request to `/v4/...`.
pub(crate) async fn handle<B>(server: &Arc<Server>, metrics: &Metrics, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let started = Instant::now();
    let request_id = answer::RequestId::next();
    let (index, result) = serve(server, request, started).await;
    let code = result.as_ref().map_or_else(|error| error.code.number(), |_| 0);
    metrics.record(index, code, started.elapsed());
    let command = index.and_then(|index| COMMANDS.get(index)).map_or("?", |command| command.name);
    match &result {
        Ok(_) => tracing::debug!(%request_id, command, "answered"),
        Err(error) if error.code == Code::Internal => {
            tracing::error!(%request_id, command, code, message = %error.message, "failed");
        }
        Err(error) => {
            tracing::info!(%request_id, command, code, message = %error.message, "refused")
        }
    }
    answer::envelope(&request_id, result)
}

/// What is answered where nobody has looked at the request.
pub(crate) fn refusal(error: ApiError) -> Response<Body> {
    answer::envelope(&answer::RequestId::next(), Err(error))
}

async fn serve<B>(
    server: &Arc<Server>,
    request: Request<B>,
    now: Instant,
) -> (Option<usize>, Result<Answer, ApiError>)
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let (head, mut body) = request.into_parts();
    let index = commands::find(head.uri.path());
    let (command, Admitted { app, caller, mut authorised }) = match admit(server, &head, index, now) {
        Ok(admitted) => admitted,
        Err(error) => {
            // So that the connection can serve the next request.
            body::drop_rest(&mut body).await;
            return (index, Err(error));
        }
    };
    let answer = async {
        let body = body::read_command(body, server, &app).await?;
        if body.is_late {
            // Who was an administrator when the head came may be none any more.
            authorised =
                authorise(server, head.uri.query().unwrap_or_default(), command.is_change)?.authorised;
        }
        require_json_object(&body.bytes)?;
        let (by, _authorised) = (By::App(caller.as_str().into()), authorised);
        let call = Call { server: server.clone(), app, caller, by, body, _authorised };
        let answered = (command.run)(call).await;
        answered.map_err(|error| ApiError { code: command.code_of(error.code), ..error })
    };
    (index, answer.await)
}

fn called_too_often(command: &Command) -> ApiError {
    let message = format!("{} is called too often for this app; slow down and retry", command.name);
    ApiError::new(command.too_often(), message)
}

/// Which command is called, and by whom, if it may be: all that can be said before there is a body.
fn admit(
    server: &Server,
    head: &Parts,
    index: Option<usize>,
    now: Instant,
) -> Result<(&'static Command, Admitted), ApiError> {
    if head.method != Method::POST {
        let message = format!("the method is {}; every command is called with POST", head.method);
        return Err(ApiError::new(Code::RequestMalformed, message));
    }
    let (index, command) = index.and_then(|index| Some((index, COMMANDS.get(index)?))).ok_or_else(|| {
        let message = format!("there is no command at {}; check the URL", head.uri.path());
        ApiError::new(Code::NoSuchCommand, message)
    })?;
    let admitted = authorise(server, head.uri.query().unwrap_or_default(), command.is_change)?;
    if !admitted.app.limits.accept(index, now) {
        return Err(called_too_often(command));
    }
    if server.is_draining() {
        let message = "the server is shutting down; retry on another connection";
        return Err(ApiError::new(Code::Internal, message));
    }
    Ok((command, admitted))
}

/// Runs a command for a member. Which row of the table it is depends on the room's type, which the command itself looks at.
pub(crate) async fn run_for_member(
    called: &MemberCommand,
    server: Arc<Server>,
    session: Arc<Session>,
    body: String,
) -> Result<String, ApiError> {
    let body = Bytes::from(body);
    let mut is_counted = false;
    let mut refused = ApiError::new(Code::WrongRoomType, "this command is not for rooms of this type");
    for index in &called.rows {
        let Some(command) = COMMANDS.get(*index) else { continue };
        if command.is_change && !is_counted {
            is_counted = true;
            session.quota.spend_change(&server.config.limits, Instant::now())?;
            if !session.app.member_limits.accept(*index, Instant::now()) {
                return Err(called_too_often(command));
            }
        }
        let (app, caller) = (server.app_of(&session)?, session.user.clone());
        let by = session.as_at_least(called.least);
        let (server, body, _authorised) = (server.clone(), body.clone().into(), None);
        match (command.run)(Call { server, app, caller, by, body, _authorised }).await {
            Err(error) if error.is_for_other_type => refused = error,
            result => return result.map(Answer::into_member_json),
        }
    }
    Err(refused)
}

/// Who may call.
struct Admitted {
    app: Arc<App>,
    caller: UserId,
    authorised: Option<Authorised>,
}

/// Who calls: an administrator of an app, by a UserSig of its own.
fn authorise(server: &Server, query: &str, is_change: bool) -> Result<Admitted, ApiError> {
    let query = Query::parse(query)?;
    let app_id = match query.sdkappid.as_deref() {
        None | Some("") => return Err(ApiError::new(Code::AppIdMissing, "sdkappid is missing in the URL")),
        Some(text) => text
            .parse()
            .map(SdkAppId)
            .map_err(|_| ApiError::new(Code::AppIdMalformed, "sdkappid in the URL is no SDKAppID (a u32)"))?,
    };
    let identifier = match query.identifier.as_deref() {
        None | Some("") => return Err(ApiError::new(Code::NoAccount, "identifier is missing in the URL")),
        Some(text) => UserId::parse_field("identifier", text)
            .map_err(|error| ApiError::new(Code::NoAccount, error.to_string()))?,
    };
    if query.contenttype.as_deref().is_some_and(|form| form != "json") {
        return Err(ApiError::new(Code::UrlMalformed, "contenttype in the URL must be json"));
    }
    let app = require_app(server, app_id)?;
    let authorised = is_change.then(|| app.begin_call());
    let credentials = app.credentials();
    credentials.verify(identifier.as_str(), query.usersig.as_deref().unwrap_or_default())?;
    require_admin(&credentials, &identifier)?;
    Ok(Admitted { app, caller: identifier, authorised })
}

pub(crate) fn require_app(server: &Server, app: SdkAppId) -> Result<Arc<App>, ApiError> {
    server.app(app).ok_or_else(|| {
        let message = format!("SDKAppID {app} does not exist on this server; see `roomful app list`");
        ApiError::new(Code::AppNotFound, message)
    })
}

fn require_admin(credentials: &Credentials, user: &UserId) -> Result<(), ApiError> {
    if credentials.is_admin(user.as_str()) {
        return Ok(());
    }
    let message = format!("{user} is no administrator of this app; REST calls need one");
    Err(ApiError::new(Code::NotAnAdmin, message))
}
