//! What `/metrics` shows (Prometheus text). Handles for every command are made once. What succeeded is noted by the thread that did
//! it, and counted for all when it has noted many, or somebody looks: the threads take nothing from each other with each
//! call.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use hashbrown::HashMap;
use media::Media;
use metrics::{Counter, Histogram, counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;

use crate::logging;
use crate::places::{Full, Places};
use crate::server::Server;

/// Upper bounds of the latency buckets, in seconds.
const BUCKETS: &[f64] =
    &[0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0];

/// How often recorded samples are moved into their buckets.
const UPKEEP: Duration = Duration::from_secs(1);

/// How many threads have a place of their own for what they note; more share them.
const PLACES: usize = 16;

/// How much a thread notes before it is counted.
const NOTED: usize = 64;

/// What a thread has noted: calls that succeeded, by their index in the table. Apart in memory from the next.
#[derive(Default)]
#[repr(align(128))]
struct Noted(Mutex<Vec<(usize, Duration)>>);

/// The place of this thread.
fn place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % PLACES;
    }
    MINE.with(|mine| *mine)
}

/// What was counted of one that may end and be followed by another while the process goes on, as a node's forwarding unit is: the other
/// begins at 0, and what is shown goes on from where it was.
struct Counted<T> {
    of: Weak<T>,
    last: Vec<u64>,
}

impl<T> Default for Counted<T> {
    fn default() -> Self {
        Self { of: Weak::new(), last: Vec::new() }
    }
}

impl<T> Counted<T> {
    /// Adds what is new. The counters of one are always the same, in the same order.
    fn add(&mut self, of: &Arc<T>, counters: impl IntoIterator<Item = (Counter, u64)>) {
        if !std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(of)) {
            *self = Self { of: Arc::downgrade(of), last: Vec::new() };
        }
        for (at, (counter, count)) in counters.into_iter().enumerate() {
            let last = match self.last.get_mut(at) {
                Some(last) => std::mem::replace(last, count),
                None => {
                    self.last.push(count);
                    0
                }
            };
            counter.increment(count.saturating_sub(last));
        }
    }

    /// Whether there was one.
    fn was_there(&self) -> bool {
        !self.last.is_empty()
    }
}

pub(crate) struct Metrics {
    noted: [Noted; PLACES],
    of_servers: Mutex<Counted<Server>>,
    of_units: Mutex<Counted<Media>>,
    prometheus: PrometheusHandle,
    /// The service and the name of each command of the table.
    names: Vec<(&'static str, &'static str)>,
    commands: Vec<(Counter, Histogram)>,
}

impl Metrics {
    /// Installs the recorder; once in a process. `names` are the service and the name of each command of the table.
    pub(crate) fn install(names: Vec<(&'static str, &'static str)>) -> Result<Self, BuildError> {
        let prometheus = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), BUCKETS)?
            .install_recorder()?;
        let commands = names
            .iter()
            .map(|(service, command)| {
                let succeeded = counter!("roomful_requests_total", "service" => *service, "command" => *command, "code" => "0");
                let latency = histogram!("roomful_request_seconds", "service" => *service, "command" => *command);
                (succeeded, latency)
            })
            .collect();
        let (noted, of_servers, of_units) = Default::default();
        Ok(Self { noted, of_servers, of_units, prometheus, names, commands })
    }

    /// A request was answered with `code`; `command` is its index in the table, if it named one.
    pub(crate) fn record(&self, command: Option<usize>, code: u32, took: Duration) {
        let handles = command.and_then(|index| Some((index, self.commands.get(index)?)));
        if let Some((index, (_, latency))) = handles {
            if code == 0 {
                return self.note(index, took);
            }
            latency.record(took);
        }
        let (service, name) = command.and_then(|index| self.names.get(index)).copied().unwrap_or(("?", "?"));
        let code = code.to_string();
        counter!("roomful_requests_total", "service" => service, "command" => name, "code" => code)
            .increment(1);
    }

    fn note(&self, index: usize, took: Duration) {
        let Some(Noted(noted)) = self.noted.get(place()) else { return };
        let mut noted = noted.lock();
        noted.push((index, took));
        if noted.len() >= NOTED {
            self.count(&mut noted);
        }
    }

    fn count(&self, noted: &mut Vec<(usize, Duration)>) {
        for (index, took) in noted.drain(..) {
            if let Some((succeeded, latency)) = self.commands.get(index) {
                latency.record(took);
                succeeded.increment(1);
            }
        }
    }

    /// The page, with the gauges as they are now.
    pub(crate) fn render(&self, shown: &Shown, places: &Places) -> String {
        self.noted.iter().for_each(|Noted(noted)| self.count(&mut noted.lock()));
        gauge!("roomful_connections").set(places.taken() as f64);
        counter!("roomful_log_lost_total").absolute(logging::lost());
        note_server(shown.server.as_ref(), &mut self.of_servers.lock());
        note_media(shown.media.as_ref(), &mut self.of_units.lock());
        self.prometheus.render()
    }

    /// Keeps what was recorded bounded when nobody asks for it.
    pub(crate) async fn upkeep(prometheus: PrometheusHandle) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            prometheus.run_upkeep();
        }
    }

    pub(crate) fn handle(&self) -> PrometheusHandle {
        self.prometheus.clone()
    }
}

