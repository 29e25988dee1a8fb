//! Every code that a call can bring about, with a call that does: the numbers that programs written for the cloud switch on,
//! and ours. What is wrong with a URL, a UserSig or a body as such is in bad_input.rs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::collections::{BTreeSet, HashMap};

use harness::receiver::{Answer, Receiver};
use harness::{Client, Server};
use serde_json::{Value, json};

/// Who calls: a member of that name, or the app's server.
const APP: &str = "";

const CONFERENCE: &str = "room_engine_http_srv";
const BATTLES: &str = "live_engine_http_pk";

/// The code, what it means, who calls, what.
type Row = (u64, &'static str, &'static str, &'static str, Value);

/// Codes that no row is for: what is wrong with a URL, a body or a UserSig (bad_input.rs); a disk that takes nothing
/// (attacks/disk.rs).
fn is_elsewhere(code: u64) -> bool {
    (60_000..80_000).contains(&code) || code == 100_001
}

/// Refuses the gift "no" and the message "no", and others by numbers of its own.
async fn refusing() -> Receiver {
    Receiver::answering(|received, _| {
        let text = received.body["MsgBody"][0]["MsgContent"]["Text"].as_str();
        let gift = received.body["GiftWater"]["GiftId"].as_str();
        Answer::Json(match (text, gift) {
            (Some("no"), _) | (_, Some("no")) => json!({"ErrorCode": 1}),
            (Some("own"), _) => json!({"ErrorCode": 120_001}),
            (_, Some("own")) => json!({"ErrorCode": 102_101}),
            _ => json!({"ErrorCode": 0}),
        })
    })
    .await
}

async fn told(receiver: &Receiver) -> Server {
    let environment =
        [("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"), ("ROOMFUL_WEBHOOKS__ALLOW_PRIVATE", "true")];
    let server = Server::with(&environment).await;
    let events = ["--event", "Group.CallbackBeforeSendMsg", "--event", "Live.CallbackBeforeSendGift"];
    let output = server.cli(&[&["webhook", "set", "--url", &receiver.url][..], &events].concat());
    assert!(output.status.success(), "{output:?}");
    server
}

/// Rooms of all conditions, whose owner is `own`, and who is in them: nothing of it is changed by what is refused.
async fn world(server: &Server) -> HashMap<&'static str, Client> {
    server.import(&["own", "ann", "ben", "cat", "eve", "bot"]).await;
    let four = json!({"SeatTemplate": "VideoLandscape4Seats"});
    let one = json!({"SeatTemplate": "AudioSalon", "MaxSeatCount": 1});
    let apply = json!({"SeatTemplate": "Karaoke", "TakeSeatMode": "ApplyToTake"});
    let quiet = json!({"IsMessageDisabled": true, "IsGiftEnabled": false, "IsLikeEnabled": false});
    let rooms = [
        ("r", four),
        ("one", one),
        ("apply", apply),
        ("quiet", quiet),
        ("full", json!({"MaxMemberCount": 1})),
        ("closed", json!({"Password": "sesame"})),
    ];
    let plain = ["a", "b", "d", "e", "f", "g"].map(|room| (room, json!({})));
    for (room, mut fields) in rooms.into_iter().chain(plain) {
        fields["Owner_Account"] = "own".into();
        server.create_room_with(room, fields).await;
    }
    let conference = json!({"RoomInfo": {"RoomId": "c", "Owner_Account": "own"}});
    server.ok(&format!("{CONFERENCE}/create_room"), conference).await;
    for gift in ["rose", "no", "own"] {
        server.ok("add_gift", json!({"GiftId": gift})).await;
    }
    server.ok("add_robot", json!({"RoomId": "full", "RobotList_Account": ["bot"]})).await;
    server.ok("ban_member", json!({"RoomId": "r", "MemberList_Account": ["ben"], "Duration": 600})).await;
    server.ok("mute_member", json!({"RoomId": "r", "MemberList_Account": ["cat"], "MuteTime": 600})).await;

    let (mut own, mut ann) = (server.log_in("own").await, server.log_in("ann").await);
    for room in ["r", "one", "apply", "a", "b", "d", "e", "c"] {
        own.ok("enter_room", json!({"RoomId": room})).await;
    }
    for room in ["r", "one", "apply", "quiet", "c"] {
        ann.ok("enter_room", json!({"RoomId": room})).await;
    }
    for room in ["r", "one"] {
        own.ok("take_seat", json!({"RoomId": room, "Index": 0})).await;
    }
    own.ok("lock_seat", json!({"RoomId": "r", "Index": 3, "ForbidTaken": true})).await;
    ann.ok("apply_for_seat", json!({"RoomId": "apply", "Timeout": 3600})).await;
    own.ok("request_connection", json!({"RoomId": "a", "ToRoomId": "b"})).await;
    own.ok("accept_connection", json!({"RoomId": "b", "FromRoomId": "a"})).await;
    own.ok("request_connection", json!({"RoomId": "d", "ToRoomId": "e", "Timeout": 600})).await;
    HashMap::from([
        ("own", own),
        ("ann", ann),
        ("ben", server.log_in("ben").await),
        ("cat", server.enter("cat", "r").await),
    ])
}

