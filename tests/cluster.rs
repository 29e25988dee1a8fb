//! Several nodes on one database, from the outside: they answer alike, one takes over from another, and nobody who is there leaves
//! a list.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::nodes::{
    OTHER_SECRET, SECRET, TAKEOVER, drain, has_records, id, list, node, nodes, of, refused, resume, settings,
    status, text, until_done, wait_until_ready,
};
use harness::postgres::{Cut, Database, Wire};
use harness::rtc::Caller;
use harness::{PATIENT, Server, value_in};
use serde_json::{Value, json};
use tempfile::TempDir;

#[tokio::test]
async fn every_node_answers_alike_and_members_of_one_room_are_at_all_of_them() {
    let (url, _) = Database::shared().own_url();
    let [one, two, three] = nodes(&url).await;
    two.create_room("r").await;

    let mut ann = two.enter("ann", "r").await;
    let mut ben = three.enter("ben", "r").await;
    let cat = one.enter("cat", "r").await;

    for node in [&one, &two, &three] {
        assert_eq!(list(node, "r").await, ["ann", "ben", "cat"]);
    }
    ann.ok("send_text_msg", json!({"RoomId": "r", "Text": "hello"})).await;
    assert_eq!(ben.event("text_msg").await["Text"], "hello");
    three.ok("ban_member", json!({"RoomId": "r", "MemberList_Account": ["ann"], "Duration": 60})).await;
    for node in [&one, &two, &three] {
        assert_eq!(list(node, "r").await, ["ben", "cat"]);
    }

    let apps = |node: &Server| text(&node.cli(&["app", "list", "--json"]).stdout);
    assert!(two.cli(&["app", "create", "--name", "second"]).status.success());
    assert_eq!(apps(&one), apps(&three));
    assert!(apps(&one).contains("second"));
    let rooms = two.cli(&["room", "list", "--json"]);
    assert!(text(&rooms.stdout).contains("\"r\""), "{} {}", text(&rooms.stdout), text(&rooms.stderr));
    tokio::time::sleep(Duration::from_secs(4)).await;
    let status = status(&three);
    assert_eq!(status["engine"]["kind"], "postgresql");
    assert_eq!(status["nodes"].as_array().unwrap().len(), 3);
    assert_eq!((&of(&status, &one)["rooms"], &of(&status, &three)["sessions"]), (&json!(1), &json!(1)));
    assert_eq!(of(&status, &two)["state"], "alive");
    assert_eq!(three.get("/readyz").await.0, 200);
    cat.close().await;
}

/// What all members of a room are told goes to each node once, and is put into each member's stream there; in the order in which it
/// was said, between what each alone is told.
#[tokio::test]
async fn what_a_room_is_told_goes_to_a_node_once() {
    let (url, _) = Database::shared().own_url();
    let [one, two] = nodes(&url).await;
    one.create_room("r").await;
    let mut there = Vec::new();
    for number in 0..10 {
        there.push(two.enter(&format!("member-{number}"), "r").await);
    }
    let mut ann = one.enter("ann", "r").await;
    ann.ok("send_text_msg", json!({"RoomId": "r", "Text": "first"})).await;
    for member in &mut there {
        assert_eq!(member.event("text_msg").await["Text"], "first");
    }
    let counted = async || {
        let metrics = one.metrics().await;
        let of = |what: &str| value_in(&metrics, &format!("roomful_cluster_frames_{what}_total"));
        ["told", "numbered", "placed"].map(|what| of(what).unwrap_or(0.0))
    };
    let before = counted().await;

    for number in 0..20 {
        ann.ok(
            "send_text_msg",
            json!({"RoomId": "r", "Text": format!("{number} {}", "x".repeat(number * 100))}),
        )
        .await;
    }
    for member in &mut there {
        for number in 0..20 {
            let text = member.event("text_msg").await["Text"].as_str().unwrap().to_owned();
            assert_eq!(text, format!("{number} {}", "x".repeat(number * 100)));
            if number % 7 == 0 {
                member.ok("get_member_list", json!({"RoomId": "r", "Next": ""})).await;
            }
        }
    }

    let after = counted().await;
    let [told, numbered, placed] = std::array::from_fn(|at| after[at] - before[at]);
    // The last to be sent a frame may be the only one who has it, and is sent it as it is. The room says of itself that it lives as well.
    assert!((20.0..=22.0).contains(&told), "{told}");
    assert!((150.0..=10.0 * told).contains(&numbered), "{numbered}");
    assert_eq!(placed, numbered, "none takes the way by the streams while nothing is slow");
}

