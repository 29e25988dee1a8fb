//! UDP sockets that many datagrams go through: taken in batches, and sent in runs.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::outbox::{Kind, Route, Run};
use crate::shared::Counters;
use crate::socket::Sender;

/// What the kernel may hold for a socket: 4 MB are 15 ms at 2 Gbit/s.
const SOCKET_BUFFER: usize = 4 << 20;

/// Receives made in a row before anything else gets its turn.
const RECEIVES: usize = 8;

/// Datagrams that room is made ready for while no more come at a time: for a whole batch that costs more than to take one.
const FEW: usize = 4;

/// How long the network may refuse datagrams before they are dropped.
const SEND_PATIENCE: Duration = Duration::from_millis(5);

/// The longest datagram that comes: GRO gathers several in one.
const RECEIVE_BYTES: usize = 64 << 10;

/// So many sockets on one port: the kernel keeps a client with one of them.
pub(crate) fn datagram_sockets(
    mut address: SocketAddr,
    count: usize,
) -> io::Result<(Vec<std::net::UdpSocket>, SocketAddr)> {
    if count > 1 && address.port() != 0 {
        // Sockets that share a port would also share it with another server's; this one does not.
        drop(std::net::UdpSocket::bind(address)?);
    }
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if count > 1 {
            socket.set_reuse_port(true)?;
        }
        socket.set_nonblocking(true)?;
        // What the system allows of it.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
        socket.bind(&address.into())?;
        let socket = std::net::UdpSocket::from(socket);
        address = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok((sockets, address))
}

/// Room for what is taken at once.
pub(crate) fn buffers() -> Vec<Vec<u8>> {
    vec![vec![0; RECEIVE_BYTES]; BATCH_SIZE]
}

/// A socket on one of the UDP ports.
pub(crate) struct Port {
    pub(crate) socket: UdpSocket,
    state: UdpSocketState,
    /// The socket is for all addresses of this machine, so what is sent has to say from which.
    has_any_address: bool,
    /// More than a few came the last time.
    is_busy: bool,
}

