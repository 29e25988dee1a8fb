//! The gateway, spoken to by a third-party WebSocket client.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::SinkExt as _;
use futures_util::future::join_all;
use harness::{PATIENT, Server, names};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

const QUICK: &[(&str, &str)] = &[
    ("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"),
    ("ROOMFUL_PRESENCE__PING_INTERVAL", "200ms"),
    ("ROOMFUL_PRESENCE__SILENT_TIMEOUT", "1s"),
    ("ROOMFUL_PRESENCE__RESUME_GRACE", "1s"),
];

const NOTICE: Duration = Duration::from_secs(10);

fn text_of(event: &Value) -> &str {
    event["Text"].as_str().unwrap()
}

#[tokio::test]
async fn a_member_hears_who_enters_and_leaves_and_what_is_said() {
    let server = Server::start().await;
    server.create_room("r").await;
    let mut ann = server.log_in("ann").await;
    let answer = ann.call("enter_room", json!({"RoomId": "r"})).await;
    assert_eq!(answer["Response"]["RoomInfo"]["RoomId"], "r");
    assert_eq!(answer["Response"]["MemberCount"], 1);
    assert_eq!(names(&answer["Response"]["MemberList"]), ["ann"]);

    let mut ben = server.enter("ben", "r").await;
    let mut changed = ann.event("members_changed").await;
    // Her own coming in may be told in the same breath.
    while !names(&changed["Entered"]).iter().any(|name| name == "ben") {
        changed = ann.event("members_changed").await;
    }
    assert_eq!(changed["MemberCount"], 2);

    let sent = ben.call("send_text_msg", json!({"RoomId": "r", "Text": "hi \"all\""})).await;
    assert_eq!(sent["Response"]["Seq"], 1);
    for client in [&mut ann, &mut ben] {
        let event = client.event("text_msg").await;
        assert_eq!(
            (text_of(&event), &event["From_Account"], &event["Seq"]),
            ("hi \"all\"", &json!("ben"), &json!(1))
        );
        assert_eq!(event["MsgId"], sent["Response"]["MsgId"]);
    }

    assert_eq!(ben.call("leave_room", json!({"RoomId": "r"})).await["ErrorCode"], 0);
    assert_eq!(server.members("r").await.0, ["ann"]);
    let changed = ann.event("members_changed").await;
    assert_eq!(changed["Left"], json!([{"Member_Account": "ben", "Cause": "leave"}]));
    assert_eq!(ben.call("leave_room", json!({"RoomId": "r"})).await["ErrorCode"], 100_005);

    server.live("destroy_room", json!({"RoomId": "r"})).await;
    assert_eq!(ann.event("room_closed").await, json!({"RoomId": "r", "Cause": "destroyed"}));
}

/// What is kept of one who entered is not what another is told when the room has changed.
#[tokio::test]
async fn who_enters_gets_the_room_as_it_is_now() {
    let server = Server::with(&[("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0")]).await;
    let name = r#"Room "MemberCount":7 of ann"#;
    server.import(&["own", "oth"]).await;
    let fields =
        json!({"SeatTemplate": "AudioSalon", "MaxSeatCount": 2, "RoomName": name, "Owner_Account": "own"});
    server.create_room_with("r", fields).await;
    let portrait = |user: &str, nick: &str| json!({"From_Account": user, "ProfileItem": [{"Tag": "Tag_Profile_IM_Nick", "Value": nick}]});
    let mut ann = server.log_in("ann").await;
    let (room, stays) = (json!({"RoomId": "r"}), server.enter("ben", "r").await);
    for (command, change) in [
        ("", Value::Null),
        ("", Value::Null),
        ("profile/portrait_set", portrait("own", "Owner")),
        ("update_room_info", json!({"RoomInfo": {"RoomId": "r", "RoomName": "Other", "Notice": "n"}})),
        ("room_engine_http_mic/lock_seat", json!({"RoomId": "r", "Index": 1, "ForbidVideo": true})),
        (
            "room_engine_http_mic/pick_user_on_seat",
            json!({"RoomId": "r", "Member_Account": "ben", "Index": 0}),
        ),
        ("change_room_owner", json!({"RoomId": "r", "NewOwner_Account": "oth"})),
        ("profile/portrait_set", portrait("oth", "Another")),
        ("update_room_info", json!({"RoomInfo": {"RoomId": "r", "IsMessageDisabled": true}})),
    ] {
        if !command.is_empty() {
            server.ok(command, change).await;
        }
        let entered = ann.ok("enter_room", room.clone()).await;
        let known = server.ok("get_room_info", room.clone()).await;
        let seats = server.ok("room_engine_http_mic/get_seat_list", room.clone()).await;
        assert_eq!(entered["RoomInfo"], known["RoomInfo"], "after {command}");
        assert_eq!(entered["SeatList"], seats["SeatList"], "after {command}");
        assert_eq!((&entered["MemberCount"], &entered["RoomInfo"]["OnlineCount"]), (&json!(2), &json!(2)));
        ann.ok("leave_room", room.clone()).await;
    }
    drop(stays);
}

