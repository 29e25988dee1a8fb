//! Server processes: the one under test, and the bare ones beside it.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use usersig::{Claims, SecretKey};

/// A child that ends with this value.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: String,
}

/// What starts a program to be measured: on a core of its own, `BENCH_CORE`, where that is set.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    match std::env::var("BENCH_CORE") {
        Ok(core) => command_on(&core, program),
        Err(_) => Command::new(program),
    }
}

/// What starts a program that would choke on one core.
pub(crate) fn command_on_all_cores(program: impl AsRef<OsStr>) -> Command {
    command_on("0-63", program)
}

fn command_on(cores: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", cores]).arg(program);
    command
}

impl Process {
    /// Starts this program again, as a bare server.
    pub(crate) fn bare(arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start(command(std::env::current_exe()?).args(arguments), "listening on ")
    }

    fn start(command: &mut Command, marker: &str) -> anyhow::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        for line in lines {
            if let Some((_, address)) = line?.split_once(marker) {
                let address = address.trim().trim_end_matches('/').trim_start_matches("http://").to_string();
                return Ok(Self { child, address });
            }
        }
        anyhow::bail!("the server ended before it listened")
    }

    /// One that somebody else has started.
    pub(crate) fn started(child: Child, address: String) -> Self {
        Self { child, address }
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) {
        let _ = self.child.wait();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How long the process and its children have computed so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        let children = children.split_whitespace().map(|child| cpu_seconds(child.parse()?));
        Ok(cpu_seconds(id)? + children.sum::<anyhow::Result<f64>>()?)
    }

    /// How long its threads but those of this name have computed so far, in seconds.
    pub(crate) fn cpu_seconds_but(&self, name: &str) -> anyhow::Result<f64> {
        let mut nanoseconds = 0.0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let thread = thread?.path();
            if std::fs::read_to_string(thread.join("comm"))?.trim_end() != name {
                let run = std::fs::read_to_string(thread.join("schedstat"))?;
                nanoseconds += run.split_whitespace().next().context("schedstat")?.parse::<f64>()?;
            }
        }
        Ok(nanoseconds / 1e9)
    }

    pub(crate) fn resident_bytes(&self) -> anyhow::Result<f64> {
        resident_bytes(Some(self.child.id()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Fields 14 and 15 of proc(5), in ticks of 10 ms; the name before them may have spaces.
    let (_, fields) = stat.rsplit_once(')').context("the process name")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks / 100.0)
}

/// How long a process has computed, in seconds, and what it holds in memory, in bytes.
pub(crate) fn usage(pid: u32) -> anyhow::Result<(f64, f64)> {
    Ok((cpu_seconds(pid)?, resident_bytes(Some(pid))?))
}

/// What a process holds in memory; `None` is this one.
pub(crate) fn resident_bytes(pid: Option<u32>) -> anyhow::Result<f64> {
    let pid = pid.map_or_else(|| "self".into(), |pid| pid.to_string());
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0)
}

/// The real server, on a data folder of its own.
pub(crate) struct Roomful {
    pub(crate) process: Process,
    data: TempDir,
    app: u32,
    key: SecretKey,
}

impl Roomful {
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::of(&Self::binary()?, environment)
    }

    /// The program that was built beside this one.
    pub(crate) fn binary() -> anyhow::Result<PathBuf> {
        Ok(std::env::current_exe()?.with_file_name("roomful"))
    }

    pub(crate) fn of(binary: &Path, environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::prepared(binary, environment, |_| Ok(()))
    }

    /// On a data folder that is filled beforehand.
    pub(crate) fn prepared(
        binary: &Path,
        environment: &[(&str, &str)],
        fill: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let data = TempDir::new()?;
        fill(data.path())?;
        let mut command = command(binary);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .env("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0")
            .env("ROOMFUL_MEMBER_LIST__CAP", "0")
            .env("ROOMFUL_LOG__LEVEL", "warn")
            .envs(environment.iter().copied());
        let process = Process::start(&mut command, "Open the page:")?;
        let apps =
            Command::new(binary).args(["app", "list", "--json", "--data"]).arg(data.path()).output()?;
        let apps: Value = serde_json::from_slice(&apps.stdout)?;
        let app = apps.pointer("/0/sdkappid").and_then(Value::as_u64).context("sdkappid")?;
        let key = apps.pointer("/0/secret_key").and_then(Value::as_str).context("secret_key")?;
        Ok(Self { process, data, app: u32::try_from(app)?, key: SecretKey::new(key) })
    }

    /// A new key of the RTC API: its id and secret.
    pub(crate) fn api_key(&self) -> anyhow::Result<(String, String)> {
        let mut create = Command::new(Self::binary()?);
        let made = create.args(["key", "create", "--json", "--data"]).arg(self.data.path()).output()?;
        let made: Value = serde_json::from_slice(&made.stdout)?;
        let text = |name: &str| Some(made.get(name)?.as_str()?.to_owned());
        Ok((text("secret_id").context("secret_id")?, text("secret_key").context("secret_key")?))
    }

    /// Where it keeps what it is told.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    pub(crate) fn sig(&self, user: &str) -> anyhow::Result<String> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        Ok(usersig::sign(&self.key, &Claims::new(user, self.app, now, 86400))?)
    }

    /// What a client sends to log in.
    pub(crate) fn login(&self, user: &str) -> anyhow::Result<String> {
        Ok(json!({"SdkAppId": self.app, "UserId": user, "UserSig": self.sig(user)?}).to_string())
    }

    /// A whole HTTP request that calls a command of the Live API, or `service/command`.
    pub(crate) fn request(&self, command: &str, body: &Value) -> anyhow::Result<String> {
        let path = match command.contains('/') {
            true => command.into(),
            false => format!("live_engine_http_srv/{command}"),
        };
        let sig = self.sig("administrator")?;
        let query = format!(
            "sdkappid={}&identifier=administrator&usersig={sig}&random=12345&contenttype=json",
            self.app
        );
        Ok(http_request(&format!("/v4/{path}?{query}"), &body.to_string()))
    }

    pub(crate) fn list_request(&self, room: &str) -> anyhow::Result<String> {
        self.request("get_member_list", &json!({"RoomId": room, "Next": ""}))
    }
}

/// The same for whoever wants no signature.
pub(crate) fn unsigned_list_request() -> String {
    http_request("/v4/live_engine_http_srv/get_member_list", r#"{"RoomId":"r","Next":""}"#)
}

fn http_request(target: &str, body: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
