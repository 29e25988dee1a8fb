//! Who makes up lost packets from redundancy, as RFC 5109 8.2 has it: for tests, and written from the wire, not from what writes.

use std::collections::BTreeMap;

/// What came of a stream.
#[derive(Default)]
pub(crate) struct Repairing {
    /// Packets by their numbers, with what was stamped on them taken for zeros.
    pub(crate) came: BTreeMap<u16, Vec<u8>>,
    redundancy: Vec<Vec<u8>>,
    ssrc: u32,
}

impl Repairing {
    pub(crate) fn new(ssrc: u32) -> Self {
        Self { ssrc, ..Self::default() }
    }

    /// A packet in RED, without its SRTP tag. Returns the payload type inside, and the packet without RED.
    pub(crate) fn take(&mut self, packet: &[u8], fec: u8, stamps: &[u8]) -> (u8, Vec<u8>) {
        assert_eq!(packet[0] & 0x3f, 0x10, "extensions, neither padding nor sources");
        let header = 16 + 4 * usize::from(u16::from_be_bytes([packet[14], packet[15]]));
        let inside = packet[header];
        assert_eq!(inside & 0x80, 0, "RED has but one block");
        if inside == fec {
            assert_eq!(packet[1] & 0x80, 0, "what follows a picture is not its end");
            self.redundancy.push(packet[header + 1..].to_vec());
            return (inside, Vec::new());
        }
        let mut plain = packet[..header].to_vec();
        plain[1] = plain[1] & 0x80 | inside;
        plain.extend(&packet[header + 1..]);
        let whole = plain.clone();
        let mut at = 16;
        while at < header && plain[at] != 0 {
            let (id, length) = (plain[at] >> 4, usize::from(plain[at] & 0x0f) + 1);
            if stamps.contains(&id) {
                plain[at + 1..at + 1 + length].fill(0);
            }
            at += 1 + length;
        }
        self.came.insert(u16::from_be_bytes([packet[2], packet[3]]), plain);
        (inside, whole)
    }

    /// What can be made up by now: packets with their numbers.
    pub(crate) fn repair(&mut self) -> Vec<(u16, Vec<u8>)> {
        let mut repaired = Vec::new();
        while let Some((number, packet)) = self.redundancy.iter().find_map(|sum| self.alone_in(sum)) {
            self.came.insert(number, packet.clone());
            repaired.push((number, packet));
        }
        self.redundancy.retain(|sum| covered(sum).any(|number| !self.came.contains_key(&number)));
        if self.redundancy.len() > 48 {
            self.redundancy.remove(0);
        }
        repaired
    }

    fn alone_in(&self, sum: &[u8]) -> Option<(u16, Vec<u8>)> {
        let mut missing = covered(sum).filter(|number| !self.came.contains_key(number));
        let (number, None) = (missing.next()?, missing.next()) else { return None };
        let mut first: Vec<u8> = [&sum[..2], &sum[8..10], &sum[4..8]].concat();
        let mut rest = sum[14..].to_vec();
        assert_eq!(usize::from(u16::from_be_bytes([sum[10], sum[11]])), rest.len());
        for other in covered(sum).filter(|other| *other != number) {
            let packet = &self.came[&other];
            let length = ((packet.len() - 12) as u16).to_be_bytes();
            let of_header = [&packet[..2], &length[..], &packet[4..8]].concat();
            first.iter_mut().zip(of_header).for_each(|(sum, byte)| *sum ^= byte);
            rest.iter_mut().zip(&packet[12..]).for_each(|(sum, byte)| *sum ^= byte);
        }
        rest.truncate(u16::from_be_bytes([first[2], first[3]]).into());
        let mut packet = vec![first[0] & 0x3f | 0x80, first[1]];
        packet.extend(number.to_be_bytes());
        packet.extend(&first[4..8]);
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(rest);
        Some((number, packet))
    }
}

/// The numbers of packets in a sum.
fn covered(sum: &[u8]) -> impl Iterator<Item = u16> + use<> {
    assert_eq!(sum[0] & 0xc0, 0, "neither extended nor with a long mask");
    let (base, mask) = (u16::from_be_bytes([sum[2], sum[3]]), u16::from_be_bytes([sum[12], sum[13]]));
    (0..16).filter(move |bit| mask & 0x8000 >> bit != 0).map(move |bit| base.wrapping_add(bit))
}
