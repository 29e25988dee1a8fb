//! The outbox of a PostgreSQL schema, read: the same table as SQLite's (`crate::outbox`), and the same order.

use std::sync::Arc;

use rooms::Time;
use tokio_postgres::Row;

use super::link::{Call, Link, Trouble};
use super::rows::{line, unsigned};
use crate::ledger::{Count, Ledger};
use crate::outbox::{PAGE, gather};
use crate::{Error, EventPage, EventsWanted, OutboxEvent, WaitingEvent};

/// How many dead letters are read at once.
const READ_AT_ONCE: i64 = 1000;

/// What the table has, counted.
pub(super) async fn ledger(link: &mut Link) -> Result<Ledger, Trouble> {
    let count = Call::new(
        "SELECT sdkappid, lane, failed, count(*), sum(bytes)::bigint, max(turn) FROM @.outbox
         GROUP BY sdkappid, lane, failed ORDER BY sdkappid, lane",
        [],
    );
    let mut ledger = Ledger::default();
    for row in link.call(&count).await? {
        let count = Count { events: unsigned(&row, 3)?, bytes: unsigned(&row, 4)? };
        ledger.note(line(&row, 0)?, row.try_get(2)?, count, unsigned(&row, 5)?);
    }
    Ok(ledger)
}

/// Reads events that wait, in the order of their turns.
pub(super) async fn page(link: &mut Link, wanted: &EventsWanted) -> Result<EventPage, Trouble> {
    let EventsWanted { sdkappid, lane, subject, after, most_bytes } = wanted;
    let lane = u32::from(lane.0);
    let read = match subject {
        Some(subject) => Call::new(
            "SELECT id, sdkappid, lane, subject, command, body, at, turn FROM @.outbox
             WHERE sdkappid = $1 AND lane = $5 AND NOT failed AND turn > $2 AND subject = $4 ORDER BY turn LIMIT $3",
            [sdkappid.0.into(), (*after).into(), PAGE.into(), subject.as_str().into(), lane.into()],
        ),
        None => Call::new(
            "SELECT id, sdkappid, lane, subject, command, body, at, turn FROM @.outbox
             WHERE sdkappid = $1 AND lane = $4 AND NOT failed AND turn > $2 ORDER BY turn LIMIT $3",
            [sdkappid.0.into(), (*after).into(), PAGE.into(), lane.into()],
        ),
    };
    gather(link.call(&read).await?.iter().map(waiting), *most_bytes)
}

/// The ids of the dead letters, oldest first.
pub(super) async fn dead_letters(link: &mut Link) -> Result<Vec<u64>, Trouble> {
    let rows = link.call(&Call::new("SELECT id FROM @.outbox WHERE failed", [])).await?;
    let mut ids = rows.iter().map(|row| unsigned(row, 0)).collect::<Result<Vec<_>, _>>()?;
    ids.sort_unstable();
    Ok(ids)
}

/// The dead letters, by the order of their ids, a few at a time: `each` is given them one by one.
pub(super) async fn for_each_dead_letter(
    link: &mut Link,
    mut each: impl FnMut(OutboxEvent),
) -> Result<(), Error> {
    let mut after = i64::MIN;
    loop {
        let read = Call::new(
            "SELECT id, sdkappid, 0::bigint, subject, command, body, at FROM @.outbox WHERE failed AND id > $1 ORDER BY id LIMIT $2",
            [after.into(), READ_AT_ONCE.into()],
        );
        let rows = link.call(&read).await.map_err(Trouble::error)?;
        for row in &rows {
            each(event(row).map_err(Trouble::error)?);
            after = row.try_get(0).map_err(|error| Trouble::from(error).error())?;
        }
        if (rows.len() as i64) < READ_AT_ONCE {
            return Ok(());
        }
    }
}

/// An event from the columns id, sdkappid, lane, subject, command, body, at, turn.
pub(super) fn waiting(row: &Row) -> Result<WaitingEvent, Trouble> {
    Ok(WaitingEvent { turn: unsigned(row, 7)?, event: Arc::new(event(row)?) })
}

fn event(row: &Row) -> Result<OutboxEvent, Trouble> {
    let (sdkappid, lane) = line(row, 1)?;
    Ok(OutboxEvent {
        id: unsigned(row, 0)?,
        sdkappid,
        lane,
        subject: row.try_get(3)?,
        command: row.try_get(4)?,
        body: row.try_get(5)?,
        at: Time::from_unix_millis(unsigned(row, 6)?),
    })
}
