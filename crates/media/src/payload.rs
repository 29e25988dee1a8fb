//! What a forwarder has to know of a payload: whether a picture can begin with it, and where the numbers stand that
//! count pictures. Payloads are never decoded, and never trusted: every function takes any bytes.

use smallvec::SmallVec;
use str0m::format::{Codec, CodecSpec};

/// A codec as two connections agree on it: what must be alike for a payload to be passed on as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CodecKey {
    pub(crate) codec: Codec,
    /// H.264: profile and packetization mode; VP9 and AV1: the profile; else 0.
    profile: u32,
    /// Opus within RED (RFC 2198).
    pub(crate) red: bool,
}

impl CodecKey {
    pub(crate) fn new(spec: &CodecSpec, red: bool) -> Self {
        let format = &spec.format;
        let profile = match spec.codec {
            // The level may differ; of the constraint flags, only what makes Baseline "constrained" counts.
            Codec::H264 => {
                let profile = format.profile_level_id.unwrap_or(0x42_00_1f) >> 16;
                (profile << 8) | u32::from(format.packetization_mode.unwrap_or(0))
            }
            Codec::Vp9 => format.profile_id.unwrap_or(0),
            Codec::Av1 => u32::from(format.profile.unwrap_or(0)),
            _ => 0,
        };
        Self { codec: spec.codec, profile, red }
    }

    #[cfg(test)]
    pub(crate) fn plain_vp8() -> Self {
        Self { codec: Codec::Vp8, profile: 0, red: false }
    }

    /// The same codec without RED around it.
    pub(crate) fn plain(self) -> Self {
        Self { red: false, ..self }
    }

    pub(crate) fn is_video(self) -> bool {
        self.codec.is_video()
    }

    /// RTP clock, in Hz.
    pub(crate) fn clock_rate(self) -> u32 {
        match self.codec {
            codec if codec.is_video() => 90_000,
            Codec::Opus => 48_000,
            Codec::AmrWb => 16_000,
            _ => 8_000,
        }
    }
}

/// What was read of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Picture {
    /// The first packet of a picture that needs no other.
    pub(crate) starts_keyframe: bool,
    /// Where its picture's number stands.
    pub(crate) id: Option<PictureId>,
    /// Where TL0PICIDX stands, and what it is.
    pub(crate) tl0: Option<(u8, u8)>,
    /// What layer of a scalable stream it belongs to, where the payload says so.
    pub(crate) part: Option<Part>,
}

/// The highest layer that is told from those below; what lies above counts as it.
pub(crate) const TOP_LAYER: u8 = 2;

/// Where a packet stands in a stream that has several layers in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Part {
    /// Its picture's size, 0 for the smallest; a picture needs those below it.
    pub(crate) spatial: u8,
    /// Which share of the frame rate it belongs to, 0 for what all others need.
    pub(crate) temporal: u8,
    /// Its picture needs no other: all sizes can begin with it.
    pub(crate) is_key: bool,
    /// The last packet of this size of the picture.
    pub(crate) ends: bool,
    /// Pictures of this share can begin with it, when those of the share below have come.
    pub(crate) syncs: bool,
    /// Pictures of all higher shares can begin after it.
    pub(crate) lifts: bool,
}

/// A picture's number: VP8 (RFC 7741 4.2) and VP9 (RFC 9628 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PictureId {
    pub(crate) at: u8,
    /// 15 bits in two bytes, or 7 in one.
    pub(crate) is_long: bool,
    pub(crate) value: u16,
}

/// Reads what matters of a payload.
pub(crate) fn read(codec: Codec, payload: &[u8]) -> Picture {
    let read = match codec {
        Codec::Vp8 => vp8(payload),
        Codec::Vp9 => vp9(payload),
        Codec::H264 => Some(Picture { starts_keyframe: h264_starts_keyframe(payload), ..Picture::default() }),
        // The N bit of the aggregation header: the first packet of a coded video sequence (AV1 RTP 4.4).
        Codec::Av1 => payload
            .first()
            .map(|header| Picture { starts_keyframe: header & 0b1000 != 0, ..Picture::default() }),
        // Audio can begin anywhere.
        _ => Some(Picture { starts_keyframe: true, ..Picture::default() }),
    };
    read.unwrap_or_default()
}

