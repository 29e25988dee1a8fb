//! A viewer's connection: its slots, what its link carries, and what it reports.
//!
//! The hot path is [`Viewer::forward`]: one packet to one viewer, appended to the outbox in protected form. It
//! allocates nothing.

mod pictures;
mod sound;

use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::allocation::{Allocation, Room};
use crate::bwe::{Estimator, INITIAL, News};
use crate::following::Following;
use crate::keys::Agreed;
use crate::outbox::{AROUND, Outbox, Route};
use crate::pacer::{Pace, Pacer};
use crate::resend::Budget;
use crate::rtcp::{self, Arrival, Report, StreamArrivals};
use crate::sampling::{Sample, per_mille};
use crate::showing::Showing;
use crate::slot::{Slot, Squeeze, Stamps};
use crate::source::{Packet, PeerId, Recent, Source, SourceKey, StreamKind};
use crate::srtp::{Keys, Open, Protect};
use crate::telling::{Link, Telling};
use crate::thinning::ALL;

/// How often streams are reported on (RFC 3550 6.2 has 5 s; players take sound and picture together sooner so).
const REPORT_INTERVAL: Duration = Duration::from_millis(1000);

/// How often a viewer asks for the same keyframe, and how often one is asked for because something it has missed is not sent again.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(300);
const HOPELESS_INTERVAL: Duration = Duration::from_millis(1000);

/// How often room is given out anew, if nothing happens.
const ALLOT_INTERVAL: Duration = Duration::from_millis(100);

/// A layer that comes instead of what is sent is not to wait for that.
const SOONEST_AGAIN: Duration = Duration::from_millis(10);

/// How often a probe is filled, and the least that is worth a packet.
const PROBE_INTERVAL: Duration = Duration::from_millis(5);
const LEAST_PADDING: usize = 100;

/// The most a packet of nothing but padding has (RFC 3550 5.1 counts it in one byte).
const MOST_PADDING: usize = 255;

/// A link is not looked into before: a browser that has just connected has so much else to do that it would seem to be narrow.
const SETTLED: Duration = Duration::from_millis(50);

/// A picture goes on from a keyframe that was there before when that is not older, and all since then is on its way within so
/// long: then it is there sooner than a new one, and queues no more than that.
const OLDEST_START: Duration = Duration::from_millis(1500);
const LONGEST_START: f64 = 0.3;

/// Who begins to watch asks for a keyframe at once, while the connection comes about, unless there is one so new.
const FRESH_START: Duration = Duration::from_secs(1);

/// A publisher may have other codecs in mind in a moment; after that, a player is there for nothing.
const DARK_FOR: Duration = Duration::from_secs(10);

/// What has happened with a viewer since it was last asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) resent: u64,
    pub(crate) padding: u64,
    pub(crate) unknown: u64,
    pub(crate) absurd: u64,
    pub(crate) untaken: u64,
    pub(crate) lacking: u64,
    pub(crate) redundant: u64,
}

/// A viewer's connection.
pub(crate) struct Viewer {
    pub(crate) slots: Vec<Slot>,
    protect: Option<Protect>,
    open: Option<Open>,
    pub(crate) estimator: Estimator,
    /// Where it was last.
    path: Option<Route>,
    /// Names all streams of this connection as one sender's.
    cname: [u8; 8],
    allocation: Allocation,
    telling: Telling,
    pacer: Pacer,
    counts: Counts,
    allotted_at: Option<Instant>,
    keyed_at: Option<Instant>,
    resends: Budget,
    /// Of all sounds at most so many are sent, the loudest.
    pub(crate) most_speakers: Option<NonZeroU8>,
    following: Option<Following>,
    /// What is to be sent again, kept for its room: whether it is of a keyframe, and under which number it was sent.
    wanted: Vec<(bool, u64, Arc<Packet>)>,
    /// What a report tells of packets, by their transport-wide numbers; kept for its room.
    told: Vec<(u16, Arrival)>,
    /// What protects a picture waits to leave.
    holds_redundancy: bool,
    /// Since when it takes nothing of something that it watches.
    lacks_since: Option<Instant>,
}