/// Who does not read is too far behind at some time, which holds up nobody else at the node.
#[tokio::test]
async fn one_who_reads_too_slowly_at_another_node_is_disconnected_and_delays_nobody() {
    let (url, _) = Database::shared().own_url();
    let (one, two) = (node(&url, PATIENT).await, node(&url, PATIENT).await);
    one.create_room("r").await;
    let mut slow = two.enter("slow", "r").await;
    let mut ben = two.enter("ben", "r").await;
    let mut ann = one.enter("ann", "r").await;
    let text = "x".repeat(12_000);

    let mut slowest = Duration::ZERO;
    for number in 0..2000 {
        let started = Instant::now();
        ann.ok("send_text_msg", json!({"RoomId": "r", "Text": format!("{number} {text}")})).await;
        slowest = slowest.max(started.elapsed());
        ann.events.clear();
        let heard = ben.event("text_msg").await;
        assert!(heard["Text"].as_str().unwrap().starts_with(&format!("{number} ")));
        ben.events.clear();
    }

    assert!(slowest < Duration::from_secs(2), "a message took {slowest:?}");
    assert_eq!(list(&one, "r").await, ["slow", "ben", "ann"], "it may resume");
    assert!(matches!(slow.closed().await, Some(4003) | None));
}

#[tokio::test]
async fn a_node_that_is_killed_with_the_records_loses_nobody() {
    let (url, _) = Database::shared().own_url();
    let [mut one, two, three] = nodes(&url).await;
    one.create_room("r").await;
    let ann = one.enter("ann", "r").await;
    let ben = two.enter("ben", "r").await;
    let cat = three.enter("cat", "r").await;
    // Presence is written a moment behind the answers.
    tokio::time::sleep(Duration::from_millis(500)).await;

    one.kill();
    let killed = Instant::now();

    // Each goes on at another node than it was at.
    let answer = two.live("get_member_list", json!({"RoomId": "r", "Next": ""})).await;
    println!("a list after {:?}: {answer}", killed.elapsed());
    for (client, node) in [(ann, &two), (ben, &three), (cat, &two)] {
        let (_, answer) = resume(node, &client.resume_token, TAKEOVER).await;
        assert_eq!(answer["Rooms"], json!(["r"]), "{answer}");
        std::mem::forget(client);
    }
    println!("all are back after {:?}", killed.elapsed());
    assert!(killed.elapsed() < TAKEOVER);
    two.create_room("s").await;
    let status = status(&three);
    assert_eq!(status["nodes"].as_array().unwrap().len(), 2, "{status}");
}

#[tokio::test]
async fn members_of_a_node_that_is_gone_are_off_the_list_in_time_and_the_others_are_not() {
    let (url, _) = Database::shared().own_url();
    let [one, mut two] = nodes(&url).await;
    one.create_room("r").await;
    let mut ann = one.enter("ann", "r").await;
    let _ben = two.enter("ben", "r").await;
    // Who answers no ping is off the list as well.
    tokio::spawn(async move { while ann.read().await.is_ok() {} });

    two.kill();

    one.wait_for_members("r", &["ann"], Duration::from_secs(40)).await;
}

#[tokio::test]
async fn a_node_that_was_stopped_and_goes_on_says_nothing_that_is_no_longer_so() {
    let (url, _) = Database::shared().own_url();
    let [one, two] = nodes(&url).await;
    one.create_room("r").await;
    let _ann = one.enter("ann", "r").await;
    let _ben = two.enter("ben", "r").await;
    tokio::time::sleep(Duration::from_millis(500)).await;

    one.signal("STOP");
    let banned = json!({"RoomId": "r", "MemberList_Account": ["ann"], "Duration": 600});
    until_done(&two, "ban_member", banned, TAKEOVER).await;
    one.signal("CONT");

    // It answers with what the other knows, as soon as it answers at all.
    let mut answered = 0;
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        if let Ok(answer) =
            one.try_call("live_engine_http_srv/get_member_list", json!({"RoomId": "r", "Next": ""})).await
            && answer["ErrorCode"] == 0
        {
            answered += 1;
            let members = harness::names(&answer["Response"]["MemberList"]);
            assert!(!members.contains(&"ann".to_owned()), "{members:?}");
        }
    }
    assert!(answered > 0);
    assert!(has_records(&two) && of(&status(&two), &one)["has_records"] == false);
}

