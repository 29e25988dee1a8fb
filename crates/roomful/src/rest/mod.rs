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
mod look;
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

use ::rooms::{SdkAppId, Time, UserId};
use bytes::Bytes;
use hyper::{Method, Request, Response};

use answer::Answer;
pub(crate) use answer::{Body, RequestId, response};
pub(crate) use battles::{CreateRequest as CreateBattle, Created as BattleCreated};
pub(crate) use body::{
    Shares, Trouble as BodyTrouble, Whole as WholeBody, drop_rest, extent, parse as parse_json,
    read as read_body, require_json_object,
};
use commands::{COMMANDS, Command, Run};
pub(crate) use commands::{MemberCommand, for_members, frequencies, names, of_members};
pub(crate) use integers::integer;
pub(crate) use look::{LONGEST_LOOK, Question, is_look, look, tell};
pub(crate) use members::ListRequest;
pub(crate) use messages::Elements;
pub(crate) use openapi::document as openapi;
pub(crate) use rooms::require_room_id;
pub(crate) use seats::read_index;

use crate::again;
use crate::app::App;
use crate::clock;
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

/// A call as it comes in.
pub(crate) struct Asked<'a, B> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) body: B,
    pub(crate) started: Instant,
}

/// Answers one request to `/v4/...`.
pub(crate) async fn handle<B>(server: &Arc<Server>, metrics: &Metrics, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let (head, body) = request.into_parts();
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    let asked = Asked { method: &head.method, path, query, body, started: Instant::now() };
    response(answer(server, metrics, asked, &mut Caller::default()).await)
}

/// Answers one call; `caller` is who called before it on the same connection.
pub(crate) async fn answer<B>(
    server: &Arc<Server>,
    metrics: &Metrics,
    asked: Asked<'_, B>,
    caller: &mut Caller,
) -> Body
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let started = asked.started;
    let request_id = answer::RequestId::next();
    let index = commands::find(asked.path);
    let result = serve(server, asked, index, caller).await;
    note(metrics, &request_id, index, &result, started);
    answer::envelope(&request_id, result)
}

/// Counts what a request has come to, and logs it.
fn note(
    metrics: &Metrics,
    request_id: &RequestId,
    index: Option<usize>,
    result: &Result<Answer, ApiError>,
    started: Instant,
) {
    let code = result.as_ref().map_or_else(|error| error.code.number(), |_| 0);
    metrics.record(index, code, started.elapsed());
    let command = index.and_then(|index| COMMANDS.get(index)).map_or("?", |command| command.name);
    match result {
        Ok(_) => tracing::debug!(%request_id, command, "answered"),
        Err(error) if error.code == Code::Internal => {
            tracing::error!(%request_id, command, code, message = %error.message, "failed");
        }
        Err(error) => {
            tracing::info!(%request_id, command, code, message = %error.message, "refused")
        }
    }
}

/// What is answered where nobody has looked at the request.
pub(crate) fn refusal(error: ApiError) -> Body {
    answer::envelope(&answer::RequestId::next(), Err(error))
}

async fn serve<B>(
    server: &Arc<Server>,
    asked: Asked<'_, B>,
    index: Option<usize>,
    last: &mut Caller,
) -> Result<Answer, ApiError>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let Asked { method, path, query, mut body, started } = asked;
    let admitted = admit(server, (method, path, query), index, last, started);
    let (command, (known, authorised)) = match admitted {
        Ok(admitted) => admitted,
        Err(error) => {
            // So that the connection can serve the next request.
            body::drop_rest(&mut body).await;
            return Err(error);
        }
    };
    let body = body::read_command(body, server, &known.app).await?;
    let (known, _authorised) = match body.is_late {
        true => {
            // Who was an administrator when the head came may be none any more, and by that nothing goes on.
            drop(authorised);
            authorise(server, query, command.is_change, last, clock::now())?
        }
        false => (known, authorised),
    };
    let text = require_json_object(&body.bytes)?;
    let answered = match &command.run {
        Run::Now(look) => look(&known.app, text).map(Answer::Response),
        Run::Later(run) => {
            let (server, app, caller) = (server.clone(), known.app.clone(), known.user.clone());
            let by = By::App(caller.as_str().into());
            run(Call { server, app, caller, by, body, _authorised }).await
        }
    };
    answered.map_err(|error| ApiError { code: command.code_of(error.code), ..error })
}

