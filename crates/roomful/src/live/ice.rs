//! What a client's browser is told of servers that help it through its network: the operator's own TURN servers, with
//! credentials made for the client (coturn's shared-secret scheme: draft-uberti-behave-turn-rest-00).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use sha1::Sha1;

use crate::config;

/// An entry of a browser's `iceServers`.
#[derive(Debug, PartialEq, Eq, Serialize)]
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

/// The servers for `user`; its credentials hold for the configured time.
pub(crate) fn servers(config: &config::Media, user: &str, now_seconds: u64) -> Vec<IceServer> {
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

/// The name has the moment at which it ends; the password is its HMAC-SHA-1 under the secret that coturn has too
/// (`static-auth-secret`).
fn credentials(secret: &str, lifetime: Duration, user: &str, now_seconds: u64) -> (String, String) {
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
    fn only_relays_need_credentials() {
        let config = config::Media {
            ice_urls: vec!["stun:a.example:3478".into(), "turn:b.example:3478?transport=tcp".into()],
            turn_secret: "north".into(),
            ..config::Media::default()
        };

        let servers = servers(&config, "ann", 1_700_000_000);

        assert_eq!(servers.len(), 2);
        assert_eq!(servers[0].username, None);
        assert!(servers[1].credential.is_some());
    }
}
