//! The Live REST family over real HTTP, with real members who notice: metadata, moderation, messages, robots, gifts,
//! statistics, and the Conference family over the same core.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::time::Duration;

use harness::{Client, Server, names, now};
use serde_json::{Value, json};

const CONFERENCE: &str = "room_engine_http_srv";

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|entry| entry.as_str().unwrap()).collect()
}

#[tokio::test]
async fn metadata_is_set_read_deleted_and_survives_a_restart() {
    let server = Server::start().await;
    server.create_room("r").await;
    let mut ann = server.enter("ann", "r").await;
    let entries = json!([{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}, {"Key": "c", "Value": ""}]);

    server.ok("set_room_metadata", json!({"RoomId": "r", "Metadata": entries})).await;
    assert_eq!(ann.event("metadata_changed").await["Metadata"], entries);
    server.ok("set_room_metadata", json!({"RoomId": "r", "Metadata": [{"Key": "a", "Value": "9"}]})).await;
    server.ok("del_room_metadata", json!({"RoomId": "r", "Keys": ["b", "nothing"]})).await;

    let server = server.restart().await;
    let all = server.ok("get_room_metadata", json!({"RoomId": "r", "Keys": []})).await;
    assert_eq!(all["Metadata"], json!([{"Key": "a", "Value": "9"}, {"Key": "c", "Value": ""}]));
    let one = server.ok("get_room_metadata", json!({"RoomId": "r", "Keys": ["c", "x"]})).await;
    assert_eq!(one["Metadata"], json!([{"Key": "c", "Value": ""}]));
    server.ok("del_room_metadata", json!({"RoomId": "r", "Keys": []})).await;
    assert_eq!(server.ok("get_room_metadata", json!({"RoomId": "r"})).await["Metadata"], json!([]));
}

#[tokio::test]
async fn metadata_has_its_limits_over_all_calls_together() {
    let server = Server::start().await;
    server.create_room("r").await;
    let set = |entries: Value| json!({"RoomId": "r", "Metadata": entries});
    let many = |from: usize, to: usize, size: usize| -> Value {
        (from..to).map(|key| json!({"Key": format!("k{key}"), "Value": "x".repeat(size)})).collect()
    };
    server.ok("set_room_metadata", set(many(0, 10, 0))).await;
    assert_eq!(server.code("set_room_metadata", set(many(10, 11, 1))).await, 100_500);
    server.ok("set_room_metadata", set(many(0, 8, 2048))).await;
    assert_eq!(server.code("set_room_metadata", set(many(8, 9, 2048))).await, 100_502, "16 KiB are full");
    assert_eq!(server.code("set_room_metadata", set(many(0, 1, 2049))).await, 100_501);
    let long = json!([{"Key": "k".repeat(51), "Value": ""}]);
    assert_eq!(server.code("set_room_metadata", set(long)).await, 100_504);
}

#[tokio::test]
async fn a_banned_member_is_out_at_once_and_stays_out_until_the_ban_ends() {
    let server = Server::start().await;
    server.create_room("r").await;
    let mut ann = server.enter("ann", "r").await;
    let mut ben = server.enter("ben", "r").await;
    let token = ben.resume_token.clone();
    let ban = json!({"RoomId": "r", "MemberList_Account": ["ben"], "Reason": "spam", "Duration": 2});

    server.ok("ban_member", ban).await;

    assert_eq!(server.members("r").await, (vec!["ann".into()], 1));
    assert_eq!(ben.event("room_closed").await, json!({"RoomId": "r", "Cause": "banned"}));
    let mut left = ann.event("members_changed").await;
    while left["Left"] == json!([]) {
        left = ann.event("members_changed").await;
    }
    assert_eq!(left["Left"], json!([{"Member_Account": "ben", "Cause": "banned"}]));
    assert_eq!(ben.code("enter_room", json!({"RoomId": "r"})).await, 100_016);
    ben.cut();
    let mut again = server.connect().await;
    again.ok("login", json!({"ResumeToken": token})).await;
    assert_eq!(server.members("r").await.1, 1, "resuming brings nobody back in");
    assert_eq!(again.code("enter_room", json!({"RoomId": "r"})).await, 100_016);
    let list = server.ok("get_banned_member_list", json!({"RoomId": "r", "Offset": 0, "Limit": 10})).await;
    let until = list["BannedAccountList"][0]["BannedUntil"].as_u64().unwrap();
    assert!(until >= now() && until <= now() + 2, "{list}");
    assert_eq!(list["BannedAccountList"][0]["Reason"], "spam");

    tokio::time::sleep(Duration::from_millis(2100)).await;
    again.ok("enter_room", json!({"RoomId": "r"})).await;
    let list = server.ok("get_banned_member_list", json!({"RoomId": "r"})).await;
    assert_eq!(list["BannedAccountList"], json!([]));
}

#[tokio::test]
async fn bans_and_mutes_survive_a_restart_and_can_be_lifted() {
    let server = Server::start().await;
    server.create_room("r").await;
    server.import(&["ann", "ben"]).await;
    let ann = json!({"RoomId": "r", "MemberList_Account": ["ann"], "Duration": 1000, "Reason": ""});
    server.ok("ban_member", ann.clone()).await;
    server.ok("mute_member", json!({"RoomId": "r", "MemberList_Account": ["ben"], "MuteTime": 1000})).await;

    let server = server.restart().await;
    let mut client = server.log_in("ann").await;
    assert_eq!(client.code("enter_room", json!({"RoomId": "r"})).await, 100_016);
    let mut ben = server.enter("ben", "r").await;
    assert_eq!(ben.code("send_text_msg", json!({"RoomId": "r", "Text": "hi"})).await, 100_017);
    let muted = server.ok("get_muted_member_list", json!({"RoomId": "r"})).await;
    assert_eq!(muted["MutedAccountList"][0]["Member_Account"], "ben");

    server.ok("unban_member", ann).await;
    client.ok("enter_room", json!({"RoomId": "r"})).await;
    server.ok("mute_member", json!({"RoomId": "r", "MemberList_Account": ["ben"], "MuteTime": 0})).await;
    ben.ok("send_text_msg", json!({"RoomId": "r", "Text": "hi"})).await;
    let muted = server.ok("get_muted_member_list", json!({"RoomId": "r"})).await;
    assert_eq!(muted["MutedAccountList"], json!([]));
}

