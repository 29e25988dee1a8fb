//! Sessions as the server has them: the machine that decides ([`hall::session`]), what connects it to its client, and the
//! table of all. There is no decision in here.
//!
//! A session's lock is the last one that a thread takes: whoever holds it waits for no hall, nor for another session's. What must
//! be in the machine's order (the connection that is attached, the row in the store) is done under it; all else that follows
//! is handed back, to be carried out without.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use hall::session::{Effect, Input, LinkId, Row, TokenHash};
use hall::{Answer, By, Refusal};
use hashbrown::HashMap;
use parking_lot::Mutex;
use rooms::{Client, Incarnation, Role, RoomId, SessionId, Time, UserId};
use sha2::{Digest as _, Sha256};
use store::{Change, StoredSession};
use tokio::sync::oneshot;

use crate::config::Limits;
use crate::limit::RateLimit;
use crate::link::{Close, Closer, Frame, Link, Outbox};
use crate::locks::{self, Last};
use crate::quota::Quota;
use crate::tenant::Tenant;
use crate::told::Node;

/// When the session of something without a UserSig of its own ends.
const FOR_EVER: Time = Time::from_unix_seconds(u32::MAX as u64);

/// Who is to be answered.
pub(crate) enum Waiter {
    /// Whoever asked.
    Asker(oneshot::Sender<Result<Answer, Refusal>>),
    /// A session that wants in, and what it gets when it is.
    Newcomer(Arc<Session>, oneshot::Sender<Result<Welcome, Refusal>>, Option<Welcome>),
}

/// What a member gets on entering.
pub(crate) struct Welcome {
    /// `{"RoomInfo": .., "Next": .., "MemberCount": .., "MemberList": .., ..}`
    pub(crate) json: String,
}

impl Waiter {
    /// Answers what a session says. Whoever has hung up does not care.
    pub(crate) fn answer(self, result: Result<(), Refusal>) {
        match self {
            Self::Asker(asker) => drop(asker.send(result.map(|()| Answer::Done))),
            Self::Newcomer(_, asker, welcome) => {
                drop(asker.send(result.and_then(|()| welcome.ok_or(Refusal::Gone))));
            }
        }
    }
}

/// What a session's connection is given.
pub(crate) struct Attached {
    /// Which of the session's it is.
    pub(crate) link: LinkId,
    /// What is to be written to it.
    pub(crate) outbox: Outbox,
    /// Where the session is.
    pub(crate) rooms: Vec<RoomId>,
}

/// What follows for a session, to be carried out when its lock is free.
pub(crate) type Late = Vec<Effect<Waiter>>;

/// One login of a client, and what remains of it while it may resume.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) app: Arc<Tenant>,
    pub(crate) user: UserId,
    /// What its user has used, by this session and others.
    pub(crate) quota: Arc<Quota>,
    state: Mutex<State>,
    /// Made when it is first used: few send data.
    data_limit: OnceLock<Box<RateLimit>>,
    /// The same of what it reports.
    report_limit: OnceLock<Box<RateLimit>>,
    /// By which node its connection comes; 0 where it comes here.
    node: AtomicI64,
}

struct State {
    machine: hall::session::Session<Waiter>,
    link: Link,
}

/// How often one session may send data, a second (as the cloud's SDK allows).
const DATA_PER_SECOND: u32 = 30;

/// How often what it reports is kept, a second, over all rooms it is in.
const REPORTS_PER_SECOND: u32 = 4;

impl Session {
    fn new(app: Arc<Tenant>, quota: Arc<Quota>, machine: hall::session::Session<Waiter>) -> Arc<Self> {
        let (id, user) = (machine.id(), machine.user().clone());
        let state = Mutex::new(State { machine, link: Link::default() });
        Arc::new(Self {
            id,
            app,
            user,
            quota,
            state,
            data_limit: OnceLock::new(),
            report_limit: OnceLock::new(),
            node: AtomicI64::new(0),
        })
    }

