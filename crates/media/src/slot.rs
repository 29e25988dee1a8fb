//! A slot: one stream that a viewer's connection has room for (an m-line of its offer), and whichever source fills it.
//!
//! Invariant: whatever changes behind a slot (layer, publisher, source), what the viewer sees is one stream: sequence
//! numbers without a gap, timestamps and picture numbers that only grow, each new beginning a keyframe.

mod squeeze;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use str0m::format::Codec;

pub(crate) use self::squeeze::Squeeze;
use crate::asking::Asking;
use crate::carried::Carried;
use crate::grant::Grant;
use crate::kept::Kept;
use crate::numbers::Numbers;
use crate::outbox::AROUND;
use crate::payload::CodecKey;
use crate::resend::Repeats;
pub(crate) use crate::rewrite::{Rewrite, Stamps, Taken};
use crate::rtcp::SenderReport;
use crate::sampling::Amount;
use crate::shield::{self, Redundancy, Shield};
use crate::showing::Showing;
use crate::source::{Packet, SenderClock, Source};
use crate::taking::{self, Going};
use crate::thinning::{ALL, Caps, Place, Run, Thinning};
use crate::woven::Meant;

/// How many changes of what is behind a slot are remembered, to answer for packets sent before.
const SEGMENTS: usize = 8;

/// Where header extensions go on this stream, by their negotiated numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extensions {
    pub(crate) mid: Option<u8>,
    pub(crate) transport_cc: Option<u8>,
    pub(crate) audio_level: Option<u8>,
    pub(crate) orientation: Option<u8>,
    pub(crate) abs_send_time: Option<u8>,
    /// Only where extensions of more than 16 bytes are taken too.
    pub(crate) dependency: Option<u8>,
}

/// What a viewer wants of a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Wanted {
    /// The height it is shown at, in pixels: no layer above that is sent.
    pub max_height: u32,
    /// Nothing is sent while this holds.
    pub is_paused: bool,
    /// Where not all fits, the higher goes first.
    pub priority: u8,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { max_height: u32::MAX, is_paused: false, priority: 0 }
    }
}

/// A stretch of one publication's layer, and how its numbers become the slot's.
#[derive(Debug, Clone, Copy)]
struct Segment {
    generation: u32,
    layer: u8,
    /// The first packet of it, in the publisher's numbers and in ours.
    first: u64,
    first_out: u64,
    timestamp_offset: u32,
    picture_offset: u16,
    tl0_offset: u8,
    /// Of the dependency descriptor's numbers.
    frame_offset: u16,
    taken: Taken,
    /// Only the newest block of RED is sent: the viewer has no RED, or its link no room.
    unwraps: bool,
    /// What both follow from: how sound comes in, whether it is to go out plain, and whether it cannot.
    came: CodecKey,
    is_plain: bool,
    is_sealed: bool,
}

impl Segment {
    fn out(&self, seq: u64) -> u64 {
        seq - self.first + self.first_out
    }

    fn run(&self) -> Run {
        Run { first: self.first, first_out: self.first_out, picture_offset: self.picture_offset }
    }

    /// How a packet is sent while nothing is left out.
    fn place(&self, packet: &Packet, seq: u64) -> Place {
        Place { seq, picture_offset: self.picture_offset, is_last: packet.marker, is_blank: false }
    }
}

/// What has been sent.
struct Out {
    /// The sequence number, with roll-overs, redundancy not counted.
    seq: u64,
    timestamp: u32,
    /// The publisher's time of that timestamp, when its reports tell it.
    at: Option<i64>,
    arrived: Instant,
    picture: u16,
    tl0: u8,
    frame: u16,
    packets: u32,
    bytes: u32,
    pictures: u32,
    /// Packets, bytes and pictures when it was last sampled, and packets when the running second began.
    sampled: (u32, u32, u32),
    looked_at: u32,
}

