//! 10,000 members in one room: what each costs the server in memory, how fast one message reaches all of them, and how late
//! it is when the room is at half of what it can do; beside a bare loop that writes the same bytes to as many sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::calls::call;
use crate::figure::{Figure, Target, median};
use crate::member;
use crate::process::{Process, Roomful};

const MEMBERS: usize = 10_000;
const MESSAGES: usize = 15;

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let server = Roomful::start()?;
    call(&server, "create_room", &json!({"RoomInfo": {"RoomId": "r", "RoomType": "Live"}})).await?;
    let heard = Arc::new(AtomicU64::new(0));
    // One more, and a moment, so that what is measured is members and not the first use of things.
    let mut speaker = member::enter(&server, "speaker", "r", &member::deaf()).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = server.process.resident_bytes()?;
    let members = member::enter_all(&[&server], MEMBERS, "r", &heard).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let bytes_each = (server.process.resident_bytes()? - before) / MEMBERS as f64;

    let text = "x".repeat(100);
    let body = json!({"RoomId": "r", "Text": text}).to_string();
    let mut rates = Vec::new();
    for _ in 0..MESSAGES {
        let started = Instant::now();
        speaker.call("send_text_msg", &body).await?;
        rates.push(until_all_heard(&heard, started).await);
    }
    let rate = median(rates);
    // A message in twice the time that one takes: half of the capacity, whatever that is here.
    let pace = Duration::from_secs_f64(2.0 * MEMBERS as f64 / rate);
    let late = delay(&heard, pace, async || speaker.call("send_text_msg", &body).await).await?;
    // One after the other, for both together would need more open files than a process usually may have.
    drop(members);
    drop(server);
    let (bare_rate, bare_late) = bare_loop(&text, pace).await?;

    Ok(vec![
        Figure::alone(
            "10,000 members: server memory of each",
            "bytes",
            bytes_each,
            Target::AtMost(12.0 * 1024.0),
        ),
        Figure::beside(
            "10,000 members: one message to all, beside a bare loop",
            "deliveries/s",
            rate,
            bare_rate,
            Target::AtLeast(0.5),
        ),
        Figure::beside(
            "10,000 members: the last has it, at half of that rate, beside the loop",
            "ms",
            late,
            bare_late,
            Target::AtMost(2.0),
        ),
    ])
}

/// The same for a loop that writes as many bytes to as many sockets: deliveries a second, and the delay at our pace.
async fn bare_loop(text: &str, pace: Duration) -> anyhow::Result<(f64, f64)> {
    let size = format!(
        r#"{{"event":"text_msg","body":{{"RoomId":"r","From_Account":"speaker","Text":"{text}","MsgId":"1700000000000-1","Seq":1,"Time":1700000000000}}}}"#
    )
    .len();
    let bare = Process::bare(&["bare-sockets", &size.to_string()])?;
    let mut trigger = TcpStream::connect(&bare.address).await?;
    let heard = Arc::new(AtomicU64::new(0));
    let mut readers = Vec::with_capacity(MEMBERS);
    for _ in 0..MEMBERS {
        let stream = TcpStream::connect(&bare.address).await?;
        readers.push(tokio::spawn(load::read(stream, heard.clone(), None)));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut rates = Vec::new();
    for _ in 0..MESSAGES {
        let started = Instant::now();
        trigger.write_u8(1).await?;
        rates.push(until_all_heard(&heard, started).await);
    }
    let late = delay(&heard, pace, async || Ok(trigger.write_u8(1).await?)).await?;
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    Ok((median(rates), late))
}

/// How long after it was due a message was with the last, in ms, when one is due every `pace`. One that cannot be sent in
/// time, because the one before it is still on its way, is late by that too.
async fn delay(
    heard: &AtomicU64,
    pace: Duration,
    mut send: impl AsyncFnMut() -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let mut ticks = tokio::time::interval(pace);
    let mut delays = Vec::new();
    for _ in 0..MESSAGES {
        let due = ticks.tick().await;
        send().await?;
        until_all_heard(heard, due.into_std()).await;
        delays.push(due.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(median(delays))
}

/// Deliveries a second of one message to everyone.
async fn until_all_heard(heard: &AtomicU64, started: Instant) -> f64 {
    while heard.load(Ordering::Relaxed) < MEMBERS as u64 {
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    heard.store(0, Ordering::Relaxed);
    MEMBERS as f64 / started.elapsed().as_secs_f64()
}
