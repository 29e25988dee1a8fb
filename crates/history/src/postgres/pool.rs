//! Connections of those who read, of which there are few, and which days there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use store::Target;

use super::link::{Link, Partitions};
use super::schema::{self, Days};
use crate::Error;
use crate::files::{Day, Kind};

/// How many read at once; others wait for them.
const MOST: usize = 2;

/// How long it is not asked again which days there are.
const FRESH: Duration = Duration::from_secs(1);

/// After so long it is made sure that a connection is still there.
const OLD: Duration = Duration::from_secs(5);

/// How many may wait for them, or for an answer: who comes then is told so, and takes no thread from others.
const MOST_ASKING: usize = 64;

/// What was found, or why nothing was.
type Known = Result<Arc<Days>, String>;

#[derive(Default)]
struct State {
    /// And since when.
    idle: Vec<(Link, Instant)>,
    /// How many there are, in use or not.
    count: usize,
}

/// Connections.
pub(crate) struct Pool {
    target: Target,
    state: Mutex<State>,
    freed: Condvar,
    asking: AtomicUsize,
    /// What was found last, or that nothing could be: those who waited need not try it each by themselves.
    days: Mutex<Option<(Instant, Known)>>,
}

/// Somebody who asks.
struct Asking<'a>(&'a AtomicUsize);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One of them, while it is used.
struct Used<'a> {
    pool: &'a Pool,
    /// `None` when it is not to be used again.
    link: Option<Link>,
    /// Nobody has used it for a while.
    is_old: bool,
}

impl Drop for Used<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        match self.link.take().filter(|link| !link.is_closed()) {
            Some(link) => state.idle.push((link, Instant::now())),
            None => state.count -= 1,
        }
        self.pool.freed.notify_one();
    }
}

impl Pool {
    pub(crate) fn of(target: Target) -> Self {
        let (state, freed, asking, days) =
            (Mutex::default(), Condvar::new(), AtomicUsize::new(0), Mutex::default());
        Self { target, state, freed, asking, days }
    }

    fn ask(&self) -> Result<Asking<'_>, Error> {
        let asking = Asking(&self.asking);
        match self.asking.fetch_add(1, Ordering::Relaxed) < MOST_ASKING {
            true => Ok(asking),
            false => Err(Error::Busy),
        }
    }

    /// The days there are, the oldest first.
    pub(crate) fn list(&self) -> Result<Vec<(Day, Kind)>, Error> {
        let _asking = self.ask()?;
        Ok(self.days()?.keys().copied().collect())
    }

    /// Looks into a day's partitions; `None` when there are none.
    pub(crate) fn look<T>(
        &self,
        day: Day,
        kind: Kind,
        get: impl FnOnce((u64, u64), &Partitions<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let _asking = self.ask()?;
        let Some(number) = self.days()?.get(&(day, kind)).map(|one| one.number) else { return Ok(None) };
        match self.with(|link| get((number, 0), &link.day(day))) {
            Err(error) if error.is_of_a_day_that_is_gone() => {
                *self.days.lock() = None;
                Ok(None)
            }
            got => got.map(Some),
        }
    }

    fn days(&self) -> Result<Arc<Days>, Error> {
        // Those who come meanwhile wait for the answer.
        let mut known = self.days.lock();
        if let Some((_, days)) = known.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return days.clone().map_err(Error::Unread);
        }
        let found = self.with(schema::list).map(Arc::new);
        let to_keep = found.as_ref().map(Arc::clone).map_err(ToString::to_string);
        *known = Some((Instant::now(), to_keep));
        found
    }

    /// Does something with a connection.
    fn with<T>(&self, work: impl FnOnce(&Link) -> Result<T, Error>) -> Result<T, Error> {
        let mut used = self.take();
        // It may have gone while nobody looked.
        let is_old = used.is_old;
        let is_there = |link: &Link| !link.is_closed() && (!is_old || link.run("SELECT 1").is_ok());
        let link = match used.link.take().filter(is_there) {
            Some(link) => link,
            None => Link::connect(&self.target)?,
        };
        let done = work(&link);
        // One that was silent may answer the next with what this one had asked.
        used.link = Some(link).filter(|_| !matches!(done, Err(Error::Silent(_))));
        done
    }

    fn take(&self) -> Used<'_> {
        let mut state = self.state.lock();
        loop {
            if let Some((link, since)) = state.idle.pop() {
                return Used { pool: self, link: Some(link), is_old: since.elapsed() >= OLD };
            }
            if state.count < MOST {
                state.count += 1;
                return Used { pool: self, link: None, is_old: false };
            }
            self.freed.wait(&mut state);
        }
    }
}
