//! Lists that are asked for at nodes which do not have the records: they show what was acknowledged anywhere before they were asked for,
//! and are what the node with the records says, word for word, whether it had to send the page or not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use harness::nodes::{TAKEOVER, list, node, nodes, settings};
use harness::postgres::Database;
use harness::{ADMIN, Server};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::time::sleep;

const LIST: &str = "live_engine_http_srv/get_member_list";

/// How many lists a node has answered for another with pages it had, and with such as were sent.
async fn answered(node: &Server) -> (f64, f64) {
    let metric = async |page: &str| {
        node.metric(&format!("roomful_cluster_lists_total{{page=\"{page}\"}}")).await.unwrap_or(0.0)
    };
    (metric("kept").await, metric("new").await)
}

/// Waits until a node has asked for a list in a round.
async fn until_in_rounds(node: &Server, room: &str) {
    let until = Instant::now() + Duration::from_secs(20);
    while answered(node).await == (0.0, 0.0) {
        assert!(Instant::now() < until, "lists are carried one by one");
        list(node, room).await;
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_page_that_is_still_so_is_not_sent_again() {
    let (url, _) = Database::shared().own_url();
    let [one, two] = nodes(&url).await;
    one.create_room("r").await;
    one.import(&["bot-1", "bot-2"]).await;
    until_in_rounds(&two, "r").await;
    let before = answered(&two).await;

    for _ in 0..20 {
        assert!(list(&two, "r").await.is_empty());
    }
    one.ok("add_robot", json!({"RoomId": "r", "RobotList_Account": ["bot-1"]})).await;
    for _ in 0..20 {
        assert_eq!(list(&two, "r").await, ["bot-1"]);
    }
    two.ok("add_robot", json!({"RoomId": "r", "RobotList_Account": ["bot-2"]})).await;
    assert_eq!(list(&two, "r").await, ["bot-1", "bot-2"]);

    let after = answered(&two).await;
    let (kept, new) = (after.0 - before.0, after.1 - before.1);
    assert_eq!(kept + new, 41.0);
    // A new one after each change, and with each UserSig, which is another when a second has begun.
    assert!((2.0..=10.0).contains(&new), "{new}");
    // It is counted where it is answered, and nowhere else.
    let counted =
        "roomful_requests_total{service=\"live_engine_http_srv\",command=\"get_member_list\",code=\"0\"}";
    assert_eq!(two.metric(counted).await, Some(after.0 + after.1));
}

/// A call with a query, a body and a content type of one's own; the answer without what is the request's own.
async fn said(node: &Server, query: &str, body: &str) -> Value {
    let url = format!("http://{}/v4/{LIST}?{query}", node.address);
    let response = reqwest::Client::new().post(url).body(body.to_owned()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let mut answer: Value = response.json().await.unwrap();
    let id = answer["RequestId"].take();
    assert!(id.as_str().unwrap().starts_with("Id-"), "{id}");
    answer
}

#[tokio::test]
async fn whatever_is_asked_the_answer_is_that_of_the_node_with_the_records() {
    let (url, _) = Database::shared().own_url();
    let [one, two] = nodes(&url).await;
    one.create_room("r").await;
    let conference = json!({"RoomInfo": {"RoomId": "c", "RoomType": "Conference"}});
    one.ok("room_engine_http_srv/create_room", conference).await;
    one.import(&["ann"]).await;
    let bots: Vec<String> = (0..100).map(|number| format!("bot-{number:03}")).collect();
    one.import(&bots.iter().map(String::as_str).collect::<Vec<_>>()).await;
    one.ok("add_robot", json!({"RoomId": "r", "RobotList_Account": bots})).await;
    until_in_rounds(&two, "r").await;

    let (app, sig) = (one.app, one.sig(ADMIN));
    let good = format!("sdkappid={app}&identifier={ADMIN}&usersig={sig}");
    let whole = r#"{"RoomId":"r","Next":""}"#;
    let queries = [
        good.clone(),
        format!("{good}&contenttype=json&random=1"),
        format!("{good}&contenttype=xml"),
        format!("sdkappid=1&identifier={ADMIN}&usersig={sig}"),
        format!("sdkappid=x&identifier={ADMIN}&usersig={sig}"),
        format!("sdkappid={app}&identifier=ann&usersig={}", one.sig("ann")),
        format!("sdkappid={app}&identifier=ann&usersig={sig}"),
        format!("sdkappid={app}&identifier={ADMIN}&usersig={sig}x"),
        format!("sdkappid={app}&identifier={ADMIN}&usersig={}", one.sig_for(ADMIN, 0)),
        format!("sdkappid={app}&identifier={ADMIN}"),
        format!("identifier={ADMIN}&usersig={sig}"),
        format!("sdkappid={app}&usersig={sig}"),
        format!("sdkappid={app}&identifier=%ff&usersig={sig}"),
        String::new(),
    ];
    let bodies = [
        whole.to_owned(),
        r#"{"RoomId":"nobody"}"#.into(),
        r#"{"RoomId":"c"}"#.into(),
        r#"{"RoomId":5}"#.into(),
        r#"{"RoomId":"r","Next":"no cursor"}"#.into(),
        "{}".into(),
        "[]".into(),
        "{".into(),
        String::new(),
        format!("{}{{}}", "[".repeat(200)),
        format!(r#"{{"RoomId":"r","Next":"{}"}}"#, "x".repeat(3000)),
    ];
    let asked =
        queries.iter().map(|query| (query, whole)).chain(bodies.iter().map(|body| (&good, body.as_str())));
    for (query, body) in asked {
        let wanted = said(&one, query, body).await;
        for _ in 0..2 {
            assert_eq!(said(&two, query, body).await, wanted, "{query} {body}");
        }
    }
    assert!(answered(&two).await.0 > 0.0);
}

#[tokio::test]
async fn the_apps_limit_is_one_for_all_nodes() {
    let (url, _) = Database::shared().own_url();
    let mut limited = settings(&url, &[]);
    limited.retain(|(name, _)| name != "ROOMFUL_LIMITS__CALLS_PER_SECOND");
    limited.push(("ROOMFUL_LIMITS__CALLS_PER_SECOND".into(), "20".into()));
    let start = async || Server::on(Arc::new(tempfile::TempDir::new().unwrap()), limited.clone()).await;
    let all = [start().await, start().await, start().await];
    all[0].create_room("r").await;
    for edge in &all[1..] {
        until_in_rounds(edge, "r").await;
    }
    sleep(Duration::from_millis(1100)).await;

    let asked =
        (0..90).map(|number| all[number % 3].live("get_member_list", json!({"RoomId": "r", "Next": ""})));
    let began = Instant::now();
    let answers = futures_util::future::join_all(asked).await;

    let of = |code: u64| answers.iter().filter(|answer| answer["ErrorCode"] == code).count();
    let seconds = began.elapsed().as_secs() as usize + 1;
    assert_eq!(of(0) + of(60_007), answers.len());
    assert!((20..=20 * seconds).contains(&of(0)), "{} in {seconds} s", of(0));
}

/// Who holds a page holds no right to it: what has authorised the call is looked at anew each time.
#[tokio::test]
async fn a_key_that_is_changed_opens_no_list_anywhere() {
    let (url, _) = Database::shared().own_url();
    let [one, two] = nodes(&url).await;
    one.create_room("r").await;
    until_in_rounds(&two, "r").await;

    let app = one.app.to_string();
    assert!(one.cli(&["app", "rotate-key", &app]).status.success());

    let answer = two.live("get_member_list", json!({"RoomId": "r", "Next": ""})).await;
    assert_ne!(answer["ErrorCode"], 0, "{answer}");
    assert_eq!(answer["ErrorCode"], one.code("get_member_list", json!({"RoomId": "r"})).await);
}

/// A room as it was after each step, and how far its steps are.
struct Room {
    name: String,
    /// Who was listed after each; `None` when there was no room.
    states: Mutex<Vec<Option<Vec<String>>>>,
    begun: AtomicUsize,
    acknowledged: AtomicUsize,
}

/// Repeats a change until it is known to be done: where the answer was lost, it may be done already.
async fn change(nodes: &[Server], chance: &mut ChaCha8Rng, command: &str, body: &Value, done_too: u64) {
    let until = Instant::now() + 3 * TAKEOVER;
    loop {
        let at = &nodes[chance.random_range(0..nodes.len())];
        let path = format!("live_engine_http_srv/{command}");
        if let Ok(answer) = at.try_call(&path, body.clone()).await {
            let code = answer["ErrorCode"].as_u64().unwrap();
            if code == 0 || code == done_too {
                return;
            }
            assert_eq!(code, 100_001, "{command}: {answer}");
        }
        assert!(Instant::now() < until, "{command} is never done");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Changes a room step by step, each at any node.
async fn write(nodes: Arc<Vec<Server>>, room: Arc<Room>, seed: u64, until: Instant) {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut state: Option<Vec<String>> = None;
    while Instant::now() < until {
        let bot = format!("bot-{:02}", chance.random_range(0..20));
        let body = json!({"RoomId": room.name, "RobotList_Account": [bot]});
        let (command, body, done_too) = match &mut state {
            None => {
                state = Some(Vec::new());
                ("create_room", json!({"RoomInfo": {"RoomId": room.name, "RoomType": "Live"}}), 100_010)
            }
            Some(_) if chance.random_bool(0.05) => {
                state = None;
                ("destroy_room", json!({"RoomId": room.name}), 100_004)
            }
            Some(members) => match members.iter().position(|member| *member == bot) {
                Some(at) => {
                    members.remove(at);
                    ("del_robot", body, 0)
                }
                None => {
                    members.push(bot);
                    ("add_robot", body, 0)
                }
            },
        };
        room.states.lock().unwrap().push(state.clone());
        room.begun.fetch_add(1, Ordering::SeqCst);
        change(&nodes, &mut chance, command, &body, done_too).await;
        room.acknowledged.fetch_add(1, Ordering::SeqCst);
        sleep(Duration::from_millis(chance.random_range(0..20))).await;
    }
}

/// Looks at any room at any node: what is listed was so at some time between question and answer.
async fn read(
    nodes: Arc<Vec<Server>>,
    rooms: Arc<Vec<Arc<Room>>>,
    seed: u64,
    until: Instant,
    seen: Arc<AtomicU64>,
) {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    while Instant::now() < until {
        let (at, room) =
            (&nodes[chance.random_range(0..nodes.len())], &rooms[chance.random_range(0..rooms.len())]);
        let first = room.acknowledged.load(Ordering::SeqCst);
        let body = json!({"RoomId": room.name, "Next": ""});
        let answer = at.try_call(LIST, body).await;
        let last = room.begun.load(Ordering::SeqCst);
        let Ok(answer) = answer else { continue };
        let listed = match answer["ErrorCode"].as_u64().unwrap() {
            0 => Some(harness::names(&answer["Response"]["MemberList"])),
            100_004 => None,
            // It has waited for a node to take over for as long as it may.
            100_001 => continue,
            _ => panic!("{answer}"),
        };
        let states = room.states.lock().unwrap();
        assert!(
            states[first..=last].contains(&listed),
            "seed {seed}: {} has {listed:?} at {}, and never had between {first} and {last}: {:?}",
            room.name,
            at.address,
            &states[first..=last]
        );
        seen.fetch_add(1, Ordering::Relaxed);
    }
}

/// Three nodes, of which the one with the records is killed and comes back, and the next is stopped for so long that another takes over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_list_at_any_node_is_older_than_what_was_acknowledged_before_it_was_asked_for() {
    let (url, _) = Database::shared().own_url();
    let nodes: Arc<Vec<Server>> =
        Arc::new(vec![node(&url, &[]).await, node(&url, &[]).await, node(&url, &[]).await]);
    let bots: Vec<String> = (0..20).map(|number| format!("bot-{number:02}")).collect();
    nodes[0].import(&bots.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let rooms: Arc<Vec<Arc<Room>>> = Arc::new(
        (0..4)
            .map(|number| {
                Arc::new(Room {
                    name: format!("room-{number}"),
                    states: Mutex::new(vec![None]),
                    begun: AtomicUsize::new(0),
                    acknowledged: AtomicUsize::new(0),
                })
            })
            .collect(),
    );
    let seed: u64 =
        std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("SEED={seed}");
    let until = Instant::now() + Duration::from_secs(40);
    let seen = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for (number, room) in rooms.iter().enumerate() {
        tasks.spawn(write(nodes.clone(), room.clone(), seed ^ number as u64, until));
    }
    for number in 0..12 {
        tasks.spawn(read(nodes.clone(), rooms.clone(), seed ^ (100 + number), until, seen.clone()));
    }

    sleep(Duration::from_secs(5)).await;
    nodes[0].signal("STOP");
    sleep(Duration::from_secs(15)).await;
    nodes[0].signal("CONT");
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }

    let mut kept = 0.0;
    for node in nodes.iter() {
        let (of_node, new) = answered(node).await;
        println!("{} lists of pages that were kept, {new} of new ones", of_node);
        kept += of_node;
    }
    let steps: usize = rooms.iter().map(|room| room.acknowledged.load(Ordering::SeqCst)).sum();
    println!("{steps} steps, {} lists", seen.load(Ordering::Relaxed));
    assert!(kept > 0.0 && steps > 100 && seen.load(Ordering::Relaxed) > 500);
}
