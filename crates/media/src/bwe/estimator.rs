//! The estimate: what is known of a link, and how each report changes it.

use std::time::Duration;

use super::fair::Fair;
use super::groups::{Groups, Step};
use super::limits::{INITIAL, MAXIMUM, MINIMUM};
use super::loss::Loss;
use super::probe::{self, Finding, Probe};
use super::rate::Rate;
use super::rival::{Alarm, Rival};
use super::seek::Seek;
use super::sent::Sent;
use super::shallow::Shallow;
use super::standing::Standing;
use super::trend::{Trend, Usage};
use crate::meter::Meter;
use crate::rtcp::Arrival;

/// A queue that stands for so long confirms what the trend suspects. Jitter of 60 ms stays below 40.
const STANDING_MS: f64 = 50.0;

/// The most of a queue that bursts of our own explain: a keyframe is through by then, and what still stands is too much.
const MOST_OWN_MS: f64 = 250.0;

/// How long what a full link carried is believed, unless more than that arrives.
const LIMIT_COUNTS_US: u64 = 30_000_000;
const LIMIT_EXCEEDED: f64 = 1.1;

/// Half a second has a packet of 1,200 bytes more or less, in bits a second.
const LIMIT_KNOWN_TO: f64 = 19_200.0;

/// What is lost in a queue that stands, how far the estimate is above what arrives, and for how long, for it to be too high.
const LOST_IN_QUEUE: f64 = 0.02;
const ABOVE_ARRIVING: f64 = 1.15;
const ABOVE_FOR_US: u64 = 3_000_000;

/// What of the estimate a probe may queue, in time, for the sake of sound; and where the queue is short.
const PROBE_QUEUED: Duration = Duration::from_millis(100);
const PROBE_QUEUED_SHALLOW: Duration = Duration::from_millis(20);

/// Where so much queues already, a probe waits: with it, sound would be late or lost in the queue's end (row 10 of the lab: 300 ms).
const QUEUED_BEFORE_MS: f64 = 100.0;

/// What of its padding a probe has to have to begin: frames may fall into it.
const PADDED_AT_LEAST: f64 = 0.8;

/// A policer lets a burst through and throws the rest away: more than was known before is on probation for so long, if next to
/// nothing was lost before. When much is lost in that time, it is not believed again for a while, each time for longer.
const PROBATION_US: u64 = 3_000_000;
const PROBATION_LOSS: f64 = 0.02;
const POLICED: f64 = 0.95;
const QUEUED_MS: f64 = 25.0;

/// A link whose queue grows so long in its first moments, while no more than this share of the first estimate arrives, is that
/// narrow: our own burst explains the queue, but not what arrives of it.
const YOUNG_US: u64 = 2_000_000;
const NARROW_QUEUE_MS: f64 = 70.0;
const NARROW: f64 = 0.6;

/// Of how few packets that can be said for a first time; how short the queue has to be for pictures to go on, and when they do in any
/// case.
const FEWEST_OF_NARROW: usize = 3;
const DRAINED_MS: f64 = 30.0;
const OVERRUN_US: u64 = 1_000_000;

/// A link that turns out to carry less than this share of what is sent, and of what was thought, is overrun too: its queue is full, and what
/// is sent of pictures until it has drained is lost in it, with sound.
const OVERRUN: f64 = 0.6;

/// What it was seen to carry a moment ago is not far off: where less arrives while it drains, it was a stall, and less was sent.
const STILL: f64 = 0.8;

/// What of such a link is used then.
const NEARLY_ALL: f64 = 0.95;

/// For how long pictures that have waited for that go on with care: a keyframe of 12 kB takes a second of what 150 kbit/s leave to it.
const OVERRUN_COUNTS_US: u64 = 4_000_000;

/// Less than this share of what arrives cannot be fair, and downloads do not lose so much: who does fills the queue alone.
const LEFT: f64 = 0.5;
const MOST_LOST_BESIDE: f64 = 0.1;

