//! Making and checking a UserSig. The text is base64 (three characters changed so that it fits a URL) over zlib
//! over a JSON object that carries an HMAC-SHA256 of its other values.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_PARSE_ZLIB_HEADER, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::Sha256;

use crate::Error;

/// The longest UserSig text, and the most it may inflate to.
pub const MAX_BYTES: usize = 4096;

/// How far in the future a UserSig may be dated, in seconds. Documented nowhere: room for clocks that differ.
pub const CLOCK_SKEW_SECONDS: u64 = 300;

/// An app's SecretKey. The HMAC key is its text, not what the hex digits stand for.
#[derive(Clone)]
pub struct SecretKey {
    text: String,
    /// The keyed state, so that each verification starts after the key's own two compressions.
    keyed: Option<Hmac<Sha256>>,
}

impl SecretKey {
    /// Takes the key's text as the cloud's console or `roomful app list` shows it.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let keyed = Hmac::new_from_slice(text.as_bytes()).ok();
        Self { text, keyed }
    }

    /// The key's text: for showing it to its owner and for storing it, never for a log.
    pub fn expose(&self) -> &str {
        &self.text
    }

    fn mac(&self) -> Result<Hmac<Sha256>, Error> {
        self.keyed.clone().ok_or(Error::Unsignable("the SecretKey cannot key an HMAC"))
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// What a UserSig says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The user, not empty and without control characters.
    pub identifier: String,
    /// The app the user belongs to.
    pub sdkappid: u32,
    /// When it was made, Unix seconds.
    pub issued_at: u64,
    /// How long it holds from then on, in seconds.
    pub expire: u64,
    /// A room permission ticket ([`crate::PrivateMapKey`] encoded), when there is one.
    pub userbuf: Option<Vec<u8>>,
}

impl Claims {
    /// Claims without a permission ticket.
    pub fn new(identifier: impl Into<String>, sdkappid: u32, issued_at: u64, expire: u64) -> Self {
        Self { identifier: identifier.into(), sdkappid, issued_at, expire, userbuf: None }
    }

    /// Checks that the credential is that of the user and the app a request names.
    ///
    /// # Errors
    /// [`Error::WrongUser`] or [`Error::WrongApp`].
    pub fn require(&self, identifier: &str, sdkappid: u32) -> Result<(), Error> {
        if self.sdkappid != sdkappid {
            return Err(Error::WrongApp { signed: self.sdkappid, requested: sdkappid });
        }
        if self.identifier != identifier {
            return Err(Error::WrongUser);
        }
        Ok(())
    }
}

/// The JSON inside; field order is the npm generator's, so that the same claims give the same text.
#[derive(Serialize, Deserialize)]
struct Document<'a> {
    #[serde(rename = "TLS.ver", borrow)]
    version: Cow<'a, str>,
    #[serde(rename = "TLS.identifier", borrow)]
    identifier: Cow<'a, str>,
    #[serde(rename = "TLS.sdkappid", deserialize_with = "number_or_text")]
    sdkappid: u64,
    #[serde(rename = "TLS.time", deserialize_with = "number_or_text")]
    time: u64,
    #[serde(rename = "TLS.expire", deserialize_with = "number_or_text")]
    expire: u64,
    #[serde(rename = "TLS.userbuf", borrow, default, skip_serializing_if = "Option::is_none")]
    userbuf: Option<Cow<'a, str>>,
    #[serde(rename = "TLS.sig", borrow)]
    sig: Cow<'a, str>,
}

impl Document<'_> {
    /// The signed lines, each of them ended by a line feed.
    fn message(&self) -> String {
        let mut message = String::with_capacity(160);
        let _ = write!(
            message,
            "TLS.identifier:{}\nTLS.sdkappid:{}\nTLS.time:{}\nTLS.expire:{}\n",
            self.identifier, self.sdkappid, self.time, self.expire
        );
        if let Some(userbuf) = &self.userbuf {
            let _ = writeln!(message, "TLS.userbuf:{userbuf}");
        }
        message
    }
}

