//! What drives the halls: one lock each, and one queue of what is to be told. There is no decision in here.
//!
//! What an input brings about is performed in the order of the inputs. What never blocks (the store's queue, rights and the end of
//! connections) is handed over at once, under the lock; all else goes to the hall's outgoing queue, and whoever finds nobody
//! draining that does, by turns. So neither readers nor the next input wait for a fan-out, and a slow fan-out holds up
//! nothing but itself. Who listens is state of the outgoing side, changed by what comes through the queue: a member that
//! enters hears everything after its own page, and nothing from before.

use std::fmt::Debug;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use hall::between::Wish;
use hall::session;
use hall::{
    Answer, Audience, Bounds, By, Command, Durably, Effect, Entry, Hall, Input, PlanId, Refusal, Refused,
    Reply, Returned, SYSTEM, Told, Write,
};
use hashbrown::HashMap;
use media::{RoomKey, StreamKind};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use rooms::{Error, Event, Incarnation, Keep, Room, RoomId, RoomType, SessionId, Time, UserId};
use smallvec::SmallVec;
use store::{Change, Commit, Intent, Presence, RoomScope};
use tokio::sync::oneshot;

use crate::alarm::Alarm;
use crate::chronicle::{self, Chronicle};
use crate::clock;
use crate::config::Config;
use crate::error::{ApiError, Code};
use crate::events;
use crate::in_turn::InTurn;
use crate::link::Frame;
use crate::live::unit;
use crate::locks::{self, Locked, ReadRoom};
use crate::quality::Stream;
use crate::quota::Place;
use crate::session::{Late, Session, Waiter, Welcome};
use crate::tenant::Tenant;
use crate::webhooks::{self, Moments, Teller};
use crate::welcome::Greeter;
use crate::wire;

/// How much of the outgoing queue one thread performs before it hands the rest to a task.
const AT_ONCE: usize = 256;

/// With so much to be told, nothing more is taken in.
const MOST_OUTGOING: usize = 4096;

/// What the store has refused, as machines hear of it.
pub(crate) fn refused(error: store::Error) -> Refused {
    Refused { is_behind: matches!(error, store::Error::Behind), text: error.to_string() }
}

fn stored(id: PlanId, result: Result<(), store::Error>) -> Input<Waiter> {
    Input::Stored { id, result: result.map_err(refused) }
}

/// What an owner wants that concerns other rooms too.
pub(crate) struct Question {
    pub(crate) id: PlanId,
    pub(crate) operator: String,
    /// The room's owner.
    pub(crate) owner: UserId,
    pub(crate) wish: Wish<RoomId>,
}

/// What is beyond a room. There is one; rooms know no more of it than this, since it knows them.
pub(crate) trait Beyond: Send + Sync {
    /// Somebody in the room who may wants something: [`Input::Asked`] comes of it.
    fn ask(self: Arc<Self>, room: &Arc<OpenRoom>, question: Question);

    /// The room is over. Whoever is answered that it is, is answered after this.
    fn over(self: Arc<Self>, room: &Arc<OpenRoom>);

    /// The room has another owner.
    fn changed_hands(self: Arc<Self>, room: &Arc<OpenRoom>);
}

/// A command is answered as only another may be, which cannot happen.
pub(crate) fn unexpected(answer: &impl Debug) -> ApiError {
    debug_assert!(false, "a command is answered {answer:?}");
    ApiError::internal(format_args!("the command is answered {answer:?}"))
}

/// What a refusal is to a caller.
pub(crate) fn error(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Rule(error) => error.into(),
        Refusal::Gone => ApiError::new(Code::RoomNotFound, "the room was destroyed at this moment"),
        Refusal::SessionOver => {
            ApiError::new(Code::SigInvalid, "the session has ended; log in with a UserSig")
        }
        Refusal::Elsewhere => ApiError::new(Code::SigInvalid, "the session goes on on another connection"),
        Refusal::MessageRefused(objection) => {
            webhooks::refusal(Code::of_refused_message(objection.number), objection)
        }
        Refusal::GiftRefused(objection) => {
            webhooks::refusal(Code::of_refused_gift(objection.number), objection)
        }
        Refusal::Busy => ApiError::new(Code::TooOften, "too many commands wait for this: retry in a moment"),
        Refusal::Crowded(_) | Refusal::PlaysEnough => {
            ApiError::new(Code::TooOften, "the user is in this room as often as is allowed")
        }
        Refusal::Store(Refused { is_behind, text }) => {
            ApiError::new(if is_behind { Code::TooOften } else { Code::Internal }, text)
        }
        Refusal::NotYetKept => ApiError::internal(
            "the others have it already, and it is kept as soon as the disk takes it: do not send it again",
        ),
        Refusal::Unknown => ApiError::internal(
            "it is not known whether this was done: the disk has not answered yet; look before you retry",
        ),
        Refusal::NotDue => ApiError::internal("the room's lifetime is not over"),
    }
}

