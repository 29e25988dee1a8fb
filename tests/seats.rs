//! Seats, from both sides; and what owners do together: connections and battles.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::{Client, Server};
use serde_json::{Value, json};

const SEATS: &str = "room_engine_http_mic";
const BATTLES: &str = "live_engine_http_pk";

async fn seats(server: &Server, room: &str) -> Vec<Option<String>> {
    let list = server.ok(&format!("{SEATS}/get_seat_list"), json!({"RoomId": room})).await;
    let seat = |seat: &Value| seat["Member_Account"].as_str().map(String::from);
    list["SeatList"].as_array().unwrap().iter().map(seat).collect()
}

fn on(seats: &[Option<String>], index: usize) -> &str {
    seats[index].as_deref().unwrap_or("")
}

#[tokio::test]
async fn an_administrator_seats_moves_and_unseats_members() {
    let server = Server::start().await;
    server.create_room_with("r", json!({"SeatTemplate": "VideoLandscape4Seats"})).await;
    server.create_room("plain").await;
    let mut ann = server.enter("ann", "r").await;
    let _ben = server.enter("ben", "r").await;
    let _plain = server.enter("ann", "plain").await;
    server.import(&["cat"]).await;
    let call = |command: &str| format!("{SEATS}/{command}");
    let pick =
        |room: &str, user: &str, index: i64| json!({"RoomId": room, "Member_Account": user, "Index": index});

    server.ok(&call("pick_user_on_seat"), pick("r", "ann", 1)).await;
    let event = ann.event("seats_changed").await;
    assert_eq!(event["SeatList"][1]["Member_Account"], "ann");
    assert_eq!(event["SeatList"][0]["Member_Account"], Value::Null);

    for (user, room, index, code) in [
        ("cat", "r", 2, 100_005),
        ("ann", "r", 2, 100_203),
        ("ben", "r", 1, 100_210),
        ("ben", "r", 4, 100_002),
        ("ben", "r", -2, 100_002),
        ("ann", "plain", 0, 100_211),
        ("ann", "gone", 0, 100_004),
    ] {
        assert_eq!(
            server.code(&call("pick_user_on_seat"), pick(room, user, index)).await,
            code,
            "{user} {room} {index}"
        );
    }
    server
        .ok(&call("lock_seat"), json!({"RoomId": "r", "Index": 2, "ForbidTaken": true, "ForbidAudio": true}))
        .await;
    assert_eq!(server.code(&call("pick_user_on_seat"), pick("r", "ben", 2)).await, 100_200);
    let list = server.ok(&call("get_seat_list"), json!({"RoomId": "r"})).await;
    let locked =
        json!({"Index": 2, "IsTakenDisabled": true, "IsVideoDisabled": false, "IsAudioDisabled": true});
    assert_eq!(list["SeatList"][2], locked);

    server.ok(&call("pick_user_on_seat"), pick("r", "ben", -1)).await;
    let move_to = |user: &str, index: u32, policy: u32| json!({"RoomId": "r", "Member_Account": user, "SeatIndex": index, "Policy": policy});
    assert_eq!(server.code(&call("move_user_to_seat"), move_to("ben", 1, 0)).await, 100_210);
    server.ok(&call("move_user_to_seat"), move_to("ben", 1, 2)).await;
    let now = seats(&server, "r").await;
    assert_eq!((on(&now, 0), on(&now, 1)), ("ann", "ben"));
    server.ok(&call("move_user_to_seat"), move_to("ann", 1, 1)).await;
    let now = seats(&server, "r").await;
    assert_eq!((on(&now, 0), on(&now, 1)), ("", "ann"));
    server.ok(&call("switch_seat"), json!({"RoomId": "r", "Member_Account": "ann", "Index": 3})).await;

    let server = server.restart().await;
    assert_eq!(on(&seats(&server, "r").await, 3), "ann", "a seat taken survives a restart with its member");
    server
        .ok(&call("kick_user_off_seat"), json!({"RoomId": "r", "Member_Account": "ann", "Data": "time over"}))
        .await;
    assert_eq!(seats(&server, "r").await, [None, None, None, None]);
    let nobody = json!({"RoomId": "r", "Member_Account": "ann"});
    assert_eq!(server.code(&call("kick_user_off_seat"), nobody).await, 100_206);
}

