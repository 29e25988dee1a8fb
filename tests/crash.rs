//! SIGKILL at random moments under mixed load, again and again: whatever was acknowledged is there after each restart,
//! the webhook of every acknowledged change arrives, and a receiver that follows the events ends up with exactly the
//! members that are listed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::receiver::Receiver;
use harness::{Client, Server};
use rand::RngExt as _;
use serde_json::{Value, json};

const KILLS: usize = 100;
const WRITERS: usize = 6;
const MEMBERS: usize = 8;
/// Rooms that members come to; they are never destroyed.
const HALLS: [&str; 3] = ["hall-0", "hall-1", "hall-2"];

/// Short times, so that what takes 40 s in earnest takes one here.
const QUICK: &[(&str, &str)] = &[
    ("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"),
    ("ROOMFUL_WEBHOOKS__ALLOW_PRIVATE", "true"),
    ("ROOMFUL_PRESENCE__RESUME_GRACE", "600ms"),
];

/// What a writer knows of one of its rooms.
#[derive(Clone, Default, Debug)]
struct Known {
    /// The newest acknowledged value of each kind of fact.
    facts: BTreeMap<&'static str, u64>,
    messages: u64,
    gifts: u64,
}

/// A writer's rooms; one whose last call was not acknowledged is left alone, since it may or may not have happened.
type Rooms = HashMap<String, Option<Known>>;

/// The command that sets the fact `kind` of a room to `number`, and how it is read back.
fn command(kind: &str, room: &str, number: u64) -> (&'static str, Value) {
    let text = number.to_string();
    match kind {
        "info" => (
            "live_engine_http_srv/update_room_info",
            json!({"RoomInfo": {"RoomId": room, "ActivityStatus": number}}),
        ),
        "metadata" => (
            "live_engine_http_srv/set_room_metadata",
            json!({"RoomId": room, "Metadata": [{"Key": "n", "Value": text}]}),
        ),
        "ban" => (
            "live_engine_http_srv/ban_member",
            json!({"RoomId": room, "MemberList_Account": ["villain"], "Duration": 3600, "Reason": text}),
        ),
        "seat" => (
            "room_engine_http_mic/lock_seat",
            json!({"RoomId": room, "Index": 1, "ForbidTaken": number.is_multiple_of(2), "ForbidAudio": !number.is_multiple_of(2)}),
        ),
        "robot" if number.is_multiple_of(2) => {
            ("live_engine_http_srv/add_robot", json!({"RoomId": room, "RobotList_Account": ["robot"]}))
        }
        "robot" => {
            ("live_engine_http_srv/del_robot", json!({"RoomId": room, "RobotList_Account": ["robot"]}))
        }
        "message" => (
            "live_engine_http_srv/send_text_msg",
            json!({"RoomId": room, "Sender_Account": "villain", "TextContent": text}),
        ),
        _ => (
            "live_engine_http_srv/send_gift",
            json!({"RoomId": room, "GiftId": "rose", "Count": 2, "From_Account": "villain"}),
        ),
    }
}

const KINDS: [&str; 7] = ["info", "metadata", "ban", "seat", "robot", "message", "gift"];

/// Makes, changes and destroys rooms of its own until the server is gone.
async fn write(
    server: Arc<Server>,
    writer: usize,
    mut number: u64,
    mut rooms: Rooms,
    stop: Arc<AtomicBool>,
) -> Rooms {
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let room = format!("w{writer}-{}", number % 5);
        let Some(mut known) = rooms.get(&room).cloned().unwrap_or_default() else {
            let made =
                json!({"RoomInfo": {"RoomId": room, "SeatTemplate": "Karaoke", "ActivityStatus": number}});
            match server.try_call("live_engine_http_srv/create_room", made).await {
                Ok(answer) if answer["ErrorCode"] == 0 => {
                    let facts = BTreeMap::from([("info", number)]);
                    rooms.insert(room, Some(Known { facts, ..Known::default() }));
                }
                Ok(answer) => panic!("create_room {room}: {answer}"),
                Err(_) => drop(rooms.remove(&room)),
            }
            continue;
        };
        let kind = KINDS[rand::rng().random_range(0..KINDS.len())];
        let is_end = number.is_multiple_of(41);
        let (path, body) = match is_end {
            true => ("live_engine_http_srv/destroy_room", json!({"RoomId": room})),
            false => command(kind, &room, number),
        };
        match server.try_call(path, body).await {
            Ok(answer) if answer["ErrorCode"] == 0 => {
                match kind {
                    "message" => known.messages += 1,
                    "gift" => known.gifts += 2,
                    kind => drop(known.facts.insert(kind, number)),
                }
                rooms.insert(room, (!is_end).then_some(known));
            }
            Ok(answer) => panic!("{path} {room}: {answer}"),
            Err(_) => drop(rooms.remove(&room)),
        }
    }
    rooms
}

