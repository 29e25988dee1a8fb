//! The gateway (`docs/protocol.md`): one WebSocket a client, one task a connection, one bounded queue to it.

mod asked;
mod asyncapi;
mod between;
mod commands;
mod connection;
mod entrance;
mod media;
mod member;
mod pings;
mod plain;
mod report;
mod seats;
mod silence;
mod speak;
mod table;
#[cfg(test)]
mod typescript;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

pub(crate) use asyncapi::document as asyncapi;
use entrance::Entrance;

use crate::door::{Counted, Peer};
use crate::patience::Course;
use crate::server::Server;
use crate::terminal;
use crate::told::ByNode;

/// The most bytes a client's message may have.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// Small, because there is one for each connection; a longer message grows it.
const READ_BUFFER_BYTES: usize = 1024;

/// More than a token has.
const MAX_LEAVE_BYTES: usize = 256;

/// How long the upgrade itself may take.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers `GET /v1/connect` (RFC 6455 4.2) and serves the connection.
pub(crate) fn upgrade(server: Arc<Server>, mut request: Request<Body>) -> Response<Body> {
    let headers = request.headers();
    let has = |name: HeaderName, token: &str| has_token(headers, name, token);
    let key = headers.get(SEC_WEBSOCKET_KEY);
    let Some(key) = key.filter(|_| has(CONNECTION, "upgrade") && has(UPGRADE, "websocket")) else {
        return refuse(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket endpoint; see docs/protocol.md");
    };
    if !has(SEC_WEBSOCKET_VERSION, "13") {
        return refuse(StatusCode::UPGRADE_REQUIRED, "WebSocket version 13 is needed");
    }
    if server.is_draining() {
        return refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "the server is shutting down; connect again in a moment",
        );
    }
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
    let Ok(accept) = accept else {
        return refuse(StatusCode::BAD_REQUEST, "the WebSocket key cannot be used");
    };

    let peer = request.extensions().get::<Peer>().map(|Peer(peer)| *peer);
    let address = peer.map(|peer| server.chronicle.address(terminal::address(peer, request.headers())));
    let client = Box::new(terminal::client(request.headers(), address.unwrap_or_default()));
    let course = request.extensions_mut().remove::<Course>().unwrap_or_default();
    let counted = request.extensions_mut().remove::<Counted>();
    let by = request.extensions_mut().remove::<ByNode>();
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(Ok(upgraded)) = tokio::time::timeout(UPGRADE_TIMEOUT, upgraded).await else { return };
        // From here on silence is what ends it.
        course.lift();
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let stream = Entrance::new(TokioIo::new(upgraded));
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        connection::serve(server, socket, client, by).await;
        drop(counted);
    });

    let mut response = refuse(StatusCode::SWITCHING_PROTOCOLS, "");
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// Answers `POST /v1/leave`, by which a page says that it goes away when it has no connection to say so: its body is the
/// ResumeToken of a session, which ends. Whether there was one is not said.
pub(crate) async fn leave(server: Arc<Server>, request: Request<Body>) -> Response<Body> {
    let body = Limited::new(request.into_body(), MAX_LEAVE_BYTES).collect().await;
    let token = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let token = std::str::from_utf8(&token).unwrap_or_default().trim();
    server.end_by_token(token);
    let mut response = refuse(StatusCode::NO_CONTENT, "");
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name);
    let mut tokens = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    tokens.any(|given| given.trim().eq_ignore_ascii_case(token))
}

fn refuse(status: StatusCode, message: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(message));
    *response.status_mut() = status;
    response
}
