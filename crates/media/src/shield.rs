//! Redundancy for pictures (ULPFEC, RFC 5109, each packet in RED, RFC 2198): what a viewer on a long path loses of a picture, it makes
//! up itself, a round trip sooner than it could be sent again. It knows bytes, whatever is in them.
//!
//! How libwebrtc's receiver has it, which is that of all browsers, decides the form:
//! - only what came in RED is repaired, so each packet that is to be protected goes in it, as one block;
//! - what is stamped on a packet as it leaves counts as zeros;
//! - a picture is not put together across a packet that is none of it, so redundancy follows the last of the picture.
//!
//! Of each group of packets there are several sums. The first is of all of them, each other one of those whose place in the group
//! has a bit set: so any one that is lost comes back, and of two that are lost, one is alone in some sum, and then the other is.
//!
//! Invariant: it allocates while it grows to the largest picture that is protected, and no more.

use std::ops::Range;

pub(crate) use mended::Again;
use mended::{MASK_BITS, MOST_SUMS, Mended};

use crate::woven::{Meant, Woven};

/// The most packets of a group, a mask has room for with some missing among them; and groups of a picture: what follows goes unprotected.
const MOST_PACKETS: usize = 12;
const MOST_GROUPS: usize = 8;

/// How many sums may have been sent beyond the share.
const MOST_AHEAD: f32 = 2.0;

/// A fixed RTP header (RFC 3550 5.1).
pub(crate) const FIXED: usize = 12;

/// A packet of more is not protected: with the header of its redundancy it would be too long for many paths.
const MOST_BYTES: usize = 1400;

/// Pictures that all others hang on have half as much again.
const OF_KEYFRAMES: f32 = 1.5;

/// What redundancy takes for what it is meant to, before that has been seen: sums are as long as the longest of their packets. Seen
/// over so many bytes.
pub(crate) const COST: f64 = 1.2;
const SEEN_OVER: f64 = 20_000.0;

/// The payload types of both (RFC 2198, RFC 5109 14.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Redundancy {
    pub(crate) red: u8,
    pub(crate) fec: u8,
}

/// A sum of packets, exclusive or.
#[derive(Debug, Default)]
struct Sum {
    mask: u16,
    /// The first two bytes of the headers, the timestamps, and what follows the fixed header in length (RFC 5109 7.3).
    head: [u8; 2],
    timestamp: u32,
    length: u16,
    /// What follows the fixed header.
    rest: Vec<u8>,
}

/// A packet in clear, as it will be when RED has been taken off.
pub(crate) struct Plain<'a> {
    /// With the payload type that RED has inside.
    pub(crate) payload_type: u8,
    pub(crate) number: u64,
    pub(crate) header: &'a [u8],
    /// What was stamped on it as it leaves, in the header.
    pub(crate) stamped: [Range<usize>; 2],
    pub(crate) payload: &'a [u8],
}

impl Sum {
    fn clear(&mut self) {
        self.mask = 0;
        self.head = [0; 2];
        (self.timestamp, self.length) = (0, 0);
        self.rest.clear();
    }

    fn add(&mut self, packet: &Plain<'_>, place: u64) -> Option<()> {
        let (fixed, extensions) = packet.header.split_at_checked(FIXED)?;
        let [first, second, _, _, a, b, c, d, ..] = *fixed else { return None };
        self.mask |= 1_u16.checked_shl(15_u32.checked_sub(place as u32)?)?;
        self.head[0] ^= first;
        self.head[1] ^= second & 0x80 | packet.payload_type & 0x7f;
        self.timestamp ^= u32::from_be_bytes([a, b, c, d]);
        let length = extensions.len() + packet.payload.len();
        self.length ^= length as u16;
        if self.rest.len() < length {
            self.rest.resize(length, 0);
        }
        let (of_extensions, of_payload) = self.rest.split_at_mut_checked(extensions.len())?;
        xor(of_extensions, extensions);
        xor(of_payload, packet.payload);
        for stamped in &packet.stamped {
            // Once more is not at all.
            let place = stamped.start.checked_sub(FIXED)?..stamped.end.checked_sub(FIXED)?;
            xor(of_extensions.get_mut(place.clone())?, extensions.get(place)?);
        }
        Some(())
    }

