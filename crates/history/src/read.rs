//! What callers ask of history: which calls there were in a window, who was in one, what happened to somebody.
//!
//! A day's file has all that lived on it. What is open at the end of a day may have ended on a later one, which is looked at
//! then.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::crowd::{self, Crowd};
use crate::day;
use crate::files::{self, Day, Kind};
use crate::spans::{self, Known, OPEN, Spans};
use crate::used::Days;
use crate::window::Window;
use crate::{Call, CallId, Cause, Client, Error, Event, Quality, Stay, Unusual};

/// What is written around midnight may be in either day's file.
const AROUND_MIDNIGHT: i64 = 60;

/// How many connections to one file are kept for the next who asks.
const MOST_IDLE: usize = 4;

/// How many events are looked at to find what somebody saw of others.
const MOST_EVENTS: i64 = 20_000;

/// How long a row of samples is at most.
const ROW_SECONDS: i64 = 2 * crate::MOST_SAMPLES as i64;

/// Which of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// From 0.
    pub number: usize,
    /// How many are on one.
    pub size: usize,
}

impl Page {
    fn of<T>(self, all: impl Iterator<Item = T>) -> Vec<T> {
        all.skip(self.number.saturating_mul(self.size)).take(self.size).collect()
    }
}

/// Somebody in a call, and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Its place; 0 is who is asked about.
    pub who: i64,
    /// Its name; empty of one who is forgotten.
    pub user: String,
}

/// How much there was on a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scale {
    /// When the day began, in seconds.
    pub day: i64,
    /// Users, each once a call.
    pub users: u64,
    /// How often somebody came in.
    pub entries: u64,
    /// Calls.
    pub calls: u64,
}

/// Something that somebody will have noticed, with whom and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noticed {
    /// The room's id.
    pub room: String,
    /// Who; empty of one who is forgotten.
    pub user: String,
    /// What.
    pub what: Unusual,
}

type Idle = HashMap<(Day, Kind), Vec<((u64, u64), Connection)>, foldhash::fast::RandomState>;

type Scales = HashMap<(Day, u32), ((u64, u64), Scale), foldhash::fast::RandomState>;

/// By day, app, and whether by the hour.
type Crowds = HashMap<(Day, u32, bool), ((u64, u64), Vec<Crowd>), foldhash::fast::RandomState>;

/// Looks into what is written. Its calls read files, and block the thread for that.
pub struct Reader {
    folder: PathBuf,
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    idle: Mutex<Idle>,
    spans: Known,
    scales: Mutex<Scales>,
    crowds: Mutex<Crowds>,
    pub(crate) days_used: Mutex<Days>,
}

impl Reader {
    /// Looks into the history in `folder`, which another may be writing; `clock` tells the time in milliseconds.
    pub fn new(folder: &Path, clock: Arc<dyn Fn() -> i64 + Send + Sync>) -> Self {
        Self {
            folder: folder.into(),
            clock,
            idle: Mutex::default(),
            spans: Known::default(),
            scales: Mutex::default(),
            crowds: Mutex::default(),
            days_used: Mutex::default(),
        }
    }

