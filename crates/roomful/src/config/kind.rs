//! What a setting may be: how it is read, from a file and from the environment, what is right, and how it is written down.
//!
//! Invariant: what a kind shows it reads as the same value again.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::Value;
use tracing_subscriber::filter::{LevelFilter, Targets};

/// A setting as somebody has written it.
pub(super) enum Written<'a> {
    File(&'a Value),
    Environment(&'a str),
}

impl Written<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::File(value) => value.as_str(),
            Self::Environment(text) => Some(text),
        }
    }

    fn integer(&self) -> Option<i64> {
        match self {
            Self::File(value) => value.as_integer(),
            Self::Environment(text) => text.parse().ok(),
        }
    }

    fn switch(&self) -> Option<bool> {
        match self {
            Self::File(value) => value.as_bool(),
            Self::Environment(text) => text.parse().ok(),
        }
    }

    /// A list, or its entries with commas between them (the environment has no lists).
    fn entries(&self) -> Option<Vec<&str>> {
        match self {
            Self::File(Value::Array(entries)) => entries.iter().map(Value::as_str).collect(),
            _ => {
                let entries = self.text()?.split(',').map(str::trim);
                Some(entries.filter(|entry| !entry.is_empty()).collect())
            }
        }
    }
}

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(value) => value.fmt(f),
            Self::Environment(text) => write!(f, "{text:?}"),
        }
    }
}

