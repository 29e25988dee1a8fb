//! A packet as nodes send it to each other: RTP (RFC 3550) whose header extension says what was read of it where it was published.
//! The stream and its number are the trunk's own; the publisher's number is in the extension.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf as _, BufMut as _};

use crate::payload::{CodecKey, Part, Picture, PictureId};
use crate::source::{Packet, SenderClock};

/// RTP version 2, with an extension.
const FIRST: u8 = 0x90;

/// What the extension is known by: the first version of it.
const PROFILE: u16 = 0x5201;

/// The header without its extension, and what that begins with.
const FIXED: usize = 12;
const BEFORE: usize = FIXED + 4;

/// What is there of what need not be.
const STARTS_KEYFRAME: u8 = 1;
const ID: u8 = 1 << 1;
const TL0: u8 = 1 << 2;
const PART: u8 = 1 << 3;
const LEVEL: u8 = 1 << 4;
const ORIENTATION: u8 = 1 << 5;
const CLOCK: u8 = 1 << 6;
const DEPENDENCY: u8 = 1 << 7;

/// Where a packet belongs, by what is in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Which of the receiver's trunks it came by.
    pub(super) trunk: u8,
    pub(super) ssrc: u32,
    pub(super) seq: u16,
    /// Its length in bytes.
    pub(super) length: usize,
}

/// Appends a packet with an empty seal; returns the length of its header. `None` where no node could take it.
pub(super) fn write(
    packet: &Packet,
    trunk: u8,
    ssrc: u32,
    number: u64,
    buffer: &mut Vec<u8>,
) -> Option<usize> {
    let start = buffer.len();
    let (codec, profile, red) = packet.codec.parts()?;
    buffer.extend_from_slice(&[FIRST, u8::from(packet.marker) << 7 | trunk & 0x7f]);
    buffer.put_u16(number as u16);
    buffer.put_u32(packet.timestamp);
    buffer.put_u32(ssrc);
    buffer.put_u16(PROFILE);
    buffer.put_u16(0);
    let Picture { starts_keyframe, id, tl0, part } = packet.picture;
    let flag = |flag: u8, is_set: bool| if is_set { flag } else { 0 };
    buffer.put_u8(
        flag(STARTS_KEYFRAME, starts_keyframe)
            | flag(ID, id.is_some())
            | flag(TL0, tl0.is_some())
            | flag(PART, part.is_some())
            | flag(LEVEL, packet.audio_level.is_some())
            | flag(ORIENTATION, packet.orientation.is_some())
            | flag(CLOCK, packet.clock.is_some())
            | flag(DEPENDENCY, packet.dependency.is_some()),
    );
    buffer.put_u8(codec | u8::from(red) << 7);
    buffer.put_u32(profile);
    buffer.put_u64(packet.seq);
    if let Some(PictureId { at, is_long, value }) = id {
        buffer.extend_from_slice(&[at, is_long.into()]);
        buffer.put_u16(value);
    }
    if let Some((at, value)) = tl0 {
        buffer.extend_from_slice(&[at, value]);
    }
    if let Some(Part { spatial, temporal, is_key, ends, syncs, lifts }) = part {
        let flags = [is_key, ends, syncs, lifts].into_iter().zip(0..);
        let flags = flags.fold(0, |flags, (is_set, bit)| flags | u8::from(is_set) << bit);
        buffer.extend_from_slice(&[spatial, temporal, flags]);
    }
    buffer.extend(packet.audio_level);
    buffer.extend(packet.orientation);
    if let Some(SenderClock { micros, rtp }) = packet.clock {
        buffer.put_i64(micros);
        buffer.put_u32(rtp);
    }
    if let Some(dependency) = &packet.dependency {
        buffer.put_u8(u8::try_from(dependency.len()).ok()?);
        buffer.extend_from_slice(dependency);
    }
    while !(buffer.len() - start - BEFORE).is_multiple_of(4) {
        buffer.put_u8(0);
    }
    let header = buffer.len() - start;
    let words = u16::try_from((header - BEFORE) / 4).ok()?;
    buffer.get_mut(start + BEFORE - 2..start + BEFORE)?.copy_from_slice(&words.to_be_bytes());
    buffer.extend_from_slice(&packet.payload);
    Some(header)
}

/// Reads where a packet belongs.
pub(super) fn head(mut bytes: &[u8]) -> Option<Head> {
    if bytes.len() < BEFORE || bytes.get_u8() != FIRST {
        return None;
    }
    let trunk = bytes.get_u8() & 0x7f;
    let seq = bytes.get_u16();
    bytes.advance(4);
    let ssrc = bytes.get_u32();
    if bytes.get_u16() != PROFILE {
        return None;
    }
    let length = BEFORE + 4 * usize::from(bytes.get_u16());
    Some(Head { trunk, ssrc, seq, length })
}

