//! Packets that travelled together, and how the time between such groups changed on the way (libwebrtc's
//! `InterArrivalDelta`; draft-ietf-rmcat-gcc-02 5.2).

use super::sent::Arrived;

/// Packets sent within this time are one group.
const GROUP_US: u64 = 5_000;

/// What a link that stood still lets go of at once belongs together too (gcc-02 5.2): it arrives within so much of the one
/// before, faster than it was sent, for so long at most.
const BURST_GAP_US: i64 = 5_000;
const BURST_US: i64 = 100_000;

/// So many groups before those that came before: the order is lost, and all begins anew.
const MOST_REORDERED: u32 = 3;

/// A jump of the receiver's clock, or a pause in sending.
const JUMP_US: i64 = 3_000_000;

#[derive(Clone, Copy)]
struct Group {
    first_sent: u64,
    last_sent: u64,
    first_arrival: i64,
    last_arrival: i64,
}

/// The time between two groups.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Delta {
    /// In milliseconds.
    pub(super) sent: f64,
    pub(super) arrived: f64,
    /// When the later one was there, in microseconds of the receiver's clock.
    pub(super) at: i64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    /// The packet belongs to the running group, or is out of order.
    Within,
    Next(Delta),
    /// There is no trend across what happened.
    Restart,
}

#[derive(Default)]
pub(super) struct Groups {
    running: Option<Group>,
    former: Option<Group>,
    reordered: u32,
}

impl Groups {
    pub(super) fn take(&mut self, packet: &Arrived) -> Step {
        let Arrived { sent, arrival, .. } = *packet;
        let fresh =
            Group { first_sent: sent, last_sent: sent, first_arrival: arrival, last_arrival: arrival };
        let Some(group) = &mut self.running else {
            self.running = Some(fresh);
            return Step::Within;
        };
        if sent < group.first_sent {
            return Step::Within;
        }
        if sent - group.first_sent <= GROUP_US || group.is_burst(sent, arrival) {
            group.last_sent = group.last_sent.max(sent);
            group.last_arrival = arrival.max(group.last_arrival);
            return Step::Within;
        }
        let done = *group;
        self.running = Some(fresh);
        let Some(former) = self.former.replace(done) else { return Step::Within };
        let (sent, arrived) =
            (done.last_sent as i64 - former.last_sent as i64, done.last_arrival - former.last_arrival);
        if arrived < 0 {
            self.reordered += 1;
            if self.reordered < MOST_REORDERED {
                return Step::Within;
            }
        } else if arrived <= JUMP_US && sent <= JUMP_US {
            self.reordered = 0;
            return Step::Next(Delta {
                sent: sent as f64 / 1000.0,
                arrived: arrived as f64 / 1000.0,
                at: done.last_arrival,
            });
        }
        *self = Self::default();
        Step::Restart
    }
}

impl Group {
    fn is_burst(&self, sent: u64, arrival: i64) -> bool {
        let gap = arrival - self.last_arrival;
        let delay = gap - sent.saturating_sub(self.last_sent) as i64;
        delay < 0 && gap <= BURST_GAP_US && arrival - self.first_arrival < BURST_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deltas(packets: &[(u64, i64)]) -> Vec<Step> {
        let mut groups = Groups::default();
        let take = |(sent, arrival): &(u64, i64)| {
            groups.take(&Arrived { sent: *sent, arrival: *arrival, size: 1000, probe: 0, own_ms: 0 })
        };
        packets.iter().map(take).collect()
    }

    #[test]
    fn what_was_sent_together_is_one_group() {
        let steps = deltas(&[(0, 10_000), (4_000, 12_000), (20_000, 30_000), (40_000, 52_000)]);

        let first = Delta { sent: 16.0, arrived: 18.0, at: 30_000 };
        assert_eq!(steps, [Step::Within, Step::Within, Step::Within, Step::Next(first)]);
    }

    #[test]
    fn a_group_can_have_been_sent_before_the_end_of_the_one_before() {
        // The second of the stalled ones came last.
        let stalled = [(20_000, 100_000), (60_000, 101_000), (40_000, 130_000)];
        let packets = [&[(0, 10_000)][..], &stalled, &[(80_000, 170_000)]].concat();

        let last = Delta { sent: -20.0, arrived: 29.0, at: 130_000 };
        assert_eq!(deltas(&packets).last(), Some(&Step::Next(last)));
    }

    #[test]
    fn what_comes_at_once_after_a_stall_is_one_group() {
        // Sent 20 ms apart, all there within 3 ms after the link stood still.
        let stalled = [(20_000, 100_000), (40_000, 101_000), (60_000, 102_000), (80_000, 103_000)];
        let packets = [&[(0, 10_000)][..], &stalled, &[(100_000, 110_000), (120_000, 130_000)]].concat();

        let told = deltas(&packets).into_iter().filter(|step| matches!(step, Step::Next(_))).count();

        assert_eq!(told, 2);
    }

    #[test]
    fn a_jump_of_the_clock_begins_anew() {
        let steps = deltas(&[(0, 0), (20_000, 20_000), (40_000, 9_000_000), (60_000, 9_020_000)]);

        assert_eq!(steps[3], Step::Restart);
    }
}
