//! What a member may ask for, in the REST API's vocabulary: one function a command, each parse, apply, answer.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use rooms::{SdkAppId, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::asked::{Asked, require_inside};
use super::member::Member;
use super::{media, seats, speak, stage};
use crate::clock;
use crate::error::{ApiError, Code};
use crate::metrics::record_gateway;
use crate::rest::{self, ListRequest, MemberCommand, parse_json, require_room_id};
use crate::server::Server;
use crate::session::{Closer, OUTBOX_FRAMES, ResumeToken, Session};
use crate::wire;

/// An answer: at once, or when something else has been waited for (the disk, a webhook).
pub(super) enum Reply {
    Now(Answered),
    Later(Answering),
}

/// A frame's text.
pub(super) struct Answered {
    pub(super) text: String,
    /// The client asks too often: its next command is to be read a moment later.
    pub(super) is_too_often: bool,
}

/// An answer, by and by.
pub(super) type Answering = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// A client's frame: `{"id": 7, "command": "enter_room", "body": {..}}`.
#[derive(Deserialize)]
struct Envelope<'a> {
    id: Option<Value>,
    command: Option<Value>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

/// A frame that could be read.
struct Request<'a> {
    id: u32,
    command: String,
    body: &'a str,
}

impl<'a> Request<'a> {
    /// # Errors
    /// The `id` to answer with (0 when there is none), and what is wrong.
    fn parse(text: &'a str) -> Result<Self, (u32, ApiError)> {
        rest::require_json_object(text.as_bytes()).map_err(|error| (0, error))?;
        let envelope: Envelope<'a> =
            parse_json(text).map_err(|error| (0, ApiError::new(Code::JsonMalformed, error.message)))?;
        let id = envelope.id.as_ref().and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        let id = id.ok_or_else(|| (0, ApiError::new(Code::JsonMalformed, "id is missing or no u32")))?;
        let Some(Value::String(command)) = envelope.command else {
            return Err((id, ApiError::new(Code::JsonMalformed, "command is missing or no string")));
        };
        let body = envelope.body.map_or("{}", RawValue::get);
        if !body.starts_with('{') {
            return Err((id, ApiError::new(Code::JsonMalformed, "body is not a JSON object")));
        }
        Ok(Self { id, command, body })
    }
}

