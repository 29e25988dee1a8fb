//! Who may connect, and what a connection may cost: memory before a signature, deadlines, files, addresses.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::SinkExt as _;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{ADMIN, Client, Server};

const NOTICE: Duration = Duration::from_secs(10);

const MIB: usize = 1024 * 1024;

const CONNECTIONS: usize = 400;

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(&server.address).await.unwrap()
}

/// What comes until the server closes.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(NOTICE, read).await.expect("the server does not close");
    String::from_utf8_lossy(&answer).into_owned()
}

/// What comes until an answer has ended in `end`.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&answer).contains(end) {
            if stream.read_buf(&mut answer).await.unwrap_or_default() == 0 {
                break;
            }
        }
    };
    tokio::time::timeout(NOTICE, reading).await.expect("no answer");
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(target: &str, length: usize) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
}

/// The path and query of a signed call.
fn target(server: &Server, command: &str) -> String {
    let url = server.url(&format!("live_engine_http_srv/{command}"));
    url.split_once(&server.address).unwrap().1.to_string()
}

fn code(answer: &str) -> Option<u64> {
    let json: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    json["ErrorCode"].as_u64()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_authorised_buys_no_memory_with_bodies() {
    let server = Server::start().await;
    let before = server.peak_memory();
    let head = post("/v4/live_engine_http_srv/get_member_list?sdkappid=1", MIB);
    let held = join_all((0..CONNECTIONS).map(|_| async {
        let mut stream = connect(&server).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; MIB - 1]).await.unwrap();
        stream
    }))
    .await;
    let grown = (server.peak_memory() - before) as usize;

    let answers = join_all(held.into_iter().map(|mut stream| async move {
        stream.write_all(b" ").await.unwrap();
        read_until(&mut stream, "}").await
    }))
    .await;
    assert!(answers.iter().all(|answer| code(answer) == Some(60004)), "{}", answers[0]);
    assert!(grown < 64 * MIB, "{} MiB for {CONNECTIONS} connections", grown / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_bounded_and_who_sends_more_is_told() {
    let server = Server::start().await;
    let before = server.peak_memory();
    let head = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nPad: {}", "x".repeat(360 * 1024));
    let answers = join_all((0..CONNECTIONS).map(|_| async {
        let mut stream = connect(&server).await;
        let _ = stream.write_all(head.as_bytes()).await;
        stream
    }))
    .await;
    let grown = (server.peak_memory() - before) as usize;

    assert!(grown < 64 * MIB, "{} MiB for {CONNECTIONS} connections", grown / MIB);
    for mut stream in answers {
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let mut stream = connect(&server).await;
    let many: String = (0..101).map(|number| format!("h{number}: x\r\n")).collect();
    stream.write_all(format!("GET /healthz HTTP/1.1\r\n{many}\r\n").as_bytes()).await.unwrap();
    assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 431 "));
}

/// RFC 9112 3.2: whatever is asked for, before anything else of it is looked at.
#[tokio::test]
async fn a_request_names_one_host() {
    let server = Server::with(&[("ROOMFUL_METRICS__TOKEN", "north")]).await;
    server.create_room("r").await;
    let called = target(&server, "get_member_list");
    let asked = [
        ("GET", "/healthz"),
        ("GET", "/"),
        ("GET", "/metrics"),
        ("GET", "/nowhere"),
        ("GET", "/v1/connect"),
        ("POST", "/v1/leave"),
        ("GET", "/openapi.json"),
        ("GET", "/sdk/roomful-client.js"),
        ("POST", called.as_str()),
        ("POST", "/v4/nothing"),
        ("GET", "/whip/r"),
        ("POST", "/whip/r/"),
        ("DELETE", "/whep/r/0123"),
        ("OPTIONS", "/whep/r"),
    ];
    let hosts = [
        ("HTTP/1.1", "", true),
        ("HTTP/1.1", "Host: a\r\nHost: b\r\n", true),
        ("HTTP/1.1", "Host: ann@a\r\n", true),
        ("HTTP/1.0", "Host: a\r\nHost: a\r\n", true),
        ("HTTP/1.0", "", false),
        ("HTTP/1.1", "Host:\r\n", false),
        ("HTTP/1.1", "Host: a\r\n", false),
    ];
    for (method, path) in asked {
        for (version, hosts, is_refused) in hosts {
            let mut stream = connect(&server).await;
            let body = r#"{"RoomId":"r","Next":""}"#;
            let head = format!("{method} {path} {version}\r\n{hosts}Content-Length: {}\r\n", body.len());
            let request = format!("{head}Connection: close\r\n\r\n{body}");
            stream.write_all(request.as_bytes()).await.unwrap();
            let answer = read_to_end(&mut stream).await;
            let is_it = answer.split(' ').nth(1) == Some("400") && answer.contains("Host header");
            assert_eq!(is_it, is_refused, "{method} {path} {version} {hosts:?}: {answer}");
            if is_refused {
                let lower = answer.to_lowercase();
                for header in ["content-type: application/problem+json", "access-control-allow-origin: *"] {
                    assert!(lower.contains(header), "{method} {path}: {answer}");
                }
            }
        }
    }
    // What comes behind such a request is no request.
    let mut stream = connect(&server).await;
    let two = "GET /healthz HTTP/1.1\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.write_all(two.as_bytes()).await.unwrap();
    assert_eq!(read_to_end(&mut stream).await.matches("HTTP/1.1 ").count(), 1);
}

/// Calls are read off the connection as they are, with anything else it becomes another server's: nothing may be lost or
/// answered twice on the way.
#[tokio::test]
async fn calls_and_other_requests_share_a_connection_in_any_order() {
    let server = Server::start().await;
    server.create_room("r").await;
    let body = r#"{"RoomId":"r"}"#;
    let call = post(&target(&server, "get_member_list"), body.len()) + body;
    let (head, _) = call.split_once("Content-Length").unwrap();
    let chunked = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n5\r\n{}\r\n9\r\n{}\r\n0\r\n\r\n",
        &body[..5],
        &body[5..]
    );
    let other = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    for requests in [
        vec![call.as_str(), &call, &call],
        vec![&call, other, &call],
        vec![other, &call, other],
        vec![&call, &chunked, &call, other],
    ] {
        // All at once, and byte by byte.
        for pieces in [usize::MAX, 1, 700] {
            let mut stream = connect(&server).await;
            for piece in requests.concat().as_bytes().chunks(pieces.min(1 << 20)) {
                stream.write_all(piece).await.unwrap();
                if pieces < 1000 {
                    tokio::task::yield_now().await;
                }
            }
            let is_last = format!("{head}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}");
            stream.write_all(is_last.as_bytes()).await.unwrap();
            let answers = read_to_end(&mut stream).await;
            let answers: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).collect();
            assert_eq!(answers.len(), requests.len() + 1, "{answers:?}");
            for (request, answer) in requests.iter().zip(&answers) {
                let is_it = match *request == other {
                    true => answer.ends_with("\r\n\r\nok\n"),
                    false => answer.contains("\"ErrorCode\":0,") && answer.ends_with("\"MemberList\":[]}}"),
                };
                assert!(is_it && answer.starts_with("200 OK\r\n"), "{request}: {answer}");
                assert!(answer.contains("x-content-type-options: nosniff\r\n"), "{answer}");
            }
        }
    }
}

