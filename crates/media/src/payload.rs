//! What a forwarder has to know of a payload: whether a picture can begin with it, and where the numbers stand that
//! count pictures. Payloads are never decoded, and never trusted: every function takes any bytes.

use smallvec::SmallVec;
use str0m::format::Codec;

use crate::h265;
use crate::nal::{Bits, units};

/// Codecs by the numbers under which nodes know them, which never change.
const CODECS: [Codec; 10] = [
    Codec::Opus,
    Codec::PCMU,
    Codec::PCMA,
    Codec::G722,
    Codec::AmrWb,
    Codec::H264,
    Codec::H265,
    Codec::Vp8,
    Codec::Vp9,
    Codec::Av1,
];

/// A codec as two connections agree on it: what must be alike for a payload to be passed on as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CodecKey {
    pub(crate) codec: Codec,
    /// H.264: profile and packetization mode; H.265, VP9 and AV1: the profile; else 0.
    profile: u32,
    /// Opus within RED (RFC 2198).
    pub(crate) red: bool,
}

impl CodecKey {
    /// `profile` is, of H.264, that (without its constraints and level) and the packetization mode, and of H.265 its space and number.
    pub(crate) fn of(codec: Codec, profile: u32, red: bool) -> Self {
        Self { codec, profile, red }
    }

    /// As another node is told it: the codec's number, its profile, and whether it is within RED. `None` of what no viewer takes.
    pub(crate) fn parts(self) -> Option<(u8, u32, bool)> {
        let number = CODECS.iter().position(|codec| *codec == self.codec)?;
        Some((u8::try_from(number).ok()?, self.profile, self.red))
    }

    /// What another node tells so.
    pub(crate) fn of_parts((number, profile, red): (u8, u32, bool)) -> Option<Self> {
        Some(Self { codec: *CODECS.get(usize::from(number))?, profile, red })
    }

    #[cfg(test)]
    pub(crate) fn plain_vp8() -> Self {
        Self { codec: Codec::Vp8, profile: 0, red: false }
    }

    /// Whether who takes this takes the other too: its decoder has to be one for the other (AV1 7.2.3 of its RTP specification; Main 10 of
    /// H.265 is one for Main). Of H.264, another profile most likely plays as well as none.
    pub(crate) fn covers(self, other: Self) -> bool {
        let is_alike = (self.codec, self.red) == (other.codec, other.red);
        is_alike
            && match self.codec {
                Codec::H264 => true,
                Codec::Av1 => other.profile <= self.profile,
                Codec::H265 => other.profile >> 8 == self.profile >> 8 && other.profile <= self.profile,
                _ => other.profile == self.profile,
            }
    }

    /// Its payloads do not say which layer they belong to: the dependency descriptor does.
    pub(crate) fn needs_dependency(self) -> bool {
        self.codec == Codec::Av1
    }

    /// The same codec without RED around it.
    pub(crate) fn plain(self) -> Self {
        Self { red: false, ..self }
    }

    pub(crate) fn is_video(self) -> bool {
        self.codec.is_video()
    }

