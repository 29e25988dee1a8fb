//! What many members of another node are told goes to that node once. In each member's stream there is only its number, ten bytes
//! in place of a frame: what an owner sends of a message grows with the nodes that have listeners, hardly with the listeners.
//!
//! A number is a WebSocket frame of an opcode that is nobody's (RFC 6455 5.2), so that what is not a number passes as it is; it
//! never leaves the nodes. Frames of one connection are numbered as they are sent, from 0.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::http::HeaderName;
use bytes::Bytes;
use hashbrown::HashMap;
use metrics::{Counter, counter};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

/// A node of several, by the number of its run.
pub(crate) type Node = i64;

/// In a request that another node carries, which it names: that node puts frames in the place of their numbers.
pub(crate) const PUTS_FRAMES: HeaderName = HeaderName::from_static("roomful-puts-frames");

/// The longest frame that another node may be told once; no frame of ours is nearly as long.
pub(crate) const LONGEST: usize = 1 << 20;

/// What is shorter is sent itself.
const SHORTEST: usize = 48;

/// A whole frame of the last control opcode.
const NUMBER: u8 = 0x8f;

/// How long what it says is.
const NUMBER_BYTES: u8 = 8;

/// How many frames, and bytes of them, are known to have been told. What is older is told anew.
const MOST_TOLD: usize = 256;
const MOST_BYTES_TOLD: usize = 1 << 20;

/// The same of what is kept where they are put in: more, since a member's stream may be behind by what it can hold.
const MOST_KEPT: usize = 16 * MOST_TOLD;
const MOST_BYTES_KEPT: usize = 16 * MOST_BYTES_TOLD;

/// How many may wait to be sent.
const MOST_WAITING: usize = 64;

/// What another node has been told.
pub(crate) struct Teller {
    told: Mutex<Told>,
    queue: mpsc::Sender<Bytes>,
    frames: Counter,
    numbers: Counter,
}

#[derive(Default)]
struct Told {
    /// By where they are and how long: they stay there while they are kept here.
    numbers: HashMap<(usize, usize), u64>,
    recent: VecDeque<Bytes>,
    bytes: usize,
    next: u64,
}

fn place(frame: &Bytes) -> (usize, usize) {
    (frame.as_ptr().addr(), frame.len())
}

impl Teller {
    /// With what it has for the node, in order.
    pub(crate) fn new() -> (Arc<Self>, mpsc::Receiver<Bytes>) {
        let (queue, waiting) = mpsc::channel(MOST_WAITING);
        let teller = Self {
            told: Mutex::default(),
            queue,
            frames: counter!("roomful_cluster_frames_told_total"),
            numbers: counter!("roomful_cluster_frames_numbered_total"),
        };
        (Arc::new(teller), waiting)
    }

    /// What stands for a frame in a member's stream; the node is told the frame unless it has it. `None` where the frame itself is
    /// to be sent: it is nobody else's, or short, or the node does not take so much.
    pub(crate) fn number(&self, frame: &Bytes) -> Option<Bytes> {
        if !(SHORTEST..=LONGEST).contains(&frame.len()) || frame.is_unique() {
            return None;
        }
        let mut told = self.told.lock();
        let number = match told.numbers.get(&place(frame)) {
            Some(number) => *number,
            None => {
                self.queue.try_send(frame.clone()).ok()?;
                self.frames.increment(1);
                told.keep(frame.clone())
            }
        };
        drop(told);
        self.numbers.increment(1);
        let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
        Some(Bytes::copy_from_slice(&[NUMBER, NUMBER_BYTES, a, b, c, d, e, f, g, h]))
    }
}

impl Told {
    fn keep(&mut self, frame: Bytes) -> u64 {
        let number = self.next;
        self.next += 1;
        self.bytes += frame.len();
        self.numbers.insert(place(&frame), number);
        self.recent.push_back(frame);
        while self.recent.len() > MOST_TOLD || self.bytes > MOST_BYTES_TOLD {
            let Some(oldest) = self.recent.pop_front() else { break };
            self.bytes -= oldest.len();
            self.numbers.remove(&place(&oldest));
        }
        number
    }
}

/// What another node has told, where it is put in.
#[derive(Default)]
pub(crate) struct Heard {
    kept: Mutex<Kept>,
    more: watch::Sender<()>,
}

#[derive(Default)]
struct Kept {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// The number of the first that is kept.
    first: u64,
    is_over: bool,
}

