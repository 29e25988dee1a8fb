//! Header extensions (RFC 8285): which are taken, and under which numbers.

use super::text::line;
use crate::dependency;

/// One that means something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extension {
    Level,
    SendTime,
    TransportCc,
    Mid,
    Rid,
    RepairedRid,
    Orientation,
    Dependency,
}

/// One that was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) id: u8,
    pub(crate) extension: Extension,
    /// The side that sends it, where it goes one way only: the offerer.
    by_offerer: Option<bool>,
}

impl Extension {
    const ALL: [Self; 8] = [
        Self::Level,
        Self::SendTime,
        Self::TransportCc,
        Self::Mid,
        Self::Rid,
        Self::RepairedRid,
        Self::Orientation,
        Self::Dependency,
    ];

    pub(super) fn uri(self) -> &'static str {
        match self {
            Self::Level => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::SendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::TransportCc => "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Self::Orientation => "urn:3gpp:video-orientation",
            Self::Dependency => dependency::URI,
        }
    }

    fn is_for(self, is_video: bool) -> bool {
        match self {
            Self::Level => !is_video,
            Self::Rid | Self::RepairedRid | Self::Orientation | Self::Dependency => is_video,
            _ => true,
        }
    }
}

/// Those of an m-line that are taken, in its order. Numbers that the short form has no room for are not (RFC 8285 4.2).
pub(super) fn read<'a>(offered: impl Iterator<Item = &'a str>, is_video: bool) -> Vec<Agreed> {
    let mut taken: Vec<Agreed> = Vec::new();
    for text in offered {
        let mut words = text.split_whitespace();
        let (Some(id), Some(uri)) = (words.next(), words.next()) else { continue };
        let (id, way) = id.split_once('/').unwrap_or((id, ""));
        let Some(id) = id.parse().ok().filter(|id| (1..=14).contains(id)) else { continue };
        let by_offerer = match way {
            "sendonly" => Some(true),
            "recvonly" => Some(false),
            "" | "sendrecv" => None,
            _ => continue,
        };
        let known = Extension::ALL.into_iter().find(|known| known.uri() == uri && known.is_for(is_video));
        let Some(extension) = known else { continue };
        if taken.iter().all(|other| other.id != id && other.extension != extension) {
            taken.push(Agreed { id, extension, by_offerer });
        }
    }
    taken
}

impl Agreed {
    /// As it stands in an answer.
    pub(super) fn write(&self, out: &mut String) {
        let way = match self.by_offerer {
            None => "",
            Some(true) => "/recvonly",
            Some(false) => "/sendonly",
        };
        line(out, format_args!("a=extmap:{}{way} {}", self.id, self.extension.uri()));
    }
}
