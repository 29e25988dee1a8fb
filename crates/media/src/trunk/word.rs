//! What the forwarding units of two nodes say to each other, beside packets: over a way of the nodes' own, in order and without
//! loss. As JSON, so that a node of the version before or after understands it.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::source::{RoomKey, SourceKey, State, StreamKind};

/// A word. Streams are named by the first SSRC of them; its layers have those that follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub(super) enum Word {
    /// Where the sender takes packets, by which of its trunks these come, and by what those are sealed that it sends: key and salt.
    Hello { at: SocketAddr, trunk: u8, key: Vec<u8> },
    /// The sender has viewers of a source, or has none any more.
    Watch { source: Name, on: bool },
    /// A source is published at the sender, or has changed.
    Stream { ssrc: u32, source: Name, state: State },
    /// It is published there no longer.
    End { ssrc: u32 },
    /// A viewer wanted a layer, so many microseconds ago.
    Seek { ssrc: u32, layer: u8, ago: u64 },
    /// A viewer needs a keyframe of a layer.
    Keyframe { ssrc: u32, layer: u8 },
    /// These did not come.
    Missing { ssrc: u32, layer: u8, numbers: Vec<u64> },
    /// One that is not known to this version.
    #[serde(other)]
    Other,
}

/// A source's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Name {
    room: u64,
    user: String,
    kind: u8,
}

impl Name {
    pub(super) fn of(key: &SourceKey) -> Self {
        let kind = match key.kind {
            StreamKind::Audio => 0,
            StreamKind::Main => 1,
            StreamKind::Sub => 2,
        };
        Self { room: key.room.0, user: key.user.to_string(), kind }
    }

    /// `None` of a kind that this version does not know: nobody here has one.
    pub(super) fn key(&self) -> Option<SourceKey> {
        let kind = *StreamKind::ALL.get(usize::from(self.kind))?;
        Some(SourceKey { room: RoomKey(self.room), user: Arc::from(self.user.as_str()), kind })
    }
}
