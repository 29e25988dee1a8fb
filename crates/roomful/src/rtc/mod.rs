//! The RTC API (trtc, version 2019-07-22): `POST /` and signed `GET /`. One way through for every call: who calls (`caller.rs`), the
//! table (`actions.rs`), the parameters (`parameters.rs`), the action, the envelope. HTTP 200 whatever the answer, since SDKs take anything
//! else for a broken network.

mod actions;
mod answer;
mod call;
mod caller;
mod dashboards;
mod monitoring;
mod openapi;
mod parameters;
mod refusal;
mod rooms;
mod unusual;
mod usage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use metrics::{counter, histogram};
use serde_json::Value;

use actions::{ACTIONS, State};
use call::Call;
use caller::{Admitted, Known};
pub(crate) use openapi::document as openapi;
use refusal::{Code, Refusal};

use crate::limit::Rate;
use crate::rest::{self, Body, RequestId};
use crate::server::Server;

/// The one version there is.
const VERSION: &str = "2019-07-22";

/// How often a key may call each action of the table.
pub(crate) fn rates() -> Vec<Rate> {
    ACTIONS.iter().map(|action| action.rate).collect()
}

/// The name of each action of the table.
pub(crate) fn action_names() -> impl Iterator<Item = &'static str> {
    ACTIONS.iter().map(|action| action.name)
}

pub(crate) fn is_action(name: &str) -> bool {
    actions::find(name).is_some()
}

/// Whether a request is a call, and not for the page that is at the same path.
pub(crate) fn is_call<B>(request: &Request<B>) -> bool {
    if request.uri().path() != "/" {
        return false;
    }
    match *request.method() {
        Method::GET | Method::HEAD => {
            caller::is_signed(request.headers(), request.uri().query().unwrap_or_default())
        }
        _ => true,
    }
}

/// Answers a call.
pub(crate) async fn handle<B>(server: Arc<Server>, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let started = Instant::now();
    let request_id = RequestId::next();
    let (head, mut body) = request.into_parts();
    let mut known = Known::default();
    let result = serve(&server, &head, &mut body, &mut known).await;
    if !known.is_read {
        // So that the caller gets to read the answer, and the connection can serve the next request.
        rest::drop_rest(&mut body).await;
    }
    note(&request_id, &known, &result, started.elapsed());
    let trace_id = head.headers.get(answer::TRACE_ID);
    answer::envelope(&request_id, known.language, trace_id, &result)
}

/// What is answered where nobody has looked at the call.
pub(crate) fn unavailable(why: &'static str) -> Response<Body> {
    let refusal = Refusal::new(Code::ServiceUnavailable, why);
    answer::envelope(&RequestId::next(), Known::default().language, None, &Err(refusal))
}

async fn serve<B>(
    server: &Arc<Server>,
    head: &Parts,
    body: &mut B,
    known: &mut Known,
) -> Result<String, Refusal>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let Admitted { key, action, mut parameters, written } = caller::admit(server, head, body, known).await?;
    if server.is_draining() {
        let message = "the server is shutting down; retry on another connection";
        return Err(Refusal::new(Code::ServiceUnavailable, message));
    }
    match &action.state {
        State::Works(handler) => {
            parameters::check(&mut parameters, &handler.parameters, written)?;
            (handler.run)(Call::new(server.clone(), key), Value::Object(parameters)).await
        }
        State::Missing(what) => {
            let message = format!("{} is not possible: this server has no {what}", action.name);
            Err(Refusal::new(Code::UnsupportedOperation, message))
        }
        State::Retired(instead) => {
            let message = format!("{} was retired; {instead} took its place", action.name);
            Err(Refusal::new(Code::ActionOffline, message))
        }
    }
}

/// Of an answer, for the metrics and the log.
fn note(request_id: &RequestId, known: &Known, result: &Result<String, Refusal>, took: Duration) {
    let action = known.action.map_or("?", |action| action.name);
    let code = result.as_ref().map_or_else(|refusal| refusal.code().into_owned(), |_| "Ok".into());
    histogram!("roomful_rtc_request_seconds", "action" => action).record(took);
    counter!("roomful_rtc_requests_total", "action" => action, "code" => code.clone()).increment(1);
    let (request_id, Known { client, key, .. }) = (request_id.uuid(), known);
    match result {
        Ok(_) => tracing::debug!(%request_id, action, key, client, "answered"),
        Err(refusal) if refusal.code == Code::InternalError => {
            tracing::error!(%request_id, action, key, client, code, message = %refusal.message, "failed");
        }
        Err(refusal) => {
            tracing::info!(%request_id, action, key, client, code, message = %refusal.message, "refused");
        }
    }
}
