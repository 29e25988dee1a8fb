//! `roomful doctor`: whether a server can run here, and whether the one that runs is well. Each check really does what the server
//! would: binds, writes, asks; and each says what to do where something is wrong.

use std::fs::File;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anstyle::Style;
use anyhow::bail;
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::show::{BAD, BOLD, DIM, DOUBTFUL, Format, GOOD, say_behind, say_json};
use crate::config::Config;
use crate::{control, serve, tls};

#[derive(Args)]
pub(super) struct Doctor {
    /// Where the server is going to listen, as for `serve`
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    format: Format,
}

/// Below this the disk is as good as full, and below that it is time to look.
const LEAST_FREE_BYTES: u64 = 256 << 20;
const SOON_FULL_BYTES: u64 = 2 << 30;

/// A disk that takes longer than this for a few bytes limits how many commands there are a second.
const SLOW_SYNC: Duration = Duration::from_millis(20);
const SYNCS: u32 = 8;

/// How long before its end a certificate is spoken of.
const RENEWAL: Duration = Duration::from_secs(14 * 24 * 3600);

/// What the forwarding unit asks the system for, for each of its sockets.
const SOCKET_BUFFER_BYTES: u64 = 4 << 20;

/// How long another server may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Later than any clock that was never set.
const EARLIEST: Duration = Duration::from_secs(1_750_000_000);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Good,
    /// It works, and may not be what is meant.
    Doubtful,
    Bad,
}

/// What a check found.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    found: String,
    /// What to do; "" where nothing is to be done.
    remedy: String,
}

/// All that was found.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, check: &'static str, found: impl Into<String>) {
        self.0.push(Finding { check, state: State::Good, found: found.into(), remedy: String::new() });
    }

    fn doubtful(&mut self, check: &'static str, found: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding { check, state: State::Doubtful, found: found.into(), remedy: remedy.into() });
    }

    fn bad(&mut self, check: &'static str, found: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding { check, state: State::Bad, found: found.into(), remedy: remedy.into() });
    }
}

/// What a running server says of itself (`/control/about`).
struct About(Value);

impl About {
    fn text(&self, field: &str) -> String {
        self.0.get(field).and_then(Value::as_str).unwrap_or_default().to_string()
    }

    fn addresses(&self, field: &str) -> Vec<SocketAddr> {
        let all = self.0.get(field).and_then(Value::as_array).into_iter().flatten();
        all.filter_map(|address| address.as_str()?.parse().ok()).collect()
    }
}

impl Doctor {
    /// `config` is what could be read of the configuration.
    pub(super) async fn run(self, config: anyhow::Result<Config>) -> anyhow::Result<()> {
        let mut findings = Findings::default();
        match config {
            Err(error) => findings.bad(
                "configuration",
                format!("{error:#}"),
                "mend the key that is named; `roomful settings` has them all",
            ),
            Ok(mut config) => {
                config.server.listen = self.listen.unwrap_or(config.server.listen);
                findings.good("configuration", "every key is known, and their values fit together");
                for (key, wants) in config.idle() {
                    let found = format!("{key} is set and does nothing without {wants}");
                    findings.doubtful("configuration", found, format!("set {wants}, or take {key} out"));
                }
                let about = running(&config, &mut findings).await;
                // It may have been started with --listen.
                if let Some(listen) =
                    about.as_ref().and_then(|about| about.addresses("listen").first().copied())
                {
                    config.server.listen = listen;
                }
                data_folder(&config.server.data, &mut findings);
                database(&config, &mut findings);
                match &about {
                    Some(about) => reachable(about, &mut findings),
                    None => ports(&config, &mut findings),
                }
                addresses(&config, &mut findings);
                certificate(&config, &mut findings);
                turn(&config, about.as_ref(), &mut findings);
                clock(&config.server.data, &mut findings);
                limits(&config, about.as_ref(), &mut findings);
            }
        }
        if self.format.json {
            say_json(&findings.0)?;
        } else {
            findings.0.iter().try_for_each(show)?;
        }
        match findings.0.iter().filter(|finding| finding.state == State::Bad).count() {
            0 => Ok(()),
            1 => bail!("one thing is wrong"),
            count => bail!("{count} things are wrong"),
        }
    }
}

