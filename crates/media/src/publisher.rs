//! A publisher's connection: what comes in on it, whether it may, and to whom it is offered.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, UNIX_EPOCH};

use str0m::Rtc;
use str0m::format::Codec;
use str0m::media::KeyframeRequestKind;
use str0m::rtp::{RtpPacket, VideoOrientation};

use crate::dependency::{self, Raw, Structure};
use crate::dynacast::Wants;
use crate::filler::Filler;
use crate::lateness::Lateness;
use crate::mapping::{Mains, Mapping, Placing};
use crate::outbox::AROUND;
use crate::payload::{self, CodecKey, Picture};
use crate::sampling::{Amount, Sample, per_mille};
use crate::sdp::{Layer, Line};
use crate::source::{MAX_LAYERS, Packet, PeerId, SHARES, SenderClock, Source, Sources, StreamKind};

/// The shortest time between two keyframes asked of a layer: a crowd that comes in shares them.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(400);

/// How often the bitrates of layers are taken.
pub(crate) const MEASURE_INTERVAL: Duration = Duration::from_millis(500);

/// What has come for a shorter time than this is too little to say what a layer takes.
const SHORTEST_MEASURE: Duration = Duration::from_millis(250);

/// What a layer takes is taken back by so much a half second: a picture that is easy for a moment gains nothing.
const FALL: f64 = 0.95;

/// So many keyframes in a time may be as large as they like: that of a join, and that of the step up after it.
const KEYFRAMES_EXCUSED: usize = 2;
const KEYFRAME_EXCUSE: Duration = Duration::from_secs(5);

/// How long a layer may be without a packet before it counts as gone; and how long if a smaller one has had so many pictures since.
const LAYER_TIMEOUT: Duration = Duration::from_millis(1500);
const LAYER_PASSED_TIMEOUT: Duration = Duration::from_millis(700);
const LAYER_PASSED: u32 = 5;

/// After so long, or two and a half times what lies between its pictures, and so many smaller ones, a layer is held up: who watches it goes
/// on with a smaller one, and is shown no more of it for a while. It may only pause, so its publisher is told nothing yet.
const LAYER_HELD_UP: Duration = Duration::from_millis(200);
const LAYER_HELD_UP_PASSED: u32 = 3;
const LONGEST_BETWEEN: Duration = Duration::from_millis(500);

/// A publisher whose pictures came so late of late has an uplink that it does not know well: a browser that is asked for more than one size
/// again begins with too much, and takes the larger ones back. Those have to last for a moment, and to come in time, before viewers go on
/// with them.
const STRAINED_FROM: Duration = Duration::from_millis(300);
const STRAINED_FOR: Duration = Duration::from_secs(60);
const TRIAL: Duration = Duration::from_millis(1_200);
const IN_TIME: Duration = Duration::from_millis(100);

/// What a half second of what comes in weighs in the next, how many packets tell anything, and what of them gets lost on a way that
/// loses packets.
const UPLINK_KEPT: f64 = 0.9;
const FEWEST_OF_UPLINK: f64 = 100.0;
const LOSSY_UPLINK: f64 = 0.02;

/// Who may send what, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Rights {
    /// The microphone.
    pub audio: bool,
    /// The camera.
    pub main: bool,
    /// The screen.
    pub sub: bool,
}

impl Rights {
    /// Everything.
    pub const ALL: Self = Self { audio: true, main: true, sub: true };

    /// Whether a kind may be sent.
    pub fn allow(self, kind: StreamKind) -> bool {
        match kind {
            StreamKind::Audio => self.audio,
            StreamKind::Main => self.main,
            StreamKind::Sub => self.sub,
        }
    }
}

/// What comes in of a layer.
#[derive(Default)]
pub(crate) struct Inflow {
    /// In the running half second, of all but keyframes: bytes of each share of the frame rate above the lowest; and what part
    /// they are of all, in the mean of two seconds.
    above: [u64; SHARES],
    parts: [f64; SHARES],
    /// In the running half second: bytes and pictures, keyframes apart.
    bytes: u64,
    pictures: u32,
    key_bytes: u64,
    keys: u32,
    /// Since it was sampled: all of it, and the RTP time of the newest picture in it.
    fresh: Amount,
    counted: Option<u32>,
    /// The RTP times of the newest picture, and of the newest keyframe that is counted apart.
    newest: Option<u32>,
    newest_key: Option<u32>,
    /// When the last keyframes that were counted apart began.
    excused: [Option<Instant>; KEYFRAMES_EXCUSED],
    /// When it began, until it was measured.
    began_at: Option<Instant>,
    /// What the half second before took, in bits a second.
    former: Option<f64>,
    bits: f64,
    last_at: Option<Instant>,
    /// When the newest picture began, and what usually lies between two.
    picture_at: Option<Instant>,
    between: Duration,
    lateness: Lateness,
    /// Until when it is to last before anybody goes on with it.
    tried_until: Option<Instant>,
    /// Pictures of a smaller layer since then.
    passed: u32,
    asked_at: Option<Instant>,
    /// A keyframe was asked for while another was on its way.
    is_asked_again: bool,
}

