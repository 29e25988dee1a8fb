//! Files that earlier releases wrote, opened by this one.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod disk;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use futures_executor::block_on;
use rooms::{
    Account, Client, Content, Counters, Fields, Message, Profile, Record, RoomId, RoomInfo, RoomType,
    SdkAppId, SessionId, Time, UserId,
};
use rusqlite::{Connection, params};
use store::{
    ApiKey, App, Change, EventsWanted, FILE_NAME, Lane, Presence, Queued, RoomScope, Snapshot, Sqlite,
    Store as _, StoredSession,
};

/// The statements with which the releases made their files, as they were: the first version's, what the second did to
/// that, what the third and what the fourth did.
const STATEMENTS: [&str; 4] = [
    "
    CREATE TABLE apps (
        sdkappid INTEGER PRIMARY KEY,
        record TEXT NOT NULL
    ) STRICT;
    CREATE TABLE accounts (
        sdkappid INTEGER NOT NULL,
        user TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (sdkappid, user)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE rooms (
        sdkappid INTEGER NOT NULL,
        room_id TEXT NOT NULL,
        record TEXT NOT NULL,
        views INTEGER NOT NULL DEFAULT 0,
        last_seq INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (sdkappid, room_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY,
        record TEXT NOT NULL
    ) STRICT;
",
    "
    ALTER TABLE rooms ADD COLUMN counters TEXT NOT NULL DEFAULT '{}';
    UPDATE rooms SET counters = json_object('views', views, 'last_seq', last_seq);
    ALTER TABLE rooms DROP COLUMN views;
    ALTER TABLE rooms DROP COLUMN last_seq;
    CREATE TABLE records (
        sdkappid INTEGER NOT NULL,
        room_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (sdkappid, room_id, kind, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE messages (
        sdkappid INTEGER NOT NULL,
        room_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (sdkappid, room_id, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE catalogues (
        sdkappid INTEGER NOT NULL,
        key TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (sdkappid, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE battles (
        sdkappid INTEGER NOT NULL,
        id TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (sdkappid, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE connections (
        sdkappid INTEGER NOT NULL,
        id INTEGER NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (sdkappid, id)
    ) STRICT, WITHOUT ROWID;
    DELETE FROM sessions;
    CREATE TABLE presence (
        sdkappid INTEGER NOT NULL,
        room_id TEXT NOT NULL,
        user TEXT NOT NULL,
        session INTEGER NOT NULL,
        place INTEGER NOT NULL,
        seen INTEGER NOT NULL,
        PRIMARY KEY (sdkappid, room_id, user, session)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX presence_by_session ON presence (session);
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY,
        sdkappid INTEGER NOT NULL,
        subject TEXT NOT NULL,
        command TEXT NOT NULL,
        body TEXT NOT NULL,
        at INTEGER NOT NULL,
        failed INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX outbox_failed ON outbox (id) WHERE failed = 1;
",
    "
    ALTER TABLE outbox ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE outbox SET turn = id,
        bytes = length(CAST(subject AS BLOB)) + length(CAST(command AS BLOB)) + length(CAST(body AS BLOB));
    CREATE INDEX outbox_by_app ON outbox (sdkappid, failed, turn, bytes);
    CREATE INDEX outbox_by_subject ON outbox (sdkappid, subject, failed, turn);
",
    "
    ALTER TABLE rooms RENAME TO former_rooms;
    ALTER TABLE records RENAME TO former_records;
    ALTER TABLE messages RENAME TO former_messages;
    ALTER TABLE presence RENAME TO former_presence;
    CREATE TABLE rooms (
        scope INTEGER PRIMARY KEY AUTOINCREMENT,
        sdkappid INTEGER NOT NULL,
        room_id TEXT NOT NULL,
        record TEXT NOT NULL,
        counters TEXT NOT NULL DEFAULT '{}',
        UNIQUE (sdkappid, room_id)
    ) STRICT;
    INSERT INTO rooms (sdkappid, room_id, record, counters)
        SELECT sdkappid, room_id, record, counters FROM former_rooms ORDER BY sdkappid, room_id;
    CREATE TABLE records (
        scope INTEGER NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (scope, kind, name)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO records (scope, kind, name, record)
        SELECT rooms.scope, former.kind, former.name, former.record
        FROM former_records AS former JOIN rooms USING (sdkappid, room_id);
    CREATE TABLE messages (
        scope INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (scope, seq)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO messages (scope, seq, record)
        SELECT rooms.scope, former.seq, former.record
        FROM former_messages AS former JOIN rooms USING (sdkappid, room_id);
    CREATE TABLE presence (
        scope INTEGER NOT NULL,
        user TEXT NOT NULL,
        session INTEGER NOT NULL,
        place INTEGER NOT NULL,
        seen INTEGER NOT NULL,
        PRIMARY KEY (scope, user, session)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO presence (scope, user, session, place, seen)
        SELECT rooms.scope, former.user, former.session, former.place, former.seen
        FROM former_presence AS former JOIN rooms USING (sdkappid, room_id);
    DROP TABLE former_rooms;
    DROP TABLE former_records;
    DROP TABLE former_messages;
    DROP TABLE former_presence;
",
];

const APPS: [SdkAppId; 2] = [SdkAppId(1_400_000_001), SdkAppId(7)];

/// As they are drawn, any of 64 bits.
const INCARNATIONS: [u64; 4] = [0, (1 << 63) - 1, 1 << 63, u64::MAX];

fn ann() -> UserId {
    UserId::parse("ann").unwrap()
}

fn app(sdkappid: SdkAppId) -> App {
    let (secret_key, name) = ("k".into(), "n".into());
    App { sdkappid, secret_key, name, admins: vec![ann()], webhook: None, callbacks: Vec::new() }
}

fn api_key() -> ApiKey {
    ApiKey {
        secret_id: "AKID1".into(),
        secret_key: "k".into(),
        apps: vec![APPS[1]],
        actions: vec!["RemoveUser".into()],
        is_disabled: false,
        created_at: Time::from_unix_seconds(6),
    }
}

fn account() -> Account {
    Account { user: ann(), profile: Profile::default(), created_at: Time::from_unix_seconds(5) }
}

/// The apps' rooms have the same ids.
fn rooms() -> impl Iterator<Item = (SdkAppId, RoomInfo)> {
    let infos = INCARNATIONS.iter().enumerate().map(|(number, incarnation)| {
        let id = RoomId::parse(&format!("r{number}")).unwrap();
        let now = Time::from_unix_seconds(7);
        RoomInfo::create(id, RoomType::Live, ann(), &Fields::default(), now, *incarnation).unwrap()
    });
    infos.flat_map(|info| APPS.map(|app| (app, info.clone())))
}

fn session() -> StoredSession {
    StoredSession {
        id: SessionId(u64::MAX - 1),
        sdkappid: APPS[0],
        user: ann(),
        token_hash: [7; 32],
        valid_until: Time::from_unix_seconds(9),
        client: Client::default(),
    }
}

fn mute(app: SdkAppId, room: &RoomId) -> Record {
    let user = UserId::parse(&format!("{app}-{room}")).unwrap();
    Record::Mute { user, until: Time::from_unix_seconds(9) }
}

fn message(app: SdkAppId, room: &RoomId, seq: u64) -> Message {
    let content = Content::Text { text: format!("{app} {room}"), extension: String::new() };
    Message { seq, id: format!("m{seq}"), from: ann(), content, sent_at: Time::from_unix_seconds(8) }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

/// A file as the release of that version left it, with the room `lost` of which there are rows and no room.
fn write(folder: &Path, version: usize) {
    // The fourth has changed how rows belong to rooms, and nothing else: its files are the third's, brought up to date by it.
    if version > 3 {
        write(folder, 3);
        let connection = Connection::open(folder.join(FILE_NAME)).unwrap();
        connection.execute_batch(STATEMENTS[3]).unwrap();
        return connection.pragma_update(None, "user_version", 4).unwrap();
    }
    let connection = Connection::open(folder.join(FILE_NAME)).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA application_id = 0x526F6F6D").unwrap();
    for statements in &STATEMENTS[..version] {
        connection.execute_batch(statements).unwrap();
    }
    connection.pragma_update(None, "user_version", version as i64).unwrap();
    for id in APPS {
        connection.execute("INSERT INTO apps VALUES (?, ?)", params![id.0, json(&app(id))]).unwrap();
        connection
            .execute("INSERT INTO accounts VALUES (?, ?, ?)", params![id.0, "ann", json(&account())])
            .unwrap();
    }
    let its = session();
    let session = its.id.0.cast_signed();
    connection.execute("INSERT INTO sessions VALUES (?, ?)", params![session, json(&its)]).unwrap();
    let lost = RoomId::parse("lost").unwrap();
    let all = rooms().map(|(app, info)| (app, info.room_id.clone(), Some(info)));
    for (app, room, info) in all.chain([(APPS[0], lost, None)]) {
        let name = room.as_str();
        if let Some(info) = &info {
            let counted = match version {
                1 => "views, last_seq) VALUES (?, ?, ?, 3, 2)",
                _ => "counters) VALUES (?, ?, ?, json_object('views', 3, 'last_seq', 2))",
            };
            let put = format!("INSERT INTO rooms (sdkappid, room_id, record, {counted}");
            connection.execute(&put, params![app.0, name, json(info)]).unwrap();
        }
        if version == 1 {
            continue;
        }
        let mute = mute(app, &room);
        let put = "INSERT INTO records VALUES (?, ?, ?, ?, ?)";
        let key = mute.key();
        connection.execute(put, params![app.0, name, key.kind, key.name, json(&mute)]).unwrap();
        for seq in 1..=2_i64 {
            let message = json(&message(app, &room, seq.cast_unsigned()));
            let put = "INSERT INTO messages VALUES (?, ?, ?, ?)";
            connection.execute(put, params![app.0, name, seq, message]).unwrap();
        }
        let put = "INSERT INTO presence VALUES (?, ?, ?, ?, 3, 4)";
        connection.execute(put, params![app.0, name, "ann", session]).unwrap();
    }
    if version > 1 {
        let put = "INSERT INTO outbox (id, sdkappid, subject, command, body, at, failed) VALUES (?, ?, 'r', 'c', '{}', 8, ?)";
        connection.execute(put, params![20, APPS[0].0, 0]).unwrap();
        connection.execute(put, params![30, APPS[0].0, 0]).unwrap();
        connection.execute(put, params![10, APPS[0].0, 1]).unwrap();
        if version > 2 {
            connection.execute_batch("UPDATE outbox SET turn = 50 - id, bytes = 4").unwrap();
        }
    }
}

/// All of it is there, and the store goes on from it.
fn check(folder: &Path, version: usize) {
    let (store, found) = open(folder);
    assert_eq!(found.apps, APPS.iter().rev().map(|id| app(*id)).collect::<Vec<_>>());
    assert_eq!(found.accounts.len(), 2);
    let counters = Counters { views: 3, last_seq: 2, ..Counters::default() };
    let names: BTreeMap<RoomScope, RoomId> =
        found.rooms.iter().map(|(scope, info, _)| (*scope, info.room_id.clone())).collect();
    assert_eq!(names.len(), 8);
    let mut kept: Vec<_> = found.rooms.iter().map(|(scope, info, _)| (scope.app, info.clone())).collect();
    kept.sort_by_key(|(app, info)| (info.room_id.clone(), std::cmp::Reverse(*app)));
    assert_eq!(kept, rooms().collect::<Vec<_>>(), "with every bit of their incarnations");
    assert!(found.rooms.iter().all(|(_, _, kept)| *kept == counters));
    let mut of_rooms = 0;
    for (scope, room) in names.iter().filter(|_| version > 1) {
        let of_it: Vec<&Record> =
            found.records.iter().filter(|one| one.0 == *scope).map(|one| &one.1).collect();
        assert_eq!(of_it, [&mute(scope.app, room)]);
        let of_it: Vec<&Message> =
            found.messages.iter().filter(|one| one.0 == *scope).map(|one| &one.1).collect();
        assert_eq!(of_it, [&message(scope.app, room, 1), &message(scope.app, room, 2)]);
        let presence =
            Presence { session: session().id, scope: *scope, user: ann(), place: 3, seen: 4, stay: 0 };
        assert_eq!(found.presence.iter().filter(|one| **one == presence).count(), 1);
        of_rooms += 1;
    }
    let others = (found.records.len(), found.messages.len(), found.presence.len());
    assert_eq!(others, (of_rooms, 2 * of_rooms, of_rooms), "nothing of a room that is not there");
    if version > 1 {
        assert_eq!(found.sessions, [session()]);
        let (sdkappid, lane) = (APPS[0], Lane::WEBHOOKS);
        let wanted = EventsWanted { sdkappid, lane, subject: None, after: 0, most_bytes: usize::MAX };
        let page = block_on(store.waiting_events(wanted)).unwrap();
        let ids: Vec<u64> = page.events.iter().map(|waiting| waiting.event.id).collect();
        assert_eq!(ids, if version == 2 { [20, 30] } else { [30, 20] });
        assert_eq!(block_on(store.dead_letters()).unwrap(), [10]);
    }

    let scope = store.room_scope(APPS[0]).unwrap();
    assert!(names.keys().all(|known| known.number < scope.number));
    let id = RoomId::parse("new").unwrap();
    let info = RoomInfo::create(id, RoomType::Live, ann(), &Fields::default(), Time::from_unix_seconds(9), 5)
        .unwrap();
    block_on(store.commit(vec![Change::CreateRoom(scope, info)])).unwrap();
    let former = names.keys().next().unwrap();
    block_on(store.commit(vec![Change::DeleteRoom(*former), Change::PutApiKey(api_key())])).unwrap();
    drop(store);
    let (_, found) = open(folder);
    assert_eq!(found.api_keys, [api_key()]);
    assert_eq!(found.rooms.len(), 8);
    assert!(found.records.iter().all(|(scope, _)| scope != former));
}

fn open(folder: &Path) -> (Queued, Snapshot) {
    Sqlite::open(folder, Box::new(|_| {})).unwrap()
}

#[test]
fn a_file_of_any_version_is_brought_up_to_date() {
    for version in 1..=STATEMENTS.len() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), version);
        check(folder.path(), version);
    }
}

#[test]
#[ignore = "a process that the others start"]
fn server() {
    let folder = PathBuf::from(std::env::var("STORE_FOLDER").unwrap());
    drop(open(&folder));
}

#[test]
fn one_that_is_killed_before_any_of_its_writes_loses_nothing() {
    for version in 1..=STATEMENTS.len() {
        let written = tempfile::tempdir().unwrap();
        write(written.path(), version);
        let mut kills = 0;
        loop {
            let folder = tempfile::tempdir().unwrap();
            fs::copy(written.path().join(FILE_NAME), folder.path().join(FILE_NAME)).unwrap();
            let mut server = disk::process("server");
            server.env("STORE_FOLDER", folder.path()).env("DISK_KILL_AT", (kills + 1).to_string());
            let is_through = server.output().unwrap().status.success();
            check(folder.path(), version);
            if is_through {
                break;
            }
            kills += 1;
        }
        println!("version {version}: killed {kills} times");
        assert!(kills > if version > 3 { 5 } else { 20 }, "{kills}");
    }
}
