//! A COMMIT that fails after its pages were written: it may be found in the log after a crash.

#![allow(clippy::unwrap_used, clippy::panic)]

mod disk;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use futures_executor::block_on;
use rooms::{Account, Profile, SdkAppId, Time, UserId};
use store::{Change, Sqlite, Store as _};

const APP: SdkAppId = SdkAppId(1);

fn account(name: &str) -> Change {
    let user = UserId::parse(name).unwrap();
    Change::PutAccount(
        APP,
        Account { user, profile: Profile::default(), created_at: Time::from_unix_seconds(5) },
    )
}

/// Two commits, of which the second meets a disk that cannot sync; says what its caller was told. Then the process is gone
/// as by `kill -9`.
#[test]
#[ignore = "a process that the others start"]
fn server() {
    let path = |name| PathBuf::from(std::env::var(name).unwrap());
    let (folder, flag) = (path("STORE_FOLDER"), path("DISK_FAILS_WHILE"));
    let recovers = std::env::var("DISK_RECOVERS").is_ok();
    let (store, _) = Sqlite::open(&folder, Box::new(|_| {})).unwrap();
    block_on(store.commit(vec![account("before")])).unwrap();
    std::fs::write(&flag, "").unwrap();

    let commit = store.commit(vec![account("during")]);
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(block_on(commit).is_ok()));
    if recovers {
        std::thread::sleep(Duration::from_millis(700));
        assert!(told.try_recv() != Ok(false), "it was refused, and is in the log");
        std::fs::remove_file(&flag).unwrap();
    }
    let patience = Duration::from_secs(if recovers { 10 } else { 2 });
    let answer = match told.recv_timeout(patience) {
        Ok(true) => "kept",
        Ok(false) => "refused",
        Err(_) => "nothing",
    };
    std::fs::write(folder.join("answer"), answer).unwrap();
    std::process::abort();
}

/// What the caller was told, and who is there after a restart.
fn run(recovers: bool) -> (String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let mut server = disk::process("server");
    server.env("STORE_FOLDER", folder.path()).env("DISK_FAILS_WHILE", folder.path().join("fails"));
    if recovers {
        server.env("DISK_RECOVERS", "");
    }
    let output = server.output().unwrap();
    let answer = std::fs::read_to_string(folder.path().join("answer"));
    let answer = answer.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (answer, users(folder.path()))
}

fn users(folder: &Path) -> Vec<String> {
    let (_store, snapshot) = Sqlite::open(folder, Box::new(|_| {})).unwrap();
    snapshot.accounts.iter().map(|(_, account)| account.user.to_string()).collect()
}

#[test]
fn nobody_hears_that_it_was_refused_while_it_may_be_found_after_a_crash() {
    let (answer, users) = run(false);

    let is_there = users.contains(&"during".to_owned());
    assert!(answer == "nothing" || (answer == "kept") == is_there, "{answer}, but {users:?}");
    assert!(users.contains(&"before".to_owned()));
    assert_eq!(answer, "nothing");
}

#[test]
fn it_is_written_again_until_it_is_kept() {
    let (answer, users) = run(true);

    assert_eq!((answer.as_str(), users), ("kept", vec!["before".into(), "during".into()]));
}
