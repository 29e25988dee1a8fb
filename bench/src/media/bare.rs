//! The reference: a sender that does nothing but protect packets and send them, in the forwarding unit's batches.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use load::PAYLOAD;

use super::{BURST, PACKETS_A_SECOND};

/// Sends a burst to each port, 90 times a second, for ever.
pub(crate) fn run(ports: &str) -> anyhow::Result<()> {
    let targets = ports.split(',').map(|port| Ok(SocketAddr::from(([127, 0, 0, 1], port.parse()?))));
    let targets = targets.collect::<anyhow::Result<Vec<_>>>()?;
    let mut sender = ::media::reference::BareSender::open()?;
    println!("listening on nothing");
    let mut due = Instant::now();
    loop {
        sender.send(&targets, BURST, PAYLOAD + 20)?;
        due += Duration::from_micros((1_000_000 * BURST / PACKETS_A_SECOND) as u64);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}
