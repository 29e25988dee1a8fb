//! Whatever is wrong with a request, it gets its documented code and a message, and changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::{ADMIN, Server, now};
use serde_json::{Value, json};
use usersig::{Claims, SecretKey};

const LIVE: &str = "live_engine_http_srv";
const ACCOUNT: &str = "im_open_login_svc";

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

fn table(server: &Server) -> Vec<Case> {
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
    let commands = [
        ("get_member_list", LIVE),
        ("create_room", LIVE),
        ("destroy_room", LIVE),
        ("get_room_info", LIVE),
        ("update_room_info", LIVE),
        ("get_room_list", LIVE),
        ("create_room", "room_engine_http_srv"),
        ("destroy_room", "room_engine_http_srv"),
        ("get_room_info", "room_engine_http_srv"),
        ("account_import", ACCOUNT),
        ("multiaccount_import", ACCOUNT),
        ("account_delete", ACCOUNT),
        ("account_check", ACCOUNT),
        ("portrait_get", "profile"),
        ("portrait_set", "profile"),
    ];
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for (command, service) in commands {
        for (what, body, word) in [
            ("empty body", &b""[..], "empty"),
            ("truncated", br#"{"RoomId":"r""#, "JSON"),
            ("no object", br#"["r"]"#, "object"),
            ("a string", br#""r""#, "object"),
            ("trailing text", br#"{} x"#, "JSON"),
            ("invalid UTF-8", b"{\"RoomId\":\"\xFF\"}", "UTF-8"),
            ("10,000 deep", deep.as_bytes(), "deep"),
        ] {
            cases.push(format!("{command}: {what}"), &format!("{service}/{command}"), body, 60003, word);
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
    let long = "r".repeat(49);
    let ids = [
        ("missing", None, 100_002),
        ("null", Some(Value::Null), 100_002),
        ("empty", Some(json!("")), 100_002),
        ("a number", Some(json!(7)), 100_002),
        ("a list", Some(json!(["r"])), 100_002),
        ("an object", Some(json!({})), 100_002),
        ("true", Some(json!(true)), 100_002),
        ("too long", Some(json!(long)), 100_002),
        ("too long in bytes", Some(json!("张".repeat(17))), 100_002),
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
    for command in ["create_room", "update_room_info"] {
        for (what, id, code) in ids.iter().cloned() {
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
        ("MaxSeatCount", json!("9")),
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
        ("LifetimeAfterNoUsers", json!("5")),
        ("LifetimeAfterOwnerLeave", json!(1e12)),
        ("LifetimeAfterOwnerOffline", json!(true)),
        ("CustomInfo", text(2049)),
        ("CustomInfo", json!([])),
    ] {
        for (command, id) in [("create_room", "new"), ("update_room_info", "r")] {
            let mut info = json!({"RoomId": id, "RoomType": "Live"});
            info[field] = value.clone();
            let shown = value.to_string().chars().take(20).collect::<String>();
            cases.push(
                format!("{command}: {field} {shown}"),
                &format!("{LIVE}/{command}"),
                json!({"RoomInfo": info}).to_string(),
                100_002,
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
            100_003,
            "exists",
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
        ("Count a string", "get_room_list", json!({"Next": "", "Count": "20"}), 100_002, "Count"),
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
    cases.all
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
    server.create_room("r").await;
    server.call("room_engine_http_srv/create_room", json!({"RoomInfo": {"RoomId": "c"}})).await;
    server.call("im_open_login_svc/account_import", json!({"UserID": "kept", "Nick": "K"})).await;
    let _ann = server.enter("ann", "r").await;
    let before = visible(&server).await;
    let cases = table(&server);
    assert!(cases.len() >= 150, "{} cases", cases.len());
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