/// Comes and goes in the halls until the server is gone.
async fn wander(server: Arc<Server>, name: String, token: Option<String>) -> Option<String> {
    let mut client: Client = server.try_connect().await?;
    let login = match token {
        Some(token) => client.try_call("login", json!({"ResumeToken": token})).await,
        None => None,
    };
    let answer = match login {
        Some(answer) if answer["ErrorCode"] == 0 => answer,
        _ => {
            let login = json!({"SdkAppId": server.app, "UserId": name, "UserSig": server.sig(&name)});
            client.try_call("login", login).await?
        }
    };
    let token = answer["Response"]["ResumeToken"].as_str().map(String::from);
    loop {
        let hall = HALLS[rand::rng().random_range(0..HALLS.len())];
        let command = if rand::rng().random_bool(0.6) { "enter_room" } else { "leave_room" };
        if client.try_call(command, json!({"RoomId": hall})).await.is_none() {
            return token;
        }
    }
}

/// Everything acknowledged is there.
async fn check(server: &Server, rooms: &Rooms, round: usize) -> usize {
    let mut checked = 0;
    for (room, known) in rooms {
        let info = server.live("get_room_info", json!({"RoomId": room})).await;
        let Some(known) = known else {
            assert_eq!(info["ErrorCode"], 100_004, "round {round}: {room} came back");
            continue;
        };
        let what = format!("round {round}: {room} {known:?}");
        assert_eq!(info["ErrorCode"], 0, "{what}: {info}");
        for (kind, number) in &known.facts {
            checked += 1;
            let text = number.to_string();
            match *kind {
                "info" => assert_eq!(info["Response"]["RoomInfo"]["ActivityStatus"], *number, "{what}"),
                "metadata" => {
                    let metadata = server.ok("get_room_metadata", json!({"RoomId": room})).await;
                    assert_eq!(metadata["Metadata"], json!([{"Key": "n", "Value": text}]), "{what}");
                }
                "ban" => {
                    let banned = server.ok("get_banned_member_list", json!({"RoomId": room})).await;
                    assert_eq!(banned["BannedAccountList"][0]["Reason"], text.as_str(), "{what}");
                }
                "seat" => {
                    let seats =
                        server.ok("room_engine_http_mic/get_seat_list", json!({"RoomId": room})).await;
                    assert_eq!(seats["SeatList"][1]["IsTakenDisabled"], number.is_multiple_of(2), "{what}");
                }
                "robot" => {
                    let is_in = server.members(room).await.0.contains(&"robot".to_string());
                    assert_eq!(is_in, number.is_multiple_of(2), "{what}");
                }
                kind => panic!("{kind}"),
            }
        }
        let statistic = server.ok("get_room_statistic", json!({"RoomId": room})).await;
        assert_eq!(statistic["TotalMsgCount"], known.messages, "{what}");
        assert_eq!(statistic["TotalGiftsSent"], known.gifts, "{what}");
    }
    checked
}

