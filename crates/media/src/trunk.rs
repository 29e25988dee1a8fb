//! A trunk: what the forwarding units of two nodes of a cluster send each other. A source that is published at one node and watched
//! at another goes there once, all its layers, however many viewers it has there; to their workers it is as if it came from one
//! more worker of their own.
//!
//! ```text
//! publisher's worker -> End (seals, keeps what may be missing) -> UDP -> End (opens, asks for what is missing) -> viewers' workers
//!                            <- words: watch, seek, keyframe, missing     stream, end ->
//! ```
//! Packets are SRTP (`packet.rs`, RFC 7714); words go over a way of the nodes' own (`word.rs`). Nothing here knows which node that is:
//! a node with viewers says of what at all its trunks, and the one where that is published answers.
//!
//! Without I/O: packets, datagrams, words and time go in, datagrams and words come out; see `trunk/drive.rs`.

mod arrivals;
mod drive;
mod packet;
#[cfg(test)]
mod tests;
mod word;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

pub use drive::Trunk;
pub(crate) use drive::start;

use crate::command::Command;
use crate::outbox::{Outbox, Route};
use crate::shared::Shared;
use crate::source::{MAX_LAYERS, Packet, Source, State};
use crate::srtp::{Keys, NODE_MATERIAL, OpenRtp, Protect};
use arrivals::Arrivals;
use word::{Name, Word};

/// How often it is looked at what has changed of sources.
const TICK: Duration = Duration::from_millis(100);

/// Packets that may be missed of a layer: half a second of 8 Mbit/s.
const KEPT: usize = 512;

/// SSRCs a source takes.
const LANES: u32 = 4;

/// Words that may wait; a node that takes none is no use.
const MOST_WORDS: usize = 65_536;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The node at the other end, once it has said hello.
struct Other {
    route: Route,
    /// Which of its trunks this is.
    trunk: u8,
    open: OpenRtp,
}

/// A source that the other node has viewers of.
struct Outgoing {
    source: Arc<Source>,
    told: Option<Told>,
}

/// What it was told of a publication.
struct Told {
    generation: u32,
    ssrc: u32,
    state: State,
    lanes: [Lane; MAX_LAYERS],
}

/// A layer's packets as they were sent.
#[derive(Default)]
struct Lane {
    sent: u64,
    kept: Vec<Option<(u64, Arc<Packet>)>>,
}

impl Lane {
    /// The next number, by which a packet goes.
    fn number(&mut self, packet: &Arc<Packet>) -> u64 {
        self.sent += 1;
        if self.kept.is_empty() {
            self.kept.resize(KEPT, None);
        }
        if let Some(place) = self.kept.get_mut(self.sent as usize % KEPT) {
            *place = Some((self.sent, packet.clone()));
        }
        self.sent
    }

    fn get(&self, number: u64) -> Option<&Arc<Packet>> {
        let (known, packet) = self.kept.get(number as usize % KEPT)?.as_ref()?;
        (*known == number).then_some(packet)
    }
}

/// A source that is published at the other node.
struct Incoming {
    source: Arc<Source>,
    generation: u32,
    lanes: [Arrivals; MAX_LAYERS],
    /// When viewers here wanted each layer, as far as the other node was told.
    sought: [u64; MAX_LAYERS],
}

/// One end of a trunk.
struct End {
    /// As which worker it counts.
    index: usize,
    shared: Arc<Shared>,
    protect: Protect,
    other: Option<Other>,
    outgoing: Map<u64, Outgoing>,
    /// The source of each SSRC that is sent.
    sent: Map<u32, u64>,
    /// What viewers here watch, as far as the other node was told.
    watched: Map<u64, Arc<Source>>,
    incoming: Map<u32, Incoming>,
    /// The SSRC of each source that comes.
    coming: Map<u64, u32>,
    last_ssrc: u32,
    words: VecDeque<Word>,
    tick_at: Instant,
    /// When something is to be done, be it a tick or to ask for what is missing.
    due: Instant,
}

