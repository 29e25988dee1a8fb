//! Allocations: who has which, and what may pass through them. Time and datagrams come in as arguments.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;

use super::credentials::{Credentials, Key, REALM, Username};
use super::quota::{Bytes, Refusals, network};
use super::wire::{self, CHANNELS, Class, Head, Message, Method, Transaction, Writer, kind};
use crate::outbox::Route;

/// How long an allocation lives unless it is refreshed, and the longest a client may ask for (RFC 8656 3.2).
const LIFETIME_SECONDS: u32 = 600;
const MAX_LIFETIME_SECONDS: u32 = 3600;

const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);
const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);

/// Allocations of one session: it has two connections, a browser asks for one over each of UDP, TCP and TLS for each, and
/// both for IPv4 and for IPv6.
pub(super) const MOST_OF_SESSION: usize = 12;

/// Allocations of one network.
pub(super) const MOST_OF_NETWORK: usize = 64;

/// Allocations in all; each has a port number of its own for a name.
pub(super) const MOST: usize = 16_384;

/// An allocation through which nothing has passed for so long gives its place up when places are short: clients in use check
/// their way every 2.5 s, and those that a client has left behind say nothing.
const IDLE: Duration = Duration::from_secs(15);

/// The numbers relayed addresses have for ports.
const PORTS: std::ops::RangeInclusive<u16> = 1024..=u16::MAX;

const UDP: u8 = 17;
const IPV4: u8 = 1;
const IPV6: u8 = 2;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// By what a client comes to the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Entrance {
    /// The UDP port that media has too.
    Media,
    /// The relay's own UDP port.
    Own,
    /// A connection, by its number.
    Stream(u64),
}

/// A client's end: its address, and ours over UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    pub(crate) remote: SocketAddr,
    pub(crate) local: Option<IpAddr>,
    pub(crate) entrance: Entrance,
}

impl Client {
    pub(crate) fn udp(route: Route, entrance: Entrance) -> Self {
        Self { remote: route.remote, local: route.local, entrance }
    }

    /// Whether its address may be another's.
    fn may_be_forged(&self) -> bool {
        !matches!(self.entrance, Entrance::Stream(_))
    }
}

/// What is to be done about a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reaction<'a> {
    Nothing,
    /// What was written goes back to where the message came from.
    Answer,
    /// Data for our media port.
    Data(Route, &'a [u8]),
}

/// Why a request is refused (RFC 8656 19, RFC 8489 14.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    BadRequest = 400,
    Unauthenticated = 401,
    Forbidden = 403,
    UnknownAttribute = 420,
    AllocationMismatch = 437,
    StaleNonce = 438,
    AddressFamilyNotSupported = 440,
    WrongCredentials = 441,
    UnsupportedTransport = 442,
    PeerAddressFamilyMismatch = 443,
    AllocationQuotaReached = 486,
    InsufficientCapacity = 508,
}

const REFUSALS: [(Refusal, &str); 12] = [
    (Refusal::BadRequest, "Bad Request"),
    (Refusal::Unauthenticated, "Unauthenticated"),
    (Refusal::Forbidden, "Forbidden"),
    (Refusal::UnknownAttribute, "Unknown Attribute"),
    (Refusal::AllocationMismatch, "Allocation Mismatch"),
    (Refusal::StaleNonce, "Stale Nonce"),
    (Refusal::AddressFamilyNotSupported, "Address Family not Supported"),
    (Refusal::WrongCredentials, "Wrong Credentials"),
    (Refusal::UnsupportedTransport, "Unsupported Transport Protocol"),
    (Refusal::PeerAddressFamilyMismatch, "Peer Address Family Mismatch"),
    (Refusal::AllocationQuotaReached, "Allocation Quota Reached"),
    (Refusal::InsufficientCapacity, "Insufficient Capacity"),
];

