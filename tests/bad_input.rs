//! Whatever is wrong with a request, it gets its documented code and a message, and changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::{ADMIN, Server, now};
use serde_json::{Value, json};
use usersig::{Claims, SecretKey};

const LIVE: &str = "live_engine_http_srv";

struct Case {
    what: String,
    method: &'static str,
    path: String,
    query: String,
    body: Vec<u8>,
    code: u64,
    /// A word the message must have, so that it says what was wrong.
    word: &'static str,
}

struct Cases {
    query: String,
    all: Vec<Case>,
}

impl Cases {
    fn push(
        &mut self,
        what: impl Into<String>,
        path: &str,
        body: impl Into<Vec<u8>>,
        code: u64,
        word: &'static str,
    ) {
        let (path, query) = (format!("/v4/{path}"), self.query.clone());
        self.all.push(Case { what: what.into(), method: "POST", path, query, body: body.into(), code, word });
    }

    fn query(&mut self, what: &str, query: String, code: u64, word: &'static str) {
        self.push(what, &format!("{LIVE}/get_member_list"), r#"{"RoomId":"r"}"#, code, word);
        self.all.last_mut().unwrap().query = query;
    }
}

fn table(server: &Server, commands: &[String]) -> Vec<Case> {
    let (app, sig) = (server.app, server.sig(ADMIN));
    let with = |app: &str, identifier: &str, sig: &str| {
        format!("sdkappid={app}&identifier={identifier}&usersig={sig}&random=1&contenttype=json")
    };
    let good = with(&app.to_string(), ADMIN, &sig);
    let mut cases = Cases { query: good.clone(), all: Vec::new() };
    let sign = |key: &SecretKey, user: &str, app, issued, expire| {
        usersig::sign(key, &Claims::new(user, app, issued, expire)).unwrap()
    };
    let app_text = app.to_string();

    // Who calls.
    for (what, query, code, word) in [
        ("no query", String::new(), 60012, "sdkappid"),
        ("sdkappid empty", with("", ADMIN, &sig), 60012, "sdkappid"),
        ("sdkappid no number", with("abc", ADMIN, &sig), 60006, "sdkappid"),
        ("sdkappid negative", with("-1", ADMIN, &sig), 60006, "sdkappid"),
        ("sdkappid beyond u32", with("4294967296", ADMIN, &sig), 60006, "sdkappid"),
        ("sdkappid fraction", with("1.5", ADMIN, &sig), 60006, "sdkappid"),
        ("app that does not exist", with("5", ADMIN, &sig), 70020, "5"),
        ("identifier missing", format!("sdkappid={app}&usersig={sig}"), 60004, "identifier"),
        ("identifier empty", with(&app_text, "", &sig), 60004, "identifier"),
        ("identifier too long", with(&app_text, &"x".repeat(33), &sig), 60004, "32"),
        ("identifier no UTF-8", with(&app_text, "%FF%FE", &sig), 60002, "identifier"),
        ("identifier of another user", with(&app_text, "ann", &sig), 70013, "user"),
        ("identifier in capitals", with(&app_text, "Administrator", &sig), 70013, "user"),
        ("name in capitals", good.replace("sdkappid", "SdkAppId"), 60012, "sdkappid"),
        ("no administrator", with(&app_text, "ann", &server.sig("ann")), 60010, "ann"),
        ("usersig missing", format!("sdkappid={app}&identifier={ADMIN}"), 70002, "empty"),
        ("usersig empty", with(&app_text, ADMIN, ""), 70002, "empty"),
        ("usersig garbage", with(&app_text, ADMIN, "garbage"), 70003, "decoded"),
        ("usersig truncated", with(&app_text, ADMIN, &sig[..sig.len() / 2]), 70003, "decoded"),
        ("usersig one character short", with(&app_text, ADMIN, &sig[..sig.len() - 1]), 70003, "decoded"),
        ("usersig too long", with(&app_text, ADMIN, &"e".repeat(5000)), 70003, "4096"),
        ("usersig not base64", with(&app_text, ADMIN, "%00%01%02"), 70003, "decoded"),
        (
            "usersig of another key",
            with(&app_text, ADMIN, &sign(&SecretKey::new("k"), ADMIN, app, now(), 60)),
            70009,
            "SecretKey",
        ),
        (
            "usersig of another app",
            with(&app_text, ADMIN, &sign(&server.key, ADMIN, app + 1, now(), 60)),
            70014,
            "SDKAppID",
        ),
        (
            "usersig expired",
            with(&app_text, ADMIN, &sign(&server.key, ADMIN, app, now() - 100, 60)),
            70001,
            "expired",
        ),
        (
            "usersig of the future",
            with(&app_text, ADMIN, &sign(&server.key, ADMIN, app, now() + 1000, 60)),
            70003,
            "clock",
        ),
        (
            "expired and of another key",
            with(&app_text, ADMIN, &sign(&SecretKey::new("k"), ADMIN, app, now() - 100, 60)),
            70009,
            "SecretKey",
        ),
        ("contenttype xml", good.replace("=json", "=xml"), 60002, "contenttype"),
    ] {
        cases.query(what, query, code, word);
    }

    // What is called, and how.
    for (method, path) in [
        ("GET", "get_member_list"),
        ("PUT", "create_room"),
        ("DELETE", "destroy_room"),
        ("PATCH", "update_room_info"),
    ] {
        cases.push(format!("{method} {path}"), &format!("{LIVE}/{path}"), r#"{"RoomId":"r"}"#, 60008, "POST");
        cases.all.last_mut().unwrap().method = method;
    }
    for path in [
        "live_engine_http_srv/fly",
        "live_engine_http_srv/",
        "live_engine_http_srv",
        "nothing/get_member_list",
        "",
        "live_engine_http_srv/get_member_list/",
        "live_engine_http_srv/GET_MEMBER_LIST",
        "room_engine_http_srv/get_room_list",
        "live_engine_http_srv/get_member_list/x",
        "../v4/live_engine_http_srv/x",
        "live_engine_http_srv/%00",
    ] {
        cases.push(format!("unknown {path:?}"), path, "{}", 60009, "URL");
    }

    // Bodies that are no JSON object, for every command.
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for path in commands {
        for (what, body, word) in [
            ("empty body", &b""[..], "empty"),
            ("truncated", br#"{"RoomId":"r""#, "JSON"),
            ("no object", br#"["r"]"#, "object"),
            ("a string", br#""r""#, "object"),
            ("trailing text", br#"{} x"#, "JSON"),
            ("invalid UTF-8", b"{\"RoomId\":\"\xFF\"}", "UTF-8"),
            ("10,000 deep", deep.as_bytes(), "deep"),
        ] {
            cases.push(format!("{path}: {what}"), path, body, 60003, word);
        }
    }
    for (what, body) in [
        ("white space", "   "),
        ("null", "null"),
        ("a number", "7"),
        ("single quotes", "{'RoomId':'r'}"),
        ("no quotes", "{RoomId:1}"),
        ("a comma too many", r#"{"RoomId":"r",}"#),
        ("form", "RoomId=r"),
        ("a lone surrogate", r#"{"RoomId":"\ud800"}"#),
        ("NaN", r#"{"RoomId":NaN}"#),
        ("a raw line feed", "{\"RoomId\":\"a\nb\"}"),
        ("wrong type before broken JSON", r#"{"RoomId":7,"Next":"#),
    ] {
        cases.push(what, &format!("{LIVE}/get_member_list"), body, 60003, "JSON");
        cases.all.last_mut().unwrap().word = "";
    }
    let big = format!(r#"{{"RoomId":"r","pad":"{}"}}"#, "x".repeat(1 << 20));
    cases.push("a body over 1 MiB", &format!("{LIVE}/get_member_list"), big, 60008, "1048576");

    // Room ids, for every command that takes one.
    let long = "r".repeat(65);
    let ids = [
        ("missing", None, 100_002),
        ("null", Some(Value::Null), 100_002),
        ("empty", Some(json!("")), 100_002),
        ("a number", Some(json!(7)), 100_002),
        ("a list", Some(json!(["r"])), 100_002),
        ("an object", Some(json!({})), 100_002),
        ("true", Some(json!(true)), 100_002),
        ("too long", Some(json!(long)), 100_002),
        ("too long in bytes", Some(json!("张".repeat(22))), 100_002),
        ("with a control character", Some(json!("a\u{0}b")), 100_002),
    ];
    for command in ["get_member_list", "get_room_info", "destroy_room"] {
        for (what, id, code) in ids.iter().cloned().chain([
            ("of no room", Some(json!("nowhere")), 100_004),
            ("of a conference", Some(json!("c")), 100_006),
        ]) {
            let body = id.map_or(json!({}), |id| json!({"RoomId": id}));
            let word = match code {
                100_004 => "exist",
                100_006 => "Conference",
                _ => "RoomId",
            };
            cases.push(
                format!("{command}: RoomId {what}"),
                &format!("{LIVE}/{command}"),
                body.to_string(),
                code,
                word,
            );
        }
    }
    // Only a page may make a room with as long a name.
    let of_pages = ("as long as those of pages", Some(json!("r".repeat(49))), 100_002);
    for command in ["create_room", "update_room_info"] {
        let more = (command == "create_room").then(|| of_pages.clone());
        for (what, id, code) in ids.iter().cloned().chain(more) {
            let mut info = json!({"RoomType": "Live"});
            if let Some(id) = id {
                info["RoomId"] = id;
            }
            cases.push(
                format!("{command}: RoomId {what}"),
                &format!("{LIVE}/{command}"),
                json!({"RoomInfo": info}).to_string(),
                code,
                "RoomId",
            );
        }
    }

    // Cursors.
    let next = [
        json!("1"),
        json!("0"),
        json!("next"),
        json!("0".repeat(48)),
        json!("f".repeat(48)),
        json!("+".repeat(48)),
        json!("é".repeat(24)),
        json!(7),
        json!(["x"]),
        json!({}),
        json!("\u{0}"),
    ];
    for next in next {
        let body = json!({"RoomId": "r", "Next": next}).to_string();
        cases.push(format!("cursor {next}"), &format!("{LIVE}/get_member_list"), body, 100_002, "Next");
    }

    // Fields of a room.
    let text = |bytes: usize| json!("x".repeat(bytes));
    for (field, value) in [
        ("RoomType", json!("Conference")),
        ("RoomType", json!("live")),
        ("RoomType", json!(1)),
        ("RoomName", text(101)),
        ("RoomName", json!(5)),
        ("Owner_Account", json!("nobody")),
        ("Owner_Account", json!(5)),
        ("Owner_Account", text(33)),
        ("SeatTemplate", json!("Stadium")),
        ("SeatTemplate", json!(600)),
        ("SeatLayoutTemplateId", json!("x")),
        ("SeatLayoutTemplateId", json!(-1)),
        ("IsSeatEnabled", json!("yes")),
        ("TakeSeatMode", json!("Grab")),
        ("TakeSeatMode", json!(7)),
        ("TakeSeatMode", json!([])),
        ("MaxSeatCount", json!(-1)),
        ("MaxSeatCount", json!("nine")),
        ("MaxSeatCount", json!(1.5)),
        ("KeepOwnerOnSeat", json!(1)),
        ("MaxMemberCount", json!(-1)),
        ("MaxMemberCount", json!("many")),
        ("IsUnlimitedRoomEnabled", json!(0)),
        ("CoverURL", text(201)),
        ("CoverURL", json!(1)),
        ("BackgroundURL", text(201)),
        ("Notice", text(101)),
        ("Notice", json!({})),
        ("Category", json!([1, 2, 3, 4])),
        ("Category", json!(1)),
        ("Category", json!(["a"])),
        ("ActivityStatus", json!("on")),
        ("IsPublicVisible", json!("true")),
        ("IsMessageDisabled", json!(1)),
        ("IsGiftEnabled", json!("no")),
        ("IsLikeEnabled", json!([])),
        ("IsAudioDisabled", json!(0)),
        ("IsVideoDisabled", json!({})),
        ("IsScreenSharingDisabled", json!("")),
        ("LifetimeAfterNoUsers", json!(-5)),
        ("LifetimeAfterNoUsers", json!("5s")),
        ("LifetimeAfterOwnerLeave", json!(1e12)),
        ("LifetimeAfterOwnerOffline", json!(true)),
        ("CustomInfo", text(2049)),
        ("CustomInfo", json!([])),
        ("IsPasswordEnabled", json!("yes")),
        ("Password", text(33)),
        ("Password", json!(1234)),
    ] {
        for (command, id) in [("create_room", "new"), ("update_room_info", "r")] {
            let mut info = json!({"RoomId": id, "RoomType": "Live"});
            info[field] = value.clone();
            let shown = value.to_string().chars().take(20).collect::<String>();
            cases.push(
                format!("{command}: {field} {shown}"),
                &format!("{LIVE}/{command}"),
                json!({"RoomInfo": info}).to_string(),
                match (field, &value) {
                    ("RoomType", Value::String(_)) => 100_015,
                    ("Category", Value::Array(tags)) if tags.len() > 3 => 100_009,
                    _ => 100_002,
                },
                field,
            );
        }
    }
    let over =
        json!({"RoomInfo": {"RoomId": "new", "SeatTemplate": "VideoLandscape4Seats", "MaxSeatCount": 5}});
    for (what, path, body, code, word) in [
        ("more seats than the template has", "create_room", over, 100_002, "MaxSeatCount"),
        ("no RoomInfo", "create_room", json!({}), 100_002, "RoomInfo"),
        ("RoomInfo a list", "create_room", json!({"RoomInfo": ["new", "Live"]}), 100_002, "RoomInfo"),
        ("RoomInfo a string", "create_room", json!({"RoomInfo": "new"}), 100_002, "RoomInfo"),
        (
            "room exists",
            "create_room",
            json!({"RoomInfo": {"RoomId": "r", "RoomType": "Live"}}),
            100_010,
            "use it",
        ),
        (
            "conference of that id exists",
            "create_room",
            json!({"RoomInfo": {"RoomId": "c", "RoomType": "Live"}}),
            100_003,
            "exists",
        ),
        (
            "update of no room",
            "update_room_info",
            json!({"RoomInfo": {"RoomId": "nowhere"}}),
            100_004,
            "exist",
        ),
        (
            "update of a conference",
            "update_room_info",
            json!({"RoomInfo": {"RoomId": "c"}}),
            100_006,
            "Conference",
        ),
        ("update without RoomInfo", "update_room_info", json!({"RoomId": "r"}), 100_002, "RoomInfo"),
        ("Count 0", "get_room_list", json!({"Next": "", "Count": 0}), 100_002, "Count"),
        ("Count negative", "get_room_list", json!({"Next": "", "Count": -1}), 100_002, "Count"),
        ("Count a string", "get_room_list", json!({"Next": "", "Count": "twenty"}), 100_002, "Count"),
        ("Next a number", "get_room_list", json!({"Next": 5}), 100_002, "Next"),
        ("Next forged", "get_room_list", json!({"Next": "!!!"}), 100_002, "Next"),
        ("Next of another kind", "get_room_list", json!({"Next": "bm90aGluZw"}), 100_002, "Next"),
        ("SortDirection a list", "get_room_list", json!({"SortDirection": []}), 100_002, "SortDirection"),
    ] {
        cases.push(what, &format!("{LIVE}/{path}"), body.to_string(), code, word);
    }

    // Accounts and profiles.
    let hundred_and_one: Vec<_> = (0..101).map(|number| format!("u{number}")).collect();
    let named: Vec<_> = hundred_and_one.iter().map(|user| json!({"UserID": user})).collect();
    let tags = json!(["Tag_Profile_IM_Nick"]);
    for (what, path, body, code, word) in [
        ("no UserID", "im_open_login_svc/account_import", json!({}), 100_002, "UserID"),
        ("UserID empty", "im_open_login_svc/account_import", json!({"UserID": ""}), 100_002, "UserID"),
        ("UserID too long", "im_open_login_svc/account_import", json!({"UserID": text(33)}), 100_002, "32"),
        ("UserID a number", "im_open_login_svc/account_import", json!({"UserID": 5}), 60015, "string"),
        ("UserID a list", "im_open_login_svc/account_import", json!({"UserID": ["x"]}), 60015, "string"),
        (
            "UserID with a line feed",
            "im_open_login_svc/account_import",
            json!({"UserID": "a\nb"}),
            100_002,
            "control",
        ),
        (
            "Nick too long",
            "im_open_login_svc/account_import",
            json!({"UserID": "new", "Nick": text(501)}),
            100_002,
            "Nick",
        ),
        (
            "Nick a number",
            "im_open_login_svc/account_import",
            json!({"UserID": "new", "Nick": 5}),
            100_002,
            "Nick",
        ),
        (
            "FaceUrl too long",
            "im_open_login_svc/account_import",
            json!({"UserID": "new", "FaceUrl": text(501)}),
            100_002,
            "FaceUrl",
        ),
        ("no accounts", "im_open_login_svc/multiaccount_import", json!({}), 100_002, "Accounts"),
        (
            "accounts empty",
            "im_open_login_svc/multiaccount_import",
            json!({"Accounts": []}),
            100_002,
            "Accounts",
        ),
        (
            "101 accounts",
            "im_open_login_svc/multiaccount_import",
            json!({"Accounts": hundred_and_one}),
            100_002,
            "100",
        ),
        (
            "101 in the list",
            "im_open_login_svc/multiaccount_import",
            json!({"AccountList": named}),
            100_002,
            "100",
        ),
        (
            "an account a number",
            "im_open_login_svc/multiaccount_import",
            json!({"Accounts": ["new", 5]}),
            60015,
            "string",
        ),
        (
            "accounts a string",
            "im_open_login_svc/multiaccount_import",
            json!({"Accounts": "new"}),
            100_002,
            "Accounts",
        ),
        ("nothing to delete", "im_open_login_svc/account_delete", json!({}), 100_002, "DeleteItem"),
        ("101 to delete", "im_open_login_svc/account_delete", json!({"DeleteItem": named}), 100_002, "100"),
        (
            "one to delete a number",
            "im_open_login_svc/account_delete",
            json!({"DeleteItem": [{"UserID": "kept"}, {"UserID": 5}]}),
            60015,
            "string",
        ),
        (
            "nothing to check",
            "im_open_login_svc/account_check",
            json!({"CheckItem": []}),
            100_002,
            "CheckItem",
        ),
        (
            "one to check without a name",
            "im_open_login_svc/account_check",
            json!({"CheckItem": [{}]}),
            100_002,
            "UserID",
        ),
        ("101 to check", "im_open_login_svc/account_check", json!({"CheckItem": named}), 100_002, "100"),
        ("nobody's portrait", "profile/portrait_get", json!({"TagList": tags}), 100_002, "To_Account"),
        ("no tags", "profile/portrait_get", json!({"To_Account": ["kept"]}), 100_002, "TagList"),
        (
            "101 portraits",
            "profile/portrait_get",
            json!({"To_Account": hundred_and_one, "TagList": tags}),
            100_002,
            "100",
        ),
        (
            "a portrait of a number",
            "profile/portrait_get",
            json!({"To_Account": [5], "TagList": tags}),
            60015,
            "string",
        ),
        ("whose portrait?", "profile/portrait_set", json!({"ProfileItem": []}), 100_002, "From_Account"),
        (
            "portrait of nobody",
            "profile/portrait_set",
            json!({"From_Account": "nobody", "ProfileItem": [{"Tag": "Tag_Profile_IM_Nick", "Value": "x"}]}),
            100_002,
            "imported",
        ),
        ("no items", "profile/portrait_set", json!({"From_Account": "kept"}), 100_002, "ProfileItem"),
        (
            "an unknown tag",
            "profile/portrait_set",
            json!({"From_Account": "kept", "ProfileItem": [{"Tag": "x", "Value": "x"}]}),
            100_002,
            "Tag",
        ),
        (
            "a nick that is a number",
            "profile/portrait_set",
            json!({"From_Account": "kept", "ProfileItem": [{"Tag": "Tag_Profile_IM_Nick", "Value": 5}]}),
            100_002,
            "Nick",
        ),
        (
            "an item without value",
            "profile/portrait_set",
            json!({"From_Account": "kept", "ProfileItem": [{"Tag": "Tag_Profile_IM_Nick"}]}),
            100_002,
            "Value",
        ),
        (
            "a value too long",
            "profile/portrait_set",
            json!({"From_Account": "kept", "ProfileItem": [{"Tag": "Tag_Profile_IM_Nick", "Value": text(501)}]}),
            100_002,
            "Nick",
        ),
    ] {
        cases.push(what, path, body.to_string(), code, word);
    }
    family(&mut cases);
    cases.all
}

/// A sound request of each command on a room, and what is wrong when a field of it is.
fn family(cases: &mut Cases) {
    let text = |bytes: usize| json!("x".repeat(bytes));
    let kept = json!(["kept"]);
    let users = |field: &'static str| {
        vec![
            (field, Value::Null, 100_002, field),
            (field, json!([]), 100_002, field),
            (field, json!("kept"), 100_002, field),
            (field, json!([5]), 100_002, field),
            (field, json!(["nobody"]), 100_002, "imported"),
            (field, json!([text(33)]), 100_002, "32"),
        ]
    };
    let user = |field: &'static str| {
        vec![
            (field, Value::Null, 100_002, field),
            (field, json!(""), 100_002, field),
            (field, json!(5), 100_002, field),
            (field, json!("nobody"), 100_002, "imported"),
            (field, text(33), 100_002, "32"),
        ]
    };
    let many: Vec<Value> = (0..21).map(|_| json!("kept")).collect();
    let members = |own: Vec<(&'static str, Value, u64, &'static str)>| {
        let mut all = users("MemberList_Account");
        all.push(("MemberList_Account", json!(many), 100_002, "20"));
        all.extend(own);
        all
    };
    let page = vec![
        ("Next", json!("x"), 100_002, "Next"),
        ("Next", json!([]), 100_002, "Next"),
        ("Count", json!(0), 100_002, "Count is 0"),
        ("Limit", json!(0), 100_002, "Limit is 0"),
        ("Limit", json!(-1), 100_002, "Limit"),
        ("Offset", json!("x"), 100_002, "Offset"),
    ];
    let entry = json!([{"Key": "k", "Value": "v"}]);
    let eleven: Value = (0..11).map(|key| json!({"Key": key.to_string(), "Value": ""})).collect();
    let nine: Value = (0..9).map(|key| json!({"Key": key.to_string(), "Value": "x".repeat(2048)})).collect();
    let metadata = vec![
        ("Metadata", Value::Null, 100_002, "Metadata"),
        ("Metadata", json!([]), 100_002, "Metadata"),
        ("Metadata", json!({"k": "v"}), 100_002, "Metadata"),
        ("Metadata", json!([{"Key": "k"}]), 100_002, "Value"),
        ("Metadata", json!([{"Value": "v"}]), 100_002, "Key"),
        ("Metadata", json!([{"Key": "", "Value": "v"}]), 100_002, "Key"),
        ("Metadata", json!([{"Key": 5, "Value": "v"}]), 100_002, "Key"),
        ("Metadata", json!([{"Key": text(51), "Value": "v"}]), 100_504, "50"),
        ("Metadata", json!([{"Key": "k", "Value": text(2049)}]), 100_501, "2048"),
        ("Metadata", json!([{"Key": "k", "Value": 5}]), 100_002, "Value"),
        ("Metadata", json!([{"Key": "k", "Value": ""}, {"Key": "k", "Value": ""}]), 100_002, "twice"),
        ("Metadata", eleven, 100_500, "10"),
        ("Metadata", nine, 100_502, "16384"),
    ];
    let message = |field: &'static str| {
        vec![
            (field, Value::Null, 100_002, field),
            (field, json!(5), 100_002, field),
            (field, text(13_000), 100_002, "12288"),
            ("Sender_Account", json!("nobody"), 100_002, "imported"),
            ("Sender_Account", json!(5), 100_002, "Sender_Account"),
        ]
    };
    let seat = |field: &'static str| {
        vec![
            (field, json!(99), 100_002, "seats"),
            (field, json!(-2), 100_002, "Index"),
            (field, json!(1.5), 100_002, "Index"),
            (field, json!("one"), 100_002, "Index"),
            (field, json!(5_000_000_000_u64), 100_002, "Index"),
        ]
    };
    let with_user = |mut own: Vec<(&'static str, Value, u64, &'static str)>| {
        own.extend(user("Member_Account"));
        own.push(("Member_Account", json!("kept"), 100_005, "member"));
        own
    };
    let live = |command: &str| format!("{LIVE}/{command}");
    let mic = |command: &str| format!("room_engine_http_mic/{command}");
    let conference = |command: &str| format!("room_engine_http_srv/{command}");
    let marked = json!({"Member_Account": "kept", "Marks": [1000]});
    type Mistakes = Vec<(&'static str, Value, u64, &'static str)>;
    let commands: Vec<(String, Value, Mistakes)> = vec![
        (live("set_room_metadata"), json!({"Metadata": entry}), metadata),
        (
            live("get_room_metadata"),
            json!({}),
            vec![("Keys", json!("k"), 100_002, "Keys"), ("Keys", json!([5]), 100_002, "Keys")],
        ),
        (
            live("del_room_metadata"),
            json!({}),
            vec![("Keys", json!({}), 100_002, "Keys"), ("Keys", json!(["x"]), 100_503, "Keys")],
        ),
        (live("get_room_statistic"), json!({}), vec![]),
        (live("resume_mcu_task"), json!({}), vec![]),
        (
            live("mute_member"),
            json!({"MemberList_Account": kept, "MuteTime": 5}),
            members(vec![
                ("MuteTime", Value::Null, 100_002, "MuteTime"),
                ("MuteTime", json!(-1), 100_002, "MuteTime"),
                ("MuteTime", json!("five"), 100_002, "MuteTime"),
                ("MuteTime", json!(5.5), 100_002, "MuteTime"),
                ("MuteTime", json!(5_000_000_000_u64), 100_002, "MuteTime"),
            ]),
        ),
        (
            live("ban_member"),
            json!({"MemberList_Account": kept, "Duration": 5}),
            members(vec![
                ("Duration", Value::Null, 100_002, "Duration"),
                ("Duration", json!(0), 100_002, "Duration"),
                ("Duration", json!(-1), 100_002, "Duration"),
                ("Duration", json!("5 s"), 100_002, "Duration"),
                ("Reason", text(201), 100_002, "200"),
                ("Reason", json!(5), 100_002, "Reason"),
            ]),
        ),
        (live("unban_member"), json!({"MemberList_Account": kept}), members(vec![])),
        (
            live("kick_member"),
            json!({"MemberList_Account": ["ann"]}),
            members(vec![("MemberList_Account", kept.clone(), 100_005, "kept")]),
        ),
        (live("get_muted_member_list"), json!({}), page.clone()),
        (live("get_banned_member_list"), json!({}), page.clone()),
        (live("get_admin_list"), json!({}), vec![]),
        (live("modify_admin"), json!({"Admin_Account": kept, "OpType": "add"}), {
            let mut all = users("Admin_Account");
            all.push(("OpType", Value::Null, 100_002, "OpType"));
            all.push(("OpType", json!("promote"), 100_002, "OpType"));
            all.push(("OpType", json!(1), 100_002, "OpType"));
            all.push(("Admin_Account", json!([ADMIN]), 100_002, "owner"));
            all
        }),
        (live("change_room_owner"), json!({"NewOwner_Account": "kept"}), user("NewOwner_Account")),
        (live("send_text_msg"), json!({"TextContent": "x"}), message("TextContent")),
        (live("send_custom_msg"), json!({"Data": "x"}), message("Data")),
        (live("add_robot"), json!({"RobotList_Account": kept}), users("RobotList_Account")),
        (live("del_robot"), json!({"RobotList_Account": kept}), users("RobotList_Account")),
        (
            live("get_robot"),
            json!({}),
            vec![("Next", json!(5), 100_002, "Next"), ("Next", text(33), 100_002, "Next")],
        ),
        (live("send_gift"), json!({"GiftId": "g", "From_Account": "kept", "Count": 1}), {
            let mut all = user("From_Account");
            all.push(("GiftId", Value::Null, 100_002, "GiftId"));
            all.push(("GiftId", json!("none"), 102_001, "none"));
            all.push(("Count", json!(0), 100_002, "Count"));
            all.push(("Count", json!(-1), 100_002, "Count"));
            all.push(("Count", json!(100_001), 100_002, "Count"));
            all.push(("ReceiverList_Account", json!(["nobody"]), 100_002, "imported"));
            all
        }),
        (live("get_gift_count"), json!({}), vec![("From_Account", json!("nobody"), 100_002, "imported")]),
        (mic("pick_user_on_seat"), json!({"Member_Account": "ann", "Index": 1}), with_user(seat("Index"))),
        (mic("kick_user_off_seat"), json!({"Member_Account": "ann"}), {
            let mut all = with_user(vec![]);
            all.push(("Member_Account", json!("ann"), 100_206, "seat"));
            all
        }),
        (mic("lock_seat"), json!({"Index": 1, "ForbidTaken": true}), {
            let mut all = seat("Index");
            all.push(("Index", Value::Null, 100_002, "Index"));
            all.push(("ForbidTaken", Value::Null, 100_002, "ForbidTaken"));
            all.push(("ForbidTaken", json!("yes"), 100_002, "ForbidTaken"));
            all.push(("ForbidAudio", json!(1), 100_002, "ForbidAudio"));
            all
        }),
        (mic("move_user_to_seat"), json!({"Member_Account": "ann", "SeatIndex": 1, "Policy": 0}), {
            let mut all = with_user(vec![]);
            all.push(("Policy", json!(3), 100_002, "Policy"));
            all.push(("Policy", json!("swap"), 100_002, "Policy"));
            all.push(("SeatIndex", Value::Null, 100_002, "Index"));
            all.push(("SeatIndex", json!(1), 100_206, "seat"));
            all
        }),
        (mic("get_seat_list"), json!({}), vec![("RoomId", json!("plain"), 100_211, "seats")]),
        (
            conference("get_room_member_list"),
            json!({"RoomId": "c"}),
            vec![
                ("Next", json!("x"), 100_002, "Next"),
                ("Next", json!(5), 100_002, "Next"),
                ("Count", json!(0), 100_002, "Count"),
                ("Count", json!(-1), 100_002, "Count"),
                ("Count", json!("many"), 100_002, "Count"),
            ],
        ),
        (conference("mark_room_member"), json!({"RoomId": "c", "CommandType": 1, "MemberList": [marked]}), {
            let of = |user: &str, marks: Value| json!([{"Member_Account": user, "Marks": marks}]);
            vec![
                ("CommandType", Value::Null, 100_002, "CommandType"),
                ("CommandType", json!(0), 100_002, "CommandType"),
                ("CommandType", json!(3), 100_002, "CommandType"),
                ("CommandType", json!("set"), 100_002, "CommandType"),
                ("CommandType", json!([1]), 100_002, "CommandType"),
                ("MemberList", Value::Null, 100_002, "MemberList"),
                ("MemberList", json!([]), 100_002, "MemberList"),
                ("MemberList", json!("ann"), 100_002, "MemberList"),
                ("MemberList", json!(["ann"]), 100_002, "MemberList"),
                ("MemberList", (0..11).map(|_| marked.clone()).collect(), 100_002, "10"),
                ("MemberList", json!([{"Marks": [1000]}]), 100_002, "Member_Account"),
                ("MemberList", of("nobody", json!([1000])), 100_002, "imported"),
                ("MemberList", of("kept", json!([1000])), 100_005, "kept"),
                ("MemberList", json!([{"Member_Account": "kept"}]), 100_002, "Marks"),
                ("MemberList", of("kept", json!([])), 100_002, "Marks"),
                ("MemberList", of("kept", json!([999])), 100_002, "1000"),
                ("MemberList", of("kept", json!([-1])), 100_002, "Marks"),
                ("MemberList", of("kept", json!([4_294_967_296_u64])), 100_002, "Marks"),
                ("MemberList", of("kept", json!(["a"])), 100_002, "Marks"),
                ("MemberList", of("kept", json!([1000, 1001, 1002, 1003])), 100_002, "3"),
            ]
        }),
        (conference("get_schedule_invitee_list"), json!({"RoomId": "c"}), page),
        (conference("add_schedule_invitee"), json!({"RoomId": "c", "ScheduleInviteeList_Account": kept}), {
            vec![
                ("ScheduleInviteeList_Account", kept.clone(), 100_002, "booked"),
                ("ScheduleInviteeList_Account", Value::Null, 100_002, "ScheduleInviteeList_Account"),
                ("ScheduleInviteeList_Account", json!([]), 100_002, "names no account"),
                ("ScheduleInviteeList_Account", json!(["nobody"]), 100_002, "imported"),
                ("ScheduleInviteeList_Account", (0..301).map(|_| json!("kept")).collect(), 100_002, "300"),
            ]
        }),
        (
            conference("del_schedule_invitee"),
            json!({"RoomId": "c", "ScheduleInviteeList_Account": kept}),
            vec![("ScheduleInviteeList_Account", kept.clone(), 100_002, "booked")],
        ),
        (
            conference("ban_room_member"),
            json!({"RoomId": "c", "MemberList_Account": kept, "Duration": 5}),
            members(vec![
                ("Reason", text(1001), 100_002, "1000"),
                ("Duration", Value::Null, 100_002, "Duration"),
            ]),
        ),
        (
            conference("mute_room_member"),
            json!({"RoomId": "c", "MemberList_Account": kept, "MuteTime": 5}),
            members(vec![("MuteTime", Value::Null, 100_002, "MuteTime")]),
        ),
        (
            conference("update_room_member_info"),
            json!({"RoomId": "c", "MemberInfo": {"Member_Account": "kept"}}),
            vec![
                ("MemberInfo", Value::Null, 100_002, "MemberInfo"),
                ("MemberInfo", json!({}), 100_002, "Member_Account"),
                ("MemberInfo", json!({"Member_Account": "kept"}), 100_005, "kept"),
                ("MemberInfo", json!({"Member_Account": "kept", "Role": "King"}), 100_002, "Role"),
            ],
        ),
        (
            conference("change_room_owner"),
            json!({"RoomId": "c", "NewOwner_Account": "kept"}),
            vec![
                ("NewOwner_Account", json!("kept"), 100_005, "kept"),
                ("NewOwner_Account", Value::Null, 100_002, "NewOwner_Account"),
                ("From_Account", json!("kept"), 100_002, "owner"),
            ],
        ),
    ];
    for (path, sound, mistakes) in commands {
        let is_conference = path.starts_with("room_engine_http_srv");
        let of_both = path.starts_with("room_engine_http_mic");
        let mut sound = sound;
        if sound.get("RoomId").is_none() {
            sound["RoomId"] = json!("r");
        }
        let mut all = vec![
            ("RoomId", Value::Null, 100_002, "RoomId"),
            ("RoomId", json!(""), 100_002, "RoomId"),
            ("RoomId", json!(5), 100_002, "RoomId"),
            ("RoomId", text(65), 100_002, "64"),
            ("RoomId", json!("nowhere"), 100_004, "exist"),
        ];
        if is_conference {
            all.push(("RoomId", json!("r"), 100_015, "Live"));
        } else if !of_both {
            all.push(("RoomId", json!("c"), 100_006, "Conference"));
        }
        all.extend(mistakes);
        for (field, value, code, word) in all {
            let mut body = sound.clone();
            match value {
                Value::Null => drop(body.as_object_mut().unwrap().remove(field)),
                value => body[field] = value,
            }
            let shown = body[field].to_string().chars().take(24).collect::<String>();
            cases.push(format!("{path}: {field} {shown}"), &path, body.to_string(), code, word);
        }
    }
    let gift = |field: &str, value: Value| {
        let mut gift = json!({"GiftId": "new"});
        gift[field] = value;
        gift
    };
    let group = |body: Value| json!({"GroupId": "r", "MsgBody": body});
    let words = json!([{"MsgType": "TIMTextElem", "MsgContent": {"Text": "x"}}]);
    let battle = json!({"FromRoomId": "r", "ToRoomIdList": ["plain"], "Duration": 1000});
    let booked = |fields: Value| {
        let mut info = json!({"RoomId": "new"});
        info.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"RoomInfo": info})
    };
    let (later, many_kept) = (now() + 3600, vec!["kept"; 301]);
    let battle = |field: &str, value: Value| {
        let mut battle = battle.clone();
        battle[field] = value;
        battle
    };
    for (path, body, code, word) in [
        (live("add_gift"), json!({}), 100_002, "GiftId"),
        (live("add_gift"), json!({"GiftId": ""}), 100_002, "GiftId"),
        (live("add_gift"), json!({"GiftId": text(21)}), 100_002, "20"),
        (live("add_gift"), json!({"GiftId": "g"}), 100_002, "exists"),
        (live("add_gift"), json!({"GiftId": 5}), 100_002, "GiftId"),
        (live("add_gift"), gift("IconUrl", text(201)), 100_002, "200"),
        (live("add_gift"), gift("ResourceUrl", text(201)), 100_002, "200"),
        (live("add_gift"), gift("ExtensionInfo", text(101)), 100_002, "100"),
        (live("add_gift"), gift("DefaultName", text(21)), 100_002, "20"),
        (live("add_gift"), gift("DefaultDesc", text(21)), 100_002, "20"),
        (live("add_gift"), gift("Coins", json!(-1)), 100_002, "Coins"),
        (live("add_gift"), gift("Coins", json!("5.5")), 100_002, "Coins"),
        (live("add_gift"), gift("Level", json!("x")), 100_002, "Level"),
        (live("edit_gift"), json!({"GiftId": "none"}), 102_001, "none"),
        (live("edit_gift"), json!({"GiftId": "g", "DefaultName": text(21)}), 100_002, "20"),
        (live("del_gift"), json!({"GiftId": "none"}), 102_001, "none"),
        (live("del_gift"), json!({}), 100_002, "GiftId"),
        (live("get_gift"), json!({"GiftId": "none"}), 102_001, "none"),
        (
            live("set_gift_language"),
            json!({"GiftId": "none", "Language": "de", "Name": "x"}),
            102_001,
            "none",
        ),
        (live("set_gift_language"), json!({"GiftId": "g", "Name": "x"}), 100_002, "Language"),
        (live("set_gift_language"), json!({"GiftId": "g", "Language": "de"}), 100_002, "Name"),
        (
            live("set_gift_language"),
            json!({"GiftId": "g", "Language": "de", "Name": text(101)}),
            100_002,
            "100",
        ),
        (live("get_gift_language"), json!({"GiftId": "none"}), 102_001, "none"),
        (live("del_gift_language"), json!({"GiftId": "g"}), 100_002, "Language"),
        (live("add_gift_category"), json!({}), 100_002, "CategoryId"),
        (live("add_gift_category"), json!({"CategoryId": text(21)}), 100_002, "20"),
        (live("edit_gift_category"), json!({"CategoryId": "none"}), 100_002, "none"),
        (live("del_gift_category"), json!({"CategoryId": "none"}), 100_002, "none"),
        (live("get_gift_category"), json!({"CategoryId": "none"}), 100_002, "none"),
        (
            live("set_gift_category_language"),
            json!({"CategoryId": "none", "Language": "de", "CategoryName": "x"}),
            100_002,
            "none",
        ),
        (live("get_gift_category_language"), json!({"CategoryId": "none"}), 100_002, "none"),
        (
            live("del_gift_category_language"),
            json!({"CategoryId": "none", "Language": "de"}),
            100_002,
            "none",
        ),
        (
            live("add_gift_category_relations"),
            json!({"CategoryId": "none", "GiftIdList": ["g"]}),
            100_002,
            "none",
        ),
        (
            live("del_gift_category_relations"),
            json!({"CategoryId": "none", "GiftIdList": ["g"]}),
            100_002,
            "none",
        ),
        ("group_open_http_svc/send_group_msg".into(), json!({}), 100_002, "GroupId"),
        ("group_open_http_svc/send_group_msg".into(), json!({"GroupId": "r"}), 100_002, "MsgBody"),
        ("group_open_http_svc/send_group_msg".into(), group(json!([])), 100_002, "MsgBody"),
        ("group_open_http_svc/send_group_msg".into(), group(json!("hi")), 100_002, "MsgBody"),
        ("group_open_http_svc/send_group_msg".into(), group(json!([{}])), 100_002, "MsgType"),
        (
            "group_open_http_svc/send_group_msg".into(),
            group(json!([{"MsgType": "TIMTextElem"}])),
            100_002,
            "MsgContent",
        ),
        (
            "group_open_http_svc/send_group_msg".into(),
            json!({"GroupId": "r", "MsgBody": words, "ForbidCallbackControl": ["ForbidAll"]}),
            100_002,
            "ForbidCallbackControl",
        ),
        (
            "group_open_http_svc/send_group_msg".into(),
            json!({"GroupId": "r", "MsgBody": words, "ForbidCallbackControl": "ForbidBeforeSendMsgCallback"}),
            100_002,
            "ForbidCallbackControl",
        ),
        ("live_engine_http_pk/create_battle".into(), json!({}), 100_002, "FromRoomId"),
        (
            "live_engine_http_pk/create_battle".into(),
            battle("FromRoomId", json!("nowhere")),
            100_004,
            "exist",
        ),
        (
            "live_engine_http_pk/create_battle".into(),
            battle("ToRoomIdList", json!([])),
            100_002,
            "ToRoomIdList",
        ),
        (
            "live_engine_http_pk/create_battle".into(),
            battle("ToRoomIdList", json!(["r"])),
            100_002,
            "ToRoomIdList",
        ),
        (
            "live_engine_http_pk/create_battle".into(),
            battle("ToRoomIdList", json!(["c"])),
            100_006,
            "Conference",
        ),
        ("live_engine_http_pk/create_battle".into(), battle("Duration", json!(0)), 100_002, "Duration"),
        (
            "live_engine_http_pk/create_battle".into(),
            battle("Duration", json!(86_400_001)),
            100_002,
            "Duration",
        ),
        ("live_engine_http_pk/create_battle".into(), battle("ExtensionInfo", text(1001)), 100_002, "1000"),
        ("live_engine_http_pk/set_battle_score".into(), json!({}), 100_002, "BattleId"),
        (
            "live_engine_http_pk/set_battle_score".into(),
            json!({"BattleId": "x", "OpType": 3}),
            100_002,
            "OpType",
        ),
        (
            "live_engine_http_pk/set_battle_score".into(),
            json!({"BattleId": "x", "OpType": 1}),
            100_002,
            "ScoreList",
        ),
        (
            "live_engine_http_pk/set_battle_score".into(),
            json!({"BattleId": "x", "OpType": 1, "ScoreList": [{"RoomId": "r", "Score": 1}]}),
            100_411,
            "x",
        ),
        ("live_engine_http_pk/get_battle_info".into(), json!({}), 100_002, "BattleId"),
        ("live_engine_http_pk/get_battle_info".into(), json!({"RoomId": "r"}), 100_411, "r"),
        ("live_engine_http_pk/end_battle".into(), json!({"BattleId": "x"}), 100_411, "x"),
        (conference("get_scheduled_room_list"), json!({}), 100_002, "User_Account"),
        (conference("get_scheduled_room_list"), json!({"User_Account": "nobody"}), 100_002, "imported"),
        (
            conference("get_scheduled_room_list"),
            json!({"User_Account": "kept", "Count": 0}),
            100_002,
            "Count",
        ),
        (
            conference("get_scheduled_room_list"),
            json!({"User_Account": "kept", "Next": "!"}),
            100_002,
            "Next",
        ),
        (
            conference("create_room"),
            booked(json!({"ScheduleStartTime": "soon"})),
            100_002,
            "ScheduleStartTime",
        ),
        (conference("create_room"), booked(json!({"ScheduleStartTime": -1})), 100_002, "ScheduleStartTime"),
        (conference("create_room"), booked(json!({"ScheduleStartTime": 1.5})), 100_002, "ScheduleStartTime"),
        (conference("create_room"), booked(json!({"ScheduleStartTime": 1e12})), 100_002, "ScheduleStartTime"),
        (conference("create_room"), booked(json!({"ScheduleEndTime": later})), 100_002, "ScheduleStartTime"),
        (
            conference("create_room"),
            booked(json!({"ScheduleStartTime": 100, "ScheduleEndTime": 200})),
            100_002,
            "past",
        ),
        (conference("create_room"), booked(json!({"ScheduleStartTime": 100})), 100_002, "past"),
        (
            conference("create_room"),
            booked(json!({"ScheduleStartTime": later, "ScheduleEndTime": later})),
            100_002,
            "after",
        ),
        (
            conference("create_room"),
            booked(json!({"IsCloudRecordingDisabled": 1})),
            100_002,
            "IsCloudRecording",
        ),
        (conference("create_room"), booked(json!({"CustomInfo": text(501)})), 100_002, "500"),
        (
            conference("create_room"),
            booked(json!({"TakeSeatMode": "None", "IsSeatEnabled": true})),
            100_002,
            "TakeSeatMode",
        ),
        (
            conference("create_room"),
            json!({"RoomInfo": {"RoomId": "new"}, "ScheduleInviteeList_Account": ["kept"]}),
            100_002,
            "ScheduleStartTime",
        ),
        (
            conference("create_room"),
            json!({"RoomInfo": {"RoomId": "new", "ScheduleStartTime": later}, "ScheduleInviteeList_Account": ["nobody"]}),
            100_002,
            "imported",
        ),
        (
            conference("create_room"),
            json!({"RoomInfo": {"RoomId": "new", "ScheduleStartTime": later}, "ScheduleInviteeList_Account": many_kept}),
            100_002,
            "300",
        ),
        (live("create_room"), booked(json!({"ScheduleStartTime": later})), 100_002, "Conference"),
        (live("create_room"), booked(json!({"TakeSeatMode": "None"})), 100_002, "TakeSeatMode"),
        (
            conference("update_room_info"),
            json!({"RoomInfo": {"RoomId": "c", "ScheduleStartTime": later}}),
            100_002,
            "booked",
        ),
        (
            conference("update_room_info"),
            json!({"RoomInfo": {"RoomId": "c"}, "ScheduleInviteeList_Account": ["kept"]}),
            100_002,
            "add_schedule_invitee",
        ),
    ] {
        let shown = body.to_string().chars().take(60).collect::<String>();
        cases.push(format!("{path}: {shown}"), &path, body.to_string(), code, word);
    }
}

/// Everything a caller can see of the rooms and accounts the table aims at.
async fn visible(server: &Server) -> Vec<Value> {
    let accounts = ["new", "kept", "u0", "u100", "nobody", "x"].map(|user| json!({"UserID": user}));
    let tags = json!(["Tag_Profile_IM_Nick", "Tag_Profile_IM_Image"]);
    let mut seen = Vec::new();
    for (path, body) in [
        ("live_engine_http_srv/get_room_info", json!({"RoomId": "r"})),
        ("live_engine_http_srv/get_room_info", json!({"RoomId": "new"})),
        ("live_engine_http_srv/get_member_list", json!({"RoomId": "r"})),
        ("room_engine_http_srv/get_room_info", json!({"RoomId": "c"})),
        ("im_open_login_svc/account_check", json!({"CheckItem": accounts})),
        ("profile/portrait_get", json!({"To_Account": ["kept"], "TagList": tags})),
        ("live_engine_http_srv/get_room_metadata", json!({"RoomId": "r"})),
        ("live_engine_http_srv/get_muted_member_list", json!({"RoomId": "r"})),
        ("live_engine_http_srv/get_banned_member_list", json!({"RoomId": "r"})),
        ("live_engine_http_srv/get_admin_list", json!({"RoomId": "r"})),
        ("live_engine_http_srv/get_robot", json!({"RoomId": "r"})),
        ("live_engine_http_srv/get_room_statistic", json!({"RoomId": "r"})),
        ("live_engine_http_srv/get_gift_info_list", json!({})),
        ("room_engine_http_mic/get_seat_list", json!({"RoomId": "r"})),
        ("room_engine_http_srv/get_banned_member_list", json!({"RoomId": "c"})),
    ] {
        let mut answer = server.call(path, body).await;
        answer["RequestId"].take();
        seen.push(answer);
    }
    seen
}

#[tokio::test]
async fn every_mistake_has_its_code_and_message_and_changes_nothing() {
    let server = Server::start().await;
    server.create_room_with("r", json!({"SeatTemplate": "VideoLandscape4Seats"})).await;
    server.create_room("plain").await;
    server.ok("add_gift", json!({"GiftId": "g"})).await;
    server.call("room_engine_http_srv/create_room", json!({"RoomInfo": {"RoomId": "c"}})).await;
    server.call("im_open_login_svc/account_import", json!({"UserID": "kept", "Nick": "K"})).await;
    let _ann = server.enter("ann", "r").await;
    let before = visible(&server).await;
    let document: Value = serde_json::from_str(&server.get("/openapi.json").await.1).unwrap();
    let paths = document["paths"].as_object().unwrap().keys();
    let commands: Vec<String> = paths.map(|path| path.strip_prefix("/v4/").unwrap().into()).collect();
    let cases = table(&server, &commands);
    assert!(cases.len() >= 400, "{} cases", cases.len());
    let http = reqwest::Client::builder().build().unwrap();

    let mut wrong = Vec::new();
    for Case { what, method, path, query, body, code, word } in &cases {
        let url = format!("http://{}{path}?{query}", server.address);
        let request = http.request(method.parse().unwrap(), url).body(body.clone());
        let response = request.send().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(response.status(), 200, "{what}");
        let answer: Value = response.json().await.unwrap();
        let message = answer["ErrorInfo"].as_str().unwrap_or_default();
        let fits = answer["ErrorCode"] == *code && message.contains(word) && !message.is_empty();
        if !fits
            || answer["ActionStatus"] != "FAIL"
            || answer.get("Response").is_some()
            || !answer["RequestId"].is_string()
        {
            wrong.push(format!("{what}: wanted {code} and {word:?}, got {answer}"));
        }
    }

    println!("{} cases", cases.len());
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert_eq!(visible(&server).await, before);
}
