//! What the data monitoring actions answer, asked by the official SDKs, held against what really happened.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::time::Duration;

use harness::rtc::by_sdk;
use harness::{Server, now, offer};
use serde_json::{Value, json};

fn texts<'a>(list: &'a Value, name: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|one| one[name].as_str().unwrap()).collect()
}

/// What is committed once a second is looked for once a second.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_in_a_room_is_answered_to_the_official_sdks() {
    let server = Server::start().await;
    let (app, key) = (server.app, server.key(&[]));
    let began = now() - 1;
    for room in ["*77", "77", "other"] {
        server.ok("room_engine_http_srv/create_room", json!({"RoomInfo": {"RoomId": room}})).await;
    }
    let mut ann = server.enter("ann", "*77").await;
    let mut ben = server.enter("ben", "*77").await;
    let streams = json!([{"Mid": "0", "StreamType": "main"}]);
    ann.ok("publish", json!({"RoomId": "*77", "Sdp": offer("sendonly"), "Streams": streams})).await;
    ann.ok("unpublish", json!({"RoomId": "*77"})).await;
    ben.ok("leave_room", json!({"RoomId": "*77"})).await;
    server.ok("room_engine_http_srv/destroy_room", json!({"RoomId": "other"})).await;

    let window = json!({"SdkAppId": app, "StartTime": began, "EndTime": now() + 60});
    let both = {
        let mut window = window.clone();
        window["RoomId"] = "77".into();
        window
    };
    let is_there = |answer: &Value| answer["Total"] == 2;
    let rooms = key.wait_for("DescribeRoomInfo", &both, SOON, is_there).await;
    assert_eq!(texts(&rooms["RoomList"], "RoomString"), ["77", "77"], "the number, and the text");
    let numbered = format!("{app}_77_");
    let ids = texts(&rooms["RoomList"], "CommId");
    let comm = *ids.iter().find(|id| id.starts_with(&numbered)).unwrap_or_else(|| panic!("{ids:?}"));
    let ask = {
        let mut ask = window.clone();
        ask["CommId"] = comm.into();
        ask
    };
    let has_left = |answer: &Value| answer["UserList"][1]["Finished"] == true;
    key.wait_for("DescribeUserInfo", &ask, SOON, has_left).await;
    let with = |name: &str, value: Value| {
        let mut ask = ask.clone();
        ask[name] = value;
        ask
    };
    let mut event = with("UserId", "ben".into());
    event["RoomId"] = "77".into();
    let mut own = with("UserId", "ann".into());
    own["RoomId"] = "77".into();
    let calls = json!([
        ["DescribeRoomInfo", window],
        ["DescribeUserInfo", ask],
        ["DescribeUserInfo", with("UserIds", json!(["ben"]))],
        ["DescribeUserEvent", event],
        ["DescribeUserEvent", own],
        ["DescribeCallDetailInfo", ask],
        ["DescribeScaleInfo", window],
        ["DescribeTRTCRealTimeScaleData", {"SdkAppId": app.to_string(), "StartTime": began, "EndTime": now()}],
        ["DescribeTRTCMarketScaleData", {"SdkAppId": app.to_string(), "StartTime": "2026-01-01", "EndTime": "2026-01-02", "Period": "d"}],
        ["DescribeUserInfo", with("CommId", format!("{}_77_1", app + 1).into())],
    ]);
    for (sdk, method) in [(("python", "rtc.py", ""), "GET"), (("node", "rtc.mjs", ""), "POST")] {
        let answers = by_sdk(sdk, ("TC3-HMAC-SHA256", method), &key, &server.address, &calls);

        let rooms = &answers[0]["RoomList"];
        assert_eq!(answers[0]["Total"], 3, "{answers:?}");
        let other = rooms.as_array().unwrap().iter().find(|room| room["RoomString"] == "other").unwrap();
        assert_eq!((&other["IsFinished"], &other["UserId"]), (&json!(true), &json!("administrator")));
        let users = &answers[1]["UserList"];
        assert_eq!((&answers[1]["Total"], texts(users, "UserId")), (&json!(2), vec!["ann", "ben"]));
        assert_eq!(texts(users, "RoomStr"), ["77", "77"]);
        assert_eq!(texts(users, "ClientIp"), ["127.0.0.1", "127.0.0.1"]);
        assert_eq!([&users[0]["Finished"], &users[1]["Finished"]], [&json!(false), &json!(true)]);
        let times = |name: &str| users[1][name].as_u64().unwrap();
        assert!((began..=times("LeaveTs")).contains(&times("JoinTs")) && times("LeaveTs") <= now());
        assert_eq!(texts(&answers[2]["UserList"], "UserId"), ["ben"]);
        let events = |list: &Value| -> Vec<u64> {
            list["Content"].as_array().unwrap().iter().map(|one| one["EventId"].as_u64().unwrap()).collect()
        };
        let seen = &answers[3]["Data"];
        assert_eq!(texts(seen, "PeerId"), ["", "ann"]);
        assert_eq!((events(&seen[0]), events(&seen[1])), (vec![32788, 32789], vec![32786, 32784]));
        assert_eq!(events(&answers[4]["Data"][0]), [32788, 32768, 32770]);
        assert_eq!(texts(&answers[5]["UserList"], "UserId"), ["ann", "ben"]);
        assert_eq!(answers[5]["Data"], json!([]), "nothing was asked for");
        assert_eq!((&answers[6]["Total"], &answers[6]["ScaleList"]), (&json!(0), &json!([])), "never today");
        let columns = |answer: &Value| answer["Data"]["Series"][0]["Columns"].clone();
        assert_eq!(columns(&answers[7]), json!(["time", "userCount", "roomCount"]));
        let market = json!(["time", "peakCurrentUsers", "peakCurrentChannels", "userCount", "roomCount"]);
        assert_eq!(columns(&answers[8]), market);
        assert_eq!((&answers[9]["Total"], &answers[9]["UserList"]), (&json!(0), &json!([])), "another's");
    }
}

