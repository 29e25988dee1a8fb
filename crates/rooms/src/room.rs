//! One room: its record, its members, and the rules of entering and leaving.
//!
//! Invariant: the member list, the count, bans and capacity are all read from and changed in this one state, so that no
//! answer about one contradicts another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;

use crate::cursor::Cursor;
use crate::lifetime::Absences;
use crate::members::{Admission, Members, PAGE_SIZE};
use crate::messages::Messages;
use crate::seat_requests::SeatRequests;
use crate::seats::Seats;
use crate::{
    Ban, Block, Card, Counters, Delta, Error, Event, Fields, GiftTally, LeaveCause, Message, Outcome, Record,
    RoomInfo, RoomType, Seat, SessionId, Time, UserId,
};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A room.
#[derive(Debug)]
pub struct Room {
    /// Another one after each change.
    info: Arc<RoomInfo>,
    members: Members,
    pub(crate) counters: Counters,
    /// Grows with every change of who is in; a rendered list is good as long as this stands.
    version: u64,
    /// How many have ever left.
    pub(crate) departures: u64,
    /// How often coming and going has changed a seat.
    pub(crate) seat_turns: u64,
    pub(crate) messages: Messages,
    pub(crate) absences: Absences,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) bans: BTreeMap<UserId, Ban>,
    pub(crate) mutes: BTreeMap<UserId, Time>,
    pub(crate) admins: BTreeSet<UserId>,
    pub(crate) robots: BTreeSet<UserId>,
    pub(crate) cards: Map<UserId, Card>,
    pub(crate) blocks: Map<UserId, Block>,
    pub(crate) senders: Map<UserId, GiftTally>,
    /// Gifts that are planned and not yet counted.
    pub(crate) gifts_on_the_way: u64,
    pub(crate) seats: Seats,
    pub(crate) requests: SeatRequests,
    /// Users that watch without being members, and on how many players each.
    players: BTreeMap<UserId, u32>,
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
    /// The seat an owner was put on, durable by and by.
    pub seated: Option<Record>,
}

/// What going out did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Departure {
    /// For the others, when the user is a member no more.
    pub event: Option<Event>,
    /// Requests about seats that it ended.
    pub requests: Vec<Event>,
    /// The seat that came free, durable by and by.
    pub freed: Option<Record>,
}

