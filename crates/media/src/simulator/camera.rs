//! A browser that publishes: sound 50 times a second, and 15 pictures a second in up to three layers, paced as browsers
//! do. A keyframe that is asked for comes in all layers, as Chrome makes them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use str0m::format::Codec;

use super::wire::UNDER;
use crate::payload::{CodecKey, Part, Picture};
use crate::publisher::{Came, Inflow, MEASURE_INTERVAL, measure, note};
use crate::source::{Packet, RoomKey, Source, SourceKey, Sources, StreamKind};

const FRAMES_A_SECOND: f64 = 15.0;

/// A keyframe is so many times as large as any other, if nothing else is said.
const KEYFRAME: f64 = 4.0;

/// A browser paces at 2.5 times its target.
const PACE: f64 = 2.5;

/// Header, extensions and tag of a packet as the viewer gets it.
const AROUND: usize = crate::outbox::AROUND - UNDER;

/// Sound on the wire with RED, in bytes a packet: 67 kbit/s.
const SOUND: usize = 167;

pub(super) fn opus(red: bool) -> CodecKey {
    super::codec(Codec::Opus, red)
}

pub(super) fn vp8() -> CodecKey {
    super::codec(Codec::Vp8, false)
}

pub(super) fn vp9() -> CodecKey {
    super::codec(Codec::Vp9, false)
}

/// How layers come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Each in a stream of its own.
    Simulcast,
    /// The same, with three shares of the frame rate in each.
    Shares,
    /// All in one stream, in which each needs those below it.
    Scalable,
}

/// Which share of the frame rate each picture belongs to, whether one can begin with it, and how large it is. The last needs the
/// one before.
const SHARES: [(u8, bool, f64); 4] = [(0, false, 1.6), (2, true, 0.6), (1, true, 1.2), (2, false, 0.6)];

struct Layer {
    bits: f64,
    seq: u64,
    /// What a keyframe took too much, in bytes, until smaller pictures have made up for it.
    debt: f64,
}

pub(super) struct Camera {
    pub(super) keyframe: f64,
    pub(super) sound: Arc<Source>,
    pub(super) video: Arc<Source>,
    sound_generation: u32,
    generation: u32,
    layers: Vec<Layer>,
    shape: Shape,
    /// What it says of its layers is by chance.
    pub(super) is_mad: bool,
    frames: u64,
    /// Since the last keyframe.
    phase: usize,
    sounds: u64,
    /// When the next keyframe may be made, and whether it is wanted.
    wanted: Option<f64>,
    asked_at: f64,
    /// Keyframes made, and how often one was asked for.
    pub(super) asked: usize,
    pub(super) asks: usize,
    /// What the pacer holds, and when it may send again.
    paced: VecDeque<Packet>,
    free_at: f64,
    inflows: [Inflow; 3],
    /// Sound comes with second copies.
    pub(super) is_doubled: bool,
    measured_at: Instant,
    payload: Arc<[u8]>,
    random: ChaCha8Rng,
}

impl Camera {
    pub(super) fn new(shape: Shape, layers: &[u32], began: Instant, seed: u64) -> Self {
        let sources = Sources::default();
        let of = |kind| sources.get(&SourceKey { room: RoomKey(1), user: "ann".into(), kind });
        let (sound, video) = (of(StreamKind::Audio), of(StreamKind::Main));
        let sound_generation = sources.publish(&sound, 0, 1, 0);
        let generation = sources.publish(&video, 0, layers.len(), 720);
        if shape == Shape::Scalable {
            video.set_sizes(layers.len(), &[(320, 180), (640, 360), (1280, 720)]);
        }
        for (layer, bits) in video.layers.iter().zip(layers) {
            layer.bits.store(*bits, Ordering::Relaxed);
        }
        sound.layers[0].bits.store((SOUND * 400) as u32, Ordering::Relaxed);
        Self {
            keyframe: KEYFRAME,
            sound,
            video,
            sound_generation,
            generation,
            layers: layers.iter().map(|bits| Layer { bits: f64::from(*bits), seq: 100, debt: 0.0 }).collect(),
            shape,
            is_mad: false,
            frames: 0,
            phase: 0,
            sounds: 0,
            wanted: None,
            asked_at: f64::NEG_INFINITY,
            asked: 0,
            asks: 0,
            paced: VecDeque::new(),
            free_at: 0.0,
            inflows: Default::default(),
            is_doubled: true,
            measured_at: began,
            payload: vec![0x5a; 1500].into(),
            random: ChaCha8Rng::seed_from_u64(seed ^ 0xca3e4a),
        }
    }

    /// A keyframe is asked for; the publisher's connection lets one through in 400 ms.
    pub(super) fn ask(&mut self, source: &Arc<Source>, _: u8, now: f64) {
        self.asks += 1;
        if source.id == self.video.id && self.wanted.is_none() {
            // On its way to the publisher.
            self.wanted = Some((now + 0.01).max(self.asked_at + 0.4));
        }
    }

