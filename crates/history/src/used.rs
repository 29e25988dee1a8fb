//! What was used, and how users were served, as it is asked for: by slots, days and rooms. What several runs of the server have counted
//! of a slot is added up here.

use hashbrown::HashMap;

use crate::ask::{Record, Tables};
use crate::files::{Day, Kind};
use crate::{Error, Reader, Served, Spent};

/// A day may get rows for so long after its end, in seconds.
const LATE: i64 = 600;

/// The columns of a [`Spent`].
const SPENT: &str = "CAST(sum(audio) AS bigint), CAST(sum(sd) AS bigint), CAST(sum(hd) AS bigint),
    CAST(sum(fhd) AS bigint), CAST(sum(two_k) AS bigint), CAST(sum(four_k) AS bigint),
    CAST(sum(all_sd) AS bigint), CAST(sum(all_hd) AS bigint), CAST(sum(all_fhd) AS bigint),
    CAST(sum(all_two_k) AS bigint), CAST(sum(all_four_k) AS bigint)";

/// The columns of a [`Served`].
const SERVED: &str =
    "CAST(sum(video) AS bigint), CAST(sum(video_stalled) AS bigint), CAST(sum(audio) AS bigint),
    CAST(sum(audio_stalled) AS bigint), CAST(sum(delays) AS bigint), CAST(sum(short_delays) AS bigint),
    CAST(sum(asked) AS bigint), CAST(sum(let_in) AS bigint), CAST(sum(slow) AS bigint)";

/// Days that are over, by app, as the file that was read has them.
pub(crate) type Days = HashMap<(Day, u32), ((u64, u64), Spent), foldhash::fast::RandomState>;

/// How many of them are remembered; then all are forgotten.
const MOST_DAYS: usize = 100_000;

impl Reader {
    /// What an app has used in each slot that begins from when to before when, in seconds; of slots in which it has used something.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn used(&self, app: u32, from: i64, to: i64) -> Result<Vec<(i64, Spent)>, Error> {
        self.by_slot(&format!("{SPENT} FROM @usage"), (app, from, to), |row| spent_of(row, 1))
    }

    /// What an app has used on the day that begins then, in seconds.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn used_on(&self, app: u32, begins: i64) -> Result<Spent, Error> {
        let day = Day::of(begins);
        let is_over = day.next().begins() + LATE < self.now();
        let used = self.look(day, Kind::Usage, |file, tables| {
            let known = self.days_used.lock().get(&(day, app)).filter(|(known, _)| *known == file).copied();
            if let Some((_, spent)) = known {
                return Ok(spent);
            }
            let spent = all_of_day(tables, app)?;
            if is_over {
                let mut days = self.days_used.lock();
                if days.len() >= MOST_DAYS {
                    days.clear();
                }
                days.insert((day, app), (file, spent));
            }
            Ok(spent)
        })?;
        Ok(used.unwrap_or_default())
    }

    /// What each room of an app has used in the slots that begin from when to before when, in seconds, by name.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn used_by_rooms(&self, app: u32, from: i64, to: i64) -> Result<Vec<(String, Spent)>, Error> {
        let wanted = format!(
            "SELECT room, {SPENT} FROM @usage WHERE app = ?1 AND slot >= ?2 AND slot < ?3 GROUP BY room"
        );
        let mut found = std::collections::BTreeMap::<String, Spent>::new();
        for day in days(from, to) {
            self.look(day, Kind::Usage, |_, tables| {
                tables.each(&wanted, &[app.into(), from.into(), to.into()], |row| {
                    found.entry(row.text(0)?.into()).or_default().add(&spent_of(row, 1)?);
                    Ok(())
                })
            })?;
        }
        Ok(found.into_iter().collect())
    }

    /// How an app's users were served in each slot that begins from when to before when, in seconds; of slots of which that is known.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn served(&self, app: u32, from: i64, to: i64) -> Result<Vec<(i64, Served)>, Error> {
        self.by_slot(&format!("{SERVED} FROM @service"), (app, from, to), |row| served_of(row, 1))
    }

    /// What there is of an app in each slot, from when to before when.
    fn by_slot<T>(
        &self,
        what: &str,
        (app, from, to): (u32, i64, i64),
        read: impl Fn(&Record<'_>) -> Result<T, Error>,
    ) -> Result<Vec<(i64, T)>, Error> {
        let wanted = format!(
            "SELECT slot, {what} WHERE app = ?1 AND slot >= ?2 AND slot < ?3 GROUP BY slot ORDER BY slot"
        );
        let mut found = Vec::new();
        for day in days(from, to) {
            self.look(day, Kind::Usage, |_, tables| {
                let values = [app.into(), from.into(), to.into()];
                found.extend(tables.all(&wanted, &values, |row| Ok((row.int(0)?, read(row)?)))?);
                Ok(())
            })?;
        }
        Ok(found)
    }
}

/// The days that have slots from when to before when.
fn days(from: i64, to: i64) -> impl Iterator<Item = Day> {
    (Day::of(from).0..=Day::of(to - 1).0).map(Day)
}

fn all_of_day(tables: &Tables<'_>, app: u32) -> Result<Spent, Error> {
    let wanted = format!("SELECT {SPENT} FROM @usage WHERE app = ?1");
    Ok(tables.one(&wanted, &[app.into()], |row| spent_of(row, 0))?.unwrap_or_default())
}

/// Eleven columns of sums, from the one at `at` on; nothing where there is nothing to add up.
fn spent_of(row: &Record<'_>, at: usize) -> Result<Spent, Error> {
    let read = |column: usize| row.int(at + column).map(i64::unsigned_abs);
    let tiers =
        |at: usize| Ok::<_, Error>([read(at)?, read(at + 1)?, read(at + 2)?, read(at + 3)?, read(at + 4)?]);
    Ok(Spent { audio: read(0)?, each: tiers(1)?, together: tiers(6)? })
}

/// Nine columns of sums, from the one at `at` on.
fn served_of(row: &Record<'_>, at: usize) -> Result<Served, Error> {
    let read = |column: usize| row.int(at + column).map(i64::unsigned_abs);
    Ok(Served {
        video: [read(0)?, read(1)?],
        audio: [read(2)?, read(3)?],
        delays: [read(4)?, read(5)?],
        joins: [read(6)?, read(7)?, read(8)?],
    })
}
