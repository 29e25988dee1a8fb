//! How callers name a call (`CommId`): opaque to them, to be found by us.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// From here on are the numbers of rooms whose names are none: all below are exact in JSON's doubles.
const OF_TEXTS: u64 = 1 << 32;

/// How many bits of a name's hash its number has.
const HASH_BITS: u32 = 52;

/// `<SdkAppId>_<number>_<made>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallId {
    /// Whose it is.
    pub app: u32,
    /// Of its room: [`number_of`].
    pub number: i64,
    /// When it was made, in seconds.
    pub made: i64,
}

impl CallId {
    /// Reads one; `None` for what is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('_');
        let (app, number, made) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        Some(Self { app: app.parse().ok()?, number: number.parse().ok()?, made: made.parse().ok()? })
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}", self.app, self.number, self.made)
    }
}

/// Stands before the number in the name of a room that has one instead of a name.
const NUMBERED: char = '*';

/// A room's number where it has one, and else its name: what callers see of it.
pub fn shown(room: &str) -> &str {
    room.strip_prefix(NUMBERED).unwrap_or(room)
}

/// The rooms that callers may mean: that of the name, and that of the number.
pub fn meant(shown: &str) -> [String; 2] {
    [shown.to_owned(), format!("{NUMBERED}{shown}")]
}

/// A room's number: its own where it has one, else one made of its name's hash.
pub fn number_of(room: &str) -> i64 {
    if let Some(number) = room.strip_prefix(NUMBERED).and_then(|number| number.parse::<u32>().ok()) {
        return i64::from(number);
    }
    let hash = Sha256::digest(room.as_bytes());
    let head = hash.iter().take(8).fold(0_u64, |head, byte| head << 8 | u64::from(*byte));
    (OF_TEXTS + (head >> (u64::BITS - HASH_BITS))).cast_signed()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_itself_and_a_name_is_beyond_all_numbers_and_exact_in_json() {
        assert_eq!(number_of("*1"), 1);
        assert_eq!(number_of("*4294967294"), 4_294_967_294);
        for name in ["4294967295", "7", "*", "*x", "room", "张三"] {
            let number = number_of(name);
            assert!(number > 1 << 32, "{name}: {number}");
            assert!(number < 1 << 53, "{name}: {number}");
            assert_eq!(number, number_of(name));
        }
        assert_ne!(number_of("room"), number_of("Room"));
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let id = CallId { app: 1_400_000_001, number: number_of("room"), made: 1_700_000_000 };
        assert_eq!(CallId::parse(&id.to_string()), Some(id));
        for text in ["", "1_2", "1_2_3_4", "a_2_3", "1_2_", "1_2_99999999999999999999", "-1_2_3"] {
            assert_eq!(CallId::parse(text), None, "{text}");
        }
    }
}
