//! What each stream of a viewer gets of its link: sound before pictures, every picture before a better one, and no picture at all
//! where not even its lowest layer fits.
//!
//! Layers go up with room to spare and are held without, go down when the link has said so or for a while meant so, and a
//! step that was soon lost again is not tried again soon.

use std::ops::RangeInclusive;
use std::time::Duration;

use smallvec::SmallVec;

use crate::protecting::{Path, Protecting};
use crate::resend;
use crate::slot::Slot;
use crate::source::{MAX_LAYERS, SHARES, Source, StreamKind};
use crate::thinning::ALL;

/// What a step up may take of the estimate; holding it may take all. 1.27 Mbit/s fit a link of 1.5, and 419 kbit/s one of 600.
const UP: f64 = 0.92;

/// After an alarm the estimate is below what the link carries, so that the queue drains (0.85, `rate.rs`). A picture does not
/// pause for that.
const LOWEST: f64 = 1.1;

/// How long a picture may be too large for the estimate before its layer is taken back, and before it pauses.
const DOWN_AFTER_US: u64 = 300_000;
const PAUSE_AFTER_US: u64 = 500_000;

/// How long a picture that has paused does so at least.
const PAUSED_US: u64 = 3_000_000;

/// How much more than it gets a link has to carry, for smaller pictures not to be kept ready.
const STARVED_SPARE: f64 = 2.5;

/// What a picture needs to go on with a share of its frame rate, of what it takes then.
const SPARE: f64 = 2.5;

/// What plain sound is of sound with a second copy (RED, RFC 2198): 35 of 67 kbit/s on the wire.
const PLAIN: f64 = 0.52;

/// The second copy is left out when so little was lost for so long, and comes back when more is.
const COPY_OFF_BELOW: f64 = 0.005;
const COPY_OFF_AFTER_US: u64 = 30_000_000;
const COPY_ON_FROM: f64 = 0.01;

/// Where better pictures are wanted, redundancy takes no more than this of the estimate with all else: what is below two thirds of it
/// raises no estimate (`bwe/estimator.rs`), and it is not redundancy that is to find room for them. And no more than this of what it might
/// have otherwise: padding takes of the same.
const UNSEEN: f64 = 0.6;
const UNSEEN_HELD: f64 = 0.65;
const WHILE_MISSING: f64 = 0.5;

/// What is known of the link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// The estimate, and what is sent again, in bits a second.
    pub(crate) estimate: f64,
    pub(crate) again: f64,
    /// The link has just shown that it is full.
    pub(crate) is_full: bool,
    /// The share of packets that are lost.
    pub(crate) loss: f64,
    /// Without what queues, as far as it is known.
    pub(crate) round_trip: Option<Duration>,
    /// Bursts are lost in it, it has to drain, or others share it.
    pub(crate) is_tight: bool,
    /// What it carried when it was full.
    pub(crate) limit: Option<f64>,
}

impl Room {
    /// What may be used, with something that is held already, or with what is not yet: it must leave room for what is sent
    /// again too.
    fn up_to(&self, is_held: bool) -> f64 {
        if is_held { self.estimate } else { UP * (self.estimate - self.again) }
    }
}

/// A picture, while room is given out.
struct Choice {
    at: usize,
    rank: (bool, std::cmp::Reverse<u8>, std::cmp::Reverse<u32>, usize),
    layer: Option<usize>,
    /// The share of the frame rate of the lowest.
    share: u8,
    /// The highest that is wanted of those that come, or would; and of all, those among them that its publisher cannot send now.
    top: usize,
    hoped: usize,
    /// The one that would be, were it not for losses that a smaller picture with redundancy is better for.
    instead_of: Option<usize>,
}

impl Choice {
    /// The highest that is wanted, whatever is lost.
    fn wanted(&self) -> usize {
        self.instead_of.unwrap_or(self.top)
    }
}

/// Why a picture gets less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The link has no room for more.
    Room,
    /// It has just shown so.
    Full,
    /// So much is lost that a smaller one is better.
    Losses,
}

