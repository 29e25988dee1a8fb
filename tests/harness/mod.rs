//! Starts the real binary on a free port with a data folder of its own, calls it over HTTP and WebSocket, and ends it.

#![allow(dead_code, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod nodes;
pub mod postgres;
pub mod receiver;
pub mod rtc;
pub mod script;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use usersig::{Claims, SecretKey};

pub const BINARY: &str = env!("CARGO_BIN_EXE_roomful");
/// A certificate for `localhost`, and its key, as files in `folder`.
pub fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (cert, key)
}

/// For many members that a busy machine takes long for: neither silence ends them, nor time takes them off a list.
pub const PATIENT: &[(&str, &str)] = &[
    ("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"),
    ("ROOMFUL_PRESENCE__SILENT_TIMEOUT", "10m"),
    ("ROOMFUL_PRESENCE__RESUME_GRACE", "10m"),
    ("ROOMFUL_PRESENCE__ALLOW_SLOW", "true"),
];

pub const ADMIN: &str = "administrator";

/// An offer to watch one video, as a browser would make it, cut to what matters.
const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
    a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 \
    00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
    a=setup:actpass\r\na=mid:0\r\na=WAY\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n";

pub fn offer(way: &str) -> String {
    OFFER.replace("WAY", way)
}

pub struct Server {
    child: Child,
    pub address: String,
    pub data: Arc<TempDir>,
    pub app: u32,
    pub key: SecretKey,
    environment: Vec<(String, String)>,
    http: reqwest::Client,
}

impl Server {
    /// A server whose limits do not get in a test's way.
    pub async fn start() -> Self {
        Self::with(&[("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0")]).await
    }

    pub async fn with(environment: &[(&str, &str)]) -> Self {
        let environment =
            environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Self::on(Arc::new(TempDir::new().unwrap()), environment).await
    }

    pub async fn on(data: Arc<TempDir>, environment: Vec<(String, String)>) -> Self {
        Self::at("127.0.0.1:0", data, environment).await
    }

    async fn at(listen: &str, data: Arc<TempDir>, environment: Vec<(String, String)>) -> Self {
        let mut command = Command::new(BINARY);
        command.args(["serve", "--listen", listen, "--data"]).arg(data.path());
        Self::run(command, data, environment).await
    }

    /// A server that listens at `listen`, with more of a command line.
    pub async fn listening(listen: &str, arguments: &[&str]) -> Self {
        let data = Arc::new(TempDir::new().unwrap());
        let mut command = Command::new(BINARY);
        command.args(["serve", "--listen", listen, "--data"]).arg(data.path()).args(arguments);
        Self::run(command, data, Vec::new()).await
    }

