//! Configuration: defaults, then a TOML file, then the environment (`ROOMFUL_<SECTION>__<KEY>`), then flags.
//! An unknown key is an error that suggests the nearest known one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use toml::{Table, Value};

use crate::webhooks;

/// Every key there is, by section: what is not here is refused.
const KEYS: &[(&str, &[&str])] = &[
    ("server", &["listen", "data"]),
    (
        "limits",
        &[
            "calls_per_second",
            "commands_per_second",
            "changes_per_second",
            "bytes_per_second",
            "answer_bytes_per_second",
            "sessions_per_user",
            "sessions_per_room",
            "media_sessions_per_user",
            "rooms_per_user",
            "member_room_lifetime",
            "connections",
            "connections_per_address",
        ],
    ),
    ("member_list", &["cap"]),
    ("presence", &["ping_interval", "silent_timeout", "resume_grace", "allow_slow"]),
    ("webhooks", &["url", "events", "token", "deadline", "waiting_bytes", "allow_private"]),
    (
        "media",
        &[
            "udp",
            "tcp",
            "advertise",
            "turn",
            "turn_udp",
            "turn_host",
            "workers",
            "ice_urls",
            "turn_secret",
            "turn_lifetime",
            "members_may_create_rooms",
        ],
    ),
    ("tls", &["cert", "key"]),
    ("log", &["level", "format"]),
    ("metrics", &["listen", "token"]),
];

/// The documented longest time for which a member whose connection died silently may stay listed.
const FRESHNESS: Duration = Duration::from_secs(40);

/// What `media.advertise` has for this machine's own addresses.
const AUTO: &str = "auto";

/// The least `webhooks.waiting_bytes`: room for a few of the longest events.
const LEAST_WAITING_BYTES: usize = 64 << 10;

