//! Names of things. They are checked once, where they enter, and are cheap to copy after that.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Error;

/// An app (tenant).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SdkAppId(pub u32);

impl fmt::Display for SdkAppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One client connection, unique over the life of a data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub u64);

impl SessionId {
    /// Stands for the connection that a robot does not have.
    pub const ROBOT: Self = Self(0);
}

/// A point in time, in whole milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// From milliseconds since the Unix epoch.
    pub const fn from_unix_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From seconds since the Unix epoch.
    pub const fn from_unix_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn unix_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub const fn unix_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// How long it is from `self` until `later`; zero when `later` is not later.
    pub fn until(self, later: Time) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Time;

    fn add(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Defines a text id of at most `$max` bytes: shared storage, so that a clone is a counter's increment.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $label:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The most bytes (of UTF-8) it may have.
            pub const MAX_BYTES: usize = $max;

            /// Checks and takes the text: not empty, not too long, no control characters.
            ///
            /// # Errors
            /// [`Error::Invalid`], naming the trouble and the limit.
            pub fn parse(text: &str) -> Result<Self, Error> {
                Self::parse_field($label, text)
            }

            /// As [`Self::parse`], for an id that stands in the field `field` of a request.
            ///
            /// # Errors
            /// [`Error::Invalid`], naming the field.
            pub fn parse_field(field: &str, text: &str) -> Result<Self, Error> {
                if text.is_empty() {
                    return Err(Error::invalid(field, "is empty"));
                }
                if text.len() > $max {
                    let trouble = format_args!("is {} bytes; at most {} are allowed", text.len(), $max);
                    return Err(Error::invalid(field, trouble));
                }
                if text.chars().any(char::is_control) {
                    return Err(Error::invalid(field, "has a control character"));
                }
                Ok(Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                Self::parse(&text)
            }
        }

        impl From<$name> for Arc<str> {
            fn from(id: $name) -> Arc<str> {
                id.0
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().into()
            }
        }
    };
}

text_id!(
    /// An account's id, unique in its app.
    UserId, "UserId", 32
);
text_id!(
    /// A room's id, unique in its app. Those that clients make may be longer than those of the REST API
    /// (`spec/rtc/room-management.md`).
    RoomId, "RoomId", 64
);

/// Stands before the number in the name of a room that is called by one. No text that a client calls a room by has it.
pub const NUMBERED: char = '*';

impl RoomId {
    /// The number by which it is called, where it is.
    pub fn number(&self) -> Option<u32> {
        let digits = self.as_str().strip_prefix(NUMBERED)?;
        digits.parse().ok().filter(|number: &u32| number.to_string() == digits)
    }
}

/// One life of a room: what names it so names no other room that comes to bear its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "StoredIncarnation")]
pub struct Incarnation {
    /// The room's id.
    pub room: RoomId,
    /// The number by which the store knows it, from 1 on. 0 was written before there were such numbers, and is whichever
    /// room bears the name.
    pub number: i64,
}

/// An incarnation as it was written.
#[derive(Deserialize)]
#[serde(untagged)]
enum StoredIncarnation {
    Name(RoomId),
    Whole { room: RoomId, number: i64 },
}

impl From<StoredIncarnation> for Incarnation {
    fn from(stored: StoredIncarnation) -> Self {
        match stored {
            StoredIncarnation::Name(room) => Self { room, number: 0 },
            StoredIncarnation::Whole { room, number } => Self { room, number },
        }
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.room.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incarnation_is_read_as_it_was_written_before_it_had_a_number_too() {
        let incarnation = |number| Incarnation { room: RoomId::parse("r").unwrap(), number };
        for (json, expected) in [(r#""r""#, 0), (r#"{"room":"r","number":7}"#, 7)] {
            assert_eq!(serde_json::from_str::<Incarnation>(json).unwrap(), incarnation(expected));
        }
        let json = serde_json::to_string(&incarnation(7)).unwrap();
        assert_eq!(serde_json::from_str::<Incarnation>(&json).unwrap(), incarnation(7));
    }

    #[test]
    fn an_id_is_checked_where_it_enters() {
        for (text, trouble) in [
            ("", "RoomId is empty"),
            (&"r".repeat(65), "RoomId is 65 bytes; at most 64 are allowed"),
            ("a\nb", "RoomId has a control character"),
        ] {
            assert_eq!(RoomId::parse(text).unwrap_err().to_string(), trouble);
        }
        assert!(RoomId::parse(&"r".repeat(64)).is_ok());
        assert!(UserId::parse("张三").is_ok());
        assert!(UserId::parse(&"张".repeat(11)).is_err(), "bytes count, not characters");
    }
}
