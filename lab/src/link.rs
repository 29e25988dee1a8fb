//! One direction of a link, without I/O: a rate that changes over time with a drop-tail queue before it, delay, jitter that
//! keeps the order, moments at which nothing moves, and loss by chance.
//!
//! Time and packets come in as arguments, packets that are through come out; what was offered and what became of it is counted
//! by tenths of a second. The queue is bounded in time, so what is held is bounded too.

use std::collections::VecDeque;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// How long one entry of what is counted is.
pub(crate) const SLOT: Duration = Duration::from_millis(100);

/// What a link holds at most, whatever its queue: a page that loads over an open link must not fill the memory.
const HELD: usize = 16 << 20;

/// What a direction of a link is like.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// From a moment on, how many bits a second; 0 is a cable that is pulled out.
    pub(crate) rates: Vec<(Duration, f64)>,
    /// What the queue holds, in time at the current rate.
    queue: Duration,
    delay: Duration,
    /// A delay on top, by chance up to this.
    jitter: Duration,
    /// For so long nothing moves at the beginning of each second.
    stall: Duration,
    loss: f64,
    /// Instead of the queue: what exceeds the rate is thrown away at once, but for bursts of this many bytes.
    policer: Option<f64>,
    /// Whether anything but TCP gets through.
    pub(crate) has_udp: bool,
}

impl Shape {
    /// A link as most of the scenarios have it: 5 ms each way, a queue of 300 ms.
    pub(crate) fn new(bits: f64) -> Self {
        Self {
            rates: vec![(Duration::ZERO, bits)],
            queue: Duration::from_millis(300),
            delay: Duration::from_millis(5),
            jitter: Duration::ZERO,
            stall: Duration::ZERO,
            loss: 0.0,
            policer: None,
            has_udp: true,
        }
    }

    /// Wide enough for anything.
    pub(crate) fn open() -> Self {
        Self::new(1e9).delay_ms(0)
    }

    pub(crate) fn then(mut self, at: Duration, bits: f64) -> Self {
        self.rates.push((at, bits));
        self
    }

    pub(crate) fn queue_ms(self, queue: u64) -> Self {
        Self { queue: Duration::from_millis(queue), ..self }
    }

    pub(crate) fn delay_ms(self, delay: u64) -> Self {
        Self { delay: Duration::from_millis(delay), ..self }
    }

    /// As far as another.
    pub(crate) fn delay_like(self, other: &Self) -> Self {
        Self { delay: other.delay, ..self }
    }

    pub(crate) fn jitter_ms(self, jitter: u64) -> Self {
        Self { jitter: Duration::from_millis(jitter), ..self }
    }

    pub(crate) fn stall_ms(self, stall: u64) -> Self {
        Self { stall: Duration::from_millis(stall), ..self }
    }

    pub(crate) fn loss_percent(self, loss: f64) -> Self {
        Self { loss: loss / 100.0, ..self }
    }

    pub(crate) fn policer_bytes(self, burst: f64) -> Self {
        Self { policer: Some(burst), ..self }
    }

    pub(crate) fn without_udp(self) -> Self {
        Self { has_udp: false, ..self }
    }

    /// Bits a second at a moment.
    pub(crate) fn rate(&self, at: Duration) -> f64 {
        self.rates.iter().rev().find(|(from, _)| *from <= at).map_or(0.0, |(_, bits)| *bits)
    }

    /// Bits that fit through between two moments.
    pub(crate) fn capacity(&self, from: Duration, to: Duration) -> f64 {
        let mut bits = 0.0;
        let mut at = from;
        while at < to {
            let until = self.next_change(at).map_or(to, |next| next.min(to));
            bits += self.rate(at) * (until - at).as_secs_f64();
            at = until;
        }
        bits
    }

    fn next_change(&self, after: Duration) -> Option<Duration> {
        self.rates.iter().map(|(from, _)| *from).filter(|from| *from > after).min()
    }

