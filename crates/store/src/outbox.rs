//! The outbox on disk: whose events wait, how many, and in which order.
//!
//! Each event gets a *turn* when it is written, so that events are read back in the order of the commits. Ids are given
//! before that, and may be committed in another order. An app whose receiver is away keeps so many events and no more;
//! nothing of one app's makes room for another's.

use std::collections::HashMap;
use std::sync::Arc;

use rooms::{SdkAppId, Time};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::sqlite::{rows, signed, unsigned};
use crate::{Error, EventPage, EventsWanted, OutboxEvent, WaitingEvent};

/// How many events of an app may wait; what comes when there are so many goes to the dead letters.
const MOST_WAITING: u64 = 100_000;

/// How many dead letters of an app are kept; the oldest make room.
const MOST_DEAD: u64 = 100_000;

/// How many events a page has at most.
const PAGE: u32 = 1000;

/// What has become of an event.
pub(crate) enum Told {
    /// It waits to be sent.
    Waits(WaitingEvent),
    /// Too many wait: it is a dead letter.
    GivenUp,
}

/// How many events an app has in the table.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    waiting: u64,
    dead: u64,
}

/// What is known of the table without looking. Made anew after a failure, for it also counts what was rolled back.
pub(crate) struct Outbox {
    counts: HashMap<SdkAppId, Count>,
    newest: Vec<(SdkAppId, u64)>,
    next_turn: u64,
}

impl Outbox {
    pub(crate) fn read(connection: &Connection) -> Result<Self, Error> {
        let all = rows(
            connection,
            "SELECT sdkappid, failed, count(*), max(turn) FROM outbox GROUP BY sdkappid, failed",
            |row| {
                Ok((
                    SdkAppId(row.get(0)?),
                    row.get::<_, bool>(1)?,
                    unsigned(row.get(2)?),
                    unsigned(row.get(3)?),
                ))
            },
        )?;
        let mut outbox = Self { counts: HashMap::new(), newest: Vec::new(), next_turn: 1 };
        for (app, is_dead, count, newest) in all {
            let counts = outbox.counts.entry(app).or_default();
            if is_dead {
                counts.dead = count;
            } else {
                counts.waiting = count;
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
        self.counts.values().map(|count| count.waiting).sum()
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

    fn count(&mut self, app: SdkAppId) -> &mut Count {
        self.counts.entry(app).or_default()
    }

    pub(crate) fn put(&mut self, to: &Transaction<'_>, event: &Arc<OutboxEvent>) -> Result<Told, Error> {
        let turn = self.take_turn();
        let count = self.count(event.sdkappid);
        let is_dead = count.waiting >= MOST_WAITING;
        if is_dead {
            count.dead += 1;
        } else {
            count.waiting += 1;
        }
        // One that is there was written by a commit of which the disk said that it had failed.
        to.prepare_cached(
            "INSERT OR REPLACE INTO outbox (id, sdkappid, subject, command, body, at, failed, turn)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            signed(event.id),
            event.sdkappid.0,
            event.subject,
            event.command,
            event.body,
            signed(event.at.unix_millis()),
            is_dead,
            signed(turn)
        ])?;
        if is_dead {
            self.bury(to, event.sdkappid)?;
            return Ok(Told::GivenUp);
        }
        Ok(Told::Waits(WaitingEvent { turn, event: event.clone() }))
    }

    pub(crate) fn delete(&mut self, to: &Transaction<'_>, id: u64) -> Result<(), Error> {
        let found = to
            .prepare_cached("DELETE FROM outbox WHERE id = ? RETURNING sdkappid, failed")?
            .query_row([signed(id)], |row| Ok((SdkAppId(row.get(0)?), row.get(1)?)))
            .optional()?;
        if let Some((app, is_dead)) = found {
            let Count { waiting, dead } = self.count(app);
            let count = if is_dead { dead } else { waiting };
            *count = count.saturating_sub(1);
        }
        Ok(())
    }

    /// An event becomes a dead letter.
    pub(crate) fn fail(&mut self, to: &Transaction<'_>, id: u64) -> Result<(), Error> {
        let found = to
            .prepare_cached("UPDATE outbox SET failed = 1 WHERE id = ? AND failed = 0 RETURNING sdkappid")?
            .query_row([signed(id)], |row| row.get(0).map(SdkAppId))
            .optional()?;
        let Some(app) = found else { return Ok(()) };
        let count = self.count(app);
        count.waiting = count.waiting.saturating_sub(1);
        count.dead += 1;
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
        let app = event.event.sdkappid;
        let count = self.count(app);
        if count.waiting >= MOST_WAITING {
            return Err(Error::Unfit(format!("{MOST_WAITING} events of app {app} wait to be sent already")));
        }
        count.waiting += 1;
        count.dead = count.dead.saturating_sub(1);
        Ok(Some(Told::Waits(event)))
    }

    /// Forgets the oldest dead letters of an app that has too many.
    fn bury(&mut self, to: &Transaction<'_>, app: SdkAppId) -> Result<(), Error> {
        let too_many = self.count(app).dead.saturating_sub(MOST_DEAD);
        if too_many > 0 {
            to.prepare_cached(
                "DELETE FROM outbox WHERE id IN
                 (SELECT id FROM outbox WHERE sdkappid = ? AND failed = 1 ORDER BY turn LIMIT ?)",
            )?
            .execute(params![app.0, signed(too_many)])?;
            self.count(app).dead -= too_many;
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
