//! The order of a room's speakers (`loudest.rs`), as all workers share it: publishers' shards keep it up to date, packet by packet;
//! viewers who want only the loudest look at it, and choose anew when it has changed. Nothing of it runs while there are none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::loudest::Loudest;

/// Where a source stands among its room's, the loudest at 0.
#[derive(Debug, Clone)]
pub(crate) struct Place(Arc<AtomicU16>);

/// The place of one who has none.
const NOWHERE: u16 = u16::MAX;

impl Default for Place {
    fn default() -> Self {
        Self(Arc::new(AtomicU16::new(NOWHERE)))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Place {
    /// Its number; what has none comes after all others.
    pub(crate) fn get(&self) -> u16 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, place: usize) {
        self.0.store(u16::try_from(place).unwrap_or(NOWHERE), Ordering::Relaxed);
    }
}

/// The speakers of a room.
#[derive(Default)]
pub(crate) struct Speakers {
    /// Viewers who want the loudest only.
    followers: AtomicUsize,
    /// Counts changes of the order.
    changes: AtomicU32,
    pub(crate) loudest: Mutex<Loudest<Place>>,
}

impl Speakers {
    /// A packet of the source that has this place came.
    pub(crate) fn hear(&self, place: &Place, level: Option<u8>, micros: u64) {
        if self.followers.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut loudest = self.loudest.lock();
        let changed = loudest.hear(place, place.get().into(), level, micros);
        self.tell(&loudest, changed);
    }

    /// The source that has this place sends no sound any more.
    pub(crate) fn leave(&self, place: &Place) {
        let mut loudest = self.loudest.lock();
        if !loudest.is_empty() {
            let changed = loudest.leave(place);
            place.0.store(NOWHERE, Ordering::Relaxed);
            self.tell(&loudest, changed);
        }
    }

    /// A viewer wants the loudest only, until [`Self::unfollow`].
    pub(crate) fn follow(&self) {
        self.followers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn unfollow(&self) {
        self.followers.fetch_sub(1, Ordering::Relaxed);
    }

    /// How often the order has changed.
    #[inline]
    pub(crate) fn changes(&self) -> u32 {
        self.changes.load(Ordering::Acquire)
    }

    fn tell(&self, loudest: &Loudest<Place>, changed: std::ops::Range<usize>) {
        if changed.is_empty() {
            return;
        }
        for at in changed {
            if let Some(place) = loudest.at(at) {
                place.set(at);
            }
        }
        self.changes.fetch_add(1, Ordering::Release);
    }
}
