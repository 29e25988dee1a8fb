//! Whether the delay is growing: the slope of what has been added to it, against a threshold that adapts (libwebrtc's
//! `TrendlineEstimator`; draft-ietf-rmcat-gcc-02 5.3 and 5.4).

use super::groups::Delta;

/// Groups that are looked at.
const WINDOW: usize = 20;
const SMOOTHING: f64 = 0.9;
const GAIN: f64 = 4.0;
/// The trend weighs more the more is known, up to so many groups.
const MOST_DELTAS: u32 = 60;

/// In milliseconds, as are the bounds.
const FIRST_THRESHOLD: f64 = 12.5;
const THRESHOLDS: (f64, f64) = (6.0, 600.0);
/// How fast the threshold follows what is above it, and what is below.
const RISE: f64 = 0.0087;
const FALL: f64 = 0.039;
/// What is so far above it is no measure for it.
const OUTLIER: f64 = 15.0;
const LONGEST_STEP: f64 = 100.0;

/// How long the trend has to be above, and for how many groups.
const OVER_MS: f64 = 10.0;
const OVER_COUNT: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    Normal,
    Over,
    Under,
}

pub(super) struct Trend {
    /// When each group came, in milliseconds, and the smoothed delay by then; `count` of them, `at` the oldest.
    samples: [(f64, f64); WINDOW],
    length: usize,
    at: usize,
    accumulated: f64,
    smoothed: f64,
    first_arrival: Option<i64>,
    deltas: u32,
    threshold: f64,
    adapted_at: Option<i64>,
    over_ms: Option<f64>,
    over_count: u32,
    former: f64,
    usage: Usage,
}

impl Trend {
    pub(super) fn new() -> Self {
        Self {
            samples: [(0.0, 0.0); WINDOW],
            length: 0,
            at: 0,
            accumulated: 0.0,
            smoothed: 0.0,
            first_arrival: None,
            deltas: 0,
            threshold: FIRST_THRESHOLD,
            adapted_at: None,
            over_ms: None,
            over_count: 0,
            former: 0.0,
            usage: Usage::Normal,
        }
    }

    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// All that is known is of another time, but for the threshold.
    pub(super) fn restart(&mut self) {
        *self = Self { threshold: self.threshold, ..Self::new() };
    }

    pub(super) fn take(&mut self, delta: Delta) {
        self.deltas = (self.deltas + 1).min(1000);
        let first = *self.first_arrival.get_or_insert(delta.at);
        self.accumulated += delta.arrived - delta.sent;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        if let Some(sample) = self.samples.get_mut(self.at) {
            *sample = ((delta.at - first) as f64 / 1000.0, self.smoothed);
        }
        self.at = (self.at + 1) % WINDOW;
        self.length = (self.length + 1).min(WINDOW);
        let slope = if self.length == WINDOW { self.slope() } else { 0.0 };
        let trend = f64::from(self.deltas.min(MOST_DELTAS)) * slope * GAIN;
        if self.deltas < 2 {
            return;
        }
        if trend > self.threshold {
            // The first group may have begun anywhere in the time before it.
            let over = self.over_ms.map_or(delta.sent / 2.0, |over| over + delta.sent);
            self.over_ms = Some(over);
            self.over_count += 1;
            if over > OVER_MS && self.over_count >= OVER_COUNT && slope >= self.former {
                self.over_ms = Some(0.0);
                self.over_count = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.over_ms = None;
            self.over_count = 0;
            self.usage = if trend < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        self.former = slope;
        self.adapt(trend, delta.at);
    }

    fn slope(&self) -> f64 {
        let n = WINDOW as f64;
        let (sum_x, sum_y) =
            self.samples.iter().fold((0.0, 0.0), |(x, y), sample| (x + sample.0, y + sample.1));
        let (mean_x, mean_y) = (sum_x / n, sum_y / n);
        let (over, under) = self.samples.iter().fold((0.0, 0.0), |(over, under), (x, y)| {
            (over + (x - mean_x) * (y - mean_y), under + (x - mean_x).powi(2))
        });
        if under == 0.0 { 0.0 } else { over / under }
    }

    fn adapt(&mut self, trend: f64, at: i64) {
        let size = trend.abs();
        let elapsed = self.adapted_at.map_or(0.0, |before| (at - before) as f64 / 1000.0);
        self.adapted_at = Some(at);
        if size > self.threshold + OUTLIER {
            return;
        }
        let gain = if size < self.threshold { FALL } else { RISE };
        let step = gain * (size - self.threshold) * elapsed.clamp(0.0, LONGEST_STEP);
        self.threshold = (self.threshold + step).clamp(THRESHOLDS.0, THRESHOLDS.1);
    }
}
