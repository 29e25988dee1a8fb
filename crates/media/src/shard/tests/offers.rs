//! Offers of agents that exist, and of what the RFCs allow, each with the answer it must get. A row says what becomes of each m-line:
//! its medium, its direction in the answer (or `0` when it is refused) and its payload types; or why the offer is refused. That an
//! answer fits its offer at all (`require_fit`) is checked of each.

use super::*;
use crate::sdp::Offer;

/// Which side of a room the offerer is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Publish,
    Watch,
}
use Way::{Publish, Watch};

const ICE: &str = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n";
const SHA_256: &str = "a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n";
const HEAD: &str = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
const OPUS: &str =
    "a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n";
const VP8: &str = "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n";
const VP9: &str = "a=rtpmap:98 VP9/90000\r\na=fmtp:98 profile-id=0\r\n";
const H264: &str = "a=rtpmap:102 H264/90000\r\na=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n";
const AV1: &str = "a=rtpmap:45 AV1/90000\r\na=fmtp:45 level-idx=5;profile=0;tier=0\r\n";
const H265: &str = "a=rtpmap:49 H265/90000\r\na=rtcp-fb:49 nack pli\r\na=fmtp:49 level-id=180;profile-id=1;tier-flag=0;tx-mode=SRST\r\n";
const RIDS: &str = "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n\
    a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n";

/// An offer of browsers' shape: a session with a BUNDLE group of all MIDs, and m-lines.
fn offer(more: &str, lines: &[String]) -> String {
    let mids = lines.iter().filter_map(|line| line.lines().find_map(|line| line.strip_prefix("a=mid:")));
    let group = mids.collect::<Vec<_>>().join(" ");
    format!("{HEAD}a=group:BUNDLE {group}\r\n{more}{}", lines.concat())
}

/// An m-line over DTLS with a transport and a direction.
fn line(head: &str, mid: &str, way: &str, more: &str) -> String {
    format!(
        "m={head}\r\nc=IN IP4 0.0.0.0\r\n{ICE}{SHA_256}a=setup:actpass\r\na=mid:{mid}\r\na={way}\r\na=rtcp-mux\r\n{more}"
    )
}

fn sound(mid: &str, way: &str) -> String {
    line("audio 9 UDP/TLS/RTP/SAVPF 111", mid, way, OPUS)
}

fn picture(mid: &str, way: &str) -> String {
    line("video 9 UDP/TLS/RTP/SAVPF 96 97", mid, way, VP8)
}

fn way_of(way: Way) -> &'static str {
    match way {
        Publish => "sendonly",
        Watch => "recvonly",
    }
}

/// What an answer says of each m-line.
fn summary(answer: &str) -> String {
    let sections = answer.split("\r\nm=").skip(1).map(|section| {
        let (head, rest) = section.split_once("\r\n").unwrap_or((section, ""));
        let mut words = head.split(' ');
        let (kind, port) = (words.next().unwrap(), words.next().unwrap());
        let numbers: Vec<_> = words.skip(1).collect();
        if port == "0" {
            return format!("{kind} 0");
        }
        let way = ["sendrecv", "sendonly", "recvonly", "inactive"]
            .into_iter()
            .find(|way| rest.contains(&format!("a={way}\r\n")));
        format!("{kind} {} {}", way.unwrap_or("-"), numbers.join(","))
    });
    sections.collect::<Vec<_>>().join("; ")
}

/// A section's values of an attribute.
fn values<'a>(section: &'a str, name: &str) -> Vec<&'a str> {
    let prefix = format!("a={name}:");
    section.lines().filter_map(|line| line.trim_end().strip_prefix(&prefix)).collect()
}

/// What must be true of any answer (RFC 3264 6, RFC 8829 5.3.1, RFC 9143 7.3).
fn require_fit(offer: &str, answer: &str) -> Result<(), String> {
    let sections = |text: &str| -> Vec<String> {
        let text = format!("\n{}", text.replace("\r\n", "\n"));
        text.split("\nm=").map(String::from).collect()
    };
    let (offered, answered) = (sections(offer), sections(answer));
    if offered.len() != answered.len() {
        return Err(format!("{} m-lines for {}", answered.len() - 1, offered.len() - 1));
    }
    if !answer.ends_with("\r\n") || answer.replace("\r\n", "").contains('\n') {
        return Err("lines end otherwise than with CRLF".into());
    }
    let group = |text: &str| -> Vec<String> {
        let all = values(text, "group").into_iter().filter_map(|group| group.strip_prefix("BUNDLE "));
        all.flat_map(|mids| mids.split_whitespace()).map(String::from).collect()
    };
    let bundle = group(&answered[0]);
    if bundle.iter().any(|mid| !group(&offered[0]).contains(mid)) {
        return Err(format!("{bundle:?} is another group than offered"));
    }
    let mut has_candidates = false;
    for (before, after) in offered.iter().zip(&answered).skip(1) {
        let head = |section: &str| -> Vec<String> {
            section.lines().next().unwrap_or_default().split_whitespace().map(String::from).collect()
        };
        let (was, is) = (head(before), head(after));
        if (&was[0], &was[2]) != (&is[0], &is[2]) {
            return Err(format!("{is:?} answers {was:?}"));
        }
        let mid = values(before, "mid").first().map(|mid| mid.trim());
        if values(after, "mid").first().copied() != mid {
            return Err(format!("the mid {mid:?} is not given back"));
        }
        if is.len() < 4 {
            return Err(format!("{is:?} has no format"));
        }
        if is[1] == "0" {
            if mid.is_some_and(|mid| bundle.iter().any(|other| other == mid)) {
                return Err(format!("{mid:?} is refused and in the group"));
            }
            continue;
        }
        has_candidates |= after.contains("a=candidate:");
        if !after.contains("a=ice-ufrag:") || !after.contains("a=fingerprint:") || !after.contains("a=setup:")
        {
            return Err("an m-line says nothing of its transport".into());
        }
        if was[0] == "application" {
            continue;
        }
        if let Some(stranger) = is[3..].iter().find(|number| !was[3..].contains(number)) {
            return Err(format!("nobody offered {stranger}"));
        }
        let plain = |numbers: &[String]| -> Vec<String> {
            // RED comes before what it wraps.
            numbers.iter().filter(|number| *number != "63").cloned().collect()
        };
        let order: Vec<_> = plain(&is[3..])
            .iter()
            .filter_map(|number| plain(&was[3..]).iter().position(|one| one == number))
            .collect();
        if !is_in_order(&order, before) {
            return Err(format!("{:?} are not in the order of {:?}", &is[3..], &was[3..]));
        }
        for agreed in values(after, "extmap") {
            let id = agreed.split([' ', '/']).next().unwrap_or_default();
            let uri = agreed.split(' ').nth(1).unwrap_or_default();
            let all = [values(&offered[0], "extmap"), values(before, "extmap")].concat();
            if !all.iter().any(|one| one.split([' ', '/']).next() == Some(id) && one.contains(uri)) {
                return Err(format!("nobody offered the extension {agreed}"));
            }
        }
        for layer in values(after, "rid") {
            let is_offered = layer.strip_suffix(" recv").is_some_and(|rid| {
                let sent = values(before, "rid").into_iter().map(|text| text.split_whitespace());
                sent.into_iter().any(|mut words| words.next() == Some(rid) && words.next() == Some("send"))
                    || values(before, "simulcast").iter().any(|list| list.contains(rid))
            });
            if !is_offered {
                return Err(format!("nobody offered the layer {layer}"));
            }
        }
        let feedback = values(before, "rtcp-fb");
        for asked in values(after, "rtcp-fb") {
            let (_, what) = asked.split_once(' ').unwrap_or_default();
            if !feedback.contains(&asked) && !feedback.contains(&format!("* {what}").as_str()) {
                return Err(format!("nobody offered rtcp-fb {asked}"));
            }
        }
    }
    if !has_candidates
        && answered
            .iter()
            .skip(1)
            .any(|section| !section.starts_with("text 0") && section.split(' ').nth(1) != Some("0"))
    {
        return Err("there is no candidate".into());
    }
    Ok(())
}

/// Whether codecs keep their order; retransmissions stand with what they repeat.
fn is_in_order(places: &[usize], section: &str) -> bool {
    let numbers: Vec<&str> = section.lines().next().unwrap_or_default().split_whitespace().skip(3).collect();
    let is_rtx = |place: &&usize| {
        let rtx = numbers.get(**place).map(|number| format!("a=rtpmap:{number} rtx/"));
        !rtx.is_some_and(|rtx| section.contains(&rtx))
    };
    places.iter().filter(is_rtx).collect::<Vec<_>>().is_sorted()
}

