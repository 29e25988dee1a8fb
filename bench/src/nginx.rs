//! nginx with a list ready in its memory, where it is installed.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::process::Process;

/// The longest that a word of nginx' configuration may be, less its quotes and a little.
const LONGEST_WORD: usize = 4000;

pub(crate) struct Nginx {
    process: Process,
    folder: TempDir,
}

impl Nginx {
    /// One that answers every request with `body`; `None` where nginx is not installed.
    pub(crate) fn start(body: &str) -> anyhow::Result<Option<Self>> {
        // Free a moment ago: nginx takes no socket that is open already.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let folder = TempDir::new()?;
        std::fs::write(folder.path().join("nginx.conf"), configuration(&address.to_string(), body))?;
        let child = match command(&folder).spawn() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            child => child?,
        };
        let nginx = Self { process: Process::started(child, address.to_string()), folder };
        for _ in 0..100 {
            if std::net::TcpStream::connect(address).is_ok() {
                return Ok(Some(nginx));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        anyhow::bail!("nginx does not listen; what it says is above")
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }
}

impl Drop for Nginx {
    /// By its own command, which ends its workers too: they outlive a master that is killed.
    fn drop(&mut self) {
        let stopped = command(&self.folder).args(["-s", "stop"]).stderr(Stdio::null()).status();
        if stopped.is_ok_and(|status| status.success()) {
            self.process.wait();
        }
    }
}

fn command(folder: &TempDir) -> Command {
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder.path()).args(["-c", "nginx.conf", "-e", "stderr"]).stdout(Stdio::null());
    command
}

/// As lean as nginx can be made: a worker a core, no log, and connections that are kept for as long as they are used. The
/// list is in the configuration, for that was no dearer than a file in memory that nginx keeps open.
fn configuration(address: &str, body: &str) -> String {
    let (mut parts, mut whole) = (String::new(), String::new());
    for (number, part) in body.as_bytes().chunks(LONGEST_WORD).enumerate() {
        parts += &format!("      set $part{number} '{}';\n", String::from_utf8_lossy(part));
        whole += &format!("${{part{number}}}");
    }
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("  {what}_temp_path {what};\n"))
        .concat();
    format!(
        "daemon off;\nworker_processes auto;\npid nginx.pid;\nerror_log stderr error;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  server_tokens off;\n  default_type application/json;\n\
         \x20 keepalive_requests 1000000000;\n{temporary}\
         \x20 server {{\n    listen {address};\n    location / {{\n{parts}      return 200 {whole};\n    }}\n  }}\n}}\n"
    )
}
