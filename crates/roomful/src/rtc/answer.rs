//! The envelope of every answer: HTTP 200, exactly `Content-Type: application/json` (an SDK takes an error for success with anything
//! behind it), and a `RequestId` always.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Serialize;

use super::refusal::{Language, Refusal};
use crate::rest::{Body, RequestId};
use crate::wire::quoted;

/// What a caller names a call by, for its own logs; it comes back in the answer's header of the same name.
pub(super) const TRACE_ID: HeaderName = HeaderName::from_static("x-tc-traceid");

/// The most bytes of one that comes back.
const MAX_TRACE_ID: usize = 128;

/// Nothing to say but that it is done.
#[derive(Serialize, JsonSchema)]
pub(super) struct Done {}

/// The fields of a success, to stand before `RequestId`: `"Name":value,`, or nothing.
pub(super) fn fields(answer: &impl Serialize) -> String {
    let json = serde_json::to_string(answer).unwrap_or_default();
    match json.strip_prefix('{').and_then(|json| json.strip_suffix('}')) {
        None | Some("") => String::new(),
        Some(fields) => format!("{fields},"),
    }
}

/// Wraps what an action has answered, as [`fields`] has it.
pub(super) fn envelope(
    request_id: &RequestId,
    language: Language,
    trace_id: Option<&HeaderValue>,
    result: &Result<String, Refusal>,
) -> hyper::Response<Body> {
    let request_id = request_id.uuid();
    let json = match result {
        Ok(fields) => format!(r#"{{"Response":{{{fields}"RequestId":"{request_id}"}}}}"#),
        Err(refusal) => format!(
            r#"{{"Response":{{"Error":{{"Code":{},"Message":{}}},"RequestId":"{request_id}"}}}}"#,
            quoted(&refusal.code()),
            quoted(&refusal.message(language))
        ),
    };
    let mut response = hyper::Response::new(Body::from(Bytes::from(json)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(trace_id) = trace_id.filter(|value| value.len() <= MAX_TRACE_ID) {
        response.headers_mut().insert(TRACE_ID, trace_id.clone());
    }
    response
}
