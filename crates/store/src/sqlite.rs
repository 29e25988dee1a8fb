//! SQLite behind the [`Store`] trait: WAL, `synchronous=FULL`, one thread that writes and one that reads.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use rooms::{CatalogueChange, RECENT_MESSAGES, RoomId, SdkAppId, SessionId, UserId};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Row, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::outbox::{self, Outbox, Told};
use crate::queue::Job;
use crate::reader::Reader;
use crate::schema::{self, APPLICATION_ID, VERSION};
use crate::writer::{Database, Shared, Writer};
use crate::{
    App, Change, Commit, Error, EventsWanted, OutboxEvent, Presence, Reading, Snapshot, Store, WaitingEvent,
};

/// The database's name in the data folder.
pub const FILE_NAME: &str = "roomful.db";

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

/// The SQLite store of a data folder.
#[derive(Debug)]
pub struct Sqlite {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    reader: Option<Reader>,
}

impl Sqlite {
    /// Opens the database in `folder`, making both when they are not there, checks and migrates it, and reads it.
    ///
    /// # Errors
    /// [`Error::Foreign`], [`Error::Newer`], [`Error::Damaged`] and [`Error::Orphaned`] refuse a file; the others say
    /// what failed.
    pub fn open(folder: &Path, on_commit: OnCommit) -> Result<(Self, Snapshot), Error> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let path = folder.join(FILE_NAME);
        refuse_orphan(&path)?;
        // SQLite gives its journal files the mode of the database, so the mode is set where it is made.
        OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        let mut connection = connect(&path)?;
        let version = check(&connection, &path)?;
        schema::migrate(&mut connection, version)?;
        trust(&connection)?;
        let outbox = Outbox::read(&connection)?;
        let snapshot = read(&connection, &outbox)?;

        let shared = Arc::new(Shared::default());
        let reader = Reader::start(path.clone())?;
        let writer = Writer::new(path, Database { connection, outbox }, on_commit);
        let its = shared.clone();
        let writer = std::thread::Builder::new().name("store".into()).spawn(move || writer.run(its))?;
        Ok((Self { shared, writer: Some(writer), reader: Some(reader) }, snapshot))
    }
}

impl Store for Sqlite {
    fn commit(&self, changes: Vec<Change>) -> Commit {
        let (done, answer) = oneshot::channel();
        let sent = self.shared.queue.push(Job::awaited(changes, done));
        Box::pin(async move {
            sent?;
            answer.await.unwrap_or(Err(Error::Closed))
        })
    }

    fn journal(&self, changes: Vec<Change>) {
        // Refused only once the store is closed, when there is nobody left to tell.
        let _ = self.shared.queue.push(Job::journalled(changes));
    }

    fn is_behind(&self, app: SdkAppId) -> bool {
        self.shared.queue.is_full_for(app)
    }

    fn health(&self) -> Result<(), Error> {
        self.shared.health.check(Instant::now())
    }

    fn waiting_events(&self, wanted: EventsWanted) -> Reading {
        match &self.reader {
            Some(reader) => reader.ask(wanted),
            None => Box::pin(std::future::ready(Err(Error::Closed))),
        }
    }
}

