//! What many members of another node are told goes to that node once, and behind it into whose streams it is to be put (`lane.rs`), eight
//! bytes a member: what an owner sends of a message grows with the nodes that have listeners, hardly with the listeners. Frames of
//! one connection are numbered as they are sent, from 0. Where a node does not take that beside the streams, a member's stream has the
//! number in place of the frame (`words.rs`).

pub(crate) mod lane;
pub(crate) mod words;

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use axum::http::HeaderName;
use bytes::Bytes;
use hashbrown::HashMap;
use metrics::{Counter, counter};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use lane::{Lane, Lanes};
use words::{Broken, Word};

/// A node of several, by the number of its run.
pub(crate) type Node = i64;

/// In a request that another node carries, which it names: that node puts frames in the place of their numbers.
pub(crate) const PUTS_FRAMES: HeaderName = HeaderName::from_static("roomful-puts-frames");

/// The longest frame that another node may be told once; no frame of ours is nearly as long.
pub(crate) const LONGEST: usize = 1 << 20;

/// What is shorter is sent itself.
const SHORTEST: usize = 48;

/// In the length of what a node is told: it is no frame, but says where one is put in.
const PLACES: u32 = 1 << 31;

/// How many frames, and bytes of them, are known to have been told. What is older is told anew.
const MOST_TOLD: usize = 256;
const MOST_BYTES_TOLD: usize = 1 << 20;

/// The same of what is kept where they are put in: more, since a member's stream may be behind by what it can hold.
const MOST_KEPT: usize = 16 * MOST_TOLD;
const MOST_BYTES_KEPT: usize = 16 * MOST_BYTES_TOLD;

/// How many frames may wait to be sent, and how many bytes that say where they are put in.
const MOST_WAITING: usize = 64;
const MOST_BYTES_OF_PLACES: usize = LONGEST / 2;

/// What another node has been told.
pub(crate) struct Teller {
    told: Mutex<Told>,
    more: Notify,
    frames: Counter,
    numbers: Counter,
    /// Of these, what is put in beside the streams.
    places: Counter,
}

#[derive(Default)]
struct Told {
    /// By where they are and how long: they stay there while they are kept here.
    numbers: HashMap<(usize, usize), u64>,
    recent: VecDeque<Bytes>,
    bytes: usize,
    next: u64,
    waiting: Waiting,
    /// The node puts frames where that is said.
    has_lanes: bool,
}

/// What is to be sent yet, in order.
#[derive(Default)]
struct Waiting {
    said: Vec<Said>,
    frames: usize,
    bytes_of_places: usize,
    is_over: bool,
}

/// How a frame gets into a member's stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The node puts it in.
    Placed,
    /// This stands for it there.
    Word(Bytes),
    /// As it is: it is nobody else's, or short, or the node does not take so much.
    Itself,
}

enum Said {
    Frame(Bytes),
    /// The frame of that number, into these streams.
    Places(u64, Vec<u8>),
}

fn place(frame: &Bytes) -> (usize, usize) {
    (frame.as_ptr().addr(), frame.len())
}

impl Teller {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            told: Mutex::default(),
            more: Notify::new(),
            frames: counter!("roomful_cluster_frames_told_total"),
            numbers: counter!("roomful_cluster_frames_numbered_total"),
            places: counter!("roomful_cluster_frames_placed_total"),
        })
    }

    /// The node puts frames where that is said. Whether it does is not a request's to say: one of a former release passes on whatever
    /// a client says there.
    pub(crate) fn take_places(&self) {
        self.told.lock().has_lanes = true;
    }

    /// Tells the node a frame, unless it has it, for a member's stream of which so much was written.
    pub(crate) fn tell(&self, frame: &Bytes, lane: Option<&mut Lane>, written: u64) -> Way {
        if !(SHORTEST..=LONGEST).contains(&frame.len()) || frame.is_unique() {
            return Way::Itself;
        }
        let mut told = self.told.lock();
        let Some(number) = self.number_of(&mut told, frame) else { return Way::Itself };
        let lane = lane.filter(|_| told.takes_places());
        let place = lane.and_then(|lane| lane.put(written));
        if let Some(place) = place {
            told.waiting.put(number, &place);
        }
        drop(told);
        self.numbers.increment(1);
        if place.is_none() {
            return Way::Word(Word::Number(number).bytes());
        }
        self.places.increment(1);
        self.more.notify_one();
        Way::Placed
    }

    fn number_of(&self, told: &mut Told, frame: &Bytes) -> Option<u64> {
        if let Some(number) = told.numbers.get(&place(frame)) {
            return Some(*number);
        }
        if told.waiting.frames >= MOST_WAITING || told.waiting.is_over {
            return None;
        }
        told.waiting.frames += 1;
        told.waiting.said.push(Said::Frame(frame.clone()));
        self.frames.increment(1);
        self.more.notify_one();
        Some(told.keep(frame.clone()))
    }

    /// What is to be sent to the node next, as it is sent.
    pub(crate) async fn next(&self) -> Vec<Bytes> {
        loop {
            let said = self.told.lock().waiting.take();
            if !said.is_empty() {
                return said.into_iter().flat_map(Said::pieces).collect();
            }
            self.more.notified().await;
        }
    }

    /// The node is told nothing more.
    pub(crate) fn end(&self) {
        let waiting = Waiting { is_over: true, ..Waiting::default() };
        *self.told.lock() = Told { waiting, ..Told::default() };
    }
}

