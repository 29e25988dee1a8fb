//! What happened: every life of a room, who came and went with which client, what was published, for a number of days.
//!
//! It is no part of what is true: no room waits for it, it is bounded, a crash costs a second of it, and its folder may be
//! deleted at any time. One thread writes what is [noted](History::note), a file a day, or a partition a day of tables beside records that
//! are in PostgreSQL; [`Reader`] looks into them beside it. Rows come whole, again and again: the last one holds, so that repeating changes nothing.

mod ask;
mod call_id;
mod crowd;
mod day;
mod disk;
mod error;
mod files;
mod forget;
mod history;
mod options;
mod pace;
mod pack;
mod postgres;
mod queue;
mod read;
mod rows;
mod seconds;
mod source;
mod spans;
mod sqlite;
mod used;
mod window;
mod writer;

pub use call_id::{CallId, meant, number_of, shown};
pub use crowd::Crowd;
pub use error::Error;
pub use files::{date, day};
pub use history::{History, Numbers};
pub use options::{Clock, Options, Place};
pub use pack::{MOST_SAMPLES, Samples, pack, unpack};
pub use read::{MemberTime, Noticed, Page, Person, Presence, Reader, Scale};
pub use rows::{
    Call, Cause, Client, Event, Forget, Quality, Row, SLOT, Served, Service, Spent, Stay, TIERS, Unusual,
    Usage,
};
pub use window::Window;
