//! A source: what one user sends into a room as one kind of stream, whoever and wherever its viewers are.
//!
//! A source outlives its publications: viewers stay with it while its publisher comes, goes and comes back.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use hashbrown::HashMap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::dependency;
use crate::payload::{CodecKey, Picture, TOP_LAYER};
use crate::speakers::{Place, Speakers};

/// Packets of a sound that are looked back to: 10 ms each at least.
pub(crate) const SOUNDS: usize = 16;

/// A room, as the server numbers it. A room destroyed and created again has another number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RoomKey(pub u64);

/// One connection of the forwarding unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PeerId(pub u64);

/// What a stream carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StreamKind {
    /// The microphone.
    #[default]
    Audio,
    /// The camera.
    Main,
    /// The screen.
    Sub,
}

impl StreamKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Audio, Self::Main, Self::Sub];

    /// Whether it is video.
    pub fn is_video(self) -> bool {
        self != Self::Audio
    }
}

/// The name of a source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SourceKey {
    /// The room.
    pub room: RoomKey,
    /// The user who sends.
    pub user: Arc<str>,
    /// What it sends.
    pub kind: StreamKind,
}

/// The most layers a stream has: by simulcast, or in one scalable stream.
pub(crate) const MAX_LAYERS: usize = 3;

/// The shares of a frame rate that are less than all of it.
pub(crate) const SHARES: usize = TOP_LAYER as usize;

/// For how long a keyframe that was asked for ahead is waited for by those who have come, and how often one is.
const EXPECTED_US: u64 = 500_000;
const EXPECTED_EACH_US: u64 = 2_000_000;

/// A layer, as viewers' connections look at it.
#[derive(Default)]
pub(crate) struct Layer {
    /// What it takes, in bits a second; 0 while nothing comes.
    pub(crate) bits: AtomicU32,
    /// Nothing of it has come for a moment, while smaller pictures have: its publisher may have no room for it.
    pub(crate) is_held_up: AtomicBool,
    /// It has just begun again, with a keyframe; what it takes is not known yet.
    pub(crate) has_begun: AtomicBool,
    /// What the lower shares of its frame rate take, each with those below it.
    pub(crate) shares: [AtomicU32; SHARES],
    /// What it took before its publisher was told that nobody wants it.
    kept: AtomicU32,
    /// When a viewer wanted it last, in microseconds since the start.
    sought_at: AtomicU64,
    /// Until when its publisher is taken to have room for it only without the smaller ones, or not at all.
    alone_until: AtomicU64,
    rests_until: AtomicU64,
    /// Of its picture, in pixels, and the most it takes, in bits a second; 0 when nobody said.
    height: AtomicU32,
    most_bits: AtomicU32,
    /// The height that its pictures have, in pixels, and their width and height, 16 bits each; 0 before the first.
    seen: AtomicU32,
    size: AtomicU32,
}

impl Layer {
    /// Nothing of it comes any more.
    fn end(&self) {
        self.bits.store(0, Ordering::Relaxed);
        self.is_held_up.store(false, Ordering::Relaxed);
        self.has_begun.store(false, Ordering::Relaxed);
    }
}

/// A source and what all workers share of it.
pub(crate) struct Source {
    pub(crate) id: u64,
    pub(crate) key: SourceKey,
    /// The worker that has the publisher.
    owner: AtomicUsize,
    /// The newest publication; packets of any other are dropped.
    generation: AtomicU32,
    /// A bit for each worker that has viewers.
    watchers: AtomicU64,
    /// When a keyframe was asked for because viewers are about to come, in microseconds since the start; 0 when none was.
    expected_at: AtomicU64,
    /// Lowest first.
    pub(crate) layers: [Layer; MAX_LAYERS],
    layer_count: AtomicU8,
    /// They come in one stream, in which each needs those below it; else each is a stream of its own.
    is_scalable: AtomicBool,
    /// Of the full picture, in pixels; 0 when nobody said.
    height: AtomicU32,
    /// Payloads can be read by members with the publisher's key only.
    is_encrypted: AtomicBool,
    /// Its publisher has no right to send it now.
    is_withheld: AtomicBool,
    coding: Mutex<Coding>,
    /// How often that has changed.
    codings: AtomicU32,
    /// Of sound: those of its room, and where it stands among them.
    pub(crate) speakers: Option<Arc<Speakers>>,
    pub(crate) place: Place,
}

