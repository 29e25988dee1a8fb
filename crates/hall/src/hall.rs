//! One open room as a machine: inputs in, effects out. It decides who hears of what and in which order, what goes to the disk
//! and what waits for it, what a late answer of the disk means, and what may flow; it performs nothing.
//!
//! A planned command says what it touches ([`crate::Touches`]), waits for what is on its way and touches the same, is planned under
//! the rules, goes to the disk, and is applied, told and answered when it is there. What is said is told first and answered
//! when it is kept. Members come and go meanwhile: a plan is applied to what is true by then, and what that changes beyond
//! the plan is kept before its answer. What somebody outside is asked about first (`reviews.rs`) is checked again when he has answered.
//!
//! What the room does of itself, as to end when its lifetime is over, is planned like what others want, and tried again until the disk
//! takes it.
//!
//! The effects of one input come out before those of the next, and whoever performs them keeps that order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use rooms::{
    Client, Content, Delta, Error, Event, Keep, LeaveCause, Outcome, PresenceBatch, Record, Room, RoomId,
    RoomType, SessionId, Time, UserId,
};

use crate::callbacks::Callbacks;
use crate::command::{
    self, Answer, By, Command, Entry, Passing, Planned, Refusal, Refused, Reviewed, SYSTEM, Said, Speech,
    Upshot, Verdict,
};
use crate::exchange::{Audience, Durably, Effect, Input, Question, Reply, Told, Write};
use crate::notes::{Happening, Returned, Stays};
use crate::plans::{PlanId, Plans, Touches};
use crate::reviews::{Place, Review, Reviews};
use crate::standing::Wish;
use crate::streams::{PeerId, Streams};

/// The shortest time between two batches of joins and leaves: 8 a second, and never more than 10 in any second even when
/// the network bunches them.
const BATCH_INTERVAL: Duration = Duration::from_millis(125);

/// How many frames of such batches one room sends a second in all: a room with more listeners tells them less often...
const BATCH_FRAMES_PER_SECOND: usize = 5000;

/// ... but no less often than this.
const SLOWEST_BATCH_INTERVAL: Duration = Duration::from_secs(2);

/// How many who sent likes are named in a batch.
const NAMED_LIKERS: usize = 20;

/// After so long a planned command is answered: one on its way to the disk, that nobody knows; one that waits, that too much does.
const ANSWERED_AFTER: Duration = Duration::from_secs(10);

/// After so long without a word from the disk what was told is answered as not yet kept.
const NOT_KEPT_AFTER: Duration = Duration::from_secs(5);

/// How many inputs wait while the room's end is on its way to the disk.
const MOST_WAITING: usize = 1024;

/// How long the disk is left alone that has refused what the room does of itself.
const RETRY: Duration = Duration::from_secs(1);

/// What waits until it may be planned.
enum Want {
    Plan(Planned),
    /// It is planned elsewhere.
    Ask(Wish<RoomId>),
}

impl Want {
    fn touches(&self, by: &By, room: &Room, now: Time) -> Touches {
        match self {
            Want::Plan(command) => command.touches(by, room, now),
            Want::Ask(_) => by.touches(),
        }
    }
}

/// A command that waits until it may be planned.
struct Wanted<T> {
    by: By,
    room_type: Option<RoomType>,
    want: Want,
    /// `None`: the room itself wants it.
    ticket: Option<T>,
    since: Time,
}

/// A plan on its way to the disk.
struct Made<T> {
    by: By,
    upshot: Upshot,
    outcome: Outcome,
    /// Those of whom it is written behind the plan that they are in, which is going to put them out.
    behind: Vec<UserId>,
    ticket: Option<T>,
    since: Time,
    result: Option<Result<(), Refused>>,
}

/// What is done and told, and answered when the disk has it.
struct Keeping<T> {
    id: PlanId,
    ticket: Option<T>,
    answer: Answer,
    since: Time,
}

/// The room's end is on its way to the disk.
struct Ending<T> {
    /// What would be written behind it: dropped with the room, or written after all.
    held: Vec<Effect<T>>,
    /// What wants to change the room meanwhile, and since when.
    waiting: VecDeque<(Time, Input<T>)>,
}

/// What the room does of itself.
#[derive(Default)]
struct Own {
    /// Robots whose accounts are gone.
    gone: Vec<UserId>,
    /// What is wanted of that, and the robots that it puts out.
    plan: Option<(PlanId, Vec<UserId>)>,
    /// The disk has refused it, and is left alone until then.
    retry_at: Option<Time>,
}

/// What a hall is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// By how many sessions a user may be in at once; 0 is as many as it likes.
    pub most_sessions: usize,
    /// How long the app's own server has to answer.
    pub review: Duration,
}

/// An open room.
pub struct Hall<T> {
    /// `None` once it is over.
    room: Option<Room>,
    bounds: Bounds,
    plans: Plans,
    wanted: HashMap<PlanId, Wanted<T>, foldhash::fast::RandomState>,
    made: HashMap<PlanId, Made<T>, foldhash::fast::RandomState>,
    /// Who waits for an answer from beyond the room.
    asking: HashMap<PlanId, T, foldhash::fast::RandomState>,
    /// What waits for one of the app's own server.
    reviews: Reviews<T>,
    own: Own,
    /// In the order in which they were told, which is the disk's.
    keeping: VecDeque<Keeping<T>>,
    /// What applying a plan has changed beyond it, and when that was wanted.
    late: Vec<Keeping<T>>,
    ending: Option<Ending<T>>,
    /// The sessions that are in, and the latest turn that is known of each.
    turns: HashMap<SessionId, u64, foldhash::fast::RandomState>,
    batch: PresenceBatch,
    likes: Likes,
    flushed_at: Option<Time>,
    streams: Streams,
    stays: Stays,
    callbacks: Callbacks,
    /// Nothing has changed by which what may flow is decided since that was looked at.
    is_settled: bool,
    /// When the rules of what may flow are to be looked at again, because a mute ends.
    settle_at: Option<Time>,
    /// The latest time there was.
    now: Time,
    effects: VecDeque<Effect<T>>,
}

