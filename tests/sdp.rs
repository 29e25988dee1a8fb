//! WHIP, WHEP and what is agreed on, end to end: what HTTP says where it goes wrong, and what real browsers and players make of answers.
//! What is answered to which offer is tested beside the code (`crates/media/src/shard/tests/offers.rs`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::time::Duration;

use harness::script::Script;
use harness::{Client, Server, offer};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use usersig::Claims;

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

fn browser(server: &Server) -> Script {
    Script::start("node", &["sdp.mjs"], &json!({"url": format!("http://{}", server.address)}))
}

/// An offer's answer by WHIP or WHEP.
async fn post(server: &Server, path: &str, user: &str, offer: String) -> reqwest::Response {
    reqwest::Client::new()
        .post(format!("http://{}{path}", server.address))
        .header("Content-Type", "application/sdp")
        .bearer_auth(server.sig(user))
        .body(offer)
        .send()
        .await
        .unwrap()
}

async fn agree(server: &Server, path: &str, user: &str, offer: String) -> String {
    let response = post(server, path, user, offer).await;
    let status = response.status();
    let body = response.text().await.unwrap();
    assert_eq!(status, 201, "{path}: {body}");
    body
}

const SEATS: &str = "VideoDynamicGrid9Seats";

/// A server with a room for pictures, and two who may come.
async fn stage() -> Server {
    let server = Server::start().await;
    server.import(&["ann", "ben"]).await;
    server.create_room_with("r", json!({"SeatTemplate": SEATS})).await;
    server
}

/// A program that publishes as ann, and plays as ben.
fn program(server: &Server, file: &str, more: Value) -> Script {
    let mut request = json!({
        "url": format!("http://{}", server.address), "room": "r", "user": "ann",
        "publisher": server.sig("ann"), "player": server.sig("ben"),
    });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Script::start("python", &[file], &request)
}

/// Ben watches what ann publishes, and gets the layer of each of these heights in turn. He is there as long as what is returned.
async fn watch_layers(server: &Server, browser: &mut Script, heights: &[u32]) -> Client {
    // Only now: whoever has a connection to the gateway has to be read from.
    let mut ben = server.enter("ben", "r").await;
    let plays = browser.text(json!({"do": "watch", "id": "ben", "kinds": ["video"]}));
    let watch = |height: u32| {
        let stream = json!({"Mid": "0", "Member_Account": "ann", "StreamType": "main", "MaxHeight": height});
        json!({"RoomId": "r", "Streams": [stream]})
    };
    let mut first = watch(heights[0]);
    first["Sdp"] = json!(plays);
    let answer = ben.ok("watch", first).await["Sdp"].as_str().unwrap().to_owned();
    browser.act(json!({"do": "answer", "id": "ben", "sdp": answer}));
    for height in heights {
        ben.ok("update_watch", watch(*height)).await;
        let seen = browser.act(json!({"do": "height", "id": "ben", "wait": height}));
        assert_eq!(seen, *height);
    }
    ben
}

#[tokio::test]
async fn every_url_below_whip_and_whep_answers_in_the_form_that_pages_can_read() {
    let server = Server::start().await;
    server.create_room_with("r", json!({"SeatTemplate": "Karaoke"})).await;
    let client = reqwest::Client::new();

    for (method, path, status) in [
        ("POST", "/whip/r/", 404),
        ("POST", "/whip", 404),
        ("POST", "/whip/", 404),
        ("GET", "/whep/r/", 404),
        ("POST", "/whep/r/a/b", 404),
        ("DELETE", "/whip/r/0123", 401),
        ("POST", "/whip/r", 401),
        ("POST", "/whip/%FF", 404),
        ("PUT", "/whip/r", 405),
        ("DELETE", "/whep/r", 405),
        ("POST", "/whip/r/0123", 405),
    ] {
        let url = format!("http://{}{path}", server.address);
        let response = client.request(method.parse().unwrap(), url).send().await.unwrap();
        let header =
            |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(response.status(), status, "{method} {path}");
        assert_eq!(header("content-type").as_deref(), Some("application/problem+json"), "{method} {path}");
        assert_eq!(header("access-control-allow-origin").as_deref(), Some("*"), "{method} {path}");
        let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert!(!problem["detail"].as_str().unwrap().is_empty() && problem["status"] == status, "{problem}");
    }
    let options = client.request(reqwest::Method::OPTIONS, format!("http://{}/whip/r/", server.address));
    assert_eq!(
        options.send().await.unwrap().status(),
        200,
        "a page has to be let ask before it hears of a mistake"
    );
}

