//! The table of all actions of trtc 2019-07-22. An action is its row here and its handler: routing, limits, what parameters it takes,
//! metrics, `/openapi-rtc.json` and the table of `docs/rtc-api.md` follow from it. What this server does not have is in the table too,
//! and says so.

use std::pin::Pin;
use std::sync::LazyLock;
use std::time::Duration;

use hashbrown::HashMap;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::call::Call;
use super::parameters::{self, Parameter};
use super::refusal::{Code, Refusal};
use super::{answer, dashboards, monitoring, rooms, unusual, usage};
use crate::limit::Rate;

type Answering = Pin<Box<dyn Future<Output = Result<String, Refusal>> + Send>>;
type Run = Box<dyn Fn(Call, Value) -> Answering + Send + Sync>;
type Schema = fn(&mut SchemaGenerator) -> Value;

/// A row of the table.
pub(crate) struct Action {
    pub(crate) name: &'static str,
    /// How often a key may call it.
    pub(super) rate: Rate,
    pub(super) state: State,
}

/// Whether there is anything behind an action.
pub(super) enum State {
    Works(Handler),
    /// This server has no such thing; the text says what.
    Missing(&'static str),
    /// The cloud has retired it; the text says what took its place.
    Retired(&'static str),
}

/// What carries an action out.
pub(super) struct Handler {
    /// What it does, in a line.
    pub(super) about: &'static str,
    pub(super) parameters: Vec<Parameter>,
    pub(super) run: Run,
    pub(super) request: Schema,
    pub(super) response: Schema,
}

impl Action {
    /// It may be called so often instead.
    fn at_most(mut self, rate: Rate) -> Self {
        self.rate = rate;
        self
    }
}

/// How often a key may call an action whose page does not say otherwise.
const USUAL: Rate = Rate::a_second(20);

/// How often one that reads more.
const FEW: Rate = Rate::a_second(5);

/// How often one that reads much.
const SELDOM: Rate = Rate { calls: 1, every: Duration::from_secs(15) };

/// Makes a row; the handler is an async function of a [`Call`] and its request.
fn row<Q, R, F>(name: &'static str, about: &'static str, handler: fn(Call, Q) -> F) -> Action
where
    Q: DeserializeOwned + JsonSchema + Send + 'static,
    R: Serialize + JsonSchema + 'static,
    F: Future<Output = Result<R, Refusal>> + Send + 'static,
{
    make(name, about, handler, false)
}

/// A row whose action changes something: it goes on to its end even when the caller hangs up, so that what is on disk is also true in
/// memory.
fn change<Q, R, F>(name: &'static str, about: &'static str, handler: fn(Call, Q) -> F) -> Action
where
    Q: DeserializeOwned + JsonSchema + Send + 'static,
    R: Serialize + JsonSchema + 'static,
    F: Future<Output = Result<R, Refusal>> + Send + 'static,
{
    make(name, about, handler, true)
}

fn make<Q, R, F>(name: &'static str, about: &'static str, handler: fn(Call, Q) -> F, goes_on: bool) -> Action
where
    Q: DeserializeOwned + JsonSchema + Send + 'static,
    R: Serialize + JsonSchema + 'static,
    F: Future<Output = Result<R, Refusal>> + Send + 'static,
{
    let run: Run = Box::new(move |call, parameters| {
        Box::pin(async move {
            // They have been held against the schema of this very type.
            let request = serde_json::from_value(parameters)
                .map_err(|error| Refusal::new(Code::InvalidParameter, error.to_string()))?;
            Ok(answer::fields(&handler(call, request).await?))
        })
    });
    let handler = Handler {
        about,
        parameters: parameters::of::<Q>(),
        run: if goes_on { that_goes_on(run) } else { run },
        request: |generator| generator.subschema_for::<Q>().to_value(),
        response: |generator| generator.subschema_for::<R>().to_value(),
    };
    Action { name, rate: USUAL, state: State::Works(handler) }
}

/// The same, which goes on when nobody waits for it any more.
fn that_goes_on(run: Run) -> Run {
    let lost = |error| Err(Refusal::new(Code::InternalError, format!("{error}")));
    Box::new(move |call, parameters| {
        let work = run(call, parameters);
        Box::pin(async move { tokio::spawn(work).await.unwrap_or_else(lost) })
    })
}

/// Rows of what this server does not have.
fn missing(what: &'static str, names: &'static [&'static str]) -> impl Iterator<Item = Action> {
    names.iter().map(move |&name| Action { name, rate: USUAL, state: State::Missing(what) })
}

/// Rows of what the cloud has retired, each with what took its place.
fn retired(names: &'static [(&'static str, &'static str)]) -> impl Iterator<Item = Action> {
    names.iter().map(|&(name, instead)| Action { name, rate: USUAL, state: State::Retired(instead) })
}

/// Every action there is.
pub(crate) static ACTIONS: LazyLock<Vec<Action>> = LazyLock::new(|| {
    let works = [
        change("DismissRoom", "End a room of a number; everyone is put out.", rooms::dismiss_room),
        change(
            "DismissRoomByStrRoomId",
            "End a room of a name; everyone is put out.",
            rooms::dismiss_room_by_str_room_id,
        ),
        change("RemoveUser", "Put users out of a room of a number.", rooms::remove_user),
        change(
            "RemoveUserByStrRoomId",
            "Put users out of a room of a name.",
            rooms::remove_user_by_str_room_id,
        ),
        change("KickOutUser", "The same as RemoveUser, by its first name.", rooms::remove_user),
        change(
            "SetUserBlocked",
            "Stop a user's sound or pictures in a room of a number, or let them flow.",
            rooms::set_user_blocked,
        ),
        change(
            "SetUserBlockedByStrRoomId",
            "The same in a room of a name.",
            rooms::set_user_blocked_by_str_room_id,
        ),
        row("DescribeRoomInfo", "Rooms that lived in a time.", monitoring::describe_room_info),
        row("DescribeUserInfo", "Who was in a room, when and with what.", monitoring::describe_user_info),
        row("DescribeUserEvent", "What happened to a user in a room.", monitoring::describe_user_event),
        row(
            "DescribeCallDetailInfo",
            "Who was in a room, and what their streams were like.",
            monitoring::describe_call_detail_info,
        ),
        row(
            "DescribeScaleInfo",
            "How many users and rooms there were on each day.",
            monitoring::describe_scale_info,
        ),
        row(
            "DescribeTRTCRealTimeScaleData",
            "How many users and rooms there were in each ten seconds.",
            dashboards::describe_real_time_scale,
        ),
        row(
            "DescribeTRTCRealTimeQualityData",
            "What stood still of what was seen and heard in each ten seconds.",
            dashboards::describe_real_time_quality,
        ),
        row(
            "DescribeTRTCMarketScaleData",
            "How many users and rooms there were on each day, or in each hour.",
            dashboards::describe_market_scale,
        ),
        row(
            "DescribeTRTCMarketQualityData",
            "How users were served on each day, or in each hour.",
            dashboards::describe_market_quality,
        ),
        row("DescribeUnusualEvent", "What users will have noticed.", unusual::describe_unusual_event),
        row("DescribeTrtcUsage", "How many minutes were used.", usage::describe_trtc_usage).at_most(FEW),
        row("DescribeTrtcRoomUsage", "How many seconds each room used.", usage::describe_trtc_room_usage)
            .at_most(SELDOM),
        row("DescribeRecordingUsage", "Of recording: none yet.", usage::describe_recording_usage)
            .at_most(FEW),
        row("DescribeMixTranscodingUsage", "Of mixing: none yet.", usage::describe_mix_transcoding_usage)
            .at_most(FEW),
        row("DescribeRelayUsage", "Of relaying to a CDN: none yet.", usage::describe_relay_usage)
            .at_most(FEW),
        row("DescribeRecordStatistic", "Of recording: none yet.", usage::describe_record_statistic),
        row("DescribeTrtcMcuTranscodeTime", "Of mixing: none yet.", usage::describe_trtc_mcu_transcode_time),
        row(
            "DescribeTRTCSegmentModerationUsage",
            "Of moderation: none yet.",
            usage::describe_segment_moderation_usage,
        ),
        row("DescribeTRTCAIRecognitionUsage", "Of speech: none yet.", usage::describe_ai_recognition_usage),
        row(
            "DescribeTRTCDedicatedCloudAccUsage",
            "Of acceleration: none yet.",
            usage::describe_dedicated_cloud_acc_usage,
        ),
    ];
    works
        .into_iter()
        .chain(missing(
            "cloud recording",
            &[
                "CreateCloudRecording",
                "ModifyCloudRecording",
                "DescribeCloudRecording",
                "DeleteCloudRecording",
                "StartWebRecord",
                "DescribeWebRecord",
                "StopWebRecord",
                "CreateCloudSliceTask",
                "ModifyCloudSliceTask",
                "DescribeCloudSliceTask",
                "DeleteCloudSliceTask",
            ],
        ))
        .chain(missing(
            "mixing and relaying to a CDN",
            &[
                "StartPublishCdnStream",
                "UpdatePublishCdnStream",
                "StopPublishCdnStream",
                "StartMCUMixTranscode",
                "StopMCUMixTranscode",
                "StartMCUMixTranscodeByStrRoomId",
                "StopMCUMixTranscodeByStrRoomId",
                "CreatePicture",
                "DescribePicture",
                "ModifyPicture",
                "DeletePicture",
            ],
        ))
        .chain(missing(
            "ingest of streams",
            &["StartStreamIngest", "UpdateStreamIngest", "DescribeStreamIngest", "StopStreamIngest"],
        ))
        .chain(missing(
            "moderation of content",
            &[
                "CreateCloudModeration",
                "ModifyCloudModeration",
                "DescribeCloudModeration",
                "DeleteCloudModeration",
                "CreateLiveStreamModeration",
                "DescribeLiveStreamModeration",
                "DeleteLiveStreamModeration",
                "CreateAudioModerationSync",
            ],
        ))
        .chain(missing(
            "transcription",
            &[
                "CreateCloudTranscription",
                "DescribeCloudTranscription",
                "DeleteCloudTranscription",
                "StartAITranscription",
                "DescribeAITranscription",
                "StopAITranscription",
                "CreateRecognizeVocabV3",
                "UpdateRecognizeVocabV3",
                "GetRecognizeVocabV3",
                "GetRecognizeVocabListV3",
                "DeleteRecognizeVocabV3",
                "DownloadRecognizeVocabV3",
                "SetVocabStateV3",
            ],
        ))
        .chain(missing(
            "conversation with an AI",
            &[
                "StartAIConversation",
                "UpdateAIConversation",
                "ControlAIConversation",
                "DescribeAIConversation",
                "StopAIConversation",
                "QueryAIMessageList",
            ],
        ))
        .chain(missing(
            "synthesis of speech",
            &[
                "TextToSpeech",
                "TextToSpeechSSE",
                "AsyncTextToSpeech",
                "DescribeAsyncTextToSpeech",
                "VoiceClone",
                "RegisterVoicePrint",
                "DescribeVoicePrint",
                "UpdateVoicePrint",
                "DeleteVoicePrint",
            ],
        ))
        .chain(retired(&[
            ("DescribeTRTCMarketScaleMetricData", "DescribeTRTCMarketScaleData"),
            ("DescribeRoomInformation", "DescribeRoomInfo"),
            ("DescribeUserInformation", "DescribeUserInfo"),
            ("DescribeDetailEvent", "DescribeUserEvent"),
            ("DescribeCallDetail", "DescribeCallDetailInfo"),
            ("DescribeHistoryScale", "DescribeScaleInfo"),
            ("DescribeAbnormalEvent", "DescribeUnusualEvent"),
            ("DescribeRealtimeNetwork", "DescribeTRTCRealTimeQualityData"),
            ("DescribeRealtimeQuality", "DescribeTRTCRealTimeQualityData"),
            ("DescribeRealtimeScale", "DescribeTRTCRealTimeScaleData"),
        ]))
        .collect()
});

/// The action of a name, with its place in the table.
pub(super) fn find(name: &str) -> Option<(usize, &'static Action)> {
    static BY_NAME: LazyLock<HashMap<&'static str, usize, foldhash::fast::RandomState>> =
        LazyLock::new(|| ACTIONS.iter().map(|action| action.name).zip(0..).collect());
    let index = *BY_NAME.get(name)?;
    Some((index, ACTIONS.get(index)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../../../docs/rtc-api.md");

    /// The document's table of actions, as it must be.
    fn table() -> String {
        let works = ACTIONS.iter().filter_map(|action| match &action.state {
            State::Works(handler) => {
                let takes: Vec<&str> = handler.parameters.iter().map(Parameter::name).collect();
                Some(format!("| {} | {} | {} |\n", action.name, takes.join(", "), handler.about))
            }
            _ => None,
        });
        let mut lacking: Vec<(&str, Vec<&str>)> = Vec::new();
        for action in ACTIONS.iter() {
            let State::Missing(what) = action.state else { continue };
            match lacking.iter_mut().find(|(known, _)| *known == what) {
                Some((_, names)) => names.push(action.name),
                None => lacking.push((what, vec![action.name])),
            }
        }
        let lacking = lacking.iter().map(|(what, names)| format!("| {what} | {} |\n", names.join(", ")));
        let retired = ACTIONS.iter().filter_map(|action| match action.state {
            State::Retired(instead) => Some(format!("| {} | {instead} |\n", action.name)),
            _ => None,
        });
        format!(
            "| action | takes | what it does |\n|---|---|---|\n{}\n\
             | what there is not | `UnsupportedOperation` |\n|---|---|\n{}\n\
             | retired: `ActionOffline` | in its place |\n|---|---|\n{}",
            works.collect::<String>(),
            lacking.collect::<String>(),
            retired.collect::<String>()
        )
    }

    /// The document's table of codes, as it must be.
    fn codes() -> String {
        let row = |code: &Code| format!("| `{}` | {} |\n", code.text(), code.meaning());
        format!("| code | when |\n|---|---|\n{}", Code::ALL.iter().map(row).collect::<String>())
    }

    #[test]
    fn the_document_has_the_tables_that_are_true() {
        for table in [table(), codes()] {
            assert!(DOCUMENT.contains(&table), "docs/rtc-api.md must have this table:\n\n{table}");
        }
    }

    #[test]
    fn no_action_is_there_twice() {
        for (at, action) in ACTIONS.iter().enumerate() {
            assert_eq!(find(action.name).map(|(index, _)| index), Some(at), "{}", action.name);
        }
    }
}
