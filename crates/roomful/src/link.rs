//! What waits for a connection, and how it is ended: between those who have something for a member, in whichever thread, and the
//! task that writes to it.
//!
//! A queue takes up room while something waits in it: most members' are empty nearly all the time.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use rooms::{Message, RoomId};
use tokio::sync::Notify;

use crate::events;
use crate::wire;

/// How many frames may wait for one connection; a client that lets more pile up is disconnected.
const MOST_FRAMES: usize = 256;

/// How many bytes of them may. A frame is shared by all who get it, but the last of them has it alone.
const MOST_BYTES: usize = 1024 * 1024;

/// For how many frames an empty queue keeps its room.
const KEPT: usize = 4;

/// Something to send to a client.
#[derive(Clone)]
pub(crate) struct Frame {
    /// A whole WebSocket frame, made once for all who get it.
    pub(crate) wire: Bytes,
    /// For a room's message: which room's, and its number.
    pub(crate) message: Option<(RoomId, u64)>,
}

impl Frame {
    /// An event or answer.
    pub(crate) fn text(json: &str) -> Self {
        Self::of([json])
    }

    /// A text in pieces.
    pub(crate) fn of<const N: usize>(pieces: [&str; N]) -> Self {
        Self { wire: wire::text_frame_of(pieces), message: None }
    }

    pub(crate) fn message(room_id: &RoomId, message: &Message) -> Self {
        let wire = wire::text_frame(&events::message(room_id, message));
        Self { wire, message: Some((room_id.clone(), message.seq)) }
    }
}

/// Why the server ends a connection: the WebSocket status and its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Close {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
}

impl Close {
    pub(crate) const RESTART: Self =
        Self { status: 1012, reason: "the server restarts; connect again and resume" };
    pub(crate) const RESUMED: Self = Self { status: 4001, reason: "resumed on another connection" };
    pub(crate) const NO_LOGIN: Self = Self { status: 4002, reason: "no login within 10 s" };
    pub(crate) const TOO_SLOW: Self =
        Self { status: 4003, reason: "too slow: frames piled up; resume to go on" };
    pub(crate) const SILENT: Self = Self { status: 4004, reason: "nothing was heard; resume to go on" };
    pub(crate) const ACCOUNT_DELETED: Self = Self { status: 4005, reason: "the account was deleted" };
    pub(crate) const SIG_EXPIRED: Self =
        Self { status: 4006, reason: "the UserSig has expired; log in with a new one" };
    pub(crate) const KEY_CHANGED: Self =
        Self { status: 4007, reason: "the app has another SecretKey; log in with a UserSig of that" };
    pub(crate) const REPLACED: Self =
        Self { status: 4008, reason: "too many sessions: another login of this user took the place" };
    pub(crate) const NO_MORE_LOGINS: Self = Self { status: 4009, reason: "too many logins that failed" };
    pub(crate) const LEFT: Self = Self { status: 4010, reason: "the session was ended by POST /v1/leave" };
    pub(crate) const TOO_BIG: Self = Self { status: 1009, reason: "a frame may have at most 64 KiB" };
    pub(crate) const TOO_MUCH: Self =
        Self { status: 1009, reason: "before its login a connection may send at most 8 KiB" };
    pub(crate) const PROTOCOL: Self =
        Self { status: 1002, reason: "a frame is no WebSocket frame of a client" };
    pub(crate) const NOT_UTF8: Self = Self { status: 1007, reason: "a text frame must be UTF-8" };
}

impl Close {
    /// Whether it says that what came cannot be read, nor what comes after it.
    pub(crate) fn is_of_broken_frames(&self) -> bool {
        [Self::TOO_BIG, Self::TOO_MUCH, Self::PROTOCOL, Self::NOT_UTF8].contains(self)
    }
}

/// Ends a connection from outside its task, even one that is stuck writing.
#[derive(Default)]
pub(crate) struct Closer {
    notify: Notify,
    why: Mutex<Option<Close>>,
}

