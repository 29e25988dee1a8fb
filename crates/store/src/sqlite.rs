//! SQLite behind the [`Store`] trait: WAL, `synchronous=FULL`, one thread that writes and one that reads.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use futures_channel::oneshot;
use rooms::SdkAppId;
use rusqlite::Connection;

use crate::database::{check, connect, refuse_orphan, trust};
use crate::outbox::{self, Outbox};
use crate::queue::Job;
use crate::reader::Reader;
use crate::rows::{records, rows, unsigned};
use crate::schema::{self, VERSION};
use crate::writer::{Database, Shared, Writer};
use crate::{
    App, Change, Commit, Error, EventsWanted, OnCommit, OutboxEvent, Reading, Snapshot, Store, tables,
};

/// The database's name in the data folder.
pub const FILE_NAME: &str = "roomful.db";

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
        let snapshot = tables::read(&connection, &outbox)?;

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
