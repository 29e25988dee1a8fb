//! Numbers of a room that only grow, and must not go back in a restart.

use serde::{Deserialize, Serialize};

/// A room's numbers (`spec/live-rest-api.md`, get_room_statistic).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// How often somebody has entered.
    pub views: u64,
    /// The newest message's number.
    pub last_seq: u64,
    /// How many messages were sent.
    pub messages: u64,
    /// How many likes were sent.
    pub likes: u64,
    /// How many gifts were given.
    pub gifts: u64,
    /// What they cost together.
    pub coins: u64,
    /// How often something was given.
    pub gift_events: u64,
}
