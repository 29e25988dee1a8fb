//! What history costs and how fast it is asked: calls of the RTC API over a day with 100,000 rooms and 1,000,000 stays, a room's delays
//! with and without history, and what a stay takes on the disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use history::{Call, Cause, Client, Event, History, Options, Place, Row, Stay};
use load::{Delays, Member};
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::calls::{WARM_UP, read_response};
use crate::figure::{Figure, Pairs, Target};
use crate::member;
use crate::process::{Process, Roomful};

/// A day's rooms and stays.
const CALLS: i64 = 100_000;
const STAYS: i64 = 1_000_000;

/// What a stay leaves besides: it published, muted, and so on.
const EVENTS_EACH: i64 = 8;

const CONNECTIONS: usize = 32;

/// How many different calls are signed beforehand.
const REQUESTS: usize = 2_000;

/// How many calls a second there have to be on two cores.
const CALLS_A_SECOND: f64 = 5_000.0;

/// How long each is measured.
const MEASURED: Duration = Duration::from_secs(5);

const ROUNDS: usize = 41;

/// Enters a second, which are 26,000,000 stays a day.
const ENTERS_A_SECOND: f64 = 300.0;

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let binary = Roomful::binary()?;
    let mut bytes = 0.0;
    let server = Roomful::prepared(&binary, &[], |data| {
        bytes = fill(data)?;
        Ok(())
    })?;
    let target = Target::AtMost(200.0);
    figures.push(Figure::alone("a stay on the disk, with its part of its call", "bytes", bytes, target));
    figures.extend(asked(&server).await?);
    drop(server);
    figures.push(delays(&binary).await?);
    Ok(figures)
}

pub(crate) fn now() -> anyhow::Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?)
}

pub(crate) fn start(data: &Path) -> anyhow::Result<History> {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let clock = Arc::new(move || i64::try_from(clock()).unwrap_or(i64::MAX));
    let place = Place::Folder(data.join("history"));
    Ok(History::start(Options { place, days: 14, most_bytes: u64::MAX, clock, on_lost: Box::new(|| ()) })?)
}

pub(crate) fn written(history: &History) -> anyhow::Result<()> {
    ensure!(history.flush(Duration::from_secs(60)), "history is not written");
    Ok(())
}

/// The bytes of files whose names have that in them.
pub(crate) fn bytes_of(data: &Path, part: &str) -> anyhow::Result<f64> {
    let mut bytes = 0;
    for file in std::fs::read_dir(data.join("history"))? {
        let file = file?;
        if file.file_name().to_string_lossy().contains(part) {
            bytes += file.metadata()?.len();
        }
    }
    Ok(bytes as f64)
}

/// Writes a day. Returns the bytes a stay takes, its part of its call included and its events not.
fn fill(data: &Path) -> anyhow::Result<f64> {
    let history = start(data)?;
    let client = Client {
        sdk: "roomful-js/5.20.0".into(),
        device: "Chrome 156, Windows".into(),
        terminal: 1,
        address: "203.0.113.77".into(),
    };
    let began = now()? - 20 * 3600;
    for number in 0..CALLS {
        let made = began + number * 18 * 3600 / CALLS;
        let call = Call {
            call: number + 1,
            app: APP,
            room: format!("room-{number}").into(),
            made,
            ended: Some((made + 600, Cause::Left)),
            creator: "host".into(),
        };
        history.note(Row::Call(call.clone()));
        for who in 1..=STAYS / CALLS {
            let stay = made * 1000 + who;
            let (call, user) = (call.call, format!("user-{}", (10 * number + who) % 50_000).into());
            let left = Some((stay + 60_000, Cause::Left));
            let client = client.clone();
            history.note(Row::Stay(Stay { call, stay, who, app: APP, user, left, is_anchor: false, client }));
        }
        if number % 2_000 == 0 {
            written(&history)?;
        }
    }
    written(&history)?;
    // Closed, so that nothing is left beside the database.
    drop(history);
    let bytes = bytes_of(data, ".calls")? / STAYS as f64;
    let history = start(data)?;
    for number in 0..STAYS / 100 {
        for n in 0..EVENTS_EACH {
            let (call, stay) = (number / 10 + 1, began * 1000 + number);
            let at = stay + 1000 * n;
            let event = Event { call, stay, at, n: 0, event: 32_768, media: 2, peer: 0, p1: -1, p2: -1 };
            history.note(Row::Event(event));
        }
    }
    written(&history)?;
    drop(history);
    let events = bytes_of(data, ".calls")? - bytes * STAYS as f64;
    println!("an event takes {:.0} bytes more", events / (STAYS / 100 * EVENTS_EACH) as f64);
    Ok(bytes)
}

/// The app that a new server makes.
const APP: u32 = 1_400_000_001;