    /// The calls of an app that lived in a window, of these rooms or of all, the newest first; how many there are, and a
    /// page.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn calls(
        &self,
        app: u32,
        window: Window,
        rooms: &[String],
        page: Page,
    ) -> Result<(usize, Vec<Call>), Error> {
        let days = self.days(window)?;
        let today = self.today();
        let mut found: Arc<Spans> = Arc::default();
        for day in &days {
            let spans = self.look(*day, Kind::Calls, |file, connection| {
                if rooms.is_empty() {
                    return self.spans.of(*day, *day == today, app, file, connection);
                }
                let mut of_rooms = Vec::new();
                for room in rooms {
                    of_rooms.extend(spans::read(connection, "app = ? AND room = ?", &[&app, room])?);
                }
                Ok(Arc::new(of_rooms.into()))
            })?;
            let Some(spans) = spans else { continue };
            found = if found.is_empty() { spans } else { Arc::new(spans::join(&found, &spans)) };
        }
        let wanted = page.of(found.within(window));
        let calls = wanted.into_iter().map(|call| {
            let get = |connection: &Connection| call_where(connection, "call = ?", &[&call]);
            self.follow(&days, get, |call| call.ended.is_none())
        });
        let calls = calls.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        Ok((found.count_within(window), calls))
    }

    /// A call by its name, if it lived in the window.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn call(&self, id: CallId, window: Window) -> Result<Option<Call>, Error> {
        let days = self.days(window)?;
        let get = |connection: &Connection| {
            let condition = "app = ? AND number = ? AND made = ?";
            call_where(connection, condition, &[&id.app, &id.number, &id.made])
        };
        let call = self.follow(&days, get, |call| call.ended.is_none())?;
        let is_in =
            |call: &Call| call.made <= window.to && call.ended.is_none_or(|(ended, _)| ended >= window.from);
        Ok(call.filter(is_in))
    }

    /// Who was in a call in a window, of these users or of all, in the order of their coming; how many stays there are,
    /// and a page.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn stays(
        &self,
        call: &Call,
        window: Window,
        users: &[String],
        page: Page,
    ) -> Result<(usize, Vec<Stay>), Error> {
        let days = self.days(window)?;
        let (from, to) = window.millis();
        let mut found = std::collections::BTreeMap::new();
        for day in &days {
            self.look(*day, Kind::Calls, |_, connection| {
                let mut take = |condition: &str, values: &[&dyn rusqlite::ToSql]| -> Result<(), Error> {
                    let wanted = format!("SELECT stay, coalesce(left, {OPEN}) FROM stays WHERE {condition}");
                    let mut wanted = connection.prepare_cached(&wanted)?;
                    let mut rows = wanted.query(values)?;
                    while let Some(row) = rows.next()? {
                        found.insert(row.get::<_, i64>(0)?, row.get::<_, i64>(1)?);
                    }
                    Ok(())
                };
                if users.is_empty() {
                    return take("call = ? AND stay <= ?", &[&call.call, &to]);
                }
                for user in users {
                    let of_user = "call = ?1 AND stay <= ?2 AND who IN
                        (SELECT who FROM people WHERE app = ?3 AND user = ?4 AND call = ?1)";
                    take(of_user, &[&call.call, &to, &call.app, &user])?;
                }
                Ok(())
            })?;
        }
        found.retain(|_, left| *left >= from);
        let stays = page.of(found.keys().copied()).into_iter().map(|stay| {
            let get = |connection: &Connection| stay_of(connection, call, stay);
            self.follow(&days, get, |stay| stay.left.is_none())
        });
        let stays = stays.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        Ok((found.len(), stays))
    }

    /// What happened in a window to those stays of a call, in order.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn events(&self, stays: &[Stay], window: Window) -> Result<Vec<Event>, Error> {
        let (from, to) = window.millis();
        let mut found = Vec::new();
        for day in self.days(window)? {
            self.look(day, Kind::Calls, |_, connection| {
                let wanted = "SELECT stay, at, n, event, media, peer, p1, p2 FROM events
                    WHERE call = ? AND stay = ? AND at BETWEEN ? AND ?";
                let mut wanted = connection.prepare_cached(wanted)?;
                for stay in stays {
                    let mut rows = wanted.query([stay.call, stay.stay, from, to])?;
                    while let Some(row) = rows.next()? {
                        found.push(event(row, stay.call)?);
                    }
                }
                Ok(())
            })?;
        }
        found.sort_unstable_by_key(|event| (event.at, event.stay, event.n));
        found.dedup();
        Ok(found)
    }

    /// Events of these kinds that happened in a window to others in a call, with who they are.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn events_of_others(
        &self,
        stay: &Stay,
        window: Window,
        kinds: &[u16],
    ) -> Result<Vec<(Person, Event)>, Error> {
        let kinds: Vec<String> = kinds.iter().map(u16::to_string).collect();
        let wanted = format!(
            "SELECT events.stay, at, n, event, media, peer, p1, p2, stays.who, coalesce(people.user, '')
            FROM events JOIN stays USING (call, stay) LEFT JOIN people USING (call, who)
            WHERE events.call = ? AND at BETWEEN ? AND ? AND stays.who <> ? AND event IN ({}) ORDER BY at LIMIT {MOST_EVENTS}",
            kinds.join(", ")
        );
        let (from, to) = window.millis();
        let mut found: Vec<(Person, Event)> = Vec::new();
        for day in self.days(window)? {
            self.look(day, Kind::Calls, |_, connection| {
                let mut wanted = connection.prepare_cached(&wanted)?;
                let mut rows = wanted.query(params![stay.call, from, to, stay.who])?;
                while let Some(row) = rows.next()? {
                    let person = Person { who: row.get(8)?, user: row.get(9)? };
                    found.push((person, event(row, stay.call)?));
                }
                Ok(())
            })?;
        }
        found.sort_by_key(|(person, event)| (event.at, person.who, event.n));
        found.dedup();
        Ok(found)
    }

    /// The samples of a stay in a window, as they were packed.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn quality(&self, stay: &Stay, window: Window) -> Result<Vec<Quality>, Error> {
        let mut found = Vec::new();
        // A row begins before its last samples.
        let early = Window { from: window.from.saturating_sub(ROW_SECONDS), to: window.to };
        for day in self.days(early)? {
            self.look(day, Kind::Quality, |_, connection| {
                let wanted = "SELECT t0, peer, media, packed FROM quality
                    WHERE call = ? AND stay = ? AND t0 BETWEEN ? AND ? ORDER BY t0, peer, media";
                let mut wanted = connection.prepare_cached(wanted)?;
                let mut rows = wanted.query([stay.call, stay.stay, early.from, early.to])?;
                while let Some(row) = rows.next()? {
                    let (call, stay) = (stay.call, stay.stay);
                    let (from, peer, media, packed) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
                    found.push(Quality { call, stay, from, peer, media, packed });
                }
                Ok(())
            })?;
        }
        found.sort_by_key(|row| (row.peer, row.media, row.from));
        Ok(found)
    }

    /// What somebody of an app will have noticed in a window, in these rooms or in all, the newest first; at most so many.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn unusual(
        &self,
        app: u32,
        window: Window,
        rooms: &[String],
        most: usize,
    ) -> Result<Vec<Noticed>, Error> {
        let named = vec!["?"; rooms.len()].join(", ");
        let in_rooms = if rooms.is_empty() { String::new() } else { format!("AND room IN ({named})") };
        let wanted = format!(
            "SELECT unusual.at, call, unusual.stay, experience, causes, coalesce(room, ''), coalesce(user, '')
            FROM unusual LEFT JOIN calls USING (call) LEFT JOIN stays USING (call, stay) LEFT JOIN people USING (call, who)
            WHERE unusual.app = ? AND unusual.at BETWEEN ? AND ? {in_rooms} ORDER BY unusual.at DESC LIMIT {most}"
        );
        let (from, to) = window.millis();
        let mut found = Vec::new();
        for day in self.days(window)?.into_iter().rev() {
            self.look(day, Kind::Calls, |_, connection| {
                let mut wanted = connection.prepare_cached(&wanted)?;
                let values = [&app as &dyn rusqlite::ToSql, &from, &to];
                let rooms = rooms.iter().map(|room| room as &dyn rusqlite::ToSql);
                let values: Vec<&dyn rusqlite::ToSql> = values.into_iter().chain(rooms).collect();
                let mut rows = wanted.query(values.as_slice())?;
                while let Some(row) = rows.next()? {
                    let what = Unusual {
                        app,
                        at: row.get(0)?,
                        call: row.get(1)?,
                        stay: row.get(2)?,
                        experience: row.get(3)?,
                        causes: day::causes_of(&row.get::<_, String>(4)?),
                    };
                    found.push(Noticed { room: row.get(5)?, user: row.get(6)?, what });
                }
                Ok(())
            })?;
        }
        found.truncate(most);
        Ok(found)
    }

    /// The samples of all who were in a call in a window, as they were packed; `None` when there are more rows than so many.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn quality_of_call(
        &self,
        call: &Call,
        window: Window,
        most: usize,
    ) -> Result<Option<Vec<Quality>>, Error> {
        let mut found = Vec::new();
        let early = Window { from: window.from.saturating_sub(ROW_SECONDS), to: window.to };
        for day in self.days(early)? {
            self.look(day, Kind::Quality, |_, connection| {
                let wanted = "SELECT t0, peer, media, packed, stay FROM quality
                    WHERE call = ? AND peer <> 0 AND t0 BETWEEN ? AND ?";
                let mut wanted = connection.prepare_cached(wanted)?;
                let mut rows = wanted.query([call.call, early.from, early.to])?;
                while let Some(row) = rows.next()?.filter(|_| found.len() <= most) {
                    let (from, peer, media, packed) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
                    found.push(Quality { call: call.call, stay: row.get(4)?, from, peer, media, packed });
                }
                Ok(())
            })?;
        }
        Ok(Some(found).filter(|found| found.len() <= most))
    }

    /// Who was at a place of a call's join order.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn person(&self, call: i64, who: i64, window: Window) -> Result<Option<String>, Error> {
        for day in self.days(window)?.into_iter().rev() {
            let user = self.look(day, Kind::Calls, |_, connection| {
                let wanted = "SELECT user FROM people WHERE call = ? AND who = ?";
                let mut wanted = connection.prepare_cached(wanted)?;
                Ok(wanted.query_row([call, who], |row| row.get(0)).optional()?)
            })?;
            if let Some(user) = user.flatten() {
                return Ok(Some(user));
            }
        }
        Ok(None)
    }

    /// How much there was on each day of a window that is over, the newest first.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn scale(&self, app: u32, window: Window) -> Result<Vec<Scale>, Error> {
        let (first, last) = (Day::of(window.from), Day::of(window.to).min(self.today().before()));
        let mut found = Vec::new();
        for day in self.there().into_iter().rev().filter(|day| (first..=last).contains(day)) {
            let scale = self.look(day, Kind::Calls, |file, connection| {
                let known = self.scales.lock().get(&(day, app)).copied();
                if let Some((_, scale)) = known.filter(|(known, _)| *known == file) {
                    return Ok(scale);
                }
                let scale = count(connection, day, app)?;
                self.scales.lock().insert((day, app), (file, scale));
                Ok(scale)
            })?;
            found.extend(scale.filter(|scale| scale.calls > 0));
        }
        self.scales.lock().retain(|(day, _), _| *day >= first.min(Day(self.today().0 - 400)));
        Ok(found)
    }

    /// How many were there at once and in all, in each day of a window, or in each hour of its days: of days that are written.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn crowds(&self, app: u32, window: Window, is_hourly: bool) -> Result<Vec<Crowd>, Error> {
        let now = self.now();
        let (today, first, last) = (Day::of(now), Day::of(window.from), Day::of(window.to));
        let mut found = Vec::new();
        for day in self.there().into_iter().filter(|day| (first..=last).contains(day)) {
            let crowds = self.look(day, Kind::Calls, |file, connection| {
                let key = (day, app, is_hourly);
                let known = self.crowds.lock().get(&key).filter(|(known, _)| *known == file).cloned();
                if let Some((_, crowds)) = known {
                    return Ok(crowds);
                }
                let times = times_of(connection, day, app, now)?;
                let length = if is_hourly { 3600 } else { 86_400 };
                let hours = (day.begins()..day.next().begins().min(now + 1))
                    .step_by(usize::try_from(length).unwrap_or(1));
                let crowds = crowd::crowds(times, hours, length);
                if day < today {
                    self.crowds.lock().insert(key, (file, crowds.clone()));
                }
                Ok(crowds)
            })?;
            found.extend(crowds.unwrap_or_default());
        }
        self.crowds.lock().retain(|(day, ..), _| day.0 >= today.0 - 400);
        Ok(found)
    }

    // Days

    pub(crate) fn now(&self) -> i64 {
        (self.clock)().div_euclid(1000)
    }

    fn today(&self) -> Day {
        Day::of(self.now())
    }

    /// The days of which there are calls, the oldest first.
    fn there(&self) -> Vec<Day> {
        let found = files::list(&self.folder).into_iter();
        found.filter(|(_, kind)| *kind == Kind::Calls).map(|(day, _)| day).collect()
    }

    /// The days in which is what lived in a window.
    fn days(&self, window: Window) -> Result<Vec<Day>, Error> {
        let first = Day::of(window.from.saturating_sub(AROUND_MIDNIGHT));
        let last = Day::of(window.to.saturating_add(AROUND_MIDNIGHT)).min(self.today());
        let there = self.there();
        let mut begin = there.partition_point(|day| *day < first);
        let end = there.partition_point(|day| *day <= last);
        // Of what began before, a day that is not ready has only a part.
        while let Some(day) = there.get(begin).filter(|_| begin > 0 && begin < end) {
            let is_ready = self.look(*day, Kind::Calls, |_, connection| day::is_ready(connection))?;
            if is_ready != Some(false) {
                break;
            }
            begin -= 1;
        }
        Ok(there.get(begin..end).unwrap_or_default().to_vec())
    }

    /// Looks into a day's file; `None` when there is none.
    pub(crate) fn look<T>(
        &self,
        day: Day,
        kind: Kind,
        get: impl FnOnce((u64, u64), &Connection) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let path = files::path(&self.folder, day, kind);
        let Some(file) = files::identity(&path) else { return Ok(None) };
        let known = self.idle.lock().get_mut(&(day, kind)).and_then(|idle| {
            idle.retain(|(known, _)| *known == file);
            idle.pop()
        });
        let connection = match known {
            Some((_, connection)) => connection,
            None => match day::open_to_read(&path)? {
                Some(connection) => connection,
                None => return Ok(None),
            },
        };
        let got = get(file, &connection)?;
        let mut idle = self.idle.lock();
        let there = idle.len();
        let of_file = idle.entry((day, kind)).or_default();
        if of_file.len() < MOST_IDLE {
            of_file.push((file, connection));
        }
        if there > 64 {
            // Days that have gone are not held on to.
            idle.retain(|(day, kind), _| files::identity(&files::path(&self.folder, *day, *kind)).is_some());
        }
        Ok(Some(got))
    }

    /// What is known of something by the newest of `days` that has it, or by a later day when it was open then.
    fn follow<T>(
        &self,
        days: &[Day],
        get: impl Fn(&Connection) -> Result<Option<T>, Error>,
        is_open: impl Fn(&T) -> bool,
    ) -> Result<Option<T>, Error> {
        let Some(mut day) = days.last().copied() else { return Ok(None) };
        let at = |day: Day| {
            Ok::<_, Error>(self.look(day, Kind::Calls, |_, connection| get(connection))?.flatten())
        };
        let mut found = None;
        for day in days.iter().rev() {
            found = at(*day)?;
            if found.is_some() {
                break;
            }
        }
        while found.as_ref().is_some_and(&is_open) && day < self.today() {
            day = day.next();
            found = at(day)?.or(found);
        }
        Ok(found)
    }
}

