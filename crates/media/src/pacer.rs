//! Spreads what a viewer is sent: a keyframe that leaves at once overruns the short queues that many links have. What has to wait
//! does so unsealed, picture by picture, and not for long.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::source::Packet;

/// How much faster than the link is thought to carry (libwebrtc's pacing factor), and than what it is known to carry at most:
/// more would only queue. Where the queue before it is so short that bursts are lost in it, it is not what the link carries
/// that counts but what is to be sent: a little faster than that, though at this share of what it is thought to carry, since a
/// wide link may lose by chance.
const FACTOR: f64 = 2.5;
const LIMIT_FACTOR: f64 = 1.25;
/// Where bursts as short as probes are lost, a keyframe keeps below what the link carries.
const SHORT_LIMIT_FACTOR: f64 = 0.95;
const SHALLOW_FACTOR: f64 = 1.15;
const SHALLOW_SHARE: f64 = 0.5;

/// What may leave at once, in time; more where a packet takes no time.
const DEPTH_US: f64 = 10_000.0;
const FAST: f64 = 4_000_000.0;
const FAST_DEPTH_US: f64 = 40_000.0;
/// A packet more than the first fills such a queue by half.
const SHALLOW_DEPTH_US: f64 = 3_000.0;

/// What may leave at once when a connection begins, in bytes (RFC 2581 3.1: two segments): the first picture is there so much earlier.
/// With a half more, queues of 30 ms would lose twice as much at the start as they did without.
const FIRST_BYTES: f64 = 3_000.0;

/// What may wait, in bytes and time; a screen that changes as a whole may take longer.
const MOST_BYTES: usize = 256 * 1024;
/// What a packet counts at least: also one that will be left out takes a place.
const LEAST_BYTES: usize = 64;
const LONGEST_US: u64 = 300_000;
const LONGEST_SCREEN_US: u64 = 1_000_000;

/// How often what waits is looked at.
pub(crate) const INTERVAL: Duration = Duration::from_millis(5);

/// What is known of the link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// What it is thought to carry, in bits a second.
    pub(crate) bits: f64,
    /// What is to be sent, where the queue is short.
    pub(crate) shallow: Option<f64>,
    /// What it carried when it was full, and whether it loses even short bursts.
    pub(crate) limit: Option<f64>,
    pub(crate) loses_bursts: bool,
    /// It has to drain before anything goes on.
    pub(crate) is_overrun: bool,
}

/// A packet that waits, not yet numbered for the viewer.
pub(crate) struct Held {
    pub(crate) slot: usize,
    pub(crate) packet: Arc<Packet>,
    since: u64,
    bytes: usize,
}

/// A bucket of bytes that fills with time, and what waits for it. Times are in microseconds of one clock.
pub(crate) struct Pacer {
    left: f64,
    filled_at: u64,
    bytes_a_us: f64,
    most: f64,
    held: VecDeque<Held>,
    held_bytes: usize,
}

impl Pacer {
    pub(crate) fn new(now: u64, bits: f64) -> Self {
        let mut pacer = Self {
            left: FIRST_BYTES,
            filled_at: now,
            bytes_a_us: 0.0,
            most: 0.0,
            held: VecDeque::new(),
            held_bytes: 0,
        };
        pacer.set_pace(Pace { bits, shallow: None, limit: None, loses_bursts: false, is_overrun: false });
        pacer
    }

    pub(crate) fn set_pace(&mut self, pace: Pace) {
        let Pace { bits, shallow, limit, loses_bursts, is_overrun } = pace;
        let rate = match shallow {
            Some(needed) => (SHALLOW_FACTOR * needed).max(SHALLOW_SHARE * bits),
            None => FACTOR * bits,
        };
        let factor = if loses_bursts { SHORT_LIMIT_FACTOR } else { LIMIT_FACTOR };
        let rate = limit.map_or(rate, |limit| rate.min(factor * limit));
        self.bytes_a_us = if is_overrun { 0.0 } else { rate / 8e6 };
        let depth_us = match shallow {
            Some(_) => SHALLOW_DEPTH_US,
            None if bits > FAST => FAST_DEPTH_US,
            None => DEPTH_US,
        };
        self.most = self.bytes_a_us * depth_us;
        if is_overrun {
            // Nothing leaves, not even what might have at once.
            self.left = self.left.min(0.0);
        }
    }

    #[inline]
    fn fill(&mut self, now: u64) {
        let passed = now.saturating_sub(self.filled_at) as f64;
        self.filled_at = now;
        // What there is at the beginning is more than it fills up to.
        self.left = self.left.max((self.left + passed * self.bytes_a_us).min(self.most));
    }

