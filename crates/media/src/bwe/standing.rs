//! The queue that stays: the least delay of the last moments above the least of the last seconds, after CoDel (RFC 8289 3.2).
//! Jitter and stalls let some packets through at once; a link that is too narrow lets none. A burst of our own, as every keyframe
//! is, queues on any link, so what it explains is taken off.

use std::collections::VecDeque;

use super::sent::Arrived;

/// The last moments: at least so long, and so many packets; what came before they began counts too, since after a stall
/// everything in them is late. Packets that come within a step are one.
const SHORT_US: i64 = 200_000;
const FEWEST: u32 = 5;
const STEP_US: i64 = 4_000;
const KEPT_STEPS: usize = 256;

/// What is older than this is not of these moments.
const OLDEST_US: i64 = 1_000_000;

/// The last seconds.
const LONG: usize = 10;
const LONG_STEP_US: i64 = 1_000_000;

/// The last minute, in parts of so many seconds.
const MINUTE: usize = 6;

/// What moves by more than this is another clock.
const JUMP_US: i64 = 3_000_000;

/// What came within a step.
#[derive(Clone, Copy)]
struct Step {
    at: i64,
    least: i64,
    packets: u32,
}

#[derive(Default)]
pub(super) struct Standing {
    recent: VecDeque<Step>,
    /// The least of each of the last seconds, the newest first, and which second that is.
    seconds: [Option<i64>; LONG],
    second: i64,
    /// The least of each part of the last minute, the newest first.
    minute: [Option<i64>; MINUTE],
    last: Option<i64>,
}

impl Standing {
    pub(super) fn take(&mut self, packet: &Arrived) {
        let delay = packet.arrival - packet.sent as i64;
        if self.last.is_some_and(|last| (delay - last).abs() > JUMP_US) {
            *self = Self::default();
        }
        self.last = Some(delay);
        self.take_second(packet.arrival.div_euclid(LONG_STEP_US), delay);
        let (at, least) = (packet.arrival.div_euclid(STEP_US), delay - i64::from(packet.own_ms) * 1000);
        match self.recent.back_mut() {
            // What comes late is put into the running step.
            Some(step) if at <= step.at => {
                step.least = step.least.min(least);
                step.packets += 1;
            }
            _ => {
                if self.recent.len() == KEPT_STEPS {
                    self.recent.pop_front();
                }
                self.recent.push_back(Step { at, least, packets: 1 });
            }
        }
    }

    fn take_second(&mut self, second: i64, delay: i64) {
        let passed = second.saturating_sub(self.second).clamp(0, LONG as i64) as usize;
        if passed > 0 {
            let part = |second: i64| second.div_euclid(LONG as i64);
            let parts = (part(second) - part(self.second)).clamp(0, MINUTE as i64) as usize;
            self.minute.rotate_right(parts);
            self.minute.iter_mut().take(parts).for_each(|fresh| *fresh = None);
            self.second = second;
            self.seconds.rotate_right(passed);
            self.seconds.iter_mut().take(passed).for_each(|fresh| *fresh = None);
        }
        let is_less = |least: &Option<i64>| least.is_none_or(|least| delay < least);
        if self.seconds.first().is_some_and(is_less) {
            for least in [self.seconds.first_mut(), self.minute.first_mut()].into_iter().flatten() {
                *least = Some(least.map_or(delay, |least| least.min(delay)));
            }
        }
    }

    /// How much above the least delay of the last minute that of the last second or two is, in milliseconds.
    pub(super) fn never_below_ms(&self) -> f64 {
        let of_late = self.seconds.iter().take(2).flatten().min();
        let least = self.minute.iter().flatten().min();
        of_late.zip(least).map_or(0.0, |(of_late, least)| (of_late - least) as f64 / 1000.0)
    }

    /// The least delay of the last seconds, in microseconds between two clocks.
    fn floor(&self) -> Option<i64> {
        self.seconds.iter().flatten().min().copied()
    }

    /// How much later than the quickest the newest packet came, whoever has made it wait, in milliseconds.
    pub(super) fn newest_ms(&self) -> f64 {
        self.last.zip(self.floor()).map_or(0.0, |(last, floor)| (last - floor).max(0) as f64 / 1000.0)
    }

    /// In milliseconds; 0 while too little is known.
    pub(super) fn ms(&self) -> f64 {
        let (Some(newest), Some(floor)) = (self.recent.back(), self.floor()) else {
            return 0.0;
        };
        let (mut least, mut packets) = (i64::MAX, 0);
        for step in self.recent.iter().rev() {
            let age = (newest.at - step.at) * STEP_US;
            least = least.min(step.least);
            // What is further back can make it no less.
            if least <= floor {
                return 0.0;
            }
            packets += step.packets;
            if packets >= FEWEST && age >= SHORT_US {
                return (least - floor) as f64 / 1000.0;
            }
            if age > OLDEST_US {
                break;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(delays_ms: impl Iterator<Item = i64>) -> f64 {
        let mut standing = Standing::default();
        for (at, delay) in (0..).zip(delays_ms) {
            let sent = 1_000_000 + at * 20_000;
            let arrival = sent as i64 + delay * 1000;
            standing.take(&Arrived { sent, arrival, size: 1000, probe: 0, own_ms: 0 });
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
    fn what_was_the_least_is_known_for_a_minute() {
        let mut standing = Standing::default();
        let mut seconds = |from: i64, to: i64, delay_ms: i64| {
            for at in from * 50..to * 50 {
                let sent = (1_000_000 + at * 20_000) as u64;
                standing.take(&Arrived {
                    sent,
                    arrival: sent as i64 + delay_ms * 1000,
                    size: 1000,
                    probe: 0,
                    own_ms: 0,
                });
            }
            standing.never_below_ms()
        };

        assert_eq!(seconds(0, 5, 10), 0.0);
        assert_eq!((seconds(5, 15, 90), seconds(15, 40, 60)), (80.0, 50.0));
        assert_eq!(seconds(40, 90, 60), 0.0, "it has been so for as long as anybody knows");
    }

    #[test]
    fn a_few_packets_tell_nothing() {
        assert_eq!(standing([10, 10, 200].into_iter()), 0.0);
    }
}
