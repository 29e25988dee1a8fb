//! What a client says of its streams, for history: a digest of every two seconds, some of them together. Nothing is decided by it: neither
//! what it may do, nor what is counted.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use media::StreamKind;
use rooms::SessionId;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use smallvec::SmallVec;

use super::asked::{Done, require_inside};
use crate::clock;
use crate::error::ApiError;
use crate::events::to_json;
use crate::halls::OpenRoom;
use crate::live::unit;
use crate::quality::{LATE, Report, Stream, column};
use crate::rest::parse_json;
use crate::server::Server;
use crate::session::Session;

/// How many digests come together at most. What is older than [`LATE`] is not kept.
const MOST_DIGESTS: usize = 5;

/// A report that is longer, for each of its digests, is not kept.
const MOST_BYTES: usize = 4096;

/// Of how many streams it may be, each way.
const MOST_STREAMS: usize = 64;

/// How many events it may tell.
const MOST_EVENTS: usize = 8;

/// The most that a number in it can be.
const MOST: f64 = 1_000_000.0;

/// A name, or a number; -1 is not known.
#[derive(Debug, PartialEq, JsonSchema)]
#[schemars(untagged)]
pub(super) enum Part<'a> {
    Number(f64),
    Text(Cow<'a, str>),
}

// Not derived: `untagged` makes an error of each text before it takes it.
impl<'de: 'a, 'a> Deserialize<'de> for Part<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Part<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or a number")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Part<'de>, E> {
                Ok(Part::Number(number as f64))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Part<'de>, E> {
                Ok(Part::Number(number as f64))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Part<'de>, E> {
                Ok(Part::Number(number))
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Part<'de>, E> {
                Ok(Part::Text(text.into()))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Part<'de>, E> {
                Ok(Part::Text(text.to_owned().into()))
            }
        }
        from.deserialize_any(Either)
    }
}

/// What is told of one stream. As long as a usual one it takes no memory of its own.
#[derive(Debug, PartialEq)]
pub(super) struct Entry<'a>(pub(super) SmallVec<[Part<'a>; 8]>);

impl<'de: 'a, 'a> Deserialize<'de> for Entry<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Parts<'a>(PhantomData<&'a str>);
        impl<'de: 'a, 'a> Visitor<'de> for Parts<'a> {
            type Value = Entry<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Entry<'a>, A::Error> {
                let mut parts = SmallVec::new();
                while let Some(part) = from.next_element()? {
                    parts.push(part);
                }
                Ok(Entry(parts))
            }
        }
        from.deserialize_seq(Parts(PhantomData))
    }
}

impl Part<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReportRequest<'a> {
    #[schemars(required)]
    pub(super) room_id: Option<String>,
    /// How long it took to come in, in milliseconds: once, in the first minute.
    pub(super) join: Option<f64>,
    /// How busy the client and its machine are, in percent; -1 is not known.
    #[serde(default)]
    pub(super) cpu: Vec<f64>,
    /// `[32780]`: another camera is in use, `[32781]`: another microphone.
    #[serde(default)]
    pub(super) ev: Vec<Vec<i64>>,
    /// `["audio", level]`, `["main", captured, encoded, width, height]`.
    #[serde(default, borrow)]
    #[schemars(with = "Vec<Vec<Part<'static>>>")]
    pub(super) up: Vec<Entry<'a>>,
    /// `["bob", "audio", level, buffered, stalled]`, `["bob", "main", shown, width, height, buffered, stalled]`.
    #[serde(default, borrow)]
    #[schemars(with = "Vec<Vec<Part<'static>>>")]
    pub(super) down: Vec<Entry<'a>>,
    /// What it was like before, since the last report: the oldest first, at most four.
    #[serde(default, borrow)]
    pub(super) earlier: Vec<Earlier<'a>>,
}

/// What it was like a moment ago, in the same form.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Earlier<'a> {
    /// How many seconds ago, 10 at most.
    pub(super) ago: f64,
    #[serde(default)]
    pub(super) cpu: Vec<f64>,
    #[serde(default, borrow)]
    #[schemars(with = "Vec<Vec<Part<'static>>>")]
    pub(super) up: Vec<Entry<'a>>,
    #[serde(default, borrow)]
    #[schemars(with = "Vec<Vec<Part<'static>>>")]
    pub(super) down: Vec<Entry<'a>>,
}

/// What is said of one moment.
struct Digest<'r, 'a> {
    /// How many seconds ago.
    ago: f64,
    cpu: &'r [f64],
    up: &'r [Entry<'a>],
    down: &'r [Entry<'a>],
}

impl<'a> ReportRequest<'a> {
    /// What is kept of it, the oldest first.
    fn digests(&self) -> impl Iterator<Item = Digest<'_, 'a>> {
        let Self { cpu, up, down, .. } = self;
        let earlier = self.earlier.iter().take(MOST_DIGESTS - 1);
        let earlier = earlier.map(|Earlier { ago, cpu, up, down }| Digest { ago: *ago, cpu, up, down });
        let is_of_late = |digest: &Digest<'_, '_>| (0.0..=LATE as f64).contains(&digest.ago);
        earlier.chain([Digest { ago: 0.0, cpu, up, down }]).filter(is_of_late)
    }
}

const UP_AUDIO: &[u8] = &[column::LEVEL];
const UP_VIDEO: &[u8] = &[column::CAPTURED, column::SHOWN, column::SHOWN_WIDTH, column::SHOWN_HEIGHT];
const DOWN_AUDIO: &[u8] = &[column::LEVEL, column::BUFFERED, column::STALLED];
const DOWN_VIDEO: &[u8] =
    &[column::SHOWN, column::SHOWN_WIDTH, column::SHOWN_HEIGHT, column::BUFFERED, column::STALLED];
