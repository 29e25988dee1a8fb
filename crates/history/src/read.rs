//! What callers ask of history: which calls there were in a window, who was in one, what happened to somebody.
//!
//! A day has all that lived on it. What is open at the end of a day may have ended on a later one, which is looked at
//! then.

use std::collections::BTreeMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::ask::{Record, Tables, Value, places};
use crate::crowd::{self, Crowd};
use crate::day;
use crate::files::{Day, Kind};
use crate::options::{Clock, Place};
use crate::source::Source;
use crate::spans::{self, Known, OPEN, Spans};
use crate::used::Days;
use crate::window::Window;
use crate::{Call, CallId, Cause, Client, Error, Event, Quality, Stay, Unusual};

/// What is written around midnight may be in either day's file.
const AROUND_MIDNIGHT: i64 = 60;

/// How many rows are asked for by their keys at once.
const ASKED_AT_ONCE: usize = 64;

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

/// Somebody's time in a call, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Its place: others are told apart by it who are forgotten.
    pub who: i64,
    /// The user's name; empty of one who is forgotten.
    pub user: String,
    /// When it came in.
    pub from: i64,
    /// When it went; `None` while it is in.
    pub to: Option<i64>,
}

/// A member's time in a call, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberTime {
    /// In which.
    pub call: i64,
    /// Which member of it.
    pub who: i64,
    /// When it came in.
    pub from: i64,
    /// When it went; `None` while it is in.
    pub to: Option<i64>,
}

type Scales = HashMap<(Day, u32), ((u64, u64), Scale), foldhash::fast::RandomState>;

/// By day, app, and whether by the hour.
type Crowds = HashMap<(Day, u32, bool), ((u64, u64), Vec<Crowd>), foldhash::fast::RandomState>;

/// Looks into what is written. Its calls read a disk or ask a database, and block the thread for that, which may be of no runtime.
pub struct Reader {
    source: Source,
    clock: Clock,
    spans: Known,
    scales: Mutex<Scales>,
    crowds: Mutex<Crowds>,
    pub(crate) days_used: Mutex<Days>,
}

