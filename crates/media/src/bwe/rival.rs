//! Whether it is others who keep the link's queue full: a download that shares it takes what a viewer leaves, so that going down
//! again and again empties no queue and ends at nothing.
//!
//! The signs (after the mode switch of Copa, Arun and Balakrishnan, NSDI 2018, which looks for a queue that is never empty): less is
//! sent than the link has carried a moment before, most of it arrives, little is lost, and the queue grows all the same, or is not
//! empty for seconds. On a link of one's own that cannot be, unless it has become narrower; then far less arrives than is sent,
//! or it is seen once and not again. And each step down is a question to the queue (`Trial`): one of our own drains as fast as what is
//! left of the link, and that of others does not.

use super::sent::Arrived;

/// What is less than the link has carried, and what is most: the queue of a link that others fill a third faster than it drains makes
/// packets arrive so much slower.
const LESS: f64 = 0.85;
const FAR_LESS: f64 = 0.6;
const ARRIVES: f64 = 0.7;

/// While so many times more arrives than is sent, a queue of our own drains: an alarm is of when it grew.
const DRAINS: f64 = 1.1;

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

/// By how much, in milliseconds, what is left of the link is to drain the queue for its answer to be told, as far as there is so much
/// of it; less than a packet and a half take tells nothing either.
const DRAINS_MS: (f64, f64) = (30.0, 100.0);
const PACKET_BITS: f64 = 14_400.0;

/// For how long at least, since an unsteady link lets a packet through at once only now and then (as for `standing.rs`).
const ANSWERS_AFTER_MS: f64 = 200.0;

/// What the link carried is known to this share, from half a second of packets; and how much of the draining, in milliseconds, has to
/// be left when that is taken off.
const KNOWN_TO: f64 = 0.07;
const LEAST_SURELY_MS: f64 = 10.0;

/// What of that it has drained by, if it is others' for sure, and if it may be; and how fast it may grow beside: faster, and the
/// link has become narrower.
const NOT_DRAINED: f64 = 0.35;
const HARDLY_DRAINED: f64 = 0.6;
const GROWS: f64 = 0.15;

/// How a queue answers to it that less is sent than the link has just carried, after a step down or a probe (after the elasticity of
/// Nimbus, Goyal et al., SIGCOMM 2022): what is left of a link of one's own drains it by so much; somebody else takes that.
struct Trial {
    /// What the link carried, in bits a microsecond, and of how large a share of it the answer tells anything.
    carried: f64,
    most: f64,
    began: u64,
    first: Option<First>,
    bits: f64,
    /// The least delay of the second half.
    least: i64,
}

/// The first packet since then: when it was sent, how late it came, and what of that the queue is to drain by.
#[derive(Clone, Copy)]
struct First {
    sent: u64,
    delay: i64,
    drains_ms: f64,
}

impl Trial {
    fn new(now: u64, carried: f64, most: f64) -> Self {
        Self { carried: carried / 1e6, most, began: now, first: None, bits: 0.0, least: i64::MAX }
    }

    /// A packet has arrived after a queue of so many milliseconds. Returns how many signs of others there are, once that can be
    /// told.
    fn take(&mut self, packet: &Arrived, queued_ms: f64) -> Option<u32> {
        let delay = packet.arrival - packet.sent as i64;
        let drains_ms = queued_ms.min(DRAINS_MS.1);
        let First { sent: first, delay: before, drains_ms } =
            *self.first.get_or_insert(First { sent: packet.sent, delay, drains_ms });
        if drains_ms < DRAINS_MS.0.max(PACKET_BITS / self.carried / 1000.0) {
            // It has drained before, or never was.
            return Some(0);
        }
        let passed_ms = packet.sent.saturating_sub(first) as f64 / 1000.0;
        let expected = passed_ms - self.bits / self.carried / 1000.0;
        self.bits += f64::from(packet.size) * 8.0;
        if expected < drains_ms / 2.0 {
            return None;
        }
        self.least = self.least.min(delay);
        if expected < drains_ms || passed_ms < ANSWERS_AFTER_MS {
            return None;
        }
        let drained = (before - self.least) as f64 / 1000.0;
        let surely = (expected - KNOWN_TO * passed_ms).min(drains_ms);
        Some(match drained / surely {
            _ if surely < LEAST_SURELY_MS => 0,
            _ if -drained > GROWS * passed_ms => 0,
            _ if expected < (1.0 - self.most) * passed_ms => 0,
            share if share < NOT_DRAINED => SIGNS,
            share if share < HARDLY_DRAINED => 1,
            _ => 0,
        })
    }
}

