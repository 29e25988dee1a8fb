//! What the workers share: the way to each, where connections are, what has been counted, and what happens to connections.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use str0m::config::DtlsCert;
use tokio::sync::{Notify, mpsc};

use crate::command::Command;
use crate::keys::{self, Client};
use crate::outbox::{Kind, Route};
use crate::publisher::Rights;
use crate::sampling::Sample;
use crate::showing::Showing;
use crate::source::{Packet, PeerId, RoomKey, Source, SourceKey, Sources, StreamKind};
use crate::telling::Link;
use crate::trunks::{TrunkConfig, Trunks};
use crate::turn::{self, Turn};
use crate::viewer::Counts;

/// Commands and packets that may wait for one worker.
const COMMANDS: usize = 4096;
const PACKETS: usize = 16_384;

/// Where the unit listens, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The one UDP port of all connections.
    pub udp: SocketAddr,
    /// The one TCP port for networks without UDP (RFC 6544); `None` for none.
    pub tcp: Option<SocketAddr>,
    /// The addresses that clients are told.
    pub advertised: Vec<IpAddr>,
    /// Whether clients are told those of the listening sockets too, after them.
    pub advertises_own: bool,
    /// The one UDP port of the relay (TURN), which relays to the media port and nowhere else; `None` for no relay.
    pub turn: Option<SocketAddr>,
    /// Where the units of other nodes send what is watched here; `None` where there are no others.
    pub trunk: Option<TrunkConfig>,
    /// Worker threads; 0 is one a core.
    pub workers: usize,
}

/// What happens to connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// ICE and DTLS are done.
    Connected(PeerId),
    /// Nothing is heard any more, or the client closed it, or it never came about; or there is a reason to be told. It is gone.
    Lost(PeerId, Option<Cow<'static, str>>),
    /// What is wanted of a stream of that connection that is published dynamically: each layer by its RID ("" without
    /// simulcast).
    Wanted(PeerId, StreamKind, Vec<(String, bool)>),
    /// How loud publishers are, from 0 to 100.
    Levels(Vec<(RoomKey, Arc<str>, u8)>),
    /// What each stream was like in the last two seconds.
    Samples(Vec<Sample>),
    /// Who was sent something in the last second, and of each picture how many pixels it has; 0 where that is not known.
    Received(Vec<(PeerId, Vec<u32>)>),
    /// Pictures that a viewer watches have stopped for want of room, go on, or have another size.
    Watching(PeerId, Vec<(SourceKey, Showing)>),
    /// A viewer's link is not what it was.
    Link(PeerId, Link),
}

impl Event {
    /// The same where connections have other names; of one that has none it is left out.
    #[must_use]
    pub fn renamed(self, name: impl Fn(PeerId) -> Option<PeerId>) -> Option<Self> {
        Some(match self {
            Self::Connected(peer) => Self::Connected(name(peer)?),
            Self::Lost(peer, reason) => Self::Lost(name(peer)?, reason),
            Self::Wanted(peer, kind, layers) => Self::Wanted(name(peer)?, kind, layers),
            Self::Levels(levels) => Self::Levels(levels),
            Self::Samples(samples) => {
                let renamed = samples.into_iter();
                let renamed =
                    renamed.filter_map(|sample| Some(Sample { peer: name(sample.peer)?, ..sample }));
                Self::Samples(renamed.collect())
            }
            Self::Received(received) => {
                let renamed = received.into_iter();
                Self::Received(renamed.filter_map(|(peer, pictures)| Some((name(peer)?, pictures))).collect())
            }
            Self::Watching(peer, pictures) => Self::Watching(name(peer)?, pictures),
            Self::Link(peer, link) => Self::Link(name(peer)?, link),
        })
    }
}

