//! What has come, as it is written: all rows of a table in few statements, each row once.

use std::borrow::Cow;

use hashbrown::{HashMap, HashSet};
use tokio_postgres::types::Type;

use super::link::{Given, Link};
use crate::files::Day;
use crate::rows::{last, stays};
use crate::seconds::Seconds;
use crate::{Call, Error, Event, Quality, Row, Service, Unusual, Usage};

/// How many rows are in a statement.
const AT_ONCE: usize = 5_000;

/// So many seconds around those that calls may be said to be made in are looked at for all of them at once.
const AROUND: i64 = 60;

type Fast = foldhash::fast::RandomState;

/// A column of rows that are written together.
enum Column<'a> {
    Ints(Vec<i64>),
    IntsOrNone(Vec<Option<i64>>),
    Texts(Vec<Cow<'a, str>>),
    Bytes(Vec<&'a [u8]>),
}

impl Column<'_> {
    fn given(&self) -> Given<'_> {
        match self {
            Self::Ints(values) => (values, Type::INT8_ARRAY),
            Self::IntsOrNone(values) => (values, Type::INT8_ARRAY),
            Self::Texts(values) => (values, Type::TEXT_ARRAY),
            Self::Bytes(values) => (values, Type::BYTEA_ARRAY),
        }
    }
}

/// A column by its name.
type Named<'a> = (&'static str, Column<'a>);

fn ints<'a, T>(name: &'static str, rows: &[T], value: impl Fn(&T) -> i64) -> Named<'a> {
    (name, Column::Ints(rows.iter().map(value).collect()))
}

fn ints_or_none<'a, T>(name: &'static str, rows: &[T], value: impl Fn(&T) -> Option<i64>) -> Named<'a> {
    (name, Column::IntsOrNone(rows.iter().map(value).collect()))
}

fn texts<'a, T>(name: &'static str, rows: &[&'a T], value: impl Fn(&'a T) -> &'a str) -> Named<'a> {
    (name, Column::Texts(rows.iter().map(|row| fit(value(row))).collect()))
}

/// A text that the database takes: none of its has a NUL in it.
fn fit(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', " ").into() } else { text.into() }
}

/// Where rows are put.
struct Put<'a> {
    link: &'a Link,
    table: &'static str,
    day: Day,
    /// The columns that tell rows apart.
    key: &'static str,
    /// Those that change when a row comes again; `None` where all others do.
    changing: Option<&'static [&'static str]>,
}

impl Put<'_> {
    fn put(&self, columns: &[Named<'_>]) -> Result<(), Error> {
        let Self { link, table, day, key, changing } = self;
        let names: Vec<String> = columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let names = names.join(", ");
        let places: Vec<String> = (1..=columns.len()).map(|place| format!("${place}")).collect();
        let given: Vec<Given<'_>> = columns.iter().map(|(_, column)| column.given()).collect();
        let changes = |name: &str| match changing {
            Some(changing) => changing.contains(&name),
            None => key.split(", ").all(|key| key != name),
        };
        let then: Vec<String> = columns
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| changes(name))
            .map(|name| format!("\"{name}\" = excluded.\"{name}\""))
            .collect();
        let then = if then.is_empty() { "NOTHING".into() } else { format!("UPDATE SET {}", then.join(", ")) };
        // What is yes or no comes as a number as all others do.
        let selected = names.replace("\"is_anchor\"", "\"is_anchor\" <> 0");
        let put = format!(
            "INSERT INTO {} (day, {names}) SELECT '{day}'::date, {selected} FROM unnest({}) AS come ({names})
            ON CONFLICT ({key}, day) DO {then}",
            link.partition(table, *day),
            places.join(", "),
        );
        link.ask(&put, &given).map(drop)
    }
}

