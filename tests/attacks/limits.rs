//! What one user may do a second, and own.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Client, Server};

const TOO_OFTEN: u64 = 60_007;

/// Calls as fast as it can for so long; returns how often it was let, and how often it was told to slow down.
async fn flood(
    client: &mut Client,
    within: Duration,
    mut ask: impl FnMut(usize) -> (&'static str, Value),
) -> (usize, usize) {
    let (mut done, mut refused) = (0, 0);
    let started = Instant::now();
    while started.elapsed() < within {
        let (command, body) = ask(done + refused);
        let answer = client.call(command, body).await;
        match answer["ErrorCode"].as_u64() {
            Some(0) => done += 1,
            Some(TOO_OFTEN) => refused += 1,
            _ => panic!("{answer}"),
        }
        client.events.clear();
    }
    (done, refused)
}

/// The same by four connections of one user: one alone waits for each answer, and on a slow machine or disk none is too many.
async fn flood_of(
    server: &Server,
    user: &str,
    room: &str,
    within: Duration,
    call: impl Fn(usize) -> (&'static str, Value),
) -> (usize, usize) {
    let mut eves = Vec::new();
    for _ in 0..4 {
        eves.push(server.enter(user, room).await);
    }
    let floods = eves.iter_mut().map(|eve| flood(eve, within, &call));
    let floods = futures_util::future::join_all(floods).await;
    floods.into_iter().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
}

#[tokio::test]
async fn one_member_makes_rooms_only_so_fast_and_others_do_not_notice() {
    let server = Server::with(&[("ROOMFUL_LIMITS__ROOMS_PER_USER", "0")]).await;
    let mut eve = server.log_in("eve").await;
    let mut again = server.log_in("eve").await;
    let mut ann = server.log_in("ann").await;
    let room = |name: String| ("create_room", json!({"RoomInfo": {"RoomId": name, "RoomType": "Live"}}));
    let within = Duration::from_secs(3);

    let (one, other) = tokio::join!(
        flood(&mut eve, within, |number| room(format!("e{number}"))),
        flood(&mut again, within, |number| room(format!("a{number}"))),
    );

    let (done, refused) = (one.0 + other.0, one.1 + other.1);
    assert!((20..=20 + 40).contains(&done), "{done} rooms: two seconds' worth of 10, and 10 a second");
    assert!(refused > 20, "{refused}");
    assert!(
        refused < 200,
        "{refused} refusals in 3 s on two connections: a flood is not answered as fast as it comes"
    );
    let mut third = server.log_in("eve").await;
    assert_eq!(
        third.code("create_room", room("third".into()).1).await,
        TOO_OFTEN,
        "another login is no other user"
    );
    ann.ok("create_room", room("hers".into()).1).await;
    server.create_room("of-the-app").await;
}

#[tokio::test]
async fn all_members_together_keep_to_the_documented_frequency() {
    let server =
        Server::with(&[("ROOMFUL_LIMITS__CALLS_PER_SECOND", "30"), ("ROOMFUL_LIMITS__ROOMS_PER_USER", "0")])
            .await;
    let mut members = Vec::new();
    for number in 0..10 {
        members.push(server.log_in(&format!("u{number}")).await);
    }

    let floods = members.iter_mut().enumerate().map(|(member, client)| {
        flood(client, Duration::from_secs(2), move |number| {
            (
                "create_room",
                json!({"RoomInfo": {"RoomId": format!("m{member}n{number}"), "RoomType": "Live"}}),
            )
        })
    });
    let done: usize = futures_util::future::join_all(floods).await.into_iter().map(|(done, _)| done).sum();

    assert!(done <= 3 * 30, "{done} in 2 s of 30 a second");
    server.create_room("the-servers-own-calls-are-counted-apart").await;
}

#[tokio::test]
async fn a_user_makes_only_so_many_rooms() {
    let limits = [("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"), ("ROOMFUL_LIMITS__ROOMS_PER_USER", "3")];
    let server = Server::with(&limits).await;
    server.import(&["ben"]).await;
    let mut eve = server.log_in("eve").await;
    let room = |name: &str| json!({"RoomInfo": {"RoomId": name, "RoomType": "Live"}});
    for name in ["a", "b", "c"] {
        eve.ok("create_room", room(name)).await;
    }
    assert_eq!(eve.code("create_room", room("d")).await, TOO_OFTEN);
    eve.ok("enter_room", json!({"RoomId": "a"})).await;
    eve.ok("change_room_owner", json!({"RoomId": "a", "NewOwner_Account": "ben"})).await;
    assert_eq!(eve.code("create_room", room("d")).await, TOO_OFTEN, "giving one away is no way to more");

    let server = server.restart().await;
    let mut eve = server.log_in("eve").await;
    assert_eq!(eve.code("create_room", room("d")).await, TOO_OFTEN, "they are counted after a restart too");
    server.ok("destroy_room", json!({"RoomId": "a"})).await;
    eve.ok("create_room", room("d")).await;
    let mut ben = server.log_in("ben").await;
    ben.ok("create_room", room("e")).await;
}

#[tokio::test]
async fn a_members_room_ends_when_nobody_is_in_it() {
    let limits = [("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"), ("ROOMFUL_LIMITS__MEMBER_ROOM_LIFETIME", "1s")];
    let server = Server::with(&limits).await;
    let mut eve = server.log_in("eve").await;
    eve.ok("create_room", json!({"RoomInfo": {"RoomId": "short", "RoomType": "Live"}})).await;
    let own = json!({"RoomInfo": {"RoomId": "own", "RoomType": "Live", "LifetimeAfterNoUsers": 300}});
    eve.ok("create_room", own).await;
    server.create_room("of-the-app").await;

    let deadline = Instant::now() + Duration::from_secs(10);
    while server.live("get_room_info", json!({"RoomId": "short"})).await["ErrorCode"] == 0 {
        assert!(Instant::now() < deadline, "the room goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let info = server.ok("get_room_info", json!({"RoomId": "own"})).await;
    assert_eq!(info["RoomInfo"]["LifetimeAfterNoUsers"], 300);
    server.ok("get_room_info", json!({"RoomId": "of-the-app"})).await;
}

#[tokio::test]
async fn a_flood_of_messages_likes_and_pages_is_refused() {
    let server = Server::with(&[]).await;
    server.create_room("r").await;
    server.create_room("big").await;
    let robots: Vec<String> = (0..1000).map(|number| format!("robot-with-a-long-name-{number}")).collect();
    for some in robots.chunks(100) {
        server.import(&some.iter().map(String::as_str).collect::<Vec<_>>()).await;
        server.ok("add_robot", json!({"RoomId": "big", "RobotList_Account": some})).await;
    }
    let text = "x".repeat(12_000);
    let within = Duration::from_secs(2);

    let (said, refused) =
        flood_of(&server, "eve", "r", within, |_| ("send_text_msg", json!({"RoomId": "r", "Text": text})))
            .await;
    assert!(said <= 100 && refused > 0, "{said} said, {refused} refused: 1 MiB in 2 s");
    let (liked, refused) =
        flood_of(&server, "liker", "r", within, |_| ("send_like", json!({"RoomId": "r"}))).await;
    assert!(liked <= 210 && refused > 0, "{liked} liked, {refused} refused: 50 a second, and 100 saved up");
    let mut eve = server.enter("reader", "big").await;
    let (read, refused) = flood(&mut eve, within, |number| {
        (["enter_room", "get_member_list"][number % 2], json!({"RoomId": "big", "Next": ""}))
    })
    .await;
    assert!(read <= 180 && refused > 0, "{read} pages, {refused} refused: 6 MiB in 2 s");
}

#[tokio::test]
async fn a_user_has_only_so_many_sessions_and_the_lost_make_room() {
    let limits = [
        ("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"),
        ("ROOMFUL_LIMITS__SESSIONS_PER_USER", "3"),
        ("ROOMFUL_LIMITS__SESSIONS_PER_ROOM", "2"),
    ];
    let server = Server::with(&limits).await;
    server.create_room("r").await;
    let login = json!({"SdkAppId": server.app, "UserId": "ann", "UserSig": server.sig("ann")});
    let first = server.enter("ann", "r").await;
    let mut second = server.enter("ann", "r").await;
    let mut third = server.log_in("ann").await;

    assert_eq!(third.code("enter_room", json!({"RoomId": "r"})).await, TOO_OFTEN, "two are in");
    let mut fourth = server.connect().await;
    assert_eq!(fourth.code("login", login.clone()).await, TOO_OFTEN, "three are connected");
    let _ben = server.enter("ben", "r").await;

    let token = first.resume_token.clone();
    first.cut();
    let deadline = Instant::now() + Duration::from_secs(5);
    while third.call("enter_room", json!({"RoomId": "r"})).await["ErrorCode"] != 0 {
        assert!(Instant::now() < deadline, "the lost session keeps its place");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fourth.ok("login", login).await;
    let mut late = server.connect().await;
    assert_eq!(late.code("login", json!({"ResumeToken": token})).await, 70_003, "its place was taken");
    assert_eq!(server.members("r").await.0, ["ann", "ben"]);
    second.ok("leave_room", json!({"RoomId": "r"})).await;
    fourth.ok("enter_room", json!({"RoomId": "r"})).await;
}

#[tokio::test]
async fn a_user_has_only_so_many_sessions_by_whip_and_whep() {
    let limits =
        [("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"), ("ROOMFUL_LIMITS__MEDIA_SESSIONS_PER_USER", "2")];
    let server = Server::with(&limits).await;
    server.create_room_with("r", json!({"IsPlayerListed": false})).await;
    let first = server.whep("r", "ann").await;
    let second = server.whep("r", "ann").await;
    assert_eq!((first.0, second.0), (201, 201));

    assert_eq!(server.whep("r", "ann").await.0, 503);
    assert_eq!(server.whep("r", "ben").await.0, 201);
    server.end_resource(&first.1, "ann").await;
    assert_eq!(server.whep("r", "ann").await.0, 201);
}

#[tokio::test]
async fn a_room_has_only_so_many_players_of_a_user_whether_they_are_listed_or_not() {
    let limits = [("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"), ("ROOMFUL_LIMITS__SESSIONS_PER_ROOM", "2")];
    let server = Server::with(&limits).await;
    server.create_room_with("r", json!({"IsPlayerListed": false})).await;
    server.create_room_with("s", json!({"IsPlayerListed": false})).await;
    let first = server.whep("r", "ann").await;
    assert_eq!((first.0, server.whep("r", "ann").await.0), (201, 201));

    assert_eq!(server.whep("r", "ann").await.0, 503);
    assert_eq!((server.whep("s", "ann").await.0, server.whep("r", "ben").await.0), (201, 201));
    server.end_resource(&first.1, "ann").await;
    assert_eq!(server.whep("r", "ann").await.0, 201);
}

#[tokio::test]
async fn what_comes_by_whip_and_whep_counts_like_commands() {
    let limits = [("ROOMFUL_LIMITS__CHANGES_PER_SECOND", "1"), ("ROOMFUL_LIMITS__COMMANDS_PER_SECOND", "5")];
    let server = Server::with(&limits).await;
    server.create_room_with("r", json!({"IsPlayerListed": false})).await;
    let (begun, mut answers) = (Instant::now(), Vec::new());
    for _ in 0..20 {
        answers.push(server.whep("r", "ann").await.0);
    }
    let (went_in, took) = (answers.iter().filter(|code| **code == 201).count(), begun.elapsed());
    assert!(answers.contains(&503) && went_in as u64 <= 10 + took.as_secs(), "{answers:?}");
    assert!(
        took > Duration::from_millis(50) * (answers.len() - went_in) as u32,
        "refusals are answered at once"
    );

    let player = server.whep("r", "ben").await;
    let mut refused = 0;
    for _ in 0..100 {
        refused += u32::from(server.resource(&player.1, "ben").await == 503);
    }
    assert!(refused > 20, "{refused} of 100");
}

#[tokio::test]
async fn who_never_connects_its_media_is_not_listed_for_long() {
    let server = Server::start().await;
    server.create_room("r").await;
    assert_eq!(server.whep("r", "ann").await.0, 201);
    assert_eq!(server.members("r").await.1, 1);

    let begun = Instant::now();
    while server.members("r").await.1 > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is listed still");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert!(begun.elapsed() > Duration::from_secs(10), "nobody can connect so fast");
}

#[tokio::test]
async fn logins_that_fail_are_counted() {
    let server = Server::start().await;
    let mut eve = server.connect().await;
    let login = json!({"SdkAppId": server.app, "UserId": "ann", "UserSig": "eJw"});
    for _ in 0..99 {
        assert_ne!(eve.call("login", login.clone()).await["ErrorCode"], 0);
    }

    eve.call("login", login).await;

    assert_eq!(eve.closed().await, Some(4009));
}

#[tokio::test]
async fn frames_that_are_no_command_are_counted_too() {
    use futures_util::SinkExt as _;
    use tokio_tungstenite::tungstenite::Message;
    let server = Server::with(&[]).await;
    for (what, frame) in [
        ("broken JSON", Message::text("{".repeat(60))),
        ("binary", Message::binary(vec![0; 60])),
        ("pings", Message::Ping(vec![0; 60].into())),
        ("pongs", Message::Pong(vec![0; 60].into())),
    ] {
        let mut eve = server.log_in(&format!("eve-{}", what.replace(' ', "-"))).await;
        let (started, mut sent) = (Instant::now(), 0_u64);
        // Nothing is read, so that only what the server takes counts.
        while started.elapsed() < Duration::from_secs(3) {
            match tokio::time::timeout(Duration::from_secs(1), eve.socket.send(frame.clone())).await {
                Ok(Ok(())) => sent += 1,
                _ => break,
            }
        }
        let bytes = sent * 60;
        assert!(bytes < 8 << 20, "{what}: {bytes} bytes were taken in {:?}", started.elapsed());
    }
}