/// Asks for rooms and for who was in them.
async fn asked(server: &Roomful) -> anyhow::Result<Vec<Figure>> {
    let key = server.api_key()?;
    let now = now()?;
    let mut random = rand::rngs::StdRng::seed_from_u64(9);
    let window = json!({"SdkAppId": APP, "StartTime": now - 86_000, "EndTime": now});
    let with = |more: Value| {
        let mut body = window.clone();
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        body
    };
    let pages = (0..REQUESTS).map(|_| {
        let page = random.random_range(0..u64::from(CALLS.unsigned_abs() as u32) / 10);
        sign(server, &key, "DescribeRoomInfo", &with(json!({"PageNumber": page, "PageSize": 10})))
    });
    let pages = pages.collect::<anyhow::Result<Vec<_>>>()?;
    let first = exchange(server, &pages, br#"{"Response":{"Total":100000,"#).await?;
    let list = first.pointer("/Response/RoomList").and_then(Value::as_array).context("RoomList")?;
    ensure!(list.len() == 10, "{first}");
    // Those of the last hours, each by the four hours around it.
    let recent = with(json!({"StartTime": now - 6 * 3600, "PageNumber": 0, "PageSize": 100}));
    let recent = [sign(server, &key, "DescribeRoomInfo", &recent)?];
    let recent = exchange(server, &recent, b"{\"Response\":{\"Total\":").await?;
    let rooms = recent.pointer("/Response/RoomList").and_then(Value::as_array).context("RoomList")?.clone();
    let users = rooms.iter().map(|room| {
        let made = room.pointer("/CreateTime").and_then(Value::as_i64).unwrap_or_default();
        let body = json!({"SdkAppId": APP, "CommId": room.pointer("/CommId"), "StartTime": made - 60, "EndTime": made + 3600});
        sign(server, &key, "DescribeUserInfo", &body)
    });
    let users = users.collect::<anyhow::Result<Vec<_>>>()?;

    let rooms_total = br#"{"Response":{"Total":100000,"#;
    let users_total = br#"{"Response":{"Total":10,"#;
    let most = ask(&server.process, &pages, rooms_total, None).await?;
    let paced = ask(&server.process, &pages, rooms_total, Some(CALLS_A_SECOND)).await?;
    let pages_of_users = ask(&server.process, &users, users_total, Some(1_000.0)).await?;
    println!(
        "DescribeRoomInfo: {:.0} calls/s at {:.0} us each, p99 {:.1} ms; at {:.0} calls/s p99 {:.1} ms; DescribeUserInfo: {:.0} us each",
        most.rate, most.us_each, most.p99_ms, paced.rate, paced.p99_ms, pages_of_users.us_each
    );
    Ok(vec![
        Figure::alone(
            "DescribeRoomInfo, signed by TC3, over 100,000 rooms",
            "calls/s, load included",
            most.rate,
            Target::AtLeast(CALLS_A_SECOND),
        ),
        Figure::alone("the same at 5,000 calls a second, p99", "ms", paced.p99_ms, Target::AtMost(20.0)),
        Figure::alone(
            "a page of DescribeUserInfo over 1,000,000 stays, p99",
            "ms",
            pages_of_users.p99_ms,
            Target::AtMost(10.0),
        ),
    ])
}

/// A whole request, signed.
fn sign(
    server: &Roomful,
    (id, key): &(String, String),
    action: &str,
    body: &Value,
) -> anyhow::Result<Vec<u8>> {
    let (body, host, at) = (body.to_string(), &server.process.address, now()?.to_string());
    let header = |name: &str| match name {
        "content-type" => Some(&b"application/json"[..]),
        "host" => Some(host.as_bytes()),
        _ => None,
    };
    let hosts = tc3::hosts(host, []);
    let payload = tc3::Payload::of(body.as_bytes());
    let request =
        tc3::Request { method: "POST", query: "", timestamp: &at, payload, hosts: &hosts, header: &header };
    let key = tc3::SecretKey::new(key.clone());
    let authorization = tc3::sign(&key, id, "trtc", &["content-type", "host"], &request)?;
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nAuthorization: {authorization}\r\n\
         X-TC-Action: {action}\r\nX-TC-Version: 2019-07-22\r\nX-TC-Timestamp: {at}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Ok([head.into_bytes(), body.into_bytes()].concat())
}

/// One call; its answer, whose body has to begin so.
async fn exchange(server: &Roomful, requests: &[Vec<u8>], begins: &[u8]) -> anyhow::Result<Value> {
    let mut stream = TcpStream::connect(&server.process.address).await?;
    stream.write_all(requests.first().context("a request")?).await?;
    let mut buffer = vec![0; 256 * 1024];
    let length = read_response(&mut stream, &mut buffer).await?;
    let body = body_of(buffer.get(..length).unwrap_or_default());
    ensure!(body.starts_with(begins), "{}", String::from_utf8_lossy(body));
    Ok(serde_json::from_slice(body)?)
}

fn body_of(response: &[u8]) -> &[u8] {
    let end = response.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    response.get(end..).unwrap_or_default()
}

/// What a server did while it was asked.
struct Asked {
    rate: f64,
    us_each: f64,
    p99_ms: f64,
}

/// Sends requests over keep-alive connections for a while, as many a second as that, or as many as there can be. What is late is
/// counted from when it was due.
async fn ask(
    server: &Process,
    requests: &[Vec<u8>],
    begins: &'static [u8],
    pace: Option<f64>,
) -> anyhow::Result<Asked> {
    let requests: Arc<Vec<Vec<u8>>> = Arc::new(requests.to_vec());
    let (next, is_measured) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(&server.address).await?;
        stream.set_nodelay(true)?;
        let (requests, next) = (requests.clone(), next.clone());
        let (is_measured, stop) = (is_measured.clone(), stop.clone());
        tasks.push(tokio::spawn(async move {
            let mut buffer = vec![0; 256 * 1024];
            let mut delays = Delays::default();
            while !stop.load(Ordering::Relaxed) {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let due = match pace {
                    Some(pace) => began + Duration::from_secs_f64(at as f64 / pace),
                    None => Instant::now(),
                };
                tokio::time::sleep_until(due.into()).await;
                let request = requests.get(at % requests.len()).context("a request")?;
                stream.write_all(request).await?;
                let length = read_response(&mut stream, &mut buffer).await?;
                let body = body_of(buffer.get(..length).unwrap_or_default());
                if !body.starts_with(begins) {
                    bail!("{}", String::from_utf8_lossy(body));
                }
                if is_measured.load(Ordering::Relaxed) {
                    delays.record(u64::try_from(due.elapsed().as_micros())?);
                }
            }
            Ok(delays)
        }));
    }
    tokio::time::sleep(WARM_UP).await;
    let (started, cpu) = (Instant::now(), server.cpu_seconds()?);
    is_measured.store(true, Ordering::Relaxed);
    tokio::time::sleep(MEASURED).await;
    is_measured.store(false, Ordering::Relaxed);
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), server.cpu_seconds()? - cpu);
    stop.store(true, Ordering::Relaxed);
    let mut all = Delays::default();
    for task in tasks {
        all.add(&task.await??);
    }
    let count = all.count() as f64;
    Ok(Asked {
        rate: count / seconds,
        us_each: cpu / count * 1e6,
        p99_ms: all.percentile_us(0.99) as f64 / 1000.0,
    })
}