fn picture_id(payload: &[u8], at: usize) -> Option<PictureId> {
    let first = *payload.get(at)?;
    let is_long = first & 0x80 != 0;
    let value = match is_long {
        true => u16::from(first & 0x7f) << 8 | u16::from(*payload.get(at + 1)?),
        false => u16::from(first),
    };
    Some(PictureId { at: u8::try_from(at).ok()?, is_long, value })
}

/// RFC 7741 4.2 and 4.3.
fn vp8(payload: &[u8]) -> Option<Picture> {
    let first = *payload.first()?;
    let mut picture = Picture::default();
    let mut at = 1;
    if first & 0x80 != 0 {
        let extended = *payload.get(at)?;
        at += 1;
        if extended & 0x80 != 0 {
            let id = picture_id(payload, at)?;
            at += if id.is_long { 2 } else { 1 };
            picture.id = Some(id);
        }
        if extended & 0x40 != 0 {
            picture.tl0 = Some((u8::try_from(at).ok()?, *payload.get(at)?));
            at += 1;
        }
        if extended & 0x20 != 0 {
            // TID, and Y: it needs nothing but pictures of layer 0.
            let layer = *payload.get(at)?;
            let (temporal, syncs) = ((layer >> 6).min(TOP_LAYER), layer & 0x20 != 0);
            picture.part = Some(Part { temporal, syncs, ..Part::default() });
        }
        if extended & 0x30 != 0 {
            at += 1;
        }
    }
    let (starts_partition, partition) = (first & 0x10 != 0, first & 0x07);
    picture.starts_keyframe = starts_partition && partition == 0 && payload.get(at)? & 1 == 0;
    if let Some(part) = &mut picture.part {
        part.is_key = picture.starts_keyframe;
    }
    Some(picture)
}

/// RFC 9628 4.2.
fn vp9(payload: &[u8]) -> Option<Picture> {
    let first = *payload.first()?;
    let has = |bit: u8| first & bit != 0;
    let (has_id, is_inter, has_layers, is_flexible, begins, ends) =
        (has(0x80), has(0x40), has(0x20), has(0x10), has(0x08), has(0x04));
    let mut picture = Picture::default();
    let mut at = 1;
    if has_id {
        let id = picture_id(payload, at)?;
        at += if id.is_long { 2 } else { 1 };
        picture.id = Some(id);
    }
    let mut spatial = 0;
    if has_layers {
        // TID, U, SID, D. U: later pictures of higher shares need none from before this one. Browsers set it on pictures which
        // need none of their own share either.
        let layers = *payload.get(at)?;
        spatial = (layers >> 1) & 0x07;
        let is_up = layers & 0x10 != 0;
        picture.part = Some(Part {
            spatial: spatial.min(TOP_LAYER),
            temporal: (layers >> 5).min(TOP_LAYER),
            is_key: !is_inter && spatial == 0,
            ends,
            syncs: is_up,
            lifts: is_up,
        });
        at += 1;
        if !is_flexible {
            picture.tl0 = Some((u8::try_from(at).ok()?, *payload.get(at)?));
        }
    }
    picture.starts_keyframe = begins && !is_inter && spatial == 0;
    Some(picture)
}

/// The heights of a VP9 stream's sizes, the smallest first, where its scalability structure says them (RFC 9628 4.2.1). Streams
/// without layers have one.
pub(crate) fn vp9_heights(payload: &[u8]) -> Option<SmallVec<[u16; 8]>> {
    let first = *payload.first()?;
    let has = |bit: u8| first & bit != 0;
    let mut at = 1;
    if has(0x80) {
        at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
    }
    if has(0x20) {
        at += if has(0x10) { 1 } else { 2 };
    }
    if has(0x10) && has(0x40) {
        // Up to three references, each saying whether another follows.
        let mut references = 1;
        while payload.get(at)? & 1 != 0 && references < 3 {
            (at, references) = (at + 1, references + 1);
        }
        at += 1;
    }
    let structure = if has(0x02) { *payload.get(at)? } else { return None };
    if structure & 0x10 == 0 {
        return None;
    }
    let sizes = payload.get(at + 1..)?.chunks_exact(4).take(usize::from(structure >> 5) + 1);
    let heights: SmallVec<[u16; 8]> =
        sizes.filter_map(|size| size.last_chunk::<2>()).map(|height| u16::from_be_bytes(*height)).collect();
    (heights.len() == usize::from(structure >> 5) + 1).then_some(heights)
}

