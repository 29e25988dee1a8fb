//! The thread that has the trunks of a node, and its socket.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use super::{End, packet};
use crate::error::Error;
use crate::outbox::Outbox;
use crate::port::{self, Datagrams, Port};
use crate::shared::Shared;
use crate::source::{Packet, Source};
use crate::srtp::NODE_MATERIAL;
use crate::trunks::{Inlets, MOST_TRUNKS, Order};

/// Taken in a row.
const TAKEN: usize = 1024;

/// A trunk to another node's unit; it ends when this is dropped.
pub struct Trunk {
    shared: Arc<Shared>,
    index: usize,
}

impl Trunk {
    /// Opens one. What it has to say comes out of the other end of `words`, whole words in order, and has to get to the other node's
    /// [`Self::hear`] so; when nobody reads there any more it is of no use.
    pub(crate) async fn open(shared: &Arc<Shared>, words: mpsc::Sender<String>) -> Result<Self, Error> {
        let trunks = shared.trunks.as_ref().ok_or(Error::Gone)?;
        let index = shared.queues.len() + trunks.begin().ok_or(Error::Busy)?;
        trunks.orders.send(Order::Open { index, words }).await.map_err(|_| Error::Gone)?;
        Ok(Self { shared: shared.clone(), index })
    }

    /// Takes a word of the other node's unit.
    ///
    /// # Errors
    /// [`Error::Gone`]
    pub async fn hear(&self, word: String) -> Result<(), Error> {
        let trunks = self.shared.trunks.as_ref().ok_or(Error::Gone)?;
        trunks.orders.send(Order::Hear { index: self.index, word }).await.map_err(|_| Error::Gone)
    }
}

impl Drop for Trunk {
    fn drop(&mut self) {
        let Some(trunks) = &self.shared.trunks else { return };
        let (orders, index) = (trunks.orders.clone(), self.index);
        // The queue may be full, which is no reason to keep it.
        if let Err(TrySendError::Full(order)) = orders.try_send(Order::Close { index })
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { orders.send(order).await });
        }
    }
}

/// Starts the thread; it ends when `stopped` does.
pub(crate) fn start(inlets: Inlets, shared: &Arc<Shared>, stopped: &watch::Receiver<()>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (shared, mut stopped) = (shared.clone(), stopped.clone());
    std::thread::Builder::new().name("trunks".into()).spawn(move || {
        runtime.block_on(async move {
            let driver = match Port::new(inlets.socket) {
                Ok(port) => Driver::new(port, &shared),
                Err(error) => {
                    tracing::error!(%error, "the thread of other nodes' media cannot start");
                    return;
                }
            };
            tokio::select! {
                () = driver.run(inlets.packets, inlets.orders) => {}
                // The error is that whoever could stop it is gone.
                _ = stopped.changed() => {}
            }
        });
    })?;
    Ok(())
}

struct Open {
    end: End,
    words: mpsc::Sender<String>,
}

impl Open {
    /// Says what there is to say, and does what is due. `false` when it is of no use any more.
    fn attend(&mut self, changed: &[Arc<Source>], now: Instant) -> bool {
        let Self { end, words } = self;
        for source in changed {
            end.note_watched(source);
            end.tell(source.id, now);
        }
        if end.poll_timeout() <= now {
            end.handle_timeout(now);
        }
        while end.has_words() {
            match words.try_reserve() {
                Ok(permit) => {
                    if let Some(word) = end.next_word() {
                        permit.send(word);
                    }
                }
                Err(TrySendError::Full(())) => return !end.is_stuck(),
                // Who opened it is gone, or as good as.
                Err(TrySendError::Closed(())) => return false,
            }
        }
        true
    }
}

struct Driver {
    port: Port,
    datagrams: Datagrams,
    shared: Arc<Shared>,
    /// By their places among the trunks.
    open: [Option<Box<Open>>; MOST_TRUNKS],
    buffers: Vec<Vec<u8>>,
    out: Outbox,
}

impl Driver {
    fn new(port: Port, shared: &Arc<Shared>) -> Self {
        Self {
            datagrams: Datagrams::new(&port),
            port,
            shared: shared.clone(),
            open: Default::default(),
            buffers: port::buffers(),
            out: Outbox::default(),
        }
    }

