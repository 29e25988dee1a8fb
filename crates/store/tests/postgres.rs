//! PostgreSQL: what any engine keeps to, a connection that is lost at the worst moment, a database that is away, a second server,
//! and databases that cannot be used.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../../tests/harness/postgres.rs"]
mod database;
mod suite;

use std::time::{Duration, Instant};

use database::{Cut, Database, Hold, Wire};
use futures_executor::block_on;
use store::{
    ApiKey, Change, Engine as _, Error, Identity, Job, OnCommit, OutboxEvent, Place, Postgres, Queued,
    Refused, Snapshot, Store as _, Target, migrate,
};
use suite::{APP, account, event, ids, room, scope, user, waiting};
use tempfile::TempDir;

/// A schema, and the folder of the server on it.
struct At {
    folder: TempDir,
    url: String,
    schema: String,
}

impl At {
    fn new() -> Self {
        let (url, schema) = Database::shared().own_url();
        Self { folder: tempfile::tempdir().unwrap(), url, schema }
    }

    fn place(&self, url: &str) -> Place {
        Place::of(self.folder.path(), url, None).unwrap()
    }

    fn open(&self, on_commit: OnCommit) -> Result<(Queued, Snapshot), Error> {
        self.place(&self.url).open(on_commit)
    }

    fn open_by(&self, wire: &Wire) -> (Queued, Snapshot) {
        self.place(&wire.url(&self.schema)).open(Box::new(|_| {})).unwrap()
    }

    fn engine_by(&self, url: &str) -> Postgres {
        Postgres::at(&Target::parse(url, None).unwrap(), &Identity::of(self.folder.path()).unwrap()).unwrap()
    }

    fn failed_events(&self) -> Vec<OutboxEvent> {
        let mut failed = Vec::new();
        self.place(&self.url).for_each_failed_event(|event| failed.push(event)).unwrap();
        failed
    }

    fn api_keys(&self) -> Vec<ApiKey> {
        self.place(&self.url).read_api_keys().unwrap()
    }

    /// Runs SQL with the schema's tables in sight.
    fn execute(&self, sql: &str) -> String {
        Database::shared().sql(&format!("SET search_path = {}; {sql}", self.schema))
    }

    /// That account can never be kept.
    fn refuse_account(&self, name: &str) {
        self.execute(&format!("ALTER TABLE accounts ADD CONSTRAINT never CHECK (\"user\" <> '{name}')"));
    }

    /// Nothing is written before this is dropped.
    fn hold(&self) -> Hold {
        Database::shared().hold(&format!("SELECT 1 FROM {}.claims FOR UPDATE", self.schema))
    }
}

fn put(name: &str) -> Vec<Change> {
    vec![Change::PutAccount(APP, account(name))]
}

fn users(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.accounts.iter().map(|(_, account)| account.user.as_str()).collect()
}

