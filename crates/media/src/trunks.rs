//! The way to the thread that has a node's trunks (`trunk.rs`).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use crate::source::{Packet, Source};

/// The most trunks a node has: it counts them with its workers.
pub(crate) const MOST_TRUNKS: usize = 16;

/// The most workers of a node that has trunks.
pub(crate) const MOST_WORKERS: usize = 64 - MOST_TRUNKS;

/// Packets, and orders, that may wait.
const PACKETS: usize = 16_384;
const ORDERS: usize = 4096;

/// Where a node's unit listens for those of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrunkConfig {
    /// The one UDP port of all trunks.
    pub listen: SocketAddr,
    /// Where others reach it.
    pub advertise: IpAddr,
}

/// What the thread is told. Trunks are numbered with the workers, after them.
pub(crate) enum Order {
    /// One begins; what it says goes there.
    Open { index: usize, words: mpsc::Sender<String> },
    /// The other node says something.
    Hear { index: usize, word: String },
    /// It ends.
    Close { index: usize },
    /// A viewer here needs a keyframe of a source that comes by it.
    Keyframe { index: usize, source: u64, layer: u8 },
}

/// What is on its way to the thread.
pub(crate) struct Trunks {
    /// With a bit for each trunk, as sources have them.
    pub(crate) packets: mpsc::Sender<(u64, Arc<Packet>)>,
    pub(crate) orders: mpsc::Sender<Order>,
    /// Sources of which others may watch here than did, or whose publications have begun or ended.
    changed: Mutex<HashMap<u64, Arc<Source>, foldhash::fast::RandomState>>,
    pub(crate) wake: Notify,
    /// Where other nodes reach it.
    pub(crate) at: SocketAddr,
    /// Which are in use.
    used: Mutex<[bool; MOST_TRUNKS]>,
}

/// What comes to the thread, and its socket.
pub(crate) struct Inlets {
    pub(crate) socket: std::net::UdpSocket,
    pub(crate) packets: mpsc::Receiver<(u64, Arc<Packet>)>,
    pub(crate) orders: mpsc::Receiver<Order>,
}

impl Trunks {
    /// Those of a socket, which others reach at that address of this machine.
    pub(crate) fn new(socket: std::net::UdpSocket, advertise: IpAddr) -> io::Result<(Self, Inlets)> {
        let port = socket.local_addr()?.port();
        let (packets, packet_inlet) = mpsc::channel(PACKETS);
        let (orders, order_inlet) = mpsc::channel(ORDERS);
        let trunks = Self {
            packets,
            orders,
            changed: Mutex::default(),
            wake: Notify::new(),
            at: SocketAddr::new(advertise, port),
            used: Mutex::default(),
        };
        Ok((trunks, Inlets { socket, packets: packet_inlet, orders: order_inlet }))
    }

    /// See [`crate::shared::Shared::note_changed`].
    pub(crate) fn note_changed(&self, source: &Arc<Source>) {
        self.changed.lock().insert(source.id, source.clone());
        self.wake.notify_one();
    }

    /// Those of which that was said since.
    pub(crate) fn take_changed(&self) -> Vec<Arc<Source>> {
        let mut changed = self.changed.lock();
        if changed.is_empty() { Vec::new() } else { std::mem::take(&mut *changed).into_values().collect() }
    }

    /// A place for one more; `None` when there are too many.
    pub(crate) fn begin(&self) -> Option<usize> {
        let mut used = self.used.lock();
        let place = used.iter().position(|used| !used)?;
        used.get_mut(place).into_iter().for_each(|used| *used = true);
        Some(place)
    }

    /// A place is free again.
    pub(crate) fn end(&self, place: usize) {
        self.used.lock().get_mut(place).into_iter().for_each(|used| *used = false);
    }
}
