//! What writes: all that has come in one transaction, which holds on to the right to write.

use std::collections::BTreeSet;
use std::time::Instant;

use store::Target;
use tokio_postgres::types::Type;

use super::batch::{put_calls, put_quality, put_usage};
use super::carry::Carrying;
use super::link::{Given, Link};
use super::schema;
use crate::disk;
use crate::files::{Day, Kind};
use crate::options::Clock;
use crate::pace::{BEAT, UPKEEP};
use crate::rows::usage_by_day;
use crate::seconds::Seconds;
use crate::{Cause, Error, Forget, Row};

/// How many days are made before they begin.
const AHEAD: i64 = 2;

/// A schema of a database.
pub(crate) struct Postgres {
    target: Target,
    generation: i64,
    days: u32,
    most_bytes: u64,
    clock: Clock,
    /// Gone after a failure; made again when it is needed.
    link: Option<Link>,
    /// Whether the tables are made, and this run writes.
    has_begun: bool,
    /// The day of what was written last.
    today: Option<Day>,
    /// The days that are made.
    made: BTreeSet<(Day, Kind)>,
    seconds: Seconds,
    carrying: Option<Carrying>,
    is_lost: bool,
    may_write_quality: bool,
    beat_due: Instant,
    upkeep_due: Instant,
}

impl Postgres {
    pub(crate) fn new(target: Target, generation: i64, days: u32, most_bytes: u64, clock: Clock) -> Self {
        let now = Instant::now();
        Self {
            target,
            generation,
            days,
            most_bytes,
            clock,
            link: None,
            has_begun: false,
            today: None,
            made: BTreeSet::new(),
            seconds: Seconds::default(),
            carrying: None,
            is_lost: false,
            may_write_quality: true,
            beat_due: now,
            upkeep_due: now,
        }
    }

    /// Whether what was written of today is gone; said once.
    pub(crate) fn is_lost(&mut self) -> bool {
        std::mem::take(&mut self.is_lost)
    }

    /// Writes them, or says why not: then all of them are to come again. Done twice it is the same.
    pub(crate) fn write(&mut self, rows: &[Row]) -> Result<(), Error> {
        let link = match self.link.take().filter(|link| !link.is_closed()) {
            Some(link) => link,
            None => Link::connect(&self.target)?,
        };
        let written = self.write_over(&link, rows);
        match &written {
            Ok(()) => self.link = Some(link),
            // Somebody has dropped what was written.
            Err(error) if error.is_of_a_day_that_is_gone() => {
                (self.has_begun, self.today, self.carrying, self.is_lost) = (false, None, None, true);
                self.made.clear();
            }
            // One that is in a transaction that failed is of no use; a new one is made in no time.
            Err(_) => {}
        }
        written
    }

    fn write_over(&mut self, link: &Link, rows: &[Row]) -> Result<(), Error> {
        let now = (self.clock)();
        let today = Day::of(now.div_euclid(1000));
        if !self.has_begun {
            schema::begin(link, self.generation)?;
            self.has_begun = true;
            self.beat_due = Instant::now();
        }
        if self.upkeep_due <= Instant::now() {
            self.upkeep_due = Instant::now() + UPKEEP;
            self.look_after(link, today);
        }
        if self.today != Some(today) {
            self.make_days(link, today)?;
            let former = self.today.filter(|former| *former < today);
            self.carrying = former.map(|former| Carrying::begin(link, former)).transpose()?;
            self.today = Some(today);
        }
        let usage = usage_by_day(rows);
        for day in usage.keys() {
            self.make_day(link, *day, Kind::Usage)?;
        }
        let is_beat_due = self.beat_due <= Instant::now();
        if rows.is_empty() && !is_beat_due && self.carrying.is_none() {
            return Ok(());
        }

        self.begin(link)?;
        put_calls(link, today, rows, self.generation, &mut self.seconds)?;
        if self.may_write_quality {
            put_quality(link, today, rows)?;
        }
        for (day, rows) in &usage {
            put_usage(link, *day, rows, self.generation)?;
        }
        let mut carrying = self.carrying.clone();
        let is_carried = match &mut carrying {
            Some(carrying) => carrying.go_on(link, today)?,
            None => false,
        };
        if is_carried {
            set_ready(link, today)?;
            carrying = None;
        }
        for row in rows {
            match row {
                Row::Settled => self.settle(link, today)?,
                Row::Forget(who) => forget(link, who)?,
                _ => {}
            }
        }
        if is_beat_due {
            let beat =
                "INSERT INTO @@beats VALUES ($1, $2) ON CONFLICT (generation) DO UPDATE SET at = excluded.at";
            link.ask(beat, &[(&self.generation, Type::INT8), (&now, Type::INT8)])?;
        }
        link.run("COMMIT")?;
        self.carrying = carrying;
        if is_beat_due {
            self.beat_due = Instant::now() + BEAT;
        }
        Ok(())
    }

    /// Begins a transaction, and keeps the right to write until its end.
    fn begin(&self, link: &Link) -> Result<(), Error> {
        link.run("BEGIN")?;
        let hold = "SELECT owner FROM @@writer WHERE owner = $1 FOR SHARE";
        match link.ask(hold, &[(&self.generation, Type::INT8)])?.is_empty() {
            false => Ok(()),
            true => Err(Error::Superseded),
        }
    }

