//! Live media: the forwarding unit, and what connects it to rooms and members.
//!
//! A hall decides what may flow in its room, `connections.rs` carries that out, `whip.rs` is the way in without the
//! gateway (`gateway/media.rs` is the other).

mod connections;
mod ice;
mod sdpfrag;
pub(crate) mod unit;
pub(crate) mod whip;

pub(crate) use connections::{Happenings, Live, Resource};
pub(crate) use ice::{IceServer, relay_urls, servers as ice_servers};
