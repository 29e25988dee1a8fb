//! What goes on between the rooms of an app: battles, and connections for co-hosting.
//!
//! One lock for both, never held while a room's is: rooms are told one after the other, when it is open again.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use rooms::{Battle, Connections, Error, RoomId, Time};

use crate::alarm::Alarm;

/// How many battles that are over are kept to be looked at.
const ENDED_KEPT: usize = 1000;

/// An app's battles and connections.
#[derive(Default)]
pub(crate) struct Stage {
    battles: Mutex<BTreeMap<String, Battle>>,
    pub(crate) connections: Mutex<Connections>,
    /// Held by whoever changes what is between rooms, until that is on disk. Who holds a room's lane may take it, and not the
    /// other way round.
    pub(crate) lane: tokio::sync::Mutex<()>,
    pub(crate) battle_alarm: Alarm,
    pub(crate) connection_alarm: Alarm,
}

impl Stage {
    /// Takes over a battle that is durable by now; returns an old one that makes room for it.
    pub(crate) fn put_battle(&self, battle: Battle) -> Option<String> {
        let mut battles = self.battles.lock();
        battles.insert(battle.id.clone(), battle);
        if battles.len() <= ENDED_KEPT {
            return None;
        }
        let oldest =
            battles.values().filter_map(|battle| Some((battle.ended_at?, &battle.id))).min()?.1.clone();
        battles.remove(&oldest);
        Some(oldest)
    }

    /// A battle by its id.
    pub(crate) fn battle(&self, id: &str) -> Result<Battle, Error> {
        self.battles.lock().get(id).cloned().ok_or_else(|| Error::BattleNotFound(id.into()))
    }

    /// The battle a room takes part in, else one that it is asked to.
    pub(crate) fn battle_of(&self, room: &str) -> Option<Battle> {
        let battles = self.battles.lock();
        let takes_part = battles.values().find(|battle| battle.has(room));
        takes_part.or_else(|| battles.values().find(|battle| battle.holds(room))).cloned()
    }

    /// The battle a room takes part in. One that it is only asked to does not keep it from another.
    pub(crate) fn battle_with(&self, room: &str) -> Option<Battle> {
        self.battles.lock().values().find(|battle| battle.has(room)).cloned()
    }

    /// How many battles wait for a room's answer.
    pub(crate) fn asked(&self, room: &str) -> usize {
        self.battles.lock().values().filter(|battle| battle.holds(room) && !battle.has(room)).count()
    }

    /// Battles that are not over.
    pub(crate) fn open_battles(&self) -> Vec<Battle> {
        self.battles.lock().values().filter(|battle| battle.is_open()).cloned().collect()
    }

    /// When time acts on a battle next.
    pub(crate) fn next_battle_deadline(&self) -> Option<Time> {
        self.battles.lock().values().filter_map(Battle::deadline).min()
    }

    /// The rooms connected with `room`, itself included; empty when it is alone.
    pub(crate) fn connected(&self, room: &RoomId) -> Vec<RoomId> {
        self.connections.lock().of(room).map(|connection| connection.rooms.clone()).unwrap_or_default()
    }
}
