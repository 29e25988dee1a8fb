//! The schema, by version: the tables of SQLite's (`crate::schema`) at the same number, and beside them those by which servers
//! know of each other. A step is never changed once released; a new one is added below it.

use super::claim::CLAIMED;
use super::link::{Link, Trouble};
use super::target::Target;
use crate::Error;
use crate::schema::VERSION;

/// The version that the first step makes. Earlier ones were SQLite's alone.
const FIRST: i64 = 4;

/// Step N brings a schema from version `FIRST - 1 + N` to the next; the first makes it. `@` stands for the schema.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE @.about (
        key text PRIMARY KEY,
        value text NOT NULL
    );
    INSERT INTO @.about VALUES ('product', 'roomful');
    CREATE TABLE @.nodes (
        generation bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id text NOT NULL,
        boot text NOT NULL,
        host text NOT NULL,
        beat bigint NOT NULL DEFAULT 0,
        over boolean NOT NULL DEFAULT false
    ) WITH (fillfactor = 50);
    CREATE TABLE @.claims (
        scope bigint PRIMARY KEY,
        owner bigint NOT NULL,
        epoch bigint NOT NULL
    ) WITH (fillfactor = 50);
    INSERT INTO @.claims VALUES (0, 0, 0);
    CREATE TABLE @.groups (
        generation bigint NOT NULL,
        number bigint NOT NULL,
        PRIMARY KEY (generation, number)
    ) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
    CREATE SEQUENCE @.scopes MINVALUE 0 START 0;
    CREATE TABLE @.apps (
        sdkappid bigint PRIMARY KEY,
        record json NOT NULL
    );
    CREATE TABLE @.accounts (
        sdkappid bigint NOT NULL,
        \"user\" text COLLATE \"C\" NOT NULL,
        record json NOT NULL,
        PRIMARY KEY (sdkappid, \"user\")
    );
    CREATE TABLE @.rooms (
        scope bigint PRIMARY KEY,
        sdkappid bigint NOT NULL,
        room_id text COLLATE \"C\" NOT NULL,
        record json NOT NULL,
        counters json NOT NULL DEFAULT '{}',
        UNIQUE (sdkappid, room_id)
    ) WITH (fillfactor = 70);
    CREATE TABLE @.records (
        scope bigint NOT NULL,
        kind text COLLATE \"C\" NOT NULL,
        name text COLLATE \"C\" NOT NULL,
        record json NOT NULL,
        PRIMARY KEY (scope, kind, name)
    );
    CREATE TABLE @.messages (
        scope bigint NOT NULL,
        seq bigint NOT NULL,
        record json NOT NULL,
        PRIMARY KEY (scope, seq)
    ) WITH (autovacuum_vacuum_scale_factor = 0.01);
    CREATE TABLE @.catalogues (
        sdkappid bigint NOT NULL,
        key text COLLATE \"C\" NOT NULL,
        record json NOT NULL,
        PRIMARY KEY (sdkappid, key)
    );
    CREATE TABLE @.battles (
        sdkappid bigint NOT NULL,
        id text COLLATE \"C\" NOT NULL,
        record json NOT NULL,
        PRIMARY KEY (sdkappid, id)
    );
    CREATE TABLE @.connections (
        sdkappid bigint NOT NULL,
        id bigint NOT NULL,
        record json NOT NULL,
        PRIMARY KEY (sdkappid, id)
    );
    CREATE TABLE @.sessions (
        id bigint PRIMARY KEY,
        record json NOT NULL
    ) WITH (autovacuum_vacuum_scale_factor = 0.01);
    CREATE TABLE @.presence (
        scope bigint NOT NULL,
        \"user\" text COLLATE \"C\" NOT NULL,
        session bigint NOT NULL,
        place bigint NOT NULL,
        seen bigint NOT NULL,
        PRIMARY KEY (scope, \"user\", session)
    ) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
    CREATE TABLE @.outbox (
        id bigint PRIMARY KEY,
        sdkappid bigint NOT NULL,
        subject text NOT NULL,
        command text NOT NULL,
        body text NOT NULL,
        at bigint NOT NULL,
        failed boolean NOT NULL DEFAULT false,
        turn bigint NOT NULL,
        bytes bigint NOT NULL
    ) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
    CREATE INDEX outbox_by_app ON @.outbox (sdkappid, failed, turn);
    CREATE INDEX outbox_by_subject ON @.outbox (sdkappid, subject, failed, turn);
    CREATE INDEX outbox_failed ON @.outbox (id) WHERE failed;
",
    "
    CREATE TABLE @.api_keys (
        secret_id text COLLATE \"C\" PRIMARY KEY,
        record json NOT NULL
    );
",
    "
    CREATE TABLE @.intents (
        sdkappid bigint NOT NULL,
        key text COLLATE \"C\" NOT NULL,
        record json NOT NULL,
        PRIMARY KEY (sdkappid, key)
    );
",
    "
    ALTER TABLE @.presence ADD COLUMN stay bigint NOT NULL DEFAULT 0;
",
    "
    ALTER TABLE @.outbox ADD COLUMN lane bigint NOT NULL DEFAULT 0;
    DROP INDEX @.outbox_by_app;
    CREATE INDEX outbox_by_app ON @.outbox (sdkappid, lane, failed, turn);
",
];

/// Servers that begin at once on the same database do so one after the other ("Room" in ASCII).
pub(super) const IN_TURN: &str = "SELECT pg_advisory_xact_lock(1383034733)";

/// What a schema is.
pub(super) enum Found {
    /// There is nothing in it, or no such schema.
    Nothing,
    /// It is ours.
    Ours {
        version: i64,
        /// Whether somebody brings records into it, or has begun to.
        is_being_filled: bool,
    },
}

/// Looks at the schema, and refuses what is not ours.
pub(super) async fn look(link: &Link, target: &Target) -> Result<Found, Error> {
    let schema = target.schema();
    let rights = |trouble: Trouble| rights(trouble, target);
    let found = link
        .plain(&format!(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = '{schema}' AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        ))
        .await
        .map_err(rights)?;
    if found.is_empty() {
        return Ok(Found::Nothing);
    }
    let foreign = || {
        Error::Unusable(format!(
            "the schema {schema:?} at {target} is another program's; name another with ?schema=NAME at the end of the \
             address, nothing was touched"
        ))
    };
    if !found.iter().any(|row| row.get(0) == Some("about")) {
        return Err(foreign());
    }
    let about = match link.plain("SELECT key, value FROM @.about").await {
        Ok(about) => about,
        Err(Trouble::Now(Error::Database(text))) if text.contains("42703") => return Err(foreign()),
        Err(trouble) => return Err(rights(trouble)),
    };
    let value = |key| about.iter().find(|row| row.get(0) == Some(key)).and_then(|row| row.get(1));
    if value("product") != Some("roomful") {
        return Err(foreign());
    }
    let version = value("version").and_then(|text| text.parse().ok()).unwrap_or(0);
    if version > VERSION {
        return Err(Error::Unusable(format!(
            "the schema {schema:?} at {target} was written by a newer Roomful (schema {version}, this one knows {VERSION}); \
             run that version"
        )));
    }
    if version < FIRST {
        return Err(Error::Unusable(format!(
            "the schema {schema:?} at {target} is of a version that never was ({version}); nothing was touched"
        )));
    }
    Ok(Found::Ours { version, is_being_filled: value("filling").is_some() })
}

/// Makes the tables where there is nothing; what is older is brought up to date by [`migrate`], once it is claimed.
pub(super) async fn make(link: &Link, target: &Target) -> Result<(), Error> {
    let schema = target.schema();
    let rights = |trouble: Trouble| rights(trouble, target);
    link.plain("BEGIN").await.map_err(rights)?;
    link.plain(IN_TURN).await.map_err(rights)?;
    if matches!(look(link, target).await?, Found::Nothing) {
        let there = format!("SELECT 1 FROM pg_namespace WHERE nspname = '{schema}'");
        if link.plain(&there).await.map_err(rights)?.is_empty() {
            link.plain("CREATE SCHEMA @").await.map_err(rights)?;
        }
        for sql in MIGRATIONS.iter().take(1) {
            link.plain(sql).await.map_err(rights)?;
        }
        link.plain(&format!("INSERT INTO @.about VALUES ('version', '{FIRST}')")).await.map_err(rights)?;
    }
    link.plain("COMMIT").await.map_err(rights)?;
    Ok(())
}

/// Brings a schema that generation `owner` has claimed from `version` to [`VERSION`], each step in a transaction of its own.
pub(super) async fn migrate(link: &Link, target: &Target, version: i64, owner: i64) -> Result<(), Error> {
    let rights = |trouble: Trouble| rights(trouble, target);
    let done = usize::try_from(version - FIRST + 1).unwrap_or(0);
    for (version, sql) in (version + 1..).zip(MIGRATIONS.iter().skip(done)) {
        link.plain("BEGIN").await.map_err(rights)?;
        if link.plain(&format!("{CLAIMED} AND owner = {owner} FOR UPDATE")).await.map_err(rights)?.is_empty()
        {
            return Err(Error::Superseded);
        }
        link.plain(sql).await.map_err(rights)?;
        let note = format!("UPDATE @.about SET value = '{version}' WHERE key = 'version'");
        link.plain(&note).await.map_err(rights)?;
        link.plain("COMMIT").await.map_err(rights)?;
    }
    Ok(())
}

/// Makes a schema ready to be filled: refuses it where there are records in it that nobody has begun to bring.
pub(super) async fn empty(link: &Link, target: &Target, is_being_filled: bool) -> Result<(), Error> {
    let tables = [
        "apps",
        "api_keys",
        "intents",
        "accounts",
        "rooms",
        "records",
        "messages",
        "catalogues",
        "battles",
        "connections",
        "sessions",
        "presence",
        "outbox",
    ];
    for table in tables {
        let there = link.plain(&format!("SELECT 1 FROM @.{table} LIMIT 1")).await.map_err(Trouble::error)?;
        if !there.is_empty() && !is_being_filled {
            return Err(Error::Unusable(format!(
                "there are records in the schema {} at {target} already; name another with ?schema=NAME, nothing was \
                 touched",
                target.quoted_schema()
            )));
        }
    }
    let all: Vec<String> = tables.iter().map(|table| format!("DELETE FROM @.{table};")).collect();
    let numbers = "SELECT setval('@.scopes', 0);";
    let note = "INSERT INTO @.about VALUES ('filling', 'yes') ON CONFLICT (key) DO NOTHING";
    link.plain(&format!("BEGIN; {} {numbers} {note}; COMMIT", all.join(" ")))
        .await
        .map_err(Trouble::error)?;
    Ok(())
}

/// What a refusal is to whoever starts a server: most often a right that is missing.
pub(super) fn rights(trouble: Trouble, target: &Target) -> Error {
    let schema = target.quoted_schema();
    match trouble.error() {
        Error::Database(text) if text.contains("42501") => Error::Unusable(format!(
            "the user may not use the schema {schema} at {target}: {text}; let an administrator say \
             CREATE SCHEMA {schema} AUTHORIZATION the_user, or, where it is there, GRANT ALL ON SCHEMA {schema} and on the \
             tables and sequences in it to the user"
        )),
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_same_for_both_engines() {
        assert_eq!(
            FIRST - 1 + MIGRATIONS.len() as i64,
            VERSION,
            "a step of one engine's is one of the other's too"
        );
    }
}
