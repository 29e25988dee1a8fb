//! What streams are like, every two seconds: for whoever asks later. Nothing is decided by it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::source::{PeerId, StreamKind};

/// How often a sample is taken of each stream.
pub(crate) const INTERVAL: Duration = Duration::from_secs(2);

/// How often it is seen to who receives what.
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// One stream of one connection in the last two seconds. What nothing came or went of is not sampled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Whose connection.
    pub peer: PeerId,
    /// What it carries.
    pub kind: StreamKind,
    /// Who sent what was received; `None` of what this connection sends itself.
    pub from: Option<Arc<str>>,
    /// Bits a second, all layers of what is sent together.
    pub bits: u32,
    /// Pictures a second, of the layer that has the most; of video.
    pub frames: Option<u32>,
    /// Width and height of the pictures, of the highest layer that comes; of video whose height is known. The width may be 0: not known.
    pub size: Option<(u32, u32)>,
    /// Of a thousand packets, so many got lost: of the whole connection.
    pub lost: Option<u16>,
    /// To the viewer and back, once its reports have told.
    pub round_trip: Option<Duration>,
}

/// What has come or gone since the last sample.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Amount {
    pub(crate) bytes: u64,
    pub(crate) pictures: u32,
}

impl Amount {
    pub(crate) fn bits(self, elapsed: Duration) -> u32 {
        (self.bytes as f64 * 8.0 / elapsed.as_secs_f64().max(0.001)) as u32
    }

    pub(crate) fn frames(self, elapsed: Duration) -> u32 {
        (f64::from(self.pictures) / elapsed.as_secs_f64().max(0.001)).round() as u32
    }
}

/// A part of a whole, of a thousand.
pub(crate) fn per_mille(share: f64) -> u16 {
    (1000.0 * share.clamp(0.0, 1.0)).round() as u16
}
