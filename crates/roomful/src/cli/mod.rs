//! The command line. `serve` runs the server; everything else looks at a data folder or talks to the server on it.

mod apps;
mod callbacks;
mod cluster;
mod doctor;
mod keys;
mod load_test;
mod members;
mod migrate;
mod rooms;
mod show;
mod target;
mod top;
mod usersig;
mod webhooks;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use show::{Enough, Format, say, say_json};

use crate::config::{self, Config};
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
    /// A configuration file (TOML); `roomful settings` prints one with every key
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
        /// Be a node of the cluster on that database; the secret is ROOMFUL_CLUSTER__SECRET or cluster.secret_file
        #[arg(long, value_name = "ADDRESS")]
        cluster: Option<String>,
    },
    /// List the nodes of the cluster, empty this one, make a secret
    Cluster {
        #[command(subcommand)]
        command: cluster::Command,
    },
    /// List, make and change apps (tenants)
    App {
        #[command(subcommand)]
        command: apps::Command,
    },
    /// Make, list, disable and delete keys of the RTC API
    Key {
        #[command(subcommand)]
        command: keys::Command,
    },
    /// Sign or verify a UserSig
    Usersig(usersig::Options),
    /// List, make, look at, change and end rooms
    #[command(alias = "rooms")]
    Room {
        #[command(subcommand)]
        command: rooms::Command,
    },
    /// List, kick, ban, silence and seat the members of a room
    Member {
        #[command(subcommand)]
        command: members::Command,
    },
    /// List who is in a room, once or until interrupted
    Members(members::Members),
    /// Say something to everyone in a room
    Send(rooms::Send),
    /// Show the rooms with the most members, live
    Top(top::Top),
    /// Set who hears of an app's events, and see what became of them
    Webhook {
        #[command(subcommand)]
        command: webhooks::Command,
    },
    /// Set who gets an app's event callbacks of rooms and media
    Callback {
        #[command(subcommand)]
        command: callbacks::Command,
    },
    /// Write a consistent copy of the database, also while the server runs
    Backup {
        /// The file to write; it must not exist yet
        file: PathBuf,
        #[command(flatten)]
        format: Format,
    },
    /// Bring all records from a data folder into a PostgreSQL database, or back
    Migrate(migrate::Migrate),
    /// Check the configuration, ports, certificate, TURN, disk, clock and limits, and say what to do
    Doctor(doctor::Doctor),
    /// Print every setting with its default, as a configuration file
    Settings(Format),
    /// Put members, publishers and viewers on a server, and report what they saw
    LoadTest(load_test::LoadTest),
    /// Print what completes this command line in a shell
    Completions {
        /// Of which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual's pages, one for each command
    Man {
        /// Into this folder
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
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
    match cli.command {
        Command::Completions { shell } => return completions(shell),
        Command::Man { out } => return manual(&out),
        Command::Settings(Format { json: true }) => return say_json(&config::all()),
        Command::Settings(Format { json: false }) => return say(config::example().trim_end()),
        _ => {}
    }
    let mut config = Config::load(cli.common.config.as_deref(), std::env::vars_os());
    if let (Ok(config), Some(data)) = (&mut config, cli.common.data) {
        config.server.data = data;
    }
    if let Command::Doctor(doctor) = cli.command {
        return block_on(doctor.run(config));
    }
    let mut config = config?;
    let folder = config.server.data.clone();
    match cli.command {
        Command::Serve { listen, dev, cluster } => {
            config.server.listen = listen.unwrap_or(config.server.listen);
            if let Some(url) = cluster {
                config.join(url)?;
            }
            let logging = logging::start(&config.log)?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let result = match config.cluster.url.is_empty() {
                true => runtime.block_on(serve::run(config, dev, &logging)),
                false => runtime.block_on(crate::cluster::run(config, dev, &logging)),
            };
            logging.flush();
            result
        }
        Command::Usersig(options) => options.run(&config.store.place(&folder)?),
        Command::Migrate(migrate) => migrate.run(&config),
        Command::Backup { file, format } => {
            config.store.place(&folder)?.backup(&file)?;
            match format.json {
                true => say_json(&serde_json::json!({"file": file})),
                false => say(file.display()),
            }
        }
        Command::Cluster { command } => block_on(command.run(&folder, &config.store.place(&folder)?)),
        Command::App { command } => block_on(command.run(&config.store.place(&folder)?)),
        Command::Key { command } => block_on(command.run(&config.store.place(&folder)?)),
        Command::Room { command } => block_on(command.run(&folder)),
        Command::Member { command } => block_on(command.run(&folder)),
        Command::Send(send) => block_on(send.run(&folder)),
        Command::Top(top) => block_on(top.run(&folder)),
        Command::LoadTest(test) => {
            // Its clients have all cores.
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(test.run(&folder))
        }
        Command::Webhook { command } => block_on(command.run(&config)),
        Command::Callback { command } => block_on(command.run(&config)),
        Command::Members(members) => block_on(members.run(&folder)),
        // These need no data folder, and are done.
        Command::Doctor(_) | Command::Completions { .. } | Command::Man { .. } | Command::Settings(_) => {
            Ok(())
        }
    }
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "roomful", &mut text);
    say(String::from_utf8_lossy(&text).trim_end())
}

/// `roomful.1`, `roomful-room.1`, `roomful-room-create.1` and so on.
fn manual(folder: &Path) -> anyhow::Result<()> {
    let trouble = || format!("cannot write the manual into {}", folder.display());
    std::fs::create_dir_all(folder).with_context(trouble)?;
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), folder).with_context(trouble)
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    // Of one kind, whatever it is: a runtime for each kind is much to compile.
    let work: Pin<&mut dyn Future<Output = anyhow::Result<()>>> = pin!(work);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
