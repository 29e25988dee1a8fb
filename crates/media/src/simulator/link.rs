//! A link towards a viewer: a rate with a drop-tail queue before it, delay, jitter that keeps the order, moments at which
//! nothing moves, loss by chance, and a TCP download beside.

use std::collections::VecDeque;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::wire::UNDER;

/// In seconds and bits a second.
#[derive(Clone)]
pub(super) struct Link {
    /// From a moment on, how wide it is; the first from the beginning.
    rates: Vec<(f64, f64)>,
    /// What the queue holds, in time at the current rate.
    pub(super) queue: f64,
    /// Each way.
    pub(super) delay: f64,
    jitter: f64,
    /// In each second nothing moves for so long.
    stall: f64,
    loss: f64,
    /// What exceeds the rate is thrown away at once, but for bursts of this many bytes.
    policer: Option<f64>,
    tokens: f64,
    filled_at: f64,
    /// When the queue is empty.
    free_at: f64,
    last_arrival: f64,
    on_way: VecDeque<(f64, Option<Vec<u8>>)>,
    download: Option<Download>,
}

/// A TCP download that shares the queue: slow start, then one packet more a round trip, half after a loss (RFC 5681).
#[derive(Clone)]
struct Download {
    window: f64,
    threshold: f64,
    in_flight: usize,
    /// A loss is answered once a round trip.
    deaf_until: f64,
    /// When losses are noticed.
    losses: VecDeque<f64>,
}

impl Link {
    pub(super) fn new(bits: f64) -> Self {
        Self {
            rates: vec![(0.0, bits)],
            queue: 0.3,
            delay: 0.005,
            jitter: 0.0,
            stall: 0.0,
            loss: 0.0,
            policer: None,
            tokens: 0.0,
            filled_at: 0.0,
            free_at: 0.0,
            last_arrival: 0.0,
            on_way: VecDeque::new(),
            download: None,
        }
    }

    pub(super) fn then(mut self, at: f64, bits: f64) -> Self {
        self.rates.push((at, bits));
        self
    }

    pub(super) fn queue(self, queue: f64) -> Self {
        Self { queue, ..self }
    }

    pub(super) fn delay(self, delay: f64) -> Self {
        Self { delay, ..self }
    }

    pub(super) fn jitter(self, jitter: f64) -> Self {
        Self { jitter, ..self }
    }

    pub(super) fn stall(self, stall: f64) -> Self {
        Self { stall, ..self }
    }

    pub(super) fn loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    pub(super) fn policer(self, burst: f64) -> Self {
        Self { policer: Some(burst), tokens: burst, ..self }
    }

    pub(super) fn beside_tcp(self) -> Self {
        let download = Download {
            window: 10.0,
            threshold: f64::INFINITY,
            in_flight: 0,
            deaf_until: 0.0,
            losses: VecDeque::new(),
        };
        Self { download: Some(download), ..self }
    }

    fn rate(&self, now: f64) -> f64 {
        self.rates.iter().rev().find(|(from, _)| *from <= now).map_or(0.0, |(_, bits)| *bits)
    }

    /// What waits, in seconds.
    pub(super) fn queued(&self, now: f64) -> f64 {
        (self.free_at - now).max(0.0)
    }

    /// A datagram sets out. `false` when it is thrown away.
    pub(super) fn push(&mut self, now: f64, datagram: &[u8], random: &mut ChaCha8Rng) -> bool {
        self.place(now, datagram.len() + UNDER, Some(datagram), random)
    }

    fn place(&mut self, now: f64, bytes: usize, datagram: Option<&[u8]>, random: &mut ChaCha8Rng) -> bool {
        let (bits, rate) = (bytes as f64 * 8.0, self.rate(now));
        if let Some(burst) = self.policer {
            self.tokens = burst.min(self.tokens + (now - self.filled_at) * rate / 8.0);
            self.filled_at = now;
            if self.tokens < bytes as f64 {
                return false;
            }
            self.tokens -= bytes as f64;
            self.deliver(now, datagram, random);
            return true;
        }
        if rate <= 0.0 || self.free_at - now > self.queue {
            return false;
        }
        let mut begins = self.free_at.max(now);
        if self.stall > 0.0 && begins.fract() < self.stall {
            begins = begins.floor() + self.stall;
        }
        self.free_at = begins + bits / rate;
        if self.loss > 0.0 && random.random_bool(self.loss) {
            return false;
        }
        self.deliver(self.free_at, datagram, random);
        true
    }

    fn deliver(&mut self, done: f64, datagram: Option<&[u8]>, random: &mut ChaCha8Rng) {
        let extra = if self.jitter > 0.0 { random.random_range(0.0..self.jitter) } else { 0.0 };
        let arrival = (done + self.delay + extra).max(self.last_arrival);
        self.last_arrival = arrival;
        self.on_way.push_back((arrival, datagram.map(<[u8]>::to_vec)));
    }

    /// The next datagram that is through by now.
    pub(super) fn pop(&mut self, now: f64) -> Option<(f64, Vec<u8>)> {
        while self.on_way.front().is_some_and(|(at, _)| *at <= now) {
            match self.on_way.pop_front()? {
                (at, Some(datagram)) => return Some((at, datagram)),
                (_, None) => {
                    if let Some(download) = &mut self.download {
                        download.in_flight -= 1;
                        download.window +=
                            if download.window < download.threshold { 1.0 } else { 1.0 / download.window };
                    }
                }
            }
        }
        None
    }

    /// The download sends what it may.
    pub(super) fn step(&mut self, now: f64, random: &mut ChaCha8Rng) {
        let Some(mut download) = self.download.take() else { return };
        while download.losses.front().is_some_and(|at| *at <= now) {
            download.losses.pop_front();
            if now >= download.deaf_until {
                download.threshold = (download.window / 2.0).max(2.0);
                download.window = download.threshold;
                download.deaf_until = now + 2.0 * self.delay + self.queued(now);
            }
        }
        let mut lost = Vec::new();
        while (download.in_flight as f64) < download.window && lost.is_empty() {
            if self.place(now, 1500, None, random) {
                download.in_flight += 1;
            } else {
                lost.push(now + 2.0 * self.delay + self.queued(now));
            }
        }
        download.losses.extend(lost);
        self.download = Some(download);
    }
}
