//! Who may have an allocation: passwords that follow from names (coturn's shared-secret scheme), and nonces that need no memory.

use std::net::IpAddr;
use std::time::Instant;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

use super::{Client, Entrance};

/// The realm of all credentials; it is only part of the key.
pub(super) const REALM: &str = "roomful";

/// How long a nonce holds.
const NONCE_SECONDS: u64 = 600;

/// Bytes of a nonce that say it is ours.
const NONCE_TAG: usize = 12;

/// The longest name that is looked at: the end of its time, and a session's.
const MAX_USERNAME: usize = 128;

/// What a message's integrity is made with (RFC 8489 9.2.2).
pub(super) type Key = [u8; 16];

/// A name, as far as it can be read: `expiry:session`.
pub(super) struct Username<'a> {
    pub(super) whole: &'a str,
    pub(super) ends_at_seconds: u64,
    pub(super) session: &'a str,
}

impl<'a> Username<'a> {
    pub(super) fn parse(whole: &'a str) -> Option<Self> {
        let (ends, session) = whole.split_once(':').filter(|_| whole.len() <= MAX_USERNAME)?;
        (!session.is_empty()).then_some(())?;
        Some(Self { whole, ends_at_seconds: ends.parse().ok()?, session })
    }
}

pub(super) struct Credentials {
    secret: hmac::Key,
    nonces: hmac::Key,
    began: Instant,
    began_seconds: u64,
}

impl Credentials {
    /// With the secret that passwords are made with. `now` is `now_seconds` since 1970.
    pub(super) fn new(secret: &[u8], now: Instant, now_seconds: u64) -> Self {
        let mut random = [0; 32];
        // Without randomness nonces could be forged, and a forged nonce only lets somebody replay their own request.
        let _ = aws_lc_rs::rand::fill(&mut random);
        Self {
            secret: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret),
            nonces: hmac::Key::new(hmac::HMAC_SHA256, &random),
            began: now,
            began_seconds: now_seconds,
        }
    }

    pub(super) fn seconds(&self, now: Instant) -> u64 {
        self.began_seconds + now.saturating_duration_since(self.began).as_secs()
    }

    /// What the password of a name is.
    pub(super) fn password(&self, username: &str) -> String {
        STANDARD.encode(hmac::sign(&self.secret, username.as_bytes()))
    }

    pub(super) fn key(&self, username: &str) -> Key {
        key(username, REALM, &self.password(username))
    }

    /// A nonce for one client: the time, and an HMAC over it and the client's address.
    pub(super) fn nonce(&self, client: &Client, now: Instant) -> String {
        let seconds = self.seconds(now).to_be_bytes();
        let mut nonce = seconds.to_vec();
        nonce.extend(self.tag(client, seconds));
        STANDARD.encode(nonce)
    }

    /// Whether it is one of ours, for this client, and not too old.
    pub(super) fn is_nonce(&self, nonce: &[u8], client: &Client, now: Instant) -> bool {
        let read = || {
            let mut bytes = [0; 8 + NONCE_TAG];
            let length = STANDARD.decode_slice(nonce, &mut bytes).ok()?;
            let (seconds, tag) = bytes.get(..length)?.split_first_chunk::<8>()?;
            let expected = self.tag(client, *seconds);
            aws_lc_rs::constant_time::verify_slices_are_equal(tag, &expected).ok()?;
            self.seconds(now).checked_sub(u64::from_be_bytes(*seconds))
        };
        nonce.len() == (8 + NONCE_TAG).div_ceil(3) * 4 && read().is_some_and(|age| age < NONCE_SECONDS)
    }

    fn tag(&self, client: &Client, seconds: [u8; 8]) -> [u8; NONCE_TAG] {
        let mut context = hmac::Context::with_key(&self.nonces);
        context.update(&seconds);
        let octets = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        context.update(&octets(client.remote.ip()));
        context.update(&client.remote.port().to_be_bytes());
        let (kind, number) = match client.entrance {
            Entrance::Media => (0_u8, 0),
            Entrance::Own => (1, 0),
            Entrance::Stream(number) => (2, number),
        };
        context.update(&[kind]);
        context.update(&number.to_be_bytes());
        context.update(&client.local.map(octets).unwrap_or_default());
        let mut tag = [0; NONCE_TAG];
        tag.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        tag
    }
}

/// The key of a long-term credential (RFC 8489 9.2.2); names here are such that no preparation changes them.
pub(super) fn key(username: &str, realm: &str, password: &str) -> Key {
    let mut md5 = Md5::new();
    for (part, separator) in [(username, ":"), (realm, ":"), (password, "")] {
        md5.update(part);
        md5.update(separator);
    }
    md5.finalize().into()
}
