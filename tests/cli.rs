//! The command line against the real server: rooms, members, messages, `top`, `doctor`, `load-test`, what it prints on terminals and
//! in pipes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use harness::{BINARY, Server, certificate};
use serde_json::{Value, json};
use tempfile::TempDir;

fn stdout(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn stderr(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a command prints as JSON.
fn said(server: &Server, arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout(&server.cli(&[arguments, &["--json"]].concat()))).unwrap()
}

/// What a command prints on a terminal of so many columns.
fn on_terminal(server: &Server, columns: usize, environment: &str, arguments: &str) -> Vec<String> {
    let data = server.data.path().display();
    let command =
        format!("stty cols {columns} rows 24; TERM=xterm {environment} {BINARY} {arguments} --data {data}");
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    stdout(&output).lines().map(|line| line.trim_end().to_string()).collect()
}

fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\x1b') {
        plain.push_str(before);
        rest = after.split_once(|letter: char| letter.is_ascii_alphabetic()).map_or("", |(_, rest)| rest);
    }
    plain + rest
}

#[tokio::test]
async fn rooms_are_made_looked_at_changed_listed_and_ended() {
    let server = Server::start().await;

    let made =
        said(&server, &["room", "create", "r", "--name", "one", "--owner", "ann", "--max-members", "7"]);
    assert_eq!(
        (&made["RoomName"], &made["Owner_Account"], &made["MaxMemberCount"], &made["RoomType"]),
        (&json!("one"), &json!("ann"), &json!(7), &json!("Live"))
    );
    let meeting =
        ["room", "create", "c", "--type", "Conference", "--password", "sesame", "--public", "false"];
    let meeting = said(&server, &meeting);
    assert_eq!(
        (&meeting["RoomType"], &meeting["IsPasswordEnabled"], &meeting["IsPublicVisible"]),
        (&json!("Conference"), &json!(true), &json!(false))
    );
    let update =
        ["room", "update", "c", "--notice", "at ten", "--password", "", "--set", "IsMessageDisabled=true"];
    let updated = said(&server, &update);
    assert_eq!(
        (&updated["Notice"], &updated["IsPasswordEnabled"], &updated["IsMessageDisabled"]),
        (&json!("at ten"), &json!(false), &json!(true))
    );
    assert_eq!(said(&server, &["room", "info", "c"])["Notice"], "at ten");
    assert!(stderr(&server.cli(&["room", "update", "c"])).contains("nothing to change"));
    assert!(
        stdout(&server.cli(&["room", "info", "r"]))
            .lines()
            .any(|line| line.starts_with("RoomName  ") && line.ends_with(" one"))
    );
    let list = said(&server, &["room", "list"]);
    assert_eq!((&list[0]["RoomId"], &list[1]["RoomId"]), (&json!("c"), &json!("r")));

    assert_eq!(stdout(&server.cli(&["room", "destroy", "r"])), "room r is over\n");
    assert!(said(&server, &["room", "destroy", "c"])["Statistic"].is_object());
    assert_eq!(said(&server, &["room", "list"]), json!([]));
    assert!(stderr(&server.cli(&["room", "info", "r"])).contains("100004"));
}