    /// What comes to the server in this millisecond.
    pub(super) fn write(&mut self, now: f64, at: Instant) -> Vec<Packet> {
        let mut packets = Vec::new();
        if now * 50.0 >= self.sounds as f64 {
            self.sounds += 1;
            packets.push(self.sound(at));
        }
        if now * FRAMES_A_SECOND >= self.frames as f64 {
            self.frame(now, at);
        }
        let bits = self.layers.iter().map(|layer| layer.bits);
        let total: f64 = match self.shape {
            Shape::Scalable => bits.fold(0.0, f64::max),
            _ => bits.sum(),
        };
        while self.free_at <= now {
            let Some(mut packet) = self.paced.pop_front() else { break };
            let bits = (packet.payload.len() + AROUND + UNDER) as f64 * 8.0;
            self.free_at = self.free_at.max(now - 0.001) + bits / (PACE * total);
            packet.arrived = at;
            if self.is_mad {
                let mut chance = || self.random.random::<bool>();
                packet.picture.part = chance().then(|| Part {
                    spatial: u8::from(chance()) + u8::from(chance()),
                    temporal: u8::from(chance()) + u8::from(chance()),
                    is_key: chance(),
                    ends: chance(),
                    syncs: chance(),
                    lifts: chance(),
                });
            }
            let came = Came {
                layer: packet.layer,
                starts_key: packet.picture.starts_keyframe,
                bytes: packet.payload.len(),
                timestamp: packet.timestamp,
                is_late: false,
                late_by: Duration::ZERO,
                is_on_trial: false,
            };
            note(&mut self.inflows, &self.video, &packet.picture, came, at);
            packets.push(packet);
        }
        // As the publisher's connection does.
        let elapsed = at - self.measured_at;
        if elapsed >= MEASURE_INTERVAL {
            self.measured_at = at;
            measure(&mut self.inflows, &self.video, at, elapsed);
        }
        packets
    }

    fn sound(&self, at: Instant) -> Packet {
        // RED with one block before (RFC 2198): the block's header, the primary's, and two blocks of one size.
        let length = SOUND - UNDER - AROUND;
        let block = (length - 5) / 2;
        let mut payload = vec![0x5a; length];
        payload[..5].copy_from_slice(&[0x80 | 111, 0x0f, (block >> 8) as u8, block as u8, 111]);
        if !self.is_doubled {
            payload.truncate(block);
        }
        Packet {
            source: self.sound.id,
            generation: self.sound_generation,
            codec: opus(self.is_doubled),
            seq: 100 + self.sounds,
            timestamp: (self.sounds * 960) as u32,
            picture: Picture { starts_keyframe: true, ..Picture::default() },
            payload: payload.into(),
            arrived: at,
            ..Packet::blank()
        }
    }

    fn frame(&mut self, now: f64, at: Instant) {
        self.frames += 1;
        let is_key = self.frames == 1 || self.wanted.is_some_and(|wanted| wanted <= now);
        if is_key {
            self.wanted = None;
            self.asked_at = now;
            self.asked += 1;
        }
        self.phase = if is_key { 0 } else { self.phase + 1 };
        let (temporal, syncs, weight) = match self.shape {
            Shape::Simulcast => (0, false, 1.0),
            _ => SHARES[self.phase % SHARES.len()],
        };
        let (is_scalable, count) = (self.shape == Shape::Scalable, self.layers.len());
        for index in 0..count {
            let change = self.random.random_range(0.85..1.15) * weight;
            let below = if is_scalable && index > 0 { self.layers[index - 1].bits } else { 0.0 };
            let layer = &mut self.layers[index];
            let usual = (layer.bits - below) / 8.0 / FRAMES_A_SECOND;
            let mut bytes = usual * change;
            if is_key {
                layer.debt += usual * (self.keyframe - 1.0);
                bytes *= self.keyframe;
            } else {
                let back = layer.debt.min(bytes * 0.25);
                layer.debt -= back;
                bytes -= back;
            }
            let parts = (bytes / 1200.0).ceil().max(1.0) as usize;
            let size = (bytes as usize / parts).saturating_sub(UNDER + AROUND).max(20);
            let (stream, spatial) = if is_scalable { (0, index as u8) } else { (index, 0) };
            for part in 0..parts {
                self.layers[stream].seq += 1;
                let mut payload = self.payload[..size].to_vec();
                // What the player reads.
                let is_first = part == 0 && spatial == 0;
                payload[0] = index as u8;
                payload[1] = u8::from(is_key);
                payload[2] = u8::from(is_first);
                payload[3..5].copy_from_slice(&(self.frames as u16).to_be_bytes());
                let ends = part + 1 == parts;
                let lifts = is_scalable && temporal == 0;
                let place = Part { spatial, temporal, is_key: is_key && spatial == 0, ends, syncs, lifts };
                self.paced.push_back(Packet {
                    source: self.video.id,
                    generation: self.generation,
                    layer: stream as u8,
                    codec: if is_scalable { vp9() } else { vp8() },
                    seq: self.layers[stream].seq,
                    timestamp: (now * 90_000.0) as u32,
                    marker: ends && (!is_scalable || index + 1 == count),
                    picture: Picture {
                        starts_keyframe: is_key && is_first,
                        part: (self.shape != Shape::Simulcast).then_some(place),
                        ..Picture::default()
                    },
                    payload: payload.into(),
                    arrived: at,
                    ..Packet::blank()
                });
            }
        }
    }
}
