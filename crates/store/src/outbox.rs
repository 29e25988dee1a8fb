//! The outbox on disk: whose events wait, how many, and in which order.
//!
//! Each event gets a *turn* when it is written, so that events are read back in the order of the commits. Ids are given
//! before that, and may be committed in another order.

use std::sync::Arc;

use rooms::{SdkAppId, Time};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::ledger::{Count, Ledger, Line, Room};
use crate::parts::Told;
use crate::rows::{rows, signed, unsigned};
use crate::{Error, EventPage, EventsWanted, Lane, OutboxEvent, WaitingEvent};

/// How many events a page has at most.
pub(crate) const PAGE: u32 = 1000;

/// The table, and what is known of it without looking.
pub(crate) struct Outbox {
    ledger: Ledger,
}

impl Outbox {
    pub(crate) fn read(connection: &Connection) -> Result<Self, Error> {
        let sql = "SELECT sdkappid, lane, failed, count(*), sum(bytes), max(turn) FROM outbox
             GROUP BY sdkappid, lane, failed ORDER BY sdkappid, lane";
        let all = rows(connection, sql, |row| {
            let count = Count { events: unsigned(row.get(3)?), bytes: unsigned(row.get(4)?) };
            Ok((line(row, 0)?, row.get::<_, bool>(2)?, count, unsigned(row.get(5)?)))
        })?;
        let mut ledger = Ledger::default();
        for (line, is_dead, count, newest) in all {
            ledger.note(line, is_dead, count, newest);
        }
        Ok(Self { ledger })
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) fn set_next_turn(&mut self, turn: u64) {
        self.ledger.set_next_turn(turn);
    }

    pub(crate) fn put(&mut self, to: &Transaction<'_>, event: &Arc<OutboxEvent>) -> Result<Told, Error> {
        let (line, bytes) = (event.line(), event.bytes() as u64);
        let room = self.ledger.put(line, bytes);
        if room == Room::Nowhere {
            return Ok(Told::GivenUp(event.lane));
        }
        let (turn, is_dead) = (self.ledger.take_turn(), room == Room::Dead);
        // One that is there was written by a commit of which it was not known whether the disk had it.
        to.prepare_cached(
            "INSERT OR REPLACE INTO outbox (id, sdkappid, lane, subject, command, body, at, failed, turn, bytes)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            signed(event.id),
            event.sdkappid.0,
            event.lane.0,
            event.subject,
            event.command,
            event.body,
            signed(event.at.unix_millis()),
            is_dead,
            signed(turn),
            signed(bytes)
        ])?;
        if is_dead {
            self.bury(to, line)?;
            return Ok(Told::GivenUp(event.lane));
        }
        Ok(Told::Waits(WaitingEvent { turn, event: event.clone() }))
    }

    pub(crate) fn delete(&mut self, to: &Transaction<'_>, id: u64) -> Result<(), Error> {
        let found = to
            .prepare_cached("DELETE FROM outbox WHERE id = ? RETURNING sdkappid, lane, failed, bytes")?
            .query_row([signed(id)], |row| Ok((line(row, 0)?, row.get(2)?, unsigned(row.get(3)?))))
            .optional()?;
        if let Some((line, is_dead, bytes)) = found {
            self.ledger.delete(line, is_dead, bytes);
        }
        Ok(())
    }

    /// An event becomes a dead letter.
    pub(crate) fn fail(&mut self, to: &Transaction<'_>, id: u64) -> Result<(), Error> {
        let found = to
            .prepare_cached(
                "UPDATE outbox SET failed = 1 WHERE id = ? AND failed = 0 RETURNING sdkappid, lane, bytes",
            )?
            .query_row([signed(id)], |row| Ok((line(row, 0)?, unsigned(row.get(2)?))))
            .optional()?;
        let Some((line, bytes)) = found else { return Ok(()) };
        self.ledger.fail(line, bytes);
        self.bury(to, line)
    }

    /// A dead letter waits again.
    pub(crate) fn revive(&mut self, to: &Transaction<'_>, id: u64, at: Time) -> Result<Option<Told>, Error> {
        let turn = self.ledger.take_turn();
        let found = to
            .prepare_cached(
                "UPDATE outbox SET failed = 0, turn = ?, at = ? WHERE id = ? AND failed = 1
                 RETURNING id, sdkappid, lane, subject, command, body, at, turn",
            )?
            .query_row(params![signed(turn), signed(at.unix_millis()), signed(id)], |row| Ok(waiting(row)))
            .optional()?;
        let Some(event) = found.transpose()? else { return Ok(None) };
        self.ledger.revive(event.event.line(), event.event.bytes() as u64)?;
        Ok(Some(Told::Waits(event)))
    }

    /// Forgets the oldest dead letters of an app that has too many.
    fn bury(&mut self, to: &Transaction<'_>, line: Line) -> Result<(), Error> {
        while self.ledger.has_too_many_dead(line) {
            let oldest = to
                .prepare_cached(
                    "DELETE FROM outbox WHERE id =
                     (SELECT id FROM outbox WHERE sdkappid = ? AND lane = ? AND failed = 1 ORDER BY turn LIMIT 1)
                     RETURNING bytes",
                )?
                .query_row(params![line.0.0, line.1.0], |row| row.get(0).map(unsigned))
                .optional()?;
            let Some(bytes) = oldest else { return Ok(()) };
            self.ledger.delete(line, true, bytes);
        }
        Ok(())
    }
}

/// Reads events that wait, in the order of their turns.
pub(crate) fn page(connection: &Connection, wanted: &EventsWanted) -> Result<EventPage, Error> {
    let EventsWanted { sdkappid, lane, subject, after, most_bytes } = wanted;
    let condition = if subject.is_some() { "AND subject = ?5" } else { "" };
    let sql = format!(
        "SELECT id, sdkappid, lane, subject, command, body, at, turn FROM outbox
         WHERE sdkappid = ?1 AND lane = ?2 AND failed = 0 AND turn > ?3 {condition} ORDER BY turn LIMIT ?4"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let found = match subject {
        Some(subject) => statement.query(params![sdkappid.0, lane.0, signed(*after), PAGE, subject])?,
        None => statement.query(params![sdkappid.0, lane.0, signed(*after), PAGE])?,
    };
    gather(found.and_then(waiting), *most_bytes)
}

/// A page of the first of those that are found, up to so many bytes and the one that is beyond.
pub(crate) fn gather<E>(
    found: impl Iterator<Item = Result<WaitingEvent, E>>,
    most_bytes: usize,
) -> Result<EventPage, E> {
    let mut page = EventPage::default();
    let mut bytes = 0;
    for event in found {
        let event = event?;
        bytes += event.event.bytes();
        page.events.push(event);
        if bytes > most_bytes {
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
    Ok(WaitingEvent { turn: unsigned(row.get(7)?), event: Arc::new(event(row)?) })
}

/// Whose an event is, from the columns sdkappid and lane.
fn line(row: &Row<'_>, at: usize) -> rusqlite::Result<Line> {
    Ok((SdkAppId(row.get(at)?), Lane(row.get(at + 1)?)))
}

/// An event from the columns id, sdkappid, lane, subject, command, body, at.
pub(crate) fn event(row: &Row<'_>) -> Result<OutboxEvent, Error> {
    Ok(OutboxEvent {
        id: unsigned(row.get(0)?),
        sdkappid: SdkAppId(row.get(1)?),
        lane: Lane(row.get(2)?),
        subject: row.get(3)?,
        command: row.get(4)?,
        body: row.get(5)?,
        at: Time::from_unix_millis(unsigned(row.get(6)?)),
    })
}
