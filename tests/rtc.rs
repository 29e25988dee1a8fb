//! The RTC API on the real binary, with real members and real media: by the official SDKs, unmodified, in every way they can sign; keys
//! and what they open; and what an action really does to a room.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use harness::receiver::Receiver;
use harness::rtc::{Caller, by_sdk, code};
use harness::{Client, Server, names, now, offer};
use load::{FRAMES_A_SECOND, Offered, Sending, Stats};
use serde_json::{Value, json};

/// The SDKs, each with what it can do: the program, the script, the folder of packages, the ways to sign.
const SDKS: [(&str, &str, &str); 3] = [
    ("python", "rtc.py", ""),
    // The international one has the same module names, so it is kept in a folder of its own.
    ("python", "rtc.py", ".intl"),
    ("node", "rtc.mjs", ""),
];

/// What is written once a second is there by then.
const SOON: Duration = Duration::from_secs(20);

const WAYS: [(&str, &str); 6] = [
    ("TC3-HMAC-SHA256", "POST"),
    ("TC3-HMAC-SHA256", "GET"),
    ("HmacSHA1", "POST"),
    ("HmacSHA1", "GET"),
    ("HmacSHA256", "POST"),
    ("HmacSHA256", "GET"),
];

/// Who is in a room: for a room of a number too.
async fn members(server: &Server, room: &str) -> Vec<String> {
    names(
        &server.call("room_engine_http_srv/get_room_member_list", json!({"RoomId": room})).await["Response"]
            ["MemberList"],
    )
}

