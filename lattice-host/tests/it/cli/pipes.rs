//! Readers that close their end: of the log, and of a command's output.

use super::{PATIENCE, Process, Scene, greeter};
use crate::nats::signal;
use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// Waits until a process has ended by itself.
fn ended(child: &mut Child, what: &str) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("its status") {
            return status;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} keeps running");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn a_host_works_on_without_a_reader_of_its_log() {
    let scene = Scene::new().await;
    let mut command = scene.command(&["up", "--id", "one"]);
    let child = command.stderr(Stdio::piped()).stdout(Stdio::null());
    let mut host = Process(child.spawn().expect("starts"));
    let mut log = BufReader::new(host.0.stderr.take().expect("piped"));
    let mut lines = log.by_ref().lines();
    let is_up = lines.any(|line| line.expect("a line").contains("the host is up"));
    assert!(is_up, "its log ends before");
    drop(log);

    let broken = format!("oci:127.0.0.1:1/shop/greeter@sha256:{}", "0".repeat(64));
    let app = |image: &str| format!("name = \"shop\"\n[actors.greeter]\nimage = \"{image}\"\n");
    let file = scene.file("app.toml", app(&broken).as_bytes());
    scene.prints(&["apply", &file]);
    let begun = Instant::now();
    while !scene
        .prints(&["explain", "component", "greeter"])
        .contains("can't be reached")
    {
        assert!(begun.elapsed() < PATIENCE, "it prints nothing");
    }
    scene.settle(&app(&format!("file:{}", greeter().display())));

    signal(host.0.id(), "TERM");
    assert!(ended(&mut host.0, "the host").success());
}

#[tokio::test]
async fn a_command_ends_when_its_reader_leaves() {
    let scene = Scene::new().await;
    let _host = scene.up("one");
    scene.until_served_by(&[]);
    for args in [
        &["watch"][..],
        &["watch", "-o", "json"],
        &["watch", "--until", "settled", "--for", "1h", "-o", "json"],
        &["logs", "--follow"],
        &["logs", "--for", "1h", "-o", "json"],
        &["get", "hosts"],
        &["get", "hosts", "-o", "json"],
        &["graph"],
        &["--help"],
    ] {
        let mut command = scene.command(args);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        drop(child.stdout.take());
        let status = ended(&mut child, &args.join(" "));
        let said = std::io::read_to_string(child.stderr.take().expect("piped"));
        assert!(status.success(), "{args:?}: {status} {said:?}");
    }
}
