//! The JSON that several answers and events share, written straight into text.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use hall::{MemberStreams, Rights, WantedLayers};
use media::{Link, Pause, Showing, SourceKey};
use rooms::{
    Battle, BattleStep, ConnectionStep, Content, Counters, Device, Event, LeaveCause, MembersChanged,
    Message, Page, RequestKind, Room, RoomId, RoomInfo, Seat, SeatRequest, SeatTemplate, Side, Stand,
    TakeSeatMode, Time, UserId,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::live::unit::{self, stream_type};
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
    member_count: usize,
    online_count: usize,
    view_count: u64,
    popularity: u64,
    video_quality_list: [u8; 0],
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
            is_player_listed: info.is_player_listed,
            lifetime_after_no_users: seconds(info.lifetime_after_no_users),
            lifetime_after_owner_leave: seconds(info.lifetime_after_owner_leave),
            lifetime_after_owner_offline: seconds(info.lifetime_after_owner_offline),
            custom_info: &info.custom_info,
            is_password_enabled: info.is_password_enabled,
            password: None,
            member_count: room.members().len(),
            online_count: room.members().len() + room.players(),
            view_count: room.counters().views,
            popularity: room.counters().views,
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

/// What a member gets on entering: the room, the first page of who is in, and what there is to know of it.
pub(crate) fn welcome(
    room: &Room,
    app: &Tenant,
    page: &Bytes,
    streams: &[MemberStreams],
    now: Time,
) -> String {
    let page = std::str::from_utf8(page).unwrap_or("{}");
    let page = page.strip_prefix('{').and_then(|page| page.strip_suffix('}')).unwrap_or_default();
    let mut messages = String::new();
    for message in room.messages_after(0) {
        let comma = if messages.is_empty() { "" } else { "," };
        let _ = write!(messages, "{comma}{}", message_body(&room.info().room_id, message));
    }
    let metadata: Vec<_> =
        room.metadata(&[]).map(|(key, value)| json!({"Key": key, "Value": value})).collect();
    let admins: Vec<_> = room.admins().map(UserId::as_str).collect();
    let muted: Vec<_> = room.mutes(now).map(|(user, until)| muted(user, until)).collect();
    format!(
        r#"{{"RoomInfo":{},{page},"Messages":[{messages}],"SeatList":{},"Metadata":{},"Admin_Account":{},"MutedAccountList":{},"Statistic":{},"StreamList":{}}}"#,
        RoomInfoView::new(room, app).json(),
        to_json(&seats(room.seats())),
        to_json(&metadata),
        to_json(&admins),
        to_json(&muted),
        to_json(&Statistic::new(room.counters(), room.sender_count())),
        to_json(&streams.iter().map(member_streams).collect::<Vec<_>>()),
    )
}

/// What a member publishes now: all of it.
pub(crate) fn streams_changed(room_id: &RoomId, streams: &MemberStreams) -> String {
    let mut body = member_streams(streams);
    put(&mut body, "RoomId", room_id.as_str());
    json!({"event": "streams_changed", "body": body}).to_string()
}

/// All that a member publishes.
fn member_streams(member: &MemberStreams) -> Value {
    let streams = member.streams.iter().map(|one| {
        let mut view = json!({"StreamType": stream_type(one.device), "Muted": one.is_muted});
        if one.is_encrypted {
            put(&mut view, "Encrypted", true);
        }
        view
    });
    let streams: Vec<Value> = streams.collect();
    json!({"Member_Account": member.member.as_str(), "Streams": streams})
}

/// To a publisher: which layers of a stream anybody wants.
pub(crate) fn layers_wanted(room_id: &RoomId, wanted: &WantedLayers) -> String {
    let layers = wanted.layers.iter().map(|(rid, is_wanted)| json!({"Rid": rid, "Wanted": is_wanted}));
    let layers: Vec<Value> = layers.collect();
    json!({"event": "layers_wanted", "body": {
        "RoomId": room_id.as_str(), "StreamType": stream_type(wanted.device), "Seq": wanted.seq, "Layers": layers,
    }})
    .to_string()
}

/// What the member it is told to may publish now.
pub(crate) fn publishing_changed(room_id: &RoomId, rights: Rights) -> String {
    let allowed = allowed(rights);
    json!({"event": "publishing_changed", "body": {"RoomId": room_id.as_str(), "Allowed": allowed}})
        .to_string()
}

/// The kinds of streams that may be published.
pub(crate) fn allowed(rights: Rights) -> Vec<&'static str> {
    Device::ALL.into_iter().filter(|device| rights.allow(*device)).map(stream_type).collect()
}

