//! Nodes that are given what they cannot use, and nodes to which something happens: each is told why, nothing is lost, and nobody is
//! listed who is not there. What becomes of a node that is killed or stopped is in `cluster.rs`; databases that a server alone cannot
//! use are in the store's own tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::nodes::{
    Network, TAKEOVER, drain, has_records, id, list, node, nodes, of, refused, refused_on, resume, settings,
    status, text, wait_until_ready,
};
use harness::postgres::{Cut, Database, Wire, url};
use harness::{Client, Server, SmallDisk, cli_on};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// The longest that a node waits for another to take over, and what an answer takes on its way.
const LONGEST: Duration = Duration::from_secs(25);

fn room(id: &str) -> Value {
    json!({"RoomInfo": {"RoomId": id, "RoomType": "Live"}})
}

/// By this call, or by one before of which nobody knew whether it was done.
fn is_made(answer: &Value) -> bool {
    matches!(answer["ErrorCode"].as_u64(), Some(0 | 100_010))
}

/// Makes a room as soon as that can be done.
async fn make(node: &Server, id: &str, within: Duration) {
    let until = Instant::now() + within;
    loop {
        // A node that begins anew ends its connections.
        let answer = timeout(LONGEST, node.try_call("live_engine_http_srv/create_room", room(id)));
        let answer = answer.await.unwrap();
        if answer.as_ref().is_ok_and(is_made) {
            return;
        }
        assert!(Instant::now() < until, "{answer:?}");
        sleep(Duration::from_millis(200)).await;
    }
}

