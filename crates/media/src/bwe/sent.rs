//! What was sent, under which transport-wide number, and what became of it.

use crate::rtcp::Arrival;

/// Packets that are remembered: 2 s of what is sent, within bounds. 8,192 packets are 2 s at 40 Mbit/s.
const FEWEST: usize = 1024;
const MOST: usize = 8192;
const REMEMBERED_US: u64 = 2_000_000;

/// Packets that one report may call missing, for the next to confirm it.
const MOST_MISSING: usize = 1024;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Flying,
    /// One report has said so; the next may have it arrived, out of order.
    Missing,
    Lost,
    Arrived,
}

#[derive(Clone, Copy, Default)]
struct Packet {
    at: u64,
    size: u16,
    /// The probe it is part of; 0 for none.
    probe: u16,
    /// The queue that it was sent into, as far as we made it ourselves, in milliseconds.
    own_ms: u8,
    state: State,
    /// It went out once more under the same number: its arrival says nothing of the link.
    is_again: bool,
}

/// A packet that has arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrived {
    /// By our clock, and by the receiver's, in microseconds.
    pub(super) sent: u64,
    pub(super) arrival: i64,
    pub(super) size: u16,
    pub(super) probe: u16,
    pub(super) own_ms: u8,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    /// The queue that we had made ourselves before it, in milliseconds.
    pub(super) own_ms: u8,
    pub(super) is_lost: bool,
}

/// What a report brought, besides arrivals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) arrived: u32,
    pub(super) lost: u32,
    /// Had been counted as lost.
    pub(super) back: u32,
    /// Told of numbers that were not sent, or long ago.
    pub(super) absurd: u32,
    /// When the newest packet that arrived was sent.
    pub(super) newest: Option<u64>,
}

#[derive(Default)]
pub(super) struct Sent {
    ring: Vec<Packet>,
    /// The next packet's number; 0 before the first.
    next: u64,
    /// What the former report called missing, and what this one does.
    missing: Vec<u64>,
    fresh: Vec<u64>,
}

impl Sent {
    /// A packet goes out. Returns its number.
    #[inline]
    pub(super) fn push(&mut self, at: u64, size: u16, probe: u16, own_ms: u8) -> u16 {
        let length = self.ring.len();
        let (seq, place) = (self.next, self.next as usize % length.max(1));
        let former = self.ring.get(place).map(|packet| packet.at);
        if former.is_none()
            || length < MOST
                && former.is_some_and(|before| at - before < REMEMBERED_US && seq as usize >= length)
        {
            self.grow();
        }
        self.next += 1;
        if let Some(packet) = self.slot(seq) {
            *packet = Packet { at, size, probe, own_ms, state: State::Flying, is_again: false };
        }
        seq as u16
    }

    /// More room; every number moves to its place in it.
    fn grow(&mut self) {
        let before = std::mem::take(&mut self.ring);
        self.ring.resize((2 * before.len()).clamp(FEWEST, MOST), Packet::default());
        let length = before.len() as u64;
        for seq in self.next.saturating_sub(length)..self.next {
            if let (Some(packet), Some(slot)) = (before.get((seq % length) as usize), self.slot(seq)) {
                *slot = *packet;
            }
        }
    }

    fn slot(&mut self, seq: u64) -> Option<&mut Packet> {
        let length = self.ring.len().max(1);
        self.ring.get_mut(seq as usize % length)
    }

    /// The whole number nearest below the next one that ends with `short`, if it is still remembered.
    fn whole(&self, short: u16) -> Option<u64> {
        let back = (self.next as u16).wrapping_sub(short);
        let seq = self.next.checked_sub(back.into())?;
        (back > 0 && usize::from(back) <= self.ring.len()).then_some(seq)
    }

    /// Feedback came, which calls what it is given for each number that it tells of: `take` is called for each packet that arrived, and `end` for each of which it is known what became of it,
    /// those of probes apart: what is lost of a probe is the probe's doing.
    pub(super) fn settle(
        &mut self,
        told: impl FnOnce(&mut dyn FnMut(u16, Arrival)),
        mut take: impl FnMut(Arrived),
        mut end: impl FnMut(Fate),
    ) -> Tally {
        let mut tally = Tally::default();
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.clear();
        told(&mut |short, arrival| {
            let Some(seq) = self.whole(short) else {
                tally.absurd += 1;
                return;
            };
            let Some(packet) = self.slot(seq) else { return };
            match (arrival, packet.state) {
                (_, State::Arrived) | (None, State::Missing | State::Lost) => {}
                (None, State::Flying) => {
                    packet.state = State::Missing;
                    if fresh.len() < MOST_MISSING {
                        fresh.push(seq);
                    }
                }
                // The first of the two was lost, or nobody would have asked for another.
                (Some(_), before) if packet.is_again => {
                    packet.state = State::Arrived;
                    tally.lost += u32::from(packet.probe == 0 && before != State::Lost);
                }
                (Some(arrival), before) => {
                    packet.state = State::Arrived;
                    let is_usual = packet.probe == 0;
                    tally.arrived += u32::from(is_usual);
                    tally.back += u32::from(is_usual && before == State::Lost);
                    tally.newest = tally.newest.max(Some(packet.at));
                    let Packet { at: sent, size, probe, own_ms, .. } = *packet;
                    if is_usual {
                        end(Fate { own_ms, is_lost: false });
                    }
                    take(Arrived { sent, arrival, size, probe, own_ms });
                }
            }
        });
        let missing = std::mem::replace(&mut self.missing, fresh);
        for seq in &missing {
            if let Some(packet) = self.slot(*seq).filter(|packet| packet.state == State::Missing) {
                packet.state = State::Lost;
                if packet.probe == 0 {
                    tally.lost += 1;
                    end(Fate { own_ms: packet.own_ms, is_lost: true });
                }
            }
        }
        self.fresh = missing;
        tally
    }

    /// The last 16 bits of the next packet's number.
    pub(super) fn next(&self) -> u16 {
        self.next as u16
    }

    /// A packet goes out again as it was, its number and all.
    pub(super) fn note_again(&mut self, short: u16) {
        if let Some(packet) = self.whole(short).and_then(|seq| self.slot(seq)) {
            packet.is_again = true;
        }
    }

    /// Nothing that was sent before is waited for any more.
    pub(super) fn forget(&mut self) {
        for packet in &mut self.ring {
            packet.state = State::Arrived;
        }
        self.missing.clear();
    }
}