#[tokio::test]
async fn what_one_was_let_in_by_is_looked_at_with_each_call() {
    let server = Server::start().await;
    server.create_room("r").await;
    let body = r#"{"RoomId":"r"}"#;
    let request = |target: &str| post(target, body.len()) + body;
    let own = target(&server, "get_member_list");
    let with_sig = |sig: &str| {
        let (before, rest) = own.split_once("usersig=").unwrap();
        let (_, after) = rest.split_once('&').unwrap();
        format!("{before}usersig={sig}&{after}")
    };
    let short_lived = with_sig(&server.sig_for(ADMIN, 2));
    let (mut ends, mut kept) = (connect(&server).await, connect(&server).await);
    ends.write_all(request(&short_lived).as_bytes()).await.unwrap();
    assert_eq!(code(&read_until(&mut ends, "}}").await), Some(0));
    let deadline = Instant::now() + NOTICE;
    let refused = loop {
        ends.write_all(request(&short_lived).as_bytes()).await.unwrap();
        match code(&read_until(&mut ends, "}").await) {
            Some(0) => assert!(Instant::now() < deadline, "it does not end"),
            code => break code,
        }
    };
    assert_eq!(refused, Some(70001));
    // Another's name, or another's UserSig, on the connection of one who was let in.
    for (target, expected) in [
        (own.clone(), 0),
        (own.replace("identifier=administrator", "identifier=ann"), 70013),
        (with_sig("eJw_"), 70003),
        (own.replace(&format!("sdkappid={}", server.app), "sdkappid=1"), 70020),
        (own.clone(), 0),
        // Nothing but that number may be another.
        (own.replace("random=7", "random=4294967295"), 0),
        (own.replace("random=7", "random=2").replace("get_member_list", "no_command"), 60009),
        (
            own.replace("random=7", "random=3").replace("identifier=", "random=1&identifier=ann&identifier="),
            70013,
        ),
        (own.replace("random=7", "random=4"), 0),
    ] {
        kept.write_all(request(&target).as_bytes()).await.unwrap();
        let answer = read_until(&mut kept, "}").await;
        assert!(answer.contains(&format!("\"ErrorCode\":{expected},")), "{target}: {answer}");
    }

    server.cli(&["app", "rotate-key", &server.app.to_string()]);
    kept.write_all(request(&own).as_bytes()).await.unwrap();

    assert_eq!(code(&read_until(&mut kept, "}").await), Some(70009));
}