/// Gives out what a viewer's link carries.
#[derive(Default)]
pub(crate) struct Allocation {
    choices: SmallVec<[Choice; 16]>,
    /// The second copy of sound has been useless since.
    quiet_since: Option<u64>,
    is_copy_useless: bool,
    protecting: Protecting,
    given: f64,
    /// What more would be, in terms of that, had no smaller pictures been chosen on account of losses.
    forgone: f64,
}

impl Allocation {
    /// What all that was given takes, in bits a second.
    pub(crate) fn given(&self) -> f64 {
        self.given
    }

    /// How many times as much is forgone, since smaller pictures were chosen on account of losses; 0 where none are.
    #[inline]
    pub(crate) fn forgone(&self) -> f64 {
        self.forgone
    }

    /// Chooses for each slot. Returns what all that is wanted takes, in bits a second, when some of it does not fit.
    pub(crate) fn allot(&mut self, slots: &mut [Slot], now: u64, mut room: Room) -> Option<f64> {
        let estimate = room.estimate;
        if room.is_full || room.is_tight {
            self.protecting.note_full(now);
        }
        self.protecting.note_path(now, Path { loss: room.loss, round_trip: room.round_trip });
        if self.protecting.spares(now) {
            room.estimate *= LOWEST;
        }
        let (sound, copies) = sound(slots);
        self.list(slots, now);
        let mut used = sound;
        for choice in &mut self.choices {
            let Some(slot) = slots.get(choice.at) else { continue };
            let lowest = lowest(slot);
            let is_held = slot.grant.layer.is_some();
            let has_waited = slot.grant.paused_at.is_none_or(|at| now.saturating_sub(at) >= PAUSED_US);
            let most = if is_held { LOWEST * room.estimate } else { room.up_to(false) };
            let least = share_bits(slot, lowest, 0);
            // Keyframes are of that share, all of them.
            let spare = if is_held || least == bits(slot, lowest) { 1.0 } else { SPARE };
            if used + spare * least <= most && (is_held || has_waited) {
                used += least;
                choice.layer = Some(lowest);
                choice.share = if least < bits(slot, lowest) { 0 } else { ALL };
            }
        }
        used = self.quicken(slots, now, room, used);
        self.judge_copy(now, room.loss);
        let has_copy = slots.iter().any(|slot| !slot.is_video && !slot.is_plain);
        // It is not worth pictures.
        let is_whole = self.choices.iter().all(|choice| choice.share == ALL);
        let has_copy = is_whole && !self.is_copy_useless && used + copies <= room.up_to(has_copy);
        used += if has_copy { copies } else { 0.0 };
        used = self.step_up(slots, now, room, used);
        for slot in slots.iter_mut().filter(|slot| !slot.is_video) {
            slot.is_plain = !has_copy;
        }
        for choice in &self.choices {
            if let Some(slot) = slots.get_mut(choice.at) {
                let meant = choice.layer.map(|layer| (layer as u8, choice.share));
                let is_enough = choice.instead_of.is_some() && choice.layer == Some(choice.top);
                let why = match (room.is_full, is_enough) {
                    (true, _) => Why::Full,
                    (false, true) => Why::Losses,
                    (false, false) => Why::Room,
                };
                settle(slot, meant, now, why);
            }
        }
        self.seek(slots, now, room, used);
        let all: f64 =
            self.choices.iter().filter_map(|choice| Some(bits(slots.get(choice.at)?, choice.top))).sum();
        let is_missing =
            |choice: &Choice| choice.layer.is_none_or(|layer| layer < choice.top) || choice.share != ALL;
        let is_missing = self.choices.iter().any(is_missing);
        let given = used + self.not_yet_given_up(slots);
        self.forgone = if given > 0.0 { self.bits_forgone(slots, estimate - given) / given } else { 0.0 };
        self.given = given + self.protect(slots, Room { estimate, ..room }, given, is_missing);
        is_missing.then_some((sound + copies + all) / UP)
    }

