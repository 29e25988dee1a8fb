//! The log, on stderr. Whatever becomes of that (its reader is gone or stuck, its disk is full), the server goes on: lines
//! go through a bounded queue to a thread of their own, and what cannot be written is counted.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Log, LogFormat};

/// How many lines may wait.
const LINES: usize = 1024;

/// How long what waits may take to be written when the server ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// How often it is tried to find room for the last word.
const FLUSH_RETRY: Duration = Duration::from_millis(10);

static LOST: AtomicU64 = AtomicU64::new(0);

/// How many lines could not be written so far.
pub(crate) fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

enum Item {
    Line(Vec<u8>),
    /// Everything before it is written.
    Done(SyncSender<()>),
}

/// Starts the log.
pub(crate) fn start(log: &Log) -> anyhow::Result<Logging> {
    // The one warns of every extension in a handshake that it does not know; the other traces whole frames, with the
    // credentials in them.
    let filter: Targets = format!("rtc_dtls=error,tungstenite=info,{}", log.level).parse()?;
    let is_terminal = io::stderr().is_terminal();
    // Not by way of `io::stderr`, whose lock a stuck reader would keep from everyone.
    let file = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let (queue, items) = sync_channel(LINES);
    std::thread::Builder::new().name("log".into()).spawn(move || write(file, &items))?;
    let lines = Lines(queue.clone());
    let layer = fmt::layer()
        .with_writer(move || lines.clone())
        .with_ansi(is_terminal)
        // It would be printed.
        .log_internal_errors(false);
    let registry = tracing_subscriber::registry();
    match log.format {
        LogFormat::Text => registry.with(layer).with(filter).init(),
        LogFormat::Json => registry.with(layer.json()).with(filter).init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let words = payload.downcast_ref::<&str>().copied();
        let words = words.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let location = panic.location().map(ToString::to_string);
        tracing::error!(words, location, "panicked");
    }));
    Ok(Logging(queue))
}

fn write(mut file: File, items: &Receiver<Item>) {
    for item in items {
        match item {
            Item::Line(line) => {
                if file.write_all(&line).is_err() {
                    LOST.fetch_add(1, Ordering::Relaxed);
                }
            }
            Item::Done(done) => drop(done.try_send(())),
        }
    }
}

/// Where lines are written to; it never fails, nor waits.
#[derive(Clone)]
struct Lines(SyncSender<Item>);

impl io::Write for Lines {
    /// `line` is a whole one.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.try_send(Item::Line(line.to_vec())).is_err() {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The running log.
#[derive(Clone)]
pub(crate) struct Logging(SyncSender<Item>);

impl Logging {
    /// Waits until what was logged is written, unless nobody takes it.
    pub(crate) fn flush(&self) {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        let (done, is_done) = sync_channel(1);
        let mut item = Item::Done(done);
        while let Err(TrySendError::Full(back)) = self.0.try_send(item) {
            if Instant::now() >= deadline {
                return;
            }
            item = back;
            std::thread::sleep(FLUSH_RETRY);
        }
        let _ = is_done.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}
