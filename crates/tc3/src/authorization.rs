//! TC3-HMAC-SHA256: the `Authorization` header, and what it signs (public page "Signature v3").
//!
//! What is signed is the request as it was sent: the query's raw text, the body's raw bytes. Nothing is put in another form first.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};

use crate::date::date;
use crate::{Error, SecretKey, hex};

/// The word that an `Authorization` header begins with.
pub const ALGORITHM: &str = "TC3-HMAC-SHA256";

/// How far a caller's clock may be from ours either way, in seconds. A call can be repeated by others for as long.
pub const CLOCK_SKEW_SECONDS: u64 = 300;

/// What every credential's scope ends with.
const TERMINATOR: &str = "tc3_request";

/// What is hashed for a body that is not signed.
const UNSIGNED: &[u8] = b"UNSIGNED-PAYLOAD";

/// The most headers that one signature covers.
const MOST_HEADERS: usize = 64;

/// The SHA-256 of what a request carries, in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload(String);

impl Payload {
    /// Of a body's bytes; of none for GET.
    pub fn of(body: &[u8]) -> Self {
        Self(hex::encode(&Sha256::digest(body)))
    }

    /// Of a body that is not signed, as the header `X-TC-Content-SHA256: UNSIGNED-PAYLOAD` says.
    pub fn unsigned() -> Self {
        Self::of(UNSIGNED)
    }
}

/// A request, as far as it is signed.
#[derive(Clone)]
pub struct Request<'a> {
    /// `POST` or `GET`.
    pub method: &'a str,
    /// The query's text as it arrived; "" for POST.
    pub query: &'a str,
    /// The text of `X-TC-Timestamp`.
    pub timestamp: &'a str,
    /// What it carries.
    pub payload: Payload,
    /// What may be meant by the host, in the order in which it is tried: [`crate::hosts`].
    pub hosts: &'a [String],
    /// A header's value by its name in lower case; `host` is not asked for.
    pub header: &'a dyn Fn(&str) -> Option<&'a [u8]>,
}

/// An `Authorization` header that was read, which says nothing yet about who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization<'a> {
    secret_id: &'a str,
    date: &'a str,
    /// Whatever the SDK took for the service: Node's is the first part of its endpoint, `127` for `127.0.0.1:7000`.
    service: &'a str,
    signed_headers: &'a str,
    signature: [u8; 32],
}

impl<'a> Authorization<'a> {
    /// Reads the header's text.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::NotSigned`].
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        let rest = text.trim().strip_prefix(ALGORITHM).filter(|rest| rest.starts_with(' '));
        let rest = rest.ok_or(Error::Malformed("Authorization does not begin with TC3-HMAC-SHA256"))?;
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in rest.split(',') {
            let (name, value) =
                part.trim().split_once('=').ok_or(Error::Malformed("a part of it has no \"=\""))?;
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(Error::Malformed("it has a part that is unknown")),
            };
            if slot.replace(value).is_some() {
                return Err(Error::Malformed("a part of it is there twice"));
            }
        }
        let credential = credential.ok_or(Error::Malformed("Credential is missing"))?;
        let signed_headers = signed_headers.ok_or(Error::Malformed("SignedHeaders is missing"))?;
        let signature = signature.ok_or(Error::Malformed("Signature is missing"))?;
        let (secret_id, date, service) = scope(credential)
            .ok_or(Error::Malformed("Credential is not SecretId/YYYY-MM-DD/service/tc3_request"))?;
        require_headers(signed_headers)?;
        let signature =
            hex::decode_32(signature).ok_or(Error::Malformed("Signature is not 64 lower-case hex digits"))?;
        Ok(Self { secret_id, date, service, signed_headers, signature })
    }

    /// Whose it says it is.
    pub fn secret_id(&self) -> &'a str {
        self.secret_id
    }

    /// Checks that it was signed just now, by the text of `X-TC-Timestamp`.
    ///
    /// # Errors
    /// [`Error::NoTime`], [`Error::Expired`], [`Error::WrongDate`].
    pub fn require_time(&self, timestamp: &str, now: u64) -> Result<(), Error> {
        let signed_at = require_time(timestamp, now)?;
        if self.date == date(signed_at) { Ok(()) } else { Err(Error::WrongDate) }
    }

    /// Checks that `key` signed `request`.
    ///
    /// # Errors
    /// [`Error::WrongSignature`].
    pub fn verify(&self, key: &SecretKey, request: &Request<'_>) -> Result<(), Error> {
        let signing = signing_key(key, self.date, self.service).ok_or(Error::WrongSignature)?;
        let matches = |host: &str, case: Case| {
            let text = self.string_to_sign(host, case, request);
            fed::<Hmac<Sha256>>(&signing, text.as_bytes())
                .is_some_and(|mac| mac.verify_slice(&self.signature).is_ok())
        };
        // Samples that are written by hand sign values in lower case; SDKs do not touch them.
        let has_capitals = self.headers().any(|name| {
            name != "host"
                && (request.header)(name).is_some_and(|value| value.iter().any(u8::is_ascii_uppercase))
        });
        let is_signed = |case| request.hosts.iter().any(|host| matches(host, case));
        let mut cases = [Case::AsSent, Case::Lower].into_iter().take(if has_capitals { 2 } else { 1 });
        if cases.any(is_signed) { Ok(()) } else { Err(Error::WrongSignature) }
    }

    fn headers(&self) -> impl Iterator<Item = &'a str> {
        self.signed_headers.split(';')
    }

    fn string_to_sign(&self, host: &str, case: Case, request: &Request<'_>) -> String {
        let canonical = canonical_request(self.signed_headers, host, case, request);
        let hash = hex::encode(&Sha256::digest(canonical));
        let Self { date, service, .. } = self;
        format!("{ALGORITHM}\n{}\n{date}/{service}/{TERMINATOR}\n{hash}", request.timestamp)
    }
}

