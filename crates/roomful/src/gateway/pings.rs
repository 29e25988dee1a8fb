//! When connections are pinged: in flocks, all that are due within a moment at once. A thread with thousands of connections would
//! otherwise be woken for each by itself, and set a timer anew at everything that it does in between.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

/// What all flocks are counted from.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// How many flocks leave in the time in which each connection is pinged once: many, so that none is large.
const FLOCKS: u32 = 100;

/// When who was pinged just now is pinged again: with the first flock after `interval`.
pub(super) fn next(interval: Duration) -> Instant {
    let between = (interval / FLOCKS).as_nanos().max(1);
    let due = BEGINNING.elapsed() + interval;
    let flock = due.as_nanos().div_ceil(between).saturating_mul(between);
    *BEGINNING + u64::try_from(flock).map_or(due, Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_that_are_due_within_a_moment_are_pinged_at_once_and_nobody_early_or_late() {
        for interval in [Duration::from_secs(5), Duration::from_millis(10), Duration::from_secs(3600)] {
            let mut moments = Vec::new();
            for _ in 0..500 {
                tokio::time::advance(interval / 2000).await;
                let after = next(interval) - Instant::now();
                assert!(after >= interval && after <= interval + interval / FLOCKS, "{after:?}");
                moments.push(next(interval));
            }
            moments.dedup();

            assert!((24..=26).contains(&moments.len()), "{} in a quarter of {interval:?}", moments.len());
        }
    }
}
