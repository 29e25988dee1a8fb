//! The writer: the one thread that writes.
//!
//! It takes whatever has queued up, has the engine keep it and answers everyone at once, so the cost of reaching the disk is
//! shared. Whoever is refused hears why; the next group is tried afresh, so the store heals as soon as the disk does. Nobody
//! hears anything of what is neither kept nor refused: it is written again, before all else, until it is one of the two.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::{Engine, GivenUp, Kept, Refused};
use crate::health::Health;
use crate::queue::{Done, Group, Queue, answer};
use crate::{Error, Job, WaitingEvent};

/// How long the writer waits before it tries again what the disk refused.
pub(crate) const RETRY: Duration = Duration::from_millis(500);

/// How often it tries to find out what has become of a group once the store is being closed.
const LAST_TRIES: u32 = 4;

/// How many events are kept for a listener that panics; the oldest of more are on disk alone.
const MOST_UNHEARD: usize = 10_000;

/// A group of changes that is on disk.
pub struct Committed {
    /// How long it took.
    pub took: Duration,
    /// How many changes it held.
    pub changes: usize,
    /// The events among them that wait to be sent, in order. One may come twice, the second time with a later group.
    pub events: Vec<WaitingEvent>,
    /// How many events are given up from the beginning, since too many of their app wait.
    pub given_up: GivenUp,
    /// How many events wait by now, of all apps.
    pub waiting: u64,
}

/// Called by the writer after each commit, before those who wait are answered.
pub type OnCommit = Box<dyn Fn(Committed) + Send>;

/// What is shared with those who ask.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) health: Health,
}

pub(crate) struct Writer {
    engine: Box<dyn Engine>,
    on_commit: OnCommit,
    /// How long it waits before it tries again.
    retry: Duration,
    /// Events that are on disk and of which nobody has heard.
    unheard: Vec<WaitingEvent>,
    /// How many were given up of which nobody has heard.
    given_up: GivenUp,
}

/// Says that nothing will be written any more, however the thread ends.
struct Last(Arc<Shared>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.health.note_last();
        self.0.queue.close();
        self.0.queue.refuse_all();
    }
}

impl Writer {
    pub(crate) fn new(engine: Box<dyn Engine>, on_commit: OnCommit, retry: Duration) -> Self {
        Self { engine, on_commit, retry, unheard: Vec::new(), given_up: GivenUp::default() }
    }

    pub(crate) fn run(mut self, shared: Arc<Shared>) {
        let last = Last(shared);
        let Shared { queue, health } = &*last.0;
        loop {
            // While nobody else writes, trouble is looked after: who waits for the server to be well sends it nothing.
            let is_uneasy = health.is_failing() || !self.unheard.is_empty();
            let patience = if is_uneasy { Some(self.retry) } else { self.engine.idle() };
            let Some(group) = queue.take(patience.map(|patience| Instant::now() + patience)) else { return };
            self.given_up.add(group.given_up);
            let goes_on = if group.jobs.is_empty() {
                self.probe(is_uneasy, queue, health)
            } else {
                self.write(group, queue, health)
            };
            if !goes_on {
                return;
            }
        }
    }

    fn probe(&mut self, is_uneasy: bool, queue: &Queue, health: &Health) -> bool {
        let started = Instant::now();
        health.note_begin();
        let probed = self.engine.probe();
        let probed = probed.map_err(|refused| refused.error().clone());
        health.note_end(&probed);
        match probed {
            Ok(()) => {
                if is_uneasy {
                    self.tell(started, 0, Vec::new());
                }
                true
            }
            // Whoever has come meanwhile finds out for itself, and may be let wait for it to be well.
            Err(_) if !is_uneasy => true,
            Err(error) => self.give_back(queue, Vec::new(), &error),
        }
    }

