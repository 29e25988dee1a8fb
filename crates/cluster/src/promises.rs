//! Promises: by which a node that has the records answers beyond its lease, while the database is away for all.
//!
//! The row of a node that has the records names all others that there are: these may end it as soon as they have seen its beat stand
//! still, and anybody else only much later. Beyond its lease it answers with the promise of each of them that it will not; nobody's
//! opinion that one of them is gone counts. A promise is made by who has no database either, and nothing on its way that could end who
//! asks. It holds for a while from when the question came; who has asked counts from before it did.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::generation::{Generation, stands_still};

/// For how long a promise holds.
pub(crate) const HOLDS: Duration = Duration::from_secs(6);

/// For how long after its last renewal a node goes on by promises at most; who has made none waits for longer.
pub const LONGEST: Duration = Duration::from_secs(110);

/// For how long whoever promises has not reached the database.
pub(crate) const UNREACHED: Duration = Duration::from_secs(3);

/// How long before its lease is over a node begins to ask, and how often it asks then.
pub(crate) const AHEAD: Duration = Duration::from_secs(3);
pub(crate) const OFTEN: Duration = Duration::from_millis(500);

/// What is answered to who asks for a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Its generation is not ended from here for a while.
    Promised,
    /// The database was reached a moment ago: it is not the database that is away.
    HasDatabase,
    /// It may have been ended already, or nothing is known of it.
    Refused,
}

/// For how long a node with that lease whose row names these may answer after a renewal.
pub(crate) fn at_most(lease: Duration, named: &[Generation]) -> Duration {
    if named.is_empty() { lease } else { lease.max(LONGEST) }
}

/// Those that others have made to this node.
#[derive(Debug, Default)]
pub(crate) struct Got {
    /// Whom its row may name: a renewal without an answer may have been done, or be done yet.
    named: BTreeSet<Generation>,
    /// Whether its row names somebody for certain. Otherwise anybody may end it after its lease.
    is_certain: bool,
    /// When each was asked for its last promise.
    asked: HashMap<Generation, Duration>,
}

impl Got {
    /// The row is to name these.
    pub(crate) fn name(&mut self, all: &[Generation]) {
        self.named.extend(all);
        self.is_certain &= !all.is_empty();
    }

    /// The row names these, and nobody else: what was asked before is not done any more.
    pub(crate) fn is_named(&mut self, all: &[Generation]) {
        self.named = all.iter().copied().collect();
        self.is_certain = !all.is_empty();
        self.asked.retain(|one, _| self.named.contains(one));
    }

    /// That one has promised, asked then.
    pub(crate) fn put(&mut self, by: Generation, asked: Duration) {
        if self.named.contains(&by) {
            let last = self.asked.entry(by).or_default();
            *last = (*last).max(asked);
        }
    }

    /// Whose are needed.
    pub(crate) fn needed(&self) -> impl Iterator<Item = Generation> + '_ {
        self.named.iter().copied().filter(|_| self.is_certain)
    }

    /// Until when all hold.
    pub(crate) fn until(&self) -> Option<Duration> {
        let of = |one: &Generation| self.asked.get(one).copied();
        let first = self.named.iter().map(of).min().flatten()?;
        self.is_certain.then(|| first + HOLDS)
    }
}

/// Those that this node has made to others, and what it has done that they could not be made for.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// When each was asked for last.
    promised: HashMap<Generation, Duration>,
    /// Whom it has asked the database to end, with which beat: that may have been done, or be done yet.
    ending: HashMap<Generation, i64>,
}

impl Made {
    /// From now on it does nothing to that one.
    pub(crate) fn promise(&mut self, to: Generation, now: Duration) {
        self.promised.insert(to, now);
    }

    /// Whether its last promise to that one has been over for as long as a beat has to stand still.
    pub(crate) fn lets(&self, end: Generation, now: Duration) -> bool {
        self.promised.get(&end).is_none_or(|at| now >= *at + HOLDS + stands_still(HOLDS))
    }

    /// It asks the database to end that one.
    pub(crate) fn end(&mut self, one: Generation, beat: i64) {
        self.ending.insert(one, beat);
    }

    /// Whether that one may be over, or be ended yet.
    pub(crate) fn may_end(&self, one: Generation) -> bool {
        self.ending.contains_key(&one)
    }

    /// These live, with these beats: with a higher one than it was to be ended with, that is not done any more.
    pub(crate) fn see(&mut self, living: &HashMap<Generation, i64>) {
        self.ending.retain(|one, beat| living.get(one).is_some_and(|now| now <= beat));
        self.promised.retain(|one, _| living.contains_key(one));
    }

    /// When it promised that one something that holds yet.
    pub(crate) fn holds(&self, one: Generation, now: Duration) -> Option<Duration> {
        self.promised.get(&one).copied().filter(|at| now < *at + HOLDS)
    }
}
