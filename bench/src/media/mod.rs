//! The forwarding unit: one publisher at 2.5 Mbit/s and many viewers, beside a bare sender of as many protected packets
//! in the same batches and, where it is installed, beside Janus (VideoRoom) with the same load.
//!
//! Computing time is what is compared: seconds of CPU for each packet that goes out, at the same rate to the same sockets.

pub(crate) mod bare;
mod janus;
mod joins;
pub(crate) mod relayed;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::task::JoinSet;

use crate::figure::{Figure, Pairs, Target, median};
use crate::process::{Process, Roomful};
use load::{FRAMES_A_SECOND, Offered, Peer, Sending, Stats};

/// At 2.5 Mbit/s.
const PACKETS_A_FRAME: usize = 9;
pub(crate) const PACKETS_A_SECOND: usize = PACKETS_A_FRAME * FRAMES_A_SECOND;

/// How many packets the publisher sends at once: like a browser's pacer, a third of a frame.
const BURST: usize = 3;

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// All viewers open what they get, for only they who tell of it are sent more; of these it is noted how late it is and what
/// is missing, spread over the order in which they came.
const SAMPLED: usize = 12;

/// As many as the load can open on a core of its own beside what else it does.
const VIEWERS: usize = 300;

/// How long a measurement takes.
const MEASURED: Duration = Duration::from_secs(6);
const ROUNDS: usize = 3;

/// Where a connection is offered, and answered.
pub(crate) trait Signalling {
    /// Connects a publisher, until its media flows.
    async fn publish(&mut self, stats: &Arc<Stats>) -> anyhow::Result<Peer>;
    async fn watch(&mut self, number: usize, is_sampled: bool, stats: &Arc<Stats>) -> anyhow::Result<Peer>;
}

struct Whip {
    server: Roomful,
}

impl Whip {
    async fn start() -> anyhow::Result<Self> {
        let server = Roomful::start_with(&[("ROOMFUL_MEDIA__WORKERS", "1")])?;
        let info = json!({"RoomInfo": {"RoomId": "r", "RoomType": "Conference"}});
        let (_, answer) =
            http(&server.process.address, &server.request("room_engine_http_srv/create_room", &info)?)
                .await?;
        anyhow::ensure!(answer.contains("\"ErrorCode\":0"), "{answer}");
        Ok(Self { server })
    }

    async fn post(&self, path: &str, user: &str, offer: String) -> anyhow::Result<String> {
        let sig = self.server.sig(user)?;
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\nAuthorization: Bearer {sig}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{offer}",
            offer.len()
        );
        let (status, body) = http(&self.server.process.address, &request).await?;
        anyhow::ensure!(status == 201, "{path}: {status} {body}");
        Ok(body)
    }
}

impl Signalling for Whip {
    async fn publish(&mut self, stats: &Arc<Stats>) -> anyhow::Result<Peer> {
        let (offer, peer) = Offered::publisher(LOOPBACK, stats).await?;
        peer.accept(&self.post("/whip/r", "publisher", offer).await?)
    }

    async fn watch(&mut self, number: usize, is_sampled: bool, stats: &Arc<Stats>) -> anyhow::Result<Peer> {
        let (offer, peer) = Offered::viewer(LOOPBACK, is_sampled, stats).await?;
        peer.accept(&self.post("/whep/r?user=publisher", &format!("v{number}"), offer).await?)
    }
}

/// One HTTP exchange on a connection of its own.
pub(crate) async fn http(address: &str, request: &str) -> anyhow::Result<(u16, String)> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    // Keep-alive would leave us waiting for more.
    let request = match request.contains("Connection: close") {
        true => request.to_owned(),
        false => request.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1),
    };
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
    end.await.context("an answer in time")??;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").context("an HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("its status")?;
    Ok((status, body.to_owned()))
}

/// What one run found.
struct Run {
    /// CPU seconds for a million packets.
    cost: f64,
    /// Of packets, at the sampled viewers.
    lost: f64,
    p99_ms: f64,
    memory: f64,
}

