//! How often what is done, wherever history is kept.

use std::time::Duration;

/// How often what has come is committed.
pub(crate) const TICK: Duration = Duration::from_secs(1);

/// How often it is said that the server is there.
pub(crate) const BEAT: Duration = Duration::from_secs(10);

/// How often days that are over are removed, and the place is looked at.
pub(crate) const UPKEEP: Duration = Duration::from_secs(60);

/// In so many commits after midnight all that was open is carried over ...
const CARRYING_TICKS: i64 = 600;

/// ... but at least so many rows in each.
const LEAST_CARRIED: i64 = 1000;

/// How many rows are carried over in a commit, where so many are open.
pub(crate) fn carried_at_once(open: i64) -> i64 {
    LEAST_CARRIED.max(open / CARRYING_TICKS)
}
