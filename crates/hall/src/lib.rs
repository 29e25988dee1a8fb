//! What goes on around a room while it is open, as a machine: [`Hall`] takes [`Input`]s and gives [`Effect`]s. Commands are
//! values, whichever way they came. One login of a user is a machine of that shape too, [`session`], and so is what goes on between
//! the rooms of an app, [`between`].
//!
//! Sans-IO, as `rooms` is: no clock, no disk, no tokio, no JSON. Whoever is to be answered is a value of the caller's, handed
//! back with the answer.

pub mod between;
mod command;
mod hall;
mod plans;
pub mod session;
mod standing;
mod streams;

pub use command::{Answer, By, Command, Entry, Passing, Planned, Refusal, Refused, Said};
pub use hall::{Audience, Durably, Effect, Hall, Input, Told, Write};
pub use plans::{PlanId, Touch, Touches};
pub use streams::{MemberStreams, Offer, PeerId, Rights, Shown, Streams, WantedLayers};
