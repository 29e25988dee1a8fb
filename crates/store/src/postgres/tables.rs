//! What changes are to the tables, and the tables as a server begins with them.

use rooms::{CatalogueChange, RECENT_MESSAGES, SessionId, UserId};
use smallvec::{SmallVec, smallvec};

use super::link::{Call, Link, Trouble};
use super::rows::{app, record, scope, unsigned};
use crate::ledger::{Ledger, Line};
use crate::parts::Living;
use crate::rows::{json, unreadable};
use crate::{Change, Error, OutboxEvent, Presence, Snapshot};

/// What a change is: one statement, or a few.
pub(super) type Calls = SmallVec<[Call; 1]>;

/// The statements of a change that is none of an event's.
pub(super) fn calls(change: &Change) -> Result<Calls, Error> {
    Ok(match change {
        Change::PutApp(app) => smallvec![Call::new(
            "INSERT INTO @.apps (sdkappid, record) VALUES ($1, $2::text::json)
             ON CONFLICT (sdkappid) DO UPDATE SET record = EXCLUDED.record",
            [app.sdkappid.0.into(), json(app)?.into()],
        )],
        Change::PutApiKey(key) => smallvec![Call::new(
            "INSERT INTO @.api_keys (secret_id, record) VALUES ($1, $2::text::json)
             ON CONFLICT (secret_id) DO UPDATE SET record = EXCLUDED.record",
            [key.secret_id.as_str().into(), json(key)?.into()],
        )],
        Change::DeleteApiKey(id) => {
            smallvec![Call::new("DELETE FROM @.api_keys WHERE secret_id = $1", [id.as_str().into()])]
        }
        Change::PutAccount(app, account) => smallvec![Call::new(
            "INSERT INTO @.accounts (sdkappid, \"user\", record) VALUES ($1, $2, $3::text::json)
             ON CONFLICT (sdkappid, \"user\") DO UPDATE SET record = EXCLUDED.record",
            [app.0.into(), account.user.as_str().into(), json(account)?.into()],
        )],
        Change::DeleteAccount(app, user) => smallvec![Call::new(
            "DELETE FROM @.accounts WHERE sdkappid = $1 AND \"user\" = $2",
            [app.0.into(), user.as_str().into()],
        )],
        Change::CreateRoom(scope, info) => smallvec![
            Call::new(
                "INSERT INTO @.rooms (scope, sdkappid, room_id, record) VALUES ($1, $2, $3, $4::text::json)",
                [
                    scope.number.into(),
                    scope.app.0.into(),
                    info.room_id.as_str().into(),
                    json(info)?.into()
                ],
            ),
            // Not undone with the transaction: no number that was ever on its way is given out again.
            Call::new(
                "SELECT setval('@.scopes', greatest($1, (SELECT last_value FROM @.scopes)))",
                [scope.number.into()],
            ),
        ],
        Change::PutRoom(scope, info) => smallvec![Call::new(
            "UPDATE @.rooms SET record = $2::text::json WHERE scope = $1",
            [scope.number.into(), json(info)?.into()],
        )],
        Change::DeleteRoom(scope) => [
            "DELETE FROM @.presence WHERE scope = $1",
            "DELETE FROM @.messages WHERE scope = $1",
            "DELETE FROM @.records WHERE scope = $1",
            "DELETE FROM @.rooms WHERE scope = $1",
        ]
        .into_iter()
        .map(|sql| Call::new(sql, [scope.number.into()]))
        .collect(),
        Change::PutRecord(scope, record) => {
            let key = record.key();
            smallvec![Call::new(
                "INSERT INTO @.records (scope, kind, name, record) VALUES ($1, $2, $3, $4::text::json)
                 ON CONFLICT (scope, kind, name) DO UPDATE SET record = EXCLUDED.record",
                [scope.number.into(), key.kind.into(), key.name.into(), json(record)?.into()],
            )]
        }
        Change::DeleteRecord(scope, key) => smallvec![Call::new(
            "DELETE FROM @.records WHERE scope = $1 AND kind = $2 AND name = $3",
            [scope.number.into(), key.kind.into(), key.name.as_str().into()],
        )],
        Change::PutCounters(scope, counters) => smallvec![Call::new(
            "UPDATE @.rooms SET counters = $2::text::json WHERE scope = $1",
            [scope.number.into(), json(counters)?.into()],
        )],
        Change::PutMessage(scope, message) => {
            let last_forgotten = message.seq.saturating_sub(RECENT_MESSAGES as u64);
            smallvec![
                Call::new(
                    "INSERT INTO @.messages (scope, seq, record) VALUES ($1, $2, $3::text::json)
                     ON CONFLICT (scope, seq) DO UPDATE SET record = EXCLUDED.record",
                    [scope.number.into(), message.seq.into(), json(message)?.into()],
                ),
                Call::new(
                    "DELETE FROM @.messages WHERE scope = $1 AND seq <= $2",
                    [scope.number.into(), last_forgotten.into()],
                ),
            ]
        }
        Change::Catalogue(app, CatalogueChange::Put(record)) => smallvec![Call::new(
            "INSERT INTO @.catalogues (sdkappid, key, record) VALUES ($1, $2, $3::text::json)
             ON CONFLICT (sdkappid, key) DO UPDATE SET record = EXCLUDED.record",
            [app.0.into(), record.key().to_string().into(), json(record)?.into()],
        )],
        Change::Catalogue(app, CatalogueChange::Delete(key)) => smallvec![Call::new(
            "DELETE FROM @.catalogues WHERE sdkappid = $1 AND key = $2",
            [app.0.into(), key.to_string().into()],
        )],
        Change::PutBattle(app, battle) => smallvec![Call::new(
            "INSERT INTO @.battles (sdkappid, id, record) VALUES ($1, $2, $3::text::json)
             ON CONFLICT (sdkappid, id) DO UPDATE SET record = EXCLUDED.record",
            [app.0.into(), battle.id.as_str().into(), json(battle)?.into()],
        )],
        Change::DeleteBattle(app, id) => smallvec![Call::new(
            "DELETE FROM @.battles WHERE sdkappid = $1 AND id = $2",
            [app.0.into(), id.as_str().into()],
        )],
        Change::PutConnection(app, connection) if connection.rooms.len() < 2 => smallvec![Call::new(
            "DELETE FROM @.connections WHERE sdkappid = $1 AND id = $2",
            [app.0.into(), connection.id.into()],
        )],
        Change::PutConnection(app, connection) => smallvec![Call::new(
            "INSERT INTO @.connections (sdkappid, id, record) VALUES ($1, $2, $3::text::json)
             ON CONFLICT (sdkappid, id) DO UPDATE SET record = EXCLUDED.record",
            [app.0.into(), connection.id.into(), json(connection)?.into()],
        )],
        Change::AddSession(session) | Change::PutSession(session) => smallvec![Call::new(
            "INSERT INTO @.sessions (id, record) VALUES ($1, $2::text::json)
             ON CONFLICT (id) DO UPDATE SET record = EXCLUDED.record",
            [session.id.0.into(), json(session)?.into()],
        )],
        Change::DeleteSession(id) => {
            smallvec![Call::new("DELETE FROM @.sessions WHERE id = $1", [id.0.into()])]
        }
        Change::AddPresence(presence) | Change::PutPresence(presence) => smallvec![Call::new(
            "INSERT INTO @.presence (scope, \"user\", session, place, seen, stay) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (scope, \"user\", session)
             DO UPDATE SET place = EXCLUDED.place, seen = EXCLUDED.seen, stay = EXCLUDED.stay",
            [
                presence.scope.number.into(),
                presence.user.as_str().into(),
                presence.session.0.into(),
                presence.place.into(),
                presence.seen.into(),
                presence.stay.into(),
            ],
        )],
        Change::DeletePresence(scope, user, session) => smallvec![Call::new(
            "DELETE FROM @.presence WHERE scope = $1 AND \"user\" = $2 AND session = $3",
            [scope.number.into(), user.as_str().into(), session.0.into()],
        )],
        Change::DeleteMember(scope, user) => smallvec![Call::new(
            "DELETE FROM @.presence WHERE scope = $1 AND \"user\" = $2",
            [scope.number.into(), user.as_str().into()],
        )],
        Change::PutIntent(app, intent) => smallvec![Call::new(
            "INSERT INTO @.intents (sdkappid, key, record) VALUES ($1, $2, $3::text::json)
             ON CONFLICT (sdkappid, key) DO UPDATE SET record = EXCLUDED.record",
            [app.0.into(), intent.key().into(), json(intent)?.into()],
        )],
        Change::DeleteIntent(app, intent) => smallvec![Call::new(
            "DELETE FROM @.intents WHERE sdkappid = $1 AND key = $2",
            [app.0.into(), intent.key().into()],
        )],
        Change::PutEvent(_) | Change::DeleteEvent(_) | Change::FailEvent(_) | Change::ReviveEvent(..) => {
            Calls::new()
        }
    })
}

/// An event comes, with its turn.
pub(super) fn put_event(event: &OutboxEvent, turn: u64, is_dead: bool) -> Call {
    Call::new(
        "INSERT INTO @.outbox (id, sdkappid, subject, command, body, at, failed, turn, bytes, lane)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (id) DO UPDATE SET sdkappid = EXCLUDED.sdkappid, lane = EXCLUDED.lane, subject = EXCLUDED.subject,
             command = EXCLUDED.command, body = EXCLUDED.body, at = EXCLUDED.at, failed = EXCLUDED.failed,
             turn = EXCLUDED.turn, bytes = EXCLUDED.bytes",
        [
            event.id.into(),
            event.sdkappid.0.into(),
            event.subject.as_str().into(),
            event.command.as_str().into(),
            event.body.as_str().into(),
            event.at.unix_millis().into(),
            is_dead.into(),
            turn.into(),
            (event.bytes() as u64).into(),
            u32::from(event.lane.0).into(),
        ],
    )
}

/// An event goes: its app and lane, whether it was a dead letter, and its bytes are returned.
pub(super) fn delete_event(id: u64) -> Call {
    Call::new("DELETE FROM @.outbox WHERE id = $1 RETURNING sdkappid, lane, failed, bytes", [id.into()])
}

/// A waiting event becomes a dead letter: its app, lane and bytes are returned.
pub(super) fn fail_event(id: u64) -> Call {
    Call::new(
        "UPDATE @.outbox SET failed = true WHERE id = $1 AND NOT failed RETURNING sdkappid, lane, bytes",
        [id.into()],
    )
}

/// A dead letter waits again: it is returned.
pub(super) fn revive_event(id: u64, turn: u64, at: u64) -> Call {
    Call::new(
        "UPDATE @.outbox SET failed = false, turn = $2, at = $3 WHERE id = $1 AND failed
         RETURNING id, sdkappid, lane, subject, command, body, at, turn",
        [id.into(), turn.into(), at.into()],
    )
}

/// The oldest dead letter of a line makes room: its bytes are returned.
pub(super) fn bury((app, lane): Line) -> Call {
    Call::new(
        "DELETE FROM @.outbox WHERE id =
             (SELECT id FROM @.outbox WHERE sdkappid = $1 AND lane = $2 AND failed ORDER BY turn LIMIT 1) RETURNING bytes",
        [app.0.into(), u32::from(lane.0).into()],
    )
}

/// The rooms there are.
pub(super) async fn living(link: &mut Link) -> Result<Living, Trouble> {
    let rows = link.call(&Call::new("SELECT scope FROM @.rooms", [])).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// The highest number that a room ever had.
pub(super) async fn last_scope(link: &mut Link) -> Result<i64, Trouble> {
    let rows = link.call(&Call::new("SELECT last_value FROM @.scopes", [])).await?;
    Ok(rows.first().map_or(Ok(0), |row| row.try_get(0))?)
}

/// All apps.
pub(super) async fn apps(link: &mut Link) -> Result<Vec<crate::App>, Trouble> {
    all(link, "SELECT record::text FROM @.apps ORDER BY sdkappid", |row| record(row, 0)).await
}

/// All keys of the RTC API.
pub(super) async fn api_keys(link: &mut Link) -> Result<Vec<crate::ApiKey>, Trouble> {
    all(link, "SELECT record::text FROM @.api_keys ORDER BY secret_id", |row| record(row, 0)).await
}

/// All that is kept.
pub(super) async fn read(link: &mut Link, ledger: &Ledger) -> Result<Snapshot, Trouble> {
    let of_app = "SELECT sdkappid, record::text FROM @.accounts ORDER BY sdkappid, \"user\"";
    let last_event = link.call(&Call::new("SELECT coalesce(max(id), 0) FROM @.outbox", [])).await?;
    Ok(Snapshot {
        apps: apps(link).await?,
        api_keys: api_keys(link).await?,
        accounts: all(link, of_app, |row| Ok((app(row, 0)?, record(row, 1)?))).await?,
        rooms: all(
            link,
            "SELECT sdkappid, scope, record::text, counters::text FROM @.rooms ORDER BY scope",
            |row| Ok((scope(row)?, record(row, 2)?, record(row, 3)?)),
        )
        .await?,
        records: all(
            link,
            "SELECT sdkappid, scope, records.record::text FROM @.records JOIN @.rooms USING (scope)
             ORDER BY scope, kind, name",
            |row| Ok((scope(row)?, record(row, 2)?)),
        )
        .await?,
        messages: all(
            link,
            "SELECT sdkappid, scope, messages.record::text FROM @.messages JOIN @.rooms USING (scope)
             ORDER BY scope, seq",
            |row| Ok((scope(row)?, record(row, 2)?)),
        )
        .await?,
        catalogues: all(
            link,
            "SELECT sdkappid, record::text FROM @.catalogues ORDER BY sdkappid, key",
            |row| Ok((app(row, 0)?, record(row, 1)?)),
        )
        .await?,
        battles: all(link, "SELECT sdkappid, record::text FROM @.battles ORDER BY sdkappid, id", |row| {
            Ok((app(row, 0)?, record(row, 1)?))
        })
        .await?,
        connections: all(
            link,
            "SELECT sdkappid, record::text FROM @.connections ORDER BY sdkappid, id",
            |row| Ok((app(row, 0)?, record(row, 1)?)),
        )
        .await?,
        sessions: all(link, "SELECT record::text FROM @.sessions ORDER BY id", |row| record(row, 0)).await?,
        presence: all(
            link,
            "SELECT sdkappid, scope, \"user\", session, place, seen, stay FROM @.presence JOIN @.rooms USING (scope)
             ORDER BY scope, \"user\", session",
            |row| {
                Ok(Presence {
                    scope: scope(row)?,
                    user: UserId::parse(row.try_get(2)?).map_err(unreadable)?,
                    session: SessionId(unsigned(row, 3)?),
                    place: unsigned(row, 4)?,
                    seen: unsigned(row, 5)?,
                    stay: unsigned(row, 6)?,
                })
            },
        )
        .await?,
        intents: all(link, "SELECT sdkappid, record::text FROM @.intents ORDER BY sdkappid, key", |row| {
            Ok((app(row, 0)?, record(row, 1)?))
        })
        .await?,
        waiting: ledger.newest().to_vec(),
        last_event: last_event.first().map_or(Ok(0), |row| unsigned(row, 0))?,
    })
}

async fn all<T>(
    link: &mut Link,
    sql: &'static str,
    read: impl Fn(&tokio_postgres::Row) -> Result<T, Trouble>,
) -> Result<Vec<T>, Trouble> {
    link.call(&Call::new(sql, [])).await?.iter().map(read).collect()
}
