//! The lock of a machine (a hall, or what is between rooms), of which a thread holds one at a time: whoever holds one and waits
//! for another (or for its own once more, behind somebody who wants to write) may wait for ever.

#[cfg(debug_assertions)]
use std::cell::Cell;
use std::ops::{Deref, DerefMut};

use hall::Hall;
use parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use rooms::Room;

/// A guard, and the only one of its thread.
pub(crate) struct Locked<G> {
    // Let go first.
    guard: G,
    _alone: Alone,
}

/// A room to look at.
pub(crate) type ReadRoom<'a> = Locked<MappedRwLockReadGuard<'a, Room>>;

/// The room, to look at, if it is there.
pub(crate) fn room<T>(hall: &RwLock<Hall<T>>) -> Option<ReadRoom<'_>> {
    let alone = Alone::begin();
    let guard = RwLockReadGuard::try_map(hall.read(), Hall::room).ok()?;
    Some(Locked { guard, _alone: alone })
}

/// A machine, to look at.
pub(crate) fn read<M>(machine: &RwLock<M>) -> Locked<RwLockReadGuard<'_, M>> {
    let alone = Alone::begin();
    Locked { guard: machine.read(), _alone: alone }
}

/// To change it.
pub(crate) fn write<M>(machine: &RwLock<M>) -> Locked<RwLockWriteGuard<'_, M>> {
    let alone = Alone::begin();
    Locked { guard: machine.write(), _alone: alone }
}

impl<G: Deref> Deref for Locked<G> {
    type Target = G::Target;

    fn deref(&self) -> &G::Target {
        &self.guard
    }
}

impl<G: DerefMut> DerefMut for Locked<G> {
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.guard
    }
}

/// That this thread holds no other. Builds for tests look; others trust them.
struct Alone;

#[cfg(debug_assertions)]
thread_local! {
    static HOLDS_ONE: Cell<bool> = const { Cell::new(false) };
}

impl Alone {
    fn begin() -> Self {
        #[cfg(debug_assertions)]
        debug_assert!(!HOLDS_ONE.replace(true), "a thread that holds a machine waits for one");
        Self
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        HOLDS_ONE.set(false);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_holds_one_room() {
        let hall = || {
            let fields = rooms::Fields::default();
            let (id, owner) = (rooms::RoomId::parse("r").unwrap(), rooms::UserId::parse("ann").unwrap());
            let now = rooms::Time::from_unix_seconds(1);
            let info = rooms::RoomInfo::create(id, rooms::RoomType::Live, owner, &fields, now, 1).unwrap();
            RwLock::new(Hall::<()>::new(Room::new(info, now), 0))
        };
        let (one, other) = (hall(), hall());
        drop(write(&one));
        drop(read(&other));
        let _held = write(&one);
        let second = std::panic::AssertUnwindSafe(|| room(&other).is_some());
        assert!(std::panic::catch_unwind(second).is_err());
    }
}