/// What has been counted since the start.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Counters {
    /// Packets sent to viewers, retransmissions not among them.
    pub forwarded_packets: AtomicU64,
    /// Of publishers without the right to publish.
    pub refused_packets: AtomicU64,
    /// Of streams or codecs that were not agreed on.
    pub unknown_packets: AtomicU64,
    /// Of streams that belong to no m-line, or to one that another stream is heard on.
    pub unplaced_packets: AtomicU64,
    /// Connections ended because their client has another certificate than it announced.
    pub foreign_certificates: AtomicU64,
    /// Of connections that another has taken over from.
    pub superseded_packets: AtomicU64,
    /// Lost between workers, because one could not keep up.
    pub overrun_packets: AtomicU64,
    /// From addresses that have no connection.
    pub stray_datagrams: AtomicU64,
    /// Of no protocol that is spoken here.
    pub malformed_datagrams: AtomicU64,
    /// Media sent by a viewer.
    pub media_of_viewers: AtomicU64,
    /// Reports that were forged, broken, or came twice.
    pub broken_control: AtomicU64,
    /// Data channel messages, which nobody asked for.
    pub unexpected_data: AtomicU64,
    /// Connections ended by an error of their protocol.
    pub failed_connections: AtomicU64,
    /// Datagrams the network did not take.
    pub unsent_datagrams: AtomicU64,
    /// Packets sent to viewers once more, because they missed them.
    pub resent_packets: AtomicU64,
    /// Packets sent only to find out what a link carries.
    pub padding_packets: AtomicU64,
    /// Packets sent so that viewers can make up pictures' packets that they lose.
    pub redundant_packets: AtomicU64,
    /// Packets that a viewer missed but that never were.
    pub unknown_nacks: AtomicU64,
    /// Beginnings of sounds and pictures that a viewer was not sent, because it does not take their codec.
    pub untaken_packets: AtomicU64,
    /// Streams of which a viewer was sent nothing, because it takes none of the codecs by which they come.
    pub untaken_streams: AtomicU64,
    /// Packets that a viewer told of but that never were, or long ago.
    pub absurd_feedback: AtomicU64,
    /// Packets sent to other nodes, retransmissions not among them.
    pub trunk_packets: AtomicU64,
    /// Packets sent to other nodes once more, because they missed them.
    pub trunk_resent: AtomicU64,
}

impl Counters {
    /// What a viewer has had in the meantime.
    pub(crate) fn add(&self, counts: Counts) {
        let Counts { resent, padding, unknown, absurd, untaken, lacking, redundant } = counts;
        for (counter, more) in [
            (&self.resent_packets, resent),
            (&self.padding_packets, padding),
            (&self.unknown_nacks, unknown),
            (&self.absurd_feedback, absurd),
            (&self.untaken_packets, untaken),
            (&self.untaken_streams, lacking),
            (&self.redundant_packets, redundant),
        ] {
            if more > 0 {
                counter.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    /// All of them, by name.
    pub fn all(&self) -> [(&'static str, u64); 23] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("forwarded_packets", read(&self.forwarded_packets)),
            ("refused_packets", read(&self.refused_packets)),
            ("unknown_packets", read(&self.unknown_packets)),
            ("unplaced_packets", read(&self.unplaced_packets)),
            ("foreign_certificates", read(&self.foreign_certificates)),
            ("superseded_packets", read(&self.superseded_packets)),
            ("overrun_packets", read(&self.overrun_packets)),
            ("stray_datagrams", read(&self.stray_datagrams)),
            ("malformed_datagrams", read(&self.malformed_datagrams)),
            ("media_of_viewers", read(&self.media_of_viewers)),
            ("broken_control", read(&self.broken_control)),
            ("unexpected_data", read(&self.unexpected_data)),
            ("failed_connections", read(&self.failed_connections)),
            ("unsent_datagrams", read(&self.unsent_datagrams)),
            ("resent_packets", read(&self.resent_packets)),
            ("padding_packets", read(&self.padding_packets)),
            ("unknown_nacks", read(&self.unknown_nacks)),
            ("absurd_feedback", read(&self.absurd_feedback)),
            ("trunk_packets", read(&self.trunk_packets)),
            ("trunk_resent", read(&self.trunk_resent)),
            ("untaken_packets", read(&self.untaken_packets)),
            ("untaken_streams", read(&self.untaken_streams)),
            ("redundant_packets", read(&self.redundant_packets)),
        ]
    }
}

/// What is decided elsewhere and must reach a worker whatever else waits there: at most one entry a connection.
pub(crate) enum Order {
    Rights(Rights),
    Close,
}

/// A connection over TCP, and the first datagram of it.
pub(crate) struct TcpArrival {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) first: Vec<u8>,
}

/// Where a worker hears from others.
pub(crate) struct Inlets {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) packets: mpsc::Receiver<Arc<Packet>>,
    pub(crate) streams: mpsc::Receiver<TcpArrival>,
}

/// The way to a worker.
pub(crate) struct Queue {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) packets: mpsc::Sender<Arc<Packet>>,
    pub(crate) streams: mpsc::Sender<TcpArrival>,
    pub(crate) orders: Mutex<HashMap<PeerId, Order>>,
    pub(crate) wake: Notify,
    /// Connections it has.
    load: AtomicUsize,
}

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) counters: Counters,
    pub(crate) sources: Sources,
    pub(crate) queues: Vec<Queue>,
    /// The worker of the connection that has an ICE name.
    pub(crate) ufrags: RwLock<HashMap<String, usize>>,
    /// The worker of each connection, and whose it is.
    pub(crate) peers: Mutex<HashMap<PeerId, (usize, Client)>>,
    last_peer: AtomicU64,
    pub(crate) certificate: DtlsCert,
    pub(crate) turn: Option<Turn>,
    pub(crate) trunks: Option<Trunks>,
    /// Clients of the relay that came over a connection.
    pub(crate) streams: turn::Streams,
    pub(crate) udp: Vec<SocketAddr>,
    pub(crate) tcp: Vec<SocketAddr>,
    pub(crate) relay: Vec<SocketAddr>,
    began: Instant,
}