#[tokio::test]
async fn a_node_that_is_drained_is_empty_and_nobody_leaves_a_list() {
    let (url, _) = Database::shared().own_url();
    let [one, two] = nodes(&url).await;
    one.create_room("r").await;
    let mut ann = one.enter("ann", "r").await;
    let mut ben = two.enter("ben", "r").await;

    let drain = drain(&one);
    // Both hear that they are to come back, and do.
    ann.event("reconnect").await;
    ben.event("reconnect").await;
    let (mut ann, _) = resume(&two, &ann.resume_token, TAKEOVER).await;
    let (_ben, _) = resume(&two, &ben.resume_token, TAKEOVER).await;

    let drained = drain.await.unwrap();
    assert!(drained.status.success(), "{}", text(&drained.stderr));
    assert_eq!(list(&two, "r").await, ["ann", "ben"]);
    assert_eq!(list(&one, "r").await, ["ann", "ben"], "it takes calls all the same");
    assert!(one.try_connect().await.is_none(), "and no members");
    assert_eq!(one.get("/readyz").await.0, 503);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let status = status(&two);
    assert_eq!(
        (&of(&status, &one)["state"], &of(&status, &one)["has_records"]),
        (&json!("draining"), &json!(false))
    );
    ann.ok("send_text_msg", json!({"RoomId": "r", "Text": "hello"})).await;
}

#[tokio::test]
async fn a_node_that_ends_hands_over_at_once() {
    let (url, _) = Database::shared().own_url();
    let [mut one, two] = nodes(&url).await;
    one.create_room("r").await;
    let ben = two.enter("ben", "r").await;

    let (code, _) = one.terminate().await;
    let ended = Instant::now();
    assert_eq!(code, Some(0));

    let (_ben, _) = resume(&two, &ben.resume_token, TAKEOVER).await;
    assert!(ended.elapsed() < Duration::from_secs(6), "{:?}", ended.elapsed());
    assert_eq!(list(&two, "r").await, ["ben"]);
}

#[tokio::test]
async fn what_is_no_node_of_the_cluster_is_refused_and_told_why() {
    let (url, schema) = Database::shared().own_url();
    let [one] = nodes(&url).await;

    let mut environment = settings(&url, &[]);
    environment[1].1 = OTHER_SECRET.into();
    let said = refused(&[], &environment);
    assert!(said.contains("have another cluster.secret"), "{said}");

    environment[1].1 = "hunter2".into();
    let said = refused(&[], &environment);
    assert!(said.contains("roomful cluster secret"), "{said}");

    let without = [("ROOMFUL_LIMITS__CALLS_PER_SECOND".to_owned(), "0".to_owned())];
    let said = refused(&["--cluster", &url], &without);
    assert!(said.contains("ROOMFUL_CLUSTER__SECRET"), "{said}");

    let alone = [("ROOMFUL_STORE__URL".to_owned(), url.clone())];
    let said = refused(&[], &alone);
    assert!(said.contains("another server has the schema"), "{said}");

    let everywhere = settings(&url, &[("ROOMFUL_SERVER__LISTEN", "0.0.0.0:0")]);
    let said = refused(&["--cluster", &url], &everywhere);
    assert!(said.contains("cluster.advertise"), "{said}");

    // Another schema is another cluster.
    let other = node(&Database::shared().url(&format!("{schema}_other")), &[]).await;
    assert_eq!(status(&other)["nodes"].as_array().unwrap().len(), 1);
    assert_eq!(status(&one)["nodes"].as_array().unwrap().len(), 1);
    let secret = one.cli(&["cluster", "secret"]);
    assert_eq!(text(&secret.stdout).trim().len(), 64);
}

