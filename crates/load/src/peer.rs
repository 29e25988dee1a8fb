//! The load: connections of another WebRTC stack than what is measured sends with (str0m, in full ICE), each on a socket of
//! its own.

use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use parking_lot::Mutex;
use quinn_udp::{RecvMeta, UdpSocketState};
use str0m::bwe::Bitrate;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::Notify;

use crate::delays::Delays;

/// What a viewer's packet holds.
pub const PAYLOAD: usize = 1157;

/// How often one that floods asks for what it has no need of, and how much of what comes it loses on purpose: one packet in so many,
/// for which it then asks again and again.
const FLOOD_INTERVAL: Duration = Duration::from_millis(5);
const FLOOD_LOSES: u64 = 4;

/// How many frames a publisher usually sends.
pub const FRAMES_A_SECOND: usize = 30;

/// What a packet of sound holds.
const SOUND: usize = 60;

/// How a publisher sends.
#[derive(Debug, Clone, Copy)]
pub struct Sending {
    /// How many frames there are a second.
    pub frames_a_second: usize,
    /// How many packets make a frame.
    pub packets_a_frame: usize,
    /// How many are sent at once; 0 sends nothing.
    pub burst: usize,
}

impl Sending {
    /// How many packets there are a second.
    pub fn packets_a_second(self) -> usize {
        self.packets_a_frame * self.frames_a_second
    }
}

/// What a publisher and its viewers have seen together.
pub struct Stats {
    sending: Sending,
    /// Packets that the publisher has sent.
    pub sent: AtomicU64,
    /// Packets of a picture that came to viewers.
    pub received: AtomicU64,
    connected: AtomicUsize,
    changed: Notify,
    samples: Mutex<Samples>,
}

#[derive(Default)]
struct Samples {
    is_on: bool,
    seen: Sampled,
}

/// What was seen of packets.
#[derive(Debug, Clone, Default)]
pub struct Sampled {
    /// How long those took that came.
    pub delays: Delays,
    /// How many did not come.
    pub missing: u64,
}

impl Stats {
    /// Of a publisher that sends like that.
    pub fn new(sending: Sending) -> Self {
        Self {
            sending,
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            connected: AtomicUsize::new(0),
            changed: Notify::new(),
            samples: Mutex::default(),
        }
    }

    /// How many have been connected.
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// Waits until so many have been connected.
    pub async fn wait_connected(&self, count: usize) {
        while self.connected() < count {
            let _ = tokio::time::timeout(Duration::from_millis(20), self.changed.notified()).await;
        }
    }

    /// From now on what comes to sampled viewers is noted, anew.
    pub fn start_sampling(&self) {
        *self.samples.lock() = Samples { is_on: true, ..Samples::default() };
    }

    /// What has been noted.
    pub fn sampled(&self) -> Sampled {
        self.samples.lock().seen.clone()
    }
}

/// This machine's clock, in microseconds since 1970: what a packet and a message say of when they were sent.
pub fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

async fn connection(ip: IpAddr) -> anyhow::Result<(Rtc, UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind((ip, 0)).await?;
    let address = socket.local_addr()?;
    let codecs = Rtc::builder().set_rtp_mode(true).clear_codecs().enable_vp8(true).enable_opus(true, false);
    let mut rtc = codecs.build(Instant::now());
    rtc.add_local_candidate(Candidate::host(address, Protocol::Udp)?);
    Ok((rtc, socket, address))
}

/// A connection whose offer waits for its answer.
pub struct Offered {
    peer: Peer,
    pending: SdpPendingOffer,
    mids: Vec<Mid>,
}

impl Offered {
    /// Of one that publishes a picture from this machine's address `ip`; returns the offer too.
    ///
    /// # Errors
    /// When there is no socket to be had.
    pub async fn publisher(ip: IpAddr, stats: &Arc<Stats>) -> anyhow::Result<(String, Self)> {
        Self::new(ip, Direction::SendOnly, &[MediaKind::Video], Manner::Usual, stats).await
    }

    /// Of one that publishes a picture, and a packet of sound with each burst of it.
    ///
    /// # Errors
    /// As [`Self::publisher`].
    pub async fn speaker(ip: IpAddr, stats: &Arc<Stats>) -> anyhow::Result<(String, Self)> {
        let kinds = [MediaKind::Audio, MediaKind::Video];
        Self::new(ip, Direction::SendOnly, &kinds, Manner::Usual, stats).await
    }

