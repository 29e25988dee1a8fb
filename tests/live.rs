//! Sound and pictures, as real browsers and another implementation of WebRTC send and receive them. Their own statistics
//! are the witness. What has several encoders at work, or is held to milliseconds, is measured alone; what only has to come about, or is
//! compared with itself, comes two at a time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::time::Duration;

use harness::receiver::{Received, Receiver, sign};
use harness::rtc::by_sdk;
use harness::script::Script;
use harness::{ADMIN, Server, names, now};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

static ONE_AT_A_TIME: Turns = Turns(Semaphore::const_new(2));

struct Turns(Semaphore);

impl Turns {
    /// Nothing else is at work meanwhile.
    async fn lock(&self) -> SemaphorePermit<'_> {
        self.0.acquire_many(2).await.unwrap()
    }

    /// Another may be at work meanwhile that is not measured either.
    async fn share(&self) -> SemaphorePermit<'_> {
        self.0.acquire().await.unwrap()
    }
}

async fn server() -> Server {
    let server = Server::start().await;
    server.import(&["ann", "ben", "cat", "dan", "eve"]).await;
    server
}

fn browsers(server: &Server, scenario: &str) -> Script {
    browsers_with(server, scenario, json!({}), &[])
}

fn browsers_with(server: &Server, scenario: &str, more: Value, environment: &[(&str, &str)]) -> Script {
    let sigs: serde_json::Map<String, Value> = ["ann", "ben", "cat", "dan", "eve"]
        .map(|user| (user.into(), server.sig(user).into()))
        .into_iter()
        .collect();
    let mut input = json!({
        "url": format!("http://{}", server.address), "app": server.app,
        "admin": server.sig(ADMIN), "sigs": sigs,
    });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Script::start_in("node", &["live.mjs", scenario], &input, environment)
}

