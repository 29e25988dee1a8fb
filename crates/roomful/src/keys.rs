//! The keys of the RTC API: who may call it, on which apps, which actions and how often. They are an operator's, not an app's.

use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;
use parking_lot::RwLock;
use rooms::SdkAppId;
use store::ApiKey;
use tc3::SecretKey;

use crate::budget::Budget;
use crate::limit::{Rate, RateLimit};

/// What of bodies that are not verified yet may be in memory of one key, which anybody may name; of all keys; and of callers who have
/// named none.
const KEY_BYTES: usize = 32 * 1024 * 1024;
const ALL_BYTES: usize = 4 * KEY_BYTES;
const UNNAMED_BYTES: usize = 4 * 1024 * 1024;

/// What every SecretId begins with, as the cloud's do.
const PREFIX: &str = "AKID";

/// How many letters and digits follow it, and how many a SecretKey has.
const RANDOM_LETTERS: usize = 32;

/// A key that opens something.
pub(crate) struct Key {
    record: ApiKey,
    secret: SecretKey,
    /// For each action of the table.
    limits: Vec<RateLimit>,
    /// For the bodies of calls that name it.
    pub(crate) bodies: Arc<Budget>,
}

impl Key {
    pub(crate) fn secret(&self) -> &SecretKey {
        &self.secret
    }

    pub(crate) fn may_call(&self, action: &str) -> bool {
        self.record.actions.is_empty() || self.record.actions.iter().any(|one| one == action)
    }

    /// Whether it was given all apps, those to come too.
    pub(crate) fn is_of_all_apps(&self) -> bool {
        self.record.apps.is_empty()
    }

    pub(crate) fn may_act_on(&self, app: SdkAppId) -> bool {
        self.is_of_all_apps() || self.record.apps.contains(&app)
    }

    /// Whether the action at `index` of the table may be called once more at `now`.
    pub(crate) fn accept(&self, index: usize, now: Instant) -> bool {
        self.limits.get(index).is_none_or(|limit| limit.accept(now))
    }
}

/// All keys.
pub(crate) struct Keys {
    by_id: RwLock<HashMap<String, Arc<Key>, foldhash::fast::RandomState>>,
    /// How often each action of the table may be called.
    rates: Vec<Rate>,
    /// For the bodies of calls that name a key, and of those that name none yet.
    pub(crate) bodies: Arc<Budget>,
    pub(crate) unnamed_bodies: Arc<Budget>,
}

impl Keys {
    /// `documented` is each action's rate; `calls_per_second` is as for the REST API's commands: 0 lifts all.
    pub(crate) fn new(documented: Vec<Rate>, calls_per_second: u32) -> Self {
        let lifted = |rate: Rate| if calls_per_second == 0 { Rate { calls: 0, ..rate } } else { rate };
        Self {
            by_id: RwLock::default(),
            rates: documented.into_iter().map(lifted).collect(),
            bodies: Budget::of(ALL_BYTES),
            unnamed_bodies: Budget::of(UNNAMED_BYTES),
        }
    }

    /// The key, if there is one that opens something.
    pub(crate) fn get(&self, secret_id: &str) -> Option<Arc<Key>> {
        self.by_id.read().get(secret_id).filter(|key| !key.record.is_disabled).cloned()
    }

    /// Takes over a record that is durable by now.
    pub(crate) fn put(&self, record: ApiKey) {
        let key = Arc::new(Key {
            secret: SecretKey::new(record.secret_key.clone()),
            limits: self.rates.iter().map(|rate| RateLimit::at(*rate)).collect(),
            bodies: Budget::of(KEY_BYTES),
            record,
        });
        self.by_id.write().insert(key.record.secret_id.clone(), key);
    }

    /// It is durable that there is none any more.
    pub(crate) fn remove(&self, secret_id: &str) {
        self.by_id.write().remove(secret_id);
    }
}

/// Whether a text has the form of a SecretId.
pub(crate) fn is_secret_id(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| {
        rest.len() == RANDOM_LETTERS && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// A new pair of a SecretId and a SecretKey.
pub(crate) fn new_pair() -> Result<(String, String), getrandom::Error> {
    Ok((format!("{PREFIX}{}", letters()?), letters()?))
}

/// Letters and digits by chance, each as likely as the others.
fn letters() -> Result<String, getrandom::Error> {
    let mut text = String::with_capacity(RANDOM_LETTERS);
    let mut random = [0; 2 * RANDOM_LETTERS];
    while text.len() < RANDOM_LETTERS {
        getrandom::fill(&mut random)?;
        let six_bits = random.iter().map(|byte| u32::from(byte & 63));
        // Two of the 64 values stand for nothing.
        let letters = six_bits.filter_map(|value| match value {
            0..10 => char::from_digit(value, 10),
            10..36 => char::from_u32(value - 10 + u32::from('a')),
            36..62 => char::from_u32(value - 36 + u32::from('A')),
            _ => None,
        });
        text.extend(letters.take(RANDOM_LETTERS - text.len()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_have_the_clouds_form_and_no_two_are_the_same() {
        let pairs: Vec<(String, String)> = (0..200).map(|_| new_pair().unwrap()).collect();

        assert!(pairs.iter().all(|(id, key)| is_secret_id(id) && key.len() == 32));
        let texts: std::collections::HashSet<&String> =
            pairs.iter().flat_map(|(id, key)| [id, key]).collect();
        assert_eq!(texts.len(), 400);
        let used: std::collections::HashSet<char> = pairs.iter().flat_map(|(_, key)| key.chars()).collect();
        assert_eq!(used.len(), 62, "every letter and digit comes up");
    }

    #[test]
    fn what_is_no_secret_id_is_seen_by_its_form() {
        let good = format!("AKID{}", "a1B2".repeat(8));
        assert!(is_secret_id(&good));
        for wrong in ["", "AKID", &good[1..], &good[..35], &format!("{good}x"), &good.replace('1', "-")] {
            assert!(!is_secret_id(wrong), "{wrong}");
        }
    }
}
