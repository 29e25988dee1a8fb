//! The forwarding units of nodes: that of each is lent to the node that has the records, so that clients' media is where they are
//! connected.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use media::Media;
use parking_lot::RwLock;
use store::Cluster;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::mesh::{Mesh, Stream, Whose};
use crate::live::{self, Live, lend};
use crate::serve::{Begun, Part, say_where, start_unit};
use crate::told::Node;

/// Events of the unit that may wait.
const EVENTS: usize = 4096;

/// How long a unit that is stopped may take to let go of its ports.
const LET_GO: Duration = Duration::from_secs(2);

/// How long this node waits for the end of who had its unit before.
const WAIT: Duration = Duration::from_secs(3);

/// How long is waited before a unit is asked for again.
const RETRY: Duration = Duration::from_millis(500);

/// This node's unit, while it is others'.
pub(super) struct Lender {
    begun: Arc<Begun>,
    address: SocketAddr,
    pub(super) part: Part,
    lent: RwLock<Option<Arc<Media>>>,
    /// Held by who uses it: its ports are one's at a time.
    in_use: Arc<Mutex<()>>,
}

impl Lender {
    pub(super) fn new(begun: Arc<Begun>, address: SocketAddr, part: Part) -> Self {
        Self { begun, address, part, lent: RwLock::default(), in_use: Arc::default() }
    }

    /// The unit that is lent now.
    pub(super) fn media(&self) -> Option<Arc<Media>> {
        self.lent.read().clone()
    }

    /// From now on it is this node's own; nobody else's for as long as that is held.
    pub(super) async fn keep(&self) -> Option<OwnedMutexGuard<()>> {
        timeout(WAIT, self.in_use.clone().lock_owned()).await.ok()
    }

    /// Lends it to the node that has the records, for as long as it has them and asks.
    pub(super) async fn lend(&self, to: Node, stream: Stream, mut cluster: watch::Receiver<Cluster>) {
        // Of two that hold the records one after the other, the later waits for the end of the former.
        let Some(_in_use) = self.keep().await else { return };
        let (events, happenings) = mpsc::channel(EVENTS);
        let config = &self.begun.config;
        let started =
            start_unit(config, self.address, self.part.trunk, |unit| Media::start(unit, events.clone()));
        let media = match started {
            Ok(media) => Arc::new(media),
            Err(error) => {
                return tracing::error!(error = format!("{error:#}"), "there will be no media at this node");
            }
        };
        say_where(&media);
        *self.lent.write() = Some(media.clone());
        let relay_urls = live::relay_urls(config, &media, self.address);
        let over = async {
            while cluster.borrow_and_update().view.owner == to && cluster.changed().await.is_ok() {}
        };
        tokio::select! {
            ended = lend(media.clone(), relay_urls, happenings, tokio::io::split(stream)) => {
                if let Err(error) = ended {
                    tracing::info!(node = to, error = format!("{error:#}"), "the media at this node ends with who used it");
                }
            }
            () = over => tracing::info!(node = to, "the media at this node ends: another has the records"),
        }
        *self.lent.write() = None;
        // The next one has the same ports.
        if timeout(LET_GO, media.stop()).await.is_err() {
            tracing::error!("the media at this node does not let go of its ports");
        }
    }
}

/// Uses the units of all other nodes, for as long as this one has the records.
pub(super) async fn borrow_all(
    me: Node,
    mut cluster: watch::Receiver<Cluster>,
    mesh: Arc<Mesh>,
    live: Arc<Live>,
) {
    let (mut borrowing, mut asked) = (JoinSet::new(), HashSet::new());
    loop {
        let others = cluster.borrow_and_update().nodes.clone();
        for node in others.into_iter().filter(|node| node.generation != me) {
            if !asked.insert(node.generation) {
                continue;
            }
            let (mesh, live) = (mesh.clone(), live.clone());
            borrowing.spawn(async move {
                let generation = node.generation;
                let borrowed = async {
                    let (stream, _) = mesh.open(&node, Whose::Unit(me)).await?;
                    live.units().borrow(node.generation, tokio::io::split(stream)).await
                };
                if let Err(error) = borrowed.await {
                    tracing::debug!(
                        node = node.id,
                        error = format!("{error:#}"),
                        "a node's media is not to be had"
                    );
                }
                generation
            });
        }
        tokio::select! {
            _ = sleep(RETRY) => {}
            changed = cluster.changed() => if changed.is_err() { return },
        }
        while let Some(ended) = borrowing.try_join_next() {
            ended.into_iter().for_each(|node| _ = asked.remove(&node));
        }
    }
}
