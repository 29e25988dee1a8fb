//! How many minutes were used, as history has counted them. What this server does not do yet (recording, mixing, relaying, moderation,
//! speech) was used for no time, and is answered so, point by point.

use history::{Reader, SLOT, Spent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::{AppId, Call};
use super::monitoring::{DAY, look, refuse};
use super::refusal::{Code, Refusal};
use crate::clock;
use crate::config::Pictures;

/// The most days that may be asked for at once.
const MOST_DAYS: i64 = 31;

/// How many days ago usage of rooms may be asked for.
const ROOMS_DAYS: i64 = 93;

/// The most rooms that are listed.
const MOST_ROOMS: usize = 100_000;

/// Sound, and the sizes of pictures.
const KEYS: [&str; 6] = ["Audio", "SD", "HD", "FullHD", "2K", "4K"];

// Times

const DAY_SECONDS: i64 = DAY.cast_signed();

fn wrong(name: &str, text: &str, form: &str) -> Refusal {
    let shown: String = text.chars().take(32).collect();
    Refusal::new(Code::InvalidParameter, format!("{name} is {shown:?}, which is no {form}"))
}

/// When a day begins, in seconds: `2026-11-26`, also with `00:00:00` or another time behind it.
fn day(name: &str, text: &str) -> Result<i64, Refusal> {
    let (date, time) = text.split_once(' ').unwrap_or((text, "00:00"));
    let found = history::day(date).filter(|_| seconds(time).is_some());
    found.ok_or_else(|| wrong(name, text, "YYYY-MM-DD"))
}

/// A moment in seconds: `2026-11-26 09:05`, perhaps with seconds.
fn moment(name: &str, text: &str) -> Result<i64, Refusal> {
    let found = text.split_once(' ').and_then(|(date, time)| Some(history::day(date)? + seconds(time)?));
    found.ok_or_else(|| wrong(name, text, "YYYY-MM-DD HH:MM"))
}

/// The seconds of `09:05` or `09:05:30`.
fn seconds(time: &str) -> Option<i64> {
    let mut parts = time.split(':').map(|part| {
        let number = part.parse::<i64>().ok()?;
        (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit())).then_some(number)
    });
    let (hours, minutes) = (parts.next()??, parts.next()??);
    let seconds = match parts.next() {
        Some(seconds) => seconds?,
        None => 0,
    };
    let is_time = hours < 24 && minutes < 60 && seconds < 60 && parts.next().is_none();
    is_time.then_some(3600 * hours + 60 * minutes + seconds)
}

/// The points of an answer: of one day each five minutes, else each day.
#[derive(Clone, Copy)]
struct Points {
    /// The first day's beginning, in seconds.
    from: i64,
    /// The last one's.
    to: i64,
}

impl Points {
    /// Days in either order: samples of the cloud have them swapped.
    fn of(one: i64, other: i64) -> Result<Self, Refusal> {
        let (from, to) = (one.min(other), one.max(other));
        let days = (to - from) / DAY_SECONDS + 1;
        if days > MOST_DAYS {
            let message = format!("StartTime to EndTime are {days} days; at most {MOST_DAYS} are allowed");
            return Err(refuse("QueryScaleOversize", message));
        }
        Ok(Self { from, to })
    }

    fn days(start: &str, end: &str) -> Result<Self, Refusal> {
        Self::of(day("StartTime", start)?, day("EndTime", end)?)
    }

    fn is_one_day(self) -> bool {
        self.from == self.to
    }

    fn times(self) -> impl Iterator<Item = i64> {
        let step = if self.is_one_day() { SLOT } else { DAY_SECONDS };
        (self.from..self.to + DAY_SECONDS).step_by(usize::try_from(step).unwrap_or(1))
    }
}

/// `2026-11-26 09:05:00`.
fn written(at: i64) -> String {
    let time = at.rem_euclid(DAY_SECONDS);
    format!("{} {:02}:{:02}:{:02}", history::date(at), time / 3600, time / 60 % 60, time % 60)
}

