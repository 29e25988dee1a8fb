//! What was used, and how users were served, as it is asked for: by slots, days and rooms. What several runs of the server have counted
//! of a slot is added up here.

use hashbrown::HashMap;
use rusqlite::Connection;

use crate::day::{served_of, spent_of};
use crate::files::{Day, Kind};
use crate::{Error, Reader, Served, Spent};

/// A day may get rows for so long after its end, in seconds.
const LATE: i64 = 600;

/// The columns of a [`Spent`].
const SPENT: &str = "sum(audio), sum(sd), sum(hd), sum(fhd), sum(two_k), sum(four_k),
    sum(all_sd), sum(all_hd), sum(all_fhd), sum(all_two_k), sum(all_four_k)";

/// The columns of a [`Served`].
const SERVED: &str =
    "sum(video), sum(video_stalled), sum(audio), sum(audio_stalled), sum(delays), sum(short_delays),
    sum(asked), sum(let_in), sum(slow)";

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
        self.by_slot(&format!("{SPENT} FROM usage"), (app, from, to), |row| spent_of(row, 1))
    }

    /// What an app has used on the day that begins then, in seconds.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn used_on(&self, app: u32, begins: i64) -> Result<Spent, Error> {
        let day = Day::of(begins);
        let is_over = day.next().begins() + LATE < self.now();
        let used = self.look(day, Kind::Usage, |file, connection| {
            let known = self.days_used.lock().get(&(day, app)).filter(|(known, _)| *known == file).copied();
            if let Some((_, spent)) = known {
                return Ok(spent);
            }
            let spent = all_of_day(connection, app)?;
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
        let wanted =
            format!("SELECT room, {SPENT} FROM usage WHERE app = ? AND slot >= ? AND slot < ? GROUP BY room");
        let mut found = std::collections::BTreeMap::<String, Spent>::new();
        for day in days(from, to) {
            self.look(day, Kind::Usage, |_, connection| {
                let mut wanted = connection.prepare_cached(&wanted)?;
                let mut rows = wanted.query([app.into(), from, to])?;
                while let Some(row) = rows.next()? {
                    found.entry(row.get(0)?).or_default().add(&spent_of(row, 1)?);
                }
                Ok(())
            })?;
        }
        Ok(found.into_iter().collect())
    }

    /// How an app's users were served in each slot that begins from when to before when, in seconds; of slots of which that is known.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn served(&self, app: u32, from: i64, to: i64) -> Result<Vec<(i64, Served)>, Error> {
        self.by_slot(&format!("{SERVED} FROM service"), (app, from, to), |row| served_of(row, 1))
    }

    /// What there is of an app in each slot, from when to before when.
    fn by_slot<T>(
        &self,
        what: &str,
        (app, from, to): (u32, i64, i64),
        read: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<(i64, T)>, Error> {
        let wanted = format!(
            "SELECT slot, {what} WHERE app = ? AND slot >= ? AND slot < ? GROUP BY slot ORDER BY slot"
        );
        let mut found = Vec::new();
        for day in days(from, to) {
            self.look(day, Kind::Usage, |_, connection| {
                let mut wanted = connection.prepare_cached(&wanted)?;
                let mut rows = wanted.query([app.into(), from, to])?;
                while let Some(row) = rows.next()? {
                    found.push((row.get(0)?, read(row)?));
                }
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

fn all_of_day(connection: &Connection, app: u32) -> Result<Spent, Error> {
    let wanted = format!("SELECT count(*), {SPENT} FROM usage WHERE app = ?");
    let read = |row: &rusqlite::Row<'_>| match row.get::<_, i64>(0)? {
        0 => Ok(Spent::default()),
        _ => spent_of(row, 1),
    };
    Ok(connection.prepare_cached(&wanted)?.query_row([app], read)?)
}
