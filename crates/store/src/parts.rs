//! What a group of jobs is to an engine: parts that are written as a whole, changes in order, and which rooms there are
//! while it is written.

use hashbrown::{HashMap, HashSet};

use crate::engine::Kept;
use crate::{Change, Error, Job, Lane, WaitingEvent};

/// The numbers of rooms.
pub(crate) type Living = HashSet<i64, foldhash::fast::RandomState>;

/// What is written as a whole.
pub(crate) struct Part<'a> {
    pub(crate) units: &'a [Vec<Change>],
    pub(crate) is_awaited: bool,
}

impl<'a> Part<'a> {
    /// A job as a whole.
    pub(crate) fn of(job: &'a Job) -> Self {
        Self { units: job.units(), is_awaited: job.is_awaited() }
    }

    pub(crate) fn changes(&self) -> impl Iterator<Item = &'a Change> {
        self.units.iter().flatten()
    }
}

/// What has become of an event.
pub(crate) enum Told {
    /// It waits to be sent.
    Waits(WaitingEvent),
    /// Too many wait in that lane: it is a dead letter, or of callbacks nothing.
    GivenUp(Lane),
}

/// A change, with the part that it is of.
pub(crate) type OfPart<'a> = (usize, &'a Change);

/// Rooms that a group makes or ends, and whether they are there after it.
pub(crate) type Changed = HashMap<i64, bool, foldhash::fast::RandomState>;

/// It is on disk: those are the rooms that have begun and ended.
pub(crate) fn note(living: &mut Living, changed: Changed) {
    for (number, lives) in changed {
        match lives {
            true => drop(living.insert(number)),
            false => drop(living.remove(&number)),
        }
    }
}

/// Which rooms there are while a group is written.
#[derive(Clone)]
pub(crate) struct Rooms<'a> {
    living: &'a Living,
    changed: Changed,
}

impl<'l> Rooms<'l> {
    pub(crate) fn of(living: &'l Living) -> Self {
        Self { living, changed: Changed::default() }
    }

    /// What has begun and ended.
    pub(crate) fn changed(self) -> Changed {
        self.changed
    }

    fn lives(&self, number: i64) -> bool {
        self.changed.get(&number).copied().unwrap_or_else(|| self.living.contains(&number))
    }

    /// Refuses what somebody waits for and is of a room that is over, and leaves out what else is. Returns what is left, with
    /// the part that each is of.
    pub(crate) fn sort_out<'a>(
        &mut self,
        parts: &'a [Part<'_>],
    ) -> (Vec<Result<Kept, Error>>, Vec<OfPart<'a>>) {
        let (mut results, mut changes) = (Vec::with_capacity(parts.len()), Vec::new());
        for (index, part) in parts.iter().enumerate() {
            if part.is_awaited && self.is_over(part) {
                results.push(Err(Error::Over));
                continue;
            }
            for change in part.changes() {
                match change {
                    Change::CreateRoom(scope, _) => drop(self.changed.insert(scope.number, true)),
                    Change::DeleteRoom(scope) => drop(self.changed.insert(scope.number, false)),
                    _ if change.room().is_some_and(|scope| !self.lives(scope.number)) => continue,
                    _ => {}
                }
                changes.push((index, change));
            }
            results.push(Ok(Kept::default()));
        }
        (results, changes)
    }

    fn is_over(&self, part: &Part<'_>) -> bool {
        let mut made = Vec::new();
        part.changes().any(|change| match change {
            Change::CreateRoom(scope, _) => {
                made.push(scope.number);
                false
            }
            Change::DeleteRoom(_) => false,
            _ => {
                change.room().is_some_and(|scope| !made.contains(&scope.number) && !self.lives(scope.number))
            }
        })
    }
}
