//! PostgreSQL: a schema of a database that others may have too.
//!
//! A group of jobs is one transaction in two round trips: the claim is locked, then all changes and COMMIT are sent together.
//! When one of them can never be kept it is rolled back and written again with a savepoint before each job.
//!
//! When the connection is lost after COMMIT was sent, nobody knows whether it was done; its backend may still be at it. So every
//! group leaves its number with its changes, and the next connection asks for that number, once it has the claim's lock: by
//! then the former backend is through. Until it has an answer nothing is said of the group, and nothing else is written.

mod aside;
mod claim;
mod group;
mod link;
mod membership;
mod outbox;
mod pooler;
mod rows;
mod schema;
mod tables;
mod target;
mod tls;

use std::ops::Range;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::time::timeout;

pub use claim::{Identity, Standing};
pub use membership::{Cluster, Known, Membership, Said, forget, nodes};
pub use target::Target;

use claim::{Beat, claim};
use group::{Former, Transaction, Written, begin, unsure};
use link::{ANSWER, Call, Link, Trouble, silent};
use pooler::refuse_pooler;
use schema::Found;

use crate::engine::{Engine, Kept, Read, Refused};
use crate::ledger::Ledger;
use crate::parts::{Changed, Living, note};
use crate::queued::Queued;
use crate::schema::VERSION;
use crate::writer::OnCommit;
use crate::{ApiKey, App, Error, EventPage, EventsWanted, Job, OutboxEvent, Snapshot};

/// How long changes wait for a database that is away before they are refused.
const HOLD: Duration = Duration::from_secs(3);

/// How long is waited before it is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// How often it is looked at while nothing is written.
const IDLE: Duration = Duration::from_secs(2);

/// How long it may take to read everything.
const LONG: Duration = Duration::from_secs(600);

/// How long the last word may take.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A schema of a PostgreSQL database.
pub struct Postgres {
    runtime: Runtime,
    standing: Standing,
    /// `None` for a node of a cluster, whose beat is its own concern.
    _beat: Option<Beat>,
    target: Target,
    /// Our generation.
    generation: i64,
    /// Gone after a failure; made again when it is needed.
    link: Option<Link>,
    ledger: Ledger,
    /// Whether the ledger counts what was rolled back.
    is_stale: bool,
    living: Living,
    /// The number of the last group that is kept.
    kept: i64,
    /// The next event's turn.
    turn: u64,
    /// The group of which it is not known whether it is kept.
    former: Option<Former>,
}

impl Postgres {
    /// Connects to the database, makes or migrates the schema, claims it, reads it, and begins to write.
    ///
    /// # Errors
    /// [`Error::Unusable`] says what somebody has to do about it; the others say what failed.
    pub fn open(
        target: &Target,
        identity: &Identity,
        on_commit: OnCommit,
    ) -> Result<(Queued, Snapshot), Error> {
        // Where this is called others may have a runtime of their own on this thread.
        apart(|| Queued::start(Box::new(Self::at(target, identity)?), on_commit))
    }

