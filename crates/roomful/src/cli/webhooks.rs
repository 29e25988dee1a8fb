//! `roomful webhook`: set, list, test, failed, replay.

use anyhow::{anyhow, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use store::Webhook;

use super::apps;
use super::show::{Format, Set, Table, say, say_json};
use crate::config::Config;
use crate::webhooks::{self, Sender, check_url, unknown_event};
use crate::{control, serve};

/// How many dead letters one call to the server names.
const REPLAYED_AT_ONCE: usize = 10_000;

/// How many dead letters make a table; more make more of them, since they may be more than memory holds.
const LISTED_AT_ONCE: usize = 1000;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Set who hears of an app's events; the running server knows at once
    Set {
        /// Where events are posted to; "" for nowhere
        #[arg(long)]
        url: String,
        /// An event that is sent (repeatable); all if not given. `roomful webhook list --events` names them
        #[arg(long = "event", value_name = "NAME")]
        events: Vec<String>,
        /// The secret of the signatures
        #[arg(long, default_value = "")]
        token: String,
        /// Of which app; the first if not given
        #[arg(long)]
        sdkappid: Option<u32>,
        #[command(flatten)]
        format: Format,
    },
    /// Show who hears of which events
    List {
        /// Print a JSON array, with tokens
        #[arg(long)]
        json: bool,
        /// Name the events there are instead
        #[arg(long)]
        events: bool,
    },
    /// Send a test event to an app's receiver, and say how it answered
    Test {
        /// Of which app; the first if not given
        #[arg(long)]
        sdkappid: Option<u32>,
        #[command(flatten)]
        format: Format,
    },
    /// List the dead letters: events that were given up
    Failed {
        /// Print a JSON array, with bodies
        #[arg(long)]
        json: bool,
    },
    /// Send dead letters again
    Replay {
        /// Which, as `failed` shows them; all if not given
        ids: Vec<String>,
        #[command(flatten)]
        format: Format,
    },
}

impl Command {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let folder = &config.server.data;
        let place = &config.store.place(folder)?;
        match self {
            Command::Set { url, events, token, sdkappid, format } => {
                let mut app = apps::find(place, sdkappid)?;
                // A running server goes by its own configuration.
                if !url.is_empty() && !serve::is_running(folder) {
                    check_url(&url, config.webhooks.allow_private).map_err(|trouble| anyhow!(trouble))?;
                }
                if let Some(trouble) = unknown_event(&events) {
                    bail!(trouble);
                }
                app.webhook = Some(Webhook { url, events, token });
                apps::save(place, &app).await?;
                if format.json {
                    return say_json(&described(&app, config));
                }
                show(&app, config)
            }
            Command::List { events: true, .. } => {
                let mut table = Table::new(&[("EVENT", Set::Whole), ("WHEN", Set::Text)]);
                webhooks::EVENTS.iter().for_each(|(name, when)| table.row([*name, *when].map(String::from)));
                table.print()
            }
            Command::List { json, .. } => {
                let all = place.read_apps()?;
                if json {
                    return say_json(&all.iter().map(|app| described(app, config)).collect::<Vec<_>>());
                }
                all.iter().try_for_each(|app| show(app, config))
            }
            Command::Test { sdkappid, format } => test(config, sdkappid, &format).await,
            Command::Failed { json } => {
                // One by one: they may be more than memory holds.
                if json {
                    let (mut separator, mut printed) = ("[\n", Ok(()));
                    place.for_each_failed_event(|event| {
                        if printed.is_ok() {
                            let json = serde_json::to_string(&event).unwrap_or_default();
                            printed = say(format_args!("{separator}{json}"));
                        }
                        separator = ",\n";
                    })?;
                    printed?;
                    return say(if separator == "[\n" { "[]" } else { "]" });
                }
                let heads = [
                    ("ID", Set::Number),
                    ("APP", Set::Number),
                    ("TIME", Set::Number),
                    ("EVENT", Set::Text),
                    ("SUBJECT", Set::Text),
                ];
                let (mut table, mut printed) = (Table::new(&heads), Ok(()));
                place.for_each_failed_event(|event| {
                    let (id, app, time) = (event.id, event.sdkappid, event.at.unix_seconds());
                    table.row([
                        id.to_string(),
                        app.to_string(),
                        time.to_string(),
                        event.command,
                        event.subject,
                    ]);
                    if table.len() >= LISTED_AT_ONCE && printed.is_ok() {
                        printed = std::mem::replace(&mut table, Table::new(&heads)).print();
                    }
                })?;
                printed?;
                table.print()
            }
            Command::Replay { ids, format } => {
                let ids: Vec<u64> = match ids.is_empty() {
                    true => place.failed_event_ids()?,
                    false => ids.iter().map(|id| Ok(id.parse()?)).collect::<anyhow::Result<_>>()?,
                };
                let mut replayed = 0;
                for ids in ids.chunks(REPLAYED_AT_ONCE) {
                    let answer = control::call(folder, "/control/webhooks/replay", Some(&json!(ids))).await?;
                    replayed += answer.get("replayed").and_then(Value::as_u64).unwrap_or(0);
                }
                if format.json {
                    return say_json(&json!({"replayed": replayed}));
                }
                say(format_args!("{replayed} events are sent again"))
            }
        }
    }
}

fn receiver(app: &store::App, config: &Config) -> Webhook {
    app.webhook.clone().unwrap_or_else(|| config.webhooks.default_receiver())
}

fn described(app: &store::App, config: &Config) -> Value {
    json!({"sdkappid": app.sdkappid, "webhook": receiver(app, config)})
}

fn show(app: &store::App, config: &Config) -> anyhow::Result<()> {
    let Webhook { url, events, token } = receiver(app, config);
    if url.is_empty() {
        return say(format_args!("app {}: no receiver, so that nobody hears of its events", app.sdkappid));
    }
    let events = if events.is_empty() { "all events".into() } else { events.join(", ") };
    let signed = if token.is_empty() { "unsigned" } else { "signed" };
    say(format_args!("app {}: {events} to {url}, {signed}", app.sdkappid))
}

/// By the running server, whose network it is about; else from here.
async fn test(config: &Config, sdkappid: Option<u32>, format: &Format) -> anyhow::Result<()> {
    let folder = &config.server.data;
    let app = apps::find(&config.store.place(folder)?, sdkappid)?;
    let answer = if serve::is_running(folder) {
        let path = format!("/control/webhooks/test/{}", app.sdkappid);
        let answer = control::call(folder, &path, Some(&json!({}))).await?;
        answer.get("answer").and_then(Value::as_str).unwrap_or_default().to_string()
    } else {
        let sender = Sender::new(config.webhooks.allow_private);
        let answer = webhooks::test(&sender, app.sdkappid, &receiver(&app, config)).await;
        answer.map_err(|trouble| anyhow!(trouble))?
    };
    if format.json {
        return say_json(&json!({"answer": answer}));
    }
    say(format_args!("the receiver answered: {answer}"))
}
