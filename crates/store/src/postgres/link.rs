//! One connection to the database: how it begins, what is sent over it, and what it means when that goes wrong.
//!
//! What is sent together is on its way before the first answer is awaited. A connection that has said nothing for too long is
//! dropped, and with it what was on its way: whoever sent that has to ask what has become of it.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::config::Host;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{
    AsyncMessage, Client, Connection, Row, SimpleQueryMessage, SimpleQueryRow, Socket, Statement,
};

use super::target::{Target, causes};
use super::tls::Encrypted;
use crate::Error;

/// How long it may take to connect, over all hosts.
pub(super) const CONNECT: Duration = Duration::from_secs(10);

/// How long an answer may take.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// How long it may take another program to say something.
const STRANGER: Duration = Duration::from_secs(2);

/// A client's first question, to which any PostgreSQL has an answer of one byte (SSLRequest).
const IS_TLS_TAKEN: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// The oldest release that is known to work.
const OLDEST: u32 = 14;

/// What is said first. A backend whose server has gone lets its locks go by itself, and what waits for a lock gives up before
/// the server does. Nothing that is asked is worth being compiled.
pub(super) const SETTINGS: &str = "
    SET jit = off;
    SET lock_timeout = '4s';
    SET idle_in_transaction_session_timeout = '10s';
    SET tcp_keepalives_idle = 2;
    SET tcp_keepalives_interval = 2;
    SET tcp_keepalives_count = 3;
";

/// Why something could not be done.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// The connection is gone, and what was sent last may have been done.
    Lost(Error),
    /// The database is not up to it now. Nothing was done.
    Now(Error),
    /// It was in the way of another, and may be tried again at once. Nothing was done.
    Again(Error),
    /// It can never be kept. Nothing was done.
    Ever(Error),
}

impl Trouble {
    pub(super) fn error(self) -> Error {
        match self {
            Self::Lost(error) | Self::Now(error) | Self::Again(error) | Self::Ever(error) => error,
        }
    }
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else { return Self::Lost(Error::Away(causes(&error))) };
        let code = said.code().code();
        let text = || format!("{} ({code})", said.message());
        match code {
            "40001" | "40P01" | "55P03" => Self::Again(Error::Away(text())),
            "53100" => Self::Now(Error::Database(format!("its disk is full: {}", text()))),
            "25006" => Self::Lost(Error::Away(format!("it is read-only, as a standby is: {}", text()))),
            _ if said.severity() == "FATAL" || said.severity() == "PANIC" => Self::Lost(Error::Away(text())),
            _ => match code.get(..2) {
                Some("08" | "57") => Self::Lost(Error::Away(text())),
                // A row twice in a statement, a value that no column takes, a constraint, a limit of the program, and what a trigger
                // raises.
                Some("21" | "22" | "23" | "54" | "P0") => Self::Ever(Error::Unfit(text())),
                _ => Self::Now(Error::Database(text())),
            },
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::Unfit(_) => Self::Ever(error),
            // Nothing was sent, and the next connection may come about.
            Error::Away(_) | Error::Unusable(_) => Self::Again(error),
            _ => Self::Now(error),
        }
    }
}

/// What a statement is given.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Int(i64),
    Text(String),
    Flag(bool),
    Ints(Vec<i64>),
    Texts(Vec<String>),
    Flags(Vec<bool>),
}

impl Value {
    fn kind(&self) -> Type {
        match self {
            Self::Int(_) => Type::INT8,
            Self::Text(_) => Type::TEXT,
            Self::Flag(_) => Type::BOOL,
            Self::Ints(_) => Type::INT8_ARRAY,
            Self::Texts(_) => Type::TEXT_ARRAY,
            Self::Flags(_) => Type::BOOL_ARRAY,
        }
    }

    /// As a column of one.
    fn into_column(self) -> Self {
        match self {
            Self::Int(value) => Self::Ints(vec![value]),
            Self::Text(text) => Self::Texts(vec![text]),
            Self::Flag(flag) => Self::Flags(vec![flag]),
            column => column,
        }
    }