    /// Of one that watches so many with sound and picture.
    ///
    /// # Errors
    /// As [`Self::publisher`].
    pub async fn listener(ip: IpAddr, others: usize, stats: &Arc<Stats>) -> anyhow::Result<(String, Self)> {
        let kinds = [MediaKind::Audio, MediaKind::Video].repeat(others);
        Self::new(ip, Direction::RecvOnly, &kinds, Manner::Usual, stats).await
    }

    /// The names of its m-lines, in their order.
    pub fn mids(&self) -> Vec<String> {
        self.mids.iter().map(Mid::to_string).collect()
    }

    /// Of one that watches a picture.
    ///
    /// # Errors
    /// As [`Self::publisher`].
    pub async fn viewer(ip: IpAddr, is_sampled: bool, stats: &Arc<Stats>) -> anyhow::Result<(String, Self)> {
        let manner = if is_sampled { Manner::Sampled } else { Manner::Usual };
        Self::new(ip, Direction::RecvOnly, &[MediaKind::Video], manner, stats).await
    }

    /// Of one that watches a picture as nobody should: it asks for keyframes and for all and no bits 200 times a second, loses a
    /// part of what it gets, and asks for that again.
    ///
    /// # Errors
    /// As [`Self::publisher`].
    pub async fn flooding(ip: IpAddr, stats: &Arc<Stats>) -> anyhow::Result<(String, Self)> {
        Self::new(ip, Direction::RecvOnly, &[MediaKind::Video], Manner::Flooding, stats).await
    }

    async fn new(
        ip: IpAddr,
        direction: Direction,
        kinds: &[MediaKind],
        manner: Manner,
        stats: &Arc<Stats>,
    ) -> anyhow::Result<(String, Self)> {
        let (mut rtc, socket, address) = connection(ip).await?;
        let mut api = rtc.sdp_api();
        let mids: Vec<Mid> =
            kinds.iter().map(|kind| api.add_media(*kind, direction, None, None, None)).collect();
        let (offer, pending) = api.apply().context("an offer")?;
        let of = |kind| kinds.iter().zip(&mids).find(|(other, _)| **other == kind).map(|(_, mid)| *mid);
        let sends = direction == Direction::SendOnly;
        let publishes = of(MediaKind::Video).filter(|_| sends);
        let speaks = of(MediaKind::Audio).filter(|_| sends);
        let floods = of(MediaKind::Video).filter(|_| manner == Manner::Flooding);
        let is_sampled = manner == Manner::Sampled;
        let stats = stats.clone();
        let peer = Peer { rtc, socket, address, publishes, speaks, floods, is_sampled, arrived_us: 0, stats };
        Ok((offer.to_sdp_string(), Self { peer, pending, mids }))
    }

    /// The connection, as answered.
    ///
    /// # Errors
    /// When the answer does not fit.
    pub fn accept(mut self, answer: &str) -> anyhow::Result<Peer> {
        let answer = SdpAnswer::from_sdp_string(answer)?;
        self.peer.rtc.sdp_api().accept_answer(self.pending, answer)?;
        Ok(self.peer)
    }
}

/// How one watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Usual,
    Sampled,
    Flooding,
}

/// A connection that is agreed on.
pub struct Peer {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
    publishes: Option<Mid>,
    /// The sound that it sends.
    speaks: Option<Mid>,
    /// The picture that it asks too much of.
    floods: Option<Mid>,
    /// What comes to it is looked into.
    is_sampled: bool,
    /// When the latest packet came to its socket, in microseconds since 1970.
    arrived_us: u64,
    stats: Arc<Stats>,
}

