//! A webhook receiver: remembers what it was sent, and answers as it is told.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::Sha256;

/// How the RTC's event callbacks are signed.
pub fn sign(key: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// One request that came.
#[derive(Clone, Debug)]
pub struct Received {
    pub command: String,
    pub query: String,
    pub headers: HeaderMap,
    pub text: String,
    pub body: Value,
}

impl Received {
    pub fn id(&self) -> String {
        self.headers["roomful-event-id"].to_str().unwrap().into()
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

type Answers = Box<dyn Fn(&Received, usize) -> Answer + Send + Sync>;

/// How a request is answered.
pub enum Answer {
    Json(Value),
    Status(u16),
    /// A refusal, not before that time is over.
    After(Duration),
    /// Nothing against it, not before that time is over.
    AgreedAfter(Duration),
    Redirect(String),
}

struct Shared {
    received: Mutex<Vec<Received>>,
    answers: Mutex<Answers>,
}

pub struct Receiver {
    pub url: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Agrees to everything.
    pub async fn start() -> Self {
        Self::answering(|_, _| Answer::Json(json!({"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""})))
            .await
    }

    /// Answers by what came, and how many came before.
    pub async fn answering(answers: impl Fn(&Received, usize) -> Answer + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared { received: Mutex::default(), answers: Mutex::new(Box::new(answers)) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().fallback(receive).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, task }
    }

    pub fn all(&self) -> Vec<Received> {
        self.shared.received.lock().clone()
    }

    /// Everything of one command.
    pub fn of(&self, command: &str) -> Vec<Received> {
        self.all().into_iter().filter(|received| received.command == command).collect()
    }

    /// Waits for at least `count` of a command.
    pub async fn wait_for(&self, command: &str, count: usize) -> Vec<Received> {
        self.wait_until(command, |received| received.len() >= count).await
    }

    pub async fn wait_until(&self, command: &str, done: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        self.until(|| self.of(command), done).await
    }

    /// The same of everything.
    pub async fn wait_for_all(&self, done: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        self.until(|| self.all(), done).await
    }

    async fn until(
        &self,
        look: impl Fn() -> Vec<Received>,
        done: impl Fn(&[Received]) -> bool,
    ) -> Vec<Received> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let received = look();
            if done(&received) {
                return received;
            }
            assert!(tokio::time::Instant::now() < deadline, "only {received:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Who is in each room if one follows the events alone.
    pub fn members(&self) -> HashMap<String, HashSet<String>> {
        let (mut rooms, mut known) = (HashMap::<String, HashSet<String>>::new(), HashSet::new());
        for received in self.shared.received.lock().iter() {
            // A receiver gets some events twice, and tells them by their ids.
            let Some(room) = received.body["RoomId"].as_str() else { continue };
            if !known.insert(received.id()) {
                continue;
            }
            let members = rooms.entry(room.into()).or_default();
            if received.command.ends_with("AfterDestroyRoom") {
                members.clear();
            }
            for member in received.body["MemberList"].as_array().into_iter().flatten() {
                let name = member["Member_Account"].as_str().unwrap().to_string();
                match received.body["EventType"].as_str() {
                    Some("Online") => drop(members.insert(name)),
                    Some("Offline") => drop(members.remove(&name)),
                    _ => {}
                }
            }
        }
        rooms
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, String) {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let body: Value = serde_json::from_str(&text).unwrap();
    let command = body["CallbackCommand"].as_str().unwrap_or_default().to_string();
    let received = Received { command, query: query.unwrap_or_default(), headers, text, body };
    let answer = {
        let mut all = shared.received.lock();
        let answer = (shared.answers.lock())(&received, all.len());
        all.push(received);
        answer
    };
    match answer {
        Answer::Json(json) => (StatusCode::OK, HeaderMap::new(), json.to_string()),
        Answer::Status(status) => (StatusCode::from_u16(status).unwrap(), HeaderMap::new(), String::new()),
        Answer::After(pause) => {
            tokio::time::sleep(pause).await;
            (StatusCode::OK, HeaderMap::new(), json!({"ErrorCode": 1}).to_string())
        }
        Answer::AgreedAfter(pause) => {
            tokio::time::sleep(pause).await;
            (StatusCode::OK, HeaderMap::new(), json!({"ErrorCode": 0}).to_string())
        }
        Answer::Redirect(to) => {
            let headers = HeaderMap::from_iter([(axum::http::header::LOCATION, to.parse().unwrap())]);
            (StatusCode::TEMPORARY_REDIRECT, headers, String::new())
        }
    }
}
