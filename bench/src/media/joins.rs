//! What a viewer's joining costs: the server's computing time from the offer by WHEP until it is connected, beside its end of
//! a bare DTLS handshake, which nobody who joins can do without.

use std::time::Duration;

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;

use super::{Signalling as _, Whip, sending};
use crate::figure::{Figure, Pairs, Target, median};

const VIEWERS: usize = 500;
const HANDSHAKES: usize = 301;
const ROUNDS: usize = 5;

pub(crate) async fn run() -> anyhow::Result<Figure> {
    let mut pairs = Pairs::default();
    for _ in 0..ROUNDS {
        let join = join_us().await?;
        let handshake = handshake_us()?;
        eprintln!("a join: {join:.0} us of CPU, a bare handshake {handshake:.0}");
        pairs.push(join, handshake);
    }
    Ok(Figure::in_turn(
        "a viewer joins, beside a bare DTLS handshake",
        "us of CPU",
        pairs,
        Target::AtMost(7.0),
    ))
}

async fn join_us() -> anyhow::Result<f64> {
    let mut whip = Whip::start().await?;
    // A publisher that sends nothing, so that nothing is forwarded meanwhile.
    let stats = sending(0);
    let mut tasks = JoinSet::new();
    tasks.spawn(whip.publish(&stats).await?.run());
    tokio::time::timeout(Duration::from_secs(10), stats.wait_connected(1)).await.context("the publisher")?;
    let before = whip.server.process.cpu_seconds()?;
    for number in 0..VIEWERS {
        tasks.spawn(whip.watch(number, false, &stats).await?.run());
    }
    let connected = stats.wait_connected(1 + VIEWERS);
    tokio::time::timeout(Duration::from_secs(60), connected)
        .await
        .context("not all viewers were connected")?;
    Ok((whip.server.process.cpu_seconds()? - before) / VIEWERS as f64 * 1e6)
}

/// The middle one of many, for a timer's interrupt doubles one.
fn handshake_us() -> anyhow::Result<f64> {
    let mut taken = Vec::new();
    for _ in 0..HANDSHAKES {
        let took = ::media::reference::handshake(thread_time).context("a handshake that comes to its end")?;
        taken.push(took.as_secs_f64() * 1e6);
    }
    Ok(median(taken))
}

/// How long this thread has computed.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
