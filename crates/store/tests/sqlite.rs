//! The store as its callers see it: what is acknowledged is read back, what cannot be used is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod suite;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use futures_executor::block_on;
use store::{
    ApiKey, Change, Error, FILE_NAME, OnCommit, OutboxEvent, Queued, Snapshot, Sqlite, Store as _,
    for_each_failed_event,
};
use suite::{APP, account, waiting};
use tempfile::TempDir;

/// A folder.
struct At(TempDir);

impl At {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self, on_commit: OnCommit) -> Result<(Queued, Snapshot), Error> {
        Sqlite::open(self.0.path(), on_commit)
    }

    fn failed_events(&self) -> Vec<OutboxEvent> {
        let mut failed = Vec::new();
        for_each_failed_event(self.0.path(), |event| failed.push(event)).unwrap();
        failed
    }

    fn api_keys(&self) -> Vec<ApiKey> {
        store::read_api_keys(self.0.path()).unwrap()
    }

    fn connection(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.0.path().join(FILE_NAME)).unwrap()
    }

    fn execute(&self, sql: &str) {
        self.connection().execute_batch(sql).unwrap();
    }

    /// That account can never be kept.
    fn refuse_account(&self, name: &str) {
        self.execute(&format!(
            "CREATE TRIGGER never BEFORE INSERT ON accounts WHEN NEW.user = '{name}'
             BEGIN SELECT RAISE(ABORT, 'never'); END"
        ));
    }

    /// Nothing is written before this is dropped.
    fn hold(&self) -> rusqlite::Connection {
        let connection = self.connection();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        connection
    }
}

fn open(folder: &Path) -> Result<(Queued, Snapshot), Error> {
    Sqlite::open(folder, Box::new(|_| {}))
}

#[test]
fn only_its_owner_may_read_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path()).unwrap();
    block_on(store.commit(vec![Change::PutAccount(APP, account("ann"))])).unwrap();

    for file in fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    fs::write(&path, "this is a text file, long enough to be looked at as a header").unwrap();
    assert!(matches!(open(folder.path()), Err(Error::Foreign(_))));
    assert!(fs::read_to_string(&path).unwrap().starts_with("this is a text file"));

    fs::remove_file(&path).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(matches!(open(folder.path()), Err(Error::Foreign(_))));
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    let connection = rusqlite::Connection::open(folder.path().join(FILE_NAME)).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();

    let error = open(folder.path()).unwrap_err();

    assert!(error.to_string().contains("newer Roomful (schema 99"), "{error}");
}

#[test]
fn a_damaged_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    {
        let (store, _) = open(folder.path()).unwrap();
        let accounts = (0..2000).map(|number| Change::PutAccount(APP, account(&format!("user-{number}"))));
        block_on(store.commit(accounts.collect())).unwrap();
    }
    let path = folder.path().join(FILE_NAME);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xAA);
    fs::write(&path, bytes).unwrap();

    assert!(matches!(open(folder.path()), Err(Error::Damaged { .. })));
}

#[test]
fn a_backup_is_made_while_the_store_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path()).unwrap();
    block_on(store.commit(vec![Change::PutAccount(APP, account("ann"))])).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let file = copy.path().join(FILE_NAME);

    store::backup(folder.path(), &file).unwrap();

    block_on(store.commit(vec![Change::PutAccount(APP, account("ben"))])).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(store::backup(folder.path(), &file).unwrap_err().to_string().contains("never overwrites"));
    let (_copy, snapshot) = open(copy.path()).unwrap();
    assert_eq!(snapshot.accounts, [(APP, account("ann"))]);
}

#[test]
fn a_log_without_its_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, log) = (folder.path().join(FILE_NAME), folder.path().join(format!("{FILE_NAME}-wal")));
    fs::write(&log, "changes").unwrap();

    for is_there in [false, true] {
        if is_there {
            fs::write(&path, "").unwrap();
        }
        assert!(matches!(open(folder.path()), Err(Error::Orphaned { .. })));
        assert!(matches!(store::read_apps(folder.path()), Err(Error::Orphaned { .. })));
        assert_eq!((path.exists(), fs::read_to_string(&log).unwrap()), (is_there, "changes".into()));
    }
}

#[test]
fn a_clean_end_leaves_everything_in_the_database_and_a_refused_one_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (path, log) = (folder.path().join(FILE_NAME), folder.path().join(format!("{FILE_NAME}-wal")));
    {
        let (store, _) = open(folder.path()).unwrap();
        block_on(store.commit(vec![Change::PutAccount(APP, account("ann"))])).unwrap();
        waiting(&store, APP, None, 0, 1);
    }
    assert!(!log.exists(), "the log was brought into the database");

    // Somebody else's database that was not closed.
    fs::remove_file(&path).unwrap();
    let theirs = rusqlite::Connection::open(&path).unwrap();
    theirs.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE theirs (x)").unwrap();
    let before = (fs::read(&path).unwrap(), fs::read(&log).unwrap());
    let copy = tempfile::tempdir().unwrap();
    fs::write(copy.path().join(FILE_NAME), &before.0).unwrap();
    fs::write(copy.path().join(format!("{FILE_NAME}-wal")), &before.1).unwrap();

    assert!(matches!(open(copy.path()), Err(Error::Foreign(_))));

    assert_eq!(fs::read(copy.path().join(FILE_NAME)).unwrap(), before.0);
    assert_eq!(fs::read(copy.path().join(format!("{FILE_NAME}-wal"))).unwrap(), before.1);
}
