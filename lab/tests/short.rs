//! Three networks, 12 s each, real browsers: so much must be seen on any machine. The limits leave room for a busy one, and
//! what they are to catch is far beyond them: twenty times what fits is sent, half of the sound is lost, the picture never
//! comes back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;
use tempfile::TempDir;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What a scenario's run yielded.
struct Measured(Value);

/// The script that makes the namespaces.
fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("run.sh")
}

/// Why there can be no lab on this machine: it needs root, namespaces and TUN devices, which few containers have.
fn hindrance() -> Option<String> {
    if let Err(error) = File::options().read(true).write(true).open("/dev/net/tun") {
        return Some(format!("/dev/net/tun: {error}"));
    }
    let probe = Command::new(script()).arg("true").output();
    match probe {
        Ok(probe) if probe.status.success() => None,
        Ok(probe) => Some(String::from_utf8_lossy(&probe.stderr).into_owned()),
        Err(error) => Some(error.to_string()),
    }
}

impl Measured {
    /// `None` where the lab cannot run.
    fn of(scenario: &str) -> Option<Self> {
        let _turn = ONE_AT_A_TIME.lock();
        if let Some(trouble) = hindrance() {
            // Past what tests' output is kept in.
            let _ = writeln!(std::io::stderr(), "SKIPPED {scenario}: {}", trouble.trim());
            return None;
        }
        let lab = Path::new(env!("CARGO_BIN_EXE_lab"));
        let server = lab.with_file_name("roomful");
        assert!(server.exists(), "{} is missing: `cargo build` makes it", server.display());
        let out = TempDir::new().unwrap();
        let output = Command::new(script())
            .arg(lab)
            .args(["--alone", "--seconds", "12", "--scenario", scenario, "--server"])
            .arg(&server)
            .arg("--out")
            .arg(out.path())
            .output()
            .unwrap();
        // The lab's own figures are stricter; whether they are met is not asked here.
        let Ok(report) = std::fs::read(out.path().join("report.json")) else {
            let words = [output.stdout, output.stderr].concat();
            panic!("the lab could not measure {scenario}: {}", String::from_utf8_lossy(&words));
        };
        let mut report: Value = serde_json::from_slice(&report).unwrap();
        Some(Self(report["scenarios"][0]["runs"][0].take()))
    }

    fn viewer(&self, name: &str) -> f64 {
        self.0["viewers"][0][name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name} is not measured: {}", self.story()))
    }

    fn sent_beside_capacity(&self) -> f64 {
        self.0["link"]["sent_beside_capacity"].as_f64().unwrap()
    }

    /// A line of the charts between two moments, in seconds.
    fn series(&self, name: &str, from: f64, to: f64) -> Vec<f64> {
        let step = self.0["series"]["step"].as_f64().unwrap();
        let all = self.0["series"][name].as_array().unwrap().iter();
        let at = |second: f64| (second / step) as usize;
        all.map(|value| value.as_f64().unwrap()).take(at(to)).skip(at(from)).collect()
    }

    fn story(&self) -> String {
        serde_json::to_string(&self.0).unwrap()
    }
}

#[test]
fn a_stream_wider_than_the_link_is_not_sent_again_and_again_and_sound_stays() {
    let Some(measured) = Measured::of("one-layer-400k") else { return };

    assert!(measured.sent_beside_capacity() < 1.6, "{}", measured.story());
    assert!(measured.viewer("concealed_percent") < 15.0, "{}", measured.story());
}

#[test]
fn loss_by_chance_leaves_a_large_picture_that_moves() {
    let Some(measured) = Measured::of("loss-5-far") else { return };

    assert!(measured.viewer("seconds_half_or_full") > 6.0, "{}", measured.story());
    assert!(measured.viewer("frames_a_second") > 6.0, "{}", measured.story());
    assert!(measured.viewer("concealed_percent") < 5.0, "{}", measured.story());
}

#[test]
fn a_link_that_narrows_keeps_its_sound_and_one_that_widens_gets_its_picture_back() {
    let Some(measured) = Measured::of("5M-200k-5M") else { return };

    let narrow = measured.series("concealed", 5.0, 7.0);
    let concealed = narrow.iter().sum::<f64>() / narrow.len() as f64;
    assert!(concealed < 20.0, "{}", measured.story());
    let back = measured.series("height", 10.5, 12.0).into_iter().fold(0.0, f64::max);
    assert!(back >= 270.0, "{}", measured.story());
}
