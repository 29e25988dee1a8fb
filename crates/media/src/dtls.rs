//! DTLS for what is no browser: encoders and players that come by WHIP and WHEP, some of which have RSA certificates
//! (GStreamer's webrtcbin makes no others). The WebRTC library's own DTLS takes ECDSA alone, and which of them a client
//! has shows too late in a handshake to change over. So here is another implementation behind the same interface.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use parking_lot::Mutex;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, HandshakeConfig};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::crypto_provider::{RTCCryptoProvider, SignatureScheme, default_provider};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;
use str0m::config::DtlsCert;
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{
    DtlsImplError, DtlsInstance, DtlsOutput, KeyingMaterial, ProtocolVersion, SrtpProfile,
};

/// Where the other side is, for an endpoint that could have several: the real address is ICE's business.
const REMOTE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// When there is nothing to wait for.
const IDLE: Duration = Duration::from_secs(3600);

/// How long the other side may take before a flight is sent again: at first, and at most (RFC 6347 4.2.4.1).
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// RFC 5764 4.2.
const SRTP_LABEL: &str = "EXTRACTOR-dtls_srtp";

/// In the order they are wanted in.
const PROFILES: [(SrtpProtectionProfile, SrtpProfile); 3] = [
    (SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm, SrtpProfile::AEAD_AES_128_GCM),
    (SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm, SrtpProfile::AEAD_AES_256_GCM),
    (SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80, SrtpProfile::AES128_CM_SHA1_80),
];

/// What the library above takes, one at a time.
enum Pending {
    Packet(BytesMut),
    PeerCert(Vec<u8>),
    Connected,
    Keys(Vec<u8>, SrtpProfile),
    Data(BytesMut),
    CloseNotify,
}

/// One connection's DTLS.
pub(crate) struct Dtls {
    /// Never locked: it is what makes it shareable between threads, as the library above wants it to be.
    endpoint: Mutex<Endpoint>,
    certificate: Certificate,
    crypto: Arc<dyn RTCCryptoProvider>,
    is_active: bool,
    is_connected: bool,
    is_over: bool,
    now: Instant,
    pending: VecDeque<Pending>,
    /// What was sent last, until it is answered. The endpoint has a timer too, but gives it up for the first record that
    /// comes, be it half of an answer or a repetition.
    flight: Vec<BytesMut>,
    resend_at: Instant,
    pause: Duration,
}

impl std::fmt::Debug for Dtls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dtls").field("is_active", &self.is_active).finish_non_exhaustive()
    }
}

fn other(error: impl std::fmt::Display) -> CryptoError {
    CryptoError::Other(error.to_string())
}

impl Dtls {
    pub(crate) fn new(certificate: &DtlsCert, now: Instant) -> Result<Self, CryptoError> {
        let crypto = default_provider().map_err(other)?;
        let scheme = SignatureScheme::EcdsaP256Sha256;
        let key = crypto.crypto().import_signing_key(scheme, &certificate.private_key).map_err(other)?;
        let certificate = Certificate::from_signing_key(vec![certificate.certificate.clone().into()], key);
        let mut dtls = Self {
            endpoint: Mutex::new(Endpoint::new(REMOTE, TransportProtocol::UDP, None)),
            certificate,
            crypto,
            is_active: false,
            is_connected: false,
            is_over: false,
            now,
            pending: VecDeque::new(),
            flight: Vec::new(),
            resend_at: now,
            pause: FIRST_PAUSE,
        };
        let config = dtls.config(false)?;
        dtls.endpoint.get_mut().set_server_config(Some(config));
        Ok(dtls)
    }

    /// Any certificate will do here: whether it is the one that the offer announced is seen to where `PeerCert` goes.
    fn config(&self, is_client: bool) -> Result<Arc<HandshakeConfig>, CryptoError> {
        let config = ConfigBuilder::default()
            .with_crypto_provider(self.crypto.clone())
            .with_certificates(vec![self.certificate.clone()])
            .with_srtp_protection_profiles(PROFILES.map(|(profile, _)| profile).to_vec())
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            .with_insecure_skip_verify(true)
            .build(is_client, Some(REMOTE));
        Ok(Arc::new(config.map_err(other)?))
    }

