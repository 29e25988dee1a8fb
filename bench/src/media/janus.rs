//! Janus (VideoRoom), driven over its HTTP interface. It speaks on no loopback address, so it is measured in a network
//! namespace that has another (`bench/namespace.sh`).

use std::net::IpAddr;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Signalling, http};
use load::{Offered, Peer, Stats};

const PORT: u16 = 18_088;

/// A running Janus with one room.
pub(crate) struct Janus {
    child: Child,
    _folder: TempDir,
    ip: IpAddr,
    room: u64,
    feed: Value,
}

impl Drop for Janus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts it; `None` where it is not installed, or has no network.
pub(crate) async fn start() -> anyhow::Result<Option<Janus>> {
    let Ok(ip) = std::env::var("BENCH_ADDRESS") else { return Ok(None) };
    let ip: IpAddr = ip.parse()?;
    let folder = TempDir::new()?;
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text);
    let nat = "nat: { ice_lite = false full_trickle = false }\nmedia: { ipv6 = false }\n";
    write("janus.jcfg", format!("general: {{ debug_level = 1 session_timeout = 0 }}\n{nat}"))?;
    let http = format!(
        "general: {{ json = \"compact\" http = true port = {PORT} https = false ip = \"127.0.0.1\" }}\n"
    );
    write("janus.transport.http.jcfg", http + "admin: { admin_http = false }\n")?;
    write("janus.plugin.videoroom.jcfg", "general: { }\n".into())?;
    let child = crate::process::command_on_all_cores("janus")
        .arg("--configs-folder")
        .arg(folder.path())
        .arg("--disable-colors")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = child else { return Ok(None) };
    let mut janus = Janus { child, _folder: folder, ip, room: 0, feed: Value::Null };
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if janus.next_room().await.is_ok() {
            return Ok(Some(janus));
        }
    }
    anyhow::bail!("Janus does not answer on port {PORT}")
}

/// A field of an answer; null where there is none.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    value.pointer(path).unwrap_or(&Value::Null)
}

impl Janus {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    async fn call(path: &str, mut body: Value) -> anyhow::Result<Value> {
        if let Some(body) = body.as_object_mut() {
            body.insert("transaction".into(), "t".into());
        }
        let body = body.to_string();
        let request = format!(
            "POST /janus{path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        );
        let (_, answer) = http(&format!("127.0.0.1:{PORT}"), &request).await?;
        let answer: Value = serde_json::from_str(&answer)?;
        anyhow::ensure!(*at(&answer, "/janus") != "error", "{answer}");
        Ok(answer)
    }

    /// Long-polls a session for the event that `found` picks.
    async fn event(session: &str, found: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        for _ in 0..20 {
            let request =
                format!("GET /janus{session} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            let (_, answer) = http(&format!("127.0.0.1:{PORT}"), &request).await?;
            let answer: Value = serde_json::from_str(&answer)?;
            if found(&answer) {
                return Ok(answer);
            }
        }
        anyhow::bail!("Janus did not say what was waited for")
    }

    /// A session and its handle on the video room.
    async fn handle() -> anyhow::Result<(String, String)> {
        let session = Self::call("", json!({"janus": "create"})).await?;
        let session = format!("/{}", at(&session, "/data/id"));
        let attach = json!({"janus": "attach", "plugin": "janus.plugin.videoroom"});
        let handle = Self::call(&session, attach).await?;
        let handle = format!("{session}/{}", at(&handle, "/data/id"));
        Ok((session, handle))
    }

    pub(crate) async fn next_room(&mut self) -> anyhow::Result<()> {
        let (_, handle) = Self::handle().await?;
        self.room += 1;
        let body = json!({"request": "create", "room": self.room, "publishers": 3, "bitrate": 0, "videocodec": "vp8", "fir_freq": 0});
        Self::call(&handle, json!({"janus": "message", "body": body})).await?;
        Ok(())
    }
}

impl Signalling for Janus {
    async fn publish(&mut self, stats: &Arc<Stats>) -> anyhow::Result<Peer> {
        let (session, handle) = Self::handle().await?;
        let (offer, offered) = Offered::publisher(self.ip, stats).await?;
        let body = json!({"request": "joinandconfigure", "room": self.room, "ptype": "publisher"});
        let message = json!({"janus": "message", "body": body, "jsep": {"type": "offer", "sdp": offer}});
        Self::call(&handle, message).await?;
        let event = Self::event(&session, |event| at(event, "/jsep/sdp").is_string()).await?;
        self.feed = at(&event, "/plugindata/data/id").clone();
        offered.accept(at(&event, "/jsep/sdp").as_str().context("an answer")?)
    }

    async fn watch(&mut self, _: usize, is_sampled: bool, stats: &Arc<Stats>) -> anyhow::Result<Peer> {
        let (session, handle) = Self::handle().await?;
        let streams = json!([{"feed": self.feed}]);
        let body = json!({"request": "join", "room": self.room, "ptype": "subscriber", "streams": streams, "feed": self.feed});
        Self::call(&handle, json!({"janus": "message", "body": body})).await?;
        let event = Self::event(&session, |event| at(event, "/jsep/sdp").is_string()).await?;
        let offer = at(&event, "/jsep/sdp").as_str().context("an offer")?;
        let (answer, peer) = Peer::answer(self.ip, offer, is_sampled, stats).await?;
        let start = json!({"janus": "message", "body": {"request": "start"}, "jsep": {"type": "answer", "sdp": answer}});
        Self::call(&handle, start).await?;
        Ok(peer)
    }
}