    /// Appends header and sum (RFC 5109 7.3, 7.4).
    fn write(&self, base: u64, buffer: &mut Vec<u8>) {
        // Neither extended, nor with a long mask.
        buffer.extend_from_slice(&[self.head[0] & 0x3f, self.head[1]]);
        buffer.extend_from_slice(&(base as u16).to_be_bytes());
        buffer.extend_from_slice(&self.timestamp.to_be_bytes());
        buffer.extend_from_slice(&self.length.to_be_bytes());
        buffer.extend_from_slice(&(self.rest.len() as u16).to_be_bytes());
        buffer.extend_from_slice(&self.mask.to_be_bytes());
        buffer.extend_from_slice(&self.rest);
    }
}

fn xor(sum: &mut [u8], bytes: &[u8]) {
    sum.iter_mut().zip(bytes).for_each(|(sum, byte)| *sum ^= byte);
}

/// Whether a packet at a place of its group is part of a sum.
fn is_part(place: u64, sum: usize) -> bool {
    sum == 0 || (place + 1) >> (sum - 1) & 1 == 1
}

/// Some packets of a picture that follow each other.
#[derive(Debug, Default)]
struct Group {
    base: u64,
    packets: usize,
    sums: [Sum; MOST_SUMS],
    /// How many of them go out, once that is known.
    goes: Option<usize>,
}

/// What protects the pictures of a slot.
#[derive(Debug, Default)]
pub(crate) struct Shield {
    /// Sums for each packet; 0 for none.
    share: f32,
    pub(crate) woven: Woven,
    mended: Mended,
    /// The picture: its time on the stream, whether it is a keyframe, and whether all of it that was sent has been.
    picture: Option<u32>,
    is_key: bool,
    has_ended: bool,
    groups: Vec<Group>,
    used: usize,
    /// The next that is to be sent: of which group, and which sum.
    next: (usize, usize),
    /// What was sent beyond the share, of one sum: each group has a whole number of them.
    ahead: f32,
    /// Bytes of redundancy that were meant of late, and those that there were.
    meant: f64,
    taken: f64,
}

impl Shield {
    /// With so many sums for each packet.
    pub(crate) fn new(share: f32) -> Self {
        Self { share, ..Self::default() }
    }

    /// The same from the next picture on; 0 for none.
    pub(crate) fn set_share(&mut self, share: f32) {
        self.share = share;
        if share == 0.0 {
            (self.meant, self.taken, self.ahead) = (0.0, 0.0, 0.0);
        }
    }

    /// A packet of that picture, the newest so far or a late one, goes out. Returns whether it is protected.
    pub(crate) fn admit(
        &mut self,
        number: u64,
        picture: u32,
        starts_keyframe: bool,
        is_newest: bool,
    ) -> bool {
        if self.picture != Some(picture) {
            if !is_newest {
                return false;
            }
            self.drop_rest();
            if self.share > 0.0 {
                (self.picture, self.is_key) = (Some(picture), starts_keyframe);
            }
        }
        if self.picture.is_none() || self.has_ended {
            // Late, or more than is protected.
            return false;
        }
        if is_newest && self.group(number).is_none() {
            if self.used == MOST_GROUPS {
                return false;
            }
            if self.used == self.groups.len() {
                self.groups.push(Group::default());
            }
            let Some(fresh) = self.groups.get_mut(self.used) else { return false };
            fresh.base = number;
            (fresh.packets, fresh.goes) = (0, None);
            fresh.sums.iter_mut().for_each(Sum::clear);
            self.used += 1;
        }
        self.group(number).is_some()
    }

    /// The group that a packet belongs to.
    fn group(&mut self, number: u64) -> Option<&mut Group> {
        let groups = self.groups.get_mut(..self.used)?;
        let group = groups.iter_mut().rev().find(|group| group.base <= number)?;
        (number - group.base < MASK_BITS && group.packets < MOST_PACKETS).then_some(group)
    }

    /// How much more redundancy takes than it is meant to.
    pub(crate) fn cost(&self) -> f64 {
        if self.meant < SEEN_OVER / 4.0 { COST } else { (self.taken / self.meant).max(1.0) }
    }

