//! Rooms of type Live: create, destroy, look at, change, list.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hall::Planned;
use rooms::{Fields, MAX_INVITEES, RoomId, RoomType, WireTakeSeatMode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Call;
use super::answer::{Done, Rendered, Response};
use super::integers::integer;
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::lives::NewRoom;
use crate::wire::{RoomInfoView, Statistic};

/// What most commands are for.
pub(super) const LIVE: Option<RoomType> = Some(RoomType::Live);

/// How many rooms get_room_list answers at most, and by default; callers who ask for more get this many.
const LIST_SIZE: u64 = 20;

/// Who is invited to a booked room.
pub(super) const INVITEES: &str = "ScheduleInviteeList_Account";

/// A request that names a room.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RoomRequest {
    #[schemars(required)]
    room_id: Option<String>,
}

/// The room id of a request.
pub(crate) fn require_room_id(room_id: Option<&str>) -> Result<RoomId, ApiError> {
    let room_id = room_id.ok_or_else(|| ApiError::invalid("RoomId", "is missing"))?;
    Ok(RoomId::parse(room_id)?)
}

impl RoomRequest {
    pub(super) fn room_id(&self) -> Result<RoomId, ApiError> {
        require_room_id(self.room_id.as_deref())
    }
}

/// A request that says what a room is to be.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InfoRequest {
    #[schemars(required)]
    room_info: Option<InfoFields>,
    /// create_room of a booked Conference room: who is invited to it.
    #[serde(rename = "ScheduleInviteeList_Account")]
    invitees: Option<Vec<String>>,
}

/// A `RoomInfo` as callers give it (`spec/live-rest-api.md`); what is absent keeps its value, or its default.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct InfoFields {
    #[schemars(required)]
    room_id: Option<String>,
    room_type: Option<String>,
    #[serde(rename = "Owner_Account")]
    owner_account: Option<String>,
    room_name: Option<String>,
    seat_template: Option<String>,
    seat_layout_template_id: Option<u32>,
    is_seat_enabled: Option<bool>,
    take_seat_mode: Option<TakeSeatMode>,
    max_seat_count: Option<u32>,
    keep_owner_on_seat: Option<bool>,
    max_member_count: Option<u32>,
    is_unlimited_room_enabled: Option<bool>,
    #[serde(rename = "CoverURL")]
    cover_url: Option<String>,
    #[serde(rename = "BackgroundURL")]
    background_url: Option<String>,
    notice: Option<String>,
    category: Option<Vec<i64>>,
    activity_status: Option<i64>,
    is_public_visible: Option<bool>,
    is_message_disabled: Option<bool>,
    is_gift_enabled: Option<bool>,
    is_like_enabled: Option<bool>,
    is_audio_disabled: Option<bool>,
    is_video_disabled: Option<bool>,
    is_screen_sharing_disabled: Option<bool>,
    is_cloud_recording_disabled: Option<bool>,
    /// Unix seconds; 0 is none. A new Conference room that has one is booked for then.
    schedule_start_time: Option<u32>,
    /// 45 minutes later where none is given.
    schedule_end_time: Option<u32>,
    is_player_listed: Option<bool>,
    lifetime_after_no_users: Option<u32>,
    lifetime_after_owner_leave: Option<u32>,
    lifetime_after_owner_offline: Option<u32>,
    custom_info: Option<String>,
    /// Who enters has to give the password; true by default when a new room has one.
    is_password_enabled: Option<bool>,
    password: Option<String>,
}

/// A name, or the number older callers send.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
struct TakeSeatMode(Value);

impl TakeSeatMode {
    fn read(self) -> WireTakeSeatMode {
        match (integer(&self.0), self.0) {
            (Some(number), _) => WireTakeSeatMode::Number(number),
            (None, Value::String(name)) => WireTakeSeatMode::Name(name),
            (None, other) => WireTakeSeatMode::Name(other.to_string()),
        }
    }
}

impl InfoRequest {
    /// The type that is asked for.
    fn room_type(&self) -> Option<RoomType> {
        let name = self.room_info.as_ref()?.room_type.as_deref()?;
        [RoomType::Live, RoomType::Conference].into_iter().find(|known| known.to_string() == name)
    }

