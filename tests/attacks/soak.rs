//! All of it at once, for a long time: no hang, flat memory, and a server that says at every moment that it is well.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use load::{FRAMES_A_SECOND, Offered, Sending, Stats};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::harness::receiver::{Answer, Receiver};
use crate::harness::{Client, Server, offer};
use crate::races::Restless;

/// How long a question whether the server is ready may take.
const READY_WITHIN: Duration = Duration::from_millis(100);

/// What the server was seen to do.
#[derive(Default)]
struct Seen {
    is_over: AtomicBool,
    rounds: AtomicUsize,
    refused: AtomicUsize,
    done: AtomicUsize,
}

impl Seen {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    fn note(&self, answer: Option<&Value>) {
        match answer.and_then(|answer| answer["ErrorCode"].as_u64()) {
            Some(0) => self.done.fetch_add(1, Ordering::Relaxed),
            Some(_) => self.refused.fetch_add(1, Ordering::Relaxed),
            None => 0,
        };
    }
}

/// Calls as fast as it is answered; logs in again when it is thrown out.
async fn flood(
    server: Arc<Server>,
    seen: Arc<Seen>,
    user: String,
    ask: fn(usize, &str) -> (&'static str, Value),
) {
    let mut number = 0;
    while seen.goes_on() {
        let mut client = server.log_in(&user).await;
        client.try_call("enter_room", json!({"RoomId": "crowd"})).await;
        while seen.goes_on() {
            let (command, body) = ask(number, &user);
            number += 1;
            let answer = client.try_call(command, body).await;
            seen.note(answer.as_ref());
            if answer.is_none() {
                break;
            }
            client.events.clear();
        }
        client.cut();
    }
}

fn rooms(number: usize, user: &str) -> (&'static str, Value) {
    ("create_room", json!({"RoomInfo": {"RoomId": format!("{user}-{number}"), "RoomType": "Live"}}))
}

fn talk(number: usize, _: &str) -> (&'static str, Value) {
    match number % 3 {
        0 => ("send_text_msg", json!({"RoomId": "crowd", "Text": "x".repeat(12_000)})),
        1 => ("send_like", json!({"RoomId": "crowd", "Count": 1000})),
        _ => ("enter_room", json!({"RoomId": "crowd"})),
    }
}

/// What its right in its own room does not reach.
fn meddle(number: usize, user: &str) -> (&'static str, Value) {
    match number % 3 {
        0 => (
            "update_room_info",
            json!({"RoomId": user, "RoomInfo": {"RoomId": "crowd", "Owner_Account": user}}),
        ),
        1 => (
            "request_battle",
            json!({"RoomId": user, "ToRoomIdList": ["all"], "Duration": 60_000, "NeedResponse": false}),
        ),
        _ => ("kick_user_out", json!({"RoomId": "crowd", "MemberList_Account": ["listener-0"]})),
    }
}

/// A member with a room of its own that reaches for others'. Whatever it is answered, none of it is done.
async fn meddler(server: Arc<Server>, seen: Arc<Seen>, user: &'static str) {
    server.import(&[user]).await;
    server.create_room_with(user, json!({"Owner_Account": user})).await;
    let mut client = server.enter(user, user).await;
    let mut number = 0;
    while seen.goes_on() {
        let (command, body) = meddle(number, user);
        number += 1;
        let answer = client.try_call(command, body).await.expect("the connection is closed");
        seen.note(Some(&answer));
        client.events.clear();
        let info = server.ok("get_room_info", json!({"RoomId": "crowd"})).await;
        assert_eq!(info["RoomInfo"]["Owner_Account"], "administrator", "after {command}");
        let battle = server.call("live_engine_http_pk/get_battle_info", json!({"RoomId": "all"})).await;
        assert_ne!(battle["Response"]["Status"], 2, "it runs after {command}: {battle}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// One publishes, three watch; all are put out after a while, and come again.
async fn media(server: Arc<Server>, seen: Arc<Seen>) {
    let sending = Sending { frames_a_second: FRAMES_A_SECOND, packets_a_frame: 8, burst: 8 };
    let local = std::net::Ipv4Addr::LOCALHOST.into();
    server.import(&["star"]).await;
    server.create_room_with("show", json!({"Owner_Account": "star"})).await;
    while seen.goes_on() {
        let stats = Arc::new(Stats::new(sending));
        let mut peers = JoinSet::new();
        let (offer, offered) = Offered::publisher(local, &stats).await.unwrap();
        let (answer, publication) = agree(&server, "/whip/show", "star", offer).await;
        peers.spawn(offered.accept(&answer).unwrap().run());
        for _ in 0..3 {
            let (offer, offered) = Offered::viewer(local, true, &stats).await.unwrap();
            let (answer, _) = agree(&server, "/whep/show?user=star", "fan", offer).await;
            peers.spawn(offered.accept(&answer).unwrap().run());
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(stats.received.load(Ordering::Relaxed) > 0, "no packet comes");
        server.ok("kick_user_out", json!({"RoomId": "show", "MemberList_Account": ["fan"]})).await;
        server.end_resource(&publication, "star").await;
    }
}

/// The answer to an offer, and where the session is.
async fn agree(server: &Server, path: &str, user: &str, offer: String) -> (String, String) {
    let (status, location, answer) = server.post_offer(path, user, offer).await;
    assert_eq!(status, 201, "{path}: {answer}");
    (answer, location)
}

/// Another app, whose operator changes its key all the time.
async fn rekeyed(server: Arc<Server>, seen: Arc<Seen>) {
    let made = server.cli_with(&["app", "create", "--name", "other", "--json"]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let app = made["sdkappid"].to_string();
    while seen.goes_on() {
        let (server, app) = (server.clone(), app.clone());
        let rotate = move || server.cli_with(&["app", "rotate-key", &app]);
        let rotated = tokio::task::spawn_blocking(rotate).await.unwrap();
        assert!(rotated.status.success(), "{rotated:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Connections that ask and never read, that never say what they began to say, that say too much without a signature.
async fn rude(server: Arc<Server>, seen: Arc<Seen>, kind: usize) {
    let sdp = offer("recvonly");
    while seen.goes_on() {
        let Ok(mut stream) = TcpStream::connect(&server.address).await else { continue };
        let text = match kind % 5 {
            0 => "GET /page/page.js HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200),
            1 => format!("POST /v4/live_engine_http_srv/get_member_list HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{}", "x".repeat(900_000)),
            2 => format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}", "x".repeat(360_000)),
            3 => format!(
                "POST /whep/crowd HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{}",
                server.sig("player"), sdp.len() + 1000, sdp
            ),
            _ => "GET /v1/connect HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n\u{1}".into(),
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), stream.write_all(text.as_bytes())).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}

async fn restless(server: Arc<Server>, seen: Arc<Seen>, number: usize) {
    let mut restless = Restless::begin(server, number).await;
    while seen.goes_on() {
        let round = seen.rounds.fetch_add(1, Ordering::Relaxed);
        tokio::time::timeout(Duration::from_secs(20), restless.round(round)).await.expect("the server hangs");
        // Within what one user may do.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// The app's own server, which must not notice any of it.
async fn app(server: Arc<Server>, seen: Arc<Seen>) {
    while seen.goes_on() {
        let listed = tokio::time::timeout(Duration::from_secs(5), server.members("crowd")).await;
        assert!(listed.expect("the list does not come").0.len() > 10);
        let metadata = json!({"RoomId": "crowd", "Metadata": [{"Key": "k", "Value": "v"}]});
        let set =
            tokio::time::timeout(Duration::from_secs(5), server.live("set_room_metadata", metadata)).await;
        assert_eq!(set.expect("a change does not come")["ErrorCode"], 0);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How long the machine itself stood still, at worst since this was asked last: a thread that only sleeps wakes so late.
#[derive(Default)]
struct Stalls(AtomicUsize);

impl Stalls {
    const NAP: Duration = Duration::from_millis(2);

    fn watch(self: &Arc<Self>, seen: Arc<Seen>) {
        let stalls = self.clone();
        std::thread::spawn(move || {
            while seen.goes_on() {
                let started = Instant::now();
                std::thread::sleep(Self::NAP);
                let late = started.elapsed().saturating_sub(Self::NAP);
                stalls.0.fetch_max(late.as_micros() as usize, Ordering::Relaxed);
            }
        });
    }

    fn take(&self) -> Duration {
        Duration::from_micros(self.0.swap(0, Ordering::Relaxed) as u64)
    }
}

/// Asks whether the server is ready, from a thread that waits for nothing else. Returns how long each answer took, less what
/// the machine itself stood still meanwhile.
fn watch(address: String, seen: Arc<Seen>) -> std::thread::JoinHandle<Vec<Duration>> {
    let stalls = Arc::new(Stalls::default());
    stalls.watch(seen.clone());
    std::thread::spawn(move || {
        let mut took = Vec::new();
        while seen.goes_on() {
            stalls.take();
            let started = Instant::now();
            let mut stream = std::net::TcpStream::connect(&address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("/readyz does not answer");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            let (lasted, stood_still) = (started.elapsed(), stalls.take());
            if lasted > READY_WITHIN {
                println!("/readyz took {lasted:?}; the machine stood still for {stood_still:?}");
            }
            took.push(lasted.saturating_sub(stood_still));
            std::thread::sleep(Duration::from_millis(100));
        }
        took
    })
}

async fn listeners(server: &Server, count: usize) -> Vec<tokio::task::JoinHandle<()>> {
    let mut tasks = Vec::with_capacity(count);
    for number in 0..count {
        let mut client: Client = server.enter(&format!("listener-{number}"), "crowd").await;
        tasks.push(tokio::spawn(async move { while client.read().await.is_ok() {} }));
    }
    tasks
}

async fn soak(lasts: Duration) -> (Arc<Seen>, Vec<Duration>) {
    let receiver = Receiver::answering(|_, _| Answer::After(Duration::from_secs(600))).await;
    let server = Server::with(&[("ROOMFUL_WEBHOOKS__ALLOW_PRIVATE", "true")]).await;
    // What is told afterwards: whoever is asked before may hold up whom it is asked about.
    let events =
        ["Group.CallbackAfterSendMsg", "Live.CallbackAfterSendLike", "Live.CallbackAfterSetMetadata"];
    let told = events.iter().flat_map(|event| ["--event", event]);
    let set = server
        .cli_with(&["webhook", "set", "--url", &receiver.url].into_iter().chain(told).collect::<Vec<_>>());
    assert!(set.status.success(), "{set:?}");
    server.create_room("crowd").await;
    server.create_room("all").await;
    let listening = listeners(&server, 100).await;
    let (server, seen) = (Arc::new(server), Arc::new(Seen::default()));
    let readiness = watch(server.address.clone(), seen.clone());
    let mut tasks = JoinSet::new();
    for number in 0..4 {
        tasks.spawn(restless(server.clone(), seen.clone(), number));
        tasks.spawn(flood(server.clone(), seen.clone(), format!("maker-{number}"), rooms));
        tasks.spawn(flood(server.clone(), seen.clone(), format!("talker-{number}"), talk));
    }
    for kind in 0..60 {
        tasks.spawn(rude(server.clone(), seen.clone(), kind));
    }
    tasks.spawn(app(server.clone(), seen.clone()));
    tasks.spawn(meddler(server.clone(), seen.clone(), "mallory"));
    tasks.spawn(media(server.clone(), seen.clone()));
    tasks.spawn(rekeyed(server.clone(), seen.clone()));

    let (started, mut resident) = (Instant::now(), Vec::new());
    while started.elapsed() < lasts {
        tokio::time::sleep(Duration::from_secs(1)).await;
        resident.push(server.memory());
    }
    seen.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let took = tokio::task::spawn_blocking(|| readiness.join().unwrap()).await.unwrap();
    listening.iter().for_each(tokio::task::JoinHandle::abort);

    let (early, late) = resident.split_at(resident.len() / 3);
    let most = |part: &[u64]| part.iter().copied().max().unwrap_or_default() >> 20;
    println!("memory: at most {} MiB in the first third, {} MiB after", most(early), most(late));
    assert!(most(late) <= most(early) + most(early) / 4 + 16, "memory grows: {resident:?}");
    (seen, took)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_under_all_of_it_is_well() {
    let (seen, took) = soak(Duration::from_secs(15)).await;

    assert!(took.len() > 30, "{took:?}");
    assert!(seen.done.load(Ordering::Relaxed) > 0 && seen.refused.load(Ordering::Relaxed) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "ten minutes: make soak"]
async fn a_long_soak() {
    let seconds = std::env::var("ROOMFUL_SOAK_SECONDS").map_or(600, |text| text.parse().unwrap());

    let (seen, mut took) = soak(Duration::from_secs(seconds)).await;

    took.sort_unstable();
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    println!(
        "{} rounds, {} done, {} refused; ready {} times: median {:?}, 99 % {:?}, at most {:?}",
        count(&seen.rounds),
        count(&seen.done),
        count(&seen.refused),
        took.len(),
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        took[took.len() - 1]
    );
    assert!(took[took.len() - 1] <= READY_WITHIN, "/readyz took {:?}", took[took.len() - 1]);
}