    /// When bits that begin to be sent at a moment are sent; `None` if the link is cut before.
    fn sent(&self, begins: Duration, mut bits: f64) -> Option<Duration> {
        let into = Duration::from_nanos(u64::from(begins.subsec_nanos()));
        let mut at = if into < self.stall { begins + (self.stall - into) } else { begins };
        loop {
            let rate = self.rate(at);
            if rate <= 0.0 {
                return None;
            }
            let end = at + Duration::from_secs_f64(bits / rate);
            match self.next_change(at) {
                Some(next) if next < end => {
                    bits -= rate * (next - at).as_secs_f64();
                    at = next;
                }
                _ => return Some(end),
            }
        }
    }
}

/// What became of the packets that were offered in one slot of time. Bytes are IP packets.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Slot {
    pub(crate) udp_bytes: usize,
    pub(crate) udp_packets: usize,
    pub(crate) tcp_bytes: usize,
    /// Thrown away because the queue was full, the link cut, or the policer strict.
    pub(crate) udp_dropped: usize,
    /// Lost by chance.
    pub(crate) udp_lost: usize,
    pub(crate) udp_through_bytes: usize,
    /// The longest wait in the queue, in ms.
    pub(crate) queue_ms: f64,
}

struct Waiting {
    since: Duration,
    packet: Vec<u8>,
}

/// A direction at work. Its time begins with [`Pipe::begin`].
pub(crate) struct Pipe {
    shape: Shape,
    random: ChaCha8Rng,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// When what was sent last had left.
    free_at: Duration,
    /// When what is on its way arrives, in order.
    on_way: VecDeque<(Duration, Vec<u8>)>,
    last_arrival: Duration,
    tokens: f64,
    filled_at: Duration,
    slots: Vec<Slot>,
}

/// UDP's number in an IPv4 header (RFC 791 3.1).
fn is_udp(packet: &[u8]) -> bool {
    packet.get(9) == Some(&17)
}

impl Pipe {
    pub(crate) fn new(shape: Shape, seed: u64) -> Self {
        let tokens = shape.policer.unwrap_or_default();
        Self {
            shape,
            random: ChaCha8Rng::seed_from_u64(seed),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            free_at: Duration::ZERO,
            on_way: VecDeque::new(),
            last_arrival: Duration::ZERO,
            tokens,
            filled_at: Duration::ZERO,
            slots: Vec::new(),
        }
    }

