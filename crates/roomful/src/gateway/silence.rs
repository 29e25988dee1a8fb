//! For how long a client was not heard, while it could have been.

use std::time::Duration;

use tokio::time::Instant;

use crate::pulse;

pub(super) struct Silence {
    heard_at: Instant,
    /// How long it may be.
    limit: Duration,
    /// What the server had missed when it was asked last.
    missed: Duration,
}

impl Silence {
    pub(super) fn new(limit: Duration) -> Self {
        Self { heard_at: Instant::now(), limit, missed: pulse::missed() }
    }

    /// The client was heard, or cannot be just now.
    pub(super) fn begin_anew(&mut self) {
        self.heard_at = Instant::now();
    }

    /// When it will be too long.
    pub(super) fn ends_at(&self) -> Instant {
        self.heard_at + self.limit
    }

    /// Whether it is too long. What the server itself missed since this was asked last does not count.
    pub(super) fn is_too_long(&mut self) -> bool {
        let (now, missed) = (Instant::now(), pulse::missed());
        let forgiven = self.heard_at + missed.saturating_sub(self.missed);
        self.heard_at = forgiven.min(now);
        self.missed = missed;
        now >= self.ends_at()
    }
}
