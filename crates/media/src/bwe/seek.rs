//! When to look for more: at the beginning, as soon as something is missing, and ever less often while nothing is found.

use std::time::Duration;

use super::probe::Finding;

/// The first is for so many times the estimate, those after it for twice (libwebrtc: 3 and 6 times its start).
const FIRST: f64 = 3.0;
const NEXT: f64 = 2.0;

/// What is looked for beyond what is missing.
const BEYOND: f64 = 1.1;

/// How long to wait after one that told nothing, or of a limit, although nothing queues, and how often so: a link that is
/// unsteady tells something else each time.
const AGAIN_US: u64 = 500_000;
const MOST_AGAIN: u32 = 3;

/// What one has to find for the next to follow soon.
const PROGRESS: f64 = 1.05;

/// A queue below this is none.
const NO_QUEUE_MS: f64 = 25.0;

/// How long after one that has met the link's limit, growing each time (LiveKit's `ProbeController`), up to a limit.
const PATIENCE_US: u64 = 2_000_000;
const GROWTH: f64 = 1.5;
const MOST_PATIENCE_US: u64 = 15_000_000;

/// After a drop the link may soon be as it was: so often for so long. A drop is one to below this share of what was.
const AFTER_DROP_US: u64 = 3_000_000;
const DROP_COUNTS_US: u64 = 30_000_000;
const DROP: f64 = 0.66;

/// After the link has turned out to be policed, for how long nothing is looked for, twice as long each time, up to a limit.
const POLICED_US: u64 = 9_000_000;
const MOST_POLICED_US: u64 = 144_000_000;

pub(super) struct Seek {
    next_at: u64,
    /// Nothing is looked for before, whatever is wanted, and for how long that was the last time.
    policed: (u64, u64),
    patience_us: u64,
    again: u32,
    has_begun: bool,
    /// The last one has found what it looked for, so that the next goes on from there.
    is_climbing: bool,
    /// What the estimate was before it fell last, and when it fell so far that this was a drop.
    before: f64,
    dropped_at: Option<u64>,
}

impl Seek {
    pub(super) fn new() -> Self {
        Self {
            next_at: 0,
            policed: (0, 0),
            patience_us: PATIENCE_US,
            again: 0,
            has_begun: false,
            is_climbing: false,
            before: 0.0,
            dropped_at: None,
        }
    }

    /// Something is wanted that was not before.
    pub(super) fn renew(&mut self, now: u64) {
        self.next_at = self.next_at.min(now + AGAIN_US);
        self.patience_us = PATIENCE_US;
        self.again = 0;
    }

    /// A queue stands: the estimate fell from `before` to `bits`.
    pub(super) fn note_full(&mut self, now: u64, before: f64, bits: f64) {
        let is_new = self.dropped_at.is_none_or(|at| now.saturating_sub(at) > AFTER_DROP_US);
        if is_new || self.before < before {
            self.before = before;
        }
        if bits < DROP * self.before {
            self.dropped_at = Some(now);
        }
        self.next_at = self.next_at.max(now + self.pause(now));
    }

    /// What the last one has found is a burst that a policer let through.
    pub(super) fn note_policed(&mut self, now: u64) {
        let span = (2 * self.policed.1).clamp(POLICED_US, MOST_POLICED_US);
        self.policed = (now + span, span);
    }

    /// Whether the last one has found what it looked for.
    pub(super) fn is_climbing(&self) -> bool {
        self.is_climbing
    }

    fn pause(&self, now: u64) -> u64 {
        let has_dropped = self.dropped_at.is_some_and(|at| now.saturating_sub(at) < DROP_COUNTS_US);
        if has_dropped { AFTER_DROP_US } else { self.patience_us }
    }

    /// A probe has told something, of a link that was estimated at `before`.
    pub(super) fn note_finding(&mut self, now: u64, finding: Finding, before: f64, standing_ms: f64) {
        self.is_climbing = matches!(finding, Finding::Found(_));
        match finding {
            Finding::Found(_) => {
                self.next_at = now;
                self.patience_us = PATIENCE_US;
                self.again = 0;
            }
            // An unsteady link looks narrower than it is.
            Finding::Limit(bits) if bits > PROGRESS * before => self.next_at = now + AGAIN_US,
            Finding::Vain | Finding::Limit(_) if standing_ms < NO_QUEUE_MS && self.again < MOST_AGAIN => {
                self.again += 1;
                self.next_at = now + AGAIN_US;
            }
            Finding::Vain | Finding::Limit(_) => {
                self.next_at = now + self.pause(now);
                self.patience_us = ((self.patience_us as f64 * GROWTH) as u64).min(MOST_PATIENCE_US);
            }
        }
    }

    /// The rate to look for now, when it is time, all that is wanted takes `missing`, `estimate` is known, and the link is not known to
    /// carry more than `carried`.
    pub(super) fn due(&self, now: u64, missing: f64, estimate: f64, carried: f64) -> Option<f64> {
        if now < self.next_at.max(self.policed.0) || missing <= estimate {
            return None;
        }
        let times = if self.has_begun { NEXT } else { FIRST };
        Some((missing * BEYOND).min(times * carried))
    }

    /// It is looked for; until something else is known, nothing else is.
    pub(super) fn begin(&mut self, now: u64) {
        self.has_begun = true;
        self.next_at = now + Duration::from_secs(2).as_micros() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_is_bounded_by_what_is_missing_and_by_what_the_link_carries() {
        for (has_begun, missing, estimate, carried, rate) in [
            (false, 5e6, 300e3, 300e3, Some(900e3)),
            (true, 5e6, 300e3, 300e3, Some(600e3)),
            (true, 400e3, 300e3, 300e3, Some(440e3)),
            (true, 300e3, 300e3, 300e3, None),
            // It is thought to carry more than it did when it was full.
            (true, 5e6, 750e3, 600e3, Some(1.2e6)),
            (true, 700e3, 750e3, 600e3, None),
        ] {
            let mut seek = Seek::new();
            if has_begun {
                seek.begin(0);
            }
            let due = seek.due(10_000_000, missing, estimate, carried);

            assert_eq!(due.map(f64::round), rate, "{missing} of {estimate}, {carried}");
        }
    }
}
