//! How nodes talk: QUIC, every node a server and a client, each certain of the other (`certificate.rs`).
//!
//! A stream is one request, but for those of rounds. It begins with whose it is; the other side says one byte once it may answer, and only then the request
//! is sent: what is not sent has not been done, and may be sent elsewhere. A stream that nobody reads holds up nothing but itself.
//!
//! Beside these, who was reached tells whoever has reached it, on a stream of its own, what many of its members get (`told.rs`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cluster::Answer;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    Connecting, Connection, ConnectionError, Endpoint, EndpointConfig, IdleTimeout, RecvStream, SendStream,
    TransportConfig, VarInt,
};
use store::Known;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::certificate::{Papers, name};
use crate::told::{Heard, Node, Teller};

/// How long the other side may say nothing. What goes out first then begins the time anew (RFC 9000 10.1), so the longer one waits with
/// that, the later it ends.
const SILENCE: Duration = Duration::from_secs(3);
const KEEP_ALIVE: Duration = Duration::from_millis(500);

/// How long a node may take to be reached.
const CONNECT: Duration = Duration::from_secs(2);

/// How long it may take to say that it answers: it may be reading its records.
const READY: Duration = Duration::from_secs(10);

/// How many streams one node may have at another.
const STREAMS: u32 = 200_000;

/// How much of a stream that nobody reads is kept.
const STREAM_BYTES: u32 = 128 << 10;

/// How much may be on its way to a node.
const WINDOW_BYTES: u64 = 16 << 20;

/// The byte that says that the request may come.
const GO_ON: u8 = 1;

/// The others, where a promise is asked for.
const HAS_DATABASE: u8 = 2;
const REFUSED: u8 = 3;

/// How long the answer to that may take: it is asked for anew before.
const PROMISE: Duration = Duration::from_secs(2);

/// Why a stream is given up: who was asked does not have the records.
const ELSEWHERE: VarInt = VarInt::from_u32(1);

/// How a stream's request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// By a client's connection, from there.
    Client(IpAddr),
    /// By the control socket of the node.
    Operator,
    /// It is no request: the node of that run, which has the records, wants the use of this one's forwarding unit.
    Unit(Node),
    /// Not one: what many ask comes in rounds (`round.rs`).
    Rounds,
    /// Nor this: the node of that run, which has the records, asks for a promise. The byte that is said is the answer.
    Promise(Node),
    /// Nothing follows: whoever is told frames on this connection puts them where that is said beside the streams (`told/lane.rs`).
    Lanes,
}

const OF_CLIENT: u8 = 1;
const OF_OPERATOR: u8 = 2;
const OF_UNIT: u8 = 3;
const OF_ROUNDS: u8 = 4;
const OF_PROMISE: u8 = 5;
const OF_LANES: u8 = 6;

/// The length of what a stream begins with: whose, and an address.
const OPENING: usize = 17;

impl Whose {
    fn bytes(self) -> [u8; OPENING] {
        // A node stands where an address would.
        let in_place = |node: Node| Ipv6Addr::from_bits(u128::from(node.cast_unsigned()));
        let (kind, address) = match self {
            Self::Client(IpAddr::V4(address)) => (OF_CLIENT, address.to_ipv6_mapped()),
            Self::Client(IpAddr::V6(address)) => (OF_CLIENT, address),
            Self::Operator => (OF_OPERATOR, Ipv6Addr::UNSPECIFIED),
            Self::Unit(node) => (OF_UNIT, in_place(node)),
            Self::Promise(node) => (OF_PROMISE, in_place(node)),
            Self::Rounds => (OF_ROUNDS, Ipv6Addr::UNSPECIFIED),
            Self::Lanes => (OF_LANES, Ipv6Addr::UNSPECIFIED),
        };
        let mut bytes = [kind; OPENING];
        for (byte, of_address) in bytes.iter_mut().skip(1).zip(address.octets()) {
            *byte = of_address;
        }
        bytes
    }

