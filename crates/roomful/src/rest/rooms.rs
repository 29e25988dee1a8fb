//! Rooms of type Live: create, destroy, look at, change, list.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rooms::{Fields, RoomId, RoomType};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Answer, Call};
use crate::error::ApiError;
use crate::wire::RoomInfoView;

/// How many rooms get_room_list answers at most, and by default; callers who ask for more get this many.
const LIST_SIZE: u64 = 20;

/// A request that names a room.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RoomRequest {
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
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InfoRequest {
    room_info: Option<Map<String, Value>>,
}

/// The parts of a `RoomInfo` that are not [`Fields`].
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Identity {
    room_id: Option<String>,
    room_type: Option<String>,
    #[serde(rename = "Owner_Account")]
    owner_account: Option<String>,
}

impl InfoRequest {
    fn read(call: &Call, room_type: RoomType) -> Result<(RoomId, Identity, Fields), ApiError> {
        let request: Self = call.parse()?;
        let info = request.room_info.ok_or_else(|| ApiError::invalid("RoomInfo", "is missing"))?;
        let json = Value::Object(info).to_string();
        let identity: Identity = super::body::parse(&json)?;
        let room_id = require_room_id(identity.room_id.as_deref())?;
        let wanted = room_type.to_string();
        if identity.room_type.as_ref().is_some_and(|given| *given != wanted) {
            return Err(ApiError::invalid("RoomType", format_args!("must be {wanted} in this command")));
        }
        Ok((room_id, identity, super::body::parse(&json)?))
    }
}

pub(super) async fn create_room(call: Call) -> Result<Answer, ApiError> {
    create(call, RoomType::Live).await
}

pub(super) async fn destroy_room(call: Call) -> Result<Answer, ApiError> {
    destroy(call, RoomType::Live).await
}

pub(super) async fn get_room_info(call: Call) -> Result<Answer, ApiError> {
    info(&call, RoomType::Live)
}

/// Creates a room of either type.
pub(super) async fn create(call: Call, room_type: RoomType) -> Result<Answer, ApiError> {
    let (room_id, identity, fields) = InfoRequest::read(&call, room_type)?;
    let owner = match identity.owner_account.as_deref() {
        None | Some("") => call.caller.clone(),
        Some(owner) => call.app.require_account("Owner_Account", owner)?.user.clone(),
    };
    let cell = call.hub.create_room(&call.app, room_id, room_type, owner, &fields).await?;
    let room = cell.read()?;
    Ok(room_info(&RoomInfoView::new(&room, &call.app)))
}

/// Destroys a room of either type.
pub(super) async fn destroy(call: Call, room_type: RoomType) -> Result<Answer, ApiError> {
    let room_id = call.parse::<RoomRequest>()?.room_id()?;
    call.hub.destroy_room(&call.app, room_id.as_str(), room_type).await?;
    Ok(Answer::done())
}

/// Answers with a room of either type.
pub(super) fn info(call: &Call, room_type: RoomType) -> Result<Answer, ApiError> {
    let room_id = call.parse::<RoomRequest>()?.room_id()?;
    let cell = call.app.room(room_id.as_str())?;
    let room = cell.read()?;
    room.require_type(room_type)?;
    Ok(room_info(&RoomInfoView::new(&room, &call.app)))
}

fn room_info(view: &RoomInfoView<'_>) -> Answer {
    Answer::Response(format!(r#"{{"RoomInfo":{}}}"#, view.json()).into())
}

pub(super) async fn update_room_info(call: Call) -> Result<Answer, ApiError> {
    let (room_id, identity, fields) = InfoRequest::read(&call, RoomType::Live)?;
    let owner = match identity.owner_account.as_deref() {
        None | Some("") => None,
        Some(owner) => Some(call.app.require_account("Owner_Account", owner)?.user.clone()),
    };
    call.hub.update_room(&call.app, room_id.as_str(), RoomType::Live, &fields, owner).await?;
    Ok(Answer::done())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListRequest {
    next: Option<String>,
    count: Option<u64>,
    sort_direction: Option<Value>,
}

/// Rooms sort by views, and those with as many by id; a cursor is the last one listed, so that it stays a place.
type SortKey = (u64, RoomId);

pub(super) async fn get_room_list(call: Call) -> Result<Answer, ApiError> {
    let request: ListRequest = call.parse()?;
    let count = match request.count {
        None => LIST_SIZE,
        Some(0) => return Err(ApiError::invalid("Count", "is 0; ask for 1 to 20 rooms")),
        Some(count) => count.min(LIST_SIZE),
    };
    let ascending = match request.sort_direction {
        None | Some(Value::Null) => false,
        Some(Value::Number(number)) => number.as_u64() == Some(1),
        Some(Value::String(text)) => {
            matches!(text.to_ascii_lowercase().as_str(), "asc" | "ascend" | "ascending" | "1")
        }
        Some(_) => return Err(ApiError::invalid("SortDirection", "is neither a string nor a number")),
    };
    let after = match request.next.as_deref() {
        None | Some("" | "0") => None,
        Some(text) => Some(open_cursor(text)?),
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
        let key = (room.views(), cell.room_id.clone());
        if after.as_ref().is_none_or(|after| order(&key, after).is_gt()) {
            keys.push(key);
        }
    }
    keys.sort_unstable_by(order);
    let has_more = keys.len() as u64 > count;
    keys.truncate(usize::try_from(count).unwrap_or(usize::MAX));

    let next = keys.last().filter(|_| has_more).map(seal_cursor).unwrap_or_default();
    let mut list = String::new();
    for (_, room_id) in &keys {
        let Ok(cell) = call.app.room(room_id.as_str()) else { continue };
        let Ok(room) = cell.read() else { continue };
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(&RoomInfoView::new(&room, &call.app).json());
    }
    Ok(Answer::Response(format!(r#"{{"Next":"{next}","RoomList":[{list}]}}"#).into()))
}

fn seal_cursor((views, room_id): &SortKey) -> String {
    URL_SAFE_NO_PAD.encode(format!("{views}:{room_id}"))
}

fn open_cursor(text: &str) -> Result<SortKey, ApiError> {
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (views, room_id) = text.split_once(':')?;
        Some((views.parse().ok()?, RoomId::parse(room_id).ok()?))
    };
    read().ok_or_else(|| ApiError::invalid("Next", "is no cursor of get_room_list; start with \"\""))
}