#[tokio::test]
async fn a_refused_caller_gets_its_answer() {
    let server = Server::start().await;
    server.create_room("r").await;
    let mut stream = connect(&server).await;
    let body = format!(r#"{{"RoomId":"r","pad":"{}"}}"#, "x".repeat(500_000));
    for (target, expected) in [
        ("/v4/live_engine_http_srv/get_member_list".to_string(), 60012),
        ("/v4/live_engine_http_srv/fly".to_string(), 60009),
        (target(&server, "get_member_list"), 0),
    ] {
        stream.write_all((post(&target, body.len()) + &body).as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, "}").await;
        assert!(answer.contains(&format!("\"ErrorCode\":{expected},")), "{answer}");
    }
    let mut stream = connect(&server).await;
    stream.write_all((post("/whip/r", body.len()) + &body).as_bytes()).await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("70002"), "{answer}");
}

#[tokio::test]
async fn a_body_that_comes_late_is_of_one_who_may_still_call() {
    let server = Server::start().await;
    server.create_room("r").await;
    let body = r#"{"RoomId":"r"}"#;
    let mut stream = connect(&server).await;
    stream.write_all(post(&target(&server, "get_room_info"), body.len()).as_bytes()).await.unwrap();
    // Another's whole call after it, so that the head has been read.
    server.members("r").await;

    server.cli(&["app", "rotate-key", &server.app.to_string()]);
    stream.write_all(body.as_bytes()).await.unwrap();

    assert_eq!(code(&read_until(&mut stream, "}").await), Some(70009));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_one_app_are_bounded_together() {
    let server = Server::start().await;
    server.create_room("r").await;
    let before = server.peak_memory();
    let head = post(&target(&server, "get_member_list"), MIB);
    let held = join_all((0..100).map(|_| async {
        let mut stream = connect(&server).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; MIB - 2]).await.unwrap();
        stream
    }))
    .await;
    let deadline = Instant::now() + NOTICE;
    // All of it is read, as far as it may be.
    while server.metric("roomful_body_budget_bytes").await.unwrap() > (256 - 63) as f64 * MIB as f64 {
        assert!(Instant::now() < deadline, "what one app may hold is not held");
    }
    let grown = (server.peak_memory() - before) as usize;
    assert_eq!(server.members("r").await.1, 0, "a call of usual length goes through");

    let answers = join_all(held.into_iter().map(|mut stream| async move {
        stream.write_all(b"{}").await.unwrap();
        code(&read_until(&mut stream, "}").await)
    }))
    .await;
    let refused = answers.iter().filter(|code| **code == Some(60007)).count();
    let carried_out = answers.iter().filter(|code| **code == Some(100_002)).count();
    assert_eq!(refused + carried_out, 100, "{answers:?}");
    // Fewer than do not fit at once, since what is answered makes room.
    assert!((1..=60).contains(&refused), "{refused} of 100 MiB were refused");
    // A body that grows is moved, and where it was is free for the next only a moment later.
    assert!(grown < 200 * MIB, "{} MiB", grown / MIB);
    let mut stream = connect(&server).await;
    let body = format!(r#"{{"RoomId":"r","pad":"{}"}}"#, "x".repeat(500_000));
    let call = post(&target(&server, "get_member_list"), body.len()) + &body;
    stream.write_all(call.as_bytes()).await.unwrap();
    assert!(read_until(&mut stream, "}").await.contains("\"ErrorCode\":0,"), "there is room again");
}

