//! Numbers that packets of redundancy take among a stream's own: they come right after the picture that they protect, on the same
//! stream (RFC 5109 14.2). What is decided about a stream counts without them.
//!
//! Invariant: both ways, a number is one thing only; what is too long ago to be known has none.

use std::collections::VecDeque;

/// Places that are looked back to: two seconds of 60 pictures each.
const PLACES: usize = 128;

/// Where some were put in.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The stream's own number that they follow.
    after: u64,
    /// The first of theirs as it goes out, and how many there are up to here, in all.
    first: u64,
    total: u64,
}

/// What a number that went out was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meant {
    /// A packet of the stream, by the stream's own number.
    Stream(u64),
    Redundancy,
}

/// The newest last.
#[derive(Debug, Default)]
pub(crate) struct Woven {
    places: VecDeque<Place>,
    has_forgotten: bool,
}

impl Woven {
    /// Under which number a packet of the stream goes out.
    #[inline]
    pub(crate) fn out(&self, own: u64) -> Option<u64> {
        match self.places.iter().rev().find(|place| place.after < own) {
            Some(place) => Some(own + place.total),
            None => (!self.has_forgotten).then_some(own),
        }
    }

    /// What went out under a number.
    pub(crate) fn meant(&self, out: u64) -> Option<Meant> {
        match self.places.iter().rev().find(|place| place.first <= out) {
            Some(place) if out <= place.after + place.total => Some(Meant::Redundancy),
            Some(place) => Some(Meant::Stream(out - place.total)),
            None => (!self.has_forgotten).then_some(Meant::Stream(out)),
        }
    }

    /// One more that follows `newest`, the newest of the stream's own; returns its number.
    pub(crate) fn put(&mut self, newest: u64) -> u64 {
        let total = self.places.back().map_or(0, |place| place.total) + 1;
        match self.places.back_mut() {
            Some(last) if last.after == newest => last.total = total,
            _ => {
                if self.places.len() == PLACES {
                    self.places.pop_front();
                    self.has_forgotten = true;
                }
                self.places.push_back(Place { after: newest, first: newest + total, total });
            }
        }
        newest + total
    }

    /// The highest number that has gone out, when the stream's own newest is this one.
    pub(crate) fn newest(&self, own: u64) -> u64 {
        own + self.places.back().map_or(0, |place| place.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_one_thing_and_none_is_left_out() {
        let mut woven = Woven::default();
        let mut went = Vec::new();
        for own in 1..=100_u64 {
            went.push((woven.out(own), Meant::Stream(own)));
            for _ in 0..own % 4 {
                went.push((Some(woven.put(own)), Meant::Redundancy));
            }
            assert_eq!(woven.newest(own), went.len() as u64);
        }

        for ((number, meant), place) in went.iter().zip(1..) {
            assert_eq!((*number, woven.meant(place)), (Some(place), Some(*meant)));
            if let Meant::Stream(own) = meant {
                assert_eq!(woven.out(*own), *number, "what comes late has the number kept for it");
            }
        }
    }

    #[test]
    fn what_is_too_long_ago_has_no_number() {
        let mut woven = Woven::default();
        for own in 1..=200_u64 {
            woven.put(own);
        }

        assert_eq!((woven.out(50), woven.meant(60)), (None, None));
        assert_eq!(woven.out(201), Some(401));
    }
}
