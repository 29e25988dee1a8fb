//! How many connections there may be: in all, and from one address. Each holds a place from before its first byte to its end,
//! whatever it becomes (TLS handshake, REST calls, WebSocket).
//!
//! Behind loopback and private addresses usually stands a proxy with everyone's connections, so they are held to the
//! limit by address only when it was set.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::config::Limits;

/// Of the files that may be open, one in so many is kept from clients: for the store, webhooks and the command line.
const RESERVED_FILES: u64 = 8;

/// The places for connections.
pub(crate) struct Places {
    /// `usize::MAX` is no limit, here and below.
    most: usize,
    most_per_address: usize,
    holds_private: bool,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// By the network that is one client's.
    by_network: HashMap<IpAddr, usize, foldhash::fast::RandomState>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Server,
    Address,
}

impl Full {
    /// The key of the configuration that says so.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Full::Server => "limits.connections",
            Full::Address => "limits.connections_per_address",
        }
    }
}

impl Places {
    /// `files` is how many files may be open.
    pub(crate) fn new(limits: &Limits, files: u64) -> Arc<Self> {
        let limit = |limit: usize| if limit == 0 { usize::MAX } else { limit };
        let files = usize::try_from(files - files / RESERVED_FILES).unwrap_or(usize::MAX);
        Arc::new(Self {
            most: limit(limits.connections).min(files),
            most_per_address: limit(limits.connections_per_address.value()),
            holds_private: limits.connections_per_address.is_said(),
            taken: Mutex::default(),
        })
    }

    /// Takes a place for a client at `address`.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, Full> {
        let network = media::network(address);
        let mut taken = self.taken.lock();
        if taken.all >= self.most {
            return Err(Full::Server);
        }
        let is_limited = self.holds_private || !is_private(address.to_canonical());
        let of_network = taken.by_network.entry(network).or_insert(0);
        if is_limited && *of_network >= self.most_per_address {
            return Err(Full::Address);
        }
        *of_network += 1;
        taken.all += 1;
        Ok(Place { places: self.clone(), network })
    }

    /// How many there are; `usize::MAX` is any number.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.lock().all
    }
}

/// One connection's; it is free again when this is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    network: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.all -= 1;
        if let Some(of_network) = taken.by_network.get_mut(&self.network) {
            *of_network -= 1;
            if *of_network == 0 {
                taken.by_network.remove(&self.network);
            }
        }
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            // RFC 6598, which std does not tell yet.
            let is_carriers = matches!(address.octets(), [100, 64..=127, ..]);
            address.is_loopback() || address.is_private() || address.is_link_local() || is_carriers
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Said;

    /// How many connections one public address may have unless it was set.
    const PER_ADDRESS: usize = 1000;

    fn places(connections: usize, connections_per_address: Option<usize>) -> Arc<Places> {
        let mut limits = Limits { connections, ..Limits::default() };
        if let Some(most) = connections_per_address {
            limits.connections_per_address = Said::by_operator(most);
        }
        Places::new(&limits, 100_000)
    }

    fn take(places: &Arc<Places>, address: &str) -> Result<Place, Full> {
        places.take(address.parse().unwrap())
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let places = places(2, None);
        let (one, _two) = (take(&places, "192.0.2.1").unwrap(), take(&places, "192.0.2.2").unwrap());
        assert_eq!(take(&places, "192.0.2.3").err(), Some(Full::Server));

        drop(one);

        assert!(take(&places, "192.0.2.3").is_ok());
        assert_eq!(
            (places.taken(), places.taken.lock().by_network.len()),
            (1, 1),
            "nothing is left of the others"
        );
    }

    #[test]
    fn one_client_is_an_ipv4_address_or_a_network_of_ipv6() {
        let places = places(0, Some(1));
        let mut held = Vec::new();
        for (address, is_free) in [
            ("192.0.2.1", true),
            ("::ffff:192.0.2.1", false),
            ("192.0.2.2", true),
            ("2001:db8::1", true),
            ("2001:db8::ffff:1", false),
            ("2001:db8:0:1::1", true),
        ] {
            let place = take(&places, address);
            assert_eq!(place.is_ok(), is_free, "{address}");
            held.extend(place);
        }
    }

    #[test]
    fn a_proxys_address_is_limited_only_when_that_was_asked_for() {
        for address in ["127.0.0.1", "10.1.2.3", "172.17.0.1", "100.64.0.1", "::1", "fd00::1", "fe80::1"] {
            let (by_default, asked) = (places(0, None), places(0, Some(PER_ADDRESS)));
            let hold =
                |places: &Arc<Places>| (0..PER_ADDRESS).map(|_| take(places, address).unwrap()).collect();
            let _held: [Vec<Place>; 2] = [hold(&by_default), hold(&asked)];

            assert!(take(&by_default, address).is_ok(), "{address}");
            assert_eq!(take(&asked, address).err(), Some(Full::Address), "{address}");
        }
        let public = places(0, None);
        let _held: Vec<Place> = (0..PER_ADDRESS).map(|_| take(&public, "192.0.2.1").unwrap()).collect();
        assert_eq!(take(&public, "192.0.2.1").err(), Some(Full::Address));
    }

    #[test]
    fn some_files_are_kept_from_clients() {
        let places = Places::new(&Limits { connections: 0, ..Limits::default() }, 16);
        let held: Vec<Place> = std::iter::from_fn(|| take(&places, "127.0.0.1").ok()).collect();

        assert_eq!(held.len(), 14);
    }
}
