//! What changes are to the tables, and the tables as a server begins with them.

use rooms::{CatalogueChange, RECENT_MESSAGES, SdkAppId, SessionId, UserId};
use rusqlite::{Connection, Row, Transaction, params};

use crate::outbox::{Outbox, Told};
use crate::rows::{json, record, records, room_id, rows, signed, unreadable, unsigned};
use crate::{Change, Error, Presence, Snapshot};

/// Applies a change; returns what has become of the event in it, when it is one.
pub(crate) fn apply(
    to: &Transaction<'_>,
    outbox: &mut Outbox,
    change: &Change,
) -> Result<Option<Told>, Error> {
    let done = match change {
        Change::PutApp(app) => to
            .prepare_cached("INSERT OR REPLACE INTO apps (sdkappid, record) VALUES (?, ?)")?
            .execute(params![app.sdkappid.0, json(app)?]),
        Change::PutAccount(app, account) => to
            .prepare_cached("INSERT OR REPLACE INTO accounts (sdkappid, user, record) VALUES (?, ?, ?)")?
            .execute(params![app.0, account.user.as_str(), json(account)?]),
        Change::DeleteAccount(app, user) => to
            .prepare_cached("DELETE FROM accounts WHERE sdkappid = ? AND user = ?")?
            .execute(params![app.0, user.as_str()]),
        Change::PutRoom(app, info) => to
            .prepare_cached(
                "INSERT INTO rooms (sdkappid, room_id, record) VALUES (?, ?, ?)
                 ON CONFLICT DO UPDATE SET record = excluded.record",
            )?
            .execute(params![app.0, info.room_id.as_str(), json(info)?]),
        Change::DeleteRoom(app, room_id) => {
            for table in ["presence", "messages", "records", "rooms"] {
                to.prepare_cached(&format!("DELETE FROM {table} WHERE sdkappid = ? AND room_id = ?"))?
                    .execute(params![app.0, room_id.as_str()])?;
            }
            Ok(0)
        }
        Change::PutRecord(app, room_id, record) => {
            let key = record.key();
            to.prepare_cached(
                "INSERT OR REPLACE INTO records (sdkappid, room_id, kind, name, record) VALUES (?, ?, ?, ?, ?)",
            )?
            .execute(params![app.0, room_id.as_str(), key.kind, key.name, json(record)?])
        }
        Change::DeleteRecord(app, room_id, key) => to
            .prepare_cached("DELETE FROM records WHERE sdkappid = ? AND room_id = ? AND kind = ? AND name = ?")?
            .execute(params![app.0, room_id.as_str(), key.kind, key.name]),
        Change::PutCounters(app, room_id, counters) => to
            .prepare_cached("UPDATE rooms SET counters = ? WHERE sdkappid = ? AND room_id = ?")?
            .execute(params![json(counters)?, app.0, room_id.as_str()]),
        Change::PutMessage(app, room_id, message) => {
            to.prepare_cached("INSERT OR REPLACE INTO messages (sdkappid, room_id, seq, record) VALUES (?, ?, ?, ?)")?
                .execute(params![app.0, room_id.as_str(), signed(message.seq), json(message)?])?;
            let last_forgotten = message.seq.saturating_sub(RECENT_MESSAGES as u64);
            to.prepare_cached("DELETE FROM messages WHERE sdkappid = ? AND room_id = ? AND seq <= ?")?
                .execute(params![app.0, room_id.as_str(), signed(last_forgotten)])
        }
        Change::Catalogue(app, CatalogueChange::Put(record)) => to
            .prepare_cached("INSERT OR REPLACE INTO catalogues (sdkappid, key, record) VALUES (?, ?, ?)")?
            .execute(params![app.0, record.key(), json(record)?]),
        Change::Catalogue(app, CatalogueChange::Delete(key)) => to
            .prepare_cached("DELETE FROM catalogues WHERE sdkappid = ? AND key = ?")?
            .execute(params![app.0, key]),
        Change::PutBattle(app, battle) => to
            .prepare_cached("INSERT OR REPLACE INTO battles (sdkappid, id, record) VALUES (?, ?, ?)")?
            .execute(params![app.0, battle.id, json(battle)?]),
        Change::DeleteBattle(app, id) => {
            to.prepare_cached("DELETE FROM battles WHERE sdkappid = ? AND id = ?")?.execute(params![app.0, id])
        }
        Change::PutConnection(app, connection) if connection.rooms.len() < 2 => to
            .prepare_cached("DELETE FROM connections WHERE sdkappid = ? AND id = ?")?
            .execute(params![app.0, signed(connection.id)]),
        Change::PutConnection(app, connection) => to
            .prepare_cached("INSERT OR REPLACE INTO connections (sdkappid, id, record) VALUES (?, ?, ?)")?
            .execute(params![app.0, signed(connection.id), json(connection)?]),
        Change::PutSession(session) => to
            .prepare_cached("INSERT OR REPLACE INTO sessions (id, record) VALUES (?, ?)")?
            .execute(params![signed(session.id.0), json(session)?]),
        Change::DeleteSession(id) => {
            to.prepare_cached("DELETE FROM presence WHERE session = ?")?.execute(params![signed(id.0)])?;
            to.prepare_cached("DELETE FROM sessions WHERE id = ?")?.execute(params![signed(id.0)])
        }
        Change::PutPresence(presence) => to
            .prepare_cached(
                "INSERT OR REPLACE INTO presence (sdkappid, room_id, user, session, place, seen) VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                presence.sdkappid.0,
                presence.room_id.as_str(),
                presence.user.as_str(),
                signed(presence.session.0),
                signed(presence.place),
                signed(presence.seen)
            ]),
        Change::DeletePresence(session, app, room_id) => to
            .prepare_cached("DELETE FROM presence WHERE session = ? AND sdkappid = ? AND room_id = ?")?
            .execute(params![signed(session.0), app.0, room_id.as_str()]),
        Change::DeleteMember(app, room_id, user) => to
            .prepare_cached("DELETE FROM presence WHERE sdkappid = ? AND room_id = ? AND user = ?")?
            .execute(params![app.0, room_id.as_str(), user.as_str()]),
        Change::PutEvent(event) => return outbox.put(to, event).map(Some),
        Change::DeleteEvent(id) => return outbox.delete(to, *id).map(|()| None),
        Change::FailEvent(id) => return outbox.fail(to, *id).map(|()| None),
        Change::ReviveEvent(id, at) => return outbox.revive(to, *id, *at),
    };
    done?;
    Ok(None)
}

