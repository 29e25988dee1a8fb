//! The one thread that writes: what has come is committed once a second.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::options::{Options, Place, Shared};
use crate::pace::TICK;
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::{Error, Row};

/// By how much its thread stands back behind others: it still has a tenth of a core that all want.
const NICE: i32 = 10;

/// Where rows go: into the day it is.
enum Engine {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    on_lost: Box<dyn Fn() + Send>,
    engine: Engine,
    has_failed: bool,
}

impl Writer {
    pub(crate) fn new(options: Options, shared: Arc<Shared>) -> Self {
        let Options { place, days, most_bytes, clock, on_lost } = options;
        let engine = match place {
            Place::Folder(folder) => Engine::Sqlite(Sqlite::new(folder, days, most_bytes, clock)),
            Place::Database { target, generation } => {
                Engine::Postgres(Postgres::new(*target, generation, days, most_bytes, clock))
            }
        };
        Self { shared, on_lost, engine, has_failed: false }
    }

    pub(crate) fn run(mut self) {
        // Where a core is wanted by who waits for it, that goes first. When it cannot be had, it goes without.
        let _ = rustix::process::nice(NICE);
        let mut due = Instant::now();
        while let Some(rows) = self.shared.queue.take(due) {
            due = Instant::now() + TICK;
            match self.write(&rows) {
                Ok(()) => {
                    self.shared.written.fetch_add(u64::try_from(rows.len()).unwrap_or(0), Ordering::Relaxed);
                    self.shared.queue.done(&rows);
                    self.has_failed = false;
                }
                Err(Error::Superseded) => {
                    tracing::warn!("history is written by another server from now on");
                    self.shared.queue.close();
                    return self.shared.queue.done(&rows);
                }
                Err(error) => {
                    self.shared.failures.fetch_add(1, Ordering::Relaxed);
                    if !std::mem::replace(&mut self.has_failed, true) {
                        tracing::warn!(%error, "history cannot be written; it is tried again");
                    }
                    if self.shared.queue.is_closed() {
                        return;
                    }
                    self.shared.queue.give_back(rows);
                }
            }
            if self.is_lost() {
                (self.on_lost)();
            }
        }
    }

    fn write(&mut self, rows: &[Row]) -> Result<(), Error> {
        match &mut self.engine {
            Engine::Sqlite(engine) => engine.write(rows),
            Engine::Postgres(engine) => engine.write(rows),
        }
    }

    /// Whether what was written of today is gone; said once.
    fn is_lost(&mut self) -> bool {
        match &mut self.engine {
            Engine::Sqlite(engine) => engine.is_lost(),
            Engine::Postgres(engine) => engine.is_lost(),
        }
    }
}
