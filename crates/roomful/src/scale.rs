//! How many users and rooms an app has had in each ten seconds of the last twelve hours, and what stood still of what they saw and heard:
//! what a dashboard draws. In memory alone; of before the server began, or took the rooms over from another, it has what history knows.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use history::{Served, Window};
use parking_lot::Mutex;
use rooms::{SdkAppId, Time};
use tokio::sync::OnceCell;

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

impl Count {
    fn add(&mut self, played: Served) {
        let add = |all: &mut [u64; 2], more: [u64; 2]| {
            all.iter_mut().zip(more).for_each(|(all, more)| *all += more)
        };
        add(&mut self.video, played.video);
        add(&mut self.audio, played.audio);
    }
}

/// The slots in which an app had somebody, the oldest first.
type Ring = VecDeque<Count>;

/// The slots of all apps.
pub(crate) struct Scale {
    /// When counting began.
    since: Time,
    rings: Mutex<HashMap<SdkAppId, Ring, foldhash::fast::RandomState>>,
    /// Apps whose slots of before are there, or are being looked for: whoever asks meanwhile waits for that.
    remembered: Mutex<HashMap<SdkAppId, Arc<OnceCell<()>>, foldhash::fast::RandomState>>,
    /// What was played in the running slot.
    playing: Mutex<HashMap<SdkAppId, Served, foldhash::fast::RandomState>>,
}

impl Scale {
    pub(crate) fn new(now: Time) -> Self {
        Self { since: now, rings: Mutex::default(), remembered: Mutex::default(), playing: Mutex::default() }
    }

    /// Something was played at a time, in seconds: in the running slot, or in one before, of which clients tell late.
    pub(crate) fn note_played(&self, app: SdkAppId, played: Served, at: u64) {
        if played == Served::default() {
            return;
        }
        let slot = at - at % SLOT;
        let in_one_before = || {
            let mut rings = self.rings.lock();
            let ring = rings.get_mut(&app)?;
            let found = ring.binary_search_by_key(&slot, |count| count.at).ok()?;
            ring.get_mut(found).map(|count| count.add(played))
        };
        if in_one_before().is_none() {
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
        // Something may have been played though all have left by now.
        if count.rooms > 0 || video[0] + audio[0] > 0 {
            ring.push_back(count);
        }
        if ring.is_empty() {
            rings.remove(&app);
        }
    }

    /// Where an app is asked for a time of before, in seconds, puts its slots there that `look_up` finds in history: once for all who ask,
    /// unless that fails.
    pub(crate) async fn remember<E>(
        &self,
        app: SdkAppId,
        from: u64,
        look_up: impl AsyncFnOnce(Window) -> Result<Vec<Count>, E>,
    ) -> Result<(), E> {
        let since = self.since.unix_seconds();
        if from >= since {
            return Ok(());
        }
        let first = since.saturating_sub(KEPT).next_multiple_of(SLOT);
        let last = since - since % SLOT;
        let window = Window { from: first.cast_signed(), to: last.cast_signed() - 1 };
        let is_there = self.remembered.lock().entry(app).or_default().clone();
        let put = async || {
            self.put_before(app, look_up(window).await?);
            Ok(())
        };
        is_there.get_or_try_init(put).await?;
        Ok(())
    }

    /// What was counted before, in order.
    fn put_before(&self, app: SdkAppId, before: Vec<Count>) {
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
        scale.note_played(app, Served { video: [4000, 700], ..Served::default() }, 1031);
        // Of a slot that is over, and of one in which nobody was there.
        scale.note_played(app, Served { video: [2000, 9], ..Served::default() }, 1019);
        scale.note_played(app, Served { video: [2000, 0], audio: [2000, 5], ..Served::default() }, 1029);
        scale.note(app, count(1030, 1, 1));

        let counts = scale.counts(app, 0, u64::MAX, at(1049));

        let seen: Vec<_> = counts.iter().map(|count| (count.at, count.users, count.rooms)).collect();
        assert_eq!(seen, [(1010, 3, 2), (1020, 0, 0), (1030, 1, 1)]);
        assert_eq!(counts.last().map(|count| (count.video, count.audio)), Some(([6000, 700], [2000, 5])));
        assert_eq!(counts.first().map(|count| (count.video, count.audio)), Some(([2000, 9], [0, 0])));
        assert_eq!(scale.counts(app, 1015, 1025, at(1049)).len(), 1);
        // All have left before the end of the slot.
        scale.note_played(app, Served { audio: [2000, 100], ..Served::default() }, 1041);
        scale.note(app, count(1040, 0, 0));
        assert_eq!(scale.counts(app, 1040, 1049, at(1059))[0].audio, [2000, 100]);
        assert!(scale.counts(SdkAppId(2), 0, u64::MAX, at(1049)).iter().all(|count| count.users == 0));
        assert_eq!(scale.counts(app, u64::MAX, u64::MAX, at(1049)), []);
        scale.note(app, count(1041 + KEPT, 1, 1));
        assert_eq!(scale.rings.lock()[&app].len(), 1);
    }

    #[tokio::test]
    async fn what_history_has_of_before_is_asked_for_once_and_all_wait_for_it() {
        let at = |seconds| Time::from_unix_seconds(seconds);
        let (scale, app) = (Scale::new(at(1003)), SdkAppId(1));
        let count = |at, users| Count { at, users, rooms: 1, ..Count::default() };
        scale.note(app, count(1010, 3));
        let seen = || -> Vec<_> {
            scale.counts(app, 0, u64::MAX, at(1029)).iter().map(|count| (count.at, count.users)).collect()
        };
        let not_asked = async |_: Window| panic!("of that time nothing was before");
        assert_eq!(scale.remember::<()>(app, 1003, not_asked).await, Ok(()));
        assert_eq!(scale.remember(app, 900, async |_| Err("no disk")).await, Err("no disk"));

        let looked_up = std::cell::Cell::new(0);
        let ask = async || {
            let look_up = async |window: Window| {
                assert_eq!(window, Window { from: 0, to: 999 });
                looked_up.set(looked_up.get() + 1);
                tokio::task::yield_now().await;
                Ok::<_, ()>(vec![count(970, 2), count(990, 1), count(1010, 9)])
            };
            scale.remember(app, 900, look_up).await.unwrap();
            seen()
        };
        let (one, other) = tokio::join!(ask(), ask());

        assert_eq!(one, [(970, 2), (990, 1), (1010, 3)]);
        assert_eq!((other, looked_up.get()), (one, 1));
    }
}
