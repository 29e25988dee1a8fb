//! What shards are told to do, and what they answer.

use std::num::NonZeroU8;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::error::Error;
use crate::outbox::Route;
use crate::publisher::Rights;
use crate::slot::Wanted;
use crate::source::{Packet, PeerId, RoomKey, SourceKey, StreamKind};

/// A stream in a publisher's offer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The m-line's name.
    pub mid: String,
    /// What it carries.
    pub kind: StreamKind,
    /// Height of the full picture in pixels; 0 when it is not known.
    pub height: u32,
    /// Of the simulcast layers, as far as something is said of them.
    pub layers: Vec<PublishedLayer>,
    /// Its publisher sends what is wanted of it, and wants to hear what that is ([`crate::Event::Wanted`]).
    pub is_dynamic: bool,
    /// It is encrypted from end to end: nothing can be taken off its payloads.
    pub is_encrypted: bool,
}

/// A simulcast layer of an offer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedLayer {
    /// Its RID.
    pub rid: String,
    /// Height of its picture in pixels; 0 when it is not known.
    pub height: u32,
    /// What it takes at most, in bits a second; 0 when it is not known.
    pub most_bits: u32,
}

/// What a viewer wants on an m-line of its offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// The m-line's name.
    pub mid: String,
    /// What fills it; `None` empties it.
    pub source: Option<SourceKey>,
    /// How it is shown.
    pub wanted: Wanted,
}

/// What a publisher's connection is to carry: its first offer, or a later one that adds or ends streams or restarts ICE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// Where it publishes.
    pub room: RoomKey,
    /// Who does.
    pub user: Arc<str>,
    /// Its offer.
    pub offer: String,
    /// What the offer's m-lines carry, as far as something is said of them.
    pub streams: Vec<Published>,
    /// What it may send.
    pub rights: Rights,
}

/// What a viewer's connection is to carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Its offer.
    pub offer: String,
    /// What fills the offer's m-lines.
    pub streams: Vec<Watched>,
    /// Of all its sounds at most so many are sent at a time, the loudest; all when that is `None`.
    pub most_speakers: Option<NonZeroU8>,
}

/// What changes on a viewer's connection without an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewatch {
    /// What fills m-lines from now on.
    pub streams: Vec<Watched>,
    /// As [`Watch::most_speakers`]; as before when it is `None`.
    pub most_speakers: Option<NonZeroU8>,
}

/// What was agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// For the client's `setRemoteDescription`.
    pub sdp: String,
    /// The streams that are sent from now on, of a publisher.
    pub published: Vec<Published>,
    /// The m-lines that can be filled, of a viewer.
    pub mids: Vec<String>,
}

/// What a shard is told to do.
pub(crate) enum Command {
    Publish {
        peer: PeerId,
        asked: Publish,
        reply: oneshot::Sender<Result<Answer, Error>>,
    },
    Watch {
        peer: PeerId,
        asked: Watch,
        reply: oneshot::Sender<Result<Answer, Error>>,
    },
    Rewatch {
        peer: PeerId,
        asked: Rewatch,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    /// A viewer elsewhere needs a keyframe.
    AskKeyframe {
        source: u64,
        layer: u8,
    },
    /// Somebody who may watch a source is about to come.
    Expect {
        source: u64,
    },
    /// A worker has viewers of a source, and wants what is kept of it here.
    AskKept {
        source: u64,
        worker: usize,
    },
    /// What another worker had kept of a source.
    Kept {
        source: u64,
        packets: Vec<Arc<Packet>>,
    },
    /// A datagram that came in at another shard.
    Datagram {
        route: Route,
        bytes: Vec<u8>,
    },
}