#[tokio::test]
async fn locking_a_seat_takes_its_member_off_and_leaving_frees_it() {
    let server = Server::start().await;
    server.create_room_with("r", json!({"SeatTemplate": "AudioSalon", "MaxSeatCount": 2})).await;
    let mut ann = server.enter("ann", "r").await;
    let mut ben = server.enter("ben", "r").await;
    assert_eq!(ann.ok("take_seat", json!({"RoomId": "r", "Index": 0})).await["Index"], 0);
    assert_eq!(ben.ok("take_seat", json!({"RoomId": "r"})).await["Index"], 1);
    let mut cat = server.enter("cat", "r").await;
    assert_eq!(cat.code("take_seat", json!({"RoomId": "r"})).await, 100_205);
    assert_eq!(cat.code("lock_seat", json!({"RoomId": "r", "Index": 0, "ForbidTaken": true})).await, 100_006);

    server.ok(&format!("{SEATS}/lock_seat"), json!({"RoomId": "r", "Index": 0, "ForbidTaken": true})).await;
    assert_eq!(seats(&server, "r").await, [None, Some("ben".into())]);
    ben.ok("leave_room", json!({"RoomId": "r"})).await;
    assert_eq!(seats(&server, "r").await, [None, None]);
    ann.ok("take_seat", json!({"RoomId": "r", "Index": 1})).await;
    assert_eq!(ann.code("move_to_seat", json!({"RoomId": "r", "Index": 0})).await, 100_200);
    let ban = json!({"RoomId": "r", "MemberList_Account": ["ann"], "Duration": 60, "Reason": ""});
    server.ok("ban_member", ban).await;
    assert_eq!(seats(&server, "r").await, [None, None], "a banned member's seat is free");
    cat.ok("take_seat", json!({"RoomId": "r", "Index": 1})).await;
    cat.ok("leave_seat", json!({"RoomId": "r"})).await;
    assert_eq!(cat.code("leave_seat", json!({"RoomId": "r"})).await, 100_206);
}

async fn apply_room(server: &Server) -> (Client, Client) {
    server.import(&["own"]).await;
    let fields = json!({"SeatTemplate": "Karaoke", "TakeSeatMode": "ApplyToTake", "Owner_Account": "own"});
    server.create_room_with("r", fields).await;
    (server.enter("own", "r").await, server.enter("ann", "r").await)
}

#[tokio::test]
async fn where_seats_are_applied_for_the_owner_decides() {
    let server = Server::start().await;
    let (mut owner, mut ann) = apply_room(&server).await;
    assert_eq!(ann.code("take_seat", json!({"RoomId": "r", "Index": 2})).await, 104_004);
    owner.ok("take_seat", json!({"RoomId": "r", "Index": 0})).await;

    let id = ann.ok("apply_for_seat", json!({"RoomId": "r", "Index": 2, "Timeout": 60})).await["RequestId"]
        .clone();
    assert_eq!(ann.code("apply_for_seat", json!({"RoomId": "r", "Index": 3})).await, 100_202);
    let asked = owner.event("seat_request_received").await;
    assert_eq!(
        (&asked["RequestId"], &asked["From_Account"], &asked["Index"]),
        (&id, &json!("ann"), &json!(2))
    );
    let open = owner.ok("get_seat_applications", json!({"RoomId": "r"})).await;
    assert_eq!(open["ApplicationList"][0]["RequestId"], id);
    assert_eq!(ann.code("accept_seat_request", json!({"RoomId": "r", "RequestId": id})).await, 100_006);
    owner.ok("accept_seat_request", json!({"RoomId": "r", "RequestId": id})).await;

    let ended = ann.event("seat_request_ended").await;
    assert_eq!((&ended["Result"], &ended["Operator_Account"]), (&json!("accepted"), &json!("own")));
    assert_eq!(on(&seats(&server, "r").await, 2), "ann");
    assert_eq!(owner.code("accept_seat_request", json!({"RoomId": "r", "RequestId": id})).await, 100_204);
    ann.ok("leave_seat", json!({"RoomId": "r"})).await;

    let id = ann.ok("apply_for_seat", json!({"RoomId": "r"})).await["RequestId"].clone();
    owner.ok("reject_seat_request", json!({"RoomId": "r", "RequestId": id})).await;
    assert_eq!(ann.event("seat_request_ended").await["Result"], "rejected");
    let id = ann.ok("apply_for_seat", json!({"RoomId": "r"})).await["RequestId"].clone();
    ann.ok("cancel_seat_request", json!({"RoomId": "r", "RequestId": id})).await;
    let mut ended = owner.event("seat_request_ended").await;
    while ended["RequestId"] != id {
        ended = owner.event("seat_request_ended").await;
    }
    assert_eq!(ended["Result"], "cancelled");
}