impl Closer {
    pub(crate) fn close(&self, why: Close) {
        self.why.lock().get_or_insert(why);
        self.notify.notify_one();
    }

    /// Resolves once the connection is to be closed.
    pub(crate) async fn closed(&self) -> Close {
        loop {
            let why = *self.why.lock();
            if let Some(why) = why {
                return why;
            }
            self.notify.notified().await;
        }
    }
}

/// The connection a session is attached to, on the session's side.
#[derive(Default)]
pub(crate) struct Link {
    queue: Option<Sender>,
    closer: Arc<Closer>,
}

impl Link {
    /// A frame is to be written. A connection that does not keep up is closed.
    pub(crate) fn push(&mut self, frame: Frame) {
        match self.queue.as_ref().map(|queue| queue.push(frame)) {
            None | Some(Pushed::Waits) => {}
            Some(Pushed::IsGone) => self.give_up(),
            Some(Pushed::IsTooMuch) => {
                self.give_up();
                self.close(Close::TOO_SLOW);
                metrics::counter!("roomful_slow_members_total").increment(1);
            }
        }
    }

    /// What it has missed, beside what may wait otherwise.
    pub(crate) fn push_missed(&mut self, frame: Frame) {
        if let Some(queue) = &self.queue {
            let mut waiting = queue.0.lock();
            waiting.most_bytes = waiting.most_bytes.saturating_add(frame.wire.len());
        }
        self.push(frame);
    }

    /// Nothing more is for it: what waits already is still written.
    pub(crate) fn give_up(&mut self) {
        self.queue = None;
    }

    /// Ends it.
    pub(crate) fn close(&self, why: Close) {
        self.closer.close(why);
    }

    /// Another connection takes the place of the one before. Whatever a client has missed fits its queue, for it is drained only
    /// when it has been told where it is.
    pub(crate) fn replace(&mut self, closer: Arc<Closer>, rooms: usize) -> Outbox {
        self.close(Close::RESUMED);
        let queue = Arc::new(Mutex::new(Waiting {
            frames: VecDeque::new(),
            bytes: 0,
            most_frames: MOST_FRAMES.saturating_add(rooms.saturating_mul(rooms::RECENT_MESSAGES)),
            most_bytes: MOST_BYTES,
            writer: None,
            is_given_up: false,
        }));
        *self = Self { queue: Some(Sender(queue.clone())), closer };
        Outbox(queue)
    }
}

/// Its lock is taken under a session's, and no other under it.
type Queue = Arc<Mutex<Waiting>>;

struct Waiting {
    frames: VecDeque<Frame>,
    bytes: usize,
    most_frames: usize,
    most_bytes: usize,
    /// The task that waits for the next frame.
    writer: Option<Waker>,
    /// By either side.
    is_given_up: bool,
}

enum Pushed {
    Waits,
    IsGone,
    IsTooMuch,
}

/// The end that frames are put into.
struct Sender(Queue);

impl Sender {
    fn push(&self, frame: Frame) -> Pushed {
        let mut waiting = self.0.lock();
        if waiting.is_given_up {
            return Pushed::IsGone;
        }
        if waiting.frames.len() >= waiting.most_frames {
            return Pushed::IsTooMuch;
        }
        waiting.bytes += frame.wire.len();
        waiting.frames.push_back(frame);
        let is_too_much = waiting.bytes > waiting.most_bytes;
        wake(waiting);
        if is_too_much { Pushed::IsTooMuch } else { Pushed::Waits }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.is_given_up = true;
        wake(waiting);
    }
}

/// Lets go of the lock, and wakes the task that waits.
fn wake(mut waiting: MutexGuard<'_, Waiting>) {
    let writer = waiting.writer.take();
    drop(waiting);
    if let Some(writer) = writer {
        writer.wake();
    }
}

/// What waits for a connection, on its side.
pub(crate) struct Outbox(Queue);

