//! get_member_list (`spec/get-member-list.md`), the call everything else makes truthful.

use ::rooms::RoomType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::Rendered;
use crate::app::App;
use crate::error::ApiError;

/// The request, the same over REST and from a member.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListRequest {
    #[schemars(required)]
    pub(crate) room_id: Option<String>,
    pub(crate) next: Option<String>,
}

/// A page of the member list; `Next` is empty on the last.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[allow(dead_code, reason = "the shape of what is rendered elsewhere")]
pub(super) struct MemberList {
    next: String,
    member_count: usize,
    member_list: Vec<Member>,
}

#[derive(Serialize, JsonSchema)]
#[allow(dead_code, reason = "the shape of what is rendered elsewhere")]
pub(super) struct Member {
    #[serde(rename = "Member_Account")]
    member_account: String,
}

pub(super) fn get_member_list(app: &App, request: ListRequest) -> Result<Rendered<MemberList>, ApiError> {
    let room = app.room(super::rooms::require_room_id(request.room_id.as_deref())?.as_str())?;
    let next = request.next.as_deref().unwrap_or_default();
    Ok(Rendered::new(room.page(Some(RoomType::Live), next)?))
}