#[tokio::test]
async fn before_its_login_a_connection_may_say_little() {
    let server = Server::start().await;
    for (length, expected) in [(7_000, None), (9_000, Some(1009)), (60_000, Some(1009))] {
        let mut client = server.connect().await;
        let frame = json!({"id": 1, "command": "x", "pad": "x".repeat(length)}).to_string();
        let _ = client.socket.send(Message::text(frame)).await;
        match expected {
            None => assert_eq!(client.read().await.unwrap()["ErrorCode"], 60004),
            status => assert_eq!(client.closed().await, status, "{length}"),
        }
    }
    // Each answered frame begins anew.
    let mut client = server.connect().await;
    for _ in 0..10 {
        let answer = client.call("x", json!({"pad": "x".repeat(5_000)})).await;
        assert_eq!(answer["ErrorCode"], 60004);
    }
}

#[tokio::test]
async fn connections_are_bounded_and_who_is_too_many_is_told() {
    let server = Server::with(&[("ROOMFUL_LIMITS__CONNECTIONS", "20")]).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(server.connect().await);
    }
    let mut stream = connect(&server).await;
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: "), "{answer}");
    assert_eq!(server.metric("roomful_connections").await, Some(20.0), "the operator's socket works");
    assert_eq!(
        server.metric(r#"roomful_connections_refused_total{limit="limits.connections"}"#).await,
        Some(1.0)
    );

    held.pop().unwrap().close().await;

    let deadline = Instant::now() + NOTICE;
    while server.metric("roomful_connections").await != Some(19.0) {
        assert!(Instant::now() < deadline, "the place is not free again");
    }
    assert_eq!(server.get("/healthz").await.0, 200);
}

#[tokio::test]
async fn connections_of_one_address_are_bounded_where_that_is_set() {
    let limits = [("ROOMFUL_LIMITS__CONNECTIONS_PER_ADDRESS", "5")];
    let server = Server::with(&limits).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(connect(&server).await);
    }
    let mut stream = connect(&server).await;
    assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 503 "));
    let other = TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(server.address.parse().unwrap()).await.unwrap();
    other.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let answer = read_until(&mut other, "ok").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "another address is another client: {answer}");
}

