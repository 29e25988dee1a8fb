//! Reads an offer: by RFC 8866 line by line, and by those of its attributes. What is not known is passed over, as they ask for.

use std::collections::BTreeMap;

use super::extension::{Agreed, Extension};
use super::fingerprint::Fingerprint;
use super::format::{Format, Said};
use super::simulcast::{self, Layer};
use crate::error::Error;
use crate::shield::Redundancy;

/// The most lines of an m-line's section, and the most formats: a browser has a hundred and forty.
const MAX_SECTION_LINES: usize = 600;
const MAX_FORMATS: usize = 128;

/// The most m-lines.
const MAX_LINES: usize = 256;

/// What a client offers.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) lines: Vec<Line>,
    pub(crate) transport: Transport,
    /// The m-lines that share one transport, in the order of their BUNDLE group (RFC 9143 7.2).
    pub(crate) bundle: Vec<usize>,
    /// There is such a group.
    pub(crate) is_bundled: bool,
    /// Header extensions of the long form may come among those of the short one, in all m-lines (RFC 8285 4.1.2).
    pub(crate) allows_mixed: bool,
}

/// How the client is connected with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Transport {
    pub(crate) ufrag: String,
    pub(crate) password: String,
    pub(crate) fingerprints: Vec<Fingerprint>,
    /// The client is the one that waits for a handshake.
    pub(crate) is_passive: bool,
}

/// What an m-line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    Audio,
    Video,
    Data,
    /// Nothing that is known here.
    Other,
}

/// An m-line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// As other parts call it: its MID, or where it stands when it has none.
    pub(crate) name: String,
    pub(crate) mid: Option<String>,
    pub(crate) media: Media,
    /// As they were offered: the medium, the protocol, and what is behind it.
    pub(super) kind: String,
    pub(super) proto: String,
    pub(super) targets: Vec<String>,
    pub(crate) sends: bool,
    pub(crate) receives: bool,
    /// By port 0, where that does not only say that it goes with the others (RFC 9143 6).
    pub(crate) is_refused: bool,
    pub(super) is_muxed: bool,
    /// Those that are taken.
    pub(crate) formats: Vec<Format>,
    /// How its receiver takes redundancy of pictures.
    pub(crate) redundancy: Option<Redundancy>,
    pub(crate) extensions: Vec<Agreed>,
    pub(crate) allows_mixed: bool,
    /// Whoever receives on it can tell of each packet by its stream (RFC 8888 6).
    pub(crate) tells_by_stream: bool,
    /// The simulcast layers it sends (RFC 8853), lowest quality first; none where one cannot tell them apart.
    pub(crate) layers: Vec<Layer>,
    /// Their syntax is that of a draft, which those who use it wait for in the answer.
    pub(super) is_draft: bool,
    /// The streams it sends, with their retransmissions (RFC 5576).
    pub(crate) ssrcs: Vec<(u32, Option<u32>)>,
}