impl Waiting {
    fn put(&mut self, number: u64, place: &[u8]) {
        self.bytes_of_places += place.len();
        match self.said.last_mut() {
            Some(Said::Places(of, places)) if *of == number => places.extend_from_slice(place),
            _ => {
                self.bytes_of_places += size_of::<Said>();
                self.said.push(Said::Places(number, place.to_vec()));
            }
        }
    }

    fn take(&mut self) -> Vec<Said> {
        (self.frames, self.bytes_of_places) = (0, 0);
        mem::take(&mut self.said)
    }
}

impl Said {
    /// Behind how long it is.
    fn pieces(self) -> [Bytes; 2] {
        let head =
            |length: usize, bit: u32| u32::try_from(length).map_or(0, |length| length | bit).to_be_bytes();
        match self {
            Self::Frame(frame) => [Bytes::copy_from_slice(&head(frame.len(), 0)), frame],
            Self::Places(number, places) => {
                let mut before = head(size_of_val(&number) + places.len(), PLACES).to_vec();
                before.extend_from_slice(&number.to_be_bytes());
                [before.into(), places.into()]
            }
        }
    }
}

impl Told {
    /// Whether more can be said of where frames are put in.
    fn takes_places(&self) -> bool {
        self.has_lanes && self.waiting.bytes_of_places < MOST_BYTES_OF_PLACES
    }

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
    /// The streams that it is put in.
    pub(crate) lanes: Lanes,
}

#[derive(Default)]
struct Kept {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// The number of the first that is kept.
    first: u64,
    is_over: bool,
}

/// What comes next from a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Frame,
    /// Where a frame is put in.
    Places,
}

impl Heard {
    /// What that node sends begins with its length, and a bit.
    ///
    /// # Errors
    /// When no node sends so much.
    pub(crate) fn length(head: u32) -> Result<(usize, Kind), Broken> {
        let length = usize::try_from(head & !PLACES).map_err(|_| Broken)?;
        let kind = if head & PLACES == 0 { Kind::Frame } else { Kind::Places };
        if length <= LONGEST { Ok((length, kind)) } else { Err(Broken) }
    }

    /// Takes what that node sends.
    ///
    /// # Errors
    /// When it is not what a node sends.
    pub(crate) fn hear(&self, kind: Kind, said: Vec<u8>) -> Result<(), Broken> {
        match kind {
            Kind::Frame => self.put(said.into()),
            Kind::Places => {
                let (number, places) = said.split_first_chunk().ok_or(Broken)?;
                let number = u64::from_be_bytes(*number);
                // What is too old by now ends the streams that it was for.
                let frame = self.known(number).ok_or(Broken)?;
                self.lanes.put(number, frame.map_or(0, |frame| frame.len()), places)?;
            }
        }
        Ok(())
    }

