//! What goes on between the rooms of an app, as a machine: battles, and connections for co-hosting. It decides who may join whom
//! and when, what goes to the disk, what a late answer of the disk means, and what the end of a room means to the others.
//!
//! What is wanted is planned as in a hall: it waits for what is on its way and touches the same rooms or the same battle, goes
//! to the disk, and is applied, told and answered when it is there. Requests to connect live in memory, and wait for
//! an answer to them that is on its way.
//!
//! What follows from something that is certain, the end of a room or of a battle's time, is no question to the disk: it is done
//! at once and journalled, and after a crash it follows again. A room says that it is over in the commit of its end
//! (an intent, which is delivered until [`Effect::Consumed`]). It may be over before something that names it was planned: so
//! whoever is named is looked at once more when that is applied ([`Effect::Confirm`]), and when an app is opened ([`Standing::named`]).
//! Either its end comes later and finds the name, or it has come by then and is found.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use rooms::{Battle, Connection, ConnectionStep, Incarnation, RoomId, Time};

use crate::command::{Refusal, Refused};
use crate::exchange::Durably;
use crate::plans::{PlanId, Plans, Touches};
pub use crate::standing::{Answer, Asks, Command, Host, NewBattle, Standing, Told, Wish, Write};
use crate::standing::{Outcome, Want, told_of_request};

/// How many battles are kept, so that those that are over can be looked at.
const BATTLES_KEPT: usize = 1000;

/// After so long what is wanted is answered: on its way to the disk, that nobody knows; before, that too much waits.
const ANSWERED_AFTER: Duration = Duration::from_secs(10);

/// How long the disk is left alone that could not say whether it has what was journalled.
const RETRY: Duration = Duration::from_secs(1);

/// Something that happens. `T` is whoever is to be answered.
#[derive(Debug)]
pub enum Input<T> {
    /// Something is wanted.
    Do {
        /// By whom, as others are told.
        operator: String,
        /// What.
        command: Command,
        /// Whom to answer.
        ticket: T,
    },
    /// A room is over. To hear it again is nothing new.
    Over(Incarnation),
    /// A room has another owner.
    ChangedHands(Incarnation),
    /// The disk has answered to [`Effect::Store`].
    Stored {
        /// Which.
        id: PlanId,
        /// Whether it took it; nothing was written when it did not.
        result: Result<(), Refused>,
    },
    /// Time has passed: [`Between::deadline`].
    Time,
}

/// Something to be performed.
#[derive(Debug)]
pub enum Effect<T> {
    /// To be written.
    Store {
        /// How.
        how: Durably,
        /// What.
        writes: Vec<Write>,
        /// By whom; `None`: nobody wanted it, it had to be.
        operator: Option<String>,
    },
    /// To be told in rooms.
    Tell {
        /// Which.
        rooms: Vec<Incarnation>,
        /// What.
        what: Told,
    },
    /// Who asked is answered.
    Answer {
        /// Who.
        ticket: T,
        /// What.
        result: Result<Answer, Refusal>,
    },
    /// These have part in something now, though one may be over: then [`Input::Over`].
    Confirm(Vec<Incarnation>),
    /// What the end of a room means is on disk: nobody has to say again that it is over.
    Consumed(Incarnation),
}

/// What waits until it may be planned.
struct Wanted<T> {
    want: Want,
    /// By whom, and whom to answer.
    asker: Option<(String, T)>,
    since: Time,
}

/// A plan on its way to the disk.
struct Made<T> {
    outcome: Outcome,
    answer: Answer,
    ticket: Option<T>,
    since: Time,
    result: Option<Result<(), Refused>>,
}

/// What goes on between the rooms of an app.
pub struct Between<T> {
    standing: Standing,
    plans: Plans,
    wanted: HashMap<PlanId, Wanted<T>, foldhash::fast::RandomState>,
    made: HashMap<PlanId, Made<T>, foldhash::fast::RandomState>,
    /// Rooms that are over, and what that means is on its way to the disk.
    ending: HashMap<PlanId, Vec<Incarnation>, foldhash::fast::RandomState>,
    /// Such of which the disk could not say whether it has that, and when it is asked again.
    unsure: Vec<Incarnation>,
    ask_again_at: Option<Time>,
    /// Battles whose time is over, which waits for what is on its way.
    due: HashSet<String, foldhash::fast::RandomState>,
    /// The latest time there was.
    now: Time,
    effects: VecDeque<Effect<T>>,
}

