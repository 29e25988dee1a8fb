//! Calls of the RTC API, signed by this project's own crate and written byte by byte, so that each can be wrong in its own way.

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use tc3::{Digest, Flat, Payload, Request, SecretKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::script::{folder, interpreter, spawn};
use super::{Server, now};

pub const JSON: &str = "application/json";
pub const FORM: &str = "application/x-www-form-urlencoded";

/// A key of the RTC API, and where it is used.
#[derive(Clone)]
pub struct Caller {
    pub address: String,
    pub id: String,
    pub key: String,
}

/// A call before it is sent.
#[derive(Clone)]
pub struct Sent {
    pub method: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

/// Has an SDK make calls, one after the other; what came of each: its fields, or the code and message that it raised.
pub fn by_sdk(
    (program, script, packages): (&str, &str, &str),
    (sign_method, method): (&str, &str),
    key: &Caller,
    endpoint: &str,
    calls: &Value,
) -> Vec<Value> {
    let mut command = interpreter(program);
    if !packages.is_empty() {
        command.env("PYTHONPATH", folder().join(packages));
    }
    let mut child = spawn(command.arg(script));
    let input = json!({
        "endpoint": endpoint, "id": key.id, "key": key.key, "signMethod": sign_method, "method": method, "calls": calls,
    });
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script} failed; `make test` installs what it needs");
    serde_json::from_slice(&output.stdout).unwrap()
}

impl Server {
    /// A new key, with what `roomful key create` takes besides.
    pub fn key(&self, arguments: &[&str]) -> Caller {
        let mut all = vec!["key", "create", "--json"];
        all.extend(arguments);
        let output = self.cli(&all);
        assert!(output.status.success(), "{output:?}");
        let made: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Caller { address: self.address.clone(), id: text("secret_id"), key: text("secret_key") }
    }
}

impl Caller {
    /// A call by POST, signed as Python's SDK does.
    pub fn post(&self, action: &str, body: &str) -> Sent {
        self.sign(action, "POST", "", JSON, body.as_bytes(), now())
    }

    /// A call by GET.
    pub fn get(&self, action: &str, query: &str) -> Sent {
        self.sign(action, "GET", query, FORM, b"", now())
    }

    pub fn sign(&self, action: &str, method: &str, query: &str, kind: &str, body: &[u8], at: u64) -> Sent {
        let timestamp = at.to_string();
        let header = |name: &str| (name == "content-type").then_some(kind.as_bytes());
        let request = Request {
            method,
            query: if method == "GET" { query } else { "" },
            timestamp: &timestamp,
            payload: Payload::of(body),
            hosts: std::slice::from_ref(&self.address),
            header: &header,
        };
        let key = SecretKey::new(self.key.clone());
        let authorization = tc3::sign(&key, &self.id, "trtc", &["content-type", "host"], &request).unwrap();
        let headers = [
            ("Host", self.address.as_str()),
            ("Content-Type", kind),
            ("Authorization", &authorization),
            ("X-TC-Action", action),
            ("X-TC-Version", "2019-07-22"),
            ("X-TC-Timestamp", &timestamp),
        ];
        Sent {
            method: method.into(),
            query: query.into(),
            headers: headers.map(|(name, value)| (name.into(), value.into())).into(),
            body: body.into(),
        }
    }

    /// The older signature's parameters, unsigned.
    pub fn flat(&self, action: &str, own: &str) -> String {
        let (id, at) = (&self.id, now());
        let own = if own.is_empty() { String::new() } else { format!("&{own}") };
        format!("Action={action}&Version=2019-07-22&Timestamp={at}&Nonce=7&SecretId={id}{own}")
    }

    /// A call with the older signature over `parameters`.
    pub fn sign_flat(&self, method: &str, digest: Digest, parameters: &str) -> Sent {
        let flat = Flat::parse(parameters).unwrap();
        let signature = flat.sign(&SecretKey::new(self.key.clone()), digest, method, &self.address);
        let escaped = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        self.send_flat(method, &format!("{parameters}&Signature={escaped}"))
    }

    /// Flat parameters as they are.
    pub fn send_flat(&self, method: &str, parameters: &str) -> Sent {
        let is_get = method == "GET";
        Sent {
            method: method.into(),
            query: if is_get { parameters.into() } else { String::new() },
            headers: vec![("Host".into(), self.address.clone()), ("Content-Type".into(), FORM.into())],
            body: if is_get { Vec::new() } else { parameters.into() },
        }
    }

    /// Calls, and must be answered.
    pub async fn call(&self, action: &str, body: Value) -> Value {
        self.send(&self.post(action, &body.to_string())).await.response()
    }

    /// Calls until the answer is what is waited for.
    pub async fn wait_for(
        &self,
        action: &str,
        body: &Value,
        within: Duration,
        is_it: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let answer = self.call(action, body.clone()).await;
            if is_it(&answer) {
                return answer;
            }
            assert!(tokio::time::Instant::now() < deadline, "{action} {body}: {answer}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The code of a refusal; "" of a success.
    pub async fn code(&self, action: &str, body: Value) -> String {
        code(&self.call(action, body).await)
    }

    pub async fn send(&self, sent: &Sent) -> Answer {
        let path = if sent.query.is_empty() { "/".into() } else { format!("/?{}", sent.query) };
        let mut head = format!("{} {path} HTTP/1.1\r\nConnection: close\r\n", sent.method);
        for (name, value) in &sent.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let has_length = sent.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        if !has_length && sent.method != "GET" {
            head.push_str(&format!("Content-Length: {}\r\n", sent.body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&sent.body);
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(30), reading).await.expect("no answer").unwrap();
        Answer::parse(&String::from_utf8(answer).unwrap())
    }
}

impl Sent {
    /// With another value of a header; empty takes it away.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        if !value.is_empty() {
            self.headers.push((name.into(), value.into()));
        }
        self
    }

    /// With a header once more.
    pub fn and(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn header(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.unwrap().1.clone()
    }

    pub fn with_body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// With one text in place of another in `Authorization`.
    pub fn authorized(self, from: &str, to: &str) -> Self {
        let authorization = self.header("authorization");
        assert!(authorization.contains(from), "{authorization} has no {from}");
        self.with("Authorization", &authorization.replace(from, to))
    }
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| {
                line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            })
            .map(Option::unwrap)
            .collect();
        Self { status, headers, text: body.into() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What every answer has, and what is under `Response`.
    pub fn response(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let answer: Value = serde_json::from_str(&self.text).unwrap();
        let response = &answer["Response"];
        let lengths: Vec<usize> = response["RequestId"].as_str().unwrap().split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{answer}");
        assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
        if !response["Error"].is_null() {
            assert_eq!(response.as_object().unwrap().len(), 2, "a failure has no other field: {answer}");
            assert!(!response["Error"]["Message"].as_str().unwrap().is_empty(), "{answer}");
        }
        response.clone()
    }
}

/// The code of a refusal; "" of a success.
pub fn code(response: &Value) -> String {
    response["Error"]["Code"].as_str().unwrap_or_default().to_owned()
}
