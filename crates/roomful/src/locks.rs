//! The locks of machines. Of a hall's and of what is between rooms a thread holds one at a time: whoever holds one and waits for
//! another (or for its own once more, behind somebody who wants to write) may wait for ever. A session's is the last one that a thread
//! takes: two in opposite orders hung a server once.

#[cfg(debug_assertions)]
use std::cell::Cell;
use std::ops::{Deref, DerefMut};

use hall::Hall;
use parking_lot::{MappedRwLockReadGuard, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
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

/// The guard of a session.
pub(crate) struct Last<'a, T> {
    // Let go first.
    guard: MutexGuard<'a, T>,
    _is_last: IsLast,
}

/// A session's state.
pub(crate) fn last<T>(state: &Mutex<T>) -> Last<'_, T> {
    let is_last = IsLast::begin();
    Last { guard: state.lock(), _is_last: is_last }
}

impl<T> Deref for Last<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Last<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
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
    static HOLDS_LAST: Cell<bool> = const { Cell::new(false) };
}

impl Alone {
    fn begin() -> Self {
        #[cfg(debug_assertions)]
        {
            debug_assert!(!HOLDS_LAST.get(), "a thread that holds a session waits for a machine");
            debug_assert!(!HOLDS_ONE.replace(true), "a thread that holds a machine waits for one");
        }
        Self
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        HOLDS_ONE.set(false);
    }
}

/// That this thread holds a session, and takes no lock after it. Builds for tests look; others trust them.
struct IsLast;

impl IsLast {
    fn begin() -> Self {
        #[cfg(debug_assertions)]
        debug_assert!(!HOLDS_LAST.replace(true), "a thread that holds a session waits for one");
        Self
    }
}

impl Drop for IsLast {
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        HOLDS_LAST.set(false);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use hall::Bounds;

    use super::*;

    fn hall() -> RwLock<Hall<()>> {
        let fields = rooms::Fields::default();
        let (id, owner) = (rooms::RoomId::parse("r").unwrap(), rooms::UserId::parse("ann").unwrap());
        let now = rooms::Time::from_unix_seconds(1);
        let info = rooms::RoomInfo::create(id, rooms::RoomType::Live, owner, &fields, now, 1).unwrap();
        RwLock::new(Hall::new(Room::new(info, now), Bounds { most_sessions: 0, review: Duration::ZERO }))
    }

    fn is_refused(take: impl FnOnce()) -> bool {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(take)).is_err()
    }

    #[test]
    fn a_thread_holds_one_room() {
        let (one, other) = (hall(), hall());
        drop(write(&one));
        drop(read(&other));

        let _held = write(&one);

        assert!(is_refused(|| drop(room(&other))));
    }

    #[test]
    fn a_session_is_what_a_thread_takes_last() {
        let (hall, one, other) = (hall(), Mutex::new(()), Mutex::new(()));
        {
            let _hall = write(&hall);
            drop(last(&one));
        }

        let _held = last(&one);

        assert!(is_refused(|| drop(room(&hall))));
        assert!(is_refused(|| drop(last(&other))));
    }
}