/// What has been counted since the start.
#[derive(Debug, Default)]
pub struct TurnCounters {
    refusals: [AtomicU64; REFUSALS.len()],
    /// Allocations there are.
    allocations: AtomicU64,
    made: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// Dropped without an answer.
    dropped: AtomicU64,
}

impl TurnCounters {
    /// How many allocations there are.
    pub fn allocations(&self) -> u64 {
        self.allocations.load(Ordering::Relaxed)
    }

    /// How many have been made.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Bytes relayed from clients, and to them.
    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes_in.load(Ordering::Relaxed), self.bytes_out.load(Ordering::Relaxed))
    }

    /// Messages that got no answer: broken ones, data without a permission or beyond the rate, refusals that would have been
    /// too many.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Refused requests by the code they were answered with.
    pub fn refusals(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        let counts = self.refusals.iter().map(|count| count.load(Ordering::Relaxed));
        REFUSALS.iter().map(|(refusal, _)| *refusal as u16).zip(counts)
    }

    fn refuse(&self, refusal: Refusal) {
        let place = REFUSALS.iter().position(|(other, _)| *other == refusal);
        if let Some(count) = place.and_then(|place| self.refusals.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// An address of ours that a client may send to.
struct Peer {
    address: SocketAddr,
    permitted_until: Instant,
    channel: Option<(u16, Instant)>,
}

impl Peer {
    fn channel(&self, now: Instant) -> Option<u16> {
        self.channel.filter(|(_, until)| *until > now).map(|(number, _)| number)
    }

    /// A channel is renewed by what renews the permission too, and outlives it.
    fn is_permitted(&self, now: Instant) -> bool {
        self.permitted_until > now || self.channel(now).is_some()
    }
}

struct State {
    expires_at: Instant,
    /// At most one for each address of ours, since others are refused.
    peers: SmallVec<[Peer; 2]>,
    bytes: Bytes,
}

struct Allocation {
    client: Client,
    /// One, or one for each family of addresses.
    relayed: SmallVec<[SocketAddr; 2]>,
    session: Arc<str>,
    username: Box<str>,
    key: Key,
    /// Of the request that made it, which may come again (RFC 8656 7.2).
    transaction: Transaction,
    /// When something passed last, in milliseconds since the start.
    used_at: AtomicU64,
    state: Mutex<State>,
}

impl Allocation {
    fn relayed_for(&self, peer: IpAddr) -> Option<SocketAddr> {
        self.relayed.iter().find(|relayed| relayed.is_ipv4() == peer.is_ipv4()).copied()
    }
}

/// All allocations, by what they are asked for by; changed together.
#[derive(Default)]
struct Allocations {
    by_client: Map<Client, Arc<Allocation>>,
    by_relayed: Map<SocketAddr, Arc<Allocation>>,
    by_session: Map<Arc<str>, Vec<Arc<Allocation>>>,
    by_network: Map<IpAddr, Vec<Arc<Allocation>>>,
    last_port: u16,
}

impl Allocations {
    fn insert(&mut self, allocation: &Arc<Allocation>) {
        self.by_client.insert(allocation.client, allocation.clone());
        for relayed in &allocation.relayed {
            self.by_relayed.insert(*relayed, allocation.clone());
        }
        self.by_session.entry(allocation.session.clone()).or_default().push(allocation.clone());
        let network = network(allocation.client.remote.ip());
        self.by_network.entry(network).or_default().push(allocation.clone());
    }

    fn remove(&mut self, client: &Client) -> bool {
        fn leave<K: std::hash::Hash + Eq>(
            map: &mut Map<K, Vec<Arc<Allocation>>>,
            key: K,
            gone: &Arc<Allocation>,
        ) {
            if let hashbrown::hash_map::Entry::Occupied(mut place) = map.entry(key) {
                place.get_mut().retain(|other| !Arc::ptr_eq(other, gone));
                if place.get().is_empty() {
                    place.remove();
                }
            }
        }
        let Some(gone) = self.by_client.remove(client) else { return false };
        for relayed in &gone.relayed {
            self.by_relayed.remove(relayed);
        }
        leave(&mut self.by_session, gone.session.clone(), &gone);
        leave(&mut self.by_network, network(gone.client.remote.ip()), &gone);
        true
    }

    /// A port number that none of the addresses has in use. They are given out in turn, so that a number is not soon
    /// another's.
    fn free_port(&mut self, ips: &[IpAddr], is_even: bool) -> Option<u16> {
        for _ in PORTS {
            self.last_port =
                if PORTS.contains(&self.last_port) { self.last_port.wrapping_add(1) } else { *PORTS.start() };
            let port = self.last_port;
            let is_taken = |ip: &IpAddr| self.by_relayed.contains_key(&SocketAddr::new(*ip, port));
            if PORTS.contains(&port) && !(is_even && port % 2 == 1) && !ips.iter().any(is_taken) {
                return Some(port);
            }
        }
        None
    }
}

/// Which of `full` gives its place up: the one that has been idle the longest, if any has been for long.
fn idlest(full: &[Arc<Allocation>], now_millis: u64) -> Option<Client> {
    let used_at = |allocation: &&Arc<Allocation>| allocation.used_at.load(Ordering::Relaxed);
    let idlest = full.iter().min_by_key(used_at)?;
    let idle = now_millis.saturating_sub(used_at(&idlest));
    (u128::from(idle) > IDLE.as_millis()).then_some(idlest.client)
}

/// Where data for a relayed address goes, and what is put before it.
pub(crate) struct Way {
    pub(crate) client: Client,
    pub(crate) head: Head,
}

/// The relay.
pub(crate) struct Turn {
    credentials: Credentials,
    /// Our media addresses as clients know them: whom there is to relay to.
    peers: Vec<SocketAddr>,
    began: Instant,
    refusals: Refusals,
    allocations: RwLock<Allocations>,
    pub(crate) counters: TurnCounters,
}

impl Turn {
    /// Relays to `peers`, for those whose password was made with the secret. `now` is `now_seconds` since 1970.
    pub(crate) fn new(secret: &[u8], peers: Vec<SocketAddr>, now: Instant, now_seconds: u64) -> Self {
        let mut first_port = [0; 2];
        // What it begins with only has to differ from the last run's, mostly.
        let _ = aws_lc_rs::rand::fill(&mut first_port);
        let allocations = Allocations { last_port: u16::from_be_bytes(first_port), ..Allocations::default() };
        Self {
            credentials: Credentials::new(secret, now, now_seconds),
            peers,
            began: now,
            refusals: Refusals::new(now),
            allocations: RwLock::new(allocations),
            counters: TurnCounters::default(),
        }
    }

    /// With a secret that nobody has, and so for as long as the server runs.
    pub(crate) fn start(peers: Vec<SocketAddr>) -> std::io::Result<Self> {
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| std::io::Error::other("no randomness"))?;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self::new(&secret, peers, Instant::now(), since_1970.as_secs()))
    }

    /// What the password of a name is.
    pub(crate) fn password(&self, username: &str) -> String {
        self.credentials.password(username)
    }

    /// Takes a message of a client. What it is answered is written to the end of `answer`.
    pub(crate) fn handle<'a>(
        &self,
        client: Client,
        bytes: &'a [u8],
        now: Instant,
        answer: &mut Vec<u8>,
    ) -> Reaction<'a> {
        let allocation = self.find(&client, now);
        if let Some((channel, data)) =
            wire::channel_data(bytes).filter(|(number, _)| CHANNELS.contains(number))
        {
            return self.pass(allocation.as_deref(), |peer| peer.channel(now) == Some(channel), data, now);
        }
        let Some(message) = Message::parse(bytes) else {
            self.counters.drop_one();
            return Reaction::Nothing;
        };
        match (message.class, message.method) {
            (Class::Indication, Method::Send) => self.send(allocation.as_deref(), &message, now),
            (Class::Indication, Method::Binding) => Reaction::Nothing,
            (
                Class::Request,
                Method::Binding
                | Method::Allocate
                | Method::Refresh
                | Method::CreatePermission
                | Method::ChannelBind,
            ) => self.answer(client, allocation, &message, now, answer),
            _ => {
                self.counters.drop_one();
                Reaction::Nothing
            }
        }
    }

    /// The way to the client whose relayed address it is, for what our media address `local` sends there; `None` when it may
    /// not.
    pub(crate) fn way_to(
        &self,
        relayed: SocketAddr,
        local: IpAddr,
        bytes: usize,
        now: Instant,
    ) -> Option<Way> {
        let allocation = self.allocations.read().by_relayed.get(&relayed).cloned();
        let way = allocation.and_then(|allocation| {
            let state = allocation.state.lock();
            let permitted = |peer: &&Peer| peer.address.ip() == local && peer.is_permitted(now);
            let peer = state.peers.iter().find(permitted).filter(|_| state.expires_at > now)?;
            let head = peer.channel(now).map_or(Head::Indication(peer.address), Head::Channel);
            allocation.used_at.store(self.millis(now), Ordering::Relaxed);
            Some(Way { client: allocation.client, head })
        });
        match &way {
            Some(_) => _ = self.counters.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed),
            None => self.counters.drop_one(),
        }
        way
    }

    /// Whether somebody has it as a relayed address.
    pub(crate) fn has_relayed(&self, address: SocketAddr) -> bool {
        self.allocations.read().by_relayed.contains_key(&address)
    }

    /// When a client's allocation ends; `None` when it has none.
    pub(crate) fn expires_at(&self, client: &Client) -> Option<Instant> {
        let allocation = self.allocations.read().by_client.get(client).cloned()?;
        let state = allocation.state.lock();
        Some(state.expires_at)
    }

    /// A client is gone.
    pub(crate) fn forget(&self, client: &Client) {
        let mut allocations = self.allocations.write();
        allocations.remove(client);
        self.count(&allocations);
    }

    /// Ends what has not been refreshed.
    pub(crate) fn sweep(&self, now: Instant) {
        let all: Vec<_> = self.allocations.read().by_client.values().cloned().collect();
        for allocation in all {
            let is_over = allocation.state.lock().expires_at <= now;
            if is_over {
                self.forget(&allocation.client);
            }
        }
    }

    /// That what is found by one name is found by all, within the bounds.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self) {
        let allocations = self.allocations.read();
        let Allocations { by_client, by_relayed, by_session, by_network, .. } = &*allocations;
        let all = || by_client.values();
        assert_eq!(all().map(|one| one.relayed.len()).sum::<usize>(), by_relayed.len());
        for one in all() {
            for relayed in &one.relayed {
                assert!(Arc::ptr_eq(one, &by_relayed[relayed]));
            }
            let network = network(one.client.remote.ip());
            for list in [&by_session[&one.session], &by_network[&network]] {
                assert_eq!(list.iter().filter(|other| Arc::ptr_eq(one, other)).count(), 1);
            }
            assert!(one.state.lock().peers.len() <= self.peers.len());
        }
        for (lists, most) in [
            (by_session.values().collect::<Vec<_>>(), MOST_OF_SESSION),
            (by_network.values().collect(), MOST_OF_NETWORK),
        ] {
            assert_eq!(lists.iter().map(|list| list.len()).sum::<usize>(), by_client.len());
            assert!(lists.iter().all(|list| (1..=most).contains(&list.len())));
        }
        assert_eq!(self.counters.allocations(), by_client.len() as u64);
    }

    fn find(&self, client: &Client, now: Instant) -> Option<Arc<Allocation>> {
        let allocation = self.allocations.read().by_client.get(client).cloned()?;
        if allocation.state.lock().expires_at <= now {
            self.forget(client);
            return None;
        }
        Some(allocation)
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }

    fn count(&self, allocations: &Allocations) {
        self.counters.allocations.store(allocations.by_client.len() as u64, Ordering::Relaxed);
    }

    // Data

    /// Data for the peer that `is_it`.
    fn pass<'a>(
        &self,
        allocation: Option<&Allocation>,
        is_it: impl Fn(&Peer) -> bool,
        data: &'a [u8],
        now: Instant,
    ) -> Reaction<'a> {
        let passed = allocation.and_then(|allocation| {
            let mut state = allocation.state.lock();
            let peer = state.peers.iter().find(|peer| is_it(peer))?.address;
            state.bytes.take(data.len(), now).then_some(())?;
            allocation.used_at.store(self.millis(now), Ordering::Relaxed);
            Some(Route::relay(allocation.relayed_for(peer.ip())?, peer.ip()))
        });
        match passed {
            Some(route) => {
                self.counters.bytes_in.fetch_add(data.len() as u64, Ordering::Relaxed);
                Reaction::Data(route, data)
            }
            None => {
                self.counters.drop_one();
                Reaction::Nothing
            }
        }
    }

    fn send<'a>(&self, allocation: Option<&Allocation>, message: &Message<'a>, now: Instant) -> Reaction<'a> {
        let data = message.get(kind::DATA).filter(|_| message.unknown().next().is_none());
        let Some((to, data)) = message.addresses(kind::XOR_PEER_ADDRESS).next().flatten().zip(data) else {
            self.counters.drop_one();
            return Reaction::Nothing;
        };
        self.pass(allocation, |peer| peer.address == to && peer.is_permitted(now), data, now)
    }

    // Requests

    fn answer(
        &self,
        client: Client,
        allocation: Option<Arc<Allocation>>,
        message: &Message<'_>,
        now: Instant,
        answer: &mut Vec<u8>,
    ) -> Reaction<'static> {
        let mut writer = Writer::new(answer, Class::Success, message.method, message.transaction);
        if message.method == Method::Binding {
            // As a keepalive (RFC 8656 6), or to learn an address; what comes over UDP may be forged, so it gets few answers.
            if client.may_be_forged()
                && allocation.is_none()
                && !self.refusals.admit(client.remote, false, now)
            {
                self.counters.drop_one();
                writer.abandon();
                return Reaction::Nothing;
            }
            writer.address(kind::XOR_MAPPED_ADDRESS, client.remote);
            return Reaction::Answer;
        }
        let key = match self.authenticate(&client, allocation.as_deref(), message, now) {
            Ok(key) => key,
            Err(refusal) => {
                self.counters.refuse(refusal);
                if client.may_be_forged() && !self.refusals.admit(client.remote, allocation.is_some(), now) {
                    self.counters.drop_one();
                    writer.abandon();
                    return Reaction::Nothing;
                }
                writer.fail(refusal as u16, reason(refusal));
                if matches!(refusal, Refusal::Unauthenticated | Refusal::StaleNonce) {
                    let nonce = self.credentials.nonce(&client, now);
                    writer.attribute(kind::REALM, REALM.as_bytes()).attribute(kind::NONCE, nonce.as_bytes());
                }
                return Reaction::Answer;
            }
        };
        let unknown: SmallVec<[u8; 16]> = message.unknown().take(8).flat_map(u16::to_be_bytes).collect();
        let done = match (message.method, &allocation) {
            _ if !unknown.is_empty() => Err(Refusal::UnknownAttribute),
            (Method::Allocate, known) => {
                self.allocate(client, known.as_deref(), key, message, now, &mut writer)
            }
            (_, None) => Err(Refusal::AllocationMismatch),
            (Method::Refresh, Some(allocation)) => self.refresh(allocation, message, now, &mut writer),
            (Method::CreatePermission, Some(allocation)) => self.permit(allocation, message, now),
            (_, Some(allocation)) => self.bind_channel(allocation, message, now),
        };
        if let Err(refusal) = done {
            self.counters.refuse(refusal);
            writer.fail(refusal as u16, reason(refusal));
            if refusal == Refusal::UnknownAttribute {
                writer.attribute(kind::UNKNOWN_ATTRIBUTES, &unknown);
            }
        }
        writer.sign(&key);
        Reaction::Answer
    }

    /// The key of whoever made the request (RFC 8489 9.2.4).
    fn authenticate(
        &self,
        client: &Client,
        allocation: Option<&Allocation>,
        message: &Message<'_>,
        now: Instant,
    ) -> Result<Key, Refusal> {
        if !message.has_integrity() {
            return Err(Refusal::Unauthenticated);
        }
        let parts = message.get(kind::USERNAME).zip(message.get(kind::REALM)).zip(message.get(kind::NONCE));
        let ((username, realm), nonce) = parts.ok_or(Refusal::BadRequest)?;
        if !self.credentials.is_nonce(nonce, client, now) {
            return Err(Refusal::StaleNonce);
        }
        let username = std::str::from_utf8(username).ok().and_then(Username::parse);
        let username = username.filter(|_| realm == REALM.as_bytes()).ok_or(Refusal::Unauthenticated)?;
        let own = allocation.filter(|allocation| &*allocation.username == username.whole);
        let key = own.map_or_else(|| self.credentials.key(username.whole), |allocation| allocation.key);
        if !message.is_signed_with(&key) {
            return Err(Refusal::Unauthenticated);
        }
        match (allocation, own) {
            (Some(_), None) => Err(Refusal::WrongCredentials),
            // Who is there stays for as long as it refreshes, as it would without a relay.
            (None, _) if username.ends_at_seconds < self.credentials.seconds(now) => {
                Err(Refusal::Unauthenticated)
            }
            _ => Ok(key),
        }
    }

    fn allocate(
        &self,
        client: Client,
        known: Option<&Allocation>,
        key: Key,
        message: &Message<'_>,
        now: Instant,
        writer: &mut Writer<'_>,
    ) -> Result<(), Refusal> {
        if let Some(known) = known {
            if known.transaction != message.transaction {
                return Err(Refusal::AllocationMismatch);
            }
            let left = known.state.lock().expires_at.saturating_duration_since(now);
            write_allocation(writer, &known.relayed, client, left.as_secs() as u32);
            return Ok(());
        }
        match message.get(kind::REQUESTED_TRANSPORT) {
            Some([UDP, _, _, _]) => {}
            Some([_, _, _, _]) => return Err(Refusal::UnsupportedTransport),
            _ => return Err(Refusal::BadRequest),
        }
        let even = message.get(kind::EVEN_PORT);
        let (ips, unavailable) = self.families(message)?;
        match (message.get(kind::RESERVATION_TOKEN), even) {
            (None, None | Some([..=0x7f])) => {}
            // Sound and pictures share a port here, so no second port is ever set aside.
            (None, Some([_])) => return Err(Refusal::InsufficientCapacity),
            (Some(token), None) if token.len() == 8 && !message.has(kind::REQUESTED_ADDRESS_FAMILY) => {
                return Err(Refusal::InsufficientCapacity);
            }
            _ => return Err(Refusal::BadRequest),
        }
        let username = message.text(kind::USERNAME).and_then(Username::parse);
        let username = username.ok_or(Refusal::BadRequest)?;
        let seconds = lifetime(message, LIFETIME_SECONDS).ok_or(Refusal::BadRequest)?;
        let seconds = seconds.max(LIFETIME_SECONDS);
        let session: Arc<str> = username.session.into();

        let mut allocations = self.allocations.write();
        let full = |list: Option<&Vec<_>>, most| list.filter(|list| list.len() >= most).cloned();
        let lists = [
            full(allocations.by_session.get(&session), MOST_OF_SESSION),
            full(allocations.by_network.get(&network(client.remote.ip())), MOST_OF_NETWORK),
        ];
        for list in lists.into_iter().flatten() {
            let idle = idlest(&list, self.millis(now)).ok_or(Refusal::AllocationQuotaReached)?;
            allocations.remove(&idle);
        }
        if allocations.by_client.len() >= MOST {
            return Err(Refusal::InsufficientCapacity);
        }
        let port = allocations.free_port(&ips, even.is_some()).ok_or(Refusal::InsufficientCapacity)?;
        let allocation = Arc::new(Allocation {
            client,
            relayed: ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect(),
            session,
            username: username.whole.into(),
            key,
            transaction: message.transaction,
            used_at: AtomicU64::new(self.millis(now)),
            state: Mutex::new(State {
                expires_at: now + Duration::from_secs(seconds.into()),
                peers: SmallVec::new(),
                bytes: Bytes::new(now),
            }),
        });
        allocations.insert(&allocation);
        self.count(&allocations);
        drop(allocations);
        self.counters.made.fetch_add(1, Ordering::Relaxed);
        write_allocation(writer, &allocation.relayed, client, seconds);
        if let Some(family) = unavailable {
            let refusal = Refusal::AddressFamilyNotSupported;
            let mut value = vec![family, 0, 4, (refusal as u16 % 100) as u8];
            value.extend_from_slice(reason(refusal).as_bytes());
            writer.attribute(kind::ADDRESS_ERROR_CODE, &value);
        }
        Ok(())
    }

    /// The addresses that relayed ones are made of, and an additional family that is not to be had.
    fn families(&self, message: &Message<'_>) -> Result<(SmallVec<[IpAddr; 2]>, Option<u8>), Refusal> {
        let of = |family: u8| self.peers.iter().map(SocketAddr::ip).find(|ip| family_of(*ip) == family);
        let requested = message.get(kind::REQUESTED_ADDRESS_FAMILY);
        let additional = message.get(kind::ADDITIONAL_ADDRESS_FAMILY);
        let first = match requested {
            Some(&[family, _, _, _]) => of(family),
            Some(_) => return Err(Refusal::BadRequest),
            // RFC 8656 7.2 would have this refused where there is no IPv4; browsers do not ask for IPv6, and would be
            // left without.
            None => of(IPV4).or_else(|| of(IPV6)),
        };
        let first = first.ok_or(Refusal::AddressFamilyNotSupported)?;
        let mut ips = SmallVec::from_iter([first]);
        let unavailable = match additional {
            None => None,
            Some(&[IPV6, _, _, _]) if requested.is_none() && !message.has(kind::EVEN_PORT) => {
                match of(IPV6) {
                    Some(ip) if ip != first => ips.push(ip),
                    Some(_) => {}
                    None => return Ok((ips, Some(IPV6))),
                }
                None
            }
            Some(_) => return Err(Refusal::BadRequest),
        };
        Ok((ips, unavailable))
    }

    fn refresh(
        &self,
        allocation: &Allocation,
        message: &Message<'_>,
        now: Instant,
        writer: &mut Writer<'_>,
    ) -> Result<(), Refusal> {
        let seconds = lifetime(message, LIFETIME_SECONDS).ok_or(Refusal::BadRequest)?;
        if let Some(family) = message.get(kind::REQUESTED_ADDRESS_FAMILY) {
            let &[family, _, _, _] = family else { return Err(Refusal::BadRequest) };
            if !allocation.relayed.iter().any(|relayed| family_of(relayed.ip()) == family) {
                return Err(Refusal::PeerAddressFamilyMismatch);
            }
        }
        let seconds = if seconds == 0 { 0 } else { seconds.max(LIFETIME_SECONDS) };
        match seconds {
            0 => self.forget(&allocation.client),
            _ => allocation.state.lock().expires_at = now + Duration::from_secs(seconds.into()),
        }
        writer.number(kind::LIFETIME, seconds);
        Ok(())
    }

    fn permit(&self, allocation: &Allocation, message: &Message<'_>, now: Instant) -> Result<(), Refusal> {
        let mut permitted: SmallVec<[SocketAddr; 4]> = SmallVec::new();
        for address in message.addresses(kind::XOR_PEER_ADDRESS) {
            let ip = address.ok_or(Refusal::BadRequest)?.ip();
            // The port counts for nothing (RFC 8656 10), and ours is the one there is.
            let peer = self.peers.iter().find(|peer| peer.ip() == ip).ok_or(Refusal::Forbidden)?;
            allocation.relayed_for(ip).ok_or(Refusal::PeerAddressFamilyMismatch)?;
            if !permitted.contains(peer) {
                permitted.push(*peer);
            }
        }
        if permitted.is_empty() {
            return Err(Refusal::BadRequest);
        }
        let mut state = allocation.state.lock();
        for address in permitted {
            change_peer(&mut state, address, now, |peer| peer.permitted_until = now + PERMISSION_LIFETIME);
        }
        Ok(())
    }

    fn bind_channel(
        &self,
        allocation: &Allocation,
        message: &Message<'_>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let Some(&[c0, c1, _, _]) = message.get(kind::CHANNEL_NUMBER) else {
            return Err(Refusal::BadRequest);
        };
        let number = u16::from_be_bytes([c0, c1]);
        let address = message.addresses(kind::XOR_PEER_ADDRESS).next().flatten();
        let address = address.filter(|_| CHANNELS.contains(&number)).ok_or(Refusal::BadRequest)?;
        if !self.peers.contains(&address) {
            return Err(Refusal::Forbidden);
        }
        allocation.relayed_for(address.ip()).ok_or(Refusal::PeerAddressFamilyMismatch)?;
        let mut state = allocation.state.lock();
        let is_wrong = |peer: &Peer| {
            peer.channel(now).is_some_and(|other| (other == number) != (peer.address == address))
        };
        if state.peers.iter().any(is_wrong) {
            return Err(Refusal::BadRequest);
        }
        change_peer(&mut state, address, now, |peer| {
            peer.permitted_until = now + PERMISSION_LIFETIME;
            peer.channel = Some((number, now + CHANNEL_LIFETIME));
        });
        Ok(())
    }
}

