//! What it costs that a stream is published at one node and watched at another, beside one more viewer of it where it is published;
//! and how much later it comes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use load::{Offered, Stats};
use serde_json::json;
use tokio::task::JoinSet;

use super::{BURST, LOOPBACK, http, sending};
use crate::figure::{Figure, Pairs, Target, median};
use crate::process::Roomful;

/// Each has viewers of its own, so that there is as much to relay as to forward.
const PUBLISHERS: usize = 30;

const MEASURED: Duration = Duration::from_secs(6);
const ROUNDS: usize = 3;

/// What one run found.
struct Run {
    /// CPU seconds of the node where is published, and of all.
    source: f64,
    all: f64,
    /// What came to viewers.
    packets: f64,
    p99_us: f64,
}

/// The nodes of a cluster: who has the records, where streams are published, and another.
pub(crate) struct Nodes {
    pub(crate) owner: Roomful,
    pub(crate) publishers: Roomful,
    pub(crate) other: Roomful,
}

impl Nodes {
    /// CPU seconds of the node where is published, and of all.
    fn cpu(&self) -> anyhow::Result<(f64, f64)> {
        let source = self.publishers.process.cpu_seconds()?;
        Ok((source, source + self.owner.process.cpu_seconds()? + self.other.process.cpu_seconds()?))
    }

    /// Offers at one of them.
    async fn post(
        &self,
        node: &Roomful,
        path: &str,
        user: &str,
        (offer, peer): (String, Offered),
    ) -> anyhow::Result<load::Peer> {
        let sig = self.owner.sig(user)?;
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\nAuthorization: Bearer {sig}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{offer}",
            offer.len()
        );
        let (status, body) = http(&node.process.address, &request).await?;
        anyhow::ensure!(status == 201, "{path}: {status} {body}");
        peer.accept(&body)
    }

    async fn run(&self, name: &str, at: &Roomful) -> anyhow::Result<Run> {
        let room = json!({"RoomInfo": {"RoomId": name, "RoomType": "Conference"}});
        let request = self.owner.request("room_engine_http_srv/create_room", &room)?;
        let (_, answer) = http(&self.owner.process.address, &request).await?;
        anyhow::ensure!(answer.contains("\"ErrorCode\":0"), "{answer}");
        let mut tasks = JoinSet::new();
        let mut all = Vec::new();
        for number in 0..PUBLISHERS {
            let stats: Arc<Stats> = sending(BURST);
            let offered = Offered::publisher(LOOPBACK, &stats).await?;
            let user = format!("p{number}");
            tasks.spawn(self.post(&self.publishers, &format!("/whip/{name}"), &user, offered).await?.run());
            let offered = Offered::viewer(LOOPBACK, true, &stats).await?;
            let path = format!("/whep/{name}?user={user}");
            tasks.spawn(self.post(at, &path, &format!("v{number}"), offered).await?.run());
            all.push(stats);
        }
        for stats in &all {
            let connected = stats.wait_connected(2);
            tokio::time::timeout(Duration::from_secs(30), connected).await.context("all are connected")?;
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        let received = || all.iter().map(|stats| stats.received.load(Ordering::Relaxed)).sum::<u64>();
        all.iter().for_each(|stats| stats.start_sampling());
        let (before, packets) = (self.cpu()?, received());
        tokio::time::sleep(MEASURED).await;
        let (after, packets) = (self.cpu()?, (received() - packets) as f64);
        let (source, all_nodes) = (after.0 - before.0, after.1 - before.1);
        let mut delays = load::Delays::default();
        all.iter().for_each(|stats| delays.add(&stats.sampled().delays));
        tasks.abort_all();
        let request = self.owner.request("room_engine_http_srv/destroy_room", &json!({"RoomId": name}))?;
        http(&self.owner.process.address, &request).await?;
        let p99_us = delays.percentile_us(0.99) as f64;
        println!(
            "{name}: {source:.2} s of CPU where is published, {all_nodes:.2} s of all nodes, for {packets} packets; p99 {p99_us:.0} us"
        );
        Ok(Run { source, all: all_nodes, packets, p99_us })
    }
}

pub(crate) async fn run(nodes: &Nodes) -> anyhow::Result<[Figure; 2]> {
    let (mut sent, mut later) = (Pairs::default(), Vec::new());
    for round in 0..ROUNDS {
        let here = nodes.run(&format!("here-{round}"), &nodes.publishers).await?;
        let there = nodes.run(&format!("there-{round}"), &nodes.other).await?;
        sent.push(there.source / there.packets * 1e6, here.source / here.packets * 1e6);
        println!("all nodes have {:.2} us a packet more", (there.all - here.all) / there.packets * 1e6);
        later.push((there.p99_us - here.p99_us) / 1000.0);
    }
    Ok([
        Figure::in_turn(
            "a packet that is watched at another node: where it is published, beside watched there",
            "us of CPU",
            sent,
            Target::AtMost(1.0),
        ),
        Figure::alone(
            "relayed to another node: p99 of the delay added",
            "ms",
            median(later),
            Target::AtMost(3.0),
        ),
    ])
}
