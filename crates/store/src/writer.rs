//! The writer: the one thread that changes the database.
//!
//! It takes whatever has queued up, applies it in one transaction and answers everyone at once, so the cost of reaching
//! the disk is shared. A transaction that fails is rolled back whole and each of its callers hears why; the next one is
//! tried afresh, so the store heals as soon as the disk does. One change that can never be kept costs nobody else
//! anything, and neither does a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::TransactionBehavior;

use crate::health::Health;
use crate::outbox::{Outbox, Told};
use crate::queue::{Job, Queue};
use crate::superseded::superseded;
use crate::{Change, Error, WaitingEvent, database, tables};

/// How long the writer waits before it tries again what the disk refused.
const RETRY: Duration = Duration::from_millis(500);

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
    /// How many events are dead letters from the beginning, since too many of their app wait.
    pub given_up: u64,
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

/// The connection, and what is known of what is behind it.
pub(crate) struct Database {
    pub(crate) connection: rusqlite::Connection,
    pub(crate) outbox: Outbox,
}

impl Database {
    fn open(path: &Path) -> Result<Self, Error> {
        let connection = database::connect(path)?;
        database::trust(&connection)?;
        let outbox = Outbox::read(&connection)?;
        Ok(Self { connection, outbox })
    }
}

pub(crate) struct Writer {
    path: PathBuf,
    /// Gone after a failure that may have left it unusable; opened again for the next group.
    database: Option<Database>,
    /// Whether the last write failed.
    is_failing: bool,
    /// The next event's turn.
    turn: u64,
    on_commit: OnCommit,
    /// Events that are on disk and of which nobody has heard.
    unheard: Vec<WaitingEvent>,
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
    pub(crate) fn new(path: PathBuf, database: Database, on_commit: OnCommit) -> Self {
        let turn = database.outbox.next_turn();
        Self { path, database: Some(database), is_failing: false, turn, on_commit, unheard: Vec::new() }
    }

    pub(crate) fn run(mut self, shared: Arc<Shared>) {
        let last = Last(shared);
        let Shared { queue, health } = &*last.0;
        loop {
            // While nobody else writes, trouble is looked after: who waits for the server to be well sends it nothing.
            let is_uneasy = health.is_failing() || !self.unheard.is_empty();
            let Some(group) = queue.take(is_uneasy.then(|| Instant::now() + RETRY)) else { return };
            health.note_begin();
            let result = self.write(&group);
            let is_hopeless = matches!(result, Err(Error::Unfit(_))) && !group.is_empty();
            if !is_hopeless {
                health.note_end(&result);
            }
            match result {
                Ok(()) => group.into_iter().for_each(|job| job.answer(Ok(()))),
                Err(_) if is_hopeless => {
                    let result = self.write_each(group, queue);
                    health.note_end(&result);
                }
                Err(error) => {
                    if !give_back(queue, group, &error) {
                        return;
                    }
                }
            }
        }
    }

    /// Writes the jobs one by one: at least one of them can never be kept, and is given up.
    fn write_each(&mut self, group: Vec<Job>, queue: &Queue) -> Result<(), Error> {
        let mut jobs = group.into_iter();
        while let Some(job) = jobs.next() {
            match self.write(std::slice::from_ref(&job)) {
                Ok(()) => job.answer(Ok(())),
                Err(error @ Error::Unfit(_)) => {
                    log(|| tracing::error!(%error, awaited = job.is_awaited(), "a change was given up"));
                    job.answer(Err(error));
                }
                Err(error) => {
                    give_back(queue, std::iter::once(job).chain(jobs).collect(), &error);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Commits a group and says so. A panic is an error: [`Error::Unfit`], for it may come again.
    fn write(&mut self, group: &[Job]) -> Result<(), Error> {
        let started = Instant::now();
        let changes = group.iter().map(|job| job.changes.len()).sum();
        let committed = catch_unwind(AssertUnwindSafe(|| self.commit(group)));
        let told =
            committed.unwrap_or_else(|_| Err(Error::Unfit("writing it failed in an unforeseen way".into())));
        self.is_failing = told.is_err();
        let told = told.inspect_err(|error| {
            log(|| tracing::error!(%error, changes, "commit failed; what somebody waits for is refused"));
        })?;
        let mut given_up = 0;
        for told in told {
            match told {
                Told::Waits(event) => self.unheard.push(event),
                Told::GivenUp => given_up += 1,
            }
        }
        let events = self.unheard.clone();
        let waiting = self.database.as_ref().map_or(0, |database| database.outbox.waiting());
        let committed = Committed { took: started.elapsed(), changes, events, given_up, waiting };
        // It is on disk, whatever becomes of those who listen.
        if catch_unwind(AssertUnwindSafe(|| (self.on_commit)(committed))).is_ok() {
            self.unheard.clear();
        }
        let too_many = self.unheard.len().saturating_sub(MOST_UNHEARD);
        self.unheard.drain(..too_many);
        Ok(())
    }

    fn commit(&mut self, group: &[Job]) -> Result<Vec<Told>, Error> {
        let mut database = match self.database.take() {
            Some(database) => database,
            None => Database::open(&self.path)?,
        };
        self.turn = self.turn.max(database.outbox.next_turn());
        database.outbox.set_next_turn(self.turn);
        let transaction = database.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let changes: Vec<&Change> = group.iter().flat_map(|job| &job.changes).collect();
        if group.is_empty() || self.is_failing {
            // Whether it can be written is seen by writing; what there is may change nothing.
            transaction.pragma_update(None, "user_version", crate::schema::VERSION)?;
        }
        let pointless = superseded(changes.iter().copied());
        let mut told = Vec::new();
        for (change, _) in changes.into_iter().zip(pointless).filter(|(_, is_pointless)| !is_pointless) {
            told.extend(tables::apply(&transaction, &mut database.outbox, change)?);
        }
        transaction.commit()?;
        self.turn = database.outbox.next_turn();
        self.database = Some(database);
        Ok(told)
    }
}

/// Puts back what was journalled and refuses the rest, then waits a little. `false` when it is too late to try again.
fn give_back(queue: &Queue, group: Vec<Job>, error: &Error) -> bool {
    let is_closed = queue.is_closed();
    queue.put_back(group, error);
    if is_closed {
        log(|| tracing::error!("the end of the presence journal could not be written"));
        return false;
    }
    queue.pause(RETRY);
    true
}

/// Says something, if that can be done: where a log goes may be gone.
fn log(say: impl FnOnce()) {
    // The panic was said already, as far as anything can be.
    let _ = catch_unwind(AssertUnwindSafe(say));
}
