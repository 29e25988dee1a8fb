//! What owners do together: connect their rooms, and let them compete. The rules are `rooms/src/connections.rs` and
//! `battles.rs`.

use std::time::Duration;

use hall::Command;
use hall::between::{Answer, Asks, Wish};
use rooms::{Incarnation, Role, RoomId, RoomType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asked::{Asked, Done, InRoom};
use crate::error::ApiError;
use crate::events::{self, ConnectedRoom};
use crate::halls::unexpected;
use crate::rest::{BattleCreated, CreateBattle};

/// How long a request waits when its maker does not say, and at most.
const DEFAULT_TIMEOUT_SECONDS: u64 = 30;
const MAX_TIMEOUT_SECONDS: u64 = 600;

/// Another room is asked to co-host.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Connect {
    #[schemars(required)]
    room_id: Option<String>,
    #[schemars(required)]
    to_room_id: Option<String>,
    /// Seconds.
    timeout: Option<u64>,
    #[serde(default)]
    extension_info: String,
}

/// A request that another room has made.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FromRoom {
    #[schemars(required)]
    room_id: Option<String>,
    #[schemars(required)]
    from_room_id: Option<String>,
}

/// A request to another room.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ToRoom {
    #[schemars(required)]
    room_id: Option<String>,
    #[schemars(required)]
    to_room_id: Option<String>,
}

/// The rooms that are connected.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Connected {
    room_list: Vec<ConnectedRoom>,
}

/// What this member wants for its room, which it must own.
async fn ask(asked: &Asked, room_id: Option<&str>, wish: Wish<RoomId>) -> Result<Answer, ApiError> {
    let cell = asked.room(room_id)?;
    let by = asked.session.as_at_least(Role::Owner);
    match cell.ask(by, Some(RoomType::Live), Command::Beyond(wish)).await? {
        hall::Answer::Beyond(answer) => Ok(answer),
        other => Err(unexpected(&other)),
    }
}

/// Another room, by the field that names it.
fn other_room(field: &str, room_id: Option<&str>) -> Result<RoomId, ApiError> {
    let room_id = room_id.ok_or_else(|| ApiError::invalid(field, "is missing"))?;
    Ok(RoomId::parse_field(field, room_id)?)
}