    /// Whether a packet may leave now.
    #[inline]
    pub(crate) fn is_open(&mut self, now: u64) -> bool {
        self.fill(now);
        self.left > 0.0 && self.held.is_empty()
    }

    /// Whether something may leave that goes before what waits.
    pub(crate) fn has_room(&mut self, now: u64) -> bool {
        self.fill(now);
        self.left > 0.0
    }

    /// Something left. Sound does not wait, but what it takes too much is not paid back for ever.
    #[inline]
    pub(crate) fn charge(&mut self, bytes: usize) {
        self.left = (self.left - bytes as f64).max(-(LONGEST_SCREEN_US as f64) * self.bytes_a_us);
    }

    /// A packet has to wait, of which so many bytes will leave. `false` when too much does already.
    pub(crate) fn hold(&mut self, slot: usize, packet: &Arc<Packet>, bytes: usize, now: u64) -> bool {
        let bytes = bytes.max(LEAST_BYTES);
        if self.held_bytes + bytes > MOST_BYTES {
            return false;
        }
        self.held_bytes += bytes;
        self.held.push_back(Held { slot, packet: packet.clone(), since: now, bytes });
        true
    }

    pub(crate) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// What waits for a slot.
    pub(crate) fn of(&self, slot: usize) -> impl Iterator<Item = &Packet> {
        self.held.iter().filter(move |held| held.slot == slot).map(|held| &*held.packet)
    }

    /// The next packet that may leave, and whether it has waited for too long: then all of its slot is to be let go of.
    pub(crate) fn take(&mut self, now: u64, is_screen: impl Fn(usize) -> bool) -> Option<(Held, bool)> {
        self.fill(now);
        let longest = |held: &Held| if is_screen(held.slot) { LONGEST_SCREEN_US } else { LONGEST_US };
        let is_late = self.held.front().is_some_and(|held| now.saturating_sub(held.since) > longest(held));
        if self.left <= 0.0 && !is_late {
            return None;
        }
        let held = self.held.pop_front()?;
        self.held_bytes -= held.bytes;
        Some((held, is_late))
    }

    /// Nothing of a slot waits any more.
    pub(crate) fn forget(&mut self, slot: usize) {
        self.held.retain(|held| held.slot != slot);
        self.held_bytes = self.held.iter().map(|held| held.bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(bytes: usize) -> Arc<Packet> {
        Arc::new(Packet { payload: vec![0; bytes].into(), ..Packet::blank() })
    }

    #[test]
    fn what_waits_leaves_at_the_pace_and_in_order() {
        // 1 Mbit/s at 2.5 times: a packet of 1,250 bytes each 4 ms.
        let mut pacer = Pacer::new(0, 1e6);
        let mut left = Vec::new();
        for slot in 0..50 {
            if pacer.is_open(0) {
                pacer.charge(1250);
                left.push(slot);
            } else {
                assert!(pacer.hold(slot, &packet(1250), 1250, 0));
            }
        }
        let at_once = left.len();
        for ms in 1..=100 {
            while let Some((held, is_late)) = pacer.take(ms * 1000, |_| false) {
                assert!(!is_late);
                pacer.charge(1250);
                left.push(held.slot);
            }
        }

        assert!((2..=4).contains(&at_once), "{at_once}");
        assert!((24..=30).contains(&left.len()), "{}", left.len());
        assert!(left.is_sorted());
    }

    #[test]
    fn neither_too_much_nor_for_too_long() {
        let mut pacer = Pacer::new(0, 30e3);
        let held = (0..1000).filter(|_| pacer.hold(3, &packet(1000), 1000, 0)).count();

        assert_eq!(held, MOST_BYTES / 1000);
        pacer.charge(100_000);
        assert!(pacer.take(LONGEST_US, |_| false).is_none());
        assert!(pacer.take(LONGEST_US + 1, |_| true).is_none(), "a screen may take longer");
        assert!(pacer.take(LONGEST_US + 1, |_| false).is_some_and(|(_, is_late)| is_late));
        pacer.forget(3);
        assert!(!pacer.is_holding() && pacer.hold(3, &packet(1000), 1000, 0));

        // What will be left out of a stream waits with the rest, and takes no room from it.
        pacer.forget(3);
        assert!((0..2000).all(|_| pacer.hold(3, &packet(1000), 0, 0)));
        assert!(!(0..4000).all(|_| pacer.hold(3, &packet(1000), 0, 0)));

        // Sound that takes more than there is, for minutes, is not paid back for as long.
        pacer.forget(3);
        pacer.charge(10_000_000);
        assert!(!pacer.is_open(LONGEST_US + 1) && pacer.is_open(LONGEST_US + LONGEST_SCREEN_US + 2));
    }
}
