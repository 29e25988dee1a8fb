//! The order of a room's speakers (`loudest.rs`), as all workers share it: publishers' shards keep it up to date, packet by packet;
//! viewers who want only the loudest look at it, and choose anew when it has changed. Nothing of it runs while there are none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicUsize, Ordering};

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::loudest::Loudest;
use crate::slot::Slot;

/// Where a source stands among its room's, the loudest at 0.
#[derive(Debug, Clone)]
pub(crate) struct Place(Arc<AtomicU16>);

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
    fn get(&self) -> u16 {
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
    loudest: Mutex<Loudest<Place>>,
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

/// A viewer's wish for the loudest only.
pub(crate) struct Following {
    speakers: Arc<Speakers>,
    most: u8,
    seen: u32,
}

impl Following {
    pub(crate) fn new(speakers: Arc<Speakers>, most: u8) -> Self {
        speakers.followers.fetch_add(1, Ordering::Relaxed);
        let seen = speakers.changes.load(Ordering::Acquire);
        Self { speakers, most, seen }
    }

    /// Whether the order has changed since this was last asked.
    #[inline]
    pub(crate) fn has_news(&mut self) -> bool {
        let changes = self.speakers.changes.load(Ordering::Acquire);
        std::mem::replace(&mut self.seen, changes) != changes
    }

    /// Lets the loudest of a viewer's sounds through.
    pub(crate) fn choose(&self, slots: &mut [Slot]) {
        let mut places: SmallVec<[(u16, usize); 64]> = SmallVec::new();
        for (at, slot) in slots.iter().enumerate().filter(|(_, slot)| slot.is_sound_wanted()) {
            places.push((slot.source.as_ref().map_or(NOWHERE, |source| source.place.get()), at));
        }
        places.sort_unstable();
        places.truncate(self.most.into());
        for (at, slot) in slots.iter_mut().enumerate().filter(|(_, slot)| !slot.is_video) {
            slot.set_quiet(!places.iter().any(|(_, chosen)| *chosen == at));
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.speakers.followers.fetch_sub(1, Ordering::Relaxed);
    }
}