/// Where and when something is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aim {
    pub(crate) route: Route,
    pub(crate) now: Instant,
    /// `now` in microseconds since the start.
    pub(crate) micros: u64,
    /// `now` as RTP's absolute send time has it: 6.18 bits of seconds.
    stamp: u32,
}

impl Aim {
    pub(crate) fn new(route: Route, now: Instant, micros: u64) -> Self {
        let stamp = ((u128::from(micros) << 18) / 1_000_000) as u32 & 0x00ff_ffff;
        Self { route, now, micros, stamp }
    }
}

/// Where packets sent before are found.
pub(crate) trait Past {
    fn find(&self, source: &Source, generation: u32, layer: u8, seq: u64) -> Option<Arc<Packet>>;

    /// The newest keyframe and what follows it.
    fn recent(&self, source: &Source, generation: u32, layer: u8) -> Option<Recent>;
}

/// Asks a publisher for keyframes.
pub(crate) type AskKeyframe<'a> = &'a mut dyn FnMut(&Arc<Source>, u8);

impl Viewer {
    /// The name of all its streams.
    pub(crate) fn cname(&self) -> String {
        self.cname.iter().copied().map(char::from).collect()
    }

    pub(crate) fn new(micros: u64, cname: [u8; 8]) -> Self {
        Self {
            slots: Vec::new(),
            protect: None,
            open: None,
            estimator: Estimator::new(micros),
            path: None,
            cname,
            allocation: Allocation::default(),
            telling: Telling::default(),
            pacer: Pacer::new(micros, INITIAL),
            counts: Counts::default(),
            allotted_at: None,
            keyed_at: None,
            resends: Budget::new(),
            most_speakers: None,
            following: None,
            wanted: Vec::new(),
            told: Vec::new(),
            holds_redundancy: false,
            lacks_since: None,
        }
    }

    /// Sees what of all that is watched comes by codecs that the viewer takes.
    pub(crate) fn look_at_codecs(&mut self, now: Instant) {
        let fresh = self.slots.iter_mut().map(|slot| u64::from(slot.look_at_codecs()));
        self.counts.lacking += fresh.sum::<u64>();
        let is_lacking = self.slots.iter().any(|slot| slot.lacks && !slot.is_refused);
        self.lacks_since = is_lacking.then(|| self.lacks_since.unwrap_or(now));
    }

    /// Whether something that it was promised cannot be sent to it, and has not been for so long that it will not be.
    pub(crate) fn is_in_the_dark(&self, now: Instant) -> bool {
        self.lacks_since.is_some_and(|since| now.saturating_duration_since(since) >= DARK_FOR)
    }

    /// Of a player, which cannot be told later: its m-lines of which nothing will come are refused, unless those are all it has.
    pub(crate) fn refuse_lacking(&mut self) {
        let is_some_taken = self.slots.iter().any(|slot| slot.source.is_some() && !slot.lacks);
        for slot in self.slots.iter_mut().filter(|slot| slot.lacks && is_some_taken) {
            slot.is_refused = true;
        }
    }

    /// DTLS is done. `None` when its keys cannot be used.
    pub(crate) fn set_keys(&mut self, agreed: &Agreed, now: Instant) -> Option<()> {
        self.keyed_at = Some(now);
        let keys = |of_client| Keys::split(&agreed.material, agreed.profile, of_client);
        self.protect = Some(Protect::new(&keys(agreed.we_are_client)?)?);
        self.open = Some(Open::new(&keys(!agreed.we_are_client)?)?);
        Some(())
    }

    /// Whether anything can be sent.
    pub(crate) fn is_ready(&self) -> bool {
        self.protect.is_some()
    }