/// What is said of an m-line before all of it has been read; or of all of them, above the first.
#[derive(Default, Clone)]
struct Section<'a> {
    head: &'a str,
    direction: Option<(bool, bool)>,
    ufrag: Option<&'a str>,
    password: Option<&'a str>,
    fingerprints: Vec<&'a str>,
    setup: Option<&'a str>,
    mid: Option<&'a str>,
    is_muxed: bool,
    is_bundle_only: bool,
    allows_mixed: bool,
    maps: Vec<(u8, &'a str)>,
    params: Vec<(u8, &'a str)>,
    feedback: Vec<(Option<u8>, &'a str)>,
    extensions: Vec<&'a str>,
    simulcast: Option<&'a str>,
    rids: Vec<&'a str>,
    ssrcs: Vec<u32>,
    groups: Vec<&'a str>,
}

fn error(reason: impl std::fmt::Display) -> Error {
    Error::Offer(reason.to_string())
}

/// What an ICE-lite agent has no use for: it learns where its clients are from their checks (RFC 8445 2.5).
fn is_candidate(line: &str) -> bool {
    line.starts_with("a=candidate:") || line.starts_with("a=end-of-candidates")
}

/// Refuses an offer that would take long to read: other people's packets wait meanwhile.
fn require_reasonable(offer: &str) -> Result<(), Error> {
    let (mut sections, mut lines, mut formats) = (0, 0, 0);
    for line in offer.lines().filter(|line| !is_candidate(line)) {
        if line.starts_with("m=") {
            (lines, formats) = (0, 0);
            sections += 1;
        }
        lines += 1;
        formats += usize::from(line.starts_with("a=rtpmap:"));
        if lines > MAX_SECTION_LINES {
            return Err(error(format_args!("an m-line has more than {MAX_SECTION_LINES} lines")));
        }
        if formats > MAX_FORMATS {
            return Err(error(format_args!("an m-line has more than {MAX_FORMATS} formats")));
        }
    }
    if sections > MAX_LINES {
        return Err(error(format_args!("there are more than {MAX_LINES} m-lines")));
    }
    Ok(())
}

impl<'a> Section<'a> {
    /// A line behind `a=`.
    fn note(&mut self, attribute: &'a str) {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let numbered = || {
            let (number, rest) = value.split_once(' ')?;
            Some((number.parse::<u8>().ok().filter(|number| *number < 128), number, rest.trim()))
        };
        match name {
            "sendrecv" => self.direction = Some((true, true)),
            "sendonly" => self.direction = Some((true, false)),
            "recvonly" => self.direction = Some((false, true)),
            "inactive" => self.direction = Some((false, false)),
            "mid" => self.mid = Some(value),
            "ice-ufrag" => self.ufrag = Some(value),
            "ice-pwd" => self.password = Some(value),
            "fingerprint" => self.fingerprints.push(value),
            "setup" => self.setup = Some(value),
            "rtcp-mux" | "rtcp-mux-only" => self.is_muxed = true,
            "bundle-only" => self.is_bundle_only = true,
            "extmap-allow-mixed" => self.allows_mixed = true,
            "extmap" => self.extensions.push(value),
            "simulcast" => self.simulcast = Some(value),
            "rid" => self.rids.push(value),
            "ssrc-group" | "group" => self.groups.push(value),
            "ssrc" => {
                let ssrc = value.split(' ').next().and_then(|ssrc| ssrc.parse().ok());
                self.ssrcs.extend(ssrc.filter(|ssrc| !self.ssrcs.contains(ssrc)));
            }
            "rtpmap" => {
                if let Some((Some(number), _, map)) = numbered() {
                    self.maps.push((number, map));
                }
            }
            "fmtp" => {
                if let Some((Some(number), _, params)) = numbered() {
                    self.params.push((number, params));
                }
            }
            "rtcp-fb" => match numbered() {
                Some((Some(number), _, feedback)) => self.feedback.push((Some(number), feedback)),
                Some((None, "*", feedback)) => self.feedback.push((None, feedback)),
                _ => {}
            },
            _ => {}
        }
    }

    fn read(&self, at: usize, session: &Section<'_>) -> Result<Line, Error> {
        let mut words = self.head.split_whitespace();
        let (Some(kind), Some(port), Some(proto)) = (words.next(), words.next(), words.next()) else {
            return Err(error(format_args!("the m-line {:?} has no medium, port and protocol", self.head)));
        };
        let targets: Vec<String> = words.map(String::from).collect();
        let media = media(kind, proto, &targets);
        let is_video = media == Media::Video;
        let numbers = targets.iter().filter_map(|target| target.parse().ok()).collect();
        let said = Said::new(numbers, &self.maps, &self.params, &self.feedback);
        let formats = match media {
            Media::Audio | Media::Video => said.taken(is_video),
            Media::Data | Media::Other => Vec::new(),
        };
        let listed = session.extensions.iter().chain(&self.extensions);
        let mut extensions = super::extension::read(listed.copied(), is_video);
        let mut simulcast = self.simulcast.filter(|_| is_video).map(simulcast::read).unwrap_or_default();
        let has_ids = extensions.iter().any(|agreed| agreed.extension == Extension::Rid);
        if !has_ids {
            // What cannot be told apart is no simulcast (RFC 8853 5.3.1).
            simulcast.layers.clear();
        }
        let (sends, receives) = self.direction.or(session.direction).unwrap_or((true, true));
        // What layers are told apart by is kept on m-lines without any, and on idle ones, too: a browser offers no more of it on those
        // to come than it was answered.
        if receives && !sends {
            extensions.retain(|agreed| !matches!(agreed.extension, Extension::Rid | Extension::RepairedRid));
        }
        simulcast::describe(&mut simulcast.layers, &self.rids);
        let mid = self.mid.map(str::trim).filter(|mid| !mid.is_empty());
        Ok(Line {
            name: mid.map_or_else(|| format!("#{at}"), String::from),
            mid: mid.map(String::from),
            media,
            kind: kind.to_owned(),
            proto: proto.to_owned(),
            targets,
            sends,
            receives,
            is_refused: port.split('/').next() == Some("0") && !self.is_bundle_only,
            is_muxed: self.is_muxed || session.is_muxed,
            redundancy: said.redundancy().filter(|_| is_video),
            formats,
            extensions,
            allows_mixed: self.allows_mixed || session.allows_mixed,
            tells_by_stream: self.feedback.iter().any(|(_, feedback)| *feedback == "ack ccfb"),
            layers: simulcast.layers,
            is_draft: simulcast.is_draft,
            ssrcs: self.streams(),
        })
    }

    /// The SSRCs of streams, each with that of its retransmissions (RFC 5576 4.2, RFC 4588 8.7).
    fn streams(&self) -> Vec<(u32, Option<u32>)> {
        let mut repairs = BTreeMap::new();
        let mut others = Vec::new();
        for group in &self.groups {
            let mut words = group.split_whitespace();
            let kind = words.next();
            let mut ssrcs = words.filter_map(|ssrc| ssrc.parse::<u32>().ok());
            match (kind, ssrcs.next(), ssrcs.next()) {
                (Some("FID"), Some(main), Some(repair)) => _ = repairs.insert(main, repair),
                (Some("FEC-FR" | "FEC"), Some(_), Some(repair)) => others.push(repair),
                _ => {}
            }
        }
        let is_main = |ssrc: &&u32| !others.contains(*ssrc) && repairs.values().all(|repair| repair != *ssrc);
        self.ssrcs.iter().filter(is_main).map(|ssrc| (*ssrc, repairs.get(ssrc).copied())).collect()
    }

    fn transport(&self, session: &Section<'_>) -> Result<Transport, Error> {
        let (Some(ufrag), Some(password)) =
            (self.ufrag.or(session.ufrag), self.password.or(session.password))
        else {
            return Err(error("a=ice-ufrag or a=ice-pwd is missing"));
        };
        let is_word =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte));
        if !(1..=256).contains(&ufrag.len())
            || !(1..=256).contains(&password.len())
            || !is_word(ufrag)
            || !is_word(password)
        {
            return Err(error("a=ice-ufrag or a=ice-pwd is no word of at most 256 letters, digits, + and /"));
        }
        let own = &self.fingerprints;
        let fingerprints =
            Fingerprint::all(if own.is_empty() { &session.fingerprints } else { own }).map_err(error)?;
        let is_passive = match self.setup.or(session.setup) {
            None | Some("actpass" | "active") => false,
            Some("passive") => true,
            Some(other) => {
                return Err(error(format_args!("a=setup:{other} begins no connection (RFC 8842 5.2)")));
            }
        };
        Ok(Transport { ufrag: ufrag.into(), password: password.into(), fingerprints, is_passive })
    }
}