    /// The room, its owner if one is named, and the fields.
    fn read(
        self,
        call: &Call,
        room_type: RoomType,
    ) -> Result<(RoomId, Option<rooms::UserId>, Fields), ApiError> {
        let info = self.room_info.ok_or_else(|| ApiError::invalid("RoomInfo", "is missing"))?;
        let room_id = require_room_id(info.room_id.as_deref())?;
        let wanted = room_type.to_string();
        if info.room_type.as_ref().is_some_and(|given| *given != wanted) {
            let message = format!("RoomType must be {wanted} in this command");
            let refused = ApiError::new(Code::WrongRoomType, message);
            return Err(ApiError { is_for_other_type: true, ..refused });
        }
        let owner = match info.owner_account.as_deref() {
            None | Some("") => None,
            Some(owner) => Some(call.app.require_account("Owner_Account", owner)?.user.clone()),
        };
        let invitees = match self.invitees {
            None => None,
            Some(list) if list.is_empty() => None,
            Some(list) => Some(call.app.require_accounts(INVITEES, Some(list), MAX_INVITEES)?),
        };
        let fields = Fields {
            room_name: info.room_name,
            seat_template: info.seat_template,
            seat_layout_template_id: info.seat_layout_template_id,
            is_seat_enabled: info.is_seat_enabled,
            take_seat_mode: info.take_seat_mode.map(TakeSeatMode::read),
            max_seat_count: info.max_seat_count,
            keep_owner_on_seat: info.keep_owner_on_seat,
            max_member_count: info.max_member_count,
            is_unlimited_room_enabled: info.is_unlimited_room_enabled,
            cover_url: info.cover_url,
            background_url: info.background_url,
            notice: info.notice,
            category: info.category,
            activity_status: info.activity_status,
            is_public_visible: info.is_public_visible,
            is_message_disabled: info.is_message_disabled,
            is_gift_enabled: info.is_gift_enabled,
            is_like_enabled: info.is_like_enabled,
            is_audio_disabled: info.is_audio_disabled,
            is_video_disabled: info.is_video_disabled,
            is_screen_sharing_disabled: info.is_screen_sharing_disabled,
            is_cloud_recording_disabled: info.is_cloud_recording_disabled,
            schedule_start_time: info.schedule_start_time,
            schedule_end_time: info.schedule_end_time,
            invitees,
            is_player_listed: info.is_player_listed,
            lifetime_after_no_users: info.lifetime_after_no_users,
            lifetime_after_owner_leave: info.lifetime_after_owner_leave,
            lifetime_after_owner_offline: info.lifetime_after_owner_offline,
            custom_info: info.custom_info,
            is_password_enabled: info.is_password_enabled,
            password: info.password,
        };
        Ok((room_id, owner, fields))
    }
}

/// A room's record.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[allow(dead_code, reason = "the shape of what is rendered elsewhere")]
pub(super) struct OneRoom {
    room_info: RoomInfoView<'static>,
}

/// A room's numbers at its end.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Statistics {
    statistic: Statistic,
}

pub(super) async fn create_room(call: Call, request: InfoRequest) -> Result<Rendered<OneRoom>, ApiError> {
    create(call, request, RoomType::Live).await
}

pub(super) async fn destroy_room(call: Call, request: RoomRequest) -> Result<Response<Statistics>, ApiError> {
    destroy(call, request, RoomType::Live).await
}

pub(super) async fn get_room_info(call: Call, request: RoomRequest) -> Result<Rendered<OneRoom>, ApiError> {
    info(&call, &request, RoomType::Live)
}

pub(super) async fn update_room_info(call: Call, request: InfoRequest) -> Result<Done, ApiError> {
    update(call, request, RoomType::Live).await
}

/// How many bytes the id of a room may have that an app's server makes (`spec/live-rest-api.md`).
const LONGEST_OF_APPS: usize = 48;

/// Creates a room of either type.
pub(super) async fn create(
    call: Call,
    request: InfoRequest,
    room_type: RoomType,
) -> Result<Rendered<OneRoom>, ApiError> {
    // A member has one command for both types.
    let room_type = if call.is_member() { request.room_type().unwrap_or(room_type) } else { room_type };
    let (room_id, owner, fields) = request.read(&call, room_type)?;
    let bytes = room_id.as_str().len();
    if !call.is_member() && bytes > LONGEST_OF_APPS {
        let trouble = format!("is {bytes} bytes; at most {LONGEST_OF_APPS} are allowed");
        return Err(ApiError::invalid("RoomId", trouble));
    }
    let owner = owner.unwrap_or_else(|| call.caller.clone());
    if call.is_member() && owner != call.caller {
        return Err(ApiError::invalid("Owner_Account", "must be you, or absent"));
    }
    // Members come to a new room all at once, each of them making it: the one who does tells the others.
    if !call.is_member() && !call.app.creations.accept(&room_id, Instant::now()) {
        let message =
            format!("create_room of {room_id} is called more than once a second; slow down and retry");
        return Err(ApiError::new(Code::CalledTooOften, message));
    }
    let made_by = call.is_member().then(|| call.caller.clone());
    let operator = call.caller.as_str();
    let new = NewRoom { room_id, room_type, owner, fields: &fields, operator, made_by };
    Ok(room_info(&call.server.create_room(&call.app, new).await?))
}

/// Destroys a room of either type.
pub(super) async fn destroy(
    call: Call,
    request: RoomRequest,
    room_type: RoomType,
) -> Result<Response<Statistics>, ApiError> {
    let room_id = request.room_id()?;
    let statistic =
        call.server.destroy_room(&call.app, room_id.as_str(), Some(room_type), call.by.clone()).await?;
    Ok(Response(Statistics { statistic }))
}

/// Answers with a room of either type.
pub(super) fn info(
    call: &Call,
    request: &RoomRequest,
    room_type: RoomType,
) -> Result<Rendered<OneRoom>, ApiError> {
    let cell = call.app.room(request.room_id()?.as_str())?;
    let room = call.read(&cell, Some(room_type))?;
    let view = RoomInfoView::new(&room, &call.app);
    let is_in_charge = call.by.require_role(&room, rooms::Role::Admin).is_ok();
    let view = if is_in_charge { view.with_password(room.info()) } else { view };
    Ok(room_info(&view.json()))
}

