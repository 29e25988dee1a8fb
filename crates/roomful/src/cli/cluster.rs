//! `roomful cluster`: who its nodes are, a node that is to have nothing any more, a secret for a new one.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use clap::Subcommand;
use serde_json::{Value, json};
use store::{Cluster, Known, Place};

use super::show::{Format, Set, Table, say, say_json};
use crate::cluster::lost;
use crate::{cluster, control};

/// How often a node that drains is asked whether it is empty.
const LOOK: Duration = Duration::from_millis(200);

/// How long it may be between two processes.
const MOST_SILENT: Duration = Duration::from_secs(30);

#[derive(Subcommand)]
pub(super) enum Command {
    /// List the nodes: where they are, what they have, and which has the records
    Status {
        /// Somebody has read what this node says of a database that lost what it had acknowledged
        #[arg(long)]
        acknowledge: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Hand over what the node on this data folder has, and send its members elsewhere; ends when it is empty
    Drain {
        #[command(flatten)]
        format: Format,
    },
    /// Print a secret for a new cluster
    Secret {
        #[command(flatten)]
        format: Format,
    },
}

impl Command {
    pub(super) async fn run(self, folder: &Path, place: &Place) -> anyhow::Result<()> {
        match self {
            Command::Status { acknowledge, format } => {
                if acknowledge {
                    lost::acknowledge(folder)?;
                }
                status(folder, place, &format).await
            }
            Command::Drain { format } => {
                drain(folder).await?;
                if format.json { say_json(&json!({"is_empty": true})) } else { say("the node is empty") }
            }
            Command::Secret { format } => {
                let secret = cluster::fresh_secret()?;
                if format.json { say_json(&json!({"secret": secret})) } else { say(secret) }
            }
        }
    }
}

async fn status(folder: &Path, place: &Place, format: &Format) -> anyhow::Result<()> {
    let Place::Database { target, .. } = place else {
        bail!("this server is a node of no cluster: its records are in its data folder");
    };
    let Cluster { view, nodes } = store::nodes(target).await?;
    let has_records = |node: &Known| node.generation == view.owner;
    let lost = lost::noted(folder);
    if format.json {
        let owner = nodes.iter().find(|node| has_records(node)).map(|node| node.id.clone());
        let nodes: Vec<Value> = nodes.iter().map(|node| json!({
            "id": node.id, "address": node.said.address, "state": state(node), "rooms": node.said.rooms,
            "sessions": node.said.sessions, "has_records": has_records(node), "host": node.host,
            "mesh": node.said.mesh.to_string(), "client_url": node.said.clients, "version": node.version,
            "run": node.generation, "lease_ms": u64::try_from(node.said.lease.as_millis()).unwrap_or(u64::MAX),
            "clock_ahead_ms": node.said.clock,
        })).collect();
        return say_json(&json!({
            "nodes": nodes, "lost": lost.as_deref().map(str::trim),
            "engine": {"kind": "postgresql", "address": target.shown(), "owner": owner, "epoch": view.epoch},
        }));
    }
    let mut table = Table::new(&[
        ("NODE", Set::Whole),
        ("ADDRESS", Set::Whole),
        ("STATE", Set::Text),
        ("ROOMS", Set::Number),
        ("SESSIONS", Set::Number),
        ("RECORDS", Set::Text),
        ("CLOCK", Set::Number),
    ]);
    for node in &nodes {
        let Known { id, said, .. } = node;
        let records = if has_records(node) { "here" } else { "" };
        table.row([
            id.clone(),
            said.address.clone(),
            state(node).into(),
            said.rooms.to_string(),
            said.sessions.to_string(),
            records.into(),
            format!("{:+} ms", said.clock),
        ]);
    }
    table.print()?;
    if !nodes.iter().any(has_records) {
        say("no node has the records at the moment")?;
    }
    if let Some(lost) = lost {
        say(format!("{lost}Once that was read: roomful cluster status --acknowledge"))?;
    }
    Ok(())
}

fn state(node: &Known) -> &'static str {
    if node.said.is_draining { "draining" } else { "alive" }
}

async fn drain(folder: &Path) -> anyhow::Result<()> {
    control::call(folder, "/control/cluster/drain", Some(&json!({}))).await?;
    let mut silent_since = None;
    loop {
        match control::call(folder, "/control/cluster", None).await {
            Ok(state) if state.get("is_empty") == Some(&Value::Bool(true)) => return Ok(()),
            Ok(_) => silent_since = None,
            // Between handing over and beginning again nobody answers.
            Err(error) => {
                let since: &tokio::time::Instant = silent_since.get_or_insert_with(tokio::time::Instant::now);
                if since.elapsed() > MOST_SILENT {
                    return Err(error.context("the node has ended meanwhile"));
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
