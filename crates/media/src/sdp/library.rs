//! What the WebRTC library is told instead of an offer. Its m-lines are always the same: one for sound and one for pictures, into which
//! all streams go (`mapping.rs` knows which is whose), and two that only bring payload types.
//!
//! The library knows a payload type by the codec it was configured with. Here each gets a number, whatever its codec is, and is told of
//! as "profile so-and-so of VP9", or "Opus with so many channels": what the library has to know of it is its clock, and what repairs it.

use std::collections::{BTreeMap, BTreeSet};

use str0m::format::{Codec, CodecConfig, CodecSpec, FormatParams, PayloadParams};
use str0m::media::Frequency;

use super::extension::Extension;
use super::offer::{Media, Offer};
use super::text::line;
use crate::payload::CodecKey;

/// The most payload types of a connection: of sound, and of pictures with those that repair them.
const SOUNDS: u8 = 8;
const PICTURES: u8 = 24;

/// What all formats of a connection that is made may become. Their payload types stand in until the offers' own take their places.
pub(crate) fn codecs() -> CodecConfig {
    // None of those that offers have, as long as there are others: those that RTCP has taken (RFC 5761 4), and static ones.
    let mut free = (0..35_u8).chain(72..77).chain(35..64);
    let mut params = Vec::new();
    let mut add = |spec: CodecSpec, is_repaired: bool| {
        let Some(number) = free.next() else { return };
        let rtx = if is_repaired { free.next() } else { None };
        let mut one = PayloadParams::new(number.into(), rtx.map(Into::into), spec);
        one.set_fb_nack(true);
        params.push(one);
    };
    let format = FormatParams::default();
    for number in 1..=SOUNDS {
        let clock_rate = Frequency::FORTY_EIGHT_KHZ;
        add(CodecSpec { codec: Codec::Opus, clock_rate, channels: Some(number), format }, false);
    }
    for number in 1..=PICTURES {
        let format = FormatParams { profile_id: Some(number.into()), ..format };
        let clock_rate = Frequency::NINETY_KHZ;
        add(CodecSpec { codec: Codec::Vp9, clock_rate, channels: None, format }, true);
    }
    CodecConfig::new_from_payload_params(params)
}

/// A payload type that the library knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    codec: CodecKey,
    rtx: Option<u8>,
}

/// What the library has been told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Library {
    known: BTreeMap<u8, Known>,
    /// Also those of retransmissions.
    taken: BTreeSet<u8>,
    counts: [u8; 2],
    extensions: BTreeMap<u8, Extension>,
    has_data: bool,
    /// The names of the two lines that bring payload types; new ones replace them (RFC 8829 5.2.2).
    bringers: [u32; 2],
    bringing: [String; 2],
    version: u64,
}

