//! `roomful app`: list, create, rotate-key.

use anyhow::{Context as _, bail};
use clap::Subcommand;
use rooms::{SdkAppId, UserId};
use serde_json::json;
use store::{App, Change, Place, Store as _};

use super::show::{Format, Set, Table, say, say_json};
use crate::first_app::{FIRST_APP, random_key, with_admins};
use crate::{control, serve};

#[derive(Subcommand)]
pub(super) enum Command {
    /// List the apps with their keys
    List {
        #[command(flatten)]
        format: Format,
    },
    /// Make an app with a random SecretKey
    Create {
        /// What people call it
        #[arg(long, default_value = "")]
        name: String,
        /// Its id; the next free one if not given
        #[arg(long)]
        sdkappid: Option<u32>,
        /// An account that may call the REST API (repeatable)
        #[arg(long = "admin", value_name = "USER", default_value = "administrator")]
        admins: Vec<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Give an app a new SecretKey; what was signed with the old one is refused at once, and its sessions end
    RotateKey {
        /// The app
        sdkappid: u32,
        /// Let those who are there go on, for a change that was planned
        #[arg(long)]
        keep_sessions: bool,
        #[command(flatten)]
        format: Format,
    },
}

impl Command {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<()> {
        match self {
            Command::List { format } => list(place, &format),
            Command::Create { name, sdkappid, admins, format } => {
                let apps = if place.is_new() { Vec::new() } else { place.read_apps()? };
                let next = apps.iter().map(|app| app.sdkappid.0 + 1).max().unwrap_or(FIRST_APP);
                let sdkappid = SdkAppId(sdkappid.unwrap_or(next));
                if apps.iter().any(|app| app.sdkappid == sdkappid) {
                    bail!("app {sdkappid} exists already");
                }
                let admins = admins.iter().map(|admin| UserId::parse_field("--admin", admin));
                let admins = admins.collect::<Result<Vec<_>, _>>()?;
                let (secret_key, webhook, callbacks) = (random_key()?, None, Vec::new());
                let app = App { sdkappid, secret_key, name, admins, webhook, callbacks };
                save(place, &app).await?;
                print(&app, &format)
            }
            Command::RotateKey { sdkappid, keep_sessions, format } => {
                let mut app = find(place, Some(sdkappid))?;
                app.secret_key = random_key()?;
                write(place, &app, keep_sessions).await?;
                print(&app, &format)
            }
        }
    }
}

fn list(place: &Place, format: &Format) -> anyhow::Result<()> {
    let apps = place.read_apps()?;
    if format.json {
        return say_json(&apps);
    }
    let mut table = Table::new(&[("SDKAPPID", Set::Number), ("NAME", Set::Text), ("ADMINS", Set::Text)]);
    for app in &apps {
        table.row([app.sdkappid.to_string(), app.name.clone(), admins_of(app)]);
    }
    // A key is as long as a line.
    table.print_with(|row| apps.get(row).map(|app| format!("          key {}", app.secret_key)))
}

/// Makes an app, or changes it in anything but its key.
pub(super) async fn save(place: &Place, app: &App) -> anyhow::Result<()> {
    write(place, app, true).await
}

/// Through the running server, which then knows at once; else into the database.
async fn write(place: &Place, app: &App, keeps_sessions: bool) -> anyhow::Result<()> {
    let folder = place.folder();
    if serve::is_running(folder) {
        let saved = control::SaveApp { app: app.clone(), keep_sessions: keeps_sessions };
        control::call(folder, "/control/apps", Some(&json!(saved))).await?;
    } else {
        let _lock = control::lock(folder)?;
        let (store, snapshot) = place.open(Box::new(|_| {}))?;
        let known = |admin: &UserId| {
            snapshot.accounts.iter().any(|(id, account)| *id == app.sdkappid && account.user == *admin)
        };
        let mut changes = with_admins(app);
        changes.retain(|change| !matches!(change, Change::PutAccount(_, account) if known(&account.user)));
        if !keeps_sessions {
            let of_app = snapshot.sessions.iter().filter(|session| session.sdkappid == app.sdkappid);
            changes.extend(of_app.map(|session| Change::DeleteSession(session.id)));
        }
        store.commit(changes).await?;
    }
    Ok(())
}

fn print(app: &App, format: &Format) -> anyhow::Result<()> {
    if format.json {
        return say_json(app);
    }
    let App { sdkappid, name, secret_key, .. } = app;
    say(format_args!(
        "SdkAppId   {sdkappid}\nName       {name}\nAdmins     {}\nSecretKey  {secret_key}",
        admins_of(app)
    ))
}

fn admins_of(app: &App) -> String {
    app.admins.iter().map(UserId::as_str).collect::<Vec<_>>().join(", ")
}

/// The app with that id; without one, the first.
pub(super) fn find(place: &Place, sdkappid: Option<u32>) -> anyhow::Result<App> {
    let apps = place.read_apps()?;
    match sdkappid {
        None => apps.into_iter().next().context("there is no app yet; make one with `roomful app create`"),
        Some(id) => apps
            .into_iter()
            .find(|app| app.sdkappid.0 == id)
            .with_context(|| format!("there is no app {id}; see `roomful app list`")),
    }
}
