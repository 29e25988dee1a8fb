//! The outbox: events that are on disk and on their way. Each arrives at least once, those of one subject in order,
//! those of different subjects side by side. A receiver that fails is tried again for a day; then, or when too many
//! wait, an event goes to the dead letters.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use rooms::SdkAppId;
use store::{Change, OutboxEvent};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::receiver::Delivery;
use crate::clock;
use crate::hub::Hub;

/// How many events may wait in memory.
const MOST_WAITING: usize = 100_000;

/// How many are on the wire at once.
const AT_ONCE: usize = 64;

/// How long one may take to arrive.
const DEADLINE: Duration = Duration::from_secs(5);

/// The first pause after a failure; each next one is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long an event is tried.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);

type Subject = (SdkAppId, String);

#[derive(Default)]
struct Waiting {
    by_subject: HashMap<Subject, VecDeque<OutboxEvent>, foldhash::fast::RandomState>,
    count: usize,
}

/// What is on its way.
pub(crate) struct Outbox {
    runtime: Handle,
    hub: OnceLock<Arc<Hub>>,
    waiting: Mutex<Waiting>,
    on_the_wire: Semaphore,
}

impl Outbox {
    /// An outbox whose work is done on `runtime`.
    pub(crate) fn new(runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            runtime,
            hub: OnceLock::new(),
            waiting: Mutex::default(),
            on_the_wire: Semaphore::new(AT_ONCE),
        })
    }

    /// From now on events are sent: first those that were waiting when the server ended.
    pub(crate) fn start(self: &Arc<Self>, hub: Arc<Hub>, waiting: Vec<OutboxEvent>) {
        let _ = self.hub.set(hub);
        self.accept(waiting);
    }

    /// Takes over events that are on disk, in order.
    pub(crate) fn accept(self: &Arc<Self>, events: Vec<OutboxEvent>) {
        let Some(hub) = self.hub.get().filter(|_| !events.is_empty()) else { return };
        let mut waiting = self.waiting.lock();
        for event in events {
            if waiting.count >= MOST_WAITING {
                hub.store.journal(vec![Change::FailEvent(event.id)]);
                metrics::counter!("roomful_webhook_failed_total").increment(1);
                continue;
            }
            waiting.count += 1;
            let subject = (event.sdkappid, event.subject.clone());
            let queue = waiting.by_subject.entry(subject.clone()).or_default();
            queue.push_back(event);
            if queue.len() == 1 {
                let outbox = self.clone();
                self.runtime.spawn(async move { outbox.deliver(subject).await });
            }
        }
        metrics::gauge!("roomful_webhook_waiting").set(waiting.count as f64);
    }

    /// Sends what is there for one subject, one after the other.
    async fn deliver(&self, subject: Subject) {
        let Some(hub) = self.hub.get() else { return };
        while let Some(event) = self.first(&subject) {
            let arrived = self.send(hub, &event).await;
            // The row goes before the next event does, so that a crash repeats at most this one.
            hub.store.journal(vec![if arrived {
                Change::DeleteEvent(event.id)
            } else {
                Change::FailEvent(event.id)
            }]);
            self.forget(&subject);
        }
    }

    fn first(&self, subject: &Subject) -> Option<OutboxEvent> {
        self.waiting.lock().by_subject.get(subject)?.front().cloned()
    }

    fn forget(&self, subject: &Subject) {
        let mut waiting = self.waiting.lock();
        waiting.count = waiting.count.saturating_sub(1);
        if let Some(queue) = waiting.by_subject.get_mut(subject) {
            queue.pop_front();
            if queue.is_empty() {
                waiting.by_subject.remove(subject);
            }
        }
    }

    /// Tries until the event has arrived (`true`) or is given up.
    async fn send(&self, hub: &Hub, event: &OutboxEvent) -> bool {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let Some(app) = hub.app(event.sdkappid) else { return false };
            let webhook = app.webhook();
            if webhook.url.is_empty() {
                return false;
            }
            let delivery = Delivery {
                app: event.sdkappid,
                command: &event.command,
                body: &event.body,
                id: event.id,
                attempt,
            };
            let permit = self.on_the_wire.acquire().await;
            let result = hub.sender.send(&webhook, &delivery, DEADLINE).await;
            drop(permit);
            match result {
                Ok(_) => {
                    metrics::counter!("roomful_webhook_delivered_total").increment(1);
                    return true;
                }
                Err(error) => {
                    metrics::counter!("roomful_webhook_retries_total").increment(1);
                    tracing::warn!(command = event.command, attempt, %error, "a webhook event did not arrive");
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