/// Something to be performed outside the lock.
enum Out {
    Tell(Audience, Frame),
    TellOthers(SessionId, Frame),
    Answer(oneshot::Sender<Result<Answer, Refusal>>, Result<Answer, Refusal>),
    /// To a session that wants in, by the turn in which it said so.
    Enter(Arc<Session>, u64, Result<Entry, Refusal>, Waiter),
    Unlisten(SessionId, Option<Frame>),
    CatchUp(SessionId, u64, Vec<Frame>),
    Then(Then),
}

/// What is to be done with no lock held, before anything else.
enum Then {
    Ask(PlanId, String, hall::Question),
    Over,
    ChangedHands,
}

type Links = HashMap<SessionId, Arc<Session>, foldhash::fast::RandomState>;

/// A room that exists, with what drives it.
pub(crate) struct OpenRoom {
    pub(crate) app: Arc<Tenant>,
    pub(crate) room_id: RoomId,
    /// The room as the forwarding unit knows it.
    pub(crate) media_key: RoomKey,
    /// The room as the store knows it.
    scope: RoomScope,
    /// The room as history knows it.
    call: history::Call,
    chronicle: Arc<Chronicle>,
    /// Of its event callbacks.
    moments: Moments,
    hall: RwLock<Hall<Waiter>>,
    /// The first page as JSON, and the version of the list it shows.
    first_page: Mutex<Option<(u64, Bytes)>>,
    greeter: Mutex<Greeter>,
    outgoing: InTurn<Out>,
    /// What the store has of the room and has not answered, in order, which is that of its answers.
    commits: InTurn<(PlanId, Commit)>,
    /// Who listens. Locked by whoever drains.
    links: Mutex<Links>,
    alarm: Alarm,
    /// How long the app's own server has to answer.
    review: Duration,
    /// What it takes up of its maker's, as long as it is there.
    place: Mutex<Option<Place>>,
    beyond: Weak<dyn Beyond>,
    cap: usize,
}

impl OpenRoom {
    /// `place` is what the room takes up of its maker's.
    pub(crate) fn new(
        app: Arc<Tenant>,
        beyond: Weak<dyn Beyond>,
        scope: RoomScope,
        room: Room,
        place: Option<Place>,
        config: &Config,
        chronicle: Arc<Chronicle>,
    ) -> Arc<Self> {
        let room_id = room.info().room_id.clone();
        let call = chronicle::call_of(scope, room.info());
        let (most_sessions, review) = (config.limits.sessions_per_room as usize, config.webhooks.deadline);
        let bounds = Bounds { most_sessions, review };
        app.booked.note(&Incarnation { room: room_id.clone(), number: scope.number }, room.info());
        Arc::new(Self {
            room_id,
            media_key: app.live.new_room(),
            scope,
            call,
            chronicle,
            moments: Moments::since(room.info().created_at),
            hall: RwLock::new(Hall::new(room, bounds)),
            first_page: Mutex::new(None),
            greeter: Mutex::default(),
            outgoing: InTurn::default(),
            commits: InTurn::default(),
            links: Mutex::default(),
            alarm: Alarm::default(),
            review,
            place: Mutex::new(place),
            beyond,
            cap: config.member_list.cap,
            app,
        })
    }

    // Looking

    /// Which life of the room of its name it is.
    pub(crate) fn incarnation(&self) -> Incarnation {
        Incarnation { room: self.room_id.clone(), number: self.scope.number }
    }

