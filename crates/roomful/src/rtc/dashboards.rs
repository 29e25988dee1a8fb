//! What dashboards draw: how many users and rooms there were, and how they were served, now and on former days.

use std::collections::BTreeMap;

use history::{MemberTime, Page, Presence, Reader, Served, Window};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::{AppId, Call};
use super::monitoring::{DAY, look};
use super::refusal::{Code, Refusal};
use crate::clock;
use crate::quality::{STEP, column};
use crate::scale;

// DescribeTRTCRealTimeScaleData

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RealTimeRequest {
    sdk_app_id: AppId,
    /// In seconds since 1970; at most 12 hours ago.
    start_time: u64,
    /// The same.
    end_time: u64,
    /// A room's number or name; without it all.
    room_id: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DataAnswer {
    data: DataResult,
}

/// A table, as the cloud's dashboards have it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct DataResult {
    /// Always 0.
    #[serde(rename = "StatementID")]
    statement_id: u8,
    /// Always 1.
    total: u8,
    series: [Series; 1],
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Series {
    /// What is in each row, in that order.
    columns: Vec<&'static str>,
    values: Vec<SeriesRow>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct SeriesRow {
    row_value: Vec<u64>,
    /// The same more exactly, of rates that were asked for so.
    row_value_float: Vec<f64>,
}

impl SeriesRow {
    fn new(row_value: Vec<u64>) -> Self {
        Self { row_value, row_value_float: Vec::new() }
    }

    /// Of a time and percentages.
    fn of(time: u64, rates: &[f64], is_float: bool) -> Self {
        let all = || std::iter::once(time as f64).chain(rates.iter().copied());
        let hundredths = |rate: f64| (100.0 * rate).round() / 100.0;
        let row_value = all().map(|value| value.round() as u64).collect();
        Self {
            row_value,
            row_value_float: if is_float { all().map(hundredths).collect() } else { Vec::new() },
        }
    }
}

/// What part of something, in percent.
fn percent([all, part]: [u64; 2]) -> f64 {
    if all == 0 { 0.0 } else { 100.0 * part as f64 / all as f64 }
}

impl DataAnswer {
    fn of(columns: Vec<&'static str>, values: Vec<SeriesRow>) -> Self {
        Self { data: DataResult { statement_id: 0, total: 1, series: [Series { columns, values }] } }
    }
}

pub(super) async fn describe_real_time_scale(
    call: Call,
    request: RealTimeRequest,
) -> Result<DataAnswer, Refusal> {
    let (app, counts) = counts(&call, &request).await?;
    let rows: Vec<Vec<u64>> = match request.room_id {
        None => counts.iter().map(|count| vec![count.at, count.users, count.rooms]).collect(),
        Some(room) => {
            let slots: Vec<u64> = counts.iter().map(|count| count.at).collect();
            let rooms = history::meant(&room).to_vec();
            let found = look(&call, move |reader| of_rooms(reader, app, &rooms, &slots)).await?;
            found.ok_or_else(too_much)?
        }
    };
    let values = rows.into_iter().map(SeriesRow::new).collect();
    Ok(DataAnswer::of(vec!["time", "userCount", "roomCount"], values))
}

/// The slots that are asked for, and of which app.
async fn counts(call: &Call, request: &RealTimeRequest) -> Result<(u32, Vec<scale::Count>), Refusal> {
    let app = call.app(request.sdk_app_id)?.id;
    let (from, to, now) = (request.start_time, request.end_time, clock::now());
    if to < from {
        return Err(Refusal::new(Code::InvalidParameter, "EndTime is before StartTime"));
    }
    if from.saturating_add(scale::KEPT) < now.unix_seconds() {
        return Err(Refusal::new(Code::InvalidParameter, "StartTime is more than 12 hours ago"));
    }
    let scale = &call.server.scale;
    if call.server.chronicle.reader().is_some() {
        let look_up = async |window| look(call, move |reader| before(reader, app.0, window)).await;
        scale.remember(app, from, look_up).await?;
    }
    Ok((app.0, scale.counts(app, from, to, now)))
}

/// What was played is looked at for so many seconds before the server began: longer ago it is of little use, and much.
const PLAYED_BEFORE: i64 = 600;

/// The slots of a window in which somebody was there, as history has them: none when there is too much of it.
fn before(reader: &Reader, app: u32, window: Window) -> Result<Vec<scale::Count>, history::Error> {
    let length = scale::SLOT.cast_signed();
    let slots = usize::try_from((window.to + 1 - window.from) / length).unwrap_or(0);
    let Some(times) = reader.times(app, window, MOST_ROWS)? else { return Ok(Vec::new()) };
    let slot = |millis: i64| (millis.div_euclid(1000) - window.from).div_euclid(length);
    let slots_of = |time: &MemberTime| (slot(time.from), time.to.map_or(i64::MAX, slot));
    let (mut users, mut calls) = (Crowd::new(slots), Crowd::new(slots));
    let one_by_one = times.chunk_by(|one, other| (one.call, one.who) == (other.call, other.who));
    one_by_one.for_each(|own| users.add(own.iter().map(slots_of)));
    times.chunk_by(|one, other| one.call == other.call).for_each(|own| calls.add(own.iter().map(slots_of)));
    let moments = (window.from.unsigned_abs()..).step_by(usize::try_from(scale::SLOT).unwrap_or(1));
    let counts = moments.zip(users.counts().zip(calls.counts())).take(slots);
    let counts = counts.map(|(at, (users, rooms))| scale::Count { at, users, rooms, ..Default::default() });
    let mut counts: Vec<scale::Count> = counts.collect();
    let of_late = counts.partition_point(|count| count.at.cast_signed() < window.to - PLAYED_BEFORE);
    if let Some(of_late) = counts.get_mut(of_late..) {
        // Where it is too much, what was looked at is a part of what was played, and tells the same.
        played_in(reader, app, &[], of_late)?;
    }
    counts.retain(|count| count.rooms > 0);
    Ok(counts)
}

// DescribeTRTCRealTimeQualityData

/// How many rows of samples, or stays, are looked at for one answer.
const MOST_ROWS: usize = 100_000;

fn too_much() -> Refusal {
    Refusal::new(Code::ResponseSizeLimitExceeded, "there is too much of it: ask for less time")
}

pub(super) async fn describe_real_time_quality(
    call: Call,
    request: RealTimeRequest,
) -> Result<DataAnswer, Refusal> {
    let (app, mut counts) = counts(&call, &request).await?;
    if let Some(room) = request.room_id {
        let rooms = history::meant(&room).to_vec();
        let played =
            look(&call, move |reader| Ok(played_in(reader, app, &rooms, &mut counts)?.then_some(counts)));
        counts = played.await?.ok_or_else(too_much)?;
    }
    let row =
        |count: &scale::Count| SeriesRow::of(count.at, &[percent(count.video), percent(count.audio)], false);
    let columns = vec!["time", "videoFreezeRate", "audioFreezeRate"];
    Ok(DataAnswer::of(columns, counts.iter().map(row).collect()))
}

/// Puts into slots what was played in rooms of a name instead of what was in all. `false` when that is too much to be looked at.
fn played_in(
    reader: &Reader,
    app: u32,
    rooms: &[String],
    counts: &mut [scale::Count],
) -> Result<bool, history::Error> {
    counts.iter_mut().for_each(|count| (count.video, count.audio) = ([0; 2], [0; 2]));
    let (Some(first), Some(last)) = (counts.first(), counts.last()) else { return Ok(true) };
    let window = Window { from: first.at.cast_signed(), to: (last.at + scale::SLOT - 1).cast_signed() };
    let all = Page { number: 0, size: usize::MAX };
    let mut left = MOST_ROWS;
    for call in reader.calls(app, window, rooms, all)?.1 {
        let Some(rows) = reader.quality_of_call(&call, window, left)? else { return Ok(false) };
        left -= rows.len();
        for row in rows {
            let Some(samples) = history::unpack(&row.packed) else { continue };
            let times = (row.from..).step_by(STEP.unsigned_abs() as usize);
            for (at, stalled) in times.zip(samples.column(column::STALLED)) {
                let slot = (at - window.from).div_euclid(scale::SLOT.cast_signed());
                let count = usize::try_from(slot).ok().and_then(|slot| counts.get_mut(slot));
                let (Some(count), Some(stalled)) = (count, stalled) else { continue };
                let [played, stood] = if row.media == 0 { &mut count.audio } else { &mut count.video };
                *played += 1000 * STEP.unsigned_abs();
                *stood += u64::from(*stalled).min(1000 * STEP.unsigned_abs());
            }
        }
    }
    Ok(true)
}

/// How many users were in rooms of a name in each slot, and how many of the rooms had somebody in. `None` when that is too much to be
/// looked at.
fn of_rooms(
    reader: &Reader,
    app: u32,
    rooms: &[String],
    slots: &[u64],
) -> Result<Option<Vec<Vec<u64>>>, history::Error> {
    let (Some(first), Some(last)) = (slots.first(), slots.last()) else { return Ok(Some(Vec::new())) };
    let window = Window { from: first.cast_signed(), to: (last + scale::SLOT).cast_signed() };
    let all = Page { number: 0, size: usize::MAX };
    let (mut users, mut calls) = (Crowd::new(slots.len()), Crowd::new(slots.len()));
    let mut left = MOST_ROWS;
    for call in reader.calls(app, window, rooms, all)?.1 {
        let slot =
            |millis: i64| (millis.div_euclid(1000) - window.from).div_euclid(scale::SLOT.cast_signed());
        let Some(mut stays) = reader.presences(&call, window, left)? else { return Ok(None) };
        left -= stays.len();
        let times = |stay: &Presence| (slot(stay.from), stay.to.map_or(i64::MAX, slot));
        calls.add(stays.iter().map(times));
        // Who is forgotten is told from others by the place.
        let whose = |stay: &Presence| (stay.user.clone(), if stay.user.is_empty() { stay.who } else { 0 });
        stays.sort_by_cached_key(whose);
        stays
            .chunk_by(|one, other| whose(one) == whose(other))
            .for_each(|own| users.add(own.iter().map(times)));
    }
    let (users, calls) = (users.counts(), calls.counts());
    let rows = slots.iter().zip(users).zip(calls);
    Ok(Some(rows.map(|((at, users), calls)| vec![*at, users, calls]).collect()))
}

/// How many were there in each slot: who comes in one, and who has gone in one.
struct Crowd(Vec<i64>);

impl Crowd {
    fn new(slots: usize) -> Self {
        Self(vec![0; slots + 1])
    }

    /// Somebody was there in these slots, the last ones included, once in each.
    fn add(&mut self, times: impl Iterator<Item = (i64, i64)>) {
        let last = i64::try_from(self.0.len()).unwrap_or(i64::MAX) - 2;
        let mut times: Vec<(i64, i64)> = times.map(|(from, to)| (from.max(0), to.min(last))).collect();
        times.sort_unstable();
        let mut next = 0;
        for (from, to) in times.into_iter().filter(|(from, to)| from <= to) {
            let from = from.max(next);
            if from <= to {
                self.change(from, 1);
                self.change(to + 1, -1);
                next = to + 1;
            }
        }
    }

    fn change(&mut self, slot: i64, by: i64) {
        let place = usize::try_from(slot).ok().and_then(|slot| self.0.get_mut(slot));
        place.into_iter().for_each(|place| *place += by);
    }

    fn counts(self) -> impl Iterator<Item = u64> {
        self.0.into_iter().scan(0_i64, |count, change| {
            *count += change;
            Some(count.unsigned_abs())
        })
    }
}

// DescribeTRTCMarketScaleData

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MarketRequest {
    sdk_app_id: AppId,
    /// `YYYY-MM-DD`, the first day.
    start_time: String,
    /// The last; at most 60 days later.
    end_time: String,
    /// `d`: a row a day, or `h`: a row an hour.
    period: String,
}

/// How many days may be asked for at once.
const MOST_DAYS: i64 = 60;

/// The days of a window, as they begin in seconds, and whether by the hour.
fn days(start: &str, end: &str, period: &str) -> Result<(i64, i64, bool), Refusal> {
    let day = |name: &'static str, text: &str| {
        let trouble =
            || Refusal::new(Code::InvalidParameter, format!("{name} is {text:?}, which is no YYYY-MM-DD"));
        history::day(text).ok_or_else(trouble)
    };
    let (from, to) = (day("StartTime", start)?, day("EndTime", end)?);
    let is_hourly = match period {
        "d" => false,
        "h" => true,
        other => {
            return Err(Refusal::new(Code::InvalidParameter, format!("Period is {other:?}; it is d or h")));
        }
    };
    if to < from || (to - from) / DAY.cast_signed() > MOST_DAYS {
        let message = format!("EndTime is a day from StartTime on, at most {MOST_DAYS} days later");
        return Err(Refusal::new(Code::InvalidParameter, message));
    }
    Ok((from, to, is_hourly))
}

pub(super) async fn describe_market_scale(call: Call, request: MarketRequest) -> Result<DataAnswer, Refusal> {
    let app = call.app(request.sdk_app_id)?.id.0;
    let (from, to, is_hourly) = days(&request.start_time, &request.end_time, &request.period)?;
    let crowds = look(&call, move |reader| reader.crowds(app, Window { from, to }, is_hourly)).await?;
    let row = |crowd: history::Crowd| {
        let at = crowd.at.unsigned_abs();
        SeriesRow::new(vec![at, crowd.most_users, crowd.most_calls, crowd.users, crowd.calls])
    };
    let columns = vec!["time", "peakCurrentUsers", "peakCurrentChannels", "userCount", "roomCount"];
    Ok(DataAnswer::of(columns, crowds.into_iter().map(row).collect()))
}

// DescribeTRTCMarketQualityData

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MarketQualityRequest {
    sdk_app_id: AppId,
    /// `YYYY-MM-DD`, the first day.
    start_time: String,
    /// The last; at most 60 days later.
    end_time: String,
    /// `d`: a row a day, or `h`: a row an hour.
    period: String,
    /// Rates are in RowValueFloat too, to a hundredth.
    is_float: Option<bool>,
}

pub(super) async fn describe_market_quality(
    call: Call,
    request: MarketQualityRequest,
) -> Result<DataAnswer, Refusal> {
    let app = call.app(request.sdk_app_id)?.id.0;
    let (from, to, is_hourly) = days(&request.start_time, &request.end_time, &request.period)?;
    let served = look(&call, move |reader| reader.served(app, from, to + DAY.cast_signed())).await?;
    let length = if is_hourly { 3600 } else { DAY.cast_signed() };
    let mut stretches: BTreeMap<i64, Served> = BTreeMap::new();
    for (slot, served) in served {
        stretches.entry(slot - slot.rem_euclid(length)).or_default().add(served);
    }
    let is_float = request.is_float.unwrap_or(false);
    let row = |(at, served): (i64, Served)| {
        let Served { video, audio, delays, joins: [asked, let_in, slow] } = served;
        // Where nobody came, nobody was kept out.
        let of_asked = |part| if asked == 0 { 100.0 } else { percent([asked, part]) };
        let near = if delays == [0; 2] { 100.0 } else { percent(delays) };
        let rates =
            [percent(video), percent(audio), near, of_asked(let_in), of_asked(let_in.saturating_sub(slow))];
        SeriesRow::of(at.unsigned_abs(), &rates, is_float)
    };
    let columns = vec![
        "time",
        "videoFreezeRate",
        "audioFreezeRate",
        "networkDelay",
        "joinSuccessRate",
        "joinSuccessIn5sRate",
    ];
    Ok(DataAnswer::of(columns, stretches.into_iter().map(row).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_there_twice_at_once_is_counted_once() {
        let mut crowd = Crowd::new(6);
        crowd.add([(-5, 1), (1, 2), (4, i64::MAX)].into_iter());
        crowd.add([(2, 2), (9, 12)].into_iter());

        let counts: Vec<u64> = crowd.counts().take(6).collect();

        assert_eq!(counts, [1, 1, 2, 0, 1, 1]);
    }
}
