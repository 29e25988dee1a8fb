//! What is sent once more, within bounds: a viewer that asks for everything, or whose link is narrower than what it is sent,
//! must not be an amplifier.
//!
//! Invariant: retransmissions are at most half of what the link is thought to carry; and with padding and redundancy at most a given share
//! of what was sent in the first place, or would have been, had nothing smaller been chosen: whatever a viewer asks for and says it has lost.

use std::time::Duration;

use crate::meter::Meter;

/// What retransmissions may take of the estimate, over [`SHORT`].
const SHARE_OF_LINK: f64 = 0.5;
const SHORT: Duration = Duration::from_millis(500);

/// What they may be of what is streamed, over [`LONG`]: with it, the whole stays below 1.3 times the stream. Loss of 20 % needs
/// 0.25, those that are lost again among them.
const SHARE_OF_STREAM: f64 = 0.29;

/// What redundancy leaves it at: keyframes lose many packets at once, and whatever is sent while a link is gone.
const SHARE_BUT_FOR_BURSTS: f64 = 0.27;
const LONG: Duration = Duration::from_secs(4);

/// What is lost has to be sent again, and some of that again: padding leaves so many times the loss of that share.
const LOST_AGAIN: f64 = 1.3;

/// With redundancy only what cannot be made up is sent again: the more is lost, the more of it. Of 10 % a third, of so much all.
const NONE_MADE_UP: f64 = 0.18;

/// So much may always be sent again within [`LONG`], in bytes: the first packets of a stream are not less dear.
const LEAST: f64 = 5_000.0;

/// Padding counts as what is sent again, but has a credit of its own: probes at the beginning, and while no picture is sent, are
/// more than a share of next to nothing. It fills at 4 kbit/s.
const MOST_CREDIT: f64 = 24_000.0;
const CREDIT_A_SECOND: f64 = 500.0;
const ENOUGH_CREDIT: f64 = 0.75 * MOST_CREDIT;

/// How often a packet is sent again, and the shortest time between.
const MOST_TIMES: u8 = 4;
const SHORTEST_BETWEEN: Duration = Duration::from_millis(20);

/// Numbers that were never sent that a viewer may ask for in a second, and numbers in all; beyond, nothing it asks for is
/// sent again for as long. Browsers ask for at most 1,000 packets a round trip.
const MOST_UNKNOWN: u32 = 300;
const MOST_ASKED: u32 = 16_384;
const REST: Duration = Duration::from_secs(1);

/// Of smaller pictures with redundancy in the room of larger ones, no more than this either.
const MOST_OF_SMALLER: f64 = 1.0;

/// What there may be beside what was streamed: such a share of it, and all that was forgone with its share.
fn beside(streamed: f64, forgone: f64, share: f64) -> f64 {
    (share * streamed + (1.0 + share) * forgone).min(MOST_OF_SMALLER.max(share) * streamed)
}

/// What will be sent again of a stream with redundancy, on a link that loses so much.
fn share_again(loss: f64) -> f64 {
    LOST_AGAIN * loss * (loss / NONE_MADE_UP).powi(2).min(1.0)
}

