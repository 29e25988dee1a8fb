//! Two things at one moment: sessions that come back while they are put out, rooms that end while they are spoken in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Client, Server};

/// How often a session is put out of its room at the moment of its coming back.
const ROUNDS: usize = 10_000;

/// How many do so side by side.
const USERS: usize = 16;

/// One who is put out and comes back, again and again.
pub(crate) struct Restless {
    server: Arc<Server>,
    user: String,
    room: String,
    pub(crate) client: Client,
}

impl Restless {
    pub(crate) async fn begin(server: Arc<Server>, number: usize) -> Self {
        let (user, room) = (format!("u{number}"), format!("r{number}"));
        server.create_room(&room).await;
        let client = server.log_in(&user).await;
        Self { server, user, room, client }
    }

    async fn live(&self, command: &str, body: Value) {
        let answer = self.server.try_call(&format!("live_engine_http_srv/{command}"), body).await;
        answer.unwrap();
    }

    /// Is in both rooms, then is put out of its own in one of five ways while its session resumes elsewhere, with its
    /// connection or after the loss of it.
    pub(crate) async fn round(&mut self, round: usize) {
        for room in [self.room.as_str(), "all"] {
            let entered = self.client.try_call("enter_room", json!({"RoomId": room})).await;
            if entered.is_none_or(|answer| answer["ErrorCode"] != 0) {
                self.client = self.server.log_in(&self.user).await;
                let answer = self.client.call("enter_room", json!({"RoomId": room})).await;
                assert_eq!(answer["ErrorCode"], 0, "{answer}");
            }
        }
        let token = self.client.resume_token.clone();
        let me = json!({"RoomId": self.room, "MemberList_Account": [self.user]});
        let is_lost = round % 2 == 1;
        let old = std::mem::replace(&mut self.client, self.server.connect().await);
        let mut new = self.server.connect().await;
        let out = async {
            let mut old = Some(old);
            if is_lost && let Some(old) = old.take() {
                old.cut();
            }
            match round / 2 % 5 {
                0 => {
                    if let Some(old) = &mut old {
                        old.try_call("leave_room", json!({"RoomId": self.room})).await;
                    }
                }
                1 => self.live("kick_user_out", me).await,
                2 => {
                    let mut ban = me.clone();
                    ban["Duration"] = 3600.into();
                    self.live("ban_member", ban).await;
                    self.live("unban_member", me).await;
                }
                3 => {
                    let item = json!({"DeleteItem": [{"UserID": self.user}]});
                    self.server.try_call("im_open_login_svc/account_delete", item).await.unwrap();
                }
                _ => {
                    self.live("destroy_room", json!({"RoomId": self.room})).await;
                    let again = json!({"RoomInfo": {"RoomId": self.room, "RoomType": "Live"}});
                    // A room id may be tried only so often.
                    let create = || self.server.try_call("live_engine_http_srv/create_room", again.clone());
                    while create().await.is_ok_and(|answer| answer["ErrorCode"] == 100012) {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        };
        let back = new.try_call("login", json!({"ResumeToken": token}));
        let ((), back) = tokio::join!(out, back);
        let token = back.and_then(|answer| Some(answer["Response"]["ResumeToken"].as_str()?.to_string()));
        if let Some(token) = token {
            new.resume_token = token;
            self.client = new;
        } else {
            new.cut();
            self.client = self.server.log_in(&self.user).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_put_out_while_coming_back_hangs_nothing() {
    let limits = [("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"), ("ROOMFUL_PRESENCE__RESUME_GRACE", "1s")];
    let server = Arc::new(Server::with(&limits).await);
    server.create_room("all").await;
    let done = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..USERS {
        let (server, done) = (server.clone(), done.clone());
        tasks.spawn(async move {
            let mut restless = Restless::begin(server, number).await;
            while done.fetch_add(1, Ordering::Relaxed) < ROUNDS {
                let round = done.load(Ordering::Relaxed);
                let within = Duration::from_secs(20);
                tokio::time::timeout(within, restless.round(round)).await.expect("the server hangs");
            }
            restless.client.close().await;
        });
    }

    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }

    let ready = tokio::time::timeout(Duration::from_secs(5), server.get("/readyz")).await;
    assert_eq!(ready.expect("the server hangs").0, 200);
    server.wait_for_members("all", &[], Duration::from_secs(10)).await;
    for number in 0..USERS {
        server.wait_for_members(&format!("r{number}"), &[], Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn an_account_is_deleted_that_is_a_robot_in_a_room_of_its_name() {
    let server = Server::start().await;
    server.import(&["r1"]).await;
    let mut rooms: Vec<String> = (0..300).map(|number| format!("room-{number}")).collect();
    rooms.push("r1".into());
    for room in &rooms {
        server.create_room(room).await;
        server.ok("add_robot", json!({"RoomId": room, "RobotList_Account": ["r1"]})).await;
    }

    let item = json!({"DeleteItem": [{"UserID": "r1"}]});
    let deleting = server.call("im_open_login_svc/account_delete", item);
    let deleted = tokio::time::timeout(Duration::from_secs(20), deleting).await.expect("it never answers");

    assert_eq!(deleted["ErrorCode"], 0, "{deleted}");
    for room in &rooms {
        assert_eq!(server.members(room).await, (vec![], 0), "{room}");
    }
    server
        .ok("update_room_info", json!({"RoomInfo": {"RoomId": "r1", "Notice": "its commands go on"}}))
        .await;
}

#[tokio::test]
async fn a_robot_does_not_outlive_its_account_whenever_the_server_is_killed() {
    let mut server = Server::start().await;
    for round in 0..6_u64 {
        server.import(&["rob"]).await;
        let rooms: Vec<String> = (0..40).map(|number| format!("r{round}-{number}")).collect();
        for room in &rooms {
            server.create_room(room).await;
            server.ok("add_robot", json!({"RoomId": room, "RobotList_Account": ["rob"]})).await;
        }
        let item = json!({"DeleteItem": [{"UserID": "rob"}]});
        let kill = async {
            tokio::time::sleep(Duration::from_millis(4 * round)).await;
            server.kill_now();
        };
        let (_, ()) = tokio::join!(server.try_call("im_open_login_svc/account_delete", item), kill);
        server = server.restart().await;

        let check = json!({"CheckItem": [{"UserID": "rob"}]});
        let check = server.call("im_open_login_svc/account_check", check).await;
        let is_there = check["ResultItem"][0]["AccountStatus"] == "Imported";
        for room in &rooms {
            let expected = if is_there { vec!["rob".to_string()] } else { vec![] };
            assert_eq!(server.members(room).await.0, expected, "round {round}, {room}");
        }
    }
}

#[tokio::test]
async fn a_robot_that_is_placed_while_its_account_is_deleted_is_not_left_behind() {
    let server = Server::start().await;
    server.create_room("r").await;
    for round in 0..100 {
        server.import(&["rob"]).await;
        let item = json!({"DeleteItem": [{"UserID": "rob"}]});
        let add = json!({"RoomId": "r", "RobotList_Account": ["rob"]});

        let (_, deleted) = tokio::join!(
            server.live("add_robot", add),
            server.call("im_open_login_svc/account_delete", item)
        );

        assert_eq!(deleted["ErrorCode"], 0, "{deleted}");
        assert_eq!(server.members("r").await, (vec![], 0), "round {round}");
    }
}

#[tokio::test]
async fn nothing_of_a_destroyed_room_is_in_the_next_of_its_name() {
    let server = Server::start().await;
    let mut speaker = server.log_in("speaker").await;
    let mut comer = server.log_in("comer").await;
    const ROUNDS: usize = 40;
    for round in 0..ROUNDS {
        let room = format!("r{round}");
        server.create_room(&room).await;
        speaker.ok("enter_room", json!({"RoomId": room})).await;
        let destroy = async {
            tokio::time::sleep(Duration::from_micros(300 * (round as u64 % 8))).await;
            server.ok("destroy_room", json!({"RoomId": room})).await;
            server.create_room(&room).await;
        };
        let speak = async {
            while speaker.call("send_text_msg", json!({"RoomId": room, "Text": "old"})).await["ErrorCode"]
                == 0
            {
                speaker.events.clear();
            }
        };
        // Enters the old one once, which may be at the moment of its end.
        let come = comer.call("enter_room", json!({"RoomId": room}));
        tokio::join!(destroy, speak, come);
    }
    let mut before = Vec::new();
    for round in 0..ROUNDS {
        before.push(server.members(&format!("r{round}")).await.0);
    }

    let server = server.restart().await;

    let mut late = server.log_in("late").await;
    for (round, before) in before.iter().enumerate() {
        let room = format!("r{round}");
        assert_eq!(server.members(&room).await.0, *before, "{room}");
        let entered = late.ok("enter_room", json!({"RoomId": room})).await;
        assert_eq!(entered["Messages"], json!([]), "{room}");
    }
}

#[tokio::test]
async fn whoever_was_kicked_is_not_back_after_a_restart() {
    let grace = [("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"), ("ROOMFUL_LIMITS__SESSIONS_PER_USER", "0")];
    let server = Server::with(&grace).await;
    const ROUNDS: usize = 60;
    let mut first = server.log_in("eve").await;
    let mut second = server.log_in("eve").await;
    let mut lists = Vec::new();
    for round in 0..ROUNDS {
        let room = format!("r{round}");
        server.create_room(&room).await;
        first.ok("enter_room", json!({"RoomId": room})).await;
        let kick = server.live("kick_user_out", json!({"RoomId": room, "MemberList_Account": ["eve"]}));
        let (kicked, _) = tokio::join!(kick, second.call("enter_room", json!({"RoomId": room})));
        assert_eq!(kicked["ErrorCode"], 0);
        lists.push(server.members(&room).await.0);
    }
    server.kill_now();

    let server = server.restart().await;

    for (round, before) in lists.iter().enumerate().filter(|(_, before)| before.is_empty()) {
        assert_eq!(server.members(&format!("r{round}")).await.0, *before, "r{round}");
    }
    assert!(lists.iter().any(Vec::is_empty));
}

#[tokio::test]
async fn whoever_was_deleted_is_not_back_after_a_kill() {
    let mut server = Server::start().await;
    server.create_room("r").await;
    for round in 0..5 {
        let mut ann = server.log_in("ann").await;
        ann.ok("enter_room", json!({"RoomId": "r"})).await;
        // On disk, with its session.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let item = json!({"DeleteItem": [{"UserID": "ann"}]});
        let deleted = server.call("im_open_login_svc/account_delete", item).await;
        assert_eq!(deleted["ErrorCode"], 0, "{deleted}");
        server.kill_now();

        server = server.restart().await;

        assert_eq!(server.members("r").await, (vec![], 0), "round {round}");
        let resume = json!({"ResumeToken": ann.resume_token});
        let answer = server.connect().await.call("login", resume).await;
        assert_eq!(answer["ErrorCode"], 70003, "{answer}");
    }
}

#[tokio::test]
async fn a_key_is_changed_whole_whoever_hangs_up() {
    let mut server = Server::start().await;
    server.create_room("r").await;
    for round in 0..60_u64 {
        let key = format!("{round:064x}");
        let apps = server.cli(&["app", "list", "--json"]);
        let mut app = serde_json::from_slice::<Value>(&apps.stdout).unwrap()[0].take();
        app["secret_key"] = key.clone().into();
        app["keep_sessions"] = true.into();
        let body = app.to_string();
        let request = format!(
            "POST /control/apps HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut socket =
            tokio::net::UnixStream::connect(server.data.path().join("control.sock")).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut socket, request.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_micros(100 * (round % 20))).await;
        drop(socket);

        let deadline = std::time::Instant::now() + Duration::from_millis(300);
        let on_disk = loop {
            let apps = server.cli(&["app", "list", "--json"]);
            let apps: Value = serde_json::from_slice(&apps.stdout).unwrap();
            if apps[0]["secret_key"] == *key || std::time::Instant::now() > deadline {
                break apps[0]["secret_key"].as_str().unwrap().to_string();
            }
        };
        server.key = usersig::SecretKey::new(on_disk);
        let deadline = std::time::Instant::now() + Duration::from_secs(2);
        while server.live("get_room_info", json!({"RoomId": "r"})).await["ErrorCode"] != 0 {
            assert!(
                std::time::Instant::now() < deadline,
                "round {round}: the key on disk is not the one that is used"
            );
        }
    }
}

#[tokio::test]
async fn who_resumes_is_in_the_rooms_that_the_answer_names_and_in_no_other() {
    let mut server = Server::start().await;
    server.create_room("r").await;
    let mut was_lost = 0;
    for round in 0..10_u64 {
        let mut ann = server.log_in("ann").await;
        // Its login is on disk, its entering perhaps not.
        tokio::time::sleep(Duration::from_millis(150)).await;
        ann.ok("enter_room", json!({"RoomId": "r"})).await;
        tokio::time::sleep(Duration::from_millis(10 * round)).await;
        server.kill_now();
        server = server.restart().await;

        let mut back = server.connect().await;
        let answer = back.ok("login", json!({"ResumeToken": ann.resume_token})).await;

        let (members, _) = server.members("r").await;
        assert_eq!(
            answer["Rooms"],
            json!(if members.is_empty() { vec![] } else { vec!["r"] }),
            "round {round}"
        );
        was_lost += u32::from(members.is_empty());
        back.ok("enter_room", json!({"RoomId": "r"})).await;
        assert_eq!(server.members("r").await.0, ["ann"]);
        back.close().await;
    }
    println!("{was_lost} of 10 entered again");
}

#[tokio::test]
async fn a_room_that_was_created_is_answered_whoever_destroys_it() {
    let server = Server::start().await;
    let create = async {
        let mut created = 0;
        for _ in 0..400 {
            let answer =
                server.live("create_room", json!({"RoomInfo": {"RoomId": "r", "RoomType": "Live"}})).await;
            match answer["ErrorCode"].as_u64() {
                Some(0) => created += 1,
                Some(100_010) => {}
                _ => panic!("{answer}"),
            }
        }
        created
    };
    let destroy = async || loop {
        server.live("destroy_room", json!({"RoomId": "r"})).await;
    };

    let created = tokio::select! {
        created = create => created,
        ((), (), (), ()) = async { tokio::join!(destroy(), destroy(), destroy(), destroy()) } => 0,
    };

    assert!(created > 10, "{created}");
}

#[tokio::test]
async fn what_was_asked_of_a_room_is_not_asked_of_the_next_of_its_name() {
    let server = Server::start().await;
    let own = |room: &str| json!({"RoomInfo": {"RoomId": room, "RoomType": "Live"}});
    let mut clients = Vec::new();
    for user in ["ann", "ben", "eve"] {
        clients.push(server.log_in(user).await);
    }
    let [mut ann, mut ben, mut eve]: [_; 3] = clients.try_into().unwrap_or_else(|_| panic!());
    for (client, room) in [(&mut ann, "a"), (&mut ben, "b")] {
        client.ok("create_room", own(room)).await;
        client.ok("enter_room", json!({"RoomId": room})).await;
    }
    ann.ok("request_connection", json!({"RoomId": "a", "ToRoomId": "b"})).await;
    ben.event("connection_requested").await;

    ann.ok("destroy_room", json!({"RoomId": "a"})).await;

    assert_eq!(ben.event("connection_cancelled").await["FromRoomId"], "a");
    eve.ok("create_room", own("a")).await;
    eve.ok("enter_room", json!({"RoomId": "a"})).await;
    assert_ne!(
        ben.call("accept_connection", json!({"RoomId": "b", "FromRoomId": "a"})).await["ErrorCode"],
        0
    );
    let connected = eve.ok("get_connected_rooms", json!({"RoomId": "a"})).await;
    assert_eq!(connected["RoomList"], json!([]));
}

#[tokio::test]
async fn a_room_that_ends_beside_an_answer_has_part_in_nothing() {
    let limits = [("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"), ("ROOMFUL_LIMITS__CHANGES_PER_SECOND", "0")];
    let server = Server::with(&limits).await;
    server.create_room("b").await;
    let mut other = server.enter("administrator", "b").await;
    let mut owner = server.log_in("administrator").await;
    let mut accepted = 0;
    for round in 0..60 {
        server.create_room("a").await;
        owner.ok("enter_room", json!({"RoomId": "a"})).await;
        owner.ok("request_connection", json!({"RoomId": "a", "ToRoomId": "b"})).await;
        let battle =
            json!({"FromRoomId": "b", "ToRoomIdList": ["a"], "Duration": 60_000, "NeedResponse": false});

        let (answer, _, _) = tokio::join!(
            other.call("accept_connection", json!({"RoomId": "b", "FromRoomId": "a"})),
            server.call("live_engine_http_pk/create_battle", battle),
            server.ok("destroy_room", json!({"RoomId": "a"})),
        );

        accepted += u32::from(answer["ErrorCode"] == 0);
        let connected = other.ok("get_connected_rooms", json!({"RoomId": "b"})).await;
        assert_eq!(connected["RoomList"], json!([]), "round {round}: {answer}");
        assert_eq!(server.code("live_engine_http_pk/get_battle_info", json!({"RoomId": "b"})).await, 100_411);
    }
    println!("{accepted} of 60 were accepted");
    assert!(accepted > 0);
}

/// A plan may come to the disk when the room that it names is over and everybody has heard of that; then the server is killed.
#[tokio::test]
async fn a_room_that_is_gone_when_the_server_starts_has_part_in_nothing() {
    let mut server = Server::start().await;
    server.create_room("a").await;
    server.create_room("b").await;
    let mut owner = server.enter("administrator", "a").await;
    owner.ok("enter_room", json!({"RoomId": "b"})).await;
    owner.ok("request_connection", json!({"RoomId": "a", "ToRoomId": "b"})).await;
    owner.ok("accept_connection", json!({"RoomId": "b", "FromRoomId": "a"})).await;
    let battle = json!({"FromRoomId": "a", "ToRoomIdList": ["b"], "Duration": 60_000, "NeedResponse": false});
    server.ok("live_engine_http_pk/create_battle", battle).await;
    server.kill();
    {
        let (queue, snapshot) = store::Sqlite::open(server.data.path(), Box::new(|_| {})).unwrap();
        let (gone, ..) = snapshot.rooms.iter().find(|(_, info, _)| info.room_id.as_str() == "b").unwrap();
        store::Store::commit(&queue, vec![store::Change::DeleteRoom(*gone)]).await.unwrap();
    }

    let server = server.restart().await;

    let mut owner = server.enter("administrator", "a").await;
    let connected = owner.ok("get_connected_rooms", json!({"RoomId": "a"})).await;
    assert_eq!(connected["RoomList"], json!([]));
    assert_eq!(server.code("live_engine_http_pk/get_battle_info", json!({"RoomId": "a"})).await, 100_411);
}

#[tokio::test]
async fn a_destroyed_rooms_place_between_rooms_is_not_the_next_ones_also_after_a_crash() {
    let mut server = Server::start().await;
    for round in 0..8 {
        for room in ["a", "b", "c"] {
            server.create_room(room).await;
        }
        let mut owner = server.enter("administrator", "a").await;
        owner.ok("enter_room", json!({"RoomId": "b"})).await;
        owner.ok("request_connection", json!({"RoomId": "a", "ToRoomId": "b"})).await;
        owner.ok("accept_connection", json!({"RoomId": "b", "FromRoomId": "a"})).await;
        let battle =
            json!({"FromRoomId": "a", "ToRoomIdList": ["b"], "Duration": 60_000, "NeedResponse": false});
        server.ok("live_engine_http_pk/create_battle", battle).await;

        server.ok("destroy_room", json!({"RoomId": "a"})).await;
        if round % 2 == 0 {
            server.kill_now();
            server = server.restart().await;
        }

        server.create_room("a").await;
        let mut owner = server.enter("administrator", "a").await;
        let connected = owner.ok("get_connected_rooms", json!({"RoomId": "a"})).await;
        assert_eq!(connected["RoomList"], json!([]), "round {round}");
        assert_eq!(server.code("live_engine_http_pk/get_battle_info", json!({"RoomId": "a"})).await, 100_411);
        for room in ["a", "b", "c"] {
            server.ok("destroy_room", json!({"RoomId": room})).await;
        }
        owner.cut();
    }
}

#[tokio::test]
async fn who_is_gone_before_its_login_is_answered_is_lost_like_everybody() {
    let grace = [("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"), ("ROOMFUL_PRESENCE__RESUME_GRACE", "1s")];
    let server = Server::with(&grace).await;
    server.create_room("r").await;
    for round in 0..30 {
        let user = format!("u{round}");
        let mut first = server.enter(&user, "r").await;
        let mut back = server.connect().await;
        let login = json!({"id": 1, "command": "login", "body": {"ResumeToken": first.resume_token}});
        back.send(&login.to_string()).await;
        back.cut();
        let _ = tokio::time::timeout(Duration::from_millis(50), first.read()).await;
        first.cut();
    }

    server.wait_for_members("r", &[], Duration::from_secs(8)).await;
}

/// Fills a room where seats are applied for: its owner, and one who asks.
async fn stage(server: &Server) -> (Client, Client) {
    server.import(&["own"]).await;
    let fields = json!({"SeatTemplate": "Karaoke", "TakeSeatMode": "ApplyToTake", "Owner_Account": "own"});
    server.create_room_with("r", fields).await;
    (server.enter("own", "r").await, server.enter("ann", "r").await)
}

/// Asks for a seat; returns what names the request.
async fn apply(client: &mut Client) -> Value {
    let made = client.ok("apply_for_seat", json!({"RoomId": "r", "Timeout": 60})).await;
    json!({"RoomId": "r", "RequestId": made["RequestId"]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_accept_cancel_and_reject_of_one_request_exactly_one_succeeds() {
    let server = Server::with(&[("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0")]).await;
    let (mut owner, mut ann) = stage(&server).await;
    let mut admin = server.enter("admin", "r").await;
    server.ok("modify_admin", json!({"RoomId": "r", "Admin_Account": ["admin"], "OpType": "add"})).await;
    let mut accepted = 0;
    for round in 0..200 {
        let request = apply(&mut ann).await;

        let (accept, cancel, reject) = tokio::join!(
            owner.call("accept_seat_request", request.clone()),
            ann.call("cancel_seat_request", request.clone()),
            admin.call("reject_seat_request", request),
        );

        let codes = [&accept, &cancel, &reject].map(|answer| answer["ErrorCode"].as_u64().unwrap());
        assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "round {round}: {codes:?}");
        assert!(codes.iter().all(|code| [0, 100_204].contains(code)), "round {round}: {codes:?}");
        let ended = owner.event("seat_request_ended").await;
        let result = ["accepted", "cancelled", "rejected"][codes.iter().position(|code| *code == 0).unwrap()];
        assert_eq!(ended["Result"], result, "round {round}");
        let left = ann.call("leave_seat", json!({"RoomId": "r"})).await["ErrorCode"].as_u64().unwrap();
        assert_eq!(left == 0, result == "accepted", "who sits is who was accepted");
        accepted += u32::from(result == "accepted");
    }
    assert!((1..200).contains(&accepted), "{accepted}: the three have to meet");
}

#[tokio::test]
async fn the_request_of_one_who_leaves_is_over_for_all() {
    let server = Server::start().await;
    let (mut owner, mut ann) = stage(&server).await;

    let application = apply(&mut ann).await;
    ann.ok("leave_room", json!({"RoomId": "r"})).await;

    let ended = owner.event("seat_request_ended").await;
    assert_eq!((&ended["Result"], &ended["Operator_Account"]), (&json!("cancelled"), &json!("ann")));
    assert_eq!(owner.code("accept_seat_request", application).await, 100_204);

    ann.ok("enter_room", json!({"RoomId": "r"})).await;
    let invite = json!({"RoomId": "r", "Member_Account": "ann", "Timeout": 60});
    owner.ok("invite_to_seat", invite).await;
    ann.event("seat_request_received").await;
    server.ok("kick_user_out", json!({"RoomId": "r", "MemberList_Account": ["ann"]})).await;
    assert_eq!(owner.event("seat_request_ended").await["Result"], "cancelled");
}

/// Whoever has heard all batches has as many members as the last of them says, at every moment.
#[tokio::test]
async fn a_batch_counts_what_it_says() {
    let server = Server::with(&[("ROOMFUL_LIMITS__COMMANDS_PER_SECOND", "0")]).await;
    server.create_room("r").await;
    let mut watcher = server.enter("watcher", "r").await;
    let mut restless = server.log_in("ann").await;
    let mut present = std::collections::HashSet::from(["watcher".to_string()]);
    let until = std::time::Instant::now() + Duration::from_secs(2);
    while std::time::Instant::now() < until {
        restless.ok("enter_room", json!({"RoomId": "r"})).await;
        restless.ok("leave_room", json!({"RoomId": "r"})).await;
    }
    restless.ok("enter_room", json!({"RoomId": "r"})).await;

    let mut told = 0;
    while told < 4 || !present.contains("ann") {
        let batch = watcher.event("members_changed").await;
        for left in batch["Left"].as_array().unwrap() {
            present.remove(left["Member_Account"].as_str().unwrap());
        }
        let entered = batch["Entered"].as_array().unwrap().iter();
        present.extend(
            entered.map(|user| user.as_str().or(user["Member_Account"].as_str()).unwrap().to_string()),
        );
        assert_eq!(batch["MemberCount"], present.len(), "{batch}");
        told += 1;
    }
}

/// What one user is told to many at once is not slower by much than to many rooms: each waits only for what touches it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_different_users_share_a_commit() {
    const USERS: usize = 64;
    let server = Arc::new(Server::with(&[("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0")]).await);
    let users: Vec<String> = (0..USERS).map(|number| format!("u{number}")).collect();
    for chunk in users.chunks(50) {
        server.import(&chunk.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    server.create_room("r").await;
    let commits = async || server.metric("roomful_store_commits_total").await.unwrap();
    let before = commits().await;

    let mut tasks = tokio::task::JoinSet::new();
    for user in users {
        let server = server.clone();
        tasks.spawn(async move {
            for _ in 0..10 {
                let mute = json!({"RoomId": "r", "MemberList_Account": [user], "MuteTime": 600});
                server.ok("mute_member", mute).await;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }

    let took = commits().await - before;
    assert!(took < 320.0, "{took} commits for 640 changes");
    let muted = server.live("get_muted_member_list", json!({"RoomId": "r"})).await;
    assert_eq!(muted["Response"]["MutedAccountList"].as_array().unwrap().len(), USERS);
}
