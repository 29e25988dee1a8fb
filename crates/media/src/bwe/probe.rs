//! Finding out what lies above the estimate: packets sent faster than it for a moment, and how fast they arrive (libwebrtc's
//! `ProbeBitrateEstimator` and `BitrateProber`).

use std::time::Duration;

use super::limits::{MAXIMUM, MINIMUM};
use super::sent::Arrived;

/// How long one takes: enough for a rate to be seen.
const SHORTEST_US: f64 = 15_000.0;
const LONGEST_US: f64 = 80_000.0;

/// Packets in one (libwebrtc: 5; more tell the rate of a link that sends in bursts), and the size of those that pad it.
const PACKETS: f64 = 12.0;
const SMALLEST: f64 = 200.0;
const LARGEST: f64 = 1200.0;

/// A timer is late by so much.
const SLACK_US: f64 = 5_000.0;

/// What has to be back (libwebrtc: 0.8; a link that loses one in ten may lose a quarter of a few), and by when.
const BACK: f64 = 0.7;
const BACK_AFTER_US: u64 = 1_000_000;

/// Faster than it was sent by so much is a burst on the way; slower than this is the link's rate, of which a part is used.
const TOO_FAST: f64 = 2.0;
const SATURATED: f64 = 0.9;
pub(super) const USED: f64 = 0.95;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Finding {
    /// So many bits a second arrive, and more may.
    Found(f64),
    /// So many can be used of what the link carries.
    Limit(f64),
    /// Too little came back, or not as it was sent.
    Vain,
}

struct Running {
    number: u16,
    rate: f64,
    began: u64,
    until: u64,
    sent: Count,
    arrived: Count,
    last_arrival: (i64, i64),
}

#[derive(Clone, Copy, Default)]
struct Count {
    packets: u32,
    bytes: f64,
    first_at: u64,
    last_at: u64,
    first_size: f64,
    last_size: f64,
}

impl Count {
    fn take(&mut self, at: u64, size: f64) {
        if self.packets == 0 {
            (self.first_at, self.first_size) = (at, size);
        }
        self.packets += 1;
        self.bytes += size;
        (self.last_at, self.last_size) = (at.max(self.last_at), size);
    }
}

#[derive(Default)]
pub(super) struct Probe {
    running: Option<Running>,
    numbers: u16,
    /// The share of the last one that was lost, and how fast it was sent.
    lost: f64,
    sent: f64,
}

impl Probe {
    /// Whether one is under way, or not all of it has been told of.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// How fast the last one was sent, in bits a second.
    pub(super) fn sent(&self) -> f64 {
        self.sent
    }

    pub(super) fn lost(&self) -> f64 {
        self.lost
    }

    /// How long one takes, in microseconds, above an estimate; on a link that carries no more than that, at most so much of it queues.
    pub(super) fn span(rate: f64, estimate: f64, most_queued: Duration) -> f64 {
        let excess = (rate - estimate).max(1.0);
        let span = (most_queued.as_micros() as f64 * estimate / excess).clamp(SHORTEST_US, LONGEST_US);
        // Below that it could tell nothing.
        span.max(PACKETS * SMALLEST * 8e6 / rate.max(MINIMUM)).min(LONGEST_US)
    }

    /// Begins one that takes so long.
    pub(super) fn start(&mut self, now: u64, rate: f64, span: f64) {
        let rate = rate.clamp(MINIMUM, MAXIMUM);
        self.numbers = self.numbers.wrapping_add(1).max(1);
        self.running = Some(Running {
            number: self.numbers,
            rate,
            began: now,
            until: now + span as u64,
            sent: Count::default(),
            arrived: Count::default(),
            last_arrival: (i64::MAX, i64::MIN),
        });
    }

    pub(super) fn stop(&mut self) {
        self.running = None;
    }

    /// A packet goes out; returns the number of the probe it is part of, or 0.
    #[inline]
    pub(super) fn note_sent(&mut self, now: u64, size: u16) -> u16 {
        let Some(running) = self.running.as_mut().filter(|running| now < running.until) else { return 0 };
        running.sent.take(now, size.into());
        running.number
    }

    /// How many bytes of padding it wants by now, and in packets of which size; `None` when it has all.
    pub(super) fn wants(&self, now: u64) -> Option<(usize, usize)> {
        let running = self.running.as_ref().filter(|running| now < running.until)?;
        let bytes_a_us = running.rate / 8e6;
        let due = bytes_a_us * ((now - running.began) as f64 + SLACK_US) - running.sent.bytes;
        let whole = bytes_a_us * (running.until - running.began) as f64;
        Some((due.max(0.0) as usize, (whole / PACKETS).clamp(SMALLEST, LARGEST) as usize))
    }

    pub(super) fn note_arrived(&mut self, packet: &Arrived) {
        let Some(running) = self.running.as_mut().filter(|running| running.number == packet.probe) else {
            return;
        };
        running.arrived.take(packet.sent, packet.size.into());
        let (first, last) = running.last_arrival;
        running.last_arrival = (first.min(packet.arrival), last.max(packet.arrival));
    }

    /// What it has found, once all that can be known is; `told` is when the newest packet that is told of was sent.
    pub(super) fn take(&mut self, now: u64, told: u64) -> Option<Finding> {
        let running = self.running.as_ref().filter(|running| now >= running.until)?;
        let is_back = f64::from(running.arrived.packets) >= BACK * f64::from(running.sent.packets)
            && running.arrived.bytes >= BACK * running.sent.bytes
            && running.sent.packets > 0;
        let is_told = told >= running.sent.last_at;
        if !(is_told || now >= running.until + BACK_AFTER_US) {
            return None;
        }
        self.lost = 1.0 - f64::from(running.arrived.packets) / f64::from(running.sent.packets.max(1));
        self.sent = running.rate;
        let finding = if is_back { running.finding() } else { Finding::Vain };
        self.running = None;
        Some(finding)
    }
}

impl Running {
    fn finding(&self) -> Finding {
        let Self { arrived, last_arrival: (first, last), .. } = self;
        let sent_us = arrived.last_at.saturating_sub(arrived.first_at) as f64;
        let arrived_us = (last - first) as f64;
        if arrived.packets < 5 || sent_us < SHORTEST_US / 2.0 || arrived_us < 1_000.0 {
            return Finding::Vain;
        }
        // A rate needs one packet less than was counted: the last of those sent, the first of those that came.
        let sent = 8e6 * (arrived.bytes - arrived.last_size) / sent_us;
        let came = 8e6 * (arrived.bytes - arrived.first_size) / arrived_us;
        match came / sent {
            ratio if ratio > TOO_FAST => Finding::Vain,
            ratio if ratio < SATURATED => Finding::Limit(USED * came),
            _ => Finding::Found(sent.min(came)),
        }
    }
}