async fn measure(
    signalling: &mut impl Signalling,
    process: impl Fn() -> anyhow::Result<(f64, f64)>,
    viewers: usize,
    burst: usize,
) -> anyhow::Result<Run> {
    let stats = sending(burst);
    let mut tasks = JoinSet::new();
    let publisher = signalling.publish(&stats).await?;
    tasks.spawn(publisher.run());
    tokio::time::timeout(Duration::from_secs(10), stats.wait_connected(1)).await.context("the publisher")?;
    let (_, memory_before) = process()?;
    // Those that are looked into have a thread of their own, so that they do not wait for the crowd's.
    let sampling = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    for number in 0..viewers {
        let is_sampled = number.is_multiple_of(viewers / SAMPLED);
        let viewer = signalling.watch(number, is_sampled, &stats).await?;
        match is_sampled {
            true => drop(sampling.spawn(viewer.run())),
            false => drop(tasks.spawn(viewer.run())),
        }
    }
    let connected = stats.wait_connected(1 + viewers);
    tokio::time::timeout(Duration::from_secs(60), connected)
        .await
        .context("not all viewers were connected")?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (cpu_before, memory) = process()?;
    let before = stats.received.load(Ordering::Relaxed);
    stats.start_sampling();
    tokio::time::sleep(MEASURED).await;
    let (cpu, _) = process()?;
    let packets = stats.received.load(Ordering::Relaxed) - before;
    let seen = stats.sampled();
    let lost = seen.missing as f64 / (seen.delays.count() + seen.missing).max(1) as f64;
    let p99_ms = seen.delays.percentile_us(0.99) as f64 / 1000.0;
    let sent = (viewers * PACKETS_A_SECOND) as u64 * MEASURED.as_secs();
    let received = packets as f64 / sent as f64;
    if received < 0.98 {
        eprintln!(
            "the load took in {:.0} % of what there was: its side of the machine is full",
            received * 100.0
        );
    }
    tasks.abort_all();
    sampling.shutdown_background();
    Ok(Run {
        cost: (cpu - cpu_before) / packets as f64 * 1e6,
        lost,
        p99_ms,
        memory: (memory - memory_before) / viewers as f64,
    })
}

async fn ours(viewers: usize, burst: usize) -> anyhow::Result<Run> {
    let mut whip = Whip::start().await?;
    let pid = whip.server.process.id();
    measure(&mut whip, || crate::process::usage(pid), viewers, burst).await
}

/// CPU seconds that a bare sender takes for a million packets.
async fn bare_cost(viewers: usize) -> anyhow::Result<f64> {
    let stats = sending(BURST);
    let mut tasks = JoinSet::new();
    let mut ports = Vec::new();
    for _ in 0..viewers {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
        ports.push(socket.local_addr()?.port().to_string());
        tasks.spawn(count(socket, stats.clone()));
    }
    let process = Process::bare(&["bare-media", &ports.join(",")])?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (cpu_before, _) = crate::process::usage(process.id())?;
    let before = stats.received.load(Ordering::Relaxed);
    tokio::time::sleep(MEASURED).await;
    let (cpu, _) = crate::process::usage(process.id())?;
    let packets = stats.received.load(Ordering::Relaxed) - before;
    tasks.abort_all();
    Ok((cpu - cpu_before) / packets as f64 * 1e6)
}

/// What a publisher and its viewers note, when so many packets are sent at once.
fn sending(burst: usize) -> Arc<Stats> {
    Arc::new(Stats::new(Sending {
        frames_a_second: FRAMES_A_SECOND,
        packets_a_frame: PACKETS_A_FRAME,
        burst,
    }))
}

