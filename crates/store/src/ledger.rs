//! How many events wait and how many are dead letters, by app and receiver, and which turn is the next: what an engine knows of its outbox
//! without looking. An app whose receiver is away keeps so many events and no more; nothing of one app's makes room for
//! another's.

use std::collections::HashMap;

use rooms::SdkAppId;

use crate::{Error, Lane};

/// How many events of an app may wait; what comes when there are so many goes to the dead letters. As many of those are
/// kept; the oldest make room.
const MOST: u64 = 100_000;

/// How many bytes they may have, of either kind: one app's are not to fill the disk.
const MOST_BYTES: u64 = 1 << 30;

/// The same of event callbacks of one group, which are worth nothing a minute later: what comes when there are so many is gone.
const MOST_CALLBACKS: u64 = 20_000;
const MOST_CALLBACK_BYTES: u64 = 8 << 20;

/// An app, and which of its receivers.
pub(crate) type Line = (SdkAppId, Lane);

/// What becomes of an event that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// It waits.
    Waits,
    /// Too many wait: it is a dead letter.
    Dead,
    /// Too many wait, and it is not worth keeping.
    Nowhere,
}

/// How many events may wait in a lane, and how many bytes they may have.
fn most(lane: Lane) -> (u64, u64) {
    if lane.keeps_dead_letters() { (MOST, MOST_BYTES) } else { (MOST_CALLBACKS, MOST_CALLBACK_BYTES) }
}

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

    /// Whether there is no room for `more` in a lane.
    fn is_full(&self, lane: Lane, more: u64) -> bool {
        let (events, bytes) = most(lane);
        self.events >= events || self.bytes + more > bytes
    }
}

/// What a lane of an app has in the table.
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
    counts: HashMap<Line, Counts>,
    newest: Vec<(SdkAppId, Lane, u64)>,
    next_turn: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { counts: HashMap::new(), newest: Vec::new(), next_turn: 1 }
    }
}

impl Ledger {
    /// There are so many of a kind, of which that is the newest turn, in the table that is being read.
    pub(crate) fn note(&mut self, line: Line, is_dead: bool, count: Count, newest: u64) {
        *self.counts(line).of(is_dead) = count;
        if !is_dead {
            self.newest.push((line.0, line.1, newest));
        }
        self.next_turn = self.next_turn.max(newest + 1);
    }

    /// The lanes of apps with waiting events, and the newest turn of each, as it was when the table was read.
    pub(crate) fn newest(&self) -> &[(SdkAppId, Lane, u64)] {
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

    fn counts(&mut self, line: Line) -> &mut Counts {
        self.counts.entry(line).or_default()
    }

    /// Whether an event of so many bytes would find no room.
    pub(crate) fn is_full(&self, line: Line, bytes: u64) -> bool {
        self.counts.get(&line).is_some_and(|counts| counts.waiting.is_full(line.1, bytes))
    }

    /// An event comes; returns where there is room for it.
    pub(crate) fn put(&mut self, line: Line, bytes: u64) -> Room {
        let counts = self.counts(line);
        let room = match counts.waiting.is_full(line.1, bytes) {
            false => Room::Waits,
            true if line.1.keeps_dead_letters() => Room::Dead,
            true => return Room::Nowhere,
        };
        counts.of(room == Room::Dead).add(bytes);
        room
    }

    /// An event goes.
    pub(crate) fn delete(&mut self, line: Line, is_dead: bool, bytes: u64) {
        self.counts(line).of(is_dead).take(bytes);
    }

    /// A waiting event becomes a dead letter.
    pub(crate) fn fail(&mut self, line: Line, bytes: u64) {
        let counts = self.counts(line);
        counts.waiting.take(bytes);
        counts.dead.add(bytes);
    }

    /// A dead letter waits again.
    ///
    /// # Errors
    /// When too many wait already.
    pub(crate) fn revive(&mut self, line: Line, bytes: u64) -> Result<(), Error> {
        let counts = self.counts(line);
        if counts.waiting.is_full(line.1, bytes) {
            let (app, waiting) = (line.0, counts.waiting.events);
            return Err(Error::Unfit(format!("{waiting} events of app {app} wait to be sent already")));
        }
        counts.waiting.add(bytes);
        counts.dead.take(bytes);
        Ok(())
    }

    /// Whether the oldest dead letter has to make room.
    pub(crate) fn has_too_many_dead(&mut self, line: Line) -> bool {
        let (dead, (events, bytes)) = (self.counts(line).dead, most(line.1));
        dead.events > events || dead.bytes > bytes
    }

    /// Whether any limit would have been reached with as many more events, of which `of` says what is whose, and as many of
    /// those that wait given up.
    pub(crate) fn may_be_full(&self, of: &HashMap<Line, Count>, given_up: u64) -> bool {
        let all = self.counts.keys().chain(of.keys());
        all.into_iter().any(|line| {
            let counts = self.counts.get(line).copied().unwrap_or_default();
            let more = of.get(line).copied().unwrap_or_default();
            let (most_events, most_bytes) = most(line.1);
            let (events, bytes) = (counts.waiting.events + more.events, counts.waiting.bytes + more.bytes);
            let is_near = more.events > 0 && (events > most_events || bytes > most_bytes);
            is_near
                || given_up > 0
                    && (counts.dead.events + given_up > most_events || counts.dead.bytes + bytes > most_bytes)
        })
    }
}
