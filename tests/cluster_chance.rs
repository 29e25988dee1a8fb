//! Several nodes while everything that can go wrong does, by chance and under load: what was acknowledged is there from then on,
//! whoever is asked, and nothing that is over is listed. `CLUSTER_TEST_SECONDS` is for how long, `CLUSTER_TEST_SEED` how.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use harness::nodes::{Network, drain, text, wait_until_ready};
use harness::postgres::{Cut, Database, Wire};
use harness::{ADMIN, Client, Server, names};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use usersig::{Claims, SecretKey};

const NODES: usize = 3;
const MEMBERS: usize = 6;

/// Refused, not answered in time, or not known whether it was done.
const REFUSED: u64 = 100_001;

/// How long a member's client waits before it tries another node, as the browser client does.
const PATIENCE: Duration = Duration::from_secs(8);

/// The longest that a call may take: longer than any node waits for another to take over.
const LONGEST: Duration = Duration::from_secs(45);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_is_there_whatever_goes_wrong() {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let (seconds, seed) = (number("CLUSTER_TEST_SECONDS", 90), number("CLUSTER_TEST_SEED", harness::now()));
    println!("CLUSTER_TEST_SEED={seed} CLUSTER_TEST_SECONDS={seconds}");
    let mut world = World::start(seed).await;
    let told = Arc::new(Told::default());
    let until = Instant::now() + Duration::from_secs(seconds);
    let load = start(&world, &told, until).await;

    let began = Instant::now();
    while Instant::now() < until {
        let what = world.harm().await;
        println!("{:>4} s: {what}", began.elapsed().as_secs());
    }
    world.mend().await;

    let mut answered = Vec::new();
    for task in load.callers {
        answered.push(task.await.unwrap());
    }
    println!("{answered:?} calls were answered");
    assert!(answered.iter().all(|count| *count > 20), "{answered:?}");
    world.check(&told).await;
    told.is_over.store(true, Ordering::SeqCst);
    let (mut resumed, mut anew) = (0, 0);
    for task in load.members {
        let member = task.await.unwrap();
        resumed += member.resumed;
        anew += member.anew;
    }
    println!("members have resumed {resumed} times, and begun anew {anew} times");
    assert!(resumed > 0);
}

/// An app, as a caller needs it.
#[derive(Clone)]
struct App {
    id: u64,
    key: SecretKey,
}

impl App {
    fn sig(&self, user: &str) -> String {
        let id = u32::try_from(self.id).unwrap();
        usersig::sign(&self.key, &Claims::new(user, id, harness::now(), 36_000)).unwrap()
    }
}

/// A database that two servers have, the nodes with what lies between them and it, and all that is done to them.
struct World {
    random: ChaCha8Rng,
    /// The one that is written to, and its synchronous standby.
    databases: [Database; 2],
    primary: usize,
    /// Those of each node to each database.
    wires: Vec<[Wire; 2]>,
    network: Network,
    nodes: Vec<Option<Server>>,
    apps: Vec<App>,
}

impl World {
    async fn start(seed: u64) -> Self {
        let first = Database::start(&["max_connections=200"]);
        let second = first.standby();
        first.expect_standby();
        let databases = [first, second];
        let network = Network::of(NODES);
        let (mut wires, mut nodes) = (Vec::new(), Vec::new());
        for number in 0..NODES {
            let pair = [0, 1].map(|one| Wire::to(databases[one].port));
            let hosts = pair.each_ref().map(|wire| format!("127.0.0.1:{}", wire.port)).join(",");
            let url = format!("postgresql://postgres@{hosts}/postgres?schema=chance");
            nodes.push(Some(network.node(number, &url).await));
            wires.push(pair);
        }
        let one = nodes[0].as_ref().unwrap();
        for name in ["second", "third"] {
            assert!(one.cli(&["app", "create", "--name", name]).status.success());
        }
        let apps: Value = serde_json::from_slice(&one.cli(&["app", "list", "--json"]).stdout).unwrap();
        let apps = apps.as_array().unwrap().iter().map(|app| App {
            id: app["sdkappid"].as_u64().unwrap(),
            key: SecretKey::new(app["secret_key"].as_str().unwrap()),
        });
        let (random, apps) = (ChaCha8Rng::seed_from_u64(seed), apps.collect());
        Self { random, databases, primary: 0, wires, network, nodes, apps }
    }

    async fn pause(&mut self, from: u64, to: u64) {
        sleep(Duration::from_millis(self.random.random_range(from..to))).await;
    }