#[tokio::test]
async fn a_server_elsewhere_is_called_by_its_url_and_key() {
    let server = Server::start().await;
    server.create_room("shown").await;
    server.create_room_with("hidden", json!({"IsPublicVisible": false})).await;
    let apps = said(&server, &["app", "list"]);
    let key = apps[0]["secret_key"].as_str().unwrap();
    let url = format!("http://{}", server.address);
    // A folder that has no database.
    let elsewhere = TempDir::new().unwrap();
    let call_at = |url: &str, arguments: &[&str], key: &str| {
        let mut command = Command::new(BINARY);
        command.args(arguments).args(["--json", "--url", url, "--sdkappid", &server.app.to_string()]);
        command.arg("--data").arg(elsewhere.path()).env("ROOMFUL_KEY", key).output().unwrap()
    };
    let call = |arguments: &[&str], key: &str| call_at(&url, arguments, key);

    let rooms: Value = serde_json::from_str(&stdout(&call(&["room", "list"], key))).unwrap();
    assert_eq!((rooms.as_array().unwrap().len(), &rooms[0]["RoomId"]), (1, &json!("shown")));
    stdout(&call(&["send", "hidden", "hello", "--from", "ann"], key));
    assert_eq!(server.ok("get_room_statistic", json!({"RoomId": "hidden"})).await["TotalMsgCount"], 1);
    let wrong = "0".repeat(64);
    assert!(stderr(&call(&["room", "list"], &wrong)).contains("70009"));
    let secure = call_at(&url.replace("http", "https"), &["room", "list"], key);
    assert!(stderr(&secure).contains("begins with http://"), "{secure:?}");
}

#[tokio::test]
async fn members_are_listed_kicked_banned_silenced_and_seated() {
    let server = Server::start().await;
    server.create_room_with("r", json!({"SeatTemplate": "Karaoke"})).await;
    server.call("room_engine_http_srv/create_room", json!({"RoomInfo": {"RoomId": "c"}})).await;
    let mut ann = server.enter("ann", "r").await;
    let mut ben = server.enter("ben", "c").await;

    assert!(stdout(&server.cli(&["member", "list", "r"])).lines().any(|line| line == "       1  ann"));
    assert_eq!(said(&server, &["member", "list", "c"])["MemberList"], json!([{"Member_Account": "ben"}]));
    let seats = said(&server, &["member", "seat", "r", "ann", "--index", "2"]);
    assert_eq!(seats["SeatList"][2]["Member_Account"], "ann");
    let table = stdout(&server.cli(&["member", "seat", "r", "ann", "--off"]));
    assert!(table.starts_with("SEAT  MEMBER  LOCKED\n") && !table.contains("ann"), "{table}");
    assert_eq!(
        stdout(&server.cli(&["member", "mute", "r", "ann", "--for", "10m"])),
        "ann silenced for 10m in room r\n"
    );
    assert_eq!(ann.code("send_text_msg", json!({"RoomId": "r", "Text": "x"})).await, 100_017);
    stdout(&server.cli(&["member", "mute", "r", "ann", "--for", "0s"]));
    ann.ok("send_text_msg", json!({"RoomId": "r", "Text": "x"})).await;
    stdout(&server.cli(&["member", "kick", "r", "ann"]));
    assert_eq!(ann.event("room_closed").await["Cause"], "kicked");
    stdout(&server.cli(&["member", "ban", "c", "ben", "cat", "--for", "1h", "--reason", "spam"]));
    assert_eq!(ben.event("room_closed").await["Cause"], "banned");
    let banned = server.ok("room_engine_http_srv/get_banned_member_list", json!({"RoomId": "c"})).await;
    assert_eq!(banned["BannedAccountList"][1]["Reason"], "spam");
    stdout(&server.cli(&["member", "unban", "c", "ben"]));
    ben.ok("enter_room", json!({"RoomId": "c"})).await;
}

#[tokio::test]
async fn what_is_sent_is_heard() {
    let server = Server::start().await;
    server.create_room("r").await;
    let mut ann = server.enter("ann", "r").await;

    assert_eq!(
        stdout(&server.cli(&["send", "r", "hello", "--from", "desk"])),
        "sent as message 1 of room r\n"
    );
    assert_eq!(said(&server, &["send", "r", "again"])["Seq"], 2);

    let heard = ann.event("text_msg").await;
    assert_eq!((&heard["Text"], &heard["From_Account"]), (&json!("hello"), &json!("desk")));
}

