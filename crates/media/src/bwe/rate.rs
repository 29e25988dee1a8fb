//! The rate that the delay allows: up while nothing queues, down to below what arrives once a queue stands (libwebrtc's
//! `AimdRateControl`; draft-ietf-rmcat-gcc-02 5.5).

use std::collections::VecDeque;

use super::limits::{MAXIMUM, MINIMUM};
use super::sent::Arrived;

/// What a step down leaves of what arrives.
const STEP_DOWN: f64 = 0.85;

/// When to step down again: soon after a link that has become so much narrower, else after so long.
const FAR_BELOW: f64 = 0.7;
const FOLLOWS_AFTER_US: u64 = 500_000;

/// The time over which what arrives is taken, and the shorter one that sees a drop sooner.
const ARRIVING_US: i64 = 500_000;
const ARRIVING_SHORT_US: i64 = 200_000;
const SHORTEST_SPAN_US: i64 = 100_000;
const FEWEST_ARRIVED: usize = 5;
const MOST_ARRIVED: usize = 4096;
const JUMP_US: i64 = 3_000_000;

/// Growth a second.
const GROWTH: f64 = 1.08;

/// Nothing is known about rates that are so much above what arrives.
const ABOVE_ARRIVING: f64 = 1.5;
const ABOVE_ARRIVING_BITS: f64 = 10_000.0;

/// How what arrived at alarms is averaged, and how far from it a rate is not near it any more: three deviations
/// (`LinkCapacityEstimator`).
const CAPACITY_WEIGHT: f64 = 0.05;
const CAPACITY_DEVIATIONS: f64 = 3.0;
const CAPACITY_VARIANCES: (f64, f64) = (0.4, 2.5);

/// Near that, half a packet more for each round trip and the time a queue takes to be seen.
const PACKET_BITS: f64 = 1200.0 * 8.0;
const NOTICED_AFTER: f64 = 0.1;
const LEAST_GROWTH: f64 = 4_000.0;

pub(super) struct Rate {
    bits: f64,
    /// Arrived lately.
    arrived: VecDeque<(i64, u32)>,
    arrived_bytes: u64,
    changed_at: u64,
    decreased_at: Option<u64>,
    capacity: Option<Capacity>,
}

/// What the link carried when it was full, in kbit/s, and how much that varies.
#[derive(Clone, Copy)]
struct Capacity {
    kbits: f64,
    variance: f64,
}

impl Capacity {
    fn deviation(self) -> f64 {
        (self.variance * self.kbits).sqrt() * CAPACITY_DEVIATIONS
    }

    fn is_near(self, kbits: f64) -> bool {
        (kbits - self.kbits).abs() <= self.deviation()
    }

    fn take(self, kbits: f64) -> Self {
        let mean = (1.0 - CAPACITY_WEIGHT) * self.kbits + CAPACITY_WEIGHT * kbits;
        let error = mean - kbits;
        let variance =
            (1.0 - CAPACITY_WEIGHT) * self.variance + CAPACITY_WEIGHT * error * error / mean.max(1.0);
        Self { kbits: mean, variance: variance.clamp(CAPACITY_VARIANCES.0, CAPACITY_VARIANCES.1) }
    }
}

impl Rate {
    pub(super) fn new(now: u64, bits: f64) -> Self {
        Self {
            bits,
            arrived: VecDeque::new(),
            arrived_bytes: 0,
            changed_at: now,
            decreased_at: None,
            capacity: None,
        }
    }

    pub(super) fn bits(&self) -> f64 {
        self.bits
    }

    pub(super) fn set(&mut self, bits: f64) {
        self.bits = bits.clamp(MINIMUM, MAXIMUM);
    }

    pub(super) fn take(&mut self, packet: &Arrived) {
        let newest = self.arrived.back().map_or(packet.arrival, |(at, _)| *at);
        let is_another_clock = (packet.arrival - newest).abs() > JUMP_US;
        if is_another_clock {
            self.arrived.clear();
            self.arrived_bytes = 0;
        }
        let at = if is_another_clock { packet.arrival } else { packet.arrival.max(newest) };
        self.arrived.push_back((at, packet.size.into()));
        self.arrived_bytes += u64::from(packet.size);
        while let Some((first, bytes)) = self.arrived.front().copied() {
            if at - first < ARRIVING_US && self.arrived.len() <= MOST_ARRIVED {
                break;
            }
            self.arrived_bytes -= u64::from(bytes);
            self.arrived.pop_front();
        }
    }

