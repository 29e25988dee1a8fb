//! What a viewer's link carries, estimated from when packets arrive there: the delay-based control of Google congestion
//! control (draft-ietf-rmcat-gcc-02 5), its loss-based bound (6), and probes that find out what lies above.
//!
//! Sans-IO: packets that were sent and feedback that came are told with their times; the estimate is read.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::rtcp::{Arrival, Arrivals};

/// What is assumed of a link before anything is known, in bits a second.
const INITIAL: f64 = 1_000_000.0;
const MINIMUM: f64 = 30_000.0;
const MAXIMUM: f64 = 50_000_000.0;

/// How many sent packets are remembered: more than arrive in the longest round trip that is worth anything.
const REMEMBERED: usize = 1024;

/// Packets sent within this time are one group (GCC 5.2).
const BURST_US: i64 = 5_000;

/// Samples of the delay's trend that are fitted.
const TREND_WINDOW: usize = 20;
const TREND_GAIN: f64 = 4.0;
const SMOOTHING: f64 = 0.9;

/// A packet that was sent.
#[derive(Clone, Copy, Default)]
struct Sent {
    /// Microseconds after the estimator began.
    at: i64,
    size: u16,
    /// The probe it was part of; 0 for none.
    probe: u16,
    is_pending: bool,
}

/// How the delay between groups develops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Usage {
    Normal,
    Over,
    Under,
}

#[derive(Clone, Copy, Default)]
struct Group {
    first_sent: i64,
    last_sent: i64,
    last_arrival: i64,
}

/// A probe that is under way: packets sent faster than the estimate, to see whether they arrive as fast.
#[derive(Clone, Copy)]
struct Probe {
    number: u16,
    rate: f64,
    until: Instant,
    sent_bytes: f64,
    began: Instant,
}

/// What has come back of a probe.
#[derive(Clone, Copy, Default)]
struct Echo {
    number: u16,
    packets: u32,
    bytes: f64,
    first_sent: i64,
    last_sent: i64,
    first_arrival: i64,
    last_arrival: i64,
    /// Of the first packet sent and of the last: a rate needs one packet less than was counted.
    last_size: f64,
    first_size: f64,
}

/// The estimator of one viewer's connection.
pub(crate) struct Estimator {
    began: Instant,
    sent: Vec<Sent>,
    /// The transport-wide number of the next packet.
    next: u64,
    /// The lowest number not yet reported on.
    oldest: u64,
    estimate: f64,
    loss_bound: f64,
    /// Delivered lately: (arrival, bytes).
    delivered: VecDeque<(i64, u32)>,
    delivered_bytes: u64,
    group: Option<Group>,
    previous: Option<Group>,
    trend: Trend,
    increased_at: Instant,
    decreased_at: Option<Instant>,
    loss_changed_at: Instant,
    /// Packets told of since the loss bound last changed, and how many were lost.
    told: (u32, u32),
    probe: Option<Probe>,
    echo: Echo,
    probes: u16,
    /// A receiver without transport-wide feedback says itself what it takes.
    told_bandwidth: bool,
}

struct Trend {
    samples: VecDeque<(f64, f64)>,
    accumulated: f64,
    smoothed: f64,
    first_arrival: Option<i64>,
    count: u32,
    threshold: f64,
    threshold_at: Option<i64>,
    over_for: f64,
    over_count: u32,
    previous: f64,
    usage: Usage,
}

