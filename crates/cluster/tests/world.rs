//! Nodes in a world of chance: a database that is late, is away, and loses its answers (what was asked may have been done, or is
//! done much later); nodes that stop and go on, die and begin anew; clocks that run apart.
//!
//! Held at every step: of all nodes at most one speaks, by its own clock, also one that is stopped; epochs grow, and what is over
//! stays over; a change is kept only from the one that the claim names; what was acknowledged is in what is read afterwards,
//! whoever is asked. When all is quiet, somebody speaks soon.
//!
//! A failing history is reproduced with `CLUSTER_SEED=<the printed seed>`. `CLUSTER_SEEDS=<n>` runs more of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod model;
#[path = "../../hall/tests/seeds/mod.rs"]
mod seeds;

use std::collections::BTreeMap;
use std::time::Duration;

use cluster::{Ask, Effect, Generation, Input, Node, Times, Why};
use model::Database;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const NODES: usize = 3;
const SEEDS: u64 = 100;

/// How long a history lasts, in milliseconds, and how long it is quiet after that.
const LASTS: u64 = 240_000;
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
    Begins {
        machine: usize,
    },
}

#[derive(Clone, Copy)]
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
    machines: Vec<Machine>,
    happenings: BTreeMap<(u64, u64), Happening>,
    next: u64,
    lease: Duration,
    /// The highest value that somebody was told.
    told: u64,
    epoch: i64,
    is_quiet: bool,
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
            memory: None,
            asked: 0,
        });
        let machines = machines.collect();
        let mut world = Self {
            random,
            now: 0,
            database: Database::default(),
            away_until: 0,
            machines,
            happenings: BTreeMap::new(),
            next: 0,
            lease,
            told: 0,
            epoch: 0,
            is_quiet: false,
        };
        for machine in 0..NODES {
            world.later(machine as u64 * 10, Happening::Begins { machine });
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

    fn send(&mut self, machine: usize, what: What) {
        let generation = self.machines[machine].generation;
        let number = self.machines[machine].asked;
        let usual = self.random.random_range(1..40);
        // What lies in a socket is read by a database long after.
        let is_lost = !matches!(what, What::Load) && self.chance(40);
        let after = if self.chance(60) { self.random.random_range(1000..12_000) } else { usual };
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
                Effect::Open { epoch } => {
                    assert!(epoch >= self.epoch, "an epoch that was before");
                    self.send(machine, What::Load);
                }
                Effect::HandOver => {
                    // All that was acknowledged is on disk.
                    let generation = self.machines[machine].generation;
                    self.database.nodes.get_mut(&generation).unwrap().1 = true;
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
            Happening::Begins { machine } => {
                if self.machines[machine].node.is_some() {
                    return;
                }
                if self.is_stopped(machine) || self.away_until > self.now {
                    return self.later(200, Happening::Begins { machine });
                }
                let former = Some(self.machines[machine].generation).filter(|former| *former > 0);
                let generation = self.database.join(former);
                let now = self.clock(machine);
                let is_draining = self.chance(8);
                let its = &mut self.machines[machine];
                its.generation = generation;
                its.node = Some(Node::new(generation, Times::of(self.lease), is_draining, now));
                self.handle(machine, Input::Time);
            }
            Happening::Reaches { machine, generation, number, what, is_heard } => {
                if self.away_until > self.now {
                    if let What::Load = what {
                        self.handle(machine, Input::NotOpened);
                    }
                    return;
                }
                let answer = match what {
                    What::Ask(ask) => {
                        let input = self.database.ask(generation, ask, self.lease);
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

    fn somebody_speaks(&self) -> bool {
        self.machines.iter().enumerate().any(|(number, machine)| {
            let until = machine.node.as_ref().and_then(Node::speaks_until);
            until.is_some_and(|until| self.clock(number) < until)
        })
    }

    fn trouble(&mut self) {
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
            5..7 => self.away_until = self.now + self.random.random_range(100..20_000),
            7 => self.handle(machine, Input::Drain),
            _ => self.handle(machine, Input::Suspect),
        }
    }

    fn step(&mut self) {
        if !self.is_quiet && self.random.random_range(0..400) == 0 {
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
    // One that drains for good is not asked to take over.
    for machine in 0..NODES {
        world.machines[machine].stopped_until = 0;
        world.end(machine);
        world.later(100, Happening::Begins { machine });
    }
    let quiet_at = world.now;
    while world.now < quiet_at + SOON {
        world.step();
    }
    while world.now < quiet_at + QUIET {
        world.step();
        assert!(world.somebody_speaks(), "nobody speaks {} ms into the quiet", world.now - quiet_at);
    }
}

#[test]
fn of_several_nodes_one_speaks_and_nothing_acknowledged_is_gone() {
    seeds::play("CLUSTER", SEEDS, history);
}
