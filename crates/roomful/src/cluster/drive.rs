//! Asks the database what `cluster::Node` wants to know, on a thread of its own: whatever else the server does, the database hears
//! in time that it lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cluster::{Effect, Input, Node, Times, Why};
use store::{Cluster, Membership, Said};
use tokio::sync::{mpsc, oneshot, watch};

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
    /// Who there is, as the database said last.
    pub(super) cluster: watch::Receiver<Cluster>,
    pub(super) told: mpsc::Receiver<Told>,
    /// Dropped at the end.
    stop: oneshot::Sender<()>,
    /// Gives the membership back then.
    ended: std::thread::JoinHandle<Membership>,
}

impl Driver {
    pub(super) fn start(
        membership: Membership,
        facts: Facts,
        is_draining: bool,
        lease: Lease,
    ) -> anyhow::Result<Self> {
        let (inputs, waiting) = mpsc::channel(INPUTS);
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
        let drive =
            Drive { membership, facts, node, waiting, stopped, known, tell, lease, offset, is_off: false };
        let ended = std::thread::Builder::new()
            .name("cluster".into())
            .spawn(move || runtime.block_on(drive.run()))?;
        Ok(Self { inputs, cluster, told, stop, ended })
    }

    /// Says what has happened. What is lost when too much waits is asked for again.
    pub(super) fn say(&self, input: Input) {
        let _ = self.inputs.try_send(input);
    }

    /// Who says it from elsewhere.
    pub(super) fn inputs(&self) -> mpsc::Sender<Input> {
        self.inputs.clone()
    }

    /// Ends the thread, and the run with it, so that others need not wait to find out.
    pub(super) async fn end(self) {
        let Self { stop, ended, .. } = self;
        drop(stop);
        let Ok(Ok(membership)) = tokio::task::spawn_blocking(move || ended.join()).await else { return };
        if let Err(error) = membership.end().await {
            tracing::warn!(%error, "the database was not told that this node ends");
        }
    }
}

struct Drive {
    membership: Membership,
    facts: Facts,
    node: Node,
    waiting: mpsc::Receiver<Input>,
    stopped: oneshot::Receiver<()>,
    known: watch::Sender<Cluster>,
    tell: mpsc::Sender<Told>,
    lease: Lease,
    /// What was added to the node's own clock last to have the database's.
    offset: i64,
    /// Whether that was said to be otherwise since.
    is_off: bool,
}

impl Drive {
    /// Until it is to end.
    async fn run(mut self) -> Membership {
        self.handle(Input::Time);
        loop {
            while let Some(effect) = self.node.poll() {
                self.carry_out(effect).await;
            }
            let now = running();
            let rest = self.node.deadline().map_or(Duration::from_secs(1), |at| at.saturating_sub(now));
            let input = tokio::select! {
                _ = &mut self.stopped => return self.membership,
                input = self.waiting.recv() => input.unwrap_or(Input::Time),
                () = tokio::time::sleep(rest) => Input::Time,
            };
            self.handle(input);
        }
    }

    fn handle(&mut self, input: Input) {
        self.node.handle(input, running());
        self.lease.set(self.node.speaks_until());
    }

    /// All nodes go by the database's clock, so that nothing ends early with another node. That of a database that failed over is not followed further than it may be off.
    fn follow_clock(&mut self) {
        let offset = self.membership.offset();
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

    async fn carry_out(&mut self, effect: Effect) {
        let told = match effect {
            Effect::Ask(ask) => {
                let said = self.facts.now(self.node.is_draining());
                let (input, cluster) = self.membership.ask(ask, &said).await;
                if let Some(cluster) = cluster {
                    self.known.send_replace(cluster);
                    self.follow_clock();
                }
                return self.handle(input);
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
    }
}
