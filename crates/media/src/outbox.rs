//! What is about to be sent: datagrams one after the other in one buffer, and where each goes.
//!
//! Datagrams of one size that follow each other to one place become one run, which the network takes in a single
//! request (UDP segmentation offload).

use std::net::{IpAddr, SocketAddr};

/// What a payload has around it on the wire: RTP header, extensions, tag, UDP and IP.
pub(crate) const AROUND: usize = 68;

/// By what a datagram goes, or comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Udp,
    /// An ICE-TCP connection (RFC 6544).
    Tcp,
    /// Our own TURN relay (`turn/`): the other side is an address that it has given to a client.
    Relay,
}

/// Where a datagram goes, or comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(crate) kind: Kind,
    pub(crate) remote: SocketAddr,
    /// Which address of ours it was sent to, and so has to be answered from; `None` when there is but one, or nobody
    /// knows.
    pub(crate) local: Option<IpAddr>,
}

impl Route {
    /// Over UDP, from whichever address of ours the system chooses.
    pub(crate) fn udp(remote: impl Into<SocketAddr>) -> Self {
        Self { kind: Kind::Udp, remote: remote.into(), local: None }
    }

    /// Over a connection that a client has opened.
    pub(crate) fn tcp(remote: SocketAddr) -> Self {
        Self { kind: Kind::Tcp, remote, local: None }
    }

    /// By way of our relay, from or to an address of ours.
    pub(crate) fn relay(relayed: SocketAddr, local: IpAddr) -> Self {
        Self { kind: Kind::Relay, remote: relayed, local: Some(local) }
    }
}

/// Datagrams to one place: all of `segment` bytes, but the last may be shorter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) route: Route,
    pub(crate) start: usize,
    pub(crate) length: usize,
    pub(crate) segment: usize,
}

/// The most datagrams in a run, and the most bytes (what fits one UDP request).
const MAX_SEGMENTS: usize = 44;
const MAX_RUN_BYTES: usize = 60_000;

/// Datagrams waiting to be sent.
#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) buffer: Vec<u8>,
    pub(crate) runs: Vec<Run>,
}

impl Outbox {
    /// Where the next datagram begins: it is appended to the buffer, then [finished](Self::finish).
    pub(crate) fn start(&self) -> usize {
        self.buffer.len()
    }

    /// The datagram that begins at `start` goes to `route`.
    pub(crate) fn finish(&mut self, route: Route, start: usize) {
        let length = self.buffer.len() - start;
        if length == 0 {
            return;
        }
        if let Some(run) = self.runs.last_mut()
            && run.route == route
            && route.kind != Kind::Tcp
            && run.start + run.length == start
            && length <= run.segment
            && run.length.is_multiple_of(run.segment)
            && run.length < run.segment * MAX_SEGMENTS
            && run.length + length <= MAX_RUN_BYTES
        {
            run.length += length;
            return;
        }
        self.runs.push(Run { route, start, length, segment: length });
    }

    /// Appends a whole datagram.
    pub(crate) fn push(&mut self, route: Route, datagram: &[u8]) {
        let start = self.start();
        self.buffer.extend_from_slice(datagram);
        self.finish(route, start);
    }

    /// Takes back what was appended from `start` on.
    pub(crate) fn abandon(&mut self, start: usize) {
        self.buffer.truncate(start);
    }

    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.runs.clear();
    }

    /// Whether it is time to send: more would only make the buffer large.
    pub(crate) fn is_full(&self) -> bool {
        self.buffer.len() > 256 << 10
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_of_one_size_to_one_place_are_one_run() {
        let route = |port| Route::udp(([127, 0, 0, 1], port));
        let mut outbox = Outbox::default();

        for (port, size) in [(1, 100), (1, 100), (1, 60), (1, 100), (2, 100), (2, 101), (2, 101)] {
            outbox.push(route(port), &vec![7; size]);
        }

        let runs: Vec<_> =
            outbox.runs.iter().map(|run| (run.route.remote.port(), run.length, run.segment)).collect();
        assert_eq!(runs, [(1, 260, 100), (1, 100, 100), (2, 100, 100), (2, 202, 101)]);
    }
}
