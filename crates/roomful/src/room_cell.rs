//! A room with its lock, its listeners, and its rendered list.
//!
//! Whatever changes in the room is handed to the store while the room is locked, so that the disk and the webhooks see
//! changes in the order in which they happened.
//!
//! Locks are taken in one order: the room's state, then its fan-out, then its streams, then a session's; never two
//! rooms' at once, and none across an `.await`. Whoever changes the state takes the fan-out before letting the state go
//! (hand over hand), so that every member hears of changes in the order in which they happened, while readers do not
//! wait for the telling.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hall::{Begin, PlanId, Plans, Touches};
use hashbrown::HashMap;
use media::{PeerId, Published, Rights, RoomKey, StreamKind};
use parking_lot::{Mutex, MutexGuard, RwLock};
use rooms::{
    Delta, Error, Event, Keep, LeaveCause, Message, Outcome, PresenceBatch, Record, Room, RoomId, RoomInfo,
    RoomType, SessionId, Time, UserId,
};
use store::{Change, Commit, Presence};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::clock;
use crate::config::Config;
use crate::error::{ApiError, Code};
use crate::live::{Offered, Settled, Streams, WantedLayers};
use crate::locks::{self, ReadRoom, WriteRoom};
use crate::quota::Place;
use crate::session::{Frame, Session};
use crate::tenant::Tenant;
use crate::webhooks::Teller;
use crate::wire;

/// The shortest time between two `members_changed` of a room: 8 a second, and never more than 10 in any second even
/// when the network bunches them.
const BATCH_INTERVAL: Duration = Duration::from_millis(125);

/// How many `members_changed` frames one room sends a second in all: a room with more listeners tells them less often...
const BATCH_FRAMES_PER_SECOND: usize = 5000;

/// ... but no less often than this.
const SLOWEST_BATCH_INTERVAL: Duration = Duration::from_secs(2);

/// A room that exists; `state` is empty once it is destroyed.
pub(crate) struct RoomCell {
    pub(crate) app: Arc<Tenant>,
    pub(crate) room_id: RoomId,
    state: RwLock<Option<Room>>,
    /// The first page as JSON, and the version of the list it shows.
    first_page: Mutex<Option<(u64, Bytes)>>,
    fanout: Mutex<Fanout>,
    /// For the end of the room's lifetime.
    pub(crate) lifetime_alarm: Alarm,
    /// For requests about seats that nobody answers.
    request_alarm: Alarm,
    /// The room as the forwarding unit knows it.
    pub(crate) media_key: RoomKey,
    /// What is being published in it.
    streams: Mutex<Streams>,
    /// For mutes that end while their members publish.
    mute_alarm: Alarm,
    /// While the room's deletion is on its way to the disk: what would be written behind it. It is dropped with the room,
    /// or written after all when the disk refuses the deletion.
    held_back: Mutex<Option<Vec<HeldBack>>>,
    /// What it takes up of its maker's, as long as it is there.
    place: Mutex<Option<Place>>,
    /// Commands that are on their way to the disk, and those that wait for them.
    plans: Mutex<Plans<oneshot::Sender<()>>>,
}

/// What waits for the outcome of a room's deletion.
struct HeldBack {
    changes: Vec<Change>,
    /// Who waits; nobody for the journal.
    done: Option<oneshot::Sender<Result<(), ApiError>>>,
}

/// Resolves when what happened in a room is on disk, or will never be.
pub(crate) enum Keeping {
    Store(Commit),
    HeldBack(oneshot::Receiver<Result<(), ApiError>>),
}

impl Keeping {
    pub(crate) async fn kept(self) -> Result<(), ApiError> {
        match self {
            Self::Store(commit) => commit.await.map_err(|error| {
                let told = "the others have it already, and it is kept as soon as the disk takes it: do not send it again";
                ApiError::internal(format_args!("{told} ({error})"))
            }),
            Self::HeldBack(outcome) => outcome.await.unwrap_or_else(|_| {
                Err(ApiError::new(Code::RoomNotFound, "the room was destroyed at this moment"))
            }),
        }
    }
}

/// Whether the app's receiver hears of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    Told,
    Spared,
}

struct Fanout {
    listeners: HashMap<SessionId, Arc<Session>, foldhash::fast::RandomState>,
    batch: PresenceBatch,
    likes: Likes,
    flush_is_due: bool,
    flushed_at: Option<Instant>,
}

/// Likes that are told with the next batch.
#[derive(Default)]
struct Likes {
    total: u64,
    by: Vec<(UserId, u64)>,
}

