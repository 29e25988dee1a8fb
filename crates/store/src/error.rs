//! Why the store refused, in words an operator can act on.

use std::path::PathBuf;

/// A failure of the store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No room on the disk.
    #[error("the disk that holds the data folder is full; free some space, nothing else has to be done")]
    DiskFull,
    /// The disk or file cannot be written.
    #[error("the data folder cannot be written (read-only disk or missing permission)")]
    ReadOnly,
    /// The disk failed to read or write.
    #[error("the disk that holds the data folder cannot be written ({0}); is it read-only or failing?")]
    Disk(String),
    /// The queue to the writer is full.
    #[error("the store is behind its work; retry in a moment")]
    Behind,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The file was written by something else.
    #[error("{0} is not a Roomful database; move it away or choose another data folder with --data")]
    Foreign(PathBuf),
    /// The file was written by a later version.
    #[error(
        "{path} was written by a newer Roomful (schema {found}, this one knows {known}); run that version"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema version in it.
        found: i64,
        /// The newest schema version this program knows.
        known: i64,
    },
    /// The file is damaged.
    #[error("{path} is damaged ({detail}); restore a backup made with `roomful backup`")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the integrity check said.
        detail: String,
    },
    /// Changes that are nowhere but in the write-ahead log of a database that is gone.
    #[error(
        "{wal} holds changes of a database that is not beside it any more: {path} is missing or empty; put that file \
         back, or move {wal} away and restore a backup made with `roomful backup`; nothing was touched"
    )]
    Orphaned {
        /// The database.
        path: PathBuf,
        /// Its write-ahead log.
        wal: PathBuf,
    },
    /// What was to be kept is of a room that is over.
    #[error("the room is over")]
    Over,
    /// The store was closed before the disk had said whether it was kept.
    #[error("it is not known whether it was kept: the store was closed before the disk had said so")]
    Unknown,
    /// The database cannot be reached, or is not up to it.
    #[error(
        "the database is away ({0}); what was to be changed is refused until it is back, nothing else has to be done"
    )]
    Away(String),
    /// The database says no.
    #[error("the database refuses it: {0}")]
    Database(String),
    /// The database cannot be used as it is: what to do about it.
    #[error("{0}")]
    Unusable(String),
    /// Another server has the records by now.
    #[error("another server has taken this one's database over, and this one has to end")]
    Superseded,
    /// The database is behind of what it had acknowledged.
    #[error(
        "the database has lost what it had acknowledged ({0}), as a standby does that was promoted before it had          everything; this server has to start anew from what is there"
    )]
    Rewound(String),
    /// What was to be kept cannot be, whatever the disk does.
    #[error("this cannot be kept: {0}")]
    Unfit(String),
    /// Anything else.
    #[error("the store failed: {0}")]
    Other(String),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        match error.sqlite_error_code() {
            Some(Code::DiskFull) => Error::DiskFull,
            Some(Code::ReadOnly | Code::PermissionDenied | Code::CannotOpen) => Error::ReadOnly,
            Some(Code::SystemIoFailure) => Error::Disk(error.to_string()),
            Some(Code::ConstraintViolation | Code::TooBig | Code::TypeMismatch) => {
                Error::Unfit(error.to_string())
            }
            _ => Error::Other(error.to_string()),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        match error.kind() {
            Kind::StorageFull | Kind::QuotaExceeded => Error::DiskFull,
            Kind::ReadOnlyFilesystem | Kind::PermissionDenied => Error::ReadOnly,
            _ => Error::Other(error.to_string()),
        }
    }
}
