//! The app that a first start makes, and what a person is told of it.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use rooms::{Account, Profile, SdkAppId, UserId};
use store::{App, Change};
use usersig::{Claims, SecretKey};

use crate::{clock, wire};

/// The id of the app a first start makes; those made after it count on.
pub(crate) const FIRST_APP: u32 = 1_400_000_001;

/// For how long the welcome's ready-to-paste line works: a week.
const WELCOME_SECONDS: u64 = 7 * 24 * 3600;

/// The app of a first start, and what makes it durable.
pub(crate) fn first_app() -> anyhow::Result<(App, Vec<Change>)> {
    let app = App {
        sdkappid: SdkAppId(FIRST_APP),
        secret_key: random_key()?,
        name: "default".into(),
        admins: vec![UserId::parse("administrator")?],
        webhook: None,
        callbacks: Vec::new(),
    };
    let changes = with_admins(&app);
    Ok((app, changes))
}

/// What makes an app durable, with the accounts of its administrators.
pub(crate) fn with_admins(app: &App) -> Vec<Change> {
    let account =
        |user: &UserId| Account { user: user.clone(), profile: Profile::default(), created_at: clock::now() };
    let admins = app.admins.iter().map(|admin| Change::PutAccount(app.sdkappid, account(admin)));
    std::iter::once(Change::PutApp(app.clone())).chain(admins).collect()
}

/// A new SecretKey.
pub(crate) fn random_key() -> anyhow::Result<String> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    Ok(wire::hex(&random))
}

/// What a person needs to try the server. The lines that work as they are have an administrator's signature in them, so they
/// are for a terminal only: what else takes a server's output keeps it, and shows it to others.
pub(crate) fn print_welcome(app: &App, address: SocketAddr, tls: bool, is_dev: bool, folder: &Path) {
    let Some(admin) = app.admins.first() else { return };
    let host = if address.ip().is_unspecified() {
        format!("127.0.0.1:{}", address.port())
    } else {
        address.to_string()
    };
    let base = format!("{}://{host}", if tls { "https" } else { "http" });
    let mut out = std::io::stdout();
    let calls = if out.is_terminal() { ready_to_paste(app, admin, &base) } else { String::new() };
    let joining = if is_dev {
        format!("Join as anyone:    {base}/?room=demo&name=ann (on this machine: --dev)\n")
    } else {
        String::new()
    };
    // That nobody reads it is no reason not to serve.
    let _ = write!(
        out,
        "Roomful serves app {app_id} (admin {admin}) from {folder}.\n\n\
         {calls}\
         Sign in as anyone: roomful usersig --data {folder} --user ann\n\
         {joining}\
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