/// How long it takes to come into a room, beside a server that keeps no history.
async fn delays(binary: &Path) -> anyhow::Result<Figure> {
    let with = Roomful::of(binary, &[])?;
    let without = Roomful::of(binary, &[("ROOMFUL_HISTORY__DAYS", "0")])?;
    let (mut movers, mut others) =
        (members(&with, CONNECTIONS).await?, members(&without, CONNECTIONS).await?);
    let mut pairs = Pairs::default();
    for round in 0..ROUNDS {
        // In turn, and each first as often as the other.
        let (ours, bare) = if round % 2 == 0 {
            let ours = moving(&mut movers).await?;
            (ours, moving(&mut others).await?)
        } else {
            let bare = moving(&mut others).await?;
            (moving(&mut movers).await?, bare)
        };
        println!("enter_room, p99: {ours:.0} us, {bare:.0} us without history");
        pairs.push(ours, bare);
    }
    let name = "enter_room at 26,000,000 a day, p99, beside a server without history";
    Ok(Figure::in_turn_of_medians(name, "us", pairs, Target::AtMost(1.05)))
}

/// Members in rooms of four that publish nothing, and stay in the first of two.
async fn members(server: &Roomful, count: usize) -> anyhow::Result<Vec<(Member, String)>> {
    let mut members = Vec::new();
    for number in 0..count {
        let room = format!("room-{}", number / 4);
        if number % 4 == 0 {
            crate::calls::call(
                server,
                "create_room",
                &json!({"RoomInfo": {"RoomId": room, "RoomType": "Live"}}),
            )
            .await?;
        }
        let member = member::enter(server, &format!("user-{number}"), &room, &member::deaf()).await?;
        members.push((member, json!({"RoomId": room}).to_string()));
    }
    Ok(members)
}

/// Members leave and enter again at a pace; the p99 of entering, in microseconds.
async fn moving(members: &mut [(Member, String)]) -> anyhow::Result<f64> {
    let (began, count) = (Instant::now(), members.len());
    // A commit of history is in each.
    let until = began + Duration::from_millis(1200);
    let moves = members.iter_mut().enumerate().map(|(number, (member, room))| async move {
        let mut delays = Delays::default();
        for step in 0_usize.. {
            let due = began + Duration::from_secs_f64((step * count + number) as f64 / ENTERS_A_SECOND);
            if due > until {
                break;
            }
            tokio::time::sleep_until(due.into()).await;
            member.call("leave_room", room).await?;
            let started = Instant::now();
            member.call("enter_room", room).await?;
            delays.record(u64::try_from(started.elapsed().as_micros())?);
        }
        anyhow::Ok(delays)
    });
    let mut all = Delays::default();
    for delays in futures_util::future::join_all(moves).await {
        all.add(&delays?);
    }
    Ok(all.percentile_us(0.99) as f64)
}
