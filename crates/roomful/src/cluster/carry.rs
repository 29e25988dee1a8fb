//! One request on its way to another node, and its answer back; when both sides want a WebSocket of it, what follows as well.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::Either;
use hyper::header::{HOST, HeaderValue, UPGRADE};
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
use crate::told::lane::{LANE, Merged, Next, Puts};
use crate::told::{Heard, Node, PUTS_FRAMES};

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
    let lane = request.headers().contains_key(UPGRADE).then(|| OwnLane::begin(heard));
    match &lane {
        Some(lane) => request.headers_mut().insert(LANE, HeaderValue::from(lane.id)),
        None => request.headers_mut().remove(LANE),
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    let mut response = sender.send_request(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(lane) = lane
    {
        let there = hyper::upgrade::on(&mut response);
        tokio::spawn(converse(here, (there, lane), course, ending, counted));
    }
    Ok(response.map(|body| Either::Right(Body::new(body))))
}

/// A stream, as the node that writes it is told to put frames into it.
struct OwnLane {
    id: u32,
    puts: Arc<Puts>,
    heard: Arc<Heard>,
}

impl OwnLane {
    fn begin(heard: Arc<Heard>) -> Self {
        let (id, puts) = heard.lanes.begin();
        Self { id, puts, heard }
    }
}

impl Drop for OwnLane {
    fn drop(&mut self) {
        self.heard.lanes.end_of(self.id);
    }
}

/// Carries what follows, both ways, until one side ends or this node does.
async fn converse(
    here: OnUpgrade,
    (there, lane): (OnUpgrade, OwnLane),
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
            deliver(&mut from_node, &mut to_client, &lane).await?;
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

/// Carries what a node sends for a member, with frames where they go.
async fn deliver(
    from_node: &mut ReadHalf<TokioIo<Upgraded>>,
    to_client: &mut WriteHalf<TokioIo<Upgraded>>,
    lane: &OwnLane,
) -> io::Result<()> {
    let broken = |why: &'static str| io::Error::new(io::ErrorKind::InvalidData, why);
    let (mut merged, mut buffer, mut out) = (Merged::default(), vec![0; BUFFER], Vec::new());
    // What is left of what was read.
    let mut left = 0..0;
    loop {
        loop {
            let mut rest = buffer.get(left.clone()).unwrap_or_default();
            let next = merged.next(&mut rest, &lane.puts, &mut out);
            left.start = left.end - rest.len();
            let Next::Frame(number) = next.map_err(|_| broken("no frames of a node, or some are missing"))?
            else {
                break;
            };
            let frame = lane.heard.frame(number).await.ok_or_else(|| broken("too far behind"))?;
            out.extend_from_slice(&frame);
            if out.len() >= BUFFER {
                to_client.write_all(&out).await?;
                out.clear();
            }
        }
        if !out.is_empty() {
            to_client.write_all(&out).await?;
            to_client.flush().await?;
            out.clear();
            // After a large frame it would be kept for as long as the member is there.
            out.shrink_to(BUFFER);
        }
        tokio::select! {
            read = from_node.read(&mut buffer), if left.is_empty() => match read? {
                0 => return Ok(()),
                read => left = 0..read,
            },
            () = lane.puts.more() => {}
        }
    }
}
