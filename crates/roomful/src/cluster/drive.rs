//! Asks the database what `cluster::Node` wants to know, on a thread of its own: whatever else the server does, the database hears
//! in time that it lives.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cluster::{Answer, Ask, Effect, Generation, Input, Node, Times, Why};
use store::{Cluster, Membership, Said};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use super::mesh::Mesh;
use crate::clock;
use crate::lease::{Lease, running};

/// How much of what happens may wait.
const INPUTS: usize = 256;

/// By how many milliseconds a clock may be off.
const MOST_AHEAD: i64 = 2_000;

/// What the rest of the node is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Read the records.
    Open,
    /// Let go of the records.
    HandOver,
    /// This run is over.
    Over(Why),
}

/// Who goes on without the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Going {
    /// Whether this node answers by the promises of others.
    pub(super) is_promised: bool,
    /// To whom it has promised something that holds yet.
    pub(super) has_promised: Vec<Generation>,
}

/// Another node asks for a promise, and waits for the answer.
pub(super) type AskedFor = (Generation, oneshot::Sender<Answer>);

/// A question on its way to the database; the membership comes back with the answer.
type Asking = Pin<Box<dyn Future<Output = (Membership, Input, Option<Cluster>)>>>;

/// What a node says of itself, as it changes.
pub(super) struct Facts {
    pub(super) said: Said,
    pub(super) rooms: Arc<AtomicU64>,
    pub(super) sessions: Arc<AtomicU64>,
}

impl Facts {
    fn now(&self, is_draining: bool) -> Said {
        Said {
            is_draining,
            rooms: self.rooms.load(Ordering::Relaxed),
            sessions: self.sessions.load(Ordering::Relaxed),
            ..self.said.clone()
        }
    }
}

/// The thread, as the rest of the node sees it.
pub(super) struct Driver {
    inputs: mpsc::Sender<Input>,
    promises: mpsc::Sender<AskedFor>,
    /// Who goes on without the database.
    pub(super) going: watch::Receiver<Going>,
    /// Who there is, as the database said last.
    pub(super) cluster: watch::Receiver<Cluster>,
    pub(super) told: mpsc::Receiver<Told>,
    /// Dropped at the end.
    stop: oneshot::Sender<()>,
    /// Gives the membership back then.
    ended: std::thread::JoinHandle<Option<Membership>>,
}

impl Driver {
    pub(super) fn start(
        membership: Membership,
        facts: Facts,
        is_draining: bool,
        lease: Lease,
        mesh: Arc<Mesh>,
    ) -> anyhow::Result<Self> {
        let (inputs, waiting) = mpsc::channel(INPUTS);
        let (promises, asked_for) = mpsc::channel(INPUTS);
        let (go, going) = watch::channel(Going::default());
        let (known, cluster) = watch::channel(Cluster::default());
        let (tell, told) = mpsc::channel(INPUTS);
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let node = Node::new(membership.generation(), Times::of(facts.said.lease), is_draining, running());
        let (ahead, offset) = (membership.is_ahead(), membership.offset());
        clock::follow(offset);
        if ahead.abs() > MOST_AHEAD {
            tracing::warn!(
                ahead_ms = ahead,
                "this machine's clock is wrong, or the database's; the database's is followed"
            );
        }
        let drive = Drive {
            me: membership.generation(),
            membership: Some(membership),
            facts,
            node,
            waiting,
            asked_for,
            others: Others { mesh, handle: Handle::current(), inputs: inputs.clone() },
            stopped,
            known,
            go,
            tell,
            lease,
            offset,
            is_off: false,
        };
        let ended = std::thread::Builder::new()
            .name("cluster".into())
            .spawn(move || runtime.block_on(drive.run()))?;
        Ok(Self { inputs, promises, going, cluster, told, stop, ended })
    }

    /// Says what has happened. What is lost when too much waits is asked for again.
    pub(super) fn say(&self, input: Input) {
        let _ = self.inputs.try_send(input);
    }

    /// Who says it from elsewhere.
    pub(super) fn inputs(&self) -> mpsc::Sender<Input> {
        self.inputs.clone()
    }

    /// Where another's wish for a promise goes.
    pub(super) fn promises(&self) -> mpsc::Sender<AskedFor> {
        self.promises.clone()
    }

    /// Ends the thread, and the run with it, so that others need not wait to find out.
    pub(super) async fn end(self) {
        let Self { stop, ended, .. } = self;
        drop(stop);
        let Ok(Ok(Some(membership))) = tokio::task::spawn_blocking(move || ended.join()).await else {
            return;
        };
        if let Err(error) = membership.end().await {
            tracing::warn!(%error, "the database was not told that this node ends");
        }
    }
}

/// The other nodes, which are asked beside the thread.
struct Others {
    mesh: Arc<Mesh>,
    handle: Handle,
    inputs: mpsc::Sender<Input>,
}

