//! Two nodes and a trunk between them, whose datagrams get lost and whose time is advanced by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::net::Ipv4Addr;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::payload::{CodecKey, Picture};
use crate::shared::Inlets;
use crate::source::{RoomKey, SourceKey, StreamKind};
use crate::trunks::Trunks;

struct Node {
    shared: Arc<Shared>,
    end: End,
    inlets: Vec<Inlets>,
    out: Outbox,
}

impl Node {
    fn new(workers: usize, now: Instant) -> Self {
        let (mut shared, inlets) = Shared::new(workers, Vec::new(), Vec::new()).unwrap();
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        shared.trunks = Some(Trunks::new(socket, Ipv4Addr::LOCALHOST.into()).unwrap().0);
        let shared = Arc::new(shared);
        let material = std::array::from_fn(|at| (at * workers) as u8);
        let end = End::new(workers, shared.clone(), &material, now).unwrap();
        Self { shared, end, inlets, out: Outbox::default() }
    }

    fn source(&self, kind: StreamKind) -> Arc<Source> {
        self.shared.sources.get(&SourceKey { room: RoomKey(7), user: "ann".into(), kind })
    }

    /// What came for a worker's viewers.
    fn came(&mut self, worker: usize) -> Vec<Arc<Packet>> {
        std::iter::from_fn(|| self.inlets[worker].packets.try_recv().ok()).collect()
    }

    /// A viewer of a worker begins to watch, or ends.
    fn watch(&mut self, source: &Arc<Source>, worker: usize, on: bool) {
        source.watch(worker, on);
        self.end.note_watched(source);
    }
}

/// Ann publishes at `one`; who watches is at `other`.
struct World {
    now: Instant,
    one: Node,
    other: Node,
    random: ChaCha8Rng,
    loss: f64,
    /// How many datagrams were on their way.
    datagrams: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let (one, other) = (Node::new(2, now), Node::new(3, now));
        let mut world =
            Self { now, one, other, random: ChaCha8Rng::seed_from_u64(seed), loss: 0.0, datagrams: 0 };
        world.carry();
        world
    }

    /// Carries what is on its way, both ways, until nothing is.
    fn carry(&mut self) {
        loop {
            let (mut is_quiet, now) = (true, self.now);
            for is_back in [false, true] {
                let (from, to) = match is_back {
                    false => (&mut self.one, &mut self.other),
                    true => (&mut self.other, &mut self.one),
                };
                while let Some(word) = from.end.next_word() {
                    is_quiet = false;
                    to.end.hear(&word, now, &mut to.out).unwrap();
                }
                for run in std::mem::take(&mut from.out.runs) {
                    for datagram in from.out.buffer[run.start..run.start + run.length].chunks(run.segment) {
                        is_quiet = false;
                        self.datagrams += 1;
                        if !self.random.random_bool(self.loss) {
                            to.end.take_datagram(datagram, now);
                        }
                    }
                }
                from.out.clear();
            }
            if is_quiet {
                return;
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += Duration::from_millis(1);
            self.one.end.handle_timeout(self.now);
            self.other.end.handle_timeout(self.now);
            self.carry();
        }
    }

    /// Ann publishes a picture that is watched there, and has sent one packet of it; returns her source, the number of the publication,
    /// and the source there.
    fn watched(seed: u64) -> (Self, Arc<Source>, u32, Arc<Source>) {
        let mut world = Self::new(seed);
        let (ann, generation) = world.publish(StreamKind::Main, 1);
        let there = world.other.source(StreamKind::Main);
        world.other.watch(&there, 0, true);
        world.carry();
        world.send(&ann, generation, 0, 1);
        (world, ann, generation, there)
    }

    /// Ann publishes with so many layers; returns the source and the number of the publication.
    fn publish(&mut self, kind: StreamKind, layers: usize) -> (Arc<Source>, u32) {
        let source = self.one.source(kind);
        let generation = self.one.shared.sources.publish(&source, 1, layers, 720);
        (source, generation)
    }

    /// A packet of hers as her worker hands it on.
    fn send(&mut self, source: &Source, generation: u32, layer: u8, seq: u64) {
        if source.watchers() >> 2 & 1 == 1 {
            let picture = Picture { starts_keyframe: seq == 1, ..Picture::default() };
            let packet = Packet {
                source: source.id,
                generation,
                layer,
                seq,
                timestamp: seq as u32 * 3000,
                picture,
                payload: vec![seq as u8; 1000].into(),
                ..Packet::blank()
            };
            self.one.end.take_packet(&Arc::new(packet), self.now, &mut self.one.out);
        }
        self.carry();
    }
}

fn numbers(packets: &[Arc<Packet>]) -> Vec<u64> {
    packets.iter().map(|packet| packet.seq).collect()
}