    fn read(bytes: [u8; OPENING]) -> Option<Self> {
        let [kind, address @ ..] = bytes;
        let node = (u128::from_be_bytes(address) as u64).cast_signed();
        match kind {
            OF_CLIENT => Some(Self::Client(IpAddr::from(address).to_canonical())),
            OF_OPERATOR => Some(Self::Operator),
            OF_UNIT => Some(Self::Unit(node)),
            OF_ROUNDS => Some(Self::Rounds),
            OF_PROMISE => Some(Self::Promise(node)),
            OF_LANES => Some(Self::Lanes),
            _ => None,
        }
    }
}

/// Both directions of a stream.
pub(super) type Stream = tokio::io::Join<RecvStream, SendStream>;

/// A node is not there, or the way to it is not.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("it cannot be reached")]
pub(super) struct Unreached;

/// A connection to a node, and what that has told this one.
type There = (Connection, Arc<Heard>);

/// A connection that is being made, or is there. It goes on by itself: who waits for it may give up before it is there.
type Attempt = Shared<BoxFuture<'static, Result<There, Arc<str>>>>;

/// The mesh, as one node sees it.
pub(super) struct Mesh {
    endpoint: Endpoint,
    /// Those to other nodes, by their runs.
    connections: Mutex<HashMap<i64, Attempt>>,
    /// Told when one of them ends.
    lost: Arc<Notify>,
    /// Told when another node has connected.
    met: Notify,
}

/// Binds the socket: `usual` unless that is taken and nobody asked for it.
pub(super) fn bind(usual: SocketAddr, is_asked_for: bool) -> anyhow::Result<UdpSocket> {
    let bound = UdpSocket::bind(usual);
    let bound = match bound {
        Err(_) if !is_asked_for => UdpSocket::bind(SocketAddr::new(usual.ip(), 0)),
        bound => bound,
    };
    bound.with_context(|| {
        format!("cannot listen for other nodes on UDP {usual}; choose another with cluster.listen")
    })
}

