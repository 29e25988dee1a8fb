//! Vectors made with the code of the cloud's own SDKs, every way in which a signature can be wrong, and round trips.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use tc3::{Authorization, Digest, Error, Flat, Payload, Request, SecretKey, hosts};

const ID: &str = "AKIDroomfulexample0000000000000001";
const SIGNED_AT: u64 = 1_700_000_000;
const PYTHON_BODY: &str =
    r#"{"SdkAppId": 1400000001, "RoomId": "room a+b", "UserIds": ["ann", "\u5f20\u4e09"]}"#;
const NODE_BODY: &str = r#"{"SdkAppId":1400000001,"RoomId":"room a+b","UserIds":["ann","张三"]}"#;
const QUERY: &str = "SdkAppId=1400000001&RoomId=room+a%2Bb&UserIds.0=ann&UserIds.1=%E5%BC%A0%E4%B8%89";

fn key() -> SecretKey {
    SecretKey::new("roomfulExampleSecretKey0123456789")
}

/// A request as it comes over the wire.
#[derive(Clone)]
struct Sent {
    method: &'static str,
    host: String,
    query: String,
    payload: Payload,
    timestamp: String,
    headers: Vec<(&'static str, String)>,
}

impl Sent {
    fn post(host: &str, body: &str) -> Self {
        Self {
            method: "POST",
            host: host.into(),
            query: String::new(),
            payload: Payload::of(body.as_bytes()),
            timestamp: SIGNED_AT.to_string(),
            headers: vec![("content-type", "application/json".into())],
        }
    }

    fn get(host: &str, query: &str) -> Self {
        let headers = vec![("content-type", "application/x-www-form-urlencoded".into())];
        Self {
            method: "GET",
            query: query.into(),
            payload: Payload::of(b""),
            headers,
            ..Self::post(host, "")
        }
    }

    /// What `check` makes of it, with the hosts that a server would try.
    fn as_request<T>(&self, check: impl FnOnce(&Request<'_>) -> T) -> T {
        let header = |name: &str| {
            self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes())
        };
        let hosts = hosts(&self.host, []);
        check(&Request {
            method: self.method,
            query: &self.query,
            timestamp: &self.timestamp,
            payload: self.payload.clone(),
            hosts: &hosts,
            header: &header,
        })
    }

    fn verify(&self, authorization: &str) -> Result<(), Error> {
        let authorization = Authorization::parse(authorization)?;
        authorization.require_time(&self.timestamp, SIGNED_AT)?;
        self.as_request(|request| authorization.verify(&key(), request))
    }

