//! How much of the disk history takes: days that are over, bytes in all, and what is left for others.

use std::path::Path;

use crate::files::{self, Day, Kind};

/// With less free on its disk than this no samples are written.
const LEAST_FREE: u64 = 2 << 30;

/// How many days before today usage is kept at least: callers may ask for three months of it.
const USAGE_DAYS: u32 = 93;

/// Removes what is over and what is too much, the oldest samples first. Whether samples may be written.
pub(crate) fn tidy(folder: &Path, today: Day, days: u32, most_bytes: u64) -> bool {
    let with_bytes = |(day, kind)| (day, kind, files::bytes(&files::path(folder, day, kind)));
    let found = files::list(folder).into_iter().map(with_bytes);
    let fits = keep(found, today, days, most_bytes, |day, kind| remove(folder, day, kind));
    fits && free(folder).is_none_or(|free| free >= LEAST_FREE)
}

/// The same, wherever the days are, by who removes one and says whether it is gone. Whether the rest is not too much.
pub(crate) fn keep(
    found: impl Iterator<Item = (Day, Kind, u64)>,
    today: Day,
    days: u32,
    most_bytes: u64,
    mut remove: impl FnMut(Day, Kind) -> bool,
) -> bool {
    let mut kept: Vec<(Day, Kind, u64)> = Vec::new();
    for (day, kind, bytes) in found {
        // A window may begin so many days ago.
        let most = if kind == Kind::Usage { days.max(USAGE_DAYS) } else { days };
        let is_over = day.0 < today.0 - i64::from(most);
        if !(is_over && remove(day, kind)) {
            kept.push((day, kind, bytes));
        }
    }
    let mut bytes: u64 = kept.iter().map(|(_, _, bytes)| bytes).sum();
    let (quality, calls) = (Kind::Quality, Kind::Calls);
    for (wanted, is_of_today) in [(quality, false), (calls, false), (quality, true), (calls, true)] {
        let found = kept.iter().filter(|(day, kind, bytes)| {
            // Of today, which goes on being written, all goes or nothing: it must be worth it.
            let is_due = if is_of_today { *day == today && *bytes > most_bytes / 2 } else { *day < today };
            *kind == wanted && is_due
        });
        for (day, kind, less) in found {
            if bytes > most_bytes && remove(*day, *kind) {
                bytes -= less;
            }
        }
    }
    bytes <= most_bytes
}

fn remove(folder: &Path, day: Day, kind: Kind) -> bool {
    let removed = files::remove(&files::path(folder, day, kind));
    if let Err(error) = &removed {
        tracing::warn!(%error, "a day of history stays");
    }
    removed.is_ok()
}

fn free(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        files::list(folder).iter().map(|(day, kind)| format!("{} {kind:?}", day.0)).collect()
    }

    #[test]
    fn days_go_when_they_are_over_and_samples_before_calls_when_there_is_too_much() {
        let folder = tempfile::tempdir().unwrap();
        for day in 0..5 {
            for kind in [Kind::Calls, Kind::Quality] {
                let path = files::path(folder.path(), Day(day), kind);
                std::fs::write(&path, [0; 1000]).unwrap();
                let mut wal = path.into_os_string();
                wal.push("-wal");
                std::fs::write(wal, [0; 500]).unwrap();
            }
        }
        std::fs::write(folder.path().join("notes.txt"), "not ours").unwrap();
        std::fs::write(files::path(folder.path(), Day(-89), Kind::Usage), "").unwrap();
        std::fs::write(files::path(folder.path(), Day(-90), Kind::Usage), "").unwrap();

        tidy(folder.path(), Day(4), 3, u64::MAX);
        let left = [
            "-89 Usage",
            "1 Quality",
            "1 Calls",
            "2 Quality",
            "2 Calls",
            "3 Quality",
            "3 Calls",
            "4 Quality",
            "4 Calls",
        ];
        assert_eq!(names(folder.path()), left);

        // 12,000 bytes in all.
        tidy(folder.path(), Day(4), 3, 10_000);
        assert_eq!(names(folder.path())[..4], ["-89 Usage", "1 Calls", "2 Calls", "3 Quality"]);

        assert!(tidy(folder.path(), Day(4), 3, 2_000));
        assert_eq!(names(folder.path()), ["-89 Usage", "4 Calls"], "not even today's fits");
        assert!(tidy(folder.path(), Day(4), 3, 1_000));
        assert_eq!(names(folder.path()), ["-89 Usage"]);
        let usage = files::path(folder.path(), Day(-89), Kind::Usage);
        std::fs::write(usage, [0; 2_000]).unwrap();
        std::fs::write(files::path(folder.path(), Day(4), Kind::Calls), [0; 10]).unwrap();
        assert!(!tidy(folder.path(), Day(4), 3, 1_000));
        assert_eq!(names(folder.path()), ["-89 Usage", "4 Calls"], "usage is not much, and is money");
        assert!(folder.path().join("notes.txt").exists());
    }
}