impl End {
    /// One that counts as worker `index`, and seals by `material`. `None` when no key can be made of it.
    fn new(index: usize, shared: Arc<Shared>, material: &[u8; NODE_MATERIAL], now: Instant) -> Option<Self> {
        let at = shared.trunks.as_ref()?.at;
        let mut end = Self {
            index,
            protect: Protect::new(&Keys::of_node(material))?,
            other: None,
            outgoing: Map::default(),
            sent: Map::default(),
            watched: Map::default(),
            incoming: Map::default(),
            coming: Map::default(),
            last_ssrc: 0,
            words: VecDeque::new(),
            tick_at: now,
            due: now,
            shared,
        };
        end.say(Word::Hello { at, trunk: index as u8, key: material.to_vec() });
        for source in end.shared.sources.all() {
            end.note_watched(&source);
        }
        Some(end)
    }

    fn say(&mut self, word: Word) {
        self.words.push_back(word);
    }

    /// The next word to be said.
    fn next_word(&mut self) -> Option<String> {
        serde_json::to_string(&self.words.pop_front()?).ok()
    }

    fn has_words(&self) -> bool {
        !self.words.is_empty()
    }

    /// Whether the other node takes too little to be of use.
    fn is_stuck(&self) -> bool {
        self.words.len() > MOST_WORDS
    }

    // Sources that are published here

    /// Whether a source is published at this node.
    fn is_here(&self, source: &Source) -> bool {
        source.owner().is_some_and(|owner| owner < self.shared.queues.len())
    }

    /// Tells what has changed of a source that the other node watches.
    fn tell(&mut self, source: u64, now: Instant) {
        let Some(Outgoing { source, told }) = self.outgoing.get(&source) else { return };
        let source = source.clone();
        let is_here = self.is_here(&source);
        let generation = source.generation();
        let known = told.as_ref().map(|told| (told.ssrc, told.generation));
        if let Some((ssrc, _)) = known.filter(|(_, known)| !is_here || *known != generation) {
            self.sent.remove(&ssrc);
            self.outgoing.get_mut(&source.id).into_iter().for_each(|outgoing| outgoing.told = None);
            if !is_here {
                self.say(Word::End { ssrc });
            }
        }
        if !is_here {
            return;
        }
        let state = source.state(self.shared.micros(now));
        let name = || Name::of(&source.key);
        match self.outgoing.get_mut(&source.id).map(|outgoing| &mut outgoing.told) {
            Some(Some(told)) if told.state == state => {}
            Some(Some(told)) => {
                told.state = state.clone();
                let ssrc = told.ssrc;
                self.say(Word::Stream { ssrc, source: name(), state });
            }
            Some(place) => {
                // Each publication has others, so that under one key nothing is sealed twice by one number.
                let Some(ssrc) = self.last_ssrc.checked_add(LANES) else { return };
                self.last_ssrc = ssrc;
                *place = Some(Told { generation, ssrc, state: state.clone(), lanes: Default::default() });
                self.sent.insert(ssrc, source.id);
                self.say(Word::Stream { ssrc, source: name(), state });
            }
            None => {}
        }
    }

