//! An app in memory: the tenant, its rooms, and what goes on between them.

use std::ops::Deref;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::RwLock;
use rooms::{RoomId, UserId};

use crate::halls::OpenRoom;
use crate::stage::Stage;
use crate::tenant::Tenant;

/// An app.
pub(crate) struct App {
    pub(crate) tenant: Arc<Tenant>,
    rooms: RwLock<HashMap<RoomId, Arc<OpenRoom>, foldhash::fast::RandomState>>,
    /// What goes on between its rooms.
    pub(crate) stage: Stage,
}

impl Deref for App {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.tenant
    }
}

impl App {
    pub(crate) fn new(tenant: Tenant) -> Self {
        Self { tenant: Arc::new(tenant), rooms: RwLock::default(), stage: Stage::default() }
    }

    /// The room, if it exists.
    pub(crate) fn room(&self, room_id: &str) -> Result<Arc<OpenRoom>, rooms::Error> {
        self.rooms.read().get(room_id).cloned().ok_or_else(|| rooms::Error::RoomNotFound(room_id.into()))
    }

    pub(crate) fn rooms(&self) -> Vec<Arc<OpenRoom>> {
        self.rooms.read().values().cloned().collect()
    }

    pub(crate) fn room_count(&self) -> usize {
        self.rooms.read().len()
    }

    pub(crate) fn put_room(&self, cell: Arc<OpenRoom>) {
        self.rooms.write().insert(cell.room_id.clone(), cell);
    }

    pub(crate) fn remove_room(&self, room_id: &RoomId) {
        self.rooms.write().remove(room_id.as_str());
    }

    /// The rooms connected with `room`, itself included, each with its owner; empty when it is alone.
    pub(crate) fn connected(&self, room: &RoomId) -> Vec<(RoomId, Option<UserId>)> {
        let owner = |room: &RoomId| Some(self.room(room.as_str()).ok()?.read().ok()?.info().owner.clone());
        let rooms = self.stage.connected(room).into_iter();
        rooms.map(|room| (room.clone(), owner(&room))).collect()
    }
}
