//! Call frequency: in no second of an app's life are more than the allowed calls of one command accepted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

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

/// A sliding window: a call is accepted when the one `limit` calls before it is at least a second old.
pub(crate) struct RateLimit {
    limit: usize,
    accepted: Mutex<VecDeque<Instant>>,
}

impl RateLimit {
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit: limit as usize, accepted: Mutex::default() }
    }

    pub(crate) fn accept(&self, now: Instant) -> bool {
        if self.limit == 0 {
            return true;
        }
        let mut accepted = self.accepted.lock();
        if accepted.len() >= self.limit {
            let oldest = accepted.front().copied();
            if oldest.is_some_and(|oldest| now.saturating_duration_since(oldest) < Duration::from_secs(1)) {
                return false;
            }
            accepted.pop_front();
        }
        accepted.push_back(now);
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
    fn zero_is_no_limit() {
        let limit = RateLimit::new(0);
        let now = Instant::now();

        assert!((0..10_000).all(|_| limit.accept(now)));
    }
}