#[tokio::test]
async fn top_shows_the_fullest_rooms_first_and_what_has_changed() {
    let server = Server::start().await;
    for room in ["a", "b"] {
        server.create_room(room).await;
    }
    let _ann = server.enter("ann", "b").await;

    let once = stdout(&server.cli(&["top"]));
    let lines: Vec<&str> = once.lines().collect();
    assert_eq!(lines[0], "2 rooms, 1 member");
    assert!(lines[3].trim_start().starts_with('1') && lines[3].contains(" b "), "{once}");

    let mut child = Command::new(BINARY);
    child.args(["top", "--json", "--count", "2", "--interval", "1500ms", "--data"]).arg(server.data.path());
    let child = child.stdout(Stdio::piped()).spawn().unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let _ben = server.enter("ben", "a").await;
    let _cat = server.enter("cat", "a").await;
    let looks = stdout(&child.wait_with_output().unwrap());
    let looks: Vec<Value> = looks.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&looks[0]["Members"], &looks[1]["Members"]), (&json!(1), &json!(3)));
    assert_eq!(looks[1]["RoomList"][0]["RoomId"], "a");

    let screen = on_terminal(&server, 80, "", "top --count 1");
    assert!(screen.iter().any(|line| line.contains("\x1b[2J")), "{screen:?}");
    // However narrow a terminal is, it is said which room it is.
    let narrow = on_terminal(&server, 20, "NO_COLOR=1", "top --count 1");
    assert!(narrow.iter().any(|line| line == "      2  a"), "{narrow:?}");
    for (nothing, reason) in [(["--count", "0"], "1.."), (["--interval", "0s"], "at least 100ms")] {
        let refused = stderr(&server.cli(&["top", nothing[0], nothing[1]]));
        assert!(refused.contains(reason), "{refused}");
    }
}

#[tokio::test]
async fn tables_fit_the_terminal_and_pipes_get_everything_without_colours() {
    let server = Server::start().await;
    let name = "a name that goes on and on ".repeat(3);
    server.import(&["owner-of-a-very-long-name"]).await;
    for number in 0..3 {
        let room = format!("a-room-with-a-long-id-as-apps-make-them-{number}");
        server
            .create_room_with(&room, json!({"RoomName": name, "Owner_Account": "owner-of-a-very-long-name"}))
            .await;
    }

    for columns in [80, 120] {
        for command in ["room list", "top --count 1", "webhook list --events", "app list", "doctor"] {
            let lines = on_terminal(&server, columns, "", command);
            let shown: Vec<String> = lines.iter().map(|line| plain(line)).collect();
            assert!(shown.iter().all(|line| line.chars().count() <= columns), "{columns}: {shown:#?}");
            assert!(lines.iter().any(|line| line.contains("\x1b[1m")), "{command}: heads stand out");
        }
        let shown = on_terminal(&server, columns, "NO_COLOR=1", "room list");
        assert!(shown.iter().all(|line| !line.contains('\x1b')), "{shown:?}");
        assert!(shown[1].contains("owner") && shown[1].ends_with('…'), "{shown:?}");
    }
    let piped = stdout(&server.cli(&["room", "list"]));
    assert!(piped.contains(name.trim_end()) && !piped.contains('\x1b'), "{piped}");
}

/// What `doctor` finds, by check.
fn findings(output: &Output) -> Vec<(String, String, String)> {
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_string();
    for finding in &all {
        assert_eq!(
            finding["state"] == "good",
            finding["remedy"] == "",
            "each trouble has a remedy: {finding}"
        );
    }
    all.iter()
        .map(|finding| (text(finding, "check"), text(finding, "state"), text(finding, "found")))
        .collect()
}

fn doctor(data: &std::path::Path, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(["doctor", "--json", "--data"]).arg(data).args(arguments);
    command.envs(environment.iter().copied()).output().unwrap()
}

fn has(found: &[(String, String, String)], check: &str, state: &str, words: &str) -> bool {
    found.iter().any(|(one, is, text)| one == check && is == state && text.contains(words))
}