    /// What was counted so far.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    fn count(&mut self, at: Duration, change: impl FnOnce(&mut Slot)) {
        let index = usize::try_from(at.as_millis() / SLOT.as_millis()).unwrap_or(usize::MAX);
        // An hour: nothing here runs for so long.
        if index >= 36_000 {
            return;
        }
        if self.slots.len() <= index {
            self.slots.resize(index + 1, Slot::default());
        }
        if let Some(slot) = self.slots.get_mut(index) {
            change(slot);
        }
    }

    /// A packet sets out.
    pub(crate) fn offer(&mut self, now: Duration, packet: Vec<u8>) {
        self.advance(now);
        let (bytes, udp) = (packet.len(), is_udp(&packet));
        self.count(now, |slot| {
            if udp {
                slot.udp_bytes += bytes;
                slot.udp_packets += 1;
            } else {
                slot.tcp_bytes += bytes;
            }
        });
        if !self.fits(now, bytes) || (udp && !self.shape.has_udp) {
            if udp {
                self.count(now, |slot| slot.udp_dropped += 1);
            }
            return;
        }
        if self.shape.policer.is_some() {
            return self.carry(now, packet);
        }
        self.waiting_bytes += bytes;
        self.waiting.push_back(Waiting { since: now, packet });
        self.advance(now);
    }

    fn fits(&mut self, now: Duration, bytes: usize) -> bool {
        let rate = self.shape.rate(now);
        if let Some(burst) = self.shape.policer {
            let gained = now.saturating_sub(self.filled_at).as_secs_f64() * rate / 8.0;
            self.tokens = burst.min(self.tokens + gained);
            self.filled_at = now;
            let fits = self.tokens >= bytes as f64;
            if fits {
                self.tokens -= bytes as f64;
            }
            return fits;
        }
        let waits = self.waiting_bytes as f64 * 8.0;
        rate > 0.0 && waits <= rate * self.shape.queue.as_secs_f64() && self.waiting_bytes < HELD
    }

    /// What the queue had to send by now is sent.
    fn advance(&mut self, now: Duration) {
        while let Some(head) = self.waiting.front() {
            let begins = self.free_at.max(head.since);
            let done = self.shape.sent(begins, head.packet.len() as f64 * 8.0);
            if done.is_some_and(|done| done > now)
                || (done.is_none() && self.shape.rate(now) > 0.0 && begins > now)
            {
                return;
            }
            let Some(head) = self.waiting.pop_front() else { return };
            self.waiting_bytes -= head.packet.len();
            match done {
                Some(done) => {
                    self.free_at = done;
                    let waited = done.saturating_sub(head.since).as_secs_f64() * 1000.0;
                    self.count(head.since, |slot| slot.queue_ms = slot.queue_ms.max(waited));
                    self.carry(done, head.packet);
                }
                None if is_udp(&head.packet) => self.count(head.since, |slot| slot.udp_dropped += 1),
                None => {}
            }
        }
    }

    /// A packet has left, and is on its way, if chance will have it.
    fn carry(&mut self, left: Duration, packet: Vec<u8>) {
        let udp = is_udp(&packet);
        if self.shape.loss > 0.0 && self.random.random_bool(self.shape.loss) {
            if udp {
                self.count(left, |slot| slot.udp_lost += 1);
            }
            return;
        }
        let extra = self.shape.jitter.mul_f64(self.random.random_range(0.0..1.0));
        let arrival = (left + self.shape.delay + extra).max(self.last_arrival);
        self.last_arrival = arrival;
        if udp {
            let bytes = packet.len();
            self.count(left, |slot| slot.udp_through_bytes += bytes);
        }
        self.on_way.push_back((arrival, packet));
    }

    /// The next packet that is through by now, and when it was.
    pub(crate) fn poll(&mut self, now: Duration) -> Option<(Duration, Vec<u8>)> {
        self.advance(now);
        match self.on_way.front() {
            Some((arrival, _)) if *arrival <= now => self.on_way.pop_front(),
            _ => None,
        }
    }

    /// When [`Pipe::poll`] has something to do next.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let sent = self.waiting.front().map(|head| {
            let begins = self.free_at.max(head.since);
            self.shape.sent(begins, head.packet.len() as f64 * 8.0).unwrap_or(begins)
        });
        let arrives = self.on_way.front().map(|(arrival, _)| *arrival);
        [sent, arrives].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// An IPv4 packet of UDP, as far as the link looks at it.
    fn packet(bytes: usize) -> Vec<u8> {
        let mut packet = vec![0; bytes];
        packet[9] = 17;
        packet
    }

    /// Offers packets at their times, and returns when each that came through was through.
    fn arrivals(pipe: &mut Pipe, offered: impl IntoIterator<Item = (Duration, usize)>) -> Vec<Duration> {
        let mut all = Vec::new();
        for (at, bytes) in offered {
            while let Some(due) = pipe.deadline().filter(|due| *due <= at) {
                all.extend(pipe.poll(due).map(|(when, _)| when));
            }
            pipe.offer(at, packet(bytes));
        }
        while let Some(due) = pipe.deadline() {
            all.extend(pipe.poll(due).map(|(when, _)| when));
        }
        all
    }

    fn total(pipe: &Pipe, of: impl Fn(&Slot) -> usize) -> usize {
        pipe.slots().iter().map(of).sum()
    }

    #[test]
    fn packets_leave_at_the_rate_and_arrive_after_the_delay() {
        let mut pipe = Pipe::new(Shape::new(1e6).delay_ms(20), 1);

        let arrivals = arrivals(&mut pipe, [(ms(0), 1000), (ms(0), 1000), (ms(100), 500)]);

        assert_eq!(arrivals, [ms(28), ms(36), ms(124)]);
    }

    #[test]
    fn the_queue_drops_what_would_wait_too_long_and_nothing_before() {
        let mut pipe = Pipe::new(Shape::new(1e6).delay_ms(0), 1);

        // 300 ms are 37.5 packets of 8 ms: 38 find less before them.
        let arrivals = arrivals(&mut pipe, (0..60).map(|_| (ms(0), 1000)));

        assert_eq!(arrivals.len(), 38);
        assert_eq!(total(&pipe, |slot| slot.udp_dropped), 22);
        assert_eq!(arrivals.last(), Some(&ms(304)));
    }

    #[test]
    fn a_change_of_the_rate_holds_in_the_middle_of_a_packet() {
        let mut pipe = Pipe::new(Shape::new(1e6).delay_ms(0).then(ms(4), 100e3), 1);

        let arrivals = arrivals(&mut pipe, [(ms(0), 1000)]);

        assert_eq!(arrivals, [ms(4 + 40)]);
    }

    #[test]
    fn a_link_that_is_cut_loses_what_it_holds_and_heals() {
        let mut pipe = Pipe::new(Shape::new(1e6).delay_ms(0).then(ms(20), 0.0).then(ms(50), 1e6), 1);

        let offered = [(ms(0), 1000), (ms(15), 1000), (ms(30), 1000), (ms(60), 1000)];
        let arrivals = arrivals(&mut pipe, offered);

        assert_eq!(arrivals, [ms(8), ms(68)]);
        assert_eq!(total(&pipe, |slot| slot.udp_dropped), 2);
    }

    #[test]
    fn jitter_delays_and_keeps_the_order() {
        let mut pipe = Pipe::new(Shape::new(100e6).jitter_ms(30), 1);

        let offered: Vec<_> = (0..500).map(|at| (ms(at * 2), 500)).collect();
        let arrivals = arrivals(&mut pipe, offered.clone());

        assert_eq!(arrivals.len(), offered.len());
        assert!(arrivals.is_sorted());
        let extra: Vec<_> =
            offered.iter().zip(&arrivals).map(|((sent, _), got)| *got - *sent - ms(5)).collect();
        assert!(extra.iter().all(|extra| *extra < ms(31)));
        assert!(extra.iter().any(|extra| *extra > ms(25)) && extra.iter().any(|extra| *extra < ms(10)));
    }

    #[test]
    fn nothing_moves_while_the_link_stalls() {
        let mut pipe = Pipe::new(Shape::new(8e6).delay_ms(0).stall_ms(80), 1);

        let arrivals =
            arrivals(&mut pipe, [(ms(500), 1000), (ms(1000), 1000), (ms(1079), 1000), (ms(1090), 1000)]);

        assert_eq!(arrivals, [ms(501), ms(1081), ms(1082), ms(1091)]);
    }

    #[test]
    fn chance_loses_as_many_as_it_should_and_the_same_ones_for_a_seed() {
        let lost = |seed| {
            let mut pipe = Pipe::new(Shape::new(100e6).loss_percent(5.0), seed);
            let arrivals = arrivals(&mut pipe, (0..10_000).map(|at| (ms(at), 100)));
            assert_eq!(total(&pipe, |slot| slot.udp_lost), 10_000 - arrivals.len());
            arrivals
        };

        let first = lost(1);

        assert!((9_400..9_600).contains(&first.len()), "{}", first.len());
        assert_eq!(first, lost(1));
        assert_ne!(first, lost(2));
    }

    #[test]
    fn a_policer_lets_bursts_through_and_holds_the_rate_without_a_queue() {
        let mut pipe = Pipe::new(Shape::new(800e3).delay_ms(0).policer_bytes(10_000.0), 1);

        // 1.6 Mbit/s for 10 s after a burst.
        let burst = (0..10).map(|_| (ms(0), 1000));
        let arrivals = arrivals(&mut pipe, burst.chain((1..=2000).map(|at| (ms(at * 5), 1000))));

        assert_eq!(arrivals.iter().filter(|at| **at == ms(0)).count(), 10);
        assert!((1005..=1012).contains(&arrivals.len()), "{}", arrivals.len());
    }

    #[test]
    fn without_udp_tcp_gets_through() {
        let mut pipe = Pipe::new(Shape::new(1e6).delay_ms(0).without_udp(), 1);

        pipe.offer(ms(0), packet(100));
        pipe.offer(ms(0), vec![0; 100]);

        assert_eq!(pipe.poll(ms(10)).map(|(_, packet)| packet[9]), Some(0));
        assert!(pipe.poll(ms(10)).is_none());
    }

    #[test]
    fn capacity_adds_up_over_changes() {
        let shape = Shape::new(5e6).then(ms(1000), 200e3).then(ms(3000), 5e6);

        let bits = shape.capacity(ms(500), ms(3500));

        assert!((bits - (2.5e6 + 400e3 + 2.5e6)).abs() < 1.0, "{bits}");
    }
}
