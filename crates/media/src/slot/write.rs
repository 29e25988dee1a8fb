//! How a packet is written for a viewer: its header with the extensions that were agreed on, and the slot's own numbers in its
//! payload.

use std::ops::Range;

use str0m::format::Codec;

use super::Slot;
use crate::dependency;
use crate::payload::{PictureId, red_primary};
use crate::rewrite::{Rewrite, Stamps, Taken};
use crate::shield::{Again, FIXED, Plain};
use crate::source::Packet;

/// Of a header's first byte: padding follows (RFC 3550 5.1).
pub(super) const PADDED: u8 = 0x20;

impl Slot {
    /// How many bytes of a packet's payload are sent.
    pub(crate) fn payload_bytes(packet: &Packet, rewrite: &Rewrite) -> usize {
        match (rewrite.is_blank, rewrite.unwraps) {
            (true, _) => 1,
            (false, true) => red_primary(&packet.payload).map_or(0, <[u8]>::len),
            (false, false) => packet.payload.len() + usize::from(rewrite.red.is_some()),
        }
    }

    /// Appends `packet` in clear; returns the length of its header, and SRTP's index.
    #[inline]
    pub(crate) fn write(
        &self,
        buffer: &mut Vec<u8>,
        packet: &Packet,
        rewrite: &Rewrite,
        stamps: Stamps,
    ) -> Option<(usize, u64)> {
        let start = buffer.len();
        let payload_type = rewrite.red.unwrap_or(rewrite.taken.payload_type);
        self.write_header(
            buffer,
            &Header {
                payload_type,
                marker: rewrite.is_last && !rewrite.is_blank,
                seq: rewrite.seq,
                timestamp: rewrite.timestamp,
                ssrc: self.ssrc,
                frame_offset: rewrite.frame_offset,
            },
            stamps,
            Some(packet).filter(|_| !rewrite.is_blank),
        );
        let header = buffer.len() - start;
        if rewrite.is_blank {
            *buffer.get_mut(start)? |= PADDED;
            buffer.push(1);
            return Some((header, rewrite.seq));
        }
        let payload = if rewrite.unwraps { red_primary(&packet.payload)? } else { &*packet.payload };
        if rewrite.red.is_some() {
            // The only block, and so of one byte (RFC 2198 3).
            buffer.push(rewrite.taken.payload_type & 0x7f);
        }
        let at = buffer.len();
        buffer.extend_from_slice(payload);
        patch(buffer, at, packet, rewrite);
        Some((header, rewrite.seq))
    }

    /// Notes a packet that was written from `start` on, with a header of so many bytes, for what will protect it.
    pub(crate) fn shield(
        &mut self,
        buffer: &[u8],
        (start, header): (usize, usize),
        rewrite: &Rewrite,
        stamps: Stamps,
    ) {
        let packet = buffer.get(start..).and_then(|packet| packet.split_at_checked(header));
        let Some((header, payload)) = packet else { return };
        let stamped = self.stamped(header, stamps);
        let Some(shield) = &mut self.shield else { return };
        let Taken { payload_type, .. } = rewrite.taken;
        let payload = payload.get(1..).unwrap_or_default();
        let plain = Plain { payload_type, number: rewrite.seq, header, stamped, payload };
        shield.add(&plain, rewrite.is_last);
    }

    /// Where in a header is what was stamped on it as it leaves.
    fn stamped(&self, header: &[u8], stamps: Stamps) -> [Range<usize>; 2] {
        // In the long form of extensions each has a length of its own (RFC 8285 4.3).
        let before = if header.get(FIXED..FIXED + 2) == Some(&[0xbe, 0xde]) { 1 } else { 2 };
        let is_there = |id: Option<u8>| matches!(id, Some(1..=14));
        let start = FIXED + 4;
        let number = match is_there(self.extensions.transport_cc) && stamps.transport_cc.is_some() {
            true => start + before..start + before + 2,
            false => start..start,
        };
        let time = match is_there(self.extensions.abs_send_time) {
            true => number.end + before..number.end + before + 3,
            false => start..start,
        };
        [number, time]
    }

    /// Whether what protects the last picture is still to be sent; its size, if so.
    #[inline]
    pub(crate) fn redundant_bytes(&mut self) -> Option<usize> {
        self.shield.as_mut().filter(|shield| shield.is_due())?.next_bytes()
    }

