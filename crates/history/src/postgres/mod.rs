//! History beside records that are in PostgreSQL: a partition a day of tables in the records' schema, so that a day goes by dropping
//! it. Whoever looks for one day asks its partitions by their names.
//!
//! One run of a server writes: that with the highest number that has begun. Each commit holds on to that, so a batch of a server that was
//! deposed comes to nothing.

mod batch;
mod carry;
mod link;
mod pool;
mod schema;
mod write;

pub(crate) use link::Partitions;
pub(crate) use pool::Pool;
pub(crate) use write::Postgres;
