//! The forwarding unit: one publisher at 2.5 Mbit/s and many viewers, beside a bare sender of as many protected packets
//! in the same batches and, where it is installed, beside Janus (VideoRoom) with the same load.
//!
//! Computing time is what is compared: seconds of CPU for each packet that goes out, at the same rate to the same sockets.

pub(crate) mod bare;
mod janus;
mod peer;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;
use tokio::task::JoinSet;

use crate::process::{Process, Roomful};
use crate::{Figure, Target, median};
use peer::{Peer, Stats};

/// What a viewer's packet holds: at 2.5 Mbit/s, 30 frames a second of 9 packets each.
pub(crate) const PAYLOAD: usize = 1157;
pub(crate) const PACKETS_A_FRAME: usize = 9;
pub(crate) const PACKETS_A_SECOND: usize = 270;

/// How many packets the publisher sends at once: like a browser's pacer, a third of a frame.
const BURST: usize = 3;

const LOOPBACK: &str = "127.0.0.1";

/// Viewers whose packets are opened, for delay and loss, spread over the order in which they came; the others' are only
/// counted.
const SAMPLED: usize = 12;

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
        let (offer, peer) = peer::Offered::publisher(LOOPBACK, stats).await?;
        peer.accept(&self.post("/whip/r", "publisher", offer).await?)
    }

    async fn watch(&mut self, number: usize, is_sampled: bool, stats: &Arc<Stats>) -> anyhow::Result<Peer> {
        let (offer, peer) = peer::Offered::viewer(LOOPBACK, is_sampled, stats).await?;
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
    joined_in: Duration,
}

async fn measure(
    signalling: &mut impl Signalling,
    process: impl Fn() -> anyhow::Result<(f64, f64)>,
    viewers: usize,
    burst: usize,
) -> anyhow::Result<Run> {
    let stats = Arc::new(Stats::sending(burst));
    let mut tasks = JoinSet::new();
    let publisher = signalling.publish(&stats).await?;
    tasks.spawn(publisher.run());
    tokio::time::timeout(Duration::from_secs(10), stats.wait_connected(1)).await.context("the publisher")?;
    let (_, memory_before) = process()?;
    let began = Instant::now();
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
    let joined_in = began.elapsed();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (cpu_before, memory) = process()?;
    let before = stats.received.load(Ordering::Relaxed);
    stats.start_sampling();
    tokio::time::sleep(MEASURED).await;
    let (cpu, _) = process()?;
    let packets = stats.received.load(Ordering::Relaxed) - before;
    let (lost, p99_ms) = stats.sampled();
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
        joined_in,
    })
}

async fn ours(viewers: usize, burst: usize) -> anyhow::Result<Run> {
    let mut whip = Whip::start().await?;
    let pid = whip.server.process.id();
    measure(&mut whip, || crate::process::usage(pid), viewers, burst).await
}

/// CPU seconds that a bare sender takes for a million packets.
async fn bare_cost(viewers: usize) -> anyhow::Result<f64> {
    let stats = Arc::new(Stats::sending(BURST));
    let mut tasks = JoinSet::new();
    let mut ports = Vec::new();
    for _ in 0..viewers {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
        ports.push(socket.local_addr()?.port().to_string());
        tasks.spawn(peer::count(socket, stats.clone()));
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

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let viewers = 500;
    let (mut costs, mut bares, mut last) = (Vec::new(), Vec::new(), None);
    for _ in 0..ROUNDS {
        let run = ours(viewers, BURST).await?;
        let bare = bare_cost(viewers).await?;
        eprintln!(
            "{viewers} viewers: {:.2} s of CPU for a million packets (bare: {bare:.2}), lost {:.5}, p99 {:.2} ms",
            run.cost, run.lost, run.p99_ms
        );
        costs.push(run.cost);
        bares.push(bare);
        last = Some(run);
    }
    let per_core = |cost: f64| 1e6 / cost;
    let delay = |name, run: &Run| Figure {
        name,
        unit: "us",
        ours: run.p99_ms * 1000.0,
        bare: None,
        target: Target::AtMost(5000.0),
    };
    figures.push(Figure {
        name: "forwarded packets a second of one core",
        unit: "packets/s",
        ours: per_core(median(costs)),
        bare: Some(per_core(median(bares))),
        target: Target::AtLeast(0.5),
    });
    if let Some(run) = &last {
        figures.push(delay("p99 of the delay, 500 viewers on one core, bursts of 3", run));
    }
    let even = ours(400, 1).await?;
    eprintln!(
        "400 viewers, packets sent evenly: {:.2} s of CPU for a million, p99 {:.2} ms",
        even.cost, even.p99_ms
    );
    figures.push(delay("p99 of the delay, 400 viewers on one core, evenly sent", &even));
    let crowd = ours(1000, BURST).await?;
    figures.push(Figure {
        name: "1,000 viewers join a running room",
        unit: "ms",
        ours: crowd.joined_in.as_secs_f64() * 1000.0,
        bare: None,
        target: Target::AtMost(10_000.0),
    });
    figures.push(Figure {
        name: "server memory of a viewer",
        unit: "B",
        ours: crowd.memory,
        bare: None,
        target: Target::AtMost(200.0 * 1024.0),
    });
    match janus::start().await? {
        None => {
            eprintln!("nothing is held against Janus: `make bench-media` gives it the network that it needs")
        }
        Some(mut janus) => {
            let viewers = 100;
            let (mut costs, mut theirs, mut run, mut other) = (Vec::new(), Vec::new(), None, None);
            for _ in 0..ROUNDS {
                let ours = ours(viewers, BURST).await?;
                let pid = janus.id();
                let their = measure(&mut janus, || crate::process::usage(pid), viewers, BURST).await?;
                janus.next_room().await?;
                eprintln!(
                    "{viewers} viewers: {:.2} s of CPU for a million packets, lost {:.5}, p99 {:.2} ms; Janus {:.2} s, \
                     lost {:.5}, p99 {:.2} ms",
                    ours.cost, ours.lost, ours.p99_ms, their.cost, their.lost, their.p99_ms
                );
                costs.push(ours.cost);
                theirs.push(their.cost);
                (run, other) = (Some(ours), Some(their));
            }
            figures.push(Figure {
                name: "viewers at equal CPU, beside Janus",
                unit: "packets/s of one core",
                ours: per_core(median(costs)),
                bare: Some(per_core(median(theirs))),
                target: Target::AtLeast(3.0),
            });
            if let (Some(ours), Some(theirs)) = (run, other) {
                figures.push(Figure {
                    name: "p99 of the forwarding delay, beside Janus",
                    unit: "us",
                    ours: ours.p99_ms * 1000.0,
                    bare: Some(theirs.p99_ms * 1000.0),
                    target: Target::AtMost(1.0),
                });
            }
        }
    }
    Ok(figures)
}
