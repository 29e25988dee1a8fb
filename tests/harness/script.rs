//! Scripts of `tests/third-party`, which software nobody here wrote runs, talked to in lines of JSON.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// Where the scripts are.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/third-party")
}

/// What runs them: `node`, or the `python` that `make test` has installed beside them.
pub fn interpreter(program: &str) -> Command {
    let mut command = match program {
        "python" => Command::new(folder().join(".venv/bin/python")),
        program => Command::new(program),
    };
    command.current_dir(folder()).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Starts what is installed by `make test`.
pub fn spawn(command: &mut Command) -> Child {
    let child = command.spawn();
    child.unwrap_or_else(|error| panic!("{command:?} cannot run ({error}); `make test` installs it"))
}

/// A script that is talked to line by line.
pub struct Script {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Script {
    pub fn start(program: &str, arguments: &[&str], input: &Value) -> Self {
        Self::start_in(program, arguments, input, &[])
    }

    pub fn start_in(program: &str, arguments: &[&str], input: &Value, environment: &[(&str, &str)]) -> Self {
        let mut child = spawn(interpreter(program).args(arguments).envs(environment.iter().copied()));
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut script = Self { input: child.stdin.take().unwrap(), child, output };
        script.say(input);
        script
    }

    pub fn say(&mut self, line: &Value) {
        writeln!(self.input, "{line}").unwrap();
        self.input.flush().unwrap();
    }

    /// The next line; the script's own words about a failure are on stderr.
    pub fn hear(&mut self) -> Value {
        let line = self.output.next().expect("the script failed; see above").unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Has the script do something; what comes of it.
    pub fn act(&mut self, request: Value) -> Value {
        self.say(&request);
        self.hear()["value"].take()
    }

    pub fn text(&mut self, request: Value) -> String {
        self.act(request).as_str().unwrap().to_owned()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
