//! Why something could not be read or written.

use std::path::PathBuf;

/// Trouble with the files.
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
}

impl Error {
    pub(crate) fn files(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |error| Self::Files { path, error }
    }

    /// Whether the file cannot be used, whatever the disk does.
    pub(crate) fn is_of_the_file(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Database(error) => {
                matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
            }
            Self::Schema { .. } => true,
            Self::Files { .. } => false,
        }
    }
}
