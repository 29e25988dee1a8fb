//! Viewers who are about to come. Of the pictures that one of them may watch, a keyframe is asked for at once; that and what follows it is
//! kept at the publisher's worker for a moment, watched or not, and handed to the worker that the viewer comes to. So it is there
//! when the viewer's connection is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{FeedsPast, Publishing, Shard};
use crate::command::Command;
use crate::source::{History, Packet, Source};
use crate::viewer::{self, Past as _};

/// For how long packets are kept that nobody watches yet: a keyframe from before that is too old to begin with.
const KEPT_FOR: Duration = Duration::from_secs(2);

impl Shard {
    /// Somebody who may watch a source that is published here is about to come.
    pub(super) fn expect(&mut self, source: u64, now: Instant) {
        let Some(Publishing { source, .. }) = self.publishing.get(&source) else { return };
        let source = source.clone();
        if source.is_withheld() {
            return;
        }
        if self.open_feed(&source).kept_until.replace(now + KEPT_FOR).is_none() {
            self.kept.push(source.id);
        }
        // Newcomers begin with the smallest that comes.
        let layers = if source.is_scalable() { 1 } else { source.layer_count() };
        let layer = (0..layers).find(|layer| source.comes(*layer)).unwrap_or(0);
        let micros = self.shared.micros(now);
        source.seek(layer, micros);
        let recent = FeedsPast(&self.feeds).recent(&source, source.generation(), layer as u8);
        if !recent.is_some_and(|recent| viewer::is_fresh(&recent, now)) && source.expect(micros) {
            self.ask_keyframe_here(source.id, layer as u8, now);
        }
    }

    /// Lets go of what was kept for those who have not come.
    pub(super) fn let_go(&mut self, now: Instant) {
        for source in std::mem::take(&mut self.kept) {
            let Some(feed) = self.feeds.get_mut(&source) else { continue };
            if feed.kept_until.is_some_and(|until| until > now) {
                self.kept.push(source);
                continue;
            }
            feed.kept_until = None;
            self.leave_if_unused(source);
        }
    }

    /// The first viewer of a source has come to this worker: what its publisher's has of it is of use here, too.
    pub(super) fn ask_for_kept(&self, source: &Source) {
        let owner = source.owner().filter(|owner| *owner != self.index && source.key.kind.is_video());
        let queue = owner.and_then(|owner| self.shared.queues.get(owner));
        if let Some(queue) = queue {
            // Should the queue be full, a keyframe is asked for.
            let _ = queue.commands.try_send(Command::AskKept { source: source.id, worker: self.index });
        }
    }

    /// Hands a worker the newest keyframes and what follows.
    pub(super) fn hand_over(&self, source: u64, worker: usize, now: Instant) {
        let Some(feed) = self.feeds.get(&source) else { return };
        let generation = feed.source.generation();
        let mut packets = Vec::new();
        for history in &feed.histories {
            let recent = history.recent(generation).filter(|recent| viewer::is_young(recent, now));
            let Some(recent) = recent else { continue };
            packets.extend(
                (recent.first..=recent.newest).filter_map(|seq| history.get(generation, seq).cloned()),
            );
        }
        // What has just come is not among them yet, and was perhaps not sent there.
        packets.extend(self.batch.iter().filter(|packet| packet.source == source).cloned());
        if let Some(queue) = self.shared.queues.get(worker).filter(|_| !packets.is_empty()) {
            let _ = queue.commands.try_send(Command::Kept { source, packets });
        }
    }

    /// Takes what another worker had of a source before it was watched here.
    pub(super) fn take_kept(&mut self, source: u64, packets: &[Arc<Packet>], now: Instant) {
        let Some(feed) = self.feeds.get_mut(&source) else { return };
        for packet in packets.iter().filter(|packet| feed.source.is_current(packet.generation)) {
            if let Some(history) = feed.histories.get_mut(usize::from(packet.layer)) {
                history.push(packet);
            }
        }
        feed.histories.iter_mut().for_each(History::catch_up);
        // Whoever is connected already goes on from there.
        let waiting: Vec<usize> = feed.slots.iter().map(|(at, _)| *at).collect();
        for at in waiting {
            let Some(mut peer) = self.peers.get_mut(at).and_then(Option::take) else { continue };
            peer.tick_due = now;
            self.schedule(at, &peer);
            self.put_back(at, peer);
        }
    }
}
