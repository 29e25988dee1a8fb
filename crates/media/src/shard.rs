//! The connections of one worker, without I/O: datagrams, commands and time go in, datagrams and events come out.
//!
//! ```text
//! publisher's datagram -> Rtc (ICE, DTLS, SRTP) -> Packet -> slots of this shard -> outbox
//!                                                        \-> queues of the other shards that have viewers
//! ```
//! Packets that came in together are forwarded together, viewer by viewer, so that each viewer's datagrams lie side by
//! side in the outbox.

mod agree;
mod expecting;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use str0m::net::{DatagramRecv, Protocol, Receive, TcpType, Transmit};
use str0m::{Candidate, Event as RtcEvent, IceConnectionState, Input, Output, Rtc};

use crate::command::{Command, Publish, Rewatch, Watch};
use crate::dependency;
use crate::keys::{self, Client};
use crate::outbox::{Kind, Outbox, Route};
use crate::pacer;
use crate::publisher::{Publisher, Refusal, Rights};
use crate::sampling;
use crate::sdp::{self, Fingerprint, Library, Ours};
use crate::shared::{Event, Shared};
use crate::source::{History, Packet, PeerId, Recent, Source};
use crate::stun;
use crate::trunks::Order;
use crate::viewer::{Aim, Past, Viewer};

/// How long a connection may take to come about, and how long it may be silent: browsers check theirs every 2.5 s.
const SETUP_TIMEOUT: Duration = Duration::from_secs(15);
const SILENCE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a client may say nothing from where it is before it counts as being elsewhere, when it says something there: as
/// often as it has to check at the latest (RFC 7675 5.1).
const CONSENT_TIMEOUT: Duration = Duration::from_secs(6);

/// Why a connection is ended whose packets cannot be told apart.
const UNPLACED: &str = "none of its packets belongs to an m-line of its offer: they have no MID (RFC 9143 9.2) or another, no SSRC \
    that the offer announces, and a payload type that no m-line or several have";

/// Why a player is ended to which nothing can be sent.
const UNTAKEN: &str =
    "what it watches comes by a codec that its offer does not take; begun anew it gets the rest";

/// How often publishers' connections are looked after.
const TICK: Duration = Duration::from_millis(100);

/// How often levels are told.
const LEVELS_INTERVAL: Duration = Duration::from_millis(400);

/// The most the library may hand out at one go; it is asked again when time goes on.
const MAX_OUTPUTS: usize = 10_000;

/// Empties the outbox.
pub(crate) type Send<'a> = &'a mut dyn FnMut(&mut Outbox);

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

enum Role {
    Publisher(Box<Publisher>),
    Viewer(Box<Viewer>),
}

struct Peer {
    id: PeerId,
    /// Tells a place's tenants apart.
    serial: u64,
    rtc: Rtc,
    role: Role,
    ufrag: String,
    /// Where it is, once ICE has nominated a pair; and when something in order last came from there.
    route: Option<Route>,
    route_heard_at: Instant,
    /// Who just asked for a pair to be nominated, until the answer goes out.
    nominating: Option<Route>,
    is_keyed: bool,
    created_at: Instant,
    heard_at: Option<Instant>,
    /// When the library, and when we, want to be called next.
    rtc_due: Instant,
    tick_due: Instant,
    addresses: Vec<Route>,
    /// Of the certificate that its client announced.
    fingerprints: Vec<Fingerprint>,
    /// What the library was told of its offers, and what their answers say of us.
    library: Library,
    ours: Ours,
}

impl Peer {
    /// It is at `route` from now on, or still.
    fn move_to(&mut self, route: Route, now: Instant) {
        self.route = Some(route);
        self.route_heard_at = now;
    }

    /// Something that is its own came from `route`.
    fn hear(&mut self, route: Route, now: Instant) {
        self.heard_at = Some(now);
        if self.route == Some(route) {
            self.route_heard_at = now;
        }
    }
}

/// A source, its recent packets and its viewers here.
struct Feed {
    source: Arc<Source>,
    histories: [History; crate::source::MAX_LAYERS],
    slots: Vec<(usize, usize)>,
    /// Its packets are kept until then, also when nobody watches.
    kept_until: Option<Instant>,
}

