//! Who may do what to whom, by whichever field or way it is asked.

use serde_json::json;

use crate::harness::Server;

/// What a member may not do as long as it is nobody in that room.
const NOT_A_MEMBER: u64 = 100_005;
const NOT_ALLOWED: u64 = 100_006;

#[tokio::test]
async fn a_right_in_one_room_is_none_in_another_that_the_body_names_elsewhere() {
    let server = Server::start().await;
    let mut eve = server.log_in("eve").await;
    eve.ok("create_room", json!({"RoomInfo": {"RoomId": "e", "RoomType": "Live"}})).await;
    eve.ok("enter_room", json!({"RoomId": "e"})).await;
    server.import(&["vic"]).await;
    for (room, kind) in [("v", "Live"), ("c", "Conference")] {
        let service = if kind == "Live" { "live_engine_http_srv" } else { "room_engine_http_srv" };
        let info = json!({"RoomInfo": {"RoomId": room, "RoomType": kind, "Owner_Account": "vic"}});
        server.ok(&format!("{service}/create_room"), info).await;
    }
    let _vic = server.enter("vic", "v").await;

    for room in ["v", "c"] {
        for info in
            [json!({"RoomId": room, "Owner_Account": "eve"}), json!({"RoomId": room, "Notice": "mine"})]
        {
            let both = json!({"RoomId": "e", "RoomInfo": info});
            assert_eq!(eve.code("update_room_info", both).await, NOT_A_MEMBER);
            let twice = format!(
                r#"{{"id":900,"command":"update_room_info","body":{{"RoomInfo":{{"RoomId":"e"}},"RoomInfo":{info}}}}}"#
            );
            eve.send(&twice).await;
            assert_ne!(eve.read().await.unwrap()["ErrorCode"], 0);
        }
    }
    eve.ok("enter_room", json!({"RoomId": "v"})).await;
    let both = json!({"RoomId": "e", "RoomInfo": {"RoomId": "v", "Owner_Account": "eve"}});
    assert_eq!(eve.code("update_room_info", both).await, NOT_ALLOWED, "a member is no owner");
    for command in ["ban_member", "kick_member", "mute_member"] {
        let body = json!({"RoomId": "v", "MemberList_Account": ["vic"], "Duration": 60, "RoomInfo": {"RoomId": "e"}});
        assert_eq!(eve.code(command, body).await, NOT_ALLOWED, "{command}");
    }
    assert_eq!(
        eve.code("destroy_room", json!({"RoomId": "v", "RoomInfo": {"RoomId": "e"}})).await,
        NOT_ALLOWED
    );

    let info = server.ok("get_room_info", json!({"RoomId": "v"})).await;
    assert_eq!(
        (&info["RoomInfo"]["Owner_Account"], &info["RoomInfo"]["Notice"]),
        (&json!("vic"), &json!(""))
    );
    assert_eq!(server.members("v").await.0, ["vic", "eve"]);
}

#[tokio::test]
async fn nobody_learns_of_a_battle_between_rooms_it_is_not_in() {
    let server = Server::start().await;
    for room in ["a", "b", "e"] {
        server.create_room(room).await;
    }
    let battle = json!({"FromRoomId": "a", "ToRoomIdList": ["b"], "Duration": 60_000, "NeedResponse": false});
    let created = server.ok("live_engine_http_pk/create_battle", battle).await;
    let mut eve = server.enter("eve", "e").await;
    let mut ann = server.enter("ann", "b").await;

    let by_id = json!({"RoomId": "e", "BattleId": created["BattleId"]});
    assert_eq!(eve.code("get_battle_info", by_id).await, NOT_ALLOWED);
    assert_eq!(eve.code("get_battle_info", json!({"RoomId": "a"})).await, NOT_A_MEMBER);
    ann.ok("get_battle_info", json!({"BattleId": created["BattleId"]})).await;
}

/// A room with seats, an owner, two administrators and somebody else.
async fn staffed(server: &Server) {
    server.import(&["own", "ada", "bob", "mem"]).await;
    let room = json!({"SeatTemplate": "VideoDynamicGrid9Seats", "Owner_Account": "own"});
    server.create_room_with("r", room).await;
    let admins = json!({"RoomId": "r", "Admin_Account": ["ada", "bob"], "OpType": "add"});
    server.ok("modify_admin", admins).await;
}

