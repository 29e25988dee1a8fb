//! The forwarding unit: WebRTC from publishers to viewers, packet by packet, never decoded.
//!
//! A client has one connection to publish on and one to watch on; both begin with its offer. A publisher's streams are
//! *sources*, named by room, user and kind. A viewer's m-lines are *slots*, filled with sources by name, so that a
//! publisher may come, go and come back without its viewers doing anything.
//!
//! What is decided (`shard.rs` and below) does no I/O: datagrams and time come in as arguments. `worker.rs` owns the
//! sockets and threads, [`Media`] is the handle for the server.
//!
//! What is published at one node of a cluster and watched at another goes there by a trunk (`trunk.rs`).
//!
//! ICE, DTLS, SDP and what publishers send are str0m's. What is sent to viewers is written here (`viewer.rs`,
//! `slot.rs`, `srtp.rs`, `rtcp.rs`, `bwe.rs`): it is what there is most of.

mod allocation;
mod asking;
mod bwe;
mod carried;
mod command;
mod dependency;
mod dtls;
mod dynacast;
mod engine;
mod error;
mod filler;
mod following;
#[doc(hidden)]
pub mod fuzzing;
mod grant;
mod h265;
mod kept;
mod keys;
mod lateness;
mod loudest;
mod mapping;
mod meter;
mod nal;
mod numbers;
mod outbox;
mod pacer;
mod payload;
mod port;
mod protecting;
mod publisher;
#[doc(hidden)]
pub mod reference;
mod relay;
#[cfg(test)]
mod repairing;
mod resend;
mod rewrite;
mod rtcp;
mod sampling;
mod sdp;
#[cfg(test)]
mod sealed;
mod shard;
mod shared;
mod shield;
mod showing;
#[cfg(test)]
mod simulator;
mod slot;
mod socket;
mod source;
mod speakers;
mod srtp;
mod stun;
mod taking;
mod telling;
mod thinning;
mod trunk;
mod trunks;
mod turn;
mod viewer;
mod worker;
mod woven;

pub use command::{Answer, Publish, Published, PublishedLayer, Rewatch, Watch, Watched};
pub use engine::Media;
pub use error::Error;
pub use keys::Client;
pub use publisher::Rights;
pub use sampling::Sample;
pub use sdp::{OfferedLine, offered_lines};
pub use shared::{Config, Counters, Event};
pub use showing::{Pause, Showing};
pub use slot::Wanted;
pub use source::{PeerId, RoomKey, SourceKey, StreamKind};
pub use stun::{OPENING, Opening, opening};
pub use telling::Link;
pub use trunk::Trunk;
pub use trunks::TrunkConfig;
pub use turn::{TurnCounters, network};
