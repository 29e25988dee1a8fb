//! How the keys that DTLS agrees on come to the viewers' fast path.
//!
//! The WebRTC library keeps them to itself, but lets its DTLS be provided. Ours is the library's own, with an ear: what
//! it hands to the library is also put aside for the thread that is just polling that connection, and taken up right
//! after the poll. So a connection's keys are never in reach of another.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::dtls::{
    DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion, SrtpProfile,
};
use str0m::crypto::{CryptoError, from_feature_flags};

use crate::dtls::Dtls;

/// What a client is, as far as it matters for its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Client {
    /// A browser, or what is built on its WebRTC.
    Browser,
    /// An encoder or a player, whose certificate may be an RSA one.
    Other,
}

thread_local! {
    static HEARD: RefCell<Option<Agreed>> = const { RefCell::new(None) };
    static CERTIFICATE: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// What a handshake agreed on.
pub(crate) struct Agreed {
    pub(crate) material: Vec<u8>,
    pub(crate) profile: SrtpProfile,
    /// Whether we were the client.
    pub(crate) we_are_client: bool,
}

/// What the connection that was polled last on this thread has agreed on, once.
pub(crate) fn take() -> Option<Agreed> {
    HEARD.with_borrow_mut(Option::take)
}

/// The certificate of the connection that was polled last on this thread, once. The library checks those that are announced by
/// SHA-256 or SHA-1 alone, so all are checked here.
pub(crate) fn take_certificate() -> Option<Vec<u8>> {
    CERTIFICATE.with_borrow_mut(Option::take)
}

static INNER: LazyLock<CryptoProvider> = LazyLock::new(from_feature_flags);

/// The library's provider, with our DTLS in it.
pub(crate) fn provider(client: Client) -> Arc<CryptoProvider> {
    static BROWSERS: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        static DTLS: Listening = Listening(Client::Browser);
        Arc::new(CryptoProvider { dtls_provider: &DTLS, ..INNER.clone() })
    });
    static OTHERS: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        static DTLS: Listening = Listening(Client::Other);
        Arc::new(CryptoProvider { dtls_provider: &DTLS, ..INNER.clone() })
    });
    match client {
        Client::Browser => BROWSERS.clone(),
        Client::Other => OTHERS.clone(),
    }
}

/// Whose DTLS it is.
#[derive(Debug)]
struct Listening(Client);

impl DtlsProvider for Listening {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        INNER.dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        Ok(Box::new(Heard(match self.0 {
            Client::Browser => INNER.dtls_provider.new_dtls(cert, now, version, mtu)?,
            Client::Other => Box::new(Dtls::new(cert, now)?),
        })))
    }
}

#[derive(Debug)]
struct Heard(Box<dyn DtlsInstance>);

impl DtlsInstance for Heard {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = self.0.poll_output(buf);
        match &output {
            DtlsOutput::KeyingMaterial(material, profile) => {
                let we_are_client = self.0.is_active();
                let agreed = Agreed { material: material.to_vec(), profile: *profile, we_are_client };
                HEARD.with_borrow_mut(|heard| *heard = Some(agreed));
            }
            DtlsOutput::PeerCert(certificate) => {
                CERTIFICATE.with_borrow_mut(|heard| *heard = Some(certificate.to_vec()));
            }
            _ => {}
        }
        output
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}