impl Shared {
    /// What so many workers share, and where each of them hears from the others.
    pub(crate) fn new(
        workers: usize,
        udp: Vec<SocketAddr>,
        tcp: Vec<SocketAddr>,
    ) -> std::io::Result<(Self, Vec<Inlets>)> {
        let certificate = keys::provider(Client::Browser).dtls_provider.generate_certificate();
        let certificate =
            certificate.ok_or_else(|| std::io::Error::other("no DTLS certificate can be made"))?;
        let mut queues = Vec::new();
        let mut inlets = Vec::new();
        for _ in 0..workers {
            let (commands, command_inlet) = mpsc::channel(COMMANDS);
            let (packets, packet_inlet) = mpsc::channel(PACKETS);
            let (streams, stream_inlet) = mpsc::channel(64);
            queues.push(Queue {
                commands,
                packets,
                streams,
                orders: Mutex::default(),
                wake: Notify::new(),
                load: AtomicUsize::new(0),
            });
            inlets.push(Inlets { commands: command_inlet, packets: packet_inlet, streams: stream_inlet });
        }
        let shared = Self {
            counters: Counters::default(),
            sources: Sources::default(),
            queues,
            ufrags: RwLock::default(),
            peers: Mutex::default(),
            last_peer: AtomicU64::new(0),
            certificate,
            turn: None,
            trunks: None,
            streams: turn::Streams::default(),
            udp,
            tcp,
            relay: Vec::new(),
            began: Instant::now(),
        };
        Ok((shared, inlets))
    }

    /// The addresses clients are told, and whether they are for TCP.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = (SocketAddr, bool)> {
        let udp = self.udp.iter().map(|address| (*address, false));
        udp.chain(self.tcp.iter().map(|address| (*address, true)))
    }

    /// The candidate of ours that a datagram was sent to: behind address translation, not the socket's own address.
    pub(crate) fn local_address(&self, route: Route) -> SocketAddr {
        let own = if route.kind == Kind::Tcp { &self.tcp } else { &self.udp };
        let exact = own.iter().find(|address| Some(address.ip()) == route.local);
        let alike = || own.iter().find(|address| address.is_ipv4() == route.remote.is_ipv4());
        exact.or_else(alike).or(own.first()).copied().unwrap_or(route.remote)
    }

    /// The time in microseconds since the start.
    pub(crate) fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX)
    }

    /// A number that nobody else has, most likely.
    pub(crate) fn number(&self) -> u64 {
        let mut bytes = [0; 8];
        // Without randomness one for all would do as well: it names a session among those of one client.
        let _ = aws_lc_rs::rand::fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }

    /// A name for the streams of one connection.
    pub(crate) fn cname(&self) -> [u8; 8] {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut name = [0; 8];
        // Without randomness a fixed name would do as well: it only has to be the same for all streams.
        let _ = aws_lc_rs::rand::fill(&mut name);
        name.map(|byte| LETTERS.get(usize::from(byte) % 32).copied().unwrap_or(b'a'))
    }

    /// A name for a connection to be made, placed where there is the least to do.
    pub(crate) fn new_peer(&self, client: Client) -> PeerId {
        let peer = PeerId(self.last_peer.fetch_add(1, Ordering::Relaxed) + 1);
        let least =
            self.queues.iter().enumerate().min_by_key(|(_, queue)| queue.load.load(Ordering::Relaxed));
        if let Some((worker, queue)) = least {
            queue.load.fetch_add(1, Ordering::Relaxed);
            self.peers.lock().insert(peer, (worker, client));
        }
        peer
    }

    /// Other nodes are told at once of what may have changed: who watches a source here, or what its publisher may send.
    pub(crate) fn note_changed(&self, source: &Arc<Source>) {
        self.trunks.iter().for_each(|trunks| trunks.note_changed(source));
    }

    pub(crate) fn forget_peer(&self, peer: PeerId) {
        if let Some((worker, _)) = self.peers.lock().remove(&peer)
            && let Some(queue) = self.queues.get(worker)
        {
            queue.load.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whose a connection is.
    pub(crate) fn client_of(&self, peer: PeerId) -> Client {
        self.peers.lock().get(&peer).map_or(Client::Browser, |(_, client)| *client)
    }

    /// The way to the worker that has a connection.
    pub(crate) fn queue_of(&self, peer: PeerId) -> Option<&Queue> {
        let (worker, _) = self.peers.lock().get(&peer).copied()?;
        self.queues.get(worker)
    }
}
