//! Messages that an app's server numbers itself (`Random` of send_group_msg): one that comes again within five minutes is the same
//! message, is sent once, and is answered alike, also while the first is still on its way. One that was refused is forgotten.
//!
//! It is kept in memory, within bounds. So beside a restart of the server a message that comes again is sent again, and its
//! receivers have it twice, under two `Seq`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::error::ApiError;

/// For how long a message is known.
const KNOWN_FOR: Duration = Duration::from_secs(5 * 60);

/// How many are known of an app: as many as its server may send in that time, 200 a second. Of more, the oldest are forgotten.
const MAX_KNOWN: usize = 60_000;

/// What became of a message: it was sent (and when it could not be kept, that is what is said of it).
pub(crate) type Outcome = Result<SentAs, ApiError>;

/// The numbers of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentAs {
    pub(crate) id: String,
    pub(crate) seq: u64,
    /// Unix seconds.
    pub(crate) time: u64,
}

/// Which message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Of all that makes it that message.
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut first = [0; 16];
        first.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        Self(first)
    }
}

/// The messages of one app.
#[derive(Debug, Default)]
pub(crate) struct Repeats(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_fingerprint: HashMap<Fingerprint, Arc<OnceCell<Outcome>>>,
    /// The same, oldest first.
    since: VecDeque<(Instant, Fingerprint)>,
}

impl Repeats {
    /// What becomes of this message, or has become of it: the first to come sends it, the others wait for that.
    pub(crate) fn of(&self, message: Fingerprint, now: Instant) -> Arc<OnceCell<Outcome>> {
        let mut known = self.0.lock();
        while let Some((since, oldest)) = known.since.front().copied()
            && (now.saturating_duration_since(since) >= KNOWN_FOR || known.since.len() >= MAX_KNOWN)
        {
            known.since.pop_front();
            known.by_fingerprint.remove(&oldest);
        }
        if let Some(first) = known.by_fingerprint.get(&message) {
            return first.clone();
        }
        let first = Arc::new(OnceCell::new());
        known.since.push_back((now, message));
        known.by_fingerprint.insert(message, first.clone());
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: u64) -> Fingerprint {
        Fingerprint::of(&[&number.to_le_bytes()])
    }

    #[test]
    fn a_message_is_the_same_one_for_five_minutes() {
        let repeats = Repeats::default();
        let start = Instant::now();

        let first = repeats.of(number(1), start);
        let again = repeats.of(number(1), start + KNOWN_FOR - Duration::from_millis(1));
        let later = repeats.of(number(1), start + KNOWN_FOR);

        assert!(Arc::ptr_eq(&first, &again));
        assert!(!Arc::ptr_eq(&first, &later));
    }

    #[test]
    fn of_too_many_the_oldest_is_forgotten() {
        let repeats = Repeats::default();
        let now = Instant::now();

        for name in 0..200_000 {
            repeats.of(number(name), now);
        }

        let known = repeats.0.lock();
        assert_eq!((known.by_fingerprint.len(), known.since.len()), (MAX_KNOWN, MAX_KNOWN));
        assert!(known.by_fingerprint.contains_key(&number(199_999)));
    }

    #[test]
    fn what_makes_a_message_is_told_apart_where_one_part_ends() {
        assert_ne!(Fingerprint::of(&[b"ab", b"c"]), Fingerprint::of(&[b"a", b"bc"]));
    }
}
