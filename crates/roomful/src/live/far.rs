//! Another node's forwarding unit, as the node that has the records asks it (`lent.rs` is its other side).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hashbrown::HashMap;
use media::{Answer, Client, Error, Event, PeerId, Publish, Rewatch, Rights, Watch, Watched};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use super::words::{self, Ask, Tell};

/// What may wait to be asked. Who does not keep up with it is of no use.
const ASKS: usize = 4096;

/// How long an answer may take: longer than the unit itself gives one up.
const ANSWER: Duration = Duration::from_secs(6);

/// How long one may take to start.
const START: Duration = Duration::from_secs(10);

/// A unit of another node.
pub(super) struct Far {
    /// The run of that node.
    pub(super) node: i64,
    pub(super) relay_urls: Vec<String>,
    /// What the names of its connections here begin with; no other has had it.
    pub(super) place: u64,
    asks: mpsc::Sender<Ask>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Tell>>>,
    /// Its connections, and whose they are.
    peers: Mutex<HashMap<u64, Client>>,
    last: AtomicU64,
    /// Told when it is to be given up.
    useless: Notify,
}

/// Where the place stands in a connection's name, above the numbers that it has there.
const PLACE: u32 = 48;

/// In which place a connection is; 0 is this node's own unit.
pub(super) fn place_of(peer: PeerId) -> u64 {
    peer.0 >> PLACE
}

/// A word of a unit that is not for who asked.
pub(super) enum Heard {
    Event(Event),
    /// For the unit of that node.
    Word(i64, String),
}

impl Far {
    /// Waits until the unit at the other end has started; what is asked of it is in the second.
    pub(super) async fn begin(
        (node, place): (i64, u64),
        from: &mut (impl AsyncRead + Unpin),
    ) -> anyhow::Result<(Arc<Self>, mpsc::Receiver<Ask>)> {
        let Tell::Ready { relay_urls } = timeout(START, words::next(from)).await?? else {
            anyhow::bail!("it does not say that it is ready");
        };
        let (asks, asked) = mpsc::channel(ASKS);
        let far = Self {
            node,
            relay_urls,
            place,
            asks,
            waiting: Mutex::default(),
            peers: Mutex::default(),
            last: AtomicU64::new(0),
            useless: Notify::new(),
        };
        Ok((Arc::new(far), asked))
    }

    /// Carries questions there and answers back, until that is no longer possible or it is of no use.
    ///
    /// # Errors
    /// Why it ended.
    pub(super) async fn carry<F: Future<Output = ()>>(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        mut asked: mpsc::Receiver<Ask>,
        heard: impl Fn(Heard) -> F,
    ) -> anyhow::Result<()> {
        let hear = async {
            loop {
                let tell: Tell = words::next(from).await?;
                match tell {
                    Tell::Happened { event } => {
                        if let Event::Lost(peer, _) = &event {
                            self.peers.lock().remove(&peer.0);
                        }
                        if let Some(event) = event.renamed(|peer| Some(self.name(peer.0))) {
                            heard(Heard::Event(event)).await;
                        }
                    }
                    Tell::Word { node, word } => heard(Heard::Word(node, word)).await,
                    Tell::Shut { node } => anyhow::bail!("its trunk to node {node} has ended"),
                    Tell::Ready { .. } | Tell::Other => {}
                    answer => {
                        let waiting = answer.id().and_then(|id| self.waiting.lock().remove(&id));
                        // Who asked may have given up.
                        if let Some(waiting) = waiting {
                            let _ = waiting.send(answer);
                        }
                    }
                }
            }
        };
        tokio::select! {
            ended = hear => ended,
            sent = words::send(to, &mut asked) => sent,
            () = self.useless.notified() => anyhow::bail!("it does not keep up, or makes no sense"),
        }
    }

