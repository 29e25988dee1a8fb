//! Why something could not be read or written.

use std::path::PathBuf;
use std::time::Duration;

/// Trouble with the files, or with the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database says so.
    #[error("{0}")]
    Database(#[from] rusqlite::Error),
    /// The file system says so.
    #[error("{path}: {error}")]
    Files {
        /// Which file or folder.
        path: PathBuf,
        /// What.
        error: std::io::Error,
    },
    /// The file is of another program, or of a newer one.
    #[error("{path} has schema {found}; this program knows {known}")]
    Schema {
        /// Which file.
        path: PathBuf,
        /// What it says.
        found: i64,
        /// What is known here.
        known: i64,
    },
    /// The database beside the records says so.
    #[error("{text}")]
    Remote {
        /// The number of what is wrong; empty when the connection is.
        code: String,
        /// What.
        text: String,
    },
    /// It cannot be reached, or not be used.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// It says nothing.
    #[error("the database has not answered for {} s", .0.as_secs())]
    Silent(Duration),
    /// Somebody else has just tried to ask it.
    #[error("{0}")]
    Unread(String),
    /// Others wait for it already.
    #[error("too many look into history at this moment; try again")]
    Busy,
    /// Another run of a server writes history by now.
    #[error("another server writes history by now")]
    Superseded,
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(said) => {
                let code = said.code().code().to_owned();
                Self::Remote { text: format!("{} ({code})", said.message()), code }
            }
            None => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                Self::Remote { code: String::new(), text: format!("{error}{}", cause.unwrap_or_default()) }
            }
        }
    }
}

impl Error {
    pub(crate) fn files(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |error| Self::Files { path, error }
    }

    /// Whether a table that was there is not any more.
    pub(crate) fn is_of_a_day_that_is_gone(&self) -> bool {
        matches!(self, Self::Remote { code, .. } if code == "42P01")
    }

    /// Whether the file cannot be used, whatever the disk does.
    pub(crate) fn is_of_the_file(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Database(error) => {
                matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
            }
            Self::Schema { .. } => true,
            _ => false,
        }
    }
}
