//! TLS by certificate files.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;
use crate::demux;

/// The first name that the certificate holds for, and no pattern of names.
pub(crate) fn name(files: &Tls) -> Option<String> {
    let certificate = CertificateDer::pem_file_iter(files.cert.as_ref()?).ok()?.next()?.ok()?;
    let certificate = webpki::EndEntityCert::try_from(&certificate).ok()?;
    certificate.valid_dns_names().find(|name| !name.contains('*')).map(String::from)
}

/// What accepts TLS connections; `None` when no certificate is configured.
pub(crate) fn load(files: &Tls) -> anyhow::Result<Option<TlsAcceptor>> {
    let (Some(cert), Some(key)) = (&files.cert, &files.key) else { return Ok(None) };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read a PEM certificate chain from {}", cert.display()))?;
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("cannot read a PEM private key from {}", key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the TLS certificate and key do not fit together")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec(), demux::TURN.to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}