/// Counts what comes in, as a viewer that is not sampled does.
async fn count(socket: tokio::net::UdpSocket, stats: Arc<Stats>) {
    let mut buffer = vec![0; 2000];
    while socket.readable().await.is_ok() {
        while socket.try_recv_from(&mut buffer).is_ok() {
            stats.received.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn per_core(cost: f64) -> f64 {
    1e6 / cost
}

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let (forwarding, capacity) = forwarding().await?;
    let mut figures = vec![forwarding];
    figures.extend(delays(capacity).await?);
    figures.push(joins::run().await?);
    figures.push(Figure::alone(
        "server memory of a viewer",
        "B",
        ours(VIEWERS, BURST).await?.memory,
        Target::AtMost(200.0 * 1024.0),
    ));
    match janus::start().await? {
        Some(mut janus) => figures.extend(beside_janus(&mut janus).await?),
        None => {
            eprintln!("nothing is held against Janus: `make bench-media` gives it the network that it needs")
        }
    }
    Ok(figures)
}

/// Packets a second of one core, beside a bare sender's; and ours again.
async fn forwarding() -> anyhow::Result<(Figure, f64)> {
    let viewers = VIEWERS;
    let (mut costs, mut bares) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let run = ours(viewers, BURST).await?;
        let bare = bare_cost(viewers).await?;
        eprintln!(
            "{viewers} viewers: {:.2} s of CPU for a million packets (bare: {bare:.2}), lost {:.5}, p99 {:.2} ms",
            run.cost, run.lost, run.p99_ms
        );
        costs.push(run.cost);
        bares.push(bare);
    }
    let capacity = per_core(median(costs));
    let figure = Figure::beside(
        "forwarded packets a second of one core",
        "packets/s",
        capacity,
        per_core(median(bares)),
        Target::AtLeast(0.5),
    );
    Ok((figure, capacity))
}

/// With as many viewers as take a part of this core, whatever it can do: half of it, and less where packets come one by one
/// and each costs more.
async fn delays(capacity: f64) -> anyhow::Result<[Figure; 2]> {
    let taking = |share: f64| ((capacity * share) as usize / PACKETS_A_SECOND).max(SAMPLED);
    let (bursts, even) = (ours(taking(0.5), BURST).await?, ours(taking(0.4), 1).await?);
    for (run, share, how) in [(&bursts, 0.5, "in bursts"), (&even, 0.4, "evenly")] {
        eprintln!(
            "{} viewers, packets sent {how}: {:.2} s of CPU for a million, p99 {:.2} ms",
            taking(share),
            run.cost,
            run.p99_ms
        );
    }
    Ok([
        // The last packet of a burst waits for all others to be sent, and at half of the capacity they take half of the
        // time that there is between bursts.
        Figure::beside(
            "p99 of the delay, at half of the capacity, in bursts, beside their interval",
            "us",
            bursts.p99_ms * 1000.0,
            (1_000_000 * BURST / PACKETS_A_SECOND) as f64,
            Target::AtMost(1.0),
        ),
        Figure::alone(
            "p99 of the delay, at 0.4 of the capacity, evenly sent",
            "us",
            even.p99_ms * 1000.0,
            Target::AtMost(5000.0),
        ),
    ])
}

async fn beside_janus(janus: &mut janus::Janus) -> anyhow::Result<[Figure; 2]> {
    let viewers = 100;
    let (mut rates, mut delays) = (Pairs::default(), Pairs::default());
    for _ in 0..ROUNDS {
        let ours = ours(viewers, BURST).await?;
        let pid = janus.id();
        let their = measure(janus, || crate::process::usage(pid), viewers, BURST).await?;
        janus.next_room().await?;
        eprintln!(
            "{viewers} viewers: {:.2} s of CPU for a million packets, lost {:.5}, p99 {:.2} ms; Janus {:.2} s, \
             lost {:.5}, p99 {:.2} ms",
            ours.cost, ours.lost, ours.p99_ms, their.cost, their.lost, their.p99_ms
        );
        rates.push(per_core(ours.cost), per_core(their.cost));
        delays.push(ours.p99_ms * 1000.0, their.p99_ms * 1000.0);
    }
    Ok([
        Figure::in_turn(
            "viewers at equal CPU, beside Janus",
            "packets/s of one core",
            rates,
            Target::AtLeast(3.0),
        ),
        Figure::in_turn("p99 of the forwarding delay, beside Janus", "us", delays, Target::AtMost(1.0)),
    ])
}
