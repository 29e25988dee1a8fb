//! All commands at once over 1,000 rooms, 64 connections: how long each takes, and how many durable ones are
//! acknowledged a second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::http::{call, read_response};
use crate::process::Roomful;
use crate::{Figure, Target, median};

const CONNECTIONS: usize = 64;
const ROOMS: usize = 1000;
const ROUNDS: usize = 3;
pub(crate) const MEASURED: Duration = Duration::from_secs(4);

/// Commands that are answered from memory.
const READS: &[&str] = &[
    "live_engine_http_srv/get_member_list",
    "live_engine_http_srv/get_room_info",
    "live_engine_http_srv/get_room_metadata",
    "live_engine_http_srv/get_room_statistic",
    "live_engine_http_srv/get_muted_member_list",
    "live_engine_http_srv/get_banned_member_list",
    "live_engine_http_srv/get_admin_list",
    "live_engine_http_srv/get_robot",
    "live_engine_http_srv/get_gift_info_list",
    "live_engine_http_srv/get_gift_count",
    "room_engine_http_mic/get_seat_list",
    "im_open_login_svc/account_check",
];

/// Commands that are on disk before they are answered, each time they are called like this.
pub(crate) const WRITES: &[&str] = &[
    "live_engine_http_srv/update_room_info",
    "live_engine_http_srv/set_room_metadata",
    "live_engine_http_srv/mute_member",
    "live_engine_http_srv/ban_member",
    "live_engine_http_srv/send_text_msg",
    "live_engine_http_srv/send_custom_msg",
    "live_engine_http_srv/send_gift",
    "profile/portrait_set",
];

/// Commands that are on disk before they are answered, when they change anything.
const CHANGES: &[&str] = &[
    "live_engine_http_srv/unban_member",
    "live_engine_http_srv/modify_admin",
    "live_engine_http_srv/add_robot",
    "live_engine_http_srv/del_robot",
    "room_engine_http_mic/lock_seat",
];

/// A sound request of a command on a room.
fn body(command: &str, room: usize, number: usize) -> Value {
    let room = format!("room-{room:04}");
    let user = format!("user-{:03}", number % 100);
    match command.split('/').nth(1).unwrap_or_default() {
        "account_check" => json!({"CheckItem": [{"UserID": user}]}),
        "get_gift_info_list" => json!({}),
        "portrait_set" => json!({
            "From_Account": user, "ProfileItem": [{"Tag": "Tag_Profile_IM_Nick", "Value": number.to_string()}],
        }),
        "update_room_info" => json!({"RoomInfo": {"RoomId": room, "ActivityStatus": number}}),
        "set_room_metadata" => {
            json!({"RoomId": room, "Metadata": [{"Key": "k", "Value": number.to_string()}]})
        }
        "mute_member" => json!({"RoomId": room, "MemberList_Account": [user], "MuteTime": 60}),
        "ban_member" => json!({"RoomId": room, "MemberList_Account": [user], "Duration": 60, "Reason": "x"}),
        "unban_member" => json!({"RoomId": room, "MemberList_Account": [user]}),
        "modify_admin" => {
            json!({"RoomId": room, "Admin_Account": [user], "OpType": if number.is_multiple_of(2) { "add" } else { "delete" }})
        }
        "add_robot" | "del_robot" => json!({"RoomId": room, "RobotList_Account": ["robot"]}),
        "send_text_msg" => json!({"RoomId": room, "TextContent": "hello"}),
        "send_custom_msg" => json!({"RoomId": room, "BusinessId": "b", "Data": "{}"}),
        "send_gift" => json!({"RoomId": room, "GiftId": "g", "Count": 1, "From_Account": "robot"}),
        "lock_seat" => json!({"RoomId": room, "Index": number % 9, "ForbidAudio": number.is_multiple_of(2)}),
        _ => json!({"RoomId": room}),
    }
}

