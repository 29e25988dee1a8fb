//! One connection from its login to its end. The task reads, answers in order, and writes what the rooms have for the
//! member. It never makes a room wait: what it does not take from its bounded queue in time ends the connection.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rooms::LeaveCause;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as WireFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{self, Bytes, Message, Utf8Bytes};

use super::commands::{self, Reply};
use crate::hub::{Hub, drained};
use crate::session::{Close, Closer, Frame, Loss, Session};

pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// How long a client may take to log in (`spec/gateway.md`).
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection that is being closed may take over it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A longer text is sent in several WebSocket fragments, so that no connection keeps a large buffer.
const FRAGMENT_BYTES: usize = 4096;

/// After how many milliseconds clients come back that are told to reconnect.
const RECONNECT_AFTER_MS: u32 = 1000;

/// How a connection ends.
enum End {
    /// The client closed it on purpose.
    Clean,
    /// It was lost.
    Lost(Loss),
    /// We close it.
    Close(Close),
}

/// A logged-in connection.
pub(super) struct Member {
    pub(super) session: Arc<Session>,
    pub(super) generation: u64,
    pub(super) outbox: mpsc::Receiver<Frame>,
}

/// Serves a connection to its end.
pub(super) async fn serve(hub: Arc<Hub>, mut socket: Socket) {
    // The drain waits until every receiver is gone.
    let _alive = hub.draining.subscribe();
    let closer = Arc::new(Closer::default());
    let login = timeout(LOGIN_TIMEOUT, log_in(&hub, &mut socket, &closer)).await;
    let mut member = match login.unwrap_or(Err(End::Close(Close::NO_LOGIN))) {
        Ok(member) => member,
        Err(end) => return finish(&mut socket, &end).await,
    };
    let end = Box::pin(converse(&hub, &mut socket, &mut member, &closer)).await;

    let Member { session, generation, outbox } = member;
    drop(outbox);
    match &end {
        // Off the list before the close is answered.
        End::Clean if session.is_at(generation) => hub.end_session(&session, LeaveCause::Leave),
        End::Clean => {}
        End::Lost(loss) => lose(&hub, &session, generation, *loss),
        End::Close(_) => lose(&hub, &session, generation, Loss::Silent),
    }
    finish(&mut socket, &end).await;
}

fn lose(hub: &Arc<Hub>, session: &Arc<Session>, generation: u64, loss: Loss) {
    if session.detach(generation, loss) {
        hub.journal.session(session.id);
        hub.expire_unless_resumed(session.clone(), generation);
    }
}

/// Says why, and waits a moment for the client to say the same.
async fn finish(socket: &mut Socket, end: &End) {
    let closing = async {
        if let End::Close(why) = end {
            let frame = CloseFrame { code: CloseCode::from(why.status), reason: why.reason.into() };
            socket.close(Some(frame)).await?;
        }
        // The answer to the client's close goes out, or the client's answer to ours comes in.
        while !matches!(end, End::Lost(_)) && socket.next().await.transpose()?.is_some() {}
        Ok::<(), tungstenite::Error>(())
    };
    let _ = timeout(CLOSE_TIMEOUT, closing).await;
}

/// Answers until a login succeeds.
async fn log_in(hub: &Arc<Hub>, socket: &mut Socket, closer: &Arc<Closer>) -> Result<Member, End> {
    let mut draining = hub.draining.subscribe();
    loop {
        let incoming = tokio::select! {
            incoming = next(socket) => incoming?,
            () = drained(&mut draining) => return Err(End::Close(Close::RESTART)),
        };
        let Incoming::Text(text) = incoming else { continue };
        let (answer, member) = commands::log_in(hub, &text, closer).await;
        write_text(socket, answer.into()).await.map_err(|_| End::Lost(Loss::Reset))?;
        if let Some(member) = member {
            return Ok(member);
        }
    }
}

