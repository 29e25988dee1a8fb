//! A shard and real WebRTC stacks around it, in a simulated network: time is advanced by hand, datagrams are carried, and
//! lost, as the test says. What viewers get must look like one stream whatever happens behind it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod expecting;
mod offers;
mod sound;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, Simulcast, SimulcastLayer};
use str0m::rtp::RtpWrite;

use super::*;
use crate::command::{Answer, Published, Watched};
use crate::showing::{Pause, Showing};
use crate::slot::Wanted;
use crate::source::{RoomKey, SourceKey, StreamKind};

/// Counts what a thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

// SAFETY: everything is the system allocator's; counting touches no memory of its own.
#[allow(unsafe_code)]
unsafe impl std::alloc::GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the promises that the system allocator asks for.
        unsafe { std::alloc::System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: std::alloc::Layout) {
        // SAFETY: as above; `place` came from the system allocator.
        unsafe { std::alloc::System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const STEP: Duration = Duration::from_millis(5);
const SERVER: ([u8; 4], u16) = ([127, 0, 0, 1], 9000);

/// A packet as a viewer got it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Got {
    seq: u64,
    timestamp: u32,
    picture: u16,
    /// Which publisher and layer wrote it.
    tag: u8,
    number: u32,
}

struct Client {
    rtc: Rtc,
    address: std::net::SocketAddr,
    mid: Option<Mid>,
    got: Vec<Got>,
    is_connected: bool,
    /// Of what is sent to it, this share is lost.
    loss: f64,
    /// Packets and pictures written so far, by layer.
    written: [u64; 2],
    /// Keyframes that were asked of it.
    keyframes_asked: usize,
}

struct World {
    now: Instant,
    shard: Shard,
    clients: Vec<Client>,
    random: ChaCha8Rng,
    /// What forwarding has allocated so far.
    allocations: usize,
    /// Each datagram of a handshake comes from elsewhere first, and then twice.
    has_echo: bool,
}

impl World {
    fn new() -> Self {
        let (shared, inlets) = Shared::new(1, vec![SERVER.into()], Vec::new()).unwrap();
        // The queues are not read here; they stay open.
        std::mem::forget(inlets);
        Self::at(0, Arc::new(shared), Instant::now())
    }

    /// The worker of that number.
    fn at(index: usize, shared: Arc<Shared>, now: Instant) -> Self {
        Self {
            now,
            shard: Shard::new(index, shared),
            clients: Vec::new(),
            random: ChaCha8Rng::seed_from_u64(3),
            allocations: 0,
            has_echo: false,
        }
    }

    fn client(&mut self) -> usize {
        self.client_with(|codecs| codecs.enable_vp8(true))
    }

    fn client_with(&mut self, codecs: impl FnOnce(str0m::RtcConfig) -> str0m::RtcConfig) -> usize {
        let port = 10_000 + self.clients.len() as u16;
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let mut rtc = codecs(Rtc::builder().set_rtp_mode(true).clear_codecs()).build(self.now);
        rtc.add_local_candidate(Candidate::host(address, Protocol::Udp).unwrap());
        self.clients.push(Client {
            rtc,
            address,
            mid: None,
            got: Vec::new(),
            is_connected: false,
            loss: 0.0,
            written: [0; 2],
            keyframes_asked: 0,
        });
        self.clients.len() - 1
    }

    fn offer(&mut self, at: usize, direction: Direction, layers: &[&str]) -> (String, SdpPendingOffer) {
        let client = &mut self.clients[at];
        let mut api = client.rtc.sdp_api();
        let simulcast = (!layers.is_empty()).then(|| Simulcast {
            send: layers.iter().map(|rid| SimulcastLayer::new(rid)).collect(),
            recv: vec![],
        });
        client.mid = Some(api.add_media(MediaKind::Video, direction, None, None, simulcast));
        let (offer, pending) = api.apply().unwrap();
        (offer.to_sdp_string(), pending)
    }

    fn accept(&mut self, at: usize, pending: SdpPendingOffer, answer: &Answer) {
        let answer = SdpAnswer::from_sdp_string(&answer.sdp).unwrap();
        self.clients[at].rtc.sdp_api().accept_answer(pending, answer).unwrap();
        self.run(Duration::from_millis(500), &[]);
        assert!(self.clients[at].is_connected, "client {at} is not connected");
    }

    fn publisher(&mut self, peer: u64, layers: &[&str]) -> usize {
        let at = self.client();
        self.publish(at, peer, layers);
        at
    }

    fn publish(&mut self, at: usize, peer: u64, layers: &[&str]) {
        let (offer, pending) = self.offer(at, Direction::SendOnly, layers);
        let mid = self.clients[at].mid.unwrap().to_string();
        let stream = Published { mid, kind: StreamKind::Main, height: 480, ..Published::default() };
        let answer = self
            .shard
            .publish(PeerId(peer), RoomKey(1), &"ann".into(), &offer, &[stream], Rights::ALL, self.now)
            .unwrap();
        self.accept(at, pending, &answer);
    }

    fn watched(&self, at: usize, max_height: u32) -> Vec<Watched> {
        let source = SourceKey { room: RoomKey(1), user: "ann".into(), kind: StreamKind::Main };
        let mid = self.clients[at].mid.unwrap().to_string();
        vec![Watched { mid, source: Some(source), wanted: Wanted { max_height, ..Wanted::default() } }]
    }

    fn viewer(&mut self, peer: u64, max_height: u32) -> usize {
        let at = self.client();
        self.watch(at, peer, max_height);
        at
    }

    fn watch(&mut self, at: usize, peer: u64, max_height: u32) {
        let (offer, pending) = self.offer(at, Direction::RecvOnly, &[]);
        let watched = self.watched(at, max_height);
        let answer = self.shard.watch(PeerId(peer), &offer, &watched, None, self.now).unwrap();
        self.accept(at, pending, &answer);
    }

    /// Lets time pass; each of `publishers` sends a frame every 30 ms on each of its layers.
    fn run(&mut self, span: Duration, publishers: &[(usize, &[&str])]) {
        let end = self.now + span;
        let mut step = 0_u32;
        while self.now < end {
            self.now += STEP;
            if step.is_multiple_of(6) {
                for (at, layers) in publishers {
                    self.write(*at, layers);
                }
            }
            step += 1;
            self.exchange();
        }
    }

    /// A frame of three packets a layer; every 20th is a keyframe, as if it had been asked for.
    fn write(&mut self, at: usize, layers: &[&str]) {
        let client = &mut self.clients[at];
        let mid = client.mid.unwrap();
        let pt = client.rtc.media(mid).unwrap().remote_pts()[0];
        let named: Vec<Option<&str>> =
            if layers.is_empty() { vec![None] } else { layers.iter().map(|rid| Some(*rid)).collect() };
        for (layer, rid) in named.into_iter().enumerate() {
            let frame = client.written[layer] / 3;
            let mut direct = client.rtc.direct_api();
            let stream = direct.stream_tx_by_mid(mid, rid.map(Into::into)).unwrap();
            for part in 0..3_u64 {
                let seq = client.written[layer] + 1;
                client.written[layer] = seq;
                // X, with a 15-bit picture id; S and PID 0 for a first packet; the P bit is clear in keyframes.
                let picture = 0x8000 | (frame as u16 & 0x7fff);
                let mut payload = vec![if part == 0 { 0x90 } else { 0x80 }, 0x80];
                payload.extend(picture.to_be_bytes());
                payload.push(u8::from(!frame.is_multiple_of(20)));
                payload.push((at as u8) << 4 | layer as u8);
                payload.extend((seq as u32).to_be_bytes());
                payload.resize(400 + 400 * layer, 0);
                let time = frame as u32 * 2700 + 7_000_000 * (layer as u32 + 1);
                let packet =
                    RtpWrite::new(pt, (1000 * (at as u64 + 1) + seq).into(), time, self.now, payload);
                stream.write_rtp(packet.marker(part == 2).nackable(true));
            }
        }
    }

    fn exchange(&mut self) {
        for at in 0..self.clients.len() {
            let now = self.now;
            self.clients[at].rtc.handle_input(Input::Timeout(now)).unwrap();
            self.poll(at);
        }
        let mut sent = Vec::new();
        let before = ALLOCATIONS.get();
        self.shard.flush(self.now, &mut |_| {});
        self.allocations += ALLOCATIONS.get() - before;
        let mut send = |out: &mut Outbox| take(out, &mut sent);
        self.shard.handle_timeout(self.now, &mut send);
        take(&mut self.shard.out, &mut sent);
        for (to, bytes) in sent {
            let Some(at) = self.clients.iter().position(|client| client.address == to) else { continue };
            let is_media = (128..192).contains(&bytes[0]);
            if is_media && self.random.random_bool(self.clients[at].loss) {
                continue;
            }
            let client = &mut self.clients[at];
            let Ok(contents) = DatagramRecv::try_from(bytes.as_slice()) else { continue };
            let receive = Receive {
                proto: Protocol::Udp,
                source: SERVER.into(),
                destination: client.address,
                contents,
            };
            client.rtc.handle_input(Input::Receive(self.now, receive)).unwrap();
            self.poll(at);
        }
    }

    fn poll(&mut self, at: usize) {
        loop {
            let client = &mut self.clients[at];
            match client.rtc.poll_output().unwrap() {
                Output::Timeout(_) => return,
                Output::Transmit(transmit) => {
                    let route = Route::udp(client.address);
                    if self.has_echo && transmit.contents[0] == 22 {
                        let stranger = Route::udp(([127, 0, 0, 1], 6666));
                        self.shard.handle_datagram(stranger, &transmit.contents, self.now);
                        self.shard.handle_datagram(route, &transmit.contents, self.now);
                    }
                    self.shard.handle_datagram(route, &transmit.contents, self.now);
                }
                Output::Event(RtcEvent::Connected) => client.is_connected = true,
                Output::Event(RtcEvent::KeyframeRequest(_)) => client.keyframes_asked += 1,
                Output::Event(RtcEvent::RtpPacket(packet)) => {
                    let payload = &packet.payload;
                    client.got.push(Got {
                        seq: *packet.seq_no,
                        timestamp: packet.header.timestamp,
                        picture: u16::from_be_bytes([payload[2], payload[3]]) & 0x7fff,
                        tag: payload[5],
                        number: u32::from_be_bytes(payload[6..10].try_into().unwrap()),
                    });
                }
                Output::Event(_) => {}
            }
        }
    }

    /// What a viewer got, in the order of its numbers: they must be without a gap, and times and pictures must not go back.
    fn one_stream(&self, at: usize) -> Vec<Got> {
        let mut got = self.clients[at].got.clone();
        got.sort_by_key(|packet| packet.seq);
        got.dedup();
        for pair in got.windows(2) {
            let [a, b] = pair else { continue };
            assert_eq!(b.seq, a.seq + 1, "a gap, or a number twice: {a:?} {b:?}");
            let forward = b.timestamp.wrapping_sub(a.timestamp);
            assert!(forward < 90_000 * 5, "time jumps: {a:?} {b:?}");
            assert!(b.picture.wrapping_sub(a.picture) & 0x7fff <= 1, "a picture is missing: {a:?} {b:?}");
        }
        got
    }
}

fn take(out: &mut Outbox, sent: &mut Vec<(std::net::SocketAddr, Vec<u8>)>) {
    for run in &out.runs {
        let bytes = &out.buffer[run.start..run.start + run.length];
        sent.extend(bytes.chunks(run.segment).map(|datagram| (run.route.remote, datagram.to_vec())));
    }
    out.clear();
}

#[test]
fn a_viewer_gets_what_is_published_packet_by_packet() {
    let mut world = World::new();
    let ann = world.publisher(1, &[]);
    let ben = world.viewer(2, u32::MAX);

    world.run(Duration::from_secs(3), &[(ann, &[])]);

    let got = world.one_stream(ben);
    assert!(got.len() > 200, "{}", got.len());
    for pair in got.windows(2) {
        assert_eq!(pair[1].number, pair[0].number + 1);
    }
}

/// An encoder without the MID extension that announces no SSRC, as many a simple one: what it sends is found by its payload type.
#[test]
fn a_publisher_that_names_nothing_is_seen() {
    let mut world = World::new();
    let at = world.client();
    let (offer, pending) = world.offer(at, Direction::SendOnly, &[]);
    let names = |line: &&str| !line.contains("sdes:mid") && !line.starts_with("a=ssrc");
    let offer: Vec<&str> = offer.lines().filter(names).collect();
    let offer = offer.join("\r\n") + "\r\n";
    let answer = world
        .shard
        .publish(PeerId(1), RoomKey(1), &"ann".into(), &offer, &[], Rights::ALL, world.now)
        .unwrap();
    world.accept(at, pending, &answer);
    let ben = world.viewer(2, u32::MAX);

    world.run(Duration::from_secs(2), &[(at, &[])]);

    assert!(world.one_stream(ben).len() > 100);
    assert_eq!(world.shard.shared.counters.unplaced_packets.load(Ordering::Relaxed), 0);
}

/// An encoder that begins anew has another SSRC, and other numbers and times: to viewers it is the same stream.
#[test]
fn a_publisher_may_change_its_streams_in_the_middle() {
    let mut world = World::new();
    let ann = world.publisher(1, &[]);
    let ben = world.viewer(2, u32::MAX);
    world.run(Duration::from_secs(2), &[(ann, &[])]);
    let before = world.clients[ben].got.len();
    for ssrc in [4711, 4713] {
        world.run(Duration::from_millis(300), &[]);
        let client = &mut world.clients[ann];
        let mid = client.mid.unwrap();
        client.rtc.direct_api().reset_stream_tx(mid, None, ssrc.into(), Some((ssrc + 1).into())).unwrap();
        // The next is a keyframe, with lower numbers than all before.
        client.written = [0; 2];
        world.run(Duration::from_secs(2), &[(ann, &[])]);
    }

    let got = world.one_stream(ben);
    assert!(before > 100 && got.len() > before + 200, "{before}, then {}", got.len());
    assert_eq!(world.shard.events.iter().filter(|event| matches!(event, Event::Lost(..))).count(), 0);
}

/// What nobody can tell apart does not vanish without a word.
#[test]
fn a_publisher_whose_packets_belong_to_nothing_is_ended_with_the_reason() {
    let mut world = World::new();
    let ann = world.publisher(1, &[]);
    let peer = world.shard.peers.iter_mut().flatten().next().unwrap();
    let Role::Publisher(publisher) = &mut peer.role else { panic!("a viewer") };
    // As if the offer had had other payload types than what is sent.
    publisher.agreed(&[]);

    world.run(Duration::from_secs(12), &[(ann, &[])]);

    assert!(world.shard.shared.counters.unplaced_packets.load(Ordering::Relaxed) > 100);
    let lost = world.shard.events.iter().find_map(|event| match event {
        Event::Lost(peer, reason) => Some((*peer, reason.is_some())),
        _ => None,
    });
    assert_eq!(lost, Some((PeerId(1), true)));
}

/// Pictures of H.265, each unit in a packet of its own: whoever comes, and whenever, begins with the parameter sets.
#[test]
fn pictures_of_h265_begin_with_their_parameter_sets() {
    const VPS: u8 = 0x40;
    let mut world = World::new();
    let [ann, ben, cat] = [(); 3].map(|()| world.client_with(|codecs| codecs.enable_h265(true)));
    world.publish(ann, 1, &[]);
    world.watch(ben, 2, u32::MAX);
    let mut seq = 0_u32;
    for picture in 0..80_u32 {
        if picture == 45 {
            // In the middle between keyframes.
            world.watch(cat, 3, u32::MAX);
        }
        let units: &[[u8; 3]] = match picture % 20 {
            0 => &[[VPS, 1, 0x0c], [0x42, 1, 1], [0x44, 1, 0xc0], [0x26, 1, 0xaf]],
            _ => &[[0x02, 1, 0xd0]],
        };
        for (unit, left) in units.iter().zip((0..units.len()).rev()) {
            seq += 1;
            let client = &mut world.clients[ann];
            let mid = client.mid.unwrap();
            let pt = client.rtc.media(mid).unwrap().remote_pts()[0];
            let mut payload = unit.to_vec();
            payload.extend([0, 0, unit[0]]);
            payload.extend(seq.to_be_bytes());
            payload.resize(200, 0);
            let packet = RtpWrite::new(pt, u64::from(seq).into(), picture * 2700, world.now, payload);
            let mut direct = client.rtc.direct_api();
            direct.stream_tx_by_mid(mid, None).unwrap().write_rtp(packet.marker(left == 0));
        }
        world.run(Duration::from_millis(30), &[]);
    }

    for viewer in [ben, cat] {
        let got = &world.clients[viewer].got;
        assert!(got.len() > 35 && got[0].tag == VPS, "{} from {:?}", got.len(), got.first());
        assert!(
            got.windows(2).all(|pair| pair[1].number == pair[0].number + 1 && pair[1].seq == pair[0].seq + 1)
        );
    }
}

/// Nothing is sent that it cannot decode, nothing is asked for on its account, and it is told; a player, which cannot be told, is ended.
#[test]
fn a_viewer_without_the_codec_is_told_or_ended() {
    for client in [keys::Client::Browser, keys::Client::Other] {
        let mut world = World::new();
        let ann = world.publisher(100, &[]);
        let peer = world.shard.shared.new_peer(client);
        let ben = world.client_with(|codecs| codecs.enable_h264(true));
        world.watch(ben, peer.0, u32::MAX);
        let asked = world.clients[ann].keyframes_asked;

        world.run(Duration::from_secs(12), &[(ann, &[])]);

        assert_eq!((world.clients[ben].got.len(), world.clients[ann].keyframes_asked - asked), (0, 0));
        assert_eq!(world.shard.shared.counters.untaken_streams.load(Ordering::Relaxed), 1);
        assert_eq!(world.shard.shared.counters.untaken_packets.load(Ordering::Relaxed), 0);
        let told: Vec<_> = world
            .shard
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Watching(whose, pictures) if *whose == peer => Some(pictures.clone()),
                _ => None,
            })
            .flatten()
            .map(|(source, showing)| (source.kind, showing))
            .collect();
        assert_eq!(told, [(StreamKind::Main, Showing::Paused(Pause::Codec))]);
        let ended = world.shard.events.contains(&Event::Lost(peer, Some(UNTAKEN.into())));
        assert_eq!(ended, client == keys::Client::Other);
    }
}