/// Of all profiles that mean media over DTLS and one socket only those are left out which nobody may offer (RFC 8829 5.1.2).
fn media(kind: &str, proto: &str, targets: &[String]) -> Media {
    const RTP: [&str; 9] = [
        "UDP/TLS/RTP/SAVPF",
        "UDP/TLS/RTP/SAVP",
        "TCP/DTLS/RTP/SAVPF",
        "TCP/DTLS/RTP/SAVP",
        "TCP/TLS/RTP/SAVPF",
        "RTP/SAVPF",
        "RTP/SAVP",
        "RTP/AVPF",
        "RTP/AVP",
    ];
    const DATA: [&str; 3] = ["UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP"];
    match kind {
        "audio" if RTP.contains(&proto) => Media::Audio,
        "video" if RTP.contains(&proto) => Media::Video,
        "application" if DATA.contains(&proto) && !targets.is_empty() => Media::Data,
        _ => Media::Other,
    }
}

impl Offer {
    /// Reads an offer.
    ///
    /// # Errors
    /// What in it cannot be understood, or that too much is in it.
    pub(crate) fn read(text: &str) -> Result<Self, Error> {
        require_reasonable(text)?;
        let mut sections: Vec<Section<'_>> = Vec::new();
        let mut session = Section::default();
        let mut is_lite = false;
        let mut rest = text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !is_candidate(line));
        if rest.next() != Some("v=0") {
            return Err(error("it does not begin with v=0"));
        }
        for line in rest {
            match line.split_at_checked(2) {
                Some(("m=", head)) => sections.push(Section { head, ..Section::default() }),
                Some(("a=", attribute)) => {
                    is_lite |= sections.is_empty() && attribute == "ice-lite";
                    sections.last_mut().unwrap_or(&mut session).note(attribute);
                }
                Some((kind, _)) if kind.ends_with('=') => {}
                _ => return Err(error(format_args!("{:?} is no line of SDP", shortened(line)))),
            }
        }
        if is_lite {
            return Err(error(
                "it is by an ICE-lite agent (a=ice-lite), which this server is too: one must be a full one",
            ));
        }
        let mut lines = Vec::with_capacity(sections.len());
        for (section, at) in sections.iter().zip(0..) {
            let line = section.read(at, &session)?;
            if lines.iter().any(|other: &Line| other.name == line.name) {
                return Err(error(format_args!("two m-lines have the mid {:?}", line.name)));
            }
            lines.push(line);
        }
        let (bundle, is_bundled) = bundle(&lines, &session.groups)?;
        let tagged = bundle.first().and_then(|at| sections.get(*at));
        let transport = match tagged {
            Some(section) => section.transport(&session)?,
            None => Transport::default(),
        };
        Ok(Self { lines, transport, bundle, is_bundled, allows_mixed: session.allows_mixed })
    }

    /// The same with nothing in its m-lines, for a connection of which only how it comes about matters.
    pub(crate) fn without_media(&self) -> Self {
        let mut bare = self.clone();
        for line in &mut bare.lines {
            line.formats.clear();
            line.extensions.clear();
        }
        bare
    }

    /// Why an m-line that is offered cannot be taken.
    pub(crate) fn trouble(&self, at: usize) -> Option<String> {
        let line = self.lines.get(at)?;
        let name = &line.name;
        if !self.bundle.contains(&at) {
            return Some(format!(
                "the m-line with mid {name:?} is in no BUNDLE group with the others (RFC 9143)"
            ));
        }
        match line.media {
            Media::Other => Some(format!(
                "the m-line with mid {name:?} is for {} over {}, which is not known here",
                shortened(&line.kind),
                shortened(&line.proto)
            )),
            Media::Data => None,
            _ if !line.is_muxed => Some(format!(
                "the m-line with mid {name:?} has no a=rtcp-mux (RFC 8858): RTCP has no port of its own here"
            )),
            _ if line.formats.is_empty() => Some(format!(
                "the m-line with mid {name:?} has no format that is taken: offer Opus, and VP8, VP9, H.264, H.265 or AV1"
            )),
            _ => None,
        }
    }
}

