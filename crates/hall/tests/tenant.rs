//! What an app knows, in a world of chance: its key is rotated, accounts come, change and are deleted while robots of theirs are
//! placed, gifts are added and taken away, rooms of one name are made and end; the disk is late, refuses, and is killed and started
//! again at any step; its answers come in any order; what follows is performed late.
//!
//! Held at every step, or when all is quiet: every ticket is answered once; what was acknowledged is known and on disk; there is one room
//! of a name; in the end no robot is without an account; the record that is known is the one on disk; disk = memory.
//!
//! A failing history is reproduced with `TENANT_SEED=<the printed seed>`. `TENANT_SEEDS=<n>` runs more of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod seeds;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hall::tenant::{Command, Effect, Input, Tenant, Write};
use hall::{Answer, Bounds, By, Durably, Hall, PlanId, Planned, Refusal, Refused};
use rand::{RngExt as _, SeedableRng as _};
use rooms::{
    Account, CatalogueChange, CatalogueCommand, Fields, GiftFields, Incarnation, Keep, ProfileChange, Record,
    Room, RoomId, RoomInfo, RoomType, Time, UserId,
};

const NAMES: usize = 2;
const USERS: usize = 5;
const STEPS: usize = 2_000;
const SEEDS: u64 = 100;

fn user(number: usize) -> UserId {
    UserId::parse(&format!("user-{number}")).unwrap()
}

fn name(room: usize) -> RoomId {
    RoomId::parse(&format!("room-{room}")).unwrap()
}

/// What the disk has.
#[derive(Default)]
struct Disk {
    record: u64,
    accounts: BTreeMap<UserId, Account>,
    gifts: BTreeSet<String>,
    rooms: BTreeMap<i64, RoomInfo>,
    robots: BTreeMap<(i64, UserId), Record>,
    intents: BTreeSet<UserId>,
    /// Accounts that were on it once.
    former: HashSet<(UserId, String)>,
}

/// Something on its way to the disk.
enum Job {
    App { id: PlanId, writes: Vec<Write<u64>> },
    Room { number: i64, how: Durably, keeps: Vec<Keep>, ends: bool },
    Said(UserId),
}

impl Job {
    fn scope(&self) -> i64 {
        match self {
            Job::App { .. } => 0,
            Job::Room { number, .. } => *number,
            Job::Said(_) => -1,
        }
    }
}

/// What the disk has answered.
enum Word {
    App(PlanId, Result<(), Refused>),
    Room(i64, PlanId, Result<(), Refused>),
}

/// One open room.
struct Place {
    hall: Hall<u64>,
    outgoing: VecDeque<hall::Effect<u64>>,
}

struct World {
    rng: rand_chacha::ChaCha8Rng,
    now: Time,
    tenant: Tenant<u64, u64>,
    outgoing: VecDeque<Effect<u64, u64>>,
    /// The record as it was said last.
    record: u64,
    places: BTreeMap<i64, Place>,
    /// Robots whose accounts were looked up, on their way.
    crossing: Vec<(i64, UserId)>,
    /// What each ticket has asked for.
    asked: HashMap<u64, Option<Command<u64>>>,
    /// In which rooms a robot has to be gone, by the ticket that says so.
    leaving: HashMap<u64, (i64, UserId)>,
    disk: Disk,
    /// It says nothing.
    hangs: bool,
    /// Accounts that are deleted and not out of everything yet.
    going: BTreeSet<UserId>,
    jobs: VecDeque<Job>,
    words: Vec<Word>,
    last: u64,
    last_room: i64,
}

