//! What a member says, likes and gives.

use hall::{Answer, Command, Planned, Said};
use rooms::{Content, UserId};
use serde::Deserialize;
use serde_json::json;

use super::asked::Asked;
use crate::clock;
use crate::error::ApiError;
use crate::halls::unexpected;
use crate::rest::Elements;
use crate::webhooks::{self, MessageQuestion};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TextRequest {
    room_id: Option<String>,
    #[serde(alias = "TextContent")]
    text: Option<String>,
    #[serde(default)]
    extension_info: String,
}

pub(super) async fn send_text_msg(asked: Asked) -> Result<String, ApiError> {
    let request: TextRequest = asked.parse()?;
    let text = request.text.ok_or_else(|| ApiError::invalid("Text", "is missing"))?;
    send(&asked, request.room_id.as_deref(), Content::Text { text, extension: request.extension_info }).await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CustomRequest {
    room_id: Option<String>,
    #[serde(default)]
    business_id: String,
    data: Option<String>,
}

pub(super) async fn send_custom_msg(asked: Asked) -> Result<String, ApiError> {
    let request: CustomRequest = asked.parse()?;
    let data = request.data.ok_or_else(|| ApiError::invalid("Data", "is missing"))?;
    send(&asked, request.room_id.as_deref(), Content::Custom { business_id: request.business_id, data }).await
}

#[derive(Deserialize)]
struct GroupRequest {
    #[serde(rename = "GroupId", alias = "RoomId")]
    room_id: Option<String>,
    #[serde(flatten)]
    elements: Elements,
}

pub(super) async fn send_group_msg(asked: Asked) -> Result<String, ApiError> {
    let request: GroupRequest = asked.parse()?;
    let content = request.elements.read()?;
    send(&asked, request.room_id.as_deref(), content).await
}

async fn send(asked: &Asked, room_id: Option<&str>, content: Content) -> Result<String, ApiError> {
    let cell = asked.room(room_id)?;
    asked.server.require_store(&cell.app)?;
    let user = &asked.session.user;
    let room_type = {
        let room = cell.read()?;
        room.check_send(user, &content, clock::now())?;
        room.info().room_type
    };
    let question = MessageQuestion {
        room_id: cell.room_id.as_str(),
        room_type,
        from: user,
        operator: user.as_str(),
        content,
    };
    let Some(content) = webhooks::before_message(&asked.server, &cell.app, question).await? else {
        // The app's server drops it, and its sender is not to know.
        return Ok(json!({"MsgId": "", "Seq": 0}).to_string());
    };
    let message = Command::Said(Said::Message(content));
    match cell.ask(asked.session.as_member(), None, message).await? {
        Answer::Message { id, seq, .. } => Ok(json!({"MsgId": id, "Seq": seq}).to_string()),
        other => Err(unexpected(&other)),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LikeRequest {
    room_id: Option<String>,
    count: Option<u64>,
}

pub(super) async fn send_like(asked: Asked) -> Result<String, ApiError> {
    let request: LikeRequest = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    asked.server.require_store(&cell.app)?;
    let like = Command::Said(Said::Like(request.count.unwrap_or(1)));
    match cell.ask(asked.session.as_member(), None, like).await? {
        Answer::Likes(total) => Ok(json!({"TotalLikesReceived": total}).to_string()),
        other => Err(unexpected(&other)),
    }
}

#[derive(Deserialize)]
struct GiftRequest {
    #[serde(rename = "RoomId")]
    room_id: Option<String>,
    #[serde(rename = "GiftId")]
    gift_id: Option<String>,
    #[serde(rename = "Count")]
    count: Option<u64>,
    #[serde(rename = "ReceiverList_Account", default)]
    receivers: Vec<String>,
}

/// How many receivers a gift may have.
const MAX_RECEIVERS: usize = 100;

pub(super) async fn send_gift(asked: Asked) -> Result<String, ApiError> {
    let request: GiftRequest = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    let user = &asked.session.user;
    let gift_id = request.gift_id.ok_or_else(|| ApiError::invalid("GiftId", "is missing"))?;
    let gift = cell.app.catalogue.read().gift(&gift_id)?.clone();
    let count = request.count.unwrap_or(1);
    let to: Vec<UserId> = match request.receivers.is_empty() {
        true => Vec::new(),
        false => cell.app.require_accounts("ReceiverList_Account", Some(request.receivers), MAX_RECEIVERS)?,
    };
    {
        let room = cell.read()?;
        room.require_member(user)?;
        room.check_give(count)?;
    }
    webhooks::before_gift(&asked.server, &cell.app, cell.room_id.as_str(), &gift, count, user, &to).await?;
    let give = Planned::Give { gift: Box::new(gift), count, from: user.clone(), to };
    match asked.server.ask(&cell, asked.session.as_member(), None, Command::Planned(give)).await? {
        Answer::Sequence(sequence) => Ok(json!({"Sequence": sequence}).to_string()),
        other => Err(unexpected(&other)),
    }
}
