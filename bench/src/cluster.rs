//! Several nodes on one PostgreSQL, beside one node: what it costs that a call comes in elsewhere, what the database acknowledges beside
//! SQLite on the same disk, how soon another node has what a killed one had, and how soon a message is with everybody.

#[path = "../../tests/harness/postgres.rs"]
mod postgres;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use load::Member;
use postgres::Database;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::calls::{CONNECTIONS, Load, ROUNDS, call, load_by, read_response};
use crate::figure::{Figure, Pairs, Target, median};
use crate::media::relayed;
use crate::process::Roomful;
use crate::{http, logins, member, mixed};

const MEMBERS: usize = 100;
const ROOMS: usize = 10_000;
const SESSIONS: usize = 10_000;
const MESSAGES: usize = 9;
const AT_ONCE: usize = 100;

/// How long it takes to see that a node is gone (docs/cluster.md).
const DETECTION: Duration = Duration::from_secs(7);

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// A node of the cluster at that address.
fn node(url: &str) -> anyhow::Result<Roomful> {
    let secret = "00112233445566778899aabbccddeeff".repeat(2);
    Roomful::start_with(&[("ROOMFUL_CLUSTER__URL", url), ("ROOMFUL_CLUSTER__SECRET", &secret)])
}

/// What calls cost and take.
pub(crate) async fn calls() -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::from(forwarded().await?);
    figures.extend(durable().await?);
    Ok(figures)
}

/// Lists that are asked for at the node that has them, beside the same at another.
async fn forwarded() -> anyhow::Result<[Figure; 3]> {
    let url = Database::shared().own_url().0;
    let (owner, edge) = (node(&url)?, node(&url)?);
    let inside = http::fill(&owner, MEMBERS).await?;
    let mut rooms = Vec::new();
    for number in 0..CONNECTIONS {
        let room = format!("room-{number}");
        call(&owner, "create_room", &json!({"RoomInfo": {"RoomId": room, "RoomType": "Live"}})).await?;
        rooms.push(owner.list_request(&room)?);
    }
    let one = [owner.list_request("r")?];
    Ok([
        Figure::in_turn(
            "a list of 100 members at another node that has the page, 64 callers, beside where the records are",
            "calls a CPU second of both",
            beside((&owner, &edge), CONNECTIONS, &one).await?,
            Target::AtLeast(0.9),
        ),
        Figure::in_turn(
            "the same, each caller with a room of its own, and nobody in it",
            "calls a CPU second of both",
            beside((&owner, &edge), CONNECTIONS, &rooms).await?,
            Target::AtLeast(0.5),
        ),
        {
            let pairs = beside((&owner, &edge), 1, &one).await?;
            drop(inside);
            Figure::in_turn(
                "a list of 100 members at another node, one caller, beside where the records are",
                "calls a CPU second of both",
                pairs,
                Target::AtLeast(0.5),
            )
        },
    ])
}

/// As much as can be had for the same computing time at the second, and at the first.
async fn beside(
    (owner, edge): (&Roomful, &Roomful),
    callers: usize,
    requests: &[String],
) -> anyhow::Result<Pairs> {
    let both = [&owner.process, &edge.process];
    let mut pairs = Pairs::default();
    for _ in 0..ROUNDS {
        let local = load_by(callers, &owner.process, &both, requests).await?;
        let carried = load_by(callers, &edge.process, &both, requests).await?;
        let said = |load: &Load| format!("{:.0} a second of {:.2} us", load.rate(), load.us_each());
        println!(
            "{callers} callers, {} rooms: {}; at another node {}",
            requests.len(),
            said(&local),
            said(&carried)
        );
        pairs.push(1e6 / carried.us_each(), 1e6 / local.us_each());
    }
    Ok(pairs)
}

/// Commands that are on disk before they are answered.
async fn durable() -> anyhow::Result<[Figure; 2]> {
    let (sqlite, postgres) = (Roomful::start()?, node(&Database::shared().own_url().0)?);
    for server in [&sqlite, &postgres] {
        mixed::prepare(server).await?;
    }
    let mut pairs = Pairs::default();
    let mut slowest = Vec::new();
    for _ in 0..ROUNDS {
        let mut rates = [0.0; 2];
        for (server, rate) in [&postgres, &sqlite].into_iter().zip(&mut rates) {
            let taken = mixed::load(server, mixed::in_turn(mixed::WRITES)).await?;
            let mut all: Vec<Duration> = taken.into_values().flatten().collect();
            *rate = all.len() as f64 / mixed::MEASURED.as_secs_f64();
            let p99 = mixed::p99_ms(&mut all);
            println!("durable commands: {rate:.0} a second, p99 {p99:.1} ms");
            if std::ptr::eq(server, &raw const postgres) {
                slowest.push(p99);
            }
        }
        let [postgres, sqlite] = rates;
        pairs.push(postgres, sqlite);
    }
    Ok([
        Figure::in_turn(
            "durable commands on PostgreSQL, 64 connections, beside SQLite",
            "acknowledged/s",
            pairs,
            Target::AtLeast(0.6),
        ),
        Figure::alone("durable commands on PostgreSQL: p99", "ms", median(slowest), Target::AtMost(25.0)),
    ])
}