#[tokio::test]
async fn nobody_moderates_an_equal_on_a_seat() {
    let server = Server::start().await;
    staffed(&server).await;
    let mut clients = Vec::new();
    for (user, seat) in [("own", 1), ("ada", 2), ("bob", 3), ("mem", 4)] {
        let mut client = server.enter(user, "r").await;
        client.ok("take_seat", json!({"RoomId": "r", "Index": seat})).await;
        clients.push(client);
    }
    let before = server.ok("room_engine_http_mic/get_seat_list", json!({"RoomId": "r"})).await;
    let ada = &mut clients[1];

    for (command, body) in [
        ("kick_user_off_seat", json!({"Member_Account": "own"})),
        ("kick_user_off_seat", json!({"Member_Account": "bob"})),
        ("kick_user_off_seat", json!({"Member_Account": "own", "MemberList_Account": ["mem"]})),
        ("move_user_to_seat", json!({"Member_Account": "own", "Index": 8})),
        ("move_user_to_seat", json!({"Member_Account": "bob", "Index": 8})),
        ("move_user_to_seat", json!({"Member_Account": "mem", "Index": 1, "Policy": 1})),
        ("move_user_to_seat", json!({"Member_Account": "mem", "Index": 1, "Policy": 2})),
        ("move_user_to_seat", json!({"Member_Account": "ada", "Index": 3, "Policy": 1})),
        ("move_user_to_seat", json!({"Member_Account": "ada", "Index": 3, "Policy": 2})),
        ("lock_seat", json!({"Index": 1, "ForbidTaken": true})),
        ("lock_seat", json!({"Index": 1, "ForbidAudio": true})),
        ("lock_seat", json!({"SeatIndex": 3, "IsVideoDisabled": true})),
        ("pick_user_on_seat", json!({"Member_Account": "own", "Index": 8})),
    ] {
        let mut body = body;
        body["RoomId"] = "r".into();
        assert_eq!(ada.code(command, body.clone()).await, NOT_ALLOWED, "{command} {body}");
    }

    let after = server.ok("room_engine_http_mic/get_seat_list", json!({"RoomId": "r"})).await;
    assert_eq!(before, after);
    ada.ok("move_user_to_seat", json!({"RoomId": "r", "Member_Account": "mem", "Index": 5})).await;
    ada.ok("lock_seat", json!({"RoomId": "r", "Index": 5, "ForbidAudio": true})).await;
    ada.ok("kick_user_off_seat", json!({"RoomId": "r", "Member_Account": "mem"})).await;
    let own = &mut clients[0];
    own.ok("kick_user_off_seat", json!({"RoomId": "r", "Member_Account": "ada"})).await;
}

#[tokio::test]
async fn a_seat_kept_for_the_owner_is_not_an_administrators_to_lock() {
    let server = Server::start().await;
    server.import(&["own", "ada"]).await;
    let room =
        json!({"SeatTemplate": "VideoDynamicGrid9Seats", "Owner_Account": "own", "KeepOwnerOnSeat": true});
    server.create_room_with("r", room).await;
    server.ok("modify_admin", json!({"RoomId": "r", "Admin_Account": ["ada"], "OpType": "add"})).await;
    let mut ada = server.enter("ada", "r").await;

    assert_eq!(
        ada.code("lock_seat", json!({"RoomId": "r", "Index": 0, "ForbidTaken": true})).await,
        NOT_ALLOWED
    );

    let mut own = server.enter("own", "r").await;
    own.ok("lock_seat", json!({"RoomId": "r", "Index": 0, "ForbidVideo": true})).await;
}

#[tokio::test]
async fn a_strangers_room_is_asked_before_it_is_in_a_battle() {
    let server = Server::start().await;
    let mut owners = Vec::new();
    for user in ["eve", "sid", "tom"] {
        let mut owner = server.log_in(user).await;
        owner
            .ok("create_room", json!({"RoomInfo": {"RoomId": format!("of-{user}"), "RoomType": "Live"}}))
            .await;
        owner.ok("enter_room", json!({"RoomId": format!("of-{user}")})).await;
        owners.push(owner);
    }
    let [mut eve, mut sid, mut tom]: [_; 3] = owners.try_into().unwrap_or_else(|_| panic!());
    let battle = |rooms: &[&str]| json!({"RoomId": "of-eve", "ToRoomIdList": rooms, "Duration": 86_400_000, "NeedResponse": false});

    let made = eve.ok("request_battle", battle(&["of-sid"])).await;

    let asked = sid.event("battle_requested").await;
    assert_eq!(asked["BattleId"], made["BattleId"]);
    let info = server.ok("live_engine_http_pk/get_battle_info", json!({"BattleId": made["BattleId"]})).await;
    assert_eq!(info["Status"], 1, "it waits for an answer: {info}");
    sid.ok("reject_battle", json!({"RoomId": "of-sid", "BattleId": made["BattleId"]})).await;

    eve.ok("request_connection", json!({"RoomId": "of-eve", "ToRoomId": "of-tom"})).await;
    tom.ok("accept_connection", json!({"RoomId": "of-tom", "FromRoomId": "of-eve"})).await;
    let made = eve.ok("request_battle", battle(&["of-tom"])).await;
    let info = server.ok("live_engine_http_pk/get_battle_info", json!({"BattleId": made["BattleId"]})).await;
    assert_eq!(info["Status"], 2, "they are co-hosting: {info}");
}