#[derive(Default)]
pub(super) struct Rival {
    /// Since the last step down, or a probe.
    trial: Option<Trial>,
    signs: u32,
    sign_at: u64,
    /// Since when the queue has not been empty.
    full_since: Option<u64>,
    /// The last sign of those who are there.
    there_at: Option<u64>,
    /// The most that was given up of late, and when; and what the rate may be again.
    given_up: (f64, u64),
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
    /// The rate goes down from so many bits a second, while so many arrive.
    pub(super) fn note_down(&mut self, now: u64, before: f64, arriving: f64) {
        let bits = before.min(BACK * arriving);
        if bits > self.given_up.0 || now.saturating_sub(self.given_up.1) > SIGN_COUNTS_US {
            self.given_up = (bits, now);
        }
        self.trial = Some(Trial::new(now, arriving, 1.0));
    }

    /// A probe was too much for the link, which carried so many bits a second of it: as a few packets tell it.
    pub(super) fn note_full(&mut self, now: u64, carried: f64) {
        self.trial.get_or_insert_with(|| Trial::new(now, carried, FAR_LESS));
    }

    /// A packet has arrived after a queue of so many milliseconds. Returns how many signs of others its answer is, once that is known.
    #[inline]
    pub(super) fn take(&mut self, packet: &Arrived, queued_ms: f64) -> Option<u32> {
        let trial = self.trial.as_mut().filter(|trial| packet.sent >= trial.began)?;
        let signs = trial.take(packet, queued_ms)?;
        self.trial = None;
        Some(signs)
    }

    /// The queue has answered with so many signs.
    pub(super) fn note_answer(&mut self, now: u64, signs: u32) {
        if signs > 0 {
            self.add(now, signs);
        }
    }

    fn add(&mut self, now: u64, signs: u32) {
        if now.saturating_sub(self.sign_at) > SIGN_COUNTS_US {
            self.signs = 0;
        }
        self.signs += signs;
        self.sign_at = now;
        if self.signs >= SIGNS {
            self.see(now);
        }
    }

    /// What the rate may be again, once it has turned out that it went down for nothing.
    pub(super) fn take_back(&mut self) -> Option<f64> {
        self.back.take()
    }

    /// A queue stands and grows. Returns whether that is no reason for less: it is others' doing, or our own drains by now.
    pub(super) fn blame(&mut self, now: u64, alarm: Alarm) -> bool {
        if alarm.loss > MOST_LOST && !self.is_there(now) {
            self.signs = 0;
            return false;
        }
        let is_less = self.is_there(now) || alarm.is_below(LESS);
        if !is_less || alarm.arriving < ARRIVES * alarm.sending {
            return false;
        }
        let is_draining = alarm.arriving > DRAINS * alarm.sending;
        if is_draining {
            return true;
        }
        if self.signs == 0 || now.saturating_sub(self.sign_at) >= ANOTHER_AFTER_US {
            self.add(now, if alarm.is_below(FAR_LESS) { SIGNS } else { 1 });
        }
        true
    }

    /// The queue has been so long for the last second or two, alarm or not.
    pub(super) fn look(&mut self, now: u64, queue_ms: f64, seen: Alarm) {
        if !seen.is_below(LESS) || queue_ms < FULL_MS || seen.loss > MOST_LOST {
            self.full_since = None;
        } else if now.saturating_sub(*self.full_since.get_or_insert(now)) >= FULL_FOR_US {
            self.see(now);
        }
    }

