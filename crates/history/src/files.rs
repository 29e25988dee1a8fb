//! The folder: three databases a UTC day, `2026-11-26.calls`, `.quality` and `.usage`, so that a day goes by unlinking.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::Error;

/// A UTC day, counted from 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Day(pub(crate) i64);

const SECONDS: i64 = 86_400;

impl Day {
    /// The day of a moment in seconds.
    pub(crate) fn of(seconds: i64) -> Self {
        Self(seconds.div_euclid(SECONDS))
    }

    /// Its first second.
    pub(crate) fn begins(self) -> i64 {
        self.0 * SECONDS
    }

    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    pub(crate) fn before(self) -> Self {
        Self(self.0 - 1)
    }

    /// Reads `2026-11-26`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        let (year, month, day): (i64, i64, i64) =
            (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
        // Howard Hinnant, chrono-Compatible Low-Level Date Algorithms, days_from_civil: years begin in March.
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let found = Self(era * 146_097 + day_of_era - 719_468);
        (found.to_string() == text).then_some(found)
    }
}

/// When a day of the calendar (`2026-11-26`) begins, in seconds; `None` of what is none.
pub fn day(text: &str) -> Option<i64> {
    Day::parse(text).map(Day::begins)
}

/// The day of a moment in seconds, as calendars write it.
pub fn date(seconds: i64) -> String {
    Day::of(seconds).to_string()
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The same, civil_from_days.
        let days = self.0 + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// Which of a day's databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Quality,
    Calls,
    Usage,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Quality, Self::Calls, Self::Usage];

    fn extension(self) -> &'static str {
        match self {
            Self::Quality => "quality",
            Self::Calls => "calls",
            Self::Usage => "usage",
        }
    }
}

/// Where a day's database is.
pub(crate) fn path(folder: &Path, day: Day, kind: Kind) -> PathBuf {
    folder.join(format!("{day}.{}", kind.extension()))
}

/// What tells a file from another of its name; `None` when there is none.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// The databases there are, the oldest first. None when the folder is gone.
pub(crate) fn list(folder: &Path) -> Vec<(Day, Kind)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let name = entry.ok()?.file_name();
        let (day, extension) = name.to_str()?.split_once('.')?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.extension() == extension)?;
        Some((Day::parse(day)?, kind))
    };
    let mut found: Vec<(Day, Kind)> = entries.filter_map(read).collect();
    found.sort_unstable();
    found
}

/// A database with what lies beside it.
fn beside(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    })
}

/// What a database takes, with what lies beside it.
pub(crate) fn bytes(path: &Path) -> u64 {
    beside(path).iter().filter_map(|path| fs::metadata(path).ok()).map(|file| file.len()).sum()
}

/// Removes a database. Whoever reads it reads on.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    for path in beside(path) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::files(&path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn days_have_the_names_that_calendars_give_them() {
        for (day, name) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (19_782, "2024-02-29"),
            (19_783, "2024-03-01"),
            (11_016, "2000-02-29"),
            (20_783, "2026-11-26"),
        ] {
            assert_eq!(Day(day).to_string(), name);
        }
        for day in (-200_000..1_000_000).map(Day) {
            assert_eq!(Day::parse(&day.to_string()), Some(day));
        }
        for name in ["2026-02-30", "2026-13-01", "2026-1-1", "2026-01", "x", ""] {
            assert_eq!(Day::parse(name), None, "{name}");
        }
    }
}