/// What is left for redundancy on a link that loses so much, when what is lost has been sent again; of what is streamed, as `forgone` is.
pub(crate) fn share_of_redundancy(loss: f64, forgone: f64) -> f64 {
    (beside(1.0, forgone, SHARE_BUT_FOR_BURSTS) - share_again(loss)).max(0.0)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// What has to pass before a packet goes once more, and before the last copy of it counts as lost.
fn least_between(round_trip: Duration) -> Duration {
    round_trip.max(SHORTEST_BETWEEN)
}

/// Whether a packet may go again that has done so `times`, last so many microseconds ago.
pub(crate) fn may_repeat(times: u8, passed: u64, round_trip: Duration) -> bool {
    times < MOST_TIMES && (times == 0 || passed >= micros(least_between(round_trip)))
}

/// What a viewer may be sent again.
pub(crate) struct Budget {
    short: Meter,
    long: Meter,
    streamed: Meter,
    /// What more would have been, had nothing smaller been chosen.
    forgone: Meter,
    padded: Meter,
    redundant: Meter,
    /// Numbers asked for since a moment: in all, and those that were never sent.
    asked: (u32, u32),
    asked_since: u64,
    rests_until: u64,
    /// What padding may take beyond the share, in bytes, and since when it has grown.
    credit: f64,
    credit_at: u64,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self {
            short: Meter::new(SHORT),
            long: Meter::new(LONG),
            streamed: Meter::new(LONG),
            forgone: Meter::new(LONG),
            padded: Meter::new(LONG),
            redundant: Meter::new(LONG),
            asked: (0, 0),
            asked_since: 0,
            rests_until: 0,
            credit: MOST_CREDIT,
            credit_at: 0,
        }
    }

    /// Something was sent for the first time, and so many times as much was forgone.
    #[inline]
    pub(crate) fn note_streamed(&mut self, now: u64, bytes: usize, forgone: f64) {
        self.streamed.add(now, bytes);
        if forgone > 0.0 {
            self.forgone.add(now, (forgone * bytes as f64) as usize);
        }
    }

    /// What there may be beside what was streamed, with such a share, in bytes.
    fn most(&mut self, now: u64, share: f64) -> f64 {
        beside(self.streamed.sum(now) as f64, self.forgone.sum(now) as f64, share)
    }

    /// Whether `bytes` may be sent again on a link of `estimate` bits a second.
    pub(crate) fn allows(&mut self, now: u64, bytes: usize, estimate: f64) -> bool {
        let bytes = bytes as f64;
        let short = self.short.sum(now) as f64;
        let spent = self.spent(now) as f64;
        let of_link = SHARE_OF_LINK * estimate / 8.0 * SHORT.as_secs_f64();
        let of_stream = self.most(now, SHARE_OF_STREAM);
        // One packet is let through on the narrowest of links.
        (short == 0.0 || short + bytes <= of_link) && spent + bytes <= of_stream.max(LEAST)
    }

    /// What was sent again, with redundancy, and with padding but for that on credit.
    fn spent(&mut self, now: u64) -> u64 {
        self.long.sum(now) + self.redundant.sum(now) + self.padded.sum(now)
    }

    pub(crate) fn note_again(&mut self, now: u64, bytes: usize) {
        self.short.add(now, bytes);
        self.long.add(now, bytes);
    }

    /// What padding may take of the share, on a link that loses so much; and the credit grows.
    fn of_stream(&mut self, now: u64, loss: f64) -> f64 {
        let passed = now.saturating_sub(self.credit_at) as f64 / 1e6;
        self.credit_at = now;
        self.credit = (self.credit + CREDIT_A_SECOND * passed).min(MOST_CREDIT);
        let lost = LOST_AGAIN * loss * self.streamed.sum(now) as f64;
        (self.most(now, SHARE_OF_STREAM) - lost - self.spent(now) as f64).max(0.0)
    }

    /// Takes `bytes` for redundancy, on a link that loses so much; `false` when that leaves too little for what is lost all the same.
    pub(crate) fn protect(&mut self, now: u64, bytes: usize, loss: f64) -> bool {
        let streamed = self.streamed.sum(now) as f64;
        let again = ((self.long.sum(now) + self.padded.sum(now)) as f64).max(share_again(loss) * streamed);
        let most = self.most(now, SHARE_BUT_FOR_BURSTS);
        let fits = self.redundant.sum(now) as f64 + again + bytes as f64 <= most;
        if fits {
            self.redundant.add(now, bytes);
        }
        fits
    }

    /// Whether there may be padding of so many bytes, or of most of the credit where they are more: with less, a probe would tell
    /// nothing and leave nothing for the next.
    pub(crate) fn allows_padding(&mut self, now: u64, bytes: f64, loss: f64) -> bool {
        self.of_stream(now, loss) + self.credit >= bytes.min(ENOUGH_CREDIT)
    }

    /// Takes up to `bytes` for padding, on a link that loses so much; returns how many it may be.
    pub(crate) fn pad(&mut self, now: u64, bytes: usize, loss: f64) -> usize {
        let of_stream = self.of_stream(now, loss);
        let bytes = bytes.min((of_stream + self.credit) as usize);
        self.credit -= (bytes as f64 - of_stream).max(0.0);
        self.padded.add(now, bytes.min(of_stream as usize));
        bytes
    }

    /// What was sent again of late, in bits a second.
    pub(crate) fn bits_again(&mut self, now: u64) -> f64 {
        self.long.sum(now) as f64 * 8.0 / LONG.as_secs_f64()
    }

    /// A viewer asks for one more number. `false` while it asks for too many.
    pub(crate) fn note_asked(&mut self, now: u64, is_known: bool) -> bool {
        if now < self.rests_until {
            return false;
        }
        if now >= self.asked_since + micros(REST) {
            (self.asked, self.asked_since) = ((0, 0), now);
        }
        self.asked.0 += 1;
        self.asked.1 += u32::from(!is_known);
        if self.asked.0 > MOST_ASKED || self.asked.1 > MOST_UNKNOWN {
            self.rests_until = now + micros(REST);
            return false;
        }
        true
    }

    pub(crate) fn rests(&self, now: u64) -> bool {
        now < self.rests_until
    }
}

