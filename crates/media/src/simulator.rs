//! Viewers on the links that people have, in simulated time: what they get is decided by the real [`Viewer`], its slots
//! and its estimator; the publisher, the link and the player around them are models, and everything that is random in
//! them comes from a seed.
//!
//! `camera.rs` is a browser that publishes sound and three layers, `link.rs` a link with a rate, a queue and faults,
//! `player.rs` a browser that watches, `ear.rs` how it hears. `scenarios.rs`, `scalable.rs`, `sound.rs` and `hostile.rs` hold the
//! viewer to what it is to do on them.

mod camera;
mod ear;
mod hostile;
mod link;
mod player;
mod scalable;
mod scenarios;
mod sound;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use str0m::crypto::dtls::SrtpProfile;

use self::camera::{Camera, Shape};
use self::link::Link;
use self::player::Player;
use self::wire::{
    FEC, OPUS, RED, RTX, SEND_TIME, SOUND, TRANSPORT_CC, UNDER, VIDEO, VIDEO_AGAIN, VIDEO_RED, VP8, VP9,
};
use crate::keys::Agreed;
use crate::outbox::{Outbox, Route};
use crate::payload::CodecKey;
use crate::rtcp::u32_at;
use crate::shield::Redundancy;
use crate::slot::{Extensions, Slot, Taken};
use crate::source::{History, MAX_LAYERS, Packet, Recent, Source};
use crate::srtp::{Keys, Open, Protect};
use crate::viewer::{Aim, Past, Viewer};

/// For so long the camera has been there when the viewer comes.
const AHEAD_MS: u64 = 2_000;

/// The server remembers what it has sent on, as its feeds do.
#[derive(Default)]
struct Kept {
    layers: [History; MAX_LAYERS],
    sound: History,
}

impl Past for Kept {
    fn find(&self, source: &Source, generation: u32, layer: u8, seq: u64) -> Option<Arc<Packet>> {
        if !source.key.kind.is_video() {
            return self.sound.get(generation, seq).cloned();
        }
        self.layers.get(usize::from(layer))?.get(generation, seq).cloned()
    }

    fn recent(&self, _: &Source, generation: u32, layer: u8) -> Option<Recent> {
        self.layers.get(usize::from(layer))?.recent(generation)
    }
}

/// What was seen in a tenth of a second.
#[derive(Debug, Clone, Copy, Default)]
struct Tenth {
    /// The layer that was being sent; `None` for no picture.
    layer: Option<u8>,
    /// The link had no room for one.
    is_held: bool,
    /// Others were taken to fill the link.
    is_shared: bool,
    /// The player has shown one of late.
    is_shown: bool,
    /// What was sent of everything, on the wire.
    bytes: usize,
    packets: usize,
    estimate: f64,
    /// Datagrams that the link threw away.
    dropped: usize,
    frames: usize,
    queue: f64,
}

/// A publisher, a server with one viewer, a link, and a player behind it.
struct World {
    began: Instant,
    /// Milliseconds since then.
    now: u64,
    viewer: Viewer,
    kept: Kept,
    camera: Camera,
    link: Link,
    player: Player,
    out: Outbox,
    tick_due: Instant,
    random: ChaCha8Rng,
    tenths: Vec<Tenth>,
    /// Bytes on the wire that were sent for the first time, and all.
    streamed: usize,
    sent: usize,
    /// Milliseconds in which something waited to leave.
    waited: usize,
    /// Reports on their way to the server: when they are there.
    reports: Vec<(f64, Vec<u8>)>,
    seal: Protect,
    delay: f64,
    /// Sound as it was sent first, by its number on the wire.
    sounds: BTreeMap<u16, (u64, Vec<u8>)>,
    /// Packets of sound that were sent again.
    again: usize,
}

fn keys(of_client: bool) -> Keys {
    let profile = SrtpProfile::AEAD_AES_128_GCM;
    let material: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
    Keys::split(&material, profile, of_client).unwrap()
}