    fn stamps(&mut self, at: usize, aim: Aim, bytes: usize) -> Stamps {
        let slot = self.slots.get(at);
        let has_mid = slot.is_some_and(|slot| !slot.is_known);
        let is_counted = slot.is_some_and(Slot::is_counted);
        let transport_cc = match is_counted {
            true => Some(self.estimator.note_sent(aim.micros, bytes)),
            false => {
                self.estimator.note_uncounted(aim.micros, bytes);
                None
            }
        };
        Stamps { transport_cc, abs_send_time: aim.stamp, has_mid }
    }

    /// Sends `packet` on slot `at`, if it gets it, now or in a moment. Returns whether it has left.
    #[inline]
    pub(crate) fn forward(&mut self, at: usize, packet: &Arc<Packet>, aim: Aim, out: &mut Outbox) -> bool {
        if self.protect.is_none() {
            return false;
        }
        if self.following.as_mut().is_some_and(|following| following.has_news(aim.micros)) {
            self.choose_speakers();
        }
        // Most packets begin no keyframe.
        let is_instead = packet.picture.starts_keyframe
            && self.slots.get(at).is_some_and(|slot| slot.is_instead(packet, aim.micros));
        let has_passed = |at| aim.now.saturating_duration_since(at) >= SOONEST_AGAIN;
        if is_instead && self.allotted_at.is_none_or(has_passed) {
            self.allot(aim, false);
        }
        let Some(slot) = self.slots.get_mut(at) else { return false };
        if slot.is_video && !self.pacer.is_open(aim.micros) {
            if slot.may_want(packet) && !self.pacer.hold(at, packet, slot.meant_bytes(packet), aim.micros) {
                // A picture with a hole in it is of no use.
                self.pacer.forget(at);
                slot.halt();
            }
            return false;
        }
        self.send(at, packet, aim, out)
    }

    fn send(&mut self, at: usize, packet: &Packet, aim: Aim, out: &mut Outbox) -> bool {
        let Some(rewrite) = self.slots.get_mut(at).and_then(|slot| slot.admit(packet)) else { return false };
        let bytes = Slot::payload_bytes(packet, &rewrite) + AROUND;
        let stamps = self.stamps(at, aim, bytes);
        let (Some(slot), Some(protect)) = (self.slots.get_mut(at), &self.protect) else { return false };
        let start = out.start();
        let written = slot.write(&mut out.buffer, packet, &rewrite, stamps);
        if let Some((header, _)) = written.filter(|_| rewrite.red.is_some()) {
            slot.shield(&out.buffer, (start, header), &rewrite, stamps);
        }
        let sent =
            written.and_then(|(header, index)| protect.rtp(&mut out.buffer, start, header, slot.ssrc, index));
        match sent {
            Some(()) => {
                out.finish(aim.route, start);
                if let Some(kept) = &mut slot.kept {
                    kept.note(packet, &rewrite, stamps, aim.micros);
                }
                if let Some(carried) = &mut slot.carried {
                    carried.note(false, rewrite.seq, stamps.transport_cc);
                }
                self.resends.note_streamed(aim.micros, bytes, self.allocation.forgone());
                self.pacer.charge(bytes);
                if rewrite.red.is_some() && rewrite.is_last {
                    self.send_redundant(at, aim, out);
                }
            }
            None => out.abandon(start),
        }
        sent.is_some()
    }

    /// Sends what protects a picture that has ended, as far as it may leave by now. Nothing of it waits longer than until the next.
    fn send_redundant(&mut self, at: usize, aim: Aim, out: &mut Outbox) {
        while let Some(bytes) = self.slots.get_mut(at).and_then(Slot::redundant_bytes) {
            if !self.pacer.has_room(aim.micros) {
                self.holds_redundancy = true;
                return;
            }
            let bytes = bytes + AROUND;
            if !self.resends.protect(aim.micros, bytes, self.estimator.loss()) {
                return;
            }
            if self.put((at, false), bytes, aim, out, Slot::write_redundant).is_none() {
                return;
            }
            self.pacer.charge(bytes);
            self.counts.redundant += 1;
        }
    }

    /// Whether something waits to leave.
    pub(crate) fn is_holding(&self) -> bool {
        self.pacer.is_holding() || self.holds_redundancy
    }

