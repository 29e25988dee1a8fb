//! What goes to the disk as a whole, or not at all.

use crate::Change;

/// Changes that belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Job {
    /// What was handed over at once, in order. There are several only in the journal.
    units: Vec<Vec<Change>>,
    is_awaited: bool,
}

impl Job {
    /// Changes that somebody waits for.
    pub fn awaited(changes: Vec<Change>) -> Self {
        Self { units: vec![changes], is_awaited: true }
    }

    /// Changes that nobody waits for, as they were handed over.
    pub fn journalled(units: Vec<Vec<Change>>) -> Self {
        Self { units, is_awaited: false }
    }

    /// Whether somebody waits for it. It is refused whole; of a journal, only what can never be kept is left out.
    pub fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    /// Its parts: a journal with a change that can never be kept is written part by part.
    pub fn units(&self) -> &[Vec<Change>] {
        &self.units
    }

    /// All its changes, in order.
    pub fn changes(&self) -> impl DoubleEndedIterator<Item = &Change> {
        self.units.iter().flatten()
    }

    /// How many changes it has.
    pub fn len(&self) -> usize {
        self.units.iter().map(Vec::len).sum()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.units.iter().all(Vec::is_empty)
    }

    pub(crate) fn add(&mut self, changes: Vec<Change>) {
        self.units.push(changes);
    }

    pub(crate) fn into_units(self) -> Vec<Vec<Change>> {
        self.units
    }

    /// Leaves out what `is_kept` says, which is asked for each change in order.
    pub(crate) fn retain(&mut self, mut is_kept: impl FnMut(&Change) -> bool) {
        self.units.iter_mut().for_each(|unit| unit.retain(&mut is_kept));
        self.units.retain(|unit| !unit.is_empty());
        self.units.shrink_to_fit();
    }
}
