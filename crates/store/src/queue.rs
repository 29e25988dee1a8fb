//! What waits for the writer: one queue, so that everything is applied in the order in which it happened.
//!
//! An app may have as much in it as is free: one that writes more than the disk takes gets half, two get a third each, and
//! whoever comes next finds room.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};
use rooms::SdkAppId;
use smallvec::SmallVec;

use crate::superseded::superseded;
use crate::{Change, Error};

/// How long journalled changes are gathered when nothing else has to be committed.
const GATHER: Duration = Duration::from_millis(100);

/// How many changes may wait before new work is turned away, and how much memory they may take.
const MOST: Load = Load { changes: 200_000, bytes: 64 << 20 };

/// How many changes one transaction takes in at most, so that nobody waits for an endless one.
const GROUP: usize = 8192;

/// How much there is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Load {
    changes: usize,
    bytes: usize,
}

impl Load {
    fn add(&mut self, other: Self) {
        self.changes += other.changes;
        self.bytes += other.bytes;
    }

    fn take(&mut self, other: Self) {
        self.changes -= other.changes;
        self.bytes -= other.bytes;
    }
}

/// Changes that belong together.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) changes: Vec<Change>,
    load: Load,
    /// What of it is whose. An app may be named several times.
    loads: SmallVec<[(SdkAppId, Load); 1]>,
    /// Who waits; `None` for the journal, which is tried until it is on disk.
    done: Option<oneshot::Sender<Result<(), Error>>>,
}

impl Job {
    /// Changes that somebody waits for.
    pub(crate) fn awaited(changes: Vec<Change>, done: oneshot::Sender<Result<(), Error>>) -> Self {
        Self { done: Some(done), ..Self::journalled(changes) }
    }

    /// Changes that nobody waits for.
    pub(crate) fn journalled(changes: Vec<Change>) -> Self {
        let (mut load, mut loads) = (Load::default(), SmallVec::new());
        for change in &changes {
            let more = Load { changes: 1, bytes: change.bytes() };
            load.add(more);
            let Some(app) = change.app() else { continue };
            match loads.last_mut() {
                Some((last, load)) if *last == app => Load::add(load, more),
                _ => loads.push((app, more)),
            }
        }
        Self { changes, load, loads, done: None }
    }

    pub(crate) fn is_awaited(&self) -> bool {
        self.done.is_some()
    }

    /// Tells whoever waits.
    pub(crate) fn answer(self, result: Result<(), Error>) {
        if let Some(done) = self.done {
            // The error is that nobody waits any more.
            let _ = done.send(result);
        }
    }
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    load: Load,
    /// What of it is whose, for apps that have anything.
    loads: HashMap<SdkAppId, Load, foldhash::fast::RandomState>,
    /// How many of the jobs somebody waits for.
    awaited: usize,
    /// When the oldest journalled change came.
    since: Option<Instant>,
    is_closed: bool,
}

impl State {
    /// Whether there is more of `app` than is free.
    fn is_full_for(&self, app: Option<SdkAppId>) -> bool {
        let load = app.and_then(|app| self.loads.get(&app)).copied().unwrap_or_default();
        self.load.changes + load.changes > MOST.changes || self.load.bytes + load.bytes > MOST.bytes
    }

    fn add(&mut self, job: Job) {
        self.load.add(job.load);
        for (app, load) in &job.loads {
            self.loads.entry(*app).or_default().add(*load);
        }
        self.awaited += usize::from(job.is_awaited());
        self.since.get_or_insert_with(Instant::now);
        self.jobs.push_back(job);
    }

