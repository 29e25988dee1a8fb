//! A client's stream, and for how long the server bears with one that asks for nothing, or does not take what it asked for.
//!
//! Whoever asks for nothing for [`HEAD_TIMEOUT`] is cut off: one timer a connection looks, and a request only notes when it was.
//! Whoever takes nothing, or next to nothing, for [`WINDOW`] while something waits to be written is cut off. What is
//! taken at once, which is nearly everything, costs no timer. At the end, what the client still sends is read for a
//! moment and dropped: closing at once would reset the connection, and the answer might be lost.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::places::Place;

/// How long a client may take from one request to the end of the next one's head. Longer than proxies keep a connection
/// on which nothing is asked, so that they are the ones who close it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(65);

/// In every such time of waiting ...
const WINDOW: Duration = Duration::from_secs(30);

/// ... so much has to be taken.
const LEAST_BYTES: usize = 32 * 1024;

/// How long the client may take to close its side as well.
const LINGER: Duration = Duration::from_secs(1);

/// A stream with its place.
pub(crate) struct Patient<S> {
    stream: S,
    /// What was read and given back: it comes again, before all else.
    ahead: Bytes,
    /// Made when something has to be waited for, and kept.
    timer: Option<Pin<Box<Sleep>>>,
    state: State,
    course: Course,
    /// `None` on the control socket.
    _place: Option<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing waits to be written.
    Idle,
    /// Something does; so many bytes were taken in this window.
    Waiting(usize),
    /// Our side is closed.
    Lingering,
}

/// What goes on on a connection, as far as its deadlines need to know: shared by its stream and by what serves it.
#[derive(Clone)]
pub(crate) struct Course(Arc<Times>);

struct Times {
    start: Instant,
    /// Milliseconds from the start until the client was last served; [`BUSY`] while it is.
    served_at: AtomicU64,
    is_endless: AtomicBool,
}

const BUSY: u64 = u64::MAX;

impl Default for Course {
    fn default() -> Self {
        Self(Arc::new(Times {
            start: Instant::now(),
            served_at: AtomicU64::new(0),
            is_endless: AtomicBool::new(false),
        }))
    }
}

impl Course {
    /// Lifts the limit on writing: for what becomes a WebSocket, which has a rule of its own.
    pub(crate) fn lift(&self) {
        self.0.is_endless.store(true, Ordering::Relaxed);
    }

    fn is_endless(&self) -> bool {
        self.0.is_endless.load(Ordering::Relaxed)
    }

    /// A request has come, or something waits to be taken.
    pub(crate) fn begin(&self) {
        self.0.served_at.store(BUSY, Ordering::Relaxed);
    }

    /// It is answered, or taken: from now on the client may ask.
    pub(crate) fn end(&self) {
        self.0.served_at.store(self.now(), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(BUSY - 1)
    }

    /// Resolves when the client has asked for nothing for too long.
    pub(crate) async fn idle(&self) {
        loop {
            let served_at = self.0.served_at.load(Ordering::Relaxed);
            let since = Duration::from_millis(self.now().saturating_sub(served_at));
            if served_at != BUSY && since >= HEAD_TIMEOUT {
                return;
            }
            sleep(HEAD_TIMEOUT - since).await;
        }
    }
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, place: Option<Place>) -> Self {
        Self {
            stream,
            ahead: Bytes::new(),
            timer: None,
            state: State::Idle,
            course: Course::default(),
            _place: place,
        }
    }

    /// What was read is to be read again.
    pub(crate) fn unread(&mut self, bytes: Bytes) {
        self.ahead = bytes;
    }

    pub(crate) fn course(&self) -> Course {
        self.course.clone()
    }

    fn set_timer(&mut self, time: Duration) {
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(Instant::now() + time),
            None => self.timer = Some(Box::pin(sleep(time))),
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(cx))
    }

    /// What a write came to, unless it has waited for too long.
    fn bear_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
        taken: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match &result {
            Poll::Ready(Ok(done)) => {
                if let State::Waiting(so_far) = &mut self.state {
                    *so_far = so_far.saturating_add(taken(done));
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                if self.course.is_endless() {
                    return result;
                }
                if self.state == State::Idle {
                    self.state = State::Waiting(0);
                    self.course.begin();
                    self.set_timer(WINDOW);
                }
                while self.poll_timer(cx).is_ready() {
                    if matches!(self.state, State::Waiting(taken) if taken < LEAST_BYTES) {
                        let trouble = "the client does not take what it asked for";
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, trouble)));
                    }
                    self.state = State::Waiting(0);
                    self.set_timer(WINDOW);
                }
            }
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead.split_to(count));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.bear_with(cx, result, |written| *written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.bear_with(cx, result, |written| *written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        if self.state != State::Idle && matches!(result, Poll::Ready(Ok(()))) {
            self.state = State::Idle;
            self.course.end();
        }
        self.bear_with(cx, result, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state != State::Lingering {
            let result = Pin::new(&mut self.stream).poll_shutdown(cx);
            ready!(self.bear_with(cx, result, |()| 0))?;
            self.state = State::Lingering;
            self.set_timer(LINGER);
        }
        let mut dropped = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut dropped);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && self.poll_timer(cx).is_pending() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return self.poll_timer(cx).map(Ok),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_given_back_is_read_again_and_then_what_follows() {
        use tokio::io::AsyncReadExt as _;

        let mut stream = Patient::new(&b"third"[..], None);
        stream.unread(Bytes::from_static(b"first second "));

        let mut few = [0; 6];
        stream.read_exact(&mut few).await.unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();

        assert_eq!((&few, rest.as_str()), (b"first ", "second third"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_nothing_is_cut_off_and_who_is_served_is_not() {
        let (course, began) = (Course::default(), Instant::now());
        let watched = course.clone();
        let idle = tokio::spawn(async move {
            watched.idle().await;
            began.elapsed()
        });

        sleep(Duration::from_secs(60)).await;
        course.begin();
        sleep(Duration::from_secs(100)).await;
        course.end();
        sleep(Duration::from_secs(60)).await;
        course.begin();
        course.end();

        let lasted = idle.await.unwrap();
        assert_eq!(lasted.as_secs(), 60 + 100 + 60 + HEAD_TIMEOUT.as_secs());
    }
}
