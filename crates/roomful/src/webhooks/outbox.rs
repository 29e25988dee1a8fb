//! The outbox: events that are on disk and on their way. Each arrives at least once, those of one subject in order,
//! those of different subjects side by side. A receiver that fails is tried again for a day; then, or when too many
//! wait, an event goes to the dead letters.
//!
//! Event callbacks go the same way by another schedule: each by itself, for a minute, and then they are gone.
//!
//! Each receiver of each app has a backlog and places on the wire of its own, so that what one does costs no other anything.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use rooms::SdkAppId;
use store::{Change, Committed, EventPage, EventsWanted, Lane, OutboxEvent};
use tokio::runtime::Handle;

use super::backlog::{Backlog, Next, Read};
use super::receiver::Delivery;
use crate::clock;
use crate::server::Server;

/// How long one may take to arrive.
const DEADLINE: Duration = Duration::from_secs(5);

/// The first pause after a failure; each next one is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long an event is tried.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The pause after the second and every later failure of an event callback; after the first there is none.
const CALLBACK_PAUSE: Duration = Duration::from_secs(10);

/// How long an event callback is tried.
const CALLBACK_ENDS: Duration = Duration::from_secs(60);

/// The part of an app's room in memory that one group of event callbacks has.
const CALLBACK_SHARE: usize = 4;

/// How long what the store cannot do now is put off.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// The part of the outbox of one receiver of an app.
struct Line {
    app: SdkAppId,
    lane: Lane,
    backlog: Mutex<Backlog>,
}

/// What is on its way.
pub(crate) struct Outbox {
    runtime: Handle,
    /// How many bytes of an app's events are in memory at most.
    most_bytes: usize,
    server: OnceLock<Arc<Server>>,
    lines: Mutex<Lines>,
}

type Lines = HashMap<(SdkAppId, Lane), Arc<Line>, foldhash::fast::RandomState>;

impl Outbox {
    /// An outbox whose work is done on `runtime`.
    pub(crate) fn new(runtime: Handle, most_bytes: usize) -> Arc<Self> {
        Arc::new(Self { runtime, most_bytes, server: OnceLock::new(), lines: Mutex::default() })
    }

    /// From now on events are sent: first those that were waiting when the server ended, up to the turns in `waiting`.
    pub(crate) fn start(self: &Arc<Self>, server: Arc<Server>, waiting: Vec<(SdkAppId, Lane, u64)>) {
        let mut lines = self.lines.lock();
        let _ = self.server.set(server);
        for (app, lane, newest) in waiting {
            self.line(&mut lines, app, lane).backlog.lock().note_on_disk(newest);
        }
        lines.values().for_each(|line| self.scan(line));
    }

    /// Takes over events that are on disk, in order.
    pub(crate) fn accept(self: &Arc<Self>, committed: &Committed) {
        metrics::gauge!("roomful_webhook_waiting").set(committed.waiting as f64);
        metrics::counter!("roomful_webhook_failed_total").increment(committed.given_up.webhooks);
        metrics::counter!("roomful_callback_failed_total").increment(committed.given_up.callbacks);
        if committed.events.is_empty() {
            return;
        }
        let mut lines = self.lines.lock();
        for event in &committed.events {
            let line = self.line(&mut lines, event.event.sdkappid, event.event.lane);
            let mut backlog = line.backlog.lock();
            // Nothing is sent before what is older is known of.
            if self.server.get().is_none() {
                backlog.note_on_disk(event.turn);
                continue;
            }
            let first = backlog.accept(event.clone());
            drop(backlog);
            first.into_iter().for_each(|subject| self.serve(line, subject));
            self.scan(line);
        }
    }