    /// The pictures: screens first, then by what the viewer says, by size, and by age.
    fn list(&mut self, slots: &mut [Slot], now: u64) {
        self.choices.clear();
        for (at, slot) in slots
            .iter_mut()
            .enumerate()
            .filter(|(_, slot)| slot.is_video && !slot.wanted.is_paused && !slot.lacks)
        {
            let Some(source) = slot.source.clone().filter(|source| source.owner().is_some()) else {
                continue;
            };
            let height = slot.grant.height(slot.wanted.max_height, now);
            let lowest = lowest(slot);
            let is_enough = |layer| {
                let below = source.height_or_usual(layer);
                below > 0 && below >= height
            };
            let (mut top, mut hoped) = (lowest, lowest);
            for layer in (lowest + 1..source.layer_count()).filter(|layer| may_step_to(slot, *layer, now)) {
                if source.known_bits(layer) > 0 && !source.rests(layer, now) && !is_enough(top) {
                    top = layer;
                }
                if source.hoped_bits(layer) > 0 && !is_enough(hoped) {
                    hoped = layer;
                }
            }
            let mut instead_of = None;
            if self.protecting.prefers_smaller()
                && slot.redundancy.is_some()
                && let Some((larger, smaller)) = smaller(&source, lowest..=top, now)
            {
                (instead_of, top) = (Some(larger), smaller);
            }
            let is_camera = source.key.kind != StreamKind::Sub;
            let rank = (is_camera, std::cmp::Reverse(slot.wanted.priority), std::cmp::Reverse(height), at);
            self.choices.push(Choice { at, rank, layer: None, share: ALL, top, hoped, instead_of });
        }
        self.choices.sort_unstable_by_key(|choice| choice.rank);
    }

    /// The whole frame rate for each in turn, or as much of it as fits. Returns what is used then.
    fn quicken(&mut self, slots: &[Slot], now: u64, room: Room, mut used: f64) -> f64 {
        for share in (1..SHARES as u8).chain([ALL]) {
            for choice in self.choices.iter_mut().filter(|choice| choice.share < share) {
                let (Some(slot), Some(layer)) = (slots.get(choice.at), choice.layer) else { continue };
                let more = share_bits(slot, layer, share) - share_bits(slot, layer, choice.share);
                let is_held = slot.grant.has_share(layer, share);
                let most = if is_held && share == ALL { LOWEST * room.estimate } else { room.up_to(is_held) };
                if used + more <= most && slot.grant.may_have_share(layer, share, now) {
                    used += more;
                    choice.share = share;
                }
            }
        }
        used
    }

    /// One step for each in turn, as long as one fits.
    /// Returns what is used then.
    fn step_up(&mut self, slots: &[Slot], now: u64, room: Room, mut used: f64) -> f64 {
        let mut has_stepped = true;
        while has_stepped {
            has_stepped = false;
            for choice in self.choices.iter_mut().filter(|choice| choice.share == ALL) {
                let (Some(slot), Some(layer)) = (slots.get(choice.at), choice.layer) else { continue };
                let next = (layer + 1..=choice.top).find(|layer| comes(slot, *layer, now));
                let Some(next) = next.filter(|next| may_step_to(slot, *next, now)) else { continue };
                let more = bits(slot, next) - bits(slot, layer);
                if used + more <= room.up_to(slot.grant.has(next)) {
                    used += more;
                    choice.layer = Some(next);
                    has_stepped = true;
                }
            }
        }
        used
    }

    /// What still comes of larger pictures than are meant, until a keyframe of the smaller ones does.
    fn not_yet_given_up(&self, slots: &[Slot]) -> f64 {
        let more = |choice: &Choice| {
            let slot = slots.get(choice.at)?;
            let meant = choice.layer.map_or(0.0, |layer| share_bits(slot, layer, choice.share));
            let granted = slot.grant.layer.map_or(0.0, |layer| bits(slot, layer.into()));
            let current = slot.current_layer().map_or(0.0, |layer| bits(slot, layer.into()));
            Some((granted.max(current) - meant).max(0.0))
        };
        self.choices.iter().filter_map(more).sum()
    }

