//! History in files: what has come goes into the day it is.
//!
//! At midnight another day begins. What is open then is carried over from the day before, a little every second, so that
//! each day has all that lived on it. After a start what was open is told again by those who know ([`Row::Settled`]); the
//! rest ended when the server was last heard of, which is written down every 10 s.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, params_from_iter};

use crate::day::{self, Database};
use crate::disk;
use crate::files::{self, Day, Kind};
use crate::forget::forget;
use crate::options::Clock;
use crate::pace::{BEAT, UPKEEP, carried_at_once};
use crate::rows::{stays, usage_by_day};
use crate::seconds::Seconds;
use crate::{Cause, Error, Row};

/// What was open at midnight and is yet to be carried over.
struct Carrying {
    from: Connection,
    rows: i64,
    /// The last that were carried.
    call: i64,
    stay: (i64, i64),
}

pub(crate) struct Sqlite {
    folder: PathBuf,
    days: u32,
    most_bytes: u64,
    clock: Clock,
    /// Tells this run of the server from others.
    generation: i64,
    calls: Option<(Day, Database)>,
    quality: Option<(Day, Database)>,
    usage: Option<(Day, Database)>,
    carrying: Option<Carrying>,
    has_begun: bool,
    /// The day's file is gone, which is to be said.
    is_lost: bool,
    seconds: Seconds,
    may_write_quality: bool,
    beat_due: Instant,
    upkeep_due: Instant,
}

impl Sqlite {
    pub(crate) fn new(folder: PathBuf, days: u32, most_bytes: u64, clock: Clock) -> Self {
        let now = Instant::now();
        Self {
            generation: clock(),
            folder,
            days,
            most_bytes,
            clock,
            calls: None,
            quality: None,
            usage: None,
            carrying: None,
            has_begun: false,
            is_lost: false,
            seconds: Seconds::default(),
            may_write_quality: true,
            beat_due: now,
            upkeep_due: now,
        }
    }

    /// Whether what was written of today is gone; said once.
    pub(crate) fn is_lost(&mut self) -> bool {
        std::mem::take(&mut self.is_lost)
    }

    /// Writes them, or says why not: then all of them are to come again.
    pub(crate) fn write(&mut self, rows: &[Row]) -> Result<(), Error> {
        let written = self.write_all(rows);
        if written.is_err() {
            // Another file may be better than one that fails.
            (self.calls, self.quality, self.usage, self.carrying) = (None, None, None, None);
        }
        written
    }

