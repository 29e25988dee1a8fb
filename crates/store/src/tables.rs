//! What changes are to the tables, and the tables as a server begins with them.

use rooms::{CatalogueChange, RECENT_MESSAGES, SdkAppId, SessionId, UserId};
use rusqlite::{Connection, Row, Transaction, params};

use crate::outbox::Outbox;
use crate::parts::{Living, Told};
use crate::rows::{json, record, records, rows, signed, unreadable, unsigned};
use crate::{Change, Error, Presence, RoomScope, Snapshot};

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
        Change::PutApiKey(key) => to
            .prepare_cached("INSERT OR REPLACE INTO api_keys (secret_id, record) VALUES (?, ?)")?
            .execute(params![key.secret_id, json(key)?]),
        Change::DeleteApiKey(id) => {
            to.prepare_cached("DELETE FROM api_keys WHERE secret_id = ?")?.execute(params![id])
        }
        Change::PutAccount(app, account) => to
            .prepare_cached("INSERT OR REPLACE INTO accounts (sdkappid, user, record) VALUES (?, ?, ?)")?
            .execute(params![app.0, account.user.as_str(), json(account)?]),
        Change::DeleteAccount(app, user) => to
            .prepare_cached("DELETE FROM accounts WHERE sdkappid = ? AND user = ?")?
            .execute(params![app.0, user.as_str()]),
        Change::CreateRoom(scope, info) => to
            .prepare_cached("INSERT INTO rooms (scope, sdkappid, room_id, record) VALUES (?, ?, ?, ?)")?
            .execute(params![scope.number, scope.app.0, info.room_id.as_str(), json(info)?]),
        Change::PutRoom(scope, info) => to
            .prepare_cached("UPDATE rooms SET record = ? WHERE scope = ?")?
            .execute(params![json(info)?, scope.number]),
        Change::DeleteRoom(scope) => {
            for table in ["presence", "messages", "records", "rooms"] {
                to.prepare_cached(&format!("DELETE FROM {table} WHERE scope = ?"))?
                    .execute([scope.number])?;
            }
            Ok(0)
        }
        Change::PutRecord(scope, record) => {
            let key = record.key();
            to.prepare_cached(
                "INSERT OR REPLACE INTO records (scope, kind, name, record) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![scope.number, key.kind, key.name, json(record)?])
        }
        Change::DeleteRecord(scope, key) => to
            .prepare_cached("DELETE FROM records WHERE scope = ? AND kind = ? AND name = ?")?
            .execute(params![scope.number, key.kind, key.name]),
        Change::PutCounters(scope, counters) => to
            .prepare_cached("UPDATE rooms SET counters = ? WHERE scope = ?")?
            .execute(params![json(counters)?, scope.number]),
        Change::PutMessage(scope, message) => {
            to.prepare_cached("INSERT OR REPLACE INTO messages (scope, seq, record) VALUES (?, ?, ?)")?
                .execute(params![scope.number, signed(message.seq), json(message)?])?;
            let last_forgotten = message.seq.saturating_sub(RECENT_MESSAGES as u64);
            to.prepare_cached("DELETE FROM messages WHERE scope = ? AND seq <= ?")?
                .execute(params![scope.number, signed(last_forgotten)])
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
        Change::DeleteBattle(app, id) => to
            .prepare_cached("DELETE FROM battles WHERE sdkappid = ? AND id = ?")?
            .execute(params![app.0, id]),
        Change::PutConnection(app, connection) if connection.rooms.len() < 2 => to
            .prepare_cached("DELETE FROM connections WHERE sdkappid = ? AND id = ?")?
            .execute(params![app.0, signed(connection.id)]),
        Change::PutConnection(app, connection) => to
            .prepare_cached("INSERT OR REPLACE INTO connections (sdkappid, id, record) VALUES (?, ?, ?)")?
            .execute(params![app.0, signed(connection.id), json(connection)?]),
        Change::AddSession(session) | Change::PutSession(session) => to
            .prepare_cached("INSERT OR REPLACE INTO sessions (id, record) VALUES (?, ?)")?
            .execute(params![signed(session.id.0), json(session)?]),
        Change::DeleteSession(id) => {
            to.prepare_cached("DELETE FROM sessions WHERE id = ?")?.execute(params![signed(id.0)])
        }
        Change::AddPresence(presence) | Change::PutPresence(presence) => to
            .prepare_cached(
                "INSERT OR REPLACE INTO presence (scope, user, session, place, seen, stay)
                VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                presence.scope.number,
                presence.user.as_str(),
                signed(presence.session.0),
                signed(presence.place),
                signed(presence.seen),
                signed(presence.stay)
            ]),
        Change::DeletePresence(scope, user, session) => to
            .prepare_cached("DELETE FROM presence WHERE scope = ? AND user = ? AND session = ?")?
            .execute(params![scope.number, user.as_str(), signed(session.0)]),
        Change::DeleteMember(scope, user) => to
            .prepare_cached("DELETE FROM presence WHERE scope = ? AND user = ?")?
            .execute(params![scope.number, user.as_str()]),
        Change::PutIntent(app, intent) => to
            .prepare_cached("INSERT OR REPLACE INTO intents (sdkappid, key, record) VALUES (?, ?, ?)")?
            .execute(params![app.0, intent.key(), json(intent)?]),
        Change::DeleteIntent(app, intent) => to
            .prepare_cached("DELETE FROM intents WHERE sdkappid = ? AND key = ?")?
            .execute(params![app.0, intent.key()]),
        Change::PutEvent(event) => return outbox.put(to, event).map(Some),
        Change::DeleteEvent(id) => return outbox.delete(to, *id).map(|()| None),
        Change::FailEvent(id) => return outbox.fail(to, *id).map(|()| None),
        Change::ReviveEvent(id, at) => return outbox.revive(to, *id, *at),
    };
    done?;
    Ok(None)
}