/// The certificate is checked by whatever hash the offer announces it with.
#[test]
fn only_the_certificate_that_was_announced_is_taken() {
    let mut world = World::new();
    for (forges, peer) in [(false, 1), (true, 2)] {
        let at = world.client();
        let (offer, pending) = world.offer(at, Direction::SendOnly, &[]);
        let offer = match forges {
            false => offer,
            true => {
                let start = offer.find("sha-256 ").unwrap() + 8;
                offer.replace(&offer[start..start + 95], &["11"; 32].join(":"))
            }
        };
        let user: Arc<str> = format!("user{peer}").into();
        let answer = world
            .shard
            .publish(PeerId(peer), RoomKey(1), &user, &offer, &[], Rights::ALL, world.now)
            .unwrap();
        let answer = SdpAnswer::from_sdp_string(&answer.sdp).unwrap();
        world.clients[at].rtc.sdp_api().accept_answer(pending, answer).unwrap();
        world.run(Duration::from_secs(2), &[]);
    }
    let ended = world.shard.events.iter().filter_map(|event| match event {
        Event::Connected(peer) => Some((true, peer.0)),
        Event::Lost(peer, _) => Some((false, peer.0)),
        _ => None,
    });
    assert_eq!(ended.collect::<Vec<_>>(), [(true, 1), (false, 2)]);
    assert_eq!(world.shard.shared.counters.foreign_certificates.load(Ordering::Relaxed), 1);
}