#[tokio::test]
async fn a_close_on_purpose_is_a_leave_before_it_is_answered() {
    let server = Server::start().await;
    server.create_room("r").await;
    for status in [Some(1000_u16), Some(1001), None] {
        let mut client = server.enter("ann", "r").await;
        let frame = status.map(|status| CloseFrame { code: status.into(), reason: "".into() });
        client.socket.close(frame).await.unwrap();
        client.closed().await;

        assert_eq!(server.members("r").await.1, 0, "{status:?}");
    }
}

#[tokio::test]
async fn a_lost_connection_stays_listed_for_the_grace_then_leaves_by_interruption() {
    let server = Server::with(QUICK).await;
    server.create_room("r").await;
    let mut ann = server.enter("ann", "r").await;
    let ben = server.enter("ben", "r").await;
    let lost_at = Instant::now();
    ben.cut();

    assert_eq!(server.members("r").await.0, ["ann", "ben"]);
    let mut changed = ann.event("members_changed").await;
    while changed["Left"] == json!([]) {
        changed = ann.event("members_changed").await;
    }

    assert_eq!(changed["Left"], json!([{"Member_Account": "ben", "Cause": "interrupted"}]));
    assert!(lost_at.elapsed() >= Duration::from_millis(900), "the grace was cut short");
    assert_eq!(server.members("r").await.0, ["ann"]);
}

#[tokio::test]
async fn a_silent_connection_is_off_the_list_after_both_times() {
    let server = Server::with(QUICK).await;
    server.create_room("r").await;
    let before = Instant::now();
    let _silent = server.enter("silent", "r").await;
    // Its socket stays open, but nobody reads from it, so no ping is answered.
    server.wait_for_members("r", &[], Duration::from_secs(5)).await;

    assert!(before.elapsed() >= Duration::from_secs(2), "gone after {:?}", before.elapsed());
}

#[tokio::test]
async fn a_member_resumes_in_place_with_what_it_missed() {
    let server = Server::start().await;
    server.create_room("r").await;
    let mut ben = server.enter("ben", "r").await;
    let mut ann = server.enter("ann", "r").await;
    ann.call("send_text_msg", json!({"RoomId": "r", "Text": "before"})).await;
    assert_eq!(text_of(&ben.event("text_msg").await), "before");
    let token = ben.resume_token.clone();
    ben.cut();
    for number in 0..60 {
        ann.call("send_text_msg", json!({"RoomId": "r", "Text": format!("m{number}")})).await;
    }

    let mut ben = server.connect().await;
    let other = json!({"ResumeToken": token, "UserId": "ann"});
    assert_eq!(ben.call("login", other).await["ErrorCode"], 70003, "another user's token");
    let answer = ben.call("login", json!({"ResumeToken": token})).await;
    assert_eq!(answer["ErrorCode"], 0, "{answer}");

    for number in 10..60 {
        assert_eq!(text_of(&ben.event("text_msg").await), format!("m{number}"));
    }
    assert_eq!(server.members("r").await.0, ["ben", "ann"], "in place");
    ann.call("send_text_msg", json!({"RoomId": "r", "Text": "after"})).await;
    assert_eq!(text_of(&ben.event("text_msg").await), "after");
    let again = server.connect().await.call("login", json!({"ResumeToken": token})).await;
    assert_eq!(again["ErrorCode"], 70003, "a token works once");
    assert_ne!(answer["Response"]["ResumeToken"], token);
}

