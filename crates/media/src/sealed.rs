//! What is encrypted from end to end (`docs/protocol.md`) is forwarded like anything else: by what stays clear, whatever the
//! sealed bytes are.

use std::sync::Arc;

use str0m::format::Codec;

use crate::payload::{self, CodecKey, Picture};
use crate::simulator::codec;
use crate::slot::{Slot, Stamps, Taken};
use crate::source::{Packet, RoomKey, Source, SourceKey, Sources, StreamKind};

#[test]
fn keyframes_are_found_whatever_is_sealed_behind_what_stays_clear() {
    for (codec, clear, is_start) in [
        // The frame tag with an impossible size, and in keyframes the start code and the size of the picture.
        (
            Codec::Vp8,
            &[0x90, 0xe0, 0x81, 0x02, 0x05, 0x20, 0xf0, 0xff, 0xff, 0x9d, 1, 0x2a, 0x80, 2, 0x68, 1][..],
            true,
        ),
        (Codec::Vp8, &[0x90, 0xe0, 0x81, 0x02, 0x05, 0x20, 0xf1, 0xff, 0xff], false),
        (Codec::Vp8, &[0x80, 0xe0, 0x81, 0x02, 0x05, 0x20], false),
        // Everything of the payload is sealed: the descriptor says it.
        (Codec::Vp9, &[0x8c, 0x81, 0x02, 0, 0], true),
        (Codec::Vp9, &[0xcc, 0x81, 0x02, 0, 0], false),
        (Codec::Vp9, &[0x84, 0x81, 0x02], false),
        // Parameter sets; then a slice in fragments, of which the first has its header.
        (Codec::H264, &[0x78, 0, 4, 0x67, 0x42, 0, 0x1f, 0, 4, 0x68, 0xce, 0x3c, 0x80], true),
        (Codec::H264, &[0x7c, 0x85, 0x88, 0x84, 0, 0x33, 0xff], true),
        (Codec::H264, &[0x7c, 0x05], false),
        (Codec::H264, &[0x7c, 0x45], false),
        (Codec::H264, &[0x5c, 0x81, 0x9a, 0x21, 0x6c, 0x45, 0xff], false),
        (Codec::H264, &[0x41, 0x9a, 0x21, 0x6c, 0x45, 0xff], false),
        // One OBU; its first packet in a keyframe, in another picture, and the ones after it.
        (Codec::Av1, &[0x58, 0x08], true),
        (Codec::Av1, &[0x18, 0x08], true),
        (Codec::Av1, &[0x50, 0x30], false),
        (Codec::Av1, &[0xd0], false),
        (Codec::Av1, &[0x90], false),
    ] {
        for sealed in 0..=u8::MAX {
            let payload = [clear, &[sealed; 40]].concat();
            let picture = payload::read(codec, &payload);

            assert_eq!(picture.starts_keyframe, is_start, "{codec:?} {clear:x?} {sealed:x}");
            assert_eq!((picture.id, picture.tl0), {
                let plain = payload::read(codec, &[clear, &[0; 40]].concat());
                (plain.id, plain.tl0)
            });
        }
    }
}

const OPUS: u8 = 111;
const RED: u8 = 63;

fn taken(codec: CodecKey, payload_type: u8) -> Taken {
    Taken { codec, payload_type, rtx: None }
}

fn sound(source: &Source, codec: CodecKey, seq: u64, payload: &[u8]) -> Packet {
    Packet {
        source: source.id,
        generation: source.generation(),
        codec,
        seq,
        timestamp: 960 * seq as u32,
        picture: Picture { starts_keyframe: true, ..Picture::default() },
        payload: payload.into(),
        ..Packet::blank()
    }
}

/// The payload type and payload that a viewer with these codecs gets of a doubled sound.
fn forwarded(is_encrypted: bool, is_plain: bool, takes: &[Taken]) -> Option<(u8, Vec<u8>)> {
    // One redundant block of 2 bytes, then the primary.
    const DOUBLED: &[u8] = &[0x80 | OPUS, 0x0f, 0x00, 0x02, OPUS, 1, 2, 3, 4, 5];
    let sources = Sources::default();
    let source = sources.get(&SourceKey { room: RoomKey(1), user: "ann".into(), kind: StreamKind::Audio });
    sources.publish(&source, 0, 0, 0);
    source.set_encrypted(is_encrypted);
    let mut slot = Slot::new("0", false, 1, None);
    slot.takes.extend(takes.iter().copied());
    slot.set_source(Some(Arc::clone(&source)));
    slot.is_plain = is_plain;
    let packet = sound(&source, codec(Codec::Opus, true), 1, DOUBLED);
    let rewrite = slot.admit(&packet)?;
    let (mut buffer, stamps) = (Vec::new(), Stamps { transport_cc: None, abs_send_time: 0, has_mid: false });
    let (header, _) = slot.write(&mut buffer, &packet, &rewrite, stamps)?;
    Some((buffer[1] & 0x7f, buffer[header..].to_vec()))
}

#[test]
fn the_second_copy_of_a_sound_is_never_taken_off_what_is_sealed() {
    let (plain, doubled) = (taken(codec(Codec::Opus, false), OPUS), taken(codec(Codec::Opus, true), RED));
    let whole = Some((RED, vec![0x80 | OPUS, 0x0f, 0x00, 0x02, OPUS, 1, 2, 3, 4, 5]));

    // As it is in the clear: taken off for who has no RED, or no room.
    assert_eq!(forwarded(false, false, &[plain]), Some((OPUS, vec![3, 4, 5])));
    assert_eq!(forwarded(false, true, &[plain, doubled]), Some((OPUS, vec![3, 4, 5])));
    assert_eq!(forwarded(false, false, &[plain, doubled]), whole);
    // Sealed: as it is, or not at all.
    assert_eq!(forwarded(true, true, &[plain, doubled]), whole);
    assert_eq!(forwarded(true, false, &[plain]), None);
}