/// Nodes with a network of their own between them.
async fn apart<const N: usize>(url: &str) -> ([Server; N], Network) {
    let network = Network::of(N);
    let mut all = Vec::new();
    for number in 0..N {
        all.push(network.node(number, url).await);
    }
    (all.try_into().ok().unwrap(), network)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_at_another_node_is_answered_while_the_one_with_the_records_is_killed() {
    let (url, _) = Database::shared().own_url();
    let [mut one, two] = nodes(&url).await;
    one.create_room("r").await;
    let key = two.key(&[]);
    let two = &two;
    let killed_after = Duration::from_millis(300);
    let until = Instant::now() + Duration::from_secs(3);

    // Each goes on calling until some time after the kill, so that calls are on their way at any moment of it.
    let calls = join_all((0..30).map(|caller| {
        let key = key.clone();
        async move {
            let mut said = Vec::new();
            let mut count = 0;
            while Instant::now() < until {
                count += 1;
                let asked = Instant::now();
                let answer = timeout(LONGEST, async {
                    match caller % 3 {
                        0 => two.live("create_room", room(&format!("r-{caller}-{count}"))).await,
                        1 => two.live("get_member_list", json!({"RoomId": "r", "Next": ""})).await,
                        _ => {
                            key.call("DismissRoomByStrRoomId", json!({"SdkAppId": two.app, "RoomId": "none"}))
                                .await
                        }
                    }
                });
                let answer = answer.await.unwrap_or_else(|_| panic!("{caller} was not answered"));
                said.push((asked.elapsed(), caller, count, answer));
            }
            said
        }
    }));
    let kill = async {
        sleep(killed_after).await;
        one.kill();
    };
    let (said, ()) = tokio::join!(calls, kill);

    let all: Vec<_> = said.into_iter().flatten().collect();
    let (mut made, mut unsure) = (Vec::new(), 0);
    for (took, caller, count, answer) in &all {
        assert!(*took < LONGEST, "{answer}");
        match (caller % 3, answer["ErrorCode"].as_u64()) {
            (0, Some(0)) => made.push(format!("r-{caller}-{count}")),
            (1, Some(0)) => {}
            (0 | 1, Some(100_001)) => {
                unsure += 1;
                let why = answer["ErrorInfo"].as_str().unwrap();
                assert!(why.contains("not known whether it was done"), "{answer}");
            }
            (2, None) => {
                let code = harness::rtc::code(answer);
                // There is no such room; or it is not known.
                assert!(
                    ["FailedOperation.RoomNotExist", "ServiceUnavailable", "InternalError"]
                        .contains(&code.as_str()),
                    "{answer}"
                );
            }
            _ => panic!("{answer}"),
        }
    }
    println!("{} calls were answered, of {unsure} it is not known whether they were done", all.len());
    let longest = all.iter().map(|(took, ..)| *took).max().unwrap();
    println!("the last after {longest:?}");
    assert!(longest > Duration::from_secs(3), "nothing was on its way, or waited for the other");
    // What was acknowledged is there.
    for room in made {
        assert!(list(two, &room).await.is_empty());
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_refused_by_a_node_with_what_to_do_about_it() {
    let database = Database::start(&[]);
    let standby = database.standby();
    database.sql("CREATE ROLE poor LOGIN");
    database.sql("CREATE ROLE few LOGIN CONNECTION LIMIT 2; GRANT ALL ON DATABASE postgres TO few");
    database.sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
    database.sql("CREATE SCHEMA theirs; CREATE TABLE theirs.users (x int)");
    drop(node(&database.url("newer"), &[]).await);
    database.sql("UPDATE newer.about SET value = '99' WHERE key = 'version'");
    let at = |user: &str, rest: &str| format!("postgresql://{user}@127.0.0.1:{}/{rest}", database.port);
    let strangers = ["HTTP/1.1 400 Bad Request\r\n\r\n", "J\0\0\0\n8.0.36\0\x08\0\0\0"].map(stranger);
    let pooler = url(database.bouncer("transaction"), "pooled");

    let cases: [(&str, String, &[&str]); 9] = [
        ("without rights", at("poor", "postgres?schema=a"), &["may not use the schema", "CREATE SCHEMA"]),
        ("with too few connections", at("few", "postgres?schema=b"), &["no more connections", "needs 6"]),
        ("in another encoding", at("postgres", "latin"), &["LATIN1", "UTF8"]),
        ("another program's schema", database.url("theirs"), &["another program's", "?schema=NAME"]),
        ("of a newer release", database.url("newer"), &["newer Roomful (schema 99"]),
        ("a standby", standby.url("s"), &["is a standby", "the primary"]),
        ("behind a pooler", pooler, &["pooler in transaction mode", "the database itself"]),
        ("a web server", url(strangers[0], "x"), &["is no PostgreSQL", "HTTP/1.1 400"]),
        ("another database", url(strangers[1], "x"), &["is no PostgreSQL", "8.0.36"]),
    ];
    for (what, url, words) in cases {
        let said = refused(&[], &settings(&url, &[]));
        assert!(words.iter().all(|word| said.contains(word)), "{what}: {said}");
    }
}

/// What says that to whoever connects: its port.
fn stranger(says: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut heard = [0; 64];
            let _ = stream.read(&mut heard);
            let _ = stream.write_all(says.as_bytes());
        }
    });
    port
}

#[tokio::test]
async fn a_folder_that_a_node_runs_on_is_no_other_nodes() {
    let (url, _) = Database::shared().own_url();
    let one = node(&url, &[]).await;

    let said = refused_on(one.data.path(), &[], &settings(&url, &[]));

    assert!(said.contains("serves"), "{said}");
    assert!(has_records(&one));
}

