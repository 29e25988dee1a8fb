//! Nodes in a world of chance: a database that is late, is away for all or for some, and loses its answers (what was asked may have been
//! done, or is done much later, also when it is back); nodes that stop and go on, die and begin anew, come later, or are of the release
//! before; nodes that do not reach each other; clocks that run apart.
//!
//! Held at every step: of all nodes at most one speaks, by its own clock, also one that is stopped; epochs grow, and what is over
//! stays over; a change is kept only from the one that the claim names; what was acknowledged is in what is read afterwards,
//! whoever is asked. When all is quiet, somebody speaks soon. While the database is away and nothing else happens, who has the records
//! speaks all the time; one that alone is cut off from it is taken over from.
//!
//! A failing history is reproduced with `CLUSTER_SEED=<the printed seed>`. `CLUSTER_SEEDS=<n>` runs more of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod model;
#[path = "../../hall/tests/seeds/mod.rs"]
mod seeds;

use std::collections::BTreeMap;
use std::time::Duration;

use cluster::{Answer, Ask, Effect, Generation, Input, Node, Times, Why};
use model::Database;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const NODES: usize = 4;
const SEEDS: u64 = 1000;

/// How long a history lasts, in milliseconds, and how long it is quiet after that.
const LASTS: u64 = 300_000;
const QUIET: u64 = 60_000;

/// After how long a node takes a question for lost, by its own clock.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Within how long of quiet somebody has to speak.
const SOON: u64 = 25_000;

/// One machine.
struct Machine {
    node: Option<Node>,
    generation: Generation,
    /// How fast its clock runs, in thousandths.
    rate: u64,
    stopped_until: u64,
    /// Until when it has no database, whoever else has.
    cut_until: u64,
    /// Whether it is of the release before, which makes no promises.
    is_old: bool,
    /// What it has in memory once its records are open.
    memory: Option<u64>,
    /// Which question is on its way; answers to others come too late.
    asked: u64,
}

enum Happening {
    /// A question reaches the database.
    Reaches {
        machine: usize,
        generation: Generation,
        number: u64,
        what: What,
        is_heard: bool,
    },
    /// An answer reaches its node.
    Answer {
        machine: usize,
        generation: Generation,
        number: u64,
        input: Input,
    },
    /// A change is acknowledged.
    Acknowledged {
        machine: usize,
        generation: Generation,
        is_kept: bool,
        value: u64,
    },
    /// A machine's node asks another for its promise.
    AsksFor {
        machine: usize,
        generation: Generation,
        of: Generation,
        asked: Duration,
    },
    /// The other has promised.
    Promised {
        machine: usize,
        generation: Generation,
        by: Generation,
        asked: Duration,
    },
    Begins {
        machine: usize,
    },
    /// A machine has no database until then.
    IsCut {
        machine: usize,
        until: u64,
    },
}

#[derive(Clone)]
enum What {
    Ask(Ask),
    Commit,
    Load,
}

