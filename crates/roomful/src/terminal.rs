//! With what somebody comes: what it says itself, and what its `User-Agent` says where it does not.

use std::net::IpAddr;

use axum::http::header::USER_AGENT;
use axum::http::{HeaderMap, HeaderName};
use rooms::Client;

/// The cloud's numbers of kinds of terminals (TerminalType).
const WINDOWS: u8 = 1;
const ANDROID: u8 = 2;
const IOS: u8 = 3;
const LINUX: u8 = 4;
const OTHER: u8 = 100;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Where a request came from: its connection's other end, or whom a proxy on this machine names.
pub(crate) fn address(peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    if !peer.to_canonical().is_loopback() {
        return peer;
    }
    // The last is the proxy's own word, what is before it anybody's.
    let last = headers.get_all(FORWARDED_FOR).iter().next_back().and_then(|value| value.to_str().ok());
    let named = last.and_then(|list| list.rsplit(',').next()?.trim().parse().ok());
    named.unwrap_or(peer)
}

/// A client as its `User-Agent` has it.
pub(crate) fn client(headers: &HeaderMap, address: String) -> Client {
    let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (terminal, system) = system(agent);
    let device = match browser(agent) {
        Some(browser) if system.is_empty() => browser,
        Some(browser) => format!("{browser}, {system}"),
        // A program's name, up to what it says of its machine.
        None => {
            let named = agent.strip_prefix("Mozilla/5.0 (").unwrap_or(agent);
            named.split([';', '(']).next().unwrap_or_default().trim().to_owned()
        }
    };
    let device = cut(&device, Client::MAX_DEVICE).into();
    Client { sdk: "".into(), device, terminal, address: address.into() }
}

/// Text of at most so many bytes.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let text: String = text.chars().filter(|letter| !letter.is_control()).collect();
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}

fn system(agent: &str) -> (u8, &'static str) {
    // Android's is Linux too, and iPads say that they are Macs unless asked by their names.
    let known = [
        ("Windows", WINDOWS, "Windows"),
        ("Android", ANDROID, "Android"),
        ("iPhone", IOS, "iOS"),
        ("iPad", IOS, "iOS"),
        ("Macintosh", OTHER, "macOS"),
        ("CrOS", OTHER, "ChromeOS"),
        ("Linux", LINUX, "Linux"),
    ];
    let found = known.iter().find(|(mark, ..)| agent.contains(mark));
    found.map_or((OTHER, ""), |(_, terminal, name)| (*terminal, name))
}

/// A browser and its version. Most say that they are several: the one that says so of itself alone comes first.
fn browser(agent: &str) -> Option<String> {
    if !agent.starts_with("Mozilla/") {
        return None;
    }
    let known = [("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome")];
    let known =
        known.into_iter().chain([("CriOS/", "Chrome"), ("FxiOS/", "Firefox"), ("Version/", "Safari")]);
    known.filter_map(|(mark, name)| Some((agent.split_once(mark)?.1, name))).next().map(|(rest, name)| {
        let version: String = rest.chars().take_while(char::is_ascii_digit).collect();
        format!("{name} {version}")
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn what_somebody_comes_with_is_read_from_what_it_sends() {
        for (agent, terminal, device) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
                LINUX,
                "Chrome 142, Linux",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
                IOS,
                "Safari 18, iOS",
            ),
            (
                "Mozilla/5.0 (Linux; Android 15; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
                ANDROID,
                "Chrome 141, Android",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
                WINDOWS,
                "Edge 142, Windows",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:145.0) Gecko/20100101 Firefox/145.0",
                OTHER,
                "Firefox 145, macOS",
            ),
            ("Mozilla/5.0 (OBS-Studio/30.2.3; Linux x86_64; en-US)", LINUX, "OBS-Studio/30.2.3"),
            (
                "GStreamer souphttpsrc 1.22.0 libsoup/3.2.2",
                OTHER,
                "GStreamer souphttpsrc 1.22.0 libsoup/3.2.2",
            ),
            ("", OTHER, ""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, HeaderValue::from_static(agent));

            let client = client(&headers, "192.0.2.7".into());

            assert_eq!((client.terminal, &*client.device), (terminal, device), "{agent}");
        }
        assert_eq!(cut(&"张".repeat(30), 64).len(), 63);
        assert_eq!(cut("a\nb", 64), "ab");
    }

    #[test]
    fn only_a_proxy_on_this_machine_is_believed() {
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED_FOR, HeaderValue::from_static("10.9.9.9, 192.0.2.7"));
        let from = |peer: &str| address(peer.parse().unwrap(), &headers).to_string();

        assert_eq!(from("127.0.0.1"), "192.0.2.7");
        assert_eq!(from("::1"), "192.0.2.7");
        assert_eq!(from("198.51.100.4"), "198.51.100.4");
        assert_eq!(address("127.0.0.1".parse().unwrap(), &HeaderMap::new()).to_string(), "127.0.0.1");
    }
}
