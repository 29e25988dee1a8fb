//! Two things at one moment: sessions that come back while they are put out, rooms that end while they are spoken in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Client, Server};

/// How often a session is put out of its room at the moment of its coming back.
const ROUNDS: usize = 10_000;

/// How many do so side by side.
const USERS: usize = 16;

/// One who is put out and comes back, again and again.
struct Restless {
    server: Arc<Server>,
    user: String,
    room: String,
    client: Client,
}

impl Restless {
    async fn begin(server: Arc<Server>, number: usize) -> Self {
        let (user, room) = (format!("u{number}"), format!("r{number}"));
        server.create_room(&room).await;
        let client = server.log_in(&user).await;
        Self { server, user, room, client }
    }

    async fn live(&self, command: &str, body: Value) {
        let answer = self.server.try_call(&format!("live_engine_http_srv/{command}"), body).await;
        answer.unwrap();
    }

    /// Is in both rooms, then is put out of its own in one of five ways while its session resumes elsewhere, with its
    /// connection or after the loss of it.
    async fn round(&mut self, round: usize) {
        for room in [self.room.as_str(), "all"] {
            let entered = self.client.try_call("enter_room", json!({"RoomId": room})).await;
            if entered.is_none_or(|answer| answer["ErrorCode"] != 0) {
                self.client = self.server.log_in(&self.user).await;
                let answer = self.client.call("enter_room", json!({"RoomId": room})).await;
                assert_eq!(answer["ErrorCode"], 0, "{answer}");
            }
        }
        let token = self.client.resume_token.clone();
        let me = json!({"RoomId": self.room, "MemberList_Account": [self.user]});
        let is_lost = round % 2 == 1;
        let old = std::mem::replace(&mut self.client, self.server.connect().await);
        let mut new = self.server.connect().await;
        let out = async {
            let mut old = Some(old);
            if is_lost && let Some(old) = old.take() {
                old.cut();
            }
            match round / 2 % 5 {
                0 => {
                    if let Some(old) = &mut old {
                        old.try_call("leave_room", json!({"RoomId": self.room})).await;
                    }
                }
                1 => self.live("kick_user_out", me).await,
                2 => {
                    let mut ban = me.clone();
                    ban["Duration"] = 3600.into();
                    self.live("ban_member", ban).await;
                    self.live("unban_member", me).await;
                }
                3 => {
                    let item = json!({"DeleteItem": [{"UserID": self.user}]});
                    self.server.try_call("im_open_login_svc/account_delete", item).await.unwrap();
                }
                _ => {
                    self.live("destroy_room", json!({"RoomId": self.room})).await;
                    let again = json!({"RoomInfo": {"RoomId": self.room, "RoomType": "Live"}});
                    self.live("create_room", again).await;
                }
            }
        };
        let back = new.try_call("login", json!({"ResumeToken": token}));
        let ((), back) = tokio::join!(out, back);
        let token = back.and_then(|answer| Some(answer["Response"]["ResumeToken"].as_str()?.to_string()));
        if let Some(token) = token {
            new.resume_token = token;
            self.client = new;
        } else {
            new.cut();
            self.client = self.server.log_in(&self.user).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_put_out_while_coming_back_hangs_nothing() {
    let limits = [("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"), ("ROOMFUL_PRESENCE__RESUME_GRACE", "1s")];
    let server = Arc::new(Server::with(&limits).await);
    server.create_room("all").await;
    let done = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..USERS {
        let (server, done) = (server.clone(), done.clone());
        tasks.spawn(async move {
            let mut restless = Restless::begin(server, number).await;
            while done.fetch_add(1, Ordering::Relaxed) < ROUNDS {
                let round = done.load(Ordering::Relaxed);
                let within = Duration::from_secs(20);
                tokio::time::timeout(within, restless.round(round)).await.expect("the server hangs");
            }
            restless.client.close().await;
        });
    }

    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }

    let ready = tokio::time::timeout(Duration::from_secs(5), server.get("/readyz")).await;
    assert_eq!(ready.expect("the server hangs").0, 200);
    server.wait_for_members("all", &[], Duration::from_secs(10)).await;
    for number in 0..USERS {
        server.wait_for_members(&format!("r{number}"), &[], Duration::from_secs(1)).await;
    }
}
