//! Whether this server may answer from what it has in memory: until when nobody else can have changed it. A server alone always may.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How often one that has run out is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How long an answer waits for it.
const HOLD: Duration = Duration::from_secs(3);

/// What is answered by who may have been overtaken meanwhile.
pub(crate) const UNSURE: &str = "this node has not reached the cluster's database for too long to be sure of an answer; it is not known \
                      whether it was done";

/// The time since the machine was started: it goes on while the machine sleeps, and is never set.
pub(crate) fn running() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Until when a node of a cluster may answer.
#[derive(Debug, Default, Clone)]
pub(crate) struct Lease(Option<Arc<AtomicU64>>);

impl Lease {
    /// That of a node, which has none yet.
    pub(crate) fn of_node() -> Self {
        Self(Some(Arc::default()))
    }

    /// It lasts until then; or there is none.
    pub(crate) fn set(&self, until: Option<Duration>) {
        if let Some(lease) = &self.0 {
            let until = until.map_or(0, |until| u64::try_from(until.as_millis()).unwrap_or(u64::MAX));
            lease.store(until, Ordering::Release);
        }
    }

    /// Whether it may answer now.
    pub(crate) fn holds(&self) -> bool {
        let Some(lease) = &self.0 else { return true };
        running().as_millis() < u128::from(lease.load(Ordering::Acquire))
    }

    /// Resolves once it holds.
    pub(crate) async fn held(&self) {
        while !self.holds() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether it holds, or does soon.
    pub(crate) async fn is_held_soon(&self) -> bool {
        self.holds() || tokio::time::timeout(HOLD, self.held()).await.is_ok()
    }
}
