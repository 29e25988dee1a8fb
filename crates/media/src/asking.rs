//! How often a keyframe is asked for: each takes something from the pictures of all who watch, so that one viewer who asks for
//! more and more of them, or loses on purpose what it then needs one for, must not be given all.

use std::time::{Duration, Instant};

/// Viewers get so many of a picture whenever they want, and in the long run one each so often. A browser on a link that loses a
/// fifth of everything asked for four in 18 s.
const AT_ONCE: u32 = 6;
const EACH: Duration = Duration::from_secs(2);

/// What has been asked for of one picture.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    /// When it was last, for whatever reason.
    asked_at: Option<Instant>,
    /// What the viewer has wanted is made up for by then.
    even_at: Option<Instant>,
}

impl Asking {
    /// Whether the last time was so long ago.
    pub(crate) fn is_due(&self, now: Instant, interval: Duration) -> bool {
        self.asked_at.is_none_or(|at| now.saturating_duration_since(at) >= interval)
    }

    pub(crate) fn note(&mut self, now: Instant) {
        self.asked_at = Some(now);
    }

    /// The viewer wants one. Whether it gets it.
    pub(crate) fn grant(&mut self, now: Instant) -> bool {
        let even_at = self.even_at.unwrap_or(now).max(now);
        let may = even_at - now <= EACH * (AT_ONCE - 1);
        if may {
            self.even_at = Some(even_at + EACH);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_all_the_time_gets_a_few_and_then_one_at_a_time() {
        let (mut asking, began) = (Asking::default(), Instant::now());
        let granted = |asking: &mut Asking, from: u64, to: u64| {
            let times = (from * 10..to * 10).map(|tenth| began + Duration::from_millis(100 * tenth));
            times.filter(|now| asking.grant(*now)).count()
        };

        assert_eq!(granted(&mut asking, 0, 1), 6);
        assert_eq!(granted(&mut asking, 1, 60), 29);
        assert_eq!(granted(&mut asking, 80, 81), 6, "who has been quiet for a while has them again");
    }
}
