//! Rooms of type Conference: the same core under another service.

use ::rooms::{FIRST_MARK, MAX_INVITEES, PAGE_SIZE, RoomType, UserId};
use hall::Planned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::{Done, Rendered, Response};
use super::integers::integer;
use super::messages::{CustomRequest, Sent, TextRequest};
use super::moderation::{self, BannedList, MembersRequest, MutedList, OwnerRequest, PageRequest, page};
use super::rooms::{self as live, INVITEES, InfoRequest, OneRoom, RoomRequest, Statistics, require_room_id};
use super::{Call, messages};
use crate::error::ApiError;
use crate::wire::RoomInfoView;

const CONFERENCE: Option<RoomType> = Some(RoomType::Conference);

/// How many members get_room_member_list answers by default; at most it is [`PAGE_SIZE`].
const USUAL_COUNT: u64 = 50;

/// How many booked rooms are answered at most, and by default.
const MOST_BOOKED: u64 = 20;

/// How many accounts mark_room_member takes at once, and how many marks for each.
const MAX_MARKED: usize = 10;
const MAX_MARKS_AT_ONCE: usize = 3;

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

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListRequest {
    #[schemars(required)]
    room_id: Option<String>,
    next: Option<String>,
    /// 50 where it is not given, and 1000 where it is more.
    count: Option<u64>,
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
    /// Owner, Admin or Member.
    role: &'static str,
    name_card: String,
    /// The app's own numbers for it.
    marks: Vec<u32>,
    custom_info: String,
}

