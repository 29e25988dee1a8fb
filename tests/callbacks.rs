//! Event callbacks, received by a real HTTP server: what is told of real members and their media, how it is signed, and how often it is
//! tried. What real browsers do is in `live.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::time::Duration;

use harness::receiver::{Answer, Received, Receiver, sign};
use harness::{Server, offer};
use serde_json::{Value, json};

const ALLOWED: &[(&str, &str)] =
    &[("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"), ("ROOMFUL_WEBHOOKS__ALLOW_PRIVATE", "true")];
const KEY: &str = "Abc123";

fn set(server: &Server, group: &str, url: &str) {
    let output = server.cli_with(&["callback", "set", "--group", group, "--url", url, "--key", KEY]);
    assert!(output.status.success(), "{output:?}");
}

/// A server that tells a receiver of rooms and of media.
async fn told(receiver: &Receiver) -> Server {
    let server = Server::with(ALLOWED).await;
    set(&server, "room", &receiver.url);
    set(&server, "2", &receiver.url);
    server
}

/// The number of the event.
fn kind(received: &Received) -> u64 {
    received.body["EventType"].as_u64().unwrap()
}

/// What was told once each, in the order of their moments.
fn events(receiver: &Receiver) -> Vec<Received> {
    let mut events: Vec<Received> = Vec::new();
    for received in receiver.all() {
        if received.body["EventType"].is_u64() && events.iter().all(|known| known.id() != received.id()) {
            events.push(received);
        }
    }
    events.sort_by_key(|event| event.body["EventInfo"]["EventMsTs"].as_u64().unwrap());
    events
}

