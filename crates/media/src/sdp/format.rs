//! Formats of an m-line: which are taken, and what is answered of each.

use std::collections::BTreeMap;

use str0m::format::Codec;

use super::text::line;
use crate::payload::CodecKey;
use crate::shield::Redundancy;

/// What of an m-line may be sent under a payload type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Format {
    /// The payload type.
    pub(crate) number: u8,
    pub(crate) codec: CodecKey,
    /// As it was offered: encoding name, clock rate and channels.
    map: String,
    /// Its parameters as they were offered, each as `name=value`.
    params: Vec<String>,
    /// What may be asked for, in RTCP.
    feedback: Vec<String>,
    /// Retransmissions of it (RFC 4588).
    pub(crate) rtx: Option<u8>,
}

/// Which side of a stream we are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Takes,
    Sends,
}

/// What is understood, of all that RTCP can ask for.
const VIDEO_FEEDBACK: [&str; 5] = ["goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"];
const AUDIO_FEEDBACK: [&str; 2] = ["transport-cc", "nack"];

/// What is said of payload types in an m-line's attributes.
pub(super) struct Said<'a> {
    /// In the order of the m-line.
    numbers: Vec<u8>,
    maps: BTreeMap<u8, &'a str>,
    params: BTreeMap<u8, Vec<&'a str>>,
    /// What retransmits which.
    repairs: BTreeMap<u8, u8>,
    /// `None` is for all of them.
    feedback: &'a [(Option<u8>, &'a str)],
}

impl<'a> Said<'a> {
    pub(super) fn new(
        numbers: Vec<u8>,
        maps: &[(u8, &'a str)],
        params: &[(u8, &'a str)],
        feedback: &'a [(Option<u8>, &'a str)],
    ) -> Self {
        let mut split: BTreeMap<u8, Vec<&str>> = BTreeMap::new();
        for (number, params) in params {
            let params = params.split(';').map(str::trim).filter(|param| !param.is_empty());
            split.entry(*number).or_default().extend(params);
        }
        let mut known = BTreeMap::new();
        for (number, map) in maps {
            known.entry(*number).or_insert(*map);
        }
        let mut said = Self { numbers, maps: known, params: split, repairs: BTreeMap::new(), feedback };
        let repairs = said.numbers.iter().filter_map(|number| Some((said.repaired_by(*number)?, *number)));
        let repairs: Vec<(u8, u8)> = repairs.collect();
        for (repaired, by) in repairs {
            said.repairs.entry(repaired).or_insert(by);
        }
        said
    }

    fn map(&self, number: u8) -> Option<&'a str> {
        self.maps.get(&number).copied()
    }

    fn params(&self, number: u8) -> Vec<String> {
        self.params.get(&number).into_iter().flatten().map(|param| (*param).to_owned()).collect()
    }

    /// What is retransmitted under a payload type (RFC 4588 8.1).
    fn repaired_by(&self, number: u8) -> Option<u8> {
        let is_rtx = self.map(number).is_some_and(|map| map.eq_ignore_ascii_case("rtx/90000"));
        let apt = || value(&self.params(number), "apt").and_then(|apt| apt.parse().ok());
        if is_rtx { apt() } else { None }
    }

    /// How redundancy of pictures is taken, where it is: by both payload types (RFC 5109 14.1, RFC 2198 4).
    pub(super) fn redundancy(&self) -> Option<Redundancy> {
        let find = |name: &str| {
            let is_it = |number: &&u8| self.map(**number).is_some_and(|map| map.eq_ignore_ascii_case(name));
            self.numbers.iter().find(is_it).copied()
        };
        Some(Redundancy { red: find("red/90000")?, fec: find("ulpfec/90000")? })
    }

    /// The formats that are taken, in the order of the offer.
    pub(super) fn taken(&self, is_video: bool) -> Vec<Format> {
        let mut formats: Vec<Format> = Vec::new();
        for number in &self.numbers {
            if formats.iter().any(|format| format.number == *number) {
                continue;
            }
            let Some(map) = self.map(*number) else { continue };
            let params = self.params(*number);
            let codec = match is_video {
                true => video(map, &params),
                false => self.sound(map, &params),
            };
            let Some(codec) = codec else { continue };
            let known: &[&str] = if is_video { &VIDEO_FEEDBACK } else { &AUDIO_FEEDBACK };
            let asked = |wanted: &&&str| {
                let is_it = |(of, feedback): &(Option<u8>, &str)| {
                    of.is_none_or(|of| of == *number) && feedback == *wanted
                };
                self.feedback.iter().any(is_it)
            };
            let feedback = known.iter().filter(asked).map(|feedback| (*feedback).to_owned()).collect();
            let rtx = self.repairs.get(number).copied().filter(|_| is_video);
            formats.push(Format { number: *number, codec, map: map.to_owned(), params, feedback, rtx });
        }
        // Sound is wanted twice where that is offered, which browsers do when RED comes before what it wraps.
        formats.sort_by_key(|format| !format.codec.red);
        formats
    }

    /// Opus, or Opus in RED (RFC 2198). One that wraps another codec is none that is taken.
    fn sound(&self, map: &str, params: &[String]) -> Option<CodecKey> {
        if map.eq_ignore_ascii_case("opus/48000/2") {
            return Some(CodecKey::of(Codec::Opus, 0, false));
        }
        if !["red/48000/2", "red/48000"].iter().any(|red| map.eq_ignore_ascii_case(red)) {
            return None;
        }
        let wrapped = params.first()?.split('/').next()?.parse().ok()?;
        let is_listed = self.numbers.contains(&wrapped);
        let is_opus = self.map(wrapped).is_some_and(|map| map.eq_ignore_ascii_case("opus/48000/2"));
        (is_listed && is_opus).then(|| CodecKey::of(Codec::Opus, 0, true))
    }
}

/// The value of a parameter, whose name has no case (RFC 8866 6.15).
fn value<'a>(params: &'a [String], name: &str) -> Option<&'a str> {
    let pairs = params.iter().filter_map(|param| param.split_once('='));
    pairs
        .map(|(key, value)| (key.trim(), value.trim()))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// A codec of video, with what must be alike for its payloads to be passed on.