impl Mesh {
    pub(super) fn start(socket: UdpSocket, papers: Papers) -> anyhow::Result<Arc<Self>> {
        let mut transport = TransportConfig::default();
        transport
            .max_idle_timeout(Some(IdleTimeout::try_from(SILENCE)?))
            .keep_alive_interval(Some(KEEP_ALIVE))
            .max_concurrent_bidi_streams(STREAMS.into())
            .max_concurrent_uni_streams(1u8.into())
            .datagram_receive_buffer_size(None)
            .stream_receive_window(STREAM_BYTES.into())
            .receive_window(VarInt::MAX)
            .send_window(WINDOW_BYTES);
        let transport = Arc::new(transport);
        let mut server =
            quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(papers.server)?));
        server.transport_config(transport.clone());
        let mut client = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(papers.client)?));
        client.transport_config(transport);
        socket.set_nonblocking(true)?;
        let runtime = quinn::default_runtime().context("the mesh needs a runtime")?;
        let mut endpoint = Endpoint::new(EndpointConfig::default(), Some(server), socket, runtime)?;
        endpoint.set_default_client_config(client);
        Ok(Arc::new(Self {
            endpoint,
            connections: Mutex::default(),
            lost: Arc::default(),
            met: Notify::new(),
        }))
    }

    /// A stream on which that node waits for a request, and what it has told this one.
    ///
    /// # Errors
    /// [`Unreached`] is in it where the node is not to be had at all.
    pub(super) async fn open(&self, node: &Known, whose: Whose) -> anyhow::Result<(Stream, Arc<Heard>)> {
        // A node that is gone holds up nobody for longer.
        let (connection, heard) =
            timeout(CONNECT, self.connection(node)).await.context(Unreached)?.context(Unreached)?;
        let ask = async {
            let (mut send, mut recv) = connection.open_bi().await?;
            send.write_all(&whose.bytes()).await?;
            let mut word = [0];
            recv.read_exact(&mut word).await?;
            anyhow::ensure!(word == [GO_ON], "it speaks another language");
            Ok((tokio::io::join(recv, send), heard))
        };
        timeout(READY, ask).await.context("it does not answer")?
    }

    /// Asks a node for its promise not to end this one, which is `me`.
    ///
    /// # Errors
    /// When it has not answered, or is of a release that makes none.
    pub(super) async fn ask_for_promise(&self, node: &Known, me: Node) -> anyhow::Result<Answer> {
        let ask = async {
            let (connection, _) = self.connection(node).await?;
            let (mut send, mut recv) = connection.open_bi().await?;
            send.write_all(&Whose::Promise(me).bytes()).await?;
            let mut word = [0];
            recv.read_exact(&mut word).await?;
            Ok(match word {
                [GO_ON] => Answer::Promised,
                [HAS_DATABASE] => Answer::HasDatabase,
                _ => Answer::Refused,
            })
        };
        timeout(PROMISE, ask).await.context("it does not answer")?
    }

    /// Resolves when another node has connected since this was asked last.
    pub(super) async fn met(&self) {
        self.met.notified().await;
    }

    /// Has a connection to a node before one is needed, so that its end is heard of.
    pub(super) async fn reach(&self, node: &Known) {
        let _ = timeout(CONNECT, self.connection(node)).await;
    }

    /// Resolves when the connection to a node has ended since this was asked last.
    pub(super) async fn lost(&self) {
        self.lost.notified().await;
    }

    /// The connection to a node: the one there is, or a new one.
    async fn connection(&self, node: &Known) -> anyhow::Result<There> {
        let attempt = {
            let mut connections = self.connections.lock();
            connections.retain(|_, attempt| match attempt.peek() {
                Some(Ok((connection, _))) => connection.close_reason().is_none(),
                Some(Err(_)) => false,
                None => true,
            });
            match connections.entry(node.generation) {
                Entry::Occupied(attempt) => attempt.get().clone(),
                Entry::Vacant(place) => {
                    let connecting =
                        self.endpoint.connect(node.said.mesh, &name(node.generation, &node.id))?;
                    let making = tokio::spawn(connect(connecting, self.lost.clone()));
                    let made = async { making.await.unwrap_or_else(|error| Err(error.to_string().into())) };
                    place.insert(made.boxed().shared()).clone()
                }
            }
        };
        attempt.await.map_err(anyhow::Error::msg)
    }

    /// Takes connections of other nodes, and what comes on them, for as long as the node lives.
    pub(super) async fn accept<F>(self: Arc<Self>, take: impl Fn(Asked) -> F + Clone + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        while let Some(incoming) = self.endpoint.accept().await {
            let (take, mesh) = (take.clone(), self.clone());
            tokio::spawn(async move {
                let connection = match incoming.await {
                    Ok(connection) => connection,
                    Err(error @ (ConnectionError::TransportError(_) | ConnectionError::VersionMismatch)) => {
                        return tracing::warn!(%error, "another node was refused, or is none of this cluster");
                    }
                    // It was gone before it was answered, or had no time to wait.
                    Err(error) => return tracing::debug!(%error, "another node has not connected"),
                };
                mesh.met.notify_one();
                let teller = Teller::new();
                tokio::spawn(tell(connection.clone(), teller.clone()));
                while let Ok((send, recv)) = connection.accept_bi().await {
                    tokio::spawn(take(Asked { send, recv, teller: teller.clone() }));
                }
            });
        }
    }

    /// Ends all connections, and says so.
    pub(super) fn close(&self) {
        self.endpoint.close(VarInt::from_u32(0), b"the node ends");
    }
}

