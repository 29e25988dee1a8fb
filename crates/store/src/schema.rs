//! The database's schema, by version. A migration is never changed once released; a new one is added below it.

use rusqlite::Connection;

use crate::Error;

/// Marks a file as ours ("Room" in ASCII), so that a foreign database is refused instead of changed.
pub(crate) const APPLICATION_ID: i64 = 0x526F_6F6D;

/// Step N brings a database from version N to N + 1.
const MIGRATIONS: &[&str] = &[
    "
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
",
    "
    ALTER TABLE rooms ADD COLUMN counters TEXT NOT NULL DEFAULT '{}';
    UPDATE rooms SET counters = json_object('views', views, 'last_seq', last_seq);
    ALTER TABLE rooms DROP COLUMN views;
    ALTER TABLE rooms DROP COLUMN last_seq;
    CREATE TABLE records (
        sdkappid INTEGER NOT NULL,
        room_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (sdkappid, room_id, kind, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE messages (
        sdkappid INTEGER NOT NULL,
        room_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (sdkappid, room_id, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE catalogues (
        sdkappid INTEGER NOT NULL,
        key TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (sdkappid, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE battles (
        sdkappid INTEGER NOT NULL,
        id TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (sdkappid, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE connections (
        sdkappid INTEGER NOT NULL,
        id INTEGER NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (sdkappid, id)
    ) STRICT, WITHOUT ROWID;
    DELETE FROM sessions;
    CREATE TABLE presence (
        sdkappid INTEGER NOT NULL,
        room_id TEXT NOT NULL,
        user TEXT NOT NULL,
        session INTEGER NOT NULL,
        place INTEGER NOT NULL,
        seen INTEGER NOT NULL,
        PRIMARY KEY (sdkappid, room_id, user, session)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX presence_by_session ON presence (session);
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY,
        sdkappid INTEGER NOT NULL,
        subject TEXT NOT NULL,
        command TEXT NOT NULL,
        body TEXT NOT NULL,
        at INTEGER NOT NULL,
        failed INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX outbox_failed ON outbox (id) WHERE failed = 1;
",
    "
    ALTER TABLE outbox ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE outbox SET turn = id,
        bytes = length(CAST(subject AS BLOB)) + length(CAST(command AS BLOB)) + length(CAST(body AS BLOB));
    CREATE INDEX outbox_by_app ON outbox (sdkappid, failed, turn, bytes);
    CREATE INDEX outbox_by_subject ON outbox (sdkappid, subject, failed, turn);
",
    // A room's number is given here, and its rows come along by its name. What is in a record is not looked at: incarnations
    // beyond 2^63 are no integers to SQLite.
    "
    ALTER TABLE rooms RENAME TO former_rooms;
    ALTER TABLE records RENAME TO former_records;
    ALTER TABLE messages RENAME TO former_messages;
    ALTER TABLE presence RENAME TO former_presence;
    CREATE TABLE rooms (
        scope INTEGER PRIMARY KEY AUTOINCREMENT,
        sdkappid INTEGER NOT NULL,
        room_id TEXT NOT NULL,
        record TEXT NOT NULL,
        counters TEXT NOT NULL DEFAULT '{}',
        UNIQUE (sdkappid, room_id)
    ) STRICT;
    INSERT INTO rooms (sdkappid, room_id, record, counters)
        SELECT sdkappid, room_id, record, counters FROM former_rooms ORDER BY sdkappid, room_id;
    CREATE TABLE records (
        scope INTEGER NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (scope, kind, name)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO records (scope, kind, name, record)
        SELECT rooms.scope, former.kind, former.name, former.record
        FROM former_records AS former JOIN rooms USING (sdkappid, room_id);
    CREATE TABLE messages (
        scope INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (scope, seq)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO messages (scope, seq, record)
        SELECT rooms.scope, former.seq, former.record
        FROM former_messages AS former JOIN rooms USING (sdkappid, room_id);
    CREATE TABLE presence (
        scope INTEGER NOT NULL,
        user TEXT NOT NULL,
        session INTEGER NOT NULL,
        place INTEGER NOT NULL,
        seen INTEGER NOT NULL,
        PRIMARY KEY (scope, user, session)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO presence (scope, user, session, place, seen)
        SELECT rooms.scope, former.user, former.session, former.place, former.seen
        FROM former_presence AS former JOIN rooms USING (sdkappid, room_id);
    DROP TABLE former_rooms;
    DROP TABLE former_records;
    DROP TABLE former_messages;
    DROP TABLE former_presence;
",
    "
    CREATE TABLE api_keys (
        secret_id TEXT PRIMARY KEY,
        record TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE intents (
        sdkappid INTEGER NOT NULL,
        key TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (sdkappid, key)
    ) STRICT, WITHOUT ROWID;
",
    "
    ALTER TABLE presence ADD COLUMN stay INTEGER NOT NULL DEFAULT 0;
",
    "
    ALTER TABLE outbox ADD COLUMN lane INTEGER NOT NULL DEFAULT 0;
    DROP INDEX outbox_by_app;
    CREATE INDEX outbox_by_app ON outbox (sdkappid, lane, failed, turn, bytes);
",
];

/// The version that has keys of the RTC API.
pub(crate) const API_KEYS_SINCE: i64 = 5;

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
