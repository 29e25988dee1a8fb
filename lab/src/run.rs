//! One run: a server, a link, browsers on both sides, and what was seen.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::{Value, json};
use socket2::SockRef;

use crate::Options;
use crate::flood::Flood;
use crate::link::Slot;
use crate::scenarios::{Cast, Scenario};
use crate::seen::Seen;
use crate::servers::{Kind, Server};
use crate::wire::{Late, NAMESPACE, NEAR, Wire};

/// What the publisher's largest size is allowed, in bits a second without headers: about 1.2 Mbit/s on the wire, and a
/// third and a ninth of it for the smaller ones.
const BITRATE: u32 = 1_100_000;

/// Chance is the same in every run, so that servers are measured on one and the same link.
const SEED: u64 = 7;

/// How long a browser's sender takes to find what its uplink carries.
const SETTLED: Duration = Duration::from_secs(6);

/// How a TCP download finds its rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tcp {
    /// What Linux, Windows and macOS have by default.
    #[default]
    Cubic,
    Bbr,
    Reno,
}

impl Tcp {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
            Self::Reno => "reno",
        }
    }
}

/// What a run yields.
pub(crate) struct Run {
    pub(crate) kind: Kind,
    pub(crate) seen: Seen,
    /// What the link was given, on the way that the scenario is about.
    pub(crate) offered: Vec<Slot>,
    pub(crate) late: Late,
}

/// A child that ends with this value.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn browsers() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("browsers")
}

pub(crate) fn run(
    scenario: &Scenario,
    kind: Kind,
    binary: &Path,
    wire: &Wire,
    options: &Options,
) -> anyhow::Result<Run> {
    let length = options.length();
    wire.open();
    let server = Server::start(kind, binary)?;
    let mut child = Command::new("node")
        .arg(browsers().join("lab.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("node cannot run; `make lab` installs what it needs")?;
    let (mut input, output) = (child.stdin.take(), child.stdout.take());
    let _script = Ending(child);
    let input = input.as_mut().context("the script's input")?;
    let mut lines = BufReader::new(output.context("the script's output")?).lines();
    let mut hear = || -> anyhow::Result<Value> {
        let line = lines.next().context("the browsers' script failed; see above")??;
        Ok(serde_json::from_str(&line)?)
    };
    let task = json!({
        "server": server.told, "cast": scenario.cast.name(), "hasLayers": scenario.has_layers,
        "reportsOnly": scenario.reports_only, "seconds": length.as_secs_f64(), "bitrate": BITRATE,
    });
    writeln!(input, "{task}")?;
    anyhow::ensure!(hear()? == json!({"ready": true}), "the script is not ready");
    let is_up = scenario.cast == Cast::Uplink;
    if is_up {
        // A publisher has its uplink from the beginning; what it sends has to have settled to it.
        wire.begin(&scenario.link, SEED);
        std::thread::sleep(SETTLED);
    }
    wire.begin(&scenario.link, SEED);
    let download = scenario.beside_tcp.then(|| download(options.tcp)).transpose()?;
    let flood = (scenario.cast == Cast::Flooded).then(|| flood(&server)).transpose()?;
    writeln!(input, "{}", json!({"go": true}))?;
    let mut result = hear()?;
    drop((download, flood));
    let (down, up) = wire.counted();
    let late = wire.late();
    wire.open();
    let seen = serde_json::from_value(result.get_mut("result").map(Value::take).unwrap_or_default())?;
    Ok(Run { kind, seen, offered: if is_up { up } else { down }, late })
}

/// Somebody beyond the link who asks the server for too much, until it is dropped.
fn flood(server: &Server) -> anyhow::Result<Ending> {
    let text = |path: &str| server.told.pointer(path).and_then(Value::as_str);
    let address = text("/url").and_then(|url| url.strip_prefix("http://")).context("the server's address")?;
    let path = format!("/whep/{}?user=host", text("/room").context("the room")?);
    let sig = text("/sigs/viewer9").context("a sig")?;
    beyond(Flood::arguments(address, &path, sig))
}

/// This program once more, beyond the link, until it is dropped.
fn beyond<'a>(arguments: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Ending> {
    let own = std::env::current_exe()?;
    Ok(Ending(Command::new("ip").args(["netns", "exec", NAMESPACE]).arg(own).args(arguments).spawn()?))
}

/// A TCP download by somebody beyond the link, until it is dropped.
fn download(tcp: Tcp) -> anyhow::Result<Ending> {
    let listener = TcpListener::bind((NEAR, 0))?;
    // What is accepted of it has the same.
    SockRef::from(&listener)
        .set_tcp_congestion(tcp.name().as_bytes())
        .with_context(|| format!("this machine's TCP has no {}", tcp.name()))?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        if let Ok((mut stream, _)) = listener.accept() {
            while stream.write_all(&[0; 16_384]).is_ok() {}
        }
    });
    beyond(["--download", address.as_str()])
}

/// The download itself, in the namespace beyond.
pub(crate) fn fetch(address: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    std::io::copy(&mut stream, &mut std::io::sink())?;
    Ok(())
}
