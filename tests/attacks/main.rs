//! What hostile users, unlucky operators and other tenants do to a running server, and what it must do then. One file a
//! kind; each test is one row: an input, and what must be seen. All are against the real binary in its default
//! configuration, but for what a test says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../harness/mod.rs"]
mod harness;

mod connections;
mod disk;
mod limits;
mod races;
mod rights;
mod soak;
mod tenants;