#[test]
fn what_is_watched_goes_over_once_and_to_each_worker_that_has_viewers() {
    let mut world = World::new(1);
    let (ann, generation) = world.publish(StreamKind::Main, 1);
    let there = world.other.source(StreamKind::Main);
    world.send(&ann, generation, 0, 1);
    assert_eq!(world.datagrams, 0, "nobody watches");

    world.other.watch(&there, 0, true);
    world.other.watch(&there, 2, true);
    world.carry();
    assert_eq!(there.owner(), Some(3), "it comes by the trunk, which counts after three workers");
    (2..=4).for_each(|seq| world.send(&ann, generation, 0, seq));

    assert_eq!(world.datagrams, 3);
    for (worker, expected) in [(0, vec![2, 3, 4]), (1, vec![]), (2, vec![2, 3, 4])] {
        let came = world.other.came(worker);
        assert_eq!(numbers(&came), expected, "worker {worker}");
        assert!(
            came.iter().all(|packet| packet.source == there.id && packet.generation == there.generation())
        );
        assert!(came.iter().all(|packet| *packet.payload == [packet.seq as u8; 1000]));
    }
    world.other.watch(&there, 0, false);
    world.other.watch(&there, 2, false);
    world.carry();
    world.send(&ann, generation, 0, 5);
    assert_eq!(world.datagrams, 3, "nobody watches any more");
}

#[test]
fn who_watches_before_anything_is_published_gets_it_when_it_is() {
    let mut world = World::new(2);
    let there = world.other.source(StreamKind::Main);
    world.other.watch(&there, 0, true);
    world.carry();

    let (ann, generation) = world.publish(StreamKind::Main, 3);
    world.send(&ann, generation, 2, 1);

    assert_eq!(numbers(&world.other.came(0)), [1]);
    assert_eq!((there.layer_count(), there.height(2), there.height(1)), (3, 720, 360));
}

#[test]
fn packets_that_get_lost_come_again_and_each_comes_once() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let (ann, generation) = world.publish(StreamKind::Main, 1);
        let there = world.other.source(StreamKind::Main);
        world.other.watch(&there, 0, true);
        world.carry();
        world.loss = 0.1;
        for seq in 1..=2000 {
            world.send(&ann, generation, 0, seq);
            world.pass(Duration::from_millis(1));
        }
        world.loss = 0.0;
        world.send(&ann, generation, 0, 2001);
        world.pass(Duration::from_millis(200));

        let mut came = numbers(&world.other.came(0));
        let all = came.len();
        came.sort_unstable();
        came.dedup();
        assert_eq!(came.len(), all, "seed {seed}: one came twice");
        // One of 10,000 is lost four times and once more.
        assert!(came.len() >= 1999, "seed {seed}: {} came", came.len());
    }
}

#[test]
fn what_viewers_need_gets_to_the_publisher() {
    let mut world = World::new(3);
    let (ann, generation) = world.publish(StreamKind::Main, 3);
    let there = world.other.source(StreamKind::Main);
    world.other.watch(&there, 1, true);
    world.carry();
    world.send(&ann, generation, 0, 1);

    world.other.end.ask_keyframe(there.id, 2);
    world.carry();
    let asked = world.one.inlets[1].commands.try_recv().ok();
    assert!(matches!(asked, Some(Command::AskKeyframe { source, layer: 2 }) if source == ann.id));

    world.pass(Duration::from_secs(5));
    let now = world.other.shared.micros(world.now);
    there.seek(1, now);
    world.pass(Duration::from_millis(200));
    let sought = world.one.shared.micros(world.now).saturating_sub(ann.sought_at(1));
    assert!((100_000..=300_000).contains(&sought), "{sought}");
    assert_eq!(ann.sought_at(0), 0);
}

#[test]
fn what_is_known_of_a_source_is_known_there_too() {
    let mut world = World::new(4);
    let (ann, _) = world.publish(StreamKind::Main, 3);
    let there = world.other.source(StreamKind::Main);
    world.other.watch(&there, 0, true);
    world.carry();

    ann.describe(1, 360, 500_000);
    ann.set_encrypted(true);
    ann.note_codec(1, CodecKey::plain_vp8());
    ann.layers[1].bits.store(333_000, Ordering::Relaxed);
    let before = there.codings();
    world.pass(Duration::from_millis(200));

    assert_eq!((there.height(1), there.bits(1), there.is_encrypted()), (360, 333_000, true));
    assert!(there.is_taken(|codec| codec == CodecKey::plain_vp8()));
    assert_ne!(there.codings(), before);
    let once = there.codings();
    ann.layers[1].bits.store(334_000, Ordering::Relaxed);
    world.pass(Duration::from_millis(200));
    assert_eq!(there.codings(), once, "its codecs have not changed");
}

