//! The page at `/` and the browser client below `/sdk/`, embedded in the binary.

use axum::Router;
use axum::http::HeaderName;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
};
use axum::response::IntoResponse;
use axum::routing::get;

/// The browser client, for pages without a bundler; other origins may load it, and connect.
const CLIENT: &str = include_str!(concat!(env!("OUT_DIR"), "/roomful-client.js"));

/// The same for `<script src>`, as the global `TRTC`.
const CLASSIC_CLIENT: &str = include_str!(concat!(env!("OUT_DIR"), "/roomful-client.umd.js"));

/// Only what the page itself brings may run; it talks to its own server alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Who may load it: pages of the server's own, or any.
const LOADED_BY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// No other site is told of the rooms in a page's address.
const UNTOLD: (HeaderName, &str) = (REFERRER_POLICY, "no-referrer");

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let file = |kind: &'static str, text: &'static str| get(move || async move { asset(kind, text) });
    let client = |text: &'static str| {
        get(move || async move {
            let kind = (CONTENT_TYPE, "text/javascript; charset=utf-8");
            let open = [(ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (LOADED_BY, "cross-origin")];
            ([kind, (CACHE_CONTROL, "no-cache"), UNTOLD], open, text)
        })
    };
    Router::new()
        .route("/", file("text/html; charset=utf-8", include_str!("../page/index.html")))
        .route("/page.css", file("text/css; charset=utf-8", include_str!("../page/page.css")))
        .route("/page.js", file("text/javascript; charset=utf-8", include_str!("../page/page.js")))
        .route("/sdk/roomful-client.js", client(CLIENT))
        .route("/sdk/roomful-client.umd.js", client(CLASSIC_CLIENT))
        .route("/favicon.svg", file("image/svg+xml", include_str!("../page/favicon.svg")))
}

fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    let policies = [(CONTENT_SECURITY_POLICY, POLICY), (LOADED_BY, "same-origin"), UNTOLD];
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], policies, text)
}
