//! Whose rows they are.

use rooms::SdkAppId;
use serde::{Deserialize, Serialize};

/// One incarnation of a room: a number that the store gives, and gives once.
///
/// Every row of the incarnation is keyed by it, and every [`crate::Change`] of it names it. So what is written late stays
/// with the incarnation that it is of, whatever room bears the name by then. Who makes a room asks for it first
/// ([`crate::Store::room_scope`]); for rooms that are there, [`crate::Snapshot`] has it.
///
/// Apps and sessions need no other number than the one they have: neither comes again under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RoomScope {
    /// The room's app.
    pub app: SdkAppId,
    /// Unique in all apps.
    pub number: i64,
}
