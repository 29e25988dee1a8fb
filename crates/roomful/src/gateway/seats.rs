//! Seats, as a member takes, leaves and asks for them. The rules are `rooms/src/seats.rs` and `seat_requests.rs`.

use std::sync::Arc;
use std::time::Duration;

use hall::{Answer, Command, Passing, Planned};
use serde::Deserialize;
use serde_json::{Value, json};

use super::asked::Asked;
use crate::clock;
use crate::error::ApiError;
use crate::halls::{OpenRoom, unexpected};
use crate::rest::read_index;
use crate::wire;

/// How long a request waits when its maker does not say.
const DEFAULT_TIMEOUT_SECONDS: u64 = 30;
/// The longest a request may wait.
const MAX_TIMEOUT_SECONDS: u64 = 3600;

#[derive(Deserialize)]
struct SeatRequestBody {
    #[serde(rename = "RoomId")]
    room_id: Option<String>,
    #[serde(rename = "Index", alias = "SeatIndex")]
    index: Option<i64>,
    /// Seconds.
    #[serde(rename = "Timeout")]
    timeout: Option<u64>,
    #[serde(rename = "Member_Account")]
    member: Option<String>,
    #[serde(rename = "RequestId")]
    request_id: Option<u64>,
}

impl SeatRequestBody {
    fn timeout(&self) -> Result<Duration, ApiError> {
        match self.timeout {
            None | Some(0) => Ok(Duration::from_secs(DEFAULT_TIMEOUT_SECONDS)),
            Some(seconds) if seconds > MAX_TIMEOUT_SECONDS => {
                let trouble = format_args!("is {seconds}; at most {MAX_TIMEOUT_SECONDS} seconds are allowed");
                Err(ApiError::invalid("Timeout", trouble))
            }
            Some(seconds) => Ok(Duration::from_secs(seconds)),
        }
    }

    fn request_id(&self) -> Result<u64, ApiError> {
        self.request_id.ok_or_else(|| ApiError::invalid("RequestId", "is missing"))
    }
}

/// Makes a durable change, in the member's name.
async fn change(asked: &Asked, cell: &Arc<OpenRoom>, what: Planned) -> Result<Answer, ApiError> {
    asked.spend_change()?;
    asked.server.ask(cell, asked.session.as_member(), None, Command::Planned(what)).await
}

/// The same; answers where whoever was meant sits now.
async fn seat(asked: &Asked, cell: &Arc<OpenRoom>, what: Planned) -> Result<String, ApiError> {
    match change(asked, cell, what).await? {
        Answer::Seat(index) => Ok(json!({"Index": index.map_or(-1, i64::from)}).to_string()),
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn take_seat(asked: Asked) -> Result<String, ApiError> {
    let request: SeatRequestBody = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    let index = read_index(request.index)?;
    seat(&asked, &cell, Planned::TakeSeat { index }).await
}

pub(super) async fn leave_seat(asked: Asked) -> Result<String, ApiError> {
    let request: SeatRequestBody = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    change(&asked, &cell, Planned::LeaveSeat).await?;
    Ok("{}".into())
}

pub(super) async fn move_to_seat(asked: Asked) -> Result<String, ApiError> {
    let request: SeatRequestBody = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    let index = read_index(request.index)?.ok_or_else(|| ApiError::invalid("Index", "is missing"))?;
    seat(&asked, &cell, Planned::ChangeSeat { index }).await
}

pub(super) async fn apply_for_seat(asked: Asked) -> Result<String, ApiError> {
    let request: SeatRequestBody = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    let (timeout, index) = (request.timeout()?, read_index(request.index)?);
    open(&asked, &cell, Passing::ApplyForSeat { index, timeout }).await
}

pub(super) async fn invite_to_seat(asked: Asked) -> Result<String, ApiError> {
    let request: SeatRequestBody = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    let (timeout, index) = (request.timeout()?, read_index(request.index)?);
    let guest = cell.app.require_account_field("Member_Account", request.member.as_deref())?;
    open(&asked, &cell, Passing::InviteToSeat { guest, index, timeout }).await
}

/// Makes a request.
async fn open(asked: &Asked, cell: &Arc<OpenRoom>, what: Passing) -> Result<String, ApiError> {
    match cell.ask(asked.session.as_member(), None, Command::Passing(what)).await? {
        Answer::Request(id) => Ok(json!({"RequestId": id.to_string()}).to_string()),
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn accept_seat_request(asked: Asked) -> Result<String, ApiError> {
    let body: SeatRequestBody = asked.parse()?;
    let cell = asked.room(body.room_id.as_deref())?;
    let id = body.request_id()?;
    seat(&asked, &cell, Planned::AcceptSeat { id }).await
}

pub(super) async fn reject_seat_request(asked: Asked) -> Result<String, ApiError> {
    let body: SeatRequestBody = asked.parse()?;
    let cell = asked.room(body.room_id.as_deref())?;
    let id = body.request_id()?;
    change(&asked, &cell, Planned::RejectSeat { id }).await?;
    Ok("{}".into())
}

pub(super) async fn cancel_seat_request(asked: Asked) -> Result<String, ApiError> {
    let body: SeatRequestBody = asked.parse()?;
    let cell = asked.room(body.room_id.as_deref())?;
    let id = body.request_id()?;
    change(&asked, &cell, Planned::CancelSeat { id }).await?;
    Ok("{}".into())
}

pub(super) async fn get_seat_applications(asked: Asked) -> Result<String, ApiError> {
    let body: SeatRequestBody = asked.parse()?;
    let cell = asked.room(body.room_id.as_deref())?;
    let room = cell.read()?;
    room.require_seats()?;
    room.require_manager(&asked.session.user)?;
    let applications: Vec<Value> = room.seat_applications(clock::now()).map(wire::seat_request).collect();
    Ok(json!({"ApplicationList": applications}).to_string())
}