fn video(map: &str, params: &[String]) -> Option<CodecKey> {
    let (name, clock) = map.split_once('/')?;
    if clock != "90000" {
        return None;
    }
    let number = |name: &str| value(params, name).map_or(Some(0), |value| value.parse::<u32>().ok());
    match name.to_ascii_uppercase().as_str() {
        "VP8" => Some(CodecKey::of(Codec::Vp8, 0, false)),
        "VP9" => Some(CodecKey::of(Codec::Vp9, number("profile-id")?, false)),
        "AV1" => Some(CodecKey::of(Codec::Av1, number("profile")?, false)),
        "H264" => {
            // Without it: Baseline (RFC 6184 8.1). Levels may differ, profiles may not.
            let level = value(params, "profile-level-id").unwrap_or("42000a");
            let profile = u32::from_str_radix(level, 16).ok().filter(|_| level.len() == 6)? >> 16;
            // Mode 2 puts units out of order: what begins a picture cannot be told (RFC 6184 5.5).
            let mode = number("packetization-mode").filter(|mode| *mode < 2)?;
            Some(CodecKey::of(Codec::H264, profile << 8 | mode, false))
        }
        "H265" => {
            // Several streams of one, or units out of their order, are more than is looked through (RFC 7798 7.1).
            let is_one = value(params, "tx-mode").is_none_or(|mode| mode.eq_ignore_ascii_case("SRST"));
            let is_in_order = number("sprop-max-don-diff") == Some(0);
            let profile = value(params, "profile-id").map_or(Some(1), |id| id.parse::<u32>().ok());
            let (profile, space) = profile.zip(number("profile-space")).filter(|_| is_one && is_in_order)?;
            (profile < 32 && space < 4).then(|| CodecKey::of(Codec::H265, space << 8 | profile, false))
        }
        _ => None,
    }
}

impl Format {
    /// One kind of feedback is not wanted.
    pub(crate) fn ask_no(&mut self, feedback: &str) {
        self.feedback.retain(|asked| asked != feedback);
    }

    /// Whether its receiver may ask for something, in RTCP.
    pub(crate) fn asks(&self, feedback: &str) -> bool {
        self.feedback.iter().any(|one| one == feedback)
    }

    /// Whether the offerer sends, or wants to be sent, two channels (RFC 7587 7).
    fn is_stereo(&self) -> bool {
        ["stereo", "sprop-stereo"].iter().any(|name| value(&self.params, name) == Some("1"))
    }

    /// The parameters of our answer: of a video's those that name the very format, which must be alike (RFC 6184 8.2.2).
    fn answered(&self, side: Side) -> String {
        let kept: &[&str] = match self.codec.codec {
            _ if self.codec.red => return self.params.join(";"),
            Codec::Opus => {
                // What a decoder can make up a lost packet from is wanted (RFC 7587 6.1).
                let mut params = String::from("minptime=10;useinbandfec=1");
                if self.is_stereo() {
                    params.push_str(";stereo=1");
                    if side == Side::Sends {
                        params.push_str(";sprop-stereo=1");
                    }
                }
                if value(&self.params, "usedtx") == Some("1") {
                    params.push_str(";usedtx=1");
                }
                return params;
            }
            Codec::H264 => &["level-asymmetry-allowed", "packetization-mode", "profile-level-id"],
            // As offered, but for what a sender says of its own stream (RFC 7798 7.2.2).
            Codec::H265 => &[
                "profile-space",
                "profile-id",
                "tier-flag",
                "level-id",
                "interop-constraints",
                "profile-compatibility-indicator",
                "tx-mode",
            ],
            Codec::Vp9 => &["profile-id"],
            Codec::Av1 => &["level-idx", "profile", "tier"],
            _ => &[],
        };
        let is_kept = |param: &&String| {
            let name = param.split('=').next().unwrap_or_default().trim();
            kept.iter().any(|kept| kept.eq_ignore_ascii_case(name))
        };
        let kept: Vec<&str> = self.params.iter().filter(is_kept).map(String::as_str).collect();
        kept.join(";")
    }

    /// Its payload types in an m-line.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u8> {
        [Some(self.number), self.rtx].into_iter().flatten()
    }

    /// Appends its attributes to an answer.
    pub(super) fn write(&self, side: Side, out: &mut String) {
        let number = self.number;
        line(out, format_args!("a=rtpmap:{number} {}", self.map));
        for feedback in &self.feedback {
            line(out, format_args!("a=rtcp-fb:{number} {feedback}"));
        }
        let params = self.answered(side);
        if !params.is_empty() {
            line(out, format_args!("a=fmtp:{number} {params}"));
        }
        if let Some(rtx) = self.rtx {
            line(out, format_args!("a=rtpmap:{rtx} rtx/90000"));
            line(out, format_args!("a=fmtp:{rtx} apt={number}"));
        }
    }
}

/// Appends the attributes of redundancy to an answer.
pub(super) fn write_redundancy(redundancy: Redundancy, out: &mut String) {
    line(out, format_args!("a=rtpmap:{} red/90000", redundancy.red));
    line(out, format_args!("a=rtpmap:{} ulpfec/90000", redundancy.fec));
}
