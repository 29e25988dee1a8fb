//! Published vectors (made with the third-party generators), every documented failure, and round trips.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use usersig::{Claims, Error, PrivateMapKey, Room, SecretKey, sign, verify};

const APP: u32 = 1_400_000_001;
const ISSUED: u64 = 1_700_000_000;
const PYTHON_SIG: &str = "eJyrVgrxCdYrSy1SslJQMtIzUNJRAItkpqTmlWSmZUIkSotTi*INYXLFKdmJBQWZKUAZQxMDCDCEyqVWFGQWpQJlLMyAUlDBksxckJChOVQxTLw4Mx1kuqllqmVRUoRBRV6ZY2GGhVNSUpCBdn5kZkWRob9Bjra2mVtkmV9EZUihV7qtUi0AKtUyHA__";

fn key() -> SecretKey {
    SecretKey::new("0123456789abcdef".repeat(4))
}

/// Packs any JSON the way a generator does, without signing it.
fn pack(json: &str) -> String {
    let zlib = miniz_oxide::deflate::compress_to_vec_zlib(json.as_bytes(), 9);
    escape(&STANDARD.encode(zlib))
}

fn escape(base64: &str) -> String {
    base64.replace('+', "*").replace('/', "-").replace('=', "_")
}

fn json_of(sig: &str) -> serde_json::Value {
    let zlib = STANDARD.decode(sig.replace('*', "+").replace('-', "/").replace('_', "=")).unwrap();
    serde_json::from_slice(&miniz_oxide::inflate::decompress_to_vec_zlib(&zlib).unwrap()).unwrap()
}

#[test]
fn the_published_vectors_are_reproduced() {
    let ticket = PrivateMapKey {
        identifier: "user_1".into(),
        sdkappid: APP,
        room: Room::Number(10000),
        expires_at: (ISSUED + 86400) as u32,
        privileges: PrivateMapKey::ALL,
    };
    let table = [
        ("administrator", 604_800, None, "PTjd3VxzAYh2p7bWfHeav1U06aJzY2+ppP1+DLLE4hE="),
        ("user_1", 86400, None, "59e9rbX0xnvAqh8BbbR0+oYixr1O0l++6FYvNXyTqJg="),
        ("张三", 3600, None, "AFwnOLz3I5CiJcMu0lag6j0U8QKxD0O6z7EnL+cZXaE="),
        ("a\"b\\c", 60, None, "HHX/6AeYyX6QoCatamC8LpZe01C9a5S2gh7Jpcj+kEE="),
        ("user_1", 86400, Some(ticket.encode().unwrap()), "edT0e9kCNAsMZGne4z6Uz8V1sxNsVLgoUf3BkQ+eS1k="),
    ];
    for (user, expire, userbuf, expected) in table {
        let mut claims = Claims::new(user, APP, ISSUED, expire);
        claims.userbuf = userbuf;

        let sig = sign(&key(), &claims).unwrap();

        assert_eq!(json_of(&sig)["TLS.sig"], expected, "{user}");
        assert_eq!(verify(&key(), &sig, ISSUED).unwrap(), claims);
    }
}

#[test]
fn a_ticket_has_the_published_bytes() {
    let hex = "000006757365725f3153724e010000271065554280000000ff00000000";
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();

    let ticket = PrivateMapKey::decode(&bytes).unwrap();

    assert_eq!(ticket.room, Room::Number(10000));
    assert_eq!(ticket.privileges, PrivateMapKey::ALL);
    assert_eq!(ticket.encode().unwrap(), bytes);
    assert_eq!(PrivateMapKey::WATCH, 42);
}

#[test]
fn a_whole_third_party_usersig_is_accepted() {
    let claims = verify(&key(), PYTHON_SIG, ISSUED + 1).unwrap();

    assert_eq!(claims, Claims::new("user_1", APP, ISSUED, 86400));
    assert_eq!(claims.require("user_1", APP), Ok(()));
    assert_eq!(claims.require("user_2", APP), Err(Error::WrongUser));
    assert_eq!(claims.require("user_1", 7), Err(Error::WrongApp { signed: APP, requested: 7 }));
}

#[test]
fn it_holds_until_the_second_before_its_expiry() {
    assert!(verify(&key(), PYTHON_SIG, ISSUED + 86399).is_ok());
    assert_eq!(
        verify(&key(), PYTHON_SIG, ISSUED + 86400),
        Err(Error::Expired { expired_at: ISSUED + 86400 })
    );
}

#[test]
fn a_clock_may_be_five_minutes_behind_the_signer() {
    assert!(verify(&key(), PYTHON_SIG, ISSUED - 300).is_ok());
    assert_eq!(verify(&key(), PYTHON_SIG, ISSUED - 301), Err(Error::NotYetValid { issued_at: ISSUED }));
}