    /// Writes a group until each of its jobs is kept or refused. `false` when nothing more will be written.
    fn write(&mut self, group: Group, queue: &Queue, health: &Health) -> bool {
        let Group { mut jobs, mut waiting, .. } = group;
        for tries in 1.. {
            let started = Instant::now();
            health.note_begin();
            let results = self.engine.write(&jobs);
            debug_assert_eq!(results.len(), jobs.len(), "a result for each");
            health.note_end(&trouble(&results));
            self.tell_kept(started, &jobs, &results);

            let mut kept = Vec::new();
            let (mut refused, mut unknown, mut why) = (Vec::new(), Vec::new(), Error::Unknown);
            for ((job, done), result) in jobs.into_iter().zip(waiting).zip(results) {
                match result {
                    Ok(_) => kept.push(done),
                    Err(Refused::Ever(error)) => answer(done, Err(error)),
                    // Of one that may be there already, a refusal says nothing.
                    Err(Refused::Now(error)) if tries == 1 => {
                        refused.push((job, done));
                        why = error;
                    }
                    Err(Refused::Now(error) | Refused::Unknown(error)) => {
                        unknown.push((job, done));
                        why = error;
                    }
                }
            }
            // The last first: who waits for several in turn is woken by the first, and finds the others answered.
            kept.into_iter().rev().for_each(|done| answer(done, Ok(())));
            if unknown.is_empty() {
                return refused.is_empty() || self.give_back(queue, refused, &why);
            }
            (jobs, waiting) = unknown.into_iter().unzip();
            if queue.is_closed() && tries >= LAST_TRIES {
                return leave_open(waiting, &why);
            }
            log(
                || tracing::error!(error = %why, "it is not known whether a commit is on disk; it is written again"),
            );
            match queue.is_closed() {
                true => std::thread::sleep(self.retry),
                false => queue.pause(self.retry),
            }
        }
        false
    }

    fn tell_kept(&mut self, started: Instant, jobs: &[Job], results: &[Result<Kept, Refused>]) {
        let (mut changes, mut events, mut is_any) = (0, Vec::new(), false);
        for (job, result) in jobs.iter().zip(results) {
            let Ok(kept) = result else { continue };
            is_any = true;
            changes += job.len();
            events.extend(kept.events.iter().cloned());
            self.given_up.add(kept.given_up);
        }
        if is_any {
            self.tell(started, changes, events);
        }
    }

    fn tell(&mut self, started: Instant, changes: usize, events: Vec<WaitingEvent>) {
        self.unheard.extend(events);
        let committed = Committed {
            took: started.elapsed(),
            changes,
            events: self.unheard.clone(),
            given_up: self.given_up,
            waiting: self.engine.waiting(),
        };
        // It is on disk, whatever becomes of those who listen.
        if catch_unwind(AssertUnwindSafe(|| (self.on_commit)(committed))).is_ok() {
            self.unheard.clear();
            self.given_up = GivenUp::default();
        }
        let too_many = self.unheard.len().saturating_sub(MOST_UNHEARD);
        self.unheard.drain(..too_many);
    }

    /// Puts back what was journalled and refuses the rest, then waits a little. `false` when it is too late to try again.
    fn give_back(&self, queue: &Queue, refused: Vec<(Job, Option<Done>)>, error: &Error) -> bool {
        let is_closed = queue.is_closed();
        log(|| {
            let jobs = refused.len();
            tracing::error!(%error, jobs, "commit failed; what somebody waits for is refused");
        });
        queue.put_back(refused, error);
        if is_closed {
            log(|| tracing::error!("the end of the presence journal could not be written"));
            return false;
        }
        queue.pause(self.retry);
        true
    }
}

/// What the disk is to be blamed for.
fn trouble(results: &[Result<Kept, Refused>]) -> Result<(), Error> {
    let refused = results.iter().filter_map(|result| result.as_ref().err());
    match refused.into_iter().find(|refused| refused.is_trouble()) {
        Some(refused) => Err(refused.error().clone()),
        None => Ok(()),
    }
}

/// The store is being closed, and nobody will know.
fn leave_open(waiting: Vec<Option<Done>>, error: &Error) -> bool {
    waiting.into_iter().for_each(|done| answer(done, Err(Error::Unknown)));
    log(|| tracing::error!(%error, "it is not known whether the last commit is on disk"));
    false
}

/// Says something, if that can be done: where a log goes may be gone.
fn log(say: impl FnOnce()) {
    // The panic was said already, as far as anything can be.
    let _ = catch_unwind(AssertUnwindSafe(say));
}