type Read<T> = Box<dyn Fn(&Written<'_>) -> Option<T>>;
type Show<T> = Box<dyn Fn(&T) -> String>;

/// What a setting may be.
pub(super) struct Kind<T> {
    /// What is right, to follow "it must be".
    pub(super) right: String,
    /// Of what it is a number, in the plural; empty where it is none.
    pub(super) unit: &'static str,
    /// To leave it out is not the same as to write the default.
    pub(super) may_be_unsaid: bool,
    /// What is wrong with it is said without it.
    is_secret: bool,
    read: Read<T>,
    show: Show<T>,
}

impl<T> Kind<T> {
    fn new(
        right: impl Into<String>,
        read: impl Fn(&Written<'_>) -> Option<T> + 'static,
        show: impl Fn(&T) -> String + 'static,
    ) -> Self {
        let (read, show) = (Box::new(read), Box::new(show));
        Self { right: right.into(), unit: "", may_be_unsaid: false, is_secret: false, read, show }
    }

    /// # Errors
    /// What is wrong, and what is right, to follow the setting's name.
    pub(super) fn read(&self, written: &Written<'_>) -> Result<T, String> {
        (self.read)(written).ok_or_else(|| match self.is_secret {
            true => format!("must be {}", self.right),
            false => format!("is {written}; it must be {}", self.right),
        })
    }

    /// The value as it stands in a file.
    pub(super) fn show(&self, value: &T) -> String {
        (self.show)(value)
    }
}

/// A number of `unit`.
pub(super) fn number<T>(range: RangeInclusive<T>, unit: &'static str) -> Kind<T>
where
    T: Copy + PartialOrd + fmt::Display + TryFrom<i64> + 'static,
{
    let right =
        format!("a whole number from {} to {} ({unit})", grouped(range.start()), grouped(range.end()));
    let read = move |written: &Written<'_>| {
        let number = T::try_from(written.integer()?).ok()?;
        range.contains(&number).then_some(number)
    };
    Kind { unit, ..Kind::new(right, read, T::to_string) }
}

/// `1,000,000`
pub(super) fn grouped(number: impl fmt::Display) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time, with its unit, or a whole number of seconds.
pub(super) fn duration(range: RangeInclusive<Duration>) -> Kind<Duration> {
    let right = format!("a time from {} to {}", short(*range.start()), short(*range.end()));
    let read = move |written: &Written<'_>| {
        let duration = match written.integer() {
            Some(seconds) => Duration::from_secs(seconds.try_into().ok()?),
            None => humantime::parse_duration(written.text()?).ok()?,
        };
        range.contains(&duration).then_some(duration)
    };
    Kind::new(right, read, |duration| quoted(&short(*duration)))
}

/// `15s`, `10m`, `24h`: in the largest unit of which it is a whole number.
fn short(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [(86_400_000 * 365, "y"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    match units.iter().find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit)) {
        _ if ms == 0 => "0s".into(),
        Some((unit, name)) => format!("{}{name}", ms / unit),
        None => format!("{ms}ms"),
    }
}

pub(super) fn switch() -> Kind<bool> {
    Kind::new("true or false", |written| written.switch(), bool::to_string)
}

pub(super) fn text() -> Kind<String> {
    Kind::new("a text", |written| written.text().map(String::from), |text| quoted(text))
}

/// A text that is shown to nobody.
pub(super) fn secret() -> Kind<String> {
    let text = text();
    Kind { right: "a text in quotes".into(), is_secret: true, ..text }
}

pub(super) fn folder() -> Kind<PathBuf> {
    let read = |written: &Written<'_>| written.text().filter(|text| !text.is_empty()).map(PathBuf::from);
    Kind::new("the path of a folder", read, |path| quoted(&path.to_string_lossy()))
}

/// "" is none.
pub(super) fn file() -> Kind<Option<PathBuf>> {
    let read = |written: &Written<'_>| {
        let text = written.text()?;
        Some((!text.is_empty()).then(|| PathBuf::from(text)))
    };
    let show = |path: &Option<PathBuf>| quoted(&path.as_deref().unwrap_or("".as_ref()).to_string_lossy());
    Kind::new(r#"the path of a file, or """#, read, show)
}

const ADDRESS: &str = r#"an address with a port, such as "0.0.0.0:8480" or "[::]:8480""#;

pub(super) fn address() -> Kind<SocketAddr> {
    Kind::new(
        ADDRESS,
        |written| written.text()?.parse().ok(),
        |address: &SocketAddr| quoted(&address.to_string()),
    )
}

/// "" is none.
pub(super) fn address_or_none() -> Kind<Option<SocketAddr>> {
    let read = |written: &Written<'_>| match written.text()? {
        "" => Some(None),
        text => text.parse().ok().map(Some),
    };
    let show = |address: &Option<SocketAddr>| {
        quoted(&address.map(|address| address.to_string()).unwrap_or_default())
    };
    Kind::new(format!(r#"{ADDRESS}, or """#), read, show)
}

/// Where there may be something besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listening {
    /// Where it usually is.
    Usual,
    Nowhere,
    At(SocketAddr),
}

/// "" is the usual place, "off" is nowhere.
pub(super) fn listening() -> Kind<Listening> {
    let read = |written: &Written<'_>| match written.text()? {
        "" => Some(Listening::Usual),
        "off" => Some(Listening::Nowhere),
        text => text.parse().ok().map(Listening::At),
    };
    let show = |listening: &Listening| match listening {
        Listening::Usual => quoted(""),
        Listening::Nowhere => quoted("off"),
        Listening::At(address) => quoted(&address.to_string()),
    };
    Kind::new(format!(r#"{ADDRESS}, "off", or """#), read, show)
}

/// An address that is told to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advertised {
    /// All of this machine's own.
    Own,
    Address(IpAddr),
}

const AUTO: &str = "auto";

pub(super) fn advertised() -> Kind<Vec<Advertised>> {
    let read = |entry: &str| match entry {
        AUTO => Some(Advertised::Own),
        text => text.parse().ok().map(Advertised::Address),
    };
    let show = |entry: &Advertised| match entry {
        Advertised::Own => AUTO.into(),
        Advertised::Address(address) => address.to_string(),
    };
    list(r#"IP addresses, and "auto" for this machine's own"#, read, show)
}

/// A list of texts.
pub(super) fn names(what: &'static str) -> Kind<Vec<String>> {
    list(what, |entry| Some(entry.into()), String::clone)
}

pub(super) fn ice_urls() -> Kind<Vec<String>> {
    let is_ice =
        |url: &str| ["stun:", "stuns:", "turn:", "turns:"].iter().any(|scheme| url.starts_with(scheme));
    let read = move |entry: &str| is_ice(entry).then(|| String::from(entry));
    list("addresses that begin with stun:, stuns:, turn: or turns:", read, String::clone)
}

fn list<T: 'static>(
    what: &'static str,
    read: impl Fn(&str) -> Option<T> + 'static,
    show: impl Fn(&T) -> String + 'static,
) -> Kind<Vec<T>> {
    let read = move |written: &Written<'_>| -> Option<Vec<T>> {
        written.entries()?.into_iter().map(&read).collect()
    };
    let show = move |entries: &Vec<T>| {
        let entries: Vec<String> = entries.iter().map(|entry| quoted(&show(entry))).collect();
        format!("[{}]", entries.join(", "))
    };
    Kind::new(format!("a list of {what}"), read, show)
}

