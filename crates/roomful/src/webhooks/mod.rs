//! Webhooks: what happens in an app's rooms, told to the app's own server (`spec/webhooks.md`).
//!
//! Before-events are asked with a deadline and may refuse; after-events are written with the change they tell of, and
//! sent from there until they arrive. Event callbacks go the same way, to receivers of their own.

mod address;
mod ask;
mod backlog;
mod callbacks;
mod events;
mod outbox;
mod places;
mod receiver;
mod resolver;

pub(crate) use ask::{gift, message, refusal, review};
pub(crate) use callbacks::{
    GROUPS, MEDIA, ROOM, check as check_callback, group as callback_group, name as callback_name,
    receivers as callback_receivers, room_created as call_begun, room_dismissed as call_ended,
};
pub(crate) use events::{EVENTS, Moments, Teller, battle_event, room_created, room_destroyed};
pub(crate) use outbox::Outbox;
pub(crate) use receiver::{Sender, check_url, test};

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock;

/// Gives events their ids: unique over the life of a data folder, growing with time.
pub(crate) struct EventIds(AtomicU64);

impl EventIds {
    /// Goes on after the last one that is kept. Those that were delivered are kept nowhere, so the clock has a say:
    /// a server makes fewer than one event a microsecond.
    pub(crate) fn after(last: u64) -> Self {
        Self(AtomicU64::new(last.max(clock::now().unix_millis().saturating_mul(1000))))
    }

    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Says which of `events` does not exist, and which is nearest to it.
pub(crate) fn unknown_event(events: &[String]) -> Option<String> {
    let unknown = events.iter().find(|event| !EVENTS.iter().any(|(name, _)| name == event))?;
    let nearest =
        EVENTS.iter().map(|(name, _)| *name).min_by_key(|name| strsim::damerau_levenshtein(name, unknown));
    Some(format!("there is no event {unknown}; did you mean {}?", nearest.unwrap_or_default()))
}
