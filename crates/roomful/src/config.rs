//! The settings, each declared once, in the table below: what it is called, what it may be, its default, and what it is for. The
//! structs, the names in the environment, the checks, `roomful.example.toml` and `docs/settings.md` all come of that table.
//!
//! Defaults give way to a TOML file, that to the environment (`ROOMFUL_<SECTION>__<KEY>`), and that to flags. Invariant: what is said
//! is taken or refused, never passed over.

mod documents;
mod keys;
mod kind;

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use toml::Table;

pub(crate) use documents::Setting;
use keys::{in_environment, in_file};
pub(crate) use kind::{Advertised, Listening, Said};
use kind::{
    Kind, Written, address, address_or_none, advertised, duration, file, folder, host, ice_urls, listening,
    log_level, names, number, secret, switch, text, unless_said, word,
};

use crate::webhooks;

/// A macro, since structs and a list of their fields cannot come of one table otherwise.
macro_rules! settings {
    ($($of_section:literal [$section:ident] $Section:ident {
        $($key:ident: $type:ty = $default:expr, $kind:expr, $about:literal;)*
    })*) => {
        /// What the server is told.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub(crate) struct Config {
            $(#[doc = $of_section] pub(crate) $section: $Section,)*
        }

        $(
            #[doc = $of_section]
            #[derive(Debug, Clone, PartialEq)]
            pub(crate) struct $Section {
                $(#[doc = $about] pub(crate) $key: $type,)*
            }

            impl Default for $Section {
                fn default() -> Self {
                    Self { $($key: $default,)* }
                }
            }
        )*

        /// The names of all settings.
        const NAMES: &[keys::Name] = &[$($((stringify!($section), stringify!($key)),)*)*];

        /// The sections, each with what it is about.
        const SECTIONS: &[(&str, &str)] = &[$((stringify!($section), $of_section),)*];

        /// Every setting there is, in the order of the table.
        pub(crate) fn all() -> Vec<Setting> {
            let defaults = Config::default();
            vec![$($({
                let kind: Kind<$type> = $kind;
                Setting {
                    section: stringify!($section),
                    key: stringify!($key),
                    environment: in_environment(stringify!($section), stringify!($key)),
                    about: $about,
                    default: kind.show(&defaults.$section.$key),
                    unit: kind.unit,
                    may_be_unsaid: kind.may_be_unsaid,
                    right: kind.right,
                }
            },)*)*]
        }

        impl Config {
            /// Sets a setting to what is written; `None` when there is none of that name.
            fn set(&mut self, section: &str, key: &str, written: &Written<'_>) -> Option<Result<(), String>> {
                match (section, key) {
                    $($((stringify!($section), stringify!($key)) => {
                        let kind: Kind<$type> = $kind;
                        Some(kind.read(written).map(|value| self.$section.$key = value))
                    })*)*
                    _ => None,
                }
            }
        }
    };
}

/// More of anything than there can be.
const MANY: u32 = 1_000_000_000;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

settings! {
    "Where the server is."
    [server] Server {
        listen: SocketAddr = ([127, 0, 0, 1], 8480).into(), address(),
            "Where to listen, for REST calls, the gateway and the page alike. 0.0.0.0 is all addresses of this machine.";
        data: PathBuf = "data".into(), folder(),
            "The data folder; made on the first start, readable only by its owner.";
        hosts: Vec<String> = Vec::new(), names("host names"),
            "Names by which callers of the RTC API know the server, where a proxy in front of it sends another Host and no \
             X-Forwarded-Host: their signatures cover the name.";
    }

    "Where records are kept."
    [store] Store {
        url: String = String::new(), secret(),
            "The PostgreSQL database that records are in, as \"postgresql://roomful@db.example.org/roomful\"; \"\" is the data \
             folder, which needs nothing else. What leaves the machine is encrypted, and the server's certificate checked; \
             behind a \"?\", joined by \"&\": sslrootcert=FILE (the authority's certificate), sslmode=disable, schema=NAME. \
             Several hosts, separated by commas, are tried for the one that may be written. `roomful migrate` brings records \
             there, and back; docs/cluster.md has the rest.";
        password_file: Option<PathBuf> = None, file(),
            "The file that has the database's password, where the address has none.";
    }

    "Several nodes that answer as one, over a PostgreSQL database. docs/cluster.md has the rest."
    [cluster] Cluster {
        url: String = String::new(), secret(),
            "The database of the cluster that this server is a node of, as store.url has it; also `serve --cluster`. \"\" is a \
             server alone.";
        secret: String = String::new(), secret(),
            "What all nodes of the cluster share and nobody else knows: 32 bytes in hex. `roomful cluster secret` prints one. \
             To change it: the next one behind it, then before it, then alone; nodes take any of theirs.";
        secret_file: Option<PathBuf> = None, file(),
            "The file that has the secret, or several, a line each.";
        listen: Option<SocketAddr> = None, address_or_none(),
            "Where to listen for the other nodes (UDP), on a network that is theirs. \"\" is the address of server.listen, two \
             ports on, or any port where that is taken.";
        advertise: Option<SocketAddr> = None, address_or_none(),
            "Where the other nodes reach that, where it is not the address at which this one listens; port 0 is the same port.";
        media: Option<SocketAddr> = None, address_or_none(),
            "Where the sound and pictures of other nodes' members come in (UDP). \"\" is any port of cluster.listen's address. Other \
             nodes reach it at the address of cluster.advertise.";
        client_url: String = String::new(), text(),
            "Where clients reach this node, as \"https://one.live.example.org\": what clients of other nodes are told, to go to \
             when theirs is gone. \"\" is the address of server.listen, unless that is 0.0.0.0.";
        lease: Duration = 6 * SECOND, duration(6 * SECOND..=2 * MINUTE),
            "For how long a node answers by itself while the database does not; beyond it, by the promises of the others. It is \
             found to be gone an eighth (and at least a second) later. Longer bears with a database and a node that are gone at \
             once, and takes over the later when a node is gone.";
    }

    "What one app, one user, and everybody together may do. 0 lifts a limit."
    [limits] Limits {
        calls_per_second: u32 = 200, number(0..=MANY, "calls a second"),
            "How often each app may call each command in any one second; more is answered with 60007. Commands with a lower \
             documented limit keep it (those of the gift catalogue, one a second each, answer with 100012). What members change \
             over the gateway keeps to the same numbers, counted apart. 0 is no limit for any; then those of the next four that \
             nobody has set are lifted too.";
        commands_per_second: Said<u32> = Said::by_nobody(50), unless_said(number(0..=MANY, "commands a second")),
            "What one user may do in any second, over the gateway, WHIP and WHEP and all its connections together. Two seconds' \
             worth may be saved up. More is answered with 60007, and the connection is read again a moment later.";
        changes_per_second: Said<u32> = Said::by_nobody(10), unless_said(number(0..=MANY, "commands a second")),
            "Those of a user's commands that change what is kept of rooms: make, change, seats, moderation, battles.";
        bytes_per_second: Said<u32> = Said::by_nobody(256 << 10), unless_said(number(0..=MANY, "bytes a second")),
            "The bytes of a user's commands.";
        answer_bytes_per_second: Said<u32> = Said::by_nobody(1 << 20), unless_said(number(0..=MANY, "bytes a second")),
            "The bytes of what they are answered: a page of a large room has some 40,000, entering it up to 600,000. Four \
             seconds' worth may be saved up.";
        sessions_per_user: u32 = 20, number(0..=MANY, "sessions"),
            "What one user may have at once over the gateway; more is answered with 60007. A session that has lost its \
             connection makes room for a new one.";
        sessions_per_room: u32 = 10, number(0..=MANY, "sessions"),
            "The same in one room.";
        media_sessions_per_user: u32 = 50, number(0..=MANY, "sessions"),
            "The same by WHIP and WHEP; more is answered with 503.";
        rooms_per_user: u32 = 50, number(0..=MANY, "rooms"),
            "Rooms that a user has made over the gateway and that are still there, whoever owns them now.";
        member_room_lifetime: Duration = 10 * MINUTE, duration(Duration::ZERO..=YEAR),
            "A room made over the gateway ends when nobody was in it for so long, unless it was made with LifetimeAfterNoUsers. \
             \"0s\" is never.";
        connections: usize = 50_000, number(0..=MANY as usize, "connections"),
            "Open connections in all. More are answered 503, or closed. There are never more than the open files allow.";
        connections_per_address: Said<usize> = Said::by_nobody(1000),
            unless_said(number(0..=MANY as usize, "connections")),
            "Open connections of one address; an IPv6 /64 counts as one. Loopback and private addresses, where proxies are, are \
             held to it only when it is set.";
    }

    "The list of a room's members."
    [member_list] MemberList {
        cap: usize = 1000, number(0..=MANY as usize, "members"),
            "How many members get_member_list lists of a room at most. 0 is all, page by page.";
    }

    "When a member whose connection is lost is gone."
    [presence] Presence {
        ping_interval: Duration = 5 * SECOND, duration(Duration::from_millis(10)..=HOUR),
            "How often the server pings a connection.";
        silent_timeout: Duration = 15 * SECOND, duration(Duration::from_millis(20)..=HOUR),
            "A connection from which nothing came for so long counts as lost. Longer than ping_interval.";
        resume_grace: Duration = 20 * SECOND, duration(Duration::ZERO..=24 * HOUR),
            "A member whose connection was lost stays listed for so long, and may resume.";
        allow_slow: bool = false, switch(),
            "silent_timeout and resume_grace may add up to more than the documented 40 s only if this says that it is meant.";
    }

    "Who hears of events of apps that have no receiver of their own."
    [webhooks] Webhooks {
        url: String = String::new(), text(),
            "Where events go of apps that have no receiver of their own (`roomful webhook set`); \"\" is nowhere.";
        events: Vec<String> = Vec::new(), names("names of events"),
            "The events that are sent there; [] is all. `roomful webhook list --events` names them.";
        token: String = String::new(), secret(),
            "The secret of their signatures; \"\" sends none.";
        deadline: Duration = 2 * SECOND, duration(Duration::from_millis(1)..=10 * MINUTE),
            "How long a before-event is waited for, of any app. Without an answer the message or gift goes through.";
        waiting_bytes: usize = 8 << 20, number(64 << 10..=1 << 30, "bytes"),
            "How many bytes of each app's events wait in memory for their receiver; more wait on the disk.";
        allow_private: bool = false, switch(),
            "Receivers at loopback, private and link-local addresses are refused unless this is true.";
    }

    "Who gets the event callbacks of apps that have no receivers of their own: what the cloud's RTC tells of rooms and media. They may \
     be where webhooks.allow_private lets those be."
    [callbacks] Callbacks {
        room_url: String = String::new(), text(),
            "Where events of rooms go (group 1) of apps that have no receiver for them (`roomful callback set`); \"\" is nowhere.";
        media_url: String = String::new(), text(),
            "The same of events of media (group 2).";
        key: String = String::new(), secret(),
            "What both are signed with: at most 32 letters and digits; \"\" signs nothing.";
    }

    "Sound and pictures."
    [media] Media {
        udp: Option<SocketAddr> = None, address_or_none(),
            "Where sound and pictures come in: one UDP port for everyone. \"\" is the address and the port number of \
             server.listen.";
        tcp: Listening = Listening::Usual, listening(),
            "The same over TCP, for networks without UDP. \"\" is the port after that of media.udp; \"off\" is nowhere.";
        advertise: Vec<Advertised> = vec![Advertised::Own], advertised(),
            "The IP addresses that clients are told. \"auto\" (or none) are this machine's own; behind address translation it is \
             the public one, and [\"203.0.113.5\", \"auto\"] for clients on both sides.";
        turn: bool = true, switch(),
            "Whether to relay for clients whose network lets nothing else through (TURN): over TCP and TLS at the port of \
             media.tcp and at that of server.listen, over UDP at a port of its own. It relays to the media port of this server \
             and nowhere else, and only for members.";
        turn_udp: Option<SocketAddr> = None, address_or_none(),
            "That port of its own: browsers need it to differ from media.udp. \"\" is the address and the port number of \
             media.tcp.";
        turn_host: String = String::new(), host(),
            "The name under which clients find that relay, and the port over TLS when it is not that of server.listen. \"\" is \
             the advertised addresses, and over TLS the first name of the certificate.";
        workers: usize = 0, number(0..=64, "threads"),
            "Threads that forward packets; 0 is one for each core.";
        ice_urls: Vec<String> = Vec::new(), ice_urls(),
            "STUN and TURN servers that clients are told of, such as \"turn:turn.example.org:3478?transport=udp\".";
        turn_secret: String = String::new(), secret(),
            "The secret that these TURN servers (coturn: static-auth-secret) have too; clients get credentials made with it.";
        turn_lifetime: Duration = 24 * HOUR, duration(MINUTE..=YEAR),
            "How long credentials hold, for this server's relay and for these.";
        members_may_create_rooms: bool = true, switch(),
            "Whether a member may create rooms over the gateway, as the cloud lets whoever enters first.";
    }

    "What happened in rooms, kept for those who ask afterwards: in the folder `history` of the data folder, or beside records that are \
     in PostgreSQL. It may be deleted at any time."
    [history] History {
        days: u32 = 14, number(0..=400, "days"),
            "For how many days it is kept; 0 is that nothing is.";
        max_bytes: u64 = 20_000_000_000, number(1_000_000..=1_000_000_000_000_000, "bytes"),
            "How much of the disk it may take; beyond that the oldest goes, quality before calls.";
        addresses: Addresses = Addresses::Full,
            word(&[("full", Addresses::Full), ("prefix", Addresses::Prefix), ("none", Addresses::None)]),
            "What is kept of members' IP addresses: all, the network (24 bits of IPv4, 48 of IPv6), or nothing.";
        pictures: Pictures = Pictures::Together, word(&[("together", Pictures::Together), ("each", Pictures::Each)]),
            "How pictures that somebody receives at once are counted as usage: together, by the size of all of them, or each by its own.";
    }

    "TLS. Without a certificate the server speaks plain HTTP."
    [tls] Tls {
        cert: Option<PathBuf> = None, file(),
            "The certificate chain, in PEM: \"/etc/roomful/cert.pem\". \"\" is none.";
        key: Option<PathBuf> = None, file(),
            "Its private key, in PEM.";
    }

    "The log, on stderr."
    [log] Log {
        level: String = "info".into(), log_level(),
            "What is logged.";
        format: LogFormat = LogFormat::Text, word(&[("text", LogFormat::Text), ("json", LogFormat::Json)]),
            "For people, or for machines.";
    }

    "What the server counts, for Prometheus."
    [metrics] Metrics {
        listen: Option<SocketAddr> = None, address_or_none(),
            "Where /metrics is shown to whoever can connect: an address and port of its own, such as \"127.0.0.1:9480\". \"\" is \
             nowhere.";
        token: String = String::new(), secret(),
            "With a token, /metrics is also on the server's own port, for those who send it (Authorization: Bearer <token>). \
             Without one it is not there. `curl --unix-socket data/control.sock http://localhost/metrics` always shows it.";
    }
}

/// What is kept of an IP address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addresses {
    Full,
    /// The network.
    Prefix,
    None,
}