#[tokio::test]
async fn a_mute_ends_by_itself_to_the_moment() {
    let server = Server::start().await;
    server.create_room("r").await;
    let mut ann = server.enter("ann", "r").await;
    server.ok("mute_member", json!({"RoomId": "r", "MemberList_Account": ["ann"], "MuteTime": 1})).await;
    let event = ann.event("members_muted").await;
    assert_eq!(names(&event["MemberList"]), ["ann"]);

    assert_eq!(ann.code("send_text_msg", json!({"RoomId": "r", "Text": "a"})).await, 100_017);
    assert_eq!(ann.code("send_custom_msg", json!({"RoomId": "r", "Data": "a"})).await, 100_017);
    tokio::time::sleep(Duration::from_millis(1050)).await;

    ann.ok("send_text_msg", json!({"RoomId": "r", "Text": "b"})).await;
}

#[tokio::test]
async fn long_lists_of_bans_page_either_way() {
    let server = Server::start().await;
    server.create_room("r").await;
    let users: Vec<String> = (0..45).map(|number| format!("u{number:02}")).collect();
    server.import(&users.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for chunk in users.chunks(20) {
        let ban = json!({"RoomId": "r", "MemberList_Account": chunk, "Duration": 60, "Reason": "x"});
        server.ok("ban_member", ban).await;
    }

    let (mut seen, mut next) = (Vec::new(), String::new());
    loop {
        let page = json!({"RoomId": "r", "Next": next, "Count": 20});
        let page = server.ok("get_banned_member_list", page).await;
        seen.extend(names(&page["BannedAccountList"]));
        next = page["Next"].as_str().unwrap().into();
        if next.is_empty() {
            break;
        }
    }
    assert_eq!(seen, users);
    let page = server.ok("get_banned_member_list", json!({"RoomId": "r", "Offset": 40, "Limit": 20})).await;
    assert_eq!(names(&page["BannedAccountList"]), users[40..]);
    let too_many = json!({"RoomId": "r", "MemberList_Account": users[..21], "Duration": 60});
    assert_eq!(server.code("ban_member", too_many).await, 100_002);
}

#[tokio::test]
async fn a_kicked_member_may_come_again_and_a_stranger_cannot_be_kicked() {
    let server = Server::start().await;
    server.create_room("r").await;
    let mut ann = server.enter("ann", "r").await;
    server.import(&["ben"]).await;
    let kick = |users: &[&str]| json!({"RoomId": "r", "MemberList_Account": users});

    assert_eq!(server.code("kick_member", kick(&["ann", "ben"])).await, 100_005);
    assert_eq!(server.members("r").await.1, 1, "a refused command changes nothing");
    server.ok("kick_member", kick(&["ann"])).await;

    assert_eq!(server.members("r").await.1, 0);
    assert_eq!(ann.event("room_closed").await["Cause"], "kicked");
    ann.ok("enter_room", json!({"RoomId": "r"})).await;
    server.ok("kick_user_out", kick(&["ann"])).await;
    assert_eq!(server.members("r").await.1, 0);
}

#[tokio::test]
async fn administrators_moderate_and_members_do_not() {
    let server = Server::start().await;
    server.import(&["own"]).await;
    server.create_room_with("r", json!({"Owner_Account": "own"})).await;
    let mut owner = server.enter("own", "r").await;
    let mut ann = server.enter("ann", "r").await;
    let mut ben = server.enter("ben", "r").await;
    let mute = |user: &str| json!({"RoomId": "r", "MemberList_Account": [user], "MuteTime": 60});
    assert_eq!(ann.code("mute_member", mute("ben")).await, 100_006);

    server.ok("modify_admin", json!({"RoomId": "r", "Admin_Account": ["ann"], "OpType": "add"})).await;
    assert_eq!(ben.event("admins_changed").await["Admin_Account"], json!(["ann"]));
    assert_eq!(strings(&server.ok("get_admin_list", json!({"RoomId": "r"})).await["Admin_Account"]), ["ann"]);
    ann.ok("mute_member", mute("ben")).await;
    assert_eq!(ben.code("send_text_msg", json!({"RoomId": "r", "Text": "x"})).await, 100_017);
    assert_eq!(ann.code("mute_member", mute("own")).await, 100_006, "the owner is above");
    assert_eq!(ann.code("destroy_room", json!({"RoomId": "r"})).await, 100_006);

    let server = server.restart().await;
    assert_eq!(strings(&server.ok("get_admin_list", json!({"RoomId": "r"})).await["Admin_Account"]), ["ann"]);
    server.ok("modify_admin", json!({"RoomId": "r", "Admin_Account": ["ann"], "OpType": "delete"})).await;
    assert_eq!(server.ok("get_admin_list", json!({"RoomId": "r"})).await["Admin_Account"], json!([]));
    let owner_too = json!({"RoomId": "r", "Admin_Account": ["own"], "OpType": "add"});
    assert_eq!(server.code("modify_admin", owner_too).await, 100_002);
    owner.socket.close(None).await.ok();
}

#[tokio::test]
async fn a_room_gets_another_owner() {
    let server = Server::start().await;
    server.create_room("r").await;
    server.import(&["ann"]).await;

    server.ok("change_room_owner", json!({"RoomId": "r", "NewOwner_Account": "ann"})).await;

    let info = server.ok("get_room_info", json!({"RoomId": "r"})).await;
    assert_eq!(info["RoomInfo"]["Owner_Account"], "ann");
    let mut ann = server.enter("ann", "r").await;
    ann.ok("destroy_room", json!({"RoomId": "r"})).await;
    assert_eq!(server.code("get_room_info", json!({"RoomId": "r"})).await, 100_004);
}

#[tokio::test]
async fn messages_of_all_kinds_come_in_one_order_and_the_last_fifty_with_entering() {
    let server = Server::start().await;
    server.create_room("r").await;
    server.import(&["bot"]).await;
    let mut ann = server.enter("ann", "r").await;

    let text = json!({"RoomId": "r", "Sender_Account": "bot", "TextContent": "one", "ExtensionInfo": "{}"});
    assert_eq!(server.ok("send_text_msg", text).await["Seq"], 1);
    let custom = json!({"RoomId": "r", "Sender_Account": "bot", "BusinessId": "b", "Data": "{\"x\":1}"});
    server.ok("send_custom_msg", custom).await;
    let group = json!({
        "GroupId": "r", "From_Account": "bot", "Random": 5, "MsgPriority": "High", "SendMsgControl": ["NoUnread"],
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "three"}}],
    });
    let sent = server.call("group_open_http_svc/send_group_msg", group).await;
    assert_eq!(
        (&sent["ErrorCode"], &sent["MsgSeq"], &sent["Response"]),
        (&json!(0), &json!(3), &Value::Null)
    );
    assert!(sent["MsgTime"].as_u64().unwrap() + 5 > now());
    let face = json!({"RoomId": "r", "MsgBody": [{"MsgType": "TIMFaceElem", "MsgContent": {"Index": 6}}]});
    ann.ok("send_group_msg", face).await;

    let first = ann.event("text_msg").await;
    assert_eq!(
        (&first["Text"], &first["From_Account"], &first["ExtensionInfo"]),
        (&json!("one"), &json!("bot"), &json!("{}"))
    );
    let second = ann.event("custom_msg").await;
    assert_eq!(
        (&second["Sender_Account"], &second["BusinessId"], &second["Data"]),
        (&json!("bot"), &json!("b"), &json!("{\"x\":1}"))
    );
    assert_eq!(ann.event("text_msg").await["Text"], "three");
    let fourth = ann.event("group_msg").await;
    assert_eq!((&fourth["MsgBody"][0]["MsgContent"]["Index"], &fourth["Seq"]), (&json!(6), &json!(4)));

    for number in 0..60 {
        ann.ok("send_text_msg", json!({"RoomId": "r", "Text": number.to_string()})).await;
    }
    let server = server.restart().await;
    let mut ben = server.log_in("ben").await;
    let welcome = ben.ok("enter_room", json!({"RoomId": "r"})).await;
    let messages = welcome["Messages"].as_array().unwrap();
    assert_eq!(messages.len(), 50);
    assert_eq!((&messages[0]["Text"], &messages[49]["Text"]), (&json!("10"), &json!("59")));
    assert_eq!(messages[49]["Type"], "text_msg");
    assert_eq!(server.ok("get_room_statistic", json!({"RoomId": "r"})).await["TotalMsgCount"], 64);
}

