use str0m::format::Codec;

use super::write::PADDED;
use super::*;
use crate::payload::{Part, Picture};
use crate::source::{History, RoomKey, SourceKey, Sources, StreamKind};

const DEPENDENCY: u8 = 12;
const ORIENTATION: u8 = 5;

fn codec(codec: Codec) -> CodecKey {
    CodecKey::of(codec, 0, false)
}

/// A viewer's slot with a camera of so many layers, which came in the publication of that number.
fn slot(layers: usize) -> (Slot, u32) {
    let sources = Sources::default();
    let source = sources.get(&SourceKey { room: RoomKey(1), user: "ann".into(), kind: StreamKind::Main });
    let generation = sources.publish(&source, 0, layers, 720);
    let mut slot = Slot::new("1", true, 7, Some(8));
    for (kind, payload_type) in [(Codec::Vp8, 96), (Codec::Vp9, 98), (Codec::Av1, 100)] {
        slot.takes.push(Taken { codec: codec(kind), payload_type, rtx: Some(payload_type + 1) });
    }
    slot.extensions.dependency = Some(DEPENDENCY);
    slot.extensions.orientation = Some(ORIENTATION);
    slot.is_known = true;
    slot.set_source(Some(source));
    (slot, generation)
}

fn packet(generation: u32, kind: Codec, layer: u8, seq: u64, picture: Picture) -> Packet {
    Packet {
        generation,
        layer,
        codec: codec(kind),
        seq,
        timestamp: seq as u32 * 3000,
        marker: true,
        picture,
        orientation: Some(1),
        payload: vec![0x90, 0xe0, 0x81, 0x02, 0x05, 0x20, 0x10].into(),
        ..Packet::blank()
    }
}

fn key() -> Picture {
    Picture { starts_keyframe: true, ..Picture::default() }
}

const STAMPS: Stamps = Stamps { transport_cc: None, abs_send_time: 0, has_mid: false };

/// A packet as it goes out; `None` when it does not.
fn written(slot: &mut Slot, packet: &Packet) -> Option<Vec<u8>> {
    let rewrite = slot.admit(packet)?;
    let mut buffer = Vec::new();
    slot.write(&mut buffer, packet, &rewrite, STAMPS)?;
    Some(buffer)
}

/// The header extensions of a packet by their numbers, and whether they are in the long form.
fn extensions(packet: &[u8]) -> (bool, Vec<(u8, Vec<u8>)>) {
    let is_long = packet[12..14] == [0x10, 0];
    assert!(is_long || packet[12..14] == [0xbe, 0xde]);
    let end = 16 + 4 * usize::from(u16::from_be_bytes([packet[14], packet[15]]));
    let (mut rest, mut found) = (&packet[16..end], Vec::new());
    while let Some((head, more)) = rest.split_first().filter(|(head, _)| **head != 0) {
        let (number, length, more) = match is_long {
            true => (*head, usize::from(more[0]), &more[1..]),
            false => (head >> 4, usize::from(head & 15) + 1, more),
        };
        found.push((number, more[..length].to_vec()));
        rest = &more[length..];
    }
    (is_long, found)
}

#[test]
fn the_dependency_descriptor_goes_along_where_there_is_room_and_its_numbers_go_on() {
    let (mut slot, generation) = slot(2);
    let descriptor = |length: usize, number: u16| -> Option<Arc<[u8]>> {
        let [high, low] = number.to_be_bytes();
        let mut bytes = vec![0xca, high, low];
        bytes.resize(length, 0x77);
        Some(bytes.into())
    };
    let send = |slot: &mut Slot, layer, seq, picture, dependency| {
        let packet = Packet { dependency, ..packet(generation, Codec::Av1, layer, seq, picture) };
        extensions(&written(slot, &packet).unwrap())
    };
    let orientation = (ORIENTATION, vec![1]);

    let (is_long, _) = send(&mut slot, 0, 10, key(), descriptor(40, 500));
    assert!(is_long);
    let second = send(&mut slot, 0, 11, Picture::default(), descriptor(3, 501));
    assert_eq!(second, (false, vec![orientation.clone(), (DEPENDENCY, vec![0xca, 1, 245])]));
    slot.target = 1;
    let (is_long, found) = send(&mut slot, 1, 900, key(), descriptor(40, 65_530));
    assert!(is_long && found[0] == orientation);
    assert_eq!(found[1].1.len(), 40);
    assert_eq!(found[1].1[..4], [0xca, 1, 246, 0x77], "frame 502 of ours");
    let fourth = send(&mut slot, 1, 901, Picture::default(), descriptor(3, 4));
    assert_eq!(fourth, (false, vec![orientation, (DEPENDENCY, vec![0xca, 2, 0])]), "numbers roll over");
    assert_eq!(send(&mut slot, 1, 902, Picture::default(), descriptor(2, 5)).1.len(), 1, "broken");
}

