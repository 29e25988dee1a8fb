//! A request's body: bounded in size, time and depth before anything is made of it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;
use serde::Deserialize;

use super::Call;
use crate::error::ApiError;

/// The most bytes a body may have.
const MAX_BYTES: usize = 1024 * 1024;

/// How much of a body that is too large is read and dropped, so that the caller gets to read the answer.
const MAX_DRAINED_BYTES: usize = 16 * MAX_BYTES;

/// How long a body may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How deep the JSON may be nested; what a parser can follow without growing its stack.
const MAX_DEPTH: usize = 100;

/// Reads a body whole.
pub(super) async fn read<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Result<Bytes, ApiError> {
    // What has arrived with the head, which is nearly always all of it, needs no timer.
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    tokio::time::timeout(TIMEOUT, collect(&mut body))
        .await
        .unwrap_or_else(|_| Err(ApiError::new(60008, "the body did not arrive within 10 s")))
}

async fn collect<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Result<Bytes, ApiError> {
    let mut whole = Bytes::new();
    let mut longer = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(ApiError::new(60008, "the body was cut off"));
        };
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length > MAX_DRAINED_BYTES {
            break;
        }
        if length > MAX_BYTES {
            continue;
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
    if length > MAX_BYTES {
        return Err(ApiError::new(60008, format!("the body is larger than {MAX_BYTES} bytes")));
    }
    Ok(if longer.is_empty() { whole } else { longer.freeze() })
}

/// Refuses what is no JSON object that can be parsed safely.
pub(crate) fn require_json_object(body: &[u8]) -> Result<(), ApiError> {
    let broken = |trouble: &'static str| Err(ApiError::new(60003, trouble));
    if body.is_empty() {
        return broken("the body is empty; send {} when there is nothing to say");
    }
    if std::str::from_utf8(body).is_err() {
        return broken("the body is not UTF-8");
    }
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return broken("the body is not a JSON object");
    }
    if depth(body) > MAX_DEPTH {
        return broken("the body is nested too deep; 100 levels are allowed");
    }
    Ok(())
}

/// How deep brackets outside strings go.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Reads `T` from a JSON object.
///
/// Broken JSON is 60003; a value of the wrong type is 100002 (`spec/live-rest-api.md`).
pub(crate) fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let parsed = T::deserialize(&mut deserializer).and_then(|parsed| deserializer.end().map(|()| parsed));
    parsed.map_err(|error| {
        // The data may be at fault before the parser met what is broken behind it.
        if !error.is_data() || serde_json::from_str::<serde::de::IgnoredAny>(json).is_err() {
            return ApiError::new(60003, format!("the JSON is broken: {error}"));
        }
        let mut track = serde_path_to_error::Track::new();
        let mut again = serde_json::Deserializer::from_str(json);
        let _ = T::deserialize(serde_path_to_error::Deserializer::new(&mut again, &mut track));
        let text = error.to_string();
        let text = text.split(" at line ").next().unwrap_or_default();
        match track.path().to_string().as_str() {
            "." => ApiError::new(ApiError::INVALID, text.to_string()),
            path => ApiError::new(ApiError::INVALID, format!("{path} is wrong: {text}")),
        }
    })
}

impl Call {
    /// Reads the body as a command's request.
    pub(super) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ApiError> {
        parse(std::str::from_utf8(&self.body).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_do_not_count() {
        assert_eq!(depth(br#"{"a":["[[[[\"[[",{"b":1}]}"#), 3);
        assert_eq!(depth(&[b'['; 500]), 500);
    }
}
