//! A viewer's wish to hear the loudest only.

use std::sync::Arc;

use crate::slot::Slot;
use crate::speakers::Speakers;

/// How often a viewer chooses anew at most: many who overtake each other all the time cost it no more than that.
const CHOICE_US: u64 = 20_000;

/// A viewer's wish for the loudest only.
pub(crate) struct Following {
    speakers: Arc<Speakers>,
    most: u8,
    seen: u32,
    seen_at: u64,
    /// Where the sounds that are wanted stand, and which slots have them: kept for its room.
    places: Vec<(u16, usize)>,
}

impl Following {
    pub(crate) fn new(speakers: Arc<Speakers>, most: u8) -> Self {
        speakers.follow();
        let seen = speakers.changes();
        Self { speakers, most, seen, seen_at: 0, places: Vec::new() }
    }

    /// Whether the order has changed, and it is time to look at it.
    #[inline]
    pub(crate) fn has_news(&mut self, micros: u64) -> bool {
        let changes = self.speakers.changes();
        if changes == self.seen || micros.saturating_sub(self.seen_at) < CHOICE_US {
            return false;
        }
        (self.seen, self.seen_at) = (changes, micros);
        true
    }

    /// Lets the loudest of a viewer's sounds through.
    pub(crate) fn choose(&mut self, slots: &mut [Slot]) {
        self.places.clear();
        for (at, slot) in slots.iter_mut().enumerate().filter(|(_, slot)| !slot.is_video) {
            match slot.is_sound_wanted() {
                true => {
                    let place = slot.source.as_ref().map_or(u16::MAX, |source| source.place.get());
                    self.places.push((place, at));
                }
                false => slot.set_quiet(true),
            }
        }
        let most = usize::from(self.most);
        if most < self.places.len() {
            self.places.select_nth_unstable(most);
        }
        for (rank, (_, at)) in self.places.iter().enumerate() {
            if let Some(slot) = slots.get_mut(*at) {
                slot.set_quiet(rank >= most);
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.speakers.unfollow();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::{RoomKey, Source, SourceKey, Sources, StreamKind};

    const SPEAKS: Option<u8> = Some(30);
    const QUIET: Option<u8> = Some(80);

    fn sources(room: u64, count: usize) -> Vec<Arc<Source>> {
        let sources = Sources::default();
        let key = |user: usize| SourceKey {
            room: RoomKey(room),
            user: format!("user{user}").into(),
            kind: StreamKind::Audio,
        };
        (0..count).map(|user| sources.get(&key(user))).collect()
    }

    fn slots(sources: &[Arc<Source>]) -> Vec<Slot> {
        let slot = |(at, source): (usize, &Arc<Source>)| {
            let mut slot = Slot::new(&at.to_string(), false, at as u32, None);
            slot.set_source(Some(source.clone()));
            slot
        };
        sources.iter().enumerate().map(slot).collect()
    }

    /// Those that are let through.
    fn heard(slots: &[Slot]) -> Vec<usize> {
        slots.iter().enumerate().filter(|(_, slot)| !slot.is_off()).map(|(at, _)| at).collect()
    }

    #[test]
    fn publishers_on_several_threads_make_one_order() {
        let sources = sources(1, 8);
        let speakers = sources[0].speakers.clone().unwrap();
        assert!(sources.iter().all(|source| Arc::ptr_eq(source.speakers.as_ref().unwrap(), &speakers)));
        let mut following = Following::new(speakers, 2);
        let mut slots = slots(&sources);

        std::thread::scope(|scope| {
            for (user, source) in sources.iter().enumerate() {
                scope.spawn(move || {
                    let level = if user == 2 || user == 5 { SPEAKS } else { QUIET };
                    for packet in 0..50 {
                        let speakers = source.speakers.as_ref().unwrap();
                        speakers.hear(&source.place, level, 5_000_000 + packet * 20_000);
                    }
                });
            }
        });

        assert!(following.has_news(6_000_000) && !following.has_news(6_100_000));
        following.choose(&mut slots);
        assert_eq!(heard(&slots), [2, 5]);
        let mut places: Vec<u16> = sources.iter().map(|source| source.place.get()).collect();
        places.sort_unstable();
        assert_eq!(places, (0..8).collect::<Vec<u16>>());
    }

    #[test]
    fn of_those_that_are_not_watched_nobody_takes_a_place() {
        let sources = sources(1, 4);
        let mut following = Following::new(sources[0].speakers.clone().unwrap(), 1);
        for packet in 0..20 {
            for (source, level) in sources.iter().zip([SPEAKS, QUIET, QUIET, SPEAKS]) {
                let speakers = source.speakers.as_ref().unwrap();
                speakers.hear(&source.place, level, 5_000_000 + packet * 20_000);
            }
        }
        // The first is oneself, and the third is paused.
        let mut slots = slots(&sources[1..]);
        slots[1].set_wanted(crate::slot::Wanted { is_paused: true, ..Default::default() });

        assert!(following.has_news(6_000_000));
        following.choose(&mut slots);

        assert_eq!(heard(&slots), [2]);
    }

    #[test]
    fn nothing_is_kept_while_nobody_wants_the_loudest() {
        let sources = sources(1, 1);
        let speakers = sources[0].speakers.clone().unwrap();
        speakers.hear(&sources[0].place, SPEAKS, 5_000_000);
        assert!(speakers.loudest.lock().is_empty());

        let following = Following::new(speakers.clone(), 1);
        speakers.hear(&sources[0].place, SPEAKS, 5_000_000);
        assert!(!speakers.loudest.lock().is_empty());
        drop(following);
        sources[0].unpublish(0);

        assert!(speakers.loudest.lock().is_empty());
    }

    #[test]
    fn many_changes_are_looked_at_once_in_a_moment() {
        let sources = sources(1, 50);
        let speakers = sources[0].speakers.clone().unwrap();
        let mut following = Following::new(speakers.clone(), 3);
        let mut choices = 0;
        for (millisecond, source) in sources.iter().cycle().take(1000).enumerate() {
            let micros = 5_000_000 + millisecond as u64 * 1000;
            speakers.leave(&source.place);
            speakers.hear(&source.place, SPEAKS, micros);
            choices += usize::from(following.has_news(micros));
        }

        assert!((40..=51).contains(&choices), "{choices}");
    }

    proptest! {
        /// Whoever talks, comes, goes, or is paused by the viewer: as many as are asked for are let through, and no more.
        #[test]
        fn never_more_than_are_asked_for(
            most in 1_u8..=6,
            steps in prop::collection::vec((0_usize..6, 0_u8..=127, 0_u8..12), 1..300),
        ) {
            let sources = sources(1, 6);
            let speakers = sources[0].speakers.clone().unwrap();
            let mut following = Following::new(speakers.clone(), most);
            let mut slots = slots(&sources);
            following.choose(&mut slots);
            let mut micros = 5_000_000;
            for (user, level, what) in steps {
                micros += 7_000;
                let mut is_other = false;
                match what {
                    0 => speakers.leave(&sources[user].place),
                    1 => {
                        let is_paused = !slots[user].wanted.is_paused;
                        slots[user].set_wanted(crate::slot::Wanted { is_paused, ..Default::default() });
                        is_other = true;
                    }
                    _ => speakers.hear(&sources[user].place, Some(level), micros),
                }
                if following.has_news(micros) || is_other {
                    following.choose(&mut slots);
                }
                let wanted = slots.iter().filter(|slot| slot.is_sound_wanted()).count();
                prop_assert_eq!(heard(&slots).len(), wanted.min(most.into()));
            }
        }
    }
}
