//! What users will have noticed: who came in late, what did not start, what stood still.

use history::{Noticed, Reader, Window};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::{AppId, Call};
use super::monitoring::{HOUR, look, peer_of, refuse, window};
use super::refusal::Refusal;

/// The most that is listed.
const MOST: usize = 20;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UnusualRequest {
    sdk_app_id: AppId,
    /// In seconds since 1970.
    #[schemars(extend("x-code" = "StartTs"))]
    start_time: u64,
    /// The same; at most an hour later.
    #[schemars(extend("x-code" = "EndTs"))]
    end_time: u64,
    /// A room's number or name; without it all.
    room_id: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UnusualAnswer {
    /// At most 20.
    total: usize,
    /// The newest first.
    abnormal_experience_list: Vec<Experience>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Experience {
    user_id: String,
    /// 1 came in late, 2 no picture, 3 no sound, 4 pictures stood still, 5 sound did.
    experience_id: u8,
    /// The room's number or name.
    room_id: String,
    /// What was wrong just then.
    abnormal_event_list: Vec<Cause>,
    /// In seconds since 1970.
    event_time: i64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Cause {
    /// The cloud's number for it.
    abnormal_event_id: u16,
    /// Whose stream it was; empty of the user itself.
    peer_id: String,
}

pub(super) async fn describe_unusual_event(
    call: Call,
    request: UnusualRequest,
) -> Result<UnusualAnswer, Refusal> {
    let app = call.app(request.sdk_app_id)?.id.0;
    let window = window(&call, request.start_time, request.end_time, HOUR).map_err(|refusal| {
        // The cloud calls it so here.
        match refusal.detail.as_deref() {
            Some("StartTsOversize") => refuse("StartTimeExpire", refusal.message),
            _ => refusal,
        }
    })?;
    let rooms = request.room_id.map(|room| history::meant(&room).to_vec()).unwrap_or_default();
    let abnormal_experience_list = look(&call, move |reader| {
        let noticed = reader.unusual(app, window, &rooms, MOST)?;
        noticed.into_iter().map(|noticed| experience(reader, noticed, window)).collect::<Result<Vec<_>, _>>()
    })
    .await?;
    Ok(UnusualAnswer { total: abnormal_experience_list.len(), abnormal_experience_list })
}

fn experience(reader: &Reader, noticed: Noticed, window: Window) -> Result<Experience, history::Error> {
    let Noticed { room, user, what } = noticed;
    let mut abnormal_event_list = Vec::new();
    for (cause, peer) in what.causes {
        let peer_id = peer_of(reader, what.call, peer, window)?;
        abnormal_event_list.push(Cause { abnormal_event_id: cause, peer_id });
    }
    Ok(Experience {
        user_id: user,
        experience_id: what.experience,
        room_id: history::shown(&room).to_owned(),
        abnormal_event_list,
        event_time: what.at / 1000,
    })
}