fn copy(command: &Command<u64>) -> Command<u64> {
    match command {
        Command::Record { record, admins } => {
            Command::Record { record: record.clone(), admins: admins.clone() }
        }
        Command::Import(changes) => Command::Import(changes.clone()),
        Command::Delete(user) => Command::Delete(user.clone()),
        Command::Gifts(command) => Command::Gifts(command.clone()),
        Command::Make { info, number } => Command::Make { info: info.clone(), number: *number },
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut tenant = Tenant::default();
        tenant.restore_admins(vec![user(0)]);
        Self {
            rng: rand_chacha::ChaCha8Rng::seed_from_u64(seed),
            now: Time::from_unix_seconds(1_700_000_000),
            tenant,
            outgoing: VecDeque::new(),
            record: 0,
            places: BTreeMap::new(),
            crossing: Vec::new(),
            asked: HashMap::new(),
            leaving: HashMap::new(),
            disk: Disk::default(),
            hangs: false,
            going: BTreeSet::new(),
            jobs: VecDeque::new(),
            words: Vec::new(),
            last: 0,
            last_room: 0,
        }
    }

    fn ticket(&mut self, command: Option<Command<u64>>) -> u64 {
        self.last += 1;
        self.asked.insert(self.last, command);
        self.last
    }

    // Rooms

    fn open(&mut self, number: i64, info: RoomInfo) {
        let is_taken = self
            .places
            .values()
            .any(|place| place.hall.room().is_some_and(|room| room.info().room_id == info.room_id));
        assert!(!is_taken, "two rooms are called {}", info.room_id);
        let mut room = Room::new(info, self.now);
        for ((_, _), record) in self.disk.robots.iter().filter(|((of, _), _)| *of == number) {
            room.restore_record(record.clone());
        }
        let hall = Hall::new(room, Bounds { most_sessions: 0, review: Duration::ZERO });
        self.places.insert(number, Place { hall, outgoing: VecDeque::new() });
    }

    fn drive_room(&mut self, number: i64, input: hall::Input<u64>) {
        let Some(place) = self.places.get_mut(&number) else { return };
        place.hall.handle(input, self.now);
        while let Some(effect) = place.hall.poll() {
            let hall::Effect::Store { how, writes, .. } = effect else {
                place.outgoing.push_back(effect);
                continue;
            };
            let ends = writes.iter().any(|write| matches!(write, hall::Write::End(_)));
            let keeps = writes.into_iter().filter_map(|write| match write {
                hall::Write::Keep(keep) => Some(keep),
                _ => None,
            });
            self.jobs.push_back(Job::Room { number, how, keeps: keeps.collect(), ends });
        }
    }

    fn tell_room(&mut self, number: i64, pieces: usize) {
        for _ in 0..pieces {
            let Some(place) = self.places.get_mut(&number) else { return };
            let Some(effect) = place.outgoing.pop_front() else { return };
            match effect {
                hall::Effect::Answer { ticket, result } => self.answer_room(ticket, result),
                hall::Effect::Confirm(robots) => {
                    let gone =
                        robots.into_iter().filter(|robot| self.tenant.account(robot.as_str()).is_none());
                    let gone: Vec<UserId> = gone.collect();
                    if !gone.is_empty() {
                        self.drive_room(number, hall::Input::Gone(gone));
                    }
                }
                hall::Effect::Over => {
                    let place = self.places.remove(&number).unwrap();
                    let room = self.disk_name(number);
                    self.drive(Input::Free(Incarnation { room, number }));
                    for effect in place.outgoing {
                        if let hall::Effect::Answer { ticket, result } = effect {
                            self.answer_room(ticket, result);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// The names of rooms by their numbers: as the numbers were given.
    fn disk_name(&self, number: i64) -> RoomId {
        name(usize::try_from(number).unwrap() % NAMES)
    }

    fn let_go(&mut self, number: i64, robots: Vec<UserId>, ticket: u64) {
        let (by, command) = (By::App("system".into()), hall::Command::Planned(Planned::DeleteRobots(robots)));
        self.drive_room(number, hall::Input::Do { by, room_type: None, command, ticket });
    }

    fn answer_room(&mut self, ticket: u64, result: Result<Answer, Refusal>) {
        assert!(self.asked.remove(&ticket).is_some(), "{ticket} is answered twice");
        let Some((number, user)) = self.leaving.remove(&ticket) else { return };
        match result {
            Ok(_) | Err(Refusal::Gone) => {
                if !self.leaving.values().any(|(_, other)| *other == user) {
                    self.drive(Input::Left(user));
                }
            }
            Err(_) => self.let_leave(number, user),
        }
    }

    fn let_leave(&mut self, number: i64, user: UserId) {
        let ticket = self.ticket(None);
        self.leaving.insert(ticket, (number, user.clone()));
        if self.places.contains_key(&number) {
            self.let_go(number, vec![user], ticket);
        } else {
            self.answer_room(ticket, Err(Refusal::Gone));
        }
    }

    /// An account is no more.
    fn end_account(&mut self, user: &UserId) {
        let rooms: Vec<i64> = self.places.keys().copied().collect();
        if rooms.is_empty() {
            return self.drive(Input::Left(user.clone()));
        }
        let tickets: Vec<(i64, u64)> = rooms.into_iter().map(|number| (number, self.ticket(None))).collect();
        for (number, ticket) in &tickets {
            self.leaving.insert(*ticket, (*number, user.clone()));
        }
        for (number, ticket) in tickets {
            self.let_go(number, vec![user.clone()], ticket);
        }
    }

    // The app

    fn drive(&mut self, input: Input<u64, u64>) {
        let is_time = matches!(input, Input::Time);
        if let Input::Left(user) = &input {
            self.going.remove(user);
        }
        self.tenant.handle(input, self.now);
        let is_due = self.tenant.deadline().is_some_and(|at| at <= self.now);
        assert!(!is_time || !is_due, "time is due for ever");
        while let Some(effect) = self.tenant.poll() {
            match effect {
                Effect::Store { id, writes, .. } => self.jobs.push_back(Job::App { id, writes }),
                Effect::Record(record) => self.record = *record,
                Effect::Consumed(user) => self.jobs.push_back(Job::Said(user)),
                other => {
                    if let Effect::Over(user) = &other {
                        self.going.insert(user.clone());
                    }
                    self.outgoing.push_back(other);
                }
            }
        }
        let another = self.going.iter().find(|user| self.tenant.account(user.as_str()).is_some());
        assert_eq!(another, None, "another has the name of one who is not gone yet");
    }

    fn tell(&mut self, pieces: usize) {
        for _ in 0..pieces {
            let Some(effect) = self.outgoing.pop_front() else { return };
            match effect {
                Effect::Answer { ticket, result } => self.answer(ticket, &result),
                Effect::Made(info, number) => self.open(number, *info),
                Effect::Over(user) => self.end_account(&user),
                Effect::Unmade(_) => {}
                Effect::Store { .. } | Effect::Record(_) | Effect::Consumed(_) => {
                    panic!("this does not wait")
                }
            }
        }
    }

    fn answer(&mut self, ticket: u64, result: &Result<(), Refusal>) {
        let command = self.asked.remove(&ticket).expect("answered twice").unwrap();
        if result.is_err() {
            return;
        }
        match command {
            Command::Record { record, .. } => assert!(self.record >= *record, "the former key is valid"),
            Command::Import(changes) => {
                for (user, change) in changes {
                    let nick = change.nick.unwrap_or_default();
                    let is_kept = self
                        .disk
                        .former
                        .iter()
                        .any(|(known, words)| *known == user && (nick.is_empty() || *words == nick));
                    assert!(is_kept, "{user} was imported and is not on disk");
                }
            }
            Command::Make { number, .. } => {
                let is_over = !self.disk.rooms.contains_key(&number);
                assert!(self.places.contains_key(&number) || is_over, "a room is made and not there");
            }
            // One that was being placed meanwhile goes in a moment.
            Command::Delete(_) | Command::Gifts(_) => {}
        }
    }

    // The disk

    fn write(&mut self, write: Write<u64>) {
        let disk = &mut self.disk;
        match write {
            Write::Record(record, _) => disk.record = *record,
            Write::Account(account) => {
                disk.former.insert((account.user.clone(), account.profile.nick.clone()));
                disk.accounts.insert(account.user.clone(), (*account).clone());
            }
            Write::Delete(user) => {
                disk.accounts.remove(&user);
                disk.intents.insert(user);
            }
            Write::Gifts(CatalogueChange::Put(record)) => drop(disk.gifts.insert(record.key())),
            Write::Gifts(CatalogueChange::Delete(key)) => drop(disk.gifts.remove(&key)),
            Write::Make(info, number) => {
                let is_taken = disk.rooms.values().any(|other| other.room_id == info.room_id);
                assert!(!is_taken, "two rooms are called {} on disk", info.room_id);
                disk.rooms.insert(number, *info);
            }
        }
    }

    /// The disk takes what comes next, or refuses it. What is of different scopes goes in any order.
    fn store(&mut self) {
        let mut scopes = HashSet::new();
        let first: Vec<usize> =
            (0..self.jobs.len()).filter(|at| scopes.insert(self.jobs[*at].scope())).collect();
        if first.is_empty() {
            return;
        }
        let at = first[self.rng.random_range(0..first.len())];
        let is_refused = self.rng.random_bool(0.15);
        if is_refused && !matches!(self.jobs[at], Job::App { .. } | Job::Room { how: Durably::Commit(_), .. })
        {
            return;
        }
        let result = if is_refused { Err(Refused { is_behind: false, text: "full".into() }) } else { Ok(()) };
        match self.jobs.remove(at).unwrap() {
            Job::App { id, writes } => {
                if !is_refused {
                    writes.into_iter().for_each(|write| self.write(write));
                }
                self.words.push(Word::App(id, result));
            }
            Job::Room { number, how, keeps, ends } => {
                if !is_refused {
                    for keep in keeps {
                        match keep {
                            Keep::Put(record @ Record::Robot { .. }) => {
                                let Record::Robot { user, .. } = &record else { continue };
                                self.disk.robots.insert((number, user.clone()), record);
                            }
                            Keep::Delete(key) if key.kind == "robot" => {
                                self.disk.robots.remove(&(number, UserId::parse(&key.name).unwrap()));
                            }
                            _ => {}
                        }
                    }
                    if ends {
                        self.disk.rooms.remove(&number);
                        self.disk.robots.retain(|(of, _), _| *of != number);
                    }
                }
                if let Durably::Commit(id) | Durably::Kept(id) = how {
                    self.words.push(Word::Room(number, id, result));
                }
            }
            Job::Said(user) => drop(self.disk.intents.remove(&user)),
        }
    }

    fn report(&mut self) {
        if self.words.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.words.len());
        match self.words.swap_remove(at) {
            Word::App(id, result) => self.drive(Input::Stored { id, result }),
            Word::Room(number, id, result) => self.drive_room(number, hall::Input::Stored { id, result }),
        }
    }

    fn kill(&mut self) {
        self.jobs.clear();
        self.words.clear();
        self.asked.clear();
        self.leaving.clear();
        self.outgoing.clear();
        self.crossing.clear();
        self.going.clear();
        self.places.clear();
        self.record = self.disk.record;
        self.tenant = Tenant::default();
        self.tenant.restore_admins(vec![user(0)]);
        self.disk.accounts.values().for_each(|account| self.tenant.restore_account(account.clone()));
        for (number, info) in self.disk.rooms.clone() {
            self.tenant.restore_name(Incarnation { room: info.room_id.clone(), number });
            self.open(number, info);
        }
        for id in self.disk.gifts.clone() {
            let gift_id = id.split('\n').nth(1).unwrap().to_owned();
            let gift = rooms::Gift { gift_id, ..rooms::Gift::default() };
            self.tenant.restore_gifts(CatalogueChange::Put(rooms::CatalogueRecord::Gift(gift)));
        }
        for user in self.disk.intents.clone() {
            self.end_account(&user);
        }
        // One that was placed in the moment of the crash, after its account was deleted and all had heard of it.
        for (number, robot) in self.disk.robots.keys().cloned().collect::<Vec<_>>() {
            if self.tenant.account(robot.as_str()).is_none() {
                self.drive_room(number, hall::Input::Gone(vec![robot]));
            }
        }
    }

    /// All that was asked for is done.
    fn quiet(&mut self) {
        self.hangs = false;
        for round in 0..6_000 {
            self.store();
            self.report();
            if let Some((number, robot)) = self.crossing.pop() {
                self.place(number, robot);
            }
            self.tell(100);
            for number in self.places.keys().copied().collect::<Vec<_>>() {
                self.tell_room(number, 100);
            }
            self.now = self.now + Duration::from_millis(10);
            self.pass();
            let is_told = self.outgoing.is_empty() && self.places.values().all(|one| one.outgoing.is_empty());
            // A room that was to put a robot out may have to try it again.
            let is_settled = self.places.values().all(|place| place.hall.deadline().is_none());
            let is_said = self.jobs.is_empty() && self.words.is_empty() && self.crossing.is_empty();
            if round > 10 && is_told && is_said && is_settled && self.asked.is_empty() {
                break;
            }
        }
        assert!(self.jobs.is_empty() && self.words.is_empty() && self.outgoing.is_empty());
        assert!(self.asked.is_empty(), "nobody answers {:?}", self.asked);
        assert!(self.disk.intents.is_empty(), "{:?} are not delivered", self.disk.intents);
        assert_eq!(self.record, self.disk.record, "the record that is known, and disk");
        let accounts: BTreeMap<UserId, Account> =
            self.tenant.accounts().map(|one| (one.user.clone(), (**one).clone())).collect();
        assert_eq!(accounts, self.disk.accounts, "memory, and disk");
        let gifts: BTreeSet<String> =
            self.tenant.catalogue().gifts().map(|gift| gift.gift_id.clone()).collect();
        let kept = self.disk.gifts.iter().map(|key| key.split('\n').nth(1).unwrap().to_owned()).collect();
        assert_eq!(gifts, kept, "memory, and disk");
        let open: Vec<i64> = self.places.keys().copied().collect();
        assert_eq!(open, self.disk.rooms.keys().copied().collect::<Vec<_>>(), "rooms, and disk");
        for (number, place) in &self.places {
            for robot in place.hall.room().unwrap().robots_after("") {
                assert!(accounts.contains_key(robot), "{robot} in {number} has no account");
                assert!(self.disk.robots.contains_key(&(*number, robot.clone())));
            }
        }
        for (number, robot) in self.disk.robots.keys() {
            assert!(accounts.contains_key(robot), "{robot} in {number} has no account, on disk");
        }
    }

    fn pass(&mut self) {
        if self.tenant.deadline().is_some_and(|due| due <= self.now) {
            self.drive(Input::Time);
        }
        for number in self.places.keys().copied().collect::<Vec<_>>() {
            if self.places[&number].hall.deadline().is_some_and(|due| due <= self.now) {
                self.drive_room(number, hall::Input::Time);
            }
        }
    }

    fn place(&mut self, number: i64, robot: UserId) {
        let ticket = self.ticket(None);
        if !self.places.contains_key(&number) {
            return drop(self.asked.remove(&ticket));
        }
        let (by, command) = (By::App("app".into()), hall::Command::Planned(Planned::AddRobots(vec![robot])));
        self.drive_room(number, hall::Input::Do { by, room_type: None, command, ticket });
    }

    fn step(&mut self) {
        let rooms: Vec<i64> = self.places.keys().copied().collect();
        let some_room = match rooms.len() {
            0 => None,
            many => Some(rooms[self.rng.random_range(0..many)]),
        };
        match self.rng.random_range(0..100) {
            0..20 if self.hangs => {}
            0..20 => self.store(),
            20..38 => self.report(),
            38..50 => {
                let pieces = self.rng.random_range(1..4);
                self.tell(pieces);
            }
            50..60 => {
                let pieces = self.rng.random_range(1..4);
                some_room.into_iter().for_each(|number| self.tell_room(number, pieces));
            }
            60..66 if !self.crossing.is_empty() => {
                let at = self.rng.random_range(0..self.crossing.len());
                let (number, robot) = self.crossing.swap_remove(at);
                self.place(number, robot);
            }
            66..72 => {
                let most = if self.hangs { 4000 } else { 600 };
                self.now = self.now + Duration::from_millis(self.rng.random_range(0..most));
                self.pass();
            }
            72 if self.rng.random_bool(0.2) => self.kill(),
            72 if self.rng.random_bool(0.2) => self.quiet(),
            73 if self.rng.random_bool(0.3) => self.hangs = !self.hangs,
            _ => self.somebody(some_room),
        }
    }

    fn somebody(&mut self, some_room: Option<i64>) {
        let who = user(self.rng.random_range(0..USERS));
        let gift_id = format!("gift-{}", self.rng.random_range(0..3));
        self.last += 1;
        let command = match self.rng.random_range(0..16) {
            0 => {
                let admins = vec![user(0)];
                Command::Record { record: Arc::new(self.last), admins }
            }
            1..4 => {
                let nick = Some(format!("nick {}", self.last));
                Command::Import(vec![(who, ProfileChange { nick, ..ProfileChange::default() })])
            }
            4..6 => {
                let other = user(self.rng.random_range(0..USERS));
                Command::Import([who, other].map(|user| (user, ProfileChange::default())).to_vec())
            }
            6..9 => Command::Delete(who),
            9 => {
                let (fields, created_at) = (GiftFields::default(), self.now);
                Command::Gifts(CatalogueCommand::AddGift { gift_id, fields, created_at })
            }
            10 => Command::Gifts(CatalogueCommand::DeleteGift { gift_id }),
            11..13 => {
                self.last_room += 1;
                let number = self.last_room;
                let (room, incarnation) = (self.disk_name(number), number.unsigned_abs());
                let fields = Fields::default();
                let info = RoomInfo::create(room, RoomType::Live, user(0), &fields, self.now, incarnation);
                Command::Make { info: Box::new(info.unwrap()), number }
            }
            13..15 => {
                // It has an account, as far as anybody can see.
                if let Some(number) = some_room.filter(|_| self.tenant.account(who.as_str()).is_some()) {
                    self.crossing.push((number, who));
                }
                return;
            }
            _ => {
                if let Some(number) = some_room.filter(|_| self.rng.random_bool(0.4)) {
                    let ticket = self.ticket(None);
                    let (by, command) = (By::App("app".into()), hall::Command::Planned(Planned::Destroy));
                    self.drive_room(number, hall::Input::Do { by, room_type: None, command, ticket });
                }
                return;
            }
        };
        let ticket = self.ticket(Some(copy(&command)));
        self.drive(Input::Do { operator: "app".into(), command, ticket });
    }
}

#[test]
fn whatever_happens_an_app_knows_what_is_on_disk() {
    seeds::play("TENANT", SEEDS, |seed| {
        let mut world = World::new(seed);
        (0..STEPS).for_each(|_| world.step());
        world.quiet();
    });
}
