//! SIGKILL at random moments under load: whatever was acknowledged is there after each restart.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::Server;
use rand::RngExt as _;
use serde_json::{Value, json};

const KILLS: usize = 50;
const WRITERS: usize = 8;

/// What one writer knows of its own rooms: `None` is destroyed, the number is the newest acknowledged notice.
type Known = HashMap<String, Option<u64>>;

/// Creates, changes and destroys rooms of its own until the server is gone. What was sent but not acknowledged when
/// it went may or may not have happened, so that room is forgotten.
async fn write(
    server: Arc<Server>,
    writer: usize,
    round: usize,
    mut known: Known,
    stop: Arc<AtomicBool>,
) -> Known {
    let mut step = 0;
    while !stop.load(Ordering::Relaxed) {
        step += 1;
        let room = format!("w{writer}-{}", step % 12);
        let number = u64::try_from(round * 100_000 + step).unwrap();
        let exists = matches!(known.get(&room), Some(Some(_)));
        let (command, body, after) = match exists {
            false => (
                "create_room",
                json!({"RoomInfo": {"RoomId": room, "RoomType": "Live", "ActivityStatus": number}}),
                Some(number),
            ),
            true if step % 5 == 0 => ("destroy_room", json!({"RoomId": room}), None),
            true => (
                "update_room_info",
                json!({"RoomInfo": {"RoomId": room, "ActivityStatus": number}}),
                Some(number),
            ),
        };
        match server.try_call(&format!("live_engine_http_srv/{command}"), body).await {
            Ok(answer) if answer["ErrorCode"] == 0 => {
                known.insert(room, after);
            }
            // Known to exist in neither way: a former round's unacknowledged call went through after all.
            Ok(answer) if answer["ErrorCode"] == 100_003 => {
                known.insert(room, Some(u64::MAX));
            }
            Ok(answer) => panic!("{command} of {room}: {answer}"),
            Err(_) => {
                known.remove(&room);
                break;
            }
        }
    }
    known
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost() {
    let mut server = Arc::new(Server::start().await);
    let mut known: Vec<Known> = vec![Known::new(); WRITERS];
    let mut acknowledged = 0;
    for round in 0..KILLS {
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = known
            .drain(..)
            .enumerate()
            .map(|(writer, known)| tokio::spawn(write(server.clone(), writer, round, known, stop.clone())))
            .collect();
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(20..200))).await;
        server.kill_now();
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            known.push(writer.await.unwrap());
        }
        server = Arc::new(Arc::into_inner(server).unwrap().restart().await);

        for (room, expected) in known.iter().flatten() {
            let answer: Value = server.live("get_room_info", json!({"RoomId": room})).await;
            let status = answer["Response"]["RoomInfo"]["ActivityStatus"].as_u64();
            match expected {
                None => assert_eq!(answer["ErrorCode"], 100_004, "round {round}: {room} came back"),
                Some(u64::MAX) => assert!(status.is_some(), "round {round}: {room} is gone"),
                Some(_) => assert_eq!(status, *expected, "round {round}: {room}"),
            }
            acknowledged += 1;
        }
    }
    println!("{KILLS} kills, {acknowledged} acknowledged states found");
    assert!(acknowledged > KILLS, "the load must get something acknowledged to prove anything");
}
