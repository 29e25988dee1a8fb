//! A request's body: bounded in size, time and depth before anything is made of it. Only who is authorised has it kept,
//! within a budget of the app, and of all.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http_body::Body;
use http_body_util::BodyExt as _;
use serde::Deserialize;

use super::Call;
use super::integers::Loose;
use crate::app::App;
use crate::budget::Budget;
use crate::error::{ApiError, Code};
use crate::server::Server;

/// The most bytes a body may have.
const MAX_BYTES: usize = 1024 * 1024;

/// How much of a body that nobody wants is read and dropped, so that the caller gets to read the answer.
const MAX_DRAINED_BYTES: usize = 16 * MAX_BYTES;

/// How long a body may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How deep the JSON may be nested; what a parser can follow without growing its stack.
const MAX_DEPTH: usize = 100;

/// A body up to this size is not counted: it is in the buffer that its connection has anyway.
const UNCOUNTED_BYTES: usize = 8 * 1024;

/// The budgets that a body takes from: that of whose it is, and that of all.
pub(crate) type Shares<'a> = [&'a Arc<Budget>; 2];

/// What a body has taken from the budgets, until it is dropped.
struct Held {
    shares: [Arc<Budget>; 2],
    bytes: usize,
}

impl Held {
    /// Takes what is missing to `bytes`.
    fn grow_to(&mut self, bytes: usize) -> Result<(), Trouble> {
        let more = bytes - self.bytes;
        let [own, all] = &self.shares;
        if !own.take(more) {
            return Err(Trouble::NoRoom);
        }
        if !all.take(more) {
            own.give_back(more);
            return Err(Trouble::NoRoom);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shares.iter().for_each(|share| share.give_back(self.bytes));
    }
}

/// A whole body.
#[derive(Default)]
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    /// Whether it had to be waited for, so that what was checked before may have changed.
    pub(crate) is_late: bool,
    _held: Option<Held>,
}

impl Whole {
    /// As text, which JSON is.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap_or_default()
    }
}

impl From<Bytes> for Whole {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, ..Self::default() }
    }
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    TooLong,
    TooSlow,
    CutOff,
    /// Too many others are held.
    NoRoom,
}

impl From<Trouble> for ApiError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::TooLong => {
                Self::new(Code::RequestMalformed, format!("the body is larger than {MAX_BYTES} bytes"))
            }
            Trouble::TooSlow => Self::new(Code::RequestMalformed, "the body did not arrive within 10 s"),
            Trouble::CutOff => Self::new(Code::RequestMalformed, "the body was cut off"),
            Trouble::NoRoom => {
                Self::new(Code::TooOften, "too many long bodies are on their way; retry in a moment")
            }
        }
    }
}

/// Reads a command's body, of one who may call it.
pub(super) async fn read_command<B>(body: B, server: &Arc<Server>, app: &Arc<App>) -> Result<Whole, Trouble>
where
    B: Body<Data = Bytes> + Unpin,
{
    read(body, MAX_BYTES, [&app.bodies, &server.bodies]).await
}

/// Reads a body whole, of at most `most` bytes.
pub(crate) async fn read<B>(mut body: B, most: usize, shares: Shares<'_>) -> Result<Whole, Trouble>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.is_end_stream() {
        return Ok(Whole::default());
    }
    let whole = within_time(collect(&mut body, most, shares)).await;
    match whole {
        Some((Ok(whole), is_late)) => Ok(Whole { is_late, ..whole }),
        Some((Err(trouble), _)) => {
            drop_rest(&mut body).await;
            Err(trouble)
        }
        None => Err(Trouble::TooSlow),
    }
}

