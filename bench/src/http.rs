//! get_member_list against a bare axum server with a ready-made body: 64 keep-alive connections, load and servers on
//! the same cores, the signature verified on every request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::member::Member;
use crate::process::{Process, Roomful};
use crate::{Figure, Target, median};

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;
pub(crate) const WARM_UP: Duration = Duration::from_millis(500);
pub(crate) const MEASURED: Duration = Duration::from_secs(2);

/// How many members a second enter and leave while the list is asked for.
const CHURN: u32 = 1000;
const CHURNERS: u32 = 50;

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (members, name, target) in [
        (1000, "get_member_list, 1,000 members", 0.9),
        (100, "get_member_list, 100 members", 0.88),
        (1, "get_member_list, 1 member", 0.75),
    ] {
        let server = Roomful::start()?;
        let mut inside = fill(&server, members).await?;
        let bare = Process::bare(&["bare-http", &members.to_string()])?;
        let request = server.list_request("r")?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            theirs.push(measure(&bare, &request, "bare").await?);
            ours.push(measure(&server.process, &request, "ours").await?);
        }
        figures.push(Figure {
            name,
            unit: "calls/s",
            ours: median(ours),
            bare: Some(median(theirs)),
            target: Target::AtLeast(target),
        });

        if members == 1000 {
            let (mut calm, mut busy) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                calm.push(calls_a_second(&server.process.address, &request).await?);
                let stop = Arc::new(AtomicBool::new(false));
                let churn = churn(&server, stop.clone()).await?;
                let rate = calls_a_second(&server.process.address, &request).await?;
                stop.store(true, Ordering::Relaxed);
                let mut moves = 0;
                let mut seconds: f64 = 0.0;
                for churner in churn {
                    let (count, took) = churner.await??;
                    moves += count;
                    seconds = seconds.max(took);
                }
                println!("churn: {:.0} enters and as many leaves a second", f64::from(moves) / seconds);
                busy.push(rate);
            }
            figures.push(Figure {
                name: "the same while 1,000 a second enter and leave, beside calm",
                unit: "calls/s",
                ours: median(busy),
                bare: Some(median(calm)),
                target: Target::AtLeast(0.8),
            });
        }
        inside.clear();
    }
    Ok(figures)
}

/// A room `r` with so many members over real WebSockets, who read what they are sent.
pub(crate) async fn fill(server: &Roomful, members: usize) -> anyhow::Result<Vec<Member>> {
    call(server, "create_room", &json!({"RoomInfo": {"RoomId": "r", "RoomType": "Live"}})).await?;
    let mut inside = Vec::with_capacity(members);
    for number in 0..members {
        inside.push(Member::enter(server, &format!("user-{number:06}"), "r", &Arc::default()).await?);
    }
    Ok(inside)
}

/// Members that enter and leave, together [`CHURN`] times a second.
#[allow(clippy::type_complexity)]
async fn churn(
    server: &Roomful,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<Vec<tokio::task::JoinHandle<anyhow::Result<(u32, f64)>>>> {
    let mut tasks = Vec::new();
    for number in 0..CHURNERS {
        let mut member = Member::log_in(server, &format!("churn-{number}")).await?;
        let stop = stop.clone();
        tasks.push(tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1) * CHURNERS / CHURN);
            let (started, mut count) = (Instant::now(), 0);
            while !stop.load(Ordering::Relaxed) {
                tick.tick().await;
                member.call("enter_room", r#"{"RoomId":"r"}"#).await?;
                member.call("leave_room", r#"{"RoomId":"r"}"#).await?;
                count += 1;
            }
            Ok((count, started.elapsed().as_secs_f64()))
        }));
    }
    Ok(tasks)
}

pub(crate) async fn call(server: &Roomful, command: &str, body: &serde_json::Value) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(&server.process.address).await?;
    stream.write_all(server.request(command, body)?.as_bytes()).await?;
    let mut buffer = vec![0; 64 * 1024];
    let length = read_response(&mut stream, &mut buffer).await?;
    let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
    if !text.contains(r#""ErrorCode":0"#) {
        bail!("{command}: {text}");
    }
    Ok(())
}

/// Calls a second, and on the side what one costs the server in computing time.
async fn measure(server: &Process, request: &str, name: &str) -> anyhow::Result<f64> {
    let before = server.cpu_seconds()?;
    let rate = calls_a_second(&server.address, request).await?;
    let calls = rate * (WARM_UP + MEASURED).as_secs_f64();
    println!(
        "{name}: {rate:.0} calls/s, about {:.1} us of the server each",
        (server.cpu_seconds()? - before) / calls * 1e6
    );
    Ok(rate)
}

pub(crate) async fn calls_a_second(address: &str, request: &str) -> anyhow::Result<f64> {
    let request: Arc<[u8]> = request.as_bytes().into();
    let counting = Arc::new(AtomicBool::new(false));
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (request, counting, stop, count) =
            (request.clone(), counting.clone(), stop.clone(), count.clone());
        tasks.push(tokio::spawn(async move {
            let mut buffer = vec![0; 128 * 1024];
            while !stop.load(Ordering::Relaxed) {
                stream.write_all(&request).await?;
                let length = read_response(&mut stream, &mut buffer).await?;
                if !buffer
                    .get(..length)
                    .is_some_and(|body| body.windows(16).take(400).any(|part| part == br#"{"ErrorCode":0,""#))
                {
                    bail!("{}", String::from_utf8_lossy(buffer.get(..length.min(500)).unwrap_or_default()));
                }
                if counting.load(Ordering::Relaxed) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(())
        }));
    }
    tokio::time::sleep(WARM_UP).await;
    counting.store(true, Ordering::Relaxed);
    let started = Instant::now();
    tokio::time::sleep(MEASURED).await;
    counting.store(false, Ordering::Relaxed);
    let rate = count.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await??;
    }
    Ok(rate)
}

/// Reads one response whole; returns how many bytes it had.
pub(crate) async fn read_response(stream: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<usize> {
    let mut filled = 0;
    let mut whole = None;
    loop {
        let read = stream.read(buffer.get_mut(filled..).context("the response is too long")?).await?;
        if read == 0 {
            bail!("the connection was closed");
        }
        filled += read;
        if whole.is_none() {
            let seen = buffer.get(..filled).unwrap_or_default();
            if let Some(end) = seen.windows(4).take(1024).position(|four| four == b"\r\n\r\n") {
                let head = std::str::from_utf8(seen.get(..end).unwrap_or_default())?.to_ascii_lowercase();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .context("no length")?;
                whole = Some(end + 4 + length.parse::<usize>()?);
            }
        }
        if whole.is_some_and(|whole| filled >= whole) {
            return Ok(filled);
        }
    }
}
