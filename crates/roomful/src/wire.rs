//! The JSON that several answers and events share.

use std::fmt::{self, Write as _};

use bytes::Bytes;
use rooms::{
    Battle, Content, Counters, Page, Room, RoomInfo, RoomType, Schedule, Seat, SeatTemplate, Side, Stand,
    TakeSeatMode, Time, UserId,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::clock;
use crate::tenant::Tenant;

/// A `RoomInfo` as it is answered (`spec/live-rest-api.md`).
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RoomInfoView<'a> {
    room_id: &'a str,
    room_type: String,
    room_name: &'a str,
    #[serde(rename = "Owner_Account")]
    owner_account: &'a str,
    owner_name: String,
    owner_avatar_url: String,
    create_time: u64,
    seat_template: &'static str,
    seat_layout_template_id: u32,
    is_seat_enabled: bool,
    take_seat_mode: &'static str,
    max_seat_count: u32,
    keep_owner_on_seat: bool,
    max_member_count: u32,
    is_unlimited_room_enabled: bool,
    #[serde(rename = "CoverURL")]
    cover_url: &'a str,
    #[serde(rename = "BackgroundURL")]
    background_url: &'a str,
    notice: &'a str,
    category: &'a [i64],
    activity_status: i64,
    is_public_visible: bool,
    is_message_disabled: bool,
    is_gift_enabled: bool,
    is_like_enabled: bool,
    is_audio_disabled: bool,
    is_video_disabled: bool,
    is_screen_sharing_disabled: bool,
    /// Nobody is to record what goes on in it.
    is_cloud_recording_disabled: bool,
    /// Of Conference rooms alone, as the next two: None (it is not booked), NotStarted or Running.
    #[serde(skip_serializing_if = "Option::is_none")]
    room_status: Option<&'static str>,
    /// Unix seconds; 0: it is not booked.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule_start_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule_end_time: Option<u64>,
    is_player_listed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifetime_after_no_users: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifetime_after_owner_leave: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifetime_after_owner_offline: Option<u64>,
    custom_info: &'a str,
    is_password_enabled: bool,
    /// For the app's server and those in charge of the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    // As `Numbers` has them.
    member_count: usize,
    online_count: usize,
    view_count: u64,
    popularity: u64,
    video_quality_list: [u8; 0],
}

/// A room's numbers, written as they are at the end of a [`RoomInfoView`].
pub(crate) struct Numbers {
    members: usize,
    online: usize,
    views: u64,
}

/// With what they begin. It stands nowhere else: in a text the first quote would be escaped.
const NUMBERS: &str = r#""MemberCount":"#;

impl Numbers {
    pub(crate) fn of(room: &Room) -> Self {
        let members = room.members().len();
        Self { members, online: members + room.players(), views: room.counters().views }
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { members, online, views } = self;
        write!(
            f,
            r#"{NUMBERS}{members},"OnlineCount":{online},"ViewCount":{views},"Popularity":{views},"VideoQualityList":[]}}"#
        )
    }
}

/// The JSON of a [`RoomInfoView`], or of what ends with one, as far as its numbers.
pub(crate) fn before_numbers(json: &str) -> &str {
    let Some((before, _)) = json.split_once(NUMBERS) else {
        debug_assert!(false, "a room's record without its numbers: {json}");
        tracing::error!("a room's record is written without its numbers");
        return "";
    };
    before
}

impl<'a> RoomInfoView<'a> {
    pub(crate) fn new(room: &'a Room, app: &Tenant) -> Self {
        Self::of(room.info(), room, app)
    }

