//! The truth about rooms: who is in, in which order they came, who may enter, when a room ends.
//!
//! Sans-IO: no clock, no randomness, no disk, no tokio. Time and ids come in as arguments; what happened comes out
//! as [`Event`]s. What has to be durable is *planned* first (a method on `&Room` that checks the rules and returns the
//! new record), made durable by the caller, and *applied* last, so that nobody ever sees what is not yet on disk.
//! Presence (enter, leave, a message) is applied at once and never waits.
//!
//! ```
//! use rooms::{Fields, Room, RoomId, RoomInfo, RoomType, SessionId, Time, UserId};
//!
//! let now = Time::from_unix_seconds(1_700_000_000);
//! let owner = UserId::parse("ann")?;
//! let info = RoomInfo::create(RoomId::parse("r1")?, RoomType::Live, owner, &Fields::default(), now, 42)?;
//! let mut room = Room::new(info, now);
//!
//! room.enter(&UserId::parse("ben")?, SessionId(1), now)?;
//!
//! let page = room.page("", 1000)?;
//! assert_eq!(page.member_count, 1);
//! assert_eq!(page.members().next().map(|user| user.as_str()), Some("ben"));
//! # Ok::<(), rooms::Error>(())
//! ```

mod account;
mod batch;
mod battles;
mod client;
mod connections;
mod counters;
mod cursor;
mod durable;
mod error;
mod event;
mod gift_commands;
mod gifts;
mod ids;
mod info;
mod join_order;
mod lifetime;
mod marks;
mod members;
mod messages;
mod metadata;
mod moderation;
mod outcome;
mod publishing;
mod robots;
mod room;
mod schedule;
mod seat_requests;
mod seat_template;
mod seats;

pub use account::{Account, Profile, ProfileChange};
pub use batch::{MembersChanged, NAMED_UP_TO, NEWEST_NAMES, PresenceBatch};
pub use battles::{Battle, BattleEnd, BattleStep, MAX_BATTLE, Side, Stand};
pub use client::Client;
pub use connections::{Connection, ConnectionStep, Connections, MAX_CONNECTED};
pub use counters::Counters;
pub use durable::Keep;
pub use error::Error;
pub use event::{Coming, Event, LeaveCause, RtcEvent};
pub use gift_commands::{CatalogueCommand, CategoryFields, GiftFields, Words};
pub use gifts::{Catalogue, CatalogueChange, CatalogueRecord, Gift, GiftCategory, GiftTally, Given, Wording};
pub use ids::{Incarnation, NUMBERED, RoomId, SdkAppId, SessionId, Time, UserId};
pub use info::{Fields, RoomInfo, RoomType, WireTakeSeatMode};
pub use marks::FIRST_MARK;
pub use members::{Members, PAGE_SIZE};
pub use messages::{Content, MAX_TEXT_BYTES, Message, RECENT_MESSAGES};
pub use moderation::{Ban, Block, Card, Role};
pub use outcome::{Delta, Outcome, Record, RecordKey};
pub use publishing::{Anchors, Device};
pub use room::{Departure, Effects, Entered, Page, Room};
pub use schedule::{MAX_INVITEES, RoomStatus, Schedule};
pub use seat_requests::{RequestEnd, RequestKind, SeatRequest};
pub use seat_template::{SeatTemplate, TakeSeatMode};
pub use seats::{IfTaken, Seat, SeatLocks};
