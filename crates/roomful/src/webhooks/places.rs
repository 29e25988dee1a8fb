//! Who may be on the wire to receivers: so many exchanges an app (or a receiver of an app, whatever `K` is), a few of which
//! are its own while it shares the others with all. One whose receiver hangs fills its own places and some of the shared
//! ones; whoever else needs one has its own.

use std::hash::Hash;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many places there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// An app's own, which nobody else takes.
    pub(super) own: usize,
    /// How many it has at most.
    pub(super) most: usize,
    /// How many beyond their own all apps have together.
    pub(super) shared: usize,
}

pub(super) struct Places<K> {
    bounds: Bounds,
    shared: Arc<Semaphore>,
    of: Mutex<HashMap<K, Own, foldhash::fast::RandomState>>,
}

#[derive(Clone)]
struct Own {
    /// Those it may have, of either kind: handed out in the order of asking.
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
}

/// A place on the wire, until it is dropped.
pub(super) struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_kind: OwnedSemaphorePermit,
}

impl<K: Eq + Hash> Places<K> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, shared: Arc::new(Semaphore::new(bounds.shared)), of: Mutex::default() }
    }

    /// A place for `whom`, as soon as there is one. `None` never comes: no semaphore is closed.
    pub(super) async fn take(&self, whom: K) -> Option<Place> {
        let Own { all, own } = self
            .of
            .lock()
            .entry(whom)
            .or_insert_with(|| Own {
                all: Arc::new(Semaphore::new(self.bounds.most)),
                own: Arc::new(Semaphore::new(self.bounds.own)),
            })
            .clone();
        let of_all = all.acquire_owned().await.ok()?;
        let of_kind = tokio::select! {
            biased;
            own = own.acquire_owned() => own.ok()?,
            shared = self.shared.clone().acquire_owned() => shared.ok()?,
        };
        Some(Place { _of_all: of_all, _of_kind: of_kind })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use futures_util::FutureExt as _;
    use rooms::SdkAppId;

    use super::*;

    #[tokio::test]
    async fn an_app_gets_its_own_places_whatever_others_hold() {
        let places = Places::new(Bounds { own: 1, most: 3, shared: 2 });
        let take = |app| places.take(SdkAppId(app)).now_or_never().flatten();
        let held: Vec<Place> = (0..3).map_while(|_| take(1)).collect();
        assert_eq!(held.len(), 3);
        assert!(take(1).is_none(), "it has as many as it may");

        let other = take(2).unwrap();
        assert!(take(2).is_none(), "what is shared is taken");
        let waiting = places.take(SdkAppId(2));
        drop(held);
        let _more = waiting.await.unwrap();

        drop(other);
        assert!(take(3).is_some() && take(2).is_some());
    }
}