#[tokio::test]
async fn a_session_is_ended_where_it_is_and_also_when_its_token_has_ended() {
    let server = Server::start().await;
    server.import(&["ann", "ben"]).await;
    server.create_room_with("r", json!({"SeatTemplate": "Karaoke"})).await;
    server.create_room("other").await;
    let begun = post(&server, "/whip/r", "ann", offer("sendonly")).await;
    let location = begun.headers()["location"].to_str().unwrap().to_owned();
    let tag = begun.headers()["etag"].to_str().unwrap().to_owned();
    let name = location.rsplit('/').next().unwrap();
    // It was signed two days ago, for one.
    let day = 86_400;
    let ended = |user: &str| {
        let claims = Claims::new(user, server.app, harness::now() - 2 * day, day);
        usersig::sign(&server.key, &claims).unwrap()
    };
    let client = reqwest::Client::new();
    let ask = async |method: &str, path: &str, token: String| {
        let request = client.request(method.parse().unwrap(), format!("http://{}{path}", server.address));
        let request =
            request.header("Content-Type", "application/trickle-ice-sdpfrag").header("If-Match", &tag);
        request.bearer_auth(token).body("a=end-of-candidates\r\n").send().await.unwrap().status().as_u16()
    };

    for path in [format!("/whep/r/{name}"), format!("/whip/other/{name}"), format!("/whep/other/{name}")] {
        assert_eq!(ask("DELETE", &path, server.sig("ann")).await, 404, "{path}");
    }
    assert_eq!(server.members("r").await.0, ["ann"]);
    assert_eq!(ask("PATCH", &location, ended("ben")).await, 403);
    assert_eq!(ask("PATCH", &location, "nonsense".into()).await, 401);
    assert_eq!(ask("PATCH", &location, ended("ann")).await, 204);
    assert_eq!(ask("DELETE", &location, ended("ann")).await, 200);
    assert_eq!(server.members("r").await.1, 0);
    let again = client
        .post(format!("http://{}/whip/r", server.address))
        .header("Content-Type", "application/sdp")
        .bearer_auth(ended("ann"))
        .body(offer("sendonly"));
    assert_eq!(again.send().await.unwrap().status(), 401, "nothing is begun with it");
}

#[tokio::test]
async fn what_would_not_come_about_is_refused_at_once() {
    let server = Server::start().await;
    server.import(&["ann"]).await;
    server.create_room_with("r", json!({"SeatTemplate": "Karaoke"})).await;
    let (send, receive) = (offer("sendonly"), offer("recvonly"));
    let md5 = |offer: &str| {
        let at = offer.find("a=fingerprint:").unwrap();
        let end = at + offer[at..].find("\r\n").unwrap();
        format!("{}a=fingerprint:md5 {}{}", &offer[..at], ["00"; 16].join(":"), &offer[end..])
    };
    let unknown = |offer: &str| offer.replace("VP8/90000", "theora/90000");
    for (path, offer, status, reason) in [
        ("/whip/r", receive.clone(), 400, "nothing to publish"),
        ("/whep/r", send.clone(), 400, "receives nothing"),
        ("/whip/r", md5(&send), 400, "no hash that is known"),
        ("/whep/r", md5(&receive), 400, "no hash that is known"),
        ("/whip/r", unknown(&send), 406, "no format that is taken"),
        ("/whep/r", unknown(&receive), 406, "no format that is taken"),
        ("/whip/r", send.replace("m=video 9", "m=video 0"), 400, "nothing to publish"),
    ] {
        let response = post(&server, path, "ann", offer).await;
        let got = response.status();
        let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(got, status, "{path} {reason}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(reason), "{problem}");
    }
    assert_eq!(server.members("r").await.1, 0);
    // What is left over of former streams is no stream too many.
    let line = &send[send.find("m=video").unwrap()..];
    let leftover: String = (1..6)
        .map(|mid| line.replace("mid:0", &format!("mid:{mid}")).replace("sendonly", "inactive"))
        .collect();
    let offer = format!("{send}{leftover}").replace("BUNDLE 0", "BUNDLE 0 1 2 3 4 5");
    let answer = agree(&server, "/whip/r", "ann", offer).await;
    assert_eq!(
        (answer.matches("a=recvonly").count(), answer.matches("a=inactive").count()),
        (1, 5),
        "{answer}"
    );
}

/// An encoder's H.265 is taken, and a player that lacks what is published is told instead of left in the dark.
#[tokio::test]
async fn a_player_without_the_codec_is_told_so_before_it_enters() {
    let server = stage().await;
    let with = |way: &str, codec: &str| offer(way).replace("VP8/90000", &format!("{codec}/90000"));
    let answer = agree(&server, "/whip/r", "ann", with("sendonly", "H265")).await;
    assert!(answer.contains("H265/90000"), "{answer}");

    let response = post(&server, "/whep/r?user=ann", "ben", with("recvonly", "VP8")).await;
    assert_eq!(response.status(), 406);
    let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("ann sends H.265"), "{problem}");
    assert_eq!(server.members("r").await.0, ["ann"]);
    agree(&server, "/whep/r?user=ann", "ben", with("recvonly", "H265")).await;
    assert_eq!(server.members("r").await.0, ["ann", "ben"]);
}

