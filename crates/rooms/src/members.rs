//! The members of one room in join order.
//!
//! Two indexes over the same members: by their place in join order, a number that only ever grows, and by user. A page
//! after a cursor is a range of the first; entering and leaving touch both. Nothing is ever renumbered, so a cursor
//! stays a place however many come and go.

use std::collections::BTreeMap;
use std::ops::Bound;

use hashbrown::HashMap;
use hashbrown::hash_map::{Entry, EntryRef};

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
    user: UserId,
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
    by_place: BTreeMap<u64, Member>,
    by_user: HashMap<UserId, u64, foldhash::fast::RandomState>,
    /// The place the next new member gets; starts at 1, so that 0 is before everyone.
    last_place: u64,
}

impl Members {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_place.len()
    }

    /// Whether nobody is in.
    pub fn is_empty(&self) -> bool {
        self.by_place.is_empty()
    }

    /// Whether `user` is in.
    pub fn contains(&self, user: &str) -> bool {
        self.by_user.contains_key(user)
    }

    /// Members after a place in join order, each with its own place.
    pub fn after(&self, place: u64) -> impl Iterator<Item = (u64, &UserId)> {
        self.by_place
            .range((Bound::Excluded(place), Bound::Unbounded))
            .map(|(place, member)| (*place, &member.user))
    }

    /// The sessions of a member; empty for a user who is not in.
    pub fn sessions(&self, user: &str) -> &[SessionId] {
        let member = self.by_user.get(user).and_then(|place| self.by_place.get(place));
        member.map_or(&[], |member| member.sessions.as_slice())
    }

    /// Adds `session` of `user`.
    pub(crate) fn enter(&mut self, user: &UserId, session: SessionId) -> Admission {
        match self.by_user.entry_ref(user.as_str()) {
            EntryRef::Vacant(vacant) => {
                self.last_place += 1;
                vacant.insert_entry_with_key(user.clone(), self.last_place);
                self.by_place
                    .insert(self.last_place, Member { user: user.clone(), sessions: Sessions::One(session) });
                Admission::New(self.last_place)
            }
            EntryRef::Occupied(occupied) => {
                let place = *occupied.get();
                match self.by_place.get_mut(&place) {
                    Some(member) if member.sessions.as_slice().contains(&session) => {
                        Admission::Already(place)
                    }
                    Some(member) => {
                        let mut all = member.sessions.as_slice().to_vec();
                        all.push(session);
                        member.sessions = Sessions::Many(all);
                        Admission::OneMoreSession(place)
                    }
                    None => Admission::Already(place),
                }
            }
        }
    }

    /// Puts a member back at the place it had before a restart. Members are restored in any order.
    pub(crate) fn restore(&mut self, user: &UserId, session: SessionId, place: u64) -> u64 {
        self.last_place = self.last_place.max(place);
        match self.by_user.entry(user.clone()) {
            Entry::Occupied(_) => self.enter(user, session).place(),
            Entry::Vacant(vacant) => {
                vacant.insert(place);
                self.by_place.insert(place, Member { user: user.clone(), sessions: Sessions::One(session) });
                place
            }
        }
    }

    /// Takes `session` of `user` out. `None` when it was not in, else whether the user is a member no more.
    pub(crate) fn leave(&mut self, user: &str, session: SessionId) -> Option<bool> {
        let EntryRef::Occupied(of_user) = self.by_user.entry_ref(user) else { return None };
        let std::collections::btree_map::Entry::Occupied(mut at_place) = self.by_place.entry(*of_user.get())
        else {
            return None;
        };
        let member = at_place.get_mut();
        if !member.sessions.as_slice().contains(&session) {
            return None;
        }
        if let Sessions::Many(sessions) = &mut member.sessions {
            sessions.retain(|other| *other != session);
            if let [last] = sessions.as_slice() {
                member.sessions = Sessions::One(*last);
            }
            return Some(false);
        }
        of_user.remove();
        at_place.remove();
        Some(true)
    }

    /// Takes a user out with all its sessions, which are returned; empty when it was not in.
    pub(crate) fn remove(&mut self, user: &str) -> Vec<SessionId> {
        let Some(place) = self.by_user.remove(user) else { return Vec::new() };
        self.by_place.remove(&place).map(|member| member.sessions.as_slice().to_vec()).unwrap_or_default()
    }
}
