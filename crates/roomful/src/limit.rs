//! Call frequency: in no second of an app's life are more than the allowed calls of one command accepted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::Mutex;
use rooms::RoomId;

/// How often something may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) calls: u32,
    pub(crate) every: Duration,
}

impl Rate {
    pub(crate) const fn a_second(calls: u32) -> Self {
        Self { calls, every: Duration::from_secs(1) }
    }
}

/// The limits of one app, one for each command.
pub(crate) struct RateLimits(Vec<RateLimit>);

impl RateLimits {
    /// `documented` is each command's; `calls_per_second` is for those without a lower one, and 0 lifts all.
    pub(crate) fn new(documented: &[u32], calls_per_second: u32) -> Self {
        let limit = |documented: u32| match calls_per_second {
            0 => 0,
            configured if documented < 200 => configured.min(documented),
            configured => configured,
        };
        Self(documented.iter().map(|documented| RateLimit::new(limit(*documented))).collect())
    }

    /// Whether the command at `index` of the table may be called once more at `now`.
    pub(crate) fn accept(&self, index: usize, now: Instant) -> bool {
        self.0.get(index).is_none_or(|limit| limit.accept(now))
    }
}

/// A sliding window: a call is accepted when the one `limit` calls before it is at least as old as the window is long, which is a
/// second mostly.
pub(crate) struct RateLimit {
    limit: usize,
    window: Duration,
    accepted: Mutex<VecDeque<Instant>>,
}

impl RateLimit {
    pub(crate) fn new(limit: u32) -> Self {
        Self::at(Rate::a_second(limit))
    }

    pub(crate) fn at(rate: Rate) -> Self {
        Self { limit: rate.calls as usize, window: rate.every, accepted: Mutex::default() }
    }

    pub(crate) fn accept(&self, now: Instant) -> bool {
        if self.limit == 0 {
            return true;
        }
        let mut accepted = self.accepted.lock();
        if accepted.len() >= self.limit {
            let oldest = accepted.front().copied();
            if oldest.is_some_and(|oldest| now.saturating_duration_since(oldest) < self.window) {
                return false;
            }
            accepted.pop_front();
        }
        accepted.push_back(now);
        true
    }
}

/// What may be done once a second for each name.
pub(crate) struct OnceASecond {
    is_lifted: bool,
    recent: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    at: HashMap<RoomId, Instant>,
    /// How many there are when those of long ago are looked for.
    sweep_at: usize,
}

impl OnceASecond {
    /// `calls_per_second` is the app's; 0 lifts this one too.
    pub(crate) fn new(calls_per_second: u32) -> Self {
        Self { is_lifted: calls_per_second == 0, recent: Mutex::default() }
    }

    /// Whether `name` may be named once more at `now`.
    pub(crate) fn accept(&self, name: &RoomId, now: Instant) -> bool {
        if self.is_lifted {
            return true;
        }
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < Duration::from_secs(1);
        let mut recent = self.recent.lock();
        if recent.at.get(name).is_some_and(is_recent) {
            return false;
        }
        if recent.at.len() >= recent.sweep_at {
            recent.at.retain(|_, at| is_recent(at));
            recent.sweep_at = (recent.at.len() * 2).max(64);
        }
        recent.at.insert(name.clone(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_than_the_limit() {
        let limit = RateLimit::new(3);
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);

        let accepted: Vec<bool> =
            [0, 500, 900, 950, 999, 1000, 1001, 1500, 1900].map(|millis| limit.accept(at(millis))).into();

        assert_eq!(accepted, [true, true, true, false, false, true, false, true, true]);
    }

    #[test]
    fn a_window_may_be_longer_than_a_second() {
        let limit = RateLimit::at(Rate { calls: 1, every: Duration::from_secs(15) });
        let start = Instant::now();

        let accepted: Vec<bool> =
            [0, 1, 14, 15, 16, 30].map(|second| limit.accept(start + Duration::from_secs(second))).into();

        assert_eq!(accepted, [true, false, false, true, false, true]);
    }

    #[test]
    fn a_name_comes_once_a_second_and_those_of_long_ago_are_forgotten() {
        let limit = OnceASecond::new(200);
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let name = |number: u64| RoomId::parse(&format!("r{number}")).unwrap();

        let calls = [(1, 0), (1, 999), (2, 999), (1, 1000), (1, 1500), (2, 1998), (2, 1999)];
        let accepted: Vec<bool> =
            calls.map(|(number, millis)| limit.accept(&name(number), at(millis))).into();
        assert_eq!(accepted, [true, false, true, true, false, false, true]);

        assert!((0..100_000).all(|number| limit.accept(&name(number), at(3000 + number))));
        assert!(limit.recent.lock().at.len() < 5000);
    }

    #[test]
    fn zero_is_no_limit() {
        let limit = RateLimit::new(0);
        let now = Instant::now();

        assert!((0..10_000).all(|_| limit.accept(now)));
        let (lifted, room) = (OnceASecond::new(0), RoomId::parse("r").unwrap());
        assert!((0..10).all(|_| lifted.accept(&room, now)));
    }
}
