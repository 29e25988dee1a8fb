//! One port for everything, so that one open port is enough: HTTP, TLS, the relay (TURN, by itself or in TLS) and ICE-TCP are
//! told apart by the first bytes of a connection.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::header::{CONNECTION, HOST, LOCATION};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use media::{Media, Opening};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::host;

/// How TLS's clients say that they want the relay (RFC 7443).
pub(crate) const TURN: &[u8] = b"stun.turn";

/// How long a client may take for its first bytes, and for a TLS handshake.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The first byte of a TLS connection: a handshake (RFC 8446 5.1).
const HANDSHAKE: u8 = 22;

/// What is below is no letter: STUN's requests begin so, and the lengths before ICE-TCP's.
const LETTERS: u8 = 0x08;

/// A connection for HTTP.
pub(crate) enum Opened {
    Plain(TcpStream),
    /// What reads past its small buffer costs no copy.
    Secure(Box<BufReader<TlsStream<TcpStream>>>),
}

/// Looks at what a connection begins with. One that is not for HTTP is served here until it ends; then it is `None`. Where there is
/// no media, only HTTP is.
pub(crate) async fn open(
    stream: TcpStream,
    tls: Option<&TlsAcceptor>,
    media: Option<&Media>,
) -> Option<Opened> {
    let mut first = [0];
    let peeked = tokio::time::timeout(TIMEOUT, stream.peek(&mut first)).await;
    let [first] = peeked.ok()?.ok().filter(|count| *count > 0).map(|_| first)?;
    match (first, tls) {
        (HANDSHAKE, Some(tls)) => open_secure(stream, tls, media).await,
        (..LETTERS, _) => {
            serve_media(stream, media?).await;
            None
        }
        (_, None) => Some(Opened::Plain(stream)),
        (_, Some(_)) => {
            redirect(stream).await;
            None
        }
    }
}

async fn open_secure(stream: TcpStream, tls: &TlsAcceptor, media: Option<&Media>) -> Option<Opened> {
    let remote = stream.peer_addr().ok()?;
    let stream = tokio::time::timeout(TIMEOUT, tls.accept(stream)).await.ok()?.ok()?;
    let protocol = stream.get_ref().1.alpn_protocol().map(|protocol| protocol == TURN);
    let mut stream = Box::new(BufReader::with_capacity(16, stream));
    let is_turn = match protocol {
        Some(is_turn) => is_turn,
        // Browsers name none for the relay, and some programs none for HTTP.
        None => {
            let first = tokio::time::timeout(TIMEOUT, stream.fill_buf()).await.ok()?.ok()?;
            *first.first()? < LETTERS
        }
    };
    if is_turn {
        media?.relay(stream, remote, Vec::new()).await;
        return None;
    }
    Some(Opened::Secure(stream))
}

/// The relay, or a connection's media, without TLS.
async fn serve_media(mut stream: TcpStream, media: &Media) {
    let mut head = [0; media::OPENING];
    let read = tokio::time::timeout(TIMEOUT, stream.read_exact(&mut head)).await;
    let Ok(remote) = stream.peer_addr() else { return };
    match media::opening(&head).filter(|_| matches!(read, Ok(Ok(_)))) {
        Some(Opening::Turn) => media.relay(stream, remote, head.into()).await,
        Some(Opening::Ice) => media.introduce(stream, &head).await,
        None => {}
    }
}

/// HTTP without TLS where there is TLS: the one answer is where to go.
async fn redirect(stream: TcpStream) {
    let service = service_fn(|request: Request<Incoming>| async move {
        let mut response = Response::new(Empty::<Bytes>::new());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        let host = request.headers().get(HOST).filter(|_| host::trouble(&request).is_none());
        let host = host.and_then(|host| host.to_str().ok()).filter(|host| !host.is_empty());
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let place = host.map(|host| HeaderValue::try_from(format!("https://{host}{path}")));
        if let Some(Ok(place)) = place {
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(LOCATION, place);
        }
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        Ok::<_, Infallible>(response)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(TIMEOUT)
        .keep_alive(false)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), service);
    let _ = tokio::time::timeout(2 * TIMEOUT, connection).await;
}
