//! The forwarding units that a server has: its own, and on several nodes those of the others, where their clients are connected. A
//! client's media is at the node that its session came by; what others watch of it goes there by trunks, whose words this node passes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::{HashMap, HashSet};
use media::{
    Answer, Client, Error, Event, Media, PeerId, Publish, Rewatch, Rights, SourceKey, Trunk, Watch, Watched,
};
use parking_lot::{Mutex, RwLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::far::{Far, Heard, place_of};
use super::passing::Passing;
use super::words::Ask;
use crate::told::Node;

/// What a trunk of the own unit may have to say.
const WORDS: usize = 1024;

pub(crate) struct Units {
    own: Arc<Media>,
    /// This node; 0 where it is the only one.
    me: Node,
    events: mpsc::Sender<Event>,
    /// By the places that the names of their connections begin with.
    far: RwLock<HashMap<u64, Arc<Far>, foldhash::fast::RandomState>>,
    last_place: AtomicU64,
    /// Those that have their trunks.
    connected: Mutex<HashSet<Node>>,
    /// From the own unit to those of the others.
    trunks: Mutex<HashMap<Node, Arc<Trunk>>>,
}

impl Units {
    pub(super) fn new(own: Media, me: Node, events: mpsc::Sender<Event>) -> Self {
        Self {
            own: Arc::new(own),
            me,
            events,
            far: RwLock::default(),
            last_place: AtomicU64::new(0),
            connected: Mutex::default(),
            trunks: Mutex::default(),
        }
    }

    pub(crate) fn own(&self) -> &Arc<Media> {
        &self.own
    }

    /// The unit of another node.
    fn of(&self, node: Node) -> Option<Arc<Far>> {
        self.far.read().values().find(|far| far.node == node).cloned()
    }

    /// The one that has a connection, where that is another node's; an error where that is gone.
    fn at(&self, peer: PeerId) -> Result<Option<Arc<Far>>, Error> {
        match place_of(peer) {
            0 => Ok(None),
            place => self.far.read().get(&place).cloned().map(Some).ok_or(Error::Gone),
        }
    }

    /// Which of the units that this has used a client has its media at that comes by that node; 0 is the own one.
    pub(super) fn place(&self, node: Option<Node>) -> u64 {
        node.and_then(|node| self.of(node)).map_or(0, |far| far.place)
    }

    /// A name for a connection to be made, at the node by which its client came; at this one where that cannot be had.
    pub(super) fn new_peer(&self, client: Client, node: Option<Node>) -> PeerId {
        match node.and_then(|node| self.of(node)) {
            Some(far) => far.new_peer(client),
            None => self.own.new_peer(client),
        }
    }

    pub(super) async fn publish(&self, peer: PeerId, asked: Publish) -> Result<Answer, Error> {
        match self.at(peer)? {
            Some(far) => far.publish(peer, asked).await,
            None => self.own.publish(peer, asked).await,
        }
    }

    pub(super) async fn watch(&self, peer: PeerId, asked: Watch) -> Result<Answer, Error> {
        match self.at(peer)? {
            Some(far) => far.watch(peer, asked).await,
            None => self.own.watch(peer, asked).await,
        }
    }

    pub(crate) async fn rewatch(&self, peer: PeerId, asked: Rewatch) -> Result<(), Error> {
        match self.at(peer)? {
            Some(far) => far.rewatch(peer, asked).await,
            None => self.own.rewatch(peer, asked).await,
        }
    }

    /// As [`Media::expect`], of who came by that node.
    pub(super) fn expect(&self, node: Option<Node>, pictures: Vec<SourceKey>) {
        match node.and_then(|node| self.of(node)) {
            Some(far) => far.mention(Ask::Expect { pictures }),
            None => self.own.expect(&pictures),
        }
    }

    /// As [`Media::untaken`], for a player that came by that node.
    pub(crate) async fn untaken(
        &self,
        node: Option<Node>,
        offer: &str,
        streams: &[Watched],
    ) -> Result<Option<String>, Error> {
        match node.and_then(|node| self.of(node)) {
            Some(far) => far.untaken(offer.to_owned(), streams.to_vec()).await,
            None => self.own.untaken(offer, streams),
        }
    }

    /// Where a client that came by that node finds the relay, and its password there under that name; `None` where there is none.
    pub(super) async fn relay(
        &self,
        node: Option<Node>,
        own_urls: &[String],
        username: &str,
    ) -> Option<(Vec<String>, String)> {
        let (urls, password) = match node.and_then(|node| self.of(node)) {
            Some(far) => (far.relay_urls.clone(), far.turn_password(username.to_owned()).await?),
            None => (own_urls.to_vec(), self.own.turn_password(username)?),
        };
        (!urls.is_empty()).then_some((urls, password))
    }

    pub(super) fn set_rights(&self, peer: PeerId, rights: Rights) {
        match self.at(peer) {
            Ok(Some(far)) => far.set_rights(peer, rights),
            Ok(None) => self.own.set_rights(peer, rights),
            Err(_) => {}
        }
    }

    pub(super) fn close(&self, peer: PeerId) {
        match self.at(peer) {
            Ok(Some(far)) => far.close(peer),
            Ok(None) => self.own.close(peer),
            Err(_) => {}
        }
    }

    /// Uses the unit of another node, until it is gone.
    ///
    /// # Errors
    /// Why it is gone.
    pub(crate) async fn borrow(
        &self,
        node: Node,
        (mut from, mut to): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    ) -> anyhow::Result<()> {
        let place = self.last_place.fetch_add(1, Ordering::Relaxed) + 1;
        let (far, asked) = Far::begin((node, place), &mut from).await?;
        self.far.write().insert(place, far.clone());
        let carried = match self.connect(&far).await {
            Ok(()) => {
                tracing::info!(node, "the media of another node's clients is there");
                let passing = Mutex::new(Passing::of(node));
                far.carry(&mut from, &mut to, asked, |heard| self.take(node, &passing, heard)).await
            }
            Err(error) => Err(error.into()),
        };
        self.far.write().remove(&place);
        self.disconnect(&far);
        for peer in far.take_peers() {
            let _ = self.events.send(Event::Lost(peer, None)).await;
        }
        carried
    }

    /// Takes what a unit says. It waits for nobody but this node: what the unit answers comes behind it.
    async fn take(&self, from: Node, passing: &Mutex<Passing>, heard: Heard) {
        match heard {
            Heard::Event(event) => _ = self.events.send(event).await,
            Heard::Word(to, word) if to == self.me => {
                let trunk = self.trunks.lock().get(&from).cloned();
                if let Some(trunk) = trunk {
                    let _ = trunk.hear(word).await;
                }
            }
            Heard::Word(to, word) => {
                if let Some(far) = self.of(to) {
                    passing.lock().pass(&far, word);
                }
            }
        }
    }

    /// Has trunks from it, which is among them already, to all others.
    async fn connect(&self, far: &Arc<Far>) -> Result<(), Error> {
        // Of two that come at once the later finds the other.
        {
            let all = self.far.read();
            let mut connected = self.connected.lock();
            // Each hears of the trunk before any word that comes by it.
            for other in all.values().filter(|other| connected.contains(&other.node)) {
                far.say(Ask::Open { node: other.node });
                other.say(Ask::Open { node: far.node });
            }
            connected.insert(far.node);
        }
        far.say(Ask::Open { node: self.me });
        let (say, mut said) = mpsc::channel(WORDS);
        let trunk = self.own.trunk(say).await?;
        self.trunks.lock().insert(far.node, Arc::new(trunk));
        let (far, me) = (far.clone(), self.me);
        tokio::spawn(async move {
            while let Some(word) = said.recv().await
                && far.pass(Ask::Word { node: me, word }).await
            {}
            // Nothing comes from there any more, nor gets there.
            far.give_up();
        });
        Ok(())
    }

    fn disconnect(&self, far: &Far) {
        self.trunks.lock().remove(&far.node);
        self.connected.lock().remove(&far.node);
        self.far.read().values().for_each(|other| other.say(Ask::Shut { node: far.node }));
    }
}