/// A battle that runs, one that waits for an answer, one that is over.
async fn battles(server: &Server) -> [Value; 3] {
    let create = async |from: &str, to: &str, asks: bool| {
        let body = json!({
            "FromRoomId": from, "ToRoomIdList": [to], "Duration": 600_000, "NeedResponse": asks, "Timeout": 600_000,
        });
        server.ok(&format!("{BATTLES}/create_battle"), body).await["BattleId"].clone()
    };
    let over = create("f", "g", false).await;
    server.ok(&format!("{BATTLES}/end_battle"), json!({"BattleId": over})).await;
    [create("a", "b", false).await, create("f", "g", true).await, over]
}

fn table([running, waiting, over]: [Value; 3]) -> Vec<Row> {
    let metadata = |keys: usize, key: usize, value: usize| -> Value {
        let entry = |number: usize| json!({"Key": format!("{number:0>key$}"), "Value": "v".repeat(value)});
        json!({"RoomId": "r", "Metadata": (0..keys).map(entry).collect::<Vec<_>>()})
    };
    let room = |fields: Value| json!({"RoomInfo": fields});
    let text = |room: &str, text: &str| json!({"RoomId": room, "Text": text});
    let gift = |room: &str, gift: &str| json!({"RoomId": room, "GiftId": gift});
    let score =
        |battle: &Value| json!({"BattleId": battle, "OpType": 1, "ScoreList": [{"RoomId": "f", "Score": 1}]});
    let group = json!([{"MsgType": "TIMTextElem", "MsgContent": {"Text": "x"}}]);
    let from_cat = json!({"RoomId": "r", "Sender_Account": "cat", "TextContent": "x"});
    let pick = json!({"RoomId": "r", "Member_Account": "ann", "Index": 0});
    let battle = |from: &str, to: &[&str]| json!({"FromRoomId": from, "ToRoomIdList": to, "Duration": 1000});
    let cohost = |from: &str, to: &str| json!({"RoomId": from, "ToRoomId": to});
    let many: Vec<String> = (0..9).map(|number| format!("x{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let tags = json!({"RoomId": "new", "Category": [1, 2, 3, 4]});
    vec![
        (10_016, "refused by the app's server", "ann", "send_text_msg", text("r", "no")),
        (120_001, "and by a number of its own", "ann", "send_text_msg", text("r", "own")),
        (
            10_017,
            "muted, as the group service says it",
            APP,
            "group_open_http_svc/send_group_msg",
            json!({"GroupId": "r", "From_Account": "cat", "MsgBody": group}),
        ),
        (100_002, "a parameter is invalid", APP, "get_member_list", json!({})),
        (
            100_003,
            "in use by another owner",
            APP,
            "create_room",
            room(json!({"RoomId": "r", "Owner_Account": "ann"})),
        ),
        (
            100_003,
            "in use by another type",
            APP,
            "create_room",
            room(json!({"RoomId": "c", "Owner_Account": "own"})),
        ),
        (100_003, "in use by another owner", "ann", "create_room", room(json!({"RoomId": "r"}))),
        (100_004, "no such room", APP, "get_room_info", json!({"RoomId": "nowhere"})),
        (100_004, "no such room", "ann", "enter_room", json!({"RoomId": "nowhere"})),
        (100_005, "not a member", APP, "kick_member", json!({"RoomId": "r", "MemberList_Account": ["eve"]})),
        (100_005, "not a member", "ben", "send_text_msg", text("r", "x")),
        (
            100_006,
            "no permission",
            "ann",
            "mute_member",
            json!({"RoomId": "r", "MemberList_Account": ["cat"], "MuteTime": 1}),
        ),
        (100_006, "not a Live room", APP, "get_member_list", json!({"RoomId": "c"})),
        (100_006, "not a Live room", APP, "live_engine_http_pk/create_battle", battle("c", &["a"])),
        (100_008, "full", "ann", "enter_room", json!({"RoomId": "full"})),
        (100_009, "too many tags", APP, "create_room", room(tags)),
        (
            100_010,
            "in use, by its owner",
            APP,
            "create_room",
            room(json!({"RoomId": "r", "Owner_Account": "own"})),
        ),
        (100_010, "in use, by its owner", "own", "create_room", room(json!({"RoomId": "r"}))),
        (100_015, "a wrong room type", APP, "room_engine_http_srv/get_room_info", json!({"RoomId": "r"})),
        (
            100_015,
            "a wrong room type",
            APP,
            "create_room",
            room(json!({"RoomId": "new", "RoomType": "Conference"})),
        ),
        (100_006, "not a Live room", "ann", "get_room_metadata", json!({"RoomId": "c"})),
        (100_016, "banned", "ben", "enter_room", json!({"RoomId": "r"})),
        (100_017, "muted", "cat", "send_text_msg", text("r", "x")),
        (100_017, "muted", "cat", "send_group_msg", json!({"RoomId": "r", "MsgBody": group})),
        (100_017, "muted", APP, "send_text_msg", from_cat),
        (100_018, "wants a password", "ann", "enter_room", json!({"RoomId": "closed"})),
        (100_018, "wants a password", "ann", "enter_room", json!({"RoomId": "closed", "Password": ""})),
        (100_019, "a wrong one", "ann", "enter_room", json!({"RoomId": "closed", "Password": "Sesame"})),
        (100_200, "the seat is locked", "ann", "take_seat", json!({"RoomId": "r", "Index": 3})),
        (100_201, "the seat is taken", "ann", "take_seat", json!({"RoomId": "r", "Index": 0})),
        (100_202, "waiting already", "ann", "apply_for_seat", json!({"RoomId": "apply"})),
        (100_203, "on a seat already", "own", "take_seat", json!({"RoomId": "r", "Index": 1})),
        (
            100_204,
            "not among those who wait",
            "own",
            "accept_seat_request",
            json!({"RoomId": "apply", "RequestId": "99"}),
        ),
        (100_205, "no seat is free", "ann", "take_seat", json!({"RoomId": "one"})),
        (100_206, "not on a seat", "ann", "leave_seat", json!({"RoomId": "r"})),
        (100_206, "not on a seat", APP, "room_engine_http_mic/kick_user_off_seat", pick.clone()),
        (100_210, "the seat has somebody", APP, "room_engine_http_mic/pick_user_on_seat", pick),
        (
            100_203,
            "the user is on a seat already",
            APP,
            "room_engine_http_mic/pick_user_on_seat",
            json!({"RoomId": "r", "Member_Account": "own", "Index": 1}),
        ),
        (
            100_210,
            "the user is on a seat already",
            "own",
            "invite_to_seat",
            json!({"RoomId": "r", "Member_Account": "own", "Index": 1}),
        ),
        (100_211, "no seats", "ann", "take_seat", json!({"RoomId": "quiet"})),
        (100_251, "nobody was named", "own", "request_connection", json!({"RoomId": "a"})),
        (100_251, "nobody was named", "own", "request_connection", cohost("a", "")),
        (100_400, "no such co-hosting", "own", "leave_connection", json!({"RoomId": "d"})),
        (100_400, "no such request", "own", "reject_connection", json!({"RoomId": "d", "FromRoomId": "a"})),
        (100_401, "co-hosts already", "own", "request_connection", cohost("a", "b")),
        (100_402, "a request is pending", "own", "request_connection", cohost("a", "e")),
        (100_403, "with another room", "own", "request_connection", cohost("d", "a")),
        (100_404, "too many", APP, "live_engine_http_pk/create_battle", battle("d", &many)),
        (100_411, "no such battle", APP, "live_engine_http_pk/get_battle_info", json!({"BattleId": "x"})),
        (100_411, "or it is over", APP, "live_engine_http_pk/end_battle", json!({"BattleId": over})),
        (100_412, "no valid room", APP, "live_engine_http_pk/create_battle", battle("d", &["a"])),
        (100_414, "not in the battle", "own", "exit_battle", json!({"RoomId": "d", "BattleId": running})),
        (100_415, "in another battle", APP, "live_engine_http_pk/create_battle", battle("a", &["d"])),
        (
            100_416,
            "a request for a battle is pending",
            APP,
            "live_engine_http_pk/create_battle",
            battle("f", &["d"]),
        ),
        (100_420, "has not begun", APP, "live_engine_http_pk/set_battle_score", score(&waiting)),
        (100_421, "is over", APP, "live_engine_http_pk/set_battle_score", score(&over)),
        (100_500, "more than 10 keys", APP, "set_room_metadata", metadata(11, 1, 1)),
        (100_501, "a value beyond 2 KB", APP, "set_room_metadata", metadata(1, 1, 2049)),
        (100_502, "16 KB in all", APP, "set_room_metadata", metadata(9, 1, 2048)),
        (100_503, "no such key", APP, "del_room_metadata", json!({"RoomId": "r", "Keys": ["x"]})),
        (100_504, "a key that is too long", APP, "set_room_metadata", metadata(1, 51, 1)),
        (102_001, "no such gift", "ann", "send_gift", gift("r", "none")),
        (102_001, "no such gift", APP, "get_gift", json!({"GiftId": "none"})),
        (102_100, "refused by the app's server", "ann", "send_gift", gift("r", "no")),
        (102_101, "and by a number of its own", "ann", "send_gift", gift("r", "own")),
        (104_001, "messages are off", "ann", "send_text_msg", text("quiet", "x")),
        (104_002, "gifts are off", "ann", "send_gift", gift("quiet", "rose")),
        (104_003, "likes are off", "ann", "send_like", json!({"RoomId": "quiet"})),
        (104_004, "on application only", "ann", "take_seat", json!({"RoomId": "apply"})),
        (104_005, "no such connection", "ann", "update_watch", json!({"RoomId": "r", "Streams": []})),
    ]
}

#[tokio::test]
async fn every_refusal_has_the_number_that_the_cloud_has_for_it() {
    let receiver = refusing().await;
    let server = told(&receiver).await;
    let mut members = world(&server).await;
    let battles = battles(&server).await;

    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for (code, what, who, command, body) in table(battles) {
        let answer = match members.get_mut(who) {
            Some(member) => member.call(command, body).await,
            None if command.contains('/') => server.call(command, body).await,
            None => server.live(command, body).await,
        };
        if answer["ErrorCode"] != code || answer["ErrorInfo"] == "" {
            wrong.push(format!("{command} of {who:?}: {code} ({what}), not {answer}"));
        }
        seen.insert(code);
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Those of the catalogue have a test of their own below.
    seen.insert(100_012);
    let document: Value = serde_json::from_str(&server.get("/openapi.json").await.1).unwrap();
    let listed = document["components"]["schemas"]["ErrorCode"]["oneOf"].as_array().unwrap();
    let named = |code: &&Value| code["title"].is_string() && code["description"].is_string();
    assert_eq!(listed.iter().filter(named).count(), listed.len());
    let listed: BTreeSet<u64> = listed.iter().filter_map(|code| code["const"].as_u64()).collect();
    let untold: Vec<&u64> =
        listed.iter().filter(|code| **code != 0 && !is_elsewhere(**code) && !seen.contains(code)).collect();
    assert!(untold.is_empty(), "no row brings these about: {untold:?}");
    assert!(seen.iter().all(|code| listed.contains(code) || [102_101, 120_001].contains(code)), "{listed:?}");
}

#[tokio::test]
async fn calls_beyond_a_documented_frequency_are_told_apart() {
    let server = Server::with(&[]).await;
    server.ok("add_gift", json!({"GiftId": "g"})).await;

    let burst = async |command: &str, body: Value, calls: usize| {
        let calls = (0..calls).map(|_| server.live(command, body.clone()));
        let answers = futures_util::future::join_all(calls).await;
        answers.iter().map(|answer| answer["ErrorCode"].as_u64().unwrap()).collect::<BTreeSet<u64>>()
    };

    assert_eq!(burst("get_gift", json!({"GiftId": "g"}), 5).await, BTreeSet::from([0, 100_012]));
    assert_eq!(burst("get_room_list", json!({}), 30).await, BTreeSet::from([0, 60_007]));
    assert_eq!(
        burst("get_gift_info_list", json!({}), 30).await,
        BTreeSet::from([0]),
        "it has none of its own"
    );
    let info = json!({"RoomInfo": {"RoomId": "r", "RoomType": "Live"}});
    assert_eq!(burst("create_room", info.clone(), 5).await, BTreeSet::from([0, 100_012]), "of one id");
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(server.code("create_room", info).await, 100_010);
    let others: Vec<String> = (0..20).map(|number| format!("r{number}")).collect();
    futures_util::future::join_all(others.iter().map(|room| server.create_room(room))).await;
}

#[tokio::test]
async fn users_who_make_the_room_they_all_come_to_are_told_that_it_is_there() {
    let server = Server::with(&[]).await;
    let mut members = Vec::new();
    for user in ["ann", "ben", "cat"] {
        members.push(server.log_in(user).await);
    }

    let room = json!({"RoomInfo": {"RoomId": "r"}});
    let mut codes = Vec::new();
    for member in &mut members {
        codes.push(member.call("create_room", room.clone()).await["ErrorCode"].as_u64().unwrap());
    }

    assert_eq!(codes, [0, 100_003, 100_003]);
}

#[tokio::test]
async fn a_room_is_public_unless_it_says_otherwise() {
    let server = Server::start().await;
    server.create_room("shown").await;
    server.create_room_with("hidden", json!({"IsPublicVisible": false})).await;

    let list = server.ok("get_room_list", json!({})).await;

    let rooms: Vec<&str> =
        list["RoomList"].as_array().unwrap().iter().map(|room| room["RoomId"].as_str().unwrap()).collect();
    assert_eq!(rooms, ["shown"]);
    assert_eq!(list["RoomList"][0]["IsPublicVisible"], true);
}
