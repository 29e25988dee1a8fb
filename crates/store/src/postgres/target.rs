//! Which database, and how it is reached: the address that an operator gives.
//!
//! It is a libpq address, `postgresql://user:password@host:port/database?sslmode=..&sslrootcert=..&schema=..`, of which several
//! hosts may be named. Two things are stricter than in libpq: a connection that leaves the machine is encrypted and the
//! server's certificate checked unless the address says otherwise, and there is no mode that falls back to plain text.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::tls::Tls;
use crate::Error;

/// The schema that the tables are in when the address names none.
const SCHEMA: &str = "roomful";

/// What an identifier may have in PostgreSQL; longer ones are cut off there without a word.
const MOST_BYTES_OF_A_NAME: usize = 63;

/// How long a host may take to answer at all.
const CONNECT: Duration = Duration::from_secs(3);

/// How long what was sent may stay without an acknowledgement, so that a host that is gone is found out.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// A database.
#[derive(Clone)]
pub struct Target {
    config: Config,
    tls: Tls,
    schema: String,
    /// The address without its password.
    shown: String,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Target {
    /// Whether a text is the address of a database, and not that of a folder.
    pub fn is_url(text: &str) -> bool {
        text.starts_with("postgresql://") || text.starts_with("postgres://")
    }

    /// Reads an address; `password` is used where it has none.
    ///
    /// # Errors
    /// [`Error::Unusable`], which never quotes a password.
    pub fn parse(url: &str, password: Option<&str>) -> Result<Self, Error> {
        if !Self::is_url(url) {
            return Err(unusable(
                "the address of a database begins with postgresql://, as postgresql://user@host:5432/database",
            ));
        }
        let shown = without_password(url);
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut ours, mut theirs) = (Ours::default(), Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| unusable(&format!("{key} in the address of the database is not UTF-8")))?;
            match key {
                "sslmode" => ours.mode = Some(value),
                "sslrootcert" => ours.roots = Some(value),
                "schema" => ours.schema = Some(value),
                _ => theirs.push(pair),
            }
        }
        let rest = if theirs.is_empty() { base.to_owned() } else { format!("{base}?{}", theirs.join("&")) };
        // What is wrong with it is named by its key, never by its value.
        let mut config: Config = rest
            .parse()
            .map_err(|error| unusable(&format!("the address of the database: {}", causes(&error))))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(unusable("the address of the database names no host"));
        }
        if let (None, Some(password)) = (config.get_password(), password) {
            config.password(password);
        }
        let is_local = config.get_hosts().iter().all(is_local)
            && config.get_hostaddrs().iter().all(|at| at.is_loopback());
        let is_encrypted = ours.is_encrypted(is_local)?;
        if !is_encrypted && ours.roots.is_some() {
            return Err(unusable(
                "sslrootcert in the address of the database is of no use without sslmode=verify-full",
            ));
        }
        let several = config.get_hosts().len() > 1 || config.get_hostaddrs().len() > 1;
        if several && config.get_target_session_attrs() == TargetSessionAttrs::Any {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        config
            .ssl_mode(if is_encrypted { SslMode::Require } else { SslMode::Disable })
            .application_name("roomful")
            .connect_timeout(CONNECT)
            .tcp_user_timeout(UNACKNOWLEDGED)
            .keepalives_idle(Duration::from_secs(2))
            .keepalives_interval(Duration::from_secs(2))
            .keepalives_retries(3);
        let schema = ours.schema.as_deref().unwrap_or(SCHEMA);
        let is_usual = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
        if schema.is_empty() || schema.len() > MOST_BYTES_OF_A_NAME || !schema.chars().all(is_usual) {
            return Err(unusable(&format!(
                "schema in the address of the database has to be 1 to {MOST_BYTES_OF_A_NAME} of a-z, A-Z, 0-9, _ and -"
            )));
        }
        let tls = Tls::new(ours.roots.as_deref())?;
        Ok(Self { schema: schema.to_owned(), config, tls, shown })
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// The schema's name, unquoted.
    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// The schema's name as it stands in a statement.
    pub fn quoted_schema(&self) -> String {
        format!("\"{}\"", self.schema)
    }

    /// What is left of the address when the password is taken out.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

/// What the address says that the library does not know, or not as strictly.
#[derive(Default)]
struct Ours<'a> {
    mode: Option<Cow<'a, str>>,
    roots: Option<Cow<'a, str>>,
    schema: Option<Cow<'a, str>>,
}

