//! What the database does with the statements by which nodes know of each other, beside the model of it with which the world of
//! chance in `crates/cluster` is played.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../../tests/harness/postgres.rs"]
mod database;
#[path = "../../cluster/tests/model/mod.rs"]
mod model;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cluster::{Ask, Generation, Input, View};
use database::Database;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use store::{Identity, Membership, Said, Target};
use tempfile::TempDir;

const LEASE: Duration = Duration::from_secs(6);

fn said() -> Said {
    Said {
        address: "127.0.0.1:8480".into(),
        clients: String::new(),
        mesh: ([127, 0, 0, 1], 8482).into(),
        lease: LEASE,
        is_draining: false,
        rooms: 3,
        sessions: 5,
        clock: 0,
    }
}

/// The clock of a node that has run for a day.
fn running() -> Duration {
    Duration::from_secs(86_400)
}

/// A node with a folder of its own.
struct One {
    _folder: TempDir,
    identity: Identity,
    membership: Membership,
}

async fn begin(target: &Target, identity: &Identity) -> Membership {
    Membership::begin(target, identity, "1.2.3", &said(), running, |cluster| {
        vec![format!("check of {cluster}")]
    })
    .await
    .unwrap()
}

impl One {
    async fn begin(target: &Target) -> Self {
        let folder = TempDir::new().unwrap();
        let identity = Identity::of(folder.path()).unwrap();
        let membership = begin(target, &identity).await;
        Self { _folder: folder, identity, membership }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A renewal that names nobody.
fn renewal(number: i64) -> Ask {
    Ask::Renew { number, names: Vec::new(), at_most: LEASE }
}

/// What an input says, to be compared.
fn plain(input: &Input) -> (&'static str, i64, Option<&View>) {
    match input {
        Input::Renewed { beat, view } => ("renewed", *beat, Some(view)),
        Input::Looked(view) => ("looked", 0, Some(view)),
        Input::Over => ("over", 0, None),
        Input::Ended => ("ended", 0, None),
        Input::Claimed(epoch) => ("claimed", epoch.unwrap_or(-1), None),
        other => panic!("{other:?}"),
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// It names so many of the others, or says again what it said so many renewals ago.
    Renew(usize, usize, i64),
    Look(usize),
    /// One ends another, whose beat it has seen so many behind.
    End(usize, usize, i64),
    Claim(usize),
    /// It begins anew.
    Again(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let one = 0..3usize;
    prop_oneof![
        4 => (one.clone(), one.clone(), 0..2i64).prop_map(|(one, names, behind)| Step::Renew(one, names, behind)),
        1 => one.clone().prop_map(Step::Look),
        2 => (one.clone(), one.clone(), 0..2i64).prop_map(|(one, other, behind)| Step::End(one, other, behind)),
        3 => one.clone().prop_map(Step::Claim),
        1 => one.prop_map(Step::Again),
    ]
}

#[test]
fn the_database_does_what_its_model_does() {
    let database = Database::start(&[]);
    let runtime = runtime();
    let mut schemas = 0..;
    let mut runner = TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
    let histories = proptest::collection::vec(step(), 1..60);
    let schema = std::cell::RefCell::new(&mut schemas);
    runner
        .run(&histories, |steps| {
            let number: u32 = schema.borrow_mut().next().unwrap();
            let target = Target::parse(&database.url(&format!("model{number}")), None).unwrap();
            runtime.block_on(compare(&target, &steps));
            Ok(())
        })
        .unwrap();
}

async fn compare(target: &Target, steps: &[Step]) {
    let mut model = model::Database::default();
    let mut nodes = Vec::new();
    let mut renewals = [0; 3];
    for _ in 0..3 {
        let node = One::begin(target).await;
        assert_eq!(node.membership.generation(), model.join(None, LEASE));
        nodes.push(node);
    }
    let generation = |nodes: &[One], one: usize| -> Generation { nodes[one].membership.generation() };
    for step in steps {
        let (one, ask) = match *step {
            Step::Renew(one, names, behind) => {
                renewals[one] += 1 - behind;
                let names: Vec<_> = (0..names).map(|other| generation(&nodes, other)).collect();
                let at_most = if names.is_empty() { LEASE } else { cluster::LONGEST };
                (one, Ask::Renew { number: renewals[one], names, at_most })
            }
            Step::Look(one) => (one, Ask::Look),
            Step::Claim(one) => (one, Ask::Claim),
            Step::End(one, other, behind) => {
                let generation = generation(&nodes, other);
                (one, Ask::End { generation, beat: model.nodes[&generation].beat - behind })
            }
            Step::Again(one) => {
                let former = generation(&nodes, one);
                renewals[one] = 0;
                nodes[one].membership = begin(target, &nodes[one].identity.clone()).await;
                assert_eq!(generation(&nodes, one), model.join(Some(former), LEASE));
                continue;
            }
        };
        let expected = model.ask(generation(&nodes, one), &ask);
        let (answer, cluster) = nodes[one].membership.ask(ask, &said()).await;
        assert_eq!(plain(&answer), plain(&expected), "{step:?}");
        if let Some(cluster) = cluster {
            assert_eq!(Some(&cluster.view), plain(&expected).2);
            assert!(cluster.nodes.iter().all(|node| node.said.lease == LEASE && node.version == "1.2.3"));
        }
    }
}

#[test]
fn of_renewing_and_ending_at_once_one_fails_and_of_two_claims_too() {
    let database = Database::start(&[]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let target = Target::parse(&database.url("roomful"), None).unwrap();
    runtime.block_on(async {
        for round in 0..30 {
            let (mut one, mut two, mut three) =
                (One::begin(&target).await, One::begin(&target).await, One::begin(&target).await);
            let (renewed, _) = one.membership.ask(renewal(1), &said()).await;
            let beat = plain(&renewed).1;
            let generation = one.membership.generation();
            let end = Ask::End { generation, beat };
            let (renewing, ending) = tokio::join!(
                tokio::spawn(async move { one.membership.ask(renewal(1), &said()).await.0 }),
                tokio::spawn(async move {
                    let ended = two.membership.ask(end, &said()).await.0;
                    (two, ended)
                }),
            );
            let (two, _) = ending.unwrap();
            let is_over = matches!(renewing.unwrap(), Input::Over);
            let over =
                database.sql(&format!("SELECT over FROM roomful.nodes WHERE generation = {generation}"));
            assert_eq!(over == "t", is_over, "round {round}");

            // Whoever had the claim is gone.
            database.sql(&format!(
                "UPDATE roomful.nodes SET over = true WHERE generation NOT IN ({}, {})",
                two.membership.generation(),
                three.membership.generation()
            ));
            let mut two = two;
            let (first, second) = tokio::join!(
                tokio::spawn(async move { two.membership.ask(Ask::Claim, &said()).await.0 }),
                tokio::spawn(async move { three.membership.ask(Ask::Claim, &said()).await.0 }),
            );
            let claimed = [first.unwrap(), second.unwrap()];
            let won = claimed.iter().filter(|input| matches!(input, Input::Claimed(Some(_)))).count();
            assert_eq!(won, 1, "round {round}: {claimed:?}");
        }
    });
}

#[test]
fn one_with_another_secret_is_refused_while_there_are_others() {
    let database = Database::start(&[]);
    let target = Target::parse(&database.url("roomful"), None).unwrap();
    runtime().block_on(async {
        let mut one = One::begin(&target).await;
        let folder = TempDir::new().unwrap();
        let identity = Identity::of(folder.path()).unwrap();
        let said = said();
        let other =
            || Membership::begin(&target, &identity, "1.2.3", &said, running, |_| vec!["other".into()]);

        let lives = async {
            loop {
                one.membership.ask(renewal(1), &said).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        let refused = tokio::select! {
            refused = other() => refused.err().unwrap().to_string(),
            () = lives => return,
        };

        assert!(refused.contains("another cluster.secret"), "{refused}");
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
        let theirs = 86_400_000 + one.membership.offset();
        assert!(
            (now - theirs).abs() < 60_000 && one.membership.is_ahead().abs() < 1_000,
            "{theirs} at {now}"
        );
        one.membership.end().await.unwrap();
        assert!(other().await.is_ok(), "all may have another together");
    });
}
