//! A viewer beyond the link whom nobody wants: a client that floods the server with requests for keyframes, with bandwidths of
//! nothing and of everything, and with requests for what it has lost on purpose, and a stranger beside it who sends control
//! packets that nobody has sealed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use load::{FRAMES_A_SECOND, Offered, Sending, Stats};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::net::{TcpStream, UdpSocket};

use crate::wire::FAR;

/// How often the stranger sends.
const STRANGE: Duration = Duration::from_millis(2);

/// Control packets: a sender's and a receiver's report, feedback on packets, and on pictures (RFC 3550 12.1, RFC 4585 6.1).
const CONTROL: [u8; 4] = [200, 201, 205, 206];

/// Whom to flood, of what.
#[derive(Args, Clone, Debug)]
pub(crate) struct Flood {
    /// The server's address, and what is watched there.
    #[arg(long, hide = true, requires = "flood_sig")]
    flood: Option<String>,
    #[arg(long, hide = true, default_value_t = String::new())]
    flood_path: String,
    #[arg(long, hide = true)]
    flood_sig: Option<String>,
}

impl Flood {
    pub(crate) fn is_asked(&self) -> bool {
        self.flood.is_some()
    }

    /// What makes this program flood.
    pub(crate) fn arguments<'a>(address: &'a str, path: &'a str, sig: &'a str) -> [&'a str; 6] {
        ["--flood", address, "--flood-path", path, "--flood-sig", sig]
    }

    /// Floods until this process is ended.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.flood())
    }

    async fn flood(self) -> anyhow::Result<()> {
        let address = self.flood.context("whom to flood")?;
        let sig = self.flood_sig.context("as whom")?;
        let own: IpAddr = FAR.parse()?;
        let stats =
            Arc::new(Stats::new(Sending { frames_a_second: FRAMES_A_SECOND, packets_a_frame: 1, burst: 0 }));
        let (offer, peer) = Offered::flooding(own, &stats).await?;
        let request = load::post_offer(&address, &self.flood_path, &sig, offer)?;
        let (status, answer) = load::exchange(TcpStream::connect(&address).await?, request).await?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        anyhow::ensure!(status.as_u16() == 201, "{}: {status} {answer}", self.flood_path);
        let media = media(&answer).context("where the server's media is")?;
        tokio::spawn(strange(own, media));
        peer.accept(&answer)?.run().await;
        anyhow::bail!("who floods was thrown out")
    }
}

/// The first address of an answer that is reached by UDP.
fn media(answer: &str) -> Option<SocketAddr> {
    let fields = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let candidates = answer.lines().filter(|line| line.starts_with("a=candidate:")).map(fields);
    let mut of_udp =
        candidates.filter(|fields| fields.get(2).is_some_and(|by| by.eq_ignore_ascii_case("udp")));
    let fields = of_udp.next()?;
    Some(SocketAddr::new(fields.get(4)?.parse().ok()?, fields.get(5)?.parse().ok()?))
}

async fn strange(own: IpAddr, media: SocketAddr) -> anyhow::Result<()> {
    let socket = UdpSocket::bind((own, 0)).await?;
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut due = tokio::time::interval(STRANGE);
    loop {
        due.tick().await;
        let mut packet: Vec<u8> = (0..random.random_range(8..200)).map(|_| random.random()).collect();
        let kind = CONTROL.get(random.random_range(0..CONTROL.len())).copied().unwrap_or_default();
        packet.splice(..2, [0x81, kind]);
        // That it cannot be sent just now is not worth a word.
        let _ = socket.send_to(&packet, media).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_goes_to_the_first_address_by_udp() {
        let answer = "v=0\r\na=candidate:1 1 tcp 9 10.0.0.2 80 typ host\r\na=candidate:2 1 UDP 9 10.0.0.1 443 typ host\r\n";

        assert_eq!(media(answer), "10.0.0.1:443".parse().ok());
        assert_eq!(media("v=0\r\n"), None);
    }
}