#[tokio::test]
async fn when_messages_are_off_only_those_in_charge_speak() {
    let server = Server::start().await;
    server.import(&["own"]).await;
    server.create_room_with("r", json!({"Owner_Account": "own"})).await;
    let mut owner = server.enter("own", "r").await;
    let mut ann = server.enter("ann", "r").await;

    owner.ok("update_room_info", json!({"RoomInfo": {"RoomId": "r", "IsMessageDisabled": true}})).await;

    assert_eq!(ann.event("room_info_changed").await["RoomInfo"]["IsMessageDisabled"], true);
    assert_eq!(ann.code("send_text_msg", json!({"RoomId": "r", "Text": "x"})).await, 104_001);
    owner.ok("send_text_msg", json!({"RoomId": "r", "Text": "x"})).await;
    let text = |sender: &str| json!({"RoomId": "r", "Sender_Account": sender, "TextContent": "x"});
    assert_eq!(server.code("send_text_msg", text("ann")).await, 104_001);
    server.ok("send_text_msg", text(harness::ADMIN)).await;
}

#[tokio::test]
async fn robots_are_listed_counted_and_stay_through_a_restart() {
    let mut server = Server::start().await;
    server.create_room_with("r", json!({"MaxMemberCount": 4})).await;
    server.import(&["bot1", "bot2", "bot3"]).await;
    let mut ann = server.enter("ann", "r").await;
    let robots = |users: &[&str]| json!({"RoomId": "r", "RobotList_Account": users});

    server.ok("add_robot", robots(&["bot2", "bot1"])).await;
    server.ok("add_robot", robots(&["bot2"])).await;
    let mut ben = server.enter("ben", "r").await;
    assert_eq!(
        server.members("r").await,
        (vec!["ann".into(), "bot2".into(), "bot1".into(), "ben".into()], 4)
    );
    assert_eq!(server.code("add_robot", robots(&["bot3"])).await, 100_008);
    assert_eq!(server.code("add_robot", robots(&["nobody"])).await, 100_002);
    assert_eq!(
        strings(&server.ok("get_robot", json!({"RoomId": "r"})).await["RobotList_Account"]),
        ["bot1", "bot2"]
    );

    ann.ok("leave_room", json!({"RoomId": "r"})).await;
    ben.ok("leave_room", json!({"RoomId": "r"})).await;
    // Presence is journalled behind the answers, so a crash could bring them back for the resume grace.
    server.terminate().await;
    let server = server.restart().await;
    assert_eq!(server.members("r").await.0, ["bot2", "bot1"]);
    server.ok("del_robot", robots(&["bot2", "bot3"])).await;
    assert_eq!(server.members("r").await, (vec!["bot1".into()], 1));
    let ban = json!({"RoomId": "r", "MemberList_Account": ["bot1"], "Duration": 60, "Reason": ""});
    server.ok("ban_member", ban).await;
    assert_eq!(server.members("r").await.1, 0);
    let server = server.restart().await;
    assert_eq!(server.members("r").await.1, 0, "a banned robot does not come back");
}