    /// Does one thing to it, and mends that; says what it was.
    async fn harm(&mut self) -> String {
        self.pause(500, 4000).await;
        let one = self.random.random_range(0..NODES);
        let what = match self.random.random_range(0..11) {
            0 | 1 => {
                self.node(one).signal("STOP");
                self.pause(1000, 12_000).await;
                self.node(one).signal("CONT");
                "stopped, and went on:"
            }
            2 | 3 => {
                self.nodes[one].as_mut().unwrap().kill();
                self.pause(0, 8000).await;
                self.restart(one).await;
                "killed:"
            }
            4 => {
                // With its database or its neighbours away it may have to be told twice.
                assert!(self.nodes[one].as_mut().unwrap().terminate().await.0.is_some());
                self.restart(one).await;
                "ended and started:"
            }
            5 => {
                let drained = drain(self.node(one)).await.unwrap();
                assert!(drained.status.success(), "{}", text(&drained.stderr));
                self.restart(one).await;
                "drained and started:"
            }
            6 => {
                self.network.part(one);
                self.pause(1000, 15_000).await;
                self.network.mend();
                "parted from the others:"
            }
            7 => {
                self.network.delay(one, Duration::from_millis(300));
                self.pause(3000, 10_000).await;
                self.network.mend();
                "slow to the others:"
            }
            8 => {
                let how = [Cut::Silence, Cut::All][self.random.random_range(0..2usize)];
                self.wires[one].iter().for_each(|wire| wire.set(how));
                self.pause(1000, 15_000).await;
                self.wires[one].iter().for_each(|wire| wire.set(Cut::Nothing));
                "cut off from the database:"
            }
            9 => {
                let primary = self.primary;
                self.databases[primary].down();
                self.pause(0, 12_000).await;
                self.databases[primary].up();
                return "restarted the database".into();
            }
            _ => {
                self.fail_over().await;
                return "failed over to the standby".into();
            }
        };
        format!("{what} node {one}")
    }

    /// The standby takes the place of the primary, which becomes its standby.
    async fn fail_over(&mut self) {
        let (old, new) = (self.primary, 1 - self.primary);
        self.databases[old].down();
        self.pause(0, 8000).await;
        self.databases[new].promote();
        // Whoever fails over by hand says that there is no standby now, lest all commits wait for one.
        self.databases[new].expect_nobody();
        self.primary = new;
        self.pause(0, 3000).await;
        self.databases[old].follow(&self.databases[new]);
        self.databases[new].expect_standby();
    }

    fn node(&self, number: usize) -> &Server {
        self.nodes[number].as_ref().unwrap()
    }

    async fn mend(&mut self) {
        self.network.mend();
        for node in self.nodes.iter().flatten() {
            wait_until_ready(node).await;
        }
    }

    /// All that was told holds at every node, and nothing else does.
    async fn check(&self, told: &Told) {
        let caller = self.caller();
        // Sessions that nobody has come back to are over by then.
        sleep(Duration::from_secs(45)).await;
        let made = told.rooms.lock().unwrap().clone();
        for (app, rooms) in made {
            for number in 0..NODES {
                let id = self.apps[app].id.to_string();
                let listed =
                    text(&self.node(number).cli(&["room", "list", "--json", "--sdkappid", &id]).stdout);
                let missing: Vec<&String> =
                    rooms.iter().filter(|room| !listed.contains(&format!("\"{room}\""))).collect();
                assert!(missing.is_empty(), "of {} rooms these are gone: {missing:?}", rooms.len());
            }
            println!("app {app}: all {} rooms that were acknowledged are there", rooms.len());
        }
        for app in 0..self.apps.len() {
            let members: Vec<String> = (0..MEMBERS).filter(|one| one % NODES == app).map(name).collect();
            for number in 0..NODES {
                let body = json!({"RoomId": ROOM, "Next": ""});
                let answer = caller.call(number, app, "get_member_list", &body).await.unwrap();
                let mut listed = names(&answer["Response"]["MemberList"]);
                listed.sort();
                assert_eq!(listed, members, "node {number}: {answer}");
            }
        }
        for (app, cell) in told.cells.iter().enumerate() {
            for number in 0..NODES {
                let value = caller.read(number, app).await.unwrap();
                cell.check(cell.acknowledged(), value);
            }
        }
    }

    /// Begins a node anew, where it was.
    async fn restart(&mut self, one: usize) {
        let node = self.nodes[one].take().unwrap();
        self.nodes[one] = Some(node.restart_in_place().await);
    }