    /// Makes the days that are to be written.
    fn make_days(&mut self, link: &Link, today: Day) -> Result<(), Error> {
        for day in (today.0..=today.0 + AHEAD).map(Day) {
            for kind in Kind::ALL {
                self.make_day(link, day, kind)?;
            }
        }
        Ok(())
    }

    fn make_day(&mut self, link: &Link, day: Day, kind: Kind) -> Result<(), Error> {
        if !self.made.contains(&(day, kind)) {
            schema::make_day(link, day, kind)?;
            self.made.insert((day, kind));
        }
        Ok(())
    }

    /// Drops what is over or too much. What fails is tried again in a minute.
    fn look_after(&mut self, link: &Link, today: Day) {
        let mut is_today_gone = false;
        let tidied = schema::drop_detached(link).and_then(|()| {
            let found =
                schema::list_with_bytes(link)?.into_iter().map(|((day, kind), one)| (day, kind, one.bytes));
            Ok(disk::keep(found, today, self.days, self.most_bytes, |day, kind| {
                let dropped = schema::drop_day(link, day, kind);
                if let Err(error) = &dropped {
                    tracing::warn!(%error, "a day of history stays");
                }
                self.made.remove(&(day, kind));
                is_today_gone |= day == today;
                dropped.is_ok()
            }))
        });
        if is_today_gone {
            (self.today, self.carrying, self.is_lost) = (None, None, true);
        }
        match tidied {
            Ok(may) => {
                if !may && self.may_write_quality {
                    tracing::warn!("history has no space left for quality: history.max_bytes");
                }
                self.may_write_quality = may;
            }
            Err(error) => tracing::warn!(%error, "history's days were not looked after"),
        }
    }

    /// All that goes on has been told: what else is open ended with a former run of a server, when that was last heard of.
    fn settle(&self, link: &Link, today: Day) -> Result<(), Error> {
        let former = schema::list(link)?.into_keys().rev();
        for (day, _) in former.filter(|(day, kind)| *kind == Kind::Calls && *day < today) {
            let calls = link.partition("calls", day);
            let is_empty = link.ask(&format!("SELECT call FROM {calls} LIMIT 1"), &[])?.is_empty();
            if !is_empty {
                self.close_unclaimed(link, day, Some(today))?;
                break;
            }
        }
        self.close_unclaimed(link, today, None)?;
        set_ready(link, today)
    }

    /// Ends what is open of former runs on a day, unless it goes on on a later one.
    fn close_unclaimed(&self, link: &Link, day: Day, later: Option<Day>) -> Result<(), Error> {
        let goes_on = |table: &'static str, key: &str| {
            let Some(later) = later else { return String::new() };
            let later = link.partition(table, later);
            format!("AND NOT EXISTS (SELECT FROM {later} AS later WHERE {key})")
        };
        let beat = "coalesce((SELECT at FROM @@beats AS beats WHERE beats.generation = it.generation), 0)";
        let stays = format!(
            r#"UPDATE {} AS it SET "left" = greatest({beat}, stay), cause = {}
            WHERE "left" IS NULL AND generation <> $1 {}"#,
            link.partition("stays", day),
            Cause::TimedOut.number(),
            goes_on("stays", "later.call = it.call AND later.stay = it.stay"),
        );
        let calls = format!(
            "UPDATE {} AS it SET ended = greatest({beat} / 1000, made), cause = {} WHERE ended IS NULL AND generation <> $1 {}",
            link.partition("calls", day),
            Cause::TimedOut.number(),
            goes_on("calls", "later.call = it.call"),
        );
        for close in [stays, calls] {
            link.ask(&close, &[(&self.generation, Type::INT8)])?;
        }
        Ok(())
    }
}

fn set_ready(link: &Link, day: Day) -> Result<(), Error> {
    link.ask("INSERT INTO @@ready VALUES ($1) ON CONFLICT DO NOTHING", &[(&day.0, Type::INT8)]).map(drop)
}

/// Takes a user out of all days: that somebody was there is left, and no more.
fn forget(link: &Link, Forget { app, user, before }: &Forget) -> Result<(), Error> {
    let (app, user): (i64, &str) = ((*app).into(), user);
    let given: [Given<'_>; 3] = [(&app, Type::INT8), (&user, Type::TEXT), (before, Type::INT8)];
    link.ask(
        r#"UPDATE @@stays AS it SET device = '', address = '' FROM @@people AS people
        WHERE people.call = it.call AND people.who = it.who AND people.day = it.day
            AND people.app = $1 AND people."user" = $2 AND it.stay < $3"#,
        &given,
    )?;
    link.ask(
        r#"UPDATE @@people AS it SET "user" = '' WHERE app = $1 AND "user" = $2 AND NOT EXISTS
            (SELECT FROM @@stays AS stays WHERE stays.call = it.call AND stays.who = it.who AND stays.day = it.day
                AND stays.stay >= $3)"#,
        &given,
    )?;
    link.ask("UPDATE @@calls SET creator = '' WHERE app = $1 AND creator = $2 AND made <= $3 / 1000", &given)
        .map(drop)
}
