//! Webhooks, received by a real HTTP server: what is told, how it is signed, in which order, and what happens when the
//! receiver fails, refuses, or is where it must not be.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use harness::Server;
use harness::receiver::{Answer, Received, Receiver};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const ALLOWED: &[(&str, &str)] =
    &[("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"), ("ROOMFUL_WEBHOOKS__ALLOW_PRIVATE", "true")];
const PRESENCE: &str = "Live.CallbackAfterMemberStateChanged";
const TOKEN: &str = "secret";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn told(receiver: &Receiver) -> Server {
    let server = Server::with(ALLOWED).await;
    set(&server, &receiver.url, &[]);
    server
}

fn set(server: &Server, url: &str, events: &[&str]) {
    let mut arguments = vec!["webhook", "set", "--url", url, "--token", TOKEN];
    for event in events {
        arguments.extend(["--event", event]);
    }
    let output = server.cli_with(&arguments);
    assert!(output.status.success(), "{output:?}");
}

/// The dead letters.
fn failed(server: &Server) -> Vec<Value> {
    let output = server.cli_with(&["webhook", "failed", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn agree() -> Answer {
    Answer::Json(json!({"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""}))
}

/// Pages may name rooms by 64 bytes, app servers by 48: what such a room is, it is to everybody.
#[tokio::test]
async fn a_room_with_as_long_a_name_as_pages_give_is_a_room_like_any() {
    let receiver = Receiver::start().await;
    let server = told(&receiver).await;
    let (long, longest) = ("房间/".repeat(7), "r".repeat(64));
    assert_eq!(long.len(), 49);
    let mut ann = server.log_in("ann").await;
    server.import(&["ben"]).await;
    let info = |room: &str| json!({"RoomInfo": {"RoomId": room, "RoomType": "Live"}});
    for room in [&long, &longest] {
        assert_eq!(server.code("create_room", info(room)).await, 100_002, "an app server's has 48: {room}");
        ann.ok("create_room", info(room)).await;
    }
    assert_eq!(ann.code("create_room", info(&"r".repeat(65))).await, 100_002);
    let server = server.restart_in_place().await;
    let mut ann = server.log_in("ann").await;

    // A cursor is the last room of its page.
    let mut listed = Vec::new();
    let mut next = json!("");
    for _ in 0..2 {
        let page = server.ok("get_room_list", json!({"Next": next, "Count": 1})).await;
        listed.push(page["RoomList"][0]["RoomId"].as_str().unwrap().to_owned());
        next = page["Next"].clone();
    }
    listed.sort_unstable();
    assert_eq!(listed, [longest.clone(), long.clone()]);
    for room in [&long, &longest] {
        ann.ok("enter_room", json!({"RoomId": room})).await;
        let page = server.ok("get_member_list", json!({"RoomId": room, "Next": ""})).await;
        assert_eq!(page["MemberCount"], 1);
        server.ok("update_room_info", json!({"RoomInfo": {"RoomId": room, "RoomName": "two"}})).await;
        server
            .ok("set_room_metadata", json!({"RoomId": room, "Metadata": [{"Key": "k", "Value": "v"}]}))
            .await;
        let body = json!([{"MsgType": "TIMTextElem", "MsgContent": {"Text": "hi"}}]);
        server.ok("group_open_http_svc/send_group_msg", json!({"GroupId": room, "MsgBody": body})).await;
        ann.event("text_msg").await;
        let path =
            percent_encoding::utf8_percent_encode(room, percent_encoding::NON_ALPHANUMERIC).to_string();
        let (status, location) = server.whep(&path, "ben").await;
        assert_eq!(status, 201);
        assert_eq!(server.resource(&location, "ben").await, 204, "{location}");
        server.end_resource(&location, "ben").await;
        server.ok("destroy_room", json!({"RoomId": room})).await;
    }
    let ends = receiver.wait_for("Live.CallbackAfterDestroyRoom", 2).await;
    let mut ended: Vec<&str> = ends.iter().map(|end| end.body["RoomId"].as_str().unwrap()).collect();
    ended.sort_unstable();
    assert_eq!(ended, [&longest, &long]);
}

#[tokio::test]
async fn every_event_is_told_with_its_documented_body() {
    let receiver = Receiver::start().await;
    let server = told(&receiver).await;
    server.import(&["ben"]).await;
    server.create_room_with("r", json!({"SeatTemplate": "Karaoke", "RoomName": "one"})).await;
    server.ok("update_room_info", json!({"RoomInfo": {"RoomId": "r", "RoomName": "two"}})).await;
    server.ok("set_room_metadata", json!({"RoomId": "r", "Metadata": [{"Key": "k", "Value": "v"}]})).await;
    server.ok("del_room_metadata", json!({"RoomId": "r", "Keys": ["k"]})).await;
    let mut ann = server.enter("ann", "r").await;
    ann.ok("take_seat", json!({"RoomId": "r", "Index": 1})).await;
    ann.ok("send_text_msg", json!({"RoomId": "r", "Text": "hi"})).await;
    server.ok("add_gift", json!({"GiftId": "g", "Coins": 3})).await;
    ann.ok("send_gift", json!({"RoomId": "r", "GiftId": "g", "Count": 2})).await;
    ann.ok("send_like", json!({"RoomId": "r", "Count": 4})).await;
    server.ok("modify_admin", json!({"RoomId": "r", "Admin_Account": ["ben"], "OpType": "add"})).await;
    server.ok("mute_member", json!({"RoomId": "r", "MemberList_Account": ["ben"], "MuteTime": 60})).await;
    server.ok("change_room_owner", json!({"RoomId": "r", "NewOwner_Account": "ann"})).await;
    server.create_room("s").await;
    let battle = json!({"FromRoomId": "r", "ToRoomIdList": ["s"], "Duration": 60_000});
    server.ok("live_engine_http_pk/create_battle", battle).await;
    ann.ok("leave_room", json!({"RoomId": "r"})).await;
    server.ok("destroy_room", json!({"RoomId": "r"})).await;

    let one = async |command: &str| receiver.wait_for(command, 1).await.remove(0).body;
    let created = one("Live.CallbackAfterCreateRoom").await;
    assert_eq!(
        (&created["Operator_Account"], &created["RoomInfo"]["RoomName"]),
        (&json!(harness::ADMIN), &json!("one"))
    );
    assert!(created["EventTime"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(one("Live.CallbackAfterUpdateRoomInfo").await["RoomInfo"]["RoomName"], "two");
    let metadata = one("Live.CallbackAfterSetMetadata").await;
    assert_eq!(
        (&metadata["RoomId"], &metadata["Metadata"]),
        (&json!("r"), &json!([{"Key": "k", "Value": "v"}]))
    );
    assert_eq!(one("Live.CallbackAfterDelMetadata").await["Keys"], json!(["k"]));
    let presence = receiver.wait_for(PRESENCE, 2).await;
    let came = &presence[0].body;
    assert_eq!((&came["EventType"], &came["EventCause"]), (&json!("Online"), &json!("Enter")));
    assert_eq!(came["MemberList"], json!([{"Member_Account": "ann"}]));
    assert_eq!(
        (&presence[1].body["EventType"], &presence[1].body["EventCause"]),
        (&json!("Offline"), &json!("Leave"))
    );
    assert_eq!(one("Mic.CallbackAfterSeatInfoChanged").await["SeatList"][1]["Member_Account"], "ann");
    let message = one("Group.CallbackAfterSendMsg").await;
    assert_eq!((&message["GroupId"], &message["From_Account"]), (&json!("r"), &json!("ann")));
    assert_eq!(message["MsgBody"][0]["MsgContent"]["Text"], "hi");
    let gift = one("Live.CallbackAfterSendGift").await;
    assert_eq!((&gift["GiftWater"]["GiftId"], &gift["GiftWater"]["Coins"]), (&json!("g"), &json!(6)));
    assert_eq!(one("Live.CallbackAfterSendLike").await["TotalLikesReceived"], 4);
    assert_eq!(one("Live.CallbackAfterModifyAdmin").await["Admin_Account"], json!(["ben"]));
    assert_eq!(one("Live.CallbackAfterMuteMember").await["MemberList"], json!([{"Member_Account": "ben"}]));
    let owner = one("Live.CallbackAfterChangeOwner").await;
    assert_eq!(
        (&owner["CurrentOwner_Account"], &owner["OriginalOwner_Account"]),
        (&json!("ann"), &json!(harness::ADMIN))
    );
    assert_eq!(one("Live.CallbackAfterCreateBattle").await["ToRoomIdList"], json!(["s"]));
    assert_eq!(one("Live.CallbackAfterStartBattle").await["FromRoomInfo"]["RoomId"], "r");
    assert_eq!(one("Live.CallbackAfterEndBattle").await["OpType"], 1);
    let destroyed = one("Live.CallbackAfterDestroyRoom").await;
    assert_eq!(
        (&destroyed["EventType"], &destroyed["Statistic"]["TotalViewers"]),
        (&json!("DestroyByUser"), &json!(1))
    );

    // Asked before, both times.
    assert_eq!(receiver.of("Group.CallbackBeforeSendMsg").len(), 1);
    assert_eq!(receiver.of("Live.CallbackBeforeSendGift").len(), 1);
    let of_room: Vec<u64> = receiver
        .all()
        .iter()
        .filter(|received| received.body["RoomId"] == "r" && !received.command.contains("Before"))
        .map(|received| received.body["EventTime"].as_u64().unwrap())
        .collect();
    assert!(of_room.is_sorted(), "events of a room come in order: {of_room:?}");
}

#[tokio::test]
async fn conference_rooms_have_events_of_their_own() {
    let receiver = Receiver::start().await;
    let server = told(&receiver).await;
    let room = json!({"RoomInfo": {"RoomId": "c", "RoomType": "Conference"}});
    server.ok("room_engine_http_srv/create_room", room).await;
    let mut ann = server.enter("ann", "c").await;
    ann.ok("leave_room", json!({"RoomId": "c"})).await;
    server.ok("room_engine_http_srv/destroy_room", json!({"RoomId": "c"})).await;

    for command in ["CreateRoom", "MemberEnter", "MemberLeave", "DestroyRoom"] {
        let event = receiver.wait_for(&format!("Room.CallbackAfter{command}"), 1).await.remove(0);
        assert_eq!(event.body["RoomId"], "c");
    }
    assert!(receiver.of(PRESENCE).is_empty());
}

#[tokio::test]
async fn an_event_is_signed_and_carries_the_documented_parameters() {
    let receiver = Receiver::start().await;
    let server = told(&receiver).await;
    server.create_room("r").await;

    let event: Received = receiver.wait_for("Live.CallbackAfterCreateRoom", 1).await.remove(0);

    assert_eq!(event.parameter("SdkAppid"), Some(server.app.to_string().as_str()));
    assert_eq!(event.parameter("CallbackCommand"), Some("Live.CallbackAfterCreateRoom"));
    assert_eq!(event.parameter("contenttype"), Some("json"));
    assert!(event.parameter("ClientIP").is_some() && event.parameter("OptPlatform").is_some());
    let time = event.parameter("RequestTime").unwrap();
    assert!(time.parse::<u64>().unwrap().abs_diff(harness::now()) < 5);
    assert_eq!(event.parameter("Sign").unwrap(), hex(&Sha256::digest(format!("{TOKEN}{time}"))));
    let mut mac = Hmac::<Sha256>::new_from_slice(TOKEN.as_bytes()).unwrap();
    mac.update(format!("{time}.{}", event.text).as_bytes());
    let signature = format!("t={time},v1={}", hex(&mac.finalize().into_bytes()));
    assert_eq!(event.headers["roomful-signature"], signature.as_str());
    assert_eq!(event.headers["roomful-attempt"], "1");
}

#[tokio::test]
async fn only_the_events_switched_on_are_sent_and_the_configuration_has_a_say() {
    let (all, some) = (Receiver::start().await, Receiver::start().await);
    let environment = [
        ("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"),
        ("ROOMFUL_WEBHOOKS__ALLOW_PRIVATE", "true"),
        ("ROOMFUL_WEBHOOKS__URL", all.url.as_str()),
        ("ROOMFUL_WEBHOOKS__EVENTS", "Live.CallbackAfterCreateRoom, Live.CallbackAfterDestroyRoom"),
    ];
    let server = Server::with(&environment).await;
    server.create_room("r").await;
    server.ok("set_room_metadata", json!({"RoomId": "r", "Metadata": [{"Key": "k", "Value": "v"}]})).await;
    server.ok("destroy_room", json!({"RoomId": "r"})).await;
    let event = all.wait_for("Live.CallbackAfterDestroyRoom", 1).await.remove(0);
    assert_eq!((all.all().len(), event.parameter("Sign")), (2, None), "no token, no signature");

    set(&server, &some.url, &["Live.CallbackAfterCreateRoom"]);
    server.create_room("s").await;
    server.ok("destroy_room", json!({"RoomId": "s"})).await;
    server.create_room("t").await;
    some.wait_for("Live.CallbackAfterCreateRoom", 2).await;
    assert_eq!((all.all().len(), some.all().len()), (2, 2));
    let list = server.cli_with(&["webhook", "list"]);
    assert!(String::from_utf8_lossy(&list.stdout).contains(&some.url));
    let wrong =
        server.cli_with(&["webhook", "set", "--url", &some.url, "--event", "Live.CallbackAfterCreateRom"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("did you mean Live.CallbackAfterCreateRoom?"));
}

#[tokio::test]
async fn a_receiver_that_fails_gets_everything_in_order_once_it_is_back() {
    // The first attempts fail, in every way there is.
    let receiver = Receiver::answering(|_, before| match before {
        0..2 => Answer::Status(500),
        2 => Answer::Status(404),
        3..5 => Answer::Redirect("http://127.0.0.1:1/".into()),
        _ => agree(),
    })
    .await;
    let server = told(&receiver).await;
    server.create_room("r").await;
    for number in 0..5 {
        let entry = json!([{"Key": "k", "Value": number.to_string()}]);
        server.ok("set_room_metadata", json!({"RoomId": "r", "Metadata": entry})).await;
    }
    // Another room's events do not wait for this one's.
    server.create_room("s").await;

    let last = |received: &[Received]| {
        received.last().is_some_and(|event| event.body["Metadata"][0]["Value"] == "4")
    };
    receiver.wait_until("Live.CallbackAfterSetMetadata", last).await;
    let (mut known, mut values) = (HashSet::new(), Vec::new());
    for event in receiver.of("Live.CallbackAfterSetMetadata") {
        if known.insert(event.id()) {
            values.push(event.body["Metadata"][0]["Value"].as_str().unwrap().to_string());
        }
    }
    assert_eq!(values, ["0", "1", "2", "3", "4"]);
    let created: Vec<_> = receiver
        .of("Live.CallbackAfterCreateRoom")
        .into_iter()
        .filter(|event| event.body["RoomId"] == "r")
        .collect();
    assert!(
        created.len() > 1 && created.iter().all(|event| event.id() == created[0].id()),
        "the same id on every retry"
    );
    assert_eq!(created[1].headers["roomful-attempt"], "2");
}

#[tokio::test]
async fn events_survive_a_crash_and_arrive_after_it() {
    let receiver =
        Receiver::answering(|_, before| if before < 3 { Answer::Status(503) } else { agree() }).await;
    let mut server = told(&receiver).await;
    server.create_room("r").await;
    let ann = server.enter("ann", "r").await;
    server.ok("set_room_metadata", json!({"RoomId": "r", "Metadata": [{"Key": "k", "Value": "v"}]})).await;
    server.kill();

    let _server = server.restart().await;

    receiver.wait_for("Live.CallbackAfterSetMetadata", 1).await;
    assert_eq!(receiver.members()["r"], HashSet::from(["ann".to_string()]));
    drop(ann);
}

#[tokio::test]
async fn a_lost_member_goes_offline_by_interruption_and_a_resumed_one_recovers() {
    let receiver = Receiver::start().await;
    let mut environment = ALLOWED.to_vec();
    environment.push(("ROOMFUL_PRESENCE__RESUME_GRACE", "1s"));
    let server = Server::with(&environment).await;
    set(&server, &receiver.url, &[PRESENCE]);
    server.create_room("r").await;
    let ann = server.enter("ann", "r").await;
    let token = ann.resume_token.clone();
    ann.cut();
    let mut ann = server.connect().await;
    ann.ok("login", json!({"ResumeToken": token})).await;
    let recovered = receiver.wait_for(PRESENCE, 2).await.remove(1).body;
    assert_eq!(
        (&recovered["EventType"], &recovered["EventCause"]),
        (&json!("Online"), &json!("HeartbeatRecover"))
    );

    ann.cut();

    let gone = receiver.wait_for(PRESENCE, 3).await.remove(2).body;
    assert_eq!((&gone["EventType"], &gone["EventCause"]), (&json!("Offline"), &json!("HeartbeatInterrupt")));
}

#[tokio::test]
async fn a_message_can_be_refused_changed_and_dropped_by_the_receiver() {
    let receiver = Receiver::answering(|received, _| {
        let text = received.body["MsgBody"][0]["MsgContent"]["Text"].as_str().unwrap_or_default();
        Answer::Json(match (received.command.as_str(), text) {
            ("Group.CallbackBeforeSendMsg", "no") => json!({"ErrorCode": 1, "ErrorInfo": "rude"}),
            ("Group.CallbackBeforeSendMsg", "own") => json!({"ErrorCode": 120_005, "ErrorInfo": "mine"}),
            ("Group.CallbackBeforeSendMsg", "drop") => json!({"ErrorCode": 2}),
            ("Group.CallbackBeforeSendMsg", "change") => json!({
                "ErrorCode": 0, "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "changed"}}],
            }),
            ("Group.CallbackBeforeSendMsg", "extend") => json!({"ErrorCode": 0, "CloudCustomData": "more"}),
            ("Live.CallbackBeforeSendGift", _) => json!({"ErrorCode": 102_150, "ErrorInfo": "no coins"}),
            _ => json!({"ErrorCode": 0}),
        })
    })
    .await;
    let server = told(&receiver).await;
    server.create_room("r").await;
    server.ok("add_gift", json!({"GiftId": "g", "Coins": 3})).await;
    let mut ann = server.enter("ann", "r").await;
    let text = |text: &str| json!({"RoomId": "r", "Text": text});

    let refused = ann.call("send_text_msg", text("no")).await;
    assert_eq!((&refused["ErrorCode"], &refused["ErrorInfo"]), (&json!(10_016), &json!("rude")));
    assert_eq!(ann.code("send_text_msg", text("own")).await, 120_005);
    ann.ok("send_text_msg", text("drop")).await;
    ann.ok("send_text_msg", text("change")).await;
    assert_eq!(ann.event("text_msg").await["Text"], "changed");
    ann.ok("send_text_msg", text("extend")).await;
    let extended = ann.event("text_msg").await;
    assert_eq!((&extended["Text"], &extended["ExtensionInfo"]), (&json!("extend"), &json!("more")));
    let rest = json!({"RoomId": "r", "Sender_Account": "ann", "TextContent": "no"});
    assert_eq!(server.code("send_text_msg", rest).await, 10_016);
    assert_eq!(ann.code("send_gift", json!({"RoomId": "r", "GiftId": "g"})).await, 102_150);
    let statistic = server.ok("get_room_statistic", json!({"RoomId": "r"})).await;
    assert_eq!((&statistic["TotalMsgCount"], &statistic["TotalGiftsSent"]), (&json!(2), &json!(0)));
}

/// What was allowed when the receiver was asked may be so no more when it answers.
#[tokio::test]
async fn what_waits_for_the_receiver_is_held_to_what_is_true_when_it_answers() {
    let receiver = Receiver::answering(|received, _| match received.command.as_str() {
        "Group.CallbackBeforeSendMsg" => Answer::AgreedAfter(Duration::from_millis(700)),
        _ => agree(),
    })
    .await;
    let server = told(&receiver).await;
    for room in ["r", "s"] {
        server.create_room(room).await;
    }
    let mut clients = Vec::new();
    for (user, room) in [("ann", "r"), ("ben", "r"), ("cat", "s")] {
        clients.push(server.enter(user, room).await);
    }
    let speaking = clients.into_iter().zip(["r", "r", "s"]).map(|(mut client, room)| {
        let body = json!({"RoomId": room, "Text": "hello"});
        tokio::spawn(async move { client.call("send_text_msg", body).await["ErrorCode"].clone() })
    });
    let speaking: Vec<_> = speaking.collect();
    receiver.wait_for("Group.CallbackBeforeSendMsg", 3).await;

    let mute = json!({"RoomId": "r", "MemberList_Account": ["ben"], "MuteTime": 600});
    server.ok("mute_member", mute).await;
    let begun = tokio::time::Instant::now();
    server.ok("destroy_room", json!({"RoomId": "s"})).await;

    let [ann, ben, cat] = speaking.try_into().unwrap();
    assert_eq!(cat.await.unwrap(), 100_004);
    assert!(
        begun.elapsed() < Duration::from_millis(300),
        "the end waits for nobody's answer: {:?}",
        begun.elapsed()
    );
    assert_eq!((ann.await.unwrap(), ben.await.unwrap()), (json!(0), json!(100_017)));
}

/// Whoever is told that a key is over hears of nothing more that is done by it.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_a_right_away_is_answered_when_what_was_begun_by_it_is_done() {
    let receiver = Receiver::answering(|received, _| match received.command.as_str() {
        "Group.CallbackBeforeSendMsg" => Answer::AgreedAfter(Duration::from_millis(1200)),
        _ => agree(),
    })
    .await;
    let server = Arc::new(told(&receiver).await);
    server.import(&["ann"]).await;
    server.create_room("r").await;
    let (sending, app) = (server.clone(), server.app.to_string());
    let body = json!({"RoomId": "r", "Sender_Account": "ann", "TextContent": "hello"});
    let path = "live_engine_http_srv/send_text_msg";
    let sent = tokio::spawn(async move { sending.call(path, body).await["ErrorCode"].clone() });
    receiver.wait_for("Group.CallbackBeforeSendMsg", 1).await;

    let rotated = server.cli(&["app", "rotate-key", &app]);

    assert!(rotated.status.success());
    let sent = tokio::time::timeout(Duration::from_millis(200), sent).await;
    assert_eq!(sent.expect("it goes on").unwrap(), 0);
}

/// Who hangs up has asked for it all the same.
#[tokio::test]
async fn a_message_is_sent_though_nobody_waits_for_that_any_more() {
    let receiver = Receiver::answering(|received, _| match received.command.as_str() {
        "Group.CallbackBeforeSendMsg" => Answer::AgreedAfter(Duration::from_millis(300)),
        _ => agree(),
    })
    .await;
    let server = told(&receiver).await;
    server.create_room("r").await;
    let mut ben = server.enter("ben", "r").await;
    let mut ann = server.enter("ann", "r").await;
    let body = json!({"RoomId": "r", "Text": "bye"});
    let asked = tokio::spawn(async move { ann.call("send_text_msg", body).await });
    receiver.wait_for("Group.CallbackBeforeSendMsg", 1).await;

    // The connection is cut, and the session lives on.
    asked.abort();

    assert_eq!(ben.event("text_msg").await["Text"], "bye");
}

/// A console that approves messages by hand refuses them all, and sends those that are approved itself.
#[tokio::test]
async fn a_message_that_spares_the_receiver_is_neither_asked_for_nor_told() {
    let receiver = Receiver::answering(|received, _| {
        Answer::Json(json!({"ErrorCode": u32::from(received.command == "Group.CallbackBeforeSendMsg")}))
    })
    .await;
    let server = told(&receiver).await;
    server.import(&["ann"]).await;
    server.create_room("r").await;
    let mut ben = server.enter("ben", "r").await;
    let path = "group_open_http_svc/send_group_msg";
    let message = |text: &str, forbidden: &[&str]| {
        json!({
            "GroupId": "r", "From_Account": "ann", "Random": 5, "ForbidCallbackControl": forbidden,
            "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}],
        })
    };

    assert_eq!(server.code(path, message("asked", &[])).await, 10_016);
    assert_eq!(server.code(path, message("asked", &["ForbidAfterSendMsgCallback"])).await, 10_016);
    let both = ["ForbidBeforeSendMsgCallback", "ForbidAfterSendMsgCallback"];
    assert_eq!(server.call(path, message("silent", &both)).await["ErrorCode"], 0);
    assert_eq!(server.call(path, message("told", &both[..1])).await["ErrorCode"], 0);

    assert_eq!(ben.event("text_msg").await["Text"], "silent");
    assert_eq!(ben.event("text_msg").await["Text"], "told");
    let told = receiver.wait_for("Group.CallbackAfterSendMsg", 1).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].body["MsgBody"][0]["MsgContent"]["Text"], "told");
    assert_eq!(receiver.of("Group.CallbackBeforeSendMsg").len(), 2);
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_in_time_has_no_objection_and_delays_nobody_else() {
    let receiver = Receiver::answering(|received, _| match received.command.as_str() {
        "Group.CallbackBeforeSendMsg" => Answer::After(Duration::from_secs(30)),
        _ => agree(),
    })
    .await;
    let mut environment = ALLOWED.to_vec();
    environment.push(("ROOMFUL_WEBHOOKS__DEADLINE", "500ms"));
    let server = Server::with(&environment).await;
    set(&server, &receiver.url, &["Group.CallbackBeforeSendMsg"]);
    server.create_room("r").await;
    let mut ann = server.enter("ann", "r").await;
    let mut ben = server.enter("ben", "r").await;
    let started = tokio::time::Instant::now();

    let slow =
        tokio::spawn(async move { ann.ok("send_text_msg", json!({"RoomId": "r", "Text": "hi"})).await });
    ben.ok("leave_room", json!({"RoomId": "r"})).await;
    assert!(started.elapsed() < Duration::from_millis(400), "the room waited: {:?}", started.elapsed());

    slow.await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(500));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_in_a_private_network_is_refused_unless_it_is_meant() {
    let receiver = Receiver::start().await;
    let server = Server::start().await;
    let port = receiver.url.rsplit(':').next().unwrap().split('/').next().unwrap().to_string();
    for url in [
        receiver.url.clone(),
        "http://169.254.169.254/latest/meta-data".into(),
        "http://[::1]:8080/".into(),
        "http://[::ffff:10.0.0.1]/".into(),
        "ftp://example.org/".into(),
        "http://user:pass@example.org/".into(),
        "nonsense".into(),
    ] {
        let output = server.cli(&["webhook", "set", "--url", &url]);
        assert!(!output.status.success(), "{url} was taken");
    }
    // A name, and a number in disguise, are found out when they are looked up.
    for host in ["localhost", "2130706433", "0177.0.0.1"] {
        let url = format!("http://{host}:{port}/hook");
        assert!(server.cli(&["webhook", "set", "--url", &url]).status.success(), "{url}");
        let output = server.cli(&["webhook", "test"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("no public address"), "{host}: {said}");
        server.create_room(host).await;
        // It is tried, and tried again: an event whose receiver is taken away is given up at its next attempt.
        assert!(server.cli(&["webhook", "set", "--url", ""]).status.success());
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while !failed(&server).iter().any(|event| event["subject"] == host) {
            assert!(tokio::time::Instant::now() < deadline, "the event for {host} was not tried again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(receiver.all().is_empty(), "{host}");
    }

    // What counts is what the server was told, not the one who asks. There the same names lead to the receiver.
    let server = Server::with(ALLOWED).await;
    for (number, host) in ["localhost", "2130706433"].into_iter().enumerate() {
        let url = format!("http://{host}:{port}/hook");
        assert!(server.cli_with(&["webhook", "set", "--url", &url]).status.success(), "{url}");
        server.create_room(host).await;
        receiver.wait_for("Live.CallbackAfterCreateRoom", number + 1).await;
    }
    assert!(server.cli(&["webhook", "set", "--url", &receiver.url]).status.success());
    let output = server.cli(&["webhook", "test"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(receiver.of("Roomful.CallbackTest").len(), 1);
}

#[tokio::test]
async fn what_is_given_up_can_be_seen_and_sent_again() {
    let receiver = Receiver::start().await;
    let server = told(&receiver).await;
    server.create_room("r").await;
    receiver.wait_for("Live.CallbackAfterCreateRoom", 1).await;
    // Events for nobody: those on their way when the receiver is taken away are dead letters.
    let dead = Receiver::answering(|_, _| Answer::Status(500)).await;
    set(&server, &dead.url, &[]);
    server.ok("set_room_metadata", json!({"RoomId": "r", "Metadata": [{"Key": "k", "Value": "v"}]})).await;
    dead.wait_for("Live.CallbackAfterSetMetadata", 1).await;
    assert!(server.cli_with(&["webhook", "set", "--url", ""]).status.success());

    let failed = || failed(&server);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while failed().is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "it was never given up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(failed()[0]["command"], "Live.CallbackAfterSetMetadata");
    let text = server.cli_with(&["webhook", "failed"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("Live.CallbackAfterSetMetadata"));
    set(&server, &receiver.url, &[]);
    assert!(server.cli_with(&["webhook", "replay"]).status.success());

    let event = receiver.wait_for("Live.CallbackAfterSetMetadata", 1).await.remove(0);
    assert_eq!(event.body["Metadata"][0]["Value"], "v");
    assert!(failed().is_empty());
}
