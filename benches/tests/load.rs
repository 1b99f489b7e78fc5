//! The load program, in its quick form: it runs, and writes the expected rows. Needs the guests and
//! a nats-server.

use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Output},
};

/// The rows that are about no cell. The first two have no baseline.
const OTHERS: [&str; 10] = [
    "stream.local.GiBps",
    "http.body.growth_MiB",
    "stream.local.record.ns",
    "resource.method.local",
    "stream.nats.rate",
    "stream.nats.beside_p99",
    "call.large.rate",
    "http.remote.rate",
    "http.remote.added_p50",
    "http.body.rate",
];

fn load(args: &[&str], summary: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command
        .arg("--quick")
        .args(args)
        .arg("--summary")
        .arg(summary);
    command.output().expect("the program starts")
}

fn rows(summary: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(summary).expect("a summary");
    serde_json::from_str(&text).expect("a list of rows")
}

#[test]
fn a_quick_run_measures_one_cell_of_each_path() {
    let directory = tempfile::tempdir().expect("a directory");
    let summary = directory.path().join("new/summary.json");
    let output = load(&[], &summary);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let rows = rows(&summary);
    let paths = [
        "local.provider",
        "local.actor.warm",
        "local.actor.fresh",
        "http.local",
        "http.local.p3",
    ];
    assert_eq!(
        rows.len(),
        paths.len() * 4 + OTHERS.len(),
        "rate, p50, p99 and CPU time of each, and the others: {rows:#?}"
    );
    for row in &rows {
        let number = |field: &str| {
            row[field]
                .as_f64()
                .unwrap_or_else(|| panic!("`{field}` of {row}"))
        };
        assert!(row["row"].is_string() && row["unit"].is_string(), "{row}");
        assert_eq!(row.as_object().map(serde_json::Map::len), Some(5), "{row}");
        if OTHERS[..2].iter().any(|other| row["row"] == *other) {
            // A short body makes no process grow.
            assert!(number("ours") >= 0.0 && row["baseline"].is_null(), "{row}");
            continue;
        }
        // The kernel may count no CPU time at all for such a short run.
        if row["unit"] != "µs/call" {
            assert!(number("ours") > 0.0 && number("baseline") > 0.0, "{row}");
            assert!(
                (number("ratio") - number("ours") / number("baseline")).abs() < 1e-6,
                "{row}"
            );
        }
    }
    for name in [
        "local.provider.16B",
        "local.actor.warm",
        "local.actor.fresh",
        "local.actor.fresh.cpu.1x16B",
        "http.local.rate",
        "http.local.p3.rate",
    ]
    .into_iter()
    .chain(OTHERS)
    {
        assert!(rows.iter().any(|row| row["row"] == name), "no row `{name}`");
    }

    let table = String::from_utf8_lossy(&output.stdout);
    for path in paths {
        assert!(
            table.contains(&format!("| {path} ")),
            "no line for {path}:\n{table}"
        );
    }
    for row in OTHERS {
        assert!(
            table.contains(&format!("| {row} ")),
            "no line for {row}:\n{table}"
        );
    }
}

#[test]
fn rows_are_selected_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let summary = directory.path().join("summary.json");
    let output = load(&["--only", "resource.method"], &summary);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let rows = rows(&summary);
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_eq!(rows[0]["row"], "resource.method.local");
}

#[test]
fn cells_are_selected_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let summary = directory.path().join("summary.json");
    let output = load(&["--only", "local.provider.64x1KiB"], &summary);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut names: Vec<_> = rows(&summary)
        .iter()
        .map(|row| row["row"].to_string())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "\"local.provider.cpu.64x1KiB\"",
            "\"local.provider.p50.64x1KiB\"",
            "\"local.provider.p99.64x1KiB\"",
            "\"local.provider.rate.64x1KiB\""
        ]
    );
}

#[test]
fn missing_and_mistyped_options_are_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    let summary = directory.path().join("summary.json");
    let error_of = |output: Output| {
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(
        error_of(load(&["--only", "no such cell"], &summary))
            .contains("names are like `local.provider.64x16B`")
    );
    assert!(error_of(load(&["--fast"], &summary)).contains("there is no option `--fast`"));
    let mut without_server = Command::new(env!("CARGO_BIN_EXE_load"));
    without_server
        .args(["--quick", "--only", "stream.nats.rate"])
        .env("NATS_SERVER", directory.path().join("none"));
    assert!(
        error_of(without_server.output().expect("the program starts"))
            .contains("run it through make")
    );
    assert!(!summary.exists());
}
