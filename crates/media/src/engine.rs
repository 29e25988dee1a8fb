//! The forwarding unit as the server sees it: connections are made, changed and closed by their ids; what happens to
//! them comes back as [`Event`]s.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};

use crate::command::{Answer, Command, Publish, Rewatch, Watch, Watched};
use crate::error::Error;
use crate::keys::Client;
use crate::port::datagram_sockets;
use crate::publisher::Rights;
use crate::sdp::Offer;
use crate::shared::{Config, Counters, Event, Order, Shared};
use crate::source::{PeerId, SourceKey};
use crate::trunk::{self, Trunk};
use crate::trunks::{MOST_WORKERS, Trunks};
use crate::turn::{Turn, TurnCounters};
use crate::{relay, taking, worker};

/// How long a worker may take over an offer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A running forwarding unit; it stops when this is dropped, or told to.
pub struct Media {
    shared: Arc<Shared>,
    stop: Mutex<Option<watch::Sender<()>>>,
}

impl Media {
    /// Opens the sockets and starts the workers. `events` should be read all the time: levels are dropped while it is
    /// full, other events wait.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub fn start(config: &Config, events: mpsc::Sender<Event>) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism()?.get();
        let most = if config.trunk.is_some() { MOST_WORKERS } else { 64 };
        let workers = if config.workers == 0 { cores } else { config.workers }.min(most);
        let listening = worker::Listening::open(config, workers)?;
        let advertise = |address: SocketAddr| -> Vec<SocketAddr> {
            let mut ips = config.advertised.clone();
            if config.advertises_own {
                ips.extend(worker::own_addresses(address.ip()));
            }
            let mut told = Vec::new();
            for ip in ips {
                if !told.contains(&SocketAddr::new(ip, address.port())) {
                    told.push(SocketAddr::new(ip, address.port()));
                }
            }
            told
        };
        let udp = advertise(listening.udp_address);
        let tcp = listening.tcp_address.map(advertise).unwrap_or_default();
        let (mut shared, inlets) = Shared::new(workers, udp.clone(), tcp)?;
        if let Some(address) = listening.relay_address {
            shared.turn = Some(Turn::start(udp)?);
            shared.relay = advertise(address);
        }
        let trunks = config.trunk.as_ref().map(|trunk| {
            let (sockets, _) = datagram_sockets(trunk.listen, 1)?;
            let socket = sockets.into_iter().next().ok_or(std::io::ErrorKind::AddrNotAvailable)?;
            Trunks::new(socket, trunk.advertise)
        });
        let trunks = trunks.transpose()?;
        let (trunks, trunk_inlets) = trunks.unzip();
        shared.trunks = trunks;
        let shared = Arc::new(shared);
        let (stop, stopped) = watch::channel(());
        if let Some(inlets) = trunk_inlets {
            trunk::start(inlets, &shared, &stopped)?;
        }
        worker::start(listening, inlets, &shared, &events, &stopped)?;
        Ok(Self { shared, stop: Mutex::new(Some(stop)) })
    }

    /// Ends all connections, and returns once it has let go of the ports.
    pub async fn stop(&self) {
        let stop = self.stop.lock().take();
        if let Some(stop) = stop {
            let _ = stop.send(());
            // Each thread has the other end of it until it ends.
            stop.closed().await;
        }
    }

    /// The addresses clients are told: of UDP, and of TCP.
    pub fn addresses(&self) -> (&[SocketAddr], &[SocketAddr]) {
        (&self.shared.udp, &self.shared.tcp)
    }

    /// Where the relay is over UDP, as clients are told; nowhere when there is none.
    pub fn relay_addresses(&self) -> &[SocketAddr] {
        &self.shared.relay
    }

    /// What has been counted.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// What the relay has counted; `None` when there is none.
    pub fn turn_counters(&self) -> Option<&TurnCounters> {
        self.shared.turn.as_ref().map(|turn| &turn.counters)
    }

    /// The password with which whoever has the name `expiry:session` may use the relay; `None` when there is none. The
    /// expiry is in seconds since 1970.
    pub fn turn_password(&self, username: &str) -> Option<String> {
        self.shared.turn.as_ref().map(|turn| turn.password(username))
    }

    /// Serves a client of the relay that came by a connection of the server's, until it ends. `first` is what has been read
    /// of it.
    pub async fn relay(&self, stream: impl AsyncRead + AsyncWrite, remote: SocketAddr, first: Vec<u8>) {
        relay::serve(stream, remote, first, &self.shared, || {}).await;
    }

    /// Takes an ICE-TCP connection (RFC 6544) that came in elsewhere; `first` is what has been read of it.
    pub async fn introduce(&self, stream: TcpStream, first: &[u8]) {
        worker::introduce(stream, first, &self.shared).await;
    }

    /// Opens a trunk to another node's unit: what it has to say comes out of the other end of `words`, whole words in order, and has
    /// to get to the [`Trunk`] there. That other end hears the end of them when this is of no use any more.
    ///
    /// # Errors
    /// [`Error::Gone`] without a configuration for them, [`Error::Busy`] when there are too many.
    pub async fn trunk(&self, words: mpsc::Sender<String>) -> Result<Trunk, Error> {
        Trunk::open(&self.shared, words).await
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.shared.peers.lock().len()
    }

    /// A name for a connection to be made; it is placed where there is the least to do.
    pub fn new_peer(&self, client: Client) -> PeerId {
        self.shared.new_peer(client)
    }

    /// Answers a publisher's offer: its first, or a later one that adds or ends streams or restarts ICE.
    ///
    /// # Errors
    /// [`Error`]; the connection is then as it was, or gone when it was new.
    pub async fn publish(&self, peer: PeerId, asked: Publish) -> Result<Answer, Error> {
        self.ask(peer, |reply| Command::Publish { peer, asked, reply }).await
    }

    /// Answers a viewer's offer.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub async fn watch(&self, peer: PeerId, asked: Watch) -> Result<Answer, Error> {
        self.ask(peer, |reply| Command::Watch { peer, asked, reply }).await
    }

    /// Why nothing of what a viewer wants could be sent to it by its offer: it comes by codecs that the offer does not take. `None`
    /// where some of it comes by others, and where nobody knows yet.
    ///
    /// # Errors
    /// [`Error::Offer`]
    pub fn untaken(&self, offer: &str, streams: &[Watched]) -> Result<Option<String>, Error> {
        let wanted = streams.iter().filter_map(|stream| Some((stream.mid.as_str(), stream.source.as_ref()?)));
        Ok(taking::untaken(&Offer::read(offer)?, wanted, &self.shared.sources))
    }

    /// Somebody is about to come who may watch these pictures: a keyframe of each is asked for, so that it is there when the
    /// connection is. Of what comes from another node, and of sound, nothing has to be.
    pub fn expect(&self, pictures: &[SourceKey]) {
        let known = pictures.iter().filter(|key| key.kind.is_video());
        for source in known.filter_map(|key| self.shared.sources.find(key)) {
            let queue = source.owner().and_then(|owner| self.shared.queues.get(owner));
            if let Some(queue) = queue {
                // Should the queue be full, the viewer asks for it when it has come.
                let _ = queue.commands.try_send(Command::Expect { source: source.id });
            }
        }
    }

    /// Changes what a viewer's m-lines are filled with, and how many sounds it gets when that is said, without an offer.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::UnknownMid`], [`Error::WrongKind`], [`Error::Busy`].
    pub async fn rewatch(&self, peer: PeerId, asked: Rewatch) -> Result<(), Error> {
        self.ask(peer, |reply| Command::Rewatch { peer, asked, reply }).await
    }

    async fn ask<T>(
        &self,
        peer: PeerId,
        command: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Command,
    ) -> Result<T, Error> {
        let queue = self.shared.queue_of(peer).ok_or(Error::Gone)?;
        let (reply, answer) = oneshot::channel();
        queue.commands.try_send(command(reply)).map_err(|_| Error::Busy)?;
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::Gone),
            Err(_) => Err(Error::Busy),
        }
    }

    /// What a publisher may send changes; the next packet is held to it.
    pub fn set_rights(&self, peer: PeerId, rights: Rights) {
        self.order(peer, Order::Rights(rights));
    }

    /// Ends a connection. Nothing is sent to it, or taken from it, from then on.
    pub fn close(&self, peer: PeerId) {
        self.order(peer, Order::Close);
    }

    fn order(&self, peer: PeerId, order: Order) {
        let Some(queue) = self.shared.queue_of(peer) else { return };
        {
            let mut orders = queue.orders.lock();
            if !matches!(orders.get(&peer), Some(Order::Close)) {
                orders.insert(peer, order);
            }
        }
        queue.wake.notify_one();
    }
}