fn room_info(json: &str) -> Rendered<OneRoom> {
    Rendered::new(format!(r#"{{"RoomInfo":{json}}}"#))
}

/// Changes a room of either type.
pub(super) async fn update(call: Call, request: InfoRequest, room_type: RoomType) -> Result<Done, ApiError> {
    let (room_id, owner, fields) = request.read(&call, room_type)?;
    if fields.invitees.is_some() {
        let trouble = "is for create_room; add_schedule_invitee and del_schedule_invitee change it";
        return Err(ApiError::invalid(INVITEES, trouble));
    }
    let update = Planned::Update { fields: Box::new(fields), owner };
    call.change(&room_id, Some(room_type), update).await?;
    Ok(Done)
}

pub(super) async fn get_room_statistic(
    call: Call,
    request: RoomRequest,
) -> Result<Response<Statistic>, ApiError> {
    let cell = call.app.room(request.room_id()?.as_str())?;
    let room = call.read(&cell, LIVE)?;
    Ok(Response(Statistic::new(room.counters(), room.sender_count())))
}

/// There is no mixed stream to restart, so all is well.
pub(super) async fn resume_mcu_task(call: Call, request: RoomRequest) -> Result<Done, ApiError> {
    let cell = call.app.room(request.room_id()?.as_str())?;
    drop(call.read(&cell, LIVE)?);
    Ok(Done)
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListRequest {
    next: Option<String>,
    count: Option<u64>,
    sort_direction: Option<Value>,
}

/// What a list of rooms is sorted by, such as views, and for those alike the id; a cursor is the last one listed, so that it stays a place.
pub(super) type SortKey = (u64, RoomId);

/// A page of the room list; `Next` is empty on the last.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[allow(dead_code, reason = "the shape of what is rendered elsewhere")]
pub(super) struct RoomList {
    next: String,
    room_list: Vec<RoomInfoView<'static>>,
}

pub(super) async fn get_room_list(call: Call, request: ListRequest) -> Result<Rendered<RoomList>, ApiError> {
    let count = match request.count {
        None => LIST_SIZE,
        Some(0) => return Err(ApiError::invalid("Count", "is 0; ask for 1 to 20 rooms")),
        Some(count) => count.min(LIST_SIZE),
    };
    let ascending = match request.sort_direction {
        None | Some(Value::Null) => false,
        Some(value @ (Value::Number(_) | Value::String(_))) => {
            let name = value.as_str().unwrap_or_default().to_ascii_lowercase();
            integer(&value) == Some(1) || ["asc", "ascend", "ascending"].contains(&name.as_str())
        }
        Some(_) => return Err(ApiError::invalid("SortDirection", "is neither a string nor a number")),
    };
    let after = match request.next.as_deref() {
        None | Some("" | "0") => None,
        Some(text) => Some(open_cursor("get_room_list", text)?),
    };
    let order = |one: &SortKey, other: &SortKey| {
        let by_views = if ascending { one.0.cmp(&other.0) } else { other.0.cmp(&one.0) };
        by_views.then_with(|| one.1.cmp(&other.1))
    };

    let mut keys: Vec<SortKey> = Vec::new();
    for cell in call.app.rooms() {
        let Ok(room) = cell.read() else { continue };
        if !room.info().is_public_visible || room.info().room_type != RoomType::Live {
            continue;
        }
        let key = (room.counters().views, cell.room_id.clone());
        if after.as_ref().is_none_or(|after| order(&key, after).is_gt()) {
            keys.push(key);
        }
    }
    keys.sort_unstable_by(order);
    Ok(Rendered::new(first_of(&call.app, keys, count)))
}

/// The first rooms of those that are left of a list, in its order, and where the next begin.
pub(super) fn first_of(app: &App, mut keys: Vec<SortKey>, count: u64) -> String {
    let has_more = keys.len() as u64 > count;
    keys.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    let next = keys.last().filter(|_| has_more).map(seal_cursor).unwrap_or_default();
    let mut list = String::new();
    for (_, room_id) in &keys {
        let Ok(cell) = app.room(room_id.as_str()) else { continue };
        let Ok(room) = cell.read() else { continue };
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(&RoomInfoView::new(&room, app).json());
    }
    format!(r#"{{"Next":"{next}","RoomList":[{list}]}}"#)
}

fn seal_cursor((by, room_id): &SortKey) -> String {
    URL_SAFE_NO_PAD.encode(format!("{by}:{room_id}"))
}

/// Reads a cursor of that list.
pub(super) fn open_cursor(list: &str, text: &str) -> Result<SortKey, ApiError> {
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (by, room_id) = text.split_once(':')?;
        Some((by.parse().ok()?, RoomId::parse(room_id).ok()?))
    };
    read().ok_or_else(|| ApiError::invalid("Next", format_args!("is no cursor of {list}; start with \"\"")))
}
