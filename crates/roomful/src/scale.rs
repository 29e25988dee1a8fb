//! How many users and rooms an app has had in each ten seconds of the last twelve hours: what a dashboard draws. In memory alone; it begins
//! anew with the server.

use std::collections::VecDeque;

use hashbrown::HashMap;
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
}

/// The slots in which an app had somebody, the oldest first.
type Ring = VecDeque<Count>;

/// The slots of all apps.
pub(crate) struct Scale {
    /// When counting began.
    since: Time,
    rings: Mutex<HashMap<SdkAppId, Ring, foldhash::fast::RandomState>>,
}

impl Scale {
    pub(crate) fn new(now: Time) -> Self {
        Self { since: now, rings: Mutex::default() }
    }

    pub(crate) fn note(&self, app: SdkAppId, count: Count) {
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

    /// What was counted from when to when, in seconds; nothing of when the server was not there.
    pub(crate) fn counts(&self, app: SdkAppId, from: u64, to: u64, now: Time) -> Vec<Count> {
        let first = from.max(self.since.unix_seconds()).next_multiple_of(SLOT);
        // The running slot is not counted yet.
        let last = to.min((now.unix_seconds() - now.unix_seconds() % SLOT).saturating_sub(SLOT));
        let rings = self.rings.lock();
        let ring = rings.get(&app);
        let known = |at: u64| {
            let found = ring?.binary_search_by_key(&at, |count| count.at).ok()?;
            ring?.get(found).copied()
        };
        let slots = (first..=last).step_by(usize::try_from(SLOT).unwrap_or(1));
        slots.map(|at| known(at).unwrap_or(Count { at, ..Count::default() })).collect()
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
        scale.note(app, Count { at: 1010, users: 3, rooms: 2 });
        scale.note(app, Count { at: 1020, users: 0, rooms: 0 });
        scale.note(app, Count { at: 1030, users: 1, rooms: 1 });

        let counts = scale.counts(app, 0, u64::MAX, at(1049));

        let seen: Vec<_> = counts.iter().map(|count| (count.at, count.users, count.rooms)).collect();
        assert_eq!(seen, [(1010, 3, 2), (1020, 0, 0), (1030, 1, 1)]);
        assert_eq!(scale.counts(app, 1015, 1025, at(1049)).len(), 1);
        assert!(scale.counts(SdkAppId(2), 0, u64::MAX, at(1049)).iter().all(|count| count.users == 0));
        scale.note(app, Count { at: 1031 + KEPT, users: 1, rooms: 1 });
        assert_eq!(scale.rings.lock()[&app].len(), 1);
    }
}
