//! Sending one event to a receiver: the URL's parameters, the signatures, the place on the wire, the connection that
//! may go to public addresses only, the deadline.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rooms::SdkAppId;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use store::{Callback, Webhook};

use super::EventIds;
use super::address::{is_public, refused};
use super::places::{Bounds, Place, Places};
use super::resolver::PublicResolver;
use crate::{clock, wire};

/// The most bytes of a receiver's answer that are read; also of its headers.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// How long an unused connection to a receiver is kept.
const IDLE: Duration = Duration::from_secs(30);

/// How many of them are kept for one host.
const MOST_IDLE: usize = 32;

/// How many events are on the wire at once. Each is a socket.
const EVENTS: Bounds = Bounds { own: 8, most: 64, shared: 512 };

/// How many event callbacks are, of each group of an app.
const CALLBACKS: Bounds = Bounds { own: 2, most: 8, shared: 256 };

/// How many questions are. What members wait for has more: one that gets no place in time is not asked.
const QUESTIONS: Bounds = Bounds { own: 32, most: 256, shared: 1024 };

/// How long a test event may take.
const TEST_DEADLINE: Duration = Duration::from_secs(10);

/// What receivers see as the sender.
const ROOMFUL: &str = concat!("Roomful/", env!("CARGO_PKG_VERSION"));

/// One event on its way.
pub(super) struct Delivery<'a> {
    pub(super) app: SdkAppId,
    pub(super) command: &'a str,
    pub(super) body: &'a str,
    /// Unique, the same on every retry.
    pub(super) id: u64,
    /// From 1.
    pub(super) attempt: u32,
}

/// Sends events.
pub(crate) struct Sender {
    client: Client<HttpsConnector<HttpConnector<PublicResolver>>, Full<Bytes>>,
    allow_private: bool,
    events: Places<SdkAppId>,
    questions: Places<SdkAppId>,
    callbacks: Places<(SdkAppId, u8)>,
}

impl Sender {
    pub(crate) fn new(allow_private: bool) -> Self {
        let mut http = HttpConnector::new_with_resolver(PublicResolver::new(allow_private));
        http.enforce_http(false);
        http.set_connect_timeout(Some(Duration::from_secs(5)));
        let roots = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider());
        let https = match roots {
            Ok(builder) => builder,
            Err(error) => {
                tracing::warn!(%error, "the system has no root certificates; webhooks over https use built-in ones");
                match HttpsConnectorBuilder::new()
                    .with_provider_and_webpki_roots(rustls::crypto::aws_lc_rs::default_provider())
                {
                    Ok(builder) => builder,
                    // Only a provider without any protocol version gets here.
                    Err(error) => {
                        tracing::error!(%error, "no TLS for webhooks");
                        HttpsConnectorBuilder::new().with_tls_config(empty_tls())
                    }
                }
            }
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MOST_IDLE)
            .http1_max_buf_size(MAX_ANSWER_BYTES)
            .pool_timer(TokioTimer::new())
            .build(https.https_or_http().enable_http1().wrap_connector(http));
        let (events, questions, callbacks) =
            (Places::new(EVENTS), Places::new(QUESTIONS), Places::new(CALLBACKS));
        Self { client, allow_private, events, questions, callbacks }
    }

    /// Waits until one more event of `app` may be sent; for as long as the place is kept.
    pub(super) async fn event_place(&self, app: SdkAppId) -> Option<Place> {
        self.events.take(app).await
    }

    /// The same of an event callback of a group.
    pub(super) async fn callback_place(&self, app: SdkAppId, group: u8) -> Option<Place> {
        self.callbacks.take((app, group)).await
    }

    /// Sends a question and returns what was answered, all of it before the deadline.
    ///
    /// # Errors
    /// Why there is no answer, in words.
    pub(super) async fn ask(
        &self,
        to: &Webhook,
        delivery: &Delivery<'_>,
        deadline: Duration,
    ) -> Result<Bytes, String> {
        let until = tokio::time::Instant::now() + deadline;
        let place = tokio::time::timeout_at(until, self.questions.take(delivery.app)).await;
        let Ok(_place) = place else {
            return Err("too many questions to the receiver wait for an answer".into());
        };
        self.send(to, delivery, until.saturating_duration_since(tokio::time::Instant::now())).await
    }

    /// Sends an event and returns what was answered.
    ///
    /// # Errors
    /// Why it did not arrive, in words.
    pub(super) async fn send(
        &self,
        to: &Webhook,
        delivery: &Delivery<'_>,
        deadline: Duration,
    ) -> Result<Bytes, String> {
        let base = check_url(&to.url, self.allow_private)?;
        let request = request(&base, &to.token, delivery).map_err(|error| error.to_string())?;
        self.exchange(request, StatusCode::is_success, deadline).await
    }

    /// Sends an event callback, which has arrived when the answer is exactly 200.
    ///
    /// # Errors
    /// Why it did not arrive, in words.
    pub(super) async fn call_back(
        &self,
        to: &Callback,
        delivery: &Delivery<'_>,
        deadline: Duration,
    ) -> Result<(), String> {
        let url = check_url(&to.url, self.allow_private)?;
        let mut request = post(url, delivery).header("SdkAppId", delivery.app.0);
        if !to.key.is_empty() {
            request = request.header("Sign", sign_callback(&to.key, delivery.body));
        }
        let body = Full::new(Bytes::copy_from_slice(delivery.body.as_bytes()));
        let request = request.body(body).map_err(|error| error.to_string())?;
        self.exchange(request, |status| *status == StatusCode::OK, deadline).await.map(|_| ())
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        has_arrived: fn(&StatusCode) -> bool,
        deadline: Duration,
    ) -> Result<Bytes, String> {
        let exchange = async {
            let response = self.client.request(request).await.map_err(explain)?;
            let status = response.status();
            // A redirect is not followed: it could lead anywhere.
            if !has_arrived(&status) {
                return Err(format!("the receiver answered with HTTP status {status}"));
            }
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
            Ok(body.map_err(|error| format!("the receiver's answer was cut off: {error}"))?.to_bytes())
        };
        tokio::time::timeout(deadline, exchange).await.unwrap_or_else(|_| {
            Err(format!("the receiver did not answer within {} ms", deadline.as_millis()))
        })
    }
}