#[tokio::test]
async fn gifts_are_sold_given_and_counted() {
    let server = Server::start().await;
    server.create_room("r").await;
    let gift = json!({
        "GiftId": "rose", "DefaultName": "Rose", "DefaultDesc": "red", "IconUrl": "https://e.org/i.png",
        "ResourceUrl": "https://e.org/r.mp4", "Coins": 10, "Level": 2, "ExtensionInfo": "{\"a\":1}",
    });
    server.ok("add_gift", gift.clone()).await;
    assert_eq!(server.code("add_gift", gift.clone()).await, 100_002, "it exists already");
    let answer = server.live("get_gift", json!({"GiftId": "rose"})).await;
    for (field, value) in gift.as_object().unwrap() {
        assert_eq!(answer["Response"]["GiftInfo"][field], *value, "{field}");
    }
    assert_eq!(
        answer["GiftInfo"], answer["Response"]["GiftInfo"],
        "the cloud's own page has it at the top level"
    );
    server.ok("edit_gift", json!({"GiftId": "rose", "Coins": 7})).await;
    assert_eq!(server.code("edit_gift", json!({"GiftId": "car", "Coins": 7})).await, 102_001);
    server
        .ok("set_gift_language", json!({"GiftId": "rose", "Language": "de", "Name": "Rose", "Desc": "rot"}))
        .await;
    server
        .ok("set_gift_language", json!({"GiftId": "rose", "Language": "fr", "Name": "Rose", "Desc": ""}))
        .await;
    server.ok("del_gift_language", json!({"GiftId": "rose", "Language": "fr"})).await;
    server.ok("set_gift_language", json!({"GiftId": "rose", "Language": "de", "Desc": "rote"})).await;
    let words = server.live("get_gift_language", json!({"GiftId": "rose", "Language": "de"})).await;
    let rose = json!({"Name": "Rose", "Desc": "rote"});
    assert_eq!(
        (&words["Response"]["Language"], &words["Response"]["de"], &words["GiftInfo"]),
        (&rose, &rose, &rose)
    );
    let listed = server.ok("get_gift_info_list", json!({"Language": "de"})).await["GiftList"][0].clone();
    assert_eq!(
        (&listed["Name"], &listed["Desc"], &listed["LanguageList"]),
        (&json!("Rose"), &json!("rote"), &json!([{"Language": "de", "Name": "Rose", "Desc": "rote"}]))
    );
    let age = now() - listed["CreateTime"].as_u64().unwrap();
    assert!(age < 60, "{listed}");
    server
        .ok("add_gift_category", json!({"CategoryId": "f", "DefaultName": "Flowers", "DefaultDesc": ""}))
        .await;
    server.ok("edit_gift_category", json!({"CategoryId": "f", "DefaultName": "Flora"})).await;
    let words = json!({"CategoryId": "f", "Language": "de", "CategoryName": "Blumen", "CategoryDesc": "b"});
    server.ok("set_gift_category_language", words).await;
    let words = server.ok("get_gift_category_language", json!({"CategoryId": "f", "Language": "de"})).await;
    assert_eq!(words["Language"], json!({"CategoryName": "Blumen", "CategoryDesc": "b"}));
    server.ok("add_gift_category_relations", json!({"CategoryId": "f", "GiftIdList": ["rose"]})).await;

    let server = server.restart().await;
    let list = server.ok("get_gift_info_list", json!({})).await;
    assert_eq!((&list["TotalCount"], &list["GiftList"][0]["Coins"]), (&json!(1), &json!(7)));
    assert_eq!(list["CategoryList"][0]["GiftIdList"], json!(["rose"]));
    assert_eq!(list["CategoryList"][0]["DefaultName"], "Flora");
    assert_eq!(
        list["CategoryList"][0]["LanguageList"],
        json!([{"Language": "de", "CategoryName": "Blumen", "CategoryDesc": "b"}])
    );
    assert_eq!(
        list["GiftList"][0]["CreateTime"], listed["CreateTime"],
        "neither an edit nor a restart moves it"
    );

    let mut ann = server.enter("ann", "r").await;
    let mut ben = server.enter("ben", "r").await;
    ann.ok("send_gift", json!({"RoomId": "r", "GiftId": "rose", "Count": 3})).await;
    let event = ben.event("gift_received").await;
    assert_eq!((&event["From_Account"], &event["Count"]), (&json!("ann"), &json!(3)));
    assert_eq!(event["ReceiverList_Account"], json!([harness::ADMIN]), "the owner, when nobody is named");
    assert_eq!(event["GiftInfo"]["GiftId"], "rose");
    let give = json!({"RoomId": "r", "GiftId": "rose", "Count": 1, "From_Account": "ben", "ReceiverList_Account": ["ann"]});
    server.ok("send_gift", give.clone()).await;
    assert_eq!(ann.code("send_gift", json!({"RoomId": "r", "GiftId": "car"})).await, 102_001);
    for _ in 0..3 {
        ben.ok("send_like", json!({"RoomId": "r", "Count": 5})).await;
    }
    let mut likes = ann.event("likes_changed").await;
    while likes["TotalLikesReceived"] != 15 {
        likes = ann.event("likes_changed").await;
    }
    assert_eq!(likes["Likes"][0]["From_Account"], "ben");

    let server = server.restart().await;
    let statistic = server.ok("get_room_statistic", json!({"RoomId": "r"})).await;
    let expected = json!({
        "TotalViewers": 2, "TotalMsgCount": 0, "TotalLikesReceived": 15, "TotalGiftsSent": 4, "TotalGiftCoins": 28,
        "TotalUniqueGiftSenders": 2,
    });
    assert_eq!(statistic, expected);
    let count = server.ok("get_gift_count", json!({"RoomId": "r", "From_Account": "ann"})).await;
    assert_eq!(count, json!({"Sequence": 2, "TotalCount": 3, "TotalCoins": 21, "GiftSenderCount": 2}));
    server.ok("update_room_info", json!({"RoomInfo": {"RoomId": "r", "IsGiftEnabled": false}})).await;
    assert_eq!(server.code("send_gift", give).await, 104_002);
    let end = server.ok("destroy_room", json!({"RoomId": "r"})).await;
    assert_eq!(end["Statistic"], expected);

    server.ok("del_gift_category_relations", json!({"CategoryId": "f", "GiftIdList": ["rose"]})).await;
    assert_eq!(
        server.ok("get_gift_category", json!({"CategoryId": "f"})).await["CategoryList"][0]["GiftIdList"],
        json!([])
    );
    let all = server.ok("get_gift_category", json!({})).await;
    assert_eq!(all["CategoryList"].as_array().unwrap().len(), 1, "without a name, all of them");
    server.ok("del_gift_category_language", json!({"CategoryId": "f", "Language": "de"})).await;
    server.ok("del_gift_category", json!({"CategoryId": "f"})).await;
    server.ok("del_gift", json!({"GiftId": "rose"})).await;
    assert_eq!(server.code("get_gift", json!({"GiftId": "rose"})).await, 102_001);
    assert_eq!(server.ok("get_gift_info_list", json!({})).await["TotalCount"], 0);
}

