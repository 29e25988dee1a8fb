//! The queue that stays: the least delay of the last moments above the least of the last seconds, after CoDel (RFC 8289 3.2).
//! Jitter and stalls let some packets through at once; a link that is too narrow lets none.

use super::sent::Arrived;

/// The last moments, in steps, and how many packets have to be in them.
const SHORT: usize = 5;
const SHORT_STEP_US: i64 = 40_000;
const FEWEST: u32 = 5;

/// The last seconds.
const LONG: usize = 10;
const LONG_STEP_US: i64 = 1_000_000;

/// What moves by more than this is another clock.
const JUMP_US: i64 = 3_000_000;

/// The least of the last steps of time.
#[derive(Clone, Copy)]
struct Least<const N: usize> {
    step: i64,
    steps: [(i64, u32); N],
}

impl<const N: usize> Least<N> {
    const NONE: (i64, u32) = (i64::MAX, 0);

    fn new() -> Self {
        Self { step: i64::MIN, steps: [Self::NONE; N] }
    }

    fn take(&mut self, step: i64, value: i64) {
        // What comes late is put into the running step.
        let passed = step.saturating_sub(self.step).clamp(0, N as i64) as usize;
        if passed > 0 {
            self.step = step;
            self.steps.rotate_right(passed);
            self.steps.iter_mut().take(passed).for_each(|fresh| *fresh = Self::NONE);
        }
        if let Some((least, count)) = self.steps.first_mut() {
            *least = value.min(*least);
            *count += 1;
        }
    }

    fn least(&self) -> (i64, u32) {
        self.steps.iter().fold(Self::NONE, |all, step| (all.0.min(step.0), all.1 + step.1))
    }
}

pub(super) struct Standing {
    short: Least<SHORT>,
    long: Least<LONG>,
    last: Option<i64>,
}

impl Standing {
    pub(super) fn new() -> Self {
        Self { short: Least::new(), long: Least::new(), last: None }
    }

    pub(super) fn take(&mut self, packet: &Arrived) {
        let delay = packet.arrival - packet.sent as i64;
        if self.last.is_some_and(|last| (delay - last).abs() > JUMP_US) {
            *self = Self::new();
        }
        self.last = Some(delay);
        self.short.take(packet.arrival.div_euclid(SHORT_STEP_US), delay);
        self.long.take(packet.arrival.div_euclid(LONG_STEP_US), delay);
    }

    /// In milliseconds; 0 while too little is known.
    pub(super) fn ms(&self) -> f64 {
        let ((short, count), (long, _)) = (self.short.least(), self.long.least());
        if count < FEWEST { 0.0 } else { short.saturating_sub(long).max(0) as f64 / 1000.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(delays_ms: impl Iterator<Item = i64>) -> f64 {
        let mut standing = Standing::new();
        for (at, delay) in (0..).zip(delays_ms) {
            let sent = 1_000_000 + at * 20_000;
            let arrival = sent as i64 + delay * 1000;
            standing.take(&Arrived { sent, arrival, size: 1000, probe: 0 });
        }
        standing.ms()
    }

    #[test]
    fn jitter_is_no_standing_queue_and_a_full_link_is() {
        let jitter = standing((0..200).map(|at| 10 + (at * 37) % 60));
        let growing = standing((0..200).map(|at: i64| 10 + (at - 100).max(0)));

        assert!(jitter < 40.0, "{jitter}");
        assert!(growing > 80.0, "{growing}");
    }

    #[test]
    fn a_few_packets_tell_nothing() {
        assert_eq!(standing([10, 10, 200].into_iter()), 0.0);
    }
}
