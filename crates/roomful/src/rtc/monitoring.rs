//! What happened in calls, as history has it: which rooms there were, who was in one and with what, and what happened to somebody. Of
//! some seconds ago: what is being written is not seen yet.

use history::{CallId, Page, Reader, Stay, Window};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::{AppId, Call};
use super::refusal::{Code, Refusal};
use crate::chronicle::number;
use crate::clock;
use crate::quality::{STEP, column};

/// The most that a page of anything has.
const MOST_LISTED: u64 = 100;

/// How long a window may be, in seconds.
pub(super) const DAY: u64 = 24 * 3600;
const FOUR_HOURS: u64 = 4 * 3600;

/// Looks into history, on a thread that may wait for the disk.
pub(super) async fn look<T: Send + 'static>(
    call: &Call,
    get: impl FnOnce(&Reader) -> Result<T, history::Error> + Send + 'static,
) -> Result<T, Refusal> {
    let chronicle = call.server.chronicle.clone();
    let looked = tokio::task::spawn_blocking(move || chronicle.reader().map(get).transpose()).await;
    match looked {
        Ok(Ok(Some(found))) => Ok(found),
        Ok(Ok(None)) => {
            Err(Refusal::new(Code::UnsupportedOperation, "no history is kept: history.days is 0"))
        }
        Ok(Err(error)) => Err(Refusal::new(Code::InternalError, error.to_string()).of("DBError")),
        Err(error) => Err(Refusal::new(Code::InternalError, error.to_string())),
    }
}

pub(super) fn refuse(detail: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(Code::InvalidParameter, message).of(detail)
}

fn now() -> i64 {
    clock::now().unix_seconds().cast_signed()
}

/// From when to when, if that is not too long and not too long ago.
pub(super) fn window(call: &Call, from: u64, to: u64, most: u64) -> Result<Window, Refusal> {
    if to < from {
        return Err(refuse("EndTs", "EndTime is before StartTime"));
    }
    let days = call.server.config.history.days;
    if from.saturating_add(u64::from(days) * DAY) < clock::now().unix_seconds() {
        return Err(refuse("StartTsOversize", format!("StartTime is more than {days} days ago")));
    }
    if to - from > most {
        let message = format!("StartTime and EndTime are {} s apart; at most {most} are allowed", to - from);
        return Err(refuse("QueryScaleOversize", message));
    }
    let at = |seconds: u64| seconds.min(i64::MAX as u64 / 1001).cast_signed();
    Ok(Window { from: at(from), to: at(to) })
}

/// Which page; when a part of that is missing, the first of `default`.
fn page(number: Option<u64>, size: Option<u64>, default: usize) -> Result<Page, Refusal> {
    if size == Some(0) {
        return Err(refuse("PageSize", "PageSize is 0; at least 1 is"));
    }
    if size.is_some_and(|size| size > MOST_LISTED) {
        return Err(refuse("PageSizeOversize", format!("PageSize is more than {MOST_LISTED}")));
    }
    let (Some(number), Some(size)) = (number, size) else { return Ok(Page { number: 0, size: default }) };
    let read = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Ok(Page { number: read(number), size: read(size) })
}

/// A call of the app, by what it is called; `None` of what is another's, or nothing.
fn find(
    reader: &Reader,
    app: u32,
    name: &str,
    window: Window,
) -> Result<Option<history::Call>, history::Error> {
    match CallId::parse(name).filter(|id| id.app == app) {
        Some(id) => reader.call(id, window),
        None => Ok(None),
    }
}