/// Writes calls, people, stays and what happened to them into a day.
pub(super) fn put_calls(
    link: &Link,
    day: Day,
    rows: &[Row],
    generation: i64,
    seconds: &mut Seconds,
) -> Result<(), Error> {
    let calls: Vec<&Call> =
        rows.iter().filter_map(|row| if let Row::Call(call) = row { Some(call) } else { None }).collect();
    for calls in calls.chunks(AT_ONCE) {
        let made = made(link, day, calls, seconds)?;
        let calls = last(calls.iter().copied(), |call| call.call);
        let changing: Option<&[_]> = Some(&["ended", "cause", "generation"]);
        Put { link, table: "calls", day, key: "call", changing }.put(&[
            ints("call", &calls, |call| call.call),
            ints("app", &calls, |call| call.app.into()),
            ints("number", &calls, |call| crate::number_of(&call.room)),
            ints("made", &calls, |call| made.get(&call.call).copied().unwrap_or(call.made)),
            ints_or_none("ended", &calls, |call| call.ended.map(|(at, _)| at)),
            ints_or_none("cause", &calls, |call| call.ended.map(|(_, cause)| cause.number())),
            ints("generation", &calls, |_| generation),
            texts("room", &calls, |call| &call.room),
            texts("creator", &calls, |call| &call.creator),
        ])?;
    }
    for stays in stays(rows).chunks(AT_ONCE) {
        // A name that was taken out does not come back with somebody who is still there.
        Put { link, table: "people", day, key: "call, who", changing: Some(&[]) }.put(&[
            ints("call", stays, |stay| stay.call),
            ints("who", stays, |stay| stay.who),
            ints("app", stays, |stay| stay.app.into()),
            texts("user", stays, |stay| &stay.user),
        ])?;
        Put { link, table: "stays", day, key: "call, stay", changing: None }.put(&[
            ints("call", stays, |stay| stay.call),
            ints("stay", stays, |stay| stay.stay),
            ints("who", stays, |stay| stay.who),
            ints_or_none("left", stays, |stay| stay.left.map(|(at, _)| at)),
            ints_or_none("cause", stays, |stay| stay.left.map(|(_, cause)| cause.number())),
            ints("is_anchor", stays, |stay| stay.is_anchor.into()),
            ints("terminal", stays, |stay| stay.client.terminal.into()),
            ints("generation", stays, |_| generation),
            texts("device", stays, |stay| &stay.client.device),
            texts("sdk", stays, |stay| &stay.client.sdk),
            texts("address", stays, |stay| &stay.client.address),
        ])?;
    }
    let events = rows.iter().filter_map(|row| if let Row::Event(event) = row { Some(event) } else { None });
    let key = |event: &Event| (event.call, event.stay, event.at, event.n);
    for events in last(events, key).chunks(AT_ONCE) {
        Put { link, table: "events", day, key: "call, stay, at, n", changing: None }.put(&[
            ints("call", events, |event| event.call),
            ints("stay", events, |event| event.stay),
            ints("at", events, |event| event.at),
            ints("n", events, |event| event.n.into()),
            ints("event", events, |event| event.event.into()),
            ints("media", events, |event| event.media.into()),
            ints("peer", events, |event| event.peer),
            ints("p1", events, |event| event.p1),
            ints("p2", events, |event| event.p2),
        ])?;
    }
    let unusual = rows.iter().filter_map(|row| if let Row::Unusual(what) = row { Some(what) } else { None });
    let key = |what: &Unusual| (what.app, what.at, what.call, what.stay, what.experience);
    for unusual in last(unusual, key).chunks(AT_ONCE) {
        let key = "app, at, call, stay, experience";
        let causes = unusual.iter().map(|what| Cow::Owned(crate::day::causes(&what.causes))).collect();
        Put { link, table: "unusual", day, key, changing: None }.put(&[
            ints("app", unusual, |what| what.app.into()),
            ints("at", unusual, |what| what.at),
            ints("call", unusual, |what| what.call),
            ints("stay", unusual, |what| what.stay),
            ints("experience", unusual, |what| what.experience.into()),
            ("causes", Column::Texts(causes)),
        ])?;
    }
    Ok(())
}

