//! All commands at once over 1,000 rooms, 64 connections: how long each takes, and how many durable ones are
//! acknowledged a second, beside what the disk gives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::calls::{call, read_response};
use crate::disk::Disk;
use crate::figure::{Figure, Pairs, Target, median};
use crate::process::Roomful;

pub(crate) const CONNECTIONS: usize = 64;
const ROOMS: usize = 1000;
pub(crate) const ROUNDS: usize = 5;
pub(crate) const MEASURED: Duration = Duration::from_secs(3);

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

/// A server with all that the commands name.
pub(crate) async fn prepared() -> anyhow::Result<Roomful> {
    let server = Roomful::start()?;
    prepare(&server).await?;
    Ok(server)
}

pub(crate) async fn run(server: &Roomful) -> anyhow::Result<Vec<Figure>> {
    Ok(vec![durable(server).await?, mixed(server).await?])
}

/// A disk that syncs slowly makes a server that waits for it slow, and says nothing of it: so what is acknowledged is held
/// against the syncs that the disk gives when nobody else wants any. Group commit is what makes it more than one each.
async fn durable(server: &Roomful) -> anyhow::Result<Figure> {
    const NAME: &str = "durable commands over 1,000 rooms, beside fdatasyncs of the disk";
    let mut disk = Disk::beside(server.data())?;
    let mut pairs = Pairs::default();
    for _ in 0..ROUNDS {
        let syncs = disk.syncs_a_second()?;
        let rate = acknowledged_a_second(server, in_turn(WRITES)).await?;
        println!("durable commands: {rate:.0} a second; {:.0} syncs", syncs.unwrap_or(f64::INFINITY));
        let Some(syncs) = syncs else {
            return Ok(Figure::Skipped { name: NAME, why: "the temporary folder (TMPDIR) is in memory" });
        };
        pairs.push(rate, syncs);
    }
    Ok(Figure::in_turn(NAME, "acknowledged/s", pairs, Target::AtLeast(1.5)))
}

/// What 99 of 100 take at the most, in ms.
pub(crate) fn p99_ms(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times.get(times.len() * 99 / 100).copied().unwrap_or_default().as_secs_f64() * 1000.0
}

async fn mixed(server: &Roomful) -> anyhow::Result<Figure> {
    let both: Vec<&'static str> = READS.iter().chain(WRITES).chain(CHANGES).copied().collect();
    let mut slowest = Vec::new();
    for round in 0..ROUNDS {
        let taken = load(server, in_turn(&both)).await?;
        let mut worst: f64 = 0.0;
        for (command, mut times) in taken {
            let p99 = p99_ms(&mut times);
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
    Ok(Figure::alone(
        "all commands mixed: the slowest p99 of those that need no commit",
        "ms",
        median(slowest),
        Target::AtMost(20.0),
    ))
}

/// Commands in turn, each connection beginning elsewhere, over all rooms.
pub(crate) fn in_turn(commands: &[&'static str]) -> impl Fn(usize, usize) -> (&'static str, Value) {
    move |connection, step| {
        let number = connection * 7919 + step;
        let command = commands.get(number % commands.len()).copied().unwrap_or_default();
        (command, body(command, number * 31 % ROOMS, number))
    }
}

pub(crate) async fn acknowledged_a_second(
    server: &Roomful,
    what: impl Fn(usize, usize) -> (&'static str, Value),
) -> anyhow::Result<f64> {
    let taken = load(server, what).await?;
    Ok(taken.values().map(Vec::len).sum::<usize>() as f64 / MEASURED.as_secs_f64())
}

/// Calls over all connections what `what` says of a connection and a step; how long each call took.
pub(crate) async fn load(
    server: &Roomful,
    what: impl Fn(usize, usize) -> (&'static str, Value),
) -> anyhow::Result<BTreeMap<&'static str, Vec<Duration>>> {
    // Made before the clock runs, so that the load costs as little as it can; all of them, so that none begins early.
    let mut prepared = Vec::new();
    for connection in 0..CONNECTIONS {
        let requests = (0..400).map(|step| {
            let (command, body) = what(connection, step);
            Ok((command, server.request(command, &body)?))
        });
        prepared.push(requests.collect::<anyhow::Result<Vec<(&'static str, String)>>>()?);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for requests in prepared {
        let mut stream = TcpStream::connect(&server.process.address).await?;
        stream.set_nodelay(true)?;
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
