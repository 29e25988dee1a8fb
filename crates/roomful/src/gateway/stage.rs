//! What owners do together: connect their rooms, and let them compete. The rules are `rooms/src/connections.rs` and
//! `battles.rs`.

use std::sync::Arc;
use std::time::Duration;

use rooms::{ConnectionStep, Role, RoomId, RoomType};
use serde::Deserialize;
use serde_json::json;

use super::asked::Asked;
use crate::app::App;
use crate::clock;
use crate::error::ApiError;
use crate::events;
use crate::halls::OpenRoom;
use crate::rest::CreateBattle;
use crate::session::Frame;

/// How long a request waits when its maker does not say, and at most.
const DEFAULT_TIMEOUT_SECONDS: u64 = 30;
const MAX_TIMEOUT_SECONDS: u64 = 600;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConnectionRequest {
    room_id: Option<String>,
    to_room_id: Option<String>,
    from_room_id: Option<String>,
    /// Seconds.
    timeout: Option<u64>,
    #[serde(default)]
    extension_info: String,
    battle_id: Option<String>,
}

/// The room, which this member must own.
fn require_owned(asked: &Asked, room_id: Option<&str>) -> Result<Arc<OpenRoom>, ApiError> {
    let cell = asked.room(room_id)?;
    let role = {
        let room = cell.read()?;
        room.require_type(RoomType::Live)?;
        room.role(asked.session.user.as_str())
    };
    if role < Role::Owner {
        return Err(rooms::Error::NotAllowed("only the owner of the room may do this").into());
    }
    Ok(cell)
}

fn other_room(asked: &Asked, field: &str, room_id: Option<&str>) -> Result<Arc<OpenRoom>, ApiError> {
    let room_id = room_id.ok_or_else(|| ApiError::invalid(field, "is missing"))?;
    let room_id = RoomId::parse_field(field, room_id)?;
    let cell = asked.app()?.room(room_id.as_str())?;
    drop(cell.read_as(Some(RoomType::Live))?);
    Ok(cell)
}

fn tell(step: ConnectionStep, from: &OpenRoom, to: &OpenRoom, whom: &Arc<OpenRoom>, extension: &str) {
    whom.tell_managers(Frame::text(&events::connection_event(step, &from.room_id, &to.room_id, extension)));
}

/// Lets requests run out.
fn watch_requests(app: &Arc<App>) {
    let Some(deadline) = app.stage.connections.lock().next_deadline() else { return };
    let watched = app.clone();
    app.stage.connection_alarm.set(deadline, async move {
        loop {
            let Some((from, to)) = watched.stage.connections.lock().expire(clock::now()) else { break };
            if let (Ok(from), Ok(to)) = (watched.room(from.as_str()), watched.room(to.as_str())) {
                tell(ConnectionStep::Expired, &from, &to, &from, "");
                tell(ConnectionStep::Expired, &from, &to, &to, "");
            }
        }
        watch_requests(&watched);
    });
}

pub(super) async fn request_connection(asked: Asked) -> Result<String, ApiError> {
    let request: ConnectionRequest = asked.parse()?;
    let from = require_owned(&asked, request.room_id.as_deref())?;
    let to = request.to_room_id.as_deref().filter(|room| !room.is_empty());
    let to = other_room(&asked, "ToRoomId", Some(to.ok_or(rooms::Error::NobodyToCoHost)?))?;
    let timeout = match request.timeout {
        None | Some(0) => Duration::from_secs(DEFAULT_TIMEOUT_SECONDS),
        Some(seconds) if seconds > MAX_TIMEOUT_SECONDS => {
            let trouble = format_args!("is {seconds}; at most {MAX_TIMEOUT_SECONDS} seconds are allowed");
            return Err(ApiError::invalid("Timeout", trouble));
        }
        Some(seconds) => Duration::from_secs(seconds),
    };
    if request.extension_info.len() > 1000 {
        return Err(rooms::Error::too_long("ExtensionInfo", request.extension_info.len(), 1000).into());
    }
    let app = asked.app()?;
    app.stage.connections.lock().ask(&from.room_id, &to.room_id, timeout, clock::now())?;
    // Either the end of a room comes later and finds the request, or it has come and is found here.
    let is_there = |cell: &OpenRoom| cell.read().map(drop);
    if let Err(error) = is_there(&from).and_then(|()| is_there(&to)) {
        // Unless whoever ended the room has found it, and told the other.
        let _ = app.stage.connections.lock().close(&from.room_id, &to.room_id, clock::now());
        return Err(error.into());
    }
    tell(ConnectionStep::Requested, &from, &to, &to, &request.extension_info);
    watch_requests(&app);
    Ok("{}".into())
}