    /// They are gone, or too much is lost beside them.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    fn see(&mut self, now: u64) {
        if !self.is_there(now) {
            let (bits, at) = self.given_up;
            self.back = (now.saturating_sub(at) < SIGN_COUNTS_US).then_some(bits);
        }
        self.there_at = Some(now);
    }

    /// Whether others keep the queue full.
    pub(super) fn is_there(&self, now: u64) -> bool {
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

        rival.note_down(0, 600e3, 430e3);
        assert!(rival.blame(1_000_000, USUAL) && rival.take_back().is_none());
        assert!(rival.blame(2_000_000, USUAL));
        assert_eq!(rival.take_back(), Some(BACK * 430e3));
        assert!(rival.blame(9_000_000, Alarm { limit: None, ..USUAL }), "they are still there");
    }

    #[test]
    fn far_less_than_was_carried_is_sign_enough() {
        let mut rival = Rival::default();
        rival.note_down(0, 600e3, 430e3);

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
    fn they_are_gone_when_nothing_is_seen_of_them() {
        let mut rival = Rival::default();
        assert!(rival.blame(1_000_000, USUAL) && rival.blame(2_000_000, USUAL));
        let later = Alarm { limit: None, loss: 0.1, ..USUAL };

        assert!(rival.blame(3_000_000, later), "what they lose us is no reason to leave it to them");
        assert!(!rival.blame(64_000_000, later));
    }

    /// Signs in how a queue of so many milliseconds answers to 400 kbit/s where so many were carried, when it grows by so many
    /// milliseconds a second.
    fn answer(carried: f64, queued_ms: f64, grows_ms: f64) -> u32 {
        let mut rival = Rival::default();
        rival.note_down(0, carried, carried);
        let packets = (0..200).map(|at| {
            let sent = at * 20_000;
            let queue_us = 1000.0 * queued_ms + grows_ms * sent as f64 / 1000.0;
            Arrived { sent, arrival: sent as i64 + queue_us as i64, size: 1000, probe: 0, own_ms: 0 }
        });
        packets.filter_map(|packet| rival.take(&packet, queued_ms)).sum()
    }

    #[test]
    fn a_queue_that_does_not_answer_to_less_is_of_others() {
        for (grows_ms, signs) in [(-200.0, 0), (-100.0, 0), (-60.0, 1), (-20.0, 2), (60.0, 2), (350.0, 0)] {
            assert_eq!(answer(500e3, 200.0, grows_ms), signs, "{grows_ms} ms a second");
        }
    }

    #[test]
    fn a_queue_of_our_own_that_drains_is_no_sign() {
        let mut rival = Rival::default();
        let draining = Alarm { sending: 168e3, arriving: 201e3, limit: Some(213e3), loss: 0.0 };

        assert!((1..9).all(|second| rival.blame(second * 1_000_000, draining)), "nor a reason for less");

        assert!(!rival.is_there(9_000_000));
    }

    #[test]
    fn a_link_that_may_carry_somewhat_less_than_was_thought_tells_nothing() {
        for (carried, signs) in [(430e3, 0), (500e3, 2)] {
            assert_eq!(answer(carried, 200.0, 0.0), signs, "400 of {carried} are sent");
        }
    }

    #[test]
    fn what_a_probe_has_shown_tells_nothing_of_what_is_nearly_as_much() {
        for (carried, signs) in [(500e3, 0), (800e3, 2)] {
            let mut rival = Rival::default();
            rival.note_full(0, carried);
            let packets = (0..200).map(|at| {
                let sent = at * 20_000;
                Arrived { sent, arrival: sent as i64 + 200_000, size: 1000, probe: 0, own_ms: 0 }
            });

            assert_eq!(packets.filter_map(|packet| rival.take(&packet, 200.0)).sum::<u32>(), signs);
        }
    }

    #[test]
    fn a_queue_too_short_to_answer_tells_nothing() {
        assert_eq!((answer(500e3, 20.0, 0.0), answer(500e3, 40.0, 0.0)), (0, 2));
    }
}
