//! What quality takes: bytes on the disk of a value, and what a server computes for it where 1,000 members in rooms of four publish sound and a
//! picture, watch each other, and report on all of it every two seconds.
//!
//! The second is the sum of two differences. What reports cost is what such a server computes while all report, less what the same server
//! does while nobody does, in turn; without the threads that forward media, which reports do not come to, and whose computing differs by
//! more from one time to the next than all reports take. What samples cost is what it computes while nobody reports, less what another one does meanwhile that
//! keeps no history of such members and packets. So it has everything in it: what the forwarding unit counts, samples, reports, packing
//! and writing. Few packets flow, for they are the same on both sides, and would be most of it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use history::{Quality, Row, Samples};
use load::{Member, Offered, Peer, Sending, Stats};
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::figure::{Figure, Target, median};
use crate::history::{bytes_of, now, start, written};
use crate::media::LOOPBACK;
use crate::member;
use crate::process::{Roomful, usage};

const MEMBERS: usize = 1_000;
const IN_A_ROOM: usize = 4;

/// How many samples a row has.
const IN_A_ROW: usize = 22;

/// How often each looks at what it is like, and how often it did when it says so.
const INTERVAL: Duration = Duration::from_secs(2);
const TOGETHER: u32 = 3;

/// How long it is measured, and how often.
const MEASURED: Duration = Duration::from_secs(6);
const ROUNDS: usize = 3;

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let mut figures = packed()?;
    let binary = Roomful::binary()?;
    let mut with = Crowd::gather(&binary, &[]).await?;
    let without = Crowd::gather(&binary, &[("ROOMFUL_HISTORY__DAYS", "0")]).await?;
    let Shares { samples, reports, alone } = with.measure(without).await?;
    let a_second = MEMBERS as f64 / INTERVAL.as_secs_f64();
    println!(
        "of a core: samples {:.2} %, reports {:.2} %; a digest takes {:.1} us, one that is said alone {:.1} us",
        100.0 * samples,
        100.0 * reports,
        reports / a_second * 1e6,
        alone / a_second * 1e6
    );
    let name = "samples and reports of 1,000 publishing members";
    figures.push(Figure::alone(name, "% of a core", 100.0 * (samples + reports), Target::AtMost(2.0)));
    Ok(figures)
}

/// What a camera, or what is watched of one, is like in a minute, as both sides tell it.
fn minute(random: &mut impl rand::Rng, is_bad: bool) -> Samples {
    // Bits, pictures, height, loss, round trip, width; shown pictures, their size, buffered and stalled milliseconds.
    const NUMBERS: [u8; 11] = [0, 1, 2, 3, 4, 5, 18, 19, 20, 21, 22];
    let mut columns: Vec<(u8, Vec<Option<u32>>)> = NUMBERS.map(|number| (number, Vec::new())).into();
    let (mut bits, mut way) = (random.random_range(8_000..16_000_u32), random.random_range(20..100_u32));
    let mut height = 720;
    for _ in 0..IN_A_ROW {
        let (mut lost, mut stalled) = (0, 0);
        let mut frames = 30 - u32::from(random.random_bool(0.12));
        bits = bits * random.random_range(95..106) / 100;
        let mut delay = way + random.random_range(0..4);
        if is_bad {
            lost = if random.random_bool(0.3) {
                random.random_range(0..150)
            } else {
                random.random_range(0..10)
            };
            frames -= random.random_range(0..15);
            stalled = if random.random_bool(0.1) { random.random_range(600..2000) } else { 0 };
            bits = (bits * random.random_range(70..131) / 100).clamp(500, 20_000);
            way = (way + random.random_range(0..40)).saturating_sub(random.random_range(0..40)).max(5);
            delay = way + random.random_range(0..100);
            height = if random.random_bool(0.1) { 360 } else { height };
        }
        let shown = frames.saturating_sub(u32::from(random.random_bool(0.2)));
        let (width, buffered) = (height * 16 / 9, 60 + random.random_range(0..if is_bad { 100 } else { 8 }));
        let values = [bits, frames, height, lost, delay, width, shown, width, height, buffered, stalled];
        for ((_, column), value) in columns.iter_mut().zip(values) {
            column.push(Some(value));
        }
    }
    Samples { count: IN_A_ROW, columns }
}