/// A name, maybe with a port, or nothing at all.
pub(super) fn host() -> Kind<String> {
    let is_host = |text: &str| {
        let (name, port) = text.split_once(':').unwrap_or((text, "443"));
        let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '_');
        text.is_empty() || !name.is_empty() && name.chars().all(is_of_name) && port.parse::<u16>().is_ok()
    };
    let read = move |written: &Written<'_>| written.text().filter(|text| is_host(text)).map(String::from);
    let right = r#"a name as in "live.example.org" or "live.example.org:443", or """#;
    Kind::new(right, read, |host| quoted(host))
}

/// What is logged. The log's own reader takes a level with a slip in it for the name of a module.
pub(super) fn log_level() -> Kind<String> {
    let is_right = |entry: &str| {
        let level = entry.rsplit_once('=').map_or(entry, |(_, level)| level);
        !level.is_empty() && level.parse::<LevelFilter>().is_ok() && entry.parse::<Targets>().is_ok()
    };
    let read = move |written: &Written<'_>| {
        let text: String = written.text()?.split_whitespace().collect();
        text.split(',').all(is_right).then_some(text)
    };
    let right = r#"off, error, warn, info, debug or trace, or several, each of a module: "info,roomful::gateway=debug""#;
    Kind::new(right, read, |level| quoted(level))
}

/// One of a few words.
pub(super) fn word<T: Copy + PartialEq + 'static>(words: &'static [(&'static str, T)]) -> Kind<T> {
    let names: Vec<String> = words.iter().map(|(name, _)| quoted(name)).collect();
    let read = move |written: &Written<'_>| {
        let text = written.text()?;
        words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
    };
    let show = move |value: &T| {
        let found = words.iter().find(|(_, of)| of == value);
        found.map(|(name, _)| quoted(name)).unwrap_or_default()
    };
    Kind::new(names.join(" or "), read, show)
}

/// A value, and whether the operator has said it: some that nobody has said give way to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said<T> {
    value: T,
    is_said: bool,
}

impl<T: Copy> Said<T> {
    pub(crate) const fn by_nobody(value: T) -> Self {
        Self { value, is_said: false }
    }

    pub(crate) const fn by_operator(value: T) -> Self {
        Self { value, is_said: true }
    }

    pub(crate) const fn value(self) -> T {
        self.value
    }

    pub(crate) const fn is_said(self) -> bool {
        self.is_said
    }
}

/// What gives way while nobody has said it.
pub(super) fn unless_said<T: Copy + 'static>(kind: Kind<T>) -> Kind<Said<T>> {
    let Kind { right, unit, is_secret, read, show, .. } = kind;
    let read = Box::new(move |written: &Written<'_>| read(written).map(Said::by_operator));
    let show = Box::new(move |said: &Said<T>| show(&said.value));
    Kind { right, unit, may_be_unsaid: true, is_secret, read, show }
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
