//! Mutes, bans, kicks, administrators, ownership. The rules are `rooms/src/moderation.rs`.

use std::time::Duration;

use ::rooms::{RoomType, UserId};
use hall::Planned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Call;
use super::answer::{Done, Response};
use super::integers::integer;
use super::rooms::{LIVE, RoomRequest, require_room_id};
use crate::clock;
use crate::error::ApiError;

/// How many accounts one call may name.
const MAX_ACCOUNTS: usize = 20;

/// How many entries of a list are answered at once.
const MAX_LISTED: usize = 100;

/// The most bytes of a reason.
const MAX_REASON: usize = 200;
const MAX_CONFERENCE_REASON: usize = 1000;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MembersRequest {
    #[schemars(required)]
    room_id: Option<String>,
    #[serde(rename = "MemberList_Account")]
    #[schemars(required)]
    accounts: Option<Vec<String>>,
    reason: Option<String>,
    /// Seconds.
    duration: Option<u32>,
    /// Seconds; 0 lets them speak again.
    mute_time: Option<u32>,
}

impl MembersRequest {
    fn users(&mut self, call: &Call) -> Result<Vec<UserId>, ApiError> {
        call.app.require_accounts("MemberList_Account", self.accounts.take(), MAX_ACCOUNTS)
    }

    fn reason(&self, kind: Option<RoomType>) -> Result<&str, ApiError> {
        let reason = self.reason.as_deref().unwrap_or_default();
        let most = if kind == LIVE { MAX_REASON } else { MAX_CONFERENCE_REASON };
        if reason.len() > most {
            return Err(::rooms::Error::too_long("Reason", reason.len(), most).into());
        }
        Ok(reason)
    }
}

pub(super) async fn mute_member(call: Call, request: MembersRequest) -> Result<Done, ApiError> {
    mute(call, request, LIVE).await
}

pub(super) async fn mute(
    call: Call,
    mut request: MembersRequest,
    kind: Option<RoomType>,
) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let users = request.users(&call)?;
    let seconds = request.mute_time.or(request.duration);
    let seconds =
        seconds.ok_or_else(|| ApiError::invalid("MuteTime", "is missing; 0 lets members speak again"))?;
    let duration = Duration::from_secs(seconds.into());
    call.change(&room_id, kind, Planned::Mute { users, duration }).await?;
    Ok(Done)
}

pub(super) async fn ban_member(call: Call, request: MembersRequest) -> Result<Done, ApiError> {
    ban(call, request, LIVE).await
}

pub(super) async fn ban(
    call: Call,
    mut request: MembersRequest,
    kind: Option<RoomType>,
) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let users = request.users(&call)?;
    let duration = match request.duration {
        None => return Err(ApiError::invalid("Duration", "is missing; say for how many seconds")),
        Some(0) => {
            return Err(ApiError::invalid("Duration", "is 0; a ban of no length is none, see unban_member"));
        }
        Some(seconds) => Duration::from_secs(seconds.into()),
    };
    let reason = request.reason(kind)?.to_owned();
    call.change(&room_id, kind, Planned::Ban { users, reason, duration }).await?;
    Ok(Done)
}

pub(super) async fn unban_member(call: Call, request: MembersRequest) -> Result<Done, ApiError> {
    unban(call, request, LIVE).await
}

pub(super) async fn unban(
    call: Call,
    mut request: MembersRequest,
    kind: Option<RoomType>,
) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let users = request.users(&call)?;
    call.change(&room_id, kind, Planned::Unban { users }).await?;
    Ok(Done)
}

pub(super) async fn kick_user_out(call: Call, request: MembersRequest) -> Result<Done, ApiError> {
    kick(call, request, LIVE).await
}

pub(super) async fn kick(
    call: Call,
    mut request: MembersRequest,
    kind: Option<RoomType>,
) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let users = request.users(&call)?;
    request.reason(kind)?;
    call.change(&room_id, kind, Planned::Kick { users }).await?;
    Ok(Done)
}

/// Callers page in two ways, in any combination: `Offset` and `Limit`, or `Next` and `Count`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PageRequest {
    #[schemars(required)]
    room_id: Option<String>,
    next: Option<Value>,
    count: Option<u64>,
    offset: Option<u64>,
    limit: Option<u64>,
}

impl PageRequest {
    pub(super) fn room_id(&self) -> Option<&str> {
        self.room_id.as_deref()
    }

    /// From which entry, and how many.
    pub(super) fn range(&self) -> Result<(usize, usize), ApiError> {
        let next = match &self.next {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(value) => Some(
                integer::<u64>(value)
                    .ok_or_else(|| ApiError::invalid("Next", "is no cursor of this list; start with \"\""))?,
            ),
        };
        let from = next.or(self.offset).unwrap_or(0);
        let most = self.limit.or(self.count);
        if most == Some(0) {
            let name = if self.limit.is_some() { "Limit" } else { "Count" };
            return Err(ApiError::invalid(name, format_args!("is 0; ask for 1 to {MAX_LISTED} entries")));
        }
        let most = most.map_or(MAX_LISTED, |most| usize::try_from(most).unwrap_or(usize::MAX));
        Ok((usize::try_from(from).unwrap_or(usize::MAX), most.min(MAX_LISTED)))
    }
}

