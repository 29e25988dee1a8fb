//! SQLite behind the [`Store`] trait: WAL, `synchronous=FULL`, one writer thread.
//!
//! The writer takes whatever has queued up, applies it in one transaction and answers everyone at once, so the cost of
//! reaching the disk is shared. A transaction that fails is rolled back whole and each of its callers hears why; the
//! next one is tried afresh, so the store heals as soon as the disk does.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use rooms::SdkAppId;
use rusqlite::{Connection, OpenFlags, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::schema::{self, APPLICATION_ID, VERSION};
use crate::{App, Change, Commit, Error, RoomCounters, Snapshot, Store};

/// The database's name in the data folder.
pub const FILE_NAME: &str = "roomful.db";

/// How many commits may wait for the writer; beyond it new ones are refused with [`Error::Behind`].
const QUEUE: usize = 16_384;

/// How many changes one transaction takes in at most, so that nobody waits for an endless one.
const GROUP: usize = 4096;

/// Called after each commit with how long it took and how many changes it held.
pub type OnCommit = Box<dyn Fn(Duration, usize) + Send>;

struct Job {
    changes: Vec<Change>,
    done: oneshot::Sender<Result<(), Error>>,
}

/// The SQLite store of a data folder.
#[derive(Debug)]
pub struct Sqlite {
    queue: Option<SyncSender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl Sqlite {
    /// Opens the database in `folder`, making both when they are not there, checks and migrates it, and reads it.
    ///
    /// # Errors
    /// [`Error::Foreign`], [`Error::Newer`] and [`Error::Damaged`] refuse a file; the others say what failed.
    pub fn open(folder: &Path, on_commit: OnCommit) -> Result<(Self, Snapshot), Error> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let path = folder.join(FILE_NAME);
        // SQLite gives its journal files the mode of the database, so the mode is set where it is made.
        OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        let mut connection = connect(&path)?;
        let version = check(&connection, &path)?;
        schema::migrate(&mut connection, version)?;
        let snapshot = read(&connection)?;

        let (queue, jobs) = sync_channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || Writer { path, connection: Some(connection), on_commit }.run(&jobs))?;
        Ok((Self { queue: Some(queue), writer: Some(writer) }, snapshot))
    }
}

impl Store for Sqlite {
    fn commit(&self, changes: Vec<Change>) -> Commit {
        let (done, answer) = oneshot::channel();
        let sent = match &self.queue {
            Some(queue) => queue.try_send(Job { changes, done }).map_err(|error| match error {
                TrySendError::Full(_) => Error::Behind,
                TrySendError::Disconnected(_) => Error::Closed,
            }),
            None => Err(Error::Closed),
        };
        Box::pin(async move {
            sent?;
            answer.await.unwrap_or(Err(Error::Closed))
        })
    }
}

impl Drop for Sqlite {
    /// Finishes what was accepted.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

struct Writer {
    path: PathBuf,
    /// Gone after a failure that may have left it unusable; opened again for the next group.
    connection: Option<Connection>,
    on_commit: OnCommit,
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut changes = first.changes.len();
            let mut group = vec![first];
            while changes < GROUP
                && let Ok(job) = jobs.try_recv()
            {
                changes += job.changes.len();
                group.push(job);
            }

            let started = Instant::now();
            let result = self.commit(&group);
            match &result {
                Ok(()) => (self.on_commit)(started.elapsed(), changes),
                Err(error) => {
                    tracing::error!(%error, changes, "commit failed; all of its changes are refused")
                }
            }
            for job in group {
                let _ = job.done.send(result.clone());
            }
        }
    }

    fn commit(&mut self, group: &[Job]) -> Result<(), Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.path)?,
        };
        let result = (|| {
            let transaction =
                connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            for change in group.iter().flat_map(|job| &job.changes) {
                apply(&transaction, change)?;
            }
            Ok(transaction.commit()?)
        })();
        if result.is_ok() {
            self.connection = Some(connection);
        }
        result
    }
}

fn connect(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(Duration::from_secs(5))?;
    let foreign = |_| Error::Foreign(path.into());
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(
        |error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => foreign(()),
            Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
                Error::Damaged { path: path.into(), detail: error.to_string() }
            }
            _ => error.into(),
        },
    )?;
    // Before anything is written: a database that is not ours must stay as it is.
    let id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if id != APPLICATION_ID && (id != 0 || tables > 0) {
        return Err(foreign(()));
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Refuses what cannot be used; returns the schema's version, 0 for a new file.
fn check(connection: &Connection, path: &Path) -> Result<i64, Error> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > VERSION {
        return Err(Error::Newer { path: path.into(), found, known: VERSION });
    }
    let detail: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .unwrap_or_else(|error| error.to_string());
    if detail != "ok" {
        return Err(Error::Damaged { path: path.into(), detail });
    }
    Ok(found)
}

