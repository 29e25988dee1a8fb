//! One connection from its login to its end. The task reads, answers in order, and writes what the rooms have for the
//! member. It never makes a room wait: what it does not take from its bounded queue in time ends the connection.
//!
//! Frames of ours are ready to be sent as they are, shared by all who get them, and go to the stream directly; the
//! WebSocket library reads, and writes pings, pongs and closes. It is flushed before each frame of ours, so that the
//! two never mix.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use hall::session::Loss;
use rooms::Client;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use super::commands::{self, Answered, Answering, Reply};
use super::entrance::Entrance;
use super::member::Member;
use super::pings;
use super::silence::Silence;
use crate::clock;
use crate::events;
use crate::link::{Close, Closer, Frame};
use crate::quota::REFUSED_PAUSE;
use crate::server::{Server, drained};
use crate::session::Session;
use crate::told::lane::Lane;
use crate::told::{ByNode, Node, Teller, Way};

type Stream = WebSocketStream<Entrance>;

/// The client's end of a connection.
pub(super) struct Socket {
    stream: Stream,
    /// What is left of a frame whose writing was cut short: it goes first, or all that follows would be garbage.
    rest: Bytes,
    carried: Option<Carried>,
}

/// What is told through the node that carries a connection.
struct Carried {
    teller: Arc<Teller>,
    /// Where that node puts frames into it.
    lane: Option<Lane>,
}

impl Socket {
    /// Writes what others may get as well.
    async fn share(&mut self, frame: &Bytes) -> Result<(), tungstenite::Error> {
        if self.carried.is_some() {
            // What is put in beside the stream goes behind all of that.
            self.finish_frame().await?;
            self.stream.flush().await?;
        }
        let written = self.stream.get_ref().written();
        let way = self
            .carried
            .as_mut()
            .map_or(Way::Itself, |carried| carried.teller.tell(frame, carried.lane.as_mut(), written));
        match way {
            Way::Placed => Ok(()),
            Way::Word(word) => self.write(word).await,
            Way::Itself => self.write(frame.clone()).await,
        }
    }

    async fn write(&mut self, frame: Bytes) -> Result<(), tungstenite::Error> {
        self.begin_frame().await?;
        self.rest = frame;
        self.finish_frame().await
    }

    async fn ping(&mut self) -> Result<(), tungstenite::Error> {
        self.begin_frame().await?;
        self.stream.send(Message::Ping(Bytes::new())).await
    }

    /// Everything that was written goes before what follows, also what was put in beside the stream.
    async fn begin_frame(&mut self) -> Result<(), tungstenite::Error> {
        self.finish_frame().await?;
        self.stream.flush().await?;
        let lane = self.carried.as_mut().and_then(|carried| carried.lane.as_mut());
        if let Some(word) = lane.and_then(Lane::before_others) {
            self.rest = word;
            self.finish_frame().await?;
        }
        Ok(())
    }

    async fn finish_frame(&mut self) -> Result<(), tungstenite::Error> {
        while !self.rest.is_empty() {
            let written = self.stream.get_mut().write(&self.rest).await?;
            if written == 0 {
                return Err(tungstenite::Error::ConnectionClosed);
            }
            self.rest.advance(written);
        }
        // What was written whole is let go of, also by the last one who had it.
        self.rest = Bytes::new();
        Ok(())
    }
}

/// How long a client may take to log in (`spec/gateway.md`).
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection that is being closed may take over it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How many logins may fail on one connection.
const MOST_LOGINS: u32 = 100;

/// After how many milliseconds clients come back that are told to reconnect.
const RECONNECT_AFTER_MS: u32 = 1000;

/// How a connection ends.
enum End {
    /// The client closed it on purpose.
    Clean,
    /// The other side reset it.
    Lost,
    /// We close it.
    Close(Close),
}

/// Serves a connection to its end. Until it says otherwise, `client` is what came.
pub(super) async fn serve(server: Arc<Server>, stream: Stream, client: Box<Client>, by: Option<ByNode>) {
    let node = by.as_ref().map(|by| by.node);
    let carried = by.map(|by| Carried { teller: by.teller, lane: by.lane.map(Lane::new) });
    let mut socket = Socket { stream, rest: Bytes::new(), carried };
    // The drain waits until every receiver is gone.
    let _alive = server.draining.subscribe();
    let closer = Arc::new(Closer::default());
    // Boxed, so that a member does not carry the way it came in.
    let login = timeout(LOGIN_TIMEOUT, Box::pin(log_in(&server, &mut socket, &closer, (client, node)))).await;
    let (answer, mut member) = match login.unwrap_or(Err(End::Close(Close::NO_LOGIN))) {
        Ok(logged_in) => logged_in,
        Err(end) => return finish(&mut socket, &end).await,
    };
    // From here on the session has a connection to lose, also before it has its answer.
    let greet = async {
        server.lease.held().await;
        socket.write(answer.wire).await
    };
    let greeting = timeout(server.config.presence.silent_timeout, greet);
    let end = match greeting.await {
        Ok(Ok(())) => Box::pin(converse(&server, &mut socket, &mut member, &closer)).await,
        Ok(Err(_)) => End::Lost,
        Err(_) => End::Close(Close::SILENT),
    };

    let Member { session, link, outbox } = member;
    drop(outbox);
    let how = match &end {
        // Off the list before the close is answered.
        End::Clean => Loss::OnPurpose,
        End::Close(Close::SIG_EXPIRED) => Loss::Expired,
        End::Lost => Loss::Reset,
        End::Close(_) => Loss::Silent,
    };
    server.detach(&session, link, how);
    finish(&mut socket, &end).await;
}