/// How many who sent likes are named in a batch.
const NAMED_LIKERS: usize = 20;

/// A command that is on its way to the disk.
pub(crate) struct Planned<T> {
    value: T,
    outcome: Outcome,
    /// `None` when there is nothing to make durable.
    pub(crate) commit: Option<Commit>,
    /// The sessions of those who are going to be put out.
    sessions: Vec<SessionId>,
}

/// A plan's place among the others of its room, until this is dropped.
pub(crate) struct Turn<'a> {
    cell: &'a RoomCell,
    id: PlanId,
}

impl Turn<'_> {
    /// Once all that was planned before has been applied.
    pub(crate) async fn comes(&self) {
        loop {
            let mut woken = None;
            if self.cell.plans.lock().is_turn(self.id, || waiter(&mut woken)) {
                return;
            }
            sleep(woken).await;
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let freed = self.cell.plans.lock().end(self.id);
        for waiter in freed {
            // Whoever does not wait any more has left the line.
            let _ = waiter.send(());
        }
    }
}

fn waiter(woken: &mut Option<oneshot::Receiver<()>>) -> oneshot::Sender<()> {
    let (sender, receiver) = oneshot::channel();
    *woken = Some(receiver);
    sender
}

async fn sleep(woken: Option<oneshot::Receiver<()>>) {
    if let Some(woken) = woken {
        // The error is that the room is gone, which its lock tells.
        let _ = woken.await;
    }
}

fn crowded() -> ApiError {
    let trouble = "too many commands wait for this room: retry in a moment";
    ApiError::new(Code::TooOften, trouble)
}

/// What a command touches that nobody has looked at more closely.
pub(crate) fn everything(_: &Room, _: Time) -> Touches {
    Touches::all()
}

/// What came of a session's wish to enter.
pub(crate) enum Entrance {
    Open(Welcome),
    /// The user is in with as many sessions as are allowed: these.
    Crowded(Vec<SessionId>),
}

/// What a member gets on entering.
pub(crate) struct Welcome {
    /// `{"RoomInfo": .., "Next": .., "MemberCount": .., "MemberList": .., ..}`
    pub(crate) json: String,
}

impl RoomCell {
    /// `place` is what the room takes up of its maker's.
    pub(crate) fn new(app: Arc<Tenant>, room: Room, place: Option<Place>) -> Arc<Self> {
        let fanout = Fanout {
            listeners: HashMap::default(),
            batch: PresenceBatch::default(),
            likes: Likes::default(),
            flush_is_due: false,
            flushed_at: None,
        };
        let media_key = app.live.new_room();
        Arc::new(Self {
            app,
            room_id: room.info().room_id.clone(),
            state: RwLock::new(Some(room)),
            first_page: Mutex::new(None),
            fanout: Mutex::new(fanout),
            lifetime_alarm: Alarm::default(),
            request_alarm: Alarm::default(),
            media_key,
            streams: Mutex::default(),
            mute_alarm: Alarm::default(),
            held_back: Mutex::default(),
            place: Mutex::new(place),
            plans: Mutex::default(),
        })
    }

