//! What was used, as the official SDKs are told it, held against what was received and who was there: also over a stop and a SIGKILL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::time::Duration;

use harness::rtc::{Caller, by_sdk};
use harness::{Server, now};
use history::{Page, Window};
use serde_json::{Value, json};

/// Usage is told every half minute; what is told may be seen this much later.
const TOLD: Duration = Duration::from_secs(60);

fn day(seconds: u64) -> String {
    history::date(seconds.cast_signed())
}

/// A camera is sent to one viewer for eight seconds.
async fn play(server: &Server, room: &str) {
    let folder = server.data.path().to_path_buf();
    let room = room.to_owned();
    let load = tokio::task::spawn_blocking(move || {
        let who = ["load-test", "--room", &room, "--members", "1", "--publishers", "1", "--viewers", "1"];
        harness::cli_on(&folder, &[&who[..], &["--for", "8s", "--bitrate", "400", "--json"]].concat())
    });
    let report: Value = serde_json::from_slice(&load.await.unwrap().stdout).unwrap();
    assert_eq!(report["viewers"]["connected"], 1, "{report}");
}

/// The rows of rooms: name, and seconds of sound and of each size.
async fn rooms(key: &Caller, app: u32, began: u64) -> Vec<(String, Vec<u64>)> {
    let (from, to) = (began - began % 60, now() + 600);
    let text = |at: u64| format!("{} {:02}:{:02}", day(at), at / 3600 % 24, at / 60 % 60);
    let body = json!({"SdkAppid": app, "StartTime": text(from - from % 300), "EndTime": text(to)});
    let answer = key.call("DescribeTrtcRoomUsage", body).await;
    let data = answer["Data"].as_str().unwrap_or_else(|| panic!("{answer}"));
    let mut lines = data.lines();
    assert_eq!(lines.next(), Some("RoomId,Audio,SD,hd,FullHD,2K,4K"));
    let row = |line: &str| {
        let (room, rest) = line.split_once(',').unwrap();
        (room.to_owned(), rest.split(',').map(|seconds| seconds.parse().unwrap()).collect())
    };
    lines.map(row).collect()
}

