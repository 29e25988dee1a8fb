//! The store as its callers see it: what is acknowledged is read back, what cannot be used is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use futures_executor::block_on;
use rooms::{
    Account, Content, Counters, Fields, Message, Profile, Record, RoomId, RoomInfo, RoomType, SdkAppId,
    SessionId, Time, UserId,
};
use store::{
    App, Change, Error, FILE_NAME, OutboxEvent, Presence, Snapshot, Sqlite, Store as _, StoredSession,
    failed_events,
};

const APP: SdkAppId = SdkAppId(1_400_000_001);

fn open(folder: &Path) -> Result<(Sqlite, Snapshot), Error> {
    Sqlite::open(folder, Box::new(|_| {}))
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn account(name: &str) -> Account {
    Account { user: user(name), profile: Profile::default(), created_at: Time::from_unix_seconds(5) }
}

fn id(room: &str) -> RoomId {
    RoomId::parse(room).unwrap()
}

fn room(id: &str) -> RoomInfo {
    let id = RoomId::parse(id).unwrap();
    let now = Time::from_unix_seconds(7);
    RoomInfo::create(id, RoomType::Live, user("ann"), &Fields::default(), now, u64::MAX).unwrap()
}

#[test]
fn what_was_acknowledged_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let app = App {
        sdkappid: APP,
        secret_key: "k".into(),
        name: "demo".into(),
        admins: vec![user("administrator")],
        webhook: None,
    };
    let session = StoredSession {
        id: SessionId(u64::MAX - 1),
        sdkappid: APP,
        user: user("ann"),
        token_hash: [7; 32],
        valid_until: Time::from_unix_seconds(9),
    };
    let presence = |session, room: &str| Presence {
        session: SessionId(session),
        sdkappid: APP,
        room_id: id(room),
        user: user("ann"),
        place: 3,
        seen: 4,
    };
    let counters = Counters { views: 9, last_seq: 8, ..Counters::default() };
    let mute = Record::Mute { user: user("ben"), until: Time::from_unix_seconds(9) };
    let message = |seq| Message {
        seq,
        id: format!("m{seq}"),
        from: user("ann"),
        content: Content::Text { text: "hi".into(), extension: String::new() },
        sent_at: Time::from_unix_seconds(8),
    };
    let event = |id| OutboxEvent {
        id,
        sdkappid: APP,
        subject: "r1".into(),
        command: "Live.CallbackAfterCreateRoom".into(),
        body: "{}".into(),
        at: Time::from_unix_seconds(8),
    };
    {
        let (store, before) = open(folder.path()).unwrap();
        assert_eq!(before, Snapshot::default());
        let changes = vec![
            Change::PutApp(app.clone()),
            Change::PutAccount(APP, account("ann")),
            Change::PutAccount(APP, account("ben")),
            Change::DeleteAccount(APP, user("ben")),
            Change::PutRoom(APP, room("r1")),
            Change::PutRoom(APP, room("r2")),
            Change::PutCounters(APP, id("r1"), Counters::default()),
            Change::PutCounters(APP, id("r1"), counters),
            // An update of the record leaves the counters alone.
            Change::PutRoom(APP, room("r1")),
            Change::PutRecord(APP, id("r1"), mute.clone()),
            Change::PutRecord(APP, id("r1"), Record::Admin(user("ben"))),
            Change::DeleteRecord(APP, id("r1"), Record::Admin(user("ben")).key()),
            Change::PutSession(session.clone()),
            Change::PutSession(StoredSession { id: SessionId(2), ..session.clone() }),
            Change::PutPresence(presence(u64::MAX - 1, "r1")),
            Change::PutPresence(presence(u64::MAX - 1, "r2")),
            Change::PutPresence(presence(2, "r1")),
            Change::DeleteSession(SessionId(2)),
            Change::PutRecord(APP, id("r2"), mute.clone()),
            Change::PutMessage(APP, id("r2"), message(1)),
            Change::DeleteRoom(APP, id("r2")),
            Change::PutEvent(event(5)),
            Change::PutEvent(event(6)),
            Change::PutEvent(event(7)),
            Change::DeleteEvent(5),
            Change::FailEvent(6),
        ];
        block_on(store.commit(changes)).unwrap();
        store.journal((1..=60).map(|seq| Change::PutMessage(APP, id("r1"), message(seq))).collect());
        block_on(store.commit(Vec::new())).unwrap();
    }

    let (_store, after) = open(folder.path()).unwrap();

    let expected = Snapshot {
        apps: vec![app],
        accounts: vec![(APP, account("ann"))],
        rooms: vec![(APP, room("r1"), counters)],
        records: vec![(APP, id("r1"), mute)],
        messages: (11..=60).map(|seq| (APP, id("r1"), message(seq))).collect(),
        sessions: vec![session],
        presence: vec![presence(u64::MAX - 1, "r1")],
        outbox: vec![event(7)],
        last_event: 7,
        ..Snapshot::default()
    };
    assert_eq!(after, expected);
    assert_eq!(failed_events(folder.path()).unwrap(), [event(6)]);
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