/// Where a source comes from.
struct Publishing {
    source: Arc<Source>,
    peer: usize,
    track: usize,
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taking {
    Done,
    /// It is for a connection of another shard.
    Elsewhere(usize),
}

/// One worker's share of the connections.
pub(crate) struct Shard {
    index: usize,
    shared: Arc<Shared>,
    peers: Vec<Option<Box<Peer>>>,
    free: Vec<usize>,
    serials: u64,
    by_id: Map<PeerId, usize>,
    by_ufrag: Map<String, usize>,
    by_route: Map<Route, usize>,
    /// Which shard has the connection of an address whose datagrams the kernel brings here.
    elsewhere: Map<Route, usize>,
    feeds: Map<u64, Feed>,
    /// Those that are kept for viewers who are about to come.
    kept: Vec<u64>,
    /// The sources that are published here.
    publishing: Map<u64, Publishing>,
    timers: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    /// Packets to be forwarded.
    batch: Vec<Arc<Packet>>,
    /// Keyframes that viewers here need.
    asked: Vec<(Arc<Source>, u8)>,
    pub(crate) out: Outbox,
    pub(crate) events: Vec<Event>,
    levels_at: Option<Instant>,
    sampled_at: Option<Instant>,
    second_at: Option<Instant>,
    /// Viewers of whom something waits to leave, by place and serial, and when that is looked at.
    holding: Vec<(usize, u64)>,
    release_at: Option<Instant>,
}

/// Packets sent before, found in the feeds.
struct FeedsPast<'a>(&'a Map<u64, Feed>);

impl Past for FeedsPast<'_> {
    fn find(&self, source: &Source, generation: u32, layer: u8, seq: u64) -> Option<Arc<Packet>> {
        self.0.get(&source.id)?.histories.get(usize::from(layer))?.get(generation, seq).cloned()
    }

    fn recent(&self, source: &Source, generation: u32, layer: u8) -> Option<Recent> {
        self.0.get(&source.id)?.histories.get(usize::from(layer))?.recent(generation)
    }
}

impl Shard {
    pub(crate) fn new(index: usize, shared: Arc<Shared>) -> Self {
        Self {
            index,
            shared,
            peers: Vec::new(),
            free: Vec::new(),
            serials: 0,
            by_id: Map::default(),
            by_ufrag: Map::default(),
            by_route: Map::default(),
            elsewhere: Map::default(),
            feeds: Map::default(),
            kept: Vec::new(),
            publishing: Map::default(),
            timers: BinaryHeap::new(),
            batch: Vec::new(),
            asked: Vec::new(),
            out: Outbox::default(),
            events: Vec::new(),
            levels_at: None,
            sampled_at: None,
            second_at: None,
            holding: Vec::new(),
            release_at: None,
        }
    }

    // What comes in

