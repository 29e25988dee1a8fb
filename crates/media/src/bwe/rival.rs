//! Whether it is others who keep the link's queue full: a download that shares it takes what a viewer leaves, so that going down
//! again and again empties no queue and ends at nothing.
//!
//! The signs (after the mode switch of Copa, Arun and Balakrishnan, NSDI 2018, which looks for a queue that is never empty): less is
//! sent than the link has carried a moment before, most of it arrives, little is lost, and the queue grows all the same, or is not
//! empty for seconds. On a link of one's own that cannot be, unless it has become narrower; then far less arrives than is sent,
//! or it is seen once and not again.

/// What is less than the link has carried, and what is most: the queue of a link that others fill a third faster than it drains makes
/// packets arrive so much slower.
const LESS: f64 = 0.85;
const FAR_LESS: f64 = 0.6;
const ARRIVES: f64 = 0.7;

/// A queue that loses more is too full, whoever fills it.
const MOST_LOST: f64 = 0.03;

/// How often it has to be seen unless far less is sent, for how long a sign counts, and how long after one the next is another: a
/// queue needs time to drain.
const SIGNS: u32 = 2;
const SIGN_COUNTS_US: u64 = 10_000_000;
const ANOTHER_AFTER_US: u64 = 500_000;

/// A queue that is never shorter for so long, above the shortest of the last minute, is not empty.
const FULL_MS: f64 = 40.0;
const FULL_FOR_US: u64 = 3_000_000;

/// How long they are taken to be there after the last sign.
const THERE_US: u64 = 60_000_000;

/// What was given up for nothing is taken back, up to so many times what the link carried then.
const BACK: f64 = 1.1;

#[derive(Default)]
pub(super) struct Rival {
    signs: u32,
    sign_at: u64,
    /// Since when the queue has not been empty.
    full_since: Option<u64>,
    /// The last sign of those who are there.
    there_at: Option<u64>,
    /// What the rate was before it went down for a queue that others keep, and what it may be again.
    before: f64,
    back: Option<f64>,
}

/// What an alarm found: what is sent, what arrives and what the link carried when it was last full, in bits a second; and which share
/// is lost.
#[derive(Clone, Copy)]
pub(super) struct Alarm {
    pub(super) sending: f64,
    pub(super) arriving: f64,
    pub(super) limit: Option<f64>,
    pub(super) loss: f64,
}

impl Alarm {
    /// No more than this share of what the link has carried is sent.
    fn is_below(self, share: f64) -> bool {
        self.limit.is_some_and(|limit| self.sending <= share * limit)
    }
}

impl Rival {
    /// The rate goes down from so many bits a second.
    pub(super) fn note_down(&mut self, now: u64, before: f64) {
        if self.signs == 0 || now.saturating_sub(self.sign_at) > SIGN_COUNTS_US {
            self.before = before;
        }
    }

    /// What the rate may be again, once it has turned out that it went down for nothing.
    pub(super) fn take_back(&mut self) -> Option<f64> {
        self.back.take()
    }

    /// A queue stands and grows. Returns whether that is others' doing.
    pub(super) fn blame(&mut self, now: u64, alarm: Alarm) -> bool {
        if alarm.loss > MOST_LOST {
            *self = Self::default();
            return false;
        }
        let is_less = self.is_there(now) || alarm.is_below(LESS);
        if !is_less || alarm.arriving < ARRIVES * alarm.sending {
            return false;
        }
        if now.saturating_sub(self.sign_at) > SIGN_COUNTS_US {
            self.signs = 0;
        }
        if self.signs == 0 || now.saturating_sub(self.sign_at) >= ANOTHER_AFTER_US {
            (self.signs, self.sign_at) = (if alarm.is_below(FAR_LESS) { SIGNS } else { self.signs + 1 }, now);
        }
        if self.signs >= SIGNS {
            self.see(now, alarm.limit);
        }
        true
    }

    /// The queue has been so long for the last second or two, alarm or not.
    pub(super) fn look(&mut self, now: u64, queue_ms: f64, seen: Alarm) {
        if !seen.is_below(LESS) || queue_ms < FULL_MS || seen.loss > MOST_LOST {
            self.full_since = None;
        } else if now.saturating_sub(*self.full_since.get_or_insert(now)) >= FULL_FOR_US {
            self.see(now, seen.limit);
        }
    }

    fn see(&mut self, now: u64, limit: Option<f64>) {
        if !self.is_there(now) {
            self.back = limit.map(|limit| self.before.min(BACK * limit));
        }
        self.there_at = Some(now);
    }

    fn is_there(&self, now: u64) -> bool {
        self.there_at.is_some_and(|at| now.saturating_sub(at) < THERE_US)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Alarm = Alarm { sending: 300e3, arriving: 290e3, limit: Some(430e3), loss: 0.0 };

    #[test]
    fn a_queue_that_grows_although_less_is_sent_than_was_carried_is_of_others() {
        let mut rival = Rival::default();
        let ours = [
            ("nothing is known of the link", Alarm { limit: None, ..USUAL }),
            ("it is as much as it carried", Alarm { sending: 420e3, arriving: 400e3, ..USUAL }),
            ("it has become narrower", Alarm { arriving: 180e3, ..USUAL }),
            ("it loses", Alarm { loss: 0.05, ..USUAL }),
        ];
        for (why, alarm) in ours {
            assert!(!rival.blame(0, alarm), "{why}");
        }

        rival.note_down(0, 600e3);
        assert!(rival.blame(1_000_000, USUAL) && rival.take_back().is_none());
        assert!(rival.blame(2_000_000, USUAL));
        assert_eq!(rival.take_back(), Some(BACK * 430e3));
        assert!(rival.blame(9_000_000, Alarm { limit: None, ..USUAL }), "they are still there");
    }

    #[test]
    fn far_less_than_was_carried_is_sign_enough() {
        let mut rival = Rival::default();
        rival.note_down(0, 600e3);

        assert!(rival.blame(1_000_000, Alarm { sending: 200e3, arriving: 190e3, ..USUAL }));

        assert_eq!(rival.take_back(), Some(BACK * 430e3));
    }

    #[test]
    fn a_queue_that_is_never_empty_although_less_is_sent_is_of_others() {
        let mut rival = Rival::default();
        let calm = Alarm { limit: Some(430e3), ..USUAL };
        (0..29).for_each(|tenth| rival.look(tenth * 100_000, 60.0, calm));
        rival.look(2_900_000, 10.0, calm);
        (30..59).for_each(|tenth| rival.look(tenth * 100_000, 60.0, calm));
        assert!(!rival.blame(5_900_000, Alarm { limit: None, ..USUAL }), "it was empty");

        (59..61).for_each(|tenth| rival.look(tenth * 100_000, 60.0, calm));

        assert!(rival.blame(6_100_000, Alarm { limit: None, ..USUAL }));
    }

    #[test]
    fn they_are_gone_when_nothing_is_seen_of_them_or_too_much_is_lost() {
        let there = || {
            let mut rival = Rival::default();
            assert!(rival.blame(1_000_000, USUAL) && rival.blame(2_000_000, USUAL));
            rival
        };
        let later = Alarm { limit: None, ..USUAL };

        assert!(!there().blame(63_000_000, later));
        let mut lossy = there();
        assert!(!lossy.blame(3_000_000, Alarm { loss: 0.1, ..later }) && !lossy.blame(4_000_000, later));
    }
}
