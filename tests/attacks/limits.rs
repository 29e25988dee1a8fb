//! What one user may do a second, and own.
