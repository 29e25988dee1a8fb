//! TLS by certificate files.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;
use crate::demux;

/// The first name that the certificate holds for, and no pattern of names.
pub(crate) fn name(files: &Tls) -> Option<String> {
    names(files).into_iter().find(|name| !name.contains('*'))
}

/// All names that the certificate holds for.
pub(crate) fn names(files: &Tls) -> Vec<String> {
    let read = |certificate: CertificateDer<'_>| {
        let certificate = webpki::EndEntityCert::try_from(&certificate).ok()?;
        Some(certificate.valid_dns_names().map(String::from).collect())
    };
    certificate(files).and_then(read).unwrap_or_default()
}

fn certificate(files: &Tls) -> Option<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(files.cert.as_ref()?).ok()?.next()?.ok()
}

/// From when until when the certificate holds, since 1970.
pub(crate) fn dates(files: &Tls) -> Option<(Duration, Duration)> {
    let certificate = certificate(files)?;
    let certificate = webpki::EndEntityCert::try_from(&certificate).ok()?;
    // The parser has them, and tells them to whom they are a trouble: at the beginning of all time, and at its end.
    let trouble_at = |time: Duration| {
        let (usage, time) = (webpki::KeyUsage::server_auth(), UnixTime::since_unix_epoch(time));
        certificate.verify_for_usage(&[], &[], &[], time, usage, None, None).err()
    };
    let from = match trouble_at(Duration::ZERO)? {
        webpki::Error::CertNotValidYet { not_before, .. } => not_before.as_secs(),
        _ => 0,
    };
    match trouble_at(Duration::from_secs(u64::from(u32::MAX) * 60))? {
        webpki::Error::CertExpired { not_after, .. } => {
            Some((Duration::from_secs(from), Duration::from_secs(not_after.as_secs())))
        }
        _ => None,
    }
}

/// What accepts TLS connections; `None` when no certificate is configured.
pub(crate) fn load(files: &Tls) -> anyhow::Result<Option<TlsAcceptor>> {
    let (Some(cert), Some(key)) = (&files.cert, &files.key) else { return Ok(None) };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read a PEM certificate chain from {}", cert.display()))?;
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("cannot read a PEM private key from {}", key.display()))?;
    let mut config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .context("the TLS certificate and key do not fit together")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec(), demux::TURN.to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}
