//! TURN (RFC 8656) for networks that let nothing else through: UDP, TCP and TLS on the server's own ports.
//!
//! Over UDP it has a port of its own, which is the one that clients are told of: Chromium has one socket for its host candidate
//! and for all relays, and takes whatever comes from a relay's address for the relay's. With both at one address, its way
//! straight to the media port would never be answered.
//!
//! It relays to nobody but this server's own media port, so a relayed address is only a name: no socket is behind it. What a
//! client sends to our media address goes to the connections as a datagram on a route of kind relay
//! ([`Route`](crate::outbox::Route)), and what they send there is wrapped again for the client.
//!
//! ```text
//! client -> worker.rs, relay.rs -> Turn::handle -> Answer:  back to the client
//!                                             -> Data:    Shard::handle_datagram on a route of kind relay
//! Shard -> outbox, a run of kind relay -> Turn::way_to -> Head::wrap -> client
//! ```
//! `server.rs` decides and does no I/O; datagrams and time come in as arguments. It keeps nothing of those who have not shown
//! a credential.

mod credentials;
mod fuzzing;
mod quota;
mod server;
mod streams;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use fuzzing::survive;
pub use quota::network;
pub use server::TurnCounters;
pub(crate) use server::{Client, Entrance, Reaction, Turn};
pub(crate) use streams::Streams;
pub(crate) use wire::{is_turn, length_on_stream};
