//! get_member_list (`spec/get-member-list.md`), the call everything else makes truthful.

use serde::Deserialize;

use super::{Answer, Call};
use crate::error::ApiError;

/// The request, the same over REST and from a member.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListRequest {
    pub(crate) room_id: Option<String>,
    pub(crate) next: Option<String>,
}

pub(super) async fn get_member_list(call: Call) -> Result<Answer, ApiError> {
    let request: ListRequest = call.parse()?;
    let room = call.app.room(super::rooms::require_room_id(request.room_id.as_deref())?.as_str())?;
    let page = room.page(request.next.as_deref().unwrap_or_default(), call.hub.config.member_list.cap)?;
    Ok(Answer::Response(page))
}