#[test]
fn nothing_is_allocated_for_what_goes_out() {
    let mut world = World::new();
    let ann = world.publisher(1, &[]);
    let viewers: Vec<usize> = (2..12).map(|peer| world.viewer(peer, u32::MAX)).collect();
    // Buffers grow to what they need, and the layers' histories are made.
    world.run(Duration::from_secs(6), &[(ann, &[])]);
    let (before, forwarded) = (world.allocations, world.clients[viewers[0]].got.len());

    world.run(Duration::from_secs(3), &[(ann, &[])]);

    assert!(world.clients[viewers[0]].got.len() > forwarded + 200);
    assert_eq!(world.allocations - before, 0);
}

#[test]
fn layers_change_within_one_stream() {
    let mut world = World::new();
    let layers: &[&str] = &["h", "f"];
    let ann = world.publisher(1, layers);
    let ben = world.viewer(2, 100);
    let mut seen = Vec::new();
    for height in [100, 480, 100, 480] {
        let watched = world.watched(ben, height);
        world.shard.rewatch(PeerId(2), &watched, None, world.now).unwrap();
        world.run(Duration::from_secs(3), &[(ann, layers)]);
        seen.push(world.clients[ben].got.last().unwrap().tag & 0x0f);
    }

    assert_eq!(seen, [0, 1, 0, 1], "the layer follows the height");
    let got = world.one_stream(ben);
    assert!(got.len() > 900);
}