/// Bytes a value on the disk, on good and on bad links.
fn packed() -> anyhow::Result<Vec<Figure>> {
    const ROWS: i64 = 40_000;
    let names = ["a value of packed quality on the disk, 10 % bad links", "the same, all links bad"];
    let mut figures = Vec::new();
    for (name, bad) in names.into_iter().zip([0.1, 1.0]) {
        let data = tempfile::tempdir()?;
        let history = start(data.path())?;
        let mut random = rand::rngs::StdRng::seed_from_u64(7);
        let minutes = (0..1000).map(|_| {
            let is_bad = random.random_bool(bad);
            minute(&mut random, is_bad)
        });
        let minutes: Vec<Samples> = minutes.collect();
        let began = now()?;
        let (mut values, cpu) = (0, usage(std::process::id())?.0);
        for (number, samples) in (0..ROWS).zip(minutes.iter().cycle()) {
            values += samples.values();
            // Rooms of four: each sends one and receives three.
            let (call, stay, peer) = (number / 64, began * 1000 + number / 4, number % 4);
            let (from, packed) = (began + number % 16 * 44, history::pack(samples));
            history.note(Row::Quality(Quality { call, stay, from, peer, media: 2, packed }));
            if number % 2_000 == 0 {
                written(&history)?;
            }
        }
        written(&history)?;
        drop(history);
        let each = (usage(std::process::id())?.0 - cpu) / ROWS as f64;
        let bytes = bytes_of(data.path(), ".quality")?;
        println!(
            "{name}: {:.0} bytes a row of {:.0} values, {:.1} us each",
            bytes / ROWS as f64,
            values as f64 / ROWS as f64,
            each * 1e6
        );
        figures.push(Figure::alone(name, "bytes", bytes / values as f64, Target::AtMost(3.0)));
    }
    Ok(figures)
}

/// What part of a core a server takes more.
struct Shares {
    /// For samples of which it keeps history.
    samples: f64,
    /// For reports, as clients put them together.
    reports: f64,
    /// For reports of a digest each.
    alone: f64,
}

/// Members who publish and watch each other.
struct Crowd {
    server: Roomful,
    members: Vec<Member>,
    /// Their connections of media.
    _media: JoinSet<()>,
}

impl Crowd {
    async fn gather(binary: &Path, environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let server = Roomful::of(binary, environment)?;
        // A packet of a picture and one of sound a second from each.
        let sending = Sending { frames_a_second: 1, packets_a_frame: 1, burst: 1 };
        let stats = Arc::new(Stats::new(sending));
        let (mut members, mut media) = (Vec::new(), JoinSet::new());
        for number in 0..MEMBERS {
            let room = room_of(number);
            if number % IN_A_ROOM == 0 {
                let info = json!({"RoomInfo": {"RoomId": room, "RoomType": "Conference"}});
                crate::calls::call(&server, "room_engine_http_srv/create_room", &info).await?;
            }
            members.push(member::enter(&server, &name(number), &room, &member::deaf()).await?);
        }
        for (number, member) in members.iter_mut().enumerate() {
            let (offer, peer) = Offered::speaker(LOOPBACK, &stats).await?;
            let mids = peer.mids();
            let streams = mids.iter().zip(["audio", "main"]);
            let streams: Vec<Value> =
                streams.map(|(mid, kind)| json!({"Mid": mid, "StreamType": kind})).collect();
            let peer = agree(member, "publish", &room_of(number), &offer, streams, peer).await?;
            media.spawn(peer.run());
        }
        for (number, member) in members.iter_mut().enumerate() {
            let (offer, peer) = Offered::listener(LOOPBACK, IN_A_ROOM - 1, &stats).await?;
            let mids = peer.mids();
            let sources = others(number).flat_map(|other| [(other, "audio"), (other, "main")]);
            let streams = mids.iter().zip(sources).map(
                |(mid, (other, kind))| json!({"Mid": mid, "Member_Account": name(other), "StreamType": kind}),
            );
            let peer = agree(member, "watch", &room_of(number), &offer, streams.collect(), peer).await?;
            media.spawn(peer.run());
        }
        let connected = stats.wait_connected(2 * MEMBERS);
        tokio::time::timeout(Duration::from_secs(60), connected).await.context("media is not connected")?;
        Ok(Self { server, members, _media: media })
    }

