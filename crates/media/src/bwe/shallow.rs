//! Links whose queue is so short that bursts are lost in it: what is sent close behind other packets is lost there, and what is
//! sent by itself is not. On a link that loses by chance both are.

use super::sent::Fate;

/// What is close behind: the queue it would meet on a link as wide as the estimate, in milliseconds.
const BEHIND_MS: u8 = 10;

/// What a quarter of a second weighs in the next, and how many packets of a kind tell anything. Ten seconds count: what fills the
/// queue a little too often, as sound behind a picture, loses one packet in a hundred, which is a few in that time.
const WINDOW_US: u64 = 250_000;
const KEPT: f64 = 0.975;
const FEWEST: f64 = 20.0;

/// What has to be lost of what comes close behind, and so many times what may be lost of the rest: so many more than were.
const LOSS: f64 = 0.01;
const TIMES: f64 = 2.0;
const MAY_BE: f64 = 3.0;

/// The longest queue that is short.
const LONGEST_QUEUE_MS: f64 = 60.0;

/// What a probe loses more than everything else does where the queue is short.
const LOST_OF_PROBE: f64 = 0.1;

/// Once seen, for how long it is believed: who keeps to it sees no more of it.
const HELD_US: u64 = 60_000_000;

#[derive(Default)]
pub(super) struct Shallow {
    since: u64,
    /// Lost, and all.
    behind: (f64, f64),
    alone: (f64, f64),
    seen_at: Option<u64>,
    probes_lost_at: Option<u64>,
}

fn counts(at: Option<u64>, now: u64) -> bool {
    at.is_some_and(|at| now.saturating_sub(at) < HELD_US)
}

impl Shallow {
    /// A packet has arrived, or is lost.
    pub(super) fn take(&mut self, fate: Fate) {
        let (lost, all) = if fate.own_ms >= BEHIND_MS { &mut self.behind } else { &mut self.alone };
        *lost += f64::from(u8::from(fate.is_lost));
        *all += 1.0;
    }

    /// A report has been taken, of packets after a queue of so many milliseconds.
    pub(super) fn settle(&mut self, now: u64, queue_ms: f64) {
        let is_enough = self.behind.1 >= FEWEST && self.alone.1 >= FEWEST;
        let behind = self.behind.0 / self.behind.1.max(1.0);
        let alone = (self.alone.0 + MAY_BE) / self.alone.1.max(1.0);
        if is_enough && behind > LOSS && behind > TIMES * alone && queue_ms < LONGEST_QUEUE_MS {
            self.seen_at = Some(now);
        }
        if now.saturating_sub(self.since) >= WINDOW_US {
            self.since = now;
            for count in [&mut self.behind, &mut self.alone] {
                *count = (KEPT * count.0, KEPT * count.1);
            }
        }
    }

    /// So much of a probe was lost, and so much of everything else, after a queue of so many milliseconds.
    pub(super) fn note_probe(&mut self, now: u64, lost: f64, usual: f64, queue_ms: f64) {
        if lost > usual + LOST_OF_PROBE && queue_ms < LONGEST_QUEUE_MS {
            self.probes_lost_at = Some(now);
        }
    }

    /// Bursts are lost.
    pub(super) fn is_seen(&self, now: u64) -> bool {
        counts(self.seen_at, now)
    }

    /// Bursts are lost, or only those of probes: what else is sent fits into the queue. Probes are to be short.
    pub(super) fn is_seen_by_probes(&self, now: u64) -> bool {
        self.is_seen(now) || counts(self.probes_lost_at, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten seconds in which of two packets one comes close behind the other.
    fn seen(lost_behind: usize, lost_alone: usize, queue_ms: f64) -> bool {
        let mut shallow = Shallow::default();
        for report in 0..100_usize {
            for packet in 0..10_usize {
                let at = 10 * report + packet;
                let is_lost = |every: usize| every > 0 && (at / 2).is_multiple_of(every);
                let own_ms = if packet % 2 == 0 { 0 } else { 20 };
                let every = if packet % 2 == 0 { lost_alone } else { lost_behind };
                shallow.take(Fate { own_ms, is_lost: is_lost(every) });
            }
            shallow.settle(report as u64 * 100_000, queue_ms);
        }
        shallow.is_seen(10_000_000)
    }

    #[test]
    fn a_short_queue_is_told_from_chance() {
        for (lost_behind, lost_alone, queue_ms, is_short) in [
            (5, 0, 5.0, true),
            (4, 100, 5.0, true),
            (60, 0, 5.0, true),
            (200, 0, 5.0, false),
            (60, 100, 5.0, false),
            (10, 10, 5.0, false),
            (0, 10, 5.0, false),
            (0, 0, 5.0, false),
            (5, 0, 200.0, false),
        ] {
            assert_eq!(
                seen(lost_behind, lost_alone, queue_ms),
                is_short,
                "one in {lost_behind}, one in {lost_alone}, {queue_ms} ms"
            );
        }
    }

    #[test]
    fn it_is_believed_for_a_while() {
        let shallow = Shallow { seen_at: Some(5), ..Shallow::default() };

        assert!(shallow.is_seen(59_000_000) && !shallow.is_seen(61_000_000));
    }
}