/// Whether a parameter set or an IDR slice begins here (RFC 6184 5.6 to 5.8).
fn h264_starts_keyframe(payload: &[u8]) -> bool {
    const IDR: u8 = 5;
    const SPS: u8 = 7;
    let begins = |unit: Option<&u8>| unit.is_some_and(|unit| matches!(unit & 0x1f, IDR | SPS));
    match payload.first().map(|header| header & 0x1f) {
        // STAP-A: units, each after its length.
        Some(24) => {
            let mut rest = payload.get(1..).unwrap_or_default();
            while let Some((length, units)) = rest.split_at_checked(2) {
                if begins(units.first()) {
                    return true;
                }
                let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
                rest = units.get(length..).unwrap_or_default();
            }
            false
        }
        // FU-A: the unit's type is in the second byte, with the start bit.
        Some(28) => payload.get(1).is_some_and(|unit| unit & 0x80 != 0 && begins(Some(unit))),
        _ => begins(payload.first()),
    }
}

/// Whether a RED payload has a copy of what was taken so many ticks before its newest block.
pub(crate) fn red_has_copy(payload: &[u8], ticks: u32) -> bool {
    let mut at = 0;
    while let Some([kind, high, low, _]) = payload.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        if kind & 0x80 == 0 {
            return false;
        }
        // 14 bits of time, then 10 of length.
        if u32::from(*high) << 6 | u32::from(*low) >> 2 == ticks {
            return true;
        }
        at += 4;
    }
    false
}