/// The member it is told to has lost a media connection.
pub(crate) fn media_lost(room_id: &RoomId, was_publisher: bool) -> String {
    let direction = if was_publisher { "publish" } else { "watch" };
    json!({"event": "media_lost", "body": {"RoomId": room_id.as_str(), "Direction": direction}}).to_string()
}

/// What one in charge wants of the member it is told to.
pub(crate) fn device_event(room_id: &RoomId, device: Device, operator: &str, event: &str) -> String {
    let body = json!({
        "RoomId": room_id.as_str(), "StreamType": stream_type(device), "Operator_Account": operator,
    });
    json!({"event": event, "body": body}).to_string()
}

/// Bytes of a member, as base64.
pub(crate) fn data_received(room_id: &RoomId, from: &UserId, cmd_id: u8, data: &str) -> String {
    let body = json!({
        "RoomId": room_id.as_str(), "From_Account": from.as_str(), "CmdId": cmd_id, "Data": data,
    });
    json!({"event": "data_received", "body": body}).to_string()
}

/// What a viewer's link does to the pictures that it watches.
pub(crate) fn watch_changed(room_id: &RoomId, pictures: &[(SourceKey, Showing)]) -> String {
    let view = |(source, showing): &(SourceKey, Showing)| {
        let mut view =
            json!({"Member_Account": &*source.user, "StreamType": stream_type(unit::device(source.kind))});
        match showing {
            Showing::Playing(height) => {
                put(&mut view, "State", "playing");
                put(&mut view, "Height", *height);
            }
            Showing::Paused(pause) => {
                put(&mut view, "State", "paused");
                let reason = match pause {
                    Pause::Network => "network",
                    Pause::Publisher => "publisher",
                };
                put(&mut view, "Reason", reason);
            }
        }
        view
    };
    let streams: Vec<Value> = pictures.iter().map(view).collect();
    json!({"event": "watch_changed", "body": {"RoomId": room_id.as_str(), "Streams": streams}}).to_string()
}

/// What a viewer's link is like: bits a second, milliseconds, and the share of packets that are lost.
pub(crate) fn link_changed(room_id: &RoomId, link: &Link) -> String {
    let body = json!({
        "RoomId": room_id.as_str(), "Bitrate": link.bits, "Rtt": link.round_trip.as_millis() as u64,
        "Loss": f64::from(link.lost) / 1000.0,
    });
    json!({"event": "link_changed", "body": body}).to_string()
}

/// Who speaks, the loudest first.
pub(crate) fn speakers_changed(room_id: &RoomId, speakers: &[(Arc<str>, u8)]) -> String {
    /// Nobody can tell more voices apart.
    const NAMED: usize = 20;
    let mut speakers: Vec<_> = speakers.to_vec();
    speakers.sort_by_key(|(_, level)| std::cmp::Reverse(*level));
    let speakers = speakers.iter().take(NAMED);
    let speakers: Vec<_> =
        speakers.map(|(user, level)| json!({"Member_Account": &**user, "Level": level})).collect();
    json!({"event": "speakers_changed", "body": {"RoomId": room_id.as_str(), "Speakers": speakers}})
        .to_string()
}

pub(crate) fn muted(user: &UserId, until: Time) -> Value {
    json!({"Member_Account": user.as_str(), "MutedUntil": until.unix_seconds()})
}

fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
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

/// The name of a message's event.
fn message_event(content: &Content) -> &'static str {
    match content {
        Content::Text { .. } => "text_msg",
        Content::Custom { .. } => "custom_msg",
        Content::Elements { .. } => "group_msg",
    }
}

