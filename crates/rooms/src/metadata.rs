//! Metadata: a few keys of the app's own, kept with the room (`spec/live-rest-api.md`, set_room_metadata).

use crate::outcome::RecordKey;
use crate::{Delta, Error, Event, Outcome, Record, Room};

/// The most keys a room may have.
pub(crate) const MAX_KEYS: usize = 10;
/// The most bytes of a key.
pub(crate) const MAX_KEY_BYTES: usize = 50;
/// The most bytes of a value.
pub(crate) const MAX_VALUE_BYTES: usize = 2 * 1024;
/// The most bytes of all values together.
pub(crate) const MAX_TOTAL_BYTES: usize = 16 * 1024;

impl Room {
    /// Sets or adds entries.
    ///
    /// # Errors
    /// [`Error::TooManyKeys`], [`Error::KeyTooLong`], [`Error::ValueTooLong`], [`Error::ValuesTooLong`];
    /// [`Error::Invalid`] for an empty or repeated key, or when there is nothing to set.
    pub fn set_metadata(&self, entries: Vec<(String, String)>) -> Result<Outcome, Error> {
        if entries.is_empty() {
            return Err(Error::invalid("Metadata", "has no entry"));
        }
        let mut after = self.metadata.clone();
        for (at, (key, value)) in entries.iter().enumerate() {
            if key.is_empty() {
                return Err(Error::invalid("Key", "is empty"));
            }
            if key.len() > MAX_KEY_BYTES {
                return Err(Error::KeyTooLong(key.len()));
            }
            if value.len() > MAX_VALUE_BYTES {
                return Err(Error::ValueTooLong(value.len()));
            }
            if entries.iter().skip(at + 1).any(|(other, _)| other == key) {
                return Err(Error::invalid("Metadata", format_args!("has the key {key:?} twice")));
            }
            after.insert(key.clone(), value.clone());
        }
        if after.len() > MAX_KEYS {
            return Err(Error::TooManyKeys(after.len()));
        }
        let total: usize = after.values().map(String::len).sum();
        if total > MAX_TOTAL_BYTES {
            return Err(Error::ValuesTooLong(total));
        }
        let set = |(key, value): &(String, String)| {
            Delta::Set(Record::Metadata { key: key.clone(), value: value.clone() })
        };
        Ok(Outcome {
            changes: entries.iter().map(set).collect(),
            events: vec![Event::MetadataSet { entries }],
        })
    }

    /// Deletes entries; all of them when `keys` is empty. A key that is not there is passed over, beside one that is.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`].
    pub fn delete_metadata(&self, keys: Vec<String>) -> Result<Outcome, Error> {
        let are_named = !keys.is_empty();
        let mut keys = if are_named { keys } else { self.metadata.keys().cloned().collect() };
        keys.retain(|key| self.metadata.contains_key(key));
        keys.dedup();
        match keys.is_empty() {
            true if are_named => return Err(Error::NoSuchKey),
            true => return Ok(Outcome::default()),
            false => {}
        }
        let unset = |key| Delta::Unset(RecordKey::new(Record::METADATA, key));
        let changes = keys.iter().map(unset).collect();
        Ok(Outcome { changes, events: vec![Event::MetadataDeleted { keys }] })
    }

    /// Entries by their keys; all of them when `keys` is empty.
    pub fn metadata<'a>(&'a self, keys: &'a [String]) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.metadata
            .iter()
            .filter(move |(key, _)| keys.is_empty() || keys.contains(key))
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}
