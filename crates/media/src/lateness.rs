//! How late what comes in is beside the earliest of late: what stands in a queue on a publisher's way here.

use std::time::{Duration, Instant};

/// The earliest of so long, and of so long before that, is what the others are held against.
const SPAN: Duration = Duration::from_secs(10);

/// Ticks of video's clock in a millisecond (RFC 3551).
const TICKS: u64 = 90;

/// Of one stream of pictures.
#[derive(Default)]
pub(crate) struct Lateness {
    /// When the first came that is held against, and its RTP time.
    origin: Option<(Instant, u32)>,
    /// Beside that, how late the earliest came of this span and of the one before, in ticks; and when this one began.
    earliest: [Option<i32>; 2],
    since: Option<Instant>,
}

impl Lateness {
    /// A packet has come of a picture with that RTP time. Returns how much later that is than the earliest.
    pub(crate) fn note(&mut self, timestamp: u32, now: Instant) -> Duration {
        let (began, first) = *self.origin.get_or_insert((now, timestamp));
        let passed = now.saturating_duration_since(began).as_micros() * u128::from(TICKS) / 1000;
        // Both roll over alike.
        let late = (passed as u32).wrapping_sub(timestamp.wrapping_sub(first)) as i32;
        let since = *self.since.get_or_insert(now);
        let is_over = |spans: u32| now.saturating_duration_since(since) >= spans * SPAN;
        if is_over(1) {
            let [newer, _] = self.earliest;
            (self.earliest, self.since) = ([None, newer.filter(|_| !is_over(2))], Some(now));
        }
        let [newer, older] = &mut self.earliest;
        let earliest = newer.map_or(late, |newer| newer.min(late));
        *newer = Some(earliest);
        let earliest = older.map_or(earliest, |older| older.min(earliest));
        Duration::from_millis(u64::from(late.saturating_sub(earliest).unsigned_abs()) / TICKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How late each is of pictures of 100 ms that come so many milliseconds after they were taken, whose RTP time begins there.
    fn late(first: u32, ways: &[u64]) -> Vec<u64> {
        let (began, mut lateness) = (Instant::now(), Lateness::default());
        let note = |(number, way): (u64, &u64)| {
            let timestamp = first.wrapping_add(number as u32 * 9_000);
            let late = lateness.note(timestamp, began + Duration::from_millis(number * 100 + way));
            late.as_millis() as u64
        };
        (0..).zip(ways).map(note).collect()
    }

    #[test]
    fn what_comes_later_than_the_earliest_is_late_by_that() {
        for first in [7, u32::MAX - 10_000] {
            assert_eq!(late(first, &[50, 60, 20, 20, 420, 120, 20]), [0, 10, 0, 0, 400, 100, 0]);
        }
    }

    #[test]
    fn a_way_that_stays_longer_is_so_for_good_after_a_while() {
        let ways = [[20; 150].as_slice(), &[320; 450]].concat();

        let late = late(5, &ways);

        assert_eq!((late[150], late[240]), (300, 300));
        assert_eq!(late[400], 0);
    }

    #[test]
    fn what_came_before_a_long_pause_counts_no_more() {
        let (mut lateness, began) = (Lateness::default(), Instant::now());
        lateness.note(0, began);
        let later = Duration::from_secs(60);
        // Its clock runs a little slower.
        assert_eq!(lateness.note(60 * 90_000 - 4_500, began + later), Duration::ZERO);
    }
}