/// Likes that are told with the next batch.
#[derive(Default)]
struct Likes {
    total: u64,
    by: Vec<(UserId, u64)>,
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

impl<T> Hall<T> {
    /// Opens a room.
    pub fn new(room: Room, bounds: Bounds) -> Self {
        Self {
            callbacks: Callbacks::of(&room),
            room: Some(room),
            bounds,
            plans: Plans::default(),
            wanted: HashMap::default(),
            made: HashMap::default(),
            asking: HashMap::default(),
            reviews: Reviews::default(),
            own: Own::default(),
            keeping: VecDeque::new(),
            late: Vec::new(),
            ending: None,
            turns: HashMap::default(),
            batch: PresenceBatch::default(),
            likes: Likes::default(),
            flushed_at: None,
            streams: Streams::default(),
            stays: Stays::default(),
            is_settled: true,
            settle_at: None,
            now: Time::from_unix_millis(0),
            effects: VecDeque::new(),
        }
    }

    /// The room, to look at; `None` once it is over.
    pub fn room(&self) -> Option<&Room> {
        self.room.as_ref()
    }

    /// The room, to put back what was kept of it before a restart.
    pub fn restore(&mut self) -> Option<&mut Room> {
        self.room.as_mut()
    }

    /// Puts a session back that was in before a restart; `false` when its user was banned meanwhile.
    pub fn restore_session(&mut self, one: Returned, now: Time) -> bool {
        let Some(room) = &mut self.room else { return false };
        let Some(place) = room.restore_member(&one.user, one.session, one.place, now) else { return false };
        self.turns.insert(one.session, 0);
        self.callbacks.restore(room, &one.user);
        self.stays.restore(one, place, now);
        true
    }

    /// Tells once more what is to be remembered of who is in: nobody knows any more, or whether it was told is not known.
    pub fn retell(&mut self) {
        self.stays.retell();
        self.put_notes();
    }

    /// After a restart, once all members are back: what their absence has changed becomes durable.
    pub fn finish_restore(&mut self) {
        let Some(room) = &mut self.room else { return };
        let freed = room.finish_restore();
        if !freed.is_empty() {
            let told = vec![Event::SeatsChanged { seats: room.seats().to_vec() }];
            let writes = freed.into_iter().map(put).collect();
            self.journal(writes, told, String::new());
        }
    }

    /// The number of a session's stay, while it is in.
    pub fn stay(&self, session: SessionId) -> Option<u64> {
        Some(self.stays.number(session)).filter(|number| *number > 0)
    }

    /// What is published in it.
    pub fn streams(&self) -> &Streams {
        &self.streams
    }

    /// What is to be performed next.
    pub fn poll(&mut self) -> Option<Effect<T>> {
        self.effects.pop_front()
    }