impl Heard {
    pub(crate) fn put(&self, frame: Bytes) {
        let mut kept = self.kept.lock();
        kept.bytes += frame.len();
        kept.frames.push_back(frame);
        while kept.frames.len() > MOST_KEPT || kept.bytes > MOST_BYTES_KEPT {
            let Some(oldest) = kept.frames.pop_front() else { break };
            kept.bytes -= oldest.len();
            kept.first += 1;
        }
        drop(kept);
        self.more.send_replace(());
    }

    /// There will be no more.
    pub(crate) fn end(&self) {
        self.kept.lock().is_over = true;
        self.more.send_replace(());
    }

    /// The frame of a number, also if it is yet to come. `None` when it is not kept any more, which is to say that a member's stream
    /// is too far behind, or will not come.
    pub(crate) async fn frame(&self, number: u64) -> Option<Bytes> {
        // Nearly all are there.
        if let Some(known) = self.known(number) {
            return known;
        }
        let mut more = self.more.subscribe();
        loop {
            if let Some(known) = self.known(number) {
                return known;
            }
            more.changed().await.ok()?;
        }
    }

    /// What is known of a number: its frame, or that there is none. `None` while that may come.
    fn known(&self, number: u64) -> Option<Option<Bytes>> {
        let kept = self.kept.lock();
        let at = number.checked_sub(kept.first).and_then(|at| usize::try_from(at).ok());
        let frame = at.and_then(|at| kept.frames.get(at));
        (frame.is_some() || at.is_none() || kept.is_over).then(|| frame.cloned())
    }
}

/// How a request came here: by that node, whose members are told by its teller.
#[derive(Clone)]
pub(crate) struct ByNode {
    pub(crate) node: Node,
    pub(crate) teller: Arc<Teller>,
}

/// A stream of frames that is not one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// Finds the numbers in what another node sends for a member.
#[derive(Default)]
pub(crate) struct Numbers {
    /// What has come of a head.
    head: Vec<u8>,
    /// What is to come yet of a frame.
    left: u64,
}