#[tokio::test]
async fn a_conference_room_is_the_same_core_under_its_own_service() {
    let server = Server::start().await;
    let path = |command: &str| format!("{CONFERENCE}/{command}");
    let room = json!({"RoomInfo": {"RoomId": "c", "RoomType": "Conference", "RoomName": "standup"}});
    server.ok(&path("create_room"), room).await;
    let mut ann = server.enter("ann", "c").await;
    let mut ben = server.enter("ben", "c").await;
    assert_eq!(server.code("get_member_list", json!({"RoomId": "c"})).await, 100_006);
    assert_eq!(
        server.code("ban_member", json!({"RoomId": "c", "MemberList_Account": ["ann"], "Duration": 9})).await,
        100_006
    );

    let info = json!({"RoomId": "c", "MemberInfo": {"Member_Account": "ann", "NameCard": "Ann A.", "Role": "Admin", "CustomInfo": "x"}});
    server.ok(&path("update_room_member_info"), info).await;
    assert_eq!(ben.event("member_info_changed").await["NameCard"], "Ann A.");
    let list = server.ok(&path("get_room_member_list"), json!({"RoomId": "c", "Next": ""})).await;
    let first = json!({"Member_Account": "ann", "Role": "Admin", "NameCard": "Ann A.", "Marks": [], "CustomInfo": "x"});
    assert_eq!((&list["MemberCount"], &list["MemberList"][0]), (&json!(2), &first));
    let typed = json!({"RoomInfo": {"RoomId": "c", "RoomType": "Conference", "Notice": "at ten"}});
    ann.ok("update_room_info", typed).await;
    server.ok(&path("update_room_info"), json!({"RoomInfo": {"RoomId": "c", "RoomName": "retro"}})).await;
    assert_eq!(
        server.ok(&path("get_room_info"), json!({"RoomId": "c"})).await["RoomInfo"]["RoomName"],
        "retro"
    );
    server.ok(&path("send_text_msg"), json!({"RoomId": "c", "TextContent": "hello"})).await;
    assert_eq!(ann.event("text_msg").await["Text"], "hello");
    server.ok(&path("send_custom_msg"), json!({"RoomId": "c", "BusinessId": "b", "Data": "d"})).await;

    server
        .ok(&path("mute_room_member"), json!({"RoomId": "c", "MemberList_Account": ["ben"], "MuteTime": 60}))
        .await;
    assert_eq!(ben.code("send_text_msg", json!({"RoomId": "c", "Text": "x"})).await, 100_017);
    assert_eq!(
        names(&server.ok(&path("get_muted_member_list"), json!({"RoomId": "c"})).await["MutedAccountList"]),
        ["ben"]
    );
    let ban =
        json!({"RoomId": "c", "MemberList_Account": ["ben"], "Reason": "r".repeat(1000), "Duration": 60});
    server.ok(&path("ban_room_member"), ban).await;
    assert_eq!(ben.event("room_closed").await["Cause"], "banned");
    let banned =
        server.ok(&path("get_banned_member_list"), json!({"RoomId": "c", "Limit": 100, "Next": ""})).await;
    assert_eq!(names(&banned["BannedAccountList"]), ["ben"]);
    server.ok(&path("unban_room_member"), json!({"RoomId": "c", "MemberList_Account": ["ben"]})).await;
    ben.ok("enter_room", json!({"RoomId": "c"})).await;
    server
        .ok(
            &path("change_room_owner"),
            json!({"RoomId": "c", "From_Account": harness::ADMIN, "NewOwner_Account": "ann"}),
        )
        .await;
    server
        .ok(&path("kick_user_out"), json!({"RoomId": "c", "MemberList_Account": ["ben"], "Reason": "bye"}))
        .await;
    assert_eq!(ben.event("room_closed").await["Cause"], "kicked");
    server.ok(&path("destroy_room"), json!({"RoomId": "c"})).await;
    assert_eq!(ann.event("room_closed").await["Cause"], "destroyed");
}

/// Clients in the wild send small deviations; what the cloud accepts is accepted.
#[tokio::test]
async fn what_the_cloud_accepts_is_accepted() {
    let server = Server::start().await;
    server.create_room("r").await;
    let url = server.url("live_engine_http_srv/get_member_list");
    let client = reqwest::Client::new();
    let body = r#"{"RoomId":"r","Next":"","Extra":{"deep":[1,2]},"Another":null}"#;
    for (what, url, kind) in [
        ("random is no number", url.replace("random=7", "random=abc"), "application/json"),
        ("random is a quoted string", url.replace("random=7", "random=%227%22"), "application/json"),
        ("random is missing", url.replace("&random=7", ""), "application/json"),
        ("random is beyond u32", url.replace("random=7", "random=99999999999"), "application/json"),
        ("contenttype is missing", url.replace("&contenttype=json", ""), "application/json"),
        ("an unknown parameter", format!("{url}&reqtime=5"), "application/json"),
        ("plain text", url.clone(), "text/plain"),
        ("a form", url.clone(), "application/x-www-form-urlencoded"),
        ("a charset", url.clone(), "application/json; charset=utf-8"),
    ] {
        let request = client.post(&url).header("content-type", kind).body(body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["ErrorCode"], 0, "{what}: {answer}");
    }
    let answer: Value = client.post(&url).body(body).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["ErrorCode"], 0, "no Content-Type: {answer}");
    let group = json!({
        "GroupId": "r", "Random": "123456", "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "x"}}],
    });
    let answer = server.call("group_open_http_svc/send_group_msg", group).await;
    assert_eq!(answer["ErrorCode"], 0, "Random as a string, no From_Account: {answer}");
}

/// What the app's server sends, with `Random` as a console numbers it.
fn group_message(random: Value, text: &str) -> Value {
    json!({
        "GroupId": "r", "From_Account": "ann", "Random": random,
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}],
    })
}