#[tokio::test]
async fn a_server_that_is_well_is_found_so() {
    let server = Server::start().await;

    let output = server.cli(&["doctor", "--json"]);

    let found = findings(&output);
    assert!(output.status.success(), "{found:#?}");
    assert!(has(&found, "server", "good", &server.address), "{found:#?}");
    assert!(
        has(&found, "data folder", "good", "sync") || has(&found, "data folder", "doubtful", "sync"),
        "{found:#?}"
    );
    assert!(has(&found, "port", "good", "the relay, answers"), "{found:#?}");
    assert!(has(&found, "addresses", "doubtful", "only this machine"), "{found:#?}");
    for check in ["configuration", "disk space", "TURN", "clock", "open files", "UDP buffers"] {
        assert!(found.iter().any(|(one, ..)| one == check), "{check}: {found:#?}");
    }
    let text = stdout(&server.cli(&["doctor"]));
    assert!(text.contains("ok   configuration") && text.contains("                    -> "), "{text}");
}

#[tokio::test]
async fn what_is_wrong_is_found_with_what_to_do() {
    let server = Server::start().await;
    let other = TempDir::new().unwrap();

    // A port that somebody has.
    let output = doctor(other.path(), &[], &["--listen", &server.address]);
    let found = findings(&output);
    assert!(stderr(&output).contains("wrong"));
    assert!(has(&found, "port", "bad", &server.address), "{found:#?}");

    // A key that is misspelt.
    let output = doctor(other.path(), &[("ROOMFUL_LIMIT__CALLS", "5")], &[]);
    let found = findings(&output);
    assert!(
        has(&found, "configuration", "bad", "did you mean ROOMFUL_LIMITS__CALLS_PER_SECOND?"),
        "{found:#?}"
    );
    assert!(!output.status.success());

    // A key that does nothing for want of another.
    let idle = [("ROOMFUL_WEBHOOKS__TOKEN", "x")];
    let found = findings(&doctor(other.path(), &idle, &["--listen", "127.0.0.1:0"]));
    assert!(has(&found, "configuration", "doubtful", "does nothing without webhooks.url"), "{found:#?}");

    // A folder that is none.
    let file = other.path().join("file");
    std::fs::write(&file, "").unwrap();
    let found = findings(&doctor(&file, &[], &["--listen", "127.0.0.1:0"]));
    assert!(has(&found, "data folder", "bad", "cannot be written"), "{found:#?}");

    // A TURN server that is not there.
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let turn = format!("turn:{free}?transport=udp");
    let environment = [("ROOMFUL_MEDIA__ICE_URLS", turn.as_str()), ("ROOMFUL_MEDIA__TURN_SECRET", "x")];
    let found = findings(&doctor(other.path(), &environment, &["--listen", "127.0.0.1:0"]));
    assert!(has(&found, "TURN", "bad", &turn), "{found:#?}");
}

#[test]
fn settings_are_printed_as_a_file_that_changes_nothing() {
    let settings = |arguments: &[&str]| {
        let output = Command::new(BINARY).arg("settings").args(arguments).output().unwrap();
        stdout(&output)
    };
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("roomful.toml");
    std::fs::write(&file, settings(&[])).unwrap();

    let all: Vec<Value> = serde_json::from_str(&settings(&["--json"])).unwrap();
    assert!(
        all.iter().any(|one| one["environment"] == "ROOMFUL_MEMBER_LIST__CAP" && one["default"] == "1000")
    );
    let found = doctor(folder.path(), &[], &["--listen", "127.0.0.1:0", "--config", file.to_str().unwrap()]);
    assert!(has(&findings(&found), "configuration", "good", ""));
}

