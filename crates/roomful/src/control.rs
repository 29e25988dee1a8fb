//! The control socket: a Unix socket in the data folder, through which the command line talks to a running server. It
//! serves the REST API as well, so the CLI reads rooms the way everyone does. Who may open it owns the data anyway.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, Permissions};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use axum::extract::{Path as UrlPath, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use rooms::SdkAppId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::Change;
use tokio::net::{UnixListener, UnixStream};

use crate::config::Config;
use crate::error::ApiError;
use crate::server::Server;
use crate::webhooks::{self, check_url};

const SOCKET: &str = "control.sock";

/// Keeps two servers off one data folder, for as long as the file is open.
pub(crate) fn lock(folder: &Path) -> anyhow::Result<File> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the data folder {}", folder.display()))?;
    let path = folder.join("lock");
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("cannot write {}", path.display()))?;
    if file.try_lock().is_err() {
        bail!(
            "another roomful serves {} already; stop it, or choose another folder with --data",
            folder.display()
        );
    }
    Ok(file)
}

/// A socket's name may have 107 bytes, a folder's more: the folder is named by a descriptor of this process.
fn short_path(folder: &Path) -> std::io::Result<(File, PathBuf)> {
    let folder = File::open(folder)?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()).into();
    Ok((folder, path))
}

pub(crate) fn bind(folder: &Path) -> anyhow::Result<UnixListener> {
    let (_folder, path) = short_path(folder)?;
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).context("cannot make the control socket in the data folder")?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

pub(crate) fn unbind(folder: &Path) {
    let _ = std::fs::remove_file(folder.join(SOCKET));
}

/// Whether a server listens on the folder's socket.
pub(crate) fn is_bound(folder: &Path) -> bool {
    short_path(folder).is_ok_and(|(_folder, path)| std::os::unix::net::UnixStream::connect(path).is_ok())
}

/// Sends one request to the running server; `None` body is a GET. Returns the JSON it answered.
pub(crate) async fn call(folder: &Path, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
    let (opened, socket) =
        short_path(folder).with_context(|| format!("there is no data folder {}", folder.display()))?;
    let stream = UnixStream::connect(&socket).await.with_context(|| {
        let folder = folder.display();
        format!("no server runs on {folder}; start one with `roomful serve --data {folder}`")
    })?;
    drop(opened);
    let method = if body.is_some() { "POST" } else { "GET" };
    let body = Full::new(Bytes::from(body.map(Value::to_string).unwrap_or_default()));
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(body)?;
    let (status, text) = load::exchange(stream, request).await?;
    if status != StatusCode::OK {
        bail!("{}", String::from_utf8_lossy(&text));
    }
    Ok(serde_json::from_slice(&text)?)
}

/// How many dead letters are revived in one commit.
const REPLAY_GROUP: usize = 500;

/// Where the server is, for those who ask it on its socket.
#[derive(Clone)]
pub(crate) struct About {
    pub(crate) listen: SocketAddr,
    pub(crate) is_tls: bool,
}

pub(crate) fn routes(server: Arc<Server>, about: About) -> Router {
    let asked = server.clone();
    let about = move || async move { Json(about_server(&asked, &about)) };
    Router::new()
        .route("/control/about", get(about))
        .route("/control/apps", post(save_app))
        .route("/control/keys", post(save_key))
        .route("/control/keys/delete", post(delete_key))
        .route("/control/rooms/{app}", get(list_rooms))
        .route("/control/webhooks/replay", post(replay))
        .route("/control/webhooks/test/{app}", post(test_webhook))
        .with_state(server)
}

/// What `roomful doctor` and `roomful load-test` need to know: where clients come in, and whether all is well.
fn about_server(server: &Server, about: &About) -> Value {
    let media = server.live.media();
    let (udp, tcp) = media.addresses();
    let trouble = match server.is_draining() {
        true => "it drains, and will stop".to_string(),
        false => server.store.health().err().map(|error| error.to_string()).unwrap_or_default(),
    };
    let turn = crate::live::relay_urls(&server.config, media, about.listen);
    about_any(&server.config, about, [udp, tcp, media.relay_addresses()], &turn, &trouble)
}

/// The same of a node of several, of which another has the media.
pub(crate) fn about_node(config: &Config, about: &About, trouble: &str) -> Value {
    about_any(config, about, [&[], &[], &[]], &[], trouble)
}