    /// Puts a column below another of the same kind.
    fn append(&mut self, more: Self) {
        match (self, more) {
            (Self::Ints(all), Self::Ints(more)) => all.extend(more),
            (Self::Texts(all), Self::Texts(more)) => all.extend(more),
            (Self::Flags(all), Self::Flags(more)) => all.extend(more),
            (one, other) => debug_assert!(false, "{other:?} below {one:?}"),
        }
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Int(value) => value.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
            Self::Flag(flag) => flag.to_sql(kind, out),
            Self::Ints(values) => values.to_sql(kind, out),
            Self::Texts(texts) => texts.to_sql(kind, out),
            Self::Flags(flags) => flags.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        matches!(
            *kind,
            Type::INT8 | Type::TEXT | Type::BOOL | Type::INT8_ARRAY | Type::TEXT_ARRAY | Type::BOOL_ARRAY
        )
    }

    to_sql_checked!();
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u64> for Value {
    /// PostgreSQL's integers are signed; the bits are kept.
    fn from(value: u64) -> Self {
        Self::Int(value.cast_signed())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Flag(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

/// When a statement is sent of those of a group whose order is of no account otherwise: what strikes out rows comes before what puts others
/// in their place, and what changes or forgets rows after what puts them there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Strike,
    Put,
    Change,
    /// As they come.
    Last,
}

/// A statement, and what it is given. `@` in it stands for the schema.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) sql: &'static str,
    pub(super) values: Vec<Value>,
    pub(super) step: Step,
}

impl Call {
    pub(super) fn new<const N: usize>(sql: &'static str, values: [Value; N]) -> Self {
        Self { sql, values: values.into(), step: Step::Last }
    }

    /// One that is given columns, and so may be for many rows; here for one.
    pub(super) fn of_rows<const N: usize>(step: Step, sql: &'static str, row: [Value; N]) -> Self {
        Self { sql, values: row.map(Value::into_column).into(), step }
    }

    /// Whether it may be for another's rows too.
    pub(super) fn takes(&self, other: &Self) -> bool {
        self.step != Step::Last && self.sql == other.sql
    }

    /// Is for another's rows too.
    pub(super) fn add(&mut self, other: Self) {
        self.values.iter_mut().zip(other.values).for_each(|(column, more)| column.append(more));
    }

    /// Whether it needs no preparing: what begins and ends transactions is too short for it.
    fn is_plain(&self) -> bool {
        self.values.is_empty() && !self.sql.contains('@')
    }
}

/// A connection.
pub(super) struct Link {
    client: Client,
    schema: String,
    statements: HashMap<&'static str, Statement>,
    /// Whether the database has warned of anything.
    has_warned: Arc<AtomicBool>,
    driver: AbortHandle,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Link {
    /// Connects, and refuses what is no database for this.
    ///
    /// # Errors
    /// [`Error::Unusable`] where somebody has to do something about it, [`Error::Away`] where it may be well again by itself.
    pub(super) async fn connect(target: &Target) -> Result<Self, Error> {
        let link = Self::connect_to_any(target).await?;
        timeout(ANSWER, link.check(target)).await.map_err(|_| silent(ANSWER))??;
        Ok(link)
    }

    /// Connects, whatever is there.
    pub(super) async fn connect_to_any(target: &Target) -> Result<Self, Error> {
        let (client, mut connection) = match reach(target).await {
            Ok(reached) => reached,
            Err(Error::Away(text)) => {
                return Err(match stranger(target).await {
                    Some(said) => Error::Unusable(format!(
                        "what answers at {target} is no PostgreSQL: it says {said:?}; name the database's own port"
                    )),
                    None => Error::Away(text),
                });
            }
            Err(error) => return Err(error),
        };
        let has_warned = Arc::new(AtomicBool::new(false));
        let warned = has_warned.clone();
        let driver = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notice(notice) = message
                    && notice.severity() == "WARNING"
                {
                    warned.store(true, Ordering::Relaxed);
                    tracing::warn!(code = notice.code().code(), "the database warns: {}", notice.message());
                }
            }
        });
        let schema = target.quoted_schema();
        Ok(Self { client, schema, statements: HashMap::new(), has_warned, driver: driver.abort_handle() })
    }

