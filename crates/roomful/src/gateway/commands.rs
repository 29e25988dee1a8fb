//! What a member may ask for, in the REST API's vocabulary: the table of it, how a frame is answered by it, and how sessions begin and
//! rooms are entered and left. A command is a row and a handler: a request that is parsed, and an answer.

use std::borrow::Cow;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use hashbrown::HashMap as FastMap;
use rooms::{Client, Role, RoomId, SdkAppId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::asked::{Asked, Done, InRoom, Rendered, require_inside};
use super::member::Member;
use super::table::{Begun, Command, Run, Who, at_once, later, of, row};
use super::{between, media, plain, report, seats, speak};
use crate::clock;
use crate::error::{ApiError, Code};
use crate::events::to_json;
use crate::link::{Closer, Frame};
use crate::metrics::record_gateway;
use crate::rest::{self, ListRequest, MemberCommand, parse_json, require_room_id};
use crate::server::Server;
use crate::session::{Attached, ResumeToken, Session, token_hash};
use crate::terminal;
use crate::told::Node;
use crate::welcome::{Entered, MemberPage};
use crate::wire;

/// An answer: at once, or when something else has been waited for (the disk, a webhook).
pub(super) enum Reply {
    Now(Answered),
    Later(Answering),
}

/// What one who asked gets.
pub(super) struct Answered {
    pub(super) frame: Frame,
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
    command: Cow<'a, str>,
    body: &'a str,
}

impl<'a> Request<'a> {
    /// # Errors
    /// The `id` to answer with (0 when there is none), and what is wrong.
    fn parse(text: &'a str) -> Result<Self, (u32, ApiError)> {
        if let Some((id, command, body)) = plain::request(text) {
            return Ok(Self { id, command: command.into(), body });
        }
        Self::parse_any(text)
    }

    /// The same, however it is written.
    fn parse_any(text: &'a str) -> Result<Self, (u32, ApiError)> {
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
        Ok(Self { id, command: command.into(), body })
    }
}

/// What is in a frame, read the usual way: its id, the command and the body.
#[cfg(test)]
pub(super) fn parts_of(frame: &str) -> Option<(u32, String, &str)> {
    Request::parse_any(frame).ok().map(|request| (request.id, request.command.into_owned(), request.body))
}

fn reply(id: u32, command: &'static str, result: Result<String, ApiError>) -> Answered {
    record_gateway(command, result.as_ref().map_or_else(|error| error.code.number(), |_| 0));
    let is_too_often = matches!(&result, Err(error) if error.code == Code::TooOften);
    let frame = match result {
        Ok(response) => {
            let head = format!(r#"{{"id":{id},"ErrorCode":0,"ErrorInfo":"","Response":"#);
            Frame::of([&head, &response, "}"])
        }
        Err(error) => {
            let message = wire::quoted(&error.message);
            Frame::text(&format!(r#"{{"id":{id},"ErrorCode":{},"ErrorInfo":{message}}}"#, error.code))
        }
    };
    Answered { frame, is_too_often }
}

/// Answers a frame of a connection that has not logged in yet; with the member, once it has.
pub(super) async fn log_in(
    server: &Arc<Server>,
    text: &str,
    closer: &Arc<Closer>,
    (client, node): (&Client, Option<Node>),
) -> (Answered, Option<Member>) {
    let request = match Request::parse(text) {
        Ok(request) => request,
        Err((id, error)) => return (reply(id, "?", Err(error)), None),
    };
    if request.command != "login" {
        let error = ApiError::new(Code::NoAccount, "log in first: the command login is expected");
        return (reply(request.id, "?", Err(error)), None);
    }
    match begin(server, request.body, closer, client).await {
        Err(error) => (reply(request.id, "login", Err(error)), None),
        Ok((member, token, rooms)) => {
            member.session.set_node(node);
            let response = to_json(&LoggedIn {
                session_id: format!("{:016x}", member.session.id.0),
                resume_token: token.text,
                server_time: clock::now().unix_millis(),
                ping_interval: server.config.presence.ping_interval.as_millis() as u64,
                server_id: server.live.id_at(node),
                rooms: rooms.iter().map(RoomId::to_string).collect(),
                addresses: server.addresses.read().clone(),
            });
            (reply(request.id, "login", Ok(response)), Some(member))
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct LoggedIn {
    session_id: String,
    /// Works once.
    resume_token: String,
    server_time: u64,
    /// Milliseconds.
    ping_interval: u64,
    /// Of where the media of a session is: another after each start of the server, and at each node of several.
    server_id: String,
    /// The rooms that the session is in.
    rooms: Vec<String>,
    /// Where the nodes of the server are, where it has several: another is to be tried when one does not answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<String>,
}

/// `SdkAppId`, `UserId` and `UserSig` begin a session; `ResumeToken` resumes one.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Login {
    #[schemars(with = "Option<u32>")]
    sdk_app_id: Option<Value>,
    user_id: Option<String>,
    user_sig: Option<String>,
    resume_token: Option<String>,
    /// On resuming, the last message the client has of each room.
    #[serde(default)]
    seen: HashMap<String, u64>,
    /// With what it comes, for history.
    #[serde(default)]
    client: LoginClient,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
struct LoginClient {
    /// The program and its version, cut to 32 bytes.
    sdk: Option<String>,
    /// Cut to 64 bytes; without it what the `User-Agent` says.
    device: Option<String>,
    /// 1 Windows, 2 Android, 3 iOS, 4 Linux, 100 another.
    terminal: Option<u8>,
}

impl LoginClient {
    /// What it says of itself, and what was seen of it.
    fn beside(self, seen: &Client) -> Client {
        let said = |said: Option<String>, seen: &Arc<str>, most| {
            said.map_or_else(|| seen.clone(), |said| terminal::cut(&said, most).into())
        };
        Client {
            sdk: said(self.sdk, &seen.sdk, Client::MAX_SDK),
            device: said(self.device, &seen.device, Client::MAX_DEVICE),
            terminal: self.terminal.unwrap_or(seen.terminal),
            address: seen.address.clone(),
        }
    }
}

async fn begin(
    server: &Arc<Server>,
    body: &str,
    closer: &Arc<Closer>,
    client: &Client,
) -> Result<(Member, ResumeToken, Vec<RoomId>), ApiError> {
    let login: Login = parse_json(body)?;
    let (session, attached, token) = match &login.resume_token {
        Some(token) => {
            let unusable = || {
                let trouble = "ResumeToken is unknown, used already, of another user, or its session has ended (as it does with its UserSig); \
                               log in with a UserSig";
                ApiError::new(Code::SigInvalid, trouble)
            };
            let session = server.sessions.by_token(&token_hash(token)).ok_or_else(unusable)?;
            session.quota.spend_command(&server.config.limits, body.len(), Instant::now())?;
            server.require_store(&session.app)?;
            let is_its = login.user_id.as_deref().is_none_or(|user| user == session.user.as_str())
                && login.sdk_app_id.as_ref().is_none_or(|app| read_app(app) == Some(session.app.id));
            if !is_its {
                return Err(unusable());
            }
            let resumed = server.resume(&session, token, login.seen, closer.clone())?;
            let (attached, token) = resumed.ok_or_else(unusable)?;
            (session, attached, token)
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
            let (session, token) = server.begin_session(&app, &user, valid_until, &credentials)?;
            session.set_client(login.client.beside(client));
            let attached = server.attach(&session, closer.clone()).ok_or_else(|| {
                ApiError::new(Code::SigInvalid, "the session was ended at this moment; log in again")
            })?;
            (session, attached, token)
        }
    };
    let Attached { link, outbox, rooms } = attached;
    Ok((Member { session, link, outbox }, token, rooms))
}

fn read_app(value: &Value) -> Option<SdkAppId> {
    rest::integer(value).map(SdkAppId)
}

/// Answers a frame of a member.
pub(super) fn answer(server: &Arc<Server>, member: &Member, text: &str) -> Reply {
    let session = &member.session;
    let spend = || session.quota.spend_command(&server.config.limits, text.len(), Instant::now());
    if let Some((id, request, bytes)) = plain::report(text) {
        return Reply::Now(match spend() {
            Ok(()) => reply(id, "report", report::take(server, session, &request, bytes)),
            Err(error) => reply(id, "?", Err(error)),
        });
    }
    let request = Request::parse(text);
    let id = match &request {
        Ok(request) => request.id,
        Err((id, _)) => *id,
    };
    // What cannot be read costs its user as much.
    if let Err(error) = spend() {
        return Reply::Now(reply(id, "?", Err(error)));
    }
    let request = match request {
        Ok(request) => request,
        Err((id, error)) => return Reply::Now(reply(id, "?", Err(error))),
    };
    let asked = |body: &str| Asked {
        server: server.clone(),
        session: session.clone(),
        link: member.link,
        body: body.into(),
    };
    let (command, work) = match find(&request.command) {
        Some(command) => match &command.run {
            Run::First => {
                let refused = ApiError::invalid(command.name, "was done already on this connection");
                return Reply::Now(reply(id, command.name, Err(refused)));
            }
            Run::Now(run) => return Reply::Now(reply(id, command.name, run(server, session, request.body))),
            Run::Begun(run) => match run(asked(request.body)) {
                Begun::Done(result) => return Reply::Now(reply(id, command.name, result)),
                Begun::Waits(work) => (command.name, work),
            },
        },
        None => match rest::for_members(&request.command) {
            Some(called) => (called.name, later(Box::pin(shared(called, asked(request.body))))),
            None => {
                let trouble = format!("there is no command {:?}", request.command);
                return Reply::Now(reply(id, "?", Err(ApiError::new(Code::NoSuchCommand, trouble))));
            }
        },
    };
    Reply::Later(Box::pin(async move { reply(id, command, work.await) }))
}

const MEMBERS: Who = Who::InRoom(Role::Member);
const MANAGERS: Who = Who::InRoom(Role::Admin);
const OWNER: Who = Who::InRoom(Role::Owner);

/// The table: every command that is no other's. What is the REST API's own is in its table, in the column for members.
/// `/asyncapi.json`, the browser client's types and the check of `docs/protocol.md` follow from both.
pub(super) static COMMANDS: LazyLock<Vec<Command>> = LazyLock::new(|| {
    vec![
        Command {
            name: "login",
            who: Who::Nobody,
            about: "Begin a session, or resume one.",
            run: Run::First,
            request: of::<Login>,
            answer: of::<LoggedIn>,
        },
        row("renew_user_sig", Who::Anyone, "Stay until the end of a newer UserSig.", renew_user_sig),
        at_once("enter_room", Who::Anyone, "Enter a room.", enter_room),
        at_once("leave_room", MEMBERS, "Leave a room.", leave_room),
        Command {
            name: "get_member_list",
            who: MEMBERS,
            about: "Who is in a room, in join order.",
            run: Run::Now(get_member_list),
            request: of::<ListRequest>,
            answer: of::<MemberPage>,
        },
        row("send_text_msg", MEMBERS, "Say something to everyone in a room.", speak::send_text_msg),
        row("send_custom_msg", MEMBERS, "Send data of the app's own to a room.", speak::send_custom_msg),
        row("send_group_msg", MEMBERS, "Send elements to a room.", speak::send_group_msg),
        row("send_like", MEMBERS, "Like what happens in a room.", speak::send_like),
        row("send_gift", MEMBERS, "Give a gift in a room.", speak::send_gift),
        row("take_seat", MEMBERS, "Sit down.", seats::take_seat),
        row("leave_seat", MEMBERS, "Get up.", seats::leave_seat),
        row("move_to_seat", MEMBERS, "Sit on another seat.", seats::move_to_seat),
        row("apply_for_seat", MEMBERS, "Ask those in charge for a seat.", seats::apply_for_seat),
        row("invite_to_seat", MANAGERS, "Ask a member to sit.", seats::invite_to_seat),
        row("accept_seat_request", MEMBERS, "Say yes to a request for a seat.", seats::accept_seat_request),
        row("reject_seat_request", MEMBERS, "Say no to a request for a seat.", seats::reject_seat_request),
        row("cancel_seat_request", MEMBERS, "Take back a request for a seat.", seats::cancel_seat_request),
        row("get_seat_applications", MANAGERS, "Who asks for a seat.", seats::get_seat_applications),
        row("request_connection", OWNER, "Ask another room to co-host.", between::request_connection),
        row("accept_connection", OWNER, "Co-host with a room that has asked.", between::accept_connection),
        row(
            "reject_connection",
            OWNER,
            "Do not co-host with a room that has asked.",
            between::reject_connection,
        ),
        row("cancel_connection", OWNER, "Take back a request to co-host.", between::cancel_connection),
        row("leave_connection", OWNER, "Co-host no more.", between::leave_connection),
        row("get_connected_rooms", MEMBERS, "Which rooms co-host.", between::get_connected_rooms),
        row("request_battle", OWNER, "Ask rooms to a battle.", between::request_battle),
        row("accept_battle", OWNER, "Take part in a battle.", between::accept_battle),
        row("reject_battle", OWNER, "Take no part in a battle.", between::reject_battle),
        row("exit_battle", OWNER, "Leave a battle.", between::exit_battle),
        row(
            "get_media_config",
            Who::Anyone,
            "What helps a browser through its network.",
            media::get_media_config,
        ),
        row("publish", MEMBERS, "Publish, or change what is published.", media::publish),
        row("unpublish", MEMBERS, "Publish no more.", media::unpublish),
        row("watch", MEMBERS, "Watch, or change what is watched.", media::watch),
        row("update_watch", MEMBERS, "Change what is watched, without an offer.", media::update_watch),
        row("unwatch", MEMBERS, "Watch no more.", media::unwatch),
        row("mute_stream", MEMBERS, "Switch one's own stream off for a while, or on.", media::mute_stream),
        row("close_device", MANAGERS, "Switch a member's stream off.", media::close_device),
        row("open_device", MANAGERS, "Ask a member to switch a stream on.", media::open_device),
        row("send_data", MEMBERS, "Send bytes to the others in a room, not kept.", media::send_data),
        Command {
            name: "report",
            who: MEMBERS,
            about: "Say what one's streams are like, for history.",
            run: Run::Now(report::report),
            request: of::<report::ReportRequest<'_>>,
            answer: of::<Done>,
        },
    ]
});

/// The command of a name.
fn find(name: &str) -> Option<&'static Command> {
    type Table = FastMap<&'static str, &'static Command, foldhash::fast::RandomState>;
    static BY_NAME: LazyLock<Table> =
        LazyLock::new(|| COMMANDS.iter().map(|command| (command.name, command)).collect());
    BY_NAME.get(name).copied()
}

/// A command that is the REST API's own: the same body, the same answer, and the right to call it by what the member is in the
/// room. Who makes a room owns it.
async fn shared(called: &'static MemberCommand, asked: Asked) -> Result<String, ApiError> {
    let Asked { server, session, body, .. } = asked;
    if called.name == "create_room" && !server.config.media.members_may_create_rooms {
        let trouble =
            "not allowed: rooms are created by the app's server (media.members_may_create_rooms is off)";
        return Err(ApiError::new(Code::NotAllowed, trouble));
    }
    rest::run_for_member(called, server, session, body).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct EnterRequest {
    #[schemars(required)]
    room_id: Option<String>,
    /// Of a room that has one.
    password: Option<String>,
    /// It watches pictures next, so they are made ready.
    #[serde(default)]
    will_watch: bool,
}

async fn enter_room(asked: Asked, request: EnterRequest) -> Result<Rendered<Entered>, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let cell = asked.app()?.room(room_id.as_str())?;
    let (server, session) = (&asked.server, &asked.session);
    let entered = server.enter_room(session, asked.link, &cell, request.password).await;
    if request.will_watch && entered.is_ok() {
        server.live.expect(&cell, session);
    }
    entered.map(|welcome| Rendered::new(welcome.json)).inspect_err(|error| {
        if error.code == Code::WrongPassword {
            session.quota.spend_guess(&server.config.limits, Instant::now());
        }
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct RenewRequest {
    #[schemars(required)]
    user_sig: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Renewed {
    /// Unix seconds.
    expire_time: u64,
}

/// A session goes on beyond the UserSig that it began with.
async fn renew_user_sig(asked: Asked, request: RenewRequest) -> Result<Renewed, ApiError> {
    let session = &asked.session;
    let sig = request.user_sig.ok_or_else(|| ApiError::invalid("UserSig", "is missing"))?;
    let valid_until = session.app.credentials().verify(session.user.as_str(), &sig)?;
    asked.server.renew(session, valid_until);
    Ok(Renewed { expire_time: valid_until.unix_seconds() })
}

async fn leave_room(asked: Asked, request: InRoom) -> Result<Done, ApiError> {
    let cell = asked.room(request.room_id.as_deref())?;
    asked.server.leave_room(&asked.session, asked.link, &cell).await?;
    Ok(Done {})
}

fn get_member_list(server: &Arc<Server>, session: &Arc<Session>, body: &str) -> Result<String, ApiError> {
    let request: ListRequest = parse_json(body)?;
    let cell = require_inside(server, session, request.room_id.as_deref())?;
    let page = cell.page(None, request.next.as_deref().unwrap_or_default())?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest;

    #[test]
    fn no_command_is_there_twice() {
        for command in COMMANDS.iter() {
            assert!(std::ptr::eq(find(command.name).unwrap(), command), "{}", command.name);
            assert!(rest::for_members(command.name).is_none(), "{}", command.name);
        }
    }
}
