//! What a member may ask for, in the REST API's vocabulary: one function a command, each parse, apply, answer.

use std::collections::HashMap;
use std::sync::Arc;

use rooms::{SdkAppId, UserId};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::connection::Member;
use crate::clock;
use crate::error::ApiError;
use crate::hub::Hub;
use crate::metrics::record_gateway;
use crate::rest::{self, ListRequest, parse_json, require_room_id};
use crate::session::{Closer, OUTBOX_FRAMES, ResumeToken, Session};
use crate::wire;

/// An answer's text.
pub(super) struct Reply(pub(super) String);

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
            parse_json(text).map_err(|error| (0, ApiError::new(60003, error.message)))?;
        let id = envelope.id.as_ref().and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        let id = id.ok_or_else(|| (0, ApiError::new(60003, "id is missing or no u32")))?;
        let Some(Value::String(command)) = envelope.command else {
            return Err((id, ApiError::new(60003, "command is missing or no string")));
        };
        let body = envelope.body.map_or("{}", RawValue::get);
        if !body.starts_with('{') {
            return Err((id, ApiError::new(60003, "body is not a JSON object")));
        }
        Ok(Self { id, command, body })
    }
}

fn reply(id: u32, command: &'static str, result: Result<String, ApiError>) -> String {
    record_gateway(command, result.as_ref().map_or_else(|error| error.code, |_| 0));
    match result {
        Ok(response) => format!(r#"{{"id":{id},"ErrorCode":0,"ErrorInfo":"","Response":{response}}}"#),
        Err(error) => {
            let message = wire::quoted(&error.message);
            format!(r#"{{"id":{id},"ErrorCode":{},"ErrorInfo":{message}}}"#, error.code)
        }
    }
}

/// Answers a frame of a connection that has not logged in yet; with the member, once it has.
pub(super) async fn log_in(hub: &Arc<Hub>, text: &str, closer: &Arc<Closer>) -> (String, Option<Member>) {
    let request = match Request::parse(text) {
        Ok(request) => request,
        Err((id, error)) => return (reply(id, "?", Err(error)), None),
    };
    if request.command != "login" {
        let error = ApiError::new(60004, "log in first: the command login is expected");
        return (reply(request.id, "?", Err(error)), None);
    }
    match begin(hub, request.body, closer).await {
        Err(error) => (reply(request.id, "login", Err(error)), None),
        Ok((member, token)) => {
            let response = format!(
                r#"{{"SessionId":"{:016x}","ResumeToken":"{}","ServerTime":{},"PingInterval":{}}}"#,
                member.session.id.0,
                token.text,
                clock::now().unix_millis(),
                hub.config.presence.ping_interval.as_millis()
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

async fn begin(hub: &Arc<Hub>, body: &str, closer: &Arc<Closer>) -> Result<(Member, ResumeToken), ApiError> {
    let login: Login = parse_json(body)?;
    let internal = |error: getrandom::Error| ApiError::new(ApiError::INTERNAL, error.to_string());
    let (session, token) = match &login.resume_token {
        Some(token) => {
            let resumable = |session: &Session| {
                login.user_id.as_deref().is_none_or(|user| user == session.user.as_str())
                    && login.sdk_app_id.as_ref().is_none_or(|app| read_app(app) == Some(session.app.id))
            };
            hub.sessions.resume(token, resumable).map_err(internal)?.ok_or_else(|| {
                let trouble = "ResumeToken is unknown, used already, of another user, or its session has ended; \
                               log in with a UserSig";
                ApiError::new(70003, trouble)
            })?
        }
        None => {
            let app = login.sdk_app_id.as_ref().ok_or_else(|| ApiError::new(60012, "SdkAppId is missing"))?;
            let app = read_app(app).ok_or_else(|| ApiError::new(60006, "SdkAppId is no SDKAppID (a u32)"))?;
            let user = login.user_id.as_deref().ok_or_else(|| ApiError::new(60004, "UserId is missing"))?;
            let app = rest::require_app(hub, app)?;
            let user = UserId::parse(user)?;
            app.credentials().verify(user.as_str(), login.user_sig.as_deref().unwrap_or_default())?;
            hub.import_if_new(&app, &user).await?;
            hub.sessions.begin(app, user).map_err(internal)?
        }
    };
    // Whatever a resuming member missed fits its queue, for it is drained only after this.
    let (sender, outbox) =
        mpsc::channel(OUTBOX_FRAMES + session.rooms().len().saturating_mul(rooms::RECENT_MESSAGES));
    let generation = session.attach(sender, closer.clone(), &login.seen);
    hub.journal.session(session.id);
    Ok((Member { session, generation, outbox }, token))
}

/// A number, or its digits as a string.
fn read_app(value: &Value) -> Option<SdkAppId> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u32::try_from(number).ok().map(SdkAppId)
}

/// Answers a frame of a member.
pub(super) fn answer(hub: &Arc<Hub>, session: &Arc<Session>, text: &str) -> Reply {
    let request = match Request::parse(text) {
        Ok(request) => request,
        Err((id, error)) => return Reply(reply(id, "?", Err(error))),
    };
    let (command, result) = match request.command.as_str() {
        "enter_room" => ("enter_room", enter_room(hub, session, request.body)),
        "leave_room" => ("leave_room", leave_room(hub, session, request.body)),
        "get_member_list" => ("get_member_list", get_member_list(hub, session, request.body)),
        "send_text_msg" => ("send_text_msg", send_text_msg(hub, session, request.body)),
        "login" => ("login", Err(ApiError::invalid("login", "was done already on this connection"))),
        other => ("?", Err(ApiError::new(60009, format!("there is no command {other:?}")))),
    };
    Reply(reply(request.id, command, result))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoomRequest {
    room_id: Option<String>,
}

fn enter_room(hub: &Arc<Hub>, session: &Arc<Session>, body: &str) -> Result<String, ApiError> {
    let request: RoomRequest = parse_json(body)?;
    let room_id = require_room_id(request.room_id.as_deref())?;
    let cell = session.app.room(room_id.as_str())?;
    let welcome = cell.enter(session, hub.config.member_list.cap, clock::now())?;
    if welcome.is_new {
        hub.note(session.id, &cell);
    }
    Ok(welcome.json)
}

fn leave_room(hub: &Arc<Hub>, session: &Arc<Session>, body: &str) -> Result<String, ApiError> {
    let request: RoomRequest = parse_json(body)?;
    let cell = require_inside(session, request.room_id.as_deref())?;
    hub.leave_room(session, &cell, rooms::LeaveCause::Leave)?;
    Ok("{}".into())
}

fn get_member_list(hub: &Arc<Hub>, session: &Arc<Session>, body: &str) -> Result<String, ApiError> {
    let request: ListRequest = parse_json(body)?;
    let cell = require_inside(session, request.room_id.as_deref())?;
    let page = cell.page(request.next.as_deref().unwrap_or_default(), hub.config.member_list.cap)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TextRequest {
    room_id: Option<String>,
    text: Option<String>,
}

fn send_text_msg(hub: &Arc<Hub>, session: &Arc<Session>, body: &str) -> Result<String, ApiError> {
    let request: TextRequest = parse_json(body)?;
    let text = request.text.ok_or_else(|| ApiError::invalid("Text", "is missing"))?;
    let cell = require_inside(session, request.room_id.as_deref())?;
    let message = cell.send_text(&session.user, &text, clock::now())?;
    hub.journal.room(cell.app, &cell.room_id);
    Ok(format!(r#"{{"MsgId":{},"Seq":{}}}"#, wire::quoted(&message.id), message.seq))
}

/// The room, which this session must be in.
fn require_inside(
    session: &Session,
    room_id: Option<&str>,
) -> Result<Arc<crate::room_cell::RoomCell>, ApiError> {
    let room_id = require_room_id(room_id)?;
    if let Some(cell) = session.room(room_id.as_str()) {
        return Ok(cell);
    }
    session.app.room(room_id.as_str())?;
    let (user, room_id) = (session.user.to_string(), room_id.to_string());
    Err(rooms::Error::NotAMember { user, room_id }.into())
}
