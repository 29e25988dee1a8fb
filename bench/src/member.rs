//! A member's client with as little cost of its own as can be, for there are 10,000 of them on the server's cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, bail};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use crate::process::Roomful;

/// A logged-in connection, read by a task of its own.
pub(crate) struct Member {
    writer: Arc<Mutex<OwnedWriteHalf>>,
    answers: mpsc::Receiver<String>,
    reader: JoinHandle<anyhow::Result<()>>,
    id: u32,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Member {
    pub(crate) async fn enter(
        server: &Roomful,
        user: &str,
        room: &str,
        heard: &Arc<AtomicU64>,
    ) -> anyhow::Result<Self> {
        let mut member = Self::connect(&server.process.address, &server.login(user)?, heard).await?;
        member.call("enter_room", &json!({"RoomId": room}).to_string()).await?;
        Ok(member)
    }

    pub(crate) async fn log_in(server: &Roomful, user: &str) -> anyhow::Result<Self> {
        Self::connect(&server.process.address, &server.login(user)?, &Arc::default()).await
    }

    /// With the body of a `login`; `heard` counts the messages that come in.
    pub(crate) async fn connect(address: &str, login: &str, heard: &Arc<AtomicU64>) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let upgrade = "GET /v1/connect HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(upgrade.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let (reader, writer) = stream.into_split();
        let (sender, answers) = mpsc::channel(4);
        let writer = Arc::new(Mutex::new(writer));
        let reader = tokio::spawn(read(reader, heard.clone(), Some((sender, writer.clone()))));
        let mut member = Self { writer, answers, reader, id: 0 };
        member.call("login", login).await?;
        Ok(member)
    }

    pub(crate) async fn call(&mut self, command: &str, body: &str) -> anyhow::Result<()> {
        self.id += 1;
        let text = format!(r#"{{"id":{},"command":"{command}","body":{body}}}"#, self.id);
        self.writer.lock().await.write_all(&masked_frame(0x81, text.as_bytes())).await?;
        let answer = self.answers.recv().await.context("the connection ended")?;
        if !answer.contains(r#""ErrorCode":0"#) {
            bail!("{command}: {answer}");
        }
        Ok(())
    }
}

/// Reads frames: counts messages, hands answers on, answers pings, and drops the rest.
pub(crate) async fn read(
    mut stream: impl tokio::io::AsyncRead + Unpin,
    heard: Arc<AtomicU64>,
    member: Option<(mpsc::Sender<String>, Arc<Mutex<OwnedWriteHalf>>)>,
) -> anyhow::Result<()> {
    let mut buffer: Vec<u8> = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let mut at = 0;
        while let Some((start, end)) = frame_at(&buffer, at) {
            let payload = buffer.get(start..end).unwrap_or_default();
            if payload.starts_with(br#"{"event":"text_msg""#) {
                heard.fetch_add(1, Ordering::Relaxed);
            } else if let Some((answers, writer)) = &member {
                if payload.starts_with(br#"{"id""#) {
                    let head = payload.get(..payload.len().min(80)).unwrap_or_default();
                    answers.send(String::from_utf8_lossy(head).into_owned()).await?;
                } else if buffer.get(at) == Some(&0x89) {
                    writer.lock().await.write_all(&masked_frame(0x8A, payload)).await?;
                }
            }
            at = end;
        }
        buffer.drain(..at);
        buffer.shrink_to(4096);
        if buffer.capacity() == buffer.len() {
            buffer.reserve(4096);
        }
    }
}

/// The payload of a whole frame that begins at `at`.
fn frame_at(buffer: &[u8], at: usize) -> Option<(usize, usize)> {
    let header = buffer.get(at..at + 2)?;
    let (start, length) = match header.get(1)? {
        126 => (at + 4, usize::from(u16::from_be_bytes(buffer.get(at + 2..at + 4)?.try_into().ok()?))),
        127 => (
            at + 10,
            usize::try_from(u64::from_be_bytes(buffer.get(at + 2..at + 10)?.try_into().ok()?)).ok()?,
        ),
        length => (at + 2, usize::from(*length)),
    };
    (buffer.len() >= start + length).then_some((start, start + length))
}

/// An unmasked text frame, as a server sends it.
pub(crate) fn text_frame(text: &str) -> Vec<u8> {
    frame(0x81, 0, text.as_bytes())
}

/// A frame masked with zeros, as a client sends it.
fn masked_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, 0x80, payload)
}

fn frame(first: u8, mask: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u8::try_from(payload.len()) {
        Ok(length @ ..126) => frame.push(mask | length),
        _ => {
            frame.push(mask | 126);
            frame.extend_from_slice(&u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    if mask != 0 {
        frame.extend_from_slice(&[0; 4]);
    }
    frame.extend_from_slice(payload);
    frame
}
