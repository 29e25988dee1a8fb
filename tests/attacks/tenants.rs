//! One app's trouble is nobody else's.