/// The rooms there are.
pub(crate) fn living(connection: &Connection) -> Result<Living, Error> {
    Ok(rows(connection, "SELECT scope FROM rooms", |row| Ok(row.get(0)?))?.into_iter().collect())
}

/// The highest number that a room ever had.
pub(crate) fn last_scope(connection: &Connection) -> Result<i64, Error> {
    let sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'rooms'";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// All that is kept.
pub(crate) fn read(connection: &Connection, outbox: &Outbox) -> Result<Snapshot, Error> {
    let app = |row: &Row<'_>| row.get(0).map(SdkAppId);
    let scope = |row: &Row<'_>| Ok::<_, Error>(RoomScope { app: SdkAppId(row.get(0)?), number: row.get(1)? });
    let last_event = connection.query_row("SELECT coalesce(max(id), 0) FROM outbox", [], |row| row.get(0))?;
    Ok(Snapshot {
        apps: records(connection, "SELECT record FROM apps ORDER BY sdkappid")?,
        api_keys: records(connection, "SELECT record FROM api_keys ORDER BY secret_id")?,
        accounts: rows(connection, "SELECT sdkappid, record FROM accounts", |row| {
            Ok((app(row)?, record(row, 1)?))
        })?,
        rooms: rows(connection, "SELECT sdkappid, scope, record, counters FROM rooms", |row| {
            Ok((scope(row)?, record(row, 2)?, record(row, 3)?))
        })?,
        records: rows(
            connection,
            "SELECT rooms.sdkappid, scope, records.record FROM records JOIN rooms USING (scope)",
            |row| Ok((scope(row)?, record(row, 2)?)),
        )?,
        messages: rows(
            connection,
            "SELECT rooms.sdkappid, scope, messages.record FROM messages JOIN rooms USING (scope)
             ORDER BY scope, seq",
            |row| Ok((scope(row)?, record(row, 2)?)),
        )?,
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
            "SELECT rooms.sdkappid, scope, user, session, place, seen, stay
            FROM presence JOIN rooms USING (scope)",
            |row| {
                Ok(Presence {
                    scope: scope(row)?,
                    user: UserId::parse(&row.get::<_, String>(2)?).map_err(unreadable)?,
                    session: SessionId(unsigned(row.get(3)?)),
                    place: unsigned(row.get(4)?),
                    seen: unsigned(row.get(5)?),
                    stay: unsigned(row.get(6)?),
                })
            },
        )?,
        intents: rows(connection, "SELECT sdkappid, record FROM intents", |row| {
            Ok((app(row)?, record(row, 1)?))
        })?,
        waiting: outbox.ledger().newest().to_vec(),
        last_event: unsigned(last_event),
    })
}