/// Says why, and waits a moment for the client to say the same.
async fn finish(socket: &mut Socket, end: &End) {
    let closing = async {
        if let End::Close(why) = end {
            let frame = CloseFrame { code: CloseCode::from(why.status), reason: why.reason.into() };
            socket.begin_frame().await?;
            socket.stream.close(Some(frame)).await?;
        }
        match end {
            End::Lost => {}
            // What follows is no WebSocket any more, but has to be read, or our word may be lost: see `patience.rs`.
            End::Close(why) if why.is_of_broken_frames() => socket.stream.get_mut().shutdown().await?,
            // The answer to the client's close goes out, or the client's answer to ours comes in.
            End::Clean | End::Close(_) => while socket.stream.next().await.transpose()?.is_some() {},
        }
        Ok::<(), tungstenite::Error>(())
    };
    let _ = timeout(CLOSE_TIMEOUT, closing).await;
}

/// Answers until a login succeeds; its answer is yet to be sent.
async fn log_in(
    server: &Arc<Server>,
    socket: &mut Socket,
    closer: &Arc<Closer>,
    (client, node): (Box<Client>, Option<Node>),
) -> Result<(Frame, Member), End> {
    let mut draining = server.draining.subscribe();
    let mut tries = 0;
    loop {
        let incoming = tokio::select! {
            incoming = next(socket) => incoming?,
            () = drained(&mut draining) => return Err(End::Close(Close::RESTART)),
        };
        tries += 1;
        if let Incoming::Text(text) = incoming {
            let (answer, member) = commands::log_in(server, &text, closer, (&client, node)).await;
            let answer = answer.frame;
            if let Some(member) = member {
                socket.stream.get_mut().open(server.config.limits.bytes_per_second());
                return Ok((answer, member));
            }
            socket.write(answer.wire).await.map_err(|_| End::Lost)?;
        }
        if tries >= MOST_LOGINS {
            return Err(End::Close(Close::NO_MORE_LOGINS));
        }
        socket.stream.get_mut().begin_anew();
    }
}

