//! The relay's rules as a client sees them, whose messages are written and read by crates that are not ours (stun-types,
//! turn-types).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use stun_types::attribute::{ErrorCode, Nonce, RawAttribute, Realm, Username, XorMappedAddress};
use stun_types::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, MessageIntegrityCredentials, MessageWriteVec,
};
use stun_types::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use turn_types::attribute::{
    AdditionalAddressFamily, Data, Lifetime, RequestedAddressFamily, RequestedTransport, XorPeerAddress,
    XorRelayedAddress,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, DATA, REFRESH, SEND};

use super::credentials::key;
use super::server::{MOST_OF_NETWORK, MOST_OF_SESSION};
use super::wire::{self, COOKIE, Head};
use super::*;
use crate::outbox::Route;
use crate::shared::Shared;

type Reply = stun_types::message::Message<'static>;
type Method = stun_types::message::Method;
type Passed = (Route, Vec<u8>);

const NOW_SECONDS: u64 = 1_700_000_000;
const MEDIA: ([u8; 4], u16) = ([192, 0, 2, 1], 8480);
const ENDS: u64 = NOW_SECONDS + 24 * 3600;

fn media() -> SocketAddr {
    MEDIA.into()
}

fn media6() -> SocketAddr {
    "[2001:db8::1]:8480".parse().unwrap()
}

/// A client's attribute.
#[derive(Debug, Clone)]
enum With {
    Udp,
    Peer(SocketAddr),
    Raw(u16, Vec<u8>),
}

fn lifetime(seconds: u32) -> With {
    With::Raw(0x000d, seconds.to_be_bytes().into())
}

fn channel(number: u16) -> With {
    With::Raw(0x000c, [number.to_be_bytes(), [0, 0]].concat())
}

/// The relay, with what the clients of the test know.
struct Bench {
    turn: Turn,
    now: Instant,
}

/// A client.
#[derive(Clone)]
struct User {
    client: Client,
    username: String,
    password: String,
    nonce: String,
}

impl Bench {
    fn new() -> Self {
        Self::at(vec![media(), media6()])
    }

    fn at(peers: Vec<SocketAddr>) -> Self {
        let now = Instant::now();
        Self { turn: Turn::new(b"secret", peers, now, NOW_SECONDS), now }
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn user(&self, session: &str, remote: impl Into<SocketAddr>) -> User {
        let (username, remote) = (format!("{ENDS}:{session}"), remote.into());
        // Over a connection: of UDP's refusals some are withheld.
        let client = Client { remote, local: None, entrance: Entrance::Stream(remote.port().into()) };
        let password = self.turn.password(&username);
        User { client, username, password, nonce: self.nonce(client) }
    }

    fn nonce(&self, client: Client) -> String {
        let answer = self.tell(client, &unsigned(ALLOCATE, &[With::Udp])).0.unwrap();
        read(&answer).attribute::<Nonce>().unwrap().nonce().into()
    }

    fn tell(&self, client: Client, bytes: &[u8]) -> (Option<Vec<u8>>, Option<Passed>) {
        let mut answer = Vec::new();
        match self.turn.handle(client, bytes, self.now, &mut answer) {
            Reaction::Nothing => {
                assert_eq!(answer, b"");
                (None, None)
            }
            Reaction::Answer => (Some(answer), None),
            Reaction::Data(route, data) => (None, Some((route, data.to_vec()))),
        }
    }

    /// Asks, and holds the answer's integrity against the password; 0 is success.
    fn ask(&self, user: &User, method: Method, with: &[With]) -> (u16, Reply) {
        let reply = read(&self.tell(user.client, &user.request(method, with)).0.expect("no answer"));
        let code = reply.attribute::<ErrorCode>().map_or(0, |error| error.code());
        if !matches!(code, 400 | 401 | 438 | 441) || reply.has_attribute(0x0008.into()) {
            reply.validate_integrity(&user.credentials()).expect("a wrong integrity");
        }
        (code, reply)
    }

    fn code(&self, user: &User, method: Method, with: &[With]) -> u16 {
        self.ask(user, method, with).0
    }

    /// Sends to our media address by an indication.
    fn send(&self, user: &User, to: SocketAddr) -> Option<Passed> {
        let with = [With::Peer(to), With::Raw(0x0013, b"data".into())];
        let mut message = stun_types::message::Message::builder_indication(SEND, MessageWriteVec::new());
        add(&mut message, &with);
        self.tell(user.client, &message.finish()).1
    }

    /// Sends by a channel.
    fn send_by(&self, user: &User, channel: u16) -> Option<Passed> {
        self.tell(user.client, &[&channel.to_be_bytes()[..], &[0, 4], b"data"].concat()).1
    }

    fn allocated(&self, session: &str, remote: impl Into<SocketAddr>) -> (User, SocketAddr) {
        let user = self.user(session, remote);
        let (code, reply) = self.ask(&user, ALLOCATE, &[With::Udp]);
        assert_eq!(code, 0);
        (user, relayed(&reply))
    }

    fn refused(&self, code: u16) -> u64 {
        self.turn.counters.refusals().find(|(other, _)| *other == code).unwrap().1
    }
}

impl User {
    fn credentials(&self) -> MessageIntegrityCredentials {
        let (username, password) = (self.username.clone(), self.password.clone());
        LongTermKeyCredentials::new(username, password, "roomful".into()).into()
    }