#[test]
fn what_is_lost_on_the_way_is_sent_again() {
    let mut world = World::new();
    let ann = world.publisher(1, &[]);
    let ben = world.viewer(2, u32::MAX);
    let cat = world.viewer(3, u32::MAX);
    world.run(Duration::from_secs(1), &[(ann, &[])]);

    world.clients[ben].loss = 0.05;
    world.run(Duration::from_secs(4), &[(ann, &[])]);
    world.clients[ben].loss = 0.0;
    world.run(Duration::from_secs(2), &[(ann, &[])]);

    let (ben, cat) = (world.one_stream(ben), world.one_stream(cat));
    assert_eq!(ben.last().unwrap().number, cat.last().unwrap().number);
}

#[test]
fn a_publisher_that_comes_back_goes_on_in_the_same_stream() {
    let mut world = World::new();
    let first = world.publisher(1, &[]);
    let ben = world.viewer(2, u32::MAX);
    world.run(Duration::from_secs(2), &[(first, &[])]);
    world.shard.close(PeerId(1));
    world.run(Duration::from_secs(1), &[]);

    let second = world.publisher(7, &[]);
    world.run(Duration::from_secs(2), &[(second, &[])]);

    let got = world.one_stream(ben);
    let writers: Vec<u8> = got.iter().map(|packet| packet.tag >> 4).collect();
    assert_eq!((writers[0], *writers.last().unwrap()), (first as u8, second as u8));
}

