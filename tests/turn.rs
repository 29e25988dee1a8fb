//! The relay at the server's ports, as clients and attackers meet it. What it does with each message is tested beside it
//! (`crates/media/src/turn/tests.rs`), what it carries in `live.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::Server;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use stun_types::attribute::{ErrorCode, Nonce, RawAttribute, Realm, Username};
use stun_types::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageIntegrityCredentials, MessageWriteVec, Method,
};
use stun_types::prelude::*;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An Allocate request that shows no credential: REQUESTED-TRANSPORT is UDP.
const ALLOCATE: [u8; 28] =
    [0, 3, 0, 8, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0x19, 0, 4, 17, 0, 0, 0];

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("in vain for 20 s")
}

/// The code of the error that is answered.
async fn refusal(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> u16 {
    stream.write_all(&ALLOCATE).await.unwrap();
    stream.flush().await.unwrap();
    let mut head = [0; 20];
    within(stream.read_exact(&mut head)).await.unwrap();
    assert_eq!((&head[..2], &head[4..8]), (&[1, 0x13][..], &ALLOCATE[4..8]));
    let mut body = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
    within(stream.read_exact(&mut body)).await.unwrap();
    code(&body)
}

/// Of the attributes of an answer, the first of which is the error.
fn code(attributes: &[u8]) -> u16 {
    assert_eq!(attributes[..2], [0, 9], "ERROR-CODE");
    u16::from(attributes[6]) * 100 + u16::from(attributes[7])
}

/// A member who uses the relay by messages of its own.
struct Member {
    socket: UdpSocket,
    username: String,
    credentials: MessageIntegrityCredentials,
    nonce: String,
}

impl Member {
    async fn connect(relay: &Value, port: u16) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(("127.0.0.1", port)).await.unwrap();
        let text = |name: &str| relay[name].as_str().unwrap().to_owned();
        let credentials =
            LongTermKeyCredentials::new(text("username"), text("credential"), "roomful".into()).into();
        let mut member = Self { socket, username: text("username"), credentials, nonce: String::new() };
        member.nonce = loop {
            // The unknown are answered five times a second.
            let answered = tokio::time::timeout(Duration::from_millis(500), member.exchange(&ALLOCATE));
            if let Ok(answer) = answered.await {
                let refusal = Message::from_bytes(&answer).unwrap();
                break refusal.attribute::<Nonce>().unwrap().nonce().into();
            }
        };
        member
    }

    async fn exchange(&self, request: &[u8]) -> Vec<u8> {
        self.socket.send(request).await.unwrap();
        let mut answer = vec![0; 500];
        let length = self.socket.recv(&mut answer).await.unwrap();
        answer.truncate(length);
        answer
    }

    /// The code that a request is answered with; 0 is success.
    async fn ask(&self, method: u16, attributes: &[(u16, &[u8])]) -> u16 {
        let mut request = Message::builder_request(Method::new(method), MessageWriteVec::new());
        for (kind, value) in attributes {
            request.push_attribute_unchecked(&RawAttribute::new((*kind).into(), value));
        }
        request.add_attribute(&Username::new(&self.username).unwrap()).unwrap();
        request.add_attribute(&Realm::new("roomful").unwrap()).unwrap();
        request.add_attribute(&Nonce::new(&self.nonce).unwrap()).unwrap();
        request.add_message_integrity(&self.credentials, IntegrityAlgorithm::Sha1).unwrap();
        let answer = within(self.exchange(&request.finish())).await;
        let answer = Message::from_bytes(&answer).unwrap();
        answer.attribute::<ErrorCode>().map_or(0, |error| error.code())
    }
}

/// XOR-PEER-ADDRESS of an IPv4 address.
fn peer(ip: [u8; 4], port: u16) -> Vec<u8> {
    let mut value = vec![0, 1];
    value.extend((port ^ 0x2112).to_be_bytes());
    value.extend(ip.iter().zip(&ALLOCATE[4..8]).map(|(byte, mask)| byte ^ mask));
    value
}

async fn is_closed(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    matches!(within(stream.read(&mut [0; 64])).await, Ok(0) | Err(_))
}

/// A server with TLS by a certificate for `localhost`, and what it takes to trust it.
struct Secure {
    server: Server,
    certificate: Vec<CertificateDer<'static>>,
    _folder: TempDir,
}

impl Secure {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let (cert, key) = harness::certificate(folder.path());
        let server = Server::with(&[
            ("ROOMFUL_TLS__CERT", cert.to_str().unwrap()),
            ("ROOMFUL_TLS__KEY", key.to_str().unwrap()),
        ])
        .await;
        let certificate = CertificateDer::pem_file_iter(&cert).unwrap().map(Result::unwrap).collect();
        Self { server, certificate, _folder: folder }
    }

    async fn connect(&self, protocols: &[&str]) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(self.certificate.clone());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(&self.server.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }
}

