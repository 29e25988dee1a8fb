//! What is measured: this server, and Janus (VideoRoom) where it is installed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use usersig::{Claims, SecretKey};

use crate::wire::NEAR;

const PORT: u16 = 18_480;
const JANUS_PORT: u16 = 18_088;
/// Those whom scenarios need; joins are ten.
const USERS: [&str; 12] = [
    "host", "viewer0", "viewer1", "viewer2", "viewer3", "viewer4", "viewer5", "viewer6", "viewer7",
    "viewer8", "viewer9", "viewer10",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Roomful,
    Janus,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Roomful => "roomful",
            Self::Janus => "janus",
        }
    }
}

/// A running server; it ends with this value.
pub(crate) struct Server {
    child: Child,
    _folder: TempDir,
    /// What the browsers' script needs to know of it.
    pub(crate) told: Value,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether Janus is there to be measured beside.
pub(crate) fn has_janus() -> bool {
    Command::new("janus").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// The server to be measured: the one built last beside this program.
pub(crate) fn built() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("where this program is")?;
    let path = folder.join("roomful");
    anyhow::ensure!(path.exists(), "{} is missing: build it, or say --server", path.display());
    Ok(path)
}

impl Server {
    pub(crate) fn start(kind: Kind, binary: &Path) -> anyhow::Result<Self> {
        match kind {
            Kind::Roomful => Self::roomful(binary),
            Kind::Janus => Self::janus(),
        }
    }

    fn roomful(binary: &Path) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let mut child = Command::new(binary)
            .args(["serve", "--listen", &format!("{NEAR}:{PORT}"), "--data"])
            .arg(folder.path())
            .env("ROOMFUL_LOG__LEVEL", "warn")
            .env("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0")
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot run", binary.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        loop {
            let line = lines.next().context("the server ended before it was ready")??;
            if line.contains("Open the page:") {
                break;
            }
        }
        // What it goes on to say must not fill a pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let apps = Command::new(binary)
            .args(["app", "list", "--json", "--data"])
            .arg(folder.path())
            .output()?
            .stdout;
        let apps: Value = serde_json::from_slice(&apps)?;
        let text = |path: &str| apps.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let app = apps.pointer("/0/sdkappid").and_then(Value::as_u64).context("an app")?;
        let app = u32::try_from(app)?;
        let key = SecretKey::new(&text("/0/secret_key").context("its key")?);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let sig = |user: &str| usersig::sign(&key, &Claims::new(user, app, now, 3600));
        let mut sigs = serde_json::Map::new();
        for user in USERS {
            sigs.insert(user.to_owned(), sig(user)?.into());
        }
        let told = json!({
            "kind": "roomful", "url": format!("http://{NEAR}:{PORT}"), "app": app, "admin": sig("administrator")?,
            "sigs": sigs, "room": "lab",
        });
        Ok(Self { child, _folder: folder, told })
    }

    fn janus() -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let write = |name: &str, text: String| fs::write(folder.path().join(name), text);
        let nat = "nat: { ice_lite = false full_trickle = false }\nmedia: { ipv6 = false }\n";
        write("janus.jcfg", format!("general: {{ debug_level = 1 session_timeout = 0 }}\n{nat}"))?;
        let http = format!(
            "general: {{ json = \"compact\" http = true port = {JANUS_PORT} https = false ip = \"{NEAR}\" }}\n"
        );
        write("janus.transport.http.jcfg", http + "admin: { admin_http = false }\n")?;
        write("janus.plugin.videoroom.jcfg", "general: { }\n".into())?;
        let child = Command::new("janus")
            .arg("--configs-folder")
            .arg(folder.path())
            .arg("--disable-colors")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("janus cannot run")?;
        let told = json!({"kind": "janus", "url": format!("http://{NEAR}:{JANUS_PORT}"), "room": 1});
        let server = Self { child, _folder: folder, told };
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect((NEAR, JANUS_PORT)).is_err() {
            anyhow::ensure!(Instant::now() < end, "Janus does not answer on port {JANUS_PORT}");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(server)
    }
}
