//! What a viewer is told of its pictures and its link: a picture that stops for want of room says so, and one that changes its
//! size does, but not all the time; sound that it cannot play says so too.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::showing::{Pause, Showing};
use crate::slot::Slot;
use crate::source::SourceKey;

/// How often a change of size, or of the link, is told at most. A picture that pauses, or goes on, is told at once.
const INTERVAL_US: u64 = 2_000_000;

/// By how much a link has to change to be told of.
const CHANGE: f64 = 0.2;
const LOSS_CHANGE: f64 = 0.02;

/// What a viewer's link is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What it carries, in bits a second.
    pub bits: u32,
    /// To the viewer and back.
    pub round_trip: Duration,
    /// Of a thousand packets, so many are lost.
    pub lost: u16,
}

/// What has been told.
#[derive(Default)]
pub(crate) struct Telling {
    link: Option<(Link, u64)>,
    sizes_at: u64,
}

impl Telling {
    /// The pictures of which there is something new.
    pub(crate) fn pictures(&mut self, slots: &mut [Slot], now: u64) -> Vec<(SourceKey, Showing)> {
        let may_tell_sizes = now.saturating_sub(self.sizes_at) >= INTERVAL_US;
        let mut news = Vec::new();
        for slot in slots {
            let Some(showing) = showing(slot) else { continue };
            let is_size = matches!((slot.told, showing), (Some(Showing::Playing(_)), Showing::Playing(_)));
            if slot.told == Some(showing) || is_size && !may_tell_sizes {
                continue;
            }
            slot.told = Some(showing);
            self.sizes_at = now;
            news.extend(slot.source.as_ref().map(|source| (source.key.clone(), showing)));
        }
        news
    }

    /// The link, when it has changed.
    pub(crate) fn link(&mut self, now: u64, bits: f64, round_trip: Duration, loss: f64) -> Option<Link> {
        let fresh = Link { bits: bits as u32, round_trip, lost: (1000.0 * loss.clamp(0.0, 1.0)) as u16 };
        let is_news = self.link.is_none_or(|(told, at)| {
            let differs = |a: f64, b: f64| (a - b).abs() > CHANGE * a.max(b);
            now.saturating_sub(at) >= INTERVAL_US
                && (differs(f64::from(told.bits), bits)
                    || (f64::from(told.lost) / 1000.0 - loss).abs() > LOSS_CHANGE)
        });
        is_news.then(|| {
            self.link = Some((fresh, now));
            fresh
        })
    }
}

/// How a slot's picture is shown; `None` when that is not settled, or told otherwise: there is no publisher, or the viewer itself
/// has paused it.
fn showing(slot: &mut Slot) -> Option<Showing> {
    let source = slot.source.as_ref().filter(|source| source.owner().is_some() && !slot.wanted.is_paused);
    let Some(source) = source else {
        slot.told = None;
        return None;
    };
    if slot.lacks {
        return Some(Showing::Paused(Pause::Codec));
    }
    if !slot.is_video {
        // Of sound only that is told, and its end.
        return slot.told.map(|_| Showing::Playing(0));
    }
    if slot.is_held {
        return Some(Showing::Paused(Pause::Network));
    }
    let comes = (0..source.layer_count()).any(|layer| source.bits(layer) > 0);
    match slot.current_layer() {
        // Before the first packet, nobody knows.
        _ if !comes => slot.told.map(|_| Showing::Paused(Pause::Publisher)),
        Some(layer) => Some(Showing::Playing(source.height(layer.into()))),
        None => None,
    }
}
