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

/// What a node of a cluster needs to know.
pub(super) struct Settings {
    pub(super) target: Target,
    pub(super) secret: Vec<u8>,
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
            secret: secret(config)?,
            listen: mesh,
            is_listen_said: cluster.listen.is_some(),
            advertise: cluster.advertise,
            media: cluster.media,
            clients,
        })
    }
}

fn secret(config: &Config) -> anyhow::Result<Vec<u8>> {
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
    bytes(text.trim()).with_context(|| {
        format!(
            "the cluster's secret has to be {SECRET} bytes in hex, as `roomful cluster secret` prints them"
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
}
