//! `lattice ui` and `lattice up --ui`, with requests of a client that only knows HTTP. The service
//! itself is tested in its own crate.

use super::{PATIENCE, Process, Scene, bare, text};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::Stdio,
    time::{Duration, Instant},
};

/// Makes a request for a path of the page, with the token of its address, and returns the response.
pub(super) fn get(url: &str, path: &str) -> String {
    ask(url, &format!("GET {path}"), "")
}

/// Sends JSON to a path of the page, and returns the response.
pub(super) fn post(url: &str, path: &str, json: &str) -> String {
    ask(url, &format!("POST {path}"), json)
}

fn ask(url: &str, what: &str, json: &str) -> String {
    let rest = url.strip_prefix("http://").expect("an address");
    let (address, token) = rest.split_once("/?token=").expect("a token");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!(
        "{what} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
        json.len()
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut response = Vec::new();
    stream.read_to_end(&mut response).expect("a response");
    text(&response)
}

/// Waits until a log says where the page is, and returns the address with the token.
fn address_in(log: &std::path::Path) -> String {
    let begun = Instant::now();
    loop {
        let logged = fs::read_to_string(log).unwrap_or_default();
        let said = logged.split_once("the page is at ");
        if let Some((line, _)) = said.and_then(|(_, rest)| rest.split_once('\n')) {
            return line.trim().to_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "{logged}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_host_in_memory_serves_the_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let mut command = bare();
    command
        .args(["up", "--id", "one", "--ui", "127.0.0.1:0", "--ui-read-only"])
        .env("LATTICE_UI_TOKEN", "0123456789abcdef")
        .stdin(Stdio::null())
        .stderr(fs::File::create(&log).expect("a log"));
    let _host = Process(command.spawn().expect("starts"));
    let url = address_in(&log);
    assert!(url.ends_with("/?token=0123456789abcdef"), "{url}");
    let config = get(&url, "/api/config");
    assert!(config.starts_with("HTTP/1.1 200 "), "{config}");
    assert!(
        config.contains("\"read_only\":true") && config.contains("\"in_process\":true"),
        "{config}"
    );
    let begun = Instant::now();
    loop {
        let view = get(&url, "/api/view");
        if view.contains("\"id\":\"one\"") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{view}");
    }
}

#[tokio::test]
async fn a_page_joins_a_lattice_to_show_it() {
    let scene = Scene::new().await;
    let _one = scene.up("one");
    let mut command = scene.command(&["ui", "127.0.0.1:0"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut page = Process(command.spawn().expect("starts"));
    let out = page.0.stdout.take().expect("piped");
    let mut url = String::new();
    BufReader::new(out).read_line(&mut url).expect("a line");
    let url = url.trim();
    let begun = Instant::now();
    let view = loop {
        let view = get(url, "/api/view");
        if view.contains("\"id\":\"one\"") {
            break view;
        }
        assert!(begun.elapsed() < PATIENCE, "{view}");
    };
    assert_eq!(
        view.matches("\"uptime_s\"").count(),
        1,
        "the page itself is no host: {view}"
    );
    assert!(get(url, "/api/config").contains("\"read_only\":false"));
    let token = url.split_once("token=").expect("a token").1;
    assert_eq!(token.len(), 64, "a random one");
    assert!(get(&url.replace(token, &"0".repeat(64)), "/api/view").starts_with("HTTP/1.1 401 "));
}

#[test]
fn an_address_that_others_reach_is_refused_before_anything_starts() {
    for args in [
        ["up", "--ui", "0.0.0.0:0"].as_slice(),
        ["ui", "0.0.0.0:9119"].as_slice(),
        ["ui", "everywhere"].as_slice(),
        ["up", "--ui-read-only"].as_slice(),
    ] {
        let output = bare().args(args).output().expect("runs");
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    }
    let output = bare().args(["ui", "0.0.0.0:9119"]).output().expect("runs");
    let message = text(&output.stderr);
    assert!(
        message.contains("`127.0.0.1:9119`") && message.contains("--public"),
        "{message}"
    );
    let mut short = bare();
    short
        .args(["up", "--ui", "127.0.0.1:0"])
        .env("LATTICE_UI_TOKEN", "short");
    let output = short.output().expect("runs");
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(
        message.contains("LATTICE_UI_TOKEN") && !message.contains("`short`"),
        "{message}"
    );
}
