//! A PostgreSQL server in a temporary folder, with what is between it and who uses it. It ends, and the folder goes, with the
//! process that started it, however that ends.

#![allow(dead_code, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Nobody: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

/// Where Debian has the programs of the newest release.
fn programs() -> PathBuf {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, path)| path.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().expect("PostgreSQL is not installed; `make deps` does it").1
}

fn is_root(folder: &Path) -> bool {
    std::fs::metadata(folder).unwrap().uid() == 0
}

/// A program as a user who may run a database.
fn unprivileged(folder: &Path, program: &Path) -> Command {
    let is_nobody = folder.metadata().unwrap().uid() == NOBODY;
    let mut command = match is_nobody {
        true => {
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".into()]);
            command.arg(program);
            command
        }
        false => Command::new(program),
    };
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// A folder below /tmp that is removed when this process is gone, with whatever runs on it.
struct Folder {
    path: PathBuf,
    guard: Child,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("postgres-").tempdir().unwrap();
        let path = folder.keep();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        if is_root(&path) {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let stop = "cat >/dev/null; for data in */postmaster.pid; do \
                    [ -f $data ] && \"$0\" stop -s -m immediate -D ${data%/*}; done; \
                    for pid in *.pid; do [ -f $pid ] && kill -9 $(cat $pid); done; cd /; rm -rf \"$1\"";
        let mut guard = unprivileged(&path, Path::new("sh"));
        guard.args(["-c", stop]).arg(programs().join("pg_ctl")).arg(&path);
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Of a group of its own: what ends the tests by a signal to all of them is not to end this.
        std::os::unix::process::CommandExt::process_group(&mut guard, 0);
        Self { guard: guard.spawn().unwrap(), path }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// A server.
pub struct Database {
    folder: Arc<Folder>,
    data: PathBuf,
    pub port: u16,
}

impl Database {
    /// One that all tests of a process share, each with a schema of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Database> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&["max_connections=200"]))
    }

    /// One with settings, as `name=value`.
    pub fn start(settings: &[&str]) -> Self {
        Self::start_with(settings, &[])
    }

    /// One that has files beside its own, by name and content.
    pub fn start_with(settings: &[&str], files: &[(&str, &str)]) -> Self {
        let folder = Arc::new(Folder::new());
        let data = folder.path.join("data");
        let mut initdb = unprivileged(&folder.path, &programs().join("initdb"));
        initdb.args(["-N", "-U", "postgres", "-E", "UTF8", "--locale=C", "--auth=trust", "-D"]).arg(&data);
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        for (name, text) in files {
            let path = data.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            chown(&path, Some(data.metadata().unwrap().uid()), None).unwrap();
        }
        Self::run(folder, data, settings)
    }

    fn run(folder: Arc<Folder>, data: PathBuf, settings: &[&str]) -> Self {
        let database = Self { folder, data, port: free_port() };
        database.set(settings);
        database.up();
        database
    }

    fn set(&self, settings: &[&str]) {
        let path = self.data.join("postgresql.conf");
        let mut text = std::fs::read_to_string(&path).unwrap();
        let sockets = self.folder.path.display();
        text.push_str(&format!(
            "\nlisten_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{sockets}'\nshared_buffers = 32MB\n",
            self.port
        ));
        for setting in settings {
            let (name, value) = setting.split_once('=').unwrap();
            text.push_str(&format!("{name} = '{value}'\n"));
        }
        std::fs::write(path, text).unwrap();
    }

    /// A standby of it.
    pub fn standby(&self) -> Self {
        let data = self.folder.path.join("standby");
        self.copy_to(&data);
        Self::run(self.folder.clone(), data, &[])
    }

    /// Is begun anew as a standby of another, where it was.
    pub fn follow(&self, primary: &Self) {
        std::fs::remove_dir_all(&self.data).unwrap();
        primary.copy_to(&self.data);
        self.set(&[]);
        self.up();
    }

    /// From now on commits wait for a standby.
    pub fn expect_standby(&self) {
        self.expect("*");
        let is_there = "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'";
        self.wait_until(is_there, Duration::from_secs(30), "no standby comes");
    }

    /// From now on they do not.
    pub fn expect_nobody(&self) {
        self.expect("");
    }

    fn expect(&self, standbys: &str) {
        self.sql(&format!("ALTER SYSTEM SET synchronous_standby_names = '{standbys}'"));
        self.sql("SELECT pg_reload_conf()");
    }

    /// Waits until that is so.
    fn wait_until(&self, is_so: &str, within: Duration, otherwise: &str) {
        let deadline = Instant::now() + within;
        while self.sql(is_so) != "t" {
            assert!(Instant::now() < deadline, "{otherwise}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn copy_to(&self, data: &Path) {
        let mut copy = unprivileged(&self.folder.path, &programs().join("pg_basebackup"));
        copy.args(["-h", "127.0.0.1", "-U", "postgres", "-R", "-X", "stream", "-c", "fast", "-p"]);
        let copied = copy.arg(self.port.to_string()).arg("-D").arg(data).output().unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    }

    fn control(&self, arguments: &[&str]) -> Output {
        let mut control = unprivileged(&self.folder.path, &programs().join("pg_ctl"));
        control
            .args(arguments)
            .arg("-D")
            .arg(&self.data)
            .arg("-w")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        control.output().unwrap()
    }

    /// Starts it (again).
    pub fn up(&self) {
        let log = self.data.with_extension("log");
        let started = self.control(&["start", "-s", "-l", log.to_str().unwrap()]);
        assert!(started.status.success(), "{}", std::fs::read_to_string(log).unwrap_or_default());
    }

    /// Ends it as a loss of power does.
    pub fn down(&self) {
        assert!(self.control(&["stop", "-s", "-m", "immediate"]).status.success());
    }

    /// A standby becomes a primary.
    pub fn promote(&self) {
        assert!(self.control(&["promote", "-s"]).status.success());
    }

    /// The address of a schema in it.
    pub fn url(&self, schema: &str) -> String {
        url(self.port, schema)
    }

    /// The address of a schema that nobody else has.
    pub fn own_url(&self) -> (String, String) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let schema = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        (self.url(&schema), schema)
    }

    /// Who owns its files.
    pub fn owner(&self) -> u32 {
        self.data.metadata().unwrap().uid()
    }

    /// Waits until it has all that its primary has now.
    pub fn wait_for(&self, primary: &Self) {
        let there = primary.sql("SELECT pg_current_wal_lsn()");
        let has_it = format!("SELECT pg_last_wal_replay_lsn() >= '{there}'");
        self.wait_until(&has_it, Duration::from_secs(20), "the standby is behind");
    }

    /// A backup of a schema, as docs/cluster.md says to make one.
    pub fn dump(&self, schema: &str) -> String {
        let mut dump = Command::new(programs().join("pg_dump"));
        dump.args(["-h", "127.0.0.1", "-U", "postgres", "-d", "postgres", "-p", &self.port.to_string()]);
        let done = dump.arg(format!("--schema={schema}")).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    /// Brings one back.
    pub fn load(&self, dump: &str) {
        let mut psql = self.psql().stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        psql.stdin.take().unwrap().write_all(dump.as_bytes()).unwrap();
        assert!(psql.wait().unwrap().success());
    }

    fn psql(&self) -> Command {
        let mut psql = Command::new(programs().join("psql"));
        psql.args(["-h", "127.0.0.1", "-U", "postgres", "-d", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1"]);
        psql.args(["-p", &self.port.to_string()]).env_remove("PGPASSWORD");
        psql
    }

    /// Runs SQL, and returns what it prints.
    pub fn sql(&self, sql: &str) -> String {
        let done = self.psql().args(["-c", sql]).output().unwrap();
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// A transaction with these statements, which is rolled back when it is dropped.
    pub fn hold(&self, sql: &str) -> Hold {
        let mut psql = self.psql().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = psql.stdin.take().unwrap();
        writeln!(stdin, "BEGIN; {sql};\n\\echo held").unwrap();
        let mut lines = BufReader::new(psql.stdout.take().unwrap()).lines();
        while lines.next().expect("the statements failed").unwrap() != "held" {}
        Hold { psql, stdin: Some(stdin) }
    }

    /// A PgBouncer before it, with that pool mode: its port.
    pub fn bouncer(&self, mode: &str) -> u16 {
        let port = free_port();
        let folder = &self.folder.path;
        let config = folder.join(format!("bouncer-{mode}.ini"));
        let pid = folder.join(format!("bouncer-{mode}.pid"));
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             auth_type = any\npool_mode = {mode}\npidfile = {}\nlogfile = {}\nunix_socket_dir =\n\
             ignore_startup_parameters = extra_float_digits\n",
            self.port,
            pid.display(),
            config.with_extension("log").display(),
        );
        let text = text.replace("* = host", "postgres = user=postgres host");
        std::fs::write(&config, text).unwrap();
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].map(Path::new);
        let program =
            program.into_iter().find(|path| path.exists()).expect("no pgbouncer; `make deps` installs it");
        let started = unprivileged(folder, program).arg("-d").arg(&config).output().unwrap();
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        wait_for_port(port);
        port
    }
}

/// A transaction of somebody else's.
pub struct Hold {
    psql: Child,
    stdin: Option<std::process::ChildStdin>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.psql.wait();
    }
}

pub fn url(port: u16, schema: &str) -> String {
    format!("postgresql://postgres@127.0.0.1:{port}/postgres?schema={schema}")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for_port(port: u16) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "nothing listens on {port}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What becomes of what goes through a [`Wire`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Cut {
    Nothing,
    /// The connection ends just before a COMMIT gets through.
    BeforeCommit,
    /// A COMMIT gets through, and its answer does not: the connection ends.
    AfterCommit,
    /// Connections end at once, and new ones too.
    All,
    /// Nothing gets through in either direction, and nobody is told.
    Silence,
}

/// Whether a connection's answers are heard; or swallowed; and that of a COMMIT was among them.
const HEARD: usize = 0;
const MUTE: usize = 1;
const COMMITTED: usize = 2;

/// A connection to a database that is cut as a test says.
pub struct Wire {
    pub port: u16,
    cut: Arc<AtomicUsize>,
    /// How often it was cut at a COMMIT.
    cuts: Arc<AtomicUsize>,
}

impl Wire {
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Self {
            port: listener.local_addr().unwrap().port(),
            cut: Arc::new(AtomicUsize::new(0)),
            cuts: Arc::new(AtomicUsize::new(0)),
        };
        let (cut, cuts) = (wire.cut.clone(), wire.cuts.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", port))) else {
                    continue;
                };
                let both = [(client, server)].map(|(client, server)| (Arc::new(client), Arc::new(server)));
                let [(client, server)] = both;
                let answers = Arc::new(AtomicUsize::new(HEARD));
                for is_request in [true, false] {
                    let answers = answers.clone();
                    let (from, to) = if is_request {
                        (client.clone(), server.clone())
                    } else {
                        (server.clone(), client.clone())
                    };
                    let (cut, cuts) = (cut.clone(), cuts.clone());
                    std::thread::spawn(move || pass(&from, &to, is_request, &answers, &cut, &cuts));
                }
            }
        });
        wire
    }

    pub fn url(&self, schema: &str) -> String {
        url(self.port, schema)
    }

    pub fn set(&self, cut: Cut) {
        self.cut.store(cut as usize, Ordering::SeqCst);
    }

    pub fn cuts(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

fn pass(
    mut from: &TcpStream,
    mut to: &TcpStream,
    is_request: bool,
    answers: &AtomicUsize,
    cut: &AtomicUsize,
    cuts: &AtomicUsize,
) {
    let is = |one: Cut| cut.load(Ordering::SeqCst) == one as usize;
    let end = || {
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    };
    from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut bytes = [0; 16 << 10];
    loop {
        if is(Cut::All) {
            return end();
        }
        let length = match from.read(&mut bytes) {
            Ok(0) => return end(),
            Ok(length) => length,
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                continue;
            }
            Err(_) => return end(),
        };
        let bytes = &bytes[..length];
        // The statement, and what it is answered: not the COMMITTED that transactions begin with.
        let at = bytes.windows(7).position(|window| window == b"COMMIT\0");
        while is(Cut::Silence) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if let (true, Some(at)) = (is_request, at) {
            if is(Cut::BeforeCommit) {
                // All before it gets through, so that the server is in the middle.
                let _ = to.write_all(&bytes[..at.saturating_sub(5)]);
                cuts.fetch_add(1, Ordering::SeqCst);
                return end();
            }
            if is(Cut::AfterCommit) {
                answers.store(MUTE, Ordering::SeqCst);
                let _ = to.write_all(bytes);
                let deadline = Instant::now() + Duration::from_secs(10);
                while answers.load(Ordering::SeqCst) == MUTE && Instant::now() < deadline {
                    std::thread::sleep(Duration::from_millis(5));
                }
                cuts.fetch_add(1, Ordering::SeqCst);
                return end();
            }
        }
        if !is_request && answers.load(Ordering::SeqCst) != HEARD {
            if at.is_some() {
                answers.store(COMMITTED, Ordering::SeqCst);
            }
        } else if to.write_all(bytes).is_err() {
            return end();
        }
    }
}
