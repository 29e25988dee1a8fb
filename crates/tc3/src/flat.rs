//! Parameters as a query or a form writes them, and the older signature over them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use percent_encoding::percent_decode_str;
use sha1::Sha1;
use sha2::Sha256;

use crate::authorization::fed;
use crate::{Error, SecretKey};

/// The most parameters that one call may have.
pub const MAX_PARAMETERS: usize = 4096;

/// The parameter that has the signature, and is not signed.
const SIGNATURE: &str = "Signature";

/// Parameters by their names, decoded, in the order in which they were sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flat(Vec<(String, String)>);

impl Flat {
    /// Reads `name=value&...`. Spaces come as `+` and as `%20`; empty parts are passed over.
    ///
    /// # Errors
    /// [`Error::Unreadable`] when there are too many, one is there twice, or one is no UTF-8.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut all = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if all.len() == MAX_PARAMETERS {
                return Err(Error::Unreadable("there are more than 4096 parameters"));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            all.push((decode(name)?, decode(value)?));
        }
        let mut names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| matches!(pair, [one, next] if one == next)) {
            return Err(Error::Unreadable("a parameter is there twice"));
        }
        Ok(Self(all))
    }

    /// A parameter's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Signs the parameters but for `Signature`, as they go to `host`.
    pub fn sign(&self, key: &SecretKey, digest: Digest, method: &str, host: &str) -> String {
        STANDARD.encode(digest.sign(key, &self.source(method, host)))
    }

    /// Checks that `key` signed the parameters: `Signature` is one of them, for one of the hosts.
    ///
    /// # Errors
    /// [`Error::WrongSignature`]; [`Error::Malformed`] when there is none, or no base64.
    pub fn verify(
        &self,
        key: &SecretKey,
        digest: Digest,
        method: &str,
        hosts: &[String],
    ) -> Result<(), Error> {
        let given = self.get(SIGNATURE).ok_or(Error::Malformed("Signature is missing"))?;
        let given = STANDARD.decode(given).map_err(|_| Error::Malformed("Signature is no base64"))?;
        let is_signed = |host: &String| digest.verify(key, &self.source(method, host), &given);
        if hosts.iter().any(is_signed) { Ok(()) } else { Err(Error::WrongSignature) }
    }

    /// What is signed: the values as they are meant, not as they were sent, by the order of the names' bytes.
    fn source(&self, method: &str, host: &str) -> String {
        let mut signed: Vec<(&str, &str)> = self.iter().filter(|(name, _)| *name != SIGNATURE).collect();
        signed.sort_unstable();
        let pairs: Vec<String> = signed.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{method}{host}/?{}", pairs.join("&"))
    }
}

/// A percent sign that begins no byte stays what it is, as browsers and SDKs have it.
fn decode(text: &str) -> Result<String, Error> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(Into::into).map_err(|_| Error::Unreadable("a parameter is not UTF-8"))
}

/// With what the older signature is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// HmacSHA1
    Sha1,
    /// HmacSHA256
    Sha256,
}

impl Digest {
    /// By the value of `SignatureMethod`; without one it is HmacSHA1.
    ///
    /// # Errors
    /// [`Error::UnknownMethod`].
    pub fn named(name: Option<&str>) -> Result<Self, Error> {
        match name {
            None | Some("" | "HmacSHA1") => Ok(Self::Sha1),
            Some("HmacSHA256") => Ok(Self::Sha256),
            Some(_) => Err(Error::UnknownMethod),
        }
    }

    fn sign(self, key: &SecretKey, text: &str) -> Vec<u8> {
        let (key, text) = (key.expose().as_bytes(), text.as_bytes());
        match self {
            Self::Sha1 => fed::<Hmac<Sha1>>(key, text).map(|mac| mac.finalize().into_bytes().to_vec()),
            Self::Sha256 => fed::<Hmac<Sha256>>(key, text).map(|mac| mac.finalize().into_bytes().to_vec()),
        }
        .unwrap_or_default()
    }

    /// In constant time.
    fn verify(self, key: &SecretKey, text: &str, given: &[u8]) -> bool {
        let (key, text) = (key.expose().as_bytes(), text.as_bytes());
        match self {
            Self::Sha1 => fed::<Hmac<Sha1>>(key, text).is_some_and(|mac| mac.verify_slice(given).is_ok()),
            Self::Sha256 => fed::<Hmac<Sha256>>(key, text).is_some_and(|mac| mac.verify_slice(given).is_ok()),
        }
    }
}
