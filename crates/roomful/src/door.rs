//! How connections come in: each gets a place, a thread, and deadlines for everything. What a client may cost before anybody
//! knows who it is, is bounded here.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Either};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use media::Media;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::demux::{self, Opened};
use crate::error::{ApiError, Code};
use crate::host;
use crate::lease::UNSURE;
use crate::metrics::{self, Metrics};
use crate::patience::{Course, Patient};
use crate::places::Places;
use crate::rest;
use crate::rtc;
use crate::server::{Server, drained};
use crate::straight::{self, Answering, Left, Whose};
use crate::told::lane::LANE;
use crate::told::{ByNode, PUTS_FRAMES, Teller};
use crate::workers::Workers;

/// The most bytes a request's head may have, a query of the RTC API's 32 KiB in it; for what is larger hyper answers 431.
const MAX_HEAD_BYTES: usize = 40 * 1024;

/// How much of what comes is read at once, and of what goes out is gathered for one write: a page of the member list, with
/// its envelope.
const BUFFER_BYTES: usize = 64 * 1024;

/// How long to wait when no connection can be accepted: out of file descriptors, most likely.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// How often the log has it that no connections come in.
const NOTICE: Duration = Duration::from_secs(60);

/// What a client hears for which there is no place; over TLS it would not understand it.
const REFUSAL: &str = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
                       Content-Type: text/plain\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 21\r\n\r\n\
                       too many connections\n";

/// What the system keeps of a connection's bytes, each way.
const SOCKET_BYTES: u32 = 256 * 1024;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 4096;

/// What requests are served with.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) server: Arc<Server>,
    /// What records REST calls; `None` where there are none.
    pub(crate) calls: Option<Arc<Metrics>>,
    pub(crate) routes: TowerToHyperService<Router>,
    /// For the node that carries the requests here, where there is one.
    pub(crate) teller: Option<Arc<Teller>>,
}

/// Whose connection a request came on.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// A request's body, of which something may have been looked at.
pub(crate) struct Arriving {
    ahead: Bytes,
    rest: Incoming,
}

impl From<Incoming> for Arriving {
    fn from(rest: Incoming) -> Self {
        Self { ahead: Bytes::new(), rest }
    }
}

