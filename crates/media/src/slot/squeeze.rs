//! What a viewer begins with: pictures that were taken one after the other and leave at once.

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::source::{Packet, Recent, SenderClock};

/// Pictures that are sent at once although they were taken one after the other: what a viewer begins with. They are stamped as
/// if they had been taken in a moment, so that the player does not show all that follows later.
pub(crate) struct Squeeze {
    generation: u32,
    layer: u8,
    first: u64,
    newest: u64,
    /// Their times, by the publisher.
    pictures: SmallVec<[u32; 24]>,
    /// When the newest one came, and its publisher's clock then.
    pub(super) arrived: Instant,
    clock: Option<SenderClock>,
    /// The newest one's time on our stream, and what lies between two.
    timestamp: u32,
    step: u32,
    /// Of the segment that begins with it.
    offset: u32,
}

/// What lies between two such pictures at most: 2 ms.
const SQUEEZED: u32 = 180;

impl Squeeze {
    pub(crate) fn new(recent: &Recent, layer: u8) -> Self {
        Self {
            generation: recent.generation,
            layer,
            first: recent.first,
            newest: recent.newest,
            pictures: SmallVec::new(),
            arrived: recent.began,
            clock: None,
            timestamp: 0,
            step: SQUEEZED,
            offset: 0,
        }
    }

    /// The next packet.
    pub(crate) fn push(&mut self, packet: &Packet) {
        if self.pictures.last() != Some(&packet.timestamp) {
            self.pictures.push(packet.timestamp);
        }
        self.arrived = packet.arrived;
        self.clock = packet.clock.or(self.clock);
    }

    /// Whether it begins with that packet.
    pub(super) fn begins_with(&self, packet: &Packet) -> bool {
        packet.seq == self.first && self.is_of(packet)
    }

    fn is_of(&self, packet: &Packet) -> bool {
        (self.first..=self.newest).contains(&packet.seq)
            && packet.generation == self.generation
            && packet.layer == self.layer
    }

    /// When the newest one was taken, by its publisher's clock, in microseconds.
    pub(super) fn at(&self, rate: u32) -> Option<i64> {
        Some(self.clock?.at(*self.pictures.last()?, rate))
    }

    /// They are shown from now on: the newest `passed` ticks after `before`, or at `first` without that, and those before it right before.
    /// Returns by how much the publisher's times are to be moved.
    pub(super) fn show(&mut self, before: Option<(u32, u32)>, first: u32) -> u32 {
        let count = (self.pictures.len() as u32).max(1);
        let newest = self.pictures.last().copied().unwrap_or(first);
        self.timestamp = match before {
            Some((before, passed)) => {
                let passed = passed.max(count);
                self.step = SQUEEZED.min(passed / count);
                before.wrapping_add(passed)
            }
            None => first.wrapping_add((count - 1) * self.step),
        };
        self.offset = self.timestamp.wrapping_sub(newest);
        self.offset
    }

    /// The time of a packet on our stream, if it is one of those, of the segment whose times are moved so much.
    pub(super) fn timestamp(&self, offset: u32, packet: &Packet) -> Option<u32> {
        if offset != self.offset || !self.is_of(packet) {
            return None;
        }
        Some(self.timestamp.wrapping_sub(self.ticks_before_newest(packet)?))
    }

    fn ticks_before_newest(&self, packet: &Packet) -> Option<u32> {
        let back = self.pictures.iter().rev().position(|picture| *picture == packet.timestamp)?;
        Some(back as u32 * self.step)
    }

    /// When a packet that is one of those counts as taken, by its publisher's clock, and as come: as much before the newest as it is shown.
    pub(super) fn moment(&self, packet: &Packet, rate: u32) -> Option<(Option<i64>, Instant)> {
        // First, since nearly all packets are none of those.
        let ticks = if self.is_of(packet) { self.ticks_before_newest(packet)? } else { return None };
        let before = u64::from(ticks) * 1_000_000 / u64::from(rate.max(1));
        let arrived = self.arrived.checked_sub(Duration::from_micros(before)).unwrap_or(self.arrived);
        Some((self.at(rate).map(|at| at - before.cast_signed()), arrived))
    }
}
