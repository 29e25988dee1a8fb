//! Software nobody here wrote: what its signers sign is accepted, what we sign they agree with, its WebSocket enters.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::io::Write as _;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::script::{folder, interpreter, spawn};
use harness::{ADMIN, Server, now};
use serde_json::{Value, json};
use usersig::{Claims, PrivateMapKey, Room, SecretKey};

const APP: u32 = 1_400_000_001;
const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const USERS: [&str; 6] = ["administrator", "user_1", "张三", "a\"b\\c", "with space & +%=", "ünïcode😀"];

/// Runs a script with JSON in and JSON out.
fn run(program: &str, script: &str, input: &Value) -> Value {
    let mut child = spawn(interpreter(program).arg(script));
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script} failed; `make test` installs what it needs");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn request(requests: Vec<Value>) -> Value {
    json!({"sdkappid": APP, "key": KEY, "requests": requests})
}

/// The JSON text inside a UserSig.
fn inside(sig: &str) -> String {
    let zlib = STANDARD.decode(sig.replace('*', "+").replace('-', "/").replace('_', "=")).unwrap();
    String::from_utf8(miniz_oxide::inflate::decompress_to_vec_zlib(&zlib).unwrap()).unwrap()
}

#[test]
fn what_third_parties_sign_is_accepted_and_they_agree_with_what_we_sign() {
    let key = SecretKey::new(KEY);
    let requests: Vec<_> = USERS.iter().map(|user| json!({"user": user, "expire": 86400})).collect();
    for (program, script) in [("node", "sign.mjs"), ("python", "sign.py")] {
        let sigs = run(program, script, &request(requests.clone()));
        for (user, sig) in USERS.iter().zip(sigs.as_array().unwrap()) {
            let sig = sig.as_str().unwrap();
            let claims =
                usersig::verify(&key, sig, now()).unwrap_or_else(|error| panic!("{script} {user}: {error}"));
            claims.require(user, APP).unwrap();

            let ours = usersig::sign(&key, &claims).unwrap();

            let (theirs, ours) = (inside(sig), inside(&ours));
            let [their_json, our_json] =
                [&theirs, &ours].map(|text| serde_json::from_str::<Value>(text).unwrap());
            assert_eq!(our_json["TLS.sig"], their_json["TLS.sig"], "{script} {user}");
            if program == "node" {
                assert_eq!(ours, theirs, "the same text, byte for byte");
            } else {
                assert_eq!(our_json, their_json);
            }
        }
    }
}

#[test]
fn tickets_agree_too() {
    let key = SecretKey::new(KEY);
    let rooms = [(json!(10000), Room::Number(10000)), (json!("room-a"), Room::Text("room-a".into()))];
    for (room, expected) in rooms {
        let sigs =
            run("node", "sign.mjs", &request(vec![json!({"user": "user_1", "expire": 86400, "room": room})]));
        let claims = usersig::verify(&key, sigs[0].as_str().unwrap(), now()).unwrap();
        let bytes = claims.userbuf.clone().unwrap();

        let ticket = PrivateMapKey::decode(&bytes).unwrap();

        assert_eq!(
            (ticket.room.clone(), ticket.privileges, ticket.sdkappid),
            (expected, PrivateMapKey::ALL, APP)
        );
        assert_eq!(ticket.encode().unwrap(), bytes);
        let python = json!({"user": "user_1", "expire": 86400, "userbuf": STANDARD.encode(&bytes)});
        let sigs = run("python", "sign.py", &request(vec![python]));
        let theirs = usersig::verify(&key, sigs[0].as_str().unwrap(), now()).unwrap();
        let again = Claims { issued_at: theirs.issued_at, ..claims };
        assert_eq!(theirs, again);
    }
}