pub(super) async fn get_room_member_list(
    call: Call,
    request: ListRequest,
) -> Result<Response<MemberList>, ApiError> {
    let cell = call.app.room(require_room_id(request.room_id.as_deref())?.as_str())?;
    let count = match request.count.unwrap_or(USUAL_COUNT) {
        0 => return Err(ApiError::invalid("Count", format_args!("is 0; ask for 1 to {PAGE_SIZE} members"))),
        count => usize::try_from(count).unwrap_or(usize::MAX),
    };
    let (next, cap) = (request.next.as_deref().unwrap_or_default(), call.server.config.member_list.cap);
    let room = call.read(&cell, CONFERENCE)?;
    let page = room.page_of(next, cap, count)?;
    let member = |user: &UserId| {
        let card = room.card(user.as_str()).cloned().unwrap_or_default();
        Member {
            member_account: user.to_string(),
            role: room.role(user.as_str()).as_str(),
            name_card: card.name_card,
            marks: card.marks,
            custom_info: card.custom_info,
        }
    };
    let member_list = page.members().map(member).collect();
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

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MarkRequest {
    #[schemars(required)]
    room_id: Option<String>,
    /// 1 sets marks, 2 deletes them; as a number or a string.
    #[schemars(required)]
    command_type: Option<Value>,
    /// At most 10.
    #[schemars(required)]
    member_list: Option<Vec<Marked>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Marked {
    #[serde(rename = "Member_Account")]
    #[schemars(required)]
    member_account: Option<String>,
    /// At most 3 at once, from 1000 on.
    #[schemars(required)]
    marks: Option<Vec<u32>>,
}

pub(super) async fn mark_room_member(call: Call, request: MarkRequest) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let kind = request.command_type.filter(|kind| !kind.is_null());
    let on = match kind.as_ref().map(integer::<u64>) {
        Some(Some(1)) => true,
        Some(Some(2)) => false,
        None => return Err(ApiError::invalid("CommandType", "is missing; 1 sets marks, 2 deletes them")),
        Some(_) => return Err(ApiError::invalid("CommandType", "is neither 1 (set) nor 2 (delete)")),
    };
    let members = request.member_list.filter(|list| !list.is_empty());
    let members =
        members.ok_or_else(|| ApiError::invalid("MemberList", "is missing, or names no account"))?;
    if members.len() > MAX_MARKED {
        let trouble = format_args!("names {} accounts; at most {MAX_MARKED} are allowed", members.len());
        return Err(ApiError::invalid("MemberList", trouble));
    }
    let read = |Marked { member_account, marks }: Marked| {
        let user = call.app.require_account_field("Member_Account", member_account.as_deref())?;
        let marks = marks.filter(|marks| !marks.is_empty());
        let marks = marks.ok_or_else(|| ApiError::invalid("Marks", "is missing, or has none"))?;
        if marks.len() > MAX_MARKS_AT_ONCE {
            let trouble =
                format_args!("has {} marks; at most {MAX_MARKS_AT_ONCE} are allowed at once", marks.len());
            return Err(ApiError::invalid("Marks", trouble));
        }
        match marks.iter().find(|mark| **mark < FIRST_MARK) {
            Some(mark) => {
                Err(ApiError::invalid("Marks", format_args!("has {mark}; they begin at {FIRST_MARK}")))
            }
            None => Ok((user, marks)),
        }
    };
    let marks = members.into_iter().map(read).collect::<Result<_, ApiError>>()?;
    call.change(&room_id, CONFERENCE, Planned::Mark { marks, on }).await?;
    Ok(Done)
}

#[derive(Serialize, JsonSchema)]
pub(super) struct InviteeList {
    /// "" on the last page.
    #[serde(rename = "Next")]
    next: String,
    #[serde(rename = "ScheduleInviteeList_Account")]
    invitees: Vec<String>,
}

pub(super) async fn get_schedule_invitee_list(
    call: Call,
    request: PageRequest,
) -> Result<Response<InviteeList>, ApiError> {
    let cell = call.app.room(require_room_id(request.room_id())?.as_str())?;
    let range = request.range()?;
    let room = call.read(&cell, CONFERENCE)?;
    let invitees = room.info().schedule.iter().flat_map(|schedule| &schedule.invitees);
    let (invitees, next) = page(invitees.map(UserId::to_string), range);
    Ok(Response(InviteeList { next, invitees }))
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct InviteesRequest {
    #[serde(rename = "RoomId")]
    #[schemars(required)]
    room_id: Option<String>,
    /// At most 300 are invited to a room.
    #[serde(rename = "ScheduleInviteeList_Account")]
    #[schemars(required)]
    invitees: Option<Vec<String>>,
}

pub(super) async fn add_schedule_invitee(call: Call, request: InviteesRequest) -> Result<Done, ApiError> {
    invite(call, request, true).await
}

pub(super) async fn del_schedule_invitee(call: Call, request: InviteesRequest) -> Result<Done, ApiError> {
    invite(call, request, false).await
}

async fn invite(call: Call, request: InviteesRequest, on: bool) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let users = call.app.require_accounts(INVITEES, request.invitees, MAX_INVITEES)?;
    call.change(&room_id, CONFERENCE, Planned::Invite { users, on }).await?;
    Ok(Done)
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct BookedRequest {
    /// Whose; a member's own where a member asks.
    #[serde(rename = "User_Account")]
    user: Option<String>,
    #[serde(rename = "Next")]
    next: Option<String>,
    /// 20 where it is not given, or more.
    #[serde(rename = "Count")]
    count: Option<u64>,
}

/// A page of the booked rooms that somebody is invited to or owns, by when they begin; `Next` is empty on the last.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[allow(dead_code, reason = "the shape of what is rendered elsewhere")]
pub(super) struct BookedList {
    next: String,
    room_list: Vec<RoomInfoView<'static>>,
}

pub(super) async fn get_scheduled_room_list(
    call: Call,
    request: BookedRequest,
) -> Result<Rendered<BookedList>, ApiError> {
    let user = match (call.is_member(), request.user.as_deref()) {
        (true, Some(user)) if user != call.caller.as_str() => {
            return Err(ApiError::invalid("User_Account", "must be you, or absent"));
        }
        (true, _) => call.caller.clone(),
        (false, user) => call.app.require_account_field("User_Account", user)?,
    };
    let count = match request.count {
        None => MOST_BOOKED,
        Some(0) => {
            return Err(ApiError::invalid("Count", format_args!("is 0; ask for 1 to {MOST_BOOKED} rooms")));
        }
        Some(count) => count.min(MOST_BOOKED),
    };
    let after = match request.next.as_deref() {
        None | Some("") => None,
        Some(text) => Some(live::open_cursor("get_scheduled_room_list", text)?),
    };
    // By when they begin, and those of one moment by id.
    let mut keys: Vec<live::SortKey> = Vec::new();
    for cell in call.app.booked.of(&user).iter().filter_map(|room| call.app.living(room)) {
        let Ok(room) = cell.read() else { continue };
        let Some(schedule) = &room.info().schedule else { continue };
        let key = (schedule.start.unix_millis(), cell.room_id.clone());
        if after.as_ref().is_none_or(|after| key > *after) {
            keys.push(key);
        }
    }
    keys.sort_unstable();
    Ok(Rendered::new(live::first_of(&call.app, keys, count)))
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