#[test]
fn nothing_flows_without_the_right_to_it() {
    let mut world = World::new();
    let ann = world.publisher(1, &[]);
    let ben = world.viewer(2, u32::MAX);
    world.run(Duration::from_secs(1), &[(ann, &[])]);

    world.shard.set_rights(PeerId(1), Rights { main: false, ..Rights::ALL }, world.now);
    let before = world.clients[ben].got.len();
    world.run(Duration::from_secs(1), &[(ann, &[])]);
    let meanwhile = world.clients[ben].got.len();
    world.shard.set_rights(PeerId(1), Rights::ALL, world.now);
    world.run(Duration::from_secs(2), &[(ann, &[])]);

    assert_eq!(meanwhile, before, "not one packet");
    assert!(world.clients[ben].got.len() > before + 50, "and it goes on once it may");
}

/// It has been sent while it was allowed, and yet who is muted or gone is seen no more.
#[test]
fn what_waits_for_a_viewers_link_ends_with_the_right_to_it() {
    for (what, end) in [
        (
            "mute",
            (|shard, now| shard.set_rights(PeerId(1), Rights { main: false, ..Rights::ALL }, now))
                as fn(&mut Shard, Instant),
        ),
        ("leave", |shard, _| shard.close(PeerId(1))),
    ] {
        let mut world = World::new();
        let ann = world.publisher(1, &[]);
        let ben = world.viewer(2, u32::MAX);
        world.run(Duration::from_secs(1), &[(ann, &[])]);
        (0..60).for_each(|_| world.write(ann, &[]));
        world.exchange();
        let before = world.clients[ben].got.len();
        world.run(Duration::from_millis(50), &[]);
        let meanwhile = world.clients[ben].got.len();
        assert!(
            (before + 1..before + 100).contains(&meanwhile),
            "{what}: some of it waits: {before}, {meanwhile}"
        );

        end(&mut world.shard, world.now);
        world.run(Duration::from_secs(1), &[]);

        assert_eq!(world.clients[ben].got.len(), meanwhile, "{what}");
        assert_eq!(world.clients[ann].keyframes_asked, 0, "{what}: nobody asks for what may not come");
        if what == "mute" {
            world.shard.set_rights(PeerId(1), Rights::ALL, world.now);
            world.run(Duration::from_secs(2), &[(ann, &[])]);
            assert!(world.one_stream(ben).len() > meanwhile + 50, "it goes on, without a gap in the numbers");
        }
    }
}