    /// Its connections, which are gone with it.
    pub(super) fn take_peers(&self) -> Vec<PeerId> {
        self.waiting.lock().clear();
        std::mem::take(&mut *self.peers.lock()).into_keys().map(|peer| self.name(peer)).collect()
    }

    fn name(&self, peer: u64) -> PeerId {
        PeerId(self.place << PLACE | peer)
    }

    fn number(peer: PeerId) -> u64 {
        peer.0 & ((1 << PLACE) - 1)
    }

    /// A name for a connection to be made.
    pub(super) fn new_peer(&self, client: Client) -> PeerId {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.peers.lock().insert(number, client);
        self.name(number)
    }

    /// Says something to which there is no answer, in order with all else.
    pub(super) fn say(&self, ask: Ask) {
        if self.asks.try_send(ask).is_err() {
            self.give_up();
        }
    }

    /// The same, where it is of no harm when it does not get there.
    pub(super) fn mention(&self, ask: Ask) {
        let _ = self.asks.try_send(ask);
    }

    /// It is of no use any more.
    pub(super) fn give_up(&self) {
        self.useless.notify_one();
    }

    /// The same where there may be much of it: it waits. Returns whether the unit is there yet.
    pub(super) async fn pass(&self, ask: Ask) -> bool {
        self.asks.send(ask).await.is_ok()
    }

    pub(super) fn set_rights(&self, peer: PeerId, rights: Rights) {
        self.say(Ask::Rights { peer: Self::number(peer), rights });
    }

    pub(super) fn close(&self, peer: PeerId) {
        let peer = Self::number(peer);
        if self.peers.lock().remove(&peer).is_some() {
            self.say(Ask::Close { peer });
        }
    }

    async fn ask(&self, ask: impl FnOnce(u64) -> Ask) -> Result<Tell, Error> {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().insert(id, answer);
        if self.asks.try_send(ask(id)).is_err() {
            self.waiting.lock().remove(&id);
            return Err(Error::Busy);
        }
        match timeout(ANSWER, answered).await {
            Ok(answer) => answer.map_err(|_| Error::Gone),
            Err(_) => {
                self.waiting.lock().remove(&id);
                Err(Error::Busy)
            }
        }
    }

    async fn negotiate(
        &self,
        peer: PeerId,
        ask: impl FnOnce(u64, u64, Client) -> Ask,
    ) -> Result<Answer, Error> {
        let peer = Self::number(peer);
        let client = self.peers.lock().get(&peer).copied().ok_or(Error::Gone)?;
        match self.ask(|id| ask(id, peer, client)).await? {
            Tell::Answered { result, .. } => result,
            _ => Err(Error::Gone),
        }
    }

    pub(super) async fn publish(&self, peer: PeerId, asked: Publish) -> Result<Answer, Error> {
        self.negotiate(peer, |id, peer, client| Ask::Publish { id, peer, client, asked }).await
    }

    pub(super) async fn watch(&self, peer: PeerId, asked: Watch) -> Result<Answer, Error> {
        self.negotiate(peer, |id, peer, client| Ask::Watch { id, peer, client, asked }).await
    }

    pub(super) async fn rewatch(&self, peer: PeerId, asked: Rewatch) -> Result<(), Error> {
        let peer = Self::number(peer);
        match self.ask(|id| Ask::Rewatch { id, peer, asked }).await? {
            Tell::Done { result, .. } => result,
            _ => Err(Error::Gone),
        }
    }

    pub(super) async fn untaken(
        &self,
        offer: String,
        streams: Vec<Watched>,
    ) -> Result<Option<String>, Error> {
        match self.ask(|id| Ask::Untaken { id, offer, streams }).await? {
            Tell::Said { result, .. } => result,
            _ => Err(Error::Gone),
        }
    }

    pub(super) async fn turn_password(&self, username: String) -> Option<String> {
        match self.ask(|id| Ask::Password { id, username }).await {
            Ok(Tell::Said { result: Ok(password), .. }) => password,
            _ => None,
        }
    }
}