struct World {
    random: ChaCha8Rng,
    now: u64,
    database: Database,
    away_until: u64,
    /// Who does not reach each other, until when.
    parted: [[u64; NODES]; NODES],
    machines: Vec<Machine>,
    happenings: BTreeMap<(u64, u64), Happening>,
    next: u64,
    lease: Duration,
    /// The highest value that somebody was told.
    told: u64,
    epoch: i64,
    is_quiet: bool,
    /// Whether what happens is mostly the database's: it is away for some and then for all, for long, and what was sent to it lies there.
    is_about_outages: bool,
    /// Until when nothing else happens.
    calm_until: u64,
    /// For how long a node keeps what it may not answer from: nothing but how soon it is back depends on it.
    keep: Duration,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let lease = Duration::from_secs(if random.random_range(0..4) == 0 { 40 } else { 6 });
        // An eighth of the lease is what two clocks may be apart.
        let mut rate = || random.random_range(950..=1050);
        let machines = (0..NODES).map(|_| Machine {
            node: None,
            generation: 0,
            rate: rate(),
            stopped_until: 0,
            cut_until: 0,
            is_old: false,
            memory: None,
            asked: 0,
        });
        let mut machines: Vec<Machine> = machines.collect();
        let is_in_upgrade = random.random_range(0..4) == 0;
        for machine in &mut machines {
            machine.is_old = is_in_upgrade && random.random_range(0..3) == 0;
        }
        let keep = Duration::from_secs(if random.random_range(0..2) == 0 { 4 } else { 40 });
        // One of them comes at any time, or does not.
        let comes_at = if seed % 2 == 1 { 3 * LASTS } else { random.random_range(0..2 * LASTS) };
        let mut world = Self {
            random,
            now: 0,
            database: Database::default(),
            away_until: 0,
            parted: [[0; NODES]; NODES],
            machines,
            happenings: BTreeMap::new(),
            next: 0,
            lease,
            told: 0,
            epoch: 0,
            is_quiet: false,
            is_about_outages: seed % 2 == 1,
            calm_until: 0,
            keep,
        };
        for machine in 0..NODES {
            let after = if machine == NODES - 1 { comes_at } else { machine as u64 * 10 };
            world.later(after, Happening::Begins { machine });
        }
        world
    }

    fn chance(&mut self, one_in: u32) -> bool {
        !self.is_quiet && self.random.random_range(0..one_in) == 0
    }

    fn later(&mut self, after: u64, happening: Happening) {
        self.next += 1;
        self.happenings.insert((self.now + after, self.next), happening);
    }

    fn clock(&self, machine: usize) -> Duration {
        Duration::from_micros(1_000_000_000 + self.now * self.machines[machine].rate)
    }

    fn is_stopped(&self, machine: usize) -> bool {
        self.machines[machine].stopped_until > self.now
    }

    fn has_database(&self, machine: usize) -> bool {
        self.away_until.max(self.machines[machine].cut_until) <= self.now
    }

    /// Whose node that is.
    fn machine_of(&self, generation: Generation) -> Option<usize> {
        self.machines.iter().position(|machine| machine.node.is_some() && machine.generation == generation)
    }

    /// Sends a word to another node, which may be lost.
    fn tell(&mut self, one: usize, other: usize, happening: Happening) {
        if self.parted[one.min(other)][one.max(other)] > self.now || self.chance(20) {
            return;
        }
        let after = if self.chance(30) {
            self.random.random_range(100..7000)
        } else {
            self.random.random_range(1..20)
        };
        self.later(after, happening);
    }

    fn send(&mut self, machine: usize, what: What) {
        let generation = self.machines[machine].generation;
        let number = self.machines[machine].asked;
        let usual = self.random.random_range(1..40);
        // What lies in a socket is read by a database long after.
        let is_lost = !matches!(what, What::Load) && self.chance(40);
        let is_slow = self.chance(60) || matches!(what, What::Ask(Ask::End { .. })) && self.chance(3);
        let after = if is_slow { self.random.random_range(1000..12_000) } else { usual };
        if is_lost && self.chance(2) {
            return;
        }
        self.later(after, Happening::Reaches { machine, generation, number, what, is_heard: !is_lost });
    }

    /// What a node wants done.
    fn carry_out(&mut self, machine: usize) {
        while let Some(effect) = self.machines[machine].node.as_mut().and_then(Node::poll) {
            match effect {
                Effect::Ask(ask) => {
                    self.machines[machine].asked += 1;
                    self.send(machine, What::Ask(ask));
                }
                Effect::AskFor { of, asked } => {
                    let generation = self.machines[machine].generation;
                    if let Some(other) = self.machine_of(of) {
                        self.tell(machine, other, Happening::AsksFor { machine, generation, of, asked });
                    }
                }
                Effect::Open { .. } => self.send(machine, What::Load),
                Effect::HandOver => {
                    // All that was acknowledged is on disk.
                    let generation = self.machines[machine].generation;
                    self.database.nodes.get_mut(&generation).unwrap().is_over = true;
                    self.end(machine);
                    let after = self.random.random_range(10..2000);
                    self.later(after, Happening::Begins { machine });
                }
                Effect::BeginAnew(why) => {
                    assert_ne!(why, Why::Rewound);
                    self.end(machine);
                    let after = self.random.random_range(10..2000);
                    self.later(after, Happening::Begins { machine });
                }
            }
        }
    }

    fn end(&mut self, machine: usize) {
        let machine = &mut self.machines[machine];
        (machine.node, machine.memory) = (None, None);
    }

    fn handle(&mut self, machine: usize, input: Input) {
        let now = self.clock(machine);
        if let Some(node) = &mut self.machines[machine].node {
            node.handle(input, now);
        }
        self.carry_out(machine);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::IsCut { machine, until } => {
                if !self.is_quiet {
                    self.machines[machine].cut_until = until;
                }
            }
            Happening::Begins { machine } => {
                if self.machines[machine].node.is_some() {
                    return;
                }
                if self.is_stopped(machine) || !self.has_database(machine) {
                    return self.later(200, Happening::Begins { machine });
                }
                let former = Some(self.machines[machine].generation).filter(|former| *former > 0);
                let generation = self.database.join(former, self.lease);
                if self.machines[machine].is_old {
                    self.database.nodes.get_mut(&generation).unwrap().names = None;
                }
                let now = self.clock(machine);
                let is_draining = self.chance(8);
                let its = &mut self.machines[machine];
                its.generation = generation;
                its.node = Some(Node::new(
                    generation,
                    Times { keep: self.keep, ..Times::of(self.lease) },
                    is_draining,
                    now,
                ));
                self.handle(machine, Input::Time);
            }
            Happening::Reaches { machine, generation, number, what, is_heard } => {
                // What is not heard of any more was sent before.
                let is_cut = is_heard && !self.has_database(machine);
                if is_cut || self.away_until > self.now {
                    if let What::Load = what {
                        self.handle(machine, Input::NotOpened);
                    } else if self.chance(2) {
                        // It lies in a socket until the database is back.
                        let back = self.away_until.max(self.machines[machine].cut_until);
                        let back = back.saturating_sub(self.now);
                        let after = match self.chance(2) {
                            true => back + self.random.random_range(0..4000),
                            // Or gets there while its node does not hear of it.
                            false => self.random.random_range(0..20_000),
                        };
                        let lies = Happening::Reaches { machine, generation, number, what, is_heard: false };
                        self.later(after, lies);
                    }
                    return;
                }
                let is_old = self.machines[machine].is_old;
                let answer = match what {
                    What::Ask(ask) => {
                        let mut input = self.database.ask(generation, &ask);
                        if let Input::Claimed(Some(epoch)) = input {
                            assert!(epoch > self.epoch, "an epoch that was before");
                        }
                        if let (true, Input::Renewed { view, .. } | Input::Looked(view)) =
                            (is_old, &mut input)
                        {
                            // It reads one time only, and no names.
                            for seen in &mut view.living {
                                (seen.lease, seen.names) = (seen.at_most, None);
                            }
                        }
                        Happening::Answer { machine, generation, number, input }
                    }
                    What::Commit => {
                        let is_kept = self.database.commit(generation);
                        Happening::Acknowledged { machine, generation, is_kept, value: self.database.value }
                    }
                    What::Load => Happening::Acknowledged {
                        machine,
                        generation,
                        is_kept: true,
                        value: self.database.value,
                    },
                };
                if is_heard {
                    let after = self.random.random_range(1..40);
                    self.later(after, answer);
                }
            }
            Happening::AsksFor { machine, generation, of, asked } => {
                let Some(other) = self.machine_of(of) else { return };
                if self.is_stopped(other) {
                    return self.later(50, Happening::AsksFor { machine, generation, of, asked });
                }
                let now = self.clock(other);
                let its = &mut self.machines[other];
                let answer =
                    its.node.as_mut().filter(|_| !its.is_old).map(|node| node.promise(generation, now));
                if answer == Some(Answer::Promised) {
                    self.tell(other, machine, Happening::Promised { machine, generation, by: of, asked });
                }
            }
            Happening::Promised { machine, generation, by, asked } => {
                if self.is_stopped(machine) {
                    return self.later(50, Happening::Promised { machine, generation, by, asked });
                }
                if self.machines[machine].generation == generation {
                    self.handle(machine, Input::Promised { by, asked });
                }
            }
            Happening::Answer { machine, generation, number, input } => {
                if self.is_stopped(machine) {
                    return self.later(50, Happening::Answer { machine, generation, number, input });
                }
                let its = &self.machines[machine];
                if its.generation == generation && its.asked == number {
                    self.handle(machine, input);
                }
            }
            Happening::Acknowledged { machine, generation, is_kept, value } => {
                if self.is_stopped(machine) {
                    return self.later(50, Happening::Acknowledged { machine, generation, is_kept, value });
                }
                let its = &mut self.machines[machine];
                if its.generation != generation || its.node.is_none() {
                    return;
                }
                match its.memory {
                    None => {
                        its.memory = Some(value);
                        self.handle(machine, Input::Opened);
                    }
                    Some(before) if is_kept => {
                        its.memory = Some(before.max(value));
                        // Whoever asked hears of it.
                        self.told = self.told.max(value);
                    }
                    Some(_) => {}
                }
            }
        }
    }

    fn check(&mut self) {
        let mut speaking = Vec::new();
        for (number, machine) in self.machines.iter().enumerate() {
            let until = machine.node.as_ref().and_then(Node::speaks_until);
            if until.is_some_and(|until| self.clock(number) < until) {
                speaking.push(machine);
            }
        }
        assert!(speaking.len() <= 1, "{} nodes speak at {}", speaking.len(), self.now);
        if let Some(one) = speaking.first() {
            let read = one.memory.expect("who speaks has something to say");
            assert!(read >= self.told, "{read} was read where {} had been acknowledged", self.told);
            assert_eq!(self.database.owner, one.generation, "who speaks has the claim");
        }
        assert!(self.database.epoch >= self.epoch);
        self.epoch = self.database.epoch;
    }

    fn speaking(&self) -> Option<usize> {
        (0..NODES).find(|machine| {
            let until = self.machines[*machine].node.as_ref().and_then(Node::speaks_until);
            until.is_some_and(|until| self.clock(*machine) < until)
        })
    }

    /// Who speaks is cut off from the database, then the others, one by one; meanwhile one is killed, stopped, parted or comes.
    fn outage(&mut self) {
        let first = self.speaking().unwrap_or(0);
        // As long as it takes to be found gone.
        let usual = u64::try_from(self.lease.as_millis()).unwrap() * 9 / 8;
        let most = [usual / 2, usual + 3000, 30_000, 130_000][self.random.random_range(0..4usize)];
        let end = self.now + self.random.random_range(usual..usual + 200_000);
        // One that has never been there comes meanwhile, and has it.
        let newcomer = (0..NODES).find(|machine| self.machines[*machine].generation == 0);
        if let Some(machine) = newcomer {
            let after = self.random.random_range(0..most);
            self.later(after, Happening::Begins { machine });
        }
        for machine in (0..NODES).filter(|machine| Some(*machine) != newcomer) {
            let after = if machine == first { 0 } else { self.random.random_range(0..most) };
            if !self.chance(6) {
                let back = end + self.random.random_range(0..10_000);
                self.later(after, Happening::IsCut { machine, until: back });
            }
        }
        if !self.chance(3) {
            self.calm_until = end;
            return;
        }
        let machine = self.random.random_range(0..NODES);
        let after = self.random.random_range(0..most + 10_000);
        match self.random.random_range(0..6) {
            0 => {
                self.end(machine);
                self.later(after, Happening::IsCut { machine, until: 0 });
                self.later(after + 1, Happening::Begins { machine });
            }
            1 => self.machines[machine].stopped_until = self.now + after,
            2 => self.parted[machine.min(first)][machine.max(first)] = self.now + after,
            // One has it back for a moment.
            3 => {
                self.later(after, Happening::IsCut { machine, until: 0 });
                self.later(after + usual + 2000, Happening::IsCut { machine, until: end });
            }
            _ => {}
        }
    }

    fn trouble(&mut self) {
        if self.is_about_outages && !self.chance(4) {
            return self.outage();
        }
        let machine = self.random.random_range(0..NODES);
        match self.random.random_range(0..10) {
            0..3 => {
                let time = self.random.random_range(100..20_000);
                self.machines[machine].stopped_until = self.now + time;
            }
            3..5 => {
                self.end(machine);
                let after = self.random.random_range(100..30_000);
                self.later(after, Happening::Begins { machine });
            }
            5 => {
                let most = if self.chance(2) { 150_000 } else { 20_000 };
                self.away_until = self.now + self.random.random_range(100..most);
            }
            6 => {
                // Often some come back to it before the others do.
                for machine in 0..NODES {
                    if self.chance(2) {
                        let time = self.random.random_range(100..150_000);
                        self.machines[machine].cut_until = self.now + time;
                    }
                }
                let other = self.random.random_range(0..NODES);
                let time = self.random.random_range(100..60_000);
                self.parted[machine.min(other)][machine.max(other)] = self.now + time;
            }
            7 => self.handle(machine, Input::Drain),
            _ => self.handle(machine, Input::Suspect),
        }
    }

    fn step(&mut self) {
        let one_in = if self.is_about_outages { 2000 } else { 500 };
        if self.now >= self.calm_until && self.chance(one_in) {
            self.trouble();
        }
        while let Some(entry) = self.happenings.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let happening = entry.remove();
            self.happen(happening);
            self.check();
        }
        for machine in 0..NODES {
            if self.is_stopped(machine) {
                continue;
            }
            let now = self.clock(machine);
            let its = &mut self.machines[machine];
            let Some(node) = &mut its.node else { continue };
            if node.asked_at().is_some_and(|at| now >= at + TIMEOUT) {
                // Its connection is given up; what was sent over it may be read yet.
                its.asked += 1;
                self.handle(machine, Input::Silent);
            }
            if self.machines[machine].node.as_ref().and_then(Node::deadline).is_some_and(|at| at <= now) {
                self.handle(machine, Input::Time);
            }
            if self.machines[machine].memory.is_some() && self.random.random_range(0..10) == 0 {
                self.send(machine, What::Commit);
            }
        }
        self.check();
        self.now += 20;
    }
}

