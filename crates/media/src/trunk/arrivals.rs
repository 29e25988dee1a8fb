//! Which numbers have come of a stream that another node sends, and which of them are to be asked for again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How many may be missing at once; of more the oldest are given up.
const MOST_MISSING: usize = 512;

/// How long one that is missing may merely be late.
const LATE: Duration = Duration::from_millis(2);

/// How long is waited before it is asked for once more: longer than nodes of one cluster are apart.
const AGAIN: Duration = Duration::from_millis(30);

/// How often it is asked for, before it is given up.
const MOST_TIMES: u8 = 4;

#[derive(Debug)]
struct Missing {
    due: Instant,
    times: u8,
}

/// What came of one stream. Numbers begin with 1.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    newest: u64,
    missing: BTreeMap<u64, Missing>,
}

impl Arrivals {
    /// The number that a packet's 16 bits stand for: that nearest to the newest (RFC 3711 3.3.1).
    pub(super) fn number(&self, seq: u16) -> u64 {
        let ahead = seq.wrapping_sub(self.newest as u16);
        match ahead {
            0..0x8000 => self.newest + u64::from(ahead),
            _ => self.newest.saturating_sub(u64::from(ahead.wrapping_neg())),
        }
    }

    /// One came. `false` when it came before, or too late.
    pub(super) fn take(&mut self, number: u64, now: Instant) -> bool {
        if number <= self.newest {
            return self.missing.remove(&number).is_some();
        }
        let first = (self.newest + 1).max(number.saturating_sub(MOST_MISSING as u64));
        for missing in first..number {
            self.missing.insert(missing, Missing { due: now + LATE, times: 0 });
        }
        while self.missing.len() > MOST_MISSING {
            self.missing.pop_first();
        }
        self.newest = number;
        true
    }

    /// When [`Self::due`] has something to say.
    pub(super) fn poll(&self) -> Option<Instant> {
        self.missing.values().map(|missing| missing.due).min()
    }

    /// Those that are to be asked for now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<u64> {
        let mut due = Vec::new();
        self.missing.retain(|number, missing| {
            if missing.due > now {
                return true;
            }
            if missing.times >= MOST_TIMES {
                return false;
            }
            missing.times += 1;
            missing.due = now + AGAIN;
            due.push(*number);
            true
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_where_their_16_bits_end() {
        let mut arrivals = Arrivals::default();
        let now = Instant::now();
        for number in 1..=200_000_u64 {
            assert_eq!(arrivals.number(number as u16), number);
            assert!(arrivals.take(number, now));
        }
        assert_eq!(arrivals.number(199_000_u64 as u16), 199_000);
        assert!(!arrivals.take(199_000, now), "it came before");
    }

    #[test]
    fn what_is_missing_is_asked_for_a_few_times_and_taken_once() {
        let mut arrivals = Arrivals::default();
        let began = Instant::now();
        assert!(arrivals.take(1, began) && arrivals.take(5, began));
        assert!(arrivals.due(began).is_empty(), "it may be late");
        assert_eq!(arrivals.due(began + LATE), [2, 3, 4]);
        assert!(arrivals.take(3, began) && !arrivals.take(3, began));

        let mut asked = 1;
        let mut now = began + LATE;
        while let Some(due) = arrivals.poll() {
            now = due.max(now);
            asked += usize::from(arrivals.due(now).contains(&2));
        }

        assert_eq!(asked, usize::from(MOST_TIMES));
        assert!(!arrivals.take(2, now), "it was given up");
    }

    #[test]
    fn a_long_silence_of_the_way_is_not_asked_for_altogether() {
        let mut arrivals = Arrivals::default();
        let now = Instant::now();
        assert!(arrivals.take(1, now) && arrivals.take(20_000, now) && arrivals.take(20_010, now));

        assert_eq!(arrivals.due(now + LATE).len(), MOST_MISSING);
    }
}
