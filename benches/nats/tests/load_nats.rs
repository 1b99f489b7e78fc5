//! The program for calls over NATS, in its quick form: it runs, and writes the expected rows. Needs
//! a nats-server.

use serde_json::Value;
use std::{path::Path, process::Command};

fn program(args: &[&str], summary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load-nats"));
    command.args(args).arg("--summary").arg(summary);
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

/// Runs the program, which fails, and returns its message.
fn error_of(mut command: Command) -> String {
    let output = command.output().expect("the program starts");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn rows(summary: &Path) -> Vec<Value> {
    let text = std::fs::read(summary).expect("a summary");
    serde_json::from_slice(&text).expect("a list of rows")
}

#[test]
fn a_quick_run_measures_ours_next_to_each_baseline() {
    let directory = tempfile::tempdir().expect("a directory");
    let summary = directory.path().join("new/summary.json");
    let table = output_of(program(&["--quick"], &summary));
    let rows = rows(&summary);
    let row = |name: &str| {
        let row = rows.iter().find(|row| row["row"] == name);
        row.unwrap_or_else(|| panic!("no row `{name}` in {rows:#?}"))
    };
    for name in [
        "nats.rate.1x16B",
        "nats.p50.1x16B",
        "nats.small_beside_bulk.p99",
        "nats.raw.64x16B",
        "nats.raw.p99.64x16B",
        "memory.rate.1x16B",
    ] {
        let number = |field: &str| {
            let value = row(name)[field].as_f64();
            value.unwrap_or_else(|| panic!("`{field}` of {}", row(name)))
        };
        assert!(number("ours") > 0.0 && number("baseline") > 0.0, "{name}");
        let ratio = number("ours") / number("baseline");
        assert!((number("ratio") - ratio).abs() < 1e-6, "{name}");
    }
    assert_eq!(row("nats.raw.64x16B")["unit"], "calls/s");
    for (row, bar) in [("nats.p50.1x16B", "≤ 1.05"), ("nats.raw.64x16B", "≥ 0.85")] {
        let has_row = |line: &str| line.contains(&format!("| {row} ")) && line.contains(bar);
        assert!(table.lines().any(has_row), "{row}\n{table}");
    }
}

#[test]
fn the_rows_of_both_builds_are_in_one_table() {
    let directory = tempfile::tempdir().expect("a directory");
    let summary = directory.path().join("summary.json");
    let only = ["--only", "memory.rate.256x16B"];
    let quick = [&["--quick"][..], &only[..]].concat();
    output_of(program(&quick, &summary));
    output_of(program(
        &[&quick[..], &["--build", "careful"]].concat(),
        &summary,
    ));
    let names: Vec<_> = rows(&summary)
        .iter()
        .map(|row| row["row"].as_str().unwrap_or_default().to_owned())
        .collect();
    for name in ["memory.rate.256x16B", "memory.calls.256x16B"] {
        for name in [name.to_owned(), format!("{name}.careful")] {
            assert!(names.contains(&name), "no row `{name}` in {names:?}");
        }
    }
    assert_eq!(names.len(), 8, "four figures of each build: {names:?}");
    let table = output_of(program(&[&["table"][..], &only[..]].concat(), &summary));
    let mut lines = table.lines().filter(|line| line.contains("memory."));
    let line = lines.next().expect("a line for the row");
    assert_eq!(
        line.matches("pass").count() + line.matches("MISSED").count(),
        2,
        "{line}"
    );
    assert_eq!(lines.next(), None, "{table}");
}

#[test]
fn missing_and_mistyped_options_are_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    let summary = directory.path().join("summary.json");
    for (args, message) in [
        (&["--fast"][..], "there is no option `--fast`"),
        (&["--only", "no such cell"], "names are like `nats.64x16B`"),
        (&["table", "--quik"], "there is no option `--quik`"),
        (&["respond", "loudly"], "respond as `lattice`"),
    ] {
        let error = error_of(program(args, &summary));
        assert!(error.contains(message), "{error}");
    }
    let mut without_server = program(&["--quick", "--only", "nats.raw"], &summary);
    without_server.env("NATS_SERVER", directory.path().join("none"));
    let error = error_of(without_server);
    assert!(error.contains("run it through make"), "{error}");
    assert!(!summary.exists());
}
