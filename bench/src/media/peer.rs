//! The load: connections of another WebRTC stack than what is measured sends with (str0m, in full ICE), each on a socket of
//! its own.

use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use quinn_udp::{RecvMeta, UdpSocketState};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::{Mutex, Notify};

use super::{PACKETS_A_FRAME, PACKETS_A_SECOND, PAYLOAD};

/// What all connections have seen together.
#[derive(Default)]
pub(crate) struct Stats {
    /// How many packets the publisher sends at once.
    burst: usize,
    pub(crate) received: AtomicU64,
    connected: AtomicUsize,
    changed: Notify,
    samples: Mutex<Samples>,
}

#[derive(Default)]
struct Samples {
    is_on: bool,
    delays_us: Vec<u32>,
    missing: u64,
}

impl Stats {
    pub(crate) fn sending(burst: usize) -> Self {
        Self { burst, ..Self::default() }
    }

    pub(crate) async fn wait_connected(&self, count: usize) {
        while self.connected.load(Ordering::Relaxed) < count {
            let _ = tokio::time::timeout(Duration::from_millis(20), self.changed.notified()).await;
        }
    }

    pub(crate) fn start_sampling(&self) {
        if let Ok(mut samples) = self.samples.try_lock() {
            *samples = Samples { is_on: true, ..Samples::default() };
        }
    }

    /// The share of packets that did not come, and the p99 of the delay of those that did, in ms.
    pub(crate) fn sampled(&self) -> (f64, f64) {
        let Ok(mut samples) = self.samples.try_lock() else { return (1.0, f64::MAX) };
        samples.delays_us.sort_unstable();
        let count = samples.delays_us.len();
        let p99 = samples.delays_us.get(count * 99 / 100).copied().unwrap_or(u32::MAX);
        (samples.missing as f64 / (count as f64 + samples.missing as f64).max(1.0), f64::from(p99) / 1000.0)
    }
}

fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

async fn connection(ip: &str) -> anyhow::Result<(Rtc, UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind((ip, 0)).await?;
    let address = socket.local_addr()?;
    let mut rtc = Rtc::builder().set_rtp_mode(true).clear_codecs().enable_vp8(true).build(Instant::now());
    rtc.add_local_candidate(Candidate::host(address, Protocol::Udp)?);
    Ok((rtc, socket, address))
}

/// A connection whose offer waits for its answer.
pub(crate) struct Offered {
    peer: Peer,
    pending: SdpPendingOffer,
}

impl Offered {
    pub(crate) async fn publisher(ip: &str, stats: &Arc<Stats>) -> anyhow::Result<(String, Self)> {
        Self::new(ip, Direction::SendOnly, false, stats).await
    }

    pub(crate) async fn viewer(
        ip: &str,
        is_sampled: bool,
        stats: &Arc<Stats>,
    ) -> anyhow::Result<(String, Self)> {
        Self::new(ip, Direction::RecvOnly, is_sampled, stats).await
    }

    async fn new(
        ip: &str,
        direction: Direction,
        is_sampled: bool,
        stats: &Arc<Stats>,
    ) -> anyhow::Result<(String, Self)> {
        let (mut rtc, socket, address) = connection(ip).await?;
        let mut api = rtc.sdp_api();
        let mid = api.add_media(MediaKind::Video, direction, None, None, None);
        let (offer, pending) = api.apply().context("an offer")?;
        let publishes = (direction == Direction::SendOnly).then_some(mid);
        let peer = Peer { rtc, socket, address, publishes, is_sampled, arrived_us: 0, stats: stats.clone() };
        Ok((offer.to_sdp_string(), Self { peer, pending }))
    }

    pub(crate) fn accept(mut self, answer: &str) -> anyhow::Result<Peer> {
        let answer = SdpAnswer::from_sdp_string(answer)?;
        self.peer.rtc.sdp_api().accept_answer(self.pending, answer)?;
        Ok(self.peer)
    }
}

/// A connection that is agreed on.
pub(crate) struct Peer {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
    publishes: Option<Mid>,
    /// What comes to it is looked into.
    is_sampled: bool,
    /// When the latest packet came to its socket, in microseconds since 1970.
    arrived_us: u64,
    stats: Arc<Stats>,
}