    /// Whether the database has warned of anything since this was asked last. A commit that went with a warning may be on one
    /// machine only.
    pub(super) fn has_warned(&self) -> bool {
        self.has_warned.swap(false, Ordering::Relaxed)
    }

    async fn check(&self, target: &Target) -> Result<(), Error> {
        let found = self
            .plain(
                "SELECT current_setting('server_version_num'), current_setting('server_encoding'),
                     pg_is_in_recovery(), current_setting('transaction_read_only'),
                     current_setting('fsync'), current_setting('synchronous_commit')",
            )
            .await
            .map_err(Trouble::error)?;
        let Some(found) = found.first() else {
            return Err(Error::Unusable(format!("{target} says nothing of itself")));
        };
        let text = |column: usize| found.get(column).unwrap_or_default().to_owned();
        let version = text(0).parse::<u32>().unwrap_or(0) / 10_000;
        if version < OLDEST {
            return Err(Error::Unusable(format!(
                "{target} is PostgreSQL {version}; {OLDEST} or newer is needed"
            )));
        }
        if text(1) != "UTF8" {
            return Err(Error::Unusable(format!(
                "the database at {target} holds texts as {}; make one with ENCODING 'UTF8'",
                text(1)
            )));
        }
        if text(2) == "t" {
            return Err(Error::Unusable(format!(
                "{target} is a standby, which is read-only; name the primary, or both: with several hosts in the address \
                 the one that may be written is found"
            )));
        }
        if text(3) == "on" {
            return Err(Error::Unusable(format!(
                "{target} is read-only (default_transaction_read_only is on for it, or for the role)"
            )));
        }
        if text(4) == "off" {
            return Err(Error::Unusable(format!(
                "{target} runs with fsync = off: what it says is kept may be gone after a crash; set fsync = on"
            )));
        }
        // A role or database with a weaker one would make every acknowledgement a lie.
        let sync = if text(5) == "remote_apply" { "" } else { "SET synchronous_commit = on;" };
        let settings = format!("{SETTINGS}{sync}");
        self.client.batch_execute(&settings).await.map_err(Trouble::from).map_err(Trouble::error)?;
        // Not on every system; it frees the locks of a server that is gone the sooner.
        let _ = self.client.batch_execute("SET client_connection_check_interval = '2s'").await;
        Ok(())
    }

    /// A statement that is not prepared, with `@` for the schema.
    pub(super) async fn plain(&self, sql: &str) -> Result<Vec<SimpleQueryRow>, Trouble> {
        let found = self.client.simple_query(&sql.replace('@', &self.schema)).await?;
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        };
        Ok(found.into_iter().filter_map(row).collect())
    }

    /// One statement, and its rows.
    pub(super) async fn call(&mut self, call: &Call) -> Result<Vec<Row>, Trouble> {
        self.prepare(std::slice::from_ref(call)).await?;
        Ok(self.send(call).await?)
    }

    /// All of them, sent before the first answer is awaited: an answer for each. After the first that fails in a transaction all
    /// fail.
    pub(super) async fn call_all(
        &mut self,
        calls: &[Call],
    ) -> Result<Vec<Result<Vec<Row>, tokio_postgres::Error>>, Trouble> {
        self.prepare(calls).await?;
        let mut sent = Vec::with_capacity(calls.len());
        for call in calls {
            let mut answer: Pin<Box<_>> = Box::pin(self.send(call));
            // A request is on its way once its answer was asked for.
            let early = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await;
            sent.push((answer, early));
        }
        let mut answers = Vec::with_capacity(sent.len());
        for (answer, early) in sent {
            answers.push(match early {
                Poll::Ready(answer) => answer,
                Poll::Pending => answer.await,
            });
        }
        Ok(answers)
    }

    /// Has the database know them, so that they can be sent.
    pub(super) async fn prepare(&mut self, calls: &[Call]) -> Result<(), Trouble> {
        for call in calls {
            if !call.is_plain() && !self.statements.contains_key(call.sql) {
                let kinds: Vec<Type> = call.values.iter().map(Value::kind).collect();
                let sql = call.sql.replace('@', &self.schema);
                let statement = self.client.prepare_typed(&sql, &kinds).await?;
                self.statements.insert(call.sql, statement);
            }
        }
        Ok(())
    }

    async fn send(&self, call: &Call) -> Result<Vec<Row>, tokio_postgres::Error> {
        match self.statements.get(call.sql) {
            Some(statement) => {
                let values: Vec<&(dyn ToSql + Sync)> =
                    call.values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
                self.client.query(statement, &values).await
            }
            None => self.client.batch_execute(call.sql).await.map(|()| Vec::new()),
        }
    }
}

