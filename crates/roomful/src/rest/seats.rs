//! Seats, as an administrator sees and orders them. The rules are `rooms/src/seats.rs`.

use ::rooms::{IfTaken, SeatLocks};
use hall::Planned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Call;
use super::answer::{Done, Response};
use super::rooms::{RoomRequest, require_room_id};
use crate::error::ApiError;
use crate::wire::{self, SeatView};

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SeatList {
    seat_list: Vec<SeatView>,
}

pub(super) async fn get_seat_list(call: Call, request: RoomRequest) -> Result<Response<SeatList>, ApiError> {
    let cell = call.app.room(request.room_id()?.as_str())?;
    let room = call.read(&cell, None)?;
    room.require_seats()?;
    Ok(Response(SeatList { seat_list: wire::seats(room.seats()) }))
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct SeatRequest {
    #[serde(rename = "RoomId")]
    #[schemars(required)]
    room_id: Option<String>,
    #[serde(rename = "Member_Account")]
    #[schemars(required)]
    member: Option<String>,
    /// From 0; -1 is any.
    #[serde(rename = "Index", alias = "SeatIndex")]
    index: Option<i64>,
    /// When the seat is taken: 0 refuse, 1 take the other off, 2 change places.
    #[serde(rename = "Policy")]
    policy: Option<i64>,
}

/// A seat's index; -1 or none is any.
pub(crate) fn read_index(index: Option<i64>) -> Result<Option<u32>, ApiError> {
    match index {
        None | Some(-1) => Ok(None),
        Some(index) => u32::try_from(index)
            .map(Some)
            .map_err(|_| ApiError::invalid("Index", format_args!("is {index}; a seat's index is 0 or more"))),
    }
}

fn require_index(index: Option<i64>) -> Result<u32, ApiError> {
    read_index(index)?.ok_or_else(|| ApiError::invalid("Index", "is missing"))
}

pub(super) async fn pick_user_on_seat(call: Call, request: SeatRequest) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let user = call.app.require_account_field("Member_Account", request.member.as_deref())?;
    let index = read_index(request.index)?;
    call.change(&room_id, None, Planned::PickToSeat { user, index }).await?;
    Ok(Done)
}

pub(super) async fn kick_user_off_seat(call: Call, request: SeatRequest) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let user = call.app.require_account_field("Member_Account", request.member.as_deref())?;
    call.change(&room_id, None, Planned::KickOffSeat { user }).await?;
    Ok(Done)
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LockRequest {
    #[schemars(required)]
    room_id: Option<String>,
    #[serde(alias = "SeatIndex")]
    #[schemars(required)]
    index: Option<i64>,
    #[serde(alias = "IsTakenDisabled")]
    forbid_taken: Option<bool>,
    #[serde(alias = "IsVideoDisabled")]
    forbid_video: Option<bool>,
    #[serde(alias = "IsAudioDisabled")]
    forbid_audio: Option<bool>,
}

pub(super) async fn lock_seat(call: Call, request: LockRequest) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let index = require_index(request.index)?;
    let locks =
        SeatLocks { taken: request.forbid_taken, audio: request.forbid_audio, video: request.forbid_video };
    if locks == SeatLocks::default() {
        return Err(ApiError::invalid(
            "ForbidTaken",
            "ForbidVideo and ForbidAudio are all missing; set at least one",
        ));
    }
    call.change(&room_id, None, Planned::LockSeat { index, locks }).await?;
    Ok(Done)
}

pub(super) async fn move_user_to_seat(call: Call, request: SeatRequest) -> Result<Done, ApiError> {
    let if_taken = match request.policy {
        None | Some(0) => IfTaken::Refuse,
        Some(1) => IfTaken::Replace,
        Some(2) => IfTaken::Swap,
        Some(other) => return Err(ApiError::invalid("Policy", format_args!("is {other}; it is 0, 1 or 2"))),
    };
    move_user(call, request, if_taken).await
}

pub(super) async fn switch_seat(call: Call, request: SeatRequest) -> Result<Done, ApiError> {
    move_user(call, request, IfTaken::Refuse).await
}

async fn move_user(call: Call, request: SeatRequest, if_taken: IfTaken) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let user = call.app.require_account_field("Member_Account", request.member.as_deref())?;
    let index = require_index(request.index)?;
    call.change(&room_id, None, Planned::MoveToSeat { user, index, if_taken }).await?;
    Ok(Done)
}
