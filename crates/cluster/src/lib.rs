//! Which of several nodes on one database has the records: a machine without I/O, which is told what the database and other nodes have
//! answered and says what they are to be asked next. `tests/world.rs` plays it against a model of the database.

mod generation;
mod node;
mod promises;

pub use generation::{Generation, stands_still};
pub use node::{Ask, Effect, Input, Node, Seen, Times, View, Why};
pub use promises::{Answer, LONGEST};