fn reply(id: u32, command: &'static str, result: Result<String, ApiError>) -> Answered {
    record_gateway(command, result.as_ref().map_or_else(|error| error.code.number(), |_| 0));
    let is_too_often = matches!(&result, Err(error) if error.code == Code::TooOften);
    let text = match result {
        Ok(response) => format!(r#"{{"id":{id},"ErrorCode":0,"ErrorInfo":"","Response":{response}}}"#),
        Err(error) => {
            let message = wire::quoted(&error.message);
            format!(r#"{{"id":{id},"ErrorCode":{},"ErrorInfo":{message}}}"#, error.code)
        }
    };
    Answered { text, is_too_often }
}

/// Answers a frame of a connection that has not logged in yet; with the member, once it has.
pub(super) async fn log_in(
    server: &Arc<Server>,
    text: &str,
    closer: &Arc<Closer>,
) -> (Answered, Option<Member>) {
    let request = match Request::parse(text) {
        Ok(request) => request,
        Err((id, error)) => return (reply(id, "?", Err(error)), None),
    };
    if request.command != "login" {
        let error = ApiError::new(Code::NoAccount, "log in first: the command login is expected");
        return (reply(request.id, "?", Err(error)), None);
    }
    match begin(server, request.body, closer).await {
        Err(error) => (reply(request.id, "login", Err(error)), None),
        Ok((member, token)) => {
            let rooms = member.session.rooms();
            let rooms: Vec<&str> = rooms.iter().map(|room| room.room_id.as_str()).collect();
            let response = format!(
                r#"{{"SessionId":"{:016x}","ResumeToken":"{}","ServerTime":{},"PingInterval":{},"ServerId":"{}","Rooms":{}}}"#,
                member.session.id.0,
                token.text,
                clock::now().unix_millis(),
                server.config.presence.ping_interval.as_millis(),
                server.live.server_id,
                json!(rooms),
            );
            (reply(request.id, "login", Ok(response)), Some(member))
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Login {
    sdk_app_id: Option<Value>,
    user_id: Option<String>,
    user_sig: Option<String>,
    resume_token: Option<String>,
    /// On resuming, the last message the client has of each room.
    #[serde(default)]
    seen: HashMap<String, u64>,
}

async fn begin(
    server: &Arc<Server>,
    body: &str,
    closer: &Arc<Closer>,
) -> Result<(Member, ResumeToken), ApiError> {
    let login: Login = parse_json(body)?;
    // A session is journalled whenever it begins or comes back.
    let (session, token) = match &login.resume_token {
        Some(token) => {
            let mut refused = None;
            let resumable = |session: &Session| {
                let spent = session.quota.spend_command(&server.config.limits, body.len(), Instant::now());
                refused = spent.and_then(|()| server.require_store(&session.app)).err();
                refused.is_none()
                    && clock::now() < session.valid_until()
                    && login.user_id.as_deref().is_none_or(|user| user == session.user.as_str())
                    && login.sdk_app_id.as_ref().is_none_or(|app| read_app(app) == Some(session.app.id))
            };
            let resumed = server.sessions.resume(token, resumable).map_err(ApiError::internal)?;
            if let Some(refused) = refused {
                return Err(refused);
            }
            resumed.ok_or_else(|| {
                let trouble = "ResumeToken is unknown, used already, of another user, or its session has ended (as it does with its UserSig); \
                               log in with a UserSig";
                ApiError::new(Code::SigInvalid, trouble)
            })?
        }
        None => {
            let app = login
                .sdk_app_id
                .as_ref()
                .ok_or_else(|| ApiError::new(Code::AppIdMissing, "SdkAppId is missing"))?;
            let app = read_app(app)
                .ok_or_else(|| ApiError::new(Code::AppIdMalformed, "SdkAppId is no SDKAppID (a u32)"))?;
            let user = login
                .user_id
                .as_deref()
                .ok_or_else(|| ApiError::new(Code::NoAccount, "UserId is missing"))?;
            let app = rest::require_app(server, app)?;
            let user = UserId::parse(user)?;
            let sig = login.user_sig.as_deref().unwrap_or_default();
            let credentials = app.credentials();
            let valid_until = credentials.verify(user.as_str(), sig)?;
            let quota = app.quotas.of(&user, &server.config.limits);
            quota.spend_command(&server.config.limits, body.len(), Instant::now())?;
            server.require_store(&app)?;
            server.import_if_new(&app, &user).await?;
            let begun = server.begin_session(&app, &user, valid_until)?;
            // The key may have been changed meanwhile, and all its sessions ended, but for this one.
            if !Arc::ptr_eq(&credentials, &app.credentials())
                && let Err(error) = app.credentials().verify(user.as_str(), sig)
            {
                server.end_session(&begun.0, rooms::LeaveCause::Kicked);
                return Err(error.into());
            }
            begun
        }
    };
    // Whatever a resuming member missed fits its queue, for it is drained only after this.
    let (sender, outbox) =
        mpsc::channel(OUTBOX_FRAMES + session.rooms().len().saturating_mul(rooms::RECENT_MESSAGES));
    let generation = server.attach(&session, sender, closer.clone(), &login.seen);
    match login.resume_token {
        Some(_) => server.note_session(&session),
        None => server.note_new_session(&session),
    }
    Ok((Member { session, generation, outbox }, token))
}

fn read_app(value: &Value) -> Option<SdkAppId> {
    rest::integer(value).map(SdkAppId)
}

/// A member's command that waits for something.
type Later = Pin<Box<dyn Future<Output = Result<String, ApiError>> + Send>>;

/// Makes a command's future one that goes on to its end even when the connection is lost.
fn later<F, A>(work: impl FnOnce(A) -> F, asked: A) -> Later
where
    F: Future<Output = Result<String, ApiError>> + Send + 'static,
{
    let work = tokio::spawn(work(asked));
    Box::pin(async move { work.await.unwrap_or_else(|error| Err(ApiError::internal(error))) })
}

/// The same for what is seldom waited for: it begins here and now.
fn at_once<F>(work: impl FnOnce(Asked) -> F, asked: Asked) -> Later
where
    F: Future<Output = Result<String, ApiError>> + Send + 'static,
{
    let mut work: Later = Box::pin(work(asked));
    match (&mut work).now_or_never() {
        Some(result) => Box::pin(std::future::ready(result)),
        None => later(|()| work, ()),
    }
}

/// Answers a frame of a member.
pub(super) fn answer(server: &Arc<Server>, session: &Arc<Session>, text: &str) -> Reply {
    let request = Request::parse(text);
    let id = match &request {
        Ok(request) => request.id,
        Err((id, _)) => *id,
    };
    // What cannot be read costs its user as much.
    if let Err(error) = session.quota.spend_command(&server.config.limits, text.len(), Instant::now()) {
        return Reply::Now(reply(id, "?", Err(error)));
    }
    let request = match request {
        Ok(request) => request,
        Err((id, error)) => return Reply::Now(reply(id, "?", Err(error))),
    };
    let now = |command, result| Reply::Now(reply(id, command, result));
    match request.command.as_str() {
        "get_member_list" => return now("get_member_list", get_member_list(server, session, request.body)),
        "login" => {
            return now("login", Err(ApiError::invalid("login", "was done already on this connection")));
        }
        _ => {}
    }
    let asked = Asked { server: server.clone(), session: session.clone(), body: request.body.into() };
    let (command, work) = match request.command.as_str() {
        "enter_room" => ("enter_room", at_once(enter_room, asked)),
        "leave_room" => ("leave_room", at_once(leave_room, asked)),
        "send_text_msg" => ("send_text_msg", later(speak::send_text_msg, asked)),
        "send_custom_msg" => ("send_custom_msg", later(speak::send_custom_msg, asked)),
        "send_group_msg" => ("send_group_msg", later(speak::send_group_msg, asked)),
        "send_like" => ("send_like", later(speak::send_like, asked)),
        "send_gift" => ("send_gift", later(speak::send_gift, asked)),
        "take_seat" => ("take_seat", later(seats::take_seat, asked)),
        "leave_seat" => ("leave_seat", later(seats::leave_seat, asked)),
        "move_to_seat" => ("move_to_seat", later(seats::move_to_seat, asked)),
        "apply_for_seat" => ("apply_for_seat", later(seats::apply_for_seat, asked)),
        "invite_to_seat" => ("invite_to_seat", later(seats::invite_to_seat, asked)),
        "accept_seat_request" => ("accept_seat_request", later(seats::accept_seat_request, asked)),
        "reject_seat_request" => ("reject_seat_request", later(seats::reject_seat_request, asked)),
        "cancel_seat_request" => ("cancel_seat_request", later(seats::cancel_seat_request, asked)),
        "get_seat_applications" => ("get_seat_applications", later(seats::get_seat_applications, asked)),
        "request_connection" => ("request_connection", later(stage::request_connection, asked)),
        "accept_connection" => ("accept_connection", later(stage::accept_connection, asked)),
        "reject_connection" => ("reject_connection", later(stage::reject_connection, asked)),
        "cancel_connection" => ("cancel_connection", later(stage::cancel_connection, asked)),
        "leave_connection" => ("leave_connection", later(stage::leave_connection, asked)),
        "get_connected_rooms" => ("get_connected_rooms", later(stage::get_connected_rooms, asked)),
        "request_battle" => ("request_battle", later(stage::request_battle, asked)),
        "accept_battle" => ("accept_battle", later(stage::accept_battle, asked)),
        "reject_battle" => ("reject_battle", later(stage::reject_battle, asked)),
        "exit_battle" => ("exit_battle", later(stage::exit_battle, asked)),
        "get_media_config" => ("get_media_config", later(media::get_media_config, asked)),
        "publish" => ("publish", later(media::publish, asked)),
        "unpublish" => ("unpublish", later(media::unpublish, asked)),
        "watch" => ("watch", later(media::watch, asked)),
        "update_watch" => ("update_watch", later(media::update_watch, asked)),
        "unwatch" => ("unwatch", later(media::unwatch, asked)),
        "mute_stream" => ("mute_stream", later(media::mute_stream, asked)),
        "close_device" => ("close_device", later(media::close_device, asked)),
        "open_device" => ("open_device", later(media::open_device, asked)),
        "send_data" => ("send_data", later(media::send_data, asked)),
        "renew_user_sig" => ("renew_user_sig", later(renew_user_sig, asked)),
        other => match rest::for_members(other) {
            Some(called) => (called.name, later(move |asked| shared(called, asked), asked)),
            None => {
                return now(
                    "?",
                    Err(ApiError::new(Code::NoSuchCommand, format!("there is no command {other:?}"))),
                );
            }
        },
    };
    Reply::Later(Box::pin(async move { reply(id, command, work.await) }))
}

/// A command that is the REST API's own: the same body, the same answer, and the right to call it by what the member is in the
/// room. Who makes a room owns it.
async fn shared(called: &'static MemberCommand, asked: Asked) -> Result<String, ApiError> {
    let Asked { server, session, body } = asked;
    if called.name == "create_room" && !server.config.media.members_may_create_rooms {
        let trouble =
            "not allowed: rooms are created by the app's server (media.members_may_create_rooms is off)";
        return Err(ApiError::new(Code::NotAllowed, trouble));
    }
    rest::run_for_member(called, server, session, body).await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoomRequest {
    room_id: Option<String>,
    /// To enter.
    password: Option<String>,
}

async fn enter_room(asked: Asked) -> Result<String, ApiError> {
    let request: RoomRequest = asked.parse()?;
    let room_id = require_room_id(request.room_id.as_deref())?;
    let cell = asked.app()?.room(room_id.as_str())?;
    let (server, session) = (&asked.server, &asked.session);
    let entered = server.enter_room(session, &cell, request.password).await;
    entered.map(|welcome| welcome.json).inspect_err(|error| {
        if error.code == Code::WrongPassword {
            session.quota.spend_guess(&server.config.limits, Instant::now());
        }
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RenewRequest {
    user_sig: Option<String>,
}

/// A session goes on beyond the UserSig that it began with.
async fn renew_user_sig(asked: Asked) -> Result<String, ApiError> {
    let request: RenewRequest = asked.parse()?;
    let session = &asked.session;
    let sig = request.user_sig.ok_or_else(|| ApiError::invalid("UserSig", "is missing"))?;
    let valid_until = session.app.credentials().verify(session.user.as_str(), &sig)?;
    session.renew(valid_until);
    asked.server.note_session(session);
    Ok(json!({"ExpireTime": valid_until.unix_seconds()}).to_string())
}

async fn leave_room(asked: Asked) -> Result<String, ApiError> {
    let request: RoomRequest = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    asked.server.leave_room(&asked.session, &cell, rooms::LeaveCause::Leave).await?;
    Ok("{}".into())
}

fn get_member_list(server: &Arc<Server>, session: &Arc<Session>, body: &str) -> Result<String, ApiError> {
    let request: ListRequest = parse_json(body)?;
    let cell = require_inside(server, session, request.room_id.as_deref())?;
    let page = cell.page(None, request.next.as_deref().unwrap_or_default())?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