/// Signs `claims`.
///
/// # Errors
/// [`Error::Unsignable`] when the user is empty or has control characters (a line feed would let one user's
/// signature be read as another's), or when the whole would be longer than a verifier accepts.
pub fn sign(key: &SecretKey, claims: &Claims) -> Result<String, Error> {
    if claims.identifier.is_empty() {
        return Err(Error::Unsignable("the identifier is empty"));
    }
    if claims.identifier.chars().any(char::is_control) {
        return Err(Error::Unsignable("the identifier has a control character"));
    }
    let mut document = Document {
        version: "2.0".into(),
        identifier: claims.identifier.as_str().into(),
        sdkappid: claims.sdkappid.into(),
        time: claims.issued_at,
        expire: claims.expire,
        userbuf: claims.userbuf.as_ref().map(|bytes| STANDARD.encode(bytes).into()),
        sig: "".into(),
    };
    let mut mac = key.mac()?;
    mac.update(document.message().as_bytes());
    document.sig = STANDARD.encode(mac.finalize().into_bytes()).into();
    let json = serde_json::to_vec(&document).map_err(|_| Error::Unsignable("the claims do not fit JSON"))?;
    let mut text = STANDARD.encode(miniz_oxide::deflate::compress_to_vec_zlib(&json, 6));
    if json.len() > MAX_BYTES || text.len() > MAX_BYTES {
        return Err(Error::Unsignable("the credential would be longer than 4096 bytes"));
    }
    text = text.replace('+', "*").replace('/', "-").replace('=', "_");
    Ok(text)
}

/// Checks a UserSig: that it decodes, that `key` signed it, and that it holds at `now` (Unix seconds). The caller
/// then compares user and app with [`Claims::require`].
///
/// # Errors
/// In this order: [`Error::Empty`], [`Error::Malformed`], [`Error::WrongKey`], [`Error::NotYetValid`],
/// [`Error::Expired`]; a signature that does not verify is reported as such whatever else is wrong.
pub fn verify(key: &SecretKey, text: &str, now: u64) -> Result<Claims, Error> {
    let decoded = decode(text)?;
    decoded.verify(key, now)?;
    Ok(decoded.into_claims_unverified())
}

/// A UserSig that was decoded, which says nothing yet about who signed it.
///
/// Decoding depends on the text alone and costs ten times what verifying does, while callers send the same UserSig for
/// as long as it holds: a server may keep what it decoded, and verify it on every request.
#[derive(Debug, Clone)]
pub struct Decoded {
    claims: Claims,
    /// The signed lines.
    message: String,
    sig: Vec<u8>,
    /// What is wrong with a value, to be told only to one who holds the key.
    trouble: Option<Error>,
}

/// Decodes a UserSig.
///
/// # Errors
/// [`Error::Empty`] and [`Error::Malformed`].
pub fn decode(text: &str) -> Result<Decoded, Error> {
    let mut inflated = [0; MAX_BYTES];
    let json = inflate(text, &mut inflated)?;
    let document: Document<'_> = serde_json::from_slice(json)
        .map_err(|_| Error::Malformed("its JSON is broken, or a field is missing or has the wrong type"))?;
    if document.version != "2.0" {
        return Err(Error::Malformed("TLS.ver is not 2.0"));
    }
    let sig = STANDARD
        .decode(document.sig.as_bytes())
        .map_err(|_| Error::Malformed("TLS.sig is not the base64 of an HMAC-SHA256"))?;
    let message = document.message();

    let (sdkappid, userbuf) = (u32::try_from(document.sdkappid), document.userbuf.as_deref());
    let userbuf = userbuf.map(|text| STANDARD.decode(text)).transpose();
    let trouble = if sdkappid.is_err() {
        Some("TLS.sdkappid is no u32")
    } else if userbuf.is_err() {
        Some("TLS.userbuf is not base64")
    } else if document.identifier.chars().any(char::is_control) {
        Some("TLS.identifier has a control character")
    } else {
        None
    };
    let claims = Claims {
        identifier: document.identifier.into_owned(),
        sdkappid: sdkappid.unwrap_or_default(),
        issued_at: document.time,
        expire: document.expire,
        userbuf: userbuf.unwrap_or_default(),
    };
    Ok(Decoded { claims, message, sig, trouble: trouble.map(Error::Malformed) })
}

