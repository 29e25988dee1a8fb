//! Pictures of which a viewer misses something: what it does not make up itself is sent once more, within bounds, and while it is of use.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::{Aim, Past, Viewer, find};
use crate::outbox::{AROUND, Outbox};
use crate::rtcp;
use crate::shield::Again;
use crate::slot::Slot;
use crate::source::Packet;

/// Retransmissions one report may ask for.
const MAX_WANTED: usize = 1024;

/// Numbers of redundancy that one report may be answered for.
const MOST_NOTHINGS: usize = 16;

/// What is sent again is not older than this: a player has given it up, or asks for a keyframe.
const OLDEST_RESENT: Duration = Duration::from_secs(1);

/// What becomes of a packet that is to be sent again.
enum Fate {
    Goes(Arc<Packet>),
    /// Its player has given it up, or it has gone as often as it may.
    TooLate(Arc<Packet>),
}

impl Fate {
    /// `None` when it has just gone, or is not there any more.
    fn of(slot: &Slot, number: u64, aim: Aim, round_trip: Duration, past: &dyn Past) -> Option<Self> {
        let is_over = slot.repeats.is_over(number, aim.micros, round_trip);
        if !is_over && !slot.repeats.allow(number, aim.micros, round_trip) {
            return None;
        }
        let packet = find(slot, number, past)?;
        let is_old = aim.now.saturating_duration_since(packet.arrived) > OLDEST_RESENT;
        Some(if is_over || is_old { Self::TooLate(packet) } else { Self::Goes(packet) })
    }
}

impl Viewer {
    /// Sends again what is missing, as far as it is worth it and there is room: keyframes first, then the newest. Returns whether
    /// something that pictures hang on will never be there: players wait for it for seconds.
    pub(super) fn resend_missing(
        &mut self,
        ssrc: u32,
        pairs: &[u8],
        aim: Aim,
        past: &dyn Past,
        out: &mut Outbox,
    ) -> bool {
        if self.resends.rests(aim.micros) {
            return false;
        }
        let mut is_hopeless = false;
        let at = self.slots.iter().position(|slot| slot.ssrc == ssrc);
        if let Some(at) = at.filter(|at| self.slots.get(*at).is_some_and(|slot| !slot.is_video)) {
            self.resend_sound(at, pairs, aim, past, out);
            return false;
        }
        if self.estimator.is_overrun() {
            return false;
        }
        let mut wanted = std::mem::take(&mut self.wanted);
        let mut nothings: SmallVec<[u64; MOST_NOTHINGS]> = SmallVec::new();
        wanted.clear();
        let round_trip = self.estimator.round_trip();
        let mut again = Again::new();
        rtcp::for_missing(pairs, |short| {
            let slot = at.and_then(|at| self.slots.get_mut(at));
            let number = slot.as_ref().and_then(|slot| slot.sent(short));
            self.counts.unknown += u64::from(number.is_none());
            if !self.resends.note_asked(aim.micros, number.is_some()) || wanted.len() >= MAX_WANTED {
                return;
            }
            let Some((slot, number)) = slot.zip(number) else { return };
            let is_redundant = slot.lose(number, &mut again);
            if is_redundant
                && slot.counts_by_numbers()
                && nothings.len() < MOST_NOTHINGS
                && slot.repeats.allow(number, aim.micros, round_trip)
            {
                nothings.push(number);
            }
            for number in again.drain(..) {
                match Fate::of(slot, number, aim, round_trip, past) {
                    Some(Fate::Goes(packet)) => wanted.push((slot.is_of_keyframe(&packet), number, packet)),
                    Some(Fate::TooLate(packet)) => {
                        is_hopeless |= slot.hangs_on(&packet) && slot.again(&packet, number).is_some();
                    }
                    None => {}
                }
            }
        });
        // Of keyframes first, then the newest.
        wanted.sort_unstable_by_key(|(is_of_key, seq, _)| std::cmp::Reverse((*is_of_key, *seq)));
        wanted.dedup_by_key(|(_, seq, _)| *seq);
        let estimate = self.estimator.bits();
        for (_, seq, packet) in &wanted {
            let Some(at) = at else { break };
            if !self.resends.allows(aim.micros, packet.payload.len() + AROUND + 2, estimate) {
                break;
            }
            let Some(bytes) = self.resend(at, packet, *seq, aim, out) else { continue };
            self.note_again(at, *seq, bytes, aim.micros);
            self.counts.resent += 1;
        }
        wanted.clear();
        self.wanted = wanted;
        for number in nothings {
            let Some(at) = at.filter(|_| self.resends.allows(aim.micros, AROUND + 2, estimate)) else {
                break;
            };
            if self.say_nothing(at, number, aim, out).is_none() {
                break;
            }
            self.note_again(at, number, AROUND + 2, aim.micros);
        }
        is_hopeless
    }

    /// Sends a packet of nothing for a number under which redundancy was lost.
    fn say_nothing(&mut self, at: usize, number: u64, aim: Aim, out: &mut Outbox) -> Option<()> {
        self.put((at, true), AROUND + 2, aim, out, |slot, buffer, stamps| {
            slot.write_nothing_again(buffer, number, stamps)
        })?;
        self.pacer.charge(AROUND + 2);
        Some(())
    }

    /// Sends a packet once more. Returns its size.
    pub(super) fn resend(
        &mut self,
        at: usize,
        packet: &Packet,
        number: u64,
        aim: Aim,
        out: &mut Outbox,
    ) -> Option<usize> {
        let rewrite = self.slots.get(at)?.again(packet, number)?;
        let bytes = packet.payload.len() + AROUND + 2;
        self.put((at, true), bytes, aim, out, |slot, buffer, stamps| {
            slot.write_again(buffer, packet, &rewrite, stamps)
        })?;
        self.pacer.charge(bytes);
        Some(bytes)
    }

    /// So many bytes were sent for a number once more.
    fn note_again(&mut self, at: usize, number: u64, bytes: usize, now: u64) {
        self.resends.note_again(now, bytes);
        if let Some(slot) = self.slots.get_mut(at) {
            slot.repeats.note(number, now);
        }
    }
}