impl Estimator {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            began: now,
            sent: Vec::new(),
            next: 1,
            oldest: 1,
            estimate: INITIAL,
            loss_bound: MAXIMUM,
            delivered: VecDeque::new(),
            delivered_bytes: 0,
            group: None,
            previous: None,
            trend: Trend {
                samples: VecDeque::new(),
                accumulated: 0.0,
                smoothed: 0.0,
                first_arrival: None,
                count: 0,
                threshold: 12.5,
                threshold_at: None,
                over_for: 0.0,
                over_count: 0,
                previous: 0.0,
                usage: Usage::Normal,
            },
            increased_at: now,
            decreased_at: None,
            loss_changed_at: now,
            told: (0, 0),
            probe: None,
            echo: Echo::default(),
            probes: 0,
            told_bandwidth: false,
        }
    }

    /// The estimate, in bits a second.
    pub(crate) fn bits(&self) -> f64 {
        self.estimate.min(self.loss_bound).clamp(MINIMUM, MAXIMUM)
    }

    /// A packet goes out. Returns its transport-wide number.
    pub(crate) fn note_sent(&mut self, now: Instant, bytes: usize) -> u16 {
        if self.sent.is_empty() {
            self.sent.resize(REMEMBERED, Sent::default());
        }
        let probe = match &mut self.probe {
            Some(probe) => {
                probe.sent_bytes += bytes as f64;
                probe.number
            }
            None => 0,
        };
        let (seq, at) = (self.next, self.micros(now));
        self.next += 1;
        if let Some(slot) = self.slot(seq) {
            let size = u16::try_from(bytes).unwrap_or(u16::MAX);
            *slot = Sent { at, size, probe, is_pending: true };
        }
        self.oldest = self.oldest.max(self.next.saturating_sub(REMEMBERED as u64));
        seq as u16
    }

    fn slot(&mut self, seq: u64) -> Option<&mut Sent> {
        self.sent.get_mut(seq as usize % REMEMBERED)
    }

    fn micros(&self, at: Instant) -> i64 {
        i64::try_from(at.saturating_duration_since(self.began).as_micros()).unwrap_or(i64::MAX)
    }

    /// Feedback came.
    pub(crate) fn note_arrivals(&mut self, now: Instant, arrivals: &Arrivals<'_>) {
        let mut over = false;
        arrivals.for_each(|short, arrival| {
            // The number nearest below the next one that has these 16 bits.
            let back = (self.next as u16).wrapping_sub(short);
            let seq = self.next.wrapping_sub(u64::from(back));
            if back == 0 || seq < self.oldest || seq >= self.next {
                return;
            }
            over |= self.note_arrival(seq, arrival);
        });
        while self.oldest < self.next && self.slot(self.oldest).is_some_and(|sent| !sent.is_pending) {
            self.oldest += 1;
        }
        self.bound_by_loss(now);
        self.control(now, over);
        self.take_echo(now);
    }

    /// One packet's fate. Returns whether it shows overuse.
    fn note_arrival(&mut self, seq: u64, arrival: Arrival) -> bool {
        let Some(slot) = self.slot(seq) else { return false };
        let sent = *slot;
        if !sent.is_pending {
            return false;
        }
        let Some(arrival) = arrival else {
            // It may still be told of in the next feedback, so it counts, but stays pending.
            self.told.0 += 1;
            self.told.1 += 1;
            return false;
        };
        slot.is_pending = false;
        self.told.0 += 1;
        self.delivered.push_back((arrival, sent.size.into()));
        self.delivered_bytes += u64::from(sent.size);
        while let Some((at, bytes)) = self.delivered.front().copied() {
            if arrival - at <= 500_000 && self.delivered.len() <= REMEMBERED {
                break;
            }
            self.delivered_bytes -= u64::from(bytes);
            self.delivered.pop_front();
        }
        if sent.probe != 0 {
            self.echo.note(&sent, arrival);
        }
        self.note_in_group(&sent, arrival)
    }

    fn note_in_group(&mut self, sent: &Sent, arrival: i64) -> bool {
        let fresh = Group { first_sent: sent.at, last_sent: sent.at, last_arrival: arrival };
        let Some(group) = &mut self.group else {
            self.group = Some(fresh);
            return false;
        };
        if sent.at < group.first_sent {
            return false;
        }
        if sent.at - group.first_sent <= BURST_US {
            group.last_sent = group.last_sent.max(sent.at);
            group.last_arrival = group.last_arrival.max(arrival);
            return false;
        }
        let done = *group;
        self.group = Some(fresh);
        let Some(previous) = self.previous.replace(done) else { return false };
        let sent_ms = (done.last_sent - previous.last_sent) as f64 / 1000.0;
        let arrived_ms = (done.last_arrival - previous.last_arrival) as f64 / 1000.0;
        // A receiver whose clock jumped, or a pause in sending: there is no trend across it.
        if !(0.0..=3000.0).contains(&arrived_ms) || sent_ms > 3000.0 {
            self.trend.restart();
            return false;
        }
        self.trend.update(arrived_ms - sent_ms, sent_ms, done.last_arrival) == Usage::Over
    }

    /// What was delivered lately, in bits a second.
    fn delivered_bits(&self) -> Option<f64> {
        let (first, last) = (self.delivered.front()?.0, self.delivered.back()?.0);
        let span = (last - first).max(100_000) as f64 / 1e6;
        (self.delivered.len() >= 5).then(|| self.delivered_bytes as f64 * 8.0 / span)
    }

    /// Increase while nothing queues, step back when something does (GCC 5.5).
    fn control(&mut self, now: Instant, over: bool) {
        let elapsed = now.saturating_duration_since(self.increased_at).as_secs_f64().min(1.0);
        self.increased_at = now;
        let delivered = self.delivered_bits();
        if over {
            let pause = Duration::from_millis(200);
            if self.decreased_at.is_none_or(|at| now.saturating_duration_since(at) > pause) {
                self.decreased_at = Some(now);
                let target = delivered.map_or(self.estimate * 0.85, |delivered| delivered * 0.85);
                self.estimate = target.min(self.estimate).max(MINIMUM);
                self.probe = None;
            }
            return;
        }
        if self.trend.usage != Usage::Normal {
            return;
        }
        let grown = self.estimate * 1.08_f64.powf(elapsed) + 1_000.0 * elapsed;
        // Nothing is known about rates far above what was tried.
        let cap = delivered.map_or(self.estimate, |delivered| 1.5 * delivered + 10_000.0);
        self.estimate = grown.min(cap.max(self.estimate)).min(MAXIMUM);
    }

    /// GCC 6, over at least 20 packets at a time.
    fn bound_by_loss(&mut self, now: Instant) {
        let (told, lost) = self.told;
        let elapsed = now.saturating_duration_since(self.loss_changed_at);
        if told < 20 || elapsed < Duration::from_millis(200) {
            return;
        }
        self.told = (0, 0);
        self.loss_changed_at = now;
        self.note_loss(f64::from(lost) / f64::from(told), elapsed);
    }

    fn note_loss(&mut self, share: f64, elapsed: Duration) {
        if share > 0.10 {
            let bound = self.bits() * (1.0 - 0.5 * share);
            self.loss_bound = bound.max(MINIMUM);
            self.probe = None;
        } else if share < 0.02 && self.loss_bound < MAXIMUM {
            self.loss_bound *= 1.08_f64.powf(elapsed.as_secs_f64().min(1.0));
            if self.loss_bound > 2.0 * self.estimate {
                self.loss_bound = MAXIMUM;
            }
        }
    }

    /// Of a receiver that has no transport-wide feedback: `lost` of 256 packets did not arrive.
    pub(crate) fn note_reception(&mut self, now: Instant, lost: u8) {
        let elapsed = now.saturating_duration_since(self.loss_changed_at);
        if self.next > 1 || elapsed < Duration::from_millis(500) {
            return;
        }
        self.loss_changed_at = now;
        if !self.told_bandwidth && lost < 5 {
            self.estimate = (self.estimate * 1.05).min(MAXIMUM);
        }
        self.note_loss(f64::from(lost) / 256.0, elapsed);
    }

    /// A receiver without transport-wide feedback says what it takes.
    pub(crate) fn note_bandwidth(&mut self, bits: u64) {
        if self.next == 1 {
            self.told_bandwidth = true;
            self.estimate = (bits as f64).clamp(MINIMUM, MAXIMUM);
        }
    }

    /// Sends faster for a moment, to see whether `bits` a second arrive. Nothing when feedback tells nothing.
    pub(crate) fn start_probe(&mut self, now: Instant, bits: f64) {
        if self.next == 1 {
            return;
        }
        self.probes = self.probes.wrapping_add(1).max(1);
        let until = now + Duration::from_millis(80);
        let rate = bits.min(MAXIMUM);
        self.probe = Some(Probe { number: self.probes, rate, until, sent_bytes: 0.0, began: now });
        self.echo = Echo { number: self.probes, ..Echo::default() };
    }

    /// How many bytes of padding the running probe wants by now; `None` when there is none.
    pub(crate) fn probe_bytes(&mut self, now: Instant) -> Option<usize> {
        let probe = self.probe?;
        if now >= probe.until {
            self.probe = None;
            return None;
        }
        let elapsed = now.saturating_duration_since(probe.began) + Duration::from_millis(5);
        let due = probe.rate / 8.0 * elapsed.as_secs_f64() - probe.sent_bytes;
        Some(due.max(0.0) as usize)
    }

    /// Whether the link showed its limit within `span`.
    pub(crate) fn was_overused(&self, now: Instant, span: Duration) -> bool {
        self.decreased_at.is_some_and(|at| now.saturating_duration_since(at) < span)
    }

    fn take_echo(&mut self, now: Instant) {
        if self.probe.is_some_and(|probe| now < probe.until) {
            return;
        }
        let Some((sent, arrived)) = self.echo.rates() else { return };
        // What arrives more slowly than it was sent shows the limit; else there may be more.
        let found = if arrived < 0.9 * sent { 0.95 * arrived } else { sent.min(arrived) };
        if found > self.estimate && !self.was_overused(now, Duration::from_millis(300)) {
            self.estimate = found.min(MAXIMUM);
            self.loss_bound = self.loss_bound.max(self.estimate);
        }
    }
}

