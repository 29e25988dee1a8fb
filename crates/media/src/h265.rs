//! What is read of H.265's payloads (RFC 7798 4.4): where a picture begins that needs no other, and how tall it is.

use crate::nal::{Bits, units};

/// Types of units (ITU-T H.265 table 7-1): parameter sets.
const VPS: u8 = 32;
const SPS: u8 = 33;

/// Types that only RTP has: several units, and a part of one. A third, PACI, which wraps any other (4.4.4), is not looked into:
/// nobody is known to send it.
const AGGREGATION: u8 = 48;
const FRAGMENT: u8 = 49;

fn kind(header: u8) -> u8 {
    header >> 1 & 0x3f
}

/// Whether a keyframe begins here: by a parameter set, or by the first slice of a picture at which one may begin (IRAP: types 16 to 21).
pub(crate) fn starts_keyframe(payload: &[u8]) -> bool {
    match payload {
        // The unit's type is in a third byte, with the start bit; what follows is the slice.
        [first, _, fragment, rest @ ..] if kind(*first) == FRAGMENT => {
            fragment & 0x80 != 0 && begins(fragment & 0x3f, rest.first())
        }
        _ => begun(payload).any(|unit| unit.first().is_some_and(|first| begins(kind(*first), unit.get(2)))),
    }
}

fn begins(kind: u8, slice: Option<&u8>) -> bool {
    match kind {
        VPS | SPS => true,
        // Its first bit says that it is the picture's first (7.3.6.1).
        16..=21 => slice.is_some_and(|slice| slice & 0x80 != 0),
        _ => false,
    }
}

fn begun(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_many = payload.first().is_some_and(|first| kind(*first) == AGGREGATION);
    units(payload, 2, is_many)
}

/// Width and height in a payload's sequence parameter set.
pub(crate) fn size(payload: &[u8]) -> Option<(u32, u32)> {
    begun(payload).find(|unit| unit.first().is_some_and(|first| kind(*first) == SPS)).and_then(size_in)
}

/// ITU-T H.265 7.3.2.2.1.
fn size_in(unit: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits::of(unit, 2);
    bits.skip(4);
    let layers = bits.bits(3)?;
    bits.skip(1);
    skip_profile(&mut bits, layers)?;
    bits.number()?;
    let chroma = bits.number()?;
    let has_planes = chroma == 3 && bits.bit()? == 1;
    let (width, height) = (bits.number()?, bits.number()?);
    let (cut_across, cut_down) = bits.cut(chroma, has_planes, 1)?;
    Some((width.checked_sub(cut_across)?, height.checked_sub(cut_down)?))
}

/// 7.3.3: twelve bytes, and as much of each temporal sub-layer but the highest as its two flags say.
fn skip_profile(bits: &mut Bits, layers: u32) -> Option<()> {
    const PROFILE: usize = 88;
    const LEVEL: usize = 8;
    bits.skip(PROFILE + LEVEL);
    if layers == 0 {
        return Some(());
    }
    let mut more = 0;
    for _ in 0..layers {
        more += PROFILE * bits.bit()? as usize + LEVEL * bits.bit()? as usize;
    }
    bits.skip(2 * (8 - layers as usize));
    bits.skip(more);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyframes_are_found() {
        // Headers of units: type << 1, then the layer and the temporal layer.
        for (payload, is_start) in [
            (&[0x40, 1, 0x0c][..], true), // VPS
            (&[0x42, 1, 0x01], true),     // SPS
            (&[0x44, 1, 0xc0], false),    // PPS
            (&[0x26, 1, 0xaf], true),     // IDR_W_RADL, the first slice
            (&[0x26, 1, 0x2f], false),    // and another
            (&[0x28, 1, 0xaf], true),     // IDR_N_LP
            (&[0x2a, 1, 0xaf], true),     // CRA
            (&[0x20, 1, 0x80], true),     // BLA_W_LP
            (&[0x2c, 1, 0x80], false),    // reserved
            (&[0x1e, 1, 0x80], false),    // reserved, below
            (&[0x02, 1, 0xd0], false),    // TRAIL_R
            (&[0x46, 1, 0x50], false),    // a delimiter
            (&[0x60, 1, 0, 3, 0x44, 1, 0xc0, 0, 3, 0x26, 1, 0xaf], true),
            (&[0x60, 1, 0, 3, 0x40, 1, 0x0c, 0, 3, 0x42, 1, 1], true),
            (&[0x60, 1, 0, 3, 0x44, 1, 0xc0, 0, 3, 0x02, 1, 0xd0], false),
            (&[0x60, 1, 0, 9, 0x42], true), // cut, but begun
            (&[0x60, 1, 0], false),
            (&[0x62, 1, 0x93, 0xaf], true), // a fragment, the first of an IDR's first slice
            (&[0x62, 1, 0x93, 0x2f], false),
            (&[0x62, 1, 0x13, 0xaf], false), // a later one
            (&[0x62, 1, 0x53, 0xaf], false), // the last
            (&[0x62, 1, 0x81, 0xd0], false), // the first of another picture
            (&[0x62, 1, 0x93], false),
            (&[0x62, 1], false),
            (&[0x64, 1, 0x26], false), // PACI
            (&[], false),
        ] {
            assert_eq!(starts_keyframe(payload), is_start, "{payload:x?}");
        }
    }

    #[test]
    fn parameter_sets_say_how_large_pictures_are() {
        // x265's of 1280x720 and 1920x1080.
        let small = [
            0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03,
            0x00, 0x5d, 0xa0, 0x02, 0x80, 0x80, 0x2d, 0x16, 0x59, 0x59, 0xa4, 0x93, 0x2b, 0xc0, 0x40, 0x40,
        ];
        let large = [
            0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03,
            0x00, 0x78, 0xa0, 0x03, 0xc0, 0x80, 0x10, 0xe5, 0x96, 0x56, 0x69, 0x24, 0xca, 0xe0, 0x10, 0x00,
        ];
        let together = [&[0x60, 1, 0, 2, 0x40, 1, 0, small.len() as u8][..], &small].concat();

        assert_eq!(size(&small), Some((1280, 720)));
        assert_eq!(size(&large), Some((1920, 1080)));
        assert_eq!(size(&together), Some((1280, 720)));
        assert_eq!(size(&small[..20]), None);
        assert_eq!(size(&[0x26, 1, 0xaf]), None);
    }

    /// Three temporal layers, of which the lower two say their own profile and level.
    #[test]
    fn what_sub_layers_say_is_passed_over() {
        let general = [0x01, 0x60, 0, 0, 0x10, 0, 0x10, 0, 0x10, 0, 0x10, 0x5d];
        // Flags of two layers and of the six that are not there; then both with 88 and 8 bits each.
        let mut bytes = vec![0x42, 1, 0x05];
        bytes.extend(general);
        bytes.extend([0xf0, 0x00]);
        bytes.extend([0x11; 24]);
        // Set 0, 4:2:0, 320 wide and 188 tall, of which four times two lines below are cut.
        bytes.extend([0xa0, 0x0a, 0x08, 0x0b, 0xdf, 0x28]);

        assert_eq!(size(&bytes), Some((320, 180)));
    }
}