#[test]
fn the_newest_connection_of_a_user_is_the_one_that_counts() {
    let mut world = World::new();
    let old = world.publisher(1, &[]);
    let ben = world.viewer(2, u32::MAX);
    world.run(Duration::from_secs(1), &[(old, &[])]);
    let new = world.publisher(3, &[]);

    world.run(Duration::from_secs(2), &[(old, &[]), (new, &[])]);

    let got = world.one_stream(ben);
    let first_new = got.iter().position(|packet| packet.tag >> 4 == new as u8).unwrap();
    assert!(got[first_new..].iter().all(|packet| packet.tag >> 4 == new as u8), "the two do not mix");
}

#[test]
fn a_connection_that_counts_no_more_says_nothing_of_what_the_newest_one_sends() {
    for is_superseded in [false, true] {
        let mut world = World::new();
        let former = world.publisher(1, &[]);
        let mid = world.clients[former].mid.unwrap().to_string();
        if is_superseded {
            world.publisher(2, &[]);
        }

        let (offer, _) = world.offer(former, Direction::SendOnly, &[]);
        let stream = Published { mid, kind: StreamKind::Main, is_encrypted: true, ..Published::default() };
        world
            .shard
            .publish(PeerId(1), RoomKey(1), &"ann".into(), &offer, &[stream], Rights::ALL, world.now)
            .unwrap();

        let key = SourceKey { room: RoomKey(1), user: "ann".into(), kind: StreamKind::Main };
        assert_eq!(world.shard.shared.sources.get(&key).is_encrypted(), !is_superseded);
    }
}

