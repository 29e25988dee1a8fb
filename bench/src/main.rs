//! The figures of `make bench`: ours beside a bare server's, in the same run on the same machine, as a table and as
//! JSON in `bench/results/`. Every comparison alternates the two sides and takes the median, for machines are noisy; and
//! wherever it can it counts computing time, which does not depend on who else wants the cores.

mod bare;
mod calls;
mod churn;
mod cluster;
mod compare;
mod core;
mod disk;
mod figure;
mod history;
mod http;
mod logins;
mod media;
mod member;
mod mixed;
mod nginx;
mod one_room;
mod process;
mod quality;
mod report;
mod sockets;

/// What can be measured; what is measured when nothing is named, and what on top of that.
const USUAL: [&str; 7] = ["core", "http", "mixed", "logins", "sockets", "history", "quality"];
const ON_TOP: [&str; 5] = ["media", "cluster", "cluster-takeover", "cluster-message", "cluster-media"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["bare-http", members] => bare::http(members.parse()?).await,
        ["bare-sockets", size] => bare::sockets(size.parse()?).await,
        ["bare-media", ports] => media::bare::run(ports),
        ["compare", other] => compare::run(other.as_ref(), "").await,
        ["compare", other, only] => compare::run(other.as_ref(), only).await,
        [] => all(&USUAL).await,
        parts => all(parts).await,
    }
}

async fn all(parts: &[&str]) -> anyhow::Result<()> {
    let known = [USUAL.as_slice(), &ON_TOP].concat();
    if let Some(stranger) = parts.iter().find(|part| !known.contains(part)) {
        anyhow::bail!("there is no part {stranger:?}; name some of {}, or none", known.join(", "));
    }
    let machine = report::Machine::this();
    let mut all = Vec::new();
    for part in parts {
        let figures = match *part {
            "core" => core::run().await?,
            "http" => http::run().await?,
            "mixed" => {
                let server = mixed::prepared().await?;
                let mut figures = mixed::run(&server).await?;
                figures.push(one_room::run(&server).await?);
                figures
            }
            "logins" => logins::run().await?,
            "sockets" => sockets::run().await?,
            "history" => history::run().await?,
            "quality" => quality::run().await?,
            "cluster" => cluster::calls().await?,
            "cluster-takeover" => cluster::takeover().await?,
            "cluster-message" => cluster::message().await?,
            "cluster-media" => cluster::media().await?,
            _ => media::run().await?,
        };
        // At once, so that what was measured is kept whatever becomes of the rest.
        report::write(part, &machine, &figures)?;
        all.extend(figures);
    }
    println!("\n{}", report::table(&machine, &all));
    Ok(())
}