/// In microseconds.
const SECOND: u64 = 1_000_000;

/// What is known of a source at the node where it is published, to be known at others too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    height: u32,
    is_scalable: bool,
    is_encrypted: bool,
    /// Releases before it was there do not say it.
    #[serde(default)]
    is_withheld: bool,
    agreed: Vec<(u8, u32, bool)>,
    pub(crate) layers: Vec<LayerState>,
}

/// The same of a layer. Spans are in microseconds from now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerState {
    bits: u32,
    /// Releases before these were there do not say them.
    #[serde(default)]
    is_held_up: bool,
    #[serde(default)]
    has_begun: bool,
    shares: [u32; SHARES],
    kept: u32,
    alone: u64,
    rests: u64,
    height: u32,
    most_bits: u32,
    seen: u32,
    size: u32,
    sent: Option<(u8, u32, bool)>,
}

/// By which codecs a publication comes, of those that its publisher may send: of each layer since the last offer.
#[derive(Default, PartialEq, Eq)]
struct Coding {
    agreed: SmallVec<[CodecKey; 8]>,
    sent: [Option<CodecKey>; MAX_LAYERS],
}

impl Coding {
    /// What comes; before anything does, what may.
    fn all(&self) -> impl Iterator<Item = CodecKey> {
        let is_known = self.sent.iter().any(Option::is_some);
        let agreed = self.agreed.iter().filter(move |_| !is_known).copied();
        self.sent.iter().flatten().copied().chain(agreed)
    }
}

const NOBODY: usize = usize::MAX;

impl Source {
    /// A publisher on `worker` begins publication `generation`.
    fn publish(&self, worker: usize, layers: usize, height: u32, generation: u32) {
        self.owner.store(worker, Ordering::Release);
        self.layer_count.store(u8::try_from(layers.clamp(1, MAX_LAYERS)).unwrap_or(1), Ordering::Relaxed);
        self.is_scalable.store(false, Ordering::Relaxed);
        self.set_withheld(false);
        self.height.store(height, Ordering::Relaxed);
        for layer in &self.layers {
            layer.end();
            layer.kept.store(0, Ordering::Relaxed);
            layer.alone_until.store(0, Ordering::Relaxed);
            layer.rests_until.store(0, Ordering::Relaxed);
            layer.height.store(0, Ordering::Relaxed);
            layer.most_bits.store(0, Ordering::Relaxed);
            layer.seen.store(0, Ordering::Relaxed);
            layer.size.store(0, Ordering::Relaxed);
        }
        self.agree([].into_iter());
        self.generation.store(generation, Ordering::Release);
    }

    /// Publication `generation` ends; nothing when another has begun.
    pub(crate) fn unpublish(&self, generation: u32) {
        if self.generation() == generation {
            self.owner.store(NOBODY, Ordering::Release);
            if let Some(speakers) = &self.speakers {
                speakers.leave(&self.place);
            }
            self.layers.iter().for_each(Layer::end);
            self.agree([].into_iter());
        }
    }

    /// Its publisher may send these from now on.
    pub(crate) fn agree(&self, codecs: impl Iterator<Item = CodecKey>) {
        *self.coding.lock() = Coding { agreed: codecs.collect(), ..Coding::default() };
        self.codings.fetch_add(1, Ordering::Release);
    }

    /// A layer comes by this codec.
    pub(crate) fn note_codec(&self, layer: usize, codec: CodecKey) {
        let mut coding = self.coding.lock();
        if let Some(sent) = coding.sent.get_mut(layer)
            && sent.replace(codec) != Some(codec)
        {
            self.codings.fetch_add(1, Ordering::Release);
        }
    }

