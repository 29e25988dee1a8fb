//! A link towards a viewer: a rate with a drop-tail queue before it, delay, jitter that keeps the order, moments at which
//! nothing moves, loss by chance, and a TCP download beside.

use std::collections::VecDeque;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

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

/// A TCP download that shares the queue, by one of three ways of finding its rate.
#[derive(Clone)]
struct Download {
    /// What is lost is in flight until that is noticed.
    in_flight: usize,
    /// When losses are noticed, and until when they are no news: they are answered once a round trip.
    losses: VecDeque<f64>,
    deaf_until: f64,
    /// Has arrived and is not acknowledged: every second packet is (RFC 1122 4.2.3.2), so that two leave at a time.
    unacknowledged: usize,
    control: Control,
}

impl Download {
    /// A packet has arrived.
    fn take(&mut self, now: f64, round_trip: f64) {
        if let Control::Bbr(bbr) = &mut self.control {
            self.in_flight -= 1;
            bbr.came += SEGMENT;
            return;
        }
        self.unacknowledged += 1;
        if self.unacknowledged < ACKNOWLEDGED {
            return;
        }
        for _ in 0..std::mem::take(&mut self.unacknowledged) {
            self.in_flight -= 1;
            match &mut self.control {
                Control::Reno(reno) => reno.note_acknowledged(),
                Control::Cubic(cubic) => cubic.note_acknowledged(now, round_trip),
                Control::Bbr(_) => {}
            }
        }
    }
}

#[derive(Clone)]
enum Control {
    Reno(Reno),
    Cubic(Cubic),
    Bbr(Bbr),
}

/// Slow start, then one packet more a round trip, half after a loss (RFC 5681).
#[derive(Clone)]
struct Reno {
    window: f64,
    threshold: f64,
}

impl Reno {
    fn new() -> Self {
        Self { window: FIRST_WINDOW, threshold: f64::INFINITY }
    }

    fn note_acknowledged(&mut self) {
        self.window += if self.window < self.threshold { 1.0 } else { 1.0 / self.window };
    }

    fn note_loss(&mut self) {
        self.threshold = (self.window / 2.0).max(2.0);
        self.window = self.threshold;
    }
}

/// What Linux, Windows and macOS do: after a loss seven tenths, then quickly back to near what was lost, slowly past it, and ever
/// faster (RFC 9438), but never less than Reno would have.
#[derive(Clone)]
struct Cubic {
    window: f64,
    threshold: f64,
    /// The window at the last loss, since when, and after how long it is back.
    most: f64,
    since: Option<f64>,
    back_after: f64,
    /// What Reno would have by now, and the window before the last loss, up to which it grows slower as it has lost less.
    reno: f64,
    before: f64,
}

impl Cubic {
    fn new() -> Self {
        Self {
            window: FIRST_WINDOW,
            threshold: f64::INFINITY,
            most: 0.0,
            since: None,
            back_after: 0.0,
            reno: 0.0,
            before: 0.0,
        }
    }

    fn note_acknowledged(&mut self, now: f64, round_trip: f64) {
        if self.window < self.threshold {
            self.window += 1.0;
            return;
        }
        let since = *self.since.get_or_insert_with(|| {
            self.most = self.most.max(self.window);
            self.back_after = ((self.most - self.window) / CUBIC_SCALE).cbrt();
            self.reno = self.window;
            now
        });
        let at = |time: f64| CUBIC_SCALE * (time - self.back_after).powi(3) + self.most;
        let target = at(now - since + round_trip).clamp(self.window, 1.5 * self.window);
        let friendly =
            if self.reno < self.before { 3.0 * (1.0 - CUBIC_KEPT) / (1.0 + CUBIC_KEPT) } else { 1.0 };
        self.reno += friendly / self.window;
        self.window = (self.window + (target - self.window) / self.window).max(self.reno);
    }

    fn note_loss(&mut self) {
        // Less than the last time: somebody else has come, and is left some more.
        let is_less = self.window < self.most;
        self.before = self.window;
        self.most = self.window * if is_less { (1.0 + CUBIC_KEPT) / 2.0 } else { 1.0 };
        self.window = (CUBIC_KEPT * self.window).max(2.0);
        self.most = self.most.max(self.window);
        self.threshold = self.window;
        self.since = None;
    }
}

/// What has come in the best round trip of the last ten, and a quarter more or less for a moment in eight; in flight at most twice
/// what that and the shortest round trip of 10 s make, and for a moment nearly nothing when that is not seen again (after
/// draft-cardwell-iccrg-bbr-congestion-control-00). Losses are nothing to it.
#[derive(Clone)]
struct Bbr {
    /// In bytes a second, newest last, and what has come in the running tenth of a second.
    rates: VecDeque<f64>,
    came: f64,
    tenth_at: f64,
    shortest: f64,
    shortest_at: f64,
    drains_until: f64,
    credit: f64,
    stepped_at: f64,
}

const SEGMENT: f64 = 1500.0;
const FIRST_WINDOW: f64 = 10.0;
const ACKNOWLEDGED: usize = 2;
const CUBIC_SCALE: f64 = 0.4;
const CUBIC_KEPT: f64 = 0.7;
const BBR_GAINS: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
const BBR_REMEMBERS: usize = 25;
const BBR_SHORTEST_COUNTS: f64 = 10.0;
const BBR_DRAINS: f64 = 0.2;