/// A slot.
pub(crate) struct Slot {
    pub(crate) mid: SmallVec<[u8; 8]>,
    pub(crate) is_video: bool,
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: Option<u32>,
    rtx_seq: u64,
    pub(crate) takes: SmallVec<[Taken; 8]>,
    pub(crate) extensions: Extensions,
    /// The MID goes along until a report shows that the viewer knows the stream (RFC 8843 9.2).
    pub(crate) is_known: bool,
    pub(crate) source: Option<Arc<Source>>,
    pub(crate) wanted: Wanted,
    /// The layer to be sent, as soon as a keyframe of it comes.
    pub(crate) target: u8,
    /// The highest share of the frame rate to be sent ([`ALL`] for all of it).
    pub(crate) temporal: u8,
    /// What the link has room for.
    pub(crate) grant: Grant,
    /// The link has no room for the picture.
    pub(crate) is_held: bool,
    /// Enough others are louder.
    is_quiet: bool,
    /// Something was left out: the numbers go on with what comes next.
    is_cut: bool,
    /// The newest that was left out on that account, by the publisher's number.
    passed: u64,
    /// What the viewer has been told of the picture.
    pub(crate) told: Option<Showing>,
    /// Sound is sent without the second copy that its publisher may send.
    pub(crate) is_plain: bool,
    /// Its publisher sends a second copy of the sound.
    pub(crate) is_doubled: bool,
    /// The newest last.
    segments: SmallVec<[Segment; SEGMENTS]>,
    out: Option<Out>,
    numbers: Numbers,
    /// What the newest segment has begun with, and what the next one is to.
    squeeze: Option<Box<Squeeze>>,
    next_squeeze: Option<Box<Squeeze>>,
    /// There once something was to be left out of a stream.
    thinning: Option<Box<Thinning>>,
    /// How its viewer takes redundancy; and there once some was to be sent.
    pub(crate) redundancy: Option<Redundancy>,
    shield: Option<Box<Shield>>,
    clock: Option<SenderClock>,
    clock_rate: u32,
    /// The newest report: the middle 32 bits of its NTP time, by which reports name it, and when it was sent.
    pub(crate) reported: Option<(u32, Instant)>,
    /// By the newest report of the viewer: the highest number that came, and how many are missing.
    pub(crate) received: (u32, i32),
    pub(crate) asking: Asking,
    /// The newest keyframe: its publication, layer and the publisher's time of it.
    keyframe: Option<(u32, u8, u32)>,
    pub(crate) repeats: Repeats,
    /// Of sound that its viewer may ask for again.
    pub(crate) kept: Option<Box<Kept>>,
    /// Packets that could have been a beginning, had the viewer their codec.
    pub(crate) untaken: u64,
    /// Its viewer takes nothing of what its source sends; and what of that, by its number, that was last seen to.
    pub(crate) lacks: bool,
    looked_at: Option<u32>,
    /// Its viewer was answered that nothing will come of it.
    pub(crate) is_refused: bool,
    /// For a viewer whose feedback names packets by stream.
    pub(crate) carried: Option<Box<Carried>>,
}

impl Slot {
    pub(crate) fn new(mid: &str, is_video: bool, ssrc: u32, rtx_ssrc: Option<u32>) -> Self {
        Self {
            mid: SmallVec::from_slice(mid.as_bytes()),
            is_video,
            ssrc,
            rtx_ssrc,
            rtx_seq: 0,
            takes: SmallVec::new(),
            extensions: Extensions::default(),
            is_known: false,
            source: None,
            wanted: Wanted::default(),
            target: 0,
            temporal: ALL,
            grant: Grant::default(),
            is_held: false,
            is_quiet: false,
            is_cut: false,
            passed: 0,
            told: None,
            is_plain: false,
            is_doubled: false,
            segments: SmallVec::new(),
            out: None,
            numbers: Numbers::default(),
            squeeze: None,
            next_squeeze: None,
            thinning: None,
            redundancy: None,
            shield: None,
            clock: None,
            clock_rate: 90_000,
            reported: None,
            received: (0, 0),
            asking: Asking::default(),
            keyframe: None,
            repeats: Repeats::default(),
            kept: None,
            untaken: 0,
            lacks: false,
            looked_at: None,
            is_refused: false,
            carried: None,
        }
    }

