//! `roomful callback`: set, list, delete.

use anyhow::{anyhow, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use store::{App, Callback};

use super::apps;
use super::show::{Format, Set, Table, say, say_json};
use crate::config::Config;
use crate::serve;
use crate::webhooks::{GROUPS, callback_group, callback_name, callback_receivers, check_callback};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Set who gets an app's event callbacks of a group; the running server knows at once
    Set {
        /// Which: 1 or room, 2 or media
        #[arg(long)]
        group: String,
        /// Where they are posted to; "" for nowhere, whatever the configuration file says
        #[arg(long)]
        url: String,
        /// What they are signed with: at most 32 letters and digits
        #[arg(long, default_value = "")]
        key: String,
        /// Of which app; the first if not given
        #[arg(long)]
        sdkappid: Option<u32>,
        #[command(flatten)]
        format: Format,
    },
    /// Show who gets which event callbacks
    List {
        /// Print a JSON array, with keys
        #[arg(long)]
        json: bool,
        /// Name the groups there are instead
        #[arg(long)]
        groups: bool,
    },
    /// Leave a group of an app to the configuration file again
    Delete {
        /// Which: 1 or room, 2 or media
        #[arg(long)]
        group: String,
        /// Of which app; the first if not given
        #[arg(long)]
        sdkappid: Option<u32>,
        #[command(flatten)]
        format: Format,
    },
}

impl Command {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let folder = &config.server.data;
        let place = &config.store.place(folder)?;
        let (app, format) = match self {
            Command::List { groups: true, .. } => {
                let heads = [("GROUP", Set::Number), ("NAME", Set::Whole), ("EVENTS", Set::Text)];
                let mut table = Table::new(&heads);
                for (number, name, events) in GROUPS {
                    table.row([number.to_string(), (*name).to_owned(), (*events).to_owned()]);
                }
                return table.print();
            }
            Command::List { json, .. } => {
                let all = place.read_apps()?;
                if json {
                    return say_json(&all.iter().map(|app| described(app, config)).collect::<Vec<_>>());
                }
                return all.iter().try_for_each(|app| show(app, config));
            }
            Command::Set { group, url, key, sdkappid, format } => {
                let group = callback_group(&group).map_err(|trouble| anyhow!(trouble))?;
                let mut app = apps::find(place, sdkappid)?;
                let callback = Callback { group, url, key };
                // A running server goes by its own configuration.
                let allow_private = config.webhooks.allow_private || serve::is_running(folder);
                check_callback(&callback, allow_private).map_err(|trouble| anyhow!(trouble))?;
                app.callbacks.retain(|known| known.group != group);
                app.callbacks.push(callback);
                app.callbacks.sort_by_key(|known| known.group);
                (app, format)
            }
            Command::Delete { group, sdkappid, format } => {
                let group = callback_group(&group).map_err(|trouble| anyhow!(trouble))?;
                let mut app = apps::find(place, sdkappid)?;
                if app.callbacks.iter().all(|known| known.group != group) {
                    let (id, name) = (app.sdkappid, callback_name(group));
                    bail!("app {id} has no receiver of its own for group {group} ({name})");
                }
                app.callbacks.retain(|known| known.group != group);
                (app, format)
            }
        };
        apps::save(place, &app).await?;
        if format.json {
            return say_json(&described(&app, config));
        }
        show(&app, config)
    }
}

fn described(app: &App, config: &Config) -> Value {
    json!({"sdkappid": app.sdkappid, "callbacks": callback_receivers(app, &config.callbacks.receivers())})
}

fn show(app: &App, config: &Config) -> anyhow::Result<()> {
    for Callback { group, url, key } in callback_receivers(app, &config.callbacks.receivers()) {
        let (app, name) = (app.sdkappid, callback_name(group));
        let signed = if key.is_empty() { "unsigned" } else { "signed" };
        match url.as_str() {
            "" => say(format_args!("app {app}: group {group} ({name}) has no receiver"))?,
            url => say(format_args!("app {app}: group {group} ({name}) to {url}, {signed}"))?,
        }
    }
    Ok(())
}
