//! `roomful key`: the keys of the RTC API. A SecretKey is shown once, when it is made.

use anyhow::{Context as _, bail};
use clap::Subcommand;
use rooms::SdkAppId;
use serde::Serialize;
use serde_json::json;
use store::{ApiKey, Change, Place, Store as _};

use super::show::{Format, Set, Table, say, say_json};
use crate::{clock, control, keys, rtc, serve};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a key, and show it: its SecretKey is shown this once
    Create {
        /// An app that it acts on (repeatable); all apps if none is given
        #[arg(long = "app", value_name = "ID")]
        apps: Vec<u32>,
        /// An action that it may call (repeatable); all actions if none is given
        #[arg(long = "action", value_name = "NAME")]
        actions: Vec<String>,
        #[command(flatten)]
        format: Format,
    },
    /// List the keys, without their SecretKeys
    List {
        #[command(flatten)]
        format: Format,
    },
    /// Let a key open nothing, until it is enabled again
    Disable {
        /// Its SecretId
        secret_id: String,
        #[command(flatten)]
        format: Format,
    },
    /// Let a key that was disabled open again what it did
    Enable {
        /// Its SecretId
        secret_id: String,
        #[command(flatten)]
        format: Format,
    },
    /// Delete a key
    Delete {
        /// Its SecretId
        secret_id: String,
        #[command(flatten)]
        format: Format,
    },
}

/// A key as it is shown when it is made.
#[derive(Serialize)]
struct Made<'a> {
    secret_id: &'a str,
    secret_key: &'a str,
    apps: &'a [SdkAppId],
    actions: &'a [String],
}

/// A key as it is listed.
#[derive(Serialize)]
struct Listed<'a> {
    secret_id: &'a str,
    apps: &'a [SdkAppId],
    actions: &'a [String],
    is_disabled: bool,
    /// Unix seconds.
    created_at: u64,
}

impl<'a> Listed<'a> {
    fn of(key: &'a ApiKey) -> Self {
        let ApiKey { secret_id, apps, actions, is_disabled, created_at, .. } = key;
        Self { secret_id, apps, actions, is_disabled: *is_disabled, created_at: created_at.unix_seconds() }
    }
}

impl Command {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<()> {
        match self {
            Command::Create { apps, actions, format } => create(place, apps, actions, &format).await,
            Command::List { format } => list(place, &format),
            Command::Disable { secret_id, format } => set_disabled(place, &secret_id, true, &format).await,
            Command::Enable { secret_id, format } => set_disabled(place, &secret_id, false, &format).await,
            Command::Delete { secret_id, format } => {
                let key = find(place, &secret_id)?;
                let change = Change::DeleteApiKey(key.secret_id.clone());
                write(place, "/control/keys/delete", &key.secret_id, change).await?;
                tell(&key, "deleted", &format)
            }
        }
    }
}

async fn create(
    place: &Place,
    mut apps: Vec<u32>,
    actions: Vec<String>,
    format: &Format,
) -> anyhow::Result<()> {
    apps.sort_unstable();
    apps.dedup();
    let known = if place.is_new() { Vec::new() } else { place.read_apps()? };
    if let Some(unknown) = apps.iter().find(|id| known.iter().all(|app| app.sdkappid.0 != **id)) {
        bail!("there is no app {unknown}; see `roomful app list`");
    }
    for action in &actions {
        if !rtc::is_action(action) {
            let nearest = rtc::action_names().min_by_key(|name| strsim::damerau_levenshtein(name, action));
            bail!("there is no action {action}; did you mean {}?", nearest.unwrap_or_default());
        }
    }
    let (secret_id, secret_key) = keys::new_pair()?;
    let apps = apps.into_iter().map(SdkAppId).collect();
    let key = ApiKey { secret_id, secret_key, apps, actions, is_disabled: false, created_at: clock::now() };
    write(place, "/control/keys", &key, Change::PutApiKey(key.clone())).await?;
    let ApiKey { secret_id, secret_key, apps, actions, .. } = &key;
    let made = Made { secret_id, secret_key, apps, actions };
    match format.json {
        true => say_json(&made),
        false => say(format_args!(
            "SecretId   {secret_id}\nSecretKey  {secret_key}\nApps       {}\nActions    {}",
            apps_of(&key),
            actions_of(&key)
        )),
    }
}

fn list(place: &Place, format: &Format) -> anyhow::Result<()> {
    let keys = place.read_api_keys()?;
    if format.json {
        return say_json(&keys.iter().map(Listed::of).collect::<Vec<_>>());
    }
    let columns =
        [("SECRETID", Set::Text), ("STATE", Set::Text), ("APPS", Set::Text), ("ACTIONS", Set::Text)];
    let mut table = Table::new(&columns);
    for key in &keys {
        table.row([key.secret_id.clone(), state_of(key).into(), apps_of(key), actions_of(key)]);
    }
    table.print()
}

fn state_of(key: &ApiKey) -> &'static str {
    if key.is_disabled { "disabled" } else { "enabled" }
}

fn apps_of(key: &ApiKey) -> String {
    let apps: Vec<String> = key.apps.iter().map(ToString::to_string).collect();
    if apps.is_empty() { "all".into() } else { apps.join(", ") }
}

fn actions_of(key: &ApiKey) -> String {
    if key.actions.is_empty() { "all".into() } else { key.actions.join(", ") }
}

fn find(place: &Place, secret_id: &str) -> anyhow::Result<ApiKey> {
    let key = place.read_api_keys()?.into_iter().find(|key| key.secret_id == secret_id);
    key.with_context(|| format!("there is no key {secret_id}; see `roomful key list`"))
}

async fn set_disabled(
    place: &Place,
    secret_id: &str,
    is_disabled: bool,
    format: &Format,
) -> anyhow::Result<()> {
    let key = ApiKey { is_disabled, ..find(place, secret_id)? };
    write(place, "/control/keys", &key, Change::PutApiKey(key.clone())).await?;
    tell(&key, state_of(&key), format)
}

/// What has become of a key; in JSON, what it was or is.
fn tell(key: &ApiKey, done: &str, format: &Format) -> anyhow::Result<()> {
    if format.json {
        return say_json(&Listed::of(key));
    }
    say(format_args!("key {} is {done}", key.secret_id))
}

/// Through the running server, which then knows at once; else into the database.
async fn write(place: &Place, path: &str, body: &impl Serialize, change: Change) -> anyhow::Result<()> {
    let folder = place.folder();
    if serve::is_running(folder) {
        control::call(folder, path, Some(&json!(body))).await?;
        return Ok(());
    }
    let _lock = control::lock(folder)?;
    let (store, _) = place.open(Box::new(|_| {}))?;
    Ok(store.commit(vec![change]).await?)
}