    async fn run(
        mut self,
        mut packets: mpsc::Receiver<(u64, Arc<Packet>)>,
        mut orders: mpsc::Receiver<Order>,
    ) {
        let shared = self.shared.clone();
        let Some(trunks) = &shared.trunks else { return };
        let sleep = tokio::time::sleep(Duration::from_secs(1));
        tokio::pin!(sleep);
        loop {
            let due = self.open.iter().flatten().map(|open| open.end.poll_timeout()).min();
            let due = due.unwrap_or_else(|| Instant::now() + Duration::from_secs(1));
            sleep.as_mut().reset(due.into());
            tokio::select! {
                biased;
                ready = self.port.socket.readable() => {
                    if ready.is_ok() {
                        self.receive(Instant::now());
                    }
                }
                packet = packets.recv() => packet.into_iter().for_each(|packet| self.send(&packet)),
                order = orders.recv() => order.into_iter().for_each(|order| self.take(order)),
                () = trunks.wake.notified() => {}
                () = &mut sleep => {}
            }
            for _ in 0..TAKEN {
                let Ok(packet) = packets.try_recv() else { break };
                self.send(&packet);
            }
            for _ in 0..TAKEN {
                let Ok(order) = orders.try_recv() else { break };
                self.take(order);
            }
            let (changed, now) = (trunks.take_changed(), Instant::now());
            for open in &mut self.open {
                open.take_if(|open| !open.attend(&changed, now));
            }
            self.flush();
        }
    }

    fn close(&mut self, place: usize) {
        self.open.get_mut(place).into_iter().for_each(|open| *open = None);
    }

    fn flush(&mut self) {
        let Self { port, datagrams, shared, out, .. } = self;
        if !out.is_empty() {
            datagrams.send(&port.socket, &out.buffer, &out.runs, &shared.counters);
            out.clear();
        }
    }

    fn send(&mut self, (to, packet): &(u64, Arc<Packet>)) {
        let now = Instant::now();
        let mut rest = to >> self.shared.queues.len();
        while rest != 0 {
            let place = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            if let Some(Some(open)) = self.open.get_mut(place) {
                open.end.take_packet(packet, now, &mut self.out);
            }
        }
        if self.out.is_full() {
            self.flush();
        }
    }

    fn receive(&mut self, now: Instant) {
        let Self { port, buffers, open, shared, .. } = self;
        port.receive(buffers, |_, bytes| {
            let place =
                packet::head(bytes).and_then(|head| usize::from(head.trunk).checked_sub(shared.queues.len()));
            if let Some(Some(open)) = place.and_then(|place| open.get_mut(place)) {
                open.end.take_datagram(bytes, now);
            }
        });
    }

    fn take(&mut self, order: Order) {
        let (Order::Open { index, .. }
        | Order::Hear { index, .. }
        | Order::Close { index }
        | Order::Keyframe { index, .. }) = order;
        let Some(place) = index.checked_sub(self.shared.queues.len()) else { return };
        let Some(open) = self.open.get_mut(place) else { return };
        let now = Instant::now();
        match (order, open) {
            (Order::Open { words, .. }, open) => {
                let mut material = [0; NODE_MATERIAL];
                let is_random = aws_lc_rs::rand::fill(&mut material).is_ok();
                let end = is_random.then(|| End::new(index, self.shared.clone(), &material, now)).flatten();
                if end.is_none() {
                    tracing::error!("no key can be made for what is sent to another node");
                }
                *open = end.map(|end| Box::new(Open { end, words }));
            }
            (Order::Hear { word, .. }, Some(open)) => {
                if open.end.hear(&word, now, &mut self.out).is_none() {
                    tracing::warn!(
                        "another node says what makes no sense of its media: is it of another version?"
                    );
                    self.close(place);
                }
            }
            (Order::Keyframe { source, layer, .. }, Some(open)) => open.end.ask_keyframe(source, layer),
            (Order::Close { .. }, _) => {
                self.close(place);
                self.shared.trunks.iter().for_each(|trunks| trunks.end(place));
            }
            (Order::Hear { .. } | Order::Keyframe { .. }, None) => {}
        }
    }
}