/// A viewer that goes from one of two sizes to the other; a picture each 66.7 ms, of which each size counts its own time.
struct Steps {
    slot: Slot,
    generation: u32,
    began: Instant,
    has_clock: bool,
    /// The times on the viewer's stream.
    sent: Vec<u32>,
}

const TICKS: u32 = 6_000;

impl Steps {
    fn new(has_clock: bool) -> Self {
        let (slot, generation) = slot(2);
        Self { slot, generation, began: Instant::now(), has_clock, sent: Vec::new() }
    }

    fn picture(&self, layer: u8, number: u64, is_key: bool) -> Packet {
        let from = u32::MAX - 12 * TICKS + u32::from(layer) * 500;
        let clock = SenderClock { micros: 1_000_000, rtp: from };
        Packet {
            timestamp: from.wrapping_add(number as u32 * TICKS),
            clock: self.has_clock.then_some(clock),
            arrived: self.began + Duration::from_micros(number * 66_667),
            ..packet(
                self.generation,
                Codec::Vp8,
                layer,
                number,
                if is_key { key() } else { Picture::default() },
            )
        }
    }

    /// Pictures of a size as they come, the first of them a keyframe where that is said.
    fn send(&mut self, layer: u8, numbers: std::ops::RangeInclusive<u64>, begins: bool) {
        self.slot.target = layer;
        for number in numbers.clone() {
            let picture = self.picture(layer, number, begins && number == *numbers.start());
            let written = written(&mut self.slot, &picture).unwrap();
            self.sent.push(u32::from_be_bytes([written[4], written[5], written[6], written[7]]));
        }
    }

    /// These are to be sent at once.
    fn squeeze(&mut self, layer: u8, numbers: std::ops::RangeInclusive<u64>) {
        let mut history = History::default();
        for number in numbers.clone() {
            history.push(&Arc::new(self.picture(layer, number, number == *numbers.start())));
        }
        let mut squeeze = Squeeze::new(&history.recent(self.generation).unwrap(), layer);
        numbers.for_each(|number| squeeze.push(&self.picture(layer, number, false)));
        self.slot.begin_squeezed(squeeze);
    }

    /// What has passed since the first picture, in pictures.
    fn passed(&self) -> Vec<f64> {
        let first = self.sent[0];
        let passed: Vec<_> = self.sent.iter().map(|time| time.wrapping_sub(first)).collect();
        assert!(passed.is_sorted_by(|one, other| one < other), "{passed:?}");
        passed.into_iter().map(|passed| f64::from(passed) / f64::from(TICKS)).collect()
    }
}

#[test]
fn pictures_that_are_sent_at_once_are_followed_by_the_rest_in_its_own_time() {
    for has_clock in [false, true] {
        let mut steps = Steps::new(has_clock);
        steps.send(1, 9..=10, true);
        // The smaller one's keyframe is older than what has been sent of the larger one, and its newest half a second newer.
        steps.squeeze(0, 8..=17);
        steps.send(0, 8..=18, true);

        let passed = steps.passed();
        let (newest, next) = (passed[11], passed[12]);
        assert!((newest - 8.0).abs() < 0.01 && (next - 9.0).abs() < 0.01, "{passed:?}");
        assert!(newest - passed[2] < 0.3, "they are shown in a moment: {passed:?}");
    }
}

#[test]
fn pictures_that_are_sent_at_once_do_not_push_the_rest_ahead() {
    let mut steps = Steps::new(true);
    steps.send(1, 1..=17, true);
    steps.squeeze(0, 8..=17);
    steps.send(0, 8..=18, true);

    let passed = steps.passed();
    assert!((passed.last().unwrap() - 17.0).abs() < 0.01, "{passed:?}");
}

#[test]
fn what_comes_instead_of_the_rest_of_what_was_to_be_sent_at_once_has_its_own_time() {
    for has_clock in [false, true] {
        let mut steps = Steps::new(has_clock);
        steps.send(1, 9..=10, true);
        steps.squeeze(0, 8..=17);
        steps.send(0, 8..=10, true);
        let report = steps.slot.sender_report(steps.began + Duration::from_micros(17 * 66_667));
        steps.send(1, 18..=18, true);

        let passed = steps.passed();
        assert!((passed.last().unwrap() - 9.0).abs() < 0.01, "{passed:?}");
        if has_clock {
            // What is told of the time by then is that of the newest.
            let (told, sent) = (report.unwrap().rtp, steps.sent[4]);
            assert!(told.wrapping_sub(sent) < TICKS, "{told} {sent}");
        }
    }
}