/// What has to arrive of a probe's rate where others fill the link, for them to give way to it.
const SHARED: f64 = 0.75;

/// Who sends less than this share of the estimate does not learn that it could be more (libwebrtc's `AlrDetector`).
const USED: f64 = 0.65;
const USED_SPAN: Duration = Duration::from_millis(500);

/// When nothing has been told for so long, the estimate halves, and again each time.
const SILENCE_US: u64 = 1_000_000;

/// The round trip before one is known.
const FIRST_ROUND_TRIP_US: u64 = 100_000;
const LONGEST_ROUND_TRIP_US: u64 = 3_000_000;

/// Of a receiver without transport-wide feedback: how often its reports count, growth a second while little is lost and
/// while it says itself that there is more (or the link has carried more), and by how much the round trip may be above the least.
const REPORTS_US: u64 = 500_000;
const REPORTED_LITTLE: f64 = 0.02;
const REPORTED_GROWTH: f64 = 1.05;
const TOLD_GROWTH: f64 = 1.25;
const REPORTED_QUEUE_US: u64 = 100_000;
const REPORTED_STEP_DOWN: f64 = 0.85;

/// The least round trip is that of the last while.
const LEAST_KEPT_US: u64 = 10_000_000;

/// The estimator of one viewer's connection.
pub(crate) struct Estimator {
    sent: Sent,
    groups: Groups,
    trend: Trend,
    standing: Standing,
    rate: Rate,
    loss: Loss,
    shallow: Shallow,
    rival: Rival,
    /// While others keep the link's queue full: what one of them would have in our place.
    fair: Option<Fair>,
    probe: Probe,
    seek: Seek,
    /// When what was sent overran the link, and whether it still does.
    overrun_at: Option<u64>,
    is_overrun: bool,
    /// Since when the rate is one that only a probe has shown.
    raised_at: Option<u64>,
    /// Since when a full queue loses what the estimate is above what arrives.
    above_since: Option<u64>,
    /// What was sent in the last moments.
    sending: Meter,
    /// What of it waits before a link as wide as the estimate, and when that was.
    own_bits: f64,
    own_at: u64,
    round_trip_us: u64,
    /// The newest.
    fresh_round_trip_us: u64,
    /// Since when it is looked for, and what it is.
    least_round_trip: (u64, u64),
    /// A report of the receiver has told the round trip; before, the quickest feedback does.
    is_round_trip_told: bool,
    /// When feedback came, or the estimate was halved for the want of it; `None` before anything was sent.
    heard_at: Option<u64>,
    is_silent: bool,
    /// There is transport-wide feedback. That it was agreed on does not mean that it comes.
    has_feedback: bool,
    /// When the first packet was sent that could be told of.
    began: Option<u64>,
    /// The link has shown that it is full, or that there is more, since that was last asked.
    news: News,
    /// What a receiver without transport-wide feedback says itself that it takes.
    told: Option<f64>,
    reported: Reported,
    /// What the link carried when it was full, and when that was.
    limit: Option<(f64, u64)>,
    absurd: u64,
}

/// What has become known of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) is_full: bool,
    pub(crate) has_more: bool,
}

/// Sums over the reports of a receiver without transport-wide feedback.
#[derive(Default)]
struct Reported {
    since: u64,
    expected: u64,
    lost: u64,
}

impl Estimator {
    pub(crate) fn new(now: u64) -> Self {
        Self {
            sent: Sent::default(),
            groups: Groups::default(),
            trend: Trend::new(),
            standing: Standing::default(),
            rate: Rate::new(now, INITIAL),
            loss: Loss::new(now),
            shallow: Shallow::default(),
            rival: Rival::default(),
            fair: None,
            overrun_at: None,
            is_overrun: false,
            probe: Probe::default(),
            seek: Seek::new(),
            raised_at: None,
            above_since: None,
            sending: Meter::new(USED_SPAN),
            own_bits: 0.0,
            own_at: now,
            round_trip_us: FIRST_ROUND_TRIP_US,
            fresh_round_trip_us: 0,
            least_round_trip: (now, u64::MAX),
            is_round_trip_told: false,
            heard_at: None,
            is_silent: false,
            has_feedback: false,
            began: None,
            news: News::default(),
            told: None,
            reported: Reported::default(),
            limit: None,
            absurd: 0,
        }
    }

