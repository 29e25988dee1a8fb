//! Whether what is committed now would reach the disk.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::Error;

/// How long every write must have failed before that is more than a hiccup.
const FAILING: Duration = Duration::from_secs(2);

/// How long a write may take. One that takes longer hangs.
const HANGING: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct State {
    /// When the write that is under way began.
    began: Option<Instant>,
    /// Since when all have failed, and how the last one did.
    trouble: Option<(Instant, Error)>,
    has_ended: bool,
}

/// What the writer says of itself.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<State>);

impl Health {
    /// A write begins.
    pub(crate) fn note_begin(&self) {
        self.0.lock().began = Some(Instant::now());
    }

    /// It is over.
    pub(crate) fn note_end(&self, result: &Result<(), Error>) {
        let mut state = self.0.lock();
        state.began = None;
        state.trouble = match result {
            Ok(()) => None,
            Err(error) => {
                let since = state.trouble.take().map_or_else(Instant::now, |(since, _)| since);
                Some((since, error.clone()))
            }
        };
    }

    /// There will be no more.
    pub(crate) fn note_last(&self) {
        self.0.lock().has_ended = true;
    }

    /// Whether the last write failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.0.lock().trouble.is_some()
    }

    /// What is wrong at `now`, if anything is.
    pub(crate) fn check(&self, now: Instant) -> Result<(), Error> {
        let state = self.0.lock();
        if state.has_ended {
            return Err(Error::Closed);
        }
        if let Some((since, error)) = &state.trouble
            && now.saturating_duration_since(*since) >= FAILING
        {
            return Err(error.clone());
        }
        let took = state.began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        if took >= HANGING {
            return Err(Error::Disk(format!("a write has been under way for {} s", took.as_secs())));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_said_once_it_lasts_and_not_any_more_once_it_is_over() {
        let health = Health::default();
        let after = |seconds| Instant::now() + Duration::from_secs(seconds);
        health.note_begin();
        assert!(health.check(after(9)).is_ok());
        assert!(matches!(health.check(after(11)), Err(Error::Disk(_))), "a write that hangs");

        health.note_end(&Err(Error::DiskFull));
        assert!(health.check(after(1)).is_ok());
        assert!(matches!(health.check(after(3)), Err(Error::DiskFull)));

        health.note_begin();
        assert!(matches!(health.check(after(3)), Err(Error::DiskFull)), "trying is no success");
        health.note_end(&Ok(()));
        assert!(health.check(after(9)).is_ok());

        health.note_last();
        assert!(matches!(health.check(after(0)), Err(Error::Closed)));
    }
}