impl Inflow {
    /// Notes a packet, which may come behind later ones. Returns whether it is the first of its picture.
    pub(crate) fn note(
        &mut self,
        (payload, timestamp, is_late): (usize, u32, bool),
        starts_key: bool,
        share: u8,
        now: Instant,
    ) -> bool {
        // What comes late does not say that more does.
        if !is_late {
            (self.last_at, self.passed) = (Some(now), 0);
            if self.former.is_none() {
                self.began_at.get_or_insert(now);
            }
        }
        let has_passed = |at| now.saturating_duration_since(at) > KEYFRAME_EXCUSE;
        // Parameter sets and the picture behind them are one.
        let is_another = starts_key && self.newest_key != Some(timestamp);
        if is_another && let Some(oldest) = self.excused.iter_mut().find(|at| at.is_none_or(has_passed)) {
            *oldest = Some(now);
            self.newest_key = Some(timestamp);
        }
        let is_new = !is_late && self.newest.replace(timestamp) != Some(timestamp);
        if is_new && let Some(former) = self.picture_at.replace(now) {
            let since = now.saturating_duration_since(former).min(LONGEST_BETWEEN);
            self.between = if self.between.is_zero() { since } else { (3 * self.between + since) / 4 };
        }
        self.fresh.bytes += (payload + AROUND) as u64;
        // What comes late is of a picture that was counted.
        if !is_late {
            self.fresh.pictures += u32::from(self.counted.replace(timestamp) != Some(timestamp));
        }
        let (bytes, pictures) = match self.newest_key == Some(timestamp) {
            true => (&mut self.key_bytes, &mut self.keys),
            false => (&mut self.bytes, &mut self.pictures),
        };
        *bytes += (payload + AROUND) as u64;
        *pictures += u32::from(is_new);
        let above = usize::from(share).checked_sub(1).and_then(|above| self.above.get_mut(above));
        if let Some(above) = above {
            *above += (payload + AROUND) as u64;
        }
        is_new
    }

    /// What the lower shares of the frame rate take of all of it.
    fn shares(&self) -> [f64; SHARES] {
        let mut left = 1.0;
        let mut shares = [1.0; SHARES];
        for (share, part) in shares.iter_mut().zip(self.parts).rev() {
            left = f64::max(left - part, 0.0);
            *share = left;
        }
        shares
    }

    /// Nothing has come for a moment, while smaller pictures have.
    fn is_held_up(&self, now: Instant) -> bool {
        let patience = LAYER_HELD_UP.max(self.between * 5 / 2);
        let is_late = |at| now.saturating_duration_since(at) > patience;
        self.passed >= LAYER_HELD_UP_PASSED && self.last_at.is_some_and(is_late)
    }

    /// Nothing comes any more: its publisher has stopped, or has no room for it.
    fn is_gone(&self, now: Instant) -> bool {
        let patience = if self.passed < LAYER_PASSED { LAYER_TIMEOUT } else { LAYER_PASSED_TIMEOUT };
        self.last_at.is_none_or(|at| now.saturating_duration_since(at) > patience)
    }

    /// It has begun, and has yet to be measured.
    fn is_unknown(&self) -> bool {
        self.began_at.is_some()
    }

    /// What it takes on a viewer's wire, in bits a second: the mean of the last second, or of what there was of it since it began; 0
    /// before that can be said, and when nothing comes any more. A keyframe counts as any other picture unless there are many:
    /// encoders make up for it, and it is no reason to give a layer up.
    pub(crate) fn measure(&mut self, now: Instant, elapsed: Duration) -> u32 {
        let elapsed = self.began_at.map_or(elapsed, |at| now.saturating_duration_since(at));
        if self.is_unknown() && elapsed < SHORTEST_MEASURE {
            return 0;
        }
        self.began_at = None;
        let Self { bytes, pictures, key_bytes, keys, .. } = *self;
        (self.bytes, self.pictures, self.key_bytes, self.keys) = (0, 0, 0, 0);
        for (part, above) in self.parts.iter_mut().zip(std::mem::take(&mut self.above)) {
            if bytes > 0 {
                let fresh = above as f64 / bytes as f64;
                *part = if *part > 0.0 { *part + (fresh - *part) / 4.0 } else { fresh };
            }
        }
        let bytes = match pictures {
            0 => key_bytes as f64,
            _ => bytes as f64 * f64::from(pictures + keys) / f64::from(pictures),
        };
        let fresh = bytes * 8.0 / elapsed.as_secs_f64().max(0.001);
        if self.is_gone(now) {
            (self.former, self.bits) = (None, 0.0);
            return 0;
        }
        let former = self.former.replace(fresh).unwrap_or(fresh);
        self.bits = ((former + fresh) / 2.0).max(self.bits * FALL);
        self.bits as u32
    }
}

/// A packet of pictures, as far as it is noted.
pub(crate) struct Came {
    pub(crate) layer: u8,
    pub(crate) starts_key: bool,
    pub(crate) bytes: usize,
    /// By RTP.
    pub(crate) timestamp: u32,
    /// It comes behind later ones.
    pub(crate) is_late: bool,
    /// How much later it comes than others do.
    pub(crate) late_by: Duration,
    /// Its stream, where it begins, is to be seen to last before anybody goes on with it.
    pub(crate) is_on_trial: bool,
}

