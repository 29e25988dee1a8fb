//! What waits for the writer: one queue, so that everything is applied in the order in which it happened.
//!
//! What nobody waits for, the journal, gathers in one job behind the last job that somebody waits for, and that job goes to
//! the disk as a whole. So what a later change makes pointless can be left out of it, and it is bounded by the rows that
//! exist, however long the disk refuses. It is never merged across a job that somebody waits for: whoever is answered
//! knows that what was journalled before is on disk too.
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

use crate::engine::GivenUp;
use crate::ledger::Line;
use crate::superseded::superseded;
use crate::{Change, Error, Job};

/// How long journalled changes are gathered when nothing else has to be committed.
const GATHER: Duration = Duration::from_millis(100);

/// How many changes may wait before new work is turned away, and how much memory they may take.
const MOST: Load = Load { changes: 200_000, bytes: 64 << 20 };

/// The journal is looked through for what has become pointless when there is so much of it, and again when it has doubled.
const MUCH: Load = Load { changes: 4096, bytes: 16 << 20 };

/// How many bytes of events an app may have in the journal. The oldest of more are given up: they are told of what
/// happened, and not what has to be kept.
const MOST_EVENT_BYTES: usize = 32 << 20;

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

type Loads = SmallVec<[(SdkAppId, Load); 1]>;

/// A job in the queue.
#[derive(Debug)]
struct Waiting {
    job: Job,
    load: Load,
    /// What of it is whose. An app may be named several times.
    loads: Loads,
    /// Who waits; `None` for the journal, which is tried until it is on disk.
    done: Option<Done>,
    /// How much it has to be to be looked through.
    much: Load,
}

/// Tells whoever waits for a job.
pub(crate) type Done = oneshot::Sender<Result<(), Error>>;

/// Tells `done`, if there is anybody.
pub(crate) fn answer(done: Option<Done>, result: Result<(), Error>) {
    if let Some(done) = done {
        // The error is that nobody waits any more.
        let _ = done.send(result);
    }
}

/// What `changes` take, and what of it is whose.
fn weigh<'a>(changes: impl Iterator<Item = &'a Change>) -> (Load, Loads) {
    let (mut load, mut loads) = (Load::default(), Loads::new());
    for change in changes {
        let more = Load { changes: 1, bytes: change.bytes() };
        load.add(more);
        let Some(app) = change.app() else { continue };
        match loads.last_mut() {
            Some((last, load)) if *last == app => Load::add(load, more),
            _ => loads.push((app, more)),
        }
    }
    (load, loads)
}

impl Waiting {
    fn new(job: Job, done: Option<Done>) -> Self {
        let (mut load, loads) = weigh(job.changes());
        // One that writes nothing takes its place all the same.
        load.changes += usize::from(job.is_awaited());
        Self { job, load, loads, done, much: MUCH }
    }

    /// Leaves out of a journal what has become pointless, and of an app that has more events than it may have the oldest.
    /// Returns how many events were given up.
    fn look_through(&mut self) -> GivenUp {
        let pointless = superseded(self.job.changes());
        let mut pointless = pointless.into_iter();
        self.job.retain(|_| !pointless.next().unwrap_or(false));
        let given_up = give_up_events(&mut self.job);
        (self.load, self.loads) = weigh(self.job.changes());
        let twice = Load { changes: 2 * self.load.changes, bytes: 2 * self.load.bytes };
        self.much = Load { changes: twice.changes.max(MUCH.changes), bytes: twice.bytes.max(MUCH.bytes) };
        given_up
    }
}

/// Leaves out the oldest events of apps that have too many of them, for one of their receivers, in a journal.
fn give_up_events(journal: &mut Job) -> GivenUp {
    let events = |change: &Change| match change {
        Change::PutEvent(event) => Some((event.line(), event.bytes())),
        _ => None,
    };
    let mut bytes: HashMap<Line, usize, foldhash::fast::RandomState> = HashMap::default();
    for (line, more) in journal.changes().filter_map(events) {
        *bytes.entry(line).or_default() += more;
    }
    bytes.retain(|_, bytes| *bytes > MOST_EVENT_BYTES);
    if bytes.is_empty() {
        return GivenUp::default();
    }
    let mut given_up = GivenUp::default();
    journal.retain(|change| {
        let Some((line, less)) = events(change) else { return true };
        match bytes.get_mut(&line) {
            Some(bytes) if *bytes > MOST_EVENT_BYTES => {
                *bytes -= less;
                given_up.note(line.1);
                false
            }
            _ => true,
        }
    });
    given_up
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Waiting>,
    load: Load,
    /// What of it is whose, for apps that have anything.
    loads: HashMap<SdkAppId, Load, foldhash::fast::RandomState>,
    /// How many of the jobs somebody waits for.
    awaited: usize,
    /// When the oldest journalled change came.
    since: Option<Instant>,
    /// How many events were given up of which nobody has heard.
    given_up: GivenUp,
    is_closed: bool,
}