// DescribeRoomInfo

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RoomsRequest {
    sdk_app_id: AppId,
    /// In seconds since 1970.
    #[schemars(extend("x-code" = "StartTs"))]
    start_time: u64,
    /// The same; at most a day later.
    #[schemars(extend("x-code" = "EndTs"))]
    end_time: u64,
    /// A room's number or name; without it all.
    room_id: Option<String>,
    /// From 0.
    #[schemars(extend("x-code" = "PageNumber"))]
    page_number: Option<u64>,
    /// At most 100. Without either, the first ten are listed.
    #[schemars(extend("x-code" = "PageSize"))]
    page_size: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RoomsAnswer {
    /// How many rooms lived in that time.
    total: usize,
    /// The newest first.
    room_list: Vec<RoomState>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct RoomState {
    /// Names this life of the room.
    comm_id: String,
    /// Its number or name.
    room_string: String,
    /// In seconds since 1970.
    create_time: i64,
    /// The same; now, while it lives.
    destroy_time: i64,
    is_finished: bool,
    /// Who made it.
    user_id: String,
}

/// What a call is called.
fn name_of(call: &history::Call) -> String {
    CallId { app: call.app, number: history::number_of(&call.room), made: call.made }.to_string()
}

pub(super) async fn describe_room_info(call: Call, request: RoomsRequest) -> Result<RoomsAnswer, Refusal> {
    let app = call.app(request.sdk_app_id)?.id.0;
    let window = window(&call, request.start_time, request.end_time, DAY)?;
    let page = page(request.page_number, request.page_size, 10)?;
    let rooms = request.room_id.map(|room| history::meant(&room).to_vec()).unwrap_or_default();
    let (total, calls) = look(&call, move |reader| reader.calls(app, window, &rooms, page)).await?;
    let state = |call: history::Call| RoomState {
        comm_id: name_of(&call),
        room_string: history::shown(&call.room).to_owned(),
        create_time: call.made,
        destroy_time: call.ended.map_or_else(now, |(ended, _)| ended).max(call.made),
        is_finished: call.ended.is_some(),
        user_id: call.creator.to_string(),
    };
    Ok(RoomsAnswer { total, room_list: calls.into_iter().map(state).collect() })
}

// DescribeUserInfo

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UsersRequest {
    /// As DescribeRoomInfo has it.
    #[schemars(extend("x-code" = "CommId"))]
    comm_id: String,
    /// In seconds since 1970.
    #[schemars(extend("x-code" = "StartTs"))]
    start_time: u64,
    /// The same; at most four hours later.
    #[schemars(extend("x-code" = "EndTs"))]
    end_time: u64,
    sdk_app_id: AppId,
    /// Who; without it all.
    #[schemars(extend("x-code" = "UserId"))]
    user_ids: Option<Vec<String>>,
    /// From 0.
    #[schemars(extend("x-code" = "PageNumber"))]
    page_number: Option<u64>,
    /// At most 100. Without either, the first six are listed.
    #[schemars(extend("x-code" = "PageSize"))]
    page_size: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UsersAnswer {
    /// How many stays there were; somebody who was there twice is counted twice.
    total: usize,
    /// In the order of their coming.
    user_list: Vec<UserInformation>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct UserInformation {
    /// The room's number or name.
    room_str: String,
    user_id: String,
    /// In seconds since 1970.
    join_ts: i64,
    /// The same; now, while it is in.
    leave_ts: i64,
    device_type: String,
    sdk_version: String,
    client_ip: String,
    /// It has left.
    finished: bool,
}

impl UserInformation {
    fn of(call: &history::Call, stay: Stay) -> Self {
        let joined = stay.stay / 1000;
        Self {
            room_str: history::shown(&call.room).to_owned(),
            user_id: stay.user.to_string(),
            join_ts: joined,
            leave_ts: stay.left.map_or_else(now, |(left, _)| left / 1000).max(joined),
            device_type: stay.client.device.to_string(),
            sdk_version: stay.client.sdk.to_string(),
            client_ip: stay.client.address.to_string(),
            finished: stay.left.is_some(),
        }
    }
}

pub(super) async fn describe_user_info(call: Call, request: UsersRequest) -> Result<UsersAnswer, Refusal> {
    let app = call.app(request.sdk_app_id)?.id.0;
    let window = window(&call, request.start_time, request.end_time, FOUR_HOURS)?;
    let page = page(request.page_number, request.page_size, 6)?;
    let users = request.user_ids.unwrap_or_default();
    if users.len() as u64 > MOST_LISTED {
        return Err(refuse("UserId", format!("UserIds names more than {MOST_LISTED}")));
    }
    look(&call, move |reader| {
        let Some(call) = find(reader, app, &request.comm_id, window)? else {
            return Ok(UsersAnswer { total: 0, user_list: Vec::new() });
        };
        let (total, stays) = reader.stays(&call, window, &users, page)?;
        let user_list = stays.into_iter().map(|stay| UserInformation::of(&call, stay)).collect();
        Ok(UsersAnswer { total, user_list })
    })
    .await
}

// DescribeUserEvent

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EventsRequest {
    /// As DescribeRoomInfo has it.
    #[schemars(extend("x-code" = "CommId"))]
    comm_id: String,
    /// In seconds since 1970.
    #[schemars(extend("x-code" = "StartTs"))]
    start_time: u64,
    /// The same.
    #[schemars(extend("x-code" = "EndTs"))]
    end_time: u64,
    #[schemars(extend("x-code" = "UserId"))]
    user_id: String,
    /// The room's number or name.
    #[schemars(extend("x-code" = "RoomId"))]
    room_id: String,
    sdk_app_id: AppId,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EventsAnswer {
    /// What happened to the user itself, and what it saw of each of the others.
    data: Vec<EventList>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct EventList {
    /// Whose stream it was about; empty of the user itself.
    peer_id: String,
    /// In the order in which it happened.
    content: Vec<EventMessage>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct EventMessage {
    /// 0 no video, 2 the camera, 7 the screen.
    r#type: u8,
    /// In milliseconds since 1970.
    time: i64,
    /// The cloud's number for it.
    event_id: u16,
    /// -1 is nothing.
    param_one: i64,
    /// The same.
    param_two: i64,
}

/// What others see of what somebody does.
const SEEN: [(u16, u16); 4] = [
    (number::VIDEO_ON, number::REMOTE_VIDEO_ON),
    (number::AUDIO_ON, number::REMOTE_AUDIO_ON),
    (number::VIDEO_OFF, number::REMOTE_VIDEO_OFF),
    (number::AUDIO_OFF, number::REMOTE_AUDIO_OFF),
];

pub(super) async fn describe_user_event(call: Call, request: EventsRequest) -> Result<EventsAnswer, Refusal> {
    let app = call.app(request.sdk_app_id)?.id.0;
    let most = u64::from(call.server.config.history.days + 1) * DAY;
    let window = window(&call, request.start_time, request.end_time, most)?;
    look(&call, move |reader| {
        let found = find(reader, app, &request.comm_id, window)?;
        let found = found.filter(|call| history::shown(&call.room) == request.room_id);
        let Some(call) = found else { return Ok(EventsAnswer { data: Vec::new() }) };
        let all = Page { number: 0, size: MOST_LISTED as usize };
        let (_, stays) = reader.stays(&call, window, &[request.user_id], all)?;
        Ok(EventsAnswer { data: events(reader, &stays, window)? })
    })
    .await
}

/// What happened to those stays of one user, and what they saw of others.
fn events(reader: &Reader, stays: &[Stay], window: Window) -> Result<Vec<EventList>, history::Error> {
    let message = |time: i64, event_id: u16, media: u8, param_one: i64, param_two: i64| EventMessage {
        r#type: media,
        time,
        event_id,
        param_one,
        param_two,
    };
    let mut own = Vec::new();
    let mut others: Vec<EventList> = Vec::new();
    for stay in stays {
        own.push(message(stay.stay, number::ENTERED, 0, -1, -1));
        own.extend(stay.left.map(|(at, _)| message(at, number::LEFT, 0, -1, -1)));
        for (person, event) in reader.events_of_others(stay, window, &SEEN.map(|(does, _)| does))? {
            let is_inside = event.at >= stay.stay && stay.left.is_none_or(|(left, _)| event.at <= left);
            let seen = SEEN.iter().find(|(does, _)| *does == event.event).filter(|_| is_inside);
            // Whose account is gone has no name by which to tell it from the user itself.
            let Some((_, seen)) = seen.filter(|_| !person.user.is_empty()) else { continue };
            let content = message(event.at, *seen, event.media, -1, -1);
            match others.iter_mut().find(|list| list.peer_id == person.user) {
                Some(list) => list.content.push(content),
                None => others.push(EventList { peer_id: person.user, content: vec![content] }),
            }
        }
    }
    let happened = reader.events(stays, window)?.into_iter();
    own.extend(happened.map(|one| message(one.at, one.event, one.media, one.p1, one.p2)));
    let (from, to) = (window.from * 1000, window.to * 1000 + 999);
    own.retain(|event| (from..=to).contains(&event.time));
    own.sort_by_key(|event| event.time);
    let own = (!own.is_empty()).then(|| EventList { peer_id: String::new(), content: own });
    Ok(own.into_iter().chain(others).collect())
}

// DescribeCallDetailInfo

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DetailRequest {
    /// As DescribeRoomInfo has it.
    #[schemars(extend("x-code" = "CommId"))]
    comm_id: String,
    /// In seconds since 1970.
    #[schemars(extend("x-code" = "StartTs"))]
    start_time: u64,
    /// The same; at most four hours later, and one hour with DataType.
    #[schemars(extend("x-code" = "EndTs"))]
    end_time: u64,
    sdk_app_id: AppId,
    /// Who; without it all.
    #[schemars(extend("x-code" = "UserId"))]
    user_ids: Option<Vec<String>>,
    /// `all`, or some of appCpu, sysCpu, aBit, aBlock, bigvBit, bigvCapFps, bigvEncFps, bigvDecFps, bigvRecFps, bigvBlock, aLoss,
    /// bigvLoss, bigvWidth, bigvHeight, aCapEnergy, aPlayEnergy and rtt; without it there is no Data.
    data_type: Option<Vec<String>>,
    /// From 0.
    #[schemars(extend("x-code" = "PageNumber"))]
    page_number: Option<u64>,
    /// At most 100, and 6 with DataType. Without either, the first six are listed.
    #[schemars(extend("x-code" = "PageSize"))]
    page_size: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DetailAnswer {
    /// How many stays there were.
    total: usize,
    /// In the order of their coming.
    user_list: Vec<UserInformation>,
    /// Of those who are listed, as far as something was measured.
    data: Vec<QualityData>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct QualityData {
    user_id: String,
    /// Whose stream was received; empty of what the user sent.
    peer_id: String,
    data_type: &'static str,
    /// Two seconds apart; a moment in which nothing was measured is not in it.
    content: Vec<TimeValue>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct TimeValue {
    /// In seconds since 1970.
    time: i64,
    value: f64,
}

/// What may be asked for.
const DATA_TYPES: [&str; 17] = [
    "appCpu",
    "sysCpu",
    "aBit",
    "aBlock",
    "bigvBit",
    "bigvCapFps",
    "bigvEncFps",
    "bigvDecFps",
    "bigvRecFps",
    "bigvBlock",
    "aLoss",
    "bigvLoss",
    "bigvWidth",
    "bigvHeight",
    "aCapEnergy",
    "aPlayEnergy",
    "rtt",
];

/// What a column of samples is to callers, in which direction of which media, and by how much it has to be taken.
const MEASURED: [(&str, u8, Way, u8, f64); 23] = [
    ("aBit", AUDIO, Way::Both, column::BITS, 100.0),
    ("bigvBit", CAMERA, Way::Both, column::BITS, 100.0),
    // Of what both sides say, the client's comes first.
    ("bigvCapFps", CAMERA, Way::Up, column::CAPTURED, 1.0),
    ("bigvEncFps", CAMERA, Way::Up, column::SHOWN, 1.0),
    ("bigvDecFps", CAMERA, Way::Down, column::SHOWN, 1.0),
    ("bigvWidth", CAMERA, Way::Both, column::SHOWN_WIDTH, 1.0),
    ("bigvHeight", CAMERA, Way::Both, column::SHOWN_HEIGHT, 1.0),
    ("aBlock", AUDIO, Way::Down, column::STALLED, 1.0),
    ("bigvBlock", CAMERA, Way::Down, column::STALLED, 1.0),
    ("aCapEnergy", AUDIO, Way::Up, column::LEVEL, 1.0),
    ("aPlayEnergy", AUDIO, Way::Down, column::LEVEL, 1.0),
    ("bigvEncFps", CAMERA, Way::Up, column::FRAMES, 1.0),
    ("bigvRecFps", CAMERA, Way::Down, column::FRAMES, 1.0),
    ("bigvWidth", CAMERA, Way::Both, column::WIDTH, 1.0),
    ("bigvHeight", CAMERA, Way::Both, column::HEIGHT, 1.0),
    ("aLoss", AUDIO, Way::Both, column::LOST, 0.1),
    ("bigvLoss", CAMERA, Way::Both, column::LOST, 0.1),
    // Of a connection: whichever stream it was measured on.
    ("rtt", AUDIO, Way::Link, column::ROUND_TRIP, 1.0),
    ("rtt", CAMERA, Way::Link, column::ROUND_TRIP, 1.0),
    ("appCpu", AUDIO, Way::Client, column::APP_CPU, 1.0),
    ("appCpu", CAMERA, Way::Client, column::APP_CPU, 1.0),
    ("sysCpu", AUDIO, Way::Client, column::SYS_CPU, 1.0),
    ("sysCpu", CAMERA, Way::Client, column::SYS_CPU, 1.0),
];

const AUDIO: u8 = 0;
const CAMERA: u8 = 2;

/// In which direction something is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
    Both,
    /// On what is received, but said of the user itself.
    Link,
    /// On whichever stream there is, and said of the user itself.
    Client,
}

/// The most that an answer has, in values: about 10 MiB of JSON.
const MOST_VALUES: usize = 250_000;

/// How many users' quality may be asked for at once, and how long a window of it.
const MOST_MEASURED: u64 = 6;
pub(super) const HOUR: u64 = 3600;

pub(super) async fn describe_call_detail_info(
    call: Call,
    request: DetailRequest,
) -> Result<DetailAnswer, Refusal> {
    let app = call.app(request.sdk_app_id)?.id.0;
    let types = request.data_type.unwrap_or_default();
    let is_unknown = |name: &&String| name.as_str() != "all" && !DATA_TYPES.contains(&name.as_str());
    if let Some(unknown) = types.iter().find(is_unknown) {
        let message = format!("DataType has {unknown:?}; it may have all, {}", DATA_TYPES.join(", "));
        return Err(Refusal::new(Code::InvalidParameter, message));
    }
    let (longest, most) = if types.is_empty() { (FOUR_HOURS, MOST_LISTED) } else { (HOUR, MOST_MEASURED) };
    let window = window(&call, request.start_time, request.end_time, longest)?;
    let page = page(request.page_number, request.page_size, 6)?;
    let users = request.user_ids.unwrap_or_default();
    if users.len() as u64 > most {
        let code = if types.is_empty() { "UserId" } else { "UserIdsMorethanSix" };
        return Err(refuse(code, format!("UserIds names {}; at most {most} may be", users.len())));
    }
    if page.size as u64 > most {
        return Err(refuse(
            "PageSizeOversize",
            format!("PageSize is more than {most}, as may be with DataType"),
        ));
    }
    let answer = look(&call, move |reader| {
        let Some(call) = find(reader, app, &request.comm_id, window)? else {
            return Ok(Some(DetailAnswer { total: 0, user_list: Vec::new(), data: Vec::new() }));
        };
        let (total, stays) = reader.stays(&call, window, &users, page)?;
        let is_wanted = |name: &str| types.iter().any(|wanted| wanted == "all" || wanted == name);
        let mut data = Vec::new();
        for stay in stays.iter().filter(|_| !types.is_empty()) {
            measured(reader, stay, window, &is_wanted, &mut data)?;
            if data.iter().map(|one| one.content.len()).sum::<usize>() > MOST_VALUES {
                return Ok(None);
            }
        }
        let user_list = stays.into_iter().map(|stay| UserInformation::of(&call, stay)).collect();
        Ok(Some(DetailAnswer { total, user_list, data }))
    });
    answer.await?.ok_or_else(|| {
        let message =
            "there is too much of it: ask for fewer users, for less time or for fewer kinds of data";
        Refusal::new(Code::ResponseSizeLimitExceeded, message)
    })
}

/// Who has that place in a call's join order; empty of the user itself, and of whose account is gone.
pub(super) fn peer_of(
    reader: &Reader,
    call: i64,
    who: i64,
    window: Window,
) -> Result<String, history::Error> {
    match who {
        0 => Ok(String::new()),
        who => Ok(reader.person(call, who, window)?.unwrap_or_default()),
    }
}

/// What was measured of a stay.
fn measured(
    reader: &Reader,
    stay: &Stay,
    window: Window,
    is_wanted: &impl Fn(&str) -> bool,
    data: &mut Vec<QualityData>,
) -> Result<(), history::Error> {
    let begin = data.len();
    let (mut who, mut peer) = (0, String::new());
    for row in reader.quality(stay, window)? {
        let Some(samples) = history::unpack(&row.packed) else { continue };
        // Rows come by peer.
        if row.peer != who {
            (who, peer) = (row.peer, peer_of(reader, row.call, row.peer, window)?);
        }
        // Without a name it would be said of the user itself.
        let is_forgotten = who != 0 && peer.is_empty();
        for (name, media, way, column, by) in MEASURED {
            let (is_up, is_link) = (row.peer == 0, matches!(way, Way::Link | Way::Client));
            let is_way = matches!(way, Way::Both | Way::Client) || is_up == (way == Way::Up);
            if media != row.media || !is_way || !is_wanted(name) || is_forgotten && !is_link {
                continue;
            }
            let values = (row.from..).step_by(STEP as usize).zip(samples.column(column));
            let values = values.filter(|(at, _)| (window.from..=window.to).contains(at));
            let values = values.filter_map(|(time, value)| {
                // What was written as tenths is said as such, not as what binary makes of it.
                let value = (f64::from((*value)?) * by * 10.0).round() / 10.0;
                Some(TimeValue { time, value })
            });
            let peer_id = if is_link { String::new() } else { peer.clone() };
            let is_it = |one: &&mut QualityData| one.data_type == name && one.peer_id == peer_id;
            let known = data.iter_mut().skip(begin).rev().find(is_it);
            match known {
                Some(one) => one.content.extend(values),
                None => {
                    let content: Vec<TimeValue> = values.collect();
                    if !content.is_empty() {
                        let user_id = stay.user.to_string();
                        data.push(QualityData { user_id, peer_id, data_type: name, content });
                    }
                }
            }
        }
    }
    for one in data.iter_mut().skip(begin) {
        // Of two of one moment the first stays.
        one.content.sort_by_key(|value| value.time);
        one.content.dedup_by_key(|value| value.time);
    }
    Ok(())
}

// DescribeScaleInfo

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ScaleRequest {
    sdk_app_id: AppId,
    /// In seconds since 1970.
    #[schemars(extend("x-code" = "StartTs"))]
    start_time: u64,
    /// The same.
    #[schemars(extend("x-code" = "EndTs"))]
    end_time: u64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ScaleAnswer {
    /// How many days are listed.
    total: usize,
    /// The newest first, without today.
    scale_list: Vec<ScaleInfo>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct ScaleInfo {
    /// When the day began, in seconds since 1970.
    time: i64,
    /// Users, each once a call.
    user_number: u64,
    /// How often somebody came in.
    user_count: u64,
    room_numbers: u64,
}

pub(super) async fn describe_scale_info(call: Call, request: ScaleRequest) -> Result<ScaleAnswer, Refusal> {
    let app = call.app(request.sdk_app_id)?.id.0;
    let most = u64::from(call.server.config.history.days + 1) * DAY;
    let window = window(&call, request.start_time, request.end_time, most)?;
    let days = look(&call, move |reader| reader.scale(app, window)).await?;
    let scale_list = days.into_iter().map(|scale| ScaleInfo {
        time: scale.day,
        user_number: scale.users,
        user_count: scale.entries,
        room_numbers: scale.calls,
    });
    let scale_list: Vec<ScaleInfo> = scale_list.collect();
    Ok(ScaleAnswer { total: scale_list.len(), scale_list })
}