    /// As people call it.
    pub(crate) fn name(self) -> &'static str {
        match self.codec {
            Codec::Opus if self.red => "Opus in RED",
            Codec::Opus => "Opus",
            Codec::Vp8 => "VP8",
            Codec::Vp9 => "VP9",
            Codec::Av1 => "AV1",
            Codec::H264 => "H.264",
            Codec::H265 => "H.265",
            _ => "another codec",
        }
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
        Codec::H265 => {
            Some(Picture { starts_keyframe: h265::starts_keyframe(payload), ..Picture::default() })
        }
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

/// Width and height of the picture that a payload begins, where it says so: of a keyframe.
pub(crate) fn size(codec: Codec, payload: &[u8]) -> Option<(u32, u32)> {
    let size = match codec {
        Codec::Vp8 => vp8_size(payload),
        Codec::Vp9 => vp9_sizes(payload)
            .and_then(|sizes| sizes.last().map(|(width, height)| (u32::from(*width), u32::from(*height)))),
        Codec::H264 => h264_units(payload)
            .find(|unit| unit.first().is_some_and(|unit| unit & 0x1f == 7))
            .and_then(h264_size),
        Codec::H265 => h265::size(payload),
        _ => None,
    };
    size.filter(|(width, height)| (1..=16_384).contains(width) && (1..=16_384).contains(height))
}

/// RFC 6386 9.1: behind three bytes and a start code, width and height of 14 bits each.
fn vp8_size(payload: &[u8]) -> Option<(u32, u32)> {
    let first = *payload.first()?;
    let mut at = 1;
    if first & 0x80 != 0 {
        let extended = *payload.get(1)?;
        at += 1;
        if extended & 0x80 != 0 {
            at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
        }
        at += usize::from(extended & 0x40 != 0) + usize::from(extended & 0x30 != 0);
    }
    match payload.get(at..at + 10)? {
        [tag, _, _, 0x9d, 0x01, 0x2a, across, columns, down, rows] if tag & 1 == 0 => {
            let of = |high: &u8, low: &u8| u32::from(high & 0x3f) << 8 | u32::from(*low);
            Some((of(columns, across), of(rows, down)))
        }
        _ => None,
    }
}

/// The units that a payload begins (RFC 6184 5.6, 5.7).
fn h264_units(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    units(payload, 1, payload.first().is_some_and(|header| header & 0x1f == 24))
}

/// Width and height in a sequence parameter set (ITU-T H.264 7.3.2.1.1).
fn h264_size(unit: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits::of(unit, 1);
    let profile = bits.bits(8)?;
    bits.skip(16);
    bits.number()?;
    let (mut chroma, mut has_planes) = (1, false);
    if [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135].contains(&profile) {
        chroma = bits.number()?;
        has_planes = chroma == 3 && bits.bit()? == 1;
        bits.skip_numbers(2)?;
        bits.bit()?;
        if bits.bit()? == 1 {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.bit()? == 1 {
                    skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.number()?;
    match bits.number()? {
        0 => _ = bits.number()?,
        1 => {
            bits.bit()?;
            bits.skip_numbers(2)?;
            let count = bits.number()?.min(255);
            bits.skip_numbers(count)?;
        }
        _ => {}
    }
    bits.number()?;
    bits.bit()?;
    let (across, units) = (bits.number()?, bits.number()?);
    let is_frames = bits.bit()?;
    if is_frames == 0 {
        bits.bit()?;
    }
    bits.bit()?;
    let lines = 2 - is_frames;
    let (cut_across, cut_down) = bits.cut(chroma, has_planes, lines)?;
    let width = across.checked_add(1)?.checked_mul(16)?.checked_sub(cut_across)?;
    let height = lines.checked_mul(units.checked_add(1)?)?.checked_mul(16)?.checked_sub(cut_down)?;
    Some((width, height))
}

fn skip_scaling_list(bits: &mut Bits, size: u32) -> Option<()> {
    let (mut last, mut next) = (8_i32, 8_i32);
    for _ in 0..size {
        if next != 0 {
            let code = bits.number()?;
            let delta = if code % 2 == 1 { (code / 2 + 1) as i32 } else { -((code / 2) as i32) };
            next = last.wrapping_add(delta) & 0xff;
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// Widths and heights of a VP9 stream's pictures, the smallest first, where its scalability structure says them (RFC 9628 4.2.1). Streams
/// without layers have one.
pub(crate) fn vp9_sizes(payload: &[u8]) -> Option<SmallVec<[(u16, u16); 8]>> {
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
    let size = |size: &[u8]| {
        let (width, height) = (size.first_chunk::<2>()?, size.last_chunk::<2>()?);
        Some((u16::from_be_bytes(*width), u16::from_be_bytes(*height)))
    };
    let sizes: SmallVec<[(u16, u16); 8]> = sizes.filter_map(size).collect();
    (sizes.len() == usize::from(structure >> 5) + 1).then_some(sizes)
}

/// Whether a parameter set or an IDR slice begins here (RFC 6184 5.6 to 5.8).
fn h264_starts_keyframe(payload: &[u8]) -> bool {
    const IDR: u8 = 5;
    const SPS: u8 = 7;
    let begins = |unit: &u8| matches!(unit & 0x1f, IDR | SPS);
    match payload {
        // FU-A: the unit's type is in the second byte, with the start bit.
        [first, unit, ..] if first & 0x1f == 28 => unit & 0x80 != 0 && begins(unit),
        _ => h264_units(payload).any(|unit| unit.first().is_some_and(begins)),
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
    fn the_sizes_of_layers_are_found() {
        // I, L, B, V; 3 sizes with Y.
        let sizes = [1, 64, 0, 180, 2, 128, 1, 104, 5, 0, 2, 208];
        let still = [&[0xaa, 0x81, 0x02, 0x00, 0x07, 0x50][..], &sizes].concat();
        // Flexible, with two references.
        let flexible = [&[0xfa, 0x05, 0x00, 0x03, 0x04, 0x50][..], &sizes].concat();

        let expected = [(320, 180), (640, 360), (1280, 720)];
        assert_eq!(vp9_sizes(&still).as_deref(), Some(&expected[..]));
        assert_eq!(vp9_sizes(&flexible).as_deref(), Some(&expected[..]));
        assert_eq!(vp9_sizes(&still[..14]), None);
        assert_eq!(vp9_sizes(&[0xa8, 0x81, 0x02, 0x00, 0x07, 0x50]), None);
    }

    #[test]
    fn keyframes_say_how_large_they_are() {
        let vp8 = |second: u8| {
            [0x90, 0x80, 0x81, 0x02, second, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x00, 0x05, 0xd0, 0x42]
        };
        // x264's parameter sets of 1280x720 (High) and 640x360 (Baseline), the latter cut by eight lines.
        let high = [
            0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00,
            0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
        ];
        let base = [
            0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01,
            0x00, 0x00, 0x03, 0x00, 0x32, 0x0f, 0x16, 0x2e, 0x48,
        ];
        let together = [&[0x78, 0, high.len() as u8][..], &high, &[0, 2, 0x68, 0xee]].concat();

        assert_eq!(size(Codec::Vp8, &vp8(0x50)), Some((1280, 720)));
        assert_eq!(size(Codec::Vp8, &vp8(0x51)), None);
        assert_eq!(size(Codec::H264, &high), Some((1280, 720)));
        assert_eq!(size(Codec::H264, &together), Some((1280, 720)));
        assert_eq!(size(Codec::H264, &base), Some((640, 360)));
        assert_eq!(size(Codec::H264, &[0x65, 0x88]), None);
        assert_eq!(size(Codec::H264, &[0x7c, 0x87, 0x42, 0, 0]), None);
    }

    #[test]
    fn any_bytes_can_be_read() {
        use rand::RngExt as _;
        let mut random = rand::rng();
        for _ in 0..200_000 {
            let length = random.random_range(0..40);
            let bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
            for codec in [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::H265, Codec::Av1] {
                let picture = read(codec, &bytes);
                let within = |at: u8| usize::from(at) < bytes.len();
                assert!(picture.id.is_none_or(|id| within(id.at)), "{codec:?} {bytes:x?}");
                assert!(picture.tl0.is_none_or(|(at, _)| within(at)), "{codec:?} {bytes:x?}");
                let is_low = |part: Part| part.spatial <= TOP_LAYER && part.temporal <= TOP_LAYER;
                assert!(picture.part.is_none_or(is_low), "{codec:?} {bytes:x?}");
            }
            red_primary(&bytes);
            let mut set = vec![0x67];
            set.extend(&bytes);
            let mut other = vec![0x42, 1];
            other.extend(&bytes);
            let _ = size(Codec::H265, &other);
            let _ = (size(Codec::H264, &set), size(Codec::Vp8, &bytes), size(Codec::Vp9, &bytes));
            let sizes = vp9_sizes(&bytes);
            assert!(sizes.is_none_or(|sizes| (1..=8).contains(&sizes.len())));
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
