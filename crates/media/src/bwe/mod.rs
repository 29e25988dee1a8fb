//! What a viewer's link carries, estimated from when packets arrive there: delay-based control as in libwebrtc (after
//! draft-ietf-rmcat-gcc-02), a bound by loss, and probes that find out what lies above.
//!
//! `sent.rs` knows what was sent and what became of it; `groups.rs` and `trend.rs` see delay grow; `standing.rs` tells a
//! link that is too narrow from one that is unsteady; `rate.rs` and `loss.rs` make a rate of it; `probe.rs` looks further up,
//! when `seek.rs` says so; `shallow.rs` knows a link that loses bursts, and `rival.rs` one that others fill, where the rate is what `fair.rs` says.
//! `estimator.rs` is all of them together.
//!
//! Sans-IO: packets that were sent and feedback that came are told with their times, in microseconds of one clock; the
//! estimate is read.

mod estimator;
mod fair;
mod groups;
mod limits;
mod loss;
mod probe;
mod rate;
mod rival;
mod seek;
mod sent;
mod shallow;
mod standing;
mod trend;

pub(crate) use self::estimator::{Estimator, News};
pub(crate) use self::limits::INITIAL;