#[tokio::test]
async fn who_takes_its_time_is_not_waited_for() {
    let server = Server::start().await;
    server.create_room("r").await;
    let started = Instant::now();
    let reads_nothing = async {
        let mut stream = connect(&server).await;
        let asked = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(500);
        let (mut reader, mut writer) = stream.split();
        // The server stops reading when it cannot write.
        let writing = tokio::time::timeout(Duration::from_secs(40), writer.write_all(asked.as_bytes()));
        let _ = writing.await;
        tokio::time::sleep(Duration::from_secs(40).saturating_sub(started.elapsed())).await;
        let mut answers = Vec::new();
        let _ =
            tokio::time::timeout(NOTICE, reader.read_to_end(&mut answers)).await.expect("it is held open");
        String::from_utf8_lossy(&answers).matches("HTTP/1.1 200").count()
    };
    let sends_no_offer = async {
        let mut stream = connect(&server).await;
        let sig = server.sig("ann");
        let head = format!(
            "POST /whip/r HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sig}\r\nContent-Type: application/sdp\r\n\
             Content-Length: 100\r\n\r\nv=0"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 1024];
        let length = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut answer)).await;
        String::from_utf8_lossy(&answer[..length.expect("it is waited for").unwrap()]).into_owned()
    };
    let asks_no_more = async {
        let mut stream = connect(&server).await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        read_until(&mut stream, "ok").await;
        let asked = Instant::now();
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(90), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "a connection on which nothing is asked stays");
        asked.elapsed()
    };
    // It has nothing to say in the end, but its place must be free.
    let drips_answers = async {
        let mut stream = connect(&server).await;
        let asked = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
        stream.write_all(asked.as_bytes()).await.unwrap();
        while started.elapsed() < Duration::from_secs(60) && stream.read_u8().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        stream
    };
    let drips_a_head = async {
        let mut stream = connect(&server).await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
        while stream.write_all(b"x").await.is_ok() {
            assert!(started.elapsed() < Duration::from_secs(90), "a byte a second holds a place for ever");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };

    let (answered, whip, idle, (), _dripping) =
        tokio::join!(reads_nothing, sends_no_offer, asks_no_more, drips_a_head, drips_answers);

    assert!(answered < 500, "all {answered} answers were kept for one who did not read");
    assert!(whip.starts_with("HTTP/1.1 408 "), "{whip}");
    assert!((Duration::from_secs(50)..Duration::from_secs(80)).contains(&idle), "{idle:?}");
    let deadline = Instant::now() + NOTICE;
    while server.metric("roomful_connections").await != Some(0.0) {
        assert!(Instant::now() < deadline, "a place is still held");
    }
}

#[tokio::test]
async fn the_control_socket_outlives_a_time_without_files() {
    let mut server = Server::start().await;
    let process = server.process().id().to_string();
    let limit = |files: &str| {
        let limited =
            Command::new("prlimit").args(["--pid", &process, &format!("--nofile={files}")]).status();
        assert!(limited.unwrap().success());
    };
    limit("8:4096");
    // Both wait to be accepted.
    let control = server.metrics();
    let client = server.get("/healthz");
    let both = async { tokio::join!(control, client) };
    let mut both = Box::pin(both);
    let early = tokio::time::timeout(Duration::from_secs(1), &mut both).await;
    assert!(early.is_err(), "there were files left");

    limit("4096:4096");

    let (metrics, (status, _)) = tokio::time::timeout(NOTICE, both).await.expect("a listener is dead");
    assert!(metrics.contains("roomful_rooms"));
    assert_eq!(status, 200);
    server.metrics().await;
}

#[tokio::test]
async fn a_log_that_cannot_be_written_fails_nobody() {
    let piped = |server: &mut Command| _ = server.stderr(Stdio::piped());
    let full = |server: &mut Command| {
        server.stderr(std::fs::File::options().write(true).open("/dev/full").unwrap());
    };
    let level = [("ROOMFUL_LOG__LEVEL", "debug"), ("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0")];
    let mut gone = Server::prepared(&level, piped).await;
    drop(gone.process().stderr.take());
    let stuck = Server::prepared(&level, piped).await;
    let full = Server::prepared(&level, full).await;
    for (what, mut server) in [("its reader is gone", gone), ("its reader is stuck", stuck), ("full", full)] {
        server.create_room("r").await;
        // More than a pipe holds.
        for _ in 0..1000 {
            let asked = tokio::time::timeout(NOTICE, server.members("r"));
            assert_eq!(asked.await.expect(what).1, 0);
        }
        let lost = server.metric("roomful_log_lost_total").await.unwrap_or_default();
        assert!(what == "its reader is stuck" || lost > 100.0, "{what}: {lost} lines were lost");
        let (status, took) = server.terminate().await;
        assert_eq!(status, Some(0), "{what}");
        assert!(took < NOTICE, "{what}: {took:?}");
    }
}