    /// Takes over what the endpoint has to say.
    fn drain(&mut self, events: Vec<EndpointEvent>) -> Result<(), DtlsImplError> {
        for event in events {
            match event {
                EndpointEvent::HandshakeComplete => self.complete()?,
                EndpointEvent::ApplicationData(data) => self.pending.push_back(Pending::Data(data)),
                EndpointEvent::PeerClosed => {
                    self.is_over = true;
                    self.pending.push_back(Pending::CloseNotify);
                }
                _ => {}
            }
        }
        let mut flight = Vec::new();
        while let Some(datagram) = self.endpoint.get_mut().poll_transmit() {
            flight.push(datagram.message);
        }
        self.pending.extend(flight.iter().cloned().map(Pending::Packet));
        if self.is_connected {
            self.flight.clear();
        } else if !flight.is_empty() {
            self.flight = flight;
            self.pause = FIRST_PAUSE;
            self.resend_at = self.now + self.pause;
        }
        Ok(())
    }

    fn complete(&mut self) -> Result<(), DtlsImplError> {
        let state = self.endpoint.get_mut().get_connection_state(REMOTE);
        let agreed = state.and_then(|state| {
            let selected = state.srtp_protection_profile();
            let (_, profile) = PROFILES.into_iter().find(|(known, _)| *known == selected)?;
            let certificate = state.peer_certificates.first()?.clone();
            let length = profile.keying_material_len();
            let keys = state.export_keying_material(SRTP_LABEL, &[], length).ok()?;
            Some((certificate, keys.into_bytes(), profile))
        });
        // Without a certificate or keys there is no telling who it is, and nothing to protect media with.
        let (certificate, keys, profile) = agreed.ok_or_else(|| self.fail("the handshake left no keys"))?;
        self.is_connected = true;
        self.pending.push_back(Pending::PeerCert(certificate));
        self.pending.push_back(Pending::Connected);
        self.pending.push_back(Pending::Keys(keys, profile));
        Ok(())
    }

    /// When the last flight is to be sent again.
    fn due(&self) -> Option<Instant> {
        (!self.is_over && !self.flight.is_empty()).then_some(self.resend_at)
    }

    fn fail(&mut self, error: impl std::fmt::Display) -> DtlsImplError {
        tracing::debug!(%error, "DTLS failed");
        self.is_over = true;
        DtlsImplError::ConnectionClosed
    }
}

