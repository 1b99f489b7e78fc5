//! The load program, in its quick form: it runs, and writes the expected rows. Needs the guests and
//! a nats-server.

use serde_json::Value;
use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::{Command, Output},
    thread,
};

/// The rows that are about no cell. The first ones have no baseline.
const OTHERS: [&str; 14] = [
    "stream.local.GiBps",
    "http.body.growth_MiB",
    "blob.growth_MiB",
    "blob.file.growth_MiB",
    "stream.local.record.ns",
    "resource.method.local",
    "stream.nats.rate",
    "stream.nats.beside_p99",
    "call.large.rate",
    "http.remote.rate",
    "http.remote.added_p50",
    "http.body.rate",
    "kv.memory.p50",
    "provider.process.added_p50",
];
/// How many of them have no baseline.
const ALONE: usize = 4;
/// The rows whose figure is the difference of two p50.
const DIFFERENCES: [&str; 2] = ["http.remote.added_p50", "provider.process.added_p50"];
/// The rows that need a server, a browser or a program which not every machine has. Without it,
/// they say so.
const ON_SERVERS: [&str; 8] = [
    "kv.redis.rate",
    "sql.postgres.rate",
    "blob.s3.growth_MiB",
    "ui.delta.p95_ms",
    "ui.idle.cpu",
    "dev.swap_ms",
    "dev.swap.failed",
    "cold.new_to_call_s",
];

fn load(args: &[&str], summary: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command
        .arg("--quick")
        .args(args)
        .arg("--summary")
        .arg(summary)
        .env_remove("LATTICE_BENCH_S3");
    command.output().expect("the program starts")
}

fn rows(summary: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(summary).expect("a summary");
    serde_json::from_str(&text).expect("a list of rows")
}

/// Checks that a row has all of its fields, and figures that can be.
fn check(row: &Value) {
    let number = |field: &str| {
        row[field]
            .as_f64()
            .unwrap_or_else(|| panic!("`{field}` of {row}"))
    };
    assert!(row["row"].is_string() && row["unit"].is_string(), "{row}");
    assert_eq!(row.as_object().map(serde_json::Map::len), Some(5), "{row}");
    if row["baseline"].is_null() {
        let mut alone = OTHERS[..ALONE].iter().chain(&ON_SERVERS);
        assert!(alone.any(|other| row["row"] == *other), "{row}");
        // A short body makes no process grow.
        assert!(number("ours") >= 0.0, "{row}");
        return;
    }
    // The kernel may count no CPU time at all for such a short run.
    if row["unit"] != "µs/call" && row["row"] != "ui.idle.cpu" {
        // The difference of two figures, each from a few calls, may have any sign.
        let is_difference = DIFFERENCES.iter().any(|other| row["row"] == *other);
        assert!(is_difference || number("ours") > 0.0, "{row}");
        assert!(number("baseline") > 0.0, "{row}");
        assert!(
            (number("ratio") - number("ours") / number("baseline")).abs() < 1e-6,
            "{row}"
        );
    }
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
        "otel.off",
        "otel.sampled",
    ];
    let table = String::from_utf8_lossy(&output.stdout);
    let has = |name: &str| rows.iter().any(|row| row["row"] == name);
    let on_servers: Vec<_> = ON_SERVERS.into_iter().filter(|name| has(name)).collect();
    for name in ON_SERVERS {
        let is_left_out = table.contains(&format!("\n`{name}` is left out: "));
        assert_ne!(has(name), is_left_out, "{name}:\n{table}");
    }
    // Nothing but its program is needed for a server of S3.
    let no_server = "\n`blob.s3.growth_MiB` is left out: moto ";
    assert_ne!(
        has("blob.s3.growth_MiB"),
        table.contains(no_server),
        "{table}"
    );
    assert_eq!(
        rows.len(),
        paths.len() * 4 + OTHERS.len() + on_servers.len(),
        "rate, p50, p99 and CPU time of each, and the others: {rows:#?}"
    );
    rows.iter().for_each(check);
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
        assert!(has(name), "no row `{name}`");
    }
    for path in paths {
        assert!(
            table.contains(&format!("| {path} ")),
            "no line for {path}:\n{table}"
        );
    }
    for row in OTHERS.into_iter().chain(on_servers) {
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

/// What the program prints without the servers and the browser that the other run may have.
#[test]
fn a_row_without_its_server_is_left_out_and_says_why() {
    let directory = tempfile::tempdir().expect("a directory");
    let summary = directory.path().join("summary.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command
        .args(["--quick", "--only", "kv.redis", "--only", "blob.s3"])
        .args(["--only", "ui."])
        .arg("--summary")
        .arg(&summary)
        .env("REDIS_SERVER", directory.path().join("none"))
        .env("CHROMIUM", directory.path().join("none"))
        .env("LATTICE_BENCH_S3", "http://127.0.0.1:1/bench");
    let output = command.output().expect("the program starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let text = String::from_utf8_lossy(&output.stdout);
    for line in [
        "`kv.redis.rate` is left out: Redis isn't installed",
        "`blob.s3.growth_MiB` is left out: no server of S3 answers at 127.0.0.1:1",
        "`ui.delta.p95_ms` is left out: Chromium isn't installed",
        "`ui.idle.cpu` is left out: Chromium isn't installed",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert_eq!(rows(&summary), Vec::<Value>::new());
}

#[test]
fn without_a_server_of_s3_objects_are_measured_on_files_alone_and_it_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let summary = directory.path().join("summary.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command
        .args(["--quick", "--only", "blob."])
        .arg("--summary")
        .arg(&summary)
        .env("LATTICE_BENCH_S3", "http://127.0.0.1:1/bench");
    let output = command.output().expect("the program starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let text = String::from_utf8_lossy(&output.stdout);
    let left_out = text.lines().find(|line| line.starts_with("`blob.s3."));
    let left_out = left_out.unwrap_or_else(|| panic!("{text}"));
    let says = "; `blob.growth_MiB` is measured on files alone";
    assert!(left_out.ends_with(says), "{left_out}");
    let rows = rows(&summary);
    let names: Vec<_> = rows.iter().map(|row| row["row"].as_str()).collect();
    let expected = ["blob.file.growth_MiB", "blob.growth_MiB"];
    assert_eq!(names, expected.map(Some));
}

#[test]
fn a_server_of_s3_without_the_bucket_is_left_out_and_says_why() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    // It ends with this process.
    thread::spawn(move || {
        let body = "<Error><Code>NoSuchBucket</Code><Message>none</Message></Error>";
        let length = body.len();
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            // What only connects sends nothing.
            let read = connection.read(&mut [0; 4_096]).unwrap_or_default();
            if read > 0 {
                // The program may have ended.
                let _ = write!(
                    connection,
                    "HTTP/1.1 404 Not Found\r\ncontent-type: application/xml\r\n\
                     content-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
            }
        }
    });
    let directory = tempfile::tempdir().expect("a directory");
    let summary = directory.path().join("summary.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command
        .args(["--quick", "--only", "blob.s3"])
        .arg("--summary")
        .arg(&summary)
        .env("LATTICE_BENCH_S3", format!("http://{address}/missing"))
        .env_remove("AWS_ACCESS_KEY_ID");
    let output = command.output().expect("the program starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = format!(
        "`blob.s3.growth_MiB` is left out: the bucket `missing` can't be used at {address}: "
    );
    assert!(text.contains(&line), "{text}");
    assert_eq!(rows(&summary), Vec::<Value>::new());
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
