//! Nodes of a cluster, and what lies between them.

#![allow(dead_code, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{BINARY, Client, Server, cli_on};

pub const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
pub const OTHER_SECRET: &str = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// The longest that a takeover takes: what it takes to see that a node is gone, and to read what it had.
pub const TAKEOVER: Duration = Duration::from_secs(20);

pub fn settings(url: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let settings = [
        ("ROOMFUL_CLUSTER__URL", url),
        ("ROOMFUL_CLUSTER__SECRET", SECRET),
        ("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"),
    ];
    settings.iter().chain(more).map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

pub async fn node(url: &str, more: &[(&str, &str)]) -> Server {
    Server::on(Arc::new(TempDir::new().unwrap()), settings(url, more)).await
}

/// The first has the records.
pub async fn nodes<const N: usize>(url: &str) -> [Server; N] {
    let mut nodes = Vec::new();
    for _ in 0..N {
        nodes.push(node(url, &[]).await);
    }
    assert!(has_records(&nodes[0]));
    nodes.try_into().ok().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn status(node: &Server) -> Value {
    let said = node.cli(&["cluster", "status", "--json"]);
    serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{}", text(&said.stderr)))
}

pub fn id(node: &Server) -> String {
    let kept = std::fs::read_to_string(node.data.path().join("node")).unwrap();
    kept.lines().next().unwrap().to_owned()
}

pub fn of<'a>(status: &'a Value, node: &Server) -> &'a Value {
    let nodes = status["nodes"].as_array().unwrap();
    nodes.iter().find(|one| one["id"] == id(node)).unwrap_or(&Value::Null)
}

pub fn has_records(node: &Server) -> bool {
    of(&status(node), node)["has_records"] == true
}

/// Drains a node; what the command line says when it is empty.
pub fn drain(node: &Server) -> JoinHandle<Output> {
    let data = node.data.clone();
    tokio::task::spawn_blocking(move || cli_on(data.path(), &["cluster", "drain"]))
}

/// Begins a server that is to be refused; what it says.
pub fn refused(arguments: &[&str], environment: &[(String, String)]) -> String {
    refused_on(TempDir::new().unwrap().path(), arguments, environment)
}

/// The same on a folder that is there.
pub fn refused_on(data: &Path, arguments: &[&str], environment: &[(String, String)]) -> String {
    let Output { status, stderr, .. } = Command::new(BINARY)
        .args(["serve", "--data"])
        .arg(data)
        .args(arguments)
        .env("ROOMFUL_SERVER__LISTEN", "127.0.0.1:0")
        .envs(environment.iter().cloned())
        .stdout(Stdio::null())
        .output()
        .unwrap();
    assert!(!status.success());
    text(&stderr)
}

pub async fn list(node: &Server, room: &str) -> Vec<String> {
    node.members(room).await.0
}

