//! Battles between rooms (`live_engine_http_pk`). Durations are milliseconds.

use std::time::Duration;

use ::rooms::{Battle, MAX_BATTLE, RoomId, RoomType, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Call;
use super::answer::{Done, Response};
use super::rooms::require_room_id;
use crate::app::App;
use crate::clock;
use crate::error::ApiError;
use crate::wire::{self, BattleView};

/// How many rooms may be called to one battle.
const MAX_CALLED: usize = 8;

/// How many battles a room may be asked to at once.
const MOST_ASKED: usize = 16;

/// The code for a room that fights already, in a list of results.
const FIGHTS_ALREADY: u32 = 3;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateRequest {
    #[schemars(required)]
    pub(crate) from_room_id: Option<String>,
    #[schemars(required)]
    pub(crate) to_room_id_list: Option<Vec<String>>,
    /// Milliseconds.
    #[schemars(required)]
    pub(crate) duration: Option<u64>,
    pub(crate) extension_info: Option<String>,
    /// Whether the called rooms are asked first.
    pub(crate) need_response: Option<bool>,
    /// Milliseconds the called rooms have to answer.
    pub(crate) timeout: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Created {
    pub(crate) battle_id: String,
    pub(crate) result: Vec<RoomResult>,
}

/// What became of one room.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RoomResult {
    room_id: String,
    result_code: u32,
    result_message: &'static str,
}

/// A Live room and its owner.
fn side(app: &App, field: &str, room_id: &str) -> Result<(RoomId, UserId), ApiError> {
    let room_id = RoomId::parse_field(field, room_id)?;
    let cell = app.room(room_id.as_str())?;
    let room = cell.read_as(Some(RoomType::Live))?;
    Ok((room_id, room.info().owner.clone()))
}

pub(super) async fn create_battle(call: Call, request: CreateRequest) -> Result<Response<Created>, ApiError> {
    create(&call, request).await.map(Response)
}

async fn create(call: &Call, request: CreateRequest) -> Result<Created, ApiError> {
    request.create(&call.server, &call.app, call.caller.as_str(), true, || Ok(())).await
}

impl CreateRequest {
    /// Makes the battle; the same over REST and from an owner.
    ///
    /// The caller's right is what `check` says when nothing else changes battles any more. Without `may_command`, rooms that are not co-hosting with the caller's are asked, whatever `NeedResponse` says.
    pub(crate) async fn create(
        self,
        server: &std::sync::Arc<crate::server::Server>,
        app: &std::sync::Arc<App>,
        operator: &str,
        may_command: bool,
        check: impl Fn() -> Result<(), ApiError>,
    ) -> Result<Created, ApiError> {
        let from = self.from_room_id.ok_or_else(|| ApiError::invalid("FromRoomId", "is missing"))?;
        let called = self.to_room_id_list.filter(|called| !called.is_empty());
        let called = called.ok_or_else(|| ApiError::invalid("ToRoomIdList", "names no room"))?;
        if called.len() > MAX_CALLED {
            let (field, together) = ("ToRoomIdList", "called to one battle");
            return Err(::rooms::Error::TooManyRooms { field, most: MAX_CALLED, together }.into());
        }
        let duration = self.duration.ok_or_else(|| ApiError::invalid("Duration", "is missing"))?;
        let duration = Duration::from_millis(duration);
        if duration.is_zero() || duration > MAX_BATTLE {
            return Err(ApiError::invalid("Duration", "is not between 1 and 86400000 milliseconds"));
        }
        let is_asked_for = self.need_response == Some(true);
        let timeout = Duration::from_millis(self.timeout.unwrap_or(30_000));
        if (is_asked_for || !may_command) && (timeout.is_zero() || timeout > Duration::from_secs(600)) {
            return Err(ApiError::invalid("Timeout", "is not between 1 and 600000 milliseconds"));
        }
        let extension = self.extension_info.unwrap_or_default();
        if extension.len() > 1000 {
            return Err(::rooms::Error::too_long("ExtensionInfo", extension.len(), 1000).into());
        }

        let _lane = app.stage.lane.lock().await;
        check()?;
        let caller = side(app, "FromRoomId", &from)?;
        if app.stage.battle_with(caller.0.as_str()).is_some() {
            return Err(::rooms::Error::InBattle(from).into());
        }
        let (mut sides, mut result) = (Vec::new(), Vec::new());
        for room_id in called {
            let called = side(app, "ToRoomIdList", &room_id)?;
            if called.0 == caller.0 || sides.iter().any(|(room, _)| *room == called.0) {
                return Err(ApiError::invalid(
                    "ToRoomIdList",
                    format_args!("has {room_id} more than once, or the caller"),
                ));
            }
            let called_room = called.0.as_str();
            let fights =
                app.stage.battle_with(called_room).is_some() || app.stage.asked(called_room) >= MOST_ASKED;
            let (result_code, result_message) =
                if fights { (FIGHTS_ALREADY, "the room is in a battle already") } else { (0, "") };
            result.push(RoomResult { room_id, result_code, result_message });
            if !fights {
                sides.push(called);
            }
        }
        if sides.is_empty() {
            return Err(::rooms::Error::NoRoomForBattle.into());
        }
        let connected = app.stage.connected(&caller.0);
        let are_together = sides.iter().all(|(room, _)| connected.contains(room));
        let timeout = (is_asked_for || !(may_command || are_together)).then_some(timeout);
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(ApiError::internal)?;
        let id = wire::hex(&random);
        let (battle, steps) =
            Battle::create(id.clone(), caller, sides, duration, timeout, extension, clock::now());
        server.save_battle(app, battle, &steps, operator).await?;
        Ok(Created { battle_id: id, result })
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ScoreRequest {
    #[schemars(required)]
    battle_id: Option<String>,
    /// 1 adds, 2 sets.
    #[schemars(required)]
    op_type: Option<i64>,
    #[schemars(required)]
    score_list: Option<Vec<Score>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Score {
    #[schemars(required)]
    room_id: Option<String>,
    #[schemars(required)]
    score: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Results {
    result: Vec<RoomResult>,
}

pub(super) async fn set_battle_score(
    call: Call,
    request: ScoreRequest,
) -> Result<Response<Results>, ApiError> {
    let id = request.battle_id.ok_or_else(|| ApiError::invalid("BattleId", "is missing"))?;
    let add = match request.op_type {
        Some(1) => true,
        Some(2) => false,
        _ => return Err(ApiError::invalid("OpType", "must be 1 (add) or 2 (set)")),
    };
    let scores = request.score_list.filter(|scores| !scores.is_empty());
    let scores = scores.ok_or_else(|| ApiError::invalid("ScoreList", "names no room"))?;
    let scores: Vec<(RoomId, i64)> = scores
        .into_iter()
        .map(|score| {
            let room = require_room_id(score.room_id.as_deref())?;
            Ok((room, score.score.ok_or_else(|| ApiError::invalid("Score", "is missing"))?))
        })
        .collect::<Result<_, ApiError>>()?;
    let _lane = call.app.stage.lane.lock().await;
    let mut battle = call.app.stage.battle(&id)?;
    let (known, steps) = battle.score(&scores, add)?;
    call.server.save_battle(&call.app, battle, &steps, call.caller.as_str()).await?;
    let result = scores.iter().zip(known).map(|((room, _), known)| RoomResult {
        room_id: room.to_string(),
        result_code: u32::from(!known),
        result_message: if known { "" } else { "the room has no part in this battle" },
    });
    Ok(Response(Results { result: result.collect() }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BattleRequest {
    battle_id: Option<String>,
    /// Instead of the id: the battle this room is in.
    room_id: Option<String>,
}

impl BattleRequest {
    fn find(&self, call: &Call) -> Result<Battle, ApiError> {
        match (self.battle_id.as_deref(), self.room_id.as_deref()) {
            (Some(id), _) if !id.is_empty() => {
                let battle = call.app.stage.battle(id)?;
                let is_of_caller = |room: &RoomId| {
                    call.app.room(room.as_str()).is_ok_and(|cell| call.read(&cell, None).is_ok())
                };
                if call.is_member() && !battle.sides.iter().any(|side| is_of_caller(&side.room)) {
                    return Err(::rooms::Error::NotAllowed(
                        "the battle is between rooms that you are not in",
                    )
                    .into());
                }
                Ok(battle)
            }
            (_, Some(room_id)) => {
                let room_id = require_room_id(Some(room_id))?;
                drop(call.read(&*call.app.room(room_id.as_str())?, None)?);
                let battle = call.app.stage.battle_of(room_id.as_str());
                battle.ok_or_else(|| ::rooms::Error::BattleNotFound(format!("of room {room_id}")).into())
            }
            _ => Err(ApiError::invalid("BattleId", "and RoomId are missing; give one")),
        }
    }
}

pub(super) async fn get_battle_info(
    call: Call,
    request: BattleRequest,
) -> Result<super::answer::Rendered<BattleView<'static>>, ApiError> {
    Ok(super::answer::Rendered::new(wire::battle(&request.find(&call)?).to_string()))
}

pub(super) async fn end_battle(call: Call, request: BattleRequest) -> Result<Done, ApiError> {
    let _lane = call.app.stage.lane.lock().await;
    let mut battle = request.find(&call)?;
    let steps = battle.stop(clock::now())?;
    call.server.save_battle(&call.app, battle, &steps, call.caller.as_str()).await?;
    Ok(Done)
}
