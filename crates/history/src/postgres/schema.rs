//! The tables, and a day's part of each.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;

use super::link::{Link, name, read_name, tables};
use crate::Error;
use crate::files::{Day, Kind};

const VERSION: i64 = 1;

/// The tables of a day's file (`crate::day`) with the day behind their keys: who asks one day asks its partition. `owner` is the run of a
/// server that writes.
const MAKE: &str = r#"
    CREATE TABLE IF NOT EXISTS @@writer (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        version bigint NOT NULL,
        owner bigint NOT NULL DEFAULT 0
    );
    CREATE TABLE IF NOT EXISTS @@beats (generation bigint PRIMARY KEY, at bigint NOT NULL) WITH (fillfactor = 50);
    CREATE TABLE IF NOT EXISTS @@ready (day bigint PRIMARY KEY);
    CREATE TABLE IF NOT EXISTS @@calls (
        call bigint NOT NULL,
        app bigint NOT NULL,
        number bigint NOT NULL,
        made bigint NOT NULL,
        ended bigint,
        generation bigint NOT NULL,
        day date NOT NULL,
        cause smallint,
        room text COLLATE "C" NOT NULL,
        creator text COLLATE "C" NOT NULL,
        PRIMARY KEY (call, day),
        UNIQUE (app, number, made, day)
    ) PARTITION BY RANGE (day);
    CREATE INDEX IF NOT EXISTS history_calls_by_room ON @@calls (app, room, made);
    CREATE INDEX IF NOT EXISTS history_calls_by_time ON @@calls (app, made, ended);
    CREATE INDEX IF NOT EXISTS history_calls_open ON @@calls (call) WHERE ended IS NULL;
    CREATE TABLE IF NOT EXISTS @@people (
        call bigint NOT NULL,
        who bigint NOT NULL,
        app bigint NOT NULL,
        day date NOT NULL,
        "user" text COLLATE "C" NOT NULL,
        PRIMARY KEY (call, who, day)
    ) PARTITION BY RANGE (day);
    CREATE INDEX IF NOT EXISTS history_people_by_user ON @@people (app, "user", call, who);
    CREATE TABLE IF NOT EXISTS @@stays (
        call bigint NOT NULL,
        stay bigint NOT NULL,
        who bigint NOT NULL,
        "left" bigint,
        generation bigint NOT NULL,
        day date NOT NULL,
        cause smallint,
        terminal smallint NOT NULL,
        is_anchor boolean NOT NULL,
        device text COLLATE "C" NOT NULL,
        sdk text COLLATE "C" NOT NULL,
        address text COLLATE "C" NOT NULL,
        PRIMARY KEY (call, stay, day)
    ) PARTITION BY RANGE (day);
    CREATE INDEX IF NOT EXISTS history_stays_by_who ON @@stays (call, who);
    CREATE INDEX IF NOT EXISTS history_stays_open ON @@stays (call, stay) WHERE "left" IS NULL;
    CREATE TABLE IF NOT EXISTS @@events (
        call bigint NOT NULL,
        stay bigint NOT NULL,
        at bigint NOT NULL,
        peer bigint NOT NULL,
        p1 bigint NOT NULL,
        p2 bigint NOT NULL,
        n bigint NOT NULL,
        event integer NOT NULL,
        day date NOT NULL,
        media smallint NOT NULL,
        PRIMARY KEY (call, stay, at, n, day)
    ) PARTITION BY RANGE (day);
    CREATE TABLE IF NOT EXISTS @@unusual (
        app bigint NOT NULL,
        at bigint NOT NULL,
        call bigint NOT NULL,
        stay bigint NOT NULL,
        day date NOT NULL,
        experience smallint NOT NULL,
        causes text NOT NULL,
        PRIMARY KEY (app, at, call, stay, experience, day)
    ) PARTITION BY RANGE (day);
    CREATE TABLE IF NOT EXISTS @@quality (
        call bigint NOT NULL,
        stay bigint NOT NULL,
        t0 bigint NOT NULL,
        peer bigint NOT NULL,
        day date NOT NULL,
        media smallint NOT NULL,
        packed bytea NOT NULL,
        PRIMARY KEY (call, stay, t0, peer, media, day)
    ) PARTITION BY RANGE (day);
    CREATE TABLE IF NOT EXISTS @@usage (
        app bigint NOT NULL,
        slot bigint NOT NULL,
        call bigint NOT NULL,
        generation bigint NOT NULL,
        audio bigint NOT NULL,
        sd bigint NOT NULL,
        hd bigint NOT NULL,
        fhd bigint NOT NULL,
        two_k bigint NOT NULL,
        four_k bigint NOT NULL,
        all_sd bigint NOT NULL,
        all_hd bigint NOT NULL,
        all_fhd bigint NOT NULL,
        all_two_k bigint NOT NULL,
        all_four_k bigint NOT NULL,
        day date NOT NULL,
        room text COLLATE "C" NOT NULL,
        PRIMARY KEY (app, slot, call, generation, day)
    ) PARTITION BY RANGE (day);
    CREATE TABLE IF NOT EXISTS @@service (
        app bigint NOT NULL,
        slot bigint NOT NULL,
        generation bigint NOT NULL,
        video bigint NOT NULL,
        video_stalled bigint NOT NULL,
        audio bigint NOT NULL,
        audio_stalled bigint NOT NULL,
        delays bigint NOT NULL,
        short_delays bigint NOT NULL,
        asked bigint NOT NULL,
        let_in bigint NOT NULL,
        slow bigint NOT NULL,
        day date NOT NULL,
        PRIMARY KEY (app, slot, generation, day)
    ) PARTITION BY RANGE (day);
