//! One day's databases: their tables, and what rows are in them.
//!
//! A day holds all that lived on it, also what began before. Its calls are *ready* once what was open at its beginning has
//! been carried over; until then the day before has the rest.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Statement, ToSql, Transaction, params};

use crate::ask::places;
use crate::files::{self, Day, Kind};
use crate::seconds::Seconds;
use crate::{Call, Error, Event, Quality, Served, Service, Spent, Stay, Unusual, Usage};

const VERSION: i64 = 1;

/// How many rows are put in by one statement: what it takes to begin one is shared, and each finds its place beside the last.
const ROWS_AT_ONCE: usize = 32;

const CALLS: &str = "
    CREATE TABLE calls (
        call INTEGER PRIMARY KEY,
        app INTEGER NOT NULL,
        room TEXT NOT NULL,
        number INTEGER NOT NULL,
        made INTEGER NOT NULL,
        ended INTEGER,
        cause INTEGER,
        creator TEXT NOT NULL,
        generation INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX calls_by_room ON calls (app, room, made);
    CREATE UNIQUE INDEX calls_by_id ON calls (app, number, made);
    CREATE INDEX calls_by_time ON calls (app, made, ended);
    CREATE INDEX calls_open ON calls (call) WHERE ended IS NULL;
    CREATE TABLE people (
        call INTEGER NOT NULL,
        who INTEGER NOT NULL,
        app INTEGER NOT NULL,
        user TEXT NOT NULL,
        PRIMARY KEY (call, who)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX people_by_user ON people (app, user, call, who);
    CREATE TABLE stays (
        call INTEGER NOT NULL,
        stay INTEGER NOT NULL,
        who INTEGER NOT NULL,
        left INTEGER,
        cause INTEGER,
        is_anchor INTEGER NOT NULL,
        terminal INTEGER NOT NULL,
        device TEXT NOT NULL,
        sdk TEXT NOT NULL,
        address TEXT NOT NULL,
        generation INTEGER NOT NULL,
        PRIMARY KEY (call, stay)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX stays_by_who ON stays (call, who);
    CREATE INDEX stays_open ON stays (call, stay) WHERE left IS NULL;
    CREATE TABLE events (
        call INTEGER NOT NULL,
        stay INTEGER NOT NULL,
        at INTEGER NOT NULL,
        n INTEGER NOT NULL,
        event INTEGER NOT NULL,
        media INTEGER NOT NULL,
        peer INTEGER NOT NULL,
        p1 INTEGER NOT NULL,
        p2 INTEGER NOT NULL,
        PRIMARY KEY (call, stay, at, n)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE unusual (
        app INTEGER NOT NULL,
        at INTEGER NOT NULL,
        call INTEGER NOT NULL,
        stay INTEGER NOT NULL,
        experience INTEGER NOT NULL,
        causes TEXT NOT NULL,
        PRIMARY KEY (app, at, call, stay, experience)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE beats (generation INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT;
    CREATE TABLE ready (is_ready INTEGER PRIMARY KEY) STRICT;
";

const QUALITY: &str = "
    CREATE TABLE quality (
        call INTEGER NOT NULL,
        stay INTEGER NOT NULL,
        t0 INTEGER NOT NULL,
        peer INTEGER NOT NULL,
        media INTEGER NOT NULL,
        packed BLOB NOT NULL,
        PRIMARY KEY (call, stay, t0, peer, media)
    ) STRICT, WITHOUT ROWID;
";

/// Of what a run of the server has counted the last row holds, which has the most; runs are added up.
const USAGE: &str = "
    CREATE TABLE usage (
        app INTEGER NOT NULL,
        slot INTEGER NOT NULL,
        call INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        room TEXT NOT NULL,
        audio INTEGER NOT NULL,
        sd INTEGER NOT NULL,
        hd INTEGER NOT NULL,
        fhd INTEGER NOT NULL,
        two_k INTEGER NOT NULL,
        four_k INTEGER NOT NULL,
        all_sd INTEGER NOT NULL,
        all_hd INTEGER NOT NULL,
        all_fhd INTEGER NOT NULL,
        all_two_k INTEGER NOT NULL,
        all_four_k INTEGER NOT NULL,
        PRIMARY KEY (app, slot, call, generation)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE service (
        app INTEGER NOT NULL,
        slot INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        video INTEGER NOT NULL,
        video_stalled INTEGER NOT NULL,
        audio INTEGER NOT NULL,
        audio_stalled INTEGER NOT NULL,
        delays INTEGER NOT NULL,
        short_delays INTEGER NOT NULL,
        asked INTEGER NOT NULL,
        let_in INTEGER NOT NULL,
        slow INTEGER NOT NULL,
        PRIMARY KEY (app, slot, generation)
    ) STRICT, WITHOUT ROWID;
";

/// A database that is being written.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) connection: Connection,
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl Database {
    /// Opens a day's database, and makes it when there is none.
    pub(crate) fn open(folder: &Path, day: Day, kind: Kind) -> Result<Self, Error> {
        // Who was where, and from which address, is for nobody else on the machine, whatever the data folder lets them see.
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(Error::files(folder))?;
        let path = files::path(folder, day, kind);
        let opened = Self::open_file(&path, kind);
        match opened {
            // What cannot be read keeps nobody from being noted.
            Err(error) if error.is_of_the_file() => {
                tracing::warn!(%error, path = %path.display(), "a day of history is begun anew");
                files::remove(&path)?;
                Self::open_file(&path, kind)
            }
            opened => opened,
        }
    }

    fn open_file(path: &Path, kind: Kind) -> Result<Self, Error> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(Error::files(path))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // A crash of the machine costs what came since the last checkpoint.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        // What is deleted is overwritten where its page is written anyway: nobody is to be found who was forgotten.
        connection.pragma_update(None, "secure_delete", "FAST")?;
        connection.set_prepared_statement_cache_capacity(32);
        let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found > VERSION {
            return Err(Error::Schema { path: path.into(), found, known: VERSION });
        }
        if found == 0 {
            let making = connection.transaction()?;
            making.execute_batch(match kind {
                Kind::Calls => CALLS,
                Kind::Quality => QUALITY,
                Kind::Usage => USAGE,
            })?;
            making.pragma_update(None, "user_version", VERSION)?;
            making.commit()?;
        }
        Ok(Self { connection, identity: files::identity(path), path: path.into() })
    }

    /// Whether it is still the file of its name, and not deleted.
    pub(crate) fn is_there(&self) -> bool {
        self.identity.is_some() && files::identity(&self.path) == self.identity
    }

    /// Brings what was committed into the database itself.
    pub(crate) fn checkpoint(&self) -> Result<(), Error> {
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        Ok(())
    }
}

/// Opens a database that is there, to look at it; `None` of one that is not, not yet, or not any more.
pub(crate) fn open_to_read(path: &Path) -> Result<Option<Connection>, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match Connection::open_with_flags(path, flags) {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen) => return Ok(None),
        opened => opened?,
    };
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "query_only", true)?;
    connection.set_prepared_statement_cache_capacity(32);
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > VERSION {
        return Err(Error::Schema { path: path.into(), found, known: VERSION });
    }
    // One that is just being made has no version.
    Ok((found > 0).then_some(connection))
}

// Rows

pub(crate) fn put_call(
    to: &Transaction<'_>,
    call: &Call,
    generation: i64,
    seconds: &mut Seconds,
) -> Result<(), Error> {
    let number = crate::number_of(&call.room);
    let known = "SELECT made FROM calls WHERE call = ?";
    let known = to.prepare_cached(known)?.query_row([call.call], |row| row.get(0));
    let made: i64 = match known {
        Ok(made) => made,
        Err(rusqlite::Error::QueryReturnedNoRows) => free_second(to, call, number, seconds)?,
        Err(error) => return Err(error.into()),
    };
    let put = "INSERT INTO calls (call, app, room, number, made, ended, cause, creator, generation)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (call) DO UPDATE SET
            ended = excluded.ended, cause = excluded.cause, generation = excluded.generation";
    to.prepare_cached(put)?.execute(params![
        call.call,
        call.app,
        &*call.room,
        number,
        made,
        call.ended.map(|(at, _)| at),
        call.ended.map(|(_, cause)| cause.number()),
        &*call.creator,
        generation,
    ])?;
    Ok(())
}

/// A second in which no other call of its room is said to have been made.
fn free_second(to: &Transaction<'_>, call: &Call, number: i64, seconds: &mut Seconds) -> Result<i64, Error> {
    let mut taken = to.prepare_cached("SELECT 1 FROM calls WHERE app = ? AND number = ? AND made = ?")?;
    let mut trouble = None;
    let made = seconds.take((call.app, number), call.made, |made| {
        taken.exists(params![call.app, number, made]).map_err(|error| trouble = Some(error)).ok()
    });
    match trouble {
        Some(error) => Err(error.into()),
        None => Ok(made.unwrap_or(call.made)),
    }
}

/// Writes stays, in the order of their keys, and who they are.
pub(crate) fn put_stays(to: &Transaction<'_>, stays: &[&Stay], generation: i64) -> Result<(), Error> {
    // Who comes and goes again and again is put in once.
    let mut people = stays.to_vec();
    people.dedup_by_key(|stay| (stay.call, stay.who));
    let put = "INSERT OR IGNORE INTO people (call, who, app, user)";
    put_all(to, (put, 4), &people, |put, row, stay| {
        bind(put, row, params![stay.call, stay.who, stay.app, &*stay.user])
    })?;
    let put = "INSERT OR REPLACE INTO stays
        (call, stay, who, left, cause, is_anchor, terminal, device, sdk, address, generation)";
    put_all(to, (put, 11), stays, |put, row, stay| {
        bind(
            put,
            row,
            params![
                stay.call,
                stay.stay,
                stay.who,
                stay.left.map(|(at, _)| at),
                stay.left.map(|(_, cause)| cause.number()),
                stay.is_anchor,
                stay.client.terminal,
                &*stay.client.device,
                &*stay.client.sdk,
                &*stay.client.address,
                generation,
            ],
        )
    })
}

/// Puts in rows of so many columns, many with each statement; `bind_to` binds one of them.
fn put_all<T>(
    to: &Transaction<'_>,
    (put, columns): (&str, usize),
    rows: &[T],
    bind_to: impl Fn(&mut Statement<'_>, usize, &T) -> Result<(), Error>,
) -> Result<(), Error> {
    let (whole, rest) = rows.split_at(rows.len() - rows.len() % ROWS_AT_ONCE);
    for (at_once, rows) in [(ROWS_AT_ONCE, whole), (1, rest)] {
        if rows.is_empty() {
            continue;
        }
        let mut put = to.prepare_cached(&with_rows(put, columns, at_once))?;
        for rows in rows.chunks(at_once) {
            for (at, row) in rows.iter().enumerate() {
                bind_to(&mut put, at, row)?;
            }
            put.raw_execute()?;
        }
    }
    Ok(())
}

/// A statement that puts in so many rows of so many columns.
fn with_rows(put: &str, columns: usize, count: usize) -> String {
    let rows: Vec<String> =
        (0..count).map(|row| format!("({})", places(row * columns + 1, columns))).collect();
    format!("{put} VALUES {}", rows.join(", "))
}

/// Binds one of the rows of such a statement.
fn bind(put: &mut Statement<'_>, row: usize, values: &[&dyn ToSql]) -> Result<(), Error> {
    let first = row * values.len() + 1;
    for (at, value) in (first..).zip(values) {
        put.raw_bind_parameter(at, value)?;
    }
    Ok(())
}

pub(crate) fn put_event(to: &Transaction<'_>, event: &Event) -> Result<(), Error> {
    let put = "INSERT OR REPLACE INTO events (call, stay, at, n, event, media, peer, p1, p2)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    to.prepare_cached(put)?.execute(params![
        event.call,
        event.stay,
        event.at,
        event.n,
        event.event,
        event.media,
        event.peer,
        event.p1,
        event.p2,
    ])?;
    Ok(())
}

pub(crate) fn put_quality(to: &Transaction<'_>, quality: &Quality) -> Result<(), Error> {
    let put =
        "INSERT OR REPLACE INTO quality (call, stay, t0, peer, media, packed) VALUES (?, ?, ?, ?, ?, ?)";
    to.prepare_cached(put)?.execute(params![
        quality.call,
        quality.stay,
        quality.from,
        quality.peer,
        quality.media,
        quality.packed,
    ])?;
    Ok(())
}

pub(crate) fn put_unusual(to: &Transaction<'_>, unusual: &Unusual) -> Result<(), Error> {
    let put =
        "INSERT OR REPLACE INTO unusual (app, at, call, stay, experience, causes) VALUES (?, ?, ?, ?, ?, ?)";
    to.prepare_cached(put)?.execute(params![
        unusual.app,
        unusual.at,
        unusual.call,
        unusual.stay,
        unusual.experience,
        causes(&unusual.causes),
    ])?;
    Ok(())
}

/// Causes, as they are written: `number:peer`.
pub(crate) fn causes(causes: &[(u16, i64)]) -> String {
    let causes: Vec<String> = causes.iter().map(|(cause, peer)| format!("{cause}:{peer}")).collect();
    causes.join(" ")
}

pub(crate) fn causes_of(text: &str) -> Vec<(u16, i64)> {
    let read = |cause: &str| {
        let (cause, peer) = cause.split_once(':')?;
        Some((cause.parse().ok()?, peer.parse().ok()?))
    };
    text.split(' ').filter_map(read).collect()
}

pub(crate) fn put_usage(to: &Transaction<'_>, usage: &Usage, generation: i64) -> Result<(), Error> {
    let put = "INSERT OR REPLACE INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let Spent { audio, each: [sd, hd, fhd, two_k, four_k], together } = usage.spent;
    let [all_sd, all_hd, all_fhd, all_two_k, all_four_k] = together;
    let [audio, sd, hd, fhd, two_k, four_k] = [audio, sd, hd, fhd, two_k, four_k].map(u64::cast_signed);
    let [all_sd, all_hd, all_fhd, all_two_k, all_four_k] =
        [all_sd, all_hd, all_fhd, all_two_k, all_four_k].map(u64::cast_signed);
    to.prepare_cached(put)?.execute(params![
        usage.app,
        usage.slot,
        usage.call,
        generation,
        &*usage.room,
        audio,
        sd,
        hd,
        fhd,
        two_k,
        four_k,
        all_sd,
        all_hd,
        all_fhd,
        all_two_k,
        all_four_k,
    ])?;
    Ok(())
}

pub(crate) fn put_service(to: &Transaction<'_>, service: &Service, generation: i64) -> Result<(), Error> {
    let put = "INSERT OR REPLACE INTO service VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let Served { video, audio, delays, joins } = service.served;
    let ([video, video_stalled], [audio, audio_stalled]) =
        (video.map(u64::cast_signed), audio.map(u64::cast_signed));
    let ([delays, short], [asked, let_in, slow]) =
        (delays.map(u64::cast_signed), joins.map(u64::cast_signed));
    to.prepare_cached(put)?.execute(params![
        service.app,
        service.slot,
        generation,
        video,
        video_stalled,
        audio,
        audio_stalled,
        delays,
        short,
        asked,
        let_in,
        slow,
    ])?;
    Ok(())
}

pub(crate) fn put_beat(to: &Transaction<'_>, generation: i64, at: i64) -> Result<(), Error> {
    to.prepare_cached("INSERT OR REPLACE INTO beats (generation, at) VALUES (?, ?)")?
        .execute([generation, at])?;
    Ok(())
}

pub(crate) fn set_ready(to: &Transaction<'_>) -> Result<(), Error> {
    to.execute("INSERT OR REPLACE INTO ready (is_ready) VALUES (1)", [])?;
    Ok(())
}
