//! SQLite: one file, a write-ahead log, `synchronous=FULL`.
//!
//! A group of jobs is one transaction. When one of them can never be kept it is rolled back, and each is written alone.
//!
//! When COMMIT fails, SQLite has rolled back what it knows, but the transaction may be in the log all the same, beyond the
//! end that SQLite goes by: whole, when it was syncing that failed, or enlarging the log's index. Whoever opens the file
//! after a crash would find it there. So nothing is said then; the next commit is written over it, and as long as none
//! succeeds the outcome stays unknown. The connection is kept meanwhile: another one might read the log anew.

use std::fs::{self, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::slice;

use rusqlite::{Connection, ErrorCode, TransactionBehavior, ffi};

use crate::database::{FILE_NAME, check, connect, refuse_orphan, trust};
use crate::engine::{Engine, Kept, Read, Refused};
use crate::outbox::{self, Outbox};
use crate::parts::{Living, Part, Rooms, Told, note};
use crate::queued::Queued;
use crate::schema::{self, VERSION};
use crate::superseded::superseded;
use crate::tables;
use crate::writer::OnCommit;
use crate::{Error, EventPage, EventsWanted, Job, Snapshot};

/// The SQLite database of a data folder.
pub struct Sqlite {
    path: PathBuf,
    /// Gone after a failure that may have left it unusable; opened again when it is needed.
    database: Option<Database>,
    /// Whether the last write failed.
    is_failing: bool,
    /// Whether the last commit may be in the log.
    is_unknown: bool,
    /// The next event's turn.
    turn: u64,
}

/// The connection, and what is known of what is behind it.
struct Database {
    connection: Connection,
    outbox: Outbox,
    living: Living,
}

impl Sqlite {
    /// Opens the database in `folder`, making both when they are not there, checks and migrates it, reads it, and begins to
    /// write.
    ///
    /// # Errors
    /// [`Error::Foreign`], [`Error::Newer`], [`Error::Damaged`] and [`Error::Orphaned`] refuse a file; the others say
    /// what failed.
    pub fn open(folder: &Path, on_commit: OnCommit) -> Result<(Queued, Snapshot), Error> {
        Queued::start(Box::new(Self::at(folder)?), on_commit)
    }

    /// The same without anybody who writes.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn at(folder: &Path) -> Result<Self, Error> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let path = folder.join(FILE_NAME);
        refuse_orphan(&path)?;
        // SQLite gives its journal files the mode of the database, so the mode is set where it is made.
        OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        let mut connection = connect(&path)?;
        let version = check(&connection, &path)?;
        schema::migrate(&mut connection, version)?;
        let database = Database::with(connection)?;
        let turn = database.outbox.ledger().next_turn();
        Ok(Self { path, database: Some(database), is_failing: false, is_unknown: false, turn })
    }

    fn database(&mut self) -> Result<&Database, Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => Database::open(&self.path)?,
        };
        Ok(self.database.insert(database))
    }

    /// Writes `parts` in one transaction.
    fn attempt(&mut self, parts: &[Part<'_>]) -> Result<Vec<Result<Kept, Error>>, Refused> {
        // A panic may come again with the same changes.
        let unforeseen =
            |_| Err(Refused::Ever(Error::Unfit("writing it failed in an unforeseen way".into())));
        let done = catch_unwind(AssertUnwindSafe(|| self.commit(parts))).unwrap_or_else(unforeseen);
        self.is_failing = matches!(&done, Err(refused) if refused.is_trouble());
        match &done {
            Ok(_) => self.is_unknown = false,
            Err(Refused::Unknown(_)) => self.is_unknown = true,
            // What went wrong this time did not undo what may have been written before; another commit does.
            Err(Refused::Ever(_)) if self.is_unknown && self.commit(&[]).is_ok() => {
                self.is_unknown = false;
            }
            Err(refused) if self.is_unknown => return Err(Refused::Unknown(refused.error().clone())),
            Err(_) => {}
        }
        done
    }

    fn commit(&mut self, parts: &[Part<'_>]) -> Result<Vec<Result<Kept, Error>>, Refused> {
        let mut database = match self.database.take() {
            Some(database) => database,
            None => Database::open(&self.path).map_err(before_commit)?,
        };
        self.turn = self.turn.max(database.outbox.ledger().next_turn());
        database.outbox.set_next_turn(self.turn);
        let written = database.write(parts, parts.is_empty() || self.is_failing);
        match &written {
            Ok(_) => {
                self.turn = database.outbox.ledger().next_turn();
                self.database = Some(database);
            }
            // What is known of the tables counts what was rolled back.
            Err(_) => self.database = database.look_again().ok(),
        }
        written
    }

    /// Writes the jobs one by one: at least one of them can never be kept, and is given up.
    fn write_each(&mut self, jobs: &[Job]) -> Vec<Result<Kept, Refused>> {
        let mut stopped: Option<Refused> = None;
        let write = |job: &Job| {
            if let Some(stopped) = &stopped {
                return Err(stopped.clone());
            }
            let result = self.write_alone(job);
            stopped = result.as_ref().err().filter(|refused| refused.is_trouble()).cloned();
            result
        };
        jobs.iter().map(write).collect()
    }

    fn write_alone(&mut self, job: &Job) -> Result<Kept, Refused> {
        if job.is_awaited() {
            let part = Part::of(job);
            let kept = self.attempt(&[part])?.into_iter().next();
            return kept.unwrap_or_else(|| Ok(Kept::default())).map_err(Refused::Ever);
        }
        let mut all = Kept::default();
        for unit in job.units() {
            let part = Part { units: slice::from_ref(unit), is_awaited: false };
            match self.attempt(&[part]) {
                Ok(kept) => {
                    for kept in kept.into_iter().flatten() {
                        all.events.extend(kept.events);
                        all.given_up.add(kept.given_up);
                    }
                }
                Err(Refused::Ever(error)) => {
                    // Where a log goes may be gone.
                    let _ = catch_unwind(|| tracing::error!(%error, "a change was given up"));
                }
                Err(refused) => return Err(refused),
            }
        }
        Ok(all)
    }
}

impl Engine for Sqlite {
    fn write(&mut self, jobs: &[Job]) -> Vec<Result<Kept, Refused>> {
        let parts: Vec<Part<'_>> = jobs.iter().map(Part::of).collect();
        match self.attempt(&parts) {
            Ok(results) => results.into_iter().map(|result| result.map_err(Refused::Ever)).collect(),
            Err(Refused::Ever(_)) => self.write_each(jobs),
            Err(refused) => jobs.iter().map(|_| Err(refused.clone())).collect(),
        }
    }

    fn probe(&mut self) -> Result<(), Refused> {
        self.attempt(&[]).map(drop)
    }

    fn load(&mut self) -> Result<Snapshot, Error> {
        let database = self.database()?;
        tables::read(&database.connection, &database.outbox)
    }

    fn scopes(&mut self) -> Result<Range<i64>, Error> {
        Ok(tables::last_scope(&self.database()?.connection)?.saturating_add(1)..i64::MAX)
    }

    fn waiting(&self) -> u64 {
        self.database.as_ref().map_or(0, |database| database.outbox.ledger().waiting())
    }

    fn reader(&self) -> Box<dyn Read> {
        Box::new(Beside { path: self.path.clone(), connection: None })
    }
}

impl Database {
    fn open(path: &Path) -> Result<Self, Error> {
        Self::with(connect(path)?)
    }

    fn with(connection: Connection) -> Result<Self, Error> {
        trust(&connection)?;
        let outbox = Outbox::read(&connection)?;
        let living = tables::living(&connection)?;
        Ok(Self { connection, outbox, living })
    }

    fn look_again(self) -> Result<Self, Error> {
        Self::with(self.connection)
    }

    /// Writes `parts` in one transaction. `is_to_touch`: whether it can be written is seen by writing; what there is may
    /// change nothing.
    fn write(&mut self, parts: &[Part<'_>], is_to_touch: bool) -> Result<Vec<Result<Kept, Error>>, Refused> {
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(|error| before_commit(error.into()))?;
        let mut rooms = Rooms::of(&self.living);
        let (mut results, changes) = rooms.sort_out(parts);
        let pointless = superseded(changes.iter().map(|(_, change)| *change));
        let outbox = &mut self.outbox;
        let apply = || {
            if is_to_touch {
                transaction.pragma_update(None, "user_version", VERSION)?;
            }
            let of_use = changes.iter().zip(pointless).filter(|(_, is_pointless)| !is_pointless);
            for ((part, change), _) in of_use {
                let told = tables::apply(&transaction, outbox, change)?;
                let Some(Ok(kept)) = results.get_mut(*part) else { continue };
                match told {
                    Some(Told::Waits(event)) => kept.events.push(event),
                    Some(Told::GivenUp(lane)) => kept.given_up.note(lane),
                    None => {}
                }
            }
            Ok(())
        };
        apply().map_err(before_commit)?;
        let said = transaction.execute_batch("COMMIT");
        // Where it is still open, it is rolled back and not on disk.
        let is_open = !transaction.is_autocommit();
        drop(transaction);
        match said {
            Ok(()) => {}
            Err(error) if is_open || is_not_written(&error) => return Err(before_commit(error.into())),
            Err(error) => return Err(Refused::Unknown(error.into())),
        }
        let changed = rooms.changed();
        note(&mut self.living, changed);
        Ok(results)
    }
}

/// Nothing of it can be on disk.
fn before_commit(error: Error) -> Refused {
    match error {
        Error::Unfit(_) => Refused::Ever(error),
        _ => Refused::Now(error),
    }
}

/// Whether a COMMIT that failed with `error` cannot be in the log as a whole: its last page was not written, so that no
/// checksum fits it.
fn is_not_written(error: &rusqlite::Error) -> bool {
    let rusqlite::Error::SqliteFailure(failure, _) = error else { return false };
    match failure.code {
        ErrorCode::DiskFull
        | ErrorCode::ReadOnly
        | ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::ConstraintViolation => true,
        _ => failure.extended_code == ffi::SQLITE_IOERR_WRITE,
    }
}

/// A connection that only reads.
struct Beside {
    path: PathBuf,
    /// Gone after a failure; opened again for the next question.
    connection: Option<Connection>,
}

impl Beside {
    fn read<T>(&mut self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let connection = connect(&self.path)?;
                connection.pragma_update(None, "query_only", true)?;
                connection
            }
        };
        let answer = read(&connection)?;
        self.connection = Some(connection);
        Ok(answer)
    }
}

impl Read for Beside {
    fn waiting_events(&mut self, wanted: &EventsWanted) -> Result<EventPage, Error> {
        self.read(|connection| outbox::page(connection, wanted))
    }

    fn dead_letters(&mut self) -> Result<Vec<u64>, Error> {
        self.read(outbox::dead_letters)
    }
}