/// What applying a change did beyond what was planned.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Sessions that are out now.
    pub put_out: Vec<(SessionId, LeaveCause)>,
    /// What time had changed since the plan: to be made durable by and by, and told.
    pub late: Outcome,
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
        let mut seats = Seats::default();
        seats.resize(&info);
        Self {
            info: Arc::new(info),
            members: Members::default(),
            counters: Counters::default(),
            version: 0,
            departures: 0,
            seat_turns: 0,
            messages: Messages::default(),
            absences,
            metadata: BTreeMap::new(),
            bans: BTreeMap::new(),
            mutes: BTreeMap::new(),
            admins: BTreeSet::new(),
            robots: BTreeSet::new(),
            cards: Map::default(),
            blocks: Map::default(),
            senders: Map::default(),
            gifts_on_the_way: 0,
            seats,
            requests: SeatRequests::default(),
            players: BTreeMap::new(),
        }
    }

    /// How many players watch without being members.
    pub fn players(&self) -> usize {
        self.players.values().map(|count| *count as usize).sum()
    }

    /// Who watches without being a member.
    pub fn playing(&self) -> impl Iterator<Item = &UserId> {
        self.players.keys()
    }

    /// Whether `user` watches without being a member.
    pub fn is_player(&self, user: &str) -> bool {
        self.players.contains_key(user)
    }

    /// How many players of a user are counted though it is not listed.
    pub fn playing_of(&self, user: &str) -> usize {
        self.players.get(user).map_or(0, |count| *count as usize)
    }

    /// A player that is only counted begins to watch: it is not listed, but let in and put out like everybody.
    ///
    /// # Errors
    /// [`Error::Banned`], [`Error::PasswordWanted`], [`Error::RoomFull`].
    pub fn begin_play(&mut self, user: &UserId, now: Time) -> Result<(), Error> {
        self.require_not_banned(user.as_str(), now)?;
        self.require_password(user, None)?;
        if !self.is_player(user.as_str()) {
            self.require_space_for(user)?;
        }
        *self.players.entry(user.clone()).or_default() += 1;
        self.counters.views += 1;
        Ok(())
    }

    /// One of the user's players that were only counted watches no more.
    pub fn end_play(&mut self, user: &UserId) {
        let left = self.players.get_mut(user).map(|count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == Some(0) {
            self.players.remove(user);
        }
    }

    /// All of the user's players that are only counted are put out.
    pub fn end_all_play(&mut self, user: &UserId) {
        self.players.remove(user);
    }

    /// How many users only watch.
    pub(crate) fn players_besides_members(&self) -> usize {
        self.players.keys().filter(|player| !self.members.contains(player.as_str())).count()
    }

    /// Checks that there is space for one more user: members and those who only watch, each once.
    fn require_space_for(&self, user: &UserId) -> Result<(), Error> {
        let most = self.info.max_member_count;
        let is_roomy = self.members.len() + self.players.len() < most as usize;
        if most == 0 || is_roomy || self.members.contains(user.as_str()) {
            return Ok(());
        }
        // Who watches comes in as a member without taking another's place.
        let taken =
            self.members.len() + self.players_besides_members() - usize::from(self.is_player(user.as_str()));
        if taken >= most as usize {
            return Err(Error::RoomFull(most));
        }
        Ok(())
    }

    /// Its record.
    pub fn info(&self) -> &RoomInfo {
        &self.info
    }

    /// The same, which is the same one for as long as nothing of it has changed.
    pub fn shared_info(&self) -> &Arc<RoomInfo> {
        &self.info
    }

    /// Plans new values for fields of the record.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a field out of its limits.
    pub fn update(&self, fields: &Fields) -> Result<Outcome, Error> {
        let info = self.info.updated(fields)?;
        if info == *self.info {
            return Ok(Outcome::default());
        }
        let mut outcome = Outcome::of(Delta::Info(Box::new(info.clone())), Event::InfoChanged);
        let mut seats = self.seats.clone();
        outcome.changes.extend(seats.resize(&info));
        if seats != self.seats {
            outcome.events.push(Event::SeatsChanged { seats: seats.list().to_vec() });
        }
        Ok(outcome)
    }

    /// Applies a change that is durable by now.
    ///
    /// Members come and go while a plan is on its way to the disk: what does not fit any more is set right here, and
    /// [`Effects::late`] says how.
    pub fn apply(&mut self, change: Delta, now: Time) -> Effects {
        let mut effects = Effects::default();
        match change {
            Delta::Info(info) => {
                self.info = Arc::from(info);
                // Once more, for what was noted of these seats after the plan.
                effects.late.changes.extend(self.seats.resize(&self.info));
            }
            Delta::Set(record) => self.set(record),
            Delta::Seat { index, seat, place, turns } => {
                let is_late = turns != self.seat_turns;
                self.set_seat(index, seat, place, is_late, &mut effects);
            }
            Delta::Unset(key) => self.unset(key.kind, &key.name),
            Delta::PutOut { user, cause, told } => {
                let place = self.members.place(user.as_str());
                let sessions = self.remove(&user, cause, now, &mut effects);
                if place != told && place.is_some() {
                    // Came in after the plan, perhaps once more.
                    effects.late.events.push(Event::Left { user, cause });
                }
                effects.put_out.extend(sessions.into_iter().map(|session| (session, cause)));
            }
            Delta::AddRobot { user, place, departures } => {
                let was_in = self.members.contains(user.as_str());
                let actual = self.add_robot(user.clone(), place);
                if actual != place {
                    // Came in as a person after the plan, to another place.
                    effects
                        .late
                        .changes
                        .push(Delta::Set(Record::Robot { user: user.clone(), place: actual }));
                }
                if !was_in && departures != self.departures {
                    // It may have come and gone after the plan, which took back that it is in.
                    effects.late.events.push(Event::Entered { user });
                }
            }
            Delta::Gift { given, tally } => self.count_gift(&given, tally),
            Delta::DropRobot { user, told } => self.drop_robot(&user, told, now, &mut effects),
            Delta::EndRequest { id, end, by } => effects.late.events.extend(self.end_request(id, end, &by)),
        }
        effects
    }

    /// A plan could not be made durable: what it had set aside is free again.
    pub fn give_up(&mut self, outcome: &Outcome, now: Time) {
        for change in &outcome.changes {
            match change {
                Delta::EndRequest { id, .. } => self.reopen_request(*id, now),
                Delta::Gift { .. } => self.gifts_on_the_way = self.gifts_on_the_way.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn set(&mut self, record: Record) {
        match record {
            Record::Metadata { key, value } => drop(self.metadata.insert(key, value)),
            Record::Mute { user, until } => drop(self.mutes.insert(user, until)),
            Record::Ban(ban) => drop(self.bans.insert(ban.user.clone(), ban)),
            Record::Admin(user) => drop(self.admins.insert(user)),
            Record::Robot { user, place } => {
                self.add_robot(user, place);
            }
            Record::Seat { index, seat } => self.seats.set(index, seat),
            Record::Card { user, card } => drop(self.cards.insert(user, card)),
            Record::Block { user, block } => drop(self.blocks.insert(user, block)),
            Record::Sender { user, tally } => drop(self.senders.insert(user, tally)),
        }
    }

    /// Sets a seat as planned. With `is_late`, coming and going has changed seats since, and what is true now is noted
    /// anew.
    fn set_seat(
        &mut self,
        index: u32,
        mut seat: Seat,
        place: Option<u64>,
        is_late: bool,
        effects: &mut Effects,
    ) {
        let gone = seat.occupant.take_if(|user| self.members.place(user.as_str()) != place);
        let elsewhere = seat.occupant.as_ref().and_then(|user| self.seats.seat_of(user.as_str()));
        let elsewhere = elsewhere.filter(|other| *other != index);
        if let Some(other) = elsewhere {
            self.seats.occupy(other, None);
        }
        self.seats.set(index, seat);
        if is_late || gone.is_some() {
            let touched = elsewhere.into_iter().chain([index]);
            effects.late.changes.extend(touched.filter_map(|index| self.seats.record(index)).map(Delta::Set));
        }
        if gone.is_some() {
            effects.late.events.push(Event::SeatsChanged { seats: self.seats.list().to_vec() });
        }
    }

    fn unset(&mut self, kind: &str, name: &str) {
        match kind {
            Record::METADATA => drop(self.metadata.remove(name)),
            Record::MUTE => drop(self.mutes.remove(name)),
            Record::BAN => drop(self.bans.remove(name)),
            Record::ADMIN => drop(self.admins.remove(name)),
            Record::CARD => drop(self.cards.remove(name)),
            Record::BLOCK => drop(self.blocks.remove(name)),
            Record::SENDER => drop(self.senders.remove(name)),
            _ => {}
        }
    }

    /// Puts a robot in, and returns its place.
    fn add_robot(&mut self, user: UserId, place: u64) -> u64 {
        let was_in = self.members.contains(user.as_str());
        let actual = self.members.restore(&user, SessionId::ROBOT, place);
        if !was_in {
            self.version += 1;
            self.note_entered(&user);
        }
        self.robots.insert(user);
        actual
    }

    fn drop_robot(&mut self, user: &UserId, told: Option<u64>, now: Time, effects: &mut Effects) {
        let place = self.members.place(user.as_str());
        if !self.robots.remove(user) {
            return;
        }
        let Ok(departure) = self.leave(user, SessionId::ROBOT, LeaveCause::Leave, now) else { return };
        effects.late.changes.extend(departure.freed.map(Delta::Set));
        effects.late.events.extend(departure.requests);
        match departure.event {
            Some(event) if place != told => effects.late.events.push(event),
            // It came in as a person after the plan, which tells of its end.
            None if told.is_some() => effects.late.events.push(Event::Entered { user: user.clone() }),
            _ => {}
        }
    }

    /// A fact that was durable before a restart. Who sits is seen to once the members are back:
    /// [`Self::finish_restore`].
    pub fn restore_record(&mut self, record: Record) {
        self.set(record);
    }

    /// After a restart, once all members are back: frees seats of those who are not, and says which.
    pub fn finish_restore(&mut self) -> Vec<Record> {
        self.restore_gift_counters();
        let gone: Vec<UserId> = self
            .seats
            .list()
            .iter()
            .filter_map(|seat| seat.occupant.clone())
            .filter(|user| !self.members.contains(user.as_str()))
            .collect();
        let freed = gone.iter().filter_map(|user| self.seats.vacate(user));
        let freed: Vec<u32> = freed.collect();
        freed.into_iter().filter_map(|index| self.seats.record(index)).collect()
    }

    /// Who is in.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Its numbers.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    pub(crate) fn members_mut(&mut self) -> &mut Members {
        &mut self.members
    }

    /// Changes whenever the member list does.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Checks that a command for rooms of `wanted` type, or of any, may be used on this one.
    ///
    /// # Errors
    /// [`Error::WrongRoomType`].
    pub fn require_type(&self, wanted: impl Into<Option<RoomType>>) -> Result<(), Error> {
        let found = self.info.room_type;
        match wanted.into() {
            Some(wanted) if wanted != found => {
                Err(Error::WrongRoomType { room_id: self.info.room_id.to_string(), found, wanted })
            }
            _ => Ok(()),
        }
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

    /// Checks that `session` of `user` is in.
    ///
    /// # Errors
    /// [`Error::NotAMember`].
    pub fn require_session(&self, user: &UserId, session: SessionId) -> Result<(), Error> {
        if self.members.sessions(user.as_str()).contains(&session) {
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
        self.require_space_for(user)?;
        let admission = self.members.enter(user, session);
        let mut entered = Entered {
            place: admission.place(),
            session_is_new: !matches!(admission, Admission::Already(_)),
            event: None,
            seated: None,
        };
        if let Admission::New(_) = admission {
            self.counters.views += 1;
            self.version += 1;
            self.note_entered(user);
            entered.event = Some(Event::Entered { user: user.clone() });
            if let Some(index) = self.seat_for_owner(user) {
                self.seats.occupy(index, Some(user.clone()));
                self.seat_turns += 1;
                entered.seated = self.seats.record(index);
            }
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
    ) -> Result<Departure, Error> {
        match self.members.leave(user.as_str(), session) {
            None => Err(Error::NotAMember { user: user.to_string(), room_id: self.info.room_id.to_string() }),
            Some(false) => Ok(Departure::default()),
            Some(true) => {
                let (freed, requests) = self.went(user, cause, now);
                Ok(Departure { event: Some(Event::Left { user: user.clone(), cause }), requests, freed })
            }
        }
    }

    /// What follows when a user is a member no more; returns the seat it had, and what its requests come to.
    fn went(&mut self, user: &UserId, cause: LeaveCause, now: Time) -> (Option<Record>, Vec<Event>) {
        self.version += 1;
        self.departures += 1;
        self.note_left(user.as_str(), cause, now);
        let requests = self.end_requests_of(user);
        let freed = self.seats.vacate(user).and_then(|index| {
            self.seat_turns += 1;
            self.seats.record(index)
        });
        (freed, requests)
    }

    /// A user is put out with all its sessions, which are returned; empty when it was not in.
    fn remove(
        &mut self,
        user: &UserId,
        cause: LeaveCause,
        now: Time,
        effects: &mut Effects,
    ) -> Vec<SessionId> {
        let sessions = self.members.remove(user.as_str());
        self.players.remove(user);
        self.robots.remove(user);
        if !sessions.is_empty() {
            let (freed, requests) = self.went(user, cause, now);
            effects.late.changes.extend(freed.map(Delta::Set));
            effects.late.events.extend(requests);
        }
        sessions
    }

    /// After a restart: puts a member back at the place it had. `None` when it was banned meanwhile.
    pub fn restore_member(
        &mut self,
        user: &UserId,
        session: SessionId,
        place: u64,
        now: Time,
    ) -> Option<u64> {
        self.require_not_banned(user.as_str(), now).ok()?;
        let place = self.members.restore(user, session, place);
        self.version += 1;
        self.note_entered(user);
        Some(place)
    }

    /// After a restart: goes on from numbers at least as high as were given out before it.
    pub fn restore_counters(&mut self, counters: Counters) {
        self.counters = counters;
    }

    /// After a restart: a message that was kept.
    pub fn restore_message(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// A page of the member list: up to [`PAGE_SIZE`] members after the place that `next` names (`""`: from the
    /// first), and over all pages at most `cap` (0: no cap).
    ///
    /// # Errors
    /// [`Error::Invalid`] for a `next` that is no cursor of this room.
    pub fn page(&self, next: &str, cap: usize) -> Result<Page<'_>, Error> {
        self.page_of(next, cap, PAGE_SIZE)
    }

    /// The same, of up to `most` members and [`PAGE_SIZE`].
    ///
    /// # Errors
    /// The same.
    pub fn page_of(&self, next: &str, cap: usize, most: usize) -> Result<Page<'_>, Error> {
        let Cursor { after, listed } = match next {
            "" => Cursor { after: 0, listed: 0 },
            text => Cursor::open(text, self.info.incarnation)?,
        };
        let listed = usize::try_from(listed).unwrap_or(usize::MAX);
        let room_under_cap = if cap == 0 { usize::MAX } else { cap.saturating_sub(listed) };
        let wanted = PAGE_SIZE.min(room_under_cap).min(most);

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
