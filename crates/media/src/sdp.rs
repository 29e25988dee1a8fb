//! The little that is read of an offer before the WebRTC library takes it: which streams there are (RFC 8866 5.14).

use crate::dependency;
use crate::error::Error;
use crate::source::MAX_LAYERS;

/// An m-line of audio or video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) mid: String,
    pub(crate) is_video: bool,
    /// Whether the offerer sends (for viewers: receives) on it.
    pub(crate) is_active: bool,
    /// The simulcast layers it sends, by RID (RFC 8853), lowest quality first.
    pub(crate) rids: Vec<String>,
    /// It takes header extensions of the long form among those of the short one (RFC 8285 4.1.2).
    pub(crate) allows_mixed: bool,
}

/// What the offerer does with the streams of its offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Sends,
    Receives,
}

/// The most lines of an m-line's section, and the most formats: a browser has a hundred and forty.
const MAX_SECTION_LINES: usize = 600;
const MAX_FORMATS: usize = 128;

/// Refuses an offer that would take long to read: other people's packets wait meanwhile.
///
/// # Errors
/// What there is too much of.
pub(crate) fn require_reasonable(offer: &str) -> Result<(), Error> {
    let (mut lines, mut formats) = (0, 0);
    for line in offer.lines().filter(|line| !is_candidate(line)) {
        if line.starts_with("m=") {
            (lines, formats) = (0, 0);
        }
        lines += 1;
        formats += usize::from(line.starts_with("a=rtpmap:"));
        if lines > MAX_SECTION_LINES {
            return Err(Error::Offer(format!("an m-line has more than {MAX_SECTION_LINES} lines")));
        }
        if formats > MAX_FORMATS {
            return Err(Error::Offer(format!("an m-line has more than {MAX_FORMATS} formats")));
        }
    }
    Ok(())
}

/// What an ICE-lite agent has no use for: it learns where its clients are from their checks (RFC 8445 2.5).
fn is_candidate(line: &str) -> bool {
    line.starts_with("a=candidate:") || line.starts_with("a=end-of-candidates")
}

/// The streams of an offer, and the offer with each of them going one way only: a connection is a publisher's or a
/// viewer's.
pub(crate) fn read_offer(offer: &str, way: Way) -> (Vec<Line>, String) {
    let mut lines: Vec<Line> = Vec::new();
    let mut text = String::with_capacity(offer.len() + 64);
    let (mut is_media, mut is_layered, mut allows_mixed) = (false, false, false);
    let one_way = match way {
        Way::Sends => "a=sendonly",
        Way::Receives => "a=recvonly",
    };
    let mut rest = offer.lines().map(str::trim_end).filter(|line| !is_candidate(line));
    while let Some(mut line) = rest.next() {
        if let Some(media) = line.strip_prefix("m=") {
            let mut words = media.split(' ');
            let kind = words.next().unwrap_or_default();
            // Port 0 says that it is refused, or that it only goes with the others (RFC 9143 6).
            let mut section = rest.clone().take_while(|line| !line.starts_with("m="));
            let is_refused = words.next() == Some("0") && !section.any(|line| line == "a=bundle-only");
            is_media = matches!(kind, "audio" | "video");
            let first = words.nth(1).unwrap_or_default();
            let section = rest.clone().take_while(|line| !line.starts_with("m="));
            is_layered = way == Way::Receives || prefers_av1(section, first);
            if is_media {
                lines.push(Line {
                    mid: String::new(),
                    is_video: kind == "video",
                    is_active: !is_refused,
                    rids: Vec::new(),
                    allows_mixed,
                });
            }
        } else if is_media && let Some(current) = lines.last_mut() {
            let other_way = match way {
                Way::Sends => "a=recvonly",
                Way::Receives => "a=sendonly",
            };
            if let Some(mid) = line.strip_prefix("a=mid:") {
                current.mid = mid.into();
            } else if line == "a=sendrecv" {
                line = one_way;
            } else if line == "a=inactive" || line == other_way {
                current.is_active = false;
            } else if let Some(simulcast) = line.strip_prefix("a=simulcast:") {
                current.rids = sent_rids(simulcast);
            } else if line == "a=extmap-allow-mixed" {
                current.allows_mixed = true;
            } else if !is_layered && line.starts_with("a=extmap:") && line.ends_with(dependency::URI) {
                // Browsers send it with any codec where it is agreed on; only AV1's payloads do not say as much.
                continue;
            }
        } else if lines.is_empty() && line == "a=extmap-allow-mixed" {
            allows_mixed = true;
        }
        text.push_str(line);
        text.push_str("\r\n");
    }
    (lines, text)
}

/// Whether an offer has it that sound which is missing may be asked for (RFC 4585 4.2), for the codec that all sound is in.
pub(crate) fn asks_for_sound(offer: &str) -> bool {
    let is_opus = |map: &&str| map.split_once(' ').is_some_and(|(_, codec)| codec.starts_with("opus/"));
    let mut maps = offer.lines().filter_map(|line| line.trim_end().strip_prefix("a=rtpmap:"));
    let Some((number, _)) = maps.find(is_opus).and_then(|map| map.split_once(' ')) else { return false };
    let asks = |line: &str| {
        let mut words = line.trim_end().strip_prefix("a=rtcp-fb:").unwrap_or_default().split(' ');
        words.next() == Some(number) && words.next() == Some("nack") && words.next().is_none()
    };
    offer.lines().any(asks)
}

