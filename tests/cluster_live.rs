//! A call whose members are at different nodes, in real browsers: whichever node is gone, all see each other again, and nobody has to
//! touch anything.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::time::Duration;

use harness::nodes::{drain, has_records, nodes, text};
use harness::postgres::Database;
use harness::script::Script;
use harness::{ADMIN, Server};
use serde_json::{Map, Value, json};

/// Within which all see each other again.
const AGAIN_MS: u64 = 15_000;

const USERS: [&str; 3] = ["ann", "ben", "cat"];

/// Publishes at one node to viewers at the two others while that is done to the nodes: how many ms after it each sees again.
async fn call(nodes: [Server; 3], harms: &[&str]) -> Map<String, Value> {
    nodes[0].import(&USERS).await;
    let seats = json!({"SeatTemplate": "VideoDynamicGrid9Seats", "TakeSeatMode": "FreeToTake"});
    nodes[0].create_room_with("hall", seats).await;
    let sigs: Map<String, Value> =
        USERS.map(|user| (user.into(), nodes[0].sig(user).into())).into_iter().collect();
    let urls: Vec<String> = nodes.iter().map(|node| format!("http://{}", node.address)).collect();
    let input = json!({
        "url": urls[0], "urls": urls, "app": nodes[0].app, "admin": nodes[0].sig(ADMIN), "sigs": sigs,
        // The first node has the records.
        "at": {"ann": 1, "ben": 2, "cat": 0}, "harms": harms, "shots": std::env::var("SHOTS").ok(),
    });
    let mut nodes = nodes.map(Some);
    let mut script = Script::start_in("node", &["cluster.mjs"], &input, &[]);
    let mut harmed = 0;
    let saw = loop {
        let mut line = script.hear();
        let Some(what) = line["do"].as_str() else { break line["result"].take() };
        if what.starts_with("mend") {
            let node = nodes[harmed].take().unwrap();
            nodes[harmed] = Some(node.restart_in_place().await);
            script.say(&json!({}));
            continue;
        }
        if harms.first().is_some_and(|first| *first == what) {
            assert_media_is_where_members_are(&nodes).await;
        }
        harmed = which(&nodes, what);
        if what.starts_with("kill") {
            nodes[harmed].as_mut().unwrap().kill();
            script.say(&json!({}));
            continue;
        }
        let drain = drain(nodes[harmed].as_ref().unwrap());
        script.say(&json!({}));
        let other = nodes[(harmed + 1) % 3].as_ref().unwrap();
        while !drain.is_finished() {
            assert_eq!(listed(other).await, USERS, "somebody left while a node was drained");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let drained = drain.await.unwrap();
        assert!(drained.status.success(), "{}", text(&drained.stderr));
        assert_eq!(listed(other).await, USERS);
    };
    println!("{saw}");
    for user in USERS {
        assert_eq!(saw["told"][user], json!([]), "{saw}");
    }
    saw["after"].as_object().unwrap().clone()
}

/// Each node has the connections of its own members, and what is published at the second goes to each of the others once.
async fn assert_media_is_where_members_are(nodes: &[Option<Server>; 3]) {
    let mut counts = Vec::new();
    for node in nodes.iter().flatten() {
        let mut of = Vec::new();
        for what in ["forwarded_packets", "trunk_packets"] {
            of.push(
                node.metric(&format!("roomful_media_total{{what=\"{what}\"}}")).await.unwrap_or_default(),
            );
        }
        assert!(node.metric("roomful_media_connections").await.unwrap_or_default() > 0.0);
        counts.push(of);
    }
    let [[of_cat, ..], [_, sent], [of_ben, ..]] = [&counts[0][..], &counts[1][..], &counts[2][..]] else {
        panic!("{counts:?}")
    };
    assert!(*of_cat > 50.0 && *of_ben > 50.0, "{counts:?}");
    assert!(*sent >= 0.9 * (of_cat + of_ben), "{counts:?}");
    assert!(counts[0][1] == 0.0 && counts[2][1] == 0.0, "nothing is published there: {counts:?}");
}

async fn listed(node: &Server) -> Vec<String> {
    let mut members = node.members("hall").await.0;
    members.sort();
    members
}

/// The node that is meant.
fn which(nodes: &[Option<Server>; 3], what: &str) -> usize {
    match what {
        "kill the publisher's node" => 1,
        _ => {
            let has = |node: &Option<Server>| node.as_ref().is_some_and(has_records);
            nodes.iter().position(has).unwrap_or_default()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_node_is_gone_all_see_each_other_again_without_touching_anything() {
    let (url, _) = Database::shared().own_url();
    let nodes = nodes::<3>(&url).await;

    let after = call(nodes, &["kill the publisher's node", "kill the owner", "drain the owner"]).await;

    for (what, viewers) in after {
        for ms in viewers.as_array().unwrap() {
            assert!(ms.as_u64().unwrap() < AGAIN_MS, "{what}: {viewers}");
        }
    }
}
