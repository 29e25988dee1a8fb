//! 10,000 users of an app who were never seen before log in over WebSocket, many at once: what a show's beginning is.

use std::time::Instant;

use tokio::task::JoinSet;

use crate::figure::{Figure, Target, median};
use load::Member;

use crate::member;
use crate::process::Roomful;

const USERS: usize = 10_000;
const AT_ONCE: usize = 500;
const ROUNDS: usize = 3;

/// Open files beside the connections.
const SPARE: u64 = 2000;

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    // Server and client have a file each for a connection, and the same limit. Where it is low, connections are closed as
    // soon as they are logged in.
    let (limit, _) = rlimit::Resource::NOFILE.get()?;
    let is_kept = limit >= USERS as u64 + SPARE;
    let mut taken = Vec::new();
    for _ in 0..ROUNDS {
        // Another server each time, for there is only one first login.
        let server = Roomful::start()?;
        let logins = (0..USERS).map(|number| server.login(&format!("user-{number:06}")));
        // Signed before the clock runs: that is the app's work.
        let logins = logins.collect::<anyhow::Result<Vec<_>>>()?;
        let before = server.process.cpu_seconds()?;
        let started = Instant::now();
        let _members = log_in_all(&server, &logins, AT_ONCE, is_kept).await?;
        let seconds = started.elapsed().as_secs_f64();
        let cpu = server.process.cpu_seconds()? - before;
        println!("{USERS} first logins: {seconds:.2} s, {:.0} us of CPU each", cpu / USERS as f64 * 1e6);
        taken.push(seconds);
    }
    Ok(vec![Figure::alone("10,000 first logins of an app", "s", median(taken), Target::AtMost(3.0))])
}

/// Logs in with all of them, so many at once.
pub(crate) async fn log_in_all(
    server: &Roomful,
    logins: &[String],
    at_once: usize,
    is_kept: bool,
) -> anyhow::Result<Vec<Member>> {
    let mut tasks = JoinSet::new();
    for some in logins.chunks(logins.len().div_ceil(at_once).max(1)) {
        tasks.spawn(log_in(server.process.address.clone(), some.to_vec(), is_kept));
    }
    let mut members = Vec::with_capacity(logins.len());
    while let Some(some) = tasks.join_next().await {
        members.extend(some??);
    }
    Ok(members)
}

/// Logs in one after the other.
async fn log_in(address: String, logins: Vec<String>, is_kept: bool) -> anyhow::Result<Vec<Member>> {
    let mut members = Vec::new();
    for login in logins {
        let member = member::connect(&address, &login, &member::deaf()).await?;
        if is_kept {
            members.push(member);
        }
    }
    Ok(members)
}
