//! What a viewer makes up itself of what it says it has lost: only the rest has to be sent again. So redundancy takes the place of
//! retransmissions instead of coming on top of them.

use std::collections::VecDeque;

use smallvec::SmallVec;

/// The bits of a mask (RFC 5109 7.4), and the most sums of a group.
pub(super) const MASK_BITS: u64 = 16;
pub(super) const MOST_SUMS: usize = 5;

// Of a group, each has a bit among those that a viewer has lost.
const _: () = assert!(MOST_SUMS <= u8::BITS as usize);

/// Groups that are looked back to: a second of 30 large pictures, as far as anything is sent again.
const GROUPS: usize = 64;

/// What is to be sent again, by number.
pub(crate) type Again = SmallVec<[u64; 4]>;

/// A group whose sums have gone out.
#[derive(Debug, Default)]
struct Covered {
    base: u64,
    /// Each sum by its own number, and what it is of: a bit a packet, as on the wire.
    sums: SmallVec<[(u64, u16); MOST_SUMS]>,
    /// Packets and sums that the viewer has asked for, and packets of those that have not been sent again: it has what makes them up.
    lost: u16,
    lost_sums: u8,
    put_off: u16,
}

/// The newest last.
#[derive(Debug, Default)]
pub(super) struct Mended {
    groups: VecDeque<Covered>,
}

/// The bit of a packet in a group's masks.
fn bit(base: u64, number: u64) -> Option<u16> {
    number.checked_sub(base).filter(|place| *place < MASK_BITS).map(in_mask)
}

fn in_mask(place: u64) -> u16 {
    1 << (MASK_BITS - 1 - place)
}

impl Covered {
    fn covers(&self, number: u64) -> bool {
        bit(self.base, number).is_some_and(|bit| self.sums.iter().any(|(_, mask)| mask & bit != 0))
    }

    /// What cannot be made up, as far as is known of what was lost: a sum makes up the only one that is missing of it.
    fn missing(&self) -> u16 {
        let sums = || self.sums.iter().enumerate().filter(|(at, _)| self.lost_sums & 1 << at == 0);
        let mut missing = self.lost;
        while let Some((_, (_, mask))) = sums().find(|(_, (_, mask))| (mask & missing).count_ones() == 1) {
            missing &= !mask;
        }
        missing
    }

    /// Something more is lost: what was put off and cannot be made up any more.
    fn give_up(&mut self, again: &mut Again) {
        let given_up = self.missing() & self.put_off;
        self.put_off &= !given_up;
        let places = (0..MASK_BITS).filter(|place| given_up & in_mask(*place) != 0);
        again.extend(places.map(|place| self.base + place));
    }
}

impl Mended {
    /// A sum of the group that begins with `base` goes out under a number.
    pub(super) fn note(&mut self, base: u64, number: u64, mask: u16) {
        if self.groups.back().is_none_or(|newest| newest.base != base) {
            if self.groups.len() == GROUPS {
                self.groups.pop_front();
            }
            self.groups.push_back(Covered { base, ..Covered::default() });
        }
        if let Some(group) = self.groups.back_mut() {
            group.sums.push((number, mask));
        }
    }

    /// The viewer asks for a packet. Adds to `again` what is to be sent: nothing of what it will make up, which it asks for a second
    /// time if it did not.
    pub(super) fn lose(&mut self, number: u64, again: &mut Again) {
        let group = self.groups.iter_mut().rev().find(|group| group.covers(number));
        let Some((group, bit)) = group.and_then(|group| bit(group.base, number).map(|bit| (group, bit)))
        else {
            again.push(number);
            return;
        };
        if group.lost & bit != 0 {
            group.put_off &= !bit;
            again.push(number);
            return;
        }
        group.lost |= bit;
        group.put_off |= bit;
        group.give_up(again);
    }

    /// The viewer asks for a sum: what it was to make up may have to be sent again.
    pub(super) fn lose_sum(&mut self, number: u64, again: &mut Again) {
        for group in self.groups.iter_mut().rev() {
            if let Some(at) = group.sums.iter().position(|(sum, _)| *sum == number) {
                group.lost_sums |= 1 << at;
                group.give_up(again);
                return;
            }
        }
    }
}
