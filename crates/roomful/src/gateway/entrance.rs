//! The stream below a client's WebSocket. Until the client has logged in, little is read from it: what it sends has to be
//! kept until a frame is whole, and nobody knows yet whose memory that is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much may come until a frame has been answered.
const BYTES_BEFORE_LOGIN: usize = 8 * 1024;

/// A stream of which little is read at first.
pub(super) struct Entrance {
    stream: TokioIo<Upgraded>,
    /// How much may yet come; `None` is any amount.
    left: Option<usize>,
}

impl Entrance {
    pub(super) fn new(stream: TokioIo<Upgraded>) -> Self {
        Self { stream, left: Some(BYTES_BEFORE_LOGIN) }
    }

    /// A frame was answered: the next may be as long.
    pub(super) fn begin_anew(&mut self) {
        self.left = self.left.map(|_| BYTES_BEFORE_LOGIN);
    }

    /// The client has logged in.
    pub(super) fn open(&mut self) {
        self.left = None;
    }

    /// Whether more came than may.
    pub(super) fn is_exhausted(&self) -> bool {
        self.left == Some(0)
    }
}

impl AsyncRead for Entrance {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(left) = self.left else { return Pin::new(&mut self.stream).poll_read(cx, buffer) };
        if left == 0 {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::QuotaExceeded)));
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.left = Some(left.saturating_sub(buffer.filled().len() - before));
        result
    }
}

impl AsyncWrite for Entrance {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