fn history(seed: u64) {
    let mut world = World::new(seed);
    while world.now < LASTS {
        world.step();
    }
    world.is_quiet = true;
    world.away_until = 0;
    world.parted = [[0; NODES]; NODES];
    // One that drains for good is not asked to take over.
    for machine in 0..NODES {
        world.machines[machine].stopped_until = 0;
        world.machines[machine].cut_until = 0;
        world.end(machine);
        world.later(100, Happening::Begins { machine });
    }
    let quiet_at = world.now;
    while world.now < quiet_at + SOON {
        world.step();
    }
    while world.now < quiet_at + QUIET {
        world.step();
        assert!(world.speaking().is_some(), "nobody speaks {} ms into the quiet", world.now - quiet_at);
    }
}

impl World {
    /// One in which nothing goes wrong by itself, some time after its nodes have begun: who speaks.
    /// The last comes then.
    fn in_quiet(seed: u64, comes_at: u64) -> (Self, usize) {
        let mut world = Self::new(seed);
        world
            .happenings
            .retain(|_, begins| !matches!(begins, Happening::Begins { machine } if *machine == NODES - 1));
        world.is_quiet = true;
        for machine in &mut world.machines {
            machine.is_old = false;
        }
        world.later(comes_at, Happening::Begins { machine: NODES - 1 });
        // Two of them may have had too little time for each other's names.
        world.play_until(15_000);
        let speaks = world.speaking().expect("nobody speaks");
        (world, speaks)
    }