    /// How often it has changed by which codecs it comes.
    pub(crate) fn codings(&self) -> u32 {
        self.codings.load(Ordering::Acquire)
    }

    /// Whether anything that comes, or may, is of a codec that is taken; also where nothing is known of that.
    pub(crate) fn is_taken(&self, is_taken: impl Fn(CodecKey) -> bool) -> bool {
        let coding = self.coding.lock();
        coding.all().next().is_none() || coding.all().any(is_taken)
    }

    /// The codecs by which it comes, as people call them.
    pub(crate) fn codec_names(&self) -> String {
        let mut names: Vec<&str> = self.coding.lock().all().map(CodecKey::name).collect();
        names.dedup();
        names.join(", ")
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// Its publisher says whether it encrypts from end to end.
    pub(crate) fn set_encrypted(&self, is_encrypted: bool) {
        self.is_encrypted.store(is_encrypted, Ordering::Relaxed);
    }

    pub(crate) fn set_withheld(&self, is_withheld: bool) {
        self.is_withheld.store(is_withheld, Ordering::Relaxed);
    }

    pub(crate) fn is_withheld(&self) -> bool {
        self.is_withheld.load(Ordering::Relaxed)
    }

    /// Whether packets of a publication may still go out: it is the newest, and has not ended.
    pub(crate) fn is_current(&self, generation: u32) -> bool {
        self.owner().is_some() && self.generation() == generation
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.is_encrypted.load(Ordering::Relaxed)
    }

    pub(crate) fn owner(&self) -> Option<usize> {
        let owner = self.owner.load(Ordering::Acquire);
        (owner != NOBODY).then_some(owner)
    }

    pub(crate) fn watch(&self, worker: usize, on: bool) {
        let bit = 1 << worker;
        match on {
            true => self.watchers.fetch_or(bit, Ordering::AcqRel),
            false => self.watchers.fetch_and(!bit, Ordering::AcqRel),
        };
    }

    /// A keyframe is asked for because viewers are about to come, unless that was a short while ago: who comes and goes all the time
    /// gets no more of them than who watches and asks.
    pub(crate) fn expect(&self, micros: u64) -> bool {
        let at = self.expected_at.load(Ordering::Relaxed);
        let is_due = at == 0 || micros.saturating_sub(at) >= EXPECTED_EACH_US;
        if is_due {
            self.expected_at.store(micros.max(1), Ordering::Relaxed);
        }
        is_due
    }

    /// Whether that was so short a while ago that it is on its way, or has just come.
    pub(crate) fn is_expected(&self, micros: u64) -> bool {
        let at = self.expected_at.load(Ordering::Relaxed);
        at != 0 && micros.saturating_sub(at) < EXPECTED_US
    }

    /// The workers that have viewers.
    pub(crate) fn watchers(&self) -> u64 {
        self.watchers.load(Ordering::Relaxed)
    }

    pub(crate) fn layer_count(&self) -> usize {
        usize::from(self.layer_count.load(Ordering::Relaxed)).clamp(1, MAX_LAYERS)
    }

    pub(crate) fn is_scalable(&self) -> bool {
        self.is_scalable.load(Ordering::Relaxed)
    }

    /// Its one stream has so many sizes, whose widths and heights may be known, the smallest first.
    pub(crate) fn set_sizes(&self, count: usize, pictures: &[(u16, u16)]) {
        let count = count.clamp(1, MAX_LAYERS);
        self.layer_count.store(count as u8, Ordering::Relaxed);
        self.is_scalable.store(count > 1, Ordering::Relaxed);
        for (layer, (width, height)) in self.layers.iter().zip(pictures) {
            layer.size.store(u32::from(*width) << 16 | u32::from(*height), Ordering::Relaxed);
            if count > 1 {
                layer.height.store(u32::from(*height), Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn bits(&self, layer: usize) -> u32 {
        self.layers.get(layer).map_or(0, |layer| layer.bits.load(Ordering::Relaxed))
    }

    /// Whether a layer comes, as far as is known by now.
    pub(crate) fn comes(&self, layer: usize) -> bool {
        let comes = |layer: &Layer| {
            layer.bits.load(Ordering::Relaxed) > 0 && !layer.is_held_up.load(Ordering::Relaxed)
        };
        self.layers.get(layer).is_some_and(comes)
    }

    /// Whether a layer comes instead of the smaller ones, of which nothing will; be it that what it takes is yet to be measured.
    pub(crate) fn comes_instead(&self, layer: usize, now: u64) -> bool {
        // First: it is cleared when the other is known.
        let has_begun = |layer: &Layer| {
            layer.has_begun.load(Ordering::Acquire)
                && layer.kept.load(Ordering::Relaxed) > 0
                && !layer.is_held_up.load(Ordering::Relaxed)
        };
        self.is_alone(layer, now) && (self.layers.get(layer).is_some_and(has_begun) || self.comes(layer))
    }

    /// What a layer takes, or would take if it were wanted.
    pub(crate) fn known_bits(&self, layer: usize) -> u32 {
        match self.bits(layer) {
            0 => self.layers.get(layer).map_or(0, |layer| layer.kept.load(Ordering::Relaxed)),
            bits => bits,
        }
    }

    /// The same; of a layer that is not known to come, what its publisher says that it takes at most.
    pub(crate) fn hoped_bits(&self, layer: usize) -> u32 {
        let said = |layer: &Layer| layer.most_bits.load(Ordering::Relaxed);
        match self.known_bits(layer) {
            0 => self.layers.get(layer).map_or(0, said),
            bits => bits,
        }
    }

    /// What a layer takes with the lower shares of its frame rate; all of it, where it has none.
    pub(crate) fn share_bits(&self, layer: usize, share: u8) -> u32 {
        let of =
            |layer: &Layer| layer.shares.get(usize::from(share)).map(|bits| bits.load(Ordering::Relaxed));
        match (self.bits(layer), self.layers.get(layer).and_then(of)) {
            (1.., Some(bits @ 1..)) => bits,
            _ => self.known_bits(layer),
        }
    }

    pub(crate) fn keep_bits(&self, layer: usize, bits: u32) {
        if let Some(layer) = self.layers.get(layer) {
            layer.kept.store(bits, Ordering::Relaxed);
        }
    }

    /// A viewer wants a layer at `micros`.
    pub(crate) fn seek(&self, layer: usize, micros: u64) {
        if let Some(layer) = self.layers.get(layer) {
            layer.sought_at.fetch_max(micros, Ordering::Relaxed);
        }
    }

    /// When a layer was wanted last, in microseconds since the start.
    pub(crate) fn sought_at(&self, layer: usize) -> u64 {
        self.layers.get(layer).map_or(0, |layer| layer.sought_at.load(Ordering::Relaxed))
    }

    /// Its publisher could not go on with a layer beside the smaller ones: until `micros`, it is sent without them or not at all.
    pub(crate) fn set_alone(&self, layer: usize, micros: u64) {
        if let Some(layer) = self.layers.get(layer) {
            layer.alone_until.store(micros, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_alone(&self, layer: usize, now: u64) -> bool {
        self.layers.get(layer).is_some_and(|layer| now < layer.alone_until.load(Ordering::Relaxed))
    }

    /// Its publisher cannot send a layer, and is not asked for it until `micros`.
    pub(crate) fn set_rest(&self, layer: usize, micros: u64) {
        if let Some(layer) = self.layers.get(layer) {
            layer.rests_until.store(micros, Ordering::Relaxed);
        }
    }

    pub(crate) fn rests(&self, layer: usize, now: u64) -> bool {
        self.layers.get(layer).is_some_and(|layer| now < layer.rests_until.load(Ordering::Relaxed))
    }

    /// The publisher says how tall a layer's picture is, and what it takes at most.
    pub(crate) fn describe(&self, layer: usize, height: u32, most_bits: u32) {
        if let Some(layer) = self.layers.get(layer) {
            layer.height.store(height, Ordering::Relaxed);
            layer.most_bits.store(most_bits, Ordering::Relaxed);
        }
    }

    /// A layer's pictures turn out to be so wide and tall.
    pub(crate) fn note_size(&self, layer: usize, (width, height): (u32, u32)) {
        if let Some(layer) = self.layers.get(layer) {
            layer.seen.store(height, Ordering::Relaxed);
            // Of several sizes in one stream this is the largest.
            if !self.is_scalable() {
                layer.size.store(width << 16 | height & 0xffff, Ordering::Relaxed);
            }
        }
    }

    /// Width and height of a layer's pictures, where the height is known; the width may be 0: not known.
    pub(crate) fn size(&self, layer: usize) -> Option<(u32, u32)> {
        let known = self.layers.get(layer)?.size.load(Ordering::Relaxed);
        let (width, height) =
            if known & 0xffff > 0 { (known >> 16, known & 0xffff) } else { (0, self.height(layer)) };
        (height > 0).then_some((width, height))
    }

    /// How many pixels a layer's pictures have: as they say themselves, else as those of that height usually have; 0 when nothing is
    /// known.
    pub(crate) fn pixels(&self, layer: usize) -> u32 {
        match self.size(layer) {
            Some((width @ 1.., height)) => width * height,
            _ => {
                let height = self.height(layer).min(16_384);
                height * (height * 16 / 9)
            }
        }
    }

    /// A layer is not wanted any more: what it took is remembered, with half of what it lacks to its most when it was growing; or
    /// what it would take at most when it never came, since publishers begin with the lower ones.
    pub(crate) fn remember(&self, layer: usize, is_growing: bool) {
        let most = self.layers.get(layer).map_or(0, |layer| layer.most_bits.load(Ordering::Relaxed));
        let kept = match self.bits(layer) {
            0 => most,
            bits if is_growing => bits.midpoint(most.max(bits)),
            bits => bits,
        };
        self.keep_bits(layer, kept);
    }

    /// The height of a layer's picture: as its publisher says, else as its pictures say, else each has half the height of the one above;
    /// 0 when nothing is known.
    pub(crate) fn height(&self, layer: usize) -> u32 {
        let of = |layer: &Layer| (layer.height.load(Ordering::Relaxed), layer.seen.load(Ordering::Relaxed));
        let (said, seen) = self.layers.get(layer).map_or((0, 0), of);
        let above = (self.layer_count() - 1).saturating_sub(layer);
        let halved = self.height.load(Ordering::Relaxed) >> above;
        [said, halved, seen].into_iter().find(|height| *height > 0).unwrap_or(0)
    }

    /// What another node's viewers have to know of it.
    pub(crate) fn state(&self, now: u64) -> State {
        let read = |value: &AtomicU32| value.load(Ordering::Relaxed);
        // In seconds, or there would be something new to tell all the time.
        let left = |until: &AtomicU64| {
            let left = until.load(Ordering::Relaxed).saturating_sub(now);
            left.div_ceil(SECOND).saturating_mul(SECOND)
        };
        let coding = self.coding.lock();
        let layers = self.layers.iter().zip(&coding.sent).take(self.layer_count());
        State {
            height: read(&self.height),
            is_scalable: self.is_scalable(),
            is_encrypted: self.is_encrypted(),
            is_withheld: self.is_withheld(),
            agreed: coding.agreed.iter().filter_map(|codec| codec.parts()).collect(),
            layers: layers
                .map(|(layer, sent)| LayerState {
                    has_begun: layer.has_begun.load(Ordering::Acquire),
                    bits: read(&layer.bits),
                    is_held_up: layer.is_held_up.load(Ordering::Relaxed),
                    shares: layer.shares.each_ref().map(read),
                    kept: read(&layer.kept),
                    alone: left(&layer.alone_until),
                    rests: left(&layer.rests_until),
                    height: read(&layer.height),
                    most_bits: read(&layer.most_bits),
                    seen: read(&layer.seen),
                    size: read(&layer.size),
                    sent: sent.and_then(CodecKey::parts),
                })
                .collect(),
        }
    }

    /// The same of one that is published at another node, as that tells it.
    pub(crate) fn set_state(&self, state: &State, now: u64) {
        let write = |value: &AtomicU32, said: u32| value.store(said, Ordering::Relaxed);
        let until = |value: &AtomicU64, left: u64| value.store(now.saturating_add(left), Ordering::Relaxed);
        let count = state.layers.len().clamp(1, MAX_LAYERS);
        self.layer_count.store(count as u8, Ordering::Relaxed);
        self.is_scalable.store(state.is_scalable, Ordering::Relaxed);
        self.set_encrypted(state.is_encrypted);
        self.set_withheld(state.is_withheld);
        write(&self.height, state.height);
        for (layer, said) in self.layers.iter().zip(&state.layers) {
            write(&layer.bits, said.bits);
            layer.is_held_up.store(said.is_held_up, Ordering::Relaxed);
            layer.has_begun.store(said.has_begun, Ordering::Relaxed);
            layer.shares.iter().zip(said.shares).for_each(|(share, bits)| write(share, bits));
            write(&layer.kept, said.kept);
            until(&layer.alone_until, said.alone);
            until(&layer.rests_until, said.rests);
            write(&layer.height, said.height);
            write(&layer.most_bits, said.most_bits);
            write(&layer.seen, said.seen);
            write(&layer.size, said.size);
        }
        let mut said = Coding {
            agreed: state.agreed.iter().copied().filter_map(CodecKey::of_parts).collect(),
            ..Coding::default()
        };
        for (sent, layer) in said.sent.iter_mut().zip(&state.layers) {
            *sent = layer.sent.and_then(CodecKey::of_parts);
        }
        let mut coding = self.coding.lock();
        if *coding != said {
            *coding = said;
            self.codings.fetch_add(1, Ordering::Release);
        }
    }

    /// The height that a viewer's wish is held against: where nothing is known, the best is taken for what cameras usually send.
    pub(crate) fn height_or_usual(&self, layer: usize) -> u32 {
        const USUAL: u32 = 720;
        let above = (self.layer_count() - 1).saturating_sub(layer);
        match self.height(layer) {
            0 if self.layer_count() > 1 => USUAL >> above,
            height => height,
        }
    }
}

/// All sources anybody sends or watches.
#[derive(Default)]
pub(crate) struct Sources {
    table: Mutex<Table>,
    /// Publications are numbered over all sources, so that a packet's number names one.
    generations: AtomicU32,
}

#[derive(Default)]
struct Table {
    by_key: HashMap<SourceKey, Arc<Source>, foldhash::fast::RandomState>,
    /// Those of rooms that have sources of sound.
    speakers: HashMap<RoomKey, Weak<Speakers>, foldhash::fast::RandomState>,
    last_id: u64,
    /// When the table has grown to this, sources that nobody has are swept out.
    sweep_at: usize,
}

impl Sources {
    /// The source of that name, if anybody sends or watches it.
    pub(crate) fn find(&self, key: &SourceKey) -> Option<Arc<Source>> {
        self.table.lock().by_key.get(key).cloned()
    }

    /// The source of that name, which need not have a publisher: one who watches it may be first.
    pub(crate) fn get(&self, key: &SourceKey) -> Arc<Source> {
        let mut table = self.table.lock();
        if let Some(source) = table.by_key.get(key) {
            return source.clone();
        }
        if table.by_key.len() >= table.sweep_at {
            table.by_key.retain(|_, source| Arc::strong_count(source) > 1);
            table.speakers.retain(|_, speakers| speakers.strong_count() > 0);
            table.sweep_at = (2 * table.by_key.len()).max(64);
        }
        table.last_id += 1;
        let speakers = (!key.kind.is_video()).then(|| {
            let known = table.speakers.get(&key.room).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let fresh = Arc::new(Speakers::default());
                table.speakers.insert(key.room, Arc::downgrade(&fresh));
                fresh
            })
        });
        let source = Arc::new(Source {
            id: table.last_id,
            key: key.clone(),
            owner: AtomicUsize::new(NOBODY),
            generation: AtomicU32::new(0),
            watchers: AtomicU64::new(0),
            expected_at: AtomicU64::new(0),
            layers: Default::default(),
            layer_count: AtomicU8::new(1),
            is_scalable: AtomicBool::new(false),
            height: AtomicU32::new(0),
            is_encrypted: AtomicBool::new(false),
            is_withheld: AtomicBool::new(false),
            coding: Mutex::default(),
            codings: AtomicU32::new(0),
            speakers,
            place: Place::default(),
        });
        table.by_key.insert(key.clone(), source.clone());
        source
    }

    /// All that there are.
    pub(crate) fn all(&self) -> Vec<Arc<Source>> {
        self.table.lock().by_key.values().cloned().collect()
    }

    /// A publisher on `worker` begins, with so many simulcast layers and a full picture of that height. Returns the
    /// number of the publication.
    pub(crate) fn publish(&self, source: &Source, worker: usize, layers: usize, height: u32) -> u32 {
        let generation = self.generations.fetch_add(1, Ordering::AcqRel).wrapping_add(1).max(1);
        source.publish(worker, layers, height, generation);
        generation
    }

    /// A publication goes on with other streams. Returns its new number.
    pub(crate) fn renew(&self, source: &Source) -> u32 {
        let generation = self.generations.fetch_add(1, Ordering::AcqRel).wrapping_add(1).max(1);
        source.generation.store(generation, Ordering::Release);
        generation
    }
}

/// The publisher's clock as its sender reports tell it: this RTP time is that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SenderClock {
    /// Unix time of the publisher, in microseconds.
    pub(crate) micros: i64,
    pub(crate) rtp: u32,
}

impl SenderClock {
    /// The moment of another RTP time of a clock of that rate, in microseconds.
    pub(crate) fn at(self, timestamp: u32, rate: u32) -> i64 {
        let ticks = i64::from(timestamp.wrapping_sub(self.rtp) as i32);
        self.micros + ticks * 1_000_000 / i64::from(rate)
    }
}

/// A packet of a source, in clear.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) source: u64,
    pub(crate) generation: u32,
    pub(crate) layer: u8,
    pub(crate) codec: CodecKey,
    /// The publisher's sequence number, with its roll-overs.
    pub(crate) seq: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) picture: Picture,
    /// The byte of RFC 6464: voice activity, and the level in -dBov.
    pub(crate) audio_level: Option<u8>,
    /// The byte of 3GPP TS 26.114: which way up a picture is.
    pub(crate) orientation: Option<u8>,
    /// The dependency descriptor.
    pub(crate) dependency: Option<Arc<[u8]>>,
    pub(crate) clock: Option<SenderClock>,
    pub(crate) payload: Arc<[u8]>,
    pub(crate) arrived: Instant,
}

impl Packet {
    /// One with nothing in it, to be filled in.
    #[cfg(test)]
    pub(crate) fn blank() -> Self {
        Self {
            source: 1,
            generation: 1,
            layer: 0,
            codec: CodecKey::plain_vp8(),
            seq: 1,
            timestamp: 0,
            marker: false,
            picture: Picture::default(),
            audio_level: None,
            orientation: None,
            dependency: None,
            clock: None,
            payload: Vec::new().into(),
            arrived: Instant::now(),
        }
    }

    /// Its frame's number, where a dependency descriptor says so.
    pub(crate) fn frame(&self) -> Option<u16> {
        self.dependency.as_deref().and_then(dependency::number)
    }
}

/// The last packets of a layer, for those who missed one, and for those who come: the newest keyframe and what follows.
#[derive(Default)]
pub(crate) struct History {
    ring: Vec<Option<Arc<Packet>>>,
    recent: Option<Recent>,
}

/// Packets kept of a layer: two seconds of 4 Mbit/s.
const KEPT: usize = 1024;

/// The newest keyframe of a layer and what follows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recent {
    pub(crate) generation: u32,
    pub(crate) first: u64,
    pub(crate) newest: u64,
    pub(crate) bytes: usize,
    /// Of the keyframe, whose parameter sets come in packets before its picture.
    timestamp: u32,
    /// When the keyframe came.
    pub(crate) began: Instant,
}

impl History {
    fn keep(&mut self, packet: &Arc<Packet>, most: usize) {
        if self.ring.is_empty() {
            self.ring.resize(most, None);
        }
        let place = packet.seq as usize % self.ring.len().max(1);
        if let Some(slot) = self.ring.get_mut(place) {
            *slot = Some(packet.clone());
        }
    }

    /// A packet of a sound, of which the last moments are kept.
    pub(crate) fn push_sound(&mut self, packet: &Arc<Packet>) {
        self.keep(packet, SOUNDS);
    }

    pub(crate) fn push(&mut self, packet: &Arc<Packet>) {
        self.keep(packet, KEPT);
        let Packet { generation, seq, timestamp, .. } = **packet;
        let bytes = packet.payload.len();
        match &mut self.recent {
            Some(recent)
                if recent.generation == generation
                    && (!packet.picture.starts_keyframe
                        || timestamp == recent.timestamp
                        || seq <= recent.first) =>
            {
                if seq > recent.first {
                    recent.newest = recent.newest.max(seq);
                    recent.bytes += bytes;
                }
            }
            recent if packet.picture.starts_keyframe => {
                let began = packet.arrived;
                *recent = Some(Recent { generation, first: seq, newest: seq, bytes, timestamp, began });
            }
            // Of a publication that has yet to begin with a keyframe.
            recent => *recent = None,
        }
    }

    /// Earlier packets have come behind later ones, which follow them now.
    pub(crate) fn catch_up(&mut self) {
        let next = |own: &Self| {
            let recent = own.recent?;
            own.get(recent.generation, recent.newest + 1).cloned()
        };
        while let Some(packet) = next(self) {
            self.push(&packet);
        }
    }

    pub(crate) fn get(&self, generation: u32, seq: u64) -> Option<&Arc<Packet>> {
        let packet = self.ring.get(seq as usize % self.ring.len().max(1))?.as_ref()?;
        (packet.seq == seq && packet.generation == generation).then_some(packet)
    }

    /// The newest keyframe of a publication and what follows, while all of it can be there.
    pub(crate) fn recent(&self, generation: u32) -> Option<Recent> {
        self.recent
            .filter(|recent| recent.generation == generation && recent.newest - recent.first < KEPT as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As encoders of H.264 send it: parameter sets in a packet, and the picture in those behind it, each of which begins a keyframe.
    #[test]
    fn what_is_kept_of_a_keyframe_begins_with_its_parameter_sets() {
        let mut history = History::default();
        for (seq, timestamp, starts_keyframe) in
            [(7, 3000, false), (8, 6000, true), (9, 6000, true), (10, 6000, false), (11, 9000, false)]
        {
            let picture = Picture { starts_keyframe, ..Picture::default() };
            history.push(&Arc::new(Packet { seq, timestamp, picture, ..Packet::blank() }));
        }

        let recent = history.recent(1).map(|recent| (recent.first, recent.newest));
        assert_eq!(recent, Some((8, 11)));
        let picture = Picture { starts_keyframe: true, ..Picture::default() };
        history.push(&Arc::new(Packet { seq: 12, timestamp: 12_000, picture, ..Packet::blank() }));
        assert_eq!(history.recent(1).map(|recent| recent.first), Some(12));
    }

    #[test]
    fn a_size_is_of_one_thing() {
        let source = Sources::default().get(&SourceKey {
            room: RoomKey(1),
            user: "ann".into(),
            kind: StreamKind::Main,
        });
        source.set_sizes(1, &[]);
        source.describe(0, 720, 0);
        assert_eq!((source.size(0), source.pixels(0)), (Some((0, 720)), 720 * 1280));

        source.set_sizes(1, &[(640, 360)]);
        assert_eq!((source.size(0), source.pixels(0)), (Some((640, 360)), 640 * 360));
        source.note_size(0, (320, 180));
        assert_eq!((source.size(0), source.pixels(0)), (Some((320, 180)), 320 * 180));
    }
}
