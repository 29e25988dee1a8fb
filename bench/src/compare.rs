//! Two builds of the server, in turn in one run: what a call costs each in computing time. Ratios of medians are steady
//! where single times are not, and count what the server does, not how long it waited for a core.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::calls::{self, call};
use crate::figure::median;
use load::Member;

use crate::member;
use crate::process::Roomful;
use crate::{http, mixed, one_room};

const ROUNDS: usize = 5;
const MEMBERS: usize = 1000;
const PAIRS: usize = 20_000;
const MESSAGES: usize = 200;

/// One build, ready to be measured.
struct Side {
    server: Roomful,
    inside: Vec<Member>,
    comer: Member,
    heard: Arc<AtomicU64>,
}

impl Side {
    async fn start(binary: &Path) -> anyhow::Result<Self> {
        let server = Roomful::of(binary, &[])?;
        mixed::prepare(&server).await?;
        let mut inside = http::fill(&server, MEMBERS).await?;
        let heard = Arc::new(AtomicU64::new(0));
        call(&server, "create_room", &json!({"RoomInfo": {"RoomId": "talk", "RoomType": "Live"}})).await?;
        for number in 0..MEMBERS {
            inside.push(member::enter(&server, &format!("hears-{number}"), "talk", &heard).await?);
        }
        let comer = member::log_in(&server, "comer").await?;
        Ok(Self { server, inside, comer, heard })
    }

    /// Microseconds of the server's computing time that one of what `work` counts costs.
    async fn cost(&mut self, kind: usize) -> anyhow::Result<f64> {
        let before = self.server.process.cpu_seconds()?;
        let count = match kind {
            0 => return self.lists().await,
            1 => self.comings().await?,
            2 => self.messages().await?,
            3 => self.writes(mixed::in_turn(mixed::WRITES)).await?,
            _ => self.writes(one_room::muting(1)).await?,
        };
        Ok((self.server.process.cpu_seconds()? - before) / count * 1e6)
    }

    async fn lists(&self) -> anyhow::Result<f64> {
        Ok(calls::load(&self.server.process, &self.server.list_request("r")?).await?.us_each())
    }

    async fn comings(&mut self) -> anyhow::Result<f64> {
        for _ in 0..PAIRS {
            self.comer.call("enter_room", r#"{"RoomId":"room-0001"}"#).await?;
            self.comer.call("leave_room", r#"{"RoomId":"room-0001"}"#).await?;
        }
        Ok(PAIRS as f64)
    }

    async fn messages(&mut self) -> anyhow::Result<f64> {
        self.heard.store(0, Ordering::Relaxed);
        let body = json!({"RoomId": "talk", "Text": "x".repeat(100)}).to_string();
        let last = self.inside.last_mut().ok_or_else(|| anyhow::anyhow!("nobody is in"))?;
        for _ in 0..MESSAGES {
            last.call("send_text_msg", &body).await?;
        }
        let all = (MESSAGES * MEMBERS) as u64;
        while self.heard.load(Ordering::Relaxed) < all {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(all as f64)
    }

    async fn writes(&self, what: impl Fn(usize, usize) -> (&'static str, Value)) -> anyhow::Result<f64> {
        let taken = mixed::load(&self.server, what).await?;
        Ok(taken.values().map(Vec::len).sum::<usize>() as f64)
    }
}

const KINDS: [&str; 5] = [
    "get_member_list of 1,000, a call",
    "enter and leave, a pair",
    "a message, a delivery to one of 1,000",
    "durable commands over 1,000 rooms, a call",
    "64 connections changing one room, a call",
];

/// Measures each figure, or those whose names have `only` in them.
pub(crate) async fn run(other: &Path, only: &str) -> anyhow::Result<()> {
    let mut ours = Side::start(&Roomful::binary()?).await?;
    let mut theirs = Side::start(other).await?;
    println!("{:<45} {:>10} {:>10} {:>7}", "microseconds of the server", "this", "other", "ratio");
    for (kind, name) in KINDS.iter().enumerate().filter(|(_, name)| name.contains(only)) {
        let (mut this, mut that, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            // In turn, and each first as often as the other.
            let (one, another) = if round % 2 == 0 {
                let one = ours.cost(kind).await?;
                (one, theirs.cost(kind).await?)
            } else {
                let another = theirs.cost(kind).await?;
                (ours.cost(kind).await?, another)
            };
            this.push(one);
            that.push(another);
            ratios.push(one / another);
        }
        println!("{name:<45} {:>10.2} {:>10.2} {:>7.3}", median(this), median(that), median(ratios));
    }
    Ok(())
}