#[test]
fn numbers_written_as_strings_are_read() {
    let json = json_of(PYTHON_SIG);
    let text = format!(
        r#"{{"TLS.ver":"2.0","TLS.identifier":"user_1","TLS.sdkappid":"{APP}","TLS.time":"{ISSUED}","TLS.expire":"86400","TLS.sig":{}}}"#,
        json["TLS.sig"]
    );

    assert_eq!(verify(&key(), &pack(&text), ISSUED).unwrap().sdkappid, APP);
}

#[test]
fn each_failure_says_what_it_is() {
    let sig = json_of(PYTHON_SIG)["TLS.sig"].as_str().unwrap().to_string();
    let with = |fields: &str| pack(&format!("{{{fields}}}"));
    let good = format!(
        r#""TLS.ver":"2.0","TLS.identifier":"user_1","TLS.sdkappid":{APP},"TLS.time":{ISSUED},"TLS.expire":86400"#
    );
    let mut trailing =
        STANDARD.decode(PYTHON_SIG.replace('*', "+").replace('-', "/").replace('_', "=")).unwrap();
    trailing.push(0);
    let bomb = pack(&format!(r#"{{{good},"TLS.sig":"{sig}","x":"{}"}}"#, "a".repeat(5000)));
    let mut dictionary =
        STANDARD.decode(PYTHON_SIG.replace('*', "+").replace('-', "/").replace('_', "=")).unwrap();
    // FDICT set and FCHECK corrected (RFC 1950 2.2): a stream that wants a preset dictionary.
    dictionary[1] = 0xBB;
    let table = [
        ("empty", String::new(), "empty"),
        ("not base64", "!!!".into(), "decoded"),
        ("plain base64", "eJyr+/==".into(), "decoded"),
        ("cut off", PYTHON_SIG[..60].into(), "decoded"),
        ("one character short", PYTHON_SIG[..PYTHON_SIG.len() - 1].into(), "decoded"),
        ("too long", "e".repeat(4097), "decoded"),
        ("inflates too far", bomb, "decoded"),
        ("trailing bytes", escape(&STANDARD.encode(trailing)), "decoded"),
        ("preset dictionary", escape(&STANDARD.encode(dictionary)), "decoded"),
        ("no JSON", pack("hello"), "decoded"),
        ("no object", pack("[1]"), "decoded"),
        ("no sig", with(&good), "decoded"),
        ("sig no string", with(&format!(r#"{good},"TLS.sig":5"#)), "decoded"),
        ("sig no base64", with(&format!(r#"{good},"TLS.sig":"%%""#)), "decoded"),
        ("version", with(&format!(r#"{},"TLS.sig":"{sig}""#, good.replace("2.0", "1.0"))), "decoded"),
        (
            "negative time",
            with(&format!(r#"{},"TLS.sig":"{sig}""#, good.replace("1700000000", "-1"))),
            "decoded",
        ),
        ("altered", with(&format!(r#"{},"TLS.sig":"{sig}""#, good.replace("86400", "86401"))), "signed"),
        ("short sig", with(&format!(r#"{good},"TLS.sig":"AAAA""#)), "signed"),
        ("empty sig", with(&format!(r#"{good},"TLS.sig":"""#)), "signed"),
    ];
    for (what, text, kind) in table {
        let found = match verify(&key(), &text, ISSUED).expect_err(what) {
            Error::Empty => "empty",
            Error::Malformed(_) => "decoded",
            Error::WrongKey => "signed",
            error => panic!("{what}: {error}"),
        };
        assert_eq!(found, kind, "{what}");
    }
    let other = SecretKey::new("another key");
    assert_eq!(verify(&other, PYTHON_SIG, ISSUED + 999_999), Err(Error::WrongKey));
}

#[test]
fn a_line_feed_cannot_smuggle_claims() {
    let claims = Claims::new("a\nTLS.sdkappid:1", APP, ISSUED, 60);

    assert!(matches!(sign(&key(), &claims), Err(Error::Unsignable(_))));
}

#[test]
fn a_key_is_not_shown_by_debug() {
    assert_eq!(format!("{:?}", SecretKey::new("hunter2")), "SecretKey(..)");
}

proptest! {
    #[test]
    fn what_is_signed_verifies(user in "[^\\p{Cc}]{1,32}", app: u32, expire in 1u64..1_000_000, buf in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200))) {
        let mut claims = Claims::new(user, app, ISSUED, expire);
        claims.userbuf = buf;
        let sig = sign(&key(), &claims).unwrap();
        prop_assert_eq!(verify(&key(), &sig, ISSUED).unwrap(), claims);
    }

    #[test]
    fn no_text_panics(text in ".{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(verify(&key(), &text, ISSUED).is_err());
        prop_assert!(verify(&key(), &escape(&STANDARD.encode(&bytes)), ISSUED).is_err());
        let _ = PrivateMapKey::decode(&bytes);
    }
}