/// When who was in which call on a day, up to now.
fn times_of(connection: &Connection, day: Day, app: u32, now: i64) -> Result<Vec<crowd::Time>, Error> {
    let wanted = "SELECT call, user, stay, left FROM stays JOIN people USING (call, who) WHERE app = ?";
    let mut wanted = connection.prepare(wanted)?;
    let mut rows = wanted.query([app])?;
    let mut times = Vec::new();
    let hasher = foldhash::fast::FixedState::default();
    while let Some(row) = rows.next()? {
        let (stay, left): (i64, Option<i64>) = (row.get(2)?, row.get(3)?);
        // Open on a day that is over: it went on.
        let end = left.map_or(day.next().begins().min(now), |left| left.div_euclid(1000));
        times.push(crowd::Time {
            call: row.get(0)?,
            user: std::hash::BuildHasher::hash_one(&hasher, row.get_ref(1)?.as_bytes().unwrap_or_default()),
            from: stay.div_euclid(1000),
            // Who came and went in one second was there.
            to: end.max(stay.div_euclid(1000) + 1),
        });
    }
    Ok(times)
}

fn call_where(
    connection: &Connection,
    condition: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Option<Call>, Error> {
    let wanted = format!("SELECT call, app, room, made, ended, cause, creator FROM calls WHERE {condition}");
    let read = |row: &Row<'_>| {
        Ok(Call {
            call: row.get(0)?,
            app: row.get(1)?,
            room: row.get(2)?,
            made: row.get(3)?,
            ended: ending(row, 4)?,
            creator: row.get(6)?,
        })
    };
    Ok(connection.prepare_cached(&wanted)?.query_row(values, read).optional()?)
}