impl World {
    /// A viewer of a camera with these layers, in bits a second, on a link.
    fn new(layers: &[u32], link: Link, seed: u64) -> Self {
        Self::of(Shape::Simulcast, layers, link, seed)
    }

    /// The same, of a camera whose layers come in that way.
    fn of(shape: Shape, layers: &[u32], link: Link, seed: u64) -> Self {
        let began = Instant::now();
        let mut camera = Camera::new(shape, layers, began, seed);
        for ms in 1..AHEAD_MS {
            camera.write(ms as f64 / 1000.0, began + Duration::from_millis(ms));
        }
        let began = began + Duration::from_millis(AHEAD_MS);
        let mut viewer = Viewer::new(0, *b"roomful1");
        let profile = SrtpProfile::AEAD_AES_128_GCM;
        let material: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
        viewer.set_keys(&Agreed { material, profile, we_are_client: false }, began).unwrap();
        let extensions = Extensions {
            transport_cc: Some(TRANSPORT_CC),
            abs_send_time: Some(SEND_TIME),
            ..Extensions::default()
        };
        let mut sound = Slot::new("0", false, SOUND, None);
        sound.takes.push(Taken { codec: camera::opus(false), payload_type: OPUS, rtx: None });
        sound.takes.push(Taken { codec: camera::opus(true), payload_type: RED, rtx: None });
        sound.set_source(Some(camera.sound.clone()));
        let mut video = Slot::new("1", true, VIDEO, Some(VIDEO_AGAIN));
        video.takes.push(Taken { codec: camera::vp8(), payload_type: VP8, rtx: Some(RTX) });
        video.takes.push(Taken { codec: camera::vp9(), payload_type: VP9, rtx: Some(RTX) });
        video.redundancy = Some(Redundancy { red: VIDEO_RED, fec: FEC });
        video.set_source(Some(camera.video.clone()));
        for mut slot in [sound, video] {
            slot.extensions = extensions;
            viewer.slots.push(slot);
        }
        let delay = link.delay;
        Self {
            began,
            now: 0,
            viewer,
            kept: Kept::default(),
            camera,
            link,
            player: Player::new(Open::new(&keys(false)).unwrap(), Protect::new(&keys(false)).unwrap()),
            out: Outbox::default(),
            tick_due: began,
            random: ChaCha8Rng::seed_from_u64(seed),
            tenths: Vec::new(),
            streamed: 0,
            sent: 0,
            waited: 0,
            reports: Vec::new(),
            seal: Protect::new(&keys(true)).unwrap(),
            delay,
            sounds: BTreeMap::new(),
            again: 0,
        }
    }

    /// The player asks for sound that it misses.
    fn with_sound_again(mut self) -> Self {
        self.viewer.slots[0].kept = Some(Box::default());
        self.player.asks_for_sound = true;
        self
    }

    /// The publisher sends its sound without second copies.
    fn with_plain_sound(mut self) -> Self {
        self.camera.is_doubled = false;
        self
    }

    /// The viewer takes no redundancy of pictures.
    fn without_redundancy(mut self) -> Self {
        self.viewer.slots.iter_mut().for_each(|slot| slot.redundancy = None);
        self
    }

    /// The viewer's packets carry no numbers to count by, so that only receiver reports tell.
    fn without_transport_cc(mut self) -> Self {
        self.viewer.slots.iter_mut().for_each(|slot| slot.extensions.transport_cc = None);
        self
    }

    /// The player tells of packets by their streams' numbers.
    fn with_stream_feedback(mut self) -> Self {
        self = self.without_transport_cc();
        self.viewer.slots.iter_mut().for_each(|slot| slot.carried = Some(Box::default()));
        self.player.streams = Some(BTreeMap::new());
        self
    }

    fn seconds(&self) -> f64 {
        self.now as f64 / 1000.0
    }

    /// What the camera's clock shows.
    fn seen(&self) -> f64 {
        (self.now + AHEAD_MS) as f64 / 1000.0
    }

