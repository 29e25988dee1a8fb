//! One connection, and what is asked over it.

use std::pin::pin;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use store::Target;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::Error;
use crate::ask::Value;
use crate::files::{Day, Kind};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(20);

/// A connection. It goes on while somebody waits for it, on a thread that belongs to no runtime.
pub(crate) struct Link {
    /// `None` once it is dropped: a runtime may not be ended where another runs.
    runtime: Option<Runtime>,
    client: Client,
    schema: String,
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Value<'_> {
    fn given(&self) -> Given<'_> {
        match self {
            Self::Int(value) => (value, Type::INT8),
            Self::Text(text) => (text, Type::TEXT),
        }
    }
}

/// What a statement is given.
pub(crate) type Given<'a> = (&'a (dyn ToSql + Sync), Type);

impl Link {
    pub(super) fn connect(target: &Target) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(store::Error::from)?;
        let client = runtime.block_on(target.connect_aside());
        match client {
            Ok(client) => Ok(Self { runtime: Some(runtime), client, schema: target.quoted_schema() }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error.into())
            }
        }
    }

    /// Whether it has been found to be gone.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Error> {
        let Some(runtime) = &self.runtime else { return Err(Error::Silent(ANSWER)) };
        let waited = runtime.block_on(async { timeout(ANSWER, work).await });
        Ok(waited.map_err(|_| Error::Silent(ANSWER))??)
    }

    /// Statements without values; `@@` stands for the schema with what all names of history begin with.
    pub(super) fn run(&self, sql: &str) -> Result<(), Error> {
        self.wait(self.client.batch_execute(&self.named(sql)))
    }

    /// One statement; the rows of its answer.
    pub(super) fn ask(&self, sql: &str, given: &[Given<'_>]) -> Result<Vec<Row>, Error> {
        self.wait(self.client.query_typed(&self.named(sql), given))
    }

    fn named(&self, sql: &str) -> String {
        sql.replace("@@", &format!("{}.history_", self.schema))
    }

    /// A day, to be asked over this connection.
    pub(super) fn day(&self, day: Day) -> Partitions<'_> {
        Partitions { link: self, day }
    }

    /// The name of a day's partition of a table, as it stands in a statement.
    pub(super) fn partition(&self, table: &str, day: Day) -> String {
        format!("{}.{}", self.schema, name(table, day))
    }
}

/// The name of a day's partition of a table.
pub(super) fn name(table: &str, day: Day) -> String {
    format!("history_{table}_{}", day.to_string().replace('-', "_"))
}

/// Of which table, of what kind, and which day a partition of that name is; `None` of what is no partition's.
pub(super) fn read_name(name: &str) -> Option<(Kind, &str, Day)> {
    let (table, day) = name.strip_prefix("history_")?.split_once('_')?;
    let kind = Kind::ALL.into_iter().find(|kind| tables(*kind).contains(&table))?;
    Some((kind, table, Day::parse(&day.replace('_', "-"))?))
}

/// The tables of a kind; the last one is made last.
pub(super) fn tables(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Quality => &["quality"],
        Kind::Calls => &["people", "stays", "events", "unusual", "calls"],
        Kind::Usage => &["service", "usage"],
    }
}

/// A day's partitions.
pub(crate) struct Partitions<'a> {
    link: &'a Link,
    day: Day,
}

impl Partitions<'_> {
    /// Gives each row of the answer to `each`, as they come.
    pub(crate) fn each(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut each: impl FnMut(&Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let sql = self.named(sql);
        let given: Vec<Given<'_>> = values.iter().map(Value::given).collect();
        let mut trouble = Ok(());
        self.link.wait(async {
            let mut rows = pin!(self.link.client.query_typed_raw(&sql, given).await?);
            while let Some(row) = rows.try_next().await? {
                trouble = each(&row);
                if trouble.is_err() {
                    break;
                }
            }
            Ok(())
        })?;
        trouble
    }

    pub(crate) fn is_ready(&self) -> Result<bool, Error> {
        let day = self.day.0;
        Ok(!self.link.ask("SELECT 1 FROM @@ready WHERE day = $1", &[(&day, Type::INT8)])?.is_empty())
    }

    /// A question in this database's words: its own name for a day's table, which goes by the other's.
    fn named(&self, sql: &str) -> String {
        let mut parts = sql.split('@');
        let mut named = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part.find(|letter: char| !letter.is_ascii_lowercase()).unwrap_or(part.len());
            let (table, rest) = part.split_at(end);
            named.push_str(&format!("{} AS {table}{rest}", self.link.partition(table, self.day)));
        }
        named.replace('?', "$")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_found_by_its_name() {
        let day = Day(20_783);
        for kind in Kind::ALL {
            for table in tables(kind) {
                assert_eq!(read_name(&name(table, day)), Some((kind, *table, day)));
            }
        }
        assert_eq!(name("calls", day), "history_calls_2026_11_26");
        let others = [
            "history_calls",
            "history_ready",
            "calls_2026_11_26",
            "history_calls_2026_13_26",
            "history_copy_2026_11_26",
        ];
        for other in others {
            assert_eq!(read_name(other), None, "{other}");
        }
    }
}