impl Drop for Sqlite {
    /// Finishes what was accepted. The writer is the last to close the database.
    fn drop(&mut self) {
        self.reader = None;
        self.shared.queue.close();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Refuses a database that is missing or empty while its write-ahead log is not: SQLite would delete the log.
fn refuse_orphan(path: &Path) -> Result<(), Error> {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let wal = PathBuf::from(wal);
    let is_empty = |path: &Path| fs::metadata(path).map_or(true, |file| file.len() == 0);
    if is_empty(path) && !is_empty(&wal) {
        return Err(Error::Orphaned { path: path.into(), wal });
    }
    Ok(())
}

/// A connection to write by, and what is known of the outbox.
pub(crate) fn open_database(path: &Path) -> Result<Database, Error> {
    let connection = connect(path)?;
    trust(&connection)?;
    let outbox = Outbox::read(&connection)?;
    Ok(Database { connection, outbox })
}

pub(crate) fn connect(path: &Path) -> Result<Connection, Error> {
    refuse_orphan(path)?;
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(Duration::from_secs(5))?;
    // Closing would bring the write-ahead log into the database, which may turn out not to be ours.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
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
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// From now on, the last one to close the database brings the write-ahead log into it.
fn trust(connection: &Connection) -> Result<(), Error> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(())
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

/// Applies a change; returns what has become of the event in it, when it is one.
pub(crate) fn apply(
    to: &Transaction<'_>,
    outbox: &mut Outbox,
    change: &Change,
) -> Result<Option<Told>, Error> {
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
        Change::DeleteRoom(app, room_id) => {
            for table in ["presence", "messages", "records", "rooms"] {
                to.prepare_cached(&format!("DELETE FROM {table} WHERE sdkappid = ? AND room_id = ?"))?
                    .execute(params![app.0, room_id.as_str()])?;
            }
            Ok(0)
        }
        Change::PutRecord(app, room_id, record) => {
            let key = record.key();
            to.prepare_cached(
                "INSERT OR REPLACE INTO records (sdkappid, room_id, kind, name, record) VALUES (?, ?, ?, ?, ?)",
            )?
            .execute(params![app.0, room_id.as_str(), key.kind, key.name, json(record)?])
        }
        Change::DeleteRecord(app, room_id, key) => to
            .prepare_cached("DELETE FROM records WHERE sdkappid = ? AND room_id = ? AND kind = ? AND name = ?")?
            .execute(params![app.0, room_id.as_str(), key.kind, key.name]),
        Change::PutCounters(app, room_id, counters) => to
            .prepare_cached("UPDATE rooms SET counters = ? WHERE sdkappid = ? AND room_id = ?")?
            .execute(params![json(counters)?, app.0, room_id.as_str()]),
        Change::PutMessage(app, room_id, message) => {
            to.prepare_cached("INSERT OR REPLACE INTO messages (sdkappid, room_id, seq, record) VALUES (?, ?, ?, ?)")?
                .execute(params![app.0, room_id.as_str(), signed(message.seq), json(message)?])?;
            let last_forgotten = message.seq.saturating_sub(RECENT_MESSAGES as u64);
            to.prepare_cached("DELETE FROM messages WHERE sdkappid = ? AND room_id = ? AND seq <= ?")?
                .execute(params![app.0, room_id.as_str(), signed(last_forgotten)])
        }
        Change::Catalogue(app, CatalogueChange::Put(record)) => to
            .prepare_cached("INSERT OR REPLACE INTO catalogues (sdkappid, key, record) VALUES (?, ?, ?)")?
            .execute(params![app.0, record.key(), json(record)?]),
        Change::Catalogue(app, CatalogueChange::Delete(key)) => to
            .prepare_cached("DELETE FROM catalogues WHERE sdkappid = ? AND key = ?")?
            .execute(params![app.0, key]),
        Change::PutBattle(app, battle) => to
            .prepare_cached("INSERT OR REPLACE INTO battles (sdkappid, id, record) VALUES (?, ?, ?)")?
            .execute(params![app.0, battle.id, json(battle)?]),
        Change::DeleteBattle(app, id) => {
            to.prepare_cached("DELETE FROM battles WHERE sdkappid = ? AND id = ?")?.execute(params![app.0, id])
        }
        Change::PutConnection(app, connection) if connection.rooms.len() < 2 => to
            .prepare_cached("DELETE FROM connections WHERE sdkappid = ? AND id = ?")?
            .execute(params![app.0, signed(connection.id)]),
        Change::PutConnection(app, connection) => to
            .prepare_cached("INSERT OR REPLACE INTO connections (sdkappid, id, record) VALUES (?, ?, ?)")?
            .execute(params![app.0, signed(connection.id), json(connection)?]),
        Change::PutSession(session) => to
            .prepare_cached("INSERT OR REPLACE INTO sessions (id, record) VALUES (?, ?)")?
            .execute(params![signed(session.id.0), json(session)?]),
        Change::DeleteSession(id) => {
            to.prepare_cached("DELETE FROM presence WHERE session = ?")?.execute(params![signed(id.0)])?;
            to.prepare_cached("DELETE FROM sessions WHERE id = ?")?.execute(params![signed(id.0)])
        }
        Change::PutPresence(presence) => to
            .prepare_cached(
                "INSERT OR REPLACE INTO presence (sdkappid, room_id, user, session, place, seen) VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                presence.sdkappid.0,
                presence.room_id.as_str(),
                presence.user.as_str(),
                signed(presence.session.0),
                signed(presence.place),
                signed(presence.seen)
            ]),
        Change::DeletePresence(session, app, room_id) => to
            .prepare_cached("DELETE FROM presence WHERE session = ? AND sdkappid = ? AND room_id = ?")?
            .execute(params![signed(session.0), app.0, room_id.as_str()]),
        Change::DeleteMember(app, room_id, user) => to
            .prepare_cached("DELETE FROM presence WHERE sdkappid = ? AND room_id = ? AND user = ?")?
            .execute(params![app.0, room_id.as_str(), user.as_str()]),
        Change::PutEvent(event) => return outbox.put(to, event).map(Some),
        Change::DeleteEvent(id) => return outbox.delete(to, *id).map(|()| None),
        Change::FailEvent(id) => return outbox.fail(to, *id).map(|()| None),
        Change::ReviveEvent(id, at) => return outbox.revive(to, *id, *at),
    };
    done?;
    Ok(None)
}

fn read(connection: &Connection, outbox: &Outbox) -> Result<Snapshot, Error> {
    let app = |row: &Row<'_>| row.get(0).map(SdkAppId);
    let last_event = connection.query_row("SELECT coalesce(max(id), 0) FROM outbox", [], |row| row.get(0))?;
    Ok(Snapshot {
        apps: records(connection, "SELECT record FROM apps ORDER BY sdkappid")?,
        accounts: rows(connection, "SELECT sdkappid, record FROM accounts", |row| {
            Ok((app(row)?, record(row, 1)?))
        })?,
        rooms: rows(connection, "SELECT sdkappid, record, counters FROM rooms", |row| {
            Ok((app(row)?, record(row, 1)?, record(row, 2)?))
        })?,
        records: rows(connection, "SELECT sdkappid, room_id, record FROM records", |row| {
            Ok((app(row)?, room_id(row, 1)?, record(row, 2)?))
        })?,
        messages: rows(connection, "SELECT sdkappid, room_id, record FROM messages ORDER BY seq", |row| {
            Ok((app(row)?, room_id(row, 1)?, record(row, 2)?))
        })?,
        catalogues: rows(connection, "SELECT sdkappid, record FROM catalogues", |row| {
            Ok((app(row)?, record(row, 1)?))
        })?,
        battles: rows(connection, "SELECT sdkappid, record FROM battles", |row| {
            Ok((app(row)?, record(row, 1)?))
        })?,
        connections: rows(connection, "SELECT sdkappid, record FROM connections", |row| {
            Ok((app(row)?, record(row, 1)?))
        })?,
        sessions: records(connection, "SELECT record FROM sessions")?,
        presence: rows(
            connection,
            "SELECT sdkappid, room_id, user, session, place, seen FROM presence",
            |row| {
                Ok(Presence {
                    sdkappid: app(row)?,
                    room_id: room_id(row, 1)?,
                    user: UserId::parse(&row.get::<_, String>(2)?).map_err(unreadable)?,
                    session: SessionId(unsigned(row.get(3)?)),
                    place: unsigned(row.get(4)?),
                    seen: unsigned(row.get(5)?),
                })
            },
        )?,
        waiting: outbox.newest().to_vec(),
        last_event: unsigned(last_event),
    })
}

/// Reads the dead letters of a data folder, oldest first, also while a server runs on it: `each` is given them one by
/// one.
///
/// # Errors
/// As [`read_apps`].
pub fn for_each_failed_event(folder: &Path, mut each: impl FnMut(OutboxEvent)) -> Result<(), Error> {
    let connection = connect_existing(folder)?;
    let mut statement = connection.prepare(
        "SELECT id, sdkappid, subject, command, body, at FROM outbox WHERE failed = 1 ORDER BY id",
    )?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        each(outbox::event(row)?);
    }
    Ok(())
}