/// An answer in which nobody may ask for sound that is missing: the offer did not have it.
pub(crate) fn without_sound_asked_for(answer: &str) -> String {
    let mut is_sound = false;
    let is_kept = |line: &&str| {
        if line.starts_with("m=") {
            is_sound = line.starts_with("m=audio");
        }
        !(is_sound && line.starts_with("a=rtcp-fb:") && line.trim_end().ends_with(" nack"))
    };
    answer.split_inclusive('\n').filter(is_kept).collect()
}

/// Whether the first format of an m-line is AV1.
fn prefers_av1<'a>(mut section: impl Iterator<Item = &'a str>, first: &str) -> bool {
    let is_it = |line: &str| {
        let format = line.strip_prefix("a=rtpmap:").and_then(|format| format.split_once(' '));
        format.is_some_and(|(number, codec)| number == first && codec.starts_with("AV1/"))
    };
    section.any(is_it)
}

/// The m-lines of a viewer's offer that it receives on: the name of each, and whether it is for video.
pub fn receiving_lines(offer: &str) -> Vec<(String, bool)> {
    let (lines, _) = read_offer(offer, Way::Receives);
    lines.into_iter().filter(|line| line.is_active).map(|line| (line.mid, line.is_video)).collect()
}

/// `send q;h;f recv ...`: alternatives after commas are left out, as are pauses (`~`).
fn sent_rids(simulcast: &str) -> Vec<String> {
    let mut words = simulcast.split_whitespace().skip_while(|word| *word != "send");
    let list = words.nth(1).unwrap_or_default();
    let first =
        |stream: &str| stream.split(',').next().unwrap_or_default().trim_start_matches('~').to_owned();
    let mut rids: Vec<String> = list.split(';').map(first).filter(|rid| !rid.is_empty()).collect();
    rids.truncate(MAX_LAYERS);
    // Names that say how good they are come in that order, whatever the order of the offer.
    if rids.iter().all(|rid| quality(rid).is_some()) {
        rids.sort_by_key(|rid| quality(rid));
    }
    rids
}

fn quality(rid: &str) -> Option<u8> {
    // "h" is "half" beside "q" and "f", and "high" beside "l" and "m".
    Some(match rid {
        "q" | "l" | "low" | "0" | "r0" => 0,
        "m" | "mid" | "medium" | "1" | "r1" => 1,
        "h" | "high" | "hi" => 2,
        "f" | "full" | "2" | "r2" => 3,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendrecv\r\n\
        m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=bundle-only\r\na=sendonly\r\na=simulcast:send f;h;q\r\n\
        m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=inactive\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:3\r\na=sendrecv\r\n";

    #[test]
    fn the_streams_of_an_offer_are_found() {
        let (lines, text) = read_offer(OFFER, Way::Sends);

        let told: Vec<_> =
            lines.iter().map(|line| (line.mid.as_str(), line.is_video, line.is_active)).collect();
        assert_eq!(told, [("0", false, true), ("1", true, true), ("2", true, false)]);
        assert_eq!(lines[1].rids, ["q", "h", "f"]);
        assert_eq!(text.matches("a=sendonly").count(), 2);
        assert!(text.contains("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:3\r\na=sendrecv"));
    }

    #[test]
    fn an_offer_says_whether_missing_sound_is_asked_for() {
        let asks = |line: &str| asks_for_sound(&format!("a=rtpmap:111 opus/48000/2\r\n{line}\r\n"));

        assert!(asks("a=rtcp-fb:111 nack"));
        assert!(
            !asks("a=rtcp-fb:96 nack")
                && !asks("a=rtcp-fb:111 nack pli")
                && !asks("a=rtcp-fb:111 transport-cc")
        );
        assert!(!asks_for_sound("a=rtpmap:0 PCMU/8000\r\na=rtcp-fb:0 nack\r\n"));

        let answer = |sound: &str| {
            format!(
                "v=0\r\nm=video 9\r\na=rtcp-fb:96 nack\r\nm=audio 9\r\n{sound}a=rtcp-fb:111 transport-cc\r\n"
            )
        };
        assert_eq!(without_sound_asked_for(&answer("a=rtcp-fb:111 nack\r\n")), answer(""));
    }

    #[test]
    fn the_way_decides_what_is_active() {
        let (lines, text) = read_offer(OFFER, Way::Receives);

        assert!(lines[0].is_active && !lines[1].is_active);
        assert!(text.contains("a=mid:0\r\na=recvonly"));
    }

    #[test]
    fn a_publisher_describes_dependencies_where_its_codec_does_not() {
        let offer = |first: &str| {
            let uri = crate::dependency::URI;
            format!(
                "v=0\r\na=extmap-allow-mixed\r\nm=video 9 UDP/TLS/RTP/SAVPF {first} 45 96\r\na=mid:0\r\na=extmap:12 {uri}\r\n\
                a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=rtpmap:45 AV1/90000\r\na=rtpmap:96 VP8/90000\r\n"
            )
        };
        let has_it = |first, way| read_offer(&offer(first), way).1.contains("a=extmap:12 ");

        assert!(has_it("45", Way::Sends));
        assert!(!has_it("96", Way::Sends));
        assert!(has_it("96", Way::Receives));
        let (lines, text) = read_offer(&offer("96"), Way::Sends);
        assert!(lines[0].allows_mixed && text.contains("a=extmap:4 "));
        assert!(!read_offer(OFFER, Way::Receives).0[0].allows_mixed);
    }

    #[test]
    fn layers_without_telling_names_keep_their_order() {
        assert_eq!(sent_rids("send a;b,c;~d recv x"), ["a", "b", "d"]);
        assert_eq!(sent_rids("recv x"), [""; 0]);
        assert_eq!(sent_rids("send l;m;h"), ["l", "m", "h"]);
    }
}
