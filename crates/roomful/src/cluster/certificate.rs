//! Who may talk over the mesh: whoever has the cluster's secret, or the one that is to take its place. Of that and the cluster's id every node makes the same authority;
//! each makes a key at every start, and has the authority say which node and which run of it the key is of. Both sides of a
//! connection check the other's: by the authority and by name, never by dates, since clocks may be wrong.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ED25519};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, TrustAnchor, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
};
use sha2::Sha256;

use super::settings::Secrets;

/// What is spoken.
const PROTOCOL: &[u8] = b"roomful/1";

/// What an Ed25519 key is in PKCS #8 (RFC 8410 7), before its 32 bytes.
const ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Some moment at which every certificate holds.
const ANY_TIME: Duration = Duration::from_secs(1_700_000_000);

/// 32 bytes that come of the secret and of what they are for (RFC 5869).
pub(super) fn derive(secret: &[u8], purpose: &str) -> [u8; 32] {
    let step = |key: &[u8], text: &[&[u8]]| -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
        text.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    };
    let key = step(&[0; 32], &[secret]);
    step(&key, &[purpose.as_bytes(), &[1]])
}

/// How a run of a node is called.
pub(super) fn name(generation: i64, node: &str) -> String {
    format!("{generation}.{node}.roomful.internal")
}

/// What a node needs for both sides of a connection.
pub(super) struct Papers {
    pub(super) server: ServerConfig,
    pub(super) client: ClientConfig,
}

impl Papers {
    pub(super) fn make(secrets: &Secrets, cluster: &str, name: &str) -> anyhow::Result<Self> {
        let params = authority_params(cluster);
        let roots = secrets
            .all()
            .map(|secret| Ok(params.self_signed(&authority_key(secret, cluster)?)?))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let issuer = Issuer::new(params, authority_key(&secrets.own, cluster)?);
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let certificate = CertificateParams::new([name.to_owned()])?.signed_by(&key, &issuer)?;
        let chain = vec![certificate.der().clone()];
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let check = Arc::new(Check::new(&roots, &provider)?);
        let secret_key = || PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(check.clone())
            .with_single_cert(chain.clone(), secret_key())?;
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        // What was begun with one run is not gone on with by another.
        server.send_tls13_tickets = 0;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(check)
            .with_client_auth_cert(chain, secret_key())?;
        client.alpn_protocols = vec![PROTOCOL.to_vec()];
        client.resumption = rustls::client::Resumption::disabled();
        Ok(Self { server, client })
    }
}

fn authority_key(secret: &[u8], cluster: &str) -> anyhow::Result<KeyPair> {
    let seed = derive(secret, &format!("roomful mesh CA v1 {cluster}"));
    let key = [ED25519.as_slice(), &seed].concat();
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(key), &PKCS_ED25519)
        .context("the mesh's authority cannot be made")
}

fn authority_params(cluster: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.distinguished_name.push(DnType::CommonName, format!("roomful mesh {cluster}"));
    params
}

/// Checks the other side.
#[derive(Debug)]
struct Check {
    /// An authority for each secret.
    roots: Vec<TrustAnchor<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
    /// What a server names to its clients: nothing.
    hints: Vec<DistinguishedName>,
}

impl Check {
    fn new(roots: &[Certificate], provider: &CryptoProvider) -> anyhow::Result<Self> {
        let anchor = |root: &Certificate| {
            let anchor = webpki::anchor_from_trusted_cert(root.der());
            Ok(anchor.context("the mesh's authority cannot be read")?.to_owned())
        };
        let roots = roots.iter().map(anchor).collect::<anyhow::Result<_>>()?;
        let algorithms = provider.signature_verification_algorithms;
        Ok(Self { roots, algorithms, hints: Vec::new() })
    }

    /// By the authority alone.
    fn check(&self, certificate: &CertificateDer<'_>, usage: webpki::KeyUsage) -> Result<(), rustls::Error> {
        let refused = |error| match error {
            webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
                rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)
            }
            _ => rustls::Error::InvalidCertificate(CertificateError::BadEncoding),
        };
        let certificate = webpki::EndEntityCert::try_from(certificate).map_err(refused)?;
        let time = UnixTime::since_unix_epoch(ANY_TIME);
        certificate
            .verify_for_usage(self.algorithms.all, &self.roots, &[], time, usage, None, None)
            .map(drop)
            .map_err(refused)
    }
}

impl ServerCertVerifier for Check {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(certificate, webpki::KeyUsage::server_auth())?;
        let refused = |_| rustls::Error::InvalidCertificate(CertificateError::NotValidForName);
        webpki::EndEntityCert::try_from(certificate)
            .and_then(|certificate| certificate.verify_is_valid_for_subject_name(name))
            .map_err(refused)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Check {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(certificate, webpki::KeyUsage::client_auth())?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