#[derive(Clone, Copy, Default)]
struct Entry {
    seq: u32,
    /// In milliseconds.
    at: u32,
    times: u8,
}

impl Entry {
    /// Whether a round trip has passed.
    fn has_had(&self, now: u64, round_trip: Duration) -> bool {
        let passed = ((now / 1000) as u32).wrapping_sub(self.at);
        passed >= least_between(round_trip).as_millis() as u32
    }
}

/// Packets of a stream that are looked back to: as many as are kept of a layer.
const LOOKED_BACK: usize = 1024;

/// When each of a stream's last packets was sent again, and how often. It takes up memory once there was something.
#[derive(Default)]
pub(crate) struct Repeats {
    entries: Vec<Entry>,
}

impl Repeats {
    /// Whether packet `seq` may go again on a path of that round trip.
    pub(crate) fn allow(&self, seq: u64, now: u64, round_trip: Duration) -> bool {
        self.entry(seq).is_none_or(|entry| entry.times < MOST_TIMES && entry.has_had(now, round_trip))
    }

    /// Whether all copies of packet `seq` that there may be have had the time to arrive.
    pub(crate) fn is_over(&self, seq: u64, now: u64, round_trip: Duration) -> bool {
        self.entry(seq).is_some_and(|entry| entry.times >= MOST_TIMES && entry.has_had(now, round_trip))
    }

    fn entry(&self, seq: u64) -> Option<&Entry> {
        self.entries.get(seq as usize % LOOKED_BACK).filter(|entry| entry.seq == seq as u32)
    }

    pub(crate) fn note(&mut self, seq: u64, now: u64) {
        if self.entries.is_empty() {
            self.entries.resize(LOOKED_BACK, Entry::default());
        }
        if let Some(entry) = self.entries.get_mut(seq as usize % LOOKED_BACK) {
            let times = if entry.seq == seq as u32 { entry.times } else { 0 };
            *entry = Entry { seq: seq as u32, at: (now / 1000) as u32, times: times.saturating_add(1) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_goes_again_once_a_round_trip_and_four_times_in_all() {
        let mut repeats = Repeats::default();
        let mut times = Vec::new();
        for ms in 0..2000 {
            if repeats.allow(70_000, ms * 1000, Duration::from_millis(100)) {
                repeats.note(70_000, ms * 1000);
                times.push(ms);
            }
        }

        assert_eq!(times, [0, 100, 200, 300]);
        let is_over = |ms: u64| repeats.is_over(70_000, ms * 1000, Duration::from_millis(100));
        assert!(!is_over(350) && is_over(400));
        assert!(repeats.allow(70_000 + LOOKED_BACK as u64, 400_000, Duration::from_millis(100)));
    }

    #[test]
    fn who_asks_for_what_never_was_waits() {
        let mut budget = Budget::new();
        let asked = (0..1000).filter(|_| budget.note_asked(5_000_000, false)).count();

        assert_eq!(asked, MOST_UNKNOWN as usize);
        assert!(!budget.note_asked(5_900_000, true));
        assert!(budget.note_asked(6_100_000, true));
    }

    /// Streams 400 kbit/s for two seconds, where `forgone` times as much is forgone, and spends all that it may on redundancy and
    /// retransmissions. Returns the bytes of both.
    fn spend(budget: &mut Budget, from_ms: u64, forgone: f64) -> (usize, usize) {
        let (mut redundant, mut again) = (0, 0);
        for ms in from_ms..from_ms + 2000 {
            let now = ms * 1000;
            budget.note_streamed(now, 50, forgone);
            if budget.protect(now, 50, 0.1) {
                redundant += 50;
            }
            if budget.allows(now, 50, 1e9) {
                budget.note_again(now, 50);
                again += 50;
            }
        }
        (redundant, again)
    }

    #[test]
    fn what_a_smaller_picture_may_have_in_the_room_of_a_larger_one_is_counted_where_it_was_streamed() {
        let mut budget = Budget::new();
        let streamed = 100_000;
        let sum = |(redundant, again): (usize, usize)| redundant + again;

        assert!(sum(spend(&mut budget, 10_000, 0.0)) <= streamed * 29 / 100 + LEAST as usize);
        spend(&mut budget, 12_000, 0.0);
        // In the room of three times as much no more than twice: and at once no more than what that leaves by now.
        let smaller = sum(spend(&mut budget, 14_000, 2.0)) + sum(spend(&mut budget, 16_000, 2.0));
        assert!((streamed..=streamed * 22 / 10).contains(&smaller), "{smaller}");
        // Back at the larger one there is something for what is lost, from the first moment on.
        let (_, again) = spend(&mut budget, 18_000, 0.0);
        assert!(again >= streamed / 10, "{again}");
    }
}