    /// The same without anybody who writes. Not to be called from a thread of a runtime.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn at(target: &Target, identity: &Identity) -> Result<Self, Error> {
        Self::start(target, identity, false)
    }

    /// One that records are brought into: until [`Self::note_filled`], nobody else can begin with it.
    ///
    /// # Errors
    /// As [`Self::open`]; and [`Error::Unusable`] when there are records in it.
    pub(crate) fn to_fill(target: &Target, identity: &Identity) -> Result<Self, Error> {
        Self::start(target, identity, true)
    }

    fn start(target: &Target, identity: &Identity, is_to_fill: bool) -> Result<Self, Error> {
        let runtime = runtime()?;
        let (link, generation) =
            runtime.block_on(Self::begin(target, identity, is_to_fill)).map_err(|error| match error {
                Error::Away(text) => Error::Unusable(format!("the database cannot be reached: {text}")),
                error => error,
            })?;
        let standing = Standing::default();
        let beat = Beat::start(target.clone(), generation, standing.clone())?;
        Self::on(runtime, target, link, generation, standing, Some(beat))
    }

    /// That of a node whose generation has the claim; `standing` says when it is over.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_claimed(
        target: &Target,
        generation: i64,
        standing: Standing,
        on_commit: OnCommit,
    ) -> Result<(Queued, Snapshot), Error> {
        apart(|| {
            let runtime = runtime()?;
            let link = runtime.block_on(async {
                let link = Link::connect(target).await?;
                let Found::Ours { version, .. } = schema::look(&link, target).await? else {
                    return Err(Error::Other("a schema that was made is not there".into()));
                };
                schema::migrate(&link, target, version, generation).await?;
                Ok(link)
            })?;
            let engine = Self::on(runtime, target, link, generation, standing, None)?;
            Queued::start(Box::new(engine), on_commit)
        })
    }

    fn on(
        runtime: Runtime,
        target: &Target,
        link: Link,
        generation: i64,
        standing: Standing,
        beat: Option<Beat>,
    ) -> Result<Self, Error> {
        let mut engine = Self {
            runtime,
            standing,
            _beat: beat,
            target: target.clone(),
            generation,
            link: Some(link),
            ledger: Ledger::default(),
            is_stale: true,
            living: Living::default(),
            kept: 0,
            turn: 1,
            former: None,
        };
        engine.living = engine.ask(LONG, async |link| tables::living(link).await)?;
        engine.ledger = engine.ask(LONG, async |link| outbox::ledger(link).await)?;
        engine.is_stale = false;
        engine.turn = engine.ledger.next_turn();
        Ok(engine)
    }

    async fn begin(target: &Target, identity: &Identity, is_to_fill: bool) -> Result<(Link, i64), Error> {
        let mut link = Link::connect(target).await?;
        refuse_pooler(&link, target).await?;
        schema::make(&link, target).await?;
        let Found::Ours { version, is_being_filled } = schema::look(&link, target).await? else {
            return Err(Error::Other("a schema that was made is not there".into()));
        };
        if is_being_filled && !is_to_fill {
            return Err(Error::Unusable(format!(
                "records were to be brought into {target} and that was interrupted: run `roomful migrate` again, or \
                 DROP SCHEMA {} CASCADE",
                target.quoted_schema()
            )));
        }
        let rights = |trouble: Error| schema::rights(Trouble::Now(trouble), target);
        let generation = claim(&mut link, target, identity).await.map_err(rights)?;
        let begun = async {
            schema::migrate(&link, target, version, generation).await?;
            if is_to_fill {
                schema::empty(&link, target, is_being_filled).await?;
            }
            Ok(())
        };
        let begun: Result<(), Error> = begun.await;
        if let Err(error) = begun {
            let _ = claim::end(&mut link, generation).await;
            return Err(error);
        }
        Ok((link, generation))
    }

    /// All records are there.
    pub(crate) fn note_filled(&mut self) -> Result<(), Error> {
        self.ask(ANSWER, async |link| link.plain("DELETE FROM @.about WHERE key = 'filling'").await.map(drop))
    }

    /// Does something that does no harm when it is done twice, with a connection that is made if there is none.
    fn ask<T>(
        &mut self,
        most: Duration,
        what: impl AsyncFn(&mut Link) -> Result<T, Trouble>,
    ) -> Result<T, Error> {
        ask(&self.runtime, &self.target, &mut self.link, most, what)
    }

    /// Writes `jobs` in one transaction, or says why not.
    fn attempt(&mut self, jobs: &[Job], is_careful: bool) -> Result<Vec<Result<Kept, Error>>, Trouble> {
        self.standing.check()?;
        let changes: usize = jobs.iter().map(Job::len).sum();
        let most = ANSWER + Duration::from_millis(2) * u32::try_from(changes).unwrap_or(u32::MAX);
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.runtime.block_on(Link::connect(&self.target))?,
        };
        // What was not sent cannot have been done.
        debug_assert!(self.former.is_none());
        let transaction = Transaction {
            link: &mut link,
            generation: self.generation,
            kept: self.kept,
            ledger: &mut self.ledger,
            is_stale: &mut self.is_stale,
            turn: &mut self.turn,
            living: &self.living,
            former: &mut self.former,
        };
        let written = async { timeout(most, transaction.write(jobs, is_careful)).await };
        let written = self.runtime.block_on(written);
        let written = written.unwrap_or_else(|_| Err(Trouble::Lost(silent(most))));
        match written {
            Ok(Written { results, changed }) => {
                self.note_kept(changed);
                self.link = Some(link);
                Ok(results)
            }
            Err(trouble) => {
                self.is_stale = true;
                // One that is in a transaction that failed is of no use; a new one is made in no time.
                drop(link);
                if let Trouble::Now(error) = &trouble {
                    self.note_over(error);
                }
                Err(trouble)
            }
        }
    }

    fn note_kept(&mut self, changed: Changed) {
        self.kept += 1;
        self.former = None;
        note(&mut self.living, changed);
    }

    /// Finds out whether the former group is kept.
    fn resolve(&mut self) -> Result<bool, Error> {
        self.standing.check()?;
        let Some(former) = &self.former else { return Ok(false) };
        let (number, generation, kept) = (former.number, self.generation, self.kept);
        let resolved = self.ask(ANSWER, async |link| {
            let last = begin(link, generation, kept).await?;
            if last < number {
                link.call(&Call::new("ROLLBACK", [])).await?;
                return Ok(None);
            }
            // It may be on one machine only; once a standby has this one, it has all before it too.
            link.has_warned();
            let sign = [generation.into(), (last + 1).into()];
            link.call(&Call::new("INSERT INTO @.groups VALUES ($1, $2)", sign)).await?;
            link.call(&Call::new("COMMIT", [])).await?;
            match link.has_warned() {
                true => Err(Trouble::Lost(unsure())),
                false => Ok(Some(last + 1)),
            }
        });
        let resolved = resolved.inspect_err(|error| self.note_over(error))?;
        match (resolved, &mut self.former) {
            (Some(last), Some(former)) => {
                self.kept = last;
                self.is_stale = true;
                note(&mut self.living, std::mem::take(&mut former.changed));
            }
            _ => self.former = None,
        }
        Ok(resolved.is_some())
    }

    fn note_over(&self, error: &Error) {
        if matches!(error, Error::Superseded | Error::Rewound(_)) {
            self.standing.note_over(error);
        }
    }

    /// What the former group has come to, if there is one. `Err` while it is not known.
    fn former(&mut self) -> Result<Option<Vec<Result<Kept, Error>>>, Error> {
        match self.former.is_some() && self.resolve()? {
            true => Ok(self.former.take().and_then(|former| former.results)),
            false => Ok(None),
        }
    }
}

