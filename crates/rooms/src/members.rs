//! The members of one room in join order.
//!
//! Two indexes over the same members: by their place in join order, a number that only ever grows, and by user. A page
//! after a cursor is a range of the first; entering and leaving touch both. Nothing is ever renumbered, so a cursor
//! stays a place however many come and go.

use hashbrown::HashMap;
use hashbrown::hash_map::{Entry, EntryRef};

use crate::join_order::JoinOrder;
use crate::{SessionId, UserId};

/// How many members a page of the member list holds (`spec/get-member-list.md`).
pub const PAGE_SIZE: usize = 1000;

/// The live connections through which a member is present; almost always one.
#[derive(Debug, Clone)]
enum Sessions {
    One(SessionId),
    Many(Vec<SessionId>),
}

impl Sessions {
    fn as_slice(&self) -> &[SessionId] {
        match self {
            Sessions::One(session) => std::slice::from_ref(session),
            Sessions::Many(sessions) => sessions,
        }
    }
}

#[derive(Debug, Clone)]
struct Member {
    place: u64,
    sessions: Sessions,
}

/// How an `enter` changed who is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The user is a member now, at this place in join order.
    New(u64),
    /// It was one already, and has one session more.
    OneMoreSession(u64),
    /// This session was in already.
    Already(u64),
}

impl Admission {
    /// The member's place in join order.
    pub(crate) fn place(self) -> u64 {
        match self {
            Admission::New(place) | Admission::OneMoreSession(place) | Admission::Already(place) => place,
        }
    }
}

/// Who is in a room.
#[derive(Debug, Default)]
pub struct Members {
    by_user: HashMap<UserId, Member, foldhash::fast::RandomState>,
    by_place: JoinOrder,
    /// The place of the newest member; the first one's is 1, so that 0 is before everyone.
    last_place: u64,
}

impl Members {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_user.len()
    }

    /// Whether nobody is in.
    pub fn is_empty(&self) -> bool {
        self.by_user.is_empty()
    }

    /// Whether `user` is in.
    pub fn contains(&self, user: &str) -> bool {
        self.by_user.contains_key(user)
    }

    /// Members after a place in join order, each with its own place.
    pub fn after(&self, place: u64) -> impl Iterator<Item = (u64, &UserId)> {
        self.by_place.after(place)
    }

    /// The sessions of a member; empty for a user who is not in.
    pub fn sessions(&self, user: &str) -> &[SessionId] {
        self.by_user.get(user).map_or(&[], |member| member.sessions.as_slice())
    }

    /// The place of `user` in join order.
    pub fn place(&self, user: &str) -> Option<u64> {
        self.by_user.get(user).map(|member| member.place)
    }

    /// Adds `session` of `user`.
    pub(crate) fn enter(&mut self, user: &UserId, session: SessionId) -> Admission {
        match self.by_user.entry_ref(user.as_str()) {
            EntryRef::Vacant(vacant) => {
                self.last_place += 1;
                let member = Member { place: self.last_place, sessions: Sessions::One(session) };
                vacant.insert_entry_with_key(user.clone(), member);
                self.by_place.insert(self.last_place, user.clone());
                Admission::New(self.last_place)
            }
            EntryRef::Occupied(mut occupied) => {
                let Member { place, sessions } = occupied.get_mut();
                if sessions.as_slice().contains(&session) {
                    return Admission::Already(*place);
                }
                let mut all = sessions.as_slice().to_vec();
                all.push(session);
                *sessions = Sessions::Many(all);
                Admission::OneMoreSession(*place)
            }
        }
    }

    /// Sets the next place in join order aside, for one who comes in later with [`Self::restore`].
    pub(crate) fn reserve_place(&mut self) -> u64 {
        self.last_place += 1;
        self.last_place
    }

    /// Puts a member at the place it had before a restart, or that was set aside for it. In any order.
    pub(crate) fn restore(&mut self, user: &UserId, session: SessionId, place: u64) -> u64 {
        self.last_place = self.last_place.max(place);
        match self.by_user.entry(user.clone()) {
            Entry::Occupied(_) => self.enter(user, session).place(),
            Entry::Vacant(vacant) => {
                vacant.insert(Member { place, sessions: Sessions::One(session) });
                self.by_place.insert(place, user.clone());
                place
            }
        }
    }

    /// Takes `session` of `user` out. `None` when it was not in, else whether the user is a member no more.
    pub(crate) fn leave(&mut self, user: &str, session: SessionId) -> Option<bool> {
        let EntryRef::Occupied(mut occupied) = self.by_user.entry_ref(user) else { return None };
        let Member { place, sessions } = occupied.get_mut();
        if !sessions.as_slice().contains(&session) {
            return None;
        }
        if let Sessions::Many(all) = sessions {
            all.retain(|other| *other != session);
            if let [last] = all.as_slice() {
                *sessions = Sessions::One(*last);
            }
            return Some(false);
        }
        self.by_place.remove(*place);
        occupied.remove();
        Some(true)
    }

    /// Takes a user out with all its sessions, which are returned; empty when it was not in.
    pub(crate) fn remove(&mut self, user: &str) -> Vec<SessionId> {
        let Some(member) = self.by_user.remove(user) else { return Vec::new() };
        self.by_place.remove(member.place);
        member.sessions.as_slice().to_vec()
    }
}