fn stay_of(connection: &Connection, call: &Call, stay: i64) -> Result<Option<Stay>, Error> {
    let wanted = "SELECT who, coalesce(user, ''), left, cause, is_anchor, terminal, device, sdk, address
        FROM stays LEFT JOIN people USING (call, who) WHERE call = ? AND stay = ?";
    let read = |row: &Row<'_>| {
        let client =
            Client { terminal: row.get(5)?, device: row.get(6)?, sdk: row.get(7)?, address: row.get(8)? };
        Ok(Stay {
            call: call.call,
            stay,
            who: row.get(0)?,
            app: call.app,
            user: row.get(1)?,
            left: ending(row, 2)?,
            is_anchor: row.get(4)?,
            client,
        })
    };
    Ok(connection.prepare_cached(wanted)?.query_row(params![call.call, stay], read).optional()?)
}

/// A moment and a cause, in two columns.
fn ending(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<(i64, Cause)>> {
    let (ended, cause): (Option<i64>, Option<i64>) = (row.get(at)?, row.get(at + 1)?);
    Ok(ended.map(|ended| (ended, Cause::of(cause.unwrap_or(-1)))))
}

fn event(row: &Row<'_>, call: i64) -> rusqlite::Result<Event> {
    Ok(Event {
        call,
        stay: row.get(0)?,
        at: row.get(1)?,
        n: row.get(2)?,
        event: row.get(3)?,
        media: row.get(4)?,
        peer: row.get(5)?,
        p1: row.get(6)?,
        p2: row.get(7)?,
    })
}

fn count(connection: &Connection, day: Day, app: u32) -> Result<Scale, Error> {
    let number = |sql: &str, values: &[&dyn rusqlite::ToSql]| -> Result<u64, Error> {
        let count: i64 = connection.query_row(sql, values, |row| row.get(0))?;
        Ok(count.unsigned_abs())
    };
    let (begins, ends) = (day.begins() * 1000, day.next().begins() * 1000);
    Ok(Scale {
        day: day.begins(),
        users: number(
            "SELECT count(*) FROM (SELECT DISTINCT call, user FROM people WHERE app = ?)",
            &[&app],
        )?,
        entries: number(
            "SELECT count(*) FROM stays JOIN people USING (call, who)
            WHERE app = ? AND stay >= ? AND stay < ?",
            &[&app, &begins, &ends],
        )?,
        calls: number("SELECT count(*) FROM calls WHERE app = ?", &[&app])?,
    })
}
