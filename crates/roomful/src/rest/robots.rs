//! Robots: members that an administrator places.

use ::rooms::UserId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Call;
use super::answer::{Done, Response};
use super::rooms::{LIVE, require_room_id};
use crate::error::ApiError;
use crate::room_cell::everything;

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
    call.change(&room_id, LIVE, everything, |room, now| {
        // Once more: an account may have been deleted since, and whoever deletes it looks for its robots after this.
        if let Some(user) = users.iter().find(|user| call.app.account(user.as_str()).is_none()) {
            let trouble = format_args!("names {user}, whose account was deleted");
            return Err(::rooms::Error::invalid("RobotList_Account", trouble));
        }
        if let Some(user) = users.iter().find(|user| room.is_banned(user.as_str(), now)) {
            return Err(::rooms::Error::invalid(
                "RobotList_Account",
                format_args!("has {user}, who is banned"),
            ));
        }
        room.add_robots(&users)
    })
    .await?;
    Ok(Done)
}

pub(super) async fn del_robot(call: Call, request: RobotsRequest) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let users = call.app.require_accounts("RobotList_Account", request.robots, MAX_ROBOTS)?;
    call.change(&room_id, LIVE, everything, |room, _| Ok(room.delete_robots(&users))).await?;
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
