//! What a node is told of its cluster, and what has to be right about it before it begins.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use store::Target;

use crate::config::Config;
use crate::wire;

/// How many bytes a secret has.
const SECRET: usize = 32;

/// A secret for a new cluster.
pub(crate) fn fresh_secret() -> anyhow::Result<String> {
    let mut random = [0; SECRET];
    getrandom::fill(&mut random)?;
    Ok(wire::hex(&random))
}

/// What nodes of a cluster share: at least one, so that another can take its place while nodes run.
pub(super) struct Secrets {
    /// By which this node shows that it has it.
    pub(super) own: Vec<u8>,
    /// By which others may, too.
    pub(super) taken: Vec<Vec<u8>>,
}

impl Secrets {
    /// All that others may show, the own one first.
    pub(super) fn all(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&self.own).chain(&self.taken).map(Vec::as_slice)
    }

    /// Of a text that has them one after the other, apart by blanks, lines or commas.
    fn read(text: &str) -> Option<Self> {
        let parts = text.split(|at: char| at.is_whitespace() || at == ',').filter(|part| !part.is_empty());
        let mut all = parts.map(bytes).collect::<Option<Vec<_>>>()?.into_iter();
        Some(Self { own: all.next()?, taken: all.collect() })
    }
}

/// What a node of a cluster needs to know.
pub(super) struct Settings {
    pub(super) target: Target,
    pub(super) secrets: Secrets,
    /// Where its mesh listens.
    pub(super) listen: SocketAddr,
    /// Whether somebody said so.
    pub(super) is_listen_said: bool,
    /// Where others reach that; the port is that of the mesh where it is 0.
    pub(super) advertise: Option<SocketAddr>,
    /// Where the media of other nodes comes in.
    pub(super) media: Option<SocketAddr>,
    /// Where clients reach it.
    pub(super) clients: String,
}

impl Settings {
    pub(super) fn of(config: &Config, listen: SocketAddr) -> anyhow::Result<Self> {
        let cluster = &config.cluster;
        let store::Place::Database { target, .. } = config.store.place_to_serve(&config.server.data)? else {
            bail!("cluster.url is no address of a database");
        };
        let usual = SocketAddr::new(listen.ip(), listen.port().saturating_add(2));
        let mesh = cluster.listen.unwrap_or(usual);
        if mesh.ip().is_unspecified() && cluster.advertise.is_none() {
            bail!(
                "the other nodes have to know where this one is, and {} is no address: set cluster.listen to this machine's \
                 address on a private network, or cluster.advertise to that by which they reach it",
                mesh.ip()
            );
        }
        let scheme = if config.tls.cert.is_some() { "https" } else { "http" };
        let of_listen =
            if listen.ip().is_unspecified() { String::new() } else { format!("{scheme}://{listen}") };
        let clients = if cluster.client_url.is_empty() { of_listen } else { cluster.client_url.clone() };
        Ok(Self {
            target: *target,
            secrets: secrets(config)?,
            listen: mesh,
            is_listen_said: cluster.listen.is_some(),
            advertise: cluster.advertise,
            media: cluster.media,
            clients,
        })
    }
}

fn secrets(config: &Config) -> anyhow::Result<Secrets> {
    let cluster = &config.cluster;
    let text = match (&cluster.secret_file, cluster.secret.is_empty()) {
        (Some(_), false) => bail!("cluster.secret and cluster.secret_file are both set; unset one of them"),
        (Some(path), true) => std::fs::read_to_string(path)
            .with_context(|| format!("cannot read cluster.secret_file {}", path.display()))?,
        (None, false) => cluster.secret.clone(),
        (None, true) => bail!(
            "a node needs the secret that all nodes of its cluster share: `roomful cluster secret` prints one; give it with \
             ROOMFUL_CLUSTER__SECRET or cluster.secret_file"
        ),
    };
    Secrets::read(&text).with_context(|| {
        format!(
            "the cluster's secret has to be {SECRET} bytes in hex, as `roomful cluster secret` prints them; the one to come or \
             the one before may follow it, after a comma or in a line of its own"
        )
    })
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|digit| digit.to_digit(16)?.try_into().ok()).collect::<Option<_>>()?;
    let bytes =
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    (digits.len() == 2 * SECRET).then_some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_what_is_printed_and_nothing_shorter() {
        let fresh = fresh_secret().unwrap();

        assert_eq!(bytes(&fresh).map(|bytes| wire::hex(&bytes)), Some(fresh));
        for text in ["", "hunter2", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"ä".repeat(32)] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn the_first_secret_is_shown_and_those_behind_it_are_taken() {
        let (one, other) = ("0a".repeat(32), "0b".repeat(32));
        for text in [format!("{one},{other}"), format!(" {one}\n{other}\n"), format!("{one}, {other},")] {
            let secrets = Secrets::read(&text).unwrap();

            assert_eq!(secrets.own, [0x0a; 32]);
            assert_eq!(secrets.all().collect::<Vec<_>>(), [[0x0a; 32], [0x0b; 32]]);
        }
        for text in ["", ",", &format!("{one},{}", &other[1..]), &format!("{one}{other}")] {
            assert!(Secrets::read(text).is_none(), "{text}");
        }
    }
}