/// Reads a body and keeps nothing of it, so that who sends it gets to read the answer, and can go on.
pub(crate) async fn drop_rest<B: Body<Data = Bytes> + Unpin>(body: &mut B) {
    let reading = async {
        let mut length = 0;
        while length <= MAX_DRAINED_BYTES
            && let Some(Ok(frame)) = body.frame().await
        {
            length += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    within_time(reading).await;
}

/// What comes in time, and whether it had to be waited for. What has arrived with the head, which is nearly always all of
/// it, needs no timer.
async fn within_time<T>(reading: impl Future<Output = T>) -> Option<(T, bool)> {
    let mut reading = pin!(reading);
    if let Some(read) = reading.as_mut().now_or_never() {
        return Some((read, false));
    }
    tokio::time::timeout(TIMEOUT, reading).await.ok().map(|read| (read, true))
}

async fn collect<B>(body: &mut B, most: usize, shares: Shares<'_>) -> Result<Whole, Trouble>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut whole = Bytes::new();
    let mut longer = BytesMut::new();
    let mut held: Option<Held> = None;
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Trouble::CutOff)?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length > most {
            return Err(Trouble::TooLong);
        }
        if length > UNCOUNTED_BYTES {
            let new = || Held { shares: shares.map(Arc::clone), bytes: 0 };
            held.get_or_insert_with(new).grow_to(length)?;
        }
        if whole.is_empty() {
            whole = data;
        } else {
            if longer.is_empty() {
                longer.extend_from_slice(&whole);
            }
            longer.extend_from_slice(&data);
        }
    }
    let bytes = if longer.is_empty() { whole } else { longer.freeze() };
    Ok(Whole { bytes, is_late: false, _held: held })
}

/// A body's text, unless it is no JSON object that can be parsed safely.
pub(crate) fn require_json_object(body: &[u8]) -> Result<&str, ApiError> {
    let broken = |trouble: &'static str| Err(ApiError::new(Code::JsonMalformed, trouble));
    if body.is_empty() {
        return broken("the body is empty; send {} when there is nothing to say");
    }
    let Ok(text) = std::str::from_utf8(body) else { return broken("the body is not UTF-8") };
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return broken("the body is not a JSON object");
    }
    if extent(body).0 > MAX_DEPTH {
        return broken("the body is nested too deep; 100 levels are allowed");
    }
    Ok(text)
}

/// How deep brackets outside strings go, and how many values there are at most.
pub(crate) fn extent(json: &[u8]) -> (usize, usize) {
    let (mut depth, mut deepest, mut values) = (0_usize, 0, 1);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                values += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            b',' if !in_string => values += 1,
            _ => {}
        }
    }
    (deepest, values)
}

/// Reads `T` from a JSON object.
///
/// Broken JSON is [`Code::JsonMalformed`]; a value of the wrong type is [`Code::Invalid`] (`spec/live-rest-api.md`).
pub(crate) fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let parsed = T::deserialize(Loose(&mut deserializer));
    let parsed = parsed.and_then(|parsed| deserializer.end().map(|()| parsed));
    parsed.map_err(|error| {
        // The data may be at fault before the parser met what is broken behind it.
        if !error.is_data() || serde_json::from_str::<serde::de::IgnoredAny>(json).is_err() {
            return ApiError::new(Code::JsonMalformed, format!("the JSON is broken: {error}"));
        }
        let mut track = serde_path_to_error::Track::new();
        let mut again = serde_json::Deserializer::from_str(json);
        let _ = T::deserialize(serde_path_to_error::Deserializer::new(Loose(&mut again), &mut track));
        let text = error.to_string();
        let text = text.split(" at line ").next().unwrap_or_default();
        match track.path().to_string().as_str() {
            "." => ApiError::new(Code::Invalid, text.to_string()),
            path => ApiError::new(Code::Invalid, format!("{path} is wrong: {text}")),
        }
    })
}

impl Call {
    /// Reads the body as a command's request.
    pub(super) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ApiError> {
        parse(self.body.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_do_not_count() {
        assert_eq!(extent(br#"{"a":["[[[[\"[[",{"b":1}]}"#).0, 3);
        assert_eq!(extent(&[b'['; 500]).0, 500);
    }
}