/// The ids of the dead letters of a data folder, oldest first.
///
/// # Errors
/// As [`read_apps`].
pub fn failed_event_ids(folder: &Path) -> Result<Vec<u64>, Error> {
    let sql = "SELECT id FROM outbox WHERE failed = 1 ORDER BY id";
    rows(&connect_existing(folder)?, sql, |row| Ok(unsigned(row.get(0)?)))
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
    refuse_orphan(&path)?;
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
    trust(&connection)?;
    Ok(connection)
}

fn records<T: DeserializeOwned>(connection: &Connection, sql: &str) -> Result<Vec<T>, Error> {
    rows(connection, sql, |row| record(row, 0))
}

pub(crate) fn rows<T>(
    connection: &Connection,
    sql: &str,
    read: impl Fn(&Row<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

fn record<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T, Error> {
    serde_json::from_str(&row.get::<_, String>(column)?).map_err(unreadable)
}

fn room_id(row: &Row<'_>, column: usize) -> Result<RoomId, Error> {
    RoomId::parse(&row.get::<_, String>(column)?).map_err(unreadable)
}

fn json<T: Serialize>(record: &T) -> Result<String, Error> {
    serde_json::to_string(record).map_err(|error| Error::Other(error.to_string()))
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::Other(format!("a record cannot be read: {error}"))
}

/// SQLite's integers are signed; the bits are kept.
pub(crate) fn signed(value: u64) -> i64 {
    value.cast_signed()
}

pub(crate) fn unsigned(value: i64) -> u64 {
    value.cast_unsigned()
}
