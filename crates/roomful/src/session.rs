//! Sessions: what a client connection is to the rooms. A session outlives its connection by the resume grace; whichever
//! connection is attached to it gets its frames.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hall::By;
use hashbrown::HashMap;
use media::RoomKey;
use parking_lot::Mutex;
use rooms::{Message, Role, RoomId, SessionId, Time, UserId};
use sha2::{Digest as _, Sha256};
use store::StoredSession;
use tokio::sync::{Notify, mpsc};

use crate::config::Limits;
use crate::events;
use crate::limit::RateLimit;
use crate::quota::Quota;
use crate::tenant::Tenant;
use crate::wire;

/// When the session of something without a UserSig of its own ends.
const FOR_EVER: Time = Time::from_unix_seconds(u32::MAX as u64);

/// How many frames may wait for one connection; a client that lets more pile up is disconnected.
pub(crate) const OUTBOX_FRAMES: usize = 256;

/// Something to send to a client.
#[derive(Clone)]
pub(crate) struct Frame {
    /// A whole WebSocket frame, made once for all who get it.
    pub(crate) wire: Bytes,
    /// For a room's message: which room's, and its number.
    message: Option<(RoomId, u64)>,
}

impl Frame {
    /// An event or answer.
    pub(crate) fn text(json: &str) -> Self {
        Self { wire: wire::text_frame(json), message: None }
    }

    pub(crate) fn message(room_id: &RoomId, message: &Message) -> Self {
        let wire = wire::text_frame(&events::message(room_id, message));
        Self { wire, message: Some((room_id.clone(), message.seq)) }
    }
}

/// Why the server ends a connection: the WebSocket status and its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Close {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
}

impl Close {
    pub(crate) const RESTART: Self =
        Self { status: 1012, reason: "the server restarts; connect again and resume" };
    pub(crate) const RESUMED: Self = Self { status: 4001, reason: "resumed on another connection" };
    pub(crate) const NO_LOGIN: Self = Self { status: 4002, reason: "no login within 10 s" };
    pub(crate) const TOO_SLOW: Self =
        Self { status: 4003, reason: "too slow: frames piled up; resume to go on" };
    pub(crate) const SILENT: Self = Self { status: 4004, reason: "nothing was heard; resume to go on" };
    pub(crate) const ACCOUNT_DELETED: Self = Self { status: 4005, reason: "the account was deleted" };
    pub(crate) const SIG_EXPIRED: Self =
        Self { status: 4006, reason: "the UserSig has expired; log in with a new one" };
    pub(crate) const KEY_CHANGED: Self =
        Self { status: 4007, reason: "the app has another SecretKey; log in with a UserSig of that" };
    pub(crate) const REPLACED: Self =
        Self { status: 4008, reason: "too many sessions: another login of this user took the place" };
    pub(crate) const NO_MORE_LOGINS: Self = Self { status: 4009, reason: "too many logins that failed" };
    pub(crate) const LEFT: Self = Self { status: 4010, reason: "the session was ended by POST /v1/leave" };
    pub(crate) const TOO_BIG: Self = Self { status: 1009, reason: "a frame may have at most 64 KiB" };
    pub(crate) const TOO_MUCH: Self =
        Self { status: 1009, reason: "before its login a connection may send at most 8 KiB" };
    pub(crate) const PROTOCOL: Self =
        Self { status: 1002, reason: "a frame is no WebSocket frame of a client" };
    pub(crate) const NOT_UTF8: Self = Self { status: 1007, reason: "a text frame must be UTF-8" };
}

impl Close {
    /// Whether it says that what came cannot be read, nor what comes after it.
    pub(crate) fn is_of_broken_frames(&self) -> bool {
        [Self::TOO_BIG, Self::TOO_MUCH, Self::PROTOCOL, Self::NOT_UTF8].contains(self)
    }
}

/// Ends a connection from outside its task, even one that is stuck writing.
#[derive(Default)]
pub(crate) struct Closer {
    notify: Notify,
    why: Mutex<Option<Close>>,
}

impl Closer {
    pub(crate) fn close(&self, why: Close) {
        self.why.lock().get_or_insert(why);
        self.notify.notify_one();
    }

    /// Resolves once the connection is to be closed.
    pub(crate) async fn closed(&self) -> Close {
        loop {
            let why = *self.why.lock();
            if let Some(why) = why {
                return why;
            }
            self.notify.notified().await;
        }
    }
}

