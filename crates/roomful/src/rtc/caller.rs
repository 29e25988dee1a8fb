//! Who calls, and what: read from the head of a call, or from flat parameters, and found out to be true before anything is made of the
//! rest. What is refused is refused in the documented order: version, action, the form of the signature, the key, the clock, the
//! signature, what the key may call, how often.
//!
//! Of who has proved nothing only so much is in memory: a head; for the older signature, which is in the body, a share of what all such
//! callers have together; and of a body that is signed, a share of the key that it names.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use serde_json::{Map, Value};
use tc3::{Authorization, Digest, Flat, Payload, Request};

use super::VERSION;
use super::actions::{self, Action};
use super::parameters::{self, Written, repeated};
use super::refusal::{Code, Language, Refusal};
use crate::clock;
use crate::keys::{self, Key};
use crate::rest::{self, BodyTrouble};
use crate::server::Server;

const ACTION: HeaderName = HeaderName::from_static("x-tc-action");
const API_VERSION: HeaderName = HeaderName::from_static("x-tc-version");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-tc-timestamp");
const TOKEN: HeaderName = HeaderName::from_static("x-tc-token");
const LANGUAGE: HeaderName = HeaderName::from_static("x-tc-language");
const REQUEST_CLIENT: HeaderName = HeaderName::from_static("x-tc-requestclient");
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-tc-content-sha256");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What stands in [`CONTENT_SHA256`] when the body is not signed.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// The most bytes of a body, of a form of the older signature, and of a query.
const MAX_BODY: usize = 10 * 1024 * 1024;
const MAX_FORM: usize = 1024 * 1024;
const MAX_QUERY: usize = 32 * 1024;

/// The older signature's own parameters, which are none of the action's.
const COMMON: [&str; 11] = [
    "Action",
    "Version",
    "Region",
    "Timestamp",
    "Nonce",
    "SecretId",
    "SignatureMethod",
    "Signature",
    "Token",
    "Language",
    "RequestClient",
];

/// What is known of a call, for its answer and the log, whatever becomes of it.
#[derive(Default)]
pub(super) struct Known {
    pub(super) action: Option<&'static Action>,
    pub(super) language: Language,
    pub(super) client: String,
    /// By its public half.
    pub(super) key: String,
    /// Nothing of the body is left to be read.
    pub(super) is_read: bool,
}

/// A call whose caller is who it says.
pub(super) struct Admitted {
    pub(super) key: Arc<Key>,
    pub(super) action: &'static Action,
    pub(super) parameters: Map<String, Value>,
    pub(super) written: Written,
}

/// Whether a GET of the page's own path is a call, and not a browser's.
pub(super) fn is_signed(headers: &HeaderMap, query: &str) -> bool {
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    // A browser may have a password of a proxy's there.
    authorization.starts_with("TC3-")
        || headers.contains_key(ACTION)
        || has("Signature")
        || (has("Action") && has("Version"))
}

/// Finds out who calls and what.
pub(super) async fn admit<B>(
    server: &Arc<Server>,
    head: &Parts,
    body: &mut B,
    known: &mut Known,
) -> Result<Admitted, Refusal>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let headers = &head.headers;
    known.language = Language::named(text(headers, &LANGUAGE)?.unwrap_or_default());
    known.client = repeated(text(headers, &REQUEST_CLIENT)?.unwrap_or_default());
    let is_post = match head.method {
        Method::POST => true,
        Method::GET => false,
        _ => {
            let message = format!("the method is {}; calls are made with POST or GET", head.method);
            return Err(Refusal::new(Code::UnsupportedProtocol, message));
        }
    };
    let query = head.uri.query().unwrap_or_default();
    if !is_post && query.len() > MAX_QUERY {
        let message = format!("the query is {} bytes; at most {MAX_QUERY} are allowed", query.len());
        return Err(Refusal::new(Code::RequestSizeLimitExceeded, message));
    }
    let is_flat = if is_post { kind(headers) == FORM } else { !headers.contains_key(ACTION) };
    if is_flat && !headers.contains_key(AUTHORIZATION) {
        let body = if is_post {
            let shares = [&server.keys.unnamed_bodies, &server.keys.bodies];
            Some(read(body, head, MAX_FORM, shares, known).await?)
        } else {
            None
        };
        let form = body.as_ref().map_or(query.as_bytes(), |body| body.bytes.as_ref());
        let form = std::str::from_utf8(form)
            .map_err(|_| Refusal::new(Code::InvalidParameter, "the body is not UTF-8"))?;
        return admit_flat(server, head, &Flat::parse(form)?, known);
    }
    admit_signed(server, head, body, known).await
}

