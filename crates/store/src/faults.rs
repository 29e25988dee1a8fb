//! The queue over an engine whose disk refuses, is late, and loses answers: what was acknowledged is kept, what was refused
//! left nothing, and the rest is a matter of time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeSet, VecDeque};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rooms::SessionId;

use crate::database_server::{Cut, Database, Wire};
use crate::memory::{Disk, Fault, Memory};
use crate::postgres::{Identity, Postgres, Target};
use crate::properties::{ROOMS, changes, made, told};
use crate::samples::{ann, presence, session};
use crate::{Change, Commit, Engine as _, Error, Job, Queued, Store as _};

/// What a caller does.
#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Change>),
    Journal(Vec<Change>),
    /// A session of its own begins and enters, or leaves and ends.
    ComeOrGo(u64),
    /// Looks at what a server would find that began now.
    Look,
    /// Lets the writer go on a little.
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => changes().prop_map(Step::Commit),
        6 => changes().prop_map(Step::Journal),
        4 => (10..13u64).prop_map(Step::ComeOrGo),
        2 => Just(Step::Look),
        1 => Just(Step::Wait),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::None),
        2 => Just(Fault::Late(Duration::from_micros(300))),
        2 => Just(Fault::Refuses),
        1 => (0..3usize).prop_map(Fault::RefusesAfter),
        2 => any::<bool>().prop_map(|is_written| Fault::AnswerLost { is_written }),
    ]
}

/// What has become of a commit, as far as its caller knows.
enum Outcome {
    Waits(Commit),
    Done(Result<(), Error>),
    /// It is of the journal.
    Journalled,
}

fn poll(outcome: &mut Outcome) {
    if let Outcome::Waits(commit) = outcome
        && let Poll::Ready(result) = commit.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    {
        *outcome = Outcome::Done(result);
    }
}

fn check(steps: &[Step], faults: Vec<Fault>) {
    let disk = Disk::default();
    disk.write(&Job::awaited(made())).unwrap();
    let mut faults = VecDeque::from(faults);
    let engine = Memory::new(disk.clone(), move |_| faults.pop_front().unwrap_or(Fault::None));
    let retry = Duration::from_micros(200);
    let (store, _) = Queued::with_patience(Box::new(engine), Box::new(|_| {}), retry).unwrap();
    let mut looks: Vec<(usize, Disk)> = Vec::new();
    let outcomes = run(&store, steps, |outcomes| {
        let is_kept = |(_, outcome): &(_, Outcome)| matches!(outcome, Outcome::Done(Ok(())));
        let acknowledged = outcomes.iter().rposition(is_kept).map_or(0, |last| last + 1);
        looks.push((acknowledged, disk.as_it_is()));
    });
    looks.push((outcomes.len(), disk.as_it_is()));

    let states = ideal(&outcomes);
    for (acknowledged, disk) in looks {
        let found = told(&disk.snapshot());
        let later = &states[acknowledged..];
        assert!(later.contains(&found), "after {acknowledged}: {found}\nis none of {later:#?}");
    }
}