impl Peer {
    /// A viewer that answers an offer. Returns its answer too.
    pub(crate) async fn answer(
        ip: &str,
        offer: &str,
        is_sampled: bool,
        stats: &Arc<Stats>,
    ) -> anyhow::Result<(String, Self)> {
        let (mut rtc, socket, address) = connection(ip).await?;
        let answer = rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(offer)?)?;
        let peer =
            Self { rtc, socket, address, publishes: None, is_sampled, arrived_us: 0, stats: stats.clone() };
        Ok((answer.to_sdp_string(), peer))
    }

    /// Sends and takes in until it is aborted.
    pub(crate) async fn run(mut self) {
        // To the runtime that this runs on, which need not be the one that made it.
        let Ok(Ok(socket)) = self.socket.into_std().map(UdpSocket::from_std) else { return };
        let Ok(state) = UdpSocketState::new((&socket).into()) else { return };
        self.socket = socket;
        let mut buffer = vec![0; 65_536];
        let mut is_connected = false;
        let mut bursts = tokio::time::interval(Duration::from_micros(
            (1_000_000 * self.stats.burst.max(1) / PACKETS_A_SECOND) as u64,
        ));
        let mut sent = Sent::default();
        let mut expected: Option<u64> = None;
        loop {
            let Some(due) = self.drain(&mut is_connected, &mut expected).await else { return };
            tokio::select! {
                ready = self.socket.readable() => {
                    if ready.is_err() { return }
                    let Some(meta) = self.receive(&state, &mut buffer) else { continue };
                    for bytes in buffer.get(..meta.len).unwrap_or_default().chunks(meta.stride.max(1)) {
                        let source = meta.addr;
                        let is_media = bytes.first().is_some_and(|first| (128..192).contains(first));
                        let is_rtp = is_media && !bytes.get(1).is_some_and(|kind| (192..224).contains(kind));
                        if self.publishes.is_none() && is_rtp && bytes.len() > 1000 {
                            self.stats.received.fetch_add(1, Ordering::Relaxed);
                        }
                        let Ok(contents) = bytes.try_into() else { continue };
                        let receive = Receive { proto: Protocol::Udp, source, destination: self.address, contents };
                        if self.rtc.handle_input(Input::Receive(Instant::now(), receive)).is_err() { return }
                        if self.drain(&mut is_connected, &mut expected).await.is_none() { return }
                    }
                }
                () = tokio::time::sleep_until(due.into()) => {
                    if self.rtc.handle_input(Input::Timeout(Instant::now())).is_err() { return }
                }
                _ = bursts.tick(), if self.publishes.is_some() && is_connected => {
                    if let Some(mid) = self.publishes {
                        self.send_burst(mid, &mut sent);
                    }
                    if self.rtc.handle_input(Input::Timeout(Instant::now())).is_err() { return }
                }
            }
        }
    }

    /// What has come, and when: by the kernel's clock, so that the load's own haste or leisure is not measured.
    fn receive(&mut self, state: &UdpSocketState, buffer: &mut [u8]) -> Option<RecvMeta> {
        let mut metas = [RecvMeta::default()];
        let mut slices = [IoSliceMut::new(buffer)];
        let socket = &self.socket;
        let received =
            socket.try_io(Interest::READABLE, || state.recv(socket.into(), &mut slices, &mut metas));
        let [meta] = metas;
        received.is_ok_and(|count| count == 1).then_some(())?;
        self.arrived_us = meta.timestamp.map_or_else(now_us, |since| since.as_micros() as u64);
        Some(meta)
    }

    /// Takes what the library has; returns when it wants to be called again, `None` when it is over.
    async fn drain(&mut self, is_connected: &mut bool, expected: &mut Option<u64>) -> Option<Instant> {
        loop {
            match self.rtc.poll_output().ok()? {
                Output::Timeout(due) => return Some(due),
                Output::Transmit(transmit) => {
                    let _ = self.socket.try_send_to(&transmit.contents, transmit.destination);
                }
                Output::Event(Event::Connected) => {
                    *is_connected = true;
                    self.stats.connected.fetch_add(1, Ordering::Relaxed);
                    self.stats.changed.notify_one();
                }
                Output::Event(Event::RtpPacket(packet)) if self.is_sampled => {
                    let seq = *packet.seq_no;
                    self.sample(&packet.payload, seq, expected).await;
                }
                Output::Event(_) => {}
            }
        }
    }

    /// Packets that each hold the time at which they were sent; every frame is one to begin with.
    fn send_burst(&mut self, mid: Mid, sent: &mut Sent) {
        let Some(payload_type) = self.rtc.media(mid).and_then(|media| media.remote_pts().first().copied())
        else {
            return;
        };
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_tx_by_mid(mid, None) else { return };
        for _ in 0..self.stats.burst {
            let (frame, at) = (sent.packets / PACKETS_A_FRAME, sent.packets % PACKETS_A_FRAME);
            let mut payload = vec![0x5a; PAYLOAD];
            // VP8: a first packet starts partition 0 of a keyframe.
            let head = if at == 0 { [0x10, 0] } else { [0, 0x5a] };
            if let Some(start) = payload.get_mut(..10) {
                let (descriptor, time) = start.split_at_mut(2);
                descriptor.copy_from_slice(&head);
                time.copy_from_slice(&now_us().to_be_bytes());
            }
            let time = (frame * PACKETS_A_FRAME * 90_000 / PACKETS_A_SECOND) as u32;
            sent.packets += 1;
            let seq = sent.packets as u64;
            let packet = RtpWrite::new(payload_type, seq.into(), time, Instant::now(), payload);
            stream.write_rtp(packet.marker(at + 1 == PACKETS_A_FRAME).nackable(true));
        }
    }

    async fn sample(&self, payload: &[u8], seq: u64, expected: &mut Option<u64>) {
        let Some(time) = payload.get(2..10).and_then(|time| time.try_into().ok()).map(u64::from_be_bytes)
        else {
            return;
        };
        let mut samples = self.stats.samples.lock().await;
        if samples.is_on {
            samples.delays_us.push(self.arrived_us.saturating_sub(time) as u32);
            if let Some(expected) = *expected {
                samples.missing += seq.saturating_sub(expected);
            }
        }
        *expected = Some(expected.map_or(seq + 1, |expected| expected.max(seq + 1)));
    }
}

/// How many packets a publisher has sent.
#[derive(Default)]
struct Sent {
    packets: usize,
}

/// Counts what comes in, as a viewer that is not sampled does.
pub(crate) async fn count(socket: UdpSocket, stats: Arc<Stats>) {
    let mut buffer = vec![0; 2000];
    while socket.readable().await.is_ok() {
        while socket.try_recv_from(&mut buffer).is_ok() {
            stats.received.fetch_add(1, Ordering::Relaxed);
        }
    }
}