/// A page that is closed while its connection is gone: what it can still send is one request that nobody waits for.
#[tokio::test]
async fn a_page_that_goes_away_without_a_connection_is_off_the_list_at_once() {
    let server = Server::start().await;
    server.create_room("r").await;
    let http = reqwest::Client::new();
    let leave = |token: String| {
        let http = http.clone();
        let url = format!("http://{}/v1/leave", server.address);
        async move { http.post(url).body(token).send().await.unwrap().status() }
    };
    let mut ann = server.enter("ann", "r").await;
    let ben = server.enter("ben", "r").await;
    let mut cat = server.enter("cat", "r").await;
    let token = ben.resume_token.clone();
    ben.cut();

    for wrong in [String::new(), "guess".into(), "x".repeat(1000)] {
        assert_eq!(leave(wrong).await, 204);
    }
    assert_eq!(server.members("r").await.0, ["ann", "ben", "cat"]);
    assert_eq!(leave(token.clone()).await, 204);
    assert_eq!(leave(cat.resume_token.clone()).await, 204);

    assert_eq!(server.members("r").await.0, ["ann"]);
    // With its connection, where it still has one; and for good.
    assert_eq!(cat.closed().await, Some(4010));
    let again = server.connect().await.call("login", json!({"ResumeToken": token})).await;
    assert_eq!(again["ErrorCode"], 70003, "{again}");
    let mut told = ann.event("members_changed").await;
    while !names(&told["Left"]).iter().any(|name| name == "ben") {
        told = ann.event("members_changed").await;
    }
}

#[tokio::test]
async fn resuming_takes_over_a_connection_that_seems_alive() {
    let server = Server::start().await;
    server.create_room("r").await;
    let mut old = server.enter("ann", "r").await;
    let mut new = server.connect().await;
    let seen = json!({"ResumeToken": old.resume_token, "Seen": {"r": 0}});

    assert_eq!(new.call("login", seen).await["ErrorCode"], 0);

    assert_eq!(old.closed().await, Some(4001));
    assert_eq!(server.members("r").await.0, ["ann"]);
    new.close().await;
    assert_eq!(server.members("r").await.1, 0);
}

#[tokio::test]
async fn a_client_that_says_what_it_has_gets_the_rest() {
    let server = Server::start().await;
    server.create_room("r").await;
    let mut ann = server.enter("ann", "r").await;
    for text in ["one", "two", "three"] {
        ann.call("send_text_msg", json!({"RoomId": "r", "Text": text})).await;
    }
    let token = ann.resume_token.clone();
    ann.cut();

    let mut ann = server.connect().await;
    ann.call("login", json!({"ResumeToken": token, "Seen": {"r": 1}})).await;

    assert_eq!(text_of(&ann.event("text_msg").await), "two");
    assert_eq!(text_of(&ann.event("text_msg").await), "three");
}

#[tokio::test]
async fn a_user_with_two_sessions_is_one_member() {
    let server = Server::start().await;
    server.create_room("r").await;
    let phone = server.enter("ann", "r").await;
    let _ben = server.enter("ben", "r").await;
    let laptop = server.enter("ann", "r").await;
    assert_eq!(server.members("r").await, (vec!["ann".into(), "ben".into()], 2));

    phone.close().await;
    assert_eq!(server.members("r").await.0, ["ann", "ben"]);
    laptop.close().await;
    assert_eq!(server.members("r").await.0, ["ben"]);
}

#[tokio::test]
async fn a_restart_is_a_lost_connection() {
    for kill in [true, false] {
        let mut server = Server::start().await;
        server.create_room("r").await;
        let mut ann = server.enter("ann", "r").await;
        let ben = server.enter("ben", "r").await;
        ann.call("send_text_msg", json!({"RoomId": "r", "Text": "one"})).await;
        // The journal is written behind the answers; it has to be given its moment.
        tokio::time::sleep(Duration::from_secs(1)).await;
        if kill {
            server.kill();
        } else {
            let (code, took) = server.terminate().await;
            assert_eq!(code, Some(0));
            assert!(took < NOTICE, "{took:?}");
            assert!(ann.event("reconnect").await["After"].is_u64());
            assert_eq!(ann.closed().await, Some(1012));
        }
        let server = server.restart().await;

        assert_eq!(server.members("r").await.0, ["ann", "ben"], "listed from the start");
        let mut again = server.connect().await;
        assert_eq!(again.call("login", json!({"ResumeToken": ann.resume_token})).await["ErrorCode"], 0);
        let sent = again.call("send_text_msg", json!({"RoomId": "r", "Text": "two"})).await;
        assert!(sent["Response"]["Seq"].as_u64().unwrap() > 1, "numbers never go back: {sent}");
        drop(ben);
    }
}