    fn caller(&self) -> Caller {
        let http = reqwest::Client::builder().timeout(LONGEST).build().unwrap();
        let addresses = (0..NODES).map(|number| self.node(number).address.clone()).collect();
        Caller { http, addresses, apps: self.apps.clone() }
    }
}

/// Who calls any of the nodes, whatever becomes of them.
#[derive(Clone)]
struct Caller {
    http: reqwest::Client,
    addresses: Vec<String>,
    apps: Vec<App>,
}

impl Caller {
    /// What is answered; `None` where the connection is lost. That nothing comes of it is no answer.
    async fn call(&self, node: usize, app: usize, command: &str, body: &Value) -> Option<Value> {
        let (address, app) = (&self.addresses[node], &self.apps[app]);
        let url = format!(
            "http://{address}/v4/live_engine_http_srv/{command}?sdkappid={}&identifier={ADMIN}&usersig={}&random=7&contenttype=json",
            app.id,
            app.sig(ADMIN)
        );
        let response = match self.http.post(url).body(body.to_string()).send().await {
            Ok(response) => response,
            Err(error) => {
                // A node that is stopped answers later, and one that is gone not at all.
                assert!(!error.is_timeout(), "{command} was not answered within {LONGEST:?}");
                return None;
            }
        };
        assert_eq!(response.status(), 200);
        response.json().await.ok()
    }

    /// Its code; `REFUSED` also where the connection is lost.
    async fn code(&self, node: usize, app: usize, command: &str, body: &Value) -> u64 {
        let answer = self.call(node, app, command, body).await;
        answer.map_or(REFUSED, |answer| answer["ErrorCode"].as_u64().unwrap())
    }

    /// What is in the cell of an app.
    async fn read(&self, node: usize, app: usize) -> Option<u64> {
        let body = json!({"RoomId": ROOM, "Keys": ["cell"]});
        let answer = self.call(node, app, "get_room_metadata", &body).await?;
        match answer["ErrorCode"].as_u64().unwrap() {
            0 => Some(answer["Response"]["Metadata"][0]["Value"].as_str()?.parse().unwrap()),
            REFUSED => None,
            code => panic!("{code} to what is in a room that is there: {answer}"),
        }
    }
}

/// The room of each app in which members are, and whose metadata is a cell that is written to.
const ROOM: &str = "hall";

/// What clients were told.
#[derive(Default)]
struct Told {
    /// Rooms that were made, by app.
    rooms: Mutex<BTreeMap<usize, Vec<String>>>,
    /// Users who were put out, by app: from when that was acknowledged.
    banned: Mutex<BTreeMap<usize, Vec<String>>>,
    cells: [Cell; 3],
    /// Whether members may go.
    is_over: AtomicBool,
}

impl Told {
    fn banned(&self, app: usize) -> Vec<String> {
        self.banned.lock().unwrap().get(&app).cloned().unwrap_or_default()
    }

    fn rooms(&self, app: usize) -> Vec<String> {
        self.rooms.lock().unwrap().get(&app).cloned().unwrap_or_default()
    }
}

/// A number that one writes, each time one more, and others read.
#[derive(Default)]
struct Cell {
    tried: AtomicU64,
    /// The highest that was acknowledged or read: nobody may read less from then on.
    known: AtomicU64,
}

impl Cell {
    fn acknowledged(&self) -> u64 {
        self.known.load(Ordering::SeqCst)
    }

    /// `value` was read by who began when `least` was known.
    fn check(&self, least: u64, value: u64) {
        let most = self.tried.load(Ordering::SeqCst);
        assert!((least..=most).contains(&value), "{value} was read where {least} to {most} can be");
        self.known.fetch_max(value, Ordering::SeqCst);
    }
}

struct Load {
    callers: Vec<JoinHandle<u64>>,
    members: Vec<JoinHandle<Member>>,
}

