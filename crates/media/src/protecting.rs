//! How much redundancy a viewer's pictures get: none where what is lost can be sent again in time, or where it is lost because there
//! is too much already. And whether smaller pictures with more of it would be better.

use std::time::Duration;

/// From so much loss on, and until there was less than that for a while.
const ON_FROM: f64 = 0.02;
const OFF_BELOW: f64 = 0.01;
const OFF_AFTER_US: u64 = 10_000_000;

/// It begins when it has been needed for so long: at the start little is known, and a link is filled anyhow.
const ON_AFTER_US: u64 = 3_000_000;

/// What is sent again on a path of less is there before a player gives its picture up (row 18 of the lab: 5 ms each way).
const SHORTEST: Duration = Duration::from_millis(50);
const SHORTEST_HELD: Duration = Duration::from_millis(40);

/// How many packets of redundancy there are for each, where there is room for them. Of pictures of ten packets of which 5 % are lost, 60 %
/// are whole; with three more for them, 97 %.
const MOST: f64 = 0.25;

/// From so much loss on, and until there was less than that for a while, the next smaller picture goes with so much in the room of the
/// larger one. Of pictures of ten packets of which 10 % are lost, four of five are whole with what may go with them; of those of three with
/// two more, nearly all.
const SMALLER_FROM: f64 = 0.08;
const LARGER_BELOW: f64 = 0.065;
const MOST_WITH_SMALLER: f64 = 0.7;

/// With less than this, most pictures would still wait for what is sent again.
const WORTH: f64 = 0.12;
const WORTH_HELD: f64 = 0.1;

/// After the link was full: it was not chance that lost. Longer each time that it was so with redundancy, which may have filled it; and
/// for so long what was cut of the estimate on its account is not cut from pictures.
const REST_US: u64 = 5_000_000;
const LONGEST_REST_US: u64 = 120_000_000;
const SPARED_US: u64 = 3_000_000;

/// What is known of the link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    /// The share of packets that are lost.
    pub(crate) loss: f64,
    /// Without what queues, as far as it is known.
    pub(crate) round_trip: Option<Duration>,
}

/// What is given to redundancy.
#[derive(Debug)]
pub(crate) struct Protecting {
    is_on: bool,
    needed_since: Option<u64>,
    quiet_since: Option<u64>,
    /// It is needed, and may be.
    is_wanted: bool,
    /// Smaller pictures are chosen; and since when less has been lost than that is for.
    prefers_smaller: bool,
    better_since: Option<u64>,
    rests_until: u64,
    rest_us: u64,
    spares_until: u64,
}

impl Default for Protecting {
    fn default() -> Self {
        Self {
            is_on: false,
            needed_since: None,
            quiet_since: None,
            is_wanted: false,
            prefers_smaller: false,
            better_since: None,
            rests_until: 0,
            rest_us: REST_US,
            spares_until: 0,
        }
    }
}

impl Protecting {
    /// Whether some is being sent.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Whether so much is lost that smaller pictures with more of it are better than larger ones.
    pub(crate) fn prefers_smaller(&self) -> bool {
        self.prefers_smaller
    }

    /// The link is full, or loses bursts. It is relieved of redundancy first.
    pub(crate) fn note_full(&mut self, now: u64) {
        self.is_wanted = false;
        if std::mem::take(&mut self.is_on) {
            self.rest_us = (2 * self.rest_us).min(LONGEST_REST_US);
            self.spares_until = now + SPARED_US;
        }
        self.rests_until = self.rests_until.max(now + self.rest_us);
    }

    /// Whether it was redundancy that filled the link a moment ago: there is none any more.
    pub(crate) fn spares(&self, now: u64) -> bool {
        now < self.spares_until
    }

    /// What is known of the link by now.
    pub(crate) fn note_path(&mut self, now: u64, path: Path) {
        let has_passed = |since: u64, span: u64| now.saturating_sub(since) >= span;
        let lasts_below = |below: f64, since: &mut Option<u64>| {
            if path.loss >= below {
                *since = None;
                return false;
            }
            has_passed(*since.get_or_insert(now), OFF_AFTER_US)
        };
        let is_quiet = lasts_below(OFF_BELOW, &mut self.quiet_since);
        let is_better = lasts_below(LARGER_BELOW, &mut self.better_since);
        let shortest = if self.is_on || self.prefers_smaller { SHORTEST_HELD } else { SHORTEST };
        let is_long = path.round_trip.is_some_and(|trip| trip >= shortest);
        if !is_long || path.loss < OFF_BELOW {
            self.needed_since = None;
        } else if path.loss >= ON_FROM {
            self.needed_since.get_or_insert(now);
        }
        let has_lasted = self.needed_since.is_some_and(|since| has_passed(since, ON_AFTER_US));
        let is_needed = if self.is_on { !is_quiet } else { has_lasted && path.loss >= ON_FROM };
        self.is_wanted = is_needed && is_long && now >= self.rests_until;
        let is_much = self.is_wanted && path.loss >= SMALLER_FROM;
        self.prefers_smaller = is_long && !is_better && (self.prefers_smaller || is_much);
    }

