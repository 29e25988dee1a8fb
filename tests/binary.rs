//! The binary as an operator meets it: the command line, TLS, metrics, the disk, the way down.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use harness::{ADMIN, BINARY, Server, SmallDisk, cli_on};
use serde_json::{Value, json};
use tempfile::TempDir;

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn the_command_line_sees_what_the_server_knows() {
    let server = Server::start().await;
    server.create_room("demo").await;
    let _ann = server.enter("ann", "demo").await;

    assert!(stdout(&server.cli(&["rooms", "list"])).lines().any(|line| line.starts_with("demo")));
    let rooms: Value = serde_json::from_str(&stdout(&server.cli(&["rooms", "list", "--json"]))).unwrap();
    assert_eq!((&rooms[0]["RoomId"], &rooms[0]["MemberCount"]), (&json!("demo"), &json!(1)));
    assert!(stdout(&server.cli(&["members", "demo"])).contains("1  ann"));
    let members: Value = serde_json::from_str(&stdout(&server.cli(&["members", "demo", "--json"]))).unwrap();
    assert_eq!(members, json!({"MemberCount": 1, "MemberList": [{"Member_Account": "ann"}]}));
    assert!(stderr(&server.cli(&["members", "nowhere"])).contains("100004"));

    // One who does not want to read it all: `| head`.
    let mut child = Command::new(BINARY);
    child.args(["members", "demo", "--data"]).arg(server.data.path());
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));

    let sig = stdout(&server.cli(&["usersig", "--user", "ben", "--expire", "60"]));
    let said: Value =
        serde_json::from_str(&stdout(&server.cli(&["usersig", "verify", sig.trim(), "--json"]))).unwrap();
    assert_eq!((&said["identifier"], &said["expire"]), (&json!("ben"), &json!(60)));
    assert!(stderr(&server.cli(&["usersig", "verify", "x"])).contains("70003"));
}

#[tokio::test]
async fn an_app_made_while_the_server_runs_works_at_once() {
    let mut server = Server::start().await;
    let made: Value =
        serde_json::from_str(&stdout(&server.cli(&["app", "create", "--name", "second", "--json"]))).unwrap();
    let (first, old_key) = (server.app, server.key.clone());
    server.app = u32::try_from(made["sdkappid"].as_u64().unwrap()).unwrap();
    server.key = usersig::SecretKey::new(made["secret_key"].as_str().unwrap());
    server.create_room("r").await;

    let apps: Value = serde_json::from_str(&stdout(&server.cli(&["app", "list", "--json"]))).unwrap();
    assert_eq!(apps.as_array().unwrap().len(), 2);
    assert_eq!(
        apps[1],
        json!({"sdkappid": first + 1, "name": "second", "admins": [ADMIN], "secret_key": made["secret_key"]})
    );

    (server.app, server.key) = (first, old_key);
    assert_eq!(
        server.live("get_room_info", json!({"RoomId": "r"})).await["ErrorCode"],
        100_004,
        "apps share nothing"
    );
    stdout(&server.cli(&["app", "rotate-key", &first.to_string()]));
    assert_eq!(server.live("get_room_info", json!({"RoomId": "r"})).await["ErrorCode"], 70009);
}

