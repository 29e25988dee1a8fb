//! The command line. `serve` runs the server; everything else looks at a data folder or talks to the server on it.

mod apps;
mod rooms;
mod usersig;
mod webhooks;

use std::fmt::Display;
use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::{logging, serve};

/// Roomful: a self-hosted live-room server.
#[derive(Parser)]
#[command(name = "roomful", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// Options of every command.
#[derive(Args)]
pub(crate) struct Common {
    /// The data folder [default: data]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A configuration file (TOML); roomful.example.toml shows every key
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve {
        /// Where to listen [default: 127.0.0.1:8480]
        #[arg(long, value_name = "ADDR:PORT")]
        listen: Option<SocketAddr>,
        /// For development: the page at / signs in by a name alone, on this machine
        #[arg(long)]
        dev: bool,
    },
    /// List, make and change apps (tenants)
    App {
        #[command(subcommand)]
        command: apps::Command,
    },
    /// Sign or verify a UserSig
    Usersig(usersig::Options),
    /// Look at rooms of the running server
    Rooms {
        #[command(subcommand)]
        command: rooms::Command,
    },
    /// List who is in a room of the running server
    Members(rooms::Members),
    /// Set who hears of an app's events, and see what became of them
    Webhook {
        #[command(subcommand)]
        command: webhooks::Command,
    },
    /// Write a consistent copy of the database, also while the server runs
    Backup {
        /// The file to write; it must not exist yet
        file: PathBuf,
    },
}

pub(crate) fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Enough>() => ExitCode::SUCCESS,
        Err(error) => {
            // A macro would panic where nobody reads it.
            let _ = writeln!(std::io::stderr(), "roomful: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let mut config = Config::load(cli.common.config.as_deref(), std::env::vars())?;
    if let Some(data) = cli.common.data {
        config.server.data = data;
    }
    let folder = config.server.data.clone();
    match cli.command {
        Command::Serve { listen, dev } => {
            config.server.listen = listen.unwrap_or(config.server.listen);
            let logging = logging::start(&config.log)?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let result = runtime.block_on(serve::run(config, dev, &logging));
            logging.flush();
            result
        }
        Command::Usersig(options) => options.run(&folder),
        Command::Backup { file } => {
            store::backup(&folder, &file)?;
            say(file.display())?;
            Ok(())
        }
        Command::App { command } => block_on(command.run(&folder)),
        Command::Rooms { command } => block_on(command.run(&folder)),
        Command::Webhook { command } => block_on(command.run(&config)),
        Command::Members(members) => block_on(members.run(&folder)),
    }
}

/// Whoever reads the output has had enough of it (`| head`), which is no failure.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads on")]
struct Enough;

/// Prints a line of what was asked for.
fn say(line: impl Display) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Enough.into()),
        written => written.context("the output cannot be written"),
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
