use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use str0m::format::Codec;

use super::*;
use crate::payload::{CodecKey, Picture};
use crate::repairing::Repairing;
use crate::slot::{Extensions, Slot, Stamps, Taken};
use crate::source::{Packet, RoomKey, SourceKey, Sources, StreamKind};

const REDUNDANCY: Redundancy = Redundancy { red: 114, fec: 116 };
const VP8: u8 = 96;
const SSRC: u32 = 7;

/// Numbers and times are stamped under these, and are not alike in any two packets.
const STAMPED: [u8; 2] = [3, 2];

struct Stream {
    slot: Slot,
    generation: u32,
    /// What has gone out, in clear, in order.
    sent: Vec<Vec<u8>>,
}

impl Stream {
    fn new(share: f32) -> Self {
        let sources = Sources::default();
        let source = sources.get(&SourceKey { room: RoomKey(1), user: "ann".into(), kind: StreamKind::Main });
        let generation = sources.publish(&source, 0, 1, 720);
        let mut slot = Slot::new("1", true, SSRC, Some(8));
        slot.takes.push(Taken {
            codec: CodecKey::of(Codec::Vp8, 0, false),
            payload_type: VP8,
            rtx: Some(VP8 + 1),
        });
        slot.extensions = Extensions {
            transport_cc: Some(STAMPED[0]),
            abs_send_time: Some(STAMPED[1]),
            mid: Some(4),
            ..Extensions::default()
        };
        slot.redundancy = Some(REDUNDANCY);
        slot.set_source(Some(source));
        slot.protect(share);
        Self { slot, generation, sent: Vec::new() }
    }

    fn packet(&self, seq: u64, picture: u32, is_first: bool, marker: bool) -> Packet {
        Packet {
            generation: self.generation,
            codec: CodecKey::of(Codec::Vp8, 0, false),
            seq,
            timestamp: picture * 3000,
            marker,
            picture: Picture { starts_keyframe: is_first && picture == 0, ..Picture::default() },
            payload: (0..40 + seq * 37 % 1100).map(|at| (at * seq) as u8).collect(),
            ..Packet::blank()
        }
    }

    /// A packet goes out; returns its number.
    fn send(&mut self, packet: &Packet) -> Option<u64> {
        let rewrite = self.slot.admit(packet)?;
        let mark = self.sent.len() as u16;
        let stamps = Stamps {
            transport_cc: Some(0x1111_u16.wrapping_mul(mark)),
            abs_send_time: 0x1357 * u32::from(mark),
            has_mid: mark.is_multiple_of(3),
        };
        let mut buffer = vec![9; 5];
        let (header, _) = self.slot.write(&mut buffer, packet, &rewrite, stamps)?;
        if rewrite.red.is_some() {
            self.slot.shield(&buffer, (5, header), &rewrite, stamps);
        }
        self.sent.push(buffer.split_off(5));
        Some(rewrite.seq)
    }

    /// What protects the last picture goes out.
    fn protect(&mut self) -> Vec<u64> {
        let mut numbers = Vec::new();
        while self.slot.redundant_bytes().is_some() {
            let mut buffer = Vec::new();
            let stamps = Stamps { transport_cc: Some(0xffff), abs_send_time: 0xff_ffff, has_mid: true };
            numbers.extend(self.slot.write_redundant(&mut buffer, stamps).map(|(.., number)| number));
            self.sent.push(buffer);
        }
        numbers
    }

    /// A picture of so many packets, and what protects it.
    fn picture(&mut self, picture: u32, first: u64, packets: u64) -> Vec<u64> {
        for seq in first..first + packets {
            self.send(&self.packet(seq, picture, seq == first, seq + 1 == first + packets)).unwrap();
        }
        self.protect()
    }

    /// Whether a viewer that loses these of what was sent has all in the end, byte for byte.
    fn survives(&self, lost: &[usize]) -> bool {
        let (mut all, mut viewer) = (Repairing::new(SSRC), Repairing::new(SSRC));
        for (at, packet) in self.sent.iter().enumerate() {
            all.take(packet, REDUNDANCY.fec, &STAMPED);
            if !lost.contains(&at) {
                viewer.take(packet, REDUNDANCY.fec, &STAMPED);
            }
        }
        for (number, packet) in viewer.repair() {
            assert_eq!(packet, all.came[&number], "{number} was made up as another than it was");
        }
        viewer.came.len() == all.came.len()
    }
}

