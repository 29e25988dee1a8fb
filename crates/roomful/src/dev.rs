//! The development sign-in of `serve --dev`: the page at `/` enters rooms by a name alone, on the machine of whoever develops.
//!
//! It gives a UserSig to whoever asks, so it answers only what comes from this machine and was meant for it: a peer on loopback, a
//! Host on loopback (a name that some other site points here, DNS rebinding, is none), no other page's Origin, no proxy in between.
//! Administrators are not signed in: whoever may call the REST API has a key to sign with.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension, Json, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, FORWARDED, HOST, HeaderMap, HeaderName, ORIGIN, VIA};
use axum::http::uri::Authority;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use rooms::{SdkAppId, UserId};
use serde::Deserialize;
use serde_json::json;

use crate::door::Peer;
use crate::server::Server;

/// For how long what it signs holds: a day's work.
const SECONDS: u64 = 24 * 3600;

/// The most bytes a request's body may have: a name, and what is around it.
const MAX_BODY: usize = 1024;

/// What proxies add. Behind one, everybody's peer is on loopback.
const OF_PROXIES: [HeaderName; 5] = [
    FORWARDED,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-real-ip"),
];

/// What browsers say of who asks: no page can set it.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[derive(Clone)]
struct SignIn {
    server: Arc<Server>,
    app: SdkAppId,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(rename = "UserId")]
    user: String,
}

/// `POST /dev/sign-in {"UserId": "ann"}` answers `{"SdkAppId", "UserId", "UserSig"}` of `app`.
pub(crate) fn routes(server: Arc<Server>, app: SdkAppId) -> Router {
    Router::new()
        .route("/dev/sign-in", post(sign_in))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(SignIn { server, app })
}

/// Whether a request comes from this machine and was meant for it.
pub(crate) fn is_local(peer: IpAddr, uri: &Uri, headers: &HeaderMap) -> bool {
    require_local(peer, uri, headers).is_ok()
}

/// JSON alone is taken, which pages of other origins cannot send without asking first.
async fn sign_in(
    State(SignIn { server, app }): State<SignIn>,
    Extension(Peer(peer)): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
    Json(asked): Json<Asked>,
) -> Response {
    let local = require_local(peer, &uri, &headers).and_then(|host| require_own_page(&host, &headers));
    if let Err(trouble) = local {
        return refusal(StatusCode::FORBIDDEN, trouble);
    }
    let user = match UserId::parse_field("UserId", &asked.user) {
        Ok(user) => user,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let Some(app) = server.app(app) else {
        return refusal(StatusCode::NOT_FOUND, "the app that the server began with is there no more");
    };
    let credentials = app.credentials();
    if credentials.is_admin(user.as_str()) {
        let trouble =
            format!("{user} is an administrator: sign in with what `roomful usersig --user {user}` prints");
        return refusal(StatusCode::FORBIDDEN, &trouble);
    }
    match credentials.sign(&user, SECONDS) {
        Ok(sig) => {
            let signed = json!({"SdkAppId": app.id.0, "UserId": user.as_str(), "UserSig": sig});
            ([(CACHE_CONTROL, "no-store")], Json(signed)).into_response()
        }
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// The host that was asked for.
fn require_local(peer: IpAddr, uri: &Uri, headers: &HeaderMap) -> Result<String, &'static str> {
    if !peer.to_canonical().is_loopback() {
        return Err("the development sign-in is for the machine that the server runs on");
    }
    if OF_PROXIES.iter().any(|name| headers.contains_key(name)) {
        return Err("the development sign-in is not for what comes by a proxy");
    }
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err("the request needs one Host");
    };
    let host = host.to_str().unwrap_or_default();
    if !is_loopback(host) || uri.authority().is_some_and(|other| other.as_str() != host) {
        return Err("the development sign-in is at localhost, 127.0.0.1 and [::1] alone");
    }
    Ok(host.into())
}

/// A program says nothing of who asks, a browser does: it has to be the page that `host` itself serves.
fn require_own_page(host: &str, headers: &HeaderMap) -> Result<(), &'static str> {
    let is_own = |origin: &[u8]| {
        let origin = std::str::from_utf8(origin).unwrap_or_default();
        origin.split_once("://").is_some_and(|(scheme, of)| matches!(scheme, "http" | "https") && of == host)
    };
    let is_same = headers.get_all(ORIGIN).iter().all(|origin| is_own(origin.as_bytes()));
    if !is_same || headers.get_all(FETCH_SITE).iter().any(|site| site != "same-origin") {
        return Err("the development sign-in is for the server's own page");
    }
    Ok(())
}

/// `localhost` or an address of loopback, maybe with a port.
fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host();
    let address = name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn refusal(status: StatusCode, trouble: &str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let body = json!({"title": title, "status": status.as_u16(), "detail": trouble}).to_string();
    (status, [(CONTENT_TYPE, "application/problem+json"), (CACHE_CONTROL, "no-store")], body).into_response()
}
