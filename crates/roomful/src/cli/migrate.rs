//! `roomful migrate`: all records from a data folder into a PostgreSQL database, or back.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use store::{Place, Target};

use super::show::{Format, say, say_json};
use crate::config::Config;
use crate::control;

#[derive(Args)]
pub(super) struct Migrate {
    /// Where the records are: a data folder, or postgresql://user@host/database
    #[arg(long, value_name = "DIR or ADDRESS")]
    from: String,
    /// Where they are to be; nothing may be there yet
    #[arg(long, value_name = "DIR or ADDRESS")]
    to: String,
    #[command(flatten)]
    format: Format,
}

impl Migrate {
    pub(super) fn run(self, config: &Config) -> anyhow::Result<()> {
        let folder = match (Target::is_url(&self.from), Target::is_url(&self.to)) {
            (false, true) => PathBuf::from(&self.from),
            (true, false) => PathBuf::from(&self.to),
            _ => bail!("one of --from and --to is a data folder, the other the address of a database"),
        };
        let place = |text: &str| match Target::is_url(text) {
            true => config.store.place_at(&folder, text),
            false => Ok(Place::Folder(folder.clone())),
        };
        let (from, to) = (place(&self.from)?, place(&self.to)?);
        let _lock = control::lock(&folder)?;
        let bar = ProgressBar::no_length().with_style(ProgressStyle::with_template(
            "{spinner} {pos} of {len} records [{bar:40}] {eta} left",
        )?);
        let amounts = store::migrate(&from, &to, &mut |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        let amounts = amounts?;
        if self.format.json {
            return say_json(&json!({
                "apps": amounts.apps, "accounts": amounts.accounts, "rooms": amounts.rooms,
                "rows_of_rooms": amounts.rows_of_rooms, "sessions": amounts.sessions, "events": amounts.events,
                "compared": amounts.scopes,
            }));
        }
        say(format_args!(
            "{} apps, {} accounts, {} rooms with {} messages, records and members, {} sessions and {} events were brought; \
             all {} apps and rooms are the same on both sides",
            amounts.apps,
            amounts.accounts,
            amounts.rooms,
            amounts.rows_of_rooms,
            amounts.sessions,
            amounts.events,
            amounts.scopes
        ))?;
        match &to {
            Place::Database { target, .. } => say(format_args!(
                "start the server with ROOMFUL_STORE__URL={target}; roomful.db in {} is as it was, and not used any more",
                folder.display()
            )),
            Place::Folder(_) => say(format_args!(
                "start the server without store.url; what is in the database is as it was, and not used any more"
            )),
        }
    }
}
