//! `lattice dev` with new apps in Python and JavaScript: their actors are built by the tools of
//! these languages, run, and call the provider that the manifest names. The engine of the language
//! is compiled twice for each, by its tool and by the host, which takes most of their time.

use super::Dev;
use crate::cli::{PATIENCE, bare, new, of_the_root, text};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::symlink,
    time::Duration,
};
use tempfile::TempDir;

/// The deadline of a wait for the build, and of one for the start.
const LONG: Duration = Duration::from_mins(2);

/// Makes an app, as the project that `Dev` runs.
fn app(lang: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("tmp")).expect("a folder");
    let mut make = bare();
    make.args(["new", "app", "project", "--lang", lang, "--in"]);
    let made = make.arg(folder.path()).output().expect("it runs");
    assert!(made.status.success(), "{}", text(&made.stderr));
    folder
}

/// Runs an app, and calls it through its wormhole.
fn counts_visits(folder: TempDir) {
    let mut command = bare();
    new::cleaned(&mut command);
    let mut dev = Dev::begin(folder, command);
    dev.patience = LONG;
    dev.until_said("  build ", 1);
    dev.until_open();
    let (host, port) = dev.address.rsplit_once(':').expect("a port");
    assert_eq!(host, "project.localhost");
    for visit in 1..=2 {
        // Not every system resolves names below `localhost`, which browsers and curl do themselves.
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let host = &dev.address;
        let request = format!("GET /Ada HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("received");
        let greeting = format!("Hello from project, at /Ada, visit {visit}!");
        let log = dev.log();
        assert!(response.contains(&greeting), "{response}\n{log}");
    }
}

#[test]
fn a_new_app_in_python_is_built_and_counts_visits() {
    let tools = of_the_root("target/tools/componentize-py");
    if !tools.join("bin/componentize-py").is_file() {
        return println!("skipped: there is no componentize-py, see `make guests`");
    }
    let folder = app("python");
    // What its README prepares.
    symlink(tools, folder.path().join("project/front/.venv")).expect("linked");
    counts_visits(folder);
}

#[test]
fn a_new_app_in_javascript_is_built_and_counts_visits() {
    let modules = of_the_root("target/tools/jco/node_modules");
    if !modules.join(".bin/jco").exists() {
        return println!("skipped: there is no jco, see `make guests`");
    }
    let folder = app("js");
    // What its README prepares.
    symlink(modules, folder.path().join("project/front/node_modules")).expect("linked");
    counts_visits(folder);
}
