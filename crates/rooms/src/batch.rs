//! Joins and leaves on their way to the members, batched: a room tells each member of them a few times a second,
//! however many there are.
//!
//! Invariants: a name stands at most once in a batch, so that the order in which a client applies the two lists does
//! not matter; applying the batches in order gives the true list; what waits is bounded.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::{Event, LeaveCause, UserId};

/// Up to this many members, a room names everyone who came or went.
pub const NAMED_UP_TO: usize = 200;

/// In larger rooms, how many of the newest names an event carries at most in each list.
pub const NEWEST_NAMES: usize = 20;

/// How many changes wait with their names at most; beyond it an event says that names are missing.
const MAX_WAITING: usize = 1000;

/// What a member hears of joins and leaves since the last such event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembersChanged {
    /// All members once this is applied; in one that is partial for want of memory, all members now.
    pub member_count: usize,
    /// Who came, oldest first.
    pub entered: Vec<UserId>,
    /// Who went, and why, oldest first.
    pub left: Vec<(UserId, LeaveCause)>,
    /// Whether names were left out of the lists.
    pub partial: bool,
}

/// Joins and leaves that wait to be told.
#[derive(Debug, Default)]
pub struct PresenceBatch {
    current: Changes,
    /// What undoes a change in `current` waits for the next batch.
    next: Changes,
    overflowed: bool,
}

/// Changes in the order in which they happened; `None` is an entry, a cause is a leave.
#[derive(Debug, Default)]
struct Changes {
    of: HashMap<UserId, Option<LeaveCause>, foldhash::fast::RandomState>,
    order: VecDeque<UserId>,
}

impl Changes {
    fn push(&mut self, user: &UserId, change: Option<LeaveCause>) {
        self.of.insert(user.clone(), change);
        self.order.push_back(user.clone());
    }

    fn take_back(&mut self, user: &UserId) -> bool {
        if self.of.remove(user).is_none() {
            return false;
        }
        self.order.retain(|other| other != user);
        true
    }
}

impl PresenceBatch {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.current.order.is_empty() && !self.overflowed
    }

    /// Notes a join or leave; other events are none of its business.
    pub fn push(&mut self, event: &Event) {
        let (user, change) = match event {
            Event::Entered { user } => (user, None),
            Event::Left { user, cause } => (user, Some(*cause)),
            _ => return,
        };
        if self.current.order.len() + self.next.order.len() >= MAX_WAITING {
            self.overflowed = true;
            return;
        }
        // A user alternates between the two, so a third change undoes the second.
        if self.next.take_back(user) {
            return;
        }
        if self.current.of.contains_key(user) {
            self.next.push(user, change);
        } else {
            self.current.push(user, change);
        }
    }

    /// What to tell now that the room has `member_count` members; `None` when there is nothing.
    pub fn take(&mut self, member_count: usize) -> Option<MembersChanged> {
        if self.is_empty() {
            return None;
        }
        let Changes { of, order } = std::mem::replace(&mut self.current, std::mem::take(&mut self.next));
        let mut told = MembersChanged {
            member_count,
            entered: Vec::new(),
            left: Vec::new(),
            partial: std::mem::take(&mut self.overflowed),
        };
        if told.partial {
            // Some changes were not noted, so what waited may contradict the truth: the count alone is told.
            self.current = Changes::default();
            return Some(told);
        }
        // What takes these changes back is told with the next.
        for taken_back in self.current.of.values() {
            match taken_back {
                None => told.member_count = told.member_count.saturating_sub(1),
                Some(_) => told.member_count += 1,
            }
        }
        for user in order {
            match of.get(&user).copied().flatten() {
                None => told.entered.push(user),
                Some(cause) => told.left.push((user, cause)),
            }
        }
        if member_count > NAMED_UP_TO {
            told.partial |= keep_newest(&mut told.entered) | keep_newest(&mut told.left);
        }
        Some(told)
    }
}

fn keep_newest<T>(names: &mut Vec<T>) -> bool {
    let surplus = names.len().saturating_sub(NEWEST_NAMES);
    names.drain(..surplus);
    surplus > 0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn user(name: impl std::fmt::Display) -> UserId {
        UserId::parse(&name.to_string()).unwrap()
    }

    fn entered(name: impl std::fmt::Display) -> Event {
        Event::Entered { user: user(name) }
    }

    fn left(name: impl std::fmt::Display) -> Event {
        Event::Left { user: user(name), cause: LeaveCause::Leave }
    }

    #[test]
    fn who_comes_and_goes_at_once_is_told_of_in_two_batches() {
        let mut batch = PresenceBatch::default();
        batch.push(&entered("ann"));
        batch.push(&left("ann"));

        let (first, second) = (batch.take(0).unwrap(), batch.take(0).unwrap());
        assert_eq!((first.entered, first.member_count), (vec![user("ann")], 1));
        assert_eq!((second.left, second.member_count), (vec![(user("ann"), LeaveCause::Leave)], 0));
        assert_eq!(batch.take(0), None);
    }

    #[test]
    fn a_large_room_tells_the_count_and_the_newest_names() {
        let mut batch = PresenceBatch::default();
        for number in 0..300 {
            batch.push(&entered(number));
        }

        let told = batch.take(300).unwrap();

        assert_eq!((told.member_count, told.partial), (300, true));
        assert_eq!(told.entered.len(), NEWEST_NAMES);
        assert_eq!(told.entered.last(), Some(&user(299)));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut batch = PresenceBatch::default();
        for number in 0..10 * MAX_WAITING {
            batch.push(&entered(number));
        }

        let told = batch.take(100).unwrap();

        assert!(told.partial && told.entered.is_empty());
        assert_eq!(batch.take(100), None);
    }

    proptest! {
        #[test]
        fn applying_the_batches_gives_the_true_list(steps in proptest::collection::vec((0u8..8, prop::bool::ANY), 0..300)) {
            let (mut truth, mut seen) = (BTreeSet::new(), BTreeSet::new());
            let mut batch = PresenceBatch::default();
            let apply = |told: MembersChanged, seen: &mut BTreeSet<UserId>| {
                for (user, _) in told.left { prop_assert!(seen.remove(&user)); }
                for user in told.entered { prop_assert!(seen.insert(user)); }
                prop_assert_eq!(told.member_count, seen.len());
                Ok(())
            };
            for (name, flush) in steps {
                let event = if truth.remove(&user(name)) { left(name) } else { truth.insert(user(name)); entered(name) };
                batch.push(&event);
                if flush && let Some(told) = batch.take(truth.len()) { apply(told, &mut seen)?; }
            }
            while let Some(told) = batch.take(truth.len()) { apply(told, &mut seen)?; }
            prop_assert_eq!(seen, truth);
        }
    }
}