impl Engine for Postgres {
    fn write(&mut self, jobs: &[Job]) -> Vec<Result<Kept, Refused>> {
        let all = |refused: Refused| jobs.iter().map(|_| Err(refused.clone())).collect();
        let each = |results: Vec<Result<Kept, Error>>| {
            results.into_iter().map(|result| result.map_err(Refused::Ever)).collect()
        };
        let started = Instant::now();
        // Those who come again have waited.
        let hold = if self.former.is_some() { Duration::ZERO } else { HOLD };
        let mut is_careful = false;
        loop {
            let trouble = match self.former() {
                Ok(Some(results)) => return each(results),
                Ok(None) => match self.attempt(jobs, is_careful) {
                    Ok(results) => return each(results),
                    Err(Trouble::Ever(_)) if !is_careful => {
                        is_careful = true;
                        continue;
                    }
                    Err(Trouble::Ever(error)) => return all(Refused::Ever(error)),
                    Err(Trouble::Now(error)) => return all(Refused::Now(error)),
                    Err(Trouble::Lost(error) | Trouble::Again(error)) => error,
                },
                Err(error) => error,
            };
            if started.elapsed() >= hold {
                return all(match self.former {
                    Some(_) => Refused::Unknown(trouble),
                    None => Refused::Now(trouble),
                });
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn probe(&mut self) -> Result<(), Refused> {
        self.former().map_err(Refused::Unknown)?;
        let probed = match self.attempt(&[], false) {
            // It may have gone while nobody looked.
            Err(Trouble::Lost(_)) if self.former.is_none() => self.attempt(&[], false),
            probed => probed,
        };
        if let Some(former) = &mut self.former {
            former.results = None;
        }
        probed.map(drop).map_err(|trouble| Refused::Now(trouble.error()))
    }

    fn load(&mut self) -> Result<Snapshot, Error> {
        self.is_stale = true;
        let (snapshot, ledger) = self.ask(LONG, async |link| {
            link.call(&Call::new("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", [])).await?;
            let ledger = outbox::ledger(link).await?;
            let snapshot = tables::read(link, &ledger).await?;
            link.call(&Call::new("COMMIT", [])).await?;
            Ok((snapshot, ledger))
        })?;
        (self.ledger, self.is_stale) = (ledger, false);
        Ok(snapshot)
    }

    fn scopes(&mut self) -> Result<Range<i64>, Error> {
        let last = self.ask(ANSWER, async |link| tables::last_scope(link).await)?;
        Ok(last.saturating_add(1)..i64::MAX)
    }

    fn generation(&self) -> Option<i64> {
        Some(self.generation)
    }

    fn waiting(&self) -> u64 {
        self.ledger.waiting()
    }

    fn reader(&self) -> Box<dyn Read> {
        Box::new(Beside { target: self.target.clone(), runtime: None, link: None })
    }

    fn idle(&self) -> Option<Duration> {
        Some(IDLE)
    }
}

impl Drop for Postgres {
    /// Says that this generation is over, so that the next need not wait to find out.
    fn drop(&mut self) {
        if let (Ok(()), None, Some(mut link)) = (self.standing.check(), &self.former, self.link.take()) {
            let end = async { timeout(LAST_WORD, claim::end(&mut link, self.generation)).await };
            let _ = self.runtime.block_on(end);
        }
    }
}

/// A connection that only reads.
struct Beside {
    target: Target,
    /// Made by the thread that reads.
    runtime: Option<Runtime>,
    /// Gone after a failure; made again for the next question.
    link: Option<Link>,
}

impl Beside {
    fn read<T>(&mut self, what: impl AsyncFn(&mut Link) -> Result<T, Trouble>) -> Result<T, Error> {
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => runtime()?,
        };
        let runtime = self.runtime.insert(runtime);
        ask(runtime, &self.target, &mut self.link, ANSWER, what)
    }
}

impl Read for Beside {
    fn waiting_events(&mut self, wanted: &EventsWanted) -> Result<EventPage, Error> {
        self.read(async |link| outbox::page(link, wanted).await)
    }

    fn dead_letters(&mut self) -> Result<Vec<u64>, Error> {
        self.read(async |link| outbox::dead_letters(link).await)
    }
}

/// Does something that does no harm when it is done twice; a connection that has gone while nobody looked is no trouble.
fn ask<T>(
    runtime: &Runtime,
    target: &Target,
    link: &mut Option<Link>,
    most: Duration,
    what: impl AsyncFn(&mut Link) -> Result<T, Trouble>,
) -> Result<T, Error> {
    let once = async |link: &mut Option<Link>| {
        let mut its = match link.take() {
            Some(its) => its,
            None => Link::connect(target).await?,
        };
        let answer =
            timeout(most, what(&mut its)).await.unwrap_or_else(|_| Err(Trouble::Lost(silent(most))))?;
        *link = Some(its);
        Ok::<_, Trouble>(answer)
    };
    let was_there = link.is_some();
    runtime
        .block_on(async {
            match once(link).await {
                Err(Trouble::Lost(_)) if was_there => once(link).await,
                answer => answer,
            }
        })
        .map_err(Trouble::error)
}

/// A thread drives its own connections.
fn runtime() -> Result<Runtime, Error> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Does something on a thread of its own: the one this is called from may belong to a runtime, which may not wait.
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    let unforeseen = |_| Err(Error::Other("it ended in an unforeseen way".into()));
    std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(unforeseen)
}

/// A connection to a schema that is there, beside a server on it.
async fn beside(target: &Target) -> Result<Link, Error> {
    let link = Link::connect(target).await?;
    match schema::look(&link, target).await? {
        Found::Ours { version: VERSION, .. } => Ok(link),
        Found::Ours { version, .. } => Err(Error::Unusable(format!(
            "the schema {} at {target} is of an older Roomful (schema {version}); start a server on it first",
            target.quoted_schema()
        ))),
        Found::Nothing => Err(Error::Unusable(format!(
            "there is no schema {} at {target}; `roomful serve` makes it",
            target.quoted_schema()
        ))),
    }
}

/// Whether a server could begin on it, and what there is.
pub(crate) fn check(target: &Target) -> Result<String, Error> {
    apart(|| {
        runtime()?.block_on(async {
            let link = Link::connect(target).await?;
            refuse_pooler(&link, target).await?;
            Ok(match schema::look(&link, target).await? {
                Found::Nothing => format!("{target} can be used; the first start makes the schema"),
                Found::Ours { version, .. } => format!("{target} has records (schema {version})"),
            })
        })
    })
}

/// The apps, read beside a server.
pub(crate) fn read_apps(target: &Target) -> Result<Vec<App>, Error> {
    apart(|| {
        runtime()?.block_on(async { tables::apps(&mut beside(target).await?).await.map_err(Trouble::error) })
    })
}

/// The keys of the RTC API, read beside a server.
pub(crate) fn read_api_keys(target: &Target) -> Result<Vec<ApiKey>, Error> {
    apart(|| {
        runtime()?
            .block_on(async { tables::api_keys(&mut beside(target).await?).await.map_err(Trouble::error) })
    })
}

/// The ids of the dead letters, read beside a server.
pub(crate) fn failed_event_ids(target: &Target) -> Result<Vec<u64>, Error> {
    apart(|| {
        runtime()?.block_on(async {
            outbox::dead_letters(&mut beside(target).await?).await.map_err(Trouble::error)
        })
    })
}

/// The dead letters, read beside a server: `each` is given them one by one.
pub(crate) fn for_each_failed_event(target: &Target, each: impl FnMut(OutboxEvent)) -> Result<(), Error> {
    let (send, events) = std::sync::mpsc::sync_channel(1000);
    std::thread::scope(|scope| {
        let read = scope.spawn(move || {
            runtime()?.block_on(async {
                let mut link = beside(target).await?;
                // The error is that nobody wants more.
                outbox::for_each_dead_letter(&mut link, |event| drop(send.send(event))).await
            })
        });
        events.into_iter().for_each(each);
        read.join().unwrap_or_else(|_| Err(Error::Other("it ended in an unforeseen way".into())))
    })
}