/// The rooms, users and gifts that the commands name.
pub(crate) async fn prepare(server: &Roomful) -> anyhow::Result<()> {
    let users: Vec<String> = (0..99).map(|number| format!("user-{number:03}")).collect();
    let all: Vec<&str> = users.iter().map(String::as_str).chain(["robot"]).collect();
    call(server, "im_open_login_svc/multiaccount_import", &json!({"Accounts": all})).await?;
    call(server, "im_open_login_svc/account_import", &json!({"UserID": "user-099"})).await?;
    call(server, "live_engine_http_srv/add_gift", &json!({"GiftId": "g", "Coins": 1})).await?;
    for room in 0..ROOMS {
        let info = json!({"RoomInfo": {"RoomId": format!("room-{room:04}"), "SeatTemplate": "VideoDynamicGrid9Seats"}});
        call(server, "live_engine_http_srv/create_room", &info).await?;
    }
    Ok(())
}

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let server = Roomful::start()?;
    prepare(&server).await?;

    let mut durable = Vec::new();
    for _ in 0..ROUNDS {
        let taken = load(&server, WRITES).await?;
        let count: usize = taken.values().map(Vec::len).sum();
        durable.push(count as f64 / MEASURED.as_secs_f64());
        println!("durable commands alone: {:.0} a second", durable.last().unwrap_or(&0.0));
    }
    let both: Vec<&'static str> = READS.iter().chain(WRITES).chain(CHANGES).copied().collect();
    let mut slowest = Vec::new();
    for round in 0..ROUNDS {
        let taken = load(&server, &both).await?;
        let mut worst: f64 = 0.0;
        for (command, mut times) in taken {
            times.sort_unstable();
            let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or_default().as_secs_f64() * 1000.0;
            let is_read = READS.contains(&command);
            if is_read {
                worst = worst.max(p99);
            }
            if round == 0 {
                println!("{command:<50} {:>7} calls, p99 {p99:.2} ms", times.len());
            }
        }
        slowest.push(worst);
    }
    Ok(vec![
        Figure {
            name: "durable commands, 64 connections, 1,000 rooms",
            unit: "acknowledged/s",
            ours: median(durable),
            bare: None,
            target: Target::AtLeast(15_000.0),
        },
        Figure {
            name: "all commands mixed: the slowest p99 of those that need no commit",
            unit: "ms",
            ours: median(slowest),
            bare: None,
            target: Target::AtMost(20.0),
        },
    ])
}

/// Calls `commands` in turn over all connections; how long each call took.
pub(crate) async fn load(
    server: &Roomful,
    commands: &[&'static str],
) -> anyhow::Result<BTreeMap<&'static str, Vec<Duration>>> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for connection in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(&server.process.address).await?;
        stream.set_nodelay(true)?;
        // Made before the clock runs, so that the load costs as little as it can.
        let requests: Vec<(&'static str, String)> = (0..400)
            .map(|step| {
                let number = connection * 7919 + step;
                let command = commands.get(number % commands.len()).copied().unwrap_or_default();
                Ok((command, server.request(command, &body(command, number * 31 % ROOMS, number))?))
            })
            .collect::<anyhow::Result<_>>()?;
        let stop = stop.clone();
        tasks.push(tokio::spawn(async move {
            let mut taken = Vec::with_capacity(1 << 16);
            let mut buffer = vec![0; 64 * 1024];
            for (command, request) in requests.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let started = Instant::now();
                stream.write_all(request.as_bytes()).await?;
                let length = read_response(&mut stream, &mut buffer).await?;
                taken.push((*command, started.elapsed()));
                let answer = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
                if !answer.contains(r#""ErrorCode":0,"#) {
                    bail!("{command}: {answer}");
                }
            }
            Ok(taken)
        }));
    }
    tokio::time::sleep(MEASURED).await;
    stop.store(true, Ordering::Relaxed);
    let mut all = BTreeMap::<&'static str, Vec<Duration>>::new();
    for task in tasks {
        for (command, took) in task.await?? {
            all.entry(command).or_default().push(took);
        }
    }
    Ok(all)
}
