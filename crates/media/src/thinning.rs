//! Leaving out layers of a stream that has several in one: sizes of the picture, and shares of the frame rate.
//!
//! Invariant: what is known to be left out leaves no gap in the numbers that a viewer sees (for what has not come yet a number is
//! kept), no number is used for two packets, and what comes late is treated as the rest of its picture was. It is made when the first packet is to be left out, so
//! that streams of which all is sent cost nothing; from then on it allocates nothing.

use std::collections::VecDeque;

use crate::payload::Part;
use crate::source::Packet;

/// All there is.
pub(crate) const ALL: u8 = u8::MAX;

/// Stretches of numbers without a packet left out, and pictures, that are remembered: two seconds.
const PIECES: usize = 128;
const PICTURES: usize = 64;

/// How much of a stream is sent: sizes and shares of the frame rate up to these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caps {
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
}

impl Caps {
    pub(crate) const ALL: Self = Self { spatial: ALL, temporal: ALL };

    pub(crate) fn admit(self, part: Part) -> bool {
        part.spatial <= self.spatial && part.temporal <= self.temporal
    }

    fn or_less(self, other: Self) -> Self {
        Self { spatial: self.spatial.min(other.spatial), temporal: self.temporal.min(other.temporal) }
    }

    /// Whether a packet is the last of its picture that is sent.
    fn end_with(self, packet: &Packet) -> bool {
        let ends = |part: Part| part.ends && part.spatial == self.spatial;
        packet.marker || packet.picture.part.is_some_and(ends)
    }
}

/// A stretch of numbers without a packet left out; it ends where the next one begins in ours.
#[derive(Debug, Clone, Copy)]
struct Piece {
    /// Its first number, the publisher's and ours.
    first: u64,
    first_out: u64,
}

/// What was decided for a picture.
#[derive(Debug, Clone, Copy)]
struct Decision {
    /// The segment it belongs to, by the first number of that.
    segment: u64,
    timestamp: u32,
    caps: Caps,
    /// What its own number, and those after it, are moved by.
    picture_offset: u16,
}

/// A run of one publication's layer, as [`crate::slot`] counts it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) first: u64,
    pub(crate) first_out: u64,
    pub(crate) picture_offset: u16,
}

/// How a packet is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) seq: u64,
    pub(crate) picture_offset: u16,
    /// It is the last of its picture.
    pub(crate) is_last: bool,
    /// It came late and is to be left out, but a number was kept for it, which goes out with nothing in it.
    pub(crate) is_blank: bool,
}

/// What is left out of a slot's stream.
pub(crate) struct Thinning {
    run: Run,
    caps: Caps,
    /// The highest number that came, and whether its packet was left out.
    highest: u64,
    is_out: bool,
    /// Higher shares can begin with the next picture.
    is_lifted: bool,
    /// The newest last.
    pieces: VecDeque<Piece>,
    pictures: VecDeque<Decision>,
    /// Some of the oldest are not there any more.
    has_forgotten: bool,
}

impl Thinning {
    /// From `packet` on, or the picture after it, something may be left out.
    pub(crate) fn new(run: Run, packet: &Packet) -> Self {
        let mut thinning = Self {
            run,
            caps: Caps::ALL,
            highest: packet.seq.saturating_sub(1),
            is_out: false,
            is_lifted: false,
            pieces: VecDeque::with_capacity(PIECES),
            pictures: VecDeque::with_capacity(PICTURES),
            has_forgotten: false,
        };
        thinning.push_piece(Piece { first: run.first, first_out: run.first_out });
        // Of a picture that has begun, all is sent.
        if packet.seq != run.first {
            thinning.decide(packet.timestamp, run.picture_offset);
        }
        thinning
    }

    /// The stream goes on with a keyframe of another layer or publication.
    pub(crate) fn begin(&mut self, run: Run) {
        self.run = run;
        self.highest = run.first.saturating_sub(1);
        (self.is_out, self.is_lifted) = (false, false);
        self.push_piece(Piece { first: run.first, first_out: run.first_out });
    }

    /// What is being sent.
    pub(crate) fn caps(&self) -> Caps {
        self.caps
    }