/// Reaches a database, whatever is there.
pub(super) async fn reach(target: &Target) -> Result<(Client, Connection<Socket, Encrypted>), Error> {
    let reached = timeout(CONNECT, target.config().connect(target.tls())).await;
    reached.map_err(|_| silent(CONNECT))?.map_err(|error| refused(target, &error))
}

/// What another program says that has the port of the database. One that says nothing may be a database that is in trouble.
async fn stranger(target: &Target) -> Option<String> {
    let config = target.config();
    let ports = config.get_ports();
    for (at, host) in config.get_hosts().iter().enumerate() {
        let Host::Tcp(host) = host else { continue };
        // One port may be that of all hosts.
        let port = ports.get(at).or(ports.last()).copied().unwrap_or(5432);
        let heard = timeout(STRANGER, async {
            let mut stream = TcpStream::connect((host.as_str(), port)).await.ok()?;
            stream.write_all(&IS_TLS_TAKEN).await.ok()?;
            let mut heard = [0; 24];
            let length = stream.read(&mut heard).await.ok()?;
            heard.get(..length).map(<[u8]>::to_vec)
        });
        let Ok(Some(heard)) = heard.await else { continue };
        // Yes, no, or an error: a database says nothing else to it.
        if !matches!(heard.first(), None | Some(b'S' | b'N' | b'E')) {
            return Some(heard.escape_ascii().to_string());
        }
    }
    None
}

/// Nothing was said for too long.
pub(super) fn silent(time: Duration) -> Error {
    Error::Away(format!("it has not answered for {} s", time.as_secs()))
}

/// Why a connection did not come about, and who has to do something about it.
fn refused(target: &Target, error: &tokio_postgres::Error) -> Error {
    let Some(said) = error.as_db_error() else {
        let text = causes(error);
        if text.contains("TLS") || text.contains("certificate") {
            return Error::Unusable(format!(
                "no encrypted connection to {target}: {text}; give the authority's certificate with sslrootcert=FILE, or \
                 sslmode=disable on a network that nobody else listens to"
            ));
        }
        if text.contains("password missing") {
            return Error::Unusable(format!(
                "{target} asks for a password: give one with store.password_file, or in the address"
            ));
        }
        return Error::Away(format!("{target}: {text}"));
    };
    let text = said.message();
    match said.code().code() {
        "53300" => Error::Unusable(format!(
            "{target} lets no more connections in ({text}); a server needs {CONNECTIONS}: raise max_connections, or the \
             limit of the role or database"
        )),
        "28P01" | "28000" => Error::Unusable(format!("{target} refuses the user: {text}")),
        "3D000" => Error::Unusable(format!("{target}: {text}; make it with CREATE DATABASE")),
        "42501" => Error::Unusable(format!("{target}: {text}; GRANT CONNECT ON DATABASE to the user")),
        "08P01" => Error::Unusable(format!("{target} does not take the connection as it is: {text}")),
        _ => Error::Away(format!("{target}: {text}")),
    }
}

/// How many connections a server has: one that writes, one that reads, one that says that it is alive; and of history one that writes
/// and two that read.
pub(super) const CONNECTIONS: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_and_ends_transactions_is_not_prepared() {
        assert!(Call::new("COMMIT", []).is_plain());
        assert!(!Call::new("SELECT 1 FROM @.apps", []).is_plain());
        assert!(!Call::new("SELECT $1", [Value::Int(1)]).is_plain());
    }
}