/// How the values of headers were signed.
#[derive(Clone, Copy)]
enum Case {
    AsSent,
    Lower,
}

/// Checks that a call was signed just now; returns when.
///
/// # Errors
/// [`Error::NoTime`], [`Error::Expired`].
pub fn require_time(timestamp: &str, now: u64) -> Result<u64, Error> {
    let is_number = !timestamp.is_empty() && timestamp.bytes().all(|digit| digit.is_ascii_digit());
    let signed_at: u64 = timestamp.parse().ok().filter(|_| is_number).ok_or(Error::NoTime)?;
    if signed_at.abs_diff(now) > CLOCK_SKEW_SECONDS {
        return Err(Error::Expired { signed_at, now });
    }
    Ok(signed_at)
}

/// Signs a request; returns the text of its `Authorization` header. Of the request's hosts the first is signed.
///
/// # Errors
/// [`Error::NoTime`]; [`Error::Malformed`] and [`Error::NotSigned`] for what no verifier would read.
pub fn sign(
    key: &SecretKey,
    secret_id: &str,
    service: &str,
    signed_headers: &[&str],
    request: &Request<'_>,
) -> Result<String, Error> {
    let signed_at = request.timestamp.parse().map_err(|_| Error::NoTime)?;
    let (date, signed_headers) = (date(signed_at), signed_headers.join(";"));
    require_headers(&signed_headers)?;
    let unsigned = Authorization {
        secret_id,
        date: &date,
        service,
        signed_headers: &signed_headers,
        signature: [0; 32],
    };
    let host = request.hosts.first().map(String::as_str).unwrap_or_default();
    let text = unsigned.string_to_sign(host, Case::AsSent, request);
    let signing = signing_key(key, &date, service);
    let signature =
        signing.and_then(|signing| hmac(&signing, text.as_bytes())).ok_or(Error::WrongSignature)?;
    let signature = hex::encode(&signature);
    let credential = format!("{secret_id}/{date}/{service}/{TERMINATOR}");
    Ok(format!("{ALGORITHM} Credential={credential}, SignedHeaders={signed_headers}, Signature={signature}"))
}

/// Takes a credential apart: whose, for which day and which service. A service may be any text, slashes too: where an endpoint has a
/// scheme, Node's SDK takes that for a part of it.
fn scope(credential: &str) -> Option<(&str, &str, &str)> {
    let (secret_id, rest) = credential.split_once('/')?;
    let (date, rest) = rest.split_once('/')?;
    let service = rest.strip_suffix(TERMINATOR)?.strip_suffix('/')?;
    let is_whole = !secret_id.is_empty() && date.len() == "YYYY-MM-DD".len() && !service.is_empty();
    is_whole.then_some((secret_id, date, service))
}

fn require_headers(list: &str) -> Result<(), Error> {
    let names: Vec<&str> = list.split(';').collect();
    if names.len() > MOST_HEADERS {
        return Err(Error::Malformed("SignedHeaders has more than 64 names"));
    }
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase())
    };
    if !names.iter().all(|name| is_name(name)) {
        return Err(Error::Malformed("SignedHeaders is no list of lower-case names, divided by \";\""));
    }
    if let Some(missing) = ["content-type", "host"].into_iter().find(|name| !names.contains(name)) {
        return Err(Error::NotSigned(missing));
    }
    let is_repeated = |(at, name): (usize, &&str)| names.iter().take(at).any(|earlier| earlier == name);
    if names.iter().enumerate().any(is_repeated) {
        return Err(Error::Malformed("SignedHeaders has a name twice"));
    }
    Ok(())
}

fn canonical_request(signed_headers: &str, host: &str, case: Case, request: &Request<'_>) -> Vec<u8> {
    let mut text = Vec::with_capacity(512);
    text.extend_from_slice(request.method.as_bytes());
    // Every call is for the path "/".
    text.extend_from_slice(b"\n/\n");
    text.extend_from_slice(request.query.as_bytes());
    text.push(b'\n');
    for name in signed_headers.split(';') {
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        if name == "host" {
            text.extend_from_slice(host.as_bytes());
        } else {
            let value = (request.header)(name).unwrap_or_default().trim_ascii();
            match case {
                Case::AsSent => text.extend_from_slice(value),
                Case::Lower => text.extend(value.iter().map(u8::to_ascii_lowercase)),
            }
        }
        text.push(b'\n');
    }
    text.push(b'\n');
    text.extend_from_slice(signed_headers.as_bytes());
    text.push(b'\n');
    text.extend_from_slice(request.payload.0.as_bytes());
    text
}

fn signing_key(key: &SecretKey, date: &str, service: &str) -> Option<[u8; 32]> {
    let of_date = hmac(format!("TC3{}", key.expose()).as_bytes(), date.as_bytes())?;
    hmac(&hmac(&of_date, service.as_bytes())?, TERMINATOR.as_bytes())
}

fn hmac(key: &[u8], text: &[u8]) -> Option<[u8; 32]> {
    Some(fed::<Hmac<Sha256>>(key, text)?.finalize().into_bytes().into())
}

/// A keyed hash that has been given a text.
pub(crate) fn fed<M: KeyInit + Mac>(key: &[u8], text: &[u8]) -> Option<M> {
    let mut mac = <M as KeyInit>::new_from_slice(key).ok()?;
    mac.update(text);
    Some(mac)
}