const CPU: &[u8] = &[column::APP_CPU, column::SYS_CPU];

/// One entry, behind the name of who sent it.
fn read(entry: &[Part<'_>], audio: &[u8], video: &[u8]) -> Option<(StreamKind, Report)> {
    let (kind, numbers) = entry.split_first()?;
    let kind = kind.text()?;
    let kind = StreamKind::ALL.into_iter().find(|known| unit::stream_type(unit::device(*known)) == kind)?;
    let columns = if kind.is_video() { video } else { audio };
    Some((kind, known(columns, numbers.iter().map(Part::number))))
}

/// What is known of columns.
fn known(columns: &[u8], numbers: impl Iterator<Item = Option<f64>>) -> Report {
    let known = columns.iter().zip(numbers).filter_map(|(column, number)| {
        let number = number.filter(|number| *number >= 0.0)?;
        // It is none below 0, so this rounds.
        Some((*column, (number.min(MOST) + 0.5) as u32))
    });
    known.collect()
}

/// Whether nothing has come yet of what is received: no picture, or no sound.
fn is_nothing(kind: StreamKind, report: &[(u8, u32)]) -> bool {
    let is_none = |column: u8| report.contains(&(column, 0));
    match kind.is_video() {
        true => is_none(column::SHOWN) && is_none(column::SHOWN_WIDTH),
        false => is_none(column::LEVEL) && is_none(column::BUFFERED),
    }
}

/// The same of what is received, and of whom.
fn received<'a>(entry: &'a [Part<'_>]) -> Option<(&'a str, StreamKind, Report)> {
    let (from, entry) = entry.split_first()?;
    let (kind, report) = read(entry, DOWN_AUDIO, DOWN_VIDEO)?;
    Some((from.text()?, kind, report))
}

pub(super) fn report(server: &Arc<Server>, session: &Arc<Session>, body: &str) -> Result<String, ApiError> {
    take(server, session, &parse_json(body)?, body.len())
}

/// Takes a report of so many bytes.
pub(super) fn take(
    server: &Arc<Server>,
    session: &Arc<Session>,
    request: &ReportRequest<'_>,
    bytes: usize,
) -> Result<String, ApiError> {
    let cell = require_inside(server, session, request.room_id.as_deref())?;
    if bytes <= MOST_BYTES * (1 + request.earlier.len().min(MOST_DIGESTS - 1)) && session.may_report() {
        keep(server, &cell, session.id, request);
    }
    Ok(to_json(&Done {}))
}

fn keep(server: &Server, cell: &OpenRoom, session: SessionId, request: &ReportRequest<'_>) {
    let now = clock::now().unix_millis().cast_signed();
    let mut own = None;
    for digest in request.digests() {
        own = keep_digest(server, cell, session, &digest, now - (1000.0 * digest.ago) as i64);
    }
    let Some(own) = own else { return };
    let switched =
        request.ev.iter().take(MOST_EVENTS).filter_map(|event| u16::try_from(*event.first()?).ok());
    server.chronicle.switched(own, switched);
    if let Some(millis) = request.join.filter(|millis| *millis >= 0.0) {
        server.chronicle.joined(own, millis.min(MOST).round() as u32);
    }
}

/// Keeps what was so at a time, in milliseconds. Returns whose it is, if the session is in.
fn keep_digest(
    server: &Server,
    cell: &OpenRoom,
    session: SessionId,
    digest: &Digest<'_, '_>,
    at: i64,
) -> Option<Stream> {
    let down = digest.down.iter().take(MOST_STREAMS).filter_map(|Entry(entry)| received(entry));
    let down: SmallVec<[(&str, StreamKind, Report); 8]> = down.collect();
    let whose = down.iter().map(|(from, kind, _)| (*from, *kind));
    let (own, whose) = cell.streams(session, whose)?;
    let up = digest.up.iter().take(MOST_STREAMS).filter_map(|Entry(entry)| read(entry, UP_AUDIO, UP_VIDEO));
    let mut streams: Vec<(Stream, Report)> =
        up.map(|(kind, report)| (Stream { kind, ..own }, report)).collect();
    for ((from, kind, report), stream) in down.into_iter().zip(whose) {
        let Some(stream) = stream else { continue };
        if !is_nothing(kind, &report) {
            streams.push((stream, report));
        } else if cell.flows(from, kind) {
            server.chronicle.report_nothing(stream, at);
        }
    }
    if let Some((_, report)) = streams.first_mut() {
        report.extend(known(CPU, digest.cpu.iter().copied().map(Some)));
    }
    let played = server.chronicle.report(own.app, &streams, at);
    server.scale.note_played(cell.app.id, played, at.unsigned_abs() / 1000);
    Some(own)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_bounded_and_what_is_not_known_is_left_out() {
        let read = |entry: serde_json::Value| {
            let entry = entry.to_string();
            read(&serde_json::from_str::<Entry<'_>>(&entry).unwrap().0, UP_AUDIO, UP_VIDEO)
        };

        let video = read(json!(["main", 30, -1, 1e300, 719.6, 5, 6])).unwrap();
        let columns = [(column::CAPTURED, 30), (column::SHOWN_WIDTH, 1_000_000), (column::SHOWN_HEIGHT, 720)];
        assert_eq!(video, (StreamKind::Main, columns.into_iter().collect()));
        assert_eq!(read(json!(["audio", "loud"])), Some((StreamKind::Audio, Report::new())));
        for entry in [json!([]), json!(["other", 1]), json!([1, 2])] {
            assert_eq!(read(entry.clone()), None, "{entry}");
        }
    }
}