impl Library {
    /// The offer that the library gets for `offer`; formats and extensions for which it has no room are taken out of that.
    pub(crate) fn offer(&mut self, offer: &mut Offer) -> String {
        let mut fresh: [String; 2] = Default::default();
        let mut fresh_numbers: [Vec<u8>; 2] = Default::default();
        let mut has_fresh_extensions = false;
        for line in &mut offer.lines {
            let is_video = line.media == Media::Video;
            let kind = usize::from(is_video);
            line.extensions.retain(|agreed| match self.extensions.get(&agreed.id) {
                Some(known) => *known == agreed.extension,
                // The library keeps the first number of each.
                None if self.extensions.values().any(|known| *known == agreed.extension) => false,
                None => {
                    self.extensions.insert(agreed.id, agreed.extension);
                    has_fresh_extensions = true;
                    true
                }
            });
            let (Some(fresh), Some(numbers)) = (fresh.get_mut(kind), fresh_numbers.get_mut(kind)) else {
                continue;
            };
            line.formats.retain_mut(|format| {
                if let Some(known) = self.known.get(&format.number) {
                    if format.rtx != known.rtx {
                        format.rtx = None;
                    }
                    // What a payload type means stays what it is (RFC 3264 8.3.2), and is the same in all m-lines (RFC 9143 7.1).
                    return known.codec == format.codec;
                }
                let most = if is_video { PICTURES } else { SOUNDS };
                let Some(count) = self.counts.get_mut(kind).filter(|count| **count < most) else {
                    return false;
                };
                if self.taken.contains(&format.number) {
                    return false;
                }
                format.rtx = format.rtx.filter(|rtx| *rtx != format.number && !self.taken.contains(rtx));
                *count += 1;
                self.taken.extend([Some(format.number), format.rtx].into_iter().flatten());
                self.known.insert(format.number, Known { codec: format.codec, rtx: format.rtx });
                numbers.extend([Some(format.number), format.rtx].into_iter().flatten());
                bring(fresh, format.number, format.rtx, is_video, *count);
                true
            });
        }
        self.has_data |= offer.lines.iter().any(|line| line.media == Media::Data && !line.is_refused);
        let extensions = self
            .extensions
            .iter()
            .map(|(id, known)| format!("a=extmap:{id} {}\r\n", known.uri()))
            .collect::<String>();
        for (kind, ((text, numbers), bringing)) in
            fresh.into_iter().zip(fresh_numbers).zip(&mut self.bringing).enumerate()
        {
            let is_renewed = bringing.is_empty() || !numbers.is_empty() || has_fresh_extensions;
            if !is_renewed {
                continue;
            }
            let Some(count) = self.bringers.get_mut(kind) else { continue };
            *count += 1;
            let (medium, initial) = if kind == 1 { ("video", 'p') } else { ("audio", 's') };
            let numbers: Vec<String> = numbers.iter().map(u8::to_string).collect();
            let listed = if numbers.is_empty() { "0".to_owned() } else { numbers.join(" ") };
            *bringing = format!(
                "m={medium} 0 UDP/TLS/RTP/SAVPF {listed}\r\na=mid:{initial}{count}\r\na=recvonly\r\n{extensions}{text}"
            );
        }
        self.write(offer)
    }

    fn write(&mut self, offer: &Offer) -> String {
        self.version += 1;
        let transport = &offer.transport;
        let mut out = String::with_capacity(2048);
        line(&mut out, format_args!("v=0"));
        line(&mut out, format_args!("o=- 1 {} IN IP4 0.0.0.0", self.version));
        line(&mut out, format_args!("s=-"));
        line(&mut out, format_args!("t=0 0"));
        line(
            &mut out,
            format_args!("a=group:BUNDLE {SOUND} {PICTURE}{}", if self.has_data { " data" } else { "" }),
        );
        line(&mut out, format_args!("a=ice-ufrag:{}", transport.ufrag));
        line(&mut out, format_args!("a=ice-pwd:{}", transport.password));
        // Whose certificate it is gets seen to elsewhere (`shard.rs`): this one stands for any.
        line(&mut out, format_args!("a=fingerprint:sha-256 {}", ["00"; 32].join(":")));
        line(&mut out, format_args!("a=setup:{}", if transport.is_passive { "passive" } else { "actpass" }));
        out.push_str(self.bringing.first().map_or("", String::as_str));
        out.push_str(self.bringing.get(1).map_or("", String::as_str));
        line(
            &mut out,
            format_args!("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{SOUND}\r\na=sendonly\r\na=rtcp-mux"),
        );
        line(
            &mut out,
            format_args!(
                "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:{PICTURE}\r\na=sendonly\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000"
            ),
        );
        if self.has_data {
            line(
                &mut out,
                format_args!(
                    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:data\r\na=sctp-port:5000"
                ),
            );
        }
        out
    }
}

/// The library's m-lines.
pub(crate) const SOUND: &str = "sound";
pub(crate) const PICTURE: &str = "picture";

/// What brings a payload type to the library, as the `count`th of its kind.
fn bring(out: &mut String, number: u8, rtx: Option<u8>, is_video: bool, count: u8) {
    line(out, format_args!("a=rtcp-fb:{number} transport-cc\r\na=rtcp-fb:{number} nack"));
    match is_video {
        false => line(out, format_args!("a=rtpmap:{number} opus/48000/{count}")),
        true => {
            line(out, format_args!("a=rtcp-fb:{number} nack pli"));
            line(out, format_args!("a=rtpmap:{number} VP9/90000\r\na=fmtp:{number} profile-id={count}"));
        }
    }
    if let Some(rtx) = rtx {
        line(out, format_args!("a=rtpmap:{rtx} rtx/90000\r\na=fmtp:{rtx} apt={number}"));
    }
}