async fn start(world: &World, told: &Arc<Told>, until: Instant) -> Load {
    let caller = world.caller();
    for app in 0..world.apps.len() {
        let body = json!({"RoomInfo": {"RoomId": ROOM, "RoomType": "Live"}});
        assert_eq!(caller.code(0, app, "create_room", &body).await, 0);
        let body = json!({"RoomId": ROOM, "Metadata": [{"Key": "cell", "Value": "0"}]});
        assert_eq!(caller.code(0, app, "set_room_metadata", &body).await, 0);
    }
    let mut members = Vec::new();
    for number in 0..MEMBERS {
        let mut member = Member::new(number % NODES, name(number), number / NODES);
        assert!(member.begin_anew(&caller).await);
        members.push(tokio::spawn(member.stay(caller.clone(), told.clone())));
    }
    let mut callers = Vec::new();
    for app in 0..world.apps.len() {
        let seed = app as u64;
        callers.push(tokio::spawn(make(caller.clone(), told.clone(), app, seed, until)));
        callers.push(tokio::spawn(look(caller.clone(), told.clone(), app, seed + 10, until)));
        callers.push(tokio::spawn(write(caller.clone(), told.clone(), app, seed + 20, until)));
        callers.push(tokio::spawn(read(caller.clone(), told.clone(), app, seed + 30, until)));
    }
    callers.push(tokio::spawn(ban(caller, told.clone(), 1, 40, until)));
    Load { callers, members }
}

/// After a call: a moment, and a longer one after what came to nothing.
async fn rest(code: u64) {
    sleep(Duration::from_millis(if code == 0 { 5 } else { 50 })).await;
}

/// Makes rooms.
async fn make(caller: Caller, told: Arc<Told>, app: usize, seed: u64, until: Instant) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut answered = 0;
    for count in 0.. {
        let room = format!("room-{count}");
        let body = json!({"RoomInfo": {"RoomId": room, "RoomType": "Live"}});
        let code = caller.code(random.random_range(0..NODES), app, "create_room", &body).await;
        match code {
            0 => {
                told.rooms.lock().unwrap().entry(app).or_default().push(room);
                answered += 1;
            }
            REFUSED => {}
            code => panic!("{code} to a room that is made"),
        }
        rest(code).await;
        if Instant::now() > until {
            break;
        }
    }
    answered
}

/// Looks for rooms that were made.
async fn look(caller: Caller, told: Arc<Told>, app: usize, seed: u64, until: Instant) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut answered = 0;
    while Instant::now() < until {
        let made = told.rooms(app);
        let room = made.get(random.random_range(0..made.len().max(1))).map_or(ROOM, String::as_str);
        let banned = told.banned(app);
        let body = json!({"RoomId": room, "Next": ""});
        let answer = caller.call(random.random_range(0..NODES), app, "get_member_list", &body).await;
        let code = answer.as_ref().map_or(REFUSED, |answer| answer["ErrorCode"].as_u64().unwrap());
        match (code, answer) {
            (0, Some(answer)) => {
                answered += 1;
                let listed = names(&answer["Response"]["MemberList"]);
                let wrong = listed.iter().find(|user| banned.contains(user));
                assert_eq!(wrong, None, "whoever is banned is in no later list");
            }
            (REFUSED, _) => {}
            (code, _) => panic!("{code}: {room} was acknowledged, and is not there"),
        }
        rest(code).await;
    }
    answered
}

/// Writes the cell of an app.
async fn write(caller: Caller, told: Arc<Told>, app: usize, seed: u64, until: Instant) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let cell = &told.cells[app];
    let mut answered = 0;
    while Instant::now() < until {
        let value = cell.tried.fetch_add(1, Ordering::SeqCst) + 1;
        let body = json!({"RoomId": ROOM, "Metadata": [{"Key": "cell", "Value": value.to_string()}]});
        let code = caller.code(random.random_range(0..NODES), app, "set_room_metadata", &body).await;
        match code {
            0 => {
                cell.known.fetch_max(value, Ordering::SeqCst);
                answered += 1;
            }
            REFUSED => {
                // What is not known to be done may be done later, by who has the call yet: not before that is over is
                // anything written that it would undo.
                settle(&caller, app, cell, value).await;
            }
            code => panic!("{code} to metadata that is set"),
        }
        rest(code).await;
    }
    answered
}