    fn instant(&self) -> Instant {
        self.began + Duration::from_millis(self.now)
    }

    fn aim(&self) -> Aim {
        Aim::new(Route::udp(([127, 0, 0, 1], 4000)), self.instant(), self.now * 1000)
    }

    fn run(&mut self, seconds: f64) {
        let end = self.now + (seconds * 1000.0) as u64;
        while self.now < end {
            self.step();
        }
    }

    /// A millisecond.
    fn step(&mut self) {
        self.now += 1;
        let (now, aim) = (self.seconds(), self.aim());
        for packet in self.camera.write(self.seen(), aim.now) {
            let packet = Arc::new(packet);
            let is_video = packet.codec.is_video();
            match is_video {
                true => self.kept.layers[usize::from(packet.layer)].push(&packet),
                false => self.kept.sound.push_sound(&packet),
            }
            self.viewer.forward(usize::from(is_video), &packet, aim, &mut self.out);
        }
        self.waited += usize::from(self.viewer.is_holding());
        if self.now.is_multiple_of(5) {
            self.viewer.release(aim, &mut self.out);
        }
        while let Some(due) = self.reports.iter().position(|(at, _)| *at <= now) {
            let (_, report) = self.reports.remove(due);
            self.take_report(&report);
        }
        if self.tick_due <= aim.now {
            let (seen, camera) = (self.seen(), &mut self.camera);
            let mut ask = |source: &Arc<Source>, layer| camera.ask(source, layer, seen);
            self.tick_due = self.viewer.tick(aim, &self.kept, &mut ask, &mut self.out);
        }
        self.carry();
        for report in self.player.step(now) {
            self.report(report);
        }
        if self.now.is_multiple_of(100) {
            self.note();
        }
    }

    fn take_report(&mut self, report: &[u8]) {
        let (seen, aim) = (self.seen(), self.aim());
        let camera = &mut self.camera;
        let mut ask = |source: &Arc<Source>, layer| camera.ask(source, layer, seen);
        self.viewer.take_report(report, aim, &self.kept, &mut ask, &mut self.out);
        if self.viewer.is_probing(aim.micros) {
            self.tick_due = aim.now;
        }
    }

    /// A control packet sets out for the server.
    fn report(&mut self, mut plain: Vec<u8>) {
        self.seal.rtcp(&mut plain, 0).unwrap();
        self.reports.push((self.seconds() + self.delay, plain));
    }

    /// What is in the outbox goes onto the link, and what is through comes to the player.
    fn carry(&mut self) {
        let now = self.seconds();
        let out = std::mem::take(&mut self.out);
        for run in &out.runs {
            for datagram in out.buffer[run.start..run.start + run.length].chunks(run.segment) {
                self.tenth().bytes += datagram.len() + UNDER;
                self.tenth().packets += 1;
                self.sent += datagram.len() + UNDER;
                let is_media = !(192..224).contains(&datagram[1]);
                let is_again =
                    is_media && u32_at(datagram, 8) == Some(SOUND) && self.is_sound_again(datagram);
                if is_media && !is_again && u32_at(datagram, 8) != Some(VIDEO_AGAIN) {
                    self.streamed += datagram.len() + UNDER;
                }
                if !self.link.push(now, datagram, &mut self.random) {
                    self.tenth().dropped += 1;
                }
            }
        }
        self.out = out;
        self.out.clear();
        self.link.step(now, &mut self.random);
        while let Some((at, datagram)) = self.link.pop(now) {
            self.player.take(at, datagram);
        }
    }

    /// Whether a packet of sound was sent before; then it must be the same, byte for byte.
    fn is_sound_again(&mut self, datagram: &[u8]) -> bool {
        let number = u16::from_be_bytes([datagram[2], datagram[3]]);
        match self.sounds.get(&number) {
            Some((at, first)) if self.now - at < 60_000 => {
                assert_eq!(first, datagram, "an index of SRTP sealed two texts");
                assert!(self.now - at <= 150, "sent again after {} ms", self.now - at);
                self.again += 1;
                true
            }
            _ => {
                self.sounds.insert(number, (self.now, datagram.to_vec()));
                false
            }
        }
    }

