//! Messages from the app's backend to everyone in a room.

use std::sync::Arc;
use std::time::Instant;

use ::rooms::{Content, RoomType, UserId};
use hall::{Answer, By, Command, Said, Speech};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Call;
use super::answer::{Response, TopLevel};
use super::integers::integer;
use super::rooms::{LIVE, require_room_id};
use crate::clock;
use crate::error::ApiError;
use crate::halls::{OpenRoom, unexpected};
use crate::repeats::{Fingerprint, Outcome, SentAs};
use crate::webhooks;
use crate::wire;

#[derive(Deserialize, JsonSchema)]
pub(super) struct TextRequest {
    #[serde(rename = "RoomId")]
    #[schemars(required)]
    room_id: Option<String>,
    #[serde(rename = "Sender_Account", alias = "From_Account")]
    sender: Option<String>,
    #[serde(rename = "TextContent", alias = "Text", alias = "Content")]
    #[schemars(required)]
    text: Option<String>,
    #[serde(rename = "ExtensionInfo")]
    extension: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Sent {
    msg_id: String,
    seq: u64,
    /// Unix seconds.
    msg_time: u64,
}

pub(super) async fn send_text_msg(call: Call, request: TextRequest) -> Result<Response<Sent>, ApiError> {
    text(call, request, LIVE).await
}

pub(super) async fn text(
    call: Call,
    request: TextRequest,
    kind: Option<RoomType>,
) -> Result<Response<Sent>, ApiError> {
    let text = request.text.ok_or_else(|| ApiError::invalid("TextContent", "is missing"))?;
    let content = Content::Text { text, extension: request.extension.unwrap_or_default() };
    let sent =
        send(&call, request.room_id.as_deref(), "Sender_Account", request.sender.as_deref(), content, kind)
            .await?;
    Ok(Response(sent))
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct CustomRequest {
    #[serde(rename = "RoomId")]
    #[schemars(required)]
    room_id: Option<String>,
    #[serde(rename = "Sender_Account", alias = "From_Account")]
    sender: Option<String>,
    #[serde(rename = "BusinessId", alias = "BusinessID")]
    business_id: Option<String>,
    #[serde(rename = "Data")]
    #[schemars(required)]
    data: Option<String>,
}

pub(super) async fn send_custom_msg(call: Call, request: CustomRequest) -> Result<Response<Sent>, ApiError> {
    custom(call, request, LIVE).await
}

pub(super) async fn custom(
    call: Call,
    request: CustomRequest,
    kind: Option<RoomType>,
) -> Result<Response<Sent>, ApiError> {
    let data = request.data.ok_or_else(|| ApiError::invalid("Data", "is missing"))?;
    let content = Content::Custom { business_id: request.business_id.unwrap_or_default(), data };
    let sent =
        send(&call, request.room_id.as_deref(), "Sender_Account", request.sender.as_deref(), content, kind)
            .await?;
    Ok(Response(sent))
}

/// `MsgBody`, the same over REST and from a member.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Elements {
    #[serde(rename = "MsgBody")]
    #[schemars(required)]
    body: Option<Value>,
    #[serde(rename = "CloudCustomData")]
    cloud_custom_data: Option<String>,
}

impl Elements {
    pub(crate) fn read(self) -> Result<Content, ApiError> {
        let body = self.body.ok_or_else(|| ApiError::invalid("MsgBody", "is missing"))?;
        let elements = body.as_array().filter(|elements| !elements.is_empty());
        let elements = elements.ok_or_else(|| ApiError::invalid("MsgBody", "is no list of elements"))?;
        for element in elements {
            if !element.get("MsgType").is_some_and(Value::is_string) {
                return Err(ApiError::invalid("MsgType", "is missing in an element of MsgBody"));
            }
            if !element.get("MsgContent").is_some_and(Value::is_object) {
                return Err(ApiError::invalid("MsgContent", "is missing in an element of MsgBody"));
            }
        }
        let extension = self.cloud_custom_data.unwrap_or_default();
        Ok(match wire::text_of(&body) {
            Some(text) if !text.is_empty() => Content::Text { text, extension },
            _ => Content::Elements { body: body.to_string(), extension },
        })
    }
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct GroupRequest {
    #[serde(rename = "GroupId")]
    #[schemars(required)]
    group_id: Option<String>,
    #[serde(rename = "From_Account")]
    from: Option<String>,
    #[serde(flatten)]
    elements: Elements,
    /// The same number from the same sender with the same elements within five minutes is the same message.
    #[serde(rename = "Random")]
    random: Option<Value>,
    /// Events that the app's receiver is not to get for this message.
    #[serde(rename = "ForbidCallbackControl")]
    forbidden: Option<Vec<ForbiddenCallback>>,
}

#[derive(PartialEq, Eq, Deserialize, JsonSchema)]
enum ForbiddenCallback {
    #[serde(rename = "ForbidBeforeSendMsgCallback")]
    Before,
    #[serde(rename = "ForbidAfterSendMsgCallback")]
    After,
}

impl GroupRequest {
    /// The number that its sender gave it, if any, however it is written.
    fn random(&self) -> Option<String> {
        let random = self.random.as_ref().filter(|random| !random.is_null())?;
        Some(integer::<i64>(random).map_or_else(|| random.to_string(), |number| number.to_string()))
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GroupSent {
    /// Unix seconds.
    msg_time: u64,
    msg_seq: u64,
}

pub(super) async fn send_group_msg(
    call: Call,
    request: GroupRequest,
) -> Result<TopLevel<GroupSent>, ApiError> {
    let random = request.random();
    let group_id = request.group_id.ok_or_else(|| ApiError::invalid("GroupId", "is missing"))?;
    ::rooms::RoomId::parse_field("GroupId", &group_id)?;
    let is_forbidden = |callback| request.forbidden.as_ref().is_some_and(|all| all.contains(&callback));
    let asked = !is_forbidden(ForbiddenCallback::Before);
    let is_untold = is_forbidden(ForbiddenCallback::After);
    let content = request.elements.read()?;
    let draft = Draft::new(&call, Some(&group_id), "From_Account", request.from.as_deref(), content, None)?;
    let sent = match random {
        None => draft.send(asked, is_untold).await?,
        Some(random) => {
            let first = call.app.repeats.of(draft.fingerprint(&random), Instant::now());
            first.get_or_try_init(|| draft.send(asked, is_untold)).await?.clone()
        }
    }?;
    Ok(TopLevel(GroupSent { msg_time: sent.time, msg_seq: sent.seq }))
}

/// Sends in the name of an imported account; of the caller when none is named.
async fn send(
    call: &Call,
    room_id: Option<&str>,
    field: &str,
    sender: Option<&str>,
    content: Content,
    kind: Option<RoomType>,
) -> Result<Sent, ApiError> {
    let sent = Draft::new(call, room_id, field, sender, content, kind)?.send(true, false).await??;
    Ok(Sent { msg_id: sent.id, seq: sent.seq, msg_time: sent.time })
}

/// A message before it is sent.
struct Draft<'a> {
    call: &'a Call,
    cell: Arc<OpenRoom>,
    /// Unlike that of another room of the same id.
    incarnation: u64,
    from: UserId,
    content: Content,
}

impl<'a> Draft<'a> {
    fn new(
        call: &'a Call,
        room_id: Option<&str>,
        field: &str,
        sender: Option<&str>,
        content: Content,
        kind: Option<RoomType>,
    ) -> Result<Self, ApiError> {
        let room_id = require_room_id(room_id)?;
        call.server.require_store(&call.app)?;
        let cell = call.app.room(room_id.as_str())?;
        let incarnation = cell.read_as(kind)?.info().incarnation;
        let from = match sender {
            None | Some("") => call.caller.clone(),
            Some(sender) => call.app.require_account(field, sender)?.user.clone(),
        };
        Ok(Self { call, cell, incarnation, from, content })
    }