#[tokio::test]
async fn the_last_lines_of_the_log_are_written() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let file = log.reopen().unwrap();
    let level = [("ROOMFUL_LOG__LEVEL", "info")];
    let mut server = Server::prepared(&level, |server| _ = server.stderr(file)).await;

    assert_eq!(server.terminate().await.0, Some(0));

    assert!(std::fs::read_to_string(log.path()).unwrap().trim_end().ends_with("stopped"));
}

#[tokio::test]
async fn no_credential_is_written_to_a_journal() {
    let data = tempfile::TempDir::new().unwrap();
    let out = tempfile::NamedTempFile::new().unwrap();
    let file = out.reopen().unwrap();
    let mut child = Command::new(crate::harness::BINARY)
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + NOTICE;
    let text = loop {
        let text = std::fs::read_to_string(out.path()).unwrap();
        if text.contains("Open the page:") {
            break text;
        }
        assert!(Instant::now() < deadline, "{text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    child.kill().unwrap();
    child.wait().unwrap();

    assert!(!text.contains("usersig=") && !text.contains("eJ"), "{text}");
}

#[tokio::test]
async fn a_hang_up_drains_and_a_second_signal_does_not_wait() {
    for signal in ["HUP", "QUIT", "TERM", "INT"] {
        let mut server = Server::start().await;
        server.create_room("r").await;
        let mut ann = server.enter("ann", "r").await;

        server.signal(signal);

        assert_eq!(ann.event("reconnect").await["After"], 1000, "{signal}");
        assert_eq!(server.exited().await, Some(0), "{signal}");
    }

    let mut server = Server::start().await;
    let mut ann = server.log_in("ann").await;
    // What is on its way is waited for: a body that does not come.
    let mut stream = connect(&server).await;
    stream.write_all(post(&target(&server, "get_member_list"), 100).as_bytes()).await.unwrap();
    server.get("/healthz").await;
    let started = Instant::now();
    server.signal("TERM");
    ann.event("reconnect").await;

    server.signal("TERM");

    assert_eq!(server.exited().await, Some(1));
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

/// In whatever form it comes, and whoever reads it.
#[tokio::test]
async fn a_request_that_has_begun_is_answered_though_the_server_drains() {
    let server = Server::start().await;
    let mut ann = server.log_in("ann").await;
    let mut stream = connect(&server).await;
    let target = target(&server, "get_member_list");
    stream.write_all(format!("POST {target} HTTP/1.1\r\nHost: x\r\n").as_bytes()).await.unwrap();
    // So that this has been read.
    server.get("/healthz").await;
    server.signal("TERM");
    ann.event("reconnect").await;

    stream.write_all(b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n").await.unwrap();

    let answer = read_until(&mut stream, "}").await;
    assert!(code(&answer).is_some(), "{answer}");
}

#[tokio::test]
async fn a_broken_frame_is_told_and_its_sender_may_resume() {
    let server = Server::start().await;
    server.create_room("r").await;
    // Reserved bits, a reserved opcode, a fragmented ping, a continuation of nothing, and no mask.
    for frame in [
        &[0xF1, 0x80, 0, 0, 0, 0][..],
        &[0x83, 0x80, 0, 0, 0, 0],
        &[0x09, 0x80, 0, 0, 0, 0],
        &[0x80, 0x80, 0, 0, 0, 0],
        &[0x81, 0x02, b'{', b'}'],
    ] {
        let mut ann = server.enter("ann", "r").await;
        raw(&mut ann).write_all(frame).await.unwrap();

        assert_eq!(ann.closed().await, Some(1002), "{frame:x?}");
        assert_eq!(server.members("r").await.0, ["ann"]);
        let mut again = server.connect().await;
        let resumed = again.call("login", json!({"ResumeToken": ann.resume_token})).await;
        assert_eq!(resumed["ErrorCode"], 0, "{resumed}");
        again.close().await;
    }
}

/// The stream below a client.
fn raw(client: &mut Client) -> &mut TcpStream {
    match client.socket.get_mut() {
        tokio_tungstenite::MaybeTlsStream::Plain(stream) => stream,
        _ => panic!("no plain stream"),
    }
}

#[tokio::test]
async fn every_answer_says_what_it_is() {
    let server = Server::start().await;
    server.create_room("r").await;
    let http = reqwest::Client::new();
    let base = format!("http://{}", server.address);
    let calls = [
        http.get(format!("{base}/")),
        http.get(format!("{base}/page/page.js")),
        http.get(format!("{base}/sdk/roomful-client.js")),
        http.get(format!("{base}/sdk/roomful-client.umd.js")),
        http.get(format!("{base}/openapi.json")),
        http.get(format!("{base}/healthz")),
        http.get(format!("{base}/nowhere")),
        http.get(format!("{base}/v1/connect")),
        http.post(format!("{base}/whip/r")).body("x"),
        http.post(format!("{base}/v4/live_engine_http_srv/fly")).body("{}"),
        http.post(server.url("live_engine_http_srv/get_member_list")).body(r#"{"RoomId":"r"}"#),
    ];
    for call in calls {
        let answer = call.send().await.unwrap();
        let header = answer.headers().get("x-content-type-options");
        assert_eq!(header.map(|value| value.as_bytes()), Some(&b"nosniff"[..]), "{}", answer.url());
    }
    for (path, policy) in [
        ("/", "same-origin"),
        ("/page/page.css", "same-origin"),
        ("/sdk/roomful-client.js", "cross-origin"),
        ("/sdk/roomful-client.umd.js", "cross-origin"),
    ] {
        let answer = http.get(format!("{base}{path}")).send().await.unwrap();
        assert_eq!(answer.headers()["cross-origin-resource-policy"], policy, "{path}");
        assert_eq!(answer.headers()["referrer-policy"], "no-referrer", "{path}");
    }
    for (host, own) in [("a.example:1", " ws://a.example:1 wss://a.example:1"), ("a.example;script-src", "")]
    {
        let answer = http.get(format!("{base}/")).header("Host", host).send().await.unwrap();
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{policy}");
        assert!(policy.ends_with(&format!("; connect-src 'self'{own}")), "{host}: {policy}");
    }
}

#[tokio::test]
async fn the_client_and_its_plugins_are_sent_compressed_and_only_when_they_are_new() {
    let server = Server::start().await;
    let http = reqwest::Client::new();
    let base = format!("http://{}/sdk", server.address);
    for (name, kind) in [
        ("roomful-client.js", "text/javascript; charset=utf-8"),
        ("roomful-client.umd.js", "text/javascript; charset=utf-8"),
        ("plugins/watermark.js", "text/javascript; charset=utf-8"),
        ("plugins/ai-denoiser/rnnoise_simd.wasm", "application/wasm"),
        ("plugins/virtual-background/selfie_segmentation_landscape.tflite", "application/octet-stream"),
    ] {
        let plain = http.get(format!("{base}/{name}")).send().await.unwrap();
        assert_eq!(plain.status(), 200, "{name}");
        assert_eq!(plain.headers()["content-type"], kind, "{name}");
        assert_eq!(plain.headers()["access-control-allow-origin"], "*", "{name}");
        let tag = plain.headers()["etag"].clone();
        let plain = plain.bytes().await.unwrap();

        let packed =
            http.get(format!("{base}/{name}")).header("accept-encoding", "br, gzip").send().await.unwrap();
        assert_eq!(packed.headers()["content-encoding"], "gzip", "{name}");
        let packed = packed.bytes().await.unwrap();
        let unpacked = miniz_oxide::inflate::decompress_to_vec(&packed[10..packed.len() - 8]).unwrap();
        assert!(unpacked == plain, "{name} is another file");

        let again = http.get(format!("{base}/{name}")).header("if-none-match", tag).send().await.unwrap();
        assert_eq!((again.status().as_u16(), again.bytes().await.unwrap().len()), (304, 0), "{name}");
    }
    for nothing in ["plugins/none.js", "plugins/..%2f..%2findex.d.ts", "served", ""] {
        assert_eq!(http.get(format!("{base}/{nothing}")).send().await.unwrap().status(), 404, "{nothing}");
    }
}

#[tokio::test]
async fn metrics_are_not_for_everyone() {
    let server = Server::start().await;
    let (status, text) = server.get("/metrics").await;
    assert_eq!(status, 404);
    assert!(!text.contains("roomful_"), "{text}");
    assert!(server.metrics().await.contains("roomful_rooms"), "the control socket has them");

    let server =
        Server::with(&[("ROOMFUL_METRICS__TOKEN", "secret"), ("ROOMFUL_METRICS__LISTEN", "127.0.0.1:0")])
            .await;
    let http = reqwest::Client::new();
    let ask = |token: &str| {
        let call = http.get(format!("http://{}/metrics", server.address));
        let call = if token.is_empty() { call } else { call.bearer_auth(token) };
        async { call.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(
        (ask("").await, ask("secre").await, ask("secrets").await, ask("secret").await),
        (401, 401, 401, 200)
    );
}

#[tokio::test]
async fn metrics_have_an_address_of_their_own() {
    // Some port that is free now.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let server = Server::with(&[("ROOMFUL_METRICS__LISTEN", &address)]).await;

    let answer = reqwest::get(format!("http://{address}/metrics")).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("roomful_rooms"));
    assert_eq!(reqwest::get(format!("http://{address}/healthz")).await.unwrap().status(), 404);
    assert_eq!(server.get("/metrics").await.0, 404);
}

const QUICK: &[(&str, &str)] = &[
    ("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"),
    ("ROOMFUL_PRESENCE__PING_INTERVAL", "300ms"),
    ("ROOMFUL_PRESENCE__SILENT_TIMEOUT", "1s"),
    ("ROOMFUL_PRESENCE__RESUME_GRACE", "1s"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_time_in_which_the_server_stood_still_is_nobodys_silence() {
    let server = Server::with(QUICK).await;
    server.create_room("r").await;
    let mut clients = Vec::new();
    for number in 0..20 {
        let mut client = server.enter(&format!("u{number}"), "r").await;
        // Reads, and so answers pings, until the server closes.
        clients.push(tokio::spawn(async move { (client.closed().await, client) }));
    }
    let lost = server.enter("lost", "r").await;
    let token = lost.resume_token.clone();
    lost.cut();

    server.signal("STOP");
    tokio::time::sleep(Duration::from_secs(4)).await;
    server.signal("CONT");

    let mut back = server.connect().await;
    let resumed = back.call("login", json!({"ResumeToken": token})).await;
    assert_eq!(resumed["ErrorCode"], 0, "its grace was over before it could come: {resumed}");
    assert_eq!(server.members("r").await.1, 21);
    // As long as whoever is silent is listed.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    drop(back);
    for client in &clients {
        assert!(!client.is_finished(), "a client was closed as silent");
    }
    let (listed, _) = server.members("r").await;
    assert_eq!(listed.iter().filter(|name| name.starts_with('u')).count(), 20, "{listed:?}");
}

#[tokio::test]
async fn little_is_kept_by_the_system_for_who_does_not_read() {
    let server = Server::start().await;
    let port: u16 = server.address.rsplit(':').next().unwrap().parse().unwrap();
    let mut deaf = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(&server).await;
        let ask = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(300);
        stream.write_all(ask.as_bytes()).await.unwrap();
        deaf.push(stream);
    }
    let unsent = || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let own = format!(":{port:04X}");
        let queues = table.lines().skip(1).filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let queue = fields[4].split(':').next().unwrap();
            fields[1].ends_with(&own).then(|| u64::from_str_radix(queue, 16).unwrap())
        });
        queues.collect::<Vec<_>>()
    };
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let unsent = unsent();
        assert!(unsent.len() > deaf.len(), "{unsent:?}");
        assert!(unsent.iter().all(|bytes| *bytes < 600_000), "{unsent:?}");
    }
    assert!(unsent().iter().filter(|bytes| **bytes > 50_000).count() >= deaf.len(), "nothing was asked");
}