/// What is published at one node and watched at another.
pub(crate) async fn media() -> anyhow::Result<Vec<Figure>> {
    let url = Database::shared().own_url().0;
    let nodes = relayed::Nodes { owner: node(&url)?, publishers: node(&url)?, other: node(&url)? };
    // Until the one with the records has the use of the others' media.
    sleep(Duration::from_secs(2)).await;
    Ok(relayed::run(&nodes).await?.into())
}

/// A node with 10,000 rooms is killed, to which 10,000 sessions are connected by another.
pub(crate) async fn takeover() -> anyhow::Result<Vec<Figure>> {
    let url = Database::shared().own_url().0;
    let (owner, edge) = (node(&url)?, node(&url)?);
    make_rooms(&owner).await?;
    let members = enter(&[&edge], SESSIONS, &Arc::default()).await?;
    // What is told is written a moment later.
    sleep(Duration::from_secs(2)).await;
    let resumptions: Vec<String> = members.iter().map(Member::resumption).collect();

    let killed = Instant::now();
    drop(owner);
    drop(members);
    until_answered(&edge).await?;
    let taken = killed.elapsed();
    println!("{ROOMS} rooms are answered for {taken:.1?} after the kill");
    let resuming = Instant::now();
    let members = logins::log_in_all(&edge, &resumptions, AT_ONCE, true).await?;
    let resumed = resuming.elapsed();
    println!("{} sessions have resumed after another {resumed:.1?}", members.len());
    Ok(vec![
        Figure::alone(
            "takeover of 10,000 rooms and sessions of a killed node, from when it is seen to be gone",
            "s",
            taken.saturating_sub(DETECTION).as_secs_f64(),
            Target::AtMost(5.0),
        ),
        Figure::alone("10,000 sessions resume after that", "s", resumed.as_secs_f64(), Target::AtMost(20.0)),
    ])
}

/// Waits until a node answers for a room.
async fn until_answered(node: &Roomful) -> anyhow::Result<()> {
    let started = Instant::now();
    let request = node.list_request("r")?;
    let mut buffer = vec![0; 4 << 20];
    while started.elapsed() < PATIENCE {
        let mut stream = TcpStream::connect(&node.process.address).await?;
        stream.write_all(request.as_bytes()).await?;
        let length = read_response(&mut stream, &mut buffer).await?;
        let head = buffer.get(..length.min(400)).unwrap_or_default();
        if head.windows(15).any(|part| part == br#"{"ErrorCode":0,"#) {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("nobody takes over")
}

async fn make_rooms(server: &Roomful) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    for first in 0..AT_ONCE {
        let requests = (first..ROOMS).step_by(AT_ONCE).map(|number| {
            let info = json!({"RoomInfo": {"RoomId": format!("room-{number:05}"), "RoomType": "Live"}});
            server.request("create_room", &info)
        });
        let requests = requests.collect::<anyhow::Result<Vec<String>>>()?;
        let address = server.process.address.clone();
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            let mut buffer = vec![0; 64 << 10];
            for request in requests {
                stream.write_all(request.as_bytes()).await?;
                read_response(&mut stream, &mut buffer).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// So many members enter the room `r`, which is made, at the nodes in turn.
async fn enter(nodes: &[&Roomful], count: usize, heard: &Arc<AtomicU64>) -> anyhow::Result<Vec<Member>> {
    let first = nodes.first().context("a node")?;
    call(first, "create_room", &json!({"RoomInfo": {"RoomId": "r", "RoomType": "Live"}})).await?;
    member::enter_all(nodes, count, "r", heard).await
}

/// A message to 10,000 members on three nodes, beside as many on one.
pub(crate) async fn message() -> anyhow::Result<Vec<Figure>> {
    let mut taken = Vec::new();
    for count in [3, 1] {
        let url = Database::shared().own_url().0;
        let nodes = (0..count).map(|_| node(&url)).collect::<anyhow::Result<Vec<Roomful>>>()?;
        let all: Vec<&Roomful> = nodes.iter().collect();
        let heard = Arc::new(AtomicU64::new(0));
        let members = enter(&all, SESSIONS, &heard).await?;
        let first = all.first().context("a node")?;
        let mut speaker = member::enter(first, "speaker", "r", &member::deaf()).await?;
        let body = json!({"RoomId": "r", "Text": "x".repeat(100)}).to_string();
        let mut each = Vec::new();
        for _ in 0..MESSAGES {
            let started = Instant::now();
            heard.store(0, Ordering::Relaxed);
            speaker.call("send_text_msg", &body).await?;
            while heard.load(Ordering::Relaxed) < SESSIONS as u64 {
                anyhow::ensure!(started.elapsed() < PATIENCE, "a message is not heard by all");
                sleep(Duration::from_micros(500)).await;
            }
            each.push(started.elapsed().as_secs_f64() * 1000.0);
        }
        let each = median(each);
        println!("a message to {SESSIONS} members at {count} nodes: {each:.0} ms");
        taken.push(each);
        drop(members);
    }
    let [three, one] = taken[..] else { anyhow::bail!("two were measured") };
    Ok(vec![Figure::beside(
        "a message to 10,000 members at three nodes, beside as many at one",
        "ms",
        three,
        one,
        Target::AtMost(1.3),
    )])
}
