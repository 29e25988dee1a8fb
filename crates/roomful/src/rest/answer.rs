//! The envelope of every answer, and the HTTP body it travels in.

use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::wire;

/// What a command answers on success.
pub(crate) enum Answer {
    /// A JSON object under `Response`.
    Response(Bytes),
    /// Fields at the top level, as the older services answer, in the form of [`fields`].
    TopLevel(String),
    /// Both, for commands whose documents differ.
    Both(String, Bytes),
}

impl Answer {
    /// As a member gets it: the fields alone.
    pub(super) fn into_member_json(self) -> String {
        match self {
            Self::Response(json) | Self::Both(_, json) => String::from_utf8_lossy(&json).into_owned(),
            Self::TopLevel(fields) => format!("{{{}}}", fields.trim_start_matches(',')),
        }
    }
}

/// What a handler answers: how it is written, and its shape for the OpenAPI document.
pub(crate) trait Reply {
    fn answer(self) -> Answer;
    /// The fields beside the envelope's, as a schema of an object.
    fn schema(generator: &mut SchemaGenerator) -> Value;
}

/// Nothing to say but that it is done.
pub(super) struct Done;

impl Reply for Done {
    fn answer(self) -> Answer {
        Answer::Response(Bytes::from_static(b"{}"))
    }

    fn schema(_: &mut SchemaGenerator) -> Value {
        under_response(json!({"type": "object"}))
    }
}

/// A result under `Response`.
pub(super) struct Response<T>(pub(super) T);

impl<T: Serialize + JsonSchema> Reply for Response<T> {
    fn answer(self) -> Answer {
        Answer::Response(serde_json::to_vec(&self.0).unwrap_or_default().into())
    }

    fn schema(generator: &mut SchemaGenerator) -> Value {
        under_response(generator.subschema_for::<T>().to_value())
    }
}

/// A result under `Response` that is JSON already, of the shape of `T`.
pub(super) struct Rendered<T>(pub(super) Bytes, pub(super) PhantomData<T>);

impl<T> Rendered<T> {
    pub(super) fn new(json: impl Into<Bytes>) -> Self {
        Self(json.into(), PhantomData)
    }

    pub(super) fn into_json(self) -> Bytes {
        self.0
    }
}

impl<T: JsonSchema> Reply for Rendered<T> {
    fn answer(self) -> Answer {
        Answer::Response(self.0)
    }

    fn schema(generator: &mut SchemaGenerator) -> Value {
        under_response(generator.subschema_for::<T>().to_value())
    }
}

/// Fields at the top level, as the older services answer.
pub(super) struct TopLevel<T>(pub(super) T);

impl<T: Serialize + JsonSchema> Reply for TopLevel<T> {
    fn answer(self) -> Answer {
        Answer::TopLevel(fields(&self.0))
    }

    fn schema(generator: &mut SchemaGenerator) -> Value {
        generator.subschema_for::<T>().to_value()
    }
}

/// Fields at the top level and a result under `Response`, for commands whose documents differ: whoever reads either
/// finds it.
pub(super) struct Both<T, R>(pub(super) T, pub(super) R);

impl<T: Serialize + JsonSchema, R: Serialize + JsonSchema> Reply for Both<T, R> {
    fn answer(self) -> Answer {
        let fields = fields(&self.0);
        Answer::Both(fields, serde_json::to_vec(&self.1).unwrap_or_default().into())
    }

    fn schema(generator: &mut SchemaGenerator) -> Value {
        let (fields, response) = (generator.subschema_for::<T>(), generator.subschema_for::<R>());
        json!({"allOf": [fields.to_value(), under_response(response.to_value())]})
    }
}

/// The fields of an object, to follow others: `,"Name":value,...`, or nothing when it has none.
fn fields<T: Serialize>(object: &T) -> String {
    let json = serde_json::to_string(object).unwrap_or_default();
    match json.strip_prefix('{').and_then(|json| json.strip_suffix('}')) {
        None | Some("") => String::new(),
        Some(fields) => format!(",{fields}"),
    }
}

/// The schema of what a member gets of an answer: [`Answer::into_member_json`].
pub(super) fn for_members(schema: Value) -> Value {
    let of = |schema: &Value| schema.pointer("/properties/Response").cloned();
    let of_both = || schema.get("allOf")?.as_array()?.iter().find_map(of);
    of(&schema).or_else(of_both).unwrap_or(schema)
}

fn under_response(schema: Value) -> Value {
    json!({"type": "object", "properties": {"Response": schema}})
}

/// `Id-<32 hex>-O-Seq-<n>`: unique for each request, and also in the logs.
pub(crate) struct RequestId {
    random: u128,
    seq: u64,
}