impl State {
    /// Whether there is more of `app` than is free.
    fn is_full_for(&self, app: Option<SdkAppId>) -> bool {
        let load = app.and_then(|app| self.loads.get(&app)).copied().unwrap_or_default();
        self.load.changes + load.changes > MOST.changes || self.load.bytes + load.bytes > MOST.bytes
    }

    fn note(&mut self, load: Load, loads: &Loads) {
        self.load.add(load);
        for (app, load) in loads {
            self.loads.entry(*app).or_default().add(*load);
        }
    }

    fn forget(&mut self, load: Load, loads: &Loads) {
        self.load.take(load);
        for (app, load) in loads {
            if let Some(all) = self.loads.get_mut(app) {
                all.take(*load);
                if *all == Load::default() {
                    self.loads.remove(app);
                }
            }
        }
    }

    fn add(&mut self, waiting: Waiting) {
        self.note(waiting.load, &waiting.loads);
        self.awaited += usize::from(waiting.job.is_awaited());
        self.since.get_or_insert_with(Instant::now);
        self.jobs.push_back(waiting);
    }

    /// Adds to the journal behind all that somebody waits for.
    fn journal(&mut self, changes: Vec<Change>) {
        if self.jobs.back().is_none_or(|last| last.job.is_awaited()) {
            self.add(Waiting::new(Job::journalled(Vec::new()), None));
        }
        let (load, loads) = weigh(changes.iter());
        self.note(load, &loads);
        let Some(mut last) = self.jobs.pop_back() else { return };
        last.job.add(changes);
        last.load.add(load);
        match (loads.as_slice(), last.loads.last_mut()) {
            ([(app, more)], Some((known, load))) if app == known => load.add(*more),
            _ => last.loads.extend(loads),
        }
        if last.load.changes >= last.much.changes || last.load.bytes >= last.much.bytes {
            self.forget(last.load, &last.loads);
            self.given_up.add(last.look_through());
            self.note(last.load, &last.loads);
        }
        self.jobs.push_back(last);
    }

    fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.jobs.pop_front()?;
        self.forget(waiting.load, &waiting.loads);
        self.awaited -= usize::from(waiting.job.is_awaited());
        if self.jobs.is_empty() {
            self.since = None;
        }
        Some(waiting)
    }
}

/// What is written next.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) jobs: Vec<Job>,
    /// Who waits for each.
    pub(crate) waiting: Vec<Option<Done>>,
    /// How many events were given up before they could be written.
    pub(crate) given_up: GivenUp,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