fn show(finding: &Finding) -> anyhow::Result<()> {
    let (mark, style): (&str, Style) = match finding.state {
        State::Good => ("ok", GOOD),
        State::Doubtful => ("look", DOUBTFUL),
        State::Bad => ("BAD", BAD),
    };
    let Finding { check, found, remedy, .. } = finding;
    say_behind(format_args!("{style}{mark:<5}{style:#}{BOLD}{check:<15}{BOLD:#}"), 20, found)?;
    if remedy.is_empty() {
        return Ok(());
    }
    say_behind(format_args!("{:20}{DIM}->{DIM:#} ", ""), 23, remedy)
}

async fn running(config: &Config, findings: &mut Findings) -> Option<About> {
    let folder = &config.server.data;
    if !serve::is_running(folder) {
        findings
            .good("server", format!("none runs on {}: its ports are looked at instead", folder.display()));
        return None;
    }
    let about = match control::call(folder, "/control/about", None).await {
        Ok(about) => About(about),
        Err(error) => {
            let found = format!("one runs on {}, and does not answer: {error:#}", folder.display());
            findings.bad("server", found, "look at its log; restart it if it hangs");
            return None;
        }
    };
    let ready = about.text("trouble");
    let said = format!("roomful {} at {}", about.text("version"), about.text("url"));
    match ready.as_str() {
        "" => findings.good("server", said),
        trouble => findings.bad(
            "server",
            format!("{said} is not ready: {trouble}"),
            "see to the disk; it goes on by itself when it can write again",
        ),
    }
    Some(about)
}

/// Only where records are in one.
fn database(config: &Config, findings: &mut Findings) {
    let trouble = match config.store.place(&config.server.data) {
        Ok(store::Place::Folder(_)) => return,
        Ok(place @ store::Place::Database { .. }) => match place.check() {
            Ok(found) => return findings.good("database", found),
            Err(error) => error.to_string(),
        },
        Err(error) => format!("{error:#}"),
    };
    findings.bad("database", trouble, "docs/cluster.md says what a server needs of one");
}

fn data_folder(folder: &Path, findings: &mut Findings) {
    // The folder is made on the first start: what it will be in is looked at until then.
    let there = folder.ancestors().find(|path| path.exists()).filter(|path| !path.as_os_str().is_empty());
    let there = there.unwrap_or(Path::new("."));
    let shown = there.display();
    if there == folder {
        let mode = std::fs::metadata(folder).map_or(0, |data| data.permissions().mode() & 0o777);
        if mode & 0o077 != 0 {
            let found = format!("{shown} may be read by others (mode {mode:o}); it has the keys of all apps");
            findings.doubtful("data folder", found, format!("chmod 700 {shown}"));
        }
    }
    match sync_time(there) {
        Err(error) => findings.bad(
            "data folder",
            format!("{shown} cannot be written: {error}"),
            "give the user that runs the server a folder it may write, with --data or server.data",
        ),
        Ok(took) if took > SLOW_SYNC => findings.doubtful(
            "data folder",
            format!("writing and syncing a few bytes takes {:.1} ms", took.as_secs_f64() * 1000.0),
            "each durable command waits for one; put the data folder on a local SSD",
        ),
        Ok(took) => {
            let took = took.as_secs_f64() * 1000.0;
            findings.good("data folder", format!("{shown} can be written, and synced in {took:.1} ms"));
        }
    }
    match rustix::fs::statvfs(there) {
        Err(error) => {
            findings.bad("disk space", format!("of {shown} is unknown: {error}"), "look at the mount")
        }
        Ok(of) => {
            let free = of.f_bavail.saturating_mul(of.f_frsize);
            let found = format!("{} MiB are free under {shown}", free >> 20);
            let remedy =
                "make room, or put the data folder on a larger disk: what cannot be written is refused";
            match free {
                ..LEAST_FREE_BYTES => findings.bad("disk space", found, remedy),
                LEAST_FREE_BYTES..SOON_FULL_BYTES => findings.doubtful("disk space", found, remedy),
                _ => findings.good("disk space", found),
            }
        }
    }
}