    /// Adds a packet that was admitted, as it is before it is sealed. `is_last`: nothing of its picture follows.
    pub(crate) fn add(&mut self, packet: &Plain<'_>, is_last: bool) {
        self.has_ended |= is_last;
        self.meant += f64::from(self.share) * packet.payload.len() as f64;
        if self.meant > SEEN_OVER {
            (self.meant, self.taken) = (self.meant / 2.0, self.taken / 2.0);
        }
        // As many as there may be.
        let sums = ((self.for_each() * MOST_PACKETS as f32).ceil() as usize).min(MOST_SUMS);
        let Some(group) = self.group(packet.number) else { return };
        let place = packet.number - group.base;
        group.packets += 1;
        if packet.header.len() + packet.payload.len() > MOST_BYTES {
            return;
        }
        let takes = group.sums.iter_mut().zip(0..sums).filter(|(_, at)| is_part(place, *at));
        for (sum, _) in takes {
            sum.add(packet, place);
        }
    }

    /// How many sums there are to be for each packet of the picture.
    fn for_each(&self) -> f32 {
        if self.is_key { OF_KEYFRAMES * self.share } else { self.share }
    }

    /// How many sums of the next group go out: as many as it is to have, in whole numbers, over several groups.
    fn next_goes(&mut self) -> Option<usize> {
        let for_each = self.for_each();
        // What is left over of a large picture is not to be what it fails for.
        let least = if self.next.0 > 0 && for_each > 0.0 { 1 } else { 0 };
        let group = self.groups.get_mut(..self.used)?.get_mut(self.next.0)?;
        Some(*group.goes.get_or_insert_with(|| {
            let wanted = for_each * group.packets as f32 - self.ahead;
            let goes = (wanted.ceil().max(0.0) as usize).clamp(least, MOST_SUMS);
            self.ahead = (goes as f32 - wanted).clamp(0.0, MOST_AHEAD);
            goes
        }))
    }

    /// The size of the next packet of redundancy; `None` when there is none to be sent.
    pub(crate) fn next_bytes(&mut self) -> Option<usize> {
        if !self.has_ended {
            return None;
        }
        while let Some(goes) = self.next_goes() {
            if self.next.1 >= goes {
                self.next = (self.next.0 + 1, 0);
                continue;
            }
            let group = self.groups.get(self.next.0);
            match group.and_then(|group| group.sums.get(self.next.1)) {
                Some(sum) if sum.mask != 0 => return Some(sum.rest.len() + 15),
                _ => self.next.1 += 1,
            }
        }
        self.drop_rest();
        None
    }

    /// Appends the next one, which goes out under that number, with the byte by which RED names it.
    pub(crate) fn write_next(&mut self, fec: u8, number: u64, buffer: &mut Vec<u8>) {
        let Some(group) = self.groups.get(self.next.0) else { return };
        let Some(sum) = group.sums.get(self.next.1) else { return };
        buffer.push(fec & 0x7f);
        sum.write(group.base, buffer);
        self.mended.note(group.base, number, sum.mask);
        self.taken += sum.rest.len() as f64;
        self.next.1 += 1;
    }

    /// The time of the picture that is protected.
    pub(crate) fn picture(&self) -> Option<u32> {
        self.picture
    }

    /// Whether all of a picture has been sent, and not yet what protects it.
    pub(crate) fn is_due(&self) -> bool {
        self.has_ended
    }

    /// What has not been sent by now is of no use.
    pub(crate) fn drop_rest(&mut self) {
        (self.picture, self.has_ended, self.used, self.next) = (None, false, 0, (0, 0));
    }

    /// The viewer asks for a number. Adds to `again` what is to be sent again on that account. Returns whether it was redundancy's.
    pub(crate) fn lose(&mut self, number: u64, again: &mut Again) -> bool {
        let is_own = self.woven.meant(number) == Some(Meant::Redundancy);
        match is_own {
            true => self.mended.lose_sum(number, again),
            false => self.mended.lose(number, again),
        }
        is_own
    }
}

mod mended;
#[cfg(test)]
mod tests;