/// Waits for these numbers in this order, and returns the events.
async fn wait_for(receiver: &Receiver, numbers: &[u64]) -> Vec<Received> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let events = events(receiver);
        let found: Vec<u64> = events.iter().map(kind).collect();
        if found == numbers {
            // Nothing comes behind it.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now: Vec<u64> = self::events(receiver).iter().map(kind).collect();
            assert_eq!(now, numbers);
            return events;
        }
        assert!(tokio::time::Instant::now() < deadline, "{found:?}, and not {numbers:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What is told beside where and when.
fn told_of(event: &Received) -> Value {
    let mut info = event.body["EventInfo"].clone();
    for name in ["RoomId", "EventTs", "EventMsTs"] {
        info.as_object_mut().unwrap().remove(name).unwrap();
    }
    info
}

#[tokio::test]
async fn what_members_do_is_told_with_the_documented_bodies_and_signed() {
    let receiver = Receiver::start().await;
    let server = told(&receiver).await;
    server.create_room_with("r", json!({"IsSeatEnabled": true, "MaxSeatCount": 2})).await;
    let mut ann = server.enter("ann", "r").await;
    // Another session of the same user is no other user.
    let again = server.enter("ann", "r").await;
    again.close().await;
    ann.ok("take_seat", json!({"RoomId": "r"})).await;
    ann.ok("leave_seat", json!({"RoomId": "r"})).await;
    ann.ok("take_seat", json!({"RoomId": "r"})).await;
    let _ben = server.enter("ben", "r").await;
    server.ok("kick_user_out", json!({"RoomId": "r", "MemberList_Account": ["ben"]})).await;
    server.import(&["bot"]).await;
    server.ok("add_robot", json!({"RoomId": "r", "RobotList_Account": ["bot"]})).await;
    server.ok("del_robot", json!({"RoomId": "r", "RobotList_Account": ["bot"]})).await;
    ann.ok("leave_room", json!({"RoomId": "r"})).await;
    let mut dan = server.enter("dan", "r").await;
    server.ok("destroy_room", json!({"RoomId": "r"})).await;
    dan.event("room_closed").await;

    let events = wait_for(&receiver, &[101, 103, 105, 105, 105, 103, 104, 104, 103, 102]).await;
    let enters =
        |user: &str| json!({"UserId": user, "Role": 21, "TerminalType": 100, "UserType": 1, "Reason": 1});
    let role = |role: u32| json!({"UserId": "ann", "Role": role});
    let left = |user: &str, role: u32, reason: u32| json!({"UserId": user, "Role": role, "Reason": reason});
    let told: Vec<Value> = events.iter().map(told_of).collect();
    let expected = [
        json!({"UserId": harness::ADMIN}),
        enters("ann"),
        role(20),
        role(21),
        role(20),
        enters("ben"),
        left("ben", 21, 3),
        left("ann", 20, 1),
        enters("dan"),
        json!({}),
    ];
    assert_eq!(told, expected);
    let mut moments = Vec::new();
    for event in &events {
        let (body, info) = (&event.body, &event.body["EventInfo"]);
        assert_eq!((&body["EventGroupId"], &info["RoomId"]), (&json!(1), &json!("r")));
        let (seconds, millis) = (info["EventTs"].as_u64().unwrap(), info["EventMsTs"].as_u64().unwrap());
        assert_eq!(seconds, millis / 1000);
        assert!(body["CallbackTs"].as_u64().unwrap().abs_diff(millis) < 5000);
        assert_eq!(event.headers["sdkappid"], server.app.to_string().as_str());
        assert_eq!(event.headers["content-type"], "application/json");
        assert_eq!(event.headers["sign"], sign(KEY, &event.text).as_str());
        assert_eq!(event.query, "");
        moments.push(millis);
    }
    assert!(moments.is_sorted_by(|one, next| one < next), "{moments:?}");
}

#[tokio::test]
async fn a_room_of_a_number_is_told_by_its_number_and_who_is_lost_by_that() {
    let receiver = Receiver::start().await;
    let mut environment = ALLOWED.to_vec();
    environment.push(("ROOMFUL_PRESENCE__RESUME_GRACE", "1s"));
    environment.push(("ROOMFUL_CALLBACKS__ROOM_URL", &receiver.url));
    let server = Server::with(&environment).await;
    let mut ann = server.log_in("ann").await;
    ann.ok("create_room", json!({"RoomInfo": {"RoomId": "*123", "RoomType": "Conference"}})).await;
    ann.ok("enter_room", json!({"RoomId": "*123"})).await;
    ann.cut();
    wait_for(&receiver, &[101, 103, 104]).await;
    let _again = server.enter("ann", "*123").await;

    let events = wait_for(&receiver, &[101, 103, 104, 103]).await;
    for event in &events {
        assert_eq!(event.body["EventInfo"]["RoomId"], 123);
        assert!(!event.headers.contains_key("sign"), "the configuration file has no key");
    }
    assert_eq!(events[0].body["EventInfo"]["UserId"], "ann");
    let enters = |reason: u32| json!({"UserId": "ann", "Role": 20, "TerminalType": 100, "UserType": 1, "Reason": reason});
    assert_eq!(told_of(&events[1]), enters(1));
    assert_eq!(told_of(&events[2]), json!({"UserId": "ann", "Role": 20, "Reason": 2}));
    assert_eq!(told_of(&events[3]), enters(3), "it tries again within a minute");
}

/// Waits until this has been told, of whatever room.
async fn wait_until_told(receiver: &Receiver, number: u64, user: &str, reason: u64) -> Value {
    let is_it = |event: &&Received| {
        let info = &event.body["EventInfo"];
        kind(event) == number && info["UserId"] == user && info["Reason"] == reason
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let events = events(receiver);
        if let Some(event) = events.iter().find(is_it) {
            return event.body["EventInfo"].clone();
        }
        let told: Vec<&str> = events.iter().map(|event| event.text.as_str()).collect();
        assert!(tokio::time::Instant::now() < deadline, "no {number} of {user} for {reason}: {told:#?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn every_reason_of_coming_and_going_is_told() {
    let receiver = Receiver::start().await;
    let mut environment = ALLOWED.to_vec();
    environment.push(("ROOMFUL_PRESENCE__RESUME_GRACE", "1s"));
    environment.push(("ROOMFUL_CALLBACKS__ROOM_URL", &receiver.url));
    let server = Server::with(&environment).await;
    let call = json!({"RoomInfo": {"RoomId": "call", "RoomType": "Conference"}});
    server.ok("room_engine_http_srv/create_room", call).await;
    let room = json!({"RoomId": "call"});
    let key = server.key(&[]);

    // It leaves, or closes its connection.
    let mut ann = server.enter("ann", "call").await;
    wait_until_told(&receiver, 103, "ann", 1).await;
    ann.ok("leave_room", room.clone()).await;
    wait_until_told(&receiver, 104, "ann", 1).await;
    server.enter("bea", "call").await.close().await;
    wait_until_told(&receiver, 104, "bea", 1).await;
    // Its network is gone, and it comes by the same, or by another.
    server.enter("cem", "call").await.cut();
    wait_until_told(&receiver, 104, "cem", 2).await;
    let _cem = server.enter("cem", "call").await;
    wait_until_told(&receiver, 103, "cem", 3).await;
    let mut dan = server.log_in_on(server.connect_from("192.0.2.1").await, "dan").await;
    dan.ok("enter_room", room.clone()).await;
    dan.cut();
    wait_until_told(&receiver, 104, "dan", 2).await;
    let mut dan = server.log_in_on(server.connect_from("198.51.100.7").await, "dan").await;
    dan.ok("enter_room", room.clone()).await;
    wait_until_told(&receiver, 103, "dan", 2).await;
    // What it came in by is over.
    let mut eve = server.connect().await;
    let login = json!({"SdkAppId": server.app, "UserId": "eve", "UserSig": server.sig_for("eve", 3)});
    eve.ok("login", login).await;
    eve.ok("enter_room", room.clone()).await;
    wait_until_told(&receiver, 104, "eve", 2).await;
    // It is put out, by whichever way.
    let _fay = server.enter("fay", "call").await;
    let out = json!({"RoomId": "call", "MemberList_Account": ["fay"]});
    server.ok("room_engine_http_srv/kick_user_out", out).await;
    wait_until_told(&receiver, 104, "fay", 3).await;
    server.create_room("stage").await;
    let _gus = server.enter("gus", "stage").await;
    let ban = json!({"RoomId": "stage", "MemberList_Account": ["gus"], "Duration": 60});
    server.ok("ban_member", ban).await;
    wait_until_told(&receiver, 104, "gus", 3).await;
    let _hal = server.enter("hal", "call").await;
    let remove = json!({"SdkAppId": server.app, "RoomId": "call", "UserIds": ["hal"]});
    assert_eq!(key.code("RemoveUserByStrRoomId", remove).await, "");
    wait_until_told(&receiver, 104, "hal", 3).await;
    // It is no more.
    let _ian = server.enter("ian", "call").await;
    let delete = json!({"DeleteItem": [{"UserID": "ian"}]});
    assert_eq!(server.call("im_open_login_svc/account_delete", delete).await["ErrorCode"], 0);
    wait_until_told(&receiver, 104, "ian", 5).await;
}

/// The rooms that are connected, each with its owner.
fn owners_told(event: &Value) -> Value {
    let rooms = event["RoomList"].as_array().unwrap();
    rooms.iter().map(|room| json!([room["RoomId"], room["Owner_Account"]])).collect()
}

#[tokio::test]
async fn owners_of_rooms_that_co_host_come_into_each_other_s_and_go() {
    let receiver = Receiver::start().await;
    let server = told(&receiver).await;
    let mut owners = Vec::new();
    for room in ["a", "b", "c"] {
        let owner = format!("own-{room}");
        server.import(&[&owner]).await;
        server.create_room_with(room, json!({"Owner_Account": owner})).await;
        owners.push(server.enter(&owner, room).await);
    }
    let [a, b, c] = owners.as_mut_slice() else { panic!() };
    // Who is in by itself comes in no other way, and does not go with the others.
    let _visitor = server.enter("own-b", "c").await;
    let told = |number: u64| {
        let events = events(&receiver);
        let of_rooms = events.iter().filter(|event| {
            let info = &event.body["EventInfo"];
            kind(event) == number && info["Reason"] == 4
        });
        let named = of_rooms.map(|event| {
            let info = &event.body["EventInfo"];
            format!("{} {}", info["RoomId"].as_str().unwrap(), info["UserId"].as_str().unwrap())
        });
        let mut named: Vec<String> = named.collect();
        named.sort_unstable();
        named
    };
    let wait = async |number: u64, expected: &[&str]| {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while told(number) != expected {
            assert!(tokio::time::Instant::now() < deadline, "{:?}, not {expected:?}", told(number));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(told(number), expected);
    };

    a.ok("request_connection", json!({"RoomId": "a", "ToRoomId": "b"})).await;
    b.ok("accept_connection", json!({"RoomId": "b", "FromRoomId": "a"})).await;
    wait(103, &["a own-b", "b own-a"]).await;
    let info = wait_until_told(&receiver, 103, "own-a", 4).await;
    assert_eq!(
        (&info["Role"], &info["TerminalType"], &info["UserType"]),
        (&json!(20), &json!(100), &json!(1))
    );
    b.ok("request_connection", json!({"RoomId": "b", "ToRoomId": "c"})).await;
    c.ok("accept_connection", json!({"RoomId": "c", "FromRoomId": "b"})).await;
    wait(103, &["a own-b", "a own-c", "b own-a", "b own-c", "c own-a"]).await;
    // A room changes hands.
    server.import(&["heir"]).await;
    server
        .ok("live_engine_http_srv/change_room_owner", json!({"RoomId": "c", "NewOwner_Account": "heir"}))
        .await;
    wait(104, &["a own-c", "b own-c"]).await;
    wait(103, &["a heir", "a own-b", "a own-c", "b heir", "b own-a", "b own-c", "c own-a"]).await;
    let of_now = json!([["a", "own-a"], ["b", "own-b"], ["c", "heir"]]);
    while owners_told(&a.event("connection_changed").await) != of_now {}
    // After a restart nothing is told twice.
    let server = server.restart_in_place().await;
    let (mut a, _b) = (server.enter("own-a", "a").await, server.enter("own-b", "b").await);
    a.ok("leave_connection", json!({"RoomId": "a"})).await;
    wait(104, &["a heir", "a own-b", "a own-c", "b own-a", "b own-c", "c own-a"]).await;
    let info = wait_until_told(&receiver, 104, "own-a", 4).await;
    assert_eq!(info["Role"], 20);
    // Of a room that is over nobody goes; from the others its owner does.
    server.ok("destroy_room", json!({"RoomId": "c"})).await;
    wait(104, &["a heir", "a own-b", "a own-c", "b heir", "b own-a", "b own-c", "c own-a"]).await;
    assert_eq!(told(103).len(), 7);
}

#[tokio::test]
async fn what_is_published_by_whip_starts_and_stops_and_is_no_more_when_it_leaves() {
    let receiver = Receiver::start().await;
    let server = told(&receiver).await;
    let room = json!({"RoomInfo": {"RoomId": "r", "RoomType": "Conference"}});
    server.ok("room_engine_http_srv/create_room", room).await;
    server.import(&["ann"]).await;
    let (status, location, _) = server.post_offer("/whip/r", "ann", offer("sendonly")).await;
    assert_eq!(status, 201);
    let events = wait_for(&receiver, &[101, 103, 201]).await;
    assert_eq!(told_of(&events[2]), json!({"UserId": "ann", "Reason": 0}));
    assert_eq!(events[2].body["EventGroupId"], 2);

    // What takes the right away stops it.
    let off = |off: bool| json!({"RoomInfo": {"RoomId": "r", "IsVideoDisabled": off}});
    server.ok("room_engine_http_srv/update_room_info", off(true)).await;
    wait_for(&receiver, &[101, 103, 201, 202]).await;
    server.ok("room_engine_http_srv/update_room_info", off(false)).await;
    wait_for(&receiver, &[101, 103, 201, 202, 201]).await;
    server.end_resource(&location, "ann").await;
    wait_for(&receiver, &[101, 103, 201, 202, 201, 104]).await;
}

#[tokio::test]
async fn a_callback_is_tried_at_once_again_and_then_every_ten_seconds() {
    let receiver = Receiver::answering(|_, before| match before {
        // Not even what webhooks take for success is.
        0 => Answer::Status(204),
        1 => Answer::Redirect("/elsewhere".into()),
        2 => Answer::Status(500),
        _ => Answer::Status(200),
    })
    .await;
    let server = told(&receiver).await;
    let started = tokio::time::Instant::now();
    server.create_room("r").await;
    while receiver.all().len() < 2 {
        assert!(started.elapsed() < Duration::from_secs(3));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    while receiver.all().len() < 4 {
        assert!(started.elapsed() < Duration::from_secs(25), "{:?}", receiver.all());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(started.elapsed() > Duration::from_secs(20), "{:?}", started.elapsed());
    let all = receiver.all();
    let attempts: Vec<&str> =
        all.iter().map(|one| one.headers["roomful-attempt"].to_str().unwrap()).collect();
    assert_eq!(attempts, ["1", "2", "3", "4"]);
    assert!(all.iter().all(|one| one.text == all[0].text && one.id() == all[0].id()), "the same each time");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(receiver.all().len(), 4);
    assert_eq!(server.metric("roomful_callback_retries_total").await, Some(3.0));
    assert_eq!(server.metric("roomful_callback_delivered_total").await, Some(1.0));
}

#[tokio::test]
async fn one_that_is_not_answered_holds_up_neither_another_group_nor_webhooks_nor_later_ones() {
    let hung = Receiver::answering(|_, _| Answer::After(Duration::from_secs(30))).await;
    let (media, hooks) = (Receiver::start().await, Receiver::start().await);
    let server = Server::with(ALLOWED).await;
    set(&server, "1", &hung.url);
    set(&server, "media", &media.url);
    let output = server.cli_with(&["webhook", "set", "--url", &hooks.url]);
    assert!(output.status.success());
    server.import(&["ann"]).await;
    for number in 0..20 {
        server.create_room(&format!("r{number}")).await;
    }
    let room = json!({"RoomInfo": {"RoomId": "c", "RoomType": "Conference"}});
    server.ok("room_engine_http_srv/create_room", room).await;
    server.post_offer("/whip/c", "ann", offer("sendonly")).await;

    wait_for(&media, &[201]).await;
    hooks.wait_for("Live.CallbackAfterCreateRoom", 20).await;
    assert!(hung.all().len() <= 8, "so many are on the wire at once");
    // The receiver is another from now on.
    let receiver = Receiver::start().await;
    set(&server, "1", &receiver.url);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while events(&receiver).len() < 22 {
        assert!(tokio::time::Instant::now() < deadline, "{}", events(&receiver).len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_waits_when_the_server_ends_is_sent_when_it_begins_unless_it_is_too_old() {
    let refusing = Receiver::answering(|_, _| Answer::Status(503)).await;
    let server = told(&refusing).await;
    server.create_room("r").await;
    while refusing.all().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let receiver = Receiver::start().await;
    set(&server, "room", &receiver.url);
    let server = server.restart_in_place().await;
    let first = wait_for(&receiver, &[101]).await;
    assert_eq!(first[0].text, refusing.all()[0].text, "the body was written once");
    drop(server);
}

#[tokio::test]
async fn receivers_are_set_listed_and_deleted_by_group() {
    let server = Server::with(&[("ROOMFUL_CALLBACKS__ROOM_URL", "https://a.example/room")]).await;
    let cli = |arguments: &[&str]| server.cli_with(arguments);
    let listed = || -> Value {
        let output = cli(&["callback", "list", "--json"]);
        serde_json::from_slice::<Value>(&output.stdout).unwrap()[0]["callbacks"].clone()
    };
    let trouble = |arguments: &[&str]| {
        let output = cli(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let set =
        |group: &str, url: &str| cli(&["callback", "set", "--group", group, "--url", url, "--key", "k1"]);
    assert!(set("media", "https://a.example/media").status.success());
    assert_eq!(listed()[1], json!({"group": 2, "url": "https://a.example/media", "key": "k1"}));
    assert!(set("2", "https://b.example/").status.success());
    assert_eq!(listed()[1]["url"], "https://b.example/");
    assert!(cli(&["callback", "delete", "--group", "2"]).status.success());
    assert_eq!(listed()[1]["url"], "");
    assert!(trouble(&["callback", "delete", "--group", "2"]).contains("no receiver of its own"));
    let shown = String::from_utf8_lossy(&cli(&["callback", "list"]).stdout).into_owned();
    assert!(
        shown.contains("(media) has no receiver") && shown.contains("to https://a.example/room"),
        "{shown}"
    );
    let groups = cli(&["callback", "list", "--groups"]);
    assert!(String::from_utf8_lossy(&groups.stdout).contains("media"));

    let long = format!("https://a.example/{}", "x".repeat(2083));
    for (arguments, word) in [
        (vec!["--group", "3", "--url", "https://a.example/"], "recording"),
        (vec!["--group", "room1", "--url", "https://a.example/"], "no group"),
        (vec!["--group", "1", "--url", "http://127.0.0.1:1/"], "no public address"),
        (vec!["--group", "1", "--url", "gopher://a.example/"], "http"),
        (vec!["--group", "1", "--url", &long], "2083"),
        (vec!["--group", "1", "--url", "https://a.example/", "--key", "not a key"], "letters and digits"),
    ] {
        let arguments: Vec<&str> = ["callback", "set"].into_iter().chain(arguments).collect();
        let said = trouble(&arguments);
        assert!(said.contains(word), "{said}");
    }
    let stays = json!([
        {"group": 1, "url": "https://a.example/room", "key": ""}, {"group": 2, "url": "", "key": ""},
    ]);
    assert_eq!(listed(), stays);
}
