//! What came of it: a table for people, and a file a part in `bench/results/`, each with the machine it was measured on.

use std::fmt::Write as _;
use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::figure::Figure;

/// What the figures are true of. Nothing of it names the machine.
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    memory_gib: f64,
    kernel: String,
    date: String,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let field = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
            value.map_or_else(|| "unknown".into(), |value| value.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal");
        let kib: f64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        // All there are, also where this program may use only some.
        let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        Self {
            cpu: field("/proc/cpuinfo", "model name"),
            cores: cpus.lines().filter(|line| line.starts_with("processor")).count(),
            memory_gib: (kib / 1024.0 / 1024.0 * 10.0).round() / 10.0,
            kernel: kernel.trim().to_owned(),
            date: now.split('T').next().unwrap_or_default().to_owned(),
        }
    }

    fn json(&self) -> Value {
        json!({
            "cpu": self.cpu, "cores": self.cores, "memory_gib": self.memory_gib, "kernel": self.kernel,
            "date": self.date,
        })
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cpu, cores, memory_gib, kernel, date } = self;
        write!(f, "{cpu}, {cores} cores, {memory_gib} GiB, Linux {kernel}, {date}")
    }
}

/// One part's figures, as its file.
pub(crate) fn write(part: &str, machine: &Machine, figures: &[Figure]) -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    std::fs::create_dir_all(&folder)?;
    let figures: Vec<Value> = figures.iter().map(Figure::json).collect();
    let result = json!({"machine": machine.json(), "figures": figures});
    Ok(std::fs::write(folder.join(format!("{part}.json")), serde_json::to_string_pretty(&result)? + "\n")?)
}

pub(crate) fn table(machine: &Machine, figures: &[Figure]) -> String {
    let mut table =
        format!("{machine}\n\n{:<86} {:>10} {:>10} {:>8} {:>9}\n", "", "ours", "bare", "value", "target");
    for figure in figures {
        let _ = match figure {
            Figure::Skipped { name, why } => writeln!(table, "{name:<86} skipped: {why}"),
            Figure::Measured(found) => writeln!(
                table,
                "{:<86} {:>10} {:>10} {:>8} {:>9}{}",
                format!("{} ({})", found.name, found.unit),
                short(found.ours),
                found.bare.map(short).unwrap_or_default(),
                short(found.value),
                found.target,
                if found.is_met() { "" } else { "  <- missed" }
            ),
        };
    }
    table
}

/// Three figures of it, or all before the point.
fn short(value: f64) -> String {
    match value.abs() {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
