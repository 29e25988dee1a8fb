//! For how long this process did not run: stopped (SIGSTOP, a debugger), or its machine paused. Clients cannot be heard in
//! such a time, nor can they come back, so neither their silence nor their grace counts it.
//!
//! A thread of its own notes the time again and again. Where two notes are too far apart, nothing ran between them.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often the time is noted.
const BEAT: Duration = Duration::from_millis(200);

/// How late a note may be on a machine that is merely busy.
const TOLERANCE: Duration = Duration::from_millis(400);

/// What was noted last.
struct Noted {
    at: Instant,
    /// All that was missed until then.
    missed: Duration,
}

impl Noted {
    /// What was missed until `now`, which nobody has noted yet.
    fn missed_at(&self, now: Instant) -> Duration {
        let gap = now.saturating_duration_since(self.at);
        self.missed + if gap <= BEAT + TOLERANCE { Duration::ZERO } else { gap - BEAT }
    }
}

/// `None` until [`start`].
static NOTED: Mutex<Option<Noted>> = Mutex::new(None);

/// Starts noting; once in a process.
pub(crate) fn start() -> std::io::Result<()> {
    *NOTED.lock() = Some(Noted { at: Instant::now(), missed: Duration::ZERO });
    let beat = || {
        loop {
            std::thread::sleep(BEAT);
            if let Some(noted) = NOTED.lock().as_mut() {
                let now = Instant::now();
                *noted = Noted { at: now, missed: noted.missed_at(now) };
            }
        }
    };
    std::thread::Builder::new().name("pulse".into()).spawn(beat).map(drop)
}

/// For how long this process has not run so far.
pub(crate) fn missed() -> Duration {
    NOTED.lock().as_ref().map_or(Duration::ZERO, |noted| noted.missed_at(Instant::now()))
}

/// Sleeps for `time` in which this process runs.
pub(crate) async fn sleep(time: Duration) {
    let (mut before, mut rest) = (missed(), time);
    while !rest.is_zero() {
        tokio::time::sleep(rest).await;
        let now = missed();
        rest = now.saturating_sub(before);
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_late_on_a_busy_machine_is_not_missed() {
        let at = Instant::now();
        let noted = Noted { at, missed: Duration::from_secs(1) };

        assert_eq!(noted.missed_at(at + BEAT + TOLERANCE), Duration::from_secs(1));
        assert_eq!(noted.missed_at(at + BEAT + Duration::from_secs(4)), Duration::from_secs(5));
    }
}