#[tokio::test]
async fn certificates_are_read_for_their_dates_and_names() {
    let folder = TempDir::new().unwrap();
    let check = |cert: &std::path::Path, key: &std::path::Path, host: &str| {
        let environment = [
            ("ROOMFUL_TLS__CERT", cert.to_str().unwrap()),
            ("ROOMFUL_TLS__KEY", key.to_str().unwrap()),
            ("ROOMFUL_MEDIA__TURN_HOST", host),
        ];
        findings(&doctor(folder.path(), &environment, &["--listen", "127.0.0.1:0"]))
    };
    let (cert, key) = certificate(folder.path());

    let found = check(&cert, &key, "localhost");
    assert!(has(&found, "certificate", "good", "it holds for localhost"), "{found:#?}");
    assert!(has(&found, "certificate", "good", "days more"), "{found:#?}");
    let found = check(&cert, &key, "live.example.org");
    assert!(has(&found, "certificate", "bad", "not for media.turn_host live.example.org"), "{found:#?}");

    for (from, until, trouble) in [(2020, 2021, "ended"), (2090, 2095, "it holds in")] {
        let mut parameters = rcgen::CertificateParams::new(["localhost".to_string()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(from, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(until, 1, 1);
        let pair = rcgen::KeyPair::generate().unwrap();
        std::fs::write(&cert, parameters.self_signed(&pair).unwrap().pem()).unwrap();
        std::fs::write(&key, pair.serialize_pem()).unwrap();

        let found = check(&cert, &key, "");
        assert!(has(&found, "certificate", "bad", trouble), "{found:#?}");
    }
    std::fs::write(&key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let found = check(&cert, &key, "");
    assert!(has(&found, "certificate", "bad", "do not fit together"), "{found:#?}");
}

#[tokio::test]
async fn a_load_test_reports_what_its_clients_saw_and_leaves_nothing() {
    let server = Server::with(&[]).await;
    let test = [
        "load-test",
        "--room",
        "load",
        "--members",
        "30",
        "--publishers",
        "2",
        "--viewers",
        "4",
        "--for",
        "3s",
        "--messages",
        "5",
        "--bitrate",
        "500",
    ];

    let report = said(&server, &test);

    assert_eq!(report["errors"], json!({}), "{report}");
    assert_eq!(
        (&report["members"]["joined"], &report["members"]["connected_at_the_end"]),
        (&json!(30), &json!(30))
    );
    assert!(report["members"]["joins_per_second"].as_f64().unwrap() > 1.0, "{report}");
    let (sent, heard) = (&report["messages"]["sent"], &report["messages"]["heard"]);
    assert!((10..=20).contains(&sent.as_u64().unwrap()), "{report}");
    assert_eq!(
        (heard.as_u64(), &report["messages"]["missing"]),
        (Some(sent.as_u64().unwrap() * 30), &json!(0))
    );
    assert!(report["messages"]["latency_ms"]["p50"].as_f64().unwrap() > 0.0, "{report}");
    assert_eq!((&report["publishers"]["connected"], &report["viewers"]["connected"]), (&json!(2), &json!(4)));
    let (sent, received) = (&report["packets"]["sent"], &report["packets"]["received"]);
    let share = received.as_f64().unwrap() / (2.0 * sent.as_f64().unwrap());
    // Where the machine is busy a viewer's link may look too small for a while, and its picture pauses.
    assert!((0.2..1.1).contains(&share), "each is sent to two viewers: {report}");
    assert!(report["packets"]["delay_ms"]["p99"].as_f64().unwrap() > 0.0, "{report}");
    assert!(report["packets"]["loss"].as_f64().unwrap() < 0.05, "{report}");
    assert_eq!(server.code("room_engine_http_srv/get_room_info", json!({"RoomId": "load"})).await, 100_004);

    // In a room that was there, and by a URL.
    server.create_room_with("small", json!({"MaxMemberCount": 3})).await;
    let key = said(&server, &["app", "list"])[0]["secret_key"].as_str().unwrap().to_string();
    let mut command = Command::new(BINARY);
    command.args(["load-test", "--room", "small", "--members", "5", "--for", "1s"]);
    command.args(["--url", &format!("http://{}", server.address), "--sdkappid", &server.app.to_string()]);
    let output = command.env("ROOMFUL_KEY", key).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("3 of 5 joined") && text.contains("2 x a member: enter_room: "), "{text}");
    assert!(stderr(&output).contains("2 of what was wanted could not be had"));
    assert_eq!(server.members("small").await.1, 0);
}

/// No delay is not the same as a delay of nothing.
#[tokio::test]
async fn what_a_load_test_has_not_measured_it_does_not_say() {
    let server = Server::start().await;
    let test = ["load-test", "--members", "0", "--publishers", "1", "--for", "1s"];

    let report = said(&server, &test);

    assert_eq!(report["publishers"]["connected"], 1, "{report}");
    for path in [
        "/members/join_ms",
        "/messages/answer_ms",
        "/messages/latency_ms",
        "/packets/delay_ms",
        "/packets/loss",
    ] {
        assert_eq!(report.pointer(path), Some(&Value::Null), "{path}: {report}");
    }
    let table = server.cli(&test);
    let table = String::from_utf8_lossy(&table.stdout);
    for line in ["  a join           -\n", "  delay            -\n", "0 lost (-)"] {
        assert!(table.contains(line), "{line:?}: {table}");
    }
}

#[tokio::test]
async fn what_cannot_be_load_is_said() {
    let server = Server::start().await;

    assert!(stderr(&server.cli(&["load-test", "--viewers", "1"])).contains("--publishers"));
    assert!(stderr(&server.cli(&["load-test", "--messages", "5000"])).contains("--messages"));
    let nobody = Command::new(BINARY)
        .args(["load-test", "--url", "ftp://x", "--sdkappid", "1", "--key", "k"])
        .output();
    assert!(stderr(&nobody.unwrap()).contains("http:// or https://"));
}

#[test]
fn completions_and_the_manual_name_every_command() {
    let run = |arguments: &[&str]| Command::new(BINARY).args(arguments).output().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = stdout(&run(&["completions", shell]));
        assert!(text.contains("load-test") && text.contains("doctor"), "{shell}");
    }
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("man");

    stdout(&run(&["man", "--out", out.to_str().unwrap()]));

    for page in ["roomful", "roomful-room", "roomful-room-create", "roomful-member-ban", "roomful-load-test"]
    {
        let text = std::fs::read_to_string(out.join(format!("{page}.1"))).unwrap();
        assert!(text.contains(".SH NAME"), "{page}");
    }
    // Whatever says something says it in JSON too.
    for page in std::fs::read_dir(&out).unwrap() {
        let page = page.unwrap();
        let (name, text) =
            (page.file_name().into_string().unwrap(), std::fs::read_to_string(page.path()).unwrap());
        let says_otherwise = ["serve", "completions", "man", "help"]
            .iter()
            .any(|command| name == format!("roomful-{command}.1") || name.ends_with("-help.1"));
        let is_group = text.contains(".SH SUBCOMMANDS") && name != "roomful-usersig.1";
        assert!(says_otherwise || is_group || text.contains(r"\-\-json"), "{name}");
    }
}

#[tokio::test]
async fn json_is_printed_of_whatever_is_shown() {
    let server = Server::start().await;
    server.create_room_with("r", json!({"SeatTemplate": "Karaoke"})).await;
    let _ann = server.enter("ann", "r").await;
    let copy = server.data.path().join("copy");
    let key = server.key(&[]).id;
    let sig = server.sig("ann");
    let app = server.app;

    for command in [
        "app list",
        "app create --name second",
        "key create",
        "key list",
        &format!("key disable {key}"),
        &format!("key enable {key}"),
        &format!("key delete {key}"),
        "usersig --user ann",
        &format!("usersig verify {sig}"),
        "room list",
        "room info r",
        "room update r --name x",
        "member list r",
        "member mute r ann",
        "member ban r ben",
        "member unban r ben",
        "member seat r ann",
        "member kick r ann",
        "members r",
        "send r hello",
        "top",
        "doctor",
        "webhook set --url=",
        "webhook list",
        "webhook failed",
        "webhook replay",
        &format!("backup {}", copy.display()),
        "room destroy r",
        &format!("app rotate-key {app}"),
    ] {
        let answer = said(&server, &command.split(' ').collect::<Vec<_>>());
        assert!(answer.is_object() || answer.is_array(), "{command}: {answer}");
    }
}