#[tokio::test]
async fn those_who_do_not_come_back_after_a_restart_leave() {
    let mut server = Server::with(QUICK).await;
    server.create_room("r").await;
    let _ann = server.enter("ann", "r").await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    server.kill();
    let server = server.restart().await;

    server.wait_for_members("r", &[], Duration::from_secs(5)).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    let server = server.restart().await;
    assert_eq!(server.members("r").await.1, 0, "nor are they back after the next");
}

#[tokio::test]
async fn a_mistake_is_answered_and_leaves_the_connection_as_it_was() {
    let server = Server::start().await;
    server.create_room("r").await;
    server.create_room("other").await;
    let mut client = server.connect().await;
    let early = client.call("enter_room", json!({"RoomId": "r"})).await;
    assert_eq!(early["ErrorCode"], 60004, "before login");
    for (login, code) in [
        (json!({}), 60012),
        (json!({"SdkAppId": "x"}), 60006),
        (json!({"SdkAppId": server.app}), 60004),
        (json!({"SdkAppId": server.app, "UserId": "ann"}), 70002),
        (json!({"SdkAppId": server.app, "UserId": "ann", "UserSig": "x"}), 70003),
        (json!({"SdkAppId": server.app, "UserId": "ann", "UserSig": server.sig("ben")}), 70013),
        (json!({"SdkAppId": 5, "UserId": "ann", "UserSig": server.sig("ann")}), 70020),
        (json!({"SdkAppId": server.app, "UserId": "x".repeat(33), "UserSig": server.sig("ann")}), 100_002),
        (json!({"SdkAppId": server.app, "UserId": 5, "UserSig": server.sig("ann")}), 100_002),
        (json!({"ResumeToken": "guess"}), 70003),
    ] {
        let answer = client.call("login", login.clone()).await;
        assert_eq!(answer["ErrorCode"], code, "{login}: {answer}");
        assert!(answer.get("Response").is_none());
    }
    let login = json!({"SdkAppId": server.app, "UserId": "ann", "UserSig": server.sig("ann")});
    assert_eq!(client.call("login", login.clone()).await["ErrorCode"], 0);
    assert_eq!(client.call("login", login).await["ErrorCode"], 100_002, "twice");
    client.call("enter_room", json!({"RoomId": "r"})).await;

    let deep = format!(r#"{{"id":1,"command":"x","body":{}}}"#, "[".repeat(10_000));
    for (frame, id, code) in [
        ("hello", 0, 60003),
        ("[]", 0, 60003),
        ("", 0, 60003),
        ("{}", 0, 60003),
        (r#"{"id":-1,"command":"enter_room"}"#, 0, 60003),
        (r#"{"id":4294967296,"command":"enter_room"}"#, 0, 60003),
        (r#"{"id":4294967295,"command":"enter_room"}"#, 4_294_967_295_u64, 100_002),
        (r#"{"id":5}"#, 5, 60003),
        (r#"{"id":5,"command":7}"#, 5, 60003),
        (r#"{"id":5,"command":"fly"}"#, 5, 60009),
        (r#"{"id":5,"command":"enter_room","body":[]}"#, 5, 60003),
        (r#"{"id":5,"command":"enter_room","body":{"RoomId":7}}"#, 5, 100_002),
        (r#"{"id":5,"command":"enter_room","body":{"RoomId":""}}"#, 5, 100_002),
        (r#"{"id":5,"command":"enter_room","body":{"RoomId":"nowhere"}}"#, 5, 100_004),
        (r#"{"id":5,"command":"leave_room","body":{"RoomId":"other"}}"#, 5, 100_005),
        (r#"{"id":5,"command":"get_member_list","body":{"RoomId":"other","Next":""}}"#, 5, 100_005),
        (r#"{"id":5,"command":"get_member_list","body":{"RoomId":"r","Next":"7"}}"#, 5, 100_002),
        (r#"{"id":5,"command":"send_text_msg","body":{"RoomId":"r"}}"#, 5, 100_002),
        (r#"{"id":5,"command":"send_text_msg","body":{"RoomId":"r","Text":""}}"#, 5, 100_002),
        (r#"{"id":5,"command":"send_text_msg","body":{"RoomId":"other","Text":"x"}}"#, 5, 100_005),
        (deep.as_str(), 0, 60003),
    ] {
        client.send(frame).await;
        let answer = loop {
            let frame = client.read().await.unwrap();
            if frame.get("event").is_none() {
                break frame;
            }
        };
        assert_eq!(
            (answer["id"].as_u64(), answer["ErrorCode"].as_u64()),
            (Some(id), Some(code)),
            "{frame:.100}: {answer}"
        );
    }
    client.socket.send(Message::binary(b"{}".to_vec())).await.unwrap();
    assert_eq!(client.read().await.unwrap()["ErrorCode"], 60003);
    let entered = client.call("enter_room", json!({"RoomId": "r"})).await;
    assert_eq!(
        (&entered["ErrorCode"], &entered["Response"]["MemberCount"]),
        (&json!(0), &json!(1)),
        "still inside"
    );
}

#[tokio::test]
async fn a_frame_too_big_or_not_utf8_closes_with_its_status() {
    let server = Server::start().await;
    let mut client = server.log_in("ann").await;
    client.send(&format!("{{\"id\":1,\"command\":\"x\",\"pad\":\"{}\"}}", "x".repeat(60_000))).await;
    assert_eq!(client.read().await.unwrap()["ErrorCode"], 60009, "just below the limit");
    let _ = client.socket.send(Message::text("x".repeat(64 * 1024 + 1))).await;
    assert_eq!(client.closed().await, Some(1009));

    // A masked text frame of one byte that is no UTF-8, written by hand: no client library would send it.
    let mut raw = tokio::net::TcpStream::connect(&server.address).await.unwrap();
    let upgrade = "GET /v1/connect HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    raw.write_all(upgrade.as_bytes()).await.unwrap();
    raw.write_all(&[0x81, 0x81, 0, 0, 0, 0, 0xFF]).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(NOTICE, raw.read_to_end(&mut answer)).await.unwrap().unwrap();
    let head_end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert!(
        String::from_utf8_lossy(&answer[..head_end]).contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "RFC 6455 1.3"
    );
    assert_eq!(answer[head_end], 0x88);
    assert_eq!(u16::from_be_bytes([answer[head_end + 2], answer[head_end + 3]]), 1007);
}

#[tokio::test]
async fn a_plain_request_to_the_gateway_is_told_what_it_is() {
    let server = Server::start().await;
    assert_eq!(server.get("/v1/connect").await.0, 426);
}

#[tokio::test]
async fn one_who_reads_too_slowly_is_disconnected_and_delays_nobody() {
    let server = Server::with(PATIENT).await;
    server.create_room("r").await;
    let mut slow = server.enter("slow", "r").await;
    let mut ann = server.enter("ann", "r").await;
    let text = "x".repeat(12_000);
    let mut slowest = Duration::ZERO;
    for _ in 0..1500 {
        let started = Instant::now();
        ann.call("send_text_msg", json!({"RoomId": "r", "Text": text})).await;
        ann.events.clear();
        slowest = slowest.max(started.elapsed());
    }

    assert!(slowest < Duration::from_secs(2), "a message took {slowest:?}");
    let metrics = server.metrics().await;
    assert!(metrics.contains("roomful_slow_members_total 1"), "{metrics}");
    assert_eq!(server.members("r").await.0, ["slow", "ann"], "it may resume");
    // What had been written before is read to its end; a close may be among it or the connection is just gone.
    assert!(matches!(slow.closed().await, Some(4003) | None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_members_see_one_truth() {
    let server = Server::start().await;
    server.create_room("r").await;
    let mut watcher = server.enter("watcher", "r").await;
    let users: Vec<String> = (0..1000).map(|number| format!("u{number:04}")).collect();
    let mut clients = Vec::new();
    for wave in users.chunks(100) {
        clients.extend(join_all(wave.iter().map(|user| server.enter(user, "r"))).await);
    }

    let started = Instant::now();
    let (mut listed, count) = server.members("r").await;
    assert_eq!((listed.len(), count), (1000, 1001), "the documented cap");
    listed.retain(|user| user != "watcher");
    assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), 999);

    // The watcher's events are few, and the last of them has the true count.
    let mut batches = 0;
    loop {
        let changed = watcher.event("members_changed").await;
        batches += 1;
        assert!(names(&changed["Entered"]).len() <= 200);
        if changed["MemberCount"] == 1001 {
            break;
        }
    }
    assert!(batches < 400, "{batches} events for 1000 joins");

    clients[0].call("send_text_msg", json!({"RoomId": "r", "Text": "to all"})).await;
    for client in &mut clients {
        assert_eq!(text_of(&client.event("text_msg").await), "to all");
    }
    println!("a thousand members: {:?}", started.elapsed());

    let leavers = clients.split_off(500);
    join_all(leavers.into_iter().map(harness::Client::close)).await;
    assert_eq!(server.members("r").await.1, 501, "off the list before the close is answered");
    for client in clients {
        client.cut();
    }
    drop(watcher);
}

#[tokio::test]
async fn joins_and_leaves_come_at_most_ten_times_a_second() {
    let server = Server::start().await;
    server.create_room("r").await;
    let mut watcher = server.enter("watcher", "r").await;
    let mut busy = server.log_in("busy").await;
    let churn = async {
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline {
            busy.call("enter_room", json!({"RoomId": "r"})).await;
            busy.call("leave_room", json!({"RoomId": "r"})).await;
        }
    };
    let watch = async {
        let mut at = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline {
            let changed = watcher.event("members_changed").await;
            let (entered, left) = (names(&changed["Entered"]), names(&changed["Left"]));
            assert!(entered.is_empty() || left.is_empty(), "a name stands once in an event: {changed}");
            at.push(Instant::now());
        }
        at
    };

    let ((), at) = tokio::join!(churn, watch);

    assert!(at.len() > 5);
    for window in at.windows(11) {
        assert!(
            window[10] - window[0] >= Duration::from_millis(950),
            "11 events in {:?}",
            window[10] - window[0]
        );
    }
}

/// A body with what a schema requires.
fn sample(name: &str, schema: &Value, schemas: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return sample(name, &schemas[reference.rsplit('/').next().unwrap()], schemas);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        return sample(name, &any[0], schemas);
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match (name, kind) {
        ("RoomId", _) => "r".into(),
        ("OpType", _) => "add".into(),
        (_, Some("object")) => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let of = |field: &Value| {
                let field = field.as_str().unwrap();
                (field.to_string(), sample(field, &schema["properties"][field], schemas))
            };
            required.iter().map(of).collect()
        }
        (_, Some("array")) => json!([sample(name, &schema["items"], schemas)]),
        (name, Some("string")) if name.ends_with("_Account") => "ben".into(),
        (_, Some("string")) => schema["enum"].get(0).cloned().unwrap_or("1".into()),
        (_, Some("boolean")) => true.into(),
        _ => 1.into(),
    }
}

/// A member is refused what is for those in charge, and nothing else, for want of a right.
#[tokio::test]
async fn who_may_is_what_the_document_says() {
    let server = Server::start().await;
    server.import(&["own", "ann", "ben"]).await;
    let seats = json!({"Owner_Account": "own", "SeatTemplate": "AudioSalon", "MaxSeatCount": 4});
    server.create_room_with("r", seats).await;
    let (mut ann, _ben) = (server.enter("ann", "r").await, server.enter("ben", "r").await);
    let document: Value = serde_json::from_str(&server.get("/asyncapi.json").await.1).unwrap();

    let (mut wrong, mut asked) = (Vec::new(), 0);
    for (name, operation) in document["operations"].as_object().unwrap() {
        // Of rooms of the other type; and this one would put it out.
        let of_others =
            ["update_room_member_info", "mark_room_member", "add_schedule_invitee", "del_schedule_invitee"];
        let is_apart = of_others.contains(&name.as_str()) || ["login", "leave_room"].contains(&name.as_str());
        if operation["action"] == "send" || is_apart {
            continue;
        }
        let body = &document["channels"]["gateway"]["messages"][name]["payload"]["properties"]["body"];
        let mut body = sample("", body, &document["components"]["schemas"]);
        match name.as_str() {
            "ban_member" => body["Duration"] = 60.into(),
            "mute_member" => body["MuteTime"] = 60.into(),
            "lock_seat" => body["ForbidTaken"] = true.into(),
            "move_user_to_seat" => body["Index"] = 0.into(),
            _ => {}
        }
        let is_for_others = operation["description"].as_str().unwrap().contains("owner");
        let answer = ann.call(name, body.clone()).await;
        if (answer["ErrorCode"] == 100_006) != is_for_others {
            wrong.push(format!("{name} {body}: {} and {answer}", operation["description"]));
        }
        asked += 1;
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(asked > 60, "{asked}");
}