    /// Sends what may leave by now of what had to wait. Returns how many packets left.
    pub(crate) fn release(&mut self, aim: Aim, out: &mut Outbox) -> u64 {
        let mut sent = 0;
        if std::mem::take(&mut self.holds_redundancy) {
            (0..self.slots.len()).for_each(|at| self.send_redundant(at, aim, out));
        }
        // Of a few pictures, each may take longer too.
        let was_overrun = self.estimator.was_overrun(aim.micros);
        loop {
            let slots = &self.slots;
            let is_slow = |slot: &Slot| {
                let is_screen = |source: &Arc<Source>| source.key.kind == StreamKind::Sub;
                slot.source.as_ref().is_some_and(is_screen) || slot.temporal != ALL || was_overrun
            };
            let taken = self.pacer.take(aim.micros, |at| slots.get(at).is_some_and(is_slow));
            let Some((held, is_late)) = taken else { return sent };
            let Some(slot) = self.slots.get_mut(held.slot) else { continue };
            if is_late {
                self.pacer.forget(held.slot);
                slot.halt();
            } else if slot.source.as_ref().is_some_and(is_of(&held.packet)) {
                sent += u64::from(self.send(held.slot, &held.packet, aim, out));
            }
        }
    }

    /// Has a packet of so many bytes leave on slot `at`, on the stream of what is sent again or on its own. `write` appends it, and returns
    /// the length of its header, its SSRC and SRTP's index.
    fn put(
        &mut self,
        (at, is_again): (usize, bool),
        bytes: usize,
        aim: Aim,
        out: &mut Outbox,
        write: impl FnOnce(&mut Slot, &mut Vec<u8>, Stamps) -> Option<(usize, u32, u64)>,
    ) -> Option<()> {
        let stamps = self.stamps(at, aim, bytes);
        let slot = self.slots.get_mut(at)?;
        let start = out.start();
        let sealed = write(slot, &mut out.buffer, stamps).and_then(|(header, ssrc, index)| {
            if let Some(carried) = &mut slot.carried {
                carried.note(is_again, index, stamps.transport_cc);
            }
            self.protect.as_ref()?.rtp(&mut out.buffer, start, header, ssrc, index)
        });
        match sealed {
            Some(()) => out.finish(aim.route, start),
            None => out.abandon(start),
        }
        sealed
    }

    /// A control packet came. `None` when it is forged or broken.
    pub(crate) fn take_report(
        &mut self,
        packet: &[u8],
        aim: Aim,
        past: &dyn Past,
        ask: AskKeyframe<'_>,
        out: &mut Outbox,
    ) -> Option<()> {
        let mut open = self.open.take()?;
        let result = match open.rtcp(packet) {
            None => None,
            Some(plain) => {
                rtcp::read(plain, |report| match report {
                    Report::Reception { ssrc, lost, highest, last_report, delay } => {
                        self.note_reception(ssrc, (highest, lost), (last_report, delay), aim);
                    }
                    Report::Missing { ssrc, pairs } => {
                        if self.resend_missing(ssrc, pairs, aim, past, out) {
                            self.renew(ssrc, HOPELESS_INTERVAL, aim.now, ask);
                        }
                    }
                    Report::Keyframe { ssrc } => self.renew(ssrc, KEYFRAME_INTERVAL, aim.now, ask),
                    Report::Arrivals(arrivals) => {
                        self.estimator.note_arrivals(aim.micros, |take| arrivals.for_each(take));
                    }
                    Report::StreamArrivals(arrivals) => self.note_stream_arrivals(&arrivals, aim),
                    Report::Bandwidth { bits } => self.estimator.note_bandwidth(bits),
                });
                Some(())
            }
        };
        self.open = Some(open);
        let News { is_full, has_more } = self.estimator.take_news();
        if is_full || has_more {
            self.allot(aim, is_full);
            self.go_on(aim, past, ask, out);
        }
        result
    }

