//! Which of several nodes on one database has the records: a machine without I/O, which is told what the database has answered
//! and says what it is to be asked next. `tests/world.rs` plays it against a model of the database.

mod node;

pub use node::{Ask, Effect, Generation, Input, Node, Seen, Times, View, Why, stands_still};
