//! Metadata: a few keys of the app's own, kept with the room (`spec/live-rest-api.md`, set_room_metadata).

use crate::outcome::RecordKey;
use crate::{Delta, Error, Event, Outcome, Record, Room};

/// The most keys a room may have.
const MAX_KEYS: usize = 10;
/// The most bytes of a key.
const MAX_KEY_BYTES: usize = 50;
/// The most bytes of a value.
const MAX_VALUE_BYTES: usize = 2 * 1024;
/// The most bytes of all values together.
const MAX_TOTAL_BYTES: usize = 16 * 1024;

impl Room {
    /// Sets or adds entries.
    ///
    /// # Errors
    /// [`Error::Invalid`] beyond a limit, for an empty or repeated key, or when there is nothing to set.
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
                return Err(Error::too_long("Key", key.len(), MAX_KEY_BYTES));
            }
            if value.len() > MAX_VALUE_BYTES {
                return Err(Error::too_long("Value", value.len(), MAX_VALUE_BYTES));
            }
            if entries.iter().skip(at + 1).any(|(other, _)| other == key) {
                return Err(Error::invalid("Metadata", format_args!("has the key {key:?} twice")));
            }
            after.insert(key.clone(), value.clone());
        }
        if after.len() > MAX_KEYS {
            let trouble = format_args!("would have {} keys; at most {MAX_KEYS} are allowed", after.len());
            return Err(Error::invalid("Metadata", trouble));
        }
        let total: usize = after.values().map(String::len).sum();
        if total > MAX_TOTAL_BYTES {
            let trouble =
                format_args!("would have values of {total} bytes; at most {MAX_TOTAL_BYTES} are allowed");
            return Err(Error::invalid("Metadata", trouble));
        }
        let set = |(key, value): &(String, String)| {
            Delta::Set(Record::Metadata { key: key.clone(), value: value.clone() })
        };
        Ok(Outcome {
            changes: entries.iter().map(set).collect(),
            events: vec![Event::MetadataSet { entries }],
        })
    }

    /// Deletes entries; all of them when `keys` is empty. A key that is not there is passed over.
    pub fn delete_metadata(&self, keys: Vec<String>) -> Outcome {
        let mut keys = if keys.is_empty() { self.metadata.keys().cloned().collect() } else { keys };
        keys.retain(|key| self.metadata.contains_key(key));
        keys.dedup();
        if keys.is_empty() {
            return Outcome::default();
        }
        let unset = |key| Delta::Unset(RecordKey::new(Record::METADATA, key));
        Outcome { changes: keys.iter().map(unset).collect(), events: vec![Event::MetadataDeleted { keys }] }
    }

    /// Entries by their keys; all of them when `keys` is empty.
    pub fn metadata<'a>(&'a self, keys: &'a [String]) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.metadata
            .iter()
            .filter(move |(key, _)| keys.is_empty() || keys.contains(key))
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}
