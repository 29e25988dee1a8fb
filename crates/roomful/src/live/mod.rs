//! Live media: the forwarding unit, and what connects it to rooms and members.
//!
//! `streams.rs` decides what may flow in a room, `connections.rs` carries that out, `whip.rs` is the way in without the
//! gateway (`gateway/media.rs` is the other).

mod connections;
mod ice;
mod sdpfrag;
mod streams;
pub(crate) mod whip;

pub(crate) use connections::{Happenings, Live, Resource};
pub(crate) use ice::{relay_urls, servers as ice_servers};
pub(crate) use streams::{MemberStreams, Offered, Settled, Streams, WantedLayers, device, stream_type};
