//! What is asked about, in time.

/// From when to when, in seconds; both are in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first.
    pub from: i64,
    /// The last.
    pub to: i64,
}