#[test]
fn any_packet_that_is_lost_is_made_up_byte_for_byte() {
    for packets in 1..=30 {
        let mut stream = Stream::new(0.2);
        stream.picture(0, 65_530, packets);

        assert!(stream.sent.len() as u64 > packets);
        for lost in 0..stream.sent.len() {
            assert!(stream.survives(&[lost]), "{lost} of {packets}");
        }
    }
}

#[test]
fn of_two_that_are_lost_nearly_all_are_made_up() {
    let mut stream = Stream::new(0.0);
    stream.picture(0, 100, 3);
    stream.slot.protect(0.4);
    stream.sent.clear();
    assert_eq!(stream.picture(1, 103, 10).len(), 4);

    let all = stream.sent.len();
    let pairs: Vec<_> = (0..all).flat_map(|one| (0..one).map(move |other| [one, other])).collect();
    let made_up = pairs.iter().filter(|lost| stream.survives(&lost[..])).count();
    assert!(made_up * 100 >= 95 * pairs.len(), "{made_up} of {}", pairs.len());
}

#[test]
fn small_pictures_have_no_more_of_it_than_large_ones() {
    for (packets, share) in [(1, 0.2), (3, 0.2), (10, 0.25), (30, 0.15)] {
        let mut stream = Stream::new(0.0);
        stream.picture(0, 100, packets);
        stream.slot.protect(share);
        let mut sums = 0;
        for picture in 1..=100_u32 {
            sums += stream.picture(picture, 100 + u64::from(picture) * packets, packets).len();
        }

        let wanted = f64::from(share) * packets as f64 * 100.0;
        assert!((sums as f64 - wanted).abs() <= 1.5, "{sums} for pictures of {packets}, {wanted}");
    }
}

#[test]
fn its_header_is_as_the_rfc_lays_it_out() {
    let mut stream = Stream::new(0.2);
    let numbers = stream.picture(0, 100, 3);

    let (redundant, first) = (stream.sent.last().unwrap(), &stream.sent[0]);
    let header = 16 + 4 * usize::from(u16::from_be_bytes([redundant[14], redundant[15]]));
    assert_eq!((redundant[1], &redundant[8..12]), (REDUNDANCY.red, &SSRC.to_be_bytes()[..]));
    assert_eq!(redundant[2..4], (numbers[0] as u16).to_be_bytes());
    assert_eq!(redundant[4..8], first[4..8], "of the time of its picture");
    let [inside, fec @ ..] = &redundant[header..] else { panic!() };
    assert_eq!(*inside, REDUNDANCY.fec);
    // E, L, P, X, CC; M and PT; SN base. Three times X and one marker.
    assert_eq!(fec[..4], [0x10, 0x80 | VP8, first[2], first[3]]);
    // The mask: the first three from the base on.
    assert_eq!(fec[12..14], [0xe0, 0]);
}

#[test]
fn numbers_have_no_gap_and_what_was_sent_is_found_again() {
    let mut stream = Stream::new(0.25);
    let mut numbers = Vec::new();
    for picture in 0..20_u32 {
        // The publisher's third packet of each picture comes two pictures late.
        let first = 100 + 10 * u64::from(picture);
        for seq in (first..first + 10).filter(|seq| *seq != first + 2) {
            numbers.extend(stream.send(&stream.packet(seq, picture, seq == first, seq == first + 9)));
        }
        let redundant = stream.protect();
        // Of nine packets two and a quarter; of the keyframe's, half as much again.
        let four = [2, 2, 2, 3];
        assert_eq!(redundant.len(), if picture == 0 { 4 } else { four[(picture % 4) as usize] });
        assert!(redundant.iter().all(|number| stream.slot.lose(*number, &mut Again::new())));
        assert!(redundant.iter().all(|number| stream.slot.origin(*number).is_none()));
        numbers.extend(redundant);
        if picture >= 2 {
            let late = stream.packet(first - 18, picture - 2, false, false);
            let number = stream.send(&late).unwrap();
            assert_eq!(stream.slot.origin(number).map(|(.., seq)| seq), Some(late.seq));
            assert_eq!(stream.slot.again(&late, number).map(|again| again.seq), Some(number));
            numbers.push(number);
        }
    }
    numbers.sort_unstable();

    let missing: Vec<u64> =
        (1..=*numbers.last().unwrap()).filter(|number| !numbers.contains(number)).collect();
    assert_eq!(missing.len(), 2, "only those that have not come: {missing:?}");
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "no number is given twice");
    assert_eq!(stream.slot.newest_number(), numbers.last().copied());
}