    /// Whether its viewer cannot tell pictures' order but by numbers without a gap: of one that never comes it has to hear.
    pub(crate) fn counts_by_numbers(&self) -> bool {
        let codec = self.segments.last().map(|segment| segment.taken.codec.codec);
        matches!(codec, Some(Codec::H264 | Codec::H265)) && self.extensions.dependency.is_none()
    }

    /// The viewer asks for what went out under a number. Adds to `again` what is to be sent again: nothing that it makes up itself.
    /// Returns whether it was redundancy.
    pub(crate) fn lose(&mut self, number: u64, again: &mut Again) -> bool {
        match &mut self.shield {
            Some(shield) => shield.lose(number, again),
            None => {
                again.push(number);
                false
            }
        }
    }

    /// Appends the next packet of what protects the last picture; returns the length of its header, its SSRC and SRTP's index.
    pub(crate) fn write_redundant(
        &mut self,
        buffer: &mut Vec<u8>,
        stamps: Stamps,
    ) -> Option<(usize, u32, u64)> {
        let (newest, redundancy) = (self.out.as_ref()?.seq, self.redundancy?);
        let shield = self.shield.as_mut()?;
        let (timestamp, seq) = (shield.picture()?, shield.woven.put(newest));
        if !self.numbers.take(seq) {
            return None;
        }
        let (start, ssrc) = (buffer.len(), self.ssrc);
        let header =
            Header { payload_type: redundancy.red, marker: false, seq, timestamp, ssrc, frame_offset: 0 };
        self.write_header(buffer, &header, stamps, None);
        let header = buffer.len() - start;
        self.shield.as_mut()?.write_next(redundancy.fec, seq, buffer);
        Some((header, ssrc, seq))
    }

    /// Appends a retransmission of a packet with nothing in it, so that the one who misses a number asks for it no more; returns
    /// the length of its header, its SSRC and SRTP's index.
    pub(crate) fn write_nothing_again(
        &mut self,
        buffer: &mut Vec<u8>,
        number: u64,
        stamps: Stamps,
    ) -> Option<(usize, u32, u64)> {
        let begun = self.begin_again(buffer, stamps)?;
        buffer.extend_from_slice(&(number as u16).to_be_bytes());
        Some(begun)
    }

    /// Appends `packet` as a retransmission (RFC 4588 4); returns the length of its header, its SSRC and SRTP's index.
    pub(crate) fn write_again(
        &mut self,
        buffer: &mut Vec<u8>,
        packet: &Packet,
        rewrite: &Rewrite,
        stamps: Stamps,
    ) -> Option<(usize, u32, u64)> {
        let (payload_type, ssrc) = (rewrite.taken.rtx?, self.rtx_ssrc?);
        self.rtx_seq += 1;
        let (start, seq) = (buffer.len(), self.rtx_seq);
        let header = Header {
            payload_type,
            marker: rewrite.is_last,
            seq,
            timestamp: rewrite.timestamp,
            ssrc,
            frame_offset: rewrite.frame_offset,
        };
        self.write_header(buffer, &header, stamps, Some(packet));
        let header = buffer.len() - start;
        buffer.extend_from_slice(&(rewrite.seq as u16).to_be_bytes());
        let at = buffer.len();
        buffer.extend_from_slice(&packet.payload);
        patch(buffer, at, packet, rewrite);
        Some((header, ssrc, seq))
    }

    /// How retransmissions are numbered among the codecs, once something was sent.
    pub(crate) fn rtx(&self) -> Option<u8> {
        let taken = self.segments.last().map(|segment| segment.taken);
        taken.or(self.takes.first().copied()).and_then(|taken| taken.rtx)
    }

    /// Appends a retransmission of nothing, with so many bytes of padding; returns the length of its header, its SSRC and
    /// SRTP's index.
    pub(crate) fn write_padding(
        &mut self,
        buffer: &mut Vec<u8>,
        padding: u8,
        stamps: Stamps,
    ) -> Option<(usize, u32, u64)> {
        let start = buffer.len();
        let begun = self.begin_again(buffer, stamps)?;
        if let Some(first) = buffer.get_mut(start) {
            *first |= PADDED;
        }
        buffer.resize(buffer.len() + usize::from(padding) - 1, 0);
        buffer.push(padding);
        Some(begun)
    }

