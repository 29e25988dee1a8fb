//! Battles between rooms (`live_engine_http_pk`). Durations are milliseconds.

use std::sync::Arc;
use std::time::Duration;

use ::rooms::{Battle, Incarnation, MAX_BATTLE, RoomId};
use hall::between::{Answer, Asks, Command, NewBattle, Wish};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Call;
use super::answer::{Done, Response};
use super::rooms::require_room_id;
use crate::error::ApiError;
use crate::halls::unexpected;
use crate::wire::{self, BattleView};

/// How many rooms may be called to one battle.
const MAX_CALLED: usize = 8;

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

pub(super) async fn create_battle(call: Call, request: CreateRequest) -> Result<Response<Created>, ApiError> {
    let from =
        request.from_room_id.as_deref().ok_or_else(|| ApiError::invalid("FromRoomId", "is missing"))?;
    let from = RoomId::parse_field("FromRoomId", from)?;
    let battle = request.read(&from, Asks::Never)?;
    let between = &call.app.between;
    let host = between.host(&from)?;
    let (names, id) = (battle.called.clone(), battle.id.clone());
    let wish = Wish::Battle(battle).look_up(|_, room| between.host(&room))?;
    let answer = between.ask(call.caller.to_string(), Command::Of(host, wish)).await?;
    Created::new(id, &names, answer).map(Response)
}

impl CreateRequest {
    /// The battle that is wanted by `from`; the same over REST and from an owner. `asks` is what `NeedResponse` stands for
    /// when it is not set.
    pub(crate) fn read(self, from: &RoomId, asks: Asks) -> Result<NewBattle<RoomId>, ApiError> {
        let called = self.to_room_id_list.filter(|called| !called.is_empty());
        let names = called.ok_or_else(|| ApiError::invalid("ToRoomIdList", "names no room"))?;
        if names.len() > MAX_CALLED {
            let (field, together) = ("ToRoomIdList", "called to one battle");
            return Err(::rooms::Error::TooManyRooms { field, most: MAX_CALLED, together }.into());
        }
        let mut called: Vec<RoomId> = Vec::with_capacity(names.len());
        for name in names {
            let room = RoomId::parse_field("ToRoomIdList", &name)?;
            if room == *from || called.contains(&room) {
                let trouble = format_args!("has {room} more than once, or the caller");
                return Err(ApiError::invalid("ToRoomIdList", trouble));
            }
            called.push(room);
        }
        let duration = self.duration.ok_or_else(|| ApiError::invalid("Duration", "is missing"))?;
        let duration = Duration::from_millis(duration);
        if duration.is_zero() || duration > MAX_BATTLE {
            return Err(ApiError::invalid("Duration", "is not between 1 and 86400000 milliseconds"));
        }
        let asks = if self.need_response == Some(true) { Asks::Always } else { asks };
        let timeout = Duration::from_millis(self.timeout.unwrap_or(30_000));
        if asks != Asks::Never && (timeout.is_zero() || timeout > Duration::from_secs(600)) {
            return Err(ApiError::invalid("Timeout", "is not between 1 and 600000 milliseconds"));
        }
        let extension = self.extension_info.unwrap_or_default();
        if extension.len() > 1000 {
            return Err(::rooms::Error::too_long("ExtensionInfo", extension.len(), 1000).into());
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(ApiError::internal)?;
        Ok(NewBattle { id: wire::hex(&random), called, duration, asks, timeout, extension })
    }
}

impl Created {
    /// What is answered to who has called these.
    pub(crate) fn new(battle_id: String, called: &[RoomId], answer: Answer) -> Result<Self, ApiError> {
        let Answer::Called { is_busy } = answer else { return Err(unexpected(&answer)) };
        let result = called.iter().zip(is_busy).map(|(room, is_busy)| {
            let (result_code, result_message) =
                if is_busy { (FIGHTS_ALREADY, "the room is in a battle already") } else { (0, "") };
            RoomResult { room_id: room.to_string(), result_code, result_message }
        });
        Ok(Created { battle_id, result: result.collect() })
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
    let adds = match request.op_type {
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
    let command = Command::Score { battle: id, scores: scores.clone(), adds };
    let answer = call.app.between.ask(call.caller.to_string(), command).await?;
    let Answer::Scored { is_in } = answer else { return Err(unexpected(&answer)) };
    let result = scores.iter().zip(is_in).map(|((room, _), is_in)| RoomResult {
        room_id: room.to_string(),
        result_code: u32::from(!is_in),
        result_message: if is_in { "" } else { "the room has no part in this battle" },
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
    fn find(&self, call: &Call) -> Result<Arc<Battle>, ApiError> {
        let between = &call.app.between;
        match (self.battle_id.as_deref(), self.room_id.as_deref()) {
            (Some(id), _) if !id.is_empty() => {
                let battle = between.look(|standing| standing.battle(id))?;
                let is_of_caller = |room: &Incarnation| {
                    call.app.living(room).is_some_and(|cell| call.read(&cell, None).is_ok())
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
                let cell = call.app.room(room_id.as_str())?;
                drop(call.read(&cell, None)?);
                let battle = between.look(|standing| standing.battle_of(&cell.incarnation()));
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
    Ok(super::answer::Rendered::new(wire::battle(&*request.find(&call)?).to_string()))
}

pub(super) async fn end_battle(call: Call, request: BattleRequest) -> Result<Done, ApiError> {
    let battle = request.find(&call)?.id.clone();
    call.app.between.ask(call.caller.to_string(), Command::End { battle }).await?;
    Ok(Done)
}
