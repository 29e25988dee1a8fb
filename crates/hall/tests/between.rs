//! What goes on between rooms, in a world of chance: rooms connect, compete and end beside each other's requests and answers; owners
//! change; words cross; the disk is late, refuses, cannot say, and is killed and started again at any step; its answers come in any
//! order; what is to be told is told late and in pieces.
//!
//! Held at every step, or when all is quiet: every ticket is answered once; what was acknowledged was on disk; nobody acts by a right
//! that is being taken away; of accept, reject and cancel one succeeds; a room has part in one battle and one connection; what
//! a dead room still has part in on disk is known to be left by a word that is on disk too; in the end no dead room has part in
//! anything; disk = memory; what was told is what stands.
//!
//! A failing history is reproduced with `BETWEEN_SEED=<the printed seed>`. `BETWEEN_SEEDS=<n>` runs more of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod seeds;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hall::between::{Answer, Asks, Between, Command, Effect, Host, Input, NewBattle, Told, Wish, Write};
use hall::{Bounds, By, Durably, Hall, PlanId, Planned, Question, Refusal, Refused, Reply};
use rand::{RngExt as _, SeedableRng as _};
use rooms::{
    Battle, BattleStep, Connection, ConnectionStep, Error, Fields, Incarnation, Keep, Role, Room, RoomId,
    RoomInfo, RoomType, SessionId, Time, UserId,
};

const ROOMS: usize = 5;
const USERS: usize = 5;
const STEPS: usize = 2_000;
const SEEDS: u64 = 200;

fn user(number: usize) -> UserId {
    UserId::parse(&format!("user-{number}")).unwrap()
}

fn name(room: usize) -> RoomId {
    RoomId::parse(&format!("room-{room}")).unwrap()
}

/// Everybody is everywhere by one session.
fn session(user: usize) -> SessionId {
    SessionId(1 + user as u64)
}

/// What the disk has.
#[derive(Default)]
struct Disk {
    rooms: BTreeMap<i64, RoomInfo>,
    battles: BTreeMap<String, Battle>,
    connections: BTreeMap<u64, Connection>,
    intents: BTreeMap<i64, RoomId>,
    /// What was on it once.
    former_battles: HashSet<String>,
    former_connections: HashSet<Vec<Incarnation>>,
}

impl Disk {
    /// Every room that has part in something that is not over.
    fn named(&self) -> BTreeSet<&Incarnation> {
        let sides = self
            .battles
            .values()
            .flat_map(|battle| battle.sides.iter().map(|side| &side.room).filter(|room| battle.holds(room)));
        sides.chain(self.connections.values().flat_map(|connection| &connection.rooms)).collect()
    }

    fn write(&mut self, write: &Write) {
        match write {
            Write::Battle(battle, _) => {
                self.former_battles.insert(battle.id.clone());
                self.battles.insert(battle.id.clone(), (**battle).clone());
            }
            Write::Forget(id) => drop(self.battles.remove(id)),
            Write::Connection(connection) => {
                self.former_connections.insert(connection.rooms.clone());
                if let Some(former) = self.connections.get(&connection.id) {
                    let is_in = |room: &Incarnation| connection.rooms.contains(room);
                    let grows = connection.rooms.iter().any(|room| !former.rooms.contains(room));
                    assert!(!grows || former.rooms.iter().all(is_in), "{former:?} is lost in {connection:?}");
                }
                if connection.rooms.len() < 2 {
                    self.connections.remove(&connection.id);
                } else {
                    self.connections.insert(connection.id, connection.clone());
                }
            }
        }
    }
}

/// Something on its way to the disk.
enum Job {
    Room {
        number: i64,
        how: Durably,
        info: Option<Box<RoomInfo>>,
        ends: bool,
    },
    Between {
        how: Durably,
        writes: Vec<Write>,
    },
    /// It asks whether all before it is there.
    Probe(PlanId),
    Said(i64),
}

impl Job {
    fn scope(&self) -> i64 {
        match self {
            Job::Room { number, .. } => *number,
            Job::Between { .. } | Job::Probe(_) => 0,
            Job::Said(number) => -number,
        }
    }
}

