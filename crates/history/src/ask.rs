//! A question about one day, in the same words for either engine.
//!
//! `@` stands before the name of a table, and `?1` for the first value. SQLite has a file a day, PostgreSQL a partition of each table.

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, params_from_iter};
use tokio_postgres::types::Type;

use crate::Error;
use crate::postgres::Partitions;

/// What a question is given.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Int(i64),
    Text(&'a str),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u32> for Value<'_> {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(value)
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Int(value) => value.to_sql(),
            Self::Text(text) => text.to_sql(),
        }
    }
}

/// The places of so many values, from that one on, as they stand in a list.
pub(crate) fn places(first: usize, count: usize) -> String {
    let all: Vec<String> = (first..first + count).map(|place| format!("?{place}")).collect();
    all.join(", ")
}

/// A row of an answer.
pub(crate) enum Record<'a> {
    File(&'a rusqlite::Row<'a>),
    Database(&'a tokio_postgres::Row),
}

impl Record<'_> {
    /// A whole number, of whatever width; yes is 1.
    pub(crate) fn int_or_none(&self, at: usize) -> Result<Option<i64>, Error> {
        match self {
            Self::File(row) => Ok(row.get(at)?),
            Self::Database(row) => {
                let kind = row.columns().get(at).map(|column| column.type_());
                Ok(match kind {
                    Some(&Type::INT2) => row.try_get::<_, Option<i16>>(at)?.map(i64::from),
                    Some(&Type::INT4) => row.try_get::<_, Option<i32>>(at)?.map(i64::from),
                    Some(&Type::BOOL) => row.try_get::<_, Option<bool>>(at)?.map(i64::from),
                    _ => row.try_get(at)?,
                })
            }
        }
    }

    pub(crate) fn int(&self, at: usize) -> Result<i64, Error> {
        Ok(self.int_or_none(at)?.unwrap_or_default())
    }

    /// The same in fewer bits, as it was written.
    pub(crate) fn narrow<T: TryFrom<i64> + Default>(&self, at: usize) -> Result<T, Error> {
        Ok(T::try_from(self.int(at)?).unwrap_or_default())
    }

    pub(crate) fn text(&self, at: usize) -> Result<&str, Error> {
        match self {
            Self::File(row) => Ok(row.get_ref(at)?.as_str().map_err(rusqlite::Error::from)?),
            Self::Database(row) => Ok(row.try_get(at)?),
        }
    }

    pub(crate) fn bytes(&self, at: usize) -> Result<Vec<u8>, Error> {
        match self {
            Self::File(row) => Ok(row.get(at)?),
            Self::Database(row) => Ok(row.try_get(at)?),
        }
    }
}

/// A day's tables.
pub(crate) enum Tables<'a> {
    File(&'a Connection),
    Database(&'a Partitions<'a>),
}

impl Tables<'_> {
    /// Gives each row of the answer to `each`.
    pub(crate) fn each(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut each: impl FnMut(&Record<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self {
            Self::File(connection) => {
                let mut asked = connection.prepare_cached(&sql.replace('@', ""))?;
                let mut rows = asked.query(params_from_iter(values))?;
                while let Some(row) = rows.next()? {
                    each(&Record::File(row))?;
                }
                Ok(())
            }
            Self::Database(day) => day.each(sql, values, |row| each(&Record::Database(row))),
        }
    }

    /// All rows of the answer.
    pub(crate) fn all<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: impl Fn(&Record<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut found = Vec::new();
        self.each(sql, values, |row| {
            found.push(read(row)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// The one row of the answer, if there is one.
    pub(crate) fn one<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: impl Fn(&Record<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        Ok(self.all(sql, values, read)?.into_iter().next())
    }

    /// Whether all that was open at the day's beginning has been carried over.
    pub(crate) fn is_ready(&self) -> Result<bool, Error> {
        match self {
            Self::File(connection) => Ok(connection.prepare_cached("SELECT 1 FROM ready")?.exists([])?),
            Self::Database(day) => day.is_ready(),
        }
    }
}
