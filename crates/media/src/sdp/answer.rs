//! Writes an answer, held against its offer: as many m-lines in the same order, each with the medium, protocol and MID it was offered
//! with (RFC 3264 6, RFC 9143 7.3), formats only of the offer's and in its order, and a direction that fits.

use super::format::{Side, write_redundancy};
use super::offer::{Line, Media, Offer};
use super::text::line;

/// What becomes of an m-line.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Refused,
    /// Nothing flows on it, but something may later.
    Idle,
    Takes,
    Sends(Sending),
    Data,
}

/// A stream of ours.
#[derive(Debug, Clone)]
pub(crate) struct Sending {
    /// What is played together has the same (RFC 8830).
    pub(crate) stream: String,
    pub(crate) track: String,
    pub(crate) cname: String,
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: Option<u32>,
}

/// How we are connected with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ours {
    /// Names the session, and counts its answers (RFC 3264 8).
    pub(crate) session: u64,
    pub(crate) version: u64,
    /// ICE's name and password, the fingerprint and who begins, as lines.
    pub(crate) transport: Vec<String>,
    pub(crate) candidates: Vec<String>,
}

impl Ours {
    /// Takes what the library says of its own of how it is connected with.
    pub(crate) fn note(&mut self, answer: &str) {
        let of = |prefixes: &[&str]| -> Vec<String> {
            let mut lines: Vec<String> = Vec::new();
            for line in answer.lines().filter(|line| prefixes.iter().any(|prefix| line.starts_with(prefix))) {
                if !lines.iter().any(|known| known == line) {
                    lines.push(line.to_owned());
                }
            }
            lines
        };
        self.transport = of(&["a=ice-ufrag:", "a=ice-pwd:", "a=ice-options:", "a=fingerprint:", "a=setup:"]);
        self.candidates = of(&["a=candidate:"]);
        self.version += 1;
    }
}

impl Offer {
    /// The answer, with what becomes of each m-line.
    pub(crate) fn answer(&self, ours: &Ours, parts: &[Part]) -> String {
        let mut out = String::with_capacity(4096);
        line(&mut out, format_args!("v=0"));
        line(&mut out, format_args!("o=- {} {} IN IP4 0.0.0.0", ours.session, ours.version));
        line(&mut out, format_args!("s=-"));
        line(&mut out, format_args!("t=0 0"));
        let is_taken = |at: &usize| parts.get(*at).is_some_and(|part| !matches!(part, Part::Refused));
        let members: Vec<usize> = self.bundle.iter().copied().filter(is_taken).collect();
        if self.is_bundled {
            let mids = members.iter().filter_map(|at| self.lines.get(*at)?.mid.as_deref());
            line(&mut out, format_args!("a=group:BUNDLE {}", mids.collect::<Vec<_>>().join(" ")));
        }
        if self.allows_mixed {
            line(&mut out, format_args!("a=extmap-allow-mixed"));
        }
        line(&mut out, format_args!("a=msid-semantic: WMS"));
        line(&mut out, format_args!("a=ice-lite"));
        for ((media, part), at) in self.lines.iter().zip(parts).zip(0..) {
            match part {
                Part::Refused => media.refuse(&mut out),
                _ => {
                    let candidates =
                        if members.first() == Some(&at) { ours.candidates.as_slice() } else { &[] };
                    media.accept(part, ours, candidates, self.allows_mixed, &mut out);
                }
            }
        }
        out
    }
}

impl Line {
    /// What it is for, as it was offered.
    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    fn refuse(&self, out: &mut String) {
        // At least one format has to stand there; it means nothing (RFC 3264 6).
        let targets = if self.targets.is_empty() { "0".to_owned() } else { self.targets.join(" ") };
        line(out, format_args!("m={} 0 {} {targets}", self.kind, self.proto));
        line(out, format_args!("c=IN IP4 0.0.0.0"));
        if let Some(mid) = &self.mid {
            line(out, format_args!("a=mid:{mid}"));
        }
        line(out, format_args!("a=inactive"));
    }

