//! Lines of SDP.

use std::fmt::Write as _;

/// Appends one. Writing to a string cannot fail.
pub(super) fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = write!(out, "{text}\r\n");
}
