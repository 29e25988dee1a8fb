//! What waits for the writer: one queue, so that everything is applied in the order in which it happened.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use parking_lot::{Condvar, Mutex};

use crate::{Change, Error};

/// How long journalled changes are gathered when nothing else has to be committed.
const GATHER: Duration = Duration::from_millis(100);

/// How many changes may wait before new work is turned away.
const MOST: usize = 200_000;

/// How many changes one transaction takes in at most, so that nobody waits for an endless one.
const GROUP: usize = 8192;

/// Changes that belong together.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) changes: Vec<Change>,
    /// Who waits; `None` for the journal, which is tried until it is on disk.
    pub(crate) done: Option<oneshot::Sender<Result<(), Error>>>,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    changes: usize,
    /// How many of the jobs somebody waits for.
    awaited: usize,
    /// When the oldest journalled change came.
    since: Option<Instant>,
    is_closed: bool,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

impl Queue {
    /// Adds a job; gives it back when the queue is closed, or is full and somebody waits for the job.
    pub(crate) fn push(&self, job: Job) -> Result<(), (Error, Job)> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Err((Error::Closed, job));
        }
        if job.done.is_some() && state.changes > MOST {
            return Err((Error::Behind, job));
        }
        state.changes += job.changes.len();
        state.since.get_or_insert_with(Instant::now);
        let wakes = job.done.is_some() || state.jobs.is_empty() || state.changes >= GROUP;
        state.awaited += usize::from(job.done.is_some());
        state.jobs.push_back(job);
        if wakes {
            self.filled.notify_one();
        }
        Ok(())
    }

    pub(crate) fn is_behind(&self) -> bool {
        self.state.lock().changes > MOST
    }

    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.filled.notify_all();
    }

    /// Puts jobs back that the disk refused, before all others.
    pub(crate) fn put_back(&self, jobs: Vec<Job>) {
        let mut state = self.state.lock();
        for job in jobs.into_iter().rev() {
            state.changes += job.changes.len();
            state.jobs.push_front(job);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    /// The next group to commit; waits for it. `None` when the queue is closed and empty.
    pub(crate) fn take(&self) -> Option<Vec<Job>> {
        let mut state = self.state.lock();
        loop {
            let due = state.since.map(|since| since + GATHER);
            let is_ready = state.awaited > 0
                || state.is_closed
                || state.changes >= GROUP
                || due.is_some_and(|due| due <= Instant::now());
            if !state.jobs.is_empty() && is_ready {
                break;
            }
            match due {
                _ if state.is_closed => return None,
                Some(due) if !state.jobs.is_empty() => drop(self.filled.wait_until(&mut state, due)),
                _ => self.filled.wait(&mut state),
            }
        }
        let (mut group, mut changes) = (Vec::new(), 0);
        while changes < GROUP
            && let Some(job) = state.jobs.pop_front()
        {
            changes += job.changes.len();
            state.awaited -= usize::from(job.done.is_some());
            group.push(job);
        }
        state.changes -= changes;
        if state.jobs.is_empty() {
            state.since = None;
        }
        Some(group)
    }
}
