//! The database's schema, by version. A migration is never changed once released; a new one is added below it.

use rusqlite::Connection;

use crate::Error;

/// Marks a file as ours ("Room" in ASCII), so that a foreign database is refused instead of changed.
pub(crate) const APPLICATION_ID: i64 = 0x526F_6F6D;

/// Step N brings a database from version N to N + 1.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE apps (
        sdkappid INTEGER PRIMARY KEY,
        record TEXT NOT NULL
    ) STRICT;
    CREATE TABLE accounts (
        sdkappid INTEGER NOT NULL,
        user TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (sdkappid, user)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE rooms (
        sdkappid INTEGER NOT NULL,
        room_id TEXT NOT NULL,
        record TEXT NOT NULL,
        views INTEGER NOT NULL DEFAULT 0,
        last_seq INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (sdkappid, room_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY,
        record TEXT NOT NULL
    ) STRICT;
"];

/// The newest version this program knows.
#[allow(clippy::cast_possible_wrap, reason = "a handful of migrations")]
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Brings an opened database to [`VERSION`], each step in a transaction of its own.
pub(crate) fn migrate(connection: &mut Connection, from: i64) -> Result<(), Error> {
    let done = usize::try_from(from).unwrap_or(0);
    for (version, sql) in (from + 1..).zip(MIGRATIONS.iter().skip(done)) {
        let step = connection.transaction()?;
        step.execute_batch(sql)?;
        step.pragma_update(None, "user_version", version)?;
        step.pragma_update(None, "application_id", APPLICATION_ID)?;
        step.commit()?;
    }
    Ok(())
}
