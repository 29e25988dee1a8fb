//! Where a server is, and a connection to it: over TLS where its URL says so.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;

/// What a connection is to those who use it.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection.
pub type Stream = Box<dyn Io>;

/// A server, as clients reach it.
#[derive(Clone)]
pub struct Address {
    /// As in a `Host` header.
    authority: String,
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
}

impl Address {
    /// Of a URL as `https://live.example.org` or `http://127.0.0.1:8480`; `authorities` is a PEM file of certificates to trust
    /// besides the usual ones.
    ///
    /// # Errors
    /// When it is no such URL, or the file cannot be read.
    pub fn parse(url: &str, authorities: Option<&Path>) -> anyhow::Result<Self> {
        let (scheme, rest) = url
            .split_once("://")
            .with_context(|| format!("{url:?} is no URL as https://live.example.org"))?;
        let is_tls = match scheme {
            "http" | "ws" => false,
            "https" | "wss" => true,
            other => bail!("{url:?} begins with {other}://; http:// or https:// is needed"),
        };
        let authority = rest.trim_end_matches('/');
        if authority.is_empty() || authority.contains(['/', '@', '?']) {
            bail!("{url:?} is no address of a server: a name or an address, maybe a port, and nothing more");
        }
        let default = if is_tls { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().with_context(|| format!("{url:?} has a port that is no number"))?)
            }
            _ => (authority, default),
        };
        let tls = is_tls.then(|| connector(authorities)).transpose()?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_string();
        Ok(Self { authority: authority.to_string(), host, port, tls })
    }

    /// Of `127.0.0.1:8480`, without TLS.
    ///
    /// # Errors
    /// When it is no such address.
    pub fn plain(address: &str) -> anyhow::Result<Self> {
        Self::parse(&format!("http://{address}"), None)
    }

    /// As in a `Host` header.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Connects.
    ///
    /// # Errors
    /// When nobody answers there, or not as who it is.
    pub async fn connect(&self) -> anyhow::Result<Stream> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .with_context(|| format!("nothing answers at {}", self.authority))?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(self.host.clone())?;
        let stream = tls.connect(name, stream).await.map_err(|error| {
            let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
            // What comes is no TLS at all.
            let is_plain = matches!(cause, Some(rustls::Error::InvalidMessage(_)));
            let hint = if is_plain { ": without TLS its address begins with http://" } else { "" };
            anyhow::Error::new(error).context(format!("TLS with {} has failed{hint}", self.authority))
        })?;
        Ok(Box::new(stream))
    }

    /// From which of this machine's addresses the server is reached.
    ///
    /// # Errors
    /// When it has none.
    pub async fn local_ip(&self) -> anyhow::Result<IpAddr> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let remote = found
            .with_context(|| format!("{} has no address", self.host))?
            .next()
            .with_context(|| format!("{} has no address", self.host))?;
        let any: SocketAddr = if remote.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 16], 0).into() };
        let socket = UdpSocket::bind(any).await?;
        // Nothing is sent by that: a route is looked up.
        socket.connect(remote).await?;
        Ok(socket.local_addr()?.ip())
    }
}

fn connector(authorities: Option<&Path>) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(file) = authorities {
        let trouble = || format!("cannot read PEM certificates from {}", file.display());
        for certificate in CertificateDer::pem_file_iter(file).with_context(trouble)? {
            roots.add(certificate.with_context(trouble)?).with_context(trouble)?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_address_and_a_port() {
        for (url, host, port, is_tls) in [
            ("http://127.0.0.1:8480", "127.0.0.1", 8480, false),
            ("https://live.example.org/", "live.example.org", 443, true),
            ("wss://live.example.org:8443", "live.example.org", 8443, true),
            ("http://[::1]:8480", "::1", 8480, false),
            ("http://[::1]", "::1", 80, false),
        ] {
            let address = Address::parse(url, None).unwrap();

            assert_eq!(
                (address.host.as_str(), address.port, address.tls.is_some()),
                (host, port, is_tls),
                "{url}"
            );
        }
        for wrong in
            ["live.example.org", "ftp://x", "http://", "http://x/path", "http://x:http", "http://a@b"]
        {
            assert!(Address::parse(wrong, None).is_err(), "{wrong}");
        }
    }
}