    fn request(&self, method: Method, with: &[With]) -> Vec<u8> {
        let mut message = stun_types::message::Message::builder_request(method, MessageWriteVec::new());
        add(&mut message, with);
        message.add_attribute(&Username::new(&self.username).unwrap()).unwrap();
        message.add_attribute(&Realm::new("roomful").unwrap()).unwrap();
        message.add_attribute(&Nonce::new(&self.nonce).unwrap()).unwrap();
        message.add_message_integrity(&self.credentials(), IntegrityAlgorithm::Sha1).unwrap();
        message.finish()
    }
}

fn unsigned(method: Method, with: &[With]) -> Vec<u8> {
    let mut message = stun_types::message::Message::builder_request(method, MessageWriteVec::new());
    add(&mut message, with);
    message.finish()
}

fn add(message: &mut MessageWriteVec, with: &[With]) {
    let transaction = message.transaction_id();
    for attribute in with {
        match attribute {
            With::Udp => message.add_attribute(&RequestedTransport::new(17)).unwrap(),
            With::Peer(address) => {
                message.push_attribute_unchecked(&XorPeerAddress::new(*address, transaction))
            }
            With::Raw(kind, value) => {
                message.push_attribute_unchecked(&RawAttribute::new((*kind).into(), value))
            }
        }
    }
}

fn read(bytes: &[u8]) -> Reply {
    stun_types::message::Message::from_bytes(Vec::leak(bytes.to_vec())).expect("a broken message")
}

fn relayed(reply: &Reply) -> SocketAddr {
    reply.attribute::<XorRelayedAddress>().unwrap().addr(reply.transaction_id())
}

#[test]
fn a_client_allocates_permits_sends_binds_and_is_answered() {
    let bench = Bench::new();
    let user = bench.user("s1", ([198, 51, 100, 7], 5000));

    let (code, reply) = bench.ask(&user, ALLOCATE, &[With::Udp]);
    assert_eq!(code, 0);
    assert_eq!(relayed(&reply).ip(), media().ip());
    let mapped = reply.attribute::<XorMappedAddress>().unwrap().addr(reply.transaction_id());
    assert_eq!(mapped, user.client.remote);
    assert_eq!(reply.attribute::<Lifetime>().unwrap().seconds(), 600);
    let relayed = relayed(&reply);

    assert_eq!(bench.send(&user, media()), None, "no permission yet");
    assert!(bench.turn.way_to(relayed, media().ip(), 4, bench.now).is_none());
    assert_eq!(bench.code(&user, CREATE_PERMISSION, &[With::Peer(media())]), 0);
    assert_eq!(bench.send(&user, media()), Some((Route::relay(relayed, media().ip()), b"data".into())));

    let way = bench.turn.way_to(relayed, media().ip(), 4, bench.now).unwrap();
    assert_eq!(way.client, user.client);
    let mut out = Vec::new();
    way.head.wrap(b"answer", false, &mut out);
    let indication = read(&out);
    assert!(indication.has_method(DATA));
    let from = indication.attribute::<XorPeerAddress>().unwrap().addr(indication.transaction_id());
    assert_eq!(from, media());
    assert_eq!(indication.attribute::<Data>().unwrap().data(), b"answer");

    assert_eq!(bench.send_by(&user, 0x4001), None, "no channel yet");
    assert_eq!(bench.code(&user, CHANNEL_BIND, &[channel(0x4001), With::Peer(media())]), 0);
    assert_eq!(bench.send_by(&user, 0x4001).unwrap().0, Route::relay(relayed, media().ip()));
    let way = bench.turn.way_to(relayed, media().ip(), 4, bench.now).unwrap();
    assert_eq!(way.head, Head::Channel(0x4001));
    for (is_stream, length) in [(false, 9), (true, 12)] {
        let mut out = Vec::new();
        way.head.wrap(b"again", is_stream, &mut out);
        assert_eq!(out.len(), length);
        let data = turn_types::channel::ChannelData::parse(&out).unwrap();
        assert_eq!((data.id(), data.data()), (0x4001, &b"again"[..]));
    }
    assert_eq!(bench.turn.counters.bytes(), (8, 8));
    assert_eq!(bench.turn.counters.allocations(), 1);
}

/// RFC 5769 2.4: a request with long-term credentials.
#[test]
fn the_example_of_rfc_5769_is_signed() {
    let example = b"\x00\x01\x00\x60\x21\x12\xa4\x42\x78\xad\x34\x33\xc6\xad\x72\xc0\x29\xda\x41\x2e\
        \x00\x06\x00\x12\xe3\x83\x9e\xe3\x83\x88\xe3\x83\xaa\xe3\x83\x83\xe3\x82\xaf\xe3\x82\xb9\x00\x00\
        \x00\x15\x00\x1c\x66\x2f\x2f\x34\x39\x39\x6b\x39\x35\x34\x64\x36\x4f\x4c\x33\x34\x6f\x4c\x39\x46\
        \x53\x54\x76\x79\x36\x34\x73\x41\
        \x00\x14\x00\x0b\x65\x78\x61\x6d\x70\x6c\x65\x2e\x6f\x72\x67\x00\
        \x00\x08\x00\x14\xf6\x70\x24\x65\x6d\xd6\x4a\x3e\x02\xb8\xe0\x71\x2e\x85\xc9\xa2\x8c\xa8\x96\x66";
    let key = key("マトリックス", "example.org", "TheMatrIX");

    let message = wire::Message::parse(example).unwrap();

    assert!(message.is_signed_with(&key));
    for at in 0..example.len() {
        let mut forged = *example;
        forged[at] ^= 0x10;
        assert!(!wire::Message::parse(&forged).is_some_and(|message| message.is_signed_with(&key)), "{at}");
    }
}

/// RFC 5769 2.2 and 2.3: mapped addresses.
#[test]
fn the_addresses_of_rfc_5769_are_read_and_written() {
    let transaction = *b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";
    for (address, expected) in [
        ("192.0.2.1:32853", &b"\x00\x01\xa1\x47\xe1\x12\xa6\x43"[..]),
        (
            "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
            b"\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9",
        ),
    ] {
        let address: SocketAddr = address.parse().unwrap();
        let mut bytes = Vec::new();
        let kind = wire::kind::XOR_PEER_ADDRESS;
        wire::Writer::new(&mut bytes, wire::Class::Request, wire::Method::Binding, transaction)
            .address(kind, address);

        assert_eq!(&bytes[24..], expected);
        let message = wire::Message::parse(&bytes).unwrap();
        assert_eq!(message.addresses(kind).collect::<Vec<_>>(), [Some(address)]);
    }
}

#[test]
fn what_is_wrong_is_refused_with_the_code_for_it() {
    use With::{Peer, Raw, Udp};
    let raw = |kind, value: &[u8]| Raw(kind, value.into());
    let stranger = Peer(([203, 0, 113, 9], 8480).into());
    let other_port = Peer(SocketAddr::new(media().ip(), 22));
    let (family4, family6) = (raw(0x17, &[1, 0, 0, 0]), raw(0x17, &[2, 0, 0, 0]));
    // Before there is an allocation, then with one.
    let without: Vec<(Method, Vec<With>, u16)> = vec![
        (ALLOCATE, vec![], 400),
        (ALLOCATE, vec![raw(0x19, &[17])], 400),
        (ALLOCATE, vec![raw(0x19, &[6, 0, 0, 0])], 442),
        (ALLOCATE, vec![raw(0x19, &[132, 0, 0, 0])], 442),
        (ALLOCATE, vec![Udp, raw(0x17, &[3, 0, 0, 0])], 440),
        (ALLOCATE, vec![Udp, raw(0x17, &[1])], 400),
        (ALLOCATE, vec![Udp, family4, raw(0x8000, &[2, 0, 0, 0])], 400),
        (ALLOCATE, vec![Udp, raw(0x8000, &[1, 0, 0, 0])], 400),
        (ALLOCATE, vec![Udp, raw(0x18, &[0x80])], 508),
        (ALLOCATE, vec![Udp, raw(0x18, &[])], 400),
        (ALLOCATE, vec![Udp, raw(0x22, &[0; 8])], 508),
        (ALLOCATE, vec![Udp, raw(0x22, &[0; 3])], 400),
        (ALLOCATE, vec![Udp, raw(0x22, &[0; 8]), raw(0x18, &[0])], 400),
        (ALLOCATE, vec![Udp, raw(0x22, &[0; 8]), family6.clone()], 400),
        (ALLOCATE, vec![Udp, raw(0x0d, &[0])], 400),
        (ALLOCATE, vec![Udp, raw(0x7abc, &[])], 420),
        (REFRESH, vec![lifetime(600)], 437),
        (REFRESH, vec![lifetime(0)], 437),
        (CREATE_PERMISSION, vec![Peer(media())], 437),
        (CHANNEL_BIND, vec![channel(0x4000), Peer(media())], 437),
    ];
    let with = vec![
        (ALLOCATE, vec![Udp], 437),
        (REFRESH, vec![family6], 443),
        (REFRESH, vec![raw(0x0d, &[1, 2])], 400),
        (CREATE_PERMISSION, vec![], 400),
        (CREATE_PERMISSION, vec![raw(0x12, &[0, 9, 1, 1, 1, 1, 1, 1])], 400),
        (CREATE_PERMISSION, vec![stranger.clone()], 403),
        (CREATE_PERMISSION, vec![Peer(media()), stranger.clone()], 403),
        (CREATE_PERMISSION, vec![Peer(([127, 0, 0, 1], 8480).into())], 403),
        (CREATE_PERMISSION, vec![Peer(media6())], 443),
        (CHANNEL_BIND, vec![channel(0x4000)], 400),
        (CHANNEL_BIND, vec![Peer(media())], 400),
        (CHANNEL_BIND, vec![channel(0x3fff), Peer(media())], 400),
        (CHANNEL_BIND, vec![channel(0x5000), Peer(media())], 400),
        (CHANNEL_BIND, vec![channel(0x4000), stranger], 403),
        (CHANNEL_BIND, vec![channel(0x4000), other_port], 403),
        (CHANNEL_BIND, vec![channel(0x4000), Peer(media6())], 443),
        (CHANNEL_BIND, vec![channel(0x4000), Peer(media()), raw(0x001e, &[])], 420),
    ];
    let bench = Bench::new();
    let user = bench.user("s1", ([198, 51, 100, 7], 5000));

    for (method, attributes, code) in without {
        assert_eq!(bench.code(&user, method, &attributes), code, "{method} {attributes:?}");
    }
    assert_eq!(bench.turn.counters.allocations(), 0);
    assert_eq!(bench.code(&user, ALLOCATE, &[Udp, raw(0x18, &[0]), raw(0x1a, &[]), raw(0x8abc, &[1])]), 0);
    for (method, attributes, code) in with {
        assert_eq!(bench.code(&user, method, &attributes), code, "{method} {attributes:?}");
    }
    assert_eq!(bench.send(&user, media()), None, "nothing of what was refused was permitted");
    for code in [400, 403, 420, 437, 440, 442, 443, 508] {
        assert!(bench.refused(code) > 0, "{code} is not counted");
    }
}

#[test]
fn a_forged_or_worn_out_credential_opens_nothing() {
    let mut bench = Bench::new();
    let user = bench.user("s1", ([198, 51, 100, 7], 5000));
    let ended = format!("{}:s1", NOW_SECONDS - 1);
    let others = bench.user("s2", ([198, 51, 100, 8], 5000));
    let neighbour = bench.user("s1", ([198, 51, 100, 7], 5001));
    let with_name = |name: &str| User { username: name.into(), ..user.clone() };
    for (what, forged, code) in [
        ("password", User { password: "guess".into(), ..user.clone() }, 401),
        ("another's session", with_name(&others.username), 401),
        ("no time", with_name("s1"), 401),
        ("no session", with_name("1700000000:"), 401),
        ("long", with_name(&format!("{ENDS}:{}", "x".repeat(200))), 401),
        ("ended", User { password: bench.turn.password(&ended), ..with_name(&ended) }, 401),
        ("another's nonce", User { nonce: others.nonce.clone(), ..user.clone() }, 438),
        ("its neighbour's nonce", User { nonce: neighbour.nonce.clone(), ..user.clone() }, 438),
        ("no nonce of ours", User { nonce: "A".repeat(28), ..user.clone() }, 438),
        ("a long nonce", User { nonce: "A".repeat(400), ..user.clone() }, 438),
    ] {
        assert_eq!(bench.code(&forged, ALLOCATE, &[With::Udp]), code, "{what}");
    }
    assert_eq!(bench.turn.counters.allocations(), 0);

    assert_eq!(bench.code(&user, ALLOCATE, &[With::Udp]), 0);
    let other = User { client: user.client, nonce: user.nonce.clone(), ..others };
    assert_eq!(bench.code(&other, REFRESH, &[lifetime(0)]), 441, "another's allocation");
    let mut forged = user.request(REFRESH, &[lifetime(0)]);
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let answer = read(&bench.tell(user.client, &forged).0.unwrap());
    assert_eq!(answer.attribute::<ErrorCode>().unwrap().code(), 401);
    assert_eq!(bench.turn.counters.allocations(), 1);

    bench.wait(599);
    assert_eq!(bench.code(&user, REFRESH, &[lifetime(3600)]), 0);
    bench.wait(1);
    let (code, reply) = bench.ask(&user, REFRESH, &[]);
    assert_eq!(code, 438, "a nonce holds for ten minutes");
    let nonce = reply.attribute::<Nonce>().unwrap().nonce().into();
    assert_eq!(bench.code(&User { nonce, ..user }, REFRESH, &[lifetime(600)]), 0);
}

#[test]
fn a_channel_is_its_owners_and_names_one_address() {
    let bench = Bench::at(vec![media(), SocketAddr::from(([192, 0, 2, 2], 8480))]);
    let second: SocketAddr = ([192, 0, 2, 2], 8480).into();
    let (owner, _) = bench.allocated("s1", ([198, 51, 100, 7], 5000));
    let (thief, _) = bench.allocated("s2", ([198, 51, 100, 8], 5000));
    let unknown = bench.user("s3", ([198, 51, 100, 9], 5000));

    assert_eq!(bench.code(&owner, CHANNEL_BIND, &[channel(0x4000), With::Peer(media())]), 0);

    assert_eq!(bench.send_by(&thief, 0x4000), None);
    assert_eq!(bench.send_by(&unknown, 0x4000), None);
    assert_eq!(bench.code(&owner, CHANNEL_BIND, &[channel(0x4000), With::Peer(second)]), 400);
    assert_eq!(bench.code(&owner, CHANNEL_BIND, &[channel(0x4001), With::Peer(media())]), 400);
    assert_eq!(bench.code(&owner, CHANNEL_BIND, &[channel(0x4000), With::Peer(media())]), 0);
    assert_eq!(bench.send_by(&owner, 0x4000).unwrap().0.local, Some(media().ip()));
    assert!(bench.turn.counters.dropped() >= 2);
}

#[test]
fn permissions_channels_and_allocations_end_unless_they_are_renewed() {
    let mut bench = Bench::new();
    let (user, relayed) = bench.allocated("s1", ([198, 51, 100, 7], 5000));
    assert_eq!(bench.code(&user, CREATE_PERMISSION, &[With::Peer(media())]), 0);

    bench.wait(299);
    assert!(bench.send(&user, media()).is_some());
    bench.wait(1);
    assert!(bench.send(&user, media()).is_none(), "permissions last five minutes");
    assert!(bench.turn.way_to(relayed, media().ip(), 1, bench.now).is_none());
    assert_eq!(bench.code(&user, CHANNEL_BIND, &[channel(0x4000), With::Peer(media())]), 0);
    assert_eq!(bench.code(&user, REFRESH, &[lifetime(100_000)]), 0);
    bench.wait(599);
    assert!(bench.send_by(&user, 0x4000).is_some());
    bench.wait(1);
    assert!(bench.send_by(&user, 0x4000).is_none(), "channels last ten");

    bench.wait(2999);
    bench.turn.sweep(bench.now);
    assert_eq!(bench.turn.counters.allocations(), 1, "3,600 seconds are granted, no more");
    bench.wait(1);
    bench.turn.sweep(bench.now);
    assert_eq!(bench.turn.counters.allocations(), 0);

    let (user, relayed) = bench.allocated("s1", ([198, 51, 100, 7], 5000));
    assert_eq!(bench.ask(&user, REFRESH, &[lifetime(0)]).1.attribute::<Lifetime>().unwrap().seconds(), 0);
    assert_eq!(bench.turn.counters.allocations(), 0);
    assert!(!bench.turn.has_relayed(relayed));
    assert_eq!(bench.code(&user, REFRESH, &[]), 437);
}

#[test]
fn a_request_that_comes_twice_is_answered_twice() {
    let bench = Bench::new();
    let user = bench.user("s1", ([198, 51, 100, 7], 5000));
    let request = user.request(ALLOCATE, &[With::Udp]);

    let answers = [0, 1].map(|_| relayed(&read(&bench.tell(user.client, &request).0.unwrap())));

    assert_eq!(answers[0], answers[1]);
    assert_eq!(bench.turn.counters.made(), 1);
}

#[test]
fn a_session_and_a_network_have_so_many_places_and_idle_ones_give_way() {
    let mut bench = Bench::new();
    let (first, first_relayed) = bench.allocated("s1", ([198, 51, 100, 7], 4000));
    for port in 1..MOST_OF_SESSION as u16 {
        bench.allocated("s1", ([198, 51, 100, 7], 4000 + port));
    }
    let more = bench.user("s1", ([198, 51, 100, 8], 5000));
    assert_eq!(bench.code(&more, ALLOCATE, &[With::Udp]), 486);
    assert_eq!(bench.refused(486), 1);

    bench.wait(10);
    assert_eq!(bench.code(&first, CREATE_PERMISSION, &[With::Peer(media())]), 0);
    assert!(bench.send(&first, media()).is_some());
    bench.wait(6);
    assert_eq!(bench.code(&more, ALLOCATE, &[With::Udp]), 0, "an idle one gives way");
    assert!(bench.turn.has_relayed(first_relayed), "but not the one in use");
    assert_eq!(bench.turn.counters.allocations(), MOST_OF_SESSION as u64);

    let home = |last: u64| Ipv6Addr::from_bits(0x2001_0db8_0007 << 80 | u128::from(last));
    for index in 0..MOST_OF_NETWORK as u64 {
        bench.allocated(&format!("h{index}"), SocketAddr::new(home(index).into(), 4000));
    }
    let full = bench.turn.counters.allocations();
    let more = bench.user("h64", SocketAddr::new(home(64).into(), 4000));
    assert_eq!(bench.code(&more, ALLOCATE, &[With::Udp]), 486, "one network has 64");
    let other: IpAddr = "2001:db8:8::1".parse().unwrap();
    let more = bench.user("h64", SocketAddr::new(other, 4000));
    assert_eq!(bench.code(&more, ALLOCATE, &[With::Udp]), 0);
    assert_eq!(bench.turn.counters.allocations(), full + 1);
}

#[test]
fn the_unknown_are_refused_five_times_a_second() {
    let mut bench = Bench::new();
    let refused = |bench: &Bench, last: u8, port: u16| {
        let client =
            Client { remote: ([203, 0, 113, last], port).into(), local: None, entrance: Entrance::Own };
        bench.tell(client, &unsigned(ALLOCATE, &[With::Udp])).0.is_some()
    };

    let answers = (0..100).filter(|port| refused(&bench, 1, 1000 + port)).count();
    assert_eq!(answers, 5, "whatever the port");
    assert_eq!((bench.refused(401), bench.turn.counters.dropped()), (100, 95));
    assert!(refused(&bench, 2, 1000), "others are answered");
    bench.wait(1);
    assert!(refused(&bench, 1, 1000));

    let forged = User { nonce: "A".repeat(28), ..bench.user("s1", ([203, 0, 113, 5], 1)) };
    let bytes = forged.request(ALLOCATE, &[With::Udp]);
    let client = Client { entrance: Entrance::Own, ..forged.client };
    assert_eq!((0..100).filter(|_| bench.tell(client, &bytes).0.is_some()).count(), 5);
}

#[test]
fn an_allocation_carries_what_a_link_carries() {
    let mut bench = Bench::new();
    let (user, _) = bench.allocated("s1", ([198, 51, 100, 7], 5000));
    assert_eq!(bench.code(&user, CHANNEL_BIND, &[channel(0x4000), With::Peer(media())]), 0);
    let frame = [&[0x40, 0, 0x04, 0x00][..], &[7; 1024]].concat();

    let passed = (0..10_000).filter(|_| bench.tell(user.client, &frame).1.is_some()).count();
    assert_eq!(passed, 6_250_000 / 1024);
    bench.wait(1);
    assert!(bench.tell(user.client, &frame).1.is_some());
}

#[test]
fn both_families_are_relayed() {
    let bench = Bench::new();
    let remote: IpAddr = "2001:db8:9::7".parse().unwrap();
    let user = bench.user("s1", SocketAddr::new(remote, 5000));
    let request =
        With::Raw(0x17, RequestedAddressFamily::new(stun_types::AddressFamily::IPV6).to_raw().value.to_vec());

    let (code, reply) = bench.ask(&user, ALLOCATE, &[With::Udp, request]);

    assert_eq!((code, relayed(&reply).ip()), (0, media6().ip()));
    assert_eq!(bench.code(&user, CREATE_PERMISSION, &[With::Peer(media())]), 443);
    assert_eq!(bench.code(&user, CREATE_PERMISSION, &[With::Peer(media6())]), 0);
    assert_eq!(bench.send(&user, media6()).unwrap().0.remote, relayed(&reply));

    let both = AdditionalAddressFamily::new(stun_types::AddressFamily::IPV6).to_raw().value.to_vec();
    let user = bench.user("s2", SocketAddr::new(remote, 5001));
    let (code, reply) = bench.ask(&user, ALLOCATE, &[With::Udp, With::Raw(0x8000, both.clone())]);
    assert_eq!(code, 0);
    let second = reply.nth_attribute::<XorRelayedAddress>(1).unwrap().addr(reply.transaction_id());
    assert_eq!((relayed(&reply).ip(), second.ip()), (media().ip(), media6().ip()));
    for to in [media(), media6()] {
        assert_eq!(bench.code(&user, CREATE_PERMISSION, &[With::Peer(to)]), 0);
        assert_eq!(bench.send(&user, to).unwrap().0.remote.is_ipv4(), to.is_ipv4());
    }

    let alone = Bench::at(vec![media()]);
    let user = alone.user("s1", ([198, 51, 100, 7], 5000));
    let (code, reply) = alone.ask(&user, ALLOCATE, &[With::Udp, With::Raw(0x8000, both)]);
    assert_eq!((code, reply.has_attribute(0x8001.into())), (0, true));
    let (_, relayed) = Bench::at(vec![media6()]).allocated("s1", ([198, 51, 100, 7], 5000));
    assert_eq!(relayed.ip(), media6().ip(), "what browsers ask for without naming a family");
}

#[test]
fn turn_is_told_from_ice_dtls_and_rtp() {
    let check = unsigned(stun_types::message::BINDING, &[With::Raw(0x0006, b"a:bc".into())]);
    for (bytes, expected) in [
        (unsigned(ALLOCATE, &[]), true),
        (unsigned(CHANNEL_BIND, &[]), true),
        (stun_types::message::Message::builder_indication(SEND, MessageWriteVec::new()).finish(), true),
        (vec![0x40, 0, 0, 0], true),
        (unsigned(stun_types::message::BINDING, &[]), true),
        (check, false),
        (vec![22, 254, 253, 0, 0, 0, 0, 0, 0], false),
        (vec![0x80, 96, 0, 0], false),
        (vec![0x50, 0, 0, 0], false),
        (vec![0, 3, 0, 0, 1, 2, 3, 4], false),
        (vec![], false),
    ] {
        assert_eq!(is_turn(&bytes), expected, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_connection_ends_with_its_allocation() {
    let (mut shared, _inlets) = Shared::new(1, vec![media()], Vec::new()).unwrap();
    let now = Instant::now();
    shared.turn = Some(Turn::new(b"secret", vec![media()], now, NOW_SECONDS));
    let shared = std::sync::Arc::new(shared);
    let remote = ([198, 51, 100, 7], 5000).into();
    let (mut near, far) = tokio::io::duplex(4096);
    let served = shared.clone();
    let task =
        tokio::spawn(async move { crate::relay::serve(far, remote, Vec::new(), &served, || {}).await });
    let mut ask = async |request: Vec<u8>| {
        near.write_all(&request).await.unwrap();
        let mut answer = vec![0; 20];
        near.read_exact(&mut answer).await.unwrap();
        answer.resize(20 + usize::from(u16::from_be_bytes([answer[2], answer[3]])), 0);
        near.read_exact(&mut answer[20..]).await.unwrap();
        read(&answer)
    };
    let turn = shared.turn.as_ref().unwrap();
    let username = format!("{ENDS}:s1");
    let refusal = ask(unsigned(ALLOCATE, &[With::Udp])).await;
    let nonce = refusal.attribute::<Nonce>().unwrap().nonce().into();
    let client = Client { remote, local: None, entrance: Entrance::Stream(1) };
    let user = User { client, password: turn.password(&username), username, nonce };
    assert!(ask(user.request(ALLOCATE, &[With::Udp])).await.is_response());
    assert_eq!(turn.counters.allocations(), 1);

    turn.forget(&client);

    tokio::time::timeout(Duration::from_secs(20), task).await.expect("it goes on").unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_comes_is_survived_and_gives_nobody_anything(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        method in prop::sample::select(vec![1u16, 3, 4, 8, 9, 0x16]),
        kinds in prop::collection::vec((prop::sample::select(vec![6u16, 8, 9, 12, 13, 18, 19, 20, 21, 23, 24, 25, 26, 34, 0x8000]), 0usize..40), 0..8),
    ) {
        let bench = Bench::new();
        let (user, _) = bench.allocated("s1", ([198, 51, 100, 7], 5000));
        let stranger = Client { remote: ([203, 0, 113, 1], 1).into(), local: None, entrance: Entrance::Stream(9) };
        let mut body = Vec::new();
        for (kind, length) in kinds {
            body.extend(kind.to_be_bytes());
            body.extend((length as u16).to_be_bytes());
            body.extend(bytes.iter().cycle().take(if bytes.is_empty() { 0 } else { length }));
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let message = [&method.to_be_bytes()[..], &(body.len() as u16).to_be_bytes(), &COOKIE, &[7; 12], &body].concat();
        for client in [user.client, stranger] {
            for bytes in [&bytes, &message] {
                let mut answer = Vec::new();
                let reaction = bench.turn.handle(client, bytes, bench.now, &mut answer);
                prop_assert!(!matches!(reaction, Reaction::Data(..)));
                if reaction == Reaction::Answer {
                    stun_types::message::Message::from_bytes(&answer).unwrap();
                }
            }
        }
        prop_assert_eq!(bench.turn.counters.allocations(), 1);
    }

    #[test]
    fn a_request_changed_in_any_byte_is_refused(at in 0usize..140, bit in 0u8..8) {
        let bench = Bench::new();
        let user = bench.user("s1", ([198, 51, 100, 7], 5000));
        let mut request = user.request(ALLOCATE, &[With::Udp]);
        let length = request.len();
        request[at % length] ^= 1 << bit;

        bench.tell(user.client, &request);

        prop_assert_eq!(bench.turn.counters.allocations(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn whatever_clients_do_the_relay_keeps_its_bounds(
        steps in prop::collection::vec((0u8..9, 0u16..30, 0u8..4, 0u64..400), 1..120),
    ) {
        let mut bench = Bench::new();
        let mut users: std::collections::HashMap<u16, User> = Default::default();
        for (what, port, session, seconds) in steps {
            let remote = SocketAddr::from(([198, 51, 100, session / 2], 1000 + port));
            let user = users.entry(port).or_insert_with(|| bench.user(&format!("s{session}"), remote)).clone();
            let had = bench.turn.expires_at(&user.client).is_some_and(|until| until > bench.now);
            match what {
                0..3 => _ = bench.code(&user, ALLOCATE, &[With::Udp]),
                3 => _ = bench.code(&user, REFRESH, &[lifetime(seconds as u32 * 10)]),
                4 => _ = bench.code(&user, CREATE_PERMISSION, &[With::Peer(media())]),
                5 => _ = bench.code(&user, CHANNEL_BIND, &[channel(0x4000 + port % 3), With::Peer(media())]),
                6 => prop_assert!(had || bench.send(&user, media()).is_none()),
                7 => bench.turn.forget(&user.client),
                _ => {
                    bench.wait(seconds);
                    bench.turn.sweep(bench.now);
                    users.clear();
                }
            }
            bench.turn.assert_consistent();
        }
        bench.wait(3600);
        bench.turn.sweep(bench.now);
        bench.turn.assert_consistent();
        prop_assert_eq!(bench.turn.counters.allocations(), 0);
    }
}
