//! A room with its lock, its listeners, and its rendered list.
//!
//! Locks are taken in one order: the room's state, then its fan-out, then a session's; never two rooms' at once, and
//! none across an `.await`. Whoever changes the state takes the fan-out before letting the state go (hand over hand), so
//! that every member hears of changes in the order in which they happened, while readers do not wait for the telling.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::{
    MappedRwLockReadGuard, MappedRwLockWriteGuard, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use rooms::{
    Error, Event, LeaveCause, Message, PresenceBatch, Room, RoomId, SdkAppId, SessionId, Time, UserId,
};
use tokio::time::Instant;

use crate::session::{Frame, Session};
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
    pub(crate) app: SdkAppId,
    pub(crate) room_id: RoomId,
    state: RwLock<Option<Room>>,
    /// The first page as JSON, and the version of the list it shows.
    first_page: Mutex<Option<(u64, Bytes)>>,
    fanout: Mutex<Fanout>,
    /// The deadline some task sleeps for.
    watched: Mutex<Option<Time>>,
}

struct Fanout {
    listeners: HashMap<SessionId, Arc<Session>, foldhash::fast::RandomState>,
    batch: PresenceBatch,
    flush_is_due: bool,
    flushed_at: Option<Instant>,
}

/// What a member gets on entering.
pub(crate) struct Welcome {
    pub(crate) place: u64,
    pub(crate) last_seq: u64,
    pub(crate) is_new: bool,
    /// `{"RoomInfo": .., "Next": .., "MemberCount": .., "MemberList": ..}`
    pub(crate) json: String,
}

impl RoomCell {
    pub(crate) fn new(app: SdkAppId, room: Room) -> Arc<Self> {
        let fanout = Fanout {
            listeners: HashMap::default(),
            batch: PresenceBatch::default(),
            flush_is_due: false,
            flushed_at: None,
        };
        Arc::new(Self {
            app,
            room_id: room.info().room_id.clone(),
            state: RwLock::new(Some(room)),
            first_page: Mutex::new(None),
            fanout: Mutex::new(fanout),
            watched: Mutex::new(None),
        })
    }

    /// The room, to look at.
    pub(crate) fn read(&self) -> Result<MappedRwLockReadGuard<'_, Room>, Error> {
        RwLockReadGuard::try_map(self.state.read(), Option::as_ref)
            .map_err(|_| Error::RoomNotFound(self.room_id.to_string()))
    }

    /// The room, to change.
    pub(crate) fn write(&self) -> Result<MappedRwLockWriteGuard<'_, Room>, Error> {
        RwLockWriteGuard::try_map(self.state.write(), Option::as_mut)
            .map_err(|_| Error::RoomNotFound(self.room_id.to_string()))
    }

    /// A page of the member list as JSON. The first page is rendered once for each state of the list.
    pub(crate) fn page(&self, next: &str, cap: usize) -> Result<Bytes, Error> {
        let room = self.read()?;
        room.require_type(rooms::RoomType::Live)?;
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
        cap: usize,
        now: Time,
    ) -> Result<Welcome, Error> {
        let mut room = self.write()?;
        room.require_type(rooms::RoomType::Live)?;
        let entered = room.enter(&session.user, session.id, now)?;
        let page = self.render(&room, "", cap)?;
        let welcome = Welcome {
            place: entered.place,
            last_seq: room.last_seq(),
            is_new: entered.session_is_new,
            json: wire::welcome(&room, &session.app, &page),
        };
        let mut fanout = self.fanout.lock();
        drop(room);
        if entered.session_is_new {
            fanout.listeners.insert(session.id, session.clone());
            session.note_entered(self, welcome.place, welcome.last_seq);
        }
        if let Some(event) = entered.event {
            self.batch(&mut fanout, &event);
        }
        Ok(welcome)
    }

    /// Puts a session back that was in before a restart.
    pub(crate) fn restore(
        self: &Arc<Self>,
        session: &Arc<Session>,
        place: u64,
        seen: u64,
    ) -> Result<(), Error> {
        let mut room = self.write()?;
        let place = room.restore_member(&session.user, session.id, place);
        self.fanout.lock().listeners.insert(session.id, session.clone());
        session.note_entered(self, place, seen);
        Ok(())
    }

    /// `session` goes out.
    pub(crate) fn leave(
        self: &Arc<Self>,
        session: &Session,
        cause: LeaveCause,
        now: Time,
    ) -> Result<(), Error> {
        let mut room = self.write()?;
        let event = room.leave(&session.user, session.id, cause, now)?;
        let mut fanout = self.fanout.lock();
        drop(room);
        fanout.listeners.remove(&session.id);
        session.note_left(&self.room_id);
        if let Some(event) = event {
            self.batch(&mut fanout, &event);
        }
        Ok(())
    }

    /// Ends the room for everyone in it. Nobody finds it any more when this returns. Returns who was in.
    pub(crate) fn destroy(&self, cause: LeaveCause) -> Vec<SessionId> {
        let mut state = self.state.write();
        let mut fanout = self.fanout.lock();
        *state = None;
        drop(state);
        let listeners: Vec<_> = fanout.listeners.drain().collect();
        for (_, session) in &listeners {
            self.close_for(session, cause);
        }
        listeners.into_iter().map(|(id, _)| id).collect()
    }

    /// Whether a task must be started to sleep until `deadline`: none does yet for that moment or an earlier one.
    pub(crate) fn watch_until(&self, deadline: Time) -> bool {
        let mut watched = self.watched.lock();
        if watched.is_some_and(|watched| watched <= deadline) {
            return false;
        }
        *watched = Some(deadline);
        true
    }

    /// The task that slept until `deadline` is awake.
    pub(crate) fn unwatch(&self, deadline: Time) {
        self.watched.lock().take_if(|watched| *watched == deadline);
    }

    fn close_for(&self, session: &Arc<Session>, cause: LeaveCause) {
        session.note_left(&self.room_id);
        session.push(Frame::text(&wire::room_closed(&self.room_id, cause)));
    }

    /// A member says something to everyone.
    pub(crate) fn send_text(&self, from: &UserId, text: &str, now: Time) -> Result<Message, Error> {
        let mut room = self.write()?;
        let Event::Text(message) = room.send_text(from, text, now)? else {
            return Err(Error::invalid("Text", "was not taken"));
        };
        let fanout = self.fanout.lock();
        drop(room);
        let frame = Frame::message(&self.room_id, &message);
        for session in fanout.listeners.values() {
            session.push(frame.clone());
        }
        Ok(message)
    }

    /// Sends `session` the messages after `seen`, then all that follow: none is lost or told twice in between.
    pub(crate) fn catch_up(&self, session: &Session, seen: u64) {
        let Ok(room) = self.read() else { return };
        let _fanout = self.fanout.lock();
        session.note_caught_up(&self.room_id);
        for message in room.messages_after(seen) {
            session.push(Frame::message(&self.room_id, message));
        }
    }

    /// Notes a join or leave, to be told with the next batch.
    fn batch(self: &Arc<Self>, fanout: &mut Fanout, event: &Event) {
        fanout.batch.push(event);
        if !fanout.flush_is_due && !fanout.batch.is_empty() {
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
        let Some(changed) = fanout.batch.take(member_count) else { return };
        fanout.flushed_at = Some(Instant::now());
        let frame = Frame::text(&wire::members_changed(&self.room_id, &changed));
        for session in fanout.listeners.values() {
            session.push(frame.clone());
        }
        if !fanout.batch.is_empty() {
            self.schedule_flush(&mut fanout);
        }
    }
}
