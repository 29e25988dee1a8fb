//! The outbox on disk: whose events wait, how many, and in which order.
//!
//! Each event gets a *turn* when it is written, so that events are read back in the order of the commits. Ids are given
//! before that, and may be committed in another order. An app whose receiver is away keeps so many events and no more;
//! nothing of one app's makes room for another's.

use std::collections::HashMap;
use std::sync::Arc;

use rooms::{SdkAppId, Time};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::rows::{rows, signed, unsigned};
use crate::{Error, EventPage, EventsWanted, OutboxEvent, WaitingEvent};

/// How many events of an app may wait; what comes when there are so many goes to the dead letters. As many of those are
/// kept; the oldest make room.
const MOST: u64 = 100_000;

/// How many bytes they may have, of either kind: one app's are not to fill the disk.
const MOST_BYTES: u64 = 1 << 30;

/// How many events a page has at most.
const PAGE: u32 = 1000;

/// What has become of an event.
pub(crate) enum Told {
    /// It waits to be sent.
    Waits(WaitingEvent),
    /// Too many wait: it is a dead letter.
    GivenUp,
}

/// How many events there are, and how long their texts.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    events: u64,
    bytes: u64,
}

impl Count {
    fn add(&mut self, bytes: u64) {
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

/// What is known of the table without looking. Made anew after a failure, for it also counts what was rolled back.
pub(crate) struct Outbox {
    counts: HashMap<SdkAppId, Counts>,
    newest: Vec<(SdkAppId, u64)>,
    next_turn: u64,
}

impl Outbox {
    pub(crate) fn read(connection: &Connection) -> Result<Self, Error> {
        let sql =
            "SELECT sdkappid, failed, count(*), sum(bytes), max(turn) FROM outbox GROUP BY sdkappid, failed";
        let all = rows(connection, sql, |row| {
            let count = Count { events: unsigned(row.get(2)?), bytes: unsigned(row.get(3)?) };
            Ok((SdkAppId(row.get(0)?), row.get::<_, bool>(1)?, count, unsigned(row.get(4)?)))
        })?;
        let mut outbox = Self { counts: HashMap::new(), newest: Vec::new(), next_turn: 1 };
        for (app, is_dead, count, newest) in all {
            *outbox.counts(app).of(is_dead) = count;
            if !is_dead {
                outbox.newest.push((app, newest));
            }
            outbox.next_turn = outbox.next_turn.max(newest + 1);
        }
        Ok(outbox)
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

    fn take_turn(&mut self) -> u64 {
        self.next_turn += 1;
        self.next_turn - 1
    }

    fn counts(&mut self, app: SdkAppId) -> &mut Counts {
        self.counts.entry(app).or_default()
    }

    pub(crate) fn put(&mut self, to: &Transaction<'_>, event: &Arc<OutboxEvent>) -> Result<Told, Error> {
        let (turn, bytes) = (self.take_turn(), event.bytes() as u64);
        let counts = self.counts(event.sdkappid);
        let is_dead = counts.waiting.is_full(bytes);
        counts.of(is_dead).add(bytes);
        // One that is there was written by a commit of which it was not known whether the disk had it.
        to.prepare_cached(
            "INSERT OR REPLACE INTO outbox (id, sdkappid, subject, command, body, at, failed, turn, bytes)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            signed(event.id),
            event.sdkappid.0,
            event.subject,
            event.command,
            event.body,
            signed(event.at.unix_millis()),
            is_dead,
            signed(turn),
            signed(bytes)
        ])?;
        if is_dead {
            self.bury(to, event.sdkappid)?;
            return Ok(Told::GivenUp);
        }
        Ok(Told::Waits(WaitingEvent { turn, event: event.clone() }))
    }

    pub(crate) fn delete(&mut self, to: &Transaction<'_>, id: u64) -> Result<(), Error> {
        let found = to
            .prepare_cached("DELETE FROM outbox WHERE id = ? RETURNING sdkappid, failed, bytes")?
            .query_row([signed(id)], |row| Ok((SdkAppId(row.get(0)?), row.get(1)?, unsigned(row.get(2)?))))
            .optional()?;
        if let Some((app, is_dead, bytes)) = found {
            self.counts(app).of(is_dead).take(bytes);
        }
        Ok(())
    }

    /// An event becomes a dead letter.
    pub(crate) fn fail(&mut self, to: &Transaction<'_>, id: u64) -> Result<(), Error> {
        let found = to
            .prepare_cached(
                "UPDATE outbox SET failed = 1 WHERE id = ? AND failed = 0 RETURNING sdkappid, bytes",
            )?
            .query_row([signed(id)], |row| Ok((SdkAppId(row.get(0)?), unsigned(row.get(1)?))))
            .optional()?;
        let Some((app, bytes)) = found else { return Ok(()) };
        let counts = self.counts(app);
        counts.waiting.take(bytes);
        counts.dead.add(bytes);
        self.bury(to, app)
    }

    /// A dead letter waits again.
    pub(crate) fn revive(&mut self, to: &Transaction<'_>, id: u64, at: Time) -> Result<Option<Told>, Error> {
        let turn = self.take_turn();
        let found = to
            .prepare_cached(
                "UPDATE outbox SET failed = 0, turn = ?, at = ? WHERE id = ? AND failed = 1
                 RETURNING id, sdkappid, subject, command, body, at, turn",
            )?
            .query_row(params![signed(turn), signed(at.unix_millis()), signed(id)], |row| Ok(waiting(row)))
            .optional()?;
        let Some(event) = found.transpose()? else { return Ok(None) };
        let (app, bytes) = (event.event.sdkappid, event.event.bytes() as u64);
        let counts = self.counts(app);
        if counts.waiting.is_full(bytes) {
            let waiting = counts.waiting.events;
            return Err(Error::Unfit(format!("{waiting} events of app {app} wait to be sent already")));
        }
        counts.waiting.add(bytes);
        counts.dead.take(bytes);
        Ok(Some(Told::Waits(event)))
    }

    /// Forgets the oldest dead letters of an app that has too many.
    fn bury(&mut self, to: &Transaction<'_>, app: SdkAppId) -> Result<(), Error> {
        let dead = &mut self.counts(app).dead;
        while dead.events > MOST || dead.bytes > MOST_BYTES {
            let oldest = to
                .prepare_cached(
                    "DELETE FROM outbox WHERE id =
                     (SELECT id FROM outbox WHERE sdkappid = ? AND failed = 1 ORDER BY turn LIMIT 1) RETURNING bytes",
                )?
                .query_row([app.0], |row| row.get(0).map(unsigned))
                .optional()?;
            let Some(bytes) = oldest else { return Ok(()) };
            dead.take(bytes);
        }
        Ok(())
    }
}

/// Reads events that wait, in the order of their turns.
pub(crate) fn page(connection: &Connection, wanted: &EventsWanted) -> Result<EventPage, Error> {
    let EventsWanted { sdkappid, subject, after, most_bytes } = wanted;
    let condition = if subject.is_some() { "AND subject = ?4" } else { "" };
    let sql = format!(
        "SELECT id, sdkappid, subject, command, body, at, turn FROM outbox
         WHERE sdkappid = ?1 AND failed = 0 AND turn > ?2 {condition} ORDER BY turn LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = match subject {
        Some(subject) => statement.query(params![sdkappid.0, signed(*after), PAGE, subject])?,
        None => statement.query(params![sdkappid.0, signed(*after), PAGE])?,
    };
    let mut page = EventPage::default();
    let mut bytes = 0;
    while let Some(row) = found.next()? {
        let event = waiting(row)?;
        bytes += event.event.bytes();
        page.events.push(event);
        if bytes > *most_bytes {
            return Ok(page);
        }
    }
    page.is_last = page.events.len() < PAGE as usize;
    Ok(page)
}

/// The ids of the dead letters, oldest first.
pub(crate) fn dead_letters(connection: &Connection) -> Result<Vec<u64>, Error> {
    rows(connection, "SELECT id FROM outbox WHERE failed = 1 ORDER BY id", |row| Ok(unsigned(row.get(0)?)))
}

fn waiting(row: &Row<'_>) -> Result<WaitingEvent, Error> {
    Ok(WaitingEvent { turn: unsigned(row.get(6)?), event: Arc::new(event(row)?) })
}

/// An event from the columns id, sdkappid, subject, command, body, at.
pub(crate) fn event(row: &Row<'_>) -> Result<OutboxEvent, Error> {
    Ok(OutboxEvent {
        id: unsigned(row.get(0)?),
        sdkappid: SdkAppId(row.get(1)?),
        subject: row.get(2)?,
        command: row.get(3)?,
        body: row.get(4)?,
        at: Time::from_unix_millis(unsigned(row.get(5)?)),
    })
}