impl Outbox {
    /// The next frame; `None` when the queue was given up.
    pub(crate) async fn recv(&mut self) -> Option<Frame> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Option<Frame>> {
        let mut waiting = self.0.lock();
        let Some(frame) = waiting.frames.pop_front() else {
            if waiting.is_given_up {
                return Poll::Ready(None);
            }
            if !waiting.writer.as_ref().is_some_and(|writer| writer.will_wake(context.waker())) {
                waiting.writer = Some(context.waker().clone());
            }
            return Poll::Pending;
        };
        waiting.bytes -= frame.wire.len();
        if waiting.frames.is_empty() && waiting.frames.capacity() > KEPT {
            waiting.frames = VecDeque::new();
        }
        Poll::Ready(Some(frame))
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.is_given_up = true;
        // The task is not kept for the sake of its waker.
        let rest = (std::mem::take(&mut waiting.frames), waiting.writer.take());
        drop(waiting);
        drop(rest);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A frame of so many bytes.
    fn frame(bytes: usize) -> Frame {
        Frame { wire: vec![0; bytes].into(), message: None }
    }

    fn is_closed(closer: &Closer) -> bool {
        *closer.why.lock() == Some(Close::TOO_SLOW)
    }

    #[tokio::test]
    async fn what_waits_for_a_connection_is_bounded_in_frames_and_in_bytes() {
        for (bytes, most) in [(12_000, MOST_BYTES / 12_000), (10, MOST_FRAMES)] {
            let (mut link, closer) = (Link::default(), Arc::new(Closer::default()));
            let mut outbox = link.replace(closer.clone(), 0);

            // What is taken makes room again.
            for _ in 0..3 {
                (0..most).for_each(|_| link.push(frame(bytes)));
                for _ in 0..most {
                    outbox.recv().await.unwrap();
                }
            }
            (0..most).for_each(|_| link.push(frame(bytes)));
            assert!(!is_closed(&closer), "{bytes}");
            link.push(frame(bytes));

            assert!(is_closed(&closer), "{bytes}");
        }
    }

    #[tokio::test]
    async fn what_was_missed_takes_no_room_from_what_comes() {
        let (mut link, closer) = (Link::default(), Arc::new(Closer::default()));
        let _outbox = link.replace(closer.clone(), 2);

        (0..2 * rooms::RECENT_MESSAGES).for_each(|_| link.push_missed(frame(12_000)));
        (0..MOST_BYTES / 12_000).for_each(|_| link.push(frame(12_000)));
        assert!(!is_closed(&closer));
        link.push(frame(12_000));

        assert!(is_closed(&closer));
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_a_frame_and_by_the_end() {
        let mut link = Link::default();
        let mut outbox = link.replace(Arc::default(), 0);
        let taken = tokio::spawn(async move {
            let mut sizes = Vec::new();
            while let Some(frame) = outbox.recv().await {
                sizes.push(frame.wire.len());
            }
            sizes
        });

        for bytes in 1..4 {
            tokio::task::yield_now().await;
            link.push(frame(bytes));
        }
        link.push(frame(4));
        link.give_up();
        link.push(frame(5));

        let taken = tokio::time::timeout(Duration::from_secs(5), taken).await;
        assert_eq!(taken.expect("it was woken").unwrap(), [1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn a_connection_that_has_gone_is_told_nothing_and_not_called_slow() {
        let (mut link, closer) = (Link::default(), Arc::new(Closer::default()));
        drop(link.replace(closer.clone(), 0));

        (0..2 * MOST_FRAMES).for_each(|_| link.push(frame(12_000)));

        assert!(!is_closed(&closer) && link.queue.is_none());
    }

    #[tokio::test]
    async fn an_empty_queue_takes_up_no_room_for_what_has_waited() {
        let mut link = Link::default();
        let mut outbox = link.replace(Arc::default(), 0);
        (0..MOST_FRAMES).for_each(|_| link.push(frame(10)));
        for _ in 0..MOST_FRAMES {
            outbox.recv().await.unwrap();
        }

        assert!(outbox.0.lock().frames.capacity() <= KEPT);
        assert_eq!(outbox.0.lock().bytes, 0);
    }
}
