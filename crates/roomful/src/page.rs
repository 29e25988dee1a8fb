//! The page at `/`, embedded in the binary.

use axum::Router;
use axum::extract::Extension;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::dev;
use crate::door::Peer;

const INDEX: &str = include_str!("../page/index.html");

/// What the page is told of the server that it comes from stands here.
const OF_SERVER: &str = "<!-- of the server -->";

/// Tells the page that a name is enough.
const DEV: &str = r#"<meta name="dev-sign-in" content="on">"#;

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What the page is made of.
const FILES: [(&str, &str, &str); 11] = [
    ("/page/page.css", "text/css; charset=utf-8", include_str!("../page/page.css")),
    ("/page/page.js", SCRIPT, include_str!("../page/page.js")),
    ("/page/call.js", SCRIPT, include_str!("../page/call.js")),
    ("/page/devices.js", SCRIPT, include_str!("../page/devices.js")),
    ("/page/dom.js", SCRIPT, include_str!("../page/dom.js")),
    ("/page/layout.js", SCRIPT, include_str!("../page/layout.js")),
    ("/page/lobby.js", SCRIPT, include_str!("../page/lobby.js")),
    ("/page/panel.js", SCRIPT, include_str!("../page/panel.js")),
    ("/page/stage.js", SCRIPT, include_str!("../page/stage.js")),
    ("/page/state.js", SCRIPT, include_str!("../page/state.js")),
    ("/favicon.svg", "image/svg+xml", include_str!("../page/favicon.svg")),
];

/// Only what the page itself brings may run, and no text becomes markup or a script; it talks to its own server alone, which
/// older browsers want named for WebSockets.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'; \
                      connect-src 'self'";

/// Who may load it: pages of the server's own, or any.
const LOADED_BY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// No other site is told of the rooms in a page's address.
const UNTOLD: (HeaderName, &str) = (REFERRER_POLICY, "no-referrer");

/// The page itself may ask for devices; what it might be made to embed may not.
const DEVICES: (HeaderName, &str) = (
    HeaderName::from_static("permissions-policy"),
    "camera=(self), microphone=(self), display-capture=(self)",
);

/// With `is_dev`, the page is told that it may sign in by a name, where that is so.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(is_dev: bool) -> Router<S> {
    let index = get(move |Extension(Peer(peer)): Extension<Peer>, uri: Uri, headers: HeaderMap| async move {
        let is_dev = is_dev && dev::is_local(peer, &uri, &headers);
        let text = INDEX.replace(OF_SERVER, if is_dev { DEV } else { "" });
        let policy = [(CONTENT_SECURITY_POLICY, policy(&headers))];
        (policy, [DEVICES], asset("text/html; charset=utf-8", text))
    });
    let files = FILES.into_iter().fold(Router::new(), |routes, (path, kind, text)| {
        routes.route(path, get(move || async move { asset(kind, text) }))
    });
    files.route("/", index)
}

fn asset(kind: &'static str, text: impl IntoResponse) -> impl IntoResponse {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache"), (LOADED_BY, "same-origin"), UNTOLD], text)
}

/// The policy for a page that was asked for under the request's Host.
fn policy(headers: &HeaderMap) -> HeaderValue {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_of_host =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | ':' | '[' | ']');
    if host.is_empty() || !host.chars().all(is_of_host) {
        return HeaderValue::from_static(POLICY);
    }
    let policy = format!("{POLICY} ws://{host} wss://{host}");
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static(POLICY))
}
