//! The browser client below `/sdk/`, with what it loads, embedded in the binary.

use std::borrow::Cow;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;

/// A file of the browser client.
struct Served {
    /// Below `/sdk/`.
    name: &'static str,
    /// Its entity tag.
    tag: &'static str,
    bytes: &'static [u8],
    /// The bytes are gzip's.
    is_packed: bool,
}

// `FILES`, in the order of their names.
include!(concat!(env!("OUT_DIR"), "/served.rs"));

/// Who may load it.
const LOADED_BY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// No other site is told of the rooms in a page's address.
const UNTOLD: (HeaderName, &str) = (REFERRER_POLICY, "no-referrer");

/// What gzip puts before and after the compressed bytes, where it names no file (RFC 1952 2.3).
const GZIP_HEADER: usize = 10;
const GZIP_TRAILER: usize = 8;

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/sdk/{*name}", get(client))
}

/// A file of the browser client, which pages of any origin may load. Its name stays when it changes, so browsers ask each time,
/// and get it only when it is another.
async fn client(Path(name): Path<String>, headers: HeaderMap) -> Response<Body> {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_known = known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == file.tag);
    let is_packed = file.is_packed && takes_gzip(&headers);
    let body = if is_known { Cow::Borrowed(&[][..]) } else { file.body(is_packed) };
    let body = match body {
        Cow::Borrowed(bytes) => Body::from(bytes),
        Cow::Owned(bytes) => Body::from(bytes),
    };
    let mut response = Response::new(body);
    let own = [
        (CONTENT_TYPE, kind_of(file.name)),
        (CACHE_CONTROL, "no-cache"),
        (ETAG, file.tag),
        (VARY, "accept-encoding"),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (LOADED_BY, "cross-origin"),
        UNTOLD,
    ];
    let headers = response.headers_mut();
    headers.extend(own.map(|(header, value)| (header, HeaderValue::from_static(value))));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else if is_packed {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

impl Served {
    /// As it is carried, or unpacked for clients that cannot.
    fn body(&self, is_packed: bool) -> Cow<'static, [u8]> {
        if is_packed || !self.is_packed {
            return Cow::Borrowed(self.bytes);
        }
        let end = self.bytes.len().saturating_sub(GZIP_TRAILER);
        let deflated = self.bytes.get(GZIP_HEADER..end).unwrap_or_default();
        miniz_oxide::inflate::decompress_to_vec(deflated).unwrap_or_default().into()
    }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT_ENCODING);
    let mut codings =
        accepted.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip")
            && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

fn kind_of(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "wasm")) => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn whoever_cannot_unpack_gets_the_same_file() {
        for file in FILES.iter().filter(|file| file.is_packed && file.name.ends_with(".js")) {
            let text = String::from_utf8(file.body(false).into_owned()).unwrap();

            assert!(text.len() > file.bytes.len() / 2, "{}", file.name);
        }
    }

    #[test]
    fn gzip_is_given_to_whoever_takes_it() {
        for (accepted, takes) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.8", true),
            ("identity", false),
            ("gzip;q=0", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);

            assert_eq!(takes_gzip(&headers), takes, "{accepted}");
        }
    }
}