    /// What more would be given if no smaller pictures had been chosen on account of losses, of those that would fit.
    fn bits_forgone(&self, slots: &[Slot], mut left: f64) -> f64 {
        let mut all = 0.0;
        for choice in &self.choices {
            let (Some(larger), Some(slot)) = (choice.instead_of, slots.get(choice.at)) else { continue };
            let Some(sent) = slot.current_layer().max(slot.grant.layer) else { continue };
            let more = (bits(slot, larger) - bits(slot, sent.into())).max(0.0);
            if more <= left {
                left -= more;
                all += more;
            }
        }
        all
    }

    /// Gives pictures redundancy of what is left when all have what they may. Returns what that takes.
    fn protect(&mut self, slots: &mut [Slot], room: Room, used: f64, is_missing: bool) -> f64 {
        let takes = |slot: &Slot| slot.redundancy.is_some() && !slot.is_off();
        let current = |slot: &Slot| {
            let layer = slot.current_layer().max(slot.grant.layer)?;
            let bits = share_bits(slot, layer.into(), slot.temporal);
            Some((bits, bits * slot.cost_of_redundancy()))
        };
        let taking = slots.iter().filter(|slot| takes(slot)).filter_map(current);
        let (bare, pictures) = taking.fold((0.0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1));
        let most = match (is_missing, self.protecting.is_on()) {
            (false, is_on) => room.up_to(is_on),
            (true, false) => UNSEEN * room.estimate,
            (true, true) => UNSEEN_HELD * room.estimate,
        };
        let left = room.limit.map_or(most, |limit| most.min(UP * limit)) - used;
        let part = if is_missing { WHILE_MISSING } else { 1.0 };
        let left = left.min(part * resend::share_of_redundancy(room.loss, self.forgone) * bare);
        let share = self.protecting.share(pictures, left);
        for slot in slots.iter_mut() {
            let is_taken = takes(slot);
            slot.protect(if is_taken { share as f32 } else { 0.0 });
        }
        share * pictures
    }

    /// Notes which layers are wanted: those that are given and all below, and the next that fits, be it that its publisher was told
    /// that nobody wants it, or that it has no room to send it: then it will come by itself, and to take it back and want it again
    /// would make the browser begin all layers anew each time.
    fn seek(&self, slots: &[Slot], now: u64, room: Room, used: f64) {
        for choice in &self.choices {
            let Some(slot) = slots.get(choice.at) else { continue };
            let Some(source) = &slot.source else { continue };
            let given = choice.layer.unwrap_or(0).max(usize::from(slot.current_layer().unwrap_or(0)));
            let hoped = |layer: usize| f64::from(source.hoped_bits(layer));
            let more = |layer: usize| hoped(layer) - bits(slot, given);
            let has_room = |layer: usize| match layer == given {
                true => choice.layer == Some(given),
                false => used + more(layer) <= room.up_to(false),
            };
            let mut alone = (given..=choice.hoped).filter(|layer| source.is_alone(*layer, now));
            if let Some(alone) = alone.next_back().filter(|layer| has_room(*layer)) {
                source.seek(alone, now);
                continue;
            }
            // Where the publisher has no room for more, what is below takes it from what is watched: who has room to spare does
            // without it.
            let is_starved = choice.hoped > choice.wanted() && room.estimate > STARVED_SPARE * used;
            let least = if is_starved && choice.layer == Some(given) { given } else { 0 };
            (least..=given).for_each(|layer| source.seek(layer, now));
            let next =
                (given + 1..=choice.hoped).find(|layer| hoped(*layer) > 0.0 && !source.rests(*layer, now));
            if let Some(next) = next.filter(|next| has_room(*next)) {
                source.seek(next, now);
            }
        }
    }

    fn judge_copy(&mut self, now: u64, loss: f64) {
        if loss >= COPY_ON_FROM {
            self.is_copy_useless = false;
        }
        if loss >= COPY_OFF_BELOW {
            self.quiet_since = None;
        } else if now.saturating_sub(*self.quiet_since.get_or_insert(now)) >= COPY_OFF_AFTER_US {
            self.is_copy_useless = true;
        }
    }
}