#[tokio::test]
async fn a_group_message_that_comes_again_is_sent_once() {
    let server = Server::start().await;
    server.import(&["ann"]).await;
    server.create_room("r").await;
    let send = async |body: Value| {
        let answer = server.call("group_open_http_svc/send_group_msg", body).await;
        assert_eq!(answer["ErrorCode"], 0, "{answer}");
        (answer["MsgSeq"].as_u64().unwrap(), answer["MsgTime"].as_u64().unwrap())
    };

    let first = send(group_message(json!(7), "one")).await;
    for random in [json!(7), json!(7.0), json!("7")] {
        assert_eq!(send(group_message(random, "one")).await, first);
    }
    let mut of_another = group_message(json!(7), "one");
    of_another["From_Account"] = harness::ADMIN.into();
    let mut unnumbered = group_message(Value::Null, "one");
    unnumbered.as_object_mut().unwrap().remove("Random");
    let others = [
        group_message(json!(8), "one"),
        group_message(json!(7), "two"),
        of_another,
        unnumbered.clone(),
        unnumbered,
    ];
    for (number, other) in others.into_iter().enumerate() {
        assert_eq!(send(other).await.0, 2 + number as u64, "it is another message");
    }
    let at_once = (0..10).map(|_| send(group_message(json!(9), "three")));
    let at_once = futures_util::future::join_all(at_once).await;
    assert!(at_once.iter().all(|sent| sent.0 == 7), "{at_once:?}");

    assert_eq!(server.ok("get_room_statistic", json!({"RoomId": "r"})).await["TotalMsgCount"], 7);
    server.ok("destroy_room", json!({"RoomId": "r"})).await;
    server.create_room("r").await;
    assert_eq!(send(group_message(json!(7), "one")).await.0, 1, "the room is another one");
}

#[tokio::test]
async fn a_group_message_that_was_refused_may_come_again() {
    let server = Server::start().await;
    server.import(&["ann"]).await;
    server.create_room("r").await;
    let mute = |seconds: u64| json!({"RoomId": "r", "MemberList_Account": ["ann"], "MuteTime": seconds});
    let path = "group_open_http_svc/send_group_msg";

    server.ok("mute_member", mute(60)).await;
    assert_eq!(server.code(path, group_message(json!(1), "x")).await, 10_017);
    server.ok("mute_member", mute(0)).await;

    let answer = server.call(path, group_message(json!(1), "x")).await;
    assert_eq!((&answer["ErrorCode"], &answer["MsgSeq"]), (&json!(0), &json!(1)));
}

/// Beside a restart nothing is known of what was sent before.
#[tokio::test]
async fn a_group_message_that_comes_again_after_a_restart_is_sent_again() {
    let server = Server::start().await;
    server.import(&["ann"]).await;
    server.create_room("r").await;
    let path = "group_open_http_svc/send_group_msg";
    assert_eq!(server.call(path, group_message(json!(1), "x")).await["MsgSeq"], 1);

    let server = server.restart().await;

    let again = server.call(path, group_message(json!(1), "x")).await["MsgSeq"].as_u64().unwrap();
    assert!(again > 1, "{again}");
}

#[tokio::test]
async fn a_room_with_a_password_lets_in_who_knows_it_and_who_is_in_charge() {
    let server = Server::start().await;
    server.import(&["own", "adm", "ann"]).await;
    let path = |command: &str| format!("{CONFERENCE}/{command}");
    let room = json!({"RoomInfo": {
        "RoomId": "c", "RoomType": "Conference", "Owner_Account": "own", "IsPasswordEnabled": true, "Password": "sesame",
    }});
    let made = server.ok(&path("create_room"), room).await;
    assert_eq!(
        (&made["RoomInfo"]["IsPasswordEnabled"], made["RoomInfo"].get("Password")),
        (&json!(true), None)
    );
    let enter = |password: &str| json!({"RoomId": "c", "Password": password});

    let mut own = server.enter("own", "c").await;
    let mut ann = server.log_in("ann").await;
    assert_eq!(ann.code("enter_room", json!({"RoomId": "c"})).await, 100_018);
    assert_eq!(ann.code("enter_room", enter("open")).await, 100_019);
    let welcome = ann.ok("enter_room", enter("sesame")).await;
    assert_eq!(welcome["RoomInfo"].get("Password"), None);
    assert_eq!(server.whep("c", "ben").await.0, 403, "a player has no way to give it");

    // Who may know it reads it.
    assert_eq!(
        server.ok(&path("get_room_info"), json!({"RoomId": "c"})).await["RoomInfo"]["Password"],
        "sesame"
    );
    assert_eq!(own.ok("get_room_info", json!({"RoomId": "c"})).await["RoomInfo"]["Password"], "sesame");
    let seen = ann.ok("get_room_info", json!({"RoomId": "c"})).await;
    assert_eq!(
        (&seen["RoomInfo"]["IsPasswordEnabled"], seen["RoomInfo"].get("Password")),
        (&json!(true), None)
    );

    // A new one is for those who come after it.
    own.ok("update_room_info", json!({"RoomInfo": {"RoomId": "c", "Password": "barley"}})).await;
    let told = ann.event("room_info_changed").await;
    assert_eq!(told["RoomInfo"].get("Password"), None);
    ann.ok("enter_room", json!({"RoomId": "c"})).await;
    let server = server.restart().await;
    let mut ben = server.log_in("ben").await;
    assert_eq!(ben.code("enter_room", enter("sesame")).await, 100_019);
    ben.ok("enter_room", enter("barley")).await;
    server
        .ok(&path("update_room_info"), json!({"RoomInfo": {"RoomId": "c", "IsPasswordEnabled": false}}))
        .await;
    server.enter("dan", "c").await;
}

#[tokio::test]
async fn a_password_is_not_found_by_trying() {
    let server = Server::with(&[]).await;
    server.create_room_with("r", json!({"Password": "sesame", "IsPlayerListed": false})).await;
    let mut ann = server.log_in("ann").await;
    assert_eq!(server.whep("r", "ann").await.0, 403, "nor is it missed as a player that is only counted");

    let started = tokio::time::Instant::now();
    let mut tried = 0;
    while started.elapsed() < Duration::from_secs(3) {
        let answer = ann.call("enter_room", json!({"RoomId": "r", "Password": format!("{tried:04}")})).await;
        match answer["ErrorCode"].as_u64() {
            Some(100_019) => tried += 1,
            code => assert_eq!(code, Some(60_007), "{answer}"),
        }
    }

    assert!((3..=7).contains(&tried), "{tried} in 3 s");
}

