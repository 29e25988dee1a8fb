//! Seats, as a member takes, leaves and asks for them. The rules are `rooms/src/seats.rs` and `seat_requests.rs`.

use std::sync::Arc;
use std::time::Duration;

use hall::Touches;
use rooms::{Event, IfTaken, Outcome, Room, SeatRequest, Time, UserId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::asked::Asked;
use crate::clock;
use crate::error::ApiError;
use crate::rest::read_index;
use crate::room_cell::RoomCell;
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
async fn change<T>(
    asked: &Asked,
    cell: &Arc<RoomCell>,
    plan: impl FnOnce(&mut Room, Time) -> Result<(T, Outcome), rooms::Error>,
) -> Result<T, ApiError> {
    asked.spend_change()?;
    let user = &asked.session.user;
    let touches = |_: &Room, _| Touches::seat_of(user);
    asked.hub.change(cell, None, user.as_str(), touches, plan).await
}

pub(super) async fn take_seat(asked: Asked) -> Result<String, ApiError> {
    let request: SeatRequestBody = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    let (user, index) = (&asked.session.user, read_index(request.index)?);
    change(&asked, &cell, |room, _| {
        room.require_may_take_seat(user)?;
        Ok(((), room.take_seat(user, index)?))
    })
    .await?;
    Ok(seat_of(&cell, user))
}

fn seat_of(cell: &RoomCell, user: &UserId) -> String {
    let index = cell.read().ok().and_then(|room| room.seat_of(user.as_str()));
    json!({"Index": index.map_or(-1, i64::from)}).to_string()
}

pub(super) async fn leave_seat(asked: Asked) -> Result<String, ApiError> {
    let request: SeatRequestBody = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    change(&asked, &cell, |room, _| Ok(((), room.leave_seat(&asked.session.user)?))).await?;
    Ok("{}".into())
}

pub(super) async fn move_to_seat(asked: Asked) -> Result<String, ApiError> {
    let request: SeatRequestBody = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    let index = read_index(request.index)?.ok_or_else(|| ApiError::invalid("Index", "is missing"))?;
    let user = &asked.session.user;
    change(&asked, &cell, |room, _| Ok(((), room.move_to_seat(user, index, IfTaken::Refuse)?))).await?;
    Ok(seat_of(&cell, user))
}

pub(super) async fn apply_for_seat(asked: Asked) -> Result<String, ApiError> {
    let request: SeatRequestBody = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    let (timeout, index) = (request.timeout()?, read_index(request.index)?);
    let request = cell.now(|room, now| {
        let request = room.apply_for_seat(&asked.session.user, index, timeout, now)?;
        Ok((request.clone(), Some(Event::SeatRequested(request))))
    })?;
    Ok(opened(&cell, &request))
}

pub(super) async fn invite_to_seat(asked: Asked) -> Result<String, ApiError> {
    let request: SeatRequestBody = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    let (timeout, index) = (request.timeout()?, read_index(request.index)?);
    let guest = cell.app.require_account_field("Member_Account", request.member.as_deref())?;
    let request = cell.now(|room, now| {
        let request = room.invite_to_seat(&asked.session.user, &guest, index, timeout, now)?;
        Ok((request.clone(), Some(Event::SeatRequested(request))))
    })?;
    Ok(opened(&cell, &request))
}

/// Starts the clock of a request.
fn opened(cell: &Arc<RoomCell>, request: &SeatRequest) -> String {
    cell.watch_requests();
    json!({"RequestId": request.id.to_string()}).to_string()
}

pub(super) async fn accept_seat_request(asked: Asked) -> Result<String, ApiError> {
    let body: SeatRequestBody = asked.parse()?;
    let cell = asked.room(body.room_id.as_deref())?;
    let (id, user) = (body.request_id()?, &asked.session.user);
    let request = change(&asked, &cell, |room, now| room.accept_seat(user, id, now)).await?;
    Ok(seat_of(&cell, &request.guest))
}

pub(super) async fn reject_seat_request(asked: Asked) -> Result<String, ApiError> {
    let body: SeatRequestBody = asked.parse()?;
    let cell = asked.room(body.room_id.as_deref())?;
    let id = body.request_id()?;
    change(&asked, &cell, |room, now| Ok(((), room.reject_seat(&asked.session.user, id, now)?))).await?;
    Ok("{}".into())
}

pub(super) async fn cancel_seat_request(asked: Asked) -> Result<String, ApiError> {
    let body: SeatRequestBody = asked.parse()?;
    let cell = asked.room(body.room_id.as_deref())?;
    let id = body.request_id()?;
    change(&asked, &cell, |room, now| Ok(((), room.cancel_seat(&asked.session.user, id, now)?))).await?;
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