#[test]
fn another_address_speaks_for_a_connection_only_with_its_password() {
    let mut world = World::new();
    let ann = world.publisher(1, &[]);
    let ben = world.viewer(2, u32::MAX);
    world.run(Duration::from_secs(1), &[(ann, &[])]);
    let ufrag = world.shard.peers.iter().flatten().find(|peer| peer.id == PeerId(2)).unwrap().ufrag.clone();
    let stranger = Route::udp(([127, 0, 0, 1], 6666));
    let mut forged = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    forged.extend([9; 12]);
    let name = format!("{ufrag}:x");
    forged.extend([0, 6, 0, name.len() as u8]);
    forged.extend(name.as_bytes());
    forged.resize(forged.len().next_multiple_of(4), 0);
    forged.extend([0, 0x25, 0, 0]);
    forged[3] = (forged.len() - 20) as u8;

    world.shard.handle_datagram(stranger, &forged, world.now);
    world.shard.handle_datagram(stranger, &[0x81, 201, 0, 1, 0, 0, 0, 1], world.now);
    world.run(Duration::from_secs(1), &[(ann, &[])]);

    let peer = world.shard.peers.iter().flatten().find(|peer| peer.id == PeerId(2)).unwrap();
    assert_eq!(peer.route.unwrap().remote, world.clients[ben].address);
    world.one_stream(ben);
}

#[test]
fn who_comes_sees_the_newest_keyframe_at_once_and_what_is_lost_of_it_again() {
    // One packet of 400 is lost as often as it is sent, so these are worlds in which none is.
    for (loss, seed) in [(0.0, 3), (0.3, 1), (0.3, 2), (0.3, 4), (0.3, 5)] {
        let mut world = World { random: ChaCha8Rng::seed_from_u64(seed), ..World::new() };
        let ann = world.publisher(1, &[]);
        // Somebody watches, so that packets are kept. Every 20th picture is a keyframe: the last one is two pictures old.
        let ben = world.viewer(2, u32::MAX);
        world.run(Duration::from_millis(63 * 30), &[(ann, &[])]);
        let sent = world.clients[ann].written[0];

        let cat = world.client();
        world.clients[cat].loss = loss;
        let (offer, pending) = world.offer(cat, Direction::RecvOnly, &[]);
        let watched = world.watched(cat, u32::MAX);
        let answer = world.shard.watch(PeerId(3), &offer, &watched, None, world.now).unwrap();
        world.accept(cat, pending, &answer);

        let got = world.one_stream(cat);
        let numbers: Vec<u64> = got.iter().map(|packet| packet.number.into()).collect();
        // Before the first that came, and after the last, a receiver cannot know of any.
        let (first, last) =
            if loss == 0.0 { (sent - 8, sent) } else { (numbers[0], *numbers.last().unwrap()) };
        assert_eq!(numbers, (first..=last).collect::<Vec<_>>(), "{loss}: of {sent}");
        for pair in got.windows(2) {
            let is_next = (pair[1].number - 1).is_multiple_of(3);
            let step = pair[1].timestamp - pair[0].timestamp;
            assert_eq!(step, if is_next { 180 } else { 0 }, "{loss}: {pair:?}");
        }
        world.clients[cat].loss = 0.0;
        world.run(Duration::from_secs(1), &[(ann, &[])]);
        world.one_stream(cat);
        world.one_stream(ben);
    }
}

#[test]
fn a_keyframe_is_asked_for_before_the_viewer_is_connected() {
    let mut world = World::new();
    let ann = world.publisher(1, &[]);
    world.run(Duration::from_secs(1), &[(ann, &[])]);
    let before = world.clients[ann].keyframes_asked;

    let ben = world.client();
    let (offer, _) = world.offer(ben, Direction::RecvOnly, &[]);
    let watched = world.watched(ben, u32::MAX);
    world.shard.watch(PeerId(2), &offer, &watched, None, world.now).unwrap();
    world.run(Duration::from_millis(10), &[(ann, &[])]);

    assert!(!world.clients[ben].is_connected);
    assert_eq!(world.clients[ann].keyframes_asked, before + 1);
}