/// What plain sound takes, and what its second copies take more.
fn sound(slots: &[Slot]) -> (f64, f64) {
    let (mut plain, mut copies) = (0.0, 0.0);
    for slot in slots.iter().filter(|slot| !slot.is_video && !slot.is_off()) {
        let bits = bits(slot, 0);
        // Of what is encrypted from end to end nothing is taken off.
        let share = if slot.is_doubled && !slot.is_sealed() { PLAIN } else { 1.0 };
        plain += bits * share;
        copies += bits * (1.0 - share);
    }
    (plain, copies)
}

fn bits(slot: &Slot, layer: usize) -> f64 {
    slot.source.as_ref().map_or(0.0, |source| f64::from(source.known_bits(layer)))
}

/// What a layer takes with a share of its frame rate.
fn share_bits(slot: &Slot, layer: usize, share: u8) -> f64 {
    slot.source.as_ref().map_or(0.0, |source| f64::from(source.share_bits(layer, share)))
}

/// Whether a layer is being sent by its publisher.
fn comes(slot: &Slot, layer: usize, now: u64) -> bool {
    slot.source.as_ref().is_some_and(|source| source.comes(layer) || source.comes_instead(layer, now))
}

/// Whether a layer may be tried, as far as is known of former tries. One that comes instead of the smaller ones, which end where it
/// begins, is not put off because its publisher had no room for it before.
fn may_step_to(slot: &Slot, layer: usize, now: u64) -> bool {
    let is_instead = || slot.source.as_ref().is_some_and(|source| source.comes_instead(layer, now));
    slot.grant.may_step_to(layer, now) || !slot.grant.is_kept_by_link(layer, now) && is_instead()
}

/// The lowest layer there is.
fn lowest(slot: &Slot) -> usize {
    let Some(source) = &slot.source else { return 0 };
    (0..source.layer_count()).find(|layer| source.known_bits(*layer) > 0).unwrap_or(0)
}

/// The largest of these layers that comes, and the next smaller one that does, where there are both. Text is nothing for that, nor what
/// its publisher sends instead of the smaller ones.
fn smaller(source: &Source, layers: RangeInclusive<usize>, now: u64) -> Option<(usize, usize)> {
    let mut coming = layers.rev().filter(|layer| source.comes(*layer) && !source.rests(*layer, now));
    let (larger, smaller) = (coming.next()?, coming.next()?);
    let may_be = source.key.kind != StreamKind::Sub && !source.is_alone(larger, now);
    may_be.then_some((larger, smaller))
}

