//! 10,000 members in one room: what each costs the server in memory, and how fast one message reaches all of them,
//! beside a bare loop that writes the same bytes to as many sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::member::{self, Member};
use crate::process::{Process, Roomful};
use crate::{Figure, Target, http, median};

const MEMBERS: usize = 10_000;
const MESSAGES: usize = 15;

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let server = Roomful::start()?;
    http::call(&server, "create_room", &json!({"RoomInfo": {"RoomId": "r", "RoomType": "Live"}})).await?;
    let heard = Arc::new(AtomicU64::new(0));
    // One more, and a moment, so that what is measured is members and not the first use of things.
    let mut speaker = Member::enter(&server, "speaker", "r", &Arc::default()).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = server.process.resident_bytes()?;
    let mut members = Vec::with_capacity(MEMBERS);
    for number in 0..MEMBERS {
        members.push(Member::enter(&server, &format!("user-{number:06}"), "r", &heard).await?);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let bytes_each = (server.process.resident_bytes()? - before) / MEMBERS as f64;

    // The frame's size on the wire: the bare loop writes as many bytes.
    let text = "x".repeat(100);
    let size = format!(
        r#"{{"event":"text_msg","body":{{"RoomId":"r","From_Account":"speaker","Text":"{text}","MsgId":"1700000000000-1","Seq":1,"Time":1700000000000}}}}"#
    )
    .len();
    let bare = Process::bare(&["bare-sockets", &size.to_string()])?;
    let mut trigger = TcpStream::connect(&bare.address).await?;
    let heard_bare = Arc::new(AtomicU64::new(0));
    let mut readers = Vec::with_capacity(MEMBERS);
    for _ in 0..MEMBERS {
        let stream = TcpStream::connect(&bare.address).await?;
        readers.push(tokio::spawn(member::read(stream, heard_bare.clone(), None)));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;

    let body = json!({"RoomId": "r", "Text": text}).to_string();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..MESSAGES {
        let started = Instant::now();
        trigger.write_u8(1).await?;
        theirs.push(until_all_heard(&heard_bare, started).await);
        let started = Instant::now();
        speaker.call("send_text_msg", &body).await?;
        ours.push(until_all_heard(&heard, started).await);
    }
    readers.iter().for_each(tokio::task::JoinHandle::abort);

    Ok(vec![
        Figure {
            name: "10,000 members: server memory of each",
            unit: "bytes",
            ours: bytes_each,
            bare: None,
            target: Target::AtMost(12.0 * 1024.0),
        },
        Figure {
            name: "10,000 members: one message to all, beside a bare loop",
            unit: "deliveries/s",
            ours: median(ours),
            bare: Some(median(theirs)),
            target: Target::AtLeast(0.5),
        },
    ])
}

/// Deliveries a second of one message to everyone.
async fn until_all_heard(heard: &AtomicU64, started: Instant) -> f64 {
    while heard.load(Ordering::Relaxed) < MEMBERS as u64 {
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    heard.store(0, Ordering::Relaxed);
    MEMBERS as f64 / started.elapsed().as_secs_f64()
}
