//! Which booked rooms concern whom: those who are invited to one, and its owner. An index beside the rooms, so that nobody who
//! asks for his own looks at all the others.
//!
//! A room says so itself whenever that may have changed, under its own lock, and takes it back when it is over.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use parking_lot::Mutex;
use rooms::{Incarnation, RoomInfo, UserId};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

#[derive(Default)]
pub(crate) struct Booked(Mutex<Index>);

#[derive(Default)]
struct Index {
    by_user: Map<UserId, BTreeSet<Incarnation>>,
    by_room: Map<Incarnation, Vec<UserId>>,
}

impl Index {
    fn forget(&mut self, room: &Incarnation) {
        for user in self.by_room.remove(room).unwrap_or_default() {
            if let Some(rooms) = self.by_user.get_mut(&user) {
                rooms.remove(room);
                if rooms.is_empty() {
                    self.by_user.remove(&user);
                }
            }
        }
    }
}

impl Booked {
    /// This is the room's record now.
    pub(crate) fn note(&self, room: &Incarnation, info: &RoomInfo) {
        let Some(schedule) = &info.schedule else { return };
        let mut users = schedule.invitees.clone();
        if !users.contains(&info.owner) {
            users.push(info.owner.clone());
        }
        let mut index = self.0.lock();
        index.forget(room);
        for user in &users {
            index.by_user.entry(user.clone()).or_default().insert(room.clone());
        }
        index.by_room.insert(room.clone(), users);
    }

    /// The room is over.
    pub(crate) fn forget(&self, room: &Incarnation) {
        self.0.lock().forget(room);
    }

    /// The rooms that concern `user`.
    pub(crate) fn of(&self, user: &UserId) -> Vec<Incarnation> {
        self.0.lock().by_user.get(user).map(|rooms| rooms.iter().cloned().collect()).unwrap_or_default()
    }
}
