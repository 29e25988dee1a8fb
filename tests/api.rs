//! The REST API as an app server meets it: real HTTP against the real binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::time::Duration;

use harness::{ADMIN, PATIENT, Server, names};
use serde_json::{Value, json};

const LIVE: &str = "live_engine_http_srv";

#[tokio::test]
async fn an_empty_room_is_listed_empty() {
    let server = Server::start().await;
    server.create_room("r").await;

    let answer = server.live("get_member_list", json!({"RoomId": "r", "Next": ""})).await;

    assert_eq!(answer["ErrorCode"], 0);
    assert_eq!(answer["ErrorInfo"], "");
    assert_eq!(answer["ActionStatus"], "OK");
    let id = answer["RequestId"].as_str().unwrap();
    let (hex, seq) = id.strip_prefix("Id-").unwrap().split_once("-O-Seq-").unwrap();
    assert!(hex.len() == 32 && seq.parse::<u64>().is_ok(), "{id}");
    assert_eq!(answer["Response"], json!({"Next": "", "MemberCount": 0, "MemberList": []}));
}

#[tokio::test]
async fn members_are_listed_in_join_order_however_they_are_named() {
    let server = Server::start().await;
    server.create_room("r").await;
    let users = ["zoe", "张三", "a\"b\\c", "ann smith", "+%&="];
    let mut clients = Vec::new();
    for user in users {
        clients.push(server.enter(user, "r").await);
    }

    assert_eq!(server.members("r").await, (users.map(String::from).to_vec(), 5));

    clients.remove(1).close().await;
    assert_eq!(server.members("r").await.0, ["zoe", "a\"b\\c", "ann smith", "+%&="]);
}

