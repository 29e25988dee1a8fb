//! What the command line is told of a node, and what it may tell it.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde_json::{Value, json};
use store::{Cluster, Known};

use super::front::{Front, Own};
use super::lost;
use crate::control::{About, about_node};
use crate::serve::{Begun, fixed_routes};
use crate::told::Node;

/// What to do about what was lost.
const ACKNOWLEDGE: &str =
    "(`roomful cluster status --acknowledge` on this data folder once somebody has read it)\n";

/// What a node answers by itself: `front` is who else may.
pub(super) fn own(begun: &Arc<Begun>, front: &Arc<Front>, about: About) -> Own {
    let shown = {
        let front = front.clone();
        move || front.shown()
    };
    let metrics = begun.metrics_routes(shown.clone());
    let ready = {
        let (front, folder) = (front.clone(), begun.config.server.data.clone());
        move || async move {
            match front.is_ready() {
                Ok(()) => {
                    let lost = lost::noted(&folder).map(|lost| format!("{lost}{ACKNOWLEDGE}"));
                    (StatusCode::OK, format!("ready\n{}", lost.unwrap_or_default()))
                }
                Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
            }
        }
    };
    let clients =
        fixed_routes(begun.is_dev).route("/readyz", get(ready)).merge(begun.metrics_by_token(shown));
    let asked = front.clone();
    let show = move || async move { Json(state(&asked)) };
    let knows = front.clone();
    let know = move || async move {
        let (cluster, by_promises) = knows.known();
        Json(listed(&cluster, &by_promises))
    };
    let emptied = front.clone();
    let empty = move || async move {
        emptied.empty().await;
        Json(state(&emptied))
    };
    let (front, begun) = (front.clone(), begun.clone());
    let tell = move || async move {
        let trouble = front.is_ready().err().unwrap_or_default();
        Json(about_node(&begun.config, &about, &trouble))
    };
    let operator = Router::new()
        .route("/control/cluster", get(show))
        .route("/control/cluster/known", get(know))
        .route("/control/cluster/drain", post(empty))
        .route("/control/about", get(tell))
        .merge(metrics);
    Own { clients, operator }
}

/// Of this node: whether it has the records, is to have nothing any more, and how many members' connections it has.
fn state(front: &Front) -> Value {
    let (has_records, is_draining, sessions) = (front.is_here(), front.is_emptying(), front.sessions());
    json!({
        "has_records": has_records, "is_draining": is_draining, "sessions": sessions,
        "is_empty": is_draining && !has_records && sessions == 0, "addresses": front.addresses(),
    })
}

/// The nodes, and who has the records; `by_promises` are the runs of those that go on without the database.
pub(crate) fn listed(cluster: &Cluster, by_promises: &[Node]) -> Value {
    let Cluster { view, nodes } = cluster;
    let has_records = |node: &Known| node.generation == view.owner;
    let owner = nodes.iter().find(|node| has_records(node)).map(|node| node.id.clone());
    let nodes: Vec<Value> = nodes.iter().map(|node| json!({
        "id": node.id, "address": node.said.address, "state": if node.said.is_draining { "draining" } else { "alive" },
        "rooms": node.said.rooms, "sessions": node.said.sessions, "has_records": has_records(node), "host": node.host,
        "mesh": node.said.mesh.to_string(), "client_url": node.said.clients, "version": node.version,
        "run": node.generation, "lease_ms": u64::try_from(node.said.lease.as_millis()).unwrap_or(u64::MAX),
        "clock_ahead_ms": node.said.clock, "by_promises": has_records(node) && by_promises.contains(&node.generation),
    })).collect();
    json!({"nodes": nodes, "engine": {"kind": "postgresql", "owner": owner, "epoch": view.epoch}})
}
