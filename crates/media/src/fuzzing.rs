//! What takes bytes from strangers, one function each, for the fuzz targets of `crates/media/fuzz` and the test that runs
//! their corpora. None of them may panic, whatever the bytes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::dependency;
use crate::dtls::Dtls;
use crate::keys::{self, Client};
use crate::outbox::Route;
use crate::payload;
use crate::rtcp::{self, Report};
use crate::sdp;
use crate::shard::Shard;
use crate::shared::Shared;
use crate::source::PeerId;
use crate::srtp::{Keys, Open};
use crate::stun;
use crate::turn;
use str0m::crypto::dtls::{DtlsInstance as _, DtlsOutput, SrtpProfile};
use str0m::format::Codec;

/// A fuzz target: its name, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("stun", stun),
    ("turn", turn),
    ("rtcp", rtcp),
    ("payload", payload),
    ("srtcp", srtcp),
    ("offer", offer),
    ("datagrams", datagrams),
    ("dtls", dtls),
];

/// STUN, as far as it is read to find a connection.
pub fn stun(bytes: &[u8]) {
    let _ = (stun::username(bytes), stun::nominates(bytes), stun::is_success(bytes));
}

/// The relay's messages, of strangers and of members.
pub fn turn(bytes: &[u8]) {
    turn::survive(bytes);
}

/// Reports of viewers, in clear.
pub fn rtcp(bytes: &[u8]) {
    rtcp::read(bytes, |report| match report {
        Report::Missing { pairs, .. } => rtcp::for_missing(pairs, |_| {}),
        Report::Arrivals(arrivals) => arrivals.for_each(|_, _| {}),
        _ => {}
    });
}

/// Payloads of publishers.
pub fn payload(bytes: &[u8]) {
    for codec in [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::H265, Codec::Av1, Codec::Opus] {
        let _ = payload::read(codec, bytes);
        let _ = payload::size(codec, bytes);
    }
    let _ = payload::red_primary(bytes);
    let _ = payload::vp9_sizes(bytes);
    if let Some(structure) = dependency::read(bytes, None).and_then(|first| first.structure) {
        let _ = dependency::read(bytes, Some(&structure));
    }
}

/// Reports as they come, protected.
pub fn srtcp(bytes: &[u8]) {
    for profile in SrtpProfile::ALL {
        let material = vec![7; profile.keying_material_len()];
        if let Some(mut open) = Keys::split(&material, *profile, true).and_then(|keys| Open::new(&keys)) {
            let _ = open.rtcp(bytes);
        }
    }
}

/// Offers of publishers and viewers, to the very answer.
pub fn offer(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = sdp::offered_lines(text);
    if let Some(mut shard) = shard() {
        let _ = shard.watch(PeerId(1), text, &[], None, Instant::now());
        let (room, user) = (crate::RoomKey(1), "ann".into());
        let _ = shard.publish(PeerId(2), room, &user, text, &[], crate::Rights::ALL, Instant::now());
    }
}

/// Datagrams of somebody who has a connection agreed on, each after a byte with its length in words of 8; a `@` at the
/// beginning of one stands for the connection's ICE name in a binding request.
pub fn datagrams(bytes: &[u8]) {
    let Some(mut shard) = shard() else { return };
    let now = Instant::now();
    let Ok(answer) = shard.watch(PeerId(1), OFFER, &[], None, now) else { return };
    let ufrag = answer.sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap_or_default();
    let route = Route::udp(([127, 0, 0, 1], 4000));
    let mut rest = bytes;
    let mut at = now;
    while let Some((length, tail)) = rest.split_first() {
        let (datagram, tail) = tail.split_at(tail.len().min(8 * usize::from(*length)));
        rest = tail;
        at += Duration::from_millis(20);
        match datagram.strip_prefix(b"@") {
            None => drop(shard.handle_datagram(route, datagram, at)),
            Some(more) => drop(shard.handle_datagram(route, &knock(ufrag, more), at)),
        }
        shard.flush(at, &mut |out| out.clear());
        shard.handle_timeout(at, &mut |out| out.clear());
        shard.out.clear();
    }
}

/// A handshake of two of ours, on a bad line: for each datagram the bytes say what becomes of it. 0 lets it through, 1 loses
/// it, 2 doubles it, 3 cuts it and 4 sends what follows instead; any other flips a bit.
pub fn dtls(bytes: &[u8]) {
    let now = Instant::now();
    let Some(certificate) = keys::provider(Client::Other).dtls_provider.generate_certificate() else {
        return;
    };
    let (Ok(mut client), Ok(mut server)) = (Dtls::new(&certificate, now), Dtls::new(&certificate, now))
    else {
        return;
    };
    client.set_active(true);
    server.set_active(false);
    let mut line = bytes.iter().copied();
    let mut buffer = vec![0; 4096];
    for turn in 0..24 {
        let at = now + Duration::from_millis(700 * turn);
        for from_client in [true, false] {
            let (from, to) =
                if from_client { (&mut client, &mut server) } else { (&mut server, &mut client) };
            let _ = from.handle_timeout(at);
            for mut datagram in said(from, &mut buffer) {
                match line.next().unwrap_or(0) {
                    0 => {}
                    1 => continue,
                    2 => drop(to.handle_packet(&datagram)),
                    3 => datagram.truncate(usize::from(line.next().unwrap_or(0))),
                    4 => {
                        let length = usize::from(line.next().unwrap_or(0));
                        datagram = line.by_ref().take(length).collect();
                    }
                    bit => {
                        let place = usize::from(line.next().unwrap_or(0)) << 3 | usize::from(bit & 7);
                        let length = datagram.len().max(1);
                        if let Some(byte) = datagram.get_mut(place % length) {
                            *byte ^= bit;
                        }
                    }
                }
                let _ = to.handle_packet(&datagram);
            }
        }
    }
    let _ = (client.send_application_data(b"hello"), client.close(), server.close());
}

/// The datagrams that an end has to send.
fn said(end: &mut Dtls, buffer: &mut [u8]) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    loop {
        match end.poll_output(buffer) {
            DtlsOutput::Packet(datagram) => datagrams.push(datagram.to_vec()),
            DtlsOutput::Timeout(_) | DtlsOutput::BufferTooSmall { .. } => return datagrams,
            _ => {}
        }
    }
}

/// A binding request under a name, with more attributes behind it.
fn knock(ufrag: &str, more: &[u8]) -> Vec<u8> {
    let name = format!("{ufrag}:abcd");
    let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    message.extend([7; 12]);
    message.extend([0, 6, 0, name.len() as u8]);
    message.extend(name.as_bytes());
    message.resize(message.len().next_multiple_of(4), 0);
    message.extend(more);
    let length = (message.len() - 20) as u16;
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    message
}

fn shard() -> Option<Shard> {
    let address = ([127, 0, 0, 1], 9000).into();
    let (shared, _) = Shared::new(1, vec![address], Vec::new()).ok()?;
    Some(Shard::new(0, Arc::new(shared)))
}

const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
    a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
    a=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n";