    /// Begins a retransmission of no packet; returns the length of its header, its SSRC and SRTP's index.
    fn begin_again(&mut self, buffer: &mut Vec<u8>, stamps: Stamps) -> Option<(usize, u32, u64)> {
        let (payload_type, ssrc) = (self.rtx()?, self.rtx_ssrc?);
        self.rtx_seq += 1;
        let (start, seq) = (buffer.len(), self.rtx_seq);
        let timestamp = self.out.as_ref().map_or(0, |out| out.timestamp);
        let header = Header { payload_type, marker: false, seq, timestamp, ssrc, frame_offset: 0 };
        self.write_header(buffer, &header, stamps, None);
        Some((buffer.len() - start, ssrc, seq))
    }

    fn write_header(&self, buffer: &mut Vec<u8>, header: &Header, stamps: Stamps, packet: Option<&Packet>) {
        let Header { payload_type, marker, seq, timestamp, ssrc, frame_offset } = *header;
        let ids = &self.extensions;
        let dependency =
            packet.and_then(|packet| packet.dependency.as_deref()).filter(|_| ids.dependency.is_some());
        let is_long = dependency.is_some_and(|value| value.len() > dependency::SHORT);
        // One-byte form (RFC 8285 4.2), or two-byte form (4.3); its length in words is set at the end.
        let form = if is_long { 0x1000_0000_u32 } else { 0xbede_0000 };
        // In one piece: this is done for each packet of each viewer.
        let fixed = 0x90_u128 << 120
            | u128::from(u8::from(marker) << 7 | payload_type & 0x7f) << 112
            | u128::from(seq as u16) << 96
            | u128::from(timestamp) << 64
            | u128::from(ssrc) << 32
            | u128::from(form);
        buffer.extend_from_slice(&fixed.to_be_bytes());
        let start = buffer.len();
        let mut put = |id: Option<u8>, value: &[u8]| {
            match (id, value.len()) {
                (Some(id @ 1..=14), length @ 1..=255) if is_long => {
                    buffer.extend_from_slice(&[id, length as u8])
                }
                (Some(id @ 1..=14), length @ 1..=16) => buffer.push(id << 4 | (length as u8 - 1)),
                _ => return,
            }
            buffer.extend_from_slice(value);
        };
        if let Some(number) = stamps.transport_cc {
            put(ids.transport_cc, &number.to_be_bytes());
        }
        put(ids.abs_send_time, stamps.abs_send_time.to_be_bytes().get(1..).unwrap_or_default());
        if stamps.has_mid {
            put(ids.mid, &self.mid);
        }
        if let Some(level) = packet.and_then(|packet| packet.audio_level) {
            put(ids.audio_level, &[level]);
        }
        if let Some(orientation) = packet.and_then(|packet| packet.orientation) {
            put(ids.orientation, &[orientation]);
        }
        if let (Some(id @ 1..=14), Some(value)) = (ids.dependency, dependency)
            && let [first, _, _, rest @ ..] = value
            && let Some(number) = dependency::number(value)
        {
            match is_long {
                true => buffer.extend_from_slice(&[id, value.len() as u8]),
                false => buffer.push(id << 4 | (value.len() as u8 - 1)),
            }
            buffer.push(*first);
            buffer.extend_from_slice(&number.wrapping_add(frame_offset).to_be_bytes());
            buffer.extend_from_slice(rest);
        }
        let length = buffer.len() - start;
        buffer.resize(start + length.next_multiple_of(4), 0);
        if let Some(words) = buffer.get_mut(start - 1) {
            *words = length.div_ceil(4) as u8;
        }
    }
}

struct Header {
    payload_type: u8,
    marker: bool,
    seq: u64,
    timestamp: u32,
    ssrc: u32,
    frame_offset: u16,
}

/// Puts the slot's own picture numbers into the payload at `at`.
#[inline]
fn patch(buffer: &mut [u8], at: usize, packet: &Packet, rewrite: &Rewrite) {
    if let Some(PictureId { at: place, is_long, value }) = packet.picture.id
        && rewrite.picture_offset != 0
    {
        let number = value.wrapping_add(rewrite.picture_offset);
        let place = at + usize::from(place);
        match (is_long, buffer.get_mut(place..)) {
            (true, Some([high, low, ..])) => {
                *high = 0x80 | (number >> 8) as u8 & 0x7f;
                *low = number as u8;
            }
            (false, Some([only, ..])) => *only = number as u8 & 0x7f,
            _ => {}
        }
    }
    if let Some((place, tl0)) = packet.picture.tl0
        && let Some(byte) = buffer.get_mut(at + usize::from(place))
    {
        *byte = tl0.wrapping_add(rewrite.tl0_offset);
    }
}