    /// Beside a crowd of which no history is kept, which is gone when reports are measured.
    async fn measure(&mut self, other: Self) -> anyhow::Result<Shares> {
        // What came with the connections is over, and rows are written as many as there always are.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let (mut samples, mut reports, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let before = other.server.process.cpu_seconds()?;
            let silent = self.share(None).await?.all;
            let beside = (other.server.process.cpu_seconds()? - before) / MEASURED.as_secs_f64();
            samples.push(silent - beside);
        }
        drop(other);
        for _ in 0..ROUNDS {
            let silent = self.share(None).await?.but_media;
            reports.push(self.share(Some(TOGETHER)).await?.but_media - silent);
            alone.push(self.share(Some(1)).await?.but_media - silent);
        }
        println!("samples {samples:.4?}, reports {reports:.4?}, one by one {alone:.4?}");
        Ok(Shares { samples: median(samples), reports: median(reports), alone: median(alone) })
    }

    /// What part of a core the server takes while all say so many digests at once, or nobody says anything.
    async fn share(&mut self, together: Option<u32>) -> anyhow::Result<Share> {
        let (started, before) = (Instant::now(), self.computed()?);
        let mut count = 0;
        if let Some(together) = together {
            let reports: Vec<String> = (0..MEMBERS).map(|number| report(number, together)).collect();
            let mut times = tokio::time::interval(INTERVAL * together / u32::try_from(MEMBERS)?);
            let mut number = 0;
            while started.elapsed() < MEASURED {
                times.tick().await;
                let member = self.members.get_mut(number % MEMBERS).context("a member")?;
                member.call("report", reports.get(number % MEMBERS).context("a report")?).await?;
                (number, count) = (number + 1, count + together);
            }
        } else {
            tokio::time::sleep(MEASURED).await;
        }
        let seconds = started.elapsed().as_secs_f64();
        let due = seconds / INTERVAL.as_secs_f64() * MEMBERS as f64;
        ensure!(
            together.is_none() || f64::from(count) > 0.95 * due,
            "only {count} digests of {due:.0} came in time"
        );
        let after = self.computed()?;
        Ok(Share {
            all: (after.all - before.all) / seconds,
            but_media: (after.but_media - before.but_media) / seconds,
        })
    }

    fn computed(&self) -> anyhow::Result<Share> {
        let process = &self.server.process;
        Ok(Share { all: process.cpu_seconds()?, but_media: process.cpu_seconds_but("media")? })
    }
}

/// What the server computes, in cores or in seconds.
struct Share {
    all: f64,
    /// Without the threads that forward.
    but_media: f64,
}

/// Connects, by a command of the member's.
async fn agree(
    member: &mut Member,
    command: &str,
    room: &str,
    offer: &str,
    streams: Vec<Value>,
    peer: Offered,
) -> anyhow::Result<Peer> {
    let body = json!({"RoomId": room, "Sdp": offer, "Streams": streams}).to_string();
    let answer: Value = serde_json::from_str(&member.call_for(command, &body).await?)?;
    let sdp = answer.pointer("/Response/Sdp").and_then(Value::as_str).context("Sdp")?;
    peer.accept(sdp)
}

fn name(number: usize) -> String {
    format!("user-{number}")
}

fn room_of(number: usize) -> String {
    format!("room-{}", number / IN_A_ROOM)
}

/// The others in a member's room.
fn others(number: usize) -> impl Iterator<Item = usize> {
    let first = number / IN_A_ROOM * IN_A_ROOM;
    (first..first + IN_A_ROOM).filter(move |other| *other != number)
}

/// What a member says of its streams, and of those that it gets, so many times at once.
fn report(number: usize, together: u32) -> String {
    let down: Vec<Value> = others(number)
        .flat_map(|other| {
            let name = name(other);
            [json!([name, "audio", 48, 61, 0]), json!([name, "main", 30, 640, 360, 70, 0])]
        })
        .collect();
    let up = json!([["audio", 52], ["main", 30, 29, 1280, 720]]);
    let earlier = (1..together).rev().map(|ago| json!({"Ago": 2 * ago, "Up": up, "Down": down}));
    let earlier: Vec<Value> = earlier.collect();
    json!({"RoomId": room_of(number), "Up": up, "Down": down, "Earlier": earlier}).to_string()
}