    fn state(&self) -> Last<'_, State> {
        locks::last(&self.state)
    }

    /// It came with this.
    pub(crate) fn set_client(&self, client: Client) {
        self.state().machine.set_client(client);
    }

    /// With what it came.
    pub(crate) fn client(&self) -> Arc<Client> {
        self.state().machine.client().clone()
    }

    /// Its connection comes by that node, or here.
    pub(crate) fn set_node(&self, node: Option<Node>) {
        self.node.store(node.unwrap_or_default(), Ordering::Relaxed);
    }

    /// By which node its connection came last, where that was another.
    pub(crate) fn node(&self) -> Option<Node> {
        Some(self.node.load(Ordering::Relaxed)).filter(|node| *node != 0)
    }

    /// Whether it may send data once more.
    pub(crate) fn may_send_data(&self) -> bool {
        let limit = self.data_limit.get_or_init(|| Box::new(RateLimit::new(DATA_PER_SECOND)));
        limit.accept(std::time::Instant::now())
    }

    /// Whether what it reports is kept once more.
    pub(crate) fn may_report(&self) -> bool {
        let limit = self.report_limit.get_or_init(|| Box::new(RateLimit::new(REPORTS_PER_SECOND)));
        limit.accept(std::time::Instant::now())
    }

    // Driving

    /// Something happens to it. What follows is to be carried out by the caller.
    #[must_use = "it is to be carried out"]
    pub(crate) fn tell(&self, input: Input<Waiter>) -> Late {
        self.drive(Some(input), None).1
    }

    /// What it has to say by itself, after a restart.
    pub(crate) fn settle(&self) -> Late {
        self.drive(None, None).1
    }

    /// The same, where that gives it a connection: `None` when it takes none.
    pub(crate) fn attach(&self, input: Input<Waiter>, closer: Arc<Closer>) -> (Option<Attached>, Late) {
        self.drive(Some(input), Some(closer))
    }

    fn drive(&self, input: Option<Input<Waiter>>, closer: Option<Arc<Closer>>) -> (Option<Attached>, Late) {
        let (mut attached, mut late) = (None, Late::new());
        let mut state = self.state();
        let State { machine, link } = &mut *state;
        input.into_iter().for_each(|input| machine.handle(input));
        while let Some(effect) = machine.poll() {
            match effect {
                Effect::Attached { link: id, rooms } => {
                    let outbox = link.replace(closer.clone().unwrap_or_default(), rooms.len());
                    attached = Some(Attached { link: id, outbox, rooms });
                }
                Effect::Refused => {}
                Effect::Keep(row) => self.app.store.journal(vec![self.row(machine, row)]),
                effect => {
                    if matches!(effect, Effect::Wait(_)) {
                        link.give_up();
                    }
                    late.push(effect);
                }
            }
        }
        drop(state);
        (attached, late)
    }

    fn row(&self, machine: &hall::session::Session<Waiter>, row: Row) -> Change {
        let (token_hash, valid_until) = (machine.token(), machine.valid_until());
        let (id, sdkappid, user) = (self.id, self.app.id, self.user.clone());
        let client = (**machine.client()).clone();
        let stored = StoredSession { id, sdkappid, user, token_hash, valid_until, client };
        match row {
            Row::Added => Change::AddSession(stored),
            Row::Changed => Change::PutSession(stored),
            Row::Deleted => Change::DeleteSession(id),
        }
    }

    // Its connection

    /// Hands a frame to the connection, if there is one; one that does not keep up is closed.
    pub(crate) fn push(&self, frame: Frame) {
        let mut state = self.state();
        let is_held_back = |(room_id, _): &(RoomId, u64)| state.machine.is_behind(room_id);
        if !frame.message.as_ref().is_some_and(is_held_back) {
            state.link.push(frame);
        }
    }

    /// What it has missed of a room is there, as it was asked for in this turn.
    pub(crate) fn catch_up(&self, room: &Incarnation, turn: u64, frames: Vec<Frame>) {
        let mut state = self.state();
        if state.machine.catch_up(room, turn) {
            frames.into_iter().for_each(|frame| state.link.push_missed(frame));
        }
    }

    /// Ends the connection, if there is one.
    pub(crate) fn close(&self, why: Close) {
        self.state().link.close(why);
    }

    /// A frame has been written to the connection.
    pub(crate) fn note_sent(&self, frame: &Frame) {
        if let Some((room_id, seq)) = &frame.message {
            self.state().machine.note_sent(room_id, *seq);
        }
    }

    /// A ping goes out.
    pub(crate) fn note_ping(&self) {
        self.state().machine.note_ping();
    }

    /// Its pong came back, and so had all that was written before the ping.
    pub(crate) fn note_pong(&self) {
        self.state().machine.note_pong();
    }

    // Looking

    /// In whose name it asks.
    pub(crate) fn as_member(&self) -> By {
        self.as_at_least(Role::Member)
    }

    /// In whose name it asks for what only some may do.
    pub(crate) fn as_at_least(&self, role: Role) -> By {
        By::Member { user: self.user.clone(), session: self.id, role }
    }

    /// When its UserSig ends.
    pub(crate) fn valid_until(&self) -> Time {
        self.state().machine.valid_until()
    }

    /// Whether it is in a room.
    pub(crate) fn is_in(&self, room: &Incarnation) -> bool {
        self.state().machine.is_in(room)
    }

    /// After a restart: it was in this room, and has its messages up to `seen`.
    pub(crate) fn restore_stay(&self, room: Incarnation, seen: u64) {
        self.state().machine.restore_stay(room, seen);
    }
}