#[tokio::test]
async fn an_invitation_is_up_to_the_guest_and_both_kinds_run_out() {
    let server = Server::start().await;
    let (mut owner, mut ann) = apply_room(&server).await;
    let invite = json!({"RoomId": "r", "Member_Account": "ann", "Index": 1});
    assert_eq!(ann.code("invite_to_seat", invite.clone()).await, 100_006);

    let id = owner.ok("invite_to_seat", invite.clone()).await["RequestId"].clone();
    assert_eq!(ann.event("seat_request_received").await["Kind"], "invitation");
    assert_eq!(owner.code("accept_seat_request", json!({"RoomId": "r", "RequestId": id})).await, 100_006);
    ann.ok("accept_seat_request", json!({"RoomId": "r", "RequestId": id})).await;
    assert_eq!(owner.event("seat_request_ended").await["Result"], "accepted");
    assert_eq!(on(&seats(&server, "r").await, 1), "ann");
    ann.ok("leave_seat", json!({"RoomId": "r"})).await;

    let id = ann.ok("apply_for_seat", json!({"RoomId": "r", "Timeout": 1})).await["RequestId"].clone();
    let mut ended = ann.event("seat_request_ended").await;
    while ended["RequestId"] != id {
        ended = ann.event("seat_request_ended").await;
    }
    assert_eq!(ended["Result"], "expired");
    assert_eq!(owner.code("accept_seat_request", json!({"RoomId": "r", "RequestId": id})).await, 100_204);
}

#[tokio::test]
async fn the_owner_keeps_a_seat_where_the_room_says_so() {
    let server = Server::start().await;
    server.import(&["own"]).await;
    let fields =
        json!({"SeatTemplate": "VideoDynamicGrid9Seats", "KeepOwnerOnSeat": true, "Owner_Account": "own"});
    server.create_room_with("r", fields).await;
    let mut ann = server.enter("ann", "r").await;
    assert_eq!(ann.code("take_seat", json!({"RoomId": "r", "Index": 0})).await, 100_201);
    assert_eq!(ann.ok("take_seat", json!({"RoomId": "r", "Index": -1})).await["Index"], 1);

    let _owner = server.enter("own", "r").await;

    assert_eq!(on(&seats(&server, "r").await, 0), "own");
}

async fn owners(server: &Server, rooms: &[&str]) -> Vec<Client> {
    let mut clients = Vec::new();
    for room in rooms {
        let owner = format!("own-{room}");
        server.import(&[&owner]).await;
        server.create_room_with(room, json!({"Owner_Account": owner})).await;
        clients.push(server.enter(&owner, room).await);
    }
    clients
}

#[tokio::test]
async fn owners_connect_their_rooms() {
    let server = Server::start().await;
    let mut clients = owners(&server, &["a", "b", "c"]).await;
    let [a, b, c] = clients.as_mut_slice() else { panic!() };
    let mut guest = server.enter("guest", "a").await;
    assert_eq!(guest.code("request_connection", json!({"RoomId": "a", "ToRoomId": "b"})).await, 100_006);
    assert_eq!(a.code("request_connection", json!({"RoomId": "a", "ToRoomId": "a"})).await, 100_002);
    assert_eq!(a.code("request_connection", json!({"RoomId": "a", "ToRoomId": "x"})).await, 100_004);

    a.ok("request_connection", json!({"RoomId": "a", "ToRoomId": "b", "ExtensionInfo": "hi"})).await;
    assert_eq!(
        b.event("connection_requested").await,
        json!({"FromRoomId": "a", "ToRoomId": "b", "ExtensionInfo": "hi"})
    );
    assert_eq!(c.code("request_connection", json!({"RoomId": "c", "ToRoomId": "b"})).await, 100_402);
    b.ok("reject_connection", json!({"RoomId": "b", "FromRoomId": "a"})).await;
    assert_eq!(a.event("connection_rejected").await["ToRoomId"], "b");
    assert_eq!(b.code("accept_connection", json!({"RoomId": "b", "FromRoomId": "a"})).await, 100_400);

    a.ok("request_connection", json!({"RoomId": "a", "ToRoomId": "b"})).await;
    a.ok("cancel_connection", json!({"RoomId": "a", "ToRoomId": "b"})).await;
    assert_eq!(b.event("connection_cancelled").await["FromRoomId"], "a");
    a.ok("request_connection", json!({"RoomId": "a", "ToRoomId": "b", "Timeout": 1})).await;
    assert_eq!(a.event("connection_expired").await["ToRoomId"], "b");
    a.ok("request_connection", json!({"RoomId": "a", "ToRoomId": "b"})).await;
    b.ok("accept_connection", json!({"RoomId": "b", "FromRoomId": "a"})).await;
    let both = json!([{"RoomId": "a", "Owner_Account": "own-a"}, {"RoomId": "b", "Owner_Account": "own-b"}]);
    assert_eq!(guest.event("connection_changed").await["RoomList"], both);
    b.ok("request_connection", json!({"RoomId": "b", "ToRoomId": "c"})).await;
    c.ok("accept_connection", json!({"RoomId": "c", "FromRoomId": "b"})).await;

    let server = server.restart().await;
    let mut a = server.log_in("own-a").await;
    a.ok("enter_room", json!({"RoomId": "a"})).await;
    assert_eq!(
        a.ok("get_connected_rooms", json!({"RoomId": "a"})).await["RoomList"].as_array().unwrap().len(),
        3
    );
    a.ok("leave_connection", json!({"RoomId": "a"})).await;
    assert_eq!(a.ok("get_connected_rooms", json!({"RoomId": "a"})).await["RoomList"], json!([]));
    let mut b = server.enter("own-b", "b").await;
    server.ok("destroy_room", json!({"RoomId": "c"})).await;
    assert_eq!(b.event("connection_changed").await["RoomList"], json!([]), "one room alone is no connection");
}

