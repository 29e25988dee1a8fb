//! The one clock: what the sans-IO crates are given as `now`.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rooms::Time;

use crate::lease::running;

/// Now. It follows the system's clock, or in a cluster its database's, and never goes back.
///
/// Where that is set to another time, all deadlines there are would be over at once, or never: mutes, bans, lifetimes of rooms.
/// So this one goes on at its own pace, and gains or loses at most a millisecond in one until it is right.
pub(crate) fn now() -> Time {
    at(Instant::now())
}

/// The same for who has looked at the clock already, a moment ago.
pub(crate) fn at(now: Instant) -> Time {
    static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
    static CLOCK: LazyLock<Slewed> = LazyLock::new(|| Slewed::new(wall()));
    let running = now.saturating_duration_since(*STARTED).as_millis();
    let running = u64::try_from(running).unwrap_or(u64::MAX);
    Time::from_unix_millis(CLOCK.read(running, wall))
}

/// What is added to the time since the machine was started to have the clock that is followed; `i64::MIN` is the system's.
static FOLLOWED: AtomicI64 = AtomicI64::new(i64::MIN);

/// From now on another clock than the system's is followed: that which is ahead of the time since the machine was started by so
/// many milliseconds.
pub(crate) fn follow(offset: i64) {
    FOLLOWED.store(offset, Ordering::Relaxed);
}

fn wall() -> u64 {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    match FOLLOWED.load(Ordering::Relaxed) {
        i64::MIN => millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
        offset => millis(running()).saturating_add_signed(offset),
    }
}

/// How often it is held against the system's clock, in milliseconds.
const LOOKED_AT: u64 = 10;

/// A clock that runs with one and is led by another. All in milliseconds.
struct Slewed {
    /// What is added to the running time.
    offset: AtomicI64,
    /// The running time when it was last held against the other clock.
    looked_at: AtomicU64,
    /// The latest time it has told.
    told: AtomicU64,
}

impl Slewed {
    fn new(wall: u64) -> Self {
        let offset = AtomicI64::new(i64::try_from(wall).unwrap_or(i64::MAX));
        Self { offset, looked_at: AtomicU64::new(0), told: AtomicU64::new(wall) }
    }

    fn read(&self, running: u64, wall: impl FnOnce() -> u64) -> u64 {
        let before = self.looked_at.load(Ordering::Relaxed);
        let since = running.saturating_sub(before);
        if since >= LOOKED_AT
            && self.looked_at.compare_exchange(before, running, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let most = i64::try_from(since).unwrap_or(i64::MAX);
            let is_off = i64::try_from(wall()).unwrap_or(i64::MAX).saturating_sub_unsigned(self.at(running));
            self.offset.fetch_add(is_off.clamp(-most, most), Ordering::Relaxed);
        }
        let now = self.at(running);
        // Most look in the same millisecond as somebody else: they write nothing, and take it from no other core.
        match self.told.load(Ordering::Relaxed) {
            told if told >= now => told,
            _ => self.told.fetch_max(now, Ordering::Relaxed).max(now),
        }
    }

    fn at(&self, running: u64) -> u64 {
        running.saturating_add_signed(self.offset.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told each 10 ms while the system's clock is `off` milliseconds from where it was.
    fn told(clock: &Slewed, from: u64, until: u64, off: i64) -> Vec<u64> {
        let at = |running: u64| (1_000_000 + running).saturating_add_signed(off);
        (from..until).step_by(10).map(|running| clock.read(running, || at(running))).collect()
    }

    #[test]
    fn a_clock_that_is_set_ends_nothing_early_and_is_followed() {
        const HOUR: i64 = 3_600_000;
        let clock = Slewed::new(1_000_000);
        assert_eq!(told(&clock, 0, 1000, 0).last(), Some(&1_000_990));

        // Set an hour on: twice as fast at most, until it is right.
        let fast = told(&clock, 1000, 2000, HOUR);
        assert!(fast.windows(2).all(|pair| matches!(pair, [one, next] if next - one <= 20)), "{fast:?}");
        let right = told(&clock, 2000, 3_800_000, HOUR);
        assert_eq!(right.last(), Some(&(1_000_000 + 3_799_990 + 3_600_000)));

        // Set back: it waits, and never goes back.
        let slow = told(&clock, 3_800_000, 4_000_000, 0);
        assert!(slow.windows(2).all(|pair| matches!(pair, [one, next] if next >= one)), "{slow:?}");
        assert!(slow.first() > Some(&(1_000_000 + 3_799_990)));
        let right = told(&clock, 4_000_000, 8_000_000, 0);
        assert_eq!(right.last(), Some(&(1_000_000 + 7_999_990)));
    }
}
