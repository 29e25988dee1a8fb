//! A disk, a log and a writer that fail.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::harness::receiver::Receiver;
use crate::harness::{BINARY, Server, SmallDisk, cli_on};

const PRESENCE: &str = "Live.CallbackAfterMemberStateChanged";

#[tokio::test(flavor = "multi_thread")]
async fn what_the_disk_refused_is_written_when_it_is_well_though_nobody_else_writes() {
    const MEMBERS: usize = 30;
    let receiver = Receiver::start().await;
    let disk = SmallDisk::mount();
    let data = Arc::new(TempDir::new_in(disk.path()).unwrap());
    let environment = [("LIMITS__CALLS_PER_SECOND", "0"), ("WEBHOOKS__ALLOW_PRIVATE", "true")];
    let environment = environment.map(|(key, value)| (format!("ROOMFUL_{key}"), value.to_string()));
    let server = Server::on(data, environment.to_vec()).await;
    let set = server.cli_with(&["webhook", "set", "--url", &receiver.url, "--event", PRESENCE]);
    assert!(set.status.success(), "{set:?}");
    server.create_room("r").await;
    let mut members = Vec::new();
    for number in 0..MEMBERS {
        members.push(server.enter(&format!("a-member-with-a-long-name-{number}"), "r").await);
    }
    receiver.wait_until(PRESENCE, |told| named(told).len() >= MEMBERS).await;
    let came = receiver.of(PRESENCE).len();
    let ballast = disk.fill();
    let room = |number| json!({"RoomInfo": {"RoomId": format!("full{number}"), "RoomType": "Live", "CustomInfo": "x".repeat(2000)}});
    let mut number = 0;
    while server.live("create_room", room(number)).await["ErrorCode"] == 0 {
        number += 1;
    }

    for mut member in members {
        member.ok("leave_room", json!({"RoomId": "r"})).await;
    }

    let said = server.wait_for_readyz(503, Duration::from_secs(10)).await;
    assert!(said.contains("the store cannot write") && said.contains("full"), "{said}");
    assert_eq!(receiver.of(PRESENCE).len(), came, "nothing is told that is not on disk");
    std::fs::remove_file(ballast).unwrap();
    receiver.wait_until(PRESENCE, |told| named(told).len() >= 2 * MEMBERS).await;
    server.wait_for_readyz(200, Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_could_not_write_is_ready_again_without_a_call() {
    let disk = SmallDisk::mount();
    let data = Arc::new(TempDir::new_in(disk.path()).unwrap());
    let environment = vec![("ROOMFUL_LIMITS__CALLS_PER_SECOND".to_string(), "0".to_string())];
    let server = Server::on(data, environment).await;
    let ballast = disk.fill();
    let room = |number| json!({"RoomInfo": {"RoomId": format!("full{number}"), "RoomType": "Live", "CustomInfo": "x".repeat(2000)}});
    let mut number = 0;
    while server.live("create_room", room(number)).await["ErrorCode"] == 0 {
        number += 1;
    }

    server.wait_for_readyz(503, Duration::from_secs(10)).await;

    std::fs::remove_file(ballast).unwrap();

    server.wait_for_readyz(200, Duration::from_secs(10)).await;
    assert_eq!(server.live("create_room", room(number)).await["ErrorCode"], 0);
}

/// Who is named in events, each time.
fn named(told: &[crate::harness::receiver::Received]) -> Vec<String> {
    let lists = told.iter().filter_map(|event| event.body["MemberList"].as_array());
    lists.flatten().map(|member| member["Member_Account"].to_string()).collect()
}

#[tokio::test]
async fn a_log_without_its_database_is_kept_and_nothing_is_made_from_nothing() {
    for is_emptied in [true, false] {
        let mut server = Server::start().await;
        server.create_room("kept").await;
        server.kill();
        let data = server.data.clone();
        let (database, log) = (data.path().join("roomful.db"), data.path().join("roomful.db-wal"));
        let whole = std::fs::read(&database).unwrap();
        let changes = std::fs::read(&log).unwrap();
        assert!(!changes.is_empty());
        if is_emptied {
            std::fs::write(&database, "").unwrap();
        } else {
            std::fs::remove_file(&database).unwrap();
        }

        let refused = |output: Output| {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && said.contains("roomful.db-wal"), "{said}");
            assert!(said.contains("restore a backup"), "{said}");
        };
        refused(serve(data.path()));
        refused(cli_on(data.path(), &["app", "list"]));
        refused(cli_on(data.path(), &["webhook", "failed"]));

        assert_eq!(std::fs::read(&log).unwrap(), changes, "nothing was touched");
        assert_eq!(database.exists(), is_emptied);
        std::fs::write(&database, whole).unwrap();
        let server = Server::on(data, Vec::new()).await;
        assert_eq!(server.live("get_room_info", json!({"RoomId": "kept"})).await["ErrorCode"], 0);
    }
}

fn serve(data: &Path) -> Output {
    // One that starts, though it must not, is ended.
    Command::new("timeout")
        .args(["5", BINARY, "serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .output()
        .unwrap()
}

#[tokio::test]
async fn a_gift_that_the_disk_refused_was_never_given() {
    let disk = SmallDisk::mount();
    let data = Arc::new(TempDir::new_in(disk.path()).unwrap());
    let environment = vec![("ROOMFUL_LIMITS__CALLS_PER_SECOND".to_string(), "0".to_string())];
    let server = Server::on(data, environment).await;
    server.create_room("r").await;
    let rose = json!({"GiftId": "rose", "DefaultName": "Rose", "IconUrl": "http://x/i", "ResourceUrl": "http://x/r", "Coins": 10});
    server.ok("add_gift", rose).await;
    let mut ann = server.enter("ann", "r").await;
    let mut ben = server.enter("ben", "r").await;
    let gift = |count: u64| json!({"RoomId": "r", "GiftId": "rose", "Count": count});
    ann.ok("send_gift", gift(1)).await;
    assert_eq!(ben.event("gift_received").await["Count"], 1);
    let ballast = disk.fill();

    // What a nearly full disk still takes is acknowledged; what it refuses must leave nothing.
    let mut given = 1;
    let refused = loop {
        let answer = ann.call("send_gift", gift(100)).await;
        if answer["ErrorCode"] != 0 {
            break answer;
        }
        given += 100;
        assert_eq!(ben.event("gift_received").await["Count"], 100);
    };

    assert_eq!(refused["ErrorCode"], 100_001, "{refused}");
    let count = server.ok("get_gift_count", json!({"RoomId": "r"})).await;
    assert_eq!((&count["TotalCount"], &count["TotalCoins"]), (&json!(given), &json!(10 * given)));
    std::fs::remove_file(ballast).unwrap();
    ann.ok("send_gift", gift(7)).await;
    assert_eq!(ben.event("gift_received").await["Count"], 7, "nobody was shown the gift that was refused");
    let server = server.restart().await;
    let count = server.ok("get_gift_count", json!({"RoomId": "r"})).await;
    assert_eq!((&count["TotalCount"], &count["TotalCoins"]), (&json!(given + 7), &json!(10 * (given + 7))));
    assert_eq!(count["Sequence"], given / 100 + 2);
}

#[tokio::test]
async fn what_was_told_on_a_full_disk_is_kept_when_there_is_room() {
    let disk = SmallDisk::mount();
    let data = Arc::new(TempDir::new_in(disk.path()).unwrap());
    let environment = vec![("ROOMFUL_LIMITS__CALLS_PER_SECOND".to_string(), "0".to_string())];
    let server = Server::on(data, environment).await;
    server.create_room("r").await;
    let mut ann = server.enter("ann", "r").await;
    let ballast = disk.fill();
    let room = |number| json!({"RoomInfo": {"RoomId": format!("full{number}"), "RoomType": "Live", "CustomInfo": "x".repeat(2000)}});
    let mut number = 0;
    while server.live("create_room", room(number)).await["ErrorCode"] == 0 {
        number += 1;
    }

    let mut refused = 0;
    for number in 0..8 {
        let text = format!("{number} {}", "x".repeat(4000));
        let answer = ann.call("send_text_msg", json!({"RoomId": "r", "Text": text})).await;
        refused += u32::from(answer["ErrorCode"] == 100_001);
        ann.call("send_like", json!({"RoomId": "r", "Count": 10})).await;
    }

    assert!(refused > 0);
    std::fs::remove_file(ballast).unwrap();
    server.wait_for_readyz(200, Duration::from_secs(10)).await;
    let before = server.ok("get_room_statistic", json!({"RoomId": "r"})).await;
    ann.ok("send_like", json!({"RoomId": "r", "Count": 1})).await;
    let server = server.restart().await;
    let after = server.ok("get_room_statistic", json!({"RoomId": "r"})).await;
    let mut ann = server.enter("ann", "r").await;
    let entered = ann.ok("enter_room", json!({"RoomId": "r"})).await;
    let messages = entered["Messages"].as_array().unwrap();
    assert_eq!(messages.len(), 8, "nothing that was told is lost");
    assert_eq!(before["TotalMsgCount"], after["TotalMsgCount"]);
    assert_eq!(after["TotalLikesReceived"], 81, "{after}");
}
