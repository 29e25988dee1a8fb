//! What a client says of its streams every two seconds, for history. Nothing is decided by it: neither what it may do, nor what is counted.

use media::StreamKind;
use schemars::JsonSchema;
use serde::Deserialize;

use super::asked::{Asked, Done};
use crate::error::ApiError;
use crate::live::unit;
use crate::quality::{Report, column};

/// A longer report is not kept.
const MOST_BYTES: usize = 4096;

/// Of how many streams it may be, each way.
const MOST_STREAMS: usize = 64;

/// The most that a number in it can be.
const MOST: f64 = 1_000_000.0;

/// A name, or a number; -1 is not known.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Part {
    Number(f64),
    Text(String),
}

impl Part {
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

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReportRequest {
    #[schemars(required)]
    room_id: Option<String>,
    /// `["audio", level]`, `["main", captured, encoded, width, height]`.
    #[serde(default)]
    up: Vec<Vec<Part>>,
    /// `["bob", "audio", level, buffered]`, `["bob", "main", shown, width, height, buffered]`.
    #[serde(default)]
    down: Vec<Vec<Part>>,
}

const UP_AUDIO: &[u8] = &[column::LEVEL];
const UP_VIDEO: &[u8] = &[column::CAPTURED, column::SHOWN, column::SHOWN_WIDTH, column::SHOWN_HEIGHT];
const DOWN_AUDIO: &[u8] = &[column::LEVEL, column::BUFFERED];
const DOWN_VIDEO: &[u8] = &[column::SHOWN, column::SHOWN_WIDTH, column::SHOWN_HEIGHT, column::BUFFERED];

/// One entry, behind the name of who sent it.
fn read(entry: &[Part], audio: &[u8], video: &[u8]) -> Option<(StreamKind, Report)> {
    let (kind, numbers) = entry.split_first()?;
    let kind = kind.text()?;
    let kind = StreamKind::ALL.into_iter().find(|known| unit::stream_type(unit::device(*known)) == kind)?;
    let columns = if kind.is_video() { video } else { audio };
    let known = columns.iter().zip(numbers).filter_map(|(column, number)| {
        let number = number.number().filter(|number| *number >= 0.0)?;
        Some((*column, number.min(MOST).round() as u32))
    });
    Some((kind, known.collect()))
}

pub(super) async fn report(asked: Asked, request: ReportRequest) -> Result<Done, ApiError> {
    let cell = asked.room(request.room_id.as_deref())?;
    if asked.body.len() <= MOST_BYTES {
        let up = request.up.iter().take(MOST_STREAMS).filter_map(|entry| {
            let (kind, report) = read(entry, UP_AUDIO, UP_VIDEO)?;
            Some((None, kind, report))
        });
        let down = request.down.iter().take(MOST_STREAMS).filter_map(|entry| {
            let (from, entry) = entry.split_first()?;
            let (kind, report) = read(entry, DOWN_AUDIO, DOWN_VIDEO)?;
            Some((Some(from.text()?), kind, report))
        });
        let streams = up
            .chain(down)
            .filter_map(|(from, kind, report)| Some((cell.stream(asked.session.id, from, kind)?, report)));
        asked.server.chronicle.report(streams.collect());
    }
    Ok(Done {})
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_bounded_and_what_is_not_known_is_left_out() {
        let read = |entry: serde_json::Value| {
            read(&serde_json::from_value::<Vec<Part>>(entry).unwrap(), UP_AUDIO, UP_VIDEO)
        };

        let video = read(json!(["main", 30, -1, 1e300, 719.6, 5, 6])).unwrap();
        let columns =
            vec![(column::CAPTURED, 30), (column::SHOWN_WIDTH, 1_000_000), (column::SHOWN_HEIGHT, 720)];
        assert_eq!(video, (StreamKind::Main, columns));
        assert_eq!(read(json!(["audio", "loud"])), Some((StreamKind::Audio, Vec::new())));
        for entry in [json!([]), json!(["other", 1]), json!([1, 2])] {
            assert_eq!(read(entry.clone()), None, "{entry}");
        }
    }
}
