//! NAL units, of which H.264 and H.265 consist, in RTP's payloads, and the bits within them. Any bytes can be read.

use smallvec::SmallVec;

/// What is read of a unit at most: parameter sets say what is looked for at their beginning.
const MOST_READ: usize = 128;

/// The units that a payload begins, without those of which it has a part only: one, or many, each behind its length, behind a header
/// of so many bytes (RFC 6184 5.6, 5.7; RFC 7798 4.4.1, 4.4.2).
pub(crate) fn units(payload: &[u8], header: usize, is_many: bool) -> impl Iterator<Item = &[u8]> {
    let mut rest = if is_many { payload.get(header..).unwrap_or_default() } else { payload };
    std::iter::from_fn(move || {
        if !is_many {
            return Some(std::mem::take(&mut rest)).filter(|unit| !unit.is_empty());
        }
        let (length, tail) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length)).min(tail.len());
        let (unit, tail) = tail.split_at_checked(length)?;
        rest = tail;
        Some(unit)
    })
}

/// Bits, the highest of each byte first.
pub(crate) struct Bits {
    bytes: SmallVec<[u8; MOST_READ]>,
    at: usize,
}

impl Bits {
    /// Those of a unit behind a header of so many bytes. A byte 3 after two zeros is only there so that nothing looks like a start code
    /// (ITU-T H.264 7.4.1, H.265 7.4.2).
    pub(crate) fn of(unit: &[u8], header: usize) -> Self {
        let mut zeros = 0;
        let is_real = |byte: &&u8| {
            let is_added = zeros >= 2 && **byte == 3;
            zeros = if **byte == 0 { zeros + 1 } else { 0 };
            !is_added
        };
        let bytes = unit.get(header..).unwrap_or_default();
        Self { bytes: bytes.iter().filter(is_real).copied().take(MOST_READ).collect(), at: 0 }
    }

    pub(crate) fn bit(&mut self) -> Option<u32> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit.into())
    }

    /// A number of so many bits.
    pub(crate) fn bits(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | self.bit()?))
    }

    pub(crate) fn skip(&mut self, count: usize) {
        self.at += count;
    }

    pub(crate) fn skip_numbers(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.number().map(drop))
    }

    /// An Exp-Golomb number (ITU-T H.264 9.1, H.265 9.2).
    pub(crate) fn number(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 20 {
                return None;
            }
        }
        Some((1 << zeros | self.bits(zeros)?) - 1)
    }

    /// What is cut off a picture's width and height, in its own pixels: it is counted in those of colour, and of fields in so many
    /// `lines` each (ITU-T H.264 7.4.2.1.1, H.265 7.4.3.2.1).
    pub(crate) fn cut(&mut self, chroma: u32, has_planes: bool, lines: u32) -> Option<(u32, u32)> {
        if self.bit()? == 0 {
            return Some((0, 0));
        }
        let columns = if matches!(chroma, 1 | 2) && !has_planes { 2 } else { 1 };
        let rows = if chroma == 1 && !has_planes { 2 } else { 1 };
        let across = self.number()?.checked_add(self.number()?)?.checked_mul(columns)?;
        let down = self.number()?.checked_add(self.number()?)?.checked_mul(rows * lines)?;
        Some((across, down))
    }
}