/// Until the connection is there, or the other side has said nothing for too long.
async fn connect(connecting: Connecting, lost: Arc<Notify>) -> Result<There, Arc<str>> {
    let connection = connecting.await.map_err(|error| error.to_string())?;
    // A node of a release that knows no lanes gives this up, and puts numbers into the streams.
    let (mut send, _) = connection.open_bi().await.map_err(|error| error.to_string())?;
    let _ = send.write_all(&Whose::Lanes.bytes()).await;
    let there = (connection.clone(), Arc::new(Heard::default()));
    let heard = there.1.clone();
    tokio::spawn(async move {
        hear(&connection, &heard).await;
        connection.closed().await;
        lost.notify_one();
    });
    Ok(there)
}

/// Sends what that node's members are told.
async fn tell(connection: Connection, teller: Arc<Teller>) {
    let telling = async {
        let mut stream = connection.open_uni().await?;
        loop {
            let mut said = tokio::select! {
                said = teller.next() => said,
                error = connection.closed() => return Err(error.into()),
            };
            stream.write_all_chunks(&mut said).await?;
        }
    };
    let told: anyhow::Result<Infallible> = telling.await;
    teller.end();
    let Err(error) = told;
    tracing::debug!(error = format!("{error:#}"), "a node is told nothing more");
}

/// Takes what that node tells, until there is no more.
async fn hear(connection: &Connection, heard: &Heard) {
    let hearing = async {
        let mut stream = connection.accept_uni().await?;
        loop {
            let mut head = [0; 4];
            stream.read_exact(&mut head).await?;
            let (length, kind) = Heard::length(u32::from_be_bytes(head))?;
            let mut said = vec![0; length];
            stream.read_exact(&mut said).await?;
            heard.hear(kind, said)?;
        }
    };
    let told: anyhow::Result<Infallible> = hearing.await;
    let Err(error) = told;
    tracing::debug!(error = format!("{error:#}"), "a node tells nothing more");
    heard.end();
}

/// A stream that another node has opened.
pub(super) struct Asked {
    send: SendStream,
    recv: RecvStream,
    teller: Arc<Teller>,
}

impl Asked {
    /// For what many of that node's members are told.
    pub(super) fn teller(&self) -> Arc<Teller> {
        self.teller.clone()
    }

    /// Whose request will come.
    pub(super) async fn whose(&mut self) -> Option<Whose> {
        let mut bytes = [0; OPENING];
        timeout(CONNECT, self.recv.read_exact(&mut bytes)).await.ok()?.ok()?;
        Whose::read(bytes)
    }

    /// The request may come.
    pub(super) async fn go_on(mut self) -> Option<Stream> {
        self.send.write_all(&[GO_ON]).await.ok()?;
        Some(tokio::io::join(self.recv, self.send))
    }

    /// Whether there is a promise; nothing follows.
    pub(super) async fn answer(mut self, answer: Answer) {
        let word = match answer {
            Answer::Promised => GO_ON,
            Answer::HasDatabase => HAS_DATABASE,
            Answer::Refused => REFUSED,
        };
        let _ = self.send.write_all(&[word]).await;
        let _ = self.send.finish();
        // Or it would be reset before it was read.
        let _ = timeout(CONNECT, self.send.stopped()).await;
    }

    /// It may not: others have what it is about.
    pub(super) fn refuse(mut self) {
        let _ = self.send.reset(ELSEWHERE);
        let _ = self.recv.stop(ELSEWHERE);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_says_whose_it_is() {
        for whose in [
            Whose::Operator,
            Whose::Unit(7_000_000_000),
            Whose::Rounds,
            Whose::Lanes,
            Whose::Promise(7_000_000_001),
            Whose::Client(IpAddr::from([192, 0, 2, 7])),
            Whose::Client("2001:db8::7".parse().unwrap()),
        ] {
            assert_eq!(Whose::read(whose.bytes()), Some(whose));
        }
        assert_eq!(Whose::read([0; OPENING]), None);
    }
}
