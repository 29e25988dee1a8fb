//! A member's client with as little cost of its own as can be, for there are 10,000 of them on the server's cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, WriteHalf};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use crate::address::{Address, Stream};

/// Who is told of the messages that come in.
pub trait Hear: Send + Sync + 'static {
    /// A `text_msg` came; `frame` is its JSON.
    fn message(&self, frame: &[u8]);
}

/// Counts them.
impl Hear for AtomicU64 {
    fn message(&self, _: &[u8]) {
        self.fetch_add(1, Ordering::Relaxed);
    }
}

type Writer = Arc<Mutex<WriteHalf<Stream>>>;

/// A logged-in connection, read by a task of its own.
pub struct Member {
    writer: Writer,
    answers: mpsc::Receiver<String>,
    reader: JoinHandle<anyhow::Result<()>>,
    /// How much of an answer is kept.
    kept: Arc<AtomicUsize>,
    id: u32,
    /// What resumes its session.
    token: String,
}

/// The most of the answer to the upgrade.
const MAX_HEAD_BYTES: usize = 8192;

/// How much of an answer is usually kept: its code and most of what it says.
const ANSWER_BYTES: usize = 250;

impl Drop for Member {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Member {
    /// Connects and logs in with the body of a `login`; `heard` is told of the messages that come in.
    ///
    /// # Errors
    /// When there is no server, or it refuses.
    pub async fn connect(address: &Address, login: &str, heard: &Arc<impl Hear>) -> anyhow::Result<Self> {
        let mut stream = address.connect().await?;
        let upgrade = format!(
            "GET /v1/connect HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            address.authority()
        );
        stream.write_all(upgrade.as_bytes()).await?;
        let mut head = Vec::with_capacity(1024);
        let after = loop {
            if let Some(at) = head.windows(4).position(|end| end == b"\r\n\r\n") {
                break head.split_off(at + 4);
            }
            if head.len() > MAX_HEAD_BYTES {
                bail!("no HTTP answer within {MAX_HEAD_BYTES} bytes");
            }
            if stream.read_buf(&mut head).await? == 0 {
                bail!("the connection ended before it was upgraded");
            }
        };
        if !head.starts_with(b"HTTP/1.1 101") {
            bail!("{}", String::from_utf8_lossy(&head).lines().next().unwrap_or_default());
        }
        let (reader, writer) = tokio::io::split(stream);
        let (sender, answers) = mpsc::channel(4);
        let writer = Arc::new(Mutex::new(writer));
        let kept = Arc::new(AtomicUsize::new(ANSWER_BYTES));
        let hearing = Hearing { answers: sender, writer: writer.clone(), kept: kept.clone() };
        let reader = std::io::Cursor::new(after).chain(reader);
        let reader = tokio::spawn(read(reader, heard.clone(), Some(hearing)));
        let mut member = Self { writer, answers, reader, kept, id: 0, token: String::new() };
        let answer = member.ask("login", login).await?;
        let token = answer.split_once(r#""ResumeToken":""#).and_then(|(_, rest)| rest.split_once('"'));
        member.token = token.map(|(token, _)| token.to_owned()).context("no ResumeToken")?;
        Ok(member)
    }

    /// Calls a command with a body of JSON.
    ///
    /// # Errors
    /// When it is refused, or the connection has ended.
    pub async fn call(&mut self, command: &str, body: &str) -> anyhow::Result<()> {
        self.ask(command, body).await.map(drop)
    }

    /// As [`Self::call`]; the whole answer.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn call_for(&mut self, command: &str, body: &str) -> anyhow::Result<String> {
        self.kept.store(usize::MAX, Ordering::Relaxed);
        let answer = self.ask(command, body).await;
        self.kept.store(ANSWER_BYTES, Ordering::Relaxed);
        answer
    }

    /// The body of a `login` that resumes its session on another connection.
    pub fn resumption(&self) -> String {
        format!(r#"{{"ResumeToken":"{}"}}"#, self.token)
    }

    async fn ask(&mut self, command: &str, body: &str) -> anyhow::Result<String> {
        self.id += 1;
        let text = format!(r#"{{"id":{},"command":"{command}","body":{body}}}"#, self.id);
        self.writer.lock().await.write_all(&masked_frame(0x81, text.as_bytes())).await?;
        let answer = self.answers.recv().await.context("the connection ended")?;
        if !answer.contains(r#""ErrorCode":0"#) {
            bail!("{command}: {answer}");
        }
        Ok(answer)
    }

    /// Whether it has not lost its connection.
    pub fn is_connected(&self) -> bool {
        !self.reader.is_finished()
    }
}

/// Where answers go.
pub struct Hearing {
    answers: mpsc::Sender<String>,
    writer: Writer,
    kept: Arc<AtomicUsize>,
}

/// Reads frames: tells of messages, hands answers on, answers pings, and drops the rest.
///
/// # Errors
/// When the connection breaks.
pub async fn read(
    mut stream: impl tokio::io::AsyncRead + Unpin,
    heard: Arc<impl Hear>,
    member: Option<Hearing>,
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
                heard.message(payload);
            } else if let Some(Hearing { answers, writer, kept }) = &member {
                if payload.starts_with(br#"{"id""#) {
                    let head =
                        payload.get(..payload.len().min(kept.load(Ordering::Relaxed))).unwrap_or_default();
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
pub fn text_frame(text: &str) -> Vec<u8> {
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