    fn sign(&self, service: &str, names: &[&str]) -> String {
        self.as_request(|request| tc3::sign(&key(), ID, service, names, request)).unwrap()
    }
}

fn authorization(service: &str, signature: &str) -> String {
    format!(
        "TC3-HMAC-SHA256 Credential={ID}/2023-11-14/{service}/tc3_request, SignedHeaders=content-type;host, \
         Signature={signature}"
    )
}

fn table() -> Vec<(Sent, &'static str, &'static str)> {
    let unsigned = Sent { payload: Payload::unsigned(), ..Sent::post("trtc.example.org", "") };
    vec![
        (
            Sent::post("trtc.example.org", PYTHON_BODY),
            "trtc",
            "6c53d05867cf0257f472369d6c16a2c8d219391f251b7f35184025fe849c3a55",
        ),
        (
            Sent::get("trtc.example.org", QUERY),
            "trtc",
            "56a73c131807f23ebddd091f19341b48efd94c617fdb1abdc2b33084ad153ab2",
        ),
        (unsigned, "trtc", "6f77abeb8cab32f933af09283c1dabc3a6613b90f7303432143c9205caf9db8f"),
        (
            Sent::post("127.0.0.1:7000", PYTHON_BODY),
            "trtc",
            "1818dbd744df6612444a0bb98d8147155dd31b1b7b3d42b71171829343ea04f6",
        ),
        // Node signs the name alone, and the endpoint's first part as the service.
        (
            Sent::post("127.0.0.1:7000", NODE_BODY),
            "127",
            "00c4584be8d4d2841804b510380acdf6134a7ff46f2ea613462a198ecc9600da",
        ),
        (
            Sent::post("trtc.example.org", NODE_BODY),
            "trtc",
            "19e3735b1acb1c50929822c1cd01625795b35ce03aa9db188c9d2c210ad6e8d2",
        ),
    ]
}

#[test]
fn the_published_vectors_verify() {
    for (at, (sent, service, signature)) in table().into_iter().enumerate() {
        assert_eq!(sent.verify(&authorization(service, signature)), Ok(()), "vector {}", at + 1);
    }
}

#[test]
fn the_published_vectors_are_reproduced() {
    for (at, (sent, service, signature)) in table().into_iter().enumerate() {
        // What we sign first is the host as it is sent, which Node does not.
        let sent = if service == "127" { Sent { host: "127.0.0.1".into(), ..sent } } else { sent };

        let signed = sent.sign(service, &["content-type", "host"]);

        assert_eq!(signed, authorization(service, signature), "vector {}", at + 1);
    }
}

#[test]
fn what_differs_from_what_was_signed_is_refused() {
    let (sent, service, signature) = table().swap_remove(0);
    let good = authorization(service, signature);
    let other = |change: &dyn Fn(&mut Sent)| {
        let mut sent = sent.clone();
        change(&mut sent);
        sent.verify(&good)
    };
    type Change<'a> = &'a dyn Fn(&mut Sent);
    let table: [(&str, Change<'_>); 7] = [
        ("body", &|sent| sent.payload = Payload::of(NODE_BODY.as_bytes())),
        ("body with a space more", &|sent| sent.payload = Payload::of(format!("{PYTHON_BODY} ").as_bytes())),
        ("payload not signed", &|sent| sent.payload = Payload::unsigned()),
        ("host", &|sent| sent.host = "trtc.example.com".into()),
        ("method", &|sent| sent.method = "GET"),
        ("content type", &|sent| sent.headers = vec![("content-type", "text/plain".into())]),
        ("timestamp", &|sent| sent.timestamp = (SIGNED_AT + 1).to_string()),
    ];
    for (what, change) in table {
        assert_eq!(other(change), Err(Error::WrongSignature), "{what}");
    }
    assert_eq!(sent.verify(&good.replace("/trtc/", "/cvm/")), Err(Error::WrongSignature));
    assert_eq!(sent.verify(&good.replace("2023-11-14", "2023-11-15")), Err(Error::WrongDate));
    let key = SecretKey::new("another");
    let parsed = Authorization::parse(&good).unwrap();
    assert_eq!(sent.as_request(|request| parsed.verify(&key, request)), Err(Error::WrongSignature));

    let (sent, service, signature) = table_of_get();
    let query = sent.query.replace("room+a%2Bb", "room%20a%2Bb");
    let respelled = Sent { query, ..sent };
    assert_eq!(respelled.verify(&authorization(service, signature)), Err(Error::WrongSignature), "raw query");
}

fn table_of_get() -> (Sent, &'static str, &'static str) {
    table().swap_remove(1)
}

#[test]
fn a_host_may_be_signed_without_its_port_and_in_lower_case() {
    for (signed, sent, expected) in [
        ("rtc.example.org", "rtc.example.org:7000", Ok(())),
        ("rtc.example.org", "RTC.Example.org", Ok(())),
        ("rtc.example.org", "RTC.Example.org:7000", Ok(())),
        ("http://rtc.example.org:7000", "http://rtc.example.org:7000", Ok(())),
        ("[::1]", "[::1]:7000", Ok(())),
        ("rtc.example.org:7001", "rtc.example.org:7000", Err(Error::WrongSignature)),
        ("rtc.example.org:7000", "rtc.example.org", Err(Error::WrongSignature)),
    ] {
        let authorization = Sent::post(signed, NODE_BODY).sign("rtc", &["content-type", "host"]);

        assert_eq!(Sent::post(sent, NODE_BODY).verify(&authorization), expected, "{signed} for {sent}");
    }
}

#[test]
fn a_header_may_be_signed_in_lower_case() {
    let names = ["content-type", "host", "x-tc-action"];
    let with = |action: &str| {
        let mut sent = Sent::post("h", NODE_BODY);
        sent.headers.push(("x-tc-action", action.into()));
        sent
    };

    assert_eq!(with("RemoveUser").verify(&with("removeuser").sign("trtc", &names)), Ok(()));
    assert_eq!(with("RemoveUser").verify(&with("RemoveUser").sign("trtc", &names)), Ok(()));
    assert_eq!(with(" RemoveUser ").verify(&with("RemoveUser").sign("trtc", &names)), Ok(()), "trimmed");
    let other = with("DismissRoom").verify(&with("removeuser").sign("trtc", &names));
    assert_eq!(other, Err(Error::WrongSignature));
    let case = with("removeuser").verify(&with("RemoveUser").sign("trtc", &names));
    assert_eq!(case, Err(Error::WrongSignature), "no capitals are made up");
}

#[test]
fn a_call_holds_for_five_minutes_either_way() {
    let good = authorization("trtc", &"0".repeat(64));
    let authorization = Authorization::parse(&good).unwrap();
    for (now, expected) in [
        (SIGNED_AT, Ok(())),
        (SIGNED_AT + 300, Ok(())),
        (SIGNED_AT - 300, Ok(())),
        (SIGNED_AT + 301, Err(Error::Expired { signed_at: SIGNED_AT, now: SIGNED_AT + 301 })),
        (SIGNED_AT - 301, Err(Error::Expired { signed_at: SIGNED_AT, now: SIGNED_AT - 301 })),
        (0, Err(Error::Expired { signed_at: SIGNED_AT, now: 0 })),
    ] {
        assert_eq!(authorization.require_time(&SIGNED_AT.to_string(), now), expected);
    }
    for text in ["", "x", "-1", "+1700000000", "1700000000.5", " 1700000000", "99999999999999999999", "１"] {
        assert_eq!(authorization.require_time(text, SIGNED_AT), Err(Error::NoTime), "{text}");
    }
}

#[test]
fn what_is_no_authorization_says_why() {
    let good = authorization("trtc", &"0".repeat(64));
    assert!(Authorization::parse(&good).is_ok());
    for spelled in [
        good.replace(", ", ","),
        good.replace("SHA256 ", "SHA256   "),
        format!(" {good} "),
        good.replace("/trtc/", "/localhost:7000/"),
        good.replace("/trtc/", "/http://127/"),
    ] {
        assert!(Authorization::parse(&spelled).is_ok(), "{spelled}");
    }
    for (wrong, words) in [
        (String::new(), "begin"),
        ("SKIP".into(), "begin"),
        (good.replace("TC3-HMAC-SHA256", "TC3-HMAC-SHA1"), "begin"),
        (good.replace("TC3-HMAC-SHA256 ", "TC3-HMAC-SHA256"), "begin"),
        ("TC3-HMAC-SHA256 ".into(), "begin"),
        (good.replace("Credential=", "Credentials="), "unknown"),
        (good.replace("Signature=", "Signature:"), "\"=\""),
        (format!("{good}, Signature={}", "0".repeat(64)), "twice"),
        (format!("{good},"), "\"=\""),
        ("TC3-HMAC-SHA256 SignedHeaders=content-type;host, Signature=0".into(), "Credential"),
        (good.replace("SignedHeaders=content-type;host, ", ""), "SignedHeaders"),
        (good.replace(&format!(", Signature={}", "0".repeat(64)), ""), "Signature"),
        (good.replace(ID, ""), "Credential"),
        (good.replace("/2023-11-14", ""), "Credential"),
        (good.replace("2023-11-14", "20231114"), "Credential"),
        (good.replace("/tc3_request", ""), "Credential"),
        (good.replace("tc3_request", "tc4_request"), "Credential"),
        (good.replace("/trtc/", "//"), "Credential"),
        (good.replace("content-type;host", "content-type"), "host"),
        (good.replace("content-type;host", "host"), "content-type"),
        (good.replace("content-type;host", ""), "lower-case"),
        (good.replace("content-type;host", "Content-Type;Host"), "lower-case"),
        (good.replace("content-type;host", "content-type;;host"), "lower-case"),
        (good.replace("content-type;host", "content-type;host;host"), "twice"),
        (good.replace("content-type;host", &"a;".repeat(100)), "64"),
        (good.replace(&"0".repeat(64), &"0".repeat(63)), "hex"),
        (good.replace(&"0".repeat(64), &"A".repeat(64)), "hex"),
        (good.replace(&"0".repeat(64), &"é".repeat(32)), "hex"),
    ] {
        let error = Authorization::parse(&wrong).expect_err(&wrong);
        assert!(error.to_string().contains(words), "{wrong}: {error}");
    }
}

/// The older way's parameters in the published sample.
fn flat(digest: &str) -> Flat {
    Flat::parse(&format!(
        "{QUERY}&Action=RemoveUserByStrRoomId&Version=2019-07-22&Timestamp={SIGNED_AT}&Nonce=12345&SecretId={ID}\
         &SignatureMethod={digest}&RequestClient=SDK_PYTHON_3.1.177&Region=ap-guangzhou&Language=zh-CN"
    ))
    .unwrap()
}

fn signed(text: &str, signature: &str) -> Flat {
    Flat::parse(&format!("{text}&Signature={}", signature.replace('+', "%2B"))).unwrap()
}

#[test]
fn the_older_signatures_published_vectors_are_reproduced() {
    for (name, method, expected) in [
        ("HmacSHA256", "POST", "2vAQDZoTMjtF6Z76THpEcl96v9/y4zJQi6PHiFVSA3w="),
        ("HmacSHA1", "GET", "3ctYBOqyYmHlN8yS0ikWYxgLJVc="),
    ] {
        let digest = Digest::named(Some(name)).unwrap();

        assert_eq!(flat(name).sign(&key(), digest, method, "trtc.example.org"), expected, "{name}");
    }
    assert_eq!(Digest::named(None), Ok(Digest::Sha1));
    assert_eq!(Digest::named(Some("HmacMD5")), Err(Error::UnknownMethod));
}

#[test]
fn the_older_signature_covers_every_parameter_the_method_and_the_host() {
    let text = "Action=A&RoomId=a+b&Nonce=1";
    let digest = Digest::Sha256;
    let signature = Flat::parse(text).unwrap().sign(&key(), digest, "POST", "h:7000");
    let hosts = hosts("h:7000", []);
    let verify = |flat: Flat, method: &str, hosts: &[String]| flat.verify(&key(), digest, method, hosts);
    let wrong = Err(Error::WrongSignature);

    assert_eq!(verify(signed(text, &signature), "POST", &hosts), Ok(()));
    assert_eq!(
        verify(signed("Nonce=1&RoomId=a%20b&Action=A", &signature), "POST", &hosts),
        Ok(()),
        "decoded"
    );
    assert_eq!(verify(signed("Action=A&RoomId=a+c&Nonce=1", &signature), "POST", &hosts), wrong);
    assert_eq!(verify(signed(&format!("{text}&More=1"), &signature), "POST", &hosts), wrong);
    assert_eq!(verify(signed(text, &signature), "GET", &hosts), wrong);
    assert_eq!(verify(signed(text, &signature), "POST", &["h".into()]), wrong);
    assert_eq!(signed(text, &signature).verify(&key(), Digest::Sha1, "POST", &hosts), wrong);
    let missing = Flat::parse(text).unwrap();
    assert!(matches!(verify(missing, "POST", &hosts), Err(Error::Malformed(_))));
    assert!(matches!(verify(signed(text, "%%%"), "POST", &hosts), Err(Error::Malformed(_))));
    assert_eq!(verify(signed(text, ""), "POST", &hosts), wrong);
}

#[test]
fn flat_parameters_are_read_as_they_are_meant() {
    let flat = Flat::parse("a=1&b=x+y%20z&&c&d=%E5%BC%A0&e=1=2&f=100%").unwrap();

    let all: Vec<(&str, &str)> = flat.iter().collect();
    assert_eq!(all, [("a", "1"), ("b", "x y z"), ("c", ""), ("d", "张"), ("e", "1=2"), ("f", "100%")]);
    assert!(Flat::parse("").unwrap().iter().next().is_none());
    assert!(Flat::parse("a=1&a=2").is_err());
    assert!(Flat::parse("a=1&%61=2").is_err(), "twice, though not by the same bytes");
    assert!(Flat::parse("a=%ff").is_err());
    let many = |count: usize| (0..count).map(|number| format!("p{number}=&")).collect::<String>();
    assert!(Flat::parse(&many(4096)).is_ok());
    assert!(Flat::parse(&many(4097)).is_err());
}

#[test]
fn a_key_is_not_shown_by_debug() {
    assert_eq!(format!("{:?}", SecretKey::new("hunter2")), "SecretKey(..)");
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_nothing_else_does(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        host in "[a-zA-Z0-9.-]{1,30}(:[0-9]{1,5})?",
        service in "[a-z0-9:.]{1,20}",
        secret in "[!-~]{0,60}",
        other in "[!-~]{0,60}",
        action in "[ -~]{0,40}",
        flipped in 0usize..200,
    ) {
        let key = SecretKey::new(secret.clone());
        let mut sent = Sent { payload: Payload::of(&body), ..Sent::post(&host, "") };
        sent.headers.push(("x-tc-action", action));
        let text = sent.as_request(|request| tc3::sign(&key, ID, &service, &["content-type", "host", "x-tc-action"], request)).unwrap();
        let authorization = Authorization::parse(&text).unwrap();
        prop_assert_eq!(authorization.secret_id(), ID);
        prop_assert_eq!(sent.as_request(|request| authorization.verify(&key, request)), Ok(()));
        if other != secret {
            let other = SecretKey::new(other);
            prop_assert_eq!(sent.as_request(|request| authorization.verify(&other, request)), Err(Error::WrongSignature));
        }
        if !body.is_empty() {
            let mut altered = body.clone();
            let at = flipped % altered.len();
            altered[at] ^= 1;
            let altered = Sent { payload: Payload::of(&altered), ..sent };
            prop_assert_eq!(altered.as_request(|request| authorization.verify(&key, request)), Err(Error::WrongSignature));
        }
    }

    #[test]
    fn what_is_signed_flat_verifies_and_nothing_else_does(
        pairs in proptest::collection::btree_map("[A-Za-z.0-9]{1,12}", "[a-z0-9 ]{0,12}", 1..8),
        is_sha1: bool,
        grown in 0usize..8,
    ) {
        let digest = if is_sha1 { Digest::Sha1 } else { Digest::Sha256 };
        let pairs: Vec<(String, String)> = pairs.into_iter().filter(|(name, _)| name != "Signature").collect();
        let text = |pairs: &[(String, String)]| {
            pairs.iter().map(|(name, value)| format!("{name}={}", value.replace(' ', "+"))).collect::<Vec<_>>().join("&")
        };
        let signature = Flat::parse(&text(&pairs)).unwrap().sign(&key(), digest, "GET", "h");
        let reversed: Vec<(String, String)> = pairs.iter().rev().cloned().collect();
        prop_assert_eq!(signed(&text(&reversed), &signature).verify(&key(), digest, "GET", &["h".into()]), Ok(()));
        if !pairs.is_empty() {
            let mut altered = pairs.clone();
            let at = grown % altered.len();
            altered[at].1.push('x');
            prop_assert_eq!(signed(&text(&altered), &signature).verify(&key(), digest, "GET", &["h".into()]), Err(Error::WrongSignature));
        }
    }

    #[test]
    fn no_text_panics(text in ".{0,300}", bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = Authorization::parse(&text);
        let _ = Authorization::parse(&format!("TC3-HMAC-SHA256 {text}"));
        let _ = Flat::parse(&text);
        let _ = Flat::parse(&String::from_utf8_lossy(&bytes));
        let _ = tc3::require_time(&text, SIGNED_AT);
        for host in hosts(&text, [text.as_str()]) {
            prop_assert!(!host.is_empty());
        }
    }
}
