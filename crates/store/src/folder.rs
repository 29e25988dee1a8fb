//! What is asked of a data folder, also while a server runs on it.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::database::{FILE_NAME, connect, refuse_orphan, trust};
use crate::rows::records;
use crate::schema::{API_KEYS_SINCE, VERSION};
use crate::{ApiKey, App, Error, OutboxEvent, outbox};

/// Reads the dead letters of a data folder, oldest first, also while a server runs on it: `each` is given them one by
/// one.
///
/// # Errors
/// As [`read_apps`].
pub fn for_each_failed_event(folder: &Path, mut each: impl FnMut(OutboxEvent)) -> Result<(), Error> {
    let connection = connect_existing(folder)?;
    // All are webhooks'; a folder that only an older server has written knows no other lane.
    let mut statement = connection.prepare(
        "SELECT id, sdkappid, 0, subject, command, body, at FROM outbox WHERE failed = 1 ORDER BY id",
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
    outbox::dead_letters(&connect_existing(folder)?)
}

/// Reads the apps of a data folder, also while a server runs on it.
///
/// # Errors
/// As [`crate::Sqlite::open`]; [`Error::Other`] when there is no database yet.
pub fn read_apps(folder: &Path) -> Result<Vec<App>, Error> {
    let connection = connect_existing(folder)?;
    records(&connection, "SELECT record FROM apps ORDER BY sdkappid")
}

/// Reads the keys of the RTC API that a data folder has, oldest first, also while a server runs on it.
///
/// # Errors
/// As [`read_apps`].
pub fn read_api_keys(folder: &Path) -> Result<Vec<ApiKey>, Error> {
    let connection = connect_existing(folder)?;
    // A folder that only an older server has written has none.
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version < API_KEYS_SINCE {
        return Ok(Vec::new());
    }
    let mut keys: Vec<ApiKey> = records(&connection, "SELECT record FROM api_keys")?;
    keys.sort_by(|one, other| (one.created_at, &one.secret_id).cmp(&(other.created_at, &other.secret_id)));
    Ok(keys)
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