/// How long a write takes until it is on the disk, on the average.
fn sync_time(folder: &Path) -> std::io::Result<Duration> {
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    let written = (|| {
        let mut file = File::create(&path)?;
        let started = Instant::now();
        for _ in 0..SYNCS {
            file.write_all(&[0; 4096])?;
            file.sync_all()?;
        }
        Ok(started.elapsed() / SYNCS)
    })();
    let _ = std::fs::remove_file(&path);
    written
}

/// Whether what the server would listen on is free.
fn ports(config: &Config, findings: &mut Findings) {
    let listen = config.server.listen;
    let remedy = |key: &str| format!("see who has it with `ss -lntup`, or set another {key}");
    let mut check = |what: &str, address: SocketAddr, key: &str, bound: std::io::Result<()>| match bound {
        Ok(()) => findings.good("port", format!("{what} {address} is free")),
        Err(error) => findings.bad("port", format!("{what} {address} cannot be had: {error}"), remedy(key)),
    };
    let tcp = |address: SocketAddr| TcpListener::bind(address).map(drop);
    let udp = |address: SocketAddr| UdpSocket::bind(address).map(drop);
    check("TCP", listen, "server.listen (--listen)", tcp(listen));
    if let Ok(unit) = config.media.unit(listen, None) {
        check("UDP for media", unit.udp, "media.udp", udp(unit.udp));
        if let Some(address) = unit.tcp {
            check("TCP for media", address, "media.tcp", tcp(address));
        }
        if let Some(address) = unit.turn {
            check("UDP for the relay", address, "media.turn_udp", udp(address));
        }
    }
    if let Some(address) = config.metrics.listen {
        check("TCP for metrics", address, "metrics.listen", tcp(address));
    }
}

/// Whether the running server answers where it says that it is.
fn reachable(about: &About, findings: &mut Findings) {
    let remedy =
        "open the port in the firewall of this machine, and in that of its network for clients outside";
    for (field, what) in [("listen", "TCP"), ("tcp", "TCP for media")] {
        for address in about.addresses(field) {
            match TcpStream::connect_timeout(&here(address), PATIENCE) {
                Ok(_) => findings.good("port", format!("{what} {address} answers")),
                Err(error) => findings.bad("port", format!("{what} {address}: {error}"), remedy),
            }
        }
    }
    for address in about.addresses("turn_udp") {
        match stun(here(address)) {
            Ok(()) => findings.good("port", format!("UDP {address}, the relay, answers")),
            Err(error) => findings.bad("port", format!("UDP {address}, the relay: {error}"), remedy),
        }
    }
    let udp = about.addresses("udp");
    if !udp.is_empty() {
        let udp: Vec<String> = udp.iter().map(ToString::to_string).collect();
        findings.good("port", format!("UDP for media is at {}", udp.join(", ")));
    }
}

/// The address under which this machine reaches itself there.
fn here(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        IpAddr::V4(_) => ([127, 0, 0, 1], address.port()).into(),
        IpAddr::V6(_) => SocketAddr::new("::1".parse().unwrap_or(address.ip()), address.port()),
    }
}

/// Whether clients elsewhere are told an address that they can reach.
fn addresses(config: &Config, findings: &mut Findings) {
    let Ok(unit) = config.media.unit(config.server.listen, None) else { return };
    let others: Vec<String> = unit.advertised.iter().map(ToString::to_string).collect();
    if unit.udp.ip().is_loopback() && others.is_empty() {
        findings.doubtful(
            "addresses",
            format!("media is at {} alone, which only this machine reaches", unit.udp),
            "listen on 0.0.0.0 (--listen 0.0.0.0:8480), or set media.udp",
        );
    } else if others.is_empty() {
        findings.good(
            "addresses",
            "clients are told this machine's own; behind address translation set media.advertise",
        );
    } else {
        let own = if unit.advertises_own { " beside this machine's own" } else { "" };
        findings.good("addresses", format!("clients are told {}{own}", others.join(", ")));
    }
}