/// By TC3-HMAC-SHA256.
async fn admit_signed<B>(
    server: &Arc<Server>,
    head: &Parts,
    body: &mut B,
    known: &mut Known,
) -> Result<Admitted, Refusal>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let headers = &head.headers;
    require_version(text(headers, &API_VERSION)?, "X-TC-Version")?;
    let (index, action) = find_action(text(headers, &ACTION)?, "X-TC-Action")?;
    known.action = Some(action);
    let authorization = text(headers, &AUTHORIZATION)?.ok_or_else(|| {
        Refusal::new(Code::InvalidAuthorization, "the call is not signed: there is no Authorization")
    })?;
    let authorization = Authorization::parse(authorization)?;
    let key = find_key(server, authorization.secret_id(), known)?;
    require_no_token(text(headers, &TOKEN)?)?;
    let timestamp = text(headers, &TIMESTAMP)?.ok_or_else(|| missing("X-TC-Timestamp"))?;
    authorization.require_time(timestamp, clock::now().unix_seconds())?;

    let is_post = head.method == Method::POST;
    let query = head.uri.query().unwrap_or_default();
    let hosts = hosts(server, head)?;
    let header = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let verify = |key: &Key, payload: Payload| {
        let query = if is_post { "" } else { query };
        let method = head.method.as_str();
        let request = Request { method, query, timestamp, payload, hosts: &hosts, header: &header };
        authorization.verify(key.secret(), &request)
    };
    // A header that is there twice could be one for the signature and another for who acts by it.
    for name in [&CONTENT_TYPE, &HOST, &CONTENT_SHA256] {
        text(headers, name)?;
    }
    let is_body_signed = text(headers, &CONTENT_SHA256)? != Some(UNSIGNED);
    if !is_body_signed {
        verify(&key, Payload::unsigned())?;
    }
    if !is_post {
        if is_body_signed {
            verify(&key, Payload::of(b""))?;
        }
        require_right(&key, index, action)?;
        let parameters = parameters::from_flat(Flat::parse(query)?.iter())?;
        return Ok(Admitted { key, action, parameters, written: Written::Flat });
    }
    if kind(headers) != JSON {
        let message = "the body of a call is application/json; parameters in a query are sent with GET";
        return Err(Refusal::new(Code::InvalidRequest, message));
    }
    let body = read(body, head, MAX_BODY, [&key.bodies, &server.keys.bodies], known).await?;
    // A key that was good when the head came may have been disabled since.
    let key = if body.is_late { find_key(server, authorization.secret_id(), known)? } else { key };
    if is_body_signed {
        verify(&key, Payload::of(&body.bytes))?;
    }
    require_right(&key, index, action)?;
    let parameters = parameters::from_json(&body.bytes)?;
    Ok(Admitted { key, action, parameters, written: Written::Json })
}

/// By the older signature, over flat parameters.
fn admit_flat(
    server: &Arc<Server>,
    head: &Parts,
    flat: &Flat,
    known: &mut Known,
) -> Result<Admitted, Refusal> {
    known.language = Language::named(flat.get("Language").unwrap_or_default());
    known.client = repeated(flat.get("RequestClient").unwrap_or_default());
    require_version(flat.get("Version"), "Version")?;
    let (index, action) = find_action(flat.get("Action"), "Action")?;
    known.action = Some(action);
    let required = |name: &'static str| flat.get(name).filter(|value| !value.is_empty());
    if required("Signature").is_none() {
        return Err(Refusal::new(
            Code::InvalidAuthorization,
            "the call is not signed: there is no Signature",
        ));
    }
    let digest = Digest::named(flat.get("SignatureMethod"))?;
    let key = find_key(server, required("SecretId").ok_or_else(|| missing("SecretId"))?, known)?;
    require_no_token(flat.get("Token"))?;
    let nonce = required("Nonce").ok_or_else(|| missing("Nonce"))?;
    if !nonce.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(Refusal::new(Code::InvalidParameter, "Nonce is no positive integer"));
    }
    let timestamp = required("Timestamp").ok_or_else(|| missing("Timestamp"))?;
    tc3::require_time(timestamp, clock::now().unix_seconds())?;
    flat.verify(key.secret(), digest, head.method.as_str(), &hosts(server, head)?)?;
    require_right(&key, index, action)?;
    let own = flat.iter().filter(|(name, _)| !COMMON.contains(name));
    let parameters = parameters::from_flat(own)?;
    Ok(Admitted { key, action, parameters, written: Written::Flat })
}