    /// The room, to look at.
    pub(crate) fn read(&self) -> Result<ReadRoom<'_>, Error> {
        locks::room(&self.hall).ok_or_else(|| self.gone())
    }

    /// The room, to look at, if it is of type `wanted`.
    pub(crate) fn read_as(&self, wanted: Option<RoomType>) -> Result<ReadRoom<'_>, Error> {
        let room = self.read()?;
        room.require_type(wanted)?;
        Ok(room)
    }

    /// What goes on around it too.
    pub(crate) fn hall(&self) -> Locked<RwLockReadGuard<'_, Hall<Waiter>>> {
        locks::read(&self.hall)
    }

    fn gone(&self) -> Error {
        Error::RoomNotFound(self.room_id.to_string())
    }

    /// A page of the member list as JSON. The first page is rendered once for each state of the list.
    pub(crate) fn page(&self, wanted: Option<RoomType>, next: &str) -> Result<Bytes, Error> {
        let room = self.read_as(wanted)?;
        self.render(&room, next)
    }

    fn render(&self, room: &Room, next: &str) -> Result<Bytes, Error> {
        if !next.is_empty() {
            return Ok(wire::page(&room.page(next, self.cap)?));
        }
        let mut first_page = self.first_page.lock();
        match &*first_page {
            Some((version, json)) if *version == room.version() => Ok(json.clone()),
            _ => {
                let json = wire::page(&room.page("", self.cap)?);
                *first_page = Some((room.version(), json.clone()));
                Ok(json)
            }
        }
    }

    // Asking

    /// A command in somebody's name, if the room is of type `wanted`.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        by: By,
        wanted: Option<RoomType>,
        command: Command,
    ) -> Result<Answer, ApiError> {
        let answer = self.try_ask(by, wanted, command).await;
        answer.map_err(|refusal| self.error(refusal))
    }

    /// The same, with the reason as the hall gives it.
    pub(crate) async fn try_ask(
        self: &Arc<Self>,
        by: By,
        wanted: Option<RoomType>,
        command: Command,
    ) -> Result<Answer, Refusal> {
        if self.is_behind() {
            return Err(Refusal::Busy);
        }
        let (sender, answer) = oneshot::channel();
        let ticket = Waiter::Asker(sender);
        self.drive(Input::Do { by, room_type: wanted, command, ticket });
        // The other end is kept until it is used.
        answer.await.unwrap_or(Err(Refusal::Unknown))
    }

    /// Whether so much is to be told that nothing more should be taken in.
    fn is_behind(&self) -> bool {
        self.outgoing.len() >= MOST_OUTGOING
    }

    /// A command that nobody waits for.
    pub(crate) fn order(self: &Arc<Self>, command: Command) {
        let (sender, _) = oneshot::channel();
        let (by, ticket) = (By::App(SYSTEM.into()), Waiter::Asker(sender));
        self.drive(Input::Do { by, room_type: None, command, ticket });
    }

    /// What a refusal is to a caller.
    pub(crate) fn error(&self, refusal: Refusal) -> ApiError {
        match refusal {
            Refusal::Gone => self.gone().into(),
            other => error(other),
        }
    }

    // Driving

    /// Lets something happen, and performs what follows.
    pub(crate) fn drive(self: &Arc<Self>, input: Input<Waiter>) {
        self.drive_all([input]);
    }

    fn drive_all(self: &Arc<Self>, inputs: impl IntoIterator<Item = Input<Waiter>>) {
        let mut gone = Vec::new();
        let deadline = {
            let mut hall = locks::write(&self.hall);
            for input in inputs {
                let now = clock::now();
                hall.handle(input, now);
                gone.extend(self.carry_out_all(&mut hall, now));
            }
            hall.deadline()
        };
        self.drain();
        if let Some(deadline) = deadline {
            let room = self.clone();
            self.alarm.set(deadline, async move { room.drive(Input::Time) });
        }
        if !gone.is_empty() {
            self.drive(Input::Gone(gone));
        }
    }

    /// Performs what has followed at `now`, and returns whose accounts are gone of those that it concerns.
    fn carry_out_all(self: &Arc<Self>, hall: &mut Hall<Waiter>, now: Time) -> Vec<UserId> {
        let mut gone = Vec::new();
        while let Some(effect) = hall.poll() {
            self.carry_out(hall, effect, now, &mut gone);
        }
        gone
    }

    /// Performs an effect, or what of it must not wait, under the hall's lock.
    fn carry_out(
        self: &Arc<Self>,
        hall: &Hall<Waiter>,
        effect: Effect<Waiter>,
        now: Time,
        gone: &mut Vec<UserId>,
    ) {
        match effect {
            Effect::Store { how, writes, told, operator, info } => {
                let mut changes = self.changes(hall, writes, &operator, now);
                if let Some(room) = hall.room() {
                    let (app, info) = (&self.app, info.as_deref().unwrap_or(room.info()));
                    let teller = Teller { app, room, info, operator: &operator, now, moments: &self.moments };
                    changes.extend(teller.changes(&told));
                }
                match how {
                    Durably::Journal if changes.is_empty() => {}
                    Durably::Journal => self.app.store.journal(changes),
                    Durably::Kept(id) => {
                        self.app.store.journal(changes);
                        // What is committed now is on disk after all that was journalled before.
                        self.report(id, self.app.store.commit(Vec::new()));
                    }
                    Durably::Commit(id) => self.report(id, self.app.store.commit(changes)),
                }
            }
            Effect::Rights { peer, rights } => {
                self.app.live.set_rights(unit::peer(peer), unit::rights(rights))
            }
            Effect::Note(note) => self.chronicle.tell(&self.call, note, now),
            Effect::ClosePeers(peers) => self.app.live.close(peers.into_iter().map(unit::peer)),
            Effect::Confirm(users) => {
                gone.extend(users.into_iter().filter(|user| self.app.account(user.as_str()).is_none()));
            }
            Effect::Ask { id, operator, question } => {
                self.send_out(Out::Then(Then::Ask(id, operator, question)));
            }
            Effect::Over => self.send_out(Out::Then(Then::Over)),
            Effect::Tell { to, what } => {
                let concerns_others =
                    matches!(what, Told::Event(Event::InviteesChanged { .. } | Event::OwnerChanged { .. }));
                if let Some(room) = hall.room().filter(|_| concerns_others) {
                    self.app.booked.note(&self.incarnation(), room.info());
                }
                if matches!(what, Told::Event(Event::OwnerChanged { .. })) {
                    self.send_out(Out::Then(Then::ChangedHands));
                }
                if let Some(frame) = self.frame(hall, &what) {
                    self.send_out(Out::Tell(to, frame));
                }
            }
            Effect::Unlisten { session, cause } => {
                let frame = cause.map(|cause| Frame::text(&events::room_closed(&self.room_id, cause)));
                self.send_out(Out::Unlisten(session, frame));
            }
            Effect::CatchUp { session, turn, messages, wanted } => {
                let messages = messages.iter().map(|message| Frame::message(&self.room_id, message));
                let wanted = wanted.iter().map(|one| Frame::text(&events::layers_wanted(&self.room_id, one)));
                self.send_out(Out::CatchUp(session, turn, messages.chain(wanted).collect()));
            }
            Effect::Answer { ticket: Waiter::Asker(asker), result } => {
                self.send_out(Out::Answer(asker, result));
            }
            Effect::Entered { turn, ticket: Waiter::Newcomer(session, asker, _), result, .. } => {
                let welcome = result.is_ok().then(|| self.welcome(hall, now)).flatten();
                let ticket = Waiter::Newcomer(session.clone(), asker, welcome);
                self.send_out(Out::Enter(session, turn, result, ticket));
            }
            Effect::Answer { ticket, .. } | Effect::Entered { ticket, .. } => {
                debug_assert!(false, "a hall answers one who enters as one who asks, or the other way round");
                ticket.answer(Err(Refusal::Unknown));
            }
        }
    }

    /// What one gets who enters.
    fn welcome(&self, hall: &Hall<Waiter>, now: Time) -> Option<Welcome> {
        let room = hall.room()?;
        let page = self.render(room, "").ok()?;
        let json = self.greeter.lock().welcome(room, &self.app, &page, hall.streams().told(), now);
        Some(Welcome { json })
    }

    /// Has the store's answer brought back.
    fn report(self: &Arc<Self>, id: PlanId, commit: Commit) {
        self.commits.push((id, commit));
        if self.commits.begin() {
            tokio::spawn(self.clone().report_all());
        }
    }

    /// Brings the store's answers back until none is awaited. Those that come together are taken together.
    async fn report_all(self: Arc<Self>) {
        while let Some((id, commit)) = self.commits.next() {
            let mut answered = vec![stored(id, commit.await)];
            let next = || self.commits.next_if(|(_, commit)| commit.now_or_never());
            answered.extend(std::iter::from_fn(next).map(|((id, _), result)| stored(id, result)));
            self.drive_all(answered);
        }
    }

    /// What is written down, as the store has it.
    fn changes(&self, hall: &Hall<Waiter>, writes: Vec<Write>, operator: &str, now: Time) -> Vec<Change> {
        let scope = self.scope;
        let mut changes = Vec::with_capacity(writes.len() + 1);
        for write in writes {
            let change = match write {
                Write::Keep(Keep::Info(info)) => Change::PutRoom(scope, *info),
                Write::Keep(Keep::Put(record)) => Change::PutRecord(scope, record),
                Write::Keep(Keep::Delete(key)) => Change::DeleteRecord(scope, key),
                Write::Keep(Keep::DeleteMember(user)) => Change::DeleteMember(scope, user),
                Write::Presence { session, user, place, seen, stay, is_new } => {
                    let presence = Presence { session, scope, user, place, seen, stay };
                    if is_new { Change::AddPresence(presence) } else { Change::PutPresence(presence) }
                }
                Write::Absence { session, user } => Change::DeletePresence(scope, user, session),
                Write::Message(message) => Change::PutMessage(scope, message),
                Write::Counters(counters) => Change::PutCounters(scope, counters),
                Write::End(cause) => {
                    if let Some(room) = hall.room() {
                        changes.extend(webhooks::room_destroyed(&self.app, room, operator, cause, now));
                        let at = self.moments.next(now);
                        changes.extend(webhooks::call_ended(&self.app, room.info(), at));
                    }
                    changes.push(Change::PutIntent(scope.app, Intent::RoomOver(self.incarnation())));
                    Change::DeleteRoom(scope)
                }
            };
            changes.push(change);
        }
        changes
    }

    fn frame(&self, hall: &Hall<Waiter>, what: &Told) -> Option<Frame> {
        let room_id = &self.room_id;
        Some(match what {
            Told::Event(Event::Message(message)) => Frame::message(room_id, message),
            Told::Event(event) => Frame::text(&events::event(hall.room()?, &self.app, event)?),
            Told::Members(changed) => Frame::text(&events::members_changed(room_id, changed)),
            Told::Likes { total, by } => Frame::text(&events::likes_changed(room_id, *total, by)),
            Told::Streams(member) => Frame::text(&events::streams_changed(room_id, member)),
            Told::Rights(rights) => Frame::text(&events::publishing_changed(room_id, *rights)),
            Told::Wanted(wanted) => Frame::text(&events::layers_wanted(room_id, wanted)),
            Told::MediaLost(was_publisher) => Frame::text(&events::media_lost(room_id, *was_publisher)),
        })
    }

    // Telling

    fn send_out(&self, out: Out) {
        self.outgoing.push(out);
    }

    /// Performs what waits, unless somebody is at it.
    fn drain(self: &Arc<Self>) {
        if self.outgoing.begin() {
            self.drain_some();
        }
    }

    fn drain_some(self: &Arc<Self>) {
        loop {
            let (mut late, mut then) = (Late::new(), None);
            let is_done = {
                let mut links = self.links.lock();
                (0..AT_ONCE).find_map(|_| {
                    let Some(out) = self.outgoing.next() else { return Some(true) };
                    late.extend(self.perform(out, &mut links, &mut then));
                    then.is_some().then_some(false)
                })
            };
            // What sessions say to this, who do not want any more what they have got.
            for effect in late {
                match effect {
                    session::Effect::Say { input, .. } => self.drive(input),
                    session::Effect::Answer { ticket, result } => ticket.answer(result),
                    _ => debug_assert!(false, "who comes into a room says more than that it leaves"),
                }
            }
            if let Some(then) = then {
                self.go_beyond(then);
            }
            match is_done {
                Some(true) => return,
                Some(false) => {}
                None => {
                    let room = self.clone();
                    return drop(tokio::spawn(async move { room.drain_some() }));
                }
            }
        }
    }

    fn go_beyond(self: &Arc<Self>, then: Then) {
        // The app is there as long as its rooms.
        let Some(beyond) = self.beyond.upgrade() else { return };
        match then {
            Then::Over => beyond.over(self),
            Then::ChangedHands => beyond.changed_hands(self),
            Then::Ask(id, operator, hall::Question::Beyond { owner, wish }) => {
                beyond.ask(self, Question { id, operator, owner, wish });
            }
            Then::Ask(id, operator, question) => {
                let room = self.clone();
                tokio::spawn(async move {
                    let asked = webhooks::review(&room.app, &room.room_id, &operator, question, room.review);
                    let reply = Reply::Verdict(asked.await);
                    room.drive(Input::Asked { id, reply });
                });
            }
        }
    }

    /// Returns what is to be carried out when no lock is held.
    fn perform(&self, out: Out, links: &mut Links, then: &mut Option<Then>) -> Late {
        match out {
            Out::Tell(Audience::All, frame) => links.values().for_each(|link| link.push(frame.clone())),
            Out::Tell(Audience::Sessions(sessions), frame) => {
                let whom = sessions.iter().filter_map(|session| links.get(session));
                whom.for_each(|link| link.push(frame.clone()));
            }
            Out::TellOthers(sender, frame) => {
                let others = links.iter().filter(|(session, _)| **session != sender);
                others.for_each(|(_, link)| link.push(frame.clone()));
            }
            // Whoever has hung up does not care.
            Out::Answer(asker, result) => drop(asker.send(result)),
            Out::Enter(session, turn, result, ticket) => {
                if result.as_ref().is_ok_and(|entry| entry.is_new) {
                    links.insert(session.id, session.clone());
                }
                let room = self.incarnation();
                let mut late = session.tell(session::Input::Entered { room, turn, result, ticket });
                // Nearly always nothing is said before the answer, which need not wait then.
                if let [session::Effect::Answer { .. }] = late.as_slice()
                    && let Some(session::Effect::Answer { ticket, result }) = late.pop()
                {
                    ticket.answer(result);
                }
                return late;
            }
            Out::Unlisten(session, frame) => {
                if let Some(link) = links.remove(&session) {
                    let late = link.tell(session::Input::Out(self.incarnation()));
                    frame.into_iter().for_each(|frame| link.push(frame));
                    return late;
                }
            }
            Out::CatchUp(session, turn, frames) => {
                if let Some(link) = links.get(&session) {
                    link.catch_up(&self.incarnation(), turn, frames);
                }
            }
            Out::Then(what) => *then = Some(what),
        }
        Late::new()
    }

    /// Tells everyone in the room of something that is not the room's own.
    pub(crate) fn tell_all(self: &Arc<Self>, frame: Frame) {
        self.tell(|_| Ok(Out::Tell(Audience::All, frame)));
    }

    /// Tells one member, on all its sessions.
    pub(crate) fn tell_user(self: &Arc<Self>, user: &UserId, frame: Frame) {
        self.tell(|room| {
            let sessions = room.members().sessions(user.as_str()).to_vec();
            Ok(Out::Tell(Audience::Sessions(sessions), frame))
        });
    }

    /// Tells the owner and the administrators, as far as they are in.
    pub(crate) fn tell_managers(self: &Arc<Self>, frame: Frame) {
        self.tell(|room| {
            let sessions = room.managers().flat_map(|user| room.members().sessions(user.as_str()));
            Ok(Out::Tell(Audience::Sessions(sessions.copied().collect()), frame))
        });
    }

    /// Tells everyone in the room but one session, if `check` lets it.
    pub(crate) fn tell_others(
        self: &Arc<Self>,
        sender: SessionId,
        frame: Frame,
        check: impl FnOnce(&Room) -> Result<(), Error>,
    ) -> Result<(), ApiError> {
        if self.is_behind() {
            return Err(self.error(Refusal::Busy));
        }
        let mut result = Ok(());
        self.tell(|room| {
            check(room).inspect_err(|error| result = Err(error.clone()))?;
            Ok(Out::TellOthers(sender, frame))
        });
        Ok(result?)
    }

    /// What changes nothing is told under the lock under which it was looked at whom it concerns.
    fn tell(self: &Arc<Self>, what: impl FnOnce(&Room) -> Result<Out, Error>) {
        {
            // Nobody is in a room that is over.
            let Ok(room) = self.read() else { return };
            let Ok(out) = what(&room) else { return };
            self.send_out(out);
        }
        self.drain();
    }

    // The ends of its life

    /// Changes the room while it is put together again after a restart.
    pub(crate) fn restore(&self, put: impl FnOnce(&mut Room)) {
        if let Some(room) = locks::write(&self.hall).restore() {
            put(room);
        }
    }

    /// Puts a session back that was in before a restart; `false` when it was banned meanwhile.
    pub(crate) fn restore_session(&self, session: &Arc<Session>, presence: &Presence) -> bool {
        let (user, id, client) = (session.user.clone(), session.id, session.client());
        let returned = Returned { user, session: id, place: presence.place, stay: presence.stay, client };
        let is_in = locks::write(&self.hall).restore_session(returned, clock::now());
        if is_in {
            self.links.lock().insert(session.id, session.clone());
            session.restore_stay(self.incarnation(), presence.seen);
        }
        is_in
    }

    /// A stream of `session` as history knows it: one that it sends, or receives `from` somebody.
    pub(crate) fn stream(&self, session: SessionId, from: Option<&str>, kind: StreamKind) -> Option<Stream> {
        let hall = self.hall();
        let stay = hall.stay(session)?.cast_signed();
        let place = |user: &str| hall.room().and_then(|room| room.members().place(user));
        let peer = match from {
            None => 0,
            Some(user) => place(user)?.cast_signed(),
        };
        Some(Stream { app: self.call.app, call: self.call.call, stay, peer, kind })
    }

    /// The streams of which a session's client speaks, found in one look: its own sound, and what it gets of these members; `None` of those
    /// that are not there.
    pub(crate) fn streams<'a>(
        &self,
        session: SessionId,
        received: impl Iterator<Item = (&'a str, StreamKind)>,
    ) -> Option<(Stream, SmallVec<[Option<Stream>; 8]>)> {
        let hall = self.hall();
        let stay = hall.stay(session)?.cast_signed();
        let own = Stream { app: self.call.app, call: self.call.call, stay, peer: 0, kind: StreamKind::Audio };
        let members = hall.room()?.members();
        let whose = received.map(|(from, kind)| {
            let peer = members.place(from)?.cast_signed();
            Some(Stream { peer, kind, ..own })
        });
        Some((own, whose.collect()))
    }

    /// Whether a member's stream flows, and is not muted.
    pub(crate) fn flows(&self, user: &str, kind: StreamKind) -> bool {
        let hall = self.hall();
        let member = hall.streams().told().iter().find(|member| member.member.as_str() == user);
        let is_it = |stream: &hall::Shown| stream.device == unit::device(kind) && !stream.is_muted;
        member.is_some_and(|member| member.streams.iter().any(is_it))
    }

    /// The room is connected with these others, each with its owner, as it was before a restart.
    pub(crate) fn restore_connected(&self, others: Vec<(Incarnation, UserId)>) {
        locks::write(&self.hall).restore_connected(others);
    }

    /// In the last second a session, or a player that is only counted, was sent something, and pictures of so many pixels.
    pub(crate) fn note_received(&self, session: Option<SessionId>, pictures: &[u32]) {
        let stay = session.and_then(|session| self.hall().stay(session));
        self.chronicle.receive(&self.call, stay, pictures);
    }

    /// Tells history of what goes on here, which it does not know, or not any more.
    pub(crate) fn retell(self: &Arc<Self>) {
        let mut hall = locks::write(&self.hall);
        if hall.room().is_none() {
            return;
        }
        self.chronicle.begin(&self.call);
        hall.retell();
        self.carry_out_all(&mut hall, clock::now());
    }

    /// After a restart, once all members are back: what their absence has changed becomes durable.
    pub(crate) fn finish_restore(self: &Arc<Self>) {
        let mut hall = locks::write(&self.hall);
        hall.finish_restore();
        self.carry_out_all(&mut hall, clock::now());
    }

    /// It is over: what it took up is free again.
    pub(crate) fn let_go(&self) {
        self.place.lock().take();
        self.app.booked.forget(&self.incarnation());
        self.app.live.forget_room(self.media_key);
    }
}
