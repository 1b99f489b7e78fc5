//! `lattice up --metrics`.

use super::{PATIENCE, Process, bare, text};
use crate::exposition::parse;
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Stdio,
    time::Instant,
};

/// Starts a host in memory with these options, and returns the address of its metrics, which its
/// log says.
fn up(folder: &Path, args: &[&str]) -> (Process, String) {
    let log = folder.join("log");
    let mut command = bare();
    command
        .args(["up", "--metrics", "127.0.0.1:0"])
        .args(args)
        .stdin(Stdio::null())
        .stderr(fs::File::create(&log).expect("a log"));
    let host = Process(command.spawn().expect("starts"));
    let begun = Instant::now();
    loop {
        let logged = fs::read_to_string(&log).unwrap_or_default();
        let said = logged.split_once("metrics are served at http://");
        let address = said.and_then(|(_, rest)| rest.split_once("/metrics"));
        if let Some((address, _)) = address {
            return (host, address.to_owned());
        }
        assert!(begun.elapsed() < PATIENCE, "{logged}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Makes a request, and returns the status and the body of the response.
fn get(address: &str, header: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request =
        format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut response = Vec::new();
    stream.read_to_end(&mut response).expect("a response");
    let response = text(&response);
    let (head, body) = response.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status");
    (status.to_owned(), body.to_owned())
}

#[test]
fn a_host_serves_its_metrics_and_asks_for_the_token_that_it_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_host, address) = up(folder.path(), &["--id", "one"]);
    let (status, body) = get(&address, "");
    assert_eq!(status, "200");
    let exposed = parse(&body, false).unwrap_or_else(|reason| panic!("{reason}\n{body}"));
    let uptime = exposed.total("lattice_host_uptime_seconds", &[("lattice_host", "one")]);
    assert!(uptime > Some(0.0), "{body}");

    let token = folder.path().join("token");
    fs::write(&token, "secret\n").expect("a file");
    let token = token.display().to_string();
    let other = tempfile::tempdir().expect("a folder");
    let (_host, address) = up(other.path(), &["--metrics-token-file", &token]);
    assert_eq!(get(&address, "").0, "401");
    let header = "Authorization: Bearer secret\r\n";
    assert_eq!(get(&address, header).0, "200");
}

#[test]
fn options_that_can_not_be_are_refused_with_what_to_do() {
    let fails = |args: &[&str]| {
        let output = bare().arg("up").args(args).output().expect("runs");
        assert!(!output.status.success(), "{args:?}: {output:?}");
        text(&output.stderr)
    };
    let message = fails(&["--metrics", "0.0.0.0:0"]);
    assert!(message.contains("--metrics-open"), "{message}");
    let message = fails(&["--metrics-open"]);
    assert!(message.contains("--metrics <ADDRESS>"), "{message}");
    let missing = [
        "--metrics",
        "127.0.0.1:0",
        "--metrics-token-file",
        "/no/such",
    ];
    let message = fails(&missing);
    assert!(
        message.contains("--metrics-token-file: `/no/such`"),
        "{message}"
    );
}