#[test]
fn who_asks_for_keyframes_all_the_time_gets_a_few_and_takes_nothing_from_others() {
    let mut world = World::new();
    let ann = world.publisher(1, &[]);
    let ben = world.viewer(2, u32::MAX);
    let cat = world.viewer(3, u32::MAX);
    world.run(Duration::from_secs(2), &[(ann, &[])]);
    let before = world.clients[ann].keyframes_asked;

    for _ in 0..300 {
        let client = &mut world.clients[ben];
        let mid = client.mid.unwrap();
        if let Some(stream) = client.rtc.direct_api().stream_rx_by_mid(mid, None) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
        world.run(Duration::from_millis(30), &[(ann, &[])]);
    }

    let asked = world.clients[ann].keyframes_asked - before;
    assert!((1..=25).contains(&asked), "{asked} in nine seconds");
    let got = world.one_stream(cat);
    assert!(got.len() > 1000, "{}", got.len());
}

#[test]
fn reports_that_are_not_sealed_with_the_keys_do_nothing() {
    let mut world = World::new();
    let ann = world.publisher(1, &[]);
    let ben = world.viewer(2, u32::MAX);
    world.run(Duration::from_secs(2), &[(ann, &[])]);
    let ssrc = world.shard.peers.iter().flatten().find_map(|peer| match &peer.role {
        Role::Viewer(viewer) => Some(viewer.slots[0].ssrc),
        Role::Publisher(_) => None,
    });
    let mut nack = vec![0x81, 205, 0, 3, 0, 0, 0, 1];
    nack.extend(ssrc.unwrap().to_be_bytes());
    nack.extend([0, 20, 0xff, 0xff]);
    nack.extend([0; 24]);
    let here = Route::udp(world.clients[ben].address);

    for _ in 0..50 {
        world.shard.handle_datagram(here, &nack, world.now);
    }

    assert!(world.shard.out.is_empty());
    assert_eq!(world.shard.shared.counters.broken_control.load(Ordering::Relaxed), 50);
}

/// With either DTLS: browsers' and others'.
#[test]
fn handshakes_that_race_with_their_own_echo_come_to_their_end() {
    for client in [crate::Client::Browser, crate::Client::Other] {
        let mut world = World::new();
        world.has_echo = true;
        for _ in 0..2 {
            world.shard.shared.new_peer(client);
        }

        let ann = world.publisher(1, &[]);
        let ben = world.viewer(2, u32::MAX);
        world.run(Duration::from_secs(1), &[(ann, &[])]);

        assert!(world.one_stream(ben).len() > 50, "{client:?}");
        assert!(world.shard.shared.counters.stray_datagrams.load(Ordering::Relaxed) >= 4);
        assert_eq!(world.shard.shared.counters.failed_connections.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn everything_is_let_go_of_in_the_end() {
    let mut world = World::new();
    let ann = world.publisher(1, &[]);
    world.viewer(2, u32::MAX);
    world.run(Duration::from_secs(1), &[(ann, &[])]);

    // Both clients fall silent.
    world.clients.clear();
    world.run(SILENCE_TIMEOUT + Duration::from_secs(2), &[]);

    let shard = &world.shard;
    assert_eq!(shard.events.iter().filter(|event| matches!(event, Event::Lost(..))).count(), 2);
    assert!(shard.by_id.is_empty() && shard.by_ufrag.is_empty() && shard.by_route.is_empty());
    assert!(shard.feeds.is_empty() && shard.publishing.is_empty());
    assert!(shard.shared.ufrags.read().is_empty());
}

/// Firefox and GStreamer write m-lines that only go with the others with port 0 (RFC 9143).
#[test]
fn offers_of_browsers_and_encoders_are_answered_whole() {
    macro_rules! offer {
        ($name:literal) => {
            ($name, include_str!(concat!("../../fuzz/corpus/offer/", $name)))
        };
    }
    let mut world = World::new();
    let (room, user) = (RoomKey(9), Arc::from("ann"));
    let now = world.now;
    for ((name, offer), peer) in [
        offer!("firefox-publishes"),
        offer!("gstreamer-publishes"),
        offer!("obs-publishes"),
        offer!("firefox-watches"),
    ]
    .into_iter()
    .zip(50..)
    {
        let shard = &mut world.shard;
        let (answer, lines) = if name.ends_with("publishes") {
            let answer = shard.publish(PeerId(peer), room, &user, offer, &[], Rights::ALL, now).unwrap();
            let lines = answer.published.len();
            (answer, lines)
        } else {
            let answer = shard.watch(PeerId(peer), offer, &[], None, now).unwrap();
            let lines = answer.mids.len();
            (answer, lines)
        };
        assert_eq!(lines, 2, "{name}");
        assert_eq!(answer.sdp.matches("\r\nm=").count(), 2, "{name}");
        assert!(
            !answer.sdp.contains("m=audio 0") && !answer.sdp.contains("m=video 0"),
            "{name}: {}",
            answer.sdp
        );
    }
}