/// When calls are said to have been made, by their numbers.
fn made(
    link: &Link,
    day: Day,
    calls: &[&Call],
    seconds: &mut Seconds,
) -> Result<HashMap<i64, i64, Fast>, Error> {
    let partition = link.partition("calls", day);
    let numbers: Vec<i64> = calls.iter().map(|call| call.call).collect();
    let wanted = format!("SELECT call, made FROM {partition} WHERE call = ANY($1)");
    let mut known: HashMap<i64, i64, Fast> = HashMap::default();
    for row in link.ask(&wanted, &[(&numbers, Type::INT8_ARRAY)])? {
        known.insert(row.try_get(0)?, row.try_get(1)?);
    }
    let new: Vec<&Call> = calls.iter().filter(|call| !known.contains_key(&call.call)).copied().collect();
    if new.is_empty() {
        return Ok(known);
    }
    let apps: Vec<i64> = new.iter().map(|call| call.app.into()).collect();
    let rooms: Vec<i64> = new.iter().map(|call| crate::number_of(&call.room)).collect();
    let key = |call: &Call| (call.app, crate::number_of(&call.room));
    let times: Vec<i64> = new.iter().map(|call| seconds.first(key(call), call.made)).collect();
    let wanted = format!(
        "SELECT DISTINCT there.app, there.number, there.made FROM unnest($1, $2, $3) AS new (app, number, made)
        JOIN {partition} AS there ON there.app = new.app AND there.number = new.number
            AND there.made BETWEEN new.made - {AROUND} AND new.made"
    );
    let array = Type::INT8_ARRAY;
    let given: [Given<'_>; 3] = [(&apps, array.clone()), (&rooms, array.clone()), (&times, array)];
    let mut taken: HashSet<(i64, i64, i64), Fast> = HashSet::default();
    for row in link.ask(&wanted, &given)? {
        taken.insert((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    }
    let mut whole: HashSet<(i64, i64), Fast> = HashSet::default();
    for (call, first) in new.into_iter().zip(times) {
        if known.contains_key(&call.call) {
            continue;
        }
        let (app, number) = (i64::from(call.app), crate::number_of(&call.room));
        let is_known = |at: i64| whole.contains(&(app, number)) || (first - AROUND..=first).contains(&at);
        let near = |at: i64| is_known(at).then(|| taken.contains(&(app, number, at)));
        let made = match seconds.take(key(call), call.made, near) {
            Some(made) => made,
            None => {
                // Of a room that is made often all are looked at, once.
                let wanted = format!("SELECT made FROM {partition} WHERE app = $1 AND number = $2");
                let given: [Given<'_>; 2] = [(&app, Type::INT8), (&number, Type::INT8)];
                for row in link.ask(&wanted, &given)? {
                    taken.insert((app, number, row.try_get(0)?));
                }
                whole.insert((app, number));
                let is_taken = |at: i64| Some(taken.contains(&(app, number, at)));
                seconds.take(key(call), call.made, is_taken).unwrap_or(call.made)
            }
        };
        taken.insert((app, number, made));
        known.insert(call.call, made);
    }
    Ok(known)
}

/// Writes samples into a day.
pub(super) fn put_quality(link: &Link, day: Day, rows: &[Row]) -> Result<(), Error> {
    let rows =
        rows.iter().filter_map(|row| if let Row::Quality(quality) = row { Some(quality) } else { None });
    let key = |row: &Quality| (row.call, row.stay, row.from, row.peer, row.media);
    for rows in last(rows, key).chunks(AT_ONCE) {
        let key = "call, stay, t0, peer, media";
        Put { link, table: "quality", day, key, changing: None }.put(&[
            ints("call", rows, |row| row.call),
            ints("stay", rows, |row| row.stay),
            ints("t0", rows, |row| row.from),
            ints("peer", rows, |row| row.peer),
            ints("media", rows, |row| row.media.into()),
            ("packed", Column::Bytes(rows.iter().map(|row| &*row.packed).collect())),
        ])?;
    }
    Ok(())
}

/// Writes what was used in slots of a day: of what a run of the server has counted the last row holds.
pub(super) fn put_usage(link: &Link, day: Day, rows: &[&Row], generation: i64) -> Result<(), Error> {
    let used = rows.iter().filter_map(|row| if let Row::Usage(usage) = row { Some(usage) } else { None });
    for used in last(used, |usage: &Usage| (usage.app, usage.slot, usage.call)).chunks(AT_ONCE) {
        let key = "app, slot, call, generation";
        let each = |name, of: fn(&Usage) -> u64| ints(name, used, move |row: &&Usage| of(row).cast_signed());
        Put { link, table: "usage", day, key, changing: None }.put(&[
            ints("app", used, |row| row.app.into()),
            ints("slot", used, |row| row.slot),
            ints("call", used, |row| row.call),
            ints("generation", used, |_| generation),
            texts("room", used, |row| &row.room),
            each("audio", |row| row.spent.audio),
            each("sd", |row| row.spent.each[0]),
            each("hd", |row| row.spent.each[1]),
            each("fhd", |row| row.spent.each[2]),
            each("two_k", |row| row.spent.each[3]),
            each("four_k", |row| row.spent.each[4]),
            each("all_sd", |row| row.spent.together[0]),
            each("all_hd", |row| row.spent.together[1]),
            each("all_fhd", |row| row.spent.together[2]),
            each("all_two_k", |row| row.spent.together[3]),
            each("all_four_k", |row| row.spent.together[4]),
        ])?;
    }
    let served =
        rows.iter().filter_map(|row| if let Row::Service(service) = row { Some(service) } else { None });
    for served in last(served, |service: &Service| (service.app, service.slot)).chunks(AT_ONCE) {
        let key = "app, slot, generation";
        let each =
            |name, of: fn(&Service) -> u64| ints(name, served, move |row: &&Service| of(row).cast_signed());
        Put { link, table: "service", day, key, changing: None }.put(&[
            ints("app", served, |row| row.app.into()),
            ints("slot", served, |row| row.slot),
            ints("generation", served, |_| generation),
            each("video", |row| row.served.video[0]),
            each("video_stalled", |row| row.served.video[1]),
            each("audio", |row| row.served.audio[0]),
            each("audio_stalled", |row| row.served.audio[1]),
            each("delays", |row| row.served.delays[0]),
            each("short_delays", |row| row.served.delays[1]),
            each("asked", |row| row.served.joins[0]),
            each("let_in", |row| row.served.joins[1]),
            each("slow", |row| row.served.joins[2]),
        ])?;
    }
    Ok(())
}
