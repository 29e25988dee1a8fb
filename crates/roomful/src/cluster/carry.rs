//! One request on its way to another node, and its answer back; when both sides want a WebSocket of it, what follows as well.

use std::time::Duration;

use axum::body::Body;
use http_body_util::Either;
use hyper::header::{HOST, HeaderValue};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional_with_sizes};
use tokio::sync::watch;

use super::mesh::Stream;
use crate::door::{Came, Counted, Response};
use crate::patience::Course;
use crate::server::drained;

/// How much of a conversation is read at once, each way.
const BUFFER: usize = 8 << 10;

/// How long the two sides of a conversation may take to end.
const END: Duration = Duration::from_secs(5);

/// Sends a request over a stream that waits for it.
///
/// # Errors
/// When the other side has not answered: nobody knows what has become of it.
pub(super) async fn carry(
    stream: Stream,
    came: Came,
    ending: watch::Receiver<bool>,
) -> anyhow::Result<Response> {
    let Came { mut request, course, counted, .. } = came;
    let here = hyper::upgrade::on(&mut request);
    *request.extensions_mut() = hyper::http::Extensions::new();
    if request.version() == Version::HTTP_10 {
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().entry(HOST).or_insert(HeaderValue::from_static(""));
    }
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    let mut response = sender.send_request(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let there = hyper::upgrade::on(&mut response);
        tokio::spawn(converse(here, there, course, ending, counted));
    }
    Ok(response.map(|body| Either::Right(Body::new(body))))
}

/// Carries what follows, both ways, until one side ends or this node does.
async fn converse(
    here: OnUpgrade,
    there: OnUpgrade,
    course: Course,
    mut ending: watch::Receiver<bool>,
    _counted: Option<Counted>,
) {
    let (Ok(here), Ok(there)) = tokio::join!(here, there) else { return };
    // From here on silence is what ends it, and the other side looks after that.
    course.lift();
    let (mut here, mut there) = (TokioIo::new(here), TokioIo::new(there));
    let both = copy_bidirectional_with_sizes(&mut here, &mut there, BUFFER, BUFFER);
    tokio::select! {
        _ = both => {}
        () = drained(&mut ending) => {}
    }
    let end = async |side: &mut TokioIo<Upgraded>| side.shutdown().await;
    let _ = tokio::time::timeout(END, async { tokio::join!(end(&mut there), end(&mut here)) }).await;
}