#[tokio::test]
async fn a_database_that_is_full_refuses_changes_and_nothing_else_and_is_well_again_by_itself() {
    let disk = SmallDisk::mount();
    let database = Database::start(&[]);
    chown(disk.path(), Some(database.owner()), None).unwrap();
    database.sql(&format!("CREATE TABLESPACE small LOCATION '{}'", disk.path().display()));
    database.sql("ALTER ROLE postgres SET default_tablespace = 'small'");
    let [one, two] = nodes(&database.url("roomful")).await;
    one.create_room("r").await;
    let _ann = two.enter("ann", "r").await;
    let ballast = disk.fill();

    let mut refusal = Value::Null;
    for count in 0..2000 {
        let answer = two.live("create_room", room(&format!("r-{count}"))).await;
        if answer["ErrorCode"] != 0 {
            refusal = answer;
            break;
        }
    }
    assert_eq!(refusal["ErrorCode"], 100_001, "{refusal}");
    assert!(refusal["ErrorInfo"].as_str().unwrap().contains("disk is full"), "{refusal}");
    // Longer than the lease.
    let until = Instant::now() + Duration::from_secs(12);
    while Instant::now() < until {
        assert_eq!(list(&one, "r").await, ["ann"]);
        assert_eq!(list(&two, "r").await, ["ann"]);
        sleep(Duration::from_millis(200)).await;
    }
    assert!(has_records(&one));

    std::fs::remove_file(ballast).unwrap();
    make(&two, "s", TAKEOVER).await;
}

/// A node that says what it has to say to a file of that name.
async fn logged(url: &str, logs: &TempDir, name: &str) -> Server {
    let log = File::create(logs.path().join(name)).unwrap();
    let settings = settings(url, &[]);
    let environment: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let log = |command: &mut Command| {
        command.stderr(log);
    };
    Server::prepared(&environment, log).await
}

#[tokio::test]
async fn a_node_of_an_older_release_does_not_take_over_what_a_newer_one_has_written() {
    let (url, schema) = Database::shared().own_url();
    let logs = TempDir::new().unwrap();
    let mut newer = node(&url, &[]).await;
    let mut older = logged(&url, &logs, "older").await;
    Database::shared().sql(&format!("UPDATE {schema}.about SET value = '99' WHERE key = 'version'"));
    // It carries as before.
    older.create_room("r").await;

    newer.kill();

    let code = timeout(Duration::from_secs(30), older.exited()).await.unwrap();
    let said = std::fs::read_to_string(logs.path().join("older")).unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("newer Roomful (schema 99"), "{said}");
}

#[tokio::test]
async fn a_database_that_lost_what_it_had_acknowledged_is_found_out_by_all_nodes() {
    let primary = Database::start(&[]);
    let standby = primary.standby();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port, standby.port);
    let url = format!("postgresql://postgres@{hosts}/postgres?schema=roomful");
    let logs = TempDir::new().unwrap();
    let (one, two) = (&logged(&url, &logs, "one").await, &logged(&url, &logs, "two").await);
    one.create_room("kept").await;
    standby.wait_for(&primary);
    // It gets nothing of what follows, and takes the place of the primary all the same.
    standby.down();
    two.create_room("lost").await;
    sleep(Duration::from_secs(5)).await;
    primary.down();
    standby.up();
    standby.promote();

    for node in [one, two] {
        make(node, "next", Duration::from_secs(60)).await;
        // Nobody answers from what the database does not have any more.
        assert!(list(node, "kept").await.is_empty());
        assert_eq!(node.code("get_member_list", json!({"RoomId": "lost", "Next": ""})).await, 100_004);
    }
    let said = ["one", "two"].map(|name| std::fs::read_to_string(logs.path().join(name)).unwrap());
    for said in said {
        assert!(said.contains("the database has lost what it had acknowledged"), "{said}");
    }
    // It is said until somebody has read it.
    let says = async |node: &Server| {
        let (status, ready) = node.get("/readyz").await;
        let listed = text(&node.cli(&["cluster", "status"]).stdout);
        let lost = "lost what it had acknowledged";
        assert_eq!(status, 200, "{ready}");
        [ready.contains(lost), listed.contains(lost), harness::nodes::status(node)["lost"].is_string()]
    };
    assert_eq!((says(one).await, says(two).await), ([true; 3], [true; 3]));
    assert!(one.cli(&["cluster", "status", "--acknowledge"]).status.success());
    assert_eq!((says(one).await, says(two).await), ([false; 3], [true; 3]));
}

#[tokio::test]
async fn nobody_leaves_a_list_and_none_goes_unanswered_while_the_database_fails_over_for_half_a_minute() {
    fails_over(&[]).await;
}