#[tokio::test(flavor = "multi_thread")]
async fn media_heals_by_itself_when_the_server_is_killed_and_started_again() {
    media_heals(json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn media_that_is_encrypted_from_end_to_end_heals_by_itself() {
    media_heals(json!({"key": "said among members"})).await;
}

async fn media_heals(more: Value) {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let mut script = browsers_with(&server, "restart", more, &[]);
    assert_eq!(script.hear()["do"], "restart");
    let _server = server.restart_in_place().await;
    script.say(&json!({}));
    let saw = script.hear()["result"].take();

    assert_eq!(saw["members"], json!(["ann", "ben"]), "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_the_loudest_only_hears_whoever_talks() {
    let _turn = ONE_AT_A_TIME.share().await;
    // Who publishes and who listens is with different workers.
    let server = Server::with(&[("ROOMFUL_MEDIA__WORKERS", "4")]).await;
    server.import(&["ann", "ben", "cat", "dan", "eve"]).await;

    let saw = browsers(&server, "loudest").hear()["result"].take();

    let order = [json!(["ben", 0, true]), json!(["ann", 0, true]), json!(["cat", 0, true])];
    assert_eq!(saw["order"], json!(order), "{saw}");
    assert!(saw["refused"].as_str().unwrap().contains("1 to 50"), "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_too_narrow_for_all_pictures_in_vp8_gets_fewer() {
    a_narrow_link_gets_fewer("vp8").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_too_narrow_for_all_pictures_in_vp9_gets_fewer() {
    a_narrow_link_gets_fewer("vp9").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_too_narrow_for_all_pictures_in_av1_gets_fewer() {
    a_narrow_link_gets_fewer("av1").await;
}

async fn a_narrow_link_gets_fewer(codec: &str) {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let more = json!({"codec": codec, "mode": "L1T3"});
    let saw = browsers_with(&server, "fewer", more, &[]).hear()["result"].take();

    assert_eq!(saw["sent"], "L1T3", "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stereo_profile_is_heard_in_two_channels() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let pitches = browsers(&server, "stereo").hear()["result"].take();

    assert!(
        (pitches[0].as_i64().unwrap() - 440).abs() < 15 && (pitches[1].as_i64().unwrap() - 880).abs() < 15,
        "{pitches}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_left_out_where_that_is_wanted_and_is_no_loss() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "silence").hear()["result"].take();

    assert!(saw["rates"][1].as_u64().unwrap() > 40, "{saw}");
    assert_eq!((&saw["level"], &saw["packetsLost"]), (&json!(0), &json!(0)), "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_was_cut_heals_by_starting_ice_over() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "outage").hear()["result"].take();

    assert_eq!(saw["connections"], 1, "the same connection goes on: {saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_is_passed_through() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "codecs").hear()["result"].take();

    // Debian's Chromium encodes all four; another may not have H.264.
    assert!(saw["seen"].as_array().unwrap().len() >= 3, "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_is_passed_through_encrypted_from_end_to_end() {
    every_codec_is_encrypted(Value::Null).await;
}

/// Also in browsers that have only what Chromium had before.
#[tokio::test(flavor = "multi_thread")]
async fn every_codec_is_passed_through_encrypted_by_what_older_browsers_have() {
    every_codec_is_encrypted(json!("RTCRtpScriptTransform")).await;
}

async fn every_codec_is_encrypted(without: Value) {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let more = json!({"key": "said among members", "without": without});
    let saw = browsers_with(&server, "codecs", more, &[]).hear()["result"].take();

    assert!(saw["seen"].as_array().unwrap().len() >= 3, "{without}: {saw}");
    // Without the key no decoder takes them; of H.264, noise may be seen.
    for codec in ["VP8", "VP9", "AV1"] {
        assert!(saw["unkeyed"].get(codec).is_none_or(|frames| frames == 0), "{without} {codec}: {saw}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn media_comes_from_the_address_it_was_asked_at() {
    let _turn = ONE_AT_A_TIME.share().await;
    // A socket for all addresses, which this is about: the system would answer from another than the client knows.
    let server = Server::with(&[
        ("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"),
        ("ROOMFUL_MEDIA__UDP", "0.0.0.0:0"),
        // On a busy machine it may come about first.
        ("ROOMFUL_MEDIA__TCP", "off"),
        ("ROOMFUL_MEDIA__ADVERTISE", "127.0.0.2"),
    ])
    .await;
    server.import(&["ann", "ben"]).await;

    let saw = browsers(&server, "address").hear()["result"].take();

    let addresses = saw["addresses"].as_array().unwrap();
    assert!(!addresses.is_empty() && addresses.iter().all(|address| address == "udp 127.0.0.2"), "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn media_goes_over_tcp_where_udp_does_not_get_through() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "tcp").hear()["result"].take();

    assert!(saw["protocols"].as_array().unwrap().contains(&json!("tcp")), "{saw}");

    // The port of everything else takes it too.
    let port = server.address.rsplit(':').next().unwrap();
    let saw = browsers_with(&server, "tcp", json!({"port": port}), &[]).hear()["result"].take();

    assert!(saw["protocols"].as_array().unwrap().contains(&json!("tcp")), "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_speaks_ipv6() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = Server::with(&[
        ("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"),
        ("ROOMFUL_MEDIA__UDP", "[::]:0"),
        ("ROOMFUL_MEDIA__TCP", "[::]:0"),
        ("ROOMFUL_MEDIA__ADVERTISE", "::1"),
    ])
    .await;
    server.import(&["ann", "ben"]).await;

    let ways = json!({"ways": [r"^turn:\[::1\].*=udp", r"^turn:\[::1\].*=tcp"]});
    let saw = browsers_with(&server, "relay", ways, &[]).hear()["result"].take();

    assert_eq!(saw["used"], json!(["relay udp", "relay udp", "relay tcp", "relay tcp"]));
}

/// Chromium takes all that comes from a relay's address for the relay's: that it is told of one must not cost it the direct way.
#[tokio::test(flavor = "multi_thread")]
async fn browsers_go_the_direct_way_beside_every_way_of_the_relay() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let ways = json!({"ways": ["^turn"], "policy": "all"});
    let saw = browsers_with(&server, "relay", ways, &[]).hear()["result"].take();

    assert_eq!(saw["used"], json!(["host udp", "host udp"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_meet_where_only_the_relay_gets_through() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let ways = json!({"ways": ["^turn:.*=udp", "^turn:.*=tcp"]});
    let saw = browsers_with(&server, "relay", ways, &[]).hear()["result"].take();

    assert_eq!(saw["used"], json!(["relay udp", "relay udp", "relay tcp", "relay tcp"]));
    let metrics = server.metrics().await;
    for direction in ["from_clients", "to_clients"] {
        let name = format!("roomful_turn_bytes_total{{direction=\"{direction}\"}} ");
        let bytes = metrics.split_once(&name).unwrap().1.lines().next().unwrap().parse::<u64>().unwrap();
        assert!(bytes > 5_000, "{direction}: {bytes}");
    }
}

/// The same with one port open, and TLS on it: who sees the packets sees HTTPS.
#[tokio::test(flavor = "multi_thread")]
async fn one_tls_port_is_enough_for_everything() {
    let _turn = ONE_AT_A_TIME.share().await;
    let plain = server().await;
    plain.create_room_with("stage", json!({"SeatTemplate": "VideoDynamicGrid9Seats"})).await;
    let data = plain.data.clone();
    drop(plain);
    let (cert, key) = harness::certificate(data.path());
    let environment =
        [("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0".as_ref()), ("ROOMFUL_MEDIA__TCP", "off".as_ref())];
    let files = [("ROOMFUL_TLS__CERT", cert.as_os_str()), ("ROOMFUL_TLS__KEY", key.as_os_str())];
    let environment = environment.into_iter().chain(files);
    let environment =
        environment.map(|(name, value)| (name.into(), value.to_str().unwrap().into())).collect();
    let server = Server::on(data, environment).await;
    let url = format!("https://localhost:{}", server.address.rsplit(':').next().unwrap());
    // Whoever trusts the certificate: programs by this variable, the browser by a flag.
    let trust = [("SSL_CERT_FILE", cert.to_str().unwrap()), ("NODE_EXTRA_CA_CERTS", cert.to_str().unwrap())];

    let more = json!({"ways": ["^turns:"], "url": url, "flags": ["--ignore-certificate-errors"]});
    let saw = browsers_with(&server, "relay", more, &trust).hear()["result"].take();
    let mut request = whip_request(&server, &url);
    request["relay"] = saw["servers"][0].clone();
    request["relay"]["urls"] = saw["servers"][0]["urls"].as_array().unwrap().last().unwrap().clone();
    let mut script = Script::start_in("python", &["whip.py"], &request, &trust);
    let heard = script.hear();
    script.say(&json!({}));
    script.hear();
    script.say(&json!({}));

    assert_eq!(saw["used"], json!(["relay tls", "relay tls"]));
    assert!(request["relay"]["urls"].as_str().unwrap().starts_with("turns:localhost:"), "{request}");
    assert!((heard["tone"].as_i64().unwrap() - 440).abs() < 25, "{heard}");
}

/// What a member is told of the server's own relay.
async fn relay_of(server: &Server, user: &str) -> Value {
    let config = server.log_in(user).await.ok("get_media_config", json!({})).await;
    config["IceServers"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn aiortc_publishes_and_plays_by_every_way_of_the_relay() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;
    let fields = json!({"SeatTemplate": "VideoDynamicGrid9Seats"});
    server.create_room_with("stage", fields).await;
    let relay = relay_of(&server, "ann").await;
    let mut urls = relay["urls"].as_array().unwrap().clone();
    assert_eq!(urls.len(), 2, "{relay}");
    // The port of everything else takes it too.
    urls.push(json!(format!("turn:{}?transport=tcp", server.address)));

    for url in urls {
        let mut request = whip_request(&server, &format!("http://{}", server.address));
        request["relay"] = relay.clone();
        request["relay"]["urls"] = url.clone();
        let mut script = Script::start("python", &["whip.py"], &request);
        let saw = script.hear();
        script.say(&json!({}));
        script.hear();
        script.say(&json!({}));

        assert!((saw["tone"].as_i64().unwrap() - 440).abs() < 25, "{url}: {saw}");
        server.wait_for_members("stage", &[], Duration::from_secs(5)).await;
    }
    let metrics = server.metrics().await;
    assert!(metrics.contains("roomful_turn_refusals_total{code=\"403\"} 0\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_does_what_its_table_says() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "client").hear()["result"].take();

    assert_eq!(saw["texts"], json!([2, "hello", 5, "frame"]));
    assert_eq!(saw["supported"][0]["result"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_modules_has_the_client_as_a_global() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "classic").hear()["result"].take();

    let loaded = json!(["plugins/encryption.js"]);
    assert_eq!(saw, json!(["function", "track", "function", true, loaded]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_comes_back_with_its_layers() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "again").hear()["result"].take();

    let (screen, first) = ("video 1 inactive 0", "video 0 inactive 0");
    assert_eq!(saw["without"], json!([first, screen]), "{saw}");
    assert_eq!(saw["layered"], json!([first, screen, "video 2 sendonly 2"]), "{saw}");
    assert_eq!(saw["off"], json!([first, screen, "video 2 inactive 2"]), "{saw}");
    assert_eq!(saw["back"], saw["layered"], "{saw}");
    assert_eq!(saw["last"], json!(["video 0 sendonly 0", screen, "video 2 inactive 2"]), "{saw}");
    assert_eq!(saw["connections"], 1, "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_page_said_last_holds_whatever_it_did_not_wait_for() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "histories").hear()["result"].take();

    assert!(saw["calls"].as_u64().unwrap() > 200, "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_comes_before_entering_that_is_under_way() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "hurry").hear()["result"].take();

    let codes = saw["codes"].as_array().unwrap();
    assert_eq!(codes[0], "5998 OPERATION_ABORT enterRoom", "{saw}");
    // Later it has been entered by then.
    assert!(codes.iter().all(|code| *code == 0 || *code == codes[0]), "{saw}");
    assert_eq!(saw["twice"], json!([0, 5998, 5104]), "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_come_late_hear_of_who_is_there() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "late").hear()["result"].take();

    let ann = json!({"userId": "ann"});
    let video = json!({"userId": "ann", "streamType": "main"});
    let all =
        [("remote-user-enter", &ann), ("remote-audio-available", &ann), ("remote-video-available", &video)];
    assert_eq!(saw["heard"], json!(all), "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_told_of_its_devices_of_what_plays_and_of_its_mistakes() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "events").hear()["result"].take();

    assert_eq!(saw["active"], json!(["camera", "microphone", "speaker"]), "{saw}");
    assert_eq!((&saw["left"], &saw["errors"]), (&json!(0), &json!(0)), "{saw}");
    assert_eq!(saw["back"], json!([[true, "live"], [true, "live"]]), "{saw}");
    let failures = json!([
        "OPERATION_ABORT 5998 undefined startLocalVideo",
        "OPERATION_ABORT 5998 undefined updateLocalAudio",
        "DEVICE_ERROR 5300 5304 startLocalAudio",
        "INVALID_OPERATION 5100 5103 startRemoteVideo",
        "INVALID_OPERATION 5100 5102 startRemoteVideo",
        "INVALID_PARAMETER 5000 5009 updateLocalVideo",
    ]);
    assert_eq!(saw["failures"], failures, "{saw}");
    assert_eq!(saw["permissions"], json!({"camera": "granted", "microphone": "granted"}), "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_page_asks_for_is_what_the_others_get() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let flags = json!({"flags": ["--auto-accept-this-tab-capture"], "isAsked": true});
    let saw = browsers_with(&server, "options", flags, &[]).hear()["result"].take();

    assert_eq!(saw["size"], json!([240, 320, 320]), "{saw}");
    assert_eq!(
        (&saw["camera"], &saw["heard"], &saw["louder"]),
        (&json!(false), &json!(false), &json!(1)),
        "{saw}"
    );
    assert_eq!(saw["refused"], json!(["5000 5005", "5000 5005", "5000 5005", "5000 5005"]), "{saw}");
}

/// WebGL by the processor, which browsers on servers have for nothing else.
const DRAWING: [&str; 2] = ["--enable-unsafe-swiftshader", "--use-angle=swiftshader"];

#[tokio::test(flavor = "multi_thread")]
async fn plugins_show_figures_and_try_devices() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "panels").hear()["result"].take();

    assert_eq!(saw["titles"], json!(["Camera", "Microphone", "Speaker", "Network", "Result"]), "{saw}");
    assert_eq!(saw["found"], json!([true, true, false, true]), "{saw}");
    assert_eq!((&saw["gone"], &saw["left"]), (&json!(true), &json!(0)), "{saw}");
    assert_eq!(saw["classic"], json!([true, 5998, 1]), "{saw}");
}

/// The cloud's own SDK in the same browser, without its network.
#[tokio::test(flavor = "multi_thread")]
async fn calls_are_answered_as_the_clouds_own_sdk_answers_them() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "beside").hear()["result"].take();

    require_alike(&saw, 150);
}

/// The same of version 4, in whose words the cloud's older pages are written.
#[tokio::test(flavor = "multi_thread")]
async fn calls_of_version_4_are_answered_as_the_clouds_own_sdk_answers_them() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "beside4").hear()["result"].take();

    require_alike(&saw, 450);
}

/// No call differs that is not listed as meant to, and none is listed that does not differ.
fn require_alike(saw: &Value, at_least: u64) {
    if let Some(why) = saw["skipped"].as_str() {
        eprintln!("*** NOTHING was compared with the cloud's SDK: {why} ***");
        return;
    }
    assert!(saw["calls"].as_u64().unwrap() > at_least, "{saw}");
    assert_eq!(
        (&saw["unintended"], &saw["over"], &saw["lacking"]),
        (&json!({}), &json!([]), &json!([])),
        "{saw}"
    );
}

/// Twelve pages that were written for the cloud, of which only the SDK's address and its `create` are changed (`public.mjs`).
/// `make public-pages CLONE=folder` runs it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants a clone of the cloud's repository of Web samples"]
async fn public_pages_move_by_their_import_and_their_create() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let server = server().await;
    let clone =
        std::env::var("ROOMFUL_PUBLIC_PAGES").expect("ROOMFUL_PUBLIC_PAGES is the folder of the clone");
    let input = json!({
        "url": format!("http://{}", server.address), "app": server.app, "secret": server.key.expose(),
        "shots": std::env::temp_dir().join("public-pages"),
    });

    let saw = Script::start("node", &["public.mjs", &clone], &input).hear()["result"].take();

    let pages = saw.as_object().unwrap();
    assert_eq!(pages.len(), 12, "{saw}");
    for (page, result) in pages {
        assert_eq!(result["ok"], true, "{page}: {result}");
        println!("{page}: {result}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_version_4_meet_those_of_today() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "version4").hear()["result"].take();

    assert_eq!(saw["shown"], json!([320, 240, "contain", true]), "{saw}");
    assert_eq!(saw["muted"], json!([["ann", false, true]]), "{saw}");
    assert_eq!((&saw["stats"], &saw["left"]), (&json!([true, true, "number"]), &json!(0)), "{saw}");
    assert_eq!(saw["recovered"], json!([true, false, true, true, "live"]), "{saw}");
    assert_eq!(saw["sei"], json!(["ann", "main", 5]), "{saw}");
    let failures = json!([
        "RtcError 0x1001",
        "RtcError 0x1001",
        "RtcError 0x1001",
        "RtcError 0x4047",
        "OverconstrainedError 0x1004",
        "RtcError 0x1000",
    ]);
    assert_eq!(saw["failures"], failures, "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_on_with_other_devices_rooms_of_numbers_and_leave_at_once() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "odds").hear()["result"].take();

    assert_eq!(
        (&saw["sent"], &saw["muted"], &saw["long"]),
        (&json!(true), &json!(true), &json!(5012)),
        "{saw}"
    );
    assert_eq!((&saw["alone"], &saw["before"]), (&json!(["cat"]), &json!(["cat"])), "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_in_by_another_page_takes_over() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "twice").hear()["result"].take();

    let wanted =
        json!({"reason": "kick", "after": 5101, "kicked": false, "told": 0, "members": ["ann", "ben"]});
    assert_eq!(saw, wanted);
}

/// As a phone stops its browser: `frozen` says for how long.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_frozen_comes_back() {
    let _turn = ONE_AT_A_TIME.share().await;
    let times = [("PING_INTERVAL", "300ms"), ("SILENT_TIMEOUT", "1500ms"), ("RESUME_GRACE", "3s")];
    let times = times.map(|(name, value)| (format!("ROOMFUL_PRESENCE__{name}"), value));
    let times: Vec<_> = times.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let server = Server::prepared(&times, |_| {}).await;
    server.import(&["ann", "ben", "cat", "dan", "eve"]).await;

    let saw = browsers(&server, "frozen").hear()["result"].take();

    assert_eq!(saw["short"], json!(["ann,ben", 0]), "in time it is as if nothing had been: {saw}");
    assert_eq!((&saw["long"], &saw["errors"]), (&json!(1), &json!(0)), "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_made_and_let_go_as_frameworks_do() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "mounted").hear()["result"].take();

    assert_eq!(saw["strict"], json!([5998, "clean", "there"]), "{saw}");
    assert_eq!((&saw["members"], &saw["entered"]), (&json!("ann,ben"), &json!(1)), "{saw}");
    assert_eq!(saw["two"], json!([]), "{saw}");
    let dead = json!({
        "enterRoom": 5100, "startLocalVideo": 5100, "startLocalAudio": 5100, "switchRole": 5100,
        "exitRoom": "nothing", "stopLocalVideo": "nothing", "startPlugin": 5000,
    });
    assert_eq!(saw["dead"], dead, "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_that_needs_a_click_asks_for_one() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    // The page comes from the test, to the browser not from this machine; it may talk to the server there all the same.
    let local = "--disable-features=WebRtcHideLocalIpsWithMdns,LocalNetworkAccessChecks";
    let more = json!({"autoplay": "document-user-activation-required", "flags": [local]});
    let saw = browsers_with(&server, "gesture", more, &[]).hear()["result"].take();

    assert_eq!(saw["said"], json!(["failed ann 1", "PLAYING ann 0"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_room_layer_does_what_its_table_says() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "room").hear()["result"].take();

    assert_eq!(saw["waiting"], json!([["ben", 2]]));
    assert_eq!(saw["seats"], json!([["ann", 0], ["ben", 4]]));
    assert_eq!(saw["metadata"], json!({"mood": "calm"}));
    assert_eq!(saw["kicks"], 1);
    assert_eq!(
        (&saw["muted"], &saw["users"]),
        (&json!(100_017), &json!([["ann", "owner"], ["ben", "admin"]]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_apps_server_is_told_of_what_browsers_publish() {
    let _turn = ONE_AT_A_TIME.share().await;
    let receiver = Receiver::start().await;
    let server = Server::with(&[
        ("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"),
        ("ROOMFUL_WEBHOOKS__ALLOW_PRIVATE", "true"),
        ("ROOMFUL_CALLBACKS__ROOM_URL", &receiver.url),
        ("ROOMFUL_CALLBACKS__MEDIA_URL", &receiver.url),
        ("ROOMFUL_CALLBACKS__KEY", "Abc123"),
    ])
    .await;
    server.import(&["ann", "ben", "cat", "dan", "eve"]).await;

    browsers(&server, "bells").hear();

    let numbers = [101, 103, 103, 201, 203, 205, 202, 201, 206, 204, 104];
    let is_over = |one: &Received| one.body["EventType"] == 104;
    let mut told = receiver.wait_for_all(|all| all.iter().any(is_over)).await;
    told.sort_by_key(|one| one.body["EventInfo"]["EventMsTs"].as_u64());
    told.truncate(told.iter().position(is_over).unwrap() + 1);
    let found: Vec<u64> = told.iter().map(|one| one.body["EventType"].as_u64().unwrap()).collect();
    assert_eq!(found, numbers);
    for one in &told {
        assert_eq!(one.headers["sign"], sign("Abc123", &one.text).as_str());
        let (group, kind) = (&one.body["EventGroupId"], one.body["EventType"].as_u64().unwrap());
        assert_eq!(*group, kind / 100, "{one:?}");
        assert_eq!(one.body["EventInfo"]["RoomId"], "bell");
        if kind == 103 {
            assert_eq!(one.body["EventInfo"]["TerminalType"], 4, "a browser on Linux");
        }
        if kind > 200 {
            assert_eq!(
                (&one.body["EventInfo"]["UserId"], &one.body["EventInfo"]["Reason"]),
                (&json!("ann"), &json!(0))
            );
        }
    }
}

/// Two who publish, and one who plays them.
fn whip_request(server: &Server, url: &str) -> Value {
    json!({
        "url": url, "room": "stage", "player": server.sig("ben"),
        "publisher": server.sig("ann"), "user": "ann", "colour": [200, 40, 40],
        "other": server.sig("cat"), "other_user": "cat", "other_colour": [40, 40, 200],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn aiortc_publishes_by_whip_and_plays_by_whep() {
    let _turn = ONE_AT_A_TIME.share().await;
    for is_listed in [true, false] {
        let server = server().await;
        let fields = json!({"SeatTemplate": "VideoDynamicGrid9Seats", "IsPlayerListed": is_listed});
        server.create_room_with("stage", fields).await;
        let url = format!("http://{}", server.address);
        let request = whip_request(&server, &url);

        let mut script = Script::start("python", &["whip.py"], &request);
        let saw = script.hear();
        let (members, _) = server.members("stage").await;
        let room = server.ok("get_room_info", json!({"RoomId": "stage"})).await;
        let seats = server.ok("room_engine_http_mic/get_seat_list", json!({"RoomId": "stage"})).await;
        script.say(&json!({}));
        let ended = script.hear();
        let expected: &[&str] = if is_listed { &["ann", "cat", "ben"] } else { &["ann", "cat"] };

        for colour in ["colour", "other_colour"] {
            for (saw, sent) in saw[colour].as_array().unwrap().iter().zip(request[colour].as_array().unwrap())
            {
                let distance = saw.as_i64().unwrap() - sent.as_i64().unwrap();
                assert!(distance.abs() < 48, "{colour}: {saw} instead of {sent}");
            }
        }
        assert!((saw["tone"].as_i64().unwrap() - 440).abs() < 25, "{saw}");
        assert_eq!(members, expected);
        assert_eq!(room["RoomInfo"]["OnlineCount"], 3, "a player counts, listed or not");
        assert_eq!(seats["SeatList"][0]["Member_Account"], "ann");
        assert_eq!(ended["statuses"], json!([204, 200, 200, 200]));
        server.wait_for_members("stage", &[], Duration::from_secs(5)).await;
        let room = server.ok("get_room_info", json!({"RoomId": "stage"})).await;
        assert_eq!(room["RoomInfo"]["OnlineCount"], 0);
        script.say(&json!({}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_publishes_by_whip_and_starts_ice_over() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;

    let saw = browsers(&server, "whip").hear()["result"].take();

    assert_eq!(saw["statuses"], json!([201, 200]));
    let metrics = server.metrics().await;
    assert!(metrics.contains("roomful_media_total{what=\"unexpected_data\"} 2\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_ends_what_came_by_whip() {
    let _turn = ONE_AT_A_TIME.share().await;
    let server = server().await;
    server.create_room_with("stage", json!({"SeatTemplate": "VideoDynamicGrid9Seats"})).await;
    let url = format!("http://{}", server.address);
    let mut script = Script::start("python", &["whip.py"], &whip_request(&server, &url));
    script.hear();
    let mut viewer = server.enter("dan", "stage").await;

    server.ok("ban_member", json!({"RoomId": "stage", "MemberList_Account": ["ann"], "Duration": 60})).await;

    let changed = viewer.event("streams_changed").await;
    assert_eq!((&changed["Member_Account"], &changed["Streams"]), (&json!("ann"), &json!([])));
    let list = server.ok("get_member_list", json!({"RoomId": "stage", "Next": ""})).await;
    assert_eq!(names(&list["MemberList"]), ["cat", "ben", "dan"]);
}

/// What is measured alone. Tests begin in the order of their names: here they come one after the other, so that none of the rest waits
/// for a turn among them.
mod alone {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn two_publishers_and_three_viewers_see_and_hear_each_other() {
        let _turn = ONE_AT_A_TIME.lock().await;
        let server = server().await;

        let saw = browsers(&server, "together").hear()["result"].take();

        assert_eq!(saw["colours"].as_object().unwrap().len(), 8, "{saw}");
        assert_eq!(saw["members"], json!(["ann", "ben", "cat", "dan", "eve"]));
        // Nothing of what browsers send is mistaken for something else.
        let metrics = server.metrics().await;
        for what in [
            "broken_control",
            "unknown_packets",
            "malformed_datagrams",
            "media_of_viewers",
            "failed_connections",
        ] {
            assert!(
                metrics.contains(&format!("roomful_media_total{{what=\"{what}\"}} 0\n")),
                "{what}: {metrics}"
            );
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn locks_mutes_seats_and_bans_stop_the_packets_within_200_ms() {
        let _turn = ONE_AT_A_TIME.lock().await;
        let server = server().await;

        let saw = browsers(&server, "rules").hear()["result"].take();

        for (rule, after) in saw["stops"].as_object().unwrap() {
            assert!(after.as_u64().unwrap() < 200, "{rule}: {after} ms");
        }
        assert_eq!(saw["stops"].as_object().unwrap().len(), 5, "{saw}");
        assert!(saw["control"].as_u64().unwrap() > 1000, "packets go on while nothing forbids it: {saw}");
        assert_eq!(saw["refusal"]["code"], 5100, "{saw}");
        assert_eq!((&saw["kicked"]["reason"], &saw["again"]), (&json!("banned"), &json!(100_016)));
        assert_eq!(saw["members"], json!(["ann"]));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_viewer_gets_the_layer_that_its_link_carries() {
        a_viewer_gets_its_layer(json!({})).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_viewer_gets_the_layer_that_its_link_carries_of_what_is_encrypted_from_end_to_end() {
        a_viewer_gets_its_layer(json!({"key": "said among members"})).await;
    }

    async fn a_viewer_gets_its_layer(more: Value) {
        let _turn = ONE_AT_A_TIME.lock().await;
        let server = server().await;

        let saw = browsers_with(&server, "simulcast", more, &[]).hear()["result"].take();

        assert_eq!((&saw["low"], &saw["other"]), (&json!(240), &json!(480)), "{saw}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn browsers_ask_for_sound_that_is_lost_and_hear_it() {
        let _turn = ONE_AT_A_TIME.lock().await;
        let server = server().await;

        let saw = browsers(&server, "shaky").hear()["result"].take();

        // Among what a publisher's link loses is padding, which nobody sends again; and what goes again on it comes late.
        for (way, lost, concealed) in [("down", 0.3, 0.07), ("up", 0.75, 0.15)] {
            let number = |name: &str| saw[way][name].as_f64().unwrap();
            assert!(number("dropped") > 20.0, "{saw}");
            let is_heard = number("lost") < lost * number("dropped") && number("concealed") < concealed;
            assert!(is_heard, "{way}: {saw}");
        }
        assert!(
            saw["down"]["asked"].as_u64().unwrap() > 10 && saw["up"]["again"].as_u64().unwrap() > 10,
            "{saw}"
        );
        let metrics = server.metrics().await;
        let resent = metrics.split_once("roomful_media_total{what=\"resent_packets\"} ").unwrap().1;
        assert!(resent.lines().next().unwrap().parse::<u64>().unwrap() > 10, "{metrics}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_stream_with_several_sizes_is_sent_up_to_what_is_shown() {
        let _turn = ONE_AT_A_TIME.lock().await;
        for (codec, mode) in [("vp9", "L3T3_KEY"), ("vp9", "L3T3"), ("av1", "L3T3_KEY")] {
            let server = server().await;

            let more = json!({"codec": codec, "mode": mode});
            let saw = browsers_with(&server, "scalable", more, &[]).hear()["result"].take();

            // Nothing is missing where something is left out.
            assert_eq!((&saw["asked"], &saw["missed"]), (&json!(0), &json!(0)), "{mode}: {saw}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_nobody_watches_is_not_sent() {
        let _turn = ONE_AT_A_TIME.lock().await;
        let server = server().await;

        let saw = browsers(&server, "unwatched").hear()["result"].take();

        assert!(saw["on"].as_u64().unwrap() < 5_000, "{saw}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_who_has_the_key_sees_and_hears_what_is_encrypted_from_end_to_end() {
        let _turn = ONE_AT_A_TIME.lock().await;
        let server = server().await;

        let saw = browsers(&server, "sealed").hear()["result"].take();

        // With another key, and without one.
        assert_eq!(saw["unseen"], json!({"cat": 0, "dan": 0, "heard": 0}), "{saw}");
        // All that the server has: frames that no decoder takes, and what stays clear of them.
        let raw = &saw["raw"];
        assert!(raw["received"].as_u64().unwrap() > 0, "{saw}");
        assert_eq!((&raw["decoded"], &raw["forms"]), (&json!(0), &json!(true)), "{saw}");
        assert!(raw["energy"].as_f64().unwrap() < 1e-6, "{saw}");
        assert_eq!(raw["same"], 1, "no two sounds are sealed alike: {saw}");
        // A TOC byte and no frames: so it is no RED, which nobody could take the second copy off.
        assert!(
            raw["sounds"].as_array().unwrap().iter().all(|head| head.as_str().unwrap().ends_with(",0")),
            "{saw}"
        );
        assert_eq!(saw["refused"][0], 5200, "{saw}");
        assert!(
            raw["keys"].as_array().unwrap().iter().all(|head| {
                // The frame tag of a keyframe with an impossible size, and the start code.
                let head = head.as_str().unwrap();
                head.ends_with(",255,255,157,1,42")
                    && head.split(',').next().unwrap().parse::<u8>().unwrap() & 1 == 0
            }),
            "{saw}"
        );
        // Keys are exchanged under way, and what is not encrypted is not taken for what is.
        assert_eq!((&saw["froze"], &saw["plain"]), (&json!(0), &json!(0)), "{saw}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn plugins_change_what_the_others_see_and_hear() {
        let _turn = ONE_AT_A_TIME.lock().await;
        let server = server().await;

        let saw = browsers_with(&server, "plugins", json!({"flags": DRAWING}), &[]).hear()["result"].take();

        let failures = json!({
            "twice": "OPERATION_ABORT 5998 undefined startPlugin",
            "unknown": "OPERATION_ABORT 5998 undefined startPlugin",
            "unstarted": "OPERATION_ABORT 5998 undefined updatePlugin",
            "stopped": "nothing",
            "incomplete": "INVALID_PARAMETER 5000 5001 startPlugin",
            "mistyped": "INVALID_PARAMETER 5000 5002 startPlugin",
            "silent": "INVALID_PARAMETER 5000 5005 startPlugin",
            "unseen": "INVALID_PARAMETER 5000 5005 startPlugin",
            "cloud": "ENV_NOT_SUPPORTED 5200 5210 startPlugin",
            "far": "INVALID_PARAMETER 5000 5005 startPlugin",
        });
        assert_eq!(saw["failures"], failures, "{saw}");
        // Nothing is loaded from anywhere but the server.
        assert_eq!((&saw["foreign"], &saw["mixed"]), (&json!([]), &json!(["lost"])), "{saw}");
        assert_eq!(saw["own"], json!([[1, "function"], [2, "function"]]), "{saw}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_stands_still_for_one_is_told_of_it_and_of_nobody_else() {
        let _turn = ONE_AT_A_TIME.lock().await;
        let server = server().await;
        let (app, key, began) = (server.app, server.key(&[]), now() - 60);

        let saw = browsers(&server, "stalls").hear()["result"].take();

        // A minute's samples are written once the streams have ended.
        let cut = saw["cutAt"].as_u64().unwrap() / 1000;
        let window = json!({"SdkAppId": app, "StartTime": began, "EndTime": now() + 60});
        let rooms = key.call("DescribeRoomInfo", window.clone()).await;
        let with = |more: Value| {
            let mut body = window.clone();
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        let detail = with(json!({"CommId": rooms["RoomList"][0]["CommId"], "DataType": ["all"]}));
        let is_written = |answer: &Value| {
            let data = answer["Data"].as_array().unwrap();
            let of =
                |user: &str| data.iter().find(|one| one["UserId"] == user && one["DataType"] == "bigvBlock");
            let sum = |one: &Value| -> f64 {
                let points = one["Content"].as_array().unwrap();
                points.iter().map(|point| point["Value"].as_f64().unwrap()).sum()
            };
            // What stands still to the end is reported piece by piece.
            of("ben").is_some_and(|one| sum(one) >= 2_000.0) && of("cat").is_some()
        };
        key.wait_for("DescribeCallDetailInfo", &detail, Duration::from_secs(30), is_written).await;
        let real_time = json!({"SdkAppId": app.to_string(), "StartTime": began, "EndTime": now() + 60, "RoomId": "still"});
        let calls = json!([
            ["DescribeCallDetailInfo", detail],
            ["DescribeUnusualEvent", window],
            ["DescribeUnusualEvent", with(json!({"RoomId": "still"}))],
            ["DescribeUnusualEvent", with(json!({"RoomId": "another"}))],
            ["DescribeTRTCRealTimeQualityData", real_time],
        ]);
        for (sdk, method) in [(("python", "rtc.py", ""), "GET"), (("node", "rtc.mjs", ""), "POST")] {
            let answers = by_sdk(sdk, ("TC3-HMAC-SHA256", method), &key, &server.address, &calls);

            let stalled = |user: &str, kind: &str| -> f64 {
                let data = answers[0]["Data"].as_array().unwrap();
                let found = data.iter().find(|one| one["UserId"] == user && one["DataType"] == kind);
                let found = found.unwrap_or_else(|| panic!("no {kind} of {user}: {}", answers[0]));
                assert_eq!(found["PeerId"], "ann");
                let points = found["Content"].as_array().unwrap();
                let is_late = |point: &&Value| point["Time"].as_u64().unwrap() + 4 >= cut;
                let before: f64 = points
                    .iter()
                    .filter(|point| !is_late(point))
                    .map(|one| one["Value"].as_f64().unwrap())
                    .sum();
                assert!(before < 1000.0, "{user} {kind} before: {points:?}");
                points.iter().filter(is_late).map(|one| one["Value"].as_f64().unwrap()).sum()
            };
            assert!((2_000.0..9_000.0).contains(&stalled("ben", "bigvBlock")), "{}", answers[0]);
            assert!(stalled("cat", "bigvBlock") < 1_000.0, "{}", answers[0]);
            assert!(stalled("cat", "aBlock") < 500.0, "{}", answers[0]);
            let noticed = answers[1]["AbnormalExperienceList"].as_array().unwrap();
            let video =
                noticed.iter().find(|one| one["ExperienceId"] == 4).unwrap_or_else(|| panic!("{noticed:?}"));
            assert_eq!((&video["UserId"], &video["RoomId"]), (&json!("ben"), &json!("still")));
            let causes = video["AbnormalEventList"].as_array().unwrap();
            assert!(causes.contains(&json!({"AbnormalEventId": 2024, "PeerId": "ann"})), "{causes:?}");
            assert!(video["EventTime"].as_u64().unwrap() >= cut, "{video}");
            assert!(noticed.iter().all(|one| one["UserId"] == "ben"), "{noticed:?}");
            assert_eq!(answers[1]["Total"], noticed.len());
            assert_eq!(answers[2]["AbnormalExperienceList"], answers[1]["AbnormalExperienceList"]);
            assert_eq!(
                (&answers[3]["Total"], &answers[3]["AbnormalExperienceList"]),
                (&json!(0), &json!([]))
            );
            let series = &answers[4]["Data"]["Series"][0];
            assert_eq!(series["Columns"], json!(["time", "videoFreezeRate", "audioFreezeRate"]));
            let worst = series["Values"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["RowValue"][1].as_u64().unwrap())
                .max();
            assert!(worst.unwrap() > 0, "{series}");
            // Nothing else of the room says that something was wrong with the others.
            let rtt = answers[0]["Data"]
                .as_array()
                .unwrap()
                .iter()
                .find(|one| one["UserId"] == "cat" && one["DataType"] == "rtt");
            assert!(rtt.is_some_and(|rtt| rtt["Content"][0]["Value"].as_f64().unwrap() < 300.0), "{rtt:?}");
        }
        let usage = json!({"SdkAppId": app, "StartTime": history::date(began.cast_signed()), "EndTime": history::date(now().cast_signed())});
        assert_eq!(key.code("DescribeTrtcUsage", usage).await, "");
    }
}