    fn tenth(&mut self) -> &mut Tenth {
        let at = (self.now / 100) as usize;
        if self.tenths.len() <= at {
            self.tenths.resize(at + 1, Tenth::default());
        }
        &mut self.tenths[at]
    }

    fn note(&mut self) {
        let slot = &self.viewer.slots[1];
        let (layer, is_held) = (slot.current_layer(), slot.is_held);
        let is_shown = self.player.has_moved(self.seconds());
        let estimate = self.viewer.estimator.bits();
        let is_shared = self.viewer.estimator.is_beside_others();
        let frames = std::mem::take(&mut self.player.frames);
        let queue = self.link.queued(self.seconds());
        let at = (self.now / 100 - 1) as usize;
        self.tenth();
        let tenth = &mut self.tenths[at];
        (tenth.layer, tenth.is_held, tenth.is_shown) = (layer, is_held, is_shown);
        (tenth.estimate, tenth.frames, tenth.queue) = (estimate, frames, queue);
        tenth.is_shared = is_shared;
    }

    /// For how many seconds this layer or a higher one was sent.
    fn at_least(&self, layer: u8) -> f64 {
        self.tenths.iter().filter(|tenth| tenth.layer >= Some(layer)).count() as f64 / 10.0
    }

    /// For how many seconds a picture moved.
    fn shown(&self) -> f64 {
        self.tenths.iter().filter(|tenth| tenth.is_shown).count() as f64 / 10.0
    }

    /// What was sent a second from one second to another, in bits on the wire.
    fn rate(&self, from: usize, to: usize) -> f64 {
        let bytes: usize = self.tenths[10 * from..10 * to].iter().map(|tenth| tenth.bytes).sum();
        bytes as f64 * 8.0 / (to - from) as f64
    }

    /// The share of datagrams that the link threw away from a tenth of a second on.
    fn dropped(&self, from: usize) -> f64 {
        let sum = |of: fn(&Tenth) -> usize| self.tenths.iter().skip(from).map(of).sum::<usize>() as f64;
        sum(|tenth| tenth.dropped) / sum(|tenth| tenth.packets).max(1.0)
    }

    /// How often the layer changed.
    fn switches(&self) -> usize {
        self.tenths.windows(2).filter(|pair| pair[0].layer != pair[1].layer).count()
    }

    /// The run, second by second, for whoever looks into a failure.
    fn story(&self) -> String {
        let mut story = String::new();
        for (second, tenths) in self.tenths.chunks(10).enumerate() {
            let layers: String = tenths
                .iter()
                .map(|tenth| match (tenth.layer, tenth.is_shown) {
                    (None, _) if tenth.is_held => '=',
                    (None, _) => '-',
                    (Some(layer), true) => char::from(b"qhf"[usize::from(layer)]),
                    (Some(layer), false) => char::from(b"QHF"[usize::from(layer)]),
                })
                .collect();
            let sum = |of: fn(&Tenth) -> usize| tenths.iter().map(of).sum::<usize>();
            let queue = tenths.iter().map(|tenth| tenth.queue).fold(0.0, f64::max);
            let last = tenths.last().map_or(0.0, |tenth| tenth.estimate);
            story += &format!(
                "{second:3} {layers:10} sent {:5.0}k estimate {:5.0}k dropped {:4} frames {:2} queue {:3.0} ms\n",
                sum(|tenth| tenth.bytes) as f64 / 125.0,
                last / 1000.0,
                sum(|tenth| tenth.dropped),
                sum(|tenth| tenth.frames),
                queue * 1000.0
            );
        }
        story
    }
}

/// What a codec is, as both sides agree on it.
pub(crate) fn codec(codec: str0m::format::Codec, red: bool) -> CodecKey {
    CodecKey::of(codec, 0, red)
}