fn certificate(config: &Config, findings: &mut Findings) {
    let Some(file) = &config.tls.cert else {
        if !config.server.listen.ip().is_loopback() {
            findings.doubtful(
                "certificate",
                "there is none: browsers give pages without https no camera and no microphone",
                "set tls.cert and tls.key, or put a proxy with TLS before it",
            );
        }
        return;
    };
    if let Err(error) = tls::load(&config.tls) {
        findings.bad(
            "certificate",
            format!("{error:#}"),
            "set tls.cert and tls.key to PEM files that belong together",
        );
        return;
    }
    let renew = format!("renew it, and restart the server to have {} read again", file.display());
    match tls::dates(&config.tls) {
        None => findings.bad("certificate", "its dates cannot be read", renew),
        Some((from, until)) => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let days = |time: Duration| time.as_secs() / 86_400;
            if now < from {
                let found = format!("it holds in {} days only", days(from - now) + 1);
                findings.bad("certificate", found, "wait, or set this machine's clock");
            } else if now >= until {
                findings.bad("certificate", format!("it ended {} days ago", days(now - until)), renew);
            } else if until - now < RENEWAL {
                findings.doubtful("certificate", format!("it ends in {} days", days(until - now)), renew);
            } else {
                findings.good("certificate", format!("it holds for {} days more", days(until - now)));
            }
        }
    }
    let names = tls::names(&config.tls);
    let host = config.media.turn_host.split(':').next().unwrap_or_default();
    if names.is_empty() {
        let remedy = "get one with the DNS names of this server as subject alternative names";
        findings.bad("certificate", "it holds for no name", remedy);
    } else if !host.is_empty() && !names.iter().any(|name| covers(name, host)) {
        let found = format!("it holds for {}, not for media.turn_host {host}", names.join(", "));
        findings.bad("certificate", found, "set media.turn_host to one of its names, or get one that has it");
    } else {
        findings.good("certificate", format!("it holds for {}", names.join(", ")));
    }
}

/// Whether a name of a certificate, maybe `*.example.org`, is that of a host.
fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(domain) => host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(domain)),
        None => name.eq_ignore_ascii_case(host),
    }
}

fn turn(config: &Config, about: Option<&About>, findings: &mut Findings) {
    let urls: Vec<String> = about
        .and_then(|about| about.0.get("turn")?.as_array().cloned())
        .into_iter()
        .flatten()
        .filter_map(|url| Some(url.as_str()?.to_string()))
        .collect();
    match (config.media.turn, about) {
        (false, _) if config.media.ice_urls.iter().all(|url| !url.starts_with("turn")) => findings.doubtful(
            "TURN",
            "there is no relay: clients whose network lets only TCP out, or only 443, get no media",
            "set media.turn = true, or name a TURN server in media.ice_urls",
        ),
        (true, Some(_)) if !urls.iter().any(|url| url.starts_with("turns:")) => findings.doubtful(
            "TURN",
            format!("clients are told {}, and nothing over TLS", urls.join(", ")),
            "for networks that let only 443 through set tls.cert, tls.key and, unless the certificate has one name, media.turn_host",
        ),
        (true, Some(_)) => findings.good("TURN", format!("clients are told {}", urls.join(", "))),
        (true, None) => findings.good("TURN", "the server relays itself"),
        (false, _) => {}
    }
    for url in &config.media.ice_urls {
        match ask(url) {
            Ok(()) => findings.good("TURN", format!("{url} answers")),
            Err(error) => findings.bad(
                "TURN",
                format!("{url}: {error}"),
                "start that server, open its port, or take it out of media.ice_urls",
            ),
        }
    }
}

/// Asks a STUN or TURN server, by UDP or TCP as its URL says.
fn ask(url: &str) -> std::io::Result<()> {
    let (scheme, rest) = url.split_once(':').unwrap_or(("stun", url));
    let (host, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_secure = scheme.ends_with('s');
    let default = if is_secure { 5349 } else { 3478 };
    let mut addresses = match host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()) {
        Some(_) => host.to_socket_addrs()?,
        None => (host.trim_matches(['[', ']']), default).to_socket_addrs()?,
    };
    let none = || std::io::Error::other("its name has no address");
    let address = addresses.next().ok_or_else(none)?;
    if is_secure || query.contains("transport=tcp") {
        return TcpStream::connect_timeout(&address, PATIENCE).map(drop);
    }
    stun(address)
}