impl Echo {
    fn note(&mut self, sent: &Sent, arrival: i64) {
        if sent.probe != self.number {
            return;
        }
        if self.packets == 0 {
            (self.first_sent, self.first_arrival) = (sent.at, arrival);
            self.first_size = sent.size.into();
        }
        self.last_sent = self.last_sent.max(sent.at);
        self.last_arrival = self.last_arrival.max(arrival);
        self.last_size = sent.size.into();
        self.packets += 1;
        self.bytes += f64::from(sent.size);
    }

    /// How fast it was sent, and how fast it arrived, in bits a second; once.
    fn rates(&mut self) -> Option<(f64, f64)> {
        let span = |first: i64, last: i64| (last - first) as f64 / 1e6;
        let (sent, arrived) =
            (span(self.first_sent, self.last_sent), span(self.first_arrival, self.last_arrival));
        if self.packets < 8 || sent < 0.02 || arrived < 0.005 {
            return None;
        }
        let rates =
            (8.0 * (self.bytes - self.last_size) / sent, 8.0 * (self.bytes - self.first_size) / arrived);
        *self = Self::default();
        Some(rates)
    }
}

impl Trend {
    fn restart(&mut self) {
        self.samples.clear();
        self.accumulated = 0.0;
        self.smoothed = 0.0;
        self.first_arrival = None;
        self.over_for = 0.0;
        self.over_count = 0;
        self.usage = Usage::Normal;
    }