/// The m-lines of one transport: those in a BUNDLE group with the first that is offered, or that alone. A group of another kind is
/// not looked at (RFC 5888 9.2).
fn bundle(lines: &[Line], groups: &[&str]) -> Result<(Vec<usize>, bool), Error> {
    if lines.is_empty() {
        return Err(error("it has no m-lines"));
    }
    let is_live = |line: &&Line| !line.is_refused && line.media != Media::Other;
    let is_active = |line: &&Line| is_live(line) && (line.sends || line.receives);
    let lead = lines.iter().find(is_active).or_else(|| lines.iter().find(is_live));
    let Some(lead) = lead else { return Ok((Vec::new(), false)) };
    let place = |mid: &str| lines.iter().position(|line| line.mid.as_deref() == Some(mid));
    for group in groups {
        let mut words = group.split_whitespace();
        if words.next() != Some("BUNDLE") {
            continue;
        }
        let mids: Vec<&str> = words.collect();
        if lead.mid.as_deref().is_some_and(|mid| mids.contains(&mid)) {
            let mut members: Vec<usize> = Vec::new();
            for at in mids.into_iter().filter_map(place) {
                if lines.get(at).is_some_and(|line| !line.is_refused) && !members.contains(&at) {
                    members.push(at);
                }
            }
            return Ok((members, true));
        }
    }
    let lone = lines.iter().position(|line| line.name == lead.name);
    Ok((lone.into_iter().collect(), false))
}

/// What somebody wrote, short enough to be repeated to them.
fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}
