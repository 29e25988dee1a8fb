//! What a member says, likes and gives.

use hall::{Answer, Command, Give, Said, Speech};
use rooms::{Content, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asked::Asked;
use crate::error::ApiError;
use crate::halls::unexpected;
use crate::rest::Elements;
use crate::webhooks;

/// A message that was sent.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Sent {
    /// Empty when the app's server has dropped it.
    msg_id: String,
    /// Its place in the room's one order; 0 when the app's server has dropped it.
    seq: u64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TextRequest {
    #[schemars(required)]
    room_id: Option<String>,
    #[serde(alias = "TextContent")]
    #[schemars(required)]
    text: Option<String>,
    #[serde(default)]
    extension_info: String,
}

pub(super) async fn send_text_msg(asked: Asked, request: TextRequest) -> Result<Sent, ApiError> {
    let text = request.text.ok_or_else(|| ApiError::invalid("Text", "is missing"))?;
    send(&asked, request.room_id.as_deref(), Content::Text { text, extension: request.extension_info }).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CustomRequest {
    #[schemars(required)]
    room_id: Option<String>,
    #[serde(default)]
    business_id: String,
    #[schemars(required)]
    data: Option<String>,
}

pub(super) async fn send_custom_msg(asked: Asked, request: CustomRequest) -> Result<Sent, ApiError> {
    let data = request.data.ok_or_else(|| ApiError::invalid("Data", "is missing"))?;
    send(&asked, request.room_id.as_deref(), Content::Custom { business_id: request.business_id, data }).await
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct GroupRequest {
    #[serde(rename = "RoomId", alias = "GroupId")]
    #[schemars(required)]
    room_id: Option<String>,
    #[serde(flatten)]
    elements: Elements,
}

pub(super) async fn send_group_msg(asked: Asked, request: GroupRequest) -> Result<Sent, ApiError> {
    let content = request.elements.read()?;
    send(&asked, request.room_id.as_deref(), content).await
}

async fn send(asked: &Asked, room_id: Option<&str>, content: Content) -> Result<Sent, ApiError> {
    let cell = asked.room(room_id)?;
    asked.server.require_store(&cell.app)?;
    let message = webhooks::message(&cell.app, Speech::Own(content));
    match cell.ask(asked.session.as_member(), None, message).await? {
        Answer::Message { id, seq, .. } => Ok(Sent { msg_id: id, seq }),
        Answer::Dropped => Ok(Sent { msg_id: String::new(), seq: 0 }),
        other => Err(unexpected(&other)),
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LikeRequest {
    #[schemars(required)]
    room_id: Option<String>,
    /// 1 to 1,000.
    count: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Liked {
    total_likes_received: u64,
}

pub(super) async fn send_like(asked: Asked, request: LikeRequest) -> Result<Liked, ApiError> {
    let cell = asked.room(request.room_id.as_deref())?;
    asked.server.require_store(&cell.app)?;
    let like = Command::Said(Said::Like(request.count.unwrap_or(1)));
    match cell.ask(asked.session.as_member(), None, like).await? {
        Answer::Likes(total) => Ok(Liked { total_likes_received: total }),
        other => Err(unexpected(&other)),
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GiftRequest {
    #[schemars(required)]
    room_id: Option<String>,
    #[schemars(required)]
    gift_id: Option<String>,
    count: Option<u64>,
    /// The owner, when nobody is named.
    #[serde(rename = "ReceiverList_Account", default)]
    receivers: Vec<String>,
}

/// A gift that was given.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Given {
    sequence: u64,
}

/// How many receivers a gift may have.
const MAX_RECEIVERS: usize = 100;

pub(super) async fn send_gift(asked: Asked, request: GiftRequest) -> Result<Given, ApiError> {
    let cell = asked.room(request.room_id.as_deref())?;
    let gift_id = request.gift_id.ok_or_else(|| ApiError::invalid("GiftId", "is missing"))?;
    let gift = cell.app.catalogue().gift(&gift_id)?.clone();
    let count = request.count.unwrap_or(1);
    let to: Vec<UserId> = match request.receivers.is_empty() {
        true => Vec::new(),
        false => cell.app.require_accounts("ReceiverList_Account", Some(request.receivers), MAX_RECEIVERS)?,
    };
    let give = Give { gift: Box::new(gift), count, from: asked.session.user.clone(), to };
    let gift = webhooks::gift(&cell.app, give);
    match cell.ask(asked.session.as_member(), None, gift).await? {
        Answer::Sequence(sequence) => Ok(Given { sequence }),
        other => Err(unexpected(&other)),
    }
}
