//! How many users and rooms an app has had in each ten seconds of the last twelve hours, and what stood still of what they saw and heard:
//! what a dashboard draws. In memory alone; of before the server began, or took the rooms over from another, it has what history knows.

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};
use history::{Served, Window};
use parking_lot::Mutex;
use rooms::{SdkAppId, Time};

/// How long a slot is, in seconds.
pub(crate) const SLOT: u64 = 10;

/// How far back slots are kept, in seconds.
pub(crate) const KEPT: u64 = 12 * 3600;

/// What was counted at the end of a slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// When the slot began, in seconds.
    pub(crate) at: u64,
    /// Members with a session, each once a room.
    pub(crate) users: u64,
    /// Rooms with such a member.
    pub(crate) rooms: u64,
    /// Milliseconds of pictures that were shown, and of them in which they stood still; the same of sound.
    pub(crate) video: [u64; 2],
    pub(crate) audio: [u64; 2],
}

/// The slots in which an app had somebody, the oldest first.
type Ring = VecDeque<Count>;

/// The slots of all apps.
pub(crate) struct Scale {
    /// When counting began.
    since: Time,
    rings: Mutex<HashMap<SdkAppId, Ring, foldhash::fast::RandomState>>,
    /// Apps whose slots of before are there, or are being looked for.
    remembered: Mutex<HashSet<SdkAppId, foldhash::fast::RandomState>>,
    /// What was played in the running slot.
    playing: Mutex<HashMap<SdkAppId, Served, foldhash::fast::RandomState>>,
}

impl Scale {
    pub(crate) fn new(now: Time) -> Self {
        Self { since: now, rings: Mutex::default(), remembered: Mutex::default(), playing: Mutex::default() }
    }

    /// Something was played in the running slot.
    pub(crate) fn note_played(&self, app: SdkAppId, played: Served) {
        if played != Served::default() {
            self.playing.lock().entry(app).or_default().add(played);
        }
    }

    /// A slot of an app is over.
    pub(crate) fn note(&self, app: SdkAppId, count: Count) {
        let Served { video, audio, .. } = self.playing.lock().remove(&app).unwrap_or_default();
        let count = Count { video, audio, ..count };
        let mut rings = self.rings.lock();
        let ring = rings.entry(app).or_default();
        while ring.front().is_some_and(|first| first.at + KEPT < count.at) {
            ring.pop_front();
        }
        if count.rooms > 0 {
            ring.push_back(count);
        }
        if ring.is_empty() {
            rings.remove(&app);
        }
    }

    /// The time of before that an app is asked for from then on, in seconds, and of which history is to be asked: once, unless that
    /// [fails](Self::forget).
    pub(crate) fn forgotten(&self, app: SdkAppId, from: u64) -> Option<Window> {
        let since = self.since.unix_seconds();
        if from >= since || !self.remembered.lock().insert(app) {
            return None;
        }
        let first = since.saturating_sub(KEPT).next_multiple_of(SLOT);
        let last = since - since % SLOT;
        Some(Window { from: first.cast_signed(), to: last.cast_signed() - 1 })
    }

    /// History could not be asked.
    pub(crate) fn forget(&self, app: SdkAppId) {
        self.remembered.lock().remove(&app);
    }

    /// What was counted before, in order.
    pub(crate) fn remember(&self, app: SdkAppId, before: Vec<Count>) {
        let mut rings = self.rings.lock();
        let ring = rings.entry(app).or_default();
        let first = ring.front().map_or(u64::MAX, |first| first.at);
        before.into_iter().rev().filter(|count| count.at < first).for_each(|count| ring.push_front(count));
    }

    /// What was counted from when to when, in seconds; of before the server began only slots in which somebody was there.
    pub(crate) fn counts(&self, app: SdkAppId, from: u64, to: u64, now: Time) -> Vec<Count> {
        // The running slot is not counted yet.
        let last = to.min((now.unix_seconds() - now.unix_seconds() % SLOT).saturating_sub(SLOT));
        if from > last {
            return Vec::new();
        }
        let since = self.since.unix_seconds();
        let rings = self.rings.lock();
        let ring = rings.get(&app);
        let known = |at: u64| {
            let found = ring?.binary_search_by_key(&at, |count| count.at).ok()?;
            ring?.get(found).copied()
        };
        let from = from.max(since.saturating_sub(KEPT)).next_multiple_of(SLOT);
        let slots = (from..=last).step_by(usize::try_from(SLOT).unwrap_or(1));
        let nobody = |at: u64| (at >= since).then(|| Count { at, ..Count::default() });
        slots.filter_map(|at| known(at).or_else(|| nobody(at))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_in_which_nobody_was_there_are_told_and_those_of_before_the_start_are_not() {
        let at = |seconds| Time::from_unix_seconds(seconds);
        let scale = Scale::new(at(1003));
        let app = SdkAppId(1);
        let count = |at, users, rooms| Count { at, users, rooms, ..Count::default() };
        scale.note(app, count(1010, 3, 2));
        scale.note(app, count(1020, 0, 0));
        scale.note_played(app, Served { video: [4000, 700], ..Served::default() });
        scale.note_played(app, Served { video: [2000, 0], audio: [2000, 5], ..Served::default() });
        scale.note(app, count(1030, 1, 1));

        let counts = scale.counts(app, 0, u64::MAX, at(1049));

        let seen: Vec<_> = counts.iter().map(|count| (count.at, count.users, count.rooms)).collect();
        assert_eq!(seen, [(1010, 3, 2), (1020, 0, 0), (1030, 1, 1)]);
        assert_eq!(counts.last().map(|count| (count.video, count.audio)), Some(([6000, 700], [2000, 5])));
        assert_eq!(scale.counts(app, 1015, 1025, at(1049)).len(), 1);
        assert!(scale.counts(SdkAppId(2), 0, u64::MAX, at(1049)).iter().all(|count| count.users == 0));
        assert_eq!(scale.counts(app, u64::MAX, u64::MAX, at(1049)), []);
        // What history has of before is asked for once.
        assert_eq!(scale.forgotten(app, 1003), None);
        assert_eq!(scale.forgotten(app, 900), Some(Window { from: 0, to: 999 }));
        assert_eq!(scale.forgotten(app, 900), None);
        scale.forget(app);
        assert!(scale.forgotten(app, 900).is_some());
        scale.remember(app, vec![count(970, 2, 1), count(990, 1, 1), count(1010, 9, 9)]);
        let counts = scale.counts(app, 0, u64::MAX, at(1029));
        let seen: Vec<_> = counts.iter().map(|count| (count.at, count.users)).collect();
        assert_eq!(seen, [(970, 2), (990, 1), (1010, 3)]);
        scale.note(app, count(1031 + KEPT, 1, 1));
        assert_eq!(scale.rings.lock()[&app].len(), 1);
    }
}
