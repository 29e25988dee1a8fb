//! Sending one event to a receiver: the URL's parameters, the signatures, the connection that may go to public addresses
//! only, the deadline.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rooms::SdkAppId;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use store::Webhook;
use tower_service::Service;

use super::EventIds;
use super::address::is_public;
use crate::{clock, wire};

/// The most bytes of a receiver's answer that are read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// How long an unused connection to a receiver is kept.
const IDLE: Duration = Duration::from_secs(30);

/// How long a test event may take.
const TEST_DEADLINE: Duration = Duration::from_secs(10);

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
}

impl Sender {
    pub(crate) fn new(allow_private: bool) -> Self {
        let mut http =
            HttpConnector::new_with_resolver(PublicResolver { inner: GaiResolver::new(), allow_private });
        http.enforce_http(false);
        http.set_connect_timeout(Some(Duration::from_secs(5)));
        let roots = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider());
        let https = match roots {
            Ok(builder) => builder,
            Err(error) => {
                tracing::warn!(%error, "the system has no root certificates; webhooks over https use built-in ones");
                match HttpsConnectorBuilder::new()
                    .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
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
            .pool_timer(TokioTimer::new())
            .build(https.https_or_http().enable_http1().wrap_connector(http));
        Self { client, allow_private }
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
        let exchange = async {
            let response = self.client.request(request).await.map_err(explain)?;
            let status = response.status();
            // A redirect is not followed: it could lead anywhere.
            if !status.is_success() {
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

fn refused(address: IpAddr) -> String {
    format!(
        "{address} is no public address; set webhooks.allow_private = true if the receiver is meant to be there"
    )
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
    let mut request = Request::post(url)
        .header(CONTENT_TYPE, "application/json")
        .header("User-Agent", concat!("Roomful/", env!("CARGO_PKG_VERSION")))
        .header("Roomful-Event-Id", event_id(delivery.id))
        .header("Roomful-Attempt", delivery.attempt);
    if !token.is_empty() {
        request = request
            .header("Roomful-Signature", format!("t={time},v1={}", sign_body(token, time, delivery.body)));
    }
    request.body(Full::new(Bytes::copy_from_slice(delivery.body.as_bytes())))
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

/// Looks names up, and knows no private addresses: asked anew for every connection, so that a name which changes its
/// mind gains nothing.
#[derive(Clone)]
struct PublicResolver {
    inner: GaiResolver,
    allow_private: bool,
}

type Addresses = std::vec::IntoIter<SocketAddr>;

impl Service<Name> for PublicResolver {
    type Response = Addresses;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Addresses, std::io::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (found, allow_private) = (self.inner.call(name), self.allow_private);
        Box::pin(async move {
            let all: Vec<SocketAddr> = found.await?.collect();
            let public: Vec<_> =
                all.iter().copied().filter(|address| allow_private || is_public(address.ip())).collect();
            match (public.is_empty(), all.first()) {
                (true, Some(address)) => Err(std::io::Error::other(refused(address.ip()))),
                _ => Ok(public.into_iter()),
            }
        })
    }
}