/// Changes what is known of one of our addresses.
fn change_peer(state: &mut State, address: SocketAddr, now: Instant, change: impl Fn(&mut Peer)) {
    if !state.peers.iter().any(|peer| peer.address == address) {
        state.peers.push(Peer { address, permitted_until: now, channel: None });
    }
    state.peers.iter_mut().filter(|peer| peer.address == address).for_each(change);
}

fn write_allocation(writer: &mut Writer<'_>, relayed: &[SocketAddr], client: Client, seconds: u32) {
    for relayed in relayed {
        writer.address(kind::XOR_RELAYED_ADDRESS, *relayed);
    }
    writer.number(kind::LIFETIME, seconds).address(kind::XOR_MAPPED_ADDRESS, client.remote);
}

/// The lifetime that is asked for, as far as it is granted; `None` when it cannot be read.
fn lifetime(message: &Message<'_>, default: u32) -> Option<u32> {
    if !message.has(kind::LIFETIME) {
        return Some(default);
    }
    Some(message.number(kind::LIFETIME)?.min(MAX_LIFETIME_SECONDS))
}

fn family_of(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { IPV4 } else { IPV6 }
}

fn reason(refusal: Refusal) -> &'static str {
    REFUSALS.iter().find(|(other, _)| *other == refusal).map_or("", |(_, reason)| reason)
}