/// What is answered to a request for `/healthz`.
async fn health(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> String {
    let request = b"GET /healthz?x HTTP/1.1\r\nHost: live.example.org\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

async fn media_ports(server: &Server) -> (u16, u16) {
    server.import(&["ann"]).await;
    let config = server.log_in("ann").await.ok("get_media_config", json!({})).await;
    let urls: Vec<&str> =
        config["IceServers"][0]["urls"].as_array().unwrap().iter().map(|url| url.as_str().unwrap()).collect();
    let port = |transport: &str| {
        let url = urls.iter().find(|url| url.starts_with("turn:") && url.ends_with(transport)).unwrap();
        let (_, rest) = url.rsplit_once(':').unwrap();
        rest.split('?').next().unwrap().parse().unwrap()
    };
    (port("=udp"), port("=tcp"))
}

#[tokio::test]
async fn every_port_of_the_server_takes_the_relays_clients() {
    let server = Server::start().await;
    let (udp, tcp) = media_ports(&server).await;

    let mut plain = TcpStream::connect(&server.address).await.unwrap();
    assert_eq!(refusal(&mut plain).await, 401, "where HTTP is");
    assert_eq!(refusal(&mut plain).await, 401, "and once more");
    let mut http = TcpStream::connect(&server.address).await.unwrap();
    assert!(health(&mut http).await.ends_with("ok\n"));
    let mut media = TcpStream::connect(("127.0.0.1", tcp)).await.unwrap();
    assert_eq!(refusal(&mut media).await, 401, "where media is, over TCP");
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&ALLOCATE, ("127.0.0.1", udp)).await.unwrap();
    let mut answer = [0; 500];
    within(socket.recv_from(&mut answer)).await.unwrap();
    assert_eq!(code(&answer[20..]), 401, "and over UDP");

    let metrics = server.metrics().await;
    assert!(metrics.contains("roomful_turn_refusals_total{code=\"401\"} 4\n"), "{metrics}");
    assert!(metrics.contains("roomful_turn_allocations 0\n"), "{metrics}");
}

#[tokio::test]
async fn tls_carries_http_and_the_relay_on_one_port() {
    let secure = Secure::start().await;

    assert_eq!(refusal(&mut secure.connect(&["stun.turn"]).await).await, 401, "named");
    assert_eq!(refusal(&mut secure.connect(&[]).await).await, 401, "by its first bytes");
    for protocols in [&["http/1.1"][..], &["h2", "http/1.1"], &[]] {
        let answer = health(&mut secure.connect(protocols).await).await;
        assert!(answer.ends_with("ok\n"), "{protocols:?}: {answer}");
    }
    let mut plain = TcpStream::connect(&secure.server.address).await.unwrap();
    assert_eq!(refusal(&mut plain).await, 401, "and without TLS");
    let mut http = TcpStream::connect(&secure.server.address).await.unwrap();
    let answer = health(&mut http).await;
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    assert!(answer.to_lowercase().contains("location: https://live.example.org/healthz?x\r\n"), "{answer}");
}

#[tokio::test]
async fn a_flood_over_udp_is_answered_five_times_a_second() {
    let server = Server::start().await;
    let (udp, _) = media_ports(&server).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let began = Instant::now();

    for _ in 0..500 {
        socket.send_to(&ALLOCATE, ("127.0.0.1", udp)).await.unwrap();
    }
    let (mut answers, mut buffer) = (0, [0; 500]);
    while tokio::time::timeout(Duration::from_millis(500), socket.recv_from(&mut buffer)).await.is_ok() {
        answers += 1;
    }

    let seconds = began.elapsed().as_secs() + 2;
    assert!((1..=5 * seconds).contains(&answers), "{answers} in {seconds} s");
}

#[tokio::test]
async fn a_member_reaches_nobody_but_the_server_and_takes_no_more_than_its_share() {
    const UDP: (u16, &[u8]) = (0x19, &[17, 0, 0, 0]);
    const CHANNEL: (u16, &[u8]) = (0x0c, &[0x40, 0, 0, 0]);
    let server = Server::start().await;
    let (relay_port, _) = media_ports(&server).await;
    let port = udp_candidate(&server).await;
    assert_ne!(port, relay_port);
    let config = server.log_in("ann").await.ok("get_media_config", json!({})).await;
    let relay = &config["IceServers"][0];
    let member = Member::connect(relay, relay_port).await;

    assert_eq!(member.ask(3, &[UDP]).await, 0);
    for (ip, to) in [([8, 8, 8, 8], 53), ([127, 0, 0, 2], port), ([10, 0, 0, 1], 22), ([0, 0, 0, 0], port)] {
        let address = peer(ip, to);
        assert_eq!(member.ask(8, &[(0x12, &address)]).await, 403, "{ip:?}");
        assert_eq!(member.ask(9, &[CHANNEL, (0x12, &address)]).await, 403, "{ip:?}");
    }
    // This server's other ports are as far away.
    assert_eq!(member.ask(9, &[CHANNEL, (0x12, &peer([127, 0, 0, 1], relay_port))]).await, 403);
    let http: u16 = server.address.rsplit(':').next().unwrap().parse().unwrap();
    if http != port {
        assert_eq!(member.ask(9, &[CHANNEL, (0x12, &peer([127, 0, 0, 1], http))]).await, 403);
    }
    assert_eq!(member.ask(9, &[CHANNEL, (0x12, &peer([127, 0, 0, 1], port))]).await, 0);
    let mut others = Vec::new();
    let refused = loop {
        // By both doors together.
        let door = if others.len() % 2 == 0 { relay_port } else { port };
        let other = Member::connect(relay, door).await;
        match other.ask(3, &[UDP]).await {
            0 => others.push(other),
            code => break code,
        }
    };
    assert_eq!((refused, others.len()), (486, 11));

    let metrics = server.metrics().await;
    for line in [
        "roomful_turn_allocations 12\n",
        "roomful_turn_refusals_total{code=\"403\"} ",
        "roomful_turn_refusals_total{code=\"486\"} 1\n",
        "roomful_turn_bytes_total{direction=\"from_clients\"} 0\n",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(!metrics.contains("{code=\"403\"} 0\n"), "{metrics}");
}

/// What a player's offer is answered.
async fn play(server: &Server) -> reqwest::Response {
    server.import(&["ann"]).await;
    server.create_room("r").await;
    reqwest::Client::new()
        .post(format!("http://{}/whep/r", server.address))
        .header("Content-Type", "application/sdp")
        .bearer_auth(server.sig("ann"))
        .body(harness::offer("recvonly"))
        .send()
        .await
        .unwrap()
}

/// The port of media over UDP.
async fn udp_candidate(server: &Server) -> u16 {
    let answer = play(server).await.text().await.unwrap();
    let line = answer.lines().find(|line| line.starts_with("a=candidate") && line.contains(" udp ")).unwrap();
    line.split(' ').nth(5).unwrap().parse().unwrap()
}

#[tokio::test]
async fn encoders_are_told_of_the_relay_too() {
    let server = Server::start().await;

    let begun = play(&server).await;

    let links: Vec<_> =
        begun.headers().get_all("link").iter().map(|link| link.to_str().unwrap().to_owned()).collect();
    assert_eq!(links.len(), 2, "{links:?}");
    for (link, transport) in links.iter().zip(["udp", "tcp"]) {
        assert!(
            link.starts_with("<turn:127.0.0.1:") && link.contains(&format!("transport={transport}>")),
            "{link}"
        );
        assert!(
            link.contains("; rel=\"ice-server\"; username=\"") && link.contains("credential=\""),
            "{link}"
        );
    }
}

#[tokio::test]
async fn who_says_nothing_of_use_is_shown_out() {
    let server = Server::start().await;
    let (_, tcp) = media_ports(&server).await;
    let ports = [server.address.clone(), format!("127.0.0.1:{tcp}")];
    for address in &ports {
        for bytes in [
            // A length that is no multiple of four, one that is too long, a channel, and what looks like ICE-TCP.
            vec![0, 3, 0, 9, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0],
            vec![0, 3, 0x40, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0],
            [&ALLOCATE[..], &[0x40, 0, 0xff, 0xff, 0, 0, 0, 0]].concat(),
            [&[0, 28][..], &ALLOCATE].concat(),
            vec![0; 100],
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
            let answered = within(async {
                let mut all = Vec::new();
                let _ = stream.read_to_end(&mut all).await;
                all.len()
            });
            assert!(answered.await < 200, "{address} {bytes:?}");
        }
    }
    // Without a word, or with questions alone, nobody stays for longer than 10 s.
    let began = Instant::now();
    let mut silent = TcpStream::connect(&ports[0]).await.unwrap();
    let mut asking = TcpStream::connect(&ports[1]).await.unwrap();
    assert_eq!(refusal(&mut asking).await, 401);
    assert!(is_closed(&mut silent).await);
    assert!(is_closed(&mut asking).await);
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn no_relay_is_offered_where_it_is_switched_off() {
    let server =
        Server::with(&[("ROOMFUL_MEDIA__TURN", "false"), ("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0")]).await;
    server.import(&["ann"]).await;

    let config = server.log_in("ann").await.ok("get_media_config", json!({})).await;

    assert_eq!(config, json!({"IceServers": []}));
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    stream.write_all(&ALLOCATE).await.unwrap();
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn a_session_is_told_of_the_relay_with_a_credential_of_its_own() {
    let server = Server::with(&[("ROOMFUL_MEDIA__TURN_HOST", "live.example.org:443")]).await;
    server.import(&["ann", "ben"]).await;
    let mut told = Vec::new();
    for user in ["ann", "ben"] {
        let config = server.log_in(user).await.ok("get_media_config", json!({})).await;
        told.push(config["IceServers"][0].clone());
    }

    let urls: Vec<&Value> = told[0]["urls"].as_array().unwrap().iter().collect();
    assert_eq!(urls.last().unwrap().as_str(), Some("turns:live.example.org:443?transport=tcp"));
    assert!(urls.iter().all(|url| url.as_str().unwrap().contains(":live.example.org:")), "{urls:?}");
    assert_ne!(told[0]["username"], told[1]["username"]);
    assert_ne!(told[0]["credential"], told[1]["credential"]);
}
