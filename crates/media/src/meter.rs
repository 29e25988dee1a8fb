//! How much there was in the last stretch of time.

use std::time::Duration;

/// The steps in which time moves on.
const STEPS: usize = 10;

/// Bytes over the last stretch of time. Times are in microseconds of one clock.
pub(crate) struct Meter {
    step: u64,
    /// When the running step ends.
    until: u64,
    at: usize,
    steps: [u32; STEPS],
    sum: u64,
}

impl Meter {
    /// Over at least `span`, and at most a ninth more.
    pub(crate) fn new(span: Duration) -> Self {
        let step = u64::try_from(span.as_micros()).unwrap_or(u64::MAX) / (STEPS as u64 - 1);
        Self { step: step.max(1), until: 0, at: 0, steps: [0; STEPS], sum: 0 }
    }

    #[inline]
    pub(crate) fn add(&mut self, now: u64, bytes: usize) {
        self.sum(now);
        if let Some(step) = self.steps.get_mut(self.at) {
            *step = step.saturating_add(bytes as u32);
            self.sum += bytes as u64;
        }
    }

    #[inline]
    pub(crate) fn sum(&mut self, now: u64) -> u64 {
        if now >= self.until {
            self.advance(now);
        }
        self.sum
    }

    fn advance(&mut self, now: u64) {
        let passed = (now - self.until) / self.step + 1;
        self.until += passed * self.step;
        for _ in 0..passed.min(STEPS as u64) {
            self.at = (self.at + 1) % STEPS;
            if let Some(step) = self.steps.get_mut(self.at) {
                self.sum = self.sum.saturating_sub(u64::from(std::mem::take(step)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_past_is_forgotten() {
        let mut meter = Meter::new(Duration::from_millis(900));
        meter.add(0, 10);
        meter.add(450_000, 20);

        assert_eq!(meter.sum(899_000), 30);
        assert_eq!(meter.sum(1_100_000), 20);
        assert_eq!(meter.sum(90_000_000), 0);
    }
}
