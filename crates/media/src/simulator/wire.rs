//! What the simulated viewer and its server have agreed on.

/// SSRCs of what the viewer is sent.
pub(super) const SOUND: u32 = 11;
pub(super) const VIDEO: u32 = 22;
pub(super) const VIDEO_AGAIN: u32 = 33;

/// Payload types.
pub(super) const OPUS: u8 = 111;
pub(super) const RED: u8 = 63;
pub(super) const VP8: u8 = 96;
pub(super) const VP9: u8 = 98;
pub(super) const RTX: u8 = 97;
pub(super) const VIDEO_RED: u8 = 114;
pub(super) const FEC: u8 = 116;

/// The number of the header extension that counts packets.
pub(super) const TRANSPORT_CC: u8 = 3;
pub(super) const SEND_TIME: u8 = 2;

/// What IP and UDP add to a datagram.
pub(super) const UNDER: usize = 28;

/// A NACK (RFC 4585 6.2.1).
pub(super) fn nack(ssrc: u32, pairs: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x81, 205];
    packet.extend(((pairs.len() / 4 + 2) as u16).to_be_bytes());
    packet.extend([0, 0, 0, 1]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend(pairs);
    packet
}