impl<T> Default for Between<T> {
    fn default() -> Self {
        Self {
            standing: Standing::default(),
            plans: Plans::default(),
            wanted: HashMap::default(),
            made: HashMap::default(),
            ending: HashMap::default(),
            unsure: Vec::new(),
            ask_again_at: None,
            due: HashSet::default(),
            now: Time::from_unix_millis(0),
            effects: VecDeque::new(),
        }
    }
}

impl<T> Between<T> {
    // Opening

    /// Puts a battle back that was kept before a restart.
    pub fn restore_battle(&mut self, battle: Battle) {
        self.standing.battles.insert(battle.id.clone(), Arc::new(battle));
    }

    /// Puts a connection back that was kept before a restart.
    pub fn restore_connection(&mut self, connection: Connection) {
        self.standing.connections.put(connection);
    }

    /// Gives rooms their numbers that were written before they had any: `number_of` says those of the rooms there are.
    pub fn finish_restore(&mut self, number_of: impl Fn(&RoomId) -> Option<i64>) {
        let number = |room: &mut Incarnation| {
            let number = number_of(&room.room).filter(|_| room.number == 0);
            room.number = number.unwrap_or(room.number);
            number.is_some()
        };
        let mut writes = Vec::new();
        for battle in self.standing.battles.values_mut() {
            let mut numbered = (**battle).clone();
            let is_new = numbered.sides.iter_mut().fold(false, |any, side| number(&mut side.room) | any);
            if is_new {
                *battle = Arc::new(numbered);
                writes.push(Write::Battle(battle.clone(), Vec::new()));
            }
        }
        for mut connection in self.standing.connections.all().cloned().collect::<Vec<_>>() {
            if connection.rooms.iter_mut().fold(false, |any, room| number(room) | any) {
                writes.push(Write::Connection(connection.clone()));
                self.standing.connections.put(connection);
            }
        }
        self.journal(writes);
    }

    // Driving

    /// What stands, to look at.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// What is to be performed next.
    pub fn poll(&mut self) -> Option<Effect<T>> {
        self.effects.pop_front()
    }

