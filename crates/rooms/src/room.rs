//! One room: its record, its members, and the rules of entering and leaving.
//!
//! Invariant: the member list, the count, bans and capacity are all read from and changed in this one state, so that no
//! answer about one contradicts another.

use hashbrown::HashMap;

use crate::cursor::Cursor;
use crate::lifetime::Absences;
use crate::members::{Admission, Members, PAGE_SIZE};
use crate::messages::Messages;
use crate::{Ban, Error, Event, LeaveCause, RoomInfo, RoomType, SessionId, Time, UserId};

/// A room.
#[derive(Debug)]
pub struct Room {
    info: RoomInfo,
    members: Members,
    /// How often somebody has entered.
    views: u64,
    /// Grows with every change of who is in; a rendered list is good as long as this stands.
    version: u64,
    pub(crate) messages: Messages,
    pub(crate) absences: Absences,
    pub(crate) bans: HashMap<UserId, Ban, foldhash::fast::RandomState>,
}

/// What entering did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// The member's place in join order, for the presence journal.
    pub place: u64,
    /// Whether this session came in now; `false` when it was in already.
    pub session_is_new: bool,
    /// For the others, when the user was not a member before.
    pub event: Option<Event>,
}

/// A page of the member list.
#[derive(Debug)]
pub struct Page<'a> {
    /// All members in the room, not only the ones on this page.
    pub member_count: usize,
    /// The cursor to the next page; empty when there is none.
    pub next: String,
    members: &'a Members,
    after: u64,
    length: usize,
}

impl<'a> Page<'a> {
    /// The members on this page, in join order.
    pub fn members(&self) -> impl Iterator<Item = &'a UserId> {
        self.members.after(self.after).take(self.length).map(|(_, user)| user)
    }
}

impl Room {
    /// A room nobody is in yet.
    pub fn new(info: RoomInfo, now: Time) -> Self {
        let absences = Absences { empty_since: Some(now), ..Absences::default() };
        Self {
            info,
            members: Members::default(),
            views: 0,
            version: 0,
            messages: Messages::default(),
            absences,
            bans: HashMap::default(),
        }
    }

    /// Its record.
    pub fn info(&self) -> &RoomInfo {
        &self.info
    }

    /// Replaces the record by one that is durable by now (from [`RoomInfo::updated`]).
    pub fn set_info(&mut self, info: RoomInfo) {
        self.info = info;
    }

    /// Who is in.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// How often somebody has entered.
    pub fn views(&self) -> u64 {
        self.views
    }

    /// Changes whenever the member list does.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Checks that a command for rooms of `wanted` type may be used on this one.
    ///
    /// # Errors
    /// [`Error::WrongRoomType`].
    pub fn require_type(&self, wanted: RoomType) -> Result<(), Error> {
        if self.info.room_type == wanted {
            return Ok(());
        }
        let room_id = self.info.room_id.to_string();
        Err(Error::WrongRoomType { room_id, found: self.info.room_type, wanted })
    }

    /// Checks that `user` is in.
    ///
    /// # Errors
    /// [`Error::NotAMember`].
    pub fn require_member(&self, user: &UserId) -> Result<(), Error> {
        if self.members.contains(user.as_str()) {
            return Ok(());
        }
        Err(Error::NotAMember { user: user.to_string(), room_id: self.info.room_id.to_string() })
    }

    /// `session` of `user` comes in. Entering again changes nothing.
    ///
    /// # Errors
    /// [`Error::Banned`], and for one who is not yet a member [`Error::RoomFull`].
    pub fn enter(&mut self, user: &UserId, session: SessionId, now: Time) -> Result<Entered, Error> {
        if !self.bans.is_empty() {
            self.require_not_banned(user.as_str(), now)?;
        }
        let most = self.info.max_member_count;
        if most > 0 && self.members.len() >= most as usize && !self.members.contains(user.as_str()) {
            return Err(Error::RoomFull(most));
        }
        let admission = self.members.enter(user, session);
        let mut entered = Entered {
            place: admission.place(),
            session_is_new: !matches!(admission, Admission::Already(_)),
            event: None,
        };
        if let Admission::New(_) = admission {
            self.views += 1;
            self.version += 1;
            self.note_entered(user);
            entered.event = Some(Event::Entered { user: user.clone() });
        }
        Ok(entered)
    }

    /// `session` of `user` goes out; the user is a member as long as another session of it is in.
    ///
    /// Returns what the others are to hear, if anything.
    ///
    /// # Errors
    /// [`Error::NotAMember`] when this session is not in.
    pub fn leave(
        &mut self,
        user: &UserId,
        session: SessionId,
        cause: LeaveCause,
        now: Time,
    ) -> Result<Option<Event>, Error> {
        match self.members.leave(user.as_str(), session) {
            None => Err(Error::NotAMember { user: user.to_string(), room_id: self.info.room_id.to_string() }),
            Some(false) => Ok(None),
            Some(true) => {
                self.version += 1;
                self.note_left(user.as_str(), cause, now);
                Ok(Some(Event::Left { user: user.clone(), cause }))
            }
        }
    }

    /// A user is put out with all its sessions, which are returned; empty when it was not in.
    pub fn remove(&mut self, user: &UserId, now: Time) -> Vec<SessionId> {
        let sessions = self.members.remove(user.as_str());
        if !sessions.is_empty() {
            self.version += 1;
            self.note_left(user.as_str(), LeaveCause::Kicked, now);
        }
        sessions
    }

    /// After a restart: puts a member back at the place it had. Rules were checked when it entered.
    pub fn restore_member(&mut self, user: &UserId, session: SessionId, place: u64) -> u64 {
        let place = self.members.restore(user, session, place);
        self.version += 1;
        self.note_entered(user);
        place
    }

    /// After a restart: goes on from numbers at least as high as were given out before it.
    pub fn restore_counters(&mut self, views: u64, last_seq: u64) {
        self.views = self.views.max(views);
        self.messages.skip_to(last_seq);
    }

    /// A page of the member list: up to [`PAGE_SIZE`] members after the place that `next` names (`""`: from the
    /// first), and over all pages at most `cap` (0: no cap).
    ///
    /// # Errors
    /// [`Error::Invalid`] for a `next` that is no cursor of this room.
    pub fn page(&self, next: &str, cap: usize) -> Result<Page<'_>, Error> {
        let Cursor { after, listed } = match next {
            "" => Cursor { after: 0, listed: 0 },
            text => Cursor::open(text, self.info.incarnation)?,
        };
        let listed = usize::try_from(listed).unwrap_or(usize::MAX);
        let room_under_cap = if cap == 0 { usize::MAX } else { cap.saturating_sub(listed) };
        let wanted = PAGE_SIZE.min(room_under_cap);

        let (mut length, mut last) = (0, after);
        let mut places = self.members.after(after).map(|(place, _)| place);
        for place in places.by_ref().take(wanted) {
            (length, last) = (length + 1, place);
        }
        let is_last = room_under_cap <= length || places.next().is_none();
        let next = if is_last {
            String::new()
        } else {
            let listed = u64::try_from(listed.saturating_add(length)).unwrap_or(u64::MAX);
            Cursor { after: last, listed }.seal(self.info.incarnation)
        };
        Ok(Page { member_count: self.members.len(), next, members: &self.members, after, length })
    }
}