struct Row {
    name: String,
    way: Way,
    offer: String,
    /// What becomes of the m-lines, or a part of why it is refused.
    expected: Result<String, String>,
    /// Lines that the answer has.
    has: Vec<String>,
}

fn row(name: impl Into<String>, way: Way, offer: String, expected: &str) -> Row {
    Row { name: name.into(), way, offer, expected: Ok(expected.into()), has: Vec::new() }
}

fn refused(name: impl Into<String>, way: Way, offer: String, reason: &str) -> Row {
    Row { name: name.into(), way, offer, expected: Err(reason.into()), has: Vec::new() }
}

impl Row {
    fn has(mut self, lines: &[&str]) -> Self {
        self.has.extend(lines.iter().map(|line| (*line).to_owned()));
        self
    }
}

/// What agents send.
fn agents() -> Vec<Row> {
    macro_rules! file {
        ($name:literal) => {
            include_str!(concat!("../../../fuzz/corpus/offer/", $name))
                .replace("\r\n", "\n")
                .replace('\n', "\r\n")
        };
    }
    let obs = |more: &str, h264: &str| {
        format!(
            "v=0\r\no=rtc 3767197920 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=group:LS 0 1\r\n\
            a=msid-semantic:WMS *\r\na=setup:actpass\r\n{ICE}a=ice-options:ice2,trickle\r\n{SHA_256}\
            m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\na=ssrc:11 cname:a\r\n\
            a=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n\
            a=fmtp:111 minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sendonly\r\n{more}a=rtcp-mux\r\n{h264}\
            a=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 goog-remb\r\n"
        )
    };
    let h264 = "a=rtpmap:96 H264/90000\r\na=fmtp:96 profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1\r\n";
    let av1 = "a=rtpmap:96 AV1/90000\r\n";
    let hevc = "a=rtpmap:96 H265/90000\r\na=fmtp:96 level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST\r\n";
    let layers = format!("{RIDS}a=rid:0 send\r\na=rid:1 send\r\na=rid:2 send\r\na=simulcast:send 0;1;2\r\n");
    let ffmpeg = |profile: &str, setup: &str| {
        format!(
            "v=0\r\no=FFmpeg 4489045141692799359 2 IN IP4 127.0.0.1\r\ns=FFmpegPublishSession\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
            a=extmap-allow-mixed\r\na=msid-semantic: WMS\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\n{ICE}{SHA_256}\
            a=setup:{setup}\r\na=mid:0\r\na=sendonly\r\na=msid:FFmpeg audio\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n\
            a=ssrc:1 cname:FFmpeg\r\nm=video 9 UDP/TLS/RTP/SAVPF 106\r\nc=IN IP4 0.0.0.0\r\n{ICE}{SHA_256}a=setup:{setup}\r\n\
            a=mid:1\r\na=sendonly\r\na=msid:FFmpeg video\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=rtpmap:106 H264/90000\r\n\
            a=fmtp:106 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}\r\na=ssrc:2 cname:FFmpeg\r\n"
        )
    };
    // A browser's list of codecs, with all that is not taken.
    let browser = format!(
        "{VP8}{VP9}a=rtpmap:99 rtx/90000\r\na=fmtp:99 apt=98\r\n{H264}a=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\n{AV1}\
        a=rtpmap:46 rtx/90000\r\na=fmtp:46 apt=45\r\na=rtpmap:114 red/90000\r\na=rtpmap:115 rtx/90000\r\n\
        a=fmtp:115 apt=114\r\na=rtpmap:116 ulpfec/90000\r\na=rtpmap:117 flexfec-03/90000\r\na=fmtp:117 repair-window=10000000\r\n"
    );
    let browser_sound = format!(
        "{OPUS}a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
        a=rtpmap:13 CN/8000\r\na=rtpmap:110 telephone-event/48000\r\na=rtpmap:126 telephone-event/8000\r\n"
    );
    // As those have it that decode H.265 in hardware (Chrome from 136 on), also in ten bits; and as Safari had it first.
    let with_h265 = format!(
        "{browser}{H265}a=rtpmap:50 rtx/90000\r\na=fmtp:50 apt=49\r\n\
        a=rtpmap:51 H265/90000\r\na=fmtp:51 level-id=180;profile-id=2;tier-flag=0;tx-mode=SRST\r\na=rtpmap:52 rtx/90000\r\na=fmtp:52 apt=51\r\n"
    );
    let of_safari =
        format!("{browser}a=rtpmap:49 H265/90000\r\na=rtpmap:50 rtx/90000\r\na=fmtp:50 apt=49\r\n");
    let chrome_136 = |way: Way, order: &str| {
        offer(
            "a=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n",
            &[
                line("audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126", "0", way_of(way), &browser_sound),
                line(&format!("video 9 UDP/TLS/RTP/SAVPF {order}"), "1", way_of(way), &with_h265),
            ],
        )
    };
    let chrome = |way: Way| {
        offer(
            "a=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n",
            &[
                line("audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126", "0", way_of(way), &browser_sound),
                line(
                    "video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 102 103 45 46 114 115 116 117",
                    "1",
                    way_of(way),
                    &browser,
                ),
            ],
        )
    };
    let safari = |way: Way| {
        offer(
            "a=msid-semantic: WMS\r\n",
            &[
                line("audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126", "0", way_of(way), &browser_sound),
                line(
                    "video 9 UDP/TLS/RTP/SAVPF 102 103 49 50 96 97 98 99 45 46 114 115 116",
                    "1",
                    way_of(way),
                    &of_safari,
                ),
            ],
        )
    };
    let aiortc = |way: Way| {
        let sounds = "a=rtpmap:96 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n";
        let pictures = "a=rtpmap:97 VP8/90000\r\na=rtcp-fb:97 nack\r\na=rtcp-fb:97 nack pli\r\na=rtcp-fb:97 goog-remb\r\n\
            a=rtpmap:98 rtx/90000\r\na=fmtp:98 apt=97\r\na=rtpmap:99 H264/90000\r\n\
            a=fmtp:99 packetization-mode=1;level-asymmetry-allowed=1;profile-level-id=42001f\r\na=rtpmap:100 rtx/90000\r\na=fmtp:100 apt=99\r\n";
        offer(
            "a=msid-semantic:WMS *\r\n",
            &[
                line("audio 45567 UDP/TLS/RTP/SAVPF 96 0 8", "0", way_of(way), sounds),
                line("video 45567 UDP/TLS/RTP/SAVPF 97 98 99 100", "1", way_of(way), pictures),
            ],
        )
    };
    let pion = |way: Way| {
        let more = format!(
            "{H264}a=rtcp-fb:102 goog-remb\r\na=rtcp-fb:102 ccm fir\r\na=rtpmap:121 rtx/90000\r\na=fmtp:121 apt=102\r\na=rtcp-rsize\r\n{VP8}"
        );
        offer(
            "a=extmap-allow-mixed\r\na=msid-semantic:WMS*\r\n",
            &[
                line("video 9 UDP/TLS/RTP/SAVPF 102 121 96 97", "0", way_of(way), &more),
                line("audio 9 UDP/TLS/RTP/SAVPF 111 9 0 8", "1", way_of(way), &browser_sound),
            ],
        )
    };
    let larix = |way: &str, order: &str| {
        let pictures = format!("{H264}a=rtpmap:104 H265/90000\r\n");
        offer(
            "",
            &[
                sound("audio", way),
                line(&format!("video 9 UDP/TLS/RTP/SAVPF {order}"), "video", way, &pictures),
            ],
        )
    };
    let datachannel = |way: Way| {
        format!(
            "v=0\r\no=rtc 1 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE video-1 audio-1 data\r\na=group:LS video-1 audio-1\r\n\
            a=msid-semantic:WMS *\r\na=setup:actpass\r\n{ICE}a=ice-options:ice2,trickle\r\n{SHA_256}\
            m=video 9 UDP/TLS/RTP/SAVPF 102\r\nc=IN IP4 0.0.0.0\r\na=mid:video-1\r\na={0}\r\na=rtcp-mux\r\n{H264}\
            m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:audio-1\r\na={0}\r\na=rtcp-mux\r\n{OPUS}\
            m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:data\r\na=sendrecv\r\na=sctp-port:5000\r\n\
            a=max-message-size:262144\r\n",
            way_of(way)
        )
    };
    let gstreamer_plays = |profile: &str| {
        let pictures = format!(
            "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;profile-level-id={profile}\r\na=rtcp-fb:96 nack pli\r\n"
        );
        format!(
            "v=0\r\no=- 7479482757901934491 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-options:trickle\r\na=group:BUNDLE video0 audio1\r\n{}{}",
            line("video 9 UDP/TLS/RTP/SAVPF 96", "video0", "recvonly", &pictures),
            line(
                "audio 0 UDP/TLS/RTP/SAVPF 97",
                "audio1",
                "recvonly",
                "a=bundle-only\r\na=rtpmap:97 OPUS/48000/2\r\n"
            )
        )
    };
    vec![
        row("obs 30", Publish, file!("obs-publishes"), "audio recvonly 111; video recvonly 96")
            .has(&["stereo=1"]),
        row(
            "obs 30, as it is made here",
            Publish,
            obs("a=ssrc:12 cname:a\r\n", h264),
            "audio recvonly 111; video recvonly 96",
        ),
        row(
            "obs 30 with AV1",
            Publish,
            obs("a=ssrc:12 cname:a\r\n", av1),
            "audio recvonly 111; video recvonly 96",
        ),
        row("obs 31 with three layers", Publish, obs(&layers, h264), "audio recvonly 111; video recvonly 96")
            .has(&[
                "a=simulcast:recv 2;1;0",
                "a=rid:0 recv",
                "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            ]),
        row(
            "obs 32 with three layers of AV1",
            Publish,
            obs(&layers, av1),
            "audio recvonly 111; video recvonly 96",
        )
        .has(&["a=simulcast:recv 2;1;0"]),
        row(
            "obs with HEVC",
            Publish,
            obs("a=ssrc:12 cname:a\r\n", hevc),
            "audio recvonly 111; video recvonly 96",
        )
        .has(&["a=fmtp:96 level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST\r\n"]),
        row(
            "obs with three layers of HEVC",
            Publish,
            obs(&layers, hevc),
            "audio recvonly 111; video recvonly 96",
        )
        .has(&["a=simulcast:recv 2;1;0"]),
        row(
            "gstreamer's whipsink",
            Publish,
            file!("gstreamer-publishes"),
            "video recvonly 96; audio recvonly 97",
        ),
        row("firefox publishes", Publish, file!("firefox-publishes"), "").has(&["a=rtcp-mux"]),
        row("firefox watches", Watch, file!("firefox-watches"), ""),
        row("ffmpeg's whip", Publish, ffmpeg("42001f", "passive"), "audio recvonly 111; video recvonly 106")
            .has(&["a=setup:active"]),
        row(
            "ffmpeg's whip, High",
            Publish,
            ffmpeg("640c1f", "passive"),
            "audio recvonly 111; video recvonly 106",
        ),
        row(
            "ffmpeg's whip, which begins itself",
            Publish,
            ffmpeg("42c01e", "active"),
            "audio recvonly 111; video recvonly 106",
        )
        .has(&["a=setup:passive"]),
        row("larix", Publish, larix("sendonly", "102"), "audio recvonly 111; video recvonly 102"),
        row("larix both ways", Publish, larix("sendrecv", "102"), "audio recvonly 111; video recvonly 102"),
        row(
            "larix with HEVC",
            Publish,
            larix("sendonly", "104 102"),
            "audio recvonly 111; video recvonly 104,102",
        ),
        row(
            "libdatachannel publishes",
            Publish,
            datachannel(Publish),
            "video recvonly 102; audio recvonly 111; application - webrtc-datachannel",
        ),
        row(
            "libdatachannel watches",
            Watch,
            datachannel(Watch),
            "video sendonly 102; audio sendonly 111; application - webrtc-datachannel",
        ),
        row("pion publishes", Publish, pion(Publish), "video recvonly 102,121,96,97; audio recvonly 111"),
        row("pion watches", Watch, pion(Watch), "video sendonly 102,121,96,97; audio sendonly 111"),
        row("aiortc publishes", Publish, aiortc(Publish), "audio recvonly 96; video recvonly 97,98,99,100"),
        row("aiortc watches", Watch, aiortc(Watch), "audio sendonly 96; video sendonly 97,98,99,100"),
        row(
            "chrome publishes",
            Publish,
            chrome(Publish),
            "audio recvonly 63,111; video recvonly 96,97,98,99,102,103,45,46",
        ),
        row(
            "chrome watches",
            Watch,
            chrome(Watch),
            "audio sendonly 63,111; video sendonly 96,97,98,99,102,103,45,46,114,116",
        ),
        row(
            "safari publishes",
            Publish,
            safari(Publish),
            "audio recvonly 63,111; video recvonly 102,103,49,50,96,97,98,99,45,46",
        ),
        row(
            "safari watches",
            Watch,
            safari(Watch),
            "audio sendonly 63,111; video sendonly 102,103,49,50,96,97,98,99,45,46,114,116",
        ),
        row(
            "chrome 136 publishes",
            Publish,
            chrome_136(Publish, "96 97 98 99 102 103 49 50 51 52 45 46 114 115 116 117"),
            "audio recvonly 63,111; video recvonly 96,97,98,99,102,103,49,50,51,52,45,46",
        )
        .has(&[
            "a=fmtp:49 level-id=180;profile-id=1;tier-flag=0;tx-mode=SRST\r\n",
            "a=fmtp:51 level-id=180;profile-id=2;",
        ]),
        row(
            "chrome 136 publishes H.265 by preference",
            Publish,
            chrome_136(Publish, "49 50 96 97"),
            "audio recvonly 63,111; video recvonly 49,50,96,97",
        ),
        row(
            "chrome 136 watches",
            Watch,
            chrome_136(Watch, "96 97 98 99 102 103 49 50 51 52 45 46 114 115 116 117"),
            "audio sendonly 63,111; video sendonly 96,97,98,99,102,103,49,50,51,52,45,46,114,116",
        ),
        row("gstreamer's whepsrc", Watch, gstreamer_plays("42c01f"), "video sendonly 96; audio sendonly 97"),
        row(
            "gstreamer's whepsrc, High",
            Watch,
            gstreamer_plays("640c2a"),
            "video sendonly 96; audio sendonly 97",
        ),
    ]
}

/// What names may be, and protocols, and profiles.
fn names() -> Vec<Row> {
    let mut rows = Vec::new();
    let mids = [
        "0",
        "video-1",
        "a.b",
        "{1b4e28ba-2fa1-11d2-883f-0016d3cca427}",
        "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
        "sdparta_0",
        "v+w",
        "~x!",
        "x'y",
        "a_name_of_more_than_sixteen_letters",
        "#1",
        "sound",
    ];
    for mid in mids {
        for way in [Publish, Watch] {
            let (to, back) = (way_of(way), if way == Publish { "recvonly" } else { "sendonly" });
            let offer = offer("", &[sound("other", to), picture(mid, to)]);
            let expected = format!("audio {back} 111; video {back} 96,97");
            rows.push(
                row(format!("mid {mid}"), way, offer, &expected)
                    .has(&[&format!("a=mid:{mid}\r\n"), &format!("a=group:BUNDLE other {mid}\r\n")]),
            );
        }
    }
    for proto in [
        "UDP/TLS/RTP/SAVPF",
        "UDP/TLS/RTP/SAVP",
        "TCP/DTLS/RTP/SAVPF",
        "TCP/DTLS/RTP/SAVP",
        "RTP/SAVPF",
        "RTP/SAVP",
        "RTP/AVPF",
        "RTP/AVP",
    ] {
        let offer = offer("", &[line(&format!("video 9 {proto} 96 97"), "0", "sendonly", VP8)]);
        rows.push(
            row(format!("over {proto}"), Publish, offer, "video recvonly 96,97")
                .has(&[&format!("m=video 9 {proto} 96 97\r\n")]),
        );
    }
    for (head, own) in [
        ("application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=sctp-port:5000\r\n"),
        ("application 9 TCP/DTLS/SCTP webrtc-datachannel", "a=sctp-port:5000\r\n"),
        ("application 9 DTLS/SCTP 5000", "a=sctpmap:5000 webrtc-datachannel 65536\r\n"),
    ] {
        let format = head.rsplit(' ').next().unwrap();
        for way in [Publish, Watch] {
            let (to, back) = (way_of(way), if way == Publish { "recvonly" } else { "sendonly" });
            let offer = offer("", &[picture("0", to), line(head, "1", "sendrecv", own)]);
            rows.push(
                row(head, way, offer, &format!("video {back} 96,97; application - {format}")).has(&[own]),
            );
        }
    }
    for profile in
        ["640c1f", "640c2a", "58001f", "6e001f", "42001f", "42e01f", "4d0032", "f4001f", "7a1033", "64001F"]
    {
        for way in [Publish, Watch] {
            let (to, back) = (way_of(way), if way == Publish { "recvonly" } else { "sendonly" });
            let params = format!(
                "a=rtpmap:100 H264/90000\r\na=fmtp:100 packetization-mode=1;profile-level-id={profile}\r\n"
            );
            let offer = offer("", &[line("video 9 UDP/TLS/RTP/SAVPF 100", "0", to, &params)]);
            rows.push(
                row(format!("H.264 {profile}"), way, offer, &format!("video {back} 100"))
                    .has(&[&format!("a=fmtp:100 packetization-mode=1;profile-level-id={profile}\r\n")]),
            );
        }
    }
    for (params, answer) in [
        ("", Some("")),
        ("profile-id=1", Some("profile-id=1")),
        (
            "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST",
            Some("level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST"),
        ),
        ("profile-id=2; level-id=120; tier-flag=1", Some("profile-id=2;level-id=120;tier-flag=1")),
        (
            "profile-space=0;profile-id=4;interop-constraints=B00000000000;profile-compatibility-indicator=4;level-id=93",
            Some(
                "profile-space=0;profile-id=4;interop-constraints=B00000000000;profile-compatibility-indicator=4;level-id=93",
            ),
        ),
        // What a sender says of its own stream is none of ours.
        (
            "profile-id=1;sprop-vps=QAEMAf;sprop-sps=QgEB;sprop-pps=RAHB;sprop-max-don-diff=0",
            Some("profile-id=1"),
        ),
        ("tx-mode=MRST", None),
        ("sprop-max-don-diff=2", None),
        ("profile-id=main", None),
        ("profile-id=32", None),
    ] {
        for way in [Publish, Watch] {
            let (to, back) = (way_of(way), if way == Publish { "recvonly" } else { "sendonly" });
            let said = if params.is_empty() { String::new() } else { format!("a=fmtp:100 {params}\r\n") };
            let codec = format!("a=rtpmap:100 H265/90000\r\n{said}");
            // By WHEP one m-line that cannot be taken is refused alone.
            let lines = [sound("0", to), line("video 9 UDP/TLS/RTP/SAVPF 100", "1", to, &codec)];
            let name = format!("H.265 {params:?}");
            rows.push(match (answer, way) {
                (Some(answer), _) => {
                    let row =
                        row(name, way, offer("", &lines), &format!("audio {back} 111; video {back} 100"));
                    if answer.is_empty() { row } else { row.has(&[&format!("a=fmtp:100 {answer}\r\n")]) }
                }
                (None, Publish) => refused(name, way, offer("", &lines), "no format that is taken"),
                (None, Watch) => row(name, way, offer("", &lines), &format!("audio {back} 111; video 0")),
            });
        }
    }
    for (params, is_taken) in [
        ("", true),
        ("a=fmtp:100 packetization-mode=0\r\n", true),
        ("a=fmtp:100 profile-level-id=42e01f; packetization-mode=1 ;\r\n", true),
        ("a=fmtp:100 Packetization-Mode=1\r\n", true),
        ("a=fmtp:100 packetization-mode=2\r\n", false),
        ("a=fmtp:100 profile-level-id=42\r\n", false),
        ("a=fmtp:100 profile-level-id=zzzzzz\r\n", false),
    ] {
        let offer = offer(
            "",
            &[line(
                "video 9 UDP/TLS/RTP/SAVPF 100",
                "0",
                "sendonly",
                &format!("a=rtpmap:100 H264/90000\r\n{params}"),
            )],
        );
        rows.push(match is_taken {
            true => row(format!("H.264 {params:?}"), Publish, offer, "video recvonly 100"),
            false => refused(format!("H.264 {params:?}"), Publish, offer, "no format that is taken"),
        });
    }
    rows
}

/// What RFC 8866 allows around what matters, and directions, and groups.
fn sessions() -> Vec<Row> {
    let both = |more: &str| offer(more, &[sound("0", "sendonly"), picture("1", "sendonly")]);
    let taken = "audio recvonly 111; video recvonly 96,97";
    let mut rows: Vec<Row> = [
        ("two b=", both("").replace("c=IN IP4 0.0.0.0\r\n", "c=IN IP4 0.0.0.0\r\nb=AS:2500\r\nb=TIAS:2500000\r\n")),
        ("i=", both("").replace("c=IN IP4 0.0.0.0\r\n", "i=what it is\r\nc=IN IP4 0.0.0.0\r\n")),
        ("two c=", both("").replace("c=IN IP4 0.0.0.0\r\n", "c=IN IP4 224.2.1.1/127\r\nc=IN IP4 224.2.1.2/127\r\n")),
        ("k=", both("").replace("c=IN IP4 0.0.0.0\r\n", "c=IN IP4 0.0.0.0\r\nk=prompt\r\n")),
        ("no c=", both("").replace("c=IN IP4 0.0.0.0\r\n", "")),
        ("an empty name", both("").replace("s=-", "s= ")),
        ("a name of words", both("").replace("s=-", "s=Ann's camera")),
        ("all of a session's lines", both("").replace("s=-\r\n", "s=-\r\ni=x\r\nu=http://x\r\ne=x\r\np=+1\r\nc=IN IP6 ::1\r\nb=X-YZ:128\r\nb=CT:9\r\n")),
        ("times", both("").replace("t=0 0\r\n", "t=3034423619 3042462419\r\nr=7d 1h 0 25h\r\nt=0 0\r\nz=0 0\r\n")),
        ("a number of 64 bits", both("").replace("4611731400430051336", "18446744073709551615")),
        ("no number at all", both("").replace("4611731400430051336 2", "x y")),
        ("lines that end with LF", both("").replace("\r\n", "\n")),
        ("empty lines at the end", both("") + "\r\n\r\n"),
        ("blanks at the ends of lines", both("").replace("a=sendonly\r\n", "a=sendonly \r\n")),
        ("attributes nobody knows", both("a=x-this\r\na=x-that:1 2\r\na=tool:x\r\n")),
        ("candidates", both("") + "a=candidate:1 1 udp 2122260223 192.0.2.1 5000 typ host generation 0 network-cost 999\r\na=end-of-candidates\r\n"),
        ("a candidate with a name", both("") + "a=candidate:1 1 UDP 1 3b9e.local 5000 typ host\r\n"),
        ("another group first", both("a=group:LS 0 1\r\n").replace("a=group:BUNDLE 0 1\r\na=group:LS 0 1", "a=group:LS 0 1\r\na=group:BUNDLE 0 1")),
        ("a group in another order", both("").replace("BUNDLE 0 1", "BUNDLE 1 0")),
        ("a group with somebody who is not there", both("").replace("BUNDLE 0 1", "BUNDLE 0 1 2")),
        ("transport and certificate above all", both(&format!("{ICE}{SHA_256}a=setup:actpass\r\n")).replacen(ICE, "@", 1).replace(ICE, "").replace('@', ICE)),
        ("extensions above all", both("a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n")),
        ("extensions beyond the short form's numbers", both("a=extmap:15 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:4097 urn:x\r\n")),
        ("an extension with a direction", both("a=extmap:4/sendonly urn:ietf:params:rtp-hdrext:sdes:mid\r\n")),
        ("feedback for all formats", both("").replace("a=rtcp-fb:96 nack\r\n", "a=rtcp-fb:* nack\r\n")),
        ("attributes of formats that are not listed", both("") + "a=rtpmap:120 theora/90000\r\na=fmtp:120 x\r\n"),
        ("no direction, which is both", both("").replace("a=sendonly\r\n", "")),
        ("a direction above all", both("a=sendonly\r\n").replace("a=sendonly\r\na=rtcp-mux", "a=rtcp-mux")),
    ]
    .into_iter()
    .map(|(name, offer)| row(name, Publish, offer, taken))
    .collect();

    let single = |more: &str| format!("{HEAD}{more}{}", picture("0", "sendonly"));
    rows.push(row("one m-line without a group", Publish, single(""), "video recvonly 96,97"));
    rows.push(row(
        "one m-line without a mid",
        Publish,
        single("").replace("a=mid:0\r\n", ""),
        "video recvonly 96,97",
    ));
    rows.push(row(
        "one m-line to watch without a mid",
        Watch,
        single("").replace("a=mid:0\r\n", "").replace("sendonly", "recvonly"),
        "video sendonly 96,97",
    ));
    rows.push(refused(
        "two m-lines without a group",
        Publish,
        both("").replace("a=group:BUNDLE 0 1\r\n", ""),
        "in no BUNDLE group",
    ));
    rows.push(row(
        "one m-line outside of the group",
        Watch,
        both("").replace("BUNDLE 0 1", "BUNDLE 0").replace("sendonly", "recvonly"),
        "audio sendonly 111; video 0",
    ));
    rows.push(refused(
        "one m-line outside of the group that sends",
        Publish,
        both("").replace("BUNDLE 0 1", "BUNDLE 0"),
        "in no BUNDLE group",
    ));
    rows.push(row(
        "two groups",
        Watch,
        both("").replace("BUNDLE 0 1", "BUNDLE 0\r\na=group:BUNDLE 1").replace("sendonly", "recvonly"),
        "audio sendonly 111; video 0",
    ));
    rows.push(refused(
        "a mid twice",
        Publish,
        offer("", &[sound("0", "sendonly"), picture("0", "sendonly")]),
        "two m-lines have the mid",
    ));
    rows.push(refused(
        "no RTCP on the same port",
        Publish,
        both("").replace("a=rtcp-mux\r\n", ""),
        "a=rtcp-mux",
    ));
    for (name, text) in [
        ("no beginning", "o=- 1 1 IN IP4 0.0.0.0\r\n".to_owned()),
        ("nothing", String::new()),
        ("no SDP", "hello\r\n".into()),
    ] {
        rows.push(refused(name, Publish, text, "does not begin with v=0"));
    }
    rows.push(refused("no m-lines", Publish, HEAD.into(), "no m-lines"));
    rows.push(refused("a line that is none", Publish, both("what is this\r\n"), "is no line of SDP"));
    rows.push(refused(
        "an m-line that is none",
        Publish,
        format!("{HEAD}m=video\r\n"),
        "no medium, port and protocol",
    ));

    // Lines that carry nothing (RFC 3264 6, 8.2).
    let with = |lines: &[String]| offer("", lines);
    let no_port = |text: String| text.replacen(" 9 ", " 0 ", 1);
    for (name, lines, expected) in [
        (
            "an m-line with port 0 at the end",
            vec![sound("0", "sendonly"), no_port(picture("1", "sendonly"))],
            "audio recvonly 111; video 0",
        ),
        (
            "an m-line with port 0 at the beginning",
            vec![no_port(sound("0", "sendonly")), picture("1", "sendonly")],
            "audio 0; video recvonly 96,97",
        ),
        (
            "an inactive m-line",
            vec![sound("0", "sendonly"), picture("1", "inactive")],
            "audio recvonly 111; video inactive 96,97",
        ),
        (
            "an inactive m-line first",
            vec![sound("0", "inactive"), picture("1", "sendonly")],
            "audio inactive 111; video recvonly 96,97",
        ),
        (
            "leftover m-lines",
            vec![
                sound("0", "sendonly"),
                picture("1", "inactive"),
                picture("2", "inactive"),
                picture("3", "inactive"),
                picture("4", "sendonly"),
            ],
            "audio recvonly 111; video inactive 96,97; video inactive 96,97; video inactive 96,97; video recvonly 96,97",
        ),
        (
            "an m-line that only receives",
            vec![sound("0", "sendonly"), picture("1", "recvonly")],
            "audio recvonly 111; video inactive 96,97",
        ),
        (
            "both ways",
            vec![sound("0", "sendrecv"), picture("1", "sendrecv")],
            "audio recvonly 111; video recvonly 96,97",
        ),
        (
            "a bundled m-line without a port",
            vec![sound("0", "sendonly"), no_port(picture("1", "sendonly")) + "a=bundle-only\r\n"],
            "audio recvonly 111; video recvonly 96,97",
        ),
        (
            "text",
            vec![
                picture("0", "sendonly"),
                line("text 9 UDP/TLS/RTP/SAVPF 98", "1", "sendonly", "a=rtpmap:98 t140/1000\r\n"),
            ],
            "video recvonly 96,97; text 0",
        ),
        (
            "text first",
            vec![
                line("text 9 RTP/AVP 98", "1", "sendonly", "a=rtpmap:98 t140/1000\r\n"),
                picture("0", "sendonly"),
            ],
            "text 0; video recvonly 96,97",
        ),
        (
            "a fax",
            vec![picture("0", "sendonly"), line("image 9 udptl t38", "1", "sendonly", "")],
            "video recvonly 96,97; image 0",
        ),
        (
            "messages",
            vec![picture("0", "sendonly"), line("message 9 TCP/TLS/MSRP *", "1", "sendonly", "")],
            "video recvonly 96,97; message 0",
        ),
        (
            "data of another kind",
            vec![picture("0", "sendonly"), line("application 9 UDP/BFCP *", "1", "sendonly", "")],
            "video recvonly 96,97; application 0",
        ),
    ] {
        rows.push(row(name, Publish, with(&lines), expected));
    }
    rows.push(row(
        "who watches and also sends",
        Watch,
        with(&[sound("0", "sendrecv"), picture("1", "sendonly")]),
        "audio sendonly 111; video inactive 96,97",
    ));
    rows.push(row(
        "who watches with a codec nobody has",
        Watch,
        with(&[
            line("audio 9 UDP/TLS/RTP/SAVPF 0", "0", "recvonly", "a=rtpmap:0 PCMU/8000\r\n"),
            picture("1", "recvonly"),
        ]),
        "audio 0; video sendonly 96,97",
    ));
    rows.push(refused(
        "two microphones",
        Publish,
        with(&[sound("0", "sendonly"), sound("1", "sendonly")]),
        "one too many",
    ));
    rows.push(refused(
        "three cameras",
        Publish,
        with(&[picture("0", "sendonly"), picture("1", "sendonly"), picture("2", "sendonly")]),
        "one too many",
    ));
    rows
}

/// Certificates and ICE, and who begins.
fn transports() -> Vec<Row> {
    let with = |fingerprints: &str| offer("", &[picture("0", "sendonly")]).replace(SHA_256, fingerprints);
    let hex = |bytes: usize| vec!["AB"; bytes].join(":");
    let mut rows = Vec::new();
    for (hash, bytes) in
        [("sha-1", 20), ("sha-224", 28), ("sha-256", 32), ("SHA-256", 32), ("sha-384", 48), ("sha-512", 64)]
    {
        let offer = with(&format!("a=fingerprint:{hash} {}\r\n", hex(bytes)));
        rows.push(row(hash, Publish, offer, "video recvonly 96,97"));
    }
    rows.push(row("small letters", Publish, with(&SHA_256.to_lowercase()), "video recvonly 96,97"));
    rows.push(row(
        "two hashes",
        Publish,
        with(&format!("{SHA_256}a=fingerprint:sha-512 {}\r\n", hex(64))),
        "video recvonly 96,97",
    ));
    rows.push(row(
        "one hash that is known",
        Publish,
        with(&format!("a=fingerprint:md5 {}\r\n{SHA_256}", hex(16))),
        "video recvonly 96,97",
    ));
    rows.push(refused(
        "md5",
        Publish,
        with(&format!("a=fingerprint:md5 {}\r\n", hex(16))),
        "no hash that is known",
    ));
    rows.push(refused(
        "half a hash",
        Publish,
        with(&format!("a=fingerprint:sha-256 {}\r\n", hex(16))),
        "no hash that is known",
    ));
    rows.push(refused("no certificate", Publish, with(""), "a=fingerprint is missing"));
    let setup = |setup: &str| offer("", &[picture("0", "sendonly")]).replace("a=setup:actpass\r\n", setup);
    for (said, ours) in [
        ("a=setup:actpass\r\n", "passive"),
        ("a=setup:active\r\n", "passive"),
        ("a=setup:passive\r\n", "active"),
        ("", "passive"),
    ] {
        rows.push(
            row(said, Publish, setup(said), "video recvonly 96,97").has(&[&format!("a=setup:{ours}\r\n")]),
        );
    }
    rows.push(refused("nobody begins", Publish, setup("a=setup:holdconn\r\n"), "a=setup:holdconn"));
    rows.push(refused("no name", Publish, setup("").replace("a=ice-ufrag:abcd\r\n", ""), "a=ice-ufrag"));
    rows.push(refused(
        "no password",
        Publish,
        setup("").replace("a=ice-pwd:abcdefghijklmnopqrstuvwx\r\n", ""),
        "a=ice-pwd",
    ));
    rows.push(refused("ICE-lite", Publish, offer("a=ice-lite\r\n", &[picture("0", "sendonly")]), "ICE-lite"));
    rows
}

/// Layers, orders of codecs, and what formats say.
fn codecs() -> Vec<Row> {
    let layered = |more: &str| {
        offer("", &[line("video 9 UDP/TLS/RTP/SAVPF 96 97", "0", "sendonly", &format!("{VP8}{more}"))])
    };
    let taken = "video recvonly 96,97";
    let mut rows = Vec::new();
    for (simulcast, answer) in [
        ("send q;h;f", "a=simulcast:recv q;h;f"),
        ("send f;h;q", "a=simulcast:recv q;h;f"),
        ("send layer_1;layer_2", "a=simulcast:recv layer_2;layer_1"),
        ("send a-layer-of-a-long-name;b", "a=simulcast:recv b;a-layer-of-a-long-name"),
        ("send ~a;b,c recv x", "a=simulcast:recv b;a"),
        ("send only", "a=simulcast:recv only"),
        (" send rid=hi;lo", "a=simulcast: recv rid=lo;hi"),
        ("send 0;1;2;3", "a=simulcast:recv 2;1;0"),
    ] {
        rows.push(
            row(
                format!("simulcast:{simulcast}"),
                Publish,
                layered(&format!("{RIDS}a=simulcast:{simulcast}\r\n")),
                taken,
            )
            .has(&[&format!("{answer}\r\n")]),
        );
    }
    rows.push(
        row("heights of layers", Publish, layered(&format!("{RIDS}a=rid:a send max-height=180\r\na=rid:b send pt=96;max-height=720\r\na=simulcast:send a;b\r\n")), taken)
            .has(&["a=simulcast:recv a;b\r\n"]),
    );
    let orders = [
        ("96 97 98 102 45", "96,97,98,102,45"),
        ("102 96 97", "102,96,97"),
        ("45 98 102 96 97", "45,98,102,96,97"),
        ("98", "98"),
        ("97 96", "96,97"),
        ("99 100 102", "102"),
    ];
    for (order, answer) in orders {
        for way in [Publish, Watch] {
            let (to, back) = (way_of(way), if way == Publish { "recvonly" } else { "sendonly" });
            let listed = line(
                &format!("video 9 UDP/TLS/RTP/SAVPF {order}"),
                "0",
                to,
                &format!("{VP8}{VP9}{H264}{AV1}a=rtpmap:99 theora/90000\r\na=rtpmap:100 VP7/90000\r\n"),
            );
            rows.push(row(
                format!("in the order {order}"),
                way,
                offer("", &[listed]),
                &format!("video {back} {answer}"),
            ));
        }
    }
    for (profile, map) in [
        ("profile-id=2", "VP9"),
        ("profile-id=1", "VP9"),
        ("profile=1", "AV1"),
        ("level-idx=19;profile=0;tier=1", "AV1"),
    ] {
        let listed = line(
            "video 9 UDP/TLS/RTP/SAVPF 100",
            "0",
            "sendonly",
            &format!("a=rtpmap:100 {map}/90000\r\na=fmtp:100 {profile}\r\n"),
        );
        rows.push(
            row(format!("{map} {profile}"), Publish, offer("", &[listed]), "video recvonly 100")
                .has(&[&format!("a=fmtp:100 {profile}\r\n")]),
        );
    }
    let opus = |params: &str, way: &str| {
        let params = if params.is_empty() { String::new() } else { format!("a=fmtp:111 {params}\r\n") };
        offer(
            "",
            &[line(
                "audio 9 UDP/TLS/RTP/SAVPF 111",
                "0",
                way,
                &format!("a=rtpmap:111 opus/48000/2\r\n{params}"),
            )],
        )
    };
    let plain = "a=fmtp:111 minptime=10;useinbandfec=1";
    for (params, way, expected, more) in [
        ("", "sendonly", "audio recvonly 111", "\r\n"),
        ("minptime=10;useinbandfec=1", "sendonly", "audio recvonly 111", "\r\n"),
        ("sprop-stereo=1", "sendonly", "audio recvonly 111", ";stereo=1\r\n"),
        ("stereo=1;sprop-stereo=1", "sendonly", "audio recvonly 111", ";stereo=1\r\n"),
        ("stereo=0", "sendonly", "audio recvonly 111", "\r\n"),
        ("usedtx=1", "sendonly", "audio recvonly 111", ";usedtx=1\r\n"),
        (
            "minptime=10; useinbandfec=1; stereo=1",
            "recvonly",
            "audio sendonly 111",
            ";stereo=1;sprop-stereo=1\r\n",
        ),
        ("", "recvonly", "audio sendonly 111", "\r\n"),
    ] {
        let side = if way == "sendonly" { Publish } else { Watch };
        rows.push(
            row(format!("opus {params}"), side, opus(params, way), expected)
                .has(&[&format!("{plain}{more}")]),
        );
    }
    for map in ["OPUS/48000/2", "Opus/48000/2"] {
        rows.push(row(map, Publish, opus("", "sendonly").replace("opus/48000/2", map), "audio recvonly 111"));
    }
    rows.push(refused(
        "a payload type of two codecs",
        Publish,
        offer("", &[sound("0", "sendonly").replace("111", "96"), picture("1", "sendonly")]),
        "have another meaning",
    ));
    rows.push(refused(
        "mono Opus, which is none",
        Publish,
        opus("", "sendonly").replace("opus/48000/2", "opus/48000"),
        "no format that is taken",
    ));
    rows.push(refused(
        "RED of another codec",
        Publish,
        opus("", "sendonly").replace("opus/48000/2", "red/48000/2"),
        "no format that is taken",
    ));
    rows
}

fn corpus() -> Vec<Row> {
    [agents(), names(), sessions(), transports(), codecs()].into_iter().flatten().collect()
}

fn answer(shard: &mut Shard, peer: u64, row: &Row, now: Instant) -> Result<String, String> {
    let answer = match row.way {
        Publish => {
            shard.publish(PeerId(peer), RoomKey(peer), &"ann".into(), &row.offer, &[], Rights::ALL, now)
        }
        Watch => shard.watch(PeerId(peer), &row.offer, &[], None, now),
    };
    answer.map(|answer| answer.sdp).map_err(|error| error.to_string())
}

/// What is wrong with the answer to an offer.
fn trouble(row: &Row, got: &Result<String, String>) -> Option<String> {
    match (&row.expected, got) {
        (Err(reason), Err(told)) if told.contains(reason.as_str()) => None,
        (Ok(expected), Ok(answer)) => {
            if let Err(trouble) = require_fit(&row.offer, answer) {
                return Some(format!("{trouble}\n{answer}"));
            }
            let summary = summary(answer);
            if !expected.is_empty() && summary != *expected {
                return Some(format!("got {summary:?}, not {expected:?}"));
            }
            let missing = row.has.iter().find(|line| !answer.contains(line.as_str()))?;
            Some(format!("{missing:?} is missing in\n{answer}"))
        }
        (expected, got) => Some(format!("got {got:?}, not {expected:?}")),
    }
}

#[test]
fn every_offer_gets_the_answer_it_must_get() {
    let mut world = World::new();
    let rows = corpus();
    assert!(rows.len() >= 150, "{} offers", rows.len());

    let mut wrong = Vec::new();
    for (row, peer) in rows.iter().zip(100..) {
        let got = answer(&mut world.shard, peer, row, world.now);
        wrong.extend(trouble(row, &got).map(|trouble| format!("{} ({:?}): {trouble}", row.name, row.way)));
    }

    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// The same offer again, and the same with ICE begun anew, is answered alike: also in what the library has learned of it by then.
#[test]
fn offers_are_answered_alike_again() {
    let mut world = World::new();
    let mut wrong = Vec::new();
    for (mut row, peer) in corpus().into_iter().filter(|row| row.expected.is_ok()).zip(1000..) {
        let first = answer(&mut world.shard, peer, &row, world.now).unwrap();
        let again = answer(&mut world.shard, peer, &row, world.now).unwrap();
        row.offer = row.offer.replace("a=ice-ufrag:", "a=ice-ufrag:x");
        let restarted = answer(&mut world.shard, peer, &row, world.now).unwrap();
        let name = |sdp: &str| values(sdp, "ice-ufrag").first().map(|name| name.to_string());
        if summary(&first) != summary(&again) || name(&first) != name(&again) {
            wrong.push(format!("{}: {} and then {}", row.name, summary(&first), summary(&again)));
        }
        if summary(&first) != summary(&restarted) || name(&first) == name(&restarted) {
            wrong.push(format!("{}: {} and begun anew {}", row.name, summary(&first), summary(&restarted)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A browser's page prefers other codecs from offer to offer, drops some, and adds some that it did not offer at first.
#[test]
fn later_offers_have_codecs_of_their_own() {
    let mut world = World::new();
    let codecs = format!("{VP8}{VP9}{H264}{AV1}a=rtcp-fb:102 transport-cc\r\n");
    let formats = ["96 97", "102 96 97", "45 102", "98 96 97 45", "102"];
    let answers = ["96,97", "102,96,97", "45,102", "98,96,97,45", "102"];

    for (formats, expected) in formats.into_iter().zip(answers) {
        let video = line(&format!("video 9 UDP/TLS/RTP/SAVPF {formats}"), "0", "sendonly", &codecs);
        let row = row(formats, Publish, offer("", &[video]), &format!("video recvonly {expected}"));
        let got = answer(&mut world.shard, 7, &row, world.now);
        assert_eq!(trouble(&row, &got), None);
    }
}

/// An m-line that a browser has stopped is used for another (RFC 8829 5.2.2).
#[test]
fn m_lines_are_used_again_under_other_names() {
    let mut world = World::new();
    for way in [Publish, Watch] {
        for round in 0..60_u64 {
            let (to, back) = (way_of(way), if way == Publish { "recvonly" } else { "sendonly" });
            let stopped = picture("never", to).replacen(" 9 ", " 0 ", 1);
            let lines = match round % 2 {
                0 => [sound("s", to), picture(&format!("v{round}"), to)],
                _ => [sound("s", to), stopped],
            };
            let expected = match round % 2 {
                0 => format!("audio {back} 111; video {back} 96,97"),
                _ => format!("audio {back} 111; video 0"),
            };
            let row = row(format!("round {round}"), way, offer("", &lines), &expected);
            let got = answer(&mut world.shard, 8 + u64::from(way == Watch), &row, world.now);
            assert_eq!(trouble(&row, &got), None, "{way:?} {round}");
        }
    }
}

/// A packet's beginning: its stream, payload type, and what its extensions 4, 10 and 11 say.
fn head(ssrc: u32, number: u8, names: &[(u8, &str)]) -> Vec<u8> {
    let mut packet = vec![0x90, number, 0, 1, 0, 0, 0, 0];
    packet.extend(ssrc.to_be_bytes());
    // The long form, which has room for any name.
    packet.extend([0x10, 0, 0, 0]);
    let start = packet.len();
    for (id, name) in names {
        packet.extend([*id, name.len() as u8]);
        packet.extend(name.as_bytes());
    }
    packet.resize(start + (packet.len() - start).next_multiple_of(4), 0);
    packet[start - 1] = ((packet.len() - start) / 4) as u8;
    packet.extend([0; 20]);
    packet
}

/// Where packets of an offer's streams belong: those of `packets` that are told apart, by kind and layer.
fn placed(offer: &str, packets: &[Vec<u8>]) -> Vec<Option<(StreamKind, usize)>> {
    let mut world = World::new();
    world.shard.publish(PeerId(1), RoomKey(1), &"ann".into(), offer, &[], Rights::ALL, world.now).unwrap();
    let now = world.now;
    let peer = world.shard.peers[0].as_deref_mut().unwrap();
    let Peer { role: Role::Publisher(publisher), rtc, .. } = peer else { panic!("a viewer") };
    let place = |packet: &Vec<u8>| {
        let ssrc = u32::from_be_bytes(packet[8..12].try_into().unwrap());
        if publisher.admit(rtc, packet, now) { publisher.whose(ssrc, now) } else { None }
    };
    packets.iter().map(place).collect()
}

/// RFC 9143 9.2, RFC 8852.
#[test]
fn packets_are_told_apart_by_name_then_by_ssrc_then_by_payload_type() {
    use StreamKind::{Audio, Main, Sub};
    let mid = "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n";
    let cameras = |more: [&str; 2]| {
        let camera = |name: &str, more: &str| {
            line("video 9 UDP/TLS/RTP/SAVPF 96 97", name, "sendonly", &format!("{VP8}{more}"))
        };
        offer(mid, &[sound("s", "sendonly"), camera("one-{x}", more[0]), camera("two", more[1])])
    };
    let plain = offer("", &[sound("s", "sendonly"), picture("p", "sendonly")]);
    let announced =
        cameras(["a=ssrc:7 cname:x\r\n", "a=ssrc-group:FID 8 9\r\na=ssrc:8 cname:x\r\na=ssrc:9 cname:x\r\n"]);
    let layers = offer(
        "",
        &[line(
            "video 9 UDP/TLS/RTP/SAVPF 96 97",
            "p",
            "sendonly",
            &format!("{VP8}{RIDS}a=simulcast:send layer_of_a_long_name;b-2\r\n"),
        )],
    );

    // By payload type, where it is one m-line's.
    assert_eq!(
        placed(&plain, &[head(1, 111, &[]), head(2, 96, &[]), head(3, 50, &[])]),
        [Some((Audio, 0)), Some((Main, 0)), None]
    );
    // Two m-lines have it.
    assert_eq!(placed(&cameras(["", ""]), &[head(1, 96, &[]), head(2, 111, &[])]), [None, Some((Audio, 0))]);
    assert_eq!(
        placed(
            &cameras(["", ""]),
            &[
                head(1, 96, &[(4, "two")]),
                head(2, 96, &[(4, "one-{x}")]),
                head(3, 96, &[(4, "three")]),
                head(1, 96, &[])
            ]
        ),
        [Some((Sub, 0)), Some((Main, 0)), None, Some((Sub, 0))]
    );
    assert_eq!(
        placed(&announced, &[head(8, 96, &[]), head(7, 96, &[]), head(10, 96, &[])]),
        [Some((Sub, 0)), Some((Main, 0)), None]
    );
    // A stream may go over to another m-line, and says so.
    assert_eq!(
        placed(&announced, &[head(7, 96, &[]), head(7, 96, &[(4, "two")])]),
        [Some((Main, 0)), Some((Sub, 0))]
    );
    let rid = |ssrc, rid| head(ssrc, 96, &[(4, "p"), (10, rid)]);
    assert_eq!(
        placed(
            &layers,
            &[rid(1, "layer_of_a_long_name"), rid(2, "b-2"), rid(3, "c"), head(4, 96, &[(4, "p")])]
        ),
        [Some((Main, 1)), Some((Main, 0)), None, None]
    );
    // Of layers that were agreed on one comes, without a name: it is all there is.
    assert_eq!(placed(&layers, &[head(4, 96, &[(4, "p")]), rid(1, "b-2")]), [Some((Main, 0)), None]);
    // Of one that was agreed on several come: the first is heard.
    assert_eq!(
        placed(&plain, &[head(2, 96, &[(10, "a")]), head(3, 96, &[(10, "b")])]),
        [Some((Main, 0)), None]
    );
    // Retransmissions of nothing may come before anything else; they are no stream, but are reported.
    assert_eq!(
        placed(&layers, &[head(9, 97, &[(4, "p"), (11, "b-2")]), rid(2, "b-2")]),
        [None, Some((Main, 0))]
    );
}

/// Feedback by stream is for whoever receives, and answered where it is offered (RFC 8888 6).
#[test]
fn feedback_by_stream_is_answered_to_who_receives() {
    let mut world = World::new();
    let asking = format!("{VP8}a=rtcp-fb:* ack ccfb\r\n");
    for (peer, way, more, count) in
        [(20, Watch, asking.as_str(), 1), (21, Watch, VP8, 0), (22, Publish, asking.as_str(), 0)]
    {
        let video = line("video 9 UDP/TLS/RTP/SAVPF 96 97", "0", way_of(way), more);
        let back = if way == Publish { "recvonly" } else { "sendonly" };
        let row = row("feedback", way, offer("", &[video]), &format!("video {back} 96,97"));
        let got = answer(&mut world.shard, peer, &row, world.now);
        assert_eq!(trouble(&row, &got), None);
        assert_eq!(got.unwrap().matches("a=rtcp-fb:* ack ccfb\r\n").count(), count, "{way:?}");
    }
}

/// What a browser learns of the way it sends on, it learns from its pictures: while only sound goes, it would forget it.
#[test]
fn only_pictures_of_publishers_have_feedback_of_the_whole_transport() {
    let mut world = World::new();
    let numbered = "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\na=rtcp-fb:* transport-cc\r\n";
    for (peer, way, expected) in [(20, Publish, [0, 1]), (21, Watch, [1, 1])] {
        let lines = [sound("0", way_of(way)) + numbered, picture("1", way_of(way)) + numbered];
        let back = if way == Publish { "recvonly" } else { "sendonly" };
        let summary = format!("audio {back} 111; video {back} 96,97");
        let row = row("feedback", way, offer("", &lines), &summary);
        let got = answer(&mut world.shard, peer, &row, world.now);
        assert_eq!(trouble(&row, &got), None);
        let got = got.unwrap();
        let sections: Vec<&str> = got.split("\r\nm=").skip(1).collect();
        for (section, expected) in sections.iter().zip(expected) {
            for text in ["a=extmap:3 ", " transport-cc\r\n"] {
                assert_eq!(section.matches(text).count(), expected, "{way:?} {text}: {section}");
            }
        }
    }
}

/// A player hears of nothing later: an m-line is refused of which nothing would come by a codec that it takes, as long as another is
/// not. A page is told by an event.
#[test]
fn a_player_is_refused_what_it_could_not_decode() {
    let mut world = World::new();
    let publish = |world: &mut World, lines: &[String]| {
        let offer = offer("", lines);
        let ann = &"ann".into();
        world.shard.publish(PeerId(900), RoomKey(1), ann, &offer, &[], Rights::ALL, world.now).unwrap();
    };
    let key = |kind| SourceKey { room: RoomKey(1), user: "ann".into(), kind };
    let watched =
        |mid: &str, kind| Watched { mid: mid.into(), source: Some(key(kind)), wanted: Wanted::default() };
    let streams = [watched("0", StreamKind::Audio), watched("1", StreamKind::Main)];
    let h264 = |mid: &str| line("video 9 UDP/TLS/RTP/SAVPF 102", mid, "recvonly", H264);
    let both = offer("", &[sound("0", "recvonly"), h264("1")]);
    let why = |world: &World, offer: &str, streams: &[Watched]| {
        let wanted = streams.iter().filter_map(|one| Some((one.mid.as_str(), one.source.as_ref()?)));
        crate::taking::untaken(&Offer::read(offer).unwrap(), wanted, &world.shard.shared.sources)
    };

    // Before anybody publishes, nobody knows.
    let early = world.shard.shared.new_peer(keys::Client::Other);
    let answer = world.shard.watch(early, &both, &streams, None, world.now).unwrap();
    assert_eq!(summary(&answer.sdp), "audio sendonly 111; video sendonly 102");
    publish(&mut world, &[sound("0", "sendonly"), picture("1", "sendonly")]);
    for (client, expected) in [
        (keys::Client::Other, "audio sendonly 111; video 0"),
        (keys::Client::Browser, "audio sendonly 111; video sendonly 102"),
    ] {
        let peer = world.shard.shared.new_peer(client);
        for (ice, streams) in [("", &streams[..]), ("x", &[])] {
            let offer = both.replace("a=ice-ufrag:", &format!("a=ice-ufrag:{ice}"));
            let answer = world.shard.watch(peer, &offer, streams, None, world.now).unwrap();
            assert_eq!(require_fit(&offer, &answer.sdp), Ok(()));
            assert_eq!(summary(&answer.sdp), expected, "{client:?} {ice}");
        }
    }

    // Nothing at all would come.
    let alone = offer("", &[h264("1")]);
    assert_eq!(why(&world, &both, &streams), None);
    let told = why(&world, &alone, &streams[1..]).unwrap();
    assert_eq!(told, "ann sends VP8, of which the offer takes nothing");
    // It may come by either, until it is seen to come by one.
    let either = format!("{VP8}{H264}");
    publish(
        &mut world,
        &[sound("0", "sendonly"), line("video 9 UDP/TLS/RTP/SAVPF 96 97 102", "1", "sendonly", &either)],
    );
    assert_eq!(why(&world, &alone, &streams[1..]), None);
    let source = world.shard.shared.sources.get(&key(StreamKind::Main));
    source.note_codec(0, crate::payload::CodecKey::plain_vp8());
    assert_eq!(why(&world, &alone, &streams[1..]).as_deref(), Some(told.as_str()));
}

/// Its picture would stand still, or never come, with nobody to tell it; begun anew it gets the sound, and is answered that there is no more.
#[test]
fn a_player_whose_picture_turns_out_to_be_of_another_codec_is_ended_though_it_hears() {
    for (client, is_ended) in [(keys::Client::Other, true), (keys::Client::Browser, false)] {
        let mut world = World::new();
        let at = world.client_with(|codecs| codecs.enable_opus(true, false).enable_h264(true));
        let mut api = world.clients[at].rtc.sdp_api();
        let mids = [MediaKind::Audio, MediaKind::Video]
            .map(|kind| api.add_media(kind, Direction::RecvOnly, None, None, None));
        let (offered, pending) = api.apply().unwrap();
        let watched = |mid: str0m::media::Mid, kind| Watched {
            mid: mid.to_string(),
            source: Some(SourceKey { room: RoomKey(1), user: "ann".into(), kind }),
            wanted: Wanted::default(),
        };
        let streams = [watched(mids[0], StreamKind::Audio), watched(mids[1], StreamKind::Main)];
        let peer = world.shard.shared.new_peer(client);
        let answer = world.shard.watch(peer, &offered.to_sdp_string(), &streams, None, world.now).unwrap();
        world.accept(at, pending, &answer);
        world.run(Duration::from_secs(2), &[]);

        let (ann, sent) = ("ann".into(), offer("", &[sound("0", "sendonly"), picture("1", "sendonly")]));
        world.shard.publish(PeerId(900), RoomKey(1), &ann, &sent, &[], Rights::ALL, world.now).unwrap();
        world.run(Duration::from_secs(9), &[]);
        let ended = Event::Lost(peer, Some(UNTAKEN.into()));
        assert!(!world.shard.events.contains(&ended), "it may be that it changes back");
        world.run(Duration::from_secs(3), &[]);

        assert_eq!(world.shard.events.contains(&ended), is_ended, "{client:?}");
    }
}

/// A camera that comes back may do so in the place that it had, or in a new one: it is to have its layers again. A browser's sender
/// loses layers that an answer does not have, and of extensions offers only those for what is new that all answers had.
#[test]
fn layers_outlive_the_time_in_which_nothing_flows() {
    let layers = "a=rid:q send\r\na=rid:f send\r\na=simulcast:send q;f\r\n";
    let mut world = World::new();
    for (peer, way, more, expected) in [
        (20, "sendonly", layers, (3, 2, 1)),
        (20, "inactive", layers, (3, 2, 1)),
        (20, "sendonly", layers, (3, 2, 1)),
        (21, "sendonly", "", (3, 0, 0)),
        (22, "inactive", "", (3, 0, 0)),
        // Who only receives has none.
        (23, "recvonly", "", (1, 0, 0)),
    ] {
        let lines = [sound("0", "sendonly"), picture("1", way) + RIDS + more];
        let back = if way == "sendonly" { "recvonly" } else { "inactive" };
        let row = row(way, Publish, offer("", &lines), &format!("audio recvonly 111; video {back} 96,97"));
        let got = answer(&mut world.shard, peer, &row, world.now);
        assert_eq!(trouble(&row, &got), None);
        let count = |text: &str| got.as_ref().unwrap().matches(text).count();
        let found = (count("a=extmap:"), count("a=rid:"), count("a=simulcast:recv q;f\r\n"));
        assert_eq!(found, expected, "{way} {more}");
    }
}