    /// When [`Input::Time`] is due.
    pub fn deadline(&self) -> Option<Time> {
        let battles = self.standing.battles.values().filter(|battle| !self.due.contains(&battle.id));
        let made = self.made.values().filter(|made| made.ticket.is_some() && made.result.is_none());
        let wanted = self.wanted.values().filter(|wanted| wanted.asker.is_some());
        let since = made.map(|made| made.since).chain(wanted.map(|wanted| wanted.since)).min();
        [
            battles.filter_map(|battle| battle.deadline()).min(),
            self.standing.connections.next_deadline(),
            since.map(|since| since + ANSWERED_AFTER),
            self.ask_again_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Something happens, at `now`. What follows from it is [polled](Self::poll) for.
    pub fn handle(&mut self, input: Input<T>, now: Time) {
        self.now = self.now.max(now);
        match input {
            Input::Do { operator, command, ticket } => {
                let want = Want::Command(command);
                match self.plans.want(self.standing.touches(&want)) {
                    Ok(id) => self.line_up(id, want, Some((operator, ticket))),
                    Err(_) => self.answer(ticket, Err(Refusal::Busy)),
                }
            }
            Input::Over(room) => self.insist(Want::Over(room)),
            Input::ChangedHands(room) => {
                let connected = self.standing.connected(&room);
                self.tell_connected(connected);
            }
            Input::Stored { id, result } => self.stored(id, result),
            Input::Time => self.pass(),
        }
        self.plan_what_may();
    }

    fn line_up(&mut self, id: PlanId, want: Want, asker: Option<(String, T)>) {
        self.wanted.insert(id, Wanted { want, asker, since: self.now });
    }

    fn insist(&mut self, want: Want) {
        let id = self.plans.insist(self.standing.touches(&want));
        self.line_up(id, want, None);
    }

    fn answer(&mut self, ticket: T, result: Result<Answer, Refusal>) {
        self.effects.push_back(Effect::Answer { ticket, result });
    }

    fn journal(&mut self, writes: Vec<Write>) {
        if !writes.is_empty() {
            self.effects.push_back(Effect::Store { how: Durably::Journal, writes, operator: None });
        }
    }

    // Planning

    fn plan_what_may(&mut self) {
        loop {
            let (wanted, standing) = (&self.wanted, &self.standing);
            let touches =
                |id| wanted.get(&id).map_or_else(Touches::none, |wanted| standing.touches(&wanted.want));
            let Some(id) = self.plans.begin(touches) else { return };
            let Some(Wanted { want, asker, .. }) = self.wanted.remove(&id) else {
                debug_assert!(false, "{id:?} waits and nobody wants it");
                self.plans.end(id);
                continue;
            };
            match want {
                Want::Command(command) => self.make(id, &command, asker),
                Want::Over(room) => {
                    self.leave_all(&room);
                    self.plans.end(id);
                }
                Want::Due(battle) => {
                    self.due.remove(&battle);
                    self.tick(&battle);
                    self.plans.end(id);
                }
            }
        }
    }

    /// A command is planned, and goes to the disk if that has to know.
    fn make(&mut self, id: PlanId, command: &Command, asker: Option<(String, T)>) {
        let (operator, ticket) = asker.unzip();
        let (answer, outcome) = match self.standing.plan(command, self.now) {
            Ok(planned) => planned,
            Err(error) => {
                self.plans.end(id);
                if let Some(ticket) = ticket {
                    self.answer(ticket, Err(error.into()));
                }
                return;
            }
        };
        let writes = outcome.writes();
        if !writes.is_empty() {
            self.effects.push_back(Effect::Store { how: Durably::Commit(id), writes, operator });
            self.made.insert(id, Made { outcome, answer, ticket, since: self.now, result: None });
            return;
        }
        self.apply(outcome);
        self.plans.end(id);
        if let Some(ticket) = ticket {
            self.answer(ticket, Ok(answer));
        }
    }

    // What follows

    fn stored(&mut self, id: PlanId, result: Result<(), Refused>) {
        if let Some(rooms) = self.ending.remove(&id) {
            if result.is_ok() {
                self.effects.extend(rooms.into_iter().map(Effect::Consumed));
            } else {
                self.unsure.extend(rooms);
                self.ask_again_at.get_or_insert(self.now + RETRY);
            }
            return;
        }
        match self.made.get_mut(&id) {
            Some(made) => made.result = Some(result),
            None => debug_assert!(false, "{id:?} was not on its way"),
        }
        // In the order in which they were planned, which is the disk's.
        while let Some(id) = self.plans.first()
            && self.made.get(&id).is_some_and(|made| made.result.is_some())
            && let Some(Made { outcome, answer, ticket, result, .. }) = self.made.remove(&id)
        {
            let result = result.unwrap_or(Ok(()));
            match &result {
                Ok(()) => self.apply(outcome),
                Err(_) => self.give_up(outcome),
            }
            self.plans.end(id);
            if let Some(ticket) = ticket {
                self.answer(ticket, result.map(|()| answer).map_err(Refusal::Store));
            }
        }
    }

    fn give_up(&mut self, outcome: Outcome) {
        if let Some((from, to)) = outcome.accepts {
            self.standing.connections.answered(&from, &to, false, self.now);
        }
    }

    fn apply(&mut self, outcome: Outcome) {
        let Outcome { battles, connection, accepts, requests, names } = outcome;
        let mut forgotten = Vec::new();
        for (battle, steps) in battles {
            forgotten.extend(self.put_battle(battle.clone()).map(Write::Forget));
            let rooms: Vec<Incarnation> = battle.sides.iter().map(|side| side.room.clone()).collect();
            for step in steps {
                let what = Told::Battle(battle.clone(), step);
                self.effects.push_back(Effect::Tell { rooms: rooms.clone(), what });
            }
        }
        self.journal(forgotten);
        if let Some((from, to)) = accepts {
            self.standing.connections.answered(&from, &to, true, self.now);
        }
        if let Some(connection) = connection {
            let before =
                self.standing.connections.get(connection.id).into_iter().flat_map(|before| &before.rooms);
            let concerned: BTreeSet<Incarnation> = before.chain(&connection.rooms).cloned().collect();
            self.standing.connections.put(connection);
            self.tell_connected(concerned);
        }
        for (room, what) in requests {
            self.effects.push_back(Effect::Tell { rooms: vec![room], what });
        }
        if !names.is_empty() {
            self.effects.push_back(Effect::Confirm(names));
        }
    }

    /// Tells rooms with whom each is connected.
    fn tell_connected(&mut self, rooms: impl IntoIterator<Item = Incarnation>) {
        for room in rooms {
            let what = Told::Connected(self.standing.connected(&room));
            self.effects.push_back(Effect::Tell { rooms: vec![room], what });
        }
    }

    /// Takes over a battle that is durable by now; returns an old one that makes room for it.
    fn put_battle(&mut self, battle: Arc<Battle>) -> Option<String> {
        self.standing.battles.insert(battle.id.clone(), battle);
        if self.standing.battles.len() <= BATTLES_KEPT {
            return None;
        }
        let ended = self.standing.battles.values().filter_map(|battle| Some((battle.ended_at?, &battle.id)));
        let oldest = ended.min()?.1.clone();
        self.standing.battles.remove(&oldest);
        Some(oldest)
    }

    /// A room that is no more has part in nothing.
    fn leave_all(&mut self, room: &Incarnation) {
        let outcome = self.standing.without(room, self.now);
        let writes = outcome.writes();
        let is_unsure = self.unsure.contains(room) || self.ending.values().flatten().any(|one| one == room);
        if !writes.is_empty() {
            self.keep(vec![room.clone()], writes);
        } else if !is_unsure {
            self.effects.push_back(Effect::Consumed(room.clone()));
        }
        self.apply(outcome);
    }

    /// Journals what the end of these rooms means, and lets the disk say when it has it.
    fn keep(&mut self, rooms: Vec<Incarnation>, writes: Vec<Write>) {
        let id = self.plans.number();
        self.ending.insert(id, rooms);
        self.effects.push_back(Effect::Store { how: Durably::Kept(id), writes, operator: None });
    }

    /// What time has brought to a battle.
    fn tick(&mut self, id: &str) {
        let Some(battle) = self.standing.battles.get(id) else { return };
        let mut battle = (**battle).clone();
        let steps = battle.tick(self.now);
        if !steps.is_empty() {
            let outcome = Outcome::of_battle(battle, steps);
            self.journal(outcome.writes());
            self.apply(outcome);
        }
    }

    /// Lets time act.
    fn pass(&mut self) {
        let now = self.now;
        while let Some((from, to)) = self.standing.connections.expire(now) {
            let what = told_of_request(ConnectionStep::Expired, &from, &to, "");
            for room in [from, to] {
                self.effects.push_back(Effect::Tell { rooms: vec![room], what: what.clone() });
            }
        }
        let is_due = |battle: &Battle| battle.deadline().is_some_and(|deadline| deadline <= now);
        let due =
            self.standing.battles.values().filter(|battle| is_due(battle) && !self.due.contains(&battle.id));
        for id in due.map(|battle| battle.id.clone()).collect::<Vec<_>>() {
            self.due.insert(id.clone());
            self.insist(Want::Due(id));
        }
        if self.ask_again_at.take_if(|at| *at <= now).is_some() {
            let rooms = std::mem::take(&mut self.unsure);
            self.keep(rooms, Vec::new());
        }
        let is_overdue = |since: Time| since + ANSWERED_AFTER <= now;
        let unknown = self.made.values_mut().filter(|made| made.result.is_none() && is_overdue(made.since));
        let unknown: Vec<T> = unknown.filter_map(|made| made.ticket.take()).collect();
        unknown.into_iter().for_each(|ticket| self.answer(ticket, Err(Refusal::Unknown)));
        let late = self.wanted.iter().filter(|(_, one)| one.asker.is_some() && is_overdue(one.since));
        for id in late.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.plans.end(id);
            if let Some(Wanted { asker: Some((_, ticket)), .. }) = self.wanted.remove(&id) {
                self.answer(ticket, Err(Refusal::Busy));
            }
        }
    }
}