    /// A packet of a source that the other node watches.
    fn take_packet(&mut self, packet: &Arc<Packet>, now: Instant, out: &mut Outbox) {
        let is_told = |outgoing: &Outgoing| {
            outgoing.told.as_ref().is_some_and(|told| told.generation == packet.generation)
        };
        match self.outgoing.get(&packet.source) {
            None => return,
            Some(outgoing) if is_told(outgoing) => {}
            Some(_) => self.tell(packet.source, now),
        }
        let told = self.outgoing.get_mut(&packet.source).and_then(|outgoing| outgoing.told.as_mut());
        let Some(told) = told.filter(|told| told.generation == packet.generation) else { return };
        let Some(lane) = told.lanes.get_mut(usize::from(packet.layer)) else { return };
        let (ssrc, number) = (told.ssrc + u32::from(packet.layer), lane.number(packet));
        if self.send(packet, (ssrc, number), out).is_some() {
            self.shared.counters.trunk_packets.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn send(&self, packet: &Packet, (ssrc, number): (u32, u64), out: &mut Outbox) -> Option<()> {
        let Other { route, trunk, .. } = self.other.as_ref()?;
        let start = out.start();
        let sealed = packet::write(packet, *trunk, ssrc, number, &mut out.buffer)
            .and_then(|header| self.protect.rtp(&mut out.buffer, start, header, ssrc, number));
        match sealed {
            Some(()) => out.finish(*route, start),
            None => out.abandon(start),
        }
        sealed
    }

    // Sources that are published at the other node

    /// Who watches a source here may have changed.
    fn note_watched(&mut self, source: &Arc<Source>) {
        let here = (1_u64 << self.shared.queues.len()) - 1;
        let on = source.watchers() & here != 0;
        if on == self.watched.contains_key(&source.id) {
            return;
        }
        match on {
            true => _ = self.watched.insert(source.id, source.clone()),
            false => {
                self.watched.remove(&source.id);
                // Nothing is told of it any more, not even its end.
                self.coming.get(&source.id).copied().into_iter().for_each(|ssrc| self.take_end(ssrc));
            }
        }
        self.say(Word::Watch { source: Name::of(&source.key), on });
    }

    /// A viewer here needs a keyframe.
    fn ask_keyframe(&mut self, source: u64, layer: u8) {
        if let Some(ssrc) = self.coming.get(&source) {
            self.words.push_back(Word::Keyframe { ssrc: *ssrc, layer });
        }
    }

    /// A datagram of the other node.
    fn take_datagram(&mut self, bytes: &[u8], now: Instant) {
        if self.open(bytes, now).is_none() {
            self.shared.counters.unknown_packets.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn open(&mut self, bytes: &[u8], now: Instant) -> Option<()> {
        let head = packet::head(bytes)?;
        let layer = head.ssrc % LANES;
        let incoming = self.incoming.get_mut(&(head.ssrc - layer))?;
        let lane = incoming.lanes.get_mut(layer as usize)?;
        let number = lane.number(head.seq);
        let payload = self.other.as_ref()?.open.rtp(bytes, head.length, head.ssrc, number)?;
        let is_fresh = lane.take(number, now);
        self.due = lane.poll().map_or(self.due, |missing| missing.min(self.due));
        if !is_fresh || incoming.source.generation() != incoming.generation {
            return Some(());
        }
        let source = &incoming.source;
        let of = (source.id, incoming.generation, layer as u8);
        let packet = packet::read(bytes.get(..head.length)?, of, payload, now)?;
        if let Some(speakers) = &source.speakers {
            speakers.hear(&source.place, packet.audio_level, self.shared.micros(now));
        }
        let (packet, watchers) = (Arc::new(packet), source.watchers());
        for (worker, queue) in self.shared.queues.iter().enumerate() {
            if watchers >> worker & 1 == 1 && queue.packets.try_send(packet.clone()).is_err() {
                self.shared.counters.overrun_packets.fetch_add(1, Ordering::Relaxed);
            }
        }
        Some(())
    }

    fn take_stream(&mut self, ssrc: u32, name: &Name, state: &State, now: Instant) {
        let micros = self.shared.micros(now);
        if let Some(known) = self.incoming.get(&ssrc) {
            // Its member may publish it here by now.
            if known.source.generation() == known.generation {
                known.source.set_state(state, micros);
            }
            return;
        }
        let Some(key) = name.key() else { return };
        let source = self.shared.sources.get(&key);
        if !self.watched.contains_key(&source.id) {
            // It was said before the other node heard that nobody watches.
            return;
        }
        if let Some(former) = self.coming.insert(source.id, ssrc) {
            self.incoming.remove(&former);
        }
        let generation = self.shared.sources.publish(&source, self.index, state.layers.len(), 0);
        source.set_state(state, micros);
        let incoming = Incoming { source, generation, lanes: Default::default(), sought: Default::default() };
        self.incoming.insert(ssrc, incoming);
    }

    fn take_end(&mut self, ssrc: u32) {
        let Some(Incoming { source, generation, .. }) = self.incoming.remove(&ssrc) else { return };
        source.unpublish(generation);
        if self.coming.get(&source.id) == Some(&ssrc) {
            self.coming.remove(&source.id);
        }
    }

    // Words and time

    /// Takes a word of the other node. `None` for one that makes no sense, after which none will.
    fn hear(&mut self, word: &str, now: Instant, out: &mut Outbox) -> Option<()> {
        match serde_json::from_str(word).ok()? {
            // Said twice, one number could seal two texts.
            Word::Hello { .. } if self.other.is_some() => return None,
            Word::Hello { at, trunk, key } => {
                let material: [u8; NODE_MATERIAL] = key.try_into().ok()?;
                let open = OpenRtp::new(&Keys::of_node(&material))?;
                self.other = Some(Other { route: Route::udp(at), trunk, open });
            }
            Word::Watch { source, on } => {
                let Some(key) = source.key() else { return Some(()) };
                let source = self.shared.sources.get(&key);
                source.watch(self.index, on);
                match on {
                    true => {
                        let id = source.id;
                        self.outgoing.entry(id).or_insert(Outgoing { source, told: None });
                        self.tell(id, now);
                    }
                    false => {
                        let known = self.outgoing.remove(&source.id).and_then(|outgoing| outgoing.told);
                        known.into_iter().for_each(|told| _ = self.sent.remove(&told.ssrc));
                    }
                }
            }
            Word::Stream { ssrc, source, state } => self.take_stream(ssrc, &source, &state, now),
            Word::End { ssrc } => self.take_end(ssrc),
            Word::Seek { ssrc, layer, ago } => {
                if let Some(source) = self.sent(ssrc) {
                    source.seek(layer.into(), self.shared.micros(now).saturating_sub(ago));
                }
            }
            Word::Keyframe { ssrc, layer } => {
                if let Some(source) = self.sent(ssrc)
                    && let Some(queue) = source.owner().and_then(|owner| self.shared.queues.get(owner))
                {
                    // Should its queue be full, the viewer asks again in a moment.
                    let _ = queue.commands.try_send(Command::AskKeyframe { source: source.id, layer });
                }
            }
            Word::Missing { ssrc, layer, numbers } => self.send_again(ssrc, layer, &numbers, out),
            Word::Other => {}
        }
        Some(())
    }

    /// The source that is sent by an SSRC.
    fn sent(&self, ssrc: u32) -> Option<&Arc<Source>> {
        let outgoing = self.outgoing.get(self.sent.get(&ssrc)?)?;
        Some(&outgoing.source)
    }

    fn send_again(&self, ssrc: u32, layer: u8, numbers: &[u64], out: &mut Outbox) {
        let told = self.sent(ssrc).and_then(|source| self.outgoing.get(&source.id)?.told.as_ref());
        let Some(lane) = told.and_then(|told| told.lanes.get(usize::from(layer))) else { return };
        for number in numbers.iter().take(KEPT) {
            if let Some(packet) = lane.get(*number)
                && self.send(packet, (ssrc + u32::from(layer), *number), out).is_some()
            {
                self.shared.counters.trunk_resent.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// When [`Self::handle_timeout`] is due.
    fn poll_timeout(&self) -> Instant {
        self.due
    }

    /// Does what is due.
    fn handle_timeout(&mut self, now: Instant) {
        for (ssrc, incoming) in &mut self.incoming {
            for (lane, layer) in incoming.lanes.iter_mut().zip(0..) {
                let numbers = lane.due(now);
                if !numbers.is_empty() {
                    self.words.push_back(Word::Missing { ssrc: *ssrc, layer, numbers });
                }
            }
        }
        if now >= self.tick_at {
            self.tick_at = now + TICK;
            self.tick(now);
        }
        let missing = self.incoming.values().flat_map(|incoming| &incoming.lanes).filter_map(Arrivals::poll);
        self.due = missing.min().map_or(self.tick_at, |missing| missing.min(self.tick_at));
    }

    /// Tells what has changed of sources here, and what is wanted of those there.
    fn tick(&mut self, now: Instant) {
        let outgoing: Vec<u64> = self.outgoing.keys().copied().collect();
        outgoing.into_iter().for_each(|source| self.tell(source, now));
        let micros = self.shared.micros(now);
        for (ssrc, Incoming { source, sought, .. }) in &mut self.incoming {
            for (sought, layer) in sought.iter_mut().zip(0..) {
                let at = source.sought_at(layer);
                if at > *sought {
                    *sought = at;
                    let ago = micros.saturating_sub(at);
                    self.words.push_back(Word::Seek { ssrc: *ssrc, layer: layer as u8, ago });
                }
            }
        }
    }
}

impl Drop for End {
    /// Nothing comes by it any more, and nobody watches by it.
    fn drop(&mut self) {
        self.outgoing.values().for_each(|outgoing| outgoing.source.watch(self.index, false));
        self.incoming.values().for_each(|incoming| incoming.source.unpublish(incoming.generation));
    }
}