fn about_any(
    config: &Config,
    about: &About,
    [udp, tcp, turn_udp]: [&[SocketAddr]; 3],
    turn: &[String],
    trouble: &str,
) -> Value {
    let About { listen, is_tls } = about;
    let ip = if listen.ip().is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { listen.ip() };
    // A certificate holds for a name, not for an address.
    let name = is_tls.then(|| crate::tls::name(&config.tls)).flatten();
    let host = name.map_or_else(
        || SocketAddr::new(ip, listen.port()).to_string(),
        |name| format!("{name}:{}", listen.port()),
    );
    let scheme = if *is_tls { "https" } else { "http" };
    let texts = |addresses: &[SocketAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "version": env!("CARGO_PKG_VERSION"), "pid": std::process::id(), "url": format!("{scheme}://{host}"),
        "listen": [listen.to_string()], "udp": texts(udp), "tcp": texts(tcp), "turn_udp": texts(turn_udp),
        "turn": turn, "trouble": trouble,
    })
}

#[derive(Serialize, Deserialize)]
pub(crate) struct SaveApp {
    #[serde(flatten)]
    pub(crate) app: store::App,
    /// Sessions go on although the key is another.
    pub(crate) keep_sessions: bool,
}

/// Makes or changes an app.
async fn save_app(
    State(server): State<Arc<Server>>,
    Json(SaveApp { app, keep_sessions }): Json<SaveApp>,
) -> Result<Json<Value>, (StatusCode, String)> {
    if let Some(webhook) = app.webhook.as_ref().filter(|webhook| !webhook.url.is_empty()) {
        check_url(&webhook.url, server.config.webhooks.allow_private)
            .map_err(|trouble| (StatusCode::BAD_REQUEST, trouble))?;
    }
    for callback in &app.callbacks {
        webhooks::check_callback(callback, server.config.webhooks.allow_private)
            .map_err(|trouble| (StatusCode::BAD_REQUEST, trouble))?;
    }
    done(server.save_app(app, keep_sessions).await)
}

/// Makes or changes a key of the RTC API.
async fn save_key(
    State(server): State<Arc<Server>>,
    Json(key): Json<store::ApiKey>,
) -> Result<Json<Value>, (StatusCode, String)> {
    done(server.save_key(key).await)
}

/// Deletes the key of that SecretId.
async fn delete_key(
    State(server): State<Arc<Server>>,
    Json(secret_id): Json<String>,
) -> Result<Json<Value>, (StatusCode, String)> {
    done(server.delete_key(secret_id).await)
}

fn done(result: Result<(), ApiError>) -> Result<Json<Value>, (StatusCode, String)> {
    result.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.message.into_owned()))?;
    Ok(Json(json!({})))
}

/// Sends an app's receiver a test event; answers with what it answered.
async fn test_webhook(
    State(server): State<Arc<Server>>,
    UrlPath(app): UrlPath<u32>,
) -> Result<Json<Value>, (StatusCode, String)> {
    let app = server.app(SdkAppId(app)).ok_or((StatusCode::NOT_FOUND, format!("there is no app {app}")))?;
    let webhook = app.webhook();
    let answer = webhooks::test(server.sender(), app.id, &webhook).await;
    answer.map(|answer| Json(json!({"answer": answer}))).map_err(|trouble| (StatusCode::BAD_GATEWAY, trouble))
}

/// Sends dead letters again: those of the given ids.
async fn replay(
    State(server): State<Arc<Server>>,
    Json(ids): Json<HashSet<u64>>,
) -> Result<Json<Value>, (StatusCode, String)> {
    let failed = |error: String| (StatusCode::INTERNAL_SERVER_ERROR, error);
    let mut dead = server.store.dead_letters().await.map_err(|error| failed(error.to_string()))?;
    dead.retain(|id| ids.contains(id));
    let mut replayed = 0;
    for group in dead.chunks(REPLAY_GROUP) {
        // Their day begins anew.
        let now = crate::clock::now();
        let revived = group.iter().map(|id| Change::ReviveEvent(*id, now)).collect();
        let trouble = |error| failed(format!("{replayed} events are sent again; then {error}"));
        server.store.commit(revived).await.map_err(trouble)?;
        replayed += group.len();
    }
    Ok(Json(json!({"replayed": replayed})))
}

/// All rooms of an app, also those that no public list shows.
async fn list_rooms(State(server): State<Arc<Server>>, UrlPath(app): UrlPath<u32>) -> Json<Value> {
    let mut cells = server.app(SdkAppId(app)).map(|app| app.rooms()).unwrap_or_default();
    cells.sort_by(|one, other| one.room_id.cmp(&other.room_id));
    let mut rooms = Vec::with_capacity(cells.len());
    for cell in cells {
        let Ok(room) = cell.read() else { continue };
        let info = room.info();
        rooms.push(json!({
            "RoomId": info.room_id.as_str(), "RoomType": info.room_type.to_string(), "RoomName": info.room_name,
            "Owner_Account": info.owner.as_str(), "MemberCount": room.members().len(), "ViewCount": room.counters().views,
            "CreateTime": info.created_at.unix_seconds(),
        }));
    }
    Json(Value::Array(rooms))
}