impl Decoded {
    /// Checks that `key` signed it and that it holds at `now` (Unix seconds), and returns what it says.
    ///
    /// # Errors
    /// [`Error::WrongKey`], [`Error::Malformed`], [`Error::NotYetValid`], [`Error::Expired`], in this order.
    pub fn verify(&self, key: &SecretKey, now: u64) -> Result<&Claims, Error> {
        let mut mac = key.mac()?;
        mac.update(self.message.as_bytes());
        mac.verify_slice(&self.sig).map_err(|_| Error::WrongKey)?;
        if let Some(trouble) = &self.trouble {
            return Err(trouble.clone());
        }
        let Claims { issued_at, expire, .. } = self.claims;
        if issued_at > now.saturating_add(CLOCK_SKEW_SECONDS) {
            return Err(Error::NotYetValid { issued_at });
        }
        let expired_at = issued_at.saturating_add(expire);
        if now >= expired_at {
            return Err(Error::Expired { expired_at });
        }
        Ok(&self.claims)
    }

    /// What it says of itself, before anything is checked: whose key it is to be verified with.
    pub fn unverified(&self) -> &Claims {
        &self.claims
    }

    fn into_claims_unverified(self) -> Claims {
        self.claims
    }
}

/// Undoes base64 and zlib into `out` and returns the part that was filled.
fn inflate<'a>(text: &str, out: &'a mut [u8; MAX_BYTES]) -> Result<&'a [u8], Error> {
    if text.is_empty() {
        return Err(Error::Empty);
    }
    let mut standard = [0; MAX_BYTES];
    let standard = standard.get_mut(..text.len()).ok_or(Error::Malformed("it is longer than 4096 bytes"))?;
    for (to, from) in standard.iter_mut().zip(text.bytes()) {
        *to = match from {
            b'*' => b'+',
            b'-' => b'/',
            b'_' => b'=',
            b'+' | b'/' | b'=' => {
                return Err(Error::Malformed("it is not in the URL-safe base64 of a UserSig"));
            }
            other => other,
        };
    }
    let mut packed = [0; MAX_BYTES];
    let packed_length = STANDARD
        .decode_slice(standard, &mut packed)
        .map_err(|_| Error::Malformed("its base64 is broken; was it cut off?"))?;

    let mut state = DecompressorOxide::new();
    let flags = TINFL_FLAG_PARSE_ZLIB_HEADER | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let packed = packed.get(..packed_length).unwrap_or_default();
    let (status, consumed, written) = decompress(&mut state, packed, out, 0, flags);
    match status {
        TINFLStatus::Done if consumed == packed_length => Ok(out.get(..written).unwrap_or_default()),
        TINFLStatus::Done => Err(Error::Malformed("bytes follow the end of its zlib stream")),
        TINFLStatus::HasMoreOutput => Err(Error::Malformed("it inflates beyond 4096 bytes")),
        _ => Err(Error::Malformed("its zlib stream is broken; was it cut off?")),
    }
}

/// Old generators wrote numbers as strings; both are read.
fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Visitor;
    impl serde::de::Visitor<'_> for Visitor {
        type Value = u64;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a whole number, or its decimal digits as a string")
        }

        fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<u64, E> {
            Ok(value)
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<u64, E> {
            // The signed line holds the canonical digits, so "+1" or "01" could not verify anyway.
            text.parse().map_err(|_| E::custom("not a whole number"))
        }
    }
    deserializer.deserialize_any(Visitor)
}