/// How pictures that are received at once are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pictures {
    /// As one of the size of all.
    Together,
    /// Each.
    Each,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// A file that has them all, each with its default.
pub(crate) fn example() -> String {
    documents::example(SECTIONS, &all())
}

/// The documented longest time for which a member whose connection died silently may stay listed.
const FRESHNESS: Duration = Duration::from_secs(40);

impl Config {
    /// Reads the file (if one is named) and the environment.
    ///
    /// # Errors
    /// What is wrong: which setting, what it is, and what would be right.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> anyhow::Result<Self> {
        let mut config = Self::default();
        if let Some(path) = file {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let table = text.parse().with_context(|| format!("{} is not valid TOML", path.display()))?;
            config.read_file(&table)?;
        }
        config.read_environment(environment)?;
        config.check()?;
        config.settle();
        Ok(config)
    }

    /// The records of a node are those of its cluster.
    fn settle(&mut self) {
        if !self.cluster.url.is_empty() {
            self.store.url.clone_from(&self.cluster.url);
        }
    }

    /// The server is a node of the cluster on that database, whatever else was said.
    pub(crate) fn join(&mut self, url: String) -> anyhow::Result<()> {
        if self.store.url == self.cluster.url {
            self.store.url.clear();
        }
        self.cluster.url = url;
        self.check()?;
        self.settle();
        Ok(())
    }

    fn read_file(&mut self, table: &Table) -> anyhow::Result<()> {
        for (section, value) in table {
            let Some(keys) = value.as_table() else {
                let meant = keys::instead_of_a_section(NAMES, section);
                bail!("{section} must be a section: [{section}]{meant}");
            };
            for (key, value) in keys {
                self.take(section, key, &Written::File(value), in_file)?;
            }
            if !NAMES.iter().any(|(known, _)| known == section) {
                // It has no key by which it would have been found out.
                return Err(keys::unknown(NAMES, section, "", in_file));
            }
        }
        Ok(())
    }

    fn read_environment(
        &mut self,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> anyhow::Result<()> {
        let mut set_by = HashMap::new();
        for (name, value) in environment {
            let name = name.to_string_lossy();
            let Some((section, key)) = keys::of_environment(NAMES, &name)? else { continue };
            let value = value.to_str().ok_or_else(|| anyhow!("{name} is no UTF-8"))?;
            self.take(&section, &key, &Written::Environment(value), in_environment)?;
            if let Some(other) = set_by.insert((section, key), name.to_string()) {
                bail!("{other} and {name} are the same setting; unset one of them");
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        section: &str,
        key: &str,
        written: &Written<'_>,
        show: impl Fn(&str, &str) -> String,
    ) -> anyhow::Result<()> {
        match self.set(section, key, written) {
            None => Err(keys::unknown(NAMES, section, key, show)),
            Some(taken) => taken.map_err(|trouble| anyhow!("{} {trouble}", show(section, key))),
        }
    }

    /// What has to fit together.
    fn check(&self) -> anyhow::Result<()> {
        let Presence { ping_interval, silent_timeout, resume_grace, allow_slow } = self.presence;
        if silent_timeout <= ping_interval {
            bail!("presence.silent_timeout must be longer than presence.ping_interval");
        }
        if silent_timeout + resume_grace > FRESHNESS && !allow_slow {
            bail!(
                "presence.silent_timeout and presence.resume_grace add up to more than 40 s, the documented bound for \
                 a member that fell silent; make them shorter, or set presence.allow_slow = true if it is meant"
            );
        }
        if !self.webhooks.url.is_empty() {
            webhooks::check_url(&self.webhooks.url, self.webhooks.allow_private)
                .map_err(|trouble| anyhow!("webhooks.url: {trouble}"))?;
        }
        for callback in self.callbacks.receivers() {
            webhooks::check_callback(&callback, self.webhooks.allow_private).map_err(|trouble| {
                anyhow!("callbacks.{}_url: {trouble}", webhooks::callback_name(callback.group))
            })?;
        }
        if let Some(unknown) = webhooks::unknown_event(&self.webhooks.events) {
            bail!("webhooks.events: {unknown}");
        }
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        self.media.unit(any, None)?;
        if self.media.turn_secret.is_empty() && self.media.ice_urls.iter().any(|url| url.starts_with("turn"))
        {
            bail!(
                "media.turn_secret is needed for the TURN servers of media.ice_urls: their static-auth-secret"
            );
        }
        let Cluster { url, client_url, .. } = &self.cluster;
        if !url.is_empty() && !self.store.url.is_empty() && *url != self.store.url {
            bail!(
                "cluster.url and store.url name two databases; the records of a cluster are in that of cluster.url"
            );
        }
        if !client_url.is_empty() && !client_url.starts_with("https://") && !client_url.starts_with("http://")
        {
            bail!("cluster.client_url begins with https:// or http://");
        }
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            bail!("tls.cert and tls.key go together; only one of them is set");
        }
        Ok(())
    }

    /// What is set and does nothing, for want of something else, with what it wants.
    pub(crate) fn idle(&self) -> Vec<(&'static str, &'static str)> {
        let Self { store, cluster, webhooks, callbacks, media, .. } = self;
        let is_node = !cluster.url.is_empty();
        let receives = !webhooks.url.is_empty();
        let relays = media.ice_urls.iter().any(|url| url.starts_with("turn"));
        let has_password = store.password_file.is_some();
        let all = [
            (
                "store.password_file",
                "store.url or cluster.url",
                is_node || !store.url.is_empty() || !has_password,
            ),
            ("cluster.secret", "cluster.url", is_node || cluster.secret.is_empty()),
            ("cluster.secret_file", "cluster.url", is_node || cluster.secret_file.is_none()),
            ("cluster.listen", "cluster.url", is_node || cluster.listen.is_none()),
            ("cluster.advertise", "cluster.url", is_node || cluster.advertise.is_none()),
            ("cluster.media", "cluster.url", is_node || cluster.media.is_none()),
            ("cluster.client_url", "cluster.url", is_node || cluster.client_url.is_empty()),
            ("cluster.lease", "cluster.url", is_node || cluster.lease == Cluster::default().lease),
            ("webhooks.events", "webhooks.url", receives || webhooks.events.is_empty()),
            ("webhooks.token", "webhooks.url", receives || webhooks.token.is_empty()),
            (
                "callbacks.key",
                "callbacks.room_url or callbacks.media_url",
                callbacks.receivers().iter().any(|callback| !callback.url.is_empty())
                    || callbacks.key.is_empty(),
            ),
            ("media.turn_udp", "media.turn = true", media.turn || media.turn_udp.is_none()),
            ("media.turn_host", "media.turn = true", media.turn || media.turn_host.is_empty()),
            ("media.turn_secret", "a TURN server in media.ice_urls", relays || media.turn_secret.is_empty()),
        ];
        all.into_iter().filter(|(.., is_used)| !is_used).map(|(key, wants, _)| (key, wants)).collect()
    }
}

impl Store {
    fn password(&self) -> anyhow::Result<Option<String>> {
        let Some(path) = &self.password_file else { return Ok(None) };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read store.password_file {}", path.display()))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Where the records of a data folder are.
    pub(crate) fn place(&self, folder: &Path) -> anyhow::Result<store::Place> {
        self.place_at(folder, &self.url)
    }

    /// Where they are with that address.
    pub(crate) fn place_at(&self, folder: &Path, url: &str) -> anyhow::Result<store::Place> {
        Ok(store::Place::of(folder, url, self.password()?.as_deref())?)
    }

    /// As [`Self::place`], for a server that is about to begin on it.
    pub(crate) fn place_to_serve(&self, folder: &Path) -> anyhow::Result<store::Place> {
        Ok(store::Place::to_serve(folder, &self.url, self.password()?.as_deref())?)
    }
}

impl Callbacks {
    /// Who gets those of apps that have no receivers of their own.
    pub(crate) fn receivers(&self) -> Vec<store::Callback> {
        let of = |group, url: &String| store::Callback { group, url: url.clone(), key: self.key.clone() };
        vec![of(webhooks::ROOM, &self.room_url), of(webhooks::MEDIA, &self.media_url)]
    }
}

impl Limits {
    /// A rate that nobody has set is lifted with that of calls.
    fn rate(&self, rate: Said<u32>) -> u32 {
        if self.calls_per_second == 0 && !rate.is_said() { 0 } else { rate.value() }
    }

    /// Commands of a user.
    pub(crate) fn commands_per_second(&self) -> u32 {
        self.rate(self.commands_per_second)
    }

    /// Those of them that change what is kept of rooms.
    pub(crate) fn changes_per_second(&self) -> u32 {
        self.rate(self.changes_per_second)
    }

    /// Their bytes.
    pub(crate) fn bytes_per_second(&self) -> u32 {
        self.rate(self.bytes_per_second)
    }

    /// The bytes of what they are answered.
    pub(crate) fn answer_bytes_per_second(&self) -> u32 {
        self.rate(self.answer_bytes_per_second)
    }
}

impl Webhooks {
    pub(crate) fn default_receiver(&self) -> store::Webhook {
        store::Webhook { url: self.url.clone(), events: self.events.clone(), token: self.token.clone() }
    }
}

impl Media {
    /// What the forwarding unit is told, beside a server at `listen`, and where other nodes reach it.
    pub(crate) fn unit(
        &self,
        listen: SocketAddr,
        trunk: Option<media::TrunkConfig>,
    ) -> anyhow::Result<media::Config> {
        let udp = self.udp.unwrap_or(listen);
        let after = SocketAddr::new(udp.ip(), if udp.port() == 0 { 0 } else { udp.port().wrapping_add(1) });
        let tcp = match self.tcp {
            Listening::Usual => Some(after),
            Listening::Nowhere => None,
            Listening::At(address) => Some(address),
        };
        let turn = self.turn.then(|| self.turn_udp.or(tcp).unwrap_or(after));
        if turn.is_some_and(|turn| turn == udp && turn.port() != 0) {
            bail!("media.turn_udp is the port of media.udp; browsers need the relay at another");
        }
        let advertised = self.advertise.iter().filter_map(|entry| match entry {
            Advertised::Own => None,
            Advertised::Address(address) => Some(*address),
        });
        let advertised: Vec<_> = advertised.collect();
        let advertises_own = advertised.len() < self.advertise.len() || advertised.is_empty();
        Ok(media::Config { udp, tcp, advertised, advertises_own, turn, trunk, workers: self.workers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generated::require_current;

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roomful.toml");
        std::fs::write(&path, file).unwrap();
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
        Config::load(Some(&path), environment).map_err(|error| format!("{error:#}"))
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
    fn a_name_that_does_not_exist_is_refused_with_the_nearest() {
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
            ("", vec![("ROOMFUL_LOGLEVEL", "debug")], "did you mean ROOMFUL_LOG__LEVEL?"),
            ("", vec![("ROOMFUL_LISTEN", "0.0.0.0:80")], "did you mean ROOMFUL_SERVER__LISTEN?"),
            ("", vec![("ROOMFUL_TLS__CERTIFICATE", "x")], "did you mean ROOMFUL_TLS__CERT?"),
            ("", vec![("ROOMFUL_WEBHOOK__URI", "x")], "did you mean ROOMFUL_WEBHOOKS__URL?"),
            ("", vec![("ROOMFUL_MEDIA__ADVERTISED", "x")], "did you mean ROOMFUL_MEDIA__ADVERTISE?"),
            ("[presence]\ngrace = '5s'", vec![], "did you mean presence.resume_grace?"),
            ("[presence]\npnig_interval = '5s'", vec![], "did you mean presence.ping_interval?"),
            ("[limits]\nrooms = 5", vec![], "did you mean limits.rooms_per_user?"),
            ("[meda]", vec![], "unknown configuration key meda; did you mean media."),
            ("listen = '0.0.0.0:8480'", vec![], "did you mean server.listen?"),
            ("", vec![("ROOMFUL_FOO__BAR", "x")], "ROOMFUL_FOO__BAR; `roomful settings` has them all"),
        ] {
            let error = load(file, &environment).unwrap_err();
            assert!(error.contains(trouble), "{error}");
        }
        let of_others = [
            ("ROOMFUL_PORT", "tcp://10.0.0.1:8480"),
            ("ROOMFUL_SERVICE_HOST", "10.0.0.1"),
            ("ROOMFUL_KEY", "x"),
            ("ROOMFUL_URL", "x"),
        ];
        assert!(load("", &of_others).is_ok(), "not ours to judge");
    }

    #[test]
    fn a_wrong_value_is_refused_with_what_it_is_and_what_is_right() {
        for (name, file, text, right) in [
            (
                "limits.calls_per_second",
                "'many'",
                "many",
                "a whole number from 0 to 1,000,000,000 (calls a second)",
            ),
            ("limits.calls_per_second", "-1", "-1", "a whole number from 0"),
            ("limits.calls_per_second", "1.5", "1.5", "a whole number from 0"),
            ("limits.connections", "1000000001", "1000000001", "(connections)"),
            ("presence.silent_timeout", "'soon'", "soon", "a time from 20ms to 1h"),
            ("presence.ping_interval", "0", "0", "a time from 10ms to 1h"),
            ("presence.ping_interval", "true", "", "a time from 10ms to 1h"),
            ("presence.resume_grace", "-5", "-5", "a time from 0s to 24h"),
            ("presence.allow_slow", "'yes'", "yes", "true or false"),
            ("webhooks.waiting_bytes", "1000", "1000", "a whole number from 65,536 to 1,073,741,824 (bytes)"),
            ("webhooks.deadline", "'0s'", "0s", "a time from 1ms to 10m"),
            ("media.turn_lifetime", "0", "0", "a time from 1m to 1y"),
            ("media.workers", "65", "65", "from 0 to 64 (threads)"),
            ("media.udp", "'here'", "here", "an address with a port"),
            ("media.tcp", "'on'", "on", r#""off", or """#),
            ("media.advertise", "['auto', 'example.org']", "auto, example.org", "a list of IP addresses"),
            ("media.advertise", "[1]", ",1", "a list of IP addresses"),
            ("media.turn_host", "'https://example.org'", "https://example.org", "a name as in"),
            ("media.turn_host", "'example.org:https'", "example.org:https", "a name as in"),
            ("media.ice_urls", "['http://x']", "http://x", "a list of addresses that begin with stun:"),
            ("server.listen", "8480", "8480", "an address with a port"),
            ("server.data", "''", "", "the path of a folder"),
            ("tls.cert", "5", "", ""),
            ("log.level", "'inof'", "inof", "off, error, warn, info"),
            ("log.level", "'info,roomful=loud'", "info,roomful=loud", "off, error, warn, info"),
            ("log.format", "'xml'", "xml", r#""text" or "json""#),
            ("metrics.listen", "'9090'", "9090", "an address with a port"),
        ] {
            let (section, key) = name.split_once('.').unwrap();
            let error = load(&format!("[{section}]\n{key} = {file}"), &[]).unwrap_err();
            assert!(error.starts_with(&format!("{name} is ")) && error.contains(right), "{error}");
            if right.is_empty() {
                continue;
            }
            let variable = super::in_environment(section, key);
            let error = load("", &[(variable.as_str(), text)]).unwrap_err();
            let begin = format!("{variable} is {text:?}; it must be ");
            assert!(error.starts_with(&begin) && error.contains(right), "{error}");
        }
        for (secret, section) in [("turn_secret", "media"), ("token", "webhooks"), ("token", "metrics")] {
            let error = load(&format!("[{section}]\n{secret} = 4711"), &[]).unwrap_err();
            assert_eq!(error, format!("{section}.{secret} must be a text in quotes"), "and is not shown");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for (file, trouble) in [
            ("[presence]\nsilent_timeout = '30s'", "more than 40 s"),
            ("[presence]\nsilent_timeout = '5s'", "must be longer than presence.ping_interval"),
            ("[tls]\ncert = 'a.pem'", "go together"),
            ("[media]\nice_urls = ['turn:x:3478']", "media.turn_secret"),
            ("[media]\nudp = '0.0.0.0:1'\nturn_udp = '0.0.0.0:1'", "media.turn_udp is the port of media.udp"),
            ("[webhooks]\nurl = 'http://10.0.0.1/'", "webhooks.url: "),
            (
                "[webhooks]\nevents = ['Live.CallbackAfterCreatRoom']",
                "did you mean Live.CallbackAfterCreateRoom?",
            ),
        ] {
            let error = load(file, &[]).unwrap_err();
            assert!(error.contains(trouble), "{error}");
        }
        assert!(load("[presence]\nsilent_timeout = '60s'\nallow_slow = true", &[]).is_ok());
    }

    #[test]
    fn texts_of_the_environment_are_texts_whatever_they_look_like() {
        let config = load(
            "",
            &[
                ("ROOMFUL_MEDIA__TURN_SECRET", "0042"),
                ("ROOMFUL_METRICS__TOKEN", "true"),
                ("ROOMFUL_WEBHOOKS__EVENTS", "Live.CallbackAfterCreateRoom, Live.CallbackAfterDestroyRoom"),
                ("ROOMFUL_SERVER__DATA", "2026"),
                ("ROOMFUL_PRESENCE__RESUME_GRACE", "5"),
                ("roomful_member_list__cap", "7"),
            ],
        )
        .unwrap();

        assert_eq!((config.media.turn_secret.as_str(), config.metrics.token.as_str()), ("0042", "true"));
        assert_eq!((config.webhooks.events.len(), config.server.data), (2, "2026".into()));
        assert_eq!((config.presence.resume_grace, config.member_list.cap), (5 * SECOND, 7));
    }

    #[test]
    fn one_setting_is_not_said_twice_by_the_environment() {
        let twice = [("ROOMFUL_MEMBER_LIST__CAP", "0"), ("roomful_member_list__cap", "7")];

        let error = load("", &twice).unwrap_err();

        assert!(error.contains("are the same setting"), "{error}");
    }

    #[test]
    fn a_rate_that_nobody_has_set_is_lifted_with_that_of_calls() {
        for (file, commands, bytes) in [
            ("", 50, 262_144),
            ("calls_per_second = 0", 0, 0),
            ("calls_per_second = 0\ncommands_per_second = 50", 50, 0),
        ] {
            let limits = load(&format!("[limits]\n{file}"), &[]).unwrap().limits;
            assert_eq!(
                (limits.commands_per_second(), limits.bytes_per_second()),
                (commands, bytes),
                "{file}"
            );
        }
    }

    #[test]
    fn what_is_set_and_does_nothing_is_known() {
        let idle = |file: &str| load(file, &[]).unwrap().idle();

        assert_eq!(idle("[webhooks]\ntoken = 'x'"), [("webhooks.token", "webhooks.url")]);
        assert_eq!(
            idle("[media]\nturn = false\nturn_host = 'a.example'"),
            [("media.turn_host", "media.turn = true")]
        );
        assert_eq!(idle("[media]\nturn_secret = 'x'").len(), 1);
        let used = "[webhooks]\nurl = 'https://a.example/'\ntoken = 'x'\n[media]\nturn_host = 'b.example'";
        assert!(idle(used).is_empty());
    }

    #[test]
    fn own_addresses_are_advertised_alone_or_beside_others() {
        for (text, own, others) in [
            ("", true, 0),
            ("[media]\nadvertise = []", true, 0),
            ("[media]\nadvertise = 'auto'", true, 0),
            ("[media]\nadvertise = ['auto', '203.0.113.5']", true, 1),
            ("[media]\nadvertise = ['203.0.113.5', '2001:db8::5']", false, 2),
        ] {
            let unit = load(text, &[]).unwrap().media.unit(([0, 0, 0, 0], 8480).into(), None).unwrap();

            assert_eq!((unit.advertises_own, unit.advertised.len()), (own, others), "{text}");
        }
    }

    #[test]
    fn every_setting_reads_what_it_shows_in_both_ways() {
        for setting in all() {
            let Setting { section, key, default, .. } = &setting;
            let value: Table = format!("it = {default}").parse().unwrap();
            let value = &value["it"];
            let bare = match value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Array(entries) => {
                    entries.iter().map(|entry| entry.as_str().unwrap()).collect::<Vec<_>>().join(",")
                }
                other => other.to_string(),
            };
            for written in [Written::File(value), Written::Environment(&bare)] {
                let mut config = Config::default();
                config.set(section, key, &written).unwrap().unwrap();
                assert!(config == Config::default() || setting.may_be_unsaid, "{section}.{key}");
            }
        }
    }

    #[test]
    fn generated_files_have_every_setting() {
        require_current("roomful.example.toml", &example());
        require_current("docs/settings.md", &documents::page(SECTIONS, &all()));

        assert_eq!(load(&example(), &[]).unwrap(), Config::default(), "the example changes nothing");
        assert!(load(&example().replace("#= ", ""), &[]).is_ok());
    }

    /// The README's tables of limits: `key`, `key` | default, default and more words.
    #[test]
    fn the_readme_says_the_defaults_that_are_true() {
        const README: &str = include_str!("../../../README.md");
        let for_people = |setting: &Setting| match setting.default.trim_matches('"').parse::<u64>() {
            Ok(bytes) if setting.unit.starts_with("bytes") && bytes >= 1 << 20 => {
                format!("{} MiB", bytes >> 20)
            }
            Ok(bytes) if setting.unit.starts_with("bytes") => format!("{} KiB", bytes >> 10),
            Ok(number) => kind::grouped(number),
            Err(_) => setting.default.trim_matches('"').replace('m', " min"),
        };
        let mut found = 0;
        for line in README.lines().filter(|line| line.starts_with("| `")) {
            let mut cells = line.trim_matches('|').split('|');
            let (names, said) = (cells.next().unwrap(), cells.next().unwrap().trim());
            let names: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
            let of = |name: &&str| {
                let name = name.strip_prefix("limits.").unwrap_or(name);
                all().into_iter().find(|setting| {
                    setting.key == name && setting.section == "limits"
                        || format!("{}.{}", setting.section, setting.key) == name
                })
            };
            let meant: Vec<Setting> = names.iter().filter_map(of).collect();
            let defaults: Vec<String> = meant.iter().map(for_people).collect();
            if meant.len() == names.len() {
                assert!(said.starts_with(&defaults.join(", ")), "{names:?}: {said}, and it is {defaults:?}");
                found += names.len();
            }
        }
        assert!(found >= 13, "{found}");
    }
}