    /// `info` with the numbers of `room`, whose record it is going to be.
    pub(crate) fn of(info: &'a RoomInfo, room: &Room, app: &Tenant) -> Self {
        let owner = app.account(info.owner.as_str());
        let (owner_name, owner_avatar_url) = owner
            .map(|owner| (owner.profile.nick.clone(), owner.profile.face_url.clone()))
            .unwrap_or_default();
        let numbers = Numbers::of(room);
        let is_conference = info.room_type == RoomType::Conference;
        let booked =
            |time: fn(&Schedule) -> Time| info.schedule.as_deref().map(time).map_or(0, Time::unix_seconds);
        let seconds = |lifetime: Option<std::time::Duration>| lifetime.map(|lifetime| lifetime.as_secs());
        Self {
            room_id: info.room_id.as_str(),
            room_type: info.room_type.to_string(),
            room_name: &info.room_name,
            owner_account: info.owner.as_str(),
            owner_name,
            owner_avatar_url,
            create_time: info.created_at.unix_seconds(),
            seat_template: info.seat_template.map_or("", SeatTemplate::name),
            seat_layout_template_id: info
                .seat_template
                .map(SeatTemplate::layout_id)
                .or(info.seat_layout_template_id)
                .unwrap_or_default(),
            is_seat_enabled: info.is_seat_enabled,
            take_seat_mode: match info.take_seat_mode {
                _ if is_conference && !info.is_seat_enabled => "None",
                TakeSeatMode::FreeToTake => "FreeToTake",
                TakeSeatMode::ApplyToTake => "ApplyToTake",
            },
            max_seat_count: info.max_seat_count,
            keep_owner_on_seat: info.keep_owner_on_seat,
            max_member_count: info.max_member_count,
            is_unlimited_room_enabled: info.is_unlimited_room_enabled,
            cover_url: &info.cover_url,
            background_url: &info.background_url,
            notice: &info.notice,
            category: &info.category,
            activity_status: info.activity_status,
            is_public_visible: info.is_public_visible,
            is_message_disabled: info.is_message_disabled,
            is_gift_enabled: info.is_gift_enabled,
            is_like_enabled: info.is_like_enabled,
            is_audio_disabled: info.is_audio_disabled,
            is_video_disabled: info.is_video_disabled,
            is_screen_sharing_disabled: info.is_screen_sharing_disabled,
            is_cloud_recording_disabled: info.is_cloud_recording_disabled,
            room_status: is_conference.then(|| room.status(clock::now()).as_str()),
            schedule_start_time: is_conference.then(|| booked(|schedule| schedule.start)),
            schedule_end_time: is_conference.then(|| booked(|schedule| schedule.end)),
            is_player_listed: info.is_player_listed,
            lifetime_after_no_users: seconds(info.lifetime_after_no_users),
            lifetime_after_owner_leave: seconds(info.lifetime_after_owner_leave),
            lifetime_after_owner_offline: seconds(info.lifetime_after_owner_offline),
            custom_info: &info.custom_info,
            is_password_enabled: info.is_password_enabled,
            password: None,
            member_count: numbers.members,
            online_count: numbers.online,
            view_count: numbers.views,
            popularity: numbers.views,
            video_quality_list: [],
        }
    }

