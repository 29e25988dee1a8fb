//! What goes on around a room while it is open, as a machine: [`Hall`] takes [`Input`]s and gives [`Effect`]s. Commands are
//! values, whichever way they came. Machines of that shape are also one login of a user, [`session`], what goes on between the rooms of an
//! app, [`between`], and what an app knows, [`tenant`].
//!
//! Sans-IO, as `rooms` is: no clock, no disk, no tokio, no JSON. Whoever is to be answered is a value of the caller's, handed
//! back with the answer.

pub mod between;
mod callbacks;
mod command;
mod exchange;
mod hall;
mod notes;
mod plans;
mod reviews;
pub mod session;
mod standing;
mod streams;
pub mod tenant;

pub use command::{
    Answer, By, Command, Entry, Give, Objection, Passing, Planned, Refusal, Refused, Reviewed, SYSTEM, Said,
    Speech, Verdict,
};
pub use exchange::{Audience, Durably, Effect, Input, Question, Reply, Told, Write};
pub use hall::{Bounds, Hall};
pub use notes::{Happening, Note, Returned, Stay};
pub use plans::{PlanId, Touch, Touches};
pub use streams::{MemberStreams, Offer, PeerId, Rights, Shown, Streams, WantedLayers};