    /// How a packet is sent, if it is. Where pictures are counted without gaps, those that are left out are not counted.
    pub(crate) fn place(&mut self, packet: &Packet, wanted: Caps, counts_pictures: bool) -> Option<Place> {
        let part = packet.picture.part.unwrap_or_default();
        if packet.seq <= self.highest {
            return self.place_late(packet, part);
        }
        let newest = self.pictures.back().filter(|newest| newest.segment == self.run.first_out);
        let offset = newest.map_or(self.run.picture_offset, |newest| newest.picture_offset);
        let is_new = newest.is_none_or(|newest| newest.timestamp != packet.timestamp);
        if is_new {
            self.turn(part, wanted, newest.is_none());
            let is_left_out = part.temporal > self.caps.temporal;
            let offset = offset.wrapping_sub(u16::from(is_left_out && counts_pictures));
            self.decide(packet.timestamp, offset);
        }
        let piece = self.pieces.back().copied()?;
        let seq = packet.seq.checked_sub(piece.first)? + piece.first_out;
        // Between two packets of one picture that are left out, nothing is sent either.
        let follows = self.is_out && (!is_new || packet.seq == self.highest + 1);
        self.highest = packet.seq;
        self.is_out = !self.caps.admit(part);
        if self.is_out {
            let next = packet.seq + 1;
            match self.pieces.back_mut() {
                Some(last) if follows => last.first = next,
                _ => self.push_piece(Piece { first: next, first_out: seq }),
            }
            return None;
        }
        self.is_lifted |= part.lifts;
        let newest = self.pictures.back()?;
        let (picture_offset, is_last) = (newest.picture_offset, newest.caps.end_with(packet));
        Some(Place { seq, picture_offset, is_last, is_blank: false })
    }

    /// A picture begins: less is sent from here on as it is wanted, and more where that is possible.
    fn turn(&mut self, part: Part, wanted: Caps, is_first: bool) {
        if part.is_key || is_first {
            self.caps = wanted;
        } else {
            let Caps { spatial, temporal } = self.caps;
            let may_rise = self.is_lifted || part.syncs && temporal.checked_add(1) == Some(part.temporal);
            let risen = if self.is_lifted { wanted.temporal } else { part.temporal };
            let temporal = if may_rise { temporal.max(risen) } else { temporal };
            self.caps = Caps { spatial, temporal }.or_less(wanted);
        }
        self.is_lifted = false;
    }

    fn place_late(&self, packet: &Packet, part: Part) -> Option<Place> {
        let at = self.pieces.iter().rposition(|piece| piece.first <= packet.seq)?;
        let piece = self.pieces.get(at).filter(|piece| piece.first_out >= self.run.first_out)?;
        let seq = packet.seq - piece.first + piece.first_out;
        // Where something was left out, no number is free.
        if self.pieces.get(at + 1).is_some_and(|next| seq >= next.first_out) {
            return None;
        }
        let (caps, picture_offset) = self.decided(self.run, packet.timestamp)?;
        let is_last = caps.end_with(packet);
        Some(Place { seq, picture_offset, is_last, is_blank: !caps.admit(part) })
    }

    /// How a packet that was sent is sent once more.
    pub(crate) fn again(&self, run: Run, packet: &Packet, seq: u64) -> Option<Place> {
        let (caps, picture_offset) = self.decided(run, packet.timestamp)?;
        let is_admitted = caps.admit(packet.picture.part.unwrap_or_default());
        is_admitted.then(|| Place { seq, picture_offset, is_last: caps.end_with(packet), is_blank: false })
    }

    /// The publisher's number of what was sent under ours; `before` when nothing had been left out then.
    pub(crate) fn origin(&self, seq: u64, before: u64) -> Option<u64> {
        match self.pieces.iter().rev().find(|piece| piece.first_out <= seq) {
            Some(piece) => Some(seq - piece.first_out + piece.first),
            None => (!self.has_forgotten).then_some(before),
        }
    }

    /// What was decided for a picture, or for the last one before it.
    fn decided(&self, run: Run, timestamp: u32) -> Option<(Caps, u16)> {
        let is_before = |picture: &&Decision| {
            picture.segment == run.first_out && timestamp.wrapping_sub(picture.timestamp) as i32 >= 0
        };
        match self.pictures.iter().rev().find(is_before) {
            Some(picture) => Some((picture.caps, picture.picture_offset)),
            None => (!self.has_forgotten).then_some((Caps::ALL, run.picture_offset)),
        }
    }

    fn decide(&mut self, timestamp: u32, picture_offset: u16) {
        if self.pictures.len() == PICTURES {
            self.pictures.pop_front();
            self.has_forgotten = true;
        }
        let Self { run, caps, .. } = *self;
        self.pictures.push_back(Decision { segment: run.first_out, timestamp, caps, picture_offset });
    }

    fn push_piece(&mut self, piece: Piece) {
        if self.pieces.len() == PIECES {
            self.pieces.pop_front();
            self.has_forgotten = true;
        }
        self.pieces.push_back(piece);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet};

    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::payload::{Picture, TOP_LAYER};