#[tokio::test]
async fn who_only_watches_is_put_out_and_kept_out_like_everybody() {
    let server = Server::start().await;
    server.create_room_with("r", json!({"IsPlayerListed": false, "MaxMemberCount": 2})).await;
    server.import(&["eve", "ann"]).await;
    let gone = async |session: &(u16, String), user: &str| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while server.resource(&session.1, user).await != 404 {
            assert!(std::time::Instant::now() < deadline, "{user} goes on watching");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let eve = server.whep("r", "eve").await;
    assert_eq!(eve.0, 201);
    let again = server.whep("r", "eve").await;

    let _ann = server.enter("ann", "r").await;
    assert_eq!(server.whep("r", "ben").await.0, 403, "the room is full of who is in and who watches");
    let mut cid = server.log_in("cid").await;
    assert_eq!(cid.code("enter_room", json!({"RoomId": "r"})).await, 100_008);
    assert_eq!(server.whep("r", "ann").await.0, 201, "a member watches without taking another place");
    assert_eq!(server.members("r").await, (vec!["ann".into()], 1), "who watches is not listed");

    server.ok("kick_user_out", json!({"RoomId": "r", "MemberList_Account": ["eve"]})).await;
    gone(&eve, "eve").await;
    gone(&again, "eve").await;
    assert_eq!(
        server.code("kick_user_out", json!({"RoomId": "r", "MemberList_Account": ["eve"]})).await,
        100_005
    );
    let eve = server.whep("r", "eve").await;
    server.ok("ban_member", json!({"RoomId": "r", "MemberList_Account": ["eve"], "Duration": 1000})).await;
    gone(&eve, "eve").await;
    assert_eq!(server.whep("r", "eve").await.0, 403);
    server.ok("unban_member", json!({"RoomId": "r", "MemberList_Account": ["eve"]})).await;
    let eve = server.whep("r", "eve").await;
    let deleted = json!({"DeleteItem": [{"UserID": "eve"}]});
    assert_eq!(server.call("im_open_login_svc/account_delete", deleted).await["ErrorCode"], 0);
    gone(&eve, "eve").await;
}

#[tokio::test]
async fn what_an_old_key_signed_is_over() {
    let mut server = Server::start().await;
    server.create_room_with("r", json!({"IsPlayerListed": false})).await;
    let mut ann = server.enter("ann", "r").await;
    let lost = server.enter("ben", "r").await;
    let tokens = [ann.resume_token.clone(), lost.resume_token.clone()];
    lost.cut();
    let player = server.whep("r", "eve").await;

    let app = server.app.to_string();
    let rotated = server.cli(&["app", "rotate-key", &app, "--json"]);
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));

    assert_eq!(ann.closed().await, Some(4007));
    for token in tokens {
        let mut back = server.connect().await;
        assert_eq!(back.code("login", json!({"ResumeToken": token})).await, 70_003);
    }
    let record: serde_json::Value = serde_json::from_slice(&rotated.stdout).unwrap();
    server.key = usersig::SecretKey::new(record["secret_key"].as_str().unwrap());
    assert_eq!(server.members("r").await, (vec![], 0));
    assert_eq!(server.resource(&player.1, "eve").await, 404);

    let mut ann = server.enter("ann", "r").await;
    let rotated = server.cli(&["app", "rotate-key", &app, "--keep-sessions", "--json"]);
    let record: serde_json::Value = serde_json::from_slice(&rotated.stdout).unwrap();
    server.key = usersig::SecretKey::new(record["secret_key"].as_str().unwrap());
    ann.ok("get_member_list", json!({"RoomId": "r"})).await;
    assert_eq!(server.members("r").await, (vec!["ann".into()], 1));

    server.kill();
    assert!(server.cli(&["app", "rotate-key", &app]).status.success());
    let server = server.restart().await;
    let mut back = server.connect().await;
    assert_eq!(
        back.code("login", json!({"ResumeToken": ann.resume_token})).await,
        70_003,
        "rotated while the server was down"
    );
}