/// A header's text; it must not be there twice.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let code = if *name == AUTHORIZATION { Code::InvalidAuthorization } else { Code::InvalidParameter };
    let trouble = |trouble: &str| Refusal::new(code, format!("the header {name} {trouble}"));
    if values.next().is_some() {
        return Err(trouble("is there twice"));
    }
    std::str::from_utf8(value.as_bytes()).map(Some).map_err(|_| trouble("is not UTF-8"))
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// The kind of a body, without its parameters.
fn kind(headers: &HeaderMap) -> String {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn missing(name: &str) -> Refusal {
    Refusal::new(Code::MissingParameter, format!("{name} is missing"))
}

fn require_version(version: Option<&str>, name: &str) -> Result<(), Refusal> {
    match version.ok_or_else(|| missing(name))? {
        VERSION => Ok(()),
        other => {
            let message = format!("the version is {}; there is only {VERSION}", repeated(other));
            Err(Refusal::new(Code::NoSuchVersion, message))
        }
    }
}

fn find_action(name: Option<&str>, header: &str) -> Result<(usize, &'static Action), Refusal> {
    let name = name.ok_or_else(|| missing(header))?;
    actions::find(name).ok_or_else(|| {
        let message = format!("there is no action {} in {VERSION}", repeated(name));
        Refusal::new(Code::InvalidAction, message)
    })
}

fn find_key(server: &Server, secret_id: &str, known: &mut Known) -> Result<Arc<Key>, Refusal> {
    if !keys::is_secret_id(secret_id) {
        let message = "the SecretId is not one of `roomful key list`: AKID and 32 letters and digits";
        return Err(Refusal::new(Code::InvalidSecretId, message));
    }
    known.key = secret_id.to_owned();
    server.keys.get(secret_id).ok_or_else(|| {
        Refusal::new(Code::SecretIdNotFound, "the key does not exist, or is disabled; see `roomful key list`")
    })
}

/// There are no temporary credentials.
fn require_no_token(token: Option<&str>) -> Result<(), Refusal> {
    match token {
        None | Some("") => Ok(()),
        Some(_) => {
            let message = "a token was sent, of temporary credentials: this server makes none";
            Err(Refusal::new(Code::TokenFailure, message))
        }
    }
}

fn require_right(key: &Key, index: usize, action: &Action) -> Result<(), Refusal> {
    let name = action.name;
    if !key.may_call(name) {
        let message = format!("the key was not given {name}; see `roomful key list`");
        return Err(Refusal::new(Code::ForbiddenAction, message));
    }
    if !key.accept(index, Instant::now()) {
        let message = format!("{name} is called too often with this key; slow down and retry");
        return Err(Refusal::new(Code::RequestLimitExceeded, message));
    }
    Ok(())
}

/// What may have been signed as the host.
fn hosts(server: &Server, head: &Parts) -> Result<Vec<String>, Refusal> {
    let sent = text(&head.headers, &HOST)?.unwrap_or_default();
    let forwarded = head.headers.get_all(FORWARDED_HOST).iter().filter_map(|value| value.to_str().ok());
    let others = server
        .config
        .server
        .hosts
        .iter()
        .map(String::as_str)
        .chain(forwarded.flat_map(|list| list.split(',')));
    Ok(tc3::hosts(sent, others))
}

async fn read<B>(
    body: &mut B,
    head: &Parts,
    most: usize,
    shares: rest::Shares<'_>,
    known: &mut Known,
) -> Result<rest::WholeBody, Refusal>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let too_long = || {
        let message = format!("the body is larger than {most} bytes");
        Refusal::new(Code::RequestSizeLimitExceeded, message)
    };
    let announced =
        text(&head.headers, &hyper::header::CONTENT_LENGTH)?.and_then(|length| length.parse().ok());
    if announced.is_some_and(|length: usize| length > most) {
        return Err(too_long());
    }
    known.is_read = true;
    rest::read_body(body, most, shares).await.map_err(|trouble| match trouble {
        BodyTrouble::TooLong => too_long(),
        BodyTrouble::TooSlow => Refusal::new(Code::InvalidRequest, "the body did not arrive within 10 s"),
        BodyTrouble::CutOff => Refusal::new(Code::InvalidRequest, "the body was cut off"),
        BodyTrouble::NoRoom => {
            let message = "too many long bodies are on their way; retry in a moment";
            Refusal::new(Code::RequestLimitExceeded, message)
        }
    })
}
