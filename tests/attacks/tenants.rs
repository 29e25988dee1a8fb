//! One app's trouble is nobody else's.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::Server;
use crate::harness::receiver::{Answer, Receiver};

const CREATED: &str = "Live.CallbackAfterCreateRoom";
const MESSAGE: &str = "Group.CallbackAfterSendMsg";
const ASKED: &str = "Group.CallbackBeforeSendMsg";

const ALLOWED: &[(&str, &str)] =
    &[("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"), ("ROOMFUL_WEBHOOKS__ALLOW_PRIVATE", "true")];

/// An app's id and key: `Server` calls as the one that is in it.
type Tenant = (u32, usersig::SecretKey);

fn another_app(server: &Server, name: &str) -> Tenant {
    let output = server.cli_with(&["app", "create", "--name", name, "--json"]);
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let app = u32::try_from(made["sdkappid"].as_u64().unwrap()).unwrap();
    (app, usersig::SecretKey::new(made["secret_key"].as_str().unwrap()))
}

fn become_app(server: &mut Server, tenant: Tenant) -> Tenant {
    (std::mem::replace(&mut server.app, tenant.0), std::mem::replace(&mut server.key, tenant.1))
}

fn set_receiver(server: &Server, app: u32, url: &str, events: &[&str]) {
    let app = app.to_string();
    let mut arguments = vec!["webhook", "set", "--url", url, "--sdkappid", &app];
    events.iter().for_each(|event| arguments.extend(["--event", event]));
    let output = server.cli_with(&arguments);
    assert!(output.status.success(), "{output:?}");
}

fn agree() -> Answer {
    Answer::Json(json!({"ErrorCode": 0}))
}

fn hang() -> Answer {
    Answer::After(Duration::from_secs(120))
}