/// All that is kept.
pub(crate) fn read(connection: &Connection, outbox: &Outbox) -> Result<Snapshot, Error> {
    let app = |row: &Row<'_>| row.get(0).map(SdkAppId);
    let last_event = connection.query_row("SELECT coalesce(max(id), 0) FROM outbox", [], |row| row.get(0))?;
    Ok(Snapshot {
        apps: records(connection, "SELECT record FROM apps ORDER BY sdkappid")?,
        accounts: rows(connection, "SELECT sdkappid, record FROM accounts", |row| {
            Ok((app(row)?, record(row, 1)?))
        })?,
        rooms: rows(connection, "SELECT sdkappid, record, counters FROM rooms", |row| {
            Ok((app(row)?, record(row, 1)?, record(row, 2)?))
        })?,
        records: rows(connection, "SELECT sdkappid, room_id, record FROM records", |row| {
            Ok((app(row)?, room_id(row, 1)?, record(row, 2)?))
        })?,
        messages: rows(connection, "SELECT sdkappid, room_id, record FROM messages ORDER BY seq", |row| {
            Ok((app(row)?, room_id(row, 1)?, record(row, 2)?))
        })?,
        catalogues: rows(connection, "SELECT sdkappid, record FROM catalogues", |row| {
            Ok((app(row)?, record(row, 1)?))
        })?,
        battles: rows(connection, "SELECT sdkappid, record FROM battles", |row| {
            Ok((app(row)?, record(row, 1)?))
        })?,
        connections: rows(connection, "SELECT sdkappid, record FROM connections", |row| {
            Ok((app(row)?, record(row, 1)?))
        })?,
        sessions: records(connection, "SELECT record FROM sessions")?,
        presence: rows(
            connection,
            "SELECT sdkappid, room_id, user, session, place, seen FROM presence",
            |row| {
                Ok(Presence {
                    sdkappid: app(row)?,
                    room_id: room_id(row, 1)?,
                    user: UserId::parse(&row.get::<_, String>(2)?).map_err(unreadable)?,
                    session: SessionId(unsigned(row.get(3)?)),
                    place: unsigned(row.get(4)?),
                    seen: unsigned(row.get(5)?),
                })
            },
        )?,
        waiting: outbox.newest().to_vec(),
        last_event: unsigned(last_event),
    })
}