"#;

/// Makes the tables where there are none, and has this run of a server write from now on.
pub(super) fn begin(link: &Link, generation: i64) -> Result<(), Error> {
    // Two that come at once are both about to make the same.
    link.run("BEGIN; SELECT pg_advisory_xact_lock(hashtext('@@writer'))")?;
    link.run(MAKE)?;
    let note = "INSERT INTO @@writer (version) VALUES ($1) ON CONFLICT (one) DO NOTHING";
    link.ask(note, &[(&VERSION, Type::INT8)])?;
    let found = link.ask("SELECT version FROM @@writer", &[])?;
    let found: i64 = found.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
    if found > VERSION {
        return Err(Error::Schema { path: "history, in the database,".into(), found, known: VERSION });
    }
    let take = "UPDATE @@writer SET owner = $1 WHERE owner <= $1 RETURNING owner";
    let has_it = !link.ask(take, &[(&generation, Type::INT8)])?.is_empty();
    let forget = "DELETE FROM @@beats WHERE generation < $1 - 1000";
    link.ask(forget, &[(&generation, Type::INT8)])?;
    link.run("COMMIT")?;
    if has_it { Ok(()) } else { Err(Error::Superseded) }
}

/// Makes a day's partitions of a kind where there are none.
pub(super) fn make_day(link: &Link, day: Day, kind: Kind) -> Result<(), Error> {
    let made: Vec<String> = tables(kind)
        .iter()
        .map(|table| {
            let partition = link.partition(table, day);
            let next = day.next();
            format!(
                "CREATE TABLE IF NOT EXISTS {partition} PARTITION OF @@{table} FOR VALUES FROM ('{day}') TO ('{next}');"
            )
        })
        .collect();
    link.run(&made.concat())
}

/// A day's partitions of a kind.
#[derive(Default)]
pub(super) struct Found {
    /// The database's number of the one that is made last, by which a day is told from a later one of its name.
    pub(super) number: u64,
    pub(super) bytes: u64,
}

/// The days that there are, the oldest first.
pub(super) type Days = BTreeMap<(Day, Kind), Found>;

/// Tables that are named as partitions are; before it stands what is wanted of them, behind it a condition.
const NAMED: &str = "FROM pg_class AS part
    JOIN pg_class AS writer ON writer.oid = to_regclass('@@writer') AND part.relnamespace = writer.relnamespace
    WHERE part.relkind = 'r' AND starts_with(part.relname::text, 'history_')";

/// Of some that were not made or dropped altogether nothing.
pub(super) fn list(link: &Link) -> Result<Days, Error> {
    list_with(link, "0::bigint")
}

/// The same with what they take.
pub(super) fn list_with_bytes(link: &Link) -> Result<Days, Error> {
    list_with(link, "pg_total_relation_size(part.oid)")
}

fn list_with(link: &Link, bytes: &str) -> Result<Days, Error> {
    let wanted =
        format!("SELECT part.relname::text, part.oid::bigint, {bytes} {NAMED} AND part.relispartition");
    let mut found = Days::new();
    for row in link.ask(&wanted, &[])? {
        let (partition, number, bytes): (String, i64, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let Some((kind, table, day)) = read_name(&partition) else { continue };
        let one = found.entry((day, kind)).or_default();
        if tables(kind).last() == Some(&table) {
            one.number = number.unsigned_abs();
        }
        one.bytes += bytes.unsigned_abs();
    }
    found.retain(|_, one| one.number > 0);
    Ok(found)
}

/// Drops a day's partitions of a kind. Whoever reads them just now reads on; others wait for nothing.
pub(super) fn drop_day(link: &Link, day: Day, kind: Kind) -> Result<(), Error> {
    // The one that was made last goes first: without it there is no such day.
    for table in tables(kind).iter().rev() {
        let partition = link.partition(table, day);
        let state = format!(
            "SELECT CASE WHEN inhdetachpending THEN 1 ELSE 0 END::bigint FROM pg_inherits
            WHERE inhrelid = to_regclass('{partition}')"
        );
        let attached = link.ask(&state, &[])?;
        if let Some(row) = attached.first() {
            // A former try may have been interrupted.
            let how = if row.try_get::<_, i64>(0)? == 1 { "FINALIZE" } else { "CONCURRENTLY" };
            link.run(&format!("ALTER TABLE @@{table} DETACH PARTITION {partition} {how}"))?;
        }
        link.run(&format!("DROP TABLE IF EXISTS {partition}"))?;
    }
    if kind == Kind::Calls {
        link.ask("DELETE FROM @@ready WHERE day = $1", &[(&day.0, Type::INT8)])?;
    }
    Ok(())
}

/// Drops what was detached and not dropped.
pub(super) fn drop_detached(link: &Link) -> Result<(), Error> {
    let wanted = format!("SELECT part.relname::text {NAMED} AND NOT part.relispartition");
    for row in link.ask(&wanted, &[])? {
        let partition: String = row.try_get(0)?;
        if let Some((_, table, day)) = read_name(&partition) {
            debug_assert_eq!(name(table, day), partition);
            link.run(&format!("DROP TABLE IF EXISTS {}", link.partition(table, day)))?;
        }
    }
    Ok(())
}