    fn put(&self, frame: Bytes) {
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
        self.lanes.end();
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
    /// What that node calls the stream, where frames can be put into it beside it.
    pub(crate) lane: Option<u32>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::lane::{Merged, Next};
    use super::*;
    use crate::wire;

    fn shared(length: usize) -> [Bytes; 2] {
        let frame = wire::text_frame(&"x".repeat(length));
        [frame.clone(), frame]
    }

    fn number_in(bytes: &Bytes) -> u64 {
        let mut out = Vec::new();
        let word = words::Words::default().next(&mut &bytes[..], &mut out).unwrap().unwrap();
        assert!(out.is_empty());
        let Word::Number(number) = word else { panic!("{word:?}") };
        number
    }

    /// Of a node that puts frames where that is said.
    fn taking() -> Arc<Teller> {
        let teller = Teller::new();
        teller.take_places();
        teller
    }

    /// What stands for a frame in a stream that has no lane.
    fn number(teller: &Teller, frame: &Bytes) -> Option<Bytes> {
        match teller.tell(frame, None, 0) {
            Way::Placed => panic!("there is no lane"),
            Way::Word(word) => Some(word),
            Way::Itself => None,
        }
    }

    fn is_put(teller: &Teller, frame: &Bytes, lane: &mut Lane, written: u64) -> bool {
        teller.tell(frame, Some(lane), written) == Way::Placed
    }

    /// What waits to be sent, as the other side takes it.
    fn sent(teller: &Teller) -> Vec<(Kind, Vec<u8>)> {
        let said = teller.told.lock().waiting.take();
        let told = |said: Said| {
            let [head, rest] = said.pieces();
            let bytes = [&head[4..], &rest[..]].concat();
            let (length, kind) = Heard::length(u32::from_be_bytes(head[..4].try_into().unwrap())).unwrap();
            assert_eq!(length, bytes.len());
            (kind, bytes)
        };
        said.into_iter().map(told).collect()
    }

    #[test]
    fn a_frame_is_told_once_and_numbered_each_time() {
        let teller = Teller::new();
        let ([one, _kept], [two, _kept_too]) = (shared(100), shared(200));

        let numbers = [&one, &two, &one].map(|frame| number_in(&number(&teller, frame).unwrap()));

        assert_eq!(numbers, [0, 1, 0]);
        assert_eq!(sent(&teller), [one, two].map(|frame| (Kind::Frame, frame.to_vec())));
    }

    #[test]
    fn what_is_nobody_elses_or_short_is_sent_itself() {
        let teller = taking();
        let [short, _kept] = shared(8);
        let own = wire::text_frame(&"x".repeat(100));

        assert_eq!([number(&teller, &own), number(&teller, &short)], [None, None]);
        assert!(!is_put(&teller, &own, &mut Lane::new(0), 0));
        assert!(sent(&teller).is_empty());
    }

    #[test]
    fn a_frame_is_put_into_many_streams_by_one_word() {
        let teller = taking();
        let [frame, _kept] = shared(100);

        for id in 0..1000 {
            assert!(is_put(&teller, &frame, &mut Lane::new(id), 7));
        }

        let sent = sent(&teller);
        assert_eq!(sent[0], (Kind::Frame, frame.to_vec()));
        let [_, (Kind::Places, places)] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!(places.len(), 8 + 1000 * 8);
    }

    #[test]
    fn a_node_that_has_not_said_that_it_takes_them_is_told_no_places() {
        let teller = Teller::new();
        let [frame, _kept] = shared(100);

        assert!(!is_put(&teller, &frame, &mut Lane::new(1), 0));

        assert_eq!(sent(&teller), [(Kind::Frame, frame.to_vec())]);
    }

    #[test]
    fn a_node_that_does_not_take_it_is_sent_frames_and_told_no_number_twice() {
        let teller = Teller::new();
        let frames: Vec<_> = (0..MOST_WAITING + 1).map(|_| shared(100)).collect();
        let numbers: Vec<_> = frames.iter().map(|[frame, _]| number(&teller, frame)).collect();
        assert_eq!(numbers.iter().filter(|number| number.is_none()).count(), 1);
        assert_eq!(number_in(numbers[MOST_WAITING - 1].as_ref().unwrap()), MOST_WAITING as u64 - 1);

        assert_eq!(sent(&teller).len(), MOST_WAITING);
        let [refused, _] = frames.last().unwrap();
        assert_eq!(number_in(&number(&teller, refused).unwrap()), MOST_WAITING as u64);
    }

    #[test]
    fn what_waits_of_places_is_bounded_and_nothing_is_kept_for_a_node_that_is_gone() {
        let teller = taking();
        let [frame, _kept] = shared(100);
        let mut lane = Lane::new(1);
        let put = (0..).take_while(|_| is_put(&teller, &frame, &mut lane, 0)).count();
        assert!((MOST_BYTES_OF_PLACES / 16..=MOST_BYTES_OF_PLACES / 8).contains(&put), "{put}");
        sent(&teller);
        assert!(is_put(&teller, &frame, &mut lane, 0));

        teller.end();

        assert!(!is_put(&teller, &frame, &mut lane, 0));
        assert_eq!(number(&teller, &frame), None);
        assert!(sent(&teller).is_empty());
    }

    #[tokio::test]
    async fn what_was_told_long_ago_is_told_anew_while_the_other_side_still_has_it() {
        let teller = Teller::new();
        let heard = Heard::default();
        let frames: Vec<_> = (0..2 * MOST_TOLD).map(|length| shared(100 + length)).collect();
        let mut first = None;
        for [frame, _] in &frames {
            let number = number_in(&number(&teller, frame).unwrap());
            first = first.or(Some(number));
            for (kind, said) in sent(&teller) {
                heard.hear(kind, said).unwrap();
            }
            assert_eq!(heard.frame(number).await.as_ref(), Some(frame));
        }

        let [oldest, _] = &frames[0];
        let again = number_in(&number(&teller, oldest).unwrap());

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
        let heard = Heard::default();
        heard.put(Bytes::from_static(b"frame"));
        let places =
            |number: u64, rest: &[u8]| heard.hear(Kind::Places, [&number.to_be_bytes(), rest].concat());

        assert_eq!(places(0, &[0; 16]), Ok(()));
        assert_eq!(places(1, &[0; 16]), Err(Broken), "of a frame that was not told");
        assert_eq!(places(0, &[0; 15]), Err(Broken));
        assert_eq!(heard.hear(Kind::Places, vec![0; 7]), Err(Broken));
        assert_eq!(Heard::length(u32::MAX), Err(Broken));
        assert_eq!(Heard::length(LONGEST as u32 + 1), Err(Broken));
        assert_eq!(Heard::length(LONGEST as u32 | PLACES), Ok((LONGEST, Kind::Places)));
    }

    /// The stream of a member, as it is written and as it is put together again.
    struct Member {
        lane: Option<Lane>,
        wanted: Vec<u8>,
        stream: Vec<u8>,
        /// How much of it is here.
        came: usize,
        taken: usize,
        puts: Arc<lane::Puts>,
        merged: Merged,
        got: Vec<u8>,
    }

    impl Member {
        /// As the gateway does it.
        fn share(&mut self, teller: &Teller, frame: &Bytes) {
            self.wanted.extend_from_slice(frame);
            match teller.tell(frame, self.lane.as_mut(), self.stream.len() as u64) {
                Way::Placed => {}
                Way::Word(word) => self.write(&word),
                Way::Itself => self.write(frame),
            }
        }

        fn write(&mut self, bytes: &[u8]) {
            let word = self.lane.as_mut().and_then(Lane::before_others);
            self.stream.extend_from_slice(&word.unwrap_or_default());
            self.stream.extend_from_slice(bytes);
        }

        /// As the node does that it is carried by.
        fn take(&mut self, heard: &Heard) {
            let mut rest = &self.stream[self.taken..self.came];
            while let Next::Frame(number) = self.merged.next(&mut rest, &self.puts, &mut self.got).unwrap() {
                // In a stream, a number may be before its frame.
                let frame = heard.known(number).expect("the frame is there").expect("it is kept");
                self.got.extend_from_slice(&frame);
            }
            self.taken = self.came - rest.len();
        }
    }

    /// In whatever pieces it comes, and whichever way is the faster one.
    #[test]
    fn a_member_gets_what_it_would_have_got() {
        for seed in 0..300 {
            let mut chance = ChaCha8Rng::seed_from_u64(seed);
            let (teller, heard) = (taking(), Heard::default());
            let mut members: Vec<Member> = (0..3)
                .map(|number| {
                    let (id, puts) = heard.lanes.begin();
                    let (wanted, stream, got) = <(Vec<u8>, Vec<u8>, Vec<u8>)>::default();
                    // A node of a release that knows no lanes.
                    let lane = (number > 0).then(|| Lane::new(id));
                    Member { lane, wanted, stream, came: 0, taken: 0, puts, merged: Merged::default(), got }
                })
                .collect();
            let mut said = VecDeque::new();
            let mut kept = Vec::new();
            for _ in 0..chance.random_range(0..60) {
                let around = [0, 100, 126, 65_536][chance.random_range(0..4)];
                let [frame, other] = shared(around + chance.random_range(0..60));
                match chance.random_range(0..6) {
                    0 => {
                        let own = wire::text_frame(&"y".repeat(around));
                        let member = &mut members[chance.random_range(0..3)];
                        member.wanted.extend_from_slice(&own);
                        member.write(&own);
                    }
                    1 => {
                        // Where frames come before the rest of a stream, it waits for that.
                        let late = sent(&teller);
                        said.extend(late);
                    }
                    2 => {
                        for (kind, bytes) in said.drain(..chance.random_range(0..=said.len())) {
                            heard.hear(kind, bytes).unwrap();
                        }
                    }
                    3 => {
                        let member = &mut members[chance.random_range(1..3)];
                        let longest = [3, 100, 30_000][chance.random_range(0..3)];
                        let more = chance.random_range(1..=longest);
                        member.came = (member.came + more).min(member.stream.len());
                        member.take(&heard);
                    }
                    _ => {
                        let kept_by = chance.random_bool(0.8).then_some(other);
                        for member in &mut members {
                            if chance.random_bool(0.8) {
                                member.share(&teller, &frame);
                            }
                        }
                        kept.extend(kept_by);
                    }
                }
            }
            said.extend(sent(&teller));
            for (kind, bytes) in said {
                heard.hear(kind, bytes).unwrap();
            }
            for (number, mut member) in members.into_iter().enumerate() {
                while member.came < member.stream.len() {
                    member.came = (member.came + 1000).min(member.stream.len());
                    member.take(&heard);
                }
                member.take(&heard);
                assert!(member.got == member.wanted, "seed {seed}, member {number}");
            }
        }
    }
}