#[tokio::test]
async fn rooms_battle_from_request_to_end() {
    let server = Server::start().await;
    let mut clients = owners(&server, &["a", "b", "c"]).await;
    let [a, b, c] = clients.as_mut_slice() else { panic!() };

    let battle = json!({"RoomId": "a", "ToRoomIdList": ["b", "c"], "Duration": 1500, "Timeout": 20_000});
    let made = a.ok("request_battle", battle).await;
    let id = made["BattleId"].clone();
    assert_eq!(made["Result"][0], json!({"RoomId": "b", "ResultCode": 0, "ResultMessage": ""}));
    assert_eq!(b.event("battle_requested").await["BattleId"], id);
    c.ok("reject_battle", json!({"RoomId": "c", "BattleId": id})).await;
    assert_eq!(a.event("battle_rejected").await["RoomId"], "c");
    b.ok("accept_battle", json!({"RoomId": "b", "BattleId": id})).await;
    assert_eq!(c.event("battle_started").await["Status"], 2);
    let again = json!({"FromRoomId": "b", "ToRoomIdList": ["c"], "Duration": 1000});
    assert_eq!(server.code(&format!("{BATTLES}/create_battle"), again).await, 100_415);
    let score = json!({
        "BattleId": id, "OpType": 1, "ScoreList": [{"RoomId": "a", "Score": 5}, {"RoomId": "x", "Score": 1}],
    });
    let result = server.ok(&format!("{BATTLES}/set_battle_score"), score).await;
    assert_eq!(
        (&result["Result"][0]["ResultCode"], &result["Result"][1]["ResultCode"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(b.event("battle_score_changed").await["FromRoomInfo"]["Score"], 5);
    let info = server.ok(&format!("{BATTLES}/get_battle_info"), json!({"BattleId": "", "RoomId": "b"})).await;
    assert_eq!((&info["BattleId"], &info["FromRoomInfo"]["Owner_Account"]), (&id, &json!("own-a")));
    let ended = a.event("battle_ended").await;
    assert_eq!((&ended["Status"], &ended["OpType"]), (&json!(3), &json!(0)), "by its time");

    let create = json!({"FromRoomId": "a", "ToRoomIdList": ["b"], "Duration": 60_000});
    let made = server.ok(&format!("{BATTLES}/create_battle"), create).await;
    while b.event("battle_started").await["BattleId"] != made["BattleId"] {}
    let server = server.restart().await;
    let mut b = server.log_in("own-b").await;
    b.ok("enter_room", json!({"RoomId": "b"})).await;
    b.ok("exit_battle", json!({"RoomId": "b", "BattleId": made["BattleId"]})).await;
    assert_eq!(b.event("battle_ended").await["OpType"], 1, "nobody is left to fight with");
    let over = json!({"BattleId": made["BattleId"]});
    assert_eq!(server.code(&format!("{BATTLES}/end_battle"), over).await, 100_411);
}