/// All sessions of this server.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<Table>);

#[derive(Default)]
struct Table {
    by_id: HashMap<SessionId, Arc<Session>, foldhash::fast::RandomState>,
    by_token: HashMap<TokenHash, SessionId, foldhash::fast::RandomState>,
}

/// A resume token: shown once, kept only as its hash.
pub(crate) struct ResumeToken {
    pub(crate) text: String,
    pub(crate) hash: TokenHash,
}

impl ResumeToken {
    pub(crate) fn generate() -> Result<Self, getrandom::Error> {
        let mut random = [0; 24];
        getrandom::fill(&mut random)?;
        let text = crate::wire::hex(&random);
        let hash = token_hash(&text);
        Ok(Self { text, hash })
    }
}

pub(crate) fn token_hash(token: &str) -> TokenHash {
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
        let valid_until = valid_until.unwrap_or(FOR_EVER);
        let machine = hall::session::Session::new(id, user, token.hash, valid_until);
        let session = Session::new(app, quota, machine);
        self.put(&session, token.hash);
        Ok((session, token))
    }

    /// A session that was there before a restart.
    pub(crate) fn restore(&self, app: Arc<Tenant>, stored: &StoredSession, limits: &Limits) {
        let StoredSession { id, ref user, token_hash, valid_until, .. } = *stored;
        let quota = app.quotas.of(user, limits);
        quota.restore_session(id);
        let mut machine = hall::session::Session::restore(id, user.clone(), token_hash, valid_until);
        machine.set_client(stored.client.clone());
        self.put(&Session::new(app, quota, machine), token_hash);
    }

    fn put(&self, session: &Arc<Session>, token: TokenHash) {
        let mut table = self.0.lock();
        table.by_id.insert(session.id, session.clone());
        table.by_token.insert(token, session.id);
    }

    /// A session has another token, unless it is over.
    pub(crate) fn change_token(&self, session: SessionId, used: &TokenHash, next: TokenHash) {
        let mut table = self.0.lock();
        table.by_token.remove(used);
        if table.by_id.contains_key(&session) {
            table.by_token.insert(next, session);
        }
    }

    /// Forgets a session that is over.
    pub(crate) fn forget(&self, session: &Session) {
        let token = session.state().machine.token();
        let mut table = self.0.lock();
        table.by_token.remove(&token);
        table.by_id.remove(&session.id);
        drop(table);
        session.quota.end_session(session.id);
    }

    /// The session whose token it is, or was a moment ago.
    pub(crate) fn by_token(&self, token: &TokenHash) -> Option<Arc<Session>> {
        let table = self.0.lock();
        table.by_token.get(token).and_then(|id| table.by_id.get(id)).cloned()
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
