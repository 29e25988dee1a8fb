//! The threads that move packets: each has a socket on the one UDP port, a shard, and its connections over TCP. There is
//! nothing here to decide; see `shard.rs`.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use crate::command::Command;
use crate::outbox::{Kind, Outbox, Route, Run};
use crate::port::{self, Datagrams, Port, datagram_sockets, unmapped};
use crate::relay;
use crate::shard::{Shard, Taking};
use crate::shared::{Config, Event, Inlets, Order, Shared, TcpArrival};
use crate::stun::{self, Opening};
use crate::turn::{self, Entrance, Reaction, Turn, network};

/// Commands and packets taken in a row.
const TAKEN: usize = 1024;

/// ICE-TCP (RFC 6544): connections a worker may have, how long one may take to say whose it is, and be silent.
const MAX_STREAMS: usize = 10_000;
const STREAM_SETUP: Duration = Duration::from_secs(10);
const STREAM_SILENCE: Duration = Duration::from_secs(30);

/// Connections that may wait to say whose they are, and those of one client: a browser opens one for each of its own.
const MAX_WAITING: usize = 1024;
const MAX_WAITING_OF_ONE: usize = 64;

/// How often allocations that are over are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How long to wait when no connection can be taken: there are no descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What comes first is a binding request of some 100 bytes; what comes later may be anything that fits.
const MAX_FIRST_FRAME: usize = 1_500;
const MAX_FRAME: usize = u16::MAX as usize;

/// Datagrams that may wait for one TCP connection: half a second of video.
const STREAM_QUEUE: usize = 256;

/// The sockets.
pub(crate) struct Listening {
    udp: Vec<std::net::UdpSocket>,
    /// The relay's own, one a worker too.
    relay: Vec<std::net::UdpSocket>,
    tcp: Option<std::net::TcpListener>,
    pub(crate) udp_address: SocketAddr,
    pub(crate) tcp_address: Option<SocketAddr>,
    pub(crate) relay_address: Option<SocketAddr>,
}

impl Listening {
    pub(crate) fn open(config: &Config, workers: usize) -> io::Result<Self> {
        let (udp, udp_address) = datagram_sockets(config.udp, workers)?;
        let tcp = config.tcp.map(std::net::TcpListener::bind).transpose()?;
        if let Some(listener) = &tcp {
            listener.set_nonblocking(true)?;
        }
        let tcp_address = tcp.as_ref().map(std::net::TcpListener::local_addr).transpose()?;
        let relay = config.turn.map(|address| datagram_sockets(address, workers)).transpose()?;
        let (relay, relay_address) =
            relay.map_or_else(Default::default, |(sockets, address)| (sockets, Some(address)));
        Ok(Self { udp, relay, tcp, udp_address, tcp_address, relay_address })
    }
}

/// The addresses behind a listening address: itself, or where this machine speaks from.
pub(crate) fn own_addresses(listening: IpAddr) -> Vec<IpAddr> {
    if !listening.is_unspecified() {
        return vec![listening];
    }
    // Connecting a datagram socket sends nothing; it only asks the kernel for the way. The addresses are those set
    // aside for documentation (RFC 5737, RFC 3849).
    let routes: [(IpAddr, IpAddr, IpAddr); 2] = [
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::LOCALHOST.into()),
        (
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
            Ipv6Addr::LOCALHOST.into(),
        ),
    ];
    let mut addresses = Vec::new();
    for (any, far, loopback) in routes {
        if any.is_ipv6() && listening.is_ipv4() {
            continue;
        }
        let local = std::net::UdpSocket::bind((any, 0)).and_then(|socket| {
            socket.connect((far, 9))?;
            socket.local_addr()
        });
        addresses.extend(local.map(|address| address.ip()));
        addresses.push(loopback);
    }
    addresses.dedup();
    addresses
}

