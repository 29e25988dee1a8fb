//! Rooms of type Conference: the same core under another service.

use ::rooms::{PAGE_SIZE, RoomType};
use hall::Planned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Done, Rendered, Response};
use super::members::ListRequest;
use super::messages::{CustomRequest, Sent, TextRequest};
use super::moderation::{self, BannedList, MembersRequest, MutedList, OwnerRequest, PageRequest};
use super::rooms::{self as live, InfoRequest, OneRoom, RoomRequest, Statistics, require_room_id};
use super::{Call, messages};
use crate::error::ApiError;

const CONFERENCE: Option<RoomType> = Some(RoomType::Conference);

pub(super) async fn create_room(call: Call, request: InfoRequest) -> Result<Rendered<OneRoom>, ApiError> {
    live::create(call, request, RoomType::Conference).await
}

pub(super) async fn destroy_room(call: Call, request: RoomRequest) -> Result<Response<Statistics>, ApiError> {
    live::destroy(call, request, RoomType::Conference).await
}

pub(super) async fn get_room_info(call: Call, request: RoomRequest) -> Result<Rendered<OneRoom>, ApiError> {
    live::info(&call, &request, RoomType::Conference)
}

pub(super) async fn update_room_info(call: Call, request: InfoRequest) -> Result<Done, ApiError> {
    live::update(call, request, RoomType::Conference).await
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MemberList {
    next: String,
    member_count: usize,
    member_list: Vec<Member>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Member {
    #[serde(rename = "Member_Account")]
    member_account: String,
    role: &'static str,
    name_card: String,
    custom_info: String,
}

pub(super) async fn get_room_member_list(
    call: Call,
    request: ListRequest,
) -> Result<Response<MemberList>, ApiError> {
    let cell = call.app.room(require_room_id(request.room_id.as_deref())?.as_str())?;
    let room = call.read(&cell, CONFERENCE)?;
    let page = room.page(request.next.as_deref().unwrap_or_default(), call.server.config.member_list.cap)?;
    let mut member_list = Vec::with_capacity(page.member_count.min(PAGE_SIZE));
    member_list.extend(page.members().map(|user| {
        let card = room.card(user.as_str()).cloned().unwrap_or_default();
        Member {
            member_account: user.to_string(),
            role: room.role(user.as_str()).as_str(),
            name_card: card.name_card,
            custom_info: card.custom_info,
        }
    }));
    Ok(Response(MemberList { next: page.next, member_count: page.member_count, member_list }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MemberInfoRequest {
    #[schemars(required)]
    room_id: Option<String>,
    #[schemars(required)]
    member_info: Option<MemberInfo>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MemberInfo {
    #[serde(rename = "Member_Account")]
    #[schemars(required)]
    member_account: Option<String>,
    name_card: Option<String>,
    /// Admin or Member.
    role: Option<String>,
    custom_info: Option<String>,
}

pub(super) async fn update_room_member_info(
    call: Call,
    request: MemberInfoRequest,
) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let info = request.member_info.ok_or_else(|| ApiError::invalid("MemberInfo", "is missing"))?;
    let user = call.app.require_account_field("Member_Account", info.member_account.as_deref())?;
    let is_admin = match info.role.as_deref() {
        None => None,
        Some("Admin") => Some(true),
        Some("Member") => Some(false),
        Some(_) => return Err(ApiError::invalid("Role", "is neither Admin nor Member")),
    };
    let (name_card, custom_info) = (info.name_card, info.custom_info);
    call.change(&room_id, CONFERENCE, Planned::SetMember { user, name_card, custom_info, is_admin }).await?;
    Ok(Done)
}

pub(super) async fn change_room_owner(call: Call, request: OwnerRequest) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let owner = call.app.require_account_field("NewOwner_Account", request.new_owner.as_deref())?;
    let from = match request.from.as_deref() {
        None | Some("") => None,
        Some(from) => Some(call.app.require_account("From_Account", from)?.user.clone()),
    };
    let change = Planned::ChangeOwner { to: owner, from, must_be_in: true };
    call.change(&room_id, CONFERENCE, change).await?;
    Ok(Done)
}

pub(super) async fn mute_member(call: Call, request: MembersRequest) -> Result<Done, ApiError> {
    moderation::mute(call, request, CONFERENCE).await
}

pub(super) async fn get_muted_member_list(
    call: Call,
    request: PageRequest,
) -> Result<Response<MutedList>, ApiError> {
    moderation::muted(&call, &request, CONFERENCE)
}

pub(super) async fn ban_member(call: Call, request: MembersRequest) -> Result<Done, ApiError> {
    moderation::ban(call, request, CONFERENCE).await
}

pub(super) async fn unban_member(call: Call, request: MembersRequest) -> Result<Done, ApiError> {
    moderation::unban(call, request, CONFERENCE).await
}

pub(super) async fn get_banned_member_list(
    call: Call,
    request: PageRequest,
) -> Result<Response<BannedList>, ApiError> {
    moderation::banned(&call, &request, CONFERENCE)
}

pub(super) async fn kick_user_out(call: Call, request: MembersRequest) -> Result<Done, ApiError> {
    moderation::kick(call, request, CONFERENCE).await
}

pub(super) async fn send_text_msg(call: Call, request: TextRequest) -> Result<Response<Sent>, ApiError> {
    messages::text(call, request, CONFERENCE).await
}

pub(super) async fn send_custom_msg(call: Call, request: CustomRequest) -> Result<Response<Sent>, ApiError> {
    messages::custom(call, request, CONFERENCE).await
}