    fn accept(&self, part: &Part, ours: &Ours, candidates: &[String], is_mixed: bool, out: &mut String) {
        let side = if matches!(part, Part::Sends(_)) { Side::Sends } else { Side::Takes };
        // Whoever publishes would spend its uplink on it.
        let redundancy = self.redundancy.filter(|_| side == Side::Sends);
        let targets: Vec<String> = match self.media {
            Media::Data => self.targets.clone(),
            _ => {
                let mut of_redundancy = redundancy.map(|redundancy| [redundancy.red, redundancy.fec]);
                let place =
                    |number: &u8| self.targets.iter().position(|target| *target == number.to_string());
                of_redundancy.iter_mut().for_each(|numbers| numbers.sort_by_key(place));
                let numbers = self.formats.iter().flat_map(|format| format.numbers());
                numbers.chain(of_redundancy.into_iter().flatten()).map(|number| number.to_string()).collect()
            }
        };
        line(out, format_args!("m={} 9 {} {}", self.kind, self.proto, targets.join(" ")));
        line(out, format_args!("c=IN IP4 0.0.0.0"));
        for text in ours.transport.iter().chain(candidates) {
            line(out, format_args!("{text}"));
        }
        if !candidates.is_empty() {
            line(out, format_args!("a=end-of-candidates"));
        }
        if let Some(mid) = &self.mid {
            line(out, format_args!("a=mid:{mid}"));
        }
        if self.media == Media::Data {
            return self.accept_data(out);
        }
        if self.allows_mixed && !is_mixed {
            line(out, format_args!("a=extmap-allow-mixed"));
        }
        for agreed in &self.extensions {
            agreed.write(out);
        }
        let direction = match part {
            Part::Takes => "recvonly",
            Part::Sends(_) => "sendonly",
            _ => "inactive",
        };
        line(out, format_args!("a={direction}"));
        line(out, format_args!("a=rtcp-mux"));
        for format in &self.formats {
            format.write(side, out);
        }
        if let Some(redundancy) = redundancy {
            write_redundancy(redundancy, out);
        }
        if side == Side::Sends && self.tells_by_stream {
            // It is for all formats (RFC 8888 6).
            line(out, format_args!("a=rtcp-fb:* ack ccfb"));
        }
        match part {
            Part::Sends(sending) => sending.write(out),
            // Also where nothing flows for now: a browser's sender loses those that an answer does not have, for ever.
            _ if !self.layers.is_empty() => self.accept_layers(out),
            _ => {}
        }
    }

    /// All of them are taken (RFC 8853 5.3.2).
    fn accept_layers(&self, out: &mut String) {
        let rids: Vec<&str> = self.layers.iter().map(|layer| layer.rid.as_str()).collect();
        for rid in &rids {
            line(out, format_args!("a=rid:{rid} recv"));
        }
        match self.is_draft {
            true => line(out, format_args!("a=simulcast: recv rid={}", rids.join(";"))),
            false => line(out, format_args!("a=simulcast:recv {}", rids.join(";"))),
        }
    }

    /// In the words of RFC 8841, or of the drafts before it.
    fn accept_data(&self, out: &mut String) {
        const MOST_BYTES: u32 = 65_536;
        match self.targets.first().filter(|port| port.parse::<u16>().is_ok()) {
            Some(port) => line(out, format_args!("a=sctpmap:{port} webrtc-datachannel {MOST_BYTES}")),
            None => {
                line(out, format_args!("a=sctp-port:5000"));
                line(out, format_args!("a=max-message-size:{MOST_BYTES}"));
            }
        }
    }
}

impl Sending {
    fn write(&self, out: &mut String) {
        let Self { stream, track, cname, ssrc, rtx_ssrc } = self;
        line(out, format_args!("a=msid:{stream} {track}"));
        if let Some(rtx) = rtx_ssrc {
            line(out, format_args!("a=ssrc-group:FID {ssrc} {rtx}"));
        }
        for ssrc in [Some(*ssrc), *rtx_ssrc].into_iter().flatten() {
            line(out, format_args!("a=ssrc:{ssrc} cname:{cname}"));
            line(out, format_args!("a=ssrc:{ssrc} msid:{stream} {track}"));
        }
    }
}