/// The newest block of a RED payload (RFC 2198 3): what a receiver without RED gets.
pub(crate) fn red_primary(payload: &[u8]) -> Option<&[u8]> {
    let (mut at, mut redundant) = (0, 0);
    while payload.get(at)? & 0x80 != 0 {
        let length = u16::from(payload.get(at + 2)? & 0x03) << 8 | u16::from(*payload.get(at + 3)?);
        redundant += usize::from(length);
        at += 4;
    }
    payload.get(at + 1 + redundant..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyframes_are_found() {
        for (codec, payload, is_start) in [
            // X, I with 15 bits, L, T; S and PID 0; the P bit clear.
            (Codec::Vp8, &[0x90, 0xe0, 0x81, 0x02, 0x05, 0x20, 0x10][..], true),
            (Codec::Vp8, &[0x90, 0xe0, 0x81, 0x02, 0x05, 0x20, 0x11], false),
            (Codec::Vp8, &[0x80, 0xe0, 0x81, 0x02, 0x05, 0x20, 0x10], false),
            (Codec::Vp8, &[0x10, 0x00], true),
            (Codec::Vp9, &[0x8c, 0x81, 0x02], true),
            (Codec::Vp9, &[0xcc, 0x81, 0x02], false),
            (Codec::Vp9, &[0xac, 0x81, 0x02, 0x02, 0x00], false),
            (Codec::H264, &[0x67, 1, 2], true),
            (Codec::H264, &[0x78, 0, 1, 0x68, 0, 2, 0x65, 0], true),
            (Codec::H264, &[0x78, 0, 9, 0x68], false),
            (Codec::H264, &[0x7c, 0x85], true),
            (Codec::H264, &[0x7c, 0x05], false),
            (Codec::H264, &[0x61, 1], false),
            (Codec::Av1, &[0x18], true),
            (Codec::Av1, &[0x10], false),
            (Codec::Opus, &[0xfc], true),
        ] {
            assert_eq!(read(codec, payload).starts_keyframe, is_start, "{codec:?} {payload:x?}");
        }
    }

    #[test]
    fn the_numbers_of_pictures_are_found() {
        let long = read(Codec::Vp8, &[0x90, 0xe0, 0x81, 0x02, 0x05, 0x20, 0x10]);
        let short = read(Codec::Vp8, &[0x90, 0x80, 0x7f, 0x10]);

        assert_eq!(long.id, Some(PictureId { at: 2, is_long: true, value: 0x0102 }));
        assert_eq!(long.tl0, Some((4, 0x05)));
        assert_eq!(short.id, Some(PictureId { at: 2, is_long: false, value: 0x7f }));
    }

    #[test]
    fn layers_are_found() {
        let key = Part { is_key: true, ..Part::default() };
        let vp9 = |spatial, temporal| Part { spatial, temporal, ..Part::default() };
        for (codec, payload, part) in [
            // X; T and K: TID 2 with Y, in the byte after number and TL0PICIDX.
            (
                Codec::Vp8,
                &[0x90, 0xf0, 0x81, 0x02, 0x05, 0xa3, 0x11][..],
                Some(Part { temporal: 2, syncs: true, ..Part::default() }),
            ),
            (Codec::Vp8, &[0x90, 0xe0, 0x81, 0x02, 0x05, 0x40, 0x11], Some(vp9(0, 1))),
            (Codec::Vp8, &[0x90, 0xf0, 0x81, 0x02, 0x05, 0x03, 0x10], Some(key)),
            // K alone is no layer.
            (Codec::Vp8, &[0x90, 0xd0, 0x81, 0x02, 0x05, 0x43, 0x11], None),
            (Codec::Vp8, &[0x10, 0x00], None),
            // I, L, B, E; 15 bits; TID 1, U, SID 2.
            (
                Codec::Vp9,
                &[0xec, 0x81, 0x02, 0x34, 0x07],
                Some(Part { ends: true, syncs: true, lifts: true, ..vp9(2, 1) }),
            ),
            (Codec::Vp9, &[0xa8, 0x81, 0x02, 0x00, 0x07], Some(key)),
            // The second packet of a keyframe is of it too; its second size is not where one begins.
            (Codec::Vp9, &[0xa0, 0x81, 0x02, 0x00, 0x07], Some(key)),
            (Codec::Vp9, &[0xa8, 0x81, 0x02, 0x03, 0x07], Some(vp9(1, 0))),
            // Layers that nobody uses.
            (Codec::Vp9, &[0xf0, 0x05, 0xee, 0x07], Some(vp9(2, 2))),
            (Codec::Vp9, &[0xc8, 0x81, 0x02], None),
        ] {
            assert_eq!(read(codec, payload).part, part, "{codec:?} {payload:x?}");
        }
    }

    #[test]
    fn the_heights_of_layers_are_found() {
        // I, L, B, V; 3 sizes with Y.
        let sizes = [1, 64, 0, 180, 2, 128, 1, 104, 5, 0, 2, 208];
        let still = [&[0xaa, 0x81, 0x02, 0x00, 0x07, 0x50][..], &sizes].concat();
        // Flexible, with two references.
        let flexible = [&[0xfa, 0x05, 0x00, 0x03, 0x04, 0x50][..], &sizes].concat();

        assert_eq!(vp9_heights(&still).as_deref(), Some(&[180, 360, 720][..]));
        assert_eq!(vp9_heights(&flexible).as_deref(), Some(&[180, 360, 720][..]));
        assert_eq!(vp9_heights(&still[..14]), None);
        assert_eq!(vp9_heights(&[0xa8, 0x81, 0x02, 0x00, 0x07, 0x50]), None);
    }

    #[test]
    fn any_bytes_can_be_read() {
        use rand::RngExt as _;
        let mut random = rand::rng();
        for _ in 0..200_000 {
            let length = random.random_range(0..40);
            let bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
            for codec in [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1] {
                let picture = read(codec, &bytes);
                let within = |at: u8| usize::from(at) < bytes.len();
                assert!(picture.id.is_none_or(|id| within(id.at)), "{codec:?} {bytes:x?}");
                assert!(picture.tl0.is_none_or(|(at, _)| within(at)), "{codec:?} {bytes:x?}");
                let is_low = |part: Part| part.spatial <= TOP_LAYER && part.temporal <= TOP_LAYER;
                assert!(picture.part.is_none_or(is_low), "{codec:?} {bytes:x?}");
            }
            red_primary(&bytes);
            let heights = vp9_heights(&bytes);
            assert!(heights.is_none_or(|heights| (1..=8).contains(&heights.len())));
        }
    }

    #[test]
    fn red_gives_up_its_newest_block() {
        // One redundant block of 2 bytes, then the primary.
        let red = [0x80 | 111, 0x0f, 0x00, 0x02, 111, 1, 2, 3, 4, 5];

        // 0x0f00 >> 2.
        assert!(
            red_has_copy(&red, 960) && !red_has_copy(&red, 1920) && !red_has_copy(&[111, 0x0f, 0, 2], 960)
        );
        assert_eq!(red_primary(&red), Some(&[3, 4, 5][..]));
        assert_eq!(red_primary(&[111, 9]), Some(&[9][..]));
        assert_eq!(red_primary(&[0x80, 0, 3]), None);
    }
}
