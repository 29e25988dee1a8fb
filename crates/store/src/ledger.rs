//! How many events wait and how many are dead letters, by app, and which turn is the next: what an engine knows of its outbox
//! without looking. An app whose receiver is away keeps so many events and no more; nothing of one app's makes room for
//! another's.

use std::collections::HashMap;

use rooms::SdkAppId;

use crate::Error;

/// How many events of an app may wait; what comes when there are so many goes to the dead letters. As many of those are
/// kept; the oldest make room.
const MOST: u64 = 100_000;

/// How many bytes they may have, of either kind: one app's are not to fill the disk.
const MOST_BYTES: u64 = 1 << 30;

/// How many events there are, and how long their texts.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Count {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

impl Count {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.events += 1;
        self.bytes += bytes;
    }

    fn take(&mut self, bytes: u64) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether there is no room for `more`.
    fn is_full(&self, more: u64) -> bool {
        self.events >= MOST || self.bytes + more > MOST_BYTES
    }
}

/// What an app has in the table.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    waiting: Count,
    dead: Count,
}

impl Counts {
    fn of(&mut self, is_dead: bool) -> &mut Count {
        if is_dead { &mut self.dead } else { &mut self.waiting }
    }
}

/// The counts. Made anew after a failure, for they also count what was rolled back.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    counts: HashMap<SdkAppId, Counts>,
    newest: Vec<(SdkAppId, u64)>,
    next_turn: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { counts: HashMap::new(), newest: Vec::new(), next_turn: 1 }
    }
}

impl Ledger {
    /// An app has so many of a kind, of which that is the newest turn, in the table that is being read.
    pub(crate) fn note(&mut self, app: SdkAppId, is_dead: bool, count: Count, newest: u64) {
        *self.counts(app).of(is_dead) = count;
        if !is_dead {
            self.newest.push((app, newest));
        }
        self.next_turn = self.next_turn.max(newest + 1);
    }

    /// The apps with waiting events, and the newest turn of each, as it was when the table was read.
    pub(crate) fn newest(&self) -> &[(SdkAppId, u64)] {
        &self.newest
    }

    /// How many events wait, of all apps.
    pub(crate) fn waiting(&self) -> u64 {
        self.counts.values().map(|counts| counts.waiting.events).sum()
    }

    pub(crate) fn next_turn(&self) -> u64 {
        self.next_turn
    }

    pub(crate) fn set_next_turn(&mut self, turn: u64) {
        self.next_turn = turn;
    }

    pub(crate) fn take_turn(&mut self) -> u64 {
        self.next_turn += 1;
        self.next_turn - 1
    }

    fn counts(&mut self, app: SdkAppId) -> &mut Counts {
        self.counts.entry(app).or_default()
    }

    /// Whether an event of so many bytes would be a dead letter from the beginning.
    pub(crate) fn is_full(&self, app: SdkAppId, bytes: u64) -> bool {
        self.counts.get(&app).is_some_and(|counts| counts.waiting.is_full(bytes))
    }

    /// An event comes; returns whether it is a dead letter from the beginning, since too many wait.
    pub(crate) fn put(&mut self, app: SdkAppId, bytes: u64) -> bool {
        let counts = self.counts(app);
        let is_dead = counts.waiting.is_full(bytes);
        counts.of(is_dead).add(bytes);
        is_dead
    }

    /// An event goes.
    pub(crate) fn delete(&mut self, app: SdkAppId, is_dead: bool, bytes: u64) {
        self.counts(app).of(is_dead).take(bytes);
    }

    /// A waiting event becomes a dead letter.
    pub(crate) fn fail(&mut self, app: SdkAppId, bytes: u64) {
        let counts = self.counts(app);
        counts.waiting.take(bytes);
        counts.dead.add(bytes);
    }

    /// A dead letter waits again.
    ///
    /// # Errors
    /// When too many wait already.
    pub(crate) fn revive(&mut self, app: SdkAppId, bytes: u64) -> Result<(), Error> {
        let counts = self.counts(app);
        if counts.waiting.is_full(bytes) {
            let waiting = counts.waiting.events;
            return Err(Error::Unfit(format!("{waiting} events of app {app} wait to be sent already")));
        }
        counts.waiting.add(bytes);
        counts.dead.take(bytes);
        Ok(())
    }

    /// Whether the oldest dead letter of an app has to make room.
    pub(crate) fn has_too_many_dead(&mut self, app: SdkAppId) -> bool {
        let dead = self.counts(app).dead;
        dead.events > MOST || dead.bytes > MOST_BYTES
    }

    /// Whether any app would have reached a limit with as many more events, of which `of` says what is whose, and as many of
    /// those that wait given up.
    pub(crate) fn may_be_full(&self, of: &HashMap<SdkAppId, Count>, given_up: u64) -> bool {
        let all = self.counts.keys().chain(of.keys());
        all.into_iter().any(|app| {
            let counts = self.counts.get(app).copied().unwrap_or_default();
            let more = of.get(app).copied().unwrap_or_default();
            let (events, bytes) = (counts.waiting.events + more.events, counts.waiting.bytes + more.bytes);
            let is_near = more.events > 0 && (events > MOST || bytes > MOST_BYTES);
            is_near
                || given_up > 0
                    && (counts.dead.events + given_up > MOST || counts.dead.bytes + bytes > MOST_BYTES)
        })
    }
}