    /// What the viewer is to be told: of pictures, and of its link.
    pub(crate) fn take_news(&mut self, now: u64) -> (Vec<(SourceKey, Showing)>, Option<Link>) {
        if !self.is_ready() {
            return (Vec::new(), None);
        }
        let Self { estimator, telling, slots, .. } = self;
        let link = telling.link(now, estimator.bits(), estimator.round_trip(), estimator.loss());
        (telling.pictures(slots, now), link)
    }

    /// What each of its streams was like since this was last asked, `elapsed` ago.
    pub(crate) fn samples(&mut self, peer: PeerId, elapsed: Duration) -> impl Iterator<Item = Sample> + '_ {
        let (lost, round_trip) = (per_mille(self.estimator.loss()), self.estimator.told_round_trip());
        self.slots.iter_mut().filter_map(move |slot| {
            let amount = slot.take_amount();
            let source = slot.source.as_ref().filter(|_| amount.bytes > 0)?;
            Some(Sample {
                peer,
                kind: source.key.kind,
                from: Some(source.key.user.clone()),
                bits: amount.bits(elapsed),
                frames: slot.is_video.then(|| amount.frames(elapsed)),
                size: slot
                    .current_layer()
                    .and_then(|layer| source.size(layer.into()))
                    .filter(|_| slot.is_video),
                lost: Some(lost),
                round_trip,
            })
        })
    }

    /// What it was sent in the second that ends now: of each picture how many pixels it has. `None` when it was sent nothing.
    pub(crate) fn take_second(&mut self) -> Option<Vec<u32>> {
        let mut pictures = None::<Vec<u32>>;
        for slot in &mut self.slots {
            let is_busy = slot.take_busy();
            let Some(source) = slot.source.as_ref().filter(|_| is_busy) else { continue };
            let pictures = pictures.get_or_insert_default();
            if slot.is_video {
                pictures.push(slot.current_layer().map_or(0, |layer| source.pixels(layer.into())));
            }
        }
        pictures
    }

    /// What has happened since this was last asked.
    pub(crate) fn take_counts(&mut self) -> Counts {
        let mut counts = std::mem::take(&mut self.counts);
        counts.untaken += self.slots.iter_mut().map(|slot| std::mem::take(&mut slot.untaken)).sum::<u64>();
        counts.absurd += self.estimator.take_absurd();
        counts
    }

    /// Whether a probe waits to be filled.
    pub(crate) fn is_probing(&self, micros: u64) -> bool {
        self.estimator.probe_bytes(micros).is_some()
    }

    /// What is watched, or how, has changed.
    pub(crate) fn note_wanted(&mut self, micros: u64) {
        self.estimator.renew_seek(micros);
        self.allotted_at = None;
    }

    /// Feedback that names packets by stream and number is put into the order in which they were sent.
    fn note_stream_arrivals(&mut self, arrivals: &StreamArrivals<'_>, aim: Aim) {
        let mut told = std::mem::take(&mut self.told);
        told.clear();
        arrivals.for_each(|ssrc, seq, arrival| {
            let of = |slot: &Slot| slot.carried.as_ref()?.number(slot.ssrc != ssrc, seq);
            let slot = self.slots.iter().find(|slot| slot.ssrc == ssrc || slot.rtx_ssrc == Some(ssrc));
            match slot.and_then(of) {
                Some(number) => told.push((number, arrival)),
                None => self.counts.absurd += 1,
            }
        });
        let next = self.estimator.next_number();
        told.sort_unstable_by_key(|(number, _)| number.wrapping_sub(next));
        self.estimator.note_arrivals(aim.micros, |take| {
            told.iter().for_each(|(number, arrival)| take(*number, *arrival));
        });
        self.told = told;
    }

    fn note_reception(&mut self, ssrc: u32, came: (u32, i32), echo: (u32, u32), aim: Aim) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.ssrc == ssrc) else { return };
        slot.is_known = true;
        if let Some((_, at)) = slot.reported.filter(|(name, _)| *name == echo.0) {
            let held = Duration::from_secs_f64(f64::from(echo.1) / 65_536.0);
            // Nobody held a report for longer than it has been there.
            if let Some(trip) = aim.now.saturating_duration_since(at).checked_sub(held) {
                self.estimator.note_round_trip(aim.micros, trip);
            }
        }
        let (highest, lost) = std::mem::replace(&mut slot.received, came);
        let expected = came.0.wrapping_sub(highest);
        // The first report, one that is late, or nonsense.
        if highest > 0 && (1..=u32::from(u16::MAX)).contains(&expected) {
            let lost = u64::try_from(came.1.saturating_sub(lost)).unwrap_or(0);
            self.estimator.note_reception(aim.micros, expected.into(), lost);
        }
    }

    /// The viewer wants a keyframe. One whose picture is paused needs none before it goes on.
    fn renew(&mut self, ssrc: u32, interval: Duration, now: Instant, ask: AskKeyframe<'_>) {
        let slot = self.slots.iter_mut().find(|slot| slot.ssrc == ssrc);
        let may_ask = |slot: &Slot| !slot.is_off() && slot.asking.is_due(now, interval);
        if let Some(slot) = slot.filter(|slot| may_ask(slot))
            && slot.asking.grant(now)
        {
            let layer = slot.stream(slot.current_layer().unwrap_or(slot.target));
            ask_for(slot, layer, now, ask);
        }
    }

    /// What time brings: reports, layers, keyframes that are still missing, probes. Returns when it wants to be called
    /// again at the latest.
    pub(crate) fn tick(
        &mut self,
        aim: Aim,
        past: &dyn Past,
        ask: AskKeyframe<'_>,
        out: &mut Outbox,
    ) -> Instant {
        if !self.is_ready() {
            return aim.now + Duration::from_millis(100);
        }
        self.report(aim, out);
        if self.path.replace(aim.route).is_some_and(|path| path != aim.route) {
            self.estimator.restart(aim.micros);
        }
        self.estimator.tick(aim.micros);
        let is_due = |at| aim.now.saturating_duration_since(at) >= ALLOT_INTERVAL;
        if self.allotted_at.is_none_or(is_due) {
            self.allot(aim, false);
        }
        self.go_on(aim, past, ask, out);
        match self.estimator.probe_bytes(aim.micros) {
            None => aim.now + ALLOT_INTERVAL,
            Some((bytes, size)) => {
                self.pad(bytes, size, aim, past, out);
                aim.now + PROBE_INTERVAL
            }
        }
    }

    /// Gives out what the link carries, and looks for what is missing.
    fn allot(&mut self, aim: Aim, is_full: bool) {
        self.allotted_at = Some(aim.now);
        self.look_at_codecs(aim.now);
        let (estimate, again) = (self.estimator.bits(), self.resends.bits_again(aim.micros));
        let room = Room {
            estimate,
            again,
            is_full,
            loss: self.estimator.loss(),
            round_trip: self.estimator.least_round_trip(),
            is_tight: self.estimator.is_shallow(aim.micros)
                || self.estimator.was_overrun(aim.micros)
                || self.estimator.is_beside_others(),
            limit: self.estimator.limit(aim.micros),
        };
        let missing = self.allocation.allot(&mut self.slots, aim.micros, room);
        let shallow = self.estimator.is_shallow(aim.micros).then(|| self.allocation.given() + again);
        let (limit, loses_bursts) =
            (self.estimator.limit(aim.micros), self.estimator.loses_bursts(aim.micros));
        // What has waited for the link to drain is not to fill it again.
        let loses_bursts = loses_bursts || self.estimator.was_overrun(aim.micros);
        let is_overrun = self.estimator.is_overrun();
        if is_overrun {
            self.give_up_larger();
        }
        self.pacer.set_pace(Pace { bits: estimate, shallow, limit, loses_bursts, is_overrun });
        let has_settled = |at| aim.now.saturating_duration_since(at) >= SETTLED;
        if self.keyed_at.is_some_and(has_settled) && self.padded().is_some() {
            let (budget, loss) = (&mut self.resends, self.estimator.loss());
            self.estimator.seek(aim.micros, missing, |bytes| budget.allows_padding(aim.micros, bytes, loss));
        }
    }

    /// What still comes of pictures that are larger than the link carries would only fill its queue until the smaller ones begin.
    fn give_up_larger(&mut self) {
        for (at, slot) in self.slots.iter_mut().enumerate() {
            if slot.is_video && slot.current_layer().is_some_and(|layer| layer > slot.target) {
                self.pacer.forget(at);
                slot.halt();
            }
        }
    }

    /// Pictures that wait go on from a keyframe that is there, or ask for one. A larger one waits while the link is seen to carry
    /// more and more, since each size on the way would take a keyframe.
    fn go_on(&mut self, aim: Aim, past: &dyn Past, ask: AskKeyframe<'_>, out: &mut Outbox) {
        let is_climbing = self.estimator.is_climbing();
        for at in 0..self.slots.len() {
            let is_coming = |slot: &Slot| self.pacer.of(at).any(|packet| slot.can_begin_with(packet));
            let may_grow = |slot: &Slot| slot.current_layer().is_some_and(|layer| layer < slot.target);
            let is_due = |slot: &Slot| slot.waits() && !is_coming(slot) && !(is_climbing && may_grow(slot));
            if self.slots.get(at).is_some_and(is_due)
                && self.start(at, aim, past, out).is_none()
                && let Some(slot) = self.slots.get_mut(at)
            {
                let layer = slot.stream(slot.target);
                ask_for(slot, layer, aim.now, ask);
            }
        }
    }

    /// Sends the newest keyframe and what follows, if that is worth it.
    fn start(&mut self, at: usize, aim: Aim, past: &dyn Past, out: &mut Outbox) -> Option<()> {
        let slot = self.slots.get_mut(at)?;
        let (source, layer) = (slot.source.clone()?, slot.stream(slot.target));
        let generation = source.generation();
        // What is missing of a stream that is being sent comes with its next keyframe: the last has been sent.
        if slot.is_scalable() && slot.current_layer().is_some() {
            return None;
        }
        let recent = past.recent(&source, generation, layer)?;
        if !is_worth_it(&recent, slot.part(), aim.now, self.estimator.bits()) {
            return None;
        }
        let mut squeeze = Squeeze::new(&recent, layer);
        for seq in recent.first..=recent.newest {
            // One that is missing is on its way here, and may be long in coming.
            squeeze.push(&*past.find(&source, generation, layer, seq)?);
        }
        slot.begin_squeezed(squeeze);
        for seq in recent.first..=recent.newest {
            if let Some(packet) = past.find(&source, generation, layer, seq) {
                self.forward(at, &packet, aim, out);
            }
        }
        Some(())
    }

    /// Who has just begun to watch will need keyframes once it is connected.
    pub(crate) fn prepare(&mut self, now: Instant, micros: u64, past: &dyn Past, ask: AskKeyframe<'_>) {
        let estimate = self.estimator.bits();
        for slot in self.slots.iter_mut().filter(|slot| slot.waits()) {
            let Some(source) = slot.source.clone() else { continue };
            let (layer, part) = (slot.stream(slot.target), slot.part());
            let recent = past.recent(&source, source.generation(), layer);
            let is_there =
                |recent: &Recent| is_fresh(recent, now) && is_worth_it(recent, part, now, estimate);
            if source.is_expected(micros) {
                slot.asking.note(now);
            } else if !recent.as_ref().is_some_and(is_there) {
                ask_for(slot, layer, now, ask);
            }
        }
    }

    /// The slot on which padding can go out: one with retransmissions, and numbers to count by.
    fn padded(&self) -> Option<usize> {
        let can = |slot: &Slot| slot.rtx_ssrc.is_some() && slot.is_counted() && slot.rtx().is_some();
        self.slots.iter().position(can)
    }

    fn report(&mut self, aim: Aim, out: &mut Outbox) {
        let now = aim.now;
        let Some(protect) = &mut self.protect else { return };
        for slot in &mut self.slots {
            if slot.reported.is_some_and(|(_, at)| now.saturating_duration_since(at) < REPORT_INTERVAL) {
                continue;
            }
            let Some(report) = slot.sender_report(now) else { continue };
            slot.reported = Some(((report.ntp >> 16) as u32, now));
            let start = out.start();
            rtcp::write_sender_report(&mut out.buffer, &report, &self.cname);
            match protect.rtcp(&mut out.buffer, start) {
                Some(()) => out.finish(aim.route, start),
                None => out.abandon(start),
            }
        }
    }

    /// Fills a probe: with packets that were sent before, of which the viewer may have missed one, or with nothing but padding.
    fn pad(&mut self, bytes: usize, size: usize, aim: Aim, past: &dyn Past, out: &mut Outbox) {
        let Some(at) = self.padded() else { return };
        let mut left = self.resends.pad(aim.micros, bytes, self.estimator.loss());
        let newest = self.slots.get(at).and_then(Slot::newest_number).unwrap_or(0);
        let mut back = 0;
        while left >= LEAST_PADDING {
            let number = newest.saturating_sub(back);
            let packet = match left > 2 * MOST_PADDING && back < newest.min(64) {
                true => self.slots.get(at).and_then(|slot| find(slot, number, past)),
                false => None,
            };
            back += 1;
            let again = packet.filter(|packet| packet.payload.len() <= left);
            let sent = match again.and_then(|packet| self.resend(at, &packet, number, aim, out)) {
                Some(sent) => Some(sent),
                None => self.send_padding(at, size.min(left), aim, out),
            };
            let Some(sent) = sent else { return };
            self.counts.padding += 1;
            left = left.saturating_sub(sent);
        }
    }

    /// Sends a packet of nothing but padding. Returns its size.
    fn send_padding(&mut self, at: usize, size: usize, aim: Aim, out: &mut Outbox) -> Option<usize> {
        let padding = size.saturating_sub(AROUND).clamp(1, MOST_PADDING);
        let bytes = padding + AROUND;
        self.put((at, true), bytes, aim, out, |slot, buffer, stamps| {
            slot.write_padding(buffer, padding as u8, stamps)
        })?;
        Some(bytes)
    }
}