impl DtlsInstance for Dtls {
    fn set_active(&mut self, active: bool) {
        self.is_active = active;
        if !active {
            return;
        }
        let begun = self.config(true).and_then(|config| {
            self.endpoint.get_mut().connect(self.now, REMOTE, config, None).map_err(other)
        });
        if let Err(error) = begun {
            self.fail(error);
        }
        // Nothing but datagrams comes of a beginning.
        let _ = self.drain(Vec::new());
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        if self.is_over {
            return Ok(());
        }
        match self.endpoint.get_mut().read(self.now, REMOTE, None, BytesMut::from(packet)) {
            Ok(events) => self.drain(events),
            // What does not open is dropped (RFC 6347 4.1.2.7).
            Err(error) if self.is_connected => {
                tracing::debug!(%error, "a DTLS record was dropped");
                self.drain(Vec::new())
            }
            Err(error) => {
                self.drain(Vec::new())?;
                Err(self.fail(error))
            }
        }
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let bytes: &[u8] = match self.pending.front() {
            None => {
                return DtlsOutput::Timeout(self.due().unwrap_or(self.now + IDLE));
            }
            Some(Pending::Packet(bytes) | Pending::Data(bytes)) => bytes,
            Some(Pending::PeerCert(bytes)) => bytes,
            Some(_) => &[],
        };
        let needed = bytes.len();
        let Some(copy) = buf.get_mut(..needed) else { return DtlsOutput::BufferTooSmall { needed } };
        copy.copy_from_slice(bytes);
        match self.pending.pop_front() {
            Some(Pending::Packet(_)) => DtlsOutput::Packet(copy),
            Some(Pending::Data(_)) => DtlsOutput::ApplicationData(copy),
            Some(Pending::PeerCert(_)) => DtlsOutput::PeerCert(copy),
            Some(Pending::Keys(keys, profile)) => {
                DtlsOutput::KeyingMaterial(KeyingMaterial::new(&keys), profile)
            }
            Some(Pending::CloseNotify) => DtlsOutput::CloseNotify,
            Some(Pending::Connected) | None => DtlsOutput::Connected,
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.now = now;
        if self.due().is_none_or(|due| due > now) {
            return Ok(());
        }
        if self.pause > LONGEST_PAUSE {
            return Err(self.fail("nobody answered"));
        }
        self.pending.extend(self.flight.iter().cloned().map(Pending::Packet));
        self.pause *= 2;
        self.resend_at = now + self.pause;
        Ok(())
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        if self.is_over {
            return Err(DtlsImplError::ConnectionClosed);
        }
        if !self.is_connected {
            return Ok(0);
        }
        match self.endpoint.get_mut().write(self.now, REMOTE, data) {
            Ok(()) => self.drain(Vec::new()).map(|()| data.len()),
            Err(error) => Err(self.fail(error)),
        }
    }

    fn is_active(&self) -> bool {
        self.is_active
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.is_connected.then_some(ProtocolVersion::DTLS1_2)
    }

    fn is_closing(&self) -> bool {
        self.is_over
    }

    fn is_closed(&self) -> bool {
        self.is_over && self.pending.is_empty()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        if !self.is_over {
            self.endpoint.get_mut().stop(self.now, REMOTE);
            self.is_over = true;
        }
        self.drain(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;
    use crate::keys::Client;

    struct Heard {
        certificate: Vec<u8>,
        keys: Option<(Vec<u8>, SrtpProfile)>,
        data: Vec<u8>,
        closed: bool,
    }

    /// Takes what an end says: its datagrams, and what it tells the library above.
    fn said(end: &mut Dtls, heard: &mut Heard) -> Vec<Vec<u8>> {
        let mut buffer = vec![0; 4096];
        let mut datagrams = Vec::new();
        loop {
            match end.poll_output(&mut buffer) {
                DtlsOutput::Packet(datagram) => datagrams.push(datagram.to_vec()),
                DtlsOutput::PeerCert(certificate) => heard.certificate = certificate.to_vec(),
                DtlsOutput::KeyingMaterial(keys, profile) => heard.keys = Some((keys.to_vec(), profile)),
                DtlsOutput::ApplicationData(data) => heard.data = data.to_vec(),
                DtlsOutput::CloseNotify => heard.closed = true,
                DtlsOutput::Timeout(_) => return datagrams,
                _ => {}
            }
        }
    }

    #[test]
    fn both_ends_agree_on_keys_also_when_datagrams_are_lost() {
        for lost in [usize::MAX, 0, 1, 2, 3, 4, 5] {
            let now = Instant::now();
            let certificate = keys::provider(Client::Browser).dtls_provider.generate_certificate().unwrap();
            let mut ends = [Dtls::new(&certificate, now).unwrap(), Dtls::new(&certificate, now).unwrap()];
            let mut heard = [(); 2].map(|()| Heard {
                certificate: Vec::new(),
                keys: None,
                data: Vec::new(),
                closed: false,
            });
            ends[0].set_active(true);
            ends[1].set_active(false);
            let mut sent = 0;
            let mut exchange = |ends: &mut [Dtls; 2], heard: &mut [Heard; 2], from: u64| {
                for turn in from..from + 8 {
                    for end in 0..2 {
                        ends[end].handle_timeout(now + Duration::from_millis(600 * turn)).unwrap();
                        for datagram in said(&mut ends[end], &mut heard[end]) {
                            if sent != lost {
                                ends[1 - end].handle_packet(&datagram).unwrap();
                            }
                            sent += 1;
                        }
                    }
                }
            };

            exchange(&mut ends, &mut heard, 0);
            assert_eq!(ends[0].send_application_data(b"hello").unwrap(), 5, "lost: {lost}");
            exchange(&mut ends, &mut heard, 8);
            ends[1].handle_packet(b"\x17\xfe\xfdgarbage").unwrap();
            ends[0].close().unwrap();
            exchange(&mut ends, &mut heard, 16);

            let [client, server] = heard;
            assert_eq!(client.certificate, certificate.certificate);
            assert_eq!(server.certificate, certificate.certificate);
            let (keys, profile) = server.keys.unwrap();
            assert_eq!((keys.len(), profile), (56, SrtpProfile::AEAD_AES_128_GCM));
            assert_eq!(client.keys.unwrap(), (keys, profile));
            assert!(server.data == b"hello" && server.closed && ends[1].is_closed());
        }
    }
}