    fn pop(&mut self) -> Option<Job> {
        let job = self.jobs.pop_front()?;
        self.load.take(job.load);
        for (app, load) in &job.loads {
            if let Some(all) = self.loads.get_mut(app) {
                all.take(*load);
                if *all == Load::default() {
                    self.loads.remove(app);
                }
            }
        }
        self.awaited -= usize::from(job.is_awaited());
        if self.jobs.is_empty() {
            self.since = None;
        }
        Some(job)
    }
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

impl Queue {
    /// Adds a job. Refused when the queue is closed, or when somebody waits for the job and its app has as much
    /// in the queue as there may be.
    pub(crate) fn push(&self, job: Job) -> Result<(), Error> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(Error::Closed);
        }
        if job.is_awaited() && state.is_full_for(job.loads.first().map(|(app, _)| *app)) {
            return Err(Error::Behind);
        }
        let was_empty = state.jobs.is_empty();
        let is_awaited = job.is_awaited();
        state.add(job);
        if is_awaited || was_empty || state.load.changes >= GROUP {
            self.filled.notify_one();
        }
        Ok(())
    }

    pub(crate) fn is_full_for(&self, app: SdkAppId) -> bool {
        self.state.lock().is_full_for(Some(app))
    }

    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.filled.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    /// Refuses what waits: nothing will be written any more.
    pub(crate) fn refuse_all(&self) {
        let mut state = self.state.lock();
        let waiting: Vec<Job> = std::iter::from_fn(|| state.pop()).collect();
        drop(state);
        waiting.into_iter().for_each(|job| job.answer(Err(Error::Closed)));
    }

    /// Takes jobs back that the disk refused. What was journalled comes before all others, in one job: what a later
    /// change makes pointless is left out, and no crash shall see the rest of it without that change. Nothing else can
    /// be written before it, so that whoever waits is refused as well.
    pub(crate) fn put_back(&self, refused: Vec<Job>, error: &Error) {
        let mut journal = Vec::new();
        let mut state = self.state.lock();
        let waiting = std::iter::from_fn(|| state.pop());
        let (awaited, journalled): (Vec<_>, Vec<_>) =
            refused.into_iter().chain(waiting).partition(Job::is_awaited);
        journalled.into_iter().for_each(|job| journal.extend(job.changes));
        let pointless = superseded(journal.iter());
        let mut pointless = pointless.into_iter();
        journal.retain(|_| !pointless.next().unwrap_or(false));
        if !journal.is_empty() {
            state.add(Job::journalled(journal));
        }
        drop(state);
        awaited.into_iter().for_each(|job| job.answer(Err(error.clone())));
    }

    /// Waits, but not for longer than until the queue is closed.
    pub(crate) fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut state = self.state.lock();
        while !state.is_closed && !self.filled.wait_until(&mut state, until).timed_out() {}
    }

    /// The next group to commit; waits for it. An empty one when there is nothing until `at_latest`. `None` when the
    /// queue is closed and empty.
    pub(crate) fn take(&self, at_latest: Option<Instant>) -> Option<Vec<Job>> {
        let mut state = self.state.lock();
        loop {
            let now = Instant::now();
            let due = state.since.map(|since| since + GATHER);
            let is_ready = state.awaited > 0
                || state.is_closed
                || state.load.changes >= GROUP
                || due.is_some_and(|due| due <= now);
            if !state.jobs.is_empty() && is_ready {
                break;
            }
            if state.is_closed {
                return None;
            }
            if at_latest.is_some_and(|at_latest| at_latest <= now) {
                return Some(Vec::new());
            }
            match due.into_iter().chain(at_latest).min() {
                Some(until) => drop(self.filled.wait_until(&mut state, until)),
                None => self.filled.wait(&mut state),
            }
        }
        let (mut group, mut changes) = (Vec::new(), 0);
        while changes < GROUP
            && let Some(job) = state.pop()
        {
            changes += job.changes.len();
            group.push(job);
        }
        Some(group)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use rooms::{SdkAppId, SessionId, Time, UserId};

    use super::*;
    use crate::StoredSession;

    fn session(id: u64) -> StoredSession {
        let user = UserId::parse("ann").unwrap();
        StoredSession {
            id: SessionId(id),
            sdkappid: SdkAppId(1),
            user,
            token_hash: [0; 32],
            valid_until: Time::from_unix_seconds(9),
        }
    }

    #[test]
    fn what_was_put_back_is_due_without_anybody_else() {
        let queue = Queue::default();
        queue.push(Job::journalled(vec![Change::DeleteSession(SessionId(1))])).unwrap();
        let group = queue.take(None).unwrap();

        queue.put_back(group, &Error::DiskFull);

        let again = queue.take(Some(Instant::now() + Duration::from_secs(10))).unwrap();
        assert_eq!(again[0].changes, [Change::DeleteSession(SessionId(1))]);
    }

    #[test]
    fn a_journal_that_is_put_back_keeps_what_is_still_true_and_nobody_waits_behind_it() {
        let queue = Queue::default();
        let journal = |change| queue.push(Job::journalled(vec![change])).unwrap();
        journal(Change::PutSession(session(1)));
        journal(Change::PutSession(session(2)));
        let (done, mut answer) = oneshot::channel();
        queue.push(Job::awaited(vec![Change::PutSession(session(3))], done)).unwrap();
        let group = queue.take(None).unwrap();
        let (done, mut late_answer) = oneshot::channel();
        queue.push(Job::awaited(Vec::new(), done)).unwrap();
        journal(Change::DeleteSession(SessionId(1)));

        queue.put_back(group, &Error::DiskFull);

        for answer in [&mut answer, &mut late_answer] {
            assert!(matches!(answer.try_recv(), Ok(Some(Err(Error::DiskFull)))));
        }
        let group = queue.take(None).unwrap();
        assert_eq!(group.len(), 1, "it is written whole or not at all");
        let left = [Change::PutSession(session(2)), Change::DeleteSession(SessionId(1))];
        assert_eq!(group[0].changes, left);
        assert!(queue.take(Some(Instant::now())).unwrap().is_empty());
    }

    #[test]
    fn a_journal_that_only_repeats_itself_does_not_grow() {
        let queue = Queue::default();
        for _ in 0..10 {
            for _ in 0..1000 {
                queue.push(Job::journalled(vec![Change::PutSession(session(1))])).unwrap();
            }
            let group = queue.take(None).unwrap();
            queue.put_back(group, &Error::DiskFull);
        }

        assert_eq!(queue.take(None).unwrap()[0].changes.len(), 1);
    }

    #[test]
    fn an_app_may_have_as_much_as_is_free_by_memory_too() {
        let queue = Queue::default();
        let event = crate::OutboxEvent {
            id: 1,
            sdkappid: SdkAppId(1),
            subject: "r".into(),
            command: "c".into(),
            body: "x".repeat(1 << 20),
            at: rooms::Time::from_unix_seconds(1),
        };
        let put =
            |app| Change::PutEvent(crate::OutboxEvent { sdkappid: SdkAppId(app), ..event.clone() }.into());
        let is_taken = |app| queue.push(Job::awaited(vec![put(app)], oneshot::channel().0)).is_ok();

        let greedy = (0..100).take_while(|_| is_taken(1)).count();
        assert_eq!(greedy, 32, "half of it");
        assert!(queue.is_full_for(SdkAppId(1)) && !queue.is_full_for(SdkAppId(2)));
        let second = (0..100).take_while(|_| is_taken(2)).count();
        assert_eq!(second, 16, "half of what is left");
        assert!(is_taken(3));

        // What nobody waits for is taken all the same, and leaves less for those who ask.
        for _ in 0..20 {
            queue.push(Job::journalled(vec![put(4)])).unwrap();
        }
        assert!(queue.is_full_for(SdkAppId(5)));
        while queue.take(Some(Instant::now())).is_some_and(|group| !group.is_empty()) {}
        assert!(!queue.is_full_for(SdkAppId(1)) && queue.state.lock().loads.is_empty());
    }
}
