//! Clients of a Roomful server that cost little of their own: gateway members, and WebRTC publishers and viewers of another
//! stack than what is measured sends with. `bench/` measures with them, and `roomful load-test` puts load on any server.
//!
//! Nothing of the server is in here, and nothing here is in the server's own paths.

mod address;
mod delays;
mod http;
mod member;
mod peer;

pub use address::{Address, Stream};
pub use delays::Delays;
pub use http::{exchange, post_offer};
pub use member::{Hear, Hearing, Member, read, text_frame};
pub use peer::{FRAMES_A_SECOND, Offered, PAYLOAD, Peer, Sampled, Sending, Stats, now_us};