/// The connection a session is attached to.
struct Link {
    /// Counts connections, so that a former one cannot end its successor.
    generation: u64,
    /// When its UserSig ends.
    valid_until: Time,
    outbox: Option<mpsc::Sender<Frame>>,
    closer: Arc<Closer>,
    /// Rooms whose missed messages are yet to be sent; what they say meanwhile is among these.
    behind: Vec<RoomId>,
    token_hash: [u8; 32],
}

/// A room the session is in.
#[derive(Clone)]
pub(crate) struct InRoom {
    pub(crate) room_id: RoomId,
    /// Tells rooms of one name apart.
    pub(crate) key: RoomKey,
    /// The newest message written to a connection.
    pub(crate) sent: u64,
    /// `sent` at the last ping.
    pinged: u64,
    /// `pinged` at the last pong: the client surely has these.
    pub(crate) acknowledged: u64,
}

/// One client connection that has logged in, and what remains of it while it may resume.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) app: Arc<Tenant>,
    pub(crate) user: UserId,
    /// It is nothing but what came by WHIP or WHEP, and has no connection to lose.
    is_media: bool,
    /// What its user has used, by this session and others.
    pub(crate) quota: Arc<Quota>,
    link: Mutex<Link>,
    rooms: Mutex<Rooms>,
    /// Made when it is first used: few send data.
    data_limit: OnceLock<Box<RateLimit>>,
}

/// The rooms a session is in, or about to be.
#[derive(Default)]
struct Rooms {
    list: Vec<InRoom>,
    /// The session has ended: nothing is entered any more, so that whoever leaves all of the list leaves all there are.
    is_over: bool,
}

/// How often one session may send data, a second (as the cloud's SDK allows).
const DATA_PER_SECOND: u32 = 30;

/// How a connection ended, as far as it says what the client has received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The other side reset it: what was written had arrived.
    Reset,
    /// It fell silent: only what was acknowledged is sure to have arrived.
    Silent,
}

impl Session {
    fn new(
        id: SessionId,
        app: Arc<Tenant>,
        user: UserId,
        quota: Arc<Quota>,
        (is_media, valid_until): (bool, Time),
        token_hash: [u8; 32],
    ) -> Arc<Self> {
        let closer = Arc::default();
        let link = Link { generation: 0, valid_until, outbox: None, closer, behind: Vec::new(), token_hash };
        Arc::new(Self {
            id,
            app,
            user,
            is_media,
            quota,
            link: Mutex::new(link),
            rooms: Mutex::default(),
            data_limit: OnceLock::new(),
        })
    }

    /// Whether it may send data once more.
    pub(crate) fn may_send_data(&self) -> bool {
        let limit = self.data_limit.get_or_init(|| Box::new(RateLimit::new(DATA_PER_SECOND)));
        limit.accept(std::time::Instant::now())
    }

