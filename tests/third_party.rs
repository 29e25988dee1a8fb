//! Software nobody here wrote: what its signers sign is accepted, what we sign they agree with, its WebSocket enters.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::{ADMIN, Server, now};
use serde_json::{Value, json};
use usersig::{Claims, PrivateMapKey, Room, SecretKey};

const APP: u32 = 1_400_000_001;
const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const USERS: [&str; 6] = ["administrator", "user_1", "张三", "a\"b\\c", "with space & +%=", "ünïcode😀"];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/third-party")
}

/// Runs a script with JSON in and JSON out.
fn run(program: &str, script: &str, input: &Value) -> Value {
    let program = if program == "python" { folder().join(".venv/bin/python") } else { program.into() };
    let child = Command::new(&program)
        .arg(folder().join(script))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child =
        child.unwrap_or_else(|error| panic!("{program:?} cannot run ({error}); `make test` installs it"));
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

#[tokio::test]
async fn two_people_meet_on_the_page_in_a_real_browser() {
    let server = Server::start().await;
    let users = [ADMIN, "ben"].map(|user| json!({"user": user, "sig": server.sig(user)}));
    let shots = std::env::var("ROOMFUL_SHOTS").unwrap_or_default();
    let url = format!("http://{}/", server.address);

    let seen =
        run("node", "page.mjs", &json!({"url": url, "app": server.app, "users": users, "shots": shots}));

    assert_eq!(seen["together"], json!(["administrator (you)", "ben"]));
    assert_eq!(seen["alone"], json!(["administrator (you)"]));
    assert!(seen["trouble"].as_str().unwrap().contains("100004"), "{seen}");
    assert_eq!(seen["badges"], json!(["Host", "On stage"]));
    assert!(seen["devices"].as_u64().unwrap() > 0, "a camera can be picked");
    assert_eq!(seen["wide"], true, "nothing is wider than a phone");
    assert_eq!(seen["troubles"], json!([]));
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