/// Starts the threads; they end when `stopped` does.
pub(crate) fn start(
    listening: Listening,
    inlets: Vec<Inlets>,
    shared: &Arc<Shared>,
    events: &mpsc::Sender<Event>,
    stopped: &watch::Receiver<()>,
) -> io::Result<()> {
    let mut tcp = listening.tcp;
    let runtimes =
        listening.udp.iter().map(|_| tokio::runtime::Builder::new_current_thread().enable_all().build());
    let runtimes = runtimes.collect::<io::Result<Vec<_>>>()?;
    let handles: Vec<_> = runtimes.iter().map(|runtime| runtime.handle().clone()).collect();
    let mut relay = listening.relay.into_iter();
    let parts = listening.udp.into_iter().zip(inlets).zip(runtimes);
    for (index, ((socket, inlets), runtime)) in parts.enumerate() {
        let relay = relay.next();
        let handles = handles.clone();
        let (shared, events, mut stopped) = (shared.clone(), events.clone(), stopped.clone());
        let listener = tcp.take();
        std::thread::Builder::new().name("media".into()).spawn(move || {
            // Held for as long as the runtime, whose tasks have sockets.
            let _running = stopped.clone();
            runtime.block_on(async move {
                if let Some(listener) = listener.and_then(|listener| TcpListener::from_std(listener).ok()) {
                    let waiting = Waiting::new(MAX_WAITING, MAX_WAITING_OF_ONE);
                    tokio::spawn(accept(listener, shared.clone(), Arc::new(waiting), handles));
                }
                let work = match Worker::new(index, socket, relay, &shared, events) {
                    Ok(worker) => worker.run(inlets),
                    Err(error) => {
                        tracing::error!(%error, "a media worker cannot start");
                        return;
                    }
                };
                tokio::select! {
                    () = work => {}
                    // The error is that whoever could stop it is gone.
                    _ = stopped.changed() => {}
                }
            });
            drop(runtime);
        })?;
    }
    Ok(())
}

struct Worker {
    shard: Shard,
    shared: Arc<Shared>,
    index: usize,
    media: Port,
    relay: Option<Port>,
    wires: Wires,
    /// When there are so many connections over TCP, those that serve nobody any more are let go of.
    sweep_at: usize,
    buffers: Vec<Vec<u8>>,
    events: mpsc::Sender<Event>,
    swept_at: Instant,
}

/// The ways out.
struct Wires {
    datagrams: Datagrams,
    streams: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>, foldhash::fast::RandomState>,
    shared: Arc<Shared>,
    /// What goes to clients of the relay over UDP, wrapped: from the media port, and from the relay's own.
    wrapped: Outbox,
    relayed: Outbox,
}

impl Worker {
    fn new(
        index: usize,
        media: std::net::UdpSocket,
        relay: Option<std::net::UdpSocket>,
        shared: &Arc<Shared>,
        events: mpsc::Sender<Event>,
    ) -> io::Result<Self> {
        let media = Port::new(media)?;
        let wires = Wires {
            datagrams: Datagrams::new(&media),
            streams: HashMap::default(),
            shared: shared.clone(),
            wrapped: Outbox::default(),
            relayed: Outbox::default(),
        };
        Ok(Self {
            media,
            relay: relay.map(Port::new).transpose()?,
            shard: Shard::new(index, shared.clone()),
            shared: shared.clone(),
            index,
            wires,
            sweep_at: 64,
            buffers: port::buffers(),
            events,
            swept_at: Instant::now(),
        })
    }