#[tokio::test]
async fn names_of_users_stay_out_of_headers() {
    let server = Server::with(&[
        ("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"),
        ("ROOMFUL_MEDIA__ICE_URLS", "turn:b.example:3478"),
        ("ROOMFUL_MEDIA__TURN_SECRET", "north"),
    ])
    .await;
    server.create_room_with("r", json!({"IsPlayerListed": false})).await;
    for user in ["a\"b\\c", "张三", "a, <b>; c"] {
        server.import(&[user]).await;
        let response = post(&server, "/whep/r", user, offer("recvonly")).await;
        assert_eq!(response.status(), 201, "{user}");
        let links: Vec<&str> =
            response.headers().get_all("link").iter().map(|link| link.to_str().unwrap()).collect();
        assert!(links.len() >= 2, "{links:?}");
        for link in links {
            let quoted: Vec<&str> = link.split('"').collect();
            assert!(
                quoted.len() % 2 == 1 && link.is_ascii() && !link.contains(user) && !link.contains('\\'),
                "{link}"
            );
        }
    }
}

#[tokio::test]
async fn who_offers_and_does_not_come_is_off_the_list_after_15_seconds() {
    let server = Server::start().await;
    server.import(&["ann"]).await;
    server.create_room_with("r", json!({"SeatTemplate": "Karaoke"})).await;
    let began = std::time::Instant::now();

    agree(&server, "/whip/r", "ann", offer("sendonly")).await;

    assert_eq!(server.members("r").await.0, ["ann"]);
    server.wait_for_members("r", &[], Duration::from_secs(17)).await;
    assert!(began.elapsed() > Duration::from_secs(14), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_channels_stay_two() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let server = stage().await;
    let mut browser = browser(&server);

    let sends = browser.text(json!({"do": "publish", "id": "ann", "pitches": [440, 880]}));
    let sends = sends.replace("useinbandfec=1", "useinbandfec=1;sprop-stereo=1");
    let answer = agree(&server, "/whip/r", "ann", sends).await;
    browser.act(json!({"do": "answer", "id": "ann", "sdp": answer}));
    let plays = browser.text(json!({"do": "watch", "id": "ben", "kinds": ["audio"], "isStereo": true}));
    let answer = agree(&server, "/whep/r?user=ann", "ben", plays).await;
    browser.act(json!({"do": "answer", "id": "ben", "sdp": answer}));

    let mut heard = Value::Null;
    for _ in 0..30 {
        heard = browser.act(json!({"do": "pitches", "id": "ben"}));
        let is_near = |channel: usize, pitch: i64| (heard[channel].as_i64().unwrap() - pitch).abs() < 15;
        if is_near(0, 440) && is_near(1, 880) {
            return;
        }
    }
    panic!("left and right are {heard}");
}

/// A page has other codecs in mind from offer to offer of one connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_sends_the_codec_that_it_prefers_through_five_offers() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let server = Server::start().await;
    server.import(&["ann"]).await;
    server.create_room_with("r", json!({"Owner_Account": "ann"})).await;
    let mut ann = server.enter("ann", "r").await;
    let mut browser = browser(&server);
    let orders: [&[&str]; 5] = [&["vp8"], &["vp9", "vp8"], &["av1", "vp9"], &["vp8", "av1", "vp9"], &["vp9"]];

    for (round, order) in orders.iter().enumerate() {
        let action = if round == 0 { "publish" } else { "offer" };
        let offer = browser.text(json!({"do": action, "id": "ann", "codecs": order}));
        let stream = json!({"Mid": "0", "StreamType": "main", "Height": 240});
        let body = json!({"RoomId": "r", "Sdp": offer, "Streams": [stream]});
        let answer = ann.ok("publish", body).await["Sdp"].as_str().unwrap().to_owned();
        browser.act(json!({"do": "answer", "id": "ann", "sdp": answer}));

        let wanted = format!("video/{}", order[0].to_uppercase());
        let sent = browser.act(json!({"do": "codec", "id": "ann", "wait": wanted}));
        assert_eq!(sent, wanted, "offer {round}: {answer}");
    }
}

