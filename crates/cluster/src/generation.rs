//! A run of a node, and how long its beat stands still before it may be ended.

use std::time::Duration;

/// A run of a node, as the database numbers them; 0 is nobody.
pub type Generation = i64;

/// For how long a beat must have stood still before its node, with that lease, may be ended. Clocks may run an eighth apart.
pub fn stands_still(lease: Duration) -> Duration {
    (lease + lease / 8).max(lease + Duration::from_secs(1))
}