/// The same without anybody's promise.
#[tokio::test]
async fn nor_do_they_with_a_lease_that_is_longer_than_a_failover() {
    fails_over(&[("ROOMFUL_CLUSTER__LEASE", "40s")]).await;
}

/// The primary is gone, and its synchronous standby takes its place half a minute later.
async fn fails_over(settings: &[(&str, &str)]) {
    let primary = Database::start(&[]);
    let standby = primary.standby();
    primary.expect_standby();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port, standby.port);
    let url = format!("postgresql://postgres@{hosts}/postgres?schema=roomful");
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(node(&url, settings).await);
    }
    let by_promises = |said: &Value| of(said, &all[0])["by_promises"] == true;
    assert!(!by_promises(&status(&all[1])));
    all[0].create_room("r").await;
    let members =
        [all[0].enter("ann", "r").await, all[1].enter("ben", "r").await, all[2].enter("cat", "r").await];
    // Whoever answers no ping is off the list as well.
    let there = members.map(|mut member| {
        tokio::spawn(async move {
            let ended = async { while member.read().await.is_ok() {} };
            assert!(
                timeout(Duration::from_secs(34), ended).await.is_err(),
                "a member's connection has ended"
            );
            member
        })
    });
    // What is told is on the standby too a moment later.
    sleep(Duration::from_secs(1)).await;

    primary.down();

    let began = Instant::now();
    let (mut lists, mut refused) = (0, 0);
    while began.elapsed() < Duration::from_secs(30) {
        for node in &all {
            assert_eq!(list(node, "r").await, ["ann", "ben", "cat"]);
            lists += 1;
        }
        if lists % 30 == 0 {
            let changes = all.iter().map(|node| node.live("create_room", room("s")));
            for answer in join_all(changes).await {
                assert_eq!(answer["ErrorCode"], 100_001, "{answer}");
                let why = answer["ErrorInfo"].as_str().unwrap();
                assert!(why.contains("the database is away"), "{why}");
                refused += 1;
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
    println!("{lists} lists, {refused} changes refused");
    assert!(lists >= 60 && refused > 2);
    // Each node knows whether it is by its promise that the lists are answered, and says so without the database.
    for node in &all {
        let said = status(node);
        assert_eq!(by_promises(&said), settings.is_empty(), "{said}");
        assert_eq!(said["nodes"].as_array().unwrap().len(), 3, "{said}");
        assert!(said["engine"]["away"].is_string(), "{said}");
        let table = text(&node.cli(&["cluster", "status"]).stdout);
        assert_eq!(table.contains("here, by promises"), settings.is_empty(), "{table}");
    }
    standby.promote();
    standby.expect_nobody();
    for node in &all {
        make(node, "s", TAKEOVER).await;
        assert_eq!(list(node, "r").await, ["ann", "ben", "cat"]);
    }
    // The lease is renewed with the next beat, and the other nodes read of it.
    let since = Instant::now();
    while by_promises(&status(&all[1])) && since.elapsed() < TAKEOVER {
        sleep(Duration::from_millis(100)).await;
    }
    let said = status(&all[1]);
    assert!(has_records(&all[0]) && !by_promises(&said), "nobody has taken over: {said}");
    for member in there {
        let mut member = member.await.unwrap();
        member.ok("send_text_msg", json!({"RoomId": "r", "Text": "hello"})).await;
    }
}

/// Two faults at once: nobody can promise for one that is gone, and nobody's word that it is would do.
#[tokio::test]
async fn a_node_that_is_killed_while_the_database_is_away_silences_the_others_until_it_is_back() {
    let database = Database::start(&[]);
    let [one, two, mut three] = nodes(&database.url("roomful")).await;
    one.create_room("r").await;
    let ann = one.enter("ann", "r").await;
    sleep(Duration::from_secs(3)).await;
    let list_of_r = json!({"RoomId": "r", "Next": ""});
    database.down();
    let down_at = Instant::now();
    while down_at.elapsed() < Duration::from_secs(12) {
        assert_eq!(list(&two, "r").await, ["ann"]);
        sleep(Duration::from_millis(200)).await;
    }

    three.kill();

    // Its last promise is over by then, and nobody waits for a moment without an answer.
    sleep(Duration::from_secs(7)).await;
    for node in [&one, &two] {
        let answer =
            timeout(LONGEST, node.try_call("live_engine_http_srv/get_member_list", list_of_r.clone()));
        // It may be about to begin anew, which ends connections.
        if let Ok(answer) = answer.await.unwrap() {
            assert_eq!(answer["ErrorCode"], 100_001, "{answer}");
        }
    }

    database.up();
    for node in [&one, &two] {
        make(node, "s", TAKEOVER + TAKEOVER).await;
    }
    let (_ann, answer) = resume(&two, &ann.resume_token, TAKEOVER).await;
    assert_eq!(answer["Rooms"], json!(["r"]), "{answer}");
    assert_eq!(list(&one, "r").await, ["ann"]);
}

/// The one with the records and all that it knew of are gone at once: nobody else knows what they have promised.
#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_takes_over_at_an_operators_word_where_all_others_are_gone() {
    let (url, schema) = Database::shared().own_url();
    let [mut one, mut two] = nodes(&url).await;
    one.create_room("r").await;
    let former = id(&one);
    let runs = status(&one);
    let (run, named) = (&of(&runs, &one)["run"], &of(&runs, &two)["run"]);
    let is_named = format!("SELECT {named} = ANY(names) FROM {schema}.mesh WHERE generation = {run}");
    let until = Instant::now() + TAKEOVER;
    while Database::shared().sql(&is_named) != "t" {
        assert!(Instant::now() < until, "the one with the records does not name the other");
        sleep(Duration::from_millis(50)).await;
    }
    one.kill();
    two.kill();
    let folder = Arc::new(TempDir::new().unwrap());
    let three = tokio::spawn(Server::on(folder.clone(), settings(&url, &[])));
    let forget = |id: &str| cli_on(folder.path(), &["cluster", "forget", id]);
    // By itself it would wait for two minutes.
    sleep(Duration::from_secs(15)).await;
    assert!(!three.is_finished());

    let forgotten = forget(&former);

    assert!(forgotten.status.success(), "{}", text(&forgotten.stderr));
    let three = timeout(TAKEOVER, three).await.unwrap().unwrap();
    assert!(has_records(&three));
    assert!(list(&three, "r").await.is_empty());
    for (id, words) in [(id(&three), "lives"), (former, "no node"), ("nobody".into(), "no node")] {
        let refused = forget(&id);
        let said = text(&refused.stderr);
        assert!(!refused.status.success() && said.contains(words), "{said}");
    }
}

/// Debian's, which `make test` installs.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

#[tokio::test]
async fn a_node_whose_clock_is_an_hour_off_goes_by_that_of_all() {
    assert!(std::path::Path::new(FAKETIME).exists(), "`make test` installs faketime");
    let (url, _) = Database::shared().own_url();
    let mut one = node(&url, &[]).await;
    let off = [("LD_PRELOAD", FAKETIME), ("FAKETIME", "+1h"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    let two = node(&url, &off).await;
    one.create_room("r").await;
    let ann = one.enter("ann", "r").await;
    let muted = json!({"RoomId": "r", "MemberList_Account": ["ann"], "MuteTime": 40});
    one.ok("mute_member", muted).await;
    let muted_at = Instant::now();
    let by = of(&status(&one), &two)["clock_ahead_ms"].as_i64().unwrap();
    assert!((3_590_000..3_610_000).contains(&by), "{by}");
    sleep(Duration::from_millis(500)).await;

    // What began by one clock goes on by the same.
    one.kill();
    let (mut ann, _) = resume(&two, &ann.resume_token, TAKEOVER).await;
    let say = json!({"RoomId": "r", "Text": "hello"});
    assert!(muted_at.elapsed() < Duration::from_secs(38));
    assert_ne!(ann.call("send_text_msg", say.clone()).await["ErrorCode"], 0, "it is over an hour early");
    let until = muted_at + Duration::from_secs(50);
    while ann.call("send_text_msg", say.clone()).await["ErrorCode"] != 0 {
        assert!(Instant::now() < until, "it does not end");
        sleep(Duration::from_millis(500)).await;
    }
    assert!(muted_at.elapsed() > Duration::from_secs(38), "{:?}", muted_at.elapsed());
}

#[tokio::test]
async fn a_node_that_only_its_clients_do_not_reach_loses_none_of_them() {
    let (url, _) = Database::shared().own_url();
    let [one, two, three] = nodes(&url).await;
    one.create_room("r").await;
    let wire = Wire::to(two.address.rsplit_once(':').unwrap().1.parse().unwrap());
    let mut ann = Client::connect_to(&format!("127.0.0.1:{}", wire.port)).await.unwrap();
    let login = json!({"SdkAppId": two.app, "UserId": "ann", "UserSig": two.sig("ann")});
    let token = ann.ok("login", login).await["ResumeToken"].as_str().unwrap().to_owned();
    ann.ok("enter_room", json!({"RoomId": "r"})).await;
    let _ben = three.enter("ben", "r").await;

    // Its clients hear nothing from it, and go to another as they find out.
    wire.set(Cut::Silence);
    sleep(Duration::from_secs(5)).await;
    let (mut again, answer) = resume(&three, &token, TAKEOVER).await;

    assert_eq!(answer["Rooms"], json!(["r"]), "{answer}");
    assert_eq!(list(&one, "r").await, ["ann", "ben"]);
    // The old connection comes to life, and is nobody's any more.
    wire.set(Cut::Nothing);
    assert_ne!(timeout(LONGEST, ann.closed()).await.unwrap(), Some(1000));
    again.ok("send_text_msg", json!({"RoomId": "r", "Text": "hello"})).await;
    for node in [&one, &two, &three] {
        assert_eq!(list(node, "r").await, ["ann", "ben"]);
    }
}

#[tokio::test]
async fn a_node_that_is_cut_off_from_the_others_only_says_so_and_loses_nobody() {
    let (url, _) = Database::shared().own_url();
    let ([one, two, three], network) = apart(&url).await;
    one.create_room("r").await;
    let ann = three.enter("ann", "r").await;
    let _ben = one.enter("ben", "r").await;
    // It has the page, as lists are asked for in rounds by then.
    let until = Instant::now() + TAKEOVER;
    while three.metric("roomful_cluster_lists_total{page=\"kept\"}").await.unwrap_or(0.0) < 3.0 {
        assert!(Instant::now() < until, "lists are carried one by one");
        assert_eq!(list(&three, "r").await, ["ann", "ben"]);
    }

    network.part(2);

    // It knows that there is another which has the records, and does not reach it.
    let list_of_r = json!({"RoomId": "r", "Next": ""});
    let made = timeout(LONGEST, three.live("create_room", room("s")));
    // It waits for its round first, until the connection is seen to be gone.
    let listed = timeout(LONGEST + Duration::from_secs(5), three.live("get_member_list", list_of_r));
    // Ann's client goes elsewhere meanwhile: her session is kept for no longer than that may take.
    let resumed = resume(&two, &ann.resume_token, TAKEOVER);
    let (made, listed, (ann, _)) = tokio::join!(made, listed, resumed);
    for answer in [made.unwrap(), listed.unwrap()] {
        assert_eq!(answer["ErrorCode"], 100_001, "{answer}");
        assert!(answer["ErrorInfo"].as_str().unwrap().contains("network between"), "{answer}");
    }
    // It was silent for that long.
    let (mut ann, _) = resume(&two, &ann.resume_token, TAKEOVER).await;
    assert_eq!(list(&one, "r").await, ["ann", "ben"]);
    assert_eq!(list(&two, "r").await, ["ann", "ben"]);
    assert!(has_records(&one), "nobody takes them from who can say that it lives");

    network.mend();
    make(&three, "s", TAKEOVER).await;
    assert_eq!(list(&three, "r").await, ["ann", "ben"]);
    ann.ok("send_text_msg", json!({"RoomId": "r", "Text": "hello"})).await;
}

#[tokio::test]
async fn the_one_with_the_records_that_is_cut_off_from_the_others_only_goes_on_for_its_own() {
    let (url, _) = Database::shared().own_url();
    let ([one, two], network) = apart(&url).await;
    one.create_room("r").await;
    let _ben = one.enter("ben", "r").await;

    network.part(0);
    sleep(Duration::from_secs(12)).await;

    assert_eq!(list(&one, "r").await, ["ben"]);
    one.create_room("s").await;
    let answer =
        timeout(LONGEST, two.live("get_member_list", json!({"RoomId": "r", "Next": ""}))).await.unwrap();
    assert_eq!(answer["ErrorCode"], 100_001, "{answer}");
    // Whoever is there may be sent elsewhere: then all can be reached again.
    assert!(drain(&one).await.unwrap().status.success());
    assert_eq!(list(&two, "s").await.len(), 0);
}

#[tokio::test]
async fn a_node_to_which_the_way_is_slow_is_slow_and_nothing_else() {
    let (url, _) = Database::shared().own_url();
    let ([one, two, three], network) = apart(&url).await;
    one.create_room("r").await;
    network.delay(2, Duration::from_millis(250));

    let mut ann = three.enter("ann", "r").await;
    let mut ben = two.enter("ben", "r").await;

    let until = Instant::now() + Duration::from_secs(15);
    for count in 0.. {
        for (node, is_slow) in [(&one, false), (&two, false), (&three, true)] {
            let asked = Instant::now();
            assert_eq!(list(node, "r").await, ["ann", "ben"]);
            let took = asked.elapsed();
            assert!(took < Duration::from_millis(if is_slow { 5000 } else { 2000 }), "{took:?}");
        }
        ann.ok("send_text_msg", json!({"RoomId": "r", "Text": count.to_string()})).await;
        assert_eq!(ben.event("text_msg").await["Text"], count.to_string());
        if Instant::now() > until {
            break;
        }
    }
    assert!(has_records(&one));
}

#[tokio::test]
async fn records_are_dumped_and_brought_back_as_another_cluster() {
    let (url, schema) = Database::shared().own_url();
    let [one, two] = nodes(&url).await;
    one.create_room("r").await;
    two.ok("set_room_metadata", json!({"RoomId": "r", "Metadata": [{"Key": "a", "Value": "1"}]})).await;
    let _ann = two.enter("ann", "r").await;
    one.import(&["ben"]).await;
    one.ok("ban_member", json!({"RoomId": "r", "MemberList_Account": ["ben"], "Duration": 600})).await;
    // While it is in use.
    let dump = Database::shared().dump(&schema);
    one.create_room("later").await;

    let elsewhere = Database::start(&[]);
    elsewhere.load(&dump);
    // Or it would take the original's nodes, which are there yet, for its own.
    elsewhere.sql(&format!("UPDATE {schema}.nodes SET over = true"));
    let (first, second) =
        (node(&elsewhere.url(&schema), &[]).await, node(&elsewhere.url(&schema), &[]).await);

    assert_eq!(status(&first)["nodes"].as_array().unwrap().len(), 2);
    assert_eq!(first.app, one.app);
    let metadata = second.ok("get_room_metadata", json!({"RoomId": "r", "Keys": []})).await;
    assert_eq!(metadata["Metadata"][0]["Value"], "1");
    let banned = second.ok("get_banned_member_list", json!({"RoomId": "r", "Next": ""})).await;
    assert!(banned.to_string().contains("ben"), "{banned}");
    assert_eq!(second.code("get_member_list", json!({"RoomId": "later", "Next": ""})).await, 100_004);
    // The former goes on beside it, and neither is in the way of the other.
    wait_until_ready(&two).await;
    assert_eq!(list(&two, "r").await, ["ann"]);
    second.wait_for_members("r", &[], Duration::from_secs(40)).await;
}
