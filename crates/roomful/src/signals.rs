//! What tells the server to stop: SIGTERM, SIGINT, and a terminal's SIGHUP and SIGQUIT.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

pub(crate) struct StopSignals(Vec<Signal>);

impl StopSignals {
    /// What the process was started to ignore (`nohup`, a shell's background) stays ignored.
    pub(crate) fn listen() -> io::Result<Self> {
        let ignored = ignored();
        let asked = [SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()];
        let heeded = asked.into_iter().filter(|kind| ignored >> (kind.as_raw_value() - 1) & 1 == 0);
        let kinds = heeded.chain([SignalKind::terminate()]);
        Ok(Self(kinds.map(signal).collect::<io::Result<_>>()?))
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        poll_fn(|cx| {
            let has_come = self.0.iter_mut().any(|signal| signal.poll_recv(cx).is_ready());
            if has_come { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// The signals that are ignored, as a mask (proc(5), SigIgn).
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}