    fn write_all(&mut self, rows: &[Row]) -> Result<(), Error> {
        let now = (self.clock)();
        let today = Day::of(now.div_euclid(1000));
        if self.upkeep_due <= Instant::now() {
            self.upkeep_due = Instant::now() + UPKEEP;
            self.look_after(today);
        }
        self.write_calls(rows, today, now)?;
        self.write_quality(rows, today)?;
        self.write_usage(rows)?;
        for row in rows {
            match row {
                Row::Settled => self.settle(today)?,
                Row::Forget(who) => forget(&self.folder, who)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn look_after(&mut self, today: Day) {
        for (_, database) in self.calls.iter().chain(&self.quality).chain(&self.usage) {
            // Somebody may be reading just now.
            let _ = database.checkpoint();
        }
        let may = disk::tidy(&self.folder, today, self.days, self.most_bytes);
        if !may && self.may_write_quality {
            tracing::warn!("history has no space left for quality: history.max_bytes, or the disk");
        }
        self.may_write_quality = may;
    }

    fn write_calls(&mut self, rows: &[Row], today: Day, now: i64) -> Result<(), Error> {
        let is_beat_due = self.beat_due <= Instant::now();
        let is_any = rows.iter().any(|row| !matches!(row, Row::Quality(_) | Row::Usage(_) | Row::Service(_)));
        if !is_any && !is_beat_due && self.carrying.is_none() && self.is_of(today) {
            return Ok(());
        }
        self.open_calls(today)?;
        let (Some((_, database)), generation) = (&mut self.calls, self.generation) else { return Ok(()) };
        let step = database.connection.transaction()?;
        for row in rows {
            match row {
                Row::Call(call) => day::put_call(&step, call, generation, &mut self.seconds)?,
                Row::Event(event) => day::put_event(&step, event)?,
                Row::Unusual(unusual) => day::put_unusual(&step, unusual)?,
                // Stays are put below, the others elsewhere.
                Row::Stay(_)
                | Row::Quality(_)
                | Row::Usage(_)
                | Row::Service(_)
                | Row::Forget(_)
                | Row::Settled => {}
            }
        }
        day::put_stays(&step, &stays(rows), generation)?;
        let is_carried = match &mut self.carrying {
            Some(carrying) => carrying.go_on(&step)?,
            None => false,
        };
        if is_carried {
            day::set_ready(&step)?;
        }
        if is_beat_due {
            day::put_beat(&step, generation, now)?;
        }
        step.commit()?;
        if is_carried {
            self.carrying = None;
        }
        if is_beat_due {
            self.beat_due = Instant::now() + BEAT;
        }
        Ok(())
    }

    fn is_of(&self, today: Day) -> bool {
        self.calls.as_ref().is_some_and(|(day, _)| *day == today)
    }

    /// Has today's calls open.
    fn open_calls(&mut self, today: Day) -> Result<(), Error> {
        let former = match &self.calls {
            Some((day, database)) if *day == today && database.is_there() => return Ok(()),
            Some((day, database)) if *day == today || !database.is_there() => {
                self.is_lost = true;
                None
            }
            Some((day, _)) => Some(*day),
            None => {
                // What was to be carried over, or was half written, is not known any more.
                self.is_lost = std::mem::replace(&mut self.has_begun, true);
                None
            }
        };
        (self.calls, self.carrying) = (None, None);
        self.beat_due = Instant::now();
        let database = Database::open(&self.folder, today, Kind::Calls)?;
        let former = former.map(|former| files::path(&self.folder, former, Kind::Calls));
        if let Some(former) = former.map(|path| day::open_to_read(&path)).transpose()?.flatten() {
            self.carrying = Some(Carrying::begin(former)?);
        }
        self.calls = Some((today, database));
        Ok(())
    }

    fn write_quality(&mut self, rows: &[Row], today: Day) -> Result<(), Error> {
        let is_any = rows.iter().any(|row| matches!(row, Row::Quality(_)));
        if !is_any || !self.may_write_quality {
            return Ok(());
        }
        let database = database_of(&mut self.quality, &self.folder, today, Kind::Quality)?;
        let step = database.connection.transaction()?;
        for row in rows {
            if let Row::Quality(quality) = row {
                day::put_quality(&step, quality)?;
            }
        }
        step.commit()?;
        Ok(())
    }

    /// Writes what was used, of each slot into its own day: the last of a day comes behind its end.
    fn write_usage(&mut self, rows: &[Row]) -> Result<(), Error> {
        for (day, rows) in usage_by_day(rows) {
            let database = database_of(&mut self.usage, &self.folder, day, Kind::Usage)?;
            let step = database.connection.transaction()?;
            for row in rows {
                match row {
                    Row::Usage(usage) => day::put_usage(&step, usage, self.generation)?,
                    Row::Service(service) => day::put_service(&step, service, self.generation)?,
                    _ => {}
                }
            }
            step.commit()?;
        }
        Ok(())
    }

    /// All that goes on has been told: what else is open ended with a former run of the server.
    fn settle(&mut self, today: Day) -> Result<(), Error> {
        let Some((_, database)) = &mut self.calls else { return Ok(()) };
        let last = files::list(&self.folder).into_iter().rev();
        let mut last = last.filter(|(day, kind)| *kind == Kind::Calls && *day < today);
        if let Some((day, kind)) = last.next() {
            let mut former = Database::open(&self.folder, day, kind)?;
            close_unclaimed(&mut former.connection, self.generation, Some(&database.connection))?;
        }
        close_unclaimed(&mut database.connection, self.generation, None)?;
        let step = database.connection.transaction()?;
        day::set_ready(&step)?;
        step.commit()?;
        Ok(())
    }
}

/// Ends what is open of former runs, unless it goes on in `later`: when its run was last heard of.
fn close_unclaimed(day: &mut Connection, generation: i64, later: Option<&Connection>) -> Result<(), Error> {
    let goes_on = |later: &Connection, sql: &str, key: &[i64]| {
        let mut known = later.prepare_cached(sql)?;
        known.exists(params_from_iter(key))
    };
    let stays = "SELECT call, stay, coalesce(beats.at, 0) FROM stays LEFT JOIN beats USING (generation)
        WHERE left IS NULL AND generation <> ?";
    let calls = "SELECT call, made, coalesce(beats.at, 0) FROM calls LEFT JOIN beats USING (generation)
        WHERE ended IS NULL AND generation <> ?";
    let (stays, calls) = (open_of(day, stays, generation)?, open_of(day, calls, generation)?);
    let step = day.transaction()?;
    for (call, stay, beat) in stays {
        let known = "SELECT 1 FROM stays WHERE call = ? AND stay = ?";
        if !later.map_or(Ok(false), |later| goes_on(later, known, &[call, stay]))? {
            step.prepare_cached("UPDATE stays SET left = ?, cause = ? WHERE call = ? AND stay = ?")?
                .execute([beat.max(stay), Cause::TimedOut.number(), call, stay])?;
        }
    }
    for (call, made, beat) in calls {
        if !later.map_or(Ok(false), |later| goes_on(later, "SELECT 1 FROM calls WHERE call = ?", &[call]))? {
            step.prepare_cached("UPDATE calls SET ended = ?, cause = ? WHERE call = ?")?.execute([
                (beat / 1000).max(made),
                Cause::TimedOut.number(),
                call,
            ])?;
        }
    }
    step.commit()?;
    Ok(())
}

fn open_of(day: &Connection, sql: &str, generation: i64) -> Result<Vec<(i64, i64, i64)>, Error> {
    let mut open = day.prepare(sql)?;
    let rows = open.query_map([generation], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Carrying {
    fn begin(from: Connection) -> Result<Self, Error> {
        let open: i64 =
            from.query_row("SELECT count(*) FROM stays WHERE left IS NULL", [], |row| row.get(0))?;
        Ok(Self { from, rows: carried_at_once(open), call: i64::MIN, stay: (i64::MIN, i64::MIN) })
    }

    /// Carries some rows over. What is known of today already holds. Whether that was all.
    fn go_on(&mut self, to: &Transaction<'_>) -> Result<bool, Error> {
        let mut carried = 0;
        {
            let calls = "SELECT call, app, room, number, made, ended, cause, creator, generation FROM calls
                WHERE ended IS NULL AND call > ? ORDER BY call LIMIT ?";
            let mut calls = self.from.prepare_cached(calls)?;
            let mut rows = calls.query([self.call, self.rows])?;
            let mut put =
                to.prepare_cached("INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
            while let Some(row) = rows.next()? {
                self.call = row.get(0)?;
                put.execute(params_from_iter(values::<9>(row)?))?;
                carried += 1;
            }
        }
        if carried == self.rows {
            return Ok(false);
        }
        let stays =
            "SELECT call, stay, who, left, cause, is_anchor, terminal, device, sdk, address, generation
            FROM stays WHERE left IS NULL AND (call, stay) > (?, ?) ORDER BY call, stay LIMIT ?";
        let mut stays = self.from.prepare_cached(stays)?;
        let mut rows = stays.query([self.stay.0, self.stay.1, self.rows])?;
        let mut person =
            self.from.prepare_cached("SELECT call, who, app, user FROM people WHERE call = ? AND who = ?")?;
        let mut put =
            to.prepare_cached("INSERT OR IGNORE INTO stays VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
        let mut put_person = to.prepare_cached("INSERT OR IGNORE INTO people VALUES (?, ?, ?, ?)")?;
        let mut carried = 0;
        while let Some(row) = rows.next()? {
            self.stay = (row.get(0)?, row.get(1)?);
            put.execute(params_from_iter(values::<11>(row)?))?;
            let who: i64 = row.get(2)?;
            let mut people = person.query([self.stay.0, who])?;
            while let Some(row) = people.next()? {
                put_person.execute(params_from_iter(values::<4>(row)?))?;
            }
            carried += 1;
        }
        Ok(carried < self.rows)
    }
}

fn values<const N: usize>(row: &rusqlite::Row<'_>) -> Result<Vec<Value>, Error> {
    Ok((0..N).map(|at| row.get(at)).collect::<Result<_, _>>()?)
}

/// The database of a day: the one that is open, or another instead of it.
fn database_of<'a>(
    open: &'a mut Option<(Day, Database)>,
    folder: &Path,
    day: Day,
    kind: Kind,
) -> Result<&'a mut Database, Error> {
    let known = open.take().filter(|(known, database)| *known == day && database.is_there());
    let database = match known {
        Some((_, database)) => database,
        None => Database::open(folder, day, kind)?,
    };
    Ok(&mut open.insert((day, database)).1)
}