impl Port {
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        let has_any_address = socket.local_addr()?.ip().is_unspecified();
        Ok(Self { socket: UdpSocket::from_std(socket)?, state, has_any_address, is_busy: false })
    }

    /// Once there is something to take.
    pub(crate) async fn readable(port: Option<&Self>) -> io::Result<()> {
        match port {
            Some(port) => port.socket.readable().await,
            None => std::future::pending().await,
        }
    }

    /// Takes what it has.
    pub(crate) fn receive(&mut self, buffers: &mut [Vec<u8>], mut take: impl FnMut(Route, &[u8])) {
        for _ in 0..RECEIVES {
            let (received, most) = match self.is_busy {
                true => (self.receive_some::<BATCH_SIZE>(buffers, &mut take), BATCH_SIZE),
                false => (self.receive_some::<FEW>(buffers, &mut take), FEW),
            };
            self.is_busy = received >= FEW;
            if received < most {
                return;
            }
        }
    }

    /// Takes so many at most. Returns how many there were.
    fn receive_some<const MOST: usize>(
        &self,
        buffers: &mut [Vec<u8>],
        mut take: impl FnMut(Route, &[u8]),
    ) -> usize {
        let mut metas = [RecvMeta::default(); MOST];
        let mut slices = buffers.iter_mut().map(|buffer| io::IoSliceMut::new(buffer));
        let mut slices: [io::IoSliceMut<'_>; MOST] =
            std::array::from_fn(|_| slices.next().unwrap_or_else(|| io::IoSliceMut::new(&mut [])));
        let mut received = 0;
        // Fewer than there is room for are all there are: to be told so by asking once more would take another turn.
        let _ = self.socket.try_io(Interest::READABLE, || {
            received = self.state.recv((&self.socket).into(), &mut slices, &mut metas)?;
            if received < MOST { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        for (meta, buffer) in metas.iter().zip(buffers.iter()).take(received) {
            let local = meta.dst_ip.map(|ip| ip.to_canonical());
            let local = local.filter(|ip| self.has_any_address && can_be_sent_from(ip));
            let route = Route { kind: Kind::Udp, remote: unmapped(meta.addr), local };
            for bytes in buffer.get(..meta.len).unwrap_or_default().chunks(meta.stride.max(1)) {
                take(route, bytes);
            }
        }
        received
    }
}

/// What sending by a socket needs, from one time to the next.
pub(crate) struct Datagrams {
    sender: Sender,
    /// A run taken apart, where the kernel does not do it.
    single: Vec<Run>,
}

impl Datagrams {
    pub(crate) fn new(port: &Port) -> Self {
        Self { sender: Sender::new(port.state.max_gso_segments() > 1), single: Vec::new() }
    }

    /// Sends runs by a socket, or drops them and counts that.
    pub(crate) fn send(&mut self, socket: &UdpSocket, buffer: &[u8], runs: &[Run], counters: &Counters) {
        if !self.sender.segments() && runs.iter().any(|run| run.length > run.segment) {
            let mut single = std::mem::take(&mut self.single);
            single.clear();
            single.extend(runs.iter().flat_map(|run| {
                (0..run.length).step_by(run.segment).map(|offset| Run {
                    start: run.start + offset,
                    length: run.segment.min(run.length - offset),
                    ..*run
                })
            }));
            self.send(socket, buffer, &single, counters);
            self.single = single;
            return;
        }
        let mut rest = runs;
        let mut refused_at: Option<Instant> = None;
        while let Some(first) = rest.first() {
            match self.sender.send(socket, buffer, rest) {
                Ok(sent) => {
                    rest = rest.get(sent.max(1)..).unwrap_or_default();
                    refused_at = None;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let began = *refused_at.get_or_insert_with(Instant::now);
                    if began.elapsed() > SEND_PATIENCE {
                        let datagrams: usize = rest.iter().map(|run| run.length.div_ceil(run.segment)).sum();
                        counters.unsent_datagrams.fetch_add(datagrams as u64, Ordering::Relaxed);
                        return;
                    }
                    std::thread::sleep(Duration::from_micros(100));
                }
                // A card that cannot segment says so by these; the second is also an address that is not ours any more.
                Err(error)
                    if first.length > first.segment
                        && (error.raw_os_error() == Some(libc::EIO)
                            || error.raw_os_error() == Some(libc::EINVAL) && first.route.local.is_none()) =>
                {
                    tracing::info!("this network does not segment datagrams; each is sent by itself");
                    self.sender.stop_segmenting();
                    self.send(socket, buffer, rest, counters);
                    return;
                }
                // One place that cannot be reached is not the others' trouble.
                Err(_) => {
                    counters.unsent_datagrams.fetch_add(1, Ordering::Relaxed);
                    rest = rest.get(1..).unwrap_or_default();
                }
            }
        }
    }
}

/// Link-local addresses need an interface named too, which the way to their other side settles as well.
fn can_be_sent_from(ip: &IpAddr) -> bool {
    !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// An IPv4 address that a socket for both shows as IPv6.
pub(crate) fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_has_come_is_taken_however_much_it_is() {
        let mut port =
            Port::new(datagram_sockets(([127, 0, 0, 1], 0).into(), 1).unwrap().0.remove(0)).unwrap();
        let to = port.socket.local_addr().unwrap();
        let client = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let mut buffers = buffers();
        for count in [1, FEW, 1, FEW + 1, 3 * BATCH_SIZE, 1] {
            (0..count).for_each(|number| _ = client.send_to(&[number as u8], to).unwrap());

            let mut came = Vec::new();
            while came.len() < count {
                Port::readable(Some(&port)).await.unwrap();
                port.receive(&mut buffers, |_, bytes| came.extend_from_slice(bytes));
            }

            assert!(came.iter().enumerate().all(|(at, number)| at as u8 == *number), "{count}: {came:?}");
        }
    }
}
