//! The lock of a room's state, of which a thread holds one at a time: whoever holds one room's and waits for another's (or
//! for its own once more, behind somebody who wants to write) may wait for ever.

#[cfg(debug_assertions)]
use std::cell::Cell;
use std::ops::{Deref, DerefMut};

use parking_lot::{MappedRwLockReadGuard, MappedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use rooms::Room;

/// A guard, and the only one of its thread.
pub(crate) struct Locked<G> {
    // Let go first.
    guard: G,
    _alone: Alone,
}

/// A room to look at.
pub(crate) type ReadRoom<'a> = Locked<MappedRwLockReadGuard<'a, Room>>;

/// A room to change.
pub(crate) type WriteRoom<'a> = Locked<MappedRwLockWriteGuard<'a, Room>>;

/// The room, to look at, if it is there.
pub(crate) fn read(state: &RwLock<Option<Room>>) -> Option<ReadRoom<'_>> {
    let alone = Alone::begin();
    let guard = RwLockReadGuard::try_map(state.read(), Option::as_ref).ok()?;
    Some(Locked { guard, _alone: alone })
}

/// The room, to change, if it is there.
pub(crate) fn write(state: &RwLock<Option<Room>>) -> Option<WriteRoom<'_>> {
    let alone = Alone::begin();
    let guard = RwLockWriteGuard::try_map(state.write(), Option::as_mut).ok()?;
    Some(Locked { guard, _alone: alone })
}

/// The state itself, to end the room.
pub(crate) fn end(state: &RwLock<Option<Room>>) -> Locked<RwLockWriteGuard<'_, Option<Room>>> {
    let alone = Alone::begin();
    Locked { guard: state.write(), _alone: alone }
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

/// That this thread holds no other room. Builds for tests look; others trust them.
struct Alone;

#[cfg(debug_assertions)]
thread_local! {
    static HOLDS_ONE: Cell<bool> = const { Cell::new(false) };
}

impl Alone {
    fn begin() -> Self {
        #[cfg(debug_assertions)]
        debug_assert!(!HOLDS_ONE.replace(true), "a thread that holds a room waits for one");
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
mod tests {
    use super::*;

    #[test]
    fn a_thread_holds_one_room() {
        let (one, other) = (RwLock::new(None), RwLock::new(None));
        drop(end(&one));
        drop(end(&other));
        let _held = end(&one);
        let second = std::panic::AssertUnwindSafe(|| read(&other).is_some());
        assert!(std::panic::catch_unwind(second).is_err());
    }
}
