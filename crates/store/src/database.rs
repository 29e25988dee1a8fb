//! The file: opened, checked, and refused when it is not ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::Error;
use crate::schema::{APPLICATION_ID, VERSION};

/// The database's name in the data folder.
pub const FILE_NAME: &str = "roomful.db";

/// Refuses a database that is missing or empty while its write-ahead log is not: SQLite would delete the log.
pub(crate) fn refuse_orphan(path: &Path) -> Result<(), Error> {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let wal = PathBuf::from(wal);
    let is_empty = |path: &Path| fs::metadata(path).map_or(true, |file| file.len() == 0);
    if is_empty(path) && !is_empty(&wal) {
        return Err(Error::Orphaned { path: path.into(), wal });
    }
    Ok(())
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
pub(crate) fn trust(connection: &Connection) -> Result<(), Error> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(())
}

/// Refuses what cannot be used; returns the schema's version, 0 for a new file.
pub(crate) fn check(connection: &Connection, path: &Path) -> Result<i64, Error> {
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
