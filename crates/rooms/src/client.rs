//! With what somebody comes: what is remembered of it, and nothing is decided by.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A user's program and machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Client {
    /// The SDK, with its version; at most [`Self::MAX_SDK`] bytes.
    pub sdk: Arc<str>,
    /// The device, or what of it is known; at most [`Self::MAX_DEVICE`] bytes.
    pub device: Arc<str>,
    /// The cloud's number for the kind of terminal: 1 Windows, 2 Android, 3 iOS, 4 Linux, 100 another.
    pub terminal: u8,
    /// The IP address it came from, as far as it may be kept.
    pub address: Arc<str>,
}

impl Client {
    /// The most bytes that `sdk` has.
    pub const MAX_SDK: usize = 32;

    /// The most bytes that `device` has.
    pub const MAX_DEVICE: usize = 64;
}