/// What the server is told. The keys are described in `roomful.example.toml`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) server: Server,
    pub(crate) limits: Limits,
    pub(crate) member_list: MemberList,
    pub(crate) presence: Presence,
    pub(crate) webhooks: Webhooks,
    pub(crate) media: Media,
    pub(crate) tls: Tls,
    pub(crate) log: Log,
    pub(crate) metrics: Metrics,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Server {
    pub(crate) listen: SocketAddr,
    pub(crate) data: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Limits {
    /// Calls of one command a second and app; 0 is none, and none for a user's rates below that are not set.
    pub(crate) calls_per_second: u32,
    /// What one user may do a second over the gateway; 0 is no limit. See [`Limits::commands_per_second`] and the like.
    pub(crate) commands_per_second: Option<u32>,
    pub(crate) changes_per_second: Option<u32>,
    pub(crate) bytes_per_second: Option<u32>,
    pub(crate) answer_bytes_per_second: Option<u32>,
    /// What one user may have at once; 0 is no limit.
    pub(crate) sessions_per_user: u32,
    pub(crate) sessions_per_room: u32,
    pub(crate) media_sessions_per_user: u32,
    pub(crate) rooms_per_user: u32,
    /// How long a member's room goes on that nobody is in, unless it says so itself; 0 is for ever.
    #[serde(deserialize_with = "duration")]
    pub(crate) member_room_lifetime: Duration,
    /// Open connections in all; 0 is no limit.
    pub(crate) connections: usize,
    /// Open connections of one address; 0 is no limit. Private addresses are held to it only when it is set.
    pub(crate) connections_per_address: Option<usize>,
}

impl Limits {
    /// A rate that is not set is lifted with that of calls.
    fn rate(&self, set: Option<u32>, default: u32) -> u32 {
        set.unwrap_or(if self.calls_per_second == 0 { 0 } else { default })
    }

    /// Commands of a user.
    pub(crate) fn commands_per_second(&self) -> u32 {
        self.rate(self.commands_per_second, 50)
    }

    /// Those of them that change what is kept of rooms.
    pub(crate) fn changes_per_second(&self) -> u32 {
        self.rate(self.changes_per_second, 10)
    }

    /// Their bytes.
    pub(crate) fn bytes_per_second(&self) -> u32 {
        self.rate(self.bytes_per_second, 256 * 1024)
    }

    /// The bytes of what they are answered.
    pub(crate) fn answer_bytes_per_second(&self) -> u32 {
        self.rate(self.answer_bytes_per_second, 1024 * 1024)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct MemberList {
    /// How many members get_member_list lists at most; 0 is all.
    pub(crate) cap: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Presence {
    #[serde(deserialize_with = "duration")]
    pub(crate) ping_interval: Duration,
    #[serde(deserialize_with = "duration")]
    pub(crate) silent_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub(crate) resume_grace: Duration,
    pub(crate) allow_slow: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Webhooks {
    /// Who hears of events of apps that have no receiver of their own; empty is nobody.
    pub(crate) url: String,
    /// Which events; empty is all.
    #[serde(deserialize_with = "list")]
    pub(crate) events: Vec<String>,
    pub(crate) token: String,
    /// How long a before-event may take.
    #[serde(deserialize_with = "duration")]
    pub(crate) deadline: Duration,
    /// How many bytes of an app's events wait in memory; the others wait on the disk.
    pub(crate) waiting_bytes: usize,
    pub(crate) allow_private: bool,
}

impl Webhooks {
    pub(crate) fn default_receiver(&self) -> store::Webhook {
        store::Webhook { url: self.url.clone(), events: self.events.clone(), token: self.token.clone() }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Media {
    /// Where media comes in over UDP; empty is the address and port number of `server.listen`.
    pub(crate) udp: String,
    /// ... and over TCP; empty is the port after that, "off" is nowhere.
    pub(crate) tcp: String,
    /// The addresses clients are told; empty or "auto" is this machine's own.
    #[serde(deserialize_with = "list")]
    pub(crate) advertise: Vec<String>,
    /// Whether to relay for clients whose network lets nothing else through.
    pub(crate) turn: bool,
    /// Where the relay is over UDP; empty is the address and the port number of `tcp`.
    pub(crate) turn_udp: String,
    /// Under which name clients find the relay, and its port over TLS; empty is the advertised addresses, and the
    /// certificate's name.
    pub(crate) turn_host: String,
    /// 0 is one a core.
    pub(crate) workers: usize,
    /// STUN and TURN servers that clients are told of.
    #[serde(deserialize_with = "list")]
    pub(crate) ice_urls: Vec<String>,
    /// What the TURN servers have as `static-auth-secret`.
    pub(crate) turn_secret: String,
    #[serde(deserialize_with = "duration")]
    pub(crate) turn_lifetime: Duration,
    /// Whether a member may create a room over the gateway.
    pub(crate) members_may_create_rooms: bool,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            udp: String::new(),
            tcp: String::new(),
            advertise: Vec::new(),
            turn: true,
            turn_udp: String::new(),
            turn_host: String::new(),
            workers: 0,
            ice_urls: Vec::new(),
            turn_secret: String::new(),
            turn_lifetime: Duration::from_secs(24 * 3600),
            members_may_create_rooms: true,
        }
    }
}

impl Media {
    /// What the forwarding unit is told, beside a server at `listen`.
    pub(crate) fn unit(&self, listen: SocketAddr) -> anyhow::Result<media::Config> {
        let address = |key: &str, text: &str, default: SocketAddr| match text {
            "" => Ok(default),
            text => {
                text.parse().with_context(|| format!("media.{key} is {text:?}, which is no ADDRESS:PORT"))
            }
        };
        let udp: SocketAddr = address("udp", &self.udp, listen)?;
        let after = SocketAddr::new(udp.ip(), if udp.port() == 0 { 0 } else { udp.port().wrapping_add(1) });
        let tcp = if self.tcp == "off" { None } else { Some(address("tcp", &self.tcp, after)?) };
        let turn =
            self.turn.then(|| address("turn_udp", &self.turn_udp, tcp.unwrap_or(after))).transpose()?;
        if turn.is_some_and(|turn| turn == udp && turn.port() != 0) {
            bail!("media.turn_udp is the port of media.udp; browsers need the relay at another");
        }
        let advertised = self.advertise.iter().filter(|text| *text != AUTO).map(|text| {
            text.parse().with_context(|| {
                format!("media.advertise has {text:?}, which is no IP address, nor {AUTO:?}")
            })
        });
        let advertised = advertised.collect::<anyhow::Result<Vec<_>>>()?;
        let advertises_own = self.advertise.is_empty() || self.advertise.iter().any(|text| text == AUTO);
        Ok(media::Config { udp, tcp, advertised, advertises_own, turn, workers: self.workers })
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Tls {
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Log {
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Metrics {
    /// Where they are shown besides the control socket; empty is nowhere.
    pub(crate) listen: String,
    /// What opens them on the public port, as a bearer token; empty is that nothing does.
    pub(crate) token: String,
}

impl Metrics {
    pub(crate) fn address(&self) -> anyhow::Result<Option<SocketAddr>> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        let trouble = || format!("metrics.listen is {:?}, which is no ADDRESS:PORT", self.listen);
        self.listen.parse().map(Some).with_context(trouble)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl Default for Server {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8480)), data: "data".into() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls_per_second: 200,
            commands_per_second: None,
            changes_per_second: None,
            bytes_per_second: None,
            answer_bytes_per_second: None,
            sessions_per_user: 20,
            sessions_per_room: 10,
            media_sessions_per_user: 50,
            rooms_per_user: 50,
            member_room_lifetime: Duration::from_secs(600),
            connections: 50_000,
            connections_per_address: None,
        }
    }
}

impl Default for MemberList {
    fn default() -> Self {
        Self { cap: 1000 }
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(5),
            silent_timeout: Duration::from_secs(15),
            resume_grace: Duration::from_secs(20),
            allow_slow: false,
        }
    }
}

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            url: String::new(),
            events: Vec::new(),
            token: String::new(),
            deadline: Duration::from_secs(2),
            waiting_bytes: 8 << 20,
            allow_private: false,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text }
    }
}

impl Config {
    /// Reads the file (if one is named) and the environment.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let mut table = match file {
            None => Table::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                text.parse().with_context(|| format!("{} is not valid TOML", path.display()))?
            }
        };
        for (section, value) in &table {
            let Some(keys) = value.as_table() else {
                bail!("{section} must be a section: [{section}]{}", instead_of_a_section(section));
            };
            for key in keys.keys() {
                require_known(section, key, in_file)?;
            }
            if !KEYS.iter().any(|(known, _)| known == section) {
                // It has no key by which it would have been found out.
                require_known(section, "", in_file)?;
            }
        }
        for (name, value) in environment {
            let Some(rest) = name.strip_prefix("ROOMFUL_") else { continue };
            let Some((section, key)) = rest.split_once("__") else {
                refuse_single_underscore(&name, rest)?;
                continue;
            };
            let (section, key) = (section.to_lowercase(), key.to_lowercase());
            require_known(&section, &key, in_environment)?;
            let value = match (value.parse::<i64>(), value.parse::<bool>()) {
                (Ok(number), _) => Value::Integer(number),
                (_, Ok(switch)) => Value::Boolean(switch),
                _ => Value::String(value),
            };
            let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Some(section) = section.as_table_mut() {
                section.insert(key, value);
            }
        }
        let config: Config = Value::Table(table).try_into().context("the configuration has a wrong value")?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        let Presence { ping_interval, silent_timeout, resume_grace, allow_slow } = self.presence;
        if ping_interval.is_zero() || silent_timeout <= ping_interval {
            bail!("presence.silent_timeout must be longer than presence.ping_interval, which must not be 0");
        }
        if silent_timeout + resume_grace > FRESHNESS && !allow_slow {
            bail!(
                "presence.silent_timeout and presence.resume_grace add up to more than 40 s, the documented bound for \
                 a member that fell silent; make them shorter, or set presence.allow_slow = true if it is meant"
            );
        }
        if !self.webhooks.url.is_empty() {
            webhooks::check_url(&self.webhooks.url, self.webhooks.allow_private)
                .map_err(|trouble| anyhow::anyhow!("webhooks.url: {trouble}"))?;
        }
        if let Some(unknown) = webhooks::unknown_event(&self.webhooks.events) {
            bail!("webhooks.events: {unknown}");
        }
        if self.webhooks.deadline.is_zero() {
            bail!("webhooks.deadline must not be 0");
        }
        if self.webhooks.waiting_bytes < LEAST_WAITING_BYTES {
            bail!("webhooks.waiting_bytes must be at least {LEAST_WAITING_BYTES}");
        }
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        self.media.unit(any)?;
        if !is_host(&self.media.turn_host) {
            let host = &self.media.turn_host;
            bail!(
                "media.turn_host is {host:?}, which is no name as in live.example.org or live.example.org:443"
            );
        }
        if let Some(url) = self.media.ice_urls.iter().find(|url| !is_ice_url(url)) {
            bail!("media.ice_urls has {url:?}, which does not begin with stun:, stuns:, turn: or turns:");
        }
        if self.media.turn_secret.is_empty() && self.media.ice_urls.iter().any(|url| url.starts_with("turn"))
        {
            bail!(
                "media.turn_secret is needed for the TURN servers of media.ice_urls: their static-auth-secret"
            );
        }
        self.metrics.address()?;
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            bail!("tls.cert and tls.key go together; only one of them is set");
        }
        Ok(())
    }
}