/// What the disk has answered.
enum Word {
    Room(i64, PlanId, Result<(), Refused>),
    Between(PlanId, Result<(), Refused>),
}

/// Who is to be answered.
#[derive(Debug)]
enum Waiter {
    App(u64),
    Room(i64, PlanId),
}

/// What those in a room know of what goes on beyond it.
#[derive(Default)]
struct Known {
    connected: Vec<Incarnation>,
    battles: BTreeMap<String, Battle>,
    /// Who has asked it, unless its owner does not know what has become of an answer.
    asked: BTreeSet<RoomId>,
    is_unsure: bool,
}

/// One open room.
struct Place {
    hall: Hall<u64>,
    number: i64,
    outgoing: VecDeque<hall::Effect<u64>>,
    /// What it has asked and was not answered.
    asking: HashSet<PlanId>,
    known: Known,
}

impl Place {
    fn incarnation(&self, at: usize) -> Incarnation {
        Incarnation { room: name(at), number: self.number }
    }
}

struct World {
    rng: rand_chacha::ChaCha8Rng,
    now: Time,
    places: Vec<Option<Place>>,
    between: Between<Waiter>,
    outgoing: VecDeque<Effect<Waiter>>,
    /// Wishes whose rooms were looked up, on their way.
    crossing: Vec<Input<Waiter>>,
    /// What each has asked, until it is answered.
    wishes: HashMap<u64, Command>,
    asks: HashMap<(i64, PlanId), Command>,
    disk: Disk,
    jobs: VecDeque<Job>,
    words: Vec<Word>,
    /// Who waits, in rooms and of the app.
    asked: HashSet<u64>,
    /// Requests that were made, until somebody ends them.
    requests: HashSet<(Incarnation, Incarnation)>,
    /// Rooms that need not say any more that they are over.
    consumed: BTreeSet<i64>,
    /// The disk says nothing.
    hangs: bool,
    last: u64,
    last_room: i64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            rng: rand_chacha::ChaCha8Rng::seed_from_u64(seed),
            now: Time::from_unix_seconds(1_700_000_000),
            places: (0..ROOMS).map(|_| None).collect(),
            between: Between::default(),
            outgoing: VecDeque::new(),
            crossing: Vec::new(),
            wishes: HashMap::new(),
            asks: HashMap::new(),
            disk: Disk::default(),
            jobs: VecDeque::new(),
            words: Vec::new(),
            asked: HashSet::new(),
            requests: HashSet::new(),
            consumed: BTreeSet::new(),
            hangs: false,
            last: 0,
            last_room: 0,
        };
        (0..ROOMS).for_each(|at| world.create(at));
        world
    }

    fn ticket(&mut self) -> u64 {
        self.last += 1;
        self.asked.insert(self.last);
        self.last
    }

    // Rooms

    fn create(&mut self, at: usize) {
        self.last_room += 1;
        let (number, fields) = (self.last_room, Fields::default());
        let incarnation = number.unsigned_abs();
        let info =
            RoomInfo::create(name(at), RoomType::Live, user(at), &fields, self.now, incarnation).unwrap();
        self.disk.rooms.insert(number, info);
        self.open(at, number);
    }

    fn open(&mut self, at: usize, number: i64) {
        let bounds = Bounds { most_sessions: 0, review: Duration::ZERO };
        let hall = Hall::new(Room::new(self.disk.rooms[&number].clone(), self.now), bounds);
        let (outgoing, asking) = (VecDeque::new(), HashSet::new());
        let mut place = Place { hall, number, outgoing, asking, known: Known::default() };
        // Whoever comes reads what stands.
        let own = place.incarnation(at);
        place.known.connected = self.between.standing().connected(&own);
        self.places[at] = Some(place);
    }

    fn place_of(&mut self, number: i64) -> Option<(usize, &mut Place)> {
        let mut places = self.places.iter_mut().enumerate();
        places.find_map(|(at, place)| Some((at, place.as_mut().filter(|place| place.number == number)?)))
    }

    fn is_living(&self, room: &Incarnation) -> bool {
        let mut places = self.places.iter().flatten();
        places.any(|place| place.number == room.number && place.hall.room().is_some())
    }

    fn host(&self, at: &RoomId) -> Result<Host, Error> {
        let at = (0..ROOMS).find(|number| name(*number) == *at);
        let found = at.and_then(|at| Some((at, self.places[at].as_ref()?)));
        let host = found.and_then(|(at, place)| {
            Some(Host { room: place.incarnation(at), owner: place.hall.room()?.info().owner.clone() })
        });
        host.ok_or_else(|| Error::RoomNotFound(String::new()))
    }

    fn drive_room(&mut self, at: usize, input: hall::Input<u64>) {
        let Some(place) = &mut self.places[at] else { return };
        place.hall.handle(input, self.now);
        while let Some(effect) = place.hall.poll() {
            let hall::Effect::Store { how, writes, .. } = effect else {
                if let hall::Effect::Ask { id, operator, question: Question::Beyond { owner, .. } } = &effect
                {
                    assert_eq!(operator, owner.as_str(), "who asks owns the room");
                    place.asking.insert(*id);
                }
                place.outgoing.push_back(effect);
                continue;
            };
            let ends = writes.iter().any(|write| matches!(write, hall::Write::End(_)));
            let info = writes.into_iter().find_map(|write| match write {
                hall::Write::Keep(Keep::Info(info)) => Some(info),
                _ => None,
            });
            if ends || info.is_some() {
                assert!(place.asking.is_empty(), "the right is taken away while it is acted upon");
            }
            self.jobs.push_back(Job::Room { number: place.number, how, info, ends });
        }
    }

    /// What is to be told of a room is told, a piece of it.
    fn tell_room(&mut self, at: usize, pieces: usize) {
        for _ in 0..pieces {
            let Some(place) = &mut self.places[at] else { return };
            let Some(effect) = place.outgoing.pop_front() else { return };
            let number = place.number;
            match effect {
                hall::Effect::Answer { ticket, .. } | hall::Effect::Entered { ticket, .. } => {
                    assert!(self.asked.remove(&ticket), "{ticket} is answered twice");
                }
                hall::Effect::Ask { id, operator, question: Question::Beyond { owner, wish } } => {
                    let room = Incarnation { room: name(at), number };
                    match wish.look_up(|_, room: RoomId| self.host(&room)) {
                        Ok(wish) => {
                            let command = Command::Of(Host { room, owner }, wish);
                            self.asks.insert((number, id), command.clone());
                            let ticket = Waiter::Room(number, id);
                            self.crossing.push(Input::Do { operator, command, ticket });
                        }
                        Err(error) => self.answer_room(number, id, Err(error.into())),
                    }
                }
                hall::Effect::Over => {
                    self.drive(Input::Over(Incarnation { room: name(at), number }));
                    // The name is free.
                    let place = self.places[at].take().unwrap();
                    for effect in place.outgoing {
                        if let hall::Effect::Answer { ticket, .. } | hall::Effect::Entered { ticket, .. } =
                            effect
                        {
                            assert!(self.asked.remove(&ticket), "{ticket} is answered twice");
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn answer_room(&mut self, number: i64, id: PlanId, result: Result<Answer, Refusal>) {
        let Some((at, place)) = self.place_of(number) else { panic!("a room that asks is over") };
        assert!(place.asking.remove(&id), "{id:?} was not asked");
        self.drive_room(at, hall::Input::Asked { id, reply: Reply::Beyond(result) });
    }

    // Between

    fn drive(&mut self, input: Input<Waiter>) {
        let (is_time, is_over) = (matches!(input, Input::Time), matches!(input, Input::Over(_)));
        self.between.handle(input, self.now);
        let is_due = self.between.deadline().is_some_and(|at| at <= self.now);
        assert!(!is_time || !is_due, "time is due for ever");
        while let Some(effect) = self.between.poll() {
            match effect {
                Effect::Store { how: Durably::Kept(id), writes, .. } => {
                    self.jobs.push_back(Job::Between { how: Durably::Journal, writes });
                    self.jobs.push_back(Job::Probe(id));
                }
                Effect::Store { how, writes, .. } => self.jobs.push_back(Job::Between { how, writes }),
                Effect::Consumed(room) => {
                    let leaving = self.leaving_since(&room);
                    let probed = |at| self.jobs.iter().skip(at).any(|job| matches!(job, Job::Probe(_)));
                    // Another word of its end may be on its way already, since something has named it meanwhile.
                    let is_left = leaving.is_none_or(|at| !is_over && probed(at));
                    assert!(is_left, "{room:?} is connected on disk");
                    self.jobs.push_back(Job::Said(room.number));
                }
                other => self.outgoing.push_back(other),
            }
        }
        self.check();
    }

    /// Where in the queue it is that a room leaves the connection that it is in on disk.
    fn leaving_since(&self, room: &Incarnation) -> Option<usize> {
        let leaves = |write: &Write| match write {
            Write::Connection(connection) => {
                let kept = self.disk.connections.get(&connection.id);
                kept.is_some_and(|kept| kept.rooms.contains(room)) && !connection.rooms.contains(room)
            }
            _ => false,
        };
        self.jobs
            .iter()
            .position(|job| matches!(job, Job::Between { writes, .. } if writes.iter().any(leaves)))
    }

    fn tell(&mut self, pieces: usize) {
        for _ in 0..pieces {
            let Some(effect) = self.outgoing.pop_front() else { return };
            match effect {
                Effect::Answer { ticket: Waiter::App(ticket), result } => {
                    let command = self.wishes.remove(&ticket).unwrap();
                    self.note(&command, &result);
                    assert!(self.asked.remove(&ticket), "{ticket} is answered twice");
                }
                Effect::Answer { ticket: Waiter::Room(number, id), result } => {
                    let command = self.asks.remove(&(number, id)).unwrap();
                    self.note(&command, &result);
                    self.answer_room(number, id, result);
                }
                Effect::Confirm(rooms) => {
                    for room in rooms {
                        if !self.is_living(&room) {
                            self.drive(Input::Over(room));
                        }
                    }
                }
                Effect::Tell { rooms, what } => {
                    for room in rooms {
                        if let Some((_, place)) = self.place_of(room.number) {
                            hear(&mut place.known, &what);
                        }
                    }
                }
                Effect::Store { .. } | Effect::Consumed(_) => panic!("this does not wait"),
            }
        }
    }

    /// What an answer says is so.
    fn note(&mut self, command: &Command, result: &Result<Answer, Refusal>) {
        if let (Err(Refusal::Unknown), Command::Of(Host { room, .. }, Wish::Accept { .. })) =
            (result, command)
            && let Some((_, place)) = self.place_of(room.number)
        {
            place.known.is_unsure = true;
        }
        let Ok(answer) = result else { return };
        match answer {
            Answer::Connected(rooms) => {
                assert!(self.disk.former_connections.contains(rooms), "acknowledged, and was not on disk");
            }
            Answer::Called { .. } => {
                let Command::Of(_, Wish::Battle(new)) = command else { panic!("{command:?}") };
                assert!(self.disk.former_battles.contains(&new.id), "acknowledged, and was not on disk");
            }
            Answer::Done | Answer::Scored { .. } => {}
        }
        let Command::Of(Host { room, .. }, wish) = command else { return };
        let ended = match wish {
            Wish::Request { to, .. } => {
                self.requests.insert((room.clone(), to.room.clone()));
                return;
            }
            Wish::Accept { from, .. } | Wish::Reject { from } => (from.room.clone(), room.clone()),
            Wish::Cancel { to } => (room.clone(), to.room.clone()),
            _ => return,
        };
        assert!(self.requests.remove(&ended), "{ended:?} ended twice");
        // Those in charge of a room know what they have answered.
        if let Some((_, place)) = self.place_of(ended.1.number) {
            place.known.asked.remove(&ended.0.room);
        }
    }

    // The disk

    /// The disk takes what comes next, or refuses it.
    fn store(&mut self) {
        // What is of different scopes goes in any order.
        let mut scopes = HashSet::new();
        let first: Vec<usize> =
            (0..self.jobs.len()).filter(|at| scopes.insert(self.jobs[*at].scope())).collect();
        if first.is_empty() || self.hangs {
            return;
        }
        let at = first[self.rng.random_range(0..first.len())];
        let job = &self.jobs[at];
        let commit = match job {
            Job::Room { number, how: Durably::Commit(id) | Durably::Kept(id), .. } => {
                Some((Some(*number), *id))
            }
            Job::Between { how: Durably::Commit(id), .. } | Job::Probe(id) => Some((None, *id)),
            _ => None,
        };
        let may_be_refused =
            !matches!(job, Job::Room { how: Durably::Kept(_), .. } | Job::Said(_)) && commit.is_some();
        let is_refused = self.rng.random_bool(0.15);
        // What is journalled is tried again; who has asked whether it is there hears that nobody knows.
        if is_refused && !may_be_refused {
            let is_of_between = matches!(job, Job::Between { .. });
            let probe = self.jobs.iter().position(|job| matches!(job, Job::Probe(_)));
            if let Some(at) = probe.filter(|_| is_of_between)
                && let Some(Job::Probe(id)) = self.jobs.remove(at)
            {
                let full = Refused { is_behind: false, text: "full".into() };
                self.words.push(Word::Between(id, Err(full)));
            }
            return;
        }
        let job = self.jobs.remove(at).unwrap();
        if !is_refused {
            match job {
                Job::Room { number, info, ends, .. } => {
                    if let Some(info) = info {
                        self.disk.rooms.insert(number, *info);
                    }
                    if ends {
                        let info = self.disk.rooms.remove(&number).unwrap();
                        self.disk.intents.insert(number, info.room_id);
                    }
                }
                Job::Between { writes, .. } => writes.iter().for_each(|write| self.disk.write(write)),
                Job::Probe(_) => {}
                Job::Said(number) => {
                    self.disk.intents.remove(&number);
                    self.consumed.insert(number);
                }
            }
        }
        let full = Refused { is_behind: false, text: "full".into() };
        let result = if is_refused { Err(full) } else { Ok(()) };
        match commit {
            Some((Some(number), id)) => self.words.push(Word::Room(number, id, result)),
            Some((None, id)) => self.words.push(Word::Between(id, result)),
            None => {}
        }
    }

    /// One of the disk's answers comes back, in any order.
    fn report(&mut self) {
        if self.words.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.words.len());
        match self.words.swap_remove(at) {
            Word::Room(number, id, result) => {
                if let Some((at, _)) = self.place_of(number) {
                    self.drive_room(at, hall::Input::Stored { id, result });
                }
            }
            Word::Between(id, result) => self.drive(Input::Stored { id, result }),
        }
    }

    /// What the disk says of a room that is over and has part in something is that it will be left.
    fn check_disk(&self) {
        for room in self.disk.named() {
            let number = &room.number;
            let is_known = self.disk.rooms.contains_key(number)
                || self.disk.intents.contains_key(number)
                || self.consumed.contains(number);
            assert!(is_known, "{room:?} is over, has part in something, and nobody will say so");
        }
    }

    fn kill(&mut self) {
        self.check_disk();
        self.jobs.clear();
        self.words.clear();
        self.asked.clear();
        self.wishes.clear();
        self.asks.clear();
        self.outgoing.clear();
        self.crossing.clear();
        self.requests.clear();
        self.between = Between::default();
        for battle in self.disk.battles.values() {
            self.between.restore_battle(battle.clone());
        }
        for connection in self.disk.connections.values() {
            self.between.restore_connection(connection.clone());
        }
        let rooms: Vec<(i64, RoomId)> =
            self.disk.rooms.iter().map(|(number, info)| (*number, info.room_id.clone())).collect();
        self.places = (0..ROOMS).map(|_| None).collect();
        for at in 0..ROOMS {
            if let Some((number, _)) = rooms.iter().find(|(_, room)| *room == name(at)) {
                self.open(at, *number);
            }
        }
        for (number, room) in self.disk.intents.clone() {
            self.drive(Input::Over(Incarnation { room, number }));
        }
        for room in self.between.standing().named() {
            if !self.is_living(&room) {
                assert!(self.consumed.contains(&room.number), "{room:?} has not said that it is over");
                self.drive(Input::Over(room));
            }
        }
        for at in 0..ROOMS {
            if let Some(place) = &mut self.places[at] {
                place.known.connected = self.between.standing().connected(&place.incarnation(at));
            }
        }
    }

    // What holds

    fn check(&self) {
        let standing = self.between.standing();
        let mut takes_part = HashSet::new();
        for battle in standing.battles().filter(|battle| battle.is_open()) {
            for side in battle.sides.iter().filter(|side| battle.has(&side.room)) {
                assert!(takes_part.insert(&side.room), "{:?} is in two battles", side.room);
            }
        }
        let mut connected = HashSet::new();
        for connection in standing.connections().all() {
            assert!((2..=rooms::MAX_CONNECTED).contains(&connection.rooms.len()));
            for room in &connection.rooms {
                assert!(connected.insert(room), "{room:?} is connected twice");
            }
        }
    }

    /// All that was asked for is done: the disk answers, everything is told.
    fn quiet(&mut self) {
        self.hangs = false;
        for round in 0..4_000 {
            self.store();
            self.report();
            if !self.crossing.is_empty() {
                let input = self.crossing.remove(0);
                self.drive(input);
            }
            self.tell(100);
            (0..ROOMS).for_each(|at| self.tell_room(at, 100));
            self.now = self.now + Duration::from_millis(10);
            self.pass();
            let is_told = self.outgoing.is_empty()
                && self.places.iter().flatten().all(|place| place.outgoing.is_empty());
            let is_said = self.disk.intents.is_empty() && self.jobs.is_empty() && self.words.is_empty();
            if round > 10 && is_told && is_said && self.crossing.is_empty() && self.asked.is_empty() {
                break;
            }
        }
        assert!(self.jobs.is_empty() && self.words.is_empty() && self.outgoing.is_empty());
        assert!(self.asked.is_empty(), "nobody answers {:?}", self.asked);
        assert!(self.disk.intents.is_empty(), "{:?} are not delivered", self.disk.intents);
        let standing = self.between.standing();
        for room in standing.named() {
            assert!(self.is_living(&room), "{room:?} is over and has part in something");
        }
        let requests: Vec<_> = standing.connections().requests().collect();
        for (from, to) in &requests {
            assert!(self.is_living(from) && self.is_living(to), "a request of {from:?} to {to:?}");
        }
        let battles: BTreeMap<String, Battle> =
            standing.battles().map(|battle| (battle.id.clone(), (**battle).clone())).collect();
        assert_eq!(battles, self.disk.battles, "memory, and disk");
        let connections: BTreeMap<u64, Connection> =
            standing.connections().all().map(|one| (one.id, one.clone())).collect();
        assert_eq!(connections, self.disk.connections, "memory, and disk");
        for (at, place) in self.places.iter().enumerate() {
            let Some(place) = place else { continue };
            let own = place.incarnation(at);
            assert_eq!(place.known.connected, standing.connected(&own), "told, and so");
            for (id, battle) in &place.known.battles {
                assert_eq!(battle, &battles[id], "told, and so");
            }
            let asked = requests.iter().filter(|(_, to)| **to == own).map(|(from, _)| from.room.clone());
            let asked: BTreeSet<RoomId> = asked.collect();
            assert!(
                place.known.is_unsure || place.known.asked == asked,
                "told {:?}: {asked:?}",
                place.known.asked
            );
        }
    }

    /// No request is open for ever.
    fn let_requests_expire(&mut self) {
        self.now = self.now + Duration::from_secs(12);
        self.pass();
        self.tell(1_000);
        assert_eq!(self.between.standing().connections().requests().count(), 0);
    }

    fn pass(&mut self) {
        if self.between.deadline().is_some_and(|due| due <= self.now) {
            self.drive(Input::Time);
        }
        for at in 0..ROOMS {
            let due = self.places[at].as_ref().and_then(|place| place.hall.deadline());
            if due.is_some_and(|due| due <= self.now) {
                self.drive_room(at, hall::Input::Time);
            }
        }
    }

    // What happens

    fn step(&mut self) {
        // A moment in which much is at stake: something names a room that is over, and nobody has looked yet.
        let is_stale = self.outgoing.iter().any(|effect| match effect {
            Effect::Confirm(rooms) => rooms.iter().any(|room| !self.is_living(room)),
            _ => false,
        });
        if is_stale && self.rng.random_bool(0.3) {
            self.kill();
        }
        let at = self.rng.random_range(0..ROOMS);
        match self.rng.random_range(0..100) {
            0..20 => self.store(),
            20..36 => self.report(),
            36..46 => {
                let pieces = self.rng.random_range(1..6);
                self.tell_room(at, pieces);
            }
            46..56 => {
                let pieces = self.rng.random_range(1..6);
                self.tell(pieces);
            }
            56..66 if !self.crossing.is_empty() => {
                let at = self.rng.random_range(0..self.crossing.len());
                let input = self.crossing.remove(at);
                self.drive(input);
            }
            66..72 => {
                let most = if self.hangs { 4_000 } else { 600 };
                self.now = self.now + Duration::from_millis(self.rng.random_range(0..most));
                self.pass();
            }
            72 if self.rng.random_bool(0.2) => self.kill(),
            72 if self.rng.random_bool(0.2) => {
                self.quiet();
                self.let_requests_expire();
            }
            73 if self.rng.random_bool(if self.hangs { 0.8 } else { 0.2 }) => self.hangs = !self.hangs,
            _ => self.somebody(at),
        }
        if self.places[at].is_none() && !self.disk.rooms.values().any(|info| info.room_id == name(at)) {
            self.create(at);
        }
    }

    fn somebody(&mut self, at: usize) {
        let Some(room) = self.places[at].as_ref().and_then(|place| place.hall.room()) else { return };
        // Mostly the owner.
        let owner = (0..USERS).find(|who| user(*who) == room.info().owner).unwrap();
        let who = if self.rng.random_bool(0.8) { owner } else { self.rng.random_range(0..USERS) };
        let other = self.rng.random_range(0..ROOMS);
        let to = name(other);
        let battles: Vec<String> = self.between.standing().battles().map(|one| one.id.clone()).collect();
        let battle = match battles.len() {
            0 => "none".to_owned(),
            known => battles[known - 1 - self.rng.random_range(0..known.min(4))].clone(),
        };
        let own = self.places[at].as_ref().unwrap().incarnation(at);
        let asked = self.between.standing().connections().requests().find(|(_, to)| **to == own);
        let asked = asked.map(|(from, _)| from.room.clone()).filter(|_| self.rng.random_bool(0.8));
        let called = self.between.standing().battles().filter(|one| one.holds(&own) && !one.has(&own));
        let called: Vec<String> = called.map(|one| one.id.clone()).collect();
        let called = called.get(self.rng.random_range(0..called.len() + 1)).cloned();
        let timeout = Duration::from_millis(self.rng.random_range(100..6000));
        let extension = String::new();
        self.last += 1;
        let new_id = self.last;
        let wish = match self.rng.random_range(0..26) {
            0..4 => {
                let ticket = self.ticket();
                let (user, session) = (user(who), session(who));
                let (turn, client) = (new_id, Arc::default());
                let enter = hall::Input::Enter { user, session, client, turn, password: None, ticket };
                return self.drive_room(at, enter);
            }
            4 => {
                let to = user(self.rng.random_range(0..USERS));
                let change = Planned::ChangeOwner { to, from: None, must_be_in: false };
                return self.ask(at, By::App("app".into()), hall::Command::Planned(change));
            }
            5 if self.rng.random_bool(0.6) => {
                let destroy = hall::Command::Planned(Planned::Destroy);
                return self.ask(at, By::App("app".into()), destroy);
            }
            5 => return self.app(Command::End { battle }),
            6 => {
                let scores = vec![(name(at), 3), (to, 4)];
                return self.app(Command::Score { battle, scores, adds: self.last.is_multiple_of(2) });
            }
            7 if at != other => {
                let (Ok(host), Ok(called)) = (self.host(&name(at)), self.host(&to)) else { return };
                let wish = Wish::Battle(self.battle(vec![called], Asks::Never, timeout));
                return self.app(Command::Of(host, wish));
            }
            8..11 if at != other => Wish::Battle(self.battle(vec![to], Asks::Strangers, timeout)),
            11..14 => {
                Wish::AnswerBattle { battle: called.unwrap_or(battle), accepted: self.rng.random_bool(0.8) }
            }
            14 => Wish::ExitBattle { battle },
            15..18 => Wish::Request { to, timeout, extension },
            18..22 => Wish::Accept { from: asked.unwrap_or(to), new_id },
            22 => Wish::Reject { from: to },
            23 => Wish::Cancel { to },
            24 => Wish::Leave,
            _ => return,
        };
        let by = By::Member { user: user(who), session: session(who), role: Role::Owner };
        self.ask(at, by, hall::Command::Beyond(wish));
    }

    fn battle<R>(&mut self, called: Vec<R>, asks: Asks, timeout: Duration) -> NewBattle<R> {
        let duration = Duration::from_millis(self.rng.random_range(100..4_000));
        let id = format!("battle {:06}", self.last);
        NewBattle { id, called, duration, asks, timeout, extension: String::new() }
    }

    fn ask(&mut self, at: usize, by: By, command: hall::Command) {
        let ticket = self.ticket();
        self.drive_room(at, hall::Input::Do { by, room_type: None, command, ticket });
    }

    fn app(&mut self, command: Command) {
        let ticket = self.ticket();
        self.wishes.insert(ticket, command.clone());
        self.crossing.push(Input::Do { operator: "app".into(), command, ticket: Waiter::App(ticket) });
    }
}

fn hear(known: &mut Known, what: &Told) {
    match what {
        Told::Battle(battle, step) => {
            let former = known.battles.insert(battle.id.clone(), (**battle).clone());
            assert!(*step != BattleStep::Created || former.is_none(), "created twice: {battle:?}");
            let has_ended = former.as_ref().is_some_and(|former| !former.is_open());
            assert!(
                !has_ended || former == Some((**battle).clone()),
                "{step:?} behind the end of {battle:?}"
            );
        }
        Told::Connected(rooms) => {
            known.connected.clone_from(rooms);
        }
        Told::Request { step: ConnectionStep::Requested, from, .. } => drop(known.asked.insert(from.clone())),
        Told::Request { step: ConnectionStep::Cancelled | ConnectionStep::Expired, from, .. } => {
            known.asked.remove(from);
        }
        Told::Request { .. } => {}
    }
}

#[test]
fn whatever_happens_between_rooms_none_that_is_over_has_part_in_anything() {
    seeds::play("BETWEEN", SEEDS, |seed| {
        let mut world = World::new(seed);
        (0..STEPS).for_each(|_| world.step());
        world.quiet();
    });
}

#[test]
fn what_was_written_before_rooms_had_numbers_is_of_the_rooms_there_are() {
    let one = |room: &str, number| Incarnation { room: RoomId::parse(room).unwrap(), number };
    let mut between = Between::<()>::default();
    between.restore_connection(Connection { id: 1, rooms: vec![one("a", 0), one("b", 0), one("gone", 0)] });
    between.restore_connection(Connection { id: 2, rooms: vec![one("c", 3), one("d", 4)] });
    let number_of = |room: &RoomId| match room.as_str() {
        "a" => Some(1),
        "b" => Some(2),
        // Another than the one that is connected.
        "c" => Some(9),
        _ => None,
    };

    between.finish_restore(number_of);

    assert_eq!(between.standing().connected(&one("a", 1)), [one("a", 1), one("b", 2), one("gone", 0)]);
    assert_eq!(between.standing().connected(&one("c", 3)), [one("c", 3), one("d", 4)]);
    let Some(Effect::Store { how: Durably::Journal, writes, operator: None }) = between.poll() else {
        panic!("it is not written down")
    };
    assert!(matches!(writes.as_slice(), [Write::Connection(connection)] if connection.id == 1));
    assert!(between.poll().is_none());
}
