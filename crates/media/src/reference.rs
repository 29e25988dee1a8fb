//! For the benchmark alone: what sending costs when nothing else is done.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use str0m::crypto::dtls::SrtpProfile;

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
