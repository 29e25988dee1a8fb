//! The JSON that several answers and events share, written straight into text.

use std::fmt::Write as _;

use bytes::Bytes;
use rooms::{
    LeaveCause, MembersChanged, Message, Page, Room, RoomId, RoomInfo, SeatTemplate, TakeSeatMode, UserId,
};
use serde::Serialize;

use crate::app::App;

/// A `RoomInfo` as it is answered (`spec/live-rest-api.md`).
#[derive(Serialize)]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    lifetime_after_no_users: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifetime_after_owner_leave: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifetime_after_owner_offline: Option<u64>,
    custom_info: &'a str,
    member_count: usize,
    online_count: usize,
    view_count: u64,
    popularity: u64,
    video_quality_list: [u8; 0],
}

impl<'a> RoomInfoView<'a> {
    pub(crate) fn new(room: &'a Room, app: &App) -> Self {
        let info: &RoomInfo = room.info();
        let owner = app.account(info.owner.as_str());
        let (owner_name, owner_avatar_url) = owner
            .map(|owner| (owner.profile.nick.clone(), owner.profile.face_url.clone()))
            .unwrap_or_default();
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
            lifetime_after_no_users: seconds(info.lifetime_after_no_users),
            lifetime_after_owner_leave: seconds(info.lifetime_after_owner_leave),
            lifetime_after_owner_offline: seconds(info.lifetime_after_owner_offline),
            custom_info: &info.custom_info,
            member_count: room.members().len(),
            online_count: room.members().len(),
            view_count: room.views(),
            popularity: room.views(),
            video_quality_list: [],
        }
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

/// What a member gets on entering: the room, and the first page of who is in.
pub(crate) fn welcome(room: &Room, app: &App, page: &Bytes) -> String {
    let page = std::str::from_utf8(page).unwrap_or("{}");
    format!(
        r#"{{"RoomInfo":{},{}"#,
        RoomInfoView::new(room, app).json(),
        page.strip_prefix('{').unwrap_or("}")
    )
}

pub(crate) fn members_changed(room_id: &RoomId, changed: &MembersChanged) -> String {
    let mut json = String::with_capacity(256);
    let _ = write!(
        json,
        r#"{{"event":"members_changed","body":{{"RoomId":{},"MemberCount":{},"Entered":["#,
        quoted(room_id.as_str()),
        changed.member_count
    );
    push_accounts(&mut json, changed.entered.iter());
    json.push_str(r#"],"Left":["#);
    for (at, (user, cause)) in changed.left.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(
            json,
            r#"{comma}{{"Member_Account":{},"Cause":"{}"}}"#,
            quoted(user.as_str()),
            cause.as_str()
        );
    }
    let _ = write!(json, r#"],"Partial":{}}}}}"#, changed.partial);
    json
}

pub(crate) fn text_msg(room_id: &RoomId, message: &Message) -> String {
    format!(
        r#"{{"event":"text_msg","body":{{"RoomId":{},"From_Account":{},"Text":{},"MsgId":{},"Seq":{},"Time":{}}}}}"#,
        quoted(room_id.as_str()),
        quoted(message.from.as_str()),
        quoted(&message.text),
        quoted(&message.id),
        message.seq,
        message.sent_at.unix_millis()
    )
}

pub(crate) fn room_closed(room_id: &RoomId, cause: LeaveCause) -> String {
    let cause = cause.as_str();
    format!(r#"{{"event":"room_closed","body":{{"RoomId":{},"Cause":"{cause}"}}}}"#, quoted(room_id.as_str()))
}

/// A whole, unmasked WebSocket text frame, as a server sends it (RFC 6455 5.2).
pub(crate) fn text_frame(text: &str) -> Bytes {
    let mut frame = Vec::with_capacity(text.len() + 10);
    frame.push(0x81);
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ ..126), _) => frame.push(length),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(text.as_bytes());
    frame.into()
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