// DescribeTrtcUsage

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UsageRequest {
    /// `YYYY-MM-DD`, the first day.
    start_time: String,
    /// The last; at most 31 days in all.
    end_time: String,
    /// Without it all apps of the key together.
    sdk_app_id: Option<AppId>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UsageAnswer {
    /// What each of the values is.
    usage_key: Vec<&'static str>,
    /// Of one day each five minutes, else each day.
    usage_list: Vec<Used>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Used {
    /// `YYYY-MM-DD HH:mm:ss`, in UTC.
    time_key: String,
    /// The same in seconds since 1970.
    time_stamp_key: i64,
    /// Minutes that were begun, each point by itself.
    usage_value: Vec<f64>,
}

/// Seconds by key.
fn seconds_of(spent: &Spent, counted: Pictures) -> [u64; 6] {
    let [sd, hd, full_hd, two_k, four_k] = match counted {
        Pictures::Together => spent.together,
        Pictures::Each => spent.each,
    };
    [spent.audio.div_ceil(1000), sd, hd, full_hd, two_k, four_k]
}

/// The apps that a call is about.
fn apps(call: &Call, id: Option<AppId>) -> Result<Vec<u32>, Refusal> {
    match id {
        Some(id) => Ok(vec![call.app(id)?.id.0]),
        None => Ok(call.apps().map(|app| app.id.0).collect()),
    }
}

/// What apps have used together in each point.
fn used(reader: &Reader, apps: &[u32], points: Points) -> Result<Vec<Spent>, history::Error> {
    let mut all: Vec<Spent> = points.times().map(|_| Spent::default()).collect();
    for app in apps {
        if points.is_one_day() {
            for (slot, spent) in reader.used(*app, points.from, points.from + DAY_SECONDS)? {
                let at = usize::try_from((slot - points.from) / SLOT).unwrap_or(usize::MAX);
                all.get_mut(at).into_iter().for_each(|sum| sum.add(&spent));
            }
            continue;
        }
        for (sum, begins) in all.iter_mut().zip(points.times()) {
            sum.add(&reader.used_on(*app, begins)?);
        }
    }
    Ok(all)
}

pub(super) async fn describe_trtc_usage(call: Call, request: UsageRequest) -> Result<UsageAnswer, Refusal> {
    let apps = apps(&call, request.sdk_app_id)?;
    let points = Points::days(&request.start_time, &request.end_time)?;
    let counted = call.server.config.history.pictures;
    let spent = look(&call, move |reader| used(reader, &apps, points)).await?;
    let used = |(at, spent): (i64, &Spent)| Used {
        time_key: written(at),
        time_stamp_key: at,
        usage_value: seconds_of(spent, counted).iter().map(|seconds| seconds.div_ceil(60) as f64).collect(),
    };
    let usage_list = points.times().zip(&spent).map(used).collect();
    Ok(UsageAnswer { usage_key: KEYS.to_vec(), usage_list })
}

// DescribeTrtcRoomUsage

#[derive(Deserialize, JsonSchema)]
pub(super) struct RoomUsageRequest {
    #[serde(rename = "SdkAppid")]
    sdk_app_id: AppId,
    /// `YYYY-MM-DD HH:MM`, in UTC; at most three months ago.
    #[serde(rename = "StartTime")]
    start_time: String,
    /// The same; at most a day later. What counts are the five minutes that begin in between.
    #[serde(rename = "EndTime")]
    end_time: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RoomUsageAnswer {
    /// CSV with a head: seconds, a row for each room.
    data: String,
}

/// A field of CSV (RFC 4180).
fn field(text: &str) -> String {
    match text.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

pub(super) async fn describe_trtc_room_usage(
    call: Call,
    request: RoomUsageRequest,
) -> Result<RoomUsageAnswer, Refusal> {
    let unknown = || {
        Refusal::new(Code::FailedOperation, "there is no such app; see `roomful app list`")
            .of("SdkAppIdNotExist")
    };
    let app = call.find_app(request.sdk_app_id)?.ok_or_else(unknown)?.id.0;
    let (from, to) = (moment("StartTime", &request.start_time)?, moment("EndTime", &request.end_time)?);
    let invalid = |message: &'static str| Refusal::new(Code::InvalidParameter, message);
    if to <= from {
        return Err(invalid("EndTime is not after StartTime"));
    }
    if to - from > DAY_SECONDS {
        return Err(invalid("StartTime and EndTime are more than 24 hours apart"));
    }
    if from < clock::now().unix_seconds().cast_signed() - ROOMS_DAYS * DAY_SECONDS {
        return Err(invalid("StartTime is more than three months ago"));
    }
    let counted = call.server.config.history.pictures;
    let rooms = look(&call, move |reader| reader.used_by_rooms(app, from, to)).await?;
    if rooms.len() > MOST_ROOMS {
        let message = format!("there were {} rooms: ask for less time", rooms.len());
        return Err(Refusal::new(Code::ResponseSizeLimitExceeded, message));
    }
    let mut data = String::from("RoomId,Audio,SD,hd,FullHD,2K,4K\n");
    for (room, spent) in rooms.iter().filter(|(_, spent)| !spent.is_none()) {
        let seconds = seconds_of(spent, counted).map(|seconds| seconds.to_string()).join(",");
        data.extend([field(history::shown(room)).as_str(), ",", seconds.as_str(), "\n"]);
    }
    Ok(RoomUsageAnswer { data })
}

// What is not there yet

/// A time is of nothing in each point.
fn nothing(points: Points, keys: &[&'static str]) -> UsageAnswer {
    let used = |at| Used { time_key: written(at), time_stamp_key: at, usage_value: vec![0.0; keys.len()] };
    UsageAnswer { usage_key: keys.to_vec(), usage_list: points.times().map(used).collect() }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RecordingUsageRequest {
    /// `YYYY-MM-DD`, the first day.
    start_time: String,
    /// The last; at most 31 days in all.
    end_time: String,
    /// `single` or `multi`.
    mix_type: String,
    /// Without it all apps of the key together.
    sdk_app_id: Option<AppId>,
}

/// A text has to be one of some.
fn require_one_of(name: &str, text: &str, known: &[&str]) -> Result<(), Refusal> {
    if known.contains(&text) {
        return Ok(());
    }
    let shown: String = text.chars().take(32).collect();
    let message = format!("{name} is {shown:?}; it is {}", known.join(" or "));
    Err(Refusal::new(Code::InvalidParameter, message))
}

pub(super) async fn describe_recording_usage(
    call: Call,
    request: RecordingUsageRequest,
) -> Result<UsageAnswer, Refusal> {
    apps(&call, request.sdk_app_id)?;
    require_one_of("MixType", &request.mix_type, &["single", "multi"])?;
    Ok(nothing(Points::days(&request.start_time, &request.end_time)?, &KEYS))
}

pub(super) async fn describe_mix_transcoding_usage(
    call: Call,
    request: UsageRequest,
) -> Result<UsageAnswer, Refusal> {
    const MIXING: [&str; 11] = [
        "Audio",
        "SDH264",
        "HDH264",
        "FullHDH264",
        "2KH264",
        "4KH264",
        "SDH265",
        "HDH265",
        "FullHDH265",
        "2KH265",
        "4KH265",
    ];
    apps(&call, request.sdk_app_id)?;
    Ok(nothing(Points::days(&request.start_time, &request.end_time)?, &MIXING))
}

pub(super) async fn describe_relay_usage(call: Call, request: UsageRequest) -> Result<UsageAnswer, Refusal> {
    apps(&call, request.sdk_app_id)?;
    Ok(nothing(Points::days(&request.start_time, &request.end_time)?, &["Bandwidth"]))
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RecordStatisticAnswer {
    sdk_app_id_usages: Vec<RecordedByApp>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct RecordedByApp {
    /// The app, or `total`.
    sdk_app_id: String,
    usages: Vec<Recorded>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Recorded {
    /// `YYYY-MM-DD HH:mm:ss`, in UTC.
    time_key: String,
    /// Seconds of SD; so are the others, of HD, of what is above it, and of sound.
    class1_video_time: u64,
    class2_video_time: u64,
    class3_video_time: u64,
    audio_time: u64,
}

/// What the cloud calls an app, or all of them.
fn name_of(apps: &[u32], id: Option<AppId>) -> String {
    match (id, apps) {
        (Some(_), [app]) => app.to_string(),
        _ => "total".into(),
    }
}

pub(super) async fn describe_record_statistic(
    call: Call,
    request: UsageRequest,
) -> Result<RecordStatisticAnswer, Refusal> {
    let apps = apps(&call, request.sdk_app_id)?;
    let points = Points::days(&request.start_time, &request.end_time)?;
    let recorded = |at| Recorded {
        time_key: written(at),
        class1_video_time: 0,
        class2_video_time: 0,
        class3_video_time: 0,
        audio_time: 0,
    };
    let usages = points.times().map(recorded).collect();
    let of_app = RecordedByApp { sdk_app_id: name_of(&apps, request.sdk_app_id), usages };
    Ok(RecordStatisticAnswer { sdk_app_id_usages: vec![of_app] })
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TranscodeTimeAnswer {
    usages: Vec<TranscodedByApp>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct TranscodedByApp {
    /// The app, or `total`.
    sdk_app_id: String,
    total_num: usize,
    sdk_app_id_transcode_time_usages: Vec<Transcoded>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Transcoded {
    /// `YYYY-MM-DD HH:mm:ss`, in UTC.
    time_key: String,
    /// Seconds; so are those of pictures.
    audio_time: u64,
    video_time_sd: u64,
    video_time_hd: u64,
    video_time_fhd: u64,
    /// Mbit/s.
    flux: f64,
}

pub(super) async fn describe_trtc_mcu_transcode_time(
    call: Call,
    request: UsageRequest,
) -> Result<TranscodeTimeAnswer, Refusal> {
    let apps = apps(&call, request.sdk_app_id)?;
    let points = Points::days(&request.start_time, &request.end_time)?;
    let transcoded = |at| Transcoded {
        time_key: written(at),
        audio_time: 0,
        video_time_sd: 0,
        video_time_hd: 0,
        video_time_fhd: 0,
        flux: 0.0,
    };
    let sdk_app_id_transcode_time_usages: Vec<Transcoded> = points.times().map(transcoded).collect();
    let total_num = sdk_app_id_transcode_time_usages.len();
    let sdk_app_id = name_of(&apps, request.sdk_app_id);
    let of_app = TranscodedByApp { sdk_app_id, total_num, sdk_app_id_transcode_time_usages };
    Ok(TranscodeTimeAnswer { usages: vec![of_app] })
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TotalAnswer {
    /// What each of the values is.
    usage_key: Vec<String>,
    /// Of one day each five minutes, else each day.
    usage_list: Vec<UsedAt>,
    total_usage: Vec<f64>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct UsedAt {
    /// `YYYY-MM-DD HH:mm:ss`, in UTC.
    time_key: String,
    usage_value: Vec<f64>,
}

/// The points between two moments.
fn between(start: &str, end: &str) -> Result<Points, Refusal> {
    let (from, to) = (moment("StartTime", start)?, moment("EndTime", end)?);
    Points::of(from - from.rem_euclid(DAY_SECONDS), to - to.rem_euclid(DAY_SECONDS))
}

fn nothing_in_total(points: Points, keys: Vec<String>) -> TotalAnswer {
    let none = vec![0.0; keys.len()];
    let used = |at| UsedAt { time_key: written(at), usage_value: none.clone() };
    TotalAnswer { usage_list: points.times().map(used).collect(), total_usage: none.clone(), usage_key: keys }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModerationUsageRequest {
    /// `YYYY-MM-DD HH:mm:ss`.
    start_time: String,
    /// The same; at most 31 days in all.
    end_time: String,
    /// `audio` or `picture`.
    r#type: String,
    /// 0 moderation, 1 slicing.
    #[schemars(range(min = 0, max = 1))]
    #[expect(dead_code, reason = "either was used for no time")]
    business: u8,
    /// Without it all apps of the key together.
    sdk_app_id: Option<AppId>,
}

pub(super) async fn describe_segment_moderation_usage(
    call: Call,
    request: ModerationUsageRequest,
) -> Result<TotalAnswer, Refusal> {
    apps(&call, request.sdk_app_id)?;
    require_one_of("Type", &request.r#type, &["audio", "picture"])?;
    Ok(nothing_in_total(between(&request.start_time, &request.end_time)?, vec![request.r#type]))
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RecognitionUsageRequest {
    /// `YYYY-MM-DD HH:mm:ss`.
    start_time: String,
    /// The same; at most 31 days in all.
    end_time: String,
    /// Some of `conversation`, `asr`, `translation` and `tts`.
    #[schemars(length(min = 1, max = 4))]
    au_type: Vec<String>,
    /// Without it all apps of the key together.
    sdk_app_id: Option<AppId>,
}

pub(super) async fn describe_ai_recognition_usage(
    call: Call,
    request: RecognitionUsageRequest,
) -> Result<TotalAnswer, Refusal> {
    apps(&call, request.sdk_app_id)?;
    for kind in &request.au_type {
        require_one_of("AuType", kind, &["conversation", "asr", "translation", "tts"])?;
    }
    Ok(nothing_in_total(between(&request.start_time, &request.end_time)?, request.au_type))
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AccelerationUsageRequest {
    /// `YYYY-MM-DD HH:mm:ss`.
    start_time: String,
    /// The same; at most 31 days in all.
    end_time: String,
    /// Without it all apps of the key together.
    sdk_app_id: Option<AppId>,
}

pub(super) async fn describe_dedicated_cloud_acc_usage(
    call: Call,
    request: AccelerationUsageRequest,
) -> Result<TotalAnswer, Refusal> {
    apps(&call, request.sdk_app_id)?;
    Ok(nothing_in_total(between(&request.start_time, &request.end_time)?, vec!["Time".into()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_callers_write_them() {
        let start = history::day("2026-11-26").unwrap();
        for text in ["2026-11-26", "2026-11-26 00:00:00", "2026-11-26 00:00"] {
            assert_eq!(day("StartTime", text), Ok(start), "{text}");
        }
        assert_eq!(moment("StartTime", "2026-11-26 09:05"), Ok(start + 32_700));
        assert_eq!(moment("StartTime", "2026-11-26 09:05:30"), Ok(start + 32_730));
        for text in [
            "",
            "2026-11-31 00:00",
            "2026-11-26",
            "2026-11-26 24:00",
            "2026-11-26 9:05",
            "2026-11-26 09:05:60",
            "2026-11-26 09:05:00:00",
            "2026-11-26T09:05",
            "2026-11-26 +9:05",
            "2026-11-26 09:0张",
        ] {
            assert_eq!(
                moment("StartTime", text).map_err(|refusal| refusal.code),
                Err(Code::InvalidParameter),
                "{text}"
            );
        }
        assert_eq!(written(start + 32_730), "2026-11-26 09:05:30");
    }

    #[test]
    fn one_day_is_five_minutes_a_point_and_more_are_a_day() {
        let day = |number: i64| number * DAY_SECONDS;
        let times = |one, other| Points::of(one, other).unwrap().times().collect::<Vec<_>>();
        let of_one = times(day(3), day(3));
        assert_eq!((of_one.len(), of_one[1], of_one[287]), (288, day(3) + 300, day(4) - 300));
        assert_eq!(times(day(5), day(3)), [day(3), day(4), day(5)], "either may come first");
        assert_eq!(times(day(1), day(31)).len(), 31);
        let refusal = Points::of(day(1), day(32)).map(|points| points.to).unwrap_err();
        assert_eq!(refusal.code(), "InvalidParameter.QueryScaleOversize");
    }

    #[test]
    fn names_of_rooms_are_fields_of_csv() {
        assert_eq!(
            ["r", "a,b", "say \"hi\"", "张三"].map(field),
            ["r", "\"a,b\"", "\"say \"\"hi\"\"\"", "张三"]
        );
    }
}
