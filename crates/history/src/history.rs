//! The handle by which things are noted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::options::{Clock, Options, Place, Shared};
use crate::writer::Writer;
use crate::{Reader, Row};

/// How long a database has at the end.
const LAST: Duration = Duration::from_secs(3);

/// How it goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Rows that were written.
    pub written: u64,
    /// Rows for which there was no space.
    pub refused: u64,
    /// How often the disk refused.
    pub failures: u64,
    /// Bytes that wait.
    pub waiting_bytes: usize,
}

/// What happened, as it is written down. Dropping it writes the rest.
pub struct History {
    shared: Arc<Shared>,
    place: Place,
    clock: Clock,
    writer: Option<std::thread::JoinHandle<()>>,
}

impl History {
    /// Starts the writer.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(options: Options) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let (place, clock) = (options.place.clone(), options.clock.clone());
        let writer = Writer::new(options, shared.clone());
        let writer = std::thread::Builder::new().name("history".into()).spawn(move || writer.run())?;
        Ok(Self { shared, place, clock, writer: Some(writer) })
    }

    /// Something is to be written. Never waits; what there is no space for is counted.
    pub fn note(&self, row: Row) {
        self.shared.queue.push(row);
    }

    /// Looks into what is written, up to some seconds ago.
    pub fn reader(&self) -> Reader {
        Reader::new(&self.place, self.clock.clone())
    }

    /// Waits until all that was noted is written, but not for longer than this. Whether it is.
    pub fn flush(&self, most: Duration) -> bool {
        self.shared.queue.flush(most)
    }

    /// How it goes.
    pub fn numbers(&self) -> Numbers {
        let (waiting_bytes, refused) = self.shared.queue.load();
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Numbers {
            written: read(&self.shared.written),
            failures: read(&self.shared.failures),
            refused,
            waiting_bytes,
        }
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.shared.queue.close();
        let Some(writer) = self.writer.take() else { return };
        // A database that says nothing is not waited for.
        let until = Instant::now() + LAST;
        while matches!(self.place, Place::Database { .. }) && !writer.is_finished() {
            if Instant::now() >= until {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // The error is that it panicked, of which nothing follows here.
        let _ = writer.join();
    }
}