    fn line<'a>(&self, lines: &'a mut Lines, app: SdkAppId, lane: Lane) -> &'a Arc<Line> {
        lines.entry((app, lane)).or_insert_with(|| {
            let share = if lane == Lane::WEBHOOKS { 1 } else { CALLBACK_SHARE };
            let backlog = Mutex::new(Backlog::new(self.most_bytes / share));
            Arc::new(Line { app, lane, backlog })
        })
    }

    /// Sends what is there for one subject, one after the other, until there is nothing more.
    fn serve(self: &Arc<Self>, line: &Arc<Line>, subject: Arc<str>) {
        let (outbox, line) = (self.clone(), line.clone());
        self.runtime.spawn(async move { outbox.deliver(&line, &subject).await });
    }

    /// Reads what waits on the disk, when there is room for it.
    fn scan(self: &Arc<Self>, line: &Arc<Line>) {
        let Some(first) = line.backlog.lock().scan() else { return };
        let (outbox, line) = (self.clone(), line.clone());
        self.runtime.spawn(async move {
            let mut next = Some(first);
            while let Some(read) = next {
                let Some(page) = outbox.read(&line, None, &read).await else { return };
                let subjects;
                (subjects, next) = line.backlog.lock().scanned(&read, page);
                subjects.into_iter().for_each(|subject| outbox.serve(&line, subject));
            }
        });
    }

    /// Tries until it is read; `None` once the store is closed.
    async fn read(&self, line: &Line, subject: Option<&str>, read: &Read) -> Option<EventPage> {
        let server = self.server.get()?;
        loop {
            let (after, most_bytes) = (read.after, read.most_bytes);
            let subject = subject.map(String::from);
            let wanted = EventsWanted { sdkappid: line.app, lane: line.lane, subject, after, most_bytes };
            match server.store.waiting_events(wanted).await {
                Ok(page) => return Some(page),
                Err(store::Error::Closed) => return None,
                Err(error) => tracing::warn!(app = %line.app, %error, "webhook events cannot be read"),
            }
            tokio::time::sleep(STORE_PAUSE).await;
        }
    }

    async fn deliver(self: &Arc<Self>, line: &Arc<Line>, subject: &str) {
        let Some(server) = self.server.get() else { return };
        loop {
            let next = line.backlog.lock().next(subject);
            match next {
                Next::Rest => return,
                Next::Read(read) => {
                    let Some(page) = self.read(line, Some(subject), &read).await else { return };
                    line.backlog.lock().read(subject, &read, page);
                }
                Next::Send(event) => {
                    let is_done = match line.lane {
                        Lane::WEBHOOKS => self.send(server, &event).await,
                        Lane(group) => {
                            self.call_back(server, group, &event).await;
                            // However that ended, it is done with.
                            true
                        }
                    };
                    // What cannot be noted as sent is sent again after a restart: nothing more is sent until it can.
                    while server.store.health().is_err() {
                        tokio::time::sleep(STORE_PAUSE).await;
                    }
                    // The row goes before the next event does, so that a crash repeats at most this one.
                    server.store.journal(vec![if is_done {
                        Change::DeleteEvent(event.id)
                    } else {
                        Change::FailEvent(event.id)
                    }]);
                    line.backlog.lock().done(subject);
                    self.scan(line);
                }
            }
        }
    }

    /// Tries until the event callback has arrived, is too old to be told, or nobody wants it any more.
    async fn call_back(&self, server: &Server, group: u8, event: &OutboxEvent) {
        let is_late = || event.at.until(clock::now()) > CALLBACK_ENDS;
        for attempt in 1.. {
            let place = server.sender().callback_place(event.sdkappid, group).await;
            let Some(app) = server.app(event.sdkappid) else { return };
            let Some(to) = app.callback(group) else { return };
            if is_late() {
                break;
            }
            let (command, body, id) = (&event.command, &event.body, event.id);
            let delivery = Delivery { app: event.sdkappid, command, body, id, attempt };
            let result = server.sender().call_back(&to, &delivery, DEADLINE).await;
            drop(place);
            let Err(error) = result else {
                metrics::counter!("roomful_callback_delivered_total").increment(1);
                return;
            };
            metrics::counter!("roomful_callback_retries_total").increment(1);
            if app.may_log_webhook() {
                let app = app.id;
                tracing::warn!(%app, group, event = command, attempt, %error, "an event callback did not arrive");
            }
            if attempt > 1 {
                tokio::time::sleep(CALLBACK_PAUSE).await;
            }
            if is_late() {
                break;
            }
        }
        metrics::counter!("roomful_callback_failed_total").increment(1);
    }

    /// Tries until the event has arrived (`true`) or is given up.
    async fn send(&self, server: &Server, event: &OutboxEvent) -> bool {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            // Who gets the event is asked when its turn has come: one that hangs may have been replaced.
            let place = server.sender().event_place(event.sdkappid).await;
            let Some(app) = server.app(event.sdkappid) else { break };
            let webhook = app.webhook();
            if webhook.url.is_empty() {
                break;
            }
            let delivery = Delivery {
                app: event.sdkappid,
                command: &event.command,
                body: &event.body,
                id: event.id,
                attempt,
            };
            let result = server.sender().send(&webhook, &delivery, DEADLINE).await;
            drop(place);
            match result {
                Ok(_) => {
                    metrics::counter!("roomful_webhook_delivered_total").increment(1);
                    return true;
                }
                Err(error) => {
                    metrics::counter!("roomful_webhook_retries_total").increment(1);
                    if app.may_log_webhook() {
                        let (app, command) = (app.id, &event.command);
                        tracing::warn!(%app, command, attempt, %error, "a webhook event did not arrive");
                    }
                }
            }
            if event.at.until(clock::now()) > GIVE_UP_AFTER {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        metrics::counter!("roomful_webhook_failed_total").increment(1);
        false
    }
}