impl Reader {
    /// Looks into the history of a place, which another may be writing.
    pub fn new(place: &Place, clock: Clock) -> Self {
        Self {
            source: Source::of(place),
            clock,
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
            let spans = self.look(*day, Kind::Calls, |file, tables| {
                if rooms.is_empty() {
                    return self.spans.of(*day, *day == today, app, file, tables);
                }
                let mut of_rooms = Vec::new();
                for room in rooms {
                    let values = [app.into(), room.into()];
                    of_rooms.extend(spans::read(tables, "app = ?1 AND room = ?2", &values)?);
                }
                Ok(Arc::new(of_rooms.into()))
            })?;
            let Some(spans) = spans else { continue };
            found = if found.is_empty() { spans } else { Arc::new(spans::join(&found, &spans)) };
        }
        let wanted = page.of(found.within(window));
        let get = |tables: &Tables<'_>, asked: &[i64]| {
            let values: Vec<Value<'_>> = asked.iter().map(|call| (*call).into()).collect();
            let calls = calls_where(tables, &format!("call IN ({})", places(1, asked.len())), &values)?;
            Ok(calls.into_iter().map(|call| (call.call, call)).collect())
        };
        let mut calls = self.follow(&days, &wanted, get, |call| call.ended.is_none())?;
        Ok((found.count_within(window), wanted.iter().filter_map(|call| calls.remove(call)).collect()))
    }

    /// A call by its name, if it lived in the window.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn call(&self, id: CallId, window: Window) -> Result<Option<Call>, Error> {
        let days = self.days(window)?;
        let get = |tables: &Tables<'_>, _: &[i64]| {
            let values = [id.app.into(), id.number.into(), id.made.into()];
            let calls = calls_where(tables, "app = ?1 AND number = ?2 AND made = ?3", &values)?;
            Ok(calls.into_iter().map(|call| (id.number, call)).collect())
        };
        let mut calls = self.follow(&days, &[id.number], get, |call| call.ended.is_none())?;
        let is_in =
            |call: &Call| call.made <= window.to && call.ended.is_none_or(|(ended, _)| ended >= window.from);
        Ok(calls.remove(&id.number).filter(is_in))
    }

    /// Who was in a call in a window, of these users or of all, in the order of their coming; how many stays there are,
    /// and a page. Who is forgotten is none of the users.
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
        let mut found = BTreeMap::new();
        for day in &days {
            self.look(*day, Kind::Calls, |_, tables| {
                let mut take = |condition: &str, values: &[Value<'_>]| {
                    let wanted =
                        format!("SELECT stay, coalesce(\"left\", {OPEN}) FROM @stays WHERE {condition}");
                    tables.each(&wanted, values, |row| {
                        found.insert(row.int(0)?, row.int(1)?);
                        Ok(())
                    })
                };
                if users.is_empty() {
                    return take("call = ?1 AND stay <= ?2", &[call.call.into(), to.into()]);
                }
                for user in users.iter().filter(|user| !user.is_empty()) {
                    let of_user = "call = ?1 AND stay <= ?2 AND who IN
                        (SELECT who FROM @people WHERE app = ?3 AND \"user\" = ?4 AND call = ?1)";
                    take(of_user, &[call.call.into(), to.into(), call.app.into(), user.into()])?;
                }
                Ok(())
            })?;
        }
        found.retain(|_, left| *left >= from);
        let wanted = page.of(found.keys().copied());
        let get = |tables: &Tables<'_>, asked: &[i64]| stays_of(tables, call, asked);
        let mut stays = self.follow(&days, &wanted, get, |stay| stay.left.is_none())?;
        Ok((found.len(), wanted.iter().filter_map(|stay| stays.remove(stay)).collect()))
    }

    /// When who was in a call in a window; `None` when there are more stays than so many.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn presences(
        &self,
        call: &Call,
        window: Window,
        most: usize,
    ) -> Result<Option<Vec<Presence>>, Error> {
        let (from, to) = window.millis();
        let mut found = BTreeMap::new();
        for day in self.days(window)? {
            self.look(day, Kind::Calls, |_, tables| {
                let wanted = format!(
                    "SELECT stay, \"left\", coalesce(\"user\", ''), who FROM @stays LEFT JOIN @people USING (call, who)
                    WHERE call = ?1 AND stay <= ?2 AND coalesce(\"left\", {OPEN}) >= ?3 LIMIT {}",
                    most.saturating_add(1)
                );
                tables.each(&wanted, &[call.call.into(), to.into(), from.into()], |row| {
                    let (from, to) = (row.int(0)?, row.int_or_none(1)?);
                    found.insert(from, Presence { who: row.int(3)?, user: row.text(2)?.into(), from, to });
                    Ok(())
                })
            })?;
        }
        Ok(Some(found.into_values().collect::<Vec<_>>()).filter(|found| found.len() <= most))
    }

    /// When members of an app were in calls in a window, by call and member; `None` when there are more stays than so many.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn times(&self, app: u32, window: Window, most: usize) -> Result<Option<Vec<MemberTime>>, Error> {
        let (from, to) = window.millis();
        let mut found = BTreeMap::new();
        for day in self.days(window)? {
            self.look(day, Kind::Calls, |_, tables| {
                let wanted = format!(
                    "SELECT call, who, stay, \"left\" FROM @stays JOIN @people USING (call, who)
                    WHERE app = ?1 AND stay <= ?2 AND coalesce(\"left\", {OPEN}) >= ?3 LIMIT {}",
                    most.saturating_add(1)
                );
                tables.each(&wanted, &[app.into(), to.into(), from.into()], |row| {
                    let (call, who, from) = (row.int(0)?, row.int(1)?, row.int(2)?);
                    // A later day knows of more that have gone.
                    found.insert((call, who, from), row.int_or_none(3)?);
                    Ok(())
                })
            })?;
        }
        let times = found.into_iter().map(|((call, who, from), to)| MemberTime { call, who, from, to });
        Ok(Some(times.collect::<Vec<_>>()).filter(|times| times.len() <= most))
    }

    /// What happened in a window to those stays of a call, in order.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn events(&self, stays: &[Stay], window: Window) -> Result<Vec<Event>, Error> {
        let (from, to) = window.millis();
        let mut found = Vec::new();
        for day in self.days(window)? {
            self.look(day, Kind::Calls, |_, tables| {
                let wanted = "SELECT stay, at, n, event, media, peer, p1, p2 FROM @events
                    WHERE call = ?1 AND stay = ?2 AND at BETWEEN ?3 AND ?4";
                for stay in stays {
                    let values = [stay.call.into(), stay.stay.into(), from.into(), to.into()];
                    found.extend(tables.all(wanted, &values, |row| event(row, stay.call))?);
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
            "SELECT events.stay, at, n, event, media, peer, p1, p2, stays.who, coalesce(people.\"user\", '')
            FROM @events JOIN @stays USING (call, stay) LEFT JOIN @people USING (call, who)
            WHERE events.call = ?1 AND at BETWEEN ?2 AND ?3 AND stays.who <> ?4 AND event IN ({})
            ORDER BY at LIMIT {MOST_EVENTS}",
            kinds.join(", ")
        );
        let (from, to) = window.millis();
        let mut found: Vec<(Person, Event)> = Vec::new();
        for day in self.days(window)? {
            self.look(day, Kind::Calls, |_, tables| {
                let values = [stay.call.into(), from.into(), to.into(), stay.who.into()];
                tables.each(&wanted, &values, |row| {
                    let person = Person { who: row.int(8)?, user: row.text(9)?.into() };
                    found.push((person, event(row, stay.call)?));
                    Ok(())
                })
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
            self.look(day, Kind::Quality, |_, tables| {
                let wanted = "SELECT t0, peer, media, packed, stay FROM @quality
                    WHERE call = ?1 AND stay = ?2 AND t0 BETWEEN ?3 AND ?4 ORDER BY t0, peer, media";
                let values = [stay.call.into(), stay.stay.into(), early.from.into(), early.to.into()];
                found.extend(tables.all(wanted, &values, |row| samples(row, stay.call))?);
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
        let named = places(4, rooms.len());
        let in_rooms = if rooms.is_empty() { String::new() } else { format!("AND room IN ({named})") };
        let wanted = format!(
            "SELECT unusual.at, call, unusual.stay, experience, causes, coalesce(room, ''), coalesce(\"user\", '')
            FROM @unusual LEFT JOIN @calls USING (call) LEFT JOIN @stays USING (call, stay) LEFT JOIN @people USING (call, who)
            WHERE unusual.app = ?1 AND unusual.at BETWEEN ?2 AND ?3 {in_rooms} ORDER BY unusual.at DESC LIMIT {most}"
        );
        let (from, to) = window.millis();
        let mut found = Vec::new();
        for day in self.days(window)?.into_iter().rev() {
            self.look(day, Kind::Calls, |_, tables| {
                let values = [app.into(), from.into(), to.into()];
                let values: Vec<Value<'_>> =
                    values.into_iter().chain(rooms.iter().map(Value::from)).collect();
                tables.each(&wanted, &values, |row| {
                    let what = Unusual {
                        app,
                        at: row.int(0)?,
                        call: row.int(1)?,
                        stay: row.int(2)?,
                        experience: row.narrow(3)?,
                        causes: day::causes_of(row.text(4)?),
                    };
                    found.push(Noticed { room: row.text(5)?.into(), user: row.text(6)?.into(), what });
                    Ok(())
                })
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
            self.look(day, Kind::Quality, |_, tables| {
                let wanted = format!(
                    "SELECT t0, peer, media, packed, stay FROM @quality
                    WHERE call = ?1 AND peer <> 0 AND t0 BETWEEN ?2 AND ?3 LIMIT {}",
                    most.saturating_sub(found.len()).saturating_add(1)
                );
                let values = [call.call.into(), early.from.into(), early.to.into()];
                found.extend(tables.all(&wanted, &values, |row| samples(row, call.call))?);
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
            let user = self.look(day, Kind::Calls, |_, tables| {
                let wanted = "SELECT \"user\" FROM @people WHERE call = ?1 AND who = ?2";
                tables.one(wanted, &[call.into(), who.into()], |row| Ok(row.text(0)?.to_owned()))
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
        for day in self.source.days()?.into_iter().rev().filter(|day| (first..=last).contains(day)) {
            let scale = self.look(day, Kind::Calls, |file, tables| {
                let known = self.scales.lock().get(&(day, app)).copied();
                if let Some((_, scale)) = known.filter(|(known, _)| *known == file) {
                    return Ok(scale);
                }
                let scale = count(tables, day, app)?;
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
        for day in self.source.days()?.into_iter().filter(|day| (first..=last).contains(day)) {
            let crowds = self.look(day, Kind::Calls, |file, tables| {
                let key = (day, app, is_hourly);
                let known = self.crowds.lock().get(&key).filter(|(known, _)| *known == file).cloned();
                if let Some((_, crowds)) = known {
                    return Ok(crowds);
                }
                let times = times_of(tables, day, app, now)?;
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

    /// The days in which is what lived in a window.
    fn days(&self, window: Window) -> Result<Vec<Day>, Error> {
        let first = Day::of(window.from.saturating_sub(AROUND_MIDNIGHT));
        let last = Day::of(window.to.saturating_add(AROUND_MIDNIGHT)).min(self.today());
        let there = self.source.days()?;
        let mut begin = there.partition_point(|day| *day < first);
        let end = there.partition_point(|day| *day <= last);
        // Of what began before, a day that is not ready has only a part.
        while let Some(day) = there.get(begin).filter(|_| begin > 0 && begin < end) {
            let is_ready = self.look(*day, Kind::Calls, |_, tables| tables.is_ready())?;
            if is_ready != Some(false) {
                break;
            }
            begin -= 1;
        }
        Ok(there.get(begin..end).unwrap_or_default().to_vec())
    }

    /// Looks into a day's tables; `None` when there are none.
    pub(crate) fn look<T>(
        &self,
        day: Day,
        kind: Kind,
        get: impl FnOnce((u64, u64), &Tables<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        self.source.look(day, kind, get)
    }

    /// What is known of things by the newest of `days` that has each, or by a later day when it was open then.
    fn follow<T>(
        &self,
        days: &[Day],
        wanted: &[i64],
        get: impl Fn(&Tables<'_>, &[i64]) -> Result<Vec<(i64, T)>, Error>,
        is_open: impl Fn(&T) -> bool,
    ) -> Result<HashMap<i64, T, foldhash::fast::RandomState>, Error> {
        let mut found = HashMap::default();
        let Some(mut day) = days.last().copied() else { return Ok(found) };
        let ask = |day: Day, asked: &[i64], found: &mut HashMap<i64, T, _>| {
            for asked in asked.chunks(ASKED_AT_ONCE) {
                found.extend(
                    self.look(day, Kind::Calls, |_, tables| get(tables, asked))?.into_iter().flatten(),
                );
            }
            Ok::<_, Error>(())
        };
        let mut missing = wanted.to_vec();
        for day in days.iter().rev().filter(|_| !wanted.is_empty()) {
            ask(*day, &missing, &mut found)?;
            missing.retain(|key| !found.contains_key(key));
        }
        while day < self.today() {
            let open: Vec<i64> =
                found.iter().filter(|(_, thing)| is_open(thing)).map(|(key, _)| *key).collect();
            if open.is_empty() {
                break;
            }
            day = day.next();
            ask(day, &open, &mut found)?;
        }
        Ok(found)
    }
}

/// When who was in which call on a day, up to now.
fn times_of(tables: &Tables<'_>, day: Day, app: u32, now: i64) -> Result<Vec<crowd::Time>, Error> {
    let wanted = "SELECT call, \"user\", stay, \"left\", who FROM @stays JOIN @people USING (call, who) WHERE app = ?1";
    let hasher = foldhash::fast::FixedState::default();
    tables.all(wanted, &[app.into()], |row| {
        let (stay, left) = (row.int(2)?, row.int_or_none(3)?);
        // Open on a day that is over: it went on.
        let end = left.map_or(day.next().begins().min(now), |left| left.div_euclid(1000));
        let (name, who) = (row.text(1)?, row.int(4)?);
        // Who is forgotten is told from others by the place.
        let user = if name.is_empty() { hasher.hash_one(who) } else { hasher.hash_one(name.as_bytes()) };
        Ok(crowd::Time {
            call: row.int(0)?,
            user,
            from: stay.div_euclid(1000),
            // Who came and went in one second was there.
            to: end.max(stay.div_euclid(1000) + 1),
        })
    })
}

fn calls_where(tables: &Tables<'_>, condition: &str, values: &[Value<'_>]) -> Result<Vec<Call>, Error> {
    let wanted = format!("SELECT call, app, room, made, ended, cause, creator FROM @calls WHERE {condition}");
    tables.all(&wanted, values, |row| {
        Ok(Call {
            call: row.int(0)?,
            app: row.narrow(1)?,
            room: row.text(2)?.into(),
            made: row.int(3)?,
            ended: ending(row, 4)?,
            creator: row.text(6)?.into(),
        })
    })
}

fn stays_of(tables: &Tables<'_>, call: &Call, asked: &[i64]) -> Result<Vec<(i64, Stay)>, Error> {
    let wanted = format!(
        "SELECT who, coalesce(\"user\", ''), \"left\", cause, is_anchor, terminal, device, sdk, address, stay
        FROM @stays LEFT JOIN @people USING (call, who) WHERE call = ?1 AND stay IN ({})",
        places(2, asked.len())
    );
    let asked = asked.iter().map(|stay| Value::Int(*stay));
    let values: Vec<Value<'_>> = std::iter::once(call.call.into()).chain(asked).collect();
    tables.all(&wanted, &values, |row| {
        let client = Client {
            terminal: row.narrow(5)?,
            device: row.text(6)?.into(),
            sdk: row.text(7)?.into(),
            address: row.text(8)?.into(),
        };
        let stay = Stay {
            call: call.call,
            stay: row.int(9)?,
            who: row.int(0)?,
            app: call.app,
            user: row.text(1)?.into(),
            left: ending(row, 2)?,
            is_anchor: row.int(4)? != 0,
            client,
        };
        Ok((stay.stay, stay))
    })
}

/// A moment and a cause, in two columns.
fn ending(row: &Record<'_>, at: usize) -> Result<Option<(i64, Cause)>, Error> {
    let (ended, cause) = (row.int_or_none(at)?, row.int_or_none(at + 1)?);
    Ok(ended.map(|ended| (ended, Cause::of(cause.unwrap_or(-1)))))
}

fn event(row: &Record<'_>, call: i64) -> Result<Event, Error> {
    Ok(Event {
        call,
        stay: row.int(0)?,
        at: row.int(1)?,
        n: row.narrow(2)?,
        event: row.narrow(3)?,
        media: row.narrow(4)?,
        peer: row.int(5)?,
        p1: row.int(6)?,
        p2: row.int(7)?,
    })
}

fn samples(row: &Record<'_>, call: i64) -> Result<Quality, Error> {
    Ok(Quality {
        call,
        stay: row.int(4)?,
        from: row.int(0)?,
        peer: row.int(1)?,
        media: row.narrow(2)?,
        packed: row.bytes(3)?,
    })
}

fn count(tables: &Tables<'_>, day: Day, app: u32) -> Result<Scale, Error> {
    let number = |sql: &str, values: &[Value<'_>]| -> Result<u64, Error> {
        Ok(tables.one(sql, values, |row| row.int(0))?.unwrap_or_default().unsigned_abs())
    };
    let (begins, ends) = (day.begins() * 1000, day.next().begins() * 1000);
    Ok(Scale {
        day: day.begins(),
        users: number(
            // Who is forgotten is told from others by the place.
            "SELECT count(*) FROM (SELECT DISTINCT call, \"user\", CASE WHEN \"user\" = '' THEN who ELSE 0 END FROM @people
            WHERE app = ?1) AS pairs",
            &[app.into()],
        )?,
        entries: number(
            "SELECT count(*) FROM @stays JOIN @people USING (call, who)
            WHERE app = ?1 AND stay >= ?2 AND stay < ?3",
            &[app.into(), begins.into(), ends.into()],
        )?,
        calls: number("SELECT count(*) FROM @calls WHERE app = ?1", &[app.into()])?,
    })
}
