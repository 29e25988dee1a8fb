//! Before-events: the app's server is asked, and may refuse. One that does not answer in time has no objection, as
//! documented. What is asked about waits in its hall meanwhile, which checks it again afterwards.

use std::time::Duration;

use hall::{Command, Give, Objection, Planned, Question, Reviewed, Said, Speech, Verdict};
use rooms::{Content, RoomId, RoomType, UserId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::receiver::Delivery;
use crate::clock;
use crate::error::{ApiError, Code};
use crate::tenant::Tenant;
use crate::wire;

const BEFORE_MESSAGE: &str = "Group.CallbackBeforeSendMsg";
const BEFORE_GIFT: &str = "Live.CallbackBeforeSendGift";

/// A message, after the app's server was asked if it wants to be.
pub(crate) fn message(app: &Tenant, speech: Speech) -> Command {
    match app.webhook_for(BEFORE_MESSAGE) {
        Some(_) => Command::Reviewed(Reviewed::Message(speech)),
        None => Command::Said(Said::Message(speech)),
    }
}

/// A gift, after the app's server was asked if it wants to be.
pub(crate) fn gift(app: &Tenant, give: Give) -> Command {
    match app.webhook_for(BEFORE_GIFT) {
        Some(_) => Command::Reviewed(Reviewed::Gift(give)),
        None => Command::Planned(Planned::Give(give)),
    }
}

/// What the app's server does not want, as callers hear of it.
pub(crate) fn refusal(code: Code, objection: Objection) -> ApiError {
    let text = objection.text;
    ApiError::new(code, if text.is_empty() { "refused by the app's server".into() } else { text })
}

/// Asks the app's server.
pub(crate) async fn review(
    app: &Tenant,
    room_id: &RoomId,
    operator: &str,
    question: Question,
    deadline: Duration,
) -> Verdict {
    match question {
        Question::Message { from, room_type, content } => {
            let body = of_message(room_id, room_type, &from, operator, &content);
            ask(app, BEFORE_MESSAGE, body, deadline, |answer| match answer.error_code {
                0 => answer.words(&content).map_or(Verdict::Agreed, Verdict::Changed),
                2 => Verdict::Dropped,
                _ => answer.refused(),
            })
            .await
        }
        Question::Gift(give) => {
            let body = of_gift(room_id, &give);
            ask(app, BEFORE_GIFT, body, deadline, |answer| match answer.error_code {
                0 => Verdict::Agreed,
                _ => answer.refused(),
            })
            .await
        }
        Question::Beyond { .. } => {
            debug_assert!(false, "{question:?} is no question to an app's server");
            Verdict::NotAsked
        }
    }
}

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

impl Answer {
    fn refused(self) -> Verdict {
        Verdict::Refused(Objection { number: self.error_code, text: self.error_info })
    }

    /// In which other words `content` is to be sent.
    fn words(self, content: &Content) -> Option<Content> {
        let (elements, extension) = wire::elements(content);
        let body = self.msg_body.filter(Value::is_array);
        // What is custom has no place for it beside other elements.
        let is_extended = self.cloud_custom_data.is_some() && !matches!(content, Content::Custom { .. });
        if body.is_none() && !is_extended {
            return None;
        }
        let (body, extension) = (body.unwrap_or(elements), self.cloud_custom_data.unwrap_or(extension));
        Some(match (wire::text_of(&body), content) {
            (Some(text), Content::Text { .. }) => Content::Text { text, extension },
            _ => Content::Elements { body: body.to_string(), extension },
        })
    }
}

/// Asks, and reads the answer; whoever does not answer sensibly agrees.
async fn ask(
    app: &Tenant,
    command: &str,
    body: Value,
    deadline: Duration,
    read: impl FnOnce(Answer) -> Verdict,
) -> Verdict {
    // It wants to be asked no more.
    let Some(webhook) = app.webhook_for(command) else { return Verdict::Agreed };
    let body = body.to_string();
    let Some(_held) = app.questions.hold(body.len()) else { return Verdict::NotAsked };
    let delivery = Delivery { app: app.id, command, body: &body, id: app.event_ids.next(), attempt: 1 };
    let trouble = match app.sender().ask(&webhook, &delivery, deadline).await {
        Ok(answer) => match serde_json::from_slice(&answer) {
            Ok(answer) => return read(answer),
            Err(error) => format!("a webhook answer cannot be read: {error}"),
        },
        Err(error) => format!("a webhook did not answer: {error}"),
    };
    if app.may_log_webhook() {
        tracing::warn!(app = %app.id, command, "{trouble}; allowed");
    }
    Verdict::Agreed
}

fn of_message(
    room_id: &RoomId,
    room_type: RoomType,
    from: &UserId,
    operator: &str,
    content: &Content,
) -> Value {
    let (elements, extension) = wire::elements(content);
    json!({
        "CallbackCommand": BEFORE_MESSAGE, "GroupId": room_id.as_str(), "Type": room_type.to_string(),
        "From_Account": from.as_str(), "Operator_Account": operator,
        "Random": getrandom::u32().unwrap_or_default(), "MsgBody": elements, "CloudCustomData": extension,
        "EventTime": clock::now().unix_millis(),
    })
}

fn of_gift(room_id: &RoomId, give: &Give) -> Value {
    let Give { gift, count, from, to } = give;
    let to: Vec<&str> = to.iter().map(UserId::as_str).collect();
    json!({
        "CallbackCommand": BEFORE_GIFT, "Operator_Account": from.as_str(), "RoomId": room_id.as_str(),
        "GiftWater": {
            "From_Account": from.as_str(), "To_Account": to, "Time": clock::now().unix_seconds(),
            "GiftId": gift.gift_id, "Count": count, "Coins": gift.coins.saturating_mul(*count),
        },
        "EventTime": clock::now().unix_millis(),
    })
}