/// A page of `all`, and where the next begins; "" when there is none.
pub(super) fn page<T>(all: impl Iterator<Item = T>, (from, most): (usize, usize)) -> (Vec<T>, String) {
    let mut rest = all.skip(from);
    let page: Vec<T> = rest.by_ref().take(most).collect();
    let next = if rest.next().is_some() { (from + page.len()).to_string() } else { String::new() };
    (page, next)
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MutedList {
    muted_account_list: Vec<Muted>,
    next: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Muted {
    #[serde(rename = "Member_Account")]
    member_account: String,
    /// Unix seconds.
    muted_until: u64,
}

pub(super) async fn get_muted_member_list(
    call: Call,
    request: PageRequest,
) -> Result<Response<MutedList>, ApiError> {
    muted(&call, &request, LIVE)
}

pub(super) fn muted(
    call: &Call,
    request: &PageRequest,
    kind: Option<RoomType>,
) -> Result<Response<MutedList>, ApiError> {
    let cell = call.app.room(require_room_id(request.room_id.as_deref())?.as_str())?;
    let range = request.range()?;
    let room = call.read(&cell, kind)?;
    let muted = room
        .mutes(clock::now())
        .map(|(user, until)| Muted { member_account: user.to_string(), muted_until: until.unix_seconds() });
    let (muted_account_list, next) = page(muted, range);
    Ok(Response(MutedList { muted_account_list, next }))
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BannedList {
    banned_account_list: Vec<Banned>,
    next: String,
    /// The same for callers that page by number; 0 when there is no more.
    next_offset: u64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Banned {
    #[serde(rename = "Member_Account")]
    member_account: String,
    /// Unix seconds.
    banned_until: u64,
    reason: String,
}

pub(super) async fn get_banned_member_list(
    call: Call,
    request: PageRequest,
) -> Result<Response<BannedList>, ApiError> {
    banned(&call, &request, LIVE)
}

pub(super) fn banned(
    call: &Call,
    request: &PageRequest,
    kind: Option<RoomType>,
) -> Result<Response<BannedList>, ApiError> {
    let cell = call.app.room(require_room_id(request.room_id.as_deref())?.as_str())?;
    let range = request.range()?;
    let room = call.read(&cell, kind)?;
    let banned = room.bans(clock::now()).map(|ban| Banned {
        member_account: ban.user.to_string(),
        banned_until: ban.until.unix_seconds(),
        reason: ban.reason.clone(),
    });
    let (banned_account_list, next) = page(banned, range);
    let next_offset = next.parse().unwrap_or(0);
    Ok(Response(BannedList { banned_account_list, next, next_offset }))
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct AdminRequest {
    #[serde(rename = "RoomId")]
    #[schemars(required)]
    room_id: Option<String>,
    #[serde(rename = "Admin_Account", alias = "AdminList_Account", alias = "MemberList_Account")]
    #[schemars(required)]
    accounts: Option<Vec<String>>,
    /// add or delete
    #[serde(rename = "OpType")]
    #[schemars(required)]
    op_type: Option<String>,
}

pub(super) async fn modify_admin(call: Call, request: AdminRequest) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let users = call.app.require_accounts("Admin_Account", request.accounts, MAX_ACCOUNTS)?;
    let on = match request.op_type.as_deref() {
        Some("add" | "Add" | "ADD") => true,
        Some("delete" | "Delete" | "DELETE" | "del") => false,
        None => return Err(ApiError::invalid("OpType", "is missing; it is add or delete")),
        Some(_) => return Err(ApiError::invalid("OpType", "is neither add nor delete")),
    };
    call.change(&room_id, LIVE, Planned::SetAdmins { users, on }).await?;
    Ok(Done)
}

#[derive(Serialize, JsonSchema)]
pub(super) struct AdminList {
    #[serde(rename = "Admin_Account")]
    admins: Vec<String>,
}

pub(super) async fn get_admin_list(
    call: Call,
    request: RoomRequest,
) -> Result<Response<AdminList>, ApiError> {
    let cell = call.app.room(request.room_id()?.as_str())?;
    let room = call.read(&cell, LIVE)?;
    Ok(Response(AdminList { admins: room.admins().map(UserId::to_string).collect() }))
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct OwnerRequest {
    #[serde(rename = "RoomId")]
    #[schemars(required)]
    pub(super) room_id: Option<String>,
    #[serde(rename = "NewOwner_Account")]
    #[schemars(required)]
    pub(super) new_owner: Option<String>,
    /// The owner it has, for Conference rooms.
    #[serde(rename = "From_Account")]
    pub(super) from: Option<String>,
}

pub(super) async fn change_room_owner(call: Call, request: OwnerRequest) -> Result<Done, ApiError> {
    let room_id = require_room_id(request.room_id.as_deref())?;
    let owner = call.app.require_account_field("NewOwner_Account", request.new_owner.as_deref())?;
    let change = Planned::ChangeOwner { to: owner, from: None, must_be_in: false };
    call.change(&room_id, LIVE, change).await?;
    Ok(Done)
}
