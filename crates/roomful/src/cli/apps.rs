//! `roomful app`: list, create, rotate-key; and the app that a first start makes.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use rooms::{Account, Profile, SdkAppId, UserId};
use serde_json::json;
use store::{App, Change, Sqlite, Store as _};
use usersig::{Claims, SecretKey};

use super::say;
use crate::{clock, control, serve, wire};

/// The id of the app a first start makes; those made after it count on.
const FIRST_APP: u32 = 1_400_000_001;

/// For how long the welcome's ready-to-paste line works: a week.
const WELCOME_SECONDS: u64 = 7 * 24 * 3600;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List the apps with their keys
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
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
    },
    /// Give an app a new SecretKey; what was signed with the old one is refused at once, and its sessions end
    RotateKey {
        /// The app
        sdkappid: u32,
        /// Let those who are there go on, for a change that was planned
        #[arg(long)]
        keep_sessions: bool,
    },
}

impl Command {
    pub(super) async fn run(self, folder: &Path) -> anyhow::Result<()> {
        match self {
            Command::List { json } => list(folder, json),
            Command::Create { name, sdkappid, admins } => {
                let apps = if store_exists(folder) { store::read_apps(folder)? } else { Vec::new() };
                let next = apps.iter().map(|app| app.sdkappid.0 + 1).max().unwrap_or(FIRST_APP);
                let sdkappid = SdkAppId(sdkappid.unwrap_or(next));
                if apps.iter().any(|app| app.sdkappid == sdkappid) {
                    bail!("app {sdkappid} exists already");
                }
                let admins = admins.iter().map(|admin| UserId::parse_field("--admin", admin));
                let admins = admins.collect::<Result<Vec<_>, _>>()?;
                let app = App { sdkappid, secret_key: random_key()?, name, admins, webhook: None };
                save(folder, &app).await?;
                print(&app)
            }
            Command::RotateKey { sdkappid, keep_sessions } => {
                let mut app = find(folder, Some(sdkappid))?;
                app.secret_key = random_key()?;
                write(folder, &app, keep_sessions).await?;
                print(&app)
            }
        }
    }
}

fn store_exists(folder: &Path) -> bool {
    folder.join(store::FILE_NAME).exists()
}

fn list(folder: &Path, as_json: bool) -> anyhow::Result<()> {
    let apps = store::read_apps(folder)?;
    if as_json {
        say(serde_json::to_string_pretty(&apps)?)?;
        return Ok(());
    }
    say(format_args!("{:<12} {:<66} {:<20} ADMINS", "SDKAPPID", "SECRET KEY", "NAME"))?;
    for app in apps {
        let admins: Vec<_> = app.admins.iter().map(UserId::as_str).collect();
        say(format_args!(
            "{:<12} {:<66} {:<20} {}",
            app.sdkappid,
            app.secret_key,
            app.name,
            admins.join(", ")
        ))?;
    }
    Ok(())
}

/// Makes an app, or changes it in anything but its key.
pub(super) async fn save(folder: &Path, app: &App) -> anyhow::Result<()> {
    write(folder, app, true).await
}

/// Through the running server, which then knows at once; else into the database.
async fn write(folder: &Path, app: &App, keeps_sessions: bool) -> anyhow::Result<()> {
    if serve::is_running(folder) {
        let saved = control::SaveApp { app: app.clone(), keep_sessions: keeps_sessions };
        control::call(folder, "/control/apps", Some(&json!(saved))).await?;
    } else {
        let _lock = control::lock(folder)?;
        let (store, snapshot) = Sqlite::open(folder, Box::new(|_| {}))?;
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

fn print(app: &App) -> anyhow::Result<()> {
    say(serde_json::to_string_pretty(app)?)?;
    Ok(())
}

/// The app with that id; without one, the first.
pub(super) fn find(folder: &Path, sdkappid: Option<u32>) -> anyhow::Result<App> {
    let apps = store::read_apps(folder)?;
    match sdkappid {
        None => apps.into_iter().next().context("there is no app yet; make one with `roomful app create`"),
        Some(id) => apps
            .into_iter()
            .find(|app| app.sdkappid.0 == id)
            .with_context(|| format!("there is no app {id}; see `roomful app list`")),
    }
}

/// The app of a first start, and what makes it durable.
pub(crate) fn first_app() -> anyhow::Result<(App, Vec<Change>)> {
    let app = App {
        sdkappid: SdkAppId(FIRST_APP),
        secret_key: random_key()?,
        name: "default".into(),
        admins: vec![UserId::parse("administrator")?],
        webhook: None,
    };
    let changes = with_admins(&app);
    Ok((app, changes))
}

fn with_admins(app: &App) -> Vec<Change> {
    let account =
        |user: &UserId| Account { user: user.clone(), profile: Profile::default(), created_at: clock::now() };
    let admins = app.admins.iter().map(|admin| Change::PutAccount(app.sdkappid, account(admin)));
    std::iter::once(Change::PutApp(app.clone())).chain(admins).collect()
}

fn random_key() -> anyhow::Result<String> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    Ok(wire::hex(&random))
}

/// What a person needs to try the server. The lines that work as they are have an administrator's signature in them, so they
/// are for a terminal only: what else takes a server's output keeps it, and shows it to others.
pub(crate) fn print_welcome(app: &App, address: SocketAddr, tls: bool, folder: &Path) {
    let Some(admin) = app.admins.first() else { return };
    let host = if address.ip().is_unspecified() {
        format!("127.0.0.1:{}", address.port())
    } else {
        address.to_string()
    };
    let base = format!("{}://{host}", if tls { "https" } else { "http" });
    let mut out = std::io::stdout();
    let calls = if out.is_terminal() { ready_to_paste(app, admin, &base) } else { String::new() };
    // That nobody reads it is no reason not to serve.
    let _ = write!(
        out,
        "Roomful serves app {app_id} (admin {admin}) from {folder}.\n\n\
         {calls}\
         Sign in as anyone: roomful usersig --data {folder} --user ann\n\
         Open the page:     {base}/\n\n",
        app_id = app.sdkappid,
        folder = folder.display(),
    );
}

/// Two calls, signed.
fn ready_to_paste(app: &App, admin: &UserId, base: &str) -> String {
    let key = SecretKey::new(app.secret_key.clone());
    let claims = Claims::new(admin.as_str(), app.sdkappid.0, clock::now().unix_seconds(), WELCOME_SECONDS);
    let Ok(sig) = ::usersig::sign(&key, &claims) else { return String::new() };
    let app_id = app.sdkappid;
    let query = format!("sdkappid={app_id}&identifier={admin}&usersig={sig}&random=1&contenttype=json");
    format!(
        "Create a room:\n  \
         curl -s -d '{{\"RoomInfo\":{{\"RoomId\":\"demo\",\"RoomType\":\"Live\",\"IsPublicVisible\":true}}}}' \\\n  \
         '{base}/v4/live_engine_http_srv/create_room?{query}'\n\n\
         Who is in it:\n  \
         curl -s -d '{{\"RoomId\":\"demo\",\"Next\":\"\"}}' \\\n  \
         '{base}/v4/live_engine_http_srv/get_member_list?{query}'\n\n"
    )
}
