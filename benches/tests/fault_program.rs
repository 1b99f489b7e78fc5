//! The faults program, in its short form. Needs the guests and a nats-server.
//!
//! Counts of failures must be zero, and times may be four times as long as the program's own bars,
//! or eight times where most of them is the computation of hardly optimised code.

use serde_json::Value;
use std::{path::Path, process::Command};

fn faults(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_faults"));
    command.args(args);
    command
}

/// Runs the program and returns its output.
fn output_of(mut command: Command) -> String {
    let output = command.output().expect("the program starts");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}

struct Rows(Vec<Value>);

impl Rows {
    fn read(summary: &Path) -> Self {
        let text = std::fs::read(summary).expect("a summary");
        Self(serde_json::from_slice(&text).expect("a list of rows"))
    }

    fn row(&self, name: &str) -> &Value {
        let row = self.0.iter().find(|row| row["row"] == name);
        row.unwrap_or_else(|| panic!("no row `{name}` in {:#?}", self.0))
    }

    fn ours(&self, name: &str) -> f64 {
        self.row(name)["ours"].as_f64().expect("a number")
    }

    /// Returns the figures with and without the fault.
    fn pair(&self, name: &str) -> (f64, f64) {
        (
            self.ours(name),
            self.row(name)["baseline"].as_f64().expect("a number"),
        )
    }
}

#[test]
fn no_call_hangs_and_no_idempotent_call_fails() {
    let directory = tempfile::tempdir().expect("a directory");
    let summary = directory.path().join("summary.json");
    let mut command = faults(&["--short", "--summary"]);
    command.arg(&summary);
    let table = output_of(command);
    let rows = Rows::read(&summary);
    for name in [
        "fault.kill.hung",
        "fault.kill.idempotent_failed",
        "heal.kill.idempotent_failed",
        "heal.rolling.failed",
        "heal.bus_down.local_failed",
        "heal.partition.double_holders",
        "resource.lease.leaked",
        "http.kill.failed",
        "http.rolling.failed",
    ] {
        assert!(rows.ours(name) == 0.0, "{name}\n{table}");
    }
    for (name, most) in [
        ("fault.kill.silence_ms", 4.0 * 50.0),
        ("fault.nats.typed_ms", 4.0 * 100.0),
        ("fault.nats.back_ms", 4.0 * 250.0),
        ("memory.growth.unanswered", 4.0 * 2.0),
        ("fault.memory.grown_MiB", 64.0),
        ("fault.memory.outgoing_MiB", 64.0),
        ("fault.memory.queues_MiB", 256.0),
        ("stream.slow.growth_MiB", 1.5 * 64.0),
        ("http.idle.growth_MiB", 200.0),
        ("provider.kill.serving_ms", 4.0 * 1_000.0),
        ("heal.kill.typed_ms", 4.0 * 1_000.0),
        ("heal.kill.replicas_s", 4.0 * 5.0),
        ("cold.apply_ms", 4.0 * 150.0),
        ("heal.bus_down.converged_s", 4.0 * 5.0),
        // This is computation alone, and tests are hardly optimised.
        ("scale.reconcile_ms", 8.0 * 50.0),
        ("scale.beats_kBps", 100.0),
    ] {
        assert!(rows.ours(name) <= most, "{name}\n{table}");
    }
    for (name, times) in [
        ("fault.slow.neighbour_p99", 4.0),
        ("http.stalled.p99", 4.0),
        ("fault.spin.neighbour_p99", 4.0),
        ("fault.memory.neighbour_p99", 4.0),
        // Copies are most of the work here, and tests are hardly optimised.
        ("fault.memory.outgoing_p99", 8.0),
        ("fault.memory.queues_p99", 4.0),
    ] {
        let (with, without) = rows.pair(name);
        // A delay by one time slice of a guest or of the kernel isn't a failure.
        let most = (times * 1.5 * without).max(without + times * 2.0);
        assert!(with <= most, "{name}\n{table}");
    }
}

#[test]
fn memory_stays_flat_and_no_call_hangs_while_hosts_and_server_are_killed() {
    let table = output_of(faults(&["soak", "--seconds", "20"]));
    assert!(table.contains(" 0 hung"), "{table}");
    assert_eq!(table.matches("| flat |").count(), 6, "{table}");
}

#[test]
fn mistyped_options_are_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    let summary = directory.path().join("summary.json");
    for (args, message) in [
        (&["--fast"][..], "there is no option `--fast`"),
        (&["--only", "fault.flood"], "names are like `fault.kill`"),
        (
            &["soak", "--hours", "2"],
            "`faults soak` has no option `--hours`",
        ),
    ] {
        let mut command = faults(args);
        command.current_dir(directory.path());
        let output = command.output().expect("the program starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && error.contains(message),
            "{error}"
        );
    }
    let mut without_server = faults(&["--only", "fault.nats", "--summary"]);
    without_server
        .arg(&summary)
        .env("NATS_SERVER", directory.path().join("none"));
    let output = without_server.output().expect("the program starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("run it through make"), "{error}");
    assert!(!summary.exists());
}
