//! Where the records of a data folder are: in the folder itself, or in a PostgreSQL database of which the folder knows.
//!
//! A folder whose server had its records in a database remembers which, without the password. So whoever only names the folder
//! finds them, and a server that is started without the database's address does not begin anew on an empty folder.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::database::FILE_NAME;
use crate::engine::Engine;
use crate::postgres::{self, Identity, Postgres, Target};
use crate::queued::Queued;
use crate::sqlite::Sqlite;
use crate::writer::OnCommit;
use crate::{ApiKey, App, Error, OutboxEvent, Snapshot, folder};

/// What a folder remembers a database's address in.
const REMEMBERED: &str = "database";

/// Where records are.
#[derive(Debug, Clone)]
pub enum Place {
    /// In this folder.
    Folder(PathBuf),
    /// In a database.
    Database {
        /// Which.
        target: Box<Target>,
        /// The folder of the server on it.
        folder: PathBuf,
    },
}

impl Place {
    /// Where the records of a folder are: in the database at `url`; when that is empty, in the one that the folder remembers,
    /// or in the folder. `password` is used where the address has none.
    ///
    /// # Errors
    /// When there is something wrong with the address.
    pub fn of(folder: &Path, url: &str, password: Option<&str>) -> Result<Self, Error> {
        let remembered = remembered(folder);
        let url = if url.is_empty() { remembered.as_deref() } else { Some(url) };
        Ok(match url {
            Some(url) => {
                let target = Box::new(Target::parse(url, password)?);
                Self::Database { target, folder: folder.to_owned() }
            }
            None => Self::Folder(folder.to_owned()),
        })
    }

    /// As [`Self::of`], for a server: what it begins on has to be what is meant.
    ///
    /// # Errors
    /// Also when the folder remembers a database and there is no address, or has records and there is one.
    pub fn to_serve(folder: &Path, url: &str, password: Option<&str>) -> Result<Self, Error> {
        let shown = folder.display();
        match (remembered(folder), url.is_empty()) {
            (Some(remembered), true) => Err(Error::Unusable(format!(
                "the records of {shown} are in {remembered}: give that address with store.url or ROOMFUL_STORE__URL; to begin \
                 anew without them, remove {}",
                folder.join(REMEMBERED).display()
            ))),
            (None, false) if folder.join(FILE_NAME).exists() => Err(Error::Unusable(format!(
                "there are records in {shown} that are not in the database: bring them there with `roomful migrate --from \
                 {shown} --to ADDRESS`, or move {} away",
                folder.join(FILE_NAME).display()
            ))),
            _ => Self::of(folder, url, password),
        }
    }

