//! Sound that a viewer misses: sent once more within moments, and only where no second copy of it is on its way.

use std::num::NonZeroU8;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{Aim, Past, Viewer};
use crate::following::Following;
use crate::kept::Sound;
use crate::outbox::{AROUND, Outbox};
use crate::payload::red_has_copy;
use crate::rtcp;
use crate::slot::Slot;
use crate::source::{Packet, SOUNDS};

/// How many packets on a second copy may come: browsers send one of the packet before.
const COPIES: u64 = 2;

impl Viewer {
    /// What is watched, or how many of its sounds are to be heard at a time, may have changed.
    pub(crate) fn follow_speakers(&mut self, most: Option<NonZeroU8>) {
        self.most_speakers = most;
        let speakers = self.slots.iter().find_map(|slot| slot.source.as_ref()?.speakers.clone());
        self.following = match (most, speakers) {
            (Some(most), Some(speakers)) => Some(Following::new(speakers, most.get())),
            _ => None,
        };
        self.choose_speakers();
    }

    /// The order of the room's speakers may have changed.
    pub(super) fn choose_speakers(&mut self) {
        match &mut self.following {
            Some(following) => following.choose(&mut self.slots),
            None => self.slots.iter_mut().for_each(|slot| slot.set_quiet(false)),
        }
    }

    /// Sends again what is missing of a sound.
    pub(super) fn resend_sound(
        &mut self,
        at: usize,
        pairs: &[u8],
        aim: Aim,
        past: &dyn Past,
        out: &mut Outbox,
    ) {
        let mut wanted: SmallVec<[u64; SOUNDS]> = SmallVec::new();
        rtcp::for_missing(pairs, |short| {
            let slot = self.slots.get(at);
            let seq = slot.and_then(|slot| slot.sent(short));
            self.counts.unknown += u64::from(seq.is_none());
            let is_heard = self.resends.note_asked(aim.micros, seq.is_some());
            let is_kept = |seq: &u64| slot.and_then(|slot| slot.kept.as_ref()?.get(*seq)).is_some();
            if let Some(seq) = seq.filter(is_kept)
                && is_heard
                && wanted.len() < SOUNDS
                && !wanted.contains(&seq)
            {
                wanted.push(seq);
            }
        });
        for seq in &wanted {
            let is_missing = |seq| wanted.contains(&seq);
            if self.resend_one(at, *seq, is_missing, aim, past, out).is_some() {
                self.counts.resent += 1;
            }
        }
    }

    fn resend_one(
        &mut self,
        at: usize,
        seq: u64,
        is_missing: impl Fn(u64) -> bool,
        aim: Aim,
        past: &dyn Past,
        out: &mut Outbox,
    ) -> Option<()> {
        let slot = self.slots.get(at)?;
        let sound = *slot.kept.as_ref()?.get(seq)?;
        if !sound.may_go(aim.micros, self.estimator.round_trip())
            || is_covered(slot, &sound, is_missing, past)
        {
            return None;
        }
        let packet = find(slot, &sound, past)?;
        let bytes = Slot::payload_bytes(&packet, &sound.rewrite) + AROUND;
        if !self.resends.allows(aim.micros, bytes, self.estimator.bits()) {
            return None;
        }
        let start = out.start();
        let sealed =
            slot.write(&mut out.buffer, &packet, &sound.rewrite, sound.stamps).and_then(|(header, index)| {
                self.protect.as_ref()?.rtp(&mut out.buffer, start, header, slot.ssrc, index)
            });
        if sealed.is_none() {
            out.abandon(start);
            return None;
        }
        out.finish(aim.route, start);
        self.pacer.charge(bytes);
        self.resends.note_again(aim.micros, bytes);
        if let Some(number) = sound.stamps.transport_cc {
            self.estimator.note_again(number);
        }
        self.slots.get_mut(at)?.kept.as_mut()?.note_again(seq, aim.micros);
        Some(())
    }
}

/// The packet that went out.
fn find(slot: &Slot, sound: &Sound, past: &dyn Past) -> Option<Arc<Packet>> {
    past.find(slot.source.as_ref()?, sound.generation, 0, sound.seq).filter(|packet| sound.is_of(packet))
}

/// Whether a packet after it that has come brings a copy of it (RFC 2198).
fn is_covered(slot: &Slot, sound: &Sound, is_missing: impl Fn(u64) -> bool, past: &dyn Past) -> bool {
    let seq = sound.rewrite.seq;
    (seq + 1..=seq + COPIES).any(|next| {
        let brings = || {
            let later = slot.kept.as_ref()?.get(next).filter(|later| later.rewrite.is_doubled())?;
            let ticks = later.rewrite.timestamp.wrapping_sub(sound.rewrite.timestamp);
            Some(red_has_copy(&find(slot, later, past)?.payload, ticks))
        };
        !is_missing(next) && brings() == Some(true)
    })
}