    /// How much there is to be for each packet of pictures that take so many bits, where so many are left.
    pub(crate) fn share(&mut self, pictures: f64, left: f64) -> f64 {
        let fits = if pictures > 0.0 { left / pictures } else { 0.0 };
        let share = fits.min(if self.prefers_smaller { MOST_WITH_SMALLER } else { MOST });
        let worth = if self.is_on { WORTH_HELD } else { WORTH };
        self.is_on = self.is_wanted && share >= worth;
        if self.is_on { share } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: Path = Path { loss: 0.05, round_trip: Some(Duration::from_millis(100)) };

    const FULL: Path = Path { loss: 0.3, ..FAR };

    /// The share on these paths, second by second, of which the first has been so for a while; the link is full where it is [`FULL`].
    fn shares(paths: &[Path], left: f64) -> Vec<f64> {
        let mut protecting = Protecting::default();
        let mut at = |(second, path): (u64, &Path)| {
            if path.loss == FULL.loss {
                protecting.note_full(second * 1_000_000);
            }
            protecting.note_path(second * 1_000_000, *path);
            protecting.share(1e6, left)
        };
        paths.first().into_iter().for_each(|first| {
            (6..10).for_each(|second| _ = at((second, first)));
        });
        (10..).zip(paths).map(at).collect()
    }

    #[test]
    fn there_is_none_where_nothing_is_lost_or_it_can_be_sent_again_in_time() {
        let near = Path { round_trip: Some(Duration::from_millis(20)), ..FAR };
        let unknown = Path { round_trip: None, ..FAR };
        let clean = Path { loss: 0.0, ..FAR };

        assert_eq!(shares(&[near, unknown, clean], 1e6), [0.0, 0.0, 0.0]);
        let shares = shares(&[Path { loss: 0.03, ..FAR }, Path { loss: 0.1, ..FAR }], 1e6);
        assert_eq!(shares, [0.25, 0.7]);
    }

    #[test]
    fn it_goes_on_for_a_while_and_ends_at_once_when_the_link_is_full() {
        let few = Path { loss: 0.005, ..FAR };
        let on = |shares: Vec<f64>| shares.iter().filter(|share| **share > 0.0).count();

        assert_eq!(on(shares(&[[FAR; 1].as_slice(), &[few; 30]].concat(), 1e6)), 11);
        // It was on when the link was full: it rests for twice as long as it would.
        let after = shares(&[[FAR, FULL].as_slice(), &[FAR; 20]].concat(), 1e6);
        assert_eq!(after.iter().skip(1).position(|share| *share > 0.0), Some(10));
    }

    #[test]
    fn smaller_pictures_are_preferred_while_much_is_lost_by_chance() {
        let much = Path { loss: 0.1, ..FAR };
        let prefers = |path: &[Path]| {
            let mut protecting = Protecting::default();
            let mut at = |(second, path): (u64, &Path)| {
                if path.loss == FULL.loss {
                    protecting.note_full(second * 1_000_000);
                }
                protecting.note_path(second * 1_000_000, *path);
                protecting.share(1e6, 1e6);
                protecting.prefers_smaller()
            };
            (10..).zip(path).map(&mut at).collect::<Vec<_>>()
        };

        assert_eq!(prefers(&[FAR; 20]), [false; 20]);
        assert_eq!(prefers(&[much; 5]), [false, false, false, true, true]);
        // Less for a moment is no reason to change again.
        let path = [[much; 4].as_slice(), &[FAR; 9], &[much; 1], &[FAR; 12]].concat();
        let since = prefers(&path).iter().skip(14).position(|prefers| !prefers);
        assert_eq!(since, Some(10));
        // Where the link was full too, they are the better ones, but that alone is no reason for them.
        assert_eq!(prefers(&[much, much, much, much, FULL]), [false, false, false, true, true]);
        assert_eq!(prefers(&[FULL, much, much, much, much]), [false; 5]);
        let near = Path { round_trip: Some(Duration::from_millis(20)), ..much };
        assert_eq!(prefers(&[much, much, much, much, near]), [false, false, false, true, false]);
    }

    #[test]
    fn it_takes_no_more_than_is_left() {
        assert_eq!(shares(&[FAR], 150e3), [0.15]);
        assert_eq!(shares(&[FAR], 90e3), [0.0]);
        assert_eq!(shares(&[FAR], -1.0), [0.0]);
    }
}
