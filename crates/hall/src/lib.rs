//! What goes on around a room while it is open: which of its commands may be on their way to the disk together, and in which
//! order they are carried out.
//!
//! Sans-IO, as `rooms` is: no clock, no disk, no tokio. Whoever waits is a value of the caller's, handed back when it may go
//! on.

mod plans;

pub use plans::{Begin, PlanId, Plans, TooMany, Touch, Touches};
