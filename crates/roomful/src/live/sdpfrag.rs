//! ICE by itself, without a whole offer: the fragments of SDP (RFC 8840 9) that WHIP and WHEP carry in `PATCH`.

use std::fmt::Write as _;

/// What a client says of ICE in a fragment. Its candidates are not read: an ICE-lite server answers wherever a check
/// comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fragment<'a> {
    /// The name and the password, when they are given.
    pub(super) credentials: Option<Credentials<'a>>,
}

/// Of one ICE session (RFC 8839 5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Credentials<'a> {
    name: &'a str,
    password: &'a str,
}

const NAME: &str = "a=ice-ufrag:";
const PASSWORD: &str = "a=ice-pwd:";

impl<'a> Credentials<'a> {
    /// The first ones in an offer or a fragment; with bundling there are no others.
    fn find(sdp: &'a str) -> Option<Self> {
        let value = |prefix: &str| sdp.lines().find_map(|line| line.trim_end().strip_prefix(prefix));
        Some(Self { name: value(NAME)?, password: value(PASSWORD)? })
    }

    fn is_valid(&self) -> bool {
        let is_word =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte));
        is_word(self.name)
            && is_word(self.password)
            && (4..=256).contains(&self.name.len())
            && (22..=256).contains(&self.password.len())
    }

    /// Whether they are those of an offer.
    pub(super) fn are_of(&self, offer: &str) -> bool {
        Credentials::find(offer).is_some_and(|known| known == *self)
    }

    /// The offer that starts ICE over with them, and changes nothing else.
    pub(super) fn restart(&self, offer: &str) -> String {
        let mut restarted = String::with_capacity(offer.len());
        for line in offer.lines().map(str::trim_end) {
            // Writing to a string cannot fail.
            let _ = if line.starts_with(NAME) {
                write!(restarted, "{NAME}{}\r\n", self.name)
            } else if line.starts_with(PASSWORD) {
                write!(restarted, "{PASSWORD}{}\r\n", self.password)
            } else if line.starts_with("a=candidate:") || line == "a=end-of-candidates" {
                Ok(())
            } else {
                write!(restarted, "{line}\r\n")
            };
        }
        restarted
    }
}

/// Reads a fragment. `None` when it is none.
pub(super) fn read(text: &str) -> Option<Fragment<'_>> {
    let is_line = |line: &str| matches!(line.as_bytes(), [b'a'..=b'z', b'=', ..]);
    let mut lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).peekable();
    lines.peek()?;
    if !lines.all(is_line) {
        return None;
    }
    let credentials = Credentials::find(text);
    let is_half = credentials.is_none() && [NAME, PASSWORD].iter().any(|part| text.contains(part));
    if is_half || credentials.is_some_and(|credentials| !credentials.is_valid()) {
        return None;
    }
    Some(Fragment { credentials })
}

/// What an answer says of ICE.
pub(super) fn of_answer(answer: &str) -> String {
    let (session, media) = answer.split_once("\r\nm=").unwrap_or((answer, ""));
    // M-lines that were turned down, and those that only go with the others, say nothing of it.
    let sections = || media.split("\r\nm=");
    let first = sections().find(|section| section.contains("a=candidate:")).or_else(|| sections().next());
    let first = first.unwrap_or_default();
    let mut fragment = String::new();
    let mut keep = |line: &str, prefixes: &[&str]| {
        if prefixes.iter().any(|prefix| line.starts_with(prefix)) {
            fragment.push_str(line);
            fragment.push_str("\r\n");
        }
    };
    for line in session.lines() {
        keep(line, &["a=ice-lite", "a=ice-options:", "a=group:"]);
    }
    keep(&format!("m={}", first.lines().next().unwrap_or_default()), &["m="]);
    for line in first.lines() {
        keep(
            line,
            &[
                "a=mid:",
                "a=ice-lite",
                "a=ice-options:",
                NAME,
                PASSWORD,
                "a=candidate:",
                "a=end-of-candidates",
            ],
        );
    }
    fragment
}

#[cfg(test)]
mod tests {
    use super::*;

    const PWD: &str = "abcdefghijklmnopqrstuvwx";

    #[test]
    fn fragments_are_read() {
        let named = format!("a=ice-ufrag:EsAw\r\na=ice-pwd:{PWD}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n");
        let credentials = Some(Credentials { name: "EsAw", password: PWD });
        for (text, expected) in [
            (named.as_str(), Some(credentials)),
            ("a=end-of-candidates\n", Some(None)),
            ("", None),
            ("hello", None),
            ("A=x", None),
            ("a=ice-ufrag:EsAw", None),
            ("a=ice-pwd:abcdefghijklmnopqrstuvwx", None),
            ("a=ice-ufrag:EsA\na=ice-pwd:abcdefghijklmnopqrstuvwx", None),
            ("a=ice-ufrag:EsAw\na=ice-pwd:short", None),
            ("a=ice-ufrag:Es w\na=ice-pwd:abcdefghijklmnopqrstuvwx", None),
        ] {
            assert_eq!(read(text).map(|fragment| fragment.credentials), expected, "{text:?}");
        }
    }

    #[test]
    fn a_restart_changes_nothing_but_ice() {
        let offer = format!(
            "v=0\r\nm=audio 9 X 1\r\na=ice-ufrag:old1\r\na=ice-pwd:{PWD}\r\na=candidate:1 1 udp 1 1.2.3.4 5 typ host\r\n\
             a=mid:0\r\nm=video 9 X 2\r\na=ice-ufrag:old1\r\na=ice-pwd:{PWD}\r\na=end-of-candidates\r\n"
        );
        let fresh = Credentials { name: "new1", password: "zyxwvutsrqponmlkjihgfe" };

        let restarted = fresh.restart(&offer);

        assert_eq!(
            restarted,
            "v=0\r\nm=audio 9 X 1\r\na=ice-ufrag:new1\r\na=ice-pwd:zyxwvutsrqponmlkjihgfe\r\na=mid:0\r\n\
             m=video 9 X 2\r\na=ice-ufrag:new1\r\na=ice-pwd:zyxwvutsrqponmlkjihgfe\r\n"
        );
        assert!(fresh.are_of(&restarted) && !fresh.are_of(&offer));
    }

    #[test]
    fn an_answer_is_cut_to_its_ice() {
        let answer = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\na=group:BUNDLE 0 1\r\na=ice-lite\r\na=fingerprint:x\r\n\
            m=text 0 RTP/AVP 0\r\na=mid:t\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=candidate:1\r\na=recvonly\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=ice-ufrag:u\r\n";

        assert_eq!(
            of_answer(answer),
            "a=group:BUNDLE 0 1\r\na=ice-lite\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:u\r\n\
             a=ice-pwd:p\r\na=candidate:1\r\n"
        );
    }
}