/// Gives a slot what is meant for it, a layer and the share of its frame rate: more at once, less when it has to be.
fn settle(slot: &mut Slot, meant: Option<(u8, u8)>, now: u64, why: Why) {
    let is_gone = slot.grant.layer.is_some_and(|layer| !comes(slot, layer.into(), now));
    let grant = &mut slot.grant;
    let former = grant.layer.map(|layer| (layer, grant.share));
    let (layer, share) = (meant.map(|(layer, _)| layer), meant.map_or(ALL, |(_, share)| share));
    if meant >= former {
        if meant > former {
            grant.gained_at = now;
        }
        grant.lower_since = None;
        if meant.is_some() {
            grant.paused_at = None;
        }
    } else {
        let since = *grant.lower_since.get_or_insert(now);
        let patience = if meant.is_none() { PAUSE_AFTER_US } else { DOWN_AFTER_US };
        // What does not come is not waited for.
        let is_urgent = why == Why::Full || is_gone && meant.is_some();
        if !is_urgent && now.saturating_sub(since) < patience {
            return;
        }
        // What its publisher has taken back was not too much for the link.
        let is_taken_back = |layer: u8| {
            let source = slot.source.as_ref();
            source.is_some_and(|source| source.is_alone(layer.into(), now) && source.bits(layer.into()) == 0)
        };
        let is_lost = |lost: &u8| meant.is_some() && why != Why::Losses && !is_taken_back(*lost);
        if let Some(lost) = grant.layer.filter(is_lost) {
            let what = if grant.layer == layer { MAX_LAYERS } else { lost.into() };
            grant.lose(what, now, is_gone && why != Why::Full);
        }
        grant.lower_since = None;
        grant.gained_at = now;
        if meant.is_none() {
            grant.paused_at = Some(now);
        }
    }
    (grant.layer, grant.share) = (layer, share);
    slot.temporal = share;
    match slot.grant.layer {
        Some(layer) => {
            slot.target = layer;
            slot.is_held = false;
        }
        None if !slot.is_held => {
            slot.is_held = true;
            slot.halt();
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::dynacast::Wants;
    use crate::slot::Wanted;
    use crate::source::{RoomKey, SourceKey, Sources};

    const CAMERA: &[u32] = &[100_000, 300_000, 1_000_000];

    fn video(user: &str, kind: StreamKind, layers: &[u32], wanted: Wanted) -> Slot {
        let sources = Sources::default();
        let source = sources.get(&SourceKey { room: RoomKey(1), user: user.into(), kind });
        sources.publish(&source, 0, layers.len(), 720);
        for (layer, bits) in source.layers.iter().zip(layers) {
            layer.bits.store(*bits, Ordering::Relaxed);
        }
        let mut slot = Slot::new("1", true, 1, None);
        slot.set_source(Some(source));
        slot.set_wanted(wanted);
        slot
    }

    fn room(estimate: f64) -> Room {
        Room {
            estimate,
            again: 0.0,
            is_full: false,
            loss: 0.0,
            round_trip: None,
            is_tight: false,
            limit: None,
        }
    }

    /// What each has after a while on a link of that width: a layer, or nothing.
    fn granted(slots: &mut [Slot], estimate: f64) -> Vec<Option<u8>> {
        let mut allocation = Allocation::default();
        for tenth in 1..50 {
            allocation.allot(slots, tenth * 100_000, room(estimate));
        }
        slots.iter().map(|slot| slot.grant.layer).collect()
    }

    #[test]
    fn a_screen_goes_before_cameras_and_a_camera_by_its_priority() {
        let urgent = Wanted { priority: 9, ..Wanted::default() };
        let mut slots = [
            video("ann", StreamKind::Main, CAMERA, Wanted::default()),
            video("ben", StreamKind::Main, CAMERA, urgent),
            video("cat", StreamKind::Sub, &[1_000_000], Wanted::default()),
        ];

        assert_eq!(granted(&mut slots, 3e6), [Some(1), Some(2), Some(0)]);
        let mut slots = [
            video("ann", StreamKind::Main, CAMERA, Wanted::default()),
            video("ben", StreamKind::Main, CAMERA, urgent),
            video("cat", StreamKind::Sub, &[1_000_000], Wanted::default()),
        ];
        assert_eq!(granted(&mut slots, 1.02e6), [None, Some(0), Some(0)]);
    }

    #[test]
    fn cameras_share_what_there_is_and_small_ones_take_no_more_than_they_show() {
        let small = Wanted { max_height: 180, ..Wanted::default() };
        let mut slots = [
            video("ann", StreamKind::Main, CAMERA, Wanted::default()),
            video("ben", StreamKind::Main, CAMERA, Wanted::default()),
            video("cat", StreamKind::Main, CAMERA, small),
        ];

        assert_eq!(granted(&mut slots, 900e3), [Some(1), Some(1), Some(0)]);
    }

    #[test]
    fn a_layer_that_its_publisher_has_no_room_for_is_not_asked_for_all_the_time() {
        let mut slots = [video("ann", StreamKind::Main, CAMERA, Wanted::default())];
        let source = slots[0].source.clone().unwrap();
        source.describe(2, 720, 1_000_000);
        source.layers[2].bits.store(0, Ordering::Relaxed);
        let mut wants = Wants::new(&source, 0);
        let mut allocation = Allocation::default();
        let mut told = Vec::new();
        for tenth in 1..600 {
            allocation.allot(&mut slots, tenth * 100_000, room(5e6));
            if wants.look(&source, false, tenth * 100_000) {
                told.push(wants.told().collect::<Vec<_>>());
            }
        }

        // What is not needed either leaves its room to what is watched.
        assert_eq!(told, [[false, true, true], [false, true, false]]);
        assert_eq!(slots[0].grant.layer, Some(1));
    }

    #[test]
    fn a_layer_that_comes_instead_of_the_smaller_ones_is_taken_though_it_was_lost_a_moment_ago() {
        let mut slots = [video("ann", StreamKind::Main, &CAMERA[..2], Wanted::default())];
        let source = slots[0].source.clone().unwrap();
        let mut allocation = Allocation::default();
        let bits = |layer: usize, bits| source.layers[layer].bits.store(bits, Ordering::Relaxed);
        let mut granted = Vec::new();
        for tenth in 1..40 {
            match tenth {
                10 => source.layers[1].is_held_up.store(true, Ordering::Relaxed),
                15 => {
                    source.remember(1, false);
                    bits(1, 0);
                    source.set_alone(1, 1_000_000_000);
                }
                // Its publisher ends the smaller one where it begins with this one; what that takes is measured later.
                30 => {
                    source.layers[1].is_held_up.store(false, Ordering::Relaxed);
                    source.layers[1].has_begun.store(true, Ordering::Relaxed);
                }
                _ => {}
            }
            allocation.allot(&mut slots, tenth * 100_000, room(5e6));
            if granted.last().is_none_or(|(_, layer)| *layer != slots[0].grant.layer) {
                granted.push((tenth, slots[0].grant.layer));
            }
        }

        assert_eq!(granted, [(1, Some(1)), (10, Some(0)), (30, Some(1))]);
    }

    #[test]
    fn a_link_that_does_not_carry_a_layer_is_not_tried_again_at_once_though_the_layer_comes_instead_of_the_smaller_ones()
     {
        let mut slots = [video("ann", StreamKind::Main, &CAMERA[..2], Wanted::default())];
        let source = slots[0].source.clone().unwrap();
        source.set_alone(1, 1_000_000_000);
        let mut allocation = Allocation::default();
        let (mut steps, mut layer) = (0, Some(0));
        for tenth in 1..100 {
            // It seems wide every other moment.
            let is_full = tenth % 10 >= 5;
            let estimate = if is_full { 200e3 } else { 2e6 };
            allocation.allot(&mut slots, tenth * 100_000, Room { is_full, ..room(estimate) });
            steps += usize::from(slots[0].grant.layer > layer);
            layer = slots[0].grant.layer;
        }

        assert_eq!(steps, 2, "at the beginning, and five seconds later");
    }

    #[test]
    fn where_much_is_lost_on_a_long_path_a_smaller_picture_goes_with_redundancy_and_the_larger_comes_back() {
        let mut slots = [video("ann", StreamKind::Main, CAMERA, Wanted::default())];
        slots[0].redundancy = Some(crate::shield::Redundancy { red: 114, fec: 116 });
        let mut allocation = Allocation::default();
        let mut steps = Vec::new();
        let mut most: f64 = 0.0;
        for tenth in 1..600 {
            let loss = if (100..300).contains(&tenth) { 0.1 } else { 0.03 };
            let far = Some(Duration::from_millis(100));
            let room = Room { loss, round_trip: far, ..room(2e6) };
            let missing = allocation.allot(&mut slots, tenth * 100_000, room);
            assert_eq!(missing, None, "nothing more is looked for");
            most = most.max(allocation.given());
            if steps.last().is_none_or(|(_, layer)| *layer != slots[0].grant.layer) {
                steps.push((tenth, slots[0].grant.layer));
            }
        }

        // At once in what it began with, and when less has been lost for ten seconds it is not kept from what it had before.
        let [(_, Some(2)), (down, Some(1)), (up, Some(2))] = steps[..] else { panic!("{steps:?}") };
        assert!((101..=105).contains(&down) && (399..=402).contains(&up), "{steps:?}");
        assert!(most <= 1.3 * 1e6, "{most}");
    }

    #[test]
    fn all_sizes_are_kept_ready_while_much_is_lost_and_a_picture_alone_in_its_stream_stays() {
        let redundancy = Some(crate::shield::Redundancy { red: 114, fec: 116 });
        let room = Room { loss: 0.1, round_trip: Some(Duration::from_millis(100)), ..room(2e6) };
        let mut slots = [video("ann", StreamKind::Main, CAMERA, Wanted::default())];
        slots[0].redundancy = redundancy;
        let source = slots[0].source.clone().unwrap();
        let mut wants = Wants::new(&source, 0);
        let mut allocation = Allocation::default();
        for tenth in 1..200 {
            allocation.allot(&mut slots, tenth * 100_000, room);
            wants.look(&source, false, tenth * 100_000);
        }

        assert_eq!(slots[0].grant.layer, Some(1));
        assert_eq!(wants.told().collect::<Vec<_>>(), [true, true, true]);
        assert!((2.3..2.4).contains(&allocation.forgone()), "{}", allocation.forgone());

        // Nor is text made smaller, nor what comes instead of the smaller ones, nor is there any room that the link has not.
        let mut alone = video("ben", StreamKind::Main, CAMERA, Wanted::default());
        alone.source.as_ref().unwrap().set_alone(2, 1_000_000_000);
        let mut screen = video("cat", StreamKind::Sub, CAMERA, Wanted::default());
        (alone.redundancy, screen.redundancy) = (redundancy, redundancy);
        let mut slots = [alone, screen];
        let mut allocation = Allocation::default();
        for tenth in 1..200 {
            allocation.allot(&mut slots, tenth * 100_000, Room { estimate: 4e6, ..room });
        }
        assert_eq!(slots.each_ref().map(|slot| slot.grant.layer), [Some(2), Some(2)]);
        assert_eq!(allocation.forgone(), 0.0);
        let mut slots = [video("ann", StreamKind::Main, CAMERA, Wanted::default())];
        slots[0].redundancy = redundancy;
        let mut allocation = Allocation::default();
        for tenth in 1..200 {
            allocation.allot(&mut slots, tenth * 100_000, Room { estimate: 800e3, ..room });
        }
        assert_eq!((slots[0].grant.layer, allocation.forgone()), (Some(1), 0.0));
    }

    #[test]
    fn a_smaller_picture_is_kept_ready_where_the_link_may_need_it() {
        let mut slots = [video("ann", StreamKind::Main, CAMERA, Wanted::default())];
        let source = slots[0].source.clone().unwrap();
        source.describe(2, 720, 1_000_000);
        source.layers[2].bits.store(0, Ordering::Relaxed);
        let mut wants = Wants::new(&source, 0);
        let mut allocation = Allocation::default();
        for tenth in 1..200 {
            allocation.allot(&mut slots, tenth * 100_000, room(500e3));
            wants.look(&source, false, tenth * 100_000);
        }

        assert_eq!(wants.told().collect::<Vec<_>>(), [true, true, false]);
    }

    #[test]
    fn a_step_that_is_lost_at_once_is_not_taken_again_at_once() {
        let mut slots = [video("ann", StreamKind::Main, CAMERA, Wanted::default())];
        let mut allocation = Allocation::default();
        let mut steps = 0;
        let mut layer = Some(0);
        for tenth in 1..600 {
            // The link seems wide whenever little is sent, and is not.
            let is_full = layer >= Some(2);
            let estimate = if is_full { 500e3 } else { 2e6 };
            allocation.allot(&mut slots, tenth * 100_000, Room { is_full, ..room(estimate) });
            steps += usize::from(slots[0].grant.layer > layer && slots[0].grant.layer == Some(2));
            layer = slots[0].grant.layer;
        }

        assert!((3..=5).contains(&steps), "{steps} in a minute");
    }
}
