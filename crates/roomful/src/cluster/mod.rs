//! Several nodes on one database. One of them has the records and answers; the others carry what comes in at them to it, and take
//! over when it is gone.
//!
//! `drive.rs` asks the database what `cluster::Node` wants to know, on a thread of its own; `run.rs` carries out what that decides;
//! `front.rs` is who answers at the door; `mesh.rs` is how nodes talk, `certificate.rs` who may; `carry.rs` is one request on its
//! way to another node, `pages.rs` what many ask there together, `confirm.rs` what is said to that, and `round.rs` how it is written;
//! `units.rs` has clients' media where they are connected; `status.rs` is what the command line is told, `lost.rs` what it is to be told
//! until it was read.

mod carry;
mod certificate;
mod confirm;
mod drive;
mod front;
pub(crate) mod lost;
mod mesh;
mod pages;
mod round;
mod run;
mod settings;
mod status;
mod units;

pub(crate) use run::run;
pub(crate) use settings::fresh_secret;
pub(crate) use status::listed;
