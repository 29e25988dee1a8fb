//! What a client's browser is told of servers that help it through its network: this server's own relay, and TURN servers
//! that the operator has beside it, with credentials made for the client (coturn's shared-secret scheme:
//! draft-uberti-behave-turn-rest-00).

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use media::Media;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::Serialize;
use sha1::Sha1;

use super::Live;
use crate::config::{self, Config};
use crate::tls;
use crate::told::Node;

/// An entry of a browser's `iceServers`.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct IceServer {
    urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
}

impl IceServer {
    /// As the `Link` headers of WHIP (RFC 9725 4.6).
    pub(crate) fn links(&self) -> impl Iterator<Item = String> + '_ {
        self.urls.iter().map(|url| match (&self.username, &self.credential) {
            (Some(username), Some(credential)) => format!(
                r#"<{url}>; rel="ice-server"; username="{username}"; credential="{credential}"; credential-type="password""#
            ),
            _ => format!(r#"<{url}>; rel="ice-server""#),
        })
    }
}

/// The servers for a session of `user` that came by that node; their credentials hold for the configured time.
pub(crate) async fn servers(
    config: &config::Media,
    live: &Live,
    (user, session): (&str, &str),
    node: Option<Node>,
    now_seconds: u64,
) -> Vec<IceServer> {
    let mut servers = others(config, user, now_seconds);
    let username = format!("{}:{session}", now_seconds + config.turn_lifetime.as_secs());
    if let Some((urls, credential)) = live.units().relay(node, live.relay_urls(), &username).await {
        servers.push(IceServer { urls, username: Some(username), credential: Some(credential) });
    }
    servers
}

/// Where a client finds the relay of a server at `listen`; nowhere when it has none.
pub(crate) fn relay_urls(config: &Config, media: &Media, listen: SocketAddr) -> Vec<String> {
    if media.turn_counters().is_none() {
        return Vec::new();
    }
    let host = &config.media.turn_host;
    let secure = match host.as_str() {
        "" => tls::name(&config.tls),
        // Who names a port has TLS there, be it before this server.
        host => (config.tls.cert.is_some() || host.contains(':')).then(|| host.to_string()),
    };
    urls(&config.media, (media.relay_addresses(), media.addresses().1), listen, secure.as_deref())
}

/// At its own port over UDP, at that of media over TCP, and over TLS at the port of everything else, when there is a name (`HOST`
/// or `HOST:PORT`) that the certificate holds for.
fn urls(
    config: &config::Media,
    (udp, tcp): (&[SocketAddr], &[SocketAddr]),
    listen: SocketAddr,
    secure: Option<&str>,
) -> Vec<String> {
    let name = config.turn_host.split(':').next().filter(|name| !name.is_empty());
    let hosts = match name {
        Some(name) => vec![name.to_string()],
        None => hosts(udp),
    };
    let port = |addresses: &[SocketAddr]| addresses.first().map(SocketAddr::port);
    let mut urls = Vec::new();
    for host in hosts {
        urls.extend(port(udp).map(|port| format!("turn:{host}:{port}?transport=udp")));
        // Whoever lets no TCP in for media has the other port all the same.
        let port = port(tcp).unwrap_or(listen.port());
        urls.push(format!("turn:{host}:{port}?transport=tcp"));
    }
    if let Some(secure) = secure {
        let (host, port) = secure.rsplit_once(':').unwrap_or((secure, ""));
        let port = port.parse().unwrap_or(listen.port());
        urls.push(format!("turns:{host}:{port}?transport=tcp"));
    }
    urls
}

/// One address of each family; of this machine alone only when there are no others.
fn hosts(addresses: &[SocketAddr]) -> Vec<String> {
    let is_reachable = |address: &&SocketAddr| !address.ip().is_loopback();
    let is_v4 = |address: &&SocketAddr| address.is_ipv4();
    let v4 = addresses.iter().filter(is_v4).find(is_reachable);
    let v6 = addresses.iter().filter(|address| address.is_ipv6()).find(is_reachable);
    let mut hosts: Vec<_> = v4.into_iter().chain(v6).collect();
    if hosts.is_empty() {
        hosts.extend(addresses.first());
    }
    let text = |address: &&SocketAddr| match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    };
    hosts.iter().map(text).collect()
}

