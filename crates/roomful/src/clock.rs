//! The one clock: what the sans-IO crates are given as `now`.

use std::time::{SystemTime, UNIX_EPOCH};

use rooms::Time;

/// Now, by the system's clock.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_unix_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
