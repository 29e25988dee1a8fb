//! Live media: the forwarding unit, and what connects it to rooms and members.
//!
//! A hall decides what may flow in its room, `connections.rs` carries that out, `whip.rs` is the way in without the
//! gateway (`gateway/media.rs` is the other). The units of other nodes are used as one's own is (`units.rs`, `far.rs`, `lent.rs`).

mod connections;
mod far;
mod ice;
mod lent;
mod passing;
mod sdpfrag;
pub(crate) mod unit;
mod units;
pub(crate) mod whip;
mod words;

pub(crate) use connections::{Happenings, Live, Resource};
pub(crate) use ice::{IceServer, relay_urls, servers as ice_servers};
pub(crate) use lent::lend;