impl Numbers {
    /// Moves what the member gets as it is from `bytes` to `out`, up to the next number, which is returned; all of it where there is
    /// none.
    ///
    /// # Errors
    /// When it is not what a node sends.
    pub(crate) fn next(&mut self, bytes: &mut &[u8], out: &mut Vec<u8>) -> Result<Option<u64>, Broken> {
        loop {
            let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            let (of_frame, rest) = bytes.split_at(length);
            out.extend_from_slice(of_frame);
            self.left -= length as u64;
            *bytes = rest;
            let Some((byte, rest)) = rest.split_first() else { return Ok(None) };
            self.head.push(*byte);
            *bytes = rest;
            let left = match self.head.as_slice() {
                [_, length, ..] if length & 0x80 != 0 => return Err(Broken),
                [NUMBER, length, ..] if *length != NUMBER_BYTES => return Err(Broken),
                [NUMBER, _, number @ ..] => {
                    let Ok(number) = <[u8; 8]>::try_from(number) else { continue };
                    self.head.clear();
                    return Ok(Some(u64::from_be_bytes(number)));
                }
                [_, 126, a, b] => u64::from(u16::from_be_bytes([*a, *b])),
                [_, 127, a, b, c, d, e, f, g, h] => u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
                [_, length] if *length < 126 => u64::from(*length),
                _ => continue,
            };
            out.extend_from_slice(&self.head);
            self.head.clear();
            self.left = left;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::wire;

    fn shared(length: usize) -> [Bytes; 2] {
        let frame = wire::text_frame(&"x".repeat(length));
        [frame.clone(), frame]
    }

    fn number_in(bytes: &Bytes) -> u64 {
        let mut out = Vec::new();
        let number = Numbers::default().next(&mut &bytes[..], &mut out).unwrap().unwrap();
        assert!(out.is_empty());
        number
    }

    #[test]
    fn a_frame_is_told_once_and_numbered_each_time() {
        let (teller, mut waiting) = Teller::new();
        let ([one, _kept], [two, _kept_too]) = (shared(100), shared(200));

        let numbers = [&one, &two, &one].map(|frame| number_in(&teller.number(frame).unwrap()));

        assert_eq!(numbers, [0, 1, 0]);
        assert_eq!([waiting.try_recv().unwrap(), waiting.try_recv().unwrap()], [one, two]);
        assert!(waiting.try_recv().is_err());
    }

    #[test]
    fn what_is_nobody_elses_or_short_is_sent_itself() {
        let (teller, mut waiting) = Teller::new();
        let [short, _kept] = shared(8);

        assert_eq!(teller.number(&wire::text_frame(&"x".repeat(100))), None);
        assert_eq!(teller.number(&short), None);
        assert!(waiting.try_recv().is_err());
    }

    #[test]
    fn a_node_that_does_not_take_it_is_sent_frames_and_told_no_number_twice() {
        let (teller, mut waiting) = Teller::new();
        let frames: Vec<_> = (0..MOST_WAITING + 1).map(|_| shared(100)).collect();
        let numbers: Vec<_> = frames.iter().map(|[frame, _]| teller.number(frame)).collect();
        assert_eq!(numbers.iter().filter(|number| number.is_none()).count(), 1);
        assert_eq!(number_in(numbers[MOST_WAITING - 1].as_ref().unwrap()), MOST_WAITING as u64 - 1);

        waiting.try_recv().unwrap();
        let [refused, _] = frames.last().unwrap();
        assert_eq!(number_in(&teller.number(refused).unwrap()), MOST_WAITING as u64);
    }

    #[tokio::test]
    async fn what_was_told_long_ago_is_told_anew_while_the_other_side_still_has_it() {
        let (teller, mut waiting) = Teller::new();
        let heard = Heard::default();
        let frames: Vec<_> = (0..2 * MOST_TOLD).map(|length| shared(100 + length)).collect();
        let mut first = None;
        for [frame, _] in &frames {
            let number = number_in(&teller.number(frame).unwrap());
            first = first.or(Some(number));
            heard.put(waiting.try_recv().unwrap());
            assert_eq!(heard.frame(number).await.as_ref(), Some(frame));
        }

        let [oldest, _] = &frames[0];
        let again = number_in(&teller.number(oldest).unwrap());

        assert_eq!(again, 2 * MOST_TOLD as u64);
        assert_eq!(heard.frame(first.unwrap()).await.as_ref(), Some(oldest));
    }

    #[tokio::test]
    async fn a_frame_that_is_to_come_is_waited_for_unless_none_comes_any_more() {
        let heard = Arc::new(Heard::default());
        let waits = tokio::spawn({
            let heard = heard.clone();
            async move { (heard.frame(1).await, heard.frame(2).await) }
        });
        tokio::task::yield_now().await;
        let [frame, _] = shared(100);
        heard.put(Bytes::new());
        heard.put(frame.clone());
        tokio::task::yield_now().await;
        heard.end();

        assert_eq!(waits.await.unwrap(), (Some(frame), None));
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded() {
        let heard = Heard::default();
        let frame = Bytes::from(vec![0; LONGEST]);
        for _ in 0..20 {
            heard.put(frame.clone());
        }
        assert_eq!(heard.frame(3).await, None);
        assert!(heard.frame(4).await.is_some());
        assert!(heard.kept.lock().bytes <= MOST_BYTES_KEPT);
    }

    #[test]
    fn what_no_node_sends_is_refused() {
        for broken in [&[0x81, 0x85, 1, 2, 3, 4][..], &[NUMBER, 7, 1], &[NUMBER, 126, 0, 8]] {
            assert_eq!(Numbers::default().next(&mut &*broken, &mut Vec::new()), Err(Broken), "{broken:?}");
        }
    }

    /// In whatever pieces it comes.
    #[test]
    fn a_member_gets_what_it_would_have_got() {
        for seed in 0..200 {
            let mut chance = ChaCha8Rng::seed_from_u64(seed);
            let (teller, mut waiting) = Teller::new();
            let (mut sent, mut wanted, mut told) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..chance.random_range(0..20) {
                let around = [0, 100, 126, 65_536][chance.random_range(0..4)];
                let [frame, other] = shared(around + chance.random_range(0..60));
                let _other = chance.random_bool(0.5).then_some(other);
                wanted.extend_from_slice(&frame);
                sent.extend_from_slice(&teller.number(&frame).unwrap_or(frame));
                while let Ok(frame) = waiting.try_recv() {
                    told.push(frame);
                }
            }
            let (mut numbers, mut out) = (Numbers::default(), Vec::new());
            let mut rest = sent.as_slice();
            while !rest.is_empty() {
                let longest = [3, 100, 3000][chance.random_range(0..3)];
                let (mut piece, after) = rest.split_at(chance.random_range(1..=longest).min(rest.len()));
                rest = after;
                while let Some(number) = numbers.next(&mut piece, &mut out).unwrap() {
                    out.extend_from_slice(&told[usize::try_from(number).unwrap()]);
                }
                assert!(piece.is_empty());
            }
            assert!(out == wanted, "seed {seed}");
        }
    }
}
