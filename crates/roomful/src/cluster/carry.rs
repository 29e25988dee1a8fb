//! One request on its way to another node, and its answer back; when both sides want a WebSocket of it, what follows as well.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::Either;
use hyper::header::{HOST, HeaderValue};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf, copy_buf, split};
use tokio::sync::watch;
use tokio::time::timeout;

use super::mesh::Stream;
use crate::door::{Came, Counted, Response};
use crate::patience::Course;
use crate::server::drained;
use crate::told::{Heard, Node, Numbers, PUTS_FRAMES};

/// How much of a conversation is read at once, each way.
const BUFFER: usize = 8 << 10;

/// How long the two sides of a conversation may take to end.
const END: Duration = Duration::from_secs(5);

/// Sends a request over a stream that waits for it, from the node `me`.
///
/// # Errors
/// When the other side has not answered: nobody knows what has become of it.
pub(super) async fn carry(
    (stream, heard): (Stream, Arc<Heard>),
    me: Node,
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
    // Said by this node alone, whatever a client says.
    request.headers_mut().insert(PUTS_FRAMES, HeaderValue::from(me));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    let mut response = sender.send_request(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let there = hyper::upgrade::on(&mut response);
        tokio::spawn(converse(here, (there, heard), course, ending, counted));
    }
    Ok(response.map(|body| Either::Right(Body::new(body))))
}

/// Carries what follows, both ways, until one side ends or this node does.
async fn converse(
    here: OnUpgrade,
    (there, heard): (OnUpgrade, Arc<Heard>),
    course: Course,
    mut ending: watch::Receiver<bool>,
    _counted: Option<Counted>,
) {
    let (Ok(here), Ok(there)) = tokio::join!(here, there) else { return };
    // From here on silence is what ends it, and the other side looks after that.
    course.lift();
    let (from_client, mut to_client) = split(TokioIo::new(here));
    let (mut from_node, mut to_node) = split(TokioIo::new(there));
    let both = async {
        let up = async {
            copy_buf(&mut BufReader::with_capacity(BUFFER, from_client), &mut to_node).await?;
            to_node.shutdown().await
        };
        let down = async {
            deliver(&mut from_node, &mut to_client, &heard).await?;
            to_client.shutdown().await
        };
        tokio::try_join!(up, down)
    };
    tokio::select! {
        _ = both => {}
        () = drained(&mut ending) => {}
    }
    let _ = timeout(END, async { tokio::join!(to_node.shutdown(), to_client.shutdown()) }).await;
}

/// Carries what a node sends for a member, with frames in the place of their numbers.
async fn deliver(
    from_node: &mut ReadHalf<TokioIo<Upgraded>>,
    to_client: &mut WriteHalf<TokioIo<Upgraded>>,
    heard: &Heard,
) -> io::Result<()> {
    let broken = |why: &'static str| io::Error::new(io::ErrorKind::InvalidData, why);
    let (mut numbers, mut buffer, mut out) = (Numbers::default(), vec![0; BUFFER], Vec::new());
    loop {
        let read = from_node.read(&mut buffer).await?;
        let mut rest = buffer.get(..read).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        while let Some(number) =
            numbers.next(&mut rest, &mut out).map_err(|_| broken("no frames of a node"))?
        {
            let frame = heard.frame(number).await.ok_or_else(|| broken("too far behind"))?;
            out.extend_from_slice(&frame);
            if out.len() >= BUFFER {
                to_client.write_all(&out).await?;
                out.clear();
            }
        }
        to_client.write_all(&out).await?;
        to_client.flush().await?;
        out.clear();
        // After a large frame it would be kept for as long as the member is there.
        out.shrink_to(BUFFER);
    }
}