/// Whether a picture may begin with a keyframe that is there, of which that part is sent.
fn is_worth_it(recent: &Recent, part: f64, now: Instant, estimate: f64) -> bool {
    is_young(recent, now) && part * recent.bytes as f64 * 8.0 <= LONGEST_START * estimate
}

/// Whether a picture may begin with a keyframe as far as its age goes.
pub(crate) fn is_young(recent: &Recent, now: Instant) -> bool {
    now.saturating_duration_since(recent.began) <= OLDEST_START
}

/// Whether a keyframe is so new that none is asked for.
pub(crate) fn is_fresh(recent: &Recent, now: Instant) -> bool {
    now.saturating_duration_since(recent.began) < FRESH_START
}

/// A packet that was sent under a number, if it is still there.
fn find(slot: &Slot, seq: u64, past: &dyn Past) -> Option<Arc<Packet>> {
    let (generation, layer, seq) = slot.origin(seq)?;
    past.find(slot.source.as_ref()?, generation, layer, seq)
}

/// Whether a packet is of a source, and of what that still sends.
fn is_of(packet: &Packet) -> impl Fn(&Arc<Source>) -> bool {
    |source| source.id == packet.source && source.is_current(packet.generation)
}

fn ask_for(slot: &mut Slot, layer: u8, now: Instant, ask: AskKeyframe<'_>) {
    let Some(source) = slot.source.clone().filter(|source| !source.is_withheld()) else { return };
    if !slot.asking.is_due(now, KEYFRAME_INTERVAL) {
        return;
    }
    slot.asking.note(now);
    ask(&source, layer);
}
