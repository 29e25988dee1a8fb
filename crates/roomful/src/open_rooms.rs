//! The rooms of an app that there are, by their names.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::RwLock;
use rooms::{Error, Incarnation, RoomId};

use crate::halls::OpenRoom;

/// An app's rooms.
#[derive(Default)]
pub(crate) struct OpenRooms(RwLock<HashMap<RoomId, Arc<OpenRoom>, foldhash::fast::RandomState>>);

impl OpenRooms {
    /// The room of that name.
    pub(crate) fn get(&self, room_id: &str) -> Result<Arc<OpenRoom>, Error> {
        self.0.read().get(room_id).cloned().ok_or_else(|| Error::RoomNotFound(room_id.into()))
    }

    /// That very room, unless it is over.
    pub(crate) fn living(&self, room: &Incarnation) -> Option<Arc<OpenRoom>> {
        let found = self.get(room.room.as_str()).ok().filter(|found| found.incarnation() == *room)?;
        let is_there = found.read().is_ok();
        is_there.then_some(found)
    }

    pub(crate) fn all(&self) -> Vec<Arc<OpenRoom>> {
        self.0.read().values().cloned().collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.read().len()
    }

    pub(crate) fn put(&self, room: Arc<OpenRoom>) {
        self.0.write().insert(room.room_id.clone(), room);
    }

    /// Gives the name free, if it is still this room's.
    pub(crate) fn remove(&self, room: &OpenRoom) {
        let mut rooms = self.0.write();
        if rooms.get(&room.room_id).is_some_and(|found| found.incarnation() == room.incarnation()) {
            rooms.remove(&room.room_id);
        }
    }
}
