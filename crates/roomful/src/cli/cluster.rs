//! `roomful cluster`: who its nodes are, a node that is to have nothing any more, a secret for a new one.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use clap::Subcommand;
use serde_json::{Value, json};
use store::Place;

use super::show::{Format, Set, Table, say, say_json};
use crate::cluster::lost;
use crate::{cluster, control};

/// How often a node that drains is asked whether it is empty.
const LOOK: Duration = Duration::from_millis(200);

/// How long it may be between two processes.
const MOST_SILENT: Duration = Duration::from_secs(30);

const NO_CLUSTER: &str = "this server is a node of no cluster: its records are in its data folder";

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
    /// Say that a node is gone for good: the others take over from it at once, rather than after two minutes. Needed only where all
    /// nodes that it knew of are gone as well; one that lives is refused
    Forget {
        /// The node's id, as `status` names it
        node: String,
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
            Command::Forget { node, format } => {
                forget(place, &node).await?;
                if format.json { say_json(&json!({"forgotten": node})) } else { say("the node is forgotten") }
            }
            Command::Secret { format } => {
                let secret = cluster::fresh_secret()?;
                if format.json { say_json(&json!({"secret": secret})) } else { say(secret) }
            }
        }
    }
}

async fn status(folder: &Path, place: &Place, format: &Format) -> anyhow::Result<()> {
    let Place::Database { target, .. } = place else { bail!(NO_CLUSTER) };
    let of_node = control::call(folder, "/control/cluster/known", None).await.ok();
    let (mut shown, away) = match (store::nodes(target).await, of_node) {
        (Ok(all), known) => (cluster::listed(&all, &by_promises(known.as_ref())), None),
        (Err(store::Error::Away(why)), Some(known)) => (known, Some(why)),
        (Err(error), _) => return Err(error.into()),
    };
    let lost = lost::noted(folder);
    if format.json {
        if let Some(all) = shown.as_object_mut() {
            all.insert("lost".into(), lost.as_deref().map(str::trim).into());
        }
        if let Some(engine) = shown.get_mut("engine").and_then(Value::as_object_mut) {
            engine.insert("address".into(), target.shown().into());
            engine.extend(away.map(|why| ("away".to_owned(), why.into())));
        }
        return say_json(&shown);
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
    let text = |node: &Value, field: &str| node[field].as_str().unwrap_or_default().to_owned();
    let nodes = shown.get("nodes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for node in nodes {
        let records = match (node["has_records"] == true, node["by_promises"] == true) {
            (true, true) => "here, by promises",
            (true, false) => "here",
            _ => "",
        };
        table.row([
            text(node, "id"),
            text(node, "address"),
            text(node, "state"),
            node["rooms"].to_string(),
            node["sessions"].to_string(),
            records.into(),
            format!("{:+} ms", node["clock_ahead_ms"].as_i64().unwrap_or_default()),
        ]);
    }
    table.print()?;
    if let Some(away) = away {
        say(format!("the database cannot be reached ({away}): this is what the node on this folder knows"))?;
    }
    if !nodes.iter().any(|node| node["has_records"] == true) {
        say("no node has the records at the moment")?;
    }
    if let Some(lost) = lost {
        say(format!("{lost}Once that was read: roomful cluster status --acknowledge"))?;
    }
    Ok(())
}

/// The runs of which the node on this folder knows that they go on without the database.
fn by_promises(known: Option<&Value>) -> Vec<i64> {
    let nodes = known.and_then(|known| known["nodes"].as_array()).map_or(&[][..], Vec::as_slice);
    nodes.iter().filter(|node| node["by_promises"] == true).filter_map(|node| node["run"].as_i64()).collect()
}

async fn forget(place: &Place, node: &str) -> anyhow::Result<()> {
    let Place::Database { target, .. } = place else { bail!(NO_CLUSTER) };
    if !store::forget(target, node).await? {
        bail!("there is no node {node:?} that has not ended: `roomful cluster status` names them");
    }
    Ok(())
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