#[test]
fn a_publication_that_ends_or_begins_anew_does_so_there() {
    let (mut world, ann, first, there) = World::watched(5);
    let before = there.generation();

    let second = world.one.shared.sources.renew(&ann);
    world.send(&ann, second, 0, 1);
    world.send(&ann, first, 0, 2);
    let came = world.other.came(0);
    assert_eq!(numbers(&came), [1, 1], "what is of a former publication is nobody's");
    assert_ne!(there.generation(), before);
    assert_eq!(came[1].generation, there.generation());

    ann.unpublish(second);
    world.pass(Duration::from_millis(200));
    assert_eq!(there.owner(), None);
}

#[test]
fn what_may_not_be_sent_any_more_is_nobodys_there() {
    let (mut world, ann, _, there) = World::watched(5);
    let before = there.generation();
    assert!(there.is_current(before) && !there.is_withheld());

    ann.set_withheld(true);
    let second = world.one.shared.sources.renew(&ann);
    world.one.end.tell(ann.id, world.now);
    world.carry();
    assert!(there.is_withheld() && !there.is_current(before), "what waits there is let go of");

    ann.set_withheld(false);
    world.one.end.tell(ann.id, world.now);
    world.send(&ann, second, 0, 2);
    assert!(!there.is_withheld());
    assert_eq!(numbers(&world.other.came(0)), [1, 2]);
}

#[test]
fn a_member_who_publishes_where_it_is_watched_is_not_disturbed_by_its_former_place() {
    let (mut world, ann, first, there) = World::watched(6);
    world.other.came(0);

    let here = world.other.shared.sources.publish(&there, 2, 1, 720);
    world.send(&ann, first, 0, 2);
    ann.describe(0, 90, 0);
    world.pass(Duration::from_millis(200));
    ann.unpublish(first);
    world.pass(Duration::from_millis(200));

    assert!(world.other.came(0).is_empty());
    assert_eq!((there.owner(), there.generation(), there.height(0)), (Some(2), here, 720));
}

#[test]
fn when_a_trunk_ends_nothing_comes_by_it_and_nobody_watches_by_it() {
    let (World { one, other, .. }, ann, _, there) = World::watched(7);

    drop((one.end, other.end));

    assert_eq!((ann.watchers(), there.owner()), (0, None));
    assert_eq!((ann.owner(), there.watchers()), (Some(1), 1), "what is the node's own stays");
}

#[test]
fn what_nobody_sealed_is_not_taken() {
    let mut world = World::new(8);
    let (ann, generation) = world.publish(StreamKind::Main, 1);
    let there = world.other.source(StreamKind::Main);
    world.other.watch(&there, 0, true);
    world.carry();
    let packet = Packet { source: ann.id, generation, ..Packet::blank() };
    world.one.end.take_packet(&Arc::new(packet), world.now, &mut world.one.out);
    let sealed = world.one.out.buffer.clone();

    for at in 0..sealed.len() {
        let mut forged = sealed.clone();
        forged[at] ^= 0x40;
        world.other.end.take_datagram(&forged, world.now);
    }
    assert!(world.other.came(0).is_empty(), "one byte was another");
    for _ in 0..3 {
        world.other.end.take_datagram(&sealed, world.now);
    }
    assert_eq!(world.other.came(0).len(), 1, "it came again");
    for word in ["{}", "[1]", r#"{"word":"hello","at":"127.0.0.1:1","trunk":1,"key":[1,2]}"#] {
        assert_eq!(world.other.end.hear(word, world.now, &mut Outbox::default()), None);
    }
    let source = r#""source":{"room":1,"user":"ann","kind":9}"#;
    let state = serde_json::to_string(&State::default()).unwrap();
    for of_a_later_version in [
        r#"{"word":"sing","song":"a"}"#,
        &format!(r#"{{"word":"watch",{source},"on":true,"why":"?"}}"#),
        &format!(r#"{{"word":"stream","ssrc":512,{source},"state":{state}}}"#),
    ] {
        let heard = world.other.end.hear(of_a_later_version, world.now, &mut Outbox::default());
        assert_eq!(heard, Some(()), "{of_a_later_version}");
    }
}

#[test]
fn what_nobody_watches_any_more_is_forgotten_there() {
    let mut world = World::new(9);
    let there = world.other.source(StreamKind::Main);
    let (ann, generation) = world.publish(StreamKind::Main, 1);
    world.other.watch(&there, 0, true);
    world.carry();
    world.send(&ann, generation, 0, 1);
    // It is told of the source once more, which crosses that nobody watches.
    ann.describe(0, 90, 0);
    world.now += TICK;
    let (now, one) = (world.now, &mut world.one);
    one.end.handle_timeout(now);
    world.other.watch(&there, 0, false);
    world.carry();

    assert_eq!((there.owner(), world.other.end.incoming.len(), world.other.end.coming.len()), (None, 0, 0));
    ann.unpublish(generation);
    world.pass(Duration::from_millis(200));
    world.other.watch(&there, 0, true);
    world.carry();
    assert_eq!(there.owner(), None, "it is published no more");
}