impl Ours<'_> {
    fn is_encrypted(&self, is_local: bool) -> Result<bool, Error> {
        match self.mode.as_deref() {
            None => Ok(!is_local || self.roots.is_some()),
            Some("disable") => Ok(false),
            Some("require" | "verify-ca" | "verify-full") => Ok(true),
            Some(other) => Err(unusable(&format!(
                "sslmode={other} in the address of the database is unknown, or may fall back to plain text; say \
                 verify-full (encrypted, and the server's certificate is checked) or disable"
            ))),
        }
    }
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
        }
    }
}

fn unusable(trouble: &str) -> Error {
    Error::Unusable(trouble.to_owned())
}

/// An error with all that it comes from.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgresql", url));
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let authority = match authority.rsplit_once('@') {
        Some((user, hosts)) => {
            let user = user.split_once(':').map_or(user, |(user, _)| user);
            format!("{user}@{hosts}")
        }
        None => authority.to_owned(),
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let kept: Vec<&str> =
        query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("password=")).collect();
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    format!("{scheme}://{authority}{path}{query}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_the_machine_is_encrypted_unless_the_address_says_otherwise() {
        let cases = [
            ("postgresql://u@db.example/x", SslMode::Require),
            ("postgres://u@10.0.0.1:5433/x", SslMode::Require),
            ("postgresql://u@db.example/x?sslmode=disable", SslMode::Disable),
            ("postgresql://u@127.0.0.1/x", SslMode::Disable),
            ("postgresql://u@localhost,db.example/x", SslMode::Require),
            ("postgresql://u@%2Frun%2Fpostgresql/x", SslMode::Disable),
            ("postgresql:///x?host=/run/postgresql&user=u", SslMode::Disable),
            ("postgresql://u@127.0.0.1/x?sslmode=verify-full", SslMode::Require),
            ("postgresql://u@127.0.0.1/x?sslmode=require", SslMode::Require),
        ];
        for (url, mode) in cases {
            assert_eq!(Target::parse(url, None).unwrap().config.get_ssl_mode(), mode, "{url}");
        }
    }

    #[test]
    fn a_wrong_address_is_refused_by_what_is_wrong_with_it_and_its_password_is_never_said() {
        let cases = [
            ("mysql://u:hidden@h/x", "begins with postgresql://"),
            ("postgresql://u:hidden@h:port/x", "port"),
            ("postgresql://u:hidden@h/x?sslmode=prefer", "fall back to plain text"),
            ("postgresql://u:hidden@h/x?sslmode=disable&sslrootcert=/a", "of no use"),
            ("postgresql://u:hidden@h/x?sslrootcert=/nowhere/ca.pem", "/nowhere/ca.pem"),
            ("postgresql://u:hidden@h/x?colour=red", "colour"),
            ("postgresql://u:hidden@h/x?schema=", "schema"),
            ("postgresql:///x?user=u&password=hidden", "no host"),
        ];
        for (url, words) in cases {
            let said = Target::parse(url, None).unwrap_err().to_string();
            assert!(said.contains(words) && !said.contains("hidden"), "{url}: {said}");
        }
    }

    #[test]
    fn it_is_shown_without_its_password() {
        let cases = [
            ("postgresql://u:p%40w@h:1,k:2/x?schema=a", "postgresql://u@h:1,k:2/x?schema=a"),
            ("postgresql://h/x", "postgresql://h/x"),
            ("postgres://h/x?user=u&password=p", "postgres://h/x?user=u"),
        ];
        for (url, shown) in cases {
            let target = Target::parse(url, Some("other")).unwrap();
            assert_eq!((format!("{target:?}"), target.to_string()), (shown.to_owned(), shown.to_owned()));
        }
    }

    #[test]
    fn several_hosts_are_tried_for_the_one_that_may_be_written() {
        let attributes = |url| Target::parse(url, None).unwrap().config.get_target_session_attrs();
        assert_eq!(attributes("postgresql://u@a,b/x"), TargetSessionAttrs::ReadWrite);
        assert_eq!(attributes("postgresql://u@a/x"), TargetSessionAttrs::Any);
    }
}
