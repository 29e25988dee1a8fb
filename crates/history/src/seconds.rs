//! In which second a call is said to have been made. A call's name has its room and that second, and rooms are made anew more than once a
//! second: so the later ones are said to have been made in the last second before in which no other of the room was. Then what
//! happened in a call lies in the time that is told of it, and a time up to now has all that were.
//!
//! A room that is made anew often has a whole block of seconds that are taken. It is remembered, so that nobody walks through it for
//! each call.

use hashbrown::HashMap;

use crate::files::Day;

/// Of how many rooms blocks are remembered.
const MOST_ROOMS: usize = 10_000;

/// A room of an app, by its number.
type Key = (u32, i64);

/// What is taken, as far as it is remembered.
#[derive(Default)]
pub(crate) struct Seconds {
    /// The first and the last second of a block that is taken altogether.
    blocks: HashMap<Key, (i64, i64), foldhash::fast::RandomState>,
}

impl Seconds {
    /// From which second on, and backwards, it is looked for a free one for a call that was made then.
    pub(crate) fn first(&self, key: Key, made: i64) -> i64 {
        match self.blocks.get(&key) {
            Some((first, last)) if (*first..=*last).contains(&made) => first - 1,
            _ => made,
        }
    }

    /// A free second for a call that was made then: of the same day, the last one before if there is one. It is taken from then on.
    /// `None` when `is_taken` does not know of one that has to be looked at.
    pub(crate) fn take(
        &mut self,
        key: Key,
        made: i64,
        mut is_taken: impl FnMut(i64) -> Option<bool>,
    ) -> Option<i64> {
        let begin = Day::of(made).begins();
        let mut at = self.first(key, made);
        while at >= begin && is_taken(at)? {
            at -= 1;
        }
        if at < begin {
            // It is seldom that a day begins so.
            at = made + 1;
            while is_taken(at)? {
                at += 1;
            }
            return Some(at);
        }
        if self.blocks.len() >= MOST_ROOMS {
            self.blocks.clear();
        }
        let block = self.blocks.entry(key).or_insert((at, made));
        *block = match *block {
            (first, last) if (first..=last).contains(&made) => (first.min(at), last),
            (first, last) if last + 1 == made && at == made => (first, made),
            _ => (at, made),
        };
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const NOON: i64 = 20_000 * 86_400 + 43_200;

    #[test]
    fn what_is_made_often_is_said_to_have_been_made_before_and_nothing_is_walked_through_twice() {
        let (mut seconds, mut taken) = (Seconds::default(), HashSet::new());
        let mut looks = 0;
        for number in 0..10_000 {
            let made = NOON + number / 20;
            let at = seconds.take((1, 7), made, |at| {
                looks += 1;
                Some(taken.contains(&at))
            });
            let at = at.unwrap();
            assert!(at <= made && taken.insert(at), "{number}: {at}");
        }

        assert!(looks < 25_000, "{looks}");
        assert_eq!(taken.iter().max(), Some(&(NOON + 499)));
        // Another room is another.
        assert_eq!(seconds.take((1, 8), NOON, |_| Some(false)), Some(NOON));
        assert_eq!(seconds.take((2, 7), NOON, |_| Some(false)), Some(NOON));
    }

    #[test]
    fn no_call_is_said_to_be_of_the_day_before() {
        let (mut seconds, midnight) = (Seconds::default(), 20_001 * 86_400);
        let taken = [midnight, midnight + 1, midnight + 2];

        let at = seconds.take((1, 7), midnight + 1, |at| Some(taken.contains(&at)));

        assert_eq!(at, Some(midnight + 3));
    }

    #[test]
    fn what_is_not_known_to_be_free_is_not_taken() {
        let mut seconds = Seconds::default();

        assert_eq!(seconds.take((1, 7), NOON, |at| (at > NOON - 5).then_some(true)), None);
        assert_eq!(seconds.first((1, 7), NOON), NOON);
        assert_eq!(seconds.take((1, 7), NOON, |at| Some(at > NOON - 5)), Some(NOON - 5));
        assert_eq!(seconds.first((1, 7), NOON), NOON - 6);
    }
}