    /// What may be sent on it, in the viewer's order.
    pub(crate) fn set_takes(&mut self, takes: impl Iterator<Item = Taken>) {
        self.takes = takes.collect();
        self.looked_at = None;
        let is_taken = |segment: &Segment| self.takes.contains(&segment.taken);
        if !self.segments.last().is_none_or(is_taken) {
            self.halt();
        }
    }

    /// Whether its viewer tells of each packet, by which the link is known.
    pub(crate) fn is_counted(&self) -> bool {
        self.extensions.transport_cc.is_some() || self.carried.is_some()
    }

    /// Another source fills it, or none.
    pub(crate) fn set_source(&mut self, source: Option<Arc<Source>>) {
        self.source = source;
        // What was sent of the former can still be answered for, but nothing more of it is sent.
        self.target = 0;
        self.temporal = ALL;
        self.grant = Grant::default();
        self.is_held = false;
        self.told = None;
        self.clock = None;
        // Another's clock says nothing of what has passed.
        self.out.iter_mut().for_each(|out| out.at = None);
        (self.lacks, self.looked_at) = (false, None);
        self.halt();
    }

    /// Sees, where something has changed, whether its viewer takes what its source sends. Returns whether it does so no more.
    pub(crate) fn look_at_codecs(&mut self) -> bool {
        let Some(source) = &self.source else { return false };
        let codings = source.codings();
        if self.looked_at.replace(codings) == Some(codings) {
            return false;
        }
        let lacks = taking::lacks(&self.takes, source);
        let is_news = lacks && !self.lacks;
        self.lacks = lacks;
        if is_news {
            self.told = None;
            self.halt();
        }
        is_news
    }

    /// The viewer has just asked for it: all that is small enough may be wanted.
    pub(crate) fn seek(&self, micros: u64) {
        let Some(source) = self.source.as_ref().filter(|_| !self.wanted.is_paused && !self.lacks) else {
            return;
        };
        let is_below =
            |layer: &usize| *layer == 0 || source.height_or_usual(layer - 1) < self.wanted.max_height;
        (0..source.layer_count()).take_while(is_below).for_each(|layer| source.seek(layer, micros));
    }

    /// What is sent next begins with a keyframe, without a gap in the numbers.
    pub(crate) fn halt(&mut self) {
        if let Some(segment) = self.segments.last_mut() {
            segment.generation = 0;
        }
    }

    /// The viewer wants it otherwise.
    pub(crate) fn set_wanted(&mut self, wanted: Wanted) {
        if wanted.is_paused && !self.wanted.is_paused {
            self.halt();
        }
        self.wanted = wanted;
    }

    /// The layer being sent.
    pub(crate) fn current_layer(&self) -> Option<u8> {
        let source = self.source.as_ref()?;
        let is_current = |segment: &&Segment| segment.generation == source.generation();
        let segment = self.segments.last().filter(is_current)?;
        if !source.is_scalable() {
            return Some(segment.layer);
        }
        let top = (source.layer_count() - 1) as u8;
        Some(self.thinning.as_ref().map_or(top, |thinning| thinning.caps().spatial.min(top)))
    }

    /// The stream that a layer comes on: one of its own, or that of all of them.
    pub(crate) fn stream(&self, layer: u8) -> u8 {
        if self.is_scalable() { 0 } else { layer }
    }

