//! How much of callers' bodies is held in memory, of one app's and of all; how much an app's server is asked about.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most bytes of bodies that one app's calls may hold together, and those of all apps.
const APP_BYTES: usize = 64 * 1024 * 1024;
const ALL_BYTES: usize = 4 * APP_BYTES;

/// The most bytes that one app's server is asked about at once.
const QUESTION_BYTES: usize = 4 * 1024 * 1024;

/// How many bytes of bodies may yet be held.
pub(crate) struct Budget(AtomicUsize);

impl Budget {
    pub(crate) fn of(bytes: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(bytes)))
    }

    pub(crate) fn of_app() -> Arc<Self> {
        Self::of(APP_BYTES)
    }

    pub(crate) fn of_all() -> Arc<Self> {
        Self::of(ALL_BYTES)
    }

    pub(crate) fn of_questions() -> Arc<Self> {
        Self::of(QUESTION_BYTES)
    }

    /// Takes so many until that is dropped, if there are.
    pub(crate) fn hold(self: &Arc<Self>, bytes: usize) -> Option<Held> {
        self.take(bytes).then(|| Held { budget: self.clone(), bytes })
    }

    /// Takes so many, if there are.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let less = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    /// How many bytes there are left.
    pub(crate) fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// So much of a budget, until it is dropped.
pub(crate) struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}
