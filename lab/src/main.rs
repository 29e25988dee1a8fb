//! The network lab: real browsers publish and watch over links as people have them, and what they themselves count is held
//! against what must be. See `lab/README.md`.
//!
//! `run.sh` gives the lab namespaces of its own; everything here relies on that.

mod flood;
mod judge;
mod link;
mod page;
mod report;
mod run;
mod scenarios;
mod seen;
mod servers;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;

use report::{Report, Row};
use scenarios::Cast;
use servers::Kind;

/// Real browsers on the networks people have.
#[derive(Parser)]
struct Options {
    /// Which scenarios, by number or name, separated by commas; all without it.
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<String>,
    /// How long each runs. Moments of the table move with it.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(8..=600))]
    seconds: u64,
    /// The server to measure; the one built beside this program without it.
    #[arg(long)]
    server: Option<PathBuf>,
    /// Where report.json and report.html go.
    #[arg(long, default_value = "target/lab")]
    out: PathBuf,
    /// Measures nothing beside.
    #[arg(long)]
    alone: bool,
    /// Prints the table of scenarios, and ends.
    #[arg(long)]
    list: bool,
    /// How the download of the scenarios that have one finds its rate.
    #[arg(long, value_enum, default_value_t)]
    tcp: run::Tcp,
    #[arg(long, hide = true)]
    download: Option<String>,
    #[command(flatten)]
    flood: flood::Flood,
}

impl Options {
    fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    if let Some(address) = &options.download {
        run::fetch(address)?;
        return Ok(ExitCode::SUCCESS);
    }
    if options.flood.is_asked() {
        options.flood.run()?;
        return Ok(ExitCode::SUCCESS);
    }
    let length = options.length();
    let all = scenarios::all(length);
    if options.list {
        for scenario in &all {
            println!("{:>4} {:<20} {:?}", scenario.row, scenario.name, scenario.must);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let is_asked = |scenario: &scenarios::Scenario| {
        let named = |name: &String| name == scenario.row || name == scenario.name;
        options.scenario.is_empty() || options.scenario.iter().any(named)
    };
    let asked: Vec<_> = all.iter().filter(|scenario| is_asked(scenario)).collect();
    for name in &options.scenario {
        let is_known = all.iter().any(|scenario| name == scenario.row || name == scenario.name);
        anyhow::ensure!(is_known, "there is no scenario {name}; --list names them");
    }
    let binary = match &options.server {
        Some(path) => path.clone(),
        None => servers::built()?,
    };
    let mut kinds = vec![Kind::Roomful];
    if !options.alone && servers::has_janus() {
        kinds.push(Kind::Janus);
    }
    fs::create_dir_all(&options.out).with_context(|| format!("making {}", options.out.display()))?;
    let wire = wire::Wire::lay()?;
    let mut report =
        Report { server: version(&binary)?, seconds: length.as_secs_f64(), scenarios: Vec::new() };
    let mut unmet = 0;
    for scenario in asked {
        let mut row = Row {
            row: scenario.row.into(),
            name: scenario.name.into(),
            tcp: scenario.beside_tcp.then(|| options.tcp.name()),
            runs: Vec::new(),
            behind: Vec::new(),
        };
        for kind in kinds.iter().filter(|kind| scenario.cast != Cast::Flooded || **kind == Kind::Roomful) {
            println!("{} {} ({})", scenario.row, scenario.name, kind.name());
            let run = run::run(scenario, *kind, &binary, &wire, &options)
                .with_context(|| format!("scenario {} with {}", scenario.name, kind.name()))?;
            let measured = report::measured(scenario, &run);
            print(&measured);
            row.runs.push(measured);
        }
        if let [ours, theirs] = row.runs.as_slice() {
            row.behind = report::behind(ours, theirs);
            row.behind.iter().for_each(|sentence| println!("    behind: {sentence}"));
        }
        let ours = row.runs.first().map(|ours| ours.figures.as_slice()).unwrap_or_default();
        unmet += usize::from(ours.iter().any(|figure| !figure.is_met));
        report.scenarios.push(row);
        // After each, so that a run that is broken off leaves what it has.
        write(&options.out, &report)?;
    }
    let count = report.scenarios.len();
    println!(
        "{} of {count} scenarios are as they must be; see {}/report.html",
        count - unmet,
        options.out.display()
    );
    Ok(if unmet == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn version(binary: &Path) -> anyhow::Result<String> {
    let output = Command::new(binary).arg("--version").output();
    let output = output.with_context(|| format!("{} cannot run", binary.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn print(measured: &report::Measured) {
    for figure in &measured.figures {
        let sign = if figure.is_met { "ok " } else { "NOT" };
        println!("    {sign} {:<36} {:>10} ({})", figure.what, figure.got, figure.wanted);
    }
    measured.troubles.iter().for_each(|trouble| println!("    trouble: {trouble}"));
}

fn write(folder: &Path, report: &Report) -> anyhow::Result<()> {
    fs::write(folder.join("report.json"), serde_json::to_string_pretty(report)?)?;
    fs::write(folder.join("report.html"), page::render(report))?;
    Ok(())
}