async fn conference(server: &Server, room: &str) {
    server.ok("room_engine_http_srv/create_room", json!({"RoomInfo": {"RoomId": room}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn official_sdks_put_members_out_and_end_rooms_however_they_sign() {
    let server = Server::start().await;
    let (app, key) = (server.app, server.key(&[]));
    server.import(&["ann", "ben", "张三", "dan"]).await;
    for sdk in SDKS {
        for way in WAYS {
            let what = format!("{sdk:?} {way:?}");
            // A room of a number, and one of a name that is the same digits, and one of signs.
            for room in ["*77", "77", "room a+b &=%"] {
                conference(&server, room).await;
            }
            let mut number = server.enter("ann", "*77").await;
            let mut text = server.enter("ann", "77").await;
            let (mut ben, mut san) =
                (server.enter("ben", "room a+b &=%").await, server.enter("张三", "room a+b &=%").await);
            let _dan = server.enter("dan", "room a+b &=%").await;

            let done = by_sdk(
                sdk,
                way,
                &key,
                &server.address,
                &json!([
                    ["RemoveUserByStrRoomId", {"SdkAppId": app, "RoomId": "room a+b &=%", "UserIds": ["ben", "张三", "nobody"]}],
                    ["RemoveUser", {"SdkAppId": app, "RoomId": 77, "UserIds": ["ann"]}],
                ]),
            );

            for answer in &done {
                assert!(answer["RequestId"].is_string(), "{what}: {answer}");
            }
            // Who was put out is out when the call is answered, and was told as by the cloud.
            assert_eq!(members(&server, "room a+b &=%").await, ["dan"], "{what}");
            assert!(members(&server, "*77").await.is_empty(), "{what}");
            assert_eq!(
                members(&server, "77").await,
                ["ann"],
                "{what}: the text of the same digits is another room"
            );
            for client in [&mut ben, &mut san, &mut number] {
                assert_eq!(client.event("room_closed").await["Cause"], "banned", "{what}");
            }
            // It is no ban.
            number.ok("enter_room", json!({"RoomId": "*77"})).await;

            let ended = by_sdk(
                sdk,
                way,
                &key,
                &server.address,
                &json!([
                    ["DismissRoom", {"SdkAppId": app, "RoomId": 77}],
                    ["DismissRoom", {"SdkAppId": app, "RoomId": 77}],
                    ["DismissRoomByStrRoomId", {"SdkAppId": app, "RoomId": "room a+b &=%"}],
                    ["RemoveUserByStrRoomId", {"SdkAppId": app, "RoomId": "77", "UserIds": []}],
                    ["DismissRoomByStrRoomId", {"SdkAppId": app, "RoomId": "77"}],
                    ["DescribeRoomInfo", {"SdkAppId": app, "StartTime": 1, "EndTime": 2}],
                ]),
            );

            let codes: Vec<&str> =
                ended.iter().map(|answer| answer["code"].as_str().unwrap_or_default()).collect();
            // An empty list is no parameter at all in a query.
            assert_eq!(
                codes[..5],
                ["", "FailedOperation.RoomNotExist", "", "MissingParameter.UserIds", ""],
                "{what}: {ended:?}"
            );
            assert_eq!(number.event("room_closed").await["Cause"], "destroyed", "{what}");
            assert_eq!(text.event("room_closed").await["Cause"], "destroyed", "{what}");
        }
    }
}

/// Waits until an event says this.
async fn until(client: &mut Client, kind: &str, field: &str, wanted: Value) {
    while client.event(kind).await[field] != wanted {}
}

#[tokio::test(flavor = "multi_thread")]
async fn the_international_sdk_blocks_and_frees_a_member() {
    let server = Server::start().await;
    let (app, key) = (server.app, server.key(&[]));
    server.import(&["ann", "ben"]).await;
    let publish = |room: &str| json!({"RoomId": room, "Sdp": offer("sendonly"), "Streams": [{"Mid": "0", "StreamType": "main"}]});
    for way in WAYS {
        for (room, action, name, id) in [
            ("*9", "SetUserBlocked", "RoomId", json!(9)),
            ("talk", "SetUserBlockedByStrRoomId", "StrRoomId", json!("talk")),
        ] {
            conference(&server, room).await;
            let mut ben = server.enter("ben", room).await;
            let mut ann = server.enter("ann", room).await;
            assert_eq!(ann.ok("publish", publish(room)).await["Streams"][0]["Allowed"], true);
            let call = |is_mute: u64, user: &str| json!([action, {"SdkAppId": app, name: id, "UserId": user, "IsMute": is_mute}]);

            let block = by_sdk(SDKS[1], way, &key, &server.address, &json!([call(3, "ann")]));
            assert!(block[0]["RequestId"].is_string(), "{way:?}: {block:?}");
            until(&mut ann, "publishing_changed", "Allowed", json!(["audio"])).await;
            until(&mut ben, "streams_changed", "Streams", json!([])).await;
            assert_eq!(ann.code("publish", publish(room)).await, 100_006, "{way:?}");

            let freed = by_sdk(
                SDKS[1],
                way,
                &key,
                &server.address,
                &json!([call(0, "ann"), call(1, "nobody"), call(4, "ann"),]),
            );
            let codes: Vec<&str> =
                freed.iter().map(|answer| answer["code"].as_str().unwrap_or_default()).collect();
            assert_eq!(codes, ["", "FailedOperation.UserNotExist", "InvalidParameter"], "{way:?}");
            until(&mut ann, "publishing_changed", "Allowed", json!(["audio", "main", "sub"])).await;
            let ended = match room {
                "*9" => key.call("DismissRoom", json!({"SdkAppId": app, "RoomId": 9})).await,
                name => key.call("DismissRoomByStrRoomId", json!({"SdkAppId": app, "RoomId": name})).await,
            };
            assert_eq!(code(&ended), "");
        }
    }
}

/// The actions that work, as the server's own document of its table has them.
async fn actions_that_work(server: &Server) -> BTreeSet<String> {
    let document: Value = serde_json::from_str(&server.get("/openapi-rtc.json").await.1).unwrap();
    let works = |operation: &&Value| {
        let summary = operation["post"]["summary"].as_str().unwrap();
        !summary.starts_with("UnsupportedOperation") && !summary.starts_with("ActionOffline")
    };
    let paths = document["paths"].as_object().unwrap().values();
    paths.filter(works).map(|one| one["post"]["operationId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_action_that_works_is_called_by_every_sdk_that_has_it_in_every_way() {
    let server = Server::with(&[("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0")]).await;
    let (app, key) = (server.app, server.key(&[]));
    server.import(&["ann", "ben"]).await;
    // What has happened by now is answered alike each time.
    let began = now() - 1;
    conference(&server, "past").await;
    server.enter("ann", "past").await.close().await;
    server.ok("room_engine_http_srv/destroy_room", json!({"RoomId": "past"})).await;
    let end = now() + 1;
    let window = json!({"SdkAppId": app, "StartTime": began, "EndTime": end, "RoomId": "past"});
    let is_over = |answer: &Value| answer["RoomList"][0]["IsFinished"] == true;
    let rooms = key.wait_for("DescribeRoomInfo", &window, SOON, is_over).await;
    let comm = &rooms["RoomList"][0]["CommId"];
    let of_call = json!({"SdkAppId": app, "CommId": comm, "StartTime": began, "EndTime": end});
    key.wait_for("DescribeUserInfo", &of_call, SOON, |answer| answer["UserList"][0]["Finished"] == true)
        .await;
    let with = |body: &Value, more: Value| {
        let mut body = body.clone();
        more.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        body
    };
    let (today, dashboards) = (history::date(began.cast_signed()), app.to_string());
    let days = json!({"SdkAppId": app, "StartTime": today, "EndTime": today});
    let moments = json!({
        "SdkAppId": app, "StartTime": format!("{today} 00:00:00"), "EndTime": format!("{today} 23:59:59"),
    });
    let market =
        json!({"SdkAppId": dashboards, "StartTime": "2026-01-01", "EndTime": "2026-01-02", "Period": "d"});
    let real_time = json!({"SdkAppId": dashboards, "StartTime": began - 600, "EndTime": began - 60});
    let (number, text) = (json!({"SdkAppId": app, "RoomId": 77}), json!({"SdkAppId": app, "RoomId": "text"}));
    let block = json!({"UserId": "ann", "IsMute": 1});
    // In this order, which ends the rooms at last.
    let calls = [
        ("SetUserBlocked", with(&number, block.clone())),
        ("SetUserBlockedByStrRoomId", with(&block, json!({"SdkAppId": app, "StrRoomId": "text"}))),
        ("RemoveUser", with(&number, json!({"UserIds": ["ann"]}))),
        ("RemoveUserByStrRoomId", with(&text, json!({"UserIds": ["ann", "ben"]}))),
        ("KickOutUser", with(&number, json!({"UserIds": ["ben"]}))),
        ("DescribeRoomInfo", window.clone()),
        ("DescribeUserInfo", with(&of_call, json!({"UserIds": ["ann"]}))),
        ("DescribeUserEvent", with(&of_call, json!({"UserId": "ann", "RoomId": "past"}))),
        (
            "DescribeCallDetailInfo",
            with(&of_call, json!({"UserIds": ["ann"], "DataType": ["rtt", "aCapEnergy"]})),
        ),
        ("DescribeScaleInfo", json!({"SdkAppId": app, "StartTime": began - 86_400, "EndTime": end})),
        ("DescribeTRTCRealTimeScaleData", real_time.clone()),
        ("DescribeTRTCRealTimeQualityData", real_time),
        ("DescribeTRTCMarketScaleData", market.clone()),
        ("DescribeTRTCMarketQualityData", with(&market, json!({"IsFloat": true}))),
        ("DescribeUnusualEvent", window.clone()),
        ("DescribeTrtcUsage", days.clone()),
        (
            "DescribeTrtcRoomUsage",
            json!({
                "SdkAppid": app, "StartTime": format!("{today} 00:00"), "EndTime": format!("{today} 23:59"),
            }),
        ),
        ("DescribeRecordingUsage", with(&days, json!({"MixType": "multi"}))),
        ("DescribeMixTranscodingUsage", days.clone()),
        ("DescribeRelayUsage", days.clone()),
        ("DescribeRecordStatistic", days.clone()),
        ("DescribeTrtcMcuTranscodeTime", days),
        ("DescribeTRTCSegmentModerationUsage", with(&moments, json!({"Type": "audio", "Business": 0}))),
        (
            "DescribeTRTCAIRecognitionUsage",
            with(&moments, json!({"SdkAppId": dashboards, "AuType": ["asr", "tts"]})),
        ),
        ("DescribeTRTCDedicatedCloudAccUsage", moments),
        ("DismissRoom", number),
        ("DismissRoomByStrRoomId", text),
    ];
    let named: BTreeSet<String> = calls.iter().map(|(action, _)| (*action).to_owned()).collect();
    assert_eq!(named, actions_that_work(&server).await, "each is called here");
    let (mut had, mut answered) = (BTreeSet::new(), HashMap::<&str, Value>::new());
    for sdk in SDKS {
        // An SDK shows the fields that it knows.
        answered.clear();
        let all = by_sdk(sdk, WAYS[0], &key, &server.address, &json!("all"));
        let its: BTreeSet<&str> = all.iter().map(|answer| answer["action"].as_str().unwrap()).collect();
        let own: Vec<&(&str, Value)> = calls.iter().filter(|(action, _)| its.contains(action)).collect();
        had.extend(own.iter().map(|(action, _)| *action));
        for way in WAYS {
            let what = format!("{sdk:?} {way:?}");
            conference(&server, "*77").await;
            conference(&server, "text").await;
            let mut inside = Vec::new();
            for (user, room) in [("ann", "*77"), ("ben", "*77"), ("ann", "text"), ("ben", "text")] {
                inside.push(server.enter(user, room).await);
            }

            let answers = by_sdk(sdk, way, &key, &server.address, &json!(own));

            for ((action, _), answer) in own.iter().zip(answers) {
                assert!(answer["RequestId"].is_string(), "{what} {action}: {answer}");
                let mut answer = answer.as_object().unwrap().clone();
                answer.remove("RequestId");
                let keys = |answer: &Value| answer.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
                let answer = Value::from(answer);
                // What is used grows meanwhile; what is answered is of one form whichever way it was asked.
                let first = answered.entry(action).or_insert_with(|| answer.clone());
                assert_eq!(keys(first), keys(&answer), "{what} {action}");
            }
            assert_eq!(server.live("get_member_list", json!({"RoomId": "text"})).await["ErrorCode"], 100_004);
            assert_eq!(inside[0].event("room_closed").await["Cause"], "banned", "{what}");
            assert_eq!(inside[1].event("room_closed").await["Cause"], "destroyed", "{what}");
        }
    }
    let of_none: Vec<&str> =
        calls.iter().map(|(action, _)| *action).filter(|action| !had.contains(action)).collect();
    assert_eq!(of_none, ["KickOutUser"], "no SDK has it any more");
    assert_eq!(
        key.code("KickOutUser", json!({"SdkAppId": app, "RoomId": 7, "UserIds": ["a"]})).await,
        "FailedOperation.RoomNotExist"
    );
    assert_eq!(answered["DescribeUserInfo"]["UserList"][0]["UserId"], "ann");
    assert_eq!(answered["DescribeRoomInfo"]["Total"], 1);
}

/// Answers of every action that the SDKs know: none is unknown.
#[tokio::test(flavor = "multi_thread")]
async fn every_action_of_the_sdks_is_known() {
    let server = Server::start().await;
    let (app, key) = (server.app, server.key(&[]));
    let mut known = 0;
    for sdk in SDKS {
        let all = by_sdk(sdk, WAYS[0], &key, &server.address, &json!("all"));
        for answer in &all {
            let (action, code) = (&answer["action"], answer["code"].as_str().unwrap());
            let is_ours = ["DismissRoom", "RemoveUser", "SetUserBlocked"]
                .iter()
                .any(|name| action.as_str().unwrap().starts_with(name));
            let is_known = code == "UnsupportedOperation"
                || code == "ActionOffline"
                || code.starts_with("MissingParameter");
            assert!(is_known, "{sdk:?} {answer}");
            assert!(!is_ours || code == "MissingParameter.SdkAppId", "{answer}");
            known += 1;
        }
        let other = by_sdk(
            sdk,
            WAYS[0],
            &key,
            &server.address,
            &json!([
                ["RemoveUser", {"SdkAppId": app + 1, "RoomId": 1, "UserIds": ["a"]}],
            ]),
        );
        assert_eq!(other[0]["code"], "UnauthorizedOperation.SdkAppId", "{other:?}");
        assert!(other[0]["requestId"].as_str().unwrap().len() == 36, "{other:?}");
    }
    assert!(known > 200, "{known}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sdks_call_by_any_name_of_the_server() {
    let server = Server::with(&[
        ("ROOMFUL_SERVER__HOSTS", "rtc.example.org"),
        ("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"),
    ])
    .await;
    let (app, key) = (server.app, server.key(&[]));
    let port = server.address.rsplit_once(':').unwrap().1;
    let calls = json!([["DismissRoom", {"SdkAppId": app, "RoomId": 1}]]);
    for sdk in SDKS {
        for endpoint in [format!("localhost:{port}"), format!("127.0.0.1:{port}")] {
            for way in [WAYS[0], WAYS[5]] {
                let answer = by_sdk(sdk, way, &key, &endpoint, &calls);
                assert_eq!(
                    answer[0]["code"], "FailedOperation.RoomNotExist",
                    "{sdk:?} {way:?} {endpoint}: {answer:?}"
                );
            }
        }
    }
    // Python's SDK sends an endpoint's scheme along, and signs it.
    let endpoint = format!("http://127.0.0.1:{port}");
    let answer = by_sdk(SDKS[0], WAYS[0], &key, &endpoint, &calls);
    assert_eq!(answer[0]["code"], "FailedOperation.RoomNotExist", "{answer:?}");
    // Behind a proxy that puts another host in its place, by either way of saying so.
    let name = Caller { address: "rtc.example.org".into(), ..key.clone() };
    let signed = name.post("DismissRoom", &json!({"SdkAppId": app, "RoomId": 1}).to_string());
    let answer = key.send(&signed.with("Host", "10.0.0.1:80")).await.response();
    assert_eq!(code(&answer), "FailedOperation.RoomNotExist", "server.hosts");
    let name = Caller { address: "other.example.org:8443".into(), ..key.clone() };
    let signed = name.post("DismissRoom", &json!({"SdkAppId": app, "RoomId": 1}).to_string());
    assert_eq!(
        code(&key.send(&signed.clone().with("Host", "10.0.0.1")).await.response()),
        "AuthFailure.SignatureFailure"
    );
    let forwarded = signed.with("Host", "10.0.0.1").with("X-Forwarded-Host", "other.example.org:8443");
    assert_eq!(
        code(&key.send(&forwarded).await.response()),
        "FailedOperation.RoomNotExist",
        "X-Forwarded-Host"
    );
}

/// A publisher by WHIP and a viewer by WHEP: what is blocked does not arrive.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_blocked_of_a_member_is_not_forwarded() {
    let server = Server::start().await;
    let (app, key) = (server.app, server.key(&[]));
    server.import(&["ann", "ben"]).await;
    conference(&server, "call").await;
    let http = reqwest::Client::new();
    let agree = async |path: &str, user: &str, offer: String| {
        let request = http.post(format!("http://{}{path}", server.address)).bearer_auth(server.sig(user));
        let response = request.header("Content-Type", "application/sdp").body(offer).send().await.unwrap();
        assert_eq!(response.status(), 201);
        let location = response.headers()["location"].to_str().unwrap().to_owned();
        (response.text().await.unwrap(), location)
    };
    let ip = "127.0.0.1".parse().unwrap();
    let stats =
        Arc::new(Stats::new(Sending { frames_a_second: FRAMES_A_SECOND, packets_a_frame: 2, burst: 2 }));
    let (sdp, publisher) = Offered::publisher(ip, &stats).await.unwrap();
    let (answer, published) = agree("/whip/call", "ann", sdp).await;
    tokio::spawn(publisher.accept(&answer).unwrap().run());
    let (sdp, viewer) = Offered::viewer(ip, false, &stats).await.unwrap();
    let (answer, _) = agree("/whep/call?user=ann", "ben", sdp).await;
    tokio::spawn(viewer.accept(&answer).unwrap().run());
    let received = || stats.received.load(Ordering::Relaxed);
    let block = async |is_mute: u64| {
        let body = json!({"SdkAppId": app, "StrRoomId": "call", "UserId": "ann", "IsMute": is_mute});
        assert_eq!(key.code("SetUserBlockedByStrRoomId", body).await, "");
    };
    let grows = async || {
        let before = received();
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if received() > before + 20 {
                return true;
            }
        }
        false
    };
    assert!(grows().await, "nothing is forwarded");

    for is_mute in [3, 1] {
        block(is_mute).await;
        // What was on its way is there by now.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = received();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(received(), before, "IsMute {is_mute}: pictures are forwarded all the same");
        block(2).await;
        assert!(grows().await, "of sound alone pictures know nothing");
    }

    let removed = json!({"SdkAppId": app, "RoomId": "call", "UserIds": ["ann"]});
    assert_eq!(key.code("RemoveUserByStrRoomId", removed).await, "");
    assert_eq!(server.resource(&published, "ann").await, 404, "its session is over");
}

#[tokio::test]
async fn a_block_is_of_one_life_of_a_room_and_survives_a_kill() {
    let server = Server::start().await;
    let (app, key) = (server.app, server.key(&[]));
    server.import(&["ann"]).await;
    conference(&server, "call").await;
    let ann = server.enter("ann", "call").await;
    let block =
        |is_mute: u64| json!({"SdkAppId": app, "StrRoomId": "call", "UserId": "ann", "IsMute": is_mute});
    let publish =
        json!({"RoomId": "call", "Sdp": offer("sendonly"), "Streams": [{"Mid": "0", "StreamType": "main"}]});
    assert_eq!(key.code("SetUserBlockedByStrRoomId", block(1)).await, "");
    drop(ann);

    let server = server.restart_in_place().await;
    let mut ann = server.enter("ann", "call").await;
    assert_eq!(ann.code("publish", publish.clone()).await, 100_006, "who comes back too");
    assert_eq!(key.code("DismissRoomByStrRoomId", json!({"SdkAppId": app, "RoomId": "call"})).await, "");
    conference(&server, "call").await;
    ann.ok("enter_room", json!({"RoomId": "call"})).await;
    assert_eq!(ann.ok("publish", publish).await["Streams"][0]["Allowed"], true, "the next one has none");
}

#[tokio::test]
async fn webhooks_tell_of_what_a_key_has_done() {
    let receiver = Receiver::start().await;
    let server = Server::with(&[
        ("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"),
        ("ROOMFUL_WEBHOOKS__ALLOW_PRIVATE", "true"),
    ])
    .await;
    assert!(server.cli_with(&["webhook", "set", "--url", &receiver.url]).status.success());
    let (app, key) = (server.app, server.key(&[]));
    server.create_room("r").await;
    let _ann = server.enter("ann", "r").await;
    assert_eq!(
        key.code("RemoveUserByStrRoomId", json!({"SdkAppId": app, "RoomId": "r", "UserIds": ["ann"]})).await,
        ""
    );
    assert_eq!(key.code("DismissRoomByStrRoomId", json!({"SdkAppId": app, "RoomId": "r"})).await, "");

    receiver.wait_for("Live.CallbackAfterDestroyRoom", 1).await;
    let changes = receiver.of("Live.CallbackAfterMemberStateChanged");
    let last = &changes.last().unwrap().body;
    assert_eq!(
        (&last["EventType"], &last["MemberList"][0]["Member_Account"]),
        (&json!("Offline"), &json!("ann")),
        "{last}"
    );
}

#[tokio::test]
async fn a_key_opens_what_it_was_given_while_it_is_there() {
    let server = Server::start().await;
    assert!(server.cli(&["app", "create", "--sdkappid", "7"]).status.success());
    let app = server.app;
    let (own, other) = (app.to_string(), server.key(&["--app", "7"]));
    let some = server.key(&["--app", &own, "--action", "RemoveUser", "--action", "DismissRoom"]);
    let all = server.key(&[]);
    let dismiss = |app: u32| json!({"SdkAppId": app, "RoomId": 1});
    let absent = "FailedOperation.RoomNotExist";

    assert_eq!(all.code("DismissRoom", dismiss(app)).await, absent);
    assert_eq!(all.code("DismissRoom", dismiss(7)).await, absent);
    assert_eq!(all.code("DismissRoom", dismiss(8)).await, "UnauthorizedOperation.SdkAppId");
    let block = json!({"SdkAppId": 8, "RoomId": 1, "UserId": "a", "IsMute": 0});
    assert_eq!(all.code("SetUserBlocked", block.clone()).await, "FailedOperation.SdkAppIdNotExist");
    assert_eq!(some.code("DismissRoom", dismiss(app)).await, absent);
    assert_eq!(some.code("DismissRoom", dismiss(7)).await, "UnauthorizedOperation.SdkAppId");
    assert_eq!(some.code("SetUserBlocked", block.clone()).await, "AuthFailure.UnauthorizedOperation");
    assert_eq!(some.code("DescribeRoomInfo", json!({})).await, "AuthFailure.UnauthorizedOperation");
    assert_eq!(other.code("SetUserBlocked", block).await, "UnauthorizedOperation.SdkAppId");
    assert_eq!(other.code("DismissRoom", dismiss(7)).await, absent);
    assert_eq!(other.code("DismissRoom", dismiss(app)).await, "UnauthorizedOperation.SdkAppId");

    assert!(server.cli(&["key", "disable", &other.id]).status.success());
    assert_eq!(other.code("DismissRoom", dismiss(7)).await, "AuthFailure.SecretIdNotFound");
    let listed = server.cli(&["key", "list", "--json"]);
    let text = String::from_utf8(listed.stdout).unwrap();
    for key in [&own_key(&all), &own_key(&some), &own_key(&other)] {
        assert!(!text.contains(key.as_str()), "a SecretKey is listed");
    }
    let listed: Value = serde_json::from_str(&text).unwrap();
    let states: Vec<(&str, bool)> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|key| (key["secret_id"].as_str().unwrap(), key["is_disabled"].as_bool().unwrap()))
        .collect();
    assert_eq!(states.len(), 3);
    assert!(states.contains(&(&other.id, true)) && states.contains(&(&some.id, false)), "{states:?}");

    // What the server was told while it ran is on disk, and what is written while it does not run is known when it does.
    let mut server = server;
    server.kill();
    let offline = server.key(&["--app", "7"]);
    assert!(server.cli(&["key", "enable", &other.id]).status.success());
    assert!(server.cli(&["key", "delete", &some.id]).status.success());
    let server = server.restart().await;
    let at = |key: &Caller| Caller { address: server.address.clone(), ..key.clone() };
    assert_eq!(at(&offline).code("DismissRoom", dismiss(7)).await, absent);
    assert_eq!(at(&other).code("DismissRoom", dismiss(7)).await, absent);
    assert_eq!(at(&some).code("DismissRoom", dismiss(app)).await, "AuthFailure.SecretIdNotFound");
    assert!(server.cli(&["key", "delete", &all.id]).status.success());
    assert_eq!(at(&all).code("DismissRoom", dismiss(app)).await, "AuthFailure.SecretIdNotFound");

    for (arguments, words) in [
        (vec!["key", "create", "--app", "9"], "there is no app 9"),
        (vec!["key", "create", "--action", "RemoveUsers"], "did you mean RemoveUser?"),
        (vec!["key", "disable", "AKIDx"], "there is no key AKIDx"),
        (vec!["key", "delete", "AKIDx"], "there is no key AKIDx"),
    ] {
        let output = server.cli(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{arguments:?}: {said}");
    }
}

fn own_key(caller: &Caller) -> String {
    caller.key.clone()
}

#[tokio::test]
async fn a_key_may_be_made_before_there_is_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let output = harness::cli_on(folder.path(), &["key", "create", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&made["apps"], &made["actions"]), (&json!([]), &json!([])), "all of them");
    assert_eq!(made.as_object().unwrap().len(), 4, "{made}");

    let server = Server::on(Arc::new(folder), vec![]).await;
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    let key = Caller { address: server.address.clone(), id: text("secret_id"), key: text("secret_key") };
    let dismiss = json!({"SdkAppId": server.app, "RoomId": 1});
    assert_eq!(key.code("DismissRoom", dismiss).await, "FailedOperation.RoomNotExist");
}

#[tokio::test]
async fn a_key_calls_an_action_so_often_a_second_and_other_keys_go_on() {
    let server = Server::with(&[]).await;
    let (one, other) = (server.key(&[]), server.key(&[]));
    let body = json!({"SdkAppId": server.app, "RoomId": 1});
    let mut codes = Vec::new();
    let began = tokio::time::Instant::now();
    while codes.len() < 21 || (!codes.contains(&"RequestLimitExceeded".to_owned()) && codes.len() < 200) {
        codes.push(one.code("DismissRoom", body.clone()).await);
    }
    let refused = codes.iter().filter(|code| *code == "RequestLimitExceeded").count();
    // On a slow machine 21 calls may take longer than the second.
    assert!(refused > 0 || began.elapsed() > Duration::from_secs(1), "{codes:?}");
    assert!(codes[..20].iter().all(|code| code == "FailedOperation.RoomNotExist"), "{codes:?}");
    assert_eq!(other.code("DismissRoom", body.clone()).await, "FailedOperation.RoomNotExist");
    assert_eq!(
        one.code("RemoveUser", json!({"SdkAppId": server.app, "RoomId": 1, "UserIds": ["a"]})).await,
        "FailedOperation.RoomNotExist"
    );
    // What is refused for its signature costs the key nothing.
    for _ in 0..30 {
        let wrong = Caller { key: "wrong".into(), ..other.clone() };
        assert_eq!(wrong.code("DismissRoom", body.clone()).await, "AuthFailure.SignatureFailure");
    }
    assert_eq!(other.code("DismissRoom", body).await, "FailedOperation.RoomNotExist");
}

#[tokio::test]
async fn the_page_stays_where_it_was_and_the_documents_are_served() {
    let server = Server::start().await;
    let (status, page) = server.get("/?room=demo&name=ann").await;
    assert_eq!((status, page.contains("<!doctype html>") || page.contains("<!DOCTYPE html>")), (200, true));
    let request =
        reqwest::Client::new().get(format!("http://{}/", server.address)).basic_auth("proxy", Some("x"));
    let page = request.send().await.unwrap();
    assert!(
        page.headers()["content-type"].to_str().unwrap().starts_with("text/html"),
        "a proxy's password is no call"
    );

    let (status, document) = server.get("/openapi-rtc.json").await;
    assert_eq!(status, 200);
    let document: Value = serde_json::from_str(&document).unwrap();
    let remove = &document["paths"]["/#RemoveUser"]["post"];
    let schema = &remove["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(schema["required"], json!(["SdkAppId", "RoomId", "UserIds"]), "{schema}");
    assert_eq!(schema["properties"]["UserIds"]["maxItems"], 10);
    assert_eq!(schema["properties"]["RoomId"]["maximum"], 4_294_967_294_u64);
    assert!(document["paths"].as_object().unwrap().len() > 90);
    let metrics = server.metrics().await;
    let key = server.key(&[]);
    key.call("DismissRoom", json!({"SdkAppId": server.app, "RoomId": 1})).await;
    assert!(!metrics.contains("roomful_rtc_requests_total"));
    let metrics = server.metrics().await;
    assert!(
        metrics.contains(
            r#"roomful_rtc_requests_total{action="DismissRoom",code="FailedOperation.RoomNotExist"} 1"#
        ),
        "{metrics}"
    );
}