    pub(crate) fn handle_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Publish { peer, asked, reply } => {
                let Publish { room, user, offer, streams, rights } = asked;
                let answer = self.publish(peer, room, &user, &offer, &streams, rights, now);
                // Nobody waits any more for the answer: its connection is closed by whoever stopped waiting.
                let _ = reply.send(answer);
            }
            Command::Watch { peer, asked: Watch { offer, streams, most_speakers }, reply } => {
                let _ = reply.send(self.watch(peer, &offer, &streams, most_speakers, now));
            }
            Command::Rewatch { peer, asked: Rewatch { streams, most_speakers }, reply } => {
                let _ = reply.send(self.rewatch(peer, &streams, most_speakers, now));
            }
            Command::AskKeyframe { source, layer } => self.ask_keyframe_here(source, layer, now),
            Command::Expect { source } => self.expect(source, now),
            Command::AskKept { source, worker } => self.hand_over(source, worker, now),
            Command::Kept { source, packets } => self.take_kept(source, &packets, now),
            Command::Datagram { route, bytes } => {
                self.handle_datagram(route, &bytes, now);
            }
        }
    }

    /// What a publisher may send changes, from this moment on.
    pub(crate) fn set_rights(&mut self, peer: PeerId, rights: Rights, now: Instant) {
        let Some(at) = self.by_id.get(&peer).copied() else { return };
        let Some(mut peer) = self.peers.get_mut(at).and_then(Option::take) else { return };
        if let Role::Publisher(publisher) = &mut peer.role {
            publisher.set_rights(&mut peer.rtc, &self.shared.sources, rights, now);
            publisher.tracks.iter().for_each(|track| self.shared.note_changed(&track.source));
        }
        self.drive(at, &mut peer, None, now);
        self.put_back(at, peer);
    }

    /// Ends a connection.
    pub(crate) fn close(&mut self, peer: PeerId) {
        match self.by_id.get(&peer).copied() {
            Some(at) => self.remove(at),
            None => self.shared.forget_peer(peer),
        }
    }

    /// A packet of a publisher elsewhere.
    pub(crate) fn handle_packet(&mut self, packet: Arc<Packet>) {
        self.batch.push(packet);
    }

    /// A datagram from the network.
    pub(crate) fn handle_datagram(&mut self, route: Route, bytes: &[u8], now: Instant) -> Taking {
        let Some(at) = self.find(route, bytes) else {
            let owner = self.find_elsewhere(route, bytes);
            if owner.is_none() {
                self.shared.counters.stray_datagrams.fetch_add(1, Ordering::Relaxed);
            }
            return owner.map_or(Taking::Done, Taking::Elsewhere);
        };
        let Some(mut peer) = self.peers.get_mut(at).and_then(Option::take) else { return Taking::Done };
        self.take_datagram(at, &mut peer, route, bytes, now);
        self.put_back(at, peer);
        Taking::Done
    }

    /// Whether a connection's password has been heard from there.
    pub(crate) fn knows(&self, route: Route) -> bool {
        self.by_route.contains_key(&route)
    }

    /// The connection a datagram is for: by where it comes from, or by the name it knocks with.
    fn find(&self, route: Route, bytes: &[u8]) -> Option<usize> {
        let known = self.by_route.get(&route).copied();
        match stun::username(bytes) {
            None => known,
            // A client that starts ICE over from the same place speaks to another connection from then on.
            Some(name) => {
                known.filter(|at| self.is_of(*at, name)).or_else(|| self.by_ufrag.get(name).copied())
            }
        }
    }

    /// The shard that has the connection a datagram is for, when that is another.
    fn find_elsewhere(&mut self, route: Route, bytes: &[u8]) -> Option<usize> {
        /// More addresses than a machine has clients; those that are in use knock again within seconds.
        const MOST: usize = 100_000;
        let Some(name) = stun::username(bytes) else {
            return self.elsewhere.get(&route).copied();
        };
        let owner = self.shared.ufrags.read().get(name).copied().filter(|owner| *owner != self.index)?;
        if self.elsewhere.len() >= MOST {
            self.elsewhere.clear();
        }
        self.elsewhere.insert(route, owner);
        Some(owner)
    }

    fn is_of(&self, at: usize, name: &str) -> bool {
        self.peers.get(at).and_then(Option::as_deref).is_some_and(|peer| peer.ufrag == name)
    }

    fn take_datagram(&mut self, at: usize, peer: &mut Peer, route: Route, bytes: &[u8], now: Instant) {
        let counters = &self.shared.counters;
        let is_media = bytes.first().is_some_and(|first| (128..192).contains(first));
        if is_media && peer.route.is_none() {
            counters.stray_datagrams.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if is_media && let Role::Viewer(viewer) = &mut peer.role {
            let is_control = bytes.get(1).is_some_and(|kind| (192..224).contains(kind));
            if !is_control {
                counters.media_of_viewers.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let Some(to) = peer.route else { return };
            let aim = Aim::new(to, now, self.shared.micros(now));
            let asked = &mut self.asked;
            let mut ask = |source: &Arc<Source>, layer| asked.push((source.clone(), layer));
            let past = FeedsPast(&self.feeds);
            match viewer.take_report(bytes, aim, &past, &mut ask, &mut self.out) {
                Some(()) => {
                    peer.heard_at = Some(now);
                    if to == route {
                        peer.route_heard_at = now;
                    }
                }
                None => _ = counters.broken_control.fetch_add(1, Ordering::Relaxed),
            }
            if viewer.is_holding() {
                hold(&mut self.holding, &mut self.release_at, (at, peer.serial), now);
            }
            counters.add(viewer.take_counts());
            if viewer.is_probing(aim.micros) {
                peer.tick_due = now;
                self.schedule(at, peer);
            }
            return;
        }
        let is_control = bytes.get(1).is_some_and(|kind| (192..224).contains(kind));
        if is_media
            && !is_control
            && let Role::Publisher(publisher) = &mut peer.role
            && !publisher.admit(&mut peer.rtc, bytes, now)
        {
            counters.unplaced_packets.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let Ok(contents) = DatagramRecv::try_from(bytes) else {
            counters.malformed_datagrams.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if stun::nominates(bytes) {
            peer.nominating = Some(route);
        }
        let receive = Receive {
            proto: if route.kind == Kind::Tcp { Protocol::Tcp } else { Protocol::Udp },
            source: route.remote,
            destination: self.shared.local_address(route),
            contents,
        };
        if let Err(error) = peer.rtc.handle_input(Input::Receive(now, receive)) {
            tracing::debug!(peer = peer.id.0, %error, "a connection ends by an error");
            counters.failed_connections.fetch_add(1, Ordering::Relaxed);
            peer.rtc.disconnect();
        }
        if is_media {
            peer.hear(route, now);
        }
        self.drive(at, peer, Some(route), now);
    }

    /// Takes what the library has, until it waits for time or input. What just came was on `asked`.
    fn drive(&mut self, at: usize, peer: &mut Peer, asked: Option<Route>, now: Instant) {
        for _ in 0..MAX_OUTPUTS {
            let output = peer.rtc.poll_output();
            if let Some(certificate) = keys::take_certificate()
                && !peer.fingerprints.iter().any(|fingerprint| fingerprint.is_of(&certificate))
            {
                tracing::debug!(
                    peer = peer.id.0,
                    "a connection has another certificate than its offer announced"
                );
                self.shared.counters.foreign_certificates.fetch_add(1, Ordering::Relaxed);
                // Its keys are nobody's.
                let _ = keys::take();
                peer.rtc.disconnect();
                peer.rtc_due = now;
                break;
            }
            if !peer.is_keyed
                && let Some(agreed) = keys::take()
            {
                peer.is_keyed = true;
                // What can be sent from this moment on is.
                peer.tick_due = now;
                if let Role::Viewer(viewer) = &mut peer.role
                    && viewer.set_keys(&agreed, now).is_none()
                {
                    tracing::warn!(profile = ?agreed.profile, "the keys of a handshake cannot be used");
                    peer.rtc.disconnect();
                }
            }
            match output {
                Ok(Output::Transmit(transmit)) => {
                    let bytes: &[u8] = &transmit.contents;
                    let route = match (bytes.first(), peer.route) {
                        // The library knows of nominated places only.
                        (Some(128..192), Some(route)) => route,
                        _ => way_back(&self.shared, &transmit, [asked, peer.route]),
                    };
                    match bytes.first() {
                        // A viewer's media and reports are ours alone to send: they count on one index.
                        Some(128..192) if matches!(peer.role, Role::Viewer(_)) => continue,
                        _ if stun::is_success(bytes) => {
                            peer.heard_at = Some(now);
                            self.learn(at, peer, route, now);
                        }
                        Some(20..64) if peer.route.is_none() => peer.move_to(route, now),
                        _ => {}
                    }
                    self.out.push(route, bytes);
                }
                Ok(Output::Event(event)) => self.take_event(peer, event, now),
                Ok(Output::Timeout(due)) if due <= now => {
                    if peer.rtc.handle_input(Input::Timeout(now)).is_err() {
                        peer.rtc.disconnect();
                    }
                }
                Ok(Output::Timeout(due)) => {
                    peer.rtc_due = due;
                    break;
                }
                Err(error) => {
                    tracing::debug!(peer = peer.id.0, %error, "a connection ends by an error");
                    self.shared.counters.failed_connections.fetch_add(1, Ordering::Relaxed);
                    peer.rtc.disconnect();
                    peer.rtc_due = now;
                    break;
                }
            }
        }
        self.schedule(at, peer);
    }

    /// A check from `route` was answered, so whoever is there knows the connection's password.
    fn learn(&mut self, at: usize, peer: &mut Peer, route: Route, now: Instant) {
        /// A client has a few addresses; one that changes them all the time keeps the newest.
        const MAX_ADDRESSES: usize = 16;
        if self.by_route.insert(route, at) != Some(at) || !peer.addresses.contains(&route) {
            peer.addresses.push(route);
            if peer.addresses.len() > MAX_ADDRESSES {
                let oldest = peer.addresses.remove(0);
                if self.by_route.get(&oldest) == Some(&at) {
                    self.by_route.remove(&oldest);
                }
            }
        }
        let is_silent = || now.saturating_duration_since(peer.route_heard_at) >= CONSENT_TIMEOUT;
        if peer.nominating == Some(route) {
            peer.nominating = None;
            peer.move_to(route, now);
        } else if peer.route == Some(route) || peer.route.is_some() && is_silent() {
            // Who is checked from elsewhere, and not any more from where it was, has another port now, whether it says so or not: what
            // is sent needs the consent of where it goes (RFC 7675 5.1).
            peer.move_to(route, now);
        }
    }

    fn take_event(&mut self, peer: &mut Peer, event: RtcEvent, now: Instant) {
        let counters = &self.shared.counters;
        match event {
            RtcEvent::Connected => self.events.push(Event::Connected(peer.id)),
            RtcEvent::RtpPacket(rtp) => {
                let Role::Publisher(publisher) = &mut peer.role else { return };
                match publisher.ingest(&mut peer.rtc, &self.shared.sources, rtp, now) {
                    Ok(packet) => self.spread(packet),
                    Err(Refusal::NotAllowed) => _ = counters.refused_packets.fetch_add(1, Ordering::Relaxed),
                    Err(Refusal::Unknown | Refusal::Broken) => {
                        _ = counters.unknown_packets.fetch_add(1, Ordering::Relaxed)
                    }
                    Err(Refusal::Padding) => {}
                    Err(Refusal::Superseded) => {
                        _ = counters.superseded_packets.fetch_add(1, Ordering::Relaxed)
                    }
                }
            }
            RtcEvent::ChannelData(_) => _ = counters.unexpected_data.fetch_add(1, Ordering::Relaxed),
            RtcEvent::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                tracing::debug!(peer = peer.id.0, "ICE is disconnected");
            }
            _ => {}
        }
    }

    /// A publisher's packet goes to the viewers of this shard, and to the shards that have others.
    fn spread(&mut self, packet: Packet) {
        let Some(here) = self.publishing.get(&packet.source) else { return };
        let watchers = here.source.watchers();
        if let Some(speakers) = &here.source.speakers {
            speakers.hear(&here.source.place, packet.audio_level, self.shared.micros(packet.arrived));
        }
        let packet = Arc::new(packet);
        for (worker, queue) in self.shared.queues.iter().enumerate() {
            if worker != self.index
                && watchers >> worker & 1 == 1
                && queue.packets.try_send(packet.clone()).is_err()
            {
                self.shared.counters.overrun_packets.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Some(trunks) = &self.shared.trunks {
            let others = watchers >> self.shared.queues.len() << self.shared.queues.len();
            if others != 0 && trunks.packets.try_send((others, packet.clone())).is_err() {
                self.shared.counters.overrun_packets.fetch_add(1, Ordering::Relaxed);
            }
        }
        if watchers >> self.index & 1 == 1 {
            self.batch.push(packet);
        }
    }

    // What goes out

    /// Forwards what has come in since the last time.
    ///
    /// `send` empties the outbox when it has grown large meanwhile; the rest is left for the caller.
    pub(crate) fn flush(&mut self, now: Instant, send: Send<'_>) {
        if !self.batch.is_empty() {
            let mut batch = std::mem::take(&mut self.batch);
            // In place, and what the network has put out of order comes right.
            batch.sort_unstable_by_key(|packet| (packet.source, packet.generation, packet.layer, packet.seq));
            let micros = self.shared.micros(now);
            for packets in batch.chunk_by(|a, b| (a.source, a.generation) == (b.source, b.generation)) {
                self.forward(packets, now, micros, send);
            }
            batch.clear();
            self.batch = batch;
        }
        self.ask_keyframes(now);
    }

    fn forward(&mut self, packets: &[Arc<Packet>], now: Instant, micros: u64, send: Send<'_>) {
        let Some(first) = packets.first() else { return };
        // What has waited here may have lost the right to be sent meanwhile.
        let is_current = |feed: &&mut Feed| feed.source.is_current(first.generation);
        let Some(feed) = self.feeds.get_mut(&first.source).filter(is_current) else { return };
        let is_video = feed.source.key.kind.is_video();
        for packet in packets {
            match feed.histories.get_mut(usize::from(packet.layer)) {
                Some(history) if is_video => history.push(packet),
                Some(history) => history.push_sound(packet),
                None => {}
            }
        }
        let mut forwarded = 0;
        for (at, slot) in &feed.slots {
            let Some(Peer { role: Role::Viewer(viewer), route: Some(route), serial, .. }) =
                self.peers.get_mut(*at).and_then(Option::as_deref_mut)
            else {
                continue;
            };
            let aim = Aim::new(*route, now, micros);
            for packet in packets {
                forwarded += u64::from(viewer.forward(*slot, packet, aim, &mut self.out));
            }
            if viewer.is_holding() {
                hold(&mut self.holding, &mut self.release_at, (*at, *serial), now);
            }
            if self.out.is_full() {
                send(&mut self.out);
            }
        }
        self.shared.counters.forwarded_packets.fetch_add(forwarded, Ordering::Relaxed);
    }

    /// Lets out what had to wait, viewer by viewer.
    fn release(&mut self, now: Instant, send: Send<'_>) {
        let mut holding = std::mem::take(&mut self.holding);
        let micros = self.shared.micros(now);
        holding.retain(|(at, serial)| {
            let Some(peer) = self.peers.get_mut(*at).and_then(Option::as_deref_mut) else { return false };
            let (Role::Viewer(viewer), Some(route)) = (&mut peer.role, peer.route) else { return false };
            if peer.serial != *serial {
                return false;
            }
            let released = viewer.release(Aim::new(route, now, micros), &mut self.out);
            self.shared.counters.forwarded_packets.fetch_add(released, Ordering::Relaxed);
            if self.out.is_full() {
                send(&mut self.out);
            }
            viewer.is_holding()
        });
        self.release_at = (!holding.is_empty()).then(|| now + pacer::INTERVAL);
        self.holding = holding;
    }

    /// Passes on what viewers asked for.
    fn ask_keyframes(&mut self, now: Instant) {
        for (source, layer) in std::mem::take(&mut self.asked) {
            match source.owner() {
                Some(owner) if owner == self.index => self.ask_keyframe_here(source.id, layer, now),
                Some(owner) => {
                    // Should its queue be full, the viewer asks again in a moment.
                    if let Some(queue) = self.shared.queues.get(owner) {
                        let _ = queue.commands.try_send(Command::AskKeyframe { source: source.id, layer });
                    } else if let Some(trunks) = &self.shared.trunks {
                        let order = Order::Keyframe { index: owner, source: source.id, layer };
                        let _ = trunks.orders.try_send(order);
                    }
                }
                None => {}
            }
        }
    }

    fn ask_keyframe_here(&mut self, source: u64, layer: u8, now: Instant) {
        let Some(Publishing { peer, track, .. }) = self.publishing.get(&source) else { return };
        let (at, track) = (*peer, *track);
        let Some(mut peer) = self.peers.get_mut(at).and_then(Option::take) else { return };
        if let Role::Publisher(publisher) = &mut peer.role {
            publisher.ask_keyframe(&mut peer.rtc, track, layer, now);
        }
        self.drive(at, &mut peer, None, now);
        self.put_back(at, peer);
    }

    // Time

    /// When [`Self::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let due = self.timers.peek().map(|Reverse((due, ..))| *due);
        match (due, self.release_at) {
            (Some(due), Some(release)) => Some(due.min(release)),
            (due, release) => due.or(release),
        }
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant, send: Send<'_>) {
        if self.release_at.is_some_and(|at| at <= now) {
            self.release(now, send);
        }
        while let Some(Reverse((due, at, serial))) = self.timers.peek().copied() {
            if due > now {
                break;
            }
            self.timers.pop();
            let is_current = |peer: &Peer| peer.serial == serial && peer.rtc_due.min(peer.tick_due) <= now;
            if self.peers.get(at).and_then(Option::as_deref).is_some_and(is_current) {
                self.tick(at, now);
            }
            if self.out.is_full() {
                send(&mut self.out);
            }
        }
        if self.levels_at.is_none_or(|at| now.saturating_duration_since(at) >= LEVELS_INTERVAL) {
            self.levels_at = Some(now);
            self.tell_levels();
        }
        let since = *self.sampled_at.get_or_insert(now);
        if now >= since + sampling::INTERVAL {
            self.sampled_at = Some(now);
            self.tell_samples(now.saturating_duration_since(since));
        }
        let next = *self.second_at.get_or_insert(now) + sampling::SECOND;
        if now >= next {
            // Seconds are counted: one that is looked at late does not move the next.
            self.second_at = Some(if now < next + sampling::SECOND { next } else { now });
            self.tell_received();
            self.let_go(now);
        }
        self.ask_keyframes(now);
    }

    fn tick(&mut self, at: usize, now: Instant) {
        let Some(mut peer) = self.peers.get_mut(at).and_then(Option::take) else { return };
        let since = peer.heard_at.unwrap_or(peer.created_at);
        let limit = if peer.heard_at.is_some() { SILENCE_TIMEOUT } else { SETUP_TIMEOUT };
        let reason = match &peer.role {
            Role::Publisher(publisher) => publisher.is_lost().then_some(UNPLACED),
            // A page hears of it and may watch something else; a player's picture would stand still for ever.
            Role::Viewer(viewer) => (viewer.is_in_the_dark(now)
                && self.shared.client_of(peer.id) == Client::Other)
                .then_some(UNTAKEN),
        };
        if !peer.rtc.is_alive() || now.saturating_duration_since(since) > limit || reason.is_some() {
            self.events.push(Event::Lost(peer.id, reason.map(Into::into)));
            self.put_back(at, peer);
            self.remove(at);
            return;
        }
        if peer.tick_due <= now {
            peer.tick_due = now + TICK;
            match &mut peer.role {
                Role::Publisher(publisher) => {
                    publisher.tick(&mut peer.rtc, now);
                    let wanted = publisher.wanted(self.shared.micros(now));
                    self.events.extend(wanted.map(|(kind, layers)| Event::Wanted(peer.id, kind, layers)));
                }
                Role::Viewer(viewer) => {
                    if let Some(route) = peer.route {
                        let aim = Aim::new(route, now, self.shared.micros(now));
                        let asked = &mut self.asked;
                        let mut ask = |source: &Arc<Source>, layer| asked.push((source.clone(), layer));
                        let past = FeedsPast(&self.feeds);
                        peer.tick_due = viewer.tick(aim, &past, &mut ask, &mut self.out);
                        if viewer.is_holding() {
                            hold(&mut self.holding, &mut self.release_at, (at, peer.serial), now);
                        }
                        self.shared.counters.add(viewer.take_counts());
                        let (pictures, link) = viewer.take_news(aim.micros);
                        if !pictures.is_empty() {
                            self.events.push(Event::Watching(peer.id, pictures));
                        }
                        self.events.extend(link.map(|link| Event::Link(peer.id, link)));
                    }
                }
            }
        }
        if peer.rtc_due <= now && peer.rtc.handle_input(Input::Timeout(now)).is_err() {
            peer.rtc.disconnect();
        }
        self.drive(at, &mut peer, None, now);
        self.put_back(at, peer);
    }

    fn schedule(&mut self, at: usize, peer: &Peer) {
        self.timers.push(Reverse((peer.rtc_due.min(peer.tick_due), at, peer.serial)));
        // Most entries are outdated: a connection that hears something waits anew. They are thrown away when due, or
        // here before they are many.
        if self.timers.len() > 64 * (self.by_id.len() + 16) {
            let due = |at: usize, serial: u64| {
                let peer = self.peers.get(at).and_then(Option::as_deref)?;
                (peer.serial == serial).then(|| peer.rtc_due.min(peer.tick_due))
            };
            let mut kept: Vec<_> = self.timers.drain().collect();
            kept.retain(|Reverse((when, place, serial))| {
                *place == at || due(*place, *serial).is_some_and(|due| due == *when)
            });
            kept.sort_unstable();
            kept.dedup();
            self.timers = kept.into();
        }
    }

    fn tell_levels(&mut self) {
        let mut told = Vec::new();
        for peer in self.peers.iter_mut().flatten() {
            if let Role::Publisher(publisher) = &mut peer.role
                && let Some((source, level)) = publisher.take_level()
            {
                told.push((source.key.room, source.key.user.clone(), level));
            }
        }
        if !told.is_empty() {
            self.events.push(Event::Levels(told));
        }
    }

    fn tell_samples(&mut self, elapsed: Duration) {
        let mut told = Vec::new();
        for peer in self.peers.iter_mut().flatten() {
            match &mut peer.role {
                Role::Publisher(publisher) => told.extend(publisher.samples(peer.id, elapsed)),
                Role::Viewer(viewer) => told.extend(viewer.samples(peer.id, elapsed)),
            }
        }
        if !told.is_empty() {
            self.events.push(Event::Samples(told));
        }
    }

    fn tell_received(&mut self) {
        let mut told = Vec::new();
        for peer in self.peers.iter_mut().flatten() {
            if let Role::Viewer(viewer) = &mut peer.role {
                told.extend(viewer.take_second().map(|pictures| (peer.id, pictures)));
            }
        }
        if !told.is_empty() {
            self.events.push(Event::Received(told));
        }
    }

    // Connections

    fn put_back(&mut self, at: usize, peer: Box<Peer>) {
        if let Some(place) = self.peers.get_mut(at) {
            *place = Some(peer);
        }
    }

    /// The connection, made anew when it does not exist.
    fn open(&mut self, id: PeerId, role: impl FnOnce() -> Role, now: Instant) -> usize {
        if let Some(at) = self.by_id.get(&id) {
            return *at;
        }
        let mut config = Rtc::builder()
            .set_crypto_provider(keys::provider(self.shared.client_of(id)))
            .set_dtls_cert(self.shared.certificate.clone())
            .set_ice_lite(true)
            .set_rtp_mode(true)
            // It is seen to in `drive`, for all hashes.
            .set_fingerprint_verification(false)
            // A number that the library's own leave free; an offer's holds in its place.
            .set_extension(12, dependency::extension())
            .set_send_buffer_audio(1)
            .set_send_buffer_video(1);
        *config.codec_config() = sdp::codecs();
        let mut rtc = config.build(now);
        for (address, is_tcp) in self.shared.candidates() {
            let candidate = match is_tcp {
                false => Candidate::host(address, Protocol::Udp),
                true => Candidate::builder().tcp().host(address).tcptype(TcpType::Passive).build(),
            };
            match candidate {
                Ok(candidate) => drop(rtc.add_local_candidate(candidate)),
                Err(error) => tracing::warn!(%address, %error, "an address cannot be a candidate"),
            }
        }
        self.serials += 1;
        let peer = Box::new(Peer {
            id,
            serial: self.serials,
            rtc,
            role: role(),
            ufrag: String::new(),
            route: None,
            route_heard_at: now,
            nominating: None,
            is_keyed: false,
            created_at: now,
            heard_at: None,
            rtc_due: now,
            tick_due: now + TICK,
            addresses: Vec::new(),
            fingerprints: Vec::new(),
            library: Library::default(),
            ours: Ours { session: self.shared.number() >> 2, ..Ours::default() },
        });
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.peers.push(None);
                self.peers.len() - 1
            }
        };
        self.put_back(at, peer);
        self.by_id.insert(id, at);
        at
    }

    fn forget_ufrag(&mut self, name: &str) {
        self.by_ufrag.remove(name);
        self.shared.ufrags.write().remove(name);
    }

    fn join_feed(&mut self, source: &Arc<Source>, at: usize, slot: usize) {
        self.open_feed(source).slots.push((at, slot));
        self.shared.note_changed(source);
    }

    /// The feed of a source, which is sent here from now on.
    fn open_feed(&mut self, source: &Arc<Source>) -> &mut Feed {
        if !self.feeds.contains_key(&source.id) {
            source.watch(self.index, true);
            // After that: what is not among it comes here by itself.
            self.ask_for_kept(source);
        }
        let new = || Feed {
            source: source.clone(),
            histories: Default::default(),
            slots: Vec::new(),
            kept_until: None,
        };
        self.feeds.entry(source.id).or_insert_with(new)
    }

    fn leave_feed(&mut self, source: u64, at: usize, slot: usize) {
        let Some(feed) = self.feeds.get_mut(&source) else { return };
        if let Some(place) = feed.slots.iter().position(|listed| *listed == (at, slot)) {
            feed.slots.swap_remove(place);
        }
        self.leave_if_unused(source);
    }

    /// A source that nobody watches here, or is about to, is not sent here any more.
    fn leave_if_unused(&mut self, source: u64) {
        let is_unused = |feed: &&Feed| feed.slots.is_empty() && feed.kept_until.is_none();
        let Some(feed) = self.feeds.get(&source).filter(is_unused) else { return };
        feed.source.watch(self.index, false);
        self.shared.note_changed(&feed.source);
        self.feeds.remove(&source);
    }

    fn remove(&mut self, at: usize) {
        let Some(mut peer) = self.peers.get_mut(at).and_then(Option::take) else { return };
        match &mut peer.role {
            Role::Publisher(publisher) => {
                publisher.end();
                for track in &publisher.tracks {
                    self.shared.note_changed(&track.source);
                    let is_ours = |here: &Publishing| here.peer == at;
                    if self.publishing.get(&track.source.id).is_some_and(is_ours) {
                        self.publishing.remove(&track.source.id);
                    }
                }
            }
            Role::Viewer(viewer) => {
                for (slot, place) in viewer.slots.iter().zip(0..) {
                    if let Some(source) = &slot.source {
                        self.leave_feed(source.id, at, place);
                    }
                }
            }
        }
        // The client learns at once that nothing more will come.
        if peer.rtc.close().is_ok() {
            while let Ok(Output::Transmit(transmit)) = peer.rtc.poll_output() {
                let route = way_back(&self.shared, &transmit, [peer.route, None]);
                if matches!(transmit.contents.first(), Some(20..64)) {
                    self.out.push(route, &transmit.contents);
                }
            }
        }
        for route in &peer.addresses {
            if self.by_route.get(route) == Some(&at) {
                self.by_route.remove(route);
            }
        }
        self.forget_ufrag(&peer.ufrag);
        self.by_id.remove(&peer.id);
        self.shared.forget_peer(peer.id);
        self.free.push(at);
    }
}

/// Something of a viewer, by its place and serial, waits to leave.
fn hold(
    holding: &mut Vec<(usize, u64)>,
    release_at: &mut Option<Instant>,
    whose: (usize, u64),
    now: Instant,
) {
    if !holding.contains(&whose) {
        holding.push(whose);
    }
    release_at.get_or_insert(now + pacer::INTERVAL);
}

/// The way of what is sent: the library knows addresses as clients are told them, which behind address translation are not
/// the ones to send from; a way that is `known` is.
fn way_back(shared: &Shared, transmit: &Transmit, known: [Option<Route>; 2]) -> Route {
    let is_tcp = transmit.proto != Protocol::Udp;
    let is_it = |route: &Route| route.remote == transmit.destination && (route.kind == Kind::Tcp) == is_tcp;
    let kind = if is_tcp { Kind::Tcp } else { Kind::Udp };
    let plain = Route { kind, remote: transmit.destination, local: None };
    known.into_iter().flatten().find(is_it).unwrap_or_else(|| match &shared.turn {
        Some(turn) if turn.has_relayed(plain.remote) => Route::relay(plain.remote, transmit.source.ip()),
        _ => plain,
    })
}