    /// The estimate, in bits a second.
    pub(crate) fn bits(&self) -> f64 {
        let told = self.told.unwrap_or(MAXIMUM);
        self.rate.bits().min(self.loss.bound()).min(told).clamp(MINIMUM, MAXIMUM)
    }

    /// The viewer is somewhere else: nothing is known of its link.
    pub(crate) fn restart(&mut self, now: u64) {
        let sent = std::mem::take(&mut self.sent);
        *self = Self { sent, absurd: self.absurd, ..Self::new(now) };
        self.sent.forget();
    }

    /// To the viewer and back.
    pub(crate) fn round_trip(&self) -> Duration {
        Duration::from_micros(self.round_trip_us)
    }

    /// The same, once a report has told of one.
    pub(crate) fn told_round_trip(&self) -> Option<Duration> {
        self.is_round_trip_told.then(|| self.round_trip())
    }

    /// The least of late, without what queues, once something has come back.
    pub(crate) fn least_round_trip(&self) -> Option<Duration> {
        let (_, least) = self.least_round_trip;
        (least < u64::MAX).then(|| Duration::from_micros(least))
    }

    /// A report tells a round trip.
    pub(crate) fn note_round_trip(&mut self, now: u64, round_trip: Duration) {
        let fresh = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX).min(LONGEST_ROUND_TRIP_US);
        let is_first = !std::mem::replace(&mut self.is_round_trip_told, true);
        self.round_trip_us = if is_first { fresh } else { (7 * self.round_trip_us + fresh) / 8 };
        self.fresh_round_trip_us = fresh;
        let (since, least) = self.least_round_trip;
        if fresh <= least || now.saturating_sub(since) > LEAST_KEPT_US {
            self.least_round_trip = (now, fresh);
        }
    }

    /// Feedback on a packet cannot be back sooner than a round trip after it was sent.
    fn note_return(&mut self, now: u64, sent: u64) {
        let fresh = now.saturating_sub(sent);
        let (since, least) = self.least_round_trip;
        if fresh <= least || now.saturating_sub(since) > USED_SPAN.as_micros() as u64 {
            self.least_round_trip = (now, fresh);
            self.round_trip_us = fresh.min(LONGEST_ROUND_TRIP_US);
        }
    }

    /// A packet goes out that is counted over the whole connection. Returns its transport-wide number.
    #[inline]
    pub(crate) fn note_sent(&mut self, now: u64, bytes: usize) -> u16 {
        let size = u16::try_from(bytes).unwrap_or(u16::MAX);
        self.sending.add(now, bytes);
        self.began.get_or_insert(now);
        let probe = self.probe.note_sent(now, size);
        let own_ms = self.own_queue(now, bytes);
        self.sent.push(now, size, probe, own_ms)
    }

    /// The queue that what we send makes on a link as wide as the estimate, in milliseconds.
    #[inline]
    fn own_queue(&mut self, now: u64, bytes: usize) -> u8 {
        let bits_a_us = self.bits() / 1e6;
        let drained = now.saturating_sub(self.own_at) as f64 * bits_a_us;
        let most = MOST_OWN_MS * 1000.0 * bits_a_us;
        self.own_at = now;
        self.own_bits = ((self.own_bits - drained).max(0.0) + bytes as f64 * 8.0).min(most);
        (self.own_bits / bits_a_us / 1000.0) as u8
    }

    /// A packet goes out that nobody counts.
    #[inline]
    pub(crate) fn note_uncounted(&mut self, now: u64, bytes: usize) {
        self.sending.add(now, bytes);
    }

    /// A packet goes out again under the number it had: what is told of that number from now on says nothing of the link.
    pub(crate) fn note_again(&mut self, number: u16) {
        self.sent.note_again(number);
    }

    /// Feedback came, which calls what it is given with the transport-wide number of each packet that it tells of, in their order.
    pub(crate) fn note_arrivals(&mut self, now: u64, told: impl FnOnce(&mut dyn FnMut(u16, Arrival))) {
        let Self { sent, groups, trend, standing, rate, probe, shallow, rival, .. } = self;
        let mut answer = None;
        let take = |packet| {
            rate.take(&packet);
            standing.take(&packet);
            answer = rival.take(&packet, standing.newest_ms()).or(answer);
            if packet.probe != 0 {
                probe.note_arrived(&packet);
            }
            match groups.take(&packet) {
                Step::Within => {}
                Step::Next(delta) => trend.take(delta),
                Step::Restart => trend.restart(),
            }
        };
        let tally = sent.settle(told, take, |fate| shallow.take(fate));
        self.absurd += u64::from(tally.absurd);
        let Some(newest) = tally.newest else { return };
        self.heard_at = Some(now);
        self.has_feedback = true;
        if !self.is_round_trip_told {
            self.note_return(now, newest);
        }
        if std::mem::take(&mut self.is_silent) {
            // There was no link for a while: what was lost in it is no measure for what there is now.
            self.loss.forget(now);
            self.sent.forget();
            self.trend.restart();
            self.groups = Groups::default();
        } else {
            let lost = f64::from(tally.lost) - f64::from(tally.back);
            self.loss.take(now, lost, f64::from(tally.arrived) + lost, self.rate.arriving());
            if let Some(fair) = self.fair.as_mut().filter(|_| lost > 0.0) {
                fair.note_loss(now, self.round_trip_us);
            }
        }
        if let Some(answer) = answer {
            self.rival.note_answer(now, answer);
        }
        self.shallow.settle(now, self.standing.newest_ms());
        self.control(now);
        self.take_finding(now, newest);
    }

    /// The link lets a burst through and throws the rest away.
    fn is_policed(&self, now: u64) -> bool {
        let is_on_probation = self.raised_at.is_some_and(|at| now.saturating_sub(at) < PROBATION_US);
        is_on_probation && self.loss.is_surely_heavy()
    }

    fn control(&mut self, now: u64) {
        let queued_ms = self.standing.ms();
        let (stands, is_heavy) = (queued_ms > STANDING_MS, self.loss.is_heavy());
        if queued_ms > QUEUED_MS {
            // What is lost from now on is lost in a queue.
            self.raised_at = None;
        }
        let is_beside_others = self.compete(now, stands);
        self.look_for_end_of_overrun(now);
        if is_beside_others {
            return;
        }
        if self.is_policed(now)
            && let Some(arriving) = self.rate.arriving()
        {
            self.raised_at = None;
            self.rate.set(POLICED * arriving);
            self.news.is_full = true;
            self.limit = Some((arriving, now));
            self.probe.stop();
            self.seek.note_policed(now);
            return;
        }
        self.note_overrun(now);
        if let Some(arriving) = self.narrow_from_the_start(now) {
            self.seek.note_full(now, self.rate.bits(), arriving);
            self.rate.set(arriving);
            self.news.is_full = true;
            self.limit = Some((arriving, now));
            self.probe.stop();
            return;
        }
        match self.trend.usage() {
            // A queue that is full grows no more, but loses.
            Usage::Over if stands && !is_heavy && self.is_of_others(now) => self.rate.hold(now),
            usage if stands && is_heavy || usage == Usage::Over && (stands || is_heavy) => {
                let before = self.rate.bits();
                let sending = self.sending(now);
                if self.rate.decrease(now, self.round_trip_us, sending) {
                    if let Some(arriving) = self.rate.arriving() {
                        self.rival.note_down(now, before, arriving);
                    }
                    self.news.is_full = true;
                    self.limit = self.rate.carried().map(|bits| (bits, now));
                    self.probe.stop();
                    let is_overrun = self.rate.bits() < OVERRUN * sending.min(before)
                        && self.standing.newest_ms() > NARROW_QUEUE_MS;
                    if is_overrun && !self.is_overrun {
                        (self.overrun_at, self.is_overrun) = (Some(now), true);
                        self.use_all();
                    }
                    self.seek.note_full(now, before, self.rate.bits());
                }
            }
            Usage::Normal if self.is_above_what_arrives(now, stands) => {
                self.rate.set(self.rate.arriving().unwrap_or(MINIMUM));
                self.news.is_full = true;
            }
            Usage::Normal if self.is_used(now) => self.rate.increase(now, self.round_trip_us),
            // An alarm that is not confirmed, or a queue that drains.
            _ => self.rate.hold(now),
        }
    }

    /// While others keep the queue full, going down empties no queue: the rate is what one of them would have in our place. Returns
    /// whether they do.
    fn compete(&mut self, now: u64, stands: bool) -> bool {
        self.look_for_rival(now, stands);
        if !self.rival.is_there(now) {
            self.fair = None;
            return false;
        }
        let (rate, round_trip) = (self.rate.bits(), self.round_trip_us);
        let arriving = self.rate.arriving().unwrap_or(rate);
        let mut competitor = self.fair.take().unwrap_or_else(|| {
            // What was given up for nothing is taken back.
            let back = self.rival.take_back().filter(|bits| *bits > rate);
            self.news.has_more |= back.is_some();
            self.rate.set(back.unwrap_or(rate));
            self.raised_at = None;
            Fair::new(now, self.rate.bits(), round_trip, arriving)
        });
        competitor.pass(now, round_trip, arriving);
        if competitor.bits() < LEFT * arriving || self.loss.share() > MOST_LOST_BESIDE {
            // It loses so much that it is our own queue by now.
            self.rival.forget();
            return false;
        }
        self.rate.set(competitor.next(self.rate.bits()));
        self.rate.hold(now);
        self.fair = Some(competitor);
        true
    }

    /// Whether others share the link.
    fn look_for_rival(&mut self, now: u64, stands: bool) {
        let mut seen = self.seen(now);
        if self.fair.is_some() && stands && self.trend.usage() == Usage::Over {
            self.rival.blame(now, seen);
        }
        // Where no alarm is to be believed or not, what is thought to be carried will do.
        seen.limit = Some(seen.limit.unwrap_or_default().max(self.rate.bits()));
        self.rival.look(now, self.standing.never_below_ms(), seen);
    }

    /// What arrives on a link that the first packets have shown to be far narrower than was assumed.
    fn narrow_from_the_start(&self, now: u64) -> Option<f64> {
        let may_be = self.is_young(now) && self.limit.is_none();
        let is_queued = may_be && self.standing.newest_ms() > NARROW_QUEUE_MS;
        self.rate.arriving().filter(|arriving| is_queued && *arriving < NARROW * INITIAL)
    }

    /// The queue that stands and grows is not of our making.
    fn is_of_others(&mut self, now: u64) -> bool {
        let alarm = self.seen(now);
        self.rival.blame(now, alarm)
    }

    fn seen(&mut self, now: u64) -> Alarm {
        let (sending, limit, loss) = (self.sending(now), self.limit(now), self.loss.share());
        Alarm { sending, arriving: self.rate.arriving().unwrap_or(0.0), limit, loss }
    }

    /// What was sent first fills the queue of a link that turns out to be narrow: to go on sending pictures would keep it full, and
    /// what is lost in it is sound as well.
    fn note_overrun(&mut self, now: u64) {
        let may_be = self.is_young(now) && !self.is_overrun && self.limit.is_none();
        let is_queued = may_be && self.standing.newest_ms() > NARROW_QUEUE_MS;
        let is_narrow = |bits| bits < NARROW * INITIAL;
        if is_queued && self.rate.arriving_of(FEWEST_OF_NARROW).is_some_and(is_narrow) {
            (self.overrun_at, self.is_overrun) = (Some(now), true);
            self.news.is_full = true;
            self.probe.stop();
        }
    }

    /// Whether the queue of a link that was overrun has gone, or will not.
    fn look_for_end_of_overrun(&mut self, now: u64) {
        let Some(at) = self.overrun_at.filter(|_| self.is_overrun) else { return };
        let has_drained = self.standing.newest_ms() < DRAINED_MS;
        if has_drained || now.saturating_sub(at) > OVERRUN_US || self.fair.is_some() {
            self.is_overrun = false;
            self.news.has_more = true;
            if has_drained {
                self.note_drained(now);
            }
        }
    }

    /// While a link drains it carries all it can: nothing tells better how much that is. And what was lost before, or how its queue
    /// grew, is no measure for what comes.
    fn note_drained(&mut self, now: u64) {
        self.loss.forget(now);
        self.trend.restart();
        self.groups = Groups::default();
        if let Some((limit, arriving)) = self.limit.zip(self.rate.arriving()) {
            self.limit = Some((arriving.clamp(STILL * limit.0, limit.0), now));
            self.use_all();
        }
    }

    /// Where pictures wait for the queue to drain, the rate need not be so low that it would beside them.
    fn use_all(&mut self) {
        if let Some((limit, _)) = self.limit {
            self.rate.set(NEARLY_ALL * limit);
        }
    }

    /// Whether the link has to drain before pictures go on.
    pub(crate) fn is_overrun(&self) -> bool {
        self.is_overrun
    }

    /// Whether it had to a moment ago, so that pictures have waited for that.
    pub(crate) fn was_overrun(&self, now: u64) -> bool {
        self.overrun_at.is_some_and(|at| now.saturating_sub(at) < OVERRUN_COUNTS_US)
    }

    fn is_young(&self, now: u64) -> bool {
        self.began.is_some_and(|at| now.saturating_sub(at) < YOUNG_US)
    }

    /// A queue that is full, and stays so, does not grow: what arrives of what is lost in it is all there is to know.
    fn is_above_what_arrives(&mut self, now: u64, stands: bool) -> bool {
        let arriving = self.rate.arriving().unwrap_or(MAXIMUM);
        let is_above =
            stands && self.loss.share() > LOST_IN_QUEUE && self.rate.bits() > ABOVE_ARRIVING * arriving;
        if !is_above {
            self.above_since = None;
            return false;
        }
        now.saturating_sub(*self.above_since.get_or_insert(now)) >= ABOVE_FOR_US
    }

    /// What is being sent, in bits a second.
    fn sending(&mut self, now: u64) -> f64 {
        self.sending.sum(now) as f64 * 8.0 / USED_SPAN.as_secs_f64()
    }

    fn is_used(&mut self, now: u64) -> bool {
        self.sending(now) >= USED * self.bits()
    }

    fn take_finding(&mut self, now: u64, told: u64) {
        let was_climbing = self.is_climbing();
        let Some(finding) = self.probe.take(now, told) else { return };
        let before = self.rate.bits();
        // What has waited for it need not any longer, whatever it is.
        self.news.has_more |= was_climbing;
        self.shallow.note_probe(now, self.probe.lost(), self.loss.share(), self.standing.newest_ms());
        let finding = self.beside_others(finding);
        match finding {
            Finding::Limit(bits) => {
                self.limit = Some((bits / probe::USED, now));
                self.rival.note_full(now, bits / probe::USED);
            }
            Finding::Found(_) => self.limit = None,
            Finding::Vain => {}
        }
        if let Finding::Found(bits) | Finding::Limit(bits) = finding
            && bits > self.rate.bits()
        {
            self.rate.set(bits);
            self.news.has_more = true;
            self.raised_at = (self.loss.share() < PROBATION_LOSS).then_some(now);
        }
        self.seek.note_finding(now, finding, before, self.standing.ms());
    }

    /// Where others fill the link, a probe arrives slower than it was sent although they would give way: what is fair may be had.
    fn beside_others(&self, finding: Finding) -> Finding {
        let (Some(fair), Finding::Limit(bits)) = (&self.fair, finding) else { return finding };
        let sent = self.probe.sent();
        match bits > SHARED * probe::USED * sent {
            true => Finding::Found(sent.min(fair.bits())),
            false => finding,
        }
    }

    /// Time has passed: without feedback the link may be gone.
    pub(crate) fn tick(&mut self, now: u64) {
        let Some(heard) = self.heard_at else { return };
        // Where only pictures are sent, nothing is told while they wait.
        self.look_for_end_of_overrun(now);
        if now.saturating_sub(heard) >= SILENCE_US && self.sending.sum(now) > 0 {
            self.heard_at = Some(now);
            self.is_silent = true;
            self.rate.set(self.bits() / 2.0);
        }
        self.take_finding(now, 0);
    }

    /// A receiver without transport-wide feedback reports on one of its streams: how many packets it should have had since the
    /// last report, and how many are missing.
    pub(crate) fn note_reception(&mut self, now: u64, expected: u64, lost: u64) {
        if self.has_feedback {
            return;
        }
        self.reported.expected += expected;
        self.reported.lost += lost.min(expected);
        let elapsed = now.saturating_sub(self.reported.since);
        if elapsed < REPORTS_US || self.reported.expected == 0 {
            return;
        }
        let Reported { expected, lost, .. } =
            std::mem::replace(&mut self.reported, Reported { since: now, ..Reported::default() });
        let share = lost as f64 / expected as f64;
        let arriving = self.sending(now) * (1.0 - share);
        self.loss.take_share(share, arriving);
        let seconds = (elapsed as f64 / 1e6).min(2.0);
        if self.fresh_round_trip_us > self.least_round_trip.1.saturating_add(REPORTED_QUEUE_US) {
            // Who sends little has not made the queue, and learns nothing of the link from what arrives.
            if self.is_used(now) {
                self.rate.set(REPORTED_STEP_DOWN * self.bits().min(arriving));
                self.limit = Some((arriving, now));
                self.news.is_full = true;
            }
        } else if share < REPORTED_LITTLE {
            let was_carried =
                self.limit(now).is_some_and(|bits| self.rate.bits() < REPORTED_STEP_DOWN * bits);
            let growth = if was_carried || self.told.is_some() { TOLD_GROWTH } else { REPORTED_GROWTH };
            self.rate.set(self.rate.bits() * growth.powf(seconds));
        }
    }

    /// A receiver says what it takes: no more than that is sent. One that reports on every packet is known better.
    pub(crate) fn note_bandwidth(&mut self, bits: u64) {
        if !self.has_feedback {
            self.told = Some((bits as f64).clamp(MINIMUM, MAXIMUM));
        }
    }

    /// The transport-wide number of the next packet.
    pub(crate) fn next_number(&self) -> u16 {
        self.sent.next()
    }

    /// How many numbers were told of that never were, since this was last asked.
    pub(crate) fn take_absurd(&mut self) -> u64 {
        std::mem::take(&mut self.absurd)
    }

    /// What has become known since this was last asked.
    pub(crate) fn take_news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }

    /// Looks for what is missing, when it is time: sends faster for a moment, to see what arrives. `missing` is what all that is
    /// wanted takes, and `may_pad` says whether there may be so many bytes of padding.
    pub(crate) fn seek(&mut self, now: u64, missing: Option<f64>, may_pad: impl FnOnce(f64) -> bool) {
        // The first goes out before anything can have come back.
        let is_young = self.began.is_none_or(|at| now.saturating_sub(at) < SILENCE_US);
        let can_tell = self.has_feedback || is_young;
        // Beside others there is always a queue.
        let has_room = self.fair.is_some() || self.standing.newest_ms() < QUEUED_BEFORE_MS;
        let may_probe = can_tell && has_room && !self.probe.is_running() && !self.is_overrun;
        let Some(missing) = missing.filter(|_| may_probe) else { return };
        let estimate = self.bits();
        // Where that is less, what the link carried when it was full counts: all beyond it would queue.
        let carried = self.limit(now).map_or(estimate, |limit| limit.min(estimate));
        let Some(rate) = self.seek.due(now, missing, estimate, carried) else { return };
        let queued = if self.loses_bursts(now) { PROBE_QUEUED_SHALLOW } else { PROBE_QUEUED };
        let span = Probe::span(rate, estimate, queued);
        // The rest is media.
        let padding = (rate - self.sending(now)).max(0.0) * span / 8e6;
        if may_pad(PADDED_AT_LEAST * padding) {
            self.seek.begin(now);
            self.probe.start(now, rate, span);
        }
    }

    /// Whether more has just been found, and still more is being looked for: it will be known in a moment.
    pub(crate) fn is_climbing(&self) -> bool {
        self.seek.is_climbing() && self.probe.is_running()
    }

    /// Something is wanted that was not before.
    pub(crate) fn renew_seek(&mut self, now: u64) {
        self.seek.renew(now);
    }

    /// How many bytes of padding the running probe wants by now, and in packets of which size; `None` when there is none.
    pub(crate) fn probe_bytes(&self, now: u64) -> Option<(usize, usize)> {
        self.probe.wants(now)
    }

    /// What the link carried when it was last full, if that is still to be believed.
    pub(crate) fn limit(&self, now: u64) -> Option<f64> {
        let (bits, at) = self.limit?;
        let exceeds = LIMIT_EXCEEDED * bits + LIMIT_KNOWN_TO;
        let is_exceeded = || self.rate.arriving().is_some_and(|arriving| arriving > exceeds);
        // Beside others it carried what they left then, and may leave more by now.
        let left = if self.fair.is_some() { self.rate.bits() } else { 0.0 };
        (now.saturating_sub(at) < LIMIT_COUNTS_US && !is_exceeded()).then_some(bits.max(left))
    }

    /// Whether even bursts as short as a probe are lost in the link.
    pub(crate) fn loses_bursts(&self, now: u64) -> bool {
        self.shallow.is_seen_by_probes(now)
    }

    /// Whether others are taken to keep the link's queue full.
    pub(crate) fn is_beside_others(&self) -> bool {
        self.fair.is_some()
    }

    /// Whether bursts are lost in the link.
    pub(crate) fn is_shallow(&self, now: u64) -> bool {
        self.shallow.is_seen(now)
    }

    /// The share of packets that were lost in the last seconds.
    pub(crate) fn loss(&self) -> f64 {
        self.loss.share()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One second of a stream of so many bits a second, then a report of a receiver that tells nothing else.
    fn second(estimator: &mut Estimator, now: &mut u64, bits: usize, round_trip_ms: u64) {
        for _ in 0..100 {
            *now += 10_000;
            estimator.note_uncounted(*now, bits / 800);
        }
        estimator.note_round_trip(*now, Duration::from_millis(round_trip_ms));
        estimator.note_reception(*now, 100, 0);
    }

    #[test]
    fn a_queue_that_has_gone_is_not_held_against_who_sends_little() {
        let (mut estimator, mut now) = (Estimator::new(0), 0);
        (0..5).for_each(|_| second(&mut estimator, &mut now, 300_000, 20));
        let before = estimator.bits();

        second(&mut estimator, &mut now, 300_000, 1000);
        assert!((200e3..before).contains(&estimator.bits()), "it has made the queue");

        (0..5).for_each(|_| second(&mut estimator, &mut now, 50_000, 20));
        assert!(estimator.bits() > 250e3, "{} of {before}", estimator.bits());
        second(&mut estimator, &mut now, 50_000, 1000);
        assert!(estimator.bits() > 250e3, "what it sends makes no queue: {}", estimator.bits());
    }
}