#[tokio::test]
async fn integers_are_read_however_they_are_written() {
    let server = Server::start().await;
    server.import(&["bot"]).await;
    let post = async |path: &str, body: &str| {
        let request = reqwest::Client::new().post(server.url(path)).body(body.to_string());
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["ErrorCode"], 0, "{path} {body}: {answer}");
        answer
    };

    let info = r#"{"RoomInfo":{"RoomId":"r","RoomType":"Live","SeatTemplate":"AudioSalon","MaxSeatCount":"12",
        "MaxMemberCount":1e3,"Category":[1.0,"2"],"TakeSeatMode":2.0,"LifetimeAfterNoUsers":6.0e2}}"#;
    let made = post("live_engine_http_srv/create_room", info).await["Response"]["RoomInfo"].clone();
    for (field, value) in [
        ("MaxSeatCount", json!(12)),
        ("MaxMemberCount", json!(1000)),
        ("Category", json!([1, 2])),
        ("TakeSeatMode", json!("ApplyToTake")),
        ("LifetimeAfterNoUsers", json!(600)),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    post(
        "live_engine_http_srv/mute_member",
        r#"{"RoomId":"r","MemberList_Account":["bot"],"MuteTime":"60"}"#,
    )
    .await;
    post("live_engine_http_srv/get_muted_member_list", r#"{"RoomId":"r","Next":0.0,"Count":"10"}"#).await;
    post("live_engine_http_srv/get_room_list", r#"{"Count":1e1,"SortDirection":1.0}"#).await;
    post("live_engine_http_srv/add_gift", r#"{"GiftId":"g","Coins":1e1,"Level":"3"}"#).await;
    let gift = r#"{"RoomId":"r","GiftId":"g","Count":2.0,"From_Account":"bot"}"#;
    post("live_engine_http_srv/send_gift", gift).await;
    let given = server.ok("get_gift_count", json!({"RoomId": "r"})).await;
    assert_eq!((&given["TotalCount"], &given["TotalCoins"]), (&json!(2), &json!(20)));

    // The gateway reads as REST does.
    let mut ann = server.connect().await;
    let login = json!({"SdkAppId": server.app.to_string(), "UserId": "ann", "UserSig": server.sig("ann")});
    ann.ok("login", login).await;
    ann.ok("enter_room", json!({"RoomId": "r"})).await;
    let liked = ann.ok("send_like", json!({"RoomId": "r", "Count": "4"})).await;
    assert_eq!(liked["TotalLikesReceived"], 4);
}

/// A Conference room with these fields beside its id and type.
fn conference(room: &str, fields: Value) -> Value {
    let mut info = json!({"RoomId": room, "RoomType": "Conference"});
    info.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"RoomInfo": info})
}

fn room_ids(list: &Value) -> Vec<&str> {
    list["RoomList"].as_array().unwrap().iter().map(|room| room["RoomId"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_booked_room_is_on_the_lists_of_who_is_invited_and_kept_until_its_end() {
    let server = Server::start().await;
    let path = |command: &str| format!("{CONFERENCE}/{command}");
    server.import(&["own", "ann", "ben", "dan"]).await;
    let start = now() + 3600;
    let times = json!({"ScheduleStartTime": start, "ScheduleEndTime": start + 600, "Owner_Account": "own",
        "IsCloudRecordingDisabled": true, "TakeSeatMode": "None"});
    let mut late = conference("late", times);
    late["ScheduleInviteeList_Account"] = json!(["ann", "ben", "ann"]);
    let made = server.ok(&path("create_room"), late).await["RoomInfo"].clone();
    for (field, value) in [
        ("RoomStatus", json!("NotStarted")),
        ("ScheduleStartTime", json!(start)),
        ("ScheduleEndTime", json!(start + 600)),
        ("IsCloudRecordingDisabled", json!(true)),
        ("TakeSeatMode", json!("None")),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    // Booked by a member, for a time that has begun.
    let mut ann = server.log_in("ann").await;
    let mut soon = conference("soon", json!({"ScheduleStartTime": now()}));
    soon["ScheduleInviteeList_Account"] = json!(["ben"]);
    let made = ann.ok("create_room", soon).await["RoomInfo"].clone();
    assert_eq!((&made["RoomStatus"], &made["Owner_Account"]), (&json!("Running"), &json!("ann")));
    let length = made["ScheduleEndTime"].as_u64().unwrap() - made["ScheduleStartTime"].as_u64().unwrap();
    assert_eq!(length, 45 * 60);
    let plain = server.ok(&path("create_room"), conference("plain", json!({}))).await["RoomInfo"].clone();
    assert_eq!((&plain["RoomStatus"], &plain["ScheduleStartTime"]), (&json!("None"), &json!(0)));

    // Of each user its own, by when they begin.
    let server = server.restart_in_place().await;
    let list =
        async |user: &str| server.ok(&path("get_scheduled_room_list"), json!({"User_Account": user})).await;
    for (user, rooms) in
        [("ben", vec!["soon", "late"]), ("ann", vec!["soon", "late"]), ("own", vec!["late"]), ("dan", vec![])]
    {
        assert_eq!(room_ids(&list(user).await), rooms, "{user}");
    }
    let first = server.ok(&path("get_scheduled_room_list"), json!({"User_Account": "ben", "Count": 1})).await;
    assert_eq!(room_ids(&first), ["soon"]);
    let next = json!({"User_Account": "ben", "Count": 1, "Next": first["Next"]});
    let second = server.ok(&path("get_scheduled_room_list"), next).await;
    assert_eq!((room_ids(&second), &second["Next"]), (vec!["late"], &json!("")));
    let mut ben = server.log_in("ben").await;
    assert_eq!(room_ids(&ben.ok("get_scheduled_room_list", json!({})).await), ["soon", "late"]);
    assert_eq!(ben.code("get_scheduled_room_list", json!({"User_Account": "ann"})).await, 100_002);

    // Who comes early begins it; nobody need be invited.
    let mut dan = server.enter("dan", "late").await;
    assert_eq!(dan.ok("get_room_info", json!({"RoomId": "late"})).await["RoomInfo"]["RoomStatus"], "Running");
    let invite = |users: &[&str]| json!({"RoomId": "late", "ScheduleInviteeList_Account": users});
    server.ok(&path("add_schedule_invitee"), invite(&["dan", "ben"])).await;
    let changed = dan.event("invitees_changed").await;
    assert_eq!(
        (&changed["ScheduleInviteeList_Account"], &changed["OpType"]),
        (&json!(["dan"]), &json!("add"))
    );
    server.ok(&path("del_schedule_invitee"), invite(&["ben"])).await;
    let invited = dan.ok("get_schedule_invitee_list", json!({"RoomId": "late"})).await;
    assert_eq!(invited["ScheduleInviteeList_Account"], json!(["ann", "dan"]));
    assert_eq!(dan.code("add_schedule_invitee", invite(&["ben"])).await, 100_006, "a member does not invite");
    assert_eq!(room_ids(&list("ben").await), ["soon"]);
    assert_eq!(room_ids(&list("dan").await), ["late"]);
    server.ok(&path("change_room_owner"), json!({"RoomId": "late", "NewOwner_Account": "dan"})).await;
    assert_eq!(room_ids(&list("own").await), Vec::<&str>::new());
    let delete = json!({"DeleteItem": [{"UserID": "ann"}]});
    server.call("im_open_login_svc/account_delete", delete).await;
    let invited = server.ok(&path("get_schedule_invitee_list"), json!({"RoomId": "late"})).await;
    assert_eq!(invited["ScheduleInviteeList_Account"], json!(["dan"]));
    server.ok(&path("destroy_room"), json!({"RoomId": "late"})).await;
    assert_eq!(room_ids(&list("dan").await), Vec::<&str>::new());
}

#[tokio::test]
async fn a_booked_room_that_is_past_its_end_is_over_after_half_a_minute_empty() {
    let server = Server::start().await;
    let path = |command: &str| format!("{CONFERENCE}/{command}");
    server.import(&["ann"]).await;
    let code = async |room: &str| {
        let answer = server.call(&path("get_room_info"), json!({"RoomId": room})).await;
        answer["ErrorCode"].as_u64().unwrap()
    };
    let booked = |length: u64| {
        // Without a schedule such a room would be over after a second.
        json!({"ScheduleStartTime": now(), "ScheduleEndTime": now() + length, "LifetimeAfterNoUsers": 1})
    };
    server.ok(&path("create_room"), conference("long", booked(3600))).await;
    server.ok(&path("create_room"), conference("short", booked(4))).await;
    server.ok(&path("create_room"), conference("busy", booked(4))).await;
    server.ok(&path("create_room"), conference("moved", booked(3600))).await;
    let mut ann = server.enter("ann", "busy").await;
    ann.ok("enter_room", json!({"RoomId": "moved"})).await;
    // A client that reads nothing answers no pings either, and is lost.
    let stay = async |ann: &mut Client, until: tokio::time::Instant| {
        while tokio::time::Instant::now() < until {
            ann.ok("get_room_info", json!({"RoomId": "busy"})).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let begun = tokio::time::Instant::now();
    // The end of one is moved to what is past: it is over as soon as it has stood empty for as long.
    let update =
        conference("moved", json!({"ScheduleStartTime": now() - 100, "ScheduleEndTime": now() - 50}));
    server.ok(&path("update_room_info"), update).await;
    stay(&mut ann, begun + Duration::from_secs(2)).await;
    assert_eq!(code("moved").await, 0, "it is not empty yet");
    let left = tokio::time::Instant::now();
    ann.ok("leave_room", json!({"RoomId": "moved"})).await;

    stay(&mut ann, begun + Duration::from_secs(30)).await;
    assert_eq!((code("long").await, code("short").await), (0, 0), "30 s after its end, not before");
    while code("moved").await == 0 {
        assert!(left.elapsed() < Duration::from_secs(40));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(left.elapsed() > Duration::from_secs(29), "{:?}", left.elapsed());
    stay(&mut ann, begun + Duration::from_secs(36)).await;
    assert_eq!((code("long").await, code("short").await, code("busy").await), (0, 100_004, 0));
}

#[tokio::test]
async fn members_are_listed_with_roles_and_marks_a_page_at_a_time() {
    let server = Server::start().await;
    let path = |command: &str| format!("{CONFERENCE}/{command}");
    server.import(&["own"]).await;
    server.ok(&path("create_room"), conference("c", json!({"Owner_Account": "own"}))).await;
    let mut own = server.enter("own", "c").await;
    let mut ann = server.enter("ann", "c").await;
    let _ben = server.enter("ben", "c").await;
    let mark =
        |kind: Value, members: Value| json!({"RoomId": "c", "CommandType": kind, "MemberList": members});
    let of = |user: &str, marks: &[u32]| json!({"Member_Account": user, "Marks": marks});

    server
        .ok(&path("mark_room_member"), mark(json!(1), json!([of("ann", &[1002, 1000]), of("ben", &[1003])])))
        .await;
    assert_eq!(own.event("member_info_changed").await["Marks"], json!([1000, 1002]));
    own.ok("mark_room_member", mark(json!("1"), json!([of("ann", &[1000, 1001])]))).await;
    own.ok("mark_room_member", mark(json!("2"), json!([of("ann", &[1002, 5000]), of("ben", &[1003])]))).await;
    assert_eq!(ann.code("mark_room_member", mark(json!(1), json!([of("ann", &[1000])]))).await, 100_006);
    let card =
        json!({"RoomId": "c", "MemberInfo": {"Member_Account": "ann", "NameCard": "A", "Role": "Admin"}});
    server.ok(&path("update_room_member_info"), card).await;

    let server = server.restart_in_place().await;
    let page = server.ok(&path("get_room_member_list"), json!({"RoomId": "c", "Count": 2})).await;
    let member = |user: &str, role: &str, card: &str, marks: &[u32]| json!({"Member_Account": user, "Role": role, "NameCard": card, "Marks": marks, "CustomInfo": ""});
    let listed = [member("own", "Owner", "", &[]), member("ann", "Admin", "A", &[1000, 1001])];
    assert_eq!((&page["MemberCount"], &page["MemberList"]), (&json!(3), &json!(listed)));
    let next = json!({"RoomId": "c", "Count": 2, "Next": page["Next"]});
    let page = server.ok(&path("get_room_member_list"), next).await;
    assert_eq!(
        (&page["Next"], &page["MemberList"]),
        (&json!(""), &json!([member("ben", "Member", "", &[])]))
    );

    // Ten different ones in a room, whoever has them.
    for first in [1000, 1003, 1006] {
        let all = [of("ann", &[first, first + 1, first + 2])];
        server.ok(&path("mark_room_member"), mark(json!(1), json!(all))).await;
    }
    server.ok(&path("mark_room_member"), mark(json!(1), json!([of("ben", &[1008, 1009])]))).await;
    let eleventh = mark(json!(1), json!([of("ben", &[1010])]));
    assert_eq!(server.code(&path("mark_room_member"), eleventh.clone()).await, 100_009);
    server.ok(&path("mark_room_member"), mark(json!(2), json!([of("ann", &[1000])]))).await;
    server.ok(&path("mark_room_member"), eleventh).await;
}
