//! A room's metadata: set, get, delete.

use hall::Planned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Call;
use super::answer::{Done, Response};
use super::rooms::{LIVE, require_room_id};
use crate::error::ApiError;

/// An entry.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    key: String,
    value: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetRequest {
    #[schemars(required)]
    room_id: Option<String>,
    #[schemars(required)]
    metadata: Option<Vec<Entry>>,
}

pub(super) async fn set_room_metadata(call: Call, request: SetRequest) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let entries = request.metadata.ok_or_else(|| ApiError::invalid("Metadata", "is missing"))?;
    let entries = entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
    call.change(&room_id, LIVE, Planned::SetMetadata(entries)).await?;
    Ok(Done)
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeysRequest {
    #[schemars(required)]
    room_id: Option<String>,
    /// None, or an empty list: all of them.
    keys: Option<Vec<String>>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Metadata {
    metadata: Vec<Entry>,
}

pub(super) async fn get_room_metadata(
    call: Call,
    request: KeysRequest,
) -> Result<Response<Metadata>, ApiError> {
    let cell = call.app.room(require_room_id(request.room_id.as_deref())?.as_str())?;
    let room = call.read(&cell, LIVE)?;
    let keys = request.keys.unwrap_or_default();
    let entry = |(key, value): (&str, &str)| Entry { key: key.into(), value: value.into() };
    Ok(Response(Metadata { metadata: room.metadata(&keys).map(entry).collect() }))
}

pub(super) async fn del_room_metadata(call: Call, request: KeysRequest) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let keys = request.keys.unwrap_or_default();
    call.change(&room_id, LIVE, Planned::DeleteMetadata(keys)).await?;
    Ok(Done)
}