#[tokio::test]
async fn the_first_start_prints_a_curl_line_that_works() {
    let data = TempDir::new().unwrap();
    let out = data.path().join("out");
    // On a terminal, which `script` makes: elsewhere it would print no credential.
    let serve =
        format!("exec {BINARY} serve --listen 127.0.0.1:0 --data {}", data.path().join("data").display());
    let mut child = Command::new("script")
        .args(["--quiet", "--flush", "--return", "--command", &serve])
        .arg(&out)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let text = loop {
        let text = std::fs::read_to_string(&out).unwrap_or_default();
        if text.contains("Open the page:") {
            break text;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let lines: Vec<&str> = text.lines().collect();
    let curls: Vec<String> = (0..lines.len())
        .filter(|at| lines[*at].trim_start().starts_with("curl"))
        .map(|at| format!("{}\n{}", lines[at], lines[at + 1]))
        .collect();

    assert_eq!(curls.len(), 2);
    for curl in curls {
        let answer = stdout(&Command::new("sh").args(["-c", &curl]).output().unwrap());
        assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["ErrorCode"], 0, "{answer}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What the development sign-in answers `user` with these headers: the status and the body.
async fn dev_sign_in(address: &str, user: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let mut request = reqwest::Client::new().post(format!("http://{address}/dev/sign-in"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.json(&json!({"UserId": user})).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

#[tokio::test]
async fn the_development_sign_in_is_off_unless_asked_for() {
    let server = Server::start().await;

    assert_eq!(dev_sign_in(&server.address, "ann", &[]).await.0, 404);
    assert!(!server.get("/").await.1.contains("dev-sign-in"));
}

#[tokio::test]
async fn the_development_sign_in_answers_its_own_page_on_this_machine_alone() {
    let server = Server::listening("0.0.0.0:0", &["--dev"]).await;
    let address = server.address.clone();
    let port = address.rsplit_once(':').unwrap().1;
    let origin = format!("http://{address}");
    let (named, other) = (format!("localhost:{port}"), format!("[::1]:{port}"));

    let (status, said) =
        dev_sign_in(&address, "ann", &[("Origin", &origin), ("Sec-Fetch-Site", "same-origin")]).await;
    assert_eq!((status, &said["SdkAppId"], &said["UserId"]), (200, &json!(server.app), &json!("ann")));
    let mut client = server.connect().await;
    client.ok("login", said).await;
    assert!(server.get("/").await.1.contains(r#"<meta name="dev-sign-in" content="on">"#));

    for headers in [vec![], vec![("Host", named.as_str())], vec![("Host", other.as_str())]] {
        assert_eq!(dev_sign_in(&address, "ann", &headers).await.0, 200, "{headers:?}");
    }
    // A name that another site points here; another page on this machine; one in a frame; what a proxy brings.
    let near = format!("http://localhost:{port}");
    for headers in [
        [("Host", "rebound.example"), ("Origin", "http://rebound.example")],
        [("Host", "127.0.0.1.example"), ("X-None", "")],
        [("Host", "10.0.0.1"), ("X-None", "")],
        [("Origin", "http://evil.example"), ("X-None", "")],
        [("Origin", "http://127.0.0.1:1"), ("X-None", "")],
        [("Origin", &near), ("X-None", "")],
        [("Origin", "null"), ("X-None", "")],
        [("Sec-Fetch-Site", "cross-site"), ("X-None", "")],
        [("Sec-Fetch-Site", "same-site"), ("Origin", &origin)],
        [("X-Forwarded-For", "203.0.113.9"), ("X-None", "")],
        [("Forwarded", "for=203.0.113.9"), ("X-None", "")],
        [("Via", "1.1 proxy"), ("X-None", "")],
    ] {
        let (status, said) = dev_sign_in(&address, "ann", &headers).await;
        assert_eq!((status, said["UserSig"].as_str()), (403, None), "{headers:?}: {said}");
        assert!(!said["detail"].as_str().unwrap().is_empty());
    }

    // Another machine is known by its address: here by this machine's own, which is not loopback's.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    if probe.connect("192.0.2.1:9").is_ok() {
        let outside = format!("{}:{port}", probe.local_addr().unwrap().ip());
        let (status, said) = dev_sign_in(&outside, "ann", &[("Host", &address)]).await;
        assert_eq!((status, said["UserSig"].as_str()), (403, None), "{said}");
    }

    // Whoever may call the REST API has a key to sign with; and a name is checked like any other.
    let (status, said) = dev_sign_in(&address, ADMIN, &[]).await;
    assert_eq!(status, 403);
    assert!(said["detail"].as_str().unwrap().contains("roomful usersig"), "{said}");
    assert_eq!(dev_sign_in(&address, &"a".repeat(33), &[]).await.0, 400);
    let simple =
        reqwest::Client::new().post(format!("http://{address}/dev/sign-in")).body(r#"{"UserId":"ann"}"#);
    assert_eq!(simple.send().await.unwrap().status(), 415, "what a page may send without being asked");
}

#[tokio::test]
async fn what_is_wrong_with_the_configuration_is_said() {
    let data = TempDir::new().unwrap();
    let run = |environment: &[(&str, &str)]| {
        let mut command = Command::new(BINARY);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data.path());
        stderr(&command.envs(environment.iter().copied()).output().unwrap())
    };

    assert!(run(&[("ROOMFUL_LIMITS__CALL_PER_SECOND", "1")]).contains("ROOMFUL_LIMITS__CALLS_PER_SECOND"));
    assert!(run(&[("ROOMFUL_PRESENCE__RESUME_GRACE", "30s")]).contains("presence.allow_slow"));
    assert!(run(&[("ROOMFUL_TLS__CERT", "a")]).contains("tls.key"));
    let wrong = run(&[("ROOMFUL_LIMITS__CONNECTIONS", "many")]);
    assert!(
        wrong.contains(r#"ROOMFUL_LIMITS__CONNECTIONS is "many"; it must be a whole number from 0 to"#),
        "{wrong}"
    );

    // What is no text is refused where it is ours, and nothing to us where it is not.
    let no_text = |name: &str| {
        let mut command = Command::new(BINARY);
        command.args(["app", "list", "--data"]).arg(data.path()).env(name, OsStr::from_bytes(b"\xff"));
        command.output().unwrap()
    };
    assert!(stderr(&no_text("ROOMFUL_LOG__LEVEL")).contains("ROOMFUL_LOG__LEVEL is no UTF-8"));
    let said = String::from_utf8(no_text("OTHER").stderr).unwrap();
    assert!(!said.contains("UTF-8") && !said.contains("panicked"), "{said}");

    let server = Server::on(Arc::new(data), Vec::new()).await;
    let second = cli_on(server.data.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert!(stderr(&second).contains("another roomful serves"));
}

#[tokio::test]
async fn tls_by_certificate_files() {
    let folder = TempDir::new().unwrap();
    let (cert, key) = harness::certificate(folder.path());
    let server = Server::with(&[
        ("ROOMFUL_TLS__CERT", cert.to_str().unwrap()),
        ("ROOMFUL_TLS__KEY", key.to_str().unwrap()),
    ])
    .await;

    let port = server.address.rsplit(':').next().unwrap();
    let url = format!("https://localhost:{port}/readyz");
    let resolve = format!("localhost:{port}:127.0.0.1");
    let curl = |extra: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "--resolve", &resolve, "--cacert"])
            .arg(&cert)
            .args(extra)
            .arg(&url)
            .output()
            .unwrap()
    };
    assert_eq!(stdout(&curl(&[])), "ready\n");
    assert_eq!(stdout(&curl(&["--tls-max", "1.2"])), "ready\n");
}

#[tokio::test]
async fn metrics_and_health_are_shown() {
    let server = Server::start().await;
    server.create_room("r").await;
    let _ann = server.enter("ann", "r").await;
    server.live("get_room_info", json!({"RoomId": "nowhere"})).await;
    server.members("r").await;

    assert_eq!(server.get("/healthz").await.0, 200);
    assert_eq!(server.get("/readyz").await.0, 200);
    let metrics = server.metrics().await;
    for line in [
        "roomful_rooms 1",
        "roomful_members 1",
        "roomful_sessions 1",
        r#"roomful_requests_total{service="live_engine_http_srv",command="get_room_info",code="100004"} 1"#,
        r#"roomful_requests_total{service="live_engine_http_srv",command="get_member_list",code="0"} 1"#,
        r#"roomful_gateway_requests_total{command="enter_room",code="0"} 1"#,
        "roomful_request_seconds_bucket",
        "roomful_store_commit_seconds_count",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn a_backup_of_the_running_server_can_be_served() {
    let server = Server::start().await;
    server.create_room("kept").await;
    let copy = TempDir::new().unwrap();
    let file = copy.path().join(store::FILE_NAME);

    stdout(&server.cli(&["backup", file.to_str().unwrap()]));

    server.create_room("later").await;
    assert!(stderr(&server.cli(&["backup", file.to_str().unwrap()])).contains("never overwrites"));
    let restored = Server::on(Arc::new(copy), Vec::new()).await;
    assert_eq!(restored.live("get_room_info", json!({"RoomId": "kept"})).await["ErrorCode"], 0);
    assert_eq!(restored.live("get_room_info", json!({"RoomId": "later"})).await["ErrorCode"], 100_004);
}

#[tokio::test]
async fn a_full_disk_refuses_changes_and_heals() {
    let disk = SmallDisk::mount();
    let data = Arc::new(TempDir::new_in(disk.path()).unwrap());
    let limits = vec![("ROOMFUL_LIMITS__CALLS_PER_SECOND".to_string(), "0".to_string())];
    let server = Server::on(data, limits).await;
    server.create_room("kept").await;
    let mut ann = server.enter("ann", "kept").await;
    let room =
        |id: String| json!({"RoomInfo": {"RoomId": id, "RoomType": "Live", "CustomInfo": "x".repeat(2000)}});

    let ballast = disk.fill();
    let mut refused = None;
    for number in 0..200 {
        let answer = server.live("create_room", room(format!("full{number}"))).await;
        if answer["ErrorCode"] != 0 {
            refused = Some((number, answer));
            break;
        }
    }
    let (number, answer) = refused.expect("a full disk has to be noticed");
    assert_eq!(answer["ErrorCode"], 100_001);
    assert!(answer["ErrorInfo"].as_str().unwrap().contains("full"), "{answer}");
    assert_eq!(
        server.live("get_room_info", json!({"RoomId": format!("full{number}")})).await["ErrorCode"],
        100_004
    );
    assert_eq!(server.members("kept").await.0, ["ann"]);
    ann.call("leave_room", json!({"RoomId": "kept"})).await;
    assert_eq!(ann.call("enter_room", json!({"RoomId": "kept"})).await["ErrorCode"], 0, "presence goes on");
    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(server.live("create_room", room("healed".into())).await["ErrorCode"], 0);

    assert_eq!(server.live("create_room", room("again".into())).await["ErrorCode"], 0);
    drop(server);
}

#[tokio::test]
async fn sigterm_finishes_what_was_accepted_and_exits_zero() {
    let mut server = Server::start().await;
    server.create_room("r").await;
    let mut members = Vec::new();
    for number in 0..50 {
        members.push(server.enter(&format!("u{number}"), "r").await);
    }
    let (code, took) = server.terminate().await;

    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    for member in &mut members {
        assert_eq!(member.event("reconnect").await["After"], 1000);
    }
}
