//! Media at the nodes of a cluster: what one node's trouble is to what flows at the others, and how soon rights follow. Publishers and
//! viewers come by WHIP and WHEP, and count packets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use harness::Server;
use harness::nodes::{Network, nodes, resume, wait_until_ready};
use harness::postgres::Database;
use load::{FRAMES_A_SECOND, Offered, Sending, Stats};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Within which who may publish no more is seen no more (docs/cluster.md).
const RIGHTS: Duration = Duration::from_millis(200);

/// Within which media stops at a node that nobody hears (docs/cluster.md), and what a busy machine adds.
const PARTED: Duration = Duration::from_millis(4_500);

/// For how long it is looked whether something comes.
const MOMENT: Duration = Duration::from_millis(300);

/// Within which something is to flow.
const PATIENCE: Duration = Duration::from_secs(30);

/// A publisher or a viewer.
struct Peer {
    stats: Arc<Stats>,
    location: String,
    task: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    async fn try_begin(node: &Server, path: &str, user: &str, publishes: bool) -> Result<Self, String> {
        // 120 packets a second, one by one.
        let stats =
            Arc::new(Stats::new(Sending { frames_a_second: FRAMES_A_SECOND, packets_a_frame: 4, burst: 1 }));
        let ip = Ipv4Addr::LOCALHOST.into();
        let (offer, offered) = match publishes {
            true => Offered::publisher(ip, &stats).await.unwrap(),
            false => Offered::viewer(ip, false, &stats).await.unwrap(),
        };
        match node.post_offer(path, user, offer).await {
            (201, location, answer) => {
                let task = tokio::spawn(offered.accept(&answer).unwrap().run());
                Ok(Self { stats, location, task })
            }
            (_, _, trouble) => Err(trouble),
        }
    }

    async fn publish(node: &Server, user: &str) -> Self {
        Self::try_begin(node, "/whip/call", user, true).await.unwrap()
    }

    async fn watch(node: &Server, user: &str, whom: &str) -> Self {
        let peer = Self::try_begin(node, &format!("/whep/call?user={whom}"), user, false).await.unwrap();
        peer.flows().await;
        peer
    }

    fn count(&self) -> u64 {
        self.stats.received.load(Ordering::Relaxed)
    }

