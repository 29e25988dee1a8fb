//! Media from outside, where it goes wrong: what is refused, with which code, and what garbage does (nothing).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::net::UdpSocket;
use std::time::Duration;

use harness::{Server, offer};
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

async fn whip(
    server: &Server,
    method: &str,
    path: &str,
    user: Option<&str>,
    kind: &str,
    body: &str,
) -> (u16, Value) {
    let mut request = reqwest::Client::new()
        .request(method.parse().unwrap(), format!("http://{}{path}", server.address))
        .header("Content-Type", kind)
        .body(body.to_owned());
    if let Some(user) = user {
        request = request.bearer_auth(server.sig(user));
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}

#[tokio::test]
async fn who_may_not_publish_is_told_why() {
    let server = Server::start().await;
    server.import(&["ann", "ben"]).await;
    server.create_room_with("seats", json!({"SeatTemplate": "Karaoke", "Owner_Account": "ann"})).await;
    server.create_room_with("bare", json!({"Owner_Account": "ann"})).await;
    server.ok("room_engine_http_srv/create_room", json!({"RoomInfo": {"RoomId": "call"}})).await;
    let mut ben = server.enter("ben", "seats").await;
    ben.ok("enter_room", json!({"RoomId": "bare"})).await;
    ben.ok("enter_room", json!({"RoomId": "call"})).await;
    let audio =
        |room: &str| json!({"RoomId": room, "Sdp": "x", "Streams": [{"Mid": "0", "StreamType": "audio"}]});

    assert_eq!(ben.code("publish", audio("seats")).await, 100_206, "without a seat");
    assert_eq!(ben.code("publish", audio("bare")).await, 100_006, "a room without seats is its owner's");
    assert_eq!(ben.code("publish", audio("call")).await, 100_002, "allowed, but the offer is none");
    server
        .ok(
            "room_engine_http_srv/mute_room_member",
            json!({"RoomId": "call", "MemberList_Account": ["ben"], "MuteTime": 60}),
        )
        .await;
    assert_eq!(ben.code("publish", audio("call")).await, 100_017, "muted");
    assert_eq!(ben.code("publish", audio("nowhere")).await, 100_004);
    assert_eq!(ben.code("publish", json!({"RoomId": "call"})).await, 100_002, "no offer");
}

#[tokio::test]
async fn a_stream_may_begin_muted_and_a_later_offer_does_not_unmute_it() {
    let server = Server::start().await;
    server.import(&["ann", "ben", "cat"]).await;
    server.create_room_with("r", json!({"Owner_Account": "ann"})).await;
    let mut ben = server.enter("ben", "r").await;
    let mut ann = server.enter("ann", "r").await;
    let publish = |muted: bool| {
        let stream = json!({"Mid": "0", "StreamType": "main", "Muted": muted});
        json!({"RoomId": "r", "Sdp": offer("sendonly"), "Streams": [stream]})
    };
    let mute = |muted: bool| json!({"RoomId": "r", "StreamType": "main", "Muted": muted});

    ann.ok("publish", publish(true)).await;
    assert_eq!(ben.event("streams_changed").await["Streams"], json!([{"StreamType": "main", "Muted": true}]));
    ann.ok("publish", publish(false)).await;
    // Who comes now hears how it is: the later offer has changed nothing.
    let streams = |muted: bool| json!([{"StreamType": "main", "Muted": muted}]);
    let seen = server.log_in("cat").await.ok("enter_room", json!({"RoomId": "r"})).await;
    assert_eq!(seen["StreamList"][0]["Streams"], streams(true), "{seen}");
    ann.ok("mute_stream", mute(false)).await;
    assert_eq!(
        ben.event("streams_changed").await["Streams"],
        json!([{"StreamType": "main", "Muted": false}])
    );
    ann.ok("mute_stream", mute(true)).await;
    assert_eq!(ben.event("streams_changed").await["Streams"], json!([{"StreamType": "main", "Muted": true}]));
}

#[tokio::test]
async fn members_are_told_which_streams_are_encrypted_from_end_to_end() {
    let server = Server::start().await;
    server.import(&["ann", "ben", "cat"]).await;
    server.create_room_with("r", json!({"Owner_Account": "ann"})).await;
    let mut ben = server.enter("ben", "r").await;
    let mut ann = server.enter("ann", "r").await;
    let publish = |encrypted: bool| {
        let stream = json!({"Mid": "0", "StreamType": "main", "Encrypted": encrypted});
        json!({"RoomId": "r", "Sdp": offer("sendonly"), "Streams": [stream]})
    };
    let sealed = json!([{"StreamType": "main", "Muted": false, "Encrypted": true}]);

    ann.ok("publish", publish(true)).await;
    assert_eq!(ben.event("streams_changed").await["Streams"], sealed);
    let seen = server.log_in("cat").await.ok("enter_room", json!({"RoomId": "r"})).await;
    assert_eq!(seen["StreamList"][0]["Streams"], sealed, "{seen}");
    // The newest offer holds.
    ann.ok("publish", publish(false)).await;
    assert_eq!(
        ben.event("streams_changed").await["Streams"],
        json!([{"StreamType": "main", "Muted": false}])
    );
}

#[tokio::test]
async fn mistakes_in_what_is_watched_are_named() {
    let server = Server::start().await;
    server.import(&["ann"]).await;
    server.create_room("r").await;
    let mut ann = server.enter("ann", "r").await;
    let watch = |mid: &str, kind: &str| {
        let stream = json!({"Mid": mid, "Member_Account": "ben", "StreamType": kind});
        json!({"RoomId": "r", "Sdp": offer("recvonly"), "Streams": [stream]})
    };

    assert_eq!(
        ann.code("update_watch", json!({"RoomId": "r", "Streams": []})).await,
        104_005,
        "nothing is watched"
    );
    assert_eq!(ann.code("watch", watch("7", "main")).await, 100_002, "no such m-line");
    assert_eq!(ann.code("watch", watch("0", "audio")).await, 100_002, "sound for a video's m-line");
    assert_eq!(ann.code("watch", watch("0", "smell")).await, 100_002);
    for most in [0, 51, 1_000_000] {
        let mut body = watch("0", "main");
        body["MaxSpeakers"] = json!(most);
        let answer = ann.call("watch", body).await;
        assert_eq!(answer["ErrorCode"], 100_002);
        let told = answer["ErrorInfo"].as_str().unwrap();
        assert!(told.contains("MaxSpeakers") && told.contains("1 to 50"), "{told}");
    }
    let answer = ann.ok("watch", watch("0", "main")).await;
    let sdp = answer["Sdp"].as_str().unwrap();
    assert!(sdp.contains("a=ice-lite") && sdp.contains("a=sendonly") && sdp.contains("a=candidate"), "{sdp}");
    let ports = |kind: &str| {
        sdp.lines().filter(|line| line.starts_with("a=candidate") && line.contains(kind)).count()
    };
    assert_eq!((ports(" udp "), ports(" tcp ")), (1, 1), "one port of each: {sdp}");
    ann.ok("update_watch", json!({"RoomId": "r", "Streams": [{"Mid": "0"}]})).await;
    ann.ok("unwatch", json!({"RoomId": "r"})).await;
    assert_eq!(ann.code("update_watch", json!({"RoomId": "r", "Streams": []})).await, 104_005);
    assert_eq!(ann.code("mute_stream", json!({"RoomId": "r", "StreamType": "main"})).await, 100_002);
    assert_eq!(
        ann.code("close_device", json!({"RoomId": "r", "Member_Account": "ann", "StreamType": "main"})).await,
        100_006
    );
}

#[tokio::test]
async fn an_offer_with_another_certificate_is_another_connection() {
    let server = Server::start().await;
    server.import(&["ann"]).await;
    server.create_room("r").await;
    let mut ann = server.enter("ann", "r").await;
    let watch = |certificate: &str| {
        let sdp = offer("recvonly").replace("00:11:22", certificate);
        json!({"RoomId": "r", "Sdp": sdp, "Streams": []})
    };
    let mut names = Vec::new();
    for certificate in ["00:11:22", "00:11:22", "AA:BB:CC"] {
        let answer = ann.ok("watch", watch(certificate)).await;
        let sdp = answer["Sdp"].as_str().unwrap().to_owned();
        names.push(sdp.lines().find(|line| line.starts_with("a=ice-ufrag:")).unwrap().to_owned());
    }

    assert_eq!(names[0], names[1], "the same connection, agreed on anew");
    assert_ne!(names[1], names[2], "a page that was reloaded, or gave the first one up");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while !server.metrics().await.contains("roomful_media_connections 1") {
        assert!(std::time::Instant::now() < deadline, "the former is not closed");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn data_reaches_the_others_and_is_limited() {
    let server = Server::start().await;
    server.import(&["ann", "ben"]).await;
    server.create_room("r").await;
    let (mut ann, mut ben) = (server.enter("ann", "r").await, server.enter("ben", "r").await);
    let data = |id: u32, data: &str| json!({"RoomId": "r", "CmdId": id, "Data": data});

    ann.ok("send_data", data(3, "aGk=")).await;

    let event = ben.event("data_received").await;
    assert_eq!(event, json!({"RoomId": "r", "From_Account": "ann", "CmdId": 3, "Data": "aGk="}));
    assert_eq!(ann.code("send_data", data(11, "aGk=")).await, 100_002);
    assert_eq!(ann.code("send_data", data(1, &"x".repeat(20_000))).await, 100_002);
    let mut refused = 0;
    for _ in 0..40 {
        refused += u64::from(ann.call("send_data", data(1, "aGk=")).await["ErrorCode"] == 60_007);
    }
    assert!(refused > 0, "more than 30 a second");
}

#[tokio::test]
async fn members_create_rooms_of_their_own_where_that_is_allowed() {
    for (setting, code) in [("true", 0), ("false", 100_006)] {
        let server = Server::with(&[("ROOMFUL_MEDIA__MEMBERS_MAY_CREATE_ROOMS", setting)]).await;
        server.import(&["ben"]).await;
        let mut ann = server.log_in("ann").await;
        let create = |more: Value| {
            let mut info = json!({"RoomId": "mine", "RoomType": "Live"});
            info.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"RoomInfo": info})
        };

        assert_eq!(ann.call("create_room", create(json!({}))).await["ErrorCode"], code);
        if code == 0 {
            let info = server.ok("get_room_info", json!({"RoomId": "mine"})).await;
            assert_eq!(info["RoomInfo"]["Owner_Account"], "ann");
            assert_eq!(ann.code("create_room", create(json!({"Owner_Account": "ben"}))).await, 100_002);
            assert_eq!(ann.code("create_room", create(json!({}))).await, 100_010);
        }
    }
}

#[tokio::test]
async fn clients_get_credentials_for_the_relay() {
    let server = Server::with(&[
        ("ROOMFUL_MEDIA__ICE_URLS", "stun:a.example:3478,turn:b.example:3478"),
        ("ROOMFUL_MEDIA__TURN_SECRET", "north"),
        ("ROOMFUL_MEDIA__TURN_LIFETIME", "1h"),
    ])
    .await;
    let mut ann = server.log_in("ann").await;

    let config = ann.ok("get_media_config", json!({})).await;

    let servers = config["IceServers"].as_array().unwrap();
    assert_eq!(servers[0], json!({"urls": ["stun:a.example:3478"]}));
    let (until, user) = servers[1]["username"].as_str().unwrap().split_once(':').unwrap();
    let left = until.parse::<u64>().unwrap() - harness::now();
    assert!(user == "ann" && (3590..=3600).contains(&left), "{config}");
}

#[tokio::test]
async fn whip_and_whep_say_what_is_wrong_as_http_does() {
    let server = Server::start().await;
    server.import(&["ann", "ben"]).await;
    server.create_room_with("r", json!({"SeatTemplate": "Karaoke", "TakeSeatMode": "ApplyToTake"})).await;
    server.create_room_with("free", json!({"SeatTemplate": "Karaoke"})).await;
    server.ok("ban_member", json!({"RoomId": "free", "MemberList_Account": ["ben"], "Duration": 60})).await;
    let sdp = "application/sdp";
    let (send, receive) = (offer("sendonly"), offer("recvonly"));
    let (_, line) = send.split_at(send.find("m=video").unwrap());
    let twice = format!("{send}{}{}", line.replace("mid:0", "mid:1"), line.replace("mid:0", "mid:2"));
    let foreign = send.replace("VP8/90000", "theora/90000");

    for (method, path, user, kind, body, status) in [
        ("POST", "/whip/r", None, sdp, send.as_str(), 401),
        ("POST", "/whip/nowhere", Some("ann"), sdp, &send, 404),
        ("POST", "/whip/r", Some("ann"), "text/plain", &send, 415),
        ("POST", "/whip/r", Some("ann"), sdp, &send, 403),
        ("POST", "/whip/free", Some("ben"), sdp, &send, 403),
        ("POST", "/whep/free", Some("ben"), sdp, &receive, 403),
        ("POST", "/whip/free", Some("ann"), sdp, "v=0", 400),
        ("POST", "/whip/free?seat=x", Some("ann"), sdp, &send, 400),
        ("POST", "/whip/free?seat=99", Some("ann"), sdp, &send, 400),
        ("POST", "/whip/free", Some("ann"), sdp, &twice, 406),
        ("POST", "/whip/free", Some("ann"), sdp, &foreign, 406),
        ("PUT", "/whip/free", Some("ann"), sdp, "", 405),
        ("GET", "/whip/free", None, sdp, "", 204),
        ("GET", "/whip/free/0123", Some("ann"), sdp, "", 404),
        ("PATCH", "/whip/free/0123", Some("ann"), sdp, "", 404),
        ("DELETE", "/whip/free/0123", Some("ann"), sdp, "", 404),
        ("OPTIONS", "/whep/free", None, sdp, "", 200),
        ("POST", "/whip/free", Some("ann"), sdp, &send, 201),
    ] {
        let (got, problem) = whip(&server, method, path, user, kind, body).await;
        assert_eq!(got, status, "{method} {path} {user:?}: {problem}");
        if got >= 400 && got != 405 {
            let detail = problem["detail"].as_str().unwrap();
            assert!(!detail.is_empty() && !detail.contains("0x"), "{problem}");
        }
    }
    assert_eq!(server.members("free").await.0, ["ann"], "who was refused is not in");
    assert_eq!(server.members("r").await.1, 0);
    // The client never connects; it is off the list in time.
    server.wait_for_members("free", &[], Duration::from_secs(40)).await;
}

/// ICE over HTTP, by the rules of RFC 9725 4.3.
#[tokio::test]
async fn ice_is_started_over_by_a_fragment() {
    let server = Server::start().await;
    server.import(&["ann", "ben"]).await;
    server.create_room_with("r", json!({"SeatTemplate": "Karaoke"})).await;
    server.create_room_with("counted", json!({"SeatTemplate": "Karaoke", "IsPlayerListed": false})).await;
    let client = reqwest::Client::new();
    let fragment = "application/trickle-ice-sdpfrag";
    let restart = |name: &str| format!("a=ice-ufrag:{name}\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n");
    for (endpoint, way) in [("/whip/r", "sendonly"), ("/whep/r", "recvonly"), ("/whep/counted", "recvonly")] {
        let begun = client
            .post(format!("http://{}{endpoint}", server.address))
            .header("Content-Type", "application/sdp")
            .bearer_auth(server.sig("ann"))
            .body(offer(way))
            .send()
            .await
            .unwrap();
        let header = |response: &reqwest::Response, name: &str| {
            response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
        };
        let url = format!("http://{}{}", server.address, header(&begun, "location").unwrap());
        let tag = header(&begun, "etag").unwrap();
        let answer = begun.text().await.unwrap();
        let patch = async |user: &str, kind: &str, tag: Option<&str>, body: String| {
            let mut request =
                client.patch(&url).header("Content-Type", kind).bearer_auth(server.sig(user)).body(body);
            if let Some(tag) = tag {
                request = request.header("If-Match", tag);
            }
            let response = request.send().await.unwrap();
            (response.status().as_u16(), header(&response, "etag"), response.text().await.unwrap())
        };
        let trickle =
            "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n";

        for (user, kind, given, body, status) in [
            ("ann", fragment, Some(tag.as_str()), trickle.to_owned(), 204),
            ("ann", fragment, Some(&tag), "a=end-of-candidates\r\n".into(), 204),
            ("ben", fragment, Some(&tag), trickle.to_owned(), 403),
            ("ann", "application/sdp", Some(&tag), trickle.to_owned(), 415),
            ("ann", fragment, None, trickle.to_owned(), 428),
            ("ann", fragment, Some("\"other\""), trickle.to_owned(), 412),
            ("ann", fragment, Some("*"), "not SDP".into(), 400),
            ("ann", fragment, Some("*"), "a=ice-ufrag:lone\r\n".into(), 400),
        ] {
            let (got, none, text) = patch(user, kind, given, body.clone()).await;
            assert_eq!((got, none), (status, None), "{endpoint} {user} {kind} {given:?} {body:?}: {text}");
        }
        let (status, next, text) = patch("ann", fragment, Some("*"), restart("fresh")).await;
        assert_eq!(status, 200, "{endpoint}: {text}");
        let next = next.unwrap();
        assert_ne!(next, tag);
        let name = |sdp: &str| sdp.lines().find(|line| line.starts_with("a=ice-ufrag:")).unwrap().to_owned();
        assert_ne!(name(&text), name(&answer), "{text}");
        assert!(
            text.starts_with("a=") && text.contains("a=ice-lite") && text.contains("a=candidate:"),
            "{text}"
        );
        assert_eq!(patch("ann", fragment, Some(&tag), trickle.into()).await.0, 412, "that session is over");
        assert_eq!(patch("ann", fragment, Some(&next), restart("fresh")).await.0, 204, "known already");
        assert_eq!(client.get(&url).bearer_auth(server.sig("ann")).send().await.unwrap().status(), 204);
        assert_eq!(client.delete(&url).bearer_auth(server.sig("ben")).send().await.unwrap().status(), 403);
        assert_eq!(client.delete(&url).bearer_auth(server.sig("ann")).send().await.unwrap().status(), 200);
        assert_eq!(client.delete(&url).bearer_auth(server.sig("ann")).send().await.unwrap().status(), 404);
    }
    assert_eq!(server.members("r").await.1, 0);
}

/// The value of a counter in /metrics.
async fn counted(server: &Server, what: &str) -> u64 {
    let text = server.metrics().await;
    let name = format!("roomful_media_total{{what=\"{what}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

/// Clock ticks that a process has used (proc_pid_stat(5)).
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test]
async fn silent_connections_on_the_media_port_hold_no_place_and_no_descriptor() {
    use std::io::{Read as _, Write as _};
    let server = Server::start().await;
    server.import(&["ann"]).await;
    server.create_room("r").await;
    let mut ann = server.enter("ann", "r").await;
    let watch = json!({"RoomId": "r", "Sdp": offer("recvonly"), "Streams": []});
    let sdp = ann.ok("watch", watch).await["Sdp"].as_str().unwrap().to_owned();
    let port = sdp.lines().find(|line| line.contains(" tcp ")).unwrap().split(' ').nth(5).unwrap().to_owned();
    let connect = || {
        let stream = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
        stream
    };
    // A frame of eight bytes that is no STUN; whoever sends it is let go of.
    let is_answered = |mut stream: std::net::TcpStream| {
        stream.write_all(&[0, 8, 1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        stream.read(&mut [0; 8]).is_ok_and(|count| count == 0)
    };

    let mut silent: Vec<_> = (0..70).map(|_| connect()).collect();
    assert!(silent[0].read(&mut [0; 8]).is_ok_and(|count| count == 0), "the first of too many is let go of");
    assert!(is_answered(connect()), "and another finds a place");

    drop(silent);
    let open = || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    while open() > 60 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let limit = (open() + 5).to_string();
    let limited = std::process::Command::new("prlimit")
        .args([&format!("--pid={}", server.pid()), &format!("--nofile={limit}:")])
        .status();
    assert!(limited.unwrap().success());
    let silent: Vec<_> = (0..40).map(|_| connect()).collect();
    let before = ticks(server.pid());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let spent = ticks(server.pid()) - before;
    assert!(spent < 60, "{spent} ticks of 200: it spins");
    drop(silent);
    assert!(is_answered(connect()), "it goes on once there are descriptors");
    ann.ok("unwatch", json!({"RoomId": "r"})).await;
}

#[tokio::test]
async fn garbage_on_the_media_ports_is_counted_and_does_nothing() {
    let server = Server::start().await;
    server.import(&["ann"]).await;
    server.create_room("r").await;
    let mut ann = server.enter("ann", "r").await;
    let stream = json!({"Mid": "0", "Member_Account": "ann", "StreamType": "main"});
    let watch = json!({"RoomId": "r", "Sdp": offer("recvonly"), "Streams": [stream]});
    let sdp = ann.ok("watch", watch).await["Sdp"].as_str().unwrap().to_owned();
    let ufrag = sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap();
    let port = |kind: &str| {
        sdp.lines().find(|line| line.contains(kind)).unwrap().split(' ').nth(5).unwrap().to_owned()
    };
    let (udp, tcp) = (format!("127.0.0.1:{}", port(" udp ")), port(" tcp "));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);

    for round in 0..20_000_u32 {
        let length = random.random_range(0..1400);
        let mut bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
        // STUN, DTLS, RTP and RTCP by their first bytes; some of the STUN knocks at a connection that exists.
        let head: &[u8] = match round % 5 {
            0 => &[0, 1, 0, 40, 0x21, 0x12, 0xa4, 0x42],
            1 => &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1],
            2 => &[0x90, 96],
            3 => &[0x81, 201, 0, 7],
            _ => &[],
        };
        bytes.splice(..head.len().min(bytes.len()), head.iter().copied());
        if round % 10 == 0 && bytes.len() > 20 {
            let name = format!("{ufrag}:abcd");
            bytes.truncate(20);
            bytes.extend([0, 6]);
            bytes.extend((name.len() as u16).to_be_bytes());
            bytes.extend(name.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            let length = (bytes.len() - 20) as u16;
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
        }
        socket.send_to(&bytes, &udp).unwrap();
        // She is answered meanwhile, and answers pings: where the machine is busy all of this takes longer than she may be silent.
        if round % 1000 == 0 {
            ann.ok("get_media_config", json!({})).await;
        }
    }
    for round in 0..50 {
        use std::io::Write as _;
        let mut stream = std::net::TcpStream::connect(format!("127.0.0.1:{tcp}")).unwrap();
        let mut bytes: Vec<u8> = (0..200).map(|_| random.random()).collect();
        bytes[..2].copy_from_slice(&(round as u16 * 100).to_be_bytes());
        let _ = stream.write_all(&bytes);
    }

    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while counted(&server, "stray_datagrams").await < 1000 {
        assert!(tokio::time::Instant::now() < deadline, "garbage is not counted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(counted(&server, "forwarded_packets").await, 0);
    assert_eq!(server.members("r").await.0, ["ann"]);
    ann.ok("unwatch", json!({"RoomId": "r"})).await;
    assert_eq!(server.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn an_offer_that_takes_long_to_read_is_refused_or_shortened() {
    let server = Server::start().await;
    server.create_room_with("r", json!({"IsPlayerListed": false})).await;
    let sdp = "application/sdp";
    let candidates = "a=candidate:1 1 udp 1 127.0.0.1 5000 typ host\r\n".repeat(3_900);
    let formats: String =
        (0..4_000).map(|number| format!("a=rtpmap:{} VP8/90000\r\n", number % 128)).collect();

    let started = std::time::Instant::now();
    let many = offer("recvonly") + &candidates;
    assert_eq!(whip(&server, "POST", "/whep/r", Some("ann"), sdp, &many).await.0, 201);
    let many = offer("recvonly") + &formats;
    let (status, problem) = whip(&server, "POST", "/whep/r", Some("ann"), sdp, &many).await;
    assert_eq!(status, 400, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("formats"), "{problem}");
    assert!(started.elapsed() < std::time::Duration::from_millis(800), "{:?}", started.elapsed());
}
