//! The stream below a client's WebSocket. Until the client has logged in, little is read from it: what it sends has to be
//! kept until a frame is whole, and nobody knows yet whose memory that is. Then it is read no faster than its user may send,
//! so that frames which never become a message are not free either.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How much may come until a frame has been answered.
const BYTES_BEFORE_LOGIN: usize = 8 * 1024;

/// A stream of which little is read at first.
pub(super) struct Entrance {
    stream: TokioIo<Upgraded>,
    /// How much may yet come before the login; `None` after it.
    left: Option<usize>,
    pace: Option<Pace>,
    written: u64,
}

/// For how many seconds' worth a connection may save up: more than its user, who is refused first.
const SAVED_SECONDS: f64 = 4.0;

/// What a connection may read.
struct Pace {
    rate: f64,
    level: f64,
    at: Instant,
    rest: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(cx));
            self.rest = None;
        }
        if self.level > 0.0 {
            return Poll::Ready(());
        }
        let now = Instant::now();
        let more = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        (self.level, self.at) = ((self.level + more).min(SAVED_SECONDS * self.rate), now);
        if self.level > 0.0 {
            return Poll::Ready(());
        }
        let missing = Duration::from_secs_f64(-self.level / self.rate);
        let mut rest = Box::pin(sleep(missing + Duration::from_millis(10)));
        let polled = rest.as_mut().poll(cx);
        self.rest = polled.is_pending().then_some(rest);
        polled
    }
}

impl Entrance {
    pub(super) fn new(stream: TokioIo<Upgraded>) -> Self {
        Self { stream, left: Some(BYTES_BEFORE_LOGIN), pace: None, written: 0 }
    }

    /// A frame was answered: the next may be as long.
    pub(super) fn begin_anew(&mut self) {
        self.left = self.left.map(|_| BYTES_BEFORE_LOGIN);
    }

    /// The client has logged in, and may send so many bytes a second; 0 is no limit.
    pub(super) fn open(&mut self, bytes_per_second: u32) {
        self.left = None;
        let rate = f64::from(bytes_per_second);
        let full = || Pace { rate, level: SAVED_SECONDS * rate, at: Instant::now(), rest: None };
        self.pace = (bytes_per_second > 0).then(full);
    }

    /// How many bytes were written to it.
    pub(super) fn written(&self) -> u64 {
        self.written
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
        if self.left == Some(0) {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::QuotaExceeded)));
        }
        if let Some(pace) = &mut self.pace {
            ready!(pace.poll(cx));
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let read = buffer.filled().len() - before;
        self.left = self.left.map(|left| left.saturating_sub(read));
        if let Some(pace) = &mut self.pace {
            pace.level -= read as f64;
        }
        result
    }
}

impl AsyncWrite for Entrance {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.written += written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