/// Notes what comes in of a stream: of each layer by its own, or of all those that are in it.
pub(crate) fn note(
    inflows: &mut [Inflow; MAX_LAYERS],
    source: &Source,
    picture: &Picture,
    came: Came,
    now: Instant,
) {
    let Came { layer, starts_key, timestamp, is_late, .. } = came;
    let part = picture.part.unwrap_or_default();
    let lowest = inflows.first().and_then(|inflow| inflow.newest_key);
    let at = usize::from(layer.max(part.spatial));
    let Some(inflow) = inflows.get_mut(at) else { return };
    // A keyframe is one in all its sizes.
    let is_of_key = part.spatial > 0 && lowest == Some(timestamp) && inflow.newest_key != lowest;
    let size = (came.bytes, timestamp, is_late);
    let is_another = inflow.note(size, starts_key || is_of_key, part.temporal, now);
    if let Some(layer) = source.layers.get(at).filter(|_| !is_late) {
        let is_beginning = starts_key && layer.bits.load(Ordering::Relaxed) == 0;
        if is_beginning && !layer.has_begun.load(Ordering::Relaxed) {
            inflow.tried_until = came.is_on_trial.then(|| now + TRIAL);
            layer.is_held_up.store(came.is_on_trial, Ordering::Relaxed);
        }
        let has_lasted = |until| now >= until && came.late_by < IN_TIME;
        if layer.is_held_up.load(Ordering::Relaxed) && inflow.tried_until.is_none_or(has_lasted) {
            layer.is_held_up.store(false, Ordering::Relaxed);
            inflow.tried_until = None;
        }
        if is_beginning {
            layer.has_begun.store(true, Ordering::Release);
        }
    }
    if is_another {
        for (above, layer) in inflows.iter_mut().zip(&source.layers).skip(at + 1) {
            above.passed += 1;
            if above.is_held_up(now) {
                layer.is_held_up.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// Tells viewers what each layer takes: what comes in of it, and of those that it needs.
pub(crate) fn measure(inflows: &mut [Inflow; MAX_LAYERS], source: &Source, now: Instant, elapsed: Duration) {
    let is_scalable = source.is_scalable();
    let mut below = (0, [0.0; SHARES]);
    for (inflow, layer) in inflows.iter_mut().zip(&source.layers) {
        let own = inflow.measure(now, elapsed);
        let mut sum = (own, inflow.shares().map(|share| share * f64::from(own)));
        if is_scalable && own > 0 {
            sum.0 += below.0;
            sum.1.iter_mut().zip(below.1).for_each(|(bits, below)| *bits += below);
        }
        layer.bits.store(sum.0, Ordering::Relaxed);
        layer.has_begun.fetch_and(inflow.is_unknown(), Ordering::AcqRel);
        for (share, bits) in layer.shares.iter().zip(sum.1) {
            share.store(bits as u32, Ordering::Relaxed);
        }
        below = sum;
    }
}

/// What gets lost on the way here: it comes late, once it has been asked for. Of the last seconds, each half weighing less.
#[derive(Default)]
struct Uplink {
    late: f64,
    all: f64,
}

impl Uplink {
    fn take(&mut self, is_late: bool) {
        self.late += f64::from(u8::from(is_late));
        self.all += 1.0;
    }

    fn settle(&mut self) {
        (self.late, self.all) = (UPLINK_KEPT * self.late, UPLINK_KEPT * self.all);
    }

    /// What part got lost, once that can be said.
    fn loss(&self) -> Option<f64> {
        (self.all >= FEWEST_OF_UPLINK).then(|| self.late / self.all)
    }

    fn is_lossy(&self) -> bool {
        self.loss().is_some_and(|loss| loss > LOSSY_UPLINK)
    }
}

/// A stream being published.
pub(crate) struct Track {
    /// The m-line's.
    pub(crate) name: Arc<str>,
    pub(crate) kind: StreamKind,
    pub(crate) source: Arc<Source>,
    pub(crate) generation: u32,
    /// The RIDs that were agreed on.
    agreed: Vec<String>,
    streams: Mains,
    /// How keyframes are asked for.
    keyframes_by: KeyframeRequestKind,
    inflows: [Inflow; MAX_LAYERS],
    fillers: [Filler; MAX_LAYERS],
    /// The newest that has come of each.
    newest: [u64; MAX_LAYERS],
    /// What the newest keyframe of each stream says of its frames.
    structures: [Option<Box<Structure>>; MAX_LAYERS],
    /// Width and height of the pictures that came, in pixels; 0 before the first.
    sizes: [(u32, u32); MAX_LAYERS],
    /// By which codec each came last, as the source was told.
    codecs: [Option<CodecKey>; MAX_LAYERS],
    /// The loudest since it was last taken, in -dBov.
    loudest: Option<u8>,
    /// It was told to be loud, and since then nothing else.
    is_told_loud: bool,
    /// What its publisher was told is wanted, if it sends no more than that.
    wants: Option<Wants>,
}

impl Track {
    /// Whether smaller layers than this are wanted of its publisher too.
    fn wants_less_than(&self, layer: u8) -> bool {
        let is_any = |wants: &Wants| wants.told().take(layer.into()).any(|is_wanted| is_wanted);
        self.wants.as_ref().map_or(layer > 0, is_any)
    }
}

impl AsRef<Mains> for Track {
    fn as_ref(&self) -> &Mains {
        &self.streams
    }
}

impl AsMut<Mains> for Track {
    fn as_mut(&mut self) -> &mut Mains {
        &mut self.streams
    }
}

impl Track {
    pub(crate) fn new(
        name: &str,
        kind: StreamKind,
        source: Arc<Source>,
        generation: u32,
        layers: &[Layer],
        wants: Option<Wants>,
    ) -> Self {
        let mut rids: Vec<_> = layers.iter().map(|layer| Some(layer.rid.clone())).collect();
        if rids.is_empty() {
            rids.push(None);
        }
        let name: Arc<str> = name.into();
        Self {
            name: name.clone(),
            kind,
            source,
            generation,
            agreed: sorted(layers),
            streams: Mains { name, kind, rids, mains: Default::default(), asks_again: false },
            keyframes_by: KeyframeRequestKind::Pli,
            inflows: Default::default(),
            fillers: Default::default(),
            newest: Default::default(),
            structures: Default::default(),
            sizes: Default::default(),
            codecs: Default::default(),
            loudest: None,
            is_told_loud: false,
            wants,
        }
    }

    /// Whether its layers are those of an offer.
    pub(crate) fn is_of(&self, layers: &[Layer]) -> bool {
        self.agreed == sorted(layers)
    }

    fn layer_count(&self) -> usize {
        self.streams.rids.len()
    }

    /// What came on its streams is nobody's from now on.
    pub(crate) fn forget_streams(&self, rtc: &mut Rtc) {
        for ssrc in self.streams.mains.iter().filter_map(|main| main.ssrc) {
            rtc.direct_api().remove_stream_rx(ssrc.into());
        }
    }

    /// The size of a picture that begins a stream's. Returns whether the layers turn out to have another order than the offer's, where
    /// their publisher says nothing of that.
    fn note_size(&mut self, layer: u8, size: (u32, u32)) -> bool {
        let Some(known) = self.sizes.get_mut(usize::from(layer)) else { return false };
        if std::mem::replace(known, size) == size {
            return false;
        }
        self.source.note_size(layer.into(), size);
        let known = self.sizes.iter().take(self.layer_count()).map(|(_, height)| *height);
        self.wants.is_none() && !known.filter(|height| *height > 0).is_sorted()
    }

    /// Puts its layers into the order of their heights, as far as those are known.
    fn reorder(&mut self) {
        let count = self.layer_count();
        let height = |layer: &usize| self.sizes.get(*layer).map(|(_, height)| *height);
        let places = || (0..count).filter(|layer| height(layer).is_some_and(|height| height > 0));
        let mut order: Vec<usize> = places().collect();
        order.sort_by_key(height);
        let mut from: Vec<usize> = (0..count).collect();
        for (place, layer) in places().zip(order) {
            if let Some(from) = from.get_mut(place) {
                *from = layer;
            }
        }
        permute(&mut self.streams.rids, &from);
        permute(&mut self.streams.mains, &from);
        permute(&mut self.inflows, &from);
        permute(&mut self.fillers, &from);
        permute(&mut self.structures, &from);
        permute(&mut self.sizes, &from);
        self.codecs = Default::default();
        for (size, layer) in self.sizes.iter().zip(0..count) {
            self.source.note_size(layer, *size);
        }
    }

    /// Reads a packet's dependency descriptor: what it says of the packet holds where the payload says nothing.
    fn read_dependency(&mut self, layer: u8, bytes: &[u8], picture: &mut Picture) {
        let Some(known) = self.structures.get_mut(usize::from(layer)) else { return };
        let Some(mut descriptor) = dependency::read(bytes, known.as_deref()) else { return };
        if picture.part.is_none() {
            picture.part = Some(descriptor.part());
        }
        if let Some(structure) = descriptor.structure.take() {
            if self.streams.rids.len() == 1 {
                self.source.set_sizes(structure.sizes(), &structure.pictures);
            }
            *known = Some(structure);
        }
    }

    /// Sees which sizes its one stream has: a keyframe may say, and what comes shows.
    fn note_sizes(&self, picture: &Picture, codec: Codec, payload: &[u8]) {
        let Some(part) = picture.part else { return };
        let said = picture.starts_keyframe && codec == Codec::Vp9;
        let sizes = if said { payload::vp9_sizes(payload) } else { None };
        let seen = usize::from(part.spatial) + 1;
        match sizes {
            Some(sizes) => self.source.set_sizes(sizes.len(), &sizes),
            None if seen > self.source.layer_count() => self.source.set_sizes(seen, &[]),
            None => {}
        }
    }
}

/// Why a packet went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No right to publish it.
    NotAllowed,
    /// It belongs to no stream that was announced, or is of no codec that was agreed on.
    Unknown,
    /// Another connection publishes this stream by now.
    Superseded,
    /// It is not what its codec says.
    Broken,
    /// There is nothing in it.
    Padding,
}

/// The RIDs of layers, whatever their order.
fn sorted(layers: &[Layer]) -> Vec<String> {
    let mut rids: Vec<_> = layers.iter().map(|layer| layer.rid.clone()).collect();
    rids.sort_unstable();
    rids
}

/// Puts at each place what is at `from` that place.
fn permute<T: Default>(values: &mut [T], from: &[usize]) {
    let mut before: Vec<T> = values.iter_mut().map(std::mem::take).collect();
    for (place, value) in values.iter_mut().enumerate() {
        let from = from.get(place).copied().unwrap_or(place);
        if let Some(taken) = before.get_mut(from) {
            *value = std::mem::take(taken);
        }
    }
}

/// How long packets may come of which none belongs to anything that was agreed on, and how many they have to be: who is muted sends
/// next to nothing.
const LOST_FOR: Duration = Duration::from_secs(10);
const LOST_PACKETS: u32 = 50;

/// A publisher's connection.
#[derive(Default)]
pub(crate) struct Publisher {
    pub(crate) tracks: Vec<Track>,
    pub(crate) rights: Rights,
    mapping: Mapping,
    /// Of packets that belong to nothing, since the last that did: when the first came and the newest, and how many.
    lost: Option<(Instant, Instant, u32)>,
    uplink: Uplink,
    /// When its pictures last came late.
    strained_at: Option<Instant>,
    measured_at: Option<Instant>,
}

impl Publisher {
    /// The streams have been agreed on anew.
    pub(crate) fn agreed(&mut self, lines: &[Line]) {
        for track in &mut self.tracks {
            let Some(line) = lines.iter().find(|line| *line.name == *track.name) else { continue };
            // Another session of the member may publish it by now.
            if track.generation == track.source.generation() {
                track.source.agree(line.formats.iter().map(|format| format.codec));
            }
            track.codecs = Default::default();
            let asks = |feedback: &str| line.formats.iter().any(|format| format.asks(feedback));
            track.streams.asks_again = asks("nack");
            track.keyframes_by = match asks("ccm fir") && !asks("nack pli") {
                true => KeyframeRequestKind::Fir,
                false => KeyframeRequestKind::Pli,
            };
        }
        self.mapping.agreed(lines, self.tracks.iter().map(|track| &track.streams));
    }

    /// Tells the library whose a packet is that it is about to open. `false` when it is nobody's.
    pub(crate) fn admit(&mut self, rtc: &mut Rtc, packet: &[u8], now: Instant) -> bool {
        match self.mapping.admit(rtc, packet, &mut self.tracks, now) {
            Placing::Known => true,
            Placing::Collapsed(track) => {
                if let Some(track) = self.tracks.get(track) {
                    track.source.set_sizes(1, &[]);
                    track.source.describe(0, 0, 0);
                }
                true
            }
            Placing::Unknown => {
                let (_, newest, count) = self.lost.get_or_insert((now, now, 0));
                (*newest, *count) = (now, count.saturating_add(1));
                false
            }
        }
    }

    /// What a stream is, and which layer of it, of which a packet was in order.
    #[cfg(test)]
    pub(crate) fn whose(&mut self, ssrc: u32, now: Instant) -> Option<(StreamKind, usize)> {
        let (track, layer) = self.mapping.place(ssrc)?;
        let track = self.tracks.get_mut(track)?;
        track.streams.mains.get_mut(usize::from(layer))?.hear(now);
        Some((track.kind, layer.into()))
    }

    /// Whether nothing that comes belongs to anything that was agreed on, and has not for some time.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.is_some_and(|(first, newest, count)| {
            count >= LOST_PACKETS && newest.saturating_duration_since(first) > LOST_FOR
        })
    }

    /// A packet came in.
    pub(crate) fn ingest(
        &mut self,
        rtc: &mut Rtc,
        sources: &Sources,
        rtp: RtpPacket,
        now: Instant,
    ) -> Result<Packet, Refusal> {
        let (at, layer) = self.mapping.place(*rtp.header.ssrc).ok_or(Refusal::Unknown)?;
        let codec = self.mapping.codec(*rtp.header.payload_type).ok_or(Refusal::Unknown)?;
        let rights = self.rights;
        let track = self.tracks.get_mut(at).ok_or(Refusal::Unknown)?;
        self.lost = None;
        let main = track.streams.mains.get_mut(usize::from(layer)).ok_or(Refusal::Unknown)?;
        main.hear(now);
        let begins_anew = std::mem::take(&mut main.is_another);
        if codec.is_video() != track.kind.is_video() {
            return Err(Refusal::Unknown);
        }
        if !rights.allow(track.kind) {
            return Err(Refusal::NotAllowed);
        }
        if track.source.generation() != track.generation {
            return Err(Refusal::Superseded);
        }
        if begins_anew {
            // Numbers and times of another stream: to viewers it is another publication.
            self.begin_anew(rtc, sources, at, now);
        }
        let track = self.tracks.get_mut(at).ok_or(Refusal::Unknown)?;
        if let Some(known) = track.codecs.get_mut(usize::from(layer))
            && known.replace(codec) != Some(codec)
        {
            track.source.note_codec(layer.into(), codec);
        }
        // Who cannot be sent it whole could be sent nothing of it.
        let is_whole =
            !codec.red || track.source.is_encrypted() || payload::red_primary(&rtp.payload).is_some();
        if !is_whole && !rtp.payload.is_empty() {
            return Err(Refusal::Broken);
        }
        let filler = track.fillers.get_mut(usize::from(layer)).ok_or(Refusal::Unknown)?;
        let seq = filler.number(*rtp.seq_no, rtp.payload.is_empty()).ok_or(Refusal::Padding)?;
        let newest = track.newest.get_mut(usize::from(layer)).ok_or(Refusal::Unknown)?;
        let is_late = seq < *newest;
        *newest = seq.max(*newest);
        self.uplink.take(is_late);
        let values = &rtp.header.ext_vals;
        let audio_level = values.audio_level.map(|level| {
            let quiet = level.unsigned_abs().min(127);
            u8::from(values.voice_activity.unwrap_or(false)) << 7 | quiet
        });
        if let Some(level) = audio_level {
            let quiet = level & 0x7f;
            track.loudest = Some(track.loudest.map_or(quiet, |loudest| loudest.min(quiet)));
        }
        let clock = rtp.last_sender_info.map(|info| SenderClock {
            micros: info.ntp_time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64),
            rtp: info.rtp_time.numer() as u32,
        });
        let mut picture = payload::read(codec.codec, &rtp.payload);
        let dependency = values.user_values.get::<Raw>().map(|raw| raw.0.clone());
        if let Some(bytes) = dependency.as_deref().filter(|_| codec.is_video()) {
            track.read_dependency(layer, bytes, &mut picture);
        }
        match &mut picture.part {
            Some(_) if track.layer_count() == 1 => track.note_sizes(&picture, codec.codec, &rtp.payload),
            // Layers are streams already: what is in each stays together.
            Some(part) => part.spatial = 0,
            None => {}
        }
        let starts_key = picture.starts_keyframe && codec.is_video();
        if starts_key
            && !track.source.is_encrypted()
            && let Some(size) = payload::size(codec.codec, &rtp.payload)
            && track.note_size(layer, size)
        {
            track.reorder();
            self.mapping.place_again(self.tracks.iter().map(|track| &track.streams));
            self.begin_anew(rtc, sources, at, now);
            // It comes again under its own layer.
            return Err(Refusal::Superseded);
        }
        let timestamp = rtp.header.timestamp;
        let inflow = track.inflows.get_mut(usize::from(layer)).filter(|_| codec.is_video() && !is_late);
        let late_by = inflow.map(|inflow| inflow.lateness.note(timestamp, now)).unwrap_or_default();
        if late_by >= STRAINED_FROM {
            self.strained_at = Some(now);
        }
        let is_strained = self.strained_at.is_some_and(|at| now.saturating_duration_since(at) < STRAINED_FOR);
        let is_on_trial = is_strained && track.wants_less_than(layer);
        let bytes = rtp.payload.len();
        let came = Came { layer, starts_key, bytes, timestamp, is_late, late_by, is_on_trial };
        note(&mut track.inflows, &track.source, &picture, came, now);
        Ok(Packet {
            source: track.source.id,
            generation: track.generation,
            layer,
            codec,
            seq,
            timestamp: rtp.header.timestamp,
            marker: rtp.header.marker,
            picture,
            audio_level,
            orientation: values.video_orientation.map(orientation_byte),
            dependency,
            clock: clock.filter(|clock| clock.micros > 0),
            payload: rtp.payload,
            arrived: now,
        })
    }

    /// What comes of a track from now on has nothing to do with what came before. Layers begin with a keyframe each.
    fn begin_anew(&mut self, rtc: &mut Rtc, sources: &Sources, at: usize, now: Instant) {
        self.renew(sources, at);
        let Some(track) = self.tracks.get(at).filter(|track| track.kind.is_video()) else { return };
        for layer in 0..track.layer_count() as u8 {
            self.ask_keyframe(rtc, at, layer, now);
        }
    }

    fn renew(&mut self, sources: &Sources, at: usize) {
        let Some(track) = self.tracks.get_mut(at) else { return };
        track.generation = sources.renew(&track.source);
        track.fillers = Default::default();
        track.structures = Default::default();
        // Its numbers and times may begin anew too, or be another layer's from now on.
        track.newest = Default::default();
        track.inflows.iter_mut().for_each(|inflow| inflow.lateness = Lateness::default());
    }

    /// A viewer of track `at` needs a keyframe of a layer.
    pub(crate) fn ask_keyframe(&mut self, rtc: &mut Rtc, at: usize, layer: u8, now: Instant) {
        let Some(track) = self.tracks.get_mut(at) else { return };
        let Some(inflow) = track.inflows.get_mut(usize::from(layer)) else { return };
        if inflow.asked_at.is_some_and(|at| now.saturating_duration_since(at) < KEYFRAME_INTERVAL) {
            inflow.is_asked_again = true;
            return;
        }
        inflow.is_asked_again = false;
        inflow.asked_at = Some(now);
        let ssrc = track.streams.mains.get(usize::from(layer)).and_then(|main| main.ssrc);
        let Some(ssrc) = ssrc else { return };
        if let Some(stream) = rtc.direct_api().stream_rx(&ssrc.into()) {
            stream.request_keyframe(track.keyframes_by);
        }
    }

    /// What may be sent changes. Streams that are back begin with a keyframe.
    pub(crate) fn set_rights(&mut self, rtc: &mut Rtc, sources: &Sources, rights: Rights, now: Instant) {
        let before = std::mem::replace(&mut self.rights, rights);
        self.withhold(sources);
        for at in 0..self.tracks.len() {
            let kind = self.tracks.get(at).map(|track| track.kind);
            if kind.is_some_and(|kind| kind.is_video() && rights.allow(kind) && !before.allow(kind)) {
                (0..MAX_LAYERS as u8).for_each(|layer| self.ask_keyframe(rtc, at, layer, now));
            }
        }
    }

    /// Pictures that may not be sent are another publication when they are back: what of them waits for viewers' links, here or at
    /// another node, is let go of.
    pub(crate) fn withhold(&mut self, sources: &Sources) {
        for at in 0..self.tracks.len() {
            let Some(track) = self.tracks.get(at).filter(|track| track.kind.is_video()) else { continue };
            let is_withheld = !self.rights.allow(track.kind);
            if !track.source.is_current(track.generation) || track.source.is_withheld() == is_withheld {
                continue;
            }
            track.source.set_withheld(is_withheld);
            if is_withheld {
                self.renew(sources, at);
            }
        }
    }

    /// Takes the bitrates of layers, and asks for keyframes that had to wait.
    pub(crate) fn tick(&mut self, rtc: &mut Rtc, now: Instant) {
        for at in 0..self.tracks.len() {
            for layer in 0..MAX_LAYERS as u8 {
                let inflow = self.tracks.get(at).and_then(|track| track.inflows.get(usize::from(layer)));
                if inflow.is_some_and(|inflow| inflow.is_asked_again) {
                    self.ask_keyframe(rtc, at, layer, now);
                }
            }
        }
        let elapsed = match self.measured_at {
            Some(at) => now.saturating_duration_since(at),
            None => MEASURE_INTERVAL,
        };
        if elapsed < MEASURE_INTERVAL {
            return;
        }
        self.measured_at = Some(now);
        self.uplink.settle();
        for track in &mut self.tracks {
            if track.source.generation() != track.generation {
                continue;
            }
            measure(&mut track.inflows, &track.source, now, elapsed);
        }
    }

    /// What is wanted of which stream, where that has changed: each layer by its RID ("" without simulcast).
    pub(crate) fn wanted(
        &mut self,
        micros: u64,
    ) -> impl Iterator<Item = (StreamKind, Vec<(String, bool)>)> + '_ {
        let is_lossy = self.uplink.is_lossy();
        self.tracks.iter_mut().filter_map(move |track| {
            let wants = track.wants.as_mut()?;
            if !wants.look(&track.source, is_lossy, micros) {
                return None;
            }
            let names = track.streams.rids.iter().map(|rid| rid.clone().unwrap_or_default());
            Some((track.kind, names.zip(wants.told()).collect()))
        })
    }

    /// How loud the microphone was since this was last asked, from 0 (silence) to 100.
    pub(crate) fn take_level(&mut self) -> Option<(Arc<Source>, u8)> {
        let rights = self.rights;
        let track = self.tracks.iter_mut().find(|track| track.kind == StreamKind::Audio)?;
        let Some(quiet) = track.loudest.take() else {
            // It has stopped without a word: it was muted, or silence is not sent.
            return std::mem::take(&mut track.is_told_loud).then(|| (track.source.clone(), 0));
        };
        // -dBov: speech is between 15 and 50, and 70 and more is a quiet room.
        let level = 100 * u32::from(70_u8.saturating_sub(quiet)) / 55;
        track.is_told_loud = level > 0;
        rights.audio.then(|| (track.source.clone(), level.min(100) as u8))
    }

    /// What each of its streams was like since this was last asked, `elapsed` ago.
    pub(crate) fn samples(&mut self, peer: PeerId, elapsed: Duration) -> impl Iterator<Item = Sample> + '_ {
        let lost = self.uplink.loss().map(per_mille);
        self.tracks.iter_mut().filter_map(move |track| {
            let fresh = track.inflows.each_mut().map(|inflow| std::mem::take(&mut inflow.fresh));
            let top = fresh.iter().rposition(|layer| layer.bytes > 0)?;
            let all = Amount {
                bytes: fresh.iter().map(|layer| layer.bytes).sum(),
                pictures: fresh.iter().map(|layer| layer.pictures).max().unwrap_or(0),
            };
            let is_video = track.kind.is_video();
            Some(Sample {
                peer,
                kind: track.kind,
                from: None,
                bits: all.bits(elapsed),
                frames: is_video.then(|| all.frames(elapsed)),
                size: track.source.size(top).filter(|_| is_video),
                lost,
                round_trip: None,
            })
        })
    }

    /// The connection ends, and with it its publications.
    pub(crate) fn end(&self) {
        for track in &self.tracks {
            track.source.unpublish(track.generation);
        }
    }
}