    /// Waits until more comes.
    async fn flows(&self) {
        let (before, until) = (self.count(), Instant::now() + PATIENCE);
        while self.count() < before + 20 {
            assert!(Instant::now() < until, "nothing flows");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether something comes within a moment.
    async fn is_fed(&self) -> bool {
        let before = self.count();
        sleep(MOMENT).await;
        self.count() > before
    }

    /// The longest time that nothing comes while that lasts.
    async fn longest_pause(&self, during: impl Future<Output = ()>) -> Duration {
        tokio::pin!(during);
        let (mut longest, mut since, mut seen) = (Duration::ZERO, Instant::now(), self.count());
        loop {
            tokio::select! {
                () = &mut during => return longest.max(since.elapsed()),
                () = sleep(Duration::from_millis(10)) => {}
            }
            if self.count() > seen {
                longest = longest.max(since.elapsed());
                (since, seen) = (Instant::now(), self.count());
            }
        }
    }
}

async fn make(node: &Server) {
    node.import(&["ann", "ben", "cat", "dan", "eve"]).await;
    node.ok("room_engine_http_srv/create_room", json!({"RoomInfo": {"RoomId": "call"}})).await;
}

/// Three nodes, the first of which has the records, and their network.
async fn parted() -> ([Server; 3], Network) {
    let (url, _) = Database::shared().own_url();
    let network = Network::of(3);
    let mut all = Vec::new();
    for number in 0..3 {
        all.push(network.node(number, &url).await);
    }
    let all: [Server; 3] = all.try_into().ok().unwrap();
    make(&all[0]).await;
    until_lent(&all).await;
    (all, network)
}

/// Waits until media is at each node: its unit listens.
async fn until_lent(all: &[Server]) {
    for node in all {
        let until = Instant::now() + PATIENCE;
        while node.metric("roomful_media_connections").await.is_none() {
            assert!(Instant::now() < until, "there is no media at {}", node.address);
            sleep(Duration::from_millis(50)).await;
        }
    }
    sleep(Duration::from_millis(200)).await;
}

/// How much was sent to viewers at a node, each packet once.
async fn forwarded(node: &Server) -> f64 {
    node.metric("roomful_media_total{what=\"forwarded_packets\"}").await.unwrap()
}

async fn connections(node: &Server) -> f64 {
    node.metric("roomful_media_connections").await.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_publish_no_more_is_seen_no_more_at_another_node_within_200_ms() {
    let (url, _) = Database::shared().own_url();
    let all = nodes::<3>(&url).await;
    make(&all[0]).await;
    until_lent(&all).await;
    let [owner, two, three] = &all;

    for (number, (what, by)) in
        [("mute", two), ("kick", owner), ("mute", owner), ("end", owner), ("mute", three), ("remove", three)]
            .into_iter()
            .enumerate()
    {
        let ann = Peer::publish(two, "ann").await;
        let ben = Peer::watch(three, "ben", "ann").await;
        let key = by.key(&[]);
        let members = json!({"RoomId": "call", "MemberList_Account": ["ann"]});
        match what {
            "mute" => {
                let block = json!({"SdkAppId": by.app, "StrRoomId": "call", "UserId": "ann", "IsMute": 1});
                assert_eq!(key.code("SetUserBlockedByStrRoomId", block).await, "");
            }
            "kick" => _ = by.ok("room_engine_http_srv/kick_user_out", members).await,
            "end" => by.end_resource(&ann.location, "ann").await,
            _ => {
                let body = json!({"SdkAppId": by.app, "RoomId": "call", "UserIds": ["ann"]});
                assert_eq!(key.code("RemoveUserByStrRoomId", body).await, "");
            }
        }
        sleep(RIGHTS).await;
        // What was sent before may be sent again, to find out what the viewer's link carries.
        let before = forwarded(three).await;
        sleep(MOMENT).await;

        assert_eq!(forwarded(three).await, before, "{number}: {what}");
        if what == "mute" {
            let block = json!({"SdkAppId": by.app, "StrRoomId": "call", "UserId": "ann", "IsMute": 0});
            assert_eq!(key.code("SetUserBlockedByStrRoomId", block).await, "");
            ben.flows().await;
            by.end_resource(&ann.location, "ann").await;
        }
        by.end_resource(&ben.location, "ben").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_gone_takes_nothing_with_it_of_what_others_have() {
    let (url, _) = Database::shared().own_url();
    let mut all = nodes::<3>(&url).await;
    make(&all[0]).await;
    until_lent(&all).await;
    let _ann = Peer::publish(&all[1], "ann").await;
    let (ben, cat) = (Peer::watch(&all[1], "ben", "ann").await, Peer::watch(&all[0], "cat", "ann").await);

    all[2].kill();
    let pause = tokio::join!(
        ben.longest_pause(sleep(Duration::from_secs(6))),
        cat.longest_pause(sleep(Duration::from_secs(6)))
    );

    println!("{pause:?}");
    assert!(pause.0 < Duration::from_millis(500) && pause.1 < Duration::from_millis(500), "{pause:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_nobody_hears_carries_no_media_and_has_it_again_by_itself() {
    let ([owner, edge, other], network) = parted().await;
    let _ann = Peer::publish(&edge, "ann").await;
    let (ben, cat) = (Peer::watch(&edge, "ben", "ann").await, Peer::watch(&other, "cat", "ann").await);
    let _dan = Peer::publish(&other, "dan").await;
    let eve = Peer::watch(&owner, "eve", "dan").await;
    let mut client = edge.connect().await;
    let login = json!({"SdkAppId": edge.app, "UserId": "cat", "UserSig": edge.sig("cat")});
    let before = client.ok("login", login).await;

    network.part(1);
    let pause = eve
        .longest_pause(async {
            sleep(PARTED).await;
            assert!(!ben.is_fed().await, "it goes on at the node that is parted");
            assert!(!cat.is_fed().await, "it goes on at another");
        })
        .await;
    assert!(pause < Duration::from_millis(500), "others were disturbed for {pause:?}");
    network.mend();

    let (_, answer) = resume(&edge, before["ResumeToken"].as_str().unwrap(), PATIENCE).await;
    until_lent(std::slice::from_ref(&edge)).await;
    let mended = Instant::now();
    let _ann = loop {
        match Peer::try_begin(&edge, "/whip/call", "ann", true).await {
            Ok(ann) => break ann,
            Err(trouble) => assert!(mended.elapsed() < PATIENCE, "{trouble}"),
        }
        sleep(Duration::from_millis(100)).await;
    };
    let _ben = Peer::watch(&edge, "ben", "ann").await;
    let _cat = Peer::watch(&other, "cat", "ann").await;
    println!("it flows {:?} after", mended.elapsed());
    assert_ne!(answer["ServerId"], before["ServerId"], "what its client had there is gone: it has to know");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stood_still_and_one_that_takes_over_have_media_as_before() {
    let (url, _) = Database::shared().own_url();
    let mut all = nodes::<3>(&url).await;
    make(&all[0]).await;
    until_lent(&all).await;
    let ann = Peer::publish(&all[1], "ann").await;
    let ben = Peer::watch(&all[2], "ben", "ann").await;

    all[2].signal("STOP");
    sleep(Duration::from_secs(5)).await;
    all[2].signal("CONT");
    sleep(Duration::from_secs(1)).await;
    until_lent(&all).await;
    let ben = (Peer::watch(&all[2], "ben", "ann").await, ben).0;

    all[0].kill();
    sleep(PARTED).await;
    assert!(!ben.is_fed().await, "nobody has the records");
    drop(ann);
    for node in &all[1..] {
        wait_until_ready(node).await;
    }
    until_lent(&all[1..]).await;
    // A node's unit is lent anew a moment after another has taken over; until then its members' media is at that one.
    let until = Instant::now() + PATIENCE;
    let mut at_each = false;
    while !at_each {
        let _ann = Peer::publish(&all[1], "ann").await;
        let _ben = Peer::watch(&all[2], "ben", "ann").await;
        at_each = connections(&all[1]).await >= 1.0 && connections(&all[2]).await >= 1.0;
        assert!(Instant::now() < until, "media is not at the nodes of its members");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_made_anew_has_nothing_of_the_former() {
    let (url, _) = Database::shared().own_url();
    let all = nodes::<3>(&url).await;
    make(&all[0]).await;
    until_lent(&all).await;
    let _ann = Peer::publish(&all[1], "ann").await;
    let former = Peer::watch(&all[2], "ben", "ann").await;

    all[2].ok("room_engine_http_srv/destroy_room", json!({"RoomId": "call"})).await;
    sleep(RIGHTS).await;
    assert!(!former.is_fed().await);
    all[0].ok("room_engine_http_srv/create_room", json!({"RoomInfo": {"RoomId": "call"}})).await;
    let _dan = Peer::publish(&all[2], "dan").await;
    let _cat = Peer::watch(&all[1], "cat", "dan").await;
    assert!(!former.is_fed().await);
    let (one, two) = (connections(&all[1]).await, connections(&all[2]).await);
    assert_eq!((one, two), (1.0, 1.0), "connections of the former room are left");
}
