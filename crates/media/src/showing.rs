//! How pictures are shown.

use serde::{Deserialize, Serialize};

/// Why a picture does not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pause {
    /// The viewer's link has no room for it.
    Network,
    /// Its publisher sends nothing.
    Publisher,
    /// Its publisher sends it by codecs that the viewer does not take.
    Codec,
}

/// How a picture that is watched is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Showing {
    /// It moves, at that height; 0 when nobody said.
    Playing(u32),
    /// It does not.
    Paused(Pause),
}