impl Queue {
    /// Adds a job for which `done` waits. Refused when the queue is closed, or when its app has as much in the queue as there
    /// may be.
    pub(crate) fn push(&self, changes: Vec<Change>, done: Done) -> Result<(), Error> {
        let waiting = Waiting::new(Job::awaited(changes), Some(done));
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(Error::Closed);
        }
        if state.is_full_for(waiting.loads.first().map(|(app, _)| *app)) {
            return Err(Error::Behind);
        }
        state.add(waiting);
        self.filled.notify_one();
        Ok(())
    }

    /// Adds what nobody waits for. Refused only when the queue is closed.
    pub(crate) fn journal(&self, changes: Vec<Change>) -> Result<(), Error> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(Error::Closed);
        }
        let was_empty = state.jobs.is_empty();
        state.journal(changes);
        if was_empty || state.load.changes >= GROUP {
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
        let waiting: Vec<Waiting> = std::iter::from_fn(|| state.pop()).collect();
        drop(state);
        waiting.into_iter().for_each(|waiting| answer(waiting.done, Err(Error::Closed)));
    }

    /// Takes jobs back that the disk refused. What was journalled comes before all others, in one job: what a later
    /// change makes pointless is left out, and no crash shall see the rest of it without that change. Nothing else can
    /// be written before it, so that whoever waits is refused as well.
    pub(crate) fn put_back(&self, refused: Vec<(Job, Option<Done>)>, error: &Error) {
        let mut units = Vec::new();
        let mut awaited = Vec::new();
        let mut state = self.state.lock();
        let waiting = std::iter::from_fn(|| state.pop()).map(|waiting| (waiting.job, waiting.done));
        for (job, done) in refused.into_iter().chain(waiting) {
            if job.is_awaited() {
                awaited.push(done);
            } else {
                units.extend(job.into_units());
            }
        }
        let mut journal = Waiting::new(Job::journalled(units), None);
        state.given_up.add(journal.look_through());
        if !journal.job.is_empty() {
            state.add(journal);
        }
        drop(state);
        awaited.into_iter().for_each(|done| answer(done, Err(error.clone())));
    }

    /// Waits, but not for longer than until the queue is closed.
    pub(crate) fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut state = self.state.lock();
        while !state.is_closed && !self.filled.wait_until(&mut state, until).timed_out() {}
    }

    /// The next group to commit; waits for it. An empty one when there is nothing until `at_latest`. `None` when the
    /// queue is closed and empty.
    pub(crate) fn take(&self, at_latest: Option<Instant>) -> Option<Group> {
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
                return Some(Group::default());
            }
            match due.into_iter().chain(at_latest).min() {
                Some(until) => drop(self.filled.wait_until(&mut state, until)),
                None => self.filled.wait(&mut state),
            }
        }
        let mut group = Group { given_up: std::mem::take(&mut state.given_up), ..Group::default() };
        let mut changes = 0;
        while changes < GROUP
            && let Some(Waiting { job, done, .. }) = state.pop()
        {
            changes += job.len();
            group.jobs.push(job);
            group.waiting.push(done);
        }
        Some(group)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::sync::Arc;

    use rooms::{Counters, SessionId};

    use super::*;
    use crate::samples::{ann, event, presence, scope, session};

    fn refused(group: Group) -> Vec<(Job, Option<Done>)> {
        group.jobs.into_iter().zip(group.waiting).collect()
    }

    fn changes(group: &Group) -> Vec<Change> {
        group.jobs.iter().flat_map(|job| job.changes().cloned()).collect()
    }

    #[test]
    fn what_was_put_back_is_due_without_anybody_else() {
        let queue = Queue::default();
        queue.journal(vec![Change::DeleteSession(SessionId(1))]).unwrap();
        let group = queue.take(None).unwrap();

        queue.put_back(refused(group), &Error::DiskFull);

        let again = queue.take(Some(Instant::now() + Duration::from_secs(10))).unwrap();
        assert_eq!(changes(&again), [Change::DeleteSession(SessionId(1))]);
    }

    #[test]
    fn a_journal_that_is_put_back_keeps_what_is_still_true_and_nobody_waits_behind_it() {
        let queue = Queue::default();
        let journal = |change| queue.journal(vec![change]).unwrap();
        journal(Change::PutSession(session(1)));
        journal(Change::PutSession(session(2)));
        let (done, mut answer) = oneshot::channel();
        queue.push(vec![Change::PutSession(session(3))], done).unwrap();
        let group = queue.take(None).unwrap();
        let (done, mut late_answer) = oneshot::channel();
        queue.push(Vec::new(), done).unwrap();
        journal(Change::DeleteSession(SessionId(1)));

        queue.put_back(refused(group), &Error::DiskFull);

        for answer in [&mut answer, &mut late_answer] {
            assert!(matches!(answer.try_recv(), Ok(Some(Err(Error::DiskFull)))));
        }
        let group = queue.take(None).unwrap();
        assert_eq!(group.jobs.len(), 1, "it is written whole or not at all");
        let left = [Change::PutSession(session(2)), Change::DeleteSession(SessionId(1))];
        assert_eq!(changes(&group), left);
        assert!(queue.take(Some(Instant::now())).unwrap().jobs.is_empty());
    }

    #[test]
    fn a_commit_stays_between_what_was_journalled_before_it_and_after_it() {
        let queue = Queue::default();
        let put = |seen| Change::PutPresence(crate::Presence { seen, ..presence(1, scope(1)) });
        queue.journal(vec![put(1)]).unwrap();
        queue.push(vec![Change::DeleteMember(scope(1), ann())], oneshot::channel().0).unwrap();
        for seen in 2..10_000 {
            queue.journal(vec![put(seen)]).unwrap();
        }

        let group = queue.take(None).unwrap();

        let written = changes(&group);
        assert_eq!(written[..2], [put(1), Change::DeleteMember(scope(1), ann())]);
        assert_eq!(written.last(), Some(&put(9_999)));
        assert!(written.len() < 2 * MUCH.changes, "{}", written.len());
    }

    /// What has to be written of a minute of members who come and go, a thousand a second in a hundred rooms, each with a
    /// session of its own; a try in between every half second.
    #[test]
    fn a_journal_is_bounded_by_the_rows_that_exist_however_long_the_disk_refuses() {
        const ROOMS: i64 = 100;
        const A_SECOND: u64 = 1000;
        const SECONDS: u64 = 60;
        let queue = Queue::default();
        let mut most = Load::default();
        for number in 0..SECONDS * A_SECOND {
            let room = scope((number % ROOMS.unsigned_abs()).cast_signed());
            queue.journal(vec![Change::AddSession(session(number))]).unwrap();
            let counters = Change::PutCounters(room, Counters::default());
            queue.journal(vec![Change::AddPresence(presence(number, room)), counters]).unwrap();
            // Each stays for a second.
            if let Some(gone) = number.checked_sub(A_SECOND) {
                queue.journal(vec![Change::DeletePresence(room, ann(), SessionId(gone))]).unwrap();
                queue.journal(vec![Change::DeleteSession(SessionId(gone))]).unwrap();
            }
            let load = queue.state.lock().load;
            most = Load { changes: load.changes.max(most.changes), bytes: load.bytes.max(most.bytes) };
            if number % (A_SECOND / 2) == 0 {
                let group = queue.take(None).unwrap();
                queue.put_back(refused(group), &Error::DiskFull);
            }
        }
        println!("at most {} changes and {} bytes wait", most.changes, most.bytes);
        let group = queue.take(None).unwrap();
        queue.put_back(refused(group), &Error::DiskFull);

        let left = queue.state.lock().load;
        let sessions_and_presence = 2 * A_SECOND as usize;
        assert_eq!(left.changes, sessions_and_presence + ROOMS as usize);
        assert!(most.changes <= left.changes + 5 * A_SECOND as usize, "{most:?}");
    }

    /// As above while one write hangs, so that nothing is put back; others wait for theirs.
    #[test]
    fn a_write_that_hangs_is_no_reason_to_keep_what_is_pointless() {
        let queue = Queue::default();
        queue.push(Vec::new(), oneshot::channel().0).unwrap();
        let under_way = queue.take(None).unwrap();
        for number in 0..100_000 {
            queue.journal(vec![Change::AddPresence(presence(number, scope(1)))]).unwrap();
            queue.journal(vec![Change::DeletePresence(scope(1), ann(), SessionId(number))]).unwrap();
            if number == 50_000 {
                queue.push(Vec::new(), oneshot::channel().0).unwrap();
            }
        }

        assert!(queue.state.lock().load.changes <= 2 * MUCH.changes + 1);
        queue.put_back(refused(under_way), &Error::DiskFull);
        let state = queue.state.lock();
        assert_eq!((state.load, state.jobs.len(), state.loads.len()), (Load::default(), 0, 0));
    }

    #[test]
    fn those_who_wait_for_nothing_but_the_journal_are_counted_too() {
        let queue = Queue::default();
        let is_taken = || queue.push(Vec::new(), oneshot::channel().0).is_ok();

        let taken = (0..2 * MOST.changes).take_while(|_| is_taken()).count();

        assert_eq!(taken, MOST.changes + 1);
    }

    #[test]
    fn an_app_s_oldest_events_are_given_up_when_the_journal_has_too_many_of_them() {
        let queue = Queue::default();
        let body = "x".repeat(1 << 20);
        let put = |app, id| vec![Change::PutEvent(Arc::new(event(SdkAppId(app), id, &body)))];
        for id in 0..100 {
            queue.journal(put(1, id)).unwrap();
        }
        queue.journal(put(2, 100)).unwrap();
        queue.journal(vec![Change::PutSession(session(1))]).unwrap();
        let group = queue.take(None).unwrap();
        let before = group.given_up;

        queue.put_back(refused(group), &Error::DiskFull);

        let group = queue.take(None).unwrap();
        let kept = changes(&group);
        assert_eq!(kept.last(), Some(&Change::PutSession(session(1))));
        let ids = kept.iter().filter_map(|change| match change {
            Change::PutEvent(event) => Some(event.id),
            _ => None,
        });
        assert_eq!(ids.collect::<Vec<_>>(), (69..=100).collect::<Vec<_>>());
        assert_eq!(before.webhooks + group.given_up.webhooks, 69);
    }

    #[test]
    fn an_app_may_have_as_much_as_is_free_by_memory_too() {
        let queue = Queue::default();
        let body = "x".repeat(1 << 20);
        let put = |app| Change::PutEvent(Arc::new(event(SdkAppId(app), 1, &body)));
        let is_taken = |app| queue.push(vec![put(app)], oneshot::channel().0).is_ok();

        let greedy = (0..100).take_while(|_| is_taken(1)).count();
        assert_eq!(greedy, 32, "half of it");
        assert!(queue.is_full_for(SdkAppId(1)) && !queue.is_full_for(SdkAppId(2)));
        let second = (0..100).take_while(|_| is_taken(2)).count();
        assert_eq!(second, 16, "half of what is left");
        assert!(is_taken(3));

        // What nobody waits for is taken all the same, and leaves less for those who ask.
        for id in 0..20 {
            let event = event(SdkAppId(4), id, &body);
            queue.journal(vec![Change::PutEvent(event.into())]).unwrap();
        }
        assert!(queue.is_full_for(SdkAppId(5)));
        while queue.take(Some(Instant::now())).is_some_and(|group| !group.jobs.is_empty()) {}
        assert!(!queue.is_full_for(SdkAppId(1)) && queue.state.lock().loads.is_empty());
    }
}
