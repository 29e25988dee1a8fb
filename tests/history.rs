//! What history has of what really happened: who was there, with what, and what flowed, over a SIGKILL and a folder that is deleted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::time::Duration;

use harness::postgres::Database;
use harness::{Client, Server, now, offer};
use history::{Call, Cause, Page, Reader, Stay, Window};
use serde_json::json;

const ALL: Page = Page { number: 0, size: 100 };

/// What is written may be seen this much later: a second until it is committed, and the machine is busy.
const SOON: Duration = Duration::from_secs(20);

const QUICK: &[(&str, &str)] =
    &[("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"), ("ROOMFUL_PRESENCE__RESUME_GRACE", "1500ms")];

fn window() -> Window {
    let now = now().cast_signed();
    Window { from: now - 600, to: now + 60 }
}

/// A room's calls and who was in the newest one, once they are what is waited for.
async fn wait_for(
    server: &Server,
    room: &str,
    is_it: impl Fn(&[Call], &[Stay]) -> bool,
) -> (Vec<Call>, Vec<Stay>) {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let (calls, stays) = server.look(|reader| {
            let (_, calls) = reader.calls(server.app, window(), &[room.to_owned()], ALL).unwrap();
            let first = calls.first().map(|call| reader.stays(call, window(), &[], ALL).unwrap().1);
            (calls, first.unwrap_or_default())
        });
        if is_it(&calls, &stays) {
            return (calls, stays);
        }
        assert!(tokio::time::Instant::now() < deadline, "{calls:?} {stays:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn ends(stays: &[Stay]) -> Vec<(&str, Option<Cause>)> {
    stays.iter().map(|stay| (&*stay.user, stay.left.map(|(_, cause)| cause))).collect()
}

async fn log_in_with(server: &Server, user: &str, client: serde_json::Value) -> Client {
    let mut connection = server.connect().await;
    let login =
        json!({"SdkAppId": server.app, "UserId": user, "UserSig": server.sig(user), "Client": client});
    connection.ok("login", login).await;
    connection
}

#[tokio::test]
async fn who_came_and_went_is_kept_with_what_it_came_and_why_it_went() {
    let server = Server::with(QUICK).await;
    server.create_room("r").await;
    let program = json!({"Sdk": "my-sdk/3", "Device": "Pixel 9", "Terminal": 2});
    let mut ann = log_in_with(&server, "ann", program).await;
    ann.ok("enter_room", json!({"RoomId": "r"})).await;
    let mut ben = server.enter("ben", "r").await;
    let eve = server.enter("eve", "r").await;
    ann.ok("leave_room", json!({"RoomId": "r"})).await;
    ann.ok("enter_room", json!({"RoomId": "r"})).await;
    server.ok("ban_member", json!({"RoomId": "r", "MemberList_Account": ["ben"], "Duration": 60})).await;
    ben.event("room_closed").await;
    eve.cut();
    server.wait_for_members("r", &["ann"], SOON).await;
    server.ok("destroy_room", json!({"RoomId": "r"})).await;

    let (calls, stays) =
        wait_for(&server, "r", |calls, _| calls.iter().all(|call| call.ended.is_some())).await;

    assert_eq!(calls.len(), 1);
    assert_eq!(&*calls[0].creator, "administrator");
    assert_eq!(calls[0].ended.unwrap().1, Cause::Destroyed);
    let expected = [
        ("ann", Some(Cause::Left)),
        ("ben", Some(Cause::Banned)),
        ("eve", Some(Cause::Interrupted)),
        ("ann", Some(Cause::Destroyed)),
    ];
    assert_eq!(ends(&stays), expected);
    let client = &stays[0].client;
    assert_eq!((&*client.sdk, &*client.device, client.terminal), ("my-sdk/3", "Pixel 9", 2));
    assert_eq!(&*client.address, "127.0.0.1");
    assert!(!stays[0].is_anchor);
    // Another room of that name is another call.
    server.create_room("r").await;
    let (calls, _) = wait_for(&server, "r", |calls, _| calls.len() == 2).await;
    assert_eq!(calls[0].ended, None);
}

#[tokio::test]
async fn a_sigkill_is_to_a_stay_what_a_lost_connection_is() {
    let server = Server::with(QUICK).await;
    server.create_room("r").await;
    let ann = server.enter("ann", "r").await;
    let ben = server.enter("ben", "r").await;
    let (_, before) = wait_for(&server, "r", |_, stays| stays.len() == 2).await;
    // Nobody waits for history: of who comes now nothing is written yet, but presence is.
    let eve = server.enter("eve", "r").await;
    tokio::time::sleep(Duration::from_millis(300)).await;

    let server = server.restart_in_place().await;
    let mut again = server.connect().await;
    again.ok("login", json!({"ResumeToken": ann.resume_token})).await;
    drop((ann, ben, eve));

    let is_over = |stays: &[Stay]| stays.iter().filter(|stay| stay.left.is_some()).count() == 2;
    let (calls, stays) = wait_for(&server, "r", |_, stays| stays.len() == 3 && is_over(stays)).await;
    assert_eq!(calls[0].ended, None);
    let interrupted = Some(Cause::Interrupted);
    assert_eq!(ends(&stays), [("ann", None), ("ben", interrupted), ("eve", interrupted)]);
    assert_eq!(stays[0], before[0], "it goes on as it began");
    assert_eq!((stays[1].stay, &stays[1].client), (before[1].stay, &before[1].client));
    again.close().await;
    wait_for(&server, "r", |_, stays| ends(stays)[0] == ("ann", Some(Cause::Left))).await;
}

#[tokio::test]
async fn the_folder_may_be_deleted_at_any_time() {
    let server = Server::with(QUICK).await;
    server.create_room("r").await;
    server.create_room("over").await;
    let _ann = server.enter("ann", "r").await;
    let (_, before) = wait_for(&server, "r", |_, stays| stays.len() == 1).await;
    server.ok("destroy_room", json!({"RoomId": "over"})).await;

    match server.history_folder() {
        Some(folder) => std::fs::remove_dir_all(folder).unwrap(),
        None => {
            let drop = |table: &str| format!("DROP TABLE {}.history_{table} CASCADE;", server.schema());
            Database::shared().sql(&["calls", "stays", "people"].map(drop).concat());
        }
    }
    let _ben = server.enter("ben", "r").await;

    let (calls, stays) = wait_for(&server, "r", |_, stays| stays.len() == 2).await;
    assert_eq!(calls.len(), 1);
    assert_eq!(stays[0], before[0], "what goes on is told once more");
    // Rows are counted a moment after they are there.
    let until = tokio::time::Instant::now() + SOON;
    while server.metric("roomful_history_rows_total").await.unwrap() == 0.0 {
        assert!(tokio::time::Instant::now() < until, "no row was counted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_flowed_is_kept_until_it_ends() {
    let server = Server::with(QUICK).await;
    server.import(&["ann"]).await;
    server.create_room_with("r", json!({"Owner_Account": "ann"})).await;
    let mut ann = server.enter("ann", "r").await;
    let streams = json!([{"Mid": "0", "StreamType": "main"}]);
    let publish = json!({"RoomId": "r", "Sdp": offer("sendonly"), "Streams": streams});
    ann.ok("publish", publish.clone()).await;
    ann.ok("mute_stream", json!({"RoomId": "r", "StreamType": "main", "Muted": true})).await;
    ann.ok("mute_stream", json!({"RoomId": "r", "StreamType": "main", "Muted": false})).await;
    ann.ok("unpublish", json!({"RoomId": "r"})).await;
    ann.ok("publish", publish).await;
    ann.ok("leave_room", json!({"RoomId": "r"})).await;

    let (_, stays) = wait_for(&server, "r", |_, stays| stays.iter().any(|stay| stay.left.is_some())).await;

    assert!(stays[0].is_anchor);
    let events = server.look(|reader| reader.events(&stays, window()).unwrap());
    let events: Vec<(u16, u8)> = events.iter().map(|event| (event.event, event.media)).collect();
    assert_eq!(events, [32768, 32773, 32775, 32770, 32768, 32770].map(|event| (event, 2)));
}

#[tokio::test]
async fn of_an_account_that_is_deleted_no_name_is_left() {
    let environment: Vec<(&str, &str)> =
        QUICK.iter().copied().chain([("ROOMFUL_HISTORY__ADDRESSES", "prefix")]).collect();
    let server = Server::with(&environment).await;
    server.create_room("r").await;
    let _ann = server.enter("ann-the-unforgettable", "r").await;
    let (_, stays) = wait_for(&server, "r", |_, stays| stays.len() == 1).await;
    assert_eq!(&*stays[0].client.address, "127.0.0.0");

    let delete = json!({"DeleteItem": [{"UserID": "ann-the-unforgettable"}]});
    server.ok("im_open_login_svc/account_delete", delete).await;

    let (_, stays) = wait_for(&server, "r", |_, stays| stays.iter().all(|stay| stay.user.is_empty())).await;
    assert_eq!(stays.len(), 1);
    assert_eq!((stays[0].left.unwrap().1, &*stays[0].client.address), (Cause::Kicked, ""));
}

/// Publishers and viewers by WHIP and WHEP, for some seconds: what they sent and got is what was measured.
#[tokio::test(flavor = "multi_thread")]
async fn what_streams_were_like_is_measured_on_both_sides_of_the_server() {
    let server = Server::with(QUICK).await;
    server.ok("room_engine_http_srv/create_room", json!({"RoomInfo": {"RoomId": "r"}})).await;
    let arguments = ["load-test", "--room", "r", "--members", "1", "--publishers", "1", "--viewers", "1"];
    let load = tokio::task::spawn_blocking({
        let folder = server.data.path().to_path_buf();
        move || {
            harness::cli_on(
                &folder,
                &[&arguments[..], &["--for", "8s", "--bitrate", "400", "--json"]].concat(),
            )
        }
    });
    let report: serde_json::Value = serde_json::from_slice(&load.await.unwrap().stdout).unwrap();
    assert_eq!(report["viewers"]["connected"], 1, "{report}");
    let everybody_left = |stays: &[Stay]| stays.len() >= 3 && stays.iter().all(|stay| stay.left.is_some());
    let (calls, stays) = wait_for(&server, "r", |_, stays| everybody_left(stays)).await;

    let deadline = tokio::time::Instant::now() + SOON;
    let rows = loop {
        let of_stays = |reader: &Reader| {
            stays.iter().flat_map(|stay| reader.quality(stay, window()).unwrap()).collect::<Vec<_>>()
        };
        let rows = server.look(of_stays);
        if rows.iter().any(|row| row.peer == 0) && rows.iter().any(|row| row.peer > 0) {
            break rows;
        }
        // Other streams' samples say that these have ended.
        assert!(tokio::time::Instant::now() < deadline, "{rows:?} of {stays:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let publisher = stays.iter().find(|stay| stay.is_anchor).unwrap();
    let up = rows.iter().find(|row| row.peer == 0).unwrap();
    let down = rows.iter().find(|row| row.peer > 0).unwrap();
    assert_eq!((up.call, up.stay, up.media), (calls[0].call, publisher.stay, 2));
    assert_eq!((down.call, down.peer, down.media), (calls[0].call, publisher.who, 2));
    for row in [up, down] {
        // A minute may have ended meanwhile, and be a row of its own.
        let of_stream = rows.iter().filter(|other| (other.stay, other.peer) == (row.stay, row.peer));
        let bits: Vec<_> =
            of_stream.flat_map(|row| history::unpack(&row.packed).unwrap().column(0).to_vec()).collect();
        let usual = bits.iter().flatten().filter(|bits| (2_000..8_000).contains(*bits)).count();
        assert!(usual >= 2, "about 400 kbit/s, in hundreds: {bits:?}");
    }
}