struct Drive {
    me: Generation,
    /// Away with a question.
    membership: Option<Membership>,
    facts: Facts,
    node: Node,
    waiting: mpsc::Receiver<Input>,
    asked_for: mpsc::Receiver<AskedFor>,
    others: Others,
    stopped: oneshot::Receiver<()>,
    known: watch::Sender<Cluster>,
    go: watch::Sender<Going>,
    tell: mpsc::Sender<Told>,
    lease: Lease,
    /// What was added to the node's own clock last to have the database's.
    offset: i64,
    /// Whether that was said to be otherwise since.
    is_off: bool,
}

impl Drive {
    /// Until it is to end. What others ask is answered while the database is.
    async fn run(mut self) -> Option<Membership> {
        let mut asking: Option<Asking> = None;
        self.handle(Input::Time);
        loop {
            while let Some(effect) = self.node.poll() {
                let begun = self.carry_out(effect).await;
                asking = begun.or(asking);
            }
            let now = running();
            let rest = self.node.deadline().map_or(Duration::from_secs(1), |at| at.saturating_sub(now));
            let answer = async {
                match &mut asking {
                    Some(asking) => asking.await,
                    None => pending().await,
                }
            };
            let input = tokio::select! {
                _ = &mut self.stopped => {
                    return match asking {
                        Some(asking) => Some(asking.await.0),
                        None => self.membership,
                    };
                }
                (membership, input, cluster) = answer => {
                    asking = None;
                    self.membership = Some(membership);
                    if let Some(cluster) = cluster {
                        self.known.send_replace(cluster);
                        self.follow_clock();
                    }
                    input
                }
                Some((by, answer)) = self.asked_for.recv() => {
                    let _ = answer.send(self.node.promise(by, running()));
                    Input::Time
                }
                input = self.waiting.recv() => input.unwrap_or(Input::Time),
                () = tokio::time::sleep(rest) => Input::Time,
            };
            self.handle(input);
        }
    }

    fn handle(&mut self, input: Input) {
        let now = running();
        self.node.handle(input, now);
        self.lease.set(self.node.speaks_until());
        self.note_promises(now);
    }

    /// Says who goes on without the database, when that changes.
    fn note_promises(&mut self, now: Duration) {
        let known = self.known.borrow();
        let others = known.nodes.iter().map(|node| node.generation);
        let going = Going {
            is_promised: self.node.goes_by_promises(now),
            has_promised: others.filter(|one| self.node.has_promised(*one, now)).collect(),
        };
        drop(known);
        let former = self.go.borrow().clone();
        if former == going {
            return;
        }
        match (former.is_promised, going.is_promised) {
            (false, true) => tracing::warn!(
                "the database has not answered for the lease; this node goes on answering by the promises of the others"
            ),
            (true, false) => tracing::info!("this node answers by no promises any more"),
            _ => {}
        }
        self.go.send_replace(going);
    }

    /// Asks the database, one question at a time.
    fn ask(&mut self, ask: Ask) -> Option<Asking> {
        let mut membership = self.membership.take()?;
        let said = self.facts.now(self.node.is_draining());
        Some(Box::pin(async move {
            let (input, cluster) = membership.ask(ask, &said).await;
            (membership, input, cluster)
        }))
    }

    /// Asks another node for its promise; what it answers comes as an input.
    fn ask_for(&self, of: Generation, asked: Duration) {
        let known = self.known.borrow();
        let Some(node) = known.nodes.iter().find(|node| node.generation == of).cloned() else { return };
        let (mesh, inputs, me) = (self.others.mesh.clone(), self.others.inputs.clone(), self.me);
        self.others.handle.spawn(async move {
            match mesh.ask_for_promise(&node, me).await {
                Ok(Answer::Promised) => {
                    let _ = inputs.send(Input::Promised { by: of, asked }).await;
                }
                Ok(answer) => tracing::debug!(node = node.id, ?answer, "a node does not promise"),
                Err(error) => {
                    tracing::debug!(
                        node = node.id,
                        error = format!("{error:#}"),
                        "a node cannot be asked for its promise"
                    );
                }
            }
        });
    }

    /// All nodes go by the database's clock, so that nothing ends early with another node. That of a database that failed over is not followed further than it may be off.
    fn follow_clock(&mut self) {
        let Some(offset) = self.membership.as_ref().map(Membership::offset) else { return };
        let is_off = (offset - self.offset).abs() > MOST_AHEAD;
        if is_off && !self.is_off {
            let by_ms = offset - self.offset;
            tracing::warn!(
                by_ms,
                "the database's clock was set, or is another machine's by now; it is not followed"
            );
        }
        self.is_off = is_off;
        if !is_off {
            self.offset = offset;
            clock::follow(offset);
        }
    }

    /// Returns the question to the database that this begins.
    async fn carry_out(&mut self, effect: Effect) -> Option<Asking> {
        let told = match effect {
            Effect::Ask(ask) => return self.ask(ask),
            Effect::AskFor { of, asked } => {
                self.ask_for(of, asked);
                return None;
            }
            Effect::Open { epoch } => {
                tracing::info!(epoch, "this node has the records now, and reads them");
                Told::Open
            }
            Effect::HandOver => Told::HandOver,
            Effect::BeginAnew(why) => Told::Over(why),
        };
        // There are few, and who reads them reads nothing else.
        let _ = self.tell.send(told).await;
        None
    }
}
