//! get_member_list of a room of 1,000 while members enter and leave it: what a list call costs then, beside itself when
//! nobody moves.
//!
//! The server computes for those who move as well, and that is not what is asked. So in each round they also move alone, and
//! what that cost for a move is taken off. A move that wakes an idle server costs a little more than one among many calls:
//! what is left is the list's cost, less that little. What moves make every list dearer by, its being written anew, stays
//! in.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::calls::{self, MEASURED, ROUNDS, WARM_UP};
use crate::figure::{Figure, Pairs, Target};
use load::Member;

use crate::member;
use crate::process::Roomful;

/// How many a second enter, and as many leave.
const PACE: u32 = 1000;
const MOVERS: u32 = 50;

pub(crate) async fn run(server: &Roomful) -> anyhow::Result<Figure> {
    let request = server.list_request("r")?;
    let mut movers = Vec::new();
    for number in 0..MOVERS {
        movers.push(member::log_in(server, &format!("moves-{number}")).await?);
    }
    let mut pairs = Pairs::default();
    for _ in 0..ROUNDS {
        let calm = calls::load(&server.process, &request).await?;
        let (alone, pace_alone) = moving(&mut movers, wait(server)).await?;
        let a_move = alone / (pace_alone * MEASURED.as_secs_f64());
        let (busy, pace) = moving(&mut movers, calls::load(&server.process, &request)).await?;
        let lists = busy.cpu_seconds - a_move * pace * busy.seconds;
        let busy = lists / busy.calls * 1e6;
        println!(
            "{pace:.0} moves a second at {:.1} us each: {busy:.2} us a call, calm {:.2} us",
            a_move * 1e6,
            calm.us_each()
        );
        pairs.push(busy, calm.us_each());
    }
    Ok(Figure::in_turn(
        "the same while 1,000 a second enter and leave, beside calm",
        "us of CPU a call",
        pairs,
        Target::AtMost(1.25),
    ))
}

/// What the server computes while it is not asked for lists.
async fn wait(server: &Roomful) -> anyhow::Result<f64> {
    tokio::time::sleep(WARM_UP).await;
    let before = server.process.cpu_seconds()?;
    tokio::time::sleep(MEASURED).await;
    Ok(server.process.cpu_seconds()? - before)
}

/// What comes of `measured` while all enter and leave, and how often a second they did either.
async fn moving<T>(
    movers: &mut [Member],
    measured: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(T, f64)> {
    let (stop, moves) = (AtomicBool::new(false), AtomicU64::new(0));
    let started = Instant::now();
    let measured = async {
        let measured = measured.await;
        stop.store(true, Ordering::Relaxed);
        measured
    };
    let moved = join_all(movers.iter_mut().map(|mover| move_about(mover, &stop, &moves)));
    let (measured, moved) = tokio::join!(measured, moved);
    moved.into_iter().collect::<anyhow::Result<()>>()?;
    Ok((measured?, moves.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()))
}

async fn move_about(mover: &mut Member, stop: &AtomicBool, moves: &AtomicU64) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(Duration::from_secs(1) * MOVERS / PACE);
    while !stop.load(Ordering::Relaxed) {
        tick.tick().await;
        for command in ["enter_room", "leave_room"] {
            mover.call(command, r#"{"RoomId":"r"}"#).await?;
            moves.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}