async fn wait_for(what: &str, within: Duration, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_whose_receiver_hangs_delays_no_other_apps_events() {
    let (hanging, quick) = (Receiver::answering(|_, _| hang()).await, Receiver::start().await);
    let mut server = Server::with(ALLOWED).await;
    let other = another_app(&server, "other");
    set_receiver(&server, server.app, &hanging.url, &[CREATED]);
    set_receiver(&server, other.0, &quick.url, &[CREATED]);
    for number in 0..100 {
        server.create_room(&format!("r{number}")).await;
    }
    hanging.wait_for(CREATED, 8).await;
    become_app(&mut server, other);

    let started = Instant::now();
    server.create_room("mine").await;
    quick.wait_for(CREATED, 1).await;

    assert!(started.elapsed() < Duration::from_secs(2), "it took {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_whose_receiver_hangs_takes_bounded_room_for_its_questions_and_delays_no_other_apps() {
    let (hanging, quick) = (Receiver::answering(|_, _| hang()).await, Receiver::start().await);
    let mut environment = ALLOWED.to_vec();
    environment.push(("ROOMFUL_WEBHOOKS__DEADLINE", "6s"));
    let mut server = Server::with(&environment).await;
    let other = another_app(&server, "other");
    set_receiver(&server, server.app, &hanging.url, &[ASKED]);
    set_receiver(&server, other.0, &quick.url, &[ASKED]);
    server.import(&["ann"]).await;
    for room in ["r", "s"] {
        server.create_room(room).await;
    }
    let text = |room: &str| json!({"RoomId": room, "Sender_Account": "ann", "TextContent": "hi"});
    let url = server.url("live_engine_http_srv/send_text_msg");
    let client = reqwest::Client::new();
    // As many as a room may ask at once, and more than an app.
    let asked: Vec<_> = (0..400)
        .map(|number| {
            let request = client.post(&url).body(text(["r", "s"][number % 2]).to_string());
            tokio::spawn(async move { request.send().await.unwrap().json::<Value>().await.unwrap() })
        })
        .collect();
    hanging.wait_for(ASKED, 256).await;
    become_app(&mut server, other);
    server.import(&["ann"]).await;
    server.create_room("r").await;

    let started = Instant::now();
    server.ok("send_text_msg", text("r")).await;

    assert_eq!(quick.of(ASKED).len(), 1);
    assert!(started.elapsed() < Duration::from_secs(2), "it took {:?}", started.elapsed());
    let at_once = hanging.of(ASKED).len();
    assert!(at_once <= 256, "{at_once} were asked at once");
    for answer in asked {
        let answer = answer.await.unwrap();
        assert_eq!(answer["ErrorCode"], 0, "who is not asked in time has no objection: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_whose_events_are_refused_does_not_hold_up_the_others_of_its_app() {
    let receiver = Receiver::answering(|received, _| match received.body["GroupId"].as_str() {
        Some("bad") => Answer::Status(500),
        _ => agree(),
    })
    .await;
    let mut environment = ALLOWED.to_vec();
    environment.push(("ROOMFUL_WEBHOOKS__WAITING_BYTES", "262144"));
    let server = Server::with(&environment).await;
    set_receiver(&server, server.app, &receiver.url, &[MESSAGE]);
    server.import(&["ann"]).await;
    server.create_room("bad").await;
    server.create_room("good").await;
    for _ in 0..60 {
        say(&server, "bad", 12_000).await;
    }

    say(&server, "good", 10).await;

    let of_good = || receiver.of(MESSAGE).iter().any(|received| received.body["GroupId"] == "good");
    wait_for("the good room's event", Duration::from_secs(5), of_good).await;
}

/// A message in a room, as long as that.
async fn say(server: &Server, room: &str, bytes: usize) {
    let text = "x".repeat(bytes);
    server.ok("send_text_msg", json!({"RoomId": room, "Sender_Account": "ann", "TextContent": text})).await;
}

/// The numbers of a room's messages in the order in which they first came.
fn numbers(receiver: &Receiver, room: &str) -> Vec<u64> {
    let mut known = std::collections::HashSet::new();
    let of_room = receiver.of(MESSAGE).into_iter().filter(|received| received.body["GroupId"] == room);
    let first = of_room.filter(|received| known.insert(received.id()));
    first.map(|received| received.body["MsgSeq"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_for_a_receiver_that_is_away_wait_on_the_disk_and_come_in_order() {
    const ROOMS: usize = 6;
    const EACH: usize = 500;
    let is_back = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let back = is_back.clone();
    let receiver = Receiver::answering(move |_, _| match back.load(std::sync::atomic::Ordering::Relaxed) {
        true => agree(),
        false => Answer::Status(503),
    })
    .await;
    let mut server = Server::with(ALLOWED).await;
    set_receiver(&server, server.app, &receiver.url, &[MESSAGE]);
    server.import(&["ann"]).await;
    for room in 0..ROOMS {
        server.create_room(&format!("r{room}")).await;
        say(&server, &format!("r{room}"), 12_000).await;
    }
    let before = server.memory();

    for _ in 1..EACH {
        let rooms: Vec<String> = (0..ROOMS).map(|room| format!("r{room}")).collect();
        futures_util::future::join_all(rooms.iter().map(|room| say(&server, room, 12_000))).await;
    }

    let grown = server.memory().saturating_sub(before);
    assert!(grown < 24 << 20, "{} MiB of events are in memory", grown >> 20);
    server.kill();
    let server = server.restart().await;
    let at_start = server.memory();
    assert!(at_start < before + (16 << 20), "{} MiB after a start", at_start >> 20);
    is_back.store(true, std::sync::atomic::Ordering::Relaxed);
    for room in 0..ROOMS {
        let room = format!("r{room}");
        let is_all =
            || numbers(&receiver, &room).len() >= EACH && { numbers(&receiver, &room).len() == EACH };
        wait_for("everything has come", Duration::from_secs(60), is_all).await;
        let came = numbers(&receiver, &room);
        assert!(came.is_sorted(), "{room}: {came:?}");
    }
}

/// A receiver whose answers have no end, in the head or in the body, and which counts those who ask.
async fn endless(start: &'static str) -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 1024]).await;
                counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let _ = stream.write_all(start.as_bytes()).await;
                while stream.write_all(&[b'x'; 16 * 1024]).await.is_ok() {}
            });
        }
    });
    (url, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_an_end_costs_bounded_memory() {
    for start in ["HTTP/1.1 200 OK\r\nEndless: ", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"] {
        let (url, asked) = endless(start).await;
        let server = Server::with(ALLOWED).await;
        set_receiver(&server, server.app, &url, &[CREATED]);
        server.create_room("first").await;
        let before = server.memory();

        for number in 0..100 {
            server.create_room(&format!("r{number}")).await;
        }

        let is_asked = || asked.load(std::sync::atomic::Ordering::Relaxed) > 150;
        wait_for("each is tried again", Duration::from_secs(20), is_asked).await;
        let grown = server.peak_memory().saturating_sub(before);
        assert!(grown < 32 << 20, "{start:?}: {} MiB", grown >> 20);
    }
}
