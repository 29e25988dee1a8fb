//! The threads that serve connections: one a core, each with a runtime of its own.
//!
//! A connection stays on its thread, so that a request is read, answered and written without waking another core, which
//! would cost more than the request itself.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle};

/// The threads; they end with the process.
pub(crate) struct Workers {
    handles: Vec<Handle>,
    next: AtomicUsize,
}

impl Workers {
    /// One thread for each core.
    pub(crate) fn start() -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism()?.get();
        let mut handles = Vec::with_capacity(cores);
        for _ in 0..cores {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            handles.push(runtime.handle().clone());
            let run = move || runtime.block_on(std::future::pending::<()>());
            std::thread::Builder::new().name("connections".into()).spawn(run)?;
        }
        Ok(Self { handles, next: AtomicUsize::new(0) })
    }

    /// Runs `work` on the thread whose turn it is.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(handle) = self.handles.get(turn % self.handles.len().max(1)) {
            handle.spawn(work);
        }
    }
}