/// Resumes at a node, as clients do: again and again, until it is done.
pub async fn resume(node: &Server, token: &str, within: Duration) -> (Client, Value) {
    let until = Instant::now() + within;
    loop {
        if let Some(mut client) = node.try_connect().await
            && let Some(mut answer) = client.try_call("login", json!({"ResumeToken": token})).await
            && answer["ErrorCode"] == 0
        {
            client.resume_token = answer["Response"]["ResumeToken"].as_str().unwrap().into();
            return (client, answer["Response"].take());
        }
        assert!(Instant::now() < until, "nobody resumes");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Calls until it succeeds, as it has to within that time.
pub async fn until_done(node: &Server, command: &str, body: Value, within: Duration) {
    let until = Instant::now() + within;
    loop {
        let answer = node.live(command, body.clone()).await;
        if answer["ErrorCode"] == 0 {
            return;
        }
        assert!(Instant::now() < until, "{command} {body}: {answer}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

pub async fn wait_until_ready(node: &Server) {
    node.wait_for_readyz(200, Duration::from_secs(40)).await;
}

/// The network between nodes: each is reached through a door of its own, which lets through what it is told to.
#[derive(Clone)]
pub struct Network {
    /// Where each listens, and the door at which the others find it.
    nodes: Vec<(u16, u16)>,
    ways: Arc<Mutex<Ways>>,
}

/// By who sends and who is sent to.
#[derive(Default)]
struct Ways {
    cut: HashSet<(usize, usize)>,
    late: HashMap<(usize, usize), Duration>,
}

impl Network {
    pub fn of(count: usize) -> Self {
        let doors: Vec<UdpSocket> = (0..count).map(|_| bind()).collect();
        let listens: Vec<u16> = (0..count).map(|_| port(&bind())).collect();
        let nodes = listens.into_iter().zip(doors.iter().map(port)).collect();
        let network = Self { nodes, ways: Arc::default() };
        for (to, door) in doors.into_iter().enumerate() {
            let network = network.clone();
            std::thread::spawn(move || network.let_in(&door, to));
        }
        network
    }

    /// That node of a cluster, with this between it and the others.
    pub async fn node(&self, number: usize, url: &str) -> Server {
        let environment = [settings(url, &[]), self.settings(number).to_vec()].concat();
        Server::on(Arc::new(TempDir::new().unwrap()), environment).await
    }

    /// What that node is told of it.
    fn settings(&self, node: usize) -> [(String, String); 2] {
        let at = |port: u16| format!("127.0.0.1:{port}");
        let (listen, door) = self.nodes[node];
        [("ROOMFUL_CLUSTER__LISTEN".into(), at(listen)), ("ROOMFUL_CLUSTER__ADVERTISE".into(), at(door))]
    }

    /// Nothing gets from that node to the others any more, nor from them to it.
    pub fn part(&self, node: usize) {
        let others = (0..self.nodes.len()).filter(|other| *other != node);
        self.ways().cut.extend(others.flat_map(|other| [(node, other), (other, node)]));
    }

    /// What goes between that node and the others is late, each way.
    pub fn delay(&self, node: usize, by: Duration) {
        let others = (0..self.nodes.len()).filter(|other| *other != node);
        self.ways().late.extend(others.flat_map(|other| [((node, other), by), ((other, node), by)]));
    }

    /// All as it should be.
    pub fn mend(&self) {
        *self.ways() = Ways::default();
    }

    fn ways(&self) -> MutexGuard<'_, Ways> {
        self.ways.lock().unwrap()
    }

    fn is_open(&self, way: (usize, usize)) -> bool {
        !self.ways().cut.contains(&way)
    }

    fn lateness(&self, way: (usize, usize)) -> Duration {
        self.ways().late.get(&way).copied().unwrap_or_default()
    }

    /// Takes what comes at the door of `to`. A node sends from where it listens, by which it is known.
    fn let_in(&self, door: &UdpSocket, to: usize) {
        let mut inside: HashMap<SocketAddr, (usize, Arc<UdpSocket>)> = HashMap::new();
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, self.nodes[to].0));
        let mut queue = Queue::default();
        let mut bytes = [0; 2048];
        loop {
            queue.send_due(|bytes, socket: &Arc<UdpSocket>| drop(socket.send_to(bytes, target)));
            let Some((length, from)) = queue.receive(door, &mut bytes) else { continue };
            let known = inside.get(&from).cloned().or_else(|| {
                let sender = self.nodes.iter().position(|(listen, _)| *listen == from.port())?;
                let socket = Arc::new(bind());
                let (network, back, door) = (self.clone(), socket.clone(), door.try_clone().unwrap());
                std::thread::spawn(move || network.let_out(&back, &door, (to, sender), from));
                Some(inside.entry(from).or_insert((sender, socket)).clone())
            });
            let Some((sender, socket)) = known else { continue };
            let way = (sender, to);
            if self.is_open(way) {
                queue.put(self.lateness(way), &bytes[..length], socket);
            }
        }
    }

    /// Takes what a node answers to one that came in at its door.
    fn let_out(&self, inside: &UdpSocket, door: &UdpSocket, way: (usize, usize), to: SocketAddr) {
        let mut queue = Queue::default();
        let mut bytes = [0; 2048];
        loop {
            queue.send_due(|bytes, ()| drop(door.send_to(bytes, to)));
            let Some((length, _)) = queue.receive(inside, &mut bytes) else { continue };
            if self.is_open(way) {
                queue.put(self.lateness(way), &bytes[..length], ());
            }
        }
    }
}

/// What is on its way.
struct Queue<Where>(VecDeque<(Instant, Vec<u8>, Where)>);

impl<Where> Default for Queue<Where> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<Where> Queue<Where> {
    fn put(&mut self, late: Duration, bytes: &[u8], to: Where) {
        self.0.push_back((Instant::now() + late, bytes.into(), to));
    }

    fn send_due(&mut self, send: impl Fn(&[u8], &Where)) {
        while self.0.front().is_some_and(|(due, ..)| *due <= Instant::now()) {
            if let Some((_, bytes, to)) = self.0.pop_front() {
                send(&bytes, &to);
            }
        }
    }

    /// What comes before something is due.
    fn receive(&self, socket: &UdpSocket, bytes: &mut [u8]) -> Option<(usize, SocketAddr)> {
        let rest = self.0.front().map(|(due, ..)| due.saturating_duration_since(Instant::now()));
        let wait = rest.unwrap_or(Duration::from_millis(500)).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(wait)).unwrap();
        socket.recv_from(bytes).ok()
    }
}

fn bind() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().unwrap().port()
}
