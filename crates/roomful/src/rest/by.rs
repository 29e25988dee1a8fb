//! In whose name a command is called, and what follows for what it may do. Every handler comes to a room by way of this
//! file, with the room that it has read from the body itself: so a right is checked on what is acted on, never on another
//! reading of the same bytes, and under the lock under which it is done.

use hall::{Answer, By, Command, Planned};
use rooms::{Error, Room, RoomId, RoomType};

use super::Call;
use crate::error::ApiError;
use crate::halls::OpenRoom;
use crate::locks::ReadRoom;

impl Call {
    /// The room, to look at, if it is of type `wanted` and the caller may look.
    pub(super) fn read<'a>(
        &self,
        cell: &'a OpenRoom,
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
        what: Planned,
    ) -> Result<Answer, ApiError> {
        let cell = self.app.room(room_id.as_str())?;
        cell.ask(self.by.clone(), room_type, Command::Planned(what)).await
    }

    /// Checks that the caller may use this command on the room.
    pub(super) fn require_right(&self, room: &Room) -> Result<(), Error> {
        self.by.require_right(room)
    }

    /// Whether a member calls, who acts in its own name alone.
    pub(super) fn is_member(&self) -> bool {
        matches!(self.by, By::Member { .. })
    }
}