#[test]
fn what_is_to_be_sent_at_once_next_changes_nothing_of_what_is_being_sent_so() {
    let mut steps = Steps::new(true);
    steps.send(1, 1..=2, true);
    steps.squeeze(0, 1..=12);
    steps.send(0, 1..=6, true);
    steps.squeeze(1, 3..=12);
    steps.send(0, 7..=13, false);

    let passed = steps.passed();
    assert!((passed.last().unwrap() - 12.0).abs() < 0.01, "{passed:?}");
}

#[test]
fn what_a_viewer_does_not_take_is_counted_and_what_it_takes_no_more_goes_on_in_something_else() {
    let (mut slot, generation) = slot(1);
    let h264 = packet(generation, Codec::H264, 0, 1, key());
    assert!(written(&mut slot, &h264).is_none() && slot.untaken == 1);

    assert!(written(&mut slot, &packet(generation, Codec::Vp8, 0, 2, key())).is_some());
    slot.set_takes([Taken { codec: codec(Codec::Vp8), payload_type: 101, rtx: None }].into_iter());
    assert!(written(&mut slot, &packet(generation, Codec::Vp8, 0, 3, Picture::default())).is_none());
    let again = written(&mut slot, &packet(generation, Codec::Vp8, 0, 4, key())).unwrap();

    assert_eq!((again[1] & 0x7f, u16::from_be_bytes([again[2], again[3]])), (101, 2));
}

#[test]
fn who_lacks_what_comes_asks_for_nothing_and_goes_on_when_something_else_does() {
    let (mut slot, generation) = slot(1);
    let source = slot.source.clone().unwrap();
    source.agree([Codec::H264, Codec::Vp8].map(codec).into_iter());
    // Nobody knows yet which of them comes.
    assert!(!slot.look_at_codecs() && slot.waits());

    source.note_codec(0, codec(Codec::H264));
    assert!(slot.look_at_codecs() && slot.is_off() && !slot.waits());
    assert!(!slot.look_at_codecs(), "that is told once");
    assert!(written(&mut slot, &packet(generation, Codec::H264, 0, 1, key())).is_none());
    source.note_codec(0, codec(Codec::Vp8));
    assert!(!slot.look_at_codecs() && !slot.is_off() && slot.waits());
    assert!(written(&mut slot, &packet(generation, Codec::Vp8, 0, 2, key())).is_some());

    // A later offer has neither; then the publisher is gone.
    source.agree([codec(Codec::H264)].into_iter());
    assert!(slot.look_at_codecs() && slot.lacks);
    source.unpublish(generation);
    assert!(!slot.look_at_codecs() && !slot.lacks);
}

/// A stream may have other codecs in each of its layers.
#[test]
fn who_takes_the_codec_of_one_layer_lacks_nothing() {
    let (mut slot, _) = slot(2);
    let source = slot.source.clone().unwrap();

    source.note_codec(1, codec(Codec::H264));
    source.note_codec(0, codec(Codec::Vp8));

    assert!(!slot.look_at_codecs() && !slot.lacks);
}

#[test]
fn what_is_left_out_is_found_by_no_number_and_what_is_sent_by_its_own() {
    let (mut slot, generation) = slot(1);
    slot.temporal = 0;
    let share = |temporal| Picture { part: Some(Part { temporal, ..Part::default() }), ..Picture::default() };
    let mut numbers = Vec::new();
    for seq in 100..120_u64 {
        let picture = match seq {
            100 => Picture { starts_keyframe: true, ..share(0) },
            _ => share((seq % 2) as u8),
        };
        let packet = packet(generation, Codec::Vp8, 0, seq, picture);
        let Some(rewrite) = slot.admit(&packet) else { continue };
        assert_eq!(slot.origin(rewrite.seq), Some((generation, 0, seq)));
        assert_eq!(slot.again(&packet, rewrite.seq).map(|again| again.seq), Some(rewrite.seq));
        numbers.push(rewrite.seq);
    }

    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
    assert_eq!(slot.sent(10), Some(10));
    assert_eq!(slot.sent(11), None);
}

#[test]
fn pictures_of_vp8_are_counted_as_they_are_sent_and_those_of_vp9_as_they_came() {
    for (kind, expected) in [(Codec::Vp8, [0x0100, 0x0101, 0x0102]), (Codec::Vp9, [0x0100, 0x0102, 0x0104])] {
        let (mut slot, generation) = slot(1);
        slot.temporal = 0;
        let mut sent = Vec::new();
        for seq in 0..5_u16 {
            let id = crate::payload::PictureId { at: 2, is_long: true, value: 0x0100 + seq };
            let part = Part { temporal: (seq % 2) as u8, ..Part::default() };
            let picture =
                Picture { starts_keyframe: seq == 0, id: Some(id), part: Some(part), ..Picture::default() };
            let mut fresh = packet(generation, kind, 0, 100 + u64::from(seq), picture);
            let mut payload = fresh.payload.to_vec();
            payload[2..4].copy_from_slice(&(id.value | 0x8000).to_be_bytes());
            fresh.payload = payload.into();
            if let Some(bytes) = written(&mut slot, &fresh) {
                let at = bytes.len() - fresh.payload.len() + 2;
                sent.push(u16::from_be_bytes([bytes[at], bytes[at + 1]]) & 0x7fff);
            }
        }
        assert_eq!(sent, expected, "{kind:?}");
    }
}

