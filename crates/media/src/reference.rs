//! For the benchmark alone: what sending costs when nothing else is done, and what a handshake does.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use str0m::crypto::dtls::{DtlsInstance as _, DtlsOutput, SrtpProfile};

use crate::dtls::Dtls;
use crate::keys::{self, Client};
use crate::outbox::{Outbox, Route};
use crate::socket::Sender;
use crate::srtp::{Keys, Protect};

/// Protects packets and sends them, in the batches of the real thing.
pub struct BareSender {
    socket: UdpSocket,
    sender: Sender,
    protect: Protect,
    out: Outbox,
    index: u64,
}

impl BareSender {
    /// On a socket of its own.
    ///
    /// # Errors
    /// When there is none to be had.
    pub fn open() -> io::Result<Self> {
        let socket = UdpSocket::bind(("127.0.0.1", 0))?;
        let segments = quinn_udp::UdpSocketState::new((&socket).into())?.max_gso_segments() > 1;
        // What browsers and the server agree on.
        let profile = SrtpProfile::AEAD_AES_256_GCM;
        let keys = Keys::split(&vec![7; profile.keying_material_len()], profile, true);
        let protect = keys.and_then(|keys| Protect::new(&keys));
        let protect = protect.ok_or_else(|| io::Error::other("the cipher is not to be had"))?;
        Ok(Self { socket, sender: Sender::new(segments), protect, out: Outbox::default(), index: 0 })
    }

    /// Sends so many packets of that payload to each target, target by target.
    ///
    /// # Errors
    /// The network's.
    pub fn send(&mut self, targets: &[SocketAddr], packets: usize, payload: usize) -> io::Result<()> {
        for target in targets {
            for _ in 0..packets {
                self.index += 1;
                let start = self.out.start();
                self.out.buffer.extend_from_slice(&[0x80; 12]);
                self.out.buffer.resize(start + 12 + payload, 0x5a);
                if self.protect.rtp(&mut self.out.buffer, start, 12, 7, self.index).is_some() {
                    self.out.finish(Route::udp(*target), start);
                }
            }
            if self.out.is_full() {
                self.flush()?;
            }
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut runs = self.out.runs.as_slice();
        while !runs.is_empty() {
            let sent = self.sender.send(&self.socket, &self.out.buffer, runs)?;
            runs = runs.get(sent.max(1)..).unwrap_or_default();
        }
        self.out.clear();
        Ok(())
    }
}

/// What the server's end of a handshake takes by a clock, as with what comes by WHIP and WHEP: its certificate is ready, and
/// the datagrams are handed over. `None` when it comes to nothing.
pub fn handshake(clock: impl Fn() -> Duration) -> Option<Duration> {
    let now = Instant::now();
    let certificate = keys::provider(Client::Other).dtls_provider.generate_certificate()?;
    let mut client = Dtls::new(&certificate, now).ok()?;
    client.set_active(true);
    let mut begun = clock();
    let mut server = Dtls::new(&certificate, now).ok()?;
    server.set_active(false);
    let mut taken = clock() - begun;
    // No handshake has more flights than this (RFC 6347 4.2.4).
    for _ in 0..6 {
        let (datagrams, _) = said(&mut client);
        begun = clock();
        for datagram in datagrams {
            server.handle_packet(&datagram).ok()?;
        }
        let (datagrams, is_server_done) = said(&mut server);
        taken += clock() - begun;
        if is_server_done {
            return Some(taken);
        }
        for datagram in datagrams {
            client.handle_packet(&datagram).ok()?;
        }
    }
    None
}

/// The datagrams of an end, and whether it has its keys.
fn said(end: &mut Dtls) -> (Vec<Vec<u8>>, bool) {
    let (mut datagrams, mut has_keys) = (Vec::new(), false);
    let mut buffer = vec![0; 4096];
    loop {
        match end.poll_output(&mut buffer) {
            DtlsOutput::Packet(datagram) => datagrams.push(datagram.to_vec()),
            DtlsOutput::KeyingMaterial(..) => has_keys = true,
            DtlsOutput::Timeout(_) => return (datagrams, has_keys),
            _ => {}
        }
    }
}