/// What a page of metrics is about.
#[derive(Default)]
pub(crate) struct Shown {
    /// A node of several that does not have the records has none.
    pub(crate) server: Option<Arc<Server>>,
    /// The forwarding unit that is here.
    pub(crate) media: Option<Arc<Media>>,
}

impl Shown {
    /// A server's.
    pub(crate) fn of(server: &Arc<Server>) -> Self {
        Self { server: Some(server.clone()), media: Some(server.live.media().clone()) }
    }
}

/// Of the records' server, where it is here.
fn note_server(server: Option<&Arc<Server>>, counted: &mut Counted<Server>) {
    let Some(server) = server else {
        if counted.was_there() {
            let gone =
                ["roomful_rooms", "roomful_members", "roomful_sessions", "roomful_history_waiting_bytes"];
            gone.into_iter().for_each(|name| gauge!(name).set(0.0));
        }
        return;
    };
    let (rooms, members) = server.totals();
    gauge!("roomful_rooms").set(rooms as f64);
    gauge!("roomful_members").set(members as f64);
    gauge!("roomful_sessions").set(server.sessions.len() as f64);
    gauge!("roomful_body_budget_bytes").set(server.bodies.left() as f64);
    let history = server.chronicle.numbers();
    gauge!("roomful_history_waiting_bytes").set(history.waiting_bytes as f64);
    let counters = [
        (counter!("roomful_history_rows_total"), history.written),
        (counter!("roomful_history_refused_total"), history.refused),
        (counter!("roomful_history_failures_total"), history.failures),
    ];
    counted.add(server, counters);
}

/// Of the forwarding unit, where one is here.
fn note_media(media: Option<&Arc<Media>>, counted: &mut Counted<Media>) {
    let Some(media) = media else {
        if counted.was_there() {
            let gone = ["roomful_media_connections", "roomful_turn_allocations"];
            gone.into_iter().for_each(|name| gauge!(name).set(0.0));
        }
        return;
    };
    gauge!("roomful_media_connections").set(media.connections() as f64);
    let all = media.counters().all();
    let mut counters: Vec<(Counter, u64)> = all
        .into_iter()
        .map(|(what, count)| (counter!("roomful_media_total", "what" => what), count))
        .collect();
    if let Some(relay) = media.turn_counters() {
        gauge!("roomful_turn_allocations").set(relay.allocations() as f64);
        let (from_clients, to_clients) = relay.bytes();
        counters.extend([
            (counter!("roomful_turn_allocations_total"), relay.made()),
            (counter!("roomful_turn_bytes_total", "direction" => "from_clients"), from_clients),
            (counter!("roomful_turn_bytes_total", "direction" => "to_clients"), to_clients),
            (counter!("roomful_turn_dropped_total"), relay.dropped()),
        ]);
        counters.extend(relay.refusals().map(|(code, count)| {
            (counter!("roomful_turn_refusals_total", "code" => code.to_string()), count)
        }));
    }
    counted.add(media, counters);
}

/// A commit of the store.
pub(crate) fn record_commit(took: Duration, changes: usize) {
    histogram!("roomful_store_commit_seconds").record(took);
    counter!("roomful_store_commits_total").increment(1);
    counter!("roomful_store_changes_total").increment(changes as u64);
}

/// A connection for which there was no place.
pub(crate) fn record_refused_connection(full: Full) {
    counter!("roomful_connections_refused_total", "limit" => full.key()).increment(1);
}

/// A member's request.
pub(crate) fn record_gateway(command: &'static str, code: u32) {
    type Counters = HashMap<&'static str, Counter, foldhash::fast::RandomState>;
    thread_local! {
        /// What succeeded, which most does.
        static SUCCEEDED: RefCell<Counters> = RefCell::default();
    }
    if code == 0 {
        let succeeded = || counter!("roomful_gateway_requests_total", "command" => command, "code" => "0");
        return SUCCEEDED
            .with_borrow_mut(|known| known.entry(command).or_insert_with(succeeded).increment(1));
    }
    counter!("roomful_gateway_requests_total", "command" => command, "code" => code.to_string()).increment(1);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn what_begins_anew_is_counted_on() {
        let shown = Arc::new(AtomicU64::new(0));
        let mut counted = Counted::default();
        let mut now = Vec::new();
        let (former, next) = (Arc::new(1), Arc::new(1));

        for (of, count) in [(&former, 3), (&former, 5), (&next, 2), (&next, 2), (&next, 9)] {
            counted.add(of, [(Counter::from_arc(shown.clone()), count)]);
            now.push(shown.load(Ordering::Relaxed));
        }

        assert_eq!(now, [3, 5, 7, 7, 14]);
    }
}