    /// Its source's layers come in one stream.
    pub(crate) fn is_scalable(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.is_scalable())
    }

    /// Which part of its stream is to be sent, of all that comes in it.
    pub(crate) fn part(&self) -> f64 {
        let Some(source) = self.source.as_ref().filter(|source| source.is_scalable()) else { return 1.0 };
        let all = source.bits(source.layer_count().saturating_sub(1));
        let meant = source.share_bits(self.target.into(), self.temporal);
        if all == 0 { 1.0 } else { (f64::from(meant) / f64::from(all)).min(1.0) }
    }

    /// How much of a stream with several layers is to be sent.
    fn caps(&self) -> Caps {
        let is_below = |source: &&Arc<Source>| {
            source.is_scalable() && usize::from(self.target) + 1 < source.layer_count()
        };
        let spatial = self.source.as_ref().filter(is_below).map_or(ALL, |_| self.target);
        Caps { spatial, temporal: self.temporal }
    }

    /// Whether a keyframe is needed before anything (more) can be sent as wanted.
    pub(crate) fn waits(&self) -> bool {
        let Some(source) = self.source.as_ref().filter(|_| self.is_video && !self.is_off()) else {
            return false;
        };
        match self.current_layer() {
            // Less of the same stream is sent without one, and more needs it only if there is more.
            Some(layer) if source.is_scalable() => layer < self.target && source.bits(self.target.into()) > 0,
            layer => layer != Some(self.target),
        }
    }

    /// Whether nothing is to be sent.
    pub(crate) fn is_off(&self) -> bool {
        self.wanted.is_paused || self.is_held || self.is_quiet || self.lacks
    }

    /// Whether it is a sound that is to be heard, if it is loud enough.
    pub(crate) fn is_sound_wanted(&self) -> bool {
        !self.is_video && self.source.is_some() && !self.wanted.is_paused && !self.lacks
    }

    /// Whether enough others are louder.
    pub(crate) fn set_quiet(&mut self, is_quiet: bool) {
        self.is_cut |= is_quiet && !self.is_quiet;
        self.is_quiet = is_quiet;
    }

    /// Whether a packet may be one that this viewer gets, by the time that it leaves.
    pub(crate) fn may_want(&self, packet: &Packet) -> bool {
        let current = self.current_layer().map(|layer| self.stream(layer));
        !self.is_off() && (packet.layer == self.stream(self.target) || Some(packet.layer) == current)
    }

    /// How many bytes of a packet are meant to be sent: none of those parts of a stream that are left out.
    pub(crate) fn meant_bytes(&self, packet: &Packet) -> usize {
        let is_meant = packet.picture.part.is_none_or(|part| self.caps().admit(part));
        if is_meant { packet.payload.len() } else { 0 }
    }

    /// Whether a keyframe's packet is of a larger layer than is meant, for which its publisher ends the smaller ones.
    pub(crate) fn is_instead(&self, packet: &Packet, micros: u64) -> bool {
        packet.layer > self.stream(self.target)
            && self.source.as_ref().is_some_and(|source| source.is_alone(packet.layer.into(), micros))
    }

    /// Whether what is wanted can begin with it.
    pub(crate) fn can_begin_with(&self, packet: &Packet) -> bool {
        packet.picture.starts_keyframe && packet.layer == self.stream(self.target)
    }

    /// How to send `packet`, if this viewer gets it.
    #[inline]
    pub(crate) fn admit(&mut self, packet: &Packet) -> Option<Rewrite> {
        if self.is_off() {
            if self.is_cut {
                self.passed = self.passed.max(packet.seq);
            }
            return None;
        }
        let is_current = |segment: &Segment| {
            let is_alike = match self.is_video {
                true => segment.came == packet.codec,
                false => segment.came.codec == packet.codec.codec,
            };
            segment.generation == packet.generation && segment.layer == packet.layer && is_alike
        };
        let last = self.segments.last().copied();
        let is_behind = |segment: &Segment| {
            segment.generation == packet.generation
                && segment.layer == packet.layer
                && packet.seq < segment.first
        };
        if last.as_ref().is_some_and(is_behind) {
            return None;
        }
        let mut current = last.filter(is_current);
        if self.is_cut {
            // What comes late belongs to what was left out.
            if current.is_some() && packet.seq <= self.passed {
                return None;
            }
            (self.is_cut, self.passed) = (false, 0);
            current = current.map(|segment| self.go_on(segment, packet));
        }
        let segment = match current {
            // A codec may change between RED and plain within a publication, without a keyframe.
            // Sound may also have to go out plain from now on, or need not.
            Some(segment)
                if !self.is_video
                    && (segment.came != packet.codec
                        || segment.is_plain != self.is_plain
                        || segment.is_sealed != self.is_sealed()) =>
            {
                self.retake(segment, packet)?
            }
            Some(segment) => segment,
            None if !self.is_video || self.can_begin_with(packet) => self.begin(packet)?,
            None => return None,
        };
        let place = match self.is_video && self.is_thinned(&segment, packet) {
            true => self.thin(&segment, packet)?,
            false => segment.place(packet, segment.out(packet.seq)),
        };
        let mut rewrite = self.rewrite(&segment, packet, place)?;
        if !self.numbers.take(rewrite.seq) {
            return None;
        }
        if let Some(shield) = &mut self.shield
            && !place.is_blank
        {
            let is_newest = self.out.as_ref().is_none_or(|out| place.seq > out.seq);
            let (picture, is_key) = (rewrite.timestamp, packet.picture.starts_keyframe);
            let is_protected = shield.admit(rewrite.seq, picture, is_key, is_newest);
            rewrite.red = self.redundancy.filter(|_| is_protected).map(|redundancy| redundancy.red);
        }
        self.note(packet, &rewrite, place.seq);
        Some(rewrite)
    }

    fn rewrite(&self, segment: &Segment, packet: &Packet, place: Place) -> Option<Rewrite> {
        let Place { seq, picture_offset, is_last, is_blank } = place;
        let seq = match &self.shield {
            Some(shield) => shield.woven.out(seq)?,
            None => seq,
        };
        Some(Rewrite {
            seq,
            timestamp: self.timestamp(segment, packet),
            picture_offset,
            tl0_offset: segment.tl0_offset,
            frame_offset: segment.frame_offset,
            taken: segment.taken,
            unwraps: segment.unwraps,
            is_last,
            is_blank,
            red: None,
        })
    }

    /// Whether something is, or has been, left out of the stream.
    fn is_thinned(&self, segment: &Segment, packet: &Packet) -> bool {
        if self.thinning.is_some() {
            return true;
        }
        // It does not begin with what comes late: all that was sent before.
        let is_newest = || self.out.as_ref().is_none_or(|out| segment.out(packet.seq) > out.seq);
        packet.picture.part.is_some() && self.caps() != Caps::ALL && is_newest()
    }

    fn thin(&mut self, segment: &Segment, packet: &Packet) -> Option<Place> {
        let caps = self.caps();
        // VP9 names pictures that others need by how far back they were numbered; VP8 takes a gap for a loss.
        let counts_pictures = packet.codec.codec == Codec::Vp8;
        let fresh = || Box::new(Thinning::new(segment.run(), packet));
        self.thinning.get_or_insert_with(fresh).place(packet, caps, counts_pictures)
    }

    /// The time of a packet on our stream.
    fn timestamp(&self, segment: &Segment, packet: &Packet) -> u32 {
        let offset = segment.timestamp_offset;
        let squeezed = self.squeeze.as_ref().and_then(|squeeze| squeeze.timestamp(offset, packet));
        squeezed.unwrap_or_else(|| packet.timestamp.wrapping_add(offset))
    }

    /// The next segment begins with pictures that are sent at once.
    pub(crate) fn begin_squeezed(&mut self, squeeze: Squeeze) {
        self.next_squeeze = Some(Box::new(squeeze));
    }

    /// Whether it is encrypted from end to end.
    pub(crate) fn is_sealed(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.is_encrypted())
    }

    /// The payload type for a codec, and whether RED has to be taken off.
    fn take(&self, codec: CodecKey) -> Option<(Taken, bool)> {
        taking::choose(&self.takes, codec, Going { is_sealed: self.is_sealed(), is_plain: self.is_plain })
    }

    /// The stream goes on with `packet` although some before it were left out: no number is missing, and time has passed.
    fn go_on(&mut self, segment: Segment, packet: &Packet) -> Segment {
        let first_out = self.out.as_ref().map_or(segment.first_out, |out| out.seq + 1);
        let fresh = Segment { first: packet.seq, first_out, ..segment };
        self.push(fresh);
        fresh
    }

    fn retake(&mut self, segment: Segment, packet: &Packet) -> Option<Segment> {
        let (taken, unwraps) = self.take(packet.codec)?;
        let is_same = unwraps == segment.unwraps && taken.codec == segment.taken.codec;
        let fresh = Segment {
            taken,
            unwraps,
            came: packet.codec,
            is_plain: self.is_plain,
            is_sealed: self.is_sealed(),
            ..segment
        };
        match self.segments.last_mut() {
            Some(last) if is_same => *last = fresh,
            _ => self.push(Segment { first: packet.seq, first_out: segment.out(packet.seq), ..fresh }),
        }
        Some(fresh)
    }

    fn push(&mut self, segment: Segment) {
        if self.segments.len() == SEGMENTS {
            self.segments.remove(0);
        }
        self.segments.push(segment);
    }

    /// The stream goes on with `packet`, which starts a keyframe, of another layer or publication than before.
    fn begin(&mut self, packet: &Packet) -> Option<Segment> {
        let Some((taken, unwraps)) = self.take(packet.codec) else {
            self.untaken += 1;
            return None;
        };
        let rate = packet.codec.clock_rate();
        let frame = packet.frame();
        let mut squeeze = self.next_squeeze.take().filter(|squeeze| squeeze.begins_with(packet));
        // Of pictures that are sent at once the newest is shown when it is due.
        let (at, arrived) = match &squeeze {
            Some(squeeze) => (squeeze.at(rate), squeeze.arrived),
            None => (packet.clock.map(|clock| clock.at(packet.timestamp, rate)), packet.arrived),
        };
        let (first_out, before, picture_offset, tl0_offset, frame_offset) = match &self.out {
            None => (1, None, 0, 0, 0),
            Some(out) => {
                let elapsed = match (out.at, at) {
                    (Some(before), Some(now)) => now - before,
                    _ => -1,
                };
                // Clocks of different publishers do not compare; the time between arrivals does.
                let elapsed = match u64::try_from(elapsed) {
                    Ok(micros) if micros < 10_000_000 => Duration::from_micros(micros),
                    _ => arrived.saturating_duration_since(out.arrived),
                };
                let ticks = (elapsed.as_micros() * u128::from(rate) / 1_000_000) as u32;
                let picture =
                    packet.picture.id.map_or(0, |id| out.picture.wrapping_add(1).wrapping_sub(id.value));
                let tl0 = packet.picture.tl0.map_or(0, |(_, tl0)| out.tl0.wrapping_add(1).wrapping_sub(tl0));
                let frame = frame.map_or(0, |frame| out.frame.wrapping_add(1).wrapping_sub(frame));
                (out.seq + 1, Some((out.timestamp, ticks.max(1))), picture, tl0, frame)
            }
        };
        let timestamp_offset = match (&mut squeeze, before) {
            (Some(squeeze), before) => squeeze.show(before, packet.timestamp),
            (None, Some((before, ticks))) => before.wrapping_add(ticks).wrapping_sub(packet.timestamp),
            (None, None) => 0,
        };
        self.squeeze = squeeze;
        let segment = Segment {
            generation: packet.generation,
            layer: packet.layer,
            first: packet.seq,
            first_out,
            timestamp_offset,
            picture_offset,
            tl0_offset,
            frame_offset,
            taken,
            unwraps,
            came: packet.codec,
            is_plain: self.is_plain,
            is_sealed: self.is_sealed(),
        };
        self.clock = None;
        self.clock_rate = rate;
        self.push(segment);
        if let Some(thinning) = &mut self.thinning {
            thinning.begin(segment.run());
        }
        Some(segment)
    }

    #[inline]
    fn note(&mut self, packet: &Packet, rewrite: &Rewrite, seq: u64) {
        let rate = packet.codec.clock_rate();
        let squeezed = self.squeeze.as_ref().and_then(|squeeze| squeeze.moment(packet, rate));
        let own = || (packet.clock.map(|clock| clock.at(packet.timestamp, rate)), packet.arrived);
        let (at, arrived) = squeezed.unwrap_or_else(own);
        if packet.clock.is_some() {
            self.clock = packet.clock;
        }
        if !self.is_video {
            self.is_doubled = packet.codec.red;
        } else if packet.picture.starts_keyframe {
            self.keyframe = Some((packet.generation, packet.layer, packet.timestamp));
        }
        let bytes = packet.payload.len() as u32;
        let out = self.out.get_or_insert(Out {
            seq: 0,
            timestamp: 0,
            at: None,
            arrived: packet.arrived,
            picture: 0,
            tl0: 0,
            frame: 0,
            packets: 0,
            bytes: 0,
            pictures: 0,
            sampled: (0, 0, 0),
            looked_at: 0,
        });
        if seq > out.seq {
            // What comes late is of a picture that was counted.
            let is_another = rewrite.timestamp != out.timestamp || out.packets == 0;
            out.pictures = out.pictures.wrapping_add(u32::from(is_another));
            out.seq = seq;
            out.timestamp = rewrite.timestamp;
            (out.at, out.arrived) = (at, arrived);
            if let Some(id) = packet.picture.id {
                out.picture = id.value.wrapping_add(rewrite.picture_offset);
            }
            if let Some((_, tl0)) = packet.picture.tl0 {
                out.tl0 = tl0.wrapping_add(rewrite.tl0_offset);
            }
            if let Some(frame) = packet.frame() {
                out.frame = frame.wrapping_add(rewrite.frame_offset);
            }
        }
        out.packets = out.packets.wrapping_add(1);
        out.bytes = out.bytes.wrapping_add(bytes);
    }

    /// What has gone out since this was last asked.
    pub(crate) fn take_amount(&mut self) -> Amount {
        let Some(out) = &mut self.out else { return Amount::default() };
        let now = (out.packets, out.bytes, out.pictures);
        let (packets, bytes, pictures) = std::mem::replace(&mut out.sampled, now);
        let around = AROUND as u64 * u64::from(now.0.wrapping_sub(packets));
        Amount {
            bytes: u64::from(now.1.wrapping_sub(bytes)) + around,
            pictures: now.2.wrapping_sub(pictures),
        }
    }

    /// Whether anything has gone out since this was last asked.
    pub(crate) fn take_busy(&mut self) -> bool {
        let Some(out) = &mut self.out else { return false };
        std::mem::replace(&mut out.looked_at, out.packets) != out.packets
    }

    /// The whole sequence number that ends with `short`, when it was sent not long ago.
    pub(crate) fn sent(&self, short: u16) -> Option<u64> {
        /// As far back as libwebrtc asks (`kMaxPacketAge`).
        const FARTHEST: u16 = 10_000;
        let newest = self.newest_number()?;
        let back = (newest as u16).wrapping_sub(short);
        newest.checked_sub(back.into()).filter(|seq| back <= FARTHEST && *seq > 0)
    }

    /// What was sent under a sequence number: the publication, its layer, and the publisher's number.
    pub(crate) fn origin(&self, number: u64) -> Option<(u32, u8, u64)> {
        let seq = self.own(number)?;
        let segment = self.segments.iter().rev().find(|segment| segment.first_out <= seq)?;
        let plain = seq - segment.first_out + segment.first;
        let seq = match &self.thinning {
            Some(thinning) => thinning.origin(seq, plain)?,
            None => plain,
        };
        Some((segment.generation, segment.layer, seq))
    }

    /// Whether a packet is part of the newest keyframe that was sent.
    pub(crate) fn is_of_keyframe(&self, packet: &Packet) -> bool {
        self.keyframe == Some((packet.generation, packet.layer, packet.timestamp))
    }

    /// Whether what is shown hangs on a packet: no keyframe has been sent after it, and others need its picture.
    pub(crate) fn hangs_on(&self, packet: &Packet) -> bool {
        let is_needed = packet.picture.part.is_none_or(|part| part.temporal == 0);
        is_needed
            && self.keyframe.is_some_and(|(generation, layer, timestamp)| {
                (generation, layer) == (packet.generation, packet.layer)
                    && packet.timestamp.wrapping_sub(timestamp) < u32::MAX / 2
            })
    }

    /// How `packet`, which was sent before under a number of ours, is sent once more.
    pub(crate) fn again(&self, packet: &Packet, number: u64) -> Option<Rewrite> {
        let seq = self.own(number)?;
        let segment = self.segments.iter().rev().find(|segment| segment.first_out <= seq)?;
        segment
            .taken
            .rtx
            .filter(|_| segment.generation == packet.generation && segment.layer == packet.layer)?;
        let place = match &self.thinning {
            Some(thinning) => thinning.again(segment.run(), packet, seq)?,
            None => segment.place(packet, seq),
        };
        Some(Rewrite { unwraps: false, ..self.rewrite(segment, packet, place)? })
    }

    /// The number of the newest packet sent.
    pub(crate) fn newest_number(&self) -> Option<u64> {
        let own = self.out.as_ref()?.seq;
        Some(self.shield.as_ref().map_or(own, |shield| shield.woven.newest(own)))
    }

    /// The number of the stream's own that went out under this one.
    fn own(&self, number: u64) -> Option<u64> {
        match &self.shield {
            None => Some(number),
            Some(shield) => match shield.woven.meant(number)? {
                Meant::Stream(own) => Some(own),
                Meant::Redundancy => None,
            },
        }
    }

    /// How much more redundancy takes than so much of the stream as it is meant to be.
    pub(crate) fn cost_of_redundancy(&self) -> f64 {
        self.shield.as_ref().map_or(shield::COST, |shield| shield.cost())
    }

    /// From the next picture on, so many packets of redundancy go out for each of the stream; 0 for none.
    pub(crate) fn protect(&mut self, share: f32) {
        match &mut self.shield {
            Some(shield) => shield.set_share(share),
            None if share > 0.0 => self.shield = Some(Box::new(Shield::new(share))),
            None => {}
        }
    }

    /// A report on what was sent, so that the viewer plays sound and picture of one publisher together.
    pub(crate) fn sender_report(&self, now: Instant) -> Option<SenderReport> {
        /// From 1900 to 1970, in seconds.
        const NTP_TO_UNIX: i64 = 2_208_988_800;
        let (out, clock, segment) = (self.out.as_ref()?, self.clock?, self.segments.last()?);
        if segment.generation == 0 {
            return None;
        }
        let elapsed = now.saturating_duration_since(out.arrived).as_micros() as i64;
        let micros = out.at.unwrap_or(clock.micros) + elapsed;
        let rtp = out.timestamp.wrapping_add((elapsed * i64::from(self.clock_rate) / 1_000_000) as u32);
        let seconds = micros.div_euclid(1_000_000) + NTP_TO_UNIX;
        let fraction = (micros.rem_euclid(1_000_000) << 32) / 1_000_000;
        Some(SenderReport {
            ssrc: self.ssrc,
            ntp: (seconds as u64) << 32 | fraction as u64,
            rtp,
            packets: out.packets,
            bytes: out.bytes,
        })
    }
}