    /// The database, if it is one.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Folder(_) => None,
            Self::Database { target, .. } => Some(target),
        }
    }

    /// The folder of the server on it.
    pub fn folder(&self) -> &Path {
        match self {
            Self::Folder(folder) | Self::Database { folder, .. } => folder,
        }
    }

    /// Reads all that is there, and begins to write. Nobody else may do so before this is over; the folder has to be locked.
    ///
    /// # Errors
    /// As [`Sqlite::open`] and [`Postgres::open`].
    pub fn open(&self, on_commit: OnCommit) -> Result<(Queued, Snapshot), Error> {
        match self {
            Self::Folder(folder) => Sqlite::open(folder, on_commit),
            Self::Database { target, folder } => {
                fs::create_dir_all(folder)?;
                let opened = Postgres::open(target, &Identity::of(folder)?, on_commit)?;
                remember(folder, target)?;
                Ok(opened)
            }
        }
    }

    /// From now on the folder knows of the database, if that is where the records are.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn remember(&self) -> Result<(), Error> {
        match self {
            Self::Folder(_) => Ok(()),
            Self::Database { target, folder } => remember(folder, target),
        }
    }

    /// The engine alone. Not to be called from a thread of a runtime.
    pub(crate) fn engine(&self) -> Result<Box<dyn Engine>, Error> {
        Ok(match self {
            Self::Folder(folder) => Box::new(Sqlite::at(folder)?),
            Self::Database { target, folder } => Box::new(Postgres::at(target, &Identity::of(folder)?)?),
        })
    }

    /// Reads the apps, also while a server runs.
    ///
    /// # Errors
    /// What cannot be read; [`Error::Other`] or [`Error::Unusable`] when there is nothing yet.
    pub fn read_apps(&self) -> Result<Vec<App>, Error> {
        match self {
            Self::Folder(folder) => folder::read_apps(folder),
            Self::Database { target, .. } => postgres::read_apps(target),
        }
    }

    /// Reads the keys of the RTC API, oldest first, also while a server runs.
    ///
    /// # Errors
    /// As [`Self::read_apps`].
    pub fn read_api_keys(&self) -> Result<Vec<ApiKey>, Error> {
        match self {
            Self::Folder(folder) => folder::read_api_keys(folder),
            Self::Database { target, .. } => {
                let mut keys = postgres::read_api_keys(target)?;
                keys.sort_by(|one, other| {
                    (one.created_at, &one.secret_id).cmp(&(other.created_at, &other.secret_id))
                });
                Ok(keys)
            }
        }
    }

    /// Whether anything was ever kept there, as far as that can be said without asking a database.
    pub fn is_new(&self) -> bool {
        match self {
            Self::Folder(folder) => !folder.join(FILE_NAME).exists(),
            Self::Database { folder, .. } => remembered(folder).is_none(),
        }
    }

    /// Whether a server could begin on it, and what there is: nothing is changed, and another server may be there.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<String, Error> {
        match self {
            Self::Folder(folder) => Ok(format!("records are in {}", folder.display())),
            Self::Database { target, .. } => postgres::check(target),
        }
    }

    /// Reads the dead letters, oldest first, also while a server runs: `each` is given them one by one.
    ///
    /// # Errors
    /// As [`Self::read_apps`].
    pub fn for_each_failed_event(&self, each: impl FnMut(OutboxEvent)) -> Result<(), Error> {
        match self {
            Self::Folder(folder) => folder::for_each_failed_event(folder, each),
            Self::Database { target, .. } => postgres::for_each_failed_event(target, each),
        }
    }

    /// The ids of the dead letters, oldest first.
    ///
    /// # Errors
    /// As [`Self::read_apps`].
    pub fn failed_event_ids(&self) -> Result<Vec<u64>, Error> {
        match self {
            Self::Folder(folder) => folder::failed_event_ids(folder),
            Self::Database { target, .. } => postgres::failed_event_ids(target),
        }
    }

    /// Writes a consistent copy of the database in the folder to `to`, also while a server runs.
    ///
    /// # Errors
    /// When the records are in a database, which is backed up by its own means; else as [`folder::backup`].
    pub fn backup(&self, to: &Path) -> Result<(), Error> {
        match self {
            Self::Folder(folder) => folder::backup(folder, to),
            Self::Database { target, .. } => Err(Error::Unusable(format!(
                "the records are in {target}: back them up with that database's own means, as `pg_dump --schema {}`",
                target.schema()
            ))),
        }
    }
}

/// The database that a folder remembers.
fn remembered(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join(REMEMBERED)).ok()?;
    let url = text.trim();
    (!url.is_empty()).then(|| url.to_owned())
}

/// From now on a folder remembers a database.
pub(crate) fn remember(folder: &Path, target: &Target) -> Result<(), Error> {
    let path = folder.join(REMEMBERED);
    let text = format!("{}\n", target.shown());
    if fs::read_to_string(&path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let part = folder.join(format!("{REMEMBERED}.part"));
    let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(fs::rename(&part, &path)?)
}

/// From now on a folder remembers no database.
pub(crate) fn forget(folder: &Path) -> Result<(), Error> {
    match fs::remove_file(folder.join(REMEMBERED)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_server_begins_on_what_is_meant_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let url = "postgresql://u:hidden@h/x";
        let is_database = |place| matches!(place, Place::Database { .. });
        assert!(!is_database(Place::to_serve(folder.path(), "", None).unwrap()));
        assert!(is_database(Place::to_serve(folder.path(), url, None).unwrap()));

        fs::write(folder.path().join(FILE_NAME), "records").unwrap();
        let refused = Place::to_serve(folder.path(), url, None).unwrap_err().to_string();
        assert!(refused.contains("roomful migrate"), "{refused}");

        remember(folder.path(), &Target::parse(url, None).unwrap()).unwrap();
        assert!(is_database(Place::to_serve(folder.path(), url, None).unwrap()));
        assert!(is_database(Place::of(folder.path(), "", None).unwrap()), "the folder says where they are");
        let refused = Place::to_serve(folder.path(), "", None).unwrap_err().to_string();
        assert!(refused.contains("postgresql://u@h/x") && !refused.contains("hidden"), "{refused}");

        forget(folder.path()).unwrap();
        assert!(!is_database(Place::to_serve(folder.path(), "", None).unwrap()));
    }
}