    async fn run(mut self, mut inlets: Inlets) {
        let shared = self.shared.clone();
        let Some(queue) = shared.queues.get(self.index) else { return };
        let sleep = tokio::time::sleep(Duration::from_secs(1));
        tokio::pin!(sleep);
        loop {
            let now = Instant::now();
            let due = self.shard.poll_timeout().unwrap_or(now + Duration::from_secs(1));
            sleep.as_mut().reset(due.max(now).into());
            let mut now = now;
            tokio::select! {
                // In order, so that where a datagram has come nobody else is asked: all else is seen to below in any case.
                biased;
                ready = self.media.socket.readable() => {
                    now = Instant::now();
                    if ready.is_ok() {
                        self.receive(now);
                    }
                }
                _ = Port::readable(self.relay.as_ref()) => now = Instant::now(),
                packet = inlets.packets.recv() => {
                    now = Instant::now();
                    packet.into_iter().for_each(|packet| self.shard.handle_packet(packet));
                }
                command = inlets.commands.recv() => {
                    now = Instant::now();
                    command.into_iter().for_each(|command| self.shard.handle_command(command, now));
                }
                stream = inlets.streams.recv() => {
                    stream.into_iter().for_each(|stream| self.adopt(stream, now));
                }
                () = queue.wake.notified() => now = Instant::now(),
                () = &mut sleep => now = Instant::now(),
            }
            self.receive_relayed(now);
            for _ in 0..TAKEN {
                let Ok(stream) = inlets.streams.try_recv() else { break };
                self.adopt(stream, now);
            }
            for _ in 0..TAKEN {
                let Ok(packet) = inlets.packets.try_recv() else { break };
                self.shard.handle_packet(packet);
            }
            for _ in 0..TAKEN {
                let Ok(command) = inlets.commands.try_recv() else { break };
                self.shard.handle_command(command, now);
            }
            let orders = std::mem::take(&mut *queue.orders.lock());
            for (peer, order) in orders {
                match order {
                    Order::Rights(rights) => self.shard.set_rights(peer, rights, now),
                    Order::Close => self.shard.close(peer),
                }
            }
            let has_answers = !self.wires.relayed.is_empty();
            let relay = self.relay.as_ref().map(|relay| &relay.socket);
            let (sockets, wires) = ((&self.media.socket, relay), &mut self.wires);
            let mut send = |out: &mut Outbox| wires.send(sockets, out);
            self.shard.flush(now, &mut send);
            if self.shard.poll_timeout().is_some_and(|due| due <= now) {
                self.shard.handle_timeout(now, &mut send);
            }
            if !self.shard.out.is_empty() || has_answers {
                send(&mut self.shard.out);
            }
            self.tell();
            self.sweep(now);
        }
    }

    /// Ends what the relay's clients have not refreshed; one worker does it for all.
    fn sweep(&mut self, now: Instant) {
        if self.index == 0 && now.saturating_duration_since(self.swept_at) >= SWEEP_INTERVAL {
            self.swept_at = now;
            self.shared.turn.iter().for_each(|turn| turn.sweep(now));
        }
    }

    /// Takes what has come to the media port.
    fn receive(&mut self, now: Instant) {
        let Self { media, buffers, shard, shared, .. } = self;
        media.receive(buffers, |route, bytes| {
            let relayed = match &shared.turn {
                Some(turn) if turn::is_turn(bytes) => {
                    take_relayed(turn, turn::Client::udp(route, Entrance::Media), bytes, now, &mut shard.out)
                }
                _ => Some((route, bytes)),
            };
            if let Some((route, bytes)) = relayed {
                hand_over(shard, shared, route, bytes, now);
            }
        });
    }

    /// Takes what has come to the relay's own port.
    fn receive_relayed(&mut self, now: Instant) {
        let Self { relay: Some(relay), buffers, shard, shared, wires, .. } = self else { return };
        relay.receive(buffers, |route, bytes| {
            let Some(turn) = shared.turn.as_ref().filter(|_| turn::is_turn(bytes)) else {
                shared.counters.stray_datagrams.fetch_add(1, Ordering::Relaxed);
                return;
            };
            let client = turn::Client::udp(route, Entrance::Own);
            if let Some((route, bytes)) = take_relayed(turn, client, bytes, now, &mut wires.relayed) {
                hand_over(shard, shared, route, bytes, now);
            }
        });
    }

    /// A TCP connection of one of our clients.
    fn adopt(&mut self, arrival: TcpArrival, now: Instant) {
        if self.wires.streams.len() >= self.sweep_at {
            let shard = &self.shard;
            self.wires.streams.retain(|remote, queue| !queue.is_closed() && shard.knows(Route::tcp(*remote)));
            self.sweep_at = (2 * self.wires.streams.len()).clamp(64, MAX_STREAMS);
        }
        if self.wires.streams.len() >= MAX_STREAMS {
            return;
        }
        let Ok(stream) = TcpStream::from_std(arrival.stream) else { return };
        let Ok(remote) = stream.peer_addr().map(unmapped) else { return };
        let route = Route::tcp(remote);
        let (queue, outgoing) = mpsc::channel(STREAM_QUEUE);
        self.wires.streams.insert(remote, queue);
        self.shard.handle_datagram(route, &arrival.first, now);
        if !self.shard.knows(route) {
            // The name was somebody's, the password was not.
            self.wires.streams.remove(&remote);
            return;
        }
        let (reader, writer) = stream.into_split();
        let (shared, index) = (self.shared.clone(), self.index);
        tokio::spawn(async move {
            tokio::select! {
                () = read_frames(reader, route, shared, index) => {}
                () = write_frames(writer, outgoing) => {}
            }
        });
    }

