//! What is wrong with a call of the RTC API, and what is said to it: over real HTTP, each with its code, HTTP 200 and exactly
//! `Content-Type: application/json`, and without any effect.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::rtc::{Caller, FORM, JSON, Sent, code};
use harness::{Server, now};
use serde_json::{Value, json};
use tc3::Digest;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const EXPIRED: &str = "AuthFailure.SignatureExpire";
const FAILED: &str = "AuthFailure.SignatureFailure";
const UNREADABLE: &str = "AuthFailure.InvalidAuthorization";
const NOT_FOUND: &str = "AuthFailure.SecretIdNotFound";
const FORBIDDEN: &str = "UnauthorizedOperation.SdkAppId";
const NO_ROOM: &str = "FailedOperation.RoomNotExist";
const INVALID: &str = "InvalidParameter";
const MIB: usize = 1024 * 1024;

type Table = Vec<(String, Sent, &'static str)>;

struct World {
    server: Server,
    /// Of all apps.
    key: Caller,
    app: u32,
}

impl World {
    async fn new() -> Self {
        let server = Server::start().await;
        assert!(server.cli(&["app", "create", "--sdkappid", "7"]).status.success());
        server.import(&["ann", "ben"]).await;
        for room in ["*1", "1", "room"] {
            server.ok("room_engine_http_srv/create_room", json!({"RoomInfo": {"RoomId": room}})).await;
        }
        let (key, app) = (server.key(&[]), server.app);
        Self { server, key, app }
    }

    /// Sends all of it, and sees that nothing has come of it.
    async fn check(&self, table: Table) {
        let _ann = self.server.enter("ann", "room").await;
        for (what, sent, expected) in table {
            let answer = self.key.send(&sent).await.response();
            assert_eq!(code(&answer), expected, "{what}: {answer}");
        }
        for room in ["*1", "1", "room"] {
            self.server.ok("room_engine_http_srv/get_room_info", json!({"RoomId": room})).await;
        }
        assert_eq!(
            self.server.call("room_engine_http_srv/get_room_member_list", json!({"RoomId": "room"})).await["Response"]
                ["MemberList"][0]["Member_Account"],
            "ann"
        );
    }

    fn dismiss(&self) -> String {
        json!({"SdkAppId": self.app, "RoomId": 1}).to_string()
    }

    /// A good call, which ends the room of number 1.
    fn good(&self) -> Sent {
        self.key.post("DismissRoom", &self.dismiss())
    }

    fn good_query(&self) -> String {
        format!("SdkAppId={}&RoomId=1", self.app)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_of_a_signature_has_its_code() {
    let world = World::new().await;
    // Signed once: of another second it has another signature.
    let signed = world.good();
    let (key, good) = (&world.key, || signed.clone());
    let body = world.dismiss();
    let (other, disabled) = (world.server.key(&[]), world.server.key(&[]));
    assert!(world.server.cli(&["key", "disable", &disabled.id]).status.success());
    let deleted = world.server.key(&[]);
    assert!(world.server.cli(&["key", "delete", &deleted.id]).status.success());
    let at = |seconds: i64| {
        let at = now().checked_add_signed(seconds).unwrap();
        key.sign("DismissRoom", "POST", "", JSON, body.as_bytes(), at)
    };
    let by = |id: &str, secret: &str| {
        let caller = Caller { id: id.into(), key: secret.into(), ..key.clone() };
        caller.post("DismissRoom", &body)
    };
    let signature = good().header("authorization").rsplit_once('=').unwrap().1.to_owned();
    let date = good().header("authorization").split('/').nth(1).unwrap().to_owned();
    let mut table: Table = Vec::new();
    let mut add = |what: &str, sent: Sent, expected: &'static str| table.push((what.into(), sent, expected));

    // What comes before a signature is looked at.
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        add(method, Sent { method: method.into(), ..good() }, "UnsupportedProtocol");
    }
    add("no version", good().with("X-TC-Version", ""), "MissingParameter");
    add("another version", good().with("X-TC-Version", "2019-07-23"), "NoSuchVersion");
    add("another product's version", good().with("X-TC-Version", "2017-03-12"), "NoSuchVersion");
    add("two versions", good().and("X-TC-Version", "2019-07-22"), INVALID);
    add("no action", good().with("X-TC-Action", ""), "MissingParameter");
    for action in
        ["Dismiss", "dismissRoom", "DISMISSROOM", "DismissRoom ByStrRoomId", "DescribeInstances", "x", "房间"]
    {
        add(action, good().with("X-TC-Action", action), "InvalidAction");
    }
    add("a long action", good().with("X-TC-Action", &"A".repeat(5000)), "InvalidAction");
    add("two actions", good().and("X-TC-Action", "RemoveUser"), INVALID);
    add(
        "an unknown version before an unknown action",
        good().with("X-TC-Version", "1").with("X-TC-Action", "x"),
        "NoSuchVersion",
    );
    add(
        "an unknown action before no signature",
        good().with("X-TC-Action", "x").with("Authorization", ""),
        "InvalidAction",
    );

    // The header.
    add("no Authorization", good().with("Authorization", ""), UNREADABLE);
    add("SKIP", good().with("Authorization", "SKIP"), UNREADABLE);
    add("Bearer", good().with("Authorization", "Bearer abc"), UNREADABLE);
    add("Basic", good().with("Authorization", "Basic YTpi"), UNREADABLE);
    add("two of them", good().and("Authorization", "SKIP"), UNREADABLE);
    add("another algorithm", good().authorized("TC3-HMAC-SHA256", "TC3-HMAC-SM3"), UNREADABLE);
    add("no Credential", good().authorized("Credential=", "Cred="), UNREADABLE);
    add("no SignedHeaders", good().authorized("SignedHeaders=content-type;host, ", ""), UNREADABLE);
    add("no Signature", good().authorized(&format!(", Signature={signature}"), ""), UNREADABLE);
    add("twice a Signature", good().authorized("Signature=", "Signature=00, Signature="), UNREADABLE);
    add("an empty SecretId", good().authorized(&key.id, ""), UNREADABLE);
    add("no date", good().authorized(&format!("/{date}/"), "/"), UNREADABLE);
    add("no service", good().authorized("/trtc/", "/"), UNREADABLE);
    add("no tc3_request", good().authorized("/tc3_request", ""), UNREADABLE);
    add("host is not signed", good().authorized("content-type;host", "content-type"), UNREADABLE);
    add("content-type is not signed", good().authorized("content-type;host", "host"), UNREADABLE);
    add("capitals in SignedHeaders", good().authorized("content-type;host", "Content-Type;Host"), UNREADABLE);
    add("a short signature", good().authorized(&signature, &signature[..63]), UNREADABLE);
    add("a signature in capitals", good().authorized(&signature, &"A".repeat(64)), UNREADABLE);
    add("a signature of base64", good().authorized(&signature, "rL5EI+2tS1WM"), UNREADABLE);

    // The key.
    add("another cloud's key id", by("LTAI5tFZabcdefghijklmnop", "k"), "AuthFailure.InvalidSecretId");
    add("a short id", by("AKID", "k"), "AuthFailure.InvalidSecretId");
    add("an id with a sign", by(&format!("AKID{}", "-".repeat(32)), "k"), "AuthFailure.InvalidSecretId");
    add("an id that is none of ours", by(&format!("AKID{}", "a".repeat(32)), "k"), NOT_FOUND);
    add("an id in small letters", by(&key.id.to_lowercase(), &key.key), "AuthFailure.InvalidSecretId");
    add("a disabled key", by(&disabled.id, &disabled.key), NOT_FOUND);
    add("a deleted key", by(&deleted.id, &deleted.key), NOT_FOUND);
    add("a token", good().with("X-TC-Token", "abc"), "AuthFailure.TokenFailure");
    add("two tokens", good().and("X-TC-Token", "").and("X-TC-Token", "x"), INVALID);

    // The clock.
    add("no timestamp", good().with("X-TC-Timestamp", ""), "MissingParameter");
    for text in ["now", "-1", "1.7e9", "0x10", "1700000000.5", "99999999999999999999999"] {
        add(text, good().with("X-TC-Timestamp", text), INVALID);
    }
    add("two timestamps", good().and("X-TC-Timestamp", "1"), INVALID);
    add("at the beginning of time", good().with("X-TC-Timestamp", "0"), EXPIRED);
    add("in milliseconds", good().with("X-TC-Timestamp", &format!("{}000", now())), EXPIRED);
    add("six minutes ago", at(-360), EXPIRED);
    add("six minutes ahead", at(360), EXPIRED);
    add("yesterday", at(-86_400), EXPIRED);
    add("of another second", good().with("X-TC-Timestamp", &(now() - 7).to_string()), FAILED);
    add("another date", good().authorized(&date, "2020-02-29"), FAILED);
    add("no date at all", good().authorized(&date, "xxxx-xx-xx"), FAILED);

    // The signature.
    add("another SecretKey", by(&key.id, &other.key), FAILED);
    add("another key's id", by(&other.id, &key.key), FAILED);
    add("an app's SecretKey", by(&key.id, world.server.key.expose()), FAILED);
    add("an empty SecretKey", by(&key.id, ""), FAILED);
    add("another signature", good().authorized(&signature, &"0".repeat(64)), FAILED);
    add("another service", good().authorized("/trtc/", "/cvm/"), FAILED);
    add("another host", good().with("Host", "trtc.tencentcloudapi.com"), FAILED);
    add("another port", good().with("Host", "127.0.0.1:1"), FAILED);
    add("another content type", good().with("Content-Type", "application/json; charset=utf-8"), FAILED);
    add("two content types", good().and("Content-Type", JSON), INVALID);
    add(
        "more headers signed than there are",
        good().authorized("content-type;host", "content-type;host;x-tc-action"),
        FAILED,
    );
    add("an altered body", good().with_body(body.replace("\"RoomId\":1", "\"RoomId\":2")), FAILED);
    add("a body with a space more", good().with_body(format!("{body} ")), FAILED);
    add("no body", good().with_body(""), FAILED);
    add("a body that was not to be signed", good().with("X-TC-Content-SHA256", "UNSIGNED-PAYLOAD"), FAILED);
    add(
        "POST instead of GET",
        Sent { method: "POST".into(), ..key.get("DismissRoom", &world.good_query()) },
        "InvalidRequest",
    );
    add("GET instead of POST", Sent { method: "GET".into(), body: Vec::new(), ..good() }, FAILED);
    let get = || key.get("DismissRoom", &world.good_query());
    add(
        "an altered query",
        Sent { query: world.good_query().replace("RoomId=1", "RoomId=2"), ..get() },
        FAILED,
    );
    add(
        "a query in another order",
        Sent { query: format!("RoomId=1&SdkAppId={}", world.app), ..get() },
        FAILED,
    );
    add(
        "a query with more",
        Sent { query: format!("{}&UserIds.0=ann", world.good_query()), ..get() },
        FAILED,
    );
    add(
        "a query spelled otherwise",
        Sent { query: world.good_query().replace("RoomId", "%52oomId"), ..get() },
        FAILED,
    );

    // Other bodies.
    add(
        "a form that is signed by TC3",
        key.sign("DismissRoom", "POST", "", FORM, world.good_query().as_bytes(), now()),
        "InvalidRequest",
    );
    add(
        "multipart",
        key.sign("DismissRoom", "POST", "", "multipart/form-data; boundary=x", b"--x--", now()),
        "InvalidRequest",
    );
    add(
        "plain text",
        key.sign("DismissRoom", "POST", "", "text/plain", body.as_bytes(), now()),
        "InvalidRequest",
    );
    assert!(table.len() > 85, "{}", table.len());
    world.check(table).await;

    // RFC 9112 3.2, which holds for whatever is asked.
    for sent in [world.good().with("Host", ""), world.good().and("Host", "x")] {
        assert_eq!(world.key.send(&sent).await.status, 400);
    }

    // The very same bytes hold as long as they are fresh.
    let twice = world
        .key
        .post("RemoveUser", &json!({"SdkAppId": world.app, "RoomId": 1, "UserIds": ["x"]}).to_string());
    for _ in 0..2 {
        assert_eq!(code(&world.key.send(&twice).await.response()), "");
    }
    assert_eq!(code(&world.key.send(&world.good()).await.response()), "", "the good one is good");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_of_the_older_signature_has_its_code() {
    let world = World::new().await;
    let key = &world.key;
    let flat = || key.flat("DismissRoom", &world.good_query());
    let (sha1, sha256) = (Digest::Sha1, Digest::Sha256);
    let named = || format!("{}&SignatureMethod=HmacSHA256", flat());
    let signed = |text: &str| key.sign_flat("POST", sha1, text);
    let without = |name: &str| {
        let rest: Vec<String> = flat()
            .split('&')
            .filter(|pair| !pair.starts_with(&format!("{name}=")))
            .map(String::from)
            .collect();
        rest.join("&")
    };
    let instead = |name: &str, value: &str| format!("{}&{name}={value}", without(name));
    let other = Caller { key: "wrong".into(), ..key.clone() };
    let mut table: Table = Vec::new();
    let mut add = |what: &str, sent: Sent, expected: &'static str| table.push((what.into(), sent, expected));

    add("nothing", key.send_flat("POST", ""), "MissingParameter");
    add("no Version", signed(&without("Version")), "MissingParameter");
    add("another Version", signed(&instead("Version", "2018-01-01")), "NoSuchVersion");
    add("no Action", signed(&without("Action")), "MissingParameter");
    add("no such Action", signed(&instead("Action", "Dismiss")), "InvalidAction");
    add("no Signature", key.send_flat("POST", &flat()), UNREADABLE);
    add("no Signature in a query", key.send_flat("GET", &flat()), UNREADABLE);
    add("an empty Signature", key.send_flat("POST", &format!("{}&Signature=", flat())), UNREADABLE);
    add(
        "a Signature that is no base64",
        key.send_flat("POST", &format!("{}&Signature=***", flat())),
        UNREADABLE,
    );
    add(
        "another SignatureMethod",
        key.sign_flat("POST", sha1, &format!("{}&SignatureMethod=HmacMD5", flat())),
        UNREADABLE,
    );
    add("no SecretId", signed(&without("SecretId")), "MissingParameter");
    add("a SecretId of another form", signed(&instead("SecretId", "x")), "AuthFailure.InvalidSecretId");
    add("an unknown SecretId", signed(&instead("SecretId", &format!("AKID{}", "b".repeat(32)))), NOT_FOUND);
    add("a Token", signed(&format!("{}&Token=x", flat())), "AuthFailure.TokenFailure");
    add("no Nonce", signed(&without("Nonce")), "MissingParameter");
    add("a Nonce that is no number", signed(&instead("Nonce", "x1")), INVALID);
    add("no Timestamp", signed(&without("Timestamp")), "MissingParameter");
    add("a Timestamp that is none", signed(&instead("Timestamp", "soon")), INVALID);
    add("ten minutes ago", signed(&instead("Timestamp", &(now() - 600).to_string())), EXPIRED);
    add("ten minutes ahead", signed(&instead("Timestamp", &(now() + 600).to_string())), EXPIRED);
    add("another SecretKey", other.sign_flat("POST", sha1, &flat()), FAILED);
    add("the other digest", key.sign_flat("POST", sha256, &flat()), FAILED);
    add("the other digest, named", key.sign_flat("POST", sha1, &named()), FAILED);
    add(
        "signed for GET",
        Sent {
            method: "POST".into(),
            ..key
                .sign_flat("POST", sha1, &flat())
                .with_body(String::from_utf8(key.sign_flat("GET", sha1, &flat()).query.into()).unwrap())
        },
        FAILED,
    );
    let altered = |sent: Sent| {
        let text = String::from_utf8(sent.body.clone()).unwrap();
        sent.with_body(text.replace("RoomId=1", "RoomId=2"))
    };
    add("altered", altered(signed(&flat())), FAILED);
    let more = |sent: Sent| {
        let text = String::from_utf8(sent.body.clone()).unwrap();
        sent.with_body(format!("{text}&UserIds.0=a"))
    };
    add("with more", more(signed(&flat())), FAILED);
    add("for another host", signed(&flat()).with("Host", "x"), FAILED);
    add("a parameter twice", signed(&flat()).with_body(format!("{}&RoomId=2", flat())), INVALID);
    add("no UTF-8", signed(&flat()).with_body(format!("{}&X=%ff", flat())), INVALID);
    add(
        "too many parameters",
        signed(&flat()).with_body((0..5000).map(|number| format!("p{number}=&")).collect::<String>()),
        INVALID,
    );
    add("a form of 2 MiB", signed(&flat()).with_body("a".repeat(2 * MIB)), "RequestSizeLimitExceeded");
    add("an unknown parameter", signed(&format!("{}&Why=1", flat())), "UnknownParameter");
    add("a wrong type", signed(&instead("RoomId", "one")), "InvalidParameter.RoomId");
    add("no RoomId", signed(&without("RoomId")), "MissingParameter.RoomId");
    assert!(table.len() > 30, "{}", table.len());
    world.check(table).await;

    let good = key.sign_flat("GET", sha256, &named());
    assert_eq!(code(&key.send(&good).await.response()), "", "the good one is good");
}

/// Every parameter of every action that works, with every kind of value that it is not.
#[tokio::test(flavor = "multi_thread")]
async fn each_parameter_that_is_wrong_is_named() {
    let world = World::new().await;
    let app = world.app;
    let mut table: Table = Vec::new();
    let mut add = |action: &str, body: Value, expected: &'static str| {
        table.push((format!("{action} {body}"), world.key.post(action, &body.to_string()), expected));
    };
    let users = json!(["ann"]);
    let all: [(&str, Value); 7] = [
        ("DismissRoom", json!({"SdkAppId": app, "RoomId": 5})),
        ("DismissRoomByStrRoomId", json!({"SdkAppId": app, "RoomId": "five"})),
        ("RemoveUser", json!({"SdkAppId": app, "RoomId": 5, "UserIds": users})),
        ("RemoveUserByStrRoomId", json!({"SdkAppId": app, "RoomId": "five", "UserIds": users})),
        ("KickOutUser", json!({"SdkAppId": app, "RoomId": 5, "UserIds": users})),
        ("SetUserBlocked", json!({"SdkAppId": app, "RoomId": 5, "UserId": "ann", "IsMute": 1})),
        (
            "SetUserBlockedByStrRoomId",
            json!({"SdkAppId": app, "StrRoomId": "five", "UserId": "ann", "IsMute": 1}),
        ),
    ];
    for (action, good) in &all {
        let with = |name: &str, value: Value| {
            let mut body = good.clone();
            body[name] = value;
            body
        };
        let without = |name: &str| {
            let mut body = good.clone();
            body.as_object_mut().unwrap().remove(name);
            body
        };
        add(action, good.clone(), NO_ROOM);
        add(action, with("Extra", json!(1)), "UnknownParameter");
        add(action, with("sdkAppId", json!(app)), "UnknownParameter");
        add(action, json!({}), "MissingParameter.SdkAppId");
        add(action, with("SdkAppId", Value::Null), "MissingParameter.SdkAppId");
        for wrong in [
            json!("one"),
            json!(""),
            json!(1.5),
            json!(true),
            json!([app]),
            json!({"a": 1}),
            json!(-1),
            json!(0),
            json!(4_294_967_296_u64),
            json!("18446744073709551616"),
            json!(1e300),
        ] {
            add(action, with("SdkAppId", wrong), "InvalidParameter.SdkAppId");
        }
        add(
            action,
            with("SdkAppId", json!(12345)),
            if action.starts_with("SetUser") { "FailedOperation.SdkAppIdNotExist" } else { FORBIDDEN },
        );
        let room = if good.get("StrRoomId").is_some() { "StrRoomId" } else { "RoomId" };
        add(action, without(room), "MissingParameter.RoomId");
        add(action, with(room, Value::Null), "MissingParameter.RoomId");
        if good[room].is_number() {
            for wrong in [json!("one"), json!(""), json!(1.5), json!(false), json!([5]), json!({})] {
                add(action, with(room, wrong), "InvalidParameter.RoomId");
            }
            for outside in [json!(0), json!(-1), json!(4_294_967_295_u64), json!(1e15), json!("4294967296")] {
                add(action, with(room, outside), "InvalidParameterValue.RoomId");
            }
            add(action, with(room, json!("5")), NO_ROOM);
            add(action, with(room, json!(5.0)), NO_ROOM);
        } else {
            for wrong in [
                json!(5),
                json!(""),
                json!(true),
                json!(["five"]),
                json!({}),
                json!("a/b"),
                json!("*1"),
                json!("房"),
                json!("a\nb"),
                json!("a'b"),
            ] {
                add(action, with(room, wrong), "InvalidParameter.RoomId");
            }
            add(action, with(room, json!("r".repeat(65))), "InvalidParameterValue.RoomId");
            add(action, with(room, json!("r".repeat(64))), NO_ROOM);
        }
        if good.get("UserIds").is_some() {
            add(action, without("UserIds"), "MissingParameter.UserIds");
            add(action, with("UserIds", json!([])), "MissingParameter.UserIds");
            let eleven: Vec<String> = (0..11).map(|number| format!("u{number}")).collect();
            for wrong in [
                json!("ann"),
                json!({"0": "ann"}),
                json!(1),
                json!([1]),
                json!([["ann"]]),
                json!([null]),
                json!([""]),
                json!(["ann", "x".repeat(33)]),
                json!(["a\u{7}"]),
                json!(eleven),
            ] {
                add(action, with("UserIds", wrong), "InvalidParameter.UserIds");
            }
        }
        if good.get("UserId").is_some() {
            add(action, without("UserId"), "MissingParameter.UserId");
            for wrong in [json!(""), json!(1), json!(["ann"]), json!("x".repeat(33)), json!("a\nb")] {
                add(action, with("UserId", wrong), "InvalidParameter.UserId");
            }
            add(action, without("IsMute"), "MissingParameter");
            for wrong in
                [json!("x"), json!(true), json!([1]), json!(4), json!(-1), json!(1.5), json!(u64::MAX)]
            {
                add(action, with("IsMute", wrong), INVALID);
            }
        }
    }
    add(
        "SetUserBlockedByStrRoomId",
        json!({"SdkAppId": app, "StrRoomId": "room", "UserId": "ben", "IsMute": 1}),
        "FailedOperation.UserNotExist",
    );
    // Numbers and names are two name spaces.
    add("DismissRoomByStrRoomId", json!({"SdkAppId": app, "RoomId": "5"}), NO_ROOM);
    add("DismissRoom", json!({"SdkAppId": 7, "RoomId": 1}), NO_ROOM);
    // What there is not looks at no parameter.
    add("CreateCloudRecording", json!({}), "UnsupportedOperation");
    add("StartAIConversation", json!({"SdkAppId": "x"}), "UnsupportedOperation");
    add("DescribeTRTCMarketScaleMetricData", json!({}), "ActionOffline");
    assert!(table.len() > 200, "{}", table.len());
    world.check(table).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_queries_that_are_none_are_refused() {
    let world = World::new().await;
    let (key, app) = (&world.key, world.app);
    let mut table: Table = Vec::new();
    for body in [
        "",
        " ",
        "null",
        "true",
        "1",
        "\"x\"",
        "[]",
        "[{}]",
        "{",
        "}",
        "{\"SdkAppId\"}",
        "{\"SdkAppId\":}",
        "{\"SdkAppId\":1,}",
        "{'SdkAppId':1}",
        "{SdkAppId:1}",
        "{} {}",
        "{\"SdkAppId\":01}",
        "{\"SdkAppId\":NaN}",
        "{\"SdkAppId\":1}x",
        "\u{feff}{}",
        "SdkAppId=1",
        "<xml/>",
    ] {
        table.push((format!("body {body:?}"), key.post("DismissRoom", body), INVALID));
    }
    let deep = format!("{{\"RoomId\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let wide = format!("{{\"UserIds\":[{}1]}}", "1,".repeat(200_000));
    for (what, body) in [("deep", deep), ("wide", wide)] {
        table.push((what.into(), key.post("RemoveUser", &body), INVALID));
    }
    table.push((
        "no UTF-8".into(),
        key.sign("DismissRoom", "POST", "", JSON, b"{\"RoomId\":\"\xff\"}", now()),
        INVALID,
    ));
    table.push((
        "a good one of 11 MB".into(),
        key.post("DismissRoom", &format!("{}{}", world.dismiss(), " ".repeat(11 * MIB))),
        "RequestSizeLimitExceeded",
    ));
    let unsigned = world.good().with_body(vec![b'x'; 11 * MIB]);
    table.push(("11 MB that nobody signed".into(), unsigned, "RequestSizeLimitExceeded"));
    let long = format!("SdkAppId={app}&RoomId=1&x={}", "y".repeat(33_000));
    table.push(("a query of 33 KB".into(), key.get("DismissRoom", &long), "RequestSizeLimitExceeded"));
    let long = format!("SdkAppId={app}&RoomId=1&x={}", "y".repeat(30_000));
    table.push(("a query of 30 KB".into(), key.get("DismissRoom", &long), "UnknownParameter"));
    let id = format!("SdkAppId={app}&RoomId=5");
    for (query, expected) in [
        (String::new(), "MissingParameter.SdkAppId"),
        ("&&&".into(), "MissingParameter.SdkAppId"),
        (format!("{id}&UserIds=ann"), "InvalidParameter.UserIds"),
        (format!("{id}&UserIds=%5B%22ann%22%5D"), "InvalidParameter.UserIds"),
        (format!("{id}&UserIds.1=ann"), INVALID),
        (format!("{id}&UserIds.0=ann&UserIds.2=ben"), INVALID),
        (format!("{id}&UserIds.0=ann&UserIds.0=ben"), INVALID),
        (format!("{id}&UserIds.0=ann&UserIds=ben"), INVALID),
        (format!("{id}&UserIds.00=ann"), INVALID),
        (format!("{id}&UserIds.-1=ann"), "InvalidParameter.UserIds"),
        (format!("{id}&UserIds.x=ann"), "InvalidParameter.UserIds"),
        (format!("{id}&UserIds.0.Name=ann"), "InvalidParameter.UserIds"),
        (format!("{id}&UserIds.=ann"), INVALID),
        (format!("{id}&UserIds.0="), "InvalidParameter.UserIds"),
        (format!("{id}&UserIds.4294967296=ann"), INVALID),
        (format!("{id}&UserIds[0]=ann"), "UnknownParameter"),
        (format!("{id}&UserIds%5B%5D=ann"), "UnknownParameter"),
        (
            format!(
                "{id}&{}",
                (0..11).map(|number| format!("UserIds.{number}=u")).collect::<Vec<_>>().join("&")
            ),
            "InvalidParameter.UserIds",
        ),
        (format!("{id}&{}=1", ["a"; 20].join(".")), INVALID),
        (format!("{id}&SdkAppId=7&UserIds.0=ann"), INVALID),
        (format!("{id}&UserIds.0=%ff"), INVALID),
        (format!("RoomId=5&SdkAppId.0={app}&UserIds.0=ann"), "InvalidParameter.SdkAppId"),
        (format!("RoomId=5&SdkAppId=+{app}&UserIds.0=ann"), "InvalidParameter.SdkAppId"),
        (format!("{id}&UserIds.0=ann"), NO_ROOM),
        (format!("{id}&UserIds.1=ben&UserIds.0=ann"), NO_ROOM),
    ] {
        table.push((query.clone(), key.get("RemoveUser", &query), expected));
    }
    assert!(table.len() > 50, "{}", table.len());
    world.check(table).await;
}

#[tokio::test]
async fn what_a_caller_names_its_call_comes_back_and_it_is_told_in_its_language() {
    let world = World::new().await;
    let trace = "5f5d1f0e-7a5b-4a5e-9d0c-1d2c3b4a5968";
    for sent in [world.good().with("X-TC-Action", "x"), world.key.post("RemoveUser", "{}")] {
        let answer = world.key.send(&sent.with("X-TC-TraceId", trace)).await;
        assert_eq!(answer.header("x-tc-traceid"), Some(trace));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    let long =
        world.key.send(&world.good().with("X-TC-Action", "x").with("X-TC-TraceId", &"t".repeat(4000))).await;
    assert_eq!(long.header("x-tc-traceid"), None);
    for (language, begins) in [
        ("zh-CN", "缺少参数："),
        ("en-US", "SdkAppId is missing"),
        ("fr-FR", "SdkAppId is missing"),
        ("", "SdkAppId is missing"),
    ] {
        let answer = world
            .key
            .send(&world.key.post("RemoveUser", "{}").with("X-TC-Language", language))
            .await
            .response();
        let message = answer["Error"]["Message"].as_str().unwrap();
        assert!(message.starts_with(begins), "{language}: {message}");
    }
}

/// Who has no key, or names another's, cannot fill the memory with bodies that nobody has signed.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_nobody_has_signed_are_bounded_and_others_go_on() {
    let world = World::new().await;
    let before = world.server.peak_memory();
    let head = |sent: &Sent, length: usize| {
        let mut head = String::from("POST / HTTP/1.1\r\n");
        for (name, value) in &sent.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {length}\r\n\r\n"));
        head.into_bytes()
    };
    let form = world.key.send_flat("POST", "");
    let mut streams = Vec::new();
    for (sent, most, each) in [(&form, 40, MIB), (&world.good(), 24, 9 * MIB)] {
        for _ in 0..most {
            let mut stream = TcpStream::connect(&world.server.address).await.unwrap();
            stream.write_all(&head(sent, each)).await.unwrap();
            // All but the last byte of it.
            let part = vec![b'a'; each - 1];
            let _ = tokio::time::timeout(std::time::Duration::from_secs(2), stream.write_all(&part)).await;
            streams.push(stream);
        }
    }
    let grown = (world.server.peak_memory() - before) as usize;
    assert!(grown < 200 * MIB, "{} MiB", grown / MIB);

    // Small ones need no share of it, another key's has its own, and one's members see nothing of it.
    let other = world.server.key(&[]);
    assert_eq!(other.code("DismissRoom", json!({"SdkAppId": world.app, "RoomId": 99})).await, NO_ROOM);
    assert_eq!(world.key.code("DismissRoom", json!({"SdkAppId": world.app, "RoomId": 99})).await, NO_ROOM);
    let padded = format!("{}{}", json!({"SdkAppId": world.app, "RoomId": 99}), " ".repeat(MIB));
    assert_eq!(code(&other.send(&other.post("DismissRoom", &padded)).await.response()), NO_ROOM);
    let _ann = world.server.enter("ann", "room").await;

    // For one more there is no room, and it is told.
    let body = format!("{}{}", world.dismiss(), " ".repeat(9 * MIB));
    assert_eq!(
        code(&world.key.send(&world.key.post("DismissRoom", &body)).await.response()),
        "RequestLimitExceeded"
    );
    let flat = world.key.flat("DismissRoom", &format!("{}&x={}", world.good_query(), "y".repeat(MIB / 2)));
    let refused = world.key.send(&world.key.sign_flat("POST", Digest::Sha1, &flat)).await.response();
    assert_eq!(code(&refused), "RequestLimitExceeded");
    drop(streams);
}

/// The same of every action that only looks: times, pages, lists and kinds.
#[tokio::test(flavor = "multi_thread")]
async fn each_parameter_of_what_only_looks_is_named() {
    let server = Server::with(&[("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0")]).await;
    let (app, key) = (server.app, server.key(&[]));
    let end = now();
    let seconds = || json!({"SdkAppId": app, "StartTime": end - 60, "EndTime": end});
    let days = || json!({"SdkAppId": app, "StartTime": "2026-11-25", "EndTime": "2026-11-26"});
    let moments =
        || json!({"SdkAppId": app, "StartTime": "2026-11-25 00:00:00", "EndTime": "2026-11-26 09:05:00"});
    let with = |mut body: Value, more: Value| {
        more.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        body
    };
    let without = |mut body: Value, name: &str| {
        body.as_object_mut().unwrap().remove(name);
        body
    };
    let comm = json!({"CommId": format!("{app}_1_1")});
    let today = history::date(end.cast_signed());
    let room_usage =
        json!({"SdkAppid": app, "StartTime": format!("{today} 00:00"), "EndTime": format!("{today} 23:59")});
    let mut table: Vec<(&str, Value, &str)> = Vec::new();

    let of_seconds = [
        ("DescribeRoomInfo", seconds()),
        ("DescribeUserInfo", with(seconds(), comm.clone())),
        ("DescribeUserEvent", with(with(seconds(), comm.clone()), json!({"UserId": "u", "RoomId": "r"}))),
        ("DescribeCallDetailInfo", with(seconds(), comm.clone())),
        ("DescribeScaleInfo", seconds()),
        ("DescribeUnusualEvent", seconds()),
    ];
    for (action, good) in &of_seconds {
        table.push((action, good.clone(), ""));
        for wrong in
            [json!("soon"), json!(-1), json!(1.5), json!([end]), json!({}), json!(true), json!("1e400")]
        {
            table.push((action, with(good.clone(), json!({"StartTime": wrong})), "InvalidParameter.StartTs"));
            table.push((action, with(good.clone(), json!({"EndTime": wrong})), "InvalidParameter.EndTs"));
            table.push((action, with(good.clone(), json!({"SdkAppId": wrong})), "InvalidParameter.SdkAppId"));
        }
        table.push((action, without(good.clone(), "StartTime"), "MissingParameter.StartTs"));
        table.push((action, without(good.clone(), "EndTime"), "MissingParameter.EndTs"));
        table.push((action, without(good.clone(), "SdkAppId"), "MissingParameter.SdkAppId"));
        table.push((action, with(good.clone(), json!({"EndTime": end - 61})), "InvalidParameter.EndTs"));
        table.push((action, with(good.clone(), json!({"SdkAppId": 12_345})), FORBIDDEN));
        table.push((action, with(good.clone(), json!({"Why": 1})), "UnknownParameter"));
        let expired = if *action == "DescribeUnusualEvent" { "StartTimeExpire" } else { "StartTsOversize" };
        let long_ago = json!({"StartTime": end - 16 * 86_400, "EndTime": end - 16 * 86_400});
        let code: &str = Box::leak(format!("InvalidParameter.{expired}").into_boxed_str());
        table.push((action, with(good.clone(), long_ago), code));
    }
    for (action, good) in &of_seconds[1..4] {
        table.push((action, without(good.clone(), "CommId"), "MissingParameter.CommId"));
        for wrong in [json!(1), json!(["x"]), json!({})] {
            table.push((action, with(good.clone(), json!({"CommId": wrong})), "InvalidParameter.CommId"));
        }
        // What is none is nothing.
        for none in ["", "1", "1_2", "a_b_c", "99999999999_1_1", "1_2_3_4"] {
            table.push((action, with(good.clone(), json!({"CommId": none})), ""));
        }
    }
    for (action, most) in [("DescribeRoomInfo", 86_400), ("DescribeUnusualEvent", 3_600)] {
        let good = with(seconds(), json!({"StartTime": end - most}));
        let long = with(seconds(), json!({"StartTime": end - most - 1}));
        table.extend([(action, good, ""), (action, long, "InvalidParameter.QueryScaleOversize")]);
        table.push((action, with(seconds(), json!({"RoomId": 5})), "InvalidParameter"));
    }

    for action in ["DescribeTRTCRealTimeScaleData", "DescribeTRTCRealTimeQualityData"] {
        table.push((action, seconds(), ""));
        table.push((action, with(seconds(), json!({"SdkAppId": app.to_string()})), ""));
        table.push((action, with(seconds(), json!({"RoomId": "r"})), ""));
        table.push((action, with(seconds(), json!({"EndTime": u64::MAX})), ""));
        table.push((action, with(seconds(), json!({"SdkAppId": "x"})), "InvalidParameter.SdkAppId"));
        table.push((action, without(seconds(), "SdkAppId"), "MissingParameter.SdkAppId"));
        for (name, wrong) in [
            ("StartTime", json!("x")),
            ("EndTime", json!("soon")),
            ("RoomId", json!(1)),
            ("StartTime", json!(end + 1)),
        ] {
            table.push((action, with(seconds(), json!({name: wrong})), INVALID));
        }
        table.push((action, without(seconds(), "StartTime"), "MissingParameter"));
        table.push((action, with(seconds(), json!({"EndTime": -1})), "InvalidParameterValue"));
        table.push((action, with(seconds(), json!({"StartTime": end - 13 * 3600})), INVALID));
    }
    let market = || with(days(), json!({"Period": "d"}));
    for action in ["DescribeTRTCMarketScaleData", "DescribeTRTCMarketQualityData"] {
        table.push((action, market(), ""));
        table.push((action, with(market(), json!({"Period": "h"})), ""));
        for name in ["StartTime", "EndTime", "Period"] {
            table.push((action, without(market(), name), "MissingParameter"));
            for wrong in [json!(1), json!("2026-13-01"), json!("26-11-01"), json!(""), json!(["d"])] {
                table.push((action, with(market(), json!({name: wrong})), INVALID));
            }
        }
        table.push((action, with(market(), json!({"StartTime": "2026-11-27"})), INVALID));
        table.push((action, with(market(), json!({"StartTime": "2026-09-01"})), INVALID));
    }
    table.push(("DescribeTRTCMarketQualityData", with(market(), json!({"IsFloat": true})), ""));
    table.push(("DescribeTRTCMarketQualityData", with(market(), json!({"IsFloat": "yes"})), INVALID));
    table.push(("DescribeTRTCMarketScaleData", with(market(), json!({"IsFloat": true})), "UnknownParameter"));

    let of_days = [
        ("DescribeTrtcUsage", days()),
        ("DescribeRecordingUsage", with(days(), json!({"MixType": "single"}))),
        ("DescribeMixTranscodingUsage", days()),
        ("DescribeRelayUsage", days()),
        ("DescribeRecordStatistic", days()),
        ("DescribeTrtcMcuTranscodeTime", days()),
    ];
    for (action, good) in &of_days {
        table.push((action, good.clone(), ""));
        table.push((action, without(good.clone(), "SdkAppId"), ""));
        table.push((action, with(good.clone(), json!({"StartTime": "2026-11-26 00:00:00"})), ""));
        table.push((action, with(good.clone(), json!({"StartTime": "2026-11-27"})), ""));
        table.push((action, with(good.clone(), json!({"StartTime": "2026-10-27"})), ""));
        table.push((
            action,
            with(good.clone(), json!({"StartTime": "2026-10-26"})),
            "InvalidParameter.QueryScaleOversize",
        ));
        for name in ["StartTime", "EndTime"] {
            table.push((action, without(good.clone(), name), "MissingParameter"));
            for wrong in [
                json!(1),
                json!(""),
                json!("today"),
                json!("2026-02-30"),
                json!("2026-11-26 25:00"),
                json!([]),
            ] {
                table.push((action, with(good.clone(), json!({name: wrong})), INVALID));
            }
        }
        for wrong in [json!("x"), json!(0), json!(1.5), json!([1])] {
            table.push((action, with(good.clone(), json!({"SdkAppId": wrong})), "InvalidParameter.SdkAppId"));
        }
        table.push((action, with(good.clone(), json!({"SdkAppId": 12_345})), FORBIDDEN));
    }
    table.push(("DescribeRecordingUsage", days(), "MissingParameter"));
    table.push(("DescribeRecordingUsage", with(days(), json!({"MixType": "both"})), INVALID));
    table.push(("DescribeRecordingUsage", with(days(), json!({"MixType": 1})), INVALID));

    let of_moments = [
        ("DescribeTRTCSegmentModerationUsage", with(moments(), json!({"Type": "audio", "Business": 0}))),
        ("DescribeTRTCAIRecognitionUsage", with(moments(), json!({"AuType": ["asr", "tts"]}))),
        ("DescribeTRTCDedicatedCloudAccUsage", moments()),
    ];
    for (action, good) in &of_moments {
        table.push((action, good.clone(), ""));
        table.push((action, without(good.clone(), "SdkAppId"), ""));
        table.push((action, with(good.clone(), json!({"StartTime": "2026-11-26"})), INVALID));
        table.push((
            action,
            with(good.clone(), json!({"EndTime": "2026-12-26 00:00:00"})),
            "InvalidParameter.QueryScaleOversize",
        ));
        table.push((action, without(good.clone(), "EndTime"), "MissingParameter"));
    }
    let moderation = |more| ("DescribeTRTCSegmentModerationUsage", with(of_moments[0].1.clone(), more));
    for (more, code) in [
        (json!({"Type": "video"}), INVALID),
        (json!({"Type": 1}), INVALID),
        (json!({"Business": 2}), "InvalidParameterValue"),
        (json!({"Business": -1}), "InvalidParameterValue"),
        (json!({"Business": "x"}), INVALID),
    ] {
        let (action, body) = moderation(more);
        table.push((action, body, code));
    }
    for (more, code) in [
        (json!({"AuType": []}), "MissingParameter"),
        (json!({"AuType": "asr"}), INVALID),
        (json!({"AuType": ["song"]}), INVALID),
        (json!({"AuType": [1]}), INVALID),
        (json!({"AuType": ["asr", "asr", "asr", "asr", "asr"]}), INVALID),
    ] {
        table.push(("DescribeTRTCAIRecognitionUsage", with(of_moments[1].1.clone(), more), code));
    }

    let action = "DescribeTrtcRoomUsage";
    table.push((action, room_usage.clone(), ""));
    table.push((
        action,
        with(without(room_usage.clone(), "SdkAppid"), json!({"SdkAppId": app})),
        "UnknownParameter",
    ));
    table.push((action, without(room_usage.clone(), "SdkAppid"), "MissingParameter.SdkAppId"));
    table.push((
        action,
        with(room_usage.clone(), json!({"SdkAppid": 12_345})),
        "FailedOperation.SdkAppIdNotExist",
    ));
    for (name, wrong) in [
        ("StartTime", json!(today)),
        ("StartTime", json!(format!("{today} 9:00"))),
        ("StartTime", json!("2026-02-30 00:00")),
        ("StartTime", json!(1)),
        ("StartTime", json!(format!("{today} 23:59"))),
        ("EndTime", json!(format!("{today} 24:00"))),
        ("EndTime", json!(format!("{}9-01-01 00:00", &today[..3]))),
        ("EndTime", json!("")),
    ] {
        table.push((action, with(room_usage.clone(), json!({name: wrong})), INVALID));
    }
    let long_ago = json!({"StartTime": "2020-01-01 00:00", "EndTime": "2020-01-01 01:00"});
    table.push((action, with(room_usage.clone(), long_ago), INVALID));

    assert!(table.len() > 350, "{}", table.len());
    for (action, body, expected) in table {
        let answer = key.send(&key.post(action, &body.to_string())).await.response();
        assert_eq!(code(&answer), expected, "{action} {body}: {answer}");
    }
}
