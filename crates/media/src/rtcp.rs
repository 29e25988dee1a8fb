//! RTCP of viewers: what they report is read, sender reports are written (RFC 3550 6, RFC 4585 6, RFC 5104 4.3.1,
//! draft-holmer-rmcat-transport-wide-cc-extensions-01 3.1, RFC 8888 3.1).
//!
//! Reports come as borrowed views over the packet, so that reading them allocates nothing.

use std::ops::ControlFlow;

/// One report in a control packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report<'a> {
    /// What has arrived of a stream.
    Reception {
        ssrc: u32,
        /// Packets, since it began; fewer than none when some came twice.
        lost: i32,
        /// The highest sequence number, with its roll-overs.
        highest: u32,
        /// The middle 32 bits of the newest sender report's time, and 1/65,536 s since it came.
        last_report: u32,
        delay: u32,
    },
    /// Sequence numbers that are missing: a first one, and a bit for each of the 16 after it.
    Missing { ssrc: u32, pairs: &'a [u8] },
    /// A picture that needs no other is asked for.
    Keyframe { ssrc: u32 },
    /// When packets arrived, over all streams of the connection.
    Arrivals(Arrivals<'a>),
    /// The same, stream by stream.
    StreamArrivals(StreamArrivals<'a>),
    /// The receiver's own estimate of what its link carries, in bits a second.
    Bandwidth { bits: u64 },
}

/// Reads a compound packet, report by report; what is broken or unknown is passed over.
pub(crate) fn read<'a>(mut packet: &'a [u8], mut take: impl FnMut(Report<'a>)) {
    while let Some(length) = u16_at(packet, 2) {
        let bytes = 4 * (usize::from(length) + 1);
        let Some((this, rest)) = packet.split_at_checked(bytes) else { return };
        packet = rest;
        if this.first().is_none_or(|first| first >> 6 != 2) {
            return;
        }
        read_one(this, &mut take);
    }
}

fn read_one<'a>(packet: &'a [u8], take: &mut impl FnMut(Report<'a>)) {
    let Some([first, kind]) = packet.first_chunk::<2>().copied() else { return };
    let format = first & 0x1f;
    match (kind, format) {
        (200, _) => read_blocks(packet.get(28..), format, take),
        (201, _) => read_blocks(packet.get(8..), format, take),
        (205, 1) => {
            if let (Some(ssrc), Some(pairs)) = (u32_at(packet, 8), packet.get(12..)) {
                take(Report::Missing { ssrc, pairs });
            }
        }
        (205, 15) => {
            if let Some(arrivals) = Arrivals::new(packet) {
                take(Report::Arrivals(arrivals));
            }
        }
        (205, 11) => {
            if let Some(arrivals) = StreamArrivals::new(packet) {
                take(Report::StreamArrivals(arrivals));
            }
        }
        (206, 1) => {
            if let Some(ssrc) = u32_at(packet, 8) {
                take(Report::Keyframe { ssrc });
            }
        }
        (206, 4) => {
            for entry in packet.get(12..).unwrap_or_default().chunks_exact(8) {
                if let Some(ssrc) = u32_at(entry, 0) {
                    take(Report::Keyframe { ssrc });
                }
            }
        }
        (206, 15) if packet.get(12..16) == Some(b"REMB") => {
            if let Some([a, b, c]) = packet.get(17..20).and_then(|bytes| bytes.first_chunk::<3>()).copied() {
                let mantissa = u64::from(a & 0x03) << 16 | u64::from(b) << 8 | u64::from(c);
                take(Report::Bandwidth { bits: mantissa.checked_shl((a >> 2).into()).unwrap_or(u64::MAX) });
            }
        }
        _ => {}
    }
}

fn read_blocks<'a>(blocks: Option<&'a [u8]>, count: u8, take: &mut impl FnMut(Report<'a>)) {
    for block in blocks.unwrap_or_default().chunks_exact(24).take(count.into()) {
        if let (Some(ssrc), Some(lost), Some(highest), Some(last_report), Some(delay)) =
            (u32_at(block, 0), u32_at(block, 4), u32_at(block, 8), u32_at(block, 16), u32_at(block, 20))
        {
            // 24 bits with a sign.
            let lost = (lost << 8) as i32 >> 8;
            take(Report::Reception { ssrc, lost, highest, last_report, delay });
        }
    }
}

/// Calls `take` for each sequence number of a NACK.
pub(crate) fn for_missing(pairs: &[u8], mut take: impl FnMut(u16)) {
    for pair in pairs.chunks_exact(4) {
        let (Some(first), Some(bits)) = (u16_at(pair, 0), u16_at(pair, 2)) else { return };
        take(first);
        for bit in 0..16 {
            if bits >> bit & 1 == 1 {
                take(first.wrapping_add(bit + 1));
            }
        }
    }
}

/// A transport-wide feedback packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrivals<'a> {
    base: u16,
    count: u16,
    /// In 64 ms.
    reference: i32,
    /// Chunks, then deltas.
    body: &'a [u8],
}

/// When a packet arrived, in microseconds of the receiver's clock; `None` when it has not.
pub(crate) type Arrival = Option<i64>;

impl<'a> Arrivals<'a> {
    fn new(packet: &'a [u8]) -> Option<Self> {
        let reference = packet.get(16..19)?.iter().fold(0, |value, byte| value << 8 | i32::from(*byte));
        // 24 bits with a sign.
        let reference = reference << 8 >> 8;
        Some(Self {
            base: u16_at(packet, 12)?,
            count: u16_at(packet, 14)?,
            reference,
            body: packet.get(20..)?,
        })
    }

    /// Calls `take` for each packet it tells of, in the order of their numbers, until it breaks off.
    pub(crate) fn for_each(&self, mut take: impl FnMut(u16, Arrival)) {
        let mut left = usize::from(self.count);
        let mut chunks = 0;
        // The deltas come after the chunks, so these are counted first.
        while left > 0 {
            let Some(chunk) = u16_at(self.body, chunks) else { return };
            chunks += 2;
            left = left.saturating_sub(chunk_length(chunk));
        }
        let mut deltas = self.body.get(chunks..).unwrap_or_default();
        let mut at = i64::from(self.reference) * 64_000;
        let mut seq = self.base;
        let mut left = usize::from(self.count);
        for chunk in self.body.get(..chunks).unwrap_or_default().chunks_exact(2) {
            let Some(chunk) = u16_at(chunk, 0) else { return };
            let told = for_symbols(chunk, left, |symbol| {
                let step = match symbol {
                    0 => None,
                    1 => match deltas.split_first() {
                        Some((delta, rest)) => {
                            deltas = rest;
                            Some(i64::from(*delta))
                        }
                        None => return ControlFlow::Break(()),
                    },
                    _ => match deltas.split_first_chunk::<2>() {
                        Some((delta, rest)) => {
                            deltas = rest;
                            Some(i64::from(i16::from_be_bytes(*delta)))
                        }
                        None => return ControlFlow::Break(()),
                    },
                };
                take(
                    seq,
                    step.map(|step| {
                        at += step * 250;
                        at
                    }),
                );
                seq = seq.wrapping_add(1);
                ControlFlow::Continue(())
            });
            if told.is_break() {
                return;
            }
            left = left.saturating_sub(chunk_length(chunk));
        }
    }
}

/// A congestion control feedback packet (RFC 8888 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamArrivals<'a> {
    /// When it was made, in 1/65,536 s of the receiver's clock.
    at: u32,
    /// Of each stream: its SSRC, the first number, how many, and two bytes for each packet.
    blocks: &'a [u8],
}

