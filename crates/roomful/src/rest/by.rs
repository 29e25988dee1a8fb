//! In whose name a command is called, and what follows for what it may do. Every handler comes to a room by way of this
//! file, with the room that it has read from the body itself: so a right is checked on what is acted on, never on another
//! reading of the same bytes, and under the lock under which it is done.

use std::sync::Arc;

use hall::{Touch, Touches};
use rooms::{Error, Outcome, Role, Room, RoomId, RoomType, Time, UserId};

use super::Call;
use crate::error::ApiError;
use crate::locks::ReadRoom;
use crate::room_cell::RoomCell;
use crate::session::Session;

/// Who calls.
pub(super) enum By {
    /// An administrator of the app, who may do everything.
    AppAdmin,
    /// A member of the room that the command names.
    Member {
        session: Arc<Session>,
        /// What it must be there at least.
        role: Role,
    },
}

impl Call {
    /// The room, to look at, if it is of type `wanted` and the caller may look.
    pub(super) fn read<'a>(
        &self,
        cell: &'a RoomCell,
        wanted: Option<RoomType>,
    ) -> Result<ReadRoom<'a>, Error> {
        let room = cell.read_as(wanted)?;
        self.require_right(&room)?;
        Ok(room)
    }

    /// A durable command on a room, in the caller's name.
    pub(super) async fn change(
        &self,
        room_id: &RoomId,
        room_type: Option<RoomType>,
        touches: impl Fn(&Room, Time) -> Touches,
        plan: impl FnOnce(&mut Room, Time) -> Result<Outcome, Error>,
    ) -> Result<(), ApiError> {
        let touches = |room: &Room, now| match &self.by {
            By::AppAdmin => touches(room, now),
            By::Member { session, .. } => touches(room, now).reads(Touch::User(session.user.clone())),
        };
        let plan = |room: &mut Room, now| {
            self.require_right(room)?;
            Ok(((), plan(room, now)?))
        };
        let cell = self.app.room(room_id.as_str())?;
        self.hub.change(&cell, room_type, self.caller.as_str(), touches, plan).await
    }

    /// Checks that the caller may use this command on the room.
    pub(super) fn require_right(&self, room: &Room) -> Result<(), Error> {
        match &self.by {
            By::AppAdmin => Ok(()),
            By::Member { session, role } => {
                room.require_session(&session.user, session.id)?;
                self.require_role(room, *role)
            }
        }
    }

    /// Checks that the caller is at least `role` in the room, for what only some forms of a command do.
    pub(super) fn require_role(&self, room: &Room, role: Role) -> Result<(), Error> {
        match &self.by {
            By::Member { session, .. } if room.role(session.user.as_str()) < role => {
                Err(Error::NotAllowed(match role {
                    Role::Owner => "only the owner of the room may do this",
                    _ => "only the owner or an administrator of the room may do this",
                }))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the caller stands above each of `users`, whom the command is going to moderate.
    pub(super) fn require_above(&self, room: &Room, users: &[UserId]) -> Result<(), Error> {
        match &self.by {
            By::AppAdmin => Ok(()),
            By::Member { session, .. } => room.require_above(&session.user, users),
        }
    }

    /// Whether a member calls, who acts in its own name alone.
    pub(super) fn is_member(&self) -> bool {
        matches!(self.by, By::Member { .. })
    }
}
