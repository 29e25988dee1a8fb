//! The [`Store`] that everything goes through: a queue, one thread that writes and one that reads, and below them an engine.

use std::ops::Range;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use parking_lot::Mutex;
use rooms::SdkAppId;

use crate::engine::Engine;
use crate::reader::Reader;
use crate::writer::{OnCommit, RETRY, Shared, Writer};
use crate::{Change, Commit, Error, EventPage, EventsWanted, Reading, RoomScope, Snapshot, Store};

/// A store over an engine.
#[derive(Debug)]
pub struct Queued {
    shared: Arc<Shared>,
    generation: Option<i64>,
    /// Numbers for rooms to come.
    numbers: Mutex<Range<i64>>,
    writer: Option<JoinHandle<()>>,
    reader: Option<Reader>,
}

impl Queued {
    /// Reads all that `engine` has, and begins to write.
    ///
    /// # Errors
    /// When it cannot be read, or there can be no threads.
    pub fn start(engine: Box<dyn Engine>, on_commit: OnCommit) -> Result<(Self, Snapshot), Error> {
        Self::with_patience(engine, on_commit, RETRY)
    }

    /// The same with another time before what was refused is tried again.
    pub(crate) fn with_patience(
        mut engine: Box<dyn Engine>,
        on_commit: OnCommit,
        retry: Duration,
    ) -> Result<(Self, Snapshot), Error> {
        let snapshot = engine.load()?;
        let numbers = Mutex::new(engine.scopes()?);
        let (reader, generation) = (Reader::start(engine.reader())?, engine.generation());
        let shared = Arc::new(Shared::default());
        let its = shared.clone();
        let writer = Writer::new(engine, on_commit, retry);
        let writer = std::thread::Builder::new().name("store".into()).spawn(move || writer.run(its))?;
        Ok((Self { shared, generation, numbers, writer: Some(writer), reader: Some(reader) }, snapshot))
    }

    /// The number of this run of a server, where others may take the records over: theirs are higher.
    pub fn generation(&self) -> Option<i64> {
        self.generation
    }
}

impl Store for Queued {
    fn room_scope(&self, app: SdkAppId) -> Result<RoomScope, Error> {
        let number = self.numbers.lock().next();
        let number = number.ok_or_else(|| Error::Other("there are no more numbers for rooms".into()))?;
        Ok(RoomScope { app, number })
    }

    fn commit(&self, changes: Vec<Change>) -> Commit {
        let (done, answer) = oneshot::channel();
        let sent = self.shared.queue.push(changes, done);
        Box::pin(async move {
            sent?;
            answer.await.unwrap_or(Err(Error::Closed))
        })
    }

    fn journal(&self, changes: Vec<Change>) {
        // Refused only once the store is closed, when there is nobody left to tell.
        let _ = self.shared.queue.journal(changes);
    }

    fn is_behind(&self, app: SdkAppId) -> bool {
        self.shared.queue.is_full_for(app)
    }

    fn health(&self) -> Result<(), Error> {
        self.shared.health.check(Instant::now())
    }

    fn waiting_events(&self, wanted: EventsWanted) -> Reading<EventPage> {
        match &self.reader {
            Some(reader) => reader.waiting_events(wanted),
            None => Box::pin(std::future::ready(Err(Error::Closed))),
        }
    }

    fn dead_letters(&self) -> Reading<Vec<u64>> {
        match &self.reader {
            Some(reader) => reader.dead_letters(),
            None => Box::pin(std::future::ready(Err(Error::Closed))),
        }
    }
}

impl Drop for Queued {
    /// Finishes what was accepted. The writer is the last to close the database.
    fn drop(&mut self) {
        self.reader = None;
        self.shared.queue.close();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}