/// A binding request (RFC 8489 14), which a STUN server, and so a TURN server, answers to anybody.
fn stun(address: SocketAddr) -> std::io::Result<()> {
    let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(PATIENCE / 4))?;
    let transaction = getrandom::u64().unwrap_or_default().to_be_bytes();
    let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 0, 0, 0, 0];
    request.extend(transaction);
    let mut answer = [0; 512];
    // Datagrams get lost.
    for _ in 0..4 {
        socket.send(&request)?;
        match socket.recv(&mut answer) {
            Ok(length) if answer.get(8..20).is_some_and(|id| length >= 20 && id.ends_with(&transaction)) => {
                return Ok(());
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => return Err(error),
            _ => {}
        }
    }
    Err(std::io::Error::other("no answer"))
}

fn clock(folder: &Path, findings: &mut Findings) {
    let now = SystemTime::now();
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let set = "set the clock, and let chrony or systemd-timesyncd keep it (`timedatectl set-ntp true`)";
    if since < EARLIEST {
        findings.bad("clock", format!("it says {} s since 1970, which is long past", since.as_secs()), set);
        return;
    }
    // What is on the disk was written before now.
    let newest = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let newest = newest.filter_map(|entry| entry.metadata().ok()?.modified().ok()).max();
    let ahead = newest.and_then(|newest| newest.duration_since(now).ok()).filter(|ahead| ahead.as_secs() > 2);
    if let Some(ahead) = ahead {
        let found =
            format!("the data folder was written {} s from now: the clock was set back", ahead.as_secs());
        findings.bad("clock", found, set);
        return;
    }
    let kept_by = [
        ("/run/systemd/timesync/synchronized", "systemd-timesyncd"),
        ("/run/chrony/chronyd.pid", "chrony"),
        ("/run/chronyd.pid", "chrony"),
        ("/run/ntpd.pid", "ntpd"),
    ];
    match kept_by.iter().find(|(path, _)| Path::new(path).exists()) {
        Some((_, keeper)) => findings.good("clock", format!("kept by {keeper}")),
        None => findings.doubtful(
            "clock",
            "it is plausible, and nothing seems to keep it right (in a container its host may)",
            format!("UserSigs and bans go by it: {set}"),
        ),
    }
}

fn limits(config: &Config, about: Option<&About>, findings: &mut Findings) {
    let own = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(0, |(_, hard)| hard);
    let of_server = about.and_then(|about| files_of(about.0.get("pid")?.as_u64()?));
    let files = of_server.unwrap_or(own);
    // One in eight is kept from clients.
    let connections = files - files / 8;
    let wanted = config.limits.connections as u64;
    let found = format!("{files} files may be open, for {connections} connections");
    match wanted {
        0 => findings.good("open files", found),
        wanted if connections < wanted => findings.doubtful(
            "open files",
            format!("{found}; limits.connections is {wanted}"),
            format!(
                "LimitNOFILE={} in the unit of systemd, or nofile in /etc/security/limits.conf",
                wanted + wanted / 7 + 1
            ),
        ),
        _ => findings.good("open files", found),
    }
    for (name, what) in [("rmem_max", "receiving"), ("wmem_max", "sending")] {
        let path = format!("/proc/sys/net/core/{name}");
        let read = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<u64>().ok());
        let Some(most) = read else { continue };
        let found = format!("net.core.{name} is {most}");
        match most < SOCKET_BUFFER_BYTES {
            true => findings.doubtful(
                "UDP buffers",
                format!("{found}: short for {what} the packets of many viewers"),
                format!("sysctl -w net.core.{name}={SOCKET_BUFFER_BYTES}, and in /etc/sysctl.d to keep it"),
            ),
            false => findings.good("UDP buffers", found),
        }
    }
}

/// How many files a process may have open.
fn files_of(pid: u64) -> Option<u64> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
    numbers.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_of_names_covers_one_label() {
        for (name, host, is_covered) in [
            ("live.example.org", "Live.example.org", true),
            ("*.example.org", "live.example.org", true),
            ("*.example.org", "a.live.example.org", false),
            ("*.example.org", "example.org", false),
            ("example.org", "live.example.org", false),
        ] {
            assert_eq!(covers(name, host), is_covered, "{name} {host}");
        }
    }
}
