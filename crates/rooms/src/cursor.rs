//! The opaque `Next` of a member list: a place in join order, sealed so that only this room's own cursors are taken.

use std::hash::{DefaultHasher, Hasher as _};

use crate::Error;

/// Where the next page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The last place that was listed.
    pub(crate) after: u64,
    /// How many members the pages so far have listed, for the cap.
    pub(crate) listed: u64,
}

impl Cursor {
    /// The text a caller sends back.
    pub(crate) fn seal(self, incarnation: u64) -> String {
        format!("{:016x}{:016x}{:016x}", self.after, self.listed, self.tag(incarnation))
    }

    /// Reads the text again.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is no cursor of the room's present incarnation.
    pub(crate) fn open(text: &str, incarnation: u64) -> Result<Self, Error> {
        let part = |range| {
            let digits: &str = text.get(range)?;
            // from_str_radix takes a sign, which seal never writes.
            let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase());
            hex.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
        };
        let cursor = (|| {
            let cursor = Cursor { after: part(0..16)?, listed: part(16..32)? };
            (text.len() == 48 && part(32..48)? == cursor.tag(incarnation)).then_some(cursor)
        })();
        cursor.ok_or_else(|| {
            Error::invalid(
                "Next",
                "is no cursor of this room (it was destroyed or the text is altered); start with \"\"",
            )
        })
    }

    /// A keyed hash: the incarnation is random and never shown, so a tag cannot be made up.
    fn tag(self, incarnation: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        for part in [incarnation, self.after, self.listed, incarnation] {
            hasher.write_u64(part);
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_rooms_own_cursor_is_taken() {
        let cursor = Cursor { after: 77, listed: 1000 };
        let text = cursor.seal(5);

        assert_eq!(Cursor::open(&text, 5), Ok(cursor));
        assert!(Cursor::open(&text, 6).is_err(), "another incarnation's");
        for at in 0..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[at] = if altered[at] == b'0' { b'1' } else { b'0' };
            assert!(Cursor::open(std::str::from_utf8(&altered).unwrap(), 5).is_err(), "altered at {at}");
        }
        for forged in ["0", "1000", "+", &"é".repeat(24), &text[1..], &format!("{text}0")] {
            assert!(Cursor::open(forged, 5).is_err(), "{forged}");
        }
    }
}