#[test]
fn a_number_that_was_kept_for_what_is_left_out_goes_out_with_padding() {
    let (mut slot, generation) = slot(1);
    slot.temporal = 0;
    let share = |seq: u64, temporal| {
        let part = Some(Part { temporal, ..Part::default() });
        let picture = Picture { starts_keyframe: seq == 100, part, ..Picture::default() };
        Packet { timestamp: 3000 * (seq / 3) as u32, ..packet(generation, Codec::Vp8, 0, seq, picture) }
    };
    for (seq, temporal) in [(100, 0), (101, 0), (103, 1)] {
        let _ = written(&mut slot, &share(seq, temporal));
    }

    let late = written(&mut slot, &share(102, 1)).unwrap();

    assert_eq!(late[0] & PADDED, PADDED);
    assert_eq!((late[1] & 0x80, &late[2..4], late.last()), (0, &[0, 3][..], Some(&1)));
    assert_eq!(extensions(&late).1, [], "nothing is said of it");
    let next = written(&mut slot, &share(105, 0)).unwrap();
    assert_eq!(&next[2..4], [0, 5], "one number was kept for 104");
}

/// A viewer's slot with a microphone of that publication.
fn sound() -> (Slot, u32) {
    let sources = Sources::default();
    let source = sources.get(&SourceKey { room: RoomKey(1), user: "ann".into(), kind: StreamKind::Audio });
    let generation = sources.publish(&source, 0, 1, 0);
    let mut slot = Slot::new("0", false, 1, None);
    slot.takes.push(Taken { codec: codec(Codec::Opus), payload_type: 111, rtx: None });
    slot.set_source(Some(source));
    (slot, generation)
}

#[test]
fn sound_that_was_left_out_does_not_come_late_either() {
    let (mut slot, generation) = sound();
    let number = |slot: &mut Slot, seq| {
        slot.admit(&packet(generation, Codec::Opus, 0, seq, key())).map(|rewrite| rewrite.seq)
    };

    assert_eq!(number(&mut slot, 96), Some(1));
    slot.set_quiet(true);
    assert!((98..103).all(|seq| number(&mut slot, seq).is_none()));
    slot.set_quiet(false);
    assert_eq!(number(&mut slot, 97), None, "it belongs to what was left out");
    assert_eq!((number(&mut slot, 103), number(&mut slot, 104)), (Some(2), Some(3)), "no number is missing");
}

#[test]
fn nothing_begins_to_be_left_out_with_what_comes_late() {
    let (mut slot, generation) = slot(1);
    let share = |temporal| Picture { part: Some(Part { temporal, ..Part::default() }), ..Picture::default() };
    let number = |slot: &mut Slot, seq, picture| {
        slot.admit(&packet(generation, Codec::Vp8, 0, seq, picture)).map(|rewrite| rewrite.seq)
    };
    let base = Picture { starts_keyframe: true, ..share(0) };
    assert_eq!(number(&mut slot, 1, base), Some(1));
    for seq in (2..50).chain(56..62) {
        assert_eq!(number(&mut slot, seq, share(u8::from(seq % 2 == 1))), Some(seq));
    }

    slot.temporal = 0;

    // Of what was missing, a picture of either share; then the stream goes on without a gap.
    assert_eq!(number(&mut slot, 50, share(0)), Some(50));
    assert_eq!(number(&mut slot, 55, share(1)), Some(55));
    assert_eq!(number(&mut slot, 62, share(0)), Some(62));
    assert_eq!(number(&mut slot, 63, share(1)), None);
    assert_eq!(number(&mut slot, 64, share(0)), Some(63));
    assert_eq!(slot.origin(58).map(|(_, _, seq)| seq), Some(58));
}

#[test]
fn a_packet_that_comes_late_is_no_other_picture() {
    let (mut slot, generation) = slot(1);
    for (seq, timestamp) in [(1, 3000), (3, 3000), (4, 6000), (2, 3000), (5, 6000)] {
        let picture = if seq == 1 { key() } else { Picture::default() };
        let packet = Packet { timestamp, ..packet(generation, Codec::Vp8, 0, seq, picture) };
        assert!(written(&mut slot, &packet).is_some());
    }

    let amount = slot.take_amount();
    assert_eq!((amount.bytes, amount.pictures), (5 * (7 + AROUND as u64), 2));
    assert_eq!(slot.take_amount().pictures, 0);
}
