//! How a packet leaves to a viewer.

use crate::payload::CodecKey;

/// A codec that the viewer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) codec: CodecKey,
    pub(crate) payload_type: u8,
    /// For retransmissions (RFC 4588).
    pub(crate) rtx: Option<u8>,
}

/// How a packet is sent to this viewer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rewrite {
    pub(crate) seq: u64,
    pub(crate) timestamp: u32,
    pub(crate) picture_offset: u16,
    pub(crate) tl0_offset: u8,
    pub(crate) frame_offset: u16,
    pub(crate) taken: Taken,
    pub(crate) unwraps: bool,
    /// The last packet of its picture.
    pub(crate) is_last: bool,
    /// With nothing in it but padding: its number was kept for what is left out.
    pub(crate) is_blank: bool,
    /// Protected, and so in RED of this payload type.
    pub(crate) red: Option<u8>,
}

impl Rewrite {
    /// Whether a packet goes out with second copies of those before it.
    pub(crate) fn is_doubled(&self) -> bool {
        self.taken.codec.red && !self.unwraps
    }
}

/// What is stamped on a packet as it goes out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamps {
    pub(crate) transport_cc: Option<u16>,
    /// 6.18 bits of seconds, in the lower 24.
    pub(crate) abs_send_time: u32,
    /// The stream's MID goes along.
    pub(crate) has_mid: bool,
}
