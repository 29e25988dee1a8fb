//! This node's forwarding unit, as the node that has the records uses it (`far.rs` is its other side). It begins when that node comes
//! and ends with it: whoever has the records afterwards knows nothing of its connections, and its clients make others.

use std::collections::HashMap;
use std::sync::Arc;

use media::{Client, Error, Event, Media, PeerId, Trunk};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::words::{self, Ask, Tell};

/// What may wait to be told.
const TELLS: usize = 4096;

/// What a trunk may have to say.
const WORDS: usize = 1024;

/// The names of connections: those that the other node gave them, and the unit's own.
#[derive(Default)]
struct Names {
    of_unit: HashMap<u64, PeerId>,
    of_node: HashMap<PeerId, u64>,
}

/// What carries on what a trunk says, and the trunk. The first ends before it: the other node is told only of one that ends by itself.
type Way = (JoinSet<()>, Trunk);

/// The unit, and what is on its way.
struct Lent {
    media: Arc<Media>,
    names: Mutex<Names>,
    tells: mpsc::Sender<Tell>,
}

/// Serves the other node, until it does not ask any more.
///
/// # Errors
/// Why it ended.
pub(crate) async fn lend(
    media: Arc<Media>,
    relay_urls: Vec<String>,
    mut happenings: mpsc::Receiver<Event>,
    (mut from, mut to): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
) -> anyhow::Result<()> {
    let (tells, mut told) = mpsc::channel(TELLS);
    let lent = Arc::new(Lent { media, names: Mutex::default(), tells });
    lent.tells.send(Tell::Ready { relay_urls }).await?;
    let hear = async {
        let mut trunks = HashMap::new();
        loop {
            lent.clone().take(words::next(&mut from).await?, &mut trunks).await?;
        }
    };
    let happen = async {
        while let Some(event) = happenings.recv().await {
            if let Some(event) = lent.named(event) {
                lent.tells.send(Tell::Happened { event }).await?;
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = hear => ended,
        ended = happen => ended,
        sent = words::send(&mut to, &mut told) => sent,
    }
}

impl Lent {
    /// What happens, by the names that the other node knows.
    fn named(&self, event: Event) -> Option<Event> {
        let mut names = self.names.lock();
        let lost = if let Event::Lost(peer, _) = &event { Some(*peer) } else { None };
        let event = event.renamed(|peer| names.of_node.get(&peer).copied().map(PeerId));
        if let Some(number) = lost.and_then(|lost| names.of_node.remove(&lost)) {
            names.of_unit.remove(&number);
        }
        event
    }

    /// The connection of that number; a new one where there is none.
    fn peer(&self, number: u64, client: Client) -> PeerId {
        let Names { of_unit, of_node } = &mut *self.names.lock();
        *of_unit.entry(number).or_insert_with(|| {
            let peer = self.media.new_peer(client);
            of_node.insert(peer, number);
            peer
        })
    }

    fn known(&self, number: u64) -> Option<PeerId> {
        self.names.lock().of_unit.get(&number).copied()
    }

    async fn take(self: Arc<Self>, ask: Ask, trunks: &mut HashMap<i64, Way>) -> anyhow::Result<()> {
        // What takes its time is answered beside what follows.
        let answer = |answer: std::pin::Pin<Box<dyn Future<Output = Tell> + Send>>| {
            let tells = self.tells.clone();
            tokio::spawn(async move {
                let _ = tells.send(answer.await).await;
            });
        };
        let media = self.media.clone();
        match ask {
            Ask::Publish { id, peer, client, asked } => {
                let peer = self.peer(peer, client);
                answer(Box::pin(async move {
                    let result = media.publish(peer, asked).await;
                    Tell::Answered { id, result }
                }));
            }
            Ask::Watch { id, peer, client, asked } => {
                let peer = self.peer(peer, client);
                answer(Box::pin(async move {
                    let result = media.watch(peer, asked).await;
                    Tell::Answered { id, result }
                }));
            }
            Ask::Rewatch { id, peer, asked } => {
                let peer = self.known(peer);
                answer(Box::pin(async move {
                    let result = match peer {
                        Some(peer) => media.rewatch(peer, asked).await,
                        None => Err(Error::Gone),
                    };
                    Tell::Done { id, result }
                }));
            }
            Ask::Untaken { id, offer, streams } => {
                let result = media.untaken(&offer, &streams);
                self.tells.send(Tell::Said { id, result }).await?;
            }
            Ask::Password { id, username } => {
                let result = Ok(media.turn_password(&username));
                self.tells.send(Tell::Said { id, result }).await?;
            }
            Ask::Expect { pictures } => media.expect(&pictures),
            Ask::Rights { peer, rights } => {
                self.known(peer).into_iter().for_each(|peer| media.set_rights(peer, rights));
            }
            Ask::Close { peer: number } => {
                let peer = {
                    let mut names = self.names.lock();
                    let peer = names.of_unit.remove(&number);
                    peer.into_iter().for_each(|peer| _ = names.of_node.remove(&peer));
                    peer
                };
                peer.into_iter().for_each(|peer| media.close(peer));
            }
            Ask::Open { node } => {
                let (say, mut said) = mpsc::channel(WORDS);
                let (trunk, tells) = (media.trunk(say).await?, self.tells.clone());
                let mut saying = JoinSet::new();
                saying.spawn(async move {
                    while let Some(word) = said.recv().await {
                        if tells.send(Tell::Word { node, word }).await.is_err() {
                            return;
                        }
                    }
                    let _ = tells.send(Tell::Shut { node }).await;
                });
                trunks.insert(node, (saying, trunk));
            }
            Ask::Word { node, word } => {
                if let Some((_, trunk)) = trunks.get(&node) {
                    trunk.hear(word).await?;
                }
            }
            Ask::Shut { node } => drop(trunks.remove(&node)),
            Ask::Other => {}
        }
        Ok(())
    }
}
