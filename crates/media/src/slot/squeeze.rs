//! What a viewer begins with: pictures that were taken one after the other and leave at once.

use std::time::Instant;

use smallvec::SmallVec;

use crate::source::{Packet, Recent, SenderClock};

/// Pictures that are sent at once although they were taken one after the other: what a viewer begins with. They are stamped as
/// if they had been taken in a moment, so that the player does not show all that follows later.
pub(crate) struct Squeeze {
    pub(super) generation: u32,
    pub(super) layer: u8,
    pub(super) first: u64,
    pub(super) newest: u64,
    /// Their times, by the publisher.
    pub(super) pictures: SmallVec<[u32; 24]>,
    /// When the newest one came, and its publisher's clock then.
    pub(super) arrived: Instant,
    pub(super) clock: Option<SenderClock>,
    /// The newest one's time on our stream.
    pub(super) timestamp: u32,
}

/// What lies between two such pictures: 2 ms.
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

    /// How long the pictures before the newest take on our stream, in ticks of 90 kHz.
    pub(super) fn before_newest(&self) -> u32 {
        (self.pictures.len() as u32).saturating_sub(1) * SQUEEZED
    }

    pub(super) fn timestamp(&self, packet: &Packet) -> Option<u32> {
        if packet.seq > self.newest
            || packet.seq < self.first
            || packet.generation != self.generation
            || packet.layer != self.layer
        {
            return None;
        }
        let back = self.pictures.iter().rev().position(|picture| *picture == packet.timestamp)?;
        Some(self.timestamp.wrapping_sub(back as u32 * SQUEEZED))
    }
}