/// Everything between the login and the end.
async fn converse(hub: &Arc<Hub>, socket: &mut Socket, member: &mut Member, closer: &Closer) -> End {
    let presence = &hub.config.presence;
    let mut draining = hub.draining.subscribe();
    let mut heard_at = Instant::now();
    let mut ping_at = heard_at + presence.ping_interval;
    let mut timer = pin!(sleep_until(ping_at));
    loop {
        let written = tokio::select! {
            why = closer.closed() => return End::Close(why),
            () = drained(&mut draining) => {
                let event = format!(r#"{{"event":"reconnect","body":{{"After":{RECONNECT_AFTER_MS}}}}}"#);
                let _ = timeout(CLOSE_TIMEOUT, write_text(socket, event.into())).await;
                return End::Close(Close::RESTART);
            }
            incoming = next(socket) => {
                heard_at = Instant::now();
                match incoming {
                    Err(end) => return end,
                    Ok(Incoming::Pong) => { member.session.note_pong(); continue }
                    Ok(Incoming::Other) => continue,
                    Ok(Incoming::Text(text)) => {
                        let Reply(answer) = commands::answer(hub, &member.session, &text);
                        Write::Text(answer.into())
                    }
                }
            }
            frame = member.outbox.recv() => match frame {
                Some(frame) => Write::Frame(frame),
                // The queue was given up; the closer says why.
                None => return End::Close(closer.closed().await),
            },
            () = timer.as_mut() => {
                let now = Instant::now();
                if now >= heard_at + presence.silent_timeout {
                    return End::Close(Close::SILENT);
                }
                let ping = now >= ping_at;
                if ping {
                    ping_at = now + presence.ping_interval;
                }
                timer.as_mut().reset(ping_at.min(heard_at + presence.silent_timeout));
                if !ping { continue }
                member.session.note_ping();
                Write::Ping
            }
        };
        // A write that the client does not take is cut short from outside, or by the silence that goes with it.
        let writing = async {
            match written {
                Write::Text(text) => write_text(socket, text).await,
                Write::Ping => socket.send(Message::Ping(Bytes::new())).await,
                Write::Frame(frame) => {
                    write_text(socket, frame.text.clone()).await?;
                    member.session.note_sent(&frame);
                    Ok(())
                }
            }
        };
        tokio::select! {
            result = writing => if result.is_err() { return End::Lost(Loss::Reset) },
            why = closer.closed() => return End::Close(why),
            () = sleep_until(heard_at + presence.silent_timeout) => return End::Close(Close::SILENT),
        }
    }
}

enum Write {
    Text(Utf8Bytes),
    Frame(Frame),
    Ping,
}

enum Incoming {
    Text(Utf8Bytes),
    Pong,
    Other,
}

/// The next thing the client says.
async fn next(socket: &mut Socket) -> Result<Incoming, End> {
    use tungstenite::Error as E;
    match socket.next().await {
        Some(Ok(Message::Text(text))) => Ok(Incoming::Text(text)),
        Some(Ok(Message::Pong(_))) => Ok(Incoming::Pong),
        Some(Ok(Message::Close(frame))) => {
            // Without a status (1005) it is what a page's plain close() sends: on purpose as well.
            let clean = |frame: &CloseFrame| matches!(u16::from(frame.code), 1000 | 1001 | 1005);
            let is_clean = frame.as_ref().is_none_or(clean);
            Err(if is_clean { End::Clean } else { End::Lost(Loss::Reset) })
        }
        // An empty text is no JSON either, so a binary message gets the same answer as an unreadable one.
        Some(Ok(Message::Binary(_))) => Ok(Incoming::Text(Utf8Bytes::default())),
        Some(Ok(Message::Ping(_) | Message::Frame(_))) => Ok(Incoming::Other),
        Some(Err(E::Capacity(_))) => Err(End::Close(Close::TOO_BIG)),
        Some(Err(E::Utf8(_))) => Err(End::Close(Close::NOT_UTF8)),
        Some(Err(_)) | None => Err(End::Lost(Loss::Reset)),
    }
}

async fn write_text(socket: &mut Socket, text: Utf8Bytes) -> Result<(), tungstenite::Error> {
    if text.len() <= FRAGMENT_BYTES {
        return socket.send(Message::Text(text)).await;
    }
    let mut rest = Bytes::from(text);
    let mut kind = Data::Text;
    while !rest.is_empty() {
        let part = rest.split_to(rest.len().min(FRAGMENT_BYTES));
        let frame = WireFrame::message(part, OpCode::Data(kind), rest.is_empty());
        socket.send(Message::Frame(frame)).await?;
        kind = Data::Continue;
    }
    Ok(())
}