/// A name, maybe with a port, or nothing at all.
fn is_host(text: &str) -> bool {
    let (name, port) = text.split_once(':').unwrap_or((text, "443"));
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '_');
    text.is_empty() || !name.is_empty() && name.chars().all(is_of_name) && port.parse::<u16>().is_ok()
}

fn is_ice_url(url: &str) -> bool {
    ["stun:", "stuns:", "turn:", "turns:"].iter().any(|scheme| url.starts_with(scheme))
}

/// A key as it is written in a file.
fn in_file(section: &str, key: &str) -> String {
    format!("{section}.{key}")
}

/// ... and in the environment.
fn in_environment(section: &str, key: &str) -> String {
    format!("ROOMFUL_{}__{}", section.to_uppercase(), key.to_uppercase())
}

fn all_keys() -> impl Iterator<Item = (&'static str, &'static str)> {
    KEYS.iter().flat_map(|(section, keys)| keys.iter().map(move |key| (*section, *key)))
}

/// Refuses a key that does not exist, with the nearest that does.
fn require_known(section: &str, key: &str, show: impl Fn(&str, &str) -> String) -> anyhow::Result<()> {
    if all_keys().any(|known| known == (section, key)) {
        return Ok(());
    }
    let away = |known: &(&str, &str)| distance(known.0, section) + distance(known.1, key);
    let nearest = all_keys().min_by_key(away).map(|(section, key)| show(section, key)).unwrap_or_default();
    let asked = show(section, key);
    bail!("unknown configuration key {}; did you mean {nearest}?", asked.trim_end_matches('.'))
}

