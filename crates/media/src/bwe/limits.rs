//! What an estimate begins with, and between what it stays, in bits a second.

/// What is assumed of a link before anything is known, in bits a second (libwebrtc's start).
pub(crate) const INITIAL: f64 = 300_000.0;
/// Less than a sound.
pub(super) const MINIMUM: f64 = 30_000.0;
/// More than a viewer is ever sent.
pub(super) const MAXIMUM: f64 = 50_000_000.0;
