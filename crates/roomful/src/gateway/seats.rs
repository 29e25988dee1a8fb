//! Seats, as a member takes, leaves and asks for them. The rules are `rooms/src/seats.rs` and `seat_requests.rs`.

use std::sync::Arc;
use std::time::Duration;

use hall::{Answer, Command, Passing, Planned};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asked::{Asked, Done, InRoom, Rendered};
use crate::clock;
use crate::error::ApiError;
use crate::events::{SeatRequestView, seat_request, to_json};
use crate::halls::{OpenRoom, unexpected};
use crate::rest::read_index;

/// How long a request waits when its maker does not say.
const DEFAULT_TIMEOUT_SECONDS: u64 = 30;
/// The longest a request may wait.
const MAX_TIMEOUT_SECONDS: u64 = 3600;

/// How long a request is to wait.
fn read_timeout(seconds: Option<u64>) -> Result<Duration, ApiError> {
    match seconds {
        None | Some(0) => Ok(Duration::from_secs(DEFAULT_TIMEOUT_SECONDS)),
        Some(seconds) if seconds > MAX_TIMEOUT_SECONDS => {
            let trouble = format_args!("is {seconds}; at most {MAX_TIMEOUT_SECONDS} seconds are allowed");
            Err(ApiError::invalid("Timeout", trouble))
        }
        Some(seconds) => Ok(Duration::from_secs(seconds)),
    }
}

/// Where whoever was meant sits now.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Seated {
    /// -1 when it does not.
    index: i64,
}

/// Makes a durable change, in the member's name.
async fn change(asked: &Asked, cell: &Arc<OpenRoom>, what: Planned) -> Result<Answer, ApiError> {
    asked.spend_change()?;
    cell.ask(asked.session.as_member(), None, Command::Planned(what)).await
}

/// The same; answers where whoever was meant sits now.
async fn seat(asked: &Asked, cell: &Arc<OpenRoom>, what: Planned) -> Result<Seated, ApiError> {
    match change(asked, cell, what).await? {
        Answer::Seat(index) => Ok(Seated { index: index.map_or(-1, i64::from) }),
        other => Err(unexpected(&other)),
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TakeSeat {
    #[schemars(required)]
    room_id: Option<String>,
    /// From 0; -1 or none is any.
    #[serde(alias = "SeatIndex")]
    index: Option<i64>,
}

pub(super) async fn take_seat(asked: Asked, request: TakeSeat) -> Result<Seated, ApiError> {
    let cell = asked.room(request.room_id.as_deref())?;
    let index = read_index(request.index)?;
    seat(&asked, &cell, Planned::TakeSeat { index }).await
}

pub(super) async fn leave_seat(asked: Asked, request: InRoom) -> Result<Done, ApiError> {
    let cell = asked.room(request.room_id.as_deref())?;
    change(&asked, &cell, Planned::LeaveSeat).await?;
    Ok(Done {})
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MoveToSeat {
    #[schemars(required)]
    room_id: Option<String>,
    #[serde(alias = "SeatIndex")]
    #[schemars(required)]
    index: Option<i64>,
}

pub(super) async fn move_to_seat(asked: Asked, request: MoveToSeat) -> Result<Seated, ApiError> {
    let cell = asked.room(request.room_id.as_deref())?;
    let index = read_index(request.index)?.ok_or_else(|| ApiError::invalid("Index", "is missing"))?;
    seat(&asked, &cell, Planned::ChangeSeat { index }).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ApplyForSeat {
    #[schemars(required)]
    room_id: Option<String>,
    /// From 0; -1 or none is any.
    #[serde(alias = "SeatIndex")]
    index: Option<i64>,
    /// Seconds.
    timeout: Option<u64>,
}

/// A request that was made.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Requested {
    request_id: String,
}

pub(super) async fn apply_for_seat(asked: Asked, request: ApplyForSeat) -> Result<Requested, ApiError> {
    let cell = asked.room(request.room_id.as_deref())?;
    let (timeout, index) = (read_timeout(request.timeout)?, read_index(request.index)?);
    open(&asked, &cell, Passing::ApplyForSeat { index, timeout }).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InviteToSeat {
    #[schemars(required)]
    room_id: Option<String>,
    #[serde(rename = "Member_Account")]
    #[schemars(required)]
    member: Option<String>,
    /// From 0; -1 or none is any.
    #[serde(alias = "SeatIndex")]
    index: Option<i64>,
    /// Seconds.
    timeout: Option<u64>,
}

pub(super) async fn invite_to_seat(asked: Asked, request: InviteToSeat) -> Result<Requested, ApiError> {
    let cell = asked.room(request.room_id.as_deref())?;
    let (timeout, index) = (read_timeout(request.timeout)?, read_index(request.index)?);
    let guest = cell.app.require_account_field("Member_Account", request.member.as_deref())?;
    open(&asked, &cell, Passing::InviteToSeat { guest, index, timeout }).await
}

/// Makes a request.
async fn open(asked: &Asked, cell: &Arc<OpenRoom>, what: Passing) -> Result<Requested, ApiError> {
    match cell.ask(asked.session.as_member(), None, Command::Passing(what)).await? {
        Answer::Request(id) => Ok(Requested { request_id: id.to_string() }),
        other => Err(unexpected(&other)),
    }
}

/// A request that is to end.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfRequest {
    #[schemars(required)]
    room_id: Option<String>,
    #[schemars(required, with = "String")]
    request_id: Option<u64>,
}

impl OfRequest {
    fn room(&self, asked: &Asked) -> Result<(Arc<OpenRoom>, u64), ApiError> {
        let cell = asked.room(self.room_id.as_deref())?;
        let id = self.request_id.ok_or_else(|| ApiError::invalid("RequestId", "is missing"))?;
        Ok((cell, id))
    }
}

pub(super) async fn accept_seat_request(asked: Asked, request: OfRequest) -> Result<Seated, ApiError> {
    let (cell, id) = request.room(&asked)?;
    seat(&asked, &cell, Planned::AcceptSeat { id }).await
}

pub(super) async fn reject_seat_request(asked: Asked, request: OfRequest) -> Result<Done, ApiError> {
    let (cell, id) = request.room(&asked)?;
    change(&asked, &cell, Planned::RejectSeat { id }).await?;
    Ok(Done {})
}

pub(super) async fn cancel_seat_request(asked: Asked, request: OfRequest) -> Result<Done, ApiError> {
    let (cell, id) = request.room(&asked)?;
    change(&asked, &cell, Planned::CancelSeat { id }).await?;
    Ok(Done {})
}

/// Who asks for a seat.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Applications<'a> {
    application_list: Vec<SeatRequestView<'a>>,
}

pub(super) async fn get_seat_applications(
    asked: Asked,
    request: InRoom,
) -> Result<Rendered<Applications<'static>>, ApiError> {
    let cell = asked.room(request.room_id.as_deref())?;
    let room = cell.read()?;
    room.require_seats()?;
    room.require_manager(&asked.session.user)?;
    let application_list = room.seat_applications(clock::now()).map(seat_request).collect();
    Ok(Rendered::new(to_json(&Applications { application_list })))
}