#[tokio::test]
async fn dashboards_of_now_know_what_was_before_a_crash() {
    let server = Server::start().await;
    let (app, key) = (server.app, server.key(&[]));
    let began = now() - 1;
    server.create_room("r").await;
    let _ann = server.enter("ann", "r").await;
    let _ben = server.enter("ben", "r").await;
    let ask = |room: Option<&str>| {
        let mut ask = json!({"SdkAppId": app, "StartTime": began - 60, "EndTime": now()});
        room.into_iter().for_each(|room| ask["RoomId"] = room.into());
        ask
    };
    let rows = |answer: &Value| -> Vec<Vec<u64>> {
        let values = answer["Data"]["Series"][0]["Values"].as_array().unwrap();
        values.iter().map(|row| serde_json::from_value(row["RowValue"].clone()).unwrap()).collect()
    };
    let action = "DescribeTRTCRealTimeScaleData";
    // Of a slot that is over: the one that goes on is not of before.
    let full = |answer: &Value| rows(answer).iter().any(|row| row[1..] == [2, 1] && row[0] + 10 < now());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(25);
    while !full(&key.call(action, ask(None)).await) {
        assert!(tokio::time::Instant::now() < deadline, "{}", key.call(action, ask(None)).await);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    let server = server.restart_in_place().await;
    let restarted = now();

    // All who ask first, and at once.
    let asked = std::array::from_fn(|_| key.call(action, ask(None)));
    let [one, two, three, four]: [_; 4] = asked;
    let answers = tokio::join!(one, two, three, four);
    for answer in [answers.0, answers.1, answers.2, answers.3] {
        let known = rows(&answer);
        let before: Vec<&Vec<u64>> = known.iter().filter(|row| row[0] + 10 < restarted).collect();
        assert!(before.iter().any(|row| row[1..] == [2, 1]), "{known:?}");
        assert!(before.iter().all(|row| row[0] + 10 > began), "nothing of when nobody was there: {known:?}");
    }
    let of_room = rows(&key.call(action, ask(Some("r"))).await);
    assert!(of_room.iter().any(|row| row[0] + 10 < restarted && row[1..] == [2, 1]), "{of_room:?}");
    drop(server);
}

#[tokio::test]
async fn what_is_asked_wrongly_has_its_own_code() {
    let server = Server::start().await;
    let (app, key) = (server.app, server.key(&[]));
    let end = now();
    let window = |from: u64, to: u64| json!({"SdkAppId": app, "StartTime": from, "EndTime": to});
    let with = |mut body: Value, more: Value| {
        more.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        body
    };
    let usual = window(end - 60, end);
    let of = |more: Value| with(with(usual.clone(), json!({"CommId": "1_2_3"})), more);
    let many = |count: usize| json!(vec!["u"; count]);
    let cases = [
        ("DescribeRoomInfo", json!({"StartTime": 1, "EndTime": 2}), "MissingParameter.SdkAppId"),
        ("DescribeRoomInfo", json!({"SdkAppId": app, "EndTime": 2}), "MissingParameter.StartTs"),
        ("DescribeRoomInfo", json!({"SdkAppId": app, "StartTime": 2}), "MissingParameter.EndTs"),
        ("DescribeRoomInfo", with(usual.clone(), json!({"StartTime": "soon"})), "InvalidParameter.StartTs"),
        ("DescribeRoomInfo", with(usual.clone(), json!({"EndTime": -1})), "InvalidParameter.EndTs"),
        ("DescribeRoomInfo", window(end, end - 1), "InvalidParameter.EndTs"),
        ("DescribeRoomInfo", window(end - 86_401, end), "InvalidParameter.QueryScaleOversize"),
        (
            "DescribeRoomInfo",
            window(end - 15 * 86_400, end - 15 * 86_400),
            "InvalidParameter.StartTsOversize",
        ),
        ("DescribeRoomInfo", with(usual.clone(), json!({"PageSize": 0})), "InvalidParameter.PageSize"),
        (
            "DescribeRoomInfo",
            with(usual.clone(), json!({"PageSize": 101})),
            "InvalidParameter.PageSizeOversize",
        ),
        ("DescribeRoomInfo", with(usual.clone(), json!({"PageNumber": -1})), "InvalidParameter.PageNumber"),
        ("DescribeRoomInfo", with(usual.clone(), json!({"Page": 1})), "UnknownParameter"),
        ("DescribeUserInfo", usual.clone(), "MissingParameter.CommId"),
        ("DescribeUserInfo", of(json!({"StartTime": end - 14_401})), "InvalidParameter.QueryScaleOversize"),
        ("DescribeUserInfo", of(json!({"UserIds": many(101)})), "InvalidParameter.UserId"),
        ("DescribeUserEvent", of(json!({"RoomId": "r"})), "MissingParameter.UserId"),
        ("DescribeUserEvent", of(json!({"UserId": "u"})), "MissingParameter.RoomId"),
        ("DescribeCallDetailInfo", of(json!({"DataType": ["nothing"]})), "InvalidParameter"),
        (
            "DescribeCallDetailInfo",
            of(json!({"DataType": ["all"], "StartTime": end - 3_601})),
            "InvalidParameter.QueryScaleOversize",
        ),
        (
            "DescribeCallDetailInfo",
            of(json!({"DataType": ["rtt"], "UserIds": many(7)})),
            "InvalidParameter.UserIdsMorethanSix",
        ),
        (
            "DescribeCallDetailInfo",
            of(json!({"DataType": ["rtt"], "PageNumber": 0, "PageSize": 7})),
            "InvalidParameter.PageSizeOversize",
        ),
        ("DescribeScaleInfo", json!({"SdkAppId": app, "EndTime": end}), "MissingParameter.StartTs"),
        ("DescribeTRTCRealTimeScaleData", window(end - 13 * 3600, end), "InvalidParameter"),
        (
            "DescribeTRTCMarketScaleData",
            json!({"SdkAppId": "1", "StartTime": "x", "EndTime": "2026-01-01", "Period": "d"}),
            "UnauthorizedOperation.SdkAppId",
        ),
        (
            "DescribeTRTCMarketScaleData",
            json!({"SdkAppId": app, "StartTime": "2026-1-1", "EndTime": "2026-01-01", "Period": "d"}),
            "InvalidParameter",
        ),
        (
            "DescribeTRTCMarketScaleData",
            json!({"SdkAppId": app, "StartTime": "2026-01-01", "EndTime": "2026-01-01", "Period": "m"}),
            "InvalidParameter",
        ),
        ("DescribeUnusualEvent", usual.clone(), ""),
        // What nobody knows, and what is no name at all, is nothing.
        ("DescribeUserInfo", of(json!({})), ""),
        ("DescribeUserInfo", of(json!({"CommId": "'; DROP TABLE calls"})), ""),
        ("DescribeUserInfo", of(json!({"PageNumber": u64::MAX, "PageSize": 100})), ""),
        (
            "DescribeRoomInfo",
            with(usual.clone(), json!({"EndTime": u64::MAX, "StartTime": u64::MAX - 9})),
            "",
        ),
    ];
    // A key may call so often.
    for (number, (action, body, expected)) in cases.into_iter().enumerate() {
        if number % 15 == 14 {
            tokio::time::sleep(Duration::from_millis(1100)).await;
        }
        assert_eq!(key.code(action, body.clone()).await, expected, "{action} {body}");
    }
}