    /// Which message it is, when its sender calls it `random`.
    fn fingerprint(&self, random: &str) -> Fingerprint {
        let (body, extension) = wire::elements(&self.content);
        let parts = [self.from.as_str(), random, &body.to_string(), &extension];
        let [from, random, body, extension] = parts.map(str::as_bytes);
        Fingerprint::of(&[&self.incarnation.to_le_bytes(), from, random, body, extension])
    }

    /// Sends it, after its receiver was `asked` whether it may be.
    ///
    /// # Errors
    /// Why it was not sent. That it was, and could not be kept yet, is an outcome.
    async fn send(&self, asked: bool, is_untold: bool) -> Result<Outcome, ApiError> {
        let Self { call, cell, from, .. } = self;
        let is_app_admin = call.app.credentials().is_admin(from.as_str());
        let speech =
            Speech::For { from: from.clone(), is_app_admin, content: self.content.clone(), is_untold };
        let message = match asked {
            true => webhooks::message(&call.app, speech),
            false => Command::Said(Said::Message(speech)),
        };
        match cell.try_ask(By::App(call.caller.as_str().into()), None, message).await {
            Ok(Answer::Message { id, seq, sent_at }) => {
                Ok(Ok(SentAs { id, seq, time: sent_at.unix_seconds() }))
            }
            Ok(Answer::Dropped) => {
                Ok(Ok(SentAs { id: String::new(), seq: 0, time: clock::now().unix_seconds() }))
            }
            Ok(other) => Err(unexpected(&other)),
            Err(hall::Refusal::NotYetKept) => Ok(Err(cell.error(hall::Refusal::NotYetKept))),
            Err(refusal) => Err(cell.error(refusal)),
        }
    }
}