    /// The room, to look at.
    pub(crate) fn read(&self) -> Result<ReadRoom<'_>, Error> {
        locks::read(&self.state).ok_or_else(|| Error::RoomNotFound(self.room_id.to_string()))
    }

    /// The room, to change.
    pub(crate) fn write(&self) -> Result<WriteRoom<'_>, Error> {
        locks::write(&self.state).ok_or_else(|| Error::RoomNotFound(self.room_id.to_string()))
    }

    /// The room, to look at, if it is of type `wanted`.
    pub(crate) fn read_as(&self, wanted: Option<RoomType>) -> Result<ReadRoom<'_>, Error> {
        let room = self.read()?;
        wanted.map_or(Ok(()), |wanted| room.require_type(wanted))?;
        Ok(room)
    }

    /// A page of the member list as JSON. The first page is rendered once for each state of the list.
    pub(crate) fn page(&self, wanted: Option<RoomType>, next: &str, cap: usize) -> Result<Bytes, Error> {
        let room = self.read_as(wanted)?;
        self.render(&room, next, cap)
    }

    fn render(&self, room: &Room, next: &str, cap: usize) -> Result<Bytes, Error> {
        if !next.is_empty() {
            return Ok(wire::page(&room.page(next, cap)?));
        }
        let mut first_page = self.first_page.lock();
        match &*first_page {
            Some((version, json)) if *version == room.version() => Ok(json.clone()),
            _ => {
                let json = wire::page(&room.page("", cap)?);
                *first_page = Some((room.version(), json.clone()));
                Ok(json)
            }
        }
    }

    /// `session` comes in and listens from now on.
    pub(crate) fn enter(
        self: &Arc<Self>,
        session: &Arc<Session>,
        password: Option<&str>,
        config: &Config,
        now: Time,
    ) -> Result<Entrance, ApiError> {
        let mut room = self.write()?;
        room.require_password(&session.user, password)?;
        let own = room.members().sessions(session.user.as_str());
        let is_in = own.contains(&session.id);
        let most = config.limits.sessions_per_room as usize;
        if !is_in && most > 0 && own.len() >= most {
            return Ok(Entrance::Crowded(own.to_vec()));
        }
        if !session.note_entering(&self.room_id, self.media_key) {
            return Err(ApiError::new(Code::SigInvalid, "the session has ended; log in with a UserSig"));
        }
        let entered =
            room.enter(&session.user, session.id, now).inspect_err(|_| session.note_left(self.media_key))?;
        let page = self.render(&room, "", config.member_list.cap)?;
        let json = wire::welcome(&room, &session.app, &page, self.streams.lock().told(), now);
        let welcome = Welcome { json };
        if !entered.session_is_new {
            return Ok(Entrance::Open(welcome));
        }
        let seen = room.last_seq();
        let mut events: Vec<Event> = entered.event.into_iter().collect();
        let mut changes = vec![self.presence(session, entered.place, seen), self.counters(&room)];
        self.note_seat(&room, entered.seated, &mut changes, &mut events);
        self.journal(&room, session.user.as_str(), changes, &events, now);
        let mut fanout = self.fanout.lock();
        fanout.listeners.insert(session.id, session.clone());
        session.note_entered(self.media_key, entered.place, seen);
        self.tell(room, &mut fanout, &events);
        Ok(Entrance::Open(welcome))
    }

    /// Puts a session back that was in before a restart; `false` when it was banned meanwhile.
    pub(crate) fn restore(
        self: &Arc<Self>,
        session: &Arc<Session>,
        place: u64,
        seen: u64,
    ) -> Result<bool, Error> {
        let mut room = self.write()?;
        if !session.note_entering(&self.room_id, self.media_key) {
            return Ok(false);
        }
        let Some(place) = room.restore_member(&session.user, session.id, place, clock::now()) else {
            session.note_left(self.media_key);
            return Ok(false);
        };
        self.fanout.lock().listeners.insert(session.id, session.clone());
        session.note_entered(self.media_key, place, seen);
        Ok(true)
    }

    /// `session` goes out.
    pub(crate) fn leave(
        self: &Arc<Self>,
        session: &Session,
        cause: LeaveCause,
        now: Time,
    ) -> Result<(), Error> {
        let mut room = self.write()?;
        let departure = room.leave(&session.user, session.id, cause, now)?;
        let mut events: Vec<Event> = departure.event.into_iter().chain(departure.requests).collect();
        let mut changes = vec![Change::DeletePresence(session.id, self.app.id, self.room_id.clone())];
        self.note_seat(&room, departure.freed, &mut changes, &mut events);
        self.journal(&room, session.user.as_str(), changes, &events, now);
        let mut fanout = self.fanout.lock();
        fanout.listeners.remove(&session.id);
        session.note_left(self.media_key);
        self.end_media(session.id);
        self.tell(room, &mut fanout, &events);
        Ok(())
    }

    /// A connection that was lost is back, or is lost: what the session has by now is noted.
    pub(crate) fn note_connection(&self, session: &Session, place: u64, seen: u64, is_back: bool) {
        let Ok(room) = self.read() else { return };
        if !room.members().sessions(session.user.as_str()).contains(&session.id) {
            return;
        }
        let events: &[Event] = if is_back { &[Event::Recovered { user: session.user.clone() }] } else { &[] };
        let changes = vec![self.presence(session, place, seen)];
        self.journal(&room, session.user.as_str(), changes, events, clock::now());
    }

    /// After a restart, once all members are back: what their absence has changed becomes durable.
    pub(crate) fn finish_restore(&self) {
        let Ok(mut room) = self.write() else { return };
        let changes: Vec<Change> = room.finish_restore().into_iter().map(|record| self.put(record)).collect();
        if !changes.is_empty() {
            let event = Event::SeatsChanged { seats: room.seats().to_vec() };
            self.journal(&room, "", changes, &[event], clock::now());
        }
    }

    /// Hands the room's deletion to the store, with what `also` says. From here on nothing of the room is written until
    /// it is known whether there is one: [`Self::destroy`] or [`Self::go_on`] has to follow.
    pub(crate) fn begin_end(&self, also: impl FnOnce(&Room) -> Option<Change>) -> Result<Commit, Error> {
        let room = self.write()?;
        let mut changes = vec![Change::DeleteRoom(self.app.id, self.room_id.clone())];
        changes.extend(also(&room));
        self.held_back.lock().get_or_insert_default();
        Ok(self.app.store.commit(changes))
    }

    /// The disk has refused to delete the room: what has happened in it since is written after all.
    pub(crate) fn go_on(&self) {
        let mut held_back = self.held_back.lock();
        for HeldBack { changes, done } in held_back.take().into_iter().flatten() {
            let Some(done) = done else {
                self.app.store.journal(changes);
                continue;
            };
            let keeping = Keeping::Store(self.write_down(changes));
            // Whoever has hung up does not care.
            tokio::spawn(async move { drop(done.send(keeping.kept().await)) });
        }
    }

    /// Ends the room for everyone in it. Nobody finds it any more when this returns.
    pub(crate) fn destroy(&self, cause: LeaveCause) {
        let mut state = locks::end(&self.state);
        let mut fanout = self.fanout.lock();
        *state = None;
        drop(state);
        self.held_back.lock().take();
        self.place.lock().take();
        for (_, session) in fanout.listeners.drain() {
            self.close_for(&session, cause);
        }
        self.app.live.close(self.streams.lock().end_all());
        self.app.live.forget_room(self.media_key);
    }

    /// Plans a durable command under the rules, and hands it to the store, as soon as nothing is on its way that it
    /// conflicts with.
    ///
    /// What is planned is [applied](Self::apply) when it is durable and its turn has come.
    pub(crate) async fn plan<T>(
        &self,
        wanted: Option<RoomType>,
        operator: &str,
        touches: impl Fn(&Room, Time) -> Touches,
        plan: impl FnOnce(&mut Room, Time) -> Result<(T, Outcome), Error>,
    ) -> Result<(Planned<T>, Turn<'_>), ApiError> {
        let turn = {
            let room = self.read_as(wanted)?;
            let id = self.plans.lock().want(touches(&room, clock::now()));
            Turn { cell: self, id: id.map_err(|_| crowded())? }
        };
        let planned = loop {
            let mut woken = None;
            {
                let room = self.write()?;
                wanted.map_or(Ok(()), |wanted| room.require_type(wanted))?;
                let now = clock::now();
                let touched = touches(&room, now);
                let begin = self.plans.lock().begin(turn.id, touched, || waiter(&mut woken));
                if begin == Begin::Now {
                    break self.hand_over(room, operator, now, plan)?;
                }
            }
            sleep(woken).await;
        };
        Ok((planned, turn))
    }

    /// Once no command is on its way, and as long as none begins.
    pub(crate) async fn alone(&self) -> Result<Turn<'_>, ApiError> {
        let nothing = |_: &mut Room, _| Ok(((), Outcome::default()));
        Ok(self.plan(None, "", everything, nothing).await?.1)
    }

    /// What was planned could not be made durable.
    pub(crate) fn give_up<T>(&self, planned: &Planned<T>) {
        if let Ok(mut room) = self.write() {
            room.give_up(&planned.outcome, clock::now());
        }
    }

    fn hand_over<T>(
        &self,
        mut room: WriteRoom<'_>,
        operator: &str,
        now: Time,
        plan: impl FnOnce(&mut Room, Time) -> Result<(T, Outcome), Error>,
    ) -> Result<Planned<T>, Error> {
        let (value, outcome) = plan(&mut room, now)?;
        let mut changes: Vec<Change> =
            outcome.changes.iter().flat_map(|change| self.durable(change)).collect();
        if changes.is_empty() {
            return Ok(Planned { value, outcome, commit: None, sessions: Vec::new() });
        }
        let put_out = outcome.changes.iter().filter_map(|change| match change {
            Delta::PutOut { user, .. } => Some(user),
            _ => None,
        });
        let sessions = put_out.flat_map(|user| room.members().sessions(user.as_str())).copied().collect();
        let info = outcome.changes.iter().find_map(|change| match change {
            Delta::Info(info) => Some(&**info),
            _ => None,
        });
        changes
            .extend(self.teller(&room, info.unwrap_or(room.info()), operator, now).changes(&outcome.events));
        let commit = Some(self.app.store.commit(changes));
        Ok(Planned { value, outcome, commit, sessions })
    }

    /// Applies what is durable, and tells everyone whom it concerns. Returns what is to be waited for before it is done:
    /// sessions that came in after the plan, and wrote so behind it, are put out on disk as well.
    pub(crate) fn apply<T>(
        self: &Arc<Self>,
        planned: Planned<T>,
        operator: &str,
    ) -> Result<(T, Option<Commit>), Error> {
        let Planned { value, outcome, sessions, .. } = planned;
        let mut room = self.write()?;
        let now = clock::now();
        let (mut late, mut put_out) = (Outcome::default(), Vec::new());
        let (mut latecomers, mut has_gift) = (Vec::new(), false);
        for change in outcome.changes {
            let user = match &change {
                Delta::PutOut { user, .. } => Some(user.clone()),
                _ => None,
            };
            has_gift |= matches!(change, Delta::Gift { .. });
            let effects = room.apply(change, now);
            if effects.put_out.iter().any(|(session, _)| !sessions.contains(session)) {
                latecomers.extend(user);
            }
            late.changes.extend(effects.late.changes);
            late.events.extend(effects.late.events);
            put_out.extend(effects.put_out);
        }
        if !late.changes.is_empty() || !late.events.is_empty() || !latecomers.is_empty() || has_gift {
            let mut changes: Vec<Change> =
                late.changes.iter().flat_map(|change| self.durable(change)).collect();
            let gone = |user: &UserId| Change::DeleteMember(self.app.id, self.room_id.clone(), user.clone());
            changes.extend(latecomers.iter().map(gone));
            changes.extend(has_gift.then(|| self.counters(&room)));
            self.journal(&room, operator, changes, &late.events, now);
        }
        // What is committed now is on disk after all that was journalled before.
        let rest = (!latecomers.is_empty()).then(|| self.app.store.commit(Vec::new()));
        let mut fanout = self.fanout.lock();
        for (session, cause) in put_out {
            if let Some(session) = fanout.listeners.remove(&session) {
                self.close_for(&session, cause);
            }
        }
        self.tell(room, &mut fanout, outcome.events.iter().chain(&late.events));
        Ok((value, rest))
    }

    /// Changes the room in memory alone, and tells of it.
    pub(crate) fn now<T>(
        self: &Arc<Self>,
        act: impl FnOnce(&mut Room, Time) -> Result<(T, Option<Event>), Error>,
    ) -> Result<T, Error> {
        let mut room = self.write()?;
        let (value, event) = act(&mut room, clock::now())?;
        let mut fanout = self.fanout.lock();
        self.tell(room, &mut fanout, &event);
        Ok(value)
    }

    /// Tells everyone in the room of something that is not the room's own.
    pub(crate) fn tell_all(&self, frame: &Frame) {
        for session in self.fanout.lock().listeners.values() {
            session.push(frame.clone());
        }
    }

    /// Tells everyone in the room but one session.
    pub(crate) fn tell_others(&self, sender: SessionId, frame: &Frame) {
        let fanout = self.fanout.lock();
        let others = fanout.listeners.iter().filter(|(id, _)| **id != sender);
        others.for_each(|(_, session)| session.push(frame.clone()));
    }

    /// Tells one member, on all its sessions.
    pub(crate) fn tell_user(&self, user: &UserId, frame: &Frame) {
        let fanout = self.fanout.lock();
        let own = fanout.listeners.values().filter(|session| session.user == *user);
        own.for_each(|session| session.push(frame.clone()));
    }

    /// Tells the owner and the administrators, as far as they are in.
    pub(crate) fn tell_managers(&self, frame: &Frame) {
        let Ok(room) = self.read() else { return };
        let sessions = room.managers().flat_map(|user| room.members().sessions(user.as_str())).copied();
        let sessions: Vec<SessionId> = sessions.collect();
        let fanout = self.fanout.lock();
        drop(room);
        sessions
            .iter()
            .filter_map(|id| fanout.listeners.get(id))
            .for_each(|session| session.push(frame.clone()));
    }

    /// A message goes to everyone at once, and is durable when the commit is.
    pub(crate) fn send(
        self: &Arc<Self>,
        operator: &str,
        hook: Hook,
        send: impl FnOnce(&mut Room, Time) -> Result<Event, Error>,
    ) -> Result<(Message, Keeping), Error> {
        let mut room = self.write()?;
        let now = clock::now();
        let event = send(&mut room, now)?;
        let Event::Message(message) = &event else {
            return Err(Error::invalid("the message", "was not taken"));
        };
        let message = message.clone();
        let put = Change::PutMessage(self.app.id, self.room_id.clone(), message.clone());
        let told = if hook == Hook::Told { std::slice::from_ref(&event) } else { &[] };
        let commit = self.commit(&room, operator, vec![put], told, now);
        let fanout = self.fanout.lock();
        drop(room);
        let frame = Frame::message(&self.room_id, &message);
        for session in fanout.listeners.values() {
            session.push(frame.clone());
        }
        Ok((message, commit))
    }

    /// Likes are counted at once, and are durable when the commit is.
    pub(crate) fn like(self: &Arc<Self>, from: &UserId, count: u64) -> Result<(u64, Keeping), Error> {
        let mut room = self.write()?;
        let event = room.like(from, count)?;
        let total = room.counters().likes;
        let commit =
            self.commit(&room, from.as_str(), Vec::new(), std::slice::from_ref(&event), clock::now());
        let mut fanout = self.fanout.lock();
        self.tell(room, &mut fanout, [&event]);
        Ok((total, commit))
    }

    /// Keeps what has been told already, with the room's numbers.
    fn commit(
        &self,
        room: &Room,
        operator: &str,
        mut changes: Vec<Change>,
        events: &[Event],
        now: Time,
    ) -> Keeping {
        changes.push(self.counters(room));
        changes.extend(self.teller(room, room.info(), operator, now).changes(events));
        match &mut *self.held_back.lock() {
            None => Keeping::Store(self.write_down(changes)),
            Some(held_back) => {
                let (done, outcome) = oneshot::channel();
                held_back.push(HeldBack { changes, done: Some(done) });
                Keeping::HeldBack(outcome)
            }
        }
    }

    /// What has been told must be kept: it is journalled, which the disk may delay and not refuse, and waited for.
    fn write_down(&self, changes: Vec<Change>) -> Commit {
        self.app.store.journal(changes);
        self.app.store.commit(Vec::new())
    }

    /// Notes what nobody waits for.
    fn journal(&self, room: &Room, operator: &str, mut changes: Vec<Change>, events: &[Event], now: Time) {
        changes.extend(self.teller(room, room.info(), operator, now).changes(events));
        if changes.is_empty() {
            return;
        }
        match &mut *self.held_back.lock() {
            None => self.app.store.journal(changes),
            Some(held_back) => held_back.push(HeldBack { changes, done: None }),
        }
    }

    fn teller<'a>(&'a self, room: &'a Room, info: &'a RoomInfo, operator: &'a str, now: Time) -> Teller<'a> {
        Teller { app: &self.app, room, info, operator, now }
    }

    fn note_seat(
        &self,
        room: &Room,
        seat: Option<Record>,
        changes: &mut Vec<Change>,
        events: &mut Vec<Event>,
    ) {
        if let Some(record) = seat {
            changes.push(self.put(record));
            events.push(Event::SeatsChanged { seats: room.seats().to_vec() });
        }
    }

    fn put(&self, record: Record) -> Change {
        Change::PutRecord(self.app.id, self.room_id.clone(), record)
    }

    fn counters(&self, room: &Room) -> Change {
        Change::PutCounters(self.app.id, self.room_id.clone(), room.counters())
    }

    fn presence(&self, session: &Session, place: u64, seen: u64) -> Change {
        Change::PutPresence(Presence {
            session: session.id,
            sdkappid: self.app.id,
            room_id: self.room_id.clone(),
            user: session.user.clone(),
            place,
            seen,
        })
    }

    /// What a change is to the store.
    fn durable(&self, change: &Delta) -> impl Iterator<Item = Change> {
        let (app, room_id) = (self.app.id, self.room_id.clone());
        change.keeps().into_iter().map(move |keep| match keep {
            Keep::Info(info) => Change::PutRoom(app, *info),
            Keep::Put(record) => Change::PutRecord(app, room_id.clone(), record),
            Keep::Delete(key) => Change::DeleteRecord(app, room_id.clone(), key),
            Keep::DeleteMember(user) => Change::DeleteMember(app, room_id.clone(), user),
        })
    }

    /// Lets requests about seats run out.
    pub(crate) fn watch_requests(self: &Arc<Self>) {
        let Ok(Some(deadline)) = self.read().map(|room| room.next_request_deadline()) else { return };
        let cell = self.clone();
        self.request_alarm.set(deadline, async move {
            // A room that is gone has no requests.
            while let Ok(true) = cell.now(|room, now| {
                let expired = room.expire_seat_request(now);
                Ok((expired.is_some(), expired))
            }) {}
            cell.watch_requests();
        });
    }

    fn close_for(&self, session: &Arc<Session>, cause: LeaveCause) {
        self.end_media(session.id);
        session.note_left(self.media_key);
        session.push(Frame::text(&wire::room_closed(&self.room_id, cause)));
    }

    // Media

    pub(crate) fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock()
    }

    /// `session` publishes on `peer` from now on. Returns what of it flows.
    pub(crate) fn note_published(
        self: &Arc<Self>,
        session: &Session,
        peer: PeerId,
        published: &[Published],
        offered: &Offered,
    ) -> Result<Rights, Error> {
        let room = self.write()?;
        room.require_session(&session.user, session.id)?;
        let mut fanout = self.fanout.lock();
        let former = self.streams.lock().publish(session.id, &session.user, peer, published, offered);
        self.app.live.close(former);
        self.tell(room, &mut fanout, &[]);
        // Said once more: what has not changed for the room may be new to the connection.
        let rights = self.streams.lock().rights_on(peer).unwrap_or_default();
        self.app.live.set_rights(peer, rights);
        Ok(rights)
    }

    /// `session` watches on `peer` from now on.
    pub(crate) fn note_watching(&self, session: &Session, peer: PeerId) -> Result<(), Error> {
        let room = self.read()?;
        room.require_session(&session.user, session.id)?;
        let former = self.streams.lock().watch(Some(session.id), &session.user, peer);
        self.app.live.close(former);
        Ok(())
    }

    /// Changes what is published other than by the room's rules, and tells of it.
    pub(crate) fn change_streams<T>(
        self: &Arc<Self>,
        act: impl FnOnce(&mut Room, &mut Streams) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut room = self.write()?;
        let mut fanout = self.fanout.lock();
        let value = act(&mut room, &mut self.streams.lock())?;
        self.tell(room, &mut fanout, &[]);
        Ok(value)
    }

    /// Ends players that are only counted, of users that `is_of` picks.
    pub(crate) fn end_players(self: &Arc<Self>, is_of: impl Fn(&UserId) -> bool) -> Result<(), Error> {
        let users: Vec<UserId> = self.read()?.playing().filter(|user| is_of(user)).cloned().collect();
        if users.is_empty() {
            return Ok(());
        }
        self.change_streams(|room, _| {
            users.iter().for_each(|user| room.end_all_play(user));
            Ok(())
        })
    }

    /// A connection is gone, though nobody ended it: its session is to make another.
    pub(crate) fn note_media_lost(
        self: &Arc<Self>,
        peer: PeerId,
        session: Option<SessionId>,
        was_publisher: bool,
    ) {
        let lost = self.change_streams(|room, streams| {
            let user = streams.lose(peer);
            // One without a session was a player that is only counted.
            if let Some(user) = user.as_ref().filter(|_| session.is_none()) {
                room.end_play(user);
            }
            Ok(user.is_some())
        });
        if lost != Ok(true) {
            return;
        }
        let frame = Frame::text(&wire::media_lost(&self.room_id, was_publisher));
        let session = session.and_then(|session| self.fanout.lock().listeners.get(&session).cloned());
        session.into_iter().for_each(|session| session.push(frame.clone()));
    }

    /// Something else is wanted of what `session` publishes: it is told, and told again when it comes back.
    pub(crate) fn note_wanted(
        &self,
        session: SessionId,
        peer: PeerId,
        kind: StreamKind,
        layers: Vec<(String, bool)>,
    ) {
        let wanted = WantedLayers { kind, seq: self.app.live.next_seq(), layers };
        let fanout = self.fanout.lock();
        let frame = Frame::text(&wire::layers_wanted(&self.room_id, &wanted));
        if self.streams.lock().note_wanted(peer, wanted)
            && let Some(session) = fanout.listeners.get(&session)
        {
            session.push(frame);
        }
    }

    /// Tells everyone who speaks, and how loud.
    pub(crate) fn tell_speakers(&self, speakers: &[(Arc<str>, u8)]) {
        self.tell_all(&Frame::text(&wire::speakers_changed(&self.room_id, speakers)));
    }

    fn end_media(&self, session: SessionId) {
        let peers: Vec<PeerId> = self.streams.lock().end(session).collect();
        self.app.live.close(peers);
    }

    /// Holds what is published against the rules, which may have changed.
    fn settle(self: &Arc<Self>, room: &mut Room) -> Settled {
        let settled = self.streams.lock().settle(room, clock::now());
        self.app.live.carry_out(&settled);
        if let Some(at) = settled.again_at {
            let cell = self.clone();
            // A room that is gone has no streams.
            self.mute_alarm.set(at, async move { drop(cell.change_streams(|_, _| Ok(()))) });
        }
        settled
    }

    fn tell_settled(&self, fanout: &Fanout, settled: &Settled) {
        for (_, session, rights) in &settled.rights {
            if let Some(session) = fanout.listeners.get(session) {
                session.push(Frame::text(&wire::publishing_changed(&self.room_id, *rights)));
            }
        }
        for member in &settled.changed {
            let frame = Frame::text(&wire::streams_changed(&self.room_id, member));
            fanout.listeners.values().for_each(|session| session.push(frame.clone()));
        }
    }

    /// Sends `session` the messages after `seen`, then all that follow: none is lost or told twice in between.
    pub(crate) fn catch_up(&self, session: &Session, seen: u64) {
        let Ok(room) = self.read() else { return };
        let _fanout = self.fanout.lock();
        session.note_caught_up(&self.room_id);
        for message in room.messages_after(seen) {
            session.push(Frame::message(&self.room_id, message));
        }
        for wanted in self.streams.lock().wanted_of(session.id) {
            session.push(Frame::text(&wire::layers_wanted(&self.room_id, wanted)));
        }
    }

    /// Tells of events: joins, leaves and likes with the next batch, everything else at once. The room is open again
    /// before anybody is told.
    fn tell<'a>(
        self: &Arc<Self>,
        mut room: WriteRoom<'_>,
        fanout: &mut Fanout,
        events: impl IntoIterator<Item = &'a Event>,
    ) {
        let mut frames = Vec::new();
        for event in events {
            match event {
                Event::Entered { .. } | Event::Left { .. } => fanout.batch.push(event),
                Event::Liked { from, count, total } => fanout.likes.add(from, *count, *total),
                event => {
                    let Some(json) = wire::event(&room, &self.app, event) else { continue };
                    let audience = event.audience(&room).map(|users| {
                        let sessions = users.iter().flat_map(|user| room.members().sessions(user.as_str()));
                        sessions.copied().collect::<Vec<_>>()
                    });
                    frames.push((Frame::text(&json), audience));
                }
            }
        }
        let settled = self.settle(&mut room);
        drop(room);
        self.tell_settled(fanout, &settled);
        for (frame, audience) in frames {
            match audience {
                None => fanout.listeners.values().for_each(|session| session.push(frame.clone())),
                Some(sessions) => sessions
                    .iter()
                    .filter_map(|session| fanout.listeners.get(session))
                    .for_each(|session| session.push(frame.clone())),
            }
        }
        if !fanout.flush_is_due && fanout.has_something() {
            self.schedule_flush(fanout);
        }
    }

    fn schedule_flush(self: &Arc<Self>, fanout: &mut Fanout) {
        fanout.flush_is_due = true;
        let crowd = Duration::from_secs_f64(fanout.listeners.len() as f64 / BATCH_FRAMES_PER_SECOND as f64);
        let interval = crowd.clamp(BATCH_INTERVAL, SLOWEST_BATCH_INTERVAL);
        let due = fanout.flushed_at.map_or_else(Instant::now, |last| last + interval);
        let cell = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep_until(due).await;
            cell.flush();
        });
    }

    fn flush(self: &Arc<Self>) {
        let Ok(room) = self.read() else { return };
        let mut fanout = self.fanout.lock();
        let member_count = room.members().len();
        drop(room);
        fanout.flush_is_due = false;
        let mut frames = Vec::new();
        if let Some(changed) = fanout.batch.take(member_count) {
            frames.push(Frame::text(&wire::members_changed(&self.room_id, &changed)));
        }
        let likes = std::mem::take(&mut fanout.likes);
        if !likes.by.is_empty() {
            frames.push(Frame::text(&wire::likes_changed(&self.room_id, likes.total, &likes.by)));
        }
        if frames.is_empty() {
            return;
        }
        fanout.flushed_at = Some(Instant::now());
        for session in fanout.listeners.values() {
            frames.iter().for_each(|frame| session.push(frame.clone()));
        }
        if fanout.has_something() {
            self.schedule_flush(&mut fanout);
        }
    }
}

impl Fanout {
    fn has_something(&self) -> bool {
        !self.batch.is_empty() || !self.likes.by.is_empty()
    }
}

impl Likes {
    fn add(&mut self, from: &UserId, count: u64, total: u64) {
        self.total = total;
        if let Some((_, known)) = self.by.iter_mut().find(|(user, _)| user == from) {
            *known = known.saturating_add(count);
        } else if self.by.len() < NAMED_LIKERS {
            self.by.push((from.clone(), count));
        }
    }
}