    /// What arrived lately, in bits a second.
    pub(super) fn arriving(&self) -> Option<f64> {
        self.arriving_of(FEWEST_ARRIVED)
    }

    /// The same, of so few packets.
    pub(super) fn arriving_of(&self, fewest: usize) -> Option<f64> {
        let (first, last) = (self.arrived.front()?.0, self.arrived.back()?.0);
        // A window that is full is as long as it is; one that fills is as long as what is in it.
        let span = if last - first > ARRIVING_US * 4 / 5 {
            ARRIVING_US
        } else {
            (last - first).max(SHORTEST_SPAN_US)
        };
        (self.arrived.len() >= fewest).then(|| self.arrived_bytes as f64 * 8e6 / span as f64)
    }

    fn arriving_now(&self) -> Option<f64> {
        let last = self.arrived.back()?.0;
        let recent = self.arrived.iter().rev().take_while(|(at, _)| last - at < ARRIVING_SHORT_US);
        let bytes: u64 = recent.map(|(_, bytes)| u64::from(*bytes)).sum();
        Some(bytes as f64 * 8e6 / ARRIVING_SHORT_US as f64)
    }

    /// What arrives of late from a link that is full: no more than in the last moments, since it may just have become narrower.
    pub(super) fn carried(&self) -> Option<f64> {
        self.arriving().zip(self.arriving_now()).map(|(long, short)| long.min(short))
    }

    /// A queue stands: down. Again after a round trip when far less arrives than the rate, and than what is sent; else once what arrives has had time to
    /// follow, so that a queue that others keep full does not push the rate to the ground. Returns whether it went.
    pub(super) fn decrease(&mut self, now: u64, round_trip_us: u64, sending: f64) -> bool {
        self.changed_at = now;
        let arriving = self.carried().unwrap_or(self.bits);
        let pause = match arriving < FAR_BELOW * self.bits.min(sending) {
            true => round_trip_us.clamp(10_000, 200_000),
            false => FOLLOWS_AFTER_US,
        };
        if self.decreased_at.is_some_and(|at| now.saturating_sub(at) < pause) {
            return false;
        }
        self.decreased_at = Some(now);
        let kbits = arriving / 1000.0;
        self.capacity = match self.capacity {
            Some(capacity) if kbits >= capacity.kbits - capacity.deviation() => Some(capacity.take(kbits)),
            // It is another link by now.
            _ => Some(Capacity { kbits, variance: CAPACITY_VARIANCES.0 }),
        };
        self.bits = (STEP_DOWN * arriving).min(self.bits).max(MINIMUM);
        true
    }

    /// Time passes in which the rate neither grows nor falls.
    pub(super) fn hold(&mut self, now: u64) {
        self.changed_at = now;
    }

    /// Nothing queues, and what was sent was near the rate.
    pub(super) fn increase(&mut self, now: u64, round_trip_us: u64) {
        let elapsed = (now.saturating_sub(self.changed_at) as f64 / 1e6).min(1.0);
        self.changed_at = now;
        let Some(arriving) = self.arriving() else { return };
        let kbits = arriving / 1000.0;
        if self.capacity.is_some_and(|capacity| kbits > capacity.kbits + capacity.deviation()) {
            self.capacity = None;
        }
        let grown = match self.capacity {
            Some(capacity) if capacity.is_near(self.bits / 1000.0) => {
                let response = round_trip_us as f64 / 1e6 + NOTICED_AFTER;
                self.bits + (0.5 * PACKET_BITS / response).max(LEAST_GROWTH) * elapsed
            }
            _ => self.bits * GROWTH.powf(elapsed),
        };
        let cap = ABOVE_ARRIVING * arriving + ABOVE_ARRIVING_BITS;
        self.bits = grown.min(cap.max(self.bits)).min(MAXIMUM);
    }
}
