//! Before-events: the app's server is asked, and may refuse. One that does not answer in time has no objection, as
//! documented.

use rooms::{Content, Gift, RoomType, UserId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::receiver::Delivery;

use crate::clock;
use crate::error::{ApiError, Code};
use crate::server::Server;
use crate::tenant::Tenant;
use crate::wire;

const BEFORE_MESSAGE: &str = "Group.CallbackBeforeSendMsg";
const BEFORE_GIFT: &str = "Live.CallbackBeforeSendGift";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    error_code: u32,
    #[serde(default)]
    error_info: String,
    msg_body: Option<Value>,
    cloud_custom_data: Option<String>,
}

/// Asks; `None` when nobody is to be asked, or the one who is did not answer sensibly.
async fn ask(server: &Server, app: &Tenant, command: &str, body: Value) -> Option<Answer> {
    let webhook = app.webhook_for(command)?;
    let body = body.to_string();
    let delivery = Delivery { app: app.id, command, body: &body, id: app.event_ids.next(), attempt: 1 };
    match server.sender.ask(&webhook, &delivery, server.config.webhooks.deadline).await {
        Ok(answer) => serde_json::from_slice(&answer)
            .inspect_err(|error| {
                if app.may_log_webhook() {
                    tracing::warn!(app = %app.id, command, %error, "a webhook answer cannot be read; allowed");
                }
            })
            .ok(),
        Err(error) => {
            if app.may_log_webhook() {
                tracing::warn!(app = %app.id, command, %error, "a webhook did not answer; allowed");
            }
            None
        }
    }
}

/// What a message would be.
pub(crate) struct MessageQuestion<'a> {
    pub(crate) room_id: &'a str,
    pub(crate) room_type: RoomType,
    pub(crate) from: &'a UserId,
    pub(crate) operator: &'a str,
    pub(crate) content: Content,
}

/// May this message be sent? Returns what is sent (the receiver may change it); `None` drops it without a word.
pub(crate) async fn before_message(
    server: &Server,
    app: &Tenant,
    question: MessageQuestion<'_>,
) -> Result<Option<Content>, ApiError> {
    let MessageQuestion { room_id, room_type, from, operator, content } = question;
    if app.webhook_for(BEFORE_MESSAGE).is_none() {
        return Ok(Some(content));
    }
    let (elements, extension) = wire::elements(&content);
    let body = json!({
        "CallbackCommand": BEFORE_MESSAGE, "GroupId": room_id, "Type": room_type.to_string(),
        "From_Account": from.as_str(), "Operator_Account": operator,
        "Random": getrandom::u32().unwrap_or_default(), "MsgBody": elements, "CloudCustomData": extension,
        "EventTime": clock::now().unix_millis(),
    });
    let Some(answer) = ask(server, app, BEFORE_MESSAGE, body).await else { return Ok(Some(content)) };
    match answer.error_code {
        0 => Ok(Some(match answer.msg_body {
            Some(body @ Value::Array(_)) => match (wire::text_of(&body), &content) {
                (Some(text), Content::Text { extension, .. }) => Content::Text {
                    text,
                    extension: answer.cloud_custom_data.unwrap_or_else(|| extension.clone()),
                },
                _ => Content::Elements {
                    body: body.to_string(),
                    extension: answer.cloud_custom_data.unwrap_or(extension),
                },
            },
            _ => content,
        })),
        2 => Ok(None),
        code => Err(refusal(Code::of_refused_message(code), answer.error_info)),
    }
}

/// May this gift be given?
pub(crate) async fn before_gift(
    server: &Server,
    app: &Tenant,
    room_id: &str,
    gift: &Gift,
    count: u64,
    from: &UserId,
    to: &[UserId],
) -> Result<(), ApiError> {
    if app.webhook_for(BEFORE_GIFT).is_none() {
        return Ok(());
    }
    let to: Vec<&str> = to.iter().map(UserId::as_str).collect();
    let body = json!({
        "CallbackCommand": BEFORE_GIFT, "Operator_Account": from.as_str(), "RoomId": room_id,
        "GiftWater": {
            "From_Account": from.as_str(), "To_Account": to, "Time": clock::now().unix_seconds(),
            "GiftId": gift.gift_id, "Count": count, "Coins": gift.coins.saturating_mul(count),
        },
        "EventTime": clock::now().unix_millis(),
    });
    match ask(server, app, BEFORE_GIFT, body).await {
        Some(answer) if answer.error_code != 0 => {
            Err(refusal(Code::of_refused_gift(answer.error_code), answer.error_info))
        }
        _ => Ok(()),
    }
}

fn refusal(code: Code, info: String) -> ApiError {
    ApiError::new(code, if info.is_empty() { "refused by the app's server".into() } else { info })
}
