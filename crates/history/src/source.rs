//! Where a reader finds days: in files, or in a database.

use hashbrown::HashMap;
use parking_lot::Mutex;
use rusqlite::Connection;

use crate::ask::Tables;
use crate::files::{self, Day, Kind};
use crate::options::Place;
use crate::postgres::Pool;
use crate::{Error, day};

/// How many connections to one file are kept for the next who asks.
const MOST_IDLE: usize = 16;

/// And how many in all.
const MOST_IDLE_IN_ALL: usize = 64;

type Idle = HashMap<(Day, Kind), Vec<((u64, u64), Connection)>, foldhash::fast::RandomState>;

/// The days that there are.
pub(crate) enum Source {
    Files { folder: std::path::PathBuf, idle: Mutex<Idle> },
    Database(Box<Pool>),
}

impl Source {
    pub(crate) fn of(place: &Place) -> Self {
        match place {
            Place::Folder(folder) => Self::Files { folder: folder.clone(), idle: Mutex::default() },
            Place::Database { target, .. } => Self::Database(Box::new(Pool::of((**target).clone()))),
        }
    }

    /// The days of which there are calls, the oldest first.
    pub(crate) fn days(&self) -> Result<Vec<Day>, Error> {
        let found = match self {
            Self::Files { folder, .. } => files::list(folder),
            Self::Database(pool) => pool.list()?,
        };
        Ok(found.into_iter().filter(|(_, kind)| *kind == Kind::Calls).map(|(day, _)| day).collect())
    }

    /// Looks into a day's tables, which have a number by which they are told from later ones; `None` when there are none.
    pub(crate) fn look<T>(
        &self,
        day: Day,
        kind: Kind,
        get: impl FnOnce((u64, u64), &Tables<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        match self {
            Self::Files { folder, idle } => look_into(folder, idle, (day, kind), get),
            Self::Database(pool) => pool.look(day, kind, |number, day| get(number, &Tables::Database(day))),
        }
    }
}

fn look_into<T>(
    folder: &std::path::Path,
    idle: &Mutex<Idle>,
    (day, kind): (Day, Kind),
    get: impl FnOnce((u64, u64), &Tables<'_>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    let path = files::path(folder, day, kind);
    let Some(file) = files::identity(&path) else { return Ok(None) };
    let known = idle.lock().get_mut(&(day, kind)).and_then(|idle| {
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
    let got = get(file, &Tables::File(&connection))?;
    let mut idle = idle.lock();
    if idle.values().map(Vec::len).sum::<usize>() >= MOST_IDLE_IN_ALL {
        // Also those of days that have gone.
        idle.clear();
    }
    let of_file = idle.entry((day, kind)).or_default();
    if of_file.len() < MOST_IDLE {
        of_file.push((file, connection));
    }
    Ok(Some(got))
}