    /// A server as `prepare` leaves the process that is about to start: another stderr, fewer files.
    pub async fn prepared(environment: &[(&str, &str)], prepare: impl FnOnce(&mut Command)) -> Self {
        let environment =
            environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let data = Arc::new(TempDir::new().unwrap());
        let mut command = Command::new(BINARY);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data.path());
        prepare(&mut command);
        Self::run(command, data, environment).await
    }

    async fn run(mut command: Command, data: Arc<TempDir>, mut environment: Vec<(String, String)>) -> Self {
        // With `ROOMFUL_TEST_STORE=postgres`, all servers have their records there.
        let is_elsewhere = std::env::var("ROOMFUL_TEST_STORE").is_ok_and(|store| store == "postgres");
        if is_elsewhere && environment.iter().all(|(name, _)| name != "ROOMFUL_STORE__URL") {
            // One that was there before knows where its records are.
            let url = database_of(data.path()).unwrap_or_else(|| postgres::Database::shared().own_url().0);
            environment.push(("ROOMFUL_STORE__URL".into(), url));
        }
        let mut child = command
            .env("ROOMFUL_LOG__LEVEL", "warn")
            .envs(environment.iter().cloned())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("the server ended before it was ready").unwrap();
            if let Some((_, url)) = line.split_once("Open the page:") {
                break url.trim().trim_end_matches('/').split_once("://").unwrap().1.to_string();
            }
        };
        let apps = cli_on(data.path(), &["app", "list", "--json"]);
        let apps: Value = serde_json::from_slice(&apps.stdout).unwrap();
        let app = u32::try_from(apps[0]["sdkappid"].as_u64().unwrap()).unwrap();
        let key = SecretKey::new(apps[0]["secret_key"].as_str().unwrap());
        Self { child, address, data, app, key, environment, http: reqwest::Client::new() }
    }

    /// SIGKILL, at once.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGKILL while others still use the server.
    pub fn kill_now(&self) {
        Command::new("kill").args(["-9", &self.child.id().to_string()]).status().unwrap();
    }

    /// How many bytes of memory the server holds.
    pub fn memory(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// How many it has held at most.
    pub fn peak_memory(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    pub fn process(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends a signal: `TERM`, `STOP`.
    pub fn signal(&self, name: &str) {
        Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM; returns the exit code and how long it took.
    pub async fn terminate(&mut self) -> (Option<i32>, Duration) {
        let started = std::time::Instant::now();
        self.signal("TERM");
        (self.exited().await, started.elapsed())
    }

    /// Waits for the process to end by itself; its exit code.
    pub async fn exited(&mut self) -> Option<i32> {
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A new server on the same folder.
    pub async fn restart(self) -> Self {
        let (data, environment) = (self.data.clone(), self.environment.clone());
        drop(self);
        Self::on(data, environment).await
    }

    /// SIGKILL, and a new server on the same folder and address.
    pub async fn restart_in_place(mut self) -> Self {
        self.kill();
        let (address, data, environment) =
            (self.address.clone(), self.data.clone(), self.environment.clone());
        Self::at(&address, data, environment).await
    }

    /// Where the server has what happened, if that is no database.
    pub fn history_folder(&self) -> Option<PathBuf> {
        database_of(self.data.path()).is_none().then(|| self.data.path().join("history"))
    }

    /// The schema in which it has its records.
    pub fn schema(&self) -> String {
        database_of(self.data.path()).unwrap().rsplit_once("schema=").unwrap().1.to_owned()
    }

    /// Looks into what the server has written of what happened; on a thread of its own, since that may wait.
    pub fn look<T: Send>(&self, get: impl FnOnce(&history::Reader) -> T + Send) -> T {
        let place = match database_of(self.data.path()) {
            None => history::Place::Folder(self.data.path().join("history")),
            Some(url) => {
                let target = Box::new(store::Target::parse(&url, None).unwrap());
                history::Place::Database { target, generation: 0 }
            }
        };
        let look = || get(&history::Reader::new(&place, Arc::new(|| now().cast_signed() * 1000)));
        std::thread::scope(|scope| scope.spawn(look).join().unwrap())
    }

    /// The command line in the server's own environment.
    pub fn cli_with(&self, arguments: &[&str]) -> Output {
        let environment = self.environment.iter().cloned();
        Command::new(BINARY)
            .args(arguments)
            .arg("--data")
            .arg(self.data.path())
            .envs(environment)
            .output()
            .unwrap()
    }

    pub fn cli(&self, arguments: &[&str]) -> Output {
        cli_on(self.data.path(), arguments)
    }

    pub fn sig(&self, user: &str) -> String {
        self.sig_for(user, 3600)
    }

    /// A UserSig that holds for so many seconds.
    pub fn sig_for(&self, user: &str, seconds: u64) -> String {
        usersig::sign(&self.key, &Claims::new(user, self.app, now(), seconds)).unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        let (app, sig) = (self.app, self.sig(ADMIN));
        format!(
            "http://{}/v4/{path}?sdkappid={app}&identifier={ADMIN}&usersig={sig}&random=7&contenttype=json",
            self.address
        )
    }

    /// Calls a command; the HTTP status is always 200.
    pub async fn call(&self, path: &str, body: Value) -> Value {
        self.try_call(path, body).await.unwrap()
    }

    pub async fn try_call(&self, path: &str, body: Value) -> Result<Value, reqwest::Error> {
        let response = self.http.post(self.url(path)).body(body.to_string()).send().await?;
        assert_eq!(response.status(), 200);
        response.json().await
    }

    pub async fn live(&self, command: &str, body: Value) -> Value {
        self.call(&format!("live_engine_http_srv/{command}"), body).await
    }

    /// As [`Self::live`], and it must succeed.
    pub async fn ok(&self, command: &str, body: Value) -> Value {
        let path =
            if command.contains('/') { command.into() } else { format!("live_engine_http_srv/{command}") };
        let mut answer = self.call(&path, body.clone()).await;
        assert_eq!(answer["ErrorCode"], 0, "{path} {body}: {answer}");
        answer["Response"].take()
    }

    /// The code of an answer that must be a refusal.
    pub async fn code(&self, command: &str, body: Value) -> u64 {
        let path =
            if command.contains('/') { command.into() } else { format!("live_engine_http_srv/{command}") };
        let answer = self.call(&path, body).await;
        assert_eq!(answer["ActionStatus"], "FAIL", "{answer}");
        assert_ne!(answer["ErrorInfo"], "", "{answer}");
        answer["ErrorCode"].as_u64().unwrap()
    }

    /// Makes accounts known.
    pub async fn import(&self, users: &[&str]) {
        let answer = self.call("im_open_login_svc/multiaccount_import", json!({"Accounts": users})).await;
        assert_eq!(answer["ErrorCode"], 0, "{answer}");
    }

    pub async fn create_room_with(&self, room: &str, mut fields: Value) {
        fields["RoomId"] = room.into();
        fields["RoomType"] = "Live".into();
        self.ok("create_room", json!({"RoomInfo": fields})).await;
    }

    pub async fn create_room(&self, room: &str) {
        let answer =
            self.live("create_room", json!({"RoomInfo": {"RoomId": room, "RoomType": "Live"}})).await;
        assert_eq!(answer["ErrorCode"], 0, "{answer}");
    }

    /// All listed members, and the count.
    pub async fn members(&self, room: &str) -> (Vec<String>, u64) {
        let answer = self.live("get_member_list", json!({"RoomId": room, "Next": ""})).await;
        assert_eq!(answer["ErrorCode"], 0, "{answer}");
        (names(&answer["Response"]["MemberList"]), answer["Response"]["MemberCount"].as_u64().unwrap())
    }

    /// Waits until `/readyz` answers with that status; what it says.
    pub async fn wait_for_readyz(&self, wanted: u16, within: Duration) -> String {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            // A node that begins anew resets what it had.
            let asked = self.http.get(format!("http://{}/readyz", self.address)).send().await;
            let (status, said) = match asked {
                Ok(response) => (response.status().as_u16(), response.text().await.unwrap_or_default()),
                Err(error) => (0, error.to_string()),
            };
            if status == wanted {
                return said;
            }
            assert!(tokio::time::Instant::now() < deadline, "/readyz says {status} {said}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until exactly these are listed.
    pub async fn wait_for_members(&self, room: &str, expected: &[&str], within: Duration) {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let (members, _) = self.members(room).await;
            if members == expected {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{members:?} instead of {expected:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = self.http.get(format!("http://{}{path}", self.address)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Watches by WHEP; returns the HTTP status and where the session is.
    pub async fn whep(&self, room: &str, user: &str) -> (u16, String) {
        let (status, location, _) = self.post_offer(&format!("/whep/{room}"), user, offer("recvonly")).await;
        (status, location)
    }

    /// Posts an offer by WHIP or WHEP; returns the HTTP status, where the session is, and the answer.
    pub async fn post_offer(&self, path: &str, user: &str, offer: String) -> (u16, String, String) {
        let request = self.http.post(format!("http://{}{path}", self.address));
        let request = request.bearer_auth(self.sig(user)).header("Content-Type", "application/sdp");
        let response = request.body(offer).send().await.unwrap();
        let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_string());
        (response.status().as_u16(), location.unwrap_or_default(), response.text().await.unwrap())
    }

    /// What there is of a session by WHIP or WHEP: the HTTP status.
    pub async fn resource(&self, location: &str, user: &str) -> u16 {
        let request = self.http.get(format!("http://{}{location}", self.address));
        request.bearer_auth(self.sig(user)).send().await.unwrap().status().as_u16()
    }

    pub async fn end_resource(&self, location: &str, user: &str) {
        let request = self.http.delete(format!("http://{}{location}", self.address));
        let status = request.bearer_auth(self.sig(user)).send().await.unwrap().status().as_u16();
        assert_eq!(status, 200);
    }

    /// The metrics, by the control socket.
    pub async fn metrics(&self) -> String {
        let mut stream = UnixStream::connect(self.data.path().join("control.sock")).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    /// The value of a metric that has no labels, or is named with them.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        value_in(&self.metrics().await, name)
    }

    pub async fn connect(&self) -> Client {
        self.connect_from("127.0.0.1").await
    }

    /// As [`Self::connect`], by a proxy on this machine that says where the client is.
    pub async fn connect_from(&self, address: &str) -> Client {
        let mut request = format!("ws://{}/v1/connect", self.address).into_client_request().unwrap();
        request.headers_mut().insert("x-forwarded-for", address.parse().unwrap());
        let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        Client { socket, events: Vec::new(), next_id: 1, resume_token: String::new() }
    }

    /// As [`Self::connect`]; `None` when there is no server.
    pub async fn try_connect(&self) -> Option<Client> {
        Client::connect_to(&self.address).await
    }

    pub async fn log_in(&self, user: &str) -> Client {
        self.log_in_on(self.connect().await, user).await
    }

    /// As [`Self::log_in`], on a connection that there is.
    pub async fn log_in_on(&self, mut client: Client, user: &str) -> Client {
        let login = json!({"SdkAppId": self.app, "UserId": user, "UserSig": self.sig(user)});
        let answer = client.call("login", login).await;
        assert_eq!(answer["ErrorCode"], 0, "{answer}");
        client.resume_token = answer["Response"]["ResumeToken"].as_str().unwrap().into();
        client
    }

    pub async fn enter(&self, user: &str, room: &str) -> Client {
        let mut client = self.log_in(user).await;
        let answer = client.call("enter_room", json!({"RoomId": room})).await;
        assert_eq!(answer["ErrorCode"], 0, "{answer}");
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A disk of its own for a data folder, which is small.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    pub fn mount() -> Self {
        let folder = TempDir::new().unwrap();
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(folder.path()).status();
        assert!(status.unwrap().success(), "this test mounts a small tmpfs, for which it has to run as root");
        Self(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes up what is left of it, with the file that is returned.
    pub fn fill(&self) -> PathBuf {
        let ballast = self.path().join("ballast");
        let _ = std::fs::write(&ballast, vec![0; 8 << 20]);
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// The database in which a folder's server has its records, if it has them in one.
fn database_of(data: &Path) -> Option<String> {
    let url = std::fs::read_to_string(data.join("database")).ok()?;
    Some(url.trim().to_owned())
}

pub fn cli_on(data: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).arg("--data").arg(data).output().unwrap()
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The value of a metric among what a server says of itself at one moment.
pub fn value_in(metrics: &str, name: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

pub fn names(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|member| member["Member_Account"].as_str().unwrap().into()).collect()
}

/// A member's client: a third-party WebSocket over which frames go as the protocol document says.
pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Events that came while something else was waited for.
    pub events: Vec<Value>,
    next_id: u32,
    pub resume_token: String,
}

impl Client {
    /// `None` when nobody is there.
    pub async fn connect_to(address: &str) -> Option<Self> {
        let (socket, _) =
            tokio_tungstenite::connect_async(format!("ws://{address}/v1/connect")).await.ok()?;
        Some(Self { socket, events: Vec::new(), next_id: 1, resume_token: String::new() })
    }

    pub async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub async fn call(&mut self, command: &str, body: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&json!({"id": id, "command": command, "body": body}).to_string()).await;
        loop {
            let frame = self.read().await.expect("the connection was closed instead of an answer");
            if frame["id"] == id {
                return frame;
            }
            self.events.push(frame);
        }
    }

    /// As [`Self::call`], without keeping events; `None` when the connection is gone.
    pub async fn try_call(&mut self, command: &str, body: Value) -> Option<Value> {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({"id": id, "command": command, "body": body}).to_string();
        self.socket.send(Message::text(request)).await.ok()?;
        loop {
            let frame = self.read().await.ok()?;
            if frame["id"] == id {
                return Some(frame);
            }
        }
    }

    /// As [`Self::call`], and it must succeed.
    pub async fn ok(&mut self, command: &str, body: Value) -> Value {
        let mut answer = self.call(command, body.clone()).await;
        assert_eq!(answer["ErrorCode"], 0, "{command} {body}: {answer}");
        answer["Response"].take()
    }

    /// The code of an answer that must be a refusal.
    pub async fn code(&mut self, command: &str, body: Value) -> u64 {
        let answer = self.call(command, body.clone()).await;
        assert_ne!(answer["ErrorCode"], 0, "{command} {body}: {answer}");
        assert_ne!(answer["ErrorInfo"], "", "{answer}");
        answer["ErrorCode"].as_u64().unwrap()
    }

    /// The next frame; the close status when the server closes.
    pub async fn read(&mut self) -> Result<Value, Option<u16>> {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(60), self.socket.next()).await;
            match next.expect("nothing came within 60 s") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// The next event of that kind.
    pub async fn event(&mut self, kind: &str) -> Value {
        if let Some(at) = self.events.iter().position(|event| event["event"] == kind) {
            return self.events.remove(at)["body"].take();
        }
        loop {
            let mut frame = self.read().await.expect("the connection was closed instead of an event");
            if frame["event"] == kind {
                return frame["body"].take();
            }
            self.events.push(frame);
        }
    }

    /// Reads until the server closes, and returns the status.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            match self.read().await {
                Ok(frame) => self.events.push(frame),
                Err(status) => return status,
            }
        }
    }

    /// Closes cleanly, and waits for the server's answer.
    pub async fn close(mut self) {
        self.socket.close(None).await.unwrap();
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    /// The network is gone: the socket is reset without a word.
    pub fn cut(self) {
        if let MaybeTlsStream::Plain(stream) = self.socket.get_ref() {
            stream.set_zero_linger().unwrap();
        }
    }
}
