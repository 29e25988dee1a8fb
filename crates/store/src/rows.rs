//! Rows as values, and values as what a row holds.

use rusqlite::{Connection, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

pub(crate) fn records<T: DeserializeOwned>(connection: &Connection, sql: &str) -> Result<Vec<T>, Error> {
    rows(connection, sql, |row| record(row, 0))
}

pub(crate) fn rows<T>(
    connection: &Connection,
    sql: &str,
    read: impl Fn(&Row<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

pub(crate) fn record<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T, Error> {
    serde_json::from_str(&row.get::<_, String>(column)?).map_err(unreadable)
}

pub(crate) fn json<T: Serialize>(record: &T) -> Result<String, Error> {
    serde_json::to_string(record).map_err(|error| Error::Other(error.to_string()))
}

pub(crate) fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::Other(format!("a record cannot be read: {error}"))
}

/// SQLite's integers are signed; the bits are kept.
pub(crate) fn signed(value: u64) -> i64 {
    value.cast_signed()
}

pub(crate) fn unsigned(value: i64) -> u64 {
    value.cast_unsigned()
}
