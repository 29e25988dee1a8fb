//! What is asked about, in time.

/// From when to when, in seconds; both are in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first.
    pub from: i64,
    /// The last.
    pub to: i64,
}

impl Window {
    /// The same in milliseconds.
    pub(crate) fn millis(self) -> (i64, i64) {
        (self.from.saturating_mul(1000), self.to.saturating_mul(1000).saturating_add(999))
    }
}
