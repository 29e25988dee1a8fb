//! Whom a request is for: one rule (RFC 9112 3.2) for all that is asked over HTTP, before anything else of it is looked at.

use axum::body::Body;
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONNECTION, CONTENT_TYPE, HOST};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Request, Response, StatusCode, Version};
use serde_json::json;

use crate::error::Code;

/// What is wrong with a request's Host, if anything is: there is one, and it is a host. Clients of HTTP/1.0 may have none.
pub(crate) fn trouble<B>(request: &Request<B>) -> Option<&'static str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() == Version::HTTP_10 => None,
        (None, _) => Some("the request needs a Host header"),
        (Some(_), Some(_)) => Some("the request has more than one Host header"),
        (Some(host), None) if is_host(host.as_bytes()) => None,
        (Some(_), None) => Some("the request's Host header is no host with or without a port"),
    }
}

/// Whether it has one, whatever that is.
pub(crate) fn is_one<B>(request: &Request<B>) -> bool {
    request.headers().get_all(HOST).iter().count() == 1
}

/// Whether it is a host, with a port or without. Nothing is the host of a target that has none.
pub(crate) fn is_host(text: &[u8]) -> bool {
    text.is_empty() || !text.contains(&b'@') && Authority::try_from(text).is_ok()
}

/// The answer to whoever asks like that. What comes behind it on its connection may be anything, so it is not read.
pub(crate) fn refusal(trouble: &'static str) -> Response<Body> {
    let status = StatusCode::BAD_REQUEST;
    let title = status.canonical_reason().unwrap_or_default();
    let code = Code::Invalid.number();
    let problem = json!({"title": title, "status": status.as_u16(), "detail": trouble, "code": code});
    let mut response = Response::new(Body::from(problem.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_one_host_and_older_clients_none() {
        let hosts: [(&[&str], bool, bool); 14] = [
            (&[], false, true),
            (&["live.example.org"], true, true),
            (&["live.example.org:8480"], true, true),
            (&["LIVE_1.example.org."], true, true),
            (&["127.0.0.1:8480"], true, true),
            (&["[::1]:8480"], true, true),
            (&[""], true, true),
            (&["a", "a"], false, false),
            (&["a", "b"], false, false),
            (&["ann@a"], false, false),
            (&["a b"], false, false),
            (&["a/b"], false, false),
            (&["http://a"], false, false),
            (&["a, b"], false, false),
        ];
        for (lines, is_taken, is_taken_of_older) in hosts {
            for (version, expected) in [(Version::HTTP_11, is_taken), (Version::HTTP_10, is_taken_of_older)] {
                let mut request = Request::builder().version(version);
                for line in lines {
                    request = request.header(HOST, *line);
                }
                let request = request.body(()).unwrap();
                assert_eq!(trouble(&request).is_none(), expected, "{version:?} {lines:?}");
            }
        }
    }
}