/// What a packet that has arrived has set, and the times that say no more than that it has: before what can be told, and after the
/// report (RFC 8888 3.1).
const RECEIVED: u16 = 0x8000;
const OFFSET: u16 = 0x1fff;
const LONGEST_OFFSET: u16 = 0x1ffd;

impl<'a> StreamArrivals<'a> {
    fn new(packet: &'a [u8]) -> Option<Self> {
        let end = packet.len().checked_sub(4)?;
        Some(Self { at: u32_at(packet, end)?, blocks: packet.get(8..end)? })
    }

    /// Calls `take` with the SSRC and the number of each packet it tells of, until it breaks off.
    pub(crate) fn for_each(&self, mut take: impl FnMut(u32, u16, Arrival)) {
        let at = i64::from(self.at) * 1_000_000 / 65_536;
        let mut rest = self.blocks;
        while let (Some(ssrc), Some(first), Some(count)) = (u32_at(rest, 0), u16_at(rest, 4), u16_at(rest, 6))
        {
            let told = 2 * usize::from(count);
            let Some(packets) = rest.get(8..8 + told) else { return };
            for (packet, place) in packets.chunks_exact(2).zip(0_u16..) {
                let Some(packet) = u16_at(packet, 0) else { return };
                let offset = packet & OFFSET;
                let arrival = match packet & RECEIVED {
                    0 => Some(None),
                    // It is there, but nobody knows since when: that tells nothing of the link.
                    _ if offset > LONGEST_OFFSET => None,
                    _ => Some(Some(at - i64::from(offset) * 1_000_000 / 1024)),
                };
                if let Some(arrival) = arrival {
                    take(ssrc, first.wrapping_add(place), arrival);
                }
            }
            rest = rest.get(8 + told.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

fn chunk_length(chunk: u16) -> usize {
    match (chunk >> 15, chunk >> 14 & 1) {
        (0, _) => usize::from(chunk & 0x1fff),
        (_, 0) => 14,
        _ => 7,
    }
    .max(1)
}

/// Calls `take` for each symbol of a chunk, at most `most`: 0 not received, 1 a small step, 2 a large one.
fn for_symbols(chunk: u16, most: usize, mut take: impl FnMut(u16) -> ControlFlow<()>) -> ControlFlow<()> {
    if chunk >> 15 == 0 {
        for _ in 0..usize::from(chunk & 0x1fff).min(most) {
            take(chunk >> 13 & 3)?;
        }
    } else if chunk >> 14 & 1 == 0 {
        for bit in (0..14).rev().take(most) {
            take(chunk >> bit & 1)?;
        }
    } else {
        for pair in (0..7).rev().take(most) {
            take(chunk >> (2 * pair) & 3)?;
        }
    }
    ControlFlow::Continue(())
}

/// What a sender report says.
pub(crate) struct SenderReport {
    pub(crate) ssrc: u32,
    /// NTP time of the moment, 32.32 bits.
    pub(crate) ntp: u64,
    /// The same moment in the stream's RTP time.
    pub(crate) rtp: u32,
    pub(crate) packets: u32,
    pub(crate) bytes: u32,
}

/// Appends a sender report and the name all of the sender's streams share (RFC 3550 6.4.1, 6.5).
pub(crate) fn write_sender_report(buffer: &mut Vec<u8>, report: &SenderReport, cname: &[u8; 8]) {
    buffer.extend_from_slice(&[0x80, 200, 0, 6]);
    buffer.extend_from_slice(&report.ssrc.to_be_bytes());
    buffer.extend_from_slice(&report.ntp.to_be_bytes());
    buffer.extend_from_slice(&report.rtp.to_be_bytes());
    buffer.extend_from_slice(&report.packets.to_be_bytes());
    buffer.extend_from_slice(&report.bytes.to_be_bytes());
    buffer.extend_from_slice(&[0x81, 202, 0, 4]);
    buffer.extend_from_slice(&report.ssrc.to_be_bytes());
    buffer.extend_from_slice(&[1, 8]);
    buffer.extend_from_slice(cname);
    buffer.extend_from_slice(&[0, 0]);
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(packet: &[u8]) -> Vec<(u16, Arrival)> {
        let mut told = Vec::new();
        read(packet, |report| {
            if let Report::Arrivals(arrivals) = report {
                arrivals.for_each(|seq, at| told.push((seq, at)));
            }
        });
        told
    }

    #[test]
    fn arrivals_are_read_from_all_kinds_of_chunks() {
        // Base 0xfffe, 11 packets, reference 1 (64 ms); a run of 2 small, a vector of 7 pairs, a run of 2 missing.
        let packet = [
            0x8f,
            205,
            0,
            7,
            0,
            0,
            0,
            1,
            0,
            0,
            0,
            2,
            0xff,
            0xfe,
            0,
            11,
            0,
            0,
            1,
            0, //
            0x20,
            0x02,
            0b1101_1000,
            0b0000_0000,
            0x00,
            0x02,
            4,
            8,
            1,
            0xff,
            0xfc,
            0,
        ];

        let told = arrivals(&packet);

        assert_eq!(told.len(), 11);
        assert_eq!(
            told[..4],
            [(0xfffe, Some(65_000)), (0xffff, Some(67_000)), (0, Some(67_250)), (1, Some(66_250))]
        );
        assert!(told[4..].iter().all(|(_, at)| at.is_none()));
        assert_eq!(told[10].0, 8);
    }

    fn stream_arrivals(packet: &[u8]) -> Vec<(u32, u16, Arrival)> {
        let mut told = Vec::new();
        read(packet, |report| {
            if let Report::StreamArrivals(arrivals) = report {
                arrivals.for_each(|ssrc, seq, at| told.push((ssrc, seq, at)));
            }
        });
        told
    }

    #[test]
    fn arrivals_are_read_stream_by_stream() {
        // Made at 2 s. Of one stream three packets from 0xffff on: half a second before, missing, at an unknown time.
        let mut packet = vec![0x8b, 205, 0, 8, 0, 0, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 0, 3];
        packet.extend([0x82, 0x00, 0, 0, 0x9f, 0xff, 0, 0]);
        // Of another one, just now, with a mark of congestion.
        packet.extend([0, 0, 0, 7, 0, 5, 0, 1, 0xe0, 0x00, 0, 0]);
        packet.extend([0, 2, 0, 0]);
        packet[3] = (packet.len() / 4 - 1) as u8;

        let told = stream_arrivals(&packet);

        assert_eq!(told, [(9, 0xffff, Some(1_500_000)), (9, 0, None), (7, 5, Some(2_000_000))]);
    }

    #[test]
    fn arrivals_that_say_more_than_there_is_break_off() {
        let mut packet = vec![0x8b, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0xff, 0xff];
        packet.extend([0x80, 0, 0x80, 0, 0, 2, 0, 0]);

        assert_eq!(stream_arrivals(&packet), []);
        assert_eq!(stream_arrivals(&[0x8b, 205, 0, 1, 0, 0, 0, 1]), []);
    }

    #[test]
    fn the_other_reports_are_read() {
        let mut packet = vec![0x81, 201, 0, 7, 0, 0, 0, 1, 0, 0, 0, 9, 64, 0xff, 0xff, 0xfe];
        packet.extend([0, 0, 0, 5, 0, 0, 0, 3, 0, 0, 0, 7, 0, 0, 0, 8]);
        packet.extend([0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 0, 0b101]);
        packet.extend([0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9]);
        packet.extend([0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0]);
        packet.extend(b"REMB");
        packet.extend([1, 0b0000_1000, 0x30, 0xd4, 0, 0, 0, 9]);
        let (mut told, mut missing) = (Vec::new(), Vec::new());

        read(&packet, |report| {
            if let Report::Missing { pairs, .. } = report {
                for_missing(pairs, |seq| missing.push(seq));
            }
            told.push(report);
        });

        assert_eq!(told[0], Report::Reception { ssrc: 9, lost: -2, highest: 5, last_report: 7, delay: 8 });
        assert_eq!(missing, [0xffff, 0, 2]);
        assert_eq!(told[2], Report::Keyframe { ssrc: 9 });
        assert_eq!(told[3], Report::Bandwidth { bits: 50_000 });
    }

    #[test]
    fn any_bytes_can_be_read() {
        use rand::RngExt as _;
        let mut random = rand::rng();
        for _ in 0..200_000 {
            let length = random.random_range(0..80);
            let mut bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
            // Often enough a header that leads further.
            if let Some(head) = bytes.first_chunk_mut::<4>() {
                *head =
                    [0x80 | random.random_range(0..32), random.random_range(199..208), 0, (length / 4) as u8];
            }
            arrivals(&bytes);
            stream_arrivals(&bytes);
            read(&bytes, |report| {
                if let Report::Missing { pairs, .. } = report {
                    for_missing(pairs, |_| {});
                }
            });
        }
    }
}
