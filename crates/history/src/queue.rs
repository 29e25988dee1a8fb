//! What waits for the writer, within bounds: whoever notes something never waits.
//!
//! When more comes than the disk takes, samples are refused first, then events, and at last everything: what is left of a
//! bad hour is who was there.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::Row;

/// How much memory may be taken by what waits.
const MOST_BYTES: usize = 64 << 20;

#[derive(Debug, Default)]
struct State {
    rows: Vec<Row>,
    /// Of all that is not on disk, also of what is being written.
    bytes: usize,
    refused: u64,
    /// How many have come, and how many of them have been written.
    come: u64,
    written: u64,
    /// Somebody waits until so many are written.
    wanted: u64,
    is_closed: bool,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
}

impl Queue {
    /// Takes a row, unless there is no space for one of its kind.
    pub(crate) fn push(&self, row: Row) {
        let bytes = row.bytes();
        let mut state = self.state.lock();
        if state.is_closed || state.bytes + bytes > MOST_BYTES / 100 * row.share() {
            state.refused += 1;
            return;
        }
        state.bytes += bytes;
        state.come += 1;
        state.rows.push(row);
    }

    /// What has come, at `due` or when somebody wants it sooner. `None` when no more will.
    pub(crate) fn take(&self, due: Instant) -> Option<Vec<Row>> {
        let mut state = self.state.lock();
        while !state.is_closed && state.wanted <= state.written && Instant::now() < due {
            self.filled.wait_until(&mut state, due);
        }
        if state.is_closed && state.rows.is_empty() {
            return None;
        }
        Some(std::mem::take(&mut state.rows))
    }

    /// These are written.
    pub(crate) fn done(&self, rows: &[Row]) {
        let bytes: usize = rows.iter().map(Row::bytes).sum();
        let mut state = self.state.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
        state.written += u64::try_from(rows.len()).unwrap_or_default();
        self.emptied.notify_all();
    }

    /// These could not be written, and come again before all others.
    pub(crate) fn give_back(&self, mut rows: Vec<Row>) {
        let mut state = self.state.lock();
        rows.append(&mut state.rows);
        state.rows = rows;
        // Whoever waits for them is not served by trying again at once.
        state.wanted = state.wanted.min(state.written);
    }

    /// Waits until all that has come is written; `false` when that takes longer.
    pub(crate) fn flush(&self, most: Duration) -> bool {
        let until = Instant::now() + most;
        let mut state = self.state.lock();
        let all = state.come;
        while state.written < all {
            state.wanted = all;
            self.filled.notify_one();
            let next = until.min(Instant::now() + Duration::from_millis(100));
            self.emptied.wait_until(&mut state, next);
            if Instant::now() >= until {
                break;
            }
        }
        state.written >= all
    }

    /// Nothing more comes.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.filled.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    /// Bytes that wait, and how many rows have been refused.
    pub(crate) fn load(&self) -> (usize, u64) {
        let state = self.state.lock();
        (state.bytes, state.refused)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Event, Forget, Quality};

    fn event(n: u32) -> Row {
        let (call, stay, at, event, media, peer) = (1, 1, 1, 32768, 2, 0);
        Row::Event(Event { call, stay, at, n, event, media, peer, p1: -1, p2: -1 })
    }

    fn quality() -> Row {
        let packed = vec![0; 1 << 20];
        Row::Quality(Quality { call: 1, stay: 1, from: 1, peer: 0, media: 2, packed })
    }

    fn forget() -> Row {
        Row::Forget(Forget { app: 1, user: "u".repeat(1 << 20).into(), before: 1 })
    }

    fn refused(queue: &Queue) -> u64 {
        queue.load().1
    }

    #[test]
    fn samples_are_refused_first_then_events_then_everything() {
        let queue = Queue::default();
        (0..100).for_each(|_| queue.push(quality()));
        assert_eq!(refused(&queue), 69, "half of it is for samples");

        (0..400_000).for_each(|n| queue.push(event(n)));
        let events = refused(&queue) - 69;
        assert!(events > 280_000, "{events} events were refused");
        let before = refused(&queue);
        queue.push(quality());
        assert_eq!(refused(&queue), before + 1);

        (0..100).for_each(|_| queue.push(forget()));
        assert_eq!(refused(&queue), before + 1 + 88, "a fifth is for who was there");
        assert!(queue.load().0 <= MOST_BYTES);
    }

    #[test]
    fn what_could_not_be_written_comes_again_first_and_counts_all_the_while() {
        let queue = Queue::default();
        (0..3).for_each(|n| queue.push(event(n)));
        let taken = queue.take(Instant::now()).unwrap();
        queue.push(event(3));
        let bytes = queue.load().0;

        queue.give_back(taken);

        let again = queue.take(Instant::now()).unwrap();
        assert_eq!(again, (0..4).map(event).collect::<Vec<_>>());
        assert_eq!(queue.load().0, bytes);
        queue.done(&again);
        assert_eq!(queue.load().0, 0);
        queue.close();
        assert_eq!(queue.take(Instant::now()), None);
    }
}