impl Arriving {
    /// All of it, if it has come with its head. It is still to be read.
    pub(crate) fn whole(&mut self) -> Option<Bytes> {
        if self.ahead.is_empty()
            && let Some(Some(Ok(frame))) = self.rest.frame().now_or_never()
        {
            self.ahead = frame.into_data().ok()?;
        }
        self.rest.is_end_stream().then(|| self.ahead.clone())
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match std::mem::take(&mut self.ahead) {
            ahead if ahead.is_empty() => Pin::new(&mut self.rest).poll_frame(cx),
            ahead => Poll::Ready(Some(Ok(Frame::data(ahead)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, ahead) = (self.rest.size_hint(), self.ahead.len() as u64);
        match rest.exact() {
            Some(rest) => SizeHint::with_exact(rest + ahead),
            None => rest,
        }
    }
}

/// A request, and how it came.
pub(crate) struct Came {
    pub(crate) request: Request<Arriving>,
    /// `None` for what came by the control socket.
    pub(crate) peer: Option<Peer>,
    pub(crate) course: Course,
    /// How this node counts it, where it is one of several.
    pub(crate) counted: Option<Counted>,
}

/// An answer on its way out.
pub(crate) type Response = hyper::Response<Either<rest::Body, axum::body::Body>>;

/// A node of several, where who answers is another question with each request.
pub(crate) trait Shared: Answering {
    /// Answers one.
    fn answer(self: Arc<Self>, came: Came) -> Pin<Box<dyn Future<Output = Response> + Send>>;
    /// True once connections are to end.
    fn ending(&self) -> watch::Receiver<bool>;
    /// Where media that comes on the same port goes, while it is here.
    fn media(&self) -> Option<Arc<Media>>;
}

/// Who answers behind a door.
#[derive(Clone)]
pub(crate) enum House {
    /// This server, whatever is asked.
    Own(Served),
    /// One of several.
    Shared(Arc<dyn Shared>),
}

impl House {
    fn ending(&self) -> watch::Receiver<bool> {
        match self {
            Self::Own(served) => served.server.draining.subscribe(),
            Self::Shared(shared) => shared.ending(),
        }
    }

    fn media(&self) -> Option<Arc<Media>> {
        match self {
            Self::Own(served) => Some(served.server.live.media().clone()),
            Self::Shared(shared) => shared.media(),
        }
    }

    /// Whether it is for the operator, and nothing but HTTP.
    fn is_plain(&self) -> bool {
        matches!(self, Self::Own(served) if served.calls.is_none())
    }

    async fn answer(&self, came: Came) -> Response {
        match self {
            Self::Own(served) => served.answer(came).await,
            Self::Shared(shared) => shared.clone().answer(came).await,
        }
    }
}

fn number<T: FromStr>(value: &HeaderValue) -> Option<T> {
    value.to_str().ok()?.parse().ok()
}

impl Served {
    /// What answers calls, where they are answered.
    pub(crate) fn here(&self) -> Option<straight::Here> {
        Some(straight::Here { server: self.server.clone(), metrics: self.calls.clone()? })
    }

    /// Answers one: REST calls directly, everything else through the routes.
    pub(crate) async fn answer(&self, mut came: Came) -> Response {
        let Self { server, calls, routes, teller } = self;
        if let Some(teller) = teller
            && let Some(node) = came.request.headers_mut().remove(&PUTS_FRAMES)
            && let Some(node) = number(&node)
        {
            let lane = came.request.headers_mut().remove(&LANE).as_ref().and_then(number);
            came.request.extensions_mut().insert(ByNode { node, teller: teller.clone(), lane });
        }
        let request = &came.request;
        let is_rtc = calls.is_some() && rtc::is_call(request);
        let is_call = calls.is_some() && request.uri().path().starts_with("/v4/");
        // An SDK sends its endpoint as it was told, a scheme before it too.
        let trouble = host::trouble(request).filter(|_| !(is_rtc && host::is_one(request)));
        let mut response = match (trouble, calls) {
            (Some(trouble), _) => host::refusal(trouble).map(Either::Right),
            (None, Some(metrics)) if is_call => {
                rest::handle(server, metrics, came.request).await.map(Either::Left)
            }
            (None, Some(_)) if is_rtc => rtc::handle(server.clone(), came.request).await.map(Either::Left),
            (None, _) => by_routes(routes, came).await,
        };
        if !server.lease.is_held_soon().await {
            response = unsure((is_call, is_rtc), UNSURE);
        }
        response
    }
}

/// Answers one through routes, which are told how it came.
pub(crate) async fn by_routes(routes: &TowerToHyperService<Router>, came: Came) -> Response {
    let Came { mut request, peer, course, counted } = came;
    let told = request.extensions_mut();
    told.insert(course);
    if let Some(peer) = peer {
        told.insert(peer);
    }
    if let Some(counted) = counted {
        told.insert(counted);
    }
    match routes.call(request).await {
        Ok(response) => response.map(Either::Right),
        Err(never) => match never {},
    }
}

/// Says to whoever asks that there is no answer, in the form in which it was asked: a REST call, one of the RTC API, or another.
pub(crate) fn unsure((is_rest, is_rtc): (bool, bool), why: &'static str) -> Response {
    match (is_rest, is_rtc) {
        (true, _) => rest::response(rest::refusal(ApiError::new(Code::Internal, why))).map(Either::Left),
        (_, true) => rtc::unavailable(why).map(Either::Left),
        _ => {
            let mut response =
                hyper::Response::new(Either::Right(axum::body::Body::from(format!("{why}\n"))));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            response
        }
    }
}

/// A connection of a member's that came in here: it is counted for as long as this is.
#[derive(Clone)]
pub(crate) struct Counted {
    _one: Arc<One>,
}

impl Counted {
    /// One more of `all`.
    pub(crate) fn of(all: &Arc<AtomicU64>) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self { _one: Arc::new(One(all.clone())) }
    }
}

struct One(Arc<AtomicU64>);

impl Drop for One {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What connections need to come in.
pub(crate) struct Door {
    pub(crate) places: Arc<Places>,
    pub(crate) workers: Workers,
}

/// Listens on `address`; `advice` is what to do when that cannot be.
pub(crate) fn listen(address: SocketAddr, advice: &str) -> anyhow::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Else the system keeps up to some megabytes for each connection whose other side does not read, or is not read.
    socket.set_send_buffer_size(SOCKET_BYTES)?;
    socket.set_recv_buffer_size(SOCKET_BYTES)?;
    socket.bind(address).with_context(|| format!("cannot listen on {address}; {advice}"))?;
    Ok(socket.listen(BACKLOG)?)
}

/// Lets connections in.
pub(crate) async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, house: House, door: Arc<Door>) {
    let (mut refused, mut failed) = (Notice::default(), Notice::default());
    loop {
        // A socket belongs to the runtime that made it, so it is handed over bare.
        let accepted = listener.accept().await;
        let accepted = accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer.ip())));
        let (mut stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                failed.warn_of(&error);
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let place = match door.places.take(address) {
            Ok(place) => place,
            Err(full) => {
                metrics::record_refused_connection(full);
                if refused.is_due() {
                    tracing::warn!(%address, limit = full.key(), "connections are refused");
                }
                if tls.is_none() {
                    let _ = stream.write(REFUSAL.as_bytes());
                }
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (house, tls, peer) = (house.clone(), tls.clone(), Peer(address));
        door.workers.spawn(async move {
            let Ok(stream) = TcpStream::from_std(stream) else { return };
            if house.is_plain() {
                return serve(Patient::new(stream, Some(place)), house, Some(peer)).await;
            }
            let media = house.media();
            match demux::open(stream, tls.as_ref(), media.as_deref()).await {
                Some(Opened::Plain(stream)) => {
                    serve(Patient::new(stream, Some(place)), house, Some(peer)).await
                }
                Some(Opened::Secure(stream)) => {
                    serve(Patient::new(stream, Some(place)), house, Some(peer)).await
                }
                None => {}
            }
        });
    }
}

/// Lets the command line in, which has no bounds: whoever may open the socket owns the data.
pub(crate) async fn accept_control(socket: UnixListener, house: House) {
    let mut failed = Notice::default();
    loop {
        match socket.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(Patient::new(stream, None), house.clone(), None))),
            Err(error) => {
                failed.warn_of(&error);
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// What is said in the log once in a while.
#[derive(Default)]
struct Notice {
    said_at: Option<Instant>,
}

impl Notice {
    fn is_due(&mut self) -> bool {
        let is_due = self.said_at.is_none_or(|said_at| said_at.elapsed() >= NOTICE);
        if is_due {
            self.said_at = Some(Instant::now());
        }
        is_due
    }

    fn warn_of(&mut self, error: &std::io::Error) {
        if self.is_due() {
            tracing::warn!(%error, "connections cannot be accepted");
        }
    }
}

/// Serves one connection. The control socket has no peer.
pub(crate) async fn serve<S>(mut stream: Patient<S>, house: House, peer: Option<Peer>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut ending = house.ending();
    let course = stream.course();
    let idle = course.clone();
    // Looked at when it is woken itself, not with everything that happens on the connection.
    let mut end: FuturesUnordered<_> = std::iter::once(async move {
        tokio::select! {
            () = drained(&mut ending) => End::Drain,
            () = idle.idle() => End::Idle,
        }
    })
    .collect();
    let is_ending = AtomicBool::new(false);
    let here = match &house {
        House::Own(served) => served.here(),
        House::Shared(_) => None,
    };
    let whose = match &house {
        House::Own(_) => here.as_ref().map(Whose::Own),
        House::Shared(shared) => Some(Whose::Shared(&**shared)),
    };
    if let Some(whose) = whose {
        let calls = straight::House { whose, is_ending: &is_ending };
        // Apart, so that a connection does not keep the room for it when it has become another's.
        let mut serving = Box::pin(straight::serve(&mut stream, calls));
        let left = tokio::select! {
            biased;
            left = serving.as_mut() => left,
            end = end.next() => match end {
                Some(End::Drain) => {
                    is_ending.store(true, Ordering::Relaxed);
                    serving.await
                }
                _ => return,
            }
        };
        if left == Left::Over {
            return;
        }
    }
    // A connection has these to itself, while what they lead to is everybody's: another core's count of it costs.
    let house = Arc::new(house);
    let service = service_fn(move |request: Request<Incoming>| {
        let (house, course) = (house.clone(), course.clone());
        course.begin();
        async move {
            let came =
                Came { request: request.map(Arriving::from), peer, course: course.clone(), counted: None };
            let mut response = house.answer(came).await;
            course.end();
            response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            Ok::<_, Infallible>(response)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let end = async {
        match is_ending.into_inner() {
            true => Some(End::Drain),
            false => end.next().await,
        }
    };
    let end = tokio::select! {
        // It takes what has come before it is told to end: it would drop what it has not looked at.
        biased;
        _ = connection.as_mut() => return,
        end = end => end,
    };
    if let Some(End::Drain) = end {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// Why a connection ends that the client has not ended.
enum End {
    Drain,
    Idle,
}