    fn tell(&mut self) {
        if self.shard.events.is_empty() {
            return;
        }
        let events = std::mem::take(&mut self.shard.events);
        for event in events {
            match self.events.try_send(event) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
                // These are told again, as soon as they change; of samples and of what was received, some seconds are not known then.
                Err(mpsc::error::TrySendError::Full(
                    Event::Levels(_) | Event::Link(..) | Event::Samples(_) | Event::Received(_),
                )) => {}
                Err(mpsc::error::TrySendError::Full(event)) => self.shard.events.push(event),
            }
        }
    }
}

impl Wires {
    /// By the sockets of the media port, and of the relay's own.
    fn send(&mut self, (media, relay): (&UdpSocket, Option<&UdpSocket>), out: &mut Outbox) {
        let runs = std::mem::take(&mut out.runs);
        let mut rest = runs.as_slice();
        while let Some(first) = rest.first() {
            if first.route.kind != Kind::Udp {
                match first.route.kind {
                    Kind::Relay => self.wrap(&out.buffer, first),
                    _ => self.send_tcp(&out.buffer, first),
                }
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let udp = rest.iter().position(|run| run.route.kind != Kind::Udp).unwrap_or(rest.len());
            let (now, later) = rest.split_at_checked(udp).unwrap_or((rest, &[]));
            self.datagrams.send(media, &out.buffer, now, &self.shared.counters);
            rest = later;
        }
        out.runs = runs;
        out.clear();
        self.send_kept(Some(media), |wires| &mut wires.wrapped);
        self.send_kept(relay, |wires| &mut wires.relayed);
    }

    /// Sends what was put aside for a socket; nowhere without one.
    fn send_kept(&mut self, socket: Option<&UdpSocket>, kept: fn(&mut Self) -> &mut Outbox) {
        if kept(self).is_empty() {
            return;
        }
        let mut out = std::mem::take(kept(self));
        socket
            .into_iter()
            .for_each(|socket| self.datagrams.send(socket, &out.buffer, &out.runs, &self.shared.counters));
        out.clear();
        *kept(self) = out;
    }

    /// Wraps datagrams for a client of the relay. Those over UDP are sent with the others, so that they are runs too.
    fn wrap(&mut self, buffer: &[u8], run: &Run) {
        let (Some(turn), Some(local)) = (&self.shared.turn, run.route.local) else { return };
        let Some(way) = turn.way_to(run.route.remote, local, run.length, Instant::now()) else { return };
        let datagrams = buffer.get(run.start..run.start + run.length).unwrap_or_default();
        for datagram in datagrams.chunks(run.segment.max(1)) {
            let out = match way.client.entrance {
                Entrance::Media => &mut self.wrapped,
                Entrance::Own => &mut self.relayed,
                Entrance::Stream(stream) => {
                    let mut message = Vec::with_capacity(datagram.len() + 40);
                    way.head.wrap(datagram, true, &mut message);
                    if !self.shared.streams.send(stream, message) {
                        self.shared.counters.unsent_datagrams.fetch_add(1, Ordering::Relaxed);
                    }
                    continue;
                }
            };
            let start = out.start();
            way.head.wrap(datagram, false, &mut out.buffer);
            out.finish(Route { local: way.client.local, ..Route::udp(way.client.remote) }, start);
        }
    }

    /// RFC 4571: each datagram after its length.
    fn send_tcp(&mut self, buffer: &[u8], run: &Run) {
        let Some(bytes) = buffer.get(run.start..run.start + run.length) else { return };
        let Ok(length) = u16::try_from(bytes.len()) else { return };
        let Some(queue) = self.streams.get(&run.route.remote) else { return };
        let mut frame = Vec::with_capacity(2 + bytes.len());
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(bytes);
        // A link that is too slow loses datagrams, as it would over UDP.
        if queue.try_send(frame).is_err() {
            self.shared.counters.unsent_datagrams.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Connections that have yet to say whose they are, the longest waiting first. Whoever opens many without a word only takes
/// places from itself, and then from those that have been silent the longest.
struct Waiting {
    entries: Mutex<VecDeque<(u64, IpAddr, AbortHandle)>>,
    most: usize,
    most_of_one: usize,
}

impl Waiting {
    fn new(most: usize, most_of_one: usize) -> Self {
        Self { entries: Mutex::default(), most, most_of_one }
    }

    fn enter(&self, id: u64, remote: IpAddr, task: AbortHandle) {
        let (remote, mut entries) = (network(remote), self.entries.lock());
        let is_of_it = |entry: &&(u64, IpAddr, AbortHandle)| entry.1 == remote;
        let idle = if entries.iter().filter(is_of_it).count() >= self.most_of_one {
            entries.iter().position(|entry| is_of_it(&entry))
        } else {
            (entries.len() >= self.most).then_some(0)
        };
        if let Some((.., task)) = idle.and_then(|idle| entries.remove(idle)) {
            task.abort();
        }
        entries.push_back((id, remote, task));
    }

    fn leave(&self, id: u64) {
        self.entries.lock().retain(|(other, ..)| *other != id);
    }

    /// The one that has waited longest gives its place up.
    fn evict(&self) {
        if let Some((.., task)) = self.entries.lock().pop_front() {
            task.abort();
        }
    }
}

/// Takes TCP connections, and hands each to the worker that has its client.
async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    waiting: Arc<Waiting>,
    runtimes: Vec<tokio::runtime::Handle>,
) {
    for (id, runtime) in (0..).zip(runtimes.iter().cycle()) {
        let (stream, remote) = loop {
            match listener.accept().await {
                Ok(accepted) => break accepted,
                // It went before its turn came.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                // No descriptors are left, most likely: one that waits is given up for it, and the next try is not at once.
                Err(_) => {
                    waiting.evict();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        };
        let (shared, place) = (shared.clone(), waiting.clone());
        let _ = stream.set_nodelay(true);
        let Ok(stream) = stream.into_std() else { continue };
        let (entered, has_entered) = oneshot::channel();
        // The relay's clients stay where they are put, so that they are spread over the threads.
        let task = runtime.spawn(async move {
            let (Ok(()), Ok(mut stream)) = (has_entered.await, TcpStream::from_std(stream)) else { return };
            let mut head = [0; stun::OPENING];
            let read = tokio::time::timeout(STREAM_SETUP, stream.read_exact(&mut head)).await;
            match stun::opening(&head).filter(|_| matches!(read, Ok(Ok(_)))) {
                Some(Opening::Turn) => {
                    relay::serve(stream, unmapped(remote), head.into(), &shared, || place.leave(id)).await;
                }
                Some(Opening::Ice) => introduce(stream, &head, &shared).await,
                None => _ = shared.counters.stray_datagrams.fetch_add(1, Ordering::Relaxed),
            }
            place.leave(id);
        });
        waiting.enter(id, remote.ip(), task.abort_handle());
        let _ = entered.send(());
    }
}

/// Hands an ICE-TCP connection to the worker that has its client; `head` is what has been read of it.
pub(crate) async fn introduce(mut stream: TcpStream, head: &[u8], shared: &Shared) {
    let mut reader = head.chain(&mut stream);
    let first = tokio::time::timeout(STREAM_SETUP, read_frame(&mut reader, MAX_FIRST_FRAME)).await;
    let first = first.ok().flatten();
    let name = first.as_deref().and_then(stun::username);
    let owner = name.and_then(|name| shared.ufrags.read().get(name).copied());
    let Some((queue, first)) = owner.and_then(|owner| shared.queues.get(owner)).zip(first) else {
        shared.counters.stray_datagrams.fetch_add(1, Ordering::Relaxed);
        return;
    };
    if let Ok(stream) = stream.into_std() {
        // A worker that has so many to adopt is behind; the client tries again.
        let _ = queue.streams.try_send(TcpArrival { stream, first });
    }
}

/// `None` at the end, and for a frame that is longer than `most` bytes.
async fn read_frame(reader: &mut (impl tokio::io::AsyncRead + Unpin), most: usize) -> Option<Vec<u8>> {
    let length = usize::from(reader.read_u16().await.ok()?);
    if length > most {
        return None;
    }
    let mut frame = vec![0; length];
    reader.read_exact(&mut frame).await.ok()?;
    Some(frame)
}

async fn read_frames(
    mut reader: tokio::net::tcp::OwnedReadHalf,
    route: Route,
    shared: Arc<Shared>,
    index: usize,
) {
    let Some(queue) = shared.queues.get(index) else { return };
    while let Ok(Some(bytes)) = tokio::time::timeout(STREAM_SILENCE, read_frame(&mut reader, MAX_FRAME)).await
    {
        if queue.commands.send(Command::Datagram { route, bytes }).await.is_err() {
            return;
        }
    }
}

async fn write_frames(mut writer: tokio::net::tcp::OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = queue.recv().await {
        if writer.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// What came, out of what the relay's clients wrap it in; `None` when it was for the relay itself.
fn take_relayed<'a>(
    turn: &Turn,
    client: turn::Client,
    bytes: &'a [u8],
    now: Instant,
    out: &mut Outbox,
) -> Option<(Route, &'a [u8])> {
    let start = out.start();
    match turn.handle(client, bytes, now, &mut out.buffer) {
        Reaction::Nothing => None,
        Reaction::Answer => {
            out.finish(Route { local: client.local, ..Route::udp(client.remote) }, start);
            None
        }
        Reaction::Data(route, data) => Some((route, data)),
    }
}

/// A datagram goes to the connection it is for, on whichever shard that is.
fn hand_over(shard: &mut Shard, shared: &Shared, route: Route, bytes: &[u8], now: Instant) {
    if let Taking::Elsewhere(owner) = shard.handle_datagram(route, bytes, now)
        && let Some(queue) = shared.queues.get(owner)
    {
        // ICE and RTP both send again what is lost here.
        let _ = queue.commands.try_send(Command::Datagram { route, bytes: bytes.to_vec() });
    }
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Socket, Type};
    use tokio::runtime::Handle;

    use super::*;

    async fn waits(waiting: &Waiting, count: usize) {
        while waiting.entries.lock().len() != count {
            tokio::task::yield_now().await;
        }
    }

    async fn is_closed(stream: &mut TcpStream) -> bool {
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_u8()).await;
        matches!(read, Ok(Err(_)))
    }

    fn connect(from: [u8; 4], to: SocketAddr) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        socket.connect(&to.into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        TcpStream::from_std(socket.into()).unwrap()
    }

    #[tokio::test]
    async fn who_is_silent_gives_its_place_up_to_who_comes() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let to = listener.local_addr().unwrap();
        let (shared, _inlets) = Shared::new(1, vec![to], vec![to]).unwrap();
        let waiting = Arc::new(Waiting::new(5, 3));
        tokio::spawn(accept(listener, Arc::new(shared), waiting.clone(), vec![Handle::current()]));
        let mut greedy = Vec::new();
        for count in 1..=3 {
            greedy.push(connect([127, 0, 0, 1], to));
            waits(&waiting, count).await;
        }

        greedy.push(connect([127, 0, 0, 1], to));
        assert!(is_closed(&mut greedy[0]).await, "one of the same address gives way");
        let _others: Vec<_> = [2, 3].map(|last| connect([127, 0, 0, last], to)).into();
        waits(&waiting, 5).await;
        let _last = connect([127, 0, 0, 4], to);
        assert!(is_closed(&mut greedy[1]).await, "then the one that waited longest");

        assert_eq!(waiting.entries.lock().len(), 5);
    }

    #[test]
    fn a_client_is_one_network() {
        let of = |text: &str| network(text.parse().unwrap());

        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