    /// When [`Input::Time`] is due.
    pub fn deadline(&self) -> Option<Time> {
        let room = self.room.as_ref()?;
        let made = self.plans.on_their_way().filter_map(|id| self.made.get(&id));
        let made = made.filter(|made| made.ticket.is_some()).map(|made| made.since).min();
        let keeping = self.keeping.iter().find(|keeping| keeping.ticket.is_some());
        let late = self.late.iter().filter(|keeping| keeping.ticket.is_some()).map(|keeping| keeping.since);
        let wanted = self.wanted.values().filter(|wanted| wanted.ticket.is_some()).map(|wanted| wanted.since);
        let waiting = self.ending.as_ref().and_then(|ending| ending.waiting.front());
        [
            self.flush_at(),
            self.settle_at,
            self.callbacks.deadline(),
            room.next_request_deadline(),
            self.own_deadline(room),
            self.reviews.deadline(self.line_patience()),
            made.map(|since| since + ANSWERED_AFTER),
            late.min().map(|since| since + ANSWERED_AFTER),
            wanted.min().map(|since| since + ANSWERED_AFTER),
            waiting.map(|(since, _)| *since + ANSWERED_AFTER),
            keeping.map(|keeping| keeping.since + NOT_KEPT_AFTER),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Something happens, at `now`. What follows from it is [polled](Self::poll) for.
    pub fn handle(&mut self, input: Input<T>, now: Time) {
        self.now = self.now.max(now);
        self.take(input);
        self.go_on_with_reviews();
        self.see_to_itself();
        self.plan_what_may();
        // What is said and kept changes nothing of it, and is most of what happens.
        if !std::mem::replace(&mut self.is_settled, true) {
            self.settle();
        }
        self.put_notes();
    }

    fn put_notes(&mut self) {
        self.effects.extend(self.stays.take().into_iter().map(Effect::Note));
    }

    fn take(&mut self, input: Input<T>) {
        if self.room.is_none() {
            return self.refuse(input);
        }
        if let Some(ending) = &mut self.ending
            && changes_the_room(&input)
        {
            if ending.waiting.len() < MOST_WAITING {
                return ending.waiting.push_back((self.now, input));
            }
            return self.turn_away(input, Refusal::Busy);
        }
        self.is_settled &= !matches!(input, Input::Enter { .. } | Input::Leave { .. } | Input::Time);
        match input {
            Input::Enter { user, session, turn, password, client, ticket } => {
                let entered = self.enter(&user, session, turn, password.as_deref(), client);
                let (result, events) = match entered {
                    Ok((entry, events)) => (Ok(entry), events),
                    Err(refusal) => (Err(refusal), Vec::new()),
                };
                // It has its page, and hears all that follows.
                self.effects.push_back(Effect::Entered { session, turn, ticket, result });
                self.tell(events);
            }
            Input::Leave { user, session, turn, cause, ticket } => {
                let result = match self.is_overtaken(session, turn) {
                    true => Ok(()),
                    false => self.leave(&user, session, cause),
                };
                self.answer(ticket, result.map(|()| Answer::Done).map_err(Refusal::Rule));
            }
            Input::Back { user, session, turn, seen } => self.back(&user, session, turn, seen),
            Input::Lost { user, session, turn, seen } => {
                self.note(&user, session, turn, seen, Happening::Lost, Vec::new());
            }
            Input::Do { by, room_type, command, ticket } => self.ask(by, room_type, command, ticket),
            Input::Asked { id, reply: Reply::Beyond(result) } => {
                self.plans.end(id);
                match self.asking.remove(&id) {
                    Some(ticket) => self.answer(ticket, result.map(Answer::Beyond)),
                    None => debug_assert!(false, "{id:?} was not asked"),
                }
            }
            Input::Asked { id, reply: Reply::Verdict(verdict) } => self.reviews.hear(id, verdict),
            Input::Gone(users) => {
                let known = &mut self.own.gone;
                users.into_iter().for_each(|user| {
                    if !known.contains(&user) {
                        known.push(user);
                    }
                });
            }
            Input::Stored { id, result } => self.stored(id, result),
            Input::Time => self.pass(),
        }
    }

    fn answer(&mut self, ticket: impl Into<Option<T>>, result: Result<Answer, Refusal>) {
        if let Some(ticket) = ticket.into() {
            self.effects.push_back(Effect::Answer { ticket, result });
        }
    }

    /// The room is over.
    fn refuse(&mut self, input: Input<T>) {
        self.turn_away(input, Refusal::Gone);
    }

    fn turn_away(&mut self, input: Input<T>, why: Refusal) {
        match input {
            Input::Enter { session, turn, ticket, .. } => {
                self.effects.push_back(Effect::Entered { session, turn, ticket, result: Err(why) });
            }
            Input::Do { ticket, .. } | Input::Leave { ticket: Some(ticket), .. } => {
                self.answer(ticket, Err(why))
            }
            _ => {}
        }
    }

    // Presence

    fn enter(
        &mut self,
        user: &UserId,
        session: SessionId,
        turn: u64,
        password: Option<&str>,
        client: Arc<Client>,
    ) -> Result<(Entry, Vec<Event>), Refusal> {
        let room = self.room.as_mut().ok_or(Refusal::Gone)?;
        room.require_password(user, password)?;
        let own = room.members().sessions(user.as_str());
        if self.bounds.most_sessions > 0 && own.len() >= self.bounds.most_sessions && !own.contains(&session)
        {
            return Err(Refusal::Crowded(own.to_vec()));
        }
        let entered = room.enter(user, session, self.now)?;
        let (place, seen, is_new) = (entered.place, room.last_seq(), entered.session_is_new);
        let mut events = Vec::new();
        let known = self.turns.entry(session).or_default();
        *known = turn.max(*known);
        if is_new {
            events.extend(entered.event);
            let terminal = client.terminal;
            self.stays.begin(session, user, place, client, self.now);
            let stay = self.stays.number(session);
            let mut writes = vec![
                Write::Presence { session, user: user.clone(), place, seen, stay, is_new },
                Write::Counters(room.counters()),
            ];
            note_seat(room, entered.seated, &mut writes, &mut events);
            let entered = self.callbacks.enter(room, user, terminal, self.now).map(Event::Rtc);
            let told = events.iter().cloned().chain(entered).collect();
            self.note_behind(user);
            self.journal(writes, told, user.to_string());
        }
        Ok((Entry { seen, is_new }, events))
    }

    fn leave(&mut self, user: &UserId, session: SessionId, cause: LeaveCause) -> Result<(), Error> {
        let Some(room) = &mut self.room else { return Ok(()) };
        let departure = room.leave(user, session, cause, self.now)?;
        self.stays.end(session, cause, self.now);
        let mut events: Vec<Event> = departure.event.into_iter().chain(departure.requests).collect();
        let mut writes = vec![Write::Absence { session, user: user.clone() }];
        note_seat(room, departure.freed, &mut writes, &mut events);
        let is_out = room.members().sessions(user.as_str()).iter().all(|other| *other == SessionId::ROBOT);
        let left = is_out.then(|| self.callbacks.leave(user, cause, self.now)).flatten().map(Event::Rtc);
        let told = events.iter().cloned().chain(left).collect();
        self.journal(writes, told, user.to_string());
        self.let_go(session, None);
        self.tell(events);
        Ok(())
    }

    /// That somebody is in is going to be written behind the plans that are on their way.
    fn note_behind(&mut self, user: &UserId) {
        for made in self.made.values_mut() {
            let is_its =
                |change: &Delta| matches!(change, Delta::PutOut { user: other, .. } if other == user);
            if !made.behind.contains(user) && made.outcome.changes.iter().any(is_its) {
                made.behind.push(user.clone());
            }
        }
    }

    /// A session that is out listens no more, and nothing of it flows.
    fn let_go(&mut self, session: SessionId, cause: Option<LeaveCause>) {
        self.turns.remove(&session);
        let peers: Vec<PeerId> = self.streams.end(session).collect();
        self.close(peers);
        self.effects.push_back(Effect::Unlisten { session, cause });
    }

    /// Whether something is known of a session that it said later.
    fn is_overtaken(&self, session: SessionId, turn: u64) -> bool {
        self.turns.get(&session).is_some_and(|known| *known > turn)
    }

    fn back(&mut self, user: &UserId, session: SessionId, turn: u64, seen: u64) {
        let Some(room) = self.room.as_ref().filter(|_| self.turns.contains_key(&session)) else { return };
        // Also where this was overtaken: the connection knows for what it waits.
        let messages = room.messages_after(seen).cloned().collect();
        let wanted = self.streams.wanted_of(session).to_vec();
        self.effects.push_back(Effect::CatchUp { session, turn, messages, wanted });
        let told = vec![Event::Recovered { user: user.clone() }];
        self.note(user, session, turn, seen, Happening::Back, told);
    }

    /// What a session has by now, if it is in.
    fn note(
        &mut self,
        user: &UserId,
        session: SessionId,
        turn: u64,
        seen: u64,
        what: Happening,
        told: Vec<Event>,
    ) {
        if self.is_overtaken(session, turn) {
            return;
        }
        let Some(known) = self.turns.get_mut(&session) else { return };
        *known = turn;
        self.stays.note(session, what, self.now);
        let place = self.room.as_ref().and_then(|room| room.members().place(user.as_str()));
        let Some(place) = place else { return debug_assert!(false, "{session:?} is in without its user") };
        self.note_behind(user);
        let user_id = user.clone();
        let stay = self.stays.number(session);
        let writes = vec![Write::Presence { session, user: user_id, place, seen, stay, is_new: false }];
        self.journal(writes, told, user.to_string());
    }

    // Commands

    fn ask(&mut self, by: By, room_type: Option<RoomType>, command: Command, ticket: T) {
        let Some(room) = &mut self.room else { return self.answer(ticket, Err(Refusal::Gone)) };
        if let Err(error) = room.require_type(room_type) {
            return self.answer(ticket, Err(error.into()));
        }
        let want = match command {
            Command::Planned(command) => Want::Plan(command),
            Command::Beyond(wish) => Want::Ask(wish),
            Command::Reviewed(what) => {
                let (is_asked, since) = (true, self.now);
                return self.line_up(Review { by, room_type, what, is_asked, ticket, since });
            }
            Command::Said(Said::Message(speech)) if self.reviews.has(&by) => {
                let (what, is_asked, since) = (Reviewed::Message(speech), false, self.now);
                return self.line_up(Review { by, room_type, what, is_asked, ticket, since });
            }
            Command::Said(said) => return self.say(&by, said, ticket),
            Command::Passing(passing) => {
                let result = self.pass_on(&by, passing);
                return match result {
                    Ok((answer, event)) => {
                        self.tell(event);
                        self.answer(ticket, Ok(answer));
                    }
                    Err(refusal) => self.answer(ticket, Err(refusal)),
                };
            }
        };
        let since = self.now;
        self.want(Wanted { by, room_type, want, ticket: Some(ticket), since });
    }

    /// Something is to be planned as soon as it may.
    fn want(&mut self, wanted: Wanted<T>) {
        let Some(room) = &self.room else { return self.answer(wanted.ticket, Err(Refusal::Gone)) };
        match self.plans.want(wanted.want.touches(&wanted.by, room, self.now)) {
            Ok(id) => drop(self.wanted.insert(id, wanted)),
            Err(_) => self.answer(wanted.ticket, Err(Refusal::Busy)),
        }
    }

    fn say(&mut self, by: &By, said: Said, ticket: T) {
        let Some(room) = &mut self.room else { return self.answer(ticket, Err(Refusal::Gone)) };
        let is_untold = said.is_untold();
        let event = match said.say(by, room, self.now) {
            Ok(event) => event,
            Err(error) => return self.answer(ticket, Err(error.into())),
        };
        let (mut writes, answer) = match &event {
            Event::Message(message) => {
                let (id, seq, sent_at) = (message.id.clone(), message.seq, message.sent_at);
                (vec![Write::Message(message.clone())], Answer::Message { id, seq, sent_at })
            }
            _ => (Vec::new(), Answer::Likes(room.counters().likes)),
        };
        writes.push(Write::Counters(room.counters()));
        let told = if is_untold { Vec::new() } else { vec![event.clone()] };
        let (id, ticket, since) = (self.plans.number(), Some(ticket), self.now);
        self.keeping.push_back(Keeping { id, ticket, answer, since });
        self.keep(id, writes, told, by.name());
        self.tell([event]);
    }

    // What the app's own server is asked

    fn line_up(&mut self, review: Review<T>) {
        if let Err(ticket) = self.reviews.push(review) {
            self.answer(ticket, Err(Refusal::Busy));
        }
    }

    /// Nothing is decided while the room's end is on its way: then it is over, or goes on.
    fn go_on_with_reviews(&mut self) {
        while self.room.is_some()
            && self.ending.is_none()
            && let Some((review, verdict, place)) = self.reviews.next()
        {
            // Also who was asked about is held to what is true by now.
            match (self.review(&review), verdict) {
                (Err(refusal), _) => self.answer(review.ticket, Err(refusal)),
                (Ok(None), _) => self.carry_on(review, None),
                (Ok(Some(question)), None) => self.put_question(review, place, question),
                (Ok(Some(_)), Some(verdict)) => self.decide(review, verdict),
            }
        }
    }

    /// Checks what stands in line, and returns what is to be asked about it, if anything is.
    fn review(&self, review: &Review<T>) -> Result<Option<Question>, Refusal> {
        let room = self.room.as_ref().ok_or(Refusal::Gone)?;
        room.require_type(review.room_type)?;
        if !review.is_asked {
            return Ok(None);
        }
        review.by.require_right(room)?;
        Ok(Some(match &review.what {
            Reviewed::Message(speech) => Question::Message {
                from: speech.check(&review.by, room, self.now)?,
                room_type: room.info().room_type,
                content: speech.content().clone(),
            },
            Reviewed::Gift(give) => {
                room.check_give(give.count)?;
                Question::Gift(give.clone())
            }
        }))
    }

    /// How long anything stands behind another of its session.
    fn line_patience(&self) -> Duration {
        self.bounds.review + ANSWERED_AFTER
    }

    fn put_question(&mut self, review: Review<T>, place: Place, question: Question) {
        let (id, operator) = (self.plans.number(), review.by.name().to_owned());
        self.reviews.put_back(review, place, id, self.now + self.bounds.review);
        self.effects.push_back(Effect::Ask { id, operator, question });
    }

    fn decide(&mut self, review: Review<T>, verdict: Verdict) {
        let is_gift = matches!(review.what, Reviewed::Gift(_));
        let answer = match verdict {
            Verdict::Agreed => return self.carry_on(review, None),
            Verdict::Changed(words) => return self.carry_on(review, Some(words)),
            Verdict::Dropped => Ok(Answer::Dropped),
            Verdict::Refused(objection) if is_gift => Err(Refusal::GiftRefused(objection)),
            Verdict::Refused(objection) => Err(Refusal::MessageRefused(objection)),
            Verdict::NotAsked => Err(Refusal::Busy),
        };
        self.answer(review.ticket, answer);
    }

    /// Nobody has an objection.
    fn carry_on(&mut self, review: Review<T>, words: Option<Content>) {
        let Review { by, room_type, what, ticket, .. } = review;
        match what {
            Reviewed::Message(speech) => {
                let speech = words.into_iter().fold(speech, Speech::with);
                self.say(&by, Said::Message(speech), ticket);
            }
            Reviewed::Gift(give) => {
                let (want, ticket, since) = (Want::Plan(Planned::Give(give)), Some(ticket), self.now);
                self.want(Wanted { by, room_type, want, ticket, since });
            }
        }
    }

    // What the room does of itself

    /// What there is to do, and the robots that it puts out.
    fn own_want(&self, room: &Room) -> Option<(Planned, Vec<UserId>)> {
        if room.deadline().is_some_and(|at| at <= self.now) {
            return Some((Planned::Expire, Vec::new()));
        }
        let gone = &self.own.gone;
        (!gone.is_empty()).then(|| (Planned::DeleteRobots(gone.clone()), gone.clone()))
    }

    fn own_deadline(&self, room: &Room) -> Option<Time> {
        if self.own.plan.is_some() || self.ending.is_some() {
            return None;
        }
        let due = if self.own.gone.is_empty() { room.deadline() } else { Some(self.now) };
        due.map(|at| self.own.retry_at.map_or(at, |retry| retry.max(at)))
    }

    /// What is due is wanted, and wanted again later where the disk has refused it.
    fn see_to_itself(&mut self) {
        let Some(room) = &self.room else { return };
        if self.own_deadline(room).is_none_or(|at| at > self.now) {
            return;
        }
        let Some((command, robots)) = self.own_want(room) else { return };
        let (by, want) = (By::App(SYSTEM.into()), Want::Plan(command));
        let id = self.plans.insist(want.touches(&by, room, self.now));
        self.own.plan = Some((id, robots));
        self.wanted.insert(id, Wanted { by, room_type: None, want, ticket: None, since: self.now });
    }

    /// A plan has come to its end, done or not.
    fn note_own(&mut self, id: PlanId, is_refused: bool) {
        let Some((_, robots)) = self.own.plan.take_if(|(own, _)| *own == id) else { return };
        self.own.retry_at = is_refused.then(|| self.now + RETRY);
        if !is_refused {
            self.own.gone.retain(|user| !robots.contains(user));
        }
    }

    /// Writes what is done already: [`Input::Stored`] when it is on disk.
    fn keep(&mut self, id: PlanId, writes: Vec<Write>, told: Vec<Event>, operator: &str) {
        let operator = operator.to_owned();
        self.store(Effect::Store { how: Durably::Kept(id), writes, told, operator, info: None });
    }

    fn journal(&mut self, writes: Vec<Write>, told: Vec<Event>, operator: String) {
        if !writes.is_empty() || !told.is_empty() {
            self.store(Effect::Store { how: Durably::Journal, writes, told, operator, info: None });
        }
    }

    /// Nothing is written behind the room's end.
    fn store(&mut self, effect: Effect<T>) {
        match &mut self.ending {
            Some(ending) => ending.held.push(effect),
            None => self.effects.push_back(effect),
        }
    }

    fn close(&mut self, peers: impl IntoIterator<Item = PeerId>) {
        let peers: Vec<PeerId> = peers.into_iter().collect();
        if !peers.is_empty() {
            self.effects.push_back(Effect::ClosePeers(peers));
        }
    }

    fn pass_on(&mut self, by: &By, passing: Passing) -> Result<(Answer, Option<Event>), Refusal> {
        let now = self.now;
        let room = self.room.as_mut().ok_or(Refusal::Gone)?;
        by.require_right(room)?;
        self.is_settled &= matches!(passing, Passing::Want { .. });
        let mut answer = Answer::Done;
        match passing {
            Passing::ApplyForSeat { index, timeout } => {
                let request = room.apply_for_seat(by.session()?.0, index, timeout, now)?;
                let (answer, event) = command::requested(request);
                return Ok((answer, Some(event)));
            }
            Passing::InviteToSeat { guest, index, timeout } => {
                let request = room.invite_to_seat(by.session()?.0, &guest, index, timeout, now)?;
                let (answer, event) = command::requested(request);
                return Ok((answer, Some(event)));
            }
            Passing::Publish { peer, offer } => {
                let (user, session) = by.session()?;
                let former = self.streams.publish(session, user, peer, &offer);
                self.stays.note_connected(session, now);
                self.callbacks.come_back(user);
                self.close(former);
                self.settle();
                let rights = self.streams.rights_on(peer).unwrap_or_default();
                // Once more: what has not changed for the room may be new to the connection.
                self.effects.push_back(Effect::Rights { peer, rights });
                answer = Answer::Rights(rights);
            }
            Passing::Unpublish => {
                let (user, session) = by.session()?;
                let peer = self.streams.unpublish(session);
                self.callbacks.come_back(user);
                self.close(peer);
            }
            Passing::Watch { peer } => {
                let (user, session) = by.session()?;
                let former = self.streams.watch(Some(session), user, peer);
                self.stays.note_connected(session, now);
                self.close(former);
            }
            Passing::Unwatch => {
                let peer = self.streams.unwatch(by.session()?.1);
                self.close(peer);
            }
            Passing::Play { user, peer, most } => {
                if most > 0 && room.playing_of(user.as_str()) >= most {
                    return Err(Refusal::PlaysEnough);
                }
                room.begin_play(&user, now)?;
                self.streams.watch(None, &user, peer);
            }
            Passing::EndPlayers(users) => users.iter().for_each(|user| room.end_all_play(user)),
            Passing::MuteStream { device, is_muted } => {
                if !self.streams.set_muted(by.session()?.1, device, is_muted) {
                    let trouble = "is of a stream that you do not publish";
                    return Err(Error::invalid("StreamType", trouble).into());
                }
            }
            Passing::CloseStream { user, device } => {
                room.require_above(by.session()?.0, std::slice::from_ref(&user))?;
                room.require_member(&user)?;
                self.streams.close(user.as_str(), device);
            }
            Passing::LosePeer { peer, session, was_publisher } => {
                let Some(user) = self.streams.lose(peer) else { return Ok((answer, None)) };
                if was_publisher {
                    self.callbacks.lose(&user, now);
                }
                match session {
                    // It was a player that is only counted.
                    None => room.end_play(&user),
                    Some(session) => {
                        self.stays.note(session, Happening::MediaLost, now);
                        let to = Audience::Sessions(vec![session]);
                        self.effects.push_back(Effect::Tell { to, what: Told::MediaLost(was_publisher) });
                    }
                }
            }
            Passing::Want { peer, session, wanted } => {
                if self.streams.note_wanted(peer, wanted.clone()) {
                    let to = Audience::Sessions(vec![session]);
                    self.effects.push_back(Effect::Tell { to, what: Told::Wanted(wanted) });
                }
            }
        }
        Ok((answer, None))
    }

    // Plans

    fn plan_what_may(&mut self) {
        while let Some(room) = &mut self.room {
            let (wanted, now) = (&self.wanted, self.now);
            let touches = |id| match wanted.get(&id) {
                Some(wanted) => wanted.want.touches(&wanted.by, room, now),
                None => Touches::none(),
            };
            let Some(id) = self.plans.begin(touches) else { return };
            let Some(Wanted { by, room_type, want, ticket, since }) = self.wanted.remove(&id) else {
                debug_assert!(false, "{id:?} waits and nobody wants it");
                self.plans.end(id);
                continue;
            };
            let is_right = room.require_type(room_type).map_err(Refusal::Rule);
            let planned = match want {
                Want::Plan(command) => is_right.and_then(|()| command.plan(&by, room, now)).map(Some),
                Want::Ask(wish) => {
                    let is_right = is_right.and_then(|()| by.require_right(room).map_err(Refusal::Rule));
                    is_right.map(|()| {
                        self.plans.set_aside(id);
                        let question = Question::Beyond { owner: room.info().owner.clone(), wish };
                        let operator = by.name().to_owned();
                        self.effects.push_back(Effect::Ask { id, operator, question });
                        None
                    })
                }
            };
            match planned {
                Ok(Some((upshot, outcome))) => self.hand_over(id, by, upshot, outcome, (ticket, since)),
                Ok(None) => {
                    self.asking.extend(ticket.map(|ticket| (id, ticket)));
                }
                Err(refusal) => {
                    self.plans.end(id);
                    self.note_own(id, false);
                    self.answer(ticket, Err(refusal));
                }
            }
        }
    }

    /// A plan goes to the disk.
    fn hand_over(
        &mut self,
        id: PlanId,
        by: By,
        upshot: Upshot,
        outcome: Outcome,
        (ticket, since): (Option<T>, Time),
    ) {
        let mut writes: Vec<Write> = outcome.changes.iter().flat_map(Delta::keeps).map(Write::Keep).collect();
        let info = outcome.changes.iter().find_map(|change| match change {
            Delta::Info(info) => Some(info.clone()),
            _ => None,
        });
        let ends = match upshot {
            Upshot::End(cause) => Some(cause),
            _ => None,
        };
        writes.extend(ends.map(Write::End));
        let is_kept = !writes.is_empty();
        if is_kept {
            let (told, operator) = (outcome.events.clone(), by.name().to_owned());
            self.store(Effect::Store { how: Durably::Commit(id), writes, told, operator, info });
        }
        // From here on nothing of the room is written until it is known whether there is one.
        if ends.is_some() {
            self.ending = Some(Ending { held: Vec::new(), waiting: VecDeque::new() });
        }
        let result = (!is_kept).then_some(Ok(()));
        let made = Made { by, upshot, outcome, behind: Vec::new(), ticket, since, result };
        self.made.insert(id, made);
        if !is_kept {
            self.apply_what_may();
        }
    }

    fn stored(&mut self, id: PlanId, result: Result<(), Refused>) {
        let late = self.late.iter().position(|late| late.id == id).map(|at| self.late.swap_remove(at));
        let keeping = late.or_else(|| {
            let at = self.keeping.iter().position(|keeping| keeping.id == id)?;
            self.keeping.remove(at)
        });
        if let Some(Keeping { ticket, answer, .. }) = keeping {
            return self.answer(ticket, result.map(|()| answer).map_err(|_| Refusal::NotYetKept));
        }
        match self.made.get_mut(&id) {
            Some(made) => made.result = Some(result),
            None => debug_assert!(false, "{id:?} was not on its way"),
        }
        self.apply_what_may();
    }

    /// Applies what is on disk, in the order in which it was planned.
    fn apply_what_may(&mut self) {
        while let Some(id) = self.plans.first()
            && self.made.get(&id).is_some_and(|made| made.result.is_some())
            && let Some(mut made) = self.made.remove(&id)
        {
            self.is_settled = false;
            let result = made.result.take().unwrap_or(Ok(()));
            let is_refused = result.is_err();
            match result {
                Ok(()) => self.apply(made),
                Err(refused) => self.give_up(made, refused),
            }
            self.plans.end(id);
            self.note_own(id, is_refused);
        }
    }

    fn give_up(&mut self, made: Made<T>, refused: Refused) {
        if let Some(room) = &mut self.room {
            room.give_up(&made.outcome, self.now);
        }
        self.answer(made.ticket, Err(Refusal::Store(refused)));
        if matches!(made.upshot, Upshot::End(_))
            && let Some(Ending { held, waiting }) = self.ending.take()
        {
            // The room goes on: what has happened in it is written after all, and who waited comes in.
            self.effects.extend(held);
            waiting.into_iter().for_each(|(_, input)| self.take(input));
        }
    }

    fn apply(&mut self, made: Made<T>) {
        let Made { by, upshot, outcome, behind, ticket, since, .. } = made;
        if let Upshot::End(cause) = upshot {
            return self.end(cause, ticket);
        }
        let Some(room) = &mut self.room else { return };
        // Members have heard who came and went while the plan was on its way: they hear what it changes now.
        let concerned: Vec<(UserId, LeaveCause, bool)> = outcome
            .changes
            .iter()
            .filter_map(|change| match change {
                Delta::PutOut { user, cause, .. } => Some((user, *cause)),
                Delta::AddRobot { user, .. } | Delta::DropRobot { user, .. } => {
                    Some((user, LeaveCause::Leave))
                }
                _ => None,
            })
            .map(|(user, cause)| (user.clone(), cause, room.members().contains(user.as_str())))
            .collect();
        let (mut late, mut put_out, mut robots) = (Outcome::default(), Vec::new(), Vec::new());
        let mut left = Vec::new();
        let mut has_gift = false;
        for change in outcome.changes {
            if let Delta::AddRobot { user, .. } = &change {
                robots.push(user.clone());
            }
            has_gift |= matches!(change, Delta::Gift { .. });
            if let Delta::PutOut { user, cause, .. } = &change {
                left.extend(self.callbacks.leave(user, *cause, self.now).map(Event::Rtc));
            }
            let effects = room.apply(change, self.now);
            late.changes.extend(effects.late.changes);
            late.events.extend(effects.late.events);
            put_out.extend(effects.put_out);
        }
        let answer = match upshot {
            Upshot::SeatOf(user) => Answer::Seat(room.seat_of(user.as_str())),
            Upshot::Answer(answer) => answer,
            Upshot::End(_) => Answer::Done,
        };
        let counters = Write::Counters(room.counters());
        for (user, cause, was_in) in concerned {
            match (was_in, room.members().contains(user.as_str())) {
                (true, false) => self.batch.push(&Event::Left { user, cause }),
                (false, true) => self.batch.push(&Event::Entered { user }),
                _ => {}
            }
        }
        for (session, cause) in put_out {
            if session != SessionId::ROBOT {
                self.stays.end(session, cause, self.now);
                self.let_go(session, Some(cause));
            }
        }
        self.journal(Vec::new(), left, by.name().to_owned());
        let is_presence = |event: &Event| matches!(event, Event::Entered { .. } | Event::Left { .. });
        let events = outcome.events.into_iter().chain(late.events.iter().cloned());
        self.tell(events.filter(|event| !is_presence(event)));
        if !robots.is_empty() {
            self.effects.push_back(Effect::Confirm(robots));
        }
        let mut writes: Vec<Write> = late.changes.iter().flat_map(Delta::keeps).map(Write::Keep).collect();
        writes.extend(behind.into_iter().map(|user| Write::Keep(Keep::DeleteMember(user))));
        if writes.is_empty() {
            if has_gift || !late.events.is_empty() {
                let writes = has_gift.then_some(counters).into_iter().collect();
                self.journal(writes, late.events, by.name().to_owned());
            }
            self.answer(ticket, Ok(answer));
        } else {
            // What was acknowledged is on disk, also where it went beyond the plan.
            writes.extend(has_gift.then_some(counters));
            let id = self.plans.number();
            self.late.push(Keeping { id, ticket, answer, since });
            self.keep(id, writes, late.events, by.name());
        }
    }

    /// The room is over, on disk too: nobody is in any more, nothing flows, and who waits is told.
    fn end(&mut self, cause: LeaveCause, ticket: Option<T>) {
        let Some(room) = self.room.take() else { return };
        let users = room.members().after(0).map(|(_, user)| user);
        let sessions: Vec<SessionId> = users
            .flat_map(|user| room.members().sessions(user.as_str()))
            .copied()
            .filter(|session| *session != SessionId::ROBOT)
            .collect();
        self.stays.end_all(cause, self.now);
        self.put_notes();
        let peers = self.streams.end_all();
        self.close(peers);
        for session in sessions {
            self.effects.push_back(Effect::Unlisten { session, cause: Some(cause) });
        }
        self.turns.clear();
        (self.batch, self.likes) = (PresenceBatch::default(), Likes::default());
        // Whoever hears of the end by an answer finds nothing of the room any more.
        self.effects.push_back(Effect::Over);
        let (counters, senders) = (room.counters(), room.sender_count());
        self.answer(ticket, Ok(Answer::Statistic { counters, senders }));
        for id in self.plans.drain() {
            if let Some(wanted) = self.wanted.remove(&id) {
                self.answer(wanted.ticket, Err(Refusal::Gone));
            }
        }
        // What was told before the end is on disk before it.
        let late = std::mem::take(&mut self.late);
        for keeping in std::mem::take(&mut self.keeping).into_iter().chain(late) {
            self.answer(keeping.ticket, Ok(keeping.answer));
        }
        self.reviews.drain().into_iter().for_each(|ticket| self.answer(ticket, Err(Refusal::Gone)));
        let waiting = self.ending.take().map(|ending| ending.waiting);
        waiting.into_iter().flatten().for_each(|(_, input)| self.refuse(input));
    }

    // Telling

    /// Tells of events: joins, leaves and likes with the next batch, everything else at once.
    fn tell(&mut self, events: impl IntoIterator<Item = Event>) {
        let Some(room) = &self.room else { return };
        for event in events {
            match &event {
                Event::Entered { .. } | Event::Left { .. } => self.batch.push(&event),
                Event::Liked { from, count, total } => self.likes.add(from, *count, *total),
                _ => {
                    let users = event.audience(room);
                    let to = users.map_or(Audience::All, |users| {
                        let sessions = users.iter().flat_map(|user| room.members().sessions(user.as_str()));
                        Audience::Sessions(sessions.copied().collect())
                    });
                    self.effects.push_back(Effect::Tell { to, what: Told::Event(event) });
                }
            }
        }
    }

    /// Holds what is published against the rules, which may have changed.
    fn settle(&mut self) {
        let Some(room) = &self.room else { return };
        let settled = self.streams.settle(room, self.now);
        for (peer, session, rights) in settled.rights {
            self.effects.push_back(Effect::Rights { peer, rights });
            let to = Audience::Sessions(vec![session]);
            self.effects.push_back(Effect::Tell { to, what: Told::Rights(rights) });
        }
        let told = self.callbacks.settle(room, &settled.changed, self.now);
        let told: Vec<Event> = told.into_iter().map(Event::Rtc).collect();
        for member in settled.changed {
            self.effects.push_back(Effect::Tell { to: Audience::All, what: Told::Streams(member) });
        }
        self.close(settled.closed);
        self.settle_at = settled.again_at;
        if let Some(flows) = settled.flows {
            self.stays.note_flows(flows, self.now);
        }
        self.journal(Vec::new(), told, String::new());
    }

    fn flush_at(&self) -> Option<Time> {
        if self.batch.is_empty() && self.likes.by.is_empty() {
            return None;
        }
        let crowd = Duration::from_secs_f64(self.turns.len() as f64 / BATCH_FRAMES_PER_SECOND as f64);
        let interval = crowd.clamp(BATCH_INTERVAL, SLOWEST_BATCH_INTERVAL);
        Some(self.flushed_at.map_or(self.now, |last| last + interval))
    }

    /// Lets time act.
    fn pass(&mut self) {
        let now = self.now;
        let Some(room) = &mut self.room else { return };
        let mut expired = Vec::new();
        while let Some(event) = room.expire_seat_request(now) {
            expired.push(event);
        }
        let member_count = room.members().len();
        self.tell(expired);
        if self.flush_at().is_some_and(|at| at <= now) {
            self.flushed_at = Some(now);
            if let Some(changed) = self.batch.take(member_count) {
                let what = Told::Members(changed);
                self.effects.push_back(Effect::Tell { to: Audience::All, what });
            }
            let Likes { total, by } = std::mem::take(&mut self.likes);
            if !by.is_empty() {
                self.effects.push_back(Effect::Tell { to: Audience::All, what: Told::Likes { total, by } });
            }
        }
        let overdue = |since: Time, after| since + after <= now;
        let unknown = self.made.values_mut().filter(|made| overdue(made.since, ANSWERED_AFTER));
        let unknown: Vec<T> = unknown.filter_map(|made| made.ticket.take()).collect();
        let late = self.keeping.iter_mut().take_while(|keeping| overdue(keeping.since, NOT_KEPT_AFTER));
        let mut late: Vec<T> = late.filter_map(|keeping| keeping.ticket.take()).collect();
        let beyond = self.late.iter_mut().filter(|keeping| overdue(keeping.since, ANSWERED_AFTER));
        late.extend(beyond.filter_map(|keeping| keeping.ticket.take()));
        unknown.into_iter().for_each(|ticket| self.answer(ticket, Err(Refusal::Unknown)));
        late.into_iter().for_each(|ticket| self.answer(ticket, Err(Refusal::NotYetKept)));
        self.turn_away_overdue();
    }

    /// Whoever has waited long enough is answered, and what it wants is not done later.
    fn turn_away_overdue(&mut self) {
        let now = self.now;
        let is_overdue = |since: Time| since + ANSWERED_AFTER <= now;
        let wanted = self.wanted.iter();
        let overdue = wanted.filter(|(_, wanted)| wanted.ticket.is_some() && is_overdue(wanted.since));
        for id in overdue.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.plans.end(id);
            let ticket = self.wanted.remove(&id).and_then(|wanted| wanted.ticket);
            self.answer(ticket, Err(Refusal::Busy));
        }
        while let Some(Ending { waiting, .. }) = &mut self.ending
            && waiting.front().is_some_and(|(since, _)| is_overdue(*since))
            && let Some((_, input)) = waiting.pop_front()
        {
            self.turn_away(input, Refusal::Busy);
        }
        for ticket in self.reviews.pass(now, self.line_patience()) {
            self.answer(ticket, Err(Refusal::Busy));
        }
    }
}

/// Whether it changes what would have to be written.
fn changes_the_room<T>(input: &Input<T>) -> bool {
    // A planned command waits among the plans, since the end touches everything.
    // So does what the app's server is asked about, in its own line.
    matches!(input, Input::Enter { .. } | Input::Do { command: Command::Said(_), .. })
}

fn put(record: Record) -> Write {
    Write::Keep(Keep::Put(record))
}

fn note_seat(room: &Room, seat: Option<Record>, writes: &mut Vec<Write>, events: &mut Vec<Event>) {
    if let Some(record) = seat {
        writes.push(put(record));
        events.push(Event::SeatsChanged { seats: room.seats().to_vec() });
    }
}