#[test]
fn a_picture_that_goes_on_takes_no_redundancy_of_the_one_before() {
    let mut stream = Stream::new(0.2);
    for seq in 100..105 {
        stream.send(&stream.packet(seq, 0, seq == 100, seq == 104)).unwrap();
    }

    // The next begins before what protects the last could leave.
    assert_eq!(stream.send(&stream.packet(105, 1, true, false)), Some(6));
    assert!(stream.protect().is_empty());
    assert_eq!(stream.send(&stream.packet(106, 1, false, true)), Some(7));
    assert_eq!(stream.protect(), [8]);
}

#[test]
fn who_is_sent_none_sees_no_red() {
    let mut stream = Stream::new(0.0);
    let with_none = stream.picture(0, 100, 5);
    stream.slot.protect(0.2);
    let with_some = stream.picture(1, 105, 5);
    stream.slot.protect(0.0);
    let after = stream.picture(2, 110, 5);

    assert_eq!((with_none.len(), with_some.len(), after.len()), (0, 1, 0));
    let types: Vec<u8> = stream.sent.iter().map(|packet| packet[1] & 0x7f).collect();
    assert_eq!(types, [vec![VP8; 5], vec![REDUNDANCY.red; 6], vec![VP8; 5]].concat());
}

#[test]
fn what_a_viewer_makes_up_is_not_sent_again_and_all_else_is() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (mut put_off, mut sent_again) = (0, 0);
    for share in [0.1, 0.25, 0.4] {
        let mut stream = Stream::new(share);
        for picture in 0..200_u32 {
            let (first, packets) = (100 + 20 * u64::from(picture), random.random_range(1..=20));
            stream.sent.clear();
            let numbers = stream.picture(picture, first, packets);
            let newest = stream.slot.newest_number().unwrap();
            let oldest = newest + 1 - packets - numbers.len() as u64;
            let lost: Vec<u64> = (oldest..=newest).filter(|_| random.random_bool(0.15)).collect();

            let mut viewer = Repairing::new(SSRC);
            for (packet, number) in stream.sent.iter().zip(oldest..) {
                if !lost.contains(&number) {
                    viewer.take(packet, REDUNDANCY.fec, &STAMPED);
                }
            }
            viewer.repair();
            let (mut again, mut missing) = (Again::new(), Vec::new());
            for number in &lost {
                let is_redundant = stream.slot.lose(*number, &mut again);
                assert_eq!(is_redundant, numbers.contains(number));
                if !is_redundant && !viewer.came.contains_key(&(*number as u16)) {
                    missing.push(*number);
                }
            }
            again.sort_unstable();
            assert_eq!(
                again.as_slice(),
                missing,
                "of {packets} with {} the viewer lost {lost:?}",
                numbers.len()
            );

            // What it asks for once more it has not made up, whatever the reason.
            again.clear();
            let of_pictures: Vec<u64> =
                lost.iter().filter(|number| !numbers.contains(number)).copied().collect();
            for number in &of_pictures {
                stream.slot.lose(*number, &mut again);
            }
            assert_eq!(again.as_slice(), of_pictures);
            put_off += of_pictures.len() - missing.len();
            sent_again += missing.len();
        }
    }
    assert!(put_off > 300 && sent_again > 300, "{put_off}, {sent_again}");
}