    fn play_until(&mut self, until: u64) {
        while self.now < until {
            self.step();
        }
    }
}

/// Long enough that no clock has it for longer than a node goes on.
const AWAY: u64 = 95_000;

#[test]
fn while_the_database_is_away_for_all_who_has_the_records_speaks_all_the_time() {
    seeds::play("AWAY", 100, |seed| {
        let (mut world, speaks) = World::in_quiet(seed, 40);
        let generation = world.machines[speaks].generation;
        world.away_until = world.now + AWAY;
        while world.now < world.away_until + 20_000 {
            world.step();
            assert_eq!(world.speaking(), Some(speaks), "at {}", world.now);
        }
        assert_eq!(world.machines[speaks].generation, generation);
    });
}

#[test]
fn one_that_comes_while_all_others_are_cut_off_waits_until_none_of_them_goes_on() {
    seeds::play("COMES", 100, |seed| {
        let (mut world, former) = World::in_quiet(seed, 25_000);
        let cut_at = world.now;
        for machine in 0..NODES - 1 {
            world.machines[machine].cut_until = cut_at + 300_000;
        }
        // By the slowest clock; that nobody speaks beside the former is held at every step.
        world.play_until(cut_at + 150_000);
        let lease = u64::try_from(world.lease.as_millis()).unwrap();
        let speaks = world.speaking().unwrap_or_else(|| panic!("nobody speaks with a lease of {lease} ms"));
        assert!(speaks == NODES - 1 && speaks != former);
    });
}

#[test]
fn one_that_alone_is_cut_off_from_the_database_is_taken_over_from() {
    seeds::play("CUT", 100, |seed| {
        let (mut world, former) = World::in_quiet(seed, 40);
        world.machines[former].cut_until = world.now + 300_000;
        let (lease, cut_at) = (u64::try_from(world.lease.as_millis()).unwrap(), world.now);
        world.play_until(cut_at + lease * 5 / 4 + 10_000);
        assert_ne!(world.speaking().expect("nobody has taken over"), former);
    });
}

#[test]
fn of_several_nodes_one_speaks_and_nothing_acknowledged_is_gone() {
    seeds::play("CLUSTER", SEEDS, history);
}
