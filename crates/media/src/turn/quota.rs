//! How much of it one client may have: places of sessions and of networks, the bytes of an allocation, and refusals to the
//! unknown.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use parking_lot::Mutex;

/// The most that goes from an allocation to our media port, in bytes a second: 50 Mbit/s, beyond which no link is estimated;
/// as much may come at once.
const BYTES_A_SECOND: u64 = 50_000_000 / 8;

/// Refusals a second over UDP to one network of those who have shown nothing: an answer is longer than what was asked, and
/// whoever asked may have given another's address.
const REFUSALS_A_SECOND: u8 = 5;

/// Places in the table of refusals. Networks that share one share what it admits.
const REFUSAL_PLACES: usize = 4096;

/// What one client has of addresses: one of IPv4, or a network of 64 bits of IPv6 (RFC 6177).
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}

/// A bucket of bytes that fills with time.
pub(super) struct Bytes {
    left: u64,
    filled_at: Instant,
}

impl Bytes {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BYTES_A_SECOND, filled_at: now }
    }

    /// Takes so many, if they are there.
    pub(super) fn take(&mut self, count: usize, now: Instant) -> bool {
        let micros = now.saturating_duration_since(self.filled_at).as_micros();
        let gained = u64::try_from(micros).unwrap_or(u64::MAX).saturating_mul(BYTES_A_SECOND) / 1_000_000;
        if gained > 0 {
            self.left = self.left.saturating_add(gained).min(BYTES_A_SECOND);
            self.filled_at = now;
        }
        let left = self.left.checked_sub(count as u64);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

/// Counts refusals by network and second, in a table whose size does not depend on who asks.
pub(super) struct Refusals {
    hasher: RandomState,
    began: Instant,
    places: Mutex<Vec<(u32, u8)>>,
}

impl Refusals {
    pub(super) fn new(now: Instant) -> Self {
        Self { hasher: RandomState::new(), began: now, places: Mutex::new(vec![(0, 0); REFUSAL_PLACES]) }
    }

    /// Whether one more may be sent there; what is sent to an address that is known does not count for its network.
    pub(super) fn admit(&self, remote: SocketAddr, is_known: bool, now: Instant) -> bool {
        let second = u32::try_from(now.saturating_duration_since(self.began).as_secs()).unwrap_or(u32::MAX);
        let place = self.hasher.hash_one((network(remote.ip()), is_known.then_some(remote.port()))) as usize
            % REFUSAL_PLACES;
        let mut places = self.places.lock();
        let Some(place) = places.get_mut(place) else { return false };
        if place.0 != second {
            *place = (second, 0);
        }
        place.1 = place.1.saturating_add(1);
        place.1 <= REFUSALS_A_SECOND
    }
}