/// Sends a test event and returns what was answered.
///
/// # Errors
/// Why it did not arrive, in words.
pub(crate) async fn test(sender: &Sender, app: SdkAppId, to: &Webhook) -> Result<String, String> {
    if to.url.is_empty() {
        return Err(format!("app {app} has no receiver; set one with `roomful webhook set --url URL`"));
    }
    let command = "Roomful.CallbackTest";
    let body = json!({"CallbackCommand": command, "EventTime": clock::now().unix_millis()}).to_string();
    let delivery = Delivery { app, command, body: &body, id: EventIds::after(0).next(), attempt: 1 };
    let answer = sender.send(to, &delivery, TEST_DEADLINE).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn empty_tls() -> rustls::ClientConfig {
    rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

/// The whole story: hyper's outermost error says only that it could not connect.
fn explain(error: hyper_util::client::legacy::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Checks a receiver's URL.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn check_url(url: &str, allow_private: bool) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|error| format!("the URL {url:?} cannot be read: {error}"))?;
    let scheme = uri.scheme_str().unwrap_or_default();
    if !matches!(scheme, "http" | "https") {
        return Err(format!("the URL {url:?} must begin with http:// or https://"));
    }
    let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    if authority.contains('@') {
        return Err("the URL has a user name in it; use a token instead".into());
    }
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse::<IpAddr>()
        && !allow_private
        && !is_public(address)
    {
        return Err(refused(address));
    }
    Ok(uri)
}

fn request(
    base: &Uri,
    token: &str,
    delivery: &Delivery<'_>,
) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let command = utf8_percent_encode(delivery.command, NON_ALPHANUMERIC).to_string().replace("%2E", ".");
    let mut query = format!(
        "SdkAppid={}&CallbackCommand={command}&contenttype=json&ClientIP=127.0.0.1&OptPlatform=RESTAPI",
        delivery.app
    );
    let time = clock::now().unix_seconds();
    if !token.is_empty() {
        let sign = wire::hex(&Sha256::digest(format!("{token}{time}")));
        query.push_str(&format!("&RequestTime={time}&Sign={sign}"));
    }
    let separator = if base.query().is_some() { '&' } else { '?' };
    let path = base.path_and_query().map_or("/", |path| path.as_str());
    let authority = base.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let url = format!("{}://{authority}{path}{separator}{query}", base.scheme_str().unwrap_or("http"));
    let mut request = post(url, delivery);
    if !token.is_empty() {
        request = request
            .header("Roomful-Signature", format!("t={time},v1={}", sign_body(token, time, delivery.body)));
    }
    request.body(Full::new(Bytes::copy_from_slice(delivery.body.as_bytes())))
}

/// A post of an event, as far as all are alike.
fn post<U>(url: U, delivery: &Delivery<'_>) -> hyper::http::request::Builder
where
    U: TryInto<Uri>,
    U::Error: Into<hyper::http::Error>,
{
    Request::post(url)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, ROOMFUL)
        .header("Roomful-Event-Id", event_id(delivery.id))
        .header("Roomful-Attempt", delivery.attempt)
}

/// An event's id as a receiver sees it.
fn event_id(id: u64) -> String {
    format!("evt-{id:016x}")
}

/// The HMAC-SHA256 of the time, a dot and the body, under the token.
fn sign_body(token: &str, time: u64, body: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(token.as_bytes()) else { return String::new() };
    mac.update(format!("{time}.").as_bytes());
    mac.update(body.as_bytes());
    wire::hex(&mac.finalize().into_bytes())
}

/// `Sign` of an event callback: the HMAC-SHA256 of the body, as it is sent, under the key.
fn sign_callback(key: &str, body: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else { return String::new() };
    mac.update(body.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_body_has_the_published_signature() {
        let body = "{\n\t\"EventGroupId\":\t2,\n\t\"EventType\":\t204,\n\t\"CallbackTs\":\t1664209748188,\n\
            \t\"EventInfo\":\t{\n\t\t\"RoomId\":\t8489,\n\t\t\"EventTs\":\t1664209748,\n\
            \t\t\"EventMsTs\":\t1664209748180,\n\t\t\"UserId\":\t\"user_85034614\",\n\t\t\"Reason\":\t0\n\t}\n}";

        assert_eq!(sign_callback("123654", body), "kkoFeO3Oh2ZHnjtg8tEAQhtXK16/KI05W3BQff8IvGA=");
    }
}
