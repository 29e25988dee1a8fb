//! What loss allows: the upper bound of libwebrtc's `LossBasedBweV2`, which lets random loss be and still answers to a link
//! without a queue.

/// What is counted together, in time and packets.
const WINDOW_US: u64 = 250_000;
const FEWEST: f64 = 20.0;

/// What a window weighs in the next one (`TemporalWeightFactor`).
const KEPT: f64 = 0.9;

/// The bound is `BALANCE / (loss - OFFSET)`, in bits a second (`BandwidthBalance` 100 kbit/s, `LossOffset` 0.05): 3.3 Mbit/s at a
/// loss of 8 %, 2 at 10 %, 1 at 15 %, 0.67 at 20 %.
const BALANCE: f64 = 100_000.0;
const OFFSET: f64 = 0.05;

/// It does not go below this share of what arrives, and rises by so much a window at most.
const OF_ARRIVING: f64 = 0.85;
const RISE: f64 = 1.3;

/// Below this there is none.
const NONE_BELOW: f64 = 0.02;

/// Loss that confirms an alarm, and how many packets it takes to say so.
const HEAVY: f64 = 0.25;
const FEWEST_HEAVY: f64 = 8.0;

/// The same where nothing else speaks for it: of fewer packets, a link that loses one in ten by chance now and then loses as many.
const SURELY_HEAVY: f64 = 0.3;
const FEWEST_SURELY: f64 = 24.0;

pub(super) struct Loss {
    since: u64,
    /// In the running window: lost, and all.
    running: (f64, f64),
    /// In those before, each weighing less.
    kept: (f64, f64),
    former: (f64, f64),
    bound: f64,
}

impl Loss {
    pub(super) fn new(now: u64) -> Self {
        Self { since: now, running: (0.0, 0.0), kept: (0.0, 0.0), former: (0.0, 0.0), bound: f64::INFINITY }
    }

    pub(super) fn take(&mut self, now: u64, lost: f64, all: f64, arriving: Option<f64>) {
        self.running.0 += lost;
        self.running.1 += all;
        if now.saturating_sub(self.since) < WINDOW_US || self.running.1 < FEWEST {
            return;
        }
        self.since = now;
        let (lost, all) = std::mem::take(&mut self.running);
        self.former = (lost, all);
        self.kept = (KEPT * self.kept.0 + lost.max(0.0), KEPT * self.kept.1 + all);
        self.settle(self.share(), arriving.unwrap_or(0.0));
    }

    /// Of a receiver that tells of longer windows itself.
    pub(super) fn take_share(&mut self, share: f64, arriving: f64) {
        self.kept = (share, 1.0);
        self.settle(share, arriving);
    }

    fn settle(&mut self, share: f64, arriving: f64) {
        let target = match share {
            share if share < NONE_BELOW => f64::INFINITY,
            share if share <= OFFSET => self.bound * RISE,
            share => (BALANCE / (share - OFFSET)).max(arriving * OF_ARRIVING),
        };
        self.bound = if share < NONE_BELOW { target } else { target.min(self.bound * RISE) };
    }

    /// Of the last seconds.
    pub(super) fn share(&self) -> f64 {
        self.kept.0 / self.kept.1.max(1.0)
    }

    /// Whether the last quarter of a second lost so much that nothing else is needed to believe an alarm.
    pub(super) fn is_heavy(&self) -> bool {
        self.is_above(HEAVY, FEWEST_HEAVY)
    }

    /// Whether it lost so much that it was not by chance.
    pub(super) fn is_surely_heavy(&self) -> bool {
        self.is_above(SURELY_HEAVY, FEWEST_SURELY)
    }

    fn is_above(&self, share: f64, fewest: f64) -> bool {
        let is = |(lost, all): (f64, f64)| all >= fewest && lost > share * all;
        is(self.running) || is(self.former)
    }

    pub(super) fn bound(&self) -> f64 {
        self.bound
    }

    /// What was lost in a time without any link tells nothing.
    pub(super) fn forget(&mut self, now: u64) {
        *self = Self::new(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_that_of_the_formula() {
        for (lost, least, most) in [
            (0.0, f64::INFINITY, f64::INFINITY),
            (8.0, 3.2e6, 3.4e6),
            (10.0, 1.9e6, 2.1e6),
            (20.0, 6.6e5, 6.7e5),
        ] {
            let mut loss = Loss::new(0);
            (1..40).for_each(|window| loss.take(window * 250_000, lost, 100.0, Some(200e3)));

            assert!((least..=most).contains(&loss.bound()), "{lost} %: {}", loss.bound());
        }
    }

    #[test]
    fn what_arrives_is_not_bounded() {
        let mut loss = Loss::new(0);
        (1..40).for_each(|window| loss.take(window * 250_000, 50.0, 100.0, Some(600e3)));

        assert_eq!(loss.bound(), 0.85 * 600e3);
        assert!(loss.is_heavy());
    }
}