/// How far what was written is from a name: letters that are wrong, missing or exchanged, and where only some of its words were
/// written (`calls` of `calls_per_second`), one for the others. So a short name is no nearer by being short.
fn distance(name: &str, written: &str) -> usize {
    let words: Vec<&str> = name.split('_').collect();
    let count = words.len();
    let runs = (0..count).flat_map(|from| (from + 1..=count).map(move |to| (from, to)));
    let of_run = |(from, to): (usize, usize)| {
        let run = words.get(from..to).unwrap_or_default().join("_");
        strsim::damerau_levenshtein(&run, written) + usize::from(to - from < count)
    };
    runs.map(of_run).min().unwrap_or(usize::MAX / 2)
}

/// What may be meant by a key that stands outside all sections.
fn instead_of_a_section(key: &str) -> String {
    let found = all_keys().find(|(_, known)| *known == key);
    found.map(|(section, key)| format!("; did you mean {section}.{key}?")).unwrap_or_default()
}

/// A name of the environment with one underscore where there have to be two sets nothing. Other names that begin alike are for others
/// (Kubernetes sets `ROOMFUL_PORT` and such for a service called roomful).
fn refuse_single_underscore(name: &str, rest: &str) -> anyhow::Result<()> {
    let is_meant = |(section, key): &(&str, &str)| rest.eq_ignore_ascii_case(&format!("{section}_{key}"));
    match all_keys().find(is_meant) {
        Some((section, key)) => {
            bail!("unknown configuration key {name}; did you mean {}?", in_environment(section, key))
        }
        None => Ok(()),
    }
}

/// A list, or its entries with commas between them (the environment has no lists).
fn list<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        List(Vec<String>),
        Text(String),
    }
    Ok(match Form::deserialize(deserializer)? {
        Form::List(list) => list,
        Form::Text(text) => {
            text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(String::from).collect()
        }
    })
}