    /// Hands a frame to the connection, if there is one; one that does not keep up is closed.
    pub(crate) fn push(&self, frame: Frame) {
        let mut link = self.link.lock();
        if frame.message.as_ref().is_some_and(|(room_id, _)| link.behind.contains(room_id)) {
            return;
        }
        let Some(outbox) = &link.outbox else { return };
        match outbox.try_send(frame) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => link.outbox = None,
            Err(mpsc::error::TrySendError::Full(_)) => {
                link.outbox = None;
                link.closer.close(Close::TOO_SLOW);
                metrics::counter!("roomful_slow_members_total").increment(1);
            }
        }
    }

    /// Attaches a connection, closing the one before. Returns its generation, and the rooms whose messages it has missed: they
    /// are held back until [`Self::note_caught_up`] says that these have been sent.
    pub(crate) fn attach(&self, outbox: mpsc::Sender<Frame>, closer: Arc<Closer>) -> (u64, Vec<InRoom>) {
        let (was_attached, generation) = {
            let mut link = self.link.lock();
            link.generation += 1;
            link.closer.close(Close::RESUMED);
            link.closer = closer;
            link.behind = self.rooms.lock().list.iter().map(|room| room.room_id.clone()).collect();
            (link.outbox.replace(outbox).is_some(), link.generation)
        };
        if was_attached {
            self.note_loss(Loss::Silent);
        }
        (generation, self.rooms())
    }

    /// From now on this room's messages are sent as they come.
    pub(crate) fn note_caught_up(&self, room_id: &RoomId) {
        self.link.lock().behind.retain(|other| other != room_id);
    }

    /// Detaches the connection of `generation`. Returns the rooms that are to note it; `None` when another has taken over.
    pub(crate) fn detach(&self, generation: u64, loss: Loss) -> Option<Vec<InRoom>> {
        {
            let mut link = self.link.lock();
            if link.generation != generation {
                return None;
            }
            link.outbox = None;
        }
        self.note_loss(loss);
        Some(self.rooms())
    }

    /// Whether the connection of `generation` is still the newest.
    pub(crate) fn is_at(&self, generation: u64) -> bool {
        self.link.lock().generation == generation
    }

    /// Ends the connection, if there is one.
    pub(crate) fn close(&self, why: Close) {
        self.link.lock().closer.close(why);
    }

    /// A frame has been written to the connection.
    pub(crate) fn note_sent(&self, frame: &Frame) {
        let Some((room_id, seq)) = &frame.message else { return };
        if let Some(room) = self.rooms.lock().list.iter_mut().find(|room| room.room_id == *room_id) {
            room.sent = room.sent.max(*seq);
        }
    }

    /// A ping goes out.
    pub(crate) fn note_ping(&self) {
        for room in &mut self.rooms.lock().list {
            room.pinged = room.sent;
        }
    }

    /// Its pong came back, and so had all that was written before the ping.
    pub(crate) fn note_pong(&self) {
        for room in &mut self.rooms.lock().list {
            room.acknowledged = room.acknowledged.max(room.pinged);
        }
    }

    fn note_loss(&self, loss: Loss) {
        for room in &mut self.rooms.lock().list {
            if loss == Loss::Silent {
                room.sent = room.acknowledged;
            }
            room.acknowledged = room.sent;
            room.pinged = room.sent;
        }
    }

    /// The session is going to enter a room: from here on its end is also that of its being there. `false` when it has
    /// ended already.
    pub(crate) fn note_entering(&self, room_id: &RoomId, key: RoomKey) -> bool {
        let mut rooms = self.rooms.lock();
        if rooms.is_over {
            return false;
        }
        if !rooms.list.iter().any(|room| room.key == key) {
            let room_id = room_id.clone();
            rooms.list.push(InRoom { room_id, key, sent: 0, pinged: 0, acknowledged: 0 });
        }
        true
    }

    /// The session is in. `false` when it has ended meanwhile, so that nobody will let it go.
    pub(crate) fn note_entered(&self, room_id: &RoomId, key: RoomKey, seen: u64) -> bool {
        let mut rooms = self.rooms.lock();
        rooms.list.retain(|room| room.key != key);
        let (room_id, sent, pinged, acknowledged) = (room_id.clone(), seen, seen, seen);
        rooms.list.push(InRoom { room_id, key, sent, pinged, acknowledged });
        !rooms.is_over
    }

    pub(crate) fn note_left(&self, key: RoomKey) {
        self.rooms.lock().list.retain(|room| room.key != key);
    }

    /// In whose name it asks.
    pub(crate) fn as_member(&self) -> By {
        self.as_at_least(Role::Member)
    }

    /// In whose name it asks for what only some may do.
    pub(crate) fn as_at_least(&self, role: Role) -> By {
        By::Member { user: self.user.clone(), session: self.id, role }
    }

    /// Whether its connection is lost.
    pub(crate) fn is_lost(&self) -> bool {
        !self.is_media && self.link.lock().outbox.is_none()
    }

    /// When its UserSig ends.
    pub(crate) fn valid_until(&self) -> Time {
        self.link.lock().valid_until
    }

    /// It has shown a newer UserSig.
    pub(crate) fn renew(&self, valid_until: Time) {
        self.link.lock().valid_until = valid_until;
    }

    /// What tells the room of that name in which this session is from others of that name.
    pub(crate) fn is_in(&self, room_id: &str) -> Option<RoomKey> {
        self.rooms.lock().list.iter().find(|room| room.room_id.as_str() == room_id).map(|room| room.key)
    }

    /// The rooms this session is in: a copy, since a session's lock is the last one that is taken, and no room's may be asked
    /// for under it.
    pub(crate) fn rooms(&self) -> Vec<InRoom> {
        self.rooms.lock().list.clone()
    }

    /// For the presence journal.
    pub(crate) fn stored(&self) -> StoredSession {
        let (token_hash, valid_until) = {
            let link = self.link.lock();
            (link.token_hash, link.valid_until)
        };
        let (id, sdkappid, user) = (self.id, self.app.id, self.user.clone());
        StoredSession { id, sdkappid, user, token_hash, valid_until }
    }
}