fn called_too_often(command: &Command) -> ApiError {
    let message = format!("{} is called too often for this app; slow down and retry", command.name);
    ApiError::new(command.too_often(), message)
}

/// Which command is called, and by whom, if it may be: all that can be said before there is a body.
fn admit<'a>(
    server: &Server,
    (method, path, query): (&Method, &str, &str),
    index: Option<usize>,
    last: &'a mut Caller,
    now: Instant,
) -> Result<(&'static Command, Admitted<'a>), ApiError> {
    if method != Method::POST {
        let message = format!("the method is {method}; every command is called with POST");
        return Err(ApiError::new(Code::RequestMalformed, message));
    }
    let (index, command) = index.and_then(|index| Some((index, COMMANDS.get(index)?))).ok_or_else(|| {
        let message = format!("there is no command at {path}; check the URL");
        ApiError::new(Code::NoSuchCommand, message)
    })?;
    let admitted = authorise(server, query, command.is_change, last, clock::at(now))?;
    if !admitted.0.app.limits.accept(index, now) {
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
        let (server, body, _authorised) = (server.clone(), WholeBody::from(body.clone()), None);
        let result = match &command.run {
            Run::Now(look) => look(&app, body.text()).map(Answer::Response),
            Run::Later(run) => run(Call { server, app, caller, by, body, _authorised }).await,
        };
        match result {
            Err(error) if error.is_for_other_type => refused = error,
            result => return result.map(Answer::into_member_json),
        }
    }
    Err(refused)
}

/// Who may call, and by what.
type Admitted<'a> = (&'a Known, Option<Authorised>);

/// Who has called last on a connection, and why that was let in. App servers send one UserSig with all their calls for as long as it
/// holds: for the same query the answer is the same until the UserSig ends, or the app's record (its key, its administrators) is
/// another.
#[derive(Default)]
pub(crate) struct Caller(Option<Known>);

struct Known {
    query: again::Known,
    app: Arc<App>,
    user: UserId,
    /// Of which record it was verified.
    record: u64,
    /// When the UserSig ends.
    end: Time,
}

impl Known {
    fn holds(&self, now: Time) -> bool {
        self.record == self.app.record() && now < self.end
    }
}

/// Who calls: an administrator of an app, by a UserSig of its own.
fn authorise<'a>(
    server: &Server,
    query: &str,
    is_change: bool,
    Caller(last): &'a mut Caller,
    now: Time,
) -> Result<Admitted<'a>, ApiError> {
    let same = last.as_ref().filter(|known| known.query.is(query));
    // Before the record is looked at by which this call is let in: another waits for it.
    let authorised = same.filter(|_| is_change).map(|known| known.app.begin_call());
    if same.is_some_and(|known| known.holds(now)) {
        let known = last.as_ref().ok_or_else(|| ApiError::internal("who is known is not"))?;
        return Ok((known, authorised));
    }
    let text = query;
    let query = Query::parse(text)?;
    let app_id = match query.sdkappid.as_deref() {
        None | Some("") => return Err(ApiError::new(Code::AppIdMissing, "sdkappid is missing in the URL")),
        Some(text) => text
            .parse()
            .map(SdkAppId)
            .map_err(|_| ApiError::new(Code::AppIdMalformed, "sdkappid in the URL is no SDKAppID (a u32)"))?,
    };
    let sig = query.usersig.as_deref().unwrap_or_default();
    let identifier = match query.identifier.as_deref() {
        None | Some("") => return Err(ApiError::new(Code::NoAccount, "identifier is missing in the URL")),
        Some(text) => text,
    };
    let user = UserId::parse_field("identifier", identifier)
        .map_err(|error| ApiError::new(Code::NoAccount, error.to_string()))?;
    if query.contenttype.as_deref().is_some_and(|form| form != "json") {
        return Err(ApiError::new(Code::UrlMalformed, "contenttype in the URL must be json"));
    }
    let app = require_app(server, app_id)?;
    let authorised = is_change.then(|| app.begin_call());
    // What is kept of the record is of no newer one than this.
    let record = app.record();
    let credentials = app.credentials();
    let end = credentials.verify(user.as_str(), sig)?;
    require_admin(&credentials, &user)?;
    let known = Known { query: again::Known::new(text.as_bytes(), 0), app, user, record, end };
    Ok((&*last.insert(known), authorised))
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
