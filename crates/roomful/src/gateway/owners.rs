//! The shapes of what owners ask for between rooms (`between.rs`).

use schemars::JsonSchema;
use serde::Serialize;

use crate::events::ConnectedRoom;

/// Another room is asked to co-host.
#[derive(JsonSchema)]
#[schemars(rename_all = "PascalCase")]
#[allow(dead_code, reason = "the shape of what is parsed elsewhere")]
pub(super) struct Connect {
    room_id: String,
    to_room_id: String,
    /// Seconds.
    timeout: Option<u64>,
    extension_info: Option<String>,
}

/// A request that another room has made.
#[derive(JsonSchema)]
#[schemars(rename_all = "PascalCase")]
#[allow(dead_code, reason = "the shape of what is parsed elsewhere")]
pub(super) struct FromRoom {
    room_id: String,
    from_room_id: String,
}

/// A request to another room.
#[derive(JsonSchema)]
#[schemars(rename_all = "PascalCase")]
#[allow(dead_code, reason = "the shape of what is parsed elsewhere")]
pub(super) struct ToRoom {
    room_id: String,
    to_room_id: String,
}

/// The rooms that are connected.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[allow(dead_code, reason = "the shape of what is rendered elsewhere")]
pub(super) struct Connected {
    room_list: Vec<ConnectedRoom>,
}

/// `RoomId` is the caller's; whoever is called is asked, unless `NeedResponse` is false and the rooms are co-hosting.
#[derive(JsonSchema)]
#[schemars(rename_all = "PascalCase")]
#[allow(dead_code, reason = "the shape of what is parsed elsewhere")]
pub(super) struct RequestBattle {
    room_id: String,
    to_room_id_list: Vec<String>,
    /// Milliseconds.
    duration: u64,
    extension_info: Option<String>,
    need_response: Option<bool>,
    /// Milliseconds the called rooms have to answer.
    timeout: Option<u64>,
}

/// A battle that the room is in, or asked to.
#[derive(JsonSchema)]
#[schemars(rename_all = "PascalCase")]
#[allow(dead_code, reason = "the shape of what is parsed elsewhere")]
pub(super) struct InBattle {
    room_id: String,
    battle_id: String,
}