    fn packet(seq: u64, timestamp: u32, part: Part, marker: bool) -> Packet {
        let picture = Picture { part: Some(part), ..Picture::default() };
        Packet { seq, timestamp, marker, picture, ..Packet::blank() }
    }

    fn part(spatial: u8, temporal: u8) -> Part {
        Part { spatial, temporal, ..Part::default() }
    }

    const RUN: Run = Run { first: 1000, first_out: 70_000, picture_offset: 5 };
    const LOW: Caps = Caps { spatial: ALL, temporal: 0 };

    /// Pictures of three packets each, of these shares.
    fn stream(shares: &[u8]) -> Vec<Packet> {
        let packets = |(at, share): (usize, &u8)| {
            let needs_lowest = *share > 0 && shares[at - 1] == 0 || *share == 1;
            let of = Part { syncs: needs_lowest, is_key: at == 0, ..part(0, *share) };
            (0..3).map(move |place| (at, of, place))
        };
        let numbered = shares.iter().enumerate().flat_map(packets).zip(RUN.first..);
        numbered.map(|((at, of, place), seq)| packet(seq, 3000 * at as u32, of, place == 2)).collect()
    }

    /// The numbers under which packets go out, those that are blank negative.
    fn numbers(thinning: &mut Thinning, packets: &[&Packet], caps: Caps) -> Vec<Option<i64>> {
        let number = |place: Place| (place.seq - RUN.first_out) as i64 * if place.is_blank { -1 } else { 1 };
        packets.iter().map(|packet| thinning.place(packet, caps, true).map(number)).collect()
    }

    #[test]
    fn what_is_left_out_leaves_no_gap_and_is_found_again() {
        let packets = stream(&[0, 1, 0]);
        let mut thinning = Thinning::new(RUN, &packets[0]);
        let all: Vec<&Packet> = packets.iter().collect();

        let sent = numbers(&mut thinning, &all, LOW);

        let some = |range: std::ops::Range<i64>| range.map(Some).collect::<Vec<_>>();
        assert_eq!(sent, [some(0..3), vec![None; 3], some(3..6)].concat());
        let origins: Vec<_> = (0..6).map(|out| thinning.origin(RUN.first_out + out, 7)).collect();
        let known = packets[..3].iter().chain(&packets[6..]).map(|packet| Some(packet.seq));
        assert_eq!(origins, known.collect::<Vec<_>>());
        assert_eq!(thinning.origin(RUN.first_out - 1, 7), Some(7));
    }

    #[test]
    fn what_comes_late_has_the_number_kept_for_it_or_none() {
        let packets = stream(&[0, 1, 0]);
        let late = |order: &[usize]| {
            let mut thinning = Thinning::new(RUN, &packets[0]);
            let order: Vec<&Packet> = order.iter().map(|at| &packets[*at]).collect();
            numbers(&mut thinning, &order, LOW)
        };

        // Of a picture that is sent.
        assert_eq!(late(&[0, 2, 1]), [Some(0), Some(2), Some(1)]);
        // Of one that is left out: between two of its packets no number is kept, before the first of them one is.
        assert_eq!(late(&[0, 1, 2, 3, 5, 4, 6]), [Some(0), Some(1), Some(2), None, None, None, Some(3)]);
        assert_eq!(late(&[0, 1, 2, 4, 3]), [Some(0), Some(1), Some(2), None, Some(-3)]);
        // Before anything was left out.
        assert_eq!(late(&[1, 0]), [Some(1), Some(0)]);
    }

    #[test]
    fn a_share_comes_back_where_it_can_be_begun_with() {
        let packets = stream(&[0, 1, 2, 0, 2, 1, 2, 0]);
        let firsts: Vec<&Packet> = packets.iter().step_by(3).collect();
        let mut thinning = Thinning::new(RUN, firsts[0]);

        let before = numbers(&mut thinning, &firsts[..4], LOW);
        let after = numbers(&mut thinning, &firsts[4..], Caps::ALL);

        let is_sent = |number: &Option<i64>| number.is_some();
        assert_eq!(before.iter().map(is_sent).collect::<Vec<_>>(), [true, false, false, true]);
        // The first of share 2 needs pictures that were left out; that of share 1 does not. The next of share 2 would need a sync.
        assert_eq!(after.iter().map(is_sent).collect::<Vec<_>>(), [false, true, false, true]);
    }