/// Waits for something that is bound to happen.
fn wait_for(what: &str, within: Duration, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What is committed while the wire is cut like that: a room, an event, and a change to an account that is there.
fn commit_over(cut: Cut) {
    let at = At::new();
    let wire = Wire::to(Database::shared().port);
    let (store, _) = at.open_by(&wire);
    block_on(store.commit(put("before"))).unwrap();
    wire.set(cut);

    let changes = vec![
        Change::CreateRoom(store.room_scope(APP).unwrap(), room("r")),
        Change::PutEvent(event(APP, "r", 1).into()),
        Change::PutAccount(APP, account("during")),
    ];
    let commit = store.commit(changes);
    wait_for("nothing was cut", Duration::from_secs(5), || wire.cuts() > 0);
    wire.set(Cut::Nothing);
    block_on(commit).unwrap();

    block_on(store.commit(put("later"))).unwrap();
    assert_eq!(ids(&waiting(&store, APP, None, 0, usize::MAX)), [1]);
    assert!(store.health().is_ok());
    drop(store);
    let (store, snapshot) = at.open(Box::new(|_| {})).unwrap();
    assert_eq!(users(&snapshot), ["before", "during", "later"]);
    assert_eq!(snapshot.rooms.len(), 1);
    assert_eq!(ids(&waiting(&store, APP, None, 0, usize::MAX)), [1]);
}

#[test]
fn a_commit_whose_answer_is_lost_is_asked_for_and_not_done_twice() {
    commit_over(Cut::AfterCommit);
}

#[test]
fn a_commit_that_did_not_get_through_is_sent_again() {
    commit_over(Cut::BeforeCommit);
}

#[test]
fn while_it_is_not_known_whether_a_group_is_kept_nothing_is_said_of_it_and_nothing_else_is_written() {
    let at = At::new();
    let wire = Wire::to(Database::shared().port);
    let mut engine = at.engine_by(&wire.url(&at.schema));
    let create = [Job::awaited(vec![Change::CreateRoom(scope(1), room("r"))])];
    wire.set(Cut::AfterCommit);
    let cut = std::thread::spawn(move || {
        wait_for("nothing was cut", Duration::from_secs(5), || wire.cuts() > 0);
        wire.set(Cut::All);
        wire
    });

    let results = engine.write(&create);
    assert!(matches!(results[..], [Err(Refused::Unknown(Error::Away(_)))]), "{results:?}");
    assert!(matches!(engine.write(&create)[..], [Err(Refused::Unknown(_))]), "still");
    assert_eq!(at.execute("SELECT count(*) FROM rooms"), "1", "it is kept, and nobody knows");

    cut.join().unwrap().set(Cut::Nothing);
    let results = engine.write(&create);
    assert!(matches!(results[..], [Ok(_)]), "it is not a second room of the name: {results:?}");
    let again = engine.write(&[Job::awaited(vec![Change::CreateRoom(scope(2), room("r"))])]);
    assert!(matches!(again[..], [Err(Refused::Ever(Error::Unfit(_)))]), "{again:?}");
    assert!(matches!(engine.write(&[Job::awaited(put("ann"))])[..], [Ok(_)]));
}

#[test]
fn a_connection_that_went_while_nobody_wrote_is_no_trouble() {
    let at = At::new();
    let wire = Wire::to(Database::shared().port);
    let (store, _) = at.open_by(&wire);
    block_on(store.commit(put("ann"))).unwrap();
    assert_eq!(ids(&waiting(&store, APP, None, 0, usize::MAX)), [0_u64; 0]);
    wire.set(Cut::All);
    std::thread::sleep(Duration::from_millis(200));
    wire.set(Cut::Nothing);

    let started = Instant::now();
    block_on(store.commit(put("ben"))).unwrap();
    assert_eq!(ids(&waiting(&store, APP, None, 0, usize::MAX)), [0_u64; 0]);

    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn while_the_database_is_away_changes_wait_and_are_then_refused_and_it_is_well_again_by_itself() {
    let database = Database::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let (store, _) =
        Place::of(folder.path(), &database.url("r"), None).unwrap().open(Box::new(|_| {})).unwrap();
    block_on(store.commit(put("before"))).unwrap();
    database.down();

    // Nobody writes, and it is noticed all the same.
    wait_for("it is not said", Duration::from_secs(15), || matches!(store.health(), Err(Error::Away(_))));
    store.journal(put("noted"));
    let started = Instant::now();
    let refused = block_on(store.commit(put("during"))).unwrap_err();
    let took = started.elapsed();
    assert!(matches!(refused, Error::Away(_)), "{refused}");
    assert!(took < Duration::from_secs(8), "{took:?}");

    database.up();
    wait_for("it is not well", Duration::from_secs(10), || store.health().is_ok());
    block_on(store.commit(put("after"))).unwrap();
    // One that comes back within the bounds is noticed by nobody.
    database.down();
    let commit = store.commit(put("patient"));
    database.up();
    block_on(commit).unwrap();
    drop(store);
    let (_store, snapshot) =
        Place::of(folder.path(), &database.url("r"), None).unwrap().open(Box::new(|_| {})).unwrap();
    assert_eq!(users(&snapshot), ["after", "before", "noted", "patient"]);
}

#[test]
fn a_database_that_says_nothing_is_away_too() {
    let at = At::new();
    let wire = Wire::to(Database::shared().port);
    let (store, _) = at.open_by(&wire);
    block_on(store.commit(put("before"))).unwrap();
    wire.set(Cut::Silence);

    let commit = store.commit(put("during"));
    wait_for("it is not said", Duration::from_secs(30), || store.health().is_err());
    wire.set(Cut::Nothing);

    // Nobody knows what became of it until the database says so.
    let is_kept = block_on(commit).is_ok();
    wait_for("it is not well", Duration::from_secs(20), || store.health().is_ok());
    drop(store);
    let (_store, snapshot) = at.open(Box::new(|_| {})).unwrap();
    assert_eq!(users(&snapshot).contains(&"during"), is_kept);
}

#[test]
fn a_second_server_is_refused_and_one_that_is_gone_is_followed() {
    let at = At::new();
    let (first, _) = at.open(Box::new(|_| {})).unwrap();
    block_on(first.commit(put("first"))).unwrap();
    let other = At { folder: tempfile::tempdir().unwrap(), url: at.url.clone(), schema: at.schema.clone() };

    let refused = other.open(Box::new(|_| {})).unwrap_err().to_string();
    assert!(refused.contains("another server has the schema"), "{refused}");
    block_on(first.commit(put("second"))).unwrap();

    // It does not say that it ends, and its machine is gone with it.
    at.execute(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END';
         CREATE TRIGGER silent BEFORE UPDATE ON nodes FOR EACH ROW
             WHEN (OLD.generation = 1 AND NOT NEW.over) EXECUTE FUNCTION no()",
    );
    let started = Instant::now();
    let (second, snapshot) = other.open(Box::new(|_| {})).unwrap();
    assert!(started.elapsed() > Duration::from_secs(6), "{:?}", started.elapsed());
    assert_eq!(users(&snapshot), ["first", "second"]);
    let late = block_on(first.commit(put("late"))).unwrap_err();
    assert!(matches!(late, Error::Superseded), "{late}");
    wait_for("it goes on", Duration::from_secs(10), || matches!(first.health(), Err(Error::Superseded)));
    block_on(second.commit(put("third"))).unwrap();
    drop((first, second));
    let (_store, snapshot) = other.open(Box::new(|_| {})).unwrap();
    assert_eq!(users(&snapshot), ["first", "second", "third"]);
}

#[test]
fn who_comes_back_on_the_same_folder_need_not_wait() {
    let at = At::new();
    let killed = at.engine_by(&at.url);
    std::mem::forget(killed);

    let started = Instant::now();
    at.open(Box::new(|_| {})).unwrap();

    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn a_database_that_lost_what_it_had_acknowledged_is_found_out() {
    let at = At::new();
    let mut engine = at.engine_by(&at.url);
    for name in ["a", "b", "c"] {
        assert!(engine.write(&[Job::awaited(put(name))])[0].is_ok());
    }
    at.execute("DELETE FROM groups WHERE number = 3; DELETE FROM accounts WHERE \"user\" = 'c'");

    let results = engine.write(&[Job::awaited(put("d"))]);

    assert!(matches!(results[..], [Err(Refused::Now(Error::Rewound(_)))]), "{results:?}");
    assert_eq!(at.execute("SELECT count(*) FROM accounts"), "2");
}

/// Why a server does not begin with that address.
fn refusal(url: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let opened = Place::of(folder.path(), url, None).and_then(|place| place.open(Box::new(|_| {})));
    match opened {
        Ok(_) => panic!("it began with {url}"),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn assert_refused(url: &str, words: &[&str]) {
    let said = refusal(url);
    assert!(words.iter().all(|word| said.contains(word)), "{url}: {said}");
}

#[test]
fn a_database_that_cannot_be_used_is_refused_with_what_to_do_about_it() {
    let database = Database::shared();
    let at = |user: &str, rest: &str| format!("postgresql://{user}@127.0.0.1:{}/{rest}", database.port);
    database.sql("CREATE ROLE poor LOGIN; CREATE ROLE few LOGIN CONNECTION LIMIT 2; GRANT ALL ON DATABASE postgres TO few");
    database.sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
    database.sql("CREATE DATABASE readonly");
    database.sql("ALTER DATABASE readonly SET default_transaction_read_only = on");
    database.sql("CREATE SCHEMA theirs; CREATE TABLE theirs.users (x int)");
    database.sql("CREATE SCHEMA alike; CREATE TABLE alike.about (version int)");

    assert_refused(&at("poor", "postgres?schema=a"), &["CREATE SCHEMA", "42501"]);
    assert_refused(&at("few", "postgres?schema=b"), &["lets no more connections in", "needs 6"]);
    assert_refused(&at("nobody", "postgres"), &["refuses the user", "nobody"]);
    assert_refused(&at("postgres", "nowhere"), &["nowhere", "CREATE DATABASE"]);
    assert_refused(&at("postgres", "latin"), &["LATIN1", "UTF8"]);
    assert_refused(&at("postgres", "readonly"), &["default_transaction_read_only"]);
    assert_refused(&at("postgres", "postgres?schema=theirs"), &["another program's", "nothing was touched"]);
    assert_refused(&at("postgres", "postgres?schema=alike"), &["another program's"]);
    assert_refused(
        &at("postgres", "postgres?sslmode=verify-full"),
        &["no encrypted connection", "sslrootcert"],
    );
    assert_refused("postgresql://u@127.0.0.1:1/x", &["cannot be reached", "127.0.0.1:1"]);
    assert_eq!(database.sql("SELECT count(*) FROM pg_tables WHERE schemaname IN ('theirs', 'alike')"), "2");
}

#[test]
fn a_schema_of_another_version_is_refused() {
    let at = At::new();
    drop(at.open(Box::new(|_| {})).unwrap());
    for (version, words) in [("99", "newer Roomful (schema 99"), ("2", "never was")] {
        at.execute(&format!("UPDATE about SET value = '{version}' WHERE key = 'version'"));

        assert_refused(&at.url, &[words]);
    }
}

#[test]
fn a_user_without_rights_to_a_schema_that_is_there_is_refused() {
    let at = At::new();
    drop(at.open(Box::new(|_| {})).unwrap());
    at.execute("CREATE ROLE stranger LOGIN");
    let url = at.url.replace("postgres@", "stranger@");

    assert_refused(&url, &["42501", "GRANT ALL ON SCHEMA"]);
}

#[test]
fn a_standby_is_refused_and_among_several_hosts_the_primary_is_found() {
    let primary = Database::start(&[]);
    let standby = primary.standby();

    assert_refused(&standby.url("r"), &["is a standby"]);
    let both = format!(
        "postgresql://postgres@127.0.0.1:{},127.0.0.1:{}/postgres?schema=r",
        standby.port, primary.port
    );
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Place::of(folder.path(), &both, None).unwrap().open(Box::new(|_| {})).unwrap();
    block_on(store.commit(put("before"))).unwrap();
    // The standby is to have it: what it does not have would be lost, and found out.
    standby.wait_for(&primary);
    assert_eq!(standby.sql("SELECT count(*) FROM r.accounts"), "1");

    primary.down();
    standby.promote();

    wait_for("it is not well", Duration::from_secs(20), || block_on(store.commit(put("after"))).is_ok());
    assert_eq!(standby.sql("SELECT count(*) FROM r.accounts"), "2");
}

#[test]
fn a_connection_is_encrypted_and_the_certificate_has_to_hold_for_the_host() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let files = [("server.crt", certificate.as_str()), ("server.key", key.as_str())];
    let database = Database::start_with(&["ssl=on"], &files);
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, &certificate).unwrap();
    let at = |host: &str, rest: &str| {
        format!("postgresql://postgres@{host}:{}/postgres?schema=r{rest}", database.port)
    };
    let roots = format!("&sslrootcert={}", authority.display());

    assert_refused(&at("localhost", "&sslmode=verify-full"), &["no encrypted connection", "sslrootcert"]);
    assert_refused(&at("127.0.0.1", &roots), &["no encrypted connection", "certificate"]);

    let place = Place::of(folder.path(), &at("localhost", &roots), None).unwrap();
    let (store, _) = place.open(Box::new(|_| {})).unwrap();
    block_on(store.commit(put("ann"))).unwrap();
    let plain = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                 WHERE application_name = 'roomful' AND NOT ssl";
    assert_eq!(database.sql(plain), "0");
}

#[test]
fn a_password_is_asked_for_and_may_be_in_a_file() {
    let strict = Database::start_with(
        &["hba_file=data/strict.conf", "password_encryption=scram-sha-256"],
        &[("strict.conf", "host all careful 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n")],
    );
    strict.sql("CREATE ROLE careful LOGIN SUPERUSER PASSWORD 'right'");
    let url = strict.url("r").replace("postgres@", "careful@");
    let open =
        |password| Place::of(tempfile::tempdir().unwrap().path(), &url, password)?.open(Box::new(|_| {}));

    let said = [None, Some("wrong")].map(|password| open(password).unwrap_err().to_string());
    assert!(said[0].contains("asks for a password"), "{said:?}");
    assert!(said[1].contains("refuses the user") && !said[1].contains("wrong"), "{said:?}");
    open(Some("right")).unwrap();
}

#[test]
fn a_pooler_in_transaction_mode_is_refused_and_one_in_session_mode_is_not() {
    let database = Database::shared();

    let pooled = database::url(database.bouncer("transaction"), "pooled");
    assert_refused(&pooled, &["pooler in transaction mode"]);

    let pooled = database::url(database.bouncer("session"), "pooled");
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Place::of(folder.path(), &pooled, None).unwrap().open(Box::new(|_| {})).unwrap();
    block_on(store.commit(put("ann"))).unwrap();
}

#[test]
fn records_are_brought_to_a_database_and_back() {
    let at = At::new();
    let folder = at.folder.path();
    let r = scope(1);
    {
        let (store, _) = Place::of(folder, "", None).unwrap().open(Box::new(|_| {})).unwrap();
        block_on(store.commit(vec![
            Change::CreateRoom(r, room("r")),
            Change::CreateRoom(scope(5), room("gone")),
            Change::PutRecord(r, rooms::Record::Admin(user("ben"))),
            Change::PutAccount(APP, account("ann")),
            Change::PutEvent(event(APP, "r", 9).into()),
            Change::PutEvent(event(APP, "r", 8).into()),
            Change::PutEvent(event(APP, "r", 7).into()),
            Change::FailEvent(8),
        ]))
        .unwrap();
        block_on(store.commit(vec![Change::DeleteRoom(scope(5))])).unwrap();
    }
    let (here, there) = (Place::Folder(folder.to_owned()), at.place(&at.url));
    let mut told = Vec::new();

    let brought = migrate(&here, &there, &mut |done, all| told.push((done, all))).unwrap();

    assert_eq!(
        (brought.rooms, brought.accounts, brought.rows_of_rooms, brought.events, brought.scopes),
        (1, 1, 1, 3, 2)
    );
    assert!(told.len() >= 2 && told.last().is_some_and(|(done, all)| done == all), "{told:?}");
    let twice = migrate(&here, &there, &mut |_, _| {}).unwrap_err().to_string();
    assert!(twice.contains("there are records"), "{twice}");
    {
        let (store, snapshot) = Place::of(folder, "", None).unwrap().open(Box::new(|_| {})).unwrap();
        assert_eq!(snapshot.rooms.len(), 1, "the folder says where they are");
        assert_eq!(ids(&waiting(&store, APP, None, 0, usize::MAX)), [9, 7]);
        assert_eq!(
            store.room_scope(APP).unwrap().number,
            6,
            "a number that was given once is never given again"
        );
        block_on(store.commit(put("ben"))).unwrap();
    }
    std::fs::remove_file(folder.join(store::FILE_NAME)).unwrap();

    let back = migrate(&there, &here, &mut |_, _| {}).unwrap();

    assert_eq!((back.rooms, back.accounts, back.events), (1, 2, 3));
    let (store, snapshot) = Place::of(folder, "", None).unwrap().open(Box::new(|_| {})).unwrap();
    assert_eq!(users(&snapshot), ["ann", "ben"]);
    assert_eq!(ids(&waiting(&store, APP, None, 0, usize::MAX)), [9, 7]);
    assert_eq!(block_on(store.dead_letters()).unwrap(), [8]);
    assert_eq!(store.room_scope(APP).unwrap().number, 6);
}

#[test]
fn a_migration_that_was_interrupted_is_no_place_to_begin_on_and_is_done_over() {
    let at = At::new();
    let folder = at.folder.path();
    let (here, there) = (Place::Folder(folder.to_owned()), at.place(&at.url));
    {
        let (store, _) = here.open(Box::new(|_| {})).unwrap();
        block_on(store.commit(put("ann"))).unwrap();
    }
    let mut told = 0;
    let interrupted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        migrate(&here, &there, &mut |_, _| {
            told += 1;
            assert!(told < 2, "on purpose");
        })
    }));
    assert!(interrupted.is_err() || interrupted.unwrap().is_err());

    let refused = at.open(Box::new(|_| {})).unwrap_err().to_string();
    assert!(refused.contains("roomful migrate"), "{refused}");
    migrate(&here, &there, &mut |_, _| {}).unwrap();

    let (_store, snapshot) = at.open(Box::new(|_| {})).unwrap();
    assert_eq!(users(&snapshot), ["ann"]);
}