pub(super) async fn accept_connection(asked: Asked) -> Result<String, ApiError> {
    let request: ConnectionRequest = asked.parse()?;
    let app = asked.app()?;
    asked.spend_change()?;
    let _lane = app.stage.lane.lock().await;
    let to = require_owned(&asked, request.room_id.as_deref())?;
    let from = other_room(&asked, "FromRoomId", request.from_room_id.as_deref())?;
    let connection = {
        let id = getrandom::u64().map_err(ApiError::internal)?;
        let mut connections = app.stage.connections.lock();
        let connection = connections.join(&from.room_id, &to.room_id, id)?;
        connections.close(&from.room_id, &to.room_id, clock::now())?;
        connection
    };
    asked.server.save_connection(&app, connection, &[]).await?;
    tell(ConnectionStep::Accepted, &from, &to, &from, "");
    Ok(json!({"RoomList": events::connected(&app.connected(&to.room_id))}).to_string())
}

pub(super) async fn reject_connection(asked: Asked) -> Result<String, ApiError> {
    let request: ConnectionRequest = asked.parse()?;
    let to = require_owned(&asked, request.room_id.as_deref())?;
    let from = other_room(&asked, "FromRoomId", request.from_room_id.as_deref())?;
    asked.app()?.stage.connections.lock().close(&from.room_id, &to.room_id, clock::now())?;
    tell(ConnectionStep::Rejected, &from, &to, &from, "");
    Ok("{}".into())
}

pub(super) async fn cancel_connection(asked: Asked) -> Result<String, ApiError> {
    let request: ConnectionRequest = asked.parse()?;
    let from = require_owned(&asked, request.room_id.as_deref())?;
    let to = other_room(&asked, "ToRoomId", request.to_room_id.as_deref())?;
    asked.app()?.stage.connections.lock().close(&from.room_id, &to.room_id, clock::now())?;
    tell(ConnectionStep::Cancelled, &from, &to, &to, "");
    Ok("{}".into())
}

pub(super) async fn leave_connection(asked: Asked) -> Result<String, ApiError> {
    let request: ConnectionRequest = asked.parse()?;
    asked.spend_change()?;
    let app = asked.app()?;
    let _lane = app.stage.lane.lock().await;
    let cell = require_owned(&asked, request.room_id.as_deref())?;
    asked.server.disconnect(&app, &cell.room_id).await?;
    Ok("{}".into())
}

pub(super) async fn get_connected_rooms(asked: Asked) -> Result<String, ApiError> {
    let request: ConnectionRequest = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    let rooms = asked.app()?.connected(&cell.room_id);
    Ok(json!({"RoomList": events::connected(&rooms)}).to_string())
}

/// `RoomId` is the caller's; whoever is called is asked, unless `NeedResponse` is false and the rooms are co-hosting.
#[derive(Deserialize)]
struct BattleRequest {
    #[serde(rename = "RoomId", alias = "FromRoomId")]
    room_id: Option<String>,
    #[serde(flatten)]
    battle: CreateBattle,
}

pub(super) async fn request_battle(asked: Asked) -> Result<String, ApiError> {
    let BattleRequest { room_id, mut battle } = asked.parse()?;
    let app = asked.app()?;
    battle.from_room_id = room_id.clone();
    battle.need_response = Some(battle.need_response.unwrap_or(true));
    asked.spend_change()?;
    let user = asked.session.user.as_str();
    let created = battle
        .create(&asked.server, &app, user, false, || require_owned(&asked, room_id.as_deref()).map(drop))
        .await?;
    Ok(serde_json::to_string(&created).unwrap_or_default())
}

pub(super) async fn accept_battle(asked: Asked) -> Result<String, ApiError> {
    answer_battle(asked, true).await
}

pub(super) async fn reject_battle(asked: Asked) -> Result<String, ApiError> {
    answer_battle(asked, false).await
}

async fn answer_battle(asked: Asked, accepted: bool) -> Result<String, ApiError> {
    let request: ConnectionRequest = asked.parse()?;
    let id = request.battle_id.ok_or_else(|| ApiError::invalid("BattleId", "is missing"))?;
    asked.spend_change()?;
    let app = asked.app()?;
    let _lane = app.stage.lane.lock().await;
    let cell = require_owned(&asked, request.room_id.as_deref())?;
    if accepted && app.stage.battle_with(cell.room_id.as_str()).is_some() {
        return Err(rooms::Error::InBattle(cell.room_id.to_string()).into());
    }
    let mut battle = app.stage.battle(&id)?;
    let steps = battle.answer(&cell.room_id, accepted, clock::now())?;
    asked.server.save_battle(&app, battle, &steps, asked.session.user.as_str()).await?;
    Ok("{}".into())
}

pub(super) async fn exit_battle(asked: Asked) -> Result<String, ApiError> {
    let request: ConnectionRequest = asked.parse()?;
    let id = request.battle_id.ok_or_else(|| ApiError::invalid("BattleId", "is missing"))?;
    asked.spend_change()?;
    let app = asked.app()?;
    let _lane = app.stage.lane.lock().await;
    let cell = require_owned(&asked, request.room_id.as_deref())?;
    let mut battle = app.stage.battle(&id)?;
    let steps = battle.leave(&cell.room_id, clock::now())?;
    asked.server.save_battle(&app, battle, &steps, asked.session.user.as_str()).await?;
    Ok("{}".into())
}