/// The second is added everywhere, then shown, then alone; at each step nodes of two steps answer for each other.
#[tokio::test]
async fn the_secret_is_changed_while_nodes_run() {
    let (url, _) = Database::shared().own_url();
    let with = async |secrets: &str| node(&url, &[("ROOMFUL_CLUSTER__SECRET", secrets)]).await;
    let (both, turned) = (format!("{SECRET},{OTHER_SECRET}"), format!("{OTHER_SECRET}\n{SECRET}\n"));
    let mut running = with(SECRET).await;
    running.create_room("r").await;

    for secrets in [&both, &both, &turned, &turned, OTHER_SECRET, OTHER_SECRET] {
        let next = with(secrets).await;
        for node in [&running, &next] {
            assert_eq!(
                node.live("get_member_list", json!({"RoomId": "r", "Next": ""})).await["ErrorCode"],
                0,
                "{secrets}"
            );
        }
        assert_eq!(running.terminate().await.0, Some(0));
        running = next;
    }

    let said = refused(&[], &settings(&url, &[]));
    assert!(said.contains("have another cluster.secret"), "{said}");
}

#[tokio::test]
async fn a_copied_data_folder_is_a_node_of_its_own() {
    let (url, _) = Database::shared().own_url();
    let [one] = nodes(&url).await;
    let copy = Arc::new(TempDir::new().unwrap());
    for name in ["node", "database"] {
        std::fs::copy(one.data.path().join(name), copy.path().join(name)).unwrap();
    }

    let two = Server::on(copy, settings(&url, &[])).await;

    assert_ne!(id(&one), id(&two));
    assert!(has_records(&one) && !has_records(&two));
}

#[tokio::test]
async fn a_database_that_is_away_for_less_than_the_lease_is_not_noticed_by_who_reads() {
    let database = Database::start(&[]);
    let wire = Wire::to(database.port);
    let (one, two) = {
        let more = [("ROOMFUL_CLUSTER__LEASE", "40s")];
        (node(&wire.url("roomful"), &more).await, node(&wire.url("roomful"), &more).await)
    };
    one.create_room("r").await;
    let _ann = one.enter("ann", "r").await;
    let _ben = two.enter("ben", "r").await;

    wire.set(Cut::All);
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        assert_eq!(list(&one, "r").await, ["ann", "ben"]);
        assert_eq!(list(&two, "r").await, ["ann", "ben"]);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let refused = two.live("create_room", json!({"RoomInfo": {"RoomId": "s", "RoomType": "Live"}})).await;
    assert_eq!(refused["ErrorCode"], 100_001, "{refused}");
    assert!(refused["ErrorInfo"].as_str().unwrap().contains("the database is away"), "{refused}");

    wire.set(Cut::Nothing);
    let room = json!({"RoomInfo": {"RoomId": "s", "RoomType": "Live"}});
    until_done(&two, "create_room", room, TAKEOVER).await;
    assert_eq!(list(&one, "r").await, ["ann", "ben"]);
    assert!(has_records(&one));
}

