//! What a download would have of a link in our place: one is run in mind, which loses when we do (as TEAR does, Rhee, Ozdemir and Yi,
//! 2000; the download is CUBIC, RFC 9438, as it is on Linux, Windows and macOS). A formula of how often there are losses says the
//! same of many of them, but takes a few that come early for a link of half the width: the window of a download hardly changes then.

use super::limits::{MAXIMUM, MINIMUM};

/// A packet of a download, on the wire.
const SEGMENT_BITS: f64 = 12_000.0;

/// After a loss it keeps this share, and is back in the cubic root of what it lost by this (RFC 9438 4.1, 4.6).
const KEPT: f64 = 0.7;
const SCALE: f64 = 0.4;

/// How many packets more a round trip Reno would have if it kept as much, until it has what it had before the loss (RFC 9438 4.3).
const FRIENDLY: f64 = 3.0 * (1.0 - KEPT) / (1.0 + KEPT);

/// The fewest in flight (RFC 5681 4.1).
const FEWEST: f64 = 2.0;

/// A queue that overflows does until those who fill it have seen what they lost, a round trip; we are told of it up to a report later.
const ONE_LOSS: f64 = 1.5;

/// Over how many seconds its window, a round trip and what arrives are averaged: a few of its losses.
const AVERAGED_S: f64 = 8.0;

/// Who has little loses seldom, which tells nothing of rates that are so many times higher; and from so many times higher on it takes
/// a probe as well to believe it. The next layer of a simulcast is two to four times higher: lower ones are lost for less.
const MOST: f64 = 4.0;
const UNPROVEN: f64 = 2.5;

pub(super) struct Fair {
    /// How many packets it has in flight.
    window: f64,
    /// What it had when it lost last, less where others have come since; after how many seconds it is back there.
    most: f64,
    back_after: f64,
    lost_at: u64,
    /// What Reno would have by now, and from when on it grows as it does.
    reno: f64,
    before: f64,
    passed_at: u64,
    /// Of the last seconds.
    mean_window: f64,
    mean_round_trip: f64,
    mean_arriving: f64,
}

fn seconds(micros: u64) -> f64 {
    micros.max(1) as f64 / 1e6
}

impl Fair {
    /// What is had by now is taken to be fair, while so many bits a second arrive.
    pub(super) fn new(now: u64, rate: f64, round_trip_us: u64, arriving: f64) -> Self {
        let round_trip = seconds(round_trip_us);
        let window = (rate * round_trip / SEGMENT_BITS).max(FEWEST);
        Self {
            window,
            most: window,
            back_after: 0.0,
            lost_at: now,
            reno: window,
            before: window,
            passed_at: now,
            mean_window: window,
            mean_round_trip: round_trip,
            mean_arriving: arriving,
        }
    }

    /// Packets were lost.
    pub(super) fn note_loss(&mut self, now: u64, round_trip_us: u64) {
        if seconds(now.saturating_sub(self.lost_at)) < ONE_LOSS * seconds(round_trip_us) {
            return;
        }
        let has_less = self.window < self.most;
        self.before = self.window;
        self.window = (KEPT * self.window).max(FEWEST);
        self.most = (self.before * if has_less { (1.0 + KEPT) / 2.0 } else { 1.0 }).max(self.window);
        self.back_after = ((self.most - self.window) / SCALE).cbrt();
        self.reno = self.window;
        self.lost_at = now;
    }

    /// Time has passed, and so much arrives, in bits a second.
    pub(super) fn pass(&mut self, now: u64, round_trip_us: u64, arriving: f64) {
        let elapsed = seconds(now.saturating_sub(self.passed_at)).min(1.0);
        self.passed_at = now;
        let round_trip = seconds(round_trip_us);
        self.reno += elapsed / round_trip * if self.reno < self.before { FRIENDLY } else { 1.0 };
        let since = seconds(now.saturating_sub(self.lost_at));
        let cubic = self.most + SCALE * (since - self.back_after).powi(3);
        let weight = 1.0 - (-elapsed / AVERAGED_S).exp();
        self.mean_arriving += weight * (arriving - self.mean_arriving);
        let most = MOST * self.mean_arriving * round_trip / SEGMENT_BITS;
        self.window = self.window.max(cubic.max(self.reno).min(most));
        self.mean_window += weight * (self.window - self.mean_window);
        self.mean_round_trip += weight * (round_trip - self.mean_round_trip);
    }

    /// What it has, in bits a second.
    pub(super) fn bits(&self) -> f64 {
        (SEGMENT_BITS * self.mean_window / self.mean_round_trip).clamp(MINIMUM, MAXIMUM)
    }

    /// Where a rate goes that is such by now: what no probe has shown is believed so far only.
    pub(super) fn next(&self, rate: f64) -> f64 {
        self.bits().min(rate.max(UNPROVEN * self.mean_arriving))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it has after half an hour, when packets are lost each so many seconds and all that it has arrives.
    fn settled(span: f64, round_trip: f64) -> f64 {
        let (round_trip_us, span_us) = ((round_trip * 1e6) as u64, (span * 1e6) as u64);
        let mut fair = Fair::new(0, 1e6, round_trip_us, 1e6);
        for now in (0..2_000_000_000).step_by(50_000) {
            fair.pass(now, round_trip_us, fair.bits());
            if now % span_us < 50_000 {
                fair.note_loss(now, round_trip_us);
                fair.note_loss(now + 50_000, round_trip_us);
            }
        }
        fair.bits()
    }

    #[test]
    fn it_has_what_a_download_has_that_loses_as_often() {
        for (span, round_trip) in [(3.0, 0.3), (4.5, 0.25), (6.0, 0.2)] {
            let rate = settled(span, round_trip);

            // RFC 9438 5.3, one packet in as many as go in that time being lost.
            let in_flight = 1.054 * (round_trip * rate * span / SEGMENT_BITS).powf(0.75);
            let of_it = rate * round_trip / SEGMENT_BITS / in_flight;
            assert!((0.9..1.1).contains(&of_it), "{span} s, {round_trip} s: {rate}, {of_it}");
        }
        // And where that is less than Reno's, its.
        let (rate, round_trip) = (settled(1.0, 0.1), 0.1);
        let of_it = rate * round_trip / SEGMENT_BITS / (1.5 * rate / SEGMENT_BITS).sqrt();
        assert!((0.9..1.1).contains(&of_it), "{rate}, {of_it}");
    }

    #[test]
    fn what_is_had_is_fair_and_a_few_early_losses_hardly_change_that() {
        let mut fair = Fair::new(0, 600e3, 250_000, 500e3);
        assert_eq!(fair.bits(), 600e3);

        for now in (0..8_000_000).step_by(50_000) {
            fair.pass(now, 250_000, 500e3);
            if [1_000_000, 2_500_000, 4_000_000].contains(&now) {
                fair.note_loss(now, 250_000);
            }
        }

        assert!((480e3..720e3).contains(&fair.bits()), "{}", fair.bits());
    }

    #[test]
    fn seldom_losses_tell_nothing_of_rates_that_are_far_higher() {
        let mut fair = Fair::new(0, 500e3, 250_000, 400e3);

        (0..200).for_each(|step| fair.pass(step * 1_000_000, 250_000, 400e3));

        assert!((1.5e6..=1.6e6).contains(&fair.bits()), "{}", fair.bits());
        assert!((0.99e6..=1.01e6).contains(&fair.next(500e3)), "{}", fair.next(500e3));
        assert_eq!(fair.next(1.2e6), 1.2e6, "a probe has shown that");
    }
}
