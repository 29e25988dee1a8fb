//! What was sent of a sound in the last moments, so that it can be sent once more: browsers take sound again under the number and
//! on the stream it had, not on another as pictures.
//!
//! Invariant: the second copy is the first, byte for byte, as an index of SRTP must never seal two texts (RFC 3711 9.1). All that
//! was written that does not follow from the packet itself, or never changes, is kept here; the packet is the publisher's own,
//! which nothing changes and which is found by its number in its publication, and told from another that would claim the same by
//! when it came. What cannot be found any more is not sent again.

use std::time::{Duration, Instant};

use crate::resend::may_repeat;
use crate::rewrite::{Rewrite, Stamps};
use crate::source::{Packet, SOUNDS};

/// Sound is not sent again when it went out longer ago than this: a player has concealed it by then.
const OLDEST_US: u64 = 150_000;

/// A packet of sound as it went out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sound {
    pub(crate) rewrite: Rewrite,
    pub(crate) stamps: Stamps,
    /// The packet: its publication, its number there, and when it came.
    pub(crate) generation: u32,
    pub(crate) seq: u64,
    arrived: Instant,
    /// When it went out, and when it last did so again and how often, in microseconds since the start.
    at: u64,
    again_at: u64,
    times: u8,
}

impl Sound {
    /// Whether a packet is the one that went out.
    pub(crate) fn is_of(&self, packet: &Packet) -> bool {
        packet.generation == self.generation && packet.seq == self.seq && packet.arrived == self.arrived
    }

    /// Whether it may go again on a path of that round trip.
    pub(crate) fn may_go(&self, now: u64, round_trip: Duration) -> bool {
        now.saturating_sub(self.at) <= OLDEST_US
            && may_repeat(self.times, now.saturating_sub(self.again_at), round_trip)
    }
}

/// The last packets of a slot.
#[derive(Default)]
pub(crate) struct Kept {
    ring: [Option<Sound>; SOUNDS],
}

impl Kept {
    /// A packet goes out for the first time.
    pub(crate) fn note(&mut self, packet: &Packet, rewrite: &Rewrite, stamps: Stamps, now: u64) {
        if let Some(place) = self.ring.get_mut(rewrite.seq as usize % SOUNDS) {
            *place = Some(Sound {
                rewrite: *rewrite,
                stamps,
                generation: packet.generation,
                seq: packet.seq,
                arrived: packet.arrived,
                at: now,
                again_at: 0,
                times: 0,
            });
        }
    }

    /// What went out under a number.
    pub(crate) fn get(&self, seq: u64) -> Option<&Sound> {
        self.ring.get(seq as usize % SOUNDS)?.as_ref().filter(|sound| sound.rewrite.seq == seq)
    }

    /// It goes out again.
    pub(crate) fn note_again(&mut self, seq: u64, now: u64) {
        if let Some(sound) = self.ring.get_mut(seq as usize % SOUNDS).and_then(Option::as_mut) {
            sound.times = sound.times.saturating_add(1);
            sound.again_at = now;
        }
    }
}