    #[test]
    fn sizes_come_back_with_a_keyframe_and_the_last_packet_of_a_picture_says_so() {
        let picture = |at: u32, is_key: bool| {
            (0..3_u8).flat_map(move |spatial| {
                (0..2_u8).map(move |place| {
                    let of = Part { is_key: is_key && spatial == 0, ends: place == 1, ..part(spatial, 0) };
                    let seq = RUN.first + u64::from(at * 6 + u32::from(spatial * 2 + place));
                    packet(seq, 3000 * at, of, spatial == 2 && place == 1)
                })
            })
        };
        let mut thinning = None;
        let mut lasts = |at, is_key, spatial| {
            let places = picture(at, is_key).filter_map(|packet| {
                let thinning = thinning.get_or_insert_with(|| Thinning::new(RUN, &packet));
                thinning.place(&packet, Caps { spatial, temporal: ALL }, false)
            });
            places.map(|place| place.is_last).collect::<Vec<_>>()
        };

        assert_eq!(lasts(0, true, 1), [false, false, false, true]);
        assert_eq!(lasts(1, false, 0), [false, true], "less at the next picture");
        assert_eq!(lasts(2, false, ALL), [false, true], "more not yet");
        assert_eq!(lasts(3, true, ALL), [false, false, false, false, false, true]);
        assert_eq!(lasts(4, false, ALL), [false, false, false, false, false, true]);
    }

    /// Whatever comes, in whatever order, with whatever is wanted: no number is used twice, each is that of its packet, and
    /// pictures that are sent need none that were left out.
    #[test]
    fn numbers_hold_whatever_comes() {
        for seed in 0..300 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let shares: Vec<u8> = (0..200).map(|at| [0, 2, 1, 2][at % 4]).collect();
            let packets = stream(&shares);
            let is_clean = seed % 4 == 0;
            let mut order: Vec<(usize, usize)> = Vec::new();
            for at in 0..packets.len() {
                let is_late = !is_clean && at > 0 && random.random_bool(0.05);
                let delay = if is_late { random.random_range(0..40) } else { 0 };
                if is_clean || at == 0 || !random.random_bool(0.03) {
                    order.push((at + delay, at));
                }
            }
            order.sort();
            let mut thinning = Thinning::new(RUN, &packets[0]);
            let mut caps = Caps::ALL;
            let mut used: HashMap<u64, u64> = HashMap::new();
            let mut pictures: BTreeMap<u32, HashSet<u16>> = BTreeMap::new();
            for (_, at) in order {
                if random.random_bool(0.02) {
                    caps.temporal = [0, 1, ALL][random.random_range(0..3)];
                }
                let packet = &packets[at];
                let Some(place) = thinning.place(packet, caps, true) else { continue };
                assert_eq!(used.insert(place.seq, packet.seq), None, "seed {seed}");
                assert_eq!(thinning.origin(place.seq, 0), Some(packet.seq), "seed {seed}");
                if !place.is_blank {
                    pictures.entry(packet.timestamp).or_default().insert(place.picture_offset);
                    let again = thinning.again(RUN, packet, place.seq).unwrap();
                    assert_eq!(again, place, "seed {seed}");
                }
            }
            assert!(pictures.values().all(|offsets| offsets.len() == 1), "seed {seed}: one number a picture");
            // The second picture of share 2 needs that of share 1.
            for timestamp in pictures.keys().filter(|at| is_clean && **at / 3000 % 4 == 3) {
                assert!(pictures.contains_key(&(timestamp - 3000)), "seed {seed}: {timestamp}");
            }
            assert!(thinning.pieces.len() <= PIECES && thinning.pictures.len() <= PICTURES);
        }
    }

    #[test]
    fn nonsense_neither_grows_nor_panics() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut seq = RUN.first;
        let mut thinning = Thinning::new(RUN, &packet(seq, 0, part(0, 0), false));
        for turn in 0..200_000_u64 {
            seq = match random.random_range(0..50) {
                0 => seq + random.random_range(0..100_000),
                1 => seq.saturating_sub(random.random_range(0..100_000)).max(RUN.first),
                _ => seq + 1,
            };
            let of = Part {
                spatial: random.random_range(0..=TOP_LAYER),
                temporal: random.random_range(0..=TOP_LAYER),
                is_key: random.random_bool(0.01),
                ends: random.random(),
                syncs: random.random(),
                lifts: random.random(),
            };
            let caps = Caps { spatial: random.random(), temporal: random.random_range(0..4) };
            let fresh = packet(seq, random.random(), of, random.random());
            let place = thinning.place(&fresh, caps, turn % 2 == 0);
            if let Some(place) = place.filter(|_| seq >= thinning.highest) {
                assert_eq!(thinning.origin(place.seq, 0), Some(seq));
            }
            if random.random_bool(0.001) {
                let first_out = thinning.pieces.back().unwrap().first_out + 10;
                thinning.begin(Run { first: seq + 1, first_out, picture_offset: 0 });
            }
        }

        assert!(thinning.pieces.len() <= PIECES && thinning.pictures.len() <= PICTURES);
    }
}