/// 3GPP TS 26.114 7.4.5.
fn orientation_byte(orientation: VideoOrientation) -> u8 {
    match orientation {
        VideoOrientation::Deg0 => 0,
        VideoOrientation::Deg90 => 1,
        VideoOrientation::Deg180 => 2,
        VideoOrientation::Deg270 => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{RoomKey, SourceKey, Sources};

    fn with_microphone() -> Publisher {
        let sources = Sources::default();
        let source =
            sources.get(&SourceKey { room: RoomKey(1), user: "ann".into(), kind: StreamKind::Audio });
        let generation = sources.publish(&source, 0, 0, 0);
        let track = Track::new("0", StreamKind::Audio, source, generation, &[], None);
        Publisher { tracks: vec![track], rights: Rights::ALL, ..Publisher::default() }
    }

    #[test]
    fn who_stops_sending_in_the_middle_of_a_word_is_told_to_be_silent_once() {
        let mut publisher = with_microphone();
        publisher.tracks[0].loudest = Some(20);

        let told: Vec<_> = (0..3).map(|_| publisher.take_level().map(|(_, level)| level)).collect();

        assert_eq!(told, [Some(90), Some(0), None]);
    }

    #[test]
    fn a_way_that_loses_packets_is_told_by_those_that_come_late() {
        for (late_of, all, is_lossy) in [(20, 400, true), (1000, 400, false), (20, 40, false)] {
            let mut uplink = Uplink::default();
            (1..=all).for_each(|packet: u32| uplink.take(packet.is_multiple_of(late_of)));

            assert_eq!(uplink.is_lossy(), is_lossy, "one in {late_of} of {all}");
        }
    }

    fn camera() -> Arc<Source> {
        Sources::default().get(&SourceKey { room: RoomKey(1), user: "ann".into(), kind: StreamKind::Main })
    }

    fn came(layer: u8, starts_key: bool, timestamp: u32) -> Came {
        let bytes = if layer == 0 { 500 } else { 1500 };
        let late_by = Duration::ZERO;
        Came { layer, starts_key, bytes, timestamp, is_late: false, late_by, is_on_trial: false }
    }

    #[test]
    fn a_layer_that_is_tried_comes_once_it_has_lasted_and_is_in_time_and_one_that_is_not_at_once() {
        let mut inflows: [Inflow; MAX_LAYERS] = Default::default();
        let source = camera();
        let began = Instant::now();
        let mut comes = Vec::new();
        for ms in (0..4200_u32).step_by(70) {
            let now = began + Duration::from_millis(ms.into());
            // It stops after two seconds, and begins again two seconds later.
            if ms == 3500 {
                source.layers[1].has_begun.store(false, Ordering::Relaxed);
            }
            if !(2000..4000).contains(&ms) {
                let late_by = Duration::from_millis(if (1_500..4_000).contains(&ms) { 0 } else { 150 });
                let came = Came { is_on_trial: ms == 0, late_by, ..came(1, ms == 0 || ms == 4060, ms * 90) };
                note(&mut inflows, &source, &Picture::default(), came, now);
            }
            note(&mut inflows, &source, &Picture::default(), came(0, ms == 0, ms * 90), now);
            source.keep_bits(1, 100_000);
            source.set_alone(1, 1);
            if source.comes_instead(1, 0) != (comes.len() % 2 == 1) {
                comes.push(ms);
            }
        }

        assert_eq!(comes, [1540, 2170, 4060]);
    }

    #[test]
    fn a_layer_that_stops_while_a_smaller_one_goes_on_is_soon_known_to_be_gone() {
        let mut inflows: [Inflow; MAX_LAYERS] = Default::default();
        let source = camera();
        let began = Instant::now();
        let (mut gone_after, mut held_up) = (None, Vec::new());
        // Two layers of 15 pictures a second, of which the larger one stops after 2 s, and pauses for half a second before.
        for ms in (0..5000).step_by(10) {
            let now = began + Duration::from_millis(ms);
            let (is_picture, timestamp) = (ms % 70 == 0, ms as u32 * 90);
            if is_picture {
                note(&mut inflows, &source, &Picture::default(), came(0, ms == 0, timestamp), now);
            }
            if is_picture && ms < 2000 && !(500..1000).contains(&ms) {
                note(&mut inflows, &source, &Picture::default(), came(1, ms == 0, timestamp), now);
            }
            if source.layers[1].is_held_up.load(Ordering::Relaxed) != (held_up.len() % 2 == 1) {
                held_up.push(ms);
            }
            if ms > 0 && ms % 500 == 0 {
                inflows[0].measure(now, MEASURE_INTERVAL);
                if inflows[1].measure(now, MEASURE_INTERVAL) == 0 {
                    gone_after.get_or_insert(ms - 1960);
                }
            }
        }

        assert_eq!(gone_after, Some(1040));
        // Before that it is looked for elsewhere, until it comes again.
        assert_eq!(held_up, [700, 1050, 2170]);
    }

    #[test]
    fn what_a_layer_takes_is_known_from_the_first_whenever_it_begins() {
        // 30 pictures a second, for two seconds; after two and a half more it begins again. Times are in microseconds.
        const BYTES: usize = 1_000;
        const BETWEEN: u64 = 33_333;
        let truth = (BYTES + AROUND) as f64 * 8.0 * 1e6 / BETWEEN as f64;
        for phase in (0..500_000).step_by(20_000) {
            let mut inflows: [Inflow; MAX_LAYERS] = Default::default();
            let source = camera();
            let started = Instant::now();
            let at = |micros: u64| started + Duration::from_micros(micros);
            for began in [phase, phase + 4_500_000] {
                let mut pictures = (0..60).map(|picture| began + picture * BETWEEN).peekable();
                let ended = began + 59 * BETWEEN;
                for half in 1..=9 {
                    let measured = began - phase + half * 500_000;
                    while let Some(micros) = pictures.next_if(|micros| *micros < measured) {
                        let came = Came { bytes: BYTES, ..came(1, micros == began, micros as u32) };
                        note(&mut inflows, &source, &Picture::default(), came, at(micros));
                    }
                    measure(&mut inflows, &source, at(measured), MEASURE_INTERVAL);

                    let has_begun = source.layers[1].has_begun.load(Ordering::Relaxed);
                    let is_new = measured - began < 250_000;
                    let is_gone = measured.saturating_sub(ended) > 1_500_000;
                    let share = f64::from(source.bits(1)) / truth;
                    assert_eq!((share == 0.0, has_begun), (is_new || is_gone, is_new), "{phase} {half}");
                    if share > 0.0 && measured < ended {
                        assert!((0.95..1.15).contains(&share), "{phase} {half}: {share}");
                    }
                }
            }
        }
    }

    #[test]
    fn parameter_sets_and_the_picture_behind_them_are_one_keyframe() {
        let mut inflow = Inflow::default();
        let now = Instant::now();

        for timestamp in [0, 0, 90_000, 90_000] {
            inflow.note((1000, timestamp, false), true, 0, now);
        }
        inflow.note((1000, 180_000, false), true, 0, now);

        assert_eq!(
            (inflow.keys, inflow.pictures),
            (2, 1),
            "two are excused, the third is a picture like any"
        );
    }

    #[test]
    fn a_packet_that_comes_late_is_no_other_picture() {
        let mut inflow = Inflow::default();

        for (timestamp, is_late) in [(1, false), (1, false), (2, false), (1, true), (2, false)] {
            inflow.note((1000, timestamp, is_late), false, 0, Instant::now());
        }

        assert_eq!(inflow.fresh.pictures, 2);
    }

    #[test]
    fn sound_that_pauses_between_words_is_not_gone() {
        let mut inflow = Inflow::default();
        let began = Instant::now();
        // A second of speech, then a packet each 400 ms, as with discontinuous transmission (RFC 6716 2.1.9).
        let mut bits = Vec::new();
        for ms in (0..10_000).step_by(20) {
            let now = began + Duration::from_millis(ms);
            if ms < 1000 || ms % 400 == 0 {
                inflow.note((80, ms as u32 * 48, false), false, 0, now);
            }
            if ms % 500 == 480 {
                bits.push(inflow.measure(now, MEASURE_INTERVAL));
            }
        }

        assert!(bits.iter().all(|bits| *bits > 0), "{bits:?}");
    }
}