fn apply(to: &Transaction<'_>, change: &Change) -> Result<(), Error> {
    let done = match change {
        Change::PutApp(app) => to
            .prepare_cached("INSERT OR REPLACE INTO apps (sdkappid, record) VALUES (?, ?)")?
            .execute(params![app.sdkappid.0, json(app)?]),
        Change::PutAccount(app, account) => to
            .prepare_cached("INSERT OR REPLACE INTO accounts (sdkappid, user, record) VALUES (?, ?, ?)")?
            .execute(params![app.0, account.user.as_str(), json(account)?]),
        Change::DeleteAccount(app, user) => to
            .prepare_cached("DELETE FROM accounts WHERE sdkappid = ? AND user = ?")?
            .execute(params![app.0, user.as_str()]),
        Change::PutRoom(app, info) => to
            .prepare_cached(
                "INSERT INTO rooms (sdkappid, room_id, record) VALUES (?, ?, ?)
                 ON CONFLICT DO UPDATE SET record = excluded.record",
            )?
            .execute(params![app.0, info.room_id.as_str(), json(info)?]),
        Change::DeleteRoom(app, room_id) => to
            .prepare_cached("DELETE FROM rooms WHERE sdkappid = ? AND room_id = ?")?
            .execute(params![app.0, room_id.as_str()]),
        Change::PutRoomCounters(app, room_id, counters) => to
            .prepare_cached("UPDATE rooms SET views = ?, last_seq = ? WHERE sdkappid = ? AND room_id = ?")?
            .execute(params![signed(counters.views), signed(counters.last_seq), app.0, room_id.as_str()]),
        Change::PutSession(session) => to
            .prepare_cached("INSERT OR REPLACE INTO sessions (id, record) VALUES (?, ?)")?
            .execute(params![signed(session.id.0), json(session)?]),
        Change::DeleteSession(id) => {
            to.prepare_cached("DELETE FROM sessions WHERE id = ?")?.execute(params![signed(id.0)])
        }
    };
    done?;
    Ok(())
}

fn read(connection: &Connection) -> Result<Snapshot, Error> {
    let mut snapshot = Snapshot {
        apps: records(connection, "SELECT record FROM apps ORDER BY sdkappid")?,
        ..Snapshot::default()
    };
    let mut accounts = connection.prepare("SELECT sdkappid, record FROM accounts")?;
    let mut rows = accounts.query([])?;
    while let Some(row) = rows.next()? {
        snapshot.accounts.push((SdkAppId(row.get(0)?), parse(&row.get::<_, String>(1)?)?));
    }
    let mut rooms = connection.prepare("SELECT sdkappid, record, views, last_seq FROM rooms")?;
    let mut rows = rooms.query([])?;
    while let Some(row) = rows.next()? {
        let counters = RoomCounters { views: unsigned(row.get(2)?), last_seq: unsigned(row.get(3)?) };
        snapshot.rooms.push((SdkAppId(row.get(0)?), parse(&row.get::<_, String>(1)?)?, counters));
    }
    snapshot.sessions = records(connection, "SELECT record FROM sessions")?;
    Ok(snapshot)
}

/// Reads the apps of a data folder, also while a server runs on it.
///
/// # Errors
/// As [`Sqlite::open`]; [`Error::Other`] when there is no database yet.
pub fn read_apps(folder: &Path) -> Result<Vec<App>, Error> {
    let connection = connect_existing(folder)?;
    records(&connection, "SELECT record FROM apps ORDER BY sdkappid")
}

/// Writes a consistent copy of the database in `folder` to `to`, also while a server runs on it.
///
/// # Errors
/// [`Error::Other`] when `to` exists already or there is no database; else what failed.
pub fn backup(folder: &Path, to: &Path) -> Result<(), Error> {
    let connection = connect_existing(folder)?;
    if to.exists() {
        return Err(Error::Other(format!("{} exists already; a backup never overwrites", to.display())));
    }
    // Written under another name, so that the file is whole as soon as it is there.
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let _ = fs::remove_file(&part);
    OpenOptions::new().create_new(true).write(true).mode(0o600).open(&part)?;
    let written = (|| {
        let name = part.to_str().ok_or_else(|| Error::Other("the file's name is not UTF-8".into()))?;
        connection.execute("VACUUM INTO ?", [name])?;
        fs::File::open(&part)?.sync_all()?;
        Ok(fs::rename(&part, to)?)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

fn connect_existing(folder: &Path) -> Result<Connection, Error> {
    let path = folder.join(FILE_NAME);
    if !path.exists() {
        let folder = folder.display();
        return Err(Error::Other(format!(
            "there is no database in {folder}; `roomful serve --data {folder}` makes one"
        )));
    }
    let connection = connect(&path)?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > VERSION {
        return Err(Error::Newer { path, found, known: VERSION });
    }
    Ok(connection)
}

fn records<T: DeserializeOwned>(connection: &Connection, sql: &str) -> Result<Vec<T>, Error> {
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    rows.map(|text| parse(&text?)).collect()
}

fn json<T: Serialize>(record: &T) -> Result<String, Error> {
    serde_json::to_string(record).map_err(|error| Error::Other(error.to_string()))
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Other(format!("a record cannot be read: {error}")))
}

/// SQLite's integers are signed; the bits are kept.
fn signed(value: u64) -> i64 {
    value.cast_signed()
}

fn unsigned(value: i64) -> u64 {
    value.cast_unsigned()
}