#[tokio::test]
async fn their_signatures_and_their_websocket_work_on_the_server() {
    let server = Server::start().await;
    server.create_room("r").await;
    let request = |user: &str| json!({"sdkappid": server.app, "key": server.key.expose(), "requests": [{"user": user, "expire": 600}]});
    for (program, script) in [("node", "sign.mjs"), ("python", "sign.py")] {
        let sig = run(program, script, &request(ADMIN))[0].as_str().unwrap().to_string();
        let url = server.url("live_engine_http_srv/get_member_list").replace(&server.sig(ADMIN), &sig);
        let answer = reqwest::Client::new().post(&url).body(r#"{"RoomId":"r"}"#).send().await.unwrap();
        assert_eq!(answer.json::<Value>().await.unwrap()["ErrorCode"], 0, "{script}");

        let user = "张三";
        let sig = run(program, script, &request(user))[0].clone();
        let url = format!("ws://{}/v1/connect", server.address);
        let member = json!({"url": url, "app": server.app, "user": user, "sig": sig, "room": "r"});
        assert_eq!(run("node", "member.mjs", &member), json!(["from ws", user]));
        assert_eq!(server.members("r").await.1, 0, "a plain close() is a leave");
    }
}

/// Links, devices before and in the room, words, a shared screen, nine on stage, moderation, what is refused: `page.mjs` says what
/// it does. `ROOMFUL_SHOTS=folder` keeps what it looks like.
#[tokio::test]
async fn people_meet_on_the_page_in_a_real_browser() {
    let quiet = [("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0")];
    let server = Server::prepared(&quiet, |command| {
        command.arg("--dev");
    })
    .await;
    let plain = Server::start().await;
    let sigs: Value = ["cem", "dan", "eva", "fay", "gus", "hal", "ida"]
        .map(|user| (user.to_string(), Value::from(server.sig(user))))
        .into_iter()
        .collect::<serde_json::Map<_, _>>()
        .into();
    let shots = std::env::var("ROOMFUL_SHOTS").unwrap_or_default();
    let url = |server: &Server| format!("http://{}", server.address);
    let input = json!({
        "url": url(&server), "app": server.app, "admin": server.sig(ADMIN), "sigs": sigs, "shots": shots,
        "plain": {"url": url(&plain), "sig": plain.sig("ann")},
    });

    let seen = run("node", "page.mjs", &input);

    assert_eq!(seen["geometry"], json!([]), "every tile has its place, and is as large as can be");
    assert!(seen["devices"].as_array().unwrap().iter().all(|count| count.as_u64() > Some(0)), "{seen}");
    assert!(seen["shifted"].as_f64().unwrap() < 0.02, "the lobby stays where it is: {}", seen["shifted"]);
    assert!(seen["nowhere"].as_str().unwrap().contains("no such room"), "{seen}");
    assert_eq!(seen["small"], json!([]), "what is pressed can be");
    assert_eq!(seen["named"], true, "what is said does not lie on names");
    assert_eq!(seen["ink"], json!([]), "names are light on dark: {seen}");
    assert_eq!(seen["told"], 0, "nobody is said to be alone beside others");
    assert_eq!(
        seen["hosting"],
        json!(["You host this room now."]),
        "of two words on one thing the newer stays"
    );
    assert_eq!(seen["together"], json!(["ann (you)", "ben"]));
    assert_eq!(seen["hosts"], json!(["ann (you)"]));
    assert_eq!((&seen["unread"], &seen["focus"]), (&json!("Chat, 1 unread"), &json!("open-chat")));
    assert_eq!(seen["screen"], true, "a screen is as wide as a phone, with the cameras below it");
    for stage in seen["nine"].as_array().unwrap() {
        assert_eq!((&stage["isIn"], &stage["isApart"]), (&json!(true), &json!(true)), "{stage}");
        assert!(stage["used"].as_f64().unwrap() > 0.8, "nine tiles fill the stage: {stage}");
    }
    assert!(seen["alone"].as_f64().unwrap() > 0.98, "whoever is alone has the stage: {}", seen["alone"]);
    let sheet = &seen["sheet"];
    assert_eq!((&sheet["isApart"], &sheet["isIn"]), (&json!(true), &json!(true)), "{sheet}");
    assert!(sheet["share"].as_f64().unwrap() > 0.4, "there is room to read: {sheet}");
    assert_eq!(seen["owners"], json!([["ben", false, true], ["ann", true, false]]), "who hosts may do more");
    assert_eq!(seen["full"][0], "Watching");
    assert!(seen["full"][1].as_str().unwrap().contains("All seats are taken"), "{}", seen["full"]);
    assert_eq!(seen["badges"], json!(["Host", "Watching"]));
    assert_eq!(seen["left"], json!(["You left the room.", "false"]), "nothing is recorded after leaving");
    assert_eq!(
        seen["order"],
        json!(["microphone", "camera", "screen", "seat", "like", "open-chat", "open-members", "settings"])
    );
    assert_eq!(seen["wide"], json!([true, true]), "nothing is wider than its screen");
    assert!(seen["signedIn"]["refused"].as_str().unwrap().contains("no UserSig"), "{}", seen["signedIn"]);
    assert_eq!((&seen["signedIn"]["isAsked"], &seen["signedIn"]["me"]), (&json!(false), &json!("ann (you)")));
    for (way, words) in [("refused", "Allow it"), ("missing", "was found")] {
        let told = &seen[way];
        assert!(
            told["told"].as_array().unwrap().iter().all(|one| one.as_str().unwrap().contains(words)),
            "{told}"
        );
        assert!(told["toast"].as_str().unwrap().contains(words), "{told}");
        assert_eq!(told["role"], "Host", "one enters without devices");
    }
    assert_eq!(seen["violations"], json!([]), "axe-core");
    assert_eq!(seen["troubles"], json!([]), "the console");
}

/// `make test-api` runs it alone, with more examples of each command.
#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_undocumented_answer() {
    let server = Server::start().await;
    server.import(&["ann", "ben", "bot"]).await;
    server.create_room_with("r", json!({"SeatTemplate": "Karaoke"})).await;
    server.create_room("s").await;
    server.ok("room_engine_http_srv/create_room", json!({"RoomInfo": {"RoomId": "c"}})).await;
    server.ok("add_gift", json!({"GiftId": "g", "Coins": 2})).await;
    server.ok("add_gift_category", json!({"CategoryId": "k"})).await;
    let mut members = Vec::new();
    for (user, room) in [("ann", "r"), ("ben", "r"), ("ann", "c")] {
        members.push(server.enter(user, room).await);
    }
    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("schemathesis.toml");
    let (app, sig) = (server.app, server.sig(ADMIN));
    let caller =
        format!("sdkappid = {app}\nidentifier = \"{ADMIN}\"\nusersig = \"{sig}\"\ncontenttype = \"json\"\n");
    std::fs::write(&config, format!("[parameters]\n{caller}")).unwrap();
    let examples = std::env::var("ROOMFUL_API_EXAMPLES").unwrap_or_else(|_| "10".into());

    let mut command = Command::new(folder().join(".venv/bin/schemathesis"));
    command
        .arg("--config-file")
        .arg(&config)
        .args(["run", &format!("http://{}/openapi.json", server.address)])
        .args(["--max-examples", &examples, "--no-color", "--continue-on-failure"])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
        .env("PYTHONPATH", folder())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(scratch.path());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let output =
        output.unwrap_or_else(|error| panic!("schemathesis cannot run ({error}); `make test` installs it"));

    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("No issues found"), "{said}");
    // Most commands must have succeeded now and then, or nothing was shown about their answers.
    let metrics = server.metrics().await;
    let succeeded = |line: &&str| {
        line.starts_with("roomful_requests_total{") && line.contains("code=\"0\"") && !line.ends_with(" 0")
    };
    let commands = metrics.lines().filter(succeeded).count();
    println!("{commands} commands succeeded");
    assert!(commands >= 50, "only {commands} commands ever succeeded");
}