/// Does what is said, then waits until all is quiet; what has become of each.
fn run(
    store: &Queued,
    steps: &[Step],
    mut look: impl FnMut(&[(Vec<Change>, Outcome)]),
) -> Vec<(Vec<Change>, Outcome)> {
    let mut outcomes: Vec<(Vec<Change>, Outcome)> = Vec::new();
    let mut inside = BTreeSet::new();

    for step in steps {
        match step {
            Step::Commit(changes) => {
                outcomes.push((changes.clone(), Outcome::Waits(store.commit(changes.clone()))));
            }
            Step::Journal(changes) => {
                store.journal(changes.clone());
                outcomes.push((changes.clone(), Outcome::Journalled));
            }
            Step::ComeOrGo(id) => {
                let changes = match inside.insert(*id) {
                    true => {
                        vec![Change::AddSession(session(*id)), Change::AddPresence(presence(*id, ROOMS[0]))]
                    }
                    false => {
                        inside.remove(id);
                        let id = SessionId(*id);
                        vec![Change::DeletePresence(ROOMS[0], ann(), id), Change::DeleteSession(id)]
                    }
                };
                store.journal(changes.clone());
                outcomes.push((changes, Outcome::Journalled));
            }
            Step::Look => {
                outcomes.iter_mut().for_each(|(_, outcome)| poll(outcome));
                look(&outcomes);
            }
            Step::Wait => std::thread::sleep(Duration::from_micros(300)),
        }
    }
    let last = store.commit(Vec::new());
    let deadline = Instant::now() + Duration::from_secs(20);
    let is_quiet = futures_executor::block_on(last);
    while is_quiet.is_err() && futures_executor::block_on(store.commit(Vec::new())).is_err() {
        assert!(Instant::now() < deadline, "the disk is well and nothing is kept");
    }
    // Those of a group are told at once, in no order; all of what came before the last is kept or refused by now.
    for (_, outcome) in &mut outcomes {
        if let Outcome::Waits(commit) = outcome {
            *outcome = Outcome::Done(futures_executor::block_on(commit.as_mut()));
        }
    }
    outcomes
}

/// What a disk has on which nothing fails, after each of those that were not refused.
fn ideal(outcomes: &[(Vec<Change>, Outcome)]) -> Vec<String> {
    let ideal = Disk::default();
    ideal.write(&Job::awaited(made())).unwrap();
    let mut states = vec![told(&ideal.snapshot())];
    for (changes, outcome) in outcomes {
        match outcome {
            Outcome::Waits(_) => panic!("nobody has told how it ended"),
            Outcome::Done(Err(_)) => {}
            Outcome::Done(Ok(())) => drop(ideal.write(&Job::awaited(changes.clone())).unwrap()),
            Outcome::Journalled => drop(ideal.write(&Job::journalled(vec![changes.clone()])).unwrap()),
        }
        states.push(told(&ideal.snapshot()));
    }
    states
}

/// The same over a real database, whose connection is cut again and again.
fn check_wire(steps: &[Step], cuts: Vec<(Cut, u64)>) {
    let folder = tempfile::tempdir().unwrap();
    let (_, schema) = Database::shared().own_url();
    let wire = Wire::to(Database::shared().port);
    let target = Target::parse(&wire.url(&schema), None).unwrap();
    let mut engine = Postgres::at(&target, &Identity::of(folder.path()).unwrap()).unwrap();
    assert!(engine.write(&[Job::awaited(made())])[0].is_ok());
    let retry = Duration::from_millis(20);
    let (store, _) = Queued::with_patience(Box::new(engine), Box::new(|_| {}), retry).unwrap();
    let cutter = std::thread::spawn(move || {
        for (cut, time) in cuts {
            wire.set(cut);
            std::thread::sleep(Duration::from_millis(time));
            wire.set(Cut::Nothing);
        }
        wire
    });

    let outcomes = run(&store, steps, |_| {});

    let _wire = cutter.join().unwrap();
    drop(store);
    let target = Target::parse(&Database::shared().url(&schema), None).unwrap();
    let found = Postgres::at(&target, &Identity::of(folder.path()).unwrap()).unwrap().load().unwrap();
    let last = ideal(&outcomes).pop().unwrap();
    assert_eq!(told(&found), last);
}

fn cut() -> impl Strategy<Value = (Cut, u64)> {
    let cut =
        prop_oneof![Just(Cut::BeforeCommit), Just(Cut::AfterCommit), Just(Cut::All), Just(Cut::Nothing)];
    (cut, 0..150u64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_on_disk_is_what_happened_up_to_a_moment_that_no_acknowledgement_is_later_than(
        steps in prop::collection::vec(step(), 1..40),
        faults in prop::collection::vec(fault(), 0..30),
    ) {
        check(&steps, faults);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_database_has_is_what_was_not_refused_wherever_its_connection_was_cut(
        steps in prop::collection::vec(step(), 1..40),
        cuts in prop::collection::vec(cut(), 1..6),
    ) {
        check_wire(&steps, cuts);
    }
}