impl RequestId {
    pub(crate) fn next() -> Self {
        static SEED: LazyLock<u64> = LazyLock::new(|| getrandom::u64().unwrap_or_default());
        static SEQ: AtomicU64 = AtomicU64::new(1);
        let seq = SEQ.fetch_add(1, Ordering::Relaxed);
        // Mixing is one-to-one, so ids differ within a run; the seed makes them differ between runs.
        let (high, low) = (mix(SEED.wrapping_add(seq)), mix(!SEED.wrapping_add(seq)));
        Self { random: u128::from(high) << 64 | u128::from(low), seq }
    }
}

impl RequestId {
    /// The same in the form of a UUID (RFC 9562, version 4), as the RTC API has it.
    pub(crate) fn uuid(&self) -> String {
        let bits = self.random & !(0xF << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        let hex = format!("{bits:032x}");
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
        format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
    }
}

/// The finaliser of SplitMix64.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ bits >> 31
}

impl RequestId {
    /// What an envelope has before its end, with room for so much `more`.
    fn begin_envelope(&self, more: usize) -> Vec<u8> {
        let mut head = Vec::with_capacity(ENVELOPE_BYTES + more);
        head.extend_from_slice(br#"{"ErrorCode":0,"ErrorInfo":"","ActionStatus":"OK","RequestId":"Id-"#);
        // By hand: this is in every answer, and formatting takes ten times as long.
        let digit = |four: u8| four + if four < 10 { b'0' } else { b'a' - 10 };
        let digits = self.random.to_be_bytes().map(|byte| [byte >> 4, byte & 0xF].map(digit));
        head.extend_from_slice(digits.as_flattened());
        head.extend_from_slice(b"-O-Seq-");
        wire::push_number(&mut head, self.seq);
        head.push(b'"');
        head
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id-{:032x}-O-Seq-{}", self.random, self.seq)
    }
}

/// How long an envelope is without what it envelops, about.
const ENVELOPE_BYTES: usize = 192;

/// Wraps a command's result.
pub(super) fn envelope(request_id: &RequestId, result: Result<Answer, ApiError>) -> Body {
    let done = |more: &str, room: usize| {
        let mut head = request_id.begin_envelope(more.len() + room);
        head.extend_from_slice(more.as_bytes());
        head
    };
    match result {
        Ok(Answer::Response(json)) => Body::around(done(r#","Response":"#, Body::joined(&json)), json),
        Ok(Answer::Both(fields, json)) => {
            Body::around(done(&format!(r#"{fields},"Response":"#), Body::joined(&json)), json)
        }
        Ok(Answer::TopLevel(fields)) => Bytes::from(done(&format!("{fields}}}"), 0)).into(),
        Err(error) => {
            let json = format!(
                r#"{{"ErrorCode":{},"ErrorInfo":{},"ActionStatus":"FAIL","RequestId":"{request_id}"}}"#,
                error.code,
                wire::quoted(&error.message)
            );
            Bytes::from(json).into()
        }
    }
}

/// An answer as HTTP has it: its status says nothing of it.
pub(crate) fn response(body: Body) -> hyper::Response<Body> {
    let mut response = hyper::Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A few ready pieces, sent as they are: a rendered list is shared by all who ask for it, and never copied.
#[derive(Default)]
pub(crate) struct Body {
    /// In the order in which they go; what has gone is empty.
    pieces: [Bytes; 3],
    length: usize,
}

impl Body {
    /// Below this size one copy is cheaper than another piece for the socket.
    const JOIN_BELOW: usize = 4096;

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// All of it, in the order in which it goes.
    pub(crate) fn into_pieces(self) -> [Bytes; 3] {
        self.pieces
    }

    /// How much of it is joined to what is before it.
    fn joined(json: &Bytes) -> usize {
        if json.len() < Self::JOIN_BELOW { json.len() + 1 } else { 0 }
    }

    /// JSON in an object that `head` begins.
    fn around(mut head: Vec<u8>, json: Bytes) -> Self {
        let length = head.len() + json.len() + 1;
        if Self::joined(&json) == 0 {
            return Self { pieces: [head.into(), json, Bytes::from_static(b"}")], length };
        }
        head.extend_from_slice(&json);
        head.push(b'}');
        Bytes::from(head).into()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self { length: bytes.len(), pieces: [bytes, Bytes::new(), Bytes::new()] }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.iter_mut().find(|piece| !piece.is_empty()).map(std::mem::take);
        self.length -= piece.as_ref().map_or(0, Bytes::len);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.length == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_names_the_request_as_the_log_does() {
        for seq in [1, 9, 10, u64::MAX] {
            let id = RequestId { random: u128::from(mix(seq)) << 40 | 0xab, seq };

            let expected =
                format!(r#"{{"ErrorCode":0,"ErrorInfo":"","ActionStatus":"OK","RequestId":"{id}""#);
            assert_eq!(String::from_utf8(id.begin_envelope(0)).unwrap(), expected);
        }
    }
}
