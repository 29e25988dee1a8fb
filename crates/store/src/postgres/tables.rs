//! What changes are to the tables, and the tables as a server begins with them.

use rooms::{CatalogueChange, RECENT_MESSAGES, SessionId, UserId};
use smallvec::{SmallVec, smallvec};

use super::link::{Call, Link, Step, Trouble};
use super::rows::{app, record, scope, unsigned};
use crate::ledger::{Ledger, Line};
use crate::parts::Living;
use crate::rows::{json, unreadable};
use crate::{Change, Error, OutboxEvent, Presence, Snapshot};

/// Makes rooms.
pub(super) const MAKE_ROOM: &str = "INSERT INTO @.rooms (scope, sdkappid, room_id, record)
     SELECT scope, sdkappid, room_id, record::json FROM unnest($1, $2, $3, $4) AS new (scope, sdkappid, room_id, record)";

/// What a change is: one statement, or a few.
pub(super) type Calls = SmallVec<[Call; 1]>;

/// The statements of a change that is none of an event's. Each is for many rows: those of a group that are the same go as one
/// (`group.rs`).
pub(super) fn calls(change: &Change) -> Result<Calls, Error> {
    use Step::{Change as Alter, Put, Strike};
    Ok(match change {
        Change::PutApp(app) => smallvec![Call::of_rows(
            Put,
            "INSERT INTO @.apps (sdkappid, record)
             SELECT sdkappid, record::json FROM unnest($1, $2) AS new (sdkappid, record)
             ON CONFLICT (sdkappid) DO UPDATE SET record = EXCLUDED.record",
            [app.sdkappid.0.into(), json(app)?.into()],
        )],
        Change::PutApiKey(key) => smallvec![Call::of_rows(
            Put,
            "INSERT INTO @.api_keys (secret_id, record)
             SELECT secret_id, record::json FROM unnest($1, $2) AS new (secret_id, record)
             ON CONFLICT (secret_id) DO UPDATE SET record = EXCLUDED.record",
            [key.secret_id.as_str().into(), json(key)?.into()],
        )],
        Change::DeleteApiKey(id) => {
            smallvec![Call::of_rows(Strike, "DELETE FROM @.api_keys WHERE secret_id = ANY($1)", [id.as_str().into()])]
        }
        Change::PutAccount(app, account) => smallvec![Call::of_rows(
            Put,
            "INSERT INTO @.accounts (sdkappid, \"user\", record)
             SELECT sdkappid, who, record::json FROM unnest($1, $2, $3) AS new (sdkappid, who, record)
             ON CONFLICT (sdkappid, \"user\") DO UPDATE SET record = EXCLUDED.record",
            [app.0.into(), account.user.as_str().into(), json(account)?.into()],
        )],
        Change::DeleteAccount(app, user) => smallvec![Call::of_rows(
            Strike,
            "DELETE FROM @.accounts USING unnest($1, $2) AS old (sdkappid, who)
             WHERE accounts.sdkappid = old.sdkappid AND \"user\" = who",
            [app.0.into(), user.as_str().into()],
        )],
        Change::CreateRoom(scope, info) => smallvec![
            Call::of_rows(
                Put,
                MAKE_ROOM,
                [scope.number.into(), scope.app.0.into(), info.room_id.as_str().into(), json(info)?.into()],
            ),
            // Not undone with the transaction: no number that was ever on its way is given out again.
            Call::of_rows(
                Put,
                "SELECT setval('@.scopes', greatest((SELECT max(number) FROM unnest($1) AS new (number)),
                     (SELECT last_value FROM @.scopes)))",
                [scope.number.into()],
            ),
        ],
        Change::PutRoom(scope, info) => smallvec![Call::of_rows(
            Alter,
            "UPDATE @.rooms SET record = new.record::json FROM unnest($1, $2) AS new (scope, record)
             WHERE rooms.scope = new.scope",
            [scope.number.into(), json(info)?.into()],
        )],
        Change::DeleteRoom(scope) => [
            "DELETE FROM @.presence WHERE scope = ANY($1)",
            "DELETE FROM @.messages WHERE scope = ANY($1)",
            "DELETE FROM @.records WHERE scope = ANY($1)",
            "DELETE FROM @.rooms WHERE scope = ANY($1)",
        ]
        .into_iter()
        .map(|sql| Call::of_rows(Strike, sql, [scope.number.into()]))
        .collect(),
        Change::PutRecord(scope, record) => {
            let key = record.key();
            smallvec![Call::of_rows(
                Put,
                "INSERT INTO @.records (scope, kind, name, record)
                 SELECT scope, kind, name, record::json
                 FROM unnest($1, $2, $3, $4) AS new (scope, kind, name, record)
                 ON CONFLICT (scope, kind, name) DO UPDATE SET record = EXCLUDED.record",
                [scope.number.into(), key.kind.into(), key.name.into(), json(record)?.into()],
            )]
        }
        Change::DeleteRecord(scope, key) => smallvec![Call::of_rows(
            Strike,
            "DELETE FROM @.records USING unnest($1, $2, $3) AS old (scope, kind, name)
             WHERE records.scope = old.scope AND records.kind = old.kind AND records.name = old.name",
            [scope.number.into(), key.kind.into(), key.name.as_str().into()],
        )],
        Change::PutCounters(scope, counters) => smallvec![Call::of_rows(
            Alter,
            "UPDATE @.rooms SET counters = new.counters::json FROM unnest($1, $2) AS new (scope, counters)
             WHERE rooms.scope = new.scope",
            [scope.number.into(), json(counters)?.into()],
        )],
        Change::PutMessage(scope, message) => {
            let last_forgotten = message.seq.saturating_sub(RECENT_MESSAGES as u64);
            smallvec![
                // Of those on disk: which of this group are left, what is superseded has said.
                Call::of_rows(
                    Strike,
                    "DELETE FROM @.messages USING (
                         SELECT scope, max(seq) AS seq FROM unnest($1, $2) AS old (scope, seq) GROUP BY scope) AS old
                     WHERE messages.scope = old.scope AND messages.seq <= old.seq",
                    [scope.number.into(), last_forgotten.into()],
                ),
                Call::of_rows(
                    Put,
                    "INSERT INTO @.messages (scope, seq, record)
                     SELECT scope, seq, record::json FROM unnest($1, $2, $3) AS new (scope, seq, record)
                     ON CONFLICT (scope, seq) DO UPDATE SET record = EXCLUDED.record",
                    [scope.number.into(), message.seq.into(), json(message)?.into()],
                ),
            ]
        }
        Change::Catalogue(app, CatalogueChange::Put(record)) => smallvec![Call::of_rows(
            Put,
            "INSERT INTO @.catalogues (sdkappid, key, record)
             SELECT sdkappid, key, record::json FROM unnest($1, $2, $3) AS new (sdkappid, key, record)
             ON CONFLICT (sdkappid, key) DO UPDATE SET record = EXCLUDED.record",
            [app.0.into(), record.key().to_string().into(), json(record)?.into()],
        )],
        Change::Catalogue(app, CatalogueChange::Delete(key)) => smallvec![Call::of_rows(
            Strike,
            "DELETE FROM @.catalogues USING unnest($1, $2) AS old (sdkappid, key)
             WHERE catalogues.sdkappid = old.sdkappid AND catalogues.key = old.key",
            [app.0.into(), key.to_string().into()],
        )],
        Change::PutBattle(app, battle) => smallvec![Call::of_rows(
            Put,
            "INSERT INTO @.battles (sdkappid, id, record)
             SELECT sdkappid, id, record::json FROM unnest($1, $2, $3) AS new (sdkappid, id, record)
             ON CONFLICT (sdkappid, id) DO UPDATE SET record = EXCLUDED.record",
            [app.0.into(), battle.id.as_str().into(), json(battle)?.into()],
        )],
        Change::DeleteBattle(app, id) => smallvec![Call::of_rows(
            Strike,
            "DELETE FROM @.battles USING unnest($1, $2) AS old (sdkappid, id)
             WHERE battles.sdkappid = old.sdkappid AND battles.id = old.id",
            [app.0.into(), id.as_str().into()],
        )],
        Change::PutConnection(app, connection) if connection.rooms.len() < 2 => smallvec![Call::of_rows(
            Strike,
            "DELETE FROM @.connections USING unnest($1, $2) AS old (sdkappid, id)
             WHERE connections.sdkappid = old.sdkappid AND connections.id = old.id",
            [app.0.into(), connection.id.into()],
        )],
        Change::PutConnection(app, connection) => smallvec![Call::of_rows(
            Put,
            "INSERT INTO @.connections (sdkappid, id, record)
             SELECT sdkappid, id, record::json FROM unnest($1, $2, $3) AS new (sdkappid, id, record)
             ON CONFLICT (sdkappid, id) DO UPDATE SET record = EXCLUDED.record",
            [app.0.into(), connection.id.into(), json(connection)?.into()],
        )],
        Change::AddSession(session) | Change::PutSession(session) => smallvec![Call::of_rows(
            Put,
            "INSERT INTO @.sessions (id, record) SELECT id, record::json FROM unnest($1, $2) AS new (id, record)
             ON CONFLICT (id) DO UPDATE SET record = EXCLUDED.record",
            [session.id.0.into(), json(session)?.into()],
        )],
        Change::DeleteSession(id) => {
            smallvec![Call::of_rows(Strike, "DELETE FROM @.sessions WHERE id = ANY($1)", [id.0.into()])]
        }
        Change::AddPresence(presence) | Change::PutPresence(presence) => smallvec![Call::of_rows(
            Put,
            "INSERT INTO @.presence (scope, \"user\", session, place, seen, stay)
             SELECT * FROM unnest($1, $2, $3, $4, $5, $6) AS new (scope, who, session, place, seen, stay)
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
        Change::DeletePresence(scope, user, session) => smallvec![Call::of_rows(
            Strike,
            "DELETE FROM @.presence USING unnest($1, $2, $3) AS old (scope, who, session)
             WHERE presence.scope = old.scope AND \"user\" = who AND presence.session = old.session",
            [scope.number.into(), user.as_str().into(), session.0.into()],
        )],
        Change::DeleteMember(scope, user) => smallvec![Call::of_rows(
            Strike,
            "DELETE FROM @.presence USING unnest($1, $2) AS old (scope, who)
             WHERE presence.scope = old.scope AND \"user\" = who",
            [scope.number.into(), user.as_str().into()],
        )],
        Change::PutIntent(app, intent) => smallvec![Call::of_rows(
            Put,
            "INSERT INTO @.intents (sdkappid, key, record)
             SELECT sdkappid, key, record::json FROM unnest($1, $2, $3) AS new (sdkappid, key, record)
             ON CONFLICT (sdkappid, key) DO UPDATE SET record = EXCLUDED.record",
            [app.0.into(), intent.key().into(), json(intent)?.into()],
        )],
        Change::DeleteIntent(app, intent) => smallvec![Call::of_rows(
            Strike,
            "DELETE FROM @.intents USING unnest($1, $2) AS old (sdkappid, key)
             WHERE intents.sdkappid = old.sdkappid AND intents.key = old.key",
            [app.0.into(), intent.key().into()],
        )],
        Change::PutEvent(_) | Change::DeleteEvent(_) | Change::FailEvent(_) | Change::ReviveEvent(..) => {
            Calls::new()
        }
    })
}

/// An event comes, with its turn.
pub(super) fn put_event(event: &OutboxEvent, turn: u64, is_dead: bool) -> Call {
    Call::of_rows(
        Step::Put,
        "INSERT INTO @.outbox (id, sdkappid, subject, command, body, at, failed, turn, bytes, lane)
         SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
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
    Call::of_rows(
        Step::Strike,
        "DELETE FROM @.outbox WHERE id = ANY($1) RETURNING sdkappid, lane, failed, bytes",
        [id.into()],
    )
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