#[tokio::test]
async fn a_node_that_is_cut_off_from_the_database_lets_go_and_another_takes_over() {
    let database = Database::start(&[]);
    let wire = Wire::to(database.port);
    let one = node(&wire.url("roomful"), &[]).await;
    let two = node(&database.url("roomful"), &[]).await;
    one.create_room("r").await;
    one.import(&["ben"]).await;
    let ann = one.enter("ann", "r").await;
    tokio::time::sleep(Duration::from_millis(500)).await;

    wire.set(Cut::All);

    let (_ann, answer) = resume(&two, &ann.resume_token, Duration::from_secs(30)).await;
    assert_eq!(answer["Rooms"], json!(["r"]), "{answer}");
    // Nothing can be changed before another has the records.
    let banned = json!({"RoomId": "r", "MemberList_Account": ["ben"], "Duration": 60});
    until_done(&two, "ban_member", banned, Duration::from_secs(30)).await;
    assert!(has_records(&two));
    // Whoever is asked says what is so, or that it does not know.
    for _ in 0..20 {
        if let Ok(answer) =
            one.try_call("live_engine_http_srv/get_banned_member_list", json!({"RoomId": "r"})).await
        {
            assert!(answer["ErrorCode"] != 0 || answer.to_string().contains("ben"), "{answer}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    wire.set(Cut::Nothing);
    let until = Instant::now() + TAKEOVER;
    loop {
        let answer =
            one.try_call("live_engine_http_srv/get_member_list", json!({"RoomId": "r", "Next": ""})).await;
        if answer.is_ok_and(|answer| answer["ErrorCode"] == 0) {
            break;
        }
        assert!(Instant::now() < until, "it does not come back");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(has_records(&two));
}

#[tokio::test]
async fn the_rtc_api_is_answered_by_every_node() {
    let (url, _) = Database::shared().own_url();
    let [one, two] = nodes(&url).await;
    let key = two.key(&[]);
    one.ok("room_engine_http_srv/create_room", json!({"RoomInfo": {"RoomId": "r"}})).await;
    let _ann = two.enter("ann", "r").await;

    // Signed for the address that is called.
    let answer = key
        .call("RemoveUserByStrRoomId", json!({"SdkAppId": two.app, "RoomId": "r", "UserIds": ["ann"]}))
        .await;

    assert_eq!(harness::rtc::code(&answer), "", "{answer}");
    let members = one.ok("room_engine_http_srv/get_room_member_list", json!({"RoomId": "r"})).await;
    assert_eq!(members["MemberList"], json!([]));
}

/// What every action answers of a room that is known by `comm`.
async fn history(key: &Caller, app: u32, began: u64, comm: &Value) -> Vec<Value> {
    let window = json!({"SdkAppId": app, "StartTime": began - 60, "EndTime": began + 600});
    let with = |more: Value| {
        let mut body = window.clone();
        more.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        body
    };
    let of_room = with(json!({"CommId": comm, "PageNumber": 0, "PageSize": 6}));
    let calls = [
        ("DescribeRoomInfo", with(json!({}))),
        ("DescribeUserInfo", of_room.clone()),
        ("DescribeCallDetailInfo", of_room),
        ("DescribeUserEvent", with(json!({"CommId": comm, "RoomId": "r", "UserId": "ben"}))),
        ("DescribeTrtcUsage", json!({"SdkAppId": app, "StartTime": date(began), "EndTime": date(began)})),
    ];
    let mut answers = Vec::new();
    for (action, body) in calls {
        let mut answer = key.call(action, body).await;
        assert_eq!(harness::rtc::code(&answer), "", "{action}: {answer}");
        answer.as_object_mut().unwrap().remove("RequestId");
        answers.push(answer);
    }
    answers
}

/// The same without what changes from one moment to the next: what lives lives until now, and uses more.
fn known(answers: &[Value]) -> Vec<Value> {
    let mut known = answers[..4].to_vec();
    let lists = [(0, "RoomList", "DestroyTime"), (1, "UserList", "LeaveTs"), (2, "UserList", "LeaveTs")];
    for (at, list, end) in lists {
        for row in known[at][list].as_array_mut().unwrap() {
            if row["IsFinished"] == json!(false) || row["Finished"] == json!(false) {
                row[end] = Value::Null;
            }
        }
    }
    known
}

fn date(seconds: u64) -> String {
    history::date(seconds.cast_signed())
}

/// What rooms have used of sound, in seconds.
async fn sound(key: &Caller, app: u32, began: u64) -> u64 {
    let (from, to) = (began - began % 300, harness::now() + 600);
    let text = |at: u64| format!("{} {:02}:{:02}", date(at), at / 3600 % 24, at / 60 % 60);
    let answer = key
        .call("DescribeTrtcRoomUsage", json!({"SdkAppid": app, "StartTime": text(from), "EndTime": text(to)}))
        .await;
    let data = answer["Data"].as_str().unwrap_or_else(|| panic!("{answer}"));
    data.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn what_happened_and_was_used_is_the_clusters_and_outlives_the_node_that_wrote_it() {
    let (url, _) = Database::shared().own_url();
    let began = harness::now();
    let [mut one, two] = nodes(&url).await;
    let (of_one, of_two) = (Caller { address: one.address.clone(), ..two.key(&[]) }, two.key(&[]));
    one.create_room("over").await;
    one.create_room("r").await;
    let (ann, mut ben) = (two.enter("ann", "r").await, one.enter("ben", "r").await);
    one.ok("destroy_room", json!({"RoomId": "over"})).await;
    ben.ok("leave_room", json!({"RoomId": "r"})).await;
    let app = one.app;
    let list = json!({"SdkAppId": app, "StartTime": began - 60, "EndTime": began + 600, "RoomId": "r"});
    // Usage is told every half minute.
    let until = Instant::now() + Duration::from_secs(60);
    let told = loop {
        let seconds = sound(&of_two, app, began).await;
        if seconds > 5 {
            break seconds;
        }
        assert!(Instant::now() < until, "nothing was used");
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    let room = of_two.call("DescribeRoomInfo", list.clone()).await;
    let comm = room["RoomList"][0]["CommId"].clone();
    let before = history(&of_one, app, began, &comm).await;
    let users = &before[1]["UserList"];
    assert_eq!((before[0]["Total"].as_u64(), before[1]["Total"].as_u64()), (Some(2), Some(2)), "{before:?}");
    assert_eq!(
        json!([users[0]["UserId"], users[1]["UserId"], users[1]["Finished"]]),
        json!(["ann", "ben", true])
    );
    assert_eq!(known(&history(&of_two, app, began, &comm).await), known(&before), "both answer alike");

    one.kill();
    let (_ann, answer) = resume(&two, &ann.resume_token, TAKEOVER).await;
    assert_eq!(answer["Rooms"], json!(["r"]), "{answer}");
    std::mem::forget(ann);
    wait_until_ready(&two).await;

    let after = history(&of_two, app, began, &comm).await;
    assert_eq!(known(&after), known(&before));
    let minutes = |answers: &[Value]| -> f64 {
        let slots = answers[4]["UsageList"].as_array().unwrap();
        slots.iter().map(|slot| slot["UsageValue"][0].as_f64().unwrap()).sum()
    };
    assert!(minutes(&before) >= 1.0 && minutes(&after) >= minutes(&before), "{after:?}");
    let lasted = harness::now() - began;
    let seconds = sound(&of_two, app, began).await;
    assert!(seconds >= told && seconds <= 2 * lasted, "{told}, then {seconds} of {lasted}");
    // It goes on being counted, and not twice.
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let more = sound(&of_two, app, began).await;
        let lasted = harness::now() - began;
        // Ben was there for a moment.
        assert!(more <= lasted + 5, "{more} of {lasted}");
        if more > seconds + 5 {
            break;
        }
        assert!(Instant::now() < until, "nothing is counted any more");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Rows of a dashboard of now, of slots that are over by then.
async fn slots(key: &Caller, app: u32, from: u64, to: u64) -> Vec<Vec<u64>> {
    let ask = json!({"SdkAppId": app, "StartTime": from, "EndTime": to});
    let answer = key.call("DescribeTRTCRealTimeScaleData", ask).await;
    assert_eq!(harness::rtc::code(&answer), "", "{answer}");
    let values = answer["Data"]["Series"][0]["Values"].as_array().unwrap();
    values.iter().map(|row| serde_json::from_value(row["RowValue"].clone()).unwrap()).collect()
}

#[tokio::test]
async fn dashboards_of_now_know_what_was_before_another_node_took_over() {
    let (url, _) = Database::shared().own_url();
    let began = harness::now();
    let [mut one, two, three] = nodes(&url).await;
    let (app, key) = (one.app, two.key(&[]));
    one.create_room("r").await;
    let (_ann, ben) = (one.enter("ann", "r").await, two.enter("ben", "r").await);
    let _cat = three.enter("cat", "r").await;
    // Of slots that are over: those that go on are not of before.
    let until = Instant::now() + Duration::from_secs(40);
    let before = loop {
        let known = slots(&key, app, began - 60, harness::now()).await;
        let full: Vec<Vec<u64>> = known.into_iter().filter(|row| row[1..] == [3, 1]).collect();
        if full.len() >= 2 {
            break full;
        }
        assert!(Instant::now() < until, "{full:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    // What is said behind the answers is written once a second.
    tokio::time::sleep(Duration::from_secs(2)).await;

    one.kill();
    let (_ben, _) = resume(&two, &ben.resume_token, TAKEOVER).await;
    std::mem::forget(ben);
    wait_until_ready(&two).await;
    wait_until_ready(&three).await;

    let at_three = Caller { address: three.address.clone(), ..key.clone() };
    for key in [&key, &at_three] {
        let known = slots(key, app, began - 60, harness::now()).await;
        for row in &before {
            assert!(known.contains(row), "{row:?} of {before:?} is not in {known:?}");
        }
        assert!(known.iter().all(|row| row[0] + 10 > began), "nothing of when nobody was there: {known:?}");
    }
}
