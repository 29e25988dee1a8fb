//! An app in memory: the tenant, its rooms, and what goes on between them.

use std::ops::Deref;
use std::sync::{Arc, Weak};

use crate::between::Between;
use crate::halls::{Beyond, OpenRoom};
use crate::open_rooms::OpenRooms;
use crate::tenant::Tenant;

/// An app.
pub(crate) struct App {
    pub(crate) tenant: Arc<Tenant>,
    rooms: Arc<OpenRooms>,
    /// What goes on between its rooms.
    pub(crate) between: Arc<Between>,
}

impl Deref for App {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.tenant
    }
}

impl App {
    pub(crate) fn new(tenant: Tenant) -> Self {
        let (tenant, rooms) = (Arc::new(tenant), Arc::<OpenRooms>::default());
        let between = Between::new(tenant.clone(), rooms.clone());
        Self { tenant, rooms, between }
    }

    /// The room, if it exists.
    pub(crate) fn room(&self, room_id: &str) -> Result<Arc<OpenRoom>, rooms::Error> {
        self.rooms.get(room_id)
    }

    /// That very room, unless it is over.
    pub(crate) fn living(&self, room: &rooms::Incarnation) -> Option<Arc<OpenRoom>> {
        self.rooms.living(room)
    }

    pub(crate) fn rooms(&self) -> Vec<Arc<OpenRoom>> {
        self.rooms.all()
    }

    pub(crate) fn room_count(&self) -> usize {
        self.rooms.count()
    }

    pub(crate) fn put_room(&self, cell: Arc<OpenRoom>) {
        self.rooms.put(cell);
    }

    /// What its rooms know of each other.
    pub(crate) fn beyond(&self) -> Weak<dyn Beyond> {
        let between: Weak<Between> = Arc::downgrade(&self.between);
        between
    }
}