#[tokio::test]
async fn a_session_ends_with_its_usersig_unless_it_shows_another() {
    let presence = [
        ("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"),
        ("ROOMFUL_PRESENCE__PING_INTERVAL", "200ms"),
        ("ROOMFUL_PRESENCE__SILENT_TIMEOUT", "5s"),
    ];
    let server = Server::with(&presence).await;
    server.create_room("r").await;
    let short = |user: &str| {
        let claims = usersig::Claims::new(user, server.app, crate::harness::now(), 3);
        usersig::sign(&server.key, &claims).unwrap()
    };
    let mut clients = Vec::new();
    for user in ["ann", "ben"] {
        let mut client = server.connect().await;
        let login = json!({"SdkAppId": server.app, "UserId": user, "UserSig": short(user)});
        let answer = client.ok("login", login).await;
        client.resume_token = answer["ResumeToken"].as_str().unwrap().into();
        client.ok("enter_room", json!({"RoomId": "r"})).await;
        clients.push(client);
    }
    let [mut ann, mut ben]: [_; 2] = clients.try_into().unwrap_or_else(|_| panic!());

    assert_eq!(
        ben.code("renew_user_sig", json!({"UserSig": server.sig("ann")})).await,
        70_013,
        "of another user"
    );
    ben.ok("renew_user_sig", json!({"UserSig": server.sig("ben")})).await;

    assert_eq!(ann.closed().await, Some(4006));
    assert_eq!(server.members("r").await.0, ["ben"]);
    let mut back = server.connect().await;
    assert_eq!(back.code("login", json!({"ResumeToken": ann.resume_token})).await, 70_003);
    ben.ok("get_member_list", json!({"RoomId": "r"})).await;
}

#[tokio::test]
async fn a_seat_is_not_taken_from_an_equal_by_taking_the_seats_away() {
    let server = Server::start().await;
    staffed(&server).await;
    let mut own = server.enter("own", "r").await;
    own.ok("take_seat", json!({"RoomId": "r", "Index": 1})).await;
    let mut ada = server.enter("ada", "r").await;

    for fields in [json!({"IsSeatEnabled": false}), json!({"MaxSeatCount": 1}), json!({"SeatTemplate": ""})] {
        let mut info = fields;
        info["RoomId"] = "r".into();
        assert_eq!(ada.code("update_room_info", json!({"RoomInfo": info})).await, NOT_ALLOWED, "{info}");
    }

    ada.ok("update_room_info", json!({"RoomInfo": {"RoomId": "r", "MaxSeatCount": 5}})).await;
    own.ok("update_room_info", json!({"RoomInfo": {"RoomId": "r", "IsSeatEnabled": false}})).await;
}

#[tokio::test]
async fn who_is_only_asked_to_a_battle_may_be_in_another() {
    let server = Server::start().await;
    let own = |room: &str| json!({"RoomInfo": {"RoomId": room, "RoomType": "Live"}});
    let mut owners = Vec::new();
    for user in ["eve", "ann", "ben"] {
        let mut owner = server.log_in(user).await;
        owner.ok("create_room", own(&format!("of-{user}"))).await;
        owner.ok("enter_room", json!({"RoomId": format!("of-{user}")})).await;
        owners.push(owner);
    }
    let [mut eve, mut ann, mut ben]: [_; 3] = owners.try_into().unwrap_or_else(|_| panic!());
    let battle = |from: &str, to: &str| json!({"RoomId": from, "ToRoomIdList": [to], "Duration": 86_400_000, "Timeout": 600_000});
    let of_eve = eve.ok("request_battle", battle("of-eve", "of-ann")).await;

    let of_ann = ann.ok("request_battle", battle("of-ann", "of-ben")).await;
    ben.ok("accept_battle", json!({"RoomId": "of-ben", "BattleId": of_ann["BattleId"]})).await;
    let accept = json!({"RoomId": "of-ann", "BattleId": of_eve["BattleId"]});
    assert_eq!(ann.code("accept_battle", accept.clone()).await, 100_415, "it is in one by now");

    let info = server.ok("live_engine_http_pk/get_battle_info", json!({"RoomId": "of-ann"})).await;
    assert_eq!(info["BattleId"], of_ann["BattleId"], "{info}");
    ann.ok("destroy_room", json!({"RoomId": "of-ann"})).await;
    for made in [of_eve, of_ann] {
        let info =
            server.ok("live_engine_http_pk/get_battle_info", json!({"BattleId": made["BattleId"]})).await;
        assert_eq!(info["Status"], 3, "{info}");
    }
}