    /// GCC 5.3 and 5.4: the slope of the accumulated delay against an adaptive threshold.
    fn update(&mut self, delta_ms: f64, sent_ms: f64, arrival: i64) -> Usage {
        self.count = (self.count + 1).min(1000);
        let first = *self.first_arrival.get_or_insert(arrival);
        self.accumulated += delta_ms;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        self.samples.push_back(((arrival - first) as f64 / 1000.0, self.smoothed));
        if self.samples.len() > TREND_WINDOW {
            self.samples.pop_front();
        }
        let slope = if self.samples.len() == TREND_WINDOW { self.slope() } else { 0.0 };
        let trend = f64::from(self.count.min(60)) * slope * TREND_GAIN;
        if trend > self.threshold {
            self.over_for += sent_ms;
            self.over_count += 1;
            if self.over_for > 10.0 && self.over_count > 1 && trend >= self.previous {
                self.over_for = 0.0;
                self.over_count = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.over_for = 0.0;
            self.over_count = 0;
            self.usage = if trend < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        self.previous = trend;
        self.adapt(trend, arrival);
        self.usage
    }

    fn slope(&self) -> f64 {
        let n = self.samples.len() as f64;
        let (sum_x, sum_y) =
            self.samples.iter().fold((0.0, 0.0), |(x, y), sample| (x + sample.0, y + sample.1));
        let (mean_x, mean_y) = (sum_x / n, sum_y / n);
        let (over, under) = self.samples.iter().fold((0.0, 0.0), |(over, under), (x, y)| {
            (over + (x - mean_x) * (y - mean_y), under + (x - mean_x).powi(2))
        });
        if under == 0.0 { 0.0 } else { over / under }
    }

    fn adapt(&mut self, trend: f64, arrival: i64) {
        let size = trend.abs();
        let elapsed = self.threshold_at.map_or(0.0, |at| ((arrival - at) as f64 / 1000.0).clamp(0.0, 100.0));
        self.threshold_at = Some(arrival);
        // A sudden jump says nothing about the usual.
        if size > self.threshold + 15.0 {
            return;
        }
        let gain = if size < self.threshold { 0.039 } else { 0.0087 };
        self.threshold = (self.threshold + gain * (size - self.threshold) * elapsed).clamp(6.0, 600.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link with a rate, a queue and a delay, and a receiver that reports every 50 ms.
    struct Link {
        now: Instant,
        bits: f64,
        /// When the queue is empty, in seconds after the start.
        free_at: f64,
        start: Instant,
        arrived: Vec<(u16, f64)>,
        estimator: Estimator,
        lost: Vec<u16>,
        max_queue: f64,
    }

    impl Link {
        fn new(bits: f64) -> Self {
            let now = Instant::now();
            let estimator = Estimator::new(now);
            Self {
                now,
                bits,
                free_at: 0.0,
                start: now,
                arrived: vec![],
                estimator,
                lost: vec![],
                max_queue: 0.3,
            }
        }

        fn send(&mut self, bytes: usize) {
            let seq = self.estimator.note_sent(self.now, bytes);
            let now = (self.now - self.start).as_secs_f64();
            if self.free_at - now > self.max_queue {
                self.lost.push(seq);
                return;
            }
            self.free_at = self.free_at.max(now) + bytes as f64 * 8.0 / self.bits;
            self.arrived.push((seq, self.free_at + 0.02));
        }

        /// Sends at `bits` a second for `seconds`, probes included.
        fn run(&mut self, bits: impl Fn(f64) -> f64, seconds: f64) {
            let mut owed = 0.0;
            let mut report_at = 0.0;
            for _ in 0..(seconds * 1000.0) as usize {
                self.now += Duration::from_millis(1);
                owed += bits(self.estimator.bits()) / 8000.0;
                while owed >= 1000.0 {
                    owed -= 1000.0;
                    self.send(1000);
                }
                let mut padding = self.estimator.probe_bytes(self.now).unwrap_or(0);
                while padding >= 250 {
                    self.send(250);
                    padding -= 250;
                }
                report_at += 0.001;
                if report_at >= 0.05 {
                    report_at = 0.0;
                    self.report();
                }
            }
        }

        fn report(&mut self) {
            let now = (self.now - self.start).as_secs_f64();
            let mut told: Vec<(u16, Option<f64>)> = Vec::new();
            self.arrived.retain(|(seq, at)| {
                let is_in = *at <= now;
                if is_in {
                    told.push((*seq, Some(*at)));
                }
                !is_in
            });
            told.extend(self.lost.drain(..).map(|seq| (seq, None)));
            told.sort_by_key(|(seq, _)| *seq);
            let Some((base, _)) = told.first().copied() else { return };
            let reference = (told.iter().find_map(|(_, at)| *at).unwrap_or(0.0) / 0.064) as u32;
            let mut packet = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
            let last = told.last().unwrap().0;
            let count = last.wrapping_sub(base) + 1;
            packet.extend(base.to_be_bytes());
            packet.extend(count.to_be_bytes());
            packet.extend(&reference.to_be_bytes()[1..]);
            packet.push(0);
            let mut deltas = Vec::new();
            let mut at = f64::from(reference) * 0.064;
            for offset in 0..count {
                let seq = base.wrapping_add(offset);
                let arrival = told.iter().find(|(told, _)| *told == seq).and_then(|(_, at)| *at);
                match arrival {
                    None => packet.extend(0x0001_u16.to_be_bytes()),
                    Some(arrival) => {
                        packet.extend(0x4001_u16.to_be_bytes());
                        let step = ((arrival - at) / 0.000_25).round() as i16;
                        at += f64::from(step) * 0.000_25;
                        deltas.extend(step.to_be_bytes());
                    }
                }
            }
            packet.extend(deltas);
            while packet.len() % 4 != 0 {
                packet.push(0);
            }
            let words = (packet.len() / 4 - 1) as u16;
            packet[2..4].copy_from_slice(&words.to_be_bytes());
            let (now, estimator) = (self.now, &mut self.estimator);
            crate::rtcp::read(&packet, |report| {
                if let crate::rtcp::Report::Arrivals(arrivals) = report {
                    estimator.note_arrivals(now, &arrivals);
                }
            });
        }
    }

    #[test]
    fn a_full_link_is_found_and_kept_to() {
        for bits in [300e3, 1e6, 4e6] {
            let mut link = Link::new(bits);

            link.run(|estimate| estimate, 40.0);

            let found = link.estimator.bits();
            assert!(found > 0.55 * bits && found < 1.2 * bits, "{bits}: found {found}");
            let queue = link.free_at - (link.now - link.start).as_secs_f64();
            assert!(queue < 0.25, "{bits}: {queue} s are queued");
        }
    }

    #[test]
    fn a_link_that_narrows_is_noticed_within_seconds() {
        let mut link = Link::new(5e6);
        link.run(|_| 2e6, 10.0);
        assert!(link.estimator.bits() > 2e6);

        link.bits = 500e3;
        link.run(|estimate| estimate.min(2e6), 4.0);

        assert!(link.estimator.bits() < 700e3, "{}", link.estimator.bits());
    }

    #[test]
    fn a_probe_finds_what_is_above() {
        let mut link = Link::new(6e6);
        link.run(|_| 200e3, 5.0);
        let before = link.estimator.bits();

        link.estimator.start_probe(link.now, 3e6);
        link.run(|_| 200e3, 1.0);

        assert!(before < 1.5e6, "{before}");
        assert!(link.estimator.bits() > 2.4e6, "{}", link.estimator.bits());
    }

    #[test]
    fn a_probe_of_a_narrow_link_finds_its_limit() {
        let mut link = Link::new(800e3);
        link.run(|_| 200e3, 5.0);

        link.estimator.start_probe(link.now, 3e6);
        link.run(|_| 200e3, 1.0);

        assert!(link.estimator.bits() < 1.1e6, "{}", link.estimator.bits());
    }
}