/// Milliseconds of all stays in a room.
fn stayed(server: &Server, room: &str, began: u64) -> u64 {
    let window = Window { from: began.cast_signed() - 60, to: now().cast_signed() + 60 };
    let all = Page { number: 0, size: 100 };
    let stays = server.look(|reader| {
        let call = reader.calls(server.app, window, &[room.to_owned()], all).unwrap().1.remove(0);
        reader.stays(&call, window, &[], all).unwrap().1
    });
    stays.iter().map(|stay| (stay.left.unwrap().0 - stay.stay).unsigned_abs()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_what_was_received_and_survives_stops_and_kills() {
    let began = now();
    let mut server = Server::start().await;
    for room in ["*55", "room"] {
        server.ok("room_engine_http_srv/create_room", json!({"RoomInfo": {"RoomId": room}})).await;
    }
    let mut alone = server.enter("ann", "*55").await;
    play(&server, "room").await;
    alone.ok("leave_room", json!({"RoomId": "*55"})).await;
    server.terminate().await;
    let server = server.restart().await;
    let (app, key) = (server.app, server.key(&[]));

    let first = rooms(&key, app, began).await;
    let [(number, of_number), (name, of_room)] = first.as_slice() else { panic!("{first:?}") };
    assert_eq!((number.as_str(), name.as_str()), ("55", "room"));
    assert!((8..=20).contains(&of_number[0]) && of_number[1..] == [0; 5], "alone is sound: {first:?}");
    let video: u64 = of_room[1..].iter().sum();
    assert!((6..=10).contains(&video), "{first:?}");
    let listened = stayed(&server, "room", began) - 1000 * video;
    assert!(of_room[0].abs_diff(listened / 1000) <= 1, "{first:?}, and {listened} ms without a picture");

    let today = json!({"SdkAppId": app, "StartTime": day(now()), "EndTime": day(now())});
    let week = json!({"SdkAppId": app, "StartTime": day(now() - 6 * 86_400), "EndTime": day(now())});
    let of_key = json!({"StartTime": day(now()), "EndTime": day(now())});
    let more = |more: Value| {
        let mut body = today.clone();
        more.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        body
    };
    let moments = |more: Value| {
        let times = json!({"StartTime": format!("{} 00:00:00", day(now())), "EndTime": format!("{} 23:59:59", day(now()))});
        let mut body = more;
        times.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        body
    };
    let calls = json!([
        ["DescribeTrtcUsage", today],
        ["DescribeTrtcUsage", of_key],
        ["DescribeTrtcUsage", week],
        ["DescribeRecordingUsage", more(json!({"MixType": "multi"}))],
        ["DescribeMixTranscodingUsage", today],
        ["DescribeRelayUsage", week],
        ["DescribeRecordStatistic", week],
        ["DescribeTrtcMcuTranscodeTime", today],
        ["DescribeTRTCSegmentModerationUsage", moments(json!({"Type": "audio", "Business": 0}))],
        [
            "DescribeTRTCAIRecognitionUsage",
            moments(json!({"AuType": ["asr", "tts"], "SdkAppId": app.to_string()}))
        ],
        ["DescribeTRTCDedicatedCloudAccUsage", moments(json!({}))],
    ]);
    for (sdk, method) in [(("python", "rtc.py", ""), "POST"), (("node", "rtc.mjs", ""), "POST")] {
        let answers = by_sdk(sdk, ("TC3-HMAC-SHA256", method), &key, &server.address, &calls);

        let values = |answer: &Value| -> Vec<Vec<f64>> {
            let list = answer["UsageList"].as_array().unwrap_or_else(|| panic!("{answer}"));
            list.iter().map(|one| serde_json::from_value(one["UsageValue"].clone()).unwrap()).collect()
        };
        let sum = |values: &[Vec<f64>], at: usize| values.iter().map(|value| value[at]).sum::<f64>();
        let five_minutes = values(&answers[0]);
        assert_eq!(answers[0]["UsageKey"], json!(["Audio", "SD", "HD", "FullHD", "2K", "4K"]));
        assert_eq!(five_minutes.len(), 288);
        assert_eq!(answers[0]["UsageList"][1]["TimeKey"], format!("{} 00:05:00", day(now())));
        // A minute that was begun is one; ten seconds may have been in two slots.
        assert!((1.0..=4.0).contains(&sum(&five_minutes, 0)), "{five_minutes:?}");
        assert!((1.0..=2.0).contains(&(1..6).map(|at| sum(&five_minutes, at)).sum()), "{five_minutes:?}");
        assert_eq!(values(&answers[1]), five_minutes, "the key's only app");
        let days = values(&answers[2]);
        assert_eq!(
            (days.len(), &answers[2]["UsageList"][6]["TimeKey"]),
            (7, &json!(format!("{} 00:00:00", day(now()))))
        );
        assert_eq!(days[..6].concat(), vec![0.0; 36]);
        let seconds: u64 = first.iter().map(|(_, seconds)| seconds[0]).sum();
        assert!((days[6][0] - (seconds as f64 / 60.0).ceil()).abs() <= 1.0, "{days:?}");
        assert_eq!(days[6][1..].iter().sum::<f64>(), 1.0);
        for (at, keys, points) in
            [(3, 6, 288), (4, 11, 288), (5, 1, 7), (8, 1, 288), (9, 2, 288), (10, 1, 288)]
        {
            let values = values(&answers[at]);
            assert_eq!(
                (answers[at]["UsageKey"].as_array().unwrap().len(), values.len()),
                (keys, points),
                "{at}"
            );
            assert_eq!(values.concat(), vec![0.0; keys * points]);
        }
        assert_eq!(answers[9]["TotalUsage"].as_array().unwrap().len(), 2);
        let recorded = &answers[6]["SdkAppIdUsages"][0];
        assert_eq!(
            (&recorded["SdkAppId"], recorded["Usages"].as_array().unwrap().len()),
            (&json!(app.to_string()), 7)
        );
        let mixed = &answers[7]["Usages"][0];
        let flux = mixed["SdkAppIdTranscodeTimeUsages"][0]["Flux"].as_f64();
        assert_eq!((&mixed["TotalNum"], flux), (&json!(288), Some(0.0)));
        let by_room = json!([["DescribeTrtcRoomUsage", {"SdkAppid": app, "StartTime": format!("{} 00:00", day(now())), "EndTime": format!("{} 23:59", day(now()))}]]);
        let answers = by_sdk(sdk, ("HmacSHA256", "GET"), &key, &server.address, &by_room);
        assert!(answers[0]["Data"].as_str().unwrap().contains("\nroom,"), "{answers:?}");
    }

    // More of it, told while the server runs, and not told twice after a kill.
    play(&server, "room").await;
    let video_of = |rows: &[(String, Vec<u64>)]| -> u64 {
        rows.iter().find(|(name, _)| name == "room").unwrap().1[1..].iter().sum()
    };
    let deadline = tokio::time::Instant::now() + TOLD;
    let grown = loop {
        let grown = video_of(&rooms(&key, app, began).await);
        // Half of it may have been told before it was over.
        if grown >= video + 6 {
            break grown;
        }
        assert!(tokio::time::Instant::now() < deadline, "{grown} s after {video} s");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    assert!(grown <= video + 10, "{grown} s after {video} s");
    let server = server.restart_in_place().await;
    assert_eq!(video_of(&rooms(&server.key(&[]), app, began).await), grown);
}