/// Everything between the login and the end.
async fn converse(server: &Arc<Server>, socket: &mut Socket, member: &mut Member, closer: &Closer) -> End {
    let presence = &server.config.presence;
    let mut draining = server.draining.subscribe();
    // These wait all along: to begin to wait again at each frame costs as much as what is done for some.
    let (mut drained, mut closed) = (pin!(drained(&mut draining)), pin!(closer.closed()));
    let mut silence = Silence::new(presence.silent_timeout);
    let mut ping_at = pings::next(presence.ping_interval);
    let mut timer = pin!(sleep_until(ping_at));
    let mut pending: Option<Answering> = None;
    let mut found = None;
    loop {
        let written = tokio::select! {
            why = closed.as_mut() => return End::Close(why),
            () = drained.as_mut() => {
                let event = events::reconnect(RECONNECT_AFTER_MS);
                let _ = timeout(CLOSE_TIMEOUT, socket.write(Frame::text(&event).wire)).await;
                return End::Close(Close::RESTART);
            }
            incoming = found_or_next(&mut found, socket), if pending.is_none() => {
                silence.begin_anew();
                match incoming {
                    Err(end) => return end,
                    Ok(Incoming::Pong | Incoming::Other) if !may_say_more(server, &member.session) => Write::Nothing,
                    Ok(Incoming::Pong) => { member.session.note_pong(); continue }
                    Ok(Incoming::Other) => continue,
                    Ok(Incoming::Text(text)) => {
                        match commands::answer(server, member, &text) {
                            Reply::Now(answer) => Write::answer(answer),
                            Reply::Later(work) => {
                                pending = Some(work);
                                continue;
                            }
                        }
                    }
                }
            }
            // Answers come in the order of the requests: nothing more is read meanwhile, but events go out.
            answer = async { Some(pending.as_mut()?.await) }, if pending.is_some() => {
                pending = None;
                silence.begin_anew();
                let Some(answer) = answer else { continue };
                Write::answer(answer)
            }
            frame = member.outbox.recv() => match frame {
                Some(frame) => Write::Frame(frame),
                // The queue was given up; the closer says why.
                None => return End::Close(closer.closed().await),
            },
            () = timer.as_mut() => {
                let is_silent = silence.is_too_long();
                if pending.is_some() {
                    // Nothing is read, so nothing can be heard.
                    silence.begin_anew();
                } else if is_silent && found.is_none() {
                    // What came in time may only not have been read yet.
                    match next(socket).now_or_never() {
                        Some(incoming) => {
                            silence.begin_anew();
                            found = Some(incoming);
                        }
                        None => return End::Close(Close::SILENT),
                    }
                }
                if clock::now() >= member.session.valid_until() {
                    return End::Close(Close::SIG_EXPIRED);
                }
                let ping = Instant::now() >= ping_at;
                if ping {
                    ping_at = pings::next(presence.ping_interval);
                }
                timer.as_mut().reset(ping_at.min(silence.ends_at()));
                if !ping { continue }
                member.session.note_ping();
                Write::Ping
            }
        };
        if let Write::Answer { frame, .. } = &written {
            let limits = &server.config.limits;
            member.session.quota.note_answer(limits, frame.wire.len(), std::time::Instant::now());
        }
        // A write that the client does not take is cut short from outside, or by the silence that goes with it.
        let writing = async {
            // What is said by who may have been overtaken may be wrong.
            server.lease.held().await;
            match written {
                Write::Ping => socket.ping().await,
                Write::Nothing => {
                    sleep(REFUSED_PAUSE).await;
                    Ok(())
                }
                Write::Answer { frame, is_too_often } => {
                    socket.write(frame.wire).await?;
                    if is_too_often {
                        sleep(REFUSED_PAUSE).await;
                    }
                    Ok(())
                }
                Write::Frame(frame) => {
                    socket.share(&frame.wire).await?;
                    member.session.note_sent(&frame);
                    Ok(())
                }
            }
        };
        let mut writing = pin!(writing);
        // Nearly everything is written at once: nothing else has to be looked at then.
        let mut written = futures_util::poll!(writing.as_mut());
        while written.is_pending() {
            tokio::select! {
                biased;
                result = writing.as_mut() => written = Poll::Ready(result),
                why = closed.as_mut() => return End::Close(why),
                () = sleep_until(silence.ends_at()) => if silence.is_too_long() {
                    return End::Close(Close::SILENT);
                },
            }
        }
        if !matches!(written, Poll::Ready(Ok(()))) {
            return End::Lost;
        }
    }
}

enum Write {
    /// To a command of the client's.
    Answer {
        frame: Frame,
        is_too_often: bool,
    },
    Frame(Frame),
    Ping,
    /// The client has said too much, of what has no answer.
    Nothing,
}

/// Whether a frame that is no command is still within what its user may send.
fn may_say_more(server: &Server, session: &Session) -> bool {
    session.quota.spend_command(&server.config.limits, 0, std::time::Instant::now()).is_ok()
}

impl Write {
    fn answer(answer: Answered) -> Self {
        Self::Answer { frame: answer.frame, is_too_often: answer.is_too_often }
    }
}

enum Incoming {
    Text(Utf8Bytes),
    Pong,
    Other,
}

/// What was found already, or else the next.
async fn found_or_next(
    found: &mut Option<Result<Incoming, End>>,
    socket: &mut Socket,
) -> Result<Incoming, End> {
    match found.take() {
        Some(found) => found,
        None => next(socket).await,
    }
}

/// The next thing the client says.
async fn next(socket: &mut Socket) -> Result<Incoming, End> {
    use tungstenite::Error as E;
    match socket.stream.next().await {
        Some(Ok(Message::Text(text))) => Ok(Incoming::Text(text)),
        Some(Ok(Message::Pong(_))) => Ok(Incoming::Pong),
        Some(Ok(Message::Close(frame))) => {
            // Without a status (1005) it is what a page's plain close() sends: on purpose as well.
            let clean = |frame: &CloseFrame| matches!(u16::from(frame.code), 1000 | 1001 | 1005);
            let is_clean = frame.as_ref().is_none_or(clean);
            Err(if is_clean { End::Clean } else { End::Lost })
        }
        // An empty text is no JSON either, so a binary message gets the same answer as an unreadable one.
        Some(Ok(Message::Binary(_))) => Ok(Incoming::Text(Utf8Bytes::default())),
        Some(Ok(Message::Ping(_) | Message::Frame(_))) => Ok(Incoming::Other),
        Some(Err(E::Capacity(_))) => Err(End::Close(Close::TOO_BIG)),
        Some(Err(E::Utf8(_))) => Err(End::Close(Close::NOT_UTF8)),
        Some(Err(E::Protocol(error))) if error != ProtocolError::ResetWithoutClosingHandshake => {
            Err(End::Close(Close::PROTOCOL))
        }
        Some(Err(E::Io(_))) if socket.stream.get_ref().is_exhausted() => Err(End::Close(Close::TOO_MUCH)),
        Some(Err(_)) | None => Err(End::Lost),
    }
}