/// `15s`, `500ms`, or a whole number of seconds.
fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Seconds(u32),
        Text(String),
    }
    match Form::deserialize(deserializer)? {
        Form::Seconds(seconds) => Ok(Duration::from_secs(seconds.into())),
        Form::Text(text) => humantime::parse_duration(&text).map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let folder = std::env::temp_dir().join(format!("roomful-config-{:?}", std::thread::current().id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("roomful.toml");
        std::fs::write(&path, file).unwrap();
        let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let loaded = Config::load(Some(&path), environment).map_err(|error| format!("{error:#}"));
        std::fs::remove_dir_all(folder).unwrap();
        loaded
    }

    #[test]
    fn the_environment_is_stronger_than_the_file() {
        let config = load(
            "[limits]\ncalls_per_second = 5\n[presence]\nresume_grace = '10s'",
            &[
                ("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"),
                ("ROOMFUL_PRESENCE__SILENT_TIMEOUT", "12s"),
                ("HOME", "/"),
            ],
        )
        .unwrap();

        assert_eq!(config.limits.calls_per_second, 0);
        assert_eq!(config.presence.silent_timeout, Duration::from_secs(12));
        assert_eq!(config.presence.resume_grace, Duration::from_secs(10));
    }

    #[test]
    fn a_mistake_is_explained() {
        for (file, environment, trouble) in [
            ("[limits]\ncals_per_second = 1", vec![], "did you mean limits.calls_per_second?"),
            ("[limit]\ncalls_per_second = 1", vec![], "did you mean limits.calls_per_second?"),
            ("listen = 'x'", vec![], "listen must be a section"),
            ("", vec![("ROOMFUL_MEMBERLIST__CAP", "0")], "did you mean ROOMFUL_MEMBER_LIST__CAP?"),
            ("", vec![("ROOMFUL_LIMIT__CALLS", "0")], "did you mean ROOMFUL_LIMITS__CALLS_PER_SECOND?"),
            (
                "",
                vec![("ROOMFUL_LIMITS_CALLS_PER_SECOND", "0")],
                "did you mean ROOMFUL_LIMITS__CALLS_PER_SECOND?",
            ),
            ("", vec![("ROOMFUL_TLS__CERTIFICATE", "x")], "did you mean ROOMFUL_TLS__CERT?"),
            ("", vec![("ROOMFUL_WEBHOOK__URI", "x")], "did you mean ROOMFUL_WEBHOOKS__URL?"),
            ("", vec![("ROOMFUL_MEDIA__ADVERTISED", "x")], "did you mean ROOMFUL_MEDIA__ADVERTISE?"),
            ("[presence]\ngrace = '5s'", vec![], "did you mean presence.resume_grace?"),
            ("[presence]\npnig_interval = '5s'", vec![], "did you mean presence.ping_interval?"),
            ("[limits]\nrooms = 5", vec![], "did you mean limits.rooms_per_user?"),
            ("[meda]", vec![], "unknown configuration key meda; did you mean media."),
            ("listen = '0.0.0.0:8480'", vec![], "did you mean server.listen?"),
            ("[presence]\nsilent_timeout = '30s'", vec![], "more than 40 s"),
            ("[presence]\nsilent_timeout = 'soon'", vec![], "presence.silent_timeout"),
            ("[webhooks]\nwaiting_bytes = 1000", vec![], "webhooks.waiting_bytes must be at least 65536"),
            ("[tls]\ncert = 'a.pem'", vec![], "go together"),
            ("[media]\nudp = 'here'", vec![], "media.udp"),
            ("[metrics]\nlisten = '9090'", vec![], "metrics.listen"),
            ("[media]\nadvertise = ['example.org']", vec![], "media.advertise"),
            ("[media]\nturn_host = 'https://example.org'", vec![], "media.turn_host"),
            ("[media]\nturn_host = 'example.org:https'", vec![], "media.turn_host"),
            ("[media]\nice_urls = ['http://x']", vec![], "media.ice_urls"),
            ("[media]\nice_urls = ['turn:x:3478']", vec![], "media.turn_secret"),
        ] {
            let error = load(file, &environment).unwrap_err();
            assert!(error.contains(trouble) || file.contains("soon"), "{error}");
        }
        assert!(load("[presence]\nsilent_timeout = '60s'\nallow_slow = true", &[]).is_ok());
        let of_others = [
            ("ROOMFUL_PORT", "tcp://10.0.0.1:8480"),
            ("ROOMFUL_SERVICE_HOST", "10.0.0.1"),
            ("ROOMFUL_KEY", "x"),
        ];
        assert!(load("", &of_others).is_ok(), "not ours to judge");
    }

    #[test]
    fn own_addresses_are_advertised_alone_or_beside_others() {
        for (text, own, others) in [
            ("", true, 0),
            ("[media]\nadvertise = 'auto'", true, 0),
            ("[media]\nadvertise = ['auto', '203.0.113.5']", true, 1),
            ("[media]\nadvertise = ['203.0.113.5', '2001:db8::5']", false, 2),
        ] {
            let unit = load(text, &[]).unwrap().media.unit(([0, 0, 0, 0], 8480).into()).unwrap();

            assert_eq!((unit.advertises_own, unit.advertised.len()), (own, others), "{text}");
        }
    }

    #[test]
    fn the_example_file_names_every_key_with_its_default() {
        let example = include_str!("../../../roomful.example.toml");
        let uncommented: String = example
            .lines()
            .map(|line| line.strip_prefix("#= ").unwrap_or(line))
            .collect::<Vec<_>>()
            .join("\n");
        for (section, keys) in KEYS {
            let table: Table = uncommented.parse().unwrap();
            for key in *keys {
                assert!(table[*section].get(key).is_some(), "{section}.{key} is not in roomful.example.toml");
            }
        }
        assert!(load(example, &[]).is_ok());
    }
}