impl Bbr {
    fn new() -> Self {
        Self {
            rates: VecDeque::from([20_000.0]),
            came: 0.0,
            tenth_at: -PLAYED_BEFORE,
            shortest: f64::INFINITY,
            shortest_at: -PLAYED_BEFORE,
            drains_until: f64::NEG_INFINITY,
            credit: 0.0,
            stepped_at: -PLAYED_BEFORE,
        }
    }

    fn rate(&self) -> f64 {
        self.rates.iter().copied().fold(0.0, f64::max)
    }

    /// Time passes, a round trip taking so long. Returns how many packets may be in flight, and how many of them may leave now.
    fn step(&mut self, now: f64, round_trip: f64) -> (f64, usize) {
        if now - self.tenth_at >= 0.1 {
            self.rates.push_back(self.came / (now - self.tenth_at));
            (self.came, self.tenth_at) = (0.0, now);
            if self.rates.len() > BBR_REMEMBERS {
                self.rates.pop_front();
            }
        }
        let is_old = now - self.shortest_at > BBR_SHORTEST_COUNTS;
        if is_old {
            self.drains_until = now + BBR_DRAINS + round_trip;
        }
        if round_trip <= self.shortest || is_old {
            (self.shortest, self.shortest_at) = (round_trip, now);
        }
        let is_draining = now < self.drains_until;
        if is_draining && round_trip < self.shortest {
            self.shortest = round_trip;
        }
        let gain = BBR_GAINS[((now + PLAYED_BEFORE) / self.shortest.max(0.01)) as usize % BBR_GAINS.len()];
        // Until it has found more, it goes on to double.
        let is_starting = now < 1.0 - PLAYED_BEFORE;
        let rate = self.rate() * if is_starting { 2.0 } else { gain };
        self.credit = (self.credit + (now - self.stepped_at) * rate).min(2.0 * SEGMENT);
        self.stepped_at = now;
        let most = if is_draining { 4.0 } else { (2.0 * self.rate() * self.shortest / SEGMENT).max(4.0) };
        (most, (self.credit / SEGMENT) as usize)
    }
}

/// For so long a download has been there when the viewer comes.
const PLAYED_BEFORE: f64 = 10.0;

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

    pub(super) fn beside_reno(self) -> Self {
        self.beside(Control::Reno(Reno::new()))
    }

    pub(super) fn beside_cubic(self) -> Self {
        self.beside(Control::Cubic(Cubic::new()))
    }

    pub(super) fn beside_bbr(self) -> Self {
        self.beside(Control::Bbr(Bbr::new()))
    }

    fn beside(self, control: Control) -> Self {
        let mut link = Self {
            download: Some(Download {
                in_flight: 0,
                losses: VecDeque::new(),
                deaf_until: f64::NEG_INFINITY,
                unacknowledged: 0,
                control,
            }),
            last_arrival: f64::NEG_INFINITY,
            free_at: f64::NEG_INFINITY,
            ..self
        };
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for ms in -(PLAYED_BEFORE * 1000.0) as i32..0 {
            let now = f64::from(ms) / 1000.0;
            link.step(now, &mut random);
            while link.pop(now).is_some() {}
        }
        link
    }

    pub(super) fn end_download(&mut self) {
        self.download = None;
    }

    fn rate(&self, now: f64) -> f64 {
        let known = self.rates.iter().rev().find(|(from, _)| *from <= now).or(self.rates.first());
        known.map_or(0.0, |(_, bits)| *bits)
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

    /// To the viewer's side and back.
    fn round_trip(&self, now: f64) -> f64 {
        2.0 * self.delay + self.queued(now)
    }

    /// The next datagram that is through by now.
    pub(super) fn pop(&mut self, now: f64) -> Option<(f64, Vec<u8>)> {
        let round_trip = self.round_trip(now);
        while self.on_way.front().is_some_and(|(at, _)| *at <= now) {
            match self.on_way.pop_front()? {
                (at, Some(datagram)) => return Some((at, datagram)),
                (_, None) => {
                    if let Some(download) = &mut self.download {
                        download.take(now, round_trip);
                    }
                }
            }
        }
        None
    }

    /// The download sends what it may.
    pub(super) fn step(&mut self, now: f64, random: &mut ChaCha8Rng) {
        let Some(mut download) = self.download.take() else { return };
        let round_trip = self.round_trip(now);
        while download.losses.front().is_some_and(|at| *at <= now) {
            download.losses.pop_front();
            download.in_flight -= 1;
            if now < download.deaf_until {
                continue;
            }
            download.deaf_until = now + round_trip;
            match &mut download.control {
                Control::Reno(reno) => reno.note_loss(),
                Control::Cubic(cubic) => cubic.note_loss(),
                Control::Bbr(_) => {}
            }
        }
        let window = match &download.control {
            Control::Reno(reno) => reno.window,
            Control::Cubic(cubic) => cubic.window,
            Control::Bbr(_) => 0.0,
        };
        while (download.in_flight as f64) < window {
            download.in_flight += 1;
            if !self.place(now, SEGMENT as usize, None, random) {
                download.losses.push_back(now + self.round_trip(now));
            }
        }
        if let Control::Bbr(bbr) = &mut download.control {
            let (most, due) = bbr.step(now, round_trip);
            for _ in 0..due {
                if download.in_flight as f64 >= most {
                    break;
                }
                bbr.credit -= SEGMENT;
                download.in_flight += usize::from(self.place(now, SEGMENT as usize, None, random));
            }
        }
        self.download = Some(download);
    }
}
