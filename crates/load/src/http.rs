//! One HTTP exchange on a connection of its own.

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// The request by which media are offered to a server, by WHIP or WHEP (RFC 9725 4.2), with a user's sig as its token.
///
/// # Errors
/// When the path or the sig cannot be part of one.
pub fn post_offer(host: &str, path: &str, sig: &str, offer: String) -> anyhow::Result<Request<Full<Bytes>>> {
    let request = Request::post(path)
        .header("Host", host)
        .header("Content-Type", "application/sdp")
        .header("Authorization", format!("Bearer {sig}"));
    Ok(request.body(Full::from(offer))?)
}

/// Sends a request, and returns what is answered.
///
/// # Errors
/// When no answer comes.
pub async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driven = tokio::spawn(connection);
    let response = sender.send_request(request).await.context("the server did not answer")?;
    let status = response.status();
    let body = response.into_body().collect().await.context("the answer was cut off")?.to_bytes();
    driven.abort();
    Ok((status, body))
}
