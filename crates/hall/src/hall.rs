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

mod asked;
mod commands;
mod own;
mod planned;
mod presence;
mod telling;

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;
use rooms::{
    Event, Incarnation, Keep, Outcome, PresenceBatch, Record, Room, RoomId, RoomType, SessionId, Time, UserId,
};

use crate::callbacks::Callbacks;
use crate::command::{Answer, By, Command, Planned, Refusal, Refused, Upshot};
use crate::exchange::{Durably, Effect, Input, Reply, Write};
use crate::notes::{Happening, Returned, Stays};
use crate::plans::{PlanId, Plans, Touches};
use crate::reviews::Reviews;
use crate::standing::Wish;
use crate::streams::{PeerId, Streams};

/// How many who sent likes are named in a batch.
const NAMED_LIKERS: usize = 20;

/// After so long a planned command is answered: one on its way to the disk, that nobody knows; one that waits, that too much does.
const ANSWERED_AFTER: Duration = Duration::from_secs(10);

/// After so long without a word from the disk what was told is answered as not yet kept.
const NOT_KEPT_AFTER: Duration = Duration::from_secs(5);

/// How many inputs wait while the room's end is on its way to the disk.
const MOST_WAITING: usize = 1024;

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

    /// The room is connected with these others, each with its owner, as it was before a restart.
    pub fn restore_connected(&mut self, others: Vec<(Incarnation, UserId)>) {
        self.callbacks.restore_connected(others);
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
        self.is_settled &=
            !matches!(input, Input::Enter { .. } | Input::Leave { .. } | Input::Connected(_) | Input::Time);
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
            Input::Connected(others) => {
                let told = self.callbacks.connect(others).into_iter().map(Event::Rtc).collect();
                self.journal(Vec::new(), told, String::new());
            }
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