/// The servers beside ours.
fn others(config: &config::Media, user: &str, now_seconds: u64) -> Vec<IceServer> {
    let (relays, plain): (Vec<_>, Vec<_>) =
        config.ice_urls.iter().cloned().partition(|url| url.starts_with("turn"));
    let mut servers = Vec::new();
    if !plain.is_empty() {
        servers.push(IceServer { urls: plain, username: None, credential: None });
    }
    if !relays.is_empty() {
        let (username, credential) =
            credentials(&config.turn_secret, config.turn_lifetime, user, now_seconds);
        servers.push(IceServer { urls: relays, username: Some(username), credential: Some(credential) });
    }
    servers
}

/// What of a user's name stands in a TURN user's as it is. The rest is encoded: a name may be anything, and that of a TURN user comes in
/// headers, between quotes, and into an HMAC.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The name has the moment at which it ends; the password is its HMAC-SHA-1 under the secret that coturn has too
/// (`static-auth-secret`).
fn credentials(secret: &str, lifetime: Duration, user: &str, now_seconds: u64) -> (String, String) {
    let user = utf8_percent_encode(user, PLAIN);
    let username = format!("{}:{user}", now_seconds + lifetime.as_secs());
    let password = match Hmac::<Sha1>::new_from_slice(secret.as_bytes()) {
        Ok(mut mac) => {
            mac.update(username.as_bytes());
            STANDARD.encode(mac.finalize().into_bytes())
        }
        // HMAC takes keys of any length.
        Err(_) => String::new(),
    };
    (username, password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_that_coturn_computes() {
        // printf '1700086400:ann' | openssl dgst -sha1 -hmac north -binary | base64
        let (username, password) = credentials("north", Duration::from_secs(86_400), "ann", 1_700_000_000);

        assert_eq!(username, "1700086400:ann");
        assert_eq!(password, "7FWQB06tq8mR4TsnapfLHms2f5Y=");
    }

    #[test]
    fn names_of_users_are_nothing_but_letters_to_a_relay() {
        for (user, expected) in [
            ("a\"b\\c", "1700086400:a%22b%5Cc"),
            ("张三", "1700086400:%E5%BC%A0%E4%B8%89"),
            ("a:b, c;d", "1700086400:a%3Ab%2C%20c%3Bd"),
            ("ann-1_2.x~", "1700086400:ann-1_2.x~"),
        ] {
            let (username, password) = credentials("north", Duration::from_secs(86_400), user, 1_700_000_000);
            assert_eq!(username, expected);
            let server = IceServer {
                urls: vec!["turn:a".into()],
                username: Some(username),
                credential: Some(password),
            };
            let link = server.links().next().unwrap();
            assert!(link.is_ascii() && link.matches('"').count() == 8 && !link.contains('\\'), "{link}");
        }
    }

    #[test]
    fn our_own_relay_is_named_by_every_way_to_it() {
        let all =
            |texts: &[&str]| -> Vec<SocketAddr> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let udp = all(&["127.0.0.1:8490", "198.51.100.1:8490", "[2001:db8::1]:8490", "[::1]:8490"]);
        let tcp = all(&["198.51.100.1:8481"]);
        let listen = SocketAddr::from(([0, 0, 0, 0], 443));
        let mut config = config::Media::default();

        assert_eq!(
            urls(&config, (&udp, &tcp), listen, Some("live.example.org")),
            [
                "turn:198.51.100.1:8490?transport=udp",
                "turn:198.51.100.1:8481?transport=tcp",
                "turn:[2001:db8::1]:8490?transport=udp",
                "turn:[2001:db8::1]:8481?transport=tcp",
                "turns:live.example.org:443?transport=tcp",
            ]
        );
        assert_eq!(
            urls(&config, (&all(&["127.0.0.1:8490"]), &[]), listen, None),
            ["turn:127.0.0.1:8490?transport=udp", "turn:127.0.0.1:443?transport=tcp"]
        );
        config.turn_host = "media.example.org:8443".into();
        assert_eq!(
            urls(&config, (&udp, &tcp), listen, Some(&config.turn_host)),
            [
                "turn:media.example.org:8490?transport=udp",
                "turn:media.example.org:8481?transport=tcp",
                "turns:media.example.org:8443?transport=tcp",
            ]
        );
    }

    #[test]
    fn only_relays_need_credentials() {
        let config = config::Media {
            ice_urls: vec!["stun:a.example:3478".into(), "turn:b.example:3478?transport=tcp".into()],
            turn_secret: "north".into(),
            ..config::Media::default()
        };

        let servers = others(&config, "ann", 1_700_000_000);

        assert_eq!(servers.len(), 2);
        assert_eq!(servers[0].username, None);
        assert!(servers[1].credential.is_some());
    }
}