/// Makes a packet of its header, which another node has sealed, and its payload.
pub(super) fn read(
    header: &[u8],
    (source, generation, layer): (u64, u32, u8),
    payload: Arc<[u8]>,
    arrived: Instant,
) -> Option<Packet> {
    let marker = header.get(1)? & 0x80 != 0;
    let timestamp = header.get(4..)?.try_get_u32().ok()?;
    let mut rest = header.get(BEFORE..)?;
    let flags = rest.try_get_u8().ok()?;
    let codec = rest.try_get_u8().ok()?;
    let codec = CodecKey::of_parts((codec & 0x7f, rest.try_get_u32().ok()?, codec & 0x80 != 0))?;
    let seq = rest.try_get_u64().ok()?;
    let mut picture = Picture { starts_keyframe: flags & STARTS_KEYFRAME != 0, ..Picture::default() };
    if flags & ID != 0 {
        let (at, is_long) = (rest.try_get_u8().ok()?, rest.try_get_u8().ok()? != 0);
        picture.id = Some(PictureId { at, is_long, value: rest.try_get_u16().ok()? });
    }
    if flags & TL0 != 0 {
        picture.tl0 = Some((rest.try_get_u8().ok()?, rest.try_get_u8().ok()?));
    }
    if flags & PART != 0 {
        let (spatial, temporal) = (rest.try_get_u8().ok()?, rest.try_get_u8().ok()?);
        let bits = rest.try_get_u8().ok()?;
        let [is_key, ends, syncs, lifts] = [0, 1, 2, 3].map(|bit| bits >> bit & 1 == 1);
        picture.part = Some(Part { spatial, temporal, is_key, ends, syncs, lifts });
    }
    let mut byte = |flag: u8| (flags & flag != 0).then(|| rest.try_get_u8());
    let audio_level = byte(LEVEL).transpose().ok()?;
    let orientation = byte(ORIENTATION).transpose().ok()?;
    let clock = match flags & CLOCK != 0 {
        true => Some(SenderClock { micros: rest.try_get_i64().ok()?, rtp: rest.try_get_u32().ok()? }),
        false => None,
    };
    let dependency = match flags & DEPENDENCY != 0 {
        true => {
            let length = usize::from(rest.try_get_u8().ok()?);
            Some(rest.get(..length)?.into())
        }
        false => None,
    };
    Some(Packet {
        source,
        generation,
        layer,
        codec,
        seq,
        timestamp,
        marker,
        picture,
        audio_level,
        orientation,
        dependency,
        clock,
        payload,
        arrived,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet() -> impl Strategy<Value = Packet> {
        let part = (0..3_u8, 0..3_u8, any::<[bool; 4]>()).prop_map(
            |(spatial, temporal, [is_key, ends, syncs, lifts])| Part {
                spatial,
                temporal,
                is_key,
                ends,
                syncs,
                lifts,
            },
        );
        let id = any::<(u8, bool, u16)>().prop_map(|(at, is_long, value)| PictureId { at, is_long, value });
        let picture = (any::<bool>(), proptest::option::of(id), any::<Option<(u8, u8)>>());
        let picture = (picture, proptest::option::of(part));
        let clock = any::<Option<(i64, u32)>>();
        let bytes = |most: usize| proptest::collection::vec(any::<u8>(), 0..most);
        let extras = (any::<Option<u8>>(), any::<Option<u8>>(), clock, proptest::option::of(bytes(256)));
        (any::<(u64, u32, bool)>(), 0..10_u8, any::<(u32, bool)>(), picture, extras, bytes(1300)).prop_map(
            |(
                (seq, timestamp, marker),
                codec,
                (profile, red),
                ((starts_keyframe, id, tl0), part),
                extras,
                payload,
            )| {
                let (audio_level, orientation, clock, dependency) = extras;
                Packet {
                    codec: CodecKey::of_parts((codec, profile, red)).unwrap(),
                    seq,
                    timestamp,
                    marker,
                    picture: Picture { starts_keyframe, id, tl0, part },
                    audio_level,
                    orientation,
                    clock: clock.map(|(micros, rtp)| SenderClock { micros, rtp }),
                    dependency: dependency.map(Into::into),
                    payload: payload.into(),
                    ..Packet::blank()
                }
            },
        )
    }

    proptest! {
        #[test]
        fn a_packet_comes_as_it_was_sent(packet in packet(), number in any::<u64>()) {
            let mut bytes = Vec::new();
            let header = write(&packet, 7, 40, number, &mut bytes).unwrap();

            let head = head(&bytes).unwrap();
            prop_assert_eq!(head, Head { trunk: 7, ssrc: 40, seq: number as u16, length: header });
            let (header, payload) = bytes.split_at(header);
            let of = (packet.source, packet.generation, packet.layer);
            let read = read(header, of, payload.into(), packet.arrived).unwrap();
            prop_assert_eq!(format!("{read:?}"), format!("{packet:?}"));
        }

        #[test]
        fn anything_may_come(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = head(&bytes);
            let _ = read(&bytes, (1, 1, 0), Vec::new().into(), Instant::now());
        }
    }
}