/// Waits until the receiver's members are the listed ones.
async fn converge(server: &Server, receiver: &Receiver, rooms: &[String], round: usize) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let (told, mut apart) = (receiver.members(), Vec::new());
        for room in rooms {
            let listed: HashSet<String> = server.members(room).await.0.into_iter().collect();
            let told = told.get(room).cloned().unwrap_or_default();
            if listed != told {
                apart.push(format!("{room}: listed {listed:?}, told {told:?}"));
            }
        }
        if apart.is_empty() {
            return;
        }
        if tokio::time::Instant::now() > deadline {
            let all = receiver.all();
            let latest = all.iter().filter(|one| one.body["MemberList"].is_array()).rev().take(30);
            let latest: Vec<String> = latest.map(|one| format!("{} {}", one.id(), one.text)).collect();
            panic!("round {round}: {}; the latest events: {latest:#?}", apart.join("; "));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_and_receivers_converge() {
    let receiver = Receiver::start().await;
    let mut server = Arc::new(Server::with(QUICK).await);
    assert!(server.cli_with(&["webhook", "set", "--url", &receiver.url, "--token", "t"]).status.success());
    server.import(&["villain", "robot"]).await;
    server.ok("add_gift", json!({"GiftId": "rose", "Coins": 1})).await;
    for hall in HALLS {
        server.create_room(hall).await;
    }
    let mut rooms: Vec<Rooms> =
        (0..WRITERS).map(|writer| (0..5).map(|room| (format!("w{writer}-{room}"), None)).collect()).collect();
    let mut tokens: Vec<Option<String>> = vec![None; MEMBERS];
    let (mut acknowledged, mut told) = (0, 0);
    for round in 0..KILLS {
        let stop = Arc::new(AtomicBool::new(false));
        let start = u64::try_from(round * 100_000).unwrap();
        let writers: Vec<_> = (0..)
            .zip(rooms.drain(..))
            .map(|(writer, rooms)| tokio::spawn(write(server.clone(), writer, start, rooms, stop.clone())))
            .collect();
        let members: Vec<_> = (0..)
            .zip(tokens.drain(..))
            // Some resume, some log in anew, some stay away.
            .map(|(number, token): (usize, _)| {
                let token = token.filter(|_| !number.is_multiple_of(3));
                tokio::spawn(wander(server.clone(), format!("m{number}"), token))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(20..200))).await;
        server.kill_now();
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            rooms.push(writer.await.unwrap());
        }
        for member in members {
            tokens.push(member.await.unwrap());
        }
        server = Arc::new(Arc::into_inner(server).unwrap().restart().await);

        for rooms in &rooms {
            acknowledged += check(&server, rooms, round).await;
        }
        if round % 5 == 4 {
            let all: Vec<String> = HALLS.iter().map(|hall| hall.to_string()).collect();
            let own =
                rooms.iter().flatten().filter(|(_, known)| known.is_some()).map(|(room, _)| room.clone());
            converge(&server, &receiver, &all.into_iter().chain(own).collect::<Vec<_>>(), round).await;
            // Of each room's metadata the newest acknowledged value was told.
            let values: HashSet<(String, String)> = receiver
                .of("Live.CallbackAfterSetMetadata")
                .into_iter()
                .map(|event| {
                    (
                        event.body["RoomId"].as_str().unwrap().into(),
                        event.body["Metadata"][0]["Value"].as_str().unwrap().into(),
                    )
                })
                .collect();
            for (room, known) in rooms.iter().flatten() {
                let Some(number) = known.as_ref().and_then(|known| known.facts.get("metadata")) else {
                    continue;
                };
                assert!(
                    values.contains(&(room.clone(), number.to_string())),
                    "round {round}: {room} {number} was not told"
                );
                told += 1;
            }
        }
        // A room whose fate is unknown begins again, under the same name.
        for (writer, rooms) in rooms.iter_mut().enumerate() {
            for number in 0..5 {
                let room = format!("w{writer}-{number}");
                if let Entry::Vacant(fresh) = rooms.entry(room) {
                    server.live("destroy_room", json!({"RoomId": fresh.key()})).await;
                    fresh.insert(None);
                }
            }
        }
    }
    println!(
        "{KILLS} kills, {acknowledged} acknowledged facts found, {told} of them looked for among the events"
    );
    // A tenth of what a machine with nothing else to do gets done, with records in a folder.
    assert!(
        acknowledged > 10 * KILLS && told > KILLS / 10,
        "the load must get something acknowledged to prove anything"
    );
}
