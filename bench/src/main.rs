//! The figures of `make bench`: ours beside a bare server's, in the same run on the same machine, as a table and as
//! JSON in `bench/results/`. Every comparison alternates the two sides and takes the median, for machines are noisy.

mod bare;
mod compare;
mod core;
mod http;
mod media;
mod member;
mod mixed;
mod process;
mod sockets;

use std::fmt::Write as _;

use serde_json::{Value, json};

/// One line of the table.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    /// What it is held against, if anything was measured beside it.
    pub(crate) bare: Option<f64>,
    /// What `ours / bare` (or `ours` alone) is to be.
    pub(crate) target: Target,
}

pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Figure {
    /// The number the target is about.
    fn value(&self) -> f64 {
        self.bare.map_or(self.ours, |bare| self.ours / bare)
    }

    fn is_met(&self) -> bool {
        match self.target {
            Target::AtLeast(bound) => self.value() >= bound,
            Target::AtMost(bound) => self.value() <= bound,
        }
    }

    fn target(&self) -> String {
        match self.target {
            Target::AtLeast(bound) => format!(">= {bound}"),
            Target::AtMost(bound) => format!("<= {bound}"),
        }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "unit": self.unit, "ours": self.ours, "bare": self.bare, "value": self.value(),
            "target": self.target(), "met": self.is_met(),
        })
    }
}

/// What can be measured.
const PARTS: [&str; 5] = ["core", "http", "mixed", "sockets", "media"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["bare-http", members] => bare::http(members.parse()?).await,
        ["bare-sockets", size] => bare::sockets(size.parse()?).await,
        ["bare-media", ports] => media::bare::run(ports),
        ["compare", other] => compare::run(other.as_ref()).await,
        [] => all(&["core", "http", "mixed", "sockets"]).await,
        parts => all(parts).await,
    }
}

async fn all(parts: &[&str]) -> anyhow::Result<()> {
    if let Some(stranger) = parts.iter().find(|part| !PARTS.contains(part)) {
        anyhow::bail!("there is no part {stranger:?}; name some of {}, or none", PARTS.join(", "));
    }
    let mut figures = Vec::new();
    if parts.contains(&"core") {
        figures.extend(core::run()?);
    }
    if parts.contains(&"http") {
        figures.extend(http::run().await?);
    }
    if parts.contains(&"mixed") {
        figures.extend(mixed::run().await?);
    }
    if parts.contains(&"sockets") {
        figures.extend(sockets::run().await?);
    }
    if parts.contains(&"media") {
        figures.extend(media::run().await?);
    }
    let mut table = format!("{:<62} {:>12} {:>12} {:>8} {:>9}\n", "", "ours", "bare", "value", "target");
    for figure in &figures {
        let bare = figure.bare.map(|bare| format!("{bare:.0}")).unwrap_or_default();
        let name = format!("{} ({})", figure.name, figure.unit);
        let mark = if figure.is_met() { "" } else { "  <- missed" };
        let _ = writeln!(
            table,
            "{name:<62} {:>12.0} {bare:>12} {:>8.2} {:>9}{mark}",
            figure.ours,
            figure.value(),
            figure.target()
        );
    }
    println!("\n{table}");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    std::fs::create_dir_all(&folder)?;
    let results: Vec<Value> = figures.iter().map(Figure::json).collect();
    let file = folder.join(format!("{}.json", if parts.len() == 4 { "all".into() } else { parts.join("-") }));
    std::fs::write(file, serde_json::to_string_pretty(&results)? + "\n")?;
    Ok(())
}

/// The middle of an odd number of measurements.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