/// What a message's event says.
fn message_body(room_id: &RoomId, message: &Message) -> String {
    let own = match &message.content {
        Content::Text { text, extension } if extension.is_empty() => format!(r#""Text":{}"#, quoted(text)),
        Content::Text { text, extension } => {
            format!(r#""Text":{},"ExtensionInfo":{}"#, quoted(text), quoted(extension))
        }
        Content::Custom { business_id, data } => {
            let (from, business_id, data) =
                (quoted(message.from.as_str()), quoted(business_id), quoted(data));
            format!(r#""Sender_Account":{from},"BusinessId":{business_id},"Data":{data}"#)
        }
        Content::Elements { body, extension } => {
            format!(r#""MsgBody":{body},"CloudCustomData":{}"#, quoted(extension))
        }
    };
    format!(
        r#"{{"RoomId":{},"Type":"{}","From_Account":{},{own},"MsgId":{},"Seq":{},"Time":{}}}"#,
        quoted(room_id.as_str()),
        message_event(&message.content),
        quoted(message.from.as_str()),
        quoted(&message.id),
        message.seq,
        message.sent_at.unix_millis()
    )
}

/// An event for a member; `None` for what is told in batches, or not at all.
pub(crate) fn event(room: &Room, app: &Tenant, event: &Event) -> Option<String> {
    let (name, mut body) = match event {
        Event::InfoChanged => {
            let info = serde_json::to_value(RoomInfoView::new(room, app)).unwrap_or_default();
            ("room_info_changed", json!({"RoomInfo": info}))
        }
        Event::OwnerChanged { from, to } => (
            "owner_changed",
            json!({"CurrentOwner_Account": to.as_str(), "OriginalOwner_Account": from.as_str()}),
        ),
        Event::AdminsChanged { users, added } => {
            let users: Vec<_> = users.iter().map(UserId::as_str).collect();
            (
                "admins_changed",
                json!({"Admin_Account": users, "OpType": if *added { "add" } else { "delete" }}),
            )
        }
        Event::CardChanged { user, card } => (
            "member_info_changed",
            json!({"Member_Account": user.as_str(), "NameCard": card.name_card, "CustomInfo": card.custom_info}),
        ),
        Event::Muted { users, until } => {
            let users: Vec<_> = users.iter().map(|user| json!({"Member_Account": user.as_str()})).collect();
            ("members_muted", json!({"MemberList": users, "MutedUntil": until.map_or(0, Time::unix_seconds)}))
        }
        Event::MetadataSet { entries } => {
            let entries: Vec<_> =
                entries.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
            ("metadata_changed", json!({"Metadata": entries, "DeletedKeys": []}))
        }
        Event::MetadataDeleted { keys } => ("metadata_changed", json!({"Metadata": [], "DeletedKeys": keys})),
        Event::SeatsChanged { seats: list } => ("seats_changed", json!({"SeatList": seats(list)})),
        Event::SeatRequested(request) => ("seat_request_received", seat_request(request)),
        Event::SeatRequestEnded { request, end, by } => {
            let mut body = seat_request(request);
            put(&mut body, "Result", end.as_str());
            put(&mut body, "Operator_Account", by.as_str());
            ("seat_request_ended", body)
        }
        Event::Given(given) => {
            let to: Vec<_> = given.to.iter().map(UserId::as_str).collect();
            (
                "gift_received",
                json!({
                    "From_Account": given.from.as_str(), "ReceiverList_Account": to, "Count": given.count,
                    "GiftInfo": serde_json::to_value(&given.gift).unwrap_or_default(),
                    "Sequence": given.sequence, "Time": given.at.unix_millis(),
                }),
            )
        }
        Event::Entered { .. }
        | Event::Left { .. }
        | Event::Recovered { .. }
        | Event::Message(_)
        | Event::Liked { .. } => return None,
    };
    put(&mut body, "RoomId", room.info().room_id.as_str());
    Some(json!({"event": name, "body": body}).to_string())
}

pub(crate) fn seat_request(request: &SeatRequest) -> Value {
    json!({
        "RequestId": request.id.to_string(),
        "Kind": match request.kind {
            RequestKind::Application => "application",
            RequestKind::Invitation => "invitation",
        },
        "From_Account": request.from.as_str(), "Member_Account": request.guest.as_str(),
        "Index": request.index.map_or(-1, i64::from), "ExpiresAt": request.expires_at.unix_millis(),
    })
}

pub(crate) fn likes_changed(room_id: &RoomId, total: u64, by: &[(UserId, u64)]) -> String {
    let by: Vec<_> =
        by.iter().map(|(user, count)| json!({"From_Account": user.as_str(), "Count": count})).collect();
    let body = json!({"RoomId": room_id.as_str(), "TotalLikesReceived": total, "Likes": by});
    json!({"event": "likes_changed", "body": body}).to_string()
}

/// A battle as it is answered (`live_engine_http_pk`, get_battle_info). Durations in milliseconds, times in seconds.
pub(crate) fn battle(battle: &Battle) -> Value {
    let side = |side: &Side| {
        json!({
            "RoomId": side.room.as_str(), "Owner_Account": side.owner.as_str(), "Score": side.score,
            "Status": match side.stand {
                Stand::Asked => "Invited",
                Stand::In => "Joined",
                Stand::Refused => "Rejected",
                Stand::Out => "Exited",
            },
        })
    };
    let seconds = |time: Option<Time>| time.map_or(0, Time::unix_seconds);
    let status = match (battle.started_at, battle.ended_at) {
        (_, Some(_)) => 3,
        (Some(_), None) => 2,
        (None, None) => 1,
    };
    let mut json = json!({
        "BattleId": battle.id, "Duration": u64::try_from(battle.duration.as_millis()).unwrap_or(u64::MAX),
        "ExtensionInfo": battle.extension_info, "CreateTime": battle.created_at.unix_seconds(),
        "StartTime": seconds(battle.started_at), "EndTime": seconds(battle.ended_at), "Status": status,
        "FromRoomInfo": battle.sides.first().map(side),
        "ToRoomList": battle.sides.iter().skip(1).map(side).collect::<Vec<_>>(),
    });
    if let Some(end) = battle.end {
        put(&mut json, "OpType", end as u32);
    }
    json
}

/// A step of a battle, for the members of its rooms.
pub(crate) fn battle_event(of: &Battle, step: &BattleStep) -> String {
    let mut body = battle(of);
    if let BattleStep::Answered { room, .. } | BattleStep::Left { room } = step {
        put(&mut body, "RoomId", room.as_str());
    }
    json!({"event": step.name(), "body": body}).to_string()
}

/// A request to connect, or what became of it.
pub(crate) fn connection_event(step: ConnectionStep, from: &RoomId, to: &RoomId, extension: &str) -> String {
    let body = json!({"FromRoomId": from.as_str(), "ToRoomId": to.as_str(), "ExtensionInfo": extension});
    json!({"event": step.name(), "body": body}).to_string()
}

/// Rooms that are connected, each with its owner.
pub(crate) fn connected(rooms: &[(RoomId, Option<UserId>)]) -> Vec<Value> {
    let entry = |(room, owner): &(RoomId, Option<UserId>)| {
        let owner = owner.as_ref().map_or("", UserId::as_str);
        json!({"RoomId": room.as_str(), "Owner_Account": owner})
    };
    rooms.iter().map(entry).collect()
}

pub(crate) fn connection_changed(room: &RoomId, rooms: &[(RoomId, Option<UserId>)]) -> String {
    let body = json!({"RoomId": room.as_str(), "RoomList": connected(rooms)});
    json!({"event": ConnectionStep::Changed.name(), "body": body}).to_string()
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

/// A message's event.
pub(crate) fn message(room_id: &RoomId, message: &Message) -> String {
    let name = message_event(&message.content);
    format!(r#"{{"event":"{name}","body":{}}}"#, message_body(room_id, message))
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
    use std::time::Duration;

    use media::RoomKey;

    use super::*;

    #[test]
    fn a_viewer_hears_of_its_pictures_and_its_link_in_the_words_of_the_protocol() {
        let room = RoomId::parse("r").unwrap();
        let source = |kind| SourceKey { room: RoomKey(1), user: "ann".into(), kind };
        let pictures = [
            (source(media::StreamKind::Main), Showing::Paused(Pause::Network)),
            (source(media::StreamKind::Sub), Showing::Playing(720)),
        ];
        let link = Link { bits: 640_000, round_trip: Duration::from_millis(82), lost: 15 };

        let told: Value = serde_json::from_str(&watch_changed(&room, &pictures)).unwrap();
        let link: Value = serde_json::from_str(&link_changed(&room, &link)).unwrap();

        let streams = json!([
            {"Member_Account": "ann", "StreamType": "main", "State": "paused", "Reason": "network"},
            {"Member_Account": "ann", "StreamType": "sub", "State": "playing", "Height": 720},
        ]);
        assert_eq!(told, json!({"event": "watch_changed", "body": {"RoomId": "r", "Streams": streams}}));
        let body = json!({"RoomId": "r", "Bitrate": 640_000, "Rtt": 82, "Loss": 0.015});
        assert_eq!(link, json!({"event": "link_changed", "body": body}));
    }
}