/// An encoder's layers have names that say nothing (as OBS' do), and are listed the best first.
#[tokio::test(flavor = "multi_thread")]
async fn max_height_chooses_among_the_layers_of_an_encoder() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let server = stage().await;
    let mut browser = browser(&server);
    let encodings = json!([
        {"rid": "0", "scaleResolutionDownBy": 4, "maxBitrate": 150_000},
        {"rid": "abitoflength", "scaleResolutionDownBy": 1, "maxBitrate": 900_000},
        {"rid": "2", "scaleResolutionDownBy": 2, "maxBitrate": 400_000},
    ]);

    let sends =
        json!({"do": "publish", "id": "ann", "codecs": ["vp8"], "encodings": encodings, "size": [1280, 720]});
    let sends = browser.text(sends);
    let answer = agree(&server, "/whip/r", "ann", sends).await;
    browser.act(json!({"do": "answer", "id": "ann", "sdp": answer}));
    let layers = json!({"0": 180, "abitoflength": 720, "2": 360});
    browser.act(json!({"do": "heights", "id": "ann", "wait": layers}));
    let _ben = watch_layers(&server, &mut browser, &[180, 360, 720, 180]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_whose_port_changes_goes_on() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let server = stage().await;

    let saw = program(&server, "moves.py", json!({})).hear();

    assert!(saw["before"].as_u64().unwrap() >= 30 && saw["after"].as_u64().unwrap() >= 30, "{saw}");
}

/// How many packets of the kind the server has counted.
async fn counted(server: &Server, what: &str) -> f64 {
    server.metric(&format!("roomful_media_total{{what=\"{what}\"}}")).await.unwrap()
}

/// RIDs may have any length, and other letters than browsers and most libraries take (RFC 8851 10, RFC 8852 3.3).
#[tokio::test(flavor = "multi_thread")]
async fn layers_are_told_apart_by_whatever_they_are_called() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let server = stage().await;

    let layers = json!({"do": "layers", "names": ["a_layer-of_many_letters", "x_"], "heights": [240, 120]});
    let mut encoder = program(&server, "encoders.py", layers);
    let answer = encoder.hear()["answer"].as_str().unwrap().to_owned();
    assert!(answer.contains("a=simulcast:recv x_;a_layer-of_many_letters\r\n"), "{answer}");
    let mut browser = browser(&server);
    let _ben = watch_layers(&server, &mut browser, &[120, 240, 120]).await;
    for what in ["unplaced_packets", "unknown_packets"] {
        assert_eq!(counted(&server, what).await, 0.0, "{what}");
    }
}

/// Without MID and without `a=ssrc` there is the payload type (RFC 9143 9.2), under whichever SSRC.
#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_that_begins_anew_under_another_ssrc_is_seen_on() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let server = stage().await;

    let saw = program(&server, "encoders.py", json!({"do": "renewed"})).hear();

    for (seen, painted) in [[200, 40, 40], [40, 60, 200], [30, 160, 30]].into_iter().enumerate() {
        let colour: Vec<i64> = serde_json::from_value(saw["seen"][seen].clone()).unwrap_or_default();
        let is_near = colour.iter().zip(painted).all(|(one, other): (&i64, i64)| (one - other).abs() < 48);
        assert!(!colour.is_empty() && is_near, "{seen}: {saw}");
    }
}

/// What belongs to no m-line is counted, and does not stay connected for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_whose_streams_cannot_be_told_apart_is_ended() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let server = stage().await;

    let mut encoder = program(&server, "encoders.py", json!({"do": "ambiguous"}));
    encoder.hear();

    assert_eq!(server.members("r").await.0, ["ann"]);
    server.wait_for_members("r", &[], Duration::from_secs(20)).await;
    assert!(counted(&server, "unplaced_packets").await > 50.0);
}
