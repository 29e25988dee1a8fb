//! Rooms and who is in them: dismissed, put out, blocked. The rules are `rooms/src/moderation.rs`.
//!
//! A number and a text are two name spaces, which never meet: the room of number 123 is kept as `*123`, and no text that a client may
//! enter has such a sign (`docs/protocol.md`).

use ::rooms::{Block, NUMBERED, UserId};
use hall::{By, Command, Planned};
use schemars::JsonSchema;
use serde::Deserialize;

use super::answer::Done;
use super::call::{AppId, Call};
use super::refusal::{Code, Refusal};
use crate::error::ApiError;

/// What rooms may be called besides letters and digits.
const SIGNS: &str = " !#$%&()+-:;<=.>?@[]^_{}|~,";

/// The most bytes that rooms may be called by.
const MAX_TEXT_BYTES: usize = 64;

/// A room by its number.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("x-code" = "RoomId", "x-range" = "InvalidParameterValue"))]
pub(super) struct RoomNumber(#[schemars(range(min = 1, max = 4_294_967_294_u32))] u32);

/// A room by its text.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("x-code" = "RoomId"))]
pub(super) struct RoomText(String);

impl RoomNumber {
    /// What the room is called here.
    fn name(&self) -> String {
        format!("{NUMBERED}{}", self.0)
    }
}

impl RoomText {
    /// What the room is called here.
    fn name(self) -> Result<String, Refusal> {
        let text = self.0;
        if text.is_empty() {
            return Err(refuse(Code::InvalidParameter, "RoomId", "the room's name is empty"));
        }
        if text.len() > MAX_TEXT_BYTES {
            let trouble =
                format!("the room's name is {} bytes; at most {MAX_TEXT_BYTES} are allowed", text.len());
            return Err(refuse(Code::InvalidParameterValue, "RoomId", trouble));
        }
        let may_be = |letter: char| letter.is_ascii_alphanumeric() || SIGNS.contains(letter);
        if !text.chars().all(may_be) {
            let trouble =
                "the room's name has a sign besides letters, digits, spaces and !#$%&()+-:;<=.>?@[]^_{}|~,";
            return Err(refuse(Code::InvalidParameter, "RoomId", trouble));
        }
        Ok(text)
    }
}

fn refuse(code: Code, name: &'static str, trouble: impl std::fmt::Display) -> Refusal {
    Refusal::new(code, trouble.to_string()).of(name)
}

/// As whom rooms and webhooks hear of what a key has ordered.
fn by() -> By {
    By::App(hall::SYSTEM.into())
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DismissRequest {
    sdk_app_id: AppId,
    /// A room's number.
    room_id: RoomNumber,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DismissTextRequest {
    sdk_app_id: AppId,
    /// A room's name.
    room_id: RoomText,
}

pub(super) async fn dismiss_room(call: Call, request: DismissRequest) -> Result<Done, Refusal> {
    dismiss(&call, request.sdk_app_id, &request.room_id.name()).await
}

pub(super) async fn dismiss_room_by_str_room_id(
    call: Call,
    request: DismissTextRequest,
) -> Result<Done, Refusal> {
    dismiss(&call, request.sdk_app_id, &request.room_id.name()?).await
}

async fn dismiss(call: &Call, app: AppId, room: &str) -> Result<Done, Refusal> {
    let app = call.app(app)?;
    call.server.destroy_room(&app, room, None, by()).await?;
    Ok(Done {})
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RemoveRequest {
    sdk_app_id: AppId,
    /// A room's number.
    room_id: RoomNumber,
    /// Who is put out.
    #[schemars(extend("x-code" = "UserIds"), length(min = 1, max = 10))]
    user_ids: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RemoveTextRequest {
    sdk_app_id: AppId,
    /// A room's name.
    room_id: RoomText,
    /// Who is put out.
    #[schemars(extend("x-code" = "UserIds"), length(min = 1, max = 10))]
    user_ids: Vec<String>,
}

pub(super) async fn remove_user(call: Call, request: RemoveRequest) -> Result<Done, Refusal> {
    remove(&call, request.sdk_app_id, &request.room_id.name(), &request.user_ids).await
}

pub(super) async fn remove_user_by_str_room_id(
    call: Call,
    request: RemoveTextRequest,
) -> Result<Done, Refusal> {
    remove(&call, request.sdk_app_id, &request.room_id.name()?, &request.user_ids).await
}

async fn remove(call: &Call, app: AppId, room: &str, users: &[String]) -> Result<Done, Refusal> {
    let mut named: Vec<UserId> = Vec::with_capacity(users.len());
    for user in users {
        let user = UserId::parse_field("an entry of UserIds", user);
        let user = user.map_err(|error| refuse(Code::InvalidParameter, "UserIds", error))?;
        if !named.contains(&user) {
            named.push(user);
        }
    }
    change(call, app, room, Planned::Remove { users: named }).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BlockRequest {
    sdk_app_id: AppId,
    /// A room's number.
    room_id: RoomNumber,
    /// Whose sound and pictures.
    #[schemars(extend("x-code" = "UserId"))]
    user_id: String,
    /// 0: neither is blocked, 1: both, 2: sound, 3: pictures.
    #[schemars(extend("x-range" = "InvalidParameter"), range(max = 3))]
    is_mute: u64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BlockTextRequest {
    sdk_app_id: AppId,
    /// A room's name.
    str_room_id: RoomText,
    /// Whose sound and pictures.
    #[schemars(extend("x-code" = "UserId"))]
    user_id: String,
    /// 0: neither is blocked, 1: both, 2: sound, 3: pictures.
    #[schemars(extend("x-range" = "InvalidParameter"), range(max = 3))]
    is_mute: u64,
}

pub(super) async fn set_user_blocked(call: Call, request: BlockRequest) -> Result<Done, Refusal> {
    block(&call, request.sdk_app_id, &request.room_id.name(), &request.user_id, request.is_mute).await
}

pub(super) async fn set_user_blocked_by_str_room_id(
    call: Call,
    request: BlockTextRequest,
) -> Result<Done, Refusal> {
    block(&call, request.sdk_app_id, &request.str_room_id.name()?, &request.user_id, request.is_mute).await
}

async fn block(call: &Call, app: AppId, room: &str, user: &str, is_mute: u64) -> Result<Done, Refusal> {
    let user = UserId::parse(user).map_err(|error| refuse(Code::InvalidParameter, "UserId", error))?;
    let block = Block { audio: matches!(is_mute, 1 | 2), video: matches!(is_mute, 1 | 3) };
    if call.find_app(app)?.is_none() {
        return Err(Refusal::new(Code::FailedOperation, "there is no such app").of("SdkAppIdNotExist"));
    }
    change(call, app, room, Planned::Block { user, block }).await
}

async fn change(call: &Call, app: AppId, room: &str, what: Planned) -> Result<Done, Refusal> {
    let cell = call.app(app)?.room(room).map_err(ApiError::from)?;
    cell.ask(by(), None, Command::Planned(what)).await?;
    Ok(Done {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_its_digits_are_two_rooms() {
        let (number, text) = (RoomNumber(123).name(), RoomText("123".into()).name().unwrap());

        assert_eq!((number.as_str(), text.as_str()), ("*123", "123"));
        let forged = RoomText("*123".into()).name().unwrap_err();
        assert_eq!(forged.code(), "InvalidParameter.RoomId");
    }

    #[test]
    fn a_rooms_name_has_the_documented_signs() {
        assert_eq!(SIGNS.len() + 62, 89);
        for (name, code) in [
            ("", "InvalidParameter.RoomId"),
            ("a/b", "InvalidParameter.RoomId"),
            ("房间", "InvalidParameter.RoomId"),
            ("a\nb", "InvalidParameter.RoomId"),
            (&"r".repeat(65), "InvalidParameterValue.RoomId"),
        ] {
            assert_eq!(RoomText(name.into()).name().unwrap_err().code(), code, "{name}");
        }
        for name in ["r".repeat(64), format!("room a+b{SIGNS}")] {
            assert_eq!(RoomText(name.clone()).name(), Ok(name));
        }
    }
}