/// All sessions of this server.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<Table>);

#[derive(Default)]
struct Table {
    by_id: HashMap<SessionId, Arc<Session>, foldhash::fast::RandomState>,
    by_token: HashMap<[u8; 32], SessionId, foldhash::fast::RandomState>,
}

impl Table {
    fn end(&mut self, session: &Session) -> bool {
        let token = session.link.lock().token_hash;
        self.by_token.remove(&token);
        session.rooms.lock().is_over = true;
        session.quota.end_session(session.id);
        self.by_id.remove(&session.id).is_some()
    }
}

/// A resume token: shown once, kept only as its hash.
pub(crate) struct ResumeToken {
    pub(crate) text: String,
    hash: [u8; 32],
}

impl ResumeToken {
    fn generate() -> Result<Self, getrandom::Error> {
        let mut random = [0; 24];
        getrandom::fill(&mut random)?;
        let text = crate::wire::hex(&random);
        let hash = hash(&text);
        Ok(Self { text, hash })
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl Sessions {
    /// A session of one who has just logged in, for which the caller has asked the user's quota. Without an end of its
    /// UserSig it is one of WHIP or WHEP: there is nobody who could show another.
    pub(crate) fn begin(
        &self,
        id: SessionId,
        app: Arc<Tenant>,
        user: UserId,
        quota: Arc<Quota>,
        valid_until: Option<Time>,
    ) -> Result<(Arc<Session>, ResumeToken), getrandom::Error> {
        let token = ResumeToken::generate()?;
        let lasts = (valid_until.is_none(), valid_until.unwrap_or(FOR_EVER));
        let session = Session::new(id, app, user, quota, lasts, token.hash);
        let mut table = self.0.lock();
        table.by_id.insert(id, session.clone());
        table.by_token.insert(token.hash, id);
        Ok((session, token))
    }

    /// The session a token resumes, with its next token; the one given is used up. `None` when it is of no session, or of one that `may` refuses.
    pub(crate) fn resume(
        &self,
        token: &str,
        may: impl FnOnce(&Session) -> bool,
    ) -> Result<Option<(Arc<Session>, ResumeToken)>, getrandom::Error> {
        let next = ResumeToken::generate()?;
        let used = hash(token);
        let mut table = self.0.lock();
        let session = table.by_token.get(&used).and_then(|id| table.by_id.get(id)).cloned();
        let Some(session) = session.filter(|session| may(session)) else { return Ok(None) };
        let id = session.id;
        table.by_token.remove(&used);
        table.by_token.insert(next.hash, id);
        // Whoever waited for the former connection's grace to be over comes too late from here on.
        let mut link = session.link.lock();
        link.generation += 1;
        link.token_hash = next.hash;
        drop(link);
        Ok(Some((session, next)))
    }

    /// A session that was there before a restart.
    pub(crate) fn restore(&self, app: Arc<Tenant>, stored: &StoredSession, limits: &Limits) -> Arc<Session> {
        let quota = app.quotas.of(&stored.user, limits);
        quota.restore_session(stored.id);
        let StoredSession { id, ref user, token_hash, valid_until, .. } = *stored;
        let session = Session::new(id, app, user.clone(), quota, (false, valid_until), token_hash);
        let mut table = self.0.lock();
        table.by_id.insert(stored.id, session.clone());
        table.by_token.insert(stored.token_hash, stored.id);
        session
    }

    /// As [`Self::end`], unless the connection of `generation` has a successor, or one that is about to be.
    pub(crate) fn end_at(&self, session: &Session, generation: u64) -> bool {
        let mut table = self.0.lock();
        session.is_at(generation) && table.end(session)
    }

    /// Forgets a session and its token. `false` when it was forgotten before.
    pub(crate) fn end(&self, session: &Session) -> bool {
        self.0.lock().end(session)
    }

    /// The session whose newest token it is; the token stays what it is.
    pub(crate) fn by_token(&self, token: &str) -> Option<Arc<Session>> {
        let token = hash(token);
        let table = self.0.lock();
        table.by_token.get(&token).and_then(|id| table.by_id.get(id)).cloned()
    }

    pub(crate) fn by_id(&self, id: SessionId) -> Option<Arc<Session>> {
        self.0.lock().by_id.get(&id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.0.lock().by_id.values().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().by_id.len()
    }
}