/// A wish of which nothing more is said than that it is done.
async fn have_done(asked: &Asked, room_id: Option<&str>, wish: Wish<RoomId>) -> Result<Done, ApiError> {
    match ask(asked, room_id, wish).await? {
        Answer::Done => Ok(Done {}),
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn request_connection(asked: Asked, request: Connect) -> Result<Done, ApiError> {
    let to = request.to_room_id.as_deref().filter(|room| !room.is_empty());
    let to = other_room("ToRoomId", Some(to.ok_or(rooms::Error::NobodyToCoHost)?))?;
    let timeout = match request.timeout {
        None | Some(0) => Duration::from_secs(DEFAULT_TIMEOUT_SECONDS),
        Some(seconds) if seconds > MAX_TIMEOUT_SECONDS => {
            let trouble = format_args!("is {seconds}; at most {MAX_TIMEOUT_SECONDS} seconds are allowed");
            return Err(ApiError::invalid("Timeout", trouble));
        }
        Some(seconds) => Duration::from_secs(seconds),
    };
    let extension = request.extension_info;
    if extension.len() > 1000 {
        return Err(rooms::Error::too_long("ExtensionInfo", extension.len(), 1000).into());
    }
    have_done(&asked, request.room_id.as_deref(), Wish::Request { to, timeout, extension }).await
}

pub(super) async fn accept_connection(asked: Asked, request: FromRoom) -> Result<Connected, ApiError> {
    asked.spend_change()?;
    let from = other_room("FromRoomId", request.from_room_id.as_deref())?;
    let new_id = getrandom::u64().map_err(ApiError::internal)?;
    match ask(&asked, request.room_id.as_deref(), Wish::Accept { from, new_id }).await? {
        Answer::Connected(rooms) => room_list(&asked, rooms),
        other => Err(unexpected(&other)),
    }
}

fn room_list(asked: &Asked, rooms: Vec<Incarnation>) -> Result<Connected, ApiError> {
    let rooms = asked.app()?.between.with_owners(rooms);
    Ok(Connected { room_list: events::connected(&rooms) })
}

pub(super) async fn reject_connection(asked: Asked, request: FromRoom) -> Result<Done, ApiError> {
    let from = other_room("FromRoomId", request.from_room_id.as_deref())?;
    have_done(&asked, request.room_id.as_deref(), Wish::Reject { from }).await
}

pub(super) async fn cancel_connection(asked: Asked, request: ToRoom) -> Result<Done, ApiError> {
    let to = other_room("ToRoomId", request.to_room_id.as_deref())?;
    have_done(&asked, request.room_id.as_deref(), Wish::Cancel { to }).await
}

pub(super) async fn leave_connection(asked: Asked, request: InRoom) -> Result<Done, ApiError> {
    asked.spend_change()?;
    have_done(&asked, request.room_id.as_deref(), Wish::Leave).await
}

pub(super) async fn get_connected_rooms(asked: Asked, request: InRoom) -> Result<Connected, ApiError> {
    let room = asked.room(request.room_id.as_deref())?.incarnation();
    let rooms = asked.app()?.between.look(|standing| standing.connected(&room));
    room_list(&asked, rooms)
}

/// `RoomId` is the caller's; whoever is called is asked, unless `NeedResponse` is false and the rooms are co-hosting.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RequestBattle {
    #[serde(alias = "FromRoomId")]
    #[schemars(required)]
    room_id: Option<String>,
    #[schemars(required)]
    to_room_id_list: Option<Vec<String>>,
    /// Milliseconds.
    #[schemars(required)]
    duration: Option<u64>,
    extension_info: Option<String>,
    need_response: Option<bool>,
    /// Milliseconds the called rooms have to answer.
    timeout: Option<u64>,
}

/// A battle that the room is in, or asked to.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InBattle {
    #[schemars(required)]
    room_id: Option<String>,
    #[schemars(required)]
    battle_id: Option<String>,
}

pub(super) async fn request_battle(asked: Asked, request: RequestBattle) -> Result<BattleCreated, ApiError> {
    asked.spend_change()?;
    let from = asked.room(request.room_id.as_deref())?.room_id.clone();
    let battle = CreateBattle {
        from_room_id: None,
        to_room_id_list: request.to_room_id_list,
        duration: request.duration,
        extension_info: request.extension_info,
        need_response: Some(request.need_response.unwrap_or(true)),
        timeout: request.timeout,
    };
    let battle = battle.read(&from, Asks::Strangers)?;
    let (names, id) = (battle.called.clone(), battle.id.clone());
    let answer = ask(&asked, request.room_id.as_deref(), Wish::Battle(battle)).await?;
    BattleCreated::new(id, &names, answer)
}

pub(super) async fn accept_battle(asked: Asked, request: InBattle) -> Result<Done, ApiError> {
    answer_battle(asked, request, |battle| Wish::AnswerBattle { battle, accepted: true }).await
}

pub(super) async fn reject_battle(asked: Asked, request: InBattle) -> Result<Done, ApiError> {
    answer_battle(asked, request, |battle| Wish::AnswerBattle { battle, accepted: false }).await
}

pub(super) async fn exit_battle(asked: Asked, request: InBattle) -> Result<Done, ApiError> {
    answer_battle(asked, request, |battle| Wish::ExitBattle { battle }).await
}

async fn answer_battle(
    asked: Asked,
    request: InBattle,
    wish: impl FnOnce(String) -> Wish<RoomId>,
) -> Result<Done, ApiError> {
    let id = request.battle_id.ok_or_else(|| ApiError::invalid("BattleId", "is missing"))?;
    asked.spend_change()?;
    have_done(&asked, request.room_id.as_deref(), wish(id)).await
}