    /// For one who may know how to get in.
    pub(crate) fn with_password(self, info: &'a RoomInfo) -> Self {
        Self { password: Some(info.password.as_str()).filter(|password| !password.is_empty()), ..self }
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// `{"Next": .., "MemberCount": .., "MemberList": [{"Member_Account": ..}]}`
pub(crate) fn page(page: &Page<'_>) -> Bytes {
    let mut json = String::with_capacity(64 + page.member_count.min(rooms::PAGE_SIZE) * 48);
    let _ = write!(json, r#"{{"Next":"{}","MemberCount":{},"MemberList":["#, page.next, page.member_count);
    push_accounts(&mut json, page.members());
    json.push_str("]}");
    json.into()
}

/// A seat as it is answered (`spec/live-rest-api.md`, get_seat_list).
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SeatView {
    index: u32,
    #[serde(rename = "Member_Account", skip_serializing_if = "Option::is_none")]
    member_account: Option<String>,
    is_taken_disabled: bool,
    is_video_disabled: bool,
    is_audio_disabled: bool,
}

pub(crate) fn seats(seats: &[Seat]) -> Vec<SeatView> {
    let view = |(index, seat): (u32, &Seat)| SeatView {
        index,
        member_account: seat.occupant.as_ref().map(UserId::to_string),
        is_taken_disabled: seat.is_locked,
        is_video_disabled: seat.is_video_locked,
        is_audio_disabled: seat.is_audio_locked,
    };
    (0..).zip(seats).map(view).collect()
}

/// A room's numbers as they are answered (`spec/live-rest-api.md`, get_room_statistic).
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Statistic {
    total_viewers: u64,
    total_msg_count: u64,
    total_likes_received: u64,
    total_gifts_sent: u64,
    total_gift_coins: u64,
    total_unique_gift_senders: usize,
}

impl Statistic {
    pub(crate) fn new(counters: Counters, senders: usize) -> Self {
        Self {
            total_viewers: counters.views,
            total_msg_count: counters.messages,
            total_likes_received: counters.likes,
            total_gifts_sent: counters.gifts,
            total_gift_coins: counters.coins,
            total_unique_gift_senders: senders,
        }
    }
}

/// A message as elements of the group service, with its `CloudCustomData`.
pub(crate) fn elements(content: &Content) -> (Value, String) {
    match content {
        Content::Text { text, extension } => {
            (json!([{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}]), extension.clone())
        }
        Content::Custom { business_id, data } => (
            json!([{"MsgType": "TIMCustomElem", "MsgContent": {"Data": data, "Desc": business_id}}]),
            String::new(),
        ),
        Content::Elements { body, extension } => {
            (serde_json::from_str(body).unwrap_or_default(), extension.clone())
        }
    }
}

/// The words of a message that is one text element and nothing else.
pub(crate) fn text_of(elements: &Value) -> Option<String> {
    let [element] = elements.as_array()?.as_slice() else { return None };
    if element.get("MsgType")? != "TIMTextElem" {
        return None;
    }
    Some(element.get("MsgContent")?.get("Text")?.as_str()?.into())
}

/// A room's part in a battle.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BattleSide<'a> {
    room_id: &'a str,
    #[serde(rename = "Owner_Account")]
    owner_account: &'a str,
    score: i64,
    /// Invited, Joined, Rejected or Exited.
    status: &'static str,
}

impl<'a> BattleSide<'a> {
    fn new(side: &'a Side) -> Self {
        Self {
            room_id: side.room.room.as_str(),
            owner_account: side.owner.as_str(),
            score: side.score,
            status: match side.stand {
                Stand::Asked => "Invited",
                Stand::In => "Joined",
                Stand::Refused => "Rejected",
                Stand::Out => "Exited",
            },
        }
    }
}

/// A battle as it is answered (`live_engine_http_pk`, get_battle_info). Durations in milliseconds, times in Unix seconds.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BattleView<'a> {
    battle_id: &'a str,
    duration: u64,
    extension_info: &'a str,
    create_time: u64,
    start_time: u64,
    end_time: u64,
    /// 1 waits for answers, 2 runs, 3 is over.
    status: u32,
    from_room_info: Option<BattleSide<'a>>,
    to_room_list: Vec<BattleSide<'a>>,
    /// Why it ended: 0 its time was up, 1 all but one have left, 2 nobody joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    op_type: Option<u32>,
}

impl<'a> BattleView<'a> {
    pub(crate) fn new(battle: &'a Battle) -> Self {
        let seconds = |time: Option<Time>| time.map_or(0, Time::unix_seconds);
        Self {
            battle_id: &battle.id,
            duration: u64::try_from(battle.duration.as_millis()).unwrap_or(u64::MAX),
            extension_info: &battle.extension_info,
            create_time: battle.created_at.unix_seconds(),
            start_time: seconds(battle.started_at),
            end_time: seconds(battle.ended_at),
            status: match (battle.started_at, battle.ended_at) {
                (_, Some(_)) => 3,
                (Some(_), None) => 2,
                (None, None) => 1,
            },
            from_room_info: battle.sides.first().map(BattleSide::new),
            to_room_list: battle.sides.iter().skip(1).map(BattleSide::new).collect(),
            op_type: battle.end.map(|end| end as u32),
        }
    }
}

/// The same, to be added to.
pub(crate) fn battle(battle: &Battle) -> Value {
    serde_json::to_value(BattleView::new(battle)).unwrap_or_default()
}

/// A whole, unmasked WebSocket text frame, as a server sends it (RFC 6455 5.2).
pub(crate) fn text_frame(text: &str) -> Bytes {
    text_frame_of([text])
}

/// The same, of a text in pieces.
pub(crate) fn text_frame_of<const N: usize>(pieces: [&str; N]) -> Bytes {
    let whole: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut frame = Vec::with_capacity(whole + 10);
    frame.push(0x81);
    match (u8::try_from(whole), u16::try_from(whole)) {
        (Ok(length @ ..126), _) => frame.push(length),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend_from_slice(&(whole as u64).to_be_bytes());
        }
    }
    pieces.iter().for_each(|piece| frame.extend_from_slice(piece.as_bytes()));
    frame.into()
}

/// Sets a field of a JSON object.
pub(crate) fn put(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Value::Object(fields) = object {
        fields.insert(name.into(), value.into());
    }
}

/// A JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A number in digits.
pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut left = number;
    let mut count = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
        count += 1;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - count..).unwrap_or_default());
}

fn push_accounts<'a>(json: &mut String, users: impl Iterator<Item = &'a UserId>) {
    let mut separator = r#"{"Member_Account":"#;
    for user in users {
        json.push_str(separator);
        separator = r#",{"Member_Account":"#;
        // An id has no control characters, so only these two ever need an escape.
        if user.as_str().contains(['"', '\\']) {
            json.push_str(&quoted(user.as_str()));
        } else {
            json.push('"');
            json.push_str(user.as_str());
            json.push('"');
        }
        json.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_are() {
        for number in [0, 7, 10, 33_214, 1_048_576, u64::MAX] {
            let mut out = Vec::new();

            push_number(&mut out, number);

            assert_eq!(out, number.to_string().into_bytes());
        }
    }
}