/// Waits until nobody can have a call any more of which nothing is known.
async fn settle(caller: &Caller, app: usize, cell: &Cell, value: u64) {
    for node in (0..NODES).cycle().take(50) {
        let least = cell.acknowledged();
        if let Some(found) = caller.read(node, app).await {
            cell.check(least, found);
            if found == value {
                return;
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Reads the cell of an app.
async fn read(caller: Caller, told: Arc<Told>, app: usize, seed: u64, until: Instant) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut answered = 0;
    while Instant::now() < until {
        let least = told.cells[app].acknowledged();
        let value = caller.read(random.random_range(0..NODES), app).await;
        if let Some(value) = value {
            told.cells[app].check(least, value);
            answered += 1;
        }
        rest(if value.is_some() { 0 } else { REFUSED }).await;
    }
    answered
}

/// Has users enter, and puts them out for good.
async fn ban(caller: Caller, told: Arc<Told>, app: usize, seed: u64, until: Instant) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut answered = 0;
    for count in 0.. {
        let user = format!("guest-{count}");
        let mut guest = Member::new(app, user.clone(), random.random_range(0..NODES));
        if timeout(PATIENCE, guest.begin_anew(&caller)).await == Ok(true) {
            let body = json!({"RoomId": ROOM, "MemberList_Account": [user], "Duration": 36_000});
            let node = random.random_range(0..NODES);
            if caller.code(node, app, "ban_member", &body).await == 0 {
                told.banned.lock().unwrap().entry(app).or_default().push(user);
                answered += 1;
            }
        }
        drop(guest);
        sleep(Duration::from_millis(100)).await;
        if Instant::now() > until {
            break;
        }
    }
    answered
}

/// A member's client, which goes to another node whenever its own does not answer.
struct Member {
    app: usize,
    user: String,
    node: usize,
    client: Option<Client>,
    token: String,
    resumed: u32,
    anew: u32,
}

impl Member {
    fn new(app: usize, user: String, node: usize) -> Self {
        Self { app, user, node: node % NODES, client: None, token: String::new(), resumed: 0, anew: 0 }
    }

    async fn connect(&self, caller: &Caller) -> Option<Client> {
        let connect = Client::connect_to(&caller.addresses[self.node]);
        timeout(PATIENCE, connect).await.ok()?
    }

    /// Calls, unless nobody answers.
    async fn call(client: &mut Client, command: &str, body: Value) -> Option<Value> {
        timeout(PATIENCE, client.try_call(command, body)).await.ok()?
    }

    /// By its signature; whether it is in.
    async fn begin_anew(&mut self, caller: &Caller) -> bool {
        let Some(mut client) = self.connect(caller).await else { return false };
        let app = &caller.apps[self.app];
        let login = json!({"SdkAppId": app.id, "UserId": self.user, "UserSig": app.sig(&self.user)});
        let Some(answer) = Self::call(&mut client, "login", login).await else { return false };
        let Some(token) = answer["Response"]["ResumeToken"].as_str() else { return false };
        self.token = token.to_owned();
        let entered = Self::call(&mut client, "enter_room", json!({"RoomId": ROOM})).await;
        self.client = Some(client);
        entered.is_some_and(|answer| answer["ErrorCode"] == 0)
    }

    /// By its token; whether it was taken.
    async fn resume(&mut self, caller: &Caller) -> Option<Value> {
        let mut client = self.connect(caller).await?;
        let answer = Self::call(&mut client, "login", json!({"ResumeToken": self.token})).await?;
        if answer["ErrorCode"] == 0 {
            self.token = answer["Response"]["ResumeToken"].as_str().unwrap().to_owned();
            self.client = Some(client);
        }
        Some(answer)
    }

    /// Comes back, in place or anew.
    async fn come_back(&mut self, caller: &Caller) {
        loop {
            self.client = None;
            self.node = (self.node + 1) % NODES;
            if let Some(answer) = self.resume(caller).await {
                if self.client.is_some() {
                    self.resumed += 1;
                    if answer["Response"]["Rooms"] == json!([ROOM]) {
                        return;
                    }
                    // Its session has outlived its place in the room.
                    let mut client = self.client.take().unwrap();
                    let entered = Self::call(&mut client, "enter_room", json!({"RoomId": ROOM})).await;
                    if entered.is_some_and(|answer| answer["ErrorCode"] == 0) {
                        self.client = Some(client);
                        return;
                    }
                } else if answer["ErrorCode"] != REFUSED && self.begin_anew(caller).await {
                    self.anew += 1;
                    return;
                }
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn stay(mut self, caller: Caller, told: Arc<Told>) -> Self {
        while !told.is_over.load(Ordering::SeqCst) {
            let list = json!({"RoomId": ROOM, "Next": ""});
            let is_there = match &mut self.client {
                Some(client) => Self::call(client, "get_member_list", list).await.is_some(),
                None => false,
            };
            match is_there {
                true => sleep(Duration::from_millis(500)).await,
                false => self.come_back(&caller).await,
            }
        }
        self
    }
}

fn name(member: usize) -> String {
    format!("member-{member}")
}