#[tokio::test]
async fn a_list_ends_at_a_thousand_unless_the_cap_is_lifted() {
    for (cap, pages) in [("1000", vec![1000]), ("0", vec![1000, 50])] {
        let server = Server::with(&[PATIENT, &[("ROOMFUL_MEMBER_LIST__CAP", cap)]].concat()).await;
        server.create_room("r").await;
        let mut clients = Vec::new();
        for number in 0..1050 {
            clients.push(server.enter(&format!("u{number}"), "r").await);
        }

        let (mut seen, mut sizes, mut next) = (Vec::new(), Vec::new(), String::new());
        loop {
            let answer = server.live("get_member_list", json!({"RoomId": "r", "Next": next})).await;
            let page = &answer["Response"];
            assert_eq!(page["MemberCount"], 1050);
            sizes.push(names(&page["MemberList"]).len());
            seen.extend(names(&page["MemberList"]));
            next = page["Next"].as_str().unwrap().into();
            if next.is_empty() {
                break;
            }
        }

        assert_eq!(sizes, pages);
        let expected: Vec<_> = (0..seen.len()).map(|number| format!("u{number}")).collect();
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn a_cursor_dies_with_its_room() {
    let server = Server::with(&[PATIENT, &[("ROOMFUL_MEMBER_LIST__CAP", "0")]].concat()).await;
    server.create_room("r").await;
    let mut clients = Vec::new();
    for number in 0..1001 {
        clients.push(server.enter(&format!("u{number}"), "r").await);
    }
    let first = server.live("get_member_list", json!({"RoomId": "r"})).await;
    let next = first["Response"]["Next"].as_str().unwrap();
    assert_ne!(next, "");

    server.live("destroy_room", json!({"RoomId": "r"})).await;
    assert_eq!(
        server.live("get_member_list", json!({"RoomId": "r", "Next": next})).await["ErrorCode"],
        100_004
    );
    server.create_room("r").await;
    assert_eq!(
        server.live("get_member_list", json!({"RoomId": "r", "Next": next})).await["ErrorCode"],
        100_002
    );
}

#[tokio::test]
async fn more_than_the_allowed_calls_a_second_are_refused_per_app() {
    let server = Server::with(&[]).await;
    server.create_room("r").await;
    let url = server.url(&format!("{LIVE}/get_member_list"));
    let http = reqwest::Client::new();
    let calls = (0..400).map(|_| {
        let call = http.post(&url).body(r#"{"RoomId":"r","Next":""}"#).send();
        async { call.await.unwrap().json::<Value>().await.unwrap()["ErrorCode"].as_u64().unwrap() }
    });

    let started = std::time::Instant::now();
    let codes = futures_util::future::join_all(calls).await;
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap() + 1;

    let accepted = codes.iter().filter(|code| **code == 0).count();
    assert!(codes.iter().all(|code| *code == 0 || *code == 60007));
    assert!((200..=200 * seconds).contains(&accepted), "{accepted} in {seconds} s");
}

#[tokio::test]
async fn a_room_keeps_what_it_was_given() {
    let server = Server::start().await;
    server
        .call(
            "im_open_login_svc/account_import",
            json!({"UserID": "ann", "Nick": "Ann", "FaceUrl": "http://f"}),
        )
        .await;
    let given = json!({
        "RoomId": "r", "RoomType": "Live", "RoomName": "name", "Owner_Account": "ann", "SeatTemplate": "AudioSalon",
        "TakeSeatMode": "ApplyToTake", "MaxSeatCount": 8, "KeepOwnerOnSeat": true, "MaxMemberCount": 300,
        "IsUnlimitedRoomEnabled": true, "CoverURL": "http://c", "BackgroundURL": "http://b", "Notice": "hello",
        "Category": [1, 2, 3], "ActivityStatus": 4, "IsPublicVisible": true, "IsMessageDisabled": true,
        "IsGiftEnabled": false, "IsLikeEnabled": false, "IsAudioDisabled": true, "IsVideoDisabled": true,
        "IsScreenSharingDisabled": true, "LifetimeAfterNoUsers": 600, "LifetimeAfterOwnerLeave": 60,
        "LifetimeAfterOwnerOffline": 70, "CustomInfo": "own",
    });

    let created = server.live("create_room", json!({"RoomInfo": given})).await;
    let server = server.restart().await;
    let read = server.live("get_room_info", json!({"RoomId": "r"})).await;

    for answer in [&created, &read] {
        let info = &answer["Response"]["RoomInfo"];
        for (field, value) in given.as_object().unwrap() {
            assert_eq!(info[field], *value, "{field}");
        }
        assert_eq!((&info["OwnerName"], &info["OwnerAvatarUrl"]), (&json!("Ann"), &json!("http://f")));
        assert_eq!((&info["MemberCount"], &info["IsSeatEnabled"]), (&json!(0), &json!(true)));
        assert!(info["CreateTime"].as_u64().unwrap() + 60 > harness::now());
    }

    let change = json!({"RoomInfo": {"RoomId": "r", "Notice": "bye", "MaxMemberCount": 0}});
    assert_eq!(server.live("update_room_info", change).await["ErrorCode"], 0);
    let info = server.live("get_room_info", json!({"RoomId": "r"})).await["Response"]["RoomInfo"].take();
    assert_eq!(
        (&info["Notice"], &info["RoomName"], &info["MaxMemberCount"]),
        (&json!("bye"), &json!("name"), &json!(0))
    );
}

#[tokio::test]
async fn the_room_list_shows_public_rooms_by_views() {
    let server = Server::start().await;
    for number in 0..45 {
        let info =
            json!({"RoomId": format!("r{number:02}"), "RoomType": "Live", "IsPublicVisible": number != 7});
        server.live("create_room", json!({"RoomInfo": info})).await;
    }
    let _ann = server.enter("ann", "r30").await;

    let (mut seen, mut sizes, mut next) = (Vec::new(), Vec::new(), "0".to_string());
    loop {
        let answer = server.live("get_room_list", json!({"Next": next, "Count": 50})).await;
        let rooms = answer["Response"]["RoomList"].as_array().unwrap();
        sizes.push(rooms.len());
        seen.extend(rooms.iter().map(|room| room["RoomId"].as_str().unwrap().to_string()));
        next = answer["Response"]["Next"].as_str().unwrap().into();
        if next.is_empty() {
            break;
        }
    }

    assert_eq!(sizes, [20, 20, 4]);
    assert_eq!(seen[0], "r30");
    assert!(!seen.contains(&"r07".to_string()));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 44);
}

#[tokio::test]
async fn the_two_types_of_rooms_are_told_apart() {
    let server = Server::start().await;
    let conference = |command: &str| format!("room_engine_http_srv/{command}");
    let room = json!({"RoomInfo": {"RoomId": "c", "RoomType": "Conference"}});
    assert_eq!(server.call(&conference("create_room"), room.clone()).await["ErrorCode"], 0);
    assert_eq!(server.call(&conference("create_room"), room).await["ErrorCode"], 100_010);

    for command in ["get_member_list", "get_room_info", "destroy_room"] {
        assert_eq!(server.live(command, json!({"RoomId": "c"})).await["ErrorCode"], 100_006, "{command}");
    }
    server.create_room("l").await;
    assert_eq!(server.call(&conference("get_room_info"), json!({"RoomId": "l"})).await["ErrorCode"], 100_015);
    let info = server.call(&conference("get_room_info"), json!({"RoomId": "c"})).await;
    assert_eq!(info["Response"]["RoomInfo"]["RoomType"], "Conference");
    assert_eq!(server.call(&conference("destroy_room"), json!({"RoomId": "c"})).await["ErrorCode"], 0);
    assert_eq!(server.live("get_room_info", json!({"RoomId": "c"})).await["ErrorCode"], 100_004);
}

#[tokio::test]
async fn accounts_are_imported_checked_changed_and_deleted() {
    let server = Server::start().await;
    let account = |command: &str| format!("im_open_login_svc/{command}");

    let import = json!({"AccountList": [{"UserID": "ann", "Nick": "Ann"}, {"UserID": "x".repeat(33)}, {"UserID": "ben"}]});
    let answer = server.call(&account("multiaccount_import"), import).await;
    assert_eq!((&answer["ErrorCode"], &answer["FailAccounts"]), (&json!(0), &json!(["x".repeat(33)])));
    server.call(&account("multiaccount_import"), json!({"Accounts": ["eve", "ann"]})).await;

    let set = json!({"From_Account": "ann", "ProfileItem": [
        {"Tag": "Tag_Profile_IM_Image", "Value": "http://a"}, {"Tag": "Tag_Profile_Custom_Level", "Value": 3}]});
    assert_eq!(server.call("profile/portrait_set", set).await["ErrorCode"], 0);
    let server = server.restart().await;
    let get = json!({"To_Account": ["ann", "nobody"],
        "TagList": ["Tag_Profile_IM_Nick", "Tag_Profile_IM_Image", "Tag_Profile_Custom_Level"]});
    let answer = server.call("profile/portrait_get", get).await;
    assert_eq!(
        answer["UserProfileItem"][0],
        json!({"To_Account": "ann", "ResultCode": 0, "ResultInfo": "", "ProfileItem": [
            {"Tag": "Tag_Profile_IM_Nick", "Value": "Ann"}, {"Tag": "Tag_Profile_IM_Image", "Value": "http://a"},
            {"Tag": "Tag_Profile_Custom_Level", "Value": 3}]})
    );
    assert_ne!(answer["UserProfileItem"][1]["ResultCode"], 0);

    server.create_room("r").await;
    let mut ann = server.enter("ann", "r").await;
    let delete = json!({"DeleteItem": [{"UserID": "ann"}, {"UserID": "nobody"}, {"UserID": ADMIN}]});
    let answer = server.call(&account("account_delete"), delete).await;
    let codes: Vec<_> =
        answer["ResultItem"].as_array().unwrap().iter().map(|item| item["ResultCode"] == 0).collect();
    assert_eq!(codes, [true, false, false]);
    assert_eq!(server.members("r").await.1, 0);
    assert_eq!(ann.closed().await, Some(4005));
    let check = json!({"CheckItem": [{"UserID": "ann"}, {"UserID": "ben"}, {"UserID": "eve"}]});
    let answer = server.call(&account("account_check"), check).await;
    let states: Vec<_> =
        answer["ResultItem"].as_array().unwrap().iter().map(|item| &item["AccountStatus"]).collect();
    assert_eq!(states, ["NotImported", "Imported", "Imported"]);
}

#[tokio::test]
async fn a_room_with_a_lifetime_ends_by_itself() {
    let server = Server::start().await;
    let room = |id: &str, field: &str| json!({"RoomInfo": {"RoomId": id, "RoomType": "Live", field: 1}});
    server.live("create_room", room("empty", "LifetimeAfterNoUsers")).await;
    server.live("create_room", room("owned", "LifetimeAfterOwnerLeave")).await;
    let mut guest = server.enter("guest", "owned").await;
    let owner = server.enter(ADMIN, "owned").await;
    assert_eq!(server.live("get_room_info", json!({"RoomId": "owned"})).await["ErrorCode"], 0);

    owner.close().await;

    let closed = guest.event("room_closed").await;
    assert_eq!(closed, json!({"RoomId": "owned", "Cause": "expired"}));
    tokio::time::sleep(Duration::from_millis(200)).await;
    for gone in ["empty", "owned"] {
        assert_eq!(
            server.live("get_room_info", json!({"RoomId": gone})).await["ErrorCode"],
            100_004,
            "{gone}"
        );
    }
    let server = server.restart().await;
    assert_eq!(server.live("get_room_info", json!({"RoomId": "owned"})).await["ErrorCode"], 100_004);
}

#[tokio::test]
async fn what_clients_in_the_wild_send_is_accepted() {
    let server = Server::start().await;
    server.create_room("r").await;
    let url = server.url(&format!("{LIVE}/get_member_list"));
    let http = reqwest::Client::new();
    let body = r#"{"RoomId":"r","Next":"","Extra":[1,{"x":null}]}"#;
    for url in [
        url.clone(),
        url.replace("&random=7", "&random=not-a-number"),
        url.replace("&random=7", ""),
        url.replace("&contenttype=json", ""),
        format!("{url}&other=1"),
    ] {
        let answer: Value = http
            .post(&url)
            .header("content-type", "text/plain")
            .body(body)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(answer["ErrorCode"], 0, "{url}: {answer}");
    }
}