impl Peer {
    /// A viewer that answers an offer. Returns its answer too.
    ///
    /// # Errors
    /// When the offer cannot be answered.
    pub async fn answer(
        ip: IpAddr,
        offer: &str,
        is_sampled: bool,
        stats: &Arc<Stats>,
    ) -> anyhow::Result<(String, Self)> {
        let (mut rtc, socket, address) = connection(ip).await?;
        let answer = rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(offer)?)?;
        let stats = stats.clone();
        let (publishes, speaks, floods) = (None, None, None);
        let peer = Self { rtc, socket, address, publishes, speaks, floods, is_sampled, arrived_us: 0, stats };
        Ok((answer.to_sdp_string(), peer))
    }

    /// Sends and takes in until it is aborted.
    pub async fn run(mut self) {
        // To the runtime that this runs on, which need not be the one that made it.
        let Ok(Ok(socket)) = self.socket.into_std().map(UdpSocket::from_std) else { return };
        let Ok(state) = UdpSocketState::new((&socket).into()) else { return };
        self.socket = socket;
        let mut buffer = vec![0; 65_536];
        let mut is_connected = false;
        let sending = self.stats.sending;
        let mut bursts = tokio::time::interval(Duration::from_micros(
            (1_000_000 * sending.burst.max(1) / sending.packets_a_second().max(1)) as u64,
        ));
        let mut floods = tokio::time::interval(FLOOD_INTERVAL);
        let mut sent = Sent::default();
        let mut expected: Option<Expected> = None;
        let mut came = 0_u64;
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
                        came += u64::from(is_rtp);
                        if self.floods.is_some() && is_rtp && came.is_multiple_of(FLOOD_LOSES) {
                            continue;
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
                        self.speak(sent.packets);
                    }
                    if self.rtc.handle_input(Input::Timeout(Instant::now())).is_err() { return }
                }
                _ = floods.tick(), if self.floods.is_some() && is_connected => {
                    self.flood(came);
                    if self.rtc.handle_input(Input::Timeout(Instant::now())).is_err() { return }
                }
            }
        }
    }

    /// Asks for a keyframe, and says that it takes nothing, or everything.
    fn flood(&mut self, came: u64) {
        let mut direct = self.rtc.direct_api();
        let Some(stream) = self.floods.and_then(|mid| direct.stream_rx_by_mid(mid, None)) else { return };
        stream.request_keyframe(KeyframeRequestKind::Pli);
        stream.request_remb(if came.is_multiple_of(2) { Bitrate::gbps(10) } else { Bitrate::bps(0) });
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
    async fn drain(&mut self, is_connected: &mut bool, expected: &mut Option<Expected>) -> Option<Instant> {
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
                    self.sample(&packet.payload, seq, expected);
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
        let sending = self.stats.sending;
        let packets_a_frame = sending.packets_a_frame.max(1);
        for _ in 0..sending.burst {
            let (frame, at) = (sent.packets / packets_a_frame, sent.packets % packets_a_frame);
            let mut payload = vec![0x5a; PAYLOAD];
            // VP8: a first packet starts partition 0 of a keyframe.
            let head = if at == 0 { [0x10, 0] } else { [0, 0x5a] };
            if let Some(start) = payload.get_mut(..10) {
                let (descriptor, time) = start.split_at_mut(2);
                descriptor.copy_from_slice(&head);
                time.copy_from_slice(&now_us().to_be_bytes());
            }
            let time = (frame * 90_000 / sending.frames_a_second.max(1)) as u32;
            sent.packets += 1;
            let seq = sent.packets as u64;
            let packet = RtpWrite::new(payload_type, seq.into(), time, Instant::now(), payload);
            stream.write_rtp(packet.marker(at + 1 == packets_a_frame).nackable(true));
        }
        self.stats.sent.fetch_add(sending.burst as u64, Ordering::Relaxed);
    }

    /// Says something, after so many packets of the picture.
    fn speak(&mut self, packets: usize) {
        let Some(mid) = self.speaks else { return };
        let payload_type = self.rtc.media(mid).and_then(|media| media.remote_pts().first().copied());
        let sending = self.stats.sending;
        let mut direct = self.rtc.direct_api();
        let Some((payload_type, stream)) = payload_type.zip(direct.stream_tx_by_mid(mid, None)) else {
            return;
        };
        let time = (packets * 48_000 / sending.packets_a_second().max(1)) as u32;
        let seq = (packets / sending.burst.max(1)) as u64;
        stream.write_rtp(RtpWrite::new(payload_type, seq.into(), time, Instant::now(), vec![0x5a; SOUND]));
    }

    fn sample(&self, payload: &[u8], seq: u64, expected: &mut Option<Expected>) {
        let Some(time) = payload.get(2..10).and_then(|time| time.try_into().ok()).map(u64::from_be_bytes)
        else {
            return;
        };
        let before = *expected;
        let Expected { first, next } = before.unwrap_or(Expected { first: seq, next: seq });
        *expected = Some(Expected { first, next: next.max(seq + 1) });
        let mut samples = self.stats.samples.lock();
        if samples.is_on {
            samples.seen.delays.record(self.arrived_us.saturating_sub(time));
            let skipped = seq.saturating_sub(next);
            // One that was missed comes after all.
            let late = u64::from((first..next).contains(&seq));
            samples.seen.missing = (samples.seen.missing + skipped).saturating_sub(late);
        }
    }
}

/// Which packets of a stream a viewer has had.
#[derive(Debug, Clone, Copy)]
struct Expected {
    first: u64,
    next: u64,
}

/// How many packets a publisher has sent.
#[derive(Default)]
struct Sent {
    packets: usize,
}
