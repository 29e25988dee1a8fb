//! Robots: members that an administrator places.

use ::rooms::UserId;
use hall::Planned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Call;
use super::answer::{Done, Response};
use super::rooms::{LIVE, require_room_id};
use crate::error::ApiError;

/// How many robots one call may name, and how many are answered at once.
const MAX_ROBOTS: usize = 100;

#[derive(Deserialize, JsonSchema)]
pub(super) struct RobotsRequest {
    #[serde(rename = "RoomId")]
    #[schemars(required)]
    room_id: Option<String>,
    #[serde(rename = "RobotList_Account")]
    #[schemars(required)]
    robots: Option<Vec<String>>,
}

pub(super) async fn add_robot(call: Call, request: RobotsRequest) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let users = call.app.require_accounts("RobotList_Account", request.robots, MAX_ROBOTS)?;
    call.change(&room_id, LIVE, Planned::AddRobots(users)).await?;
    Ok(Done)
}

pub(super) async fn del_robot(call: Call, request: RobotsRequest) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let users = call.app.require_accounts("RobotList_Account", request.robots, MAX_ROBOTS)?;
    call.change(&room_id, LIVE, Planned::DeleteRobots(users)).await?;
    Ok(Done)
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListRequest {
    #[schemars(required)]
    room_id: Option<String>,
    next: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct RobotList {
    #[serde(rename = "RobotList_Account")]
    robots: Vec<String>,
    #[serde(rename = "Next")]
    next: String,
}

/// `Next` is the last robot listed, so that it stays a place.
pub(super) async fn get_robot(call: Call, request: ListRequest) -> Result<Response<RobotList>, ApiError> {
    let cell = call.app.room(require_room_id(request.room_id.as_deref())?.as_str())?;
    let room = call.read(&cell, LIVE)?;
    let after = match request.next.as_deref() {
        None | Some("" | "0") => "",
        Some(next) => UserId::parse_field("Next", next).map(|_| next)?,
    };
    let mut rest = room.robots_after(after).map(UserId::to_string);
    let robots: Vec<String> = rest.by_ref().take(MAX_ROBOTS).collect();
    let next = rest.next().and_then(|_| robots.last().cloned()).unwrap_or_default();
    Ok(Response(RobotList { robots, next }))
}
